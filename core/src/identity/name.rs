//! First and last names.
//!
//! Meta: lower case, no punctuation, letters of every script (documentation read 2026-09-12);
//! that white space goes too is the rule of Meta's newest parameter builder. The other platforms'
//! forms start from the trimmed, lower-case value: see `reference` in each method.

use std::borrow::Cow;

use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use crate::text;

/// Endings that Google's formatter cuts from a family name.
const SUFFIXES: [&str; 17] = [
    "jr.", "jr", "sr.", "sr", "2nd", "3rd", "ii", "iii", "iv", "v", "vi", "cpa", "dc", "dds", "vm",
    "jd", "md",
];

/// Titles that Google's formatter cuts from a given name; only with their dot.
const TITLES: [&str; 4] = ["mr.", "mrs.", "ms.", "dr."];

/// A first or last name.
///
/// For Meta `O'Brien` is `obrien`, `Jean-Luc` is `jeanluc`, `Mary Ann` is `maryann`; `정` stays.
#[derive(Clone, PartialEq, Eq)]
pub struct Name<'a> {
    folded: Cow<'a, str>,
    squeezed: Cow<'a, str>,
    is_last: bool,
}

crate::opaque::opaque_debug!(Name<'_>);

impl<'a> Name<'a> {
    /// Parses a given name.
    pub fn parse_first(value: &'a str) -> Result<Self, DropReason> {
        Self::parse(value, false)
    }

    /// Parses a family name.
    pub fn parse_last(value: &'a str) -> Result<Self, DropReason> {
        Self::parse(value, true)
    }

    fn parse(value: &'a str, is_last: bool) -> Result<Self, DropReason> {
        let folded = text::fold(value);
        let identifier = if is_last { Identifier::LastName } else { Identifier::FirstName };
        if placeholder::is_placeholder(identifier, &folded) {
            return Err(DropReason::Placeholder);
        }
        if folded.is_empty() {
            return Err(DropReason::Empty);
        }
        let squeezed = text::fold_only(value, text::is_squeezed);
        // `0`, `000`, `€`: nobody's name, and thousands share it.
        if !squeezed.chars().any(text::is_letter) {
            return Err(DropReason::Malformed);
        }
        Ok(Self { folded, squeezed, is_last })
    }

    /// Whether no form has anything to remove: titles and suffixes need a dot or a space.
    pub(super) fn has_one_form(&self) -> bool {
        self.folded.bytes().all(|b| b.is_ascii_lowercase())
    }

    /// Meta's form: white space and punctuation removed.
    pub fn as_str(&self) -> &str {
        &self.squeezed
    }

    /// Google Ads' form: titles or suffixes removed, hyphens and inner spaces kept.
    /// <https://developers.google.com/data-manager/api/devguides/concepts/formatting>
    pub fn untitled(&self) -> Result<Cow<'_, str>, DropReason> {
        let mut rest: &str = &self.folded;
        let cut = if self.is_last { cut_suffix } else { cut_title };
        while let Some(shorter) = cut(rest) {
            rest = shorter;
        }
        present(Cow::Borrowed(rest))
    }

    /// GA4's form: digits and symbols removed, inner spaces kept.
    /// <https://developers.google.com/analytics/devguides/collection/ga4/uid-data>
    pub fn letters(&self) -> Result<Cow<'_, str>, DropReason> {
        let keep = |c: char| c.is_whitespace() || text::is_letter(c) || text::is_mark(c);
        present(trim(text::retain(Cow::Borrowed(&self.folded), keep)))
    }

    /// TikTok's form: white space removed.
    pub fn unspaced(&self) -> Result<Cow<'_, str>, DropReason> {
        present(text::retain(Cow::Borrowed(&self.folded), |c| !c.is_whitespace()))
    }

    /// Pinterest's form: lower case only.
    pub fn trimmed(&self) -> Result<Cow<'_, str>, DropReason> {
        present(Cow::Borrowed(&self.folded))
    }

    /// Snapchat's form: punctuation removed.
    pub fn unpunctuated(&self) -> Result<Cow<'_, str>, DropReason> {
        let keep = |c: char| !text::is_punctuation(c);
        present(trim(text::retain(Cow::Borrowed(&self.folded), keep)))
    }
}

fn cut_title(name: &str) -> Option<&str> {
    let rest = TITLES.into_iter().find_map(|title| name.strip_prefix(title))?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim_start())
}

fn cut_suffix(name: &str) -> Option<&str> {
    let start = name.rfind(|c: char| c == ',' || c.is_whitespace())?;
    let separator = name[start..].chars().next()?.len_utf8();
    let suffix = &name[start + separator..];
    (SUFFIXES.contains(&suffix) || suffix == "phd").then(|| {
        let rest = name[..start].trim_end();
        rest.strip_suffix(',').unwrap_or(rest).trim_end()
    })
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

fn present(text: Cow<'_, str>) -> Result<Cow<'_, str>, DropReason> {
    if text.chars().any(text::is_letter) { Ok(text) } else { Err(DropReason::NotInForm) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_examples() {
        for (value, expected) in [
            ("O'Brien", "obrien"),
            ("Jean-Luc", "jeanluc"),
            ("Mary Ann", "maryann"),
            ("정", "정"),
            (" Valéry ", "valéry"),
            ("ÉMILE", "émile"),
            ("ΝΙΚΟΣ ΠΑΠΑΣ", "νικοσπαπας"),
            ("O´Brien", "obrien"),
            ("OʼBrien", "obrien"),
            ("O`Brien", "obrien"),
            ("Ｏ＇Ｂｒｉｅｎ", "ｏｂｒｉｅｎ"),
            ("D´Angelo", "dangelo"),
            ("Kaʻiulani", "kaiulani"),
            ("Mary−Ann", "maryann"),
            ("Gal·la", "galla"),
            ("ジョー", "ジョー"),
        ] {
            assert_eq!(Name::parse_first(value).expect(value).as_str(), expected);
        }
    }

    #[test]
    fn drops_what_names_nobody() {
        assert_eq!(Name::parse_first("  "), Err(DropReason::Empty));
        for value in ["N/A", "-", "Guest", "null", "Unknown", "Test"] {
            assert_eq!(Name::parse_first(value), Err(DropReason::Placeholder), "{value}");
        }
        for value in ["0", "000", "€", "™", "❤", "1 2"] {
            assert_eq!(Name::parse_last(value), Err(DropReason::Malformed), "{value}");
        }
        for value in ["undefined undefined", "null null", "None None", "n/a n/a"] {
            assert_eq!(Name::parse_last(value), Err(DropReason::Placeholder), "{value}");
        }
        assert_eq!(Name::parse_last("Null").expect("a surname").as_str(), "null");
        for value in ["N.A.", "N. A.", "Na"] {
            assert_eq!(Name::parse_last(value).expect("initials").as_str(), "na");
        }
    }

    #[test]
    fn titles_and_suffixes_are_cut_for_google() {
        for (value, expected) in [(" Mr. Alex ", "alex"), ("Mralex", "mralex"), ("Mr. Dr. X", "x")]
        {
            let name = Name::parse_first(value).expect(value);
            assert_eq!(name.untitled().as_deref(), Ok(expected));
        }
        for (value, expected) in [
            ("Quinn-Alex", "quinn-alex"),
            (" Quinn,Jr.   ", "quinn"),
            ("quinn, jr., dds", "quinn"),
            ("Boardds", "boardds"),
            ("van der Berg", "van der berg"),
        ] {
            let name = Name::parse_last(value).expect(value);
            assert_eq!(name.untitled().as_deref(), Ok(expected));
        }
        let a_title_and_a_digit = Name::parse_first("Dr. 2").expect("letters");
        assert_eq!(a_title_and_a_digit.untitled(), Err(DropReason::NotInForm));
        let only_a_title = Name::parse_first("Dr.").expect("letters");
        assert_eq!(only_a_title.untitled(), Err(DropReason::NotInForm));
    }

    #[test]
    fn forms_of_the_others() {
        let name = Name::parse_first(" Mary-Ann O'Neil 2 ").expect("a name");
        assert_eq!(name.letters().as_deref(), Ok("maryann oneil"));
        assert_eq!(name.unspaced().as_deref(), Ok("mary-anno'neil2"));
        assert_eq!(name.trimmed().as_deref(), Ok("mary-ann o'neil 2"));
        assert_eq!(name.unpunctuated().as_deref(), Ok("maryann oneil 2"));
    }
}

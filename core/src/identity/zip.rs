//! Postal codes: lower case, no spaces or dashes; in the United States the first five digits
//! (Meta's documentation, read 2026-09-12).

use std::borrow::Cow;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use crate::text;

/// A postal code.
///
/// `SW1A 1AA` is `sw1a1aa`, `94105-1234` is `94105`, `00-950` is `00950`.
#[derive(Clone, PartialEq, Eq)]
pub struct Zip<'a> {
    bare: Cow<'a, str>,
    kept: usize,
}

crate::opaque::opaque_debug!(Zip<'_>);

impl<'a> Zip<'a> {
    /// Parses a postal code of a country (alpha-2, lower case), if that is known.
    pub fn parse(value: &'a str, country: Option<&str>) -> Result<Self, DropReason> {
        let folded = fold(value);
        if folded.is_empty() {
            return Err(DropReason::Empty);
        }
        if placeholder::is_placeholder(Identifier::Zip, &folded) {
            return Err(DropReason::Placeholder);
        }
        let has_zip_plus_4 = is_zip_plus_4(&folded);
        let bare = text::retain(folded, is_bare);
        // Meta's builder takes no single character for a code either.
        if bare.chars().nth(1).is_none() || !bare.chars().any(text::is_word) {
            return Err(DropReason::Malformed);
        }
        let mut kept = bare.len();
        if country == Some("us") {
            if !matches!(bare.len(), 5 | 9) || !bare.bytes().all(|b| b.is_ascii_digit()) {
                return Err(DropReason::Malformed);
            }
            kept = 5;
        } else if has_zip_plus_4 {
            kept = 5;
        }
        if kept > 2 && bare[..kept].bytes().all(|b| b == b'0') {
            return Err(DropReason::Placeholder);
        }
        Ok(Self { bare, kept })
    }

    /// Spaces and dashes removed, unchecked: to find the code at the end of a city.
    pub(super) fn bare(value: &str) -> Cow<'_, str> {
        text::retain(fold(value), is_bare)
    }

    /// Meta's form.
    pub fn as_str(&self) -> &str {
        &self.bare[..self.kept]
    }

    /// Pinterest's form: codes of digits only.
    pub fn digits(&self) -> Result<Cow<'_, str>, DropReason> {
        if self.as_str().bytes().all(|b| b.is_ascii_digit()) {
            Ok(Cow::Borrowed(self.as_str()))
        } else {
            Err(DropReason::NotInForm)
        }
    }

    /// TikTok's form: spaces and dashes removed, nothing cut.
    pub fn uncut(&self) -> &str {
        &self.bare
    }
}

/// As every value, and full-width letters and digits as plain ones: a Japanese input method
/// writes `１００－０００１`.
fn fold(value: &str) -> Cow<'_, str> {
    let folded = text::fold(value);
    match folded.is_ascii() {
        true => folded,
        false => {
            let narrow: String = folded.chars().map(text::narrow).collect();
            Cow::Owned(text::fold(&narrow).into_owned())
        }
    }
}

/// Neither white space nor a dash nor the sign of the Japanese post.
fn is_bare(c: char) -> bool {
    !c.is_whitespace() && !is_dash(c) && c != '〒'
}

/// A dash, the minus sign, or the Japanese sign of a long vowel, which stands for a dash between
/// digits.
fn is_dash(c: char) -> bool {
    c == '-'
        || matches!(c, '\u{2212}' | '\u{30fc}' | '\u{ff70}')
        || (!c.is_ascii() && c.general_category() == GeneralCategory::DashPunctuation)
}

/// Five digits, a dash, four digits: an American code whatever the country says.
fn is_zip_plus_4(text: &str) -> bool {
    let digits = |s: &str, n| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
    text.split_once(is_dash).is_some_and(|(a, b)| digits(a.trim(), 5) && digits(b.trim(), 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(value: &str, country: &str) -> Result<String, DropReason> {
        let country = Some(country).filter(|c| !c.is_empty());
        Zip::parse(value, country).map(|zip| zip.as_str().to_owned())
    }

    #[test]
    fn worked_examples() {
        for (value, country, expected) in [
            ("SW1A 1AA", "gb", "sw1a1aa"),
            ("94105-1234", "us", "94105"),
            ("94105-1234", "", "94105"),
            ("940351234", "us", "94035"),
            ("940351234", "", "940351234"),
            ("00-950", "pl", "00950"),
            ("1000-205", "pt", "1000205"),
            ("K1A 0B1", "ca", "k1a0b1"),
            ("94105\u{2212}1234", "us", "94105"),
            ("94105\u{2013}1234", "", "94105"),
            ("９４１０５－１２３４", "", "94105"),
            ("ＳＷ１Ａ　１ＡＡ", "gb", "sw1a1aa"),
        ] {
            assert_eq!(zip(value, country).as_deref(), Ok(expected), "{value}");
        }
        for value in ["100-0001", "〒100-0001", "100\u{2212}0001", "１００－０００１", "100ー0001"]
        {
            assert_eq!(zip(value, "jp").as_deref(), Ok("1000001"), "{value}");
        }
        for value in ["9410", "941051", "9410512", "94105-123", "94105-12345", "SW1A1"] {
            assert_eq!(zip(value, "us"), Err(DropReason::Malformed), "{value}");
        }
    }

    #[test]
    fn drops_what_is_no_code() {
        assert_eq!(zip(" - ", ""), Err(DropReason::Placeholder));
        assert_eq!(zip("〒", "jp"), Err(DropReason::Malformed));
        for (value, country) in
            [("00000", ""), ("０００００", ""), ("00000-1234", ""), ("000001234", "us")]
        {
            assert_eq!(zip(value, country), Err(DropReason::Placeholder), "{value}");
        }
        assert_eq!(zip("1", ""), Err(DropReason::Malformed));
        assert_eq!(zip("SW1A 1AA", "us"), Err(DropReason::Malformed));
    }

    #[test]
    fn forms_of_the_platforms() {
        let zip = Zip::parse("94105-1234", Some("us")).expect("a code");
        assert_eq!(zip.uncut(), "941051234");
        assert_eq!(zip.digits().as_deref(), Ok("94105"));
        let zip = Zip::parse("SW1A 1AA", None).expect("a code");
        assert_eq!(zip.digits(), Err(DropReason::NotInForm));
    }
}

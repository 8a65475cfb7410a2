//! Which form of an identifier each platform hashes, by name.
//!
//! Platforms bring the same value to different texts before they hash it, and none of those can
//! be derived from another's digest. Each distinct form is therefore computed at capture and
//! stored once, under its name, however many platforms share it.

use super::identifier::Identifier;

/// A form of an identifier: what is done to the value before it is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// Meta's form, which most platforms share; stored under the bare name of the identifier.
    #[default]
    Plain,
    /// Email address: at Gmail the dots of the local part removed.
    GmailDots,
    /// Email address: at Gmail dots, `+` and what follows removed.
    Gmail,
    /// Email address: in every domain cut at `+`, then only letters and digits.
    Alphanumeric,
    /// Email address: in every domain cut at `+`, dots removed.
    Untagged,
    /// Phone number with its `+`.
    Plus,
    /// Name: digits and symbols removed, spaces kept.
    Letters,
    /// Name: without titles and suffixes.
    Untitled,
    /// Name: trimmed and in lower case, nothing else.
    Trimmed,
    /// Name: white space removed.
    Unspaced,
    /// Name: punctuation removed, spaces kept.
    Unpunctuated,
    /// State: two letters or nothing.
    TwoLetters,
    /// Postal code: digits or nothing.
    Digits,
    /// Postal code: spaces and dashes removed, nothing cut.
    Uncut,
    /// External id: trimmed, otherwise as it is.
    Verbatim,
}

impl Form {
    /// The name in the outbox, behind the identifier's: `phone/plus`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::GmailDots => "gmail_dots",
            Self::Gmail => "gmail",
            Self::Alphanumeric => "alphanumeric",
            Self::Untagged => "untagged",
            Self::Plus => "plus",
            Self::Letters => "letters",
            Self::Untitled => "untitled",
            Self::Trimmed => "trimmed",
            Self::Unspaced => "unspaced",
            Self::Unpunctuated => "unpunctuated",
            Self::TwoLetters => "two_letters",
            Self::Digits => "digits",
            Self::Uncut => "uncut",
            Self::Verbatim => "verbatim",
        }
    }

    /// The form that a platform hashes.
    pub fn of(identifier: Identifier, platform: &str) -> Self {
        let forms = identifier.forms().iter();
        forms
            .clone()
            .find(|(_, platforms)| platforms.contains(&platform))
            .map_or(Self::Plain, |(form, _)| *form)
    }

    /// The key of this form's digests in the outbox: `phone` or `phone/plus`.
    pub fn key(self, identifier: Identifier) -> String {
        match self {
            Self::Plain => identifier.as_str().to_owned(),
            form => format!("{}/{}", identifier.as_str(), form.as_str()),
        }
    }
}

/// Platforms by their names in SQL. Meta comes first: its form is the plain one.
pub const PLATFORMS: [&str; 11] = [
    "meta",
    "google_ads",
    "ga4",
    "tiktok",
    "pinterest",
    "snapchat",
    "reddit",
    "linkedin",
    "x",
    "microsoft",
    "webhook",
];

/// The forms of an identifier that are not plain, with the platforms that use them.
type Forms = &'static [(Form, &'static [&'static str])];

const NAMES: Forms = &[
    (Form::Letters, &["ga4"]),
    (Form::Untitled, &["google_ads"]),
    (Form::Trimmed, &["pinterest"]),
    (Form::Unpunctuated, &["snapchat"]),
    (Form::Unspaced, &["tiktok"]),
];

impl Identifier {
    /// The forms that are not plain, with the platforms that use them; all others that take a
    /// digest use the plain one.
    ///
    /// Where sources differ: X's own page hashes the phone with its `+` and says nothing of the
    /// case of an email address, which its connectors lower. Microsoft's connectors disagree; the
    /// newest, written from its guide as of August 2026, drops dots and tag in every domain and
    /// keeps the `+` of the phone, and a platform's guide outranks older connectors.
    pub fn forms(self) -> Forms {
        match self {
            Self::Email => &[
                (Form::GmailDots, &["ga4"]),
                (Form::Gmail, &["google_ads"]),
                (Form::Alphanumeric, &["reddit"]),
                (Form::Untagged, &["microsoft"]),
            ],
            Self::Phone => {
                &[(Form::Plus, &["google_ads", "ga4", "tiktok", "reddit", "x", "microsoft"])]
            }
            Self::FirstName | Self::LastName => NAMES,
            Self::State => &[(Form::TwoLetters, &["pinterest"])],
            Self::Zip => &[(Form::Digits, &["pinterest"]), (Form::Uncut, &["tiktok"])],
            Self::ExternalId => {
                &[(Form::Verbatim, &["tiktok", "pinterest", "snapchat", "reddit", "webhook"])]
            }
            Self::Gender | Self::DateOfBirth | Self::City | Self::Country => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_one_form_of_an_identifier() {
        for identifier in Identifier::ALL {
            let mut seen: Vec<&str> = Vec::new();
            let mut names: Vec<&str> = vec![Form::Plain.as_str()];
            for (form, platforms) in identifier.forms() {
                assert!(!names.contains(&form.as_str()), "{form:?} twice");
                names.push(form.as_str());
                assert!(!platforms.is_empty());
                for platform in *platforms {
                    assert!(PLATFORMS.contains(platform), "{platform}");
                    assert!(!seen.contains(platform), "{platform} twice");
                    seen.push(platform);
                    assert_eq!(Form::of(identifier, platform), *form);
                }
            }
            assert_eq!(Form::of(identifier, "meta"), Form::Plain);
        }
    }

    #[test]
    fn keys_name_identifier_and_form() {
        assert_eq!(Form::Plain.key(Identifier::Phone), "phone");
        assert_eq!(Form::Plus.key(Identifier::Phone), "phone/plus");
        assert_eq!(Form::of(Identifier::Email, "somebody_new"), Form::Plain);
    }
}

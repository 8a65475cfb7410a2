//! Why a value is dropped: a word for machines and a sentence for people, never the value.

use std::fmt;

/// Why a value is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// Nothing is left after normalising.
    Empty,
    /// Stands for no value.
    Placeholder,
    /// Does not have the shape of its kind.
    Malformed,
    /// Holds characters that are never part of it.
    Unprintable,
    /// Longer than any real value.
    TooLong,
    /// More values than anybody has; what is behind the first of them was not looked at.
    TooMany,
    /// A phone without country code, and no country is known.
    NoCountry,
    /// No phone number, or no number, in the text.
    NotANumber,
    /// A phone number that cannot exist.
    ImpossibleNumber,
    /// None of the four words.
    NotAGender,
    /// Several days fit.
    Ambiguous,
    /// No such day, or not in the range.
    ImpossibleDate,
    /// No code or name of a country.
    UnknownCountry,
    /// No code or name of a state of the country.
    UnknownState,
    /// No ISO 4217 code.
    UnknownCurrency,
    /// A digest that this platform cannot use.
    DigestOfOtherForm,
    /// A digest with something around or between its digits.
    MangledDigest,
    /// The platform takes no value of this kind.
    NotInForm,
    /// A click id past its life.
    Expired,
    /// A click after its event.
    LaterThanEvent,
    /// An address that says nothing about the client.
    PrivateAddress,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 21] = [
        Self::Empty,
        Self::Placeholder,
        Self::Malformed,
        Self::Unprintable,
        Self::TooLong,
        Self::TooMany,
        Self::NoCountry,
        Self::NotANumber,
        Self::ImpossibleNumber,
        Self::NotAGender,
        Self::Ambiguous,
        Self::ImpossibleDate,
        Self::UnknownCountry,
        Self::UnknownState,
        Self::UnknownCurrency,
        Self::DigestOfOtherForm,
        Self::MangledDigest,
        Self::NotInForm,
        Self::Expired,
        Self::LaterThanEvent,
        Self::PrivateAddress,
    ];

    /// The word for machines.
    pub fn as_str(self) -> &'static str {
        self.texts().0
    }

    /// One sentence with the way out.
    pub fn explanation(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Empty => ("empty", "nothing is left after normalising; null says the same"),
            Self::Placeholder => {
                ("placeholder", "the value stands for no value; let the view return null instead")
            }
            Self::Malformed => {
                ("malformed", "the value does not have the shape of this field; correct the source")
            }
            Self::Unprintable => (
                "unprintable",
                "the value holds white space or control characters, which this field never has; \
                 pass it on as the browser sent it",
            ),
            Self::TooLong => {
                ("too_long", "the value is longer than any real one; check what the column holds")
            }
            Self::TooMany => (
                "too_many",
                "the field has more than 32 values, and only the first 32 were looked at; let the \
                 view return those of this customer alone",
            ),
            Self::NoCountry => (
                "no_country",
                "the number has no country code; give phone_country or country in the view, or \
                 the source a default country",
            ),
            Self::NotANumber => {
                ("not_a_number", "the text holds no phone number, or no number; correct the source")
            }
            Self::ImpossibleNumber => (
                "impossible_number",
                "no such number exists in its country; check phone_country or write the number \
                 with + and country code",
            ),
            Self::NotAGender => {
                ("not_a_gender", "platforms know f, female, m and male; map the column in the view")
            }
            Self::Ambiguous => (
                "ambiguous",
                "day and month can be exchanged; let the view return a date or YYYY-MM-DD",
            ),
            Self::ImpossibleDate => (
                "impossible_date",
                "no such day between 1900 and today; let the view return a date or YYYY-MM-DD",
            ),
            Self::UnknownCountry => (
                "unknown_country",
                "no ISO 3166 code, English name or usual alias; let the view return the \
                 two-letter code",
            ),
            Self::UnknownState => (
                "unknown_state",
                "no state of the row's country has this name or code; let the view return the \
                 two-letter code, or correct the country",
            ),
            Self::UnknownCurrency => (
                "unknown_currency",
                "no current ISO 4217 code; let the view return its three letters",
            ),
            Self::DigestOfOtherForm => (
                "digest_of_other_form",
                "the platform hashes another form, which cannot be derived from a digest; let \
                 the view return the clear value",
            ),
            Self::MangledDigest => (
                "mangled_digest",
                "the value is a digest with something around or between its 64 hex digits; pass \
                 the digits alone, as encode(sha256(...), 'hex') gives them",
            ),
            Self::NotInForm => (
                "not_in_form",
                "nothing is left of the value in this platform's form; the other platforms get it",
            ),
            Self::Expired => ("expired", "the click was more than 90 days before the event"),
            Self::LaterThanEvent => (
                "later_than_event",
                "the click is later than the event; check event_time and the click's time",
            ),
            Self::PrivateAddress => (
                "private_address",
                "the address belongs to a private network; pass the client's, as the proxy \
                 forwards it",
            ),
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explanation())
    }
}

impl std::error::Error for DropReason {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_plain() {
        let mut words = DropReason::ALL.map(DropReason::as_str);
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(words.iter().all(|w| w.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())));
        assert!(DropReason::ALL.iter().all(|reason| reason.explanation().len() > 20));
    }
}

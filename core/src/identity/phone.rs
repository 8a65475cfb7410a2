//! Phone numbers: E.164, with Google's libphonenumber metadata.
//!
//! Meta: digits with the country code, no `+` (documentation read 2026-09-12); the others want
//! the `+` or not, so a number is parsed for real first. What the metadata cannot settle is
//! dropped: nobody's phone is better than somebody else's.

mod pattern;
mod plan;
mod written;

use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use crate::text;
use plan::{Length, Region};
use written::Written;

/// Digits of a national number, as in libphonenumber: the longest is beyond what E.164 allows,
/// because Germany has such numbers.
const SHORTEST: usize = 2;
const LONGEST: usize = 17;

/// A phone number in E.164.
///
/// `+44 (0)20 7946 0958` is `442079460958` for Meta; `0612345678` in France is `33612345678`;
/// `4915112345678` in Germany is itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(String);

crate::opaque::opaque_debug!(Phone);

impl Phone {
    /// Parses a number; `country` (alpha-2) is where a number without `+` or `00` belongs.
    ///
    /// After `+` or `00` a possible number is enough; elsewhere it must be valid.
    pub fn parse(value: &str, country: Option<&str>) -> Result<Self, DropReason> {
        let value = value.trim();
        if value.is_empty() {
            return Err(DropReason::Empty);
        }
        if placeholder::is_placeholder(Identifier::Phone, &text::fold(value)) {
            return Err(DropReason::Placeholder);
        }
        let written = Written::read(value).ok_or(DropReason::NotANumber)?;
        let digits = written.digits.as_str();
        if placeholder::is_one_digit(digits) {
            return Err(DropReason::Placeholder);
        }
        let region = country.and_then(Region::of_country);
        // What stands behind the prefix for dialling abroad: of `country`, or of most.
        let abroad = || region.and_then(|region| region.without_exit_code(digits));
        let behind_zeros = digits.strip_prefix("00");
        if written.has_plus {
            // `+0044…` and `+011 44…` say the same thing twice.
            let digits = match digits.starts_with('0') {
                true => behind_zeros.or_else(abroad).unwrap_or(digits),
                false => digits,
            };
            return Number::behind_plus(digits).ok_or(DropReason::ImpossibleNumber)?.possible();
        }
        let read_from_zeros = behind_zeros.and_then(Number::behind_plus);
        if let Some(number) = read_from_zeros.as_ref().filter(|number| number.is_valid) {
            return Ok(number.phone());
        }
        let inferred = match region {
            Some(region) => Number::dialled_in(region, digits).ok_or(DropReason::ImpossibleNumber),
            None if written.has_letters => Err(DropReason::NoCountry),
            None => Number::behind_plus(digits).ok_or(DropReason::NoCountry),
        };
        match (inferred, read_from_zeros) {
            (Ok(number), _) if number.is_valid => Ok(number.phone()),
            (_, Some(number)) => number.possible(),
            (Err(reason), _) => Err(reason),
            (Ok(_), _) if region.is_none() => Err(DropReason::NoCountry),
            (Ok(_), _) => Err(DropReason::ImpossibleNumber),
        }
    }

    /// The form with `+`.
    pub fn e164(&self) -> &str {
        &self.0
    }

    /// The form without `+`: Meta's.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }
}

/// Whether digits that begin with a calling code are a number that its plan knows.
pub(crate) fn is_valid(digits: &str) -> bool {
    Number::behind_plus(digits).is_some_and(|number| number.is_valid)
}

/// Whether digits that begin with a calling code could be a number.
pub(crate) fn is_possible(digits: &str) -> bool {
    Number::behind_plus(digits).is_some_and(|number| number.possible().is_ok())
}

/// A national number of a numbering plan, valid or not.
struct Number {
    /// The main region of its calling code.
    region: &'static Region,
    /// What follows the calling code, zeros included.
    national: String,
    is_valid: bool,
}

impl Number {
    /// Reads digits that begin with a calling code.
    fn behind_plus(digits: &str) -> Option<Self> {
        let (region, rest) = Region::of_digits(digits)?;
        Self::national(region, rest)
    }

    /// Reads digits as they are dialled in a region.
    fn dialled_in(region: &'static Region, digits: &str) -> Option<Self> {
        let international = Region::of_digits(digits).filter(|(main, _)| main.code == region.code);
        if let Some((main, rest)) = international
            && let Some(number) = Self::national(main, rest)
            && number.is_valid
        {
            return Some(number);
        }
        if let Some(abroad) = region.without_exit_code(digits) {
            return Self::behind_plus(abroad);
        }
        // A calling code without plus, where the digits cannot be meant to be national.
        if let Some((main, rest)) = international {
            let national = region.without_trunk(rest);
            if region.length(digits) == Length::TooLong
                || (!region.is_general(digits) && region.is_general(&national))
            {
                return Self::national(main, &national);
            }
        }
        Self::national(region, digits)
    }

    /// Reads a national number, with or without trunk prefix.
    fn national(region: &'static Region, digits: &str) -> Option<Self> {
        let cut = region.without_trunk(digits);
        let national = match region.length(&cut) {
            Length::Possible | Length::TooLong => cut,
            Length::Local | Length::TooShort | Length::Wrong => digits.to_owned(),
        };
        if !(SHORTEST..=LONGEST).contains(&national.len()) {
            return None;
        }
        let region = region.main();
        let is_valid = region.is_valid(&national);
        Some(Self { region, national, is_valid })
    }

    /// The number, if it is one that could exist.
    fn possible(&self) -> Result<Phone, DropReason> {
        if self.is_valid {
            return Ok(self.phone());
        }
        if placeholder::is_one_digit(&self.national) {
            return Err(DropReason::Placeholder);
        }
        let phone = self.phone();
        // What is merely possible must be read the same way when it comes back.
        let is_stable =
            Self::behind_plus(phone.digits()).is_some_and(|again| again.phone() == phone);
        let is_possible =
            matches!(self.region.length(&self.national), Length::Possible | Length::Local);
        if is_stable && is_possible { Ok(phone) } else { Err(DropReason::ImpossibleNumber) }
    }

    fn phone(&self) -> Phone {
        Phone(format!("+{}{}", self.region.code, self.national))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(value: &str, country: &str) -> Result<String, DropReason> {
        let country = Some(country).filter(|c| !c.is_empty());
        Phone::parse(value, country).map(|phone| phone.digits().to_owned())
    }

    #[test]
    fn worked_examples() {
        for (value, country, expected) in [
            ("+44 (0)20 7946 0958", "", "442079460958"),
            ("0612345678", "FR", "33612345678"),
            ("4915112345678", "DE", "4915112345678"),
            ("650.555.1212", "US", "16505551212"),
            ("16505551212", "", "16505551212"),
            ("1-800-FLOWERS", "US", "18003569377"),
            ("0044 20 7946 0958", "us", "442079460958"),
            ("011 44 20 7946 0958", "us", "442079460958"),
            ("0011 44 20 7946 0958", "au", "442079460958"),
            ("+1 650 555 1212 ext 9", "", "16505551212"),
            ("1 650 555 1212 x9", "", "16505551212"),
            ("+001 (616) 954-78 88", "", "16169547888"),
            ("02 1234 5678", "it", "390212345678"),
            ("+54 9 11 2345-6789", "", "5491123456789"),
            ("０６１２３４５６７８", "fr", "33612345678"),
        ] {
            assert_eq!(meta(value, country).as_deref(), Ok(expected), "{value} {country}");
        }
    }

    #[test]
    fn drops_what_it_cannot_place() {
        assert_eq!(meta("1-800-FLOWERS", ""), Err(DropReason::NoCountry));
        assert_eq!(meta("0612345678", ""), Err(DropReason::NoCountry));
        assert_eq!(meta("0612345678", "aq"), Err(DropReason::NoCountry));
        assert_eq!(meta("061234", "fr"), Err(DropReason::ImpossibleNumber));
        assert_eq!(meta("+999 12", ""), Err(DropReason::ImpossibleNumber));
        assert_eq!(meta("call me", "fr"), Err(DropReason::NotANumber));
        assert_eq!(meta("", "fr"), Err(DropReason::Empty));
    }

    #[test]
    fn drops_fillers() {
        for value in ["0000000000", "n/a", "5555555555", "+1 555 555 5555", "-"] {
            assert_eq!(meta(value, "us"), Err(DropReason::Placeholder), "{value}");
        }
    }

    #[test]
    fn a_possible_number_is_enough_behind_a_plus_only() {
        assert_eq!(meta("+1 555 123 4567", "").as_deref(), Ok("15551234567"));
        assert_eq!(meta("555 123 4567", "us"), Err(DropReason::ImpossibleNumber));
    }

    #[test]
    fn the_form_with_plus_reads_as_itself_everywhere() {
        let phone = Phone::parse("0612345678", Some("fr")).expect("a number");
        for country in [None, Some("de"), Some("us")] {
            assert_eq!(Phone::parse(phone.e164(), country).as_ref(), Ok(&phone));
        }
    }
}

//! Phone numbers: E.164, with Google's libphonenumber metadata.
//!
//! Meta: digits with the country code, no `+` (documentation read 2026-09-12); the others want
//! the `+` or not, so a number is parsed for real first. What the metadata cannot settle is
//! dropped: nobody's phone is better than somebody else's.

mod plan;

use rlibphonenumber::{PhoneNumber, PhoneNumberFormat, PhoneNumberUtil, enums::Region};

use super::{DropReason, Identifier, placeholder, text};
use plan::Plan;

/// The longest text that can hold a number, in bytes, as in libphonenumber.
const LONGEST: usize = 250;

/// A phone number in E.164.
///
/// `+44 (0)20 7946 0958` is `442079460958` for Meta; `0612345678` in France is `33612345678`;
/// `4915112345678` in Germany is itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(String);

super::opaque_debug!(Phone);

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
        if placeholder::is_one_digit(&written.digits) {
            return Err(DropReason::Placeholder);
        }
        if written.has_plus {
            // `+0044…` and `+001…` say the same thing twice.
            return written.international(written.digits.strip_prefix("00"));
        }
        if let Some(rest) = written.digits.strip_prefix("00")
            && let Ok(number) = written.international(Some(rest))
        {
            return Ok(number);
        }
        let plan = country.and_then(|country| Some((country, Plan::of_country(country)?)));
        match plan {
            Some((country, plan)) => written.inferred(country, plan),
            None if written.has_letters => Err(DropReason::NoCountry),
            None => written.valid_behind_plus().ok_or(DropReason::NoCountry),
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

/// A number as it was written, not yet understood.
struct Written<'a> {
    /// From the first digit or plus on.
    text: &'a str,
    /// The digits in front of the first letter or other sign that separates no groups.
    digits: String,
    has_plus: bool,
    /// Only digits and separators: no extension, no letters.
    is_plain: bool,
    /// A letter takes the place of a digit, as in `1-800-FLOWERS`.
    has_letters: bool,
}

impl<'a> Written<'a> {
    fn read(value: &'a str) -> Option<Self> {
        let is_plus = |c: char| matches!(c, '+' | '＋');
        let start = value.find(|c: char| is_plus(c) || digit(c).is_some())?;
        let text = value[start..].get(..LONGEST).unwrap_or(&value[start..]);
        let has_plus = text.starts_with(is_plus);
        let mut digits = String::with_capacity(16);
        let mut rest = text.trim_start_matches(is_plus).chars();
        let stop = rest.by_ref().find(|c| match digit(*c) {
            Some(digit) => {
                digits.push(digit);
                false
            }
            None => !is_separator(*c),
        });
        let has_letters =
            stop.into_iter().chain(rest).filter(char::is_ascii_alphabetic).count() > 2;
        let fits = value.len() <= LONGEST && !digits.is_empty();
        fits.then_some(Self { text, digits, has_plus, is_plain: stop.is_none(), has_letters })
    }

    /// Reads an international number; `digits` are those behind a prefix that is no `+`.
    fn international(&self, digits: Option<&str>) -> Result<Phone, DropReason> {
        let behind_plus = digits.unwrap_or(&self.digits);
        let (plan, rest) = Plan::of_digits(behind_plus).ok_or(DropReason::ImpossibleNumber)?;
        if let Some(number) = self.plain(plan, None, rest) {
            return Ok(number);
        }
        let parser = plan.parser();
        let number = match digits {
            None if !self.is_plain => parser.parse(self.text, None),
            _ => parser.parse(format!("+{behind_plus}{}", self.tail()), None),
        };
        let number = number.map_err(|_| DropReason::ImpossibleNumber)?;
        let phone = Phone::from(parser, &number);
        if parser.is_valid_number(&number) {
            return Ok(phone);
        }
        if placeholder::is_one_digit(&number.national_number.to_string()) {
            return Err(DropReason::Placeholder);
        }
        // A number that is merely possible must be read the same way when it comes back.
        let again = parser.parse(&phone.0, None);
        let is_stable = again.is_ok_and(|again| Phone::from(parser, &again) == phone);
        if is_stable && parser.is_possible_number(&number) {
            Ok(phone)
        } else {
            Err(DropReason::ImpossibleNumber)
        }
    }

    /// Reads a number that names no country as one of `country`.
    fn inferred(&self, country: &str, plan: &Plan) -> Result<Phone, DropReason> {
        let parser = plan.parser();
        let digits = &self.digits;
        let starts_with_code =
            Plan::of_digits(digits).is_some_and(|(found, _)| found.code == plan.code);
        if starts_with_code && let Some(number) = self.valid_behind_plus() {
            return Ok(number);
        }
        if let Some(abroad) = plan.without_exit_code(country, digits) {
            return self.international(Some(abroad));
        }
        if !starts_with_code && let Some(number) = self.plain(plan, Some(country), digits) {
            return Ok(number);
        }
        let region = Region::from_code(&country.to_ascii_uppercase()).ok();
        match parser.parse(self.text, region) {
            Ok(number) if parser.is_valid_number(&number) => Ok(Phone::from(parser, &number)),
            Ok(_) => Err(DropReason::ImpossibleNumber),
            Err(_) => Err(DropReason::NotANumber),
        }
    }

    /// Reads digits that need no parsing, several times faster than the parser would: only
    /// their validity is left to it.
    fn plain(&self, plan: &Plan, country: Option<&str>, digits: &str) -> Option<Phone> {
        let national = plan.national(country, digits).filter(|_| self.is_plain)?;
        let national_number = national.parse().ok()?;
        let country_code = plan.code.into();
        let number = PhoneNumber { country_code, national_number, ..PhoneNumber::default() };
        let is_valid = plan.parser().is_valid_number(&number);
        is_valid.then(|| Phone(format!("+{country_code}{national}")))
    }

    fn valid_behind_plus(&self) -> Option<Phone> {
        let (plan, rest) = Plan::of_digits(&self.digits)?;
        if let Some(number) = self.plain(plan, None, rest) {
            return Some(number);
        }
        let parser = plan.parser();
        let text = format!("+{}{}", self.digits, self.tail());
        let number = parser.parse(text, None).ok()?;
        parser.is_valid_number(&number).then(|| Phone::from(parser, &number))
    }

    /// What follows the digits: letters or an extension.
    fn tail(&self) -> &str {
        if self.is_plain {
            return "";
        }
        let stop = |c: char| digit(c).is_none() && !is_separator(c) && !matches!(c, '+' | '＋');
        self.text.find(stop).map_or("", |start| &self.text[start..])
    }
}

impl Phone {
    fn from(parser: &PhoneNumberUtil, number: &PhoneNumber) -> Self {
        Self(parser.format(number, PhoneNumberFormat::E164).into_owned())
    }
}

/// The ASCII digit of a decimal digit: people also type full-width and Arabic ones.
fn digit(c: char) -> Option<char> {
    match c {
        '0'..='9' => Some(c),
        '０'..='９' => char::from_digit(c as u32 - '０' as u32, 10),
        '٠'..='٩' => char::from_digit(c as u32 - '٠' as u32, 10),
        '۰'..='۹' => char::from_digit(c as u32 - '۰' as u32, 10),
        _ => None,
    }
}

/// White space and the punctuation between groups of digits.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '(' | ')' | '.' | '/' | '[' | ']' | '~')
        || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ad}' | '\u{200b}' | '\u{2060}')
        || matches!(c, 'ー' | '－' | '（' | '）' | '．' | '／' | '［' | '］')
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

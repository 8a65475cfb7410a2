//! Owns exact sums of money: what arrived is compared with the shop's books to the last digit.

use std::cmp::Ordering;
use std::fmt;

/// Most places on either side of the point: those of a double, with room.
const MAX_PLACES: usize = 400;

/// A decimal number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// One digit each, those of the fraction last; as many as there are, or one more than `scale`.
    digits: Vec<u8>,
    /// How many of the digits are the fraction.
    scale: usize,
}

impl Decimal {
    /// Reads the text of a JSON number; none when no double can hold it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return None;
        }
        let mut digits: Vec<u8> = all.bytes().map(|b| b - b'0').collect();
        let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let zeros = usize::try_from(places.min(0).unsigned_abs()).ok()?;
        let scale = usize::try_from(places.max(0)).ok()?;
        if zeros > MAX_PLACES || scale > MAX_PLACES || digits.len() > 2 * MAX_PLACES {
            return None;
        }
        // A positive exponent beyond the fraction: zeros go to the right.
        digits.extend(std::iter::repeat_n(0, zeros));
        Some(Self { negative, digits, scale }.trimmed())
    }

    /// Adds, keeping the larger number of decimal places.
    pub(super) fn add(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        let length = [self, other].map(|d| d.digits.len() + scale - d.scale);
        let length = length[0].max(length[1]) + 1;
        let (a, b) = (self.widened(length, scale), other.widened(length, scale));
        if self.negative == other.negative {
            return Self { negative: self.negative, digits: sum(&a, &b), scale }.trimmed();
        }
        let (negative, digits) = match a.cmp(&b) {
            Ordering::Less => (other.negative, difference(&b, &a)),
            _ => (self.negative, difference(&a, &b)),
        };
        Self { negative, digits, scale }.trimmed()
    }

    /// The digits with zeros on both sides.
    fn widened(&self, length: usize, scale: usize) -> Vec<u8> {
        let behind = scale - self.scale;
        let mut wide = vec![0; length - behind - self.digits.len()];
        wide.extend(&self.digits);
        wide.resize(length, 0);
        wide
    }

    /// Without zeros in front, but one before the point; nothing is not negative.
    fn trimmed(mut self) -> Self {
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.negative &= zeros < self.digits.len();
        self.digits.drain(..zeros);
        let lacking = (self.scale + 1).saturating_sub(self.digits.len());
        self.digits.splice(..0, std::iter::repeat_n(0, lacking));
        self
    }
}

/// Both have the same length, and the first digit is free for what is carried.
fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut digits = vec![0; a.len()];
    let mut carried = 0;
    for at in (0..a.len()).rev() {
        let digit = a[at] + b[at] + carried;
        digits[at] = digit % 10;
        carried = digit / 10;
    }
    digits
}

/// Both have the same length, and the first is not smaller.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut digits = vec![0; a.len()];
    let mut borrowed = 0;
    for at in (0..a.len()).rev() {
        let digit = 10 + a[at] - b[at] - borrowed;
        digits[at] = digit % 10;
        borrowed = u8::from(digit < 10);
    }
    digits
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        let sign = if self.negative { "-" } else { "" };
        let text: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        match text.split_at(text.len() - self.scale) {
            (whole, "") => write!(f, "{sign}{whole}"),
            (whole, fraction) => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::Decimal;

    fn sum(values: &[&str]) -> String {
        let add = |sum: Decimal, text: &&str| sum.add(&Decimal::parse(text).expect("a number"));
        values.iter().fold(Decimal::default(), add).to_string()
    }

    #[test]
    fn adds_without_rounding() {
        assert_eq!(sum(&["0.1", "0.2"]), "0.3");
        assert_eq!(sum(&["19.90", "5", "0.005"]), "24.905");
        assert_eq!(sum(&["-0.05", "-1"]), "-1.05");
        assert_eq!(sum(&["-0.05", "0.05"]), "0.00");
        assert_eq!(sum(&["1", "-1000.5"]), "-999.5");
        assert_eq!(sum(&["1e2", "1.5E1", "25e-2"]), "115.25");
        assert_eq!(sum(&["0.30000000000000004", "1e17"]), "100000000000000000.30000000000000004");
        assert_eq!(sum(&["999999999999999999", "0.000000000000000001"]).len(), 37);
        assert_eq!(sum(&["9".repeat(60).as_str(), "1"]), format!("1{}", "0".repeat(60)));
        assert_eq!(sum(&["1e300", "1e-300"]).len(), 602);
        assert_eq!(sum(&[]), "0");
        assert_eq!(sum(&["0"]), "0");
    }

    #[test]
    fn refuses_what_is_no_money() {
        for text in ["", "-", "1e309", "1e-401", "0x10", ".", "1e99999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn adds_as_whole_numbers_do(a in any::<i64>(), b in any::<i64>(), places in 0..20_u32) {
            let cents = |n: i64| Decimal::parse(&format!("{n}e-{places}")).expect("a number");
            let expected = (i128::from(a) + i128::from(b)).to_string();
            let expected = Decimal::parse(&format!("{expected}e-{places}")).expect("a number");
            prop_assert_eq!(cents(a).add(&cents(b)), expected);
        }
    }
}

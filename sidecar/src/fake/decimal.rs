//! Owns exact sums of money: what arrived is compared with the shop's books to the last digit.

use std::fmt;

/// Most digits on either side of the point. A binary fraction printed in full has 17 places; the
/// sums of numbers of this size still fit.
const MAX_DIGITS: u32 = 18;

/// A decimal number: mantissa and number of decimal places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Decimal {
    mantissa: i128,
    scale: u32,
}

impl Decimal {
    /// Reads the text of a JSON number; none when it has too many digits.
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
        let digits = [whole, fraction].concat();
        if digits.is_empty() || digits.len() > 36 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mantissa: i128 = digits.parse().ok()?;
        let mantissa = if negative { -mantissa } else { mantissa };
        let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let decimal = match u32::try_from(places) {
            Ok(scale) if scale <= MAX_DIGITS => Self { mantissa, scale },
            Ok(_) => return None,
            // A positive exponent beyond the fraction: zeros go to the right.
            Err(_) => {
                let zeros = 10_i128.checked_pow(places.unsigned_abs())?;
                Self { mantissa: mantissa.checked_mul(zeros)?, scale: 0 }
            }
        };
        let limit = 10_u128.pow(MAX_DIGITS + decimal.scale);
        (decimal.mantissa.unsigned_abs() < limit).then_some(decimal)
    }

    /// Adds, keeping the larger number of decimal places.
    pub(super) fn add(self, other: Self) -> Self {
        let scale = self.scale.max(other.scale);
        let widen = |d: Self| d.mantissa.saturating_mul(10_i128.pow(scale - d.scale));
        Self { mantissa: widen(self).saturating_add(widen(other)), scale }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs();
        if self.scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let unit = 10_u128.pow(self.scale);
        let width = self.scale as usize;
        write!(f, "{sign}{}.{:0width$}", digits / unit, digits % unit)
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    fn sum(values: &[&str]) -> String {
        let add = |sum: Decimal, text: &&str| sum.add(Decimal::parse(text).expect("a number"));
        values.iter().fold(Decimal::default(), add).to_string()
    }

    #[test]
    fn adds_without_rounding() {
        assert_eq!(sum(&["0.1", "0.2"]), "0.3");
        assert_eq!(sum(&["19.90", "5", "0.005"]), "24.905");
        assert_eq!(sum(&["-0.05", "-1"]), "-1.05");
        assert_eq!(sum(&["1e2", "1.5E1", "25e-2"]), "115.25");
        assert_eq!(sum(&["0.30000000000000004", "1e17"]), "100000000000000000.30000000000000004");
        assert_eq!(sum(&["999999999999999999", "0.000000000000000001"]).len(), 37);
        assert_eq!(sum(&[]), "0");
    }

    #[test]
    fn refuses_what_is_no_money() {
        for text in ["", "-", "1e18", "1e99", "1e-19", "1234567890123456789", "0x10", "."] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}

//! Owns exact sums of money: what arrived is compared with the shop's books to the last digit.

use std::fmt;

/// Most decimal places kept; more would not be money.
const MAX_SCALE: u32 = 12;

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
        if digits.is_empty() || digits.len() > 24 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mantissa: i128 = digits.parse().ok()?;
        let mantissa = if negative { -mantissa } else { mantissa };
        let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        match u32::try_from(places) {
            Ok(scale) if scale <= MAX_SCALE => Some(Self { mantissa, scale }),
            Ok(_) => None,
            // A positive exponent beyond the fraction: zeros go to the right.
            Err(_) if places >= -12 => {
                let zeros = places.unsigned_abs();
                Some(Self {
                    mantissa: mantissa.checked_mul(10_i128.checked_pow(zeros)?)?,
                    scale: 0,
                })
            }
            Err(_) => None,
        }
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
        assert_eq!(sum(&[]), "0");
    }

    #[test]
    fn refuses_what_is_no_money() {
        for text in ["", "-", "1e99", "1e-40", "1234567890123456789012345", "0x10", "."] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}

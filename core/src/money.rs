//! Amounts and currencies: exact, and never made up.

use serde::{Deserialize, Serialize};

/// A decimal amount in major units of its currency, as exact as Postgres `numeric` wrote it.
///
/// Zero and negative amounts are amounts; `NaN` and infinities are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Number", into = "serde_json::Number")]
pub struct Amount(String);

/// Why an amount or a currency is no amount or currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a finite decimal number.
    #[error("not a finite decimal number")]
    NotANumber,
    /// Not the ISO 4217 code of money in use.
    #[error("no current ISO 4217 code")]
    UnknownCurrency,
}

impl Amount {
    /// Parses the text form of a Postgres `numeric` or a JSON number.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let text = text.trim();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0
            || whole.len() + fraction.len() > 60
            || !all_digits(whole)
            || !all_digits(fraction)
        {
            return Err(MoneyError::NotANumber);
        }
        let whole = match whole.trim_start_matches('0') {
            "" => "0",
            rest => rest,
        };
        Ok(Self(match fraction {
            "" => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{fraction}"),
        }))
    }

    /// The decimal text, without exponent or grouping.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The amount as a JSON number with every digit kept.
    pub fn to_json(&self) -> serde_json::Number {
        serde_json::Number::from_string_unchecked(self.0.clone())
    }
}

impl TryFrom<serde_json::Number> for Amount {
    type Error = MoneyError;

    fn try_from(number: serde_json::Number) -> Result<Self, MoneyError> {
        Self::parse(&number.to_string())
    }
}

impl From<Amount> for serde_json::Number {
    fn from(amount: Amount) -> Self {
        amount.to_json()
    }
}

/// Codes of ISO 4217 that are no money in use, as of 2026-11: of funds and units of account, of
/// metals, for tests, and of money that was withdrawn.
///
/// VED is kept: since 2021-10 it stands for Venezuela's money in use beside VES, and the list of
/// ISO 4217 has both. Of the withdrawn ones, BGN was money until
/// 2026-02 with the euro beside it, CUC until 2021, HRK until 2023-01, SLL (now SLE) until 2024-01,
/// ZWL (now ZWG) until 2024-04.
const NOT_IN_USE: &[&str] = &[
    "BGN", "CUC", "HRK", "SLL", "ZWL", // withdrawn
    "BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", // funds
    "XAD", "XBA", "XBB", "XBC", "XBD", "XDR", "XSU", "XUA", // units of account
    "XAG", "XAU", "XPD", "XPT", // metals
    "XTS", "XXX", // for tests, and for none
];

/// An ISO 4217 alphabetic code in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Parses the code of money in use: of any case, with white space around it.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let currency = Self::known(text)?;
        if currency.is_current() { Ok(currency) } else { Err(MoneyError::UnknownCurrency) }
    }

    /// Parses any code of ISO 4217.
    fn known(text: &str) -> Result<Self, MoneyError> {
        let code = text.trim().to_ascii_uppercase();
        iso_currency::Currency::from_code(&code)
            .and_then(|_| code.as_bytes().try_into().ok())
            .map(Self)
            .ok_or(MoneyError::UnknownCurrency)
    }

    /// Whether this is money in use. A stored event may have other money: it was captured when
    /// that was still in use, or by an older extension.
    pub fn is_current(&self) -> bool {
        !NOT_IN_USE.contains(&self.as_str())
    }

    /// The three upper-case letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII letters are stored")
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(value: String) -> Result<Self, MoneyError> {
        Self::known(&value)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_digit() {
        for (text, expected) in
            [("12.50", "12.50"), ("007", "7"), (".5", "0.5"), ("-3.10", "-3.10"), ("0", "0")]
        {
            assert_eq!(Amount::parse(text).expect(text).as_str(), expected);
        }
        let exact = "12345678901234567890.123456789";
        let json = serde_json::to_string(&Amount::parse(exact).expect("a number")).expect("json");
        assert_eq!(json, exact);
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in ["", ".", "NaN", "Infinity", "1,000", "1e3", "12 EUR", "--1"] {
            assert_eq!(Amount::parse(text), Err(MoneyError::NotANumber), "{text}");
        }
    }

    #[test]
    fn currency_is_an_iso_code_in_upper_case() {
        assert_eq!(Currency::parse(" eur ").expect("EUR").as_str(), "EUR");
        for text in ["", "EU", "EURO", "ZZZ", "€"] {
            assert_eq!(Currency::parse(text), Err(MoneyError::UnknownCurrency), "{text}");
        }
    }

    #[test]
    fn codes_that_are_no_money_in_use_are_no_currency() {
        for code in NOT_IN_USE {
            assert_eq!(Currency::parse(code), Err(MoneyError::UnknownCurrency), "{code}");
            let stored = serde_json::to_value(Currency::known(code).expect("a code of ISO 4217"));
            let stored: Currency = serde_json::from_value(stored.expect("json")).expect(code);
            assert!(!stored.is_current(), "{code}");
        }
        assert_eq!(MoneyError::UnknownCurrency.to_string(), "no current ISO 4217 code");
        for code in ["VED", "VES", "XOF", "XAF", "XPF", "XCD", "XCG", "SLE", "ZWG", "EUR", "SVC"] {
            assert_eq!(Currency::parse(code).expect(code).as_str(), code);
        }
    }
}

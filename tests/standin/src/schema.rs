//! Owns the shapes of request bodies as tables: keys, kinds and the rule that each key belongs to.
//!
//! Every violation is found, not only the first: some platforms answer for each event.

use std::net::IpAddr;

use serde_json::Value;

use super::decimal::Decimal;
use super::meta::CURRENCIES;

/// One object: its keys, and the rule that refuses others (none: others are the sender's own).
#[derive(Debug)]
pub(super) struct Part {
    pub(super) keys: &'static [Key],
    pub(super) unknown: Option<&'static str>,
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    name: &'static str,
    kind: Kind,
    rule: &'static str,
    required: bool,
}

/// A key that may be left out.
pub(super) const fn opt(name: &'static str, kind: Kind, rule: &'static str) -> Key {
    Key { name, kind, rule, required: false }
}

/// A key that must be there.
pub(super) const fn req(name: &'static str, kind: Kind, rule: &'static str) -> Key {
    Key { name, kind, rule, required: true }
}

/// What a value must look like. Null and blank text fit nowhere: absent means left out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Judged elsewhere.
    Any,
    /// Text.
    Text,
    /// Text of at most so many characters.
    TextUpTo(usize),
    /// A list of texts.
    Texts,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// True or false.
    Flag,
    /// A number that a double can hold.
    Number,
    /// A whole number that is not negative.
    Count,
    /// A count, or its digits as text.
    CountOrDigits,
    /// A decimal number as text.
    MoneyText,
    /// A decimal number, as number or text.
    Money,
    /// The code of money in use, in upper case.
    Currency,
    /// Digits as text.
    Digits,
    /// SHA-256 in 64 lower-case hex digits, not that of nothing.
    Digest,
    /// A list of digests, not empty.
    Digests,
    /// One digest or a list of them, not empty.
    DigestOrDigests,
    /// An IPv4 or IPv6 address.
    Address,
    /// An address of the web.
    Url,
    /// An object.
    Object(&'static Part),
    /// A list of objects, from so many to so many.
    List(&'static Part, usize, usize),
}

/// One broken rule.
#[derive(Debug, Clone)]
pub(super) struct Violation {
    /// The name of the rule in `docs/contributing/standin.md`.
    pub(super) rule: &'static str,
    /// The path to the value, such as `data[0].user.email`.
    pub(super) field: String,
    /// What is wrong; never the value.
    pub(super) text: String,
    /// Whether the value is not there at all.
    pub(super) missing: bool,
}

impl Violation {
    /// A value that is there and wrong.
    pub(super) fn wrong(
        rule: &'static str,
        field: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self { rule, field: field.into(), text: text.into(), missing: false }
    }

    /// A value that is not there.
    pub(super) fn missing(rule: &'static str, field: impl Into<String>) -> Self {
        Self { missing: true, ..Self::wrong(rule, field, "is required") }
    }

    /// The position of the event, when the path leads through the list `list`.
    pub(super) fn position(&self, list: &str) -> Option<usize> {
        let rest = self.field.strip_prefix(list)?.strip_prefix('[')?;
        rest.split_once(']')?.0.parse().ok()
    }
}

/// SHA-256 of nothing: formally a digest, in fact a field that was empty.
const DIGEST_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Finds every violation in an object at `path` (empty for the body).
pub(super) fn check(part: &Part, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let Some(object) = value.as_object() else { return };
    let name = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    if let Some(rule) = part.unknown {
        let known = |key: &String| part.keys.iter().any(|known| known.name == key);
        let strangers = object.keys().filter(|key| !known(key));
        found.extend(strangers.map(|key| Violation::wrong(rule, name(key), "is not a known key")));
    }
    for key in part.keys {
        match object.get(key.name) {
            None if key.required => found.push(Violation::missing(key.rule, name(key.name))),
            None => {}
            Some(value) => check_value(key.kind, key.rule, value, &name(key.name), found),
        }
    }
}

fn check_value(
    kind: Kind,
    rule: &'static str,
    value: &Value,
    path: &str,
    found: &mut Vec<Violation>,
) {
    match kind {
        Kind::Object(part) if value.is_object() => check(part, value, path, found),
        Kind::List(part, least, most) => match value.as_array().map(Vec::as_slice) {
            Some([]) if least > 0 => found.push(Violation::missing(rule, path)),
            Some(list) if list.iter().all(Value::is_object) => {
                if !(least..=most).contains(&list.len()) {
                    let text = format!("must hold {least} to {most} objects");
                    found.push(Violation::wrong(rule, path, text));
                }
                for (at, item) in list.iter().enumerate() {
                    check(part, item, &format!("{path}[{at}]"), found);
                }
            }
            _ => found.push(Violation::wrong(rule, path, "must be a list of objects")),
        },
        _ => {
            if let Err(text) = fits(kind, value) {
                found.push(Violation::wrong(rule, path, text));
            }
        }
    }
}

fn fits(kind: Kind, value: &Value) -> Result<(), &'static str> {
    let text = value.as_str().filter(|text| !text.trim().is_empty());
    let list = |holds: fn(&str) -> bool| {
        value.as_array().is_some_and(|list| {
            !list.is_empty() && list.iter().all(|item| item.as_str().is_some_and(holds))
        })
    };
    let holds = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(rule) };
    const DIGEST: &str = "must be SHA-256 in 64 lower-case hex digits, not of an empty text";
    match kind {
        Kind::Any => Ok(()),
        Kind::Text => holds(text.is_some(), "must be text, not empty"),
        Kind::TextUpTo(most) => holds(
            text.is_some_and(|text| text.chars().count() <= most),
            "must be text, not empty and not longer than documented",
        ),
        Kind::Texts => holds(list(|text| !text.trim().is_empty()), "must be a list of texts"),
        Kind::OneOf(known) => holds(
            text.is_some_and(|text| known.contains(&text)),
            "must be one of the documented values",
        ),
        Kind::Flag => holds(value.is_boolean(), "must be true or false"),
        Kind::Number => holds(
            value.is_number() && Decimal::parse(&value.to_string()).is_some(),
            "must be a number",
        ),
        Kind::Count => holds(value.is_u64(), "must be a whole number, not negative"),
        Kind::CountOrDigits => holds(
            value.is_u64() || text.is_some_and(is_digits),
            "must be a whole number, not negative",
        ),
        Kind::MoneyText => holds(text.is_some_and(is_decimal), "must be a decimal number as text"),
        Kind::Money => holds(
            text.is_some_and(is_decimal)
                || value.is_number() && Decimal::parse(&value.to_string()).is_some(),
            "must be a decimal number",
        ),
        Kind::Currency => holds(
            text.is_some_and(|text| CURRENCIES.split(' ').any(|known| known == text)),
            "must be a current ISO 4217 code",
        ),
        Kind::Digits => holds(text.is_some_and(is_digits), "must be digits as text"),
        Kind::Digest => holds(text.is_some_and(is_digest), DIGEST),
        Kind::Digests => holds(list(is_digest), DIGEST),
        Kind::DigestOrDigests => holds(text.is_some_and(is_digest) || list(is_digest), DIGEST),
        Kind::Address => holds(
            text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            "must be an IPv4 or IPv6 address",
        ),
        Kind::Url => holds(text.is_some_and(is_web_address), "must be an address of the web"),
        Kind::Object(_) | Kind::List(..) => Err("must be an object"),
    }
}

/// Whether there are only digits, and at least one.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it is a lower-case hex digest of something.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && text != DIGEST_OF_NOTHING
}

fn is_decimal(text: &str) -> bool {
    !text.contains(['e', 'E', '+']) && Decimal::parse(text).is_some()
}

fn is_web_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https") && !rest.is_empty() && !rest.starts_with(['/', '?', '#'])
    })
}

/// The money of an object: currency and value, the latter as number or text.
pub(super) fn money(object: &Value, currency: &str, value: &str) -> Option<(String, Decimal)> {
    let code = object[currency].as_str()?.to_owned();
    let value = match &object[value] {
        Value::String(text) => Decimal::parse(text)?,
        Value::Number(number) => Decimal::parse(&number.to_string())?,
        _ => return None,
    };
    Some((code, value))
}

//! Reading settings: which keys there are and what shape each has. No error quotes a value: it may
//! be a token in the wrong place, and so may an unknown key.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Why the settings of a destination are no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No such platform.
    #[error("unknown platform; known are: {known}")]
    UnknownPlatform {
        /// Names of the known platforms.
        known: String,
    },
    /// A key is missing, unknown or has a wrong value.
    #[error("setting {key}: {rule}")]
    Setting {
        /// The key.
        key: String,
        /// What it must be; never the value.
        rule: String,
    },
}

/// Settings of every platform.
pub(crate) const COMMON: &[(&str, Shape)] = &[
    ("events", Shape::Texts),
    ("only", Shape::List),
    ("omit", Shape::List),
    ("value_from", Shape::TextOrNull),
];

/// What a setting holds, before its own rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    /// A text, or null for none.
    TextOrNull,
    Boolean,
    WholeOrNull,
    /// An object of texts, or null for an empty one.
    Texts,
    /// An array of texts, or null.
    List,
}

impl Shape {
    /// The rule that a value breaks, if it does.
    fn rule(self, value: &Value) -> Option<&'static str> {
        let (fits, rule) = match (self, value) {
            (Self::TextOrNull | Self::WholeOrNull | Self::Texts | Self::List, Value::Null) => {
                return None;
            }
            (Self::Text | Self::TextOrNull, value) => (value.is_string(), "must be a text"),
            (Self::Boolean, value) => (value.is_boolean(), "must be true or false"),
            (Self::WholeOrNull, value) => (value.is_i64(), "must be a whole number"),
            (Self::Texts, value) => (
                value.as_object().is_some_and(|map| map.values().all(Value::is_string)),
                "must be an object of texts",
            ),
            (Self::List, value) => (
                value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
                "must be an array of texts",
            ),
        };
        (!fits).then_some(rule)
    }
}

/// An error about a key.
pub(crate) fn broken(key: &str, rule: &str) -> SettingsError {
    SettingsError::Setting { key: key.to_owned(), rule: rule.to_owned() }
}

/// Whether a key may be quoted: a token in its place has digits and capitals, or is longer.
fn is_plain(key: &str) -> bool {
    (1..=40).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// The settings as an object whose keys are known and whose values have their shape. Serde's own
/// messages would quote the value.
pub(crate) fn shapes<'a>(
    settings: &'a Value,
    known: &[(&str, Shape)],
) -> Result<&'a Map<String, Value>, SettingsError> {
    let object = settings.as_object().ok_or_else(|| broken("settings", "must be an object"))?;
    for (key, value) in object {
        let Some((_, shape)) = known.iter().find(|(known, _)| known == key) else {
            let names = known.iter().chain(COMMON).map(|(name, _)| *name);
            let names: std::collections::BTreeSet<&str> = names.collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(match is_plain(key) {
                true => broken(key, &format!("is not known; known are {names}")),
                false => broken("settings", &format!("have an unknown key; known are {names}")),
            });
        };
        if let Some(rule) = shape.rule(value) {
            return Err(broken(key, rule));
        }
    }
    Ok(object)
}

/// Reads settings of these shapes, with the keys that must be there.
pub(crate) fn read<T: DeserializeOwned>(
    settings: &Value,
    known: &[(&str, Shape)],
    required: &[&str],
) -> Result<T, SettingsError> {
    let object = shapes(settings, known)?;
    for key in required {
        if object.get(*key).is_none_or(Value::is_null) {
            return Err(broken(key, "is required"));
        }
    }
    let given = object.iter().filter(|(_, value)| !value.is_null());
    let given = given.map(|(key, value)| (key.clone(), value.clone())).collect();
    T::deserialize(Value::Object(given))
        .map_err(|_| broken("settings", "must be the settings of such a destination"))
}

/// An endpoint without its last slashes: scheme and host, or the vendor's own.
pub(crate) fn endpoint(given: Option<String>, default: &str) -> Result<String, SettingsError> {
    let Some(mut endpoint) = given else { return Ok(default.to_owned()) };
    endpoint.truncate(endpoint.trim_end_matches('/').len());
    check_endpoint(&endpoint).map_err(|rule| broken("endpoint", rule))?;
    Ok(endpoint)
}

/// Refuses an id that is not `length` letters, digits, dashes or underscores: it stands in the URL.
pub(crate) fn check_id(key: &str, id: &str) -> Result<(), SettingsError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=64).contains(&id.len()) && id.bytes().all(plain) {
        return Ok(());
    }
    Err(broken(key, "must be 1 to 64 letters, digits, dashes or underscores"))
}

/// Refuses an id that is not made of digits.
pub(crate) fn check_digits(key: &str, id: &str) -> Result<(), SettingsError> {
    if (1..=20).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    Err(broken(key, "must be 1 to 20 digits"))
}

/// Refuses an endpoint that would send a credential in clear or hide one: https, or http to
/// loopback; without user, query and fragment.
pub(crate) fn check_endpoint(endpoint: &str) -> Result<(), &'static str> {
    const RULE: &str = "must be https://host, or http:// on loopback, without user and query";
    let (clear, rest) = match endpoint.split_once("://") {
        Some(("https", rest)) => (false, rest),
        Some(("http", rest)) => (true, rest),
        _ => return Err(RULE),
    };
    if rest.contains(['@', '?', '#', '\\']) || rest.contains(char::is_whitespace) {
        return Err(RULE);
    }
    let authority = rest.split('/').next().unwrap_or_default();
    // As a URL's parser reads it, or not at all.
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let (host, is_host, rest) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (v6, rest) = rest.split_once(']').ok_or(RULE)?;
            (v6, v6.parse::<std::net::Ipv6Addr>().is_ok(), rest)
        }
        None => {
            let (name, rest) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            (name, !name.is_empty() && name.bytes().all(is_name), rest)
        }
    };
    let is_port = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let fits = is_host && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    let loopback = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if !fits || (clear && !loopback) { Err(RULE) } else { Ok(()) }
}

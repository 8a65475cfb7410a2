//! The rule book as data: for every field what is done to it, with examples and sources.
//!
//! `docs/reference/identifiers.md` is made of it and every example is run, so page and code cannot
//! drift apart. [`normalize_field`] applies a rule by the name of its field, hashed or in clear.

mod book;
mod rule;

use super::click_id;
use super::date_of_birth::DateOrder;
use super::identifier::Identifier;
use super::ip::{client_ip, user_agent};
use super::normalize::{Context, Normalized, Parsed, Serves, Takes, normalize, takes};
use super::reason::DropReason;
use crate::hash::Digest;
use crate::money::{Amount, Currency};
use crate::time::Timestamp;

pub use book::BOOK;
pub use rule::{Example, Rule, Source};

/// What the rule of `field` makes of the input of an example.
pub fn run(example: &Example, field: &str) -> Result<FieldValue, FieldError> {
    let country = example.country.and_then(|country| super::country::country_code(country).ok());
    let time = |text: Option<&str>| text.and_then(|text| Timestamp::parse(text).ok());
    let context = Context {
        country: country.as_deref(),
        zip: example.zip,
        date_order: example.date_order.and_then(DateOrder::parse),
        clicked_at: time(example.clicked_at),
        event_time: time(example.event_time),
        ..Context::default()
    };
    normalize_field(field, example.input, example.platform, &context)
}

/// A field's value as a platform gets it.
#[derive(Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// Travels as a digest.
    Hashed(Normalized),
    /// Travels as it is here.
    Clear(String),
}

impl FieldValue {
    /// The normalised text; the 64 hex digits of a value that was a digest already.
    pub fn into_string(self) -> String {
        match self {
            Self::Hashed(normalized) => normalized.into_string(),
            Self::Clear(text) => text,
        }
    }

    /// The digest that travels, if one does.
    pub fn digest(&self) -> Result<Digest, FieldError> {
        match self {
            Self::Hashed(normalized) => Ok(normalized.digest()),
            Self::Clear(_) => Err(FieldError::InClear),
        }
    }
}

// Clear text stays out of logs and panics.
impl std::fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hashed(_) => "Hashed(..)",
            Self::Clear(_) => "Clear(..)",
        })
    }
}

/// Why there is no normalised value, or no digest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No rule has this field.
    #[error("the field has no rule")]
    NoRule,
    /// The platform takes the field in clear, so that there is no digest.
    #[error("the field travels in clear and is never hashed")]
    InClear,
    /// The platform has no such field.
    #[error("the platform takes no such field")]
    NotTaken,
    /// The rule drops the value.
    #[error(transparent)]
    Dropped(#[from] DropReason),
}

/// The rule of a field.
pub fn find(field: &str) -> Option<&'static Rule> {
    BOOK.iter().find(|rule| rule.fields.contains(&field))
}

/// Whether a platform takes the field as a digest; false also for a field without a rule.
pub fn is_hashed(field: &str, platform: &str) -> bool {
    Identifier::parse(field).is_some_and(|known| matches!(takes(known, platform), Takes::Hashed))
}

/// Whether a platform takes the field, hashed or in clear; true for every field that is no
/// identifier, since those are each platform's own.
pub fn is_taken(field: &str, platform: &str) -> bool {
    Identifier::parse(field).is_none_or(|known| !matches!(takes(known, platform), Takes::Nothing))
}

/// Normalises a value of any field that has a rule, hashed or in clear, as one platform gets it.
///
/// `platform` is one of [`super::PLATFORMS`]. White space around a clear value does not count.
pub fn normalize_field(
    field: &str,
    value: &str,
    platform: &str,
    context: &Context<'_>,
) -> Result<FieldValue, FieldError> {
    if let Some(identifier) = Identifier::parse(field) {
        let in_clear = match takes(identifier, platform) {
            Takes::Hashed => {
                return Ok(FieldValue::Hashed(normalize(identifier, value, platform, context)?));
            }
            Takes::Clear(form) => form,
            Takes::Nothing => return Err(FieldError::NotTaken),
        };
        let text = match Parsed::parse(identifier, value, context)? {
            // Only the source knows what its ids look like.
            Parsed::Digest(digest, Serves::Every) => digest.into(),
            Parsed::Digest(..) => return Err(DropReason::DigestOfOtherForm.into()),
            parsed => in_clear(value, &parsed),
        };
        return match text.is_empty() {
            true => Err(DropReason::NotInForm.into()),
            false => Ok(FieldValue::Clear(text)),
        };
    }
    if find(field).is_none() {
        return Err(FieldError::NoRule);
    }
    // The pixel's event id counts with every blank.
    if field == "event_id" {
        return Ok(FieldValue::Clear(click_id::event_id(value)?));
    }
    let value = value.trim();
    if value.is_empty() {
        return Err(DropReason::Empty.into());
    }
    let text = match field {
        "client_ip_address" => client_ip(value)?,
        "client_user_agent" => user_agent(value)?,
        "fbp" => click_id::fbp(value)?,
        "fbc" => match context.event_time {
            Some(event_time) => click_id::fbc(value, event_time)?,
            None => click_id::fbc_shape(value)?,
        },
        "fbclid" => match context.clicked_at {
            Some(at) => click_id::fbc_from_fbclid(value, at, context.event_time.unwrap_or(at))?,
            None => click_id::fbclid_shape(value)?,
        },
        "lead_id" => click_id::lead_id(value)?,
        "fb_login_id" => click_id::numeric_id(value)?,
        "currency" => {
            let code = Currency::parse(value).map_err(|_| DropReason::UnknownCurrency)?;
            code.as_str().to_owned()
        }
        "value" => {
            let amount = Amount::parse(value).map_err(|_| DropReason::NotANumber)?;
            amount.as_str().to_owned()
        }
        _ => click_id::opaque_id(value)?,
    };
    Ok(FieldValue::Clear(text))
}

/// The digest of a value of any field as one platform gets it.
pub fn digest_field(
    field: &str,
    value: &str,
    platform: &str,
    context: &Context<'_>,
) -> Result<Digest, FieldError> {
    if !is_taken(field, platform) {
        return Err(FieldError::NotTaken);
    }
    if find(field).is_some() && !is_hashed(field, platform) {
        return Err(FieldError::InClear);
    }
    normalize_field(field, value, platform, context)?.digest()
}

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::*;
    use crate::field::{self, Class, Field, Kind};
    use crate::identity::PLATFORMS;

    #[test]
    fn every_example_is_what_the_code_gives() {
        let mut wrong = Vec::new();
        for rule in BOOK {
            for field in rule.fields {
                for example in rule.examples {
                    let given = run(example, field).map(FieldValue::into_string);
                    let expected = example.outcome.map(str::to_owned).map_err(FieldError::Dropped);
                    if given != expected {
                        wrong.push(format!("{field} {:?}: {given:?}", example.input));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_rule_is_complete() {
        for rule in BOOK {
            let name = rule.fields[0];
            assert!(rule.rule.ends_with('.'), "{name}");
            assert!(rule.examples.len() >= 4, "{name}");
            assert!(rule.examples.iter().any(|e| e.outcome.is_err()), "{name}: none is dropped");
            assert!(rule.examples.iter().any(|e| e.outcome.is_ok()), "{name}: all are dropped");
            assert!(!rule.sources.is_empty(), "{name}");
            assert!((1..=crate::RULES_VERSION).contains(&rule.version), "{name}");
            for source in rule.sources {
                assert!(source.url.starts_with("https://"), "{name}");
                assert!(matches!(source.read.len(), 7 | 10), "{name}: {}", source.read);
            }
            for example in rule.examples {
                for time in [example.clicked_at, example.event_time].into_iter().flatten() {
                    assert!(Timestamp::parse(time).is_ok(), "{name} {time}");
                }
                let order = example.date_order;
                assert_eq!(order.is_some(), order.and_then(DateOrder::parse).is_some(), "{name}");
            }
            let forms: Vec<Form> = rule.forms.iter().map(|(form, _)| *form).collect();
            let used = rule.identifier().map_or(&[][..], Identifier::forms);
            assert_eq!(forms, used.iter().map(|(form, _)| *form).collect::<Vec<_>>(), "{name}");
            for form in &forms {
                let platforms = used.iter().find(|(f, _)| f == form).map_or(&[][..], |(_, p)| *p);
                let shown = |e: &Example| platforms.contains(&e.platform);
                assert!(rule.examples.iter().any(shown), "{name}: no example of {form:?}");
            }
            for (platform, _) in rule.in_clear {
                assert!(!is_hashed(name, platform), "{name} {platform}");
                assert!(rule.examples.iter().any(|e| e.platform == *platform), "{name} {platform}");
            }
            for platform in PLATFORMS.into_iter().filter(|_| rule.identifier().is_some()) {
                let in_clear = rule.in_clear.iter().any(|(known, _)| *known == platform);
                let is_clear = is_taken(name, platform) && !is_hashed(name, platform);
                assert_eq!(in_clear, is_clear, "{name} {platform}");
            }
        }
    }

    #[test]
    fn every_identifier_and_clear_field_has_one_rule() {
        let ruled: Vec<&str> = BOOK.iter().flat_map(|rule| rule.fields).copied().collect();
        for (n, name) in ruled.iter().enumerate() {
            assert!(!ruled[..n].contains(name), "{name} twice");
            assert!(field::find(name).is_some(), "{name} is no field");
        }
        for identifier in Identifier::ALL {
            assert!(ruled.contains(&identifier.as_str()), "{identifier:?}");
        }
        // JSON has a shape, which capture checks part by part.
        let clear = |field: &&Field| field.class == Class::Clear && field.kind != Kind::Json;
        for field in field::FIELDS.iter().filter(clear) {
            assert!(ruled.contains(&field.name), "{}", field.name);
        }
    }

    #[test]
    fn a_clear_field_has_no_digest() {
        let context = Context::default();
        let ip = normalize_field("client_ip_address", " 203.0.113.7 ", "meta", &context);
        assert_eq!(ip, Ok(FieldValue::Clear("203.0.113.7".into())));
        for (field, value, platform) in [
            ("client_ip_address", "203.0.113.7", "meta"),
            ("client_ip_address", "10.0.0.1", "meta"),
            ("gclid", "Cj0", "google_ads"),
            ("country", "us", "google_ads"),
            ("city", "Berlin", "tiktok"),
            ("state", "CA", "tiktok"),
            ("country", "us", "tiktok"),
            ("city", "Berlin", "ga4"),
            ("state", "CA", "ga4"),
            ("zip", "94105", "ga4"),
            ("country", "us", "ga4"),
            ("external_id", "42", "ga4"),
            ("external_id", "42", "linkedin"),
            ("country", "us", "linkedin"),
            ("external_id", "42", "microsoft"),
        ] {
            let digest = digest_field(field, value, platform, &context);
            assert_eq!(digest, Err(FieldError::InClear), "{field}");
        }
        let of = |field| normalize_field(field, "x", "meta", &context);
        assert_eq!(of("favourite_colour"), Err(FieldError::NoRule));
        let digest = digest_field("country", "USA", "meta", &context);
        assert_eq!(digest, Ok(Digest::of("us")));
    }

    #[test]
    fn a_field_that_a_platform_does_not_take_has_no_form_there() {
        let context = Context::default();
        for (field, value, platform) in [
            ("phone", "+33612345678", "linkedin"),
            ("city", "Berlin", "google_ads"),
            ("state", "CA", "google_ads"),
            ("gender", "f", "tiktok"),
            ("first_name", "Jane", "x"),
            ("city", "n/a", "reddit"),
        ] {
            let normalized = normalize_field(field, value, platform, &context);
            assert_eq!(normalized, Err(FieldError::NotTaken), "{field} {platform}");
            let digest = digest_field(field, value, platform, &context);
            assert_eq!(digest, Err(FieldError::NotTaken), "{field} {platform}");
            assert!(!is_hashed(field, platform) && !is_taken(field, platform));
        }
        for platform in ["meta", "pinterest", "webhook"] {
            assert!(Identifier::ALL.iter().all(|known| is_hashed(known.as_str(), platform)));
        }
        // Nothing is derived from a hashed id, so it travels as the id that it is.
        let hashed = "f4e19df2e6c609fbd59a42b9063d0fadf44260218531ea21ad8c575f205c0453";
        let id = normalize_field("external_id", hashed, "ga4", &context);
        assert_eq!(id, Ok(FieldValue::Clear(hashed.into())));
    }

    #[test]
    fn debug_shows_no_value() {
        let value = normalize_field("currency", "eur", "meta", &Context::default());
        assert_eq!(format!("{value:?}"), "Ok(Clear(..))");
    }
}

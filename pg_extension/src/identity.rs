//! The normalisation rules as SQL functions.

#![expect(clippy::result_large_err, reason = "pgrx's own error type, raised at once")]

use capi_core::capture;
use capi_core::field;
use capi_core::identity::rules::{self, BOOK, FieldError, FieldValue};
use capi_core::identity::{self, Context, DateOrder, DropReason, PLATFORMS};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value};

use crate::error::Error;

/// The normalised text of one value in a platform's form, or null where the value is dropped.
#[pg_extern(immutable, parallel_safe)]
fn normalize(
    field: Option<&str>,
    value: Option<&str>,
    platform: default!(Option<&str>, "'meta'"),
    country: default!(Option<&str>, "null"),
    zip: default!(Option<&str>, "null"),
    date_order: default!(Option<&str>, "null"),
) -> Result<Option<String>, ErrorReport> {
    let outcome = judge(field, value, platform, country, zip, date_order)?;
    Ok(outcome.and_then(Result::ok).map(FieldValue::into_string))
}

/// The SHA-256 of one identifier's normalised text as 64 lower-case hex digits, or null where the
/// value is dropped.
#[pg_extern(immutable, parallel_safe)]
fn digest(
    field: Option<&str>,
    value: Option<&str>,
    platform: default!(Option<&str>, "'meta'"),
    country: default!(Option<&str>, "null"),
    zip: default!(Option<&str>, "null"),
    date_order: default!(Option<&str>, "null"),
) -> Result<Option<String>, ErrorReport> {
    let outcome = judge(field, value, platform, country, zip, date_order)?;
    let Some(Ok(value)) = outcome else {
        return match (field, platform) {
            (Some(field), Some(platform)) if !rules::is_hashed(field, platform) => {
                Err(Error::InClear.into())
            }
            _ => Ok(None),
        };
    };
    let digest = value.digest().map_err(|_| Error::InClear)?;
    Ok(Some(digest.into()))
}

/// Why a value is dropped: a word, a colon and a sentence with the way out; null where it is kept.
#[pg_extern(immutable, parallel_safe)]
fn explain(
    field: Option<&str>,
    value: Option<&str>,
    platform: default!(Option<&str>, "'meta'"),
    country: default!(Option<&str>, "null"),
    zip: default!(Option<&str>, "null"),
    date_order: default!(Option<&str>, "null"),
) -> Result<Option<String>, ErrorReport> {
    let outcome = judge(field, value, platform, country, zip, date_order)?;
    let reason = outcome.and_then(Result::err);
    Ok(reason.map(|reason| format!("{}: {}", reason.as_str(), reason.explanation())))
}

/// Whether a text holds an email address or an international phone number, and so is not kept in clear.
#[pg_extern(immutable, parallel_safe, name = "_names_a_person")]
fn names_a_person(text: Option<&str>) -> bool {
    text.is_some_and(|text| capture::key_fault(text).is_some())
}

/// The rules by which values are normalised; read it as the view `capi.rule`.
#[pg_extern(immutable, parallel_safe, name = "_rules")]
fn rules() -> TableIterator<
    'static,
    (
        name!(field, &'static str),
        name!(rule, &'static str),
        name!(forms, JsonB),
        name!(sources, Vec<&'static str>),
        name!(version, i16),
    ),
> {
    let lines = BOOK.iter().flat_map(|rule| rule.fields.iter().map(move |field| (*field, rule)));
    TableIterator::new(lines.map(|(field, rule)| {
        let form =
            |(form, what): &(identity::Form, &str)| (form.as_str().to_owned(), Value::from(*what));
        let forms: Map<String, Value> = rule.forms.iter().map(form).collect();
        let sources = rule.sources.iter().map(|source| source.url).collect();
        (field, rule.rule, JsonB(Value::Object(forms)), sources, rule.version)
    }))
}

/// `None` where an argument that must be there is null.
fn judge(
    field: Option<&str>,
    value: Option<&str>,
    platform: Option<&str>,
    country: Option<&str>,
    zip: Option<&str>,
    date_order: Option<&str>,
) -> Result<Option<Result<FieldValue, DropReason>>, Error> {
    let (Some(field), Some(value), Some(platform)) = (field, value, platform) else {
        return Ok(None);
    };
    if !PLATFORMS.contains(&platform) {
        return Err(Error::UnknownPlatform);
    }
    let country = country
        .map(|c| identity::country_code(c).map_err(|_| Error::UnknownCountry))
        .transpose()?;
    let date_order = date_order
        .map(|order| DateOrder::parse(order).ok_or(Error::UnknownDateOrder))
        .transpose()?;
    let context = Context { country: country.as_deref(), zip, date_order, ..Context::default() };
    match rules::normalize_field(field, value, platform, &context) {
        Ok(value) => Ok(Some(Ok(value))),
        Err(FieldError::Dropped(reason)) => Ok(Some(Err(reason))),
        Err(FieldError::InClear) => Err(Error::InClear),
        Err(FieldError::NotTaken) => Err(Error::NotTaken),
        Err(FieldError::NoRule) => Err(match field::find(field) {
            Some(known) => Error::NoRule(known.name),
            None => Error::UnknownField { nearest: field::nearest(field) },
        }),
    }
}

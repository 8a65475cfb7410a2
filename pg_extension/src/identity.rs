//! The normalisation rules as SQL functions.

#![expect(clippy::result_large_err, reason = "pgrx's own error type, raised at once")]

use capi_core::field;
use capi_core::identity::{
    self, Context, DateOrder, DropReason, Identifier, Normalized, PLATFORMS,
};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

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
    Ok(outcome.and_then(Result::ok).map(Normalized::into_string))
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
    Ok(outcome.and_then(Result::ok).map(|normalized| normalized.digest().into()))
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

/// `None` where an argument that must be there is null.
fn judge(
    field: Option<&str>,
    value: Option<&str>,
    platform: Option<&str>,
    country: Option<&str>,
    zip: Option<&str>,
    date_order: Option<&str>,
) -> Result<Option<Result<Normalized, DropReason>>, Error> {
    let (Some(field), Some(value), Some(platform)) = (field, value, platform) else {
        return Ok(None);
    };
    let identifier = Identifier::parse(field).ok_or_else(|| match field::find(field) {
        Some(known) => Error::NotAnIdentifier(known.name),
        None => Error::UnknownField { nearest: field::nearest(field) },
    })?;
    if !PLATFORMS.contains(&platform) {
        return Err(Error::UnknownPlatform);
    }
    let date_order = date_order
        .map(|order| DateOrder::parse(order).ok_or(Error::UnknownDateOrder))
        .transpose()?;
    let country = country
        .map(|c| identity::country_code(c).map_err(|_| Error::UnknownCountry))
        .transpose()?;
    let context = Context { country: country.as_deref(), zip, date_order, ..Context::default() };
    Ok(Some(identity::normalize(identifier, value, platform, &context)))
}

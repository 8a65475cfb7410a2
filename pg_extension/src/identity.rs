//! The normalisation rules as SQL functions.

#![expect(clippy::result_large_err, reason = "pgrx's own error type, raised at once")]

use capi_core::field;
use capi_core::identity::{self, Context, Identifier, Normalized, PLATFORMS};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Error;

/// The normalised text of one identifier in a platform's form, or null where the value is dropped.
#[pg_extern(immutable, parallel_safe)]
fn normalize(
    field: Option<&str>,
    value: Option<&str>,
    platform: default!(Option<&str>, "'meta'"),
    country: default!(Option<&str>, "null"),
) -> Result<Option<String>, ErrorReport> {
    Ok(normalized(field, value, platform, country)?.map(Normalized::into_string))
}

/// The SHA-256 of one identifier's normalised text as 64 lower-case hex digits, or null where the
/// value is dropped.
#[pg_extern(immutable, parallel_safe)]
fn digest(
    field: Option<&str>,
    value: Option<&str>,
    platform: default!(Option<&str>, "'meta'"),
    country: default!(Option<&str>, "null"),
) -> Result<Option<String>, ErrorReport> {
    Ok(normalized(field, value, platform, country)?.map(|n| n.digest().into()))
}

fn normalized(
    field: Option<&str>,
    value: Option<&str>,
    platform: Option<&str>,
    country: Option<&str>,
) -> Result<Option<Normalized>, Error> {
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
    let country = country
        .map(|c| identity::country_code(c).map_err(|_| Error::UnknownCountry))
        .transpose()?;
    let context = Context { country: country.as_deref(), ..Context::default() };
    Ok(identity::normalize(identifier, value, platform, &context).ok())
}

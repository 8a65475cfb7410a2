//! The list of standard fields.

use capi_core::field::{self, FIELDS};
use capi_core::platform;
use pgrx::prelude::*;

/// Every standard field; read it as the view `capi.field`.
#[expect(clippy::type_complexity, reason = "the row type of an SQL function")]
#[pg_extern(immutable, parallel_safe, name = "_fields")]
fn fields() -> TableIterator<
    'static,
    (
        name!(name, &'static str),
        name!(kind, &'static str),
        name!(class, &'static str),
        name!(required, bool),
        name!(recommended, Vec<&'static str>),
        name!(platforms, Vec<&'static str>),
        name!(meaning, &'static str),
    ),
> {
    TableIterator::new(FIELDS.iter().map(|f| {
        (
            f.name,
            f.kind.as_str(),
            f.class.as_str(),
            f.required,
            f.recommended.to_vec(),
            f.platforms.to_vec(),
            f.meaning,
        )
    }))
}

/// Every platform; read it as the view `capi.platform`.
#[expect(clippy::type_complexity, reason = "the row type of an SQL function")]
#[pg_extern(immutable, parallel_safe, name = "_platforms")]
fn platforms() -> TableIterator<
    'static,
    (
        name!(platform, &'static str),
        name!(title, Option<&'static str>),
        name!(events_per_request, i32),
        name!(credential, &'static str),
        name!(has_tag, bool),
        name!(sample_settings, Option<JsonB>),
        name!(documentation, &'static str),
    ),
> {
    TableIterator::new(platform::platforms().into_iter().filter_map(|name| {
        let spec = platform::spec(name)?;
        Some((
            name,
            platform::title(name),
            i32::try_from(spec.batch_limit).unwrap_or(i32::MAX),
            spec.credential.as_str(),
            platform::has_tag(name),
            platform::sample(name).map(JsonB),
            spec.documentation,
        ))
    }))
}

/// The standard field that a mistyped column name most likely means, or null.
#[pg_extern(immutable, parallel_safe, name = "_nearest_field")]
fn nearest_field(name: &str) -> Option<&'static str> {
    field::nearest(name)
}

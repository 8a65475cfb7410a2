//! Destinations in SQL: settings, what can never be sent, and the preview of a request.

#![expect(
    clippy::result_large_err,
    clippy::needless_pass_by_value,
    reason = "pgrx's own error type, raised at once; SQL arguments come by value"
)]

use capi_core::capture::{Captured, NewEvent, Options, Row, capture};
use capi_core::consent::{named, refuses};
use capi_core::destination::{self, Unfit};
use capi_core::event::{ActionSource, Event, Facts, Identity};
use capi_core::platform;
use capi_core::platform::audience::Audience;
use capi_core::time::Timestamp;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, datum::TimestampWithTimeZone, function_name};
use serde_json::{Value, json};

use crate::capture::clock;
use crate::capture::jsonb::{Json, JsonText};
use crate::error::{Error, given};

/// Names of the platforms that can be sent to.
#[pg_extern(immutable, parallel_safe, name = "_platforms")]
fn platforms() -> Vec<&'static str> {
    platform::platforms()
}

/// The platforms and destinations that names in a withdrawal stand for: google for both of its
/// platforms.
#[pg_extern(immutable, parallel_safe, name = "_consent_names")]
fn consent_names(names: Vec<Option<String>>) -> Vec<String> {
    names.iter().flatten().flat_map(|name| named(name)).collect()
}

/// Refuses settings that are not the platform's; warns of an API version that has ended or will.
#[pg_extern(stable, parallel_safe, name = "_check_settings")]
fn check_settings(platform: &str, settings: Json) -> Result<(), ErrorReport> {
    let destination = platform::build(platform, &settings.0).map_err(Error::from)?;
    let trouble = destination.api_version().and_then(|version| version.trouble(clock::now()));
    if let Some(trouble) = trouble {
        ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, trouble.what, function_name!())
            .set_hint(trouble.way_out)
            .report(PgLogLevel::WARNING);
    }
    Ok(())
}

/// Refuses settings of an audience that are none, or a destination that has no audiences.
#[pg_extern(immutable, parallel_safe, name = "_check_audience")]
fn check_audience(
    platform: Option<&str>,
    destination: Json,
    settings: Option<Json>,
) -> Result<(), ErrorReport> {
    let settings = settings.map_or(Value::Null, |Json(settings)| settings);
    let platform = given(platform, "platform");
    Audience::build(platform, &destination.0, &settings).map_err(Error::from)?;
    Ok(())
}

/// What an event comes to before anything is sent: `expired`, or null.
#[pg_extern(immutable, parallel_safe, name = "_fate")]
fn fate(
    platform: &str,
    event_name: &str,
    action_source: &str,
    event_time: TimestampWithTimeZone,
    now: TimestampWithTimeZone,
) -> Option<&'static str> {
    let event = Event {
        event_name: event_name.to_owned(),
        event_time: clock::from_postgres(event_time.into_inner()),
        ..bare_event(ActionSource::parse(action_source)?)
    };
    let limit = platform::max_age_of(platform, &event)?;
    let age = clock::from_postgres(now.into_inner()).micros_since(event.event_time);
    (age > i64::try_from(limit.as_micros()).unwrap_or(i64::MAX)).then_some("expired")
}

/// The oldest age, in seconds, at which a platform takes any event; null for no platform.
#[pg_extern(immutable, parallel_safe, name = "_longest_age")]
fn longest_age(platform: &str) -> Option<i64> {
    let age = |action_source| platform::max_age_of(platform, &bare_event(action_source));
    let longest = ActionSource::ALL.into_iter().filter_map(age).max()?;
    i64::try_from(longest.as_secs()).ok()
}

/// An event of which nothing is known but where it happened.
fn bare_event(action_source: ActionSource) -> Event {
    Event {
        id: 0,
        event_name: String::new(),
        event_id: String::new(),
        event_time: Timestamp(0),
        action_source,
        value: None,
        currency: None,
        identity: Identity::default(),
        facts: Facts::default(),
    }
}

/// The request body of one row, or why it would not be sent.
#[pg_extern(stable, parallel_safe, name = "_preview")]
fn preview(
    name: &str,
    platform: &str,
    settings: Json,
    row: JsonText,
    options: Json,
) -> Result<JsonB, ErrorReport> {
    let Value::Object(row) = row.0 else { return Err(Error::NotARow("preview").into()) };
    if !row.contains_key("event_name") {
        return Err(Error::NotARow("preview").into());
    }
    let destination = platform::build(platform, &settings.0).map_err(Error::from)?;
    let now = clock::now();
    let not_sent =
        |status: &str, reason: &str| JsonB(json!({"not_sent": status, "reason": reason}));
    let NewEvent { event, refused, .. } =
        match capture(Row::from_object(row), &Options::from_json(&options.0), now) {
            Captured::Event(event) => *event,
            Captured::Waiting => return Ok(not_sent("waiting", "consent_unknown")),
            Captured::Fault(fault) => {
                return Ok(not_sent(
                    "capture_error",
                    &format!("{}: {}", fault.field, fault.reason),
                ));
            }
        };
    if refuses(&refused, platform, name) {
        return Ok(not_sent("suppressed", "consent_refused"));
    }
    if destination::expired(destination.as_ref(), &event, now) {
        return Ok(not_sent("expired", "too_old"));
    }
    let plan = destination.plan(std::slice::from_ref(&event));
    Ok(match (plan.requests.into_iter().next(), plan.unfit.into_iter().next()) {
        (Some(request), _) => JsonB(request.body.into_value()),
        (None, Some((_, Unfit::Refused(reason)))) => not_sent("refused", &reason.to_string()),
        (None, Some((_, Unfit::Unrouted(reason)))) => not_sent("unrouted", &reason.to_string()),
        (None, None) => not_sent("unrouted", "no_request"),
    })
}

//! Owns one event: its own keys, and the order in which its parts are judged.

use serde_json::Value;
use serde_json::value::RawValue;

use super::clock::{Clock, DAY};
use super::shape::{Fields, Shape};
use super::{app, attribution, custom, messaging, processing, user};
use crate::accepted_event::{AcceptedEvent, Sameness, TWO_DAYS_US};
use crate::refusal::Checked;
use crate::refusal::Refusal;

/// Oldest age of an event, in seconds.
const MAX_AGE: i64 = 7 * DAY;
/// Oldest age of an event that happened in a physical store, in seconds.
const MAX_AGE_STORE: i64 = 62 * DAY;

const KEYS: &[(&str, Shape)] = &[
    ("event_name", Shape::Text),
    ("event_time", Shape::Whole),
    (
        "action_source",
        Shape::OneOf(&[
            "email",
            "website",
            "app",
            "phone_call",
            "chat",
            "physical_store",
            "system_generated",
            "business_messaging",
            "other",
        ]),
    ),
    ("user_data", Shape::Object),
    ("event_id", Shape::Text),
    ("event_source_url", Shape::Text),
    ("referrer_url", Shape::Text),
    ("custom_data", Shape::Object),
    ("app_data", Shape::Object),
    ("opt_out", Shape::Flag),
    ("data_processing_options", Shape::Any),
    ("data_processing_options_country", Shape::Any),
    ("data_processing_options_state", Shape::Any),
    ("original_event_data", Shape::Object),
    ("attribution_data", Shape::Object),
    ("customer_segmentation", custom::SEGMENTS),
    ("messaging_channel", Shape::Text),
    ("advanced_measurement_table", Shape::Text),
];

/// Judges one event.
pub(super) fn check(raw: Box<RawValue>, clock: Clock) -> Checked<AcceptedEvent> {
    let value: Value = serde_json::from_str(raw.get())
        .map_err(|_| Refusal::invalid("data", "must be an array of events"))?;
    let event =
        value.as_object().ok_or_else(|| Refusal::invalid("data", "each event is an object"))?;
    let event = Fields::new(event, "");
    event.conform(KEYS)?;
    event.require(&["event_name", "event_time", "action_source", "user_data"], "is required")?;
    let name = event.text("event_name").unwrap_or_default();
    let source = event.text("action_source").unwrap_or_default();
    let user = event
        .object("user_data", "user_data.")
        .ok_or_else(|| event.refuse("user_data", "is required"))?;

    let time = check_time(event, source, clock)?;
    check_url(event, source)?;
    app::check(event, source)?;
    messaging::check(event, user, source, name)?;
    attribution::check(event, name, clock)?;
    user::check(user, time, clock)?;
    processing::check(event, user)?;
    let money = custom::check(event.object("custom_data", "custom_data."), source, name)?;

    let page = user.text("ctwa_clid").and(user.text("page_id")).map(str::to_owned);
    let (name, id) = (name.to_owned(), event.text("event_id").map(str::to_owned));
    let sameness = id.as_deref().map(|id| Sameness::of(&[name.as_str(), id], TWO_DAYS_US));
    Ok(AcceptedEvent { raw, name, id, money, page, sameness })
}

fn check_time(event: Fields<'_>, source: &str, clock: Clock) -> Checked<i64> {
    let time = event
        .whole("event_time")
        .ok_or_else(|| event.refuse("event_time", "must be whole seconds since 1970"))?;
    let max_age = if source == "physical_store" { MAX_AGE_STORE } else { MAX_AGE };
    if time < clock.now - max_age {
        let rule = "must lie within the last 7 days (62 days for physical_store)";
        return Err(event.refuse_as(2_804_003, "event_time", rule));
    }
    if time > clock.now + clock.max_future {
        return Err(event.refuse("event_time", "must not lie in the future"));
    }
    Ok(time)
}

/// A website's event also wants `client_user_agent` by the documentation, but is taken without.
fn check_url(event: Fields<'_>, source: &str) -> Checked<()> {
    match event.text("event_source_url") {
        None if source == "website" => {
            Err(event.refuse("event_source_url", "is required for website events"))
        }
        Some(url) if !is_web_address(url) => {
            Err(event.refuse("event_source_url", "must start with http:// or https:// and a host"))
        }
        _ => Ok(()),
    }
}

fn is_web_address(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, rest)| {
        (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"))
            && !rest.is_empty()
            && !rest.starts_with(['/', '?', '#', ':'])
    })
}

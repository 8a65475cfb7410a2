//! The request body, and what of an event stands beside `user_data` and `custom_data`.
//!
//! `…/conversions-api/parameters/server-event`, read 2026-09-12.

use serde_json::{Map, Value};

use super::privacy;
use super::settings::Settings;
use super::{custom_data, fit, user_data};
use crate::event::{ActionSource, Event};

/// Keys of the request beside `data`, for telling whose fault an error is.
pub(super) const REQUEST_KEYS: &[&str] = &[
    "access_token",
    "test_event_code",
    "partner_agent",
    "namespace_id",
    "upload_id",
    "upload_tag",
    "upload_source",
];

/// Keys of an event, for naming the one that an error is about.
pub(super) const EVENT_KEYS: &[&str] = &[
    "event_name",
    "event_time",
    "event_id",
    "action_source",
    "event_source_url",
    "referrer_url",
    "opt_out",
    "customer_segmentation",
    "messaging_channel",
    "user_data",
    "custom_data",
    "app_data",
    "original_event_data",
    "attribution_data",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
];

/// The body of a request with these events, each of which is fit. As a tree at once: what is
/// serialized into one is copied text by text.
///
/// `…/conversions-api/using-the-api`, read 2026-09-12; `namespace_id` and `upload_…` are of
/// `EventRequest.java`, facebook-java-business-sdk at a73f92d, 2026-08-05.
pub(super) fn body<'a>(events: impl Iterator<Item = &'a Event>, settings: &Settings) -> Value {
    let data = events.map(|event| server_event(event, settings)).collect();
    let mut body = Map::from_iter([("data".to_owned(), Value::Array(data))]);
    let texts = [
        ("test_event_code", &settings.test_event_code),
        ("partner_agent", &settings.partner_agent),
        ("namespace_id", &settings.namespace_id),
        ("upload_id", &settings.upload_id),
        ("upload_tag", &settings.upload_tag),
        ("upload_source", &settings.upload_source),
    ];
    for (key, text) in texts {
        put(&mut body, key, text.as_deref());
    }
    Value::Object(body)
}

/// One event.
fn server_event(event: &Event, settings: &Settings) -> Value {
    let text = |field| event.facts.text(field);
    let object = |field| event.facts.get(field).filter(|value| value.is_object()).cloned();
    let messaging = event.action_source == ActionSource::BusinessMessaging;
    let mut of = Map::new();
    put(&mut of, "event_name", Some(event.event_name.as_str()));
    // Seconds since 1970.
    put(&mut of, "event_time", Some(event.event_time.seconds()));
    put(&mut of, "event_id", Some(event.event_id.as_str()));
    put(&mut of, "action_source", Some(event.action_source.as_str()));
    put(&mut of, "event_source_url", text("event_source_url"));
    put(&mut of, "referrer_url", text("referrer_url"));
    put(&mut of, "opt_out", event.facts.get("opt_out").and_then(Value::as_bool));
    // Listed under server events; an example on the same page has it inside `custom_data`.
    put(&mut of, "customer_segmentation", text("customer_segmentation"));
    // `…/conversions-api/business-messaging`, read 2026-09-12.
    put(&mut of, "messaging_channel", text("messaging_channel").filter(|_| messaging));
    put(&mut of, "user_data", Some(user_data::user_data(event)));
    put(&mut of, "custom_data", Some(custom_data::custom_data(event)).filter(|m| !m.is_empty()));
    // Half an `app_data` is refused; an event of an app without a whole one is not sent at all.
    put(&mut of, "app_data", object("app_data").filter(|_| fit::missing_of_app(event).is_none()));
    put(&mut of, "original_event_data", object("original_event"));
    put(&mut of, "attribution_data", object("attribution_data"));
    // An event that asks for it in a way that nobody understands is not fit.
    if let Some(Ok(Value::Object(processing))) =
        privacy::of(event, settings).ok().flatten().map(serde_json::to_value)
    {
        of.extend(processing);
    }
    Value::Object(of)
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

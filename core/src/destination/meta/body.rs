//! The request body, and what of an event stands beside `user_data` and `custom_data`.
//!
//! `…/conversions-api/parameters/server-event`, read 2026-09-12.

use serde::Serialize;
use serde_json::{Map, Value};

use super::privacy::{self, DataProcessing};
use super::settings::Settings;
use super::{custom_data, fit, user_data};
use crate::event::{ActionSource, Event};

/// The whole request: `…/conversions-api/using-the-api`, read 2026-09-12; `namespace_id` and
/// `upload_…` are of `EventRequest.java`, facebook-java-business-sdk at a73f92d, 2026-08-05.
#[derive(Serialize)]
struct Body<'a> {
    data: Vec<ServerEvent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_event_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partner_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_source: Option<&'a str>,
}

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

/// One event.
#[derive(Serialize)]
struct ServerEvent<'a> {
    event_name: &'a str,
    /// Seconds since 1970.
    event_time: i64,
    event_id: &'a str,
    action_source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_source_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_out: Option<bool>,
    /// Listed under server events; an example on the same page has it inside `custom_data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_segmentation: Option<&'a str>,
    /// `…/conversions-api/business-messaging`, read 2026-09-12.
    #[serde(skip_serializing_if = "Option::is_none")]
    messaging_channel: Option<&'a str>,
    user_data: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    custom_data: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_data: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_event_data: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribution_data: Option<&'a Value>,
    #[serde(flatten)]
    data_processing: Option<DataProcessing>,
}

/// The body of a request with these events, each of which is fit.
pub(super) fn body<'a>(events: impl Iterator<Item = &'a Event>, settings: &Settings) -> Value {
    let body = Body {
        data: events.map(|event| server_event(event, settings)).collect(),
        test_event_code: settings.test_event_code.as_deref(),
        partner_agent: settings.partner_agent.as_deref(),
        namespace_id: settings.namespace_id.as_deref(),
        upload_id: settings.upload_id.as_deref(),
        upload_tag: settings.upload_tag.as_deref(),
        upload_source: settings.upload_source.as_deref(),
    };
    serde_json::to_value(body).expect("texts, numbers and lists are JSON")
}

fn server_event<'a>(event: &'a Event, settings: &Settings) -> ServerEvent<'a> {
    let object = |field| event.facts.get(field).filter(|value| value.is_object());
    let messaging = event.action_source == ActionSource::BusinessMessaging;
    ServerEvent {
        event_name: &event.event_name,
        event_time: event.event_time.seconds(),
        event_id: &event.event_id,
        action_source: event.action_source.as_str(),
        event_source_url: event.facts.text("event_source_url"),
        referrer_url: event.facts.text("referrer_url"),
        opt_out: event.facts.get("opt_out").and_then(Value::as_bool),
        customer_segmentation: event.facts.text("customer_segmentation"),
        messaging_channel: event.facts.text("messaging_channel").filter(|_| messaging),
        user_data: user_data::user_data(event),
        custom_data: custom_data::custom_data(event),
        // Half an `app_data` is refused; an event of an app without a whole one is not sent at all.
        app_data: object("app_data").filter(|_| fit::missing_of_app(event).is_none()),
        original_event_data: object("original_event"),
        attribution_data: object("attribution_data"),
        // An event that asks for it in a way that nobody understands is not fit.
        data_processing: privacy::of(event, settings).ok().flatten(),
    }
}

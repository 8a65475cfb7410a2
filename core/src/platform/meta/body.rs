//! The request body, and what of an event stands beside `user_data` and `custom_data`.
//!
//! `…/conversions-api/parameters/server-event`, read 2026-09-12.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::custom_data::{self, CustomData};
use super::fit;
use super::privacy;
use super::settings::Settings;
use super::user_data::UserData;
use crate::destination::Body;
use crate::event::{ActionSource, Event, Json};

/// The whole request: `…/conversions-api/using-the-api`, read 2026-09-12; `namespace_id` and
/// `upload_…` are of `EventRequest.java`, facebook-java-business-sdk at a73f92d, 2026-08-05.
#[derive(Serialize)]
struct Wire<'a> {
    data: Data<'a>,
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

/// The events, each made when it is written.
struct Data<'a> {
    events: &'a [Event],
    places: &'a [usize],
    settings: &'a Settings,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let events = self.places.iter().map(|&at| server_event(&self.events[at], self.settings));
        serializer.collect_seq(events)
    }
}

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
    user_data: UserData<'a>,
    #[serde(skip_serializing_if = "CustomData::is_empty")]
    custom_data: CustomData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_data: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_event_data: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribution_data: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_processing_options: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_processing_options_country: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_processing_options_state: Option<i64>,
}

/// The body of a request with the events at these places, each of which is fit.
pub(super) fn body(events: &[Event], places: &[usize], settings: &Settings) -> Body {
    Body::of(&Wire {
        data: Data { events, places, settings },
        test_event_code: settings.test_event_code.as_deref(),
        partner_agent: settings.partner_agent.as_deref(),
        namespace_id: settings.namespace_id.as_deref(),
        upload_id: settings.upload_id.as_deref(),
        upload_tag: settings.upload_tag.as_deref(),
        upload_source: settings.upload_source.as_deref(),
    })
}

fn server_event<'a>(event: &'a Event, settings: &Settings) -> ServerEvent<'a> {
    let object = |field| event.facts.json(field).filter(|value| value.is_object());
    // An event that asks for it in a way that nobody understands is not fit.
    let limit = privacy::of(event, settings).ok().flatten();
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
        user_data: UserData(event),
        custom_data: custom_data::custom_data(event),
        // Half an `app_data` is refused; an event of an app without a whole one is not sent at all.
        app_data: object("app_data").filter(|_| fit::missing_of_app(event).is_none()),
        original_event_data: object("original_event"),
        attribution_data: object("attribution_data"),
        data_processing_options_country: limit.as_ref().and_then(|limit| limit.country),
        data_processing_options_state: limit.as_ref().and_then(|limit| limit.state),
        data_processing_options: limit.map(|limit| limit.options),
    }
}

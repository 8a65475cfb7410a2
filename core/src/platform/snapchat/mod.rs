//! Snapchat: the Conversions API v3.
//!
//! It wants a POST of up to 2,000 events and answers with `VALID` or `INVALID` for all of them
//! (<https://developers.snap.com/api/marketing-api/Conversions-API/UsingTheAPI>, and the OpenAPI
//! description of `Snapchat/business-sdk-v3-java`, both read 2026-11-24).
//!
//! - The token travels in the query: Snapchat documents no other place.
//! - `INVALID` is said of the request; the message may name an event, in words. Halves find it.
//! - Duplicates are dropped by event id, against the pixel, within 48 hours (a figure of v2).
//! - `data_processing_options` `LDU` is its word for limits, with Meta's numbers of places.
//! - No refunds. `Lead` has no standard event: it goes as `SIGN_UP` only where `events` says so, or
//!   as one of `CUSTOM_EVENT_1` to `_5`.
//! - Events of apps ask for data of the app in a form of their own: they are not sent.
//! - From v2 and connectors, as v3 does not say: 2,000 events.

use super::facts::Platform;
use crate::destination::filter::Takes;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::destination::event_parts as parts;
use crate::destination::http_status as answer;
use crate::destination::settings::{self, Shape};
use crate::destination::{
    ApiVersion, CredentialSlot, Destination, Listing, Plan, Reason, Request, Response,
    SettingsError, Spec, Unfit, Verdict,
};
use crate::event::{ActionSource, Event};

pub(crate) mod pixel;

/// What is known of it whatever the settings.
pub(super) static PLATFORM: Platform = Platform {
    name: "snapchat",
    title: "Snapchat Conversions API",
    spec: &SPEC,
    sample: r#"{"pixel_id": "a1b2c3d4-1111-4222-8333-444455556666"}"#,
    tag_id: Some("pixel_id"),
    endpoints: &[ENDPOINT],
    build,
    max_age,
    unfit,
    explain,
    takes: Takes::USUAL,
};

/// Where events go unless the settings name another place.
pub(super) const ENDPOINT: &str = "https://tr.snapchat.com";

/// Oldest event: `…/Conversions-API/Parameters`, read 2026-11-24; connectors keep to 28 days.
const MAX_AGE: Duration = Duration::from_secs(37 * 24 * 60 * 60);

/// Standard events, ours and Snapchat's: `…/Conversions-API/Parameters`, read 2026-11-24. There are no
/// others.
const NAMES: &[(&str, &str)] = &[
    ("AddPaymentInfo", "ADD_BILLING"),
    ("AddToCart", "ADD_CART"),
    ("AddToWishlist", "ADD_TO_WISHLIST"),
    ("CompleteRegistration", "SIGN_UP"),
    ("InitiateCheckout", "START_CHECKOUT"),
    ("PageView", "PAGE_VIEW"),
    ("Purchase", "PURCHASE"),
    ("Search", "SEARCH"),
    ("StartTrial", "START_TRIAL"),
    ("Subscribe", "SUBSCRIBE"),
    ("ViewContent", "VIEW_CONTENT"),
    ("CUSTOM_EVENT_1", "CUSTOM_EVENT_1"),
    ("CUSTOM_EVENT_2", "CUSTOM_EVENT_2"),
    ("CUSTOM_EVENT_3", "CUSTOM_EVENT_3"),
    ("CUSTOM_EVENT_4", "CUSTOM_EVENT_4"),
    ("CUSTOM_EVENT_5", "CUSTOM_EVENT_5"),
];

static SPEC: Spec = Spec {
    platform: "snapchat",
    batch_limit: 2_000,
    credential: CredentialSlot::Query("access_token"),
    documentation: "https://developers.snap.com/api/marketing-api/Conversions-API/Introduction",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Id of the pixel.
    pixel_id: String,
    /// Scheme and host.
    endpoint: Option<String>,
}

const KNOWN: &[(&str, Shape)] = &[("pixel_id", Shape::Text), ("endpoint", Shape::TextOrNull)];

#[derive(Debug)]
struct Snapchat {
    url: String,
}

pub(super) fn build(given: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let settings: Settings = settings::read(given, KNOWN, &["pixel_id"])?;
    settings::check_id("pixel_id", &settings.pixel_id)?;
    let endpoint = settings::endpoint(settings.endpoint, ENDPOINT)?;
    Ok(Box::new(Snapchat { url: format!("{endpoint}/v3/{}/events", settings.pixel_id) }))
}

pub(super) fn max_age(_: &Event) -> Duration {
    MAX_AGE
}

pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    let Some(name) = name(&event.event_name) else {
        let reason = parts::misfit(event).map_or_else(
            || Unfit::Unrouted(Reason::new("no_such_event")),
            |reason| Unfit::Refused(Reason::new(reason)),
        );
        return Some(reason);
    };
    let user = user(event);
    let has = |key: &str| user.contains_key(key);
    let found = has("em")
        || has("ph")
        || has("madid")
        || (has("client_ip_address") && has("client_user_agent"));
    let website = event.action_source == ActionSource::Website;
    let reason = parts::misfit(event).or_else(|| match () {
        () if event.action_source == ActionSource::App => Some("app_not_supported"),
        () if name == "PURCHASE" && parts::missing_money(event).is_some() => {
            parts::missing_money(event)
        }
        () if website && !parts::has(event, "event_source_url") => Some("missing_event_source_url"),
        () if !found => Some("missing_contact_or_browser"),
        () => None,
    });
    Some(Unfit::Refused(Reason::new(reason?)))
}

/// What Snapchat calls an event; `None` where it has none.
pub(crate) fn name(event_name: &str) -> Option<&str> {
    parts::wire_name(event_name, NAMES)
}

/// Digests by their keys on the wire.
const DIGESTS: &[(&str, &str)] = &[
    ("email", "em"),
    ("phone", "ph"),
    ("first_name", "fn"),
    ("last_name", "ln"),
    ("gender", "ge"),
    ("city", "ct"),
    ("state", "st"),
    ("zip", "zp"),
    ("country", "country"),
    ("external_id", "external_id"),
];

fn user(event: &Event) -> Map<String, Value> {
    let mut user = Map::new();
    parts::put_digests(&mut user, &event.identity, SPEC.platform, DIGESTS);
    let texts = &[
        ("client_ip_address", "client_ip_address"),
        ("client_user_agent", "client_user_agent"),
        ("sc_click_id", "sc_click_id"),
        ("sc_cookie1", "sc_cookie1"),
        ("madid", "madid"),
    ];
    parts::put_texts(&mut user, event, texts);
    user
}

fn wire(event: &Event) -> Value {
    let mut map = Map::new();
    parts::put(&mut map, "event_name", name(&event.event_name));
    map.insert("event_time".into(), event.event_time.seconds().into());
    map.insert("event_id".into(), event.event_id.as_str().into());
    let place = match event.action_source {
        ActionSource::Website => "WEB",
        _ => "OFFLINE",
    };
    map.insert("action_source".into(), place.into());
    parts::put(&mut map, "event_source_url", event.facts.text("event_source_url"));
    map.insert("user_data".into(), Value::Object(user(event)));
    let custom = custom_data(event);
    parts::put(&mut map, "custom_data", (!custom.is_empty()).then_some(custom));
    if parts::is_limited(event) {
        map.insert("data_processing_options".into(), json!(["LDU"]));
        let (country, state) = parts::limited_place(event);
        parts::put(&mut map, "data_processing_options_country", country);
        parts::put(&mut map, "data_processing_options_state", state);
    }
    Value::Object(map)
}

fn custom_data(event: &Event) -> Map<String, Value> {
    let mut map = Map::new();
    parts::put(&mut map, "currency", parts::currency(event));
    parts::put(&mut map, "value", parts::amount_text(event));
    let texts = &[
        ("order_id", "order_id"),
        ("search_string", "search_string"),
        ("content_name", "content_name"),
        ("content_category", "content_category"),
    ];
    parts::put_texts(&mut map, event, texts);
    let items: Vec<Value> = parts::items(event, usize::MAX).iter().map(item).collect();
    let ids = parts::content_ids(event);
    parts::put(&mut map, "content_ids", (!ids.is_empty()).then_some(ids));
    parts::put(&mut map, "contents", (!items.is_empty()).then_some(items));
    parts::put(&mut map, "num_items", parts::num_items(event).map(|number| number.to_string()));
    map
}

fn item(item: &parts::Item<'_>) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), item.id.as_str().into());
    parts::put(&mut map, "quantity", item.quantity.map(|number| number.to_string()));
    parts::put(&mut map, "item_price", item.price.map(ToString::to_string));
    Value::Object(map)
}

impl Destination for Snapchat {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    /// Snapchat names no end of v3.
    fn api_version(&self) -> Option<ApiVersion> {
        Some(ApiVersion { name: "v3".into(), ends: None, listing: Listing::Listed })
    }

    /// 1,000 requests a second: a figure of v2; v3 names none.
    fn requests_per_minute(&self) -> Option<u32> {
        Some(60_000)
    }

    fn max_age(&self, event: &Event) -> Duration {
        max_age(event)
    }

    fn unfit(&self, event: &Event) -> Option<Unfit> {
        unfit(event)
    }

    fn plan(&self, events: &[Event]) -> Plan {
        Plan::of(events, SPEC.batch_limit, unfit, |part, at| {
            let data: Vec<Value> = part.iter().map(|event| wire(event)).collect();
            Request::post(self.url.clone(), &json!({ "data": data }), at)
        })
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let sent = events.len();
        let body = answer::json(answer);
        let status = body.get("status").and_then(Value::as_str);
        let codes = error_codes(&body);
        let reason = codes.first().cloned().unwrap_or_else(|| "INVALID".to_owned());
        let decision = match (status, answer.status) {
            (Some("VALID"), 200..=299) => answer::delivered(sent),
            (Some("INVALID"), 200..=299 | 400 | 422) => answer::invalid(sent, reason),
            (Some("INVALID"), 400..=499) => answer::unclear(sent, reason, answer),
            _ => answer::by_status(sent, answer),
        };
        let list: Vec<Value> = codes.into_iter().map(Value::from).collect();
        let codes = [
            ("status", status.map(Value::from)),
            ("codes", (!list.is_empty()).then(|| list.into())),
        ];
        answer::verdict(decision, answer.header("x-request-id"), &codes, answer)
    }

    /// `/validate`: every event is judged, and none counts.
    fn test_request(&self, events: &[Event], _code: Option<&str>) -> Option<Request> {
        let mut request = self.plan(events).requests.into_iter().next()?;
        request.url.push_str("/validate");
        Some(request)
    }
}

/// Codes of an answer, texts of digits or words; its messages quote what was sent.
fn error_codes(body: &Value) -> Vec<String> {
    let list = body.pointer("/errors/codes").and_then(Value::as_array).into_iter().flatten();
    let code = |code: &Value| match code {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if answer::is_word(text) => Some(text.clone()),
        _ => None,
    };
    list.filter_map(code).take(8).collect()
}

pub(super) fn explain(reason: &str) -> Option<&'static str> {
    let text = match reason {
        "INVALID" => {
            "Snapchat refused the event and gave no code; compare capi.preview with its reference, \
             or send a test"
        }
        "missing_contact_or_browser" => {
            "Snapchat finds nobody without email, phone, madid, or client_ip_address and \
             client_user_agent together; let the view return one of them"
        }
        code if code.bytes().any(|b| b.is_ascii_digit()) && !code.starts_with("http_") => {
            "Snapchat refused the event with this code; compare capi.preview with its reference, or \
             send a test"
        }
        _ => return parts::explain(reason),
    };
    Some(text)
}

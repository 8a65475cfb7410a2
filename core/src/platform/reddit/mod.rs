//! Reddit: the Conversions API v3.
//!
//! It wants a POST of up to 1,000 events and takes all of them or none
//! (<https://ads-api.reddit.com/docs/v3/>, read 2026-11-24).
//!
//! - 400 means that none was processed. Its `fields` may name the place, in a form that is not
//!   written down: positions such as `data.events[3].user` are believed where they are in the
//!   request; otherwise halves find the event.
//! - Duplicates are dropped by conversion id, event and channel, within two days. The pixel must send
//!   the same id, byte for byte.
//! - A `User-Agent` of a library is throttled; the sidecar sends its own name.
//! - `data_processing_options` with mode `LDU` is its word for limits. No refunds.
//! - Digests of advertising ids are made of the id as each system writes it, which the outbox does not
//!   know: they are not sent.

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
    name: "reddit",
    title: "Reddit Conversions API",
    spec: &SPEC,
    sample: r#"{"pixel_id": "a2_example"}"#,
    tag_id: Some("pixel_id"),
    endpoints: &[ENDPOINT],
    build,
    max_age,
    unfit,
    explain,
    takes: Takes::USUAL,
};

/// Where events go unless the settings name another place.
pub(super) const ENDPOINT: &str = "https://ads-api.reddit.com";

/// Oldest event, of the reference; same day.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Longest name of a custom event, of the reference; same day.
const LONGEST_NAME: usize = 64;

/// The event of one's own.
const CUSTOM: &str = "CUSTOM";

/// Standard events, ours and Reddit's, of the reference; same day. Others go as `CUSTOM` under their
/// own name.
const NAMES: &[(&str, &str)] = &[
    ("AddToCart", "ADD_TO_CART"),
    ("AddToWishlist", "ADD_TO_WISHLIST"),
    ("CompleteRegistration", "SIGN_UP"),
    ("Lead", "LEAD"),
    ("PageView", "PAGE_VISIT"),
    ("Purchase", "PURCHASE"),
    ("Search", "SEARCH"),
    ("ViewContent", "VIEW_CONTENT"),
];

/// States of the USA by Meta's numbers, from 1000 on, as Reddit writes them.
const STATES: [&str; 14] = [
    "US-CA", "US-CO", "US-CT", "US-FL", "US-OR", "US-TX", "US-MT", "US-DE", "US-NE", "US-NH",
    "US-NJ", "US-MN", "US-MD", "US-RI",
];

static SPEC: Spec = Spec {
    platform: "reddit",
    batch_limit: 1_000,
    credential: CredentialSlot::Bearer,
    documentation: "https://ads-api.reddit.com/docs/v3/",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Id of the pixel, such as `a2_…`.
    pixel_id: String,
    /// Scheme and host.
    endpoint: Option<String>,
}

const KNOWN: &[(&str, Shape)] = &[("pixel_id", Shape::Text), ("endpoint", Shape::TextOrNull)];

#[derive(Debug)]
struct Reddit {
    url: String,
}

pub(super) fn build(given: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let settings: Settings = settings::read(given, KNOWN, &["pixel_id"])?;
    settings::check_id("pixel_id", &settings.pixel_id)?;
    let endpoint = settings::endpoint(settings.endpoint, ENDPOINT)?;
    let url = format!("{endpoint}/api/v3/pixels/{}/conversion_events", settings.pixel_id);
    Ok(Box::new(Reddit { url }))
}

pub(super) fn max_age(_: &Event) -> Duration {
    MAX_AGE
}

pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    let user = user(event);
    let name = name(&event.event_name);
    let is_nobody = |key: &String| matches!(key.as_str(), "user_agent" | "data_processing_options");
    let nobody = user.keys().all(is_nobody) && !parts::has(event, "rdt_cid");
    let reason = parts::misfit(event).or_else(|| match () {
        () if name.is_none() && event.event_name.chars().count() > LONGEST_NAME => {
            Some("event_name_not_taken")
        }
        () if name == Some("PURCHASE") && parts::missing_money(event).is_some() => {
            parts::missing_money(event)
        }
        () if nobody => Some("missing_identity"),
        () => None,
    });
    Some(Unfit::Refused(Reason::new(reason?)))
}

/// What Reddit calls an event; `None` where it is one of the advertiser's own.
pub(crate) fn name(event_name: &str) -> Option<&str> {
    parts::wire_name(event_name, NAMES)
}

fn user(event: &Event) -> Map<String, Value> {
    let mut user = Map::new();
    for (identifier, key) in
        [("email", "email"), ("phone", "phone_number"), ("external_id", "external_id")]
    {
        let digest = event.identity.digests(identifier, SPEC.platform).first();
        parts::put(&mut user, key, digest.map(crate::hash::Digest::as_str));
    }
    let texts = &[
        ("client_ip_address", "ip_address"),
        ("client_user_agent", "user_agent"),
        ("rdt_uuid", "uuid"),
    ];
    parts::put_texts(&mut user, event, texts);
    if parts::is_limited(event) {
        let mut options = Map::from_iter([("modes".to_owned(), json!(["LDU"]))]);
        let (country, state) = parts::limited_place(event);
        parts::put(&mut options, "country", (country == Some(1)).then_some("US"));
        let state = state.and_then(|state| usize::try_from(state.checked_sub(1_000)?).ok());
        parts::put(&mut options, "region", state.and_then(|at| STATES.get(at)).copied());
        user.insert("data_processing_options".into(), Value::Object(options));
    }
    user
}

fn wire(event: &Event) -> Value {
    let mut map = Map::new();
    map.insert("event_at".into(), (event.event_time.0.div_euclid(1_000)).into());
    let place = match event.action_source {
        ActionSource::Website => "WEBSITE",
        ActionSource::App => "APP",
        ActionSource::PhysicalStore => "PHYSICAL_STORE",
        _ => "OTHER",
    };
    map.insert("action_source".into(), place.into());
    parts::put(&mut map, "event_source_url", event.facts.text("event_source_url"));
    let kind = match name(&event.event_name) {
        Some(name) => json!({"tracking_type": name}),
        None => json!({"tracking_type": CUSTOM, "custom_event_name": event.event_name}),
    };
    map.insert("type".into(), kind);
    parts::put(&mut map, "click_id", event.facts.text("rdt_cid"));
    map.insert("user".into(), Value::Object(user(event)));
    map.insert("metadata".into(), Value::Object(metadata(event)));
    Value::Object(map)
}

fn metadata(event: &Event) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("conversion_id".into(), event.event_id.as_str().into());
    parts::put(&mut map, "currency", parts::currency(event));
    parts::put(&mut map, "value", parts::amount(event));
    parts::put(&mut map, "item_count", parts::num_items(event));
    let products: Vec<Value> = parts::items(event, usize::MAX).iter().map(product).collect();
    parts::put(&mut map, "products", (!products.is_empty()).then_some(products));
    map
}

fn product(item: &parts::Item<'_>) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), item.id.as_str().into());
    parts::put(&mut map, "name", item.title);
    parts::put(&mut map, "category", item.category);
    parts::put(&mut map, "quantity", item.quantity);
    parts::put(&mut map, "item_price", item.price.cloned().map(Value::Number));
    Value::Object(map)
}

impl Destination for Reddit {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    /// Reddit names no end of v3.
    fn api_version(&self) -> Option<ApiVersion> {
        Some(ApiVersion { name: "v3".into(), ends: None, listing: Listing::Listed })
    }

    /// 1,000 requests a second, of the reference; same day.
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
            let list: Vec<Value> = part.iter().map(|event| wire(event)).collect();
            Request::post(self.url.clone(), &json!({"data": {"events": list}}), at)
        })
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let sent = events.len();
        let body = answer::json(answer);
        let error = body.get("error");
        let decision = match (error, answer.status) {
            (None, 200..=299) if body.get("data").is_some_and(Value::is_object) => {
                answer::delivered(sent)
            }
            (Some(Value::Object(error)), 400 | 422) => {
                let bad: Option<Vec<(usize, String)>> = error
                    .get("fields")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .map(|field| Some((position(field.get("field")?.as_str()?)?, INVALID.into())))
                    .collect();
                bad.and_then(|bad| answer::refuse(sent, &bad))
                    .unwrap_or_else(|| answer::invalid(sent, INVALID))
            }
            (Some(Value::Object(_)), 404) => answer::blocked("http_404"),
            (Some(Value::Object(_)), status @ 400..=499) => {
                answer::unclear(sent, format!("http_{status}"), answer)
            }
            _ => answer::by_status(sent, answer),
        };
        let code = error.and_then(|error| error.get("code")).filter(|code| code.is_i64()).cloned();
        answer::verdict(decision, answer.header("x-request-id"), &[("code", code)], answer)
    }

    /// `test_id` sends one event to the Event Testing tab, whose id is the code. Connectors differ in
    /// where it stands. Within the body a wrong place is an error, as an unknown key; in the query
    /// the event would count.
    fn test_request(&self, events: &[Event], code: Option<&str>) -> Option<Request> {
        settings::check_id("test_id", code?).ok()?;
        let fit = events.iter().position(|event| unfit(event).is_none())?;
        let mut request = self.plan(&events[fit..=fit]).requests.into_iter().next()?;
        request.events = vec![fit];
        request.body["data"]["test_id"] = code?.into();
        Some(request)
    }
}

const INVALID: &str = "invalid_event";

/// The position in a path such as `data.events[3].user.email` or `data.events.3.user`.
fn position(path: &str) -> Option<usize> {
    let rest = path.strip_prefix("data.").unwrap_or(path).strip_prefix("events")?;
    let digits = rest.strip_prefix('[').or_else(|| rest.strip_prefix('.'))?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

pub(super) fn explain(reason: &str) -> Option<&'static str> {
    let text = match reason {
        INVALID => {
            "Reddit finds fault with the event; its message quotes what was sent and is not kept, \
             so compare capi.preview with its reference, or send a test"
        }
        "http_404" => "Reddit knows no such pixel; correct pixel_id, then resume the destination",
        _ => return parts::explain(reason),
    };
    Some(text)
}

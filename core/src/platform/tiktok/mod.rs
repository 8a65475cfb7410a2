//! TikTok: the Events API v1.3.
//!
//! It wants a POST of up to 1,000 events of one source and answers 200 with a `code` that decides
//! (<https://ads.tiktok.com/help/article/events-api>, read 2026-11-24; field names by the
//! connectors of Segment, RudderStack and PostHog, same day).
//!
//! - HTTP 200 can mean failure: only `code` 0 is success. 20001, "partial success", says that some
//!   events were refused and not which: halves find out, and TikTok drops those that it has.
//! - One malformed event refuses the whole request, by accounts of others.
//! - Duplicates are dropped by event and event id, within 48 hours.
//! - No refunds. `limited_data_use` is the word for limits on an event.
//! - A request is of one source. A shop with a door and a phone call belong to an `offline` one, a
//!   page to a `web` one. Events of other places go to either, but to a `web` one only with the
//!   address of a page, which it asks for in practice. Events of apps and of CRMs ask for more than
//!   the outbox has.
//! - City, state and country go in clear only, and the outbox has digests only: they are not sent.
//! - Not confirmed by TikTok: the oldest event. Seven days is what connectors keep to, and so is it
//!   here: an event that is older would be refused with those beside it.

use super::facts::Platform;
use crate::destination::filter::Takes;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::destination::event_parts as parts;
use crate::destination::http_status as answer;
use crate::destination::settings::{self, Shape};
use crate::destination::{
    CredentialSlot, Decision, Destination, Plan, Reason, Request, Response, SettingsError, Spec,
    Unfit, Verdict,
};
use crate::event::{ActionSource, Event};

pub(crate) mod pixel;

/// What is known of it whatever the settings.
pub(super) static PLATFORM: Platform = Platform {
    name: "tiktok",
    title: "TikTok Events API",
    spec: &SPEC,
    sample: r#"{"event_source_id": "C4ABCDEF"}"#,
    tag_id: Some("event_source_id"),
    endpoints: &[ENDPOINT],
    build,
    max_age,
    unfit,
    explain,
    takes: Takes::USUAL,
};

/// Where events go unless the settings name another place.
pub(super) const ENDPOINT: &str = "https://business-api.tiktok.com";

/// Oldest event; see above.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Standard events, ours and TikTok's: <https://ads.tiktok.com/help/article/supported-standard-events>,
/// read 2026-11-24. Other names are events of the advertiser's own.
const NAMES: &[(&str, &str)] = &[
    ("AddPaymentInfo", "AddPaymentInfo"),
    ("AddToCart", "AddToCart"),
    ("AddToWishlist", "AddToWishlist"),
    ("CompleteRegistration", "CompleteRegistration"),
    ("Contact", "Contact"),
    ("CustomizeProduct", "CustomizeProduct"),
    ("FindLocation", "FindLocation"),
    ("InitiateCheckout", "InitiateCheckout"),
    ("Lead", "Lead"),
    ("PageView", "Pageview"),
    ("Purchase", "Purchase"),
    ("Schedule", "Schedule"),
    ("Search", "Search"),
    ("StartTrial", "StartTrial"),
    ("SubmitApplication", "SubmitApplication"),
    ("Subscribe", "Subscribe"),
    ("ViewContent", "ViewContent"),
];

static SPEC: Spec = Spec {
    platform: "tiktok",
    batch_limit: 1_000,
    credential: CredentialSlot::Header("access-token"),
    documentation: "https://ads.tiktok.com/help/article/events-api",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Id of the pixel or of the offline event set.
    event_source_id: String,
    /// What that is: `web` or `offline`; default `web`.
    event_source: Option<String>,
    /// Scheme and host.
    endpoint: Option<String>,
    /// Code of the test tab; its events count nowhere else.
    test_event_code: Option<String>,
}

const KNOWN: &[(&str, Shape)] = &[
    ("event_source_id", Shape::Text),
    ("event_source", Shape::TextOrNull),
    ("endpoint", Shape::TextOrNull),
    ("test_event_code", Shape::TextOrNull),
];

#[derive(Debug)]
struct TikTok {
    url: String,
    source: String,
    source_id: String,
    test_code: Option<String>,
}

pub(super) fn build(given: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let settings: Settings = settings::read(given, KNOWN, &["event_source_id"])?;
    settings::check_id("event_source_id", &settings.event_source_id)?;
    let source = settings.event_source.unwrap_or_else(|| "web".to_owned());
    if !["web", "offline"].contains(&source.as_str()) {
        return Err(settings::broken("event_source", "must be web or offline"));
    }
    if let Some(code) = &settings.test_event_code {
        settings::check_id("test_event_code", code)?;
    }
    let endpoint = settings::endpoint(settings.endpoint, ENDPOINT)?;
    Ok(Box::new(TikTok {
        url: format!("{endpoint}/open_api/v1.3/event/track/"),
        source,
        source_id: settings.event_source_id,
        test_code: settings.test_event_code,
    }))
}

pub(super) fn max_age(_: &Event) -> Duration {
    MAX_AGE
}

pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    let website = event.action_source == ActionSource::Website;
    let reason = parts::misfit(event).or_else(|| match () {
        () if event.action_source == ActionSource::App => Some("app_not_supported"),
        () if event.event_name == "Purchase" && parts::missing_money(event).is_some() => {
            parts::missing_money(event)
        }
        () if website && !parts::has(event, "event_source_url") => Some("missing_event_source_url"),
        () => None,
    });
    let reason = reason.or_else(|| {
        user(event).keys().all(|key| key == "user_agent").then_some("missing_identity")
    })?;
    Some(Unfit::Refused(Reason::new(reason)))
}

/// What TikTok calls an event.
pub(crate) fn name(event_name: &str) -> &str {
    parts::wire_name(event_name, NAMES).unwrap_or(event_name)
}

/// Digests by their keys on the wire.
const DIGESTS: &[(&str, &str)] =
    &[("email", "email"), ("phone", "phone"), ("external_id", "external_id")];

/// Digests of which one goes, as text.
const LONE_DIGESTS: &[(&str, &str)] =
    &[("first_name", "first_name"), ("last_name", "last_name"), ("zip", "zip_code")];

/// Who it was.
fn user(event: &Event) -> Map<String, Value> {
    let mut user = Map::new();
    parts::put_digests(&mut user, &event.identity, SPEC.platform, DIGESTS);
    for (identifier, key) in LONE_DIGESTS {
        let digest = event.identity.digests(identifier, SPEC.platform).first();
        parts::put(&mut user, key, digest.map(crate::hash::Digest::as_str));
    }
    let texts = &[
        ("ttclid", "ttclid"),
        ("ttp", "ttp"),
        ("client_ip_address", "ip"),
        ("client_user_agent", "user_agent"),
    ];
    parts::put_texts(&mut user, event, texts);
    user
}

fn wire(event: &Event) -> Value {
    let name = name(&event.event_name);
    let mut map = Map::new();
    map.insert("event".into(), name.into());
    map.insert("event_time".into(), event.event_time.seconds().into());
    map.insert("event_id".into(), event.event_id.as_str().into());
    map.insert("user".into(), Value::Object(user(event)));
    let properties = properties(event);
    parts::put(&mut map, "properties", (!properties.is_empty()).then_some(properties));
    let mut page = Map::new();
    parts::put_texts(
        &mut page,
        event,
        &[("event_source_url", "url"), ("referrer_url", "referrer")],
    );
    parts::put(&mut map, "page", (!page.is_empty()).then_some(page));
    parts::put(&mut map, "limited_data_use", parts::is_limited(event).then_some(true));
    Value::Object(map)
}

fn properties(event: &Event) -> Map<String, Value> {
    let mut map = Map::new();
    parts::put(&mut map, "value", parts::amount(event));
    parts::put(&mut map, "currency", parts::currency(event));
    let texts = &[
        ("order_id", "order_id"),
        ("search_string", "query"),
        ("content_type", "content_type"),
        ("content_name", "description"),
    ];
    parts::put_texts(&mut map, event, texts);
    let contents: Vec<Value> = parts::items(event, usize::MAX).iter().map(content).collect();
    if !contents.is_empty() {
        map.entry("content_type").or_insert_with(|| "product".into());
        map.insert("contents".into(), contents.into());
    } else {
        let ids = parts::content_ids(event);
        parts::put(&mut map, "content_ids", (!ids.is_empty()).then_some(ids));
    }
    map
}

fn content(item: &parts::Item<'_>) -> Value {
    let mut map = Map::new();
    map.insert("content_id".into(), item.id.as_str().into());
    parts::put(&mut map, "quantity", item.quantity);
    parts::put(&mut map, "price", item.price.cloned().map(Value::Number));
    parts::put(&mut map, "content_name", item.title);
    parts::put(&mut map, "brand", item.brand);
    parts::put(&mut map, "content_category", item.category);
    Value::Object(map)
}

impl TikTok {
    fn judged(&self, event: &Event) -> Option<Unfit> {
        let here = match event.action_source {
            ActionSource::Website => self.source == "web",
            ActionSource::PhysicalStore | ActionSource::PhoneCall => self.source == "offline",
            // Nowhere: its own reason says so.
            ActionSource::App => true,
            // One event without a page would refuse those beside it.
            _ => self.source == "offline" || parts::has(event, "event_source_url"),
        };
        let elsewhere = || Unfit::Unrouted(Reason::new("not_of_this_source"));
        (!here).then(elsewhere).or_else(|| unfit(event))
    }
}

impl Destination for TikTok {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn is_about_credential(&self, reason: &str) -> bool {
        matches!(reason, "http_401" | "http_403") || reason.parse().is_ok_and(is_of_account)
    }

    fn max_age(&self, event: &Event) -> Duration {
        max_age(event)
    }

    fn unfit(&self, event: &Event) -> Option<Unfit> {
        self.judged(event)
    }

    fn plan(&self, events: &[Event]) -> Plan {
        Plan::of(
            events,
            SPEC.batch_limit,
            |event| self.judged(event),
            |part, at| {
                let data: Vec<Value> = part.iter().map(|event| wire(event)).collect();
                let mut body = json!({"event_source": self.source, "event_source_id": self.source_id,
                "data": data});
                if let Some(code) = &self.test_code {
                    body["test_event_code"] = code.as_str().into();
                }
                Request::post(self.url.clone(), &body, at)
            },
        )
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let body = answer::json(answer);
        let code = body.get("code").and_then(Value::as_i64);
        let decision = match code {
            Some(code) => by_code(events.len(), code, answer),
            None => answer::by_status(events.len(), answer),
        };
        let id = body.get("request_id").and_then(Value::as_str);
        answer::verdict(decision, id, &[("code", code.map(Value::from))], answer)
    }

    /// Needs a code of the test tab, or the setting of that name.
    fn test_request(&self, events: &[Event], code: Option<&str>) -> Option<Request> {
        let code = code.or(self.test_code.as_deref())?;
        let mut request = self.plan(events).requests.into_iter().next()?;
        request.body["test_event_code"] = code.into();
        Some(request)
    }
}

/// Codes of <https://business-api.tiktok.com/portal/docs?id=1737172488964097>, as connectors read
/// them, 2026-11-24.
fn by_code(sent: usize, code: i64, answer: &Response) -> Decision {
    let reason = code.to_string();
    match code {
        0 if answer::is_success(answer) => answer::delivered(sent),
        0 => answer::by_status(sent, answer),
        // A lone event of a "partial success" is the refused part.
        20_001 => answer::invalid(sent, reason),
        40_001 | 40_100..=40_199 if is_of_account(code) => answer::blocked(reason),
        40_100 => answer::throttled(reason, answer),
        50_000.. => answer::retry(reason, answer),
        40_000 | 40_002..=40_099 => answer::invalid(sent, reason),
        _ => answer::unclear(sent, reason, answer),
    }
}

/// Token, permission, or an id of another account.
fn is_of_account(code: i64) -> bool {
    matches!(code, 40_001 | 40_101..=40_199)
}

pub(super) fn explain(reason: &str) -> Option<&'static str> {
    if reason == "not_of_this_source" {
        return Some(
            "the event did not happen where the setting event_source of the destination says, or web \
             is to take it and it has no page; let the view return event_source_url, or let a \
             destination of the other event_source take it",
        );
    }
    let Ok(code) = reason.parse::<i64>() else { return parts::explain(reason) };
    let text = match code {
        20_001 => {
            "TikTok took some events of the request and did not say which; all go again in halves, \
             and it drops by their id those that it has"
        }
        code if is_of_account(code) => {
            "TikTok refuses the access token, or its right to this event source; make a token in \
             Events Manager, then resume the destination"
        }
        40_100 => "too many calls; the events wait and go again",
        50_000.. => "TikTok had an error of its own; the events go again",
        40_000..=40_099 => {
            "a parameter of the event is invalid; compare capi.preview with TikTok's reference"
        }
        _ => {
            "TikTok answered with a code that this program does not know; the events go again a few \
             times, then the destination stops; look the code up in TikTok's reference, then resume \
             the destination"
        }
    };
    Some(text)
}

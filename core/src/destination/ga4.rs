//! Google Analytics 4: the Measurement Protocol.
//!
//! It wants a POST with one client and its events, and answers 2xx whatever it thinks of them
//! (<https://developers.google.com/analytics/devguides/collection/protocol/ga4>, read 2026-11-24).
//!
//! - **No feedback.** 2xx means "arrived": bad events, a wrong `api_secret` and a wrong
//!   `measurement_id` vanish without a word. Whether events are right is said by the debug endpoint
//!   alone, which the test mode asks; it does not check id and secret either.
//! - A request is of one client, one time and one consent, so each event goes alone, though 25 might.
//!   `batch_limit` says so: a batch of several would come down to as many batches.
//! - Doubles are dropped by `transaction_id`, for purchases only. Any other event whose answer was
//!   lost is not sent again.
//! - An event without `ga_client_id`, the `_ga` cookie, is of nobody and is not sent.
//! - The address and `user_id` go in clear in part, and the outbox has digests only: they are not
//!   sent. Google's page recommends `user_id` beside `user_data`; an older text demands it.
//! - Names of events have up to 40 letters, digits and underscores. Texts of parameters are cut to
//!   Google's limits, of which a longer one costs the parameter.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::routing::REFUND;
use super::settings::{self, Shape};
use super::{
    CredentialSlot, Decision, Destination, Outcome, Plan, Reason, Request, Response, SettingsError,
    Spec, Unfit, Verdict, answer, google, parts,
};
use crate::event::Event;

/// Where events go; `https://region1.google-analytics.com` keeps them in the EU.
const ENDPOINT: &str = "https://www.google-analytics.com";

/// Oldest event: `…/protocol/ga4/sending-events`, read 2026-11-24.
const MAX_AGE: Duration = Duration::from_secs(72 * 60 * 60);

/// Longest name of an event: same page.
const LONGEST_NAME: usize = 40;

/// Longest text of a parameter: same page; `page_location` may have 1,000, `page_referrer` 420.
const LONGEST_TEXT: usize = 100;

/// Most items of an event: `…/protocol/ga4/reference/events`, read 2026-11-24.
const MOST_ITEMS: usize = 200;

/// Standard events, ours and Google's: `…/protocol/ga4/reference/events`, read 2026-11-24. Other
/// names go in lower case with underscores.
const NAMES: &[(&str, &str)] = &[
    ("AddPaymentInfo", "add_payment_info"),
    ("AddToCart", "add_to_cart"),
    ("AddToWishlist", "add_to_wishlist"),
    ("CompleteRegistration", "sign_up"),
    ("InitiateCheckout", "begin_checkout"),
    ("Lead", "generate_lead"),
    ("PageView", "page_view"),
    ("Purchase", "purchase"),
    ("Refund", "refund"),
    ("Search", "search"),
    ("ViewContent", "view_item"),
];

/// Names that Google keeps for itself: `…/protocol/ga4/reference`, read 2026-11-24.
const RESERVED: &[&str] = &[
    "ad_activeview",
    "ad_click",
    "ad_exposure",
    "ad_impression",
    "ad_query",
    "ad_reward",
    "adunit_exposure",
    "app_clear_data",
    "app_exception",
    "app_install",
    "app_remove",
    "app_store_refund",
    "app_update",
    "app_upgrade",
    "dynamic_link_app_open",
    "dynamic_link_app_update",
    "dynamic_link_first_open",
    "error",
    "firebase_campaign",
    "firebase_in_app_message_action",
    "firebase_in_app_message_dismiss",
    "firebase_in_app_message_impression",
    "first_open",
    "first_visit",
    "in_app_purchase",
    "notification_dismiss",
    "notification_foreground",
    "notification_open",
    "notification_receive",
    "os_update",
    "session_start",
    "user_engagement",
];

/// Beginnings of names that Google keeps for itself: same page.
const RESERVED_PREFIXES: [&str; 3] = ["firebase_", "google_", "ga_"];

static SPEC: Spec = Spec {
    platform: "ga4",
    batch_limit: 1,
    credential: CredentialSlot::Query("api_secret"),
    documentation: "https://developers.google.com/analytics/devguides/collection/protocol/ga4",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `G-` and the id of the web stream.
    measurement_id: String,
    /// Scheme and host.
    endpoint: Option<String>,
    #[serde(flatten)]
    consent: google::Consent,
}

const KNOWN: &[(&str, Shape)] = &[
    ("measurement_id", Shape::Text),
    ("endpoint", Shape::TextOrNull),
    (google::AD_USER_DATA, Shape::TextOrNull),
    (google::AD_PERSONALIZATION, Shape::TextOrNull),
];

#[derive(Debug)]
struct Ga4 {
    endpoint: String,
    measurement_id: String,
    consent: google::Consent,
}

pub(super) fn build(given: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let settings: Settings = settings::read(given, KNOWN, &["measurement_id"])?;
    settings.consent.check()?;
    let id = settings.measurement_id;
    let stream = id.strip_prefix("G-").is_some_and(|rest| {
        (1..=20).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    if !stream {
        return Err(settings::broken("measurement_id", "must be G- and letters and digits"));
    }
    let endpoint = settings::endpoint(settings.endpoint, ENDPOINT)?;
    Ok(Box::new(Ga4 { endpoint, measurement_id: id, consent: settings.consent }))
}

pub(super) fn max_age(_: &Event) -> Duration {
    MAX_AGE
}

pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    let money = event.event_name == "Purchase" || event.event_name == REFUND;
    let name = wire_name(event);
    let reason = parts::misfit(event).or_else(|| match () {
        () if !is_name(&name) => Some("event_name_not_taken"),
        () if !parts::has(event, "ga_client_id") => Some("missing_ga_client_id"),
        () if event.event_name == REFUND && !parts::has(event, "order_id") => {
            Some("missing_order_id")
        }
        () if money => parts::missing_money(event),
        () => None,
    });
    Some(Unfit::Refused(Reason::new(reason?)))
}

/// What purchases are told apart by, as long as Google takes it.
pub(crate) fn transaction_id(event: &Event) -> &str {
    cut(parts::transaction_id(event), LONGEST_TEXT)
}

/// What Google calls an event.
pub(crate) fn wire_name(event: &Event) -> String {
    parts::wire_name(&event.event_name, NAMES)
        .map_or_else(|| parts::snake(&event.event_name), str::to_owned)
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && !RESERVED.contains(&name)
        && !RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

impl Ga4 {
    fn url(&self, path: &str) -> String {
        format!("{}{path}?measurement_id={}", self.endpoint, self.measurement_id)
    }

    fn body(&self, event: &Event) -> Value {
        let mut body = Map::new();
        parts::put(&mut body, "client_id", event.facts.text("ga_client_id"));
        body.insert("timestamp_micros".into(), event.event_time.0.into());
        let consent = self.consent.of(event, SPEC.platform, "GRANTED", "DENIED");
        let consent: Map<String, Value> =
            consent.into_iter().map(|(kind, word)| (kind.to_owned(), Value::from(word))).collect();
        parts::put(&mut body, "consent", (!consent.is_empty()).then_some(consent));
        let mut user = Map::new();
        let digests = &[("email", "sha256_email_address"), ("phone", "sha256_phone_number")];
        parts::put_digests(&mut user, &event.identity, SPEC.platform, digests);
        parts::put(&mut body, "user_data", (!user.is_empty()).then_some(user));
        body.insert("events".into(), json!([{"name": wire_name(event), "params": params(event)}]));
        Value::Object(body)
    }
}

/// The parameters of an event; `engagement_time_msec` and `session_id` let it count in reports.
fn params(event: &Event) -> Map<String, Value> {
    let mut map = Map::new();
    let text = |field: &str| event.facts.text(field);
    parts::put(&mut map, "session_id", text("ga_session_id"));
    map.insert("engagement_time_msec".into(), 1.into());
    if matches!(wire_name(event).as_str(), "purchase" | "refund") {
        map.insert("transaction_id".into(), transaction_id(event).into());
    }
    parts::put(&mut map, "currency", parts::currency(event));
    parts::put(&mut map, "value", parts::amount(event));
    parts::put(&mut map, "search_term", text("search_string").map(|t| cut(t, LONGEST_TEXT)));
    parts::put(&mut map, "page_location", text("event_source_url").map(|t| cut(t, 1_000)));
    parts::put(&mut map, "page_referrer", text("referrer_url").map(|t| cut(t, 420)));
    let items: Vec<Value> = parts::items(event, MOST_ITEMS).iter().map(item).collect();
    parts::put(&mut map, "items", (!items.is_empty()).then_some(items));
    map
}

fn item(item: &parts::Item<'_>) -> Value {
    let mut map = Map::new();
    map.insert("item_id".into(), cut(&item.id, LONGEST_TEXT).into());
    let text = |text: Option<&str>| text.map(|text| cut(text, LONGEST_TEXT).to_owned());
    parts::put(&mut map, "item_name", text(item.title));
    parts::put(&mut map, "item_brand", text(item.brand));
    parts::put(&mut map, "item_category", text(item.category));
    parts::put(&mut map, "price", item.price.cloned().map(Value::Number));
    parts::put(&mut map, "quantity", item.quantity);
    Value::Object(map)
}

/// The beginning of a text, up to so many characters.
fn cut(text: &str, limit: usize) -> &str {
    text.char_indices().nth(limit).map_or(text, |(at, _)| &text[..at])
}

impl Destination for Ga4 {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn max_age(&self, event: &Event) -> Duration {
        max_age(event)
    }

    fn unfit(&self, event: &Event) -> Option<Unfit> {
        unfit(event)
    }

    fn plan(&self, events: &[Event]) -> Plan {
        Plan::of(events, SPEC.batch_limit, unfit, |part, at| {
            Request::post(self.url("/mp/collect"), &self.body(part[0]), at)
        })
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let sent = events.len();
        let decision = match answer.status {
            200..=299 => answer::delivered(sent),
            // Not taken for certain; other errors may come of something behind which it was.
            503 | 429 | 408 => answer::by_status(sent, answer),
            500.. if events.iter().all(drops_doubles) => answer::by_status(sent, answer),
            500.. => {
                let reason = || Reason(format!("http_{}", answer.status));
                let outcome = |event: &Event| match drops_doubles(event) {
                    true => Outcome::Retry(reason()),
                    false => Outcome::Refused(Reason::new("perhaps_delivered")),
                };
                Decision::Each(events.iter().map(outcome).collect())
            }
            413 => answer::invalid(sent, "http_413"),
            _ => answer::by_status(sent, answer),
        };
        Verdict { summary: json!({}), ..answer::verdict(decision, None, &[], answer) }
    }

    fn drops_doubles(&self, event: &Event) -> bool {
        drops_doubles(event)
    }

    /// The debug endpoint, which records nothing and checks neither secret nor id.
    fn test_request(&self, events: &[Event], _code: Option<&str>) -> Option<Request> {
        let mut request = self.plan(events).requests.into_iter().next()?;
        request.url = self.url("/debug/mp/collect");
        request.body["validation_behavior"] = "ENFORCE_RECOMMENDATIONS".into();
        Some(request)
    }

    fn test_verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let body = answer::json(answer);
        let Some(messages) = body.get("validationMessages").and_then(Value::as_array) else {
            let decision = match answer::is_success(answer) {
                true => answer::retry("unreadable_answer", answer),
                false => answer::by_status(events.len(), answer),
            };
            return answer::verdict(decision, None, &[], answer);
        };
        let codes: Vec<Value> =
            messages.iter().filter_map(|message| message.get("validationCode").cloned()).collect();
        let decision = match codes.first().and_then(Value::as_str) {
            _ if messages.is_empty() => answer::delivered(events.len()),
            Some(code) if answer::is_word(code) => answer::invalid(events.len(), code),
            _ => answer::invalid(events.len(), "VALUE_INVALID"),
        };
        answer::verdict(decision, None, &[("codes", Some(codes.into()))], answer)
    }
}

/// Purchases, by their transaction.
fn drops_doubles(event: &Event) -> bool {
    wire_name(event) == "purchase"
}

pub(super) fn explain(reason: &str) -> Option<&'static str> {
    let text = match reason {
        "missing_ga_client_id" => {
            "Google Analytics knows people by the client id of the _ga cookie; store it with the \
             order, and let the view return it as ga_client_id or within browser"
        }
        "event_name_not_taken" => {
            "Google Analytics takes names of up to 40 letters, digits and underscores, none of its \
             own; map the event with the setting events"
        }
        "VALUE_INVALID"
        | "VALUE_REQUIRED"
        | "NAME_INVALID"
        | "NAME_RESERVED"
        | "VALUE_OUT_OF_BOUNDS"
        | "EXCEEDED_MAX_ENTITIES"
        | "NAME_DUPLICATED" => {
            "the debug endpoint of Google Analytics finds fault with the event; compare \
             capi.preview with its reference"
        }
        _ => return parts::explain(reason),
    };
    Some(text)
}

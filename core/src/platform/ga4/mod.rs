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
//! - Duplicates are dropped by `transaction_id`, for purchases only. Any other event whose answer was
//!   lost is not sent again.
//! - An event without `ga_client_id`, the `_ga` cookie, is of nobody and is not sent.
//! - The address and `user_id` go in clear in part, and the outbox has digests only: they are not
//!   sent. Google's page recommends `user_id` beside `user_data`; an older text demands it.
//! - Names of events have up to 40 letters, digits and underscores. Texts of parameters are cut to
//!   Google's limits, of which a longer one costs the parameter.
//! - A body of 130 kB or more vanishes, too. Texts are limited in characters, bodies in bytes: the
//!   last items are left out until it fits, and the record of the attempt counts them.

use super::facts::Platform;
use crate::destination::filter::Takes;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::google;
use crate::destination::event_parts as parts;
use crate::destination::filter::REFUND;
use crate::destination::http_status as answer;
use crate::destination::settings::{self, Shape};
use crate::destination::{
    CredentialSlot, Destination, Plan, Reason, Request, Response, SettingsError, Spec, Unfit,
    Verdict,
};
use crate::event::Event;

pub(crate) mod pixel;

/// What is known of it whatever the settings.
pub(super) static PLATFORM: Platform = Platform {
    name: "ga4",
    title: "Google Analytics 4",
    spec: &SPEC,
    sample: r#"{"measurement_id": "G-ABC123"}"#,
    tag_id: Some("measurement_id"),
    endpoints: &[ENDPOINT, EU_ENDPOINT],
    build,
    max_age,
    unfit,
    explain,
    takes: Takes { refunds: true, limited_use: false, ..Takes::USUAL },
};

/// Where events go.
pub(super) const ENDPOINT: &str = "https://www.google-analytics.com";

/// Keeps them in the EU.
pub(super) const EU_ENDPOINT: &str = "https://region1.google-analytics.com";

/// Oldest event: `…/protocol/ga4/sending-events`, read 2026-11-24.
const MAX_AGE: Duration = Duration::from_secs(72 * 60 * 60);

/// Longest name of an event: same page.
const LONGEST_NAME: usize = 40;

/// Longest text of a parameter: same page; `page_location` may have 1,000, `page_referrer` 420.
const LONGEST_TEXT: usize = 100;

/// Most items of an event: `…/protocol/ga4/reference/events`, read 2026-11-24.
const MOST_ITEMS: usize = 200;

/// Bytes that a body stays below: `…/protocol/ga4/sending-events`, read 2026-11-24.
const BODY_LIMIT: usize = 130_000;

/// Bytes that are kept free for what does not depend on the event: consent, and the word that the
/// test mode adds.
const RESERVE: usize = 256;

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
    let reason = reason.or_else(|| (room(event) == 0).then_some("body_too_large"));
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
        let user = user(event);
        parts::put(&mut body, "user_data", (!user.is_empty()).then_some(user));
        let mut params = params(event);
        let items = items(event);
        parts::put(&mut params, "items", (!items.is_empty()).then_some(items));
        body.insert("events".into(), json!([{"name": wire_name(event), "params": params}]));
        Value::Object(body)
    }
}

/// The bytes that a body has left for items: those of its other parts, which no setting changes by
/// more than [`RESERVE`], are off.
fn room(event: &Event) -> usize {
    let client = event.facts.text("ga_client_id");
    let rest = json!({
        "client_id": client,
        "timestamp_micros": event.event_time.0,
        "user_data": user(event),
        "events": [{"name": wire_name(event), "params": params(event), "items": []}],
    });
    BODY_LIMIT.saturating_sub(RESERVE + bytes(&rest))
}

/// How long a value is on the wire.
fn bytes(value: &Value) -> usize {
    value.to_string().len()
}

/// The first items of an event, as many as fit into a body.
fn items(event: &Event) -> Vec<Value> {
    let mut room = room(event);
    let items = parts::items(event, MOST_ITEMS);
    let fits = |item: &Value| {
        // The comma after it.
        let size = bytes(item) + 1;
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    items.iter().map(item).take_while(fits).collect()
}

/// How many items of an event are not sent: there are too many of them, or their texts are too long.
fn items_left_out(event: &Event) -> usize {
    parts::items(event, usize::MAX).len() - items(event).len()
}

/// Who it was, as far as digests say.
fn user(event: &Event) -> Map<String, Value> {
    let mut user = Map::new();
    let digests = &[("email", "sha256_email_address"), ("phone", "sha256_phone_number")];
    parts::put_digests(&mut user, &event.identity, SPEC.platform, digests);
    user
}

/// The parameters of an event without its items; `engagement_time_msec` and `session_id` let it count in reports.
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
            413 => answer::invalid(sent, "http_413"),
            _ => answer::by_status(sent, answer),
        };
        // Google says nothing itself.
        let summary = match events.iter().map(items_left_out).sum::<usize>() {
            0 => json!({}),
            left_out => json!({"items_left_out": left_out}),
        };
        Verdict { summary, ..answer::verdict(decision, None, &[], answer) }
    }

    fn drops_duplicates(&self, event: &Event) -> bool {
        drops_duplicates(event)
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
fn drops_duplicates(event: &Event) -> bool {
    wire_name(event) == "purchase"
}

pub(super) fn explain(reason: &str) -> Option<&'static str> {
    let text = match reason {
        "missing_ga_client_id" => {
            "Google Analytics knows people by the client id of the _ga cookie; store it with the \
             order, and let the view return it as ga_client_id or within browser"
        }
        "body_too_large" => {
            "Google Analytics drops requests of 130 kB or more without a word, and this event is \
             larger even without its items; let the view return shorter texts, such as ga_client_id \
             and ga_session_id"
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Facts;
    use crate::platform::tests::events;

    fn event(facts: &Value) -> Event {
        let facts = Facts(facts.as_object().expect("an object").clone().into());
        Event { facts, ..events(1).remove(0) }
    }

    fn sold(items: usize, text: &str) -> Event {
        let item =
            |at| json!({"id": format!("{at}"), "title": text, "brand": text, "category": text});
        let items: Vec<Value> = (0..items).map(item).collect();
        event(&json!({"ga_client_id": "1.2", "contents": items}))
    }

    fn ga4() -> Box<dyn Destination> {
        build(&json!({"measurement_id": "G-ABC123", "ad_personalization": "granted"}))
            .expect("settings")
    }

    fn sent(request: Request) -> (usize, usize) {
        let items = request.body["events"][0]["params"]["items"].as_array().map_or(0, Vec::len);
        (items, request.body.into_bytes().len())
    }

    #[test]
    fn a_body_is_cut_in_bytes_and_the_record_counts_what_is_left_out() {
        let accepted = Response { status: 204, headers: Vec::new(), body: Vec::new() };
        let ga4 = ga4();
        let of = |event: Event| {
            let request = ga4.plan(std::slice::from_ref(&event)).requests.remove(0);
            let test = ga4.test_request(std::slice::from_ref(&event), None).expect("a test");
            assert!(sent(test).1 < 130_000, "the debug endpoint has the same limit");
            (sent(request), ga4.verdict(&[event], &accepted).summary)
        };
        for (text, at_least) in [("\u{6771}".repeat(100), 120_000), ("\u{1}".repeat(100), 120_000)]
        {
            let ((items, bytes), summary) = of(sold(200, &text));
            assert!((at_least..130_000).contains(&bytes), "{bytes}");
            assert!((1..200).contains(&items), "{items}");
            assert_eq!(summary, json!({"items_left_out": 200 - items}));
        }
        let ((items, _), summary) = of(sold(201, "x"));
        assert_eq!((items, summary), (200, json!({"items_left_out": 1})));
        let ((items, _), summary) = of(sold(200, &"x".repeat(100)));
        assert_eq!((items, summary), (200, json!({})), "what fits is not cut");
    }

    #[test]
    fn what_does_not_fit_without_items_is_not_sent() {
        let with_id = |bytes: usize| event(&json!({"ga_client_id": "1".repeat(bytes)}));
        for bytes in [10, 120_000, 129_000, 129_300, 129_400, 129_500, 129_744, 130_000, 200_000] {
            let event = with_id(bytes);
            let plan = ga4().plan(std::slice::from_ref(&event));
            match plan.requests.into_iter().next() {
                Some(request) => assert!(sent(request).1 < 130_000, "{bytes}"),
                None => {
                    assert!(bytes > 129_000);
                    let reason = Unfit::Refused(Reason::new("body_too_large"));
                    assert_eq!(plan.unfit, [(0, reason.clone())], "{bytes}");
                    assert_eq!(unfit(&event), Some(reason), "whatever the settings");
                }
            }
        }
        assert!(ga4().plan(&[with_id(130_000)]).requests.is_empty());
    }
}

//! Pinterest: the Conversions API v5.
//!
//! It wants a POST of up to 1,000 events and answers with what became of each, in their order
//! (<https://developers.pinterest.com/docs/api/v5/events-create/>, and Pinterest's OpenAPI
//! description 5.23.0, `pinterest/api-description` at c05b1897, both read 2026-11-24).
//!
//! - Good events are kept and bad ones named: 200, or 422 when some failed. Where in a 422 the list
//!   stands is not written down: it is looked for as `events`, also within `details`, and believed
//!   only when it is as long as the request.
//! - Unknown keys are errors, and amounts are texts.
//! - Duplicates are dropped by event id, between tag and API; for how long is not published. Those of
//!   `offline` are not dropped, so an event of a shop with a door is not sent twice knowingly.
//! - It takes digests of advertising ids, which the outbox has in clear: they are not sent.
//! - No refunds. `opt_out` and, for limited use, `opt_out_type` `LDP` are its words for limits.
//! - Not published: the oldest event. Seven days here, as with its peers; what comes more than an hour
//!   late is counted as offline, by accounts of others.

use super::facts::Platform;
use crate::destination::filter::Takes;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::destination::event_parts as parts;
use crate::destination::http_status as answer;
use crate::destination::settings::{self, Shape};
use crate::destination::{
    ApiVersion, CredentialSlot, Decision, Destination, Listing, Outcome, Plan, Reason, Request,
    Response, SettingsError, Spec, Unfit, Verdict,
};
use crate::event::{ActionSource, Event};

pub(crate) mod pixel;

/// What is known of it whatever the settings.
pub(super) static PLATFORM: Platform = Platform {
    name: "pinterest",
    title: "Pinterest API for Conversions",
    spec: &SPEC,
    sample: r#"{"ad_account_id": "549755885175", "tag": {"id": "2612345678901"}}"#,
    tag_id: None,
    endpoints: &[ENDPOINT],
    build,
    max_age,
    unfit,
    explain,
    takes: Takes::USUAL,
};

/// Where events go unless the settings name another place.
pub(super) const ENDPOINT: &str = "https://api.pinterest.com";

/// Oldest event; see above.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The event of one's own.
const CUSTOM: &str = "custom";

/// Standard events, ours and Pinterest's, by its OpenAPI description. There are no others: what is
/// not here goes as `custom`.
const NAMES: &[(&str, &str)] = &[
    ("AddPaymentInfo", "add_payment_info"),
    ("AddToCart", "add_to_cart"),
    ("AddToWishlist", "add_to_wishlist"),
    ("CompleteRegistration", "signup"),
    ("InitiateCheckout", "initiate_checkout"),
    ("Lead", "lead"),
    ("PageView", "page_visit"),
    ("Purchase", "checkout"),
    ("Search", "search"),
    ("Subscribe", "subscribe"),
    ("ViewContent", "view_content"),
    ("ViewCategory", "view_category"),
    ("WatchVideo", "watch_video"),
    ("AppInstall", "app_install"),
];

static SPEC: Spec = Spec {
    platform: "pinterest",
    batch_limit: 1_000,
    credential: CredentialSlot::Bearer,
    documentation: "https://developers.pinterest.com/docs/api/v5/events-create/",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Id of the ad account; digits.
    ad_account_id: String,
    /// Scheme and host.
    endpoint: Option<String>,
}

const KNOWN: &[(&str, Shape)] = &[("ad_account_id", Shape::Text), ("endpoint", Shape::TextOrNull)];

#[derive(Debug)]
struct Pinterest {
    url: String,
}

pub(super) fn build(given: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let settings: Settings = settings::read(given, KNOWN, &["ad_account_id"])?;
    settings::check_digits("ad_account_id", &settings.ad_account_id)?;
    let endpoint = settings::endpoint(settings.endpoint, ENDPOINT)?;
    let url = format!("{endpoint}/v5/ad_accounts/{}/events", settings.ad_account_id);
    Ok(Box::new(Pinterest { url }))
}

pub(super) fn max_age(_: &Event) -> Duration {
    MAX_AGE
}

pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    let user = user(event);
    let has = |key: &str| user.contains_key(key);
    let found = has("em") || (has("client_ip_address") && has("client_user_agent"));
    let reason = parts::misfit(event).or_else(|| match () {
        () if action_source(event).is_none() => Some("app_not_supported"),
        () if event.event_name == "Purchase" && parts::missing_money(event).is_some() => {
            parts::missing_money(event)
        }
        () if !found => Some("missing_email_or_browser"),
        () => None,
    });
    Some(Unfit::Refused(Reason::new(reason?)))
}

/// What Pinterest calls an event.
pub(crate) fn name(event_name: &str) -> &str {
    parts::wire_name(event_name, NAMES).unwrap_or(CUSTOM)
}

/// Where it happened; an app says on which system it runs.
fn action_source(event: &Event) -> Option<&'static str> {
    match event.action_source {
        ActionSource::Website => Some("web"),
        ActionSource::App => {
            let slots = event.facts.get("app_data").and_then(|app| app.get("extinfo"));
            match slots.and_then(|slots| slots.get(0)).and_then(Value::as_str) {
                Some("i2") => Some("app_ios"),
                Some("a2") => Some("app_android"),
                _ => None,
            }
        }
        _ => Some("offline"),
    }
}

/// Digests by their keys on the wire.
const DIGESTS: &[(&str, &str)] = &[
    ("email", "em"),
    ("phone", "ph"),
    ("gender", "ge"),
    ("date_of_birth", "db"),
    ("last_name", "ln"),
    ("first_name", "fn"),
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
        ("epik", "click_id"),
    ];
    parts::put_texts(&mut user, event, texts);
    user
}

fn wire(event: &Event) -> Value {
    let name = name(&event.event_name);
    let mut map = Map::new();
    map.insert("event_name".into(), name.into());
    parts::put(&mut map, "action_source", action_source(event));
    map.insert("event_time".into(), event.event_time.seconds().into());
    map.insert("event_id".into(), event.event_id.as_str().into());
    parts::put(&mut map, "event_source_url", event.facts.text("event_source_url"));
    map.insert("user_data".into(), Value::Object(user(event)));
    let custom = custom_data(event);
    parts::put(&mut map, "custom_data", (!custom.is_empty()).then_some(custom));
    let opt_out = event.facts.get("opt_out").and_then(Value::as_bool);
    parts::put(&mut map, "opt_out", opt_out.or(parts::is_limited(event).then_some(true)));
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
    let of_items: Vec<Value> = items.iter().filter_map(|item| item.get("id").cloned()).collect();
    let ids = Some(parts::content_ids(event)).filter(|ids| !ids.is_empty()).unwrap_or(of_items);
    parts::put(&mut map, "content_ids", (!ids.is_empty()).then_some(ids));
    parts::put(&mut map, "contents", (!items.is_empty()).then_some(items));
    parts::put(&mut map, "num_items", parts::num_items(event));
    if parts::is_limited(event) && event.facts.get("data_processing_options").is_some() {
        map.insert("opt_out_type".into(), "LDP".into());
    }
    map
}

fn item(item: &parts::Item<'_>) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), item.id.as_str().into());
    parts::put(&mut map, "item_price", item.price.map(ToString::to_string));
    parts::put(&mut map, "quantity", item.quantity);
    Value::Object(map)
}

impl Destination for Pinterest {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    /// Pinterest names no end of v5.
    fn api_version(&self) -> Option<ApiVersion> {
        Some(ApiVersion { name: "v5".into(), ends: None, listing: Listing::Listed })
    }

    /// Calls per ad account: rate limits of conversions, `…/docs/reference/ratelimits`, read
    /// 2026-11-24.
    fn requests_per_minute(&self) -> Option<u32> {
        Some(5_000)
    }

    fn is_about_credential(&self, reason: &str) -> bool {
        matches!(reason, "http_401" | "http_403") || is_about_token(reason)
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
        let code = body.get("code").and_then(Value::as_i64);
        // A count beyond the request is that of another one.
        let received = body.get("num_events_received").and_then(Value::as_u64);
        let is_ours = received.is_none_or(|count| count <= sent as u64);
        let each = (is_ours && (answer::is_success(answer) || answer.status == 422))
            .then(|| each(sent, &body))
            .flatten();
        let decision = match (each, answer.status, code) {
            (Some(outcomes), ..) => Decision::Each(outcomes),
            // Nothing is known of any event: whoever was taken is dropped by its id.
            (None, 422, Some(code)) => answer::invalid(sent, code.to_string()),
            (None, 400, Some(code)) => answer::invalid(sent, code.to_string()),
            (None, 401 | 403, Some(code)) if is_about_token(&code.to_string()) => {
                answer::blocked(code.to_string())
            }
            (None, 404, Some(code)) => answer::blocked(code.to_string()),
            (None, 429, Some(code)) => answer::throttled(code.to_string(), answer),
            (None, 500.., Some(code)) => answer::retry(code.to_string(), answer),
            (None, _, Some(code)) => answer::unclear(sent, code.to_string(), answer),
            _ => answer::by_status(sent, answer),
        };
        let codes = [("code", code.map(Value::from)), counted(&body)];
        answer::verdict(decision, answer.header("x-pinterest-rid"), &codes, answer)
    }

    /// A shop with a door has no ids that duplicates are dropped by.
    fn drops_duplicates(&self, event: &Event) -> bool {
        action_source(event) != Some("offline")
    }

    /// `test=true`: the same answer, and nothing is recorded.
    fn test_request(&self, events: &[Event], _code: Option<&str>) -> Option<Request> {
        let mut request = self.plan(events).requests.into_iter().next()?;
        request.url.push_str("?test=true");
        Some(request)
    }
}

/// Codes of a token that is not taken, or has not the right.
fn is_about_token(code: &str) -> bool {
    matches!(code, "2" | "29")
}

fn counted(body: &Value) -> (&'static str, Option<Value>) {
    ("num_events_processed", body.get("num_events_processed").filter(|n| n.is_u64()).cloned())
}

/// One outcome per event, where the answer has them: its messages quote what was sent, so that all
/// of them have one reason.
fn each(sent: usize, body: &Value) -> Option<Vec<Outcome>> {
    let list = [body.get("events"), body.pointer("/details/events"), body.get("details")];
    let list = list.into_iter().flatten().find_map(Value::as_array)?;
    if list.len() != sent {
        return None;
    }
    let outcome = |event: &Value| match event.get("status").and_then(Value::as_str)? {
        "processed" => Some(Outcome::Delivered),
        "failed" => Some(Outcome::Refused(Reason::new("event_failed"))),
        _ => None,
    };
    list.iter().map(outcome).collect()
}

pub(super) fn explain(reason: &str) -> Option<&'static str> {
    let text = match reason {
        "event_failed" => {
            "Pinterest refused the event; its message quotes what was sent and is not kept, so \
             compare capi.preview with its reference, or send a test"
        }
        "missing_email_or_browser" => {
            "Pinterest finds nobody without email, or client_ip_address and client_user_agent \
             together; let the view return one of them"
        }
        "2" => "Pinterest refuses the token; make one in Ads Manager, then resume the destination",
        "29" => {
            "the token may not write events of this ad account; correct ad_account_id or the \
             token's rights, then resume the destination"
        }
        "8" => "too many calls; the events wait and go again",
        "4197" => "Pinterest takes fewer events for a while; they go again",
        "4196" => "an event is invalid; compare capi.preview with Pinterest's reference",
        code if code.parse::<i64>().is_ok() => {
            "Pinterest answered with a code that this program does not know; the answer's HTTP \
             status decided"
        }
        _ => return parts::explain(reason),
    };
    Some(text)
}

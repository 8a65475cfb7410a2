//! Owns the stand-in for GA4's Measurement Protocol: it says nothing, whatever comes. What would have
//! vanished is noted in the log; the debug endpoint tells it to whoever asks.

use serde_json::{Value, json};

use super::accepted_event::Sameness;
use super::call::{Call, Failure, Reply, accepted_event};
use super::schema::{Kind, Part, Violation, check, money, opt, req};
use super::state::Standin;

/// Takes events.
pub(super) const COLLECT: &str = "/mp/collect";
/// Judges events and takes none.
pub(super) const DEBUG: &str = "/debug/mp/collect";

const MAX_AGE_US: i64 = 72 * 3600 * 1_000_000;
const MAX_BYTES: usize = 130_000;
const MAX_PARAMS: usize = 25;
const MAX_NAME: usize = 40;

const UNKNOWN: Option<&str> = Some("ga4.keys");
const CONSENT_STATUS: Kind = Kind::OneOf(&["GRANTED", "DENIED"]);
const REQUEST: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("client_id", Kind::Text, "ga4.client"),
        opt("app_instance_id", Kind::Text, "ga4.client"),
        opt("user_id", Kind::TextUpTo(256), "ga4.types"),
        opt("timestamp_micros", Kind::CountOrDigits, "ga4.time"),
        opt("user_properties", Kind::Any, "ga4.types"),
        opt("user_data", Kind::Object(&USER), "ga4.user"),
        opt("consent", Kind::Object(&CONSENT), "ga4.consent"),
        opt("non_personalized_ads", Kind::Flag, "ga4.types"),
        opt(
            "validation_behavior",
            Kind::OneOf(&["RELAXED", "ENFORCE_RECOMMENDATIONS"]),
            "ga4.types",
        ),
        opt("ip_override", Kind::Address, "ga4.types"),
        opt("user_location", Kind::Any, "ga4.types"),
        opt("device", Kind::Any, "ga4.types"),
        req("events", Kind::List(&EVENT, 1, 25), "ga4.events"),
    ],
};
const CONSENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("ad_user_data", CONSENT_STATUS, "ga4.consent"),
        opt("ad_personalization", CONSENT_STATUS, "ga4.consent"),
    ],
};
const USER: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("sha256_email_address", Kind::DigestOrDigests, "ga4.user"),
        opt("sha256_phone_number", Kind::DigestOrDigests, "ga4.user"),
        opt("address", Kind::List(&ADDRESS, 1, 10), "ga4.user"),
    ],
};
const ADDRESS: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("sha256_first_name", Kind::Digest, "ga4.user"),
        opt("sha256_last_name", Kind::Digest, "ga4.user"),
        opt("sha256_street", Kind::Digest, "ga4.user"),
        opt("city", Kind::Text, "ga4.user"),
        opt("region", Kind::Text, "ga4.user"),
        opt("postal_code", Kind::Text, "ga4.user"),
        opt("country", Kind::Text, "ga4.user"),
    ],
};
const EVENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("name", Kind::TextUpTo(MAX_NAME), "ga4.name"),
        opt("params", Kind::Any, "ga4.params"),
        opt("timestamp_micros", Kind::CountOrDigits, "ga4.time"),
    ],
};

/// Names that the web's own collection keeps to itself.
const RESERVED: &[&str] = &[
    "ad_activeview",
    "ad_click",
    "ad_exposure",
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
const RESERVED_PREFIXES: &[&str] = &["_", "firebase_", "ga_", "google_", "gtag."];

/// Judges one request; only the debug endpoint tells the outcome.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    if call.method != "POST" {
        return fail(Failure::NotFound);
    }
    let is_debug = call.path == DEBUG;
    let mut found = Vec::new();
    if !is_debug {
        check_stream(state, call, &mut found);
    }
    let body = match serde_json::from_slice::<Value>(&call.body) {
        Ok(body) if body.is_object() => body,
        _ => {
            found.push(Violation::wrong("ga4.body", "", "the body must be one JSON object"));
            Value::Null
        }
    };
    if call.body.len() >= MAX_BYTES {
        found.push(Violation::wrong("ga4.size", "", "the body must be under 130 kB"));
    }
    let none = Vec::new();
    let events = body["events"].as_array().unwrap_or(&none);
    if body.is_object() {
        check(&REQUEST, &body, "", &mut found);
        check_request(&body, call, &mut found);
        for (at, event) in events.iter().enumerate() {
            check_event(event, at, call, &mut found);
        }
    }
    if is_debug {
        let messages: Vec<Value> = found.iter().map(message).collect();
        let mut reply = Reply::json(200, json!({ "validationMessages": messages }));
        reply.events = events.len();
        return match found.first() {
            Some(violation) => reply.because(code(violation), violation),
            None => reply,
        };
    }
    let mut reply = Reply { status: 204, events: events.len(), ..Reply::default() };
    // What is wrong with the request takes all events with it.
    let whole = found.iter().any(|violation| violation.position("events").is_none());
    for (at, event) in events.iter().enumerate() {
        let is_bad = whole || found.iter().any(|it| it.position("events") == Some(at));
        let taken = if is_bad { None } else { take(event) };
        let account = call.parameter("measurement_id").unwrap_or_default();
        match taken {
            Some(taken)
                if call.poisoned(state, account, std::slice::from_ref(&taken)).is_none() =>
            {
                reply.accepted.push(taken);
            }
            _ => reply.vanished += 1,
        }
    }
    match found.first() {
        Some(violation) => reply.because(code(violation), violation),
        None if reply.vanished > 0 => reply.failed("VALUE_INVALID", "fault"),
        None => reply,
    }
}

fn take(event: &Value) -> Option<super::accepted_event::AcceptedEvent> {
    let name = event["name"].as_str()?;
    let params = &event["params"];
    let id = params["transaction_id"].as_str();
    // Only purchases are compared.
    let sameness = id.filter(|_| name == "purchase").map(|id| Sameness::of(&[name, id], i64::MAX));
    accepted_event(event, name, id, money(params, "currency", "value"), sameness)
}

fn check_stream(state: &Standin, call: &Call, found: &mut Vec<Violation>) {
    let stream = call.parameter("measurement_id").map(|id| id.starts_with("G-") && id.len() > 2);
    let app = call.parameter("firebase_app_id").map(|id| id.split(':').count() == 4);
    if stream.or(app) != Some(true) {
        let text = "must be G-… or the id of an app";
        found.push(Violation::wrong("ga4.stream", "measurement_id", text));
    }
    if !call.opens(state, call.parameter("api_secret")) {
        found.push(Violation::wrong("ga4.secret", "api_secret", "is not the secret"));
    }
}

fn check_request(body: &Value, call: &Call, found: &mut Vec<Violation>) {
    if body["client_id"].is_null() && body["app_instance_id"].is_null() {
        found.push(Violation::missing("ga4.client", "client_id"));
    }
    check_time(&body["timestamp_micros"], "timestamp_micros", call, found);
    if let Some(properties) = body["user_properties"].as_object()
        && properties.len() > 25
    {
        let text = "must hold at most 25 properties";
        found.push(Violation::wrong("ga4.types", "user_properties", text));
    }
}

fn check_time(time: &Value, field: &str, call: &Call, found: &mut Vec<Violation>) {
    let micros = time.as_i64().or_else(|| time.as_str()?.parse().ok());
    let Some(micros) = micros else { return };
    if micros < call.now_us - MAX_AGE_US {
        let text = "must be microseconds, at most 72 hours ago";
        found.push(Violation::wrong("ga4.age", field, text));
    }
    if micros > call.now_us + call.max_future * 1_000_000 {
        found.push(Violation::wrong("ga4.age", field, "must not lie in the future"));
    }
}

fn check_event(event: &Value, at: usize, call: &Call, found: &mut Vec<Violation>) {
    let field = |key: &str| format!("events[{at}].{key}");
    check_time(&event["timestamp_micros"], &field("timestamp_micros"), call, found);
    let name = event["name"].as_str().unwrap_or_default();
    if !name.is_empty() && !is_name(name) {
        let text = "must be letters, digits and underscores, and begin with a letter";
        found.push(Violation::wrong("ga4.name", field("name"), text));
    }
    let is_reserved = |prefix: &&str| name.starts_with(*prefix);
    if RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(is_reserved) {
        found.push(Violation::wrong("ga4.reserved", field("name"), "is reserved"));
    }
    let params = &event["params"];
    if !params.is_null() && !params.is_object() {
        found.push(Violation::wrong("ga4.params", field("params"), "must be an object"));
    }
    if let Some(params) = params.as_object() {
        if params.len() > MAX_PARAMS {
            let text = "must hold at most 25 parameters";
            found.push(Violation::wrong("ga4.params.count", field("params"), text));
        }
        for (key, value) in params {
            let path = field(&format!("params.{key}"));
            if !is_name(key) || key.len() > MAX_NAME {
                let text = "the name is longer than 40 characters or of other characters";
                found.push(Violation::wrong("ga4.params", path.clone(), text));
            }
            if key == "items" {
                check_items(value, &path, found);
            } else if !is_scalar(key, value) {
                let text = "must be text of at most 100 characters, a number or a flag";
                found.push(Violation::wrong("ga4.params.value", path, text));
            }
        }
    }
    let has = |key: &str| !params[key].is_null();
    if matches!(name, "purchase" | "refund") && !has("transaction_id") {
        found.push(Violation::missing("ga4.transaction", field("params.transaction_id")));
    }
    if has("value") && !has("currency") {
        found.push(Violation::missing("ga4.currency", field("params.currency")));
    }
    let mut money = Vec::new();
    check(&MONEY, params, &field("params"), &mut money);
    found.append(&mut money);
}

const MONEY: Part = Part {
    unknown: None,
    keys: &[
        opt("currency", Kind::Currency, "ga4.currency"),
        opt("value", Kind::Number, "ga4.value"),
        opt("transaction_id", Kind::Text, "ga4.transaction"),
    ],
};
const ITEM: Part = Part {
    unknown: None,
    keys: &[
        opt("item_id", Kind::Text, "ga4.items"),
        opt("item_name", Kind::Text, "ga4.items"),
        opt("price", Kind::Number, "ga4.items"),
        opt("quantity", Kind::Count, "ga4.items"),
    ],
};

fn check_items(items: &Value, path: &str, found: &mut Vec<Violation>) {
    let Some(list) = items.as_array().filter(|list| list.len() <= 200) else {
        found.push(Violation::wrong("ga4.items", path, "must be a list of at most 200 items"));
        return;
    };
    for (at, item) in list.iter().enumerate() {
        let path = format!("{path}[{at}]");
        check(&ITEM, item, &path, found);
        if item["item_id"].is_null() && item["item_name"].is_null() {
            let text = "needs item_id or item_name";
            found.push(Violation::wrong("ga4.items", format!("{path}.item_id"), text));
        }
        let values = item.as_object().map(|object| object.iter()).into_iter().flatten();
        for (key, _) in values.filter(|(key, value)| !is_scalar(key, value)) {
            let text = "must be text of at most 100 characters, a number or a flag";
            found.push(Violation::wrong("ga4.items", format!("{path}.{key}"), text));
        }
    }
}

fn is_scalar(key: &str, value: &Value) -> bool {
    let most = match key {
        "page_title" => 300,
        "page_referrer" => 420,
        "page_location" => 1000,
        _ => 100,
    };
    match value {
        Value::String(text) => text.chars().count() <= most,
        value => value.is_number() || value.is_boolean(),
    }
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// The code that the debug endpoint gives to a violation.
fn code(violation: &Violation) -> &'static str {
    match violation.rule {
        _ if violation.missing => "VALUE_REQUIRED",
        "ga4.events" | "ga4.params.count" | "ga4.size" => "EXCEEDED_MAX_ENTITIES",
        "ga4.reserved" => "NAME_RESERVED",
        "ga4.name" | "ga4.keys" | "ga4.params" => "NAME_INVALID",
        "ga4.age" => "VALUE_OUT_OF_BOUNDS",
        _ => "VALUE_INVALID",
    }
}

fn message(violation: &Violation) -> Value {
    json!({
        "fieldPath": violation.field,
        "description": violation.text,
        "validationCode": code(violation),
    })
}

/// Only throttling and the server's own trouble can be seen.
pub(super) fn fail(failure: Failure) -> Reply {
    let (status, rule) = match failure {
        Failure::NotFound => (404, "ga4.path"),
        Failure::Token => (204, "fault"),
        Failure::Throttled => (429, "fault"),
        Failure::Server(status) | Failure::Client(status) => (status, "fault"),
        Failure::TooLarge => (413, "fault"),
    };
    Reply { status, ..Reply::default() }.failed(status, rule)
}

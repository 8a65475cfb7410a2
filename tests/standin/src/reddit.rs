//! Owns the stand-in for Reddit's Conversions API v3: one bad event, and none was processed.

use serde_json::{Value, json};

use super::accepted_event::{Sameness, TWO_DAYS_US};
use super::call::{Call, Failure, Reply, accepted_event};
use super::schema::{Kind, Part, Violation, check, money, opt, req};
use super::state::Standin;

const MAX_AGE_MS: i64 = 7 * 86_400_000;
const MAX_FUTURE_MS: i64 = 300_000;

const UNKNOWN: Option<&str> = Some("reddit.keys");
const REQUEST: Part =
    Part { unknown: UNKNOWN, keys: &[req("data", Kind::Object(&DATA), "reddit.data")] };
const DATA: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("events", Kind::List(&EVENT, 1, 1_000), "reddit.events"),
        opt("test_id", Kind::Text, "reddit.types"),
        opt("partner", Kind::Text, "reddit.types"),
    ],
};
const SOURCES: Kind = Kind::OneOf(&["WEBSITE", "APP", "PHYSICAL_STORE", "OTHER"]);
const EVENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("event_at", Kind::Count, "reddit.time"),
        req("action_source", SOURCES, "reddit.source"),
        req("type", Kind::Object(&TYPE), "reddit.type"),
        opt("event_source_url", Kind::Url, "reddit.url"),
        opt("click_id", Kind::Text, "reddit.types"),
        opt("user", Kind::Object(&USER), "reddit.types"),
        opt("metadata", Kind::Object(&METADATA), "reddit.types"),
    ],
};
const TYPE: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req(
            "tracking_type",
            Kind::OneOf(&[
                "PURCHASE",
                "LEAD",
                "ADD_TO_CART",
                "ADD_TO_WISHLIST",
                "VIEW_CONTENT",
                "SIGN_UP",
                "SEARCH",
                "PAGE_VISIT",
                "CUSTOM",
            ]),
            "reddit.type",
        ),
        opt("custom_event_name", Kind::TextUpTo(64), "reddit.custom"),
    ],
};
const USER: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("email", Kind::Digest, "reddit.digest"),
        opt("phone_number", Kind::Digest, "reddit.digest"),
        opt("external_id", Kind::Digest, "reddit.digest"),
        opt("idfa", Kind::Digest, "reddit.digest"),
        opt("aaid", Kind::Digest, "reddit.digest"),
        opt("ip_address", Kind::Address, "reddit.ip"),
        opt("user_agent", Kind::Text, "reddit.types"),
        opt("uuid", Kind::Text, "reddit.types"),
        opt("screen_dimensions", Kind::Any, "reddit.types"),
        opt("data_processing_options", Kind::Object(&OPTIONS), "reddit.ldu"),
    ],
};
const OPTIONS: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("modes", Kind::Texts, "reddit.ldu"),
        opt("country", Kind::Text, "reddit.ldu"),
        opt("region", Kind::Text, "reddit.ldu"),
    ],
};
const METADATA: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("conversion_id", Kind::Text, "reddit.types"),
        opt("currency", Kind::Currency, "reddit.currency"),
        opt("value", Kind::Number, "reddit.value"),
        opt("item_count", Kind::Count, "reddit.types"),
        opt("products", Kind::List(&PRODUCT, 0, 1_000), "reddit.products"),
    ],
};
const PRODUCT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("id", Kind::Text, "reddit.products"),
        opt("name", Kind::Text, "reddit.products"),
        opt("category", Kind::Text, "reddit.products"),
        opt("quantity", Kind::Count, "reddit.products"),
        opt("item_price", Kind::Number, "reddit.products"),
    ],
};

/// Judges one request.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    if call.method != "POST" {
        return fail(Failure::NotFound);
    }
    if !call.opens(state, call.bearer()) {
        return fail(Failure::Token);
    }
    // The defaults of libraries are throttled.
    let agent = call.header("user-agent").unwrap_or_default();
    let is_default = ["reqwest", "curl", "python", "axios", "node", "Go-http", "okhttp"]
        .iter()
        .any(|library| agent.starts_with(library));
    if agent.is_empty() || is_default {
        return error(429, "too many requests", &[]).failed(429, "reddit.agent");
    }
    let body = match call.json("reddit.body") {
        Ok(body) => body,
        Err(violation) => return refuse(&[violation]),
    };
    let mut found = Vec::new();
    check(&REQUEST, &body, "", &mut found);
    let none = Vec::new();
    let events = body["data"]["events"].as_array().unwrap_or(&none);
    for (at, event) in events.iter().enumerate() {
        check_event(event, at, call, &mut found);
    }
    let mut reply = if found.is_empty() {
        let account = call.path.split('/').nth(4).unwrap_or_default();
        let accepted: Vec<_> = events.iter().filter_map(take).collect();
        if let Some(at) = call.poisoned(state, account, &accepted) {
            let field = format!("data.events[{at}]");
            refuse(&[Violation::wrong("fault", field, "is refused")])
        } else {
            let text = format!("Successfully processed {} conversion events.", events.len());
            let is_test = !body["data"]["test_id"].is_null();
            // A test shows in the testing tab only.
            let accepted = if is_test { Vec::new() } else { accepted };
            Reply { accepted, ..Reply::json(200, json!({ "data": { "message": text } })) }
        }
    } else {
        refuse(&found)
    };
    reply.events = events.len();
    reply
}

fn take(event: &Value) -> Option<super::accepted_event::AcceptedEvent> {
    let name = event["type"]["tracking_type"].as_str()?;
    let metadata = &event["metadata"];
    let id = metadata["conversion_id"].as_str();
    let sameness = id.map(|id| Sameness::of(&[name, id], TWO_DAYS_US));
    accepted_event(event, name, id, money(metadata, "currency", "value"), sameness)
}

fn check_event(event: &Value, at: usize, call: &Call, found: &mut Vec<Violation>) {
    let field = |key: &str| format!("data.events[{at}].{key}");
    let now_ms = call.now_us / 1_000;
    if let Some(time) = event["event_at"].as_i64() {
        if time < now_ms - MAX_AGE_MS {
            let text = "must be milliseconds, at most 7 days ago";
            found.push(Violation::wrong("reddit.age", field("event_at"), text));
        }
        if time > now_ms + MAX_FUTURE_MS {
            let text = "must be milliseconds, at most 5 minutes ahead";
            found.push(Violation::wrong("reddit.future", field("event_at"), text));
        }
    }
    let kind = &event["type"];
    let is_custom = kind["tracking_type"] == "CUSTOM";
    if is_custom == kind["custom_event_name"].is_null() {
        let text = "belongs to CUSTOM, and CUSTOM needs it";
        let path = field("type.custom_event_name");
        found.push(Violation::wrong("reddit.custom", path, text));
    }
    let user = event["user"].as_object();
    let matches = |key: &&String| !matches!(key.as_str(), "data_processing_options" | "user_agent");
    if event["click_id"].is_null() && user.is_none_or(|user| !user.keys().any(|k| matches(&k))) {
        found.push(Violation::wrong("reddit.match", field("user"), "matches nobody"));
    }
    let modes = event["user"]["data_processing_options"]["modes"].as_array();
    if modes.is_some_and(|modes| modes.iter().any(|mode| mode != "LDU")) {
        let path = field("user.data_processing_options.modes");
        found.push(Violation::wrong("reddit.ldu", path, "must be LDU"));
    }
}

/// Puts a failure as an error object.
pub(super) fn fail(failure: Failure) -> Reply {
    let (status, text, rule) = match failure {
        Failure::NotFound => (404, "not found", "reddit.path"),
        Failure::Token => (401, "unauthorized", "reddit.token"),
        Failure::Throttled => (429, "too many requests", "fault"),
        Failure::Server(status) => (status, "server error", "fault"),
        Failure::Client(status) => (status, "bad request", "fault"),
        Failure::TooLarge => (413, "too large", "fault"),
    };
    error(status, text, &[]).failed(status, rule)
}

fn refuse(found: &[Violation]) -> Reply {
    let text = "there are errors in the events; none were processed";
    let reply = error(400, text, found);
    match found.first() {
        Some(violation) => reply.because(400, violation),
        None => reply,
    }
}

fn error(status: u16, message: &str, found: &[Violation]) -> Reply {
    let fields: Vec<Value> = found
        .iter()
        .map(|violation| json!({ "field": violation.field, "message": violation.text }))
        .collect();
    let error = json!({ "code": status, "message": message, "fields": fields });
    Reply::json(status, json!({ "error": error }))
}

//! Owns the stand-in for TikTok's Events API 1.3: HTTP says 200, the body's code says what happened,
//! and one bad event refuses the request.

use serde_json::{Value, json};

use super::accepted_event::{Sameness, TWO_DAYS_US};
use super::call::{Call, Failure, Reply, accepted_event};
use super::schema::{Kind, Part, Violation, check, money, opt, req};
use super::state::Standin;

/// Takes events.
pub(super) const TRACK: &str = "/open_api/v1.3/event/track/";

const MAX_AGE: i64 = 7 * 86_400;
const BAD_PARAMETER: i32 = 40_002;
const BAD_TOKEN: i32 = 40_105;
const NO_TOKEN: i32 = 40_104;

const UNKNOWN: Option<&str> = Some("tiktok.keys");
const REQUEST: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("event_source", Kind::OneOf(&["web", "app", "offline", "crm"]), "tiktok.source"),
        req("event_source_id", Kind::Text, "tiktok.source_id"),
        opt("test_event_code", Kind::Text, "tiktok.types"),
        opt("partner_name", Kind::Text, "tiktok.types"),
        req("data", Kind::List(&EVENT, 1, 1_000), "tiktok.data"),
    ],
};
const EVENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("event", Kind::Text, "tiktok.event"),
        req("event_time", Kind::Count, "tiktok.time"),
        opt("event_id", Kind::Text, "tiktok.types"),
        req("user", Kind::Object(&USER), "tiktok.user"),
        opt("properties", Kind::Object(&PROPERTIES), "tiktok.types"),
        opt("page", Kind::Object(&PAGE), "tiktok.page"),
        opt("app", Kind::Object(&APP), "tiktok.types"),
        opt("ad", Kind::Any, "tiktok.types"),
        opt("lead", Kind::Object(&LEAD), "tiktok.types"),
        opt("limited_data_use", Kind::Flag, "tiktok.types"),
    ],
};
const USER: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("email", Kind::DigestOrDigests, "tiktok.digest"),
        opt("phone", Kind::DigestOrDigests, "tiktok.digest"),
        opt("external_id", Kind::DigestOrDigests, "tiktok.digest"),
        opt("first_name", Kind::Digest, "tiktok.digest"),
        opt("last_name", Kind::Digest, "tiktok.digest"),
        opt("zip_code", Kind::Digest, "tiktok.digest"),
        opt("city", Kind::Text, "tiktok.types"),
        opt("state", Kind::Text, "tiktok.types"),
        opt("country", Kind::Text, "tiktok.types"),
        opt("ttclid", Kind::Text, "tiktok.types"),
        opt("ttp", Kind::Text, "tiktok.types"),
        opt("ip", Kind::Address, "tiktok.ip"),
        opt("user_agent", Kind::Text, "tiktok.types"),
        opt("locale", Kind::Text, "tiktok.types"),
        opt("idfa", Kind::Text, "tiktok.types"),
        opt("idfv", Kind::Text, "tiktok.types"),
        opt("gaid", Kind::Text, "tiktok.types"),
        opt("att_status", Kind::Text, "tiktok.types"),
    ],
};
const PROPERTIES: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("currency", Kind::Currency, "tiktok.currency"),
        opt("value", Kind::Number, "tiktok.value"),
        opt("order_id", Kind::Text, "tiktok.types"),
        opt("shop_id", Kind::Text, "tiktok.types"),
        opt("content_type", Kind::OneOf(&["product", "product_group"]), "tiktok.types"),
        opt("content_ids", Kind::Texts, "tiktok.types"),
        opt("contents", Kind::List(&CONTENT, 0, 1_000), "tiktok.contents"),
        opt("num_items", Kind::Count, "tiktok.types"),
        opt("description", Kind::Text, "tiktok.types"),
        opt("query", Kind::Text, "tiktok.types"),
        opt("search_string", Kind::Text, "tiktok.types"),
        opt("status", Kind::Text, "tiktok.types"),
    ],
};
const CONTENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("content_id", Kind::Text, "tiktok.contents"),
        opt("content_name", Kind::Text, "tiktok.contents"),
        opt("content_category", Kind::Text, "tiktok.contents"),
        opt("brand", Kind::Text, "tiktok.contents"),
        opt("price", Kind::Number, "tiktok.contents"),
        opt("quantity", Kind::Count, "tiktok.contents"),
    ],
};
const PAGE: Part = Part {
    unknown: UNKNOWN,
    keys: &[opt("url", Kind::Url, "tiktok.page"), opt("referrer", Kind::Text, "tiktok.types")],
};
const APP: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("app_id", Kind::Text, "tiktok.types"),
        opt("app_name", Kind::Text, "tiktok.types"),
        opt("app_version", Kind::Text, "tiktok.types"),
    ],
};
const LEAD: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("lead_id", Kind::Text, "tiktok.types"),
        opt("lead_event_source", Kind::Text, "tiktok.types"),
    ],
};
/// Keys that can lead to somebody; which of them are enough alone is not documented.
const MATCHES: [&str; 12] = [
    "email",
    "phone",
    "external_id",
    "ttclid",
    "ttp",
    "idfa",
    "idfv",
    "gaid",
    "ip",
    "first_name",
    "last_name",
    "zip_code",
];

/// Judges one request.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    if call.method != "POST" {
        return fail(Failure::NotFound, call);
    }
    match call.header("access-token").unwrap_or_default() {
        "" => {
            return answer(call, NO_TOKEN, "Access token is empty")
                .failed(NO_TOKEN, "tiktok.token");
        }
        token if !call.opens(state, Some(token)) => return fail(Failure::Token, call),
        _ => {}
    }
    let body = match call.json("tiktok.body") {
        Ok(body) => body,
        Err(violation) => return refuse(call, &violation),
    };
    let mut found = Vec::new();
    check(&REQUEST, &body, "", &mut found);
    let none = Vec::new();
    let events = body["data"].as_array().unwrap_or(&none);
    for (at, event) in events.iter().enumerate() {
        check_event(&body["event_source"], event, at, call, &mut found);
    }
    let account = body["event_source_id"].as_str().unwrap_or_default().to_owned();
    let mut reply = match found.first() {
        Some(violation) => refuse(call, violation),
        None => {
            let accepted: Vec<_> = events.iter().filter_map(take).collect();
            if call.poisoned(state, &account, &accepted).is_some() {
                fail(Failure::Client(200), call)
            } else {
                Reply { accepted, ..answer(call, 0, "OK") }
            }
        }
    };
    reply.account = Some(account);
    reply.events = events.len();
    reply.test_code = body["test_event_code"].as_str().map(str::to_owned);
    reply
}

fn take(event: &Value) -> Option<super::accepted_event::AcceptedEvent> {
    let (name, id) = (event["event"].as_str()?, event["event_id"].as_str());
    let sameness = id.map(|id| Sameness::of(&[name, id], TWO_DAYS_US));
    accepted_event(event, name, id, money(&event["properties"], "currency", "value"), sameness)
}

fn check_event(source: &Value, event: &Value, at: usize, call: &Call, found: &mut Vec<Violation>) {
    let field = |key: &str| format!("data[{at}].{key}");
    if let Some(time) = event["event_time"].as_i64() {
        if time < call.now() - MAX_AGE {
            let text = "must be seconds, at most 7 days ago";
            found.push(Violation::wrong("tiktok.age", field("event_time"), text));
        }
        if time > call.now() + call.max_future {
            let text = "must be seconds, not in the future";
            found.push(Violation::wrong("tiktok.future", field("event_time"), text));
        }
    }
    let user = &event["user"];
    let has = |key: &str| !user[key].is_null();
    if !MATCHES.iter().any(|key| has(key)) {
        found.push(Violation::wrong("tiktok.match", field("user"), "matches nobody"));
    }
    if source == "web" && event["page"]["url"].is_null() {
        found.push(Violation::missing("tiktok.page", field("page.url")));
    }
    let properties = &event["properties"];
    if matches!(event["event"].as_str(), Some("Purchase" | "CompletePayment")) {
        for key in ["currency", "value"] {
            if properties[key].is_null() {
                let path = field(&format!("properties.{key}"));
                found.push(Violation::missing("tiktok.money", path));
            }
        }
    }
}

/// Puts a failure as a code in the body.
pub(super) fn fail(failure: Failure, call: &Call) -> Reply {
    let (status, code, text, rule) = match failure {
        Failure::NotFound => (404, 40_006, "Resource not found", "tiktok.path"),
        Failure::Token => (200, BAD_TOKEN, "Access token is incorrect", "tiktok.token"),
        Failure::Throttled => (200, 40_100, "Too many requests", "fault"),
        Failure::Server(status) => (status, 50_000, "System error", "fault"),
        Failure::Client(status) => (status, BAD_PARAMETER, "Invalid parameter", "fault"),
        Failure::TooLarge => (413, BAD_PARAMETER, "Too large", "fault"),
    };
    let mut reply = answer(call, code, text).failed(code, rule);
    reply.status = status;
    reply
}

fn refuse(call: &Call, violation: &Violation) -> Reply {
    let text = format!("{}: {}", violation.field, violation.text);
    answer(call, BAD_PARAMETER, &text).because(BAD_PARAMETER, violation)
}

fn answer(call: &Call, code: i32, message: &str) -> Reply {
    let body = json!({
        "code": code, "message": message, "request_id": call.trace, "data": {},
    });
    Reply::json(200, body)
}

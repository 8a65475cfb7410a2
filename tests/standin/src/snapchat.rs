//! Owns the stand-in for Snapchat's Conversions API v3: all events or none, and a validating path that
//! tells about each event.

use serde_json::{Value, json};

use super::accepted_event::{Sameness, TWO_DAYS_US};
use super::call::{Call, Failure, Reply, accepted_event};
use super::schema::{Kind, Part, Violation, check, money, opt, req};
use super::state::Standin;

const MAX_AGE: i64 = 37 * 86_400;
/// Above this, a time is in milliseconds.
const MILLIS_FROM: i64 = 100_000_000_000;

const UNKNOWN: Option<&str> = Some("snapchat.keys");
const REQUEST: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("data", Kind::List(&EVENT, 1, 2_000), "snapchat.data"),
        opt("test_event_code", Kind::Text, "snapchat.types"),
    ],
};
const SOURCES: Kind =
    Kind::OneOf(&["WEB", "MOBILE_APP", "OFFLINE", "website", "app", "web", "offline"]);
const NAMES: Kind = Kind::OneOf(&[
    "PURCHASE",
    "SAVE",
    "START_CHECKOUT",
    "ADD_CART",
    "VIEW_CONTENT",
    "ADD_BILLING",
    "SIGN_UP",
    "SEARCH",
    "PAGE_VIEW",
    "SUBSCRIBE",
    "AD_CLICK",
    "AD_VIEW",
    "COMPLETE_TUTORIAL",
    "LEVEL_COMPLETE",
    "INVITE",
    "LOGIN",
    "SHARE",
    "RESERVE",
    "ACHIEVEMENT_UNLOCKED",
    "ADD_TO_WISHLIST",
    "SPENT_CREDITS",
    "RATE",
    "START_TRIAL",
    "LIST_VIEW",
    "APP_INSTALL",
    "APP_OPEN",
    "CUSTOM_EVENT_1",
    "CUSTOM_EVENT_2",
    "CUSTOM_EVENT_3",
    "CUSTOM_EVENT_4",
    "CUSTOM_EVENT_5",
]);
const EVENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("event_name", NAMES, "snapchat.name"),
        req("event_time", Kind::Count, "snapchat.time"),
        req("action_source", SOURCES, "snapchat.source"),
        req("user_data", Kind::Object(&USER), "snapchat.user"),
        opt("event_id", Kind::Text, "snapchat.types"),
        opt("event_source_url", Kind::Url, "snapchat.url"),
        opt("custom_data", Kind::Object(&CUSTOM), "snapchat.types"),
        opt("app_data", Kind::Any, "snapchat.app"),
        opt("data_processing_options", Kind::Texts, "snapchat.ldu"),
        opt("data_processing_options_country", Kind::Count, "snapchat.types"),
        opt("data_processing_options_state", Kind::Count, "snapchat.types"),
        opt("integration", Kind::Text, "snapchat.types"),
    ],
};
const USER: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("em", Kind::DigestOrDigests, "snapchat.digest"),
        opt("ph", Kind::DigestOrDigests, "snapchat.digest"),
        opt("fn", Kind::DigestOrDigests, "snapchat.digest"),
        opt("ln", Kind::DigestOrDigests, "snapchat.digest"),
        opt("ge", Kind::DigestOrDigests, "snapchat.digest"),
        opt("db", Kind::DigestOrDigests, "snapchat.digest"),
        opt("ct", Kind::DigestOrDigests, "snapchat.digest"),
        opt("st", Kind::DigestOrDigests, "snapchat.digest"),
        opt("zp", Kind::DigestOrDigests, "snapchat.digest"),
        opt("country", Kind::DigestOrDigests, "snapchat.digest"),
        opt("external_id", Kind::DigestOrDigests, "snapchat.digest"),
        opt("client_ip_address", Kind::Address, "snapchat.ip"),
        opt("client_user_agent", Kind::Text, "snapchat.types"),
        opt("sc_click_id", Kind::Text, "snapchat.types"),
        opt("sc_cookie1", Kind::Text, "snapchat.types"),
        opt("madid", Kind::Text, "snapchat.types"),
        opt("idfv", Kind::Text, "snapchat.types"),
        opt("lead_id", Kind::Text, "snapchat.types"),
        opt("subscription_id", Kind::Text, "snapchat.types"),
    ],
};
const CUSTOM: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("currency", Kind::Currency, "snapchat.currency"),
        opt("value", Kind::Money, "snapchat.value"),
        opt("predicted_ltv", Kind::Money, "snapchat.types"),
        opt("order_id", Kind::Text, "snapchat.types"),
        opt("num_items", Kind::CountOrDigits, "snapchat.types"),
        opt("content_ids", Kind::Texts, "snapchat.types"),
        opt("content_name", Kind::Text, "snapchat.types"),
        opt("content_category", Kind::Any, "snapchat.types"),
        opt("content_type", Kind::Text, "snapchat.types"),
        opt("contents", Kind::List(&CONTENT, 0, 1_000), "snapchat.contents"),
        opt("search_string", Kind::Text, "snapchat.types"),
        opt("sign_up_method", Kind::Text, "snapchat.types"),
        opt("status", Kind::Text, "snapchat.types"),
        opt("brands", Kind::Texts, "snapchat.types"),
    ],
};
const CONTENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("id", Kind::Text, "snapchat.contents"),
        opt("quantity", Kind::CountOrDigits, "snapchat.contents"),
        opt("item_price", Kind::Money, "snapchat.contents"),
        opt("brand", Kind::Text, "snapchat.contents"),
        opt("delivery_category", Kind::Text, "snapchat.contents"),
    ],
};

/// Judges one request to either path.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    let account = call.path.split('/').nth(2).unwrap_or_default();
    if call.method != "POST" {
        return fail(Failure::NotFound);
    }
    if !call.opens(state, call.parameter("access_token").or(call.bearer())) {
        return fail(Failure::Token);
    }
    let body = match call.json("snapchat.body") {
        Ok(body) => body,
        Err(violation) => return refuse(&violation),
    };
    let mut found = Vec::new();
    check(&REQUEST, &body, "", &mut found);
    let none = Vec::new();
    let events = body["data"].as_array().unwrap_or(&none);
    for (at, event) in events.iter().enumerate() {
        check_event(event, at, call, &mut found);
    }
    let mut reply = if call.path.ends_with("/validate") {
        let logs: Vec<Value> = (0..events.len()).map(|at| log(at, &found)).collect();
        let status = if found.is_empty() { "VALID" } else { "INVALID" };
        let answer = json!({
            "status": status, "reason": "", "test_event": true, "event_logs": logs,
        });
        let reply = Reply::json(200, answer);
        match found.first() {
            Some(violation) => reply.because("INVALID", violation),
            None => reply,
        }
    } else if let Some(violation) = found.first() {
        refuse(violation)
    } else {
        let accepted: Vec<_> = events.iter().filter_map(take).collect();
        if call.poisoned(state, account, &accepted).is_some() {
            fail(Failure::Client(400))
        } else {
            let answer = json!({ "status": "VALID", "reason": "Events have been processed." });
            Reply { accepted, ..Reply::json(200, answer) }
        }
    };
    reply.events = events.len();
    reply.test_code = body["test_event_code"].as_str().map(str::to_owned);
    reply
}

fn log(at: usize, found: &[Violation]) -> Value {
    let errors: Vec<&str> = found
        .iter()
        .filter(|it| it.position("data").is_none_or(|position| position == at))
        .map(|it| it.text.as_str())
        .collect();
    let status = if errors.is_empty() { "VALID" } else { "INVALID" };
    json!({ "event": at, "status": status, "errors": { "error_msgs": errors } })
}

fn take(event: &Value) -> Option<super::accepted_event::AcceptedEvent> {
    let (name, id) = (event["event_name"].as_str()?, event["event_id"].as_str());
    let sameness = id.map(|id| Sameness::of(&[name, id], TWO_DAYS_US));
    accepted_event(event, name, id, money(&event["custom_data"], "currency", "value"), sameness)
}

fn check_event(event: &Value, at: usize, call: &Call, found: &mut Vec<Violation>) {
    let field = |key: &str| format!("data[{at}].{key}");
    if let Some(time) = event["event_time"].as_i64() {
        let time = if time >= MILLIS_FROM { time / 1_000 } else { time };
        if time < call.now() - MAX_AGE || time > call.now() + call.max_future {
            let text = "must lie within the last 37 days";
            found.push(Violation::wrong("snapchat.age", field("event_time"), text));
        }
    }
    let user = &event["user_data"];
    let has = |key: &str| !user[key].is_null();
    let matches = ["em", "ph", "madid"].iter().any(|key| has(key))
        || has("client_ip_address") && has("client_user_agent");
    if user.is_object() && !matches {
        let text = "needs em, ph, madid, or address and user agent";
        found.push(Violation::wrong("snapchat.match", field("user_data"), text));
    }
    if event["event_name"] == "PURCHASE" {
        for key in ["currency", "value"] {
            if event["custom_data"][key].is_null() {
                let path = field(&format!("custom_data.{key}"));
                found.push(Violation::missing("snapchat.money", path));
            }
        }
    }
    if matches!(event["action_source"].as_str(), Some("MOBILE_APP" | "app")) {
        let app = &event["app_data"];
        if app["extinfo"].is_null() || app["advertiser_tracking_enabled"].is_null() {
            found.push(Violation::missing("snapchat.app", field("app_data")));
        }
    }
    let options = event["data_processing_options"].as_array();
    if options.is_some_and(|options| options.iter().any(|option| option != "LDU")) {
        let path = field("data_processing_options");
        found.push(Violation::wrong("snapchat.ldu", path, "must be LDU"));
    }
}

/// Puts a failure as status and reason.
pub(super) fn fail(failure: Failure) -> Reply {
    let (status, rule) = match failure {
        Failure::NotFound => (404, "snapchat.path"),
        Failure::Token => (401, "snapchat.token"),
        Failure::Throttled => (429, "fault"),
        Failure::Server(status) | Failure::Client(status) => (status, "fault"),
        Failure::TooLarge => (413, "fault"),
    };
    let answer = json!({ "status": "INVALID", "reason": "Refused by the stand-in." });
    Reply::json(status, answer).failed(status, rule)
}

fn refuse(violation: &Violation) -> Reply {
    let mut answer = json!({
        "status": "INVALID",
        "reason": format!("{}: {}", violation.field, violation.text),
        "errors": { "codes": [400], "error_msgs": [violation.text] },
    });
    if let Some(at) = violation.position("data") {
        answer["event"] = at.into();
    }
    Reply::json(400, answer).because(400, violation)
}

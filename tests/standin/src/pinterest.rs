//! Owns the stand-in for Pinterest's API for conversions, v5: a schema that knows every key, a status
//! for each event, and 422 when some of them failed.

use serde_json::{Value, json};

use super::accepted_event::Sameness;
use super::call::{Call, Failure, Reply, accepted_event};
use super::schema::{Kind, Part, Violation, check, is_digits, money, opt, req};
use super::state::Standin;

const BAD_REQUEST: i32 = 4_196;
/// Copies from the same side: the window is not published.
const WINDOW_US: i64 = i64::MAX;

const UNKNOWN: Option<&str> = Some("pinterest.keys");
const REQUEST: Part =
    Part { unknown: UNKNOWN, keys: &[req("data", Kind::List(&EVENT, 1, 1_000), "pinterest.data")] };
const SOURCES: Kind = Kind::OneOf(&["web", "app_ios", "app_android", "offline"]);
const NAMES: Kind = Kind::OneOf(&[
    "add_payment_info",
    "add_to_cart",
    "add_to_wishlist",
    "app_install",
    "app_open",
    "checkout",
    "contact",
    "custom",
    "customize_product",
    "find_location",
    "initiate_checkout",
    "lead",
    "page_visit",
    "schedule",
    "search",
    "signup",
    "start_trial",
    "submit_application",
    "subscribe",
    "view_category",
    "view_content",
    "watch_video",
]);
const EVENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("event_name", NAMES, "pinterest.name"),
        req("action_source", SOURCES, "pinterest.source"),
        req("event_time", Kind::Count, "pinterest.time"),
        req("event_id", Kind::Text, "pinterest.id"),
        req("user_data", Kind::Object(&USER), "pinterest.user"),
        opt("custom_data", Kind::Object(&CUSTOM), "pinterest.types"),
        opt("event_source_url", Kind::Url, "pinterest.url"),
        opt("opt_out", Kind::Flag, "pinterest.types"),
        opt("partner_name", Kind::Text, "pinterest.types"),
        opt("app_id", Kind::Text, "pinterest.types"),
        opt("app_name", Kind::Text, "pinterest.types"),
        opt("app_version", Kind::Text, "pinterest.types"),
        opt("device_brand", Kind::Text, "pinterest.types"),
        opt("device_carrier", Kind::Text, "pinterest.types"),
        opt("device_model", Kind::Text, "pinterest.types"),
        opt("device_type", Kind::Text, "pinterest.types"),
        opt("os_version", Kind::Text, "pinterest.types"),
        opt("wifi", Kind::Flag, "pinterest.types"),
        opt("language", Kind::Text, "pinterest.types"),
    ],
};
const USER: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("em", Kind::Digests, "pinterest.digest"),
        opt("ph", Kind::Digests, "pinterest.digest"),
        opt("fn", Kind::Digests, "pinterest.digest"),
        opt("ln", Kind::Digests, "pinterest.digest"),
        opt("ge", Kind::Digests, "pinterest.digest"),
        opt("db", Kind::Digests, "pinterest.digest"),
        opt("ct", Kind::Digests, "pinterest.digest"),
        opt("st", Kind::Digests, "pinterest.digest"),
        opt("zp", Kind::Digests, "pinterest.digest"),
        opt("country", Kind::Digests, "pinterest.digest"),
        opt("external_id", Kind::Digests, "pinterest.digest"),
        opt("hashed_maids", Kind::Digests, "pinterest.digest"),
        opt("client_ip_address", Kind::Address, "pinterest.ip"),
        opt("client_user_agent", Kind::Text, "pinterest.types"),
        opt("click_id", Kind::Text, "pinterest.types"),
        opt("partner_id", Kind::Text, "pinterest.types"),
    ],
};
const CUSTOM: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("currency", Kind::Currency, "pinterest.currency"),
        opt("value", Kind::MoneyText, "pinterest.value"),
        opt("predicted_ltv", Kind::MoneyText, "pinterest.value"),
        opt("content_ids", Kind::Texts, "pinterest.types"),
        opt("content_name", Kind::Text, "pinterest.types"),
        opt("content_category", Kind::Text, "pinterest.types"),
        opt("content_brand", Kind::Text, "pinterest.types"),
        opt("contents", Kind::List(&CONTENT, 0, 1_000), "pinterest.contents"),
        opt("num_items", Kind::Count, "pinterest.types"),
        opt("order_id", Kind::Text, "pinterest.types"),
        opt("search_string", Kind::Text, "pinterest.types"),
        opt("opt_out_type", Kind::Text, "pinterest.types"),
        opt("np", Kind::Text, "pinterest.types"),
    ],
};
const CONTENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("id", Kind::Text, "pinterest.contents"),
        opt("item_price", Kind::MoneyText, "pinterest.contents"),
        opt("quantity", Kind::Count, "pinterest.contents"),
        opt("item_name", Kind::Text, "pinterest.contents"),
        opt("item_category", Kind::Text, "pinterest.contents"),
        opt("item_brand", Kind::Text, "pinterest.contents"),
    ],
};

/// Judges one request.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    let account = call.path.split('/').nth(3).unwrap_or_default();
    if call.method != "POST" || !is_digits(account) {
        return fail(Failure::NotFound);
    }
    if !call.opens(state, call.bearer()) {
        return fail(Failure::Token);
    }
    let body = match call.json("pinterest.body") {
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
    // What lies in no event is the request's fault as a whole.
    if let Some(violation) = found.iter().find(|it| it.position("data").is_none()) {
        return refuse(violation);
    }
    let mut reply = Reply { events: events.len(), ..Reply::default() };
    let mut statuses = Vec::new();
    let is_test = call.parameter("test") == Some("true");
    for (at, event) in events.iter().enumerate() {
        let wrong = found.iter().find(|it| it.position("data") == Some(at));
        let taken = take(event).filter(|_| wrong.is_none());
        let poisoned = taken
            .as_ref()
            .is_some_and(|it| call.poisoned(state, account, std::slice::from_ref(it)).is_some());
        match (taken, wrong) {
            (Some(taken), None) if !poisoned => {
                statuses.push(json!({
                    "status": "processed", "error_message": null, "warning_message": null,
                }));
                // A test is judged alike and recorded nowhere.
                if !is_test {
                    reply.accepted.push(taken);
                }
            }
            (_, wrong) => {
                let text = wrong.map_or_else(
                    || "The event is refused.".to_owned(),
                    |it| format!("{}: {}", it.field, it.text),
                );
                statuses.push(json!({
                    "status": "failed", "error_message": text, "warning_message": null,
                }));
            }
        }
    }
    reply.refused_events = statuses.iter().filter(|status| status["status"] == "failed").count();
    let processed = events.len() - reply.refused_events;
    let outcome = json!({
        "num_events_received": events.len(), "num_events_processed": processed, "events": statuses,
    });
    if reply.refused_events == 0 {
        (reply.status, reply.body) = (200, Some(outcome));
        return reply;
    }
    reply.status = 422;
    reply.body = Some(json!({
        "code": BAD_REQUEST, "message": "Some events were not processed.", "details": outcome,
    }));
    match found.first() {
        Some(violation) => reply.because(BAD_REQUEST, violation),
        None => reply.failed(BAD_REQUEST, "fault"),
    }
}

fn take(event: &Value) -> Option<super::accepted_event::AcceptedEvent> {
    let (name, id) = (event["event_name"].as_str()?, event["event_id"].as_str()?);
    // Offline events are not compared.
    let is_compared = event["action_source"] != "offline";
    let sameness = is_compared.then(|| Sameness::of(&[name, id], WINDOW_US));
    accepted_event(
        event,
        name,
        Some(id),
        money(&event["custom_data"], "currency", "value"),
        sameness,
    )
}

fn check_event(event: &Value, at: usize, call: &Call, found: &mut Vec<Violation>) {
    let field = |key: &str| format!("data[{at}].{key}");
    // In milliseconds it would lie in the far future.
    if event["event_time"].as_i64().is_some_and(|time| time > call.now() + call.max_future) {
        let text = "must be seconds, not in the future";
        found.push(Violation::wrong("pinterest.future", field("event_time"), text));
    }
    let user = &event["user_data"];
    let has = |key: &str| !user[key].is_null();
    let matches =
        has("em") || has("hashed_maids") || has("client_ip_address") && has("client_user_agent");
    if user.is_object() && !matches {
        let text = "needs em, hashed_maids, or address and user agent";
        found.push(Violation::wrong("pinterest.match", field("user_data"), text));
    }
}

/// Puts a failure as code and message.
pub(super) fn fail(failure: Failure) -> Reply {
    let (status, code, text, rule) = match failure {
        Failure::NotFound => (404, 50, "Not found.", "pinterest.path"),
        Failure::Token => (401, 2, "Authentication failed.", "pinterest.token"),
        Failure::Throttled => (429, 8, "You have exceeded your rate limit.", "fault"),
        Failure::Server(503) => (503, 4_197, "The service is ramped down.", "fault"),
        Failure::Server(status) => (status, 11, "Unexpected error.", "fault"),
        Failure::Client(403) => (403, 29, "You are not permitted to do that.", "fault"),
        Failure::Client(status) => (status, BAD_REQUEST, "Invalid request.", "fault"),
        Failure::TooLarge => (413, BAD_REQUEST, "Too large.", "fault"),
    };
    Reply::json(status, json!({ "code": code, "message": text })).failed(code, rule)
}

fn refuse(violation: &Violation) -> Reply {
    let text = format!("{}: {}", violation.field, violation.text);
    Reply::json(400, json!({ "code": BAD_REQUEST, "message": text }))
        .because(BAD_REQUEST, violation)
}

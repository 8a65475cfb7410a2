//! Owns the stand-in for LinkedIn's Conversions API: batches with a version in a header; one bad event
//! refuses the batch, and the message has a line for each.

use serde_json::{Value, json};

use super::accepted_event::Sameness;
use super::call::{Call, Failure, Reply, accepted_event};
use super::platform::Platform;
use super::schema::{Kind, Part, Violation, check, is_digest, is_digits, money, opt, req};
use super::state::Standin;

/// Takes events, one or a batch.
pub(super) const EVENTS: &str = "/rest/conversionEvents";

const MAX_AGE_MS: i64 = 90 * 86_400_000;
/// Versions live for about twelve months: these are served, older ones have run out.
const VERSIONS: std::ops::RangeInclusive<u32> = 202_512..=202_611;
const RULE_URN: &str = "urn:lla:llaPartnerConversion:";

const UNKNOWN: Option<&str> = Some("linkedin.keys");
const BATCH: Part = Part {
    unknown: UNKNOWN,
    keys: &[req("elements", Kind::List(&EVENT, 1, 5_000), "linkedin.elements")],
};
const EVENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("conversion", Kind::Text, "linkedin.conversion"),
        req("conversionHappenedAt", Kind::Count, "linkedin.time"),
        opt("conversionValue", Kind::Object(&MONEY), "linkedin.value"),
        opt("eventId", Kind::Text, "linkedin.types"),
        req("user", Kind::Object(&USER), "linkedin.user"),
    ],
};
const MONEY: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("currencyCode", Kind::Currency, "linkedin.value"),
        req("amount", Kind::MoneyText, "linkedin.value"),
    ],
};
const USER: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("userIds", Kind::List(&ID, 0, 100), "linkedin.user"),
        opt("userInfo", Kind::Object(&INFO), "linkedin.info"),
        opt("externalIds", Kind::Texts, "linkedin.external"),
        opt("lead", Kind::Text, "linkedin.types"),
    ],
};
const ID: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req(
            "idType",
            Kind::OneOf(&[
                "SHA256_EMAIL",
                "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID",
                "ACXIOM_ID",
                "ORACLE_MOAT_ID",
                "PLAINTEXT_IP_ADDRESS",
                "GOOGLE_AID",
            ]),
            "linkedin.id",
        ),
        req("idValue", Kind::Text, "linkedin.id"),
    ],
};
const INFO: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("firstName", Kind::Text, "linkedin.info"),
        req("lastName", Kind::Text, "linkedin.info"),
        opt("title", Kind::Text, "linkedin.info"),
        opt("companyName", Kind::Text, "linkedin.info"),
        opt("countryCode", Kind::Text, "linkedin.info"),
    ],
};

/// Judges one request.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    if call.method != "POST" {
        return fail(Failure::NotFound);
    }
    let token = call.bearer().unwrap_or_default();
    // A credential that is no JSON is an access token itself.
    let is_plain = !state.credential(Platform::Linkedin).is_some_and(|it| it.starts_with('{'));
    let opens = state.issued().knows(Platform::Linkedin, token, call.now_us)
        || is_plain && call.opens(state, Some(token));
    if !opens {
        return fail(Failure::Token);
    }
    let version = call.header("linkedin-version").unwrap_or_default();
    if !VERSIONS.contains(&version.parse().unwrap_or_default()) || !is_digits(version) {
        return error(426, "NONEXISTENT_VERSION", 0, "The version is not active.")
            .failed(426, "linkedin.version");
    }
    if call.header("x-restli-protocol-version") != Some("2.0.0") {
        return error(400, "ILLEGAL_ARGUMENT", 0, "The protocol version must be 2.0.0.")
            .failed(400, "linkedin.protocol");
    }
    let body = match call.json("linkedin.body") {
        Ok(body) => body,
        Err(violation) => return refuse(400, &[violation]),
    };
    let is_batch = !body["elements"].is_null();
    if is_batch != (call.header("x-restli-method") == Some("BATCH_CREATE")) {
        return error(400, "ILLEGAL_ARGUMENT", 0, "BATCH_CREATE goes with elements.")
            .failed(400, "linkedin.method");
    }
    let mut found = Vec::new();
    let batch = if is_batch { body } else { json!({ "elements": [body] }) };
    check(&BATCH, &batch, "", &mut found);
    let none = Vec::new();
    let events = batch["elements"].as_array().unwrap_or(&none);
    for (at, event) in events.iter().enumerate() {
        check_event(event, at, call, &mut found);
    }
    if !found.is_empty() {
        let whole = found.iter().any(|violation| violation.position("elements").is_none());
        let mut reply = refuse(if whole { 400 } else { 422 }, &found);
        reply.events = events.len();
        return reply;
    }
    let accepted: Vec<_> = events.iter().filter_map(take).collect();
    if let Some(at) = call.poisoned(state, "", &accepted) {
        let violation = Violation::wrong("fault", format!("elements[{at}]"), "is refused");
        return refuse(422, &[violation]);
    }
    let mut reply = if is_batch {
        let created: Vec<Value> = events.iter().map(|_| json!({ "status": 201 })).collect();
        Reply::json(200, json!({ "elements": created }))
    } else {
        Reply { status: 201, ..Reply::default() }
    };
    reply.events = events.len();
    reply.accepted = accepted;
    reply
}

fn take(event: &Value) -> Option<super::accepted_event::AcceptedEvent> {
    let (name, id) = (event["conversion"].as_str()?, event["eventId"].as_str());
    // The account's events share their ids, whatever the rule.
    let sameness = id.map(|id| Sameness::of(&[id], i64::MAX));
    accepted_event(
        event,
        name,
        id,
        money(&event["conversionValue"], "currencyCode", "amount"),
        sameness,
    )
}

fn check_event(event: &Value, at: usize, call: &Call, found: &mut Vec<Violation>) {
    let field = |key: &str| format!("elements[{at}].{key}");
    let rule = event["conversion"].as_str();
    let is_rule = |urn: &str| urn.strip_prefix(RULE_URN).is_some_and(is_digits);
    if rule.is_some_and(|urn| !is_rule(urn)) {
        let text = "must be the URN of a conversion rule";
        found.push(Violation::wrong("linkedin.conversion", field("conversion"), text));
    }
    let now_ms = call.now_us / 1_000;
    if let Some(time) = event["conversionHappenedAt"].as_i64() {
        if time < now_ms - MAX_AGE_MS {
            let text = "must be milliseconds, at most 90 days ago";
            found.push(Violation::wrong("linkedin.age", field("conversionHappenedAt"), text));
        }
        if time > now_ms + call.max_future * 1_000 {
            let text = "must be milliseconds, not in the future";
            found.push(Violation::wrong("linkedin.future", field("conversionHappenedAt"), text));
        }
    }
    let user = &event["user"];
    let none = Vec::new();
    let ids = user["userIds"].as_array().unwrap_or(&none);
    for (number, id) in ids.iter().enumerate() {
        let value = id["idValue"].as_str().unwrap_or_default();
        let fits = match id["idType"].as_str() {
            Some("SHA256_EMAIL") => is_digest(value),
            Some("PLAINTEXT_IP_ADDRESS") => value.parse::<std::net::IpAddr>().is_ok(),
            _ => true,
        };
        if !fits {
            let path = field(&format!("user.userIds[{number}].idValue"));
            found.push(Violation::wrong("linkedin.digest", path, "is not of its type"));
        }
    }
    let others = ["userInfo", "lead", "externalIds"];
    if user.is_object() && ids.is_empty() && others.iter().all(|key| user[*key].is_null()) {
        found.push(Violation::wrong("linkedin.match", field("user"), "matches nobody"));
    }
    if user["externalIds"].as_array().is_some_and(|ids| ids.len() > 1) {
        found.push(Violation::wrong("linkedin.external", field("user.externalIds"), "one only"));
    }
}

/// Puts a failure as LinkedIn's error.
pub(super) fn fail(failure: Failure) -> Reply {
    let (status, name, code, rule) = match failure {
        Failure::NotFound => (404, "RESOURCE_NOT_FOUND", 0, "linkedin.path"),
        Failure::Token => (401, "INVALID_ACCESS_TOKEN", 65_600, "linkedin.token"),
        Failure::Throttled => (429, "TOO_MANY_REQUESTS", 101, "fault"),
        Failure::Server(status) => (status, "INTERNAL_SERVER_ERROR", 0, "fault"),
        Failure::Client(403) => (403, "ACCESS_DENIED", 100, "fault"),
        Failure::Client(status) => (status, "ILLEGAL_ARGUMENT", 0, "fault"),
        Failure::TooLarge => (413, "ILLEGAL_ARGUMENT", 0, "fault"),
    };
    error(status, name, code, "Refused by the stand-in.").failed(status, rule)
}

fn refuse(status: u16, found: &[Violation]) -> Reply {
    let lines: Vec<String> = found
        .iter()
        .map(|it| match it.position("elements") {
            Some(at) => format!("Index: {at}, ERROR :: {} {}", it.field, it.text),
            None => format!("ERROR :: {} {}", it.field, it.text),
        })
        .collect();
    let reply = error(status, "INVALID_ARGUMENT", 0, &lines.join("\n"));
    match found.first() {
        Some(violation) => reply.because(status, violation),
        None => reply,
    }
}

fn error(status: u16, code: &str, service_code: i32, message: &str) -> Reply {
    Reply::json(
        status,
        json!({
            "status": status, "code": code, "serviceErrorCode": service_code, "message": message,
        }),
    )
}

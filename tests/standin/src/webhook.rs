//! Owns a receiver of signed webhooks, as an endpoint of one's own would be written: HMAC-SHA256 over
//! the time and the body, within five minutes.

use ring::hmac;
use serde_json::{Value, json};

use super::accepted_event::Sameness;
use super::call::{Call, Failure, Reply, accepted_event};
use super::options::DEMO_TOKEN;
use super::schema::{Violation, is_digits, money};
use super::state::Standin;

const TIMESTAMP: &str = "capi-timestamp";
const SIGNATURE: &str = "capi-signature";
/// How far the time of the signature may be from ours, in seconds.
const WINDOW: i64 = 300;

/// Judges one request.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    if call.method != "POST" {
        return fail(Failure::NotFound);
    }
    if let Err(violation) = check_signature(state, call) {
        return refuse(401, &violation);
    }
    let body = match call.json("webhook.body") {
        Ok(body) => body,
        Err(violation) => return refuse(400, &violation),
    };
    let mut found = Vec::new();
    let Some(events) = body["events"].as_array().filter(|events| !events.is_empty()) else {
        return refuse(400, &Violation::missing("webhook.events", "events"));
    };
    for (at, event) in events.iter().enumerate() {
        for key in ["event_id", "event_name"] {
            if event[key].as_str().is_none_or(str::is_empty) {
                found.push(Violation::missing("webhook.event", format!("events[{at}].{key}")));
            }
        }
        let value = &event["value"];
        if !value.is_null() && money(event, "currency", "value").is_none() {
            let field = format!("events[{at}].value");
            let text = "must be a decimal number beside a currency";
            found.push(Violation::wrong("webhook.money", field, text));
        }
    }
    if let Some(violation) = found.first() {
        return refuse(400, violation);
    }
    let accepted: Vec<_> = events.iter().filter_map(take).collect();
    let account = call.path.split('/').nth(2).unwrap_or_default();
    if let Some(at) = call.poisoned(state, account, &accepted) {
        return Reply::json(422, json!({ "refused": [at] })).failed(422, "fault");
    }
    let mut reply = Reply::json(200, json!({ "received": events.len() }));
    reply.events = events.len();
    reply.accepted = accepted;
    reply
}

fn take(event: &Value) -> Option<super::accepted_event::AcceptedEvent> {
    let (name, id) = (event["event_name"].as_str()?, event["event_id"].as_str()?);
    let sameness = Sameness::of(&[name, id], i64::MAX);
    accepted_event(event, name, Some(id), money(event, "currency", "value"), Some(sameness))
}

fn check_signature(state: &Standin, call: &Call) -> Result<(), Violation> {
    const RULE: &str = "webhook.signature";
    let header = |name| call.header(name).ok_or_else(|| Violation::missing(RULE, name));
    let (time, signature) = (header(TIMESTAMP)?, header(SIGNATURE)?);
    let wrong = |name, text: &str| Violation::wrong(RULE, name, text);
    if !is_digits(time) {
        return Err(wrong(TIMESTAMP, "must be seconds since 1970"));
    }
    let signature = signature.strip_prefix("v1=").and_then(bytes);
    let signature = signature.ok_or_else(|| wrong(SIGNATURE, "must be v1=<lower-case hex>"))?;
    let secret = state.credential(call.platform).unwrap_or(DEMO_TOKEN);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [time.as_bytes(), b".", &call.body].concat();
    hmac::verify(&key, &signed, &signature)
        .map_err(|_| wrong(SIGNATURE, "does not fit time and body"))?;
    let age = time.parse::<i64>().map(|time| (call.now() - time).abs());
    match age {
        Ok(..=WINDOW) => Ok(()),
        _ => Err(Violation::wrong("webhook.window", TIMESTAMP, "is more than five minutes off")),
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hex.len() != 64 || !is_hex {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

/// Puts a failure in plain HTTP.
pub(super) fn fail(failure: Failure) -> Reply {
    let (status, rule) = match failure {
        Failure::NotFound => (404, "webhook.path"),
        Failure::Token => (401, "fault"),
        Failure::Throttled => (429, "fault"),
        Failure::Server(status) | Failure::Client(status) => (status, "fault"),
        Failure::TooLarge => (413, "fault"),
    };
    Reply::json(status, json!({ "error": "refused" })).failed(status, rule)
}

fn refuse(status: u16, violation: &Violation) -> Reply {
    let text = format!("{}: {}", violation.field, violation.text);
    Reply::json(status, json!({ "error": text })).because(status, violation)
}

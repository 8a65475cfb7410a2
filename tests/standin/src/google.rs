//! Owns the stand-in for Google's Data Manager API: events for Google Ads, accepted first and judged
//! later. Written from the v1 protos; the texts of errors are ours.

use serde_json::{Value, json};

use capi_core::time::Timestamp;

use super::accepted_event::Sameness;
use super::call::{Call, Failure, Reply, accepted_event};
use super::issued::{Outcome, Pending};
use super::platform::Platform;
use super::schema::{Key, Kind, Part, Violation, check, is_digest, money, opt, req};
use super::state::Standin;

/// Takes events.
pub(super) const INGEST: &str = "/v1/events:ingest";
/// Tells what became of them.
pub(super) const STATUS: &str = "/v1/requestStatus:retrieve";

/// Oldest event, in seconds: the longest click lookback window.
const MAX_AGE: i64 = 90 * 86_400;

const UNKNOWN: Option<&str> = Some("google_ads.keys");
const REQUEST: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("destinations", Kind::List(&DESTINATION, 1, 10), "google_ads.destinations"),
        req("events", Kind::List(&EVENT, 1, 2_000), "google_ads.events"),
        opt("consent", Kind::Object(&CONSENT), "google_ads.consent"),
        opt("validateOnly", Kind::Flag, "google_ads.validate_only"),
        opt("encoding", Kind::OneOf(&["HEX", "BASE64"]), "google_ads.encoding"),
        opt("encryptionInfo", Kind::Any, "google_ads.types"),
    ],
};
const DESTINATION: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("reference", Kind::Text, "google_ads.types"),
        opt("loginAccount", Kind::Object(&ACCOUNT), "google_ads.account"),
        opt("linkedAccount", Kind::Object(&ACCOUNT), "google_ads.account"),
        req("operatingAccount", Kind::Object(&ACCOUNT), "google_ads.account"),
        req("productDestinationId", Kind::Digits, "google_ads.action"),
    ],
};
const ACCOUNT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req(
            "accountType",
            Kind::OneOf(&[
                "GOOGLE_ADS",
                "DISPLAY_VIDEO_PARTNER",
                "DISPLAY_VIDEO_ADVERTISER",
                "DATA_PARTNER",
                "GOOGLE_ANALYTICS_PROPERTY",
            ]),
            "google_ads.account",
        ),
        req("accountId", Kind::Digits, "google_ads.account"),
    ],
};
const CONSENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("adUserData", CONSENT_STATUS, "google_ads.consent"),
        opt("adPersonalization", CONSENT_STATUS, "google_ads.consent"),
    ],
};
const CONSENT_STATUS: Kind = Kind::OneOf(&["CONSENT_GRANTED", "CONSENT_DENIED"]);
const SOURCES: Kind = Kind::OneOf(&["WEB", "APP", "IN_STORE", "PHONE", "MESSAGE", "OTHER"]);
const EVENT: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("destinationReferences", Kind::Texts, "google_ads.reference"),
        opt("transactionId", Kind::Text, "google_ads.types"),
        req("eventTimestamp", Kind::Text, "google_ads.time"),
        opt("lastUpdatedTimestamp", Kind::Text, "google_ads.time"),
        opt("userData", Kind::Object(&USER), "google_ads.user"),
        opt("consent", Kind::Object(&CONSENT), "google_ads.consent"),
        opt("adIdentifiers", Kind::Object(&CLICK), "google_ads.click"),
        opt("currency", Kind::Currency, "google_ads.currency"),
        opt("conversionValue", Kind::Number, "google_ads.value"),
        req("eventSource", SOURCES, "google_ads.source"),
        opt("eventDeviceInfo", Kind::Object(&DEVICE), "google_ads.types"),
        opt("cartData", Kind::Object(&CART), "google_ads.types"),
        opt("customVariables", Kind::List(&VARIABLE, 0, 100), "google_ads.types"),
        opt("experimentalFields", Kind::Any, "google_ads.types"),
        opt("userProperties", Kind::Any, "google_ads.types"),
        opt("eventName", Kind::Text, "google_ads.types"),
        opt("clientId", Kind::Text, "google_ads.types"),
        opt("userId", Kind::Text, "google_ads.types"),
        opt("additionalEventParameters", Kind::Any, "google_ads.types"),
    ],
};
const USER: Part = Part {
    unknown: UNKNOWN,
    keys: &[req("userIdentifiers", Kind::List(&IDENTIFIER, 1, 10), "google_ads.user")],
};
const IDENTIFIER: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("emailAddress", Kind::Text, "google_ads.digest"),
        opt("phoneNumber", Kind::Text, "google_ads.digest"),
        opt("address", Kind::Object(&ADDRESS), "google_ads.address"),
    ],
};
const ADDRESS: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        req("givenName", Kind::Text, "google_ads.address"),
        req("familyName", Kind::Text, "google_ads.address"),
        req("regionCode", Kind::Text, "google_ads.address"),
        req("postalCode", Kind::Text, "google_ads.address"),
    ],
};
const CLICK: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("sessionAttributes", Kind::Text, "google_ads.types"),
        opt("gclid", Kind::Text, "google_ads.click"),
        opt("gbraid", Kind::Text, "google_ads.click"),
        opt("wbraid", Kind::Text, "google_ads.click"),
        opt("landingPageDeviceInfo", Kind::Object(&DEVICE), "google_ads.types"),
    ],
};
const DEVICE: Part = Part {
    unknown: None,
    keys: &[
        opt("userAgent", Kind::Text, "google_ads.types"),
        opt("ipAddress", Kind::Text, "google_ads.types"),
    ],
};
const ITEM_KEYS: &[Key] = &[
    opt("merchantProductId", Kind::Text, "google_ads.types"),
    opt("itemId", Kind::Text, "google_ads.types"),
    opt("quantity", Kind::CountOrDigits, "google_ads.types"),
    opt("unitPrice", Kind::Number, "google_ads.types"),
    opt("additionalItemParameters", Kind::Any, "google_ads.types"),
];
const ITEM: Part = Part { unknown: UNKNOWN, keys: ITEM_KEYS };
const CART: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("merchantId", Kind::Text, "google_ads.types"),
        opt("merchantFeedLabel", Kind::Text, "google_ads.types"),
        opt("merchantFeedLanguageCode", Kind::Text, "google_ads.types"),
        opt("transactionDiscount", Kind::Number, "google_ads.types"),
        opt("items", Kind::List(&ITEM, 0, 1_000), "google_ads.types"),
        opt("couponCodes", Kind::Texts, "google_ads.types"),
    ],
};
const VARIABLE: Part = Part {
    unknown: UNKNOWN,
    keys: &[
        opt("variable", Kind::Text, "google_ads.types"),
        opt("value", Kind::Text, "google_ads.types"),
        opt("destinationReferences", Kind::Texts, "google_ads.types"),
    ],
};

/// Judges one request to either path.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    let (method, is_status) = if call.path == STATUS { ("GET", true) } else { ("POST", false) };
    if call.method != method {
        return fail(Failure::NotFound, call);
    }
    let token = call.bearer().unwrap_or_default();
    // A credential that is no JSON is an access token itself.
    let is_plain = !state.credential(Platform::GoogleAds).is_some_and(|it| it.starts_with('{'));
    let opens = state.issued().knows(Platform::GoogleAds, token, call.now_us)
        || is_plain && call.opens(state, Some(token));
    match (opens, is_status) {
        (false, _) => fail(Failure::Token, call),
        (true, true) => status(state, call),
        (true, false) => match ingest(state, call) {
            Ok(reply) => reply,
            Err(found) => refuse(call, &found),
        },
    }
}

fn ingest(state: &Standin, call: &Call) -> Result<Reply, Vec<Violation>> {
    let body = call.json("google_ads.body").map_err(|violation| vec![violation])?;
    let mut found = Vec::new();
    check(&REQUEST, &body, "", &mut found);
    let none = Vec::new();
    let destinations = body["destinations"].as_array().unwrap_or(&none);
    for (at, destination) in destinations.iter().enumerate() {
        let reference = &destination["reference"];
        if destinations[..at].iter().any(|it| !reference.is_null() && it["reference"] == *reference)
        {
            let field = format!("destinations[{at}].reference");
            let text = "is that of another destination";
            found.push(Violation::wrong("google_ads.reference.unique", field, text));
        }
    }
    let events = body["events"].as_array().unwrap_or(&none);
    let mut warnings = Vec::new();
    for (at, event) in events.iter().enumerate() {
        check_event(&body, event, at, call, &mut found, &mut warnings);
    }
    // Fast: one bad field and nothing is processed.
    if !found.is_empty() {
        return Err(found);
    }
    let mut reply = Reply::json(200, json!({ "requestId": call.trace }));
    if !warnings.is_empty() {
        reply.body.get_or_insert_default()["fieldWarnings"] = warnings.into();
    }
    reply.events = events.len();
    let account = &body["destinations"][0]["operatingAccount"]["accountId"];
    reply.account = account.as_str().map(str::to_owned);
    if body["validateOnly"] == true {
        return Ok(reply);
    }
    let outcomes = settle(state, call, &body, events, &mut reply);
    state.issued().keep(Pending { id: call.trace.clone(), outcomes, asked: 0 });
    Ok(reply)
}

fn check_event(
    body: &Value,
    event: &Value,
    at: usize,
    call: &Call,
    found: &mut Vec<Violation>,
    warnings: &mut Vec<Value>,
) {
    let mut wrong = |rule, field: String, text: &str| {
        found.push(Violation::wrong(rule, format!("events[{at}].{field}"), text));
    };
    for key in ["eventTimestamp", "lastUpdatedTimestamp"] {
        let Some(text) = event[key].as_str() else { continue };
        // RFC 3339 as protobuf's JSON has it: a T, and Z or an offset.
        match Timestamp::parse(text).ok().filter(|_| text.contains('T')) {
            Some(time) if time.seconds() <= call.now() + call.max_future => {}
            Some(_) => wrong("google_ads.future", key.to_owned(), "must not lie in the future"),
            None => wrong("google_ads.time", key.to_owned(), "must be RFC 3339"),
        }
    }
    let references = event["destinationReferences"].as_array();
    let is_known = |reference: &Value| {
        let destinations = body["destinations"].as_array().into_iter().flatten();
        destinations.into_iter().any(|destination| destination["reference"] == *reference)
    };
    if references.is_some_and(|references| !references.iter().all(is_known)) {
        let text = "must be the references of destinations";
        wrong("google_ads.reference", "destinationReferences".to_owned(), text);
    }
    let click = &event["adIdentifiers"];
    if !click["gbraid"].is_null() && !click["wbraid"].is_null() {
        let text = "gbraid and wbraid exclude each other";
        wrong("google_ads.braids", "adIdentifiers".to_owned(), text);
    }
    let has_click =
        ["gclid", "gbraid", "wbraid", "sessionAttributes"].iter().any(|key| !click[*key].is_null());
    if !has_click && event["userData"].is_null() {
        wrong("google_ads.match", "userData".to_owned(), "no user data and no click");
    }
    let encoding = body["encoding"].as_str();
    if !event["userData"].is_null() && encoding.is_none() {
        wrong("google_ads.encoding", "userData".to_owned(), "needs the encoding of the request");
    }
    let is_hash = |text: &str| match encoding {
        Some("BASE64") => text.len() == 44 && text.ends_with('='),
        _ => is_digest(text),
    };
    let none = Vec::new();
    let identifiers = event["userData"]["userIdentifiers"].as_array().unwrap_or(&none);
    for (number, identifier) in identifiers.iter().enumerate() {
        let path = format!("userData.userIdentifiers[{number}]");
        if identifier.as_object().is_none_or(|object| object.len() != 1) {
            wrong("google_ads.identifier", path.clone(), "must be exactly one identifier");
        }
        for (value, key, rule) in [
            (&identifier["emailAddress"], "emailAddress", "google_ads.digest"),
            (&identifier["phoneNumber"], "phoneNumber", "google_ads.digest"),
            (&identifier["address"]["givenName"], "address.givenName", "google_ads.address"),
            (&identifier["address"]["familyName"], "address.familyName", "google_ads.address"),
        ] {
            if value.as_str().is_some_and(|text| !is_hash(text)) {
                wrong(rule, format!("{path}.{key}"), "must be SHA-256 in the encoding");
            }
        }
        let region = identifier["address"]["regionCode"].as_str();
        let is_code = |code: &str| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        if region.is_some_and(|code| !is_code(code)) {
            let field = format!("{path}.address.regionCode");
            wrong("google_ads.address", field, "must be two upper-case letters");
        }
    }
    let address = event["eventDeviceInfo"]["ipAddress"].as_str();
    if address.is_some_and(|text| text.parse::<std::net::IpAddr>().is_err()) {
        warnings.push(json!({
            "field": format!("events[{at}].eventDeviceInfo.ipAddress"),
            "reason": "INVALID_FORMAT",
            "description": "Not an IP address; the field is ignored.",
        }));
    }
}

/// Whether the event is meant for the destination: without references, for all of them.
fn is_for(event: &Value, destination: &Value) -> bool {
    event["destinationReferences"].as_array().is_none_or(|references| {
        references.iter().any(|reference| *reference == destination["reference"])
    })
}

/// Decides what the status will say, and files what is imported.
fn settle(
    state: &Standin,
    call: &Call,
    body: &Value,
    events: &[Value],
    reply: &mut Reply,
) -> Vec<Outcome> {
    let none = Vec::new();
    let destinations = body["destinations"].as_array().unwrap_or(&none);
    let outcome = |destination: &Value| {
        let mut outcome =
            Outcome { destination: destination.clone(), events: 0, failures: Vec::new() };
        for (at, event) in events.iter().enumerate().filter(|(_, it)| is_for(it, destination)) {
            outcome.events += 1;
            if let Some(reason) = import(state, call, body, event, destination, reply) {
                outcome.fail(reason, at);
            }
        }
        outcome
    };
    destinations.iter().map(outcome).collect()
}

/// Imports one event to one destination; answers why it failed.
fn import(
    state: &Standin,
    call: &Call,
    body: &Value,
    event: &Value,
    destination: &Value,
    reply: &mut Reply,
) -> Option<&'static str> {
    let account = destination["operatingAccount"]["accountId"].as_str().unwrap_or_default();
    let action = destination["productDestinationId"].as_str().unwrap_or_default();
    let time = event["eventTimestamp"].as_str().and_then(|text| Timestamp::parse(text).ok());
    let seconds = time.map_or(0, Timestamp::seconds);
    let consent = |key: &str| match &event["consent"][key] {
        Value::Null => body["consent"][key].as_str(),
        own => own.as_str(),
    };
    let gclid = event["adIdentifiers"]["gclid"].as_str();
    let is_click = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let id = event["transactionId"].as_str();
    let sameness = match (id, gclid) {
        (Some(id), _) => Some(Sameness::of(&[action, id], i64::MAX)),
        (None, Some(gclid)) => Some(Sameness::of(&[action, gclid, &seconds.to_string()], i64::MAX)),
        (None, None) => None,
    };
    let late = if seconds < call.now() - MAX_AGE {
        Some("EVENT_TOO_OLD")
    } else if consent("adUserData") == Some("CONSENT_DENIED") {
        Some("DENIED_CONSENT")
    } else if gclid.is_some_and(|gclid| !is_click(gclid)) {
        Some("INVALID_GCLID")
    } else {
        None
    };
    let money = money(event, "currency", "conversionValue");
    let Some(taken) = accepted_event(event, action, id, money, sameness) else {
        return Some("INTERNAL_ERROR");
    };
    let poisoned = call.poisoned(state, account, std::slice::from_ref(&taken)).is_some();
    if let Some(reason) = late.or(poisoned.then_some("INVALID_EVENT")) {
        reply.refused_events += 1;
        return Some(reason);
    }
    let is_copy = taken.sameness.as_ref().is_some_and(|sameness| {
        reply.accepted.iter().any(|other| other.sameness.as_ref() == Some(sameness))
            || state.log().is_known(Platform::GoogleAds, account, sameness, call.now_us)
    });
    reply.accepted.push(taken);
    // A correction of an earlier conversion repeats its id.
    match (is_copy && event["lastUpdatedTimestamp"].is_null(), id) {
        (false, _) => None,
        (true, Some(_)) => Some("DUPLICATE_TRANSACTION_ID"),
        (true, None) => Some("DUPLICATE_GCLID"),
    }
}

fn status(state: &Standin, call: &Call) -> Reply {
    let Some(id) = call.parameter("requestId").filter(|id| !id.is_empty()) else {
        return refuse(call, &[Violation::missing("google_ads.status.id", "requestId")]);
    };
    let Some(pending) = state.issued().ask(id) else {
        let text = "Requested entity was not found.";
        return error(call, 404, "NOT_FOUND", text, &[])
            .failed("NOT_FOUND", "google_ads.status.known");
    };
    let is_over = pending.asked > state.options().google_polls;
    let of = |outcome: &Outcome| {
        let failed: usize = outcome.failures.iter().map(|(_, positions)| positions.len()).sum();
        let word = match failed {
            _ if !is_over => "PROCESSING",
            0 => "SUCCESS",
            failed if failed == outcome.events => "FAILED",
            _ => "PARTIAL_SUCCESS",
        };
        let mut status = json!({ "destination": outcome.destination, "requestStatus": word });
        if !is_over {
            return status;
        }
        // 64-bit numbers are texts in protobuf's JSON.
        status["eventsIngestionStatus"] = json!({ "recordCount": outcome.events.to_string() });
        let counts = outcome.failures.iter().map(|(reason, positions)| {
            let mut count = json!({
                "reason": format!("PROCESSING_ERROR_REASON_{reason}"),
                "recordCount": positions.len().to_string(),
            });
            if !call.no_indices {
                let positions: Vec<String> = positions.iter().map(usize::to_string).collect();
                count["recordIndices"] = json!(positions);
            }
            count
        });
        if failed > 0 {
            status["errorInfo"] = json!({ "errorCounts": counts.collect::<Vec<_>>() });
        }
        status
    };
    let all: Vec<Value> = pending.outcomes.iter().map(of).collect();
    Reply::json(200, json!({ "requestStatusPerDestination": all }))
}

/// Puts a failure as `google.rpc.Status`.
pub(super) fn fail(failure: Failure, call: &Call) -> Reply {
    let (code, status, rule) = match failure {
        Failure::NotFound => (404, "NOT_FOUND", "google_ads.path"),
        Failure::Token => (401, "UNAUTHENTICATED", "google_ads.token"),
        Failure::Throttled => (429, "RESOURCE_EXHAUSTED", "fault"),
        Failure::Server(503) => (503, "UNAVAILABLE", "fault"),
        Failure::Server(504) => (504, "DEADLINE_EXCEEDED", "fault"),
        Failure::Server(code) => (code, "INTERNAL", "fault"),
        Failure::Client(403) => (403, "PERMISSION_DENIED", "fault"),
        Failure::Client(code) => (code, "INVALID_ARGUMENT", "fault"),
        Failure::TooLarge => (400, "INVALID_ARGUMENT", "fault"),
    };
    error(call, code, status, "Refused by the stand-in.", &[]).failed(status, rule)
}

fn refuse(call: &Call, found: &[Violation]) -> Reply {
    const STATUS: &str = "INVALID_ARGUMENT";
    let violations: Vec<Value> = found
        .iter()
        .map(|violation| {
            let reason = reason(violation);
            json!({ "field": violation.field, "description": violation.text, "reason": reason })
        })
        .collect();
    let text = "There was a problem with the request.";
    let reply = error(call, 400, STATUS, text, &violations);
    found.iter().fold(reply, |reply, violation| match reply.refused {
        None => reply.because(STATUS, violation),
        Some(_) => reply,
    })
}

/// The `ErrorReason` of the protos.
fn reason(violation: &Violation) -> &'static str {
    match violation.rule {
        "google_ads.match" => "NO_IDENTIFIERS_PROVIDED",
        _ if violation.missing => "REQUIRED_FIELD_MISSING",
        "google_ads.destinations" => "TOO_MANY_DESTINATIONS",
        "google_ads.events" => "TOO_MANY_EVENTS",
        "google_ads.user" => "TOO_MANY_USER_IDENTIFIERS",
        "google_ads.reference.unique" => "DUPLICATE_DESTINATION_REFERENCE",
        "google_ads.digest" => "INVALID_SHA256_FORMAT",
        "google_ads.action" => "INVALID_CONVERSION_ACTION_ID",
        "google_ads.currency" => "INVALID_CURRENCY_CODE",
        "google_ads.value" => "INVALID_NUMBER_FORMAT",
        "google_ads.consent" | "google_ads.source" | "google_ads.encoding" => "INVALID_ENUM_VALUE",
        "google_ads.time" | "google_ads.address" => "INVALID_FORMAT",
        "google_ads.identifier" | "google_ads.braids" | "google_ads.future" => "INVALID_EVENT",
        _ => "INVALID_ARGUMENT",
    }
}

fn error(call: &Call, code: u16, status: &str, message: &str, violations: &[Value]) -> Reply {
    let mut details = vec![
        json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": status,
            "domain": "datamanager.googleapis.com",
        }),
        json!({
            "@type": "type.googleapis.com/google.rpc.RequestInfo",
            "requestId": call.trace,
        }),
    ];
    if !violations.is_empty() {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": violations,
        }));
    }
    Reply::json(
        code,
        json!({ "error": {
            "code": code, "message": message, "status": status, "details": details,
        }}),
    )
}

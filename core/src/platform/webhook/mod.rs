//! A webhook: signed JSON to an endpoint of one's own, such as a server-side container.
//!
//! It wants a POST of up to 1,000 events as `{"events": […]}` and takes any 2xx as "has them all".
//! Events have the names of `capi.field`, digests in every form that the outbox holds, and every
//! fact. `docs/reference/platforms.md` says how a receiver checks a request.
//!
//! - The signature is HMAC-SHA256, in hex behind `v1=`, over the time in seconds, a dot and the body,
//!   byte for byte; the credential is its key. Time and signature travel in [`TIMESTAMP`] and
//!   [`SIGNATURE`]. A request that goes again is signed anew, so a receiver may refuse a time that is
//!   more than [`REPLAY_WINDOW`] away from its own.
//! - A request may come twice: receivers drop duplicates by `event_name` and `event_id`.
//! - 400 and 422 mean that an event is wrong: halves find out which. `{"refused": [0, 7]}` in such an
//!   answer names positions, and the others go again at once. 401 and 403 stop the destination.
//!   Anything else goes again.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::facts::Platform;
use crate::destination::event_parts as parts;
use crate::destination::filter::Takes;
use crate::destination::http_status as answer;
use crate::destination::settings::{self, Shape};
use crate::destination::{
    CredentialSlot, Destination, Plan, Reason, Request, Response, SettingsError, Spec, Unfit,
    Verdict,
};
use crate::event::Event;

/// What is known of it whatever the settings.
pub(super) static PLATFORM: Platform = Platform {
    name: "webhook",
    title: "a signed webhook",
    spec: &SPEC,
    sample: r#"{"endpoint": "https://events.example.com/in"}"#,
    tag_id: None,
    endpoints: &[],
    build,
    max_age,
    unfit,
    explain,
    takes: Takes { refunds: true, ..Takes::USUAL },
};

/// Header with the time of signing.
pub const TIMESTAMP: &str = "capi-timestamp";

/// Header with the signature.
pub const SIGNATURE: &str = "capi-signature";

/// How far a receiver's clock and the time of signing may be apart; documented, not enforced here.
pub const REPLAY_WINDOW: Duration = Duration::from_secs(5 * 60);

/// A receiver is the shop's own: nothing is too old for it within a year.
const MAX_AGE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

static SPEC: Spec = Spec {
    platform: "webhook",
    batch_limit: 1_000,
    credential: CredentialSlot::Signature { timestamp: TIMESTAMP, signature: SIGNATURE },
    documentation: "https://www.rfc-editor.org/rfc/rfc2104",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The URL that events are posted to; without query.
    endpoint: String,
    /// Events in one request, 1 to 1,000.
    batch: Option<usize>,
}

const KNOWN: &[(&str, Shape)] = &[("endpoint", Shape::Text), ("batch", Shape::WholeOrNull)];

#[derive(Debug)]
struct Webhook {
    settings: Settings,
}

pub(super) fn build(given: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let settings: Settings = settings::read(given, KNOWN, &["endpoint"])?;
    crate::destination::check_endpoint(&settings.endpoint)
        .map_err(|rule| settings::broken("endpoint", rule))?;
    if settings.batch.is_some_and(|batch| !(1..=SPEC.batch_limit).contains(&batch)) {
        return Err(settings::broken("batch", "must be a whole number from 1 to 1000"));
    }
    Ok(Box::new(Webhook { settings }))
}

pub(super) fn max_age(_: &Event) -> Duration {
    MAX_AGE
}

pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    let reason = match () {
        () if event.event_name.is_empty() => "missing_event_name",
        () if event.event_id.is_empty() => "missing_event_id",
        () => return None,
    };
    Some(Unfit::Refused(Reason::new(reason)))
}

pub(super) fn explain(reason: &str) -> Option<&'static str> {
    match reason {
        "refused_by_receiver" => Some(
            "the receiver answered 400 or 422 to the event, alone or by its position; its own log \
             says why",
        ),
        _ => parts::explain(reason),
    }
}

impl Webhook {
    fn plan_with(&self, events: &[Event], test: Option<&str>) -> Plan {
        let batch = self.settings.batch.unwrap_or(SPEC.batch_limit);
        Plan::of(events, batch, unfit, |part, at| {
            let list: Vec<Value> = part.iter().map(|event| wire(event)).collect();
            let mut body = json!({ "events": list });
            if let Some(code) = test {
                body["test"] = code.into();
            }
            Request::post(self.settings.endpoint.clone(), &body, at)
        })
    }
}

impl Destination for Webhook {
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
        self.plan_with(events, None)
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let sent = events.len();
        let body = answer::json(answer);
        let decision = match answer.status {
            200..=299 => answer::delivered(sent),
            400 | 422 if !body.is_null() => {
                let refused = body.get("refused").and_then(Value::as_array).into_iter().flatten();
                let bad: Option<Vec<(usize, String)>> = refused
                    .map(|at| Some((usize::try_from(at.as_u64()?).ok()?, REFUSED.to_owned())))
                    .collect();
                bad.and_then(|bad| answer::refuse(sent, &bad))
                    .unwrap_or_else(|| answer::invalid(sent, REFUSED))
            }
            _ => answer::by_status(sent, answer),
        };
        let id = answer.header("x-request-id");
        answer::verdict(decision, id, &[], answer)
    }

    /// The same with `"test"`, a code or true: what it means is the receiver's affair.
    fn test_request(&self, events: &[Event], code: Option<&str>) -> Option<Request> {
        self.plan_with(events, Some(code.unwrap_or("true"))).requests.into_iter().next()
    }
}

const REFUSED: &str = "refused_by_receiver";

/// One event.
fn wire(event: &Event) -> Value {
    let mut map = Map::new();
    map.insert("event_name".into(), event.event_name.as_str().into());
    map.insert("event_id".into(), event.event_id.as_str().into());
    map.insert("event_time".into(), event.event_time.rfc3339().into());
    map.insert("action_source".into(), event.action_source.as_str().into());
    parts::put(&mut map, "value", parts::amount(event));
    parts::put(&mut map, "currency", parts::currency(event));
    let digests = event.identity.iter().filter(|(_, digests)| !digests.is_empty());
    let digests = digests.map(|(form, digests)| {
        let digests: Vec<Value> = digests.iter().map(|digest| digest.as_str().into()).collect();
        (form.to_owned(), Value::Array(digests))
    });
    map.insert("identity".into(), Value::Object(digests.collect()));
    map.insert("facts".into(), Value::Object(Map::clone(&event.facts.0)));
    Value::Object(map)
}

//! Owns one request to any platform but Meta as the judges see it, and what they say to it.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, header};
use serde_json::Value;
use serde_json::value::RawValue;

use super::accepted_event::{AcceptedEvent, Sameness};
use super::decimal::Decimal;
use super::log::Refused;
use super::options::DEMO_TOKEN;
use super::platform::Platform;
use super::schema::Violation;
use super::state::Standin;

/// One request as it came.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) platform: Platform,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Microseconds since 1970, by the stand-in's clock.
    pub(super) now_us: i64,
    pub(super) max_future: i64,
    pub(super) trace: String,
    /// Whether a fault leaves positions out of later answers.
    pub(super) no_indices: bool,
}

/// What goes wrong for reasons that are not in the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No such path or method.
    NotFound,
    /// No credential, or a wrong one.
    Token,
    /// Too many requests.
    Throttled,
    /// The platform's own fault, with its HTTP status.
    Server(u16),
    /// A fault of the request, with its HTTP status, that names nobody.
    Client(u16),
    /// More bytes than are read.
    TooLarge,
}

/// What a platform says to one request.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// None answers with nothing.
    pub(super) body: Option<Value>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// The pixel or account, where the path does not tell.
    pub(super) account: Option<String>,
    /// Events that were taken.
    pub(super) accepted: Vec<AcceptedEvent>,
    /// Events that the request held.
    pub(super) events: usize,
    pub(super) vanished: usize,
    pub(super) refused_events: usize,
    pub(super) test_code: Option<String>,
    pub(super) refused: Option<Refused>,
}

impl Reply {
    /// A JSON answer.
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), ..Self::default() }
    }

    /// Notes which rule was broken, by the platform's code.
    pub(super) fn because(mut self, code: impl Into<Value>, violation: &Violation) -> Self {
        let position = ["events", "data", "data.events", "elements"]
            .iter()
            .find_map(|list| violation.position(list));
        self.refused = Some(Refused {
            code: code.into(),
            subcode: None,
            at: position,
            field: Some(violation.field.clone()),
            rule: Some(violation.rule.to_owned()),
        });
        self
    }

    /// Notes a failure that lies in no field.
    pub(super) fn failed(mut self, code: impl Into<Value>, rule: &'static str) -> Self {
        self.refused =
            Some(Refused { code: code.into(), rule: Some(rule.to_owned()), ..Refused::default() });
        self
    }
}

impl Call {
    /// The text of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The value of a parameter in the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The token of `Authorization: Bearer`.
    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// Whether this is the credential of the platform.
    pub(super) fn opens(&self, state: &Standin, token: Option<&str>) -> bool {
        token == Some(state.credential(self.platform).unwrap_or(DEMO_TOKEN))
    }

    /// The body, where it is one JSON object and says so.
    pub(super) fn json(&self, rule: &'static str) -> Result<Value, Violation> {
        let essence = self.header("content-type").unwrap_or_default();
        let essence = essence.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Violation::wrong(rule, "", "the content type must be application/json"));
        }
        if self.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Violation::wrong(rule, "", "the body must not be compressed"));
        }
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(body) if body.is_object() => Ok(body),
            _ => Err(Violation::wrong(rule, "", "the body must be one JSON object")),
        }
    }

    /// The moment of receipt in whole seconds.
    pub(super) fn now(&self) -> i64 {
        self.now_us / 1_000_000
    }

    /// The event that a fault refuses, if any.
    pub(super) fn poisoned(
        &self,
        state: &Standin,
        account: &str,
        accepted: &[AcceptedEvent],
    ) -> Option<usize> {
        state.faults().refused(self.platform, account, accepted).map(|(_, at)| at)
    }

    /// The part of the path between the two texts: the account.
    pub(super) fn account(&self) -> String {
        let parts: Vec<&str> = self.path.split('/').collect();
        let part = match self.platform {
            Platform::Pinterest => parts.get(3),
            Platform::Snapchat | Platform::Webhook => parts.get(2),
            Platform::Reddit => parts.get(4),
            Platform::Ga4 => {
                let id = self.parameter("measurement_id").or(self.parameter("firebase_app_id"));
                return id.unwrap_or_default().to_owned();
            }
            _ => None,
        };
        part.copied().unwrap_or_default().to_owned()
    }
}

/// What is kept of an event; `sameness` lists what copies share.
pub(super) fn accepted_event(
    event: &Value,
    name: &str,
    id: Option<&str>,
    money: Option<(String, Decimal)>,
    sameness: Option<Sameness>,
) -> Option<AcceptedEvent> {
    let raw = RawValue::from_string(event.to_string()).ok()?;
    let (name, id) = (name.to_owned(), id.map(str::to_owned));
    Some(AcceptedEvent { raw, name, id, money, page: None, sameness })
}

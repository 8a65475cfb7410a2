//! Owns one request to any platform but Meta, from its first byte to its answer or the lack of one;
//! the platform's module judges, this one lets faults happen and files the rest.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::{json_response, text_response, with_header};
use super::arrival::{Arrival, Sameness};
use super::decimal::Decimal;
use super::edge::{HTML_PAGE, shown_headers};
use super::fault::{Fault, Kind, Plan};
use super::log::{Exchange, Refused};
use super::platform::Platform;
use super::schema::Violation;
use super::{DEMO_TOKEN, FakeState, serve};

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
    pub(super) arrivals: Vec<Arrival>,
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
    pub(super) fn opens(&self, state: &FakeState, token: Option<&str>) -> bool {
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
        state: &FakeState,
        account: &str,
        arrivals: &[Arrival],
    ) -> Option<usize> {
        state.faults().refused(self.platform, account, arrivals).map(|(_, at)| at)
    }

    /// The part of the path between the two texts: the account.
    fn account(&self) -> String {
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
pub(super) fn arrival(
    event: &Value,
    name: &str,
    id: Option<&str>,
    money: Option<(String, Decimal)>,
    sameness: Option<Sameness>,
) -> Option<Arrival> {
    let raw = RawValue::from_string(event.to_string()).ok()?;
    let (name, id) = (name.to_owned(), id.map(str::to_owned));
    Some(Arrival { raw, name, id, money, page: None, sameness })
}

/// Takes in one request.
pub(super) async fn receive(state: FakeState, platform: Platform, request: Request) -> Response {
    let number = state.log().open();
    let (head, body) = request.into_parts();
    let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let mut call = Call {
        platform,
        method: head.method,
        path: head.uri.path().to_owned(),
        query: query.into_owned().collect(),
        headers: head.headers,
        body: Bytes::new(),
        now_us: state.now_us(),
        max_future: state.0.options.max_future,
        trace: state.trace(number),
        no_indices: false,
    };
    let account = call.account();
    let plan = state.faults().plan(platform, &account);
    let mut exchange = Exchange {
        request: number,
        platform,
        received_at: call.now_us,
        method: call.method.to_string(),
        path: call.path.clone(),
        pixel: account,
        headers: shown_headers(&call.headers),
        fault: plan.spoil.as_ref().map(|fault| fault.kind),
        ..Exchange::default()
    };
    if exchange.fault == Some(Kind::CutBeforeBody) {
        state.log().close(exchange);
        return serve::cut();
    }
    let body = to_bytes(body, state.0.options.max_body).await;
    call.now_us = state.now_us();
    exchange.received_at = call.now_us;
    call.no_indices = plan.additions.iter().any(|fault| fault.kind == Kind::NoIndices);
    if plan.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(plan.latency_ms)).await;
    }
    let mut reply = match body {
        Err(_) => platform.fail(Failure::TooLarge, &call),
        Ok(body) => {
            exchange.body_bytes = body.len();
            // What a token endpoint reads is secret as a whole.
            exchange.body = (!platform.gives_tokens()).then(|| body.clone());
            call.body = body;
            let ordered = plan.spoil.as_ref().and_then(|fault| ordered(fault, &call));
            ordered.unwrap_or_else(|| platform.judge(&state, &call))
        }
    };
    if let Some(account) = reply.account.take() {
        exchange.pixel = account;
    }
    exchange.events = reply.events;
    exchange.vanished = reply.vanished;
    exchange.refused_events = reply.refused_events;
    exchange.accepted = reply.refused.is_none() && exchange.fault != Some(Kind::Blackhole);
    exchange.status = Some(reply.status);
    exchange.answer = reply.body.clone().filter(|_| !platform.gives_tokens());
    exchange.refusal = reply.refused.take();
    if !reply.arrivals.is_empty() {
        let arrivals = std::mem::take(&mut reply.arrivals);
        state.log().accept(&exchange, arrivals, reply.test_code.as_deref());
    }
    finish(&state, exchange, plan, reply).await
}

/// What a fault answers instead of judging.
fn ordered(fault: &Fault, call: &Call) -> Option<Reply> {
    let failure = match fault.kind {
        Kind::Status => match fault.status.unwrap_or(500) {
            429 => Failure::Throttled,
            status if status < 500 => Failure::Client(status),
            status => Failure::Server(status),
        },
        Kind::Throttle => Failure::Throttled,
        Kind::ExpiredToken => Failure::Token,
        Kind::Html => {
            let mut reply = Reply { status: fault.status.unwrap_or(500), ..Reply::default() };
            reply.body = Some(Value::from(HTML_PAGE));
            return Some(reply.failed("html", "fault"));
        }
        Kind::Blackhole => return Some(Reply { status: 504, ..Reply::default() }),
        _ => return None,
    };
    let mut reply = call.platform.fail(failure, call);
    if let (Some(code), Some(body)) = (fault.code, &mut reply.body)
        && body.get("code").is_some()
    {
        body["code"] = json!(code);
    }
    Some(reply)
}

/// Spoils the answer where a fault says so, files the request and lets the answer go.
async fn finish(state: &FakeState, mut exchange: Exchange, plan: Plan, reply: Reply) -> Response {
    let spoil = plan.spoil;
    let kind = spoil.as_ref().map(|fault| fault.kind);
    let whole = reply.body.as_ref().map(Value::to_string).unwrap_or_default();
    let mut response = match (&reply.body, kind) {
        (_, Some(Kind::CutAfterBody)) | (None, Some(Kind::CutMidAnswer)) => serve::cut(),
        (Some(_), Some(Kind::CutMidAnswer)) => {
            let half = Bytes::copy_from_slice(&whole.as_bytes()[..whole.len() / 2]);
            let mut response = Response::new(Body::new(serve::BrokenBody::new(half)));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
            response
        }
        (_, Some(Kind::Empty)) if exchange.accepted => Response::new(Body::empty()),
        (_, Some(Kind::Garbage)) if exchange.accepted => {
            text_response(200, "application/json", "{\"request".to_owned())
        }
        (Some(Value::String(html)), _) => {
            text_response(reply.status, "text/html; charset=utf-8", html.clone())
        }
        (Some(body), _) => json_response(reply.status, body),
        (None, _) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
            response
        }
    };
    if matches!(kind, Some(Kind::CutAfterBody | Kind::CutMidAnswer | Kind::Blackhole)) {
        exchange.status = None;
        exchange.answer = None;
    }
    for (name, value) in &reply.headers {
        response = with_header(response, name, value);
    }
    if let Some(seconds) = spoil.as_ref().and_then(|fault| fault.retry_after) {
        response = with_header(response, "retry-after", &seconds.to_string());
    }
    state.log().close(exchange);
    match spoil {
        Some(fault) if fault.kind == Kind::Blackhole => std::future::pending().await,
        Some(fault) if fault.kind == Kind::Late => {
            tokio::time::sleep(Duration::from_millis(fault.ms)).await;
            response
        }
        _ => response,
    }
}

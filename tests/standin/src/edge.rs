//! Owns the events edge: one request from its first byte to its answer, or to the lack of one.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::accepted_event::AcceptedEvent;
use super::answer::{self, HTML_PAGE, json_response, shown_headers, text_response, with_header};
use super::audiences::Change;
use super::fault::{Fault, Kind, Meter, Plan};
use super::log::{Exchange, Refused};
use super::meta::{Clock, Encoding, Envelope};
use super::platform::Platform;
use super::refusal::Refusal;
use super::serve;
use super::state::Standin;
use super::wording::Wording;

/// Answers every path and method that is no edge.
pub(super) async fn unsupported(State(state): State<Standin>) -> Response {
    json_response(400, &state.wording().body(&Refusal::unknown_path(), &state.trace(0)))
}

/// Takes in one request to a version of the platform.
pub(super) async fn receive(
    State(state): State<Standin>,
    Path((version, pixel)): Path<(String, String)>,
    request: Request,
) -> Response {
    receive_at(state, Edge::Events, Some(version), pixel, request).await
}

/// Takes in one change of a custom audience.
pub(super) async fn receive_users(
    State(state): State<Standin>,
    Path((version, audience)): Path<(String, String)>,
    request: Request,
) -> Response {
    let change = if request.method() == Method::DELETE { Change::Remove } else { Change::Add };
    receive_at(state, Edge::Users(change), Some(version), audience, request).await
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Events,
    Users(Change),
}

/// Takes in one request to a gateway, which has no versions.
pub(super) async fn receive_gateway(
    State(state): State<Standin>,
    Path(pixel): Path<String>,
    request: Request,
) -> Response {
    receive_at(state, Edge::Events, None, pixel, request).await
}

async fn receive_at(
    state: Standin,
    edge: Edge,
    version: Option<String>,
    pixel: String,
    request: Request,
) -> Response {
    let number = state.log().open();
    let plan = state.faults().plan(Platform::Meta, &pixel);
    let (head, body) = request.into_parts();
    let mut exchange = Exchange {
        request: number,
        received_at: state.now_us(),
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        pixel,
        headers: shown_headers(&head.headers),
        fault: plan.spoil.as_ref().map(|fault| fault.kind),
        ..Exchange::default()
    };
    if exchange.fault == Some(Kind::CutBeforeBody) {
        state.log().close(exchange);
        return serve::cut();
    }
    let body = to_bytes(body, state.options().max_body).await;
    exchange.received_at = state.now_us();
    let voice = Voice { trace: state.trace(number), wording: wording(&state, &plan) };
    if plan.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(plan.latency_ms)).await;
    }

    let response = match body {
        Err(_) => refuse(&mut exchange, Refusal::plain(413, 1, "Request body too large"), &voice),
        Ok(body) => {
            exchange.body_bytes = body.len();
            let envelope = encoding(&exchange).and_then(|it| Envelope::parse(&it, &body));
            exchange.body = envelope.as_ref().ok().map(|envelope| kept(envelope, &body));
            let spoil = plan.spoil.as_ref();
            let replaced = spoil.and_then(|fault| replaced_answer(fault, &exchange, &voice));
            let token = presented_token(&head.headers, &head.uri);
            let version = version.as_deref();
            match replaced {
                None => judge(&state, edge, version, token, &mut exchange, envelope, &voice),
                Some(answer) => {
                    // Judged all the same, where the events are taken all the same.
                    if spoil.is_some_and(|fault| fault.stored) {
                        judge(&state, edge, version, token, &mut exchange, envelope, &voice);
                    }
                    note_answer(&mut exchange, &answer);
                    answer.into_response()
                }
            }
        }
    };
    finish(&state, exchange, plan, response, &voice, version.as_deref()).await
}

/// Whose answer it is, and how its errors are put.
struct Voice {
    trace: String,
    wording: Wording,
}

fn wording(state: &Standin, plan: &Plan) -> Wording {
    let mut wording = state.wording();
    for fault in plan.additions.iter().filter(|fault| fault.kind == Kind::Wording) {
        wording.language = fault.language.unwrap_or(wording.language);
        wording.error_data = fault.error_data.unwrap_or(wording.error_data);
    }
    wording
}

/// Checks everything; accepts all events or none, and of an audience all rows that are right.
fn judge(
    state: &Standin,
    edge: Edge,
    version: Option<&str>,
    token: Option<(&'static str, String)>,
    exchange: &mut Exchange,
    envelope: Result<Envelope<'_>, Refusal>,
    voice: &Voice,
) -> Response {
    let token = token.or_else(|| {
        let token = envelope.as_ref().ok()?.access_token()?;
        Some(("body", token))
    });
    exchange.token_in = token.as_ref().map(|(place, _)| *place);
    let clock =
        Clock { now: exchange.received_at / 1_000_000, max_future: state.options().max_future };

    let checked = match (token, state.check_path(version, &exchange.pixel, edge == Edge::Events)) {
        (_, Err(refusal)) if refusal.subcode.is_none() => Err(refusal),
        (Some((_, token)), path) if state.token_matches(&token) => {
            path.and(envelope).and_then(|envelope| {
                if let Edge::Users(change) = edge {
                    return list(state, change, exchange, &envelope, voice).map(Checked::Rows);
                }
                let accepted = envelope.check(clock)?;
                exchange.events = accepted.len();
                check_faulty(state, &exchange.pixel, &accepted)?;
                Ok(Checked::Events(accepted, envelope.test_event_code()))
            })
        }
        _ => Err(Refusal::token()),
    };
    match checked {
        Err(refusal) => refuse(exchange, refusal, voice),
        Ok(checked) => {
            let answer = match checked {
                Checked::Rows(answer) => answer,
                Checked::Events(accepted, test_event_code) => {
                    state.log().accept(exchange, accepted, test_event_code.as_deref());
                    answer::accepted(exchange.events, &voice.trace)
                }
            };
            exchange.accepted = true;
            exchange.status = Some(200);
            let response = json_response(200, &answer);
            exchange.answer = Some(answer);
            response
        }
    }
}

/// What passed every check.
enum Checked {
    /// Events, and the code of a test.
    Events(Vec<AcceptedEvent>, Option<String>),
    /// Rows of an audience, which are in the list by now: the answer.
    Rows(Value),
}

/// Changes an audience.
fn list(
    state: &Standin,
    change: Change,
    exchange: &mut Exchange,
    envelope: &Envelope<'_>,
    voice: &Voice,
) -> Result<Value, Refusal> {
    let users = envelope.check_users()?;
    exchange.events = users.rows.len() + users.invalid;
    let session = users.session.id;
    let audience = exchange.pixel.clone();
    let received = state.audience_lists().take(&audience, change, users, exchange.received_at)?;
    Ok(answer::listed(&audience, session, received.rows, received.invalid, &voice.trace))
}

fn encoding(exchange: &Exchange) -> Result<Encoding, Refusal> {
    if exchange.headers.contains_key("content-encoding") {
        return Err(Refusal::invalid("body", "must not be compressed"));
    }
    let content_type = exchange.headers.get("content-type").map(String::as_str).unwrap_or_default();
    Encoding::parse(content_type)
}

/// The refusals that depend on events and were ordered by a fault.
fn check_faulty(state: &Standin, pixel: &str, accepted: &[AcceptedEvent]) -> Result<(), Refusal> {
    match state.faults().refused(Platform::Meta, pixel, accepted) {
        None => Ok(()),
        Some((Kind::ForeignPage, at)) => {
            let rule = "does not belong with the ctwa_clid";
            Err(Refusal::coded(2_804_072, "user_data.page_id", rule).at(at))
        }
        // No position, not even in the log: who is to blame is for the sender to find out.
        Some(_) => Err(Refusal::invalid("data", "holds an event that is refused on request")),
    }
}

fn refuse(exchange: &mut Exchange, refusal: Refusal, voice: &Voice) -> Response {
    let answer = voice.wording.body(&refusal, &voice.trace);
    let status = refusal.status;
    exchange.status = Some(status);
    exchange.refusal = Some(Refused::from(refusal));
    let response = json_response(status, &answer);
    exchange.answer = Some(answer);
    response
}

/// An answer that a fault gives instead of judging the request.
struct Replaced {
    status: u16,
    answer: Result<Value, &'static str>,
    usage: Option<(&'static str, Value)>,
}

impl Replaced {
    fn into_response(self) -> Response {
        let response = match self.answer {
            Ok(body) => json_response(self.status, &body),
            Err(html) => text_response(self.status, "text/html; charset=utf-8", html.to_owned()),
        };
        match self.usage {
            Some((name, usage)) => with_header(response, name, &usage.to_string()),
            None => response,
        }
    }
}

fn replaced_answer(fault: &Fault, exchange: &Exchange, voice: &Voice) -> Option<Replaced> {
    let mut usage = None;
    let refusal = match fault.kind {
        Kind::Status => {
            let status = fault.status.unwrap_or(500);
            let server_side = status >= 500;
            let mut refusal = if server_side {
                Refusal::plain(status, 2, "Service temporarily unavailable")
            } else {
                Refusal::plain(status, 100, "Invalid parameter")
            };
            refusal.transient = server_side;
            refusal
        }
        Kind::Throttle => {
            let code = fault.code.unwrap_or(4);
            let meter = fault.header.unwrap_or_else(|| meter_of(code));
            usage = Some(usage_header(meter, 100, fault.minutes.unwrap_or(1), &exchange.pixel));
            let mut refusal = Refusal::plain(
                fault.status.unwrap_or(429),
                code,
                format!("(#{code}) Request limit reached"),
            );
            refusal.transient = true;
            refusal
        }
        Kind::ExpiredToken => {
            let mut refusal = Refusal::plain(
                fault.status.unwrap_or(401),
                190,
                "Error validating access token: Session has expired",
            );
            refusal.subcode = Some(463);
            refusal
        }
        Kind::Html => {
            let status = fault.status.unwrap_or(500);
            return Some(Replaced { status, answer: Err(HTML_PAGE), usage: None });
        }
        // Never judged; `finish` never answers either.
        Kind::Blackhole => Refusal::plain(504, 2, "never sent"),
        _ => return None,
    };
    let refusal = Refusal {
        code: fault.code.unwrap_or(refusal.code),
        subcode: fault.subcode.or(refusal.subcode),
        field: fault.blamed.map(|at| format!("data.{at}.event_time")).or(refusal.field),
        transient: fault.transient.unwrap_or(refusal.transient),
        ..refusal
    };
    let answer = Ok(voice.wording.body(&refusal, &voice.trace));
    Some(Replaced { status: refusal.status, answer, usage })
}

/// The usage header that goes with a throttling code.
fn meter_of(code: i32) -> Meter {
    match code {
        80_000..=80_014 => Meter::BusinessUseCase,
        17 | 613 => Meter::AdAccount,
        _ => Meter::App,
    }
}

/// The header that tells how much of a limit is used up.
fn usage_header(meter: Meter, percent: u16, minutes: u64, pixel: &str) -> (&'static str, Value) {
    const TIER: &str = "standard_access";
    match meter {
        Meter::App => {
            let usage = json!({
                "call_count": percent, "total_cputime": percent / 2, "total_time": percent / 2,
            });
            ("x-app-usage", usage)
        }
        Meter::AdAccount => {
            let usage = json!({
                "acc_id_util_pct": percent,
                // Seconds here, minutes in the business header.
                "reset_time_duration": minutes.saturating_mul(60),
                "ads_api_access_tier": TIER,
            });
            ("x-ad-account-usage", usage)
        }
        Meter::BusinessUseCase => {
            let usage = json!({ pixel: [{
                "type": "ads_management",
                "call_count": percent,
                "total_cputime": percent / 2,
                "total_time": percent / 2,
                "estimated_time_to_regain_access": minutes,
                "ads_api_access_tier": TIER,
            }]});
            ("x-business-use-case-usage", usage)
        }
    }
}

fn note_answer(exchange: &mut Exchange, answer: &Replaced) {
    exchange.status = Some(answer.status);
    exchange.answer = Some(match &answer.answer {
        Ok(body) => body.clone(),
        Err(html) => Value::from(*html),
    });
}

/// Spoils the answer where a fault says so, files the request and lets the answer go.
async fn finish(
    state: &Standin,
    mut exchange: Exchange,
    plan: Plan,
    mut response: Response,
    voice: &Voice,
    version: Option<&str>,
) -> Response {
    let spoil = plan.spoil.filter(|fault| {
        // What follows the acceptance only happens to accepted requests, except for cuts.
        exchange.accepted
            || !matches!(fault.kind, Kind::Lie | Kind::Empty | Kind::Garbage | Kind::InvalidEntries)
    });
    match spoil.as_ref().map(|fault| fault.kind) {
        Some(Kind::CutAfterBody) => {
            exchange.status = None;
            exchange.answer = None;
            response = serve::cut();
        }
        Some(Kind::CutMidAnswer) => {
            let whole = exchange.answer.take().unwrap_or_default().to_string();
            let half = Bytes::copy_from_slice(&whole.as_bytes()[..whole.len() / 2]);
            response = Response::new(Body::new(serve::BrokenBody::new(half)));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
            exchange.status = None;
        }
        Some(Kind::Lie) => {
            let fewer = exchange.events.saturating_sub(1);
            let claimed = spoil.as_ref().and_then(|fault| fault.received).unwrap_or(fewer);
            let answer = match exchange.answer.take() {
                Some(mut answer) if answer.get("num_received").is_some() => {
                    answer["num_received"] = claimed.into();
                    answer
                }
                _ => answer::accepted(claimed, &voice.trace),
            };
            response = json_response(200, &answer);
            exchange.answer = Some(answer);
        }
        Some(Kind::InvalidEntries) => {
            let invalid = spoil.as_ref().and_then(|fault| fault.received).unwrap_or(1);
            if let Some(answer) =
                exchange.answer.as_mut().filter(|a| a.get("num_received").is_some())
            {
                answer["num_invalid_entries"] = invalid.into();
                response = json_response(200, answer);
            }
        }
        Some(Kind::Empty) => {
            response = Response::new(Body::empty());
            exchange.answer = None;
        }
        Some(Kind::Garbage) => {
            response = text_response(200, "application/json", "{\"events_rec".to_owned());
            exchange.answer = None;
        }
        Some(Kind::Blackhole) => {
            exchange.status = None;
            exchange.answer = None;
        }
        _ => {}
    }
    for fault in &plan.additions {
        match fault.kind {
            Kind::Usage => {
                let (meter, percent) =
                    (fault.header.unwrap_or(Meter::App), fault.percent.unwrap_or(95));
                let minutes = fault.minutes.unwrap_or(0);
                let (name, usage) = usage_header(meter, percent, minutes, &exchange.pixel);
                response = with_header(response, name, &usage.to_string());
            }
            Kind::VersionWarning => {
                let name = "x-ad-api-version-warning";
                response = with_header(response, name, "This version will end soon.");
            }
            _ => {}
        }
    }
    if let Some(seconds) = spoil.as_ref().and_then(|fault| fault.retry_after) {
        response = with_header(response, "retry-after", &seconds.to_string());
    }
    response = with_header(response, "x-fb-trace-id", &voice.trace);
    if let Some(version) = version {
        response = with_header(response, "facebook-api-version", version);
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

/// The token of header or query, with the place it came from.
fn presented_token(headers: &HeaderMap, uri: &Uri) -> Option<(&'static str, String)> {
    let header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| ("header", token.trim().to_owned()));
    header.or_else(|| {
        let query = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?.0;
        let (_, token) = query.into_iter().find(|(key, _)| key == "access_token")?;
        Some(("query", token))
    })
}

/// The body for the log, without a token in it; of what is neither JSON nor a form, nothing is kept.
fn kept(envelope: &Envelope<'_>, body: &Bytes) -> Bytes {
    match envelope.is_plain() {
        true => body.clone(),
        false => Bytes::from(envelope.shown().to_string()),
    }
}

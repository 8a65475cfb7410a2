//! Owns one request to any platform but Meta, from its first byte to its answer or the lack of one;
//! the platform's module judges, this one lets faults happen and files the rest.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use serde_json::{Value, json};

use super::answer::{HTML_PAGE, json_response, shown_headers, text_response, with_header};
use super::call::{Call, Failure, Reply};
use super::fault::{Fault, Kind, Plan};
use super::log::Exchange;
use super::platform::Platform;
use super::state::Standin;
use super::{ga4, google, judges, linkedin, oauth, serve, tiktok};

/// The routes of all platforms but Meta.
pub(super) fn routes() -> Router<Standin> {
    let to = |platform: Platform| -> MethodRouter<Standin> {
        any(move |State(state): State<Standin>, request: Request| async move {
            receive(state, platform, request).await
        })
    };
    Router::new()
        .route(google::INGEST, to(Platform::GoogleAds))
        .route(google::STATUS, to(Platform::GoogleAds))
        .route(oauth::GOOGLE, to(Platform::GoogleOauth))
        .route(ga4::COLLECT, to(Platform::Ga4))
        .route(ga4::DEBUG, to(Platform::Ga4))
        .route(tiktok::TRACK, to(Platform::Tiktok))
        .route("/webhook/{receiver}", to(Platform::Webhook))
        .route("/v5/ad_accounts/{account}/events", to(Platform::Pinterest))
        .route("/v3/{pixel}/events", to(Platform::Snapchat))
        .route("/v3/{pixel}/events/validate", to(Platform::Snapchat))
        .route("/api/v3/pixels/{pixel}/conversion_events", to(Platform::Reddit))
        .route(linkedin::EVENTS, to(Platform::Linkedin))
        .route(oauth::LINKEDIN, to(Platform::LinkedinOauth))
}

/// Takes in one request.
pub(super) async fn receive(state: Standin, platform: Platform, request: Request) -> Response {
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
        max_future: state.options().max_future,
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
    let body = to_bytes(body, state.options().max_body).await;
    call.now_us = state.now_us();
    exchange.received_at = call.now_us;
    call.no_indices = plan.additions.iter().any(|fault| fault.kind == Kind::NoIndices);
    if plan.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(plan.latency_ms)).await;
    }
    let mut reply = match body {
        Err(_) => judges::fail(Failure::TooLarge, &call),
        Ok(body) => {
            exchange.body_bytes = body.len();
            // What a token endpoint reads is secret as a whole.
            exchange.body = (!platform.gives_tokens()).then(|| body.clone());
            call.body = body;
            let ordered = plan.spoil.as_ref().and_then(|fault| ordered(fault, &call));
            match ordered {
                None => judges::judge(&state, &call),
                // An error, and the events are taken all the same.
                Some(reply) if plan.spoil.as_ref().is_some_and(|fault| fault.stored) => {
                    let Reply { accepted, events, account, test_code, .. } =
                        judges::judge(&state, &call);
                    Reply { accepted, events, account, test_code, ..reply }
                }
                Some(reply) => reply,
            }
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
    if !reply.accepted.is_empty() {
        let accepted = std::mem::take(&mut reply.accepted);
        state.log().accept(&exchange, accepted, reply.test_code.as_deref());
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
    let mut reply = judges::fail(failure, call);
    if let (Some(code), Some(body)) = (fault.code, &mut reply.body)
        && body.get("code").is_some()
    {
        body["code"] = json!(code);
    }
    Some(reply)
}

/// Spoils the answer where a fault says so, files the request and lets the answer go.
async fn finish(state: &Standin, mut exchange: Exchange, plan: Plan, reply: Reply) -> Response {
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

//! Owns the control routes: what tests and demos ask and order. Answers are JSON.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::json_response;
use super::fault::Fault;
use super::platform::Platform;
use super::state::Standin;

/// Most rows in one answer.
const MAX_ROWS: usize = 10_000;

/// The routes under `/_standin`.
pub(super) fn routes() -> Router<Standin> {
    Router::new()
        .route("/_standin/health", get(health))
        .route("/_standin/summary", get(summary))
        .route("/_standin/events", get(events))
        .route("/_standin/audiences", get(audiences))
        .route("/_standin/requests", get(requests))
        .route("/_standin/faults", post(add_fault).get(list_faults).delete(clear_faults))
        .route("/_standin/faults/{id}", delete(remove_fault))
        .route("/_standin/clock", post(move_clock))
        .route("/_standin/reset", post(reset))
}

#[derive(Debug, Deserialize)]
struct EventsQuery {
    #[serde(default)]
    offset: u64,
    limit: Option<usize>,
    event_id: Option<String>,
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct RequestsQuery {
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOrder {
    advance_seconds: i64,
}

async fn health(State(state): State<Standin>) -> Json<Value> {
    Json(json!({ "status": "ok", "versions": state.versions(), "now": state.now_us() }))
}

async fn summary(State(state): State<Standin>) -> Json<Value> {
    Json(state.summary())
}

async fn events(State(state): State<Standin>, Query(query): Query<EventsQuery>) -> Json<Value> {
    let limit = query.limit.unwrap_or(100).min(MAX_ROWS);
    Json(state.log().events(query.offset, limit, query.event_id.as_deref(), query.platform))
}

async fn audiences(State(state): State<Standin>) -> Json<Value> {
    Json(state.audiences())
}

async fn requests(State(state): State<Standin>, Query(query): Query<RequestsQuery>) -> Json<Value> {
    let limit = query.limit.unwrap_or(20).min(MAX_ROWS);
    Json(state.log().exchanges(limit))
}

async fn add_fault(State(state): State<Standin>, Json(fault): Json<Fault>) -> Response {
    if let Some(problem) = fault.problem() {
        return json_response(400, &json!({ "error": problem }));
    }
    Json(state.faults().add(fault)).into_response()
}

async fn list_faults(State(state): State<Standin>) -> Response {
    Json(state.faults().list()).into_response()
}

async fn clear_faults(State(state): State<Standin>) -> Json<Value> {
    Json(json!({ "removed": state.faults().remove(None) }))
}

async fn remove_fault(State(state): State<Standin>, Path(id): Path<u64>) -> Json<Value> {
    Json(json!({ "removed": state.faults().remove(Some(id)) }))
}

async fn move_clock(State(state): State<Standin>, Json(order): Json<ClockOrder>) -> Json<Value> {
    state.advance_clock(order.advance_seconds);
    Json(json!({ "now": state.now_us() }))
}

async fn reset(State(state): State<Standin>) -> Json<Value> {
    state.reset();
    Json(json!({ "status": "ok" }))
}

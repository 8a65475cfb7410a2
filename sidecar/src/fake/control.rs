//! Owns the control routes: what tests and demos ask and order. Answers are JSON.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::FakeState;
use super::answer::json_response;
use super::fault::Fault;
use super::platform::Platform;

/// Most rows in one answer.
const MAX_ROWS: usize = 10_000;

/// The routes under `/_fake`.
pub(super) fn routes() -> Router<FakeState> {
    Router::new()
        .route("/_fake/health", get(health))
        .route("/_fake/summary", get(summary))
        .route("/_fake/events", get(events))
        .route("/_fake/audiences", get(audiences))
        .route("/_fake/requests", get(requests))
        .route("/_fake/faults", post(add_fault).get(list_faults).delete(clear_faults))
        .route("/_fake/faults/{id}", delete(remove_fault))
        .route("/_fake/clock", post(move_clock))
        .route("/_fake/reset", post(reset))
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

async fn health(State(state): State<FakeState>) -> Json<Value> {
    Json(json!({ "status": "ok", "versions": state.versions(), "now": state.now_us() }))
}

async fn summary(State(state): State<FakeState>) -> Json<Value> {
    Json(state.summary())
}

async fn events(State(state): State<FakeState>, Query(query): Query<EventsQuery>) -> Json<Value> {
    let limit = query.limit.unwrap_or(100).min(MAX_ROWS);
    Json(state.log().events(query.offset, limit, query.event_id.as_deref(), query.platform))
}

async fn audiences(State(state): State<FakeState>) -> Json<Value> {
    Json(state.audiences())
}

async fn requests(
    State(state): State<FakeState>,
    Query(query): Query<RequestsQuery>,
) -> Json<Value> {
    let limit = query.limit.unwrap_or(20).min(MAX_ROWS);
    Json(state.log().exchanges(limit))
}

async fn add_fault(State(state): State<FakeState>, Json(fault): Json<Fault>) -> Response {
    if let Some(problem) = fault.problem() {
        return json_response(400, &json!({ "error": problem }));
    }
    Json(state.faults().add(fault)).into_response()
}

async fn list_faults(State(state): State<FakeState>) -> Response {
    Json(state.faults().list()).into_response()
}

async fn clear_faults(State(state): State<FakeState>) -> Json<Value> {
    Json(json!({ "removed": state.faults().remove(None) }))
}

async fn remove_fault(State(state): State<FakeState>, Path(id): Path<u64>) -> Json<Value> {
    Json(json!({ "removed": state.faults().remove(Some(id)) }))
}

async fn move_clock(State(state): State<FakeState>, Json(order): Json<ClockOrder>) -> Json<Value> {
    state.advance_clock(order.advance_seconds);
    Json(json!({ "now": state.now_us() }))
}

async fn reset(State(state): State<FakeState>) -> Json<Value> {
    state.reset();
    Json(json!({ "status": "ok" }))
}

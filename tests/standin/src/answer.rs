//! Owns the shapes of the answers, in the platform's own words and codes; decides nothing.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

pub(super) const HTML_PAGE: &str = "<!DOCTYPE html><html lang=\"en\"><head><title>Error</title></head>\
    <body><h1>Sorry, something went wrong.</h1></body></html>";

/// The answer to an accepted request.
pub(super) fn accepted(events: usize, trace: &str) -> Value {
    json!({ "events_received": events, "messages": [], "fbtrace_id": trace })
}

/// The answer to a change of an audience; the numbers are of the session so far. Which rows are
/// wrong is not told here: the form of the samples is not on record.
pub(super) fn listed(
    audience: &str,
    session: u64,
    received: usize,
    invalid: usize,
    trace: &str,
) -> Value {
    json!({
        "audience_id": audience,
        "session_id": session.to_string(),
        "num_received": received,
        "num_invalid_entries": invalid,
        "invalid_entry_samples": {},
        "fbtrace_id": trace,
    })
}

/// Builds a JSON answer.
pub(super) fn json_response(status: u16, body: &Value) -> Response {
    text_response(status, "application/json; charset=UTF-8", body.to_string())
}

/// Builds an answer of any content type.
pub(super) fn text_response(status: u16, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    // A control request may only ask for 100..=599, which are all valid.
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds a header; a value that no header can hold is left out.
pub(super) fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

/// The headers without anything that opens an account.
pub(super) fn shown_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| {
            **name != header::AUTHORIZATION
                && **name != header::PROXY_AUTHORIZATION
                && **name != header::COOKIE
                // TikTok's bearer.
                && name.as_str() != "access-token"
        })
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

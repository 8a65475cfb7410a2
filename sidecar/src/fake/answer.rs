//! Owns the shapes of the answers, in the platform's own words and codes; decides nothing.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::wording::Wording;

/// Why a request is not accepted: what the sender gets to see, and what only the log knows.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: i32,
    pub(super) subcode: Option<i32>,
    pub(super) message: String,
    /// Why, for the people who read the answer and for the log.
    pub(super) rule: Option<String>,
    pub(super) transient: bool,
    /// Position of the culprit in `data`. The platform does not tell, so neither does the answer.
    pub(super) at: Option<usize>,
    pub(super) field: Option<String>,
}

impl Refusal {
    /// An invalid parameter (code 100): names the field and the rule, never the value.
    pub(super) fn invalid(field: impl Into<String>, rule: &str) -> Self {
        let field = field.into();
        Self {
            status: 400,
            code: 100,
            subcode: None,
            message: "Invalid parameter".to_owned(),
            rule: Some(rule.to_owned()),
            transient: false,
            at: None,
            field: Some(field),
        }
    }

    /// An invalid parameter that the platform has a subcode for.
    pub(super) fn coded(subcode: i32, field: impl Into<String>, rule: &str) -> Self {
        Self { subcode: Some(subcode), ..Self::invalid(field, rule) }
    }

    /// A failure that is not about one parameter.
    pub(super) fn plain(status: u16, code: i32, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            subcode: None,
            message: message.into(),
            rule: None,
            transient: false,
            at: None,
            field: None,
        }
    }

    /// No token, or one that is not ours: 401 with code 190 and no subcode.
    pub(super) fn token() -> Self {
        Self::plain(401, 190, "Invalid OAuth access token - Cannot parse access token")
    }

    /// A path that does not exist, such as a mistyped version.
    pub(super) fn unknown_path() -> Self {
        Self::plain(400, 2500, "Unknown path components")
    }

    /// A version that existed once. Everything sent to it fails.
    pub(super) fn retired_version(newest: &str) -> Self {
        Self::plain(
            400,
            2635,
            format!(
                "(#2635) You are calling a deprecated version of the Ads API. Please update to \
                 the latest version: {newest}."
            ),
        )
    }

    /// An object id that is wrong, or not visible to this token.
    pub(super) fn unknown_object() -> Self {
        let mut refusal = Self::plain(
            400,
            100,
            "Unsupported post request. Object with this ID does not exist, cannot be loaded due \
             to missing permissions, or does not support this operation",
        );
        refusal.subcode = Some(33);
        refusal
    }

    /// Notes which event was at fault.
    pub(super) fn at(mut self, index: usize) -> Self {
        self.at = Some(index);
        self
    }

    /// The error body.
    pub(super) fn body(&self, trace: &str, wording: Wording) -> Value {
        let mut error = json!({
            "message": self.message,
            "type": "OAuthException",
            "code": self.code,
            "is_transient": self.transient,
            "fbtrace_id": trace,
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = subcode.into();
        }
        if let Some((title, message)) = wording.texts(self) {
            error["error_user_title"] = title.into();
            error["error_user_msg"] = message.into();
        }
        if let Some(details) = wording.details(self) {
            error["error_data"] = details;
        }
        json!({ "error": error })
    }
}

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

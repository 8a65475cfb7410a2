//! What Meta's answers mean: <https://developers.facebook.com/docs/graph-api/guides/error-handling>,
//! read 2026-09-12.
//!
//! Only numbers are looked at. Texts change, come in the token owner's language and may quote what
//! was sent, so none is matched and none is kept.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::codes::{self, Class};
use super::usage::{self, Usage};
use super::version;
use super::words::{EVENT_KEYS, REQUEST_KEYS, is_code_byte};
use crate::destination::{Decision, Outcome, Reason, Response, Verdict};

/// Longest list of blamed fields that a summary keeps.
const MOST_BLAMED: usize = 8;

/// The meaning of the answer to a request of `sent` events.
pub(super) fn verdict(sent: usize, answer: &Response) -> Verdict {
    let body: Option<Answer> = serde_json::from_slice(&answer.body).ok();
    let error = body.as_ref().and_then(|body| body.error.as_ref());
    let decision = match (&body, error) {
        (_, Some(error)) => error.decision(sent, answer),
        (Some(body), None) if (200..300).contains(&answer.status) => {
            taken(sent, body.events_received)
        }
        _ => unreadable(sent, answer),
    };
    let request_id = request_id(body.as_ref(), answer);
    let usage = Usage::read(answer);
    let summary = summary(answer, body.as_ref(), request_id.as_deref(), &usage);
    Verdict { decision, hold: usage.hold(), request_id, summary }
}

/// What an answer says that is no success, on an edge that takes other things than events.
pub(super) struct Failure {
    /// What can mend it.
    pub(super) class: Class,
    /// Code and subcode, or the HTTP status.
    pub(super) reason: Reason,
}

/// The failure in an answer, if it is one; and Meta's id of the request.
pub(super) fn failure(answer: &Response) -> (Option<Failure>, Option<String>) {
    let body: Option<Answer> = serde_json::from_slice(&answer.body).ok();
    let error = body.as_ref().and_then(|body| body.error.as_ref());
    let is_success = (200..300).contains(&answer.status) && body.is_some();
    let failure = match error {
        Some(error) => {
            let transient = error.is_transient == Some(true);
            let class = codes::class(error.code, error.error_subcode, transient, answer.status);
            Some(Failure { class, reason: error.reason(answer.status) })
        }
        None if is_success => None,
        None => {
            let reason = match answer.status {
                200..=299 => Reason::new("unreadable_answer"),
                status => Reason(format!("http_{status}")),
            };
            let class = if answer.status == 429 { Class::Throttle } else { Class::Retry };
            Some(Failure { class, reason })
        }
    };
    (failure, request_id(body.as_ref(), answer))
}

fn request_id(body: Option<&Answer>, answer: &Response) -> Option<String> {
    let request_id = body.and_then(|body| {
        let in_error = body.error.as_ref().and_then(|error| error.fbtrace_id.as_ref());
        in_error.or(body.fbtrace_id.as_ref()).and_then(Value::as_str)
    });
    request_id
        .or_else(|| answer.header("x-fb-trace-id"))
        .filter(|id| (1..=64).contains(&id.len()) && id.bytes().all(is_code_byte))
        .map(str::to_owned)
}

/// What a reason of this file means, and the way out.
pub(super) fn explain(reason: &str) -> Option<&'static str> {
    let text = match reason {
        "events_received_short" => {
            "Meta took fewer events than were sent and did not say which; all go again in halves, \
             and it drops by their id those that it has"
        }
        "events_received_wrong" => {
            "the answer counts more events than the request had, so it is the answer to another one, \
             and a proxy in between mixes them up; the events go again; check endpoint"
        }
        "events_received_none" => "Meta answered success and took nothing; the events go again",
        "events_received_unknown" | "unreadable_answer" => {
            "the answer said success but not how many events were taken, so it may come from \
             something in between; the events go again; check endpoint"
        }
        _ => match reason.strip_prefix("http_")?.parse::<u16>().ok()? {
            429 => "too many calls; the events wait and go again",
            413 => {
                "the request is too large for Meta or for something in between; its events go again \
                 in halves; raise the limit of the proxy or Gateway"
            }
            500.. => "Meta or something in between is not available; the events go again",
            _ => {
                "the answer was none of Meta's, so it comes from something in between, such as a \
                 proxy; the events go again; check endpoint"
            }
        },
    };
    Some(text)
}

/// What Meta answers, as far as it is of use: numbers. Texts are localised and may quote input.
///
/// Lenient on purpose: one odd key must not turn an answer that says something into garbage.
#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "lenient")]
    events_received: Option<u64>,
    messages: Option<Value>,
    fbtrace_id: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    error: Option<ErrorAnswer>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    #[serde(default, deserialize_with = "lenient")]
    code: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    error_subcode: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    is_transient: Option<bool>,
    error_data: Option<Value>,
    fbtrace_id: Option<Value>,
}

/// Reads a value of the expected type and turns any other into `None`.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).ok())
}

/// Whom `error_data.blame_field_specs` names.
#[derive(Debug, PartialEq)]
enum Blame {
    /// Events of this request, and nothing else.
    Events(BTreeSet<usize>),
    /// Something beside the events, so that every request would fail.
    Request,
    /// Nobody, or somebody who is not in this request.
    Nobody,
}

impl ErrorAnswer {
    fn decision(&self, sent: usize, answer: &Response) -> Decision {
        let reason = self.reason(answer.status);
        let transient = self.is_transient == Some(true);
        match codes::class(self.code, self.error_subcode, transient, answer.status) {
            Class::Retry => Decision::Retry { reason, after: answer.retry_after() },
            Class::Throttle => Decision::Wait { reason, after: usage::pause(answer) },
            Class::Configuration => Decision::Blocked { reason },
            Class::Unknown => Decision::Unclear { reason },
            Class::Payload => match self.blame(sent) {
                Blame::Request => Decision::Blocked { reason },
                Blame::Events(blamed) => Decision::Each(
                    (0..sent)
                        .map(|at| match blamed.contains(&at) {
                            true => Outcome::Refused(reason.clone()),
                            false => Outcome::Again,
                        })
                        .collect(),
                ),
                Blame::Nobody if sent == 1 => Decision::Each(vec![Outcome::Refused(reason)]),
                Blame::Nobody => Decision::Split { reason },
            },
        }
    }

    fn reason(&self, status: u16) -> Reason {
        match (self.code, self.error_subcode) {
            (Some(code), Some(subcode)) => Reason(format!("{code}/{subcode}")),
            (Some(code), None) => Reason(code.to_string()),
            (None, _) => Reason(format!("http_{status}")),
        }
    }

    /// The paths of `error_data`, which may itself be a text that holds JSON.
    fn blamed_paths(&self) -> Vec<Vec<Value>> {
        let data = match &self.error_data {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
            Some(other) => other.clone(),
            None => Value::Null,
        };
        let paths = data.get("blame_field_specs").and_then(Value::as_array);
        let paths = paths.into_iter().flatten();
        // A path that is no list blames the whole, as an empty one does.
        paths.map(|path| path.as_array().cloned().unwrap_or_default()).collect()
    }

    fn blame(&self, sent: usize) -> Blame {
        let paths = self.blamed_paths();
        let beside = |path: &Vec<Value>| {
            path.first().and_then(Value::as_str).is_some_and(|key| REQUEST_KEYS.contains(&key))
        };
        if !paths.is_empty() && paths.iter().all(beside) {
            return Blame::Request;
        }
        let events: Option<BTreeSet<usize>> =
            paths.iter().map(|path| Some(event_of_path(path)?.0)).collect();
        match events {
            Some(all) if !all.is_empty() && all.iter().all(|&at| at < sent) => Blame::Events(all),
            _ => Blame::Nobody,
        }
    }

    /// The fields that are blamed, e.g. `user_data.em`: a key of the wire and one below it that
    /// looks like a key, so that no value can get in.
    fn blamed_fields(&self) -> Vec<String> {
        let is_key = |key: &&str| {
            key.len() <= 40 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        let field = |path: &Vec<Value>| {
            let rest = event_of_path(path).map_or(path.as_slice(), |(_, rest)| rest);
            let first = rest.first()?.as_str()?;
            if !EVENT_KEYS.contains(&first) && !REQUEST_KEYS.contains(&first) {
                return None;
            }
            let second = rest.get(1).and_then(Value::as_str).filter(is_key);
            Some(second.map_or(first.to_owned(), |second| format!("{first}.{second}")))
        };
        let fields: BTreeSet<String> = self.blamed_paths().iter().filter_map(field).collect();
        fields.into_iter().take(MOST_BLAMED).collect()
    }
}

/// The position in a path such as `["data", "3", "user_data", "em"]` or `["data[3]", …]`, and the
/// rest of the path.
fn event_of_path(path: &[Value]) -> Option<(usize, &[Value])> {
    let (head, rest) = path.split_first()?;
    match head.as_str()?.strip_prefix("data")? {
        "" => {
            let (index, rest) = rest.split_first()?;
            let at = match index {
                Value::String(index) => index.parse().ok()?,
                index => usize::try_from(index.as_u64()?).ok()?,
            };
            Some((at, rest))
        }
        index => Some((index.strip_prefix('[')?.split_once(']')?.0.parse().ok()?, rest)),
    }
}

/// A 2xx answer without error object.
///
/// Fewer events received than sent is not success. Nothing says which ones are missing, so all go
/// again: those that were counted are dropped by their id within 48 hours. If some were taken,
/// halves find the one that is not; if none or no number, a split would only multiply requests.
fn taken(sent: usize, received: Option<u64>) -> Decision {
    let sent_wide = u64::try_from(sent).unwrap_or(u64::MAX);
    match received {
        // The answer to another request.
        Some(received) if received > sent_wide => {
            Decision::Retry { reason: Reason::new("events_received_wrong"), after: None }
        }
        Some(received) if received == sent_wide => Decision::Each(vec![Outcome::Delivered; sent]),
        Some(1..) => Decision::Split { reason: Reason::new("events_received_short") },
        Some(0) => Decision::Retry { reason: Reason::new("events_received_none"), after: None },
        None => Decision::Retry { reason: Reason::new("events_received_unknown"), after: None },
    }
}

/// An answer that is not Meta's JSON, e.g. the HTML of a proxy: never a reason to give up events.
fn unreadable(sent: usize, answer: &Response) -> Decision {
    let reason = match answer.status {
        200..=299 => Reason::new("unreadable_answer"),
        status => Reason(format!("http_{status}")),
    };
    match answer.status {
        429 => Decision::Wait { reason, after: usage::pause(answer) },
        // Too large for something in between, e.g. a Gateway; the same again would be so, too.
        413 if sent > 1 => Decision::Split { reason },
        _ => Decision::Retry { reason, after: answer.retry_after() },
    }
}

/// Codes and counts only: messages and titles may quote what was sent.
fn summary(
    answer: &Response,
    body: Option<&Answer>,
    request_id: Option<&str>,
    usage: &Usage,
) -> Value {
    let mut summary = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            summary.insert(key.to_owned(), value);
        }
    };
    let error = body.and_then(|body| body.error.as_ref());
    put("fbtrace_id", request_id.map(Into::into));
    put("events_received", body.and_then(|body| body.events_received).map(Into::into));
    let messages = body.and_then(|body| body.messages.as_ref()).and_then(Value::as_array);
    put("messages", messages.map(Vec::len).filter(|&count| count > 0).map(Into::into));
    put("code", error.and_then(|error| error.code).map(Into::into));
    put("subcode", error.and_then(|error| error.error_subcode).map(Into::into));
    put("is_transient", error.and_then(|error| error.is_transient).map(Into::into));
    put("usage_percent", usage.percent.and_then(Number::from_f64).map(Value::Number));
    // An ended version is served by a newer one for a while; the header says so in words.
    put("version_warning", answer.header("x-ad-api-version-warning").map(|_| Value::Bool(true)));
    let served = answer.header("facebook-api-version").filter(|name| version::is_version(name));
    put("api_version", served.map(Into::into));
    put(
        "blamed",
        error.map(ErrorAnswer::blamed_fields).filter(|fields| !fields.is_empty()).map(Into::into),
    );
    if body.is_none() {
        put("unreadable_bytes", Some(answer.body.len().into()));
    }
    Value::Object(summary)
}

//! What answers of any platform have in common: HTTP statuses, and how little of them is kept.

use std::time::Duration;

use serde_json::{Map, Value};

use super::verdict::{Decision, Outcome, Reason, Response, Verdict};

/// How long a throttled destination waits when the answer names no time.
const THROTTLE_PAUSE: Duration = Duration::from_secs(60);

/// What a platform's answer says is believed up to this long.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The body as JSON; `Null` where it is none.
pub(crate) fn json(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Whether the platform took the request.
pub(crate) fn is_success(answer: &Response) -> bool {
    (200..300).contains(&answer.status)
}

/// Every event was taken.
pub(crate) fn delivered(sent: usize) -> Decision {
    Decision::Each(vec![Outcome::Delivered; sent])
}

/// Too many calls.
pub(crate) fn throttled(reason: impl Into<String>, answer: &Response) -> Decision {
    let after = answer.retry_after().unwrap_or(THROTTLE_PAUSE).min(LONGEST_PAUSE);
    Decision::Wait { reason: Reason::new(reason), after }
}

/// To be sent again.
pub(crate) fn retry(reason: impl Into<String>, answer: &Response) -> Decision {
    Decision::Retry { reason: Reason::new(reason), after: answer.retry_after() }
}

/// The account's fault.
pub(crate) fn blocked(reason: impl Into<String>) -> Decision {
    Decision::Blocked { reason: Reason::new(reason) }
}

/// Something in the request is wrong: a lone event is refused, several are told apart in halves.
pub(crate) fn invalid(sent: usize, reason: impl Into<String>) -> Decision {
    let reason = Reason::new(reason);
    if sent == 1 {
        Decision::Each(vec![Outcome::Refused(reason)])
    } else {
        Decision::Split { reason }
    }
}

/// An error in the platform's own form that this program does not know, with the status of a client's
/// error: whom it is about, nobody can say.
pub(crate) fn unclear(sent: usize, reason: impl Into<String>, answer: &Response) -> Decision {
    match answer.status {
        401 | 403 | 408 | 413 | 425 | 429 => by_status(sent, answer),
        200..=299 | 400..=499 => Decision::Unclear { reason: Reason::new(reason) },
        _ => by_status(sent, answer),
    }
}

/// The positions in `bad` are refused; the rest of the request was not processed and goes at once.
/// None where a position is not in the request.
pub(crate) fn refuse(sent: usize, bad: &[(usize, String)]) -> Option<Decision> {
    if bad.is_empty() || bad.iter().any(|(at, _)| *at >= sent) {
        return None;
    }
    let mut outcomes = vec![Outcome::Again; sent];
    for (at, reason) in bad {
        outcomes[*at] = Outcome::Refused(Reason::new(reason.as_str()));
    }
    Some(Decision::Each(outcomes))
}

/// An answer that does not say more than its status, such as the HTML of a proxy: never a reason
/// to give up events.
pub(crate) fn by_status(sent: usize, answer: &Response) -> Decision {
    let reason = match answer.status {
        200..=299 => "unreadable_answer".to_owned(),
        status => format!("http_{status}"),
    };
    match answer.status {
        401 | 403 => blocked(reason),
        429 => throttled(reason, answer),
        413 if sent > 1 => Decision::Split { reason: Reason(reason) },
        _ => retry(reason, answer),
    }
}

/// The verdict, with an id and codes that look like such.
pub(crate) fn verdict(
    decision: Decision,
    request_id: Option<&str>,
    codes: &[(&str, Option<Value>)],
    answer: &Response,
) -> Verdict {
    let request_id =
        request_id.filter(|id| (1..=100).contains(&id.len()) && id.bytes().all(is_code));
    let mut summary = Map::new();
    for (key, value) in codes {
        let value = value.clone().filter(|value| match value {
            Value::Number(_) | Value::Bool(_) => true,
            Value::String(text) => is_word(text),
            Value::Array(list) => list.iter().all(|v| v.as_str().is_some_and(is_word)),
            _ => false,
        });
        if let Some(value) = value {
            summary.insert((*key).to_owned(), value);
        }
    }
    if json(answer).is_null() && !answer.body.is_empty() {
        summary.insert("unreadable_bytes".into(), answer.body.len().into());
    }
    Verdict {
        decision,
        hold: None,
        request_id: request_id.map(str::to_owned),
        summary: Value::Object(summary),
    }
}

/// A byte of a request id or a code.
fn is_code(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(&byte)
}

/// Whether a text is a vendor's word, such as `EVENT_TOO_OLD`, and not a sentence, which may quote
/// what was sent.
pub(crate) fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || b == b'/';
    (1..=80).contains(&text.len()) && text.bytes().all(plain)
}

/// What a reason of this file means, and the way out.
pub(crate) fn explain(reason: &str) -> Option<&'static str> {
    if reason == "unreadable_answer" {
        return Some(
            "the answer said success but is none of the platform's, so it may come from something \
             in between; the events go again; check endpoint",
        );
    }
    let text = match reason.strip_prefix("http_")?.parse::<u16>().ok()? {
        401 | 403 => {
            "the platform refuses the credential, or its rights; renew it, then resume the \
             destination"
        }
        413 => {
            "the request is too large for the platform or for something in between; its events go \
             again in halves"
        }
        429 => "too many calls; the events wait and go again",
        500.. => "the platform or something in between is not available; the events go again",
        _ => {
            "the answer says nothing but its status, so it may come from something in between, \
             such as a proxy; the events go again; check endpoint"
        }
    };
    Some(text)
}

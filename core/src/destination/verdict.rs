//! Answers, and what they mean for the events.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// The answer to one request, as the worker received it.
#[derive(Clone)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Header names in lower case, with values.
    pub headers: Vec<(String, String)>,
    /// The body, cut at the client's size limit.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The `Retry-After` header in seconds; whoever receives an answer turns the form of a date,
    /// which needs a clock, into that.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }
}

// An answer may quote what was sent.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A machine-readable reason, e.g. `missing_currency` or `100/2804003`. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(pub String);

impl Reason {
    /// Builds a reason of a fixed word or code.
    pub fn new(code: impl Into<String>) -> Self {
        Self(code.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one answer means for the events of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to do with the events.
    pub decision: Decision,
    /// How long the platform wants no further request at all, whatever became of this one.
    pub hold: Option<Duration>,
    /// The platform's id of this request (`fbtrace_id`), for support tickets.
    pub request_id: Option<String>,
    /// The answer reduced to what may be stored: codes and counts, no text that could quote input.
    pub summary: Value,
}

/// What to do with the events of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// One outcome per event, in request order.
    Each(Vec<Outcome>),
    /// The platform decides later: ask again with the ticket, see [`Destination::status_request`](crate::destination::Destination::status_request).
    Accepted {
        /// What to ask with.
        ticket: Ticket,
        /// When to ask at the earliest.
        after: Duration,
    },
    /// Send again; costs an attempt.
    Retry {
        /// Why.
        reason: Reason,
        /// Not before this, if the platform said so.
        after: Option<Duration>,
    },
    /// Throttled: send again; costs no attempt.
    Wait {
        /// Why.
        reason: Reason,
        /// How long at least.
        after: Duration,
    },
    /// Somebody in there is bad and the answer does not say who.
    Split {
        /// Why; settles a lone event.
        reason: Reason,
    },
    /// Refused in the platform's own words, for a reason that this program does not know: no verdict
    /// about an event. Send again; costs an attempt; who gets it too often stops the destination.
    Unclear {
        /// The platform's word.
        reason: Reason,
    },
    /// The account's fault: pause the destination, keep everything, alert.
    Blocked {
        /// Why.
        reason: Reason,
    },
}

/// The outcome of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The platform took it.
    Delivered,
    /// The platform refused it for good.
    Refused(Reason),
    /// The platform asks for it again, later.
    Retry(Reason),
    /// Nothing is wrong with it: it only shared a request with a refused one and goes at once.
    Again,
}

/// What to ask an asynchronous platform with. Stored: never a credential, never a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket(pub String);

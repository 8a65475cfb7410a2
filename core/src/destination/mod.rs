//! Advertising platforms: what each accepts and what its answers mean. One file per platform.
//!
//! The extension previews with the same code that the sidecar sends with.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::event::Event;
use crate::time::Timestamp;

pub mod meta;

/// One advertising platform: what it accepts and what its answers mean.
///
/// Implementations are pure. The worker owns time, network, database and credentials. A batch may
/// be sent again after a crash, so each event carries the id the platform uses to drop duplicates.
pub trait Destination: Send + Sync {
    /// Fixed facts: name, API version, batch limit, credential slot, vendor page.
    fn spec(&self) -> &'static Spec;

    /// Oldest age at which the platform still takes this event.
    fn max_age(&self, event: &Event) -> Duration;

    /// Why the platform can never take this event, judged without the clock; `None` when it can.
    fn unfit(&self, event: &Event) -> Option<Unfit>;

    /// Groups the events into requests of at most [`Spec::batch_limit`] events. Every event is in
    /// exactly one request or in [`Plan::unfit`].
    fn plan(&self, events: &[Event]) -> Plan;

    /// Reads the answer to one request. A 200 can still mean failure.
    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict;
}

/// Fixed facts of a platform.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Name in SQL, configuration and logs, e.g. `meta`.
    pub platform: &'static str,
    /// Most events in one request.
    pub batch_limit: usize,
    /// Where the credential goes.
    pub credential: CredentialSlot,
    /// The vendor's reference page.
    pub documentation: &'static str,
}

/// Where the HTTP client puts the credential. Never in a URL path, and a query only where the
/// platform knows no other place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSlot {
    /// `Authorization: Bearer …`.
    Bearer,
    /// A header of this name.
    Header(&'static str),
    /// A query parameter of this name.
    Query(&'static str),
}

/// One HTTP request without its credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Absolute URL without credential.
    pub url: String,
    /// The JSON body; the method is POST.
    pub body: Value,
    /// Positions in the slice given to [`Destination::plan`], in request order.
    pub events: Vec<usize>,
}

/// How a slice of events is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The requests to send.
    pub requests: Vec<Request>,
    /// Events that can never be sent, by position.
    pub unfit: Vec<(usize, Unfit)>,
}

/// Why an event can never be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The platform has no such event: settled as `unrouted`.
    Unrouted(Reason),
    /// The platform would refuse it: settled as `refused` without a request.
    Refused(Reason),
}

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
    /// The platform decides later: poll with the ticket.
    Accepted(Ticket),
    /// Send again; costs an attempt.
    Retry { /// Why.
        reason: Reason, /// Not before this, if the platform said so.
        after: Option<Duration> },
    /// Throttled: send again; costs no attempt.
    Wait { /// Why.
        reason: Reason, /// How long at least.
        after: Duration },
    /// Somebody in there is bad and the answer does not say who.
    Split { /// Why; settles a lone event.
        reason: Reason },
    /// The account's fault: pause the destination, keep everything, alert.
    Blocked { /// Why.
        reason: Reason },
}

/// The outcome of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The platform took it.
    Delivered,
    /// The platform refused it for good.
    Refused(Reason),
    /// The platform asks for it again.
    Retry(Reason),
}

/// What to poll an asynchronous platform with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket(pub String);

/// Why the settings of a destination are no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No such platform.
    #[error("unknown platform; known are: {known}")]
    UnknownPlatform {
        /// Names of the known platforms.
        known: String,
    },
    /// A key is missing, unknown or has a wrong value.
    #[error("setting {key}: {rule}")]
    Setting {
        /// The key.
        key: String,
        /// What it must be; never the value.
        rule: String,
    },
}

/// Builds the destination of a platform from its settings.
pub fn build(platform: &str, settings: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    PLATFORMS
        .iter()
        .find(|(name, _)| *name == platform)
        .ok_or_else(|| SettingsError::UnknownPlatform { known: platforms().join(", ") })
        .and_then(|(_, build)| build(settings))
}

/// Names of the known platforms.
pub fn platforms() -> Vec<&'static str> {
    PLATFORMS.iter().map(|(name, _)| *name).collect()
}

type Build = fn(&Value) -> Result<Box<dyn Destination>, SettingsError>;

/// Every platform that this build can send to.
const PLATFORMS: &[(&str, Build)] = &[("meta", meta::build)];

/// Whether the event is too old for the platform at `now`.
pub fn expired(destination: &dyn Destination, event: &Event, now: Timestamp) -> bool {
    let limit = i64::try_from(destination.max_age(event).as_micros()).unwrap_or(i64::MAX);
    now.micros_since(event.event_time) > limit
}

//! Advertising platforms: what each accepts and what its answers mean. One file or folder per
//! platform.
//!
//! The extension previews with the same code that the sidecar sends with.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::event::Event;
use crate::pixel::tag;
use crate::time::Timestamp;
pub use body::Body;
use list::{PLATFORMS, Platform, Takes};

mod answer;
pub mod audience;
mod body;
pub(crate) mod ga4;
mod google;
mod google_ads;
mod linkedin;
mod list;
pub mod meta;
mod parts;
pub(crate) mod pinterest;
pub(crate) mod reddit;
mod routing;
mod settings;
pub(crate) mod snapchat;
pub(crate) mod tiktok;
pub mod webhook;

/// One advertising platform: what it accepts and what its answers mean.
///
/// Implementations are pure. The worker owns time, network, database and credentials. A batch may
/// be sent again after a crash, so each event carries the id the platform uses to drop duplicates.
pub trait Destination: Send + Sync {
    /// Fixed facts: name, API version, batch limit, credential slot, vendor page.
    fn spec(&self) -> &'static Spec;

    /// The API version that requests go to, where the platform has versions that end.
    fn api_version(&self) -> Option<ApiVersion> {
        None
    }

    /// Requests per minute that the platform allows, where it documents a number.
    fn requests_per_minute(&self) -> Option<u32> {
        None
    }

    /// Whether another credential, or the same with more rights, would lift a block for this reason.
    fn is_about_credential(&self, reason: &str) -> bool {
        matches!(reason, "http_401" | "http_403")
    }

    /// Oldest age at which the platform still takes this event.
    fn max_age(&self, event: &Event) -> Duration;

    /// Why the platform can never take this event, judged without the clock; `None` when it can.
    fn unfit(&self, event: &Event) -> Option<Unfit>;

    /// Groups the events into requests of at most [`Spec::batch_limit`] events. Every event is in
    /// exactly one request or in [`Plan::unfit`].
    fn plan(&self, events: &[Event]) -> Plan;

    /// Reads the answer to one request. A 200 can still mean failure.
    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict;

    /// The request that asks what became of events that were accepted with a ticket; `None` where the
    /// platform gives no tickets. It carries no events.
    fn status_request(&self, _ticket: &Ticket) -> Option<Request> {
        None
    }

    /// Reads the answer to [`Destination::status_request`]. `events` are those of the accepted
    /// request, in its order. [`Decision::Accepted`] means: ask again later, with its ticket, which
    /// may be the same.
    fn status_verdict(&self, _ticket: &Ticket, events: &[Event], answer: &Response) -> Verdict {
        self.verdict(events, answer)
    }

    /// Whether the platform drops a second copy of this event. One that does not is never sent
    /// again when it may have arrived.
    fn drops_doubles(&self, _event: &Event) -> bool {
        true
    }

    /// The first request of [`Destination::plan`] in the platform's test mode, where nothing counts
    /// or everything is marked as a test; `None` where the platform has no such mode, needs a
    /// `code` and got none, or no event is fit.
    fn test_request(&self, _events: &[Event], _code: Option<&str>) -> Option<Request> {
        None
    }

    /// Reads the answer to [`Destination::test_request`]; there is nothing to ask for later.
    fn test_verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        self.verdict(events, answer)
    }
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

/// The version of a platform's API that a destination uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersion {
    /// As it stands in the URL, e.g. `v26.0`.
    pub name: String,
    /// The day it stops working as `YYYY-MM-DD`, as far as the vendor has said so.
    pub ends: Option<&'static str>,
    /// Whether this build knows it.
    pub listing: Listing,
}

/// Where a version stands to those that this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It is one of them.
    Listed,
    /// Newer than all of them: nobody has looked at it when this build was made.
    Newer,
    /// Older than all of them: it has ended.
    Older,
    /// Between them, where the vendor has none: most likely a slip.
    Unknown,
}

/// What is wrong with a version, today or soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionTrouble {
    /// One clause.
    pub what: String,
    /// The way out.
    pub way_out: &'static str,
    /// Whether everything that is sent to it fails already.
    pub has_ended: bool,
}

impl ApiVersion {
    /// What is wrong with this version at `now`, or within 90 days.
    pub fn trouble(&self, now: Timestamp) -> Option<VersionTrouble> {
        const SOON_US: i64 = 90 * 86_400 * 1_000_000;
        const NEWER: &str = "set api_version to a newer one with capi.alter_destination";
        const KNOWN: &str = "set api_version to one that this program knows, or leave it out";
        let Self { name, ends, listing } = self;
        let trouble = |what: String, way_out, has_ended| {
            Some(VersionTrouble { what: format!("API {name} {what}"), way_out, has_ended })
        };
        match listing {
            Listing::Older => {
                return trouble("is older than any that still works".into(), NEWER, true);
            }
            Listing::Newer => {
                let what = "is newer than this program, which was not tried with it";
                return trouble(what.into(), KNOWN, false);
            }
            Listing::Unknown => {
                let what = "is none that the platform has announced";
                return trouble(what.into(), KNOWN, false);
            }
            Listing::Listed => {}
        }
        let day = (*ends)?;
        let end = Timestamp::parse(&format!("{day}T00:00:00Z")).ok()?;
        match end.micros_since(now) {
            left if left <= 0 => trouble(format!("ended on {day}"), NEWER, true),
            left if left < SOON_US => trouble(format!("ends on {day}"), NEWER, false),
            _ => None,
        }
    }
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
    /// Does not travel: it is the key of an HMAC-SHA256 over time and body.
    Signature {
        /// Header with the time of signing, in seconds since 1970.
        timestamp: &'static str,
        /// Header with `v1=` and the signature in hex.
        signature: &'static str,
    },
    /// Does not travel: it is JSON, for which a token endpoint gives the token of a Bearer header.
    OAuth(&'static Grant),
}

/// Where tokens come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token endpoint, unless the credential names one as `token_uri`.
    pub endpoint: &'static str,
    /// The scope that a service account asks for; `None` where the platform has no such accounts.
    pub scope: Option<&'static str>,
}

/// How a request goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Without a body.
    Get,
    /// With a JSON body.
    Post,
    /// With a JSON body, too.
    Delete,
}

/// One HTTP request without its credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// How it goes out.
    pub method: Method,
    /// Absolute URL without credential.
    pub url: String,
    /// Further headers, in lower case, such as an API version. No credential and no person.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON body of what is no GET.
    pub body: Body,
    /// Positions in the slice given to [`Destination::plan`], in request order.
    pub events: Vec<usize>,
}

impl Request {
    /// A POST of `body` for the events at these positions.
    pub fn post(url: String, body: &impl Serialize, events: Vec<usize>) -> Self {
        Self::of(url, Body::of(body), events)
    }

    /// A POST of a body that is written already.
    fn of(url: String, body: Body, events: Vec<usize>) -> Self {
        Self { method: Method::Post, url, headers: Vec::new(), body, events }
    }

    /// A GET, for no event.
    pub fn get(url: String) -> Self {
        let (headers, events) = (Vec::new(), Vec::new());
        Self { method: Method::Get, url, headers, body: Body::default(), events }
    }
}

/// How a slice of events is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The requests to send.
    pub requests: Vec<Request>,
    /// Events that can never be sent, by position.
    pub unfit: Vec<(usize, Unfit)>,
}

impl Plan {
    /// Fit events in requests of up to `limit`, each of which `request` makes of events and their
    /// positions.
    fn of(
        events: &[Event],
        limit: usize,
        unfit: impl Fn(&Event) -> Option<Unfit>,
        request: impl Fn(&[&Event], Vec<usize>) -> Request,
    ) -> Self {
        let mut plan = Self::default();
        let mut fit = Vec::with_capacity(events.len());
        for (at, event) in events.iter().enumerate() {
            match unfit(event) {
                Some(unfit) => plan.unfit.push((at, unfit)),
                None => fit.push(at),
            }
        }
        let part = |places: &[usize]| {
            let part: Vec<&Event> = places.iter().map(|&at| &events[at]).collect();
            request(&part, places.to_vec())
        };
        plan.requests = fit.chunks(limit).map(part).collect();
        plan
    }
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
    /// The platform decides later: ask again with the ticket, see [`Destination::status_request`].
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

/// Builds the destination of a platform from its settings. The setting `tag` is the pixel's, and
/// no platform's own.
pub fn build(platform: &str, settings: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let known = find(platform);
    let known =
        known.ok_or_else(|| SettingsError::UnknownPlatform { known: platforms().join(", ") })?;
    tag::check(settings)?;
    let (routing, own) = routing::take(&tag::without(settings), known.takes)?;
    Ok(routing.around((known.build)(&own)?))
}

/// What the browser's half is made of: the event as the settings of the destination shape it, and
/// the platform's own settings. A reason where the server sends nothing, or a value that is not for
/// the page.
pub(crate) fn for_page(
    platform: &str,
    settings: &Value,
    event: &Event,
) -> Result<Result<(Event, Value), &'static str>, SettingsError> {
    let known = find(platform);
    let known =
        known.ok_or_else(|| SettingsError::UnknownPlatform { known: platforms().join(", ") })?;
    let (routing, own) = routing::take(&tag::without(settings), known.takes)?;
    Ok(routing.for_page(event).map(|event| (event, own)))
}

/// Oldest age at which a platform takes an event, whatever the settings; `None` for no platform.
pub fn max_age_of(platform: &str, event: &Event) -> Option<Duration> {
    find(platform).map(|known| (known.max_age)(event))
}

/// Why a platform can never take an event, whatever the settings; see [`Destination::unfit`].
pub fn unfit_of(platform: &str, event: &Event) -> Option<Unfit> {
    let known = find(platform)?;
    routing::unfit(known.takes, event).or_else(|| (known.unfit)(event))
}

/// What the reason of a receipt or batch means, in one sentence with the way out; `None` for a
/// reason that nobody knows. Covers the platform's own codes, such as `100/2804003`, and the words
/// of this program, such as `missing_currency`.
pub fn explain(platform: &str, reason: &str) -> Option<&'static str> {
    let known = REASONS.iter().find(|(known, _)| *known == reason).map(|(_, text)| *text);
    known
        .or_else(|| find(platform).and_then(|platform| (platform.explain)(reason)))
        .or_else(|| find(platform).and_then(|_| answer::explain(reason)))
}

/// Reasons of the HTTP client that say: another credential.
const CREDENTIAL_REASONS: [&str; 2] = ["credential_malformed", "token_refused"];

/// Reasons that are no platform's.
const REASONS: &[(&str, &str)] = &[
    (
        "too_old",
        "the platform takes events up to an age, and this one is past it; find out what held it \
         up, and do not change its event_time",
    ),
    ("consent_refused", "the customer has refused; nothing is to be done"),
    (
        "no_refunds",
        "the platform has no refunds; nothing is to be done, or map Refund to a name of your own \
         with the setting events",
    ),
    (
        "no_limited_use",
        "the event may be used in a limited way only, by data_processing_options or opt_out, and \
         the platform has no word for that; nothing is to be done",
    ),
    ("not_in_only", "the setting only of the destination does not name the event"),
    (
        "no_event_mapping",
        "the platform knows events by ids that are made there; add event_name and id to the \
         setting events of the destination",
    ),
    (
        "no_such_event",
        "the platform has no such event and takes no names of one's own; map it to one of its \
         events with the setting events",
    ),
    (
        "perhaps_delivered",
        "the connection broke before the answer, so the platform may have the event; it would \
         count a second copy, so the event is not sent again",
    ),
    (
        "token_refused",
        "the token endpoint refuses the credential; renew it, then resume the destination",
    ),
    (
        "token_unavailable",
        "the token endpoint could not be reached or did not answer; the events go again",
    ),
    (
        "credential_malformed",
        "the credential is not of the form that docs/platforms.md describes for the platform; \
         correct it, then resume the destination",
    ),
    (
        "request_not_built",
        "no request could be made of settings and credential; correct them, then resume the \
         destination",
    ),
    (
        "tls_required",
        "the credential would travel in clear; set endpoint to https, then resume the destination",
    ),
    ("no_request", "the platform makes nothing of this event; nothing is to be done"),
    (
        "connect_failed",
        "the platform could not be reached; the events go again; check network, DNS and endpoint",
    ),
    (
        "answer_timeout",
        "the platform did not answer in time, so it may have taken the events; they go again, and \
         it drops by their id those that it has",
    ),
    (
        "answer_lost",
        "the connection broke, so the platform may have taken the events; they go again, and it \
         drops by their id those that it has",
    ),
    (
        "ticket_unknown",
        "the platform accepted the event and does not know its ticket any more; look into its own \
         reports before you replay the event",
    ),
    (
        "no_decision",
        "the platform accepted the event and has not said in a day what became of it; look into its \
         own reports before you replay the event",
    ),
    (
        "ticket_not_supported",
        "the platform of this program takes no tickets, and the events were accepted with one; run \
         the program that sent them",
    ),
    (
        "destination_dropped",
        "the destination was dropped while the platform had not decided yet; nothing is to be done",
    ),
    ("retention", "the event was still open when its week was dropped; find out what held it up"),
];

/// Names of the known platforms.
pub fn platforms() -> Vec<&'static str> {
    PLATFORMS.iter().map(|known| known.name).collect()
}

fn find(platform: &str) -> Option<&'static Platform> {
    PLATFORMS.iter().find(|known| known.name == platform)
}

/// Refuses an endpoint that would send a credential in clear or hide one: https, or http to
/// loopback; without user, query and fragment.
fn check_endpoint(endpoint: &str) -> Result<(), &'static str> {
    const RULE: &str = "must be https://host, or http:// on loopback, without user and query";
    let (clear, rest) = match endpoint.split_once("://") {
        Some(("https", rest)) => (false, rest),
        Some(("http", rest)) => (true, rest),
        _ => return Err(RULE),
    };
    if rest.contains(['@', '?', '#', '\\']) || rest.contains(char::is_whitespace) {
        return Err(RULE);
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let loopback = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if host.is_empty() || (clear && !loopback) { Err(RULE) } else { Ok(()) }
}

/// Whether the event is too old for the platform at `now`.
pub fn expired(destination: &dyn Destination, event: &Event, now: Timestamp) -> bool {
    let limit = i64::try_from(destination.max_age(event).as_micros()).unwrap_or(i64::MAX);
    now.micros_since(event.event_time) > limit
}

#[cfg(test)]
mod tests;

//! What a platform implements.

use std::time::Duration;

use super::request::{Plan, Request, Unfit};
use super::verdict::{Response, Ticket, Verdict};
use super::version::ApiVersion;
use crate::event::Event;
use crate::time::Timestamp;

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
    /// request, in its order. [`Decision::Accepted`](crate::destination::Decision::Accepted) means: ask again later, with its ticket, which
    /// may be the same.
    fn status_verdict(&self, _ticket: &Ticket, events: &[Event], answer: &Response) -> Verdict {
        self.verdict(events, answer)
    }

    /// Whether the platform drops a second copy of this event. One that does not is never sent
    /// again when it may have arrived.
    fn drops_duplicates(&self, _event: &Event) -> bool {
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

impl CredentialSlot {
    /// What kind of credential it takes, in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer | Self::Header(_) | Self::Query(_) => "token",
            Self::Signature { .. } => "signing_key",
            Self::OAuth(_) => "token_or_oauth",
        }
    }
}

/// Where tokens come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token endpoint, unless the credential names one as `token_uri`.
    pub endpoint: &'static str,
    /// The scope that a service account asks for; `None` where the platform has no such accounts.
    pub scope: Option<&'static str>,
}

/// Whether the event is too old for the platform at `now`.
pub fn expired(destination: &dyn Destination, event: &Event, now: Timestamp) -> bool {
    let limit = i64::try_from(destination.max_age(event).as_micros()).unwrap_or(i64::MAX);
    now.micros_since(event.event_time) > limit
}

//! Custom audiences: how a platform is told who joins a list of people and who leaves it.
//!
//! Only Meta's are known. A change is idempotent: who is added twice is in once, and who is not
//! there cannot be removed. So whatever may have been lost may go again.

use std::time::Duration;

use serde_json::Value;

use super::meta;
use super::{Reason, Request, Response, SettingsError, routing, settings::broken};
use crate::audience::PARTS;
use crate::capture::Options;
use crate::money::Amount;
use crate::pixel::tag;

/// Most members that one request speaks of.
pub const BATCH_LIMIT: usize = meta::AUDIENCE_BATCH_LIMIT;

/// How long a session may go on before the rest gets another one, well below the 90 minutes after
/// which Meta forgets it.
pub const SESSION_LIMIT: Duration = Duration::from_secs(60 * 60);

/// A member as the database has it: the digests of [`PARTS`], empty where there is none.
#[derive(Clone, Debug)]
pub struct Member {
    /// One text per part.
    pub digests: Vec<String>,
    /// What the member is worth, where the list has values.
    pub value: Option<Amount>,
}

impl Member {
    /// The digest of a part.
    pub fn digest(&self, part: &str) -> &str {
        let at = PARTS.iter().position(|known| *known == part);
        at.and_then(|at| self.digests.get(at)).map_or("", String::as_str)
    }
}

/// What becomes of the members of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They join, or their data is renewed.
    Add,
    /// They leave.
    Remove,
}

impl Change {
    /// The word in SQL and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }
}

/// Several requests that belong together, and the place of one among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its number, different from all others of the list.
    pub id: i64,
    /// The place of the request, from 1.
    pub sequence: u32,
    /// Whether no request follows.
    pub is_last: bool,
    /// How many members all of its requests speak of, as far as is known at its beginning.
    pub estimated: u64,
}

/// What an answer says of the members of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub decision: Decision,
    /// The platform's id of the request.
    pub request_id: Option<String>,
}

/// What to do after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// All of them are with the platform; of some it could make nothing.
    Taken {
        /// Entries that were wrong in the platform's eyes. It does not say which members those
        /// are, and whether the number is of the request or of the session is not documented.
        invalid: u64,
    },
    /// Send again.
    Retry {
        /// Why.
        reason: Reason,
        /// Not before this, if the platform said so.
        after: Option<Duration>,
    },
    /// Throttled: send again.
    Wait {
        /// Why.
        reason: Reason,
        /// How long at least.
        after: Duration,
    },
    /// Nothing of the request was taken, and the same would not be.
    Refused {
        /// Why.
        reason: Reason,
    },
    /// The account's fault.
    Blocked {
        /// Why.
        reason: Reason,
    },
}

/// A list of people at a platform.
#[derive(Debug)]
pub struct Audience(meta::Audience);

impl Audience {
    /// Builds it from the settings of its destination and its own. No error quotes a value.
    pub fn build(
        platform: &str,
        destination: &Value,
        audience: &Value,
    ) -> Result<Self, SettingsError> {
        let known = super::find(platform).filter(|known| known.name == "meta");
        let Some(known) = known else {
            return Err(broken(
                "destination",
                "must be of the platform meta: others have no audiences here",
            ));
        };
        super::build(platform, destination)?;
        let (_, own) = routing::take(&tag::without(destination), known.takes)?;
        Ok(Self(meta::Audience::build(&own, audience)?))
    }

    /// The request that makes a change to at most [`BATCH_LIMIT`] members.
    ///
    /// # Panics
    /// When there are no members, or more than that.
    pub fn request(&self, change: Change, members: &[Member], session: Session) -> Request {
        assert!(
            (1..=BATCH_LIMIT).contains(&members.len()),
            "a batch has 1 to {BATCH_LIMIT} members"
        );
        self.0.request(change, members, session)
    }

    /// Reads the answer to a request of `sent` members.
    pub fn verdict(sent: usize, answer: &Response) -> Verdict {
        meta::Audience::verdict(sent, answer)
    }

    /// What the reason of a decision means, and the way out; `None` for what nobody knows.
    pub fn explain(reason: &str) -> Option<&'static str> {
        Some(match reason {
            "answer_lost" | "answer_timeout" => {
                "the platform may have got the last batch; it goes again, which changes nothing \
                 where it has"
            }
            "connect_failed" => {
                "the platform could not be reached; check network, DNS and endpoint"
            }
            "unreadable_answer" => {
                "the answer was none of the platform's, so it comes from something in between; check \
                 endpoint"
            }
            "credential_malformed" => "the credential is no token; correct it",
            "tls_required" => "the credential would travel in clear; set endpoint to https",
            "request_not_built" => "settings and credential make no request; correct them",
            _ => return meta::Audience::explain(reason),
        })
    }
}

/// How the rows of an audience are written, from its settings.
pub fn row_options(audience: &Value) -> Options {
    Options::from_json(audience)
}

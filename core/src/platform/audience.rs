//! Custom audiences: how a platform is told who joins a list of people and who leaves it.
//!
//! Only Meta's are known. A change is idempotent: who is added twice is in once, and who is not
//! there cannot be removed. So whatever may have been lost may go again.

use std::time::Duration;

use serde_json::Value;

use super::meta;
use crate::capture::Options;
use crate::destination::settings::broken;
use crate::destination::{Request, Response, SettingsError, filter};
use crate::pixel::tag;

pub use crate::destination::audience::{Change, Decision, Member, Session, Verdict};

/// Most members that one request speaks of.
pub const BATCH_LIMIT: usize = meta::AUDIENCE_BATCH_LIMIT;

/// How long a session may go on before the rest gets another one, well below the 90 minutes after
/// which Meta forgets it.
pub const SESSION_LIMIT: Duration = Duration::from_secs(60 * 60);

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
        let (_, own) = filter::take(&tag::without(destination), known.takes)?;
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
            "answer_lost" | "answer_timeout" | "answer_repeated" => {
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

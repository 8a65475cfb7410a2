//! What is said of the members of a custom audience, and what its answers mean.

use std::time::Duration;

use super::verdict::Reason;
use crate::audience::PARTS;
use crate::money::Amount;

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

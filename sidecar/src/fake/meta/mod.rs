//! Owns the checks on a request body: what the platform is documented, or was seen, to refuse.
//!
//! Written from the platform's documentation, not from this project's builder, so that the two can
//! disagree. `docs/fake.md` lists every rule with its source; what is stricter than known is in the
//! module documentation of [`super`].

mod app;
mod attribution;
mod click;
mod custom;
mod envelope;
mod event;
mod messaging;
mod processing;
mod shape;
mod user;
mod users;

use super::answer::Refusal;

pub(super) use custom::CURRENCIES;
pub(super) use envelope::{Encoding, Envelope};
#[cfg(test)]
pub(super) use user::DIGEST_OF_NOTHING;
pub(super) use users::{Session, Users, out_of_turn};

const DAY: i64 = 86_400;

type Checked<T> = Result<T, Refusal>;

/// The moment of receipt and what is tolerated around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: i64,
    pub(super) max_future: i64,
}

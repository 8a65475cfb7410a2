//! Owns the checks on a request body: what the platform is documented, or was seen, to refuse.
//!
//! Written from the platform's documentation, not from this project's builder, so that the two can
//! disagree. `docs/contributing/standin.md` lists every rule with its source; what is stricter than known is in the
//! module documentation of [`super`].

mod app;
mod attribution;
mod click;
mod clock;
mod custom;
mod envelope;
mod event;
mod messaging;
mod processing;
mod shape;
mod user;
mod users;

pub(super) use clock::Clock;
pub(super) use custom::CURRENCIES;
pub(super) use envelope::{Encoding, Envelope};
#[cfg(test)]
pub(super) use user::DIGEST_OF_NOTHING;
pub(super) use users::{Session, Users, out_of_turn};

//! The rules of pg_capi, shared by the Postgres extension and the sidecar.
//!
//! What must give the same answer in SQL and in the daemon lives here: how an identifier is
//! normalised, what a conversion event holds, what a platform accepts and what its answers mean.
//! Nothing here touches Postgres, the network, a clock or the environment, and no error of this
//! crate ever holds a value that it was given: values may be personal data or secrets.

#![forbid(unsafe_code)]
// What a row, an answer or a setting can bring about is an error that names the rule. An `expect` says
// why nobody can.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic, clippy::unreachable))]

pub mod audience;
pub mod browser;
pub mod capture;
pub mod consent;
pub mod destination;
pub mod event;
pub mod explain;
pub mod field;
pub mod hash;
pub mod identity;
pub mod money;
mod opaque;
pub mod pixel;
pub mod platform;
mod text;
pub mod time;

/// Version of the normalisation rules (`docs/reference/identifiers.md`); stored in every outbox row.
pub const RULES_VERSION: i16 = 1;

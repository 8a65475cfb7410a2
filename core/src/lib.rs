//! The rules of pg_capi, shared by the Postgres extension and the sidecar.
//!
//! What must give the same answer in SQL and in the daemon lives here: how an identifier is
//! normalised, what a conversion event holds, what a platform accepts and what its answers mean.
//! Nothing here touches Postgres, the network, a clock or the environment, and no error of this
//! crate ever holds a value that it was given: values may be personal data or secrets.

#![forbid(unsafe_code)]

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
pub mod pixel;
pub mod time;

/// Version of the normalisation rules (`docs/identifiers.md`); stored in every outbox row.
pub const RULES_VERSION: i16 = 1;

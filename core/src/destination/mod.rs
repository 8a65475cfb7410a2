//! What a destination is, whatever its platform: settings, requests, verdicts, and what all of them
//! can be told. The platforms are in [`platform`](crate::platform).
//!
//! The extension previews with the same code that the sidecar sends with.

pub mod audience;
mod body;
mod contract;
pub(crate) mod event_parts;
pub(crate) mod filter;
pub(crate) mod http_status;
pub(crate) mod reason;
mod request;
pub(crate) mod settings;
mod verdict;
mod version;

pub use body::Body;
pub use contract::{CredentialSlot, Destination, Grant, Spec, expired};
pub use request::{Method, Plan, Request, Unfit};
pub use settings::SettingsError;
pub(crate) use settings::check_endpoint;
pub use verdict::{Decision, Outcome, Reason, Response, Ticket, Verdict};
pub use version::{ApiVersion, Listing, VersionTrouble};

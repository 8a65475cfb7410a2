//! The delivery half of pg_capi: claims batches of events from Postgres, sends them to the ad
//! platforms and records what became of them.
//!
//! What a platform wants and what its answers mean is in `capi-core`; which events go next is in
//! the extension. This crate owns time, network, credentials and the order of the steps.

#![forbid(unsafe_code)]
// What a row, an answer or a setting can bring about is an error that names the rule. An `expect` says
// why nobody can.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic, clippy::unreachable))]

pub mod alert;
pub mod cli;
pub mod config;
pub mod doorbell;
pub mod handshake;
pub mod http;
pub mod maintenance;
pub mod metrics;
pub mod oauth;
pub mod observe;
pub mod queue;
pub mod recording;
pub mod retry;
pub mod systemd;
pub mod telemetry;
pub mod tls;
pub mod vitals;
pub mod watch;
pub mod worker;
pub mod workers;

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

//! Logging setup, and the name of every metric. Lines go to standard error; data goes to standard
//! output.
//!
//! No line holds a payload, identifier, digest or token: fields are ids, counts, codes.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{Log, LogFormat};

/// Starts logging and makes panics tell their place only: their text may quote a value.
pub fn start(log: &Log) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter_fn(is_ours)).with_filter(EnvFilter::new(&log.filter)))
        .try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place = place.as_deref(), "panic");
    }));
}

/// Libraries may warn; their finer lines show statements with their arguments, and headers.
fn is_ours(line: &Metadata<'_>) -> bool {
    line.target().starts_with("capi_") || *line.level() <= Level::WARN
}

/// The name of every metric. Labels are `destination`, `platform`, `outcome` and `class` (of a
/// reason), and hold names and words only: no id, no reason in full, no person.
pub mod names {
    /// Events by how they ended, or `again`.
    pub const EVENTS: &str = "capi_events_total";
    /// Requests by what their answer meant for the batch, and by the class of its reason.
    pub const REQUESTS: &str = "capi_requests_total";
    /// Time from the start of a request to the end of its answer, or to giving up.
    pub const REQUEST_SECONDS: &str = "capi_request_duration_seconds";
    /// Batches claimed and not yet recorded.
    pub const IN_FLIGHT: &str = "capi_batches_in_flight";
    /// Unix time until which a destination is left alone: throttled, or failing.
    pub const HELD_UNTIL: &str = "capi_destination_held_until_seconds";
    /// 1 while a destination sends, 0 while it is paused or blocked.
    pub const ACTIVE: &str = "capi_destination_active";
    /// 1 while a destination is blocked.
    pub const BLOCKED: &str = "capi_destination_blocked";
    /// How long the oldest event has waited.
    pub const BACKLOG_SECONDS: &str = "capi_backlog_age_seconds";
    /// Batches that are open.
    pub const OPEN_BATCHES: &str = "capi_open_batches";
    /// Unix time at which a credential ends.
    pub const CREDENTIAL_ENDS: &str = "capi_credential_expires_seconds";
    /// Unix time at which the API version of a destination ends.
    pub const VERSION_ENDS: &str = "capi_api_version_ends_seconds";
    /// Captures that have failed and were not made up for.
    pub const CAPTURE_ERRORS: &str = "capi_capture_errors_open";
    /// 1 while the connection to the database that hears the bell is up.
    pub const DATABASE_UP: &str = "capi_database_up";
    /// Calls to the database that failed, by class.
    pub const DATABASE_ERRORS: &str = "capi_database_errors_total";
    /// Runs of the maintenance by outcome.
    pub const MAINTENANCE: &str = "capi_maintenance_runs_total";
    /// Open alerts by kind.
    pub const ALERTS: &str = "capi_alerts_open";
    /// Posts to the receiver of alerts by outcome.
    pub const ALERT_POSTS: &str = "capi_alert_posts_total";
    /// Reloads of the configuration by outcome.
    pub const RELOADS: &str = "capi_reloads_total";
    /// All of them.
    pub const ALL: &[&str] = &[
        EVENTS,
        REQUESTS,
        REQUEST_SECONDS,
        IN_FLIGHT,
        HELD_UNTIL,
        ACTIVE,
        BLOCKED,
        BACKLOG_SECONDS,
        OPEN_BATCHES,
        CREDENTIAL_ENDS,
        VERSION_ENDS,
        CAPTURE_ERRORS,
        DATABASE_UP,
        DATABASE_ERRORS,
        MAINTENANCE,
        ALERTS,
        ALERT_POSTS,
        RELOADS,
    ];
}

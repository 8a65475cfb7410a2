//! Logging setup. Lines go to standard error; data goes to standard output.
//!
//! No line holds a payload, identifier, digest or token: fields are ids, counts, codes.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging and makes panics tell their place only: their text may quote a value.
pub fn start(log: &Log) {
    let filter = EnvFilter::new(&log.filter);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place = place.as_deref(), "panic");
    }));
}

//! Logging setup. Lines go to standard error; data goes to standard output.
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

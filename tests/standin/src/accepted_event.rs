//! Owns what is kept of one event that a platform took.

use serde_json::value::RawValue;

use super::decimal::Decimal;

/// One event that passed every check: what the log keeps of it.
#[derive(Debug)]
pub(super) struct AcceptedEvent {
    pub(super) raw: Box<RawValue>,
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) money: Option<(String, Decimal)>,
    /// The page whose advertisement led to the conversation, where the event names its click.
    pub(super) page: Option<String>,
    /// What makes it a copy of another one; none where the platform compares nothing.
    pub(super) sameness: Option<Sameness>,
}

/// What the platform goes by to find copies within one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sameness {
    /// Equal for copies.
    pub(super) key: String,
    /// For how long after the first one, in microseconds.
    pub(super) window_us: i64,
}

/// Two days, within which most platforms drop copies.
pub(super) const TWO_DAYS_US: i64 = 48 * 3600 * 1_000_000;

impl Sameness {
    /// Copies share all parts, and come within the window after the first one.
    pub(super) fn of(parts: &[&str], window_us: i64) -> Self {
        Self { key: parts.join("\u{1f}"), window_us }
    }
}

//! Points in time as both halves exchange them: whole microseconds since 1970 in UTC.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Microseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// The text is not a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a point in time with its offset from UTC")]
pub struct NotATimestamp;

impl Timestamp {
    /// Parses ISO 8601 with an offset, as `to_jsonb` writes a `timestamptz`.
    ///
    /// Text without an offset is refused: it could mean any of 26 hours.
    pub fn parse(text: &str) -> Result<Self, NotATimestamp> {
        let text = text.trim().replacen(' ', "T", 1);
        let moment = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| NotATimestamp)?;
        i64::try_from(moment.unix_timestamp_nanos() / 1_000).map(Self).map_err(|_| NotATimestamp)
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The day in UTC.
    pub fn date(self) -> Option<time::Date> {
        OffsetDateTime::from_unix_timestamp(self.seconds()).ok().map(OffsetDateTime::date)
    }

    /// ISO 8601 in UTC, as far as there are digits: `2026-09-21T16:30:05.75Z`.
    pub fn rfc3339(self) -> String {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000);
        moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
    }

    /// Microseconds from `earlier` to `self`; negative when `earlier` is later.
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_to_jsonb_writes() {
        let expected = Timestamp(1_700_000_000_123_456);
        for text in ["2023-11-14T22:13:20.123456+00:00", "2023-11-14T23:13:20.123456+01:00"] {
            assert_eq!(Timestamp::parse(text), Ok(expected), "{text}");
        }
        assert_eq!(expected.seconds(), 1_700_000_000);
        assert_eq!(Timestamp(-1).seconds(), -1);
        assert_eq!(expected.rfc3339(), "2023-11-14T22:13:20.123456Z");
    }

    #[test]
    fn refuses_a_time_without_zone() {
        for text in ["2023-11-14T22:13:20", "2023-11-14", "", "now"] {
            assert_eq!(Timestamp::parse(text), Err(NotATimestamp), "{text}");
        }
    }
}

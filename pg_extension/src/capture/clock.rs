//! Postgres' timestamps as core's.

use capi_core::time::Timestamp;
use pgrx::pg_sys;

/// Microseconds between 1970 and 2000, where Postgres begins to count.
const EPOCH_DIFFERENCE_US: i64 = 946_684_800_000_000;

/// The time of a Postgres `timestamptz`.
pub(crate) fn from_postgres(raw: pg_sys::TimestampTz) -> Timestamp {
    Timestamp(raw.saturating_add(EPOCH_DIFFERENCE_US))
}

/// The `timestamptz` of a time.
pub(crate) fn to_postgres(time: Timestamp) -> pg_sys::TimestampTz {
    time.0.saturating_sub(EPOCH_DIFFERENCE_US)
}

/// The time now.
pub(crate) fn now() -> Timestamp {
    // SAFETY: takes nothing and reads the system's clock.
    from_postgres(unsafe { pg_sys::GetCurrentTimestamp() })
}

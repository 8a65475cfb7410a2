//! Settings of the extension.

use std::time::Duration;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

/// `capi.capture`: whether triggers capture. Superusers switch it, per role, database or cluster,
/// without a lock on any source.
static CAPTURE: GucSetting<bool> = GucSetting::<bool>::new(true);

/// `capi.lock_timeout`: how long capture waits for a lock before it gives up and lets the order
/// commit, in milliseconds.
static LOCK_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(100);

/// `capi.time_budget`: how long the captures of one transaction may take before the rest of them is
/// put on record instead, in milliseconds; each changed row adds one.
static TIME_BUDGET: GucSetting<i32> = GucSetting::<i32>::new(1_000);

pub(crate) fn register() {
    GucRegistry::define_bool_guc(
        c"capi.capture",
        c"Captures conversions as tracked tables change.",
        c"Off: orders commit and nothing is captured; what was missed is found by a later sweep.",
        &CAPTURE,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"capi.lock_timeout",
        c"How long a capture waits for a lock before the order commits without it.",
        c"The failed capture is on record in capi.capture_error.",
        &LOCK_TIMEOUT,
        1,
        60_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"capi.time_budget",
        c"How long the captures of one transaction may take before the rest is put on record.",
        c"Each changed row adds a millisecond. What runs then is interrupted.",
        &TIME_BUDGET,
        1,
        3_600_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
}

/// Whether triggers capture.
pub(crate) fn capture() -> bool {
    CAPTURE.get()
}

/// How long capture waits for a lock.
pub(crate) fn lock_timeout() -> Duration {
    Duration::from_millis(u64::try_from(LOCK_TIMEOUT.get()).expect("the minimum is 1"))
}

/// How long the captures of one transaction may take, apart from what each row adds.
pub(crate) fn time_budget() -> Duration {
    Duration::from_millis(u64::try_from(TIME_BUDGET.get()).expect("the minimum is 1"))
}

//! Settings of the extension.

use std::time::Duration;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::pg_sys;

/// `capi.capture`: whether triggers capture. Superusers switch it, per role, database or cluster,
/// without a lock on any source.
static CAPTURE: GucSetting<bool> = GucSetting::<bool>::new(true);

/// `capi.lock_timeout`: how long capture waits for a lock before it gives up and lets the order
/// commit, in milliseconds.
static LOCK_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(100);

/// `capi.time_budget`: how long the captures of one source in a transaction may take before the rest of them is
/// put on record instead, in milliseconds; each changed row adds one.
static TIME_BUDGET: GucSetting<i32> = GucSetting::<i32>::new(1_000);

/// `capi.superuser_views`: whether views are read whose owner is a superuser, or may do what only few
/// may. Their functions run with these rights, so only a superuser says so.
static SUPERUSER_VIEWS: GucSetting<bool> = GucSetting::<bool>::new(false);

/// `capi.notify_limit`: how full the queue of notifications may be for a commit to wake the sidecar,
/// in per cent. Above it the sidecar finds the event by its safety poll.
static NOTIFY_LIMIT: GucSetting<i32> = GucSetting::<i32>::new(50);

pub(crate) fn register() {
    GucRegistry::define_bool_guc(
        c"capi.superuser_views",
        c"Reads views whose owner is a superuser, or has BYPASSRLS or CREATEROLE.",
        c"Whoever owns a function that such a view calls gets its owner's rights.",
        &SUPERUSER_VIEWS,
        GucContext::Suset,
        GucFlags::default(),
    );
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
        c"How long the captures of one source in a transaction may take before the rest is put on record.",
        c"Each changed row adds a millisecond. What runs then is interrupted.",
        &TIME_BUDGET,
        1,
        3_600_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"capi.notify_limit",
        c"How full, in per cent, the queue of notifications may be for a commit to wake the sidecar.",
        c"Above it the sidecar finds the event by its safety poll: a full queue makes commits fail.",
        &NOTIFY_LIMIT,
        0,
        100,
        GucContext::Suset,
        GucFlags::default(),
    );
    // A name that is none would be taken for somebody else's setting, and nothing would be switched.
    // SAFETY: the prefix is static; what was set under other names until now is forgotten with a warning.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"capi".as_ptr()) };
}

/// How full the queue of notifications may be for a commit to ring, from 0 to 1.
pub(crate) fn notify_limit() -> f64 {
    f64::from(NOTIFY_LIMIT.get()) / 100.0
}

/// Whether triggers capture.
pub(crate) fn capture() -> bool {
    CAPTURE.get()
}

/// Whether views of superusers are read.
pub(crate) fn superuser_views() -> bool {
    SUPERUSER_VIEWS.get()
}

/// How long capture waits for a lock.
pub(crate) fn lock_timeout() -> Duration {
    milliseconds(&LOCK_TIMEOUT)
}

/// How long the captures of one transaction may take, apart from what each row adds.
pub(crate) fn time_budget() -> Duration {
    milliseconds(&TIME_BUDGET)
}

/// The smallest value of each is 1.
fn milliseconds(setting: &GucSetting<i32>) -> Duration {
    Duration::from_millis(u64::from(setting.get().unsigned_abs()))
}

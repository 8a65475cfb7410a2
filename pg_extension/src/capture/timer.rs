//! Interrupts capture when its time is over, in the middle of a statement: a statement timeout
//! does not cover deferred triggers.
//!
//! The timer raises the interrupt of a cancelled query; whether it or somebody else did, is kept.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use pgrx::prelude::*;

type Handler = unsafe extern "C-unwind" fn();

// `utils/timeout.h`, the same from Postgres 9.3 on; pgrx has no binding of it.
unsafe extern "C-unwind" {
    fn RegisterTimeout(id: c_int, handler: Handler) -> c_int;
    fn enable_timeout_after(id: c_int, delay_ms: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
}

/// Any number from `USER_TIMEOUT` on asks for a free one; the first is 12 or 13, by version.
const ANY_FREE: c_int = 21;

/// Postgres' number of our timer, or this.
const NONE: c_int = -1;

static TIMER: AtomicI32 = AtomicI32::new(NONE);
static FIRED: AtomicBool = AtomicBool::new(false);

/// Runs in a signal handler: sets flags only.
unsafe extern "C-unwind" fn fire() {
    // SAFETY: flags of the backend that are made for signal handlers. A cancel that is pending
    // already is the user's and stays his.
    unsafe {
        if pg_sys::QueryCancelPending == 0 {
            FIRED.store(true, Ordering::Relaxed);
            pg_sys::QueryCancelPending = 1;
            pg_sys::InterruptPending = 1;
            pg_sys::SetLatch(pg_sys::MyLatch);
        }
    }
}

/// Runs `work`, which is interrupted by an error when `limit` is over. The answer says whether it
/// was: then the error is ours and not the user's.
pub(super) fn limited<T>(limit: Duration, work: impl FnOnce() -> T) -> (T, bool) {
    // Zero would switch a timer on that never fires.
    let milliseconds = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX).max(1);
    FIRED.store(false, Ordering::Relaxed);
    // SAFETY: the handler is a function of this library, which is never unloaded; a backend
    // registers it once.
    unsafe {
        if TIMER.load(Ordering::Relaxed) == NONE {
            TIMER.store(RegisterTimeout(ANY_FREE, fire), Ordering::Relaxed);
        }
        enable_timeout_after(TIMER.load(Ordering::Relaxed), milliseconds);
    }
    // `work` ends here whatever happens in it: it catches errors in a subtransaction.
    let result = work();
    // SAFETY: as above. An interrupt that came too late to be noticed must not hit the order.
    unsafe {
        disable_timeout(TIMER.load(Ordering::Relaxed), false);
        if FIRED.load(Ordering::Relaxed) {
            pg_sys::QueryCancelPending = 0;
        }
    }
    (result, FIRED.swap(false, Ordering::Relaxed))
}

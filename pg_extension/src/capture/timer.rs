//! Interrupts capture when its time is over, in the middle of a statement: a statement timeout
//! does not cover deferred triggers.
//!
//! The timer raises the interrupt of a cancelled query, again and again until the work ends: a view's
//! function may catch it. Whether the timer or somebody else did it, is kept.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use pgrx::prelude::*;

type Handler = unsafe extern "C-unwind" fn();

// `utils/timeout.h`, the same from Postgres 15 on; pgrx has no binding of it.
unsafe extern "C-unwind" {
    fn RegisterTimeout(id: c_int, handler: Handler) -> c_int;
    fn enable_timeout_every(id: c_int, first: pg_sys::TimestampTz, delay_ms: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
}

/// Any number from `USER_TIMEOUT` on asks for a free one; the first is 12 or 13, by version.
const ANY_FREE: c_int = 21;

/// Pause between two interrupts, in milliseconds: code that catches the first one gets another.
const AGAIN: c_int = 10;

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
    let microseconds = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
    FIRED.store(false, Ordering::Relaxed);
    // SAFETY: the handler is a function of this library, which is never unloaded; a backend registers it
    // once. None of these raises an error: what goes wrong in them ends the backend.
    unsafe {
        if TIMER.load(Ordering::Relaxed) == NONE {
            TIMER.store(RegisterTimeout(ANY_FREE, fire), Ordering::Relaxed);
        }
        let first = pg_sys::GetCurrentTimestamp().saturating_add(microseconds);
        enable_timeout_every(TIMER.load(Ordering::Relaxed), first, AGAIN);
    }
    let running = Running;
    let result = work();
    drop(running);
    (result, FIRED.swap(false, Ordering::Relaxed))
}

/// The timer runs; an error ends it as well, or it would interrupt what comes after.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: a timer that was registered, and flags of this backend, which has one thread: the
        // handler runs before or after this and not beside it. An interrupt that came too late to be
        // noticed must not hit the order.
        unsafe {
            disable_timeout(TIMER.load(Ordering::Relaxed), false);
            if FIRED.load(Ordering::Relaxed) {
                pg_sys::QueryCancelPending = 0;
            }
        }
    }
}

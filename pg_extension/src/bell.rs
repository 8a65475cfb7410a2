//! The doorbell: wakes the sidecar after a commit that captured something, and only when it sleeps.
//!
//! NOTIFY takes a cluster-wide lock through the flush of the commit, so it is the exception. The
//! sidecar holds the bell exclusively while it sleeps. At commit a capturing transaction tries it
//! shared: success means that nobody sleeps and, as the lock lasts to the commit, that nobody can
//! fall asleep past the uncommitted row. Failure means that somebody sleeps: one of those who find
//! this out notifies (the ringer), the others leave a mark (at the gate, shared) that keeps the sidecar from
//! sleeping again before they have committed.

use std::cell::Cell;
use std::ffi::c_char;

use pgrx::direct_function_call;
use pgrx::prelude::*;

use crate::gucs;
use crate::lock::{Lock, Mode, Until};

thread_local! {
    /// Whether this transaction has captured something.
    static CAPTURED: Cell<bool> = const { Cell::new(false) };
}

unsafe extern "C-unwind" {
    // Not among pgrx's bindings. Stable since PostgreSQL 9.0.
    fn Async_Notify(channel: *const c_char, payload: *const c_char);
}

/// Notes that this transaction has captured something.
pub(crate) fn mark() {
    CAPTURED.set(true);
}

/// Forgets the mark at the end of a transaction.
pub(crate) fn reset() {
    CAPTURED.set(false);
}

/// Rings, if the transaction captured something and the sidecar sleeps. Called from the pre-commit
/// callback: PREPARE TRANSACTION does not come here, so that it never fails for a NOTIFY.
pub(crate) fn ring() {
    if !CAPTURED.get() {
        return;
    }
    if try_lock(Lock::Bell, Mode::Shared) {
        return;
    }
    // Without a mark at the gate nobody waits for this commit, so it must ring by itself.
    let rings = !try_lock(Lock::Gate, Mode::Shared) || try_lock(Lock::Ringer, Mode::Exclusive);
    if rings && queue_has_room() {
        // SAFETY: in a transaction, before PreCommit_Notify; both strings are static; the boundary
        // turns a Postgres error into a panic that unwinds.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                Async_Notify(c"capi".as_ptr(), c"".as_ptr());
            });
        }
    }
}

fn try_lock(lock: Lock, mode: Mode) -> bool {
    lock.try_take(0, mode, Until::Commit)
}

/// Whether the queue of notifications has room: a full one makes commits fail, and somebody who
/// listens in a transaction that does not end can fill it. Then the safety poll must do.
fn queue_has_room() -> bool {
    // SAFETY: the function takes nothing and returns a float8, never null.
    let usage: Option<f64> =
        unsafe { direct_function_call(pg_sys::pg_notification_queue_usage, &[]) };
    usage.is_some_and(|usage| usage <= gucs::notify_limit())
}

//! The doorbell: wakes the sidecar after a commit that captured something, and only when it sleeps.
//!
//! NOTIFY takes a cluster-wide lock through the flush of the commit, so it is the exception. The
//! sidecar holds lock 1 exclusively while it sleeps. At commit a capturing transaction tries it
//! shared: success means that nobody sleeps and, as the lock lasts to the commit, that nobody can
//! fall asleep past the uncommitted row. Failure means that somebody sleeps: one of those who find
//! this out notifies (lock 3), the others leave a mark (lock 2, shared) that keeps the sidecar from
//! sleeping again before they have committed.

use std::cell::Cell;
use std::ffi::c_char;

use pgrx::direct_function_call;
use pgrx::prelude::*;

thread_local! {
    /// Whether this transaction has captured something.
    static CAPTURED: Cell<bool> = const { Cell::new(false) };
}

/// The lock that the sleeping sidecar holds.
const BELL: i32 = 1;
/// Held shared by writers that rely on another one's ringing.
const GATE: i32 = 2;
/// Held by the one writer that rings.
const RINGER: i32 = 3;

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
    // SAFETY: a look-up by a constant, valid name; missing is reported as InvalidOid.
    let schema = unsafe { pg_sys::get_namespace_oid(c"capi".as_ptr(), true) };
    if schema == pg_sys::InvalidOid {
        return;
    }
    let key = schema.to_u32().cast_signed();
    if try_lock(key, BELL, Mode::Shared) {
        return;
    }
    // Without a mark at the gate nobody waits for this commit, so it must ring by itself.
    if !try_lock(key, GATE, Mode::Shared) || try_lock(key, RINGER, Mode::Exclusive) {
        // SAFETY: in a transaction, before PreCommit_Notify; both strings are static; the boundary
        // turns a Postgres error into a panic that unwinds.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                Async_Notify(c"capi".as_ptr(), c"".as_ptr());
            });
        }
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Shared,
    Exclusive,
}

fn try_lock(key: i32, which: i32, mode: Mode) -> bool {
    let args = &[key.into_datum(), which.into_datum()];
    // SAFETY: both functions take two int4 and return a boolean, never null.
    let got: Option<bool> = unsafe {
        match mode {
            Mode::Shared => {
                direct_function_call(pg_sys::pg_try_advisory_xact_lock_shared_int4, args)
            }
            Mode::Exclusive => direct_function_call(pg_sys::pg_try_advisory_xact_lock_int4, args),
        }
    };
    got.unwrap_or(false)
}

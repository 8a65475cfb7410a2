//! The keys that the running transaction has changed, in backend memory.
//!
//! Keys of a rolled-back savepoint may stay: the view no longer shows their rows. What must be
//! right is when a deferred event is needed: if the savepoint that queued it is rolled back, the
//! next key must queue another one.

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem;

use pgrx::prelude::*;

use crate::{bell, gucs};

/// The changed keys of one source.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    /// Keys of one integer column.
    Integers(Vec<i64>),
    /// Other keys, as the texts of their columns.
    Texts(Vec<Vec<String>>),
}

#[derive(Default)]
struct Pending {
    /// The subtransaction whose end decides over the queued event; none when none is queued.
    armed: Option<pg_sys::SubTransactionId>,
    sources: Vec<(i32, Keys)>,
}

thread_local! {
    static PENDING: RefCell<Pending> = const {
        RefCell::new(Pending { armed: None, sources: Vec::new() })
    };
}

pub(super) fn note_integer(source: i32, key: i64) -> bool {
    note(
        source,
        || Keys::Integers(Vec::new()),
        |keys| {
            if let Keys::Integers(keys) = keys
                && keys.last() != Some(&key)
            {
                keys.push(key);
            }
        },
    )
}

pub(super) fn note_texts(source: i32, key: Vec<String>) -> bool {
    note(
        source,
        || Keys::Texts(Vec::new()),
        |keys| {
            if let Keys::Texts(keys) = keys
                && keys.last() != Some(&key)
            {
                keys.push(key);
            }
        },
    )
}

/// Adds to a source's keys; true when a deferred event must be queued for them.
fn note(source: i32, empty: impl FnOnce() -> Keys, add: impl FnOnce(&mut Keys)) -> bool {
    if !gucs::capture() {
        return false;
    }
    PENDING.with_borrow_mut(|pending| {
        let known = pending.sources.iter().position(|(s, _)| *s == source);
        let at = known.unwrap_or_else(|| {
            pending.sources.push((source, empty()));
            pending.sources.len() - 1
        });
        add(&mut pending.sources[at].1);
        let first = pending.armed.is_none();
        if first {
            // SAFETY: a WHEN clause is evaluated inside a transaction.
            pending.armed = Some(unsafe { pg_sys::GetCurrentSubTransactionId() });
        }
        first
    })
}

/// Takes all keys. What is noted from here on queues an event of its own.
pub(super) fn take() -> Vec<(i32, Keys)> {
    PENDING.with_borrow_mut(|pending| {
        pending.armed = None;
        mem::take(&mut pending.sources)
    })
}

pub(super) fn register() {
    // SAFETY: called once per backend from _PG_init; the callbacks live as long as the library.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction), std::ptr::null_mut());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_transaction(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::{
        XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PREPARE,
    };
    match event {
        XACT_EVENT_PRE_COMMIT => bell::ring(),
        XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE => {
            bell::reset();
            PENDING.with_borrow_mut(|pending| *pending = Pending::default());
        }
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    ending: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
    _arg: *mut c_void,
) {
    use pg_sys::SubXactEvent::{SUBXACT_EVENT_ABORT_SUB, SUBXACT_EVENT_COMMIT_SUB};
    PENDING.with_borrow_mut(|pending| {
        if pending.armed != Some(ending) {
            return;
        }
        match event {
            SUBXACT_EVENT_COMMIT_SUB => pending.armed = Some(parent),
            // The queued event is gone, and so is every change since: all came after it.
            SUBXACT_EVENT_ABORT_SUB => *pending = Pending::default(),
            _ => {}
        }
    });
}

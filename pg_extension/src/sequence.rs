//! Numbers from a sequence without a trace in the session: `nextval` of ours in the order's transaction
//! would be what `lastval()` of the application answers from. So the sequence is moved on by hand,
//! under the lock of its page as `nextval` does it: the log runs ahead of the page, so that most moves
//! write none. After a crash the numbers in between are skipped, as `nextval` skips them.

use std::ffi::CStr;

use pgrx::prelude::*;

/// A sequence's row as it stands on its page: `FormData_pg_sequence_data`.
#[repr(C)]
struct Row {
    last_value: i64,
    /// Numbers after the last one that the log has already given away.
    log_count: i64,
    is_called: bool,
}

/// Numbers that are logged ahead, as `nextval` does.
const AHEAD: i64 = 32;

/// Takes this many numbers from a sequence of the schema; returns the first.
pub(crate) fn draw(name: &CStr, count: usize) -> i64 {
    advance(name, count, AHEAD)
}

/// Adds to a sequence of the schema that counts: not even a crash may add to it.
pub(crate) fn add(name: &CStr, count: usize) {
    advance(name, count, 0);
}

fn advance(name: &CStr, count: usize, ahead: i64) -> i64 {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    // SAFETY: look-ups by valid names; what is missing is InvalidOid.
    let sequence = unsafe {
        let schema = pg_sys::get_namespace_oid(c"capi".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    // SAFETY: a look-up in the system cache; of what is missing the kind is zero.
    if unsafe { pg_sys::get_rel_relkind(sequence) } as u8 != pg_sys::RELKIND_SEQUENCE {
        pgrx::error!("a sequence of the schema capi is missing");
    }
    // SAFETY: an existing sequence has one page with one row, of the fixed form that `Row` has: the
    // type of the relation was compared above and is kept by the lock, which stays to the end of the
    // transaction. The page is read and changed under its exclusive lock.
    unsafe {
        let relation =
            pg_sys::relation_open(sequence, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        let buffer = pg_sys::ReadBuffer(relation, 0);
        pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE as i32);
        let page = pg_sys::BufferGetPage(buffer);
        let row = row_of(page);
        let first = (*row).last_value.saturating_add(i64::from((*row).is_called));
        let last = first.checked_add(count - 1);
        if let Some(last) = last {
            let mut log_count = (*row).log_count - count;
            // The first change after a checkpoint is logged: the page may have been written to disk
            // as it is now, and what replays the log starts there.
            if log_count < 0 || !(*row).is_called || logged_before_checkpoint(page) {
                log_count = last.saturating_add(ahead) - last;
                log_move(relation, buffer, last + log_count);
            }
            *row = Row { last_value: last, log_count, is_called: true };
            pg_sys::MarkBufferDirty(buffer);
        }
        pg_sys::UnlockReleaseBuffer(buffer);
        pg_sys::relation_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        if last.is_none() {
            pgrx::error!("a sequence of the schema capi has reached its end");
        }
        first
    }
}

/// The row of a sequence's page.
///
/// # Safety
///
/// The page is a sequence's and locked.
unsafe fn row_of(page: pg_sys::Page) -> *mut Row {
    // SAFETY: the page has one row, behind a header that says its own length.
    unsafe {
        let item = pg_sys::PageGetItemId(page, pg_sys::FirstOffsetNumber);
        let tuple = pg_sys::PageGetItem(page, item).cast::<pg_sys::HeapTupleHeaderData>();
        tuple.cast::<u8>().add(usize::from((*tuple).t_hoff)).cast()
    }
}

/// # Safety
///
/// The page is locked.
unsafe fn logged_before_checkpoint(page: pg_sys::Page) -> bool {
    // SAFETY: every page begins with this header.
    let at = unsafe { (*page.cast::<pg_sys::PageHeaderData>()).pd_lsn };
    let at = u64::from(at.xlogid) << 32 | u64::from(at.xrecoff);
    // SAFETY: reads shared memory of the server under its own lock.
    at <= unsafe { pg_sys::GetRedoRecPtr() }
}

/// Logs, and leaves on the page, that all numbers up to this one are given away. The whole page is
/// logged: it is small but for a hole, and what was changed without a log is not on its copies.
///
/// # Safety
///
/// The buffer is the sequence's page, and locked exclusively.
unsafe fn log_move(relation: pg_sys::Relation, buffer: pg_sys::Buffer, last_value: i64) {
    // SAFETY: the change is made in a copy of the page; finishing writes page and log as one.
    unsafe {
        let log = pg_sys::GenericXLogStart(relation);
        let full = pg_sys::GENERIC_XLOG_FULL_IMAGE as i32;
        let copy = pg_sys::GenericXLogRegisterBuffer(log, buffer, full);
        *row_of(copy) = Row { last_value, log_count: 0, is_called: true };
        pg_sys::GenericXLogFinish(log);
    }
}

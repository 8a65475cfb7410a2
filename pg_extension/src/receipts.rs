//! Receipts of a whole batch, written as COPY writes rows: a page at a time and with one record per page
//! in the WAL, where an INSERT has one per row.

#![expect(clippy::too_many_arguments, reason = "a row has its columns")]

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{CStr, c_int, c_void};

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::batch::{Reading, each_event, reading};
use crate::error::all_given;

/// The columns of `capi.receipt` that are written; the reason stays null.
const COLUMNS: [&CStr; 8] = [
    c"event",
    c"captured_at",
    c"attempt",
    c"settled_at",
    c"destination",
    c"status",
    c"attempts",
    c"possible_duplicate",
];

/// So many rows at a time: Postgres notes each of a COPY's rows in a list that it searches from the
/// beginning for each.
const ROWS: usize = 250;

thread_local! {
    static CAPTURED: Reading = const { reading!("o.id, o.captured_at", &[pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID]) };
    /// What COPY reads, and how much of it was read. Its callback takes no argument.
    static SOURCE: RefCell<(Vec<u8>, usize)> = const { RefCell::new((Vec::new(), 0)) };
}

/// Writes one receipt for each settled event of a batch, all alike; how many. The batch's events were
/// captured between these times. A receipt that is there already is an error, as of an INSERT.
#[pg_extern(volatile, name = "_write_receipts")]
fn write_receipts(
    receipts: pg_sys::Oid,
    events: Vec<Option<i64>>,
    settled: Vec<Option<i64>>,
    captured_from: TimestampWithTimeZone,
    captured_to: TimestampWithTimeZone,
    attempt: i64,
    settled_at: TimestampWithTimeZone,
    destination: i32,
    status: &str,
    attempts: i16,
    possible_duplicate: bool,
) -> i64 {
    let (events, settled) = (all_given(events, "events"), all_given(settled, "settled"));
    let settled = if settled == events { events } else { common(&events, settled) };
    let mut found = Vec::with_capacity(settled.len());
    let read = each_event(&CAPTURED, &settled, (captured_from, captured_to), |event, row| {
        // Part of the key, so never null.
        found.extend(row.get::<TimestampWithTimeZone>(1).map(|at| (event, at.into_inner())));
        true
    });
    read.unwrap_or_else(|error| pgrx::error!("events could not be read: {error}"));

    let mut same = Vec::with_capacity(64);
    let mut field = |bytes: &[u8]| {
        // A text of Postgres' has at most a gigabyte.
        let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        same.extend_from_slice(&length.to_be_bytes());
        same.extend_from_slice(bytes);
    };
    field(&attempt.to_be_bytes());
    field(&settled_at.into_inner().to_be_bytes());
    field(&destination.to_be_bytes());
    field(status.as_bytes());
    field(&attempts.to_be_bytes());
    field(&[u8::from(possible_duplicate)]);
    let mut written = 0;
    for some in found.chunks(ROWS) {
        // The header of COPY's binary format: signature, flags, length of an extension.
        let mut rows = Vec::with_capacity(64 + (2 + 2 * 12 + same.len()) * some.len());
        rows.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
        rows.extend_from_slice(&[0; 8]);
        for (event, captured) in some {
            rows.extend_from_slice(&8_i16.to_be_bytes());
            for wide in [event, captured] {
                rows.extend_from_slice(&8_i32.to_be_bytes());
                rows.extend_from_slice(&wide.to_be_bytes());
            }
            rows.extend_from_slice(&same);
        }
        rows.extend_from_slice(&(-1_i16).to_be_bytes());
        SOURCE.set((rows, 0));
        // SAFETY: the calls that a COPY of this relation would make. What an error leaves open, its
        // (sub)transaction closes.
        written += unsafe { copy(receipts) };
    }
    SOURCE.set((Vec::new(), 0));
    i64::try_from(written).unwrap_or(i64::MAX)
}

/// Those of the settled ones that the batch has.
fn common(events: &[i64], mut settled: Vec<i64>) -> Vec<i64> {
    let events: HashSet<i64> = events.iter().copied().collect();
    settled.retain(|event| events.contains(event));
    settled.sort_unstable();
    settled.dedup();
    settled
}

/// # Safety
/// `SOURCE` holds rows of the columns above in COPY's binary format.
unsafe fn copy(receipts: pg_sys::Oid) -> u64 {
    let lock = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: the relation is open, and locked, for as long as it is used.
    unsafe {
        // COPY itself looks at rights before it comes here.
        let may = pg_sys::pg_class_aclcheck(
            receipts,
            pg_sys::GetUserId(),
            pg_sys::ACL_INSERT as pg_sys::AclMode,
        );
        if may != pg_sys::AclResult::ACLCHECK_OK {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                "permission denied for the table of receipts"
            );
        }
        let relation = pg_sys::table_open(receipts, lock);
        let parse = pg_sys::make_parsestate(std::ptr::null_mut());
        pg_sys::addRangeTableEntryForRelation(
            parse,
            relation,
            lock,
            std::ptr::null_mut(),
            false,
            false,
        );
        let text =
            |text: &CStr| pg_sys::makeString(pg_sys::pstrdup(text.as_ptr())).cast::<c_void>();
        let mut columns = std::ptr::null_mut();
        for column in COLUMNS {
            columns = pg_sys::lappend(columns, text(column));
        }
        let binary =
            pg_sys::makeDefElem(pg_sys::pstrdup(c"format".as_ptr()), text(c"binary").cast(), -1);
        let options = pg_sys::lappend(std::ptr::null_mut(), binary.cast());
        let state = pg_sys::BeginCopyFrom(
            parse,
            relation,
            std::ptr::null_mut(),
            std::ptr::null(),
            false,
            Some(source),
            columns,
            options,
        );
        let written = pg_sys::CopyFrom(state);
        pg_sys::EndCopyFrom(state);
        pg_sys::free_parsestate(parse);
        pg_sys::table_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        written
    }
}

/// Gives COPY its next bytes.
#[pg_guard]
unsafe extern "C-unwind" fn source(out: *mut c_void, _least: c_int, most: c_int) -> c_int {
    SOURCE.with_borrow_mut(|(bytes, read)| {
        let rest = bytes.get(*read..).unwrap_or_default();
        let next = rest.get(..usize::try_from(most).unwrap_or_default()).unwrap_or(rest);
        // SAFETY: COPY has room for as many bytes as it asks for, and these are no more.
        unsafe { out.cast::<u8>().copy_from_nonoverlapping(next.as_ptr(), next.len()) };
        *read += next.len();
        c_int::try_from(next.len()).unwrap_or(most)
    })
}

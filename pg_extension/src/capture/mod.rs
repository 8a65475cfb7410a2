//! Capture: from changed keys to outbox rows, in the order's own transaction.
//!
//! Row triggers note keys in backend memory (`pending.rs`). One deferred event per transaction
//! drains them all, set-based and in chunks (`drain.rs`): the view's rows are read as the view's
//! owner (`source.rs`, `guard.rs`), normalised by `capi-core`, and written as the schema's owner
//! (`write.rs`). The checkout wins: what fails is rolled back to a subtransaction and put on
//! record, and the order commits.

use pgrx::prelude::*;

pub(crate) mod clock;
mod drain;
pub(crate) mod guard;
mod pending;
mod source;
mod timer;
mod write;

/// Registers the callbacks of this module, once per backend.
pub(crate) fn register() {
    pending::register();
    source::register();
}

/// Notes a key; true for the first of a transaction only. Called by the WHEN clause of the triggers.
#[pg_extern(volatile, name = "_note")]
fn note_integer(source: i32, key: i64) -> bool {
    pending::note_integer(source, key)
}

/// Notes a key that is no integer or has several columns.
#[pg_extern(volatile, name = "_note")]
fn note_texts(source: i32, key: Vec<Option<String>>) -> bool {
    // A null is no key: of `also` triggers whose row belongs to no order.
    match key.into_iter().collect() {
        Some(key) => pending::note_texts(source, key),
        None => false,
    }
}

/// Captures the conversions of all noted keys. The deferred trigger function.
#[pg_trigger]
fn _capture<'a>(
    _trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, PgTriggerError> {
    drain::drain();
    // The result of an AFTER trigger is ignored.
    Ok(None::<PgHeapTuple<'a, AllocatedByPostgres>>)
}

/// Captures one row of a source and rolls it back; returns what went wrong, or null.
#[pg_extern(volatile, name = "_trial")]
fn trial(source: i32) -> Option<String> {
    drain::trial(source)
}

/// Tells every backend, at commit, to read the sources anew.
#[pg_extern(volatile, name = "_forget_plans")]
fn forget_plans() {
    source::invalidate_everywhere();
}

//! Capture: from changed keys to outbox rows, in the order's own transaction.
//!
//! Row triggers note keys in backend memory (`pending.rs`). One deferred event per transaction
//! drains them all, set-based and in chunks (`drain.rs`): the view's rows are read as the view's
//! owner (`source.rs`, `guard.rs`), normalised by `capi-core`, and written as the schema's owner
//! (`write.rs`). The checkout wins: what fails is rolled back to a subtransaction and put on
//! record, and the order commits.

use std::time::Duration;

use pgrx::JsonB;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use drain::Tally;
use source::Stretch;

mod audience;
pub(crate) mod clock;
mod consent;
mod drain;
mod emit;
mod forgotten;
pub(crate) mod guard;
pub(crate) mod jsonb;
mod log;
mod pending;
mod source;
mod sweep;
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

/// Puts an event that has no row, or several in an array, into the outbox, and says what became of
/// each. An emitter is named where there are several.
#[pg_extern(volatile, name = "emit")]
fn emit_event(event: Option<JsonB>, source: default!(Option<&str>, "NULL")) -> Option<JsonB> {
    event.map(|JsonB(event)| JsonB(emit::emit(event, source)))
}

/// Captures one row of a source and rolls it back; returns what went wrong, or null.
#[pg_extern(volatile, name = "_trial")]
fn trial(source: i32) -> Option<String> {
    drain::trial(source)
}

/// Captures rows by their keys, whether or not a trigger noted them. Returns numbers of rows: new
/// events, rows that wait for consent, failures, keys that the view does not show.
#[expect(clippy::needless_pass_by_value, reason = "SQL arguments come by value")]
#[pg_extern(volatile, name = "_recapture")]
fn recapture(
    source: i32,
    keys: Vec<String>,
    limit_ms: i64,
) -> TableIterator<
    'static,
    (name!(captured, i64), name!(waiting, i64), name!(failed, i64), name!(vanished, i64)),
> {
    let tally = sweep::recapture(source, &keys, milliseconds(limit_ms));
    let Tally { captured, waiting, failed, vanished } = tally;
    TableIterator::once((count(captured), count(waiting), count(failed), count(vanished)))
}

/// Compares the view's rows of a time with the outbox, at most `page` of them, and captures what is
/// missing. No row where nothing is to be captured: not tracked, or `capi.capture` is off.
/// `last_time` and `last_key` are null when the end was reached, else where to go on.
#[expect(
    clippy::type_complexity,
    clippy::too_many_arguments,
    reason = "the row type and the arguments of an SQL function"
)]
#[pg_extern(volatile, name = "_sweep_page")]
fn sweep_page(
    source: i32,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
    after_time: Option<TimestampWithTimeZone>,
    after_key: Option<&str>,
    page: i32,
    limit_ms: i64,
    insist: bool,
) -> TableIterator<
    'static,
    (
        name!(last_time, Option<TimestampWithTimeZone>),
        name!(last_key, Option<String>),
        name!(scanned, i64),
        name!(missing, i64),
        name!(captured, i64),
        name!(waiting, i64),
        name!(failed, i64),
    ),
> {
    let rows = usize::try_from(page).unwrap_or(1).max(1);
    let stretch = Stretch { since, until, after: after_time.zip(after_key), rows };
    let swept = sweep::page(source, &stretch, milliseconds(limit_ms), insist);
    TableIterator::new(swept.into_iter().map(|swept| {
        let (last_time, last_key) = swept.last.unzip();
        let Tally { captured, waiting, failed, .. } = swept.tally;
        let (scanned, missing) = (count(swept.scanned), count(swept.missing));
        (last_time, last_key, scanned, missing, count(captured), count(waiting), count(failed))
    }))
}

fn milliseconds(limit: i64) -> Duration {
    Duration::from_millis(u64::try_from(limit).unwrap_or(0))
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Reads the view of an audience and writes down who belongs to it, as digests; returns counts.
#[pg_extern(volatile, name = "_audience_read")]
fn audience_read(audience: i32, sync: i64) -> JsonB {
    JsonB(audience::read(audience, sync))
}

/// Reads one row of a view as its owner and forgets it; returns why it cannot be read, or null.
#[pg_extern(stable, name = "_audience_trial")]
fn audience_trial(people: pg_sys::Oid) -> Option<String> {
    audience::trial(people)
}

/// Columns that the view of an audience may have.
#[pg_extern(immutable, parallel_safe, name = "_audience_columns")]
fn audience_columns() -> Vec<&'static str> {
    let columns = capi_core::audience::COLUMNS.iter().copied();
    columns.chain([capi_core::audience::CONSENT_AT]).collect()
}

/// Tells every backend, at commit, to read the sources anew.
#[pg_extern(volatile, name = "_forget_plans")]
fn forget_plans() {
    source::invalidate_everywhere();
}

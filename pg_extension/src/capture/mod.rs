//! Capture: from changed keys to outbox rows, in the order's own transaction.
//!
//! Row triggers note keys in backend memory (`pending.rs`). One deferred event per transaction
//! drains them all, set-based and in chunks (`drain.rs`): the view's rows are read as the view's
//! owner (`source.rs`, `guard.rs`), normalised by `capi-core`, and written as the schema's owner
//! (`write.rs`). The checkout wins: what fails is rolled back to a subtransaction and put on
//! record, and the order commits.

use std::ffi::CStr;
use std::time::Duration;

use pgrx::JsonB;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use crate::error::{Error, all_given, given};
use drain::Tally;
use source::{Place, Stretch};

mod account;
mod audience;
pub(crate) mod clock;
mod consent;
mod drain;
mod emit;
pub(crate) mod fields;
mod forgotten;
pub(crate) mod guard;
pub(crate) mod jsonb;
mod key;
mod log;
mod look;
mod pending;
mod row;
mod source;
mod sweep;
mod timer;
mod write;

/// Registers the callbacks of this module, once per backend.
pub(crate) fn register() {
    pending::register();
    look::register();
    source::register();
}

/// Queues a second look at what this transaction has captured, where there is something to look at.
pub(crate) fn queue_look() {
    look::queue();
}

/// Notes a key; true for the first of its source in a transaction only. Called by the WHEN clause of the triggers.
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

/// Captures the conversions of the noted keys of a source, whose number is the trigger's argument. The
/// deferred trigger function.
#[pg_extern(sql = r#"
create function capi._capture() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#)]
fn _capture(call: pg_sys::FunctionCallInfo) {
    // SAFETY: the data of a trigger that is running, with its relation open and as many arguments as
    // it says, each a C string.
    let (source, table) = unsafe {
        let data = trigger_data(call);
        let trigger = (*data).tg_trigger;
        let source = ((*trigger).tgnargs > 0).then(|| CStr::from_ptr(*(*trigger).tgargs));
        (source.and_then(|source| source.to_str().ok()?.parse().ok()), (*(*data).tg_relation).rd_id)
    };
    if let Some(source) = source {
        drain::drain(source, table);
    }
}

/// Looks again at what this transaction has captured. The trigger function of `capi.second_look`.
#[pg_extern(sql = r#"
create function capi._look_again() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#)]
fn _look_again(call: pg_sys::FunctionCallInfo) {
    // SAFETY: the server hands over a valid call.
    unsafe { trigger_data(call) };
    if look::fired() {
        drain::look_again();
    }
}

/// What a trigger's function is called with; an error where it was called by hand.
///
/// # Safety
///
/// The call is the server's.
unsafe fn trigger_data(call: pg_sys::FunctionCallInfo) -> *mut pg_sys::TriggerData {
    // SAFETY: the context of a call is null or a node.
    unsafe {
        let context = (*call).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
            Error::NotATrigger.raise();
        }
        context.cast()
    }
}

/// Says that a trigger of a source was dropped from a table: what it has noted is captured all the
/// same. Called by the event trigger.
#[pg_extern(volatile, name = "_orphan")]
fn orphan(source: i32, table: pg_sys::Oid) {
    drain::orphan(source, table);
}

/// Puts an event that has no row, or several in an array, into the outbox, and says what became of
/// each. An emitter is named where there are several.
#[pg_extern(volatile, name = "emit")]
fn emit_event(event: Option<jsonb::Json>, source: default!(Option<&str>, "NULL")) -> Option<JsonB> {
    event.map(|jsonb::Json(event)| JsonB(emit::emit(event, source)))
}

/// Captures one row of a source and rolls it back; returns what went wrong, or null.
#[pg_extern(volatile, name = "_trial")]
fn trial(source: i32) -> Option<String> {
    drain::trial(source)
}

/// Captures rows by their keys, whether or not a trigger noted them. Returns numbers of rows: new
/// events, rows that wait for consent, failures, keys that the view does not show; and what keeps
/// the source from being read. A text that is no key of the source is an error where it is `strict`,
/// else left out.
#[pg_extern(volatile, name = "_recapture")]
fn recapture(
    source: i32,
    keys: Vec<Option<String>>,
    limit_ms: i64,
    strict: bool,
) -> TableIterator<
    'static,
    (
        name!(captured, i64),
        name!(waiting, i64),
        name!(failed, i64),
        name!(vanished, i64),
        name!(trouble, Option<String>),
    ),
> {
    let keys = all_given(keys, "keys");
    let (tally, trouble) = match sweep::recapture(source, &keys, milliseconds(limit_ms), strict) {
        Ok(tally) => (tally, None),
        Err(trouble) => (Tally::default(), Some(trouble.text)),
    };
    let Tally { captured, waiting, failed, vanished } = tally;
    TableIterator::once((count(captured), count(waiting), count(failed), count(vanished), trouble))
}

/// Compares the view's rows of a time with the outbox, at most `page` of them, and captures what is
/// missing. No row where nothing is to be captured: not tracked, or `capi.capture` is off.
/// `last_time` and `last_key` say where to go on, `-infinity` key by key; `last_time` is null when
/// the end was reached. `trouble` says what keeps rows from being compared.
#[expect(
    clippy::type_complexity,
    clippy::too_many_arguments,
    reason = "the row type and the arguments of an SQL function"
)]
#[pg_extern(volatile, name = "_sweep_page")]
fn sweep_page(
    source: Option<i32>,
    since: Option<TimestampWithTimeZone>,
    until: Option<TimestampWithTimeZone>,
    after_time: Option<TimestampWithTimeZone>,
    after_key: Option<String>,
    page: Option<i32>,
    limit_ms: Option<i64>,
    insist: Option<bool>,
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
        name!(trouble, Option<String>),
    ),
> {
    let (source, since, until) =
        (given(source, "source"), given(since, "since"), given(until, "until"));
    let rows = usize::try_from(given(page, "page")).unwrap_or(1).max(1);
    let after = after_time.map(|time| match time.is_neg_infinity() {
        true => Place::Key(after_key),
        false => Place::Row(time, after_key),
    });
    let stretch = Stretch { since, until, after, rows };
    let limit = milliseconds(given(limit_ms, "limit_ms"));
    let swept = sweep::page(source, &stretch, limit, insist == Some(true));
    TableIterator::new(swept.into_iter().map(|swept| {
        let (last_time, last_key) = match swept.next {
            Some(Place::Row(time, key)) => (Some(time), key),
            Some(Place::Key(key)) => (Some(TimestampWithTimeZone::negative_infinity()), key),
            None => (None, None),
        };
        let Tally { captured, waiting, failed, .. } = swept.tally;
        let (scanned, missing) = (count(swept.scanned), count(swept.missing));
        let (captured, waiting, failed) = (count(captured), count(waiting), count(failed));
        (last_time, last_key, scanned, missing, captured, waiting, failed, swept.trouble)
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

//! Drains the noted keys: reads, normalises and writes them in chunks. What fails is halved down to
//! the bad key and put on record; the order commits.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use capi_core::capture::{Captured, NO_KEY, capture, is_recordable, key_fault, refusal};
use capi_core::hash::fingerprint;
use capi_core::time::Timestamp;
use pgrx::prelude::*;

use super::account;
use super::clock;
use super::consent;
use super::fields::READING;
use super::forgotten;
use super::guard::{Ending, condition, sqlstate, subtransaction, with_settings};
use super::log::log;
use super::look;
use super::pending::{self, Keys};
use super::source::{self, Source, Word};
use super::timer::limited;
use super::write::{self, Failed, Keyed};
use crate::error::{self, Error, Trouble};
use crate::{bell, gucs, tables};

/// Keys per subtransaction: of those Postgres remembers 64 of a transaction at no cost to others.
pub(super) const CHUNK: usize = 1_000;

/// Rows that are in memory at a time: large enough to be set-based.
const PAGE: usize = 200;

/// What a key adds to the time budget, so that a bulk load is not cut off for its size.
pub(super) const PER_KEY: Duration = Duration::from_millis(1);

/// Captures the conversions of the keys that were noted of a source, if the event comes from a trigger
/// on one of its tables.
pub(super) fn drain(id: i32, table: pg_sys::Oid) {
    source::refresh();
    let is_its_own = match account::is_known(table, id) {
        true => Ok(true),
        false => subtransaction(Ending::Keep, || framed(|| account::speaks_for(table, id))),
    };
    match is_its_own {
        Ok(true) => {
            if let Some(keys) = pending::take(id) {
                let fresh = pending::is_fresh();
                pending::keep(capture_all(vec![(id, keys)], Again::No), fresh);
                look::queue();
            }
        }
        Ok(false) => {
            pending::disarm(id);
            log(&format!("capi: a trigger of source {id} is on a table that is none of it"));
        }
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        Err(failure) => {
            if let Some(keys) = pending::take(id) {
                let failed = failed(&keys, failure.code(), None);
                on_record(id, failed, Instant::now() + gucs::time_budget());
            }
        }
    }
}

/// Captures the given keys; returns them.
fn capture_all(mut noted: Vec<(i32, Keys)>, again: Again) -> Vec<(i32, Keys)> {
    let count: usize = noted.iter().map(|(_, keys)| keys.len()).sum();
    let budget = gucs::time_budget() + PER_KEY * u32::try_from(count).unwrap_or(u32::MAX);
    let deadline = Instant::now() + budget;
    for (source, keys) in &mut noted {
        keys.sort();
        for chunk in keys.chunks(CHUNK) {
            capture_or_halve(*source, &chunk, Effort { deadline, audits: false, again });
        }
    }
    noted
}

/// Looks again at what was captured before the transaction's last change: rows are completed, and
/// events whose rows are no conversions any more are taken back.
pub(super) fn look_again() {
    let early = pending::take_early();
    // Noted and not drained: their event is gone with its trigger, which was dropped since.
    let orphans = pending::take_orphans();
    if early.is_empty() && orphans.is_empty() {
        return;
    }
    source::refresh();
    // SAFETY: as Postgres does for deferred triggers; on error the transaction's end pops it.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    let mut looked_at = capture_all(orphans, Again::No);
    looked_at.extend(capture_all(early, Again::Yes));
    // SAFETY: pops what was pushed above.
    unsafe { pg_sys::PopActiveSnapshot() };
    pending::keep(looked_at, true);
    look::queue();
}

/// A trigger of a source was dropped from a table, and with it the event that it may have queued. The
/// caller queues a second look: not here, since Postgres queues nothing in a restricted operation.
pub(super) fn orphan(id: i32, table: pg_sys::Oid) {
    source::refresh();
    if account::speaks_for(table, id) {
        pending::orphan(id);
    }
}

/// Captures one row of a source and rolls it back; returns what went wrong.
pub(super) fn trial(id: i32) -> Option<String> {
    source::refresh();
    // A row that takes longer is never captured; caches may be cold here.
    let (outcome, late) = limited(gucs::time_budget() * 10, || {
        subtransaction(Ending::Undo, || {
            framed(|| {
                let source = source::get(id)?;
                let key = source.some_key();
                let key = key.unwrap_or_else(|e| pgrx::error!("view cannot be read: {e}"));
                // An empty view: reading no keys still checks names, types and rights.
                let key = key.unwrap_or_else(|| source.no_keys());
                drop(capture_chunk(&source, &key, false, Again::No));
                Some(())
            })
        })
    });
    // What the trial loaded was loaded inside what has been undone.
    source::forget();
    let failure = match outcome {
        Ok(Some(())) => return None,
        Ok(None) => Error::NoSource.raise(),
        Err(failure) => failure,
    };
    if late && failure.is_cancel() {
        return Some("one row took ten times capi.time_budget to read".into());
    }
    if failure.must_not_be_swallowed() {
        failure.rethrow();
    }
    let (code, name) = (sqlstate(failure.code()), condition(failure.code()));
    Some(match failure.harmless_message() {
        Some(message) => format!("SQLSTATE {code} ({name}): {message}"),
        None => format!("SQLSTATE {code} ({name})"),
    })
}

/// How much a capture may cost, and whether it accounts for keys that the view does not show.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    pub(super) deadline: Instant,
    /// For keys that are expected to be in the view, unlike those that a trigger noted.
    pub(super) audits: bool,
    pub(super) again: Again,
}

/// Whether the transaction has captured these keys before, so that events of its own may be out of
/// date.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    No,
    Yes,
}

/// What became of keys, by the number of rows.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    /// New events.
    pub(super) captured: usize,
    /// Rows that wait for consent.
    pub(super) waiting: usize,
    /// Keys whose capture failed.
    pub(super) failed: usize,
    /// Keys that the view does not show; counted by an audit only.
    pub(super) vanished: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.captured += other.captured;
        self.waiting += other.waiting;
        self.failed += other.failed;
        self.vanished += other.vanished;
    }
}

pub(super) fn capture_or_halve(id: i32, keys: &Keys, effort: Effort) -> Tally {
    if let Some((rest, long)) = keys.without_long() {
        return leave_out(id, &rest, &long, effort);
    }
    capture_or_try_again(id, keys, effort, Anew::Allowed)
}

/// Whether a source that has changed while it was read is loaded anew. Once: a view may change itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Anew {
    Allowed,
    Done,
}

fn capture_or_try_again(id: i32, keys: &Keys, effort: Effort, anew: Anew) -> Tally {
    let left = effort.deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        // Not even read: the order has waited long enough.
        return out_of_time(id, keys, effort.deadline);
    }
    clear_marks();
    let (outcome, late) = limited(left, || {
        subtransaction(Ending::Keep, || {
            framed(|| {
                let source = source::get(id).filter(|s| s.tracked)?;
                let (audits, again) = (effort.audits, effort.again);
                let chunk = capture_chunk(&source, keys, audits, again);
                Some((chunk, source.abort))
            })
        })
    });
    match outcome {
        Ok(None) => Tally::default(),
        Ok(Some((chunk, abort))) => {
            if let (true, Some(first)) = (abort, chunk.failed.first()) {
                refuse_order(first);
            }
            if chunk.may_have_open_errors {
                settle(id, chunk.well);
            }
            if !chunk.vanished.is_empty() {
                on_vanished(id, &chunk.vanished);
            }
            let failed = chunk.failed.len();
            on_record(id, chunk.failed, effort.deadline);
            let (captured, waiting) = (chunk.fresh, chunk.waiting);
            Tally { captured, waiting, failed, vanished: chunk.vanished.len() }
        }
        Err(failure) => {
            let (arbitrating, speaking) = (write::was_arbitrating(), consent::was_speaking());
            if late && failure.is_cancel() {
                return out_of_time(id, keys, effort.deadline);
            }
            // A refusal that cannot be written must not be lost, and who asks for REPEATABLE READ
            // expects to try again.
            if failure.must_not_be_swallowed() || speaking && failure.is_of_the_snapshot() {
                failure.rethrow();
            }
            let code = failure.code();
            let trouble = error::take_trouble();
            if anew == Anew::Allowed && source::has_changed(id, trouble) {
                return capture_or_try_again(id, keys, effort, Anew::Done);
            }
            // Another transaction has just written the same event, and under REPEATABLE READ this
            // one cannot see it: it exists.
            let exists = arbitrating && failure.is_of_the_snapshot();
            if exists && keys.len() == 1 {
                return refuse_unseen(id, keys, effort);
            }
            let aborts = !exists && aborts(id);
            // A small table is read as a whole, and the row that cannot be read may be another one.
            let alone = keys.len() == 1 || aborts;
            if alone && failure.is_of_a_row() && !source::is_by_index() {
                return source::by_index(|| capture_or_halve(id, keys, effort));
            }
            if aborts {
                // The message quotes values, and Postgres would log it.
                Error::CaptureFailed { code, condition: condition(code) }.raise();
            }
            match keys.halves() {
                // A withdrawal that somebody holds keeps back its own row only.
                Some((left, right)) if failure.is_of_a_row() || speaking => {
                    let mut tally = capture_or_halve(id, &left, effort);
                    tally.add(&capture_or_halve(id, &right, effort));
                    tally
                }
                _ => {
                    let failed = failed(keys, code, trouble);
                    on_record(id, failed, effort.deadline);
                    Tally { failed: keys.len(), ..Tally::default() }
                }
            }
        }
    }
}

/// Captures keys without those that are too long, which are put on record by their fingerprints.
fn leave_out(id: i32, rest: &Keys, long: &[String], effort: Effort) -> Tally {
    let failed: Vec<Failed> = long
        .iter()
        .map(|key| Failed {
            key: format!("{} bytes, fingerprint {}", key.len(), hash_of(key)),
            event_name: None,
            sqlstate: "22001".to_owned(),
            reason: "key_too_long".to_owned(),
            field: None,
        })
        .collect();
    if let Some(first) = failed.first().filter(|_| aborts(id)) {
        refuse_order(first);
    }
    on_record(id, failed, effort.deadline);
    let mut tally =
        if rest.len() > 0 { capture_or_halve(id, rest, effort) } else { Tally::default() };
    tally.failed += long.len();
    tally
}

/// How the log names a key: a number as it is, a text by a hash, since it may be anything.
fn in_log(key: &str) -> String {
    let is_number = key.len() <= 20 && key.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if is_number { key.to_owned() } else { format!("with fingerprint {}", hash_of(key)) }
}

fn hash_of(key: &str) -> String {
    fingerprint(&[key]).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Forgets what an earlier statement was doing when it failed.
pub(super) fn clear_marks() {
    write::was_arbitrating();
    consent::was_speaking();
    error::take_trouble();
}

/// Takes the word of a row that refuses consent to an event that this transaction cannot see.
fn refuse_unseen(id: i32, keys: &Keys, effort: Effort) -> Tally {
    let left = effort.deadline.saturating_duration_since(Instant::now());
    let (outcome, late) = limited(left, || {
        subtransaction(Ending::Keep, || {
            framed(|| {
                if let Some(source) = source::get(id).filter(|s| s.tracked) {
                    write::refuse(&source, &read(&source, keys, false, Word::Last).events);
                }
            });
        })
    });
    let Err(failure) = outcome else { return Tally::default() };
    if late && failure.is_cancel() {
        return out_of_time(id, keys, effort.deadline);
    }
    if failure.must_not_be_swallowed() || failure.is_of_the_snapshot() {
        failure.rethrow();
    }
    let (code, trouble) = (failure.code(), error::take_trouble());
    if aborts(id) {
        Error::CaptureFailed { code, condition: condition(code) }.raise();
    }
    on_record(id, failed(keys, code, trouble), effort.deadline);
    Tally { failed: keys.len(), ..Tally::default() }
}

fn out_of_time(id: i32, keys: &Keys, deadline: Instant) -> Tally {
    if aborts(id) {
        Error::Refused { field: "row", reason: "time_budget".into() }.raise();
    }
    let late = Trouble { reason: "time_budget", field: None };
    on_record(id, failed(keys, PgSqlErrorCode::ERRCODE_QUERY_CANCELED, Some(late)), deadline);
    Tally { failed: keys.len(), ..Tally::default() }
}

/// What became of a chunk that was not rolled back.
#[derive(Default)]
struct Chunk {
    /// Keys whose events are in the outbox.
    well: Vec<String>,
    /// Rows that broke a rule.
    failed: Vec<Failed>,
    /// New events.
    fresh: usize,
    /// Rows that wait for consent.
    waiting: usize,
    /// Keys that the view does not show, if that is asked for.
    vanished: Vec<String>,
    /// Whether there are captures that failed earlier: most shops have none to search.
    may_have_open_errors: bool,
}

impl Chunk {
    fn add(&mut self, more: Self) {
        self.well.extend(more.well);
        self.failed.extend(more.failed);
        self.fresh += more.fresh;
        self.waiting += more.waiting;
        self.vanished.extend(more.vanished);
        self.may_have_open_errors |= more.may_have_open_errors;
    }
}

/// What the rows of keys come to.
struct Reading {
    at: Timestamp,
    events: Vec<Keyed>,
    /// Rows that broke a rule.
    failed: Vec<Failed>,
    /// What those refuse, by key.
    refusals: Vec<(String, Vec<String>)>,
    /// Rows that wait for consent.
    waiting: usize,
    /// Keys that the view does not show, if that is asked for.
    vanished: Vec<String>,
}

/// Reads and normalises.
fn read(source: &Source, keys: &Keys, audits: bool, word: Word) -> Reading {
    let rows = source.read(keys, word).unwrap_or_else(|e| pgrx::error!("view cannot be read: {e}"));
    let at = clock::now();
    let mut reading = Reading {
        at,
        events: Vec::with_capacity(rows.len()),
        failed: Vec::new(),
        refusals: Vec::new(),
        waiting: 0,
        vanished: Vec::new(),
    };
    if audits {
        let shown: HashSet<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
        reading.vanished = keys.texts();
        reading.vanished.retain(|key| !shown.contains(key.as_str()));
    }
    for (key, row) in rows {
        // Between two rows: what is made of one of them has an end.
        pgrx::check_for_interrupts!();
        let name = row.0.get("event_name").and_then(|name| name.as_str());
        let name = name.filter(|name| is_recordable(name)).map(str::to_owned);
        if let Some(fault) = key_fault(&key) {
            reading.failed.push(Failed::by_rule(NO_KEY.to_owned(), name, &fault));
            continue;
        }
        let refused = refusal(&row, &source.options);
        match capture(row, &source.options, at) {
            Captured::Event(event) => reading.events.push(Keyed { key, event }),
            Captured::Waiting => reading.waiting += 1,
            Captured::Fault(fault) => {
                if !refused.is_empty() {
                    reading.refusals.push((key.clone(), refused));
                }
                reading.failed.push(Failed::by_rule(key, name, &fault));
            }
        }
    }
    reading
}

/// Reads, normalises and writes.
fn capture_chunk(source: &Source, keys: &Keys, audits: bool, again: Again) -> Chunk {
    if keys.len() <= PAGE {
        return capture_page(source, keys, audits, again, Word::Read);
    }
    let mut chunk = Chunk::default();
    for page in keys.chunks(PAGE) {
        chunk.add(capture_page(source, &page, audits, again, Word::Read));
    }
    chunk
}

fn capture_page(source: &Source, keys: &Keys, audits: bool, again: Again, word: Word) -> Chunk {
    let Reading { at, mut events, failed, refusals, waiting, vanished } =
        read(source, keys, audits, word);
    if !refusals.is_empty() {
        write::refuse_captured(source, &refusals);
    }
    if again == Again::Yes {
        write::take_back(source, keys.texts(), &events);
    }
    let mut chunk = Chunk { failed, waiting, vanished, ..Chunk::default() };
    if events.is_empty() {
        return chunk;
    }
    if source.salt.is_some() {
        forgotten::blank(source, &mut events);
    }
    // One order everywhere, so that two transactions with the same keys cannot lock each other.
    if events.len() > 1 {
        let places: HashMap<String, usize> = keys.texts().into_iter().zip(0..).collect();
        events.sort_by_cached_key(|k| {
            let event = &k.event.event;
            (places.get(&k.key).copied(), event.event_name.clone(), event.event_id.clone())
        });
    }
    let written = write::write(source, &events, at, word);
    chunk.fresh = written.fresh;
    chunk.failed.extend(written.failed);
    if chunk.fresh > 0 {
        bell::mark();
    }
    chunk.well = events.into_iter().map(|e| e.key).collect();
    if !written.again.is_empty() {
        let keys = source.keys_of(&written.again).unwrap_or_else(|| Error::NotAKey.raise());
        chunk.add(capture_page(source, &keys, audits, Again::No, Word::Last));
    }
    chunk.well.retain(|key| chunk.failed.iter().all(|f| f.key != *key));
    chunk.may_have_open_errors = tables::has_pages("capture_error");
    chunk
}

/// The settings that a view is read with and the outbox is written with.
pub(super) fn framed<T>(work: impl FnOnce() -> T) -> T {
    let lock_timeout = gucs::lock_timeout().as_millis().to_string();
    let settings = [
        // Rows that a policy would hide raise an error instead of missing in silence.
        ("row_security", "off"),
        ("lock_timeout", lock_timeout.as_str()),
        ("jit", "off"),
    ];
    // Texts of keys and amounts must not follow the session's taste.
    with_settings(&READING, || with_settings(&settings, work))
}

/// Puts failures on record; if even that fails, counts and logs them. The order commits.
pub(super) fn on_record(id: i32, mut failed: Vec<Failed>, deadline: Instant) {
    // As long again as the captures themselves: each try may wait for a lock.
    let until = deadline + gucs::time_budget();
    // What failed before its key was looked at, such as a whole chunk.
    for one in &mut failed {
        if key_fault(&one.key).is_some() {
            NO_KEY.clone_into(&mut one.key);
        }
    }
    // A key has one open record; one order everywhere, as above.
    failed.sort_by(|a, b| a.key.cmp(&b.key));
    failed.dedup_by(|a, b| a.key == b.key);
    let Some(owner) = tables::owner() else { return };
    for part in failed.chunks(CHUNK) {
        record_or_halve(owner, id, part, until);
        count(part.len());
    }
}

/// Counts failed captures.
pub(super) fn count(failed: usize) {
    if tables::owner().is_some_and(|owner| !tried(|| write::count(owner, failed))) {
        log(&format!("capi: {failed} failed captures are not counted"));
    }
}

fn record_or_halve(owner: pg_sys::Oid, id: i32, failed: &[Failed], until: Instant) {
    if failed.len() > 1 && Instant::now() > until {
        log(&format!(
            "capi: source {id}: {} failed captures could not be put on record in time",
            failed.len()
        ));
        return;
    }
    if tried(|| write::record(owner, id, failed)) {
        return;
    }
    match failed {
        [] => {}
        // A message would quote values.
        [f] => log(&format!(
            "capi: source {id}, key {}: capture failed with SQLSTATE {} and could not be put on record",
            in_log(&f.key),
            f.sqlstate
        )),
        _ => {
            let (left, right) = failed.split_at(failed.len() / 2);
            record_or_halve(owner, id, left, until);
            record_or_halve(owner, id, right, until);
        }
    }
}

/// Closes the open errors of keys that went well. What cannot be closed now stays open.
pub(super) fn settle(id: i32, keys: Vec<String>) {
    if let Some(owner) = tables::owner()
        && !keys.is_empty()
    {
        tried(|| write::settle(owner, id, keys));
    }
}

/// Closes the open errors of rows that the view shows no more.
pub(super) fn on_vanished(id: i32, keys: &[String]) {
    if let Some(owner) = tables::owner() {
        tried(|| write::vanish(owner, id, keys));
    }
}

/// Whether bookkeeping succeeded; its failure undoes it alone.
fn tried(work: impl FnOnce()) -> bool {
    match subtransaction(Ending::Keep, || framed(work)) {
        Ok(()) => true,
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        Err(_) => false,
    }
}

pub(super) fn refuse_order(failed: &Failed) -> ! {
    Error::Refused { field: failed.field.unwrap_or("row"), reason: failed.reason.clone() }.raise()
}

/// Whether errors of this source abort the order. A source that cannot be read does not.
fn aborts(id: i32) -> bool {
    match subtransaction(Ending::Keep, || framed(|| source::get(id).is_some_and(|s| s.abort))) {
        Ok(abort) => abort,
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        Err(_) => false,
    }
}

/// The records of keys that failed together.
fn failed(keys: &Keys, code: PgSqlErrorCode, trouble: Option<Trouble>) -> Vec<Failed> {
    let reason = trouble.map_or_else(|| condition(code), |trouble| trouble.reason.to_owned());
    keys.texts()
        .into_iter()
        .map(|key| Failed {
            key,
            event_name: None,
            sqlstate: sqlstate(code),
            reason: reason.clone(),
            field: trouble.and_then(|trouble| trouble.field),
        })
        .collect()
}

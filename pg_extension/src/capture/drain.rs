//! Drains the noted keys: reads, normalises and writes them in chunks. What fails is halved down to
//! the bad key and put on record; the order commits.

use capi_core::capture::{Captured, capture};
use pgrx::prelude::*;

use super::clock;
use super::guard::{Ending, Failure, condition, sqlstate, subtransaction, with_settings};
use super::pending::{self, Keys};
use super::source::{self, Source};
use super::write::{self, Failed, Keyed};
use crate::error::Error;
use crate::{bell, gucs};

/// Keys per subtransaction: large enough to be set-based, small enough to bound memory.
const CHUNK: usize = 1_000;

/// Captures the conversions of all noted keys.
pub(super) fn drain() {
    let noted = pending::take();
    if noted.is_empty() {
        return;
    }
    source::refresh();
    for (source, keys) in noted {
        let keys = sorted(keys);
        for chunk in chunks(&keys) {
            capture_or_halve(source, &chunk);
        }
    }
}

/// Captures one row of a source and rolls it back; returns what went wrong.
pub(super) fn trial(id: i32) -> Option<String> {
    source::refresh();
    let outcome = subtransaction(Ending::Undo, || {
        framed(|| {
            let source = source::get(id).expect("track has just written it");
            match source.some_key() {
                Ok(Some(key)) => capture_chunk(&source, &key),
                // An empty view: reading no keys still checks names, types and rights.
                Ok(None) => capture_chunk(&source, &source.no_keys()),
                Err(e) => pgrx::error!("view cannot be read: {e}"),
            };
        });
    });
    // What the trial loaded was loaded inside what has been undone.
    source::forget();
    let failure = outcome.err()?;
    if failure.must_not_be_swallowed() {
        failure.rethrow();
    }
    let (code, name) = (sqlstate(failure.code()), condition(failure.code()));
    Some(match failure.harmless_message() {
        Some(message) => format!("SQLSTATE {code} ({name}): {message}"),
        None => format!("SQLSTATE {code} ({name})"),
    })
}

fn capture_or_halve(id: i32, keys: &Keys) {
    let outcome = subtransaction(Ending::Keep, || {
        framed(|| {
            let source = source::get(id);
            let Some(source) = source.filter(|s| s.tracked) else { return (Vec::new(), false) };
            (capture_chunk(&source, keys), source.abort)
        })
    });
    match outcome {
        Ok((failed, false)) => on_record(id, &failed),
        Ok((failed, true)) => match failed.into_iter().next() {
            None => {}
            Some(failed) => refuse_order(&failed),
        },
        Err(failure) => {
            if failure.must_not_be_swallowed() || aborts(id) {
                failure.rethrow();
            }
            match halves(keys) {
                // The statement itself is wrong: no key is better than another.
                Some(_) if failure.is_of_the_statement() => {
                    on_record(id, &failures(keys, &failure));
                }
                Some((left, right)) => {
                    capture_or_halve(id, &left);
                    capture_or_halve(id, &right);
                }
                None => on_record(id, &failures(keys, &failure)),
            }
        }
    }
}

/// Reads, normalises and writes; returns the rows that broke a rule.
fn capture_chunk(source: &Source, keys: &Keys) -> Vec<Failed> {
    let rows = source.read(keys).unwrap_or_else(|e| pgrx::error!("view cannot be read: {e}"));
    let now = clock::now();
    let mut events = Vec::with_capacity(rows.len());
    let mut failed = Vec::new();
    for (key, row) in rows {
        match capture(row, &source.options, now) {
            Captured::Event(event) => events.push(Keyed { key, event }),
            Captured::Waiting => {}
            Captured::Fault(fault) => failed.push(Failed::by_rule(key, &fault)),
        }
    }
    if !events.is_empty() {
        // One order everywhere, so that two transactions with the same keys cannot lock each other.
        let integers = matches!(keys, Keys::Integers(_));
        events.sort_by_cached_key(|k| {
            let number = if integers { k.key.parse().unwrap_or(0) } else { 0_i64 };
            let event = &k.event.event;
            (number, k.key.clone(), event.event_name.clone(), event.event_id.clone())
        });
        let (fresh, refused) = write::write(source, &events, now);
        failed.extend(refused);
        if fresh > 0 {
            bell::mark();
        }
    }
    failed
}

/// The settings that a view is read with and the outbox is written with.
fn framed<T>(work: impl FnOnce() -> T) -> T {
    let lock_timeout = gucs::lock_timeout().as_millis().to_string();
    with_settings(
        &[
            ("search_path", "pg_catalog, pg_temp"),
            // Rows that a policy would hide raise an error instead of missing in silence.
            ("row_security", "off"),
            ("lock_timeout", &lock_timeout),
            // Texts of keys and amounts must not follow the session's taste.
            ("timezone", "UTC"),
            ("datestyle", "ISO, YMD"),
            ("intervalstyle", "postgres"),
            ("extra_float_digits", "1"),
            // Planned once per backend: planning costs more than the statements.
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
        ],
        work,
    )
}

/// Puts failures on record; if even that fails, counts and logs them. The order commits.
fn on_record(id: i32, failed: &[Failed]) {
    if failed.is_empty() {
        return;
    }
    let Some(owner) = source::owner() else { return };
    for part in failed.chunks(CHUNK) {
        let written = subtransaction(Ending::Keep, || framed(|| write::record(owner, id, part)));
        let lost = match written {
            Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
            written => written.is_err(),
        };
        let counted = subtransaction(Ending::Keep, || framed(|| write::count(owner, part.len())));
        if lost || counted.is_err() {
            for f in part {
                // A key names a row and is no personal identifier; a message would quote values.
                pgrx::log!(
                    "capi: source {id}, key {}: capture failed with SQLSTATE {} and could not be put on record",
                    f.key,
                    f.sqlstate
                );
            }
        }
    }
}

fn refuse_order(failed: &Failed) -> ! {
    Error::Refused { field: failed.field.unwrap_or("row"), reason: failed.reason.clone() }.raise()
}

/// Whether errors of this source abort the order. A source that cannot be read does not.
fn aborts(id: i32) -> bool {
    subtransaction(Ending::Keep, || framed(|| source::get(id).is_some_and(|s| s.abort)))
        .unwrap_or(false)
}

/// The record of keys that failed. Under REPEATABLE READ a serialisation failure on the key means
/// that another transaction has just written the same event: it exists.
fn failures(keys: &Keys, failure: &Failure) -> Vec<Failed> {
    let code = failure.code();
    if code == PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE {
        return Vec::new();
    }
    let keys: Vec<String> = match keys {
        Keys::Integers(keys) => keys.iter().map(ToString::to_string).collect(),
        Keys::Texts(keys) => keys
            .iter()
            .map(|columns| match columns.as_slice() {
                [one] => one.clone(),
                many => serde_json::Value::from(many.to_vec()).to_string(),
            })
            .collect(),
    };
    keys.into_iter()
        .map(|key| Failed { key, sqlstate: sqlstate(code), reason: condition(code), field: None })
        .collect()
}

fn sorted(keys: Keys) -> Keys {
    match keys {
        Keys::Integers(mut keys) => {
            keys.sort_unstable();
            keys.dedup();
            Keys::Integers(keys)
        }
        Keys::Texts(mut keys) => {
            keys.sort_unstable();
            keys.dedup();
            Keys::Texts(keys)
        }
    }
}

fn chunks(keys: &Keys) -> Vec<Keys> {
    match keys {
        Keys::Integers(keys) => keys.chunks(CHUNK).map(|c| Keys::Integers(c.to_vec())).collect(),
        Keys::Texts(keys) => keys.chunks(CHUNK).map(|c| Keys::Texts(c.to_vec())).collect(),
    }
}

fn halves(keys: &Keys) -> Option<(Keys, Keys)> {
    match keys {
        Keys::Integers(keys) if keys.len() > 1 => {
            let (left, right) = keys.split_at(keys.len() / 2);
            Some((Keys::Integers(left.to_vec()), Keys::Integers(right.to_vec())))
        }
        Keys::Texts(keys) if keys.len() > 1 => {
            let (left, right) = keys.split_at(keys.len() / 2);
            Some((Keys::Texts(left.to_vec()), Keys::Texts(right.to_vec())))
        }
        _ => None,
    }
}

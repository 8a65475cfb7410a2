//! Events without a row: what an application hands over goes the way of a captured row, at once and
//! in the application's own transaction.
//!
//! The application wins: what is wrong with an event is told in the answer and put on record, and
//! the transaction goes on, unless the emitter has `on_error => 'abort'`.

use std::time::Instant;

use capi_core::capture::{Captured, Emitted, emitted};
use pgrx::prelude::*;
use serde_json::{Map, Value, json};

use super::clock;
use super::consent;
use super::drain::{self, PER_KEY};
use super::forgotten;
use super::guard::{Ending, Failure, condition, sqlstate, subtransaction};
use super::log::log;
use super::source::{self, Source, Word};
use super::timer::limited;
use super::write::{self, Failed, Keyed};
use crate::error::Error;
use crate::{bell, gucs};

/// Most events of one call: they are in memory together, and so are the answers to them.
const MOST_EVENTS: usize = 10_000;

/// Takes one event, or several in an array; says what became of each.
pub(super) fn emit(event: Value, emitter: Option<&str>) -> Value {
    // A view or an index that emits would do so with somebody else's rights.
    // SAFETY: reads a static of the backend, which has one thread.
    if unsafe { pg_sys::InSecurityRestrictedOperation() } {
        Error::EmitInside.raise();
    }
    let (events, is_list) = match event {
        Value::Array(events) => (events, true),
        one => (vec![one], false),
    };
    if events.len() > MOST_EVENTS {
        Error::TooManyEvents { most: MOST_EVENTS }.raise();
    }
    let mut answers = answers(events, emitter);
    if is_list { Value::Array(answers) } else { answers.pop().unwrap_or_default() }
}

fn answers(events: Vec<Value>, emitter: Option<&str>) -> Vec<Value> {
    let all = |answer: Value| vec![answer; events.len()];
    if !gucs::capture() {
        return all(json!({"status": "off"}));
    }
    source::refresh();
    let found = subtransaction(Ending::Keep, || drain::framed(|| source::emitter(emitter)));
    let source = match found {
        Ok(Some(source)) => source,
        Ok(None) => {
            // Nobody's record: the name may be anything, and is not quoted.
            log(&format!("capi: {} events were emitted to no emitter", events.len()));
            drain::count(events.len());
            return all(
                json!({"status": "failed", "field": "source", "reason": "unknown_emitter"}),
            );
        }
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        Err(failure) => {
            drain::count(events.len());
            return all(json!({"status": "failed", "reason": condition(failure.code())}));
        }
    };
    if !source.may_emit() {
        Error::NotACaller.raise();
    }
    if !source.emits {
        return all(json!({"status": "off"}));
    }
    put_all(&source, events)
}

/// An event on its way, and the answer so far.
struct Parcel {
    keyed: Keyed,
    at: usize,
}

impl Parcel {
    #[expect(clippy::indexing_slicing, reason = "each event of the call has its answer")]
    fn answer<'a>(&self, answers: &'a mut [Map<String, Value>]) -> &'a mut Map<String, Value> {
        &mut answers[self.at]
    }
}

fn put_all(source: &Source, events: Vec<Value>) -> Vec<Value> {
    let now = clock::now();
    let budget = gucs::time_budget() + PER_KEY * u32::try_from(events.len()).unwrap_or(u32::MAX);
    let deadline = Instant::now() + budget;
    let mut answers = Vec::with_capacity(events.len());
    let (mut parcels, mut failed) = (Vec::new(), Vec::new());
    for (at, event) in events.into_iter().enumerate() {
        pgrx::check_for_interrupts!();
        let Emitted { key, event_name, event_id, unknown, captured } =
            emitted(event, &source.options, now);
        let mut answer = Map::new();
        answer.insert("status".into(), Value::Null);
        answer.insert("event_id".into(), event_id.into());
        if !unknown.is_empty() {
            answer.insert("unknown".into(), unknown.into_iter().collect());
        }
        match captured {
            Captured::Event(event) => {
                if !event.dropped.is_empty() {
                    answer.insert("dropped".into(), json!(event.dropped));
                }
                parcels.push(Parcel { keyed: Keyed { key, event }, at });
            }
            Captured::Waiting => set(&mut answer, "waiting"),
            Captured::Fault(fault) => {
                let fault = Failed::by_rule(key, event_name, &fault);
                fail(&mut answer, &fault);
                failed.push(fault);
            }
        }
        answers.push(answer);
    }
    if source.abort
        && let Some(first) = failed.first()
    {
        drain::refuse_order(first);
    }
    // One order everywhere, so that two transactions with the same ids cannot lock each other.
    parcels.sort_by_cached_key(|parcel| {
        let event = &parcel.keyed.event.event;
        (parcel.keyed.key.clone(), event.event_name.clone(), event.event_id.clone())
    });
    for chunk in parcels.chunks_mut(drain::CHUNK) {
        failed.extend(put_or_halve(source, chunk, deadline, &mut answers));
    }
    if !failed.is_empty() {
        drain::on_record(source.id, failed, deadline);
    }
    answers.into_iter().map(Value::Object).collect()
}

/// Writes events in a subtransaction of their own; what fails is halved down to the bad one.
fn put_or_halve(
    source: &Source,
    parcels: &mut [Parcel],
    deadline: Instant,
    answers: &mut [Map<String, Value>],
) -> Vec<Failed> {
    let left = deadline.saturating_duration_since(Instant::now());
    let late = ("57014".to_owned(), "time_budget".to_owned());
    let (code, reason) = if left.is_zero() {
        late
    } else {
        drain::clear_marks();
        let (outcome, is_late) = limited(left, || {
            subtransaction(Ending::Keep, || drain::framed(|| put(source, parcels)))
        });
        let failure = match outcome {
            Ok(written) => return told(source, parcels, written, answers),
            Err(failure) => failure,
        };
        let (arbitrating, speaking) = (write::was_arbitrating(), consent::was_speaking());
        let was_cancelled = is_late && failure.is_cancel();
        let exists = arbitrating && failure.is_of_the_snapshot();
        // A refusal that cannot be written must not be lost.
        let is_refusal = speaking && failure.is_of_the_snapshot();
        if (failure.must_not_be_swallowed() || is_refusal) && !was_cancelled {
            failure.rethrow();
        }
        match parcels {
            _ if was_cancelled => late,
            // Another transaction's, and this one cannot see it under REPEATABLE READ.
            [one] if exists => match refuse_unseen(source, one, deadline) {
                None => {
                    set(one.answer(answers), "known");
                    return Vec::new();
                }
                Some(failure) => (sqlstate(failure.code()), condition(failure.code())),
            },
            [_, _, ..] if exists => return halve(source, parcels, deadline, answers),
            _ if source.abort => {
                let code = failure.code();
                Error::CaptureFailed { code, condition: condition(code) }.raise()
            }
            [_, _, ..] if failure.is_of_a_row() || speaking => {
                return halve(source, parcels, deadline, answers);
            }
            _ => (sqlstate(failure.code()), condition(failure.code())),
        }
    };
    if source.abort {
        Error::Refused { field: "row", reason }.raise();
    }
    parcels
        .iter()
        .map(|parcel| {
            let failed = Failed {
                key: parcel.keyed.key.clone(),
                event_name: Some(parcel.keyed.event.event.event_name.clone()),
                sqlstate: code.clone(),
                reason: reason.clone(),
                field: None,
            };
            fail(parcel.answer(answers), &failed);
            failed
        })
        .collect()
}

fn halve(
    source: &Source,
    parcels: &mut [Parcel],
    deadline: Instant,
    answers: &mut [Map<String, Value>],
) -> Vec<Failed> {
    let (left, right) = parcels.split_at_mut(parcels.len() / 2);
    let mut failed = put_or_halve(source, left, deadline, answers);
    failed.extend(put_or_halve(source, right, deadline, answers));
    failed
}

/// Refuses what the event refuses to the one that is there and cannot be seen; how it failed.
fn refuse_unseen(source: &Source, parcel: &Parcel, deadline: Instant) -> Option<Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    let event = std::slice::from_ref(&parcel.keyed);
    let (outcome, is_late) = limited(left, || {
        subtransaction(Ending::Keep, || drain::framed(|| write::refuse(source, event)))
    });
    let failure = outcome.err()?;
    drain::clear_marks();
    let was_cancelled = is_late && failure.is_cancel();
    if !was_cancelled && (failure.must_not_be_swallowed() || failure.is_of_the_snapshot()) {
        failure.rethrow();
    }
    Some(failure)
}

/// Whether each event is new, or how it failed.
fn put(source: &Source, parcels: &mut [Parcel]) -> Vec<Result<bool, Failed>> {
    let now = clock::now();
    parcels
        .iter_mut()
        .map(|parcel| {
            let one = std::slice::from_mut(&mut parcel.keyed);
            if source.salt.is_some() {
                forgotten::blank(source, one);
            }
            let mut written = write::write(source, one, now, Word::Last);
            written.failed.pop().map_or(Ok(written.fresh > 0), Err)
        })
        .collect()
}

/// Fills in the answers to what was written.
fn told(
    source: &Source,
    parcels: &[Parcel],
    written: Vec<Result<bool, Failed>>,
    answers: &mut [Map<String, Value>],
) -> Vec<Failed> {
    let mut all_failed = Vec::new();
    for (parcel, outcome) in parcels.iter().zip(written) {
        let answer = parcel.answer(answers);
        let is_refused = parcel.keyed.event.refused == ["*"];
        match outcome {
            Ok(true) => {
                bell::mark();
                set(answer, if is_refused { "suppressed" } else { "captured" });
            }
            Ok(false) => set(answer, "known"),
            Err(failed) => {
                if source.abort {
                    drain::refuse_order(&failed);
                }
                fail(answer, &failed);
                all_failed.push(failed);
            }
        }
    }
    all_failed
}

fn set(answer: &mut Map<String, Value>, status: &str) {
    answer.insert("status".into(), status.into());
}

fn fail(answer: &mut Map<String, Value>, failed: &Failed) {
    set(answer, "failed");
    answer.insert("reason".into(), failed.reason.as_str().into());
    if let Some(field) = failed.field {
        answer.insert("field".into(), field.into());
    }
}

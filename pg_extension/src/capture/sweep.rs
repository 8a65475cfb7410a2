//! Captures what the triggers did not: given keys, and rows of a view whose events are missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use pgrx::{Uuid, spi};

use super::drain::{self, Again, Effort, Tally};
use super::guard::{Ending, as_role, condition, subtransaction};
use super::source::{self, Source, Stretch};
use super::timer::limited;
use super::write;
use crate::error::Error;
use crate::gucs;

/// Captures rows by their keys, as the outbox spells them, and settles the records of those that
/// the view shows no more.
pub(super) fn recapture(id: i32, keys: &[String], limit: Duration) -> Tally {
    source::refresh();
    let mut tally = Tally::default();
    let Some(source) = source::get(id).filter(|s| s.tracked) else { return tally };
    let mut keys = source.keys_of(keys).unwrap_or_else(|| Error::NotAKey.raise());
    let effort = Effort { deadline: Instant::now() + limit, audits: true, again: Again::No };
    keys.sort();
    for chunk in keys.chunks(drain::CHUNK) {
        tally.add(&drain::capture_or_halve(id, &chunk, effort));
    }
    tally
}

/// What one page of a sweep came to.
pub(super) struct Page {
    /// Time and key of its last row; none when the stretch has been read to its end.
    pub(super) last: Option<(TimestampWithTimeZone, String)>,
    /// Rows that were compared.
    pub(super) scanned: usize,
    /// Rows whose event was missing, apart from those that wait for another try.
    pub(super) missing: usize,
    pub(super) tally: Tally,
}

/// Compares a page of the view's rows with the outbox and captures those that are missing.
///
/// A row whose capture fails is tried again later and later, up to a day; `insist` tries it now.
pub(super) fn page(id: i32, stretch: &Stretch<'_>, limit: Duration, insist: bool) -> Option<Page> {
    source::refresh();
    if !gucs::capture() {
        return None;
    }
    let source = source::get(id).filter(|s| s.tracked)?;
    let deadline = Instant::now() + limit;
    let (read, late) = limited(limit, || {
        subtransaction(Ending::Keep, || {
            drain::framed(|| {
                source.stretch(stretch).unwrap_or_else(|e| pgrx::error!("view cannot be read: {e}"))
            })
        })
    });
    let rows = match read {
        Ok(rows) => rows,
        Err(failure) if late && failure.is_cancel() => Error::SweepTooSlow.raise(),
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        // The message would quote values.
        Err(failure) => Error::ReadFailed(condition(failure.code())).raise(),
    };
    let last = (rows.len() == stretch.rows).then(|| rows.last()).flatten();
    let last = last.map(|row| (row.time, row.key.clone()));
    // A row without name or id has no event yet, and its capture says why.
    let mut wanted: BTreeMap<&str, Vec<Option<[u8; 16]>>> = BTreeMap::new();
    for row in &rows {
        let hash = row.event.as_ref().map(|(name, id)| write::event_hash(&source, name, id));
        wanted.entry(&row.key).or_default().push(hash);
    }
    let hashes = wanted.values().flatten().flatten().copied().collect();
    let state = subtransaction(Ending::Keep, || {
        drain::framed(|| {
            as_role(source.owner, || look_up(&source, hashes, wanted.keys().copied().collect()))
                .unwrap_or_else(|e| pgrx::error!("outbox cannot be read: {e}"))
        })
    });
    let State { known, open, resting } = state.unwrap_or_else(|failure| failure.rethrow());
    let is_complete = |hashes: &Vec<Option<[u8; 16]>>| {
        hashes.iter().all(|hash| hash.is_some_and(|hash| known.contains(&hash)))
    };
    let (mut mended, mut missing) = (Vec::new(), Vec::new());
    for (key, hashes) in &wanted {
        match is_complete(hashes) {
            _ if !insist && resting.contains(*key) => {}
            // Captured since by somebody else; or what failed was a withdrawal of consent, which
            // only another capture makes good.
            true if open.contains(*key) => mended.push((*key).to_owned()),
            true => {}
            false => missing.push((*key).to_owned()),
        }
    }
    let effort = Effort { deadline, audits: false, again: Again::No };
    let capture = |keys: &[String]| {
        let mut tally = Tally::default();
        let mut keys = source.keys_of(keys).unwrap_or_else(|| Error::NotAKey.raise());
        keys.sort();
        for chunk in keys.chunks(drain::CHUNK) {
            tally.add(&drain::capture_or_halve(id, &chunk, effort));
        }
        tally
    };
    if !mended.is_empty() && capture(&mended).failed == 0 {
        // Of rows that wait for consent again, too.
        drain::settle(id, mended);
    }
    let tally = capture(&missing);
    Some(Page { last, scanned: rows.len(), missing: missing.len(), tally })
}

struct State {
    known: HashSet<[u8; 16]>,
    open: BTreeSet<String>,
    resting: BTreeSet<String>,
}

fn look_up(source: &Source, hashes: Vec<[u8; 16]>, keys: Vec<&str>) -> Result<State, spi::Error> {
    Spi::connect(|client| {
        let hashes: Vec<Uuid> = hashes.into_iter().map(Uuid::from_bytes).collect();
        let query = "select hash from capi.event_key where hash = any ($1)";
        let found = client.select(query, None, &[hashes.into()])?;
        let mut state =
            State { known: HashSet::new(), open: BTreeSet::new(), resting: BTreeSet::new() };
        for row in found {
            state.known.extend(row.get::<Uuid>(1)?.map(|hash| *hash.as_bytes()));
        }
        let query =
            "select key, last_at > clock_timestamp() - least(times, 144) * interval '10 min'
            from capi.capture_error
            where source = $1 and key = any ($2) and resolved_at is null";
        for row in client.select(query, None, &[source.id.into(), keys.into()])? {
            let key = row.get::<String>(1)?.unwrap_or_default();
            if row.get::<bool>(2)? == Some(true) {
                state.resting.insert(key.clone());
            }
            state.open.insert(key);
        }
        Ok(state)
    })
}

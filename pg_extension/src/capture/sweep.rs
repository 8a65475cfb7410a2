//! Captures what the triggers did not: given keys, and rows of a view whose events are missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::slice;
use std::time::{Duration, Instant};

use capi_core::capture::NO_KEY;
use pgrx::prelude::*;
use pgrx::{Uuid, spi};

use super::drain::{self, Again, Effort, Tally};
use super::guard::{Ending, as_role, condition, subtransaction};
use super::source::{self, Dated, Depth, Identity, Place, Source, Stretch};
use super::timer::limited;
use super::write;
use crate::error::{self, Error};
use crate::gucs;

/// Why something foreign could not be read: in words that quote no value.
pub(super) struct Trouble {
    pub(super) text: String,
    /// What the library knows of it.
    named: Option<error::Trouble>,
    /// Whether fewer rows could do better.
    of_a_row: bool,
    /// Whether there was no time.
    late: bool,
}

/// Runs what reads a source until the deadline; a failure undoes it and nothing else.
fn tried<T>(deadline: Instant, work: impl FnOnce() -> Result<T, spi::Error>) -> Result<T, Trouble> {
    let too_late = || Trouble {
        text: Error::SweepTooSlow.to_string(),
        named: None,
        of_a_row: false,
        late: true,
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(too_late());
    }
    let (outcome, late) = limited(left, || {
        subtransaction(Ending::Keep, || {
            drain::framed(|| work().unwrap_or_else(|e| pgrx::error!("view cannot be read: {e}")))
        })
    });
    match outcome {
        Ok(found) => Ok(found),
        Err(failure) if late && failure.is_cancel() => Err(too_late()),
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        Err(failure) => {
            // The message would quote values, unless it can only name objects.
            let named = error::take_trouble();
            let why = match (failure.harmless_message(), named) {
                (Some(message), _) => format!("{}: {message}", condition(failure.code())),
                (None, Some(named)) => named.reason.to_owned(),
                (None, None) => condition(failure.code()),
            };
            let text = Error::ReadFailed(why).to_string();
            Err(Trouble { text, named, of_a_row: failure.is_of_a_row(), late: false })
        }
    }
}

/// The source, if it is tracked.
fn tracked(id: i32, deadline: Instant) -> Result<Option<Rc<Source>>, Trouble> {
    let source = tried(deadline, || Ok(source::get(id)))?;
    Ok(source.filter(|source| source.tracked))
}

/// Captures rows by their keys, as the outbox spells them, and settles the records of those that
/// the view shows no more.
pub(super) fn recapture(
    id: i32,
    keys: &[String],
    limit: Duration,
    strict: bool,
) -> Result<Tally, Trouble> {
    source::refresh();
    let mut tally = Tally::default();
    let deadline = Instant::now() + limit;
    let Some(source) = tracked(id, deadline)? else { return Ok(tally) };
    let (unnamed, keys): (Vec<String>, Vec<String>) =
        keys.iter().cloned().partition(|key| key == NO_KEY);
    if !unnamed.is_empty() {
        // Nobody can read that row again. Where it still fails, the sweep says so anew.
        drain::on_vanished(id, &unnamed);
        tally.vanished += unnamed.len();
    }
    let mut keys = match source.keys_of(&keys) {
        Some(keys) => keys,
        None if strict => Error::NotAKey.raise(),
        // Of records from before the key had its type.
        None => {
            let is_a_key = |key: &&String| source.keys_of(slice::from_ref(*key)).is_some();
            let keys: Vec<String> = keys.iter().filter(is_a_key).cloned().collect();
            source.keys_of(&keys).unwrap_or_else(|| source.no_keys())
        }
    };
    let effort = Effort { deadline, audits: true, again: Again::No };
    keys.sort();
    for chunk in keys.chunks(drain::CHUNK) {
        tally.add(&drain::capture_or_halve(id, &chunk, effort));
    }
    Ok(tally)
}

/// What one page of a sweep came to.
#[derive(Default)]
pub(super) struct Page {
    /// Where the next one begins; none when the stretch has been read to its end, or cannot be.
    pub(super) next: Option<Place>,
    /// Rows that were compared.
    pub(super) scanned: usize,
    /// Rows whose event was missing, apart from those that wait for another try.
    pub(super) missing: usize,
    pub(super) tally: Tally,
    /// What keeps rows from being compared.
    pub(super) trouble: Option<String>,
}

/// Compares a page of the view's rows with the outbox and captures those that are missing.
///
/// A row that makes the view raise is found by halves and captured by its key, which puts it on
/// record; the others are compared. A view that nothing can be read of is told as trouble.
///
/// A row whose capture fails is tried again later and later, up to a day; `insist` tries it now.
pub(super) fn page(id: i32, stretch: &Stretch, limit: Duration, insist: bool) -> Option<Page> {
    source::refresh();
    if !gucs::capture() {
        return None;
    }
    let deadline = Instant::now() + limit;
    let broken = |trouble: Trouble| {
        // What has changed while it was read is loaded anew by the next page.
        source::has_changed(id, trouble.named);
        Page { trouble: Some(trouble.text), ..Page::default() }
    };
    let source = match tracked(id, deadline) {
        Ok(source) => source?,
        Err(trouble) => return Some(broken(trouble)),
    };
    let (rows, next) = match read(&source, stretch, deadline) {
        Ok(read) => read,
        Err(trouble) => return Some(broken(trouble)),
    };
    // A row without name or id has no event yet, and its capture says why.
    let mut wanted: BTreeMap<&str, Vec<Option<[u8; 16]>>> = BTreeMap::new();
    let mut keyless = 0;
    for row in &rows {
        let hash = row.event.as_ref().map(|(name, id)| write::event_hash(&source, name, id));
        match &row.key {
            Some(key) => wanted.entry(key).or_default().push(hash),
            None => keyless += 1,
        }
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
    let mut tally = capture(&missing);
    tally.failed += keyless;
    let trouble = (keyless > 0)
        .then(|| format!("{keyless} rows of the view have no key: no row of the table is theirs"));
    Some(Page { next, scanned: rows.len(), missing: missing.len() + keyless, tally, trouble })
}

/// Reads a page of what makes events, and where the next one begins.
fn read(
    source: &Source,
    stretch: &Stretch,
    deadline: Instant,
) -> Result<(Vec<Identity>, Option<Place>), Trouble> {
    if let Some(Place::Key(after)) = &stretch.after {
        let keys = tried(deadline, || source.keys_below(after.as_deref(), stretch.rows))?;
        let last = (keys.len() == stretch.rows).then(|| keys.last().cloned());
        return Ok((identify(source, &keys, stretch, deadline)?, last.map(Place::Key)));
    }
    let next = |rows: &[Dated]| {
        let last = (rows.len() == stretch.rows).then(|| rows.last()).flatten();
        last.map(|last| Place::Row(last.time, last.row.key.clone()))
    };
    match tried(deadline, || source.stretch(stretch, Depth::Event)) {
        Ok(rows) => {
            let next = next(&rows);
            return Ok((rows.into_iter().map(|dated| dated.row).collect(), next));
        }
        Err(trouble) if !trouble.of_a_row => return Err(trouble),
        Err(_) => {}
    }
    // A row that raises keeps the others of its page from being read.
    match tried(deadline, || source.stretch(stretch, Depth::Key)) {
        Ok(rows) => {
            let next = next(&rows);
            let (with_key, without): (Vec<_>, Vec<_>) =
                rows.into_iter().map(|dated| dated.row).partition(|row| row.key.is_some());
            let keys: BTreeSet<String> = with_key.into_iter().filter_map(|row| row.key).collect();
            let mut rows =
                identify(source, &keys.into_iter().collect::<Vec<_>>(), stretch, deadline)?;
            rows.extend(without);
            Ok((rows, next))
        }
        // Which rows lie in this stretch cannot be said: those of all keys are tried.
        Err(trouble) if trouble.of_a_row => Ok((Vec::new(), Some(Place::Key(None)))),
        Err(trouble) => Err(trouble),
    }
}

/// Reads what makes the events of keys; those that cannot be read come without.
fn identify(
    source: &Source,
    keys: &[String],
    stretch: &Stretch,
    deadline: Instant,
) -> Result<Vec<Identity>, Trouble> {
    let mut found = Vec::with_capacity(keys.len());
    let mut parts: Vec<&[String]> = keys.chunks(drain::CHUNK).collect();
    while let Some(part) = parts.pop() {
        let keys = source.keys_of(part).unwrap_or_else(|| Error::NotAKey.raise());
        match tried(deadline, || source.identities(&keys, stretch)) {
            Ok(rows) => found.extend(rows),
            Err(trouble) if trouble.of_a_row && part.len() > 1 => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([left, right]);
            }
            // Its capture says why, or that there was no time.
            Err(trouble) if trouble.of_a_row || trouble.late => {
                let unread = |key: &String| Identity { key: Some(key.clone()), event: None };
                found.extend(part.iter().map(unread));
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(found)
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

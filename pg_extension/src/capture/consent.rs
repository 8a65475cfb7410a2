//! Consent that changes after the capture. The word of a row that refuses more is taken at once. To
//! give something back the row must be read again while the withdrawal is locked: the reading that
//! asks for it may be older than the refusal. Whoever refuses what is refused already holds the
//! withdrawal until it commits, so that such a second reading waits and sees its row.

use std::cell::Cell;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::{self, SpiClient};

use super::source::Source;

/// What a row or a caller says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Read from the view at some time, perhaps before what has been committed since.
    Read,
    /// Read again behind the lock, or said by the caller: nothing newer can be overlooked.
    Last,
}

/// The consent of an event that is in the outbox.
pub(super) struct Known {
    pub(super) captured_at: TimestampWithTimeZone,
    /// Refused when it was captured. That stays so.
    pub(super) at_capture: Vec<String>,
    /// Refused by the withdrawal that is in force, if there is one.
    pub(super) withdrawn: Option<Vec<String>>,
    /// Whether somebody withdrew by call, or the person is forgotten: the row cannot undo that.
    pub(super) by_call: bool,
}

/// The latest state per key; a person once forgotten stays so. `$5` says whether the row's word
/// replaces what rows have said before.
const WITHDRAW: &str = "
insert into capi.withdrawal as w (source, key, refused, reason, note)
values ($1, $2, $3, 'withdrawn', 'the row says so')
on conflict (source, key) do update
set refused = case when w.at < $4 or ($5 and w.note = excluded.note) then excluded.refused
        else array(select distinct x from unnest(w.refused || excluded.refused) x
            where x not like '!%' or x = any (w.refused) and x = any (excluded.refused) order by x) end,
    at = clock_timestamp(), xid = pg_current_xact_id(), by_role = session_user,
    note = case when w.note = excluded.note or w.at < $4 then excluded.note else w.note end
where w.reason <> 'forgotten'";

/// Keeps others from giving back what this row refuses, until the transaction ends.
const HOLD: &str = "select refused from capi.withdrawal where source = $1 and key = $2 for share";

/// Waits for all who refuse, and keeps others from it, until the transaction ends.
const LOCK: &str = "select from capi.withdrawal where source = $1 and key = $2 for update";

thread_local! {
    /// Whether a statement of this file is running.
    static SPEAKING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the last error came from here; resets the answer.
pub(super) fn was_speaking() -> bool {
    SPEAKING.replace(false)
}

/// Takes a row's word on an event that is there; returns whether the row must be read again.
pub(super) fn hear(
    client: &mut SpiClient<'_>,
    source: &Source,
    key: &str,
    known: &Known,
    now: &[String],
    word: Word,
) -> Result<bool, spi::Error> {
    let both = |before: &[String]| joined(before, now);
    let is_said = |before: &[String]| same(before, now);
    let at = Some(known.captured_at);
    match &known.withdrawn {
        None if same(&both(&known.at_capture), &known.at_capture) => {}
        None => withdraw(client, source, key, now, at, Word::Read)?,
        // Only a row that says something new is heard beside a call.
        Some(_) if known.by_call && is_said(&known.at_capture) => {}
        Some(before) if is_said(before) && now.is_empty() => {}
        Some(before) if is_said(before) => {
            let current = held(client, source, key)?;
            if current.is_some_and(|current| !is_said(&current)) {
                withdraw(client, source, key, now, at, Word::Read)?;
            }
        }
        Some(before) if known.by_call || same(&both(before), now) || word == Word::Last => {
            withdraw(client, source, key, now, at, word)?;
        }
        Some(_) => {
            speaking(|| client.update(LOCK, None, &[source.id.into(), key.into()]).map(drop))?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses for an event that this transaction cannot see, and gives nothing back.
pub(super) fn refuse(
    client: &mut SpiClient<'_>,
    source: &Source,
    key: &str,
    now: &[String],
) -> Result<(), spi::Error> {
    withdraw(client, source, key, now, None, Word::Read)
}

fn withdraw(
    client: &mut SpiClient<'_>,
    source: &Source,
    key: &str,
    now: &[String],
    captured_at: Option<TimestampWithTimeZone>,
    word: Word,
) -> Result<(), spi::Error> {
    let arguments = [
        source.id.into(),
        key.into(),
        now.to_vec().into(),
        captured_at.into(),
        (word == Word::Last).into(),
    ];
    speaking(|| client.update(WITHDRAW, None, &arguments).map(drop))
}

fn held(
    client: &mut SpiClient<'_>,
    source: &Source,
    key: &str,
) -> Result<Option<Vec<String>>, spi::Error> {
    speaking(|| {
        let row = client.update(HOLD, Some(1), &[source.id.into(), key.into()])?;
        if row.is_empty() { Ok(None) } else { row.first().get::<Vec<String>>(1) }
    })
}

fn speaking<T>(work: impl FnOnce() -> Result<T, spi::Error>) -> Result<T, spi::Error> {
    SPEAKING.set(true);
    let result = work();
    SPEAKING.set(false);
    result
}

/// What either refuses; an exception (`!name`) to refusing everything must be everybody's.
fn joined(before: &[String], now: &[String]) -> Vec<String> {
    let in_both = |x: &&String| before.contains(x) && now.contains(x);
    before.iter().chain(now).filter(|x| !x.starts_with('!') || in_both(x)).cloned().collect()
}

/// Whether two lists have the same members.
fn same(one: &[String], other: &[String]) -> bool {
    one.iter().all(|x| other.contains(x)) && other.iter().all(|x| one.contains(x))
}

//! Consent that changes after the capture. The word of a row that refuses more is taken at once. To
//! give something back the row must be read again while the withdrawal is locked: the reading that
//! asks for it may be older than the refusal. Whoever refuses what is refused already holds the
//! withdrawal until it commits, so that such a second reading waits and sees its row.

use std::cell::Cell;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::{self, SpiClient};

use super::source::{Source, Word};

/// The consent of an event that is in the outbox.
pub(super) struct Known {
    /// The event's source: this one, or one of the same table that is tracked no more.
    pub(super) source: i32,
    pub(super) captured_at: TimestampWithTimeZone,
    /// Refused when it was captured. That stays so.
    pub(super) at_capture: Vec<String>,
    /// Refused by the withdrawal that is in force, if there is one.
    pub(super) withdrawn: Option<Vec<String>>,
    /// Whether somebody withdrew by call, or the person is forgotten: the row cannot undo that.
    pub(super) by_call: bool,
}

/// The latest state per key; a person once forgotten stays so. `$5` says whether the row's word
/// replaces what rows have said before. A withdrawal from before the event (`$4`) is replaced, unless
/// another event of the row still needs it.
const WITHDRAW: &str = "
insert into capi.withdrawal as w (source, key, refused, reason, note)
values ($1, $2, $3, 'withdrawn', 'the row says so')
on conflict (source, key) do update
set refused = case when not w.at >= $4 and not exists (
            select from capi.outbox o where o.source = w.source and o.key = w.key and o.captured_at <= w.at)
            or ($5 and w.note = excluded.note)
        then excluded.refused
        else array(select distinct x from unnest(w.refused || excluded.refused) x
            where x not like '!%' or x = any (w.refused) and x = any (excluded.refused) order by x) end,
    at = clock_timestamp(), xid = pg_current_xact_id(), by_role = session_user,
    note = case when w.note = excluded.note or not w.at >= $4 and not exists (
            select from capi.outbox o where o.source = w.source and o.key = w.key and o.captured_at <= w.at)
        then excluded.note else w.note end
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

/// Takes the word on the events of a key that are there; returns whether the row must be read again.
/// A key has one withdrawal for all its events, so what one of them refuses holds for all.
pub(super) fn hear(
    client: &mut SpiClient<'_>,
    key: &str,
    events: &[(&Known, &[String])],
    word: Word,
) -> Result<bool, spi::Error> {
    let Some((first, _)) = events.first() else { return Ok(false) };
    // What was refused at the capture needs no withdrawal.
    let needs = |(known, refused): &&(&Known, &[String])| {
        !same(&joined(&known.at_capture, refused), &known.at_capture)
    };
    let needy = || events.iter().filter(needs);
    let now = needy().map(|(_, refused)| refused.to_vec()).reduce(|a, b| joined(&a, &b));
    let now = now.unwrap_or_default();
    let at = needy().map(|(known, _)| known.captured_at).min().unwrap_or(first.captured_at);
    let (source, at) = (first.source, Some(at));
    let in_force = events.iter().find(|(known, _)| known.withdrawn.is_some());
    let Some((known, before)) =
        in_force.and_then(|(known, _)| Some((known, known.withdrawn.as_ref()?)))
    else {
        if !now.is_empty() {
            withdraw(client, source, key, &now, at, Word::Read)?;
        }
        return Ok(false);
    };
    let both = joined(before, &now);
    if known.by_call {
        if !same(&both, before) {
            withdraw(client, source, key, &now, at, Word::Read)?;
        }
    } else if same(before, &now) {
        // Nobody may give back meanwhile what this row refuses.
        if !now.is_empty()
            && held(client, source, key)?.is_some_and(|current| !same(&current, &now))
        {
            withdraw(client, source, key, &now, at, Word::Read)?;
        }
    } else if word == Word::Last || same(&both, &now) {
        withdraw(client, source, key, &now, at, word)?;
    } else {
        speaking(|| client.update(LOCK, None, &[source.into(), key.into()]).map(drop))?;
        return Ok(true);
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
    withdraw(client, source.id, key, now, None, Word::Read)
}

fn withdraw(
    client: &mut SpiClient<'_>,
    source: i32,
    key: &str,
    now: &[String],
    captured_at: Option<TimestampWithTimeZone>,
    word: Word,
) -> Result<(), spi::Error> {
    let arguments = [
        source.into(),
        key.into(),
        now.to_vec().into(),
        captured_at.into(),
        (word == Word::Last).into(),
    ];
    speaking(|| client.update(WITHDRAW, None, &arguments).map(drop))
}

fn held(
    client: &mut SpiClient<'_>,
    source: i32,
    key: &str,
) -> Result<Option<Vec<String>>, spi::Error> {
    speaking(|| {
        let row = client.update(HOLD, Some(1), &[source.into(), key.into()])?;
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

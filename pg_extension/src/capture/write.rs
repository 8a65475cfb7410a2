//! Writes captured events: the key that makes each one unique, and its outbox row.

use capi_core::capture::{Fault, NewEvent};
use capi_core::hash::fingerprint;
use capi_core::time::Timestamp;
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use pgrx::spi::{self, SpiClient};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;

use super::clock;
use super::consent::{self, Known};
use super::guard::as_role;
use super::jsonb::{self, Jsonb};
use super::source::{Source, Word};
use crate::sequence;
use crate::statement::{Statement, argument, committed};

/// Numbers of events.
const EVENT: &CStr = c"event";

/// Numbers of failed captures.
const ERROR: &CStr = c"capture_error_number";

/// Counts failed captures; a sequence outlives rollback.
const FAILURES: &CStr = c"capture_failures";

/// An event with the key of its row.
pub(super) struct Keyed {
    pub(super) key: String,
    pub(super) event: Box<NewEvent>,
}

/// A capture that failed, for the record.
pub(super) struct Failed {
    pub(super) key: String,
    pub(super) event_name: Option<String>,
    pub(super) sqlstate: String,
    pub(super) reason: String,
    pub(super) field: Option<&'static str>,
}

impl Failed {
    /// A row that broke a rule.
    pub(super) fn by_rule(key: String, event_name: Option<String>, fault: &Fault) -> Self {
        Self {
            key,
            event_name,
            sqlstate: "22023".into(),
            reason: fault.reason.into(),
            field: Some(fault.field),
        }
    }
}

/// Keys first, then the rows whose keys are new: `on conflict` decides between concurrent
/// transactions.
const INSERT: &str = "
with input as (
    select $19 + n - 1 as id, i.*
    from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
        $7::text[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::jsonb[], $13::jsonb[])
        with ordinality i (hash, key_hash, key, event_name, event_id, event_time,
            action_source, value, currency, refused, identity, facts, dropped, n)
),
fresh as (
    insert into capi.event_key (hash, key_hash, event, captured_at)
    select hash, key_hash, id, $14 from input order by n
    on conflict (hash) do nothing
    returning hash, key_hash, event
),
written as (
    insert into capi.outbox (id, captured_at, era, source, version, rules, key, event_name, event_id,
        event_time, action_source, value, currency, refused, identity, facts, dropped)
    select i.id, $14, $15, $16, $17, $18, i.key, i.event_name, i.event_id,
        i.event_time, i.action_source, i.value::numeric, i.currency, i.refused::text[],
        i.identity, i.facts, i.dropped
    from input i join fresh f on f.event = i.id
    order by i.n
)
select hash, key_hash from fresh";

const INSERT_TYPES: [pg_sys::Oid; 19] = [
    pg_sys::UUIDARRAYOID,
    pg_sys::INT8ARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TIMESTAMPTZARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::JSONBARRAYOID,
    pg_sys::JSONBARRAYOID,
    pg_sys::JSONBARRAYOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::INT8OID,
    pg_sys::INT4OID,
    pg_sys::INT4OID,
    pg_sys::INT2OID,
    pg_sys::INT8OID,
];

/// The same for one event, which is what most transactions have: two plain inserts.
const INSERT_KEY: &str = "
insert into capi.event_key (hash, key_hash, event, captured_at)
values ($1, $2, $4, $3)
on conflict (hash) do nothing
returning event";

const INSERT_KEY_TYPES: [pg_sys::Oid; 4] =
    [pg_sys::UUIDOID, pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::INT8OID];

const INSERT_ONE: &str = "
insert into capi.outbox (id, captured_at, era, source, version, rules, key, event_name, event_id,
    event_time, action_source, value, currency, refused, identity, facts, dropped)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

const INSERT_ONE_TYPES: [pg_sys::Oid; 17] = [
    pg_sys::INT8OID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::INT8OID,
    pg_sys::INT4OID,
    pg_sys::INT4OID,
    pg_sys::INT2OID,
    pg_sys::TEXTOID,
    pg_sys::TEXTOID,
    pg_sys::TEXTOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TEXTOID,
    pg_sys::NUMERICOID,
    pg_sys::TEXTOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::JSONBOID,
    pg_sys::JSONBOID,
    pg_sys::JSONBOID,
];

/// What holds the keys that were not new.
const EXISTING: &str = "
select k.hash, k.key_hash, k.event, k.captured_at, coalesce(o.xid = pg_current_xact_id_if_assigned(), false),
    o.refused, w.refused, w.at is not null and w.note is distinct from 'the row says so',
    coalesce(o.source <> $2 and exists (select from capi.source x where x.source = o.source and x.tracked), false),
    o.source
from capi.event_key k
left join capi.outbox o on o.id = k.event and o.captured_at = k.captured_at
left join capi.withdrawal w on w.source = o.source and w.key = o.key and w.at >= o.captured_at
where k.hash = any ($1)";

const EXISTING_COLUMNS: [pg_sys::Oid; 10] = [
    pg_sys::UUIDOID,
    pg_sys::INT8OID,
    pg_sys::INT8OID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::BOOLOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::BOOLOID,
    pg_sys::BOOLOID,
    pg_sys::INT4OID,
];

/// Events that this transaction has written for some keys.
const MINE: &str = "
select o.id, o.captured_at, o.event_name, o.event_id, o.key
from capi.outbox o
where o.source = $1 and o.key = any ($2) and o.captured_at >= now() and o.xid = pg_current_xact_id_if_assigned()";

/// What this transaction has written and is no conversion any more.
const TAKE_BACK: &str = "
with gone as (delete from capi.outbox where id = any ($1) and captured_at = any ($2) and xid = pg_current_xact_id())
delete from capi.event_key where hash = any ($3) and event = any ($1)";

/// Until its transaction commits a row may be rewritten: SET CONSTRAINTS ALL IMMEDIATE fires before
/// the order is complete.
const REWRITE: &str = "
update capi.outbox
set version = $3, event_time = $4, action_source = $5, value = $6::numeric, currency = $7,
    refused = $8, identity = $9, facts = $10, dropped = $11
where id = $1 and captured_at = $2 and xid = pg_current_xact_id()";

/// Failed captures: one open record per key, and of new ones so many of a source and an hour.
const RECORD: &str = "
with input as (
    select i.*, exists (
        select from capi.capture_error e where e.source = $1 and e.key = i.key and e.resolved_at is null) as is_known
    from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
        with ordinality i (key, event_name, sqlstate, reason, field, n)
), recent as (
    select count(*) as n
    from (
        select from capi.capture_error e
        where e.source = $1 and e.first_at >= date_trunc('hour', clock_timestamp())
        limit 10000
    ) e
), fitting as (
    select i.*
    from (select i.*, row_number() over (partition by i.is_known order by i.n) as place from input i) i
    where i.is_known or i.place <= 10000 - (select r.n from recent r)
), recorded as (
    insert into capi.capture_error (error, source, key, event_name, sqlstate, reason, field)
    select $7 + f.n - 1, $1, f.key, f.event_name, f.sqlstate, f.reason, f.field from fitting f order by f.n
    on conflict (source, key) where resolved_at is null
    do update set times = capture_error.times + 1, last_at = clock_timestamp(),
        event_name = excluded.event_name, sqlstate = excluded.sqlstate, reason = excluded.reason,
        field = excluded.field
)
select (select count(*) from input) - (select count(*) from fitting)";

/// How many more there were. A row that somebody else has locked is left to him: failed captures must
/// not wait for each other until a commit.
const COUNT_UNRECORDED: &str = "
with mine as (
    select u.ctid as at from capi.unrecorded_error u
    where u.source = $1 and u.hour = date_trunc('hour', clock_timestamp())
    limit 1 for update skip locked
), grown as (
    update capi.unrecorded_error u set more = u.more + $2 from mine m where u.ctid = m.at returning 1
)
insert into capi.unrecorded_error (source, hour, more)
select $1, date_trunc('hour', clock_timestamp()), $2 where not exists (select from grown)";

/// What went well after all.
const SETTLE: &str = "
update capi.capture_error set resolved_at = clock_timestamp(), resolution = 'captured'
where source = $1 and key = any ($2) and resolved_at is null";

/// What is no conversion any more.
const VANISH: &str = "
update capi.capture_error set resolved_at = clock_timestamp(), resolution = 'vanished'
where source = $1 and key = any ($2) and resolved_at is null";

thread_local! {
    static INSERT_STATEMENT: Statement = const {
        Statement::fixed(INSERT, &INSERT_TYPES, &[pg_sys::UUIDOID, pg_sys::INT8OID])
    };
    static KEY_STATEMENT: Statement =
        const { Statement::fixed(INSERT_KEY, &INSERT_KEY_TYPES, &[pg_sys::INT8OID]) };
    static ONE_STATEMENT: Statement = const { Statement::fixed(INSERT_ONE, &INSERT_ONE_TYPES, &[]) };
    static EXISTING_STATEMENT: Statement = const {
        Statement::fixed(EXISTING, &[pg_sys::UUIDARRAYOID, pg_sys::INT4OID], &EXISTING_COLUMNS)
    };
    static SETTLE_STATEMENT: Statement =
        const { Statement::fixed(SETTLE, &[pg_sys::INT4OID, pg_sys::TEXTARRAYOID], &[]) };
    /// Whether the statement that arbitrates between transactions is running.
    static ARBITRATING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the last error came from the statement that inserts keys; resets the answer.
pub(super) fn was_arbitrating() -> bool {
    ARBITRATING.replace(false)
}

/// One event as the columns of the insert.
struct Columns {
    hash: [u8; 16],
    key_hash: i64,
    identity: Jsonb,
    facts: Jsonb,
    dropped: Jsonb,
}

/// What became of events.
pub(super) struct Written {
    /// How many are new.
    pub(super) fresh: usize,
    /// Those that the rules of uniqueness refuse.
    pub(super) failed: Vec<Failed>,
    /// Keys of rows that give consent back and must be read again, now that nobody can refuse
    /// meanwhile.
    pub(super) again: Vec<String>,
}

/// Writes events as the schema's owner.
pub(super) fn write(source: &Source, events: &[Keyed], now: Timestamp, word: Word) -> Written {
    as_role(source.owner, || {
        Spi::connect_mut(|client| {
            // In the memory of the connection, which goes with the chunk.
            let columns: Vec<Columns> = events.iter().map(|e| Columns::of(source, e)).collect();
            let known = insert(client, source, events, &columns, now)?;
            let fresh = events.len() - known.len();
            let mut written = Written { fresh, failed: Vec::new(), again: Vec::new() };
            if !known.is_empty() {
                existing(client, source, &known, word, &mut written)?;
            }
            Ok(written)
        })
    })
    .unwrap_or_else(|e: spi::Error| pgrx::error!("outbox cannot be written: {e}"))
}

/// Refuses for events of other transactions that this one cannot see.
pub(super) fn refuse(source: &Source, events: &[Keyed]) {
    as_role(source.owner, || {
        Spi::connect_mut(|client| -> Result<(), spi::Error> {
            for Keyed { key, event } in events.iter().filter(|e| !e.event.refused.is_empty()) {
                consent::refuse(client, source, key, &event.refused)?;
            }
            Ok(())
        })
    })
    .unwrap_or_else(|e| pgrx::error!("withdrawals cannot be written: {e}"));
}

/// Refuses for the events of keys whose rows can be no events any more; other keys have nothing to refuse.
pub(super) fn refuse_captured(source: &Source, refusals: &[(String, Vec<String>)]) {
    let keys: Vec<&str> = refusals.iter().map(|(key, _)| key.as_str()).collect();
    let arguments =
        [(pg_sys::INT4OID, argument(source.id)), (pg_sys::TEXTARRAYOID, argument(keys))];
    as_role(source.owner, || {
        let captured = committed(CAPTURED, &arguments, &[pg_sys::TEXTOID], |mut rows| {
            let mut found = HashSet::with_capacity(rows.len());
            while let Some(row) = rows.next() {
                found.extend(row.get::<String>(0));
            }
            found
        })?;
        Spi::connect_mut(|client| {
            for (key, refused) in refusals.iter().filter(|(key, _)| captured.contains(key)) {
                consent::refuse(client, source, key, refused)?;
            }
            Ok::<_, spi::Error>(())
        })
    })
    .unwrap_or_else(|e| pgrx::error!("withdrawals cannot be written: {e}"));
}

/// Which of the keys have an event.
const CAPTURED: &str = "
select distinct o.key from capi.outbox o where o.source = $1 and o.key = any ($2)";

/// Inserts events; returns those whose key was there.
fn insert<'a>(
    client: &mut SpiClient<'_>,
    source: &Source,
    events: &'a [Keyed],
    columns: &'a [Columns],
    now: Timestamp,
) -> Result<Vec<(&'a Keyed, &'a Columns)>, spi::Error> {
    let now = timestamptz(now);
    if let ([event], [columns]) = (events, columns) {
        let is_new = insert_one(client, source, event, columns, now)?;
        return Ok(if is_new { Vec::new() } else { vec![(event, columns)] });
    }
    let fresh = insert_many(client, source, events, columns, now)?;
    let is_known =
        |(_, column): &(&Keyed, &Columns)| !fresh.contains(&(column.hash, column.key_hash));
    Ok(events.iter().zip(columns).filter(is_known).collect())
}

/// Whether the event is new.
fn insert_one(
    client: &mut SpiClient<'_>,
    source: &Source,
    Keyed { key, event }: &Keyed,
    columns: &Columns,
    now: TimestampWithTimeZone,
) -> Result<bool, spi::Error> {
    let arguments = [
        argument(Uuid::from_bytes(columns.hash)),
        argument(columns.key_hash),
        argument(now),
        argument(sequence::draw(EVENT, 1)),
    ];
    ARBITRATING.set(true);
    let inserted = KEY_STATEMENT.with(|statement| -> Result<Option<i64>, spi::Error> {
        Ok(statement.run(client, &arguments)?.next().and_then(|row| row.get(0)))
    })?;
    ARBITRATING.set(false);
    let Some(id) = inserted else { return Ok(false) };
    let NewEvent { event, refused, .. } = event.as_ref();
    let arguments = [
        argument(id),
        argument(now),
        argument(source.era),
        argument(source.id),
        argument(source.version),
        argument(capi_core::RULES_VERSION),
        argument(key.as_str()),
        argument(event.event_name.as_str()),
        argument(event.event_id.as_str()),
        argument(timestamptz(event.event_time)),
        argument(event.action_source.as_str()),
        event.value.as_ref().map(|value| jsonb::numeric(value.as_str())),
        event.currency.as_ref().and_then(|currency| argument(currency.as_str())),
        argument(refused.iter().map(String::as_str).collect::<Vec<_>>()),
        argument(columns.identity),
        argument(columns.facts),
        argument(columns.dropped),
    ];
    ONE_STATEMENT.with(|statement| statement.run(client, &arguments).map(drop))?;
    Ok(true)
}

/// The keys of the events that are new.
fn insert_many(
    client: &mut SpiClient<'_>,
    source: &Source,
    events: &[Keyed],
    columns: &[Columns],
    now: TimestampWithTimeZone,
) -> Result<HashSet<([u8; 16], i64)>, spi::Error> {
    let texts =
        |of: &dyn Fn(&'_ Keyed) -> String| -> Vec<String> { events.iter().map(of).collect() };
    let arguments = [
        argument(columns.iter().map(|c| Uuid::from_bytes(c.hash)).collect::<Vec<_>>()),
        argument(columns.iter().map(|c| c.key_hash).collect::<Vec<_>>()),
        argument(events.iter().map(|e| e.key.as_str()).collect::<Vec<_>>()),
        argument(events.iter().map(|e| e.event.event.event_name.as_str()).collect::<Vec<_>>()),
        argument(events.iter().map(|e| e.event.event.event_id.as_str()).collect::<Vec<_>>()),
        argument(events.iter().map(|e| timestamptz(e.event.event.event_time)).collect::<Vec<_>>()),
        argument(events.iter().map(|e| e.event.event.action_source.as_str()).collect::<Vec<_>>()),
        argument(
            events
                .iter()
                .map(|e| e.event.event.value.as_ref().map(|v| v.as_str()))
                .collect::<Vec<_>>(),
        ),
        argument(
            events
                .iter()
                .map(|e| e.event.event.currency.as_ref().map(|c| c.as_str()))
                .collect::<Vec<_>>(),
        ),
        argument(texts(&|e| array_literal(&e.event.refused))),
        argument(columns.iter().map(|c| c.identity).collect::<Vec<_>>()),
        argument(columns.iter().map(|c| c.facts).collect::<Vec<_>>()),
        argument(columns.iter().map(|c| c.dropped).collect::<Vec<_>>()),
        argument(now),
        argument(source.era),
        argument(source.id),
        argument(source.version),
        argument(capi_core::RULES_VERSION),
        argument(sequence::draw(EVENT, events.len())),
    ];
    ARBITRATING.set(true);
    let fresh = INSERT_STATEMENT.with(|statement| -> Result<_, spi::Error> {
        let mut rows = statement.run(client, &arguments)?;
        let mut fresh = HashSet::with_capacity(rows.len());
        while let Some(row) = rows.next() {
            if let (Some(hash), Some(key_hash)) = (row.get::<Uuid>(0), row.get::<i64>(1)) {
                fresh.insert((*hash.as_bytes(), key_hash));
            }
        }
        Ok(fresh)
    })?;
    ARBITRATING.set(false);
    Ok(fresh)
}

/// The event that holds a key.
struct Holder {
    key_hash: i64,
    event: i64,
    captured_at: TimestampWithTimeZone,
    /// Written by this transaction.
    is_mine: bool,
    /// Of another source that is tracked.
    is_elsewhere: bool,
    /// None of an event beyond retention, which nobody sends any more.
    consent: Option<Known>,
}

/// Judges events whose key was there already: rewritten, repeated, or an id of another row.
fn existing(
    client: &mut SpiClient<'_>,
    source: &Source,
    known: &[(&Keyed, &Columns)],
    word: Word,
    written: &mut Written,
) -> Result<(), spi::Error> {
    let holders = holders(client, source, known)?;
    for events in known.chunk_by(|(a, _), (b, _)| a.key == b.key) {
        let Some((Keyed { key, .. }, _)) = events.first() else { continue };
        let heard = judge(client, source, &holders, events, written)?;
        if consent::hear(client, key, &heard, word)? {
            written.again.push(key.clone());
        }
    }
    Ok(())
}

/// Judges the events of one key; returns those of other transactions, whose consent is to be heard.
fn judge<'a>(
    client: &mut SpiClient<'_>,
    source: &Source,
    holders: &'a HashMap<[u8; 16], Holder>,
    events: &[(&'a Keyed, &Columns)],
    written: &mut Written,
) -> Result<Vec<(&'a Known, &'a [String])>, spi::Error> {
    let mut heard = Vec::new();
    for (keyed, column) in events {
        let Some(holder) = holders.get(&column.hash) else { continue };
        if holder.key_hash != column.key_hash || holder.is_elsewhere {
            // Another row's, or the same row's through another view that is tracked, too.
            let other = if holder.key_hash == column.key_hash { "view" } else { "row" };
            written.failed.push(Failed {
                key: keyed.key.clone(),
                event_name: Some(keyed.event.event.event_name.clone()),
                sqlstate: "23505".into(),
                reason: format!("event_id_of_another_{other}"),
                field: Some("event_id"),
            });
        } else if holder.is_mine {
            let e = &keyed.event.event;
            client.update(
                REWRITE,
                None,
                &[
                    holder.event.into(),
                    holder.captured_at.into(),
                    source.version.into(),
                    timestamptz(e.event_time).into(),
                    e.action_source.as_str().into(),
                    e.value.as_ref().map(|v| v.as_str().to_owned()).into(),
                    e.currency.map(|c| c.as_str().to_owned()).into(),
                    keyed.event.refused.clone().into(),
                    column.identity.into(),
                    column.facts.into(),
                    column.dropped.into(),
                ],
            )?;
        } else if let Some(known) = &holder.consent {
            heard.push((known, keyed.event.refused.as_slice()));
        }
    }
    Ok(heard)
}

/// The events that hold the keys of others, by their hashes.
fn holders(
    client: &mut SpiClient<'_>,
    source: &Source,
    known: &[(&Keyed, &Columns)],
) -> Result<HashMap<[u8; 16], Holder>, spi::Error> {
    let hashes: Vec<Uuid> = known.iter().map(|(_, c)| Uuid::from_bytes(c.hash)).collect();
    let mut holders = HashMap::new();
    EXISTING_STATEMENT.with(|statement| -> Result<(), spi::Error> {
        let mut found = statement.run(client, &[argument(hashes), argument(source.id)])?;
        while let Some(row) = found.next() {
            let (Some(hash), Some(key_hash), Some(event), Some(captured_at)) =
                (row.get::<Uuid>(0), row.get::<i64>(1), row.get::<i64>(2), row.get(3))
            else {
                continue;
            };
            let is = |column| row.get::<bool>(column).unwrap_or(false);
            let withdrawn = row.get::<Vec<String>>(6);
            let consent = row.get::<Vec<String>>(5).map(|at_capture| Known {
                source: row.get(9).unwrap_or(source.id),
                captured_at,
                at_capture,
                withdrawn,
                by_call: is(7),
            });
            let (is_mine, is_elsewhere) = (is(4), is(8));
            let holder = Holder { key_hash, event, captured_at, is_mine, is_elsewhere, consent };
            holders.insert(*hash.as_bytes(), holder);
        }
        Ok(())
    })?;
    Ok(holders)
}

/// Deletes what this transaction has written for these keys and would not write now. Its rows are
/// nobody else's yet.
pub(super) fn take_back(source: &Source, keys: Vec<String>, events: &[Keyed]) {
    let wanted: HashSet<([u8; 16], &str)> = events
        .iter()
        .map(|e| {
            let event = &e.event.event;
            (event_hash(source, &event.event_name, &event.event_id), e.key.as_str())
        })
        .collect();
    as_role(source.owner, || {
        Spi::connect_mut(|client| -> Result<(), spi::Error> {
            let (mut ids, mut times, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
            for row in client.update(MINE, None, &[source.id.into(), keys.into()])? {
                let (Some(id), Some(at), Some(name), Some(event_id), Some(key)) = (
                    row.get::<i64>(1)?,
                    row.get::<TimestampWithTimeZone>(2)?,
                    row.get::<String>(3)?,
                    row.get::<String>(4)?,
                    row.get::<String>(5)?,
                ) else {
                    continue;
                };
                let hash = event_hash(source, &name, &event_id);
                if !wanted.contains(&(hash, key.as_str())) {
                    ids.push(id);
                    times.push(at);
                    hashes.push(Uuid::from_bytes(hash));
                }
            }
            if !ids.is_empty() {
                client.update(TAKE_BACK, None, &[ids.into(), times.into(), hashes.into()])?;
            }
            Ok(())
        })
    })
    .unwrap_or_else(|e| pgrx::error!("outbox cannot be mended: {e}"));
}

/// Puts failed captures on record, as the schema's owner. Keys must be distinct and in one order
/// everywhere.
pub(super) fn record(owner: pg_sys::Oid, source: i32, failed: &[Failed]) {
    let column = |of: &dyn Fn(&Failed) -> Option<String>| -> Vec<Option<String>> {
        failed.iter().map(of).collect()
    };
    as_role(owner, || {
        Spi::connect_mut(|client| {
            let unrecorded = client
                .update(
                    RECORD,
                    None,
                    &[
                        source.into(),
                        column(&|f| Some(f.key.clone())).into(),
                        column(&|f| f.event_name.clone()).into(),
                        column(&|f| Some(f.sqlstate.clone())).into(),
                        column(&|f| Some(f.reason.clone())).into(),
                        column(&|f| f.field.map(str::to_owned)).into(),
                        sequence::draw(ERROR, failed.len()).into(),
                    ],
                )?
                .first()
                .get_one::<i64>()?;
            if let Some(more) = unrecorded.filter(|more| *more > 0) {
                client.update(COUNT_UNRECORDED, None, &[source.into(), more.into()])?;
            }
            Ok::<_, spi::Error>(())
        })
    })
    .unwrap_or_else(|e| pgrx::error!("capture errors cannot be written: {e}"));
}

/// Closes the open errors of keys that went well, as the schema's owner.
pub(super) fn settle(owner: pg_sys::Oid, source: i32, keys: Vec<String>) {
    as_role(owner, || {
        Spi::connect_mut(|client| {
            let arguments = [argument(source), argument(keys)];
            SETTLE_STATEMENT.with(|statement| statement.run(client, &arguments).map(drop))
        })
    })
    .unwrap_or_else(|e| pgrx::error!("capture errors cannot be settled: {e}"));
}

/// Closes the open errors of rows that are gone, as the schema's owner.
pub(super) fn vanish(owner: pg_sys::Oid, source: i32, keys: &[String]) {
    as_role(owner, || {
        Spi::connect_mut(|client| {
            client.update(VANISH, None, &[source.into(), keys.to_vec().into()]).map(drop)
        })
    })
    .unwrap_or_else(|e| pgrx::error!("capture errors cannot be settled: {e}"));
}

/// What makes an event of a source unique.
pub(super) fn event_hash(source: &Source, event_name: &str, event_id: &str) -> [u8; 16] {
    fingerprint(&[&source.name, event_name, event_id])
}

/// Counts failed captures, as the schema's owner: a sequence outlives rollback.
pub(super) fn count(owner: pg_sys::Oid, failed: usize) {
    as_role(owner, || sequence::add(FAILURES, failed));
}

impl Columns {
    fn of(source: &Source, keyed: &Keyed) -> Self {
        let NewEvent { event, dropped, .. } = keyed.event.as_ref();
        let hash = event_hash(source, &event.event_name, &event.event_id);
        let mut key_hash = [0; 8];
        key_hash.copy_from_slice(&fingerprint(&[&keyed.key])[..8]);
        Self {
            hash,
            key_hash: i64::from_be_bytes(key_hash),
            identity: Jsonb::identity(&event.identity),
            facts: Jsonb::object(&event.facts.0),
            dropped: Jsonb::texts(dropped),
        }
    }
}

/// The text of a Postgres array of texts.
fn array_literal(texts: &[String]) -> String {
    let quoted: Vec<String> = texts
        .iter()
        .map(|t| format!("\"{}\"", t.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    format!("{{{}}}", quoted.join(","))
}

fn timestamptz(time: Timestamp) -> TimestampWithTimeZone {
    // Core takes no time of an event that is no timestamptz, as a view's is, or has more than the four
    // digits of a year in JSON; and now is in range for ages.
    TimestampWithTimeZone::try_from(clock::to_postgres(time))
        .unwrap_or_else(|_| pgrx::error!("event_time: not a time that Postgres has"))
}

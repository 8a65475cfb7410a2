//! Owns the custom audiences: who is in each, and the sessions that its changes came in.
//!
//! The stand-in knows no people, only rows. Who is removed is whoever has one of the strong
//! identifiers that the removal names: an email address, a phone or the sender's own id.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::meta::{Session, Users, out_of_turn};
use super::refusal::Refusal;

/// How long a session lasts, in microseconds.
const SESSION_US: i64 = 90 * 60 * 1_000_000;

/// Keys that are one person's.
const STRONG: [&str; 4] = ["EMAIL", "PHONE", "EXTERN_ID", "MADID"];

/// Most rows that are shown.
const MAX_SHOWN: usize = 1_000;

/// What a request does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Remove,
}

#[derive(Debug)]
struct Series {
    change: Change,
    began: i64,
    sequence: u64,
    is_over: bool,
    received: usize,
    invalid: usize,
}

/// One audience.
#[derive(Debug, Default)]
struct List {
    next: u64,
    members: BTreeMap<u64, Map<String, Value>>,
    by_id: HashMap<(&'static str, String), BTreeSet<u64>>,
    sessions: BTreeMap<u64, Series>,
    requests: u64,
    added: usize,
    removed: usize,
    invalid: usize,
}

/// What was received in a session so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) rows: usize,
    pub(super) invalid: usize,
}

/// All audiences.
#[derive(Debug, Default)]
pub(super) struct Audiences(BTreeMap<String, List>);

impl Audiences {
    /// Takes a request in, or refuses it for its place in its session.
    pub(super) fn take(
        &mut self,
        audience: &str,
        change: Change,
        users: Users,
        now: i64,
    ) -> Result<Received, Refusal> {
        let list = self.0.entry(audience.to_owned()).or_default();
        list.enter(users.session, change, now)?;
        let Users { session, rows, invalid } = users;
        list.requests += 1;
        list.invalid += invalid;
        let all = rows.len() + invalid;
        for row in rows {
            match change {
                Change::Add => list.add(row),
                Change::Remove => list.remove(&row),
            }
        }
        let Some(series) = list.sessions.get_mut(&session.id) else {
            return Ok(Received { rows: all, invalid });
        };
        series.received += all;
        series.invalid += invalid;
        Ok(Received { rows: series.received, invalid: series.invalid })
    }

    /// Every audience: numbers, and some of the members.
    pub(super) fn shown(&self) -> Value {
        let lists = self.0.iter().map(|(id, list)| {
            let rows: Vec<&Map<String, Value>> = list.members.values().take(MAX_SHOWN).collect();
            let sessions: Vec<Value> = list
                .sessions
                .iter()
                .map(|(id, series)| {
                    json!({
                        "session_id": id,
                        "method": match series.change { Change::Add => "POST", Change::Remove => "DELETE" },
                        "requests": series.sequence,
                        "received": series.received,
                        "complete": series.is_over,
                    })
                })
                .collect();
            let shown = json!({
                "members": list.members.len(),
                "requests": list.requests,
                "rows_added": list.added,
                "rows_removed": list.removed,
                "rows_invalid": list.invalid,
                "sessions": sessions,
                "rows": rows,
            });
            (id.clone(), shown)
        });
        Value::Object(lists.collect())
    }
}

impl List {
    fn enter(&mut self, session: Session, change: Change, now: i64) -> Result<(), Refusal> {
        let Session { id, sequence, is_last } = session;
        let series = self.sessions.entry(id).or_insert(Series {
            change,
            began: now,
            sequence: 0,
            is_over: false,
            received: 0,
            invalid: 0,
        });
        let refusal = match () {
            () if series.is_over => out_of_turn("session_id", "has had its last request"),
            () if now - series.began > SESSION_US => {
                out_of_turn("session_id", "is older than 90 minutes")
            }
            () if series.change != change => {
                out_of_turn("session_id", "must not add and remove in one session")
            }
            () if series.sequence + 1 != sequence => {
                out_of_turn("batch_seq", "must count from 1 without gaps")
            }
            () => {
                series.sequence = sequence;
                series.is_over = is_last;
                return Ok(());
            }
        };
        if series.sequence == 0 {
            self.sessions.remove(&id);
        }
        Err(refusal)
    }

    fn add(&mut self, row: Map<String, Value>) {
        self.added += 1;
        // The same person again: the row is renewed.
        let same = |ids: &BTreeSet<u64>| {
            ids.iter()
                .copied()
                .find(|id| STRONG.iter().all(|key| text(&self.members[id], key) == text(&row, key)))
        };
        let known = strong(&row).find_map(|id| same(self.by_id.get(&id)?));
        let id = known.unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        for key in strong(&row) {
            self.by_id.entry(key).or_default().insert(id);
        }
        self.members.insert(id, row);
    }

    fn remove(&mut self, row: &Map<String, Value>) {
        self.removed += 1;
        for key in strong(row) {
            for id in self.by_id.get(&key).cloned().unwrap_or_default() {
                let Some(gone) = self.members.remove(&id) else { continue };
                for key in strong(&gone) {
                    if let Some(ids) = self.by_id.get_mut(&key) {
                        ids.remove(&id);
                    }
                }
            }
        }
    }
}

fn text<'a>(row: &'a Map<String, Value>, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn strong(row: &Map<String, Value>) -> impl Iterator<Item = (&'static str, String)> {
    STRONG.into_iter().map(|key| (key, text(row, key).to_owned())).filter(|(_, t)| !t.is_empty())
}

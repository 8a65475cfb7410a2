//! The torture: random transactions of many sessions on tables of every kind, a sidecar that is killed
//! again and again, random kills of sessions and server, and the books afterwards.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::chance::Chance;
use crate::database::{Database, Trouble};
use crate::patience::eventually;

pub mod delivery;
mod session;
mod shared;

use shared::Shared;
pub use shared::{TRACE, Tally};

/// Tables, views, triggers and books.
const SCHEMA: &str = include_str!("schema.sql");

/// Sessions at work at the same time.
const WORKERS: u64 = 8;

/// What is done to the sessions and the server meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violence {
    /// Nothing.
    None,
    /// Cancels, terminations, backends and the whole server killed.
    Kills,
}

/// Makes the tables and tracks them, with the platform at this address.
pub async fn prepare(database: &Database, endpoint: &str) {
    database.run(&SCHEMA.replace("{endpoint}", endpoint)).await;
}

/// Lets the workers loose for some time and resolves what they left prepared.
pub async fn rage(
    database: &mut Database,
    seed: u64,
    length: Duration,
    violence: Violence,
    tally: &Tally,
) {
    let phase = seed.wrapping_mul(31).wrapping_add(u64::from(violence == Violence::Kills));
    // No number is ever used twice.
    let start = if violence == Violence::Kills { 5_000_000 } else { 0 };
    let shared = Arc::new(Shared {
        open: AtomicBool::new(true),
        numbers: (0..WORKERS).map(|_| AtomicU64::new(start)).collect(),
        recent: Mutex::new(VecDeque::new()),
        tally: tally.clone(),
    });
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let chance = Chance::new(phase.wrapping_mul(1_000).wrapping_add(worker));
        let place = (database.cluster(), database.name().to_owned());
        let work = session::Worker::new(worker, chance, Arc::clone(&shared), place);
        workers.push(tokio::spawn(work.work()));
    }
    let end = tokio::time::Instant::now() + length;
    if violence == Violence::Kills {
        hurt(database, Chance::new(phase ^ 0x5EED), end, tally).await;
    } else {
        tokio::time::sleep_until(end).await;
    }
    shared.open.store(false, Ordering::Relaxed);
    for worker in workers {
        worker.await.expect("a worker ends well");
    }
    resolve(database, Chance::new(phase), tally).await;
    // The view is sound again, and no trigger tells.
    database
        .run(
            "set session_replication_role = replica; update torture.orders set mood = 'calm' where mood = 'broken';
            reset session_replication_role",
        )
        .await;
}

/// Cancels and kills until the time is over.
async fn hurt(
    database: &mut Database,
    mut chance: Chance,
    end: tokio::time::Instant,
    tally: &Tally,
) {
    // Each kind happens in the shortest run too.
    let mut due = vec!["postmaster killed", "backend killed", "terminated", "cancelled"];
    loop {
        let over = tokio::time::Instant::now() >= end;
        if over && due.is_empty() {
            break;
        }
        // A pause is no waiting for something: it is how long the shop trades between two blows.
        tokio::time::sleep(Duration::from_millis(20 + chance.below(100))).await;
        let blow = match chance.below(100) {
            _ if over => due[due.len() - 1],
            0..1 => "postmaster killed",
            1..4 => "backend killed",
            4..20 => "terminated",
            _ => "cancelled",
        };
        let pids = "select pid from pg_stat_activity
            where datname = current_database() and usename = 'app' and state <> 'idle' order by pid";
        let pids: Vec<String> = match database.attempt(pids).await {
            Ok(rows) => rows.into_iter().filter_map(|row| row[0].clone()).collect(),
            Err(_) => {
                reconnect(database).await;
                continue;
            }
        };
        if pids.is_empty() {
            continue;
        }
        let pid = &pids[chance.below(pids.len() as u64) as usize];
        match blow {
            "postmaster killed" => {
                database.cluster().kill().await;
                database.cluster().boot_after_kill().await;
                reconnect(database).await;
            }
            "backend killed" => {
                let kill = std::process::Command::new("kill").args(["-9", pid]).status();
                if !kill.expect("the program kill").success() {
                    continue;
                }
                reconnect(database).await;
            }
            "terminated" => {
                let _ = database.attempt(&format!("select pg_terminate_backend({pid})")).await;
            }
            _ => {
                let _ = database.attempt(&format!("select pg_cancel_backend({pid})")).await;
            }
        }
        tally.add(blow);
        due.retain(|kind| *kind != blow);
    }
    reconnect(database).await;
}

async fn reconnect(database: &mut Database) {
    eventually("the server is back", 60, async || {
        // A session may still be there from before the crash.
        match database.try_reconnect().await {
            Ok(()) => match database.attempt("select 1").await {
                Ok(_) => Ok(()),
                Err(_) => Err("the connection is lost again".to_owned()),
            },
            Err(error) => Err(error),
        }
    })
    .await;
}

/// Ends what was prepared and left.
async fn resolve(database: &Database, mut chance: Chance, tally: &Tally) {
    let left = database
        .column(
            "select gid from pg_prepared_xacts where database = current_database() order by gid",
        )
        .await;
    for gid in left {
        let end = chance.of(&["commit prepared", "rollback prepared"]);
        match database.attempt(&format!("{end} '{gid}'")).await {
            Ok(_) => tally.add(&format!("{end} later")),
            Err(Trouble::Refused(refusal)) => panic!("{end} {gid}: {refusal:?}"),
            Err(Trouble::Lost) => panic!("the connection is lost"),
        }
    }
}

/// Which rows have no event before any sweep. Returns how many of them are on record, or in the
/// server's log where not even the record could be written, and keys of the others.
pub async fn unswept(database: &Database) -> (usize, Vec<String>) {
    let missing = database.rows("select source, key, on_record from torture.missing").await;
    let log = database.cluster().log();
    let (mut known, mut lost) = (0, Vec::new());
    for row in missing {
        let key = row[1].clone().unwrap_or_default();
        if row[2].as_deref() == Some("t") || log.contains(&format!("key {key}: capture failed")) {
            known += 1;
        } else {
            lost.push(format!("{} {key}", row[0].clone().unwrap_or_default()));
        }
    }
    (known, lost)
}

/// One sweep and a look at all open records; then everything that is wrong.
pub async fn balance(database: &Database) -> Vec<String> {
    database.run("select capi.sweep(); select capi.recapture()").await;
    let mut wrong = Vec::new();
    for (what, sql) in BOOKS {
        for row in database.column(sql).await {
            wrong.push(format!("{what}: {row}"));
        }
    }
    for leak in crate::leaks::relations_with(database, &[TRACE.to_owned()]).await {
        wrong.push(format!("clear text in {leak}"));
    }
    wrong
}

/// What must be empty, and the question.
const BOOKS: [(&str, &str); 11] = [
    // A row that was gone before the sweep and whose capture had failed is on record as that.
    ("no event", "select source || ' ' || key from torture.missing m
        where not (on_record and exists (select from torture.gone g where (g.source, g.key) = (m.source, m.key)))"),
    ("an event of nothing", "select f.source || ' ' || f.key || ' ' || f.event_id from torture.found f
        where not exists (select from torture.expected e
            where (e.source, e.key, e.event_id) = (f.source, f.key, f.event_id))"),
    ("expected twice", "select source || ' ' || key from torture.expected group by source, key having count(*) > 1"),
    ("two events", "select source || ' ' || key from torture.found group by source, key having count(*) > 1"),
    ("wrong money", "select f.source || ' ' || f.key || ' ' || f.value || ' for ' || e.value
        from torture.found f join torture.expected e using (source, key)
        where (f.value, f.currency) is distinct from (e.value, e.currency)"),
    ("sums", "select * from (
            select currency || ' ' || sum(value) from torture.expected e
            where not exists (select from torture.missing m where (m.source, m.key) = (e.source, e.key)) group by currency
            except select currency || ' ' || sum(value) from torture.found group by currency) x"),
    ("lines", "select f.key || ' ' || f.lines || ' of ' || c.lines from torture.found f join torture.conversions c using (source, key)
        where f.lines <> c.lines and f.refused = '{}'"),
    ("event_key", "select coalesce(k.event, o.id)::text from capi.event_key k
        full join capi.outbox o on o.id = k.event and o.captured_at = k.captured_at where k.event is null or o.id is null"),
    ("refused and not withheld", "select f.source || ' ' || f.key from torture.found f
        join torture.conversions c using (source, key)
        left join capi.withdrawal w on w.source = f.number and w.key = f.key and w.at >= f.captured_at
        where not c.consent and not '*' = any (coalesce(w.refused, f.refused))"),
    ("withdrawn and not withheld", "select s.name || ' ' || w.key from capi.withdrawal w join capi.source s using (source)
        where w.note = 'torture' and not '*' = any (w.refused)"),
    ("open", "select name || ' ' || key || ' ' || sqlstate || ' ' || reason from capi.capture_error e join capi.source s using (source) where resolved_at is null
            and not exists (select from torture.conversions c where (c.source, c.key) = (s.name, e.key) and c.consent is null)"),
];

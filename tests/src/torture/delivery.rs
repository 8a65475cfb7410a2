//! The sidecar in the torture: killed at random while sessions and server are, and at the end what the
//! platform took against the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use super::shared::{TRACE, Tally};
use crate::chance::Chance;
use crate::database::Database;
use crate::patience::eventually;
use crate::platform::Platform;
use crate::sidecar::Sidecar;

/// A sidecar that dies again and again.
pub struct Mortal {
    open: Arc<AtomicBool>,
    lives: JoinHandle<()>,
}

impl Mortal {
    /// Starts one; each death is counted.
    pub fn start(database: &Database, mut chance: Chance, tally: &Tally) -> Self {
        let open = Arc::new(AtomicBool::new(true));
        let (still_open, tally) = (open.clone(), tally.clone());
        let (folder, url) = (database.cluster().folder().to_owned(), database.url("capi"));
        let lives = tokio::spawn(async move {
            while still_open.load(Ordering::Relaxed) {
                let sidecar = Sidecar::start_at(&folder, &url, &[]);
                // A life is no waiting for something.
                tokio::time::sleep(Duration::from_millis(100 + chance.below(2_000))).await;
                sidecar.kill().await;
                tally.add("sidecar killed");
            }
        });
        Self { open, lives }
    }

    /// Waits for the last death.
    pub async fn end(self) {
        self.open.store(false, Ordering::Relaxed);
        self.lives.await.expect("a life ends well");
    }
}

/// Answers that come late, break off or claim less than was taken, now and then.
pub async fn trouble(platform: &Platform) {
    for kind in ["cut_before_body", "cut_after_body", "cut_mid_answer", "lie", "status", "garbage"]
    {
        platform.fault(json!({"kind": kind, "probability": 0.02})).await;
    }
    platform.fault(json!({"kind": "late", "ms": 100, "probability": 0.3})).await;
}

/// Sends the rest without trouble, and gives everything that is wrong and the number of duplicates.
pub async fn balance(database: &Database, platform: &Platform) -> (Vec<String>, usize) {
    platform.heal().await;
    let sidecar = Sidecar::start(database);
    eventually("every event has its receipt", 180, async || {
        // The platform was away for long for some of them.
        database.run("update capi.batch set due_at = now() where state = 'ready'").await;
        let open = "select count(*) from capi.outbox o
            where not exists (select from capi.receipt r where r.event = o.id)";
        let open =
            (database.get(open).await, database.get("select count(*) from capi.batch").await);
        if open.0 == "0" && open.1 == "0" { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
    let mut wrong = Vec::new();
    let rows = database
        .rows(
            "select o.event_id, count(r.event), min(r.status::text), bool_or(r.possible_duplicate)
            from capi.outbox o left join capi.receipt r on r.event = o.id group by o.event_id",
        )
        .await;
    let mut outbox = BTreeMap::new();
    for row in rows {
        let row: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
        if row[1] != "1" {
            wrong.push(format!("{} has {} receipts", row[0], row[1]));
        }
        outbox.insert(row[0].clone(), (row[2].clone(), row[3] == "t"));
    }
    let seen = platform.seen().await;
    for (id, times) in &seen {
        match outbox.get(id) {
            None => wrong.push(format!("{id} was sent and is not in the outbox")),
            Some((_, false)) if *times > 1 => {
                wrong.push(format!("{id}: a double without a record"));
            }
            Some((status, false)) if status != "delivered" => {
                wrong.push(format!("{id} was sent and is {status} without a word of it"));
            }
            Some(_) => {}
        }
    }
    for (id, (status, _)) in &outbox {
        if status == "delivered" && !seen.contains_key(id) {
            wrong.push(format!("{id} is lost"));
        }
    }
    for status in ["refused", "expired", "unrouted"] {
        let odd = outbox.iter().find(|(_, (found, _))| found == status);
        wrong.extend(odd.map(|(id, _)| format!("{id} and perhaps others are {status}")));
    }
    let sent = platform.requests().await;
    if sent.iter().any(|request| request.to_string().contains(TRACE))
        || sidecar.log().contains(TRACE)
    {
        wrong.push("clear text in a request or in the sidecar's log".to_owned());
    }
    (wrong, seen.values().filter(|times| **times > 1).count())
}

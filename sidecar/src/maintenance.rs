//! The loop that keeps the database in order: partitions ahead, retention, the sweep. It is no part of
//! the delivery and does not wait for work: where nothing is captured because the capture is broken,
//! nobody rings, and the sweep must find out.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::worker::{Tools, chain};

/// Pause before the first one, at most: who starts has something to deliver first.
const FIRST: Duration = Duration::from_secs(5);

/// Pause after one that did not go well, at most.
const AGAIN: Duration = Duration::from_secs(60);

/// How one went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Well,
    Failed,
    /// The connection was lost or refused. Once is no failure: servers are restarted.
    Lost,
}

/// Maintains now and then until `stop` turns true.
pub async fn run(tools: Tools, mut stop: watch::Receiver<bool>) {
    let every = tools.config.maintain_every;
    let mut pause = every.min(FIRST);
    let mut last = Outcome::Well;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        pause = every.min(AGAIN);
        // A database that is away is another alert's matter.
        if !tools.vitals.is_connected() {
            continue;
        }
        // In a task of its own: a call that was given up would still hold its connection.
        let at_it = tokio::spawn(maintain(tools.clone(), last));
        last = tokio::select! {
            outcome = at_it => outcome.unwrap_or(Outcome::Failed),
            _ = stop.wait_for(|stop| *stop) => return,
        };
        if last == Outcome::Well {
            pause = every;
        }
    }
}

async fn maintain(tools: Tools, last: Outcome) -> Outcome {
    let runs = &tools.metrics.maintenance;
    // One table per call.
    loop {
        match tools.queue.maintain().await {
            Ok(done) => {
                debug!(%done, "maintenance");
                if done.get("skipped").is_none() {
                    tools.vitals.maintained(true);
                    runs.with_label_values(&["done"]).inc();
                }
                if done["more"] != true {
                    let failed = &done["failed"];
                    if failed.as_array().is_some_and(|failed| !failed.is_empty()) {
                        warn!(%failed, "maintenance failed; capi.maintenance() says why");
                    }
                    return Outcome::Well;
                }
            }
            Err(error) => {
                tools.metrics.database_error(&error);
                // What it does may be what ends the server each time.
                if error.is_about_connection() && last != Outcome::Lost {
                    info!(error = chain(&error), "maintenance was cut off");
                    return Outcome::Lost;
                }
                tools.vitals.maintained(false);
                runs.with_label_values(&["failed"]).inc();
                warn!(error = chain(&error), "maintenance failed");
                return Outcome::Failed;
            }
        }
    }
}

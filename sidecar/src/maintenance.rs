//! The loop that keeps the database in order: partitions ahead, retention, the sweep. It is no part of
//! the delivery and does not wait for work: where nothing is captured because the capture is broken,
//! nobody rings, and the sweep must find out.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::queue::QueueError;
use crate::worker::{Tools, chain};

/// Pause before the first one, at most: who starts has something to deliver first.
const FIRST: Duration = Duration::from_secs(5);

/// Pause after one that failed, at most.
const AGAIN: Duration = Duration::from_secs(60);

/// Maintains now and then until `stop` turns true.
pub async fn run(tools: Tools, mut stop: watch::Receiver<bool>) {
    let every = tools.config.maintain_every;
    let mut pause = every.min(FIRST);
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        // In a task of its own: a call that was given up would still hold its connection.
        let at_it = tokio::spawn(maintain(tools.clone()));
        tokio::select! {
            well = at_it => pause = if well.unwrap_or(false) { every } else { every.min(AGAIN) },
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Whether it went well.
async fn maintain(tools: Tools) -> bool {
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
                    return true;
                }
            }
            // A database that is away is another alert's matter.
            Err(error @ QueueError::Unreachable(_)) => {
                debug!(error = chain(&error), "maintenance has to wait");
                return false;
            }
            Err(error) => {
                tools.vitals.maintained(false);
                runs.with_label_values(&["failed"]).inc();
                warn!(error = chain(&error), "maintenance failed");
                return false;
            }
        }
    }
}

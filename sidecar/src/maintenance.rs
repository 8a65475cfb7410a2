//! The loop that keeps the database in order: partitions ahead, retention, the sweep. It is no part of
//! the delivery and does not wait for work: where nothing is captured because the capture is broken,
//! nobody rings, and the sweep must find out.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::worker::{Context, chain};

/// Pause before the first one, at most: who starts has something to deliver first.
const FIRST: Duration = Duration::from_secs(5);

/// Pause after one that did not go well, at most.
const AGAIN: Duration = Duration::from_secs(60);

/// How long another session may be at it before somebody must look: it hangs, or does it on purpose.
const HELD_TOO_LONG: Duration = Duration::from_secs(3600);

/// How one went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Well,
    /// Another session is at it.
    Skipped,
    Failed,
    /// The connection was lost or refused. Once is no failure: servers are restarted.
    Lost,
}

/// Maintains now and then until `stop` turns true.
pub async fn run(context: Context, mut stop: watch::Receiver<bool>) {
    let every = context.config.maintain_every;
    let mut pause = every.min(FIRST);
    let mut last = Outcome::Well;
    let mut turn = Turn::new(Instant::now());
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        pause = every.min(AGAIN);
        // A database that is away is another alert's matter.
        if !context.vitals.is_connected() {
            continue;
        }
        // In a task of its own: a call that was given up would still hold its connection.
        let at_it = tokio::spawn(maintain(context.clone(), last));
        last = tokio::select! {
            outcome = at_it => outcome.unwrap_or(Outcome::Failed),
            _ = stop.wait_for(|stop| *stop) => return,
        };
        if turn.is_overdue(last, Instant::now()) {
            context.vitals.maintained(false);
            context.metrics.maintenance.with_label_values(&["failed"]).inc();
            warn!(
                "maintenance has been skipped for an hour; capi.locks() names the session that holds it up"
            );
        }
        if last == Outcome::Well {
            pause = every;
        }
    }
}

/// Whether it was this sidecar's turn lately: to be kept from it for long is a failure.
struct Turn {
    last: Instant,
}

impl Turn {
    fn new(now: Instant) -> Self {
        Self { last: now }
    }

    /// Takes note of an outcome; true when others have been at it for too long.
    fn is_overdue(&mut self, outcome: Outcome, now: Instant) -> bool {
        if outcome != Outcome::Skipped {
            self.last = now;
        }
        now.duration_since(self.last) >= HELD_TOO_LONG
    }
}

async fn maintain(context: Context, last: Outcome) -> Outcome {
    let runs = &context.metrics.maintenance;
    // One table per call.
    loop {
        match context.queue.maintain().await {
            Ok(done) => {
                debug!(%done, "maintenance");
                if done.get("skipped").is_some() {
                    debug!(by = %done["by"], "another session maintains");
                    return Outcome::Skipped;
                }
                let failed = &done["failed"];
                let has_failed = failed.as_array().is_some_and(|failed| !failed.is_empty());
                // The call itself went through; tasks that failed are in the database's books, from where
                // every sidecar tells of them.
                context.vitals.maintained(true);
                runs.with_label_values(&[if has_failed { "failed" } else { "done" }]).inc();
                if done["more"] != true {
                    if has_failed {
                        warn!(%failed, "maintenance failed; capi.maintenance() says why");
                    }
                    return if has_failed { Outcome::Failed } else { Outcome::Well };
                }
            }
            Err(error) => {
                context.metrics.database_error(&error);
                // What it does may be what ends the server each time.
                if error.is_about_connection() && last != Outcome::Lost {
                    info!(error = chain(&error), "maintenance was cut off");
                    return Outcome::Lost;
                }
                context.vitals.maintained(false);
                runs.with_label_values(&["failed"]).inc();
                warn!(error = chain(&error), "maintenance failed");
                return Outcome::Failed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_be_kept_from_it_for_an_hour_is_a_failure() {
        let start = Instant::now();
        let minutes = |n: u64| start + Duration::from_secs(60 * n);
        let mut turn = Turn::new(start);
        assert!(!turn.is_overdue(Outcome::Skipped, minutes(59)));
        assert!(turn.is_overdue(Outcome::Skipped, minutes(60)));
        assert!(turn.is_overdue(Outcome::Skipped, minutes(61)), "until it is its turn");
        assert!(!turn.is_overdue(Outcome::Well, minutes(62)));
        assert!(!turn.is_overdue(Outcome::Skipped, minutes(121)));
        assert!(!turn.is_overdue(Outcome::Lost, minutes(130)), "the database's trouble");
    }
}

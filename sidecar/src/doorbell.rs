//! Arm, drain, sleep: when the database is asked for work.
//!
//! While work flows the database is polled every few milliseconds. After a while without work the
//! bell is armed, the queue polled once more, and the sidecar sleeps until a commit rings, a batch
//! is due, or the safety poll. Armed means that commits pay for a NOTIFY, so a steady load never
//! arms it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use crate::config;
use crate::queue::{Polled, QueueError, Session};
use crate::worker::Context;
use crate::workers::{View, Workers};

/// Longest pause between polls while awake without getting anywhere: another session holds the
/// bell's lock, or work is listed that nobody gets.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// How long a sidecar without the bell waits before it stands for election again.
const ELECTION: Duration = Duration::from_secs(60);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Poll after this pause.
    Poll(Duration),
    /// Wait for a worker: all know of work.
    Await,
    /// Arm and sleep.
    Sleep,
}

/// The pure part: from what was seen to what comes next.
struct Rhythm {
    settings: config::Doorbell,
    last_work: Instant,
    step: Duration,
}

impl Rhythm {
    fn new(settings: config::Doorbell, now: Instant) -> Self {
        Self { step: settings.poll, settings, last_work: now }
    }

    /// `claimed` tells whether any batch was claimed since the last look.
    fn next(&mut self, view: View, claimed: bool, now: Instant) -> Next {
        if claimed || view.busy {
            self.awake(now);
        }
        if now.duration_since(self.last_work) < self.settings.sleep_after {
            // Whoever knows of work needs no poll; whoever does not must not wait for the others.
            return if view.busy && !view.idle {
                Next::Await
            } else {
                Next::Poll(self.settings.poll)
            };
        }
        if view.told {
            return Next::Poll(self.slower());
        }
        Next::Sleep
    }

    /// Work flows, or may.
    fn awake(&mut self, now: Instant) {
        self.last_work = now;
        self.step = self.settings.poll;
    }

    /// The pause after a poll that led nowhere.
    fn slower(&mut self) -> Duration {
        self.step = (self.step * 2).min(LONGEST_STEP);
        self.step
    }
}

/// Runs until `stop` turns true or the connection is lost.
pub async fn run(
    session: &Session,
    workers: &mut Workers,
    context: &Context,
    mut stop: watch::Receiver<bool>,
) -> Result<(), QueueError> {
    let mut bell = Bell::new(session).await?;
    let mut rhythm = Rhythm::new(context.config.doorbell.clone(), Instant::now());
    let mut claimed = context.claimed.load(Ordering::Relaxed);
    while !*stop.borrow() {
        context.vitals.beat(context.config.doorbell.safety_poll);
        let view = look(session, workers).await?;
        let now = Instant::now();
        let so_far = context.claimed.load(Ordering::Relaxed);
        let progress = std::mem::replace(&mut claimed, so_far) != so_far;
        let pause = match rhythm.next(view, progress, now) {
            Next::Poll(pause) => pause,
            Next::Await => context.config.doorbell.safety_poll,
            Next::Sleep => {
                if bell.arm(session).await? {
                    sleep_armed(session, workers, context, &mut bell, &mut stop).await?;
                    rhythm.awake(Instant::now());
                    continue;
                }
                rhythm.slower()
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = context.nudge.notified() => {}
            _ = stop.changed() => {}
        }
    }
    bell.disarm(session).await
}

/// One poll and what follows from it.
async fn look(session: &Session, workers: &mut Workers) -> Result<View, QueueError> {
    let polled = session.poll().await?;
    tell(session, workers, &polled).await
}

async fn tell(
    session: &Session,
    workers: &mut Workers,
    polled: &[Polled],
) -> Result<View, QueueError> {
    if workers.is_stale(polled) {
        workers.rebuild(session.destinations().await?, polled);
    }
    for blocked in workers.changed_credentials() {
        let name = &blocked.name;
        if session.unblock(blocked.destination, blocked.version, "credential_changed").await? {
            info!(destination = name, "its credential was not tried yet: sending");
        }
    }
    Ok(workers.tell(polled))
}

/// Drains once more, then sleeps until there is something to do; wakes disarmed.
async fn sleep_armed(
    session: &Session,
    workers: &mut Workers,
    context: &Context,
    bell: &mut Bell,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), QueueError> {
    let safety_poll = context.config.doorbell.safety_poll;
    debug!(armed = bell.armed, "asleep");
    loop {
        let view = look(session, workers).await?;
        context.vitals.beat(safety_poll);
        if view.told || view.busy || *stop.borrow() {
            break;
        }
        let pause = view.due_in.map_or(safety_poll, |due_in| due_in.min(safety_poll));
        tokio::select! {
            () = session.rung() => {
                // Both at once: who waits for the answer waits for one round trip.
                let (polled, disarmed) = tokio::join!(session.poll(), bell.disarm(session));
                disarmed?;
                tell(session, workers, &polled?).await?;
                debug!("awake");
                return Ok(());
            }
            () = sleep(pause) => if bell.stand(session).await? {
                break;
            },
            () = context.nudge.notified() => {}
            _ = stop.changed() => {}
        }
    }
    debug!("awake");
    bell.disarm(session).await
}

/// This session's part in the bell. One sidecar per database keeps it; the others listen, and
/// for what nobody rings they have the safety poll.
struct Bell {
    keeps: bool,
    armed: bool,
    last_election: Instant,
}

impl Bell {
    async fn new(session: &Session) -> Result<Self, QueueError> {
        session.listen().await?;
        let keeps = session.bell_keep().await?;
        debug!(keeps, "bell");
        Ok(Self { keeps, armed: false, last_election: Instant::now() })
    }

    /// Whether to sleep: armed, or without the bell at all.
    async fn arm(&mut self, session: &Session) -> Result<bool, QueueError> {
        if self.keeps && !self.armed {
            self.armed = session.bell_arm().await?;
        }
        Ok(self.armed || !self.keeps)
    }

    async fn disarm(&mut self, session: &Session) -> Result<(), QueueError> {
        if std::mem::take(&mut self.armed) {
            session.bell_disarm().await?;
        }
        Ok(())
    }

    /// Stands for election now and then, for the keeper may be gone; true when elected.
    async fn stand(&mut self, session: &Session) -> Result<bool, QueueError> {
        if self.keeps || self.last_election.elapsed() < ELECTION {
            return Ok(false);
        }
        self.last_election = Instant::now();
        self.keeps = session.bell_keep().await?;
        Ok(self.keeps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rhythm(now: Instant) -> Rhythm {
        let settings = config::Doorbell {
            poll: 3 * MS,
            sleep_after: 50 * MS,
            safety_poll: Duration::from_secs(6),
        };
        Rhythm::new(settings, now)
    }

    const IDLE: View = View { idle: true, busy: false, told: false, due_in: None };

    #[test]
    fn sleeps_after_a_while_without_work() {
        let start = Instant::now();
        let mut rhythm = rhythm(start);
        assert_eq!(rhythm.next(IDLE, true, start), Next::Poll(3 * MS));
        assert_eq!(rhythm.next(IDLE, false, start + 49 * MS), Next::Poll(3 * MS));
        assert_eq!(rhythm.next(IDLE, false, start + 50 * MS), Next::Sleep);
        assert_eq!(rhythm.next(IDLE, true, start + 60 * MS), Next::Poll(3 * MS));
    }

    #[test]
    fn a_backlog_never_arms_the_bell() {
        let start = Instant::now();
        let mut rhythm = rhythm(start);
        let busy = View { busy: true, idle: false, ..IDLE };
        assert_eq!(rhythm.next(busy, false, start + 500 * MS), Next::Await);
        // A second destination must not wait for the first one's backlog.
        let mixed = View { busy: true, ..IDLE };
        assert_eq!(rhythm.next(mixed, false, start + 900 * MS), Next::Poll(3 * MS));
    }

    #[test]
    fn work_that_nobody_gets_is_polled_ever_more_slowly() {
        let start = Instant::now();
        let mut rhythm = rhythm(start);
        let told = View { told: true, ..IDLE };
        let pauses: Vec<Next> =
            (0..10).map(|round| rhythm.next(told, false, start + (60 + round) * MS)).collect();
        assert_eq!(pauses[0], Next::Poll(6 * MS));
        assert_eq!(pauses[1], Next::Poll(12 * MS));
        assert_eq!(pauses[9], Next::Poll(LONGEST_STEP));
        assert_eq!(rhythm.next(told, true, start + 100 * MS), Next::Poll(3 * MS));
    }

    #[test]
    fn without_any_destination_it_sleeps() {
        let start = Instant::now();
        let mut rhythm = rhythm(start);
        assert_eq!(rhythm.next(View::default(), false, start + 60 * MS), Next::Sleep);
    }
}

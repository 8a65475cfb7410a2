//! The backoff schedule: turns verdicts and attempts into times. Pure; chance and clock are
//! passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Ceiling of the first pause.
const BASE: Duration = Duration::from_secs(1);

/// Ceiling of every later pause: an event that expires in days is tried a thousand times, and a
/// platform that comes back gets its events within minutes.
const CAP: Duration = Duration::from_secs(600);

/// Failures in a row after which a destination is only probed.
const FAILURES_UNTIL_PROBING: u32 = 5;

/// Longest pause between probes: what is not sent while a platform is back is late for nothing.
const PROBE_CAP: Duration = Duration::from_secs(30);

/// Pause before the next send after `tries` earlier ones: exponential with full jitter, so that
/// batches that failed together do not return together. `draw` is uniform in 0 to 1.
///
/// Nothing is given up here: only the platform's verdict or its age ends an event.
pub fn backoff(tries: u32, after: Option<Duration>, draw: f64) -> Duration {
    jittered(tries, CAP, draw).max(after.unwrap_or_default())
}

/// Pause of a throttled batch: what the platform asked for and up to a tenth more.
pub fn wait(after: Duration, draw: f64) -> Duration {
    after + after.mul_f64(draw.clamp(0.0, 1.0) / 10.0)
}

/// Pause before the platform is asked again what became of accepted events, after `polls` questions:
/// twice as long each time, and never shorter than the platform wants. Half of it is jitter.
pub fn poll(polls: u32, after: Duration, draw: f64) -> Duration {
    let ceiling = BASE.saturating_mul(2 << polls.min(20)).min(CAP);
    (ceiling / 2 + ceiling.mul_f64(draw.clamp(0.0, 1.0)) / 2).max(after)
}

fn jittered(tries: u32, cap: Duration, draw: f64) -> Duration {
    let ceiling = BASE.saturating_mul(1 << tries.min(20)).min(cap);
    ceiling.mul_f64(draw.clamp(0.0, 1.0))
}

/// What a request told about the destination as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The platform answered and took its decision.
    Good,
    /// No answer, or one that asks for all of it again.
    Bad,
    /// No further request before this time.
    Hold(Duration),
}

/// How fast one destination may be sent to: a circuit breaker, so that a dead platform is probed
/// and not hammered.
#[derive(Debug, Default)]
pub struct Pace {
    failures: u32,
    closed_until: Option<Instant>,
}

impl Pace {
    /// Takes note of a finished request.
    pub fn note(&mut self, health: Health, now: Instant, draw: f64) {
        let pause = match health {
            Health::Good => {
                self.failures = 0;
                return;
            }
            Health::Bad => {
                self.failures = self.failures.saturating_add(1);
                match self.failures.checked_sub(FAILURES_UNTIL_PROBING) {
                    Some(beyond) => jittered(beyond, PROBE_CAP, draw),
                    None => return,
                }
            }
            Health::Hold(pause) => pause,
        };
        self.closed_until = self.closed_until.max(Some(now + pause));
    }

    /// Requests that may be in flight at `now`, of at most `concurrency`.
    pub fn slots(&self, concurrency: usize, now: Instant) -> usize {
        if self.closed_until.is_some_and(|until| until > now) {
            0
        } else if self.failures >= FAILURES_UNTIL_PROBING {
            1
        } else {
            concurrency
        }
    }

    /// When requests may go again, if they may not at `now`.
    pub fn opens_at(&self, now: Instant) -> Option<Instant> {
        self.closed_until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ceiling_doubles_up_to_ten_minutes() {
        let ceilings: Vec<u64> = [0, 1, 2, 5, 9, 10, 63, u32::MAX]
            .map(|tries| backoff(tries, None, 1.0).as_secs())
            .into();
        assert_eq!(ceilings, [1, 2, 4, 32, 512, 600, 600, 600]);
    }

    #[test]
    fn the_platforms_own_time_is_obeyed() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(backoff(0, Some(hour), 0.5), hour);
        assert_eq!(backoff(20, Some(Duration::from_secs(1)), 1.0), CAP);
        assert_eq!(wait(hour, 0.0), hour);
        assert_eq!(wait(hour, 1.0), Duration::from_secs(3_960));
    }

    #[test]
    fn questions_become_rarer_up_to_ten_minutes() {
        let pause = |polls, draw| poll(polls, Duration::ZERO, draw).as_secs_f64();
        assert_eq!([0, 1, 4, 9, 63].map(|polls| pause(polls, 1.0)), [2.0, 4.0, 32.0, 600.0, 600.0]);
        assert_eq!(pause(4, 0.0), 16.0, "never at once");
        let hour = Duration::from_secs(3_600);
        assert_eq!(poll(0, hour, 0.5), hour);
    }

    proptest! {
        #[test]
        fn a_pause_lies_under_its_ceiling(tries: u32, draw in 0.0..1.0f64) {
            prop_assert!(backoff(tries, None, draw) <= CAP);
        }
    }

    #[test]
    fn a_dead_platform_is_probed_by_one_request_at_a_time() {
        let now = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..4 {
            pace.note(Health::Bad, now, 1.0);
        }
        assert_eq!(pace.slots(4, now), 4);
        pace.note(Health::Bad, now, 1.0);
        assert_eq!(pace.slots(4, now), 0);
        let opens = pace.opens_at(now).expect("closed");
        assert_eq!(opens - now, Duration::from_secs(1));
        assert_eq!(pace.slots(4, opens), 1);
        pace.note(Health::Good, opens, 1.0);
        assert_eq!(pace.slots(4, opens), 4);
    }

    #[test]
    fn probes_never_wait_longer_than_half_a_minute() {
        let now = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.note(Health::Bad, now, 1.0);
        }
        assert_eq!(pace.opens_at(now), Some(now + PROBE_CAP));
    }

    #[test]
    fn a_hold_closes_and_the_longest_one_wins() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.note(Health::Hold(Duration::from_secs(60)), now, 0.0);
        pace.note(Health::Hold(Duration::from_secs(5)), now, 0.0);
        assert_eq!(pace.opens_at(now), Some(now + Duration::from_secs(60)));
    }
}

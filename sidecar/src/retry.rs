//! The backoff schedule, the circuit breaker and the token bucket: turns verdicts and attempts into
//! times. Pure; chance and clock are passed in.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// Ceiling of the first pause.
const BASE: Duration = Duration::from_secs(1);

/// Ceiling of every later pause: an event that expires in days is tried a thousand times, and a
/// platform that comes back gets its events within minutes.
const CAP: Duration = Duration::from_secs(600);

/// Longest time that a platform's own word is believed: no sane one means more, and no clock can
/// count to the longest that a header can name.
const LONGEST_WORD: Duration = Duration::from_secs(24 * 60 * 60);

/// Failures in a row after which a destination is only probed.
const FAILURES_UNTIL_PROBING: u32 = 5;

/// Longest pause between probes: what is not sent while a platform is back is late for nothing.
const PROBE_CAP: Duration = Duration::from_secs(30);

/// Pause before the next send after `tries` earlier ones: exponential with full jitter, so that
/// batches that failed together do not return together. `draw` is uniform in 0 to 1.
///
/// Nothing is given up here: only the platform's verdict or its age ends an event.
pub fn backoff(tries: u32, after: Option<Duration>, draw: f64) -> Duration {
    jittered(tries, CAP, draw).max(after.unwrap_or_default().min(LONGEST_WORD))
}

/// Pause of a throttled batch: what the platform asked for and up to a tenth more.
pub fn wait(after: Duration, draw: f64) -> Duration {
    let after = after.min(LONGEST_WORD);
    after + after.mul_f64(draw.clamp(0.0, 1.0) / 10.0)
}

/// Pause before the platform is asked again what became of accepted events, after `polls` questions:
/// twice as long each time, and never shorter than the platform wants. Half of it is jitter.
pub fn poll(polls: u32, after: Duration, draw: f64) -> Duration {
    let ceiling = BASE.saturating_mul(2 << polls.min(20)).min(CAP);
    (ceiling / 2 + ceiling.mul_f64(draw.clamp(0.0, 1.0)) / 2).max(after.min(LONGEST_WORD))
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
    /// Nothing: no request went.
    Unasked,
}

/// Requests per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU32);

impl Rate {
    /// This many; `None` for none at all and for more than there is a number for.
    pub fn per_minute(requests: u64) -> Option<Self> {
        NonZeroU32::new(u32::try_from(requests).ok()?).map(Self)
    }

    /// Time between two requests of an even stream.
    fn interval(self) -> Duration {
        Duration::from_secs(60) / self.0.get()
    }

    /// Requests that may go at once: those of one second.
    fn burst(self) -> u32 {
        (self.0.get() / 60).max(1)
    }
}

/// A token bucket, kept as the time at which it would be full again.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    full_at: Option<Instant>,
}

impl Bucket {
    /// When the next token is there: at once when this is not after `now`.
    fn opens_at(&self, now: Instant) -> Instant {
        // Short of full by one token less than it holds: there is one.
        let slack = self.rate.interval() * (self.rate.burst() - 1);
        self.full_at.and_then(|full_at| full_at.checked_sub(slack)).map_or(now, |at| at.max(now))
    }

    fn take(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + self.rate.interval());
    }
}

/// How fast one destination may be sent to: a token bucket, and a circuit breaker, so that a dead
/// platform is probed and not hammered.
#[derive(Debug, Default)]
pub struct Pace {
    failures: u32,
    closed_until: Option<Instant>,
    bucket: Option<Bucket>,
}

impl Pace {
    /// Starts with a full bucket; without a rate there is none.
    pub fn new(rate: Option<Rate>) -> Self {
        let bucket = rate.map(|rate| Bucket { rate, full_at: None });
        Self { bucket, ..Self::default() }
    }

    /// Goes on at another rate; what was sent so far still counts.
    pub fn set_rate(&mut self, rate: Option<Rate>) {
        let full_at = self.bucket.as_ref().and_then(|bucket| bucket.full_at);
        self.bucket = rate.map(|rate| Bucket { rate, full_at });
    }

    /// Whether the bucket has a token.
    pub fn has_token(&self, now: Instant) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket.opens_at(now) <= now)
    }

    /// Takes a token: a request goes.
    pub fn take_token(&mut self, now: Instant) {
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
    }

    /// Takes note of a finished request; true when it shows that a dead platform is back.
    pub fn note(&mut self, health: Health, now: Instant, draw: f64) -> bool {
        let pause = match health {
            Health::Good => {
                let was_dead = self.failures >= FAILURES_UNTIL_PROBING;
                self.failures = 0;
                return was_dead;
            }
            Health::Bad => {
                self.failures = self.failures.saturating_add(1);
                match self.failures.checked_sub(FAILURES_UNTIL_PROBING) {
                    Some(beyond) => jittered(beyond, PROBE_CAP, draw),
                    None => return false,
                }
            }
            Health::Hold(pause) => pause.min(LONGEST_WORD),
            Health::Unasked => return false,
        };
        self.closed_until = self.closed_until.max(Some(now + pause));
        false
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
        let token = self.bucket.as_ref().map(|bucket| bucket.opens_at(now));
        self.closed_until.max(token).filter(|until| *until > now)
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
    fn no_word_of_a_platform_breaks_the_clock() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.note(Health::Hold(Duration::MAX), now, 1.0);
        assert_eq!(pace.opens_at(now), Some(now + LONGEST_WORD));
        assert_eq!(backoff(3, Some(Duration::MAX), 1.0), LONGEST_WORD);
        assert!(wait(Duration::MAX, 1.0) <= LONGEST_WORD.mul_f64(1.1));
        assert_eq!(poll(0, Duration::MAX, 1.0), LONGEST_WORD);
    }

    #[test]
    fn a_bucket_gives_a_seconds_worth_at_once_and_then_an_even_stream() {
        let now = Instant::now();
        let mut pace = Pace::new(Rate::per_minute(180));
        for _ in 0..3 {
            assert!(pace.has_token(now));
            pace.take_token(now);
        }
        assert!(!pace.has_token(now));
        let opens = pace.opens_at(now).expect("empty");
        assert_eq!((opens - now).as_millis(), 333);
        assert!(pace.has_token(opens));
        pace.take_token(opens);
        assert_eq!(
            pace.opens_at(opens),
            Some(opens + Rate::per_minute(180).expect("a rate").interval())
        );
        let mut endless = Pace::default();
        endless.take_token(now);
        assert!(endless.has_token(now));
    }

    #[test]
    fn another_rate_does_not_fill_the_bucket() {
        let now = Instant::now();
        let mut pace = Pace::new(Rate::per_minute(60));
        pace.take_token(now);
        assert!(!pace.has_token(now));
        pace.set_rate(Rate::per_minute(60));
        assert!(!pace.has_token(now));
        pace.set_rate(None);
        assert!(pace.has_token(now));
    }

    #[test]
    fn a_rate_is_at_least_one() {
        assert_eq!(Rate::per_minute(0), None);
        assert_eq!(Rate::per_minute(u64::MAX), None);
    }

    /// A greedy sender on the paused clock: sends whenever it may, sleeps until it may again.
    async fn send_for(pace: &mut Pace, length: Duration, pauses: &[u64]) -> Vec<Instant> {
        let start = Instant::now();
        let mut sent = Vec::new();
        let mut pauses = pauses.iter().cycle();
        while start.elapsed() < length {
            match pace.opens_at(Instant::now()) {
                Some(opens) => tokio::time::sleep_until(opens).await,
                None => {
                    pace.take_token(Instant::now());
                    sent.push(Instant::now());
                    tokio::time::sleep(Duration::from_millis(*pauses.next().unwrap_or(&0))).await;
                }
            }
        }
        sent
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
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn no_window_holds_more_than_the_burst_and_the_rate(
            per_minute in 1..60_000u64,
            pauses in prop::collection::vec(0..3_000u64, 1..8),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            let rate = Rate::per_minute(per_minute).expect("a rate");
            let length = rate.interval() * 50;
            let sent = runtime.block_on(send_for(&mut Pace::new(Some(rate)), length, &pauses));
            for (first, from) in sent.iter().enumerate() {
                for (last, to) in sent.iter().enumerate().skip(first) {
                    let window = (*to - *from).as_secs_f64();
                    let allowed = f64::from(rate.burst()) + window / rate.interval().as_secs_f64();
                    prop_assert!((last - first + 1) as f64 <= allowed + 1e-6);
                }
            }
        }

        #[test]
        fn a_greedy_sender_gets_its_whole_rate(per_minute in 1..6_000u64) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            let rate = Rate::per_minute(per_minute).expect("a rate");
            let length = Duration::from_secs(120);
            let sent = runtime.block_on(send_for(&mut Pace::new(Some(rate)), length, &[0])).len();
            // The paused clock goes by milliseconds, as timers do, and each wait may lose one.
            let least = 120_000 / (rate.interval().as_millis() + 2);
            prop_assert!(sent as u128 >= least, "{sent} of {least}");
        }

        #[test]
        fn whatever_closes_it_opens_it_again(
            notes in prop::collection::vec((0..3u8, 0..1_000_000u64), 1..40),
            per_minute in 1..600u64,
            draw in 0.0..1.0f64,
        ) {
            let now = Instant::now();
            let mut pace = Pace::new(Rate::per_minute(per_minute));
            for (kind, seconds) in notes {
                pace.take_token(now);
                pace.note(match kind {
                    0 => Health::Good,
                    1 => Health::Bad,
                    _ => Health::Hold(Duration::from_secs(seconds)),
                }, now, draw);
            }
            let opens = pace.opens_at(now).unwrap_or(now);
            prop_assert!(pace.slots(4, opens) > 0 && pace.has_token(opens));
            prop_assert_eq!(pace.opens_at(opens), None);
        }

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
        assert!(!pace.note(Health::Unasked, opens, 1.0), "nobody has asked");
        assert_eq!(pace.slots(4, opens), 1, "and it stays a probe");
        assert!(pace.note(Health::Good, opens, 1.0), "it is back");
        assert!(!pace.note(Health::Good, opens, 1.0), "which is told once");
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

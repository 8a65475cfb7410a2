//! What the stand-in knows: what has arrived, what goes wrong, what was handed out, and its clock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use secrecy::ExposeSecret;
use serde_json::Value;

use super::audiences::Audiences;
use super::fault::{Faults, scramble};
use super::issued::Issued;
use super::log::{Bounds, Log};
use super::options::{DEMO_TOKEN, StandinOptions};
use super::platform::Platform;
use super::refusal::Refusal;
use super::wording::Wording;

/// Versions that existed but have run out, by the platform's changelog.
const RETIRED_BEFORE: u32 = 21;

/// What the stand-in knows; clones share it.
#[derive(Debug, Clone)]
pub struct Standin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: StandinOptions,
    bounds: Bounds,
    /// How many answers there were, from the microsecond of the start on.
    answers: AtomicU64,
    clock_offset_us: AtomicI64,
    log: Mutex<Log>,
    faults: Mutex<Faults>,
    issued: Mutex<Issued>,
    audiences: Mutex<Audiences>,
}

impl Standin {
    /// Starts with nothing received and no faults.
    pub fn new(options: &StandinOptions) -> Self {
        let bounds = Bounds {
            events: options.keep,
            ids: options.keep_ids,
            requests: options.keep_requests,
            body_bytes: 32 << 20,
        };
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = u64::try_from(start.as_micros()).unwrap_or_default();
        Self(Arc::new(Inner {
            bounds,
            clock_offset_us: AtomicI64::new(0),
            log: Mutex::new(Log::new(bounds)),
            faults: Mutex::new(Faults::new(options.seed)),
            issued: Mutex::new(Issued::default()),
            audiences: Mutex::new(Audiences::default()),
            answers: AtomicU64::new(start),
            options: options.clone(),
        }))
    }

    /// Answers what `GET /_standin/summary` answers.
    pub fn summary(&self) -> Value {
        self.log().summary()
    }

    /// Answers what `GET /_standin/audiences` answers.
    pub fn audiences(&self) -> Value {
        self.audience_lists().shown()
    }

    /// Moves the clock that ages and duplicates go by.
    pub fn advance_clock(&self, seconds: i64) {
        let offset_us = seconds.saturating_mul(1_000_000);
        self.0.clock_offset_us.fetch_add(offset_us, Ordering::Relaxed);
    }

    /// Forgets events, requests, audiences, faults and the moved clock; tokens stay good.
    pub fn reset(&self) {
        *self.log() = Log::new(self.0.bounds);
        self.issued().forget_requests();
        *self.audience_lists() = Audiences::default();
        *self.faults() = Faults::new(self.0.options.seed);
        self.0.clock_offset_us.store(0, Ordering::Relaxed);
    }

    pub(super) fn options(&self) -> &StandinOptions {
        &self.0.options
    }

    pub(super) fn now_us(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
        now.saturating_add(self.0.clock_offset_us.load(Ordering::Relaxed))
    }

    pub(super) fn versions(&self) -> &[String] {
        &self.0.options.versions
    }

    // A panic while the lock was held leaves counts that are still worth showing.
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn issued(&self) -> MutexGuard<'_, Issued> {
        self.0.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn audience_lists(&self) -> MutexGuard<'_, Audiences> {
        self.0.audiences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The credential to accept, where one is configured.
    pub(super) fn credential(&self, platform: Platform) -> Option<&str> {
        self.0.options.credentials.get(&platform).map(ExposeSecret::expose_secret)
    }

    /// An id of an answer. None comes twice, after a reset or a restart either, for a sender takes
    /// the second for a copy.
    pub(super) fn trace(&self, request: u64) -> String {
        let seed = scramble(self.0.options.seed);
        let answer = self.0.answers.fetch_add(1, Ordering::Relaxed);
        format!("A{:016x}{:06x}", scramble(seed ^ answer), request & 0xff_ffff)
    }

    pub(super) fn token_matches(&self, token: &str) -> bool {
        let expected =
            self.0.options.token.as_ref().map_or(DEMO_TOKEN, ExposeSecret::expose_secret);
        token == expected
    }

    pub(super) fn wording(&self) -> Wording {
        Wording { language: self.0.options.language, error_data: self.0.options.error_data }
    }

    /// Checks version and pixel or audience; a gateway has no versions.
    pub(super) fn check_path(
        &self,
        version: Option<&str>,
        pixel: &str,
        is_pixel: bool,
    ) -> Result<(), Refusal> {
        if let Some(version) = version
            && !self.versions().iter().any(|known| known == version)
        {
            let major = version.strip_prefix('v').and_then(|v| v.strip_suffix(".0"));
            let retired = major
                .and_then(|major| major.parse::<u32>().ok())
                .is_some_and(|major| (1..RETIRED_BEFORE).contains(&major));
            return Err(match self.versions().last() {
                Some(newest) if retired => Refusal::retired_version(newest),
                _ => Refusal::unknown_path(),
            });
        }
        let exists = match &self.0.options.pixel {
            Some(only) if is_pixel => only == pixel,
            _ => !pixel.is_empty() && pixel.bytes().all(|byte| byte.is_ascii_digit()),
        };
        if exists { Ok(()) } else { Err(Refusal::unknown_object()) }
    }
}

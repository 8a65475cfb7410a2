//! Waiting for what happens elsewhere, without guessing how long it takes.

use std::time::{Duration, Instant};

/// Pause between looks.
const PAUSE: Duration = Duration::from_millis(15);

/// Looks until `look` says `Ok`, and panics with what it said last when the time is up.
pub async fn eventually<T>(
    what: &str,
    seconds: u64,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if Instant::now() > deadline => {
                panic!("{what}: not within {seconds} s; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The end of a wait whose looks are written out: what is spawned cannot use [`eventually`].
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// So many seconds from now.
    pub fn after(seconds: u64) -> Self {
        Self(Instant::now() + Duration::from_secs(seconds))
    }

    /// Waits for the next look, or panics with what was seen last when the time is up.
    pub async fn pause(&self, what: &str, seen: &str) {
        assert!(Instant::now() < self.0, "{what}: not in time; last seen: {seen}");
        tokio::time::sleep(PAUSE).await;
    }
}

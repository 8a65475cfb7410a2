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

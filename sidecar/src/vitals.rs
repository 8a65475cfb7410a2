//! What this process knows of its own state, for `/healthz`, `/readyz` and systemd.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// What a beat may be late by: longer than any call to the database takes.
const SLACK: Duration = Duration::from_secs(60);

/// Signs of life, written by the main loop.
#[derive(Debug)]
pub struct Vitals(Mutex<State>);

#[derive(Debug)]
struct State {
    next_beat: Instant,
    connected: bool,
    adopted: bool,
    fleet: DestinationCounts,
    maintenance: Option<bool>,
}

/// How many destinations are in which state, as this process sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DestinationCounts {
    /// Active, and sent to from here.
    pub sending: usize,
    /// Active, and not sent to from here: settings or credential are missing.
    pub skipped: usize,
    /// Blocked by the platform's word.
    pub blocked: usize,
}

/// The answer to `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// All of what follows is well.
    pub ready: bool,
    /// The database is connected and answers.
    pub database: bool,
    /// The database is no copy, or was adopted.
    pub adopted: bool,
    /// Destinations that are not paused. Some are stuck: no trouble, as long as one is not.
    pub destinations: DestinationCounts,
}

impl Vitals {
    /// Begins alive and not ready.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(State {
            next_beat: Instant::now(),
            connected: false,
            adopted: false,
            fleet: DestinationCounts::default(),
            maintenance: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has left plain values.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The main loop goes round and will do so again within this time.
    pub fn beat(&self, within: Duration) {
        self.state().next_beat = Instant::now() + within;
    }

    /// The database is connected, or not any more.
    pub fn connected(&self, connected: bool) {
        self.state().connected = connected;
    }

    /// The database may send, or not.
    pub fn adopted(&self, adopted: bool) {
        self.state().adopted = adopted;
    }

    /// The destinations have changed.
    pub fn fleet(&self, fleet: DestinationCounts) {
        self.state().fleet = fleet;
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        self.state().connected
    }

    /// The maintenance has gone well, or not.
    pub fn maintained(&self, well: bool) {
        self.state().maintenance = Some(well);
    }

    /// How the last maintenance from here went, if there was one.
    pub fn maintenance(&self) -> Option<bool> {
        self.state().maintenance
    }

    /// Whether the main loop is heard in time.
    pub fn is_alive(&self) -> bool {
        Instant::now() < self.state().next_beat + SLACK
    }

    /// Whether events can be sent from here.
    pub fn readiness(&self) -> Readiness {
        let alive = self.is_alive();
        let State { connected, adopted, fleet, .. } = *self.state();
        let database = connected && alive;
        let stuck = fleet.sending == 0 && fleet.skipped + fleet.blocked > 0;
        let ready = database && adopted && !stuck;
        Readiness { ready, database, adopted, destinations: fleet }
    }
}

impl Default for Vitals {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_main_loop_that_is_not_heard_is_dead() {
        let vitals = Vitals::new();
        vitals.beat(Duration::from_secs(6));
        assert!(vitals.is_alive());
        tokio::time::advance(Duration::from_secs(65)).await;
        assert!(vitals.is_alive(), "a slow call is no death");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!vitals.is_alive());
        vitals.beat(Duration::from_secs(6));
        assert!(vitals.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn ready_means_that_something_can_be_sent() {
        let vitals = Vitals::new();
        assert!(!vitals.readiness().ready, "not connected");
        vitals.connected(true);
        assert!(!vitals.readiness().ready, "a copy");
        vitals.adopted(true);
        assert!(vitals.readiness().ready, "nothing to send to is no trouble");
        vitals.fleet(DestinationCounts { sending: 0, skipped: 0, blocked: 1 });
        assert!(!vitals.readiness().ready);
        vitals.fleet(DestinationCounts { sending: 0, skipped: 1, blocked: 0 });
        assert!(!vitals.readiness().ready);
        vitals.fleet(DestinationCounts { sending: 1, skipped: 1, blocked: 1 });
        assert!(vitals.readiness().ready);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert!(!vitals.readiness().ready, "not heard");
        vitals.beat(Duration::ZERO);
        vitals.connected(false);
        assert!(!vitals.readiness().ready);
    }
}

//! What systemd is told, where this process is a unit of `Type=notify`; elsewhere nothing happens.

use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::time::sleep;
use tracing::debug;

use crate::vitals::Vitals;

/// The configuration is good and the work begins. The database may still be away: that is waited
/// for, and no reason to fail the unit.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// No new batch is claimed; those in flight are finished.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The configuration is being read anew; [`ready`] ends it.
pub fn reloading() {
    // systemd tells by the time whether the reload is the one that it asked for.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "no monotonic clock"),
    }
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// Pets the watchdog, if there is one, as long as the main loop goes round.
pub async fn watchdog(vitals: Arc<Vitals>) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    loop {
        if vitals.is_alive() {
            tell(&[NotifyState::Watchdog]);
        }
        sleep(patience / 3).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "systemd was not told");
    }
}

//! What systemd is told, where this process is a unit of `Type=notify`; elsewhere nothing happens.
//!
//! A thread of its own tells it: the socket blocks once a few messages wait, and systemd may be slow to
//! read them. Nothing else waits for that.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::sleep;
use tracing::debug;

use crate::vitals::Vitals;

/// The configuration is good and the work begins. The database may still be away: that is waited
/// for, and no reason to fail the unit.
pub fn ready() {
    tell(Message::State(NotifyState::Ready));
}

/// No new batch is claimed; those in flight are finished.
pub fn stopping() {
    tell(Message::State(NotifyState::Stopping));
    // The process may end before the thread has run.
    let (done, told) = mpsc::channel();
    tell(Message::Done(done));
    let _ = told.recv_timeout(PARTING);
}

/// The configuration is being read anew; [`ready`] ends it.
pub fn reloading() {
    // systemd tells by the time whether the reload is the one that it asked for.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(Message::Reloading(now)),
        Err(error) => debug!(%error, "no monotonic clock"),
    }
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    tell(Message::Status(line.to_owned()));
}

/// Pets the watchdog, if there is one, as long as the main loop goes round.
pub async fn watchdog(vitals: Arc<Vitals>) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    loop {
        if vitals.is_alive() {
            tell(Message::State(NotifyState::Watchdog));
        }
        sleep(patience / 3).await;
    }
}

/// How many messages may wait for systemd; those beyond are not told.
const WAITING: usize = 16;

/// Longest wait for the last message to be told.
const PARTING: Duration = Duration::from_millis(200);

enum Message {
    State(NotifyState<'static>),
    Reloading(NotifyState<'static>),
    Status(String),
    /// Answers once everything before it is told.
    Done(mpsc::Sender<()>),
}

fn tell(message: Message) {
    static TELLER: OnceLock<Option<SyncSender<Message>>> = OnceLock::new();
    let teller = TELLER.get_or_init(|| {
        let (teller, messages) = mpsc::sync_channel(WAITING);
        let thread = thread::Builder::new().name("systemd".to_owned());
        thread.spawn(move || pass_on(messages)).ok()?;
        Some(teller)
    });
    if teller.as_ref().is_some_and(|teller| teller.try_send(message).is_err()) {
        debug!("systemd does not listen");
    }
}

fn pass_on(messages: Receiver<Message>) {
    for message in messages {
        let told = match message {
            Message::State(state) => sd_notify::notify(&[state]),
            Message::Reloading(since) => sd_notify::notify(&[NotifyState::Reloading, since]),
            Message::Status(line) => sd_notify::notify(&[NotifyState::Status(&line)]),
            Message::Done(done) => {
                // Whoever asked may have gone.
                let _ = done.send(());
                Ok(())
            }
        };
        if let Err(error) = told {
            debug!(%error, "systemd was not told");
        }
    }
}

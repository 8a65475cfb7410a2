//! `capi run`: claims, sends and records until a signal. SIGHUP reads the configuration again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::way_out::{explained, way_out};
use crate::config::Config;
use crate::handshake::Misfit;
use crate::observe::{self, Observed};
use crate::queue::{QueueError, Session};
use crate::worker::{Context, PARTING, chain};
use crate::workers::Workers;
use crate::{VERSION, doorbell, retry, systemd};

/// A connection that lasted this long was a good one: the next loss starts the backoff anew.
const GOOD_CONNECTION: Duration = Duration::from_secs(60);

/// Longest pause between attempts to reach the database.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Pause before a loop that a panic has ended begins anew.
const ANEW: Duration = Duration::from_secs(60);

/// Why serving ended without a signal.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

pub(super) async fn run(config: Config, file: Option<PathBuf>) -> anyhow::Result<()> {
    let (stopping, stop) = watch::channel(false);
    let signals = tokio::spawn(async move {
        let heard = stopped().await;
        stopping.send_replace(true);
        // The sender lives as long as somebody may wait for it.
        stopping.closed().await;
        heard
    });
    let hangups = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    warn_of_exposed(&config);
    let mut daemon = Daemon { context: Context::new(config)?, file, hangups, watching: None };
    let _observed = daemon.observe().await?;
    let _watchdog = Aborted(tokio::spawn(systemd::watchdog(daemon.context.vitals.clone())));
    let mut workers = Workers::new(daemon.context.clone(), stop.clone());
    systemd::ready();
    let result = daemon.keep_serving(&mut workers, stop).await;
    systemd::stopping();
    let grace = daemon.context.config.delivery.grace;
    daemon.context.vitals.beat(grace);
    daemon.watch_no_more().await;
    workers.shut_down(grace).await;
    if signals.is_finished() {
        signals.await.context("signal handler")??;
    }
    info!("stopped");
    result
}

/// Tells of files that everybody may change.
fn warn_of_exposed(config: &Config) {
    for place in config.exposed() {
        let place = place.display().to_string();
        warn!(place, "everybody on this machine may change this; take that right away: chmod o-w");
    }
}

/// A task that ends with its handle.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What outlives connections and reloads.
struct Daemon {
    context: Context,
    file: Option<PathBuf>,
    hangups: Signal,
    watching: Option<(watch::Sender<bool>, JoinSet<()>)>,
}

/// Runs a loop until `stop` turns true. One that a panic has ended begins anew: without it nobody would
/// be told of anything any more, and everything else would go on.
async fn kept<F>(name: &'static str, run: impl Fn() -> F, mut stop: watch::Receiver<bool>)
where
    F: Future<Output = ()> + Send + 'static,
{
    while tokio::spawn(run()).await.is_err_and(|error| error.is_panic()) {
        error!(task = name, "ended by a panic; begins anew in a minute");
        tokio::select! {
            () = sleep(ANEW) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Why a connection was given up in good order.
enum End {
    Stopped,
    /// The configuration has changed.
    Reload(Box<Context>),
}

impl Daemon {
    async fn observe(&self) -> anyhow::Result<Option<Aborted>> {
        let Some(address) = self.context.config.listen else { return Ok(None) };
        let bound = observe::bind(address).await;
        let listener = bound.with_context(|| format!("listen on {address}"))?;
        let Context { vitals, metrics, .. } = self.context.clone();
        let router = observe::router(Observed { vitals, metrics });
        Ok(Some(Aborted(tokio::spawn(observe::serve(router, listener)))))
    }

    fn watch(&mut self) {
        if self.watching.is_none() {
            let (stop, stopped) = watch::channel(false);
            let mut loops = JoinSet::new();
            let (context, halt) = (self.context.clone(), stopped.clone());
            let watch = move || crate::watch::run(context.clone(), halt.clone());
            loops.spawn(kept("watch", watch, stopped.clone()));
            let (context, halt) = (self.context.clone(), stopped.clone());
            let maintenance = move || crate::maintenance::run(context.clone(), halt.clone());
            loops.spawn(kept("maintenance", maintenance, stopped));
            self.watching = Some((stop, loops));
        }
    }

    async fn watch_no_more(&mut self) {
        if let Some((stop, mut loops)) = self.watching.take() {
            stop.send_replace(true);
            while loops.join_next().await.is_some() {}
        }
    }

    /// Reads the configuration anew; a wrong one changes nothing.
    fn read_again(&self) -> Option<Box<Context>> {
        systemd::reloading();
        let read = Config::load(self.file.as_deref()).map_err(anyhow::Error::from);
        let read = read.and_then(|config| {
            let needs_restart = self.context.config.needs_restart(&config).join(", ");
            Ok((self.context.reloaded(config)?, needs_restart))
        });
        let outcome = if read.is_ok() { "done" } else { "refused" };
        self.context.metrics.reloads.with_label_values(&[outcome]).inc();
        match read {
            Ok((context, needs_restart)) => {
                info!("configuration was read again");
                warn_of_exposed(&context.config);
                if !needs_restart.is_empty() {
                    warn!(settings = needs_restart, "these take effect with the next start only");
                }
                Some(Box::new(context))
            }
            Err(error) => {
                error!(
                    error = format!("{error:#}"),
                    "new configuration is wrong; the old one stays"
                );
                systemd::ready();
                None
            }
        }
    }

    async fn reload(&mut self, context: Context, workers: &mut Workers) {
        self.watch_no_more().await;
        workers.reload(context.clone());
        self.context = context;
        systemd::ready();
    }

    /// Serves, and reconnects when the connection is lost. Ends by signal, or by what no new attempt
    /// mends.
    async fn keep_serving(
        &mut self,
        workers: &mut Workers,
        mut stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut failures = 0;
        let mut served = false;
        loop {
            let began = Instant::now();
            self.context.vitals.beat(LONGEST_PAUSE);
            let end = self.serve(workers, stop.clone(), &mut served).await;
            self.context.vitals.connected(false);
            self.context.metrics.database_up.set(0);
            match end {
                Ok(End::Stopped) => return Ok(()),
                Ok(End::Reload(context)) => {
                    self.reload(*context, workers).await;
                    failures = 0;
                    continue;
                }
                Err(Trouble::Misfit(misfit)) => return Err(misfit.into()),
                Err(Trouble::Queue(error)) if !served && is_configuration(&error) => {
                    return Err(explained(error, &self.context.config.database));
                }
                Err(Trouble::Queue(error)) => {
                    self.context.metrics.database_error(&error);
                    systemd::status("waiting for the database");
                    let way_out = way_out(&error, &self.context.config.database);
                    warn!(error = chain(&error), way_out, "database connection lost");
                }
            }
            failures = if began.elapsed() > GOOD_CONNECTION { 0 } else { failures + 1 };
            let pause = retry::backoff(failures, None, rand::random()).min(LONGEST_PAUSE);
            let again = tokio::select! {
                () = sleep(pause) => None,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                Some(()) = self.hangups.recv() => self.read_again(),
            };
            if let Some(context) = again {
                self.reload(*context, workers).await;
            }
        }
    }

    /// One connection's life. A stop or a reload ends it in good order, or without the database's
    /// help when that hangs.
    async fn serve(
        &mut self,
        workers: &mut Workers,
        mut stop: watch::Receiver<bool>,
        served: &mut bool,
    ) -> Result<End, Trouble> {
        let context = self.context.clone();
        let config = &context.config;
        let greeting = async {
            let session = Session::open(&config.database).await?;
            let handshake = session.handshake().await?;
            Ok::<_, QueueError>((session, handshake))
        };
        let (session, handshake) = tokio::select! {
            greeted = greeting => greeted?,
            _ = stop.wait_for(|stop| *stop) => return Ok(End::Stopped),
        };
        handshake.check_versions(VERSION)?;
        handshake.check_instance(config.instance.as_deref())?;
        context.queue.is_about(&handshake)?;
        *served = true;
        info!(
            instance = handshake.instance,
            extension = handshake.extension,
            server_version_num = handshake.server_version_num,
            worker = config.worker,
            "connected"
        );
        if !handshake.adopted {
            warn!(
                "this database is a copy (restored, cloned or upgraded) and sends nothing: if it is \
                 the one to send from now on, run `capi adopt`"
            );
        }
        context.vitals.adopted(handshake.adopted);
        context.vitals.connected(true);
        context.metrics.database_up.set(1);
        systemd::status("serving");
        self.watch();
        let (halt, halted) = watch::channel(false);
        let mut serving = std::pin::pin!(doorbell::run(&session, workers, &context, halted));
        let mut end = End::Stopped;
        let mut hangs = std::pin::pin!(async {
            // The sender lives as long as this does.
            let _ = halt.subscribe().wait_for(|halt| *halt).await;
            sleep(PARTING).await;
        });
        loop {
            tokio::select! {
                served = &mut serving => return Ok(served.map(|()| end)?),
                () = &mut hangs => {
                    warn!("the database does not answer: the connection is given up");
                    return Ok(end);
                }
                _ = stop.wait_for(|stop| *stop), if !*halt.borrow() => {
                    halt.send_replace(true);
                }
                Some(()) = self.hangups.recv(), if !*halt.borrow() => {
                    if let Some(context) = self.read_again() {
                        end = End::Reload(context);
                        halt.send_replace(true);
                    }
                }
            }
        }
    }
}

/// Whether the same attempt would fail for ever.
fn is_configuration(error: &QueueError) -> bool {
    matches!(error, QueueError::Tls(_))
        || error
            .code()
            .is_some_and(|code| ["28", "3D", "3F", "42"].iter().any(|of| code.starts_with(of)))
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn stopped() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(signal = name, "stopping");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_begins_anew_and_hears_the_stop() {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        let run = move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(run == 2, "the first two panic") }
        };
        let (_stop, stopped) = watch::channel(false);
        let began = Instant::now();
        kept("a test", run, stopped).await;
        assert_eq!((runs.load(Ordering::Relaxed), began.elapsed()), (3, 2 * ANEW));

        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(kept("a test", || async { panic!("always") }, stopped));
        stop.send_replace(true);
        task.await.expect("it heard the stop");
    }
}

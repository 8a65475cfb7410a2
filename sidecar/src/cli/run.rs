//! `capi run`: claims, sends and records until a signal. SIGHUP reads the configuration again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::{explained, way_out};
use crate::config::Config;
use crate::crew::Crew;
use crate::handshake::Misfit;
use crate::observe::{self, Observed};
use crate::queue::{QueueError, Session};
use crate::worker::{Tools, chain};
use crate::{VERSION, doorbell, retry, systemd};

/// A connection that lasted this long was a good one: the next loss starts the backoff anew.
const GOOD_CONNECTION: Duration = Duration::from_secs(60);

/// Longest pause between attempts to reach the database.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

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
    let mut daemon = Daemon { tools: Tools::new(config)?, file, hangups, watching: None };
    let _observed = daemon.observe().await?;
    let _watchdog = Aborted(tokio::spawn(systemd::watchdog(daemon.tools.vitals.clone())));
    let mut crew = Crew::new(daemon.tools.clone());
    systemd::ready();
    let result = daemon.keep_serving(&mut crew, stop).await;
    systemd::stopping();
    let grace = daemon.tools.config.delivery.grace;
    daemon.tools.vitals.beat(grace);
    daemon.watch_no_more().await;
    crew.stand_down(grace).await;
    if signals.is_finished() {
        signals.await.context("signal handler")??;
    }
    info!("stopped");
    result
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
    tools: Tools,
    file: Option<PathBuf>,
    hangups: Signal,
    watching: Option<(watch::Sender<bool>, JoinSet<()>)>,
}

/// Why a connection was given up in good order.
enum End {
    Stopped,
    /// The configuration has changed.
    Reload(Box<Tools>),
}

impl Daemon {
    async fn observe(&self) -> anyhow::Result<Option<Aborted>> {
        let Some(address) = self.tools.config.listen else { return Ok(None) };
        let bound = observe::bind(address).await;
        let listener = bound.with_context(|| format!("listen on {address}"))?;
        let Tools { vitals, metrics, .. } = self.tools.clone();
        let router = observe::router(Observed { vitals, metrics });
        Ok(Some(Aborted(tokio::spawn(observe::serve(router, listener)))))
    }

    fn watch(&mut self) {
        if self.watching.is_none() {
            let (stop, stopped) = watch::channel(false);
            let mut loops = JoinSet::new();
            loops.spawn(crate::watch::run(self.tools.clone(), stopped.clone()));
            loops.spawn(crate::maintenance::run(self.tools.clone(), stopped));
            self.watching = Some((stop, loops));
        }
    }

    async fn watch_no_more(&mut self) {
        if let Some((stop, mut loops)) = self.watching.take() {
            stop.send_replace(true);
            // One may have panicked, which the log tells.
            while loops.join_next().await.is_some() {}
        }
    }

    /// Reads the configuration anew; a wrong one changes nothing.
    fn read_again(&self) -> Option<Box<Tools>> {
        systemd::reloading();
        let read = Config::load(self.file.as_deref()).map_err(anyhow::Error::from);
        let read = read.and_then(|config| {
            let needs_restart = self.tools.config.needs_restart(&config).join(", ");
            Ok((self.tools.reloaded(config)?, needs_restart))
        });
        let outcome = if read.is_ok() { "done" } else { "refused" };
        self.tools.metrics.reloads.with_label_values(&[outcome]).inc();
        match read {
            Ok((tools, needs_restart)) => {
                info!("configuration was read again");
                if !needs_restart.is_empty() {
                    warn!(settings = needs_restart, "these take effect with the next start only");
                }
                Some(Box::new(tools))
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

    async fn reload(&mut self, tools: Tools, crew: &mut Crew) {
        self.watch_no_more().await;
        crew.reload(tools.clone());
        self.tools = tools;
        systemd::ready();
    }

    /// Serves, and reconnects when the connection is lost. Ends by signal, or by what no new attempt
    /// mends.
    async fn keep_serving(
        &mut self,
        crew: &mut Crew,
        mut stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut failures = 0;
        let mut served = false;
        loop {
            let began = Instant::now();
            self.tools.vitals.beat(LONGEST_PAUSE);
            let end = self.serve(crew, stop.clone(), &mut served).await;
            self.tools.vitals.connected(false);
            self.tools.metrics.database_up.set(0);
            match end {
                Ok(End::Stopped) => return Ok(()),
                Ok(End::Reload(tools)) => {
                    self.reload(*tools, crew).await;
                    failures = 0;
                    continue;
                }
                Err(Trouble::Misfit(misfit)) => return Err(misfit.into()),
                Err(Trouble::Queue(error)) if !served && is_configuration(&error) => {
                    return Err(explained(error, &self.tools.config.database));
                }
                Err(Trouble::Queue(error)) => {
                    self.tools.metrics.database_error(&error);
                    systemd::status("waiting for the database");
                    let way_out = way_out(&error, &self.tools.config.database);
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
            if let Some(tools) = again {
                self.reload(*tools, crew).await;
            }
        }
    }

    /// One connection's life.
    async fn serve(
        &mut self,
        crew: &mut Crew,
        mut stop: watch::Receiver<bool>,
        served: &mut bool,
    ) -> Result<End, Trouble> {
        let tools = self.tools.clone();
        let config = &tools.config;
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
        tools.vitals.adopted(handshake.adopted);
        tools.vitals.connected(true);
        tools.metrics.database_up.set(1);
        systemd::status("serving");
        self.watch();
        let (halt, halted) = watch::channel(false);
        let mut serving = std::pin::pin!(doorbell::run(&session, crew, &tools, halted));
        let mut end = End::Stopped;
        loop {
            tokio::select! {
                served = &mut serving => return Ok(served.map(|()| end)?),
                _ = stop.wait_for(|stop| *stop), if !*halt.borrow() => {
                    halt.send_replace(true);
                }
                Some(()) = self.hangups.recv(), if !*halt.borrow() => {
                    if let Some(tools) = self.read_again() {
                        end = End::Reload(tools);
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
        || error.code().is_some_and(|code| ["28", "3D", "3F", "42"].contains(&&code[..2]))
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

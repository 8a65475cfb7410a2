//! `capi run`: claims, sends and records until a signal.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{explained, way_out};
use crate::config::Config;
use crate::crew::Crew;
use crate::handshake::Misfit;
use crate::http::Http;
use crate::queue::{Queue, QueueError, Session};
use crate::worker::{Tools, chain};
use crate::{VERSION, doorbell, retry, tls};

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

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let delivery = &config.delivery;
    let (stopping, stop) = watch::channel(false);
    let signals = tokio::spawn(async move {
        let heard = stopped().await;
        stopping.send_replace(true);
        // The sender lives as long as somebody may wait for it.
        stopping.closed().await;
        heard
    });
    let tools = Tools {
        queue: Queue::new(&config.database)?,
        http: Http::new(tls::client(None)?, delivery.connect_timeout, delivery.request_timeout)?,
        config: config.clone(),
        claimed: Arc::new(AtomicU64::new(0)),
        nudge: Arc::new(Notify::new()),
    };
    let mut crew = Crew::new(tools.clone());
    let result = keep_serving(&tools, &mut crew, stop).await;
    crew.stand_down(config.delivery.grace).await;
    if signals.is_finished() {
        signals.await.context("signal handler")??;
    }
    info!("stopped");
    result
}

/// Serves, and reconnects when the connection is lost. Ends by signal, or by what no new attempt
/// mends.
async fn keep_serving(
    tools: &Tools,
    crew: &mut Crew,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut failures = 0;
    let mut served = false;
    loop {
        let began = Instant::now();
        match serve(tools, crew, stop.clone(), &mut served).await {
            Ok(()) => return Ok(()),
            Err(Trouble::Misfit(misfit)) => return Err(misfit.into()),
            Err(Trouble::Queue(error)) if !served && is_configuration(&error) => {
                return Err(explained(error, &tools.config.database));
            }
            Err(Trouble::Queue(error)) => {
                let way_out = way_out(&error, &tools.config.database);
                warn!(error = chain(&error), way_out, "database connection lost");
            }
        }
        failures = if began.elapsed() > GOOD_CONNECTION { 0 } else { failures + 1 };
        tokio::select! {
            () = sleep(retry::backoff(failures, None, rand::random()).min(LONGEST_PAUSE)) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// One connection's life.
async fn serve(
    tools: &Tools,
    crew: &mut Crew,
    mut stop: watch::Receiver<bool>,
    served: &mut bool,
) -> Result<(), Trouble> {
    let config = &tools.config;
    let greeting = async {
        let session = Session::open(&config.database).await?;
        let handshake = session.handshake().await?;
        Ok::<_, QueueError>((session, handshake))
    };
    let (session, handshake) = tokio::select! {
        greeted = greeting => greeted?,
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
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
            "this database is a copy (restored, cloned or upgraded) and sends nothing: if it is the \
             one to send from now on, run `capi adopt`"
        );
    }
    Ok(doorbell::run(&session, crew, tools, stop).await?)
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

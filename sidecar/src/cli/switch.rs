//! `capi pause` and `capi resume`: stop and start a destination.

use std::io::Write as _;

use super::way_out::explained;
use crate::config::Config;
use crate::queue::Session;

pub(super) async fn pause(config: &Config, destination: &str, reason: &str) -> anyhow::Result<()> {
    let explain = |error| explained(error, &config.database);
    let session = Session::open(&config.database).await.map_err(explain)?;
    session.pause(destination, reason).await.map_err(explain)?;
    writeln!(std::io::stdout(), "{destination} is paused; events are captured and kept")?;
    Ok(())
}

pub(super) async fn resume(config: &Config, destination: &str) -> anyhow::Result<()> {
    let explain = |error| explained(error, &config.database);
    let session = Session::open(&config.database).await.map_err(explain)?;
    session.resume(destination).await.map_err(explain)?;
    writeln!(std::io::stdout(), "{destination} is sent to from now on, the backlog first")?;
    Ok(())
}

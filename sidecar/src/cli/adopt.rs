//! `capi adopt`: lets this database send.

use std::io::Write as _;

use super::way_out::explained;
use crate::config::Config;
use crate::queue::Session;

pub(super) async fn adopt(config: &Config) -> anyhow::Result<()> {
    let explain = |error| explained(error, &config.database);
    let session = Session::open(&config.database).await.map_err(explain)?;
    let handshake = session.handshake().await.map_err(explain)?;
    // The name is what tells a copy from the original.
    handshake.check_instance(config.instance.as_deref())?;
    let answer = session.adopt().await.map_err(explain)?;
    writeln!(std::io::stdout(), "{answer}")?;
    Ok(())
}

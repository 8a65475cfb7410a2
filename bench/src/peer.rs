//! What all contenders are told, and their connection.

use anyhow::Context as _;
use clap::Args;

/// What all contenders are told.
#[derive(Args, Clone)]
pub(crate) struct Peer {
    /// The database, as `key=value` pairs.
    pub(crate) database: String,
    /// Where to post to.
    pub(crate) url: String,
    /// Events per request.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) batch: i32,
    /// Requests in flight.
    #[arg(long, default_value_t = 4)]
    pub(crate) concurrency: usize,
}

/// A connection that lives as long as the program.
pub(crate) async fn connect(database: &str) -> anyhow::Result<tokio_postgres::Client> {
    let (client, connection) =
        tokio_postgres::connect(database, tokio_postgres::NoTls).await.context("connect")?;
    tokio::spawn(connection);
    Ok(client)
}

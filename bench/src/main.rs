//! What `make bench-delivery` runs besides the sidecar: a receiver that is no bottleneck, the limit
//! of delivery, two contenders without a client of their own, and orders at a steady rate.
//!
//! `bench/delivery.py` starts these and measures; no part of the product.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use peer::Peer;

mod limit;
mod orders;
mod peer;
mod pgmq;
mod pgq;
mod post;
mod receiver;

/// The programs of the delivery benchmark.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take requests, count events and answer as Meta does.
    Receive {
        /// Where to listen.
        listen: SocketAddr,
        /// Write every event of the requests into this file, one per line.
        #[arg(long)]
        keep: Option<PathBuf>,
        /// Remember when each event arrived.
        #[arg(long)]
        arrivals: bool,
        /// Milliseconds that every answer takes.
        #[arg(long, default_value_t = 0)]
        delay: u64,
    },
    /// Read the outbox and post its events, and mark nothing.
    Limit {
        #[command(flatten)]
        peer: Peer,
        /// Events with a greater id.
        #[arg(long)]
        after: i64,
        /// Post the bytes of `bench.event` as they are, instead of reading the outbox.
        #[arg(long)]
        ready_made: bool,
    },
    /// Work through a queue that hides what was read for a while.
    Pgmq {
        #[command(flatten)]
        peer: Peer,
        /// Move what is done into the archive, instead of deleting it.
        #[arg(long)]
        archive: bool,
    },
    /// Work through a queue of PgQ.
    Pgq {
        #[command(flatten)]
        peer: Peer,
    },
    /// Place orders at a steady rate and print when each was committed.
    Orders {
        /// The database.
        database: String,
        /// Orders per second.
        #[arg(long)]
        rate: f64,
        /// How many.
        #[arg(long)]
        count: u32,
        /// Connections.
        #[arg(long, default_value_t = 8)]
        clients: usize,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Receive { listen, keep, arrivals, delay } => {
            receiver::run(listen, keep, arrivals, delay).await
        }
        Command::Limit { peer, after, ready_made: false } => limit::outbox(peer, after).await,
        Command::Limit { peer, after, ready_made: true } => limit::ready_made(peer, after).await,
        Command::Pgmq { peer, archive } => pgmq::run(peer, archive).await,
        Command::Pgq { peer } => pgq::run(&peer).await,
        Command::Orders { database, rate, count, clients } => {
            orders::run(&database, rate, count, clients).await
        }
    }
}

//! The line to Postgres: knows the protocol as far as needed to tell which call a message executes.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use super::orders::{Order, Orders, Then, When, hold};
use crate::cluster::Cluster;
use crate::database::Database;

/// Name of the socket in its folder, for the server and for the tap.
const SOCKET: &str = ".s.PGSQL.5432";

/// A tap before a cluster. Dropping it closes all of its connections.
pub struct PostgresTap {
    folder: PathBuf,
    database: String,
    orders: Orders,
    server: JoinHandle<()>,
}

impl PostgresTap {
    /// Opens one before the cluster of this database.
    pub fn open(database: &Database) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let cluster: &Cluster = database.cluster();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = cluster.folder().join(format!("tap-{number}"));
        fs::create_dir(&folder).expect("a new folder");
        let listener = UnixListener::bind(folder.join(SOCKET)).expect("a socket");
        let orders = Orders::default();
        let (heard, server) = (orders.clone(), cluster.folder().join(SOCKET));
        let server = tokio::spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // What the server refuses, the client finds closed.
                let Ok(server) = UnixStream::connect(&server).await else { continue };
                lines.spawn(run(client, server, heard.clone()));
            }
        });
        Self { folder, database: database.name().to_owned(), orders, server }
    }

    /// Address of the database behind the tap, for the sidecar.
    pub fn url(&self) -> String {
        format!("host={} dbname={} user=capi", self.folder.display(), self.database)
    }

    /// The next execution of this call fails like this.
    pub fn order(&self, call: &'static str, when: When, then: Then) {
        self.orders.add(Order { call, when, then });
    }

    /// Waits until so many orders were fulfilled.
    pub async fn until(&self, times: u32) {
        self.orders.until(times).await;
    }
}

impl Drop for PostgresTap {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One connection, until either side ends it.
async fn run(client: UnixStream, server: UnixStream, orders: Orders) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let from_client = Messages { side: from_client, read: Vec::new() };
    let from_server = Messages { side: from_server, read: Vec::new() };
    let statements = HashMap::new();
    // However it ends, both sides are closed.
    let _ = Line { from_client, to_client, from_server, to_server, statements }.run(&orders).await;
}

struct Line {
    from_client: Messages,
    to_client: OwnedWriteHalf,
    from_server: Messages,
    to_server: OwnedWriteHalf,
    /// Text of every prepared statement by name.
    statements: HashMap<Vec<u8>, String>,
}

impl Line {
    async fn run(mut self, orders: &Orders) -> io::Result<()> {
        // Only the first message has no type.
        let first = self.from_client.next(0).await?;
        self.to_server.write_all(&first).await?;
        loop {
            tokio::select! {
                message = self.from_client.next(1) => {
                    let message = message?;
                    match self.executes(&message).and_then(|text| orders.take(&text)) {
                        None => self.to_server.write_all(&message).await?,
                        Some(order) => return self.fulfil(order, message, orders).await,
                    }
                }
                message = self.from_server.next(1) => self.to_client.write_all(&message?).await?,
            }
        }
    }

    /// The statement that a message executes.
    fn executes(&mut self, message: &[u8]) -> Option<String> {
        let mut texts = message.get(5..)?.split(|byte| *byte == 0);
        match message[0] {
            b'P' => {
                let (name, text) = (texts.next()?, texts.next()?);
                let text = String::from_utf8_lossy(text).into_owned();
                self.statements.insert(name.to_owned(), text);
                None
            }
            b'B' => self.statements.get(texts.nth(1)?).cloned(),
            b'Q' => Some(String::from_utf8_lossy(texts.next()?).into_owned()),
            _ => None,
        }
    }

    async fn fulfil(mut self, order: Order, first: Vec<u8>, orders: &Orders) -> io::Result<()> {
        if order.when == When::After {
            // Up to the message that asks for the end of the transaction; what comes back stays here.
            let mut message = first;
            while !matches!(message[0], b'S' | b'Q') {
                self.to_server.write_all(&message).await?;
                message = self.from_client.next(1).await?;
            }
            self.to_server.write_all(&message).await?;
            while self.from_server.next(1).await?[0] != b'Z' {}
        }
        orders.happened();
        if order.then == Then::Hold {
            hold(&mut self.from_client.side).await;
        }
        Ok(())
    }
}

/// One direction, message by message.
struct Messages {
    side: OwnedReadHalf,
    read: Vec<u8>,
}

impl Messages {
    /// The next message, type and length included; an interrupted wait loses nothing.
    async fn next(&mut self, type_bytes: usize) -> io::Result<Vec<u8>> {
        loop {
            if let Some(length) = self.read.get(type_bytes..type_bytes + 4) {
                let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
                let whole = type_bytes + length as usize;
                if self.read.len() >= whole {
                    let rest = self.read.split_off(whole);
                    return Ok(std::mem::replace(&mut self.read, rest));
                }
            }
            if self.side.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

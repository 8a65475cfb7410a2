//! A host that can be cut off: a TCP port before the server's socket.

use std::path::PathBuf;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::database::Database;

/// A port on loopback that leads to a cluster, as long as it is open.
pub struct Proxy {
    port: u16,
    open: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Opens one before the cluster of this database.
    pub async fn start(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let socket = database.cluster().folder().join(".s.PGSQL.5432");
        let (open, is_open) = watch::channel(true);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(forward(stream, socket.clone(), is_open.clone()));
            }
        });
        Self { port, open, server }
    }

    /// Its number.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection, and those that come until [`Proxy::heal`].
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn heal(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn forward(mut stream: TcpStream, socket: PathBuf, mut is_open: watch::Receiver<bool>) {
    if !*is_open.borrow_and_update() {
        return;
    }
    // The server may be down, too.
    let Ok(mut server) = UnixStream::connect(socket).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut server) => {}
        _ = is_open.wait_for(|open| !open) => {}
    }
}

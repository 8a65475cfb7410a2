//! The line to the platform: HTTP/1.1 as far as needed to tell where a request and an answer end.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::orders::{Order, Orders, Then, When, hold};

/// A tap before a platform. Dropping it closes the port and all of its connections.
pub struct HttpTap {
    endpoint: String,
    orders: Orders,
    server: JoinHandle<()>,
}

impl HttpTap {
    /// Opens one before this endpoint.
    pub async fn open(platform: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        crate::platform::allow(address);
        let endpoint = format!("http://{address}");
        let orders = Orders::default();
        let server = serve(listener, platform, &orders);
        Self { endpoint, orders, server }
    }

    /// Where the sidecar finds the platform.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The next request fails like this.
    pub fn order(&self, when: When, then: Then) {
        self.orders.add(Order { call: "", when, then });
    }

    /// Waits until so many orders were fulfilled.
    pub async fn until(&self, times: u32) {
        self.orders.until(times).await;
    }

    /// Closes the port: who connects is refused.
    pub async fn close(&mut self) {
        self.server.abort();
        // The listener is gone only when the task is.
        let _ = (&mut self.server).await;
    }

    /// Opens the same port again.
    pub async fn reopen(&mut self, platform: &str) {
        let address = self.endpoint.trim_start_matches("http://");
        let listener = TcpListener::bind(address).await.expect("the same port");
        self.server = serve(listener, platform, &self.orders);
    }
}

impl Drop for HttpTap {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn serve(listener: TcpListener, platform: &str, orders: &Orders) -> JoinHandle<()> {
    let (platform, orders) = (platform.trim_start_matches("http://").to_owned(), orders.clone());
    tokio::spawn(async move {
        let mut lines = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (platform, orders) = (platform.clone(), orders.clone());
            lines.spawn(async move {
                let Ok(server) = TcpStream::connect(&platform).await else { return };
                // However it ends, both sides are closed.
                let _ = run(client, server, &orders).await;
            });
        }
    })
}

/// One connection, request by request, until either side ends it.
async fn run(mut client: TcpStream, mut server: TcpStream, orders: &Orders) -> io::Result<()> {
    loop {
        // An order counts when a request begins, not when a connection does.
        if client.peek(&mut [0]).await? == 0 {
            return Ok(());
        }
        let order = orders.take("");
        let is = |when| order.as_ref().is_some_and(|order| order.when == when);
        if is(When::Before) {
            return end(order, client, orders).await;
        }
        let request = message(&mut client).await?;
        if is(When::HalfSent) {
            server.write_all(&request[..request.len() / 2]).await?;
            return end(order, client, orders).await;
        }
        server.write_all(&request).await?;
        let answer = message(&mut server).await?;
        if is(When::HalfAnswered) {
            client.write_all(&answer[..answer.len() / 2]).await?;
            return end(order, client, orders).await;
        }
        if is(When::After) {
            return end(order, client, orders).await;
        }
        client.write_all(&answer).await?;
    }
}

async fn end(order: Option<Order>, mut client: TcpStream, orders: &Orders) -> io::Result<()> {
    orders.happened();
    match order.map(|order| order.then) {
        Some(Then::Hold) => hold(&mut client).await,
        Some(Then::Answer(answer)) => client.write_all(answer.as_bytes()).await?,
        Some(Then::Cut) | None => {}
    }
    Ok(())
}

/// A whole request or answer: head, and as much body as the head says.
async fn message(side: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            if read.len() >= end + 4 + length {
                return Ok(read);
            }
        }
        if side.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

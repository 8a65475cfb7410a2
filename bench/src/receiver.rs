//! The least that a platform can be: HTTP/1.1 with keep-alive by hand, events counted by their key,
//! nothing checked.
//!
//! - `POST` anything: `{"events_received": n, …}`
//! - `GET /stats`: what came since the last reset, with its times
//! - `GET /arrivals`: `event_id microseconds`, one per line
//! - `GET /reset`

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bytes::BytesMut;
use memchr::memmem::{self, Finder};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// In every event once, and nowhere else.
const EVENT_ID: &str = "\"event_id\":";

/// Longest pause between the requests of a kept connection is the client's business.
const HEAD: usize = 64 * 1024;

#[derive(Default)]
struct Tally {
    events: u64,
    requests: u64,
    bytes: u64,
    /// Events of the first request: they were under way before the clock ran.
    first_events: u64,
    first_us: u64,
    last_us: u64,
    arrivals: Vec<(String, u64)>,
}

struct Receiver {
    tally: Mutex<Tally>,
    keep: Option<Mutex<BufWriter<File>>>,
    arrivals: bool,
    delay: Duration,
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Serves until it is killed.
pub(crate) async fn run(
    listen: SocketAddr,
    keep: Option<PathBuf>,
    arrivals: bool,
    delay: u64,
) -> anyhow::Result<()> {
    let keep = keep.map(File::create).transpose().context("create the file of events")?;
    let receiver = Arc::new(Receiver {
        tally: Mutex::default(),
        keep: keep.map(|file| Mutex::new(BufWriter::new(file))),
        arrivals,
        delay: Duration::from_millis(delay),
    });
    let listener = TcpListener::bind(listen).await.context("listen")?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let receiver = receiver.clone();
        tokio::spawn(async move {
            // A client that goes away is no failure of the receiver.
            receiver.serve(stream).await.ok();
        });
    }
}

impl Receiver {
    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let mut buffer = BytesMut::with_capacity(HEAD);
        let blank = Finder::new(b"\r\n\r\n");
        loop {
            let end = loop {
                if let Some(at) = blank.find(&buffer) {
                    break at + 4;
                }
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            };
            let head = String::from_utf8_lossy(&buffer.split_to(end)).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(Ok(0), |value| value.trim().parse::<usize>())
                .context("content-length")?;
            buffer.reserve(length.saturating_sub(buffer.len()));
            while buffer.len() < length {
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
            let answer = if head.starts_with("post ") {
                let answer = self.take(&buffer[..length])?;
                if !self.delay.is_zero() {
                    tokio::time::sleep(self.delay).await;
                }
                answer
            } else {
                self.tell(head.split(' ').nth(1).unwrap_or_default())?
            };
            buffer.clear();
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
                answer.len()
            );
            stream.write_all(text.as_bytes()).await?;
        }
    }

    fn take(&self, body: &[u8]) -> anyhow::Result<String> {
        let now = now_us();
        let events = memmem::find_iter(body, EVENT_ID).count() as u64;
        if let Some(file) = &self.keep {
            let request: std::collections::HashMap<&str, &RawValue> = serde_json::from_slice(body)?;
            let data = request.get("data").context("a request without data")?;
            let list: Vec<&RawValue> = serde_json::from_str(data.get())?;
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            for event in list {
                writeln!(file, "{}", event.get())?;
            }
            file.flush()?;
        }
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if tally.requests == 0 {
            tally.first_events = events;
            tally.first_us = now;
        }
        tally.events += events;
        tally.requests += 1;
        tally.bytes += body.len() as u64;
        tally.last_us = now;
        if self.arrivals {
            for at in memmem::find_iter(body, EVENT_ID) {
                let id = body[at + EVENT_ID.len()..].split(|b| *b == b'"').nth(1);
                let id = String::from_utf8_lossy(id.unwrap_or_default()).into_owned();
                tally.arrivals.push((id, now));
            }
        }
        Ok(format!("{{\"events_received\":{events},\"messages\":[],\"fbtrace_id\":\"A{now:x}\"}}"))
    }

    fn tell(&self, path: &str) -> anyhow::Result<String> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match path {
            "/stats" => json!({
                "events": tally.events, "requests": tally.requests, "bytes": tally.bytes,
                "first_events": tally.first_events, "first_us": tally.first_us, "last_us": tally.last_us,
            })
            .to_string(),
            "/arrivals" => {
                let mut text = String::new();
                for (id, at) in &tally.arrivals {
                    writeln!(text, "{id} {at}")?;
                }
                text
            }
            _ => {
                *tally = Tally::default();
                "{}".to_owned()
            }
        })
    }
}

//! Posting, the same way for every contender in Rust: one client, kept connections.

use anyhow::{Context as _, ensure};
use reqwest::header::CONTENT_TYPE;

/// Posts requests.
#[derive(Clone)]
pub(crate) struct Post {
    client: reqwest::Client,
    url: String,
}

impl Post {
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { client, url: url.to_owned() })
    }

    /// One request; the answer must acknowledge `count` events.
    pub(crate) async fn send(&self, body: Vec<u8>, count: usize) -> anyhow::Result<()> {
        let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/json");
        let answer = request.bearer_auth("token").body(body).send().await?.error_for_status()?;
        let answer: serde_json::Value =
            serde_json::from_slice(&answer.bytes().await?).context("read the answer")?;
        let taken = answer["events_received"].as_u64();
        ensure!(taken == Some(count as u64), "{taken:?} of {count} events were acknowledged");
        Ok(())
    }
}

/// A request of events that are JSON already.
pub(crate) fn body<'a>(events: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = b"{\"data\":[".to_vec();
    for (at, event) in events.enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.extend_from_slice(b"]}");
    body
}

/// The text of a `jsonb` in the binary protocol: a byte of version goes before it.
pub(crate) struct Jsonb<'a>(pub(crate) &'a [u8]);

impl<'a> tokio_postgres::types::FromSql<'a> for Jsonb<'a> {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        raw.split_first().map(|(_, text)| Self(text)).ok_or_else(|| "an empty jsonb".into())
    }

    fn accepts(ty: &tokio_postgres::types::Type) -> bool {
        *ty == tokio_postgres::types::Type::JSONB
    }
}

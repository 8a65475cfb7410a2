//! The limit: read the same rows, post the same bytes, mark nothing. A crash loses the place.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Context as _;
use capi_core::destination;
use capi_core::event::{ActionSource, Event, Facts, Identity};
use capi_core::money::{Amount, Currency};
use capi_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::Row;

use crate::post::{Jsonb, Post, body};
use crate::{Peer, connect};

/// Reads the columns that the sidecar reads, in slices by id, and builds the request by the
/// product's own code.
pub(crate) async fn outbox(peer: Peer, after: i64) -> anyhow::Result<()> {
    const SQL: &str = "select id, event_name, event_id, \
        (extract(epoch from event_time) * 1000000)::bigint as event_time_us, action_source, \
        value::text as value, currency, identity, facts \
        from capi.outbox where id > $1 and id <= $1 + $2 and captured_at > now() - interval '2 days'";
    slices(peer, after, SQL, |rows| {
        let platform = destination::build("meta", &json!({"pixel_id": "1234567890"}))?;
        let events = rows.iter().map(event).collect::<anyhow::Result<Vec<_>>>()?;
        let plan = platform.plan(&events);
        let request = plan.requests.into_iter().next().context("nothing to send")?;
        anyhow::ensure!(plan.unfit.is_empty(), "events that cannot be sent");
        Ok(serde_json::to_vec(&request.body)?)
    })
    .await
}

/// Reads the finished bytes.
pub(crate) async fn ready_made(peer: Peer, after: i64) -> anyhow::Result<()> {
    const SQL: &str = "select body from bench.event where n > $1 and n <= $1 + $2";
    slices(peer, after, SQL, |rows| {
        let texts =
            rows.iter().map(|row| row.try_get::<_, &str>(0)).collect::<Result<Vec<_>, _>>()?;
        Ok(body(texts.iter().map(|text| text.as_bytes())))
    })
    .await
}

async fn slices(
    peer: Peer,
    after: i64,
    statement: &'static str,
    build: fn(&[Row]) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<()> {
    let post = Post::new(&peer.url)?;
    let next = Arc::new(AtomicI64::new(after));
    let mut workers = JoinSet::new();
    for _ in 0..peer.concurrency {
        let (post, next, peer) = (post.clone(), next.clone(), peer.clone());
        workers.spawn(async move {
            let client = connect(&peer.database).await?;
            let statement = client.prepare(statement).await?;
            loop {
                let from = next.fetch_add(peer.batch.into(), Ordering::Relaxed);
                let rows = client.query(&statement, &[&from, &i64::from(peer.batch)]).await?;
                if rows.is_empty() {
                    return anyhow::Ok(());
                }
                let body = build(&rows)?;
                let count = rows.len();
                drop(rows);
                post.send(body, count).await?;
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

fn event(row: &Row) -> anyhow::Result<Event> {
    let value: Option<&str> = row.try_get("value")?;
    let currency: Option<&str> = row.try_get("currency")?;
    Ok(Event {
        id: row.try_get("id")?,
        event_name: row.try_get("event_name")?,
        event_id: row.try_get("event_id")?,
        event_time: Timestamp(row.try_get("event_time_us")?),
        action_source: ActionSource::parse(row.try_get("action_source")?).context("source")?,
        value: value.map(Amount::parse).transpose()?,
        currency: currency.map(Currency::parse).transpose()?,
        identity: document::<Identity>(row, "identity")?,
        facts: document::<Facts>(row, "facts")?,
    })
}

fn document<T: DeserializeOwned>(row: &Row, column: &str) -> anyhow::Result<T> {
    Ok(serde_json::from_slice(row.try_get::<_, Jsonb<'_>>(column)?.0)?)
}

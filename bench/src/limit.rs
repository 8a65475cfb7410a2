//! The limit: read the same rows, post the same bytes, mark nothing. A crash loses the place.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Context as _;
use capi_core::destination;
use capi_core::event::{Event, packed};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::Row;

use crate::post::{Post, body};
use crate::{Peer, connect};

/// Reads what the sidecar reads of an event, in slices by id, and builds the request by the
/// product's own code.
pub(crate) async fn outbox(peer: Peer, after: i64) -> anyhow::Result<()> {
    const SQL: &str = "select capi._pack(id, event_time, event_name, event_id, action_source, \
        value, currency, identity, facts) \
        from capi.outbox where id > $1 and id <= $1 + $2 and captured_at > now() - interval '2 days'";
    slices(peer, after, SQL, |rows| {
        let platform = destination::build("meta", &json!({"pixel_id": "1234567890"}))?;
        let events = rows.iter().map(event).collect::<anyhow::Result<Vec<_>>>()?;
        let plan = platform.plan(&events);
        let request = plan.requests.into_iter().next().context("nothing to send")?;
        anyhow::ensure!(plan.unfit.is_empty(), "events that cannot be sent");
        Ok(request.body.into_bytes())
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
    let event = packed::unpack(row.try_get(0)?);
    event.map_err(|column| anyhow::anyhow!("{column} cannot be read"))
}

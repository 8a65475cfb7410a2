//! The limit: read the same rows, post the same bytes, mark nothing. A crash loses the place.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use capi_core::event::packed;
use capi_core::platform;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::Row;

use crate::peer::{Peer, connect};
use crate::post::{Post, body};

/// Reads what the sidecar reads of events and as it does, in slices by id, and builds the request by
/// the product's own code.
pub(crate) async fn outbox(peer: Peer, after: i64) -> anyhow::Result<()> {
    const SQL: &str = "select capi._pack_batch(array(select generate_series($1::bigint + 1, $1 + $2)), \
        now() - interval '2 days', now(), 2000000000)";
    slices(peer, after, SQL, |rows| {
        let platform = platform::build("meta", &json!({"pixel_id": "1234567890"}))?;
        let mut events = Vec::new();
        for piece in rows {
            let piece = packed::unpack_piece(Bytes::copy_from_slice(piece.try_get(0)?));
            for (_, event) in piece.context("a piece")?.0 {
                let event = event.map_err(|column| anyhow::anyhow!("{column} cannot be read"));
                events.push(event?);
            }
        }
        let plan = platform.plan(&events);
        anyhow::ensure!(plan.unfit.is_empty(), "events that cannot be sent");
        let request = plan.requests.into_iter().next();
        Ok((request.map(|request| request.body.into_bytes()).unwrap_or_default(), events.len()))
    })
    .await
}

/// Reads the finished bytes.
pub(crate) async fn ready_made(peer: Peer, after: i64) -> anyhow::Result<()> {
    const SQL: &str = "select body from bench.event where n > $1 and n <= $1 + $2";
    slices(peer, after, SQL, |rows| {
        let texts =
            rows.iter().map(|row| row.try_get::<_, &str>(0)).collect::<Result<Vec<_>, _>>()?;
        Ok((body(texts.iter().map(|text| text.as_bytes())), texts.len()))
    })
    .await
}

/// What is posted, and how many events are in it.
type Body = (Vec<u8>, usize);

async fn slices(
    peer: Peer,
    after: i64,
    statement: &'static str,
    build: fn(&[Row]) -> anyhow::Result<Body>,
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
                let (body, count) = build(&rows)?;
                if count == 0 {
                    return anyhow::Ok(());
                }
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

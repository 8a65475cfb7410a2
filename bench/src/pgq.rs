//! A consumer of PgQ: one batch at a time, which is what a consumer may have, read by cursor and
//! posted in requests side by side.

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::peer::{Peer, connect};
use crate::post::{Post, body};

/// Works through all ticks that there are.
pub(crate) async fn run(peer: &Peer) -> anyhow::Result<()> {
    let post = Post::new(&peer.url)?;
    let mut client = connect(&peer.database).await?;
    loop {
        let batch: Option<i64> =
            client.query_one("select pgq.next_batch('orders', 'bench')", &[]).await?.get(0);
        let Some(batch) = batch else { return Ok(()) };
        let mut flights = JoinSet::new();
        // The cursor lives in a transaction; it ends before the batch does.
        let reading = client.transaction().await?;
        let open = "select ev_data from pgq.get_batch_cursor($1, 'events', $2)";
        let mut rows = reading.query(open, &[&batch, &peer.batch]).await?;
        let fetch = format!("fetch {} from events", peer.batch);
        let mut data = 0;
        while !rows.is_empty() {
            let texts: Vec<&str> = rows.iter().map(|row| row.get(data)).collect();
            let (body, count) = (body(texts.iter().map(|text| text.as_bytes())), rows.len());
            let post = post.clone();
            if flights.len() >= peer.concurrency {
                flights.join_next().await.context("a request in flight")???;
            }
            flights.spawn(async move { post.send(body, count).await });
            rows = reading.query(&fetch, &[]).await?;
            // The cursor has all columns of an event.
            data = rows.first().map_or(0, |row| {
                row.columns().iter().position(|c| c.name() == "ev_data").unwrap_or(0)
            });
        }
        while let Some(landed) = flights.join_next().await {
            landed??;
        }
        reading.commit().await?;
        client.execute("select pgq.finish_batch($1)", &[&batch]).await?;
    }
}

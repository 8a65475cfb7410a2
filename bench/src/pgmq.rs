//! A queue that hides what was read for a while, after the documented behaviour of pgmq:
//! `bench/pgmq.sql`.

use tokio::task::JoinSet;

use crate::peer::{Peer, connect};
use crate::post::{Jsonb, Post, body};

/// Reads, posts and deletes until the queue is empty.
pub(crate) async fn run(peer: Peer, archive: bool) -> anyhow::Result<()> {
    let post = Post::new(&peer.url)?;
    let done = if archive { "select bench.archive($1)" } else { "select bench.delete($1)" };
    let mut workers = JoinSet::new();
    for _ in 0..peer.concurrency {
        let (post, peer) = (post.clone(), peer.clone());
        workers.spawn(async move {
            let client = connect(&peer.database).await?;
            let read = client.prepare("select msg_id, message from bench.read(60, $1)").await?;
            let done = client.prepare(done).await?;
            loop {
                let rows = client.query(&read, &[&peer.batch]).await?;
                if rows.is_empty() {
                    return anyhow::Ok(());
                }
                let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
                let texts: Vec<Jsonb<'_>> = rows.iter().map(|row| row.get(1)).collect();
                let body = body(texts.iter().map(|text| text.0));
                drop(rows);
                post.send(body, ids.len()).await?;
                client.query(&done, &[&ids]).await?;
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

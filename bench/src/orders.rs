//! Orders at a steady rate, and when each was committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::peer::connect;
use crate::receiver::now_us;

const ORDER: &str = "insert into shop.orders (customer_id, currency, checkout_url, total, status, paid_at, browser) \
    values ($1::bigint, 'EUR', 'https://shop.example.com/de/checkout/' || $1::bigint, 25.80, 'paid', clock_timestamp(), \
    '{\"ip\": \"203.0.113.7\", \"user_agent\": \"Mozilla/5.0 (Windows NT 10.0; Win64; x64)\", \
    \"fbp\": \"fb.1.1790000000000.123456789\"}') returning id";
const ITEMS: &str = "insert into shop.order_items (order_id, product_id, sku, quantity, price) \
    values ($1, 1, 'MUG-01', 1, 9.90), ($1, 7, 'TRY-07', 1, 15.90)";

/// Prints `order sent returned` for each, both times of its COMMIT in microseconds. The schedule
/// does not wait: a late client starts its next order at once.
pub(crate) async fn run(
    database: &str,
    rate: f64,
    count: u32,
    clients: usize,
) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU32::new(0));
    let start = Instant::now() + Duration::from_millis(200);
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (client, next) = (connect(database).await?, next.clone());
        tasks.spawn(async move {
            let order = client.prepare(ORDER).await?;
            let items = client.prepare(ITEMS).await?;
            let mut lines = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return anyhow::Ok(lines);
                }
                sleep_until(start + Duration::from_secs_f64(f64::from(n) / rate)).await;
                client.batch_execute("begin").await?;
                let customer = i64::from(1 + n % 1_000);
                let id: i64 = client.query_one(&order, &[&customer]).await?.get(0);
                client.execute(&items, &[&id]).await?;
                let sent = now_us();
                client.batch_execute("commit").await?;
                lines.push((id, sent, now_us()));
            }
        });
    }
    let mut out = String::new();
    while let Some(lines) = tasks.join_next().await {
        for (id, sent, returned) in lines?? {
            out.push_str(&format!("{id} {sent} {returned}\n"));
        }
    }
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes())?;
    Ok(())
}

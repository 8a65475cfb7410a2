//! Buying in the example shop, and what became of it.

use crate::database::{Database, Session};
use crate::patience::eventually;
use crate::platform::Platform;

/// Name of the destination that tests send to.
pub const DESTINATION: &str = "meta-eu";

/// Pixel of that destination.
pub const PIXEL: &str = "1234567890";

/// Name of its credential.
pub const CREDENTIAL: &str = "META_TOKEN";

/// A shop whose purchases and leads are tracked and go to one destination, which is paused.
pub async fn tracked_shop() -> Database {
    let database = Database::adopted().await;
    track(&database, "https://graph.example.com").await;
    database
}

/// Creates the destination with this endpoint and tracks both sources.
pub async fn track(session: &Session, endpoint: &str) {
    session
        .run(&format!(
            "select capi.create_destination('{DESTINATION}', platform => 'meta',
                settings => '{{\"pixel_id\": \"{PIXEL}\", \"endpoint\": \"{endpoint}\"}}',
                credential => '{CREDENTIAL}');
            select capi.track('shop.orders', conversions => 'shop.purchases',
                destinations => '{{{DESTINATION}}}');
            select capi.track('shop.enquiries', conversions => 'shop.leads',
                destinations => '{{{DESTINATION}}}');"
        ))
        .await;
}

/// A tracked shop that sends to this platform.
pub async fn sending_shop(platform: &Platform) -> Database {
    let database = Database::adopted().await;
    track(&database, platform.endpoint()).await;
    resume(&database).await;
    database
}

/// Lets the destination send.
pub async fn resume(session: &Session) {
    session.run(&format!("select capi.resume('{DESTINATION}')")).await;
}

/// Places this many paid orders of 10.00 EUR in one transaction.
pub async fn buy_many(session: &Session, customer: i64, orders: u32) {
    session
        .run(&format!(
            "insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at)
            select {customer}, 'EUR', 10, 'https://shop.example.com/checkout', 'paid',
                clock_timestamp()
            from generate_series(1, {orders})"
        ))
        .await;
}

/// Waits until every event has its receipt.
pub async fn until_settled(session: &Session, seconds: u64) {
    let open = "select count(*) || ' open: ' || coalesce(string_agg(distinct status || ' ' || coalesce(reason, '-'), ', '), '')
        from capi.delivery where status in ('pending', 'sending', 'retrying', 'accepted')";
    eventually("every event has its receipt", seconds, async || {
        let seen = session.get(open).await;
        if seen.starts_with("0 ") { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Receipts by status, as `status count` in order.
pub async fn receipts(session: &Session) -> Vec<String> {
    let sql = "select status || ' ' || count(*) from capi.receipt group by status order by status";
    session.column(sql).await
}

/// Fails unless every event that the platform has seen twice is marked as a possible duplicate.
/// Returns how many those are.
pub async fn duplicates_on_record(session: &Session, platform: &Platform) -> usize {
    let seen = platform.seen().await;
    let twice: Vec<&String> = seen.iter().filter(|(_, n)| **n > 1).map(|(id, _)| id).collect();
    let marked = session
        .column(
            "select o.event_id from capi.outbox o join capi.receipt r on r.event = o.id
            where r.possible_duplicate",
        )
        .await;
    let silent: Vec<_> = twice.iter().filter(|id| !marked.contains(id)).collect();
    assert!(
        silent.is_empty(),
        "{} of {} duplicates are not on record: {silent:?}",
        silent.len(),
        twice.len()
    );
    twice.len()
}

/// Adds a customer with plain, valid data who has consented; returns the id.
pub async fn customer(session: &Session) -> i64 {
    customer_with(session, "true").await
}

/// Adds a customer with this answer to the consent question, an SQL expression.
pub async fn customer_with(session: &Session, consent: &str) -> i64 {
    session
        .count(&format!(
            "insert into shop.customers (email, phone, first_name, last_name, city, zip, country,
                marketing_consent)
            values ('erika.mustermann@example.com', '+49 30 23125 042', 'Erika', 'Mustermann',
                'Berlin', '10115', 'DE', {consent})
            returning id"
        ))
        .await
}

/// The statement that places an order and pays it at once.
pub fn paid_order(customer: i64, total: &str, currency: &str) -> String {
    format!(
        "insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at)
        values ({customer}, '{currency}', {total}, 'https://shop.example.com/checkout', 'paid',
            clock_timestamp())
        returning id"
    )
}

/// Places a paid order of 10.00 EUR; returns the id.
pub async fn buy(session: &Session, customer: i64) -> i64 {
    session.count(&paid_order(customer, "10.00", "EUR")).await
}

/// Number of outbox rows.
pub async fn captured(session: &Session) -> i64 {
    session.count("select count(*) from capi.outbox").await
}

/// Keys of the captured rows in order, joined by blanks.
pub async fn captured_keys(session: &Session) -> String {
    let sql =
        "select coalesce(string_agg(key, ' ' order by length(key), key), '') from capi.outbox";
    session.get(sql).await
}

/// Open and resolved capture errors, each as `key sqlstate reason field open|resolved`.
pub async fn errors(session: &Session) -> Vec<String> {
    session
        .column(
            "select format('%s %s %s %s %s', key, sqlstate, reason, coalesce(field, '-'),
                case when resolved_at is null then 'open' else 'resolved' end)
            from capi.capture_error order by error",
        )
        .await
}

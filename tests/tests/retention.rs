//! What is dropped when, what is settled before, and that neither the checkout nor a destination that
//! stands still is in the way.

use capi_tests::database::{Database, Session};
use capi_tests::platform::Platform;
use capi_tests::shop::{
    DESTINATION, buy, buy_many, captured, customer, errors, receipts, resume, sending_shop, track,
    tracked_shop, until_settled,
};
use capi_tests::sidecar::{Sidecar, capi};

/// Maintains until nothing is left to do; answers what the calls said.
pub(crate) async fn maintain(shop: &Session) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..50 {
        let done = shop.get("select capi.maintain()").await;
        let more = done.contains("\"more\": true");
        said.push(done);
        if !more {
            return said;
        }
    }
    panic!("maintenance does not end: {said:?}");
}

/// Makes everything that is there this many days older.
pub(crate) async fn age(shop: &Session, days: u32) {
    let ago = format!("interval '{days} days'");
    for table in ["outbox", "receipt", "attempt"] {
        for day in [0, 1] {
            shop.run(&format!(
                "set role capi_owner;
                select capi._partition('{table}',
                    date_trunc('week', (now() - {ago} - interval '{day} days') at time zone 'UTC'));
                reset role"
            ))
            .await;
        }
    }
    shop.run(&format!(
        "update capi.outbox set captured_at = captured_at - {ago};
        update capi.receipt set captured_at = captured_at - {ago}, settled_at = settled_at - {ago};
        update capi.attempt set started_at = started_at - {ago}, finished_at = finished_at - {ago};
        update capi.batch set captured_from = captured_from - {ago}, captured_to = captured_to - {ago};
        update capi.route set since = since - {ago};
        update capi.cursor set unread_since = unread_since - {ago}, from_taken_at = from_taken_at - {ago}"
    ))
    .await;
}

async fn partitions(shop: &Session, table: &str) -> i64 {
    let sql = format!(
        "select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'capi.{table}'::regclass and c.relname ~ '_[0-9]{{8}}$'"
    );
    shop.count(&sql).await
}

/// A delivered order and its age in the books.
async fn delivered(platform: &Platform) -> Database {
    let shop = sending_shop(platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 5).await;
    let sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(sidecar.terminate().await.code(), Some(0));
    age(&shop, 60).await;
    shop
}

#[tokio::test]
async fn nothing_is_dropped_until_somebody_says_so() {
    let platform = Platform::start().await;
    let shop = delivered(&platform).await;
    maintain(&shop).await;
    assert_eq!(captured(&shop).await, 5);
    assert_eq!(shop.line("select events, receipts, attempts from capi.retention").await, "||");
}

#[tokio::test]
async fn old_weeks_are_dropped_and_their_keys_stay() {
    let platform = Platform::start().await;
    let shop = delivered(&platform).await;
    let before = partitions(&shop, "outbox").await;
    let admin = shop.connect_as("admin").await;
    let said = admin.get("select capi.retain('30 days')").await;
    assert_eq!(
        said,
        "kept: events 30 days, receipts 30 days, attempts 30 days, resolved capture errors 90 days"
    );
    maintain(&shop).await;
    for table in ["outbox", "receipt", "attempt"] {
        assert_eq!(shop.count(&format!("select count(*) from capi.{table}")).await, 0, "{table}");
    }
    assert!(partitions(&shop, "outbox").await < before);
    // Saved again, an order is no new event; a new one is.
    shop.run("update shop.orders set status = status").await;
    assert_eq!(captured(&shop).await, 0);
    let c = shop.count("select max(customer_id) from shop.orders").await;
    buy(&shop, c).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 1"]);
    assert_eq!(platform.number("duplicates"), 0);
    // Who asks sees that it happened.
    let url = shop.url("capi");
    let status = capi(&["status"], &[("CAPI_DATABASE_URL", &url)]).await;
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.lines().any(|l| l.starts_with("retention") && l.contains("dropped")), "{text}");
}

#[tokio::test]
async fn a_destination_that_stands_still_blocks_nothing() {
    let platform = Platform::start().await;
    let shop = Database::adopted().await;
    track(&shop, platform.endpoint()).await;
    resume(&shop).await;
    let c = customer(&shop).await;
    // One that waits after a failure, one that the platform has accepted, and unread ones.
    for step in [
        "'retry', '{}', '{}', '{}', '{}', interval '1 hour'",
        "'accepted', '{}', '{}', '{}', '{}', interval '1 hour', 't-1', c.events",
    ] {
        buy_many(&shop, c, 2).await;
        shop.run(&format!(
            "select capi.record(c.batch, c.token, c.attempt, 200, null, 'busy', '{{}}', {step})
            from capi.claim(1, 'w', interval '1 minute', 2) c"
        ))
        .await;
    }
    assert_eq!(shop.count("select count(*) from capi.batch").await, 2);
    buy_many(&shop, c, 3).await;
    shop.run(&format!("select capi.pause('{DESTINATION}')")).await;
    age(&shop, 60).await;
    let fresh = buy(&shop, c).await;
    shop.run("select capi.retain('30 days', receipts => '400 days')").await;
    maintain(&shop).await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(shop.count("select count(*) from capi.batch").await, 0);
    let settled = "select status || ' ' || reason || ' ' || count(*) from capi.receipt group by status, reason order by status";
    assert_eq!(shop.column(settled).await, ["expired retention 5", "undecided retention 2"]);
    resume(&shop).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    let seen: Vec<_> = platform.seen().await.into_keys().collect();
    assert_eq!(seen, [format!("order-{fresh}")], "what is left is sent, and nothing else");
}

#[tokio::test]
async fn a_batch_is_kept_from_its_week_on() {
    // Two weeks in one batch: the old part is settled, the young one stays.
    let shop = tracked_shop().await;
    resume(&shop).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 2).await;
    age(&shop, 60).await;
    buy_many(&shop, c, 2).await;
    let claim = "select batch from capi.claim(1, 'w', interval '1 minute', 10)";
    shop.run(claim).await;
    shop.run("select capi.retain('30 days', receipts => '90 days')").await;
    // Being sent, it is waited for; that is visible, and nothing else is held up.
    let said = maintain(&shop).await;
    assert!(
        said.last().is_some_and(|last| last.contains("\"failed\": [\"retention\"]")),
        "{said:?}"
    );
    let problem = "select problem, failing_since is not null from capi.maintenance() where task = 'retention'";
    assert_eq!(shop.line(problem).await, "a table is in use|t");
    assert_eq!(captured(&shop).await, 4);
    shop.run("update capi.batch set lease_until = now()").await;
    maintain(&shop).await;
    assert_eq!(shop.line(problem).await, "|f");
    assert_eq!(captured(&shop).await, 2);
    let left =
        "select count(*) from capi.batch b, unnest(b.events) e join capi.outbox o on o.id = e
        where b.captured_from <= o.captured_at";
    assert_eq!(shop.count(left).await, 2);
    assert_eq!(receipts(&shop).await, ["expired 2"]);
}

#[tokio::test]
async fn a_reader_is_waited_for_and_no_checkout_waits_for_that() {
    let platform = Platform::start().await;
    let shop = delivered(&platform).await;
    shop.run("select capi.retain('30 days')").await;
    let reader = shop.connect().await;
    reader.run("begin; select count(*) from capi.delivery").await;
    let c = shop.count("select max(customer_id) from shop.orders").await;
    let app = shop.connect().await;
    let buying = tokio::spawn(async move {
        for _ in 0..50 {
            buy(&app, c).await;
        }
    });
    for _ in 0..5 {
        let said = shop.get("select capi.maintain()").await;
        assert!(!said.contains("dropped"), "{said}");
    }
    buying.await.expect("orders were placed");
    assert_eq!(errors(&shop).await, [""; 0], "no capture gave up behind it");
    assert_eq!(captured(&shop).await, 55);
    reader.run("commit").await;
    maintain(&shop).await;
    assert_eq!(captured(&shop).await, 50);
}

#[tokio::test]
async fn rows_without_a_partition_get_one() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 4).await;
    // As after weeks without maintenance: the week has no partition.
    shop.run("update capi.outbox set captured_at = captured_at - interval '60 days'").await;
    let lost = "select count(*) from capi.outbox_default";
    assert_eq!(shop.count(lost).await, 4);
    let said = maintain(&shop).await;
    assert!(said.iter().any(|done| done.contains("\"moved\": 4")), "{said:?}");
    assert_eq!(shop.count(lost).await, 0);
    assert_eq!(captured(&shop).await, 4);
}

#[tokio::test]
async fn resolved_capture_errors_age_and_open_ones_do_not() {
    let shop = tracked_shop().await;
    shop.run(
        "insert into capi.capture_error (source, key, sqlstate, reason, last_at, resolved_at, resolution) values
            (1, '1', '22012', 'division_by_zero', now() - interval '200 days', now() - interval '91 days', 'captured'),
            (1, '2', '22012', 'division_by_zero', now() - interval '200 days', now() - interval '89 days', 'captured'),
            (1, '3', '22012', 'division_by_zero', now() - interval '200 days', null, null)",
    )
    .await;
    maintain(&shop).await;
    let keys = "select string_agg(key, ' ' order by key) from capi.capture_error";
    assert_eq!(shop.get(keys).await, "2 3");
}

#[tokio::test]
async fn retention_has_bounds_and_is_the_administrators() {
    let shop = tracked_shop().await;
    let admin = shop.connect_as("admin").await;
    for (call, hint) in [
        ("capi.retain('10 days')", "eight days back"),
        ("capi.retain('90 days', receipts => '60 days')", "count as not sent"),
        ("capi.retain('90 days', attempts => '1 day')", "eight days back"),
    ] {
        let refusal = admin.refused(&format!("select {call}")).await;
        assert!(refusal.hint.contains(hint), "{call}: {refusal:?}");
    }
    for role in ["analyst", "capi"] {
        let session = shop.connect_as(role).await;
        assert_eq!(session.refused("select capi.retain('400 days')").await.code, "42501", "{role}");
        session.run("select * from capi.maintenance()").await;
    }
    admin.run("select capi.retain('400 days')").await;
    assert_eq!(admin.get("select changed_by from capi.retention").await, "admin");
    let off = admin.get("select capi.retain(null)").await;
    assert!(off.starts_with("kept: events for good"), "{off}");
}

#[tokio::test]
async fn one_session_maintains_at_a_time() {
    let shop = tracked_shop().await;
    maintain(&shop).await;
    let other = shop.connect().await;
    other.run("begin; select capi._lock('maintenance')").await;
    let said = shop.line("select m ->> 'skipped', m ->> 'by' from capi.maintain() m").await;
    let pid = other.pid().await;
    assert_eq!(said, format!("another session is at it|pid {pid}, role postgres"));
}

#[tokio::test]
async fn autovacuum_is_set_for_tables_that_grow_and_for_those_that_churn() {
    let shop = Database::adopted().await;
    let without = "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = any ('{capi.outbox,capi.attempt,capi.receipt}'::regclass[])
            and c.relname ~ '_[0-9]{8}$'
            and not 'autovacuum_vacuum_insert_scale_factor=0.02' = any (coalesce(c.reloptions, '{}'))";
    assert_eq!(shop.column(without).await, [""; 0]);
    let churning =
        "select count(*) from pg_class where oid = any ('{capi.batch,capi.cursor}'::regclass[])
        and 'autovacuum_vacuum_scale_factor=0' = any (reloptions)";
    assert_eq!(shop.count(churning).await, 2);
}

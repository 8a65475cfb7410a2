//! A destination that comes late: what was captured before goes to it from the outbox alone.

use capi_tests::database::{Database, Session};
use capi_tests::patience::eventually;
use capi_tests::platform::Platform;
use capi_tests::shop::{
    CREDENTIAL, DESTINATION, PIXEL, buy_many, captured, customer, customer_with, resume, track,
    until_settled,
};
use capi_tests::sidecar::Sidecar;

const LATE: &str = "meta-late";

/// Creates one more destination, paused.
async fn create_late(shop: &Session, platform: &Platform) {
    shop.run(&format!(
        "select capi.create_destination('{LATE}', platform => 'meta',
            settings => '{{\"pixel_id\": \"{PIXEL}\", \"endpoint\": \"{}\"}}', credential => '{CREDENTIAL}')",
        platform.endpoint()
    ))
    .await;
}

/// Lets events look as if they had been captured so long ago. Their receipts and keys follow.
async fn age(shop: &Session, events: &str, by: &str) {
    shop.run(&format!(
        "update capi.event_key k set captured_at = o.captured_at - interval '{by}' from capi.outbox o where o.id = k.event and {events};
        update capi.receipt r set captured_at = o.captured_at - interval '{by}' from capi.outbox o where o.id = r.event and {events};
        update capi.outbox o set captured_at = captured_at - interval '{by}', event_time = event_time - interval '{by}' where {events};
        update capi.route set since = since - interval '90 days' where until is null"
    ))
    .await;
}

/// Deliveries of a destination by status and reason.
async fn outcomes(shop: &Session, destination: &str) -> Vec<String> {
    shop.column(&format!(
        "select concat_ws(' ', status, reason, count(*)) from capi.delivery where destination = '{destination}'
        group by status, reason order by 1"
    ))
    .await
}

/// A shop with two platforms, of which the second gets nothing yet.
async fn two_platforms() -> (Platform, Platform, Database) {
    let (first, second) = (Platform::start().await, Platform::start().await);
    let shop = Database::adopted().await;
    track(&shop, first.endpoint()).await;
    resume(&shop).await;
    (first, second, shop)
}

#[tokio::test]
async fn the_past_arrives_once_while_new_events_flow() {
    let (first, second, shop) = two_platforms().await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 3_000).await;
    let sidecar = Sidecar::start(&shop);
    until_settled(&shop, 60).await;
    age(&shop, "o.id <= (select min(id) + 99 from capi.outbox)", "3 days").await;
    age(&shop, "o.id > (select max(id) - 50 from capi.outbox)", "9 days").await;
    create_late(&shop, &second).await;
    // An order that is open now, older than the route by its time: its commit comes later.
    let open = shop.connect().await;
    open.run("begin").await;
    buy_many(&open, c, 1).await;
    open.run("set constraints all immediate").await;
    let said = shop
        .get(&format!("select capi.add_route('shop.orders', '{LATE}', since => '5 days')"))
        .await;
    assert!(said.contains("captured since"), "{said}");
    open.run("commit").await;
    let pending = format!("select pending from capi.status() where destination = '{LATE}'");
    assert_eq!(shop.count(&pending).await, 2_951, "the past and what was open");
    shop.run(&format!("select capi.resume('{LATE}')")).await;
    for _ in 0..20 {
        buy_many(&shop, c, 5).await;
    }
    until_settled(&shop, 60).await;
    // 3,001 without the 50 that are older than five days, and 100 new ones.
    assert_eq!(outcomes(&shop, LATE).await, ["delivered 3051"]);
    assert_eq!(second.number("unique_events"), 3_051);
    assert_eq!(second.number("duplicates"), 0);
    assert_eq!(first.number("duplicates"), 0);
    assert_eq!(shop.count("select count(*) from capi.receipt where possible_duplicate").await, 0);
    assert_eq!(shop.count(&pending).await, 0);
    assert_eq!(shop.count("select count(*) from capi.route where past_id is not null").await, 0);
    drop(sidecar);
    // Once more, and further back: only what no route covers yet.
    let _sidecar = Sidecar::start(&shop);
    shop.run(&format!("select capi.add_route('shop.orders', '{LATE}', since => '5 days')")).await;
    let notice = format!("select capi.add_route('shop.orders', '{LATE}', since => '30 days')");
    shop.run(&notice).await;
    buy_many(&shop, c, 1).await;
    until_settled(&shop, 60).await;
    // Meta takes seven days of what happens on a website: what is older is settled as expired.
    assert_eq!(outcomes(&shop, LATE).await, ["delivered 3052", "expired too_old 50"]);
    assert_eq!(second.number("duplicates"), 0);
}

#[tokio::test]
async fn what_is_too_old_by_its_own_time_expires() {
    let (_first, second, shop) = two_platforms().await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 4).await;
    // Captured a day ago, of an order that was eight days old then.
    age(&shop, "true", "1 day").await;
    shop.run("update capi.outbox set event_time = event_time - interval '8 days' where id % 2 = 0")
        .await;
    create_late(&shop, &second).await;
    shop.run(&format!(
        "select capi.add_route('shop.orders', '{LATE}', since => '7 days'), capi.resume('{LATE}')"
    ))
    .await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 30).await;
    assert_eq!(outcomes(&shop, LATE).await, ["delivered 2", "expired too_old 2"]);
}

#[tokio::test]
async fn consent_of_then_and_since_is_respected() {
    let (_first, second, shop) = two_platforms().await;
    let c = customer(&shop).await;
    let refuses = customer_with(&shop, "false").await;
    buy_many(&shop, c, 4).await;
    buy_many(&shop, refuses, 1).await;
    age(&shop, "true", "1 day").await;
    let keys = shop.column("select key from capi.outbox order by id").await;
    shop.run(&format!(
        "select capi.withdraw('shop.orders', '{}'), capi.forget('shop.orders', '{}')",
        keys[0], keys[1]
    ))
    .await;
    create_late(&shop, &second).await;
    shop.run(&format!("select capi.add_route('shop.orders', '{LATE}', since => '7 days')")).await;
    // Withdrawn after the route was made and before anything was read.
    shop.run(&format!("select capi.withdraw('shop.orders', '{}'), capi.resume('{LATE}')", keys[2]))
        .await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 30).await;
    assert_eq!(
        outcomes(&shop, LATE).await,
        [
            "delivered 1",
            "suppressed consent_refused 1",
            "suppressed forgotten 1",
            "suppressed withdrawn 2"
        ]
    );
    assert_eq!(second.number("unique_events"), 1);
}

#[tokio::test]
async fn a_backlog_of_the_cursor_and_the_past_are_two_things() {
    let (_first, second, shop) = two_platforms().await;
    let c = customer(&shop).await;
    // Paused: leads are routed to it and unread, orders come later.
    create_late(&shop, &second).await;
    shop.run(&format!(
        "select capi.track('shop.enquiries', conversions => 'shop.leads', destinations => '{{{DESTINATION},{LATE}}}');
        insert into shop.enquiries (email, page_url, marketing_consent, confirmed_at)
        select 'lead' || n || '@example.com', 'https://shop.example.com/ask', true, clock_timestamp() from generate_series(1, 10) n"
    ))
    .await;
    buy_many(&shop, c, 10).await;
    shop.run(&format!(
        "select capi.add_route('shop.orders', '{LATE}', since => '1 day');
        select capi.add_route('shop.enquiries', '{LATE}', since => '1 day')"
    ))
    .await;
    buy_many(&shop, c, 10).await;
    let events = captured(&shop).await;
    let pending = format!("select pending from capi.status() where destination = '{LATE}'");
    assert_eq!(shop.count(&pending).await, events, "each counted once");
    let one_line_each = format!(
        "select count(*) - count(distinct event) from capi.delivery where destination = '{LATE}'"
    );
    assert_eq!(shop.count(&one_line_each).await, 0);
    shop.run(&format!("select capi.resume('{LATE}')")).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 30).await;
    assert_eq!(second.number("unique_events"), events);
    assert_eq!(second.number("duplicates"), 0);
}

#[tokio::test]
async fn a_copy_goes_on_with_the_past() {
    let (_first, second, shop) = two_platforms().await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 20).await;
    age(&shop, "true", "1 day").await;
    create_late(&shop, &second).await;
    shop.run(&format!("select capi.add_route('shop.orders', '{LATE}', since => '7 days')")).await;
    // Half of it is read here, by hand.
    shop.run(&format!("select capi.resume('{LATE}')")).await;
    let claim = format!(
        "select attempt from capi.claim((select destination from capi.destination where name = '{LATE}'), 'test', interval '1 hour', 8)"
    );
    assert!(shop.count(&claim).await > 0);
    let settle = "select capi.record(b.batch, b.token, b.attempt, 200, null, null, null, 'each', b.events, '{delivered}', null, '{}', null)
        from capi.batch b";
    assert_eq!(shop.get(settle).await, "t");
    let copy = shop.clone_by_template().await;
    assert_eq!(
        copy.refused(&format!("select capi.add_route('shop.orders', '{LATE}')")).await.code,
        "55000"
    );
    copy.run(&format!("select capi.adopt(), capi.resume('{LATE}')")).await;
    buy_many(&copy, c, 5).await;
    let _sidecar = Sidecar::start(&copy);
    until_settled(&copy, 30).await;
    assert_eq!(outcomes(&copy, LATE).await, ["delivered 25"]);
    assert_eq!(second.number("unique_events"), 17, "without the eight that the original had sent");
}

#[tokio::test]
async fn a_late_destination_that_is_dropped_leaves_nothing_open() {
    let (_first, second, shop) = two_platforms().await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 3).await;
    create_late(&shop, &second).await;
    shop.run(&format!(
        "select capi.add_route('shop.orders', '{LATE}', since => '1 day'); select capi.drop_destination('{LATE}')"
    ))
    .await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 30).await;
    assert_eq!(outcomes(&shop, LATE).await, [""; 0]);
    eventually("the sidecar has nothing to do", 10, async || {
        let work = shop.column("select work from capi.poll()").await;
        if work == ["f"] { Ok(()) } else { Err(format!("{work:?}")) }
    })
    .await;
}

#[tokio::test]
async fn routes_are_refused_with_a_way_out() {
    let (_first, second, shop) = two_platforms().await;
    create_late(&shop, &second).await;
    let admin = shop.connect_as("admin").await;
    let add = format!("select capi.add_route('shop.orders', '{LATE}')");
    assert_eq!(admin.refused(&add).await.code, "42501", "whose orders they are");
    assert_eq!(shop.connect_as("analyst").await.refused(&add).await.code, "42501");
    for (call, code) in [
        (format!("'shop.nothing', '{LATE}'"), "42704"),
        ("'shop.orders', 'nowhere'".to_owned(), "42704"),
        (format!("'shop.orders', '{LATE}', since => '-1 day'"), "22023"),
    ] {
        assert_eq!(
            shop.refused(&format!("select capi.add_route({call})")).await.code,
            code,
            "{call}"
        );
    }
    shop.run("begin isolation level repeatable read").await;
    assert_eq!(shop.refused(&add).await.code, "25000");
    shop.run("rollback; select capi.untrack('shop.orders')").await;
    assert_eq!(shop.refused(&add).await.code, "55000");
}

//! What a sidecar knows outlives a reload, and nothing is done twice because of one; a name that leads to
//! another database sends nothing of it to this one's accounts.

use capi_tests::database::{Database, Session};
use capi_tests::patience::eventually;
use capi_tests::platform::Platform;
use capi_tests::shop::{CREDENTIAL, PIXEL, buy_many, customer, sending_shop, until_settled};
use capi_tests::sidecar::Sidecar;
use serde_json::json;

/// As many of these as there may be requests in flight.
const LEASED: &str = "select count(*) from capi.batch where state = 'leased'";

/// A shop with this many orders, and the platform that waits for them.
async fn waiting(orders: u32) -> (Platform, Database) {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let somebody = customer(&shop).await;
    buy_many(&shop, somebody, orders).await;
    (platform, shop)
}

async fn until_requests(platform: &Platform, number: i64) {
    eventually(&format!("{number} requests"), 20, async || {
        let seen = platform.number("requests");
        if seen >= number { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

/// Has the configuration read again, so many times in all.
async fn reload(sidecar: &Sidecar, times: usize) {
    sidecar.signal("HUP");
    eventually(&format!("reload {times}"), 20, async || {
        let seen = sidecar.log().matches("configuration was read again").count();
        if seen >= times { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

/// Waits until the sidecar has a connection for the so-manieth time.
async fn until_connected(sidecar: &Sidecar, times: usize) {
    eventually(&format!("connection {times}"), 20, async || {
        let seen = sidecar.log().matches("connected").count();
        if seen >= times { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

/// Orders go to this platform too.
async fn add(shop: &Database, name: &str, platform: &Platform) {
    shop.run(&format!(
        "select capi.create_destination('{name}', platform => 'meta', credential => '{CREDENTIAL}',
            settings => '{{\"pixel_id\": \"{PIXEL}\", \"endpoint\": \"{}\"}}');
        select capi.add_route('shop.orders', '{name}'), capi.resume('{name}')",
        platform.endpoint()
    ))
    .await;
}

async fn until_delivered(platform: &Platform, events: i64) {
    eventually(&format!("{events} events"), 20, async || {
        let seen = platform.number("unique_events");
        if seen == events { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn reloads_do_not_multiply_the_requests_in_flight() {
    let (platform, shop) = waiting(1).await;
    let other = Platform::start().await;
    add(&shop, "meta-other", &other).await;
    platform.fault(json!({"kind": "latency", "ms": 9_000, "times": 20})).await;
    let sidecar = Sidecar::start_with(&shop, &[("CAPI_CONCURRENCY", "2")]);
    until_requests(&platform, 1).await;
    let mut most = 0;
    for times in 1..=4 {
        reload(&sidecar, times).await;
        until_connected(&sidecar, times + 1).await;
        let somebody = customer(&shop).await;
        buy_many(&shop, somebody, 1).await;
        // Its sibling has it, so the new workers are at work.
        until_delivered(&other, i64::try_from(times).expect("few")).await;
        most = most.max(shop.count(LEASED).await);
    }
    assert!(most <= 2, "{most} batches at once");
    platform.heal().await;
    until_settled(&shop, 60).await;
    assert_eq!(platform.number("duplicates"), 0);
}

#[tokio::test]
async fn a_reload_does_not_end_the_pause_that_a_platform_asked_for() {
    let (platform, shop) = waiting(1).await;
    let other = Platform::start().await;
    add(&shop, "meta-other", &other).await;
    platform
        .fault(
            json!({"kind": "status", "status": 429, "code": 4, "retry_after": 3600, "times": 100}),
        )
        .await;
    let sidecar = Sidecar::start(&shop);
    eventually("the platform asked for a pause", 20, async || {
        let seen = shop.column("select outcome from capi.attempt").await;
        if seen == ["wait"] { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    for times in 1..=2 {
        reload(&sidecar, times).await;
        until_connected(&sidecar, times + 1).await;
        let somebody = customer(&shop).await;
        buy_many(&shop, somebody, 1).await;
        until_delivered(&other, i64::try_from(times).expect("few")).await;
    }
    assert_eq!(platform.number("requests"), 1, "it asked for an hour");
    // Whoever changes the account ends the pause: it was the other account's.
    platform.heal().await;
    shop.run(
        "select capi.alter_destination('meta-eu',
            settings => (select settings || '{\"pixel_id\": \"1029384756\"}' from capi.destination where name = 'meta-eu'))",
    )
    .await;
    until_delivered(&platform, 2).await;
}

/// Sends whoever connects by the name of one database to another one.
async fn swap(shop: &Database, other: &Database) {
    let postgres = Session::connect(shop.cluster(), "postgres", "postgres").await;
    let (here, there) = (shop.name(), other.name());
    postgres
        .run(&format!(
            "alter database {here} allow_connections false; alter database {there} allow_connections false"
        ))
        .await;
    postgres
        .run(&format!(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname in ('{here}', '{there}')"
        ))
        .await;
    for (from, to) in [(here, "swapped"), (there, here), ("swapped", there)] {
        postgres.run(&format!("alter database {from} rename to {to}")).await;
    }
    postgres
        .run(&format!(
            "alter database {here} allow_connections true; alter database {there} allow_connections true"
        ))
        .await;
}

#[tokio::test]
async fn a_name_that_leads_to_another_database_ends_the_sidecar_and_sends_nothing() {
    let (platform, mut shop) = waiting(1).await;
    let (elsewhere, mut other) = waiting(5).await;
    let mut sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    swap(&shop, &other).await;
    shop.reconnect().await;
    other.reconnect().await;
    let status = sidecar.ended().await;
    assert_eq!(status.code(), Some(3), "{}", sidecar.log());
    assert!(sidecar.log().contains("another database"), "{}", sidecar.log());
    assert_eq!(platform.number("requests"), 1);
    assert_eq!(elsewhere.number("requests"), 0);
    // A new one knows nothing of the old accounts.
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!((platform.number("requests"), elsewhere.number("unique_events")), (1, 5));
}

#[tokio::test]
async fn a_claim_for_another_database_or_with_old_settings_gets_nothing() {
    let (_platform, shop) = waiting(1).await;
    let claim = |version: &str, database: &str| {
        format!("select count(*) from capi.claim(1, 'w', '1 minute', 10, {version}, {database})")
    };
    let version = "(select version from capi.destination)";
    let database = "(select (capi.handshake() ->> 'database')::bigint)";
    assert_eq!(shop.count(&claim("0", database)).await, 0, "settings of before");
    let refusal = shop.refused(&claim(version, "1")).await;
    assert_eq!(refusal.code, "55000");
    assert!(refusal.message.contains("another database"), "{refusal:?}");
    assert_eq!(shop.count(&claim(version, database)).await, 1);
}

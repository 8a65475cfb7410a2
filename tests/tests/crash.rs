//! Killed at any moment: nothing is lost, and what may have been sent twice is on record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use capi_tests::cluster::Cluster;
use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::platform::Platform;
use capi_tests::shop::{
    buy, buy_many, captured, customer, duplicates_on_record, receipts, resume, sending_shop, track,
    until_settled,
};
use capi_tests::sidecar::Sidecar;
use serde_json::json;

/// Numbers that differ from run to run (xorshift).
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(now.expect("a clock after 1970").as_nanos() as u64 | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Waits until one of the platform's numbers has grown by this much.
async fn until_grown(platform: &Platform, number: &str, by: i64) {
    let goal = platform.number(number) + by;
    eventually(&format!("{number} reaches {goal}"), 40, async || {
        let seen = platform.number(number);
        if seen >= goal { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_lose_nothing() {
    let platform = Platform::start().await;
    // Taken at once and answered a little later: time to die in between.
    platform.fault(json!({"kind": "late", "ms": 60, "probability": 0.7})).await;
    platform.fault(json!({"kind": "latency", "ms": 30})).await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let open = Arc::new(AtomicBool::new(true));
    let app = shop.connect().await;
    let still_open = open.clone();
    let orders = tokio::spawn(async move {
        let mut orders = 0;
        while still_open.load(Ordering::Relaxed) {
            buy(&app, c).await;
            orders += 1;
        }
        orders
    });
    let mut chance = Chance::new();
    for _ in 0..10 {
        let sidecar = Sidecar::start(&shop);
        // Before, during or after a request; the looks are some milliseconds apart.
        let number = ["requests", "events_accepted", "answered_requests"][chance.below(3) as usize];
        let by = 1 + chance.below(if number == "events_accepted" { 60 } else { 8 });
        until_grown(&platform, number, by as i64).await;
        sidecar.kill().await;
    }
    open.store(false, Ordering::Relaxed);
    let orders = orders.await.expect("orders were placed");
    let _last = Sidecar::start(&shop);
    // Leases of the dead end after 15 seconds.
    until_settled(&shop, 60).await;
    assert_eq!(captured(&shop).await, orders);
    assert_eq!(receipts(&shop).await, [format!("delivered {orders}")]);
    assert_eq!(platform.number("unique_events"), orders, "nothing lost");
    let duplicates = duplicates_on_record(&shop, &platform).await;
    assert!(duplicates > 0, "ten kills without a double prove little");
    assert_eq!(shop.count("select count(*) from capi.batch").await, 0);
    let unknown = shop.count("select count(*) from capi.attempt where outcome = 'unknown'").await;
    assert!(unknown > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_wakes_up_after_its_lease_changes_nothing() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 10).await;
    platform.fault(json!({"kind": "latency", "ms": 500, "times": 1})).await;
    let frozen = Sidecar::start(&shop);
    until_grown(&platform, "requests", 1).await;
    frozen.signal("STOP");
    until_grown(&platform, "events_accepted", 10).await;
    let _other = Sidecar::start(&shop);
    until_settled(&shop, 40).await;
    frozen.signal("CONT");
    frozen.until_logged("lease lost").await;
    assert_eq!(receipts(&shop).await, ["delivered 10"]);
    assert_eq!(duplicates_on_record(&shop, &platform).await, 10);
    let noted = "select reason from capi.attempt where outcome = 'unknown'";
    assert_eq!(shop.column(noted).await, ["answered_after_lease"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_of_the_server_lose_nothing() {
    // With fsync: what was committed must be there.
    static CLUSTER: std::sync::OnceLock<Cluster> = std::sync::OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Cluster::start("checkpoint_timeout = 30s"));
    let platform = Platform::start().await;
    platform.fault(json!({"kind": "late", "ms": 50, "probability": 0.5})).await;
    let mut shop = Database::on(cluster).await;
    track(&shop, platform.endpoint()).await;
    resume(&shop).await;
    let c = customer(&shop).await;
    let _sidecar = Sidecar::start(&shop);
    let mut committed = 0;
    for _ in 0..3 {
        for _ in 0..40 {
            buy(&shop, c).await;
            committed += 1;
        }
        until_grown(&platform, "requests", 1).await;
        cluster.crash();
        cluster.boot();
        shop.reconnect().await;
    }
    until_settled(&shop, 60).await;
    assert_eq!(shop.count("select count(*) from shop.orders").await, committed);
    assert_eq!(captured(&shop).await, committed);
    assert_eq!(receipts(&shop).await, [format!("delivered {committed}")]);
    assert_eq!(platform.number("unique_events"), committed);
    duplicates_on_record(&shop, &platform).await;
}

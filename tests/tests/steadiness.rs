//! A sidecar that cannot do its work keeps its calm: a few statements a second in every state in
//! which nothing can be claimed. And one that is told to stop stops, whatever hangs.

use std::process::Command;
use std::time::{Duration, Instant};

use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::platform::Platform;
use capi_tests::shop::{DESTINATION, buy, buy_many, customer, sending_shop, until_settled};
use capi_tests::sidecar::Sidecar;
use serde_json::json;

/// Seconds over which statements are counted. The server's own counters lag by up to one.
const WINDOW: u32 = 5;

/// Waits for a window with few transactions. Each sidecar polls, asks for a batch and looks again about
/// once a second; the rest is room for this test. The first window may hold the first maintenance.
async fn is_calm(shop: &Database, sidecars: &[Sidecar]) {
    const COUNT: &str = "select xact_commit + xact_rollback from pg_stat_database
        where datname = current_database()";
    let most = 5 * i64::try_from(sidecars.len()).expect("few");
    eventually("few transactions a second", 3 * u64::from(WINDOW), async || {
        let before = shop.count(COUNT).await;
        shop.run(&format!("select pg_sleep({WINDOW})")).await;
        let seen = (shop.count(COUNT).await - before) / i64::from(WINDOW);
        let log = || tail(&sidecars[0].log());
        if seen <= most { Ok(()) } else { Err(format!("{seen} a second\n{}", log())) }
    })
    .await;
}

/// The end of a log.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(40).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// A second destination that is sent to.
async fn add_destination(shop: &Database, platform: &Platform, more: &str) {
    shop.run(&format!(
        "select capi.create_destination('meta-us', platform => 'meta', credential => 'META_TOKEN',
            settings => '{{\"pixel_id\": \"1234567890\", \"endpoint\": \"{}\"}}');
        {more}; select capi.resume('meta-us')",
        platform.endpoint()
    ))
    .await;
}

/// Two sidecars that have settled an order and sleep.
async fn two_asleep(shop: &Database, c: i64) -> Vec<Sidecar> {
    let sidecars: Vec<_> = (0..2).map(|_| Sidecar::start(shop)).collect();
    buy(shop, c).await;
    until_settled(shop, 30).await;
    for sidecar in &sidecars {
        sidecar.until_logged("asleep").await;
    }
    sidecars
}

#[tokio::test]
async fn a_transaction_that_holds_the_cursors_makes_no_storm() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let sidecars = two_asleep(&shop, c).await;
    let holder = shop.connect().await;
    holder.run("begin; select from capi.cursor for update").await;
    buy_many(&shop, c, 5).await;
    is_calm(&shop, &sidecars).await;
    holder.run("rollback").await;
    until_settled(&shop, 10).await;
}

#[tokio::test]
async fn a_route_that_is_being_added_makes_no_storm() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    add_destination(&shop, &platform, "select capi.add_route('shop.orders', 'meta-us')").await;
    let sidecars = two_asleep(&shop, c).await;
    let holder = shop.connect().await;
    holder.run("begin; select capi.add_route('shop.enquiries', 'meta-us')").await;
    buy_many(&shop, c, 5).await;
    is_calm(&shop, &sidecars).await;
    holder.run("rollback").await;
    until_settled(&shop, 10).await;
}

#[tokio::test]
async fn a_batch_that_somebody_holds_makes_no_storm() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let sidecars = two_asleep(&shop, c).await;
    platform.fault(json!({"kind": "status", "status": 503})).await;
    buy(&shop, c).await;
    eventually("the batch waits", 20, async || {
        let seen = shop.get("select state from capi.batch where tries > 0").await;
        if seen == "ready" { Ok(()) } else { Err(seen) }
    })
    .await;
    let holder = shop.connect().await;
    holder.run("begin; select from capi.batch for update").await;
    holder.run("update capi.batch set due_at = now()").await;
    platform.heal().await;
    is_calm(&shop, &sidecars).await;
    holder.run("commit").await;
    until_settled(&shop, 40).await;
}

#[tokio::test]
async fn one_destination_that_cannot_be_claimed_costs_nothing_while_another_flows() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    add_destination(&shop, &platform, "select capi.add_route('shop.orders', 'meta-us')").await;
    let sidecars = two_asleep(&shop, c).await;
    let holder = shop.connect().await;
    holder
        .run(
            "begin; select from capi.cursor c join capi.destination d using (destination)
            where d.name = 'meta-us' for update of c",
        )
        .await;
    // A trickle that never lets the sidecars sleep for long.
    for _ in 0..10 {
        buy(&shop, c).await;
    }
    let delivered = format!(
        "select count(*) from capi.delivery where destination = '{DESTINATION}' and status = 'delivered'"
    );
    eventually("the other one is served", 10, async || {
        let seen = shop.count(&delivered).await;
        if seen == 11 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    is_calm(&shop, &sidecars).await;
    holder.run("rollback").await;
    until_settled(&shop, 10).await;
}

#[tokio::test]
async fn events_that_cannot_be_read_make_no_storm() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let sidecars = two_asleep(&shop, c).await;
    let right = "execute on function capi.claimed_events from capi_sidecar";
    shop.run(&format!("revoke {right}")).await;
    buy(&shop, c).await;
    sidecars[0].until_logged("asleep").await;
    is_calm(&shop, &sidecars).await;
    let attempts = shop.count("select count(*) from capi.attempt").await;
    assert!(attempts < 30, "{attempts} attempts");
    shop.run(&format!("grant {}", right.replace("from", "to"))).await;
    until_settled(&shop, 30).await;
}

#[tokio::test]
async fn a_copy_is_looked_at_now_and_then_and_said_to_be_one_once() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 2).await;
    let shop = shop.clone_by_template().await;
    // What is captured here has ids that the original's cursors know nothing of.
    buy_many(&shop, c, 2).await;
    let sidecars = vec![Sidecar::start_with(&shop, &[("CAPI_SAFETY_POLL", "5")])];
    sidecars[0].until_logged("asleep").await;
    is_calm(&shop, &sidecars).await;
    let log = sidecars[0].log();
    assert_eq!(log.matches("this database is a copy").count(), 1, "{log}");
    assert!(!log.contains("sending"), "{log}");
    assert_eq!(platform.number("requests"), 0);
    assert_eq!(shop.get("select pending from capi.status()").await, "4");
    let open = "select count(*) from capi.delivery where status = 'pending'";
    assert_eq!(shop.get(open).await, "4");
    shop.run("select capi.adopt()").await;
    until_settled(&shop, 20).await;
}

/// The server process that serves the bell.
async fn bells_backend(shop: &Database) -> String {
    eventually("the bell's backend", 20, async || {
        let pids = shop
            .column(
                "select pid from pg_stat_activity
                where datname = current_database() and usename = 'capi' and query like '%capi.poll()%'",
            )
            .await;
        if pids.len() == 1 { Ok(pids[0].clone()) } else { Err(format!("{pids:?}")) }
    })
    .await
}

/// A server process that stands still for as long as this lives.
struct Frozen(String);

impl Frozen {
    fn new(pid: String) -> Self {
        signal("STOP", &pid);
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}

fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args(["-s", name, pid]).status();
    assert!(sent.expect("the program kill").success());
}

#[tokio::test]
async fn a_frozen_bell_holds_up_neither_delivery_nor_the_end() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let grace = [("CAPI_GRACE", "5"), ("CAPI_SAFETY_POLL", "5")];
    let _sidecar = Sidecar::start_with(&shop, &grace);
    buy(&shop, c).await;
    until_settled(&shop, 30).await;
    let frozen = Frozen::new(bells_backend(&shop).await);
    buy_many(&shop, c, 5).await;
    until_settled(&shop, 15).await;
    drop(frozen);
}

async fn until_requests(platform: &Platform, least: i64) {
    eventually("it is at work", 20, async || {
        let seen = platform.number("requests");
        if seen >= least { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn after_sigterm_no_attempt_begins_though_the_bell_is_frozen() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    // One that has nothing to do: for it the bell's session polls all the time.
    add_destination(&shop, &platform, "select").await;
    // Slow enough that work is left when the signal comes.
    platform.fault(json!({"kind": "latency", "ms": 200})).await;
    for _ in 0..20 {
        buy_many(&shop, c, 1000).await;
    }
    let mut sidecar = Sidecar::start_with(&shop, &[("CAPI_GRACE", "5"), ("CAPI_CONCURRENCY", "1")]);
    until_requests(&platform, 2).await;
    let frozen = Frozen::new(bells_backend(&shop).await);
    until_requests(&platform, platform.number("requests") + 3).await;
    sidecar.signal("TERM");
    sidecar.until_logged("stopping").await;
    let told = Instant::now();
    let at = shop.get("select clock_timestamp()").await;
    let status = sidecar.ended().await;
    let took = told.elapsed();
    assert!(status.success(), "{status}\n{}", tail(&sidecar.log()));
    let later = format!(
        "select count(*) from capi.attempt where started_at > '{at}' and outcome <> 'released'"
    );
    assert_eq!(shop.count(&later).await, 0);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(shop.count("select count(*) from capi.delivery where status = 'pending'").await > 0);
    assert!(!sidecar.log().contains("cut off"), "{}", tail(&sidecar.log()));
    drop(frozen);
}

#[tokio::test]
async fn timeouts_of_the_role_end_none_of_its_sessions() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    for setting in [
        "idle_session_timeout = '300ms'",
        "idle_in_transaction_session_timeout = '300ms'",
        "statement_timeout = '2s'",
        "lock_timeout = '300ms'",
        "tcp_user_timeout = '2s'",
    ] {
        shop.run(&format!("alter database {} set {setting}", shop.name())).await;
    }
    let newer = shop.count("select current_setting('server_version_num')::integer").await;
    if newer >= 170_000 {
        shop.run(&format!("alter database {} set transaction_timeout = '300ms'", shop.name()))
            .await;
    }
    let sidecar = Sidecar::start_with(&shop, &[("CAPI_SAFETY_POLL", "5")]);
    buy(&shop, c).await;
    until_settled(&shop, 30).await;
    let pid = bells_backend(&shop).await;
    eventually("its sessions have been idle for long", 20, async || {
        let seen = shop
            .get(
                "select coalesce(max(now() - state_change) > interval '2 s', false)
                from pg_stat_activity where datname = current_database() and usename = 'capi'",
            )
            .await;
        if seen == "t" { Ok(()) } else { Err(format!("{seen}\n{}", sidecar.log())) }
    })
    .await;
    assert_eq!(bells_backend(&shop).await, pid);
    buy(&shop, c).await;
    until_settled(&shop, 20).await;
    let log = sidecar.log();
    assert!(!log.contains("connection lost") && !log.contains("failed"), "{log}");
}

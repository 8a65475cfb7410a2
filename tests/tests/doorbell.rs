//! The doorbell of the real thing: sleeps and wakes without end, and no commit is overslept. The
//! protocol's interleavings are searched in `sidecar/tests/doorbell/`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use capi_tests::chance::Chance;
use capi_tests::database::Session;
use capi_tests::patience::eventually;
use capi_tests::platform::Platform;
use capi_tests::shop::{captured, customer, paid_order, sending_shop, until_settled};
use capi_tests::sidecar::Sidecar;

/// Longest wait for an event that rang. The safety poll is sixty times as long, so that whoever sleeps
/// past a ring is found out.
const PATIENCE: u64 = 5;

/// Arms the bell after 10 ms without work: as many sleeps as can be had.
const SLEEPY: [(&str, &str); 2] = [("CAPI_SLEEP_AFTER", "10"), ("CAPI_SAFETY_POLL", "300")];

const ROUNDS: u32 = 150;

const SESSIONS: u64 = 4;

/// One transaction; says whether it committed an order.
async fn trade(session: Arc<Session>, customer: i64, mut chance: Chance) -> bool {
    // The pauses are the load: they spread the commits over the sidecar's arming and lying down.
    tokio::time::sleep(Duration::from_micros(chance.below(15_000))).await;
    let order = paid_order(customer, "10.00", "EUR");
    match chance.below(10) {
        0 => {
            session.run(&format!("begin; {order}; rollback")).await;
            false
        }
        // A commit that takes its time between capture and end.
        1 => {
            session.run(&format!("begin; {order}; set constraints all immediate")).await;
            tokio::time::sleep(Duration::from_micros(chance.below(30_000))).await;
            session.run("commit").await;
            true
        }
        _ => {
            session.run(&order).await;
            true
        }
    }
}

#[expect(clippy::print_stdout, reason = "the seed and the figures are for whoever runs it")]
async fn nothing_is_overslept(sidecars: usize) {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let sidecars: Vec<_> = (0..sidecars).map(|_| Sidecar::start_with(&shop, &SLEEPY)).collect();
    for sidecar in &sidecars {
        sidecar.until_logged("asleep").await;
    }
    let seed = Chance::seed();
    println!("doorbell: seed {seed}");
    let mut chance = Chance::new(seed);
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Arc::new(shop.connect_as("app").await));
    }
    let (mut orders, mut longest) = (0, Duration::ZERO);
    for round in 0..ROUNDS {
        let busy = 1 + chance.below(SESSIONS) as usize;
        let trades: Vec<_> = sessions[..busy]
            .iter()
            .map(|session| {
                let chance = Chance::new(chance.below(u64::MAX));
                tokio::spawn(trade(session.clone(), c, chance))
            })
            .collect();
        for trade in trades {
            orders += i64::from(trade.await.expect("an order"));
        }
        let committed = Instant::now();
        eventually(&format!("seed {seed}, round {round}: all are heard"), PATIENCE, async || {
            let seen = platform.number("unique_events");
            if seen == orders { Ok(()) } else { Err(format!("{seen} of {orders}")) }
        })
        .await;
        longest = longest.max(committed.elapsed());
        // Until it may just be arming, or has long been asleep.
        tokio::time::sleep(Duration::from_micros(chance.below(40_000))).await;
    }
    until_settled(&shop, 20).await;
    assert_eq!(captured(&shop).await, orders);
    let slept: usize = sidecars.iter().map(|s| s.log().matches("asleep").count()).sum();
    println!("doorbell: {orders} orders, {slept} sleeps, longest wait {longest:?}");
    assert!(slept > ROUNDS as usize / 3, "{slept} sleeps in {ROUNDS} rounds prove little");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_falls_asleep_all_the_time_oversleeps_nothing() {
    nothing_is_overslept(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_second_sidecar_nothing_is_overslept_either() {
    nothing_is_overslept(2).await;
}

#[tokio::test]
async fn a_ringer_that_is_still_giving_its_locks_back_keeps_the_sidecar_awake() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    // As a commit that has given back the gate and not yet the ringer's lock.
    shop.run("select capi._try_lock('ringer', 0, true)").await;
    let other = shop.connect_as("capi").await;
    assert_eq!(other.get("select capi.bell_arm()").await, "f");
    let held = "select coalesce(string_agg(lock, ' '), '') from capi.locks()";
    assert_eq!(shop.get(held).await, "ringer", "nothing is kept");
    shop.run("select capi._unlock('ringer')").await;
    assert_eq!(other.get("select capi.bell_arm()").await, "t");
    assert_eq!(shop.get(held).await, "bell", "the bell and nothing else");
}

//! Exactly once, whatever many sessions do to many tables at the same time, and whoever is killed: from
//! the row to the platform.
//!
//! `CAPI_TORTURE_SEED` repeats a run as far as concurrency lets it; `CAPI_TORTURE_SECONDS` is how
//! long it rages in all: `make torture SECONDS=600`.

use std::sync::OnceLock;
use std::time::Duration;

use capi_tests::chance::Chance;
use capi_tests::cluster::Cluster;
use capi_tests::database::Database;
use capi_tests::platform::Platform;
use capi_tests::torture::delivery::{self, Mortal};
use capi_tests::torture::{self, Tally, Violence};

/// What must have happened, or the test proves nothing of it.
const KINDS: [&str; 30] = [
    "read committed",
    "repeatable read",
    "serializable",
    "savepoint released",
    "savepoint rolled back",
    "savepoint left open",
    "constraints immediate",
    "insert",
    "several updates",
    "gone in the same transaction",
    "flip",
    "consent flip",
    "withdraw",
    "copy",
    "on conflict",
    "merge",
    "view broken",
    "line touched",
    "the application's deferred trigger",
    "order and lines in any order",
    "delete",
    "moved partition",
    "changed key",
    "rolled back",
    "committed",
    "prepared and committed",
    "prepared and rolled back",
    "prepared and left",
    "transactions",
    "sidecar killed",
];

/// What must have happened in the second half.
const BLOWS: [&str; 4] = ["postmaster killed", "backend killed", "terminated", "cancelled"];

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

#[expect(clippy::print_stdout, reason = "the seed and the counts are for whoever runs it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_equals_the_view_after_everything() {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        // What is committed survives a killed process without fsync; only a machine needs it.
        Cluster::start("fsync = off\ndeadlock_timeout = 50ms\nmax_prepared_transactions = 200")
    });
    let seed = number("CAPI_TORTURE_SEED").unwrap_or_else(Chance::seed);
    let seconds = number("CAPI_TORTURE_SECONDS").unwrap_or(36);
    println!("torture: CAPI_TORTURE_SEED={seed} CAPI_TORTURE_SECONDS={seconds}");
    let mut shop = Database::on(cluster).await;
    let platform = Platform::start().await;
    torture::prepare(&shop, platform.endpoint()).await;
    let half = Duration::from_secs(seconds.div_ceil(2));
    for (violence, kinds) in [(Violence::None, &KINDS[..]), (Violence::Kills, &BLOWS[..])] {
        let tally = Tally::default();
        delivery::trouble(&platform).await;
        let sidecar = Mortal::start(&shop, Chance::new(seed ^ 0xDEAD), &tally);
        torture::rage(&mut shop, seed, half, violence, &tally).await;
        sidecar.end().await;
        let (on_record, lost) = torture::unswept(&shop).await;
        let mut wrong = torture::balance(&shop).await;
        let (undelivered, duplicates) = delivery::balance(&shop, &platform).await;
        wrong.extend(undelivered);
        let delivered =
            shop.count("select count(*) from capi.receipt where status = 'delivered'").await;
        let events = shop.line("select count(*), (select count(*) from torture.gone), (select count(*) from capi.capture_error) from capi.outbox").await;
        println!(
            "torture, {violence:?}: events|gone rows|capture errors {events}; before the sweep {on_record} missing on record, {} not; delivered {delivered}, of these {duplicates} twice and on record\n    {}",
            lost.len(),
            tally.lines().join(", ")
        );
        // An event is written with its row or not at all: no kill explains a silent loss.
        assert!(lost.is_empty(), "seed {seed}: silently lost: {lost:?}");
        assert!(
            wrong.is_empty(),
            "seed {seed}: {} wrong: {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(20)]
        );
        let never: Vec<_> = kinds.iter().filter(|kind| tally.of(kind) == 0).collect();
        assert!(never.is_empty(), "seed {seed}: never happened: {never:?}");
    }
}

/// The books themselves: a row that leaves its key and comes back is one conversion, as in the outbox.
#[tokio::test]
async fn the_books_count_a_row_that_comes_back_once() {
    let shop = Database::adopted().await;
    torture::prepare(&shop, "https://graph.example.com").await;
    shop.run(
        "insert into torture.parted (region, number, paid_at, total, email, consent)
        values ('north', 4, clock_timestamp(), 12.34, null, true)",
    )
    .await;
    for (from, to) in [("north", "south"), ("south", "north")] {
        shop.run(&format!(
            "insert into torture.gone
            select 'torture.parted', jsonb_build_array(region, number::text)::text, 'parted-' || region || number, total, 'USD'
            from torture.parted where region = '{from}';
            update torture.parted set region = '{to}'"
        ))
        .await;
    }
    assert_eq!(torture::balance(&shop).await, Vec::<String>::new());
    let events = "select string_agg(event_id, ' ' order by event_id) from capi.outbox";
    assert_eq!(shop.get(events).await, "parted-north4 parted-south4");
}

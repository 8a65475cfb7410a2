//! Random arguments for every function, as every role: the server lives, every call ends, no error is
//! an internal one or quotes an address, nothing of it is in the log, and rights stay as they were.
//!
//! `CAPI_SEARCH_SEED`, `CAPI_SEARCH_SECONDS` and `CAPI_SEARCH_ALL` as in `schema_changes.rs`: with
//! `CAPI_SEARCH_SECONDS=0` the one call of a seed is made. `CAPI_HOSTILE_AVOID` takes the place of
//! [`AVOIDED`].

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use capi_tests::chance::{Chance, avoided, number};
use capi_tests::cluster::Cluster;
use capi_tests::database::Database;
use capi_tests::hostile_arguments::{MARK, Place, Tally};
use capi_tests::shop::{buy, customer, track};
use capi_tests::unharmed::Before;

/// What is known to go wrong and is left out until it is mended: names of functions, `null`,
/// `deep json` and `many values`.
const AVOIDED: &[&str] = &[];

#[expect(clippy::print_stdout, reason = "seeds and findings are for whoever runs it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_argument_does_harm() {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        // The statements themselves hold the addresses.
        Cluster::start("fsync = off\nlog_min_error_statement = panic\nlog_min_messages = info")
    });
    let seed = number("CAPI_SEARCH_SEED").unwrap_or_else(Chance::seed);
    let seconds = number("CAPI_SEARCH_SECONDS").unwrap_or(20);
    let avoided = avoided("CAPI_HOSTILE_AVOID", AVOIDED);
    let all = number("CAPI_SEARCH_ALL") == Some(1);
    println!(
        "hostile arguments: CAPI_SEARCH_SEED={seed} CAPI_SEARCH_SECONDS={seconds} CAPI_HOSTILE_AVOID={}",
        avoided.join(",")
    );
    let shop = Database::on(cluster).await;
    track(&shop, "https://graph.example.com").await;
    let somebody = customer(&shop).await;
    buy(&shop, somebody).await;
    let mut place = Place::make(shop).await;
    let before = Before::look(cluster, place.superuser()).await;
    let (start, mut tally, mut wrong) =
        (Instant::now(), Tally::new(), BTreeMap::<String, Vec<u64>>::new());
    for seed in seed.. {
        if let Some(found) = place.call(Chance::new(seed), &avoided, &mut tally).await {
            let is_end = found.label.starts_with("a session is lost");
            let seeds = wrong.entry(found.label.clone()).or_default();
            seeds.push(seed);
            if seeds.len() == 1 {
                println!(
                    "after {:?}, CAPI_SEARCH_SEED={seed}: {}: {}",
                    start.elapsed(),
                    found.label,
                    found.more
                );
            }
            if is_end || !all {
                break;
            }
        }
        if start.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
    }
    let lines = before.ends(cluster);
    if lines.is_empty() {
        for line in before.rights_changed(place.superuser()).await {
            wrong.entry(line).or_default();
        }
    }
    for line in lines {
        wrong.entry(line).or_default();
    }
    let log = before.log_since(cluster);
    for line in log.lines().filter(|line| line.to_lowercase().contains(MARK)).take(5) {
        wrong
            .entry(format!("an address in the log: {}", line.chars().take(600).collect::<String>()))
            .or_default();
    }
    let (calls, well) = tally.values().fold((0, 0), |sum, n| (sum.0 + n.0, sum.1 + n.1));
    let never: Vec<&str> =
        tally.iter().filter(|(_, n)| n.1 == 0).map(|(name, _)| name.as_str()).collect();
    println!(
        "hostile arguments: {calls} calls of {} functions, {well} not refused; always refused: {}",
        tally.len(),
        never.join(", ")
    );
    let counts: Vec<String> =
        wrong.iter().map(|(label, seeds)| format!("{label}: {} calls", seeds.len())).collect();
    assert!(wrong.is_empty(), "{counts:#?}");
}

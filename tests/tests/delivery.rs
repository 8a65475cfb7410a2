//! From the outbox to the platform: what goes wrong there, and what is on record afterwards.

use capi_tests::database::{Database, Session};
use capi_tests::patience::eventually;
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::shop::{
    DESTINATION, buy, buy_many, captured, customer, customer_with, duplicates_on_record,
    paid_order, receipts, resume, sending_shop, track, until_settled,
};
use capi_tests::sidecar::Sidecar;
use serde_json::{Value, json};

/// A shop with this many events waiting, and a platform. Nothing is sent before a sidecar starts,
/// so that the events go as one batch.
async fn waiting(orders: u32) -> (Platform, Database) {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, orders).await;
    (platform, shop)
}

/// Outcomes of the attempts in order.
async fn outcomes(shop: &Database) -> Vec<String> {
    shop.column("select outcome from capi.attempt order by attempt").await
}

#[tokio::test]
async fn one_order_arrives_with_its_digests() {
    let (platform, shop) = waiting(1).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 1"]);
    let requests = platform.requests().await;
    let event = &requests[0]["body"]["data"][0];
    let digest = shop.get("select capi.digest('email', 'erika.mustermann@example.com')").await;
    assert_eq!(event["user_data"]["em"], json!([digest]));
    assert_eq!(
        event["event_id"].as_str(),
        Some(&*shop.get("select event_id from capi.outbox").await)
    );
    assert_eq!(event["custom_data"]["value"].to_string(), "10.00", "exact, as in the order");
    assert_eq!(requests[0]["token_in"], "header");
    let row = "select status, attempts, http_status, request_id is not null, possible_duplicate from capi.delivery";
    assert_eq!(shop.line(row).await, "delivered|1|200|t|f");
}

#[tokio::test]
async fn what_is_previewed_is_what_is_sent() {
    let (platform, shop) = waiting(1).await;
    let preview = format!("select capi.preview('{DESTINATION}', p) from shop.purchases p");
    let preview: Value = serde_json::from_str(&shop.get(&preview).await).expect("JSON");
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(platform.requests().await[0]["body"], preview);
}

// ---------------------------------------------------------------------------------------------
// The platform's faults
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn server_errors_are_survived() {
    let (platform, shop) = waiting(20).await;
    platform.fault(json!({"kind": "status", "status": 500, "times": 1})).await;
    platform.fault(json!({"kind": "status", "status": 503, "times": 1})).await;
    platform.fault(json!({"kind": "html", "times": 1})).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 40).await;
    assert_eq!(receipts(&shop).await, ["delivered 20"]);
    assert_eq!(outcomes(&shop).await, ["retry", "retry", "retry", "each"]);
    assert_eq!(platform.number("duplicates"), 0);
    assert_eq!(shop.count("select distinct attempts from capi.receipt").await, 4);
}

/// Code 4 as the platform says it, without the headers that would ask for whole minutes.
fn throttled() -> Value {
    json!({"kind": "status", "status": 429, "code": 4, "retry_after": 1, "times": 1})
}

#[tokio::test]
async fn throttling_costs_no_attempt() {
    let (platform, shop) = waiting(20).await;
    platform.fault(throttled()).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 40).await;
    assert_eq!(outcomes(&shop).await, ["wait", "each"]);
    assert_eq!(shop.count("select distinct attempts from capi.receipt").await, 1);
    assert_eq!(platform.number("requests"), 2);
}

#[tokio::test]
async fn a_connection_cut_before_the_body_is_survived() {
    let (platform, shop) = waiting(20).await;
    platform.fault(json!({"kind": "cut_before_body", "times": 2})).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 40).await;
    assert_eq!(receipts(&shop).await, ["delivered 20"]);
    assert_eq!(platform.number("duplicates"), 0);
}

/// Each fault takes the events and spoils the answer: the same events go again, which must be on
/// record.
async fn double(fault: Value) {
    let (platform, shop) = waiting(20).await;
    platform.fault(fault.clone()).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 60).await;
    assert_eq!(receipts(&shop).await, ["delivered 20"], "{fault}");
    assert_eq!(platform.number("unique_events"), 20, "{fault}");
    assert_eq!(duplicates_on_record(&shop, &platform).await, 20, "{fault}: all were sent twice");
}

#[tokio::test]
async fn doubles_after_a_cut_answer_are_on_record() {
    double(json!({"kind": "cut_after_body", "times": 1})).await;
}

#[tokio::test]
async fn doubles_after_half_an_answer_are_on_record() {
    double(json!({"kind": "cut_mid_answer", "times": 1})).await;
}

#[tokio::test]
async fn doubles_after_a_late_answer_are_on_record() {
    double(json!({"kind": "late", "ms": 5_000, "times": 1})).await;
}

#[tokio::test]
async fn doubles_after_an_empty_answer_are_on_record() {
    double(json!({"kind": "empty", "times": 1})).await;
}

#[tokio::test]
async fn doubles_after_garbage_are_on_record() {
    double(json!({"kind": "garbage", "times": 1})).await;
}

#[tokio::test]
async fn doubles_after_a_wrong_count_are_on_record() {
    double(json!({"kind": "lie", "times": 1})).await;
}

#[tokio::test]
async fn events_that_were_never_taken_are_not_marked_as_doubles() {
    let (platform, shop) = waiting(5).await;
    platform.fault(json!({"kind": "status", "status": 400, "code": 100, "times": 1})).await;
    platform.fault(throttled()).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 40).await;
    let marked = "select count(*) from capi.receipt where possible_duplicate";
    assert_eq!(shop.count(marked).await, 0);
}

#[tokio::test]
async fn an_expired_token_blocks_and_resuming_drains() {
    let (platform, shop) = waiting(20).await;
    platform.fault(json!({"kind": "expired_token"})).await;
    let sidecar = Sidecar::start(&shop);
    let state = "select state || ' ' || coalesce(pause_reason, '-') from capi.status()";
    let seen = eventually("destination is blocked", 20, async || {
        let seen = shop.get(state).await;
        if seen.starts_with("blocked ") { Ok(seen) } else { Err(seen) }
    })
    .await;
    assert!(seen.contains("190"), "the platform's code is the reason: {seen}");
    buy(&shop, shop.count("select id from shop.customers").await).await;
    assert_eq!(shop.count("select pending from capi.status()").await, 21, "everything is kept");
    assert_eq!(platform.number("requests"), 1, "no second knock at a closed door");
    platform.heal().await;
    resume(&shop).await;
    until_settled(&shop, 30).await;
    assert_eq!(receipts(&shop).await, ["delivered 21"]);
    assert!(!sidecar.log().contains(TOKEN));
}

#[tokio::test]
async fn a_wrong_token_blocks_with_a_reason() {
    let (_platform, shop) = waiting(1).await;
    let sidecar = Sidecar::start_with(&shop, &[("META_TOKEN", "EAAGsomeothertoken")]);
    sidecar.until_logged("destination is blocked").await;
    let state = shop.line("select state, pause_reason from capi.status()").await;
    assert!(state.starts_with("blocked|190"), "{state}");
    assert!(!sidecar.log().contains("EAAGsomeothertoken"));
}

#[tokio::test]
async fn bad_events_are_refused_one_by_one() {
    let (platform, shop) = waiting(64).await;
    let bad = shop
        .column("select event_id from capi.outbox order by id offset 10 limit 1")
        .await
        .into_iter()
        .chain(shop.column("select event_id from capi.outbox order by id offset 63").await);
    for event_id in bad {
        platform.fault(json!({"kind": "poison", "event_id": event_id})).await;
    }
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 40).await;
    assert_eq!(receipts(&shop).await, ["delivered 62", "refused 2"]);
    let reasons = shop.column("select reason from capi.receipt where status = 'refused'").await;
    assert!(reasons.iter().all(|reason| reason.starts_with("100")), "{reasons:?}");
    // 2 k log2(n), and the one that began it.
    assert!(platform.number("requests") <= 2 * 2 * 6 + 1, "{}", platform.summary());
    assert_eq!(platform.number("duplicates"), 0);
}

#[tokio::test]
async fn whom_nobody_could_find_is_refused_with_a_reason_and_not_sent() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let town = "insert into shop.customers (is_guest, city, country, marketing_consent)
        values (true, 'Berlin', 'DE', true) returning id";
    let c = shop.count(town).await;
    buy(&shop, c).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    let receipt = shop.line("select status, reason from capi.delivery").await;
    assert_eq!(receipt, "refused|insufficient_identity");
    assert_eq!(platform.number("requests"), 0);
}

#[tokio::test]
async fn refused_consent_and_old_events_are_settled_unsent() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer_with(&shop, "false").await;
    buy(&shop, c).await;
    let c = customer(&shop).await;
    let old = paid_order(c, "3", "EUR").replace("clock_timestamp()", "now() - interval '8 days'");
    shop.run(&old).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    let rows = shop.column("select status || ' ' || reason from capi.delivery order by 1").await;
    assert_eq!(rows, ["expired too_old", "suppressed consent_refused"]);
    assert_eq!(platform.number("requests"), 0);
}

#[tokio::test]
async fn a_trickle_fills_batches_while_requests_are_under_way() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let sidecar = Sidecar::start(&shop);
    sidecar.until_logged("asleep").await;
    let c = customer(&shop).await;
    // Idle: at once, alone.
    buy(&shop, c).await;
    until_settled(&shop, 20).await;
    assert_eq!(platform.number("requests"), 1);
    // A platform of a quarter of a second, and one order after the other.
    platform.fault(json!({"kind": "latency", "ms": 250})).await;
    let began = std::time::Instant::now();
    for _ in 0..600 {
        buy(&shop, c).await;
    }
    until_settled(&shop, 60).await;
    let took = began.elapsed();
    // Four requests at a time, so no more than sixteen in a second; and the rest shares them.
    let requests = platform.number("requests") - 1;
    let bound = 4 * (took.as_millis() as i64 / 250 + 1);
    assert!(requests <= bound, "{requests} requests in {took:?}");
    assert!(requests * 2 <= 600, "{requests} requests for 600 orders in {took:?}");
    assert_eq!(receipts(&shop).await, ["delivered 601"]);
}

// ---------------------------------------------------------------------------------------------
// Carving and claiming, step by step
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn two_claims_at_once_never_get_the_same_event() {
    let (_platform, shop) = waiting(10).await;
    let one = shop.connect_as("capi").await;
    let claim = "select events from capi.claim(1, 'w', interval '1 minute', 5)";
    one.run("begin").await;
    let first = one.get(claim).await;
    // The cursor is locked by the other one: nothing, and no waiting.
    let two = shop.connect_as("capi").await;
    assert_eq!(two.rows(claim).await.len(), 0);
    one.run("commit").await;
    let second = two.get(claim).await;
    assert!(!first.is_empty() && !second.is_empty());
    let repeated = "select count(*) from (select e from capi.batch b, unnest(b.events) e group by e having count(*) > 1) x";
    assert_eq!(shop.count(repeated).await, 0);
    assert_eq!(shop.count("select sum(cardinality(events)) from capi.batch").await, 10);
    // A snapshot older than the cursor's lock would move the cursor back.
    one.run("begin isolation level repeatable read").await;
    let refusal = one.refused(claim).await;
    assert_eq!(refusal.code, "25000", "{refusal:?}");
}

#[tokio::test]
async fn a_transaction_larger_than_any_batch_is_carved_to_its_end() {
    let (_platform, shop) = waiting(2_500).await;
    let sizes = "select string_agg(cardinality(c.events)::text, ' ') from generate_series(1, 4) g
        cross join lateral capi.claim(1, 'w' || g, interval '1 minute', 1000) c";
    assert_eq!(shop.get(sizes).await, "1000 1000 500");
    let different = "select count(distinct e) from capi.batch b, unnest(b.events) e";
    assert_eq!(shop.count(different).await, 2_500);
}

#[tokio::test]
async fn a_claim_outlives_a_crash_whatever_the_database_defaults_to() {
    let (_platform, shop) = waiting(1).await;
    shop.run("set synchronous_commit = off; begin").await;
    shop.run("select from capi.claim(1, 'w', interval '1 minute', 1)").await;
    assert_eq!(shop.get("show synchronous_commit").await, "local");
    shop.run("commit").await;
    assert_eq!(shop.get("show synchronous_commit").await, "off");
}

/// Claims and delivers so many batches of one event each.
async fn deliver_one_by_one(session: &Session, batches: u32) {
    let record = "select c.batch, capi.record(c.batch, c.token, c.attempt, 200, 'A', null, '{}', 'each', c.events,
            '{delivered}', '{null}', '{}', '0 s') as held
        from capi.claim(1, 'w', interval '1 minute', 1) c";
    for _ in 0..batches {
        assert_eq!(session.rows(record).await.len(), 1);
    }
}

/// What the statement reads of cursors and batches, in a session of its own: entries of their indexes,
/// and how often a whole table.
async fn reads(shop: &Database, statement: &str) -> (i64, i64) {
    let session = shop.connect().await;
    session.run(&format!("begin; {statement}")).await;
    let entries =
        "select sum(pg_stat_get_xact_tuples_returned(i.indexrelid))::bigint from pg_index i
        where i.indrelid in ('capi.cursor'::regclass, 'capi.batch'::regclass)";
    let scans = "select sum(pg_stat_get_xact_numscans(t))::bigint
        from unnest('{capi.cursor, capi.batch}'::regclass[]) t";
    let read = (session.count(entries).await, session.count(scans).await);
    session.run("rollback").await;
    read
}

#[tokio::test]
async fn dead_rows_under_a_held_snapshot_are_not_read_again_and_again() {
    let (_platform, shop) = waiting(302).await;
    let holder = shop.connect().await;
    holder.run("begin isolation level repeatable read; select from capi.batch").await;
    deliver_one_by_one(&shop, 300).await;
    for statement in ["select capi.poll()", "select capi.claim(1, 'w', interval '1 minute', 1)"] {
        let (entries, scans) = reads(&shop, statement).await;
        assert!((1..200).contains(&entries), "{statement}: {entries} entries of indexes read");
        assert_eq!(scans, 0, "{statement} reads whole tables");
    }
    let dead =
        "select n_dead_tup >= 300 from pg_stat_all_tables where relid = 'capi.cursor'::regclass";
    eventually("the rows are dead and stay", 20, async || match shop.get(dead).await.as_str() {
        "t" => Ok(()),
        other => Err(other.to_owned()),
    })
    .await;
    holder.run("commit").await;
}

/// Open batches below the number that the cursor says.
const LOST: &str = "select count(*) from capi.batch b join capi.cursor c using (destination)
    where b.batch < c.first_batch";

const SPLIT: &str = "select capi.record(c.batch, c.token, c.attempt, 400, 'A', 'x', '{}', 'split', '{}', '{}', '{}',
    c.events, '0 s') from capi.claim(1, 'w', interval '1 minute', 4) c";

#[tokio::test]
async fn what_waits_is_found_behind_hundreds_of_later_batches() {
    let (_platform, shop) = waiting(310).await;
    let claim = "select batch from capi.claim(1, 'w', interval '1 minute', 3)";
    let wait = |batches: &str| {
        format!(
            "update capi.batch set due_at = now() + interval '1 hour' where batch in ({batches})"
        )
    };
    let oldest = shop.get(claim).await;
    let release = "select capi.release(batch, token) from capi.batch where state = 'leased'";
    shop.run(&format!("{release}; {}", wait(&oldest))).await;
    deliver_one_by_one(&shop, 100).await;
    shop.run(SPLIT).await;
    let halves = shop.column("select batch from capi.batch order by batch offset 1").await;
    assert_eq!(halves.len(), 2);
    shop.run(&wait(&halves.join(", "))).await;
    deliver_one_by_one(&shop, 100).await;
    let bound = "select first_batch from capi.cursor";
    assert_eq!(shop.get(bound).await, oldest);
    assert!(shop.count("select first_as_of from capi.cursor").await > 150);
    shop.run(&format!("update capi.batch set due_at = now() where batch = {oldest}")).await;
    assert_eq!(shop.get(claim).await, oldest);
    shop.run(
        "select capi.record(batch, token, attempt, 200, 'A', null, '{}', 'each', events, '{delivered}',
            '{null}', '{}', '0 s') from capi.batch where state = 'leased'",
    )
    .await;
    deliver_one_by_one(&shop, 100).await;
    assert_eq!(shop.get(bound).await, halves[0]);
    assert_eq!(shop.count(LOST).await, 0);
    shop.run("update capi.batch set due_at = now()").await;
    let mut found = vec![shop.get(claim).await, shop.get(claim).await];
    found.sort_by_key(|batch| batch.parse::<i64>().expect("a number"));
    assert_eq!(found, halves);
}

#[tokio::test]
async fn halves_that_are_not_committed_yet_are_not_left_behind() {
    let (_platform, shop) = waiting(80).await;
    shop.run("select capi.claim(1, 'w', interval '1 minute', 4)").await;
    let other = shop.connect().await;
    other.run("begin").await;
    other
        .run(
            "select capi.record(batch, token, attempt, 400, 'A', 'x', '{}', 'split', '{}', '{}', '{}', events, '0 s')
            from capi.batch",
        )
        .await;
    deliver_one_by_one(&shop, 70).await;
    assert!(shop.count("select first_as_of from capi.cursor").await > 60);
    other.run("commit").await;
    assert_eq!(shop.count("select count(*) from capi.batch").await, 2);
    assert_eq!(shop.count(LOST).await, 0);
}

#[tokio::test]
async fn nobody_opens_a_batch_beside_one_who_opens_a_replay() {
    let (_platform, shop) = waiting(80).await;
    deliver_one_by_one(&shop, 10).await;
    shop.run(
        "select capi.replay('meta-eu', array(select event from capi.receipt), note => 'again')",
    )
    .await;
    let other = shop.connect().await;
    let claim = "select batch from capi.claim(1, 'w', interval '1 minute', 3)";
    // Of fresh events and of the replay by chance; either way the other one comes too early.
    for _ in 0..12 {
        other.run("begin").await;
        assert_eq!(other.rows(claim).await.len(), 1);
        assert_eq!(shop.rows(claim).await.len(), 0);
        other.run("rollback").await;
    }
}

#[tokio::test]
async fn numbers_that_went_backwards_lose_no_batch() {
    let (_platform, shop) = waiting(120).await;
    deliver_one_by_one(&shop, 100).await;
    // As in a copy to which rows came and sequences did not.
    shop.run("alter sequence capi.batch_batch_seq restart with 1").await;
    let claim = "select batch from capi.claim(1, 'w', interval '1 minute', 1)";
    let lost = shop.get(claim).await;
    assert_eq!(lost, "1");
    shop.run("select capi.release(batch, token) from capi.batch").await;
    assert_eq!(shop.get(claim).await, lost, "it is found again");
    shop.run("select capi.release(batch, token) from capi.batch").await;
    // However it comes about, the maintenance finds it.
    shop.run("update capi.cursor set first_batch = 50, first_as_of = 50").await;
    assert_eq!(shop.count(LOST).await, 1);
    let found = "select capi.maintain() ->> 'destinations_with_lost_batches'";
    assert_eq!(shop.get(found).await, "1");
    assert_eq!(shop.count(LOST).await, 0);
    assert_eq!(shop.get(claim).await, lost);
}

#[tokio::test]
async fn after_a_change_of_timeline_what_was_not_delivered_is_marked() {
    let (platform, shop) = waiting(3).await;
    // One waits in a batch, the others are not read yet; then a standby takes over.
    shop.run("select capi.release(batch, token) from capi.claim(1, 'w', interval '1 minute', 1)")
        .await;
    shop.run("update capi.installation set timeline = timeline - 1").await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    let marked = "select count(*) filter (where possible_duplicate), count(*) from capi.receipt";
    assert_eq!(shop.line(marked).await, "3|3");
    buy(&shop, shop.count("select id from shop.customers").await).await;
    until_settled(&shop, 20).await;
    assert_eq!(shop.line(marked).await, "3|4", "not what came afterwards");
    assert_eq!(platform.number("duplicates"), 0);
}

// ---------------------------------------------------------------------------------------------
// The sidecar's own life
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_paused_destination_captures_and_does_not_send() {
    let platform = Platform::start().await;
    let shop = Database::adopted().await;
    track(&shop, platform.endpoint()).await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let sidecar = Sidecar::start_with(&shop, &[("CAPI_SAFETY_POLL", "300")]);
    sidecar.until_logged("asleep").await;
    assert_eq!(platform.number("requests"), 0);
    resume(&shop).await;
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 1"]);
}

#[tokio::test]
async fn a_sleeping_sidecar_is_woken_by_the_commit() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let sidecar = Sidecar::start_with(&shop, &[("CAPI_SAFETY_POLL", "300")]);
    sidecar.until_logged("asleep").await;
    let c = customer(&shop).await;
    for n in 1..=5 {
        buy(&shop, c).await;
        until_settled(&shop, 10).await;
        assert_eq!(receipts(&shop).await, [format!("delivered {n}")]);
        let naps = format!("{n} naps");
        eventually(&naps, 10, async || {
            let armed = "select count(*) from capi.locks() where lock = 'bell'";
            let seen = shop.get(armed).await;
            if seen == "1" { Ok(()) } else { Err(format!("{seen} hold the bell")) }
        })
        .await;
    }
}

#[tokio::test]
async fn what_rings_no_bell_is_found_by_the_safety_poll() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let sidecar = Sidecar::start_with(&shop, &[("CAPI_SAFETY_POLL", "5")]);
    sidecar.until_logged("asleep").await;
    let c = customer(&shop).await;
    let name = shop.name();
    let order = paid_order(c, "4", "EUR");
    shop.run(&format!("begin; {order}; prepare transaction '{name}'")).await;
    shop.run(&format!("commit prepared '{name}'")).await;
    until_settled(&shop, 15).await;
    assert_eq!(receipts(&shop).await, ["delivered 1"]);
}

#[tokio::test]
async fn sigterm_ends_it_and_leaves_nothing_leased() {
    let (platform, shop) = waiting(50).await;
    platform.fault(json!({"kind": "latency", "ms": 300})).await;
    let sidecar = Sidecar::start(&shop);
    eventually("a request is under way", 20, async || {
        let n = platform.number("requests");
        if n > 0 { Ok(()) } else { Err(n.to_string()) }
    })
    .await;
    let c = shop.count("select id from shop.customers").await;
    buy(&shop, c).await;
    assert_eq!(sidecar.terminate().await.code(), Some(0));
    assert_eq!(shop.count("select count(*) from capi.batch where state = 'leased'").await, 0);
    assert_eq!(shop.count("select count(*) from capi.attempt where outcome = 'sending'").await, 0);
    platform.heal().await;
    let second = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 51"]);
    assert_eq!(platform.number("duplicates"), 0);
    assert_eq!(second.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_ends_an_idle_and_a_lonely_sidecar() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let idle = Sidecar::start(&shop);
    idle.until_logged("asleep").await;
    assert_eq!(idle.terminate().await.code(), Some(0));
    let nowhere = "host=/nonexistent/capi dbname=x user=capi";
    let lonely = Sidecar::start_with(&shop, &[("CAPI_DATABASE_URL", nowhere)]);
    lonely.until_logged("cannot reach the database").await;
    assert_eq!(lonely.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn lost_connections_are_replaced() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let sidecar = Sidecar::start(&shop);
    sidecar.until_logged("asleep").await;
    for round in 1..=3 {
        let ended = shop
            .count(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity
                where usename = 'capi' and datname = current_database()",
            )
            .await;
        assert!(ended > 0, "the sidecar is connected");
        buy(&shop, c).await;
        until_settled(&shop, 30).await;
        assert_eq!(receipts(&shop).await, [format!("delivered {round}")]);
    }
    assert_eq!(platform.number("duplicates"), 0);
}

#[tokio::test]
async fn two_sidecars_share_the_work_and_send_each_event_once() {
    let platform = Platform::start().await;
    platform.fault(json!({"kind": "latency", "ms": 40})).await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let one = Sidecar::start_with(&shop, &[("CAPI_WORKER", "one"), ("CAPI_CONCURRENCY", "2")]);
    let two = Sidecar::start_with(&shop, &[("CAPI_WORKER", "two"), ("CAPI_CONCURRENCY", "2")]);
    let workers = "select count(distinct worker) from capi.attempt";
    let mut orders = 0;
    // Orders go on until both have sent something, and for a while.
    while orders < 300 || shop.count(workers).await < 2 {
        buy(&shop, c).await;
        orders += 1;
        assert!(orders < 5_000, "one of them never gets anything");
    }
    until_settled(&shop, 40).await;
    assert_eq!(receipts(&shop).await, [format!("delivered {orders}")]);
    assert_eq!(platform.number("events_accepted"), orders);
    assert_eq!(platform.number("duplicates"), 0);
    assert_eq!(one.terminate().await.code(), Some(0));
    assert_eq!(two.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_long_transaction_holds_nobody_up_and_is_sent_in_the_end() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let long = shop.connect().await;
    long.run(&format!("begin; {}; set constraints all immediate", paid_order(c, "77", "EUR")))
        .await;
    let _sidecar = Sidecar::start(&shop);
    for n in 1..=20 {
        buy(&shop, c).await;
        if n % 5 == 0 {
            until_settled(&shop, 20).await;
        }
    }
    assert_eq!(platform.number("events_accepted"), 20);
    long.run("commit").await;
    eventually("the straggler arrives", 20, async || {
        let n = platform.number("events_accepted");
        if n == 21 { Ok(()) } else { Err(n.to_string()) }
    })
    .await;
    until_settled(&shop, 20).await;
    assert_eq!(captured(&shop).await, 21);
    assert_eq!(platform.number("duplicates"), 0);
}

#[tokio::test]
async fn after_an_outage_what_waits_goes_within_seconds() {
    let (platform, shop) = waiting(3).await;
    platform.fault(json!({"kind": "status", "status": 503})).await;
    // Three batches as an outage leaves them; the last one was put off by the platform itself.
    for backoff in ["true", "true", "false"] {
        let one =
            "select capi.release(c.batch, c.token) from capi.claim(1, 'test', '1 minute', 1) c";
        assert_eq!(shop.get(one).await, "t");
        shop.run(&format!(
            "update capi.batch set due_at = now() + interval '9 minutes', backoff = {backoff}
            where batch = (select max(batch) from capi.batch)"
        ))
        .await;
    }
    shop.run(
        "update capi.batch set due_at = now() where batch = (select min(batch) from capi.batch)",
    )
    .await;
    let _sidecar = Sidecar::start(&shop);
    eventually("the platform counts as dead", 60, async || {
        let failed = "select count(*) from capi.attempt where outcome = 'retry'";
        let seen = shop.count(failed).await;
        if seen >= 5 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    platform.heal().await;
    eventually("all but one have their receipts", 60, async || {
        let seen = receipts(&shop).await;
        if seen == ["delivered 2"] { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    let waits = "select count(*) from capi.batch where not backoff and due_at > now() + interval '5 minutes'";
    assert_eq!(shop.count(waits).await, 1, "the platform's own word stands");
}

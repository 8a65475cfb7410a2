//! What may have arrived is on record, however it ends: answered with an error, or not at all;
//! withdrawn, forgotten, dropped, expired. And what is sent only when somebody says so.

use capi_tests::database::{Database, Session};
use capi_tests::patience::eventually;
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::shop::{
    CREDENTIAL, DESTINATION, PIXEL, buy, buy_many, customer, receipts, resume, sending_shop,
    until_settled,
};
use capi_tests::sidecar::{Sidecar, capi};
use serde_json::{Value, json};

use crate::retention::{age, maintain};

/// `key status reason attempts possible_duplicate` of each delivery.
async fn deliveries(shop: &Session) -> Vec<String> {
    shop.column(
        "select concat_ws(' ', key, status, coalesce(reason, '-'), attempts, possible_duplicate)
        from capi.delivery order by event",
    )
    .await
}

/// A shop with this many orders that nothing was sent of, and no sidecar.
async fn waiting(orders: u32) -> Database {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, orders).await;
    shop
}

/// A worker claims everything and is never heard of again.
async fn send_and_die(shop: &Session) {
    let claimed = shop.count("select count(*) from capi.claim(1, 'w', interval '0 s', 100)").await;
    assert_eq!(claimed, 1);
}

/// Claims, and gives the batch back: what is withdrawn ends here.
async fn claim_and_release(shop: &Session) {
    shop.run(
        "select capi.release(c.batch, c.token) from capi.claim(1, 'w', interval '1 minute', 100) c",
    )
    .await;
}

// ---------------------------------------------------------------------------------------------
// Ends without an answer
// ---------------------------------------------------------------------------------------------

/// A shop whose delivered orders were sent again; the platform took them, and the answer was lost.
/// The destination is paused, and no sidecar runs.
async fn replayed_in_vain(platform: &Platform, orders: u32) -> Database {
    let shop = sending_shop(platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, orders).await;
    let sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    platform.fault(json!({"kind": "cut_after_body"})).await;
    shop.run(&format!(
        "select capi.replay('{DESTINATION}', array(select event from capi.delivery))"
    ))
    .await;
    let lost = "select count(*) from capi.batch where state = 'ready' and unknown > 0";
    eventually("an answer is lost", 20, async || {
        if shop.count(lost).await == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    shop.run(&format!("select capi.pause('{DESTINATION}')")).await;
    assert_eq!(sidecar.terminate().await.code(), Some(0));
    platform.heal().await;
    shop
}

/// Fails unless each receipt counts as often as the platform has the event, and says that it may be
/// there twice.
async fn counted(shop: &Session, platform: &Platform, ids: &str) {
    let seen = platform.seen().await;
    let rows = shop.column(ids).await;
    assert!(!rows.is_empty());
    for row in rows {
        let (id, outcome) = row.split_once(' ').expect("an id and an outcome");
        assert!(seen[id] > 1, "{seen:?}");
        assert_eq!(outcome, format!("delivered {} t", seen[id]), "{id}");
    }
}

const RECEIPTS: &str =
    "select concat_ws(' ', o.event_id, r.status, r.attempts, r.possible_duplicate)
    from capi.receipt r join capi.outbox o on o.id = r.event";

#[tokio::test]
async fn what_is_withdrawn_while_a_replay_is_in_doubt_keeps_outcome_attempts_and_doubt() {
    let platform = Platform::start().await;
    let shop = replayed_in_vain(&platform, 2).await;
    let keys = shop.column("select key from capi.outbox order by id").await;
    shop.run(&format!("select capi.withdraw('shop.orders', '{}')", keys[0])).await;
    let report = shop.get(&format!("select capi.forget('shop.orders', '{}')", keys[1])).await;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["delivered_before"], json!({ DESTINATION: 1 }));
    resume(&shop).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 30).await;
    counted(&shop, &platform, RECEIPTS).await;
}

#[tokio::test]
async fn a_destination_that_is_dropped_while_a_replay_is_in_doubt_keeps_attempts_and_doubt() {
    let platform = Platform::start().await;
    let shop = replayed_in_vain(&platform, 2).await;
    shop.run(&format!("select capi.drop_destination('{DESTINATION}')")).await;
    counted(&shop, &platform, RECEIPTS).await;
    let shown =
        "select concat_ws(' ', event_id, status, attempts, possible_duplicate) from capi.delivery";
    counted(&shop, &platform, shown).await;
}

#[tokio::test]
async fn what_retention_ends_while_a_replay_is_in_doubt_keeps_attempts_and_doubt() {
    let platform = Platform::start().await;
    let shop = replayed_in_vain(&platform, 2).await;
    shop.run("create table public.names as select id, event_id from capi.outbox").await;
    age(&shop, 60).await;
    shop.run("select capi.retain('30 days', receipts => '400 days')").await;
    maintain(&shop).await;
    assert_eq!(shop.count("select count(*) from capi.outbox").await, 0);
    assert_eq!(shop.count("select count(*) from capi.batch").await, 0);
    counted(&shop, &platform, &RECEIPTS.replace("capi.outbox", "public.names")).await;
}

#[tokio::test]
async fn a_replay_in_doubt_of_what_was_refused_says_that_it_may_have_arrived() {
    let shop = waiting(1).await;
    let refuse =
        "select capi.record(c.batch, c.token, c.attempt, 400, 'A', null, '{}', 'each', c.events,
            '{refused}', '{100}', '{}', '0 s')
        from capi.claim(1, 'w', interval '1 minute', 100) c";
    assert_eq!(shop.get(refuse).await, "t");
    let key = shop.get("select key from capi.outbox").await;
    assert_eq!(deliveries(&shop).await, [format!("{key} refused 100 1 f")]);
    shop.run(&format!(
        "select capi.replay('{DESTINATION}', array(select event from capi.delivery))"
    ))
    .await;
    send_and_die(&shop).await;
    shop.run(&format!("select capi.withdraw('shop.orders', '{key}')")).await;
    claim_and_release(&shop).await;
    assert_eq!(deliveries(&shop).await, [format!("{key} refused 100 2 t")]);
}

#[tokio::test]
async fn a_replay_of_what_nobody_knew_stays_in_doubt_when_it_expires() {
    let shop = waiting(1).await;
    let end = |status: &str, reason: &str| {
        format!(
            "select capi.record(c.batch, c.token, c.attempt, 200, 'A', null, '{{}}', 'each', c.events,
                '{{{status}}}', '{{{reason}}}', '{{}}', '0 s')
            from capi.claim(1, 'w', interval '1 minute', 100) c"
        )
    };
    assert_eq!(shop.get(&end("undecided", "no_decision")).await, "t");
    shop.run(&format!(
        "select capi.replay('{DESTINATION}', array(select event from capi.delivery))"
    ))
    .await;
    assert_eq!(shop.get(&end("expired", "too_old")).await, "t");
    let seen = shop.line("select status, possible_duplicate from capi.delivery").await;
    assert_eq!(seen, "expired|t");
}

#[tokio::test]
async fn a_dead_workers_batch_does_not_keep_its_destination_from_being_dropped() {
    let shop = waiting(2).await;
    send_and_die(&shop).await;
    shop.run(&format!(
        "select capi.pause('{DESTINATION}'), capi.drop_destination('{DESTINATION}')"
    ))
    .await;
    let keys = shop.column("select key from capi.outbox order by id").await;
    let left: Vec<_> =
        keys.iter().map(|key| format!("{key} undecided destination_dropped 1 t")).collect();
    assert_eq!(deliveries(&shop).await, left);
    let attempt = "select outcome, reason, finished_at is not null from capi.attempt";
    assert_eq!(shop.line(attempt).await, "unknown|lease_expired|t");
}

#[tokio::test]
async fn a_dead_workers_batch_ends_in_doubt_with_its_week() {
    let shop = waiting(2).await;
    send_and_die(&shop).await;
    shop.run(&format!("select capi.pause('{DESTINATION}')")).await;
    age(&shop, 60).await;
    shop.run("select capi.retain('30 days', receipts => '400 days')").await;
    maintain(&shop).await;
    let seen = "select distinct status, reason, attempts, possible_duplicate from capi.receipt";
    assert_eq!(shop.line(seen).await, "expired|retention|1|t");
}

// ---------------------------------------------------------------------------------------------
// Nobody knows
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn who_is_forgotten_is_told_what_may_have_arrived() {
    let shop = waiting(3).await;
    let keys = shop.column("select key from capi.outbox order by id").await;
    // One is known not to have been sent, one may have arrived, one was delivered.
    let answer = |decision: &str, settled: &str, again: &str| {
        format!(
            "select capi.record(c.batch, c.token, c.attempt, 200, 'A', null, '{{}}', '{decision}',
                {settled}, '{{delivered}}', null, {again}, '1 hour')
            from capi.claim(1, 'w', interval '1 minute', 1) c"
        )
    };
    assert_eq!(shop.get(&answer("each", "c.events", "'{}'")).await, "t");
    assert_eq!(
        shop.count("select count(*) from capi.claim(1, 'w', interval '0 s', 1)").await,
        1,
        "it dies"
    );
    assert_eq!(shop.get(&answer("retry", "'{}'", "c.events")).await, "t", "it goes on");
    let report = async |key: &str| {
        let report = shop.get(&format!("select capi.forget('shop.orders', '{key}')")).await;
        let report: Value = serde_json::from_str(&report).expect("JSON");
        (report["delivered_before"].clone(), report["perhaps_delivered"].clone())
    };
    assert_eq!(report(&keys[0]).await, (json!({ DESTINATION: 1 }), json!({})));
    assert_eq!(report(&keys[1]).await, (json!({}), json!({ DESTINATION: 1 })));
    assert_eq!(report(&keys[2]).await, (json!({}), json!({})));
    // And after it has ended as withheld, too.
    shop.run("update capi.batch set due_at = now()").await;
    claim_and_release(&shop).await;
    assert_eq!(
        deliveries(&shop).await[1],
        format!("{} suppressed forgotten 2 t", keys[1]),
        "{:?}",
        deliveries(&shop).await
    );
    assert_eq!(report(&keys[1]).await, (json!({}), json!({ DESTINATION: 1 })));
}

#[tokio::test]
async fn who_withdraws_is_told_what_may_have_arrived() {
    let shop = waiting(1).await;
    let key = shop.get("select key from capi.outbox").await;
    send_and_die(&shop).await;
    // A notice, which psql shows: the number that is returned stays one.
    let session = shop.connect().await;
    let notices = session.notices(&format!("select capi.withdraw('shop.orders', '{key}')")).await;
    assert!(
        notices.iter().any(|notice| notice.contains(&format!("may have arrived at {DESTINATION}"))),
        "{notices:?}"
    );
}

#[tokio::test]
async fn a_dropped_destination_leaves_receipts_of_what_was_tried_and_of_what_another_server_sent() {
    let shop = waiting(2).await;
    let c = shop.count("select max(customer_id) from shop.orders").await;
    // The first two were tried, and certainly did not arrive.
    let record = "select capi.record(c.batch, c.token, c.attempt, null, null, 'connect_failed', '{\"sent\": \"no\"}',
            'retry', '{}', '{}', '{}', c.events, '1 hour')
        from capi.claim(1, 'w', interval '1 minute', 100) c";
    assert_eq!(shop.get(record).await, "t");
    // One was unread when another server was promoted; one came after that.
    let before = buy(&shop, c).await;
    shop.run("update capi.installation set doubtful_until = clock_timestamp()").await;
    shop.run("update capi.destination set created_at = created_at - interval '1 hour'").await;
    let after = buy(&shop, c).await;
    let perhaps = format!("select possible_duplicate from capi.delivery where key = '{before}'");
    assert_eq!(shop.get(&perhaps).await, "t", "it waits, and may be there");
    shop.run(&format!(
        "select capi.pause('{DESTINATION}'), capi.drop_destination('{DESTINATION}')"
    ))
    .await;
    let keys = shop.column("select key from capi.outbox order by id").await;
    assert_eq!(
        deliveries(&shop).await,
        [
            format!("{} unrouted destination_dropped 1 f", keys[0]),
            format!("{} unrouted destination_dropped 1 f", keys[1]),
            format!("{before} undecided destination_dropped 0 t"),
        ],
        "and nothing of {after}"
    );
}

#[tokio::test]
async fn what_another_server_may_have_sent_says_so_when_it_is_settled_unread() {
    let shop = waiting(2).await;
    shop.run("update capi.installation set doubtful_until = clock_timestamp()").await;
    shop.run("update capi.destination set created_at = created_at - interval '1 hour'").await;
    let keys = shop.column("select key from capi.outbox order by id").await;
    shop.run(&format!("select capi.withdraw('shop.orders', '{}')", keys[0])).await;
    shop.run(&format!(
        "update capi.outbox set event_time = now() - interval '8 days' where key = '{}'",
        keys[1]
    ))
    .await;
    claim_and_release(&shop).await;
    assert_eq!(
        deliveries(&shop).await,
        [
            format!("{} suppressed withdrawn 0 t", keys[0]),
            format!("{} expired too_old 0 t", keys[1]),
        ]
    );
}

// ---------------------------------------------------------------------------------------------
// Answers that prove nothing
// ---------------------------------------------------------------------------------------------

/// Sends two orders into one answer, then all that is left until it is settled; whether the receipts
/// say that they may be there twice.
async fn marked_after(fault: &Value) -> (Platform, Database, Vec<String>) {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 2).await;
    platform.fault(fault.clone()).await;
    // Another sidecar each time: one that was throttled keeps still for a minute.
    let sidecar = Sidecar::start(&shop);
    let answered = "select count(*) from capi.attempt where http_status is not null";
    eventually("there is an answer", 20, async || {
        if shop.count(answered).await > 0 { Ok(()) } else { Err(sidecar.log()) }
    })
    .await;
    // Not killed: what is under way would be in doubt for another reason.
    assert_eq!(sidecar.terminate().await.code(), Some(0));
    shop.run("update capi.batch set due_at = now()").await;
    if shop.get("select state from capi.status()").await == "blocked" {
        resume(&shop).await;
    }
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 30).await;
    let marks = shop.column("select possible_duplicate from capi.receipt order by event").await;
    (platform, shop, marks)
}

#[tokio::test]
async fn an_error_after_which_the_events_go_again_is_on_record_whatever_its_status() {
    let mut wrong = Vec::new();
    for fault in [
        json!({"status": 400, "code": 1}),
        json!({"status": 400, "code": 2}),
        json!({"status": 400, "code": -1}),
        json!({"status": 408, "code": 100}),
        json!({"status": 408, "code": 1}),
        json!({"status": 500, "code": 4}),
        json!({"status": 200, "code": 4}),
        json!({"status": 500, "code": 190}),
        json!({"status": 500, "code": 100, "blamed": 0}),
        json!({"status": 500, "code": 100}),
        json!({"status": 503, "code": 2}),
        json!({"status": 301, "code": 1}),
        json!({"kind": "html", "status": 404}),
        json!({"kind": "html", "status": 502}),
    ] {
        let mut ordered = json!({"kind": "status", "stored": true, "transient": false, "times": 1});
        let fields = fault.as_object().expect("fields").clone();
        ordered.as_object_mut().expect("fields").extend(fields);
        let (platform, shop, marks) = marked_after(&ordered).await;
        let twice = platform.seen().await.values().filter(|times| **times > 1).count();
        // The blamed one is refused, and does not go again.
        let expected = if fault.get("blamed").is_some() { 1 } else { 2 };
        if marks != ["t", "t"] || twice != expected {
            wrong.push(format!("{fault}: {twice} twice, {:?}", deliveries(&shop).await));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[tokio::test]
async fn what_was_refused_before_it_was_read_is_in_no_doubt() {
    let mut wrong = Vec::new();
    for fault in [
        json!({"status": 401, "code": 190}),
        json!({"status": 400, "code": 190}),
        json!({"status": 400, "code": 4}),
        json!({"status": 429, "code": 4}),
        json!({"status": 400, "code": 100}),
        json!({"status": 400, "code": 100, "blamed": 0}),
        json!({"status": 413, "kind": "html"}),
    ] {
        let mut ordered = json!({"kind": "status", "times": 1});
        let fields = fault.as_object().expect("fields").clone();
        ordered.as_object_mut().expect("fields").extend(fields);
        let (platform, shop, marks) = marked_after(&ordered).await;
        if marks != ["f", "f"] || platform.number("duplicates") > 0 {
            wrong.push(format!("{fault}: {:?}", deliveries(&shop).await));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[tokio::test]
async fn an_event_that_an_error_of_the_server_blames_may_have_arrived() {
    let fault = json!({"kind": "status", "status": 500, "code": 100, "blamed": 0, "transient": false, "stored": true, "times": 1});
    let (platform, shop, _) = marked_after(&fault).await;
    assert_eq!(receipts(&shop).await, ["delivered 1", "refused 1"]);
    assert_eq!(platform.number("unique_events"), 2, "both are there");
    let refused = "select possible_duplicate from capi.delivery where status = 'refused'";
    assert_eq!(shop.get(refused).await, "t");
}

// ---------------------------------------------------------------------------------------------
// Receipts that cannot be written
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_batch_whose_answers_are_never_recorded_goes_a_few_times_and_stops_its_destination() {
    let shop = waiting(1).await;
    let mut sends = 0;
    while shop.count("select count(*) from capi.claim(1, 'w', interval '0 s', 100)").await > 0 {
        sends += 1;
        assert!(sends <= 50, "it goes on and on");
    }
    assert_eq!(sends, 10);
    let state = "select state || ' ' || pause_reason from capi.status()";
    assert_eq!(shop.get(state).await, "blocked answers_not_recorded");
    // Whoever resumes it gets one more; one that is recorded starts the count anew.
    resume(&shop).await;
    send_and_die(&shop).await;
    assert_eq!(shop.count("select count(*) from capi.claim(1, 'w', interval '0 s', 100)").await, 0);
    assert_eq!(shop.get(state).await, "blocked answers_not_recorded");
    resume(&shop).await;
    let record = "select capi.record(c.batch, c.token, c.attempt, 503, 'A', 'busy', '{}', 'retry', '{}', '{}', '{}',
        c.events, '0 s') from capi.claim(1, 'w', interval '1 minute', 100) c";
    assert_eq!(shop.get(record).await, "t");
    send_and_die(&shop).await;
    send_and_die(&shop).await;
    assert_eq!(shop.get("select state from capi.status()").await, "active");
}

// ---------------------------------------------------------------------------------------------
// The past goes out when somebody says how far
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_route_reaches_back_only_as_far_as_somebody_says() {
    let (first, second) = (Platform::start().await, Platform::start().await);
    let shop = sending_shop(&first).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 3).await;
    shop.run(&format!(
        "select capi.create_destination('late', platform => 'meta',
            settings => '{{\"pixel_id\": \"{PIXEL}\", \"endpoint\": \"{}\"}}', credential => '{CREDENTIAL}')",
        second.endpoint()
    ))
    .await;
    let said = shop.get("select capi.add_route('shop.orders', 'late')").await;
    assert_eq!(said, "shop.orders goes to late from now on");
    assert_eq!(shop.count("select pending from capi.status() where destination = 'late'").await, 0);
    let fresh = buy(&shop, c).await;
    shop.run("select capi.resume('late')").await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 30).await;
    let seen: Vec<_> = second.seen().await.into_keys().collect();
    assert_eq!(seen, [format!("order-{fresh}")]);
    // Said, it comes.
    let said = shop.get("select capi.add_route('shop.orders', 'late', since => '1 day')").await;
    assert!(said.contains(", and what was captured since "), "{said}");
    until_settled(&shop, 30).await;
    assert_eq!(second.number("unique_events"), 4);
}

#[tokio::test]
async fn the_command_line_counts_first_and_replays_when_told_so() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 3).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    let admin = shop.url("admin");
    let variables = [("CAPI_DATABASE_URL", admin.as_str()), (CREDENTIAL, TOKEN)];
    let said = async |arguments: &[&str], code: i32| {
        let output = capi(arguments, &variables).await;
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let event = shop.get("select min(event) from capi.delivery").await;
    for (arguments, number) in [
        (vec!["replay", DESTINATION, "--status", "delivered"], 3),
        (vec!["replay", DESTINATION, "--event", &event], 1),
    ] {
        let (counted, advice) = said(&arguments, 2).await;
        assert_eq!(counted, format!("{number:>10}  would go again\n"));
        assert!(advice.contains("--yes"), "{advice}");
        assert_eq!(shop.count("select count(*) from capi.replays").await, 0, "nothing was changed");
        let dry = said(&[&arguments[..], &["--dry-run"]].concat(), 0).await;
        assert_eq!(dry.0, counted);
    }
    assert_eq!(platform.number("duplicates"), 0);
    let (done, _) = said(&["replay", DESTINATION, "--status", "delivered", "--yes"], 0).await;
    assert!(done.starts_with("         3  go again\n"), "{done}");
    until_settled(&shop, 20).await;
    assert_eq!(platform.number("duplicates"), 3);
}

//! Sending settled events again by hand: who may not be among them, what is on record, and how a large
//! replay shares the way with new events. And the tests of a destination by hand.

use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::shop::{
    CREDENTIAL, DESTINATION, buy, buy_many, customer, customer_with, receipts, sending_shop,
    until_settled,
};
use capi_tests::sidecar::{Sidecar, capi};
use serde_json::json;

/// A shop whose orders the platform has refused, each for the same reason.
async fn refused(platform: &Platform, orders: u32) -> (Database, Sidecar) {
    let shop = sending_shop(platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, orders).await;
    platform.fault(json!({"kind": "status", "status": 400, "code": 100, "subcode": 2804009})).await;
    let sidecar = Sidecar::start(&shop);
    until_settled(&shop, 40).await;
    assert_eq!(receipts(&shop).await, [format!("refused {orders}")]);
    platform.heal().await;
    (shop, sidecar)
}

/// Replays everything that has a receipt and answers `fate number` lines.
async fn replay_all(shop: &Database) -> Vec<String> {
    let sql = format!(
        "select fate || ' ' || number from capi.replay('{DESTINATION}',
            array(select event from capi.delivery), note => 'the tax was missing')"
    );
    shop.column(&sql).await
}

#[tokio::test]
async fn refused_events_go_again_and_end_with_one_receipt_each() {
    let platform = Platform::start().await;
    let (shop, _sidecar) = refused(&platform, 5).await;
    let admin = shop.connect_as("admin").await;
    let dry = format!(
        "select fate || ' ' || number from capi.replay('{DESTINATION}',
            array(select capi.replay_candidates('{DESTINATION}', 'refused', '100/2804009')), dry_run => true)"
    );
    assert_eq!(admin.column(&dry).await, ["replayed 5"]);
    assert_eq!(admin.count("select count(*) from capi.replays").await, 0, "nothing was changed");
    let again = dry.replace("dry_run => true", "note => 'the tax was missing'");
    assert_eq!(admin.column(&again).await, ["replayed 5"]);
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 5"]);
    assert_eq!(platform.number("unique_events"), 5);
    assert_eq!(platform.number("duplicates"), 0);
    let marked = "select count(*) from capi.receipt where possible_duplicate";
    assert_eq!(shop.count(marked).await, 0, "they were never taken before");
    // Who, when, why; and what was before.
    let analyst = shop.connect_as("analyst").await;
    let log = "select destination, by_role, note, asked, taken, finished_at is not null from capi.replays";
    assert_eq!(analyst.line(log).await, format!("{DESTINATION}|admin|the tax was missing|5|5|t"));
    let before =
        "select distinct status_before, reason_before, attempts_before > 0 from capi.replayed";
    assert_eq!(analyst.line(before).await, "refused|100/2804009|t");
    let attempts = "select min(attempts) > 1 from capi.delivery";
    assert_eq!(shop.get(attempts).await, "t", "attempts before and after are counted");
}

#[tokio::test]
async fn what_was_delivered_before_is_marked_and_stays_delivered() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 3).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(replay_all(&shop).await, ["replayed 3"]);
    until_settled(&shop, 20).await;
    let outcome = "select distinct status, possible_duplicate, attempts from capi.delivery";
    assert_eq!(shop.line(outcome).await, "delivered|t|2");
    assert_eq!(platform.number("duplicates"), 3);
    // Refused the second time, the first time still counts.
    platform.fault(json!({"kind": "status", "status": 400, "code": 100, "subcode": 2804009})).await;
    assert_eq!(replay_all(&shop).await, ["replayed 3"]);
    until_settled(&shop, 30).await;
    assert_eq!(receipts(&shop).await, ["delivered 3"]);
    assert_eq!(shop.count("select count(*) from capi.receipt").await, 3);
}

#[tokio::test]
async fn who_must_stay_out_stays_out_and_is_counted() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let willing = customer(&shop).await;
    for _ in 0..5 {
        buy(&shop, willing).await;
    }
    let unwilling = customer_with(&shop, "false").await;
    buy(&shop, unwilling).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    shop.run(&format!("select capi.pause('{DESTINATION}')")).await;
    buy(&shop, willing).await;
    let keys = shop.column("select key from capi.outbox order by id").await;
    shop.run(&format!("select capi.withdraw('shop.orders', '{}')", keys[0])).await;
    shop.run(&format!("select capi.forget('shop.orders', '{}')", keys[1])).await;
    let old = "update capi.outbox set event_time = now() - interval '8 days' where key =";
    shop.run(&format!("{old} '{}'", keys[2])).await;
    let sql = format!(
        "select fate || ' ' || number from capi.replay('{DESTINATION}',
            array(select event from capi.delivery union all select 999999 union all select null))"
    );
    let fates = [
        "consent_refused 1",
        "forgotten 1",
        "not_in_the_outbox 1",
        "open 1",
        "replayed 2",
        "too_old 1",
        "withdrawn 1",
    ];
    assert_eq!(shop.column(&sql).await, fates);
    // Waiting, an event is open: no second replay takes it.
    let fates = fates.map(|fate| match fate {
        "open 1" => "open 3",
        fate => fate,
    });
    let fates: Vec<_> = fates.into_iter().filter(|fate| *fate != "replayed 2").collect();
    assert_eq!(shop.column(&sql).await, fates);
    let waiting = "select count(*) from capi.delivery where status = 'pending'";
    assert_eq!(shop.count(waiting).await, 3);
    // Consent that goes while the replay waits is respected, and the first outcome stays.
    shop.run(&format!("select capi.withdraw('shop.orders', '{}')", keys[3])).await;
    shop.run(&format!("select capi.resume('{DESTINATION}')")).await;
    until_settled(&shop, 20).await;
    let open = "select count(*) from capi.replays where finished_at is null";
    eventually("the replay ends", 10, async || {
        let seen = shop.get(open).await;
        if seen == "0" { Ok(()) } else { Err(seen) }
    })
    .await;
    let dropped =
        "select string_agg(taken || '/' || dropped, ' ' order by replay) from capi.replays";
    assert_eq!(shop.get(dropped).await, "2/1 0/0");
    assert_eq!(platform.number("duplicates"), 1);
    assert_eq!(shop.count("select count(*) from capi.receipt").await, 7);
}

#[tokio::test]
async fn a_large_replay_goes_in_batches_beside_new_events() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 3_500).await;
    let sidecar = Sidecar::start(&shop);
    until_settled(&shop, 40).await;
    assert_eq!(sidecar.terminate().await.code(), Some(0));
    assert_eq!(replay_all(&shop).await, ["replayed 3500"]);
    buy_many(&shop, c, 3_500).await;
    // As workers claim while nothing comes back: neither kind takes all there is.
    let claimed = "select count(*) from (select c.batch from generate_series(1, 40) g
        cross join lateral capi.claim(1, 'w' || g, interval '10 minutes', 100) c) x";
    assert_eq!(shop.count(claimed).await, 16, "few open batches, whatever waits");
    let kinds = "select count(*) filter (where replay is null), count(*) filter (where replay is not null) <= 4,
        max(cardinality(events)) from capi.batch";
    let kinds = shop.line(kinds).await;
    assert!(kinds.ends_with("|t|100") && !kinds.starts_with("0|"), "{kinds}");
    shop.run("update capi.batch set lease_until = now()").await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 60).await;
    assert_eq!(receipts(&shop).await, ["delivered 7000"]);
    assert_eq!(platform.number("unique_events"), 7_000);
    let largest = "select max(cardinality(events)) from capi.attempt";
    assert_eq!(shop.count(largest).await, 1_000, "no batch above the platform's limit");
}

#[tokio::test]
async fn the_command_line_replays_pauses_and_resumes() {
    let platform = Platform::start().await;
    let (shop, _sidecar) = refused(&platform, 4).await;
    let (admin, plain) = (shop.url("admin"), shop.url("capi"));
    let as_admin = [("CAPI_DATABASE_URL", admin.as_str())];
    let said = async |arguments: &[&str], code: i32| {
        let output = capi(arguments, &as_admin).await;
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let filter = ["replay", DESTINATION, "--status", "refused", "--reason", "100/2804009"];
    let dry = said(&[&filter[..], &["--dry-run"]].concat(), 0).await;
    assert_eq!(dry, "         4  would go again\n");
    let none = said(&[&filter[..], &["--until", "2020-01-01"]].concat(), 0).await;
    assert_eq!(none, "         0  would go again\n");
    // Only with the rights for it, and told so.
    let refusal = capi(&filter, &[("CAPI_DATABASE_URL", plain.as_str())]).await;
    assert_eq!(refusal.status.code(), Some(3));
    let why = String::from_utf8_lossy(&refusal.stderr).into_owned();
    assert!(why.contains("capi_admin"), "{why}");
    said(&["pause", DESTINATION, "--reason", "stocktaking"], 0).await;
    let state = "select state, pause_reason from capi.status()";
    assert_eq!(shop.line(state).await, "paused|stocktaking");
    let one = shop.get("select min(event) from capi.delivery").await;
    let named =
        said(&["replay", DESTINATION, "--event", &one, "--note", "ticket 7", "--yes"], 0).await;
    assert_eq!(named, "         1  go again\n");
    let rest = said(&[&filter[..], &["--yes"]].concat(), 0).await;
    assert_eq!(rest, "         3  go again\n         1  left out: open\n");
    said(&["resume", DESTINATION], 0).await;
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 4"]);
}

// ---------------------------------------------------------------------------------------------
// Tests by hand
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_made_up_event_is_sent_under_a_test_code_and_leaves_no_trace() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let url = shop.url("capi");
    let variables = [("CAPI_DATABASE_URL", url.as_str()), (CREDENTIAL, TOKEN)];
    let refusal = capi(&["send-test", DESTINATION], &variables).await;
    assert_eq!(refusal.status.code(), Some(2), "without a code it would count");
    assert_eq!(platform.number("requests"), 0);
    let sent = capi(&["send-test", DESTINATION, "--test-code", "TEST77"], &variables).await;
    let said = String::from_utf8_lossy(&sent.stdout).into_owned();
    assert_eq!(sent.status.code(), Some(0), "{said}");
    assert!(said.contains("HTTP 200: delivered"), "{said}");
    let request = &platform.requests().await[0];
    assert_eq!(request["body"]["test_event_code"], "TEST77");
    let event_id = request["body"]["data"][0]["event_id"].as_str().expect("an id");
    assert!(event_id.starts_with("capi-test-") && said.contains(event_id));
    let error = String::from_utf8_lossy(&sent.stderr).into_owned();
    let digest = shop.get("select capi.digest('email', 'erika.mustermann@example.com')").await;
    assert!(!(said.clone() + &error).contains(TOKEN) && !said.contains(&digest));
    for table in ["outbox", "attempt", "receipt", "batch"] {
        assert_eq!(shop.count(&format!("select count(*) from capi.{table}")).await, 0, "{table}");
    }
    // What the platform refuses is said with its meaning.
    let wrong = [("CAPI_DATABASE_URL", url.as_str()), (CREDENTIAL, "EAAGsomeothertoken")];
    let sent = capi(&["send-test", DESTINATION, "--test-code", "TEST77"], &wrong).await;
    let said = String::from_utf8_lossy(&sent.stdout).into_owned();
    assert_eq!(sent.status.code(), Some(1), "{said}");
    assert!(said.contains("the account is refused: 190"), "{said}");
    assert_eq!(shop.get("select state from capi.status()").await, "active", "nothing is stopped");
}

#[tokio::test]
async fn a_real_event_needs_a_yes_and_is_on_record() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let event = shop.get("select event from capi.delivery").await;
    let (admin, sidecar) = (shop.url("admin"), shop.url("capi"));
    let variables = [("CAPI_DATABASE_URL", sidecar.as_str()), (CREDENTIAL, TOKEN)];
    let real = ["send-test", DESTINATION, "--event", &event];
    assert_eq!(capi(&real, &variables).await.status.code(), Some(2), "no yes");
    let real = [&real[..], &["--yes"]].concat();
    let narrow = [("CAPI_DATABASE_URL", admin.as_str()), (CREDENTIAL, TOKEN)];
    assert_eq!(capi(&real, &narrow).await.status.code(), Some(3), "no right");
    assert_eq!(platform.number("requests"), 0);
    let sent = capi(&real, &variables).await;
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    let id = shop.get("select event_id from capi.outbox").await;
    assert_eq!(platform.seen().await.get(&id), Some(&1));
    let attempt = "select kind, outcome, batch, http_status, events from capi.attempts";
    assert_eq!(shop.line(attempt).await, format!("test|each|0|200|{{{event}}}"));
    assert_eq!(shop.get("select status from capi.delivery").await, "pending", "undisturbed");
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 1"]);
    assert_eq!(platform.number("unique_events"), 1, "the platform knows it by its id");
    // Nobody is sent who does not want to be.
    shop.run("select capi.withdraw('shop.orders', key) from capi.outbox").await;
    let refusal = capi(&real, &variables).await;
    assert_eq!(refusal.status.code(), Some(3));
    assert_eq!(platform.number("requests"), 2);
}

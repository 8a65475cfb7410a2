//! Somebody is told, once, and told again when it is over.

use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::receiver::{Receiver, SECRET_PATH};
use capi_tests::shop::{
    CREDENTIAL, DESTINATION, buy, buy_many, customer, resume, sending_shop, tracked_shop,
    until_settled,
};
use capi_tests::sidecar::{Sidecar, capi};
use serde_json::json;

/// Starts a sidecar that looks every second and tells this receiver in the plain form.
fn telling(shop: &Database, receiver: &Receiver, further: &[(&str, &str)]) -> Sidecar {
    let mut variables = vec![
        ("CAPI_LOOK_EVERY", "1"),
        ("CAPI_ALERT_WEBHOOK", "ALERT_URL"),
        ("CAPI_ALERT_FORMAT", "json"),
        ("ALERT_URL", receiver.url()),
    ];
    variables.extend(further);
    Sidecar::start_with(shop, &variables)
}

/// Places an order whose capture fails: it was paid a month ahead.
async fn order_from_the_future(shop: &Database, customer: i64) {
    shop.run(&format!(
        "insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at)
        values ({customer}, 'EUR', 10, 'https://shop.example.com/checkout', 'paid',
            now() + interval '30 days')"
    ))
    .await;
    assert_eq!(shop.count("select count(*) from capi.capture_error").await, 1);
}

/// Corrects it, which captures it.
const CORRECT: &str = "update shop.orders set paid_at = now() where paid_at > now()";

/// Waits until the note is written that the receiver knows this step.
async fn until_noted(shop: &Database, step: &str) {
    eventually(&format!("step {step} is noted as told"), 20, async || {
        let seen = shop.get("select told_step from capi.alert").await;
        if seen == step { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Waits until this alert is open, or over.
async fn until_alert(shop: &Database, kind: &str, is_open: bool) {
    let sql = format!(
        "select coalesce(bool_or(cleared_at is null), false) from capi.alerts where kind = '{kind}'"
    );
    let wanted = if is_open { "t" } else { "f" };
    eventually(&format!("alert {kind} is open: {is_open}"), 30, async || {
        let seen = shop.get(&sql).await;
        if seen == wanted {
            Ok(())
        } else {
            Err(shop.rows("table capi.alerts").await).map_err(|rows| format!("{rows:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_told_once_by_two_sidecars_over_a_restart_and_its_end_too() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let receiver = Receiver::start().await;
    let c = customer(&shop).await;
    let first = telling(&shop, &receiver, &[]);
    let second = telling(&shop, &receiver, &[]);
    // Both know the destination before it is blocked: who learns of it afterwards tries it once more.
    for sidecar in [&first, &second] {
        sidecar.until_logged("sending").await;
    }
    platform.fault(json!({"kind": "expired_token"})).await;
    buy_many(&shop, c, 5).await;
    receiver.until_told("raised blocked meta-eu 190/463").await;
    until_noted(&shop, "190/463").await;
    first.kill().await;
    let third = telling(&shop, &receiver, &[]);
    // It starts with the same token and tries it once more, which must not be told either.
    third.until_logged("its credential was not tried yet").await;
    eventually("it is blocked again", 20, async || {
        let sql =
            "select count(*) || ' blocks' from capi.destination_version where state = 'blocked'";
        let seen = shop.get(sql).await;
        if seen == "2 blocks" { Ok(()) } else { Err(seen) }
    })
    .await;
    platform.heal().await;
    resume(&shop).await;
    until_settled(&shop, 30).await;
    receiver.until_told("recovered blocked meta-eu 190/463").await;
    let of_block: Vec<String> =
        receiver.told().into_iter().filter(|one| one.contains("blocked")).collect();
    assert_eq!(
        of_block,
        ["raised blocked meta-eu 190/463", "recovered blocked meta-eu 190/463"],
        "once each"
    );
    let message = receiver.taken().remove(0);
    assert_eq!(message["instance"], shop.get("select instance from capi.installation").await);
    let text = message["text"].as_str().expect("a text");
    assert!(text.contains("Nothing is lost") && text.contains("expired"), "{text}");
    for log in [second.log(), third.log()] {
        assert!(!log.contains(SECRET_PATH) && !log.contains(TOKEN));
    }
}

#[tokio::test]
async fn a_receiver_that_is_down_holds_nothing_up_and_is_told_later() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let receiver = Receiver::start().await;
    receiver.answer(503);
    let c = customer(&shop).await;
    // An error on record, for which somebody is to be told; the delivery goes well.
    order_from_the_future(&shop, c).await;
    let sidecar = telling(&shop, &receiver, &[]);
    eventually("the receiver is asked in vain", 20, async || {
        if receiver.asked() > 0 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    for _ in 0..20 {
        buy(&shop, c).await;
    }
    until_settled(&shop, 10).await;
    sidecar.until_logged("alert could not be posted; it goes again").await;
    assert!(receiver.told().is_empty());
    receiver.answer(200);
    receiver.until_told("raised capture_errors shop.orders open").await;
    shop.run(CORRECT).await;
    receiver.until_told("recovered capture_errors shop.orders open").await;
    assert_eq!(receiver.told().len(), 2);
    assert!(!sidecar.log().contains(SECRET_PATH));
}

#[tokio::test]
async fn what_is_over_before_anybody_could_be_told_is_not_told() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let receiver = Receiver::start().await;
    receiver.answer(500);
    let c = customer(&shop).await;
    order_from_the_future(&shop, c).await;
    let _sidecar = telling(&shop, &receiver, &[]);
    eventually("the receiver is asked in vain", 20, async || {
        if receiver.asked() > 0 { Ok(()) } else { Err("not yet".into()) }
    })
    .await;
    shop.run(CORRECT).await;
    until_alert(&shop, "capture_errors", false).await;
    receiver.answer(200);
    // The next alert is the sign that the receiver is heard again.
    platform.fault(json!({"kind": "expired_token"})).await;
    buy(&shop, c).await;
    receiver.until_told("raised blocked meta-eu 190/463").await;
    assert_eq!(receiver.told().len(), 1);
}

#[tokio::test]
async fn refusals_above_a_share_are_told_without_any_person() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let receiver = Receiver::start().await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 22).await;
    // A customer of whom nothing but a town is known: refused before sending.
    let nobody = shop
        .count(
            "insert into shop.customers (is_guest, city, country, marketing_consent)
            values (true, 'Berlin', 'DE', true) returning id",
        )
        .await;
    buy_many(&shop, nobody, 8).await;
    let variables = [("CAPI_ALERT_FORMAT", "slack"), ("CAPI_ALERT_REFUSED", "20")];
    let _sidecar = telling(&shop, &receiver, &variables);
    until_settled(&shop, 30).await;
    let messages = eventually("a message", 20, async || {
        let taken = receiver.taken();
        if taken.is_empty() { Err("none".into()) } else { Ok(taken) }
    })
    .await;
    let text = messages[0]["text"].as_str().expect("a text for Slack");
    assert!(text.contains("meta-eu refused 8 of 30 events"), "{text}");
    assert_eq!(messages[0].as_object().expect("an object").len(), 1);
    assert!(!text.contains('@') && !text.contains("Berlin"), "{text}");
}

#[tokio::test]
async fn a_backlog_is_told_and_so_is_its_end() {
    let platform = Platform::start().await;
    platform.fault(json!({"kind": "status", "status": 503})).await;
    let shop = sending_shop(&platform).await;
    let receiver = Receiver::start().await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 3).await;
    // As if they had waited for two minutes already.
    shop.run("update capi.outbox set captured_at = captured_at - interval '2 minutes'").await;
    shop.run("update capi.route set since = since - interval '2 minutes'").await;
    let _sidecar = telling(&shop, &receiver, &[("CAPI_ALERT_BACKLOG", "1")]);
    receiver.until_told("raised backlog meta-eu late").await;
    platform.heal().await;
    resume(&shop).await;
    until_settled(&shop, 60).await;
    receiver.until_told("recovered backlog meta-eu late").await;
}

#[tokio::test]
async fn the_end_of_a_token_is_known_ahead_everywhere() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let receiver = Receiver::start().await;
    let day = |days: i64| {
        let sql = format!("select to_char(now() + interval '{days} days', 'YYYY-MM-DD')");
        let shop = &shop;
        async move { shop.get(&sql).await }
    };
    let soon = day(5).await;
    let expires = format!("{CREDENTIAL}_EXPIRES");
    let sidecar = telling(&shop, &receiver, &[(&expires, &soon)]);
    receiver.until_told("raised credential_expiry meta-eu 7").await;
    sidecar.until_logged("credential expires").await;
    until_noted(&shop, "7").await;
    drop(sidecar);
    // The next step is told, too, and a new token's own end ends it.
    let tomorrow = day(1).await;
    let sidecar = telling(&shop, &receiver, &[(&expires, &tomorrow)]);
    receiver.until_told("changed credential_expiry meta-eu 1").await;
    until_noted(&shop, "1").await;
    drop(sidecar);
    let url = shop.url("capi");
    let check = capi(
        &["check", "--json"],
        &[("CAPI_DATABASE_URL", &url), (CREDENTIAL, TOKEN), (&expires, &tomorrow)],
    )
    .await;
    let report = String::from_utf8(check.stdout).expect("text");
    assert!(report.contains("META_TOKEN expires within a day"), "{report}");
    let later = day(100).await;
    let _sidecar = telling(&shop, &receiver, &[(&expires, &later)]);
    receiver.until_told("recovered credential_expiry meta-eu 1").await;
    assert_eq!(receiver.told().len(), 3);
}

#[tokio::test]
async fn without_a_receiver_alerts_are_in_the_view_for_analysts() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    order_from_the_future(&shop, c).await;
    let _sidecar = Sidecar::start_with(&shop, &[("CAPI_LOOK_EVERY", "1")]);
    until_alert(&shop, "capture_errors", true).await;
    let analyst = shop.connect_as("analyst").await;
    let seen = analyst
        .line("select kind, subject, step, detail ->> 'open', told_at from capi.alerts")
        .await;
    assert_eq!(seen, "capture_errors|shop.orders|open|1|");
    assert_eq!(analyst.refused("table capi.alert").await.code, "42501");
    let sidecar = shop.connect_as("capi").await;
    assert_eq!(sidecar.refused("table capi.alerts").await.code, "42501");
    shop.run(&format!("select capi.drop_destination('{DESTINATION}')")).await;
}

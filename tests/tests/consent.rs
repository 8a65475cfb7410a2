//! Consent that changes after the capture, and erasure.

use capi_tests::database::Database;
use capi_tests::platform::Platform;
use capi_tests::shop::{
    DESTINATION, buy, captured, customer, customer_with, errors, receipts, resume, sending_shop,
    tracked_shop, until_settled,
};
use capi_tests::sidecar::Sidecar;
use serde_json::json;

/// Status and reason of every delivery, by key.
async fn deliveries(shop: &Database) -> Vec<String> {
    shop.column(
        "select format('%s %s %s', key, status, coalesce(reason, '-')) from capi.delivery order by length(key), key",
    )
    .await
}

#[tokio::test]
async fn a_withdrawal_stops_what_waits() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    for _ in 0..3 {
        buy(&shop, c).await;
    }
    assert_eq!(
        shop.count("select capi.withdraw('shop.orders', '2', note => 'by telephone')").await,
        1
    );
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(
        deliveries(&shop).await,
        ["1 delivered -", "2 suppressed withdrawn", "3 delivered -"]
    );
    assert_eq!(platform.seen().await.len(), 2);
    let record = "select reason || ' ' || note || ' ' || by_role from capi.withdrawal";
    assert_eq!(shop.get(record).await, "withdrawn by telephone postgres");
}

#[tokio::test]
async fn a_withdrawal_stops_what_waits_for_another_try() {
    let platform = Platform::start().await;
    platform.fault(json!({"kind": "status", "status": 503, "retry_after": 2})).await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    for _ in 0..3 {
        buy(&shop, c).await;
    }
    let _sidecar = Sidecar::start(&shop);
    let retrying = "select count(*) from capi.delivery where status = 'retrying'";
    capi_tests::patience::eventually("all wait for another try", 20, async || {
        match shop.count(retrying).await {
            3 => Ok(()),
            n => Err(n.to_string()),
        }
    })
    .await;
    shop.run("select capi.withdraw('shop.orders', '1'), capi.withdraw('shop.orders', '3')").await;
    platform.heal().await;
    until_settled(&shop, 30).await;
    let seen = deliveries(&shop).await;
    assert_eq!(seen, ["1 suppressed withdrawn", "2 delivered -", "3 suppressed withdrawn"]);
    assert_eq!(platform.seen().await.len(), 1);
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_left_is_gone() {
    let platform = Platform::start().await;
    platform.fault(json!({"kind": "status", "status": 503, "retry_after": 1})).await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let _sidecar = Sidecar::start(&shop);
    capi_tests::patience::eventually("it waits for another try", 20, async || {
        match deliveries(&shop).await {
            all if all[0].contains("retrying") => Ok(()),
            other => Err(other.join(", ")),
        }
    })
    .await;
    shop.run("select capi.withdraw('shop.orders', '1')").await;
    until_settled(&shop, 20).await;
    assert_eq!(deliveries(&shop).await, ["1 suppressed withdrawn"]);
    assert_eq!(shop.count("select count(*) from capi.batch").await, 0);
}

#[tokio::test]
async fn a_row_that_withdraws_its_consent_is_obeyed_and_may_give_it_again() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    shop.run(&format!("select capi.pause('{DESTINATION}')")).await;
    let (a, b) = (customer(&shop).await, customer(&shop).await);
    buy(&shop, a).await;
    buy(&shop, b).await;
    let touch = "update shop.orders set consent_noted_at = now()";
    shop.run(&format!("update shop.customers set marketing_consent = false; {touch}")).await;
    let refused = "select key || ' ' || refused::text from capi.withdrawal order by key";
    assert_eq!(shop.column(refused).await, ["1 {*}", "2 {*}"]);
    // Asked and answered anew.
    shop.run(&format!(
        "update shop.customers set marketing_consent = true where id = {b}; {touch}"
    ))
    .await;
    assert_eq!(shop.column(refused).await, ["1 {*}", "2 {}"]);
    // Not known any more is no answer.
    shop.run(&format!("update shop.customers set marketing_consent = null; {touch}")).await;
    assert_eq!(shop.column(refused).await, ["1 {*}", "2 {}"]);
    resume(&shop).await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(deliveries(&shop).await, ["1 suppressed withdrawn", "2 delivered -"]);
}

#[tokio::test]
async fn a_withdrawal_may_name_platforms_and_leaves_later_events_alone() {
    let shop = tracked_shop().await;
    shop.run(
        "select capi.create_destination('meta-us', platform => 'meta', settings => '{\"pixel_id\": \"2\"}', credential => 'META_TOKEN');
        select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{meta-eu, meta-us}')",
    )
    .await;
    let c = customer(&shop).await;
    let order = buy(&shop, c).await;
    let withdraw =
        format!("select capi.withdraw('shop.orders', '{order}', destinations => '{{meta-us}}')");
    assert_eq!(shop.count(&withdraw).await, 1);
    let fates = "select d.name || ' ' || coalesce(capi._withdrawn(o.source, o.key, o.captured_at, d.platform, d.name), '-')
        from capi.outbox o, capi.destination d order by 1";
    assert_eq!(shop.column(fates).await, ["meta-eu -", "meta-us withdrawn"]);
    // The platform's name stands for all of its destinations; withdrawals add up.
    assert_eq!(shop.count(&withdraw.replace("meta-us", "meta")).await, 2);
    assert_eq!(shop.get("select refused::text from capi.withdrawal").await, "{meta,meta-us}");
    let later = "select capi._withdrawn(1, '1', clock_timestamp(), 'meta', 'meta-us') is null";
    assert_eq!(shop.get(later).await, "t");
    // None of these names is a destination's or a platform's here, google's included.
    for wrong in ["'{secret}'", "'{}'", "'{meta, secret}'", "array['meta', null]", "'{google}'"] {
        let refusal = shop
            .refused(&format!("select capi.withdraw('shop.orders', '1', destinations => {wrong})"))
            .await;
        assert_eq!((refusal.code.as_str(), refusal.message.contains("secret")), ("22023", false));
        assert_eq!(
            refusal.hint,
            "Known are meta, meta-eu, meta-us. Leave destinations out to withdraw from all."
        );
    }
    assert_eq!(shop.refused("select capi.withdraw('shop.customers', '1')").await.code, "42704");
}

#[tokio::test]
async fn a_withdrawal_from_google_is_one_from_both_of_its_platforms() {
    let shop = tracked_shop().await;
    shop.run(
        r#"select capi.create_destination('ads', 'google_ads', '{"customer_id": "1", "events": {"Purchase": "2"}}', 'ADS_KEY');
        select capi.create_destination('analytics', 'ga4', '{"measurement_id": "G-1"}', 'GA4_KEY');
        select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{meta-eu, ads, analytics}')"#,
    )
    .await;
    let c = customer(&shop).await;
    let order = buy(&shop, c).await;
    let withdraw =
        format!("select capi.withdraw('shop.orders', '{order}', destinations => '{{Google}}')");
    assert_eq!(shop.count(&withdraw).await, 2);
    assert_eq!(shop.get("select refused::text from capi.withdrawal").await, "{ga4,google_ads}");
    let fates = "select d.name || ' ' || coalesce(capi._withdrawn(o.source, o.key, o.captured_at, d.platform, d.name), '-')
        from capi.outbox o, capi.destination d order by 1";
    assert_eq!(shop.column(fates).await, ["ads withdrawn", "analytics withdrawn", "meta-eu -"]);
}

#[tokio::test]
async fn forgetting_empties_a_persons_events_everywhere() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let browser = r#"{"ip": "203.0.113.77", "user_agent": "Mozilla/5.0 (Erika)", "fbp": "fb.1.1789999999999.424242"}"#;
    let order = async || {
        let id = buy(&shop, c).await;
        shop.run(&format!("update shop.orders set browser = '{browser}' where id = {id}")).await;
        id
    };
    shop.run("begin").await;
    let sent = order().await;
    shop.run("commit").await;
    let sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    sidecar.terminate().await;
    shop.run("begin").await;
    let waiting = order().await;
    shop.run("commit").await;
    let digest = shop.get("select capi.digest('email', 'erika.mustermann@example.com')").await;
    let everything = "select string_agg(o::text, ' ') from capi.outbox o";
    assert!(shop.get(everything).await.contains(&digest));
    assert!(shop.get(everything).await.contains("203.0.113.77"));

    // Found by the clear value or by its digest, in any form.
    for value in ["Erika.Mustermann@Example.com ", &digest] {
        let found = format!("select key from capi.find_person('email', '{value}')");
        assert_eq!(shop.column(&found).await, [sent.to_string(), waiting.to_string()]);
    }
    let phone = "select count(*) from capi.find_person('phone', '030 23125 042', country => 'DE')";
    assert_eq!(shop.count(phone).await, 2);
    let report = format!(
        "select key || ' ' || (report - 'remains')::text from capi.forget_person('email', '{digest}', note => 'letter of 21 November')"
    );
    assert_eq!(
        shop.column(&report).await,
        [
            format!(
                r#"{sent} {{"audiences": [], "being_sent_now": 0, "events_emptied": 1, "delivered_before": {{"meta-eu": 1}}, "perhaps_delivered": {{}}}}"#
            ),
            format!(
                r#"{waiting} {{"audiences": [], "being_sent_now": 0, "events_emptied": 1, "delivered_before": {{}}, "perhaps_delivered": {{}}}}"#
            ),
        ]
    );
    let left = shop.get(everything).await;
    for trace in [digest.as_str(), "203.0.113.77", "Erika", "424242"] {
        assert!(!left.contains(trace), "{trace} in {left}");
    }
    // The books still balance, and what waited is not sent.
    assert_eq!(shop.get("select sum(value) from capi.outbox").await, "20.00");
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 1", "suppressed 1"]);
    assert_eq!(
        shop.get("select reason from capi.receipt where status = 'suppressed'").await,
        "forgotten"
    );

    // The past does not come back: a backfill of an older order finds nobody. Later orders do.
    shop.run(&format!(
        "set session_replication_role = replica;
        insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at)
        values ({c}, 'EUR', 5, 'https://shop.example.com/', 'paid', now() - interval '1 day');
        reset session_replication_role"
    ))
    .await;
    shop.run("call capi.backfill('shop.orders', since => now() - interval '2 days')").await;
    let last = "select refused::text || ' ' || (identity = '{}') || ' ' || value from capi.outbox order by id desc limit 1";
    assert_eq!(shop.get(last).await, "{*} true 5.00");
    buy(&shop, c).await;
    assert!(
        shop.get("select identity::text from capi.outbox order by id desc limit 1")
            .await
            .contains(&digest)
    );
    // Nothing but a salted digest is kept of the person.
    let kept = shop.get("select string_agg(f::text, ' ') from capi.forgotten f").await;
    assert!(!kept.contains(&digest) && !kept.is_empty());
}

#[tokio::test]
async fn a_forgotten_row_stays_forgotten_when_it_is_touched() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    let order = buy(&shop, c).await;
    shop.run(&format!("select capi.forget('shop.orders', '{order}')")).await;
    shop.run("update shop.orders set shipped_at = now()").await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(shop.get("select identity::text || refused::text from capi.outbox").await, "{}{*}");
    assert_eq!(
        shop.get("select reason || refused::text from capi.withdrawal").await,
        "forgotten{*}"
    );
}

#[tokio::test]
async fn limited_rights_and_wrong_words() {
    let shop = tracked_shop().await;
    let c = customer_with(&shop, "null").await;
    buy(&shop, c).await;
    assert_eq!(captured(&shop).await, 0);
    let refusal = shop.refused("select capi.find_person('city', 'Berlin')").await;
    assert!(refusal.hint.contains("shared by many"), "{refusal:?}");
    let refusal = shop.refused("select capi.find_person('email', 'no address')").await;
    assert!(!format!("{refusal:?}").contains("no address"), "{refusal:?}");
    shop.run("create role reader login in role capi_analyst").await;
    let reader = shop.connect_as("reader").await;
    for call in [
        "select capi.find_person('email', 'a@example.com')",
        "select capi.forget('shop.orders', '1')",
        "select capi.withdraw('shop.orders', '1')",
        "select * from capi.forgotten",
        "select * from capi.withdrawal",
    ] {
        assert_eq!(reader.refused(call).await.code, "42501", "{call}");
    }
}

/// `own.sale` with a consent column, tracked, with one captured sale; `note` 'bad' makes the view
/// fail for the row.
async fn sale() -> Database {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (id bigint primary key, note text, consent jsonb default 'true',
                at timestamptz default clock_timestamp());
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time,
                'website' as action_source, 5 / (case s.note when 'bad' then 0 else 1 end) as value,
                'EUR' as currency, s.consent
            from own.sale s;
            select capi.create_destination('eu', platform => 'meta', settings => '{\"pixel_id\": \"1\"}', credential => 'META_TOKEN');
            select capi.create_destination('us', platform => 'meta', settings => '{\"pixel_id\": \"2\"}', credential => 'META_TOKEN');
            select capi.track('own.sale', conversions => 'own.conversion', destinations => '{eu, us}');
            insert into own.sale (id) values (1)",
        )
        .await;
    database
}

/// Destinations that may not have the event, and why.
async fn withheld(database: &Database) -> String {
    database
        .get(
            "select coalesce(string_agg(d.name || ' ' || w.reason, ', ' order by d.name), '')
            from capi.outbox o cross join capi.destination d
            cross join lateral (select coalesce(capi._withdrawn(o.source, o.key, o.captured_at, d.platform, d.name),
                case when capi._refuses(o.refused, d.platform, d.name) then 'refused' end) as reason) w
            where w.reason is not null",
        )
        .await
}

#[tokio::test]
async fn a_withdrawal_by_call_outlives_a_row_that_is_saved_again() {
    let database = sale().await;
    database.run("select capi.withdraw('own.sale', '1', note => 'by mail')").await;
    assert_eq!(withheld(&database).await, "eu withdrawn, us withdrawn");
    // Shipped, and nobody has asked the customer anew.
    database.run("update own.sale set note = 'shipped'").await;
    assert_eq!(withheld(&database).await, "eu withdrawn, us withdrawn");
    assert_eq!(database.get("select note from capi.withdrawal").await, "by mail");
}

#[tokio::test]
async fn a_row_may_add_to_a_withdrawal_by_call() {
    let database = sale().await;
    database.run("select capi.withdraw('own.sale', '1', destinations => '{us}')").await;
    database.run("update own.sale set consent = 'false'").await;
    assert_eq!(withheld(&database).await, "eu withdrawn, us withdrawn");
    database.run("update own.sale set consent = 'true'").await;
    assert!(withheld(&database).await.contains("us withdrawn"));
}

#[tokio::test]
async fn a_withdrawal_from_before_the_capture_hides_no_later_one() {
    let database = sale().await;
    database.run("select capi.withdraw('own.sale', '2')").await;
    database.run("delete from own.sale; delete from capi.outbox; delete from capi.event_key").await;
    database.run("insert into own.sale (id) values (2)").await;
    assert_eq!(withheld(&database).await, "", "consent of its own");
    database.run("update own.sale set consent = 'false'").await;
    assert_eq!(withheld(&database).await, "eu withdrawn, us withdrawn");
    database.run("update own.sale set consent = 'true'").await;
    assert_eq!(withheld(&database).await, "", "asked and answered anew");
}

#[tokio::test]
async fn a_withdrawal_from_all_ends_the_exceptions() {
    let database = sale().await;
    database.run("update capi.outbox set refused = '{*,!us}'").await;
    database.run("insert into capi.withdrawal (source, key, refused, reason, note) values (1, '1', '{*,!us}', 'withdrawn', 'the row says so')").await;
    assert_eq!(withheld(&database).await, "eu withdrawn");
    database.run("select capi.withdraw('own.sale', '1')").await;
    assert_eq!(withheld(&database).await, "eu withdrawn, us withdrawn");
}

#[tokio::test]
async fn a_withdrawal_whose_capture_failed_is_made_good_by_the_sweep() {
    let database = sale().await;
    database.run("update own.sale set consent = 'false', note = 'bad'").await;
    assert_eq!(errors(&database).await, ["1 22012 division_by_zero - open"]);
    assert_eq!(withheld(&database).await, "", "not yet known");
    database
        .run("set session_replication_role = replica; update own.sale set note = 'good'; reset session_replication_role")
        .await;
    database.run("select capi.sweep()").await;
    assert_eq!(withheld(&database).await, "eu withdrawn, us withdrawn");
    assert_eq!(errors(&database).await, ["1 22012 division_by_zero - resolved"]);
}

#[tokio::test]
async fn a_row_that_can_be_no_event_any_more_takes_its_consent_back_all_the_same() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (id bigint primary key, value numeric default 5, currency text default 'EUR',
                consent text default 'yes', at timestamptz default clock_timestamp());
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time,
                'website' as action_source, s.value, s.currency, s.consent
            from own.sale s;
            select capi.create_destination('eu', platform => 'meta', settings => '{\"pixel_id\": \"1\"}', credential => 'META_TOKEN');
            select capi.track('own.sale', conversions => 'own.conversion', destinations => '{eu}');
            insert into own.sale (id) select generate_series(1, 8)",
        )
        .await;
    for (id, change) in [
        (1, "consent = 'no', currency = '???'"),
        (2, "consent = 'no', value = 'NaN'"),
        (3, "consent = 'no', at = 'infinity'"),
        (4, "consent = 'no', at = now() + interval '10 years'"),
        (5, "consent = 'no', value = null"),
        // What cannot be read is no yes.
        (6, "consent = 'perhaps'"),
        // A fault alone takes nothing back.
        (7, "currency = '???'"),
    ] {
        database.run(&format!("update own.sale set {change} where id = {id}")).await;
    }
    // A key without an event has nothing to take back.
    database.run("insert into own.sale (id, consent, currency) values (9, 'no', '???')").await;
    let withdrawn =
        "select string_agg(key, ' ' order by key) from capi.withdrawal where refused = '{*}'";
    assert_eq!(database.get(withdrawn).await, "1 2 3 4 5 6");
    let waits = "select string_agg(o.key, ' ' order by o.key) from capi.outbox o
        where capi._withdrawn(o.source, o.key, o.captured_at, 'meta', 'eu') is null";
    assert_eq!(database.get(waits).await, "7 8");
    // Said again, and readable: given back.
    database.run("update own.sale set consent = 'yes' where id = 6").await;
    assert_eq!(database.get(waits).await, "6 7 8");
}

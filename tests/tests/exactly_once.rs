//! A busy shop from end to end: every conversion is in the outbox exactly once and settled, and the
//! money adds up.

use std::collections::BTreeMap;

use capi_tests::database::Session;
use capi_tests::platform::{Platform, plain};
use capi_tests::shop::{errors, sending_shop, until_settled};
use capi_tests::sidecar::Sidecar;

/// Sums by currency, as the stand-in writes them.
async fn sums(session: &Session, from: &str) -> BTreeMap<String, String> {
    let rows =
        session.rows(&format!("select currency, sum(value)::text {from} group by currency")).await;
    rows.into_iter()
        .map(|row| (row[0].clone().unwrap_or_default(), plain(row[1].as_deref().unwrap_or("0"))))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_balance_after_a_day_of_trade() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let _one = Sidecar::start(&shop);
    let _two = Sidecar::start(&shop);
    let mut traders = Vec::new();
    for seed in ["north", "south"] {
        let app = shop.connect().await;
        traders.push(tokio::spawn(async move {
            app.run(&format!("call shop.trade(300, seed => '{seed}')")).await;
        }));
    }
    for trader in traders {
        trader.await.expect("trade went well");
    }
    // A customer's answer on one order speaks for the earlier ones too; saving those again is what
    // tells the capture.
    shop.run("update shop.orders set status = status").await;
    until_settled(&shop, 60).await;

    // Every conversion whose customer has answered is in the outbox, and nothing else is.
    let differences = shop
        .column(
            "with expected as (
                select 'Purchase' as event_name, id::text as key, event_id, value, currency, not consent as refused
                from shop.purchases where consent is not null
                union all
                select 'Lead', id::text, event_id, null, null, not consent
                from shop.leads where consent is not null
            ), found as (
                select event_name, key, event_id, value, currency, refused = '{*}'
                from capi.outbox
            )
            (table expected except all table found) union all (table found except all table expected)",
        )
        .await;
    assert_eq!(differences, [""; 0]);
    assert_eq!(errors(&shop).await, [""; 0]);

    // Each has one receipt, and each receipt that is no delivery has a reason.
    let without =
        "select count(*) from capi.outbox o where 1 <> (select count(*) from capi.receipt r
        where r.event = o.id and r.captured_at = o.captured_at)";
    assert_eq!(shop.count(without).await, 0);
    let reasons = shop
        .column(
            "select distinct status || ' ' || coalesce(reason, '-') from capi.receipt order by 1",
        )
        .await;
    assert_eq!(
        reasons,
        ["delivered -", "refused insufficient_identity", "suppressed consent_refused"]
    );

    // The money: shop, outbox, receipts and platform.
    let given = sums(&shop, "from shop.purchases where consent").await;
    let captured = sums(&shop, "from capi.outbox where refused = '{}' and value is not null").await;
    assert_eq!(given, captured);
    assert!(given.len() > 5, "several currencies: {given:?}");
    let delivered =
        sums(&shop, "from capi.delivery where status = 'delivered' and value is not null").await;
    assert_eq!(delivered, platform.values());
    let all = sums(&shop, "from shop.purchases where consent is not null").await;
    let settled = sums(&shop, "from capi.delivery where value is not null").await;
    assert_eq!(all, settled);

    // The platform had each event once and none that it was not to have.
    let delivered =
        shop.count("select count(*) from capi.receipt where status = 'delivered'").await;
    assert_eq!(platform.number("events_accepted"), delivered);
    assert_eq!(platform.number("duplicates"), 0);
    assert_eq!(platform.number("refused_requests"), 0, "{}", platform.summary());
    let seen = platform.seen().await;
    let suppressed =
        shop.column("select event_id from capi.delivery where status <> 'delivered'").await;
    let sent_anyway: Vec<_> = suppressed.iter().filter(|id| seen.contains_key(*id)).collect();
    assert!(sent_anyway.is_empty(), "{sent_anyway:?}");
}

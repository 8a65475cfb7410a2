//! Capture in the order's own transaction: exactly one event per conversion, whatever the
//! application does, and the order commits whatever the capture does.

use bytes::Bytes;
use capi_tests::database::{Database, Session, quoted};
use capi_tests::shop::{
    buy, captured, captured_keys, customer, customer_with, errors, paid_order, tracked_shop,
};
use futures_util::SinkExt as _;

const ITEM: &str = "insert into shop.order_items (order_id, product_id, sku, quantity, price)
    select $ORDER, id, sku, 2, 3.50 from shop.products where sku in ('MUG-01', 'TIN-03')";

fn items(order: &str) -> String {
    ITEM.replace("$ORDER", order)
}

/// The order that the session has placed last.
const LAST: &str = "currval('shop.orders_id_seq')";

async fn contents(session: &Session) -> String {
    session
        .get("select string_agg(jsonb_array_length(facts -> 'contents')::text, ' ') from capi.outbox")
        .await
}

/// A source of the test's own: table `own.sale`, view `own.conversion`, both of the superuser.
async fn own_source(session: &Session, table: &str, view: &str, options: &str) {
    session
        .run(&format!(
            "create schema if not exists own;
            {table};
            create view own.conversion as {view};
            select capi.track('own.sale', conversions => 'own.conversion' {options});"
        ))
        .await;
}

/// Columns of a conversion without a person: what is not about identity stays short.
const PLAIN: &str = "'Purchase' as event_name, 'sale-' || id as event_id, now() as event_time,
    'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent";

// ---------------------------------------------------------------------------------------------
// One event, complete
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_order_of_statements_does_not_matter() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    // Paid first, items last.
    shop.run(&format!("begin; {}; {}; commit", paid_order(c, "7", "EUR"), items(LAST))).await;
    assert_eq!(contents(&shop).await, "2");
    // Items first, payment last, total in between.
    shop.run(&format!(
        "begin;
        insert into shop.orders (customer_id, currency, checkout_url) values ({c}, 'USD', 'https://shop.example.com/');
        {};
        update shop.orders set total = 14.00 where id = {LAST};
        update shop.orders set paid_at = clock_timestamp(), status = 'paid' where id = {LAST};
        commit",
        items(LAST)
    ))
    .await;
    assert_eq!(contents(&shop).await, "2 2");
    let rows = shop.column("select value || ' ' || currency from capi.outbox order by id").await;
    assert_eq!(rows, ["7 EUR", "14 USD"].map(|_| String::new()).map(|_| String::new()).len().to_string().chars().map(|_| String::new()).collect::<Vec<_>>());
}

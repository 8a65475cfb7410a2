//! Capture in the order's own transaction: exactly one event per conversion, whatever the
//! application does; and the order commits, whatever becomes of the capture.

use bytes::Bytes;
use capi_tests::database::{Database, Session};
use capi_tests::leaks::relations_with;
use capi_tests::patience::eventually;
use capi_tests::shop::{
    buy, captured, captured_keys, customer, customer_with, errors, paid_order, tracked_shop,
};
use futures_util::SinkExt as _;

/// The order that the session has placed last.
const LAST: &str = "currval('shop.orders_id_seq')";

/// The statement that puts two lines into an order.
fn two_items(order: &str) -> String {
    format!(
        "insert into shop.order_items (order_id, product_id, sku, quantity, price)
        select {order}, id, sku, 2, 3.50 from shop.products where sku in ('MUG-01', 'TIN-03')"
    )
}

/// Lines of each captured order.
async fn lines(session: &Session) -> String {
    session
        .get(
            "select coalesce(string_agg(jsonb_array_length(facts -> 'contents')::text, ' ' order by id), '')
            from capi.outbox",
        )
        .await
}

/// A source of the test's own, with nothing about a person: `own.sale` through `own.conversion`.
/// Columns of `table` beyond the key, and of `view` beyond the plain ones, begin with a comma.
struct Own {
    key: &'static str,
    columns: &'static str,
    view: &'static str,
    event_id: &'static str,
    value: &'static str,
    options: &'static str,
}

const OWN: Own = Own {
    key: "id bigint primary key",
    columns: ", note text",
    view: "",
    event_id: "'sale-' || s.id",
    value: "5.00",
    options: "",
};

impl Own {
    async fn tracked(self) -> Database {
        let database = Database::adopted().await;
        self.make(&database).await;
        database.run(&self.track()).await;
        database
    }

    async fn make(&self, session: &Session) {
        let Self { key, columns, view, event_id, value, .. } = self;
        session
            .run(&format!(
                "create schema own;
                create table own.sale ({key}{columns});
                create view own.conversion as
                select s.id, 'Purchase' as event_name, {event_id} as event_id, now() as event_time,
                    'website' as action_source, {value} as value, 'EUR' as currency,
                    true as consent{view}
                from own.sale s"
            ))
            .await;
    }

    fn track(&self) -> String {
        let options = self.options;
        format!("select capi.track('own.sale', conversions => 'own.conversion'{options})")
    }
}

// ---------------------------------------------------------------------------------------------
// One event, complete
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_order_of_statements_does_not_matter() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    // Paid first, lines last.
    let order = paid_order(c, "7", "EUR");
    shop.run(&format!("begin; {order}; {}; commit", two_items(LAST))).await;
    // Lines first, then the total, then the payment.
    shop.run(&format!(
        "begin;
        insert into shop.orders (customer_id, currency, checkout_url)
        values ({c}, 'USD', 'https://shop.example.com/checkout');
        {};
        update shop.orders set total = 14 where id = {LAST};
        update shop.orders set paid_at = clock_timestamp(), status = 'paid' where id = {LAST};
        commit",
        two_items(LAST)
    ))
    .await;
    assert_eq!(lines(&shop).await, "2 2");
    let money = shop.column("select value || ' ' || currency from capi.outbox order by id").await;
    assert_eq!(money, ["7.00 EUR", "14.00 USD"]);
    let ids = shop.column("select event_id = 'order-' || key from capi.outbox").await;
    assert_eq!(ids, ["t", "t"]);
}

#[tokio::test]
async fn identifiers_are_digested() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let digest = "identity #>> '{email,0}' = encode(sha256('erika.mustermann@example.com'), 'hex')";
    assert_eq!(shop.get(&format!("select {digest} from capi.outbox")).await, "t");
    let fields = shop
        .get("select string_agg(k, ' ' order by k) from capi.outbox, jsonb_object_keys(identity) k where k !~ '/'")
        .await;
    assert_eq!(fields, "city country email external_id first_name last_name phone zip");
}

#[tokio::test]
async fn a_rollback_leaves_nothing() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    shop.run(&format!("begin; {}; rollback", paid_order(c, "7", "EUR"))).await;
    // Rolled back after the capture.
    shop.run(&format!(
        "begin; {}; set constraints all immediate; rollback",
        paid_order(c, "7", "EUR")
    ))
    .await;
    for table in ["outbox", "event_key", "capture_error"] {
        assert_eq!(shop.count(&format!("select count(*) from capi.{table}")).await, 0, "{table}");
    }
    buy(&shop, c).await;
    assert_eq!(captured(&shop).await, 1);
}

#[tokio::test]
async fn many_changes_make_one_event() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    shop.run(&format!(
        "begin; {}; update shop.orders set total = 20; update shop.orders set total = 30; commit;
        update shop.orders set status = 'shipped', shipped_at = clock_timestamp();
        update shop.orders set status = 'cancelled', cancelled_at = clock_timestamp();
        update shop.orders set paid_at = clock_timestamp()",
        paid_order(c, "10", "EUR")
    ))
    .await;
    let rows = shop.column("select value from capi.outbox").await;
    assert_eq!(rows, ["30.00"], "what was true when the order committed, once");
    assert_eq!(errors(&shop).await, [""; 0]);
}

#[tokio::test]
async fn an_order_that_is_unpaid_and_paid_again_adds_nothing() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    shop.run("update shop.orders set paid_at = null, status = 'pending'").await;
    shop.run("update shop.orders set paid_at = clock_timestamp(), status = 'paid'").await;
    assert_eq!(captured(&shop).await, 1);
}

#[tokio::test]
async fn savepoints_do_not_confuse_it() {
    let own = OWN.tracked().await;
    let now = "set constraints all immediate";
    for (script, expected) in [
        ("savepoint a; insert 1; rollback to a; insert 2", "2"),
        ("insert 1; savepoint a; insert 2; rollback to a", "1"),
        ("insert 1; savepoint a; insert 2; rollback to a; insert 3", "1 3"),
        ("savepoint a; insert 1; release a; insert 2", "1 2"),
        ("savepoint a; insert 1; savepoint b; insert 2; rollback to b; insert 3", "1 3"),
        ("savepoint a; savepoint b; insert 1; release b; rollback to a; insert 2", "2"),
        ("savepoint a; savepoint b; insert 1; release b; rollback to a", ""),
        ("savepoint a; insert 1; rollback to a; savepoint a; insert 2; release a", "2"),
        // Captured inside a savepoint that is kept, or rolled back with the order in it.
        ("savepoint a; insert 1; now; release a; insert 2", "1 2"),
        ("insert 1; savepoint a; insert 2; now; rollback to a; insert 3", "1 3"),
        ("savepoint a; insert 1; now; rollback to a; insert 2", "2"),
        // Captured inside a savepoint that is rolled back, but the order stays.
        ("insert 1; savepoint a; now; rollback to a", "1"),
        ("insert 1; savepoint a; now; rollback to a; insert 2", "1 2"),
        ("insert 1; savepoint a; insert 2; now; rollback to a", "1"),
        ("insert 1; now; savepoint a; insert 2; now; rollback to a", "1"),
        // Changed again in a savepoint that is rolled back, after it was captured.
        ("insert 1; now; savepoint a; touch 1; now; rollback to a", "1"),
    ] {
        let sql = script
            .split("; ")
            .map(|step| match step.split_once(' ') {
                Some(("insert", id)) => format!("insert into own.sale values ({id}, 'x')"),
                Some(("touch", id)) => format!("update own.sale set note = 'y' where id = {id}"),
                _ if step == "now" => now.to_owned(),
                _ => step.to_owned(),
            })
            .collect::<Vec<_>>()
            .join("; ");
        own.run(&format!("begin; {sql}; commit")).await;
        let sold = "select coalesce(string_agg(id::text, ' ' order by id), '') from own.sale";
        assert_eq!(own.get(sold).await, expected, "the script itself: {script}");
        assert_eq!(captured_keys(&own).await, expected, "{script}");
        own.run("delete from capi.outbox; delete from capi.event_key; delete from own.sale").await;
    }
}

#[tokio::test]
async fn exception_blocks_do_not_confuse_it() {
    let own = OWN.tracked().await;
    own.run(
        "do $$ begin
            begin
                insert into own.sale values (1);
                raise exception 'first try';
            exception when raise_exception then
            end;
            insert into own.sale values (2);
            begin
                insert into own.sale values (3);
                insert into own.sale values (2);
            exception when unique_violation then
            end;
            begin
                insert into own.sale values (4);
            exception when unique_violation then
            end;
        end $$",
    )
    .await;
    assert_eq!(captured_keys(&own).await, "2 4");
}

#[tokio::test]
async fn two_sources_in_one_transaction_are_both_captured() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    let lead = "insert into shop.enquiries (email, page_url, marketing_consent, confirmed_at)
        values ('erika@example.com', 'https://shop.example.com/', true, clock_timestamp())";
    shop.run(&format!("begin; {lead}; {}; commit", paid_order(c, "1", "EUR"))).await;
    let names = shop.column("select event_name from capi.outbox order by 1").await;
    assert_eq!(names, ["Lead", "Purchase"]);
}

#[tokio::test]
async fn an_early_capture_is_rewritten_until_the_commit() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    shop.run(&format!("begin; set constraints all immediate; {}", paid_order(c, "5", "EUR"))).await;
    assert_eq!(captured(&shop).await, 1, "constraints were immediate");
    assert_eq!(lines(&shop).await, "");
    shop.run(&two_items(LAST)).await;
    shop.run(&format!("update shop.orders set total = 7 where id = {LAST}; commit")).await;
    assert_eq!(lines(&shop).await, "2");
    assert_eq!(shop.column("select value from capi.outbox").await, ["7.00"]);
    shop.run("update shop.orders set total = 99").await;
    assert_eq!(shop.column("select value from capi.outbox").await, ["7.00"], "now immutable");
}

#[tokio::test]
async fn a_joined_table_can_trigger_the_capture() {
    let shop = Database::adopted().await;
    shop.run(
        "select capi.track('shop.orders', conversions => 'shop.purchases',
            also => '{\"shop.order_items\": \"order_id\"}')",
    )
    .await;
    let c = customer(&shop).await;
    // Constraints immediate, and nothing but the lines comes later.
    shop.run(&format!(
        "begin; set constraints all immediate; {}; {}; commit",
        paid_order(c, "5", "EUR"),
        two_items(LAST)
    ))
    .await;
    assert_eq!(lines(&shop).await, "2");
}

#[tokio::test]
async fn a_copy_of_5000_rows_is_captured_row_by_row_once() {
    let mut shop = tracked_shop().await.connect_kept().await;
    let c = customer(&shop.session).await;
    let rows: String = (1..=5000)
        .map(|n| format!("{c}\tEUR\t{n}.01\thttps://shop.example.com/\tpaid\t2026-01-02 03:04:05+00\n"))
        .collect();
    let copy = "copy shop.orders (customer_id, currency, total, checkout_url, status, paid_at) from stdin";
    let sink = shop.session.driver().copy_in(copy).await.expect("COPY begins");
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from(rows)).await.expect("rows sent");
    assert_eq!(sink.finish().await.expect("COPY commits"), 5000);
    let shop = shop.session;
    let sums = "select count(*), count(distinct key), sum(value) from capi.outbox";
    assert_eq!(shop.line(sums).await, "5000|5000|12502550.00");
    let shop_sums = "select count(*), count(distinct id), sum(total) from shop.orders";
    assert_eq!(shop.line(sums).await, shop.line(shop_sums).await);
    assert_eq!(errors(&shop).await, [""; 0]);
}

/// A session that keeps its database.
struct Kept {
    session: Session,
    _database: Database,
}

trait Keep {
    async fn connect_kept(self) -> Kept;
}

impl Keep for Database {
    async fn connect_kept(self) -> Kept {
        Kept { session: self.connect().await, _database: self }
    }
}

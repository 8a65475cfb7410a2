//! Capture in the order's own transaction: exactly one event per conversion, whatever the
//! application does; and the order commits, whatever becomes of the capture.

use bytes::Bytes;
use capi_tests::cluster::Cluster;
use capi_tests::database::{Database, Session};
use capi_tests::leaks::relations_with;
use capi_tests::patience::eventually;
use capi_tests::shop::{
    buy, captured, captured_keys, customer, customer_with, errors, paid_order, tracked_shop,
};
use futures_util::SinkExt as _;

/// The order that the session has placed last.
const LAST: &str = "currval('shop.orders_id_seq')";

/// Captures that failed, by the counter that outlives rollback.
const FAILURES: &str =
    "select case when is_called then last_value else 0 end from capi.capture_failures";

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
    let mut wrong = Vec::new();
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
        let found = captured_keys(&own).await;
        if found != expected {
            wrong.push(format!("{script}: expected {expected:?}, captured {found:?}"));
        }
        own.run("delete from capi.outbox; delete from capi.event_key; delete from own.sale").await;
    }
    assert_eq!(wrong, [""; 0]);
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
async fn an_early_capture_that_comes_to_nothing_is_taken_back() {
    let own =
        Own { columns: ", note text, consent boolean default true, late text default 'a'", ..OWN };
    let database = Database::adopted().await;
    own.make(&database).await;
    database
        .run(
            "drop view own.conversion; create table own.line (sale bigint, sku text);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id || s.late as event_id,
                now() as event_time, 'website' as action_source, s.note::numeric as value,
                'EUR' as currency, s.consent,
                (select jsonb_agg(jsonb_build_object('id', l.sku)) from own.line l
                    where l.sale = s.id) as contents
            from own.sale s where s.note is distinct from 'unpaid'",
        )
        .await;
    database.run(&own.track()).await;
    let mut wrong = Vec::new();
    for (change, expected) in [
        ("delete from own.sale", ""),
        ("update own.sale set note = 'unpaid'", ""),
        ("update own.sale set consent = null", ""),
        ("update own.sale set id = 2", "2|sale-2a|7|0"),
        ("update own.sale set late = 'b'", "1|sale-1b|7|0"),
        ("update own.sale set note = null", ""),
        ("update own.sale set note = '8'", "1|sale-1a|8|0"),
        // No trigger sees this.
        ("insert into own.line values (1, 'MUG-01'), (1, 'TIN-03')", "1|sale-1a|7|2"),
        ("savepoint a; delete from own.sale; rollback to a", "1|sale-1a|7|0"),
        ("savepoint a; delete from own.sale; release a", ""),
    ] {
        for end in ["commit", "prepare transaction"] {
            let name = format!("{}_early", database.name());
            let end = match end {
                "commit" => "commit".to_owned(),
                _ => format!("prepare transaction '{name}'; commit prepared '{name}'"),
            };
            // One statement at a time: PREPARE ends the transaction.
            for statement in format!(
                "begin; set constraints all immediate; insert into own.sale values (1, '7');
                {change}; {end}"
            )
            .split("; ")
            {
                database.run(statement).await;
            }
            let found = database
                .line(
                    "select key, event_id, value, coalesce(jsonb_array_length(facts -> 'contents'), 0)
                    from capi.outbox",
                )
                .await;
            let keys = database.count("select count(*) from capi.event_key").await;
            if found != expected || keys != i64::from(!expected.is_empty()) {
                wrong.push(format!("{change}, {end}: {found:?}, {keys} keys"));
            }
            let pending = database.get("select count(*) from own.sale where note is null").await;
            let open = "select count(*) from capi.capture_error where resolved_at is null";
            assert_eq!(database.get(open).await, pending, "{change}");
            database
                .run(
                    "delete from capi.outbox; delete from capi.event_key; delete from own.sale;
                    delete from own.line; delete from capi.capture_error",
                )
                .await;
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[tokio::test]
async fn what_the_applications_own_deferred_triggers_do_is_seen() {
    let own = OWN.tracked().await;
    own.run(
        "create function own.late() returns trigger language plpgsql as $$ begin
            case new.note
            when 'delete' then delete from own.sale where id = new.id;
            when 'add' then insert into own.sale values (new.id + 1, 'x');
            else null;
            end case;
            return null;
        end $$;
        create constraint trigger zz_late after insert on own.sale deferrable initially deferred
            for each row execute function own.late();
        insert into own.sale values (1, 'delete'); insert into own.sale values (11, 'add');
        begin; insert into own.sale values (21, 'x'), (22, 'delete'), (23, 'add'); commit",
    )
    .await;
    assert_eq!(captured_keys(&own).await, "11 12 21 23 24");
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
    let mut shop = tracked_shop().await;
    let c = customer(&shop).await;
    let rows: String = (1..=5000)
        .map(|n| {
            format!("{c}\tEUR\t{n}.01\thttps://shop.example.com/\tpaid\t2026-01-02 03:04:05+00\n")
        })
        .collect();
    let copy =
        "copy shop.orders (customer_id, currency, total, checkout_url, status, paid_at) from stdin";
    let sink = shop.driver().copy_in(copy).await.expect("COPY begins");
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from(rows)).await.expect("rows sent");
    assert_eq!(sink.finish().await.expect("COPY commits"), 5000);
    let sums = "select count(*), count(distinct key), sum(value) from capi.outbox";
    assert_eq!(shop.line(sums).await, "5000|5000|12502550.00");
    let shop_sums = "select count(*), count(distinct id), sum(total) from shop.orders";
    assert_eq!(shop.line(sums).await, shop.line(shop_sums).await);
    assert_eq!(errors(&shop).await, [""; 0]);
}

// ---------------------------------------------------------------------------------------------
// Prepared transactions, isolation, concurrency
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn prepared_transactions_are_captured_when_committed() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    let sleeper = shop.connect().await;
    for armed in [false, true] {
        if armed {
            assert_eq!(sleeper.get("select capi.bell_arm()").await, "t", "nobody is busy");
        }
        let before = captured(&shop).await;
        for (n, end) in ["commit prepared", "rollback prepared"].iter().enumerate() {
            let name = format!("{}_{armed}_{n}", shop.name());
            let order = paid_order(c, "3", "EUR");
            shop.run(&format!("begin; {order}; prepare transaction '{name}'")).await;
            shop.run(&format!("{end} '{name}'")).await;
        }
        assert_eq!(captured(&shop).await - before, 1, "armed: {armed}");
        // What the prepared transaction noted must not stick to the session.
        shop.run("begin; rollback").await;
        buy(&shop, c).await;
        assert_eq!(captured(&shop).await - before, 2, "armed: {armed}");
    }
}

#[tokio::test]
async fn concurrent_flips_of_one_order_make_one_event() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    shop.run(&format!(
        "insert into shop.orders (customer_id, currency, total, checkout_url)
        values ({c}, 'EUR', 9, 'https://shop.example.com/')"
    ))
    .await;
    let pay = "update shop.orders set status = 'paid', paid_at = clock_timestamp()";
    let second = shop.connect().await;
    let pid = second.pid().await;
    shop.run(&format!("begin; {pay}")).await;
    let waiting = tokio::spawn(async move { second.ask(pay).await });
    shop.until_blocked(pid).await;
    shop.run("commit").await;
    waiting.await.expect("no panic").expect("the second flip succeeds");
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(errors(&shop).await, [""; 0]);
}

/// Two rows of a joined table speak for the same order, so that two transactions capture the same
/// event without waiting for each other's rows.
async fn two_payments() -> Database {
    let shop = Database::adopted().await;
    shop.run(
        "select capi.track('shop.orders', conversions => 'shop.purchases',
            also => '{\"shop.payments\": \"order_id\"}')",
    )
    .await;
    let c = customer(&shop).await;
    shop.run("set capi.capture = off").await;
    let order = buy(&shop, c).await;
    shop.run("reset capi.capture").await;
    assert_eq!(captured(&shop).await, 0);
    for _ in 0..2 {
        shop.run("set capi.capture = off").await;
        shop.run(&format!(
            "insert into shop.payments (order_id, method, state, amount, currency)
            values ({order}, 'card', 'captured', 5, 'EUR')"
        ))
        .await;
        shop.run("reset capi.capture").await;
    }
    shop
}

const TOUCH_FIRST: &str =
    "update shop.payments set method = 'x' where id = (select min(id) from shop.payments)";
const TOUCH_LAST: &str =
    "update shop.payments set method = 'y' where id = (select max(id) from shop.payments)";

#[tokio::test]
async fn a_repeatable_read_transaction_that_comes_second_makes_no_event_and_no_error() {
    let shop = two_payments().await;
    let second = shop.connect().await;
    second.run("begin isolation level repeatable read; select 1 from shop.orders").await;
    shop.run(TOUCH_FIRST).await;
    second.run(TOUCH_LAST).await;
    second.run("commit").await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(errors(&shop).await, [""; 0]);
    assert_eq!(shop.count("select count(*) from shop.payments where method = 'y'").await, 1);
}

#[tokio::test]
async fn a_transaction_that_waits_for_the_key_makes_no_event_when_the_other_commits() {
    let shop = two_payments().await;
    let second = shop.connect().await;
    second.run("set capi.lock_timeout = '60s'").await;
    let pid = second.pid().await;
    shop.run(&format!("begin; {TOUCH_FIRST}; set constraints all immediate")).await;
    let waiting = tokio::spawn(async move { second.ask(TOUCH_LAST).await });
    shop.until_blocked(pid).await;
    shop.run("commit").await;
    waiting.await.expect("no panic").expect("the second change commits");
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(errors(&shop).await, [""; 0]);
}

#[tokio::test]
async fn a_checkout_does_not_wait_for_a_stuck_key() {
    let shop = two_payments().await;
    let stuck = shop.connect().await;
    stuck.run(&format!("begin; {TOUCH_FIRST}; set constraints all immediate")).await;
    let began = std::time::Instant::now();
    shop.run(TOUCH_LAST).await;
    // The default of capi.lock_timeout is 100 ms; the rest is a slow machine.
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    let order = shop.get("select id from shop.orders").await;
    let expected = format!("{order} 55P03 lock_not_available - open");
    assert_eq!(errors(&shop).await, [expected.as_str()]);
    stuck.run("rollback").await;
    shop.run(TOUCH_LAST).await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(errors(&shop).await, [expected.replace("open", "resolved")]);
}

#[tokio::test]
async fn isolation_levels_capture_alike() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    for level in ["read committed", "repeatable read", "serializable"] {
        let order = paid_order(c, "1", "EUR");
        shop.run(&format!("begin isolation level {level}; {order}; commit")).await;
    }
    assert_eq!(captured(&shop).await, 3);
}

// ---------------------------------------------------------------------------------------------
// Kinds of sources and keys
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn keys_of_many_types_are_captured() {
    for (key, columns, rows, expected) in [
        ("id smallint primary key", "", "(7), (-3)", "-3 7"),
        ("id bigint primary key", "", "(9223372036854775807)", "9223372036854775807"),
        ("id text primary key", "", "('it''s \"1\"'), ('ü,{}\\')", "it's \"1\" ü,{}\\"),
        (
            "id uuid primary key",
            "",
            "('0188a1b2-0000-7000-8000-00000000000a')",
            "0188a1b2-0000-7000-8000-00000000000a",
        ),
        ("id numeric primary key", "", "(1.50)", "1.5"),
    ] {
        let own = Own { key, columns, ..OWN }.tracked().await;
        own.run(&format!("insert into own.sale values {rows}")).await;
        let keys =
            "select coalesce(string_agg(key, ' ' order by key collate \"C\"), '') from capi.outbox";
        assert_eq!(errors(&own).await, [""; 0], "{key}");
        assert_eq!(own.get(keys).await, expected, "{key}");
    }
}

#[tokio::test]
async fn composite_keys_are_captured() {
    let own = Own {
        key: "shop text, id integer, primary key (shop, id)",
        columns: ", note text",
        view: ", s.shop",
        event_id: "s.shop || '/' || s.id",
        ..OWN
    };
    let own = own.tracked().await;
    own.run("insert into own.sale values ('a', 1, ''), ('a', 2, ''), ('b', 1, '')").await;
    own.run("update own.sale set note = 'again'").await;
    let keys = own.column("select key from capi.outbox order by id").await;
    assert_eq!(keys, [r#"["a", "1"]"#, r#"["a", "2"]"#, r#"["b", "1"]"#]);
    assert_eq!(errors(&own).await, [""; 0]);
}

#[tokio::test]
async fn keys_and_money_do_not_depend_on_the_sessions_settings() {
    let own = Own {
        key: "id bigint, at timestamptz, day date, primary key (id, at, day)",
        columns: ", note text, total double precision",
        view: ", s.at, s.day",
        value: "s.total",
        ..OWN
    };
    let own = own.tracked().await;
    let settings = "set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY';
        set extra_float_digits = 0; set intervalstyle = 'sql_standard'";
    let abroad = own.connect().await;
    abroad.run(settings).await;
    own.run("insert into own.sale values (1, '2026-01-05 10:00+00', '2026-02-01', '', 1234.56)")
        .await;
    abroad.run("update own.sale set note = 'saved again from another session'").await;
    abroad
        .run("insert into own.sale values (2, '2026-01-05 10:00+00', '01/02/2026', '', 1234.56)")
        .await;
    own.run("update own.sale set note = 'and back'").await;
    assert_eq!(errors(&own).await, [""; 0]);
    let values = own.column("select value from capi.outbox order by id").await;
    assert_eq!(values, ["1234.56", "1234.56"]);
    let tails = "select count(distinct key::jsonb - 0) from capi.outbox";
    assert_eq!(own.get(tails).await, "1", "same time, same text");
}

#[tokio::test]
async fn a_joined_row_that_belongs_to_nothing_is_no_conversion() {
    let own = OWN;
    let database = Database::adopted().await;
    own.make(&database).await;
    database
        .run(
            "create table own.payment (id int primary key, sale bigint);
            create table own.note (id int primary key, sale text);
            select capi.track('own.sale', conversions => 'own.conversion',
                also => '{\"own.payment\": \"sale\"}')",
        )
        .await;
    database.run("insert into own.payment values (1, null), (2, 99)").await;
    assert_eq!(captured(&database).await, 0);
    assert_eq!(errors(&database).await, [""; 0]);
    // A column that cannot hold the key would fail at every order.
    for also in ["own.note\": \"sale", "own.payment\": \"no_such_column", "own.nowhere\": \"sale"] {
        let sql = format!(
            "select capi.track('own.sale', conversions => 'own.conversion', also => '{{\"{also}\"}}')"
        );
        database.refused(&sql).await;
    }
}

#[tokio::test]
async fn partitions_are_captured_also_those_that_come_later() {
    let own = Own {
        key: "id bigint, day date, primary key (id, day)",
        columns: ", note text) partition by range (day",
        view: ", s.day",
        ..OWN
    };
    let database = Database::adopted().await;
    own.make(&database).await;
    let partition = |name: &str, from: &str, to: &str| {
        format!(
            "create table own.{name} partition of own.sale for values from ('{from}') to ('{to}')"
        )
    };
    database.run(&partition("january", "2026-01-01", "2026-02-01")).await;
    database.run(&own.track()).await;
    database.run(&partition("february", "2026-02-01", "2026-03-01")).await;
    database.run("insert into own.sale values (1, '2026-01-05'), (2, '2026-02-05')").await;
    database.run("insert into own.february values (3, '2026-02-06')").await;
    // The row moves to another partition; its event stays the same one.
    database.run("update own.sale set day = '2026-02-07' where id = 1").await;
    let ids = database.column("select event_id from capi.outbox order by 1").await;
    assert_eq!(ids, ["sale-1", "sale-2", "sale-3"]);
    assert_eq!(database.count("select count(*) from capi.event_key").await, 3);
}

#[tokio::test]
async fn children_by_inheritance_are_captured() {
    let database = Database::adopted().await;
    OWN.make(&database).await;
    database.run("create table own.child () inherits (own.sale)").await;
    database.run(&OWN.track()).await;
    database.run("insert into own.child values (4, 'x')").await;
    assert_eq!(captured_keys(&database).await, "4");
    // One that is made later has no triggers until the next tracking.
    database.run("create table own.late () inherits (own.sale)").await;
    database.run("insert into own.late values (5, 'x')").await;
    assert_eq!(captured_keys(&database).await, "4");
    database.run(&OWN.track()).await;
    database.run("update own.late set note = 'y'").await;
    assert_eq!(captured_keys(&database).await, "4 5");
}

#[tokio::test]
async fn the_same_id_from_another_row_is_an_error_on_record() {
    let own = Own { event_id: "'same'", ..OWN }.tracked().await;
    own.run("insert into own.sale values (1, '')").await;
    own.run("insert into own.sale values (2, '')").await;
    own.run("insert into own.sale values (3, ''), (4, '')").await;
    assert_eq!(captured_keys(&own).await, "1");
    let reason = "23505 event_id_of_another_row event_id open";
    let expected = ["2", "3", "4"].map(|key| format!("{key} {reason}"));
    assert_eq!(errors(&own).await, expected);
    assert_eq!(own.count("select count(*) from own.sale").await, 4, "the orders committed");
}

#[tokio::test]
async fn the_same_id_twice_in_one_statement_is_an_error_on_record() {
    let own = Own { event_id: "'same'", ..OWN }.tracked().await;
    own.run("insert into own.sale values (1, ''), (2, '')").await;
    assert_eq!(captured(&own).await, 1);
    assert_eq!(errors(&own).await.len(), 1);
}

#[tokio::test]
async fn two_sources_may_use_the_same_ids() {
    let own = OWN.tracked().await;
    own.run(
        "create table own.sale2 (id bigint primary key);
        create view own.conversion2 as
        select id, 'Purchase' as event_name, 'sale-' || id as event_id, now() as event_time,
            'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent
        from own.sale2;
        select capi.track('own.sale2', conversions => 'own.conversion2');
        insert into own.sale values (1, ''); insert into own.sale2 values (1)",
    )
    .await;
    assert_eq!(captured(&own).await, 2);
    assert_eq!(errors(&own).await, [""; 0]);
}

#[tokio::test]
async fn conditions_keep_other_changes_free() {
    let own = Own { options: ", only_if => 'new.note is not null', on_columns => '{note}'", ..OWN };
    let own = own.tracked().await;
    own.run("insert into own.sale values (1, null), (2, 'x')").await;
    assert_eq!(captured_keys(&own).await, "2");
    own.run("update own.sale set note = 'y' where id = 1").await;
    assert_eq!(captured_keys(&own).await, "1 2");
}

#[tokio::test]
async fn a_column_list_is_refused_where_a_trigger_may_change_other_columns() {
    let own = Own { options: ", on_columns => '{note}'", ..OWN };
    let database = Database::adopted().await;
    own.make(&database).await;
    database
        .run(
            "create function own.touch() returns trigger language plpgsql as 'begin return new; end';
            create trigger touch before update on own.sale for each row execute function own.touch()",
        )
        .await;
    let refusal = database.refused(&own.track()).await;
    assert!(refusal.message.contains("BEFORE UPDATE trigger"), "{refusal:?}");
    database.run("drop trigger touch on own.sale").await;
    database.run(&own.track()).await;
    // One that is made later is noticed, also of a child.
    for table in ["own.sale", "own.child"] {
        database
            .run(&format!(
                "create table if not exists own.child () inherits (own.sale);
                select capi.revalidate();
                create trigger touch before update on {table} for each row execute function own.touch()"
            ))
            .await;
        let stale = "select coalesce(stale_reason, '') from capi.sources";
        assert!(database.get(stale).await.starts_with("create trigger"), "{table}");
        let problem = database.get("select problem from capi.revalidate()").await;
        assert!(problem.contains(&format!("{table} has a BEFORE UPDATE trigger")), "{problem}");
        database.run(&format!("drop trigger touch on {table}; select capi.revalidate()")).await;
    }
    database.run("drop table own.child").await;
    // The key is in the list though nobody named it.
    database.run("insert into own.sale values (1, 'x')").await;
    database.run("update own.sale set id = 2").await;
    assert_eq!(captured_keys(&database).await, "1 2");
}

#[tokio::test]
async fn a_transaction_fires_once_whatever_it_changes() {
    let own = OWN.tracked().await;
    own.run("set track_functions = 'all'").await;
    own.run(
        "begin; insert into own.sale select generate_series(1, 5000); update own.sale set note = 'x';
        set constraints all immediate",
    )
    .await;
    let calls = "select calls from pg_stat_xact_user_functions where schemaname = 'capi' and funcname = '_capture'";
    assert_eq!(own.get(calls).await, "1");
    own.run("commit").await;
    // A subtransaction for each thousand rows, and not one for each row.
    let subtransactions = "select count(distinct xmin::text) from capi.outbox";
    assert_eq!(own.get(subtransactions).await, "5");
    own.run("delete from own.sale; truncate own.sale").await;
    assert_eq!(captured(&own).await, 5000, "neither adds an event nor takes one away");
}

/// What a row needs must go with its chunk: texts that stay until the commit are a kilobyte an order.
#[tokio::test]
async fn a_bulk_load_holds_the_memory_of_one_chunk() {
    const MORE: i64 = 8_000;
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    let capture_now = async |orders: i64| -> i64 {
        shop.run(&format!(
            "insert into shop.orders (customer_id, currency, checkout_url, total, status, paid_at)
            select {c}, 'EUR', 'https://shop.example.com/checkout/' || n, 7, 'paid', clock_timestamp()
            from generate_series(1, {orders}) n;
            set constraints all immediate; set constraints all deferred"
        ))
        .await;
        let used = "select sum(used_bytes) from pg_backend_memory_contexts";
        shop.get(used).await.parse().expect("a number")
    };
    shop.run("begin").await;
    // Plans, caches and a full chunk.
    let before = capture_now(1_500).await;
    let after = capture_now(MORE).await;
    assert_eq!(captured(&shop).await, 1_500 + MORE);
    shop.run("rollback").await;
    assert!(after - before < 32 * MORE, "{} bytes per order", (after - before) / MORE);
}

#[tokio::test]
async fn two_transactions_with_the_same_keys_in_opposite_order_both_commit() {
    let own = OWN.tracked().await;
    own.run("set session_replication_role = replica; insert into own.sale select generate_series(1, 40); reset session_replication_role").await;
    own.run("create table own.part (sale bigint, name text); insert into own.part select id, n from own.sale, unnest('{a,b}'::text[]) n").await;
    own.run("select capi.track('own.sale', conversions => 'own.conversion', also => '{\"own.part\": \"sale\"}')").await;
    let other = own.connect().await;
    let order = |name: &str, order: &str| {
        format!(
            "do $$ declare i bigint; begin
                for i in select generate_series(1, 40) x order by x {order} loop
                    update own.part set name = name where sale = i and name = '{name}';
                end loop;
            end $$"
        )
    };
    own.run("set capi.lock_timeout = '60s'").await;
    other.run("set capi.lock_timeout = '60s'").await;
    let (one, two) = (order("a", "asc"), order("b", "desc"));
    let (one, two) = tokio::join!(own.ask(&one), other.ask(&two));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    assert_eq!(captured(&own).await, 40);
    assert_eq!(errors(&own).await, [""; 0], "no deadlock either");
}

#[tokio::test]
async fn a_replaced_view_is_read_by_sessions_that_know_the_old_one() {
    let own = OWN.tracked().await;
    let warm = own.connect().await;
    warm.run("insert into own.sale values (1, '')").await;
    own.run(
        "create or replace view own.conversion as
        select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
            'website' as action_source, 6.00 as value, 'USD' as currency, true as consent,
            s.note as order_id
        from own.sale s",
    )
    .await;
    warm.run("insert into own.sale values (2, 'n-2')").await;
    let rows = own
        .column("select format('%s %s %s', value, currency, facts ->> 'order_id') from capi.outbox order by id")
        .await;
    assert_eq!(rows, ["5.00 EUR ", "6.00 USD n-2"]);
}

#[tokio::test]
async fn untracked_sources_are_left_alone_by_sessions_that_know_them() {
    let own = OWN.tracked().await;
    let warm = own.connect().await;
    warm.run("insert into own.sale values (1, '')").await;
    own.run("select capi.untrack('own.sale')").await;
    warm.run("insert into own.sale values (2, '')").await;
    assert_eq!(captured_keys(&own).await, "1");
    own.run(&OWN.track()).await;
    warm.run("update own.sale set note = 'x'").await;
    assert_eq!(captured_keys(&own).await, "1 2");
}

// ---------------------------------------------------------------------------------------------
// Consent, money, time
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_unanswered_question_of_consent_waits() {
    let shop = tracked_shop().await;
    let c = customer_with(&shop, "null").await;
    buy(&shop, c).await;
    assert_eq!(captured(&shop).await, 0);
    assert_eq!(errors(&shop).await, [""; 0]);
    shop.run("update shop.customers set marketing_consent = true").await;
    shop.run("update shop.orders set consent_noted_at = clock_timestamp()").await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(shop.get("select identity ? 'email' from capi.outbox").await, "t");
}

#[tokio::test]
async fn refused_consent_is_captured_without_the_person() {
    let shop = tracked_shop().await;
    let c = customer_with(&shop, "false").await;
    shop.run(&format!(
        "insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at, browser)
        values ({c}, 'EUR', 8, 'https://shop.example.com/c/77', 'paid', clock_timestamp(),
            '{{\"ip\": \"198.51.100.7\", \"user_agent\": \"Mozilla/5.0\", \"fbp\": \"fb.1.1700000000000.1234567890\"}}')"
    ))
    .await;
    let row =
        "select value, currency, refused, identity, dropped, facts - 'order_id' from capi.outbox";
    assert_eq!(shop.line(row).await, "8.00|EUR|{*}|{}|{}|{}");
}

#[tokio::test]
async fn a_purchase_without_currency_is_on_record_until_it_is_mended() {
    let own = Own { columns: ", note text, currency text", ..OWN };
    let database = Database::adopted().await;
    own.make(&database).await;
    database
        .run(
            "create or replace view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, 5.00 as value, s.currency, true as consent
            from own.sale s",
        )
        .await;
    database.run(&own.track()).await;
    database.run("insert into own.sale values (1, '', null)").await;
    assert_eq!(database.count("select count(*) from own.sale").await, 1, "the order committed");
    assert_eq!(errors(&database).await, ["1 22023 missing currency open"]);
    database.run("update own.sale set note = 'still none'").await;
    assert_eq!(database.count("select times from capi.capture_error").await, 2);
    assert_eq!(captured(&database).await, 0);
    assert_eq!(database.count("select count(*) from capi.event_key").await, 0, "the id is unused");
    database.run("update own.sale set currency = 'JPY'").await;
    assert_eq!(captured_keys(&database).await, "1");
    assert_eq!(errors(&database).await, ["1 22023 missing currency resolved"]);
}

#[tokio::test]
async fn a_little_future_is_clamped_and_more_is_an_error() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    let order = |ahead: &str| {
        paid_order(c, "1", "EUR")
            .replace("clock_timestamp()", &format!("now() + interval '{ahead}'"))
    };
    shop.run(&order("5 minutes")).await;
    assert_eq!(shop.get("select event_time <= captured_at from capi.outbox").await, "t");
    shop.run(&order("1 hour")).await;
    assert_eq!(captured(&shop).await, 1);
    let seen = errors(&shop).await;
    assert_eq!(seen.len(), 1);
    assert!(seen[0].ends_with(" 22023 in_the_future event_time open"), "{seen:?}");
}

// ---------------------------------------------------------------------------------------------
// The order commits
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn one_bad_row_of_fifty_costs_one_event() {
    let own = Own { columns: ", divisor integer, note text", value: "100.0 / s.divisor", ..OWN };
    let own = own.tracked().await;
    own.run("insert into own.sale select n, case when n = 31 then 0 else 1 end from generate_series(1, 50) n")
        .await;
    assert_eq!(own.count("select count(*) from own.sale").await, 50);
    assert_eq!(captured(&own).await, 49);
    assert_eq!(errors(&own).await, ["31 22012 division_by_zero - open"]);
    assert_eq!(own.count(FAILURES).await, 1);
    own.run("update own.sale set divisor = 4 where divisor = 0").await;
    assert_eq!(captured(&own).await, 50);
    assert_eq!(errors(&own).await, ["31 22012 division_by_zero - resolved"]);
}

#[tokio::test]
async fn an_error_that_quotes_a_value_leaves_it_nowhere() {
    let secret = "qxgeheim.person@example.com";
    let own = Own { value: "s.note::numeric", ..OWN }.tracked().await;
    // Nothing of the kind is in the log before, and psql's own statement is not logged.
    own.run(&format!("insert into own.sale values (1, '3.50'), (2, '{secret}')")).await;
    assert_eq!(captured_keys(&own).await, "1");
    assert_eq!(errors(&own).await, ["2 22P02 invalid_text_representation - open"]);
    assert_eq!(relations_with(&own, &[secret.to_owned()]).await, [""; 0]);
    assert!(!own.cluster().log().contains(secret), "the server's log quotes the value");
}

#[tokio::test]
async fn every_kind_of_failure_lets_the_order_commit() {
    for (breakage, sqlstate) in [
        ("alter table own.sale drop column note cascade", ""),
        ("drop view own.conversion", ""),
        ("alter view own.conversion rename column event_id to event_ref", "22023"),
        ("alter table capi.outbox add constraint broken check (value < 0) not valid", "23514"),
        ("drop table capi.outbox cascade", ""),
        (
            "alter schema own rename to other; create schema own; create table own.sale (id int, note text)",
            "",
        ),
        ("alter table capi.event_key rename to gone", "42P01"),
    ] {
        let own = OWN.tracked().await;
        let warm = own.connect().await;
        warm.run("insert into own.sale values (1)").await;
        own.run(breakage).await;
        for session in [&warm, &own.connect().await] {
            session.run("insert into own.sale (id) select count(*) + 10 from own.sale").await;
        }
        assert!(own.count("select count(*) from own.sale").await >= 2, "{breakage}");
        if !sqlstate.is_empty() {
            let seen = errors(&own).await;
            assert_eq!(seen.len(), 2, "{breakage}: {seen:?}");
            assert!(seen.iter().all(|e| e.contains(sqlstate)), "{breakage}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_view_that_is_gone_is_noticed() {
    let own = OWN.tracked().await;
    let warm = own.connect().await;
    warm.run("insert into own.sale values (1)").await;
    own.run("drop view own.conversion").await;
    warm.run("insert into own.sale values (2)").await;
    own.connect().await.run("insert into own.sale values (3)").await;
    let keys = own.column("select key from capi.capture_error order by key").await;
    assert_eq!(keys, ["2", "3"], "conversions that nobody will ever hear of");
}

#[tokio::test]
async fn a_failure_that_cannot_be_recorded_is_counted_and_logged() {
    let own = Own { value: "1 / 0", ..OWN };
    let database = Database::adopted().await;
    own.make(&database).await;
    // Tracked while the view was sound.
    database
        .run(
            "create or replace view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, 5 / (s.id % 2)::integer as value, 'EUR' as currency,
                true as consent
            from own.sale s",
        )
        .await;
    database.run(&own.track()).await;
    database
        .run("alter table capi.capture_error add constraint no_room check (false) not valid")
        .await;
    database.run("insert into own.sale select generate_series(7000001, 7000004)").await;
    assert_eq!(database.count("select count(*) from own.sale").await, 4);
    assert_eq!(captured_keys(&database).await, "7000001 7000003");
    assert_eq!(database.count(FAILURES).await, 2);
    let log = database.cluster().log();
    for key in ["7000002", "7000004"] {
        assert!(log.contains(&format!("key {key}: capture failed with SQLSTATE 22012")), "{key}");
    }
}

#[tokio::test]
async fn a_cancelled_statement_is_not_swallowed() {
    let own = Own { value: "case when s.note = 'slow' then own.slow() else 5 end", ..OWN };
    let database = Database::adopted().await;
    database
        .run(
            "create schema own; create function own.slow() returns numeric language plpgsql
            set search_path = pg_catalog as 'begin perform pg_sleep(60); return 5; end'",
        )
        .await;
    database.run("alter schema own rename to slow").await;
    own_with_schema(&own, &database).await;
    let session = database.connect().await;
    let pid = session.pid().await;
    let sleeping =
        tokio::spawn(async move { session.ask("insert into own.sale values (1, 'slow')").await });
    eventually("the view sleeps", 10, async || {
        let event = format!("select wait_event from pg_stat_activity where pid = {pid}");
        let seen = database.get(&event).await;
        if seen == "PgSleep" { Ok(()) } else { Err(seen) }
    })
    .await;
    database.run(&format!("select pg_cancel_backend({pid})")).await;
    let refusal = sleeping.await.expect("no panic").expect_err("the order was cancelled");
    assert_eq!(refusal.code, "57014");
    assert_eq!(database.count("select count(*) from own.sale").await, 0);
}

/// Makes and tracks a source whose view calls `slow.slow()`.
async fn own_with_schema(own: &Own, database: &Database) {
    let value = own.value.replace("own.slow", "slow.slow");
    Own { value: Box::leak(value.into_boxed_str()), ..*own }.make(database).await;
    database.run(&own.track()).await;
}

#[tokio::test]
async fn capture_can_be_switched_off_by_superusers_only() {
    let own = OWN.tracked().await;
    own.run("grant usage on schema own to app; grant insert on own.sale to app").await;
    let app = own.connect_as("app").await;
    // Before the library is loaded the setting is a mere placeholder.
    let early = app.ask("set capi.capture = off").await;
    app.run("insert into own.sale values (1)").await;
    assert_eq!(captured_keys(&own).await, "1", "{early:?}");
    assert_eq!(app.refused("set capi.capture = off").await.code, "42501");

    own.run("set capi.capture = off; insert into own.sale values (2); reset capi.capture").await;
    own.run(&format!("alter database {} set capi.capture = off", own.name())).await;
    own.connect_as("app").await.run("insert into own.sale values (3)").await;
    assert_eq!(captured_keys(&own).await, "1");
    own.run(&format!("alter database {} reset capi.capture", own.name())).await;
    own.connect().await.run("update own.sale set note = 'again'").await;
    assert_eq!(captured_keys(&own).await, "1 2 3");
}

#[tokio::test]
async fn on_error_abort_refuses_the_order() {
    let own = Own { value: "s.note::numeric", options: ", on_error => 'abort'", ..OWN };
    let own = own.tracked().await;
    own.run("insert into own.sale values (1, '2.50')").await;
    let by_rule = own.refused("insert into own.sale values (2, null)").await;
    assert_eq!(by_rule.message, "conversion cannot be captured: value: missing");
    assert!(by_rule.hint.contains("on_error"), "{by_rule:?}");
    let by_view = own.refused("insert into own.sale values (3, 'x')").await;
    assert_eq!(by_view.code, "22P02");
    assert_eq!(by_view.message, "conversion cannot be captured: invalid_text_representation");
    assert_eq!(own.column("select id from own.sale").await, ["1"]);
    assert_eq!(captured_keys(&own).await, "1");
    assert_eq!(errors(&own).await, [""; 0]);
}

#[tokio::test]
async fn a_serialisation_failure_reaches_a_serializable_order() {
    let own = Own { value: "public.busy(s.note)", ..OWN };
    let database = Database::adopted().await;
    database
        .run(
            "create function public.busy(note text) returns numeric language plpgsql set search_path = '' as $$
            begin
                if note = 'busy' then raise exception 'could not serialize' using errcode = '40001'; end if;
                return 5;
            end $$",
        )
        .await;
    own.make(&database).await;
    database.run(&own.track()).await;
    let order =
        "begin isolation level serializable; insert into own.sale values (1, 'busy'); commit";
    assert_eq!(database.refused(order).await.code, "40001");
    database.run("rollback").await;
    assert_eq!(database.count("select count(*) from own.sale").await, 0);
}

// ---------------------------------------------------------------------------------------------
// Statements of every kind, and what they lock
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn merges_and_upserts_are_captured() {
    let own = Own { options: ", on_columns => '{note}'", ..OWN }.tracked().await;
    let merge = "merge into own.sale s using (values (1, 'a'), (2, 'b')) v (id, note) on s.id = v.id
        when matched then update set note = v.note when not matched then insert values (v.id, v.note)";
    own.run(merge).await;
    own.run(merge).await;
    let upsert = "insert into own.sale values (2, 'x'), (3, 'y') on conflict (id) do update set note = excluded.note";
    own.run(upsert).await;
    assert_eq!(captured_keys(&own).await, "1 2 3");
    // The update of a merge and of an upsert, where the row was not captured before.
    for (id, statement) in
        [(4, merge.replace("(1, 'a')", "(4, 'a')")), (5, upsert.replace("(2,", "(5,"))]
    {
        own.run(&format!(
            "set capi.capture = off; insert into own.sale values ({id}, ''); reset capi.capture; {statement}"
        ))
        .await;
    }
    assert_eq!(captured_keys(&own).await, "1 2 3 4 5");
    assert_eq!(errors(&own).await, [""; 0]);
}

#[tokio::test]
async fn a_table_that_changed_cannot_be_altered_before_its_capture() {
    let own = OWN.tracked().await;
    for (id, statement) in
        [(1, "alter table own.sale add column more text"), (2, "truncate own.sale")]
    {
        let insert = format!("insert into own.sale values ({id})");
        let refusal = own.refused(&format!("begin; {insert}; {statement}")).await;
        assert!(refusal.message.contains("pending trigger events"), "{refusal:?}");
        own.run("rollback").await;
        own.run(&format!("begin; {insert}; set constraints all immediate; {statement}; commit"))
            .await;
    }
    // The second row was truncated in its own transaction: it never was, and its event is taken back.
    assert_eq!(captured_keys(&own).await, "1");
}

#[tokio::test]
async fn a_row_that_is_gone_keeps_its_event_and_one_that_never_was_has_none() {
    let own = OWN.tracked().await;
    own.run("insert into own.sale values (1), (2)").await;
    own.run("delete from own.sale where id = 1; truncate own.sale").await;
    own.run("begin; insert into own.sale values (3); delete from own.sale; commit").await;
    assert_eq!(captured_keys(&own).await, "1 2");
    assert_eq!(errors(&own).await, [""; 0]);
}

#[tokio::test]
async fn what_a_deferred_trigger_of_the_application_writes_is_in_the_event() {
    let own = Own { value: "coalesce(s.note::numeric, 5)", ..OWN }.tracked().await;
    own.run(
        "create function own.late() returns trigger language plpgsql as $$
        begin update own.sale set note = '7' where id = new.id; return null; end $$",
    )
    .await;
    // Triggers fire in the order of their names: before ours, and after it.
    for (name, id) in [("a", 1), ("z", 2)] {
        own.run(&format!(
            "create constraint trigger {name} after insert on own.sale deferrable initially deferred
                for each row execute function own.late()"
        ))
        .await;
        own.run(&format!("insert into own.sale values ({id})")).await;
        own.run(&format!("drop trigger {name} on own.sale")).await;
    }
    assert_eq!(own.column("select value from capi.outbox order by id").await, ["7", "7"]);
}

#[tokio::test]
async fn a_key_that_changes_makes_another_event_or_an_error() {
    let own = OWN.tracked().await;
    own.run("insert into own.sale values (1)").await;
    own.run("update own.sale set id = 2").await;
    assert_eq!(
        own.column("select event_id from capi.outbox order by id").await,
        ["sale-1", "sale-2"]
    );
    let own = Own { event_id: "s.note", ..OWN }.tracked().await;
    own.run("insert into own.sale values (1, 'its-id')").await;
    own.run("update own.sale set id = 2").await;
    assert_eq!(captured_keys(&own).await, "1");
    assert_eq!(errors(&own).await, ["2 23505 event_id_of_another_row event_id open"]);
}

#[tokio::test]
async fn what_was_captured_is_not_written_again() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let written = "select string_agg(t::text, ' ') from (
        select xmin, xmax, ctid from capi.outbox union all select xmin, xmax, ctid from capi.event_key
        union all select xmin, xmax, ctid from capi.capture_error) t";
    let before = shop.get(written).await;
    shop.run("update shop.orders set shipped_at = clock_timestamp(), status = 'shipped'").await;
    assert_eq!(shop.get(written).await, before);
}

/// Locks of this session on tables of a schema, each as `table mode`.
async fn locks(session: &Session, schema: &str) -> Vec<String> {
    session
        .column(&format!(
            "select distinct c.relname || ' ' || l.mode from pg_locks l
            join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
            where l.pid = pg_backend_pid() and l.database = (select oid from pg_database where datname = current_database())
                and n.nspname = '{schema}' and c.relkind in ('r', 'p', 'v') order by 1"
        ))
        .await
}

#[tokio::test]
async fn a_capture_holds_the_locks_of_a_reader_and_a_writer() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let order = paid_order(c, "3", "EUR");
    shop.run(&format!("begin; {order}")).await;
    assert_eq!(locks(&shop, "capi").await, [""; 0], "nothing before the commit");
    shop.run("set constraints all immediate").await;
    let held = [locks(&shop, "shop").await, locks(&shop, "capi").await].concat();
    let weak = ["AccessShareLock", "RowShareLock", "RowExclusiveLock"];
    assert!(held.iter().all(|lock| weak.iter().any(|mode| lock.ends_with(mode))), "{held:?}");
    for lock in
        ["orders RowExclusiveLock", "purchases AccessShareLock", "event_key RowExclusiveLock"]
    {
        assert!(held.iter().any(|held| held == lock), "{lock}: {held:?}");
    }
    shop.run("commit").await;
}

#[tokio::test]
async fn tracking_keeps_writers_out_and_readers_only_where_a_trigger_changes() {
    let shop = tracked_shop().await;
    let track = |options: &str| {
        format!(
            "begin; select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{{meta-eu}}'{options})"
        )
    };
    let of_orders = async || {
        let held = locks(&shop, "shop").await;
        shop.run("rollback").await;
        held.into_iter().filter(|lock| lock.starts_with("orders ")).collect::<Vec<_>>()
    };
    // Again with the same options: the triggers stay.
    shop.run(&track("")).await;
    assert_eq!(of_orders().await, ["orders AccessShareLock"]);
    shop.run(&track(", only_if => 'new.paid_at is not null'")).await;
    assert!(of_orders().await.contains(&"orders AccessExclusiveLock".to_owned()));
    shop.run("begin; select capi.untrack('shop.orders')").await;
    assert_eq!(of_orders().await, [""; 0]);
    // For the first time.
    shop.run(
        "drop trigger capi_1_insert on shop.orders; drop trigger capi_1_update on shop.orders",
    )
    .await;
    shop.run(&track("")).await;
    let first = of_orders().await;
    assert!(first.contains(&"orders ShareRowExclusiveLock".to_owned()), "{first:?}");
    assert!(!first.contains(&"orders AccessExclusiveLock".to_owned()), "{first:?}");
}

#[tokio::test]
async fn a_disabled_trigger_is_made_up_for_by_the_sweep() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    shop.run("alter table shop.orders disable trigger user").await;
    let order = buy(&shop, c).await;
    assert_eq!(captured(&shop).await, 0);
    shop.run("alter table shop.orders enable trigger user; select capi.sweep('shop.orders')").await;
    assert_eq!(captured_keys(&shop).await, order.to_string());
}

#[tokio::test]
async fn a_trigger_that_is_replaced_after_a_change_loses_no_capture() {
    let own = Own { columns: ", note text, at timestamptz default clock_timestamp()", ..OWN };
    let own = own.tracked().await;
    let track = own.get("select capi.track('own.sale', conversions => 'own.conversion')").await;
    assert!(track.contains("source 1"), "{track}");
    own.run(
        "begin; insert into own.sale values (1, 'x');
        select capi.track('own.sale', conversions => 'own.conversion', only_if => 'new.note is not null'); commit",
    )
    .await;
    // Postgres forgets the trigger's event, but what was noted is drained before the commit.
    assert_eq!(captured_keys(&own).await, "1");
}

#[tokio::test]
async fn a_subscriber_does_not_capture_what_is_replicated() {
    static CLUSTER: std::sync::OnceLock<Cluster> = std::sync::OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Cluster::start("fsync = off\nwal_level = logical"));
    let (publisher, subscriber) = (Database::on(cluster).await, Database::on(cluster).await);
    for database in [&publisher, &subscriber] {
        OWN.make(database).await;
        database.run(&OWN.track()).await;
    }
    publisher.run("create publication sales for table own.sale").await;
    publisher.run("select pg_create_logical_replication_slot('sales', 'pgoutput')").await;
    let from = publisher.url("postgres");
    subscriber
        .run(&format!(
            "create subscription sales connection '{from}' publication sales with (create_slot = false, copy_data = false)"
        ))
        .await;
    publisher.run("insert into own.sale values (1)").await;
    eventually("the row is replicated", 30, async || {
        match subscriber.count("select count(*) from own.sale").await {
            1 => Ok(()),
            n => Err(n.to_string()),
        }
    })
    .await;
    assert_eq!((captured(&publisher).await, captured(&subscriber).await), (1, 0));
    // What a session changes there is captured, and the sweep takes the replicated row as missed.
    subscriber.run("insert into own.sale values (2)").await;
    assert_eq!(captured_keys(&subscriber).await, "2");
    subscriber.run("select capi.sweep()").await;
    assert_eq!(captured_keys(&subscriber).await, "1 2");
    subscriber.run("alter subscription sales disable; alter subscription sales set (slot_name = none); drop subscription sales").await;
}

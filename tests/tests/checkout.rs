//! The checkout wins: what goes wrong in capture is on record, costs little time, and shows no value.

use std::time::{Duration, Instant};

use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::shop::{captured, captured_keys, errors};

/// `own.sale` through `own.conversion`, whose column `predicted_ltv` is the given expression.
async fn tracked(expression: &str) -> Database {
    let database = Database::adopted().await;
    database
        .run(&format!(
            "create schema own;
            create table own.sale (id bigint primary key, note text);
            create table own.rate (id int primary key, rate numeric);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent,
                {expression} as predicted_ltv
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion')"
        ))
        .await;
    database
}

const RAISES: &str =
    "create function public.raises(note text) returns numeric language plpgsql stable
    set search_path = pg_catalog as $$
    begin
        if note = 'bad' then
            raise exception 'could not serialize %', note using errcode = '40001';
        end if;
        return 1;
    end $$";

#[tokio::test]
async fn a_serialisation_failure_that_is_no_repeat_is_on_record() {
    for isolation in ["read committed", "repeatable read"] {
        let database = Database::adopted().await;
        database.run(RAISES).await;
        database
            .run(
                "create schema own;
                create table own.sale (id bigint primary key, note text);
                create view own.conversion as
                select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id,
                    now() as event_time, 'website' as action_source, 5.00 as value,
                    'EUR' as currency, true as consent, public.raises(s.note) as predicted_ltv
                from own.sale s;
                select capi.track('own.sale', conversions => 'own.conversion')",
            )
            .await;
        database
            .run(&format!(
                "begin isolation level {isolation};
                insert into own.sale values (1, 'good'), (2, 'bad'); commit"
            ))
            .await;
        assert_eq!(captured_keys(&database).await, "1", "{isolation}");
        let seen = database.column("select key || ' ' || sqlstate from capi.capture_error").await;
        assert_eq!(seen, ["2 40001"], "{isolation}");
    }
}

#[tokio::test]
async fn a_locked_table_under_the_view_costs_one_lock_timeout() {
    let database = tracked("(select r.rate from own.rate r where r.id = 1)").await;
    let holder = database.connect().await;
    holder.run("begin; lock table own.rate in access exclusive mode").await;
    let started = Instant::now();
    database.run("insert into own.sale select n, 'x' from generate_series(1, 200) n").await;
    // Halving down to each key would take 40 seconds; a fifth of that is generous to slow machines.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    holder.run("rollback").await;
    assert_eq!(captured(&database).await, 0);
    let seen = database
        .column("select distinct sqlstate || ' ' || reason || ' ' || count(*) over () from capi.capture_error")
        .await;
    assert_eq!(seen, ["55P03 lock_not_available 200"]);
    // Touched again, all is well and the errors are settled.
    database.run("update own.sale set note = 'y'").await;
    assert_eq!(captured(&database).await, 200);
    let open = "select count(*) from capi.capture_error where resolved_at is null";
    assert_eq!(database.count(open).await, 0);
}

/// Longer than any test waits: a row that takes it is interrupted or the test fails.
const SLOW: &str = "case when s.note = 'slow' then (select 1 from pg_sleep(300)) end";

#[tokio::test]
async fn a_spent_time_budget_interrupts_the_view_and_records_the_rest_unread() {
    let database = tracked(SLOW).await;
    database.run("insert into own.sale values (0, 'quick'); set capi.time_budget = '200ms'").await;
    let started = Instant::now();
    database
        .run(
            "begin; insert into own.sale values (1, 'slow');
            insert into own.sale select n, 'x' from generate_series(1001, 2001) n; commit",
        )
        .await;
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert_eq!(database.count("select count(*) from own.sale").await, 1003);
    assert_eq!(captured(&database).await, 1);
    let seen = database
        .column("select distinct sqlstate || ' ' || reason || ' ' || count(*) over () from capi.capture_error")
        .await;
    assert_eq!(seen, ["57014 time_budget 1002"]);
    // The session is as it was: no interrupt is left over, and the next capture goes well.
    database.run("select pg_sleep(0.3); update own.sale set note = 'quick' where id = 1").await;
    assert_eq!(captured(&database).await, 2);
}

#[tokio::test]
async fn a_spent_time_budget_refuses_the_order_where_errors_abort() {
    let database = tracked(SLOW).await;
    database
        .run(
            "select capi.track('own.sale', conversions => 'own.conversion', on_error => 'abort');
            set capi.time_budget = '200ms'",
        )
        .await;
    let refusal = database.refused("insert into own.sale values (1, 'slow')").await;
    assert_eq!(refusal.message, "conversion cannot be captured: row: time_budget");
    assert_eq!(database.count("select count(*) from own.sale").await, 0);
    assert_eq!(captured(&database).await, 0);
}

#[tokio::test]
async fn a_user_who_cancels_a_slow_capture_cancels_the_order() {
    let database = tracked(SLOW).await;
    let pid = database.pid().await;
    let other = database.connect().await;
    let cancel = async {
        let asleep = format!(
            "select count(*) from pg_stat_activity where pid = {pid} and wait_event = 'PgSleep'"
        );
        eventually("the view is being read", 20, async || match other.count(&asleep).await {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        })
        .await;
        other.run(&format!("select pg_cancel_backend({pid})")).await;
    };
    // The default budget of a second would interrupt it too, with another outcome.
    database.run("set capi.time_budget = '250s'").await;
    let insert = database.refused("insert into own.sale values (1, 'slow')");
    let (refusal, ()) = tokio::join!(insert, cancel);
    assert_eq!(refusal.code, "57014");
    assert_eq!(database.count("select count(*) from own.sale").await, 0);
}

#[tokio::test]
async fn an_error_of_a_key_of_two_columns_is_settled_too() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (shop text, number int, amount text, primary key (shop, number));
            create view own.conversion as
            select s.shop, s.number, 'Purchase' as event_name,
                s.shop || '-' || s.number as event_id, now() as event_time,
                'website' as action_source, s.amount::numeric as value, 'EUR' as currency,
                true as consent
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion');
            insert into own.sale values ('caf\u{e9} \"north\"', 7, 'x')",
        )
        .await;
    let open = "select count(*) from capi.capture_error where resolved_at is null";
    assert_eq!(database.count(open).await, 1);
    database.run("update own.sale set amount = '5'").await;
    assert_eq!(database.count(open).await, 0);
    let same = "select count(*) from capi.capture_error e join capi.outbox o using (source, key)";
    assert_eq!(database.count(same).await, 1);
}

#[tokio::test]
async fn one_locked_record_does_not_lose_the_others() {
    let database = tracked("1 / (length(s.note) - 1)").await;
    database.run("insert into own.sale values (7, 'x')").await;
    let holder = database.connect().await;
    holder.run("begin; update capi.capture_error set times = times").await;
    database.run("insert into own.sale values (1, 'x'), (2, 'x'), (3, 'good'); update own.sale set note = note").await;
    holder.run("rollback").await;
    assert_eq!(captured_keys(&database).await, "3");
    let keys = database.column("select key from capi.capture_error order by 1").await;
    assert_eq!(keys, ["1", "2", "7"]);
}

#[tokio::test]
async fn a_key_whose_type_is_a_domain_is_captured() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create domain own.number as bigint; create domain own.even as own.number;
            create table own.sale (id own.even primary key);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion');
            insert into own.sale values (42)",
        )
        .await;
    assert_eq!(errors(&database).await, [""; 0]);
    assert_eq!(captured_keys(&database).await, "42");
}

#[tokio::test]
async fn a_repeat_among_new_rows_rewrites_nothing() {
    let database = tracked("1").await;
    database.run("insert into own.sale values (1, 'x')").await;
    database
        .run(
            "begin; update own.sale set note = 'y';
            insert into own.sale select n, 'x' from generate_series(2, 300) n; commit",
        )
        .await;
    assert_eq!(captured(&database).await, 300);
    let updated = "select coalesce(sum(n_tup_upd), 0) from pg_stat_xact_user_tables
        where schemaname = 'capi' and relname like 'outbox%'";
    database.run("begin; update own.sale set note = 'z'; insert into own.sale values (301, 'x'); set constraints all immediate").await;
    assert_eq!(database.count(updated).await, 0);
    database.run("commit").await;
}

#[tokio::test]
async fn only_a_tables_owner_decides_over_its_tracking() {
    let database = tracked("1").await;
    database
        .run(
            "create role meddler login in role capi_admin;
            grant usage on schema own to meddler; grant select on own.conversion to meddler",
        )
        .await;
    let meddler = database.connect_as("meddler").await;
    for call in [
        "select capi.track('own.sale', conversions => 'own.conversion', consent => 'not_required')",
        "select capi._source_save('own.sale', 'own.conversion', '{}', '{\"consent\": \"not_required\"}')",
        "select capi.untrack('own.sale')",
    ] {
        assert_eq!(meddler.refused(call).await.code, "42501", "{call}");
    }
    database.run("drop owned by meddler; drop role meddler").await;
}

#[tokio::test]
async fn a_locked_error_table_costs_a_bulk_load_no_more_than_its_budget() {
    let database = tracked("1 / (length(s.note) - 1)").await;
    let holder = database.connect().await;
    holder.run("begin; lock table capi.capture_error in access exclusive mode").await;
    let started = Instant::now();
    database.run("insert into own.sale select n, 'x' from generate_series(1, 1000) n").await;
    // A try per key would take 100 seconds and more.
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    holder.run("rollback").await;
    assert_eq!(database.count("select count(*) from own.sale").await, 1000);
    let log = database.cluster().log();
    assert!(log.contains("failed captures could not be put on record in time"), "silent");
    // The sweep finds what no record tells of.
    database.run("set session_replication_role = replica; update own.sale set note = 'good'; reset session_replication_role").await;
    database.run("select capi.sweep()").await;
    assert_eq!(captured(&database).await, 1000);
}

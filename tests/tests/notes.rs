//! Noting a key is open to everybody who writes orders, and harmless by itself: what no trigger of the
//! source accounts for is never captured.

use std::time::{Duration, Instant};

use capi_tests::database::Database;
use capi_tests::shop::{captured_keys, errors};

/// `own.sale` with three sales from before the tracking.
async fn tracked(key: &str, view: &str) -> Database {
    let database = Database::adopted().await;
    database
        .run(&format!(
            "create schema own;
            create table own.sale (id {key} primary key, note text);
            insert into own.sale values ('1'), ('2'), ('3');
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || left(s.id::text, 50) as event_id, now() as event_time,
                'website' as action_source, {view} as value, 'EUR' as currency, true as consent
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion');
            grant usage on schema capi to nobody;
            create schema theirs authorization nobody"
        ))
        .await;
    database
}

#[tokio::test]
async fn what_no_trigger_accounts_for_is_never_captured() {
    let own = tracked("bigint", "5.00").await;
    let nobody = own.connect_as("nobody").await;
    nobody.run("select count(capi._note(1, g::bigint)) from generate_series(1, 3) g").await;
    nobody
        .run("begin; select capi._note(1, 1::bigint); set constraints all immediate; select capi._note(1, 2::bigint); commit")
        .await;
    nobody
        .run("select count(capi._note(g, array[repeat('x', 5000)])) from generate_series(1, 50) g")
        .await;
    assert_eq!(captured_keys(&own).await, "");
    // A trigger on a table of the caller's own, with the very function.
    own.run("grant execute on function capi._capture() to public").await;
    nobody
        .run(
            "create table theirs.bait (id bigint);
            create constraint trigger capi_1_insert after insert on theirs.bait deferrable initially deferred
                for each row when (capi._note(1, new.id)) execute function capi._capture('1');
            insert into theirs.bait values (1), (2);
            begin; insert into theirs.bait values (3); drop trigger capi_1_insert on theirs.bait; commit",
        )
        .await;
    assert_eq!(captured_keys(&own).await, "");
    assert_eq!(errors(&own).await, [""; 0]);
    // The next transaction of the same session has nothing of it.
    own.run("grant usage on schema own to nobody; grant insert on own.sale to nobody").await;
    nobody.run("insert into own.sale values (4)").await;
    assert_eq!(captured_keys(&own).await, "4");
}

#[tokio::test]
async fn partitions_children_and_joined_tables_account_for_their_source() {
    let own = tracked("bigint", "5.00").await;
    own.run(
        "create table own.payment (sale bigint);
        create table own.child () inherits (own.sale);
        select capi.track('own.sale', conversions => 'own.conversion', also => '{\"own.payment\": \"sale\"}');
        alter table own.payment rename to paid;
        insert into own.child values (10);
        insert into own.paid values (2)",
    )
    .await;
    assert_eq!(captured_keys(&own).await, "2 10");
    own.run(
        "create table own.big (id bigint primary key) partition by range (id);
        create table own.big_1 partition of own.big for values from (0) to (100);
        create view own.big_conversion as
        select b.id, 'Lead' as event_name, 'big-' || b.id as event_id, now() as event_time,
            'website' as action_source, true as consent from own.big b;
        select capi.track('own.big', conversions => 'own.big_conversion');
        create table own.big_2 partition of own.big for values from (100) to (200);
        insert into own.big values (20), (120); insert into own.big_2 values (121)",
    )
    .await;
    assert_eq!(captured_keys(&own).await, "2 10 20 120 121");
}

#[tokio::test]
async fn a_key_that_is_too_long_is_on_record_without_itself() {
    let own = tracked("text", "5.00").await;
    own.run("insert into own.sale values (repeat('k', 1001)), ('short'), (repeat('m', 1000))")
        .await;
    let short = own.column("select left(key, 5) from capi.outbox order by key").await;
    assert_eq!(short, ["mmmmm", "short"]);
    let found = errors(&own).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("1001 bytes, fingerprint "), "{found:?}");
    assert!(found[0].ends_with(" 22001 key_too_long - open"), "{found:?}");
}

#[tokio::test]
async fn a_view_that_catches_its_interruption_is_interrupted_again() {
    let setup = Database::adopted().await;
    setup
        .run(
            "create function public.stubborn(id bigint) returns numeric language plpgsql set search_path = '' as $$
            begin
                if id > 3 then
                    for n in 1 .. 100 loop
                        begin
                            perform pg_catalog.pg_sleep(0.3);
                        exception when query_canceled then
                        end;
                    end loop;
                end if;
                return 5;
            end $$;
            create schema own; create table own.sale (id bigint primary key);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, public.stubborn(s.id) as value, 'EUR' as currency, true as consent
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion');
            set capi.time_budget = '200ms'",
        )
        .await;
    let start = Instant::now();
    setup.run("insert into own.sale values (4)").await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?} of the 30 s that it wanted");
}

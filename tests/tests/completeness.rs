//! Nothing is lost between the view and the outbox: sweep, recapture, backfill.

use capi_tests::database::Database;
use capi_tests::shop::{captured, captured_keys, errors};

/// `own.sale` through `own.conversion`, tracked; `note` 'bad' makes the view fail for the row, and
/// a sale that is not `paid` is no conversion.
async fn tracked() -> Database {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (id bigint primary key, paid boolean default true, note text,
                at timestamptz default clock_timestamp(), consent boolean default true);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time,
                'website' as action_source, (5 / (case s.note when 'bad' then 0 else 1 end))::int as value,
                'EUR' as currency, s.consent
            from own.sale s where s.paid;
            select capi.track('own.sale', conversions => 'own.conversion')",
        )
        .await;
    database
}

/// Puts rows into the table that the triggers do not see, as a replica or a disabled trigger would.
async fn unseen(database: &Database, rows: &str) {
    database
        .run(&format!(
            "set session_replication_role = replica; insert into own.sale (id, note, at) {rows};
            reset session_replication_role"
        ))
        .await;
}

#[tokio::test]
async fn the_sweep_captures_what_the_triggers_missed() {
    let database = tracked().await;
    database.run("insert into own.sale (id) values (1)").await;
    unseen(&database, "select n, null, clock_timestamp() from generate_series(2, 12003) n").await;
    let sweep = "select * from capi.sweep('own.sale')";
    assert_eq!(database.line(sweep).await, "own.sale|12003|12002|12002|0|0|");
    assert_eq!(captured(&database).await, 12_003);
    assert_eq!(database.line(sweep).await, "own.sale|12003|0|0|0|0|", "the proof of completeness");
    let refusal = database.refused("select * from capi.sweep('own.conversion')").await;
    assert!(refusal.message.contains("is not tracked"), "{refusal:?}");
}

#[tokio::test]
async fn the_sweep_leaves_the_time_before_the_tracking_alone() {
    let database = tracked().await;
    unseen(&database, "values (1, null, now() - interval '1 hour')").await;
    assert_eq!(database.line("select * from capi.sweep()").await, "own.sale|0|0|0|0|0|");
    // Nor what happened while it was not tracked.
    database.run("select capi.untrack('own.sale')").await;
    unseen(&database, "values (2, null, clock_timestamp())").await;
    database.run("select capi.track('own.sale', conversions => 'own.conversion')").await;
    assert_eq!(database.line("select * from capi.sweep()").await, "own.sale|0|0|0|0|0|");
    assert_eq!(captured(&database).await, 0);
}

#[tokio::test]
async fn maintenance_sweeps_by_itself_and_writes_nothing_when_all_is_well() {
    let database = tracked().await;
    unseen(&database, "values (1, null, clock_timestamp()), (2, 'bad', clock_timestamp())").await;
    let maintain = "select capi.maintain() ->> 'more'";
    while database.get(maintain).await == "true" {}
    assert_eq!(captured_keys(&database).await, "1");
    assert_eq!(errors(&database).await, ["2 22012 division_by_zero - open"]);
    let day = "select missing || ' ' || captured || ' ' || failed || ' ' || (finished_at is not null) from capi.sweeps";
    assert_eq!(database.get(day).await, "2 1 1 true");
    // The one that fails rests; nothing is written until something is found.
    let state = "select pg_current_xact_id_if_assigned() is null from capi.maintain()";
    assert_eq!(database.get(state).await, "t");
    assert_eq!(database.get("select times from capi.capture_error").await, "1");
    unseen(&database, "values (3, null, clock_timestamp())").await;
    database.run("select capi.maintain()").await;
    assert_eq!(captured_keys(&database).await, "1 3");
}

#[tokio::test]
async fn a_copy_does_not_sweep() {
    let database = tracked().await;
    unseen(&database, "values (1, null, clock_timestamp())").await;
    let copy = database.clone_by_template().await;
    while copy.get("select capi.maintain() ->> 'more'").await == "true" {}
    assert_eq!(captured(&copy).await, 0);
}

#[tokio::test]
async fn capture_that_is_off_is_off_for_the_sweep() {
    let database = tracked().await;
    unseen(&database, "values (1, null, clock_timestamp())").await;
    database.run("set capi.capture = off").await;
    assert_eq!(database.line("select * from capi.sweep()").await, "own.sale|0|0|0|0|0|");
    database.run("set capi.capture = on").await;
    assert_eq!(database.line("select * from capi.sweep()").await, "own.sale|1|1|1|0|0|");
}

#[tokio::test]
async fn a_view_that_cannot_be_swept_says_so() {
    let database = tracked().await;
    database
        .run(
            "create function own.slow() returns text language sql set search_path = '' as $$ select pg_sleep(300)::text || 'secret' $$;
            create or replace view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id || own.slow() as event_id, s.at as event_time,
                'website' as action_source, 5 as value, 'EUR' as currency, s.consent
            from own.sale s where s.paid",
        )
        .await;
    unseen(&database, "values (1, null, clock_timestamp())").await;
    database.run("set capi.time_budget = '20ms'").await;
    while database.get("select capi.maintain() ->> 'more'").await == "true" {}
    let trouble = database.get("select trouble from capi.sweeps").await;
    assert!(trouble.contains("not read within the time limit"), "{trouble}");
    // An error of a row is named by its condition, never by its text.
    database
        .run(
            "create or replace view own.conversion as
            select s.id, 'Purchase' as event_name, ('sale-' || s.id || 'secret')::bigint::text as event_id, s.at as event_time,
                'website' as action_source, 5 as value, 'EUR' as currency, s.consent
            from own.sale s where s.paid",
        )
        .await;
    database.run("select capi.maintain()").await;
    let record = ["1 22P02 invalid_text_representation - open"];
    assert_eq!(errors(&database).await, record);
}

#[tokio::test]
async fn recapture_tries_again_and_closes_what_has_vanished() {
    let database = tracked().await;
    database.run("insert into own.sale (id, note) values (1, 'bad'), (2, 'bad'), (3, 'bad'), (4, 'good')").await;
    unseen(&database, "values (5, null, now())").await;
    database
        .run(
            "set session_replication_role = replica;
            update own.sale set note = 'good' where id = 1;
            update own.sale set paid = false where id = 2;
            reset session_replication_role",
        )
        .await;
    let recapture = "select * from capi.recapture('own.sale')";
    assert_eq!(database.line(recapture).await, "own.sale|1|0|1|1|");
    let records = database
        .column("select key || ' ' || coalesce(resolution, 'open') from capi.capture_error order by error")
        .await;
    assert_eq!(records, ["1 captured", "2 vanished", "3 open"]);
    assert_eq!(captured_keys(&database).await, "1 4");
    // By key, whether or not there is a record.
    let one = "select captured from capi.recapture('own.sale', keys => '{5}')";
    assert_eq!(database.get(one).await, "1");
    let refusal = database.refused("select capi.recapture('own.sale', keys => '{secret}')").await;
    assert_eq!((refusal.code.as_str(), refusal.message.contains("secret")), ("22023", false));
    assert!(
        database.refused("select capi.recapture(keys => '{1}')").await.hint.contains("shop.orders")
    );
}

#[tokio::test]
async fn an_error_that_somebody_else_has_mended_is_closed_by_the_sweep() {
    let database = tracked().await;
    database.run("insert into own.sale (id) values (1)").await;
    database
        .run("insert into capi.capture_error (source, key, sqlstate, reason) values (1, '1', '55P03', 'lock_not_available')")
        .await;
    database.run("select capi.sweep()").await;
    assert_eq!(errors(&database).await, ["1 55P03 lock_not_available - resolved"]);
}

#[tokio::test]
async fn composite_and_text_keys_are_swept_too() {
    for (key, columns, values) in [
        ("shop text, number int, primary key (shop, number)", "s.shop, s.number", "'a \"b\"', n"),
        ("code text primary key", "s.code", "'Ünï/' || n"),
        ("code uuid primary key", "s.code", "gen_random_uuid()"),
    ] {
        let database = Database::adopted().await;
        database
            .run(&format!(
                "create schema own;
                create table own.sale ({key}, at timestamptz default clock_timestamp());
                create view own.conversion as
                select {columns}, 'Lead' as event_name, md5(row({columns})::text) as event_id, s.at as event_time,
                    'other' as action_source, true as consent
                from own.sale s;
                select capi.track('own.sale', conversions => 'own.conversion');
                set session_replication_role = replica;
                insert into own.sale select {values} from generate_series(1, 5) n;
                reset session_replication_role"
            ))
            .await;
        assert_eq!(
            database.line("select * from capi.sweep()").await,
            "own.sale|5|5|5|0|0|",
            "{key}"
        );
        assert_eq!(
            database.line("select * from capi.sweep()").await,
            "own.sale|5|0|0|0|0|",
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_backfill_captures_the_past_in_chunks_and_only_once() {
    let database = tracked().await;
    unseen(&database, "select n, case n when 7 then 'bad' end, now() - n * interval '1 hour' from generate_series(1, 100) n").await;
    database.run("insert into own.sale (id, at) values (101, now() - interval '5 hours')").await;
    let backfill = |arguments: &str| {
        format!(
            "call capi.backfill('own.sale', since => now() - interval '50 hours 30 minutes'{arguments})"
        )
    };
    // Without a destination nothing would be sent.
    let refusal = database.refused(&backfill("")).await;
    assert!(refusal.hint.contains("only_sendable => false"), "{refusal:?}");
    database.run(&backfill(", only_sendable => false, page => 7")).await;
    assert_eq!(captured(&database).await, 1 + 49);
    let seen = "select scanned || ' ' || captured || ' ' || failed || ' ' || (finished_at is not null) from capi.backfills";
    assert_eq!(database.get(seen).await, "51 49 1 true");
    // Chunks are transactions of their own.
    assert!(database.count("select count(distinct xid) from capi.outbox").await >= 7);
    database.run(&backfill(", only_sendable => false")).await;
    assert_eq!(captured(&database).await, 50, "nothing twice");
}

#[tokio::test]
async fn a_backfill_that_was_cut_off_goes_on_where_it_stopped() {
    let database = tracked().await;
    unseen(
        &database,
        "select n, null, now() - n * interval '1 hour' from generate_series(1, 30) n",
    )
    .await;
    let since = database.get("select (now() - interval '40 hours')::text").await;
    let call = format!(
        "call capi.backfill('own.sale', since => '{since}', only_sendable => false, page => 5, pause => '100 s')"
    );
    let pid = database.pid().await;
    let other = database.connect().await;
    let cancel = async {
        let page = "select coalesce(max(captured), 0) from capi.backfills";
        capi_tests::patience::eventually("a page is committed", 20, async || {
            match other.count(page).await {
                5 => Ok(()),
                n => Err(n.to_string()),
            }
        })
        .await;
        other.run(&format!("select pg_cancel_backend({pid})")).await;
    };
    let (refusal, ()) = tokio::join!(database.refused(&call), cancel);
    assert_eq!(refusal.code, "57014");
    assert_eq!(captured(&database).await, 5);
    database.run(&call.replace("100 s", "0")).await;
    assert_eq!(captured(&database).await, 30);
    let backfills = "select count(*) || ' ' || sum(scanned) || ' ' || bool_and(finished_at is not null) from capi.backfills";
    assert_eq!(database.get(backfills).await, "1 30 true");
}

#[tokio::test]
async fn a_backfill_leaves_out_what_is_too_old_for_every_destination() {
    let database = tracked().await;
    database
        .run(
            "select capi.create_destination('meta-eu', platform => 'meta', settings => '{\"pixel_id\": \"1\"}', credential => 'META_TOKEN');
            select capi.track('own.sale', conversions => 'own.conversion', destinations => '{meta-eu}')",
        )
        .await;
    unseen(
        &database,
        "select n, null, now() - n * interval '10 days' from generate_series(1, 10) n",
    )
    .await;
    database.run("call capi.backfill('own.sale', since => now() - interval '200 days')").await;
    // Meta takes offline events for 62 days; which of these are none is judged when they are sent.
    assert_eq!(captured(&database).await, 6);
}

#[tokio::test]
async fn who_does_not_own_the_table_does_not_decide_about_its_past() {
    let database = tracked().await;
    database.run("create role filler login in role capi_admin").await;
    let filler = database.connect_as("filler").await;
    let call =
        "call capi.backfill('own.sale', since => now() - interval '1 day', only_sendable => false)";
    assert_eq!(filler.refused(call).await.code, "42501");
    // Sweep and recapture only complete what was decided already.
    filler.run("select * from capi.sweep()").await;
    filler.run("select * from capi.recapture()").await;
    let direct = filler
        .refused("select * from capi._sweep_page(1, now(), now(), null, null, 1, 1, true)")
        .await;
    assert_eq!(direct.code, "42501");
}

#[tokio::test]
async fn two_halves_of_a_condition_that_miss_each_other_are_found_by_the_sweep() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (id bigint primary key, at timestamptz default clock_timestamp(), approved boolean);
            create table own.payment (sale bigint);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time,
                'website' as action_source, 5 as value, 'EUR' as currency, true as consent
            from own.sale s where s.approved and exists (select from own.payment p where p.sale = s.id);
            select capi.track('own.sale', conversions => 'own.conversion', also => '{\"own.payment\": \"sale\"}');
            insert into own.sale values (1), (2)",
        )
        .await;
    let other = database.connect().await;
    // Each transaction captures without seeing what the other has not yet committed.
    database.run("begin; update own.sale set approved = true where id = 1").await;
    other.run("begin; insert into own.payment values (1); set constraints all immediate").await;
    database.run("commit").await;
    other.run("commit").await;
    // The commit looks again only if its own transaction went on.
    let found = captured_keys(&database).await;
    database.run("select capi.sweep()").await;
    assert_eq!(captured_keys(&database).await, "1", "before the sweep: {found:?}");
    // Under a snapshot of its own nobody sees the other half, whoever commits last.
    database.run("begin isolation level repeatable read; update own.sale set approved = true where id = 2").await;
    other.run("begin isolation level repeatable read; insert into own.payment values (2)").await;
    database.run("commit").await;
    other.run("commit").await;
    assert_eq!(captured_keys(&database).await, "1", "missed by both");
    assert_eq!(database.line("select missing, captured from capi.sweep()").await, "1|1");
    assert_eq!(captured_keys(&database).await, "1 2");
}

#[tokio::test]
async fn a_policy_that_comes_after_the_tracking_hides_nothing_in_silence() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own authorization shop_owner; set role shop_owner;
            create table own.sale (id bigint primary key, at timestamptz default clock_timestamp());
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time,
                'website' as action_source, 5 as value, 'EUR' as currency, true as consent
            from own.sale s;
            reset role;
            select capi.track('own.sale', conversions => 'own.conversion');
            alter table own.sale enable row level security; alter table own.sale force row level security;
            create policy only_apps on own.sale for select to app using (true)",
        )
        .await;
    database.run("insert into own.sale values (1)").await;
    assert_eq!(captured_keys(&database).await, "");
    assert_eq!(errors(&database).await, ["1 42501 insufficient_privilege - open"]);
    let trouble = database.get("select trouble from capi.sweep()").await;
    assert!(trouble.contains("cannot be read"), "{trouble}");
}

//! Corners of capture: two views of one row, keys that are days and times, a withdrawal that overtakes
//! a reading, a full lock table, a trigger that goes in the same transaction.

use std::sync::OnceLock;

use capi_tests::cluster::Cluster;
use capi_tests::database::Database;
use capi_tests::shop::{captured, captured_keys, errors};

/// A table with this key, tracked; `bad` makes the view fail for a row.
async fn tracked(database: &Database, key: &str) {
    database
        .run(&format!(
            "create schema own;
            create table own.sale ({key} primary key, bad boolean default false, consent boolean default true);
            create function own.gate() returns numeric language plpgsql as
                'begin perform pg_advisory_xact_lock_shared(77); return 5; end';
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id::text as event_id, now() as event_time,
                'website' as action_source, own.gate() / (1 - s.bad::int) as value, 'EUR' as currency, s.consent
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion')"
        ))
        .await;
}

#[tokio::test]
async fn a_row_of_two_views_with_one_event_id_is_on_record() {
    let database = Database::adopted().await;
    tracked(&database, "id bigint").await;
    database
        .run(
            "create view own.again as select * from own.conversion;
            select capi.track('own.sale', conversions => 'own.again');
            insert into own.sale values (1)",
        )
        .await;
    assert_eq!(captured(&database).await, 1, "one event per source, name and id");
    assert_eq!(errors(&database).await, ["1 23505 event_id_of_another_view event_id open"]);
    // Of a view that is not tracked any more the event is history, and no mistake.
    database
        .run("select capi.untrack('own.sale', 'own.conversion'); update own.sale set bad = false")
        .await;
    assert_eq!(errors(&database).await, ["1 23505 event_id_of_another_view event_id resolved"]);
}

#[tokio::test]
async fn failed_captures_of_days_and_times_are_found_again() {
    for (key, value) in [
        ("id timestamptz", "2026-03-29 01:30:00.25+02"),
        ("id timestamp", "2026-03-29 01:30:00"),
        ("id date", "2026-03-29"),
        ("id timestamptz", "infinity"),
    ] {
        let database = Database::adopted().await;
        tracked(&database, key).await;
        database.run("set timezone = 'Asia/Kathmandu'; set datestyle = 'German'").await;
        database.run(&format!("insert into own.sale values (timestamptz '{value}', true)")).await;
        assert_eq!(captured(&database).await, 0);
        database.run("update own.sale set bad = false").await;
        assert_eq!(captured(&database).await, 1, "{key}: {value}");
        let open = "select count(*) from capi.capture_error where resolved_at is null";
        assert_eq!(database.count(open).await, 0, "{key}: {value}: {:?}", errors(&database).await);
    }
}

#[tokio::test]
async fn a_reading_that_a_withdrawal_has_overtaken_gives_nothing_back() {
    for earlier in ["", "insert into own.sale values (2); select capi.withdraw('own.sale', '2');"] {
        let database = Database::adopted().await;
        tracked(&database, "id bigint").await;
        database.run(&format!("insert into own.sale values (1); {earlier}")).await;
        let reader = database.connect().await;
        reader.run("set capi.lock_timeout = '30s'; set capi.time_budget = '60s'").await;
        let pid = reader.pid().await;
        database.run("select pg_advisory_lock(77)").await;
        let slow = tokio::spawn(async move {
            reader.run("select * from capi.recapture('own.sale', keys => '{1}')").await;
        });
        // It has its snapshot, in which the customer consents.
        database.until_blocked(pid).await;
        database.run("update own.sale set consent = false where id = 1").await;
        let withdrawn = "select refused from capi.withdrawal where key = '1'";
        assert_eq!(database.get(withdrawn).await, "{*}");
        database.run("select pg_advisory_unlock(77)").await;
        slow.await.expect("the recapture ends");
        assert_eq!(database.get(withdrawn).await, "{*}", "not given again by who had read before");
        // Who reads afterwards is heard.
        database.run("update own.sale set consent = true where id = 1").await;
        assert_eq!(database.get(withdrawn).await, "{}");
    }
}

/// What stands against the sending of sale 1: by its capture, by a withdrawal since.
async fn refusals(database: &Database) -> String {
    database
        .line(
            "select o.refused, w.refused from capi.outbox o
            left join capi.withdrawal w on w.source = o.source and w.key = o.key and w.at >= o.captured_at
            where o.key = '1'",
        )
        .await
}

/// A change that the capture does not hear of.
fn unnoticed(change: &str) -> String {
    format!("begin; set local capi.capture = off; {change}; commit")
}

/// Sale 1, captured with consent that its row has withdrawn since.
async fn withdrawn() -> Database {
    let database = Database::adopted().await;
    tracked(&database, "id bigint").await;
    database.run("insert into own.sale values (1)").await;
    database.run("update own.sale set consent = false").await;
    database
}

/// A recapture that has read sale 1 and waits before it writes.
async fn a_slow_recapture(database: &Database) -> tokio::task::JoinHandle<()> {
    let reader = database.connect().await;
    reader.run("set capi.lock_timeout = '30s'; set capi.time_budget = '60s'").await;
    let pid = reader.pid().await;
    database.run("select pg_advisory_lock(77)").await;
    let slow = tokio::spawn(async move {
        reader.run("select * from capi.recapture('own.sale', keys => '{1}')").await;
    });
    database.until_blocked(pid).await;
    slow
}

#[tokio::test]
async fn a_reading_gives_nothing_back_that_was_refused_again_meanwhile() {
    let database = withdrawn().await;
    assert_eq!(refusals(&database).await, "{}|{*}");
    // Nobody has heard that consent was given back.
    database.run(&unnoticed("update own.sale set consent = true")).await;
    let slow = a_slow_recapture(&database).await;
    // What is refused already leaves nothing to write.
    database.run("update own.sale set consent = false").await;
    assert_eq!(refusals(&database).await, "{}|{*}");
    database.run("select pg_advisory_unlock(77)").await;
    slow.await.expect("the recapture ends");
    assert_eq!(refusals(&database).await, "{}|{*}", "refused by the row");
    database.run("update own.sale set consent = true").await;
    assert_eq!(refusals(&database).await, "{}|{}", "and given back by the row");
}

#[tokio::test]
async fn who_gives_back_waits_for_who_refuses() {
    let database = withdrawn().await;
    database.run(&unnoticed("update own.sale set consent = true")).await;
    let (app, reader) = (database.connect().await, database.connect().await);
    app.run("begin; update own.sale set consent = false; set constraints all immediate").await;
    reader.run("set capi.lock_timeout = '30s'; set capi.time_budget = '60s'").await;
    let pid = reader.pid().await;
    let slow = tokio::spawn(async move {
        reader.run("select * from capi.recapture('own.sale', keys => '{1}')").await;
    });
    database.until_blocked(pid).await;
    app.run("commit").await;
    slow.await.expect("the recapture ends");
    assert_eq!(refusals(&database).await, "{}|{*}");
}

#[tokio::test]
async fn a_late_first_capture_undoes_no_refusal() {
    let database = Database::adopted().await;
    tracked(&database, "id bigint").await;
    database.run(&unnoticed("insert into own.sale values (1)")).await;
    let slow = a_slow_recapture(&database).await;
    database.run("update own.sale set consent = false").await;
    database.run("select pg_advisory_unlock(77)").await;
    slow.await.expect("the recapture ends");
    assert_eq!(refusals(&database).await, "{*}|");
}

#[tokio::test]
async fn a_refusal_under_repeatable_read_reaches_an_event_that_it_cannot_see() {
    let database = Database::adopted().await;
    tracked(&database, "id bigint").await;
    database.run(&unnoticed("insert into own.sale values (1)")).await;
    let app = database.connect().await;
    app.run("begin isolation level repeatable read; select count(*) from own.sale").await;
    database.run("select * from capi.recapture('own.sale', keys => '{1}')").await;
    assert_eq!(refusals(&database).await, "{}|");
    app.run("update own.sale set consent = false; commit").await;
    assert_eq!(refusals(&database).await, "{}|{*}");
    let open = "select count(*) from capi.capture_error where resolved_at is null";
    assert_eq!(database.count(open).await, 0);
}

#[tokio::test]
async fn a_refusal_under_repeatable_read_is_never_lost_in_silence() {
    let database = withdrawn().await;
    database.run(&unnoticed("update own.sale set consent = true")).await;
    let app = database.connect().await;
    app.run("begin isolation level repeatable read; select count(*) from own.sale").await;
    database.run("select * from capi.recapture('own.sale', keys => '{1}')").await;
    assert_eq!(refusals(&database).await, "{}|{}");
    app.run("update own.sale set consent = false").await;
    // As with any row that was changed since: the application tries again.
    assert_eq!(app.refused("commit").await.code, "40001");
    app.run("rollback; begin isolation level repeatable read; update own.sale set consent = false; commit").await;
    assert_eq!(refusals(&database).await, "{}|{*}");
}

#[tokio::test]
async fn consent_is_given_back_under_repeatable_read() {
    let database = withdrawn().await;
    database
        .run("begin isolation level repeatable read; update own.sale set consent = true; commit")
        .await;
    assert_eq!(refusals(&database).await, "{}|{}");
}

#[tokio::test]
async fn a_refusal_reaches_the_event_of_a_view_that_was_tracked_before() {
    let database = Database::adopted().await;
    tracked(&database, "id bigint").await;
    database.run("insert into own.sale values (1)").await;
    database
        .run(
            "create view own.later as select * from own.conversion;
            select capi.untrack('own.sale', 'own.conversion');
            select capi.track('own.sale', conversions => 'own.later')",
        )
        .await;
    database.run("update own.sale set consent = false").await;
    assert_eq!(refusals(&database).await, "{}|{*}");
}

#[tokio::test]
async fn what_one_event_of_a_row_refuses_another_does_not_give_back() {
    let database = Database::adopted().await;
    tracked(&database, "id bigint").await;
    database
        .run(
            "create view own.both as
            select c.id, c.event_name, c.event_id, c.event_time, c.action_source, c.value, c.currency, true as consent
            from own.conversion c
            union all
            select c.id, 'Lead', c.event_id, c.event_time, c.action_source, c.value, c.currency, c.consent
            from own.conversion c;
            select capi.untrack('own.sale', 'own.conversion');
            select capi.track('own.sale', conversions => 'own.both')",
        )
        .await;
    database.run("insert into own.sale values (1)").await;
    assert_eq!(captured(&database).await, 2);
    database.run("update own.sale set consent = false").await;
    let withdrawn = "select refused from capi.withdrawal where key = '1'";
    for _ in 0..3 {
        assert_eq!(database.get(withdrawn).await, "{*}");
        database.run("update own.sale set bad = false").await;
    }
    database.run("update own.sale set consent = true").await;
    assert_eq!(database.get(withdrawn).await, "{}");
}

#[tokio::test]
async fn a_later_event_of_the_row_does_not_end_a_withdrawal_by_call() {
    let database = Database::adopted().await;
    tracked(&database, "id bigint").await;
    database.run("insert into own.sale values (1)").await;
    database.run("select capi.withdraw('own.sale', '1', note => 'by telephone')").await;
    database
        .run(
            "create view own.again as
            select c.id, 'Subscribe' as event_name, c.event_id, c.event_time, c.action_source, c.value, c.currency,
                case when c.consent then 'true' else '{\"google\": false, \"*\": true}' end::jsonb as consent
            from own.conversion c;
            select capi.untrack('own.sale', 'own.conversion');
            select capi.track('own.sale', conversions => 'own.again')",
        )
        .await;
    database.run("update own.sale set bad = false").await;
    assert_eq!(captured(&database).await, 2, "another event of the same row");
    database.run("update own.sale set consent = false").await;
    let withdrawn =
        "select '*' = any (w.refused) from capi.withdrawal w join capi.outbox o using (source, key)
        where o.event_name = 'Purchase' and w.at >= o.captured_at";
    assert_eq!(database.get(withdrawn).await, "t");
}

#[tokio::test]
async fn a_full_lock_table_does_not_stop_the_order() {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        Cluster::start("fsync = off\nmax_connections = 20\nmax_locks_per_transaction = 10\nmax_prepared_transactions = 0")
    });
    let database = Database::on(cluster).await;
    tracked(&database, "id bigint").await;
    let (app, hoarder) = (database.connect().await, database.connect().await);
    app.run("begin; insert into own.sale values (1)").await;
    // Locks of a session stay when the statement that took them fails.
    let refusal = hoarder
        .refused("select count(pg_advisory_lock(n)) from generate_series(1, 1000000) n")
        .await;
    assert_eq!(refusal.code, "53200", "{refusal:?}");
    app.run("commit").await;
    hoarder.run("select pg_advisory_unlock_all()").await;
    assert_eq!(database.count("select count(*) from own.sale").await, 1, "the order is there");
    assert_eq!(captured(&database).await, 0);
    database.run("select * from capi.recapture('own.sale', keys => '{1}')").await;
    assert_eq!(captured_keys(&database).await, "1");
}

#[tokio::test]
async fn a_trigger_that_goes_in_the_same_transaction_loses_nothing() {
    let database = Database::adopted().await;
    tracked(&database, "id bigint").await;
    database.run("begin; insert into own.sale values (1)").await;
    let drop = "do $$ declare g name; begin
        for g in select tgname from pg_trigger where tgrelid = 'own.sale'::regclass and tgname like 'capi%' loop
            execute format('drop trigger %I on own.sale', g);
        end loop;
    end $$";
    database.run(drop).await;
    database.run("commit").await;
    assert_eq!(captured_keys(&database).await, "1");
    database.run("select capi.track('own.sale', conversions => 'own.conversion')").await;
    // The same after an event that fired early.
    database
        .run(&format!("begin; insert into own.sale values (2); set constraints all immediate; {drop}; update own.sale set bad = false; commit"))
        .await;
    assert_eq!(captured_keys(&database).await, "1 2");
}

#[tokio::test]
async fn the_earliest_times_that_there_are_make_events_or_name_the_field() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (id bigint primary key, at timestamptz);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time,
                'website' as action_source, 5 as value, 'EUR' as currency, true as consent
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion');
            select capi.create_emitter('own.carts');
            set timezone = 'UTC'",
        )
        .await;
    for (n, at) in [
        "4714-11-24 00:00:00+00 BC",
        "0001-01-01 00:00:00+00 BC",
        "294276-12-31 23:59:59.999999+00",
        "infinity",
        "-infinity",
    ]
    .into_iter()
    .enumerate()
    {
        database.run(&format!("insert into own.sale values ({n}, '{at}')")).await;
    }
    assert_eq!(
        database.column("select event_time::text from capi.outbox order by id").await,
        ["4714-11-24 00:00:00+00 BC", "0001-01-01 00:00:00+00 BC"]
    );
    assert_eq!(
        errors(&database).await,
        [
            "2 22023 in_the_future event_time open",
            "3 22023 no_time_with_zone event_time open",
            "4 22023 no_time_with_zone event_time open"
        ]
    );
    for (at, says) in [
        ("0000-01-01T00:00:00+23:59", "captured"),
        ("-4714-01-01T00:00:00Z", "failed"),
        ("10000-01-01T00:00:00Z", "failed"),
        ("9999-12-31T23:59:59-23:59", "failed"),
    ] {
        let event = format!(
            "{{\"event_name\": \"Lead\", \"event_id\": \"{at}\", \"event_time\": \"{at}\", \
             \"action_source\": \"website\", \"consent\": true}}"
        );
        // Ids may not look like phone numbers.
        let event = event.replace(
            &format!("\"event_id\": \"{at}\""),
            &format!("\"event_id\": \"e{}\"", at.len()),
        );
        let answer = database.get(&format!("select capi.emit('{event}') ->> 'status'")).await;
        assert_eq!(answer, says, "{at}");
    }
}

#[tokio::test]
async fn a_limit_beyond_all_times_is_no_limit() {
    let database = Database::adopted().await;
    tracked(&database, "id bigint").await;
    database.run("alter table own.sale disable trigger all; insert into own.sale values (1)").await;
    let source = database.get("select source from capi.source").await;
    let call = format!(
        "select captured from capi._recapture({source}, array['1'], 9223372036854775807, false)"
    );
    assert_eq!(database.get(&call).await, "1");
    // Nothing interrupts what comes after.
    assert_eq!(database.get("select pg_sleep(0.05) is null").await, "f");
}

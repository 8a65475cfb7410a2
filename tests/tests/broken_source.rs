//! One broken source, or one broken row of it, stops nothing else: sweep, recapture, backfill,
//! maintenance, what looks at everything; and somebody is told.

use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::receiver::Receiver;
use capi_tests::shop::{captured_keys, errors};
use capi_tests::sidecar::Sidecar;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Tracks `name.sale` through `name.conversion`, a view of these columns and conditions.
async fn track(database: &Database, name: &str, columns: &str, from: &str) {
    database
        .run(&format!(
            "create schema {name};
            create table {name}.sale (id bigint primary key, note text, at timestamptz default clock_timestamp());
            create table {name}.payment (sale bigint, at timestamptz default clock_timestamp());
            create view {name}.conversion as
            select {columns}, 'website' as action_source, 5 as value, 'EUR' as currency, true as consent
            from {from};
            select capi.track('{name}.sale', conversions => '{name}.conversion')"
        ))
        .await;
}

const PLAIN: &str =
    "s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time";

async fn track_plain(database: &Database, name: &str) {
    track(database, name, PLAIN, &format!("{name}.sale s")).await;
}

/// Puts rows where the triggers do not see them.
async fn unseen(database: &Database, insert: &str) {
    database
        .run(&format!(
            "set session_replication_role = replica; {insert}; reset session_replication_role"
        ))
        .await;
}

/// Maintains until nothing is left to do; the last answer.
async fn maintain(database: &Database) -> String {
    for _ in 0..50 {
        let done = database.get("select capi.maintain()").await;
        if !done.contains("\"more\": true") {
            return done;
        }
    }
    panic!("maintenance does not end");
}

/// A database whose sources are broken in every way, before and behind one that is well and has a row
/// that no trigger saw.
async fn broken() -> Database {
    let database = Database::adopted().await;
    for name in ["table_gone", "view_gone", "policy"] {
        track_plain(&database, name).await;
        unseen(&database, &format!("insert into {name}.sale values (1)")).await;
    }
    track(
        &database,
        "no_key",
        "s.id, 'Purchase' as event_name, 'pay-' || p.sale as event_id, p.at as event_time",
        "no_key.payment p left join no_key.sale s on s.id = p.sale",
    )
    .await;
    track_plain(&database, "well").await;
    track_plain(&database, "last_gone").await;
    unseen(
        &database,
        "insert into no_key.payment (sale) values (7), (8);
        insert into no_key.sale values (8);
        insert into well.sale values (1)",
    )
    .await;
    database
        .run(
            "drop table table_gone.sale cascade; drop table last_gone.sale cascade;
            drop view view_gone.conversion;
            alter table policy.sale owner to shop_owner; alter view policy.conversion owner to shop_owner;
            grant usage on schema policy to shop_owner;
            alter table policy.sale enable row level security; alter table policy.sale force row level security",
        )
        .await;
    database
}

#[tokio::test]
async fn a_sweep_of_everything_gets_past_every_broken_source() {
    let database = broken().await;
    let swept = database
        .column(
            "select source_name || ' ' || scanned || ' ' || missing || ' ' || captured || ' ' || failed || ' '
                || coalesce(trouble, '-') from capi.sweep()",
        )
        .await;
    let of = |name: &str| swept.iter().find(|row| row.starts_with(name)).expect("a row").as_str();
    assert!(of("table_gone").contains("is gone"), "{swept:?}");
    assert!(of("last_gone").contains("is gone"), "{swept:?}");
    assert!(of("view_gone").contains("is gone"), "{swept:?}");
    assert!(of("policy").contains("insufficient_privilege"), "{swept:?}");
    assert!(of("no_key").starts_with("no_key.sale 2 2 1 1 1 rows"), "{swept:?}");
    assert_eq!(of("well"), "well.sale 1 1 1 0 -");
    assert_eq!(captured_keys(&database).await, "1 8");
}

#[tokio::test]
async fn maintenance_gets_past_every_broken_source_and_names_them() {
    let database = broken().await;
    let done = maintain(&database).await;
    assert!(done.contains("\"failed\": []"), "{done}");
    assert_eq!(captured_keys(&database).await, "1 8");
    let troubled = "select coalesce(string_agg(source, ' ' order by source), '') from capi.sweeps where trouble is not null";
    assert_eq!(
        database.get(troubled).await,
        "last_gone.sale no_key.sale policy.sale table_gone.sale view_gone.sale"
    );
    // What comes later is found, too, and what was mended is noticed within the hour.
    unseen(&database, "insert into well.sale values (2)").await;
    database
        .run(
            "delete from no_key.payment where sale = 7;
            create view view_gone.conversion as select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id,
                s.at as event_time, 'website' as action_source, 5 as value, 'EUR' as currency, true as consent
            from view_gone.sale s;
            select capi.track('view_gone.sale', conversions => 'view_gone.conversion');
            select capi.untrack('last_gone.sale');
            update capi.sweep set finished_at = finished_at - interval '61 minutes'",
        )
        .await;
    maintain(&database).await;
    assert_eq!(captured_keys(&database).await, "1 1 2 8");
    let told = database.get("select capi.health() ->> 'troubles'").await;
    for (name, is_told) in [
        ("no_key", false),
        ("view_gone", false),
        ("last_gone", false),
        ("table_gone", true),
        ("policy", true),
    ] {
        assert_eq!(told.contains(name), is_told, "{name}: {told}");
    }
}

#[tokio::test]
async fn recapture_of_everything_gets_past_every_broken_source() {
    let database = broken().await;
    database
        .run(
            "insert into capi.capture_error (source, key, sqlstate, reason)
            select s.source, k.key, '55P03', 'lock_not_available'
            from capi.source s cross join (values ('1'), ('no key of today')) k (key)",
        )
        .await;
    let done = database
        .column("select source_name || ' ' || captured || ' ' || (trouble is null) from capi.recapture()")
        .await;
    assert!(done.contains(&"well.sale 1 true".to_owned()), "{done:?}");
    assert!(done.contains(&"table_gone.sale 0 false".to_owned()), "{done:?}");
    assert_eq!(captured_keys(&database).await, "1");
    // By hand a wrong key is the caller's mistake.
    let refusal = database.refused("select * from capi.recapture('well.sale', '{x}')").await;
    assert_eq!(refusal.code, "22023");
}

#[tokio::test]
async fn whatever_looks_at_every_source_gets_past_the_broken_ones() {
    let database = broken().await;
    let problems =
        "select string_agg(source_name, ' ' order by source_name) filter (where problem is null)
        from capi.revalidate()";
    assert_eq!(database.get(problems).await, "no_key.sale well.sale");
    for sql in [
        "select * from capi.status()",
        "select capi.health()",
        "select * from capi.poll()",
        "select * from capi.sources",
        "select * from capi.sweeps",
        "select * from capi.capture_errors",
        "select * from capi.delivery",
        "select * from capi.handshake()",
        "select * from capi.destinations()",
    ] {
        database.rows(sql).await;
    }
    // A source that cannot even be looked at is one problem, not the end.
    database
        .run(
            "set role capi_owner;
            create or replace function capi._findings(p_view regclass, p_source regclass, p_platforms text[], p_options jsonb)
            returns table (severity text, field text, finding text, hint text) language plpgsql as $$
            begin
                if p_view::text ~ 'policy' then raise exception 'secret'; end if;
            end $$;
            reset role",
        )
        .await;
    let of_policy = "select problem from capi.revalidate() where source_name = 'policy.sale'";
    assert_eq!(database.get(of_policy).await, "it cannot be looked at: SQLSTATE P0001");
    assert_eq!(database.get(problems).await, "no_key.sale well.sale");
}

/// Where a row can make its view raise, with a table to track.
const RAISING: &[(&str, &str, &str)] = &[
    (
        "event_id",
        "s.id, 'Purchase' as event_name, 'sale-' || s.id || coalesce(s.note::int::text, '') as event_id, s.at as event_time",
        "sale s",
    ),
    (
        "event_name",
        "s.id, substr('Purchase', coalesce(s.note::int, 1)) as event_name, 'sale-' || s.id as event_id, s.at as event_time",
        "sale s",
    ),
    (
        "event_time",
        "s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at + coalesce(s.note::int, 0) * interval '1 s' as event_time",
        "sale s",
    ),
    (
        "where",
        "s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time",
        "sale s where coalesce(s.note::int, 1) = 1",
    ),
];

#[tokio::test]
async fn a_row_that_makes_the_view_raise_is_on_record_and_the_others_are_captured() {
    for (place, columns, from) in RAISING {
        let database = Database::adopted().await;
        track(&database, "own", columns, &format!("own.{from}")).await;
        unseen(
            &database,
            "insert into own.sale (id, note) select n, case n when 3 then 'secret' end from generate_series(1, 7) n",
        )
        .await;
        maintain(&database).await;
        assert_eq!(captured_keys(&database).await, "1 2 4 5 6 7", "{place}");
        let record = ["3 22P02 invalid_text_representation - open"];
        assert_eq!(errors(&database).await, record, "{place}");
        let trouble = database.get("select trouble from capi.sweeps").await;
        assert_eq!(trouble, "", "{place}: each row is accounted for");
        // The orders of the day after are captured, though a small table is read as a whole.
        database.run("insert into own.sale values (8)").await;
        assert_eq!(captured_keys(&database).await, "1 2 4 5 6 7 8", "{place}");
        database.run("set session_replication_role = replica; update own.sale set note = null where id = 3; reset session_replication_role").await;
        database.run("select * from capi.sweep('own.sale')").await;
        assert_eq!(database.count("select count(*) from capi.outbox").await, 8, "{place}");
        assert_eq!(
            database
                .count("select count(*) from capi.capture_error where resolved_at is null")
                .await,
            0
        );
    }
}

#[tokio::test]
async fn rows_that_raise_are_found_among_many_and_by_keys_of_every_kind() {
    for (key, columns, values) in [
        ("id bigint primary key", "s.id", "n"),
        ("shop text, number int, primary key (shop, number)", "s.shop, s.number", "'a \"b\"', n"),
        ("code text primary key", "s.code", "'Ünï/' || n"),
        ("code uuid primary key", "s.code", "md5(n::text)::uuid"),
    ] {
        for raising in ["s.at + note::int * interval '1 s'", "s.at"] {
            let database = Database::adopted().await;
            database
                .run(&format!(
                    "create schema own;
                    create table own.sale ({key}, at timestamptz default clock_timestamp(), note text default '0');
                    create view own.conversion as
                    select {columns}, 'Lead' as event_name, md5(row({columns}, s.note::int)::text) as event_id, {raising} as event_time,
                        'other' as action_source, true as consent
                    from own.sale s;
                    select capi.track('own.sale', conversions => 'own.conversion');
                    set session_replication_role = replica;
                    insert into own.sale select {values}, clock_timestamp(), case when n in (1, 5100, 5200) then 'bad' else '0' end
                    from generate_series(1, 5200) n;
                    reset session_replication_role"
                ))
                .await;
            maintain(&database).await;
            let seen = database
                .line("select (select count(*) from capi.outbox), count(*), string_agg(distinct sqlstate, ' ') from capi.capture_error")
                .await;
            assert_eq!(seen, "5197|3|22P02", "{key} {raising}");
        }
    }
}

#[tokio::test]
async fn a_backfill_goes_on_past_a_row_that_raises_and_rows_without_a_key() {
    for (place, columns, from) in RAISING {
        let database = Database::adopted().await;
        track(&database, "own", columns, &format!("own.{from}")).await;
        unseen(
            &database,
            "insert into own.sale select n, case n when 8 then 'secret' end, now() - n * interval '1 hour' from generate_series(1, 20) n",
        )
        .await;
        database
            .run("call capi.backfill('own.sale', since => now() - interval '40 hours', only_sendable => false, page => 3)")
            .await;
        let seen = "select (select count(*) from capi.outbox) || ' ' || failed || ' ' || (finished_at is not null) from capi.backfills";
        assert_eq!(database.get(seen).await, "19 1 true", "{place}");
    }
    let database = broken().await;
    let call = "call capi.backfill('no_key.sale', since => now() - interval '1 hour', only_sendable => false, page => 1)";
    database.run(call).await;
    assert_eq!(captured_keys(&database).await, "8");
    // Where nothing can be read there is nothing to go on with, and the next call does.
    let call = "call capi.backfill('view_gone.sale', since => now() - interval '1 hour', only_sendable => false)";
    let refusal = database.refused(call).await;
    assert!(
        refusal.message.contains("is gone") && refusal.hint.contains("to go on"),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn on_error_abort_refuses_the_row_that_raises_and_no_other() {
    let database = Database::adopted().await;
    let (_, columns, from) = RAISING[3];
    track(&database, "own", columns, &format!("own.{from}")).await;
    database
        .run("select capi.track('own.sale', conversions => 'own.conversion', on_error => 'abort')")
        .await;
    unseen(&database, "insert into own.sale (id, note) values (1, 'secret')").await;
    database.run("insert into own.sale (id) values (2)").await;
    let refusal = database.refused("insert into own.sale (id, note) values (3, 'secret')").await;
    assert!(!refusal.message.contains("secret"), "{refusal:?}");
    assert_eq!(captured_keys(&database).await, "2");
}

/// Starts a sidecar that maintains and looks every second and tells this receiver.
fn telling(database: &Database, receiver: &Receiver) -> Sidecar {
    Sidecar::start_with(
        database,
        &[
            ("CAPI_LOOK_EVERY", "1"),
            ("CAPI_MAINTAIN_EVERY", "1"),
            ("CAPI_LISTEN", "127.0.0.1:0"),
            ("CAPI_ALERT_WEBHOOK", "ALERT_URL"),
            ("CAPI_ALERT_FORMAT", "json"),
            ("ALERT_URL", receiver.url()),
        ],
    )
}

/// The sidecar's metrics.
async fn metrics(sidecar: &Sidecar) -> String {
    let log = sidecar.log();
    let line = log.lines().find(|line| line.contains("health and metrics")).expect("the port");
    let address = line.split("address=").nth(1).expect("an address").trim().to_owned();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = b"GET /metrics HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_cannot_be_swept_is_told_and_its_end_too() {
    let database = broken().await;
    let receiver = Receiver::start().await;
    let _sidecar = telling(&database, &receiver);
    receiver.until_told("raised sweep table_gone.sale trouble").await;
    receiver.until_told("raised sweep no_key.sale trouble").await;
    database.run("select capi.untrack('table_gone.sale')").await;
    receiver.until_told("recovered sweep table_gone.sale trouble").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_maintenance_that_fails_is_told_counted_and_stops_no_other() {
    let database = Database::adopted().await;
    track_plain(&database, "well").await;
    unseen(&database, "insert into well.sale values (1)").await;
    // Every task before the sweep fails.
    database
        .run(
            "do $$ declare f text; begin
                foreach f in array array['_repair_first_batch()', '_drain_default_partition()', '_drop_expired_partition()', '_purge_old()', '_revalidate_due()'] loop
                    execute format('create or replace function capi.%s returns jsonb language plpgsql as
                        ''begin raise division_by_zero using message = ''''secret''''; end''', f);
                end loop;
                create or replace function capi._partitions(p_table text, p_ahead interval) returns integer language plpgsql as
                    'begin raise division_by_zero; end';
            end $$",
        )
        .await;
    let receiver = Receiver::start().await;
    let sidecar = telling(&database, &receiver);
    receiver.until_told("raised maintenance  failed").await;
    assert_eq!(captured_keys(&database).await, "1", "the sweep is made all the same");
    let failing = "select count(*) from capi.maintenance() where problem = 'SQLSTATE 22012'";
    assert_eq!(database.count(failing).await, 8);
    eventually("the metric says so", 20, async || {
        let metrics = metrics(&sidecar).await;
        let is_failed = |line: &&str| {
            line.starts_with("capi_maintenance_runs_total{outcome=\"failed\"")
                && !line.ends_with(" 0")
        };
        if metrics.lines().any(|line| is_failed(&line)) { Ok(()) } else { Err(metrics) }
    })
    .await;
    assert!(!sidecar.log().contains("secret"));
}

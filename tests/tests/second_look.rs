//! What was captured before a transaction's last change is looked at again before the commit, and
//! nothing of it runs in a transaction callback: other extensions have ended their work by then.

use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::shop::{captured_keys, errors};

/// A source whose view reads a foreign table, and an application with a deferred trigger of its own
/// that writes after the capture.
async fn with_a_foreign_table() -> Database {
    let database = Database::adopted().await;
    let host = database.cluster().folder().display().to_string();
    let name = database.name().to_owned();
    database
        .run(&format!(
            "create extension postgres_fdw;
            create server loopback foreign data wrapper postgres_fdw options (host '{host}', dbname '{name}');
            create user mapping for postgres server loopback options (user 'postgres');
            create schema own;
            create table own.price (sale bigint primary key, amount numeric not null);
            create foreign table own.far_price (sale bigint, amount numeric)
                server loopback options (schema_name 'own', table_name 'price');
            create table own.sale (id bigint primary key, note text);
            create table own.log (id bigint);
            insert into own.price select n, n from generate_series(1, 50) n;
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, p.amount as value, 'EUR' as currency, true as consent,
                s.note as content_name
            from own.sale s join own.far_price p on p.sale = s.id;
            create function own.audit() returns trigger language plpgsql as
            $$ begin insert into own.log values (new.id); return null; end $$;
            create constraint trigger zz_audit after insert on own.sale deferrable initially deferred
                for each row execute function own.audit()"
        ))
        .await;
    // The trial capture reads the foreign table by another connection, which must see it.
    database.run("select capi.track('own.sale', conversions => 'own.conversion')").await;
    database
}

#[tokio::test]
async fn an_order_commits_whatever_its_foreign_tables_and_deferred_triggers_do() {
    let own = with_a_foreign_table().await;
    // In a session of its own, so that the capture is the first that uses the foreign table.
    for (n, script) in [
        "insert into own.sale values (1, 'x')",
        "begin; insert into own.sale values (2, 'x'); set constraints all immediate;
        update own.sale set note = 'y' where id = 2; commit",
        "begin; set constraints all immediate; insert into own.sale values (3, 'x');
        savepoint a; update own.sale set note = 'y' where id = 3; rollback to a; commit",
        "begin; insert into own.sale values (4, 'x'); select count(*) from own.far_price; commit",
    ]
    .into_iter()
    .enumerate()
    {
        let session = own.connect().await;
        session.run(script).await;
        assert_eq!(session.count("select count(*) from own.log").await, n as i64 + 1, "{script}");
        assert_eq!(
            session.count("select count(*) from capi.outbox").await,
            n as i64 + 1,
            "{script}"
        );
    }
    assert_eq!(captured_keys(&own).await, "1 2 3 4");
    assert_eq!(
        own.column("select facts ->> 'content_name' from capi.outbox order by id").await,
        ["x", "y", "x", "x"]
    );
    assert_eq!(errors(&own).await, [""; 0]);
}

#[tokio::test]
async fn a_foreign_server_that_fails_costs_the_event_and_not_the_order() {
    let own = with_a_foreign_table().await;
    own.run("alter server loopback options (set dbname 'nowhere')").await;
    let session = own.connect().await;
    session.run("insert into own.sale values (1, 'x')").await;
    assert_eq!(session.count("select count(*) from own.log").await, 1);
    assert_eq!(errors(&own).await, ["1 08001 sqlclient_unable_to_establish_sqlconnection - open"]);
}

/// A source whose lines are in a table that no trigger of ours watches.
async fn with_lines() -> Database {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (id bigint primary key, note text);
            create table own.line (sale bigint, sku text);
            create table own.log (id bigint);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent,
                (select jsonb_agg(jsonb_build_object('id', l.sku)) from own.line l where l.sale = s.id) as contents
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion')",
        )
        .await;
    database
}

/// What was captured of each sale: its key and the number of its lines.
const LINES: &str = "select coalesce(string_agg(key || ':' || coalesce(jsonb_array_length(facts -> 'contents'), 0), ' '
    order by key::bigint), '') from capi.outbox";

#[tokio::test]
async fn what_follows_an_early_capture_is_seen_however_often_constraints_are_set() {
    let own = with_lines().await;
    let now = "set constraints all immediate";
    let mut wrong = Vec::new();
    for (script, expected) in [
        ("insert; now; line", "1:1"),
        ("now; insert; line", "1:1"),
        // Nothing has changed between these, and something does later.
        ("insert; now; now; line", "1:1"),
        ("insert; now; now; now; now; line; now; now; line", "1:2"),
        ("insert; now; later; now; later; line", "1:1"),
        ("insert; line; now; line; alter; line", "1:3"),
        ("now; insert; alter; line", "1:1"),
        // A look that is rolled back.
        ("insert; now; savepoint a; line; now; rollback to a", "1:0"),
        ("insert; now; savepoint a; line; now; rollback to a; line; line", "1:2"),
        ("insert; now; savepoint a; line; now; release a; line", "1:2"),
        ("insert; now; savepoint a; now; rollback to a; line", "1:1"),
        ("savepoint a; insert; now; rollback to a", ""),
        ("savepoint a; insert; now; rollback to a; insert; line", "1:1"),
        ("insert; line; savepoint a; now; delete; now; rollback to a", "1:1"),
        ("insert; now; savepoint a; savepoint b; line; now; release b; rollback to a; line", "1:1"),
        ("insert; now; line; savepoint a; now; rollback to a", "1:1"),
        ("insert; now; delete", ""),
        ("now; insert; delete; now; insert; line", "1:1"),
        ("insert; now; in-function; line", "1:1"),
    ] {
        for end in ["commit", "prepare"] {
            let name = format!("{}_look", own.name());
            let steps = script.split("; ").map(|step| match step {
                "insert" => "insert into own.sale values (1, 'x')",
                "delete" => "delete from own.sale",
                "line" => "insert into own.line values (1, 'MUG-01')",
                "alter" => "alter table own.sale alter note set default 'z'",
                "now" => now,
                "later" => "set constraints all deferred",
                "in-function" => {
                    "do 'begin set constraints all immediate; set constraints all immediate; end'"
                }
                other => other,
            });
            own.run("begin").await;
            for step in steps {
                own.run(step).await;
            }
            if end == "commit" {
                own.run("commit").await;
            } else {
                own.run(&format!("prepare transaction '{name}'")).await;
                own.run(&format!("commit prepared '{name}'")).await;
            }
            let found = own.get(LINES).await;
            if found != expected || errors(&own).await != [""; 0] {
                wrong.push(format!("{script}; {end}: {found:?} instead of {expected:?}"));
            }
            own.run(
                "truncate own.sale, own.line; delete from capi.outbox; delete from capi.event_key",
            )
            .await;
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[tokio::test]
async fn a_procedure_that_commits_is_captured_like_anybody() {
    let own = with_lines().await;
    own.run(
        "create procedure own.trade() language plpgsql as $$ begin
            for n in 1 .. 3 loop
                set constraints all immediate;
                insert into own.sale values (n, 'x');
                insert into own.line values (n, 'MUG-01');
                commit;
                insert into own.sale values (10 + n, 'x');
                insert into own.line values (10 + n, 'MUG-01');
                commit;
            end loop;
        end $$",
    )
    .await;
    own.run("call own.trade()").await;
    assert_eq!(own.get(LINES).await, "1:1 2:1 3:1 11:1 12:1 13:1");
}

#[tokio::test]
async fn the_applications_own_deferred_triggers_are_followed_to_their_end() {
    let own = with_lines().await;
    // Each of them makes another one, five times, and only the last writes a line.
    own.run(
        "create function own.chain() returns trigger language plpgsql as $$ begin
            if new.id < 5 then
                insert into own.log values (new.id + 1);
            else
                insert into own.line values (1, 'MUG-01');
            end if;
            return null;
        end $$;
        create constraint trigger zz_chain after insert on own.log deferrable initially deferred
            for each row execute function own.chain();
        begin; insert into own.sale values (1, 'x'); insert into own.log values (1); commit",
    )
    .await;
    assert_eq!(own.get(LINES).await, "1:1");
}

#[tokio::test]
async fn a_second_look_leaves_nothing_behind() {
    let own = with_lines().await;
    own.run("begin; set constraints all immediate; insert into own.sale values (1, 'x'); commit")
        .await;
    for table in ["second_look"] {
        let pages = format!("select pg_relation_size('capi.{table}')");
        assert_eq!(own.count(&pages).await, 0, "{table}");
    }
    // And nobody can make one fire by hand.
    let app = own.connect_as("nobody").await;
    assert_eq!(app.refused("insert into capi.second_look values (1)").await.code, "42501");
}

#[tokio::test]
async fn a_rollback_or_a_failure_after_an_early_capture_leaves_the_session_in_order() {
    let own = with_lines().await;
    for script in [
        "begin; set constraints all immediate; insert into own.sale values (1, 'x'); rollback",
        "begin; insert into own.sale values (1, 'x'); set constraints all immediate; select 1/0",
        "begin; insert into own.sale values (1, 'x'); set constraints all immediate;
        insert into own.sale values (1, 'again')",
    ] {
        let session = own.connect().await;
        drop(session.ask(script).await);
        session.run("rollback").await;
        session.run("begin; insert into own.sale values (2, 'x'); insert into own.line values (2, 'a'); commit").await;
        assert_eq!(own.get(LINES).await, "2:1", "{script}");
        own.run("truncate own.sale, own.line; delete from capi.outbox; delete from capi.event_key")
            .await;
    }
}

#[tokio::test]
async fn a_session_that_ends_in_the_middle_takes_nobody_along() {
    let own = with_a_foreign_table().await;
    let session = own.connect().await;
    let pid = session.pid().await;
    session.run("begin; set constraints all immediate; insert into own.sale values (1, 'x')").await;
    own.run(&format!("select pg_terminate_backend({pid}, 5000)")).await;
    eventually("the session is gone", 10, async || {
        let left =
            own.count(&format!("select count(*) from pg_stat_activity where pid = {pid}")).await;
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
    assert_eq!(captured_keys(&own).await, "");
    own.run("insert into own.sale values (1, 'x')").await;
    assert_eq!(captured_keys(&own).await, "1");
}

#[tokio::test]
async fn a_foreign_table_under_a_view_is_told_at_any_depth() {
    let own = with_a_foreign_table().await;
    let finding = "select severity || ' ' || finding from capi.check_view('own.conversion', source => 'own.sale')
        where finding like '%foreign%'";
    let told =
        "warning the view reads the foreign table own.far_price: every order waits for its host";
    assert_eq!(own.column(finding).await, [told]);
    // Behind another view, and as a part of a table.
    own.run(
        "create table own.amount (sale bigint, amount numeric) partition by range (sale);
        alter table own.amount attach partition own.far_price for values from (0) to (100);
        create view own.near as select * from own.amount;
        create or replace view own.conversion as
        select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
            'website' as action_source, p.amount as value, 'EUR' as currency, true as consent,
            s.note as content_name
        from own.sale s join own.near p on p.sale = s.id",
    )
    .await;
    assert_eq!(own.column(finding).await, [told]);
    // What was read before is here.
    own.run(
        "create materialized view own.here as select * from own.amount;
        create or replace view own.conversion as
        select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
            'website' as action_source, p.amount as value, 'EUR' as currency, true as consent,
            s.note as content_name
        from own.sale s join own.here p on p.sale = s.id",
    )
    .await;
    assert_eq!(own.column(finding).await, [""; 0]);
}

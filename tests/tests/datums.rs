//! What a conversion view is made of changes under a session that reads it. No datum is read as what it
//! is not, nothing is read under a name that has become another relation's, and what has only got
//! another name is read on.

use capi_tests::database::Database;
use capi_tests::shop::{captured, captured_keys, errors};

/// A table and a view over it, tracked, with this further column.
async fn tracked(database: &Database, event_id: &str, event_time: &str, browser: &str) {
    database
        .run(&format!(
            "create schema tc;
            create sequence tc.trace;
            create table tc.o (id bigint primary key, paid timestamptz not null default now());
            create table tc.plan (body text);
            create function tc.ev(p bigint) returns text language plpgsql volatile set search_path = pg_catalog as $$
            begin
                if p = 1 and exists (select from tc.plan) then
                    execute 'drop view tc.v';
                    execute (select body from tc.plan);
                end if;
                return 'o-' || p;
            end $$;
            create function tc.spy() returns text language plpgsql volatile set search_path = pg_catalog as $$
            begin
                perform nextval('tc.trace');
                return 'website';
            end $$;
            {};
            select capi.track('tc.o', conversions => 'tc.v')",
            view(event_id, event_time, "'website'", browser)
        ))
        .await;
}

fn view(event_id: &str, event_time: &str, action_source: &str, browser: &str) -> String {
    format!(
        "create view tc.v as select id, 'Purchase' as event_name, {event_id} as event_id,
            {event_time} as event_time, {action_source} as action_source, 10.0::numeric as value, 'EUR' as currency,
            true as consent, {browser} as browser from tc.o"
    )
}

const JSON: &str = r#"'{"ip": "198.51.100.7"}'::jsonb"#;

/// Plans that the view's own function replaces its view by this one.
async fn planned(database: &Database, body: &str) {
    database.run(&format!("insert into tc.plan values ($b${body}$b$)")).await;
}

/// Views that would be read with the reader of the first one.
fn others() -> [(&'static str, String); 4] {
    [
        ("a number for an object", view("'o-' || id", "paid", "'website'", "1234567::bigint")),
        ("a text for a time", view("'o-' || id", "paid::text", "'website'", JSON)),
        ("a time without zone", view("'o-' || id", "paid::timestamp", "'website'", JSON)),
        ("the same types", view("'o-' || id", "paid", "tc.spy()", JSON)),
    ]
}

#[tokio::test]
async fn a_view_that_replaces_itself_between_two_pages_is_not_read_on() {
    for (what, body) in others() {
        let database = Database::adopted().await;
        tracked(&database, "tc.ev(id)", "paid", JSON).await;
        planned(&database, &body).await;
        let session = database.connect().await;
        // More than one page of a drain.
        session.run("insert into tc.o select g from generate_series(1, 500) g").await;
        assert_eq!(session.count("select count(*) from tc.o").await, 500, "{what}");
        let spied = "select is_called from tc.trace";
        assert_eq!(session.get(spied).await, "f", "{what}: another view was read");
        assert_eq!(captured(&database).await, 0, "{what}");
        let reasons = "select distinct sqlstate || ' ' || reason from capi.capture_error";
        assert_eq!(session.column(reasons).await, ["42P17 view_changed"], "{what}");
    }
}

#[tokio::test]
async fn a_view_that_was_replaced_is_an_error_on_record() {
    for (what, body) in others() {
        let database = Database::adopted().await;
        tracked(&database, "tc.ev(id)", "paid", JSON).await;
        let warm = database.connect().await;
        warm.run("insert into tc.o values (2)").await;
        planned(&database, &body).await;
        // Captured with the view that it replaces.
        warm.run("insert into tc.o values (1)").await;
        assert_eq!(captured_keys(&database).await, "1 2", "{what}");
        warm.run("insert into tc.o values (3)").await;
        database.connect().await.run("insert into tc.o values (4)").await;
        assert_eq!(
            errors(&database).await,
            ["3 42P01 view_gone - open", "4 42P01 view_gone - open"],
            "{what}"
        );
        let advice = database.get("select capi._advice(null, null, 'view_gone')").await;
        assert!(advice.contains("capi.track"), "{advice}");
        assert_eq!(database.get("select is_called from tc.trace").await, "f", "{what}");
        // Whoever tracks the new one is told what does not fit.
        let again = database.ask("select capi.track('tc.o', conversions => 'tc.v')").await;
        assert_eq!(again.is_ok(), what == "the same types", "{what}: {again:?}");
    }
}

#[tokio::test]
async fn another_roles_view_is_not_read_with_the_old_owners_rights() {
    let database = Database::adopted().await;
    tracked(&database, "tc.ev(id)", "paid", JSON).await;
    let body = format!(
        "{}; grant usage, create on schema tc to mallory; grant select on tc.o to mallory; grant usage on sequence tc.trace to mallory; alter view tc.v owner to mallory",
        view("'o-' || id", "paid", "tc.spy()", JSON)
    );
    planned(&database, &body).await;
    database.run("insert into tc.o select g from generate_series(1, 500) g").await;
    assert_eq!(database.get("select is_called from tc.trace").await, "f");
    assert_eq!(captured(&database).await, 0);
    // A view that has been given away is read as its new owner, in a session that knows it, too.
    database.run("truncate tc.plan").await;
    let warm = database.connect().await;
    warm.run("insert into tc.o values (1001)").await;
    database.run("alter view tc.v owner to mallory").await;
    warm.run("insert into tc.o values (1002)").await;
    let last = "select sqlstate || ' ' || reason from capi.capture_error where key = '1002'";
    assert_eq!(database.get(last).await, "42501 insufficient_privilege");
}

#[tokio::test]
async fn a_sweep_survives_a_view_that_replaces_itself() {
    for (what, body) in others() {
        let database = Database::adopted().await;
        tracked(&database, "tc.ev(id)", "paid", JSON).await;
        database.run("set capi.capture = off; insert into tc.o select g from generate_series(1, 3) g; reset capi.capture").await;
        planned(&database, &body).await;
        for _ in 0..3 {
            // Whatever it says: the server answers, and nothing of the other view is read.
            let _ = database.ask("select capi.maintain()").await;
            let _ = database.ask("select * from capi.sweep('tc.o')").await;
            let _ = database.ask("select * from capi.recapture('tc.o', '{1,2,3}')").await;
        }
        assert_eq!(database.get("select is_called from tc.trace").await, "f", "{what}");
        let wrong =
            "select count(*) from capi.outbox where facts ? 'client_ip_address' is not true";
        assert_eq!(database.count(wrong).await, 0, "{what}");
    }
}

#[tokio::test]
async fn fields_of_domains_are_read_as_what_they_are_made_of() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema tc; create domain tc.moment as timestamptz; create domain tc.document as jsonb;
            create domain tc.later as tc.moment; create domain tc.amount as numeric;
            create table tc.o (id bigint primary key, paid tc.later default '2026-11-30 12:00+00', doc tc.document, total tc.amount default 5);
            create view tc.v as select id, 'Lead' as event_name, 'o-' || id as event_id, paid as event_time, 'website' as action_source,
                true as consent, doc as browser, total as value, 'EUR' as currency from tc.o;
            select capi.track('tc.o', conversions => 'tc.v');
            insert into tc.o (id, doc) values (1, '{\"ip\": \"198.51.100.7\"}')",
        )
        .await;
    assert_eq!(
        database
            .line("select event_time, value, facts ->> 'client_ip_address' from capi.outbox")
            .await,
        "2026-11-30 12:00:00+00|5|198.51.100.7",
        "{:?}",
        errors(&database).await
    );
}

#[tokio::test]
async fn what_has_only_got_another_name_is_captured_on() {
    for on_error in ["record", "abort"] {
        for rename in [
            "alter schema s rename to store",
            "alter view s.v rename to conversion",
            "alter view s.v set schema public",
            "alter type k.code rename to word",
            "alter schema k rename to types",
            "alter type k.code set schema public",
            "alter table s.o rename to sale",
            "alter table s.o set schema public",
            "alter schema s rename to old; create schema s; create view s.v as select 1 as one",
        ] {
            let database = Database::adopted().await;
            database
                .run(&format!(
                    "create schema s; create schema k; create type k.code as enum ('a', 'b', 'c', 'd', 'e');
                    create table s.o (id k.code primary key, paid timestamptz default now());
                    create view s.v as select id, 'Lead' as event_name, 'o-' || id::text as event_id, paid as event_time,
                        'website' as action_source, true as consent from s.o;
                    select capi.track('s.o', conversions => 's.v', on_error => '{on_error}')"
                ))
                .await;
            let warm = database.connect().await;
            warm.run("insert into s.o values ('a')").await;
            warm.run("begin; insert into s.o values ('b')").await;
            warm.run("commit").await;
            database.run(rename).await;
            let table =
                database.get("select format('%s', relation::regclass) from capi.source").await;
            warm.run(&format!("insert into {table} values ('c')")).await;
            database.connect().await.run(&format!("insert into {table} values ('d')")).await;
            let swept = format!(
                "set capi.capture = off; insert into {table} values ('e'); reset capi.capture;
                select captured from capi.sweep('{table}')"
            );
            assert_eq!(database.get(&swept).await, "1", "{rename}");
            assert_eq!(
                captured_keys(&database).await,
                "a b c d e",
                "{rename}: {:?}",
                errors(&database).await
            );
        }
    }
}

#[tokio::test]
async fn a_renamed_schema_is_noted() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema s; create schema f;
            create function f.site() returns text language sql immutable set search_path = f as $$ select 'website' $$;
            create table s.o (id bigint primary key, paid timestamptz default now());
            create view s.v as select id, 'Lead' as event_name, 'o-' || id::text as event_id, paid as event_time,
                f.site() as action_source, true as consent from s.o;
            select capi.track('s.o', conversions => 's.v')",
        )
        .await;
    for (rename, reason) in [
        ("alter schema s rename to store", "alter schema store"),
        ("alter schema f rename to functions", "alter schema functions"),
    ] {
        database.run("select * from capi.revalidate()").await;
        assert_eq!(database.get("select stale_reason from capi.source").await, "", "{rename}");
        database.run(rename).await;
        assert_eq!(database.get("select stale_reason from capi.source").await, reason);
    }
}

#[tokio::test]
async fn people_whose_time_of_consent_has_lost_its_zone_are_not_read() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema crm;
            create table crm.people (email text, consent boolean, consent_at timestamptz default now());
            insert into crm.people values ('jane@example.com', true);
            select capi.create_destination('m', 'meta', '{\"pixel_id\": \"1\"}', 'NONE');
            select capi.create_audience('list', 'm', 'crm.people', '{\"audience_id\": \"123\"}')",
        )
        .await;
    let read = "select capi._audience_read(a.audience, 1) ->> 'eligible' from capi.audience a";
    assert_eq!(database.get(read).await, "1");
    database.run("alter table crm.people alter consent_at type timestamp").await;
    let refusal = database.refused(read).await;
    assert!(refusal.message.contains("consent_at"), "{refusal:?}");
}

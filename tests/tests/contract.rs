//! The contract between a conversion view and what it is made of: changes are noticed, versions kept.

use capi_tests::database::Database;
use capi_tests::shop::{captured, errors};

async fn tracked() -> Database {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.customer (id bigint primary key, email text, nick text);
            create table own.sale (id bigint primary key, customer bigint, total numeric default 5, note text);
            create function own.fee(total numeric) returns numeric language sql set search_path = '' as 'select total';
            create view own.rich as select c.id, c.email from own.customer c;
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, own.fee(s.total) as value, 'EUR' as currency, true as consent, r.email
            from own.sale s left join own.rich r on r.id = s.customer;
            select capi.track('own.sale', conversions => 'own.conversion')",
        )
        .await;
    database
}

/// Why the source is stale, or `-`.
async fn stale(database: &Database) -> String {
    database.get("select coalesce(stale_reason, '-') from capi.sources").await
}

async fn versions(database: &Database) -> i64 {
    database.count("select count(*) from capi.source_version").await
}

#[tokio::test]
async fn a_change_below_the_view_marks_the_source_until_it_was_looked_at() {
    let database = tracked().await;
    assert_eq!(stale(&database).await, "-");
    for (change, mark) in [
        ("alter table own.customer add column age int", "alter table own.customer"),
        ("alter table own.sale alter note type varchar(100)", "alter table own.sale"),
        (
            "create or replace function own.fee(total numeric) returns numeric language sql set search_path = '' as 'select total + 1'",
            "create function own.fee(numeric)",
        ),
    ] {
        database.run(change).await;
        assert!(stale(&database).await.starts_with(mark), "{}", stale(&database).await);
        let looked = database.line("select * from capi.revalidate()").await;
        assert_eq!(looked, "own.sale|own.conversion||", "{change}");
        assert_eq!(stale(&database).await, "-");
    }
    assert_eq!(versions(&database).await, 1, "the view itself is the same");
    // What it is not made of is none of its business.
    database.run("create table own.other (id int); alter table own.other add x int; drop table own.other").await;
    assert_eq!(stale(&database).await, "-");
    // Postgres itself keeps the columns that the view needs.
    assert_eq!(database.refused("alter table own.customer drop column email").await.code, "2BP01");
}

#[tokio::test]
async fn a_replaced_view_captures_on_under_a_version_of_its_own() {
    let database = tracked().await;
    database.run("insert into own.sale (id) values (1)").await;
    let writer = database.connect().await;
    writer.run("insert into own.sale (id) values (2)").await;
    database
        .run(
            "create or replace view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, s.total * 2 as value, 'USD' as currency, true as consent, r.email
            from own.sale s left join own.rich r on r.id = s.customer",
        )
        .await;
    assert!(stale(&database).await.starts_with("create view own.conversion"));
    // A session that has captured before sees the new view, too.
    writer.run("insert into own.sale (id) values (3)").await;
    let events = database
        .column(
            "select o.key || ' ' || o.value || ' ' || o.currency || ' ' || (v.view_definition ~ 'USD')
            from capi.outbox o join capi.source_version v on v.version = o.version order by o.id",
        )
        .await;
    assert_eq!(events, ["1 5 EUR false", "2 5 EUR false", "3 10 USD true"]);
    assert_eq!(errors(&database).await, [""; 0]);
    while database.get("select capi.maintain() ->> 'more'").await == "true" {}
    assert_eq!(stale(&database).await, "-", "maintenance looks at what has changed");
}

#[tokio::test]
async fn a_view_that_no_longer_fits_is_named() {
    let database = tracked().await;
    database
        .run(
            "drop view own.conversion;
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now()::timestamp as event_time,
                'website' as action_source, 5 as value, 'EUR' as currency, true as consent
            from own.sale s",
        )
        .await;
    assert_eq!(stale(&database).await, "dropped: own.conversion");
    database.run("insert into own.sale (id) values (1)").await;
    assert_eq!(captured(&database).await, 0, "the order commits");
    let gone = database.line("select problem, hint from capi.revalidate()").await;
    assert!(gone.starts_with("the conversion view is gone|Make it again"), "{gone}");
    // Tracked again under its name, history goes on; the wrong type is refused with the way out.
    let refusal =
        database.refused("select capi.track('own.sale', conversions => 'own.conversion')").await;
    assert!(refusal.message.contains("timestamp without time zone"), "{refusal:?}");
}

#[tokio::test]
async fn nobodys_migration_fails_because_of_the_mark() {
    let database = tracked().await;
    let holder = database.connect().await;
    holder.run("begin; select from capi.source for update").await;
    let migration = database.connect().await;
    migration.run("alter table own.customer add column age int").await;
    holder.run("rollback").await;
    assert_eq!(migration.get("select count(*) from information_schema.columns where table_schema = 'own' and column_name = 'age'").await, "1");
    // A role with no right on capi may migrate its own tables.
    database
        .run("create role builder login; grant usage, create on schema own to builder; alter table own.customer owner to builder")
        .await;
    let builder = database.connect_as("builder").await;
    builder.run("alter table own.customer add column height int").await;
    assert!(stale(&database).await.starts_with("alter table own.customer"));
}

#[tokio::test]
async fn untrack_and_track_keep_the_history() {
    let database = tracked().await;
    database.run("insert into own.sale (id) values (1); select capi.untrack('own.sale'); insert into own.sale (id) values (2)").await;
    database.run("select capi.track('own.sale', conversions => 'own.conversion'); insert into own.sale (id) values (3); update own.sale set note = 'again'").await;
    // What was not captured meanwhile is captured when it is touched; nothing comes twice.
    let keys = "select string_agg(key, ' ' order by key) from capi.outbox";
    assert_eq!(database.get(keys).await, "1 2 3");
    assert_eq!(database.count("select count(distinct source) from capi.outbox").await, 1);
}

#[tokio::test]
async fn a_view_too_slow_for_the_budget_is_not_tracked() {
    let database = tracked().await;
    database
        .run(
            "insert into own.sale (id) values (1); set capi.time_budget = '20ms';
            create or replace function own.fee(total numeric) returns numeric language sql set search_path = ''
                as 'select total from pg_sleep(300)'",
        )
        .await;
    let problem = "select problem from capi.revalidate()";
    assert!(database.get(problem).await.contains("ten times capi.time_budget"));
    let refusal =
        database.refused("select capi.track('own.sale', conversions => 'own.conversion')").await;
    assert!(refusal.message.contains("ten times capi.time_budget"), "{refusal:?}");
}

//! Numbers that capture takes leave no trace in the application's session.

use std::collections::HashSet;

use capi_tests::database::Database;
use capi_tests::shop::{captured_keys, errors};

async fn tracked() -> Database {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (id bigint generated always as identity primary key, amount text);
            create table own.plain (id bigint primary key);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
                'website' as action_source, s.amount::numeric as value, 'EUR' as currency, true as consent
            from own.sale s;
            create view own.plain_conversion as
            select p.id, 'Lead' as event_name, 'plain-' || p.id as event_id, now() as event_time,
                'website' as action_source, true as consent
            from own.plain p;
            select capi.track('own.sale', conversions => 'own.conversion'),
                capi.track('own.plain', conversions => 'own.plain_conversion');
            grant usage on schema own to app;
            grant select, insert on own.sale, own.plain to app; grant usage on sequence own.sale_id_seq to app",
        )
        .await;
    database
}

#[tokio::test]
async fn lastval_is_the_applications_own() {
    let own = tracked().await;
    let app = own.connect_as("app").await;
    app.run("insert into own.sale (amount) values ('5')").await;
    assert_eq!(app.get("select lastval()").await, "1", "after the transaction");
    app.run("begin; insert into own.sale (amount) values ('6'); set constraints all immediate")
        .await;
    assert_eq!(app.get("select lastval()").await, "2", "in the transaction, after the capture");
    app.run("commit").await;
    // A capture that fails is counted and put on record.
    app.run("insert into own.sale (amount) values ('x')").await;
    assert_eq!(app.get("select lastval()").await, "3");
    app.run("insert into own.sale (amount) select n from generate_series(1, 300) n").await;
    assert_eq!(app.get("select lastval()").await, "303");
    assert_eq!(errors(&own).await, ["3 22P02 invalid_text_representation - open"]);
    assert_eq!(own.count("select count(*) from capi.outbox").await, 302);
}

#[tokio::test]
async fn a_session_that_has_used_no_sequence_has_no_lastval() {
    let own = tracked().await;
    let app = own.connect_as("app").await;
    app.run("insert into own.plain values (1)").await;
    app.run("insert into own.plain values (2), (3)").await;
    assert_eq!(captured_keys(&own).await, "1 2 3");
    assert_eq!(app.refused("select lastval()").await.code, "55000");
    assert_eq!(app.refused("select currval('capi.event')").await.code, "42501");
    let web = own.connect_as("web").await;
    own.run("select capi.create_emitter('calls')").await;
    web.run("select capi.emit('{\"event_name\": \"Lead\", \"event_id\": \"a\"}')").await;
    assert_eq!(web.refused("select lastval()").await.code, "55000");
}

#[tokio::test]
async fn ids_are_different_and_rise_whoever_draws_them() {
    let own = tracked().await;
    let mut sessions = Vec::new();
    for n in 0..4 {
        let session = own.connect_as("app").await;
        sessions.push(tokio::spawn(async move {
            for k in 0..40 {
                let from = n * 1000 + k * 10;
                let to = from + (k % 3) * 4;
                session
                    .run(&format!("insert into own.plain select generate_series({from}, {to})"))
                    .await;
            }
        }));
    }
    for session in sessions {
        session.await.expect("orders");
    }
    let ids = own.column("select id from capi.outbox order by id").await;
    let captured = own.count("select count(*) from own.plain").await;
    assert_eq!(i64::try_from(ids.len()).expect("few"), captured);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    // As the sequence says, and as nextval by hand goes on.
    let last: i64 = ids[ids.len() - 1].parse().expect("a number");
    assert_eq!(own.count("select last_value from capi.event").await, last);
    assert_eq!(own.count("select nextval('capi.event')").await, last + 1);
    own.run("insert into own.plain values (9999)").await;
    assert_eq!(own.count("select max(id) from capi.outbox").await, last + 2);
}

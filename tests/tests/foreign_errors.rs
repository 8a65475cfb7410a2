//! Errors that something below the view raises with the codes of the server: a function as it likes, a
//! foreign table whatever its own server has raised. The order commits, and maintenance goes on.

use capi_tests::database::Database;
use capi_tests::shop::{captured_keys, errors};

/// Codes that say of this server that it stops, is stopped, or lacks something.
const CODES: [&str; 7] = ["57014", "57P01", "57P02", "57P03", "57P04", "53200", "40001"];

const VALUE: &str = "qxforeign@example.com";

/// `own.sale`, whose view raises an error with the code that stands in `note`.
async fn raising() -> Database {
    let database = Database::adopted().await;
    database
        .run(&format!(
            "create schema own;
            create table own.sale (id bigint primary key, note text, at timestamptz default clock_timestamp());
            create function own.raises(note text) returns text language plpgsql stable
                set search_path = pg_catalog, pg_temp as $$
            begin
                if note is not null then raise exception '{VALUE}' using errcode = note; end if;
                return null;
            end $$;
            create view own.conversion as
            select s.id, 'Lead' as event_name, 'sale-' || s.id as event_id, s.at as event_time,
                'website' as action_source, true as consent, own.raises(s.note) as city
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion')"
        ))
        .await;
    database
}

#[tokio::test]
async fn an_order_commits_whatever_code_is_raised_below_the_view() {
    let database = raising().await;
    for (n, code) in (1..).zip(CODES) {
        database.run(&format!("insert into own.sale values ({n}, '{code}')")).await;
    }
    let recorded = errors(&database).await;
    let expected: Vec<String> = (1..)
        .zip(CODES)
        .map(|(n, code)| format!("{n} {code} "))
        .filter(|start| !recorded.iter().any(|error| error.starts_with(start)))
        .collect();
    assert_eq!(expected, [""; 0], "{recorded:?}");
    // Who asks for SERIALIZABLE is asked to try again, without the message.
    let order =
        "begin isolation level serializable; insert into own.sale values (8, '40001'); commit";
    let refusal = database.refused(order).await;
    assert_eq!(refusal.code, "40001");
    assert!(!format!("{refusal:?}").contains(VALUE), "{refusal:?}");
    database.run("rollback; insert into own.sale values (9)").await;
    assert_eq!(captured_keys(&database).await, "9");
    assert!(!database.cluster().log().contains(VALUE));
}

#[tokio::test]
async fn maintenance_gets_past_rows_that_raise_with_any_code() {
    let database = raising().await;
    database
        .run(
            "create table own.well (id bigint primary key, at timestamptz default clock_timestamp());
            create view own.wells as
            select w.id, 'Lead' as event_name, 'well-' || w.id as event_id, w.at as event_time,
                'website' as action_source, true as consent
            from own.well w;
            select capi.track('own.well', conversions => 'own.wells');
            set session_replication_role = replica;
            insert into own.sale values (1, '57014'), (2, '57P01'), (3, '53200'), (4, null);
            insert into own.well values (1);
            reset session_replication_role",
        )
        .await;
    while database.get("select capi.maintain() ->> 'more'").await == "true" {}
    database.run("select capi.sweep(); select capi.recapture(); select capi.revalidate()").await;
    assert_eq!(captured_keys(&database).await, "1 4");
    assert!(!database.cluster().log().contains(VALUE));
}

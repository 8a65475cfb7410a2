//! Values without an end: each costs its own field or answers with an error that says what to do,
//! and whatever takes long can be interrupted.

use std::time::{Duration, Instant};

use capi_tests::database::{Database, Refusal, Trouble};
use capi_tests::shop::{captured, errors, tracked_shop};

/// A table with this column, which the view shows as this field.
async fn tracked(column: &str, field: &str) -> Database {
    let shop = tracked_shop().await;
    shop.run(&format!(
        "create schema own;
        create table own.sale (id bigint primary key, given {column});
        create view own.conversion as
        select s.id, 'Lead' as event_name, 's-' || s.id as event_id, now() as event_time,
            'website' as action_source, true as consent, s.given as {field}
        from own.sale s"
    ))
    .await;
    shop.run(
        "select capi.track('own.sale', conversions => 'own.conversion', destinations => '{meta-eu}')",
    )
    .await;
    shop
}

fn is_plain(refusal: &Refusal) {
    let said = format!("{refusal:?}");
    for inside in ["panicked", "backtrace", "serde", "src/", "called `", "recursion"] {
        assert!(!said.contains(inside), "{said}");
    }
}

#[tokio::test]
async fn a_list_without_an_end_costs_the_rest_of_it_and_no_time() {
    for (field, value, kept) in [
        ("email", "'a' || g || '@example.org'", 32),
        ("phone", "'+4930' || 10000000 + g", 32),
        ("city", "'Berlin ' || 10000 + g", 1),
    ] {
        let shop = tracked("text[]", field).await;
        let begun = Instant::now();
        shop.run(&format!(
            "insert into own.sale select 1, array_agg({value}) from generate_series(1, 300000) g"
        ))
        .await;
        let took = begun.elapsed();
        assert_eq!(errors(&shop).await, [""; 0], "{field}");
        assert!(took < Duration::from_secs(20), "{field}: {took:?}");
        let found = format!(
            "select jsonb_array_length(identity -> '{field}'), dropped ->> '{field}' from capi.outbox"
        );
        let found = shop.line(&found).await;
        if field == "city" {
            assert!(found.ends_with("|too_many"), "{found}");
        } else {
            assert_eq!(found, format!("{kept}|too_many"), "{field}");
        }
    }
}

#[tokio::test]
async fn a_long_capture_is_cancelled_when_its_user_says_so() {
    let shop = tracked("jsonb", "custom").await;
    // Many rows of large values: between any two of them there is a look at interrupts.
    shop.run("set capi.time_budget = '10min'; set statement_timeout = '300ms'").await;
    let begun = Instant::now();
    let refusal = shop
        .refused(
            "select capi.emit((select jsonb_agg(jsonb_build_object('event_name', 'Lead', 'event_id', g,
                'action_source', 'website', 'consent', true,
                'custom', jsonb_build_object('x', repeat('y', 200))))
                from generate_series(1, 300000) g))",
        )
        .await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(["57014", "54000"].contains(&refusal.code.as_str()), "{refusal:?}");
}

#[tokio::test]
async fn deep_json_costs_its_field() {
    let shop = tracked("jsonb", "custom").await;
    shop.run("insert into own.sale select 1, ('{\"a\":' || repeat('[', 4000) || repeat(']', 4000) || '}')::jsonb").await;
    assert_eq!(shop.get("select dropped from capi.outbox").await, r#"{"custom": "too_deep"}"#);
    let shop = tracked("json", "contents").await;
    shop.run("insert into own.sale select 1, (repeat('[', 4000) || repeat(']', 4000))::json").await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(shop.get("select dropped ->> 'contents' from capi.outbox").await, "wrong_shape");
}

#[tokio::test]
async fn deep_json_never_ends_a_function_with_a_panic() {
    let shop = tracked_shop().await;
    shop.run("select capi.create_emitter('shop.carts', destinations => '{meta-eu}')").await;
    let deep = "(repeat('[', 200) || repeat(']', 200))::jsonb";
    let inside = format!(
        "jsonb_build_object('event_name', 'Lead', 'event_id', 'x', 'event_time', now(), 'action_source',
            'website', 'consent', true, 'custom', jsonb_build_object('a', {deep}), 'contents', {deep}, 'email', {deep})"
    );
    for call in [
        format!("select capi.emit({deep})"),
        format!("select capi.emit({inside})"),
        format!("select capi._check_settings('meta', {deep})"),
        format!("select capi._check_settings('meta', jsonb_build_object('pixel_id', {deep}))"),
        format!(
            "select capi.create_destination('deep', platform => 'meta', credential => 'X', settings => {deep})"
        ),
        format!("select * from capi._explain_match('meta', {inside}, {deep})"),
        format!("select capi._preview('x', 'meta', '{{\"pixel_id\":\"1\"}}', {inside}, '{{}}')"),
        format!("select capi._preview('x', 'meta', '{{\"pixel_id\":\"1\"}}', {deep}, '{{}}')"),
        format!(
            "select capi._pixel_snippet('x', 'meta', '{{\"pixel_id\":\"1\"}}', {inside}, '{{}}', '{{}}', null)"
        ),
        format!("select capi._check_audience('meta', '{{\"pixel_id\":\"1\"}}', {deep})"),
        format!("select capi._survey('shop.purchases'::regclass, 'meta', {deep}, 10)"),
    ] {
        if let Err(refusal) = shop.ask(&call).await {
            is_plain(&refusal);
            assert_ne!(refusal.code, "XX000", "{call}: {refusal:?}");
        }
    }
    let answer = shop.get(&format!("select capi.emit({inside})")).await;
    assert!(answer.contains("\"custom\": \"too_deep\""), "{answer}");
    assert!(answer.contains("\"status\": \"known\""), "{answer}");
}

#[tokio::test]
async fn numbers_and_texts_without_an_end_are_no_trouble_either() {
    let shop = tracked_shop().await;
    shop.run("select capi.create_emitter('shop.carts', destinations => '{meta-eu}')").await;
    let event = |field: &str, value: &str| {
        format!(
            "select capi.emit(jsonb_build_object('event_name', 'Lead', 'event_id', gen_random_uuid(),
                'action_source', 'website', 'consent', true, '{field}', {value}))"
        )
    };
    for field in [
        "value",
        "custom",
        "contents",
        "num_items",
        "email",
        "phone",
        "city",
        "gclid",
        "browser",
        "external_id",
    ] {
        for value in [
            "'1e400'::jsonb",
            "'NaN'::float8",
            "'Infinity'::float8",
            "repeat('9', 100000)::numeric",
            "repeat('x', 20000000)",
            "jsonb_build_object('a', repeat('9', 100000)::numeric)",
        ] {
            match shop.ask(&event(field, value)).await {
                Ok(answer) => {
                    let answer = answer[0][0].clone().unwrap_or_default();
                    assert!(answer.contains("captured") || answer.contains("failed"), "{answer}");
                }
                Err(refusal) => panic!("{field} {value}: {refusal:?}"),
            }
        }
    }
}

#[tokio::test]
async fn bad_events_fill_no_table() {
    let shop = tracked_shop().await;
    shop.run("select capi.create_emitter('shop.carts', destinations => '{meta-eu}')").await;
    let refusal = shop
        .refused("select capi.emit((select jsonb_agg(g) from generate_series(1, 200000) g))")
        .await;
    assert_eq!(refusal.code, "54000", "{refusal:?}");
    assert!(refusal.hint.contains("several calls"), "{refusal:?}");
    is_plain(&refusal);
    let large = "select capi.emit(jsonb_build_array(jsonb_build_object('event_name', 'Lead',
        'event_id', '1', 'email', repeat('x', 80000000))))";
    assert_eq!(shop.refused(large).await.code, "54000");
    // Many calls of bad events: the first of an hour are on record, the others are counted.
    for call in 0..6 {
        shop.run(&format!(
            "select capi.emit((select jsonb_agg(jsonb_build_object('event_id', '{call}-' || g, 'consent', true))
                from generate_series(1, 2000) g))"
        ))
        .await;
    }
    let recorded = shop.count("select count(*) from capi.capture_error").await;
    assert_eq!(recorded, 10_000);
    let more = "select sum(more) from capi.unrecorded_errors where source = 'shop.carts'";
    assert_eq!(shop.count(more).await, 2_000);
    assert_eq!(shop.count("select last_value from capi.capture_failures").await, 12_000);
    // One that is on record already is no new one.
    shop.run("select capi.emit('{\"event_id\": \"0-1\", \"consent\": true}')").await;
    assert_eq!(shop.count("select times from capi.capture_error where key = '0-1'").await, 2);
    assert_eq!(shop.count(more).await, 2_000);
}

#[tokio::test]
async fn a_document_without_an_end_costs_its_field_whatever_its_type() {
    for (column, field, value) in [
        ("json", "contents", "('[' || repeat('1,', 5000000) || '1]')::json"),
        ("json", "custom", "('{\"a\": [' || repeat('1,', 5000000) || '1]}')::json"),
        ("json", "content_ids", "('[\"' || repeat('x', 20000000) || '\"]')::json"),
        ("text[]", "content_ids", "array(select 'x' || g from generate_series(1, 1000000) g)"),
        ("integer[]", "content_ids", "array(select g from generate_series(1, 1000000) g)"),
        ("text", "search_string", "repeat('x', 50000000)"),
    ] {
        let shop = tracked(column, field).await;
        let begun = Instant::now();
        shop.run(&format!("insert into own.sale select 1, {value}")).await;
        let took = begun.elapsed();
        assert_eq!(errors(&shop).await, [""; 0], "{column} {field}");
        assert_eq!(captured(&shop).await, 1, "{column} {field}");
        assert!(took < Duration::from_secs(20), "{column} {field}: {took:?}");
        let dropped = format!("select coalesce(dropped ->> '{field}', '-') from capi.outbox");
        let reason = shop.get(&dropped).await;
        assert_ne!(reason, "-", "{column} {field}");
    }
}

#[tokio::test]
async fn a_session_without_memory_ends_alone() {
    let shop = tracked_shop().await;
    shop.run(
        "create schema own;
        create table own.sale (id text primary key);
        grant usage on schema own to app; grant insert on own.sale to app;
        create view own.conversion as
        select s.id, 'Lead' as event_name, md5(s.id) as event_id, now() as event_time,
            'website' as action_source, true as consent from own.sale s;
        select capi.track('own.sale', conversions => 'own.conversion', destinations => '{meta-eu}')",
    )
    .await;
    let app = shop.connect_as("app").await;
    app.run("insert into own.sale values ('first')").await;
    let pid = app.pid().await;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("its size");
    let size: u64 = size.trim().trim_end_matches(" kB").parse().expect("a number");
    shop.cluster().bound_memory(pid, (size + 100 * 1024) * 1024);
    let load = "insert into own.sale select 'b' || repeat('k', 900) || g from generate_series(1, 200000) g";
    match app.attempt(load).await {
        Err(Trouble::Lost) => {}
        Err(Trouble::Refused(refusal)) => assert_eq!(refusal.code, "53200", "{refusal:?}"),
        Ok(_) => panic!("there was memory"),
    }
    // Everybody else goes on, in the sessions that they had.
    assert_eq!(captured(&shop).await, 1);
    let log = shop.cluster().log();
    assert!(
        !log.contains("terminating any other active server processes"),
        "the cluster was restarted"
    );
}

//! One reader of rows: what the server captures, what a preview shows, what a sample judges and what a
//! page says are the same values, of whatever type a column is.

use capi_tests::database::{Database, Session};
use capi_tests::shop::errors;
use serde_json::Value;

/// Fields and expressions of many types: a name for the message, the field, the expression.
const VALUES: &[(&str, &str)] = &[
    ("event_id", "'o-2'::char(20)"),
    ("event_id", "'o-2'::name"),
    ("event_id", "1e21::float8"),
    ("event_id", "0.1::float4"),
    ("event_id", "(0.1::float8 + 0.2)"),
    ("event_id", "1.50::numeric"),
    ("event_id", "7::bigint"),
    ("event_id", "inet '10.0.0.1'"),
    ("event_id", "inet '10.0.0.1/8'"),
    ("event_id", "cidr '10.0.0.0/8'"),
    ("event_id", "uuid '6f4e1a2b-0000-4000-8000-00000000000a'"),
    ("event_id", "'so so'::r.mood"),
    ("event_id", "'o-2'::r.word"),
    ("event_id", "' o 2 '::text"),
    ("event_id", "''::text"),
    ("event_id", "repeat('x', 300)"),
    ("event_id", "E'a\\u0085b'"),
    ("event_name", "'Lead'::char(20)"),
    ("event_name", "'Lead'::name"),
    ("action_source", "'website'::char(20)"),
    ("value", "1e21::float8"),
    ("value", "'NaN'::numeric"),
    ("value", "10.50::numeric"),
    ("value", "10.5::r.amount"),
    ("currency", "'EUR'::char(5)"),
    ("currency", "'EUR'::char(3)"),
    ("event_time", "o.at + interval '0.123456 s'"),
    ("event_time", "timestamptz 'infinity'"),
    ("event_time", "o.at::r.moment"),
    ("custom", r#"json '{"a": "\ud83d", "b": 1}'"#),
    ("custom", r#"json '{"a": 1, "a": 2, "b": 1.50}'"#),
    ("custom", r#"json '{"a": "\u0000"}'"#),
    ("custom", r#"json '{"a": 1e400000}'"#),
    ("custom", "(repeat('[', 200) || repeat(']', 200))::json"),
    ("custom", r#"jsonb '{"a": 1e21, "b": [1.50, null]}'"#),
    ("contents", r#"array[json '{"id": "\ud83d"}', json '{"id": "a"}']"#),
    ("contents", "array[row('sku-1', 2)::r.item]"),
    ("contents", r#"json '[{"id": "a", "item_price": 1.50}]'"#),
    ("content_ids", "array['a', null, 'b c']"),
    ("content_ids", "array[1.50, 2]"),
    ("content_ids", "array[1e21::float8, 0.1]"),
    ("content_ids", "array[date '2026-11-29']"),
    ("content_ids", "array[timestamptz '2026-11-29 12:00+02']"),
    ("content_ids", "array[bytea '\\xdead']"),
    ("content_ids", "array[interval '1 day 2 hours']"),
    ("email", "'jane@example.com'::char(40)"),
    ("email", "array['jane@example.com', 'doe@example.com']"),
    ("email", "array['jane@example.com'::char(40)]"),
    ("email", "'jane@example.com'::x.citext"),
    ("external_id", "42::bigint"),
    ("external_id", "1.50::numeric"),
    ("external_id", "1e21::float8"),
    ("external_id", "uuid '6f4e1a2b-0000-4000-8000-00000000000a'"),
    ("external_id", "array[1, 2]"),
    ("date_of_birth", "date '1990-02-03'"),
    ("date_of_birth", "date 'infinity'"),
    ("date_of_birth", "'1990-02-03'::r.day"),
    ("date_of_birth", "'1990-02-03'::text"),
    ("client_ip_address", "inet '198.51.100.7'"),
    ("client_ip_address", "'198.51.100.7'::text"),
    ("browser", r#"json '{"ip": "198.51.100.7", "user_agent": "Mozilla/5.0 \ud83d"}'"#),
    ("browser", r#"jsonb '{"ip": "198.51.100.7"}'"#),
    ("consent", r#"json '{"meta": true, "webhook": true}'"#),
    ("consent", "'yes'::char(5)"),
    ("num_items", "2.00::numeric"),
    ("order_id", "'A-1 '::char(9)"),
];

const TASTE: &str =
    "set timezone = 'Asia/Kathmandu'; set datestyle = 'German'; set extra_float_digits = -3;
    set bytea_output = 'escape'; set intervalstyle = 'iso_8601'";

async fn database() -> Database {
    let database = Database::adopted().await;
    database
        .run(
            "create schema r; create schema x; create extension citext schema x;
            create type r.mood as enum ('so so'); create domain r.word as text; create domain r.amount as numeric;
            create domain r.moment as timestamptz; create domain r.day as date; create type r.item as (id text, quantity integer);
            select capi.create_destination('hook', 'webhook', '{\"endpoint\": \"https://hook.example.com/\"}', 'NONE');
            select capi.create_destination('m', 'meta', '{\"pixel_id\": \"1\"}', 'NONE'); select capi.resume('m')",
        )
        .await;
    database
}

/// Makes the view anew, with this expression as this field.
async fn shown(database: &Database, n: usize, field: &str, expression: &str) {
    let mut columns = vec![
        ("event_name", "'Lead'"),
        ("event_id", "'o-2'"),
        ("event_time", "o.at"),
        ("action_source", "'website'"),
        ("value", "10"),
        ("currency", "'EUR'"),
        ("consent", "true"),
        ("event_source_url", "'https://shop.example.com/'"),
        ("email", "'roe@example.com'"),
    ];
    columns.retain(|(name, _)| *name != field);
    columns.push((field, expression));
    let list: Vec<String> =
        columns.iter().map(|(name, value)| format!("{value} as {name}")).collect();
    database
        .run(&format!(
            "create table r.o{n} (id bigint primary key, at timestamptz default date_trunc('hour', now() - interval '1 hour'));
            create view r.v{n} as select o.id, {} from r.o{n} o;
            select capi.track('r.o{n}', conversions => 'r.v{n}', destinations => '{{hook,m}}');
            insert into r.o{n} values (1)",
            list.join(", ")
        ))
        .await;
}

/// The captured event as the webhook would get it, without what capture gives it.
async fn preview_of(session: &Session, n: usize) -> Value {
    let body = session.get(&format!("select capi.preview('hook', v) from r.v{n} v")).await;
    event_in(&body)
}

/// The only event of a body, or why there is none.
fn event_in(body: &str) -> Value {
    let body: Value = serde_json::from_str(body).expect("a body");
    body.pointer("/events/0").cloned().unwrap_or(body)
}

#[tokio::test]
async fn the_server_the_preview_and_the_page_read_the_same_values() {
    let database = database().await;
    let page = database.connect().await;
    page.run(TASTE).await;
    for (n, (field, expression)) in VALUES.iter().enumerate() {
        let what = format!("{field}: {expression}");
        shown(&database, n, field, expression).await;
        let captured = database
            .rows(&format!(
                "select o.event_id, o.event_name, o.event_time, o.value::text, o.currency, o.facts, o.identity, o.dropped
                from capi.outbox o join capi.source s using (source) where s.conversions_name = 'r.v{n}'"
            ))
            .await;
        let id = page.get(&format!("select capi.event_id(v) from r.v{n} v")).await;
        let snippet = page.get(&format!("select capi.pixel_snippet('m', v) from r.v{n} v")).await;
        let explained = page
            .column(&format!(
                "select coalesce(x.field || ': ' || x.reason, x.status) from r.v{n} v, capi.explain_match(v, 'meta') x
                where x.reason is not null or x.field is null order by 1"
            ))
            .await;
        let preview = preview_of(&page, n).await;
        // The same from a row that has no type of its own.
        let bare = page
            .get(&format!("select capi.preview('hook', v) from (select * from r.v{n} offset 0) v"))
            .await;
        assert_eq!(event_in(&bare), preview, "{what}");
        // A sample of the view, read as capture reads it.
        let sample = database
            .column(&format!(
                "select finding from capi.check_view('r.v{n}', 'meta', sample => 10) where finding like '%would be capture errors%'
                    or finding like '%could not%'"
            ))
            .await;
        let Some(row) = captured.first() else {
            let wrong = database
                .line(&format!(
                    "select e.field || ': ' || e.reason from capi.capture_error e join capi.source s using (source)
                    where s.conversions_name = 'r.v{n}'"
                ))
                .await;
            assert_eq!(preview["not_sent"], "capture_error", "{what}: {preview}");
            assert_eq!(preview["reason"], wrong.as_str(), "{what}: {:?}", errors(&database).await);
            assert!(!snippet.contains("fbq('track"), "{what}: {snippet}");
            if *field == "event_id" {
                assert_eq!(id, "", "{what}: an id that no event has");
            }
            if !wrong.starts_with("event_time") {
                assert_eq!(sample.len(), 1, "{what}: {sample:?}");
            }
            continue;
        };
        let text = |at: usize| row[at].clone().unwrap_or_default();
        let json = |at: usize| serde_json::from_str::<Value>(&text(at)).expect("JSON");
        assert_eq!(sample, [""; 0], "{what}");
        assert_eq!(id, text(0), "{what}");
        assert!(
            snippet.contains(&serde_json::to_string(&text(0)).expect("a text").replace('/', "\\/"))
                || snippet.contains(&text(0)),
            "{what}: {snippet}"
        );
        assert_eq!(preview["event_id"], text(0), "{what}: {preview}");
        assert_eq!(preview["event_name"], text(1), "{what}: {preview}");
        let iso = format!(
            "to_char(timestamptz '{}' at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')",
            text(2)
        );
        let iso = database.get(&format!("select {iso}")).await;
        assert!(preview["event_time"].to_string().contains(&iso), "{what}: {preview} {iso}");
        assert_eq!(preview["value"].to_string(), text(3), "{what}: {preview}");
        assert_eq!(preview["currency"], text(4), "{what}: {preview}");
        for (name, value) in json(5).as_object().expect("facts") {
            // The webhook has what a page would call its own in places of its own.
            let of = preview["facts"].get(name).or_else(|| preview.get(name));
            assert_eq!(
                of.map(ToString::to_string),
                Some(value.to_string()),
                "{what}: {name}: {preview}"
            );
        }
        for (name, value) in json(6).as_object().expect("digests") {
            let of = preview.pointer("/identity").and_then(|all| all.get(name));
            assert_eq!(of, Some(value), "{what}: {name}: {preview}");
        }
        for (name, reason) in json(7).as_object().expect("what was dropped") {
            let name = name.split(['.', '[']).next().unwrap_or_default();
            let line = format!("{name}: {}", reason.as_str().expect("a word"));
            assert!(
                explained
                    .iter()
                    .any(|said| *said == line || said.starts_with(&format!("{name}: "))),
                "{what}: {line} is not among {explained:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_column_that_cannot_be_read_does_not_cost_the_page() {
    let database = database().await;
    database
        .run(
            "create function r.bad(r.item) returns text language plpgsql immutable set search_path = pg_catalog as
                $$ begin raise exception 'no'; end $$;
            create cast (r.item as text) with function r.bad(r.item);
            create table r.o (id bigint primary key, thing r.item);
            create view r.v as select id, 'Lead' as event_name, 'o-' || id as event_id, now() as event_time,
                'website' as action_source, 'https://shop.example.com/' as event_source_url, true as consent, thing as search_string from r.o;
            insert into r.o values (1, row('a', 1))",
        )
        .await;
    assert_eq!(database.get("select capi.event_id(v) from r.v v").await, "o-1");
    assert!(database.get("select capi.pixel_snippet('m', v) from r.v v").await.contains("o-1"));
    assert_eq!(
        database.get("select capi.preview('hook', v) #>> '{events,0,event_id}' from r.v v").await,
        "o-1"
    );
}

#[tokio::test]
async fn what_a_person_cannot_be_read_of_is_not_the_end_of_an_audience() {
    let database = database().await;
    database
        .run(
            r#"create table r.people (email text[], external_id char(9), consent json, date_of_birth date);
            insert into r.people values ('{jane@example.com}', 'A-1', 'true', '1990-02-03'),
                ('{doe@example.com}', 'B-1', '"\ud83d"', 'infinity'), ('{roe@example.com}', 'C-1', '{"meta": true}', null);
            select capi.create_audience('list', 'm', 'r.people', '{"audience_id": "123"}')"#,
        )
        .await;
    let read = "select capi._audience_read(a.audience, 1) from capi.audience a";
    let report: Value = serde_json::from_str(&database.get(read).await).expect("JSON");
    assert_eq!((&report["rows"], &report["eligible"]), (&3.into(), &2.into()), "{report}");
}

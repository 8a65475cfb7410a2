//! A key has one spelling: what a trigger notes in any session, what the view shows, and what a person
//! types are one text, or a refused person is sent.

use capi_tests::database::{Database, quoted};
use capi_tests::shop::{captured_keys, errors};

/// What sessions set, and what would change the text of a key.
const TASTES: [&str; 3] = [
    "set timezone = 'Asia/Kathmandu'; set datestyle = 'German'; set extra_float_digits = -15; set bytea_output = 'escape'",
    "set timezone = 'America/New_York'; set datestyle = 'SQL, MDY'; set extra_float_digits = 3; set intervalstyle = 'iso_8601'",
    "set search_path = pg_catalog; set standard_conforming_strings = on",
];

/// Types of keys: type, the spelling, and texts of the same value.
const KEYS: &[(&str, &str, &[&str])] = &[
    ("bigint", "42", &["42", " 42", "042"]),
    ("smallint", "-7", &["-7", "-07"]),
    ("k.number", "42", &["42", "042"]),
    ("numeric", "1", &["1.00", "1", "1.0", "+1e0"]),
    ("numeric(10,2)", "1.5", &["1.50", "1.5"]),
    ("k.amount", "1.5", &["1.50", "1.5"]),
    ("numeric", "NaN", &["NaN", "nan"]),
    ("double precision", "0", &["-0", "0", "0e5"]),
    ("double precision", "0.30000000000000004", &["0.30000000000000004", "3.0000000000000004e-1"]),
    ("double precision", "1.5", &["1.5", "15e-1"]),
    ("double precision", "Infinity", &["Infinity", "inf"]),
    ("real", "0.10000000149011612", &["0.1", "0.10000000149"]),
    ("real", "0", &["-0", "0"]),
    ("bytea", "\\xdead00", &["\\xdead00", "\\xDEAD00", "\\336\\255\\000"]),
    ("text", "a b", &["a b"]),
    ("varchar(9)", "a b", &["a b"]),
    ("char(9)", "a b", &["a b", "a b   "]),
    ("name", "a b", &["a b"]),
    ("boolean", "true", &["true", "t", "yes", "1"]),
    (
        "uuid",
        "6f4e1a2b-0000-4000-8000-00000000000a",
        &["6f4e1a2b-0000-4000-8000-00000000000a", "{6F4E1A2B000040008000-00000000000A}"],
    ),
    ("date", "2026-03-29", &["2026-03-29", "20260329", "March 29, 2026"]),
    ("date", "infinity", &["infinity"]),
    ("timestamp", "2026-03-29 01:30:00.25", &["2026-03-29 01:30:00.25", "2026-03-29T01:30:00.250"]),
    (
        "timestamptz",
        "2026-03-28 23:30:00.25+00",
        &["2026-03-29 01:30:00.25+02", "2026-03-28T23:30:00.25Z"],
    ),
    ("timestamptz", "-infinity", &["-infinity"]),
    ("time", "01:30:00", &["01:30", "1:30 AM"]),
    ("timetz", "01:30:00+02", &["01:30+02", "1:30 AM +02:00"]),
    ("bit(3)", "101", &["101"]),
    ("varbit", "10", &["10"]),
    ("macaddr", "08:00:2b:01:02:03", &["08:00:2b:01:02:03", "08002b010203"]),
    ("pg_lsn", "0/A", &["0/A", "0/0000000A"]),
    ("oid", "7", &["7", "007"]),
    ("k.mood", "so so", &["so so"]),
    ("k.word", "jane", &["jane"]),
    ("x.citext", "jane", &["Jane", "JANE", "jane"]),
];

async fn made(key: &str) -> Database {
    let database = Database::adopted().await;
    database
        .run(&format!(
            "create schema k; create schema x; create extension citext schema x; create extension ltree schema x;
            create domain k.number as bigint check (value > 0); create domain k.amount as numeric;
            create domain k.word as text; create type k.mood as enum ('so so', 'fine');
            create collation k.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
            create table k.o (id {key} primary key, paid timestamptz not null default now(), consent boolean default true);
            create view k.v as select id, 'Lead' as event_name, 'o-' || md5(id::text) as event_id, paid as event_time,
                'website' as action_source, 'https://shop.example.com/' as event_source_url, 'jane@example.com' as email,
                consent from k.o"
        ))
        .await;
    database
}

const TRACK: &str = "select capi.track('k.o', conversions => 'k.v')";

#[tokio::test]
async fn a_key_is_one_text_in_every_session_and_for_everybody() {
    for (of, spelled, texts) in KEYS {
        let database = made(of).await;
        database.run(TRACK).await;
        for (n, text) in texts.iter().enumerate() {
            let what = format!("{of}: {text}");
            let session = database.connect().await;
            let value = format!("{}::{of}", quoted(text));
            let value = if n == 0 || of.contains("date") || of.contains("time") {
                // Read before the session has a taste in days.
                format!("(select {value})")
            } else {
                value
            };
            session.run(&format!("create temp table given as select {value} as id")).await;
            session.run(TASTES[n % TASTES.len()]).await;
            session.run("insert into k.o select id from pg_temp.given").await;
            assert_eq!(
                captured_keys(&database).await,
                *spelled,
                "{what}: {:?}",
                errors(&database).await
            );
            // The same row under another spelling of its key: the refusal is heard.
            session
                .run("update k.o set id = (select id from pg_temp.given), consent = false")
                .await;
            assert_eq!(
                database.line("select key, refused from capi.withdrawal").await,
                format!("{spelled}|{{*}}"),
                "{what}"
            );
            session.run("update k.o set consent = true").await;
            assert_eq!(database.get("select refused from capi.withdrawal").await, "{}", "{what}");
            let given = quoted(text);
            database.run(&format!("select capi.withdraw('k.o', {given})")).await;
            assert_eq!(
                database.line("select key, refused from capi.withdrawal").await,
                format!("{spelled}|{{*}}"),
                "{what}"
            );
            let found = format!("select vanished from capi.recapture('k.o', array[{given}])");
            assert_eq!(database.get(&found).await, "0", "{what}");
            let emptied = format!("select capi.forget('k.o', {given}) ->> 'events_emptied'");
            assert_eq!(database.get(&emptied).await, "1", "{what}");
            assert_eq!(database.get("select missing from capi.sweep('k.o')").await, "0", "{what}");
            database
                .run(
                    "delete from k.o; delete from capi.withdrawal; delete from capi.outbox;
                    delete from capi.event_key",
                )
                .await;
        }
        // What is no key of this type is none of anybody's; the message does not repeat it.
        if ["bigint", "numeric", "uuid", "date", "k.mood"].contains(of) {
            for call in [
                "capi.withdraw('k.o', 'jane-doe')",
                "capi.forget('k.o', 'jane-doe')",
                "capi.recapture('k.o', '{jane-doe}')",
            ] {
                let refusal = database.refused(&format!("select {call}")).await;
                assert_eq!(refusal.code, "22023", "{of}: {call}: {refusal:?}");
                let said = format!("{refusal:?}");
                assert!(!said.contains("jane-doe"), "{of}: {call}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_can_be_written_in_several_ways_is_refused_with_a_sentence() {
    for (of, what) in [
        ("interval", "keys of type interval can be written in several ways"),
        ("money", "keys of type money can be written in several ways"),
        ("jsonb", "keys of type jsonb can be written in several ways"),
        ("int4range", "keys of type int4range can be written in several ways"),
        ("text[]", "keys of type text[] can be written in several ways"),
        ("x.ltree", "keys of type x.ltree can be written in several ways"),
        (
            "text collate k.any_case",
            "keys of type text with collation any_case can be written in several ways",
        ),
    ] {
        let database = made(of).await;
        let refusal = database.refused(TRACK).await;
        assert_eq!(refusal.code, "42P17", "{of}");
        assert!(refusal.message.contains(what), "{of}: {}", refusal.message);
        assert!(refusal.hint.contains("A withdrawal would miss its row"), "{of}: {}", refusal.hint);
        let findings = "select count(*) from capi.check_view('k.v', source => 'k.o')
            where severity = 'error' and field = 'id' and finding like '%several ways'";
        assert_eq!(database.count(findings).await, 1, "{of}");
    }
}

#[tokio::test]
async fn each_column_of_a_key_is_spelled() {
    let database = made("bigint").await;
    database
        .run(
            "drop table k.o cascade;
            create table k.o (day date, no numeric, who x.citext, consent boolean default true, primary key (no, who, day));
            create view k.v as select day, no, who, 'Lead' as event_name, 'o-' || no::int as event_id, now() as event_time,
                'website' as action_source, consent from k.o;
            select capi.track('k.o', conversions => 'k.v');
            set datestyle = German;
            insert into k.o values ('29.03.2026', 1.50, 'Jane')",
        )
        .await;
    let key = r#"["1.5", "jane", "2026-03-29"]"#;
    assert_eq!(captured_keys(&database).await, key, "{:?}", errors(&database).await);
    database.run("update k.o set no = 1.5000, who = 'JANE', consent = false").await;
    let withdrawn = "select key || ' ' || refused::text from capi.withdrawal";
    assert_eq!(database.get(withdrawn).await, format!("{key} {{*}}"));
    database.run("update k.o set consent = true").await;
    database.run("select capi.withdraw('k.o', '[\"1.500\",\"JANE\",\"20260329\"]')").await;
    assert_eq!(database.get(withdrawn).await, format!("{key} {{*}}"));
    assert_eq!(database.count("select count(*) from capi.withdrawal").await, 1);
    let refusal = database.refused("select capi.withdraw('k.o', '[\"1.500\"]')").await;
    assert_eq!(refusal.code, "22023");
    assert_eq!(database.get("select missing from capi.sweep('k.o')").await, "0");
}

#[tokio::test]
async fn the_pixel_knows_the_withdrawal_of_a_key_that_is_written_otherwise() {
    let database = made("numeric").await;
    database
        .run(
            "select capi.create_destination('m', 'meta', '{\"pixel_id\": \"1\"}', 'NONE');
            select capi.track('k.o', conversions => 'k.v', destinations => '{m}'); select capi.resume('m');
            insert into k.o values (1.00)",
        )
        .await;
    let snippet = "select capi.pixel_snippet('m', v) from k.v";
    let before = database.get(snippet).await;
    assert!(before.contains("fbq("), "{before}");
    database.run("select capi.withdraw('k.o', '1')").await;
    assert!(!database.get(snippet).await.contains("fbq("));
}

#[tokio::test]
async fn what_an_index_only_includes_is_no_part_of_the_key() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema k;
            create table k.o (id bigint, email text, consent boolean default true, primary key (id) include (email));
            create view k.v as select id, 'Lead' as event_name, 'o-' || id as event_id, now() as event_time,
                'website' as action_source, email, consent from k.o;
            select capi.track('k.o', conversions => 'k.v');
            insert into k.o values (1, 'jane@example.com')",
        )
        .await;
    assert_eq!(captured_keys(&database).await, "1");
    database.run("update k.o set email = 'jane.doe@example.com', consent = false").await;
    assert_eq!(database.line("select key, refused from capi.withdrawal").await, "1|{*}");
    // A column that is included is no key of a view, and one that has its name is unknown.
    database
        .run(
            "create table k.p (id bigint, shelf text, primary key (id) include (shelf));
            create view k.w as select id, shelf, 'Lead' as event_name, 'o-' || id as event_id, now() as event_time,
                'website' as action_source, true as consent from k.p",
        )
        .await;
    let finding = "select finding from capi.check_view('k.w') where field = 'shelf'";
    assert_eq!(database.get(finding).await, "unknown column");
}

/// Old applications set it, also as a setting of their role.
#[tokio::test]
async fn a_backslash_means_the_same_in_every_session() {
    let database = Database::adopted().await;
    database
        .run(
            "set standard_conforming_strings = off;
            create schema own;
            create table own.blob (id bytea primary key, consent boolean default true, at timestamptz default clock_timestamp());
            create view own.conversion as
            select b.id, 'Lead' as event_name, 'blob-' || encode(b.id, 'hex') as event_id, b.at as event_time,
                'website' as action_source, b.consent
            from own.blob b;
            select capi.track('own.blob', conversions => 'own.conversion');
            insert into own.blob values (decode('00ff', 'hex'))",
        )
        .await;
    let other = database.connect().await;
    other.run("insert into own.blob values (decode('01ff', 'hex'))").await;
    let keys = database.column("select key from capi.outbox order by key").await;
    assert_eq!(keys, [r"\x00ff", r"\x01ff"]);
    database.run("update own.blob set consent = false").await;
    assert_eq!(errors(&database).await, [""; 0]);
    let withdrawn = database.column("select key from capi.withdrawal order by key").await;
    assert_eq!(withdrawn, [r"\x00ff", r"\x01ff"]);
    // The roles of a set-up are found by their names.
    database.run("select capi.setup(adopt => true)").await;
    let strange = "select count(*) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'capi' and p.proacl::text like '%capi_sidecar%'";
    assert!(database.count(strange).await > 10);
}

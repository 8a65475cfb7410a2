//! What analysts and DBAs are told about identifiers before anything is sent.

use capi_tests::database::{Database, Session};
use capi_tests::shop::tracked_shop;

/// Rows of `check_view` as `severity field finding present used`, of these fields.
async fn checked(session: &Session, arguments: &str) -> Vec<String> {
    session
        .column(&format!(
            "select format('%s %s %s %s %s', severity, coalesce(field, '-'), finding,
                coalesce(present::text, '-'), coalesce(used::text, '-'))
            from capi.check_view({arguments})"
        ))
        .await
}

/// A view of this body over `own.person`, which has these rows (value lists).
async fn persons(database: &Database, columns: &str, rows: &str) {
    database
        .run(&format!(
            "create schema own;
            create table own.person (id bigint primary key, email text, phone text, currency text, consent boolean);
            insert into own.person values {rows};
            create view own.conversion as
            select p.id, 'Purchase' as event_name, 'p-' || p.id as event_id, now() as event_time,
                'website' as action_source, 'https://shop.example.com/' as event_source_url, 5 as value,
                p.currency, p.consent, p.email{columns}
            from own.person p"
        ))
        .await;
}

const FOUR: &str =
    "(1, 'a@example.com', '030 23125 042', 'EUR', true), (2, 'n/a', '12', 'EUR', true),
    (3, 'b@example.com', null, null, true), (4, null, null, 'EUR', null)";

#[tokio::test]
async fn the_functions_of_the_rules_may_stand_in_an_index_and_in_parallel_plans() {
    let database = Database::adopted().await;
    let marks = database
        .column(
            "select distinct proname || ' ' || provolatile::text || ' ' || proparallel::text from pg_proc
            where pronamespace = 'capi'::regnamespace and proname in ('normalize', 'digest', 'explain') order by 1",
        )
        .await;
    assert_eq!(marks, ["digest i s", "explain i s", "normalize i s"]);
    database
        .run(
            "create table public.mail as select 'user' || n || '@example.com' as mail from generate_series(1, 20000) n;
            create index on public.mail (capi.digest('email', mail));
            analyze public.mail;
            set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
            set min_parallel_table_scan_size = 0; set enable_indexonlyscan = off; set enable_indexscan = off;
            set enable_bitmapscan = off",
        )
        .await;
    let query = "select count(distinct capi.digest('email', upper(mail))) from public.mail
        where capi.explain('email', mail) is null";
    let plan = database.column(&format!("explain {query}")).await.join("\n");
    assert!(plan.contains("Parallel"), "{plan}");
    assert_eq!(database.count(query).await, 20_000);
}

#[tokio::test]
async fn explain_says_why_and_how_to_mend_it() {
    let database = Database::adopted().await;
    for (arguments, begin) in [
        ("'email', 'n/a'", "placeholder: "),
        ("'email', 'a@b'", "malformed: "),
        ("'phone', '0612345678'", "no_country: "),
        ("'date_of_birth', '02/03/1997'", "ambiguous: "),
        ("'state', 'Bavaria', 'pinterest', 'DE'", "not_in_form: "),
    ] {
        let reason = database.get(&format!("select capi.explain({arguments})")).await;
        assert!(reason.starts_with(begin) && reason.len() > begin.len() + 20, "{reason}");
    }
    for kept in [
        "'email', 'a@example.com'",
        "'phone', '0612345678', country => 'FR'",
        "'date_of_birth', '02/03/1997', date_order => 'dmy'",
        "'email', null",
    ] {
        assert_eq!(
            database.get(&format!("select capi.explain({kept}) is null")).await,
            "t",
            "{kept}"
        );
    }
    let day = "select capi.normalize('date_of_birth', '02/03/1997', date_order => 'dmy')";
    assert_eq!(database.get(day).await, "19970302");
    let city = "select capi.normalize('city', 'Berlin 10115', zip => '10115')";
    assert_eq!(database.get(city).await, "berlin");
    let refusal =
        database.refused("select capi.explain('date_of_birth', '1', date_order => 'secret')").await;
    assert_eq!((refusal.code.as_str(), refusal.message.contains("secret")), ("22023", false));
}

#[tokio::test]
async fn check_view_counts_what_is_present_used_and_dropped() {
    let database = Database::adopted().await;
    persons(&database, ", p.phone", FOUR).await;
    let found = checked(&database, "'own.conversion', 'meta', default_country => 'DE'").await;
    for line in [
        "warning email used, stored as digest only; dropped: placeholder 25.0 % 0.7500 0.5000",
        "warning phone used, stored as digest only; dropped: not_a_number 25.0 % 0.5000 0.2500",
        "error currency 1 of 4 rows would be capture errors: missing - 0.2500",
        "info - 1 of 4 rows wait for consent - 0.2500",
        "warning - 1 of 4 rows would be refused by meta: missing_identity - 0.2500",
        "info - 1 of 4 rows would be sent - 0.2500",
    ] {
        assert!(found.iter().any(|seen| seen == line), "{line}\n{}", found.join("\n"));
    }
    let reasons =
        "select dropped from capi.check_view('own.conversion', 'meta', default_country => 'DE')
        where field = 'phone'";
    assert_eq!(database.get(reasons).await, r#"{"not_a_number": 0.2500}"#);
    // Without a country the same digits are dropped for another reason.
    let phone = "select dropped from capi.check_view('own.conversion') where field = 'phone'";
    assert_eq!(database.get(phone).await, r#"{"no_country": 0.2500, "not_a_number": 0.2500}"#);
}

#[tokio::test]
async fn check_view_looks_at_the_latest_rows_only_as_far_as_asked() {
    let database = Database::adopted().await;
    persons(&database, "", FOUR).await;
    database
        .run(
            "create or replace view own.conversion as
            select p.id, 'Purchase' as event_name, 'p-' || p.id as event_id,
                now() - p.id * interval '1 day' as event_time,
                'website' as action_source, 'https://shop.example.com/' as event_source_url, 5 as value,
                p.currency, p.consent, p.email from own.person p",
        )
        .await;
    let sampled = checked(&database, "'own.conversion', 'meta', sample => 1").await;
    assert!(
        sampled.contains(&"info - 1 of 1 rows would be sent - 1.0000".to_owned()),
        "{sampled:?}"
    );
    let none = checked(&database, "'own.conversion', 'meta', sample => 0").await;
    assert!(none.iter().all(|line| line.ends_with(" - -")), "{none:?}");
    database.run("delete from own.person").await;
    let empty = checked(&database, "'own.conversion', 'meta'").await;
    assert!(empty.iter().any(|line| line.contains("no row")), "{empty:?}");
}

#[tokio::test]
async fn check_view_finds_ids_that_name_two_conversions() {
    let database = Database::adopted().await;
    persons(&database, ", 'x' as order_id", FOUR).await;
    database
        .run(
            "create or replace view own.conversion as
            select p.id, 'Purchase' as event_name, 'p-' || p.id / 2 as event_id, now() as event_time,
                'website' as action_source, 'https://shop.example.com/' as event_source_url, 5 as value,
                p.currency, p.consent, p.email, 'x' as order_id from own.person p",
        )
        .await;
    let found = checked(&database, "'own.conversion'").await;
    let line =
        "error event_id 2 of 4 rows share their event name and event_id with another - 0.5000";
    assert!(found.contains(&line.to_owned()), "{found:?}");
}

#[tokio::test]
async fn a_view_that_fails_is_a_finding() {
    let database = Database::adopted().await;
    persons(&database, ", (1 / (p.id - p.id))::int as num_items", FOUR).await;
    let found = checked(&database, "'own.conversion'").await;
    assert!(found[0].contains("cannot be read as its owner: division_by_zero"), "{found:?}");
    // The session goes on.
    assert_eq!(database.get("select 1").await, "1");
}

#[tokio::test]
async fn a_sample_gives_a_hostile_view_no_rights() {
    let database = Database::adopted().await;
    persons(&database, "", FOUR).await;
    // A sequence is not rolled back, so that the trap can tell whose rights it had.
    database
        .run(
            "grant usage, create on schema own to mallory; grant select on own.person to mallory;
            create table own.loot (who text); alter table own.loot owner to mallory;
            set role mallory;
            create sequence own.as_mallory; create sequence own.as_another;
            create function own.steal() returns text language plpgsql as $$
            begin
                perform nextval(case current_user when 'mallory' then 'own.as_mallory' else 'own.as_another' end);
                insert into own.loot values (current_user);
                return 'p';
            end $$;
            create view own.trap as
            select p.id, 'Purchase' as event_name, own.steal() || p.id as event_id, now() as event_time,
                'website' as action_source, 5 as value, p.currency, p.consent, p.email,
                '[{\"id\": \"x\"}]'::jsonb as contents from own.person p;
            reset role",
        )
        .await;
    let found = checked(&database, "'own.trap'").await;
    assert!(found.iter().any(|line| line.contains("of 4 rows would be captured")), "{found:?}");
    database.run("select * from capi.check_contents('own.trap', 'own.trap', 'event_id')").await;
    let called =
        "select (select is_called from own.as_mallory), (select is_called from own.as_another)";
    assert_eq!(database.line(called).await, "t|f", "the view's functions have its owner's rights");
    assert_eq!(database.count("select count(*) from own.loot").await, 0, "a look stores nothing");
}

#[tokio::test]
async fn a_sample_shows_nobody_what_a_policy_hides_from_him() {
    let database = Database::adopted().await;
    persons(&database, ", '[{\"id\": \"secret\"}]'::jsonb as contents", FOUR).await;
    database
        .run(
            "alter table own.person enable row level security;
            create policy nobody on own.person using (false);
            alter view own.conversion set (security_invoker = true);
            create table own.product (id text);
            create role curious login in role capi_admin;
            grant usage on schema own to curious;
            grant select on own.person, own.conversion, own.product to curious",
        )
        .await;
    let curious = database.connect_as("curious").await;
    assert_eq!(curious.count("select count(*) from own.conversion").await, 0);
    let found = checked(&curious, "'own.conversion'").await;
    assert!(found.iter().any(|line| line.contains("were not sampled")), "{found:?}");
    assert!(found.iter().all(|line| line.ends_with(" - -")), "{found:?}");
    for query in [
        "select * from capi.check_contents('own.conversion', 'own.product', 'id')",
        "select * from capi._unknown_contents('own.conversion'::regclass, 'own.product'::regclass, 'id', 5)",
    ] {
        let refusal = curious.refused(query).await;
        assert_eq!(refusal.code, "42501", "{refusal:?}");
    }
}

#[tokio::test]
async fn a_sample_of_a_large_view_reads_the_latest_rows_by_their_index() {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (id bigint primary key, at timestamptz);
            insert into own.sale select n, now() - n * interval '1 second' from generate_series(1, 20000) n;
            create index on own.sale (at); analyze own.sale;
            create sequence own.reads;
            create function own.read() returns bigint language plpgsql stable set search_path = ''
                as $$ begin return nextval('own.reads'); end $$;
            create view own.conversion as
            select s.id, 'Lead' as event_name, 'l-' || s.id as event_id, s.at as event_time, 'other' as action_source,
                true as consent, own.read() as order_id
            from own.sale s",
        )
        .await;
    let found = checked(&database, "'own.conversion', sample => 100").await;
    assert!(found.iter().any(|line| line.contains("of 100 rows")), "{found:?}");
    assert_eq!(
        database.get("select last_value from own.reads").await,
        "100",
        "no other row was built"
    );
}

#[tokio::test]
async fn explain_match_tells_of_one_row_as_it_would_be_captured() {
    let shop = tracked_shop().await;
    shop.run("call shop.trade(150)").await;
    // What it calls used is what capture stored.
    let wrong = shop
        .count(
            "select count(*)
            from shop.purchases p
            join capi.outbox o on o.event_name = 'Purchase' and o.key = p.id::text and o.refused = '{}',
                capi.explain_match(p) m
            join capi.field f on f.name = m.field and f.class = 'digest'
            where (m.status = 'used') <> (o.identity ? m.field)
                or m.reason is distinct from o.dropped ->> m.field",
        )
        .await;
    assert_eq!(wrong, 0);
    let levers = shop
        .count("select count(distinct m.field) from shop.purchases p, capi.explain_match(p) m where m.status = 'dropped'")
        .await;
    assert!(levers > 3, "{levers}");
    // The event as a whole, as delivery would judge it.
    let waiting =
        "select distinct m.status || ' ' || m.reason from shop.purchases p, capi.explain_match(p) m
        where p.consent is null and m.field is null";
    let refused = waiting.replace("p.consent is null", "not p.consent");
    assert_eq!(shop.column(waiting).await, ["waiting consent_unknown"]);
    assert_eq!(shop.column(&refused).await, ["suppressed consent_refused"]);
    // Analysts may ask it of rows that they may read; it is no row that they may not.
    shop.run("create role ana login in role capi_analyst; grant usage on schema shop to ana").await;
    let ana = shop.connect_as("ana").await;
    assert!(
        ana.refused("select capi.explain_match(p) from shop.purchases p").await.code == "42501"
    );
    shop.run("grant select on shop.purchases, shop.customers to ana").await;
    assert!(
        ana.count("select count(*) from shop.purchases p, capi.explain_match(p, 'tiktok') m").await
            > 100
    );
    let refusal = ana.refused("select capi.explain_match(c) from shop.customers c").await;
    assert_eq!(refusal.code, "22023");
    let refusal = ana
        .refused("select capi.explain_match(p, default_country => 'Nowhere') from shop.purchases p")
        .await;
    assert_eq!(refusal.code, "22023");
    let unsent = "select distinct m.status from shop.purchases p, capi.explain_match(p, 'microsoft') m where m.field is null and p.consent";
    assert_eq!(ana.column(unsent).await, ["unrouted"]);
}

#[tokio::test]
async fn a_source_declares_its_dates_and_its_hashed_phones() {
    let database = Database::adopted().await;
    persons(&database, ", p.phone, '02/03/1997' as date_of_birth", "(0, null, null, null, true)")
        .await;
    let track = |options: &str| {
        format!("select capi.track('own.person', conversions => 'own.conversion'{options})")
    };
    for wrong in [", date_order => 'american'", ", hashed_phone => 'e164'"] {
        let refusal = database.refused(&track(wrong)).await;
        assert_eq!(refusal.code, "22023", "{refusal:?}");
    }
    database.run(&track("")).await;
    let digest = database.get("select encode(sha256('+33612345678'), 'hex')").await;
    let insert =
        |id: i64| format!("insert into own.person values ({id}, null, '{digest}', 'EUR', true)");
    database.run(&insert(1)).await;
    database.run(&track(", date_order => 'dmy', hashed_phone => 'plus'")).await;
    database.run(&insert(2)).await;
    let row = |id: i64| {
        format!(
            "select identity ? 'phone', identity #>> '{{phone/plus,0}}' = '{digest}',
                identity #>> '{{date_of_birth,0}}' = encode(sha256('19970302'), 'hex'), dropped
            from capi.outbox where key = '{id}'"
        )
    };
    assert_eq!(database.line(&row(1)).await, r#"t|||{"date_of_birth": "ambiguous"}"#);
    assert_eq!(database.line(&row(2)).await, "f|t|t|{}");
    let of_meta = "select status || ' ' || reason from own.conversion p, capi.explain_match(p) m
        where p.id = 2 and m.field = 'phone'";
    assert_eq!(database.get(of_meta).await, "dropped digest_of_other_form");
}

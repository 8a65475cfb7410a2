//! What strangers own near a tracked table: triggers, types, casts, tables of its name, snapshots that are
//! older than the tracking. Nothing of it gets the rights of the shop or ends its capture.

use capi_tests::database::{Database, Session};
use capi_tests::shop::{buy, captured, customer, tracked_shop};

/// A shop with a table that has a type of somebody else's, and a role that owns only that type.
async fn with_a_type_of(stranger: &str, field: &str, expression: &str) -> (Database, Session) {
    let shop = tracked_shop().await;
    shop.run(&format!(
        "create role {stranger} login;
        create schema {stranger} authorization {stranger};
        set role {stranger};
        create type {stranger}.level as enum ('gold', 'silver');
        grant usage on schema {stranger} to public;
        create table {stranger}.loot (who name, what text);
        grant insert on {stranger}.loot to public;
        set role shop_owner;
        create table shop.secret (card text);
        insert into shop.secret values ('4111');
        create table shop.parcel (id bigint primary key, level {stranger}.level, note text);
        grant insert, select on shop.parcel to app;
        create view shop.parcels as
        select p.id, 'Lead' as event_name, 'parcel-' || p.id as event_id, clock_timestamp() as event_time,
            'website' as action_source, true as consent, {expression} as {field}
        from shop.parcel p;
        reset role"
    ))
    .await;
    let session = shop.connect_as(stranger).await;
    (shop, session)
}

const TRACK: &str =
    "select capi.track('shop.parcel', conversions => 'shop.parcels', destinations => '{meta-eu}')";

/// A function that loots, and a cast of the stranger's type that calls it.
fn trap(stranger: &str, to: &str, result: &str) -> String {
    format!(
        "create function {stranger}.evil({stranger}.level) returns {to} language plpgsql as $$
        begin
            insert into {stranger}.loot select current_user, card from shop.secret;
            return {result};
        end $$;
        create cast ({stranger}.level as {to}) with function {stranger}.evil({stranger}.level) as assignment"
    )
}

#[tokio::test]
async fn a_cast_that_somebody_makes_of_his_type_is_not_called() {
    let (shop, stranger) = with_a_type_of("caster", "content_category", "p.level").await;
    shop.run(TRACK).await;
    let app = shop.connect_as("app").await;
    app.run("insert into shop.parcel values (1, 'gold')").await;
    stranger.run(&trap("caster", "text", "'x'")).await;
    app.run("insert into shop.parcel values (2, 'silver')").await;
    let app = shop.connect_as("app").await;
    app.run("insert into shop.parcel values (3, 'silver')").await;
    // As a superuser too, and by whatever reads a row.
    for call in [
        "select capi.preview('meta-eu', p) from shop.parcels p",
        "select count(*) from shop.parcels p, capi.explain_match(p)",
        "select capi.event_id(p) from shop.parcels p",
        "select capi.pixel_snippet('meta-eu', p) from shop.parcels p",
        "select count(*) from capi.check_view('shop.parcels')",
        "select count(*) from capi.check_contents('shop.parcels', 'shop.parcel', 'level')",
        "select count(*) from capi.revalidate()",
        "select count(*) from capi.sweep()",
    ] {
        let _ = shop.ask(call).await;
    }
    assert_eq!(shop.get("select count(*) from caster.loot").await, "0");
    let first = "select facts ->> 'content_category' from capi.outbox where key = '1'";
    assert_eq!(shop.get(first).await, "gold");
    // Who calls somebody else's function is named and not read until it is looked at again.
    let sources = "select stale_reason is not null from capi.sources where name = 'shop.parcel'";
    assert_eq!(shop.get(sources).await, "t");
    let errors = "select distinct reason from capi.capture_error where resolved_at is null";
    assert_eq!(shop.column(errors).await, ["lends_rights"]);
    stranger.run("drop function caster.evil(caster.level) cascade").await;
    shop.run("select capi.revalidate(); select capi.recapture()").await;
    assert_eq!(captured(&shop).await, 3);
}

#[tokio::test]
async fn a_cast_to_json_is_not_called_for_rows_and_arrays() {
    for (stranger, field, expression) in [
        ("json_caster", "content_ids", "array[p.level]"),
        ("row_caster", "contents", "(select array_agg(x) from shop.parcel x where x.id = p.id)"),
        ("agg_caster", "contents", "(select jsonb_agg(x) from shop.parcel x where x.id = p.id)"),
    ] {
        let (shop, stranger_session) = with_a_type_of(stranger, field, expression).await;
        stranger_session.run(&trap(stranger, "json", "'\"x\"'")).await;
        // Refused, and read by nobody who asks what it would be.
        assert!(shop.ask(TRACK).await.is_err(), "{field}");
        shop.run("select count(*) from capi.check_view('shop.parcels')").await;
        stranger_session
            .run(&format!("drop function {stranger}.evil({stranger}.level) cascade"))
            .await;
        if field == "content_ids" {
            shop.run(TRACK).await;
            let app = shop.connect_as("app").await;
            app.run("insert into shop.parcel values (1, 'gold')").await;
            let ids = shop.get("select facts -> 'content_ids' from capi.outbox").await;
            assert_eq!(ids, "[\"gold\"]");
            stranger_session.run(&trap(stranger, "json", "'\"x\"'")).await;
            app.run("insert into shop.parcel values (2, 'gold')").await;
        }
        assert_eq!(
            shop.get(&format!("select count(*) from {stranger}.loot")).await,
            "0",
            "{field}"
        );
    }
}

#[tokio::test]
async fn a_cast_from_text_is_not_called_for_a_key() {
    let shop = tracked_shop().await;
    shop.run(
        "create role keycaster login;
        create schema keycaster authorization keycaster;
        set role keycaster;
        create type keycaster.level as enum ('gold', 'silver');
        grant usage on schema keycaster to public;
        create table keycaster.loot (who name);
        grant insert on keycaster.loot to public;
        set role shop_owner;
        create table shop.rank (level keycaster.level primary key);
        grant insert, delete on shop.rank to app;
        create view shop.ranks as
        select r.level, 'Lead' as event_name, 'rank-' || r.level as event_id, clock_timestamp() as event_time,
            'website' as action_source, true as consent
        from shop.rank r;
        reset role;
        select capi.track('shop.rank', conversions => 'shop.ranks', destinations => '{meta-eu}')",
    )
    .await;
    let app = shop.connect_as("app").await;
    app.run("insert into shop.rank values ('gold')").await;
    assert_eq!(shop.column("select key from capi.outbox").await, ["gold"]);
    let stranger = shop.connect_as("keycaster").await;
    stranger
        .run(
            "create function keycaster.evil(text) returns keycaster.level language plpgsql as $$
            begin insert into keycaster.loot values (current_user); return 'gold'; end $$;
            create cast (text as keycaster.level) with function keycaster.evil(text)",
        )
        .await;
    app.run("insert into shop.rank values ('silver')").await;
    shop.run("analyze shop.rank").await;
    let app = shop.connect_as("app").await;
    app.run("delete from shop.rank; insert into shop.rank values ('silver')").await;
    assert_eq!(shop.get("select count(*) from keycaster.loot").await, "0");
}

#[tokio::test]
async fn a_view_below_that_its_owner_replaces_is_not_read_with_the_shops_rights() {
    let (shop, stranger) = with_a_type_of("replacer", "content_category", "p.note").await;
    stranger
        .run(
            "create view replacer.names as select g::bigint as id, 'x'::text as c from generate_series(1, 9) g;
            grant select on replacer.names to public",
        )
        .await;
    shop.run(
        "set role shop_owner;
        create or replace view shop.parcels as
        select p.id, 'Lead' as event_name, 'parcel-' || p.id as event_id, clock_timestamp() as event_time,
            'website' as action_source, true as consent, n.c as content_category
        from shop.parcel p join replacer.names n using (id);
        reset role",
    )
    .await;
    shop.run(TRACK).await;
    let app = shop.connect_as("app").await;
    app.run("insert into shop.parcel values (1, 'gold')").await;
    stranger
        .run(
            "create function replacer.evil(text) returns text language plpgsql as $$
            begin insert into replacer.loot select current_user, card from shop.secret; return 'x'; end $$;
            create or replace view replacer.names as
            select g::bigint as id, replacer.evil('x') as c from generate_series(1, 9) g",
        )
        .await;
    app.run("insert into shop.parcel values (2, 'gold')").await;
    shop.run("select capi.revalidate()").await;
    app.run("insert into shop.parcel values (3, 'gold')").await;
    assert_eq!(shop.get("select count(*) from replacer.loot").await, "0");
    assert_eq!(captured(&shop).await, 1);
    let errors = "select key || ' ' || reason from capi.capture_error order by key";
    assert_eq!(shop.column(errors).await, ["2 lends_rights", "3 lends_rights"]);
}

#[tokio::test]
async fn a_trigger_that_bears_our_name_is_left_alone() {
    let shop = tracked_shop().await;
    shop.run("create role imitator login; create role keeper login in role shop_owner, capi_admin")
        .await;
    let imitator = shop.connect_as("imitator").await;
    imitator
        .run(
            "create temp table t (id int);
            create function pg_temp.f() returns trigger language plpgsql as 'begin return new; end';
            do $$ begin for i in 1..9 loop
                execute format('create trigger capi_%s_insert after insert on pg_temp.t
                    for each row execute function pg_temp.f()', i);
            end loop; end $$",
        )
        .await;
    let keeper = shop.connect_as("keeper").await;
    keeper
        .run("select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{meta-eu}')")
        .await;
    let left = "select count(*) from pg_trigger where tgrelid = 'pg_temp.t'::regclass";
    assert_eq!(imitator.get(left).await, "9");
}

#[tokio::test]
async fn a_table_of_an_old_name_takes_nobodys_source() {
    let shop = tracked_shop().await;
    let somebody = customer(&shop).await;
    shop.run("alter schema shop rename to store; create role usurper login in role capi_admin")
        .await;
    shop.run(&format!("grant create on database {} to usurper", shop.name())).await;
    let usurper = shop.connect_as("usurper").await;
    let steal = "create schema shop;
        create table shop.orders (id bigint primary key);
        create view shop.purchases as
        select o.id, 'Lead' as event_name, 'order-' || o.id as event_id, now() as event_time,
            'website' as action_source, true as consent from shop.orders o;";
    usurper.run(steal).await;
    for call in [
        "select capi._source_save('shop.orders', 'shop.purchases', '{meta-eu}', capi._row_options(null, 'required', 'record', null, 'digits') || '{\"also\": {}}')",
        "select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{meta-eu}')",
    ] {
        let refusal = usurper.refused(call).await;
        assert_eq!(refusal.code, "42501", "{refusal:?}");
        assert_ne!(refusal.hint, "", "{refusal:?}");
    }
    shop.run(&format!(
        "insert into store.orders (customer_id, currency, total, checkout_url, status, paid_at)
        values ({somebody}, 'EUR', 10, 'https://shop.example.com/', 'paid', clock_timestamp())"
    ))
    .await;
    assert_eq!(captured(&shop).await, 1);
    shop.run(&format!("revoke create on database {} from usurper", shop.name())).await;
}

#[tokio::test]
async fn what_an_old_snapshot_does_not_show_holds_all_the_same() {
    const RETRACK: &str = "select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{meta-eu}')";
    const SNAPSHOT: &str =
        "begin isolation level repeatable read; select count(*) from shop.orders";
    let shop = tracked_shop().await;
    let somebody = customer(&shop).await;
    // Tracked again: from then on, in that transaction and after it.
    let app = shop.connect().await;
    buy(&app, somebody).await;
    shop.run("select capi.untrack('shop.orders')").await;
    app.run(SNAPSHOT).await;
    shop.run(RETRACK).await;
    buy(&app, somebody).await;
    app.run("commit").await;
    buy(&app, somebody).await;
    assert_eq!(captured(&shop).await, 3);
    // Tracked no more.
    app.run(SNAPSHOT).await;
    shop.run("select capi.untrack('shop.orders')").await;
    buy(&app, somebody).await;
    app.run("commit").await;
    buy(&app, somebody).await;
    assert_eq!(captured(&shop).await, 3);
    // For the first time.
    shop.run(
        "create table shop.first (id bigint primary key);
        alter table shop.first owner to shop_owner;
        create view shop.firsts as
        select f.id, 'Lead' as event_name, 'first-' || f.id as event_id, clock_timestamp() as event_time,
            'website' as action_source, true as consent from shop.first f;
        alter view shop.firsts owner to shop_owner",
    )
    .await;
    let app = shop.connect().await;
    app.run("begin isolation level repeatable read; select count(*) from shop.first").await;
    shop.run("select capi.track('shop.first', conversions => 'shop.firsts', destinations => '{meta-eu}')").await;
    app.run("insert into shop.first values (1); commit; insert into shop.first values (2)").await;
    assert_eq!(captured(&shop).await, 5);
}

#[tokio::test]
async fn an_emitter_whose_callers_change_during_an_old_snapshot_takes_no_others() {
    let shop = tracked_shop().await;
    shop.run(
        "create role old_caller login in role capi_emitter;
        create role new_caller;
        select capi.create_emitter('carts', destinations => '{meta-eu}', callers => '{old_caller}')",
    )
    .await;
    let caller = shop.connect_as("old_caller").await;
    let emit = |n: u32| {
        format!(
            "select capi.emit('{{\"event_name\": \"Lead\", \"event_id\": \"cart-{n}\", \"action_source\": \"website\",
                \"consent\": true}}')"
        )
    };
    caller.run(&emit(1)).await;
    caller.run("begin isolation level repeatable read; select 1").await;
    shop.run("select capi.create_emitter('carts', destinations => '{meta-eu}', callers => '{new_caller}')").await;
    assert_eq!(caller.refused(&emit(2)).await.code, "42501");
    caller.run("rollback").await;
    assert_eq!(caller.refused(&emit(3)).await.code, "42501");
    assert_eq!(captured(&shop).await, 1);
}

#[tokio::test]
async fn who_was_forgotten_after_a_snapshot_is_forgotten_in_it() {
    let shop = tracked_shop().await;
    let somebody = customer(&shop).await;
    let app = shop.connect().await;
    buy(&app, somebody).await;
    let key = shop.get("select key from capi.outbox").await;
    app.run("begin isolation level repeatable read; select 1").await;
    shop.run(&format!("select capi.forget('shop.orders', '{key}')")).await;
    app.run(&format!(
        "insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at)
        values ({somebody}, 'EUR', 10, 'https://shop.example.com/', 'paid', clock_timestamp() - interval '1 hour');
        commit"
    ))
    .await;
    assert_eq!(captured(&shop).await, 2);
    assert_eq!(shop.column("select distinct identity::text from capi.outbox").await, ["{}"]);
}

#[tokio::test]
async fn people_flow_out_by_their_owner_alone() {
    let shop = tracked_shop().await;
    shop.run(
        "create role peeper login in role capi_admin;
        grant usage on schema shop to peeper;
        set role shop_owner;
        create table shop.people (id int, who name, email text);
        insert into shop.people
        select g, case when g <= 3 then 'peeper' else 'x' end, 'c' || g || '@example.com' from generate_series(1, 9) g;
        alter table shop.people enable row level security;
        create policy own on shop.people to peeper using (who = current_user);
        create view shop.people_on with (security_invoker = on) as select email, true as consent from shop.people;
        create view shop.people_one with (security_invoker = 1) as select email, true as consent from shop.people;
        create view shop.people_me as
        select email, true as consent from shop.people where who = current_user or current_user = 'shop_owner';
        grant select on all tables in schema shop to peeper;
        reset role",
    )
    .await;
    let peeper = shop.connect_as("peeper").await;
    for view in ["people_on", "people_one", "people_me", "people"] {
        let made = format!(
            "select capi.create_audience('{view}', 'meta-eu', 'shop.{view}', '{{\"audience_id\": \"2\"}}')"
        );
        let refusal = peeper.refused(&made).await;
        assert_eq!(
            (refusal.code.as_str(), refusal.hint.is_empty()),
            ("42501", false),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn temporary_objects_of_the_session_are_not_found_by_functions_of_the_view() {
    let shop = tracked_shop().await;
    for (n, path) in ["search_path = shop", "search_path = ''"].into_iter().enumerate() {
        let table = if n == 0 { "mail_0".to_owned() } else { format!("shop.mail_{n}") };
        shop.run(&format!(
            "set role shop_owner;
            create table shop.place_{n} (id bigint primary key);
            create table shop.mail_{n} (id bigint primary key, email text);
            insert into shop.mail_{n} values (1, 'a@example.com'), (2, 'b@example.com');
            create function shop.mail_of_{n}(p bigint) returns text language plpgsql stable set {path} as $$
            begin return (select m.email from {table} m where m.id = p); end $$;
            reset role"
        ))
        .await;
        shop.run(&format!(
            "set role shop_owner;
            create view shop.places_{n} as
            select p.id, 'Lead' as event_name, 'place-{n}-' || p.id as event_id, clock_timestamp() as event_time,
                'website' as action_source, true as consent, shop.mail_of_{n}(p.id) as email
            from shop.place_{n} p;
            reset role;
            grant insert, delete on shop.place_{n} to app;
            select capi.track('shop.place_{n}', conversions => 'shop.places_{n}', destinations => '{{meta-eu}}')"
        ))
        .await;
        let warned = format!(
            "select count(*) from capi.check_view('shop.places_{n}') where severity = 'warning' and finding like '%does not end with pg_temp%'"
        );
        assert_eq!(shop.get(&warned).await, "1");
        let app = shop.connect_as("app").await;
        app.run(&format!("insert into shop.place_{n} values (1)")).await;
        assert_eq!(captured(&shop).await, 1 + i64::try_from(2 * n).expect("a number"));
        app.run(&format!(
            "create temp table loot (who name); grant all on loot to public;
            create function pg_temp.evil() returns text language plpgsql as $$
            begin insert into pg_temp.loot select current_user; return 'x@example.com'; end $$;
            create temp view mail_{n} as select 2::bigint as id, pg_temp.evil() as email;
            grant select on mail_{n} to public;
            insert into shop.place_{n} values (2)"
        ))
        .await;
        assert_eq!(app.get("select count(*) from loot").await, "0");
        let reasons = "select distinct reason from capi.capture_error where resolved_at is null";
        assert_eq!(shop.column(reasons).await, ["temporary_objects"]);
        // Nothing is lost: a session without any captures it.
        shop.run("select capi.sweep()").await;
        assert_eq!(captured(&shop).await, 2 + i64::try_from(2 * n).expect("a number"));
        // With a path that ends with pg_temp there is nothing to fear.
        shop.run(&format!(
            "alter function shop.mail_of_{n}(bigint) set search_path = shop, pg_temp"
        ))
        .await;
        shop.run("select capi.revalidate()").await;
        app.run(&format!("delete from shop.place_{n}; insert into shop.place_{n} values (1), (2)"))
            .await;
        assert_eq!(app.get("select count(*) from loot").await, "0");
        shop.run("delete from capi.capture_error").await;
    }
}

#[tokio::test]
async fn the_past_is_captured_by_key_for_the_owner_alone() {
    let shop = tracked_shop().await;
    shop.run("create role other_admin login in role capi_admin").await;
    let other = shop.connect_as("other_admin").await;
    let refusal = other.refused("select * from capi.recapture('shop.orders', '{1}')").await;
    assert_eq!(
        (refusal.code.as_str(), refusal.message.as_str()),
        ("42501", "must be owner of the table")
    );
    other.run("select * from capi.recapture('shop.orders')").await;
    other.run("select * from capi.recapture()").await;
}

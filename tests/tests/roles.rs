//! Who may do what: applications and view owners need no right on `capi`, and what a view calls
//! gets none.

use capi_tests::database::{Database, Session};
use capi_tests::patience::eventually;
use capi_tests::shop::{buy, captured, customer, errors, tracked_shop};

// ---------------------------------------------------------------------------------------------
// Rights
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_application_without_rights_places_orders() {
    let shop = tracked_shop().await;
    let app = shop.connect_as("app").await;
    assert_eq!(app.refused("select 1 from capi.outbox").await.code, "42501");
    let c = customer(&app).await;
    buy(&app, c).await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(errors(&shop).await, [""; 0]);
}

#[tokio::test]
async fn an_application_cannot_call_what_its_triggers_call() {
    let shop = tracked_shop().await;
    let app = shop.connect_as("app").await;
    for call in ["capi._note(1, 1::bigint)", "capi._note(1, '{1}'::text[])", "capi._trial(1)"] {
        assert_eq!(app.refused(&format!("select {call}")).await.code, "42501", "{call}");
    }
}

#[tokio::test]
async fn an_analyst_sees_deliveries_and_no_person() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    shop.run(&format!(
        "insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at, browser)
        values ({c}, 'EUR', 8, 'https://shop.example.com/', 'paid', clock_timestamp(),
            '{{\"ip\": \"198.51.100.77\", \"user_agent\": \"Qxagent/1.0\", \"fbp\": \"fb.1.1700000000000.9087654321\"}}')"
    ))
    .await;
    let secrets = [
        shop.get("select identity #>> '{email,0}' from capi.outbox").await,
        shop.get("select identity #>> '{phone,0}' from capi.outbox").await,
        "198.51.100.77".to_owned(),
        "Qxagent".to_owned(),
        "9087654321".to_owned(),
    ];
    assert!(secrets.iter().all(|secret| secret.len() > 6), "{secrets:?}");
    let analyst = shop.connect_as("analyst").await;
    let row =
        "select source, key, event_name, value, currency, destination, status from capi.delivery";
    let order = shop.get("select id from shop.orders").await;
    assert_eq!(
        analyst.line(row).await,
        format!("shop.orders|{order}|Purchase|8.00|EUR|meta-eu|pending")
    );
    for table in ["outbox", "receipt", "attempt", "batch", "event_key", "destination"] {
        let refusal = analyst.refused(&format!("select * from capi.{table}")).await;
        assert_eq!(refusal.code, "42501", "{table}");
    }
    let readable = analyst
        .column(
            "select oid::regclass from pg_class where relnamespace = 'capi'::regnamespace
                and relkind in ('r', 'p', 'v') and has_table_privilege(oid, 'select')",
        )
        .await;
    assert!(readable.contains(&"capi.delivery".to_owned()), "{readable:?}");
    for relation in readable {
        for secret in &secrets {
            let sql =
                format!("select count(*) from {relation} r where strpos(r::text, '{secret}') > 0");
            assert_eq!(analyst.count(&sql).await, 0, "{relation} shows {secret}");
        }
    }
}

#[tokio::test]
async fn the_sidecars_role_calls_functions_and_reads_no_table() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    shop.run("select capi.resume('meta-eu')").await;
    let sidecar = shop.connect_as("capi").await;
    let readable = sidecar
        .column(
            "select oid::regclass from pg_class
            where relkind in ('r', 'p', 'v', 'm', 'S')
                and relnamespace in ('capi'::regnamespace, 'shop'::regnamespace)
                and (has_table_privilege(oid, 'select, insert, update, delete, truncate')
                    or has_any_column_privilege(oid, 'select, insert, update'))",
        )
        .await;
    assert_eq!(readable, [""; 0]);
    for table in ["capi.outbox", "capi.delivery", "shop.customers", "shop.orders"] {
        assert_eq!(sidecar.refused(&format!("table {table}")).await.code, "42501", "{table}");
    }
    for call in ["resume('meta-eu')", "adopt()", "pause('meta-eu')"] {
        assert_eq!(sidecar.refused(&format!("select capi.{call}")).await.code, "42501", "{call}");
    }
    let claim = "select batch from capi.claim(1, 'test', interval '1 minute', 10)";
    let batch = sidecar.count(claim).await;
    assert!(batch > 0);
    assert_eq!(sidecar.count("select count(*) from capi.destinations()").await, 1);
}

#[tokio::test]
async fn definer_functions_belong_to_the_owner_and_pin_their_search_path() {
    let shop = Database::adopted().await;
    let odd = shop
        .column(
            "select p.oid::regprocedure from pg_proc p
            where p.pronamespace = 'capi'::regnamespace and p.prosecdef
                and (p.proowner <> 'capi_owner'::regrole
                    or not coalesce(p.proconfig, '{}') @> '{\"search_path=pg_catalog, pg_temp\"}')",
        )
        .await;
    assert_eq!(odd, [""; 0]);
    let n = "select count(*) from pg_proc where pronamespace = 'capi'::regnamespace and prosecdef";
    assert!(shop.count(n).await > 10);
    let unpinned = shop
        .column(
            "select p.oid::regprocedure from pg_proc p join pg_language l on l.oid = p.prolang
            where p.pronamespace = 'capi'::regnamespace and l.lanname in ('sql', 'plpgsql')
                -- A procedure that commits can have no setting; it qualifies every name.
                and p.prokind <> 'p'
                and not coalesce(p.proconfig, '{}') @> '{\"search_path=pg_catalog, pg_temp\"}'",
        )
        .await;
    assert_eq!(unpinned, [""; 0]);
    let owner = "select rolsuper or rolcanlogin or rolbypassrls or rolcreaterole or rolcreatedb
        from pg_roles where rolname = 'capi_owner'";
    assert_eq!(shop.get(owner).await, "f");
}

#[tokio::test]
async fn the_public_may_execute_nothing_but_what_triggers_call() {
    let shop = tracked_shop().await;
    let open = shop
        .column(
            "select distinct p.proname from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            where p.pronamespace = 'capi'::regnamespace and a.grantee = 0 order by 1",
        )
        .await;
    assert_eq!(open, ["_capture", "_note"]);
    let relations = shop
        .column(
            "select c.oid::regclass from pg_class c, aclexplode(c.relacl) a
            where c.relnamespace = 'capi'::regnamespace and a.grantee = 0",
        )
        .await;
    assert_eq!(relations, [""; 0]);
    let nobody = shop.connect_as("nobody").await;
    let rights =
        "select has_schema_privilege('capi', 'usage') or has_schema_privilege('capi', 'create')";
    assert_eq!(nobody.get(rights).await, "f");
    // Set-up may be run again, and new functions of the library are public by default.
    shop.run("select capi.setup()").await;
    assert_eq!(nobody.refused("select capi.digest('email', 'a@example.com')").await.code, "42501");
}

#[tokio::test]
async fn an_administrator_who_owns_the_table_tracks_it() {
    let shop = Database::adopted().await;
    shop.run("grant shop_owner to admin").await;
    let admin = shop.connect_as("admin").await;
    admin
        .run("select capi.create_destination('m', 'meta', '{\"pixel_id\": \"1\"}', 'META_TOKEN')")
        .await;
    admin
        .run("select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{m}')")
        .await;
    shop.run("revoke shop_owner from admin").await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(admin.refused("table capi.outbox").await.code, "42501");
}

#[tokio::test]
async fn an_administrator_cannot_make_other_peoples_views_flow_out() {
    let shop = Database::adopted().await;
    shop.run("create role stranger_owner; grant stranger_owner to admin").await;
    shop.run(
        "create schema stranger authorization stranger_owner; set role stranger_owner;
        create table stranger.t (id bigint primary key); reset role",
    )
    .await;
    let admin = shop.connect_as("admin").await;
    let track = "select capi.track('stranger.t', conversions => 'shop.purchases')";
    assert_eq!(admin.refused(track).await.code, "42501");
    shop.run("drop schema stranger cascade; drop role stranger_owner").await;
}

#[tokio::test]
async fn audiences_are_made_by_administrators_who_own_the_view() {
    let shop = tracked_shop().await;
    shop.run(
        "create schema crm authorization shop_owner;
        set role shop_owner;
        create table crm.people (email text, consent boolean);
        create view crm.newsletter as select email, consent from crm.people;
        insert into crm.people values ('erika.mustermann@example.com', true);
        reset role;
        select capi.resume('meta-eu')",
    )
    .await;
    let create = "select capi.create_audience('news', 'meta-eu', 'crm.newsletter', '{\"audience_id\": \"1\"}')";
    for role in ["app", "analyst", "capi", "web", "nobody"] {
        assert_eq!(shop.connect_as(role).await.refused(create).await.code, "42501", "{role}");
    }
    let admin = shop.connect_as("admin").await;
    shop.run("grant usage on schema crm to admin").await;
    let refusal = admin.refused(create).await;
    assert_eq!(refusal.code, "42501", "{refusal:?}");
    shop.run("grant select on crm.newsletter to admin").await;
    let refusal = admin.refused(create).await;
    assert!(refusal.hint.contains("a member of shop_owner"), "{refusal:?}");
    shop.run("create role newsletter_owner; grant newsletter_owner to admin; grant usage on schema crm to newsletter_owner;
        grant select on crm.people to newsletter_owner; alter view crm.newsletter owner to newsletter_owner").await;
    admin.run(create).await;
    shop.run("revoke all on crm.newsletter from admin; revoke all on schema crm from admin; revoke newsletter_owner from admin").await;

    // The sidecar gets digests and nothing else; what it calls only it may call.
    let open = "select sync, people from capi.audience_open('news', 'test')";
    for role in ["admin", "analyst", "app", "web"] {
        assert_eq!(shop.connect_as(role).await.refused(open).await.code, "42501", "{role}");
    }
    let sidecar = shop.connect_as("capi").await;
    let sync = sidecar.count("select sync from capi.audience_open('news', 'test')").await;
    let digest = shop.get("select capi.digest('email', 'erika.mustermann@example.com')").await;
    let batch = format!(
        "select array_to_string(digests, ',') from capi.audience_batch({sync}, 'add', null, 10)"
    );
    assert_eq!(sidecar.get(&batch).await.trim_end_matches(','), digest);
    for table in ["audience", "audience_member", "audience_sync", "withdrawn_person"] {
        for role in ["capi", "analyst", "admin", "app"] {
            let session = shop.connect_as(role).await;
            let refusal = session.refused(&format!("select * from capi.{table}")).await;
            assert_eq!(refusal.code, "42501", "{role} {table}");
        }
    }
    for call in
        ["_audience_read(1, 1)", "_audience_trial(0::oid)", "_check_people('crm.newsletter', 10)"]
    {
        for session in [&sidecar, &admin] {
            let refusal = session.refused(&format!("select capi.{call}")).await;
            assert_eq!(refusal.code, "42501", "{call}");
        }
    }
    assert_eq!(sidecar.refused(create).await.code, "42501");
    assert_eq!(sidecar.refused("select capi.drop_audience('news')").await.code, "42501");
    let analyst = shop.connect_as("analyst").await;
    let status = "select audience, members, waiting from capi.audience_status";
    assert_eq!(analyst.line(status).await, "news|0|1");
    for view in ["audience_status", "audience_syncs"] {
        let shown =
            format!("select count(*) from capi.{view} x where strpos(x::text, '{digest}') > 0");
        assert_eq!(analyst.count(&shown).await, 0, "{view}");
    }
}

#[tokio::test]
async fn a_hostile_view_of_people_gets_no_rights() {
    let shop = tracked_shop().await;
    shop.run(
        "create schema gang authorization mallory;
        set role mallory;
        create table gang.loot (who text, what text);
        grant all on gang.loot to public;
        grant usage on schema gang to public;
        create function gang.payload() returns text language sql as 'select null::text';
        create view gang.people as
        select 'eve@example.com' as email, true as consent, gang.payload() as city;
        reset role;
        select capi.create_audience('gang', 'meta-eu', 'gang.people', '{\"audience_id\": \"1\"}'),
            capi.resume('meta-eu')",
    )
    .await;
    let mut sidecar = shop.connect_as("capi").await;
    for body in [
        "perform identity from capi.outbox;",
        "delete from capi.audience_member;",
        "update capi.destination set credential = 'MALLORYS';",
        "set role capi_owner;",
        "perform set_config('role', 'capi_owner', false);",
        "reset session authorization;",
        "perform capi._audience_read(1, 1);",
        "grant capi_owner to mallory;",
    ] {
        shop.run(&format!(
            "set role mallory;
            create or replace function gang.payload() returns text language plpgsql as $f$
            begin {body} return null; end $f$;
            reset role"
        ))
        .await;
        let refusal = sidecar.refused("select * from capi.audience_open('gang', 'test')").await;
        assert!(
            refusal.message.starts_with("the relation cannot be read as its owner"),
            "{body} {refusal:?}"
        );
        // The session holds the lock of the audience until it ends, some time after it is closed.
        let holder = sidecar.pid().await;
        drop(sidecar);
        eventually("the session has ended", 20, async || {
            let left = shop
                .count(&format!("select count(*) from pg_stat_activity where pid = {holder}"))
                .await;
            if left == 0 { Ok(()) } else { Err(left.to_string()) }
        })
        .await;
        sidecar = shop.connect_as("capi").await;
    }
    shop.run(
        "set role mallory;
        create or replace function gang.payload() returns text language plpgsql as $f$
        begin insert into gang.loot values (current_user, 'x'); return null; end $f$;
        reset role",
    )
    .await;
    assert_eq!(sidecar.count("select people from capi.audience_open('gang', 'test')").await, 1);
    assert_eq!(shop.get("select distinct who from gang.loot").await, "mallory");
    assert_eq!(sidecar.get("select current_user").await, "capi");
}

#[tokio::test]
async fn roles_of_another_database_are_not_taken_over_unasked() {
    let bare = Database::bare().await;
    bare.run("create extension pg_capi").await;
    let refusal = bare.refused("select capi.setup()").await;
    assert_eq!(
        refusal.message,
        "role \"capi_owner\" exists already and was not made by this installation"
    );
    assert!(refusal.hint.contains("adopt => true"), "{refusal:?}");
    bare.run("select capi.setup(adopt => true)").await;
    assert_eq!(bare.get("select capi.handshake() ->> 'adopted'").await, "true");
}

// ---------------------------------------------------------------------------------------------
// Hostile view owners
// ---------------------------------------------------------------------------------------------

/// A table and a view of `mallory`, who has no right on `capi`. The view calls `mallory.payload()`,
/// which is harmless while the table is tracked.
async fn hostile_source() -> Database {
    let shop = tracked_shop().await;
    shop.run(
        "create schema mallory authorization mallory;
        grant usage on schema mallory to app;
        set role mallory;
        create table mallory.sale (id bigint primary key);
        grant insert on mallory.sale to app;
        create table mallory.loot (who text, session_who text, what text);
        grant insert on mallory.loot to public;
        create function mallory.payload() returns text language sql
            as 'select null::text';
        create view mallory.conversion as
        select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
            'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent,
            mallory.payload() as order_id
        from mallory.sale s;
        reset role;
        select capi.track('mallory.sale', conversions => 'mallory.conversion',
            destinations => '{meta-eu}')",
    )
    .await;
    shop
}

/// Puts an attack in place, as mallory.
async fn arm(shop: &Session, body: &str) {
    shop.run(&format!(
        "set role mallory;
        create or replace function mallory.payload() returns text language plpgsql as $f$
        begin
            {body}
            return null;
        end $f$;
        reset role"
    ))
    .await;
}

/// All rows of `capi` that an attack could change; the outbox and errors of mallory's own source
/// are what it is for.
async fn state(shop: &Session) -> String {
    shop.get(
        "select md5(string_agg(x, '' order by x)) from (
            select d::text from capi.destination d
            union all select d::text from capi.destination_version d
            -- Arming changes a function of the view, which is noted.
            union all select (to_jsonb(s) - 'stale_since' - 'stale_reason')::text from capi.source s
            union all select r::text from capi.route r
            union all select i::text from capi.installation i
            union all select c::text from capi.cursor c
            union all select o::text from capi.outbox o
                where o.source <> (select source from capi.source where name = 'mallory.sale')
            union all select p.oid::regprocedure || p.proacl::text || p.prosrc || p.proowner::regrole
                from pg_proc p where pronamespace = 'capi'::regnamespace
            union all select c.oid::regclass || coalesce(c.relacl::text, '') || c.relowner::regrole
                from pg_class c where relnamespace = 'capi'::regnamespace
            union all select nspacl::text from pg_namespace where nspname = 'capi'
            union all select r::text from pg_auth_members r
                where 'mallory'::regrole in (r.roleid, r.member)
            union all select rolsuper::text from pg_roles where rolname = 'mallory'
        ) all_of_it (x)",
    )
    .await
}

/// What a view's function must not be able to do. All end in an error of the function.
const FORBIDDEN: &[(&str, &str)] = &[
    ("update the configuration", "update capi.destination set credential = 'MALLORYS';"),
    ("delete events", "delete from capi.outbox;"),
    (
        "forge an event",
        "insert into capi.capture_error (source, key, sqlstate, reason) values (1, 'x', 'x', 'x');",
    ),
    ("read digests", "perform identity from capi.outbox;"),
    ("become the owner", "set role capi_owner;"),
    ("become the owner by function", "perform set_config('role', 'capi_owner', false);"),
    ("become a superuser", "set session authorization postgres;"),
    ("go back to the session's role", "reset role;"),
    ("go back to the session's user", "reset session authorization;"),
    ("leave a temporary table", "create temp table bait (x int);"),
    ("change a table", "alter table capi.outbox add column x int;"),
    (
        "change a function",
        "create or replace function capi.adopt() returns text language sql as 'select null::text';",
    ),
    ("grant itself", "grant capi_owner to mallory;"),
    ("call an administrator's function", "perform capi.pause('meta-eu');"),
    ("call a private function", "perform capi._set_state(1, 'active', null);"),
    ("listen", "listen capi;"),
    ("leave a cursor", "execute 'declare c cursor with hold for select 1';"),
    ("switch triggers off", "set session_replication_role = replica;"),
    ("switch capture off", "set capi.capture = off;"),
];

#[tokio::test]
async fn a_hostile_view_gets_no_rights() {
    let shop = hostile_source().await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let before = state(&shop).await;
    let app = shop.connect_as("app").await;
    let superuser = shop.connect().await;
    let mut id = 0;
    let mut wrong = Vec::new();
    for (what, body) in FORBIDDEN {
        arm(&shop, body).await;
        for (who, session) in [("app", &app), ("superuser", &superuser)] {
            id += 1;
            session.run(&format!("insert into mallory.sale values ({id})")).await;
            let found = errors(&shop).await;
            let expected = format!("{id} ");
            if !found.iter().any(|error| error.starts_with(&expected)) {
                wrong.push(format!("{what} as {who}: no error on record"));
            }
        }
        if state(&shop).await != before {
            wrong.push(format!("{what}: changed something"));
        }
        let user = "select session_user || ' ' || current_user || ' ' || current_setting('role')";
        assert_eq!(superuser.get(user).await, "postgres postgres none", "{what}");
        assert_eq!(app.get(user).await, "app app none", "{what}");
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(shop.count("select count(*) from mallory.sale").await, id, "all orders committed");
    let states = shop.column("select distinct sqlstate from capi.capture_error order by 1").await;
    assert!(states.contains(&"42501".to_owned()), "{states:?}");
}

/// Functions that the capture's own statements would call, were they looked up in this schema.
const SHADOWS: &str = "
    create function mallory.steal(what text) returns void language sql
        as 'insert into mallory.loot values (current_user, session_user, what)';
    create function mallory.nextval(text) returns bigint language plpgsql
        as $f$ begin perform mallory.steal('nextval text'); return pg_catalog.nextval($1::regclass); end $f$;
    create function mallory.nextval(regclass) returns bigint language plpgsql
        as $f$ begin perform mallory.steal('nextval'); return pg_catalog.nextval($1); end $f$;
    create function mallory.clock_timestamp() returns timestamptz language plpgsql
        as $f$ begin perform mallory.steal('clock'); return pg_catalog.clock_timestamp(); end $f$;
    create function mallory.pg_current_xact_id_if_assigned() returns xid8 language plpgsql
        as $f$ begin perform mallory.steal('xid'); return pg_catalog.pg_current_xact_id_if_assigned(); end $f$;
    create function mallory.pg_current_xact_id() returns xid8 language plpgsql
        as $f$ begin perform mallory.steal('xid'); return pg_catalog.pg_current_xact_id(); end $f$;
    create function mallory.coalesce(boolean, boolean) returns boolean language plpgsql
        as $f$ begin perform mallory.steal('coalesce'); return $1; end $f$;
    create function mallory.generate_series(integer, integer) returns setof integer language plpgsql
        as $f$ begin perform mallory.steal('series'); return query select 1; end $f$;
    create function mallory.same(text, text) returns boolean language plpgsql
        as $f$ begin perform mallory.steal('text ='); return $1 operator(pg_catalog.=) $2; end $f$;
    create operator mallory.= (leftarg = text, rightarg = text, function = mallory.same);
    create function mallory.same(bigint, bigint) returns boolean language plpgsql
        as $f$ begin perform mallory.steal('bigint ='); return $1 operator(pg_catalog.=) $2; end $f$;
    create operator mallory.= (leftarg = bigint, rightarg = bigint, function = mallory.same);
    create function mallory.same(integer, integer) returns boolean language plpgsql
        as $f$ begin perform mallory.steal('integer ='); return $1 operator(pg_catalog.=) $2; end $f$;
    create operator mallory.= (leftarg = integer, rightarg = integer, function = mallory.same);
    grant execute on all functions in schema mallory to public;
    grant usage on schema mallory to public;";

#[tokio::test]
async fn a_view_that_bends_the_search_path_gets_no_rights() {
    let shop = hostile_source().await;
    shop.run(&format!("set role mallory; {SHADOWS} reset role")).await;
    for (n, body) in [
        "perform set_config('search_path', 'mallory, pg_catalog', false);",
        "perform set_config('search_path', 'mallory, pg_catalog', true);",
        "set search_path = mallory, pg_catalog;",
        "set local search_path = mallory, pg_catalog; set local lock_timeout = 0;",
    ]
    .iter()
    .enumerate()
    {
        arm(&shop, body).await;
        // Warm and cold sessions, new events and repeated ones, and a failure to record.
        for role in ["app", "postgres"] {
            let session = shop.connect_as(role).await;
            let base = n * 100 + if role == "app" { 10 } else { 50 };
            session.run(&format!("insert into mallory.sale values ({base})")).await;
            session
                .run(&format!("insert into mallory.sale values ({base} + 1), ({base} + 2)"))
                .await;
            let again = format!(
                "begin; set constraints all immediate; insert into mallory.sale values ({base} + 3);
                set constraints all deferred; commit"
            );
            session.run(&again).await;
            assert_eq!(session.get("show search_path").await, "\"$user\", public");
        }
        shop.run("update mallory.sale set id = id").await;
        // The trial capture reads the view too.
        let track = "select capi.track('mallory.sale', conversions => 'mallory.conversion',
            destinations => '{meta-eu}')";
        shop.run(track).await;
    }
    let loot = shop
        .column(
            "select distinct format('%s: %s', who, what) from mallory.loot where who <> 'mallory'",
        )
        .await;
    assert_eq!(loot, [""; 0], "functions of the view's owner ran as somebody else");
}

#[tokio::test]
async fn a_view_cannot_leave_a_trigger_for_the_session_to_run() {
    let shop = hostile_source().await;
    shop.run(
        "set role mallory;
        create table mallory.trap (x int);
        create function mallory.snap() returns trigger language plpgsql as $f$
        begin
            insert into mallory.loot values (current_user, session_user, 'deferred trigger');
            return null;
        end $f$;
        create constraint trigger snap after insert on mallory.trap
            deferrable initially deferred for each row execute function mallory.snap();
        reset role",
    )
    .await;
    arm(&shop, "insert into mallory.trap values (1);").await;
    shop.run("insert into mallory.sale values (1)").await;
    assert_eq!(shop.count("select count(*) from mallory.loot where who <> 'mallory'").await, 0);
    assert_eq!(shop.count("select count(*) from mallory.sale").await, 1);
    // Nor may the view change its own source and so begin again for ever.
    arm(&shop, "insert into mallory.sale select max(id) + 1 from mallory.sale;").await;
    shop.run("insert into mallory.sale values (100)").await;
    assert_eq!(shop.count("select count(*) from mallory.sale where id >= 100").await, 1);
}

#[tokio::test]
async fn tracking_and_previewing_a_hostile_view_gives_it_no_rights() {
    let shop = hostile_source().await;
    let before = state(&shop).await;
    shop.run("insert into mallory.sale values (1)").await;
    for (what, body) in FORBIDDEN {
        arm(&shop, body).await;
        let track = "select capi.track('mallory.sale', conversions => 'mallory.conversion',
            destinations => '{meta-eu}')";
        shop.refused(track).await;
        assert_eq!(state(&shop).await, before, "{what}");
        shop.run("select * from capi.check_view('mallory.conversion')").await;
        assert_eq!(state(&shop).await, before, "{what}");
    }
}

#[tokio::test]
async fn nothing_is_half_captured_when_the_view_fails() {
    let shop = hostile_source().await;
    // Fails for the second row, after the first one was read.
    arm(&shop, "if (select count(*) from mallory.sale) > 1 then raise exception 'boo %', current_user; end if;")
        .await;
    shop.run("insert into mallory.sale values (1), (2)").await;
    assert_eq!(shop.count("select count(*) from mallory.sale").await, 2);
    assert_eq!(captured(&shop).await, 0);
    assert_eq!(shop.count("select count(*) from capi.event_key").await, 0);
    assert_eq!(
        errors(&shop).await,
        ["1", "2"].map(|key| format!("{key} P0001 raise_exception - open"))
    );
    assert!(!shop.cluster().log().contains("boo mallory"));
}

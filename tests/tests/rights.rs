//! Rights that came before the set-up, or come by the back door: each test mounts the attack.

use capi_tests::cluster::{done, output_of};
use capi_tests::database::{Database, Session};
use capi_tests::shop::{buy, captured_keys, customer, tracked_shop};

/// A set-up again, which shares the cluster's roles with the other tests.
const SETUP: &str = "select capi.setup(adopt => true)";

/// Which privileges on the schema somebody else than its owner has.
const STRANGERS: &str = "select coalesce(string_agg(format('%s %s', coalesce(r.rolname, 'public'), a.privilege_type), ', ' order by 1), '')
    from pg_namespace n cross join aclexplode(n.nspacl) a left join pg_roles r on r.oid = a.grantee
    where n.nspname = 'capi' and a.grantee <> n.nspowner and a.privilege_type = 'CREATE'";

// ---------------------------------------------------------------------------------------------
// What was there before
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_schema_that_somebody_made_beforehand_is_refused() {
    let bare = Database::bare().await;
    bare.run("create role squatter login; create role squatters_friend login").await;
    bare.run(&format!("grant create on database {} to squatter", bare.name())).await;
    let squatter = bare.connect_as("squatter").await;
    squatter
        .run("create schema capi; grant create, usage on schema capi to squatters_friend")
        .await;
    bare.run("create extension pg_capi").await;
    let refusal = bare.refused(SETUP).await;
    assert_eq!(refusal.message, "schema capi belongs to role \"squatter\"");
    assert!(refusal.hint.contains("drop schema capi"), "{refusal:?}");
    // A superuser who takes it over does not take away what its maker has given.
    bare.run("alter schema capi owner to postgres").await;
    let refusal = bare.refused(SETUP).await;
    assert_eq!(refusal.message, "role \"squatters_friend\" may create objects in schema capi");
    assert!(refusal.hint.contains("drop schema capi"), "{refusal:?}");
    bare.run("drop extension pg_capi; drop schema capi; create extension pg_capi").await;
    bare.run(SETUP).await;
    assert_eq!(bare.get(STRANGERS).await, "");
    assert_eq!(
        squatter
            .refused("create function capi.trap() returns int language sql as 'select 1'")
            .await
            .code,
        "42501"
    );
    bare.run(&format!("revoke all on database {} from squatter", bare.name())).await;
}

#[tokio::test]
async fn the_set_up_looks_again_whose_things_are_in_the_schema() {
    let shop = Database::adopted().await;
    shop.run("create role lurker login").await;
    for (trap, undo, message) in [
        (
            "grant create on schema capi to lurker",
            "revoke create on schema capi from lurker",
            "role \"lurker\" may create objects in schema capi",
        ),
        (
            "grant usage on schema capi to lurker with grant option",
            "revoke usage on schema capi from lurker",
            "role \"lurker\" may create objects in schema capi",
        ),
        (
            "alter default privileges for role capi_owner grant select on tables to lurker",
            "alter default privileges for role capi_owner revoke select on tables from lurker",
            "default privileges give away what the set-up makes",
        ),
        (
            "alter default privileges in schema capi grant select on tables to lurker",
            "alter default privileges in schema capi revoke select on tables from lurker",
            "default privileges give away what the set-up makes",
        ),
        (
            "create function capi.claim(text) returns int language sql as 'select 1'",
            "drop function capi.claim(text)",
            "function capi.claim(text) is not of this set-up",
        ),
        (
            "create operator capi.= (leftarg = int4, rightarg = int8, function = pg_catalog.int48eq)",
            "drop operator capi.= (int4, int8)",
            "operator capi.=(integer,bigint) is not of this set-up",
        ),
        (
            "create function public.peek() returns trigger language plpgsql as $$begin return new; end$$;
            create trigger peek before insert on capi.outbox for each row execute function public.peek()",
            "drop function public.peek() cascade",
            "trigger peek on table capi.outbox is not of this set-up",
        ),
        (
            "create rule peek as on insert to capi.withdrawal do also select 1",
            "drop rule peek on capi.withdrawal",
            "rule peek on table capi.withdrawal is not of this set-up",
        ),
        (
            "grant capi_owner to lurker",
            "revoke capi_owner from lurker",
            "role \"lurker\" is a member of the owner of schema capi",
        ),
    ] {
        shop.run(trap).await;
        let refusal = shop.refused("select capi.setup()").await;
        assert_eq!(refusal.message, message, "{trap}");
        assert_ne!(refusal.hint, "", "{trap}");
        shop.run(undo).await;
    }
    shop.run("select capi.setup()").await;
}

#[tokio::test]
async fn no_view_is_read_before_it_is_known_whose_it_is() {
    let bare = Database::bare().await;
    bare.run("create role forger login; create table public.loot (who text); grant insert on public.loot to public").await;
    bare.run(&format!("grant create on database {} to forger", bare.name())).await;
    let forger = bare.connect_as("forger").await;
    forger
        .run(
            "create schema capi;
            create function capi.payload() returns text language plpgsql volatile as $f$
            begin insert into public.loot values (current_user); return 'capi_owner'; end $f$;
            create view capi.installation as select capi.payload() as owner_role, 'a' as sidecar_role,
                'a' as analyst_role, 'a' as admin_role, 'a' as emitter_role, 'a' as tenant_role",
        )
        .await;
    bare.run("create extension pg_capi").await;
    let refusal = bare.refused(SETUP).await;
    assert_eq!(refusal.message, "schema capi belongs to role \"forger\"");
    bare.run(&format!("alter schema capi owner to capi_owner; alter view capi.installation owner to capi_owner; revoke all on database {} from forger", bare.name()))
        .await;
    bare.refused(SETUP).await;
    assert_eq!(bare.column("select who from public.loot").await, [""; 0]);
}

#[tokio::test]
async fn the_event_trigger_lends_nobody_the_rights_of_a_superuser() {
    let shop = tracked_shop().await;
    let of_extension = "select count(*) from pg_event_trigger t join pg_proc p on p.oid = t.evtfoid
        join pg_roles r on r.oid = p.proowner and r.rolsuper
        join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
        where t.evtname in ('capi_ddl', 'capi_drop')";
    assert_eq!(shop.count(of_extension).await, 2);
    shop.run("create table public.loot (who text, session_who text); grant insert on public.loot to public").await;
    // Whoever has got the owner's rights replaces what the trigger calls.
    let functions = shop
        .column(
            "select p.proname from pg_proc p where p.pronamespace = 'capi'::regnamespace
                and p.proowner = 'capi_owner'::regrole and p.proname in ('_ddl', '_schema_changed', '_mark_stale', '_depends')
            order by 1",
        )
        .await;
    assert!(functions.contains(&"_mark_stale".to_owned()), "{functions:?}");
    for function in functions {
        let (arguments, returns) = match function.as_str() {
            "_ddl" => ("", "event_trigger"),
            "_schema_changed" => ("p_event text", "void"),
            "_depends" => ("p_view oid, out classid oid, out objid oid", "setof record"),
            _ => ("p_source integer, p_reason text", "void"),
        };
        let definition = shop
            .get(&format!("select pg_get_functiondef(oid) from pg_proc where proname = '{function}' and pronamespace = 'capi'::regnamespace"))
            .await;
        shop.run(&format!(
            "set role capi_owner;
            create or replace function capi.{function}({arguments}) returns {returns} language plpgsql security invoker as $f$
            begin
                insert into public.loot values (current_user, '{function}');
                begin
                    reset role;
                    insert into public.loot values (current_user, '{function} after reset');
                exception when others then null;
                end;
                {}
            end $f$;
            reset role",
            if function == "_depends" { "return;" } else { "" },
        ))
        .await;
        shop.run("alter view shop.purchases set (security_barrier = true)").await;
        shop.run(&definition).await;
    }
    let loot = shop.column("select distinct who from public.loot").await;
    assert!(loot.iter().all(|who| who == "capi_owner"), "{loot:?}");
    assert!(!loot.is_empty(), "what was replaced was called");
    // Its work is done all the same, for owners without a right here.
    shop.run("update capi.source set stale_since = null, stale_reason = null").await;
    shop.run(
        "set role shop_owner; alter view shop.purchases set (security_barrier = false); reset role",
    )
    .await;
    let stale = "select stale_reason from capi.source where name = 'shop.orders'";
    assert_eq!(shop.get(stale).await, "alter view shop.purchases");
    shop.refused("select capi._ddl()").await;
}

/// Types that a careless call is resolved to sooner than to the one that is meant.
const NEARER: &[(&str, &str)] = &[
    ("bigint", "integer"),
    ("smallint", "integer"),
    ("numeric", "integer"),
    ("oid", "regclass"),
    ("regclass", "oid"),
    ("name", "text"),
    ("text", "name"),
    ("jsonb", "text"),
    ("interval", "text"),
    ("timestamp with time zone", "timestamp without time zone"),
    ("timestamp with time zone", "text"),
    ("text[]", "name[]"),
    ("bigint[]", "integer[]"),
    ("uuid", "text"),
];

#[tokio::test]
async fn no_other_function_matches_a_call_of_ours_better() {
    let shop = tracked_shop().await;
    shop.run("create sequence public.decoys; grant usage on public.decoys to public").await;
    let functions = shop
        .rows(
            "select p.proname, array_to_string(array(select format_type(t, null) from unnest(p.proargtypes) with ordinality u (t, n) order by n), ', ')
            from pg_proc p where p.pronamespace = 'capi'::regnamespace and p.prokind = 'f' and p.pronargs > 0
                and p.proname like '\\_%'",
        )
        .await;
    let mut decoys = 0;
    for row in functions {
        let (name, arguments) = (row[0].clone().expect("a name"), row[1].clone().expect("types"));
        let types: Vec<&str> = arguments.split(", ").collect();
        for at in 0..types.len() {
            for (_, nearer) in NEARER.iter().filter(|(of, _)| *of == types[at]) {
                let mut changed = types.clone();
                changed[at] = nearer;
                let decoy = shop
                    .ask(&format!(
                        "create function capi.{name}({}) returns text language plpgsql as $f$
                        begin
                            raise log 'decoy of capi.{name} was called in {}';
                            perform nextval('public.decoys');
                            raise exception 'decoy of capi.{name}';
                        end $f$",
                        changed.join(", "),
                        shop.name()
                    ))
                    .await;
                decoys += usize::from(decoy.is_ok());
            }
        }
    }
    assert!(decoys > 50, "{decoys}");
    shop.run("grant execute on all functions in schema capi to capi_owner").await;
    let c = customer(&shop).await;
    let order = buy(&shop, c).await;
    let mut refused = Vec::new();
    for sql in [
        "select capi.resume('meta-eu')".to_owned(),
        "select * from capi.claim(1, 'w', interval '1 minute', 10)".to_owned(),
        "select * from capi.status()".to_owned(),
        "select * from capi.health()".to_owned(),
        "select * from capi.poll()".to_owned(),
        "select * from capi.sweep()".to_owned(),
        "select * from capi.recapture()".to_owned(),
        "select * from capi.revalidate()".to_owned(),
        "select * from capi.delivery".to_owned(),
        "select * from capi.sources".to_owned(),
        "select * from capi.pixel_coverage".to_owned(),
        "select * from capi.check_view('shop.purchases', 'meta', 'shop.orders')".to_owned(),
        "select * from capi.check_contents('shop.purchases', 'shop.products', 'sku')".to_owned(),
        format!("select capi.preview('meta-eu', p) from shop.purchases p where id = {order}"),
        format!("select capi.pixel_snippet('meta-eu', p) from shop.purchases p where id = {order}"),
        format!("select capi.explain_match(p, 'meta') from shop.purchases p where id = {order}"),
        format!("select capi.withdraw('shop.orders', '{order}')"),
        format!("select capi.forget('shop.orders', '{order}')"),
        "select capi.forget_person('email', 'x@example.com')".to_owned(),
        "select * from capi.find_person('email', 'x@example.com')".to_owned(),
        "call capi.backfill('shop.orders', now() - interval '1 hour')".to_owned(),
        "select capi.create_emitter('x.carts')".to_owned(),
        "select capi.add_route('x.carts', 'meta-eu')".to_owned(),
        "select capi.set_tenant('x.carts', 'shop-x')".to_owned(),
        "select capi.track('shop.orders', 'shop.purchases', '{meta-eu}')".to_owned(),
        "select capi.untrack('shop.orders')".to_owned(),
        "select capi.alter_destination('meta-eu', credential => 'OTHER_TOKEN')".to_owned(),
        "select capi.pause('meta-eu')".to_owned(),
        "select capi.retain(interval '1 year')".to_owned(),
    ] {
        if let Err(refusal) = shop.ask(&sql).await {
            refused.push(format!("{sql}: {}", refusal.message));
        }
    }
    for _ in 0..12 {
        shop.run("select capi.maintain()").await;
    }
    let marker = format!("was called in {}", shop.name());
    let mut called: Vec<String> = shop
        .cluster()
        .log()
        .lines()
        .filter(|line| line.ends_with(&marker))
        .filter_map(|line| line.split("decoy of ").nth(1).map(str::to_owned))
        .collect();
    called.sort();
    called.dedup();
    assert_eq!(called, [""; 0]);
    assert_eq!(refused, [""; 0]);
    assert_eq!(shop.get("select is_called from public.decoys").await, "f");
}

// ---------------------------------------------------------------------------------------------
// Views with more rights than their readers should get
// ---------------------------------------------------------------------------------------------

/// A role that owns a table and a view of sales, and a function of `mallory` that writes down whose
/// rights it gets. `with` is added to the view's columns.
async fn sales(with: &str) -> Database {
    let shop = tracked_shop().await;
    shop.run(&format!(
        "set capi.superuser_views = off;
        alter database {} set capi.superuser_views = off;
        create schema s authorization shop_owner;
        create table public.loot (who text);
        grant insert on public.loot to public;
        create schema m authorization mallory;
        grant usage on schema m to public;
        set role mallory;
        create function m.payload() returns text language plpgsql volatile set search_path = pg_catalog as $f$
        begin insert into public.loot values (current_user); return 'x'; end $f$;
        create function m.is_fine(text) returns boolean language plpgsql set search_path = pg_catalog as $f$
        begin insert into public.loot values (current_user); return true; end $f$;
        create function m.same(text, text) returns boolean language plpgsql set search_path = pg_catalog as $f$
        begin insert into public.loot values (current_user); return true; end $f$;
        create operator m.=== (leftarg = text, rightarg = text, function = m.same);
        create domain m.word as text check (m.is_fine(value));
        create type m.mood as enum ('good');
        create function m.told(m.mood) returns text language plpgsql set search_path = pg_catalog as $f$
        begin insert into public.loot values (current_user); return 'x'; end $f$;
        create cast (m.mood as text) with function m.told(m.mood);
        create aggregate m.total(text) (sfunc = pg_catalog.textcat, stype = text, initcond = '');
        create function m.body() returns text language sql begin atomic select m.payload(); end;
        create view m.inner as select m.payload() as word;
        grant select on m.inner to public;
        set role shop_owner;
        create table s.sale (id bigint primary key);
        grant usage on schema s to app;
        grant insert on s.sale to app;
        create function s.wrap() returns text language sql begin atomic select m.body(); end;
        create view s.conversion as
        select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
            'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent{with}
        from s.sale s;
        reset role",
        shop.name()
    ))
    .await;
    shop
}

const TRACK_SALES: &str =
    "select capi.track('s.sale', conversions => 's.conversion', destinations => '{meta-eu}')";

#[tokio::test]
async fn a_view_of_somebody_mighty_is_refused() {
    let shop = sales("").await;
    shop.run("create role mighty_bypass bypassrls; create role mighty_creator createrole;
        create role mighty_program in role pg_execute_server_program; create role mighty_owner; grant capi_admin to mighty_owner")
        .await;
    for owner in ["postgres", "mighty_bypass", "mighty_creator", "mighty_program", "capi_owner"] {
        shop.run(&format!("alter view s.conversion owner to {owner}")).await;
        let refusal = shop.refused(TRACK_SALES).await;
        assert!(
            refusal.message.contains(&format!("s.conversion belongs to {owner}")),
            "{owner}: {refusal:?}"
        );
        assert!(refusal.hint.contains("owner to"), "{refusal:?}");
        let found = shop
            .column("select finding from capi.check_view('s.conversion') where severity = 'error'")
            .await;
        assert!(found.iter().any(|f| f.contains(&format!("belongs to {owner}"))), "{found:?}");
    }
    shop.run("alter view s.conversion owner to shop_owner").await;
    shop.run(TRACK_SALES).await;
    // A view below.
    shop.run(
        "set role shop_owner; create view s.below as select * from s.conversion;
        create view s.top as select * from s.below; reset role; alter view s.below owner to postgres;
        grant select on s.below to shop_owner; grant select on s.conversion to postgres",
    )
    .await;
    let refusal = shop.refused("select capi.track('s.sale', 's.top', '{meta-eu}')").await;
    assert!(refusal.message.contains("s.below belongs to postgres"), "{refusal:?}");
    // People alike.
    shop.run(
        "create view s.people as select 'erika.mustermann@example.com' as email, true as consent",
    )
    .await;
    let audience =
        "select capi.create_audience('p', 'meta-eu', 's.people', '{\"audience_id\": \"1\"}')";
    let refusal = shop.refused(audience).await;
    assert!(refusal.message.contains("s.people belongs to postgres"), "{refusal:?}");
    shop.run("alter view s.people owner to shop_owner").await;
    shop.run(audience).await;
    shop.run("alter view s.people owner to postgres; select capi.resume('meta-eu')").await;
    let sidecar = shop.connect_as("capi").await;
    let refusal = sidecar.refused("select * from capi.audience_open('p', 'w')").await;
    assert!(refusal.message.contains("superuser"), "{refusal:?}");
}

#[tokio::test]
async fn a_superuser_may_say_that_his_own_view_is_read() {
    let shop = sales("").await;
    shop.run("alter view s.conversion owner to postgres").await;
    let admin = shop.connect_as("admin").await;
    shop.run("grant usage on schema s to admin; grant select on s.conversion to admin").await;
    // Before the library is loaded any session may set any name; it counts for nothing.
    let seen = "select count(*) from capi.check_view('s.conversion') where finding like '% belongs to postgres%'";
    admin.run("set capi.superuser_views = on").await;
    assert_eq!(admin.count(seen).await, 1);
    assert_eq!(admin.refused("set capi.superuser_views = on").await.code, "42501");
    shop.refused(TRACK_SALES).await;
    shop.run("set capi.superuser_views = on").await;
    shop.run(TRACK_SALES).await;
    shop.run("insert into s.sale values (1)").await;
    assert_eq!(captured_keys(&shop).await, "1");
}

#[tokio::test]
async fn code_of_strangers_below_a_view_is_refused() {
    for (with, whose) in [
        (", m.payload() as order_id", "m.payload()"),
        (", (select word from m.inner) as order_id", "m.payload()"),
        (", 'x'::m.word::text as order_id", "m.is_fine(text)"),
        (", 'x'::m.word as order_id", "m.is_fine(text)"),
        (", ('x' operator(m.===) 'y')::text as order_id", "m.same(text,text)"),
        (", 'good'::m.mood as order_id", "m.told(m.mood)"),
        (", (select m.total('x')) as order_id", "m.total(text)"),
        (", s.wrap() as order_id", "m.body()"),
    ] {
        let shop = sales(with).await;
        let refusal = shop.refused(TRACK_SALES).await;
        let expected = format!("function {whose} belongs to mallory");
        assert!(refusal.message.contains(&expected), "{with}: {refusal:?}");
        assert!(
            refusal.hint.contains("alter function") || refusal.hint.contains("alter "),
            "{refusal:?}"
        );
        assert_eq!(shop.column("select who from public.loot").await, [""; 0], "{with}");
    }
}

#[tokio::test]
async fn a_view_that_becomes_a_superusers_is_not_captured_any_more() {
    let shop = sales(", s.wrap() as order_id").await;
    // A role of this test: it is changed, and the cluster is everybody's.
    shop.run(
        "create role riser; grant usage, create on schema s to riser; alter table s.sale owner to riser;
        alter function s.wrap() owner to riser; alter view s.conversion owner to riser;
        alter function m.payload() owner to riser; alter function m.body() owner to riser",
    )
    .await;
    shop.run(TRACK_SALES).await;
    let app = shop.connect_as("app").await;
    app.run("insert into s.sale values (1)").await;
    assert_eq!(captured_keys(&shop).await, "1");
    assert_eq!(shop.get("select distinct who from public.loot").await, "riser");
    // Another owner of the view, and more rights for the same.
    for (n, (change, back, reason)) in [
        (
            "alter view s.conversion owner to postgres",
            "alter view s.conversion owner to riser",
            // It calls functions of its old owner.
            "lends_rights",
        ),
        ("alter role riser createrole", "alter role riser nocreaterole", "insufficient_privilege"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = 10 + n;
        shop.run(change).await;
        app.run(&format!("insert into s.sale values ({key})")).await;
        let problem = shop.get("select problem from capi.revalidate('s.sale')").await;
        shop.run(back).await;
        assert!(problem.contains(" belongs to "), "{change}: {problem}");
        let error = format!("select reason from capi.capture_error where key = '{key}'");
        assert_eq!(shop.get(&error).await, reason, "{change}");
        assert_eq!(shop.get("select distinct who from public.loot").await, "riser");
    }
    // Maintenance looks by itself at what has changed: code that is somebody else's now.
    shop.run("alter function m.payload() owner to mallory").await;
    while shop.get("select capi.maintain() ->> 'more'").await == "true" {}
    let stale = shop.get("select stale_reason from capi.sources where name = 's.sale'").await;
    assert!(stale.contains("m.payload() belongs to mallory"), "{stale}");
}

// ---------------------------------------------------------------------------------------------
// Code that runs in a session of somebody with more rights
// ---------------------------------------------------------------------------------------------

/// What an administrator must not be able to do to a stranger's source and settings.
const MEDDLING: &[&str] = &[
    "perform capi._source_save('shop.orders', 'shop.purchases', '{}', '{\"consent\": \"not_required\", \"on_error\": \"abort\", \"also\": {}}')",
    "perform capi.track('shop.orders', 'shop.purchases', '{evil}')",
    "perform capi.untrack('shop.orders')",
    "perform capi.add_route('shop.orders', 'evil')",
    "perform capi._backfill_open('shop.orders', now() - interval '1 hour', now(), false)",
    "perform capi.create_audience('theirs', 'evil', 'crm.people', '{\"audience_id\": \"7\"}')",
    "perform capi.alter_audience('mine', people => 'crm.people')",
];

/// What he may do himself, and must not do from inside of somebody's statement.
const CONFIGURING: &[&str] = &[
    "perform capi.pause('evil')",
    "perform capi.resume('meta-eu')",
    "perform capi.alter_destination('meta-eu', credential => 'OTHER')",
    "perform capi.set_tenant('shop.orders', 'evil')",
    "perform capi.retain(interval '1 day')",
    "perform capi.adopt()",
];

/// A shop with an administrator of this name who owns a table of his own, and a function
/// `meddling.attack` that does `body` and writes down what came of it.
async fn meddler(name: &str) -> Database {
    let shop = tracked_shop().await;
    shop.run(&format!(
        "create role {name} login in role capi_admin;
        select capi.create_destination('evil', 'meta', '{{\"pixel_id\": \"666\"}}', 'EVIL');
        create schema crm authorization shop_owner;
        create schema meddling authorization {name};
        set role shop_owner;
        create table crm.people (email text, consent boolean);
        insert into crm.people values ('erika.mustermann@example.com', true);
        grant usage on schema shop, crm to {name};
        set role {name};
        create table meddling.own_people (email text, consent boolean);
        select capi.create_audience('mine', 'evil', 'meddling.own_people', '{{\"audience_id\": \"6\"}}');
        create table meddling.log (who text, said text);
        create table meddling.parent (id int primary key);
        create table meddling.child (id int references meddling.parent on delete cascade);
        create table meddling.indexed (id int);
        insert into meddling.indexed values (1);
        reset role"
    ))
    .await;
    shop
}

async fn arm_meddler(shop: &Session, name: &str, body: &str) {
    shop.run(&format!(
        "set role {name};
        create or replace function meddling.attack() returns void language plpgsql as $f$
        begin
            {body};
            insert into meddling.log values (current_user, 'done');
        exception when others then
            insert into meddling.log values (current_user, sqlstate || ' ' || sqlerrm);
        end $f$;
        create or replace function meddling.index_of(int) returns int language plpgsql immutable as $f$
        begin
            perform meddling.attack();
            return $1;
        end $f$;
        create or replace function meddling.on_delete() returns trigger language plpgsql as $f$
        begin
            perform meddling.attack();
            return old;
        end $f$;
        create or replace function meddling.useful() returns void language sql security definer
            as 'select meddling.attack()';
        drop trigger if exists attack on meddling.child;
        create trigger attack before delete on meddling.child for each row execute function meddling.on_delete();
        reset role",
    ))
    .await;
}

/// Everything that configures.
async fn configuration(shop: &Session) -> String {
    shop.get(
        "select string_agg(x, E'\\n' order by x) from (
            select d::text from capi.destination d
            union all select s::text from capi.source s
            union all select r::text from capi.route r
            union all select a::text from capi.audience a
            union all select b::text from capi.backfill b
            union all select i::text from capi.installation i
            union all select t::text from capi.retention t
            union all select v::text from capi.source_version v
        ) x (x)",
    )
    .await
}

#[tokio::test]
async fn an_index_that_a_superuser_builds_configures_nothing() {
    let name = "meddler_index";
    let shop = meddler(name).await;
    arm_meddler(&shop, name, "perform 1").await;
    shop.run(&format!(
        "set role {name}; create index on meddling.indexed ((meddling.index_of(id))); reset role"
    ))
    .await;
    let before = configuration(&shop).await;
    for body in MEDDLING.iter().chain(CONFIGURING) {
        arm_meddler(&shop, name, body).await;
        shop.run("truncate meddling.log").await;
        // As autovacuum does it, and a superuser's maintenance.
        shop.run("analyze meddling.indexed; reindex table meddling.indexed").await;
        assert_eq!(configuration(&shop).await, before, "{body}");
        let said = shop.column("select distinct who || ': ' || said from meddling.log").await;
        assert_eq!(
            said,
            [format!(
                "{name}: 42501 this cannot be called by a view that is captured, an index or a refresh"
            )],
            "{body}"
        );
    }
    // status() tells nobody there what it tells a superuser.
    arm_meddler(
        &shop,
        name,
        "if exists (select from capi.status()) then raise exception 'seen'; end if",
    )
    .await;
    shop.run("truncate meddling.log; reindex table meddling.indexed").await;
    assert_eq!(shop.column("select distinct said from meddling.log").await, ["done"]);
}

#[tokio::test]
async fn a_superusers_cascade_or_call_lends_an_administrator_nothing() {
    let name = "meddler_cascade";
    let shop = meddler(name).await;
    arm_meddler(&shop, name, "perform 1").await;
    let before = configuration(&shop).await;
    for body in MEDDLING {
        arm_meddler(&shop, name, body).await;
        for by in [
            "insert into meddling.parent values (1); insert into meddling.child values (1); delete from meddling.parent",
            "select meddling.useful()",
        ] {
            shop.run("truncate meddling.log").await;
            shop.run(by).await;
            assert_eq!(configuration(&shop).await, before, "{by} {body}");
            let said = shop.get("select who || ': ' || left(said, 5) from meddling.log").await;
            assert_eq!(said, format!("{name}: 42501"), "{by} {body}");
        }
    }
    // The argument that says who calls is not to be made up.
    let admin = shop.connect_as(name).await;
    for caller in ["'10:0'", "'10'", "null", "''", "'x:y'"] {
        let refusal =
            admin.refused(&format!("select capi.untrack('shop.orders', caller => {caller})")).await;
        assert_eq!(refusal.message, "the argument caller is not to be given");
    }
    let own = admin.get("select capi._who()").await;
    assert_ne!(own, shop.get("select capi._who()").await);
}

#[tokio::test]
async fn what_configures_refuses_to_run_inside_of_other_statements() {
    let shop = Database::adopted().await;
    // Facts that an application writes down, or that are made good, may come by a replication worker.
    let facts = [
        "withdraw",
        "forget",
        "forget_person",
        "_block_person",
        "find_person",
        "recapture",
        "sweep",
        "revalidate",
        "_backfill_page",
        "maintain",
        "beacon",
        "health",
        "handshake",
        "emit",
        "_trial",
        "_capture",
        "_note",
    ];
    let open = shop
        .column(
            "select distinct p.proname from pg_proc p
            where p.pronamespace = 'capi'::regnamespace and has_function_privilege('capi_admin', p.oid, 'execute')
                and p.provolatile = 'v' and p.prokind = 'f' and p.prosrc not like '%_not_inside()%' and p.prosrc not like '%_whose(%'
            order by 1",
        )
        .await;
    let wrong: Vec<_> = open.iter().filter(|name| !facts.contains(&name.as_str())).collect();
    assert_eq!(wrong, Vec::<&String>::new());
}

#[tokio::test]
async fn internals_check_what_they_are_told() {
    let name = "meddler_internals";
    let shop = meddler(name).await;
    shop.run(&format!(
        "set role {name};
        create table meddling.sale (id bigint primary key);
        create view meddling.bad as select id, 'Purchase' as event_name from meddling.sale;
        reset role"
    ))
    .await;
    let admin = shop.connect_as(name).await;
    let save = |view: &str, options: &str| {
        format!("select capi._source_save('meddling.sale', '{view}', '{{}}', '{options}')")
    };
    let fine = "{\"consent\": \"required\", \"on_error\": \"record\", \"also\": {}}";
    let refusal = admin.refused(&save("meddling.bad", fine)).await;
    assert!(refusal.message.starts_with("cannot track meddling.bad: "), "{refusal:?}");
    for options in [
        "{\"consent\": \"none\", \"on_error\": \"record\", \"also\": {}}",
        "{\"consent\": \"required\", \"on_error\": \"x\", \"also\": {}}",
        "{\"consent\": \"required\", \"on_error\": \"record\", \"also\": {}, \"callers\": [\"x\"]}",
        "{}",
    ] {
        assert_eq!(admin.refused(&save("meddling.bad", options)).await.code, "22023", "{options}");
    }
}

#[tokio::test]
async fn an_audience_takes_no_row_that_its_maker_may_not_see() {
    let name = "meddler_rows";
    let shop = meddler(name).await;
    shop.run(&format!(
        "set role shop_owner;
        insert into crm.people select 'p' || n || '@example.com', true from generate_series(1, 999) n;
        alter table crm.people enable row level security;
        create policy part on crm.people to {name} using (email like 'p1_@example.com');
        grant usage on schema crm to {name};
        grant select on crm.people to {name};
        create view crm.everybody as select * from crm.people;
        grant select on crm.everybody to {name};
        reset role"
    ))
    .await;
    let admin = shop.connect_as(name).await;
    assert_eq!(admin.count("select count(*) from crm.people").await, 10);
    let create =
        "select capi.create_audience('rows', 'meta-eu', 'crm.people', '{\"audience_id\": \"1\"}')";
    let refusal = admin.refused(create).await;
    assert_eq!(refusal.code, "42501");
    assert_eq!(refusal.message, "must be owner of crm.people");
    assert!(refusal.hint.contains("shop_owner"), "{refusal:?}");
    let alter = "select capi.alter_audience('mine', people => 'crm.people')";
    assert_eq!(admin.refused(alter).await.code, "42501");
    // A view is read as its owner, whatever it shows to others.
    let everybody = create
        .replace("'rows'", "'all'")
        .replace("crm.people", "crm.everybody")
        .replace("\"1\"", "\"2\"");
    assert_eq!(admin.refused(&everybody).await.code, "42501");
    shop.run(&format!("grant shop_owner to {name}")).await;
    admin.run(create).await;
    admin.run(&everybody).await;
    shop.run(&format!("revoke shop_owner from {name}")).await;
}

// ---------------------------------------------------------------------------------------------
// The administrator and the persons
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_administrator_is_shown_no_digest_by_a_test() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let event = shop.get("select event from capi.delivery").await;
    let open = format!("select encode(packed, 'escape') from capi.test_open(1, {event}, 'w')");
    let admin = shop.connect_as("admin").await;
    assert_eq!(admin.refused(&open).await.code, "42501");
    assert_eq!(
        admin.refused("select capi.test_close(1, 'each', 200, null, null, '{}')").await.code,
        "42501"
    );
    // What is for the sidecar only are the functions that give events or people.
    let giving = shop
        .column(
            "select p.proname from pg_proc p
            where p.pronamespace = 'capi'::regnamespace and p.prosecdef
                and has_function_privilege('capi_admin', p.oid, 'execute')
                and p.prosrc ~ '(capi\\._pack|o\\.identity|o\\.facts|m\\.digests)' order by 1",
        )
        .await;
    assert_eq!(
        giving,
        ["_block_person", "find_person", "forget"],
        "which take digests and give counts"
    );
    let sidecar = shop.connect_as("capi").await;
    assert_ne!(sidecar.get(&open).await, "");
}

// ---------------------------------------------------------------------------------------------
// The owner of the table
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_owner_of_a_table_goes_on_making_partitions() {
    let shop = tracked_shop().await;
    shop.run(
        "create role parter login; create schema part authorization parter;
        set role parter;
        create table part.po (id bigint, day date, primary key (id, day)) partition by range (day);
        create table part.po_2026 partition of part.po for values from ('2026-01-01') to ('2027-01-01');
        create view part.sales as select o.id, o.day, 'Purchase' as event_name, 'po-' || o.id as event_id,
            now() as event_time, 'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent
        from part.po o;
        grant usage on schema part to app; grant insert on part.po to app;
        reset role;
        select capi.track('part.po', 'part.sales', '{meta-eu}')",
    )
    .await;
    // As the owner himself, who has no role of capi.
    let owner = shop.connect_as("parter").await;
    owner
        .run(
            "create table part.po_2027 partition of part.po for values from ('2027-01-01') to ('2028-01-01');
            create table part.po_2028 (like part.po including all);
            alter table part.po attach partition part.po_2028 for values from ('2028-01-01') to ('2029-01-01')",
        )
        .await;
    let app = shop.connect_as("app").await;
    app.run("insert into part.po values (1, '2026-05-05'), (2, '2027-05-05'), (3, '2028-05-05')")
        .await;
    assert_eq!(shop.count("select count(*) from capi.outbox").await, 3);
    assert_eq!(shop.count("select count(*) from capi.capture_error").await, 0);

    // He restores one of his tables from a dump, as himself, with its triggers.
    owner.run("create table part.plain (id bigint primary key);
        create view part.plain_sales as select o.id, 'Purchase' as event_name, 'plain-' || o.id as event_id,
            now() as event_time, 'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent
        from part.plain o").await;
    shop.run("select capi.track('part.plain', 'part.plain_sales', '{meta-eu}')").await;
    let mut dump = shop.cluster().client("pg_dump");
    dump.env("PGUSER", "parter").args([
        "--schema-only",
        "--table=part.plain",
        "--table=part.plain_sales",
        shop.name(),
    ]);
    let text = output_of(&mut dump, "");
    done(&text, "pg_dump");
    owner.run("drop table part.plain cascade").await;
    let mut psql = shop.cluster().client("psql");
    psql.env("PGUSER", "parter").args([
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--dbname",
        shop.name(),
    ]);
    done(&output_of(&mut psql, &String::from_utf8_lossy(&text.stdout)), "the restore");
    assert_eq!(
        owner.count("select count(*) from pg_trigger where tgrelid = 'part.plain'::regclass and not tgisinternal").await,
        2
    );

    // What everybody may execute: what a trigger needs, and it cannot be called otherwise.
    let nobody = shop.connect_as("nobody").await;
    let open = shop
        .column(
            "select distinct p.proname from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            where p.pronamespace = 'capi'::regnamespace and a.grantee = 0 order by 1",
        )
        .await;
    assert_eq!(open, ["_capture", "_note"]);
    for session in [&owner, &nobody] {
        let readable = session
            .column(
                "select c.oid::regclass from pg_class c where c.relnamespace = 'capi'::regnamespace
                    and has_table_privilege(c.oid, 'select, insert, update, delete')",
            )
            .await;
        assert_eq!(readable, [""; 0]);
    }
    assert!(nobody.ask("select capi._capture()").await.is_err());
    assert_eq!(nobody.refused("create table public.x (o capi.outbox)").await.code, "42501");
}

// ---------------------------------------------------------------------------------------------
// Roles by name
// ---------------------------------------------------------------------------------------------

/// Two sources of a tenant each, without a table.
async fn two_tenants() -> Database {
    let shop = Database::adopted().await;
    shop.run(
        "select capi.create_emitter('a.carts'), capi.create_emitter('b.carts');
        select capi.set_tenant('a.carts', 'shop-a'), capi.set_tenant('b.carts', 'shop-b')",
    )
    .await;
    shop
}

#[tokio::test]
async fn a_role_made_again_under_a_name_has_none_of_its_rights() {
    let shop = two_tenants().await;
    shop.run(
        "create role reader_x login; select capi.grant_tenant('reader_x', 'shop-a');
        create role caller_x login in role capi_emitter;
        select capi.create_emitter('a.carts', callers => '{caller_x}');
        select capi.create_emitter('b.carts', callers => '{caller_x}')",
    )
    .await;
    let emit = "select capi.emit('{\"event_name\": \"AddToCart\", \"event_id\": \"c-1\", \"action_source\": \"website\",
        \"event_source_url\": \"https://shop.example.com/\", \"consent\": true}', 'a.carts') ->> 'status'";
    let caller = shop.connect_as("caller_x").await;
    assert_eq!(caller.get(emit).await, "captured");
    let sources = "select name from capi.sources order by 1";
    let reader = shop.connect_as("reader_x").await;
    assert_eq!(reader.column(sources).await, ["a.carts"]);
    shop.run(
        "drop role reader_x; create role reader_x login; select capi.grant_tenant('reader_x', 'shop-b');
        drop role caller_x; create role caller_x login in role capi_emitter",
    )
    .await;
    let reader = shop.connect_as("reader_x").await;
    assert_eq!(reader.column(sources).await, ["b.carts"]);
    let caller = shop.connect_as("caller_x").await;
    assert_eq!(caller.refused(emit).await.code, "42501");
    // Maintenance forgets who is gone, and an emitter without callers left does not become everybody's.
    shop.run("drop role caller_x; drop role reader_x").await;
    while shop.get("select capi.maintain() ->> 'more'").await == "true" {}
    for table in ["tenant_reader", "emitter_caller"] {
        assert_eq!(shop.count(&format!("select count(*) from capi.{table}")).await, 0, "{table}");
    }
    shop.run("select capi._forget_plans()").await;
    let web = shop.connect_as("web").await;
    assert_eq!(web.refused(emit).await.code, "42501");
}

#[tokio::test]
async fn a_role_that_got_another_name_loses_nobody_anything() {
    let bare = Database::bare().await;
    bare.run("create extension pg_capi").await;
    bare.run(
        "select capi.setup(owner => 'ren_owner', sidecar => 'ren_sidecar', analyst => 'ren_analyst',
            admin => 'ren_admin', emitter => 'ren_emitter', tenant => 'ren_tenant');
        select capi.adopt(), capi.create_emitter('x.carts');
        create role ren_reader login in role ren_analyst; create role ren_boss login in role ren_admin",
    )
    .await;
    let reader = bare.connect_as("ren_reader").await;
    assert_eq!(reader.count("select count(*) from capi.sources").await, 1);
    bare.run("alter role ren_analyst rename to ren_bi").await;
    let boss = bare.connect_as("ren_boss").await;
    for session in [&*bare, &boss, &reader] {
        session.run("select * from capi.status()").await;
        session.run("select * from capi.sources").await;
        session.run("select * from capi.pixel_coverage").await;
    }
    bare.run("select capi.maintain()").await;
    // The next set-up follows; somebody else under the old name gets nothing.
    bare.run("select capi.setup()").await;
    assert_eq!(bare.get("select analyst_role from capi.installation").await, "ren_bi");
    assert_eq!(reader.count("select count(*) from capi.sources").await, 1);
    bare.run("alter role ren_bi rename to ren_else; create role ren_bi").await;
    let refusal = bare.refused("select capi.setup()").await;
    assert_eq!(refusal.message, "role \"ren_bi\" is another one than at the last set-up");
    bare.run("select capi.status()").await;
    bare.run("drop role ren_bi; alter role ren_else rename to ren_bi; alter role ren_owner rename to ren_lord").await;
    bare.run("select capi.setup()").await;
    assert_eq!(bare.get("select owner_role from capi.installation").await, "ren_lord");
}

#[tokio::test]
async fn names_of_roles_may_hold_those_of_others() {
    let bare = Database::bare().await;
    bare.run("create extension pg_capi").await;
    bare.run(
        "select capi.setup(owner => 'y_capi_sidecar', sidecar => 'x_capi_analyst_sc', analyst => 'capi_owner x',
            admin => 'Capi \"Admin\"', emitter => 'capi_admin_2', tenant => 'x_capi_owner')",
    )
    .await;
    let can = |role: &str, function: &str| {
        format!("select has_function_privilege('{role}', 'capi.{function}', 'execute')")
    };
    for (role, function) in [
        ("x_capi_analyst_sc", "poll()"),
        ("capi_owner x", "status()"),
        ("Capi \"Admin\"", "pause(text, text)"),
        ("capi_admin_2", "emit(jsonb, text)"),
        ("x_capi_owner", "status()"),
    ] {
        assert_eq!(bare.get(&can(role, function)).await, "t", "{role} {function}");
    }
    let owners = "select distinct proowner::regrole from pg_proc where pronamespace = 'capi'::regnamespace and prosecdef";
    assert_eq!(bare.column(owners).await, ["y_capi_sidecar"]);
    for role in ["x_capi_analyst", "capi_admin"] {
        let rights = format!(
            "select count(*) from pg_proc p, aclexplode(p.proacl) a join pg_roles r on r.oid = a.grantee
            where p.pronamespace = 'capi'::regnamespace and r.rolname = '{role}'"
        );
        assert_eq!(bare.count(&rights).await, 0, "{role}");
    }
}

// ---------------------------------------------------------------------------------------------
// Pages
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn pages_are_made_by_roles_that_are_named_and_can_be_taken_back() {
    let shop = tracked_shop().await;
    for everybody in ["public", "PUBLIC"] {
        let refusal = shop.refused(&format!("select capi.allow_page('{everybody}')")).await;
        assert!(["0P000", "42704"].contains(&refusal.code.as_str()), "{refusal:?}");
        assert_ne!(refusal.hint, "");
    }
    shop.refused("select capi.allow_page(null)").await;
    let acl = "select coalesce(nspacl::text, '') || (select string_agg(coalesce(proacl::text, ''), ' ' order by oid) from pg_proc where pronamespace = 'capi'::regnamespace)
        from pg_namespace where nspname = 'capi'";
    let before = shop.get(acl).await;
    shop.run("create role pager login; select capi.allow_page('pager')").await;
    let pager = shop.connect_as("pager").await;
    assert_eq!(pager.get("select capi.beacon('')").await, "f");
    shop.run("select capi.revoke_page('pager')").await;
    assert_eq!(pager.refused("select capi.beacon('')").await.code, "42501");
    assert_eq!(shop.get(acl).await, before);
    for role in ["pager", "no_such_role"] {
        assert_eq!(shop.refused(&format!("select capi.revoke_page('{role}')")).await.code, "42704");
    }
    // Who owns a tracked table keeps what his triggers need.
    shop.run("select capi.allow_page('shop_owner'), capi.revoke_page('shop_owner')").await;
    assert_eq!(shop.get("select has_schema_privilege('shop_owner', 'capi', 'usage')").await, "t");
    shop.run("drop role pager").await;
}

#[tokio::test]
async fn a_page_role_learns_nothing_and_forges_little() {
    let shop = tracked_shop().await;
    shop.run("select capi.create_destination('secret-launch', 'meta', '{\"pixel_id\": \"2\"}', 'TOKEN_2')").await;
    shop.run("select capi.resume('meta-eu'); create role pager_two login; select capi.allow_page('pager_two')").await;
    let c = customer(&shop).await;
    let order = buy(&shop, c).await;
    let pager = shop.connect_as("pager_two").await;
    let refusal = pager.refused("select capi._pixel_at('no', '{}', '{}', 0, '{}', null)").await;
    assert!(!format!("{refusal:?}").contains("secret-launch"), "{refusal:?}");
    // Not of a row that he may not read, by whatever name he has it.
    let view = shop.get("select 'shop.purchases'::regclass::oid").await;
    let row = |id: i64| {
        format!(
            "{{\"id\": {id}, \"event_name\": \"Purchase\", \"event_id\": \"order-{id}\", \"event_time\": \"2026-11-30T12:00:00Z\",
            \"action_source\": \"website\", \"event_source_url\": \"https://shop.example.com/\", \"value\": 10,
            \"currency\": \"EUR\", \"consent\": true}}"
        )
    };
    let page = |id: i64, view: &str| {
        format!(
            "select capi._pixel_at('meta-eu', '{}', '{{\"event_name\": \"Purchase\", \"event_id\": \"order-{id}\", \"key\": {{\"id\": \"{id}\"}}}}',
                {view}, '{{\"base\": true, \"beacon\": \"/b\", \"within\": 86400000}}', null)",
            row(id)
        )
    };
    assert_eq!(pager.refused(&page(order, &view)).await.code, "42501");
    shop.run(
        "grant usage on schema shop to pager_two; grant select on shop.purchases to pager_two",
    )
    .await;
    let snippet = pager.get(&page(order, &view)).await;
    assert!(snippet.starts_with("<script"), "{snippet}");
    // Withdrawn and forgotten look alike.
    let other = buy(&shop, c).await;
    shop.run(&format!(
        "select capi.withdraw('shop.orders', '{order}'), capi.forget('shop.orders', '{other}')"
    ))
    .await;
    let (withdrawn, forgotten) =
        (pager.get(&page(order, &view)).await, pager.get(&page(other, &view)).await);
    assert!(withdrawn.contains("withdrawn"), "{withdrawn}");
    assert_eq!(withdrawn, forgotten);
    // Reports of what never was are taken up to a bound, and those of real orders always.
    let mark = |id: i64| {
        format!(
            "select capi._pixel_mac(d.destination, 'Purchase', 'order-{id}') from capi.destination d where d.name = 'meta-eu'"
        )
    };
    let mut taken = 0;
    for id in 1_000_000..1_000_250 {
        let snippet = pager.get(&page(id, "0")).await;
        let mac = shop.get(&mark(id)).await;
        assert!(snippet.contains(&mac), "a page role can have any mark");
        let report =
            format!("select capi.beacon('[\"meta-eu\", \"Purchase\", \"order-{id}\", \"{mac}\"]')");
        taken += usize::from(pager.get(&report).await == "t");
    }
    assert_eq!(taken, 100);
    let real = buy(&shop, c).await;
    let mac = shop.get(&mark(real)).await;
    let report =
        format!("select capi.beacon('[\"meta-eu\", \"Purchase\", \"order-{real}\", \"{mac}\"]')");
    assert_eq!(pager.get(&report).await, "t");
    let hits =
        shop.line("select count(*) filter (where known), count(*) from capi.pixel_hit").await;
    assert_eq!(hits, "1|101");
}

// ---------------------------------------------------------------------------------------------
// Keywords
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_turkish_database_is_tracked() {
    let version = Database::bare().await;
    if version.count("select current_setting('server_version_num')::int").await < 150_000 {
        return; // no database of an ICU locale
    }
    let shop =
        Database::made("encoding 'UTF8' locale_provider icu icu_locale 'tr-TR' locale 'C.UTF-8'")
            .await;
    assert_eq!(shop.get("select upper('i') || lower('I')").await, "İı");
    shop.run("create extension pg_capi").await;
    shop.run(SETUP).await;
    shop.run(
        "select capi.adopt();
        create schema tr authorization shop_owner;
        set role shop_owner;
        create table tr.siparis (id bigint generated by default as identity primary key, \"IL\" text, total numeric default 10);
        create view tr.satis as select o.id, 'Purchase' as event_name, 'siparis-' || o.id as event_id,
            now() as event_time, 'website' as action_source, o.total as value, 'TRY' as currency,
            'INFO@EXAMPLE.COM' as email, 'IZMIR' as city, true as consent from tr.siparis o;
        reset role;
        select capi.create_destination('meta-tr', 'meta', '{\"pixel_id\": \"1\"}', 'META_TOKEN')",
    )
    .await;
    let track =
        |more: &str| format!("select capi.track('tr.siparis', 'tr.satis', '{{meta-tr}}'{more})");
    shop.run(&track("")).await;
    shop.run(&track(", on_columns => '{IL,total}', only_if => 'new.total > 0'")).await;
    shop.run("insert into tr.siparis (\"IL\") values ('IZMIR')").await;
    assert_eq!(shop.column("select event_id from capi.outbox").await, ["siparis-1"]);
    let digest = shop.get("select identity #>> '{email,0}' from capi.outbox").await;
    assert_eq!(digest, shop.get("select encode(sha256('info@example.com'), 'hex')").await);
    assert_eq!(
        shop.column("select * from capi.check_view('tr.satis', 'meta', 'tr.siparis') where severity = 'error'").await,
        [""; 0]
    );
    shop.run("set role shop_owner; alter view tr.satis set (security_barrier = true); reset role")
        .await;
    let stale = "select stale_reason from capi.source where relation is not null";
    assert_eq!(shop.get(stale).await, "alter view tr.satis");
    for _ in 0..8 {
        shop.run("select capi.maintain()").await;
    }
    assert_eq!(shop.get("select coalesce(string_agg(task, ' '), '') from capi.maintenance_task where problem is not null").await, "");
    shop.run(
        "select * from capi.sweep(); select * from capi.health(); select * from capi.status()",
    )
    .await;
    let upper = shop.get("select upper(encode(sha256('info@example.com'), 'hex'))").await;
    assert_eq!(
        shop.count(&format!("select count(*) from capi.find_person('email', '{upper}')")).await,
        1
    );
    shop.run("select capi.untrack('tr.siparis')").await;
}

#[tokio::test]
async fn who_owns_a_table_that_is_also_watched_can_make_its_triggers_again() {
    let own = Database::adopted().await;
    own.run(
        "create role also_owner login;
        create schema own; grant usage on schema own to also_owner;
        create table own.sale (id bigint primary key);
        create table own.payment (sale bigint, at timestamptz);
        alter table own.payment owner to also_owner;
        create view own.conversion as
        select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, p.at as event_time,
            'website' as action_source, 5.00 as value, 'EUR' as currency, true as consent
        from own.sale s join own.payment p on p.sale = s.id;
        select capi.track('own.sale', conversions => 'own.conversion', also => '{\"own.payment\": \"sale\"}')",
    )
    .await;
    let owner = own.connect_as("also_owner").await;
    let triggers = "select string_agg(pg_get_triggerdef(oid), '; ') from pg_trigger
        where tgrelid = 'own.payment'::regclass and not tgisinternal";
    let made = owner.get(triggers).await;
    // As pg_restore does with what is his.
    owner
        .run(&format!(
            "drop trigger capi_1_insert on own.payment; drop trigger capi_1_update on own.payment; {made}"
        ))
        .await;
    assert_eq!(owner.get(triggers).await, made);
    owner.run("insert into own.payment values (1, now())").await;
    own.run("drop owned by also_owner cascade; drop role also_owner").await;
}

#[tokio::test]
async fn nobody_takes_rights_from_the_roles_of_the_installation() {
    let shop = tracked_shop().await;
    shop.run("select capi.set_tenant('shop.orders', 'shop-a')").await;
    for role in
        ["capi_owner", "capi_sidecar", "capi_analyst", "capi_admin", "capi_emitter", "capi_tenant"]
    {
        for call in [
            format!("capi.allow_page('{role}')"),
            format!("capi.revoke_page('{role}')"),
            format!("capi.grant_tenant('{role}', 'shop-a')"),
            format!("capi.revoke_tenant('{role}', 'shop-a')"),
        ] {
            let refusal = shop.refused(&format!("select {call}")).await;
            assert_eq!(
                refusal.message,
                format!("role \"{role}\" is one of pg_capi's own"),
                "{call}"
            );
        }
    }
}

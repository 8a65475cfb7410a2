//! Several shops in one database: each analyst sees his own and nothing of the others.

use capi_tests::database::{Database, Session};
use capi_tests::platform::Platform;
use capi_tests::shop::{CREDENTIAL, until_settled};
use capi_tests::sidecar::Sidecar;

/// Two shops with a table, an emitter and a destination each, and one destination that both use.
/// Everything of a shop has its name in it. The roles end with `mark`.
async fn two_shops(platform: &Platform, mark: &str) -> Database {
    let database = Database::adopted().await;
    let settings =
        format!("{{\"pixel_id\": \"1234567890\", \"endpoint\": \"{}\"}}", platform.endpoint());
    database
        .run(&format!(
            "select capi.create_destination('both', 'meta', '{settings}', '{CREDENTIAL}')"
        ))
        .await;
    for shop in ["anna", "bruno"] {
        database
            .run(&format!(
                "create schema {shop};
                create table {shop}.sale (id text primary key, at timestamptz default clock_timestamp(), value numeric default 5);
                create view {shop}.conversion as
                select s.id, 'Purchase' as event_name, s.id as event_id, s.at as event_time, 'website' as action_source,
                    s.value, 'EUR' as currency, true as consent, 'erika@example.com' as email,
                    'https://shop.example.com/' as event_source_url
                from {shop}.sale s;
                select capi.create_destination('{shop}-meta', 'meta', '{settings}', '{CREDENTIAL}');
                select capi.track('{shop}.sale', conversions => '{shop}.conversion', destinations => '{{{shop}-meta,both}}');
                select capi.create_emitter('{shop}.carts', destinations => '{{both}}');
                select capi.set_tenant('{shop}.sale', 'tenant-{shop}'), capi.set_tenant('{shop}.carts', 'tenant-{shop}');
                create role {shop}_{mark} login;
                select capi.grant_tenant('{shop}_{mark}', 'tenant-{shop}')"
            ))
            .await;
    }
    database
}

/// Sales, carts, failures, a backfill and sweeps of one shop.
async fn trade(database: &Session, shop: &str, sales: u32) {
    database
        .run(&format!(
            "insert into {shop}.sale select '{shop}-' || n from generate_series(1, {sales}) n;
            insert into {shop}.sale values ('{shop}-bad', now(), null);
            select capi.emit(jsonb_build_object('event_name', 'AddToCart', 'event_id', '{shop}-cart',
                'action_source', 'website', 'consent', true, 'email', 'erika@example.com',
                'event_source_url', 'https://shop.example.com/'), '{shop}.carts')"
        ))
        .await;
    database
        .run(&format!("call capi.backfill('{shop}.sale', since => now() - interval '1 hour')"))
        .await;
}

async fn readable(session: &Session) -> Vec<String> {
    session
        .column(
            "select oid::regclass from pg_class where relnamespace = 'capi'::regnamespace
                and relkind in ('r', 'p', 'v', 'm') and has_table_privilege(oid, 'select') order by relname",
        )
        .await
}

#[tokio::test]
async fn nothing_of_another_tenant_is_visible() {
    let platform = Platform::start().await;
    let database = two_shops(&platform, "sees").await;
    trade(&database, "anna", 3).await;
    trade(&database, "bruno", 40).await;
    database.run("select capi.maintain(), capi.maintain(), capi.maintain()").await;
    database
        .run("select capi.resume('both'), capi.resume('anna-meta'), capi.resume('bruno-meta')")
        .await;
    let _sidecar = Sidecar::start(&database);
    until_settled(&database, 30).await;
    let anna = database.connect_as("anna_sees").await;
    let relations = readable(&anna).await;
    let views = [
        "attempts",
        "backfills",
        "capture_errors",
        "delivery",
        "field",
        "pixel_coverage",
        "platform",
        "rule",
        "sources",
        "sweeps",
    ];
    assert_eq!(relations, views.map(|view| format!("capi.{view}")));
    for relation in relations {
        let all = format!("select count(*) from {relation} r");
        assert!(anna.count(&all).await > 0, "{relation} is empty");
        let others = format!("{all} where r::text ilike '%bruno%'");
        assert_eq!(anna.count(&others).await, 0, "{relation} shows the other");
    }
    assert_eq!(
        anna.column("select distinct source from capi.delivery order by 1").await,
        ["anna.carts", "anna.sale"]
    );
    assert_eq!(
        anna.count("select count(*) from capi.delivery").await,
        7,
        "three sales twice, a cart once"
    );
    assert_eq!(anna.count("select count(*) from capi.capture_errors").await, 1);
    // One destination is shared; its numbers are not.
    let status = "select destination, pending, open_batches, delivered_24h, capture_errors, last_success is not null
        from capi.status()";
    let lines = |rows: Vec<Vec<Option<String>>>| -> Vec<String> {
        rows.into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("|"))
            .collect()
    };
    assert_eq!(lines(anna.rows(status).await), ["anna-meta|0|0|3|1|t", "both|0|0|4|1|t"]);
    let all = lines(database.rows(status).await);
    assert_eq!(all, ["anna-meta|0|0|3|1|t", "both|0|0|45|2|t", "bruno-meta|0|0|40|1|t"]);
    let sends = "select coalesce(sum(event_count), 0) from capi.attempts where destination = ";
    assert_eq!(anna.count(&format!("{sends}'both'")).await, 4);
    let ids = "select count(*) from capi.attempts a, unnest(a.events) e where e not in (select event from capi.delivery)";
    assert_eq!(anna.count(ids).await, 0);
    // Analysts and administrators see all.
    for role in ["analyst", "admin"] {
        let session = database.connect_as(role).await;
        assert_eq!(
            session.count("select count(distinct source) from capi.delivery").await,
            4,
            "{role}"
        );
        assert_eq!(lines(session.rows(status).await), all, "{role}");
    }
    for table in [
        "outbox",
        "receipt",
        "source",
        "source_version",
        "capture_error",
        "_delivery",
        "_visible",
        "tenant_reader",
        "destination_version",
    ] {
        assert_eq!(anna.refused(&format!("table capi.{table}")).await.code, "42501", "{table}");
    }
    let functions = anna
        .column(
            "select p.proname from pg_proc p where p.pronamespace = 'capi'::regnamespace
                and has_function_privilege(p.oid, 'execute') and not p.proname in ('_note', '_capture') order by 1",
        )
        .await;
    assert_eq!(functions, ["_fields", "_platform_facts", "_refuses", "_rules", "status"]);
}

#[tokio::test]
async fn pages_that_fired_are_counted_by_tenant() {
    let platform = Platform::start().await;
    let database = two_shops(&platform, "pages").await;
    trade(&database, "anna", 2).await;
    trade(&database, "bruno", 3).await;
    // At both: a page of each shop, and one of nobody's. At anna's own: one without an event.
    database
        .run(
            "insert into capi.pixel_hit (destination, event_name, event_id)
            select d.destination, h.event_name, h.event_id
            from (values ('both', 'Purchase', 'anna-1'), ('both', 'Purchase', 'bruno-1'),
                ('both', 'Purchase', 'lost'), ('anna-meta', 'Purchase', 'lost')) h (name, event_name, event_id)
            join capi.destination d using (name)",
        )
        .await;
    let lines = async |session: &Session| {
        session
            .column(
                "select format('%s %s %s %s %s', destination, event_name, server_events, both_halves, browser_only)
                from capi.pixel_coverage order by 1",
            )
            .await
    };
    let anna = database.connect_as("anna_pages").await;
    assert_eq!(
        lines(&anna).await,
        ["anna-meta Purchase 2 0 1", "both AddToCart 1 0 0", "both Purchase 2 1 0"]
    );
    let analyst = database.connect_as("analyst").await;
    assert_eq!(
        lines(&analyst).await,
        [
            "anna-meta Purchase 2 0 1",
            "both AddToCart 2 0 0",
            "both Purchase 5 2 1",
            "bruno-meta Purchase 3 0 0"
        ]
    );
}

#[tokio::test]
async fn what_waits_is_counted_by_tenant() {
    let platform = Platform::start().await;
    let database = two_shops(&platform, "waits").await;
    trade(&database, "anna", 3).await;
    trade(&database, "bruno", 40).await;
    database.run("select capi.resume('both')").await;
    let anna = database.connect_as("anna_waits").await;
    let both = "select pending, open_batches from capi.status() where destination = 'both'";
    assert_eq!(anna.line(both).await, "4|0");
    let claim = "select cardinality(events) from capi.claim((select destination from capi.destination where name = 'both'), 'test', interval '1 hour', 1000)";
    assert_eq!(database.count(claim).await, 45);
    assert_eq!(anna.line(both).await, "4|1", "in one batch with the other's");
    assert_eq!(database.line(both).await, "45|1");
    // The role that a session has taken counts, not the one that it came with.
    database.run("set role bruno_waits").await;
    assert_eq!(database.line(both).await, "41|1");
    assert_eq!(database.count("select count(*) from capi.sources").await, 2);
    database.run("reset role").await;
}

#[tokio::test]
async fn a_readers_own_function_sees_only_his_rows() {
    let platform = Platform::start().await;
    let database = two_shops(&platform, "leak").await;
    trade(&database, "anna", 3).await;
    trade(&database, "bruno", 3).await;
    database.run("grant create on schema public to anna_leak").await;
    let anna = database.connect_as("anna_leak").await;
    // Cheap, so that the planner would like to run it first, and it tells of all that it is given.
    anna.run(
        "create temp table loot (what text);
        create function public.leak(what text) returns boolean language plpgsql cost 0.0000001 as $f$
        begin insert into loot values (what); return true; end $f$",
    )
    .await;
    for (view, column) in [
        ("delivery", "key"),
        ("sources", "name"),
        ("capture_errors", "key"),
        ("sweeps", "source"),
        ("backfills", "source"),
        ("attempts", "destination"),
        ("pixel_coverage", "destination"),
    ] {
        anna.run(&format!("select count(*) from capi.{view} where public.leak({column}::text)"))
            .await;
    }
    assert!(anna.count("select count(*) from loot where what like 'anna%'").await > 5);
    assert_eq!(anna.count("select count(*) from loot where what like '%bruno%'").await, 0);
}

#[tokio::test]
async fn look_ups_by_source_and_key_use_their_index() {
    let platform = Platform::start().await;
    let database = two_shops(&platform, "index").await;
    database
        .run("insert into anna.sale select 'anna-' || n from generate_series(1, 20000) n")
        .await;
    database.run("analyze").await;
    let part = database
        .get("select c.relname from capi.outbox o join pg_class c on c.oid = o.tableoid limit 1")
        .await;
    for role in ["anna_index", "analyst", "admin", "postgres"] {
        let session = database.connect_as(role).await;
        let plan = session
            .column("explain (costs off) select * from capi.delivery where source = 'anna.sale' and key = 'anna-77'")
            .await
            .join("\n");
        assert!(plan.contains("source_key"), "{role}: no index look-up by source and key\n{plan}");
        assert!(!plan.contains(&format!("Seq Scan on {part} ")), "{role}\n{plan}");
    }
}

#[tokio::test]
async fn tenants_are_granted_and_taken_back() {
    let platform = Platform::start().await;
    let database = two_shops(&platform, "grant").await;
    trade(&database, "anna", 1).await;
    let admin = database.connect_as("admin").await;
    for (call, code) in [
        ("grant_tenant('nobody_there', 'tenant-anna')", "42704"),
        ("grant_tenant('nobody', 'tenant-carla')", "42704"),
        ("grant_tenant('analyst', 'tenant-anna')", "0P000"),
        ("grant_tenant('postgres', 'tenant-anna')", "0P000"),
        ("revoke_tenant('nobody', 'tenant-anna')", "42704"),
        ("set_tenant('anna.sale', 'Anna & Co')", "22023"),
        ("set_tenant('anna.nothing', 'x')", "42704"),
    ] {
        assert_eq!(admin.refused(&format!("select capi.{call}")).await.code, code, "{call}");
    }
    let anna = database.connect_as("anna_grant").await;
    for call in
        ["grant_tenant('anna_grant', 'tenant-bruno')", "set_tenant('bruno.sale', 'tenant-anna')"]
    {
        assert_eq!(anna.refused(&format!("select capi.{call}")).await.code, "42501", "{call}");
    }
    let seen = "select count(*) from capi.sources";
    assert_eq!(anna.count(seen).await, 2);
    admin.run("select capi.grant_tenant('anna_grant', 'tenant-bruno')").await;
    assert_eq!(anna.count(seen).await, 4, "one role may read several");
    admin.run("select capi.revoke_tenant('anna_grant', 'tenant-bruno')").await;
    assert_eq!(anna.count(seen).await, 2);
    admin.run("select capi.set_tenant('anna.sale', null)").await;
    assert_eq!(anna.count(seen).await, 1, "what is nobody's is the analysts' alone");
    admin.run("select capi.revoke_tenant('anna_grant', 'tenant-anna')").await;
    assert_eq!(anna.refused(seen).await.code, "42501");
    // Tracking again keeps the tenant.
    admin.run("select capi.set_tenant('anna.sale', 'tenant-anna')").await;
    database.run("select capi.track('anna.sale', conversions => 'anna.conversion')").await;
    assert_eq!(
        database.get("select tenant from capi.sources where name = 'anna.sale'").await,
        "tenant-anna"
    );
}

//! The schema `capi` as its users find it.

use capi_tests::database::Database;

#[tokio::test]
async fn every_object_has_a_comment() {
    let shop = Database::adopted().await;
    let silent = shop
        .column(
            "select 'function ' || p.oid::regprocedure from pg_proc p
            where p.pronamespace = 'capi'::regnamespace and obj_description(p.oid, 'pg_proc') is null
            union all
            select 'relation ' || c.oid::regclass from pg_class c
            where c.relnamespace = 'capi'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S')
                and not c.relispartition
                and obj_description(c.oid, 'pg_class') is null
                -- Of identity columns, which speak for themselves.
                and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i')
            union all
            select 'type ' || t.oid::regtype from pg_type t
            where t.typnamespace = 'capi'::regnamespace and t.typtype in ('e', 'd')
                and obj_description(t.oid, 'pg_type') is null
            union all
            select 'schema' where obj_description('capi'::regnamespace, 'pg_namespace') is null
            union all
            select 'extension' from pg_extension e
            where e.extname = 'pg_capi' and obj_description(e.oid, 'pg_extension') is null
            order by 1",
        )
        .await;
    assert_eq!(silent, [""; 0]);
}

#[tokio::test]
async fn the_extension_owns_functions_only() {
    let shop = Database::adopted().await;
    let members = shop
        .column(
            "select distinct d.classid::regclass from pg_depend d
            join pg_extension e on e.oid = d.refobjid and e.extname = 'pg_capi'
            where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' order by 1",
        )
        .await;
    // The schema is the extension's when it has made it; tables are not.
    assert!(
        members.iter().all(|class| class == "pg_proc" || class == "pg_namespace"),
        "{members:?}"
    );
}

#[tokio::test]
async fn tables_and_views_belong_to_the_owner() {
    let shop = Database::adopted().await;
    let strange = shop
        .column(
            "select c.oid::regclass from pg_class c
            where c.relnamespace = 'capi'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
                and c.relowner <> 'capi_owner'::regrole",
        )
        .await;
    assert_eq!(strange, [""; 0]);
}

#[tokio::test]
async fn set_up_again_changes_nothing() {
    let shop = Database::adopted().await;
    let catalog = "select md5(string_agg(x, E'\\n' order by x)) from (
        select p.oid::regprocedure || p.prosrc || coalesce(p.proacl::text, '') || p.proowner
        from pg_proc p where p.pronamespace = 'capi'::regnamespace
        union all
        select c.oid::regclass || coalesce(c.relacl::text, '') || c.relowner
        from pg_class c where c.relnamespace = 'capi'::regnamespace) all_of_it (x)";
    let before = shop.get(catalog).await;
    shop.run("select capi.setup()").await;
    assert_eq!(shop.get(catalog).await, before);
}

#[tokio::test]
async fn there_is_always_a_partition() {
    let shop = Database::adopted().await;
    for table in ["outbox", "attempt", "receipt"] {
        let ahead =
            format!("select count(*) from pg_inherits where inhparent = 'capi.{table}'::regclass");
        assert!(shop.count(&ahead).await >= 6, "{table}: this week, five ahead, the default");
    }
    assert_eq!(
        shop.get("select capi.maintain() ->> 'partitions_made'").await,
        "",
        "none is left to make"
    );
}

/// Every function as a static analyser sees it: unknown columns, wrong types, unused variables.
#[tokio::test]
async fn plpgsql_check_has_nothing_to_say() {
    let shop = Database::adopted().await;
    let there = "select count(*) from pg_available_extensions where name = 'plpgsql_check'";
    if shop.count(there).await == 0 {
        // A Postgres that is not Debian's may lack it; who runs the tests there says so.
        assert!(
            std::env::var_os("WITHOUT_PLPGSQL_CHECK").is_some(),
            "install plpgsql_check, or set WITHOUT_PLPGSQL_CHECK"
        );
        return;
    }
    shop.run("create schema tools; create extension plpgsql_check schema tools; set search_path = tools, public").await;
    let found = shop
        .column(
            "select p.oid::regprocedure || ': ' || c
            from pg_proc p join pg_language l on l.oid = p.prolang,
                plpgsql_check_function(p.oid, coalesce(
                    (select t.tgrelid from pg_trigger t where t.tgfoid = p.oid limit 1), 0)) c
            where p.pronamespace = 'capi'::regnamespace and l.lanname = 'plpgsql'
                and p.prorettype <> 'event_trigger'::regtype",
        )
        .await;
    assert_eq!(found, [""; 0]);
    let checked = "select count(*) from pg_proc p join pg_language l on l.oid = p.prolang
        where p.pronamespace = 'capi'::regnamespace and l.lanname = 'plpgsql'";
    assert!(shop.count(checked).await > 30);
}

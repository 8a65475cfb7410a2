//! Wrong input: one clear message with the way out, never the value.

use std::process::Output;

use capi_tests::database::{Database, Refusal};
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::shop::{buy, captured, customer, sending_shop, track, tracked_shop};
use capi_tests::sidecar::{Sidecar, capi};

// ---------------------------------------------------------------------------------------------
// In SQL
// ---------------------------------------------------------------------------------------------

/// A shop with a view of the test's own, made of these columns; how `track` refuses it.
async fn refused_view(columns: &str) -> (Database, Refusal) {
    let shop = Database::adopted().await;
    shop.run(&format!(
        "create view shop.mine with (security_barrier = false) as select {columns} from shop.orders o;
        alter view shop.mine owner to shop_owner"
    ))
    .await;
    let refusal =
        shop.refused("select capi.track('shop.orders', conversions => 'shop.mine')").await;
    let triggers = "select count(*) from pg_trigger where tgname like 'capi%'";
    assert_eq!(shop.count(triggers).await, 0, "nothing is left behind");
    assert_eq!(shop.count("select count(*) from capi.source").await, 0);
    (shop, refusal)
}

const SOUND: &str = "o.id, 'Purchase' as event_name, 'order-' || o.id as event_id,
    o.paid_at as event_time, 'website' as action_source, o.total as value, o.currency,
    true as consent";

fn says(refusal: &Refusal, message: &str, hint: &str) {
    assert!(refusal.message.contains(message), "{refusal:#?}");
    assert!(refusal.hint.contains(hint), "{refusal:#?}");
}

#[tokio::test]
async fn an_unknown_column_is_named_with_the_nearest_field() {
    let (shop, refusal) = refused_view(&format!("{SOUND}, 'x'::text as emial")).await;
    says(&refusal, "emial: unknown column", "Did you mean email?");
    let row = "select severity, finding from capi.check_view('shop.mine') where field = 'emial'";
    assert_eq!(shop.line(row).await, "error|unknown column");
}

#[tokio::test]
async fn a_wrong_type_is_named_with_what_fits() {
    let (_, refusal) = refused_view(&SOUND.replace("o.total", "true")).await;
    says(&refusal, "value: type boolean does not fit", "numeric");
}

#[tokio::test]
async fn a_time_without_zone_is_refused_with_the_way_out() {
    let (_, refusal) = refused_view(&SOUND.replace("o.paid_at", "o.paid_at::timestamp")).await;
    says(&refusal, "event_time: type timestamp without time zone", "at time zone");
}

#[tokio::test]
async fn a_missing_column_is_named() {
    let (_, refusal) = refused_view(&SOUND.replace(",\n    true as consent", "")).await;
    says(&refusal, "consent: required field consent is missing", "not_required");
    let (_, refusal) = refused_view(&SOUND.replace("o.id,", "")).await;
    says(&refusal, "id: the view lacks the key column id", "Select it under its own name.");
}

#[tokio::test]
async fn a_missing_grant_is_named() {
    let shop = Database::adopted().await;
    shop.run(
        "create schema other; grant usage, create on schema other to mallory;
        grant usage on schema shop to mallory",
    )
    .await;
    shop.run(&format!("create view other.mine as select {SOUND} from shop.orders o")).await;
    shop.run("alter view other.mine owner to mallory").await;
    let track = "select capi.track('shop.orders', conversions => 'other.mine')";
    let refusal = shop.refused(track).await;
    says(&refusal, "permission denied for table orders", "grant its owner what it reads");
    says(&refusal, "42501", "mallory");
    shop.run("grant select on shop.orders to mallory").await;
    shop.run(track).await;
}

#[tokio::test]
async fn a_function_without_search_path_is_named() {
    let shop = Database::adopted().await;
    shop.run(&format!(
        "create function shop.rate() returns numeric language plpgsql stable
            as 'begin return (select per_euro from currencies limit 1); end';
        create view shop.mine as select {}, shop.rate() as predicted_ltv from shop.orders o;
        alter view shop.mine owner to shop_owner; alter function shop.rate() owner to shop_owner",
        SOUND
    ))
    .await;
    shop.run("set search_path = shop").await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let track = "select capi.track('shop.orders', conversions => 'shop.mine')";
    let refusal = shop.refused(track).await;
    says(&refusal, "42P01", "Pin the search_path of functions");
    // The message of a function may quote values.
    says(&refusal, "undefined_table", "(shop.rate())");
    assert!(!refusal.message.contains("currencies"), "{refusal:?}");
    shop.run("alter function shop.rate() set search_path = shop, pg_temp").await;
    shop.run(track).await;
    buy(&shop, c).await;
    assert_eq!(captured(&shop).await, 1);
}

#[tokio::test]
async fn a_function_without_search_path_is_named_for_an_empty_view_too() {
    let shop = Database::adopted().await;
    shop.run(&format!(
        "create function shop.rate() returns numeric language plpgsql stable
            as 'begin return (select per_euro from currencies limit 1); end';
        create view shop.mine as select {SOUND}, shop.rate() as predicted_ltv from shop.orders o;
        alter view shop.mine owner to shop_owner"
    ))
    .await;
    // Nothing is there to try it with, so it cannot be refused; whoever checks is told.
    let warning = shop
        .get(
            "select finding || ' ' || hint from capi.check_view('shop.mine') where severity = 'warning'
                and finding like 'function%'",
        )
        .await;
    assert!(warning.contains("shop.rate()") && warning.contains("search_path"), "{warning}");
}

#[tokio::test]
async fn a_view_that_row_level_security_filters_is_refused() {
    let shop = Database::adopted().await;
    shop.run(
        "alter table shop.customers enable row level security;
        create policy own_rows on shop.customers to shop_app using (true);
        create role row_reader; grant usage on schema shop to row_reader;
        grant select on all tables in schema shop to row_reader;
        alter view shop.purchases owner to row_reader",
    )
    .await;
    let track = "select capi.track('shop.orders', conversions => 'shop.purchases')";
    let refusal = shop.refused(track).await;
    says(&refusal, "row-level security hides rows of shop.customers from row_reader", "BYPASSRLS");
    shop.run("alter view shop.purchases owner to shop_owner").await;
    shop.run(track).await;
    // Forced, it filters its owner as well.
    shop.run("alter table shop.customers force row level security").await;
    says(&shop.refused(track).await, "row-level security hides rows", "BYPASSRLS");
    // Switched on after the tracking it must not lose events in silence.
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let seen = shop.column("select sqlstate from capi.capture_error").await;
    assert_eq!(seen, ["42501"]);
    shop.run("drop owned by row_reader; drop role row_reader").await;
}

#[tokio::test]
async fn bad_settings_of_a_destination_are_named() {
    let shop = Database::adopted().await;
    for (settings, message) in [
        ("{}", "pixel_id"),
        ("{\"pixel_id\": \"secret value\"}", "pixel_id"),
        ("{\"pixel_id\": \"1\", \"pixle\": 1}", "pixle"),
        ("{\"pixel_id\": \"1\", \"endpoint\": \"http://example.com/secret value\"}", "endpoint"),
        ("{\"pixel_id\": \"1\", \"api_version\": \"secret value\"}", "api_version"),
        ("[]", ""),
    ] {
        let sql =
            format!("select capi.create_destination('m', 'meta', '{settings}', 'META_TOKEN')");
        let refusal = shop.refused(&sql).await;
        assert!(refusal.code == "22023", "{settings}: {refusal:?}");
        assert!(refusal.message.contains(message), "{settings}: {refusal:?}");
        assert!(!refusal.hint.is_empty(), "{settings}: {refusal:?}");
        assert!(!format!("{refusal:?}").contains("secret value"), "{settings}: {refusal:?}");
    }
    let refusal =
        shop.refused("select capi.create_destination('m', 'myspace', '{}', 'META_TOKEN')").await;
    says(&refusal, "platform", "");
    assert!(format!("{refusal:?}").contains("meta"), "{refusal:?}");
    for name in ["M", "", "a b", "1m"] {
        let sql = format!(
            "select capi.create_destination('{name}', 'meta', '{{\"pixel_id\": \"1\"}}', 'META_TOKEN')"
        );
        says(&shop.refused(&sql).await, "name of a destination", "meta-eu");
    }
}

#[tokio::test]
async fn a_token_in_the_place_of_its_name_is_refused_and_not_quoted() {
    let shop = tracked_shop().await;
    let tokens = [
        TOKEN,
        "EAAJZCZBdemoZBtokenZB0ZCaaaaaaaaaaaaaaaaaaaaaaa",
        "EAAGM0PSDFLKJSDFLKJSDFLKJSDFLKJ",
        "sk_live_0123456789abcdef",
        "3f1c2d4b5a69788796a5b4c3d2e1f001",
        "meta_token",
        "",
    ];
    for token in tokens {
        for sql in [
            format!(
                "select capi.create_destination('m', 'meta', '{{\"pixel_id\": \"1\"}}', '{token}')"
            ),
            format!("select capi.alter_destination('meta-eu', credential => '{token}')"),
        ] {
            let refusal = shop.refused(&sql).await;
            assert_eq!(refusal.code, "22023", "{sql}");
            says(&refusal, "credential must be the name", "META_TOKEN");
            let shown = format!("{} {} {}", refusal.message, refusal.hint, refusal.detail);
            assert!(token.len() < 12 || !shown.contains(token), "{shown}");
        }
    }
    assert_eq!(shop.get("select credential from capi.destination").await, "META_TOKEN");
}

#[tokio::test]
async fn misspelt_names_are_answered_with_the_known_ones() {
    let shop = tracked_shop().await;
    says(&shop.refused("select capi.resume('meta-us')").await, "meta-us", "meta-eu");
    let track = "select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{meta}')";
    says(&shop.refused(track).await, "no destination named \"meta\"", "meta-eu");
    says(
        &shop.refused("select capi.untrack('shop.products')").await,
        "there is no source of this name",
        "capi.sources",
    );
    let options = "consent => 'maybe'";
    let sql =
        format!("select capi.track('shop.orders', conversions => 'shop.purchases', {options})");
    says(&shop.refused(&sql).await, "consent must be required or not_required", "");
    let sql = "select capi.track('shop.orders', conversions => 'shop.orders')";
    says(&shop.refused(sql).await, "is not a view", "Write a view");
    shop.run("create table shop.keyless (x int)").await;
    let sql = "select capi.track('shop.keyless', conversions => 'shop.purchases')";
    says(&shop.refused(sql).await, "no primary key", "Add one");
    says(
        &shop.refused("select * from capi.check_view('shop.purchases', 'myspace')").await,
        "unknown platform",
        "meta",
    );
}

#[tokio::test]
async fn a_busy_table_is_not_waited_for() {
    let shop = Database::adopted().await;
    let writer = shop.connect().await;
    writer.run("begin; lock table shop.orders in row exclusive mode").await;
    let track = "select capi.track('shop.orders', conversions => 'shop.purchases')";
    let refusal = shop.refused(track).await;
    assert_eq!(refusal.code, "55P03");
    says(&refusal, "within 2 seconds; nothing was changed", "quieter moment");
    writer.run("rollback").await;
    shop.run(track).await;
}

#[tokio::test]
async fn setup_wants_a_superuser_and_says_so() {
    let bare = Database::bare().await;
    bare.run("create extension pg_capi; grant usage on schema capi to nobody").await;
    let nobody = bare.connect_as("nobody").await;
    let refusal = nobody.refused("select capi.setup(adopt => true)").await;
    says(&refusal, "must be run by a superuser", "");
}

#[tokio::test]
async fn a_setting_that_is_none_is_refused() {
    let shop = tracked_shop().await;
    let session = shop.connect().await;
    // The library is loaded by the first call.
    session.run("select capi.library_version()").await;
    let refusal = session.refused("set capi.captur = off").await;
    assert_eq!(refusal.code, "42602");
    assert!(refusal.message.contains("capi.captur"), "{refusal:?}");
    // What was set before that is told.
    let early = shop.connect().await;
    early.run("set capi.captur = off").await;
    let told = early.notices("select capi.library_version()").await;
    assert!(told.iter().any(|notice| notice.contains("capi.captur")), "{told:?}");
}

#[tokio::test]
async fn the_number_of_no_source_is_refused_by_its_name() {
    let shop = Database::adopted().await;
    let refusal = shop.refused("select capi._trial(999)").await;
    assert_eq!(
        (refusal.code.as_str(), refusal.message.as_str()),
        ("22023", "no source has this number")
    );
}

// ---------------------------------------------------------------------------------------------
// On the command line
// ---------------------------------------------------------------------------------------------

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs `capi check` and looks for the lines of what is wrong.
async fn check(url: &str, more: &[(&str, &str)], code: i32, words: &[&str]) {
    let mut variables = vec![("CAPI_DATABASE_URL", url), ("META_TOKEN", TOKEN)];
    variables.extend(more);
    let output = capi(&["check"], &variables).await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    let failures = said.lines().filter(|line| line.starts_with("FAIL")).count();
    assert_eq!(failures, usize::from(code != 0), "one clear message:\n{said}");
    assert!(!said.contains(TOKEN), "{said}");
}

#[tokio::test]
async fn a_sound_installation_passes_the_check() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    check(&shop.url("capi"), &[], 0, &["ok"]).await;
}

#[tokio::test]
async fn every_gap_is_one_failed_check_with_the_way_out() {
    let platform = Platform::start().await;
    let shop = Database::adopted().await;
    track(&shop, platform.endpoint()).await;
    let url = shop.url("capi");
    // Paused is no fault.
    check(&url, &[], 0, &["capi.resume('meta-eu')"]).await;
    check(&shop.url("nobody"), &[], 1, &["grant capi_sidecar to nobody"]).await;
    check(&url, &[("META_TOKEN", "")], 1, &["META_TOKEN", "credential"]).await;
    check(&url, &[("META_TOKEN", "two\nlines")], 1, &["credential"]).await;
    check(&url, &[("CAPI_INSTANCE", "another")], 1, &["another", "copy"]).await;
    let gone = format!("{url} dbname=nowhere");
    check(&gone, &[], 1, &["create database nowhere"]).await;
    check("host=/nonexistent/capi dbname=x user=capi", &[], 1, &["start Postgres"]).await;
    check("host=127.0.0.1 port=9 dbname=x user=capi", &[], 1, &["start Postgres"]).await;
    check("my secret words", &[], 1, &["CAPI_DATABASE_URL"]).await;
    check(&url, &[("CAPI_LEASE", "secret")], 1, &["CAPI_LEASE", "15 to 3600"]).await;
    shop.run("update capi.destination set state = 'blocked', pause_reason = '190/463'").await;
    check(&url, &[], 1, &["blocked: 190/463", "capi.resume('meta-eu')"]).await;
}

#[tokio::test]
async fn missing_extension_and_set_up_are_told_apart() {
    let bare = Database::bare().await;
    check(&bare.url("capi"), &[], 1, &["create extension pg_capi"]).await;
    bare.run("create extension pg_capi").await;
    check(&bare.url("capi"), &[], 1, &["select capi.setup()"]).await;
}

#[tokio::test]
async fn another_version_is_refused_with_the_way_out() {
    let shop = Database::adopted().await;
    for (change, words) in [
        ("update capi.installation set layout = '0.9.0'", "select capi.setup()"),
        (
            "update pg_extension set extversion = '0.0.7' where extname = 'pg_capi'",
            "alter extension pg_capi update",
        ),
    ] {
        shop.run(change).await;
        let url = shop.url("capi");
        check(&url, &[], 1, &[words]).await;
        let run = capi(&["run"], &[("CAPI_DATABASE_URL", &url)]).await;
        assert_eq!(run.status.code(), Some(3), "{}", text(&run));
        assert!(text(&run).contains(words), "{}", text(&run));
        shop.run("select capi.setup()").await;
    }
}

#[tokio::test]
async fn exit_codes_are_the_documented_ones() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let url = shop.url("capi");
    let nowhere = "host=/nonexistent/capi dbname=x user=capi";
    let nobody = shop.url("nobody");
    for (arguments, variables, code, words) in [
        (&["--version"][..], &[][..], 0, "capi 0."),
        (&["--help"], &[], 0, "Exit codes"),
        (&["frobnicate"], &[], 2, "frobnicate"),
        (&["run"], &[], 2, "CAPI_DATABASE_URL"),
        (&["run", "--config", "/nonexistent/capi.toml"], &[], 2, "/nonexistent/capi.toml"),
        (&["status"], &[("CAPI_DATABASE_URL", "my secret words")], 2, "CAPI_DATABASE_URL"),
        (&["status"], &[("CAPI_DATABASE_URL", nowhere)], 3, "start Postgres"),
        (&["status"], &[("CAPI_DATABASE_URL", nobody.as_str())], 3, "grant capi_sidecar to nobody"),
        (&["run"], &[("CAPI_DATABASE_URL", nobody.as_str())], 3, "grant capi_sidecar to nobody"),
        (&["adopt"], &[("CAPI_DATABASE_URL", url.as_str())], 3, "capi_admin"),
        (&["status"], &[("CAPI_DATABASE_URL", url.as_str())], 0, "meta-eu"),
    ] {
        let output = capi(arguments, variables).await;
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {variables:?}\n{said}");
        assert!(said.contains(words), "{arguments:?}: {words:?} is not in:\n{said}");
        assert!(!said.contains("secret words"), "{said}");
    }
}

#[tokio::test]
async fn a_missing_credential_leaves_the_events_and_says_so() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let sidecar = Sidecar::start_with(&shop, &[("META_TOKEN", "")]);
    sidecar.until_logged("credential is neither in the environment").await;
    assert_eq!(sidecar.terminate().await.code(), Some(0));
    assert_eq!(platform.number("requests"), 0);
    assert_eq!(shop.get("select status from capi.delivery").await, "pending");
}

#[tokio::test]
async fn what_is_temporary_is_not_tracked() {
    let shop = Database::adopted().await;
    shop.run(
        "create temp table orders (id bigint primary key);
        create temp view purchases as select o.id, 'Lead' as event_name, 'o-' || o.id as event_id,
            now() as event_time, 'website' as action_source, true as consent from orders o",
    )
    .await;
    for (table, view) in
        [("pg_temp.orders", "pg_temp.purchases"), ("shop.orders", "pg_temp.purchases")]
    {
        let refusal =
            shop.refused(&format!("select capi.track('{table}', conversions => '{view}')")).await;
        says(&refusal, "it is temporary", "permanent");
    }
}

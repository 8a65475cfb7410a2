//! Another server takes over: a standby that is promoted, a dump that is restored.

use capi_tests::cluster::{Cluster, done, output_of};
use capi_tests::database::Database;
use capi_tests::matrix::{Books, FIRST, Stage};
use capi_tests::patience::eventually;
use capi_tests::shop::until_settled;
use capi_tests::sidecar::Sidecar;
use serde_json::json;

/// A primary with a standby that has everything. They live as long as the tests.
async fn pair() -> (Stage, &'static Cluster, &'static Cluster) {
    let primary: &'static Cluster = Box::leak(Box::new(Cluster::start("fsync = off")));
    let stage = Stage::on(primary).await;
    let standby: &'static Cluster = Box::leak(Box::new(primary.standby("fsync = off")));
    (stage, primary, standby)
}

/// Address of both servers; who cannot be written to is passed over.
fn url(stage: &Stage, primary: &Cluster, standby: &Cluster) -> String {
    let (one, other) = (primary.folder().display(), standby.folder().display());
    format!("host={one},{other} port=5432,5432 dbname={} user=capi", stage.shop.name())
}

/// Waits until the standby has replayed what the primary has committed.
async fn until_equal(stage: &Stage) {
    let behind = "select coalesce(min(pg_current_wal_flush_lsn() - replay_lsn)::text, 'nobody')
        from pg_stat_replication";
    eventually("the standby has caught up", 40, async || {
        let seen = stage.shop.get(behind).await;
        if seen == "0" { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// The standby becomes the server, and the superuser's session goes there.
async fn promote(stage: &mut Stage, standby: &'static Cluster) {
    let name = stage.shop.name().to_owned();
    let shop = Database::found(standby, &name).await;
    shop.run("select pg_promote(true, 60)").await;
    stage.shop = shop;
}

pub(super) async fn promoted() -> Books {
    let (mut stage, primary, standby) = pair().await;
    stage.shop.run("alter system set synchronous_standby_names = '*'").await;
    stage.shop.run("select pg_reload_conf()").await;
    eventually("the standby is synchronous", 40, async || {
        let state = stage.shop.get("select sync_state from pg_stat_replication").await;
        if state == "sync" { Ok(()) } else { Err(state) }
    })
    .await;
    stage.platform.fault(json!({"kind": "late", "ms": 800, "times": 1})).await;
    let url = url(&stage, primary, standby);
    let _sidecar = Sidecar::start_with(&stage.shop, &[("CAPI_DATABASE_URL", &url)]);
    stage.until_requested(1).await;
    primary.kill().await;
    promote(&mut stage, standby).await;
    stage.settle().await;
    stage.books().await
}

/// The standby has the orders and none of the sends.
pub(super) async fn promoted_behind() -> Books {
    let (mut stage, primary, standby) = pair().await;
    until_equal(&stage).await;
    let postgres = capi_tests::database::Session::connect(standby, "postgres", "postgres").await;
    postgres.run("alter system set primary_conninfo = ''").await;
    postgres.run("select pg_reload_conf()").await;
    eventually("the standby hears nothing more", 40, async || {
        let seen = stage.shop.get("select count(*) from pg_stat_replication").await;
        if seen == "0" { Ok(()) } else { Err(seen) }
    })
    .await;
    let url = url(&stage, primary, standby);
    let _sidecar = Sidecar::start_with(&stage.shop, &[("CAPI_DATABASE_URL", &url)]);
    until_settled(&stage.shop, 60).await;
    assert_eq!(stage.platform.number("unique_events"), i64::from(FIRST));
    primary.kill().await;
    promote(&mut stage, standby).await;
    stage.settle().await;
    stage.books().await
}

pub(super) async fn restored() -> Books {
    let stage = Stage::set().await;
    let dump = stage.shop.cluster().client("pg_dump").arg(stage.shop.name()).output();
    let dump = dump.expect("pg_dump runs");
    done(&dump, "pg_dump");
    // The original goes on and sends what waits in the dump.
    let sidecar = stage.sidecar();
    until_settled(&stage.shop, 60).await;
    sidecar.kill().await;
    let copy = Database::bare().await;
    let mut psql = copy.cluster().client("psql");
    psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", copy.name()]);
    done(&output_of(&mut psql, &String::from_utf8(dump.stdout).expect("UTF-8")), "restore");
    copy.run("select capi.adopt()").await;
    let _sidecar = Sidecar::start(&copy);
    stage.settle_in(&copy).await;
    stage.books_in(&copy).await
}

//! Backends, the server, and the line to it.

use std::sync::OnceLock;

use capi_tests::cluster::Cluster;
use capi_tests::matrix::{Books, Stage};
use capi_tests::patience::eventually;
use capi_tests::tap::{Then, When};
use serde_json::json;

use super::MORTAL;
use super::sidecar::inside;

pub(super) async fn cut(call: &'static str, when: When) -> Books {
    let stage = Stage::set().await;
    stage.to_database.order(call, when, Then::Cut);
    let _sidecar = stage.sidecar();
    stage.to_database.until(1).await;
    stage.settle().await;
    stage.books().await
}

pub(super) async fn terminated(call: &str, table: &str) -> Books {
    let stage = Stage::set().await;
    let (_sidecar, holder, pid) = inside(&stage, call, table).await;
    stage.shop.run(&format!("select pg_terminate_backend({pid}, 10000)")).await;
    holder.run("commit").await;
    stage.settle().await;
    stage.books().await
}

/// A cluster whose server may be killed.
fn mortal() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    // What is committed survives a killed process without fsync; only a machine needs it.
    CLUSTER.get_or_init(|| Cluster::start("fsync = off"))
}

/// Opens the superuser's session anew, however long the server takes to recover.
async fn reconnect(stage: &mut Stage) {
    eventually("the server is back", 60, async || stage.shop.try_reconnect().await).await;
}

pub(super) async fn backend_killed(call: &str, table: &str) -> Books {
    let _alone = MORTAL.lock().await;
    let mut stage = Stage::on(mortal()).await;
    let (_sidecar, _holder, pid) = inside(&stage, call, table).await;
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("the program kill").success());
    let gone = "select 1";
    eventually("the server notices", 30, async || {
        if stage.shop.attempt(gone).await.is_err() { Ok(()) } else { Err("it goes on".to_owned()) }
    })
    .await;
    reconnect(&mut stage).await;
    stage.settle().await;
    stage.books().await
}

pub(super) async fn killed() -> Books {
    let _alone = MORTAL.lock().await;
    let mut stage = Stage::on(mortal()).await;
    stage.platform.fault(json!({"kind": "late", "ms": 500, "times": 1})).await;
    let _sidecar = stage.sidecar();
    stage.until_requested(1).await;
    mortal().kill().await;
    mortal().boot_after_kill().await;
    reconnect(&mut stage).await;
    stage.settle().await;
    stage.books().await
}

pub(super) async fn killed_recording() -> Books {
    let _alone = MORTAL.lock().await;
    let mut stage = Stage::on(mortal()).await;
    let (_sidecar, _holder, _) = inside(&stage, "capi.record", "capi.receipt").await;
    mortal().kill().await;
    mortal().boot_after_kill().await;
    reconnect(&mut stage).await;
    stage.settle().await;
    stage.books().await
}

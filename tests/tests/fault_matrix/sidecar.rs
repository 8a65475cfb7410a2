//! The sidecar is killed, or frozen and resumed.

use capi_tests::matrix::{Books, Stage};
use capi_tests::sidecar::Sidecar;
use capi_tests::tap::{Then, When};
use serde_json::json;

/// Held at a call, killed, and another one started.
pub(super) async fn killed_at(call: &'static str, when: When) -> Books {
    let stage = Stage::set().await;
    stage.to_database.order(call, when, Then::Hold);
    let sidecar = stage.sidecar();
    stage.to_database.until(1).await;
    sidecar.kill().await;
    let _next = stage.sidecar();
    stage.settle().await;
    stage.books().await
}

pub(super) async fn killed_while_sending(when: When) -> Books {
    let stage = Stage::set().await;
    stage.to_platform.order(when, Then::Hold);
    let sidecar = stage.sidecar();
    stage.to_platform.until(1).await;
    sidecar.kill().await;
    let _next = stage.sidecar();
    stage.settle().await;
    stage.books().await
}

/// Killed while the server is inside a call, which then goes on without anybody to hear of it.
pub(super) async fn killed_inside(call: &str, table: &str) -> Books {
    let stage = Stage::set().await;
    let (sidecar, holder, _) = inside(&stage, call, table).await;
    sidecar.kill().await;
    holder.run("commit").await;
    let _next = stage.sidecar();
    stage.settle().await;
    stage.books().await
}

/// Starts a sidecar and stops one of its calls by a lock on a table. Gives the session that holds the
/// lock, and the backend that waits for it.
pub(super) async fn inside(
    stage: &Stage,
    call: &str,
    table: &str,
) -> (Sidecar, capi_tests::database::Session, i64) {
    // A record is stopped once its request is under way: what it locks, a claim locks too.
    let recording = call == "capi.record";
    let holder = stage.shop.connect().await;
    let lock = format!("begin; lock table {table} in exclusive mode");
    if recording {
        stage.platform.fault(json!({"kind": "latency", "ms": 700, "times": 1})).await;
    } else {
        holder.run(&lock).await;
    }
    let sidecar = stage.sidecar();
    if recording {
        stage.until_requested(1).await;
        holder.run(&lock).await;
    }
    let pid = stage.until_blocked(call).await;
    (sidecar, holder, pid)
}

/// Frozen with its request under way; another one sends the same events; then it goes on.
pub(super) async fn frozen() -> Books {
    let stage = Stage::set().await;
    stage.to_platform.order(When::After, Then::Hold);
    let frozen = stage.sidecar();
    stage.to_platform.until(1).await;
    frozen.signal("STOP");
    let _other = stage.sidecar();
    stage.settle().await;
    frozen.signal("CONT");
    frozen.until_logged("lease lost").await;
    stage.books().await
}

/// Stopped with its request taken and unanswered, and no grace to wait for more.
pub(super) async fn stopped() -> Books {
    let stage = Stage::set().await;
    stage.to_platform.order(When::After, Then::Hold);
    let url = stage.to_database.url();
    let variables = [("CAPI_DATABASE_URL", url.as_str()), ("CAPI_GRACE", "0")];
    let sidecar = Sidecar::start_with(&stage.shop, &variables);
    stage.to_platform.until(1).await;
    assert_eq!(sidecar.terminate().await.code(), Some(0));
    let _next = stage.sidecar();
    stage.settle().await;
    stage.books().await
}

/// Two at work; every second request takes long, and one of them is killed in the middle of each.
pub(super) async fn two_killed() -> Books {
    let stage = Stage::set().await;
    stage.platform.fault(json!({"kind": "late", "ms": 300, "probability": 0.5})).await;
    let mut pair = [Some(stage.sidecar()), Some(stage.sidecar())];
    for round in 0..6 {
        let seen = stage.platform.number("requests");
        stage.buy(&stage.shop, 10).await;
        stage.until_requested(seen + 1).await;
        let one = &mut pair[round % 2];
        one.take().expect("a sidecar").kill().await;
        *one = Some(stage.sidecar());
    }
    stage.platform.heal().await;
    stage.settle().await;
    stage.books().await
}

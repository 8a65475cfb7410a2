//! The platform and the line to it.

use capi_tests::matrix::{Books, Stage};
use capi_tests::patience::eventually;
use capi_tests::shop::{resume, until_settled};
use capi_tests::tap::{Then, When};
use serde_json::json;

pub(super) async fn spoiled(when: When, then: Then) -> Books {
    let stage = Stage::set().await;
    stage.to_platform.order(when, then);
    let _sidecar = stage.sidecar();
    stage.to_platform.until(1).await;
    stage.settle().await;
    stage.books().await
}

/// A fault that the stand-in knows, until it has happened so often.
pub(super) async fn faulty(fault: &str, times: u32) -> Books {
    let stage = Stage::set().await;
    stage.platform.fault(serde_json::from_str(fault).expect("JSON")).await;
    let _sidecar = stage.sidecar();
    stage.until_requested(i64::from(times) + 1).await;
    stage.settle().await;
    stage.books().await
}

/// Nobody at the port, for as long as is asked for, and then again somebody.
pub(super) async fn down() -> Books {
    let mut stage = Stage::set().await;
    stage.to_platform.close().await;
    let _sidecar = stage.sidecar();
    eventually("three sends have failed", 40, async || {
        let failed =
            stage.shop.get("select count(*) from capi.attempt where outcome = 'retry'").await;
        if failed.parse::<u32>().is_ok_and(|failed| failed >= 3) { Ok(()) } else { Err(failed) }
    })
    .await;
    let time = super::down_for().unwrap_or_default();
    // No waiting for something: the length of the fault.
    tokio::time::sleep(time).await;
    let endpoint = stage.platform.endpoint().to_owned();
    stage.to_platform.reopen(&endpoint).await;
    // What failed all the time waits about as long again, at most ten minutes.
    until_settled(&stage.shop, 60 + (2 * time.as_secs()).min(620)).await;
    stage.settle().await;
    stage.books().await
}

pub(super) async fn blocked() -> Books {
    let stage = Stage::set().await;
    stage.platform.fault(json!({"kind": "expired_token"})).await;
    let _sidecar = stage.sidecar();
    eventually("the destination is blocked", 40, async || {
        let state = stage.shop.get("select state from capi.status()").await;
        if state == "blocked" { Ok(()) } else { Err(state) }
    })
    .await;
    stage.platform.heal().await;
    resume(&stage.shop).await;
    stage.settle().await;
    stage.books().await
}

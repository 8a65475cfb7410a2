//! The locks of the extension: nobody but its own functions takes them, errors leave those of a session
//! alone, and a full queue of notifications fails no order.

use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::shop::{buy, captured, customer, sending_shop, tracked_shop, until_settled};
use capi_tests::sidecar::{Sidecar, capi};

/// Every advisory lock that anybody could guess, taken exclusively by a role that has no right here.
const GUESSES: &str = "select count(pg_advisory_lock('capi'::regnamespace::oid::integer, n))
    from generate_series(-5, 10) n";

#[tokio::test]
async fn who_takes_advisory_locks_holds_nobody_up() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let nobody = shop.connect_as("nobody").await;
    nobody.run(GUESSES).await;
    let listener = shop.connect().await;
    listener.run("listen capi").await;
    // Nobody sleeps, so that no commit rings.
    buy(&shop, c).await;
    assert_eq!(shop.count("select count(*) from capi.locks()").await, 0);
    assert_eq!(shop.get("select capi.maintain() ->> 'skipped'").await, "");
    shop.run("select capi.alert_note('[]')").await;
    let sidecar = shop.connect_as("capi").await;
    assert_eq!(sidecar.get("select capi.bell_keep()").await, "t");
    assert_eq!(sidecar.get("select capi.bell_arm()").await, "t");
    assert_eq!(
        shop.column("select lock || ' ' || role from capi.locks()").await,
        ["bell capi", "keeper capi"]
    );
    drop(sidecar);
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
}

#[tokio::test]
async fn nobody_else_may_call_the_functions_that_lock() {
    let shop = tracked_shop().await;
    for role in ["app", "analyst", "web", "nobody", "admin", "capi"] {
        let session = shop.connect_as(role).await;
        for call in ["_lock('bell')", "_try_lock('bell', 0, true)", "_unlock('bell')"] {
            assert_eq!(
                session.refused(&format!("select capi.{call}")).await.code,
                "42501",
                "{role} {call}"
            );
        }
    }
    assert_eq!(shop.refused("select capi._lock('door')").await.message, "unknown lock");
}

#[tokio::test]
async fn an_error_in_its_session_leaves_the_sidecar_armed() {
    let shop = tracked_shop().await;
    let sidecar = shop.connect_as("capi").await;
    sidecar.run("select capi.bell_keep(), capi.bell_arm()").await;
    assert_eq!(sidecar.refused("select 1/0").await.code, "22012");
    sidecar.run("begin").await;
    assert_eq!(sidecar.refused("select capi.claim()").await.code, "42883");
    sidecar.run("rollback").await;
    let held = "select string_agg(lock, ' ') from capi.locks()";
    assert_eq!(shop.get(held).await, "bell keeper");
    // Taken twice, given back at once.
    assert_eq!(sidecar.get("select capi.bell_arm()").await, "t");
    sidecar.run("select capi.bell_disarm()").await;
    assert_eq!(shop.get(held).await, "keeper");
    sidecar.run("discard all").await;
    let pid = sidecar.pid().await;
    drop(sidecar);
    eventually("the session's locks go with it", 10, async || {
        let left =
            shop.count(&format!("select count(*) from capi.locks() where pid = {pid}")).await;
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn an_order_rings_when_somebody_sleeps_and_never_into_a_queue_that_fills() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    let sidecar = shop.connect_as("capi").await;
    sidecar.run("select capi.bell_keep(), capi.bell_arm()").await;
    let mut listener = Listener::on(&shop).await;
    buy(&shop, c).await;
    listener.expect_one().await;
    // Somebody listens in a transaction that does not end: what is notified stays in the queue.
    let stuck = shop.connect().await;
    stuck.run("listen elsewhere").await;
    stuck.run("begin; select 1").await;
    shop.run("select pg_notify('elsewhere', repeat('x', 7000) || n) from generate_series(1, 20) n")
        .await;
    assert_eq!(shop.get("select pg_notification_queue_usage() > 0").await, "t");
    shop.run("set capi.notify_limit = 0").await;
    buy(&shop, c).await;
    shop.run("reset capi.notify_limit").await;
    assert_eq!(captured(&shop).await, 2);
    shop.run("select pg_notify('capi', 'after')").await;
    assert_eq!(listener.next().await, "after", "the second order has not rung");
    stuck.run("rollback").await;
}

/// A session that hears what is notified on the channel.
struct Listener {
    heard: tokio::sync::mpsc::UnboundedReceiver<String>,
    _client: tokio_postgres::Client,
}

impl Listener {
    async fn on(shop: &Database) -> Self {
        let mut config = tokio_postgres::Config::new();
        config.host_path(shop.cluster().folder()).dbname(shop.name()).user("postgres");
        let (client, mut connection) =
            config.connect(tokio_postgres::NoTls).await.expect("a connection");
        let (tell, heard) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) =
                std::future::poll_fn(|context| connection.poll_message(context)).await
            {
                if let tokio_postgres::AsyncMessage::Notification(notification) = message {
                    drop(tell.send(notification.payload().to_owned()));
                }
            }
        });
        client.batch_execute("listen capi").await.expect("listens");
        Self { heard, _client: client }
    }

    async fn next(&mut self) -> String {
        let patience = std::time::Duration::from_secs(10);
        let next = tokio::time::timeout(patience, self.heard.recv()).await;
        next.expect("a notification in time").expect("a connection")
    }

    async fn expect_one(&mut self) {
        assert_eq!(self.next().await, "");
    }
}

#[tokio::test]
async fn status_and_check_say_who_holds_a_lock() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let held = shop.connect_as("postgres").await;
    held.run("begin; select capi._lock('replay', 7); select capi._lock('maintenance')").await;
    let pid = held.pid().await;
    let url = shop.url("capi");
    let variables = [("CAPI_DATABASE_URL", url.as_str()), ("META_TOKEN", TOKEN)];
    let said = async |command: &str| {
        let output = capi(&[command], &variables).await;
        String::from_utf8(output.stdout).expect("text")
    };
    let status = said("status").await;
    for lock in ["maintenance  0   ", "replay       7   "] {
        let line = status.lines().find(|line| line.starts_with(lock));
        let line = line.unwrap_or_else(|| panic!("{lock:?} is not in:\n{status}"));
        assert!(line.contains(&format!(" {pid} ")) && line.contains(" postgres "), "{line}");
    }
    let check = said("check").await;
    let holders =
        format!("held: maintenance by postgres (pid {pid}), replay of 7 by postgres (pid {pid})");
    assert!(check.contains(&holders), "{check}");
    held.run("rollback").await;
    assert!(said("check").await.contains("nobody holds one"));
}

#[tokio::test]
async fn a_sync_that_is_in_the_way_is_named() {
    let shop = tracked_shop().await;
    shop.run(
        "insert into capi.audience (name, destination, people, people_name, settings)
        select 'buyers', destination, 'shop.purchases', 'shop.purchases', '{}' from capi.destination limit 1",
    )
    .await;
    let audience = shop.count("select audience from capi.audience").await;
    let syncing = shop.connect_as("postgres").await;
    syncing.run(&format!("select capi._try_lock('audience', {audience}, true)")).await;
    let pid = syncing.pid().await;
    let refusal = shop.refused("select capi.drop_audience('buyers')").await;
    assert!(refusal.hint.contains(&format!("(pid {pid}, role postgres)")), "{refusal:?}");
}

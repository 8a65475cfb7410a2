//! Running the sidecar: health, reload, systemd, blocked accounts, pace, and a database that comes
//! and goes.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::proxy::Proxy;
use capi_tests::shop::{
    CREDENTIAL, DESTINATION, PIXEL, buy, buy_many, customer, errors, receipts, resume,
    sending_shop, track, until_settled,
};
use capi_tests::sidecar::Sidecar;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A shop with this many events waiting, and a platform.
async fn waiting(orders: u32) -> (Platform, Database) {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, orders).await;
    (platform, shop)
}

/// A folder of this test's own.
fn folder(shop: &Database, name: &str) -> PathBuf {
    let folder = shop.cluster().folder().join(format!("{name}-{}", shop.name()));
    fs::create_dir(&folder).expect("a new folder");
    folder
}

async fn until_blocked(shop: &Database) {
    eventually("destination is blocked", 20, async || {
        let seen = shop.get("select state from capi.destinations()").await;
        if seen == "blocked" { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// One answer of the sidecar's own server: status and body.
async fn observed(sidecar: &Sidecar, path: &str) -> (u16, String) {
    let log = sidecar.log();
    let line = log.lines().find(|line| line.contains("health and metrics")).expect("the port");
    let address = line.split("address=").nth(1).expect("an address").trim().to_owned();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"), body.to_owned())
}

/// Waits until the path is answered with this status; gives the body.
async fn until_observed(sidecar: &Sidecar, path: &str, status: u16) -> String {
    eventually(&format!("{path} answers {status}"), 20, async || {
        let (seen, body) = observed(sidecar, path).await;
        if seen == status { Ok(body) } else { Err(format!("{seen} {body}")) }
    })
    .await
}

const LISTEN: (&str, &str) = ("CAPI_LISTEN", "127.0.0.1:0");
const LOOK: (&str, &str) = ("CAPI_LOOK_EVERY", "1");

// ---------------------------------------------------------------------------------------------
// Health and metrics
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn health_readiness_and_metrics_follow_the_delivery() {
    let (platform, shop) = waiting(20).await;
    let sidecar = Sidecar::start_with(&shop, &[LISTEN, LOOK]);
    sidecar.until_logged("health and metrics").await;
    until_settled(&shop, 20).await;
    until_observed(&sidecar, "/healthz", 200).await;
    let ready: Value =
        serde_json::from_str(&until_observed(&sidecar, "/readyz", 200).await).expect("JSON");
    assert_eq!(ready["destinations"], json!({"sending": 1, "skipped": 0, "blocked": 0}));
    let metrics = eventually("the look is over", 20, async || {
        let (_, text) = observed(&sidecar, "/metrics").await;
        if text.contains("capi_destination_active{") { Ok(text) } else { Err(text) }
    })
    .await;
    for line in [
        "capi_events_total{destination=\"meta-eu\",outcome=\"delivered\",platform=\"meta\"} 20",
        "capi_database_up 1",
        "capi_destination_active{destination=\"meta-eu\",platform=\"meta\"} 1",
        "capi_batches_in_flight{destination=\"meta-eu\",platform=\"meta\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains(TOKEN));
    platform.fault(json!({"kind": "expired_token"})).await;
    buy(&shop, shop.count("select id from shop.customers").await).await;
    until_blocked(&shop).await;
    let body = until_observed(&sidecar, "/readyz", 503).await;
    assert!(body.contains(r#""database":true"#) && body.contains(r#""blocked":1"#), "{body}");
    until_observed(&sidecar, "/healthz", 200).await;
    eventually("the block is measured", 20, async || {
        let (_, text) = observed(&sidecar, "/metrics").await;
        let line = "capi_destination_blocked{destination=\"meta-eu\",platform=\"meta\"} 1";
        if text.contains(line) { Ok(()) } else { Err(text) }
    })
    .await;
}

/// Where the capture is off nobody rings, and that is when the sweep matters.
#[tokio::test]
async fn a_sleeping_sidecar_sweeps() {
    let (_platform, shop) = waiting(1).await;
    let sidecar =
        Sidecar::start_with(&shop, &[("CAPI_MAINTAIN_EVERY", "2"), ("CAPI_LOG", "debug")]);
    until_settled(&shop, 1).await;
    sidecar.until_logged("asleep").await;
    shop.run("alter table shop.orders disable trigger user").await;
    buy(&shop, shop.count("select id from shop.customers").await).await;
    shop.run("alter table shop.orders enable trigger user").await;
    assert_eq!(shop.count("select count(*) from capi.outbox").await, 1);
    until_settled(&shop, 2).await;
}

#[tokio::test]
async fn without_the_setting_nothing_listens() {
    let (_platform, shop) = waiting(1).await;
    let sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert!(!sidecar.log().contains("health and metrics"));
}

#[tokio::test]
async fn a_database_that_is_away_is_not_ready_and_alive() {
    let (_platform, shop) = waiting(1).await;
    let proxy = Proxy::start(&shop).await;
    let url = format!("host=127.0.0.1 port={} dbname={} user=capi", proxy.port(), shop.name());
    let sidecar = Sidecar::start_with(&shop, &[LISTEN, ("CAPI_DATABASE_URL", &url)]);
    sidecar.until_logged("health and metrics").await;
    until_observed(&sidecar, "/readyz", 200).await;
    proxy.cut();
    let body = until_observed(&sidecar, "/readyz", 503).await;
    assert!(body.contains(r#""database":false"#), "{body}");
    until_observed(&sidecar, "/healthz", 200).await;
    proxy.heal();
    until_observed(&sidecar, "/readyz", 200).await;
}

#[tokio::test]
async fn a_copy_is_not_ready() {
    let (_platform, shop) = waiting(1).await;
    let copy = shop.clone_by_template().await;
    let sidecar = Sidecar::start_with(&copy, &[LISTEN]);
    sidecar.until_logged("this database is a copy").await;
    let body = until_observed(&sidecar, "/readyz", 503).await;
    assert!(body.contains(r#""adopted":false"#), "{body}");
}

// ---------------------------------------------------------------------------------------------
// Blocked accounts
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn another_token_in_the_file_lifts_the_block_and_drains_the_backlog() {
    let (platform, shop) = waiting(20).await;
    let credentials = folder(&shop, "credentials");
    let file = credentials.join(CREDENTIAL);
    fs::write(&file, "EAAGtheOldOneThatHasExpired").expect("a token");
    let directory = credentials.display().to_string();
    let sidecar = Sidecar::start_with(
        &shop,
        &[(CREDENTIAL, ""), ("CAPI_CREDENTIALS_DIR", &directory), ("CAPI_SAFETY_POLL", "5")],
    );
    until_blocked(&shop).await;
    buy(&shop, shop.count("select id from shop.customers").await).await;
    assert_eq!(platform.number("requests"), 1);
    assert_eq!(shop.count("select pending from capi.status()").await, 21, "everything is kept");
    fs::write(&file, TOKEN).expect("a token");
    until_settled(&shop, 40).await;
    assert_eq!(receipts(&shop).await, ["delivered 21"]);
    let why = "select reason from capi.destination_version order by version desc limit 1";
    assert_eq!(shop.get(why).await, "credential_changed");
    let refused = platform.requests().await.iter().filter(|r| r["status"] == 401).count();
    assert_eq!(refused, 1, "one knock at the closed door");
    for secret in [TOKEN, "EAAGtheOldOneThatHasExpired"] {
        assert!(!sidecar.log().contains(secret));
    }
}

#[tokio::test]
async fn a_block_that_no_token_lifts_waits_for_a_person() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let endpoint = platform.endpoint();
    shop.run(&format!(
        "select capi.create_destination('meta-us', platform => 'meta',
            settings => '{{\"pixel_id\": \"222\", \"endpoint\": \"{endpoint}\"}}', credential => '{CREDENTIAL}');
        select capi.track('shop.orders', conversions => 'shop.purchases',
            destinations => '{{{DESTINATION},meta-us}}');
        select capi.resume('meta-us')"
    ))
    .await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 5).await;
    let credentials = folder(&shop, "credentials");
    let file = credentials.join(CREDENTIAL);
    fs::write(&file, "EAAGtheOldOneThatHasExpired").expect("a token");
    // For the first one the version of the API has ended; the second one knows that the token is bad.
    let ended = json!({"kind": "status", "status": 400, "code": 2635, "pixel": PIXEL});
    platform.fault(ended).await;
    let directory = credentials.display().to_string();
    let variables = [(CREDENTIAL, ""), ("CAPI_CREDENTIALS_DIR", directory.as_str())];
    let _sidecar = Sidecar::start_with(&shop, &variables);
    let states = "select string_agg(state, ' ' order by name) from capi.destinations()";
    let until = async |wanted: &str| {
        eventually(&format!("states are {wanted}"), 30, async || {
            let seen = shop.get(states).await;
            if seen == wanted { Ok(()) } else { Err(seen) }
        })
        .await;
    };
    until("blocked blocked").await;
    platform.heal().await;
    fs::write(&file, TOKEN).expect("a token");
    // The other one shows that the new token was seen.
    until("blocked active").await;
    let delivered = "select count(*) from capi.delivery where status = 'delivered'";
    eventually("the other one drains", 20, async || {
        let seen = shop.count(delivered).await;
        if seen == 5 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    until("blocked active").await;
    resume(&shop).await;
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 10"]);
}

#[tokio::test]
async fn the_sidecar_lifts_only_the_block_that_it_has_seen() {
    let (_platform, shop) = waiting(1).await;
    let sidecar = shop.connect_as("capi").await;
    let row = "select destination || ', ' || version from capi.destinations()";
    let active = shop.get(row).await;
    assert_eq!(
        sidecar.get(&format!("select capi.unblock({active}, 'x')")).await,
        "f",
        "not blocked"
    );
    shop.run(&format!("select capi.pause('{DESTINATION}')")).await;
    let paused = shop.get(row).await;
    assert_eq!(
        sidecar.get(&format!("select capi.unblock({paused}, 'x')")).await,
        "f",
        "paused by hand"
    );
    shop.run("select capi._set_state(d.destination, 'blocked', '190') from capi.destinations() d")
        .await;
    assert_eq!(sidecar.get(&format!("select capi.unblock({paused}, 'x')")).await, "f", "of old");
    let blocked = shop.get(row).await;
    assert_eq!(sidecar.get(&format!("select capi.unblock({blocked}, 'x')")).await, "t");
    assert_eq!(shop.get("select state from capi.destinations()").await, "active");
}

// ---------------------------------------------------------------------------------------------
// Reload and systemd
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_reload_drops_nothing_that_is_in_flight() {
    let (platform, shop) = waiting(30).await;
    let file = folder(&shop, "config").join("capi.toml");
    let config = |rest: &str| {
        fs::write(&file, format!("database_url = \"{}\"\n{rest}", shop.url("capi")))
            .expect("a file");
    };
    config("concurrency = 2\n[credentials]\nMETA_TOKEN = \"EAAGother\"\n");
    platform.fault(json!({"kind": "latency", "ms": 1_500, "times": 1})).await;
    let path = file.display().to_string();
    let variables = [("CAPI_DATABASE_URL", ""), ("CAPI_CONFIG", path.as_str()), LISTEN];
    let sidecar = Sidecar::start_with(&shop, &variables);
    eventually("a request is under way", 20, async || {
        let seen = platform.number("requests");
        if seen > 0 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    config("concurrency = 3\nworker = \"reloaded\"\n");
    sidecar.signal("HUP");
    sidecar.until_logged("configuration was read again").await;
    until_settled(&shop, 30).await;
    assert_eq!(shop.column("select outcome from capi.attempt").await, ["each"], "finished, once");
    buy(&shop, shop.count("select id from shop.customers").await).await;
    until_settled(&shop, 30).await;
    let workers = "select distinct worker from capi.attempt where worker = 'reloaded'";
    assert_eq!(shop.column(workers).await, ["reloaded"], "the new settings are in force");
    // A wrong one changes nothing and says so, without its value.
    config("concurrency = 'EAAGnotanumber'\n");
    sidecar.signal("HUP");
    sidecar.until_logged("new configuration is wrong; the old one stays").await;
    assert!(sidecar.log().contains("setting concurrency"));
    assert!(!sidecar.log().contains("EAAGnotanumber"));
    buy(&shop, shop.count("select id from shop.customers").await).await;
    until_settled(&shop, 30).await;
    assert_eq!(receipts(&shop).await, ["delivered 32"]);
    let (_, metrics) = observed(&sidecar, "/metrics").await;
    for outcome in ["done", "refused"] {
        let line = format!("capi_reloads_total{{outcome=\"{outcome}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(sidecar.terminate().await.success());
}

#[tokio::test]
async fn to_resume_what_sends_already_changes_nothing() {
    let (_platform, shop) = waiting(1).await;
    let versions = "select count(*) from capi.destination_version";
    let before = shop.count(versions).await;
    shop.run("select capi.resume('meta-eu')").await;
    assert_eq!(shop.count(versions).await, before, "it sends already");
    shop.run("select capi.pause('meta-eu', 'stocktaking')").await;
    shop.run("select capi.resume('meta-eu')").await;
    assert_eq!(shop.count(versions).await, before + 2);
}

#[tokio::test]
async fn a_reload_finds_the_database_at_its_new_place() {
    let (_platform, shop) = waiting(3).await;
    let file = folder(&shop, "config").join("capi.toml");
    fs::write(&file, "database_url = \"host=127.0.0.1 port=1 dbname=x user=capi\"\n")
        .expect("a file");
    let path = file.display().to_string();
    let variables = [("CAPI_DATABASE_URL", ""), ("CAPI_CONFIG", path.as_str())];
    let sidecar = Sidecar::start_with(&shop, &variables);
    sidecar.until_logged("database connection lost").await;
    fs::write(&file, format!("database_url = \"{}\"\n", shop.url("capi"))).expect("a file");
    sidecar.signal("HUP");
    until_settled(&shop, 30).await;
}

/// What systemd would have been told so far, line by line.
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut lines = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

#[tokio::test]
async fn a_service_manager_that_does_not_listen_holds_nothing_up() {
    let (_platform, shop) = waiting(1).await;
    let path = folder(&shop, "deaf").join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let path = path.display().to_string();
    let variables = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "3000")];
    let sidecar = Sidecar::start_with(&shop, &variables);
    until_settled(&shop, 20).await;
    let somebody = customer(&shop).await;
    // The socket takes a few messages; a thousand watchdog messages a second fill it at once.
    for _ in 0..3 {
        sidecar.signal("HUP");
        buy_many(&shop, somebody, 1).await;
        until_settled(&shop, 20).await;
    }
    assert!(sidecar.terminate().await.success());
    drop(socket);
}

#[tokio::test]
async fn systemd_is_told_of_each_step() {
    let (_platform, shop) = waiting(1).await;
    let path = folder(&shop, "systemd").join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("not blocking");
    let path = path.display().to_string();
    let variables = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "300000")];
    let sidecar = Sidecar::start_with(&shop, &variables);
    let mut seen = Vec::new();
    let mut until_told = async |line: &str| {
        eventually(&format!("systemd is told {line}"), 20, async || {
            seen.extend(told(&socket));
            match seen.iter().position(|one| one.starts_with(line)) {
                Some(at) => {
                    seen.drain(..=at);
                    Ok(())
                }
                None => Err(format!("{seen:?}")),
            }
        })
        .await;
    };
    until_told("READY=1").await;
    until_told("STATUS=serving").await;
    until_told("WATCHDOG=1").await;
    sidecar.signal("HUP");
    until_told("RELOADING=1").await;
    until_told("MONOTONIC_USEC=").await;
    until_told("READY=1").await;
    until_settled(&shop, 20).await;
    assert!(sidecar.terminate().await.success());
    until_told("STOPPING=1").await;
}

// ---------------------------------------------------------------------------------------------
// Pace
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_token_bucket_spaces_requests_and_loses_nothing() {
    let (platform, shop) = waiting(8).await;
    let bad = shop.get("select event_id from capi.outbox order by id limit 1").await;
    platform.fault(json!({"kind": "poison", "event_id": bad})).await;
    let began = Instant::now();
    let _sidecar = Sidecar::start_with(&shop, &[("CAPI_RATE", "60")]);
    until_settled(&shop, 60).await;
    let took = began.elapsed();
    assert_eq!(receipts(&shop).await, ["delivered 7", "refused 1"]);
    let requests = u32::try_from(platform.number("requests")).expect("some");
    assert!(requests >= 5, "halving takes several: {requests}");
    assert!(took >= Duration::from_secs(1) * (requests - 1), "{requests} requests in {took:?}");
}

#[tokio::test]
async fn a_full_budget_in_the_headers_holds_the_destination() {
    let (platform, shop) = waiting(1).await;
    platform
        .fault(
            json!({"kind": "usage", "percent": 100, "minutes": 5, "header": "business_use_case"}),
        )
        .await;
    let sidecar = Sidecar::start_with(&shop, &[LISTEN]);
    sidecar.until_logged("health and metrics").await;
    until_settled(&shop, 20).await;
    let held = eventually("the hold is measured", 20, async || {
        let (_, text) = observed(&sidecar, "/metrics").await;
        let line =
            text.lines().find(|line| line.starts_with("capi_destination_held_until_seconds{"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).ok_or(text.clone())
    })
    .await;
    let now = shop.count("select extract(epoch from now())::bigint").await;
    assert!((280..=310).contains(&(held - now)), "{held} {now}");
    buy(&shop, shop.count("select id from shop.customers").await).await;
    assert!(sidecar.terminate().await.success());
    assert_eq!(platform.number("requests"), 1, "the second event waits for the budget");
    assert_eq!(shop.count("select pending from capi.status()").await, 1);
}

#[tokio::test]
async fn a_retry_after_that_no_clock_can_count_to_is_survived() {
    let (platform, shop) = waiting(3).await;
    let forever = json!({"kind": "status", "status": 503, "retry_after": u64::MAX, "times": 1});
    platform.fault(forever).await;
    let sidecar = Sidecar::start(&shop);
    sidecar.until_logged("not delivered").await;
    let due =
        "select due_at - now() between interval '23 hours' and interval '25 hours' from capi.batch";
    assert_eq!(shop.get(due).await, "t");
    assert!(!sidecar.log().contains("panic"));
    drop(sidecar);
    resume(&shop).await;
    let _other = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
}

// ---------------------------------------------------------------------------------------------
// The database comes and goes
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_next_host_of_the_connection_string_takes_over() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let hosts = [Proxy::start(&shop).await, Proxy::start(&shop).await];
    let [first, second] = [hosts[0].port(), hosts[1].port()];
    let name = shop.name();
    let url = format!("host=127.0.0.1,127.0.0.1 port={first},{second} dbname={name} user=capi");
    let _sidecar = Sidecar::start_with(&shop, &[("CAPI_DATABASE_URL", &url)]);
    hosts[1].cut();
    buy(&shop, c).await;
    until_settled(&shop, 30).await;
    for (gone, there) in [(0, 1), (1, 0), (0, 1)] {
        hosts[there].heal();
        hosts[gone].cut();
        buy_many(&shop, c, 5).await;
        until_settled(&shop, 40).await;
    }
    assert_eq!(receipts(&shop).await, ["delivered 16"]);
    assert_eq!(platform.number("unique_events"), 16);
}

#[tokio::test]
async fn a_host_whose_name_is_not_known_is_passed_over() {
    let (_platform, shop) = waiting(3).await;
    let proxy = Proxy::start(&shop).await;
    let (port, name) = (proxy.port(), shop.name());
    let url = format!(
        "host=db.invalid,127.0.0.1 port={port},{port} dbname={name} user=capi sslmode=disable"
    );
    let _sidecar = Sidecar::start_with(&shop, &[("CAPI_DATABASE_URL", &url)]);
    until_settled(&shop, 30).await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_waited_for() {
    let (_platform, shop) = waiting(3).await;
    let name = shop.name();
    // As a standby answers, or a primary that is being demoted.
    shop.run(&format!("alter role capi in database {name} set default_transaction_read_only = on"))
        .await;
    let sidecar = Sidecar::start(&shop);
    sidecar.until_logged("database connection lost").await;
    assert_eq!(shop.count("select count(*) from capi.attempt").await, 0);
    shop.run(&format!("alter role capi in database {name} reset default_transaction_read_only"))
        .await;
    until_settled(&shop, 40).await;
}

#[tokio::test]
async fn terminated_sessions_are_replaced() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let _sidecar = Sidecar::start(&shop);
    let mut orders = 0;
    for _ in 0..5 {
        buy_many(&shop, c, 20).await;
        orders += 20;
        eventually("the sidecar has sessions to end", 20, async || {
            let ended = shop
                .count(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity
                    where datname = current_database() and application_name = 'pg_capi'",
                )
                .await;
            if ended > 0 { Ok(()) } else { Err("none".into()) }
        })
        .await;
    }
    until_settled(&shop, 60).await;
    assert_eq!(receipts(&shop).await, [format!("delivered {orders}")]);
    assert_eq!(platform.number("unique_events"), orders);
}

#[tokio::test]
async fn one_connection_for_many_requests_is_enough() {
    let platform = Platform::start().await;
    platform.fault(json!({"kind": "latency", "ms": 30})).await;
    let shop = sending_shop(&platform).await;
    let c = customer(&shop).await;
    let variables = [("CAPI_DATABASE_CONNECTIONS", "1"), ("CAPI_CONCURRENCY", "16")];
    let _sidecar = Sidecar::start_with(&shop, &variables);
    for _ in 0..100 {
        buy(&shop, c).await;
    }
    until_settled(&shop, 40).await;
    assert_eq!(receipts(&shop).await, ["delivered 100"]);
    assert_eq!(platform.number("duplicates"), 0);
}

#[tokio::test]
async fn a_server_without_free_connections_is_waited_for() {
    let (_platform, shop) = waiting(3).await;
    let name = shop.name();
    // This session and one more: the bell's. None is left for claims.
    shop.run(&format!("alter database {name} connection limit 2")).await;
    let sidecar = Sidecar::start(&shop);
    sidecar.until_logged("claim failed").await;
    assert!(sidecar.log().contains("53300"));
    shop.run(&format!("alter database {name} connection limit -1")).await;
    until_settled(&shop, 40).await;
}

#[tokio::test]
async fn a_platform_whose_name_is_not_known_is_tried_again() {
    let platform = Platform::start().await;
    let shop = Database::adopted().await;
    track(&shop, "https://graph.invalid").await;
    resume(&shop).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 3).await;
    let listed = format!("graph.invalid,{}", platform.endpoint().trim_start_matches("http://"));
    let _sidecar = Sidecar::start_with(&shop, &[("CAPI_ENDPOINTS", &listed)]);
    eventually("the failure is on record", 20, async || {
        let seen = shop.get("select max(reason) from capi.attempt").await;
        if seen == "connect_failed" { Ok(()) } else { Err(seen) }
    })
    .await;
    let endpoint = json!({"endpoint": platform.endpoint()});
    shop.run(&format!("select capi.alter_destination('{DESTINATION}', settings => '{endpoint}')"))
        .await;
    resume(&shop).await;
    until_settled(&shop, 30).await;
    assert_eq!(receipts(&shop).await, ["delivered 3"]);
    assert_eq!(shop.count("select count(*) from capi.receipt where possible_duplicate").await, 0);
}

// ---------------------------------------------------------------------------------------------
// Memory
// ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn large_events_go_in_as_many_requests_as_the_memory_wants() {
    let platform = Platform::start().await;
    let shop = Database::adopted().await;
    let endpoint = platform.endpoint();
    shop.run(&format!(
        "create view shop.large as
            select p.*, jsonb_build_object('note', repeat('x', 200000)) as custom
            from shop.purchases p;
        select capi.create_destination('{DESTINATION}', platform => 'meta',
            settings => '{{\"pixel_id\": \"{PIXEL}\", \"endpoint\": \"{endpoint}\"}}',
            credential => '{CREDENTIAL}');
        select capi.track('shop.orders', conversions => 'shop.large',
            destinations => '{{{DESTINATION}}}')"
    ))
    .await;
    resume(&shop).await;
    let c = customer(&shop).await;
    // 12 MB, which the platform would take in one request; a request is made of 8 MiB.
    shop.run("set capi.time_budget = '60s'").await;
    buy_many(&shop, c, 60).await;
    assert_eq!(errors(&shop).await, [""; 0]);
    let sidecar = Sidecar::start(&shop);
    until_settled(&shop, 60).await;
    assert_eq!(receipts(&shop).await, ["delivered 60"]);
    assert_eq!(platform.number("requests"), 2);
    assert_eq!(platform.number("duplicates"), 0);
    assert!(!sidecar.log().contains("not in the outbox"));
}

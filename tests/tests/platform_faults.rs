//! What goes wrong at each platform, in that platform's own shape: part of a request is refused, calls
//! are too many, a credential does not open, a token is revoked, a decision that comes later is a
//! refusal. All of it through capture, sidecar and stand-in; what is asserted is what is on record.

use std::fs;

use capi_tests::everywhere::{Everywhere, SECRET, WRONG, platforms, with_tokens};
use capi_tests::leaks::{found_in, relations_with};
use capi_tests::patience::eventually;
use capi_tests::platform::TOKEN;
use capi_tests::receiver::{Receiver, SECRET_PATH};
use capi_tests::sidecar::Sidecar;
use serde_json::json;

/// The attempts at one destination, as `kind outcome status reason`.
async fn attempts(everywhere: &Everywhere, destination: &str) -> Vec<String> {
    everywhere
        .shop
        .column(&format!(
            "select format('%s %s %s %s', kind, outcome, coalesce(http_status::text, '-'), coalesce(reason, '-'))
            from capi.attempts where destination = '{destination}' order by attempt"
        ))
        .await
}

/// Fails if something that opens a platform is in a table, a view or a log.
async fn no_secret_is_left(everywhere: &Everywhere, sidecars: &[&Sidecar]) {
    let issued = "standin-access-token";
    let secrets: Vec<String> =
        [SECRET, WRONG, TOKEN, issued].into_iter().map(str::to_lowercase).collect();
    assert_eq!(relations_with(&everywhere.shop, &secrets).await, [""; 0]);
    for sidecar in sidecars {
        let log = sidecar.log();
        assert!(log.len() > 1_000, "the log is there: {log}");
        assert_eq!(found_in(log.as_bytes(), &secrets), [""; 0], "{log}");
    }
}

#[tokio::test]
async fn one_bad_event_of_five_is_refused_with_the_platforms_reason_and_four_are_delivered() {
    let everywhere = Everywhere::on(&platforms()).await;
    everywhere.buy(5).await;
    // Google knows an event by the number of its order, the others by the event's id.
    for id in ["order-3", "3"] {
        everywhere.platform.fault(json!({"kind": "poison", "event_id": id})).await;
    }
    let sidecar = everywhere.sidecar(&everywhere.credentials(), &[]);
    everywhere.until_settled(60).await;

    let refused = "select format('%s %s %s', destination, key, reason) from capi.delivery
        where status = 'refused' order by 1";
    assert_eq!(
        everywhere.shop.column(refused).await,
        [
            "google_ads 3 INVALID_EVENT",
            "linkedin 3 INVALID_ARGUMENT",
            "meta 3 100",
            "pinterest 3 event_failed",
            "reddit 3 invalid_event",
            "snapchat 3 INVALID",
            "tiktok 3 40002",
            "webhook 3 refused_by_receiver",
        ]
    );
    for platform in platforms() {
        let delivered = format!(
            "select count(*) from capi.delivery where destination = '{platform}' and status = 'delivered'"
        );
        // GA4 says nothing: the event is gone, and only the stand-in knows.
        let silent = i64::from(platform == "ga4");
        assert_eq!(everywhere.shop.count(&delivered).await, 4 + silent, "{platform}");
        assert_eq!(everywhere.count(platform, "unique_events"), 4, "{platform}");
        assert_eq!(everywhere.count(platform, "vanished"), silent, "{platform}");
        assert_eq!(everywhere.platform.summary()["platforms"][platform]["values"]["EUR"], "40.00");
    }
    no_secret_is_left(&everywhere, &[&sidecar]).await;
}

/// How many attempts of these outcomes a destination had, such as `each 2, split 2`.
async fn outcomes(everywhere: &Everywhere, destination: &str) -> String {
    everywhere
        .shop
        .get(&format!(
            "select string_agg(outcome || ' ' || n, ', ' order by outcome) from (
                select case kind when 'poll' then 'asked: ' else '' end || outcome as outcome, count(*) as n
                from capi.attempts where destination = '{destination}' group by 1
            ) o"
        ))
        .await
}

#[tokio::test]
async fn who_is_to_blame_is_taken_from_the_answer_or_found_in_halves() {
    let everywhere = Everywhere::on(&platforms()).await;
    everywhere.buy(4).await;
    for id in ["order-3", "3"] {
        everywhere.platform.fault(json!({"kind": "poison", "event_id": id})).await;
    }
    // Google often names nobody. What it has imported before it then knows by its transaction.
    everywhere.platform.fault(json!({"kind": "no_indices", "platform": "google_ads"})).await;
    let _sidecar = everywhere.sidecar(&everywhere.credentials(), &[]);
    everywhere.until_settled(60).await;
    for (platform, expected) in [
        // One request per event.
        ("ga4", "each 4"),
        // Each request is asked about twice, as the stand-in says first that it is not done.
        ("google_ads", "accepted 7, asked: accepted 7, asked: each 4, asked: split 3"),
        // The position in the answer; then the others.
        ("linkedin", "each 2"),
        ("reddit", "each 2"),
        ("webhook", "each 2"),
        // Each event has its own word.
        ("pinterest", "each 1"),
        // Four, two and two, of which one pair is good, and one and one.
        ("meta", "each 3, split 2"),
        ("snapchat", "each 3, split 2"),
        ("tiktok", "each 3, split 2"),
    ] {
        let seen = outcomes(&everywhere, platform).await;
        assert_eq!(seen, expected, "{platform}: {:?}", attempts(&everywhere, platform).await);
    }
    let refused = "select string_agg(key, ' ') from capi.delivery where status = 'refused'";
    assert_eq!(everywhere.shop.get(refused).await, "3 3 3 3 3 3 3 3");
    assert_eq!(everywhere.count("google_ads", "unique_events"), 3);
    let doubtful =
        "select string_agg(distinct destination, ' ') from capi.delivery where possible_duplicate";
    // Google had taken them. TikTok refuses within a 200, and does not say what of it was taken.
    assert_eq!(everywhere.shop.get(doubtful).await, "google_ads tiktok");
}

#[tokio::test]
async fn what_google_refuses_later_is_on_record_beside_what_it_took() {
    let everywhere = Everywhere::on(&["google_ads"]).await;
    everywhere.buy(3).await;
    everywhere.platform.fault(json!({"kind": "poison", "event_id": "2"})).await;
    let sidecar = everywhere.sidecar(&everywhere.credentials(), &[]);
    eventually("the events are accepted", 30, async || {
        let seen = everywhere.deliveries().await;
        if seen == ["google_ads accepted - 3"] { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    // Nothing is settled by "accepted", and the question waits for half an hour.
    assert_eq!(everywhere.shop.count("select count(*) from capi.receipt").await, 0);
    let wait = "select extract(epoch from due_at - accepted_at)::int from capi.batch";
    assert!((1_799..=1_801).contains(&everywhere.shop.count(wait).await));
    everywhere.until_settled(30).await;
    assert_eq!(
        everywhere.deliveries().await,
        ["google_ads delivered - 2", "google_ads refused INVALID_EVENT 1"]
    );
    assert_eq!(
        attempts(&everywhere, "google_ads").await,
        ["send accepted 200 -", "poll accepted 200 -", "poll each 200 INVALID_EVENT"]
    );
    // The request's id stands beside each event, and questions cost no try.
    let line = "select count(distinct request_id) || ' ' || max(attempts) from capi.delivery";
    assert_eq!(everywhere.shop.get(line).await, "1 1");
    let answer = "select answer ->> 'reasons' from capi.attempts where outcome = 'each'";
    assert_eq!(everywhere.shop.get(answer).await, r#"["INVALID_EVENT"]"#);
    no_secret_is_left(&everywhere, &[&sidecar]).await;
}

#[tokio::test]
async fn too_many_calls_wait_as_long_as_each_platform_says_and_cost_no_try() {
    let everywhere = Everywhere::on(&platforms()).await;
    // What each says, and the pause in seconds that it means. Meta counts minutes in a header of its
    // own; TikTok says it within a 200; LinkedIn never names a time.
    let said = [
        ("ga4", json!({"retry_after": 90}), "http_429", 90),
        ("google_ads", json!({"retry_after": 90}), "RESOURCE_EXHAUSTED", 90),
        ("linkedin", json!({}), "101", 60),
        (
            "meta",
            json!({"minutes": 7, "header": "business_use_case", "code": 80_004}),
            "80004",
            420,
        ),
        ("pinterest", json!({"retry_after": 90}), "8", 90),
        ("reddit", json!({"retry_after": 90}), "http_429", 90),
        ("snapchat", json!({"retry_after": 90}), "http_429", 90),
        ("tiktok", json!({}), "40100", 60),
        ("webhook", json!({"retry_after": 90}), "http_429", 90),
    ];
    for (platform, fault, ..) in &said {
        let mut fault = fault.clone();
        fault["kind"] = json!("throttle");
        fault["platform"] = json!(platform);
        fault["times"] = json!(1);
        everywhere.platform.fault(fault).await;
    }
    everywhere.buy(1).await;
    let first = everywhere.sidecar(&everywhere.credentials(), &[]);
    eventually("every platform was asked once", 30, async || {
        let sql =
            "select count(distinct destination) from capi.attempts where finished_at is not null";
        let seen = everywhere.shop.get(sql).await;
        if seen == "9" { Ok(()) } else { Err(seen) }
    })
    .await;
    for (platform, _, reason, pause) in said {
        let seen = attempts(&everywhere, platform).await;
        let status = if platform == "tiktok" { 200 } else { 429 };
        assert_eq!(seen, [format!("send wait {status} {reason}")], "{platform}");
        let waits = everywhere
            .shop
            .count(&format!(
                "select extract(epoch from max(d.next_attempt) - max(a.finished_at))::int
                from capi.delivery d, capi.attempts a
                where d.destination = '{platform}' and a.destination = '{platform}'"
            ))
            .await;
        // Up to a tenth longer, so that nobody comes back in step.
        assert!((pause - 1..=pause + pause / 10 + 1).contains(&waits), "{platform}: {waits}");
    }
    // A sidecar also keeps still by itself for as long: another one does not know of it.
    first.kill().await;
    everywhere.shop.run("update capi.batch set due_at = now()").await;
    let second = everywhere.sidecar(&everywhere.credentials(), &[]);
    everywhere.until_settled(60).await;
    let tries = "select format('%s %s', min(attempts), max(attempts)) from capi.delivery where status = 'delivered'";
    assert_eq!(everywhere.shop.get(tries).await, "1 1", "the one that delivered");
    assert_eq!(
        everywhere.deliveries().await,
        platforms().into_iter().map(|name| format!("{name} delivered - 1")).collect::<Vec<_>>()
    );
    no_secret_is_left(&everywhere, &[&second]).await;
}

#[tokio::test]
async fn a_credential_that_does_not_open_stops_its_destination_with_one_alert_and_loses_nothing() {
    let everywhere = Everywhere::on(&platforms()).await;
    let receiver = Receiver::start().await;
    let alerting = [
        ("CAPI_LOOK_EVERY", "1"),
        ("CAPI_ALERT_WEBHOOK", "ALERT_URL"),
        ("CAPI_ALERT_FORMAT", "json"),
        ("ALERT_URL", receiver.url()),
    ];
    everywhere.buy(2).await;
    let first = everywhere.sidecar(&everywhere.wrong_credentials(), &alerting);
    // GA4 checks nothing that it would tell of.
    let stopped = [
        ("google_ads", "token_refused"),
        ("linkedin", "token_refused"),
        ("meta", "190"),
        ("pinterest", "2"),
        ("reddit", "http_401"),
        ("snapchat", "http_401"),
        ("tiktok", "40105"),
        ("webhook", "http_401"),
    ];
    for (platform, reason) in stopped {
        receiver.until_told(&format!("raised blocked {platform} {reason}")).await;
    }
    let states = "select format('%s %s', name, coalesce(pause_reason, '-')) from capi.destination
        where state = 'blocked' order by 1";
    assert_eq!(
        everywhere.shop.column(states).await,
        stopped.map(|(platform, reason)| format!("{platform} {reason}"))
    );
    // More orders come: they wait, and nobody is told a second time.
    everywhere.buy(1).await;
    eventually("GA4 goes on", 30, async || {
        let sql =
            "select count(*) from capi.delivery where destination = 'ga4' and status = 'delivered'";
        let seen = everywhere.shop.get(sql).await;
        if seen == "3" { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(everywhere.count("ga4", "vanished"), 3);
    for (platform, reason) in stopped {
        let open = format!(
            "select count(*) from capi.delivery where destination = '{platform}' and status in ('pending', 'retrying')"
        );
        assert_eq!(everywhere.shop.count(&open).await, 3, "{platform}");
        let seen = attempts(&everywhere, platform).await;
        let status = match (platform, reason) {
            (_, "token_refused") => "-",
            ("tiktok", _) => "200",
            _ => "401",
        };
        assert_eq!(seen, [format!("send blocked {status} {reason}")], "{platform}");
        assert_eq!(everywhere.count(platform, "events_accepted"), 0, "{platform}");
    }
    assert_eq!(receiver.told().len(), stopped.len(), "{:?}", receiver.told());

    // Whoever starts it with other credentials need not say more.
    first.kill().await;
    let second = everywhere.sidecar(&everywhere.credentials(), &alerting);
    everywhere.until_settled(90).await;
    for (platform, reason) in stopped {
        receiver.until_told(&format!("recovered blocked {platform} {reason}")).await;
        assert_eq!(everywhere.count(platform, "unique_events"), 3, "{platform}");
    }
    assert_eq!(receiver.told().len(), 2 * stopped.len(), "{:?}", receiver.told());
    no_secret_is_left(&everywhere, &[&second]).await;
    assert!(!second.log().contains(SECRET_PATH));
}

#[tokio::test]
async fn a_revoked_refresh_token_stops_the_destination_until_its_file_holds_another_credential() {
    let everywhere = Everywhere::on(&with_tokens()).await;
    let folder = everywhere.shop.cluster().folder().join(everywhere.shop.name());
    fs::create_dir(&folder).expect("a folder for credentials");
    for (name, credential) in everywhere.credentials() {
        fs::write(folder.join(name), credential).expect("a file");
    }
    let place = folder.to_str().expect("a path in UTF-8");
    let sidecar =
        everywhere.sidecar(&[], &[("CAPI_CREDENTIALS_DIR", place), ("CAPI_LOOK_EVERY", "1")]);
    everywhere.buy(1).await;
    everywhere.until_settled(30).await;
    assert_eq!(
        everywhere.deliveries().await,
        ["google_ads delivered - 1", "linkedin delivered - 1"]
    );

    // Somebody revokes the access: the token of this hour is not taken any more, nor is another given.
    for platform in ["google_ads", "google_oauth", "linkedin", "linkedin_oauth"] {
        everywhere.platform.fault(json!({"kind": "expired_token", "platform": platform})).await;
    }
    everywhere.buy(2).await;
    let blocked = "select coalesce(string_agg(name || ' ' || pause_reason, ', ' order by name), '') from capi.destination
        where state = 'blocked'";
    eventually("both are blocked", 30, async || {
        let seen = everywhere.shop.get(blocked).await;
        match seen == "google_ads token_refused, linkedin token_refused" {
            true => Ok(()),
            false => Err(seen),
        }
    })
    .await;
    for platform in with_tokens() {
        let blocks = attempts(&everywhere, platform).await;
        let blocks = blocks.iter().filter(|attempt| attempt.contains("blocked"));
        assert_eq!(blocks.collect::<Vec<_>>(), ["send blocked - token_refused"], "{platform}");
    }
    let alerts = "select coalesce(string_agg(subject, ' ' order by subject), '') from capi.alerts
        where kind = 'blocked' and cleared_at is null";
    eventually("there is an alert of each", 30, async || {
        let seen = everywhere.shop.get(alerts).await;
        if seen == "google_ads linkedin" { Ok(()) } else { Err(seen) }
    })
    .await;

    // Access is given again, under another client: what waits goes once the file says so.
    everywhere.buy(3).await;
    everywhere.platform.heal().await;
    assert_eq!(
        everywhere.shop.get(blocked).await,
        "google_ads token_refused, linkedin token_refused"
    );
    for (name, credential) in everywhere.credentials() {
        let renewed = credential.replace(r#""shop""#, r#""shop-2""#);
        assert_ne!(renewed, credential);
        fs::write(folder.join(name), renewed).expect("a file");
    }
    everywhere.until_settled(60).await;
    assert_eq!(
        everywhere.deliveries().await,
        ["google_ads delivered - 6", "linkedin delivered - 6"]
    );
    for platform in with_tokens() {
        assert_eq!(everywhere.count(platform, "unique_events"), 6);
        assert_eq!(everywhere.count(platform, "duplicates"), 0);
    }
    eventually("the alerts are over", 30, async || {
        let seen = everywhere.shop.get(alerts).await;
        if seen.is_empty() { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(
        everywhere.shop.get("select count(*) from capi.alerts where kind = 'blocked'").await,
        "2",
        "one each"
    );
    no_secret_is_left(&everywhere, &[&sidecar]).await;
}

//! What every platform keeps to.

use super::*;
use crate::event::{ActionSource, Facts};
use crate::hash::Digest;
use crate::money::{Amount, Currency};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Settings that every platform's `build` takes; a new platform adds its line.
fn settings(platform: &str) -> Value {
    match platform {
        "meta" => json!({"pixel_id": "1234567890"}),
        "tiktok" => json!({"event_source_id": "C4ABCDEF"}),
        "ga4" => json!({"measurement_id": "G-ABC123"}),
        "google_ads" => json!({"customer_id": "1234567890", "events": {"Purchase": "987654321",
            "Lead": "987654322", "AddToCart": "987654323", "InitiateCheckout": "987654324", "ViewContent": "987654325",
            "CompleteRegistration": "987654326"}}),
        "pinterest" => json!({"ad_account_id": "549755885175"}),
        "snapchat" => json!({"pixel_id": "a1b2c3d4-1111-4222-8333-444455556666"}),
        "reddit" => json!({"pixel_id": "a2_example"}),
        "linkedin" => json!({"events": {"Purchase": "urn:lla:llaPartnerConversion:104012",
            "Lead": "104013", "AddToCart": "104014", "InitiateCheckout": "104015", "ViewContent": "104016",
            "CompleteRegistration": "104017", "StartTrial": "104018"}}),
        "webhook" => json!({"endpoint": "https://events.example.com/in"}),
        _ => panic!("{platform} has no sample settings"),
    }
}

fn all() -> Vec<Box<dyn Destination>> {
    platforms()
        .into_iter()
        .map(|name| build(name, &settings(name)).expect("sample settings are settings"))
        .collect()
}

pub(super) fn events(count: i64) -> Vec<Event> {
    (1..=count)
        .map(|id| Event {
            id,
            event_name: "Purchase".into(),
            event_id: format!("order-{id}"),
            event_time: Timestamp(1_790_000_000_000_000),
            action_source: ActionSource::Website,
            value: Some(Amount::parse("12.50").expect("an amount")),
            currency: Some(Currency::parse("EUR").expect("a currency")),
            identity: BTreeMap::from([("email".into(), vec![Digest::of("x")])]).into(),
            facts: Facts(
                json!({"event_source_url": "https://shop.example.com/thanks",
                       "client_user_agent": "Mozilla/5.0"})
                .as_object()
                .expect("an object")
                .clone()
                .into(),
            ),
        })
        .collect()
}

fn answer(status: u16, body: &[u8]) -> Response {
    Response { status, headers: Vec::new(), body: body.to_vec() }
}

#[test]
fn names_are_unique_and_every_platform_has_its_page() {
    let names: BTreeSet<_> = platforms().into_iter().collect();
    assert_eq!(names.len(), platforms().len());
    for destination in all() {
        let spec = destination.spec();
        assert!(names.contains(spec.platform), "{}", spec.platform);
        assert!(spec.batch_limit > 0);
        assert!(spec.documentation.starts_with("https://"));
    }
}

/// The carve asks for the age of older events only.
#[test]
fn no_platform_finds_an_event_of_the_last_day_too_old() {
    let day = Duration::from_secs(24 * 60 * 60);
    let names = meta::STANDARD_EVENTS.iter().copied().chain(["Refund", "OrderPacked"]);
    for (platform, name) in platforms().into_iter().flat_map(|p| names.clone().map(move |n| (p, n)))
    {
        for action_source in ActionSource::ALL {
            let bare = Event {
                event_name: name.into(),
                action_source,
                facts: Facts::default(),
                ..events(1).remove(0)
            };
            assert!(max_age_of(platform, &bare).expect("a platform") >= day, "{platform} {name}");
        }
    }
}

#[test]
fn an_unknown_platform_is_refused_with_the_known_ones() {
    let error = build("myspace", &json!({})).err().expect("no such platform").to_string();
    assert!(error.contains("meta") && !error.contains("myspace"), "{error}");
}

#[test]
fn a_plan_holds_every_event_exactly_once() {
    for destination in all() {
        let limit = destination.spec().batch_limit;
        let mut events = events(i64::try_from(limit).expect("a limit") + 3);
        events[1].event_name = "Purchase".into();
        events[1].value = None;
        let plan = destination.plan(&events);
        let mut seen: Vec<usize> = plan.unfit.iter().map(|(index, _)| *index).collect();
        for request in &plan.requests {
            assert!(request.events.len() <= limit && !request.events.is_empty());
            seen.extend(&request.events);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..events.len()).collect::<Vec<_>>());
    }
}

#[test]
fn every_answer_gets_a_verdict_that_accounts_for_each_event() {
    for destination in all() {
        for count in [1, 2, 7] {
            let events = events(count);
            for status in [200, 204, 302, 400, 401, 403, 404, 413, 429, 500, 503] {
                for body in
                    [&b""[..], b"{}", b"null", b"[1]", b"<html>", b"\xff\xfe{", b"{\"error\":7}"]
                {
                    let verdict = destination.verdict(&events, &answer(status, body));
                    match verdict.decision {
                        Decision::Each(outcomes) => assert_eq!(outcomes.len(), events.len()),
                        Decision::Retry { .. }
                        | Decision::Wait { .. }
                        | Decision::Split { .. }
                        | Decision::Blocked { .. }
                        | Decision::Accepted { .. } => {}
                    }
                }
            }
        }
    }
}

#[test]
fn another_credential_lifts_every_block_that_is_about_it() {
    let bodies = [
        "",
        "<html>",
        "{}",
        r#"{"code": 3}"#,
        r#"{"error": {"code": 190}}"#,
        r#"{"code": "NEW_WORD", "serviceErrorCode": 7}"#,
        r#"{"error": {"code": 401, "details": [{"reason": "NEW_WORD"}]}}"#,
        r#"{"error": {"code": 403, "status": "PERMISSION_DENIED", "details": [{"reason": "SERVICE_DISABLED"}]}}"#,
    ];
    for destination in all() {
        let platform = destination.spec().platform;
        let mut blocks = 0;
        for status in [401, 403] {
            for body in bodies {
                let verdict = destination.verdict(&events(1), &answer(status, body.as_bytes()));
                if let Decision::Blocked { reason } = verdict.decision {
                    assert!(destination.is_about_credential(&reason.0), "{platform}: {reason}");
                    assert!(explain(platform, &reason.0).is_some(), "{platform}: {reason}");
                    blocks += 1;
                }
            }
        }
        assert!(blocks > 0, "{platform}");
        for reason in CREDENTIAL_REASONS {
            assert!(destination.is_about_credential(reason), "{platform}: {reason}");
        }
        for reason in ["http_404", "http_426", "NOT_FOUND", "request_not_built", "tls_required", ""]
        {
            assert!(!destination.is_about_credential(reason), "{platform}: {reason}");
        }
    }
    let tiktok = build("tiktok", &settings("tiktok")).expect("settings");
    for code in ["40001", "40104", "40105"] {
        assert!(tiktok.is_about_credential(code), "{code}");
    }
}

#[test]
fn no_platform_is_asked_more_often_than_it_says() {
    let rates: Vec<_> =
        all().iter().filter_map(|d| Some((d.spec().platform, d.requests_per_minute()?))).collect();
    assert_eq!(
        rates,
        [
            ("google_ads", 300),
            ("pinterest", 5_000),
            ("snapchat", 60_000),
            ("reddit", 60_000),
            ("linkedin", 600),
        ]
    );
}

#[test]
fn no_event_is_settled_by_an_answer_that_nobody_can_read() {
    for destination in all() {
        for status in [301, 401, 403, 404, 408, 429, 500, 502] {
            let verdict = destination.verdict(&events(1), &answer(status, b"<html>"));
            assert!(
                !matches!(verdict.decision, Decision::Each(_) | Decision::Split { .. }),
                "{} {status}",
                destination.spec().platform
            );
        }
    }
}

#[test]
fn an_event_on_the_edge_of_its_age_is_still_sent() {
    for destination in all() {
        let event = &events(1)[0];
        let age = i64::try_from(destination.max_age(event).as_micros()).expect("an age");
        let edge = Timestamp(event.event_time.0 + age);
        assert!(!expired(&*destination, event, edge));
        assert!(expired(&*destination, event, Timestamp(edge.0 + 1)));
    }
}

#[test]
fn debug_of_an_answer_shows_no_body() {
    let shown = format!("{:?}", answer(400, b"jane@example.com"));
    assert!(!shown.contains("jane"), "{shown}");
}

#[test]
fn retry_after_is_read_in_seconds() {
    let mut answer = answer(429, b"");
    assert_eq!(answer.retry_after(), None);
    answer.headers.push(("retry-after".into(), " 17 ".into()));
    assert_eq!(answer.retry_after(), Some(Duration::from_secs(17)));
    answer.headers[0].1 = "Wed, 21 Oct 2026 07:28:00 GMT".into();
    assert_eq!(answer.retry_after(), None);
}

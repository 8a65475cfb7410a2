//! What every platform keeps to.

use super::*;
use crate::destination::reason::CREDENTIAL_REASONS;
use crate::destination::{Decision, Reason, Response, expired};
use crate::event::{ActionSource, Facts};
use crate::hash::Digest;
use crate::money::{Amount, Currency};
use crate::time::Timestamp;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Settings that every platform's `build` takes.
fn settings(platform: &str) -> Value {
    sample(platform).unwrap_or_else(|| panic!("{platform} has no sample settings"))
}

fn all() -> Vec<Box<dyn Destination>> {
    platforms()
        .into_iter()
        .map(|name| build(name, &settings(name)).expect("sample settings are settings"))
        .collect()
}

pub(crate) fn events(count: i64) -> Vec<Event> {
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

/// Capture takes any whole number.
#[test]
fn a_place_of_limited_use_may_be_any_number() {
    for destination in all() {
        for place in [i64::MIN, -1, 0, 999, 1_000, 1_013, i64::MAX] {
            let mut event = events(1).remove(0);
            for (field, value) in [
                ("data_processing_options", json!(["LDU"])),
                ("data_processing_options_country", json!(place)),
                ("data_processing_options_state", json!(place)),
            ] {
                event.facts.0.insert(field.into(), value);
            }
            let plan = destination.plan(&[event]);
            let platform = destination.spec().platform;
            assert_eq!(plan.requests.len() + plan.unfit.len(), 1, "{platform}: {place}");
        }
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
                        | Decision::Unclear { .. }
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

/// The form of each platform's errors, with codes that none has.
const NEW_WORDS: &[&str] = &[
    r#"{"error": {"code": 5, "error_subcode": 12}}"#,
    r#"{"error": {"code": 987654, "error_data": {"blame_field_specs": [["data", 0, "event_name"]]}}}"#,
    r#"{"code": 987654, "message": "new"}"#,
    r#"{"code": 41000, "message": "new"}"#,
    r#"{"code": "NEW_WORD", "serviceErrorCode": 987654, "status": 412}"#,
    r#"{"error": {"code": 412, "status": "NEW_WORD", "details": [{"reason": "NEW_WORD"}]}}"#,
    r#"{"status": "INVALID", "errors": {"codes": ["NEW_WORD"]}}"#,
    r#"{"error": {"code": 987654, "fields": [{"field": "data.events[0].x"}]}}"#,
    r#"{"refused": [0]}"#,
];

#[test]
fn what_is_not_known_is_no_verdict_about_an_event() {
    for destination in all() {
        let platform = destination.spec().platform;
        for status in [402, 404, 405, 406, 409, 410, 412, 415, 418, 423, 425, 428, 451] {
            for body in NEW_WORDS {
                for sent in [1, 5] {
                    let verdict =
                        destination.verdict(&events(sent), &answer(status, body.as_bytes()));
                    assert!(
                        matches!(
                            verdict.decision,
                            Decision::Unclear { .. }
                                | Decision::Retry { .. }
                                | Decision::Blocked { .. }
                        ),
                        "{platform} {status} {body}: {:?}",
                        verdict.decision
                    );
                }
            }
        }
    }
}

#[test]
fn a_code_that_is_not_known_is_said_to_be_so_by_each_platform_that_has_codes() {
    for (platform, status, body, reason) in [
        ("meta", 412, NEW_WORDS[0], "5/12"),
        ("tiktok", 200, NEW_WORDS[3], "41000"),
        ("pinterest", 409, NEW_WORDS[2], "987654"),
        ("snapchat", 409, NEW_WORDS[6], "NEW_WORD"),
        ("linkedin", 412, NEW_WORDS[4], "987654"),
        ("google_ads", 412, NEW_WORDS[5], "NEW_WORD"),
        ("reddit", 412, NEW_WORDS[7], "http_412"),
    ] {
        let destination = build(platform, &settings(platform)).expect("settings");
        let verdict = destination.verdict(&events(5), &answer(status, body.as_bytes()));
        let reason = Reason::new(reason);
        assert_eq!(verdict.decision, Decision::Unclear { reason }, "{platform}");
    }
}

/// An answer to another request, which a connection or a proxy has mixed up.
#[test]
fn a_count_that_cannot_be_this_requests_is_an_unknown_answer() {
    for (platform, body) in [
        ("meta", r#"{"events_received": 34}"#),
        ("pinterest", r#"{"num_events_received": 34, "events": [{"status": "processed"}]}"#),
        ("pinterest", r#"{"events": [{"status": "processed"}, {"status": "processed"}]}"#),
        ("linkedin", r#"{"elements": [{"status": 201}, {"status": 201}]}"#),
    ] {
        let destination = build(platform, &settings(platform)).expect("settings");
        let verdict = destination.verdict(&events(1), &answer(200, body.as_bytes()));
        assert!(
            matches!(verdict.decision, Decision::Retry { .. }),
            "{platform} {body}: {:?}",
            verdict.decision
        );
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

#[test]
fn the_readme_lists_every_platform() {
    let page = include_str!("../../../README.md");
    for name in platforms() {
        let (title, tag) = (title(name).expect("a title"), has_tag(name));
        let page_half = if tag { "| yes | yes |" } else { "| yes | |" };
        let row = format!("| `{name}` {title} {page_half}");
        assert!(page.contains(&row), "README.md lacks the row {row}");
    }
}

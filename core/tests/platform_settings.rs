//! Settings that are none, and the requests of test modes, of every platform but Meta.

use capi_core::destination::{self, CredentialSlot, Decision, Request, Response};
use capi_core::event::{ActionSource, Event, Facts};
use capi_core::hash::Digest;
use capi_core::money::{Amount, Currency};
use capi_core::platform;
use capi_core::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SECRET: &str = "s3cret/Token";

/// Settings that are refused, with the key that is to blame.
fn wrong(platform: &str) -> Vec<(Value, &'static str)> {
    match platform {
        "webhook" => vec![
            (json!({}), "endpoint"),
            (json!({"endpoint": "http://example.com/in"}), "endpoint"),
            (json!({"endpoint": "https://example.com/in?token=s3cret/Token"}), "endpoint"),
            (json!({"endpoint": "https://example.com", "batch": 1001}), "batch"),
            (json!({"endpoint": "https://example.com", "batch": SECRET}), "batch"),
        ],
        "tiktok" => vec![
            (json!({}), "event_source_id"),
            (json!({"event_source_id": SECRET}), "event_source_id"),
            (json!({"event_source_id": "C4", "event_source": "app"}), "event_source"),
            (json!({"event_source_id": "C4", "test_event_code": SECRET}), "test_event_code"),
        ],
        "ga4" => vec![
            (json!({}), "measurement_id"),
            (json!({"measurement_id": "UA-1"}), "measurement_id"),
            (json!({"measurement_id": "G-1&api_secret=s3cret/Token"}), "measurement_id"),
            (json!({"measurement_id": "G-1", "ad_user_data": "denied"}), "ad_user_data"),
            (json!({"measurement_id": "G-1", "ad_personalization": SECRET}), "ad_personalization"),
        ],
        "google_ads" => vec![
            (json!({"events": {"Purchase": "1"}}), "customer_id"),
            (json!({"customer_id": "1"}), "events"),
            (json!({"customer_id": "123-456-7890", "events": {}}), "customer_id"),
            (json!({"customer_id": "1", "events": {"Purchase": SECRET}}), "events"),
            (json!({"customer_id": "1", "events": {"Purchase": 7}}), "events"),
            (
                json!({"customer_id": "1", "events": {}, "login_customer_id": SECRET}),
                "login_customer_id",
            ),
        ],
        "pinterest" => {
            vec![(json!({}), "ad_account_id"), (json!({"ad_account_id": SECRET}), "ad_account_id")]
        }
        "snapchat" | "reddit" => vec![
            (json!({}), "pixel_id"),
            (json!({"pixel_id": "../x"}), "pixel_id"),
            (json!({"pixel_id": 7}), "pixel_id"),
        ],
        "linkedin" => vec![
            (json!({}), "events"),
            (json!({"events": {"Purchase": "urn:li:person:s3cret/Token"}}), "events"),
            (json!({"events": {}, "api_version": "2026-03"}), "api_version"),
            (json!({"events": {}, "api_version": "202613"}), "api_version"),
        ],
        _ => panic!("{platform} has no wrong settings"),
    }
}

fn right(platform: &str) -> Value {
    platform::sample(platform).unwrap_or_else(|| panic!("{platform} has no sample settings"))
}

fn purchase() -> Event {
    Event {
        id: 1,
        event_name: "Purchase".into(),
        event_id: "order-1".into(),
        event_time: Timestamp(1_790_000_000_000_000),
        action_source: ActionSource::Website,
        value: Amount::parse("12.50").ok(),
        currency: Currency::parse("EUR").ok(),
        identity: BTreeMap::from([("email".into(), vec![Digest::of("x")])]).into(),
        facts: Facts(
            json!({"event_source_url": "https://shop.example.com/thanks", "ga_client_id": "1.2"})
                .as_object()
                .expect("an object")
                .clone()
                .into(),
        ),
    }
}

#[test]
fn settings_that_are_none_are_refused_by_key_and_rule() {
    for platform in platform::platforms().into_iter().filter(|platform| *platform != "meta") {
        let mut all = wrong(platform);
        for (key, value) in [("s3cret/token", json!(1)), ("acces_token", json!(SECRET))] {
            let mut settings = right(platform);
            settings[key] = value;
            all.push((settings, if key == "acces_token" { "acces_token" } else { "settings" }));
        }
        if platform != "webhook" {
            let mut settings = right(platform);
            settings["endpoint"] = "http://example.com".into();
            all.push((settings, "endpoint"));
        }
        all.push((json!([]), "settings"));
        for (settings, key) in all {
            let error = platform::build(platform, &settings).err();
            let error = error.unwrap_or_else(|| panic!("{platform} {settings}")).to_string();
            assert!(error.starts_with(&format!("setting {key}: ")), "{platform}: {error}");
            assert!(!error.contains("s3cret"), "{platform}: {error}");
        }
        let mut local = right(platform);
        local["endpoint"] = "http://127.0.0.1:8080/x".into();
        let built = platform::build(platform, &local).expect("loopback is an endpoint");
        let request = built.plan(&[purchase()]).requests.remove(0);
        assert!(request.url.starts_with("http://127.0.0.1:8080/x"), "{}", request.url);
    }
}

fn test_request(platform: &str, code: Option<&str>) -> Option<Request> {
    let built = platform::build(platform, &right(platform)).expect("settings");
    built.test_request(&[purchase()], code)
}

#[test]
fn a_test_request_is_the_real_one_in_the_platforms_test_mode() {
    for (platform, path, expected) in [
        ("meta", "/test_event_code", json!("TEST1")),
        ("tiktok", "/test_event_code", json!("TEST1")),
        ("google_ads", "/validateOnly", json!(true)),
        ("ga4", "/validation_behavior", json!("ENFORCE_RECOMMENDATIONS")),
        ("reddit", "/data/test_id", json!("TEST1")),
        ("webhook", "/test", json!("TEST1")),
    ] {
        let mut request = test_request(platform, Some("TEST1")).expect(platform);
        assert_eq!(request.body.pointer(path), Some(&expected), "{platform}");
        let (at, key) = path.rsplit_once('/').expect("a path");
        let object = request.body.pointer_mut(at).expect(platform);
        object.as_object_mut().expect("an object").remove(key);
        let built = platform::build(platform, &right(platform)).expect("settings");
        let real = built.plan(&[purchase()]).requests.remove(0);
        assert_eq!(request.body, real.body, "{platform}");
        assert_eq!(request.events, [0]);
    }
    let url = |platform| test_request(platform, None).expect(platform).url;
    assert!(url("ga4").ends_with("/debug/mp/collect?measurement_id=G-ABC123"));
    assert!(url("pinterest").ends_with("/events?test=true"));
    assert!(url("snapchat").ends_with("/a1b2c3d4-1111-4222-8333-444455556666/events/validate"));
    // Without a code the event would count; LinkedIn has no test mode.
    for platform in ["meta", "tiktok", "reddit"] {
        assert_eq!(test_request(platform, None), None, "{platform}");
    }
    assert_eq!(test_request("reddit", Some("no code")), None);
    assert_eq!(test_request("linkedin", Some("TEST1")), None);
}

#[test]
fn an_event_that_is_not_fit_is_no_test() {
    for platform in platform::platforms() {
        let built = platform::build(platform, &right(platform)).expect("settings");
        let mut event = purchase();
        event.event_id.clear();
        assert_eq!(built.test_request(&[event.clone()], Some("TEST1")), None, "{platform}");
        if let Some(request) = built.test_request(&[event, purchase()], Some("TEST1")) {
            assert_eq!(request.events, [1], "{platform}");
        }
    }
}

#[test]
fn only_analytics_may_count_a_copy_twice_of_what_happens_on_the_web() {
    for platform in platform::platforms() {
        let built = platform::build(platform, &right(platform)).expect("settings");
        assert!(built.drops_duplicates(&purchase()), "{platform}");
        let lead = Event { event_name: "Lead".into(), ..purchase() };
        assert_eq!(built.drops_duplicates(&lead), platform != "ga4", "{platform}");
    }
    let pinterest = platform::build("pinterest", &right("pinterest")).expect("settings");
    let sold = Event { action_source: ActionSource::PhysicalStore, ..purchase() };
    assert!(!pinterest.drops_duplicates(&sold), "Pinterest drops no duplicates of events offline");
}

#[test]
fn no_request_has_a_place_for_a_credential_but_its_slot() {
    for platform in platform::platforms() {
        let built = platform::build(platform, &right(platform)).expect("settings");
        let request = built.plan(&[purchase()]).requests.remove(0);
        let name = match built.spec().credential {
            CredentialSlot::Header(name) | CredentialSlot::Query(name) => name,
            _ => "authorization",
        };
        assert!(!request.url.contains(&format!("{name}=")), "{platform}");
        assert!(request.headers.iter().all(|(header, _)| *header != name), "{platform}");
    }
}

#[test]
fn linkedin_warns_before_its_version_ends() {
    let of = |settings: Value, now: &str| {
        let built = platform::build("linkedin", &settings).expect("settings");
        let now = Timestamp::parse(now).expect("a time");
        built.api_version().and_then(|version| version.trouble(now)).map(|t| t.has_ended)
    };
    let plain = json!({"events": {}});
    assert_eq!(of(plain.clone(), "2026-11-24T00:00:00Z"), None);
    assert_eq!(of(plain.clone(), "2027-01-01T00:00:00Z"), Some(false));
    assert_eq!(of(plain, "2027-03-02T00:00:00Z"), Some(true));
    let newer = json!({"events": {}, "api_version": "202611"});
    assert_eq!(of(newer, "2026-11-24T00:00:00Z"), Some(false));
}

#[test]
fn google_is_asked_with_its_ticket_and_asked_again() {
    let built = platform::build("google_ads", &right("google_ads")).expect("settings");
    let ticket = destination::Ticket("a/b+c=".into());
    let request = built.status_request(&ticket).expect("a question");
    assert_eq!(
        request.url,
        "https://datamanager.googleapis.com/v1/requestStatus:retrieve?requestId=a%2Fb%2Bc%3D"
    );
    let body = json!({"requestStatusPerDestination": [{"requestStatus": "PROCESSING"}]});
    let answer = Response { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() };
    match built.status_verdict(&ticket, &[purchase()], &answer).decision {
        Decision::Accepted { ticket: again, .. } => assert_eq!(again, ticket),
        other => panic!("{other:?}"),
    }
}

#[test]
fn google_gets_a_request_per_conversion_action_in_the_order_of_events() {
    let settings = json!({"customer_id": "1", "events": {"Purchase": "30", "Lead": "20"}});
    let built = platform::build("google_ads", &settings).expect("settings");
    let named = |name: &str| Event { event_name: name.into(), ..purchase() };
    let events = [named("Purchase"), named("Lead"), named("Purchase"), named("PageView")];
    let plan = built.plan(&events);
    let parts: Vec<_> = plan
        .requests
        .iter()
        .map(|r| (&r.body["destinations"][0]["productDestinationId"], r.events.clone()))
        .collect();
    assert_eq!(parts, [(&json!("30"), vec![0, 2]), (&json!("20"), vec![1])]);
    let why = destination::Unfit::Unrouted(destination::Reason::new("no_event_mapping"));
    assert_eq!(plan.unfit, [(3, why)]);
}

#[test]
fn a_server_error_of_analytics_is_no_verdict_and_what_counts_twice_is_known() {
    let built = platform::build("ga4", &right("ga4")).expect("settings");
    let answer = Response { status: 502, headers: Vec::new(), body: Vec::new() };
    let lead = Event { event_name: "Lead".into(), ..purchase() };
    // Who sends does not send again what the platform would count a second time.
    assert!(!built.drops_duplicates(&lead) && built.drops_duplicates(&purchase()));
    let decision = built.verdict(&[lead], &answer).decision;
    assert!(matches!(decision, Decision::Retry { .. }), "{decision:?}");
}

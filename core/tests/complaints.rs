//! What users of other senders complain of, one test each. The numbers are those of the project's
//! list of complaints.

use capi_core::capture::{Captured, Fault, NewEvent, Options, Row, capture};
use capi_core::destination::{Decision, Destination, Listing, Outcome, Response, Unfit, expired};
use capi_core::event::Event;
use capi_core::hash::Digest;
use capi_core::platform::{self, explain};
use capi_core::time::Timestamp;
use serde_json::{Value, json};

const DAY: i64 = 86_400_000_000;

fn now() -> Timestamp {
    Timestamp::parse("2026-09-22T12:00:00Z").expect("a time")
}

/// A sound purchase with some columns changed.
fn row(changes: &Value) -> Row {
    let mut row = json!({
        "event_name": "Purchase", "event_id": "order-1", "event_time": "2026-09-22T11:00:00Z",
        "action_source": "website", "event_source_url": "https://shop.example.com/thanks",
        "value": "12.50", "currency": "EUR", "email": "jane@example.com", "consent": true,
    });
    let changes = changes.as_object().expect("an object");
    row.as_object_mut().expect("an object").extend(changes.clone());
    Row::from_object(row.as_object().expect("an object").clone())
}

fn captured_with(changes: &Value, options: &Options) -> NewEvent {
    match capture(row(changes), options, now()) {
        Captured::Event(new) => *new,
        other => panic!("an event was expected: {other:?}"),
    }
}

fn captured(changes: &Value) -> NewEvent {
    captured_with(changes, &Options::default())
}

fn event(changes: &Value) -> Event {
    captured(changes).event
}

fn fault(changes: &Value) -> Option<Fault> {
    match capture(row(changes), &Options::default(), now()) {
        Captured::Fault(fault) => Some(fault),
        _ => None,
    }
}

fn meta(settings: &Value) -> Box<dyn Destination> {
    let mut all = json!({"pixel_id": "1234567890"});
    let settings = settings.as_object().expect("an object");
    all.as_object_mut().expect("an object").extend(settings.clone());
    platform::build("meta", &all).expect("settings")
}

fn sent(event: &Event) -> Value {
    let mut plan = meta(&json!({})).plan(std::slice::from_ref(event));
    plan.requests.pop().expect("a request").body["data"][0].clone()
}

fn refusal(settings: &Value, event: &Event) -> Option<String> {
    match meta(settings).unfit(event)? {
        Unfit::Refused(reason) | Unfit::Unrouted(reason) => Some(reason.0),
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Response {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Response { status, headers, body: body.to_string().into_bytes() }
}

#[test]
fn complaint_4_a_click_id_goes_out_byte_for_byte() {
    for fbc in [
        "fb.1.1789900000123.IwAR2-AbC_dEfGhIjKlMnOpQrStUvWxYz0123456789",
        "fb.1.1789900000123.IwAR2-AbC_dEf.AQ",
        "fb.2.1789900000123.PAZXh0bgNhZW0BMABhZGlkAaseXc.AQQCAQIB",
    ] {
        assert_eq!(sent(&event(&json!({"fbc": fbc})))["user_data"]["fbc"], fbc);
        assert_eq!(sent(&event(&json!({"browser": {"_fbc": fbc}})))["user_data"]["fbc"], fbc);
        // Never wrapped again.
        let again = json!({"fbclid": fbc, "fbclid_at": "2026-09-22T10:00:00Z"});
        assert_eq!(sent(&event(&again))["user_data"]["fbc"], fbc);
    }
    let built = event(&json!({"fbclid": "IwAR2-AbC_dEf", "fbclid_at": "2026-09-20T08:00:00.123Z"}));
    let millis = Timestamp::parse("2026-09-20T08:00:00.123Z").expect("a time").0 / 1_000;
    let expected = format!("fb.1.{millis}.IwAR2-AbC_dEf");
    assert_eq!(sent(&built)["user_data"]["fbc"], expected, "the click's time, in milliseconds");
    for (broken, reason) in [
        ("fb.1.1789900000.IwAR2-AbC", "malformed"),
        ("fb.1.1789900000123", "malformed"),
        ("fb.1.1789900000123.fb.1.1789900000123.IwAR2", "malformed"),
        ("fb.1.1700000000123.IwAR2-AbC", "expired"),
        ("fb.1.1799900000123.IwAR2-AbC", "later_than_event"),
    ] {
        let new = captured(&json!({"fbc": broken}));
        assert_eq!(new.dropped.get("fbc").map(String::as_str), Some(reason), "{broken}");
        assert!(sent(&new.event)["user_data"].get("fbc").is_none());
    }
}

#[test]
fn complaint_5_the_time_of_an_event_is_that_of_the_order_and_its_age_is_judged_before_sending() {
    let order = Timestamp::parse("2026-09-22T11:00:00Z").expect("a time");
    let queued = event(&json!({}));
    assert_eq!(sent(&queued)["event_time"], order.seconds(), "whole seconds, however long queued");
    let meta = meta(&json!({}));
    let later = |days: i64, micros: i64| Timestamp(order.0 + days * DAY + micros);
    assert!(!expired(meta.as_ref(), &queued, later(7, 0)));
    assert!(expired(meta.as_ref(), &queued, later(7, 1)));
    let store = event(&json!({"action_source": "physical_store"}));
    assert!(!expired(meta.as_ref(), &store, later(62, 0)));
    assert!(expired(meta.as_ref(), &store, later(62, 1)));
    // A clock that is a little fast is taken to be now; one that is wrong is on record.
    let fast = event(&json!({"event_time": "2026-09-22T12:09:00Z"}));
    assert_eq!(fast.event_time, now());
    let wrong = fault(&json!({"event_time": "2026-09-22T13:00:00Z"}));
    assert_eq!(wrong, Some(Fault { field: "event_time", reason: "in_the_future" }));
}

#[test]
fn complaint_6_phones_have_their_country_and_each_platform_its_form() {
    let meta = Digest::of("493023125123");
    let others = Digest::of("+493023125123");
    for (phone, country) in [
        ("030 23125-123", Some("DE")),
        ("(030) 23125123", Some("Germany")),
        ("0049 30 23125 123", Some("DE")),
        ("+49 (0)30 23125 123", None),
        ("+493023125123", Some("US")),
    ] {
        let identity = event(&json!({"phone": phone, "country": country})).identity;
        assert_eq!(identity.digests("phone", "meta"), std::slice::from_ref(&meta), "{phone}");
        for platform in ["google_ads", "tiktok", "reddit"] {
            assert_eq!(
                identity.digests("phone", platform),
                std::slice::from_ref(&others),
                "{phone}"
            );
        }
    }
    let options = Options { default_country: Some("de".into()), ..Options::default() };
    let local = captured_with(&json!({"phone": "030 23125 123"}), &options).event;
    assert_eq!(local.identity.digests("phone", "meta"), [meta]);
    let nowhere = captured(&json!({"phone": "030 23125 123"}));
    assert_eq!(nowhere.dropped["phone"], "no_country", "a guess would match strangers");
}

#[test]
fn complaint_7_nothing_is_hashed_empty_or_twice() {
    let digest = Digest::of("jane@example.com");
    let upper = digest.as_str().to_uppercase();
    for email in ["jane@example.com", digest.as_str(), &upper, &format!("{upper}.AQQCAQIB")] {
        let sent = sent(&event(&json!({ "email": email })));
        assert_eq!(sent["user_data"]["em"], json!([digest.as_str()]));
    }
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for email in [json!(""), json!(" "), json!(null), json!([]), json!(["", null]), json!(empty)] {
        let event = event(&json!({ "email": email }));
        assert!(event.identity.is_empty(), "{email}");
        assert_eq!(refusal(&json!({}), &event).as_deref(), Some("missing_identity"));
    }
}

#[test]
fn complaint_12_money_is_never_made_up() {
    for field in ["value", "currency"] {
        for nothing in [json!(null), json!(""), json!(" ")] {
            let fault = fault(&json!({ field: nothing })).expect("on record, with its reason");
            assert_eq!((fault.field, fault.reason), (field, "missing"));
        }
    }
    // What is no purchase goes without, and an amount without currency is no amount.
    let lead = captured(&json!({"event_name": "Lead", "currency": null}));
    assert_eq!(lead.dropped["value"], "no_currency");
    assert!(sent(&lead.event).get("custom_data").is_none());
    // What reached the outbox without, by an older extension, is refused here and not by Meta.
    let mut older = event(&json!({}));
    older.currency = None;
    assert_eq!(refusal(&json!({}), &older).as_deref(), Some("missing_currency"));
    assert!(explain("meta", "100/2804010").expect("a sentence").contains("currency"));
    // 0 is an amount.
    assert_eq!(sent(&event(&json!({"value": 0})))["custom_data"]["value"], 0);
}

#[test]
fn complaint_16_the_version_is_a_setting_with_an_end() {
    let version = |name: &str| {
        let version = meta(&json!({ "api_version": name })).api_version().expect("a version");
        (version.name, version.ends, version.listing)
    };
    assert_eq!(version("v21.0"), ("v21.0".into(), Some("2027-01-21"), Listing::Listed));
    assert_eq!(version("v99.0").2, Listing::Newer);
    assert_eq!(version("v3.0").2, Listing::Older);
    // Its end blocks the account and settles no event.
    let gone = answer(400, &[], &json!({"error": {"code": 2635}}));
    let events = [event(&json!({})), event(&json!({}))];
    let decision = meta(&json!({})).verdict(&events, &gone).decision;
    assert!(matches!(decision, Decision::Blocked { .. }), "{decision:?}");
    assert!(explain("meta", "2635").expect("a sentence").contains("api_version"));
    // A version that Meta serves by a newer one is on record.
    let headers = [("x-ad-api-version-warning", "text"), ("facebook-api-version", "v26.0")];
    let upgraded = answer(200, &headers, &json!({"events_received": 2}));
    let summary = meta(&json!({})).verdict(&events, &upgraded).summary;
    assert_eq!(
        (&summary["version_warning"], &summary["api_version"]),
        (&json!(true), &json!("v26.0"))
    );
}

#[test]
fn complaint_17_limited_data_use_is_a_column_and_goes_whole_or_not_at_all() {
    let ldu = json!({"data_processing_options": ["LDU"], "data_processing_options_country": "1",
        "data_processing_options_state": 1000});
    let sent = sent(&event(&ldu));
    assert_eq!(sent["data_processing_options"], json!(["LDU"]));
    assert_eq!(sent["data_processing_options_country"], 1);
    assert_eq!(sent["data_processing_options_state"], 1000);
    // A wish that nobody can read is no wish to do without.
    for (field, value) in [
        ("data_processing_options", json!("LDU")),
        ("data_processing_options", json!(["CCPA"])),
        ("data_processing_options_country", json!("USA")),
        ("data_processing_options_state", json!("CA")),
        ("data_processing_options_state", json!(7)),
    ] {
        let mut asked = ldu.clone();
        asked[field] = value;
        let reason = refusal(&json!({}), &event(&asked)).expect("it is not sent");
        assert_eq!(reason, format!("invalid_{field}"));
        assert!(explain("meta", &reason).is_some());
    }
    let refused = answer(400, &[], &json!({"error": {"code": 100, "error_subcode": 2_804_030}}));
    let decision = meta(&json!({})).verdict(&[event(&json!({}))], &refused).decision;
    assert!(matches!(decision, Decision::Each(ref o) if matches!(o[..], [Outcome::Refused(_)])));
}

#[test]
fn complaint_18_the_address_is_the_customers_and_comes_from_the_row() {
    for (given, address) in [
        ("203.0.113.7", Some("203.0.113.7")),
        ("203.0.113.7:51234", Some("203.0.113.7")),
        ("10.0.0.4, 203.0.113.7, 198.51.100.2", Some("203.0.113.7")),
        ("2001:DB8:85A3::8A2E:370:7334", Some("2001:db8:85a3::8a2e:370:7334")),
        ("[2001:db8::1]:443", Some("2001:db8::1")),
        ("::ffff:203.0.113.7", Some("203.0.113.7")),
        ("10.0.0.4", None),
        ("192.168.1.10", None),
        ("127.0.0.1", None),
        ("::1", None),
        ("fe80::1%eth0", None),
        ("fd00::1", None),
        ("unknown", None),
    ] {
        for row in [json!({ "client_ip_address": given }), json!({"browser": {"ip": given}})] {
            let new = captured(&row);
            let sent = sent(&new.event)["user_data"].get("client_ip_address").cloned();
            assert_eq!(sent.as_ref().and_then(Value::as_str), address, "{given}");
            assert_eq!(new.dropped.contains_key("client_ip_address"), address.is_none());
        }
    }
    assert!(sent(&event(&json!({})))["user_data"].get("client_ip_address").is_none());
}

#[test]
fn complaint_21_a_200_that_does_not_count_every_event_is_no_success() {
    let events: Vec<Event> = (0..3).map(|_| event(&json!({}))).collect();
    let decision =
        |body: Value| meta(&json!({})).verdict(&events, &answer(200, &[], &body)).decision;
    let all = Decision::Each(vec![Outcome::Delivered; 3]);
    assert_eq!(decision(json!({"events_received": 3, "messages": []})), all);
    for body in [
        json!({"events_received": 2}),
        json!({"events_received": 0}),
        json!({"events_received": "3"}),
        json!({"success": false}),
        json!({}),
        json!(null),
        json!({"error": {"code": 100, "error_subcode": 2_804_001}}),
    ] {
        let decision = decision(body.clone());
        let sent_again = matches!(decision, Decision::Retry { .. } | Decision::Split { .. });
        assert!(sent_again, "{body}: {decision:?}");
    }
    // An app's data of the wrong length fails in silence at Meta, so it is found here.
    let app = json!({"action_source": "app", "app_data": {"advertiser_tracking_enabled": 1,
        "application_tracking_enabled": 1, "extinfo": ["i2", "", "", "", "17.5"]}});
    let new = captured(&app);
    assert_eq!(new.dropped["app_data.extinfo"], "not_16_slots");
    assert_eq!(refusal(&json!({}), &new.event).as_deref(), Some("missing_extinfo"));
}

#[test]
fn nothing_that_is_a_person_goes_in_clear() {
    let browser = json!({"ip": "8.8.8.8.AQQCAQIB"}).to_string();
    let new = captured(&json!({
        "browser": browser,
        "event_source_url": "https://jane:pw@s.example.com/u/jane@example.com/x?tel=49&utm_source=a",
        "referrer_url": "https://s.example.com/?first_name=jane&fbclid=AbC",
        "custom": {"Email": "jane@example.com", "em": "jane", "customer": {"email": "jane"},
            "note": "for jane@example.com", "ok": 1},
    }));
    let body = sent(&new.event);
    assert!(!body.to_string().contains("jane"), "{body}");
    assert_eq!(body["event_source_url"], "https://s.example.com/u/?utm_source=a");
    assert_eq!(body["referrer_url"], "https://s.example.com/?fbclid=AbC");
    assert_eq!(body["custom_data"]["ok"], 1);
    assert_eq!(body["user_data"]["client_ip_address"], "8.8.8.8");
    for (place, reason) in &new.dropped {
        assert!(capi_core::capture::explain(place, reason).is_some(), "{place}: {reason}");
        assert!(!place.contains("jane") && !reason.contains("jane"), "{place}: {reason}");
    }
    assert_eq!(new.dropped.len(), 8, "{:?}", new.dropped);
}

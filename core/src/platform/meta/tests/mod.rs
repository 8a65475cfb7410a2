//! The wire and what never gets there; `answers` has what comes back.

mod answers;
mod fit;

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::event::{ActionSource, Facts, Identity};
use crate::hash::Digest;
use crate::money::{Amount, Currency};
use crate::time::Timestamp;

fn meta(settings: &Value) -> Meta {
    Meta { settings: settings::read(settings).expect("settings") }
}

fn plain() -> Meta {
    meta(&json!({"pixel_id": "1234567890"}))
}

fn facts(value: &Value) -> Facts {
    Facts(value.as_object().expect("an object").clone().into())
}

fn identity(keys: &[&str]) -> Identity {
    let digests = keys.iter().map(|key| ((*key).to_owned(), vec![Digest::of(key)]));
    digests.collect::<BTreeMap<_, _>>().into()
}

fn purchase(id: i64) -> Event {
    Event {
        id,
        event_name: "Purchase".into(),
        event_id: format!("order-{id}"),
        event_time: Timestamp(1_790_000_000_999_999),
        action_source: ActionSource::Website,
        value: Some(Amount::parse("1234567890123456.7890").expect("an amount")),
        currency: Some(Currency::parse("EUR").expect("a currency")),
        identity: identity(&["email"]),
        facts: facts(&json!({"event_source_url": "https://shop.example.com/thanks"})),
    }
}

/// The body as it goes out; insta's own JSON does not know numbers that keep their digits.
fn wire(event: &Event) -> String {
    let plan = plain().plan(std::slice::from_ref(event));
    serde_json::to_string_pretty(&plan.requests[0].body).expect("a body")
}

fn refusal(event: &Event) -> Option<String> {
    plain().unfit(event).map(|unfit| match unfit {
        Unfit::Refused(reason) => reason.0,
        Unfit::Unrouted(reason) => format!("unrouted {reason}"),
    })
}

#[test]
fn a_full_purchase_on_the_wire() {
    let mut event = purchase(1);
    event.identity = identity(&[
        "email",
        "phone",
        "first_name",
        "last_name",
        "date_of_birth",
        "gender",
        "city",
        "state",
        "zip",
        "country",
        "external_id",
    ]);
    // Another platform's form of an identifier stays at home.
    event.identity.insert("phone/ga4", &[Digest::of("other")]);
    event.facts = facts(&json!({
        "event_source_url": "https://shop.example.com/thanks",
        "referrer_url": "https://example.com/",
        "client_ip_address": "2001:db8::1",
        "client_user_agent": "Mozilla/5.0",
        "fbc": "fb.1.1789999999999.AbC-_",
        "fbp": "fb.1.1789999999999.123456789",
        "subscription_id": "sub-1",
        "fb_login_id": "123",
        "lead_id": "123456789012345",
        "opt_out": false,
        "order_id": "1",
        "contents": [
            {"id": "sku-1", "quantity": 2, "item_price": 9.50, "margin": 3, "brand": null},
            {"quantity": 1}
        ],
        "content_ids": ["sku-1"],
        "content_type": "product",
        "num_items": 2,
        "predicted_ltv": 99.5,
        "net_revenue": 4,
        "delivery_category": "home_delivery",
        "custom": {"colour": "red", "value": 0, "search_string": "clash", "nested": {"a": [1]}},
        "ga_client_id": "not Meta's"
    }));
    insta::assert_snapshot!(wire(&event));
}

#[test]
fn a_lead_needs_no_amount() {
    let mut event = purchase(2);
    event.event_name = "Lead".into();
    event.action_source = ActionSource::SystemGenerated;
    event.value = None;
    event.currency = None;
    event.facts = Facts::default();
    insta::assert_snapshot!(wire(&event));
}

#[test]
fn digits_of_the_amount_survive_to_the_bytes() {
    let body = serde_json::to_string(&plain().plan(&[purchase(1)]).requests[0].body);
    assert!(body.expect("json").contains(r#""value":1234567890123456.7890"#));
}

#[test]
fn a_malformed_lead_id_stays_at_home() {
    let mut event = purchase(1);
    for (given, sent) in [("123", None), ("123456789012345", Some(123_456_789_012_345_u64))] {
        event.facts.0.insert("lead_id".into(), given.into());
        assert_eq!(
            serde_json::to_value(user_data::UserData(&event)).expect("JSON")["lead_id"].as_u64(),
            sent
        );
    }
}

#[test]
fn settings_shape_the_request() {
    let events = [purchase(1)];
    let own = meta(&json!({"pixel_id": "7", "api_version": "v25.0",
        "endpoint": "http://127.0.0.1:8080/meta/", "test_event_code": "TEST123",
        "partner_agent": "pg_capi", "namespace_id": "42", "upload_id": "u-1",
        "upload_tag": "stores", "upload_source": "tills"}));
    let request = own.plan(&events).requests.remove(0);
    assert_eq!(request.url, "http://127.0.0.1:8080/meta/v25.0/7/events");
    for (key, value) in [
        ("test_event_code", "TEST123"),
        ("partner_agent", "pg_capi"),
        ("namespace_id", "42"),
        ("upload_id", "u-1"),
        ("upload_tag", "stores"),
        ("upload_source", "tills"),
    ] {
        assert_eq!(request.body[key], value);
    }
    assert_eq!(own.api_version().and_then(|version| version.ends), Some("2028-07-29"));
    let gateway = meta(&json!({"pixel_id": "7", "endpoint": "https://gw.example.com/capi"}));
    assert_eq!(gateway.api_version(), None);
    let there = gateway.plan(&events).requests.remove(0);
    assert_eq!(there.url, "https://gw.example.com/capi/7/events");
    assert_eq!(there.body, plain().plan(&events).requests.remove(0).body, "the same body");
}

#[test]
fn what_an_older_extension_captured_is_checked_for_its_types() {
    let mut event = purchase(1);
    event.facts.0.extend(Map::from(
        facts(&json!({"content_ids": [1, "b", {}], "order_id": 7, "num_items": "3",
            "contents": [{"id": 5, "quantity": "2", "item_price": 1}, {"id": {}}, 3]}))
        .0,
    ));
    let body = plain().plan(&[event]).requests.remove(0).body;
    let data = &body["data"][0]["custom_data"];
    assert_eq!(data["content_ids"], json!(["1", "b"]));
    assert_eq!(data["contents"], json!([{"id": "5", "item_price": 1}]));
    assert!(data.get("order_id").is_none() && data.get("num_items").is_none());
}

//! What the builder sends is taken by the stand-in: random rows go through capture and builder
//! into `capi-standin`, in this process. Both judge by the same reference and know nothing of each
//! other, and one refused event would cost a whole request, so any refusal is a fault of one side.
//!
//! Rows are made of [`pool`], values that are good, bad or odd, from a fixed
//! seed: what fails once fails again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use capi_core::audience;
use capi_core::capture::{Captured, Options, Row, capture};
use capi_core::destination::{self, Response};
use capi_core::event::{ActionSource, Event};
use capi_core::field::FIELDS;
use capi_core::platform;
use capi_core::platform::audience::{Audience, Change, Decision, Member, Session};
use capi_core::time::Timestamp;
use capi_standin::{DEMO_TOKEN, Standin, StandinOptions, router};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use tower::ServiceExt;

/// Any number; another one makes other rows.
const SEED: u64 = 20_261_121;

/// Enough for every pair of a common value with a rare one, in a few seconds.
const ROWS: usize = 2_500;

const NIL_UUID: &str = "00000000-0000-0000-0000-000000000000";

/// Values of a field; the first is good and comes as often as all together.
fn pool(field: &str, now: i64) -> Vec<Value> {
    let list = |value: Value| value.as_array().expect("a list").clone();
    let (ms, us) = (now * 1000, now * 1_000_000);
    let (hour, day) = (3_600, 86_400);
    list(match field {
        "event_name" => json!([
            "Purchase",
            "Lead",
            "LeadSubmitted",
            "ViewContent",
            "AddToCart",
            "InitiateCheckout",
            "AppendAttribution",
            "QualifiedLead",
            "OrderShipped",
            "PageView",
            "My own",
        ]),
        "event_id" => json!(["o-1", " x ", "ü", 5, "\u{200b}"]),
        "event_time" => json!([
            us - 60_000_000,
            us - 6 * day * 1_000_000 + 999_999,
            us - 30 * day * 1_000_000,
            us + 300_000_000,
        ]),
        "action_source" => ActionSource::ALL.iter().map(|source| source.as_str()).collect(),
        "value" => json!([
            "10.50",
            0,
            "-3",
            "123456789012345678901234567890",
            "0.0000000000000000000001",
            "1e3",
            "00012.50",
            "1234567890123456789",
        ]),
        "currency" => json!([
            "EUR", "usd", "JPY", "XCG", "ZWG", "VED", "VES", "XOF", "BGN", "HRK", "ZWL", "SLL",
            "CUC", "ANG", "XAU", "XXX", "XTS", "XDR", "XSU", "XUA", "CLF", "CHE", "CHW", "MXV",
            "COU", "UYI", "UYW", "BOV", "USN",
        ]),
        "event_source_url" => json!([
            "https://shop.example.com/x",
            "http://x",
            "https://",
            "https:///x",
            "https://?q",
            "https://#",
            "HTTPS://X.de/?a=b@c",
            "https://ü.de/ a b",
            "https://a:b@x/",
            "https://a@",
            "https://x/?email=a",
            "https://@/x",
            "https://a@b.example/c@d.example",
        ]),
        "referrer_url" => json!(["https://a", "android-app://x", "x", "?email=a", "a@b.example"]),
        "messaging_channel" => json!(["whatsapp", "messenger", "instagram", "WhatsApp", "sms"]),
        "customer_segmentation" => json!(["new_customer_to_business", "x"]),
        "email" => json!(["jane@example.com", ["a@b.example", "n/a"], null, {"a": "b"}]),
        "phone" => json!(["+4915112345678", "0000"]),
        "gender" => json!(["f", "?"]),
        "first_name" => json!(["Jane", "\u{3164}"]),
        "last_name" => json!(["O´Brien"]),
        "date_of_birth" => json!(["1990-01-01"]),
        "city" => json!(["Paris"]),
        "state" => json!(["CA"]),
        "zip" => json!(["94105"]),
        "country" => json!(["US", "de"]),
        "external_id" => json!(["u1", 5]),
        "client_ip_address" => json!([
            "203.0.113.7",
            "2001:db8::1",
            "fe80::1",
            "203.0.113.7.AQ",
            "203.0.113.7.AQQCAQIB",
            "2001:db8::1.Ag",
            "203.0.113.7:443",
            "64:ff9b::1",
            "255.255.255.254",
        ]),
        "client_user_agent" => json!(["Mozilla", "\u{200b}", " ", "\u{a0}"]),
        "fbp" => json!([
            format!("fb.1.{ms}.123"),
            format!("fb.1.{ms}.123.AQ"),
            "fb.1.0000000000000.5",
            "fb.9.9999999999999.5",
        ]),
        "fbc" => json!([
            format!("fb.1.{}.AbC", ms - 5_000_000),
            "fb.1.0000000000000.AbC",
            format!("fb.1.{}.AbC.AQ", ms - 80 * day * 1000),
            format!("fb.1.{}.x", ms + 400_000),
        ]),
        "fbclid" => json!(["AbC", "A.b"]),
        "fbclid_at" => json!([us - 2 * hour * 1_000_000, "yesterday"]),
        "browser" => json!([
            {"fbp": format!("fb.1.{ms}.9"), "ip": "203.0.113.9"}, [1], "{\"ip\": \"203.0.113.8\"}",
        ]),
        "madid"
        | "anon_id"
        | "ctwa_clid"
        | "page_scoped_user_id"
        | "ig_sid"
        | "page_id"
        | "ig_account_id"
        | "whatsapp_business_account_id"
        | "subscription_id" => {
            json!(["123", "abc", 7, "\u{200b}", NIL_UUID])
        }
        "lead_id" => json!(["123456789012345", 12_345_678_901_234_567_i64, "1"]),
        "fb_login_id" => json!(["42", "0", "9999999999999999999"]),
        "app_data" => json!([
            {"advertiser_tracking_enabled": true, "application_tracking_enabled": "0",
                "extinfo": extinfo("17.0")},
            {"advertiser_tracking_enabled": 1, "application_tracking_enabled": 0,
                "extinfo": extinfo("17.0"), "campaign_ids": "1", "url_schemes": ["a", " "],
                "install_referrer": "x", "vendor_id": 5},
            {"advertiser_tracking_enabled": 1, "application_tracking_enabled": 0,
                "extinfo": extinfo("\u{200b}"), "url_schemes": "x", "campaign_ids": ["1"]},
            {"extinfo": ["a2"]},
        ]),
        "order_id" | "content_name" | "content_category" | "search_string" | "status"
        | "item_number" => json!(["x", 5, "\u{200b}", "\u{a0}"]),
        "content_type" => json!(["product", "product_group", "Product", "hotel"]),
        "contents" => json!([
            [{"id": 1, "quantity": 2, "item_price": "3.5"}],
            [{"id": "a", "quantity": 0}],
            [{"id": "a", "quantity": 9_007_199_254_740_993_i64, "price": "1e5", "own": null,
                "delivery_category": "IN_STORE", "title": "\u{200b}"}],
            [{"id": "a", "quantity": -1}],
            [{"quantity": 1}],
            [{"id": "a", "item_price": "123456789012345678901234567890"}],
            [],
        ]),
        "content_ids" => json!([["a", 1], [], [null], ["\u{a0}"]]),
        "num_items" => json!([3, "2.0", -1, i64::MAX]),
        "predicted_ltv" | "net_revenue" => {
            json!(["3.5", -5, "123456789012345678901234567890.123456789012345678901234567890"])
        }
        "delivery_category" => json!(["in_store", "drone"]),
        "store_data" => json!([{"store_page_id": 1, "store_code": "x"}, {"x": 1}]),
        "event_source" => json!(["crm", "web", "CRM"]),
        "lead_event_source" => json!(["HubSpot"]),
        "original_event" => json!([
            {"event_name": "Purchase", "event_time": now - hour, "event_id": "x"},
            {"order_id": 5},
            {"event_name": "P", "event_time": now - 200_000, "order_id": "1"},
            {"event_name": "Purchase", "event_time": "2026-01-01T00:00:00Z", "event_id": "1"},
        ]),
        "attribution_data" => json!([
            {"ad_id": 1, "touchpoint_ts": now - 100, "attribution_share": "0.5",
                "attribution_value": 3, "attribution_setting": {"inactivity_window_hours": 1}},
            {"scope": "x"},
            {"attribution_setting": {}},
            {"attr_window": 0, "visit_time": 5},
        ]),
        "opt_out" => json!([true, "f", "yes"]),
        "data_processing_options" => json!([[], ["LDU"], ["ldu"], "LDU", ["x"]]),
        "data_processing_options_country" => json!([0, 1, "1", 2]),
        "data_processing_options_state" => json!([0, 1000, "1013", 1014, 5]),
        "custom" => json!([
            {"a": 1, "b": null, "c": {"d": [1]}},
            {"Value": "x", "store": 1, "num_items": "x", "price": "abc",
                "customer_segmentation": "z"},
            {"custom_data": {}, "em": "jane@example.com", "Email": "jane@example.com"},
            {"": 1, " ": 2},
        ]),
        _ => json!([null]),
    })
}

fn extinfo(os_version: &str) -> Vec<&str> {
    let mut slots = vec![""; 16];
    (slots[0], slots[4]) = ("i2", os_version);
    slots
}

/// A row: the fields that an event of its place needs, and some or many of the others.
fn row(rng: &mut StdRng, now: i64) -> Map<String, Value> {
    let others = if rng.random_bool(0.3) { 0.5 } else { 0.08 };
    let mut row = Map::new();
    for field in FIELDS {
        let source = row.get("action_source").and_then(Value::as_str).unwrap_or_default();
        let likely = match field.name {
            "event_name" | "event_id" | "event_time" | "action_source" => 1.0,
            "email" | "value" | "currency" | "event_source_url" | "fbp" => 0.8,
            "messaging_channel"
            | "page_id"
            | "ctwa_clid"
            | "page_scoped_user_id"
            | "ig_account_id"
            | "ig_sid"
                if source == "business_messaging" =>
            {
                0.95
            }
            "app_data" if source == "app" => 0.95,
            _ => others,
        };
        if !rng.random_bool(likely) {
            continue;
        }
        let pool = pool(field.name, now);
        let good = rng.random_bool(0.5);
        let value = if good { pool.first() } else { pool.choose(rng) };
        row.extend(value.map(|value| (field.name.to_owned(), value.clone())));
    }
    row
}

/// The request's only event after the outbox, which stores JSON; none when it is not sent.
fn built(row: Map<String, Value>, now: Timestamp) -> Option<(ActionSource, Value)> {
    let options = Options { consent_not_required: true, ..Options::default() };
    let Captured::Event(new) = capture(Row::from_object(row), &options, now) else { return None };
    let stored = serde_json::to_string(&new.event).expect("JSON");
    let event: Event = serde_json::from_str(&stored).expect("an event");
    let meta = platform::build("meta", &json!({"pixel_id": "1234567890"})).expect("settings");
    if destination::expired(meta.as_ref(), &event, now) {
        return None;
    }
    let request = meta.plan(std::slice::from_ref(&event)).requests.pop()?;
    Some((event.action_source, request.body.into_value()))
}

/// What the stand-in says against a request.
async fn refusal(stand_in: &Router, body: &Value) -> Option<String> {
    let request = Request::post("/v25.0/1234567890/events")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {DEMO_TOKEN}"))
        .body(Body::from(body.to_string()))
        .expect("a request");
    let answer = stand_in.clone().oneshot(request).await.expect("infallible");
    let status = answer.status();
    let answer = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    (!status.is_success()).then(|| format!("{status} {}", String::from_utf8_lossy(&answer)))
}

#[tokio::test]
async fn what_the_builder_sends_is_taken() {
    let stand_in = router(Standin::new(&StandinOptions::default()));
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut sent = BTreeSet::new();
    // By the answer without its trace, the shortest body: one example of a fault is enough.
    let mut refused: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..ROWS {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let now = i64::try_from(since_1970.as_secs()).expect("in range");
        let row = row(&mut rng, now);
        let Some((source, body)) = built(row, Timestamp(now * 1_000_000)) else { continue };
        sent.insert(source.as_str());
        if let Some(answer) = refusal(&stand_in, &body).await {
            let answer = answer.split("\"fbtrace_id\"").next().unwrap_or_default().to_owned();
            let body = body.to_string();
            let shortest = refused.entry(answer).or_insert_with(|| body.clone());
            if body.len() < shortest.len() {
                *shortest = body;
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    assert_eq!(sent.len(), ActionSource::ALL.len(), "some place was never sent: {sent:?}");
}

/// People as the same pool has them go into a list and out of it: no row may be wrong in the eyes
/// of the stand-in.
#[tokio::test]
async fn what_is_said_of_members_is_taken() {
    let options = StandinOptions::default();
    let state = Standin::new(&options);
    let stand_in = router(state.clone());
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(since_1970.as_secs()).expect("in range");
    let mut rng = StdRng::seed_from_u64(SEED);
    for (at, settings) in [
        json!({"pixel_id": "1"}),
        json!({"pixel_id": "1", "limited_data_use": true}),
        json!({"pixel_id": "1", "limited_data_use": true, "limited_data_use_state": 1000}),
    ]
    .iter()
    .enumerate()
    {
        let list = Audience::build("meta", settings, &json!({"audience_id": "6001"}));
        let list = list.expect("settings");
        let whose = audience::Audience {
            platform: "meta".into(),
            destination: "meta-eu".into(),
            options: Options::default(),
            valued: at > 0,
        };
        let mut members = Vec::new();
        for _ in 0..ROWS {
            let mut row = row(&mut rng, now);
            row.insert("consent".into(), json!(true));
            if let Ok(person) = audience::person(row, &whose, Timestamp(now * 1_000_000)) {
                let digests = person.digests().map(str::to_owned).collect();
                members.push(Member { digests, value: person.value });
            }
        }
        assert!(members.len() > ROWS / 8, "{} members", members.len());
        for (method, change) in [("POST", Change::Add), ("DELETE", Change::Remove)] {
            let id = i64::try_from(1 + 2 * at).expect("small") + i64::from(method == "DELETE");
            let session = Session { id, sequence: 1, is_last: true, estimated: 1 };
            let body = list.request(change, &members, session).body.to_string();
            let request = Request::builder()
                .method(method)
                .uri("/v26.0/6001/users")
                .header("authorization", format!("Bearer {DEMO_TOKEN}"))
                .header("content-type", "application/json")
                .body(Body::from(body))
                .expect("a request");
            let response = stand_in.clone().oneshot(request).await.expect("infallible");
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
            let answer = Response { status, headers: Vec::new(), body: body.to_vec() };
            let verdict = Audience::verdict(members.len(), &answer);
            assert_eq!(verdict.decision, Decision::Taken { invalid: 0 }, "{settings} {method}");
        }
    }
    assert_eq!(state.audiences()["6001"]["members"], 0, "who was added was removed");
}

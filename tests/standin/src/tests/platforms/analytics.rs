//! Examples of GA4's Measurement Protocol.

use serde_json::{Value, json};

use super::{Book, DEMO_TOKEN, DIGEST, Local, Shot, many, now};

fn event() -> Value {
    json!({"name": "purchase", "params": {
        "transaction_id": "order-1", "currency": "EUR", "value": 49.9, "session_id": "1787229000",
        "engagement_time_msec": 1, "items": [{"item_id": "sku-1", "price": 49.9, "quantity": 1}],
    }})
}

fn base() -> Value {
    json!({
        "client_id": "1234567890.1700000000", "timestamp_micros": (now() - 60) * 1_000_000,
        "consent": {"ad_user_data": "GRANTED", "ad_personalization": "GRANTED"},
        "user_data": {"sha256_email_address": [DIGEST]},
        "events": [event()],
    })
}

fn shoot(body: &Value) -> Shot {
    Shot::json(&format!("/mp/collect?measurement_id=G-ABC123&api_secret={DEMO_TOKEN}"), &[], body)
}

pub(super) fn book() -> Book {
    let mut book = Book::new(base(), shoot);
    let good = book.good();
    book.shots("ga4.path", [good.clone()], [good.clone().method("GET")]);
    let at = |query: &str| good.clone().at(&format!("/mp/collect?{query}"));
    let app = at(&format!("firebase_app_id=1:2:android:3&api_secret={DEMO_TOKEN}"));
    book.shots(
        "ga4.stream",
        [good.clone(), app],
        [
            at(&format!("measurement_id=UA-1&api_secret={DEMO_TOKEN}")),
            at(&format!("api_secret={DEMO_TOKEN}")),
        ],
    );
    book.shots(
        "ga4.secret",
        [good.clone()],
        [at("measurement_id=G-ABC123&api_secret=wrong"), at("measurement_id=G-ABC123")],
    );
    book.shots("ga4.body", [good.clone()], [good.clone().saying("[]"), good.clone().saying("{")]);
    let long = |bytes: usize| {
        let mut body = base().to_string();
        body.extend(std::iter::repeat_n(' ', bytes - body.len()));
        good.clone().saying(&body)
    };
    book.shots("ga4.size", [long(129_999)], [long(130_000)]);
    // Bytes count, not characters.
    let sold = |text: &str| {
        let item = json!({"item_id": "sku-1", "item_name": text, "item_brand": text});
        let mut body = base();
        body["events"][0]["params"]["items"] = vec![item; 200].into();
        shoot(&body)
    };
    book.shots("ga4.size", [sold(&"x".repeat(100))], [sold(&"\u{6771}".repeat(100))]);
    book.bad("ga4.keys", "/api_secret", json!("x"));
    book.bad("ga4.keys", "/consent/analytics", json!("GRANTED"));
    book.bad("ga4.types", "/user_id", json!(42));
    book.bad("ga4.client", "/client_id", json!("absent"));
    let time = "/timestamp_micros";
    let micros = |ago: i64| json!((now() - ago) * 1_000_000);
    book.vary("ga4.time", time, [json!("absent")], [json!("yesterday"), json!(1.5)]);
    book.vary(
        "ga4.age",
        time,
        [micros(71 * 3600)],
        [micros(73 * 3600), micros(-7200), json!(now()), json!(now() * 1000)],
    );
    book.bad("ga4.consent", "/consent/ad_user_data", json!("CONSENT_GRANTED"));
    book.vary(
        "ga4.user",
        "/user_data/sha256_phone_number",
        [json!([DIGEST])],
        [json!(["+491701234567"]), json!([]), json!([DIGEST.to_uppercase()])],
    );
    let view = json!({"name": "page_view"});
    book.vary("ga4.events", "/events", [many(&view, 25)], [many(&view, 26)]);
    let name = "/events/0/name";
    book.vary(
        "ga4.name",
        name,
        [json!("a".repeat(40))],
        [json!("a".repeat(41)), json!("add to cart"), json!("1st")],
    );
    book.vary(
        "ga4.reserved",
        name,
        [json!("add_to_cart")],
        [json!("session_start"), json!("ga_x")],
    );
    let params = |number: usize| -> Value {
        (0..number)
            .map(|at| (format!("p{at}"), json!(at)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let bare = |params: Value| json!({"name": "page_view", "params": params});
    book.vary("ga4.params.count", "/events/0", [bare(params(25))], [bare(params(26))]);
    book.bad("ga4.params", "/events/0/params/a b", json!(1));
    book.vary(
        "ga4.params.value",
        "/events/0/params/note",
        [json!("a".repeat(100))],
        [json!("a".repeat(101)), json!(null), json!([1]), json!({"a": 1})],
    );
    let page = "/events/0/params/page_location";
    book.vary("ga4.params.value", page, [json!("a".repeat(1000))], [json!("a".repeat(1001))]);
    book.bad("ga4.transaction", "/events/0/params/transaction_id", json!("absent"));
    book.bad("ga4.currency", "/events/0/params/currency", json!("absent"));
    book.bad("ga4.value", "/events/0/params/value", json!("49.90"));
    book.vary(
        "ga4.items",
        "/events/0/params/items/0",
        [json!({"item_name": "A"})],
        [
            json!({"price": 1}),
            json!({"item_id": "1", "quantity": 0.5}),
            json!({"item_id": "1", "tags": ["a"]}),
        ],
    );
    book
}

#[tokio::test]
async fn says_nothing_whatever_comes_and_notes_what_vanished() {
    let local = Local::default();
    let body = super::set(&base(), "/events", json!([event(), {"name": "bad name"}, event()]));
    assert_eq!(local.call(shoot(&body).request()).await, (204, Value::Null));
    let summary = local.state.summary();
    let book = &summary["platforms"]["ga4"];
    assert_eq!(book["vanished"], 1);
    assert_eq!(book["events_accepted"], 2, "the others stay");
    assert_eq!(book["duplicates"], 1, "a purchase is compared by its transaction");
    let requests = local.get("/_standin/requests?limit=1").await;
    assert_eq!(requests["requests"][0]["status"], 204);
    assert_eq!(requests["requests"][0]["vanished"], 1);
    assert_eq!(requests["requests"][0]["refused"]["event"], 1);
    assert_eq!(requests["requests"][0]["refused"]["rule"], "ga4.name");
}

#[tokio::test]
async fn the_debug_endpoint_tells_and_takes_nothing() {
    let local = Local::default();
    let debug = |shot: Shot| shot.at("/debug/mp/collect?measurement_id=G-1&api_secret=wrong");
    let (status, answer) = local.call(debug(shoot(&base())).request()).await;
    assert_eq!((status, answer), (200, json!({"validationMessages": []})), "no secret is checked");
    let bad = super::set(&base(), "/events/0/params/currency", json!("absent"));
    let (status, answer) = local.call(debug(shoot(&bad)).request()).await;
    assert_eq!(status, 200);
    let message = &answer["validationMessages"][0];
    assert_eq!(message["validationCode"], "VALUE_REQUIRED");
    assert_eq!(message["fieldPath"], "events[0].params.currency");
    assert_eq!(local.state.summary()["events_accepted"], 0);
}

//! Examples of Reddit's Conversions API.

use serde_json::{Value, json};

use super::{Book, DIGEST, Local, Shot, bearer, many, now, set};

fn event() -> Value {
    json!({
        "event_at": (now() - 60) * 1000, "action_source": "WEBSITE",
        "event_source_url": "https://shop.example.com/thanks",
        "type": {"tracking_type": "PURCHASE"}, "click_id": "rdt-1",
        "user": {"email": DIGEST, "ip_address": "203.0.113.7", "user_agent": "B"},
        "metadata": {
            "conversion_id": "order-1", "currency": "EUR", "value": 49.9, "item_count": 1,
            "products": [{"id": "sku-1", "quantity": 1, "item_price": 49.9}],
        },
    })
}

fn base() -> Value {
    json!({"data": {"events": [event()]}})
}

fn shoot(body: &Value) -> Shot {
    let headers = [("authorization", &*bearer()), ("user-agent", "shop-events/1.0")];
    Shot::json("/api/v3/pixels/t2_abc/conversion_events", &headers, body)
}

pub(super) fn book() -> Book {
    let mut book = Book::new(base(), shoot);
    let good = book.good();
    book.shots("reddit.path", [good.clone()], [good.clone().method("GET")]);
    let wrong = good.clone().with("authorization", "Bearer wrong");
    book.shots("reddit.token", [good.clone()], [wrong]);
    book.shots(
        "reddit.agent",
        [good.clone()],
        [
            good.clone().without("user-agent"),
            good.clone().with("user-agent", "python-requests/2.32"),
        ],
    );
    book.shots("reddit.body", [good.clone()], [good.saying("[]")]);
    book.bad("reddit.data", "/data", json!("absent"));
    let events = "/data/events";
    book.vary(
        "reddit.events",
        events,
        [many(&event(), 1_000)],
        [json!([]), json!("absent"), many(&event(), 1_001)],
    );
    let field = |name: &str| format!("/data/events/0/{name}");
    book.bad("reddit.keys", &field("event_type"), json!("PURCHASE"));
    book.bad("reddit.types", &field("metadata/conversion_id"), json!(1));
    let time = field("event_at");
    book.vary(
        "reddit.time",
        &time,
        [json!(now() * 1000)],
        [json!("absent"), json!("2026-08-20T12:34:56Z")],
    );
    book.vary(
        "reddit.age",
        &time,
        [json!((now() - 6 * 86_400) * 1000)],
        [json!((now() - 8 * 86_400) * 1000), json!(now())],
    );
    book.vary(
        "reddit.future",
        &time,
        [json!((now() + 200) * 1000)],
        [json!((now() + 400) * 1000), json!(now() * 1_000_000)],
    );
    book.vary("reddit.source", &field("action_source"), [json!("APP")], [json!("website")]);
    let kind = field("type");
    book.vary(
        "reddit.type",
        &kind,
        [json!({"tracking_type": "LEAD"})],
        [json!({"tracking_type": "Purchase"}), json!("absent")],
    );
    let custom = |name: &str| json!({"tracking_type": "CUSTOM", "custom_event_name": name});
    book.vary(
        "reddit.custom",
        &kind,
        [custom(&"a".repeat(64))],
        [json!({"tracking_type": "CUSTOM"}), custom(&"a".repeat(65))],
    );
    book.bad("reddit.url", &field("event_source_url"), json!("shop.example.com"));
    let nobody = set(&set(&event(), "/click_id", json!("absent")), "/user", json!({}));
    let somebody = set(&nobody, "/user/uuid", json!("rdt-uuid"));
    book.vary("reddit.match", "/data/events/0", [somebody], [nobody]);
    book.vary(
        "reddit.digest",
        &field("user/email"),
        [json!(DIGEST)],
        [json!("jo@example.com"), json!([DIGEST])],
    );
    book.bad("reddit.ip", &field("user/ip_address"), json!("localhost"));
    book.vary(
        "reddit.ldu",
        &field("user/data_processing_options"),
        [json!({"modes": ["LDU"], "country": "US", "region": "US-CA"})],
        [json!({"modes": ["ldu"]}), json!(["LDU"])],
    );
    book.bad("reddit.currency", &field("metadata/currency"), json!("eur"));
    book.bad("reddit.value", &field("metadata/value"), json!("49.90"));
    book.bad("reddit.products", &field("metadata/products/0/item_price"), json!("49.90"));
    book
}

#[tokio::test]
async fn one_bad_event_and_none_is_processed() {
    let local = Local::default();
    let bad = set(&event(), "/metadata/value", json!("49.90"));
    let body = json!({"data": {"events": [event(), bad]}});
    let (status, answer) = local.call(shoot(&body).request()).await;
    assert_eq!(status, 400);
    assert_eq!(answer["error"]["fields"][0]["field"], "data.events[1].metadata.value");
    assert_eq!(local.state.summary()["events_accepted"], 0);
    let requests = local.get("/_standin/requests?limit=1").await;
    assert_eq!(requests["requests"][0]["refused"]["event"], 1);
}

#[tokio::test]
async fn a_test_shows_nowhere_else() {
    let local = Local::default();
    let body = set(&base(), "/data/test_id", json!("t2_test"));
    assert_eq!(local.call(shoot(&body).request()).await.0, 200);
    assert_eq!(local.state.summary()["events_accepted"], 0);
}

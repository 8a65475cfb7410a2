//! Examples of Snapchat's Conversions API.

use serde_json::{Value, json};

use super::{Book, DEMO_TOKEN, DIGEST, Local, Shot, many, now, set};

fn event() -> Value {
    json!({
        "event_name": "PURCHASE", "event_time": now() - 60, "event_id": "order-1",
        "action_source": "WEB", "event_source_url": "https://shop.example.com/thanks",
        "user_data": {"em": [DIGEST], "client_ip_address": "203.0.113.7", "client_user_agent": "B"},
        "custom_data": {
            "currency": "EUR", "value": "49.90", "order_id": "order-1",
            "contents": [{"id": "sku-1", "quantity": "1", "item_price": "49.90"}],
        },
    })
}

fn base() -> Value {
    json!({"data": [event()]})
}

fn shoot(body: &Value) -> Shot {
    Shot::json(&format!("/v3/my-pixel/events?access_token={DEMO_TOKEN}"), &[], body)
}

pub(super) fn book() -> Book {
    let mut book = Book::new(base(), shoot);
    let good = book.good();
    book.shots("snapchat.path", [good.clone()], [good.clone().method("GET")]);
    let at = |query: &str| good.clone().at(&format!("/v3/my-pixel/events{query}"));
    book.shots("snapchat.token", [good.clone()], [at("?access_token=wrong"), at("")]);
    book.shots("snapchat.body", [good.clone()], [good.clone().saying("[]")]);
    book.vary(
        "snapchat.data",
        "/data",
        [many(&event(), 2_000)],
        [json!([]), many(&event(), 2_001)],
    );
    book.bad("snapchat.keys", "/data/0/user_data/email", json!(DIGEST));
    book.bad("snapchat.types", "/data/0/event_id", json!(1));
    book.vary("snapchat.name", "/data/0/event_name", [json!("ADD_CART")], [json!("Purchase")]);
    let source = "/data/0/action_source";
    book.vary("snapchat.source", source, [json!("OFFLINE")], [json!("physical_store")]);
    let time = "/data/0/event_time";
    book.vary("snapchat.time", time, [json!(now())], [json!("absent"), json!("1787229296")]);
    book.vary(
        "snapchat.age",
        time,
        [json!(now() - 36 * 86_400), json!(now() * 1000)],
        [json!(now() - 38 * 86_400), json!(now() + 7200), json!(now() * 1_000_000)],
    );
    book.bad("snapchat.user", "/data/0/user_data", json!("absent"));
    let user = "/data/0/user_data";
    book.vary("snapchat.match", user, [json!({"ph": DIGEST})], [json!({"external_id": DIGEST})]);
    book.bad("snapchat.digest", "/data/0/user_data/em", json!(["jo@example.com"]));
    book.bad("snapchat.ip", "/data/0/user_data/client_ip_address", json!("localhost"));
    book.bad("snapchat.url", "/data/0/event_source_url", json!("shop.example.com"));
    let custom = "/data/0/custom_data";
    book.bad("snapchat.currency", &format!("{custom}/currency"), json!("EURO"));
    let value = format!("{custom}/value");
    book.vary("snapchat.value", &value, [json!(49.9)], [json!("49,90"), json!(true)]);
    book.bad("snapchat.money", &value, json!("absent"));
    book.bad("snapchat.contents", &format!("{custom}/contents/0/item_price"), json!("much"));
    let mut app = set(&event(), "/action_source", json!("MOBILE_APP"));
    let without = app.clone();
    app["app_data"] = json!({"extinfo": ["i2"], "advertiser_tracking_enabled": true});
    book.vary("snapchat.app", "/data/0", [app], [without]);
    let options = "/data/0/data_processing_options";
    book.vary("snapchat.ldu", options, [json!(["LDU"])], [json!(["ldu"]), json!("LDU")]);
    book
}

#[tokio::test]
async fn one_bad_event_refuses_all_and_validate_tells_which() {
    let local = Local::default();
    let bad = set(&event(), "/custom_data/value", json!("absent"));
    let shot = shoot(&json!({"data": [event(), bad]}));
    let (status, answer) = local.call(shot.clone().request()).await;
    assert_eq!((status, &answer["status"], &answer["event"]), (400, &json!("INVALID"), &json!(1)));
    let path = shot.path.replace("/events", "/events/validate");
    let (status, answer) = local.call(shot.at(&path).request()).await;
    assert_eq!((status, &answer["test_event"]), (200, &json!(true)));
    assert_eq!(answer["event_logs"][0]["status"], "VALID");
    assert_eq!(answer["event_logs"][1]["status"], "INVALID");
    assert_eq!(local.state.summary()["events_accepted"], 0);
}

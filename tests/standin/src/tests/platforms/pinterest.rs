//! Examples of Pinterest's API for conversions.

use serde_json::{Value, json};

use super::{Book, DIGEST, Local, Shot, bearer, many, now, set};

fn event() -> Value {
    json!({
        "event_name": "checkout", "action_source": "web", "event_time": now() - 60,
        "event_id": "order-1", "event_source_url": "https://shop.example.com/thanks",
        "user_data": {
            "em": [DIGEST], "client_ip_address": "203.0.113.7", "client_user_agent": "B",
        },
        "custom_data": {
            "currency": "EUR", "value": "49.90", "order_id": "order-1", "num_items": 1,
            "contents": [{"id": "sku-1", "item_price": "49.90", "quantity": 1}],
        },
    })
}

fn base() -> Value {
    json!({"data": [event()]})
}

fn shoot(body: &Value) -> Shot {
    Shot::json("/v5/ad_accounts/549755885175/events", &[("authorization", &bearer())], body)
}

pub(super) fn book() -> Book {
    let mut book = Book::new(base(), shoot);
    let good = book.good();
    let named = good.clone().at("/v5/ad_accounts/shop/events");
    book.shots("pinterest.path", [good.clone()], [good.clone().method("GET"), named]);
    let wrong = good.clone().with("authorization", "Bearer wrong");
    book.shots("pinterest.token", [good.clone()], [wrong]);
    book.shots("pinterest.body", [good.clone()], [good.saying("[]")]);
    book.vary(
        "pinterest.data",
        "/data",
        [many(&event(), 1_000)],
        [json!([]), json!("absent"), many(&event(), 1_001)],
    );
    book.bad("pinterest.keys", "/data/0/user_data/email", json!([DIGEST]));
    book.bad("pinterest.keys", "/data/0/custom_data/quantity", json!(1));
    book.bad("pinterest.types", "/data/0/custom_data/num_items", json!("1"));
    book.vary(
        "pinterest.name",
        "/data/0/event_name",
        [json!("page_visit")],
        [json!("Purchase"), json!("absent")],
    );
    book.vary("pinterest.source", "/data/0/action_source", [json!("app_ios")], [json!("website")]);
    let time = "/data/0/event_time";
    book.vary("pinterest.time", time, [json!(now())], [json!("absent"), json!("1787229296")]);
    book.vary("pinterest.future", time, [json!(now() + 60)], [json!(now() * 1000)]);
    book.bad("pinterest.id", "/data/0/event_id", json!("absent"));
    book.bad("pinterest.user", "/data/0/user_data", json!("absent"));
    let user = "/data/0/user_data";
    book.vary(
        "pinterest.match",
        user,
        [json!({"hashed_maids": [DIGEST]})],
        [json!({"ph": [DIGEST]}), json!({"client_ip_address": "203.0.113.7"})],
    );
    book.vary(
        "pinterest.digest",
        "/data/0/user_data/country",
        [json!([DIGEST])],
        [json!(DIGEST), json!(["us"]), json!([])],
    );
    book.bad("pinterest.ip", "/data/0/user_data/client_ip_address", json!("::1/128"));
    book.bad("pinterest.url", "/data/0/event_source_url", json!("/thanks"));
    book.bad("pinterest.currency", "/data/0/custom_data/currency", json!("eur"));
    let value = "/data/0/custom_data/value";
    book.vary("pinterest.value", value, [json!("0"), json!("1.005")], [json!(49.9), json!("1e3")]);
    book.bad("pinterest.contents", "/data/0/custom_data/contents/0/item_price", json!(49.9));
    book
}

#[tokio::test]
async fn good_events_stay_beside_bad_ones() {
    let local = Local::default();
    let bad = set(&event(), "/custom_data/value", json!(49.9));
    let other = set(&event(), "/event_id", json!("order-2"));
    let body = json!({"data": [event(), bad, other]});
    let (status, answer) = local.call(shoot(&body).request()).await;
    assert_eq!(status, 422);
    let details = &answer["details"];
    assert_eq!(details["num_events_received"], 3);
    assert_eq!(details["num_events_processed"], 2);
    let statuses: Vec<_> =
        (0..3).map(|at| details["events"][at]["status"].as_str().unwrap_or_default()).collect();
    assert_eq!(statuses, ["processed", "failed", "processed"]);
    let book = local.state.summary()["platforms"]["pinterest"].clone();
    assert_eq!((&book["unique_events"], &book["refused_events"]), (&json!(2), &json!(1)));
    assert_eq!(book["values"], json!({"EUR": "99.80"}));
}

#[tokio::test]
async fn a_test_is_answered_and_not_recorded() {
    let local = Local::default();
    let shot = shoot(&base());
    let path = format!("{}?test=true", shot.path);
    let (status, answer) = local.call(shot.at(&path).request()).await;
    assert_eq!((status, &answer["num_events_processed"]), (200, &json!(1)));
    assert_eq!(local.state.summary()["events_accepted"], 0);
}

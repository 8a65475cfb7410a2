//! Examples of TikTok's Events API.

use serde_json::{Value, json};

use super::{Book, DEMO_TOKEN, DIGEST, Shot, many, now};

fn event() -> Value {
    json!({
        "event": "Purchase", "event_id": "order-1", "event_time": now() - 60,
        "user": {"email": [DIGEST], "phone": [DIGEST], "ip": "203.0.113.7", "user_agent": "B"},
        "properties": {
            "currency": "EUR", "value": 49.9, "content_type": "product",
            "contents": [{"content_id": "sku-1", "quantity": 1, "price": 49.9}],
        },
        "page": {"url": "https://shop.example.com/thanks"},
    })
}

fn base() -> Value {
    json!({"event_source": "web", "event_source_id": "C4ABCDEF", "data": [event()]})
}

fn shoot(body: &Value) -> Shot {
    Shot::json("/open_api/v1.3/event/track/", &[("access-token", DEMO_TOKEN)], body)
}

pub(super) fn book() -> Book {
    let mut book = Book::new(base(), shoot);
    let good = book.good();
    book.shots("tiktok.path", [good.clone()], [good.clone().method("GET")]);
    let wrong = good.clone().with("access-token", "wrong");
    let other = wrong.clone().with("authorization", &super::bearer());
    book.shots("tiktok.token", [good.clone()], [wrong, other]);
    book.shots("tiktok.body", [good.clone()], [good.clone().with("content-type", "text/plain")]);
    book.bad("tiktok.keys", "/data/0/action_source", json!("website"));
    book.bad("tiktok.keys", "/data/0/user/em", json!([DIGEST]));
    book.bad("tiktok.types", "/data/0/event_id", json!(1));
    book.vary(
        "tiktok.source",
        "/event_source",
        [json!("crm")],
        [json!("website"), json!("absent")],
    );
    book.bad("tiktok.source_id", "/event_source_id", json!("absent"));
    book.vary("tiktok.data", "/data", [many(&event(), 1_000)], [json!([]), many(&event(), 1_001)]);
    book.bad("tiktok.event", "/data/0/event", json!("absent"));
    let time = "/data/0/event_time";
    book.vary("tiktok.time", time, [json!(now())], [json!("absent"), json!(now().to_string())]);
    book.vary("tiktok.age", time, [json!(now() - 6 * 86_400)], [json!(now() - 8 * 86_400)]);
    book.vary("tiktok.future", time, [json!(now() + 60)], [json!(now() * 1000)]);
    book.bad("tiktok.user", "/data/0/user", json!("absent"));
    book.vary(
        "tiktok.match",
        "/data/0/user",
        [json!({"ttp": "x"}), json!({"ip": "203.0.113.7"})],
        [json!({"user_agent": "B"}), json!({"city": "berlin", "country": "de"})],
    );
    book.vary(
        "tiktok.digest",
        "/data/0/user/email",
        [json!(DIGEST)],
        [json!("jo@example.com"), json!([]), json!([DIGEST.to_uppercase()])],
    );
    book.bad("tiktok.ip", "/data/0/user/ip", json!("203.0.113.7:80"));
    book.vary(
        "tiktok.page",
        "/data/0/page",
        [json!({"url": "https://shop.example.com"})],
        [
            json!("absent"),
            json!({"url": "shop.example.com"}),
            json!({"referrer": "https://a.example.com"}),
        ],
    );
    let offline = super::set(&book.base, "/event_source", json!("offline"));
    let referred = json!({"referrer": "https://a.example.com"});
    let referred = (book.shoot)(&super::set(&offline, "/data/0/page", referred));
    let nowhere = (book.shoot)(&super::set(&offline, "/data/0/page", json!({"url": "x"})));
    book.shots("tiktok.page", [referred], [nowhere]);
    book.bad("tiktok.currency", "/data/0/properties/currency", json!("eur"));
    book.bad("tiktok.value", "/data/0/properties/value", json!("49.90"));
    book.bad("tiktok.money", "/data/0/properties/value", json!("absent"));
    book.bad("tiktok.contents", "/data/0/properties/contents/0/price", json!("49.90"));
    book
}

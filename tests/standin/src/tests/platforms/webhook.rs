//! Examples of signed webhooks.

use ring::hmac;
use serde_json::{Value, json};

use super::{Book, DEMO_TOKEN, Shot, now};

fn base() -> Value {
    json!({"events": [
        {"event_name": "Purchase", "event_id": "order-1", "value": 49.9, "currency": "EUR"},
    ]})
}

fn signature(secret: &str, time: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={hex}")
}

fn signed(secret: &str, time: i64, body: &str) -> Shot {
    let signature = signature(secret, time, body);
    let headers = [("capi-timestamp", time.to_string()), ("capi-signature", signature)];
    Shot::json(
        "/webhook/shop",
        &headers.each_ref().map(|(name, value)| (*name, value.as_str())),
        &body,
    )
}

fn shoot(body: &Value) -> Shot {
    signed(DEMO_TOKEN, now(), &body.to_string())
}

pub(super) fn book() -> Book {
    let mut book = Book::new(base(), shoot);
    let good = book.good();
    let text = base().to_string();
    book.shots("webhook.path", [good.clone()], [good.clone().method("PUT")]);
    book.shots(
        "webhook.signature",
        [good.clone()],
        [
            good.clone().without("capi-signature"),
            good.clone().without("capi-timestamp"),
            signed("another secret", now(), &text),
            good.clone().saying(&text.replace("49.9", "4.99")),
            good.clone().with("capi-signature", "v1=00"),
            // The time is signed too.
            good.with("capi-timestamp", &(now() - 1).to_string()),
        ],
    );
    // Minutes from the edge of five: they are shot later, on a busy machine much later.
    book.shots(
        "webhook.window",
        [signed(DEMO_TOKEN, now() - 120, &text)],
        [signed(DEMO_TOKEN, now() - 310, &text), signed(DEMO_TOKEN, now() + 900, &text)],
    );
    book.shots("webhook.body", [book.good()], [signed(DEMO_TOKEN, now(), "[]")]);
    book.bad("webhook.events", "/events", json!([]));
    book.bad("webhook.event", "/events/0/event_id", json!("absent"));
    book.vary("webhook.money", "/events/0/value", [json!("49.90")], [json!("much"), json!(true)]);
    book
}

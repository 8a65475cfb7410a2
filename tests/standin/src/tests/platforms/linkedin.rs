//! Examples of LinkedIn's Conversions API.

use serde_json::{Value, json};

use super::{Book, DIGEST, Local, Shot, bearer, many, now, set};

fn event() -> Value {
    json!({
        "conversion": "urn:lla:llaPartnerConversion:104012",
        "conversionHappenedAt": (now() - 60) * 1000, "eventId": "order-1",
        "conversionValue": {"currencyCode": "EUR", "amount": "49.90"},
        "user": {
            "userIds": [{"idType": "SHA256_EMAIL", "idValue": DIGEST}],
            "userInfo": {"firstName": "Jo", "lastName": "Doe"},
        },
    })
}

fn base() -> Value {
    json!({"elements": [event()]})
}

fn shoot(body: &Value) -> Shot {
    let headers = [
        ("authorization", &*bearer()),
        ("linkedin-version", "202611"),
        ("x-restli-protocol-version", "2.0.0"),
        ("x-restli-method", "BATCH_CREATE"),
    ];
    Shot::json("/rest/conversionEvents", &headers, body)
}

pub(super) fn book() -> Book {
    let mut book = Book::new(base(), shoot);
    let good = book.good();
    book.shots("linkedin.path", [good.clone()], [good.clone().method("GET")]);
    let wrong = good.clone().with("authorization", "Bearer wrong");
    book.shots("linkedin.token", [good.clone()], [wrong]);
    let version = |version: &str| good.clone().with("linkedin-version", version);
    book.shots(
        "linkedin.version",
        [version("202603")],
        [version("202401"), version("2026-03"), good.clone().without("linkedin-version")],
    );
    let protocol = good.clone().without("x-restli-protocol-version");
    book.shots("linkedin.protocol", [good.clone()], [protocol]);
    let single = good.clone().saying(&event().to_string());
    book.shots(
        "linkedin.method",
        [single.clone().without("x-restli-method")],
        [single, good.clone().without("x-restli-method")],
    );
    book.shots("linkedin.body", [good.clone()], [good.clone().saying("[]")]);
    book.vary(
        "linkedin.elements",
        "/elements",
        [many(&event(), 5_000)],
        [json!([]), many(&event(), 5_001)],
    );
    let field = |name: &str| format!("/elements/0/{name}");
    book.bad("linkedin.keys", &field("value"), json!("49.90"));
    book.bad("linkedin.types", &field("eventId"), json!(1));
    book.vary(
        "linkedin.conversion",
        &field("conversion"),
        [json!("urn:lla:llaPartnerConversion:1")],
        [json!("104012"), json!("absent")],
    );
    let time = field("conversionHappenedAt");
    book.vary(
        "linkedin.time",
        &time,
        [json!(now() * 1000)],
        [json!("absent"), json!("1787229296000")],
    );
    book.vary(
        "linkedin.age",
        &time,
        [json!((now() - 89 * 86_400) * 1000)],
        [json!((now() - 91 * 86_400) * 1000), json!(now())],
    );
    book.vary("linkedin.future", &time, [json!((now() + 60) * 1000)], [json!(now() * 1_000_000)]);
    let value = field("conversionValue");
    book.vary(
        "linkedin.value",
        &value,
        [json!({"currencyCode": "USD", "amount": "0"})],
        [
            json!({"currencyCode": "USD", "amount": 49.9}),
            json!({"currencyCode": "usd", "amount": "49.90"}),
            json!({"amount": "49.90"}),
        ],
    );
    book.bad("linkedin.user", &field("user/userIds"), json!("absent"));
    let id = field("user/userIds/0");
    let uuid = "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID";
    book.vary(
        "linkedin.id",
        &id,
        [json!({"idType": uuid, "idValue": "x"})],
        [json!({"idType": "SHA256_PHONE", "idValue": DIGEST}), json!({"idType": "SHA256_EMAIL"})],
    );
    book.vary(
        "linkedin.digest",
        &id,
        [json!({"idType": "PLAINTEXT_IP_ADDRESS", "idValue": "203.0.113.7"})],
        [
            json!({"idType": "SHA256_EMAIL", "idValue": "jo@example.com"}),
            json!({"idType": "PLAINTEXT_IP_ADDRESS", "idValue": "home"}),
        ],
    );
    let user = field("user");
    book.vary(
        "linkedin.match",
        &user,
        [json!({"userIds": [], "externalIds": ["7"]})],
        [json!({"userIds": []})],
    );
    book.bad("linkedin.info", &field("user/userInfo"), json!({"firstName": "Jo"}));
    let external = field("user/externalIds");
    book.vary("linkedin.external", &external, [json!(["7"])], [json!(["7", "8"]), json!("7")]);
    book
}

#[tokio::test]
async fn a_bad_event_refuses_the_batch_with_a_line() {
    let local = Local::default();
    let bad = set(&event(), "/conversionValue/amount", json!(49.9));
    let body = json!({"elements": [event(), bad.clone(), event(), bad]});
    let (status, answer) = local.call(shoot(&body).request()).await;
    assert_eq!(status, 422);
    let lines: Vec<&str> = answer["message"].as_str().expect("a message").lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("Index: 1, ERROR :: "), "{}", lines[0]);
    assert!(lines[1].starts_with("Index: 3, ERROR :: "), "{}", lines[1]);
    assert_eq!(local.state.summary()["events_accepted"], 0);

    let (status, answer) = local.call(shoot(&base()).request()).await;
    assert_eq!((status, answer), (200, json!({"elements": [{"status": 201}]})));
    let single = shoot(&base()).saying(&event().to_string()).without("x-restli-method");
    assert_eq!(local.call(single.request()).await.0, 201);
    assert_eq!(local.state.summary()["platforms"]["linkedin"]["duplicates"], 1);
}

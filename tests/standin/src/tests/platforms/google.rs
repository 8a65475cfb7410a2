//! Examples of Google's Data Manager API, and its answers that come later.

use serde_json::{Value, json};

use super::{Book, DIGEST, Local, Shot, bearer, many, now, set};

const INGEST: &str = "/v1/events:ingest";
const STATUS: &str = "/v1/requestStatus:retrieve";

/// RFC 3339 of so many seconds ago.
fn ago(seconds: i64) -> String {
    let time = std::time::UNIX_EPOCH
        + std::time::Duration::from_secs(u64::try_from(now() - seconds).expect("after 1970"));
    // HTTP's date has all the parts: Sun, 06 Nov 1994 08:49:37 GMT.
    let date = httpdate::fmt_http_date(time);
    let parts: Vec<&str> = date.split(' ').collect();
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(parts[2]).expect("a month") / 3 + 1;
    format!("{}-{month:02}-{}T{}Z", parts[3], parts[1], parts[4])
}

fn event() -> Value {
    json!({
        "transactionId": "order-1", "eventTimestamp": ago(60), "eventSource": "WEB",
        "currency": "EUR", "conversionValue": 49.9, "adIdentifiers": {"gclid": "Cj0-k_1"},
        "userData": {"userIdentifiers": [
            {"emailAddress": DIGEST},
            {"address": {
                "givenName": DIGEST, "familyName": DIGEST, "regionCode": "DE",
                "postalCode": "10115",
            }},
        ]},
        "eventDeviceInfo": {"ipAddress": "203.0.113.7"},
    })
}

fn base() -> Value {
    json!({
        "destinations": [{
            "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"},
            "productDestinationId": "987654321",
        }],
        "encoding": "HEX",
        "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"},
        "events": [event()],
    })
}

fn shoot(body: &Value) -> Shot {
    // Every example is another conversion, unless it says else.
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let mut body = body.clone();
    for event in body["events"].as_array_mut().into_iter().flatten() {
        if event["transactionId"] == "order-1" {
            let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            event["transactionId"] = json!(format!("order-1-{number}"));
        }
    }
    Shot::json(INGEST, &[("authorization", &bearer())], &body)
}

pub(super) fn book() -> Book {
    let mut book = Book::new(base(), shoot);
    // A conversion that is sent again is a duplicate: each one is new.
    let good = || shoot(&base());
    book.shots("google_ads.path", [good()], [good().method("PUT")]);
    let wrong = good().with("authorization", "Bearer wrong");
    let bare = good().without("authorization");
    book.shots("google_ads.token", [good()], [wrong, bare]);
    let text = good().with("content-type", "text/plain");
    book.shots("google_ads.body", [good()], [text, good().saying("[]")]);
    book.bad("google_ads.keys", "/events/0/orderId", json!("1"));
    book.bad("google_ads.keys", "/validate_only", json!(true));
    book.bad("google_ads.types", "/events/0/transactionId", json!(1));
    let mut one = base()["destinations"][0].clone();
    one["reference"] = json!("purchases");
    let two = |reference: &str| json!([one, set(&one, "/reference", json!(reference))]);
    let same = [two("purchases")];
    book.vary("google_ads.reference.unique", "/destinations", [two("leads")], same);
    let one = base()["destinations"][0].clone();
    book.vary(
        "google_ads.destinations",
        "/destinations",
        [many(&one, 10)],
        [json!([]), json!("absent"), many(&one, 11)],
    );
    let mut other = event();
    other["transactionId"] = json!("absent");
    other.as_object_mut().expect("an object").remove("transactionId");
    other["adIdentifiers"].as_object_mut().expect("an object").remove("gclid");
    book.vary(
        "google_ads.events",
        "/events",
        [many(&other, 2_000)],
        [json!([]), json!("absent"), many(&other, 2_001)],
    );
    let account = "/destinations/0/operatingAccount/accountId";
    book.vary("google_ads.account", account, [json!("1")], [json!(1), json!("123-456-7890")]);
    let kind = "/destinations/0/operatingAccount/accountType";
    book.vary("google_ads.account", kind, [], [json!("absent"), json!("ADS")]);
    let action = "/destinations/0/productDestinationId";
    book.vary(
        "google_ads.action",
        action,
        [json!("1")],
        [json!("absent"), json!("customers/1/conversionActions/2")],
    );
    let mut named = base();
    named["destinations"][0]["reference"] = json!("purchases");
    let meant =
        |reference: Value| shoot(&set(&named, "/events/0/destinationReferences", reference));
    let strangers = [meant(json!(["leads"])), meant(json!("purchases"))];
    book.shots("google_ads.reference", [meant(json!(["purchases"]))], strangers);
    let consent = "/events/0/consent";
    book.vary(
        "google_ads.consent",
        consent,
        [json!({"adUserData": "CONSENT_GRANTED"})],
        [json!({"adUserData": "GRANTED"}), json!({"adUserData": true})],
    );
    book.vary("google_ads.validate_only", "/validateOnly", [json!(true)], [json!("true")]);
    book.vary("google_ads.encoding", "/encoding", [json!("HEX")], [json!("hex"), json!("absent")]);
    let time = "/events/0/eventTimestamp";
    book.vary(
        "google_ads.time",
        time,
        [json!(ago(0))],
        [json!("absent"), json!(now()), json!("2026-08-20 12:34:56"), json!("2026-08-20T12:34:56")],
    );
    book.vary("google_ads.future", time, [json!(ago(-60))], [json!(ago(-7200))]);
    let identifiers = "/events/0/userData/userIdentifiers";
    let email = json!({"emailAddress": DIGEST});
    book.vary("google_ads.user", identifiers, [many(&email, 10)], [json!([]), many(&email, 11)]);
    let both = json!([{"emailAddress": DIGEST, "phoneNumber": DIGEST}]);
    book.vary("google_ads.identifier", identifiers, [json!([email])], [both]);
    book.vary(
        "google_ads.digest",
        "/events/0/userData/userIdentifiers/0",
        [json!({"phoneNumber": DIGEST})],
        [
            json!({"emailAddress": "jo@example.com"}),
            json!({"emailAddress": DIGEST.to_uppercase()}),
            json!({"phoneNumber": &DIGEST[1..]}),
        ],
    );
    let address = "/events/0/userData/userIdentifiers/1/address";
    for bad in ["givenName", "familyName", "regionCode", "postalCode"] {
        book.bad("google_ads.address", &format!("{address}/{bad}"), json!("absent"));
    }
    book.bad("google_ads.address", &format!("{address}/regionCode"), json!("de"));
    book.bad("google_ads.address", &format!("{address}/familyName"), json!("doe"));
    book.bad("google_ads.click", "/events/0/adIdentifiers/gclid", json!(7));
    book.vary(
        "google_ads.braids",
        "/events/0/adIdentifiers",
        [json!({"gbraid": "a"})],
        [json!({"gbraid": "a", "wbraid": "b"})],
    );
    let bare = |mut event: Value| {
        event.as_object_mut().expect("an object").remove("userData");
        event
    };
    let nobody = set(&bare(event()), "/adIdentifiers", json!("absent"));
    book.vary("google_ads.match", "/events/0", [bare(event())], [nobody]);
    book.vary("google_ads.currency", "/events/0/currency", [json!("USD")], [json!("usd")]);
    let value = "/events/0/conversionValue";
    book.vary("google_ads.value", value, [json!(0), json!(0.5)], [json!("49.90")]);
    let source = "/events/0/eventSource";
    book.vary("google_ads.source", source, [json!("IN_STORE")], [json!("absent"), json!("web")]);

    book.vary("google_ads.late.age", time, [json!(ago(89 * 86_400))], [json!(ago(91 * 86_400))]);
    book.vary(
        "google_ads.late.consent",
        consent,
        [json!({})],
        [json!({"adUserData": "CONSENT_DENIED"})],
    );
    let gclid = "/events/0/adIdentifiers/gclid";
    book.vary("google_ads.late.gclid", gclid, [json!("EAIaIQ")], [json!("a gclid%2B")]);
    let same = set(&base(), "/events/0/transactionId", json!("order-2"));
    let correction = set(&same, "/events/0/lastUpdatedTimestamp", json!(ago(0)));
    book.shots("google_ads.late.duplicate", [shoot(&same), shoot(&correction)], [shoot(&same)]);

    let get = |path: &str| good().at(path).method("GET");
    let found = [get(&format!("{STATUS}?requestId=nobody"))];
    book.shots("google_ads.status.known", [good()], found);
    book.shots("google_ads.status.id", [good()], [get(STATUS)]);
    book
}

/// Asks for the outcome of an accepted request until there is one; the first reason in it.
pub(super) async fn reason(local: &Local, answer: &Value) -> Option<String> {
    let id = answer["requestId"].as_str()?;
    for _ in 0..3 {
        let statuses = poll(local, id).await["requestStatusPerDestination"].clone();
        if statuses[0]["requestStatus"] != "PROCESSING" {
            let reason = statuses[0]["errorInfo"]["errorCounts"][0]["reason"].as_str()?;
            return reason.strip_prefix("PROCESSING_ERROR_REASON_").map(str::to_owned);
        }
    }
    panic!("still under way");
}

async fn poll(local: &Local, id: &str) -> Value {
    let shot = Shot::json("", &[("authorization", &bearer())], &"");
    let shot = shot.at(&format!("{STATUS}?requestId={id}")).method("GET");
    local.call(shot.request()).await.1
}

#[tokio::test]
async fn the_outcome_comes_later_and_names_positions() {
    let local = Local::default();
    let old = set(&event(), "/eventTimestamp", json!(ago(100 * 86_400)));
    let named = |id: &str| set(&event(), "/transactionId", json!(id));
    let events = json!([named("a"), old, named("b"), named("a")]);
    let shot = shoot(&set(&base(), "/events", events));
    let (status, answer) = local.call(shot.request()).await;
    assert_eq!(status, 200);
    let id = answer["requestId"].as_str().expect("an id").to_owned();
    let first = poll(&local, &id).await;
    assert_eq!(first["requestStatusPerDestination"][0]["requestStatus"], "PROCESSING");
    let status = poll(&local, &id).await["requestStatusPerDestination"][0].clone();
    assert_eq!(status["requestStatus"], "PARTIAL_SUCCESS");
    assert_eq!(status["eventsIngestionStatus"]["recordCount"], "4");
    let counts = &status["errorInfo"]["errorCounts"];
    assert_eq!(counts[0]["reason"], "PROCESSING_ERROR_REASON_EVENT_TOO_OLD");
    assert_eq!(counts[0]["recordIndices"], json!(["1"]));
    assert_eq!(counts[1]["reason"], "PROCESSING_ERROR_REASON_DUPLICATE_TRANSACTION_ID");
    assert_eq!(counts[1]["recordIndices"], json!(["3"]));
    let book = local.state.summary()["platforms"]["google_ads"].clone();
    assert_eq!(book["unique_events"], 2);
    assert_eq!(book["duplicates"], 1);
    assert_eq!(book["refused_events"], 1);
    assert_eq!(book["values"], json!({"EUR": "99.8"}));

    local.post("/_standin/faults", &json!({"kind": "no_indices", "times": 1})).await;
    let counts = poll(&local, &id).await["requestStatusPerDestination"][0]["errorInfo"].clone();
    assert!(counts["errorCounts"][0]["recordIndices"].is_null(), "{counts}");
}

#[tokio::test]
async fn validate_only_judges_and_ingests_nothing() {
    let local = Local::default();
    let trial = set(&base(), "/validateOnly", json!(true));
    let (status, answer) = local.call(shoot(&trial).request()).await;
    assert_eq!(status, 200);
    assert_eq!(local.state.summary()["events_accepted"], 0);
    let id = answer["requestId"].as_str().expect("an id");
    assert_eq!(poll(&local, id).await["error"]["status"], "NOT_FOUND");
}

#[tokio::test]
async fn a_bad_optional_field_only_warns() {
    let local = Local::default();
    let odd = set(&base(), "/events/0/eventDeviceInfo/ipAddress", json!("nowhere"));
    let (status, answer) = local.call(shoot(&odd).request()).await;
    assert_eq!(status, 200);
    assert_eq!(answer["fieldWarnings"][0]["field"], "events[0].eventDeviceInfo.ipAddress");
    assert_eq!(local.state.summary()["events_accepted"], 1);
}

#[tokio::test]
async fn each_destination_has_its_own_outcome() {
    let local = Local::default();
    let mut body = base();
    let mut lead = body["destinations"][0].clone();
    lead["productDestinationId"] = json!("42");
    lead["reference"] = json!("leads");
    body["destinations"][0]["reference"] = json!("purchases");
    body["destinations"].as_array_mut().expect("a list").push(lead);
    let of = |reference: &str, id: &str, ago_seconds: i64| {
        let event = set(&event(), "/destinationReferences", json!([reference]));
        let event = set(&event, "/eventTimestamp", json!(ago(ago_seconds)));
        set(&event, "/transactionId", json!(id))
    };
    let old = 100 * 86_400;
    body["events"] = json!([of("purchases", "a", 60), of("leads", "a", 60), of("leads", "b", old)]);
    let (status, answer) = local.call(shoot(&body).request()).await;
    assert_eq!(status, 200, "{answer}");
    let id = answer["requestId"].as_str().expect("an id");
    poll(&local, id).await;
    let statuses = poll(&local, id).await["requestStatusPerDestination"].clone();
    assert_eq!(statuses[0]["requestStatus"], "SUCCESS");
    assert_eq!(statuses[0]["eventsIngestionStatus"]["recordCount"], "1");
    assert_eq!(statuses[1]["requestStatus"], "PARTIAL_SUCCESS");
    assert_eq!(statuses[1]["destination"]["productDestinationId"], "42");
    let indices = &statuses[1]["errorInfo"]["errorCounts"][0]["recordIndices"];
    assert_eq!(*indices, json!(["2"]), "a position in the request");
    let book = local.state.summary()["platforms"]["google_ads"].clone();
    assert_eq!((&book["unique_events"], &book["duplicates"]), (&json!(2), &json!(0)));
}

#[tokio::test]
async fn refusals_name_field_and_reason() {
    let local = Local::default();
    let email = "/events/0/userData/userIdentifiers/0/emailAddress";
    let rows = [
        (email, json!("jo@example.com"), "INVALID_SHA256_FORMAT"),
        ("/events/0/eventTimestamp", json!("absent"), "REQUIRED_FIELD_MISSING"),
        ("/events", json!([]), "REQUIRED_FIELD_MISSING"),
        ("/events/0/currency", json!("eur"), "INVALID_CURRENCY_CODE"),
    ];
    for (pointer, value, reason) in rows {
        let (status, answer) = local.call(shoot(&set(&base(), pointer, value)).request()).await;
        assert_eq!(status, 400);
        assert!(!answer.to_string().contains("jo@example.com"), "no value in an answer");
        let details = answer["error"]["details"].as_array().expect("details");
        let kinds: Vec<_> = details.iter().filter_map(|detail| detail["@type"].as_str()).collect();
        assert!(kinds.iter().all(|kind| kind.starts_with("type.googleapis.com/google.rpc.")));
        let violation = &details[2]["fieldViolations"][0];
        assert_eq!(violation["reason"], reason, "{violation}");
        assert!(violation["field"].as_str().is_some_and(|field| field.starts_with("events")));
    }
}

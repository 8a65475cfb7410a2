//! One captured row, several platforms: each by its own rules, from the order to the request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use capi_tests::database::Database;
use capi_tests::shop::{buy, customer, until_settled};
use capi_tests::sidecar::{Sidecar, capi};
use ring::hmac;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone)]
struct Request {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Takes whatever comes and answers by its path.
struct Receiver {
    endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
    server: JoinHandle<()>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        capi_tests::platform::allow(address);
        let endpoint = format!("http://{address}");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, seen.clone()));
            }
        });
        Self { endpoint, requests, server }
    }

    /// The requests whose path begins so.
    fn of(&self, path: &str) -> Vec<Request> {
        let requests = self.requests.lock().expect("no panic");
        requests.iter().filter(|request| request.path.starts_with(path)).cloned().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>) {
    let mut got = Vec::new();
    loop {
        let Some(request) = take(&mut got) else {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => got.extend_from_slice(&buffer[..count]),
                _ => return,
            }
            continue;
        };
        let body = if request.path.starts_with("/open_api") { r#"{"code":0}"# } else { "{}" };
        // Closed without a word: nobody knows whether it was taken.
        if request.path.starts_with("/mp/collect") {
            seen.lock().expect("no panic").push(request);
            return;
        }
        seen.lock().expect("no panic").push(request);
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Takes a whole request out of what has come so far.
fn take(got: &mut Vec<u8>) -> Option<Request> {
    let end = got.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(got[..end].to_vec()).expect("headers are text");
    let headers: BTreeMap<String, String> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |n| n.parse().expect("a length"));
    if got.len() < end + length {
        return None;
    }
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    let body = got[end..end + length].to_vec();
    got.drain(..end + length);
    Some(Request { path, headers, body })
}

/// A shop whose purchases go to these destinations: name, platform and settings.
async fn shop(destinations: &[(&str, &str, String)]) -> Database {
    let shop = Database::adopted().await;
    for (name, platform, settings) in destinations {
        shop.run(&format!(
            "select capi.create_destination('{name}', platform => '{platform}',
                settings => '{settings}', credential => '{}_KEY')",
            name.to_uppercase()
        ))
        .await;
    }
    let names: Vec<&str> = destinations.iter().map(|(name, ..)| *name).collect();
    shop.run(&format!(
        "select capi.track('shop.orders', conversions => 'shop.purchases',
            destinations => '{{{}}}')",
        names.join(",")
    ))
    .await;
    for name in names {
        shop.run(&format!("select capi.resume('{name}')")).await;
    }
    shop
}

/// Destination, status and reason of every delivery.
async fn deliveries(shop: &Database) -> Vec<String> {
    shop.column(
        "select format('%s %s %s', destination, status, coalesce(reason, '-'))
        from capi.delivery order by 1",
    )
    .await
}

/// The signature that a receiver expects of a request.
fn signature(key: &str, request: &Request) -> String {
    let mut signed = format!("{}.", request.headers["capi-timestamp"]).into_bytes();
    signed.extend_from_slice(&request.body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), &signed);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={hex}")
}

#[tokio::test]
async fn a_webhook_gets_signed_json_and_the_key_stays_here() {
    const KEY: &str = "5f2c-key-of-the-webhook";
    let receiver = Receiver::start().await;
    let settings = format!(r#"{{"endpoint": "{}/in", "omit": ["phone"]}}"#, receiver.endpoint);
    let shop = shop(&[("hook", "webhook", settings)]).await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let sidecar = Sidecar::start_with(&shop, &[("HOOK_KEY", KEY)]);
    until_settled(&shop, 30).await;
    assert_eq!(deliveries(&shop).await, ["hook delivered -"]);
    let request = receiver.of("/in").remove(0);
    assert_eq!(request.headers["capi-signature"], signature(KEY, &request));
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let event = &body["events"][0];
    assert_eq!(event["event_name"], "Purchase");
    assert!(event["identity"]["email"].is_array(), "{event}");
    assert!(event["identity"].get("phone").is_none(), "{event}");
    let text = format!("{:?}{}{}", request.headers, event, sidecar.log());
    assert!(!text.contains(KEY), "{text}");
}

#[tokio::test]
async fn a_test_by_hand_is_signed_and_marked_and_needs_no_code_where_nothing_counts() {
    let receiver = Receiver::start().await;
    let at = &receiver.endpoint;
    let shop = shop(&[
        ("hook", "webhook", format!(r#"{{"endpoint": "{at}/in", "tag": {{"id": "1"}}}}"#)),
        ("tt", "tiktok", format!(r#"{{"event_source_id": "C1", "endpoint": "{at}"}}"#)),
        ("li", "linkedin", format!(r#"{{"events": {{"Purchase": "1"}}, "endpoint": "{at}"}}"#)),
    ])
    .await;
    let url = shop.url("capi");
    let variables = [
        ("CAPI_DATABASE_URL", url.as_str()),
        ("HOOK_KEY", "5f2c-key"),
        ("TT_KEY", "tt-token"),
        ("LI_KEY", "li-token"),
    ];
    let test = async |arguments: &[&str]| {
        let sent = capi(&[&["send-test"], arguments].concat(), &variables).await;
        let said =
            [sent.stdout, sent.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (sent.status.code(), said.concat())
    };
    let (code, said) = test(&["hook"]).await;
    assert_eq!(code, Some(0), "{said}");
    let request = receiver.of("/in").remove(0);
    assert_eq!(request.headers["capi-signature"], signature("5f2c-key", &request));
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["test"], "true");
    assert!(body["events"][0]["event_id"].as_str().expect("an id").starts_with("capi-test-"));

    let (code, said) = test(&["tt"]).await;
    assert!(code == Some(2) && said.contains("--test-code"), "{said}");
    let (code, said) = test(&["tt", "--test-code", "TEST1"]).await;
    assert!(code == Some(0) && said.contains("delivered"), "{said}");
    let body: Value = serde_json::from_slice(&receiver.of("/open_api")[0].body).expect("JSON");
    assert_eq!(body["test_event_code"], "TEST1");
    let (code, said) = test(&["li"]).await;
    assert!(code == Some(2) && said.contains("no test mode"), "{said}");
    assert_eq!(receiver.requests.lock().expect("no panic").len(), 2);
}

#[tokio::test]
async fn one_row_serves_several_platforms_by_the_rules_of_each() {
    let receiver = Receiver::start().await;
    let at = &receiver.endpoint;
    let shop = shop(&[
        (
            "ads",
            "google_ads",
            format!(r#"{{"customer_id": "1", "events": {{"Lead": "2"}}, "endpoint": "{at}"}}"#),
        ),
        ("analytics", "ga4", format!(r#"{{"measurement_id": "G-1", "endpoint": "{at}"}}"#)),
        ("hook", "webhook", format!(r#"{{"endpoint": "{at}/in", "only": ["Refund"]}}"#)),
        ("tt", "tiktok", format!(r#"{{"event_source_id": "C1", "endpoint": "{at}"}}"#)),
    ])
    .await;
    let c = customer(&shop).await;
    buy(&shop, c).await;
    let variables =
        [("ADS_KEY", "a"), ("ANALYTICS_KEY", "b"), ("HOOK_KEY", "c"), ("TT_KEY", "tt-token")];
    let _sidecar = Sidecar::start_with(&shop, &variables);
    until_settled(&shop, 30).await;
    assert_eq!(
        deliveries(&shop).await,
        [
            "ads unrouted no_event_mapping",
            "analytics refused missing_ga_client_id",
            "hook unrouted not_in_only",
            "tt delivered -",
        ]
    );
    let request = receiver.of("/open_api/v1.3/event/track/").remove(0);
    assert_eq!(request.headers["access-token"], "tt-token");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["data"][0]["event"], "Purchase");
    assert_eq!(receiver.requests.lock().expect("no panic").len(), 1);
}

#[tokio::test]
async fn what_analytics_may_have_and_would_count_twice_is_not_sent_again() {
    let receiver = Receiver::start().await;
    let settings = format!(
        r#"{{"measurement_id": "G-1", "endpoint": "{}", "events": {{"Purchase": "OrderPlaced"}}}}"#,
        receiver.endpoint
    );
    let shop = shop(&[("analytics", "ga4", settings)]).await;
    let c = customer(&shop).await;
    shop.run(&format!(
        "insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at, browser)
        values ({c}, 'EUR', 10, 'https://shop.example.com/checkout', 'paid', clock_timestamp(),
            '{{\"ga_client_id\": \"1098115397.1789900000\"}}')"
    ))
    .await;
    let _sidecar = Sidecar::start_with(&shop, &[("ANALYTICS_KEY", "s3cret")]);
    until_settled(&shop, 30).await;
    assert_eq!(deliveries(&shop).await, ["analytics undecided perhaps_delivered"]);
    let requests = receiver.of("/mp/collect?measurement_id=G-1&api_secret=s3cret");
    assert_eq!(requests.len(), 1);
    let body: Value = serde_json::from_slice(&requests[0].body).expect("JSON");
    assert_eq!(body["events"][0]["name"], "order_placed");
}

//! Tests of the stand-in as a whole: each check with a good and a bad event, each fault on a real
//! connection.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::{DEMO_TOKEN, FakeOptions, FakeState, router, serve_state};

const PIXEL: &str = "1234567890";
const EDGE: &str = "/v25.0/1234567890/events";
const DIGEST: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since_1970.as_secs()).expect("in range")
}

fn purchase() -> Value {
    json!({
        "event_name": "Purchase",
        "event_id": "order-1",
        "event_time": now() - 60,
        "action_source": "website",
        "event_source_url": "https://shop.example.com/checkout",
        "user_data": {"em": [DIGEST], "client_ip_address": "203.0.113.7", "client_user_agent": "B"},
        "custom_data": {"value": 12.50, "currency": "EUR"},
    })
}

/// A purchase with one change: `path` is set to `value`, or removed when that is null.
fn changed(path: &str, value: Value) -> Value {
    let mut event = purchase();
    let (parent, key) = path.rsplit_once('/').expect("a pointer");
    let parent = event.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value {
        Value::Null => parent.remove(key),
        value => parent.insert(key.to_owned(), value),
    };
    event
}

struct Fake {
    state: FakeState,
    router: Router,
}

impl Fake {
    fn new(options: &FakeOptions) -> Self {
        let state = FakeState::new(options);
        Self { router: router(state.clone()), state }
    }

    async fn call(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(post(path, Some(DEMO_TOKEN), body.to_string())).await
    }

    async fn send(&self, events: &[Value]) -> (u16, Value) {
        self.post(EDGE, &json!({ "data": events })).await
    }

    async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        self.call(request).await.1
    }

    async fn subcode(&self, event: Value) -> Option<i64> {
        let (status, answer) = self.send(&[event]).await;
        match status {
            200 => None,
            400 => {
                assert_eq!(answer["error"]["code"], 100);
                Some(answer["error"]["error_subcode"].as_i64().unwrap_or(0))
            }
            other => panic!("unexpected status {other}"),
        }
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self::new(&FakeOptions::default())
    }
}

fn post(path: &str, token: Option<&str>, body: String) -> Request<Body> {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::from(body)).expect("a request")
}

#[tokio::test]
async fn accepts_a_good_event_in_the_documented_shape() {
    let (status, answer) = Fake::default().send(&[purchase()]).await;
    assert_eq!(status, 200);
    assert_eq!(answer["events_received"], 1);
    assert_eq!(answer["messages"], json!([]));
    assert!(answer["fbtrace_id"].is_string());
}

/// One row per check: what is changed, to a good and to a bad value, and the subcode (0: none).
#[tokio::test]
async fn each_check_lets_the_good_through_and_refuses_the_bad() {
    let fake = Fake::default();
    let ms = now() * 1000;
    let day = 86_400;
    let upper = DIGEST.to_uppercase();
    let appended = format!("{DIGEST}.AQQCAQIB");
    let rows = [
        ("/event_name", json!("Custom"), Value::Null, 0),
        ("/event_name", json!("purchase"), json!(""), 0),
        ("/event_time", json!(now() - 7 * day + 60), json!(now() - 7 * day - 60), 2_804_003),
        ("/event_time", json!(now() + 600), json!(ms), 0),
        ("/event_time", json!(now()), json!(now().to_string()), 0),
        ("/event_time", json!(now()), json!(1.5), 0),
        ("/event_time", json!(now()), Value::Null, 0),
        ("/event_id", json!("x"), json!(7), 0),
        ("/action_source", json!("other"), json!("web"), 0),
        ("/action_source", json!("website"), Value::Null, 0),
        ("/action_source", json!("chat"), json!("app"), 0),
        ("/action_source", json!("email"), json!("business_messaging"), 2_804_063),
        ("/event_source_url", json!("http://example.com"), json!("shop.example.com"), 0),
        ("/event_source_url", json!("https://example.com/a?b"), Value::Null, 0),
        ("/referrer_url", json!("https://example.org"), json!(""), 0),
        ("/opt_out", json!(true), json!("no"), 0),
        ("/user_data", json!({"em": DIGEST}), Value::Null, 0),
        ("/user_data", json!({"em": DIGEST}), json!([]), 0),
        ("/user_data", json!({"external_id": "4"}), json!({}), 2_804_050),
        ("/user_data", json!({"ph": DIGEST}), json!({"nonsense": "4"}), 0),
        ("/user_data/em", json!(DIGEST), json!("jo@example.com"), 2_804_016),
        ("/user_data/em", json!([DIGEST, appended]), json!([DIGEST, upper]), 2_804_016),
        ("/user_data/ph", json!(DIGEST), json!("16505550100"), 2_804_016),
        ("/user_data/fn", json!(DIGEST), json!(""), 2_804_016),
        ("/user_data/ln", json!(DIGEST), json!(&DIGEST[..32]), 2_804_016),
        ("/user_data/country", json!(DIGEST), json!("us"), 2_804_016),
        ("/user_data/zp", json!([DIGEST]), json!([]), 0),
        ("/user_data/em", json!(DIGEST), json!(super::meta::DIGEST_OF_NOTHING), 0),
        ("/user_data/external_id", json!(["a", "b"]), json!(42), 0),
        ("/user_data/external_id", json!("a"), json!([""]), 0),
        ("/user_data/client_ip_address", json!("2001:db8::7"), json!("203.0.113.7:443"), 0),
        ("/user_data/client_ip_address", json!("203.0.113.7"), json!(" 203.0.113.7"), 0),
        ("/user_data/client_user_agent", json!("Browser/1.0"), json!(""), 0),
        ("/user_data/lead_id", json!(123_456_789_012_345_u64), json!(12), 0),
        ("/user_data/fb_login_id", json!(12), json!("12"), 0),
        ("/custom_data/value", json!(0), Value::Null, 2_804_009),
        ("/custom_data/value", json!(19.99), json!("19.99"), 2_804_009),
        ("/custom_data/currency", json!("usd"), Value::Null, 2_804_010),
        ("/custom_data/currency", json!("KRW"), json!("ABC"), 2_804_010),
        ("/custom_data", json!({"value": 1, "currency": "EUR"}), json!({}), 2_804_010),
        ("/custom_data/order_id", json!("7"), json!(7), 0),
        ("/custom_data/content_type", json!("product"), json!("thing"), 0),
        ("/custom_data/content_ids", json!(["a"]), json!([1]), 0),
        ("/custom_data/num_items", json!(2), json!(2.5), 0),
        ("/custom_data/contents", json!([{"id": "a", "quantity": 1}]), json!([{"quantity": 1}]), 0),
        ("/custom_data/contents", json!([]), json!([{"id": "a", "item_price": "1"}]), 0),
        ("/custom_data/anything", json!("own property"), json!(1), -1),
        ("/colour", Value::Null, json!("red"), 0),
        ("/customer_segmentation", json!("new_customer_to_business"), json!("new"), 0),
        ("/original_event_data", json!({"order_id": "1"}), json!("1"), 0),
        ("/data_processing_options", json!([]), json!(["LDU"]), 0),
        ("/data_processing_options", json!([]), json!("LDU"), 0),
        ("/data_processing_options_state", Value::Null, json!(1000), 0),
    ];
    for (path, good, bad, subcode) in rows {
        let answer = fake.subcode(changed(path, good.clone())).await;
        assert_eq!(answer, None, "{path} {good} is good");
        if subcode >= 0 {
            let answer = fake.subcode(changed(path, bad.clone())).await;
            assert_eq!(answer, Some(subcode), "{path} {bad} is bad");
        }
    }
}

#[tokio::test]
async fn click_and_browser_ids_are_checked() {
    let fake = Fake::default();
    let ms = (now() - 3600) * 1000;
    let old = (now() - 91 * 86_400) * 1000;
    let later = (now() + 3600) * 1000;
    let rows = [
        ("/user_data/fbc", format!("fb.1.{ms}.IwAR_x-9"), true),
        ("/user_data/fbc", format!("fb.2.{ms}.IwAR.AQ"), true),
        ("/user_data/fbc", format!("fb.1.{ms}.IwAR.AQQCAQIB"), true),
        ("/user_data/fbc", format!("fb.1.{ms}"), false),
        ("/user_data/fbc", format!("fb.1.{ms}.IwAR.ABC"), false),
        ("/user_data/fbc", format!("fb.1.{ms}.fb.1.{ms}.IwAR"), false),
        ("/user_data/fbc", format!("fb.1.{}.IwAR", ms / 1000), false),
        ("/user_data/fbc", format!("fb.1.{ms}.Iw AR"), false),
        ("/user_data/fbc", format!("fb.1.{old}.IwAR"), false),
        ("/user_data/fbc", format!("fb.1.{later}.IwAR"), false),
        ("/user_data/fbp", format!("fb.1.{ms}.2147483646"), true),
        ("/user_data/fbp", format!("fb.1.{old}.2147483646"), true),
        ("/user_data/fbp", format!("fb.1.{ms}.abc"), false),
        ("/user_data/fbp", "GA1.1.123.456".to_owned(), false),
    ];
    for (path, text, good) in rows {
        let expected = (!good).then_some(2_804_001);
        assert_eq!(fake.subcode(changed(path, json!(text))).await, expected, "{path} {text}");
    }
}

#[tokio::test]
async fn identity_must_not_be_too_broad() {
    let fake = Fake::default();
    let user = |keys: &[&str]| {
        let user: serde_json::Map<String, Value> =
            keys.iter().map(|key| ((*key).to_owned(), json!(DIGEST))).collect();
        changed("/user_data", Value::Object(user))
    };
    let groups: [&[&str]; 4] = [
        &["ct", "country", "st", "zp", "ge", "client_user_agent"],
        &["db", "client_user_agent"],
        &["fn", "ge"],
        &["ln", "ge"],
    ];
    for group in groups {
        assert_eq!(fake.subcode(user(group)).await, Some(2_804_050), "{group:?}");
        assert_eq!(fake.subcode(user(&group[..1])).await, Some(2_804_050), "part of {group:?}");
        let more = [group, &["em"]].concat();
        assert_eq!(fake.subcode(user(&more)).await, None, "{more:?}");
    }
    assert_eq!(fake.subcode(user(&["fn", "ln"])).await, None);
}

#[tokio::test]
async fn sources_other_than_a_website_have_their_own_rules() {
    let fake = Fake::default();
    let with = |source: &str, more: Value| {
        let mut event = changed("/action_source", json!(source));
        for (key, value) in more.as_object().expect("an object") {
            event[key] = value.clone();
        }
        event
    };
    let mut extinfo = vec![json!(""); 16];
    extinfo[0] = json!("i2");
    extinfo[4] = json!("17.0");
    let app = |extinfo: &[Value]| {
        json!({"app_data": {
            "advertiser_tracking_enabled": 1, "application_tracking_enabled": 0, "extinfo": extinfo,
        }})
    };
    assert_eq!(fake.subcode(with("app", app(&extinfo))).await, None);
    assert_eq!(fake.subcode(with("app", app(&extinfo[..15]))).await, Some(0));
    extinfo[4] = json!("");
    assert_eq!(fake.subcode(with("app", app(&extinfo))).await, Some(2_804_043));

    let chat = json!({"messaging_channel": "whatsapp"});
    assert_eq!(fake.subcode(with("business_messaging", chat.clone())).await, None);
    let mut wrong_name = with("business_messaging", chat);
    wrong_name["event_name"] = json!("PageView");
    assert_eq!(fake.subcode(wrong_name).await, Some(2_804_066));

    let old = json!({"event_time": now() - 61 * 86_400});
    assert_eq!(fake.subcode(with("physical_store", old.clone())).await, None);
    assert_eq!(fake.subcode(with("chat", old)).await, Some(2_804_003));
    let too_old = json!({"event_time": now() - 63 * 86_400});
    assert_eq!(fake.subcode(with("physical_store", too_old)).await, Some(2_804_003));
}

#[tokio::test]
async fn limited_data_use_needs_country_and_state() {
    let fake = Fake::default();
    let event = |country: i64, state: i64, ip: bool| {
        let mut event = changed("/data_processing_options", json!(["LDU"]));
        event["data_processing_options_country"] = json!(country);
        event["data_processing_options_state"] = json!(state);
        if !ip {
            event["user_data"].as_object_mut().expect("an object").remove("client_ip_address");
        }
        event
    };
    assert_eq!(fake.subcode(event(0, 0, true)).await, None);
    assert_eq!(fake.subcode(event(1, 1000, false)).await, None);
    assert_eq!(fake.subcode(event(0, 0, false)).await, Some(0));
    assert_eq!(fake.subcode(event(1, 0, true)).await, Some(0));
    assert_eq!(fake.subcode(event(1, 999, true)).await, Some(0));
}

#[tokio::test]
async fn one_bad_event_refuses_the_whole_request() {
    let fake = Fake::default();
    let bad = changed("/user_data/em", json!("jo@example.com"));
    let (status, answer) = fake.send(&[purchase(), bad, purchase()]).await;
    assert_eq!(status, 400);
    let error = &answer["error"];
    assert_eq!(error["type"], "OAuthException");
    assert_eq!(error["is_transient"], false);
    for key in ["message", "error_user_title", "error_user_msg", "fbtrace_id"] {
        assert!(error[key].is_string(), "{key}");
    }
    assert!(!answer.to_string().contains("jo@example.com"));
    assert_eq!(fake.state.summary()["events_accepted"], 0);
    let requests = fake.get("/_fake/requests").await;
    assert_eq!(requests["requests"][0]["refused"]["event"], 1, "the log knows the culprit");
}

#[tokio::test]
async fn a_request_holds_1_to_1000_events() {
    let fake = Fake::default();
    assert_eq!(fake.send(&vec![purchase(); 1000]).await.0, 200);
    assert_eq!(fake.send(&vec![purchase(); 1001]).await.0, 400);
    assert_eq!(fake.send(&[]).await.0, 400);
}

#[tokio::test]
async fn the_request_itself_is_checked() {
    let fake = Fake::default();
    let body = |more: Value| {
        let mut body = json!({ "data": [purchase()] });
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    let rows = [
        (json!({}), 200),
        (json!({"test_event_code": "TEST123"}), 200),
        (json!({"test_event_code": 123}), 400),
        (json!({"partner_agent": "pg_capi"}), 200),
        (json!({"partner_agent": "a name that is far too long"}), 400),
        (json!({"colour": "red"}), 400),
        (json!({"data": {}}), 400),
    ];
    for (more, expected) in rows {
        assert_eq!(fake.post(EDGE, &body(more.clone())).await.0, expected, "{more}");
    }
    let raw = |content_type: &str, body: &str| {
        Request::post(EDGE)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::AUTHORIZATION, format!("Bearer {DEMO_TOKEN}"))
            .body(Body::from(body.to_owned()))
            .expect("a request")
    };
    let good = body(json!({})).to_string();
    assert_eq!(fake.call(raw("application/json; charset=utf-8", &good)).await.0, 200);
    assert_eq!(fake.call(raw("text/plain", &good)).await.0, 400);
    assert_eq!(fake.call(raw("application/json", "{")).await.0, 400);
    assert_eq!(fake.call(raw("application/json", "[]")).await.0, 400);
    assert_eq!(fake.call(raw("application/json", "")).await.0, 400);
}

#[tokio::test]
async fn path_and_token_are_checked() {
    let fake = Fake::new(&FakeOptions { pixel: Some(PIXEL.to_owned()), ..FakeOptions::default() });
    let body = json!({ "data": [purchase()] });
    let error = |answer: &Value| answer["error"]["code"].as_i64().unwrap_or_default();
    let rows = [("v25.0", 200, 0), ("v19.0", 400, 2635), ("v99.0", 400, 2500), ("25", 400, 2500)];
    for (version, status, code) in rows {
        let (got, answer) = fake.post(&format!("/{version}/{PIXEL}/events"), &body).await;
        assert_eq!((got, error(&answer)), (status, code), "{version}");
    }
    let (status, answer) = fake.post("/v25.0/99/events", &body).await;
    assert_eq!((status, error(&answer)), (400, 100));
    assert_eq!(answer["error"]["error_subcode"], 33);
    assert_eq!(fake.post("/v25.0/nowhere", &body).await.0, 400);
    let get = Request::builder().method(Method::GET).uri(EDGE).body(Body::empty()).expect("ok");
    assert_eq!(fake.call(get).await.0, 400);

    for token in [None, Some("wrong"), Some("")] {
        let (status, answer) = fake.call(post(EDGE, token, body.to_string())).await;
        assert_eq!((status, error(&answer)), (401, 190), "{token:?}");
    }
    let in_query = format!("{EDGE}?access_token={DEMO_TOKEN}");
    assert_eq!(fake.call(post(&in_query, None, body.to_string())).await.0, 200);
    let mut in_body = body;
    in_body["access_token"] = json!(DEMO_TOKEN);
    assert_eq!(fake.call(post(EDGE, None, in_body.to_string())).await.0, 200);

    let requests = fake.get("/_fake/requests?limit=100").await;
    assert_eq!(requests["requests"][0]["token_in"], "body");
    assert_eq!(requests["requests"][1]["token_in"], "query");
    assert_eq!(requests["requests"][0]["body"]["data"][0]["event_id"], "order-1");
    assert!(!requests.to_string().contains(DEMO_TOKEN), "no token in the log");
}

#[tokio::test]
async fn duplicates_are_kept_but_count_once() {
    let fake = Fake::default();
    let mut other = purchase();
    other["event_id"] = json!("order-2");
    other["custom_data"] = json!({"value": 0.1, "currency": "eur"});
    fake.send(&[purchase(), other]).await;
    fake.send(&[purchase()]).await;
    let mut lead = purchase();
    lead["event_name"] = json!("Lead");
    lead["custom_data"] = json!({});
    fake.send(&[lead]).await;

    let summary = fake.get("/_fake/summary").await;
    assert_eq!(summary["requests"], 3);
    assert_eq!(summary["events_accepted"], 4);
    assert_eq!(summary["unique_events"], 3);
    assert_eq!(summary["duplicates"], 1);
    assert_eq!(summary["values"], json!({"EUR": "12.6"}));
    assert_eq!(summary["event_names"]["Purchase"]["unique"], 2);
    assert_eq!(summary["event_names"]["Lead"]["accepted"], 1);

    let events = fake.get("/_fake/events?event_id=order-1").await;
    let flags: Vec<_> = events["events"].as_array().expect("a list").iter().collect();
    assert_eq!(flags.len(), 3, "the lead has the same id under another name");
    assert_eq!(flags[0]["duplicate"], false);
    assert_eq!(flags[1]["duplicate"], true);
    assert_eq!(flags[2]["duplicate"], false);
    assert_eq!(flags[0]["pixel"], PIXEL);
    assert_eq!(flags[0]["event"]["custom_data"]["value"].to_string(), "12.5");
    let page = fake.get("/_fake/events?offset=1&limit=2").await;
    assert_eq!(page["total"], 4);
    assert_eq!(page["events"][0]["event"]["event_id"], "order-2");
}

#[tokio::test]
async fn the_clock_can_be_moved_and_everything_forgotten() {
    let fake = Fake::default();
    fake.send(&[purchase()]).await;
    fake.post("/_fake/clock", &json!({"advance_seconds": 49 * 3600})).await;
    fake.send(&[purchase()]).await;
    assert_eq!(fake.state.summary()["unique_events"], 2, "48 hours have passed");
    fake.post("/_fake/clock", &json!({"advance_seconds": 7 * 86_400})).await;
    assert_eq!(fake.subcode(purchase()).await, Some(2_804_003));
    fake.post("/_fake/reset", &json!({})).await;
    assert_eq!(fake.state.summary()["requests"], 0);
    assert_eq!(fake.subcode(purchase()).await, None);
}

/// The stand-in on a real port, and a client as strict as the sidecar's.
struct Online {
    fake: Fake,
    base: String,
    client: reqwest::Client,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Online {
    #[expect(clippy::disallowed_methods, reason = "a test's own client, to loopback")]
    async fn start() -> Self {
        // The client insists on a provider even where nothing is encrypted.
        rustls::crypto::ring::default_provider().install_default().ok();
        let fake = Fake::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(serve_state(fake.state.clone(), listener));
        Self { fake, base, client: reqwest::Client::new(), server }
    }

    async fn fault(&self, fault: Value) {
        let (status, answer) = self.fake.post("/_fake/faults", &fault).await;
        assert_eq!(status, 200, "{answer}");
    }

    fn request(&self) -> reqwest::RequestBuilder {
        self.client
            .post(format!("{}{EDGE}", self.base))
            .bearer_auth(DEMO_TOKEN)
            .header("content-type", "application/json")
            .timeout(Duration::from_secs(10))
            .body(json!({ "data": [purchase()] }).to_string())
    }

    async fn send(&self) -> Result<(reqwest::StatusCode, String), reqwest::Error> {
        let response = self.request().send().await?;
        let status = response.status();
        Ok((status, response.text().await?))
    }

    fn accepted(&self) -> Value {
        self.fake.state.summary()["events_accepted"].clone()
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tokio::test]
async fn a_cut_before_the_body_accepts_nothing() {
    let online = Online::start().await;
    // A connection that already served a request is dropped as well as a new one.
    online.send().await.expect("an answer");
    online.fault(json!({"kind": "cut_before_body", "times": 1})).await;
    let error = online.send().await.expect_err("no answer");
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(online.accepted(), 1);
    assert_eq!(online.send().await.expect("an answer").0, 200);
}

#[tokio::test]
async fn a_cut_after_the_body_has_accepted_the_events() {
    let online = Online::start().await;
    online.fault(json!({"kind": "cut_after_body", "times": 1})).await;
    let error = online.send().await.expect_err("no answer");
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(online.accepted(), 1);
    online.send().await.expect("an answer");
    let summary = online.fake.state.summary();
    assert_eq!(summary["duplicates"], 1, "sending it again is seen as a copy");
    assert_eq!(summary["unanswered_requests"], 1);
}

#[tokio::test]
async fn a_cut_in_the_answer_shows_the_status_but_no_whole_body() {
    let online = Online::start().await;
    online.fault(json!({"kind": "cut_mid_answer", "times": 1})).await;
    let response = online.request().send().await.expect("a head");
    assert_eq!(response.status(), 200);
    response.text().await.expect_err("half a body");
    assert_eq!(online.accepted(), 1);
}

#[tokio::test]
async fn slow_and_silent_answers_outlast_an_impatient_client() {
    let online = Online::start().await;
    let patience = Duration::from_millis(150);
    online.fault(json!({"kind": "late", "ms": 60_000, "times": 1})).await;
    let error = online.request().timeout(patience).send().await.expect_err("too late");
    assert!(error.is_timeout());
    assert_eq!(online.accepted(), 1, "late has accepted");
    online.fault(json!({"kind": "blackhole", "times": 1})).await;
    let error = online.request().timeout(patience).send().await.expect_err("silence");
    assert!(error.is_timeout());
    assert_eq!(online.accepted(), 1, "a black hole has not");
    online.fault(json!({"kind": "latency", "ms": 60, "times": 1})).await;
    let start = Instant::now();
    assert_eq!(online.send().await.expect("an answer").0, 200);
    assert!(start.elapsed() >= Duration::from_millis(60));
    assert_eq!(online.accepted(), 2);
}

#[tokio::test]
async fn error_answers_have_the_codes_and_headers_of_the_platform() {
    let online = Online::start().await;
    let ask = async |fault: Value| {
        online.fault(fault).await;
        let response = online.request().send().await.expect("an answer");
        let headers = response.headers().clone();
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, headers, serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    let (status, headers, body) = ask(json!({"kind": "status", "times": 1})).await;
    assert_eq!((status, body["error"]["is_transient"].as_bool()), (500, Some(true)));
    assert!(headers.contains_key("x-fb-trace-id"));
    let fault = json!({"kind": "status", "status": 503, "retry_after": 7, "times": 1});
    let (status, headers, _) = ask(fault).await;
    assert_eq!((status, headers["retry-after"].to_str().ok()), (503, Some("7")));
    let fault = json!({"kind": "status", "status": 400, "code": 368, "times": 1});
    let (status, _, body) = ask(fault).await;
    assert_eq!((status, body["error"]["code"].as_i64()), (400, Some(368)));

    let (status, headers, body) = ask(json!({"kind": "throttle", "times": 1})).await;
    assert_eq!((status, body["error"]["code"].as_i64()), (429, Some(4)));
    let usage: Value = serde_json::from_slice(headers["x-app-usage"].as_bytes()).expect("JSON");
    assert_eq!(usage["call_count"], 100);
    let fault = json!({"kind": "throttle", "status": 400, "code": 80004, "minutes": 3, "times": 1});
    let (status, headers, body) = ask(fault).await;
    assert_eq!((status, body["error"]["code"].as_i64()), (400, Some(80_004)));
    let usage = headers["x-business-use-case-usage"].as_bytes();
    let usage: Value = serde_json::from_slice(usage).expect("JSON");
    assert_eq!(usage[PIXEL][0]["estimated_time_to_regain_access"], 3);

    let (status, _, body) = ask(json!({"kind": "expired_token", "times": 1})).await;
    assert_eq!(status, 401);
    assert_eq!(body["error"]["code"], 190);
    assert_eq!(body["error"]["error_subcode"], 463);
    let (status, headers, body) = ask(json!({"kind": "html", "times": 1})).await;
    assert_eq!((status, body), (500, Value::Null));
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(online.accepted(), 0, "none of them accepts anything");

    let (status, headers, body) = ask(json!({"kind": "usage", "percent": 88, "times": 1})).await;
    assert_eq!((status, body["events_received"].as_i64()), (200, Some(1)));
    let usage: Value = serde_json::from_slice(headers["x-app-usage"].as_bytes()).expect("JSON");
    assert_eq!(usage["call_count"], 88);
}

#[tokio::test]
async fn misleading_answers_come_after_acceptance() {
    let online = Online::start().await;
    for (fault, expected) in [
        (json!({"kind": "lie", "times": 1}), "\"events_received\":0"),
        (json!({"kind": "lie", "received": 7, "times": 1}), "\"events_received\":7"),
        (json!({"kind": "empty", "times": 1}), ""),
        (json!({"kind": "garbage", "times": 1}), "{\"events_rec"),
    ] {
        let before = online.accepted().as_u64();
        online.fault(fault.clone()).await;
        let (status, body) = online.send().await.expect("an answer");
        assert_eq!(status, 200, "{fault}");
        assert!(body.contains(expected), "{fault}");
        assert_eq!(online.accepted().as_u64(), before.map(|before| before + 1), "{fault}");
    }
}

#[tokio::test]
async fn faults_can_be_listed_removed_and_refused() {
    let fake = Fake::default();
    for bad in [json!({"kind": "flood"}), json!({"kind": "html", "tmes": 1})] {
        assert_eq!(fake.post("/_fake/faults", &bad).await.0, 422, "{bad}");
    }
    let bad = json!({"kind": "html", "probability": 3});
    assert_eq!(fake.post("/_fake/faults", &bad).await.0, 400);

    fake.post("/_fake/faults", &json!({"kind": "html", "pixel": "99"})).await;
    fake.post("/_fake/faults", &json!({"kind": "poison", "event_id": "order-1"})).await;
    assert_eq!(fake.get("/_fake/faults").await.as_array().map(Vec::len), Some(2));
    assert_eq!(fake.subcode(purchase()).await, Some(0), "the poison, not the other pixel's page");
    assert_eq!(fake.subcode(changed("/event_id", json!("order-2"))).await, None);
    let clear = Request::delete("/_fake/faults").body(Body::empty()).expect("a request");
    assert_eq!(fake.call(clear).await.1["removed"], 2);
    assert_eq!(fake.subcode(purchase()).await, None);
}

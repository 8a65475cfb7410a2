//! Tests of the stand-in as a whole: each rule with good and bad examples, its memory, and each
//! fault on a real connection.

mod faults;
mod platforms;
mod rules;

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{DEMO_TOKEN, Standin, StandinOptions, router};

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

struct Local {
    state: Standin,
    router: Router,
}

impl Local {
    fn new(options: &StandinOptions) -> Self {
        let state = Standin::new(options);
        Self { router: router(state.clone()), state }
    }

    async fn call(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 25).await.expect("a body");
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

impl Default for Local {
    fn default() -> Self {
        Self::new(&StandinOptions::default())
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
    let (status, answer) = Local::default().send(&[purchase()]).await;
    assert_eq!(status, 200);
    assert_eq!(answer["events_received"], 1);
    assert_eq!(answer["messages"], json!([]));
    assert!(answer["fbtrace_id"].is_string());
}

#[tokio::test]
async fn one_bad_event_refuses_the_whole_request() {
    let local = Local::default();
    let bad = changed("/user_data/em", json!("jo@example.com"));
    let (status, answer) = local.send(&[purchase(), bad, purchase()]).await;
    assert_eq!(status, 400);
    let error = &answer["error"];
    assert_eq!(error["type"], "OAuthException");
    assert_eq!(error["is_transient"], false);
    for key in ["message", "error_user_title", "error_user_msg", "fbtrace_id"] {
        assert!(error[key].is_string(), "{key}");
    }
    assert!(!answer.to_string().contains("jo@example.com"));
    assert_eq!(local.state.summary()["events_accepted"], 0);
    let requests = local.get("/_standin/requests").await;
    assert_eq!(requests["requests"][0]["refused"]["event"], 1, "the log knows the culprit");
}

#[tokio::test]
async fn path_and_token_are_checked() {
    let local =
        Local::new(&StandinOptions { pixel: Some(PIXEL.to_owned()), ..StandinOptions::default() });
    let body = json!({ "data": [purchase()] });
    let error = |answer: &Value| answer["error"]["code"].as_i64().unwrap_or_default();
    let rows = [("v25.0", 200, 0), ("v19.0", 400, 2635), ("v99.0", 400, 2500), ("25", 400, 2500)];
    for (version, status, code) in rows {
        let (got, answer) = local.post(&format!("/{version}/{PIXEL}/events"), &body).await;
        assert_eq!((got, error(&answer)), (status, code), "{version}");
    }
    let (status, answer) = local.post("/v25.0/99/events", &body).await;
    assert_eq!((status, error(&answer)), (400, 100));
    assert_eq!(answer["error"]["error_subcode"], 33);
    assert_eq!(local.post("/v25.0/nowhere", &body).await.0, 400);
    let get = Request::builder().method(Method::GET).uri(EDGE).body(Body::empty()).expect("ok");
    assert_eq!(local.call(get).await.0, 400);

    for token in [None, Some("wrong"), Some("")] {
        let (status, answer) = local.call(post(EDGE, token, body.to_string())).await;
        assert_eq!((status, error(&answer)), (401, 190), "{token:?}");
    }
    let in_query = format!("{EDGE}?access_token={DEMO_TOKEN}");
    assert_eq!(local.call(post(&in_query, None, body.to_string())).await.0, 200);
    let mut in_body = body;
    in_body["access_token"] = json!(DEMO_TOKEN);
    assert_eq!(local.call(post(EDGE, None, in_body.to_string())).await.0, 200);

    let data = in_body["data"].to_string();
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("data", &data)
        .append_pair("access_token", DEMO_TOKEN)
        .append_pair("appsecret_proof", "a-proof-of-the-secret")
        .finish();
    let form = Request::post(EDGE)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .expect("a request");
    assert_eq!(local.call(form).await.0, 200);

    let requests = local.get("/_standin/requests?limit=100").await;
    assert!(!requests.to_string().contains("a-proof-of-the-secret"), "no proof in the log");
    assert_eq!(requests["requests"][0]["token_in"], "body");
    assert_eq!(requests["requests"][0]["body"]["data"][0]["event_id"], "order-1");
    let requests = json!({ "requests": requests["requests"].as_array().map(|all| &all[1..]) });
    assert_eq!(requests["requests"][0]["token_in"], "body");
    assert_eq!(requests["requests"][1]["token_in"], "query");
    assert_eq!(requests["requests"][0]["body"]["data"][0]["event_id"], "order-1");
    assert!(!requests.to_string().contains(DEMO_TOKEN), "no token in the log");
}

#[tokio::test]
async fn duplicates_are_kept_but_count_once() {
    let local = Local::default();
    let mut other = purchase();
    other["event_id"] = json!("order-2");
    other["custom_data"] = json!({"value": 0.1, "currency": "eur"});
    local.send(&[purchase(), other]).await;
    local.send(&[purchase()]).await;
    let mut lead = purchase();
    lead["event_name"] = json!("Lead");
    lead["custom_data"] = json!({});
    local.send(&[lead]).await;

    let summary = local.get("/_standin/summary").await;
    assert_eq!(summary["requests"], 3);
    assert_eq!(summary["events_accepted"], 4);
    assert_eq!(summary["unique_events"], 3);
    assert_eq!(summary["duplicates"], 1);
    assert_eq!(summary["values"], json!({"EUR": "12.6"}));
    assert_eq!(summary["event_names"]["Purchase"]["unique"], 2);
    assert_eq!(summary["event_names"]["Lead"]["accepted"], 1);

    let events = local.get("/_standin/events?event_id=order-1").await;
    let flags: Vec<_> = events["events"].as_array().expect("a list").iter().collect();
    assert_eq!(flags.len(), 3, "the lead has the same id under another name");
    assert_eq!(flags[0]["duplicate"], false);
    assert_eq!(flags[1]["duplicate"], true);
    assert_eq!(flags[2]["duplicate"], false);
    assert_eq!(flags[0]["pixel"], PIXEL);
    assert_eq!(flags[0]["event"]["custom_data"]["value"].to_string(), "12.5");
    let page = local.get("/_standin/events?offset=1&limit=2").await;
    assert_eq!(page["total"], 4);
    assert_eq!(page["events"][0]["event"]["event_id"], "order-2");
}

#[tokio::test]
async fn without_an_id_the_server_s_copies_are_all_kept() {
    let local = Local::default();
    let event = changed("/event_id", Value::Null);
    local.send(&[event.clone(), event]).await;
    assert_eq!(local.state.summary()["unique_events"], 2);
}

#[tokio::test]
async fn the_clock_can_be_moved_and_everything_forgotten() {
    let local = Local::default();
    local.send(&[purchase()]).await;
    local.post("/_standin/clock", &json!({"advance_seconds": 49 * 3600})).await;
    local.send(&[purchase()]).await;
    assert_eq!(local.state.summary()["unique_events"], 2, "48 hours have passed");
    local.post("/_standin/clock", &json!({"advance_seconds": 7 * 86_400})).await;
    assert_eq!(local.subcode(purchase()).await, Some(2_804_003));
    local.post("/_standin/reset", &json!({})).await;
    assert_eq!(local.state.summary()["requests"], 0);
    assert_eq!(local.subcode(purchase()).await, None);
}

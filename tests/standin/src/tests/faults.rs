//! Each fault on a real connection, and the control API that puts them in force.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{DEMO_TOKEN, EDGE, Local, PIXEL, changed, purchase};
use crate::serve_state;

/// The stand-in on a real port, and a client as strict as the sidecar's.
struct Online {
    local: Local,
    base: String,
    client: reqwest::Client,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Online {
    async fn start() -> Self {
        // The client insists on a provider even where nothing is encrypted.
        rustls::crypto::ring::default_provider().install_default().ok();
        let local = Local::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(serve_state(local.state.clone(), listener));
        Self { local, base, client: reqwest::Client::new(), server }
    }

    async fn fault(&self, fault: Value) {
        let (status, answer) = self.local.post("/_standin/faults", &fault).await;
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
        self.local.state.summary()["events_accepted"].clone()
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
    let summary = online.local.state.summary();
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
async fn warnings_ride_on_good_answers() {
    let online = Online::start().await;
    let headers = async |faults: &[Value]| {
        for fault in faults {
            online.fault(fault.clone()).await;
        }
        let response = online.request().send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.headers().clone()
    };
    let usage = |header: &str| json!({"kind": "usage", "header": header, "percent": 80, "minutes": 5, "times": 1});
    let all = [
        usage("app"),
        usage("ad_account"),
        usage("business_use_case"),
        json!({"kind": "version_warning", "times": 1}),
    ];
    let warned = headers(&all).await;
    let value =
        |name: &str| serde_json::from_slice::<Value>(warned[name].as_bytes()).expect("JSON");
    assert_eq!(value("x-app-usage")["call_count"], 80);
    assert_eq!(value("x-ad-account-usage")["acc_id_util_pct"], 80);
    assert_eq!(value("x-ad-account-usage")["reset_time_duration"], 300, "seconds");
    let business = value("x-business-use-case-usage");
    assert_eq!(business[PIXEL][0]["estimated_time_to_regain_access"], 5, "minutes");
    assert!(warned.contains_key("x-ad-api-version-warning"));
    assert_eq!(warned["facebook-api-version"], "v25.0");
    let plain = headers(&[]).await;
    assert!(!plain.contains_key("x-app-usage") && !plain.contains_key("x-ad-api-version-warning"));
}

#[tokio::test]
async fn errors_are_put_in_other_words_on_request() {
    let local = Local::default();
    let bad = changed("/user_data/em", json!("jo@example.com"));
    let error = async |wording: Value| {
        local.post("/_standin/faults", &wording).await;
        let (status, answer) = local.send(std::slice::from_ref(&bad)).await;
        assert_eq!((status, &answer["error"]["error_subcode"]), (400, &json!(2_804_016)));
        answer["error"].clone()
    };
    let wording = |language: &str, error_data: &str| json!({"kind": "wording", "language": language, "error_data": error_data, "times": 1});
    let english = error(wording("en", "object")).await;
    let details = json!({"blame_field_specs": [["data", "user_data", "em"]]});
    assert_eq!(english["error_data"], details);
    let french = error(wording("fr", "text")).await;
    assert_eq!(french["error_data"], json!(details.to_string()));
    let danish = error(wording("da", "none")).await;
    assert_eq!(danish["error_data"], Value::Null);
    for key in ["error_user_title", "error_user_msg"] {
        assert_ne!(english[key], french[key]);
        assert_ne!(french[key], danish[key]);
    }
    assert_eq!(english["message"], danish["message"]);
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
    let local = Local::default();
    for bad in [
        json!({"kind": "flood"}),
        json!({"kind": "html", "tmes": 1}),
        json!({"kind": "usage", "header": "x"}),
    ] {
        assert_eq!(local.post("/_standin/faults", &bad).await.0, 422, "{bad}");
    }
    let bad = json!({"kind": "html", "probability": 3});
    assert_eq!(local.post("/_standin/faults", &bad).await.0, 400);

    local.post("/_standin/faults", &json!({"kind": "html", "pixel": "99"})).await;
    local.post("/_standin/faults", &json!({"kind": "poison", "event_id": "order-1"})).await;
    assert_eq!(local.get("/_standin/faults").await.as_array().map(Vec::len), Some(2));
    assert_eq!(local.subcode(purchase()).await, Some(0), "the poison, not the other pixel's page");
    assert_eq!(local.subcode(changed("/event_id", json!("order-2"))).await, None);
    let clear = Request::delete("/_standin/faults").body(Body::empty()).expect("a request");
    assert_eq!(local.call(clear).await.1["removed"], 2);
    assert_eq!(local.subcode(purchase()).await, None);
}

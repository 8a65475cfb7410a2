//! The stand-in in this process, on a free port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use capi_standin::{Standin, StandinOptions};
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

/// The token that the stand-in takes: shaped like a real one, so that a leak shows.
pub const TOKEN: &str = "EAAGfakeB7ZAtokenThatOpensNothing0123456789";

/// Hosts and ports of all stand-ins of this process so far.
static PLACES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Where the stand-ins of this process are, for `CAPI_ENDPOINTS`; and the host of examples.
pub fn endpoints() -> String {
    let places = PLACES.lock().expect("not poisoned");
    places.iter().map(String::as_str).chain(["graph.example.com"]).collect::<Vec<_>>().join(",")
}

/// Lets sidecars that are started from now on send to this address.
pub fn allow(address: SocketAddr) {
    PLACES.lock().expect("not poisoned").push(address.to_string());
}

/// A platform that checks, counts and goes wrong on request.
pub struct Platform {
    state: Standin,
    endpoint: String,
    server: JoinHandle<()>,
}

impl Platform {
    /// Starts one.
    pub async fn start() -> Self {
        Self::with(BTreeMap::new()).await
    }

    /// Starts one that takes these credentials of the other platforms.
    pub async fn with(credentials: BTreeMap<capi_standin::Platform, SecretString>) -> Self {
        let options = StandinOptions {
            token: Some(TOKEN.to_owned().into()),
            credentials,
            keep_requests: 100_000,
            ..StandinOptions::default()
        };
        let state = Standin::new(&options);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        allow(address);
        let endpoint = format!("http://{address}");
        let served = state.clone();
        let server = tokio::spawn(async move {
            capi_standin::serve_state(served, listener).await.expect("the stand-in serves");
        });
        Self { state, endpoint, server }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Counts and sums.
    pub fn summary(&self) -> Value {
        self.state.summary()
    }

    /// Custom audiences by their ids.
    pub fn audiences(&self) -> Value {
        self.state.audiences()
    }

    /// A number of the summary.
    pub fn number(&self, name: &str) -> i64 {
        self.summary()[name].as_i64().unwrap_or_else(|| panic!("summary has no number {name}"))
    }

    /// Exact sums of unique events by currency, without trailing zeros.
    pub fn values(&self) -> BTreeMap<String, String> {
        let summary = self.summary();
        let values = summary["values"].as_object().expect("sums by currency");
        values
            .iter()
            .map(|(code, sum)| (code.clone(), plain(sum.as_str().expect("a text"))))
            .collect()
    }

    /// How often each event id was accepted.
    pub async fn seen(&self) -> BTreeMap<String, usize> {
        let mut seen = BTreeMap::new();
        let mut offset = 0;
        loop {
            let page = self.get(&format!("/_standin/events?limit=10000&offset={offset}")).await;
            let events = page["events"].as_array().expect("a list of events");
            for event in events {
                let id = event["event"]["event_id"].as_str().expect("an event id");
                *seen.entry(id.to_owned()).or_default() += 1;
            }
            offset += events.len();
            if events.is_empty() {
                return seen;
            }
        }
    }

    /// All requests with headers, bodies and answers, newest first.
    pub async fn requests(&self) -> Vec<Value> {
        let all = self.get("/_standin/requests?limit=10000").await;
        all["requests"].as_array().expect("a list of requests").clone()
    }

    /// Puts a fault in force.
    pub async fn fault(&self, fault: Value) {
        let request = Request::post("/_standin/faults").header("content-type", "application/json");
        self.call(request.body(fault.to_string().into()).expect("a request")).await;
    }

    /// Removes all faults.
    pub async fn heal(&self) {
        let request = Request::delete("/_standin/faults").body(Body::empty());
        self.call(request.expect("a request")).await;
    }

    async fn get(&self, path: &str) -> Value {
        self.call(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    async fn call(&self, request: Request<Body>) -> Value {
        let response = capi_standin::router(self.state.clone()).oneshot(request).await;
        let response = response.unwrap_or_else(|never| match never {});
        let ok = response.status().is_success();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        assert!(ok, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A decimal without trailing zeros, so that sums compare as texts.
pub fn plain(decimal: &str) -> String {
    match decimal.contains('.') {
        true => decimal.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => decimal.to_owned(),
    }
}

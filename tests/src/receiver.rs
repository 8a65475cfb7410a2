//! A receiver of alerts on loopback.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use capi_sidecar::observe;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::patience::eventually;

/// What makes its address a secret.
pub const SECRET_PATH: &str = "T024BE7LH-B01-hookSecretZ9x8";

/// Takes posts, or refuses them on request.
pub struct Receiver {
    url: String,
    state: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    status: AtomicU16,
    taken: Mutex<Vec<Value>>,
    asked: AtomicU16,
}

impl Receiver {
    /// Starts one.
    pub async fn start() -> Self {
        let state = Arc::new(Shared {
            status: AtomicU16::new(200),
            taken: Mutex::default(),
            asked: AtomicU16::new(0),
        });
        let router =
            Router::new().route(&format!("/{SECRET_PATH}"), post(take)).with_state(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/{SECRET_PATH}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(observe::serve(router, listener));
        Self { url, state, server }
    }

    /// Its address, the secret included.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers with this status from now on; what is not a success is not taken.
    pub fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    /// Posts so far, taken or not.
    pub fn asked(&self) -> u16 {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// What it has taken.
    pub fn taken(&self) -> Vec<Value> {
        self.state.taken.lock().expect("not poisoned").clone()
    }

    /// What it has taken as `event kind subject step`.
    pub fn told(&self) -> Vec<String> {
        let word = |message: &Value, key: &str| message[key].as_str().unwrap_or("?").to_owned();
        let keys = ["event", "kind", "subject", "step"];
        self.taken().iter().map(|m| keys.map(|key| word(m, key)).join(" ")).collect()
    }

    /// Waits until it was told this.
    pub async fn until_told(&self, what: &str) {
        eventually(&format!("receiver is told {what:?}"), 40, async || {
            let told = self.told();
            if told.iter().any(|one| one == what) { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, body: String) -> StatusCode {
    let status = StatusCode::from_u16(shared.status.load(Ordering::SeqCst)).expect("a status");
    shared.asked.fetch_add(1, Ordering::SeqCst);
    if status.is_success() {
        let message = serde_json::from_str(&body).expect("JSON");
        shared.taken.lock().expect("not poisoned").push(message);
    }
    status
}

//! Health and metrics for whoever watches this process.
//!
//! | route | answer |
//! |---|---|
//! | `GET /healthz` | 200 as long as the process lives and its main loop goes round; 503 else |
//! | `GET /readyz` | 200 when events can be sent from here; 503 else, with the reason as JSON |
//! | `GET /metrics` | the text format of Prometheus |
//!
//! No answer holds a person, an id or a secret. There is no login: keep it on loopback, or in a
//! network of your own.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tower::ServiceExt as _;
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::vitals::Vitals;

/// Connections at once: no scraper needs more, and memory stays bounded. One more takes the place of the
/// oldest, which has either been answered or never asked.
const CONNECTIONS: usize = 16;

/// How long a connection may live.
const LIFE: Duration = Duration::from_secs(60);

/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(5);

/// The media type of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the routes show.
#[derive(Clone)]
pub struct Observed {
    /// Signs of life.
    pub vitals: Arc<Vitals>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
}

/// The routes.
pub fn router(observed: Observed) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(observed)
}

async fn healthz(State(observed): State<Observed>) -> Response {
    match observed.vitals.is_alive() {
        true => (StatusCode::OK, "ok\n").into_response(),
        false => {
            (StatusCode::SERVICE_UNAVAILABLE, "the main loop does not go round\n").into_response()
        }
    }
}

async fn readyz(State(observed): State<Observed>) -> Response {
    let readiness = observed.vitals.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness)).into_response()
}

async fn metrics(State(observed): State<Observed>) -> Response {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], observed.metrics.text()).into_response()
}

/// Opens the port.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    info!(%address, "health and metrics");
    if !address.ip().is_loopback() {
        warn!(%address, "health and metrics are open to other machines");
    }
    Ok(listener)
}

/// Serves until the future is dropped.
pub async fn serve(router: Router, listener: TcpListener) {
    let mut open = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a connection for health and metrics was not accepted");
                // Out of files, most likely: the next attempt would fail at once.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        while open.try_join_next().is_some() {}
        oldest.retain(|connection| !connection.is_finished());
        if oldest.len() >= CONNECTIONS
            && let Some(connection) = oldest.pop_front()
        {
            connection.abort();
        }
        let router = router.clone();
        let connection = open.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let router = router.clone();
                async move {
                    let response = router.oneshot(request.map(Body::new)).await;
                    Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
                }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD);
            let serving = server.serve_connection(TokioIo::new(stream), service);
            // A client that went away is no news.
            tokio::time::timeout(LIFE, serving).await.ok();
        });
        oldest.push_back(connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    fn observed() -> Observed {
        Observed { vitals: Arc::new(Vitals::new()), metrics: Arc::new(Metrics::new()) }
    }

    async fn get(observed: &Observed, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router(observed.clone()).oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test(start_paused = true)]
    async fn health_is_the_main_loops() {
        let observed = observed();
        observed.vitals.beat(Duration::ZERO);
        assert_eq!(get(&observed, "/healthz").await, (200, "ok\n".into()));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(get(&observed, "/healthz").await.0, 503);
    }

    #[tokio::test]
    async fn readiness_says_why_not() {
        let observed = observed();
        let (status, body) = get(&observed, "/readyz").await;
        assert_eq!(status, 503);
        assert_eq!(
            body,
            r#"{"ready":false,"database":false,"adopted":false,"destinations":{"sending":0,"skipped":0,"blocked":0}}"#
        );
        observed.vitals.beat(Duration::ZERO);
        observed.vitals.connected(true);
        observed.vitals.adopted(true);
        assert_eq!(get(&observed, "/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn connections_that_never_ask_keep_nobody_out() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        use tokio::net::TcpStream;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(serve(router(observed()), listener));
        let mut silent = Vec::new();
        for at in 0..5 * CONNECTIONS {
            let mut one = TcpStream::connect(address).await.expect("a connection");
            if at % 2 == 0 {
                one.write_all(b"GET /healthz HTTP/1.1\r\nx-head: ").await.expect("half a head");
            }
            silent.push(one);
        }
        let mut asking = TcpStream::connect(address).await.expect("a connection");
        let request = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        asking.write_all(request).await.expect("a request");
        let mut answer = String::new();
        let answered = asking.read_to_string(&mut answer);
        let answered = tokio::time::timeout(HEAD / 2, answered).await;
        answered.expect("at once").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        server.abort();
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        assert_eq!(get(&observed(), "/").await.0, 404);
        let (status, text) = get(&observed(), "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("# TYPE capi_database_up gauge"), "{text}");
    }
}

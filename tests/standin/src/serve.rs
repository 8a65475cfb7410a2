//! Owns the accept loop, so that a connection can be dropped without an answer.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tower::ServiceExt;

/// Marks a response that must not be sent: the connection is dropped instead.
#[derive(Debug, Clone, Copy)]
struct Cut;

/// The connection was dropped on request.
#[derive(Debug, thiserror::Error)]
#[error("connection cut on request")]
struct CutOnRequest;

/// A response that makes the accept loop drop the connection.
///
/// Only [`serve`] can do that; a router called directly answers this placeholder.
pub(super) fn cut() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.extensions_mut().insert(Cut);
    response
}

/// Serves until the future is dropped; that also drops all connections.
pub(super) async fn serve(router: Router, listener: TcpListener) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) if is_about_one_connection(&error) => continue,
                Err(error) => return Err(error),
            },
            Some(_) = connections.join_next() => continue,
        };
        // Answers are small; waiting for more of them would only distort what is measured.
        stream.set_nodelay(true).ok();
        let router = router.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let router = router.clone();
                async move {
                    let response = router.oneshot(request.map(Body::new)).await;
                    let response = response.unwrap_or_else(|never: Infallible| match never {});
                    // An error instead of a response makes hyper close the socket at once.
                    match response.extensions().get::<Cut>() {
                        Some(Cut) => Err(CutOnRequest),
                        None => Ok(response),
                    }
                }
            });
            // Cut connections and vanished clients are what this server is for.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A body that delivers its beginning and then breaks.
pub(super) struct BrokenBody {
    beginning: Option<Bytes>,
    pause: Pin<Box<Sleep>>,
}

impl BrokenBody {
    /// A body that breaks after `beginning`.
    pub(super) fn new(beginning: Bytes) -> Self {
        // Long enough for the beginning to leave the buffer.
        let pause = Box::pin(tokio::time::sleep(Duration::from_millis(20)));
        Self { beginning: Some(beginning), pause }
    }
}

impl HttpBody for BrokenBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(beginning) = self.beginning.take() {
            return Poll::Ready(Some(Ok(Frame::data(beginning))));
        }
        self.pause
            .as_mut()
            .poll(context)
            .map(|()| Some(Err(io::Error::other("answer cut on request"))))
    }
}

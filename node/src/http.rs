//! `/live`, `/ready` and `/metrics`. Answers come from what the hot thread has published; it is never asked.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::descriptors::HTTP_MAX;
use crate::metrics;
use crate::status::{Watch, latest};

/// A hot thread that has published nothing for this long hangs.
const LIVE_NANOS: u64 = 5_000_000_000;

#[derive(Clone)]
struct Site {
    status: Watch,
    clock: Clock,
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: std::net::TcpListener, status: Watch, clock: Clock) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener =
        Bounded { listener: TcpListener::from_std(listener)?, places: Arc::new(Semaphore::new(HTTP_MAX)) };
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Site { status, clock });
    axum::serve(listener, router).await
}

/// Takes [`HTTP_MAX`] connections at a time; who comes then waits in the socket's queue.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        // The semaphore is never closed: no permit does not happen.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        // Errors are axum's to log and to wait after.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Guest { stream, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its place back when it ends.
struct Guest {
    stream: TcpStream,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn live(State(site): State<Site>) -> Response {
    let silent_nanos = site.clock.mono().since(latest(&site.status).published);
    if silent_nanos < LIVE_NANOS {
        (StatusCode::OK, "live\n").into_response()
    } else {
        let silent_s = silent_nanos / 1_000_000_000;
        (StatusCode::SERVICE_UNAVAILABLE, format!("no sign of the hot thread for {silent_s} s\n"))
            .into_response()
    }
}

async fn ready(State(site): State<Site>) -> Response {
    let readiness = latest(&site.status).readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&readiness).unwrap_or_default();
    (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn scrape(State(site): State<Site>) -> Response {
    let published = latest(&site.status);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::render(&published)).into_response()
}

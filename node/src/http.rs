//! `/live`, `/ready` and `/metrics`. Answers come from what the hot thread has published; it is never asked.

use std::io;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::clock::Clock;
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
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Site { status, clock });
    axum::serve(listener, router).await
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

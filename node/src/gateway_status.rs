//! What a gateway process tells operators: `/live`, `/ready` and `/metrics`, from a copy that its hot thread makes now and then.

use std::io;
use std::net::TcpListener;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use protocol::MonoNanos;
use serde::Serialize;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::http;
use crate::metrics::Page;

/// A gateway at one moment. Counts are since the process started.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct GatewayStatus {
    /// Clients are let in, and a leader takes their commands.
    pub(crate) ready: bool,
    /// This process.
    pub(crate) gateway: u32,
    /// The node that leads, if the gateway is connected to it.
    pub(crate) leader: Option<u64>,
    /// The highest term in which a node has said that it leads.
    pub(crate) term: u64,
    /// Nodes that are connected.
    pub(crate) nodes_connected: usize,
    /// Commands that have not been executed, as far as is known.
    pub(crate) commands_waiting: usize,
    /// The process is on its way out.
    pub(crate) stopping: bool,
    /// When this was so.
    #[serde(skip)]
    pub(crate) published: MonoNanos,
    /// Open connections of clients.
    #[serde(skip)]
    pub(crate) connections_open: usize,
    /// Connections taken.
    #[serde(skip)]
    pub(crate) connections_accepted: u64,
    /// Connections closed at once because there were too many.
    #[serde(skip)]
    pub(crate) connections_refused: u64,
    /// Bytes read from clients.
    #[serde(skip)]
    pub(crate) bytes_received: u64,
    /// Bytes written to clients.
    #[serde(skip)]
    pub(crate) bytes_sent: u64,
    /// Times that a leader took the gateway in.
    #[serde(skip)]
    pub(crate) welcomes: u64,
    /// Times that clients had to log on again because what followed was not known any more.
    #[serde(skip)]
    pub(crate) restarts: u64,
}

#[derive(Clone)]
struct Site {
    status: watch::Receiver<GatewayStatus>,
    clock: Clock,
}

/// Serves until the process ends.
pub(crate) async fn serve(
    listener: TcpListener,
    status: watch::Receiver<GatewayStatus>,
    clock: Clock,
) -> io::Result<()> {
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Site { status, clock });
    http::guarded(listener, router, http::TIME_MAX).await
}

async fn live(State(site): State<Site>) -> Response {
    http::liveness(site.clock.mono().since(site.status.borrow().published))
}

async fn ready(State(site): State<Site>) -> Response {
    let status = site.status.borrow().clone();
    let code = if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&status).unwrap_or_default();
    (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn scrape(State(site): State<Site>) -> Response {
    let page = render(&site.status.borrow());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response()
}

/// In Prometheus' text format; what a node has too has the same name here.
fn render(status: &GatewayStatus) -> String {
    let mut page = Page::default();
    for (name, help, value) in [
        ("sicil_received_bytes_total", "Bytes read from clients.", status.bytes_received),
        ("sicil_sent_bytes_total", "Bytes written to clients.", status.bytes_sent),
        ("sicil_connections_accepted_total", "Connections taken.", status.connections_accepted),
        ("sicil_connections_refused_total", "Connections above the limit.", status.connections_refused),
        ("sicil_gateway_welcomes_total", "Times that a leader took the gateway in.", status.welcomes),
        ("sicil_gateway_restarts_total", "Times that all clients had to log on again.", status.restarts),
    ] {
        page.family(name, "counter", help);
        page.sample(name, "", value);
    }
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    for (name, help, value) in [
        ("sicil_connections", "Open connections of clients.", count(status.connections_open)),
        ("sicil_gateway_ready", "1 while a leader takes commands.", u64::from(status.ready)),
        ("sicil_gateway_leader", "The node that leads, or 0.", status.leader.unwrap_or(0)),
        ("sicil_gateway_nodes_connected", "Nodes that are connected.", count(status.nodes_connected)),
        ("sicil_gateway_commands_waiting", "Commands not yet executed.", count(status.commands_waiting)),
        ("sicil_term", "The highest term of a leader.", status.term),
    ] {
        page.family(name, "gauge", help);
        page.sample(name, "", value);
    }
    page.0
}

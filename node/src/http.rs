//! `/live`, `/ready` and `/metrics` of a node. Answers come from what the hot thread has published; it is never asked. Before it has
//! published anything the journal is being read, and the answers say that.
//!
//! Whoever can reach the port may connect, so a connection gets one answer, few bytes to ask for it and little time.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::connect_info::Connected;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::descriptors::HTTP_MAX;
use crate::metrics;
use crate::status::{Published, Watch, latest};

/// A hot thread that has published nothing for this long hangs.
const LIVE_NANOS: u64 = 5_000_000_000;

/// From the beginning of a connection to the last byte of its answer.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request, headers included.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// What the hot thread publishes, once there is a replica.
type Recovering = watch::Receiver<Option<Watch>>;

#[derive(Clone)]
struct Site {
    status: Recovering,
    /// What the start is about, before there is a replica to ask.
    starting: watch::Receiver<String>,
    clock: Clock,
}

impl Site {
    /// The hot thread's latest word, if it has said one.
    fn latest(&self) -> Option<Arc<Published>> {
        self.status.borrow().as_ref().map(latest)
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    status: Recovering,
    starting: watch::Receiver<String>,
    clock: Clock,
) -> io::Result<()> {
    guarded(listener, router(status, starting, clock), TIME_MAX).await
}

fn router(status: Recovering, starting: watch::Receiver<String>, clock: Clock) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready_to_trade))
        .route("/metrics", get(scrape))
        .with_state(Site { status, starting, clock })
}

/// Serves under this module's limits.
pub(crate) async fn guarded(
    listener: std::net::TcpListener,
    router: Router,
    time_max: Duration,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = Bounded::new(TcpListener::from_std(listener)?, HTTP_MAX, time_max);
    axum::serve(listener, router.layer(map_response(last_answer))).await
}

/// Serves requests of `connections_max` connections under this module's limits until each is [released](Pass::release) from them, because
/// it goes on as something else.
pub(crate) async fn guarded_until_released(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
) -> io::Result<()> {
    let listener = Bounded::new(listener, connections_max, TIME_MAX);
    let router = router.layer(map_response(last_answer_but_to_upgrades));
    axum::serve(listener, router.into_make_service_with_connect_info::<Pass>()).await
}

/// Releases a connection from the limits of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pass(Arc<AtomicBool>);

impl Pass {
    /// The request was answered, and the connection is something else from now on.
    pub(crate) fn release(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_released(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Pass {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        stream.io().pass.clone()
    }
}

async fn last_answer_but_to_upgrades(response: Response) -> Response {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS { response } else { last_answer(response).await }
}

/// Says that the connection ends with this answer.
async fn last_answer(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Takes so many connections at a time; who comes then waits in the socket's queue.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    time_max: Duration,
}

impl Bounded {
    fn new(listener: TcpListener, connections_max: usize, time_max: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections_max)), time_max }
    }
}

impl Listener for Bounded {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        // The semaphore is never closed: no permit does not happen.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        // Errors are axum's to log and to wait after.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let time = Box::pin(tokio::time::sleep(self.time_max));
        let pass = Pass::default();
        (Guest { stream, left: REQUEST_BYTES_MAX, time, pass, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its place back when it ends, and ends when its time or its bytes are used up.
struct Guest {
    stream: TcpStream,
    /// Bytes that are still read.
    left: usize,
    time: Pin<Box<Sleep>>,
    /// Whether both still count.
    pass: Pass,
    _place: Option<OwnedSemaphorePermit>,
}

impl Guest {
    /// An error once the time is up; whoever waits is woken then.
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.pass.is_released() {
            return Ok(());
        }
        match self.time.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if !self.pass.is_released() {
            let read = buffer.filled().len().saturating_sub(before);
            self.left = self.left.checked_sub(read).ok_or(io::ErrorKind::FileTooLarge)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn live(State(site): State<Site>) -> Response {
    let Some(published) = site.latest() else {
        return format!("live: {}\n", *site.starting.borrow()).into_response();
    };
    liveness(site.clock.mono().since(published.published))
}

/// The answer of a process whose hot thread was last heard so long ago.
pub(crate) fn liveness(silent_nanos: u64) -> Response {
    if silent_nanos < LIVE_NANOS {
        "live\n".into_response()
    } else {
        let silent_s = silent_nanos / 1_000_000_000;
        (StatusCode::SERVICE_UNAVAILABLE, format!("no sign of the hot thread for {silent_s} s\n"))
            .into_response()
    }
}

async fn ready_to_trade(State(site): State<Site>) -> Response {
    let readiness = site.latest().map(|published| published.readiness());
    let ready = readiness.as_ref().is_some_and(|readiness| readiness.ready);
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = match readiness {
        Some(readiness) => serde_json::to_string(&readiness).unwrap_or_default(),
        None => serde_json::json!({ "ready": false, "waits_for": *site.starting.borrow() }).to_string(),
    };
    (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn scrape(State(site): State<Site>) -> Response {
    let page = site.latest().map(|published| metrics::render(&published));
    let page = page.unwrap_or_else(metrics::render_reading);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::threads;

    /// Serves what the node serves while it reads its journal; the address.
    fn start(time_max: Duration) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (never, status) = watch::channel(None);
        let (said, starting) = watch::channel("the journal is being read".to_owned());
        let clock = Clock::start();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let router = router(status, starting, clock);
                guarded(listener, router, time_max).await.unwrap();
            });
            drop((never, said));
        };
        threads::start("http", run).unwrap();
        address
    }

    /// Everything that comes until the connection ends, which may be by a reset.
    fn rest(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        let mut bytes = [0; 1_024];
        while let Ok(count) = stream.read(&mut bytes) {
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&bytes[..count]);
        }
        String::from_utf8(answer).unwrap()
    }

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
        // Without `Connection: close` of the client's.
        rest(&mut stream)
    }

    #[test]
    fn half_a_request_holds_no_place_for_ever() {
        let address = start(Duration::from_millis(50));
        let mut all: Vec<TcpStream> = (0..HTTP_MAX).map(|_| TcpStream::connect(address).unwrap()).collect();
        for stream in &mut all {
            stream.write_all(b"GET /live HT").unwrap();
        }
        // It waits in the socket's queue until their time is up. Its own may be up before it is answered: then again.
        while !get(address, "/live").starts_with("HTTP/1.1 200 ") {}
        for stream in &mut all {
            assert_eq!(rest(stream), "");
        }
    }

    #[test]
    fn a_request_has_few_bytes() {
        let address = start(Duration::from_secs(600));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nHost: ").unwrap();
        let mut sent = 0;
        // Until the other end has closed; a reset is seen by one of the next writes.
        while stream.write_all(&[b'x'; 1_024]).is_ok() {
            sent += 1;
            assert!(sent < 1 << 20, "a gigabyte was taken");
        }
        assert_eq!(rest(&mut stream), "");
    }

    #[test]
    fn a_node_that_reads_its_journal_is_live_and_not_ready() {
        let address = start(Duration::from_secs(600));
        let live = get(address, "/live");
        assert!(live.starts_with("HTTP/1.1 200 ") && live.contains("connection: close"), "{live}");
        assert!(live.ends_with("the journal is being read\n"), "{live}");
        let ready = get(address, "/ready");
        assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
        let body: serde_json::Value = serde_json::from_str(ready.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["ready"], false);
        assert!(body["waits_for"].as_str().unwrap().contains("journal"), "{body}");
        let metrics = get(address, "/metrics");
        assert!(metrics.contains("\nsicil_serving 0\n"), "{metrics}");
        assert!(get(address, "/else").starts_with("HTTP/1.1 404 "));
    }
}

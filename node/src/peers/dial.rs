//! The sending half: keeps one lane of one peer connected, and writes to it what the hot thread queued.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quinn::{ClientConfig, Connection, ConnectionError, SendStream, VarInt, WriteError};
use tokio::sync::{mpsc, watch};

use super::Lane;
use super::accept::{OTHER_FOUNDERS, REMOVED_NODE};
use super::endpoint::{Complaints, Endpoints};
use super::greeting::{Greeting, OtherFounders, WELCOME_BYTES};
use super::slot::{LaneState, Parcel, Seen, Slot};
use crate::clock::Clock;
use crate::folder;

/// Before the second attempt.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Between attempts, however many failed.
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// Messages are gathered up to here for one write.
const GATHER_BYTES: usize = 64 << 10;
/// Longer messages are handed over without a copy.
const COPY_BYTES_MAX: usize = 8 << 10;
/// How often the round trip is noted.
const RTT_INTERVAL: Duration = Duration::from_millis(250);
/// Sent as the host's name, and not looked at: the certificate names a node.
pub(super) const HOST: &str = "sicil";

/// Codes of QUIC for a TLS handshake that failed (RFC 9001, section 4.8).
const TLS_ALERTS: std::ops::Range<u64> = 0x100..0x200;

/// A connection on which the peer has said welcome.
struct Link {
    connection: Connection,
    stream: SendStream,
    /// Of the peer's process.
    greeting: Greeting,
}

/// Runs until it is aborted, or the hot thread's end is gone.
pub(super) async fn keep_connected(
    endpoints: Arc<Endpoints>,
    slot: Arc<Slot>,
    (client, greeting): (ClientConfig, Greeting),
    lane: Lane,
    mut queue: mpsc::Receiver<Parcel>,
) {
    let (complaints, clock) = (Complaints::new(), Clock::start());
    let mut backoff = BACKOFF_MIN;
    let mut seen = slot.seen.subscribe();
    while !queue.is_closed() {
        seen.mark_unchanged();
        let mut has_held = false;
        let fault = match connect(&endpoints, &slot, (client.clone(), greeting), lane).await {
            Ok(link) => {
                let state = slot.lane(lane);
                slot.set_fault(None);
                slot.has_removed_us.store(false, Ordering::Release);
                slot.set_reached(link.greeting.listeners.reached_at(link.connection.remote_address().ip()));
                note_instance(&slot, link.greeting.instance);
                // What was left over from the connection before is too old to be of use.
                discard(&mut queue, state);
                state.connected.store(true, Ordering::Release);
                tracing::info!(peer = slot.node.0, ?lane, "connected");
                let since = clock.mono();
                let fault = carry(link, &mut queue, state, &mut seen).await;
                // One that is lost at once, time and again, is tried less and less often like one that never was.
                has_held = u128::from(clock.mono().since(since)) >= endpoints.timing.idle.as_nanos();
                state.connected.store(false, Ordering::Release);
                discard(&mut queue, state);
                tracing::info!(peer = slot.node.0, ?lane, fault, "connection lost");
                fault
            }
            Err(fault) => {
                if complaints.may() {
                    tracing::warn!(
                        peer = slot.node.0,
                        address = slot.address,
                        ?lane,
                        fault,
                        "cannot connect"
                    );
                }
                fault
            }
        };
        slot.set_fault(Some(fault));
        slot.unreachable.store(true, Ordering::Release);
        (endpoints.wake)();
        if has_held {
            backoff = BACKOFF_MIN;
        }
        let wait = jittered(backoff);
        backoff = (backoff * 2).min(BACKOFF_MAX);
        // A peer that has just called is there: no reason to wait.
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = seen.changed() => {}
        }
    }
}

/// One attempt.
async fn connect(
    endpoints: &Endpoints,
    slot: &Slot,
    (client, greeting): (ClientConfig, Greeting),
    lane: Lane,
) -> Result<Link, String> {
    let local = endpoints.endpoint.local_addr().map_err(|error| error.to_string())?;
    let address = resolve(&slot.address, local.ip()).await?;
    let _place = endpoints.dials.acquire().await.map_err(|error| error.to_string())?;
    let time_max = endpoints.handshake_time();
    let attempt = greet(endpoints, address, (client, greeting), lane);
    match tokio::time::timeout(time_max, attempt).await {
        Ok(Ok(link)) => Ok(link),
        Ok(Err(refusal)) => {
            if refusal.as_removed {
                slot.has_removed_us.store(true, Ordering::Release);
            }
            Err(refusal.why)
        }
        Err(_) => Err(format!("no answer within {} ms", time_max.as_millis())),
    }
}

/// The first address of the kind that our socket reaches.
pub(super) async fn resolve(address: &str, local: IpAddr) -> Result<SocketAddr, String> {
    let all = tokio::net::lookup_host(address).await.map_err(|error| error.to_string())?;
    let mut usable = all.filter(|found| local.is_ipv6() || found.is_ipv4());
    usable.next().ok_or_else(|| format!("{address} has no address that {local} reaches"))
}

/// Says who calls on which lane. A peer that does not like our certificate closes after the handshake: only its welcome
/// says that it will read.
async fn greet(
    endpoints: &Endpoints,
    address: SocketAddr,
    (client, own): (ClientConfig, Greeting),
    lane: Lane,
) -> Result<Link, Refusal> {
    let connecting = endpoints.endpoint.connect_with(client, address, HOST);
    let connection = connecting.map_err(|error| error.to_string())?.await.map_err(Refusal::by)?;
    let (mut stream, mut answer) = connection.open_bi().await.map_err(Refusal::by)?;
    let hello = own.hello(lane.code());
    let mut welcome = [0; WELCOME_BYTES];
    let greeted = match stream.write_all(&hello).await {
        Ok(()) => answer.read_exact(&mut welcome).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match (greeted, connection.close_reason()) {
        (Ok(()), _) => {
            let greeting = Greeting::read(&welcome).ok_or("its welcome is none".to_owned())?;
            if greeting.founders != own.founders {
                let fault = OtherFounders { expected: own.founders, found: greeting.founders };
                connection.close(OTHER_FOUNDERS.into(), fault.to_string().as_bytes());
                return Err(fault.to_string().into());
            }
            Ok(Link { connection, stream, greeting })
        }
        // Why the connection ended says more than that the stream did.
        (Err(_), Some(reason)) => Err(Refusal::by(reason)),
        (Err(fault), None) => Err(fault.into()),
    }
}

/// Why an attempt failed.
struct Refusal {
    why: String,
    /// The peer says that this node is a member no more.
    as_removed: bool,
}

impl Refusal {
    fn by(error: ConnectionError) -> Self {
        let as_removed = matches!(
            &error,
            ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(REMOVED_NODE)
        );
        Self { why: why(&error), as_removed }
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { why, as_removed: false }
    }
}

/// For operators: what the other end thinks of our certificate comes as a bare number.
pub(super) fn why(error: &ConnectionError) -> String {
    if let ConnectionError::ConnectionClosed(close) = error
        && TLS_ALERTS.contains(&close.error_code.into())
    {
        return format!("the peer refuses our certificate, and its log says why ({error})");
    }
    error.to_string()
}

/// Sends until the connection is lost; why.
async fn carry(
    mut link: Link,
    queue: &mut mpsc::Receiver<Parcel>,
    state: &LaneState,
    seen: &mut watch::Receiver<Seen>,
) -> String {
    tokio::select! {
        reason = link.connection.closed() => why(&reason),
        _ = seen.wait_for(|seen| seen.instance != link.greeting.instance) => {
            link.connection.close(0_u32.into(), b"restarted");
            "the peer has restarted".to_owned()
        }
        written = write(&mut link.stream, queue, state) => match written {
            Ok(()) => "removed".to_owned(),
            Err(error) => error.to_string(),
        },
        never = note_rtt(&link.connection, state) => match never {},
    }
}

/// Writes messages as they come, each behind its length, several at a time where several wait.
async fn write(
    stream: &mut SendStream,
    queue: &mut mpsc::Receiver<Parcel>,
    state: &LaneState,
) -> Result<(), WriteError> {
    let mut gathered = Vec::with_capacity(GATHER_BYTES + COPY_BYTES_MAX);
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(Parcel { bytes, _room }) = next {
            // A longer one than the limit never enters the queue.
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            state.sent(bytes.len());
            gathered.extend_from_slice(&length.to_le_bytes());
            if bytes.len() <= COPY_BYTES_MAX {
                gathered.extend_from_slice(&bytes);
            } else {
                stream.write_all(&gathered).await?;
                gathered.clear();
                stream.write_chunk(bytes.into()).await?;
            }
            next = if gathered.len() < GATHER_BYTES { queue.try_recv().ok() } else { None };
        }
        stream.write_all(&gathered).await?;
        gathered.clear();
    }
    Ok(())
}

async fn note_rtt(connection: &Connection, state: &LaneState) -> std::convert::Infallible {
    loop {
        let nanos = u64::try_from(connection.rtt().as_nanos()).unwrap_or(u64::MAX);
        state.rtt_nanos.store(nanos, Ordering::Relaxed);
        tokio::time::sleep(RTT_INTERVAL).await;
    }
}

/// The welcome is as good as a hello to know a process by.
fn note_instance(slot: &Slot, instance: u64) {
    slot.seen.send_if_modified(|seen| {
        let is_new = seen.instance != instance;
        seen.instance = instance;
        is_new
    });
}

fn discard(queue: &mut mpsc::Receiver<Parcel>, state: &LaneState) {
    while queue.try_recv().is_ok() {
        state.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Between a half and the whole, so that nodes that lost each other at once do not all call at once.
pub(super) fn jittered(whole: Duration) -> Duration {
    let half = whole / 2;
    let random = folder::random::<1>().map_or(u8::MAX, |[byte]| byte);
    half + half * u32::from(random) / 255
}

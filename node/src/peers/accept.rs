//! The reading half: lets peers in, and reads what they send for the hot thread.
//!
//! On the one stream of a connection its caller says hello, is answered welcome (`greeting`), and sends messages (the
//! length, u32, little-endian; the bytes).

use std::sync::Arc;

use protocol::limits::PEER_MESSAGE_BYTES_MAX;
use protocol::{GatewayId, NodeId};
use quinn::{Connection, ConnectionError, Incoming, ReadExactError, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;

use super::endpoint::{Endpoints, HANDSHAKES_MAX};
use super::greeting::{Greeting, HELLO_BYTES, OtherFounders};
use super::identity::Party;
use super::line::{GatewayLine, LineFault};
use super::slot::{self, LaneState, Parcel, Slot};
use super::{Lane, identity, line};

/// Codes with which a connection is closed, for who reads the other end's log.
const UNKNOWN_NODE: u32 = 1;
pub(super) const REMOVED_NODE: u32 = 4;
pub(super) const WRONG_HELLO: u32 = 2;
pub(super) const WRONG_LENGTH: u32 = 3;
pub(super) const OTHER_FOUNDERS: u32 = 5;

/// Why a connection was not let in, or was ended.
#[derive(Debug, thiserror::Error)]
enum Breach {
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    #[error("the stream ended: {0}")]
    Stream(#[from] ReadExactError),
    #[error("no hello in time")]
    Silent,
    #[error("node {0} is not known yet")]
    Unknown(NodeId),
    #[error("node {0} was removed from the cluster")]
    Removed(NodeId),
    #[error("node {0}: {1}")]
    Founders(NodeId, Box<OtherFounders>),
    #[error("its hello is of no lane: {0}")]
    Lane(u8),
    #[error("its hello is none")]
    Hello,
    #[error("a message of {0} bytes is announced, more than are allowed, or none")]
    Length(u32),
    #[error("its certificate names no node")]
    Nameless,
    #[error("this node leaves")]
    Leaving,
}

/// Lets connections in until the endpoint is closed.
pub(super) async fn serve(
    endpoints: Arc<Endpoints>,
    greeting: Greeting,
    gateways: mpsc::Sender<GatewayLine>,
) {
    while let Some(incoming) = endpoints.endpoint.accept().await {
        // Under pressure an address has to show that it is its sender's before anything is computed for it.
        let places = endpoints.handshakes.available_permits();
        if places < HANDSHAKES_MAX / 2 && incoming.may_retry() {
            if incoming.retry().is_err() {
                endpoints.refuse();
            }
            continue;
        }
        let Ok(place) = Arc::clone(&endpoints.handshakes).try_acquire_owned() else {
            endpoints.refuse();
            incoming.ignore();
            continue;
        };
        let (endpoints, gateways) = (Arc::clone(&endpoints), gateways.clone());
        tokio::spawn(async move {
            let address = incoming.remote_address();
            let let_in =
                tokio::time::timeout(endpoints.handshake_time(), let_in(&endpoints, greeting, incoming));
            let let_in = let_in.await.unwrap_or(Err(Breach::Silent));
            drop(place);
            let breach = match let_in {
                Ok(Guest::Peer(peer)) => peer.read(&endpoints).await,
                Ok(Guest::Gateway(caller)) => caller.carry(&endpoints, &gateways).await,
                Err(breach) => Some(breach),
            };
            if let Some(breach) = breach {
                endpoints.refuse();
                if endpoints.may_complain() {
                    tracing::warn!(%address, %breach, "a connection was refused");
                }
            }
        });
    }
}

/// Who was let in.
enum Guest {
    Peer(Caller),
    Gateway(GatewayCaller),
}

/// A gateway's connection, and its stream.
struct GatewayCaller {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    gateway: GatewayId,
}

/// A peer's connection, and the stream on which it sends.
struct Caller {
    connection: Connection,
    stream: RecvStream,
    slot: Arc<Slot>,
    lane: Lane,
}

/// The handshake, the hello, and the welcome.
async fn let_in(endpoints: &Endpoints, own: Greeting, incoming: Incoming) -> Result<Guest, Breach> {
    let connection = incoming.accept()?.await?;
    let node = match party_of(&connection).ok_or(Breach::Nameless)? {
        Party::Node(node) => node,
        Party::Gateway(gateway) => {
            let (send, receive) = connection.accept_bi().await?;
            return Ok(Guest::Gateway(GatewayCaller { connection, send, receive, gateway }));
        }
    };
    let slot = endpoints.slots().get(&node).cloned();
    if slot.is_none() && !endpoints.membership().is_removed(node) {
        // It may be a member that our log has yet to tell us of, from this very node perhaps: it is called back.
        endpoints.announce(node, connection.remote_address());
        connection.close(UNKNOWN_NODE.into(), b"not known yet: call again");
        return Err(Breach::Unknown(node));
    }
    let (mut answer, mut stream) = connection.accept_bi().await?;
    let mut hello = [0; HELLO_BYTES];
    stream.read_exact(&mut hello).await?;
    let lane = hello[0];
    let Some(greeting) = hello.last_chunk().and_then(Greeting::read) else {
        connection.close(WRONG_HELLO.into(), b"no hello");
        return Err(Breach::Hello);
    };
    if greeting.founders != own.founders {
        let breach = Box::new(OtherFounders { expected: own.founders, found: greeting.founders });
        connection.close(OTHER_FOUNDERS.into(), breach.to_string().as_bytes());
        return Err(Breach::Founders(node, breach));
    }
    // Of a cluster that began with others it is no removed member, whatever its id.
    let Some(slot) = slot else {
        connection.close(REMOVED_NODE.into(), b"this node was removed from the cluster");
        return Err(Breach::Removed(node));
    };
    let Some(lane) = Lane::ALL.get(usize::from(lane)).copied() else {
        connection.close(WRONG_HELLO.into(), b"no such lane");
        return Err(Breach::Lane(lane));
    };
    // The one before it ends here, also if the peer has not noticed yet that it is dead.
    slot.lane(lane).replace_incoming(Some(connection.clone()));
    let welcomed = answer.write_all(&own.welcome()).await;
    if welcomed.is_err() || answer.finish().is_err() {
        return Err(connection.close_reason().map_or(Breach::Leaving, Breach::Connection));
    }
    slot.set_reached(greeting.listeners.reached_at(connection.remote_address().ip()));
    slot.seen.send_modify(|seen| {
        seen.instance = greeting.instance;
        seen.hellos += 1;
    });
    Ok(Guest::Peer(Caller { connection, stream, slot, lane }))
}

/// Who the certificate of the connection names; the handshake has verified it.
fn party_of(connection: &Connection) -> Option<Party> {
    let certificates = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    identity::claimed(certificates.first()?).ok().map(|(_, party)| party)
}

impl GatewayCaller {
    /// Carries its messages to the end of the connection; what it did wrong, if it did.
    async fn carry(self, endpoints: &Endpoints, gateways: &mpsc::Sender<GatewayLine>) -> Option<Breach> {
        let Self { connection, send, receive, gateway } = self;
        // The one before it ends here, also if nobody has noticed yet that it is dead. So a gateway holds one at most.
        if let Some(before) = endpoints.gateways().insert(gateway, connection.clone()) {
            before.close(0_u32.into(), b"replaced");
        }
        let (line, carrier) = line::line();
        let ended = if gateways.send(GatewayLine { gateway, line }).await.is_ok() {
            (endpoints.wake)();
            match carrier.carry(&connection, send, receive, &*endpoints.wake).await {
                LineFault::Length(bytes) => Some(Breach::Length(bytes)),
                LineFault::Read(_) | LineFault::Write(_) | LineFault::Closed => None,
            }
        } else {
            Some(Breach::Leaving)
        };
        let mut kept = endpoints.gateways();
        if kept.get(&gateway).is_some_and(|kept| kept.stable_id() == connection.stable_id()) {
            kept.remove(&gateway);
        }
        ended
    }
}

impl Caller {
    /// Reads to the end of the connection; what the peer did wrong, if it did.
    async fn read(mut self, endpoints: &Endpoints) -> Option<Breach> {
        let state = self.slot.lane(self.lane);
        tokio::select! {
            // A reader that waits for the hot thread has to see the end of its connection as well.
            _ = self.connection.closed() => None,
            breach = read(&mut self.stream, state, endpoints) => {
                if matches!(breach, Breach::Length(_)) {
                    self.connection.close(WRONG_LENGTH.into(), b"length of a message");
                    return Some(breach);
                }
                self.connection.close(0_u32.into(), b"end of the stream");
                None
            }
        }
    }
}

/// Reads messages. The next one is read when there is room for it: until then the peer waits.
async fn read(stream: &mut RecvStream, state: &LaneState, endpoints: &Endpoints) -> Breach {
    loop {
        let mut length = [0; 4];
        if let Err(error) = stream.read_exact(&mut length).await {
            return error.into();
        }
        let announced = u32::from_le_bytes(length);
        let bytes = usize::try_from(announced).unwrap_or(usize::MAX);
        if bytes == 0 || bytes > PEER_MESSAGE_BYTES_MAX {
            return Breach::Length(announced);
        }
        let Some(room) = slot::room(&state.in_room, bytes).await else { return Breach::Leaving };
        let mut message = vec![0; bytes];
        if let Err(error) = stream.read_exact(&mut message).await {
            return error.into();
        }
        state.came(bytes);
        if state.arrivals.send(Parcel { bytes: message, _room: room }).await.is_err() {
            return Breach::Leaving;
        }
        (endpoints.wake)();
    }
}

//! Messages between the nodes of one cluster: opaque, authenticated, bounded, over QUIC.
//!
//! Each node dials every other one twice, once a lane, so that a snapshot on its way never stands in front of a
//! heartbeat, and only sends on what it dialled; it only reads from what others dialled. The hot thread's end is
//! [`Peers`], which never blocks: what finds no room is dropped, and Raft says it again. Towards it nothing is dropped:
//! while it is slow, a stream is not read, and QUIC holds its sender back.
//!
//! Who a peer is, its certificate says (`identity`): nothing that a stranger sends gets further than the handshake, and
//! nothing that a peer sends can grow memory beyond the limits below. `dial` is the sending half, `accept` the reading
//! half, `slot` what the two and the hot thread share.

mod accept;
mod credentials;
mod dial;
mod endpoint;
mod greeting;
pub(crate) mod identity;
mod line;
mod roster;
mod slot;
#[cfg(test)]
mod tests;
mod uplink;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use journal::Founders;
use protocol::limits::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_ENTRIES_MAX, PEER_MESSAGE_BYTES_MAX};
use protocol::{ClusterId, NodeId};
use replicas::Lane;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

pub(crate) use self::credentials::Credentials;
use self::endpoint::Endpoints;
pub(crate) use self::greeting::Listeners;
use self::greeting::{Greeting, Reached};
use self::identity::Party;
pub(crate) use self::line::{GatewayLine, Line};
use self::roster::Roster;
use self::slot::{Parcel, Slot};
pub(crate) use self::uplink::{ClusterLine, Dialer};
use crate::fault::NodeFault;
use crate::{folder, threads};

/// Messages that wait for one peer on one lane, and as many that have come from it.
const QUEUE_MESSAGES_MAX: usize = 1_024;
/// Bytes of them.
const QUEUE_BYTES_MAX: usize = 8 << 20;
/// What a message counts beside its bytes, so that many small ones are bounded too.
const MESSAGE_OVERHEAD_BYTES: usize = 64;
/// Messages of control in a row while bulk waits.
const CONTROL_RUN_MAX: u32 = 16;
/// Gateway processes that have connected and were not taken.
const GATEWAYS_WAITING_MAX: usize = 16;
/// For peers to hear that this node leaves.
const FAREWELL: Duration = Duration::from_millis(200);

const _: () = assert!(PEER_MESSAGE_BYTES_MAX + MESSAGE_OVERHEAD_BYTES <= QUEUE_BYTES_MAX);
// What a leader has in flight waits for a peer whole, with what surrounds each entry.
const _: () = assert!(IN_FLIGHT_BYTES_MAX + IN_FLIGHT_ENTRIES_MAX * 256 <= QUEUE_BYTES_MAX);

/// How soon silence counts as loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerTiming {
    /// Between two signs of life on an idle connection.
    pub(crate) keep_alive: Duration,
    /// Silence after which a connection is lost.
    pub(crate) idle: Duration,
}

impl PeerTiming {
    /// Hosts of their own on one network.
    pub(crate) const LAN: Self =
        Self { keep_alive: Duration::from_millis(50), idle: Duration::from_millis(500) };
    /// Several nodes that share two cores.
    pub(crate) const CI: Self =
        Self { keep_alive: Duration::from_millis(250), idle: Duration::from_millis(2_500) };
}

/// Another node of the cluster, and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    /// Its id, which its certificate has to name.
    pub(crate) id: NodeId,
    /// `host:port`, resolved at each attempt to connect.
    pub(crate) address: String,
}

/// Everything that the transport has to know.
pub(crate) struct PeerSettings {
    /// The cluster that certificates have to name.
    pub(crate) cluster: ClusterId,
    /// This node.
    pub(crate) node: NodeId,
    /// The others. This node among them is passed over.
    pub(crate) peers: Vec<PeerAddress>,
    /// With whom the cluster began, which peers have to know as well.
    pub(crate) founders: Founders,
    /// Where this node takes clients, for peers to hear.
    pub(crate) listeners: Listeners,
    /// This node's certificate and key, and the authority of all.
    pub(crate) credentials: Credentials,
    /// How soon silence counts as loss.
    pub(crate) timing: PeerTiming,
}

/// Who an endpoint is, and how it proves it.
pub(crate) struct Identity<'a> {
    /// The cluster that certificates have to name.
    pub(crate) cluster: ClusterId,
    /// Its owner.
    pub(crate) party: Party,
    /// The owner's certificate and key, and the authority of all.
    pub(crate) credentials: &'a Credentials,
    /// How soon silence counts as loss.
    pub(crate) timing: PeerTiming,
}

impl PeerSettings {
    fn identity(&self) -> Identity<'_> {
        let Self { cluster, node, credentials, timing, .. } = self;
        Identity { cluster: *cluster, party: Party::Node(*node), credentials, timing: *timing }
    }
}

/// One peer, for `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerReport {
    /// The peer.
    pub(crate) node: NodeId,
    /// As configured.
    pub(crate) address: String,
    /// Whether messages can be sent on the control lane.
    pub(crate) connected: bool,
    /// Whether messages can be sent on the bulk lane.
    pub(crate) bulk_connected: bool,
    /// Round trip of the control lane, while it is connected.
    pub(crate) rtt: Option<Duration>,
    /// Handed to the connections, both lanes.
    pub(crate) messages_out: u64,
    /// Bytes of them.
    pub(crate) bytes_out: u64,
    /// Read from the peer's connections, both lanes.
    pub(crate) messages_in: u64,
    /// Bytes of them.
    pub(crate) bytes_in: u64,
    /// Not taken by [`Peers::send`], or lost in a queue with its connection.
    pub(crate) dropped: u64,
    /// Why the last attempt to connect failed, until one succeeds.
    pub(crate) fault: Option<String>,
    /// Whether it has refused this node, when it was called last, as one that was removed from the cluster.
    pub(crate) has_removed_us: bool,
    /// Where it takes FIX clients, by its last word, if that is reached from here.
    pub(crate) fix: Option<SocketAddr>,
}

/// The hot thread's end of one peer.
struct Peer {
    slot: Arc<Slot>,
    /// By lane.
    out: [mpsc::Sender<Parcel>; 2],
    /// By lane.
    arrived: [mpsc::Receiver<Parcel>; 2],
    /// The two tasks that keep the peer connected.
    dialers: [AbortHandle; 2],
}

/// The hot thread's end of the transport.
pub(crate) struct Peers {
    /// In order of id.
    peers: Vec<Peer>,
    roster: Roster,
    /// Gateway processes that have connected.
    gateways: mpsc::Receiver<GatewayLine>,
    /// Of this process: a peer that finds another instance knows that the one before is gone.
    greeting: Greeting,
    endpoints: Arc<Endpoints>,
    runtime: Handle,
    local: SocketAddr,
    /// The peer that is looked at first, so that none is before others for ever.
    turn: usize,
    /// Messages of control since the last of bulk.
    control_run: u32,
    /// Ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Peers {
    /// Starts the thread that carries the connections. `wake` is called when something came or a peer was lost.
    ///
    /// # Errors
    /// If the certificates do not fit each other or the settings, or the socket or a thread cannot be used.
    pub(crate) fn start(
        settings: PeerSettings,
        socket: UdpSocket,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, NodeFault> {
        let local = socket.local_addr().map_err(NodeFault::io("address of the peers' socket"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(NodeFault::io("tokio runtime"))?;
        let instance = u64::from_le_bytes(folder::random()?);
        let greeting = Greeting { instance, listeners: settings.listeners, founders: settings.founders };
        let endpoints = {
            let _entered = runtime.enter();
            Arc::new(Endpoints::new(&settings.identity(), socket, Arc::new(wake))?)
        };
        let (stop, stopped) = oneshot::channel();
        let (gateway_lines, gateways) = mpsc::channel(GATEWAYS_WAITING_MAX);
        let mut peers = Self {
            peers: Vec::new(),
            roster: Roster::of_file(settings.peers.iter().map(|peer| peer.id)),
            gateways,
            greeting,
            endpoints: Arc::clone(&endpoints),
            runtime: runtime.handle().clone(),
            local,
            turn: 0,
            control_run: 0,
            stop: Some(stop),
            thread: None,
        };
        for peer in settings.peers {
            peers.add(peer)?;
        }
        // Once all are known: who calls now must not be taken for a stranger.
        let thread =
            threads::start("peers", move || serve(runtime, (endpoints, greeting), gateway_lines, stopped));
        peers.thread = Some(thread.map_err(NodeFault::io("thread"))?);
        Ok(peers)
    }

    /// Connects to one more node, or to a known one at a new address. This node itself is passed over.
    ///
    /// # Errors
    /// If its connections cannot be configured.
    pub(crate) fn add(&mut self, peer: PeerAddress) -> Result<(), NodeFault> {
        let PeerAddress { id, address } = peer;
        if self.endpoints.is(id) || self.peer(id).is_some_and(|peer| peer.slot.address == address) {
            return Ok(());
        }
        self.remove(id);
        let client = self.endpoints.client_for(id)?;
        let (greeting, (arrivals, arrived)) = (self.greeting, pair());
        let slot = Arc::new(Slot::new(id, address, arrivals));
        let (out, [control, bulk]) = pair();
        self.endpoints.slots().insert(id, Arc::clone(&slot));
        let dial = |lane, queue| {
            let (endpoints, slot) = (Arc::clone(&self.endpoints), Arc::clone(&slot));
            let task = dial::keep_connected(endpoints, slot, (client.clone(), greeting), lane, queue);
            self.runtime.spawn(task).abort_handle()
        };
        let dialers = [dial(Lane::Control, control), dial(Lane::Bulk, bulk)];
        let place = self.peers.partition_point(|peer| peer.slot.node < id);
        self.peers.insert(place, Peer { slot, out, arrived, dialers });
        Ok(())
    }

    /// Ends the connections to and from a node. What has come from it and was not received is gone.
    pub(crate) fn remove(&mut self, id: NodeId) {
        self.endpoints.slots().remove(&id);
        if let Ok(place) = self.peers.binary_search_by_key(&id, |peer| peer.slot.node) {
            let peer = self.peers.remove(place);
            for dialer in &peer.dialers {
                dialer.abort();
            }
            peer.slot.close_incoming();
        }
    }

    /// Queues a message; false says that it was dropped: no such peer, no connection, no room, or too long.
    pub(crate) fn send(&mut self, to: NodeId, lane: Lane, bytes: Vec<u8>) -> bool {
        let Some(peer) = self.peer(to) else { return false };
        let shared = peer.slot.lane(lane);
        let fits = !bytes.is_empty() && bytes.len() <= PEER_MESSAGE_BYTES_MAX;
        let taken = fits
            && shared.connected.load(Ordering::Acquire)
            && slot::try_room(&shared.out_room, bytes.len())
                .is_some_and(|room| peer.out[lane.index()].try_send(Parcel { bytes, _room: room }).is_ok());
        if !taken {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// The next message, and the authenticated node that sent it: in order for each node and lane, control before
    /// bulk, and bulk now and then all the same.
    pub(crate) fn receive(&mut self) -> Option<(NodeId, Vec<u8>)> {
        if self.control_run < CONTROL_RUN_MAX
            && let Some(message) = self.take(Lane::Control)
        {
            self.control_run += 1;
            return Some(message);
        }
        let was_bulks_turn = self.control_run >= CONTROL_RUN_MAX;
        self.control_run = 0;
        let bulk = self.take(Lane::Bulk);
        if bulk.is_none() && was_bulks_turn { self.take(Lane::Control) } else { bulk }
    }

    /// A gateway process that has connected.
    pub(crate) fn next_gateway(&mut self) -> Option<GatewayLine> {
        self.gateways.try_recv().ok()
    }

    fn peer(&self, id: NodeId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.slot.node == id)
    }

    fn take(&mut self, lane: Lane) -> Option<(NodeId, Vec<u8>)> {
        let count = self.peers.len();
        for place in (self.turn..count).chain(0..self.turn.min(count)) {
            let peer = &mut self.peers[place];
            if let Ok(parcel) = peer.arrived[lane.index()].try_recv() {
                self.turn = (place + 1) % count;
                return Some((peer.slot.node, parcel.bytes));
            }
        }
        None
    }

    /// Nodes to which a connection was lost or could not be made since the last call.
    pub(crate) fn take_unreachable(&mut self) -> Vec<NodeId> {
        let lost = self.peers.iter().filter(|peer| peer.slot.unreachable.swap(false, Ordering::AcqRel));
        lost.map(|peer| peer.slot.node).collect()
    }

    /// Where a peer takes clients, by its last word, as far as that is reached from here.
    pub(crate) fn reached(&self, node: NodeId) -> Reached {
        self.peer(node).map(|peer| peer.slot.reached()).unwrap_or_default()
    }

    /// Where this node listens.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Every peer, in order of id.
    pub(crate) fn report(&self) -> Vec<PeerReport> {
        self.peers.iter().map(|peer| peer.slot.report()).collect()
    }

    /// Connections that were not let in since the start: wrong certificates, strangers, breaches of the protocol.
    pub(crate) fn refused(&self) -> u64 {
        self.endpoints.refused()
    }
}

impl Drop for Peers {
    /// Says goodbye, so that peers need not wait for silence to know.
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the peers' thread panicked");
        }
    }
}

/// One queue a lane.
fn pair() -> ([mpsc::Sender<Parcel>; 2], [mpsc::Receiver<Parcel>; 2]) {
    let (control, bulk) = (mpsc::channel(QUEUE_MESSAGES_MAX), mpsc::channel(QUEUE_MESSAGES_MAX));
    ([control.0, bulk.0], [control.1, bulk.1])
}

/// The thread.
fn serve(
    runtime: Runtime,
    (endpoints, greeting): (Arc<Endpoints>, Greeting),
    gateways: mpsc::Sender<GatewayLine>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        tokio::select! {
            _ = stopped => {}
            () = accept::serve(Arc::clone(&endpoints), greeting, gateways) => {}
        }
        endpoints.close(FAREWELL).await;
    });
    // A name that is being looked up would hold the process otherwise.
    runtime.shutdown_background();
}

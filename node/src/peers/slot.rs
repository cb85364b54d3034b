//! What the hot thread and the two halves of the transport share about one peer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::NodeId;
use quinn::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::greeting::Reached;
use super::{Lane, MESSAGE_OVERHEAD_BYTES, PeerReport, QUEUE_BYTES_MAX};

/// A message in a queue, and the room that it takes, which is given back when it leaves.
pub(super) struct Parcel {
    pub(super) bytes: Vec<u8>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// What its last connection to us said of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Drawn by its process at the start; 0 before it is known.
    pub(super) instance: u64,
    /// Connections that it made.
    pub(super) hellos: u64,
}

/// One peer.
pub(super) struct Slot {
    pub(super) node: NodeId,
    pub(super) address: String,
    lanes: [LaneState; 2],
    /// Set when a connection was lost or could not be made.
    pub(super) unreachable: AtomicBool,
    /// The peer refuses this node as one that was removed.
    pub(super) has_removed_us: AtomicBool,
    /// Tells who dials that the peer is alive, and whether it is another process than before.
    pub(super) seen: watch::Sender<Seen>,
    fault: Mutex<Option<String>>,
    /// Where the peer takes clients, by its last word, as far as we reach that.
    reached: Mutex<Reached>,
}

/// One lane of it.
pub(super) struct LaneState {
    /// Whether messages can be sent.
    pub(super) connected: AtomicBool,
    pub(super) rtt_nanos: AtomicU64,
    pub(super) out_room: Arc<Semaphore>,
    pub(super) in_room: Arc<Semaphore>,
    pub(super) arrivals: mpsc::Sender<Parcel>,
    pub(super) messages_out: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) messages_in: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// The newest connection that the peer made.
    incoming: Mutex<Option<Connection>>,
}

impl Slot {
    pub(super) fn new(node: NodeId, address: String, arrivals: [mpsc::Sender<Parcel>; 2]) -> Self {
        Self {
            node,
            address,
            lanes: arrivals.map(LaneState::new),
            unreachable: AtomicBool::new(false),
            has_removed_us: AtomicBool::new(false),
            seen: watch::Sender::new(Seen::default()),
            fault: Mutex::new(None),
            reached: Mutex::new(Reached::default()),
        }
    }

    pub(super) fn lane(&self, lane: Lane) -> &LaneState {
        &self.lanes[lane.index()]
    }

    /// Keeps or clears the reason why there is no connection.
    pub(super) fn set_fault(&self, fault: Option<String>) {
        *lock(&self.fault) = fault;
    }

    /// Keeps what the peer said of its listeners.
    pub(super) fn set_reached(&self, reached: Reached) {
        *lock(&self.reached) = reached;
    }

    /// What it said.
    pub(super) fn reached(&self) -> Reached {
        *lock(&self.reached)
    }

    /// Ends what the peer dialled.
    pub(super) fn close_incoming(&self) {
        for lane in &self.lanes {
            lane.replace_incoming(None);
        }
    }

    pub(super) fn report(&self) -> PeerReport {
        let [control, bulk] = &self.lanes;
        let sum = |of: fn(&LaneState) -> &AtomicU64| {
            of(control).load(Ordering::Relaxed) + of(bulk).load(Ordering::Relaxed)
        };
        let connected = control.connected.load(Ordering::Acquire);
        let rtt = Duration::from_nanos(control.rtt_nanos.load(Ordering::Relaxed));
        PeerReport {
            node: self.node,
            address: self.address.clone(),
            connected,
            bulk_connected: bulk.connected.load(Ordering::Acquire),
            rtt: connected.then_some(rtt),
            messages_out: sum(|lane| &lane.messages_out),
            bytes_out: sum(|lane| &lane.bytes_out),
            messages_in: sum(|lane| &lane.messages_in),
            bytes_in: sum(|lane| &lane.bytes_in),
            dropped: sum(|lane| &lane.dropped),
            fault: lock(&self.fault).clone(),
            has_removed_us: self.has_removed_us.load(Ordering::Acquire),
            fix: self.reached().fix,
        }
    }
}

impl LaneState {
    fn new(arrivals: mpsc::Sender<Parcel>) -> Self {
        Self {
            connected: AtomicBool::new(false),
            rtt_nanos: AtomicU64::new(0),
            out_room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            in_room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            arrivals,
            messages_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            messages_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            incoming: Mutex::new(None),
        }
    }

    /// Makes `next` the one connection that is read; the one before ends. So a peer holds two at most.
    pub(super) fn replace_incoming(&self, next: Option<Connection>) {
        let before = std::mem::replace(&mut *lock(&self.incoming), next);
        if let Some(before) = before {
            before.close(0_u32.into(), b"replaced");
        }
    }

    /// Counts what the connection took.
    pub(super) fn sent(&self, bytes: usize) {
        self.messages_out.fetch_add(1, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts what was read.
    pub(super) fn came(&self, bytes: usize) {
        self.messages_in.fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Room for a message in a queue, if there is some now.
pub(super) fn try_room(room: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    Arc::clone(room).try_acquire_many_owned(charge(bytes)?).ok()
}

/// Room for a message in a queue, once there is some. `None`: never.
pub(super) async fn room(room: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    Arc::clone(room).acquire_many_owned(charge(bytes)?).await.ok()
}

fn charge(bytes: usize) -> Option<u32> {
    u32::try_from(bytes + MESSAGE_OVERHEAD_BYTES).ok()
}

/// Locks what no holder leaves half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

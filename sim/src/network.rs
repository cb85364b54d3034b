//! The network between replicas: messages are late, lost, doubled and overtaken; ways are cut and clogged, in one
//! direction or both.

use std::collections::BTreeMap;
use std::rc::Rc;

use protocol::{Field, MonoNanos, NodeId};
use replicas::{Outbound, ReceiveFault, Replica};

use crate::disk::SimDisk;
use crate::knobs::NetworkKnobs;
use crate::rng::Rng;
use crate::trace::Trace;

/// Messages that wait on one way, at most: a slow receiver loses the rest.
const WAITING_MAX: usize = 2_000;

/// A message on its way, as the bytes that would travel, with what checkers want to know of it.
#[derive(Clone)]
pub struct Carried {
    /// Its sender.
    pub from: usize,
    /// Its receiver.
    pub to: usize,
    /// Which replica its sender is, at that place.
    pub from_node: NodeId,
    /// For which replica it is, at that place.
    pub to_node: NodeId,
    /// The number of its kind in Raft's protocol.
    pub kind: u8,
    /// Its term.
    pub term: u64,
    /// Whether it refuses something.
    pub reject: bool,
    bytes: Rc<Vec<u8>>,
}

/// Kinds of messages by their numbers in Raft's protocol, as far as anybody here looks at them.
pub mod kinds {
    /// From here on they are no part of Raft, and have no term.
    pub const OUTSIDE_RAFT: u8 = 64;
    /// A candidate asks for a vote.
    pub const REQUEST_VOTE: u8 = 5;
    /// The answer.
    pub const REQUEST_VOTE_RESPONSE: u8 = 6;
    /// The same, before the term is raised.
    pub const REQUEST_PRE_VOTE: u8 = 17;
    /// The answer.
    pub const REQUEST_PRE_VOTE_RESPONSE: u8 = 18;
}

/// Offsets in the layout of a message (`replicas::message`).
const KIND_AT: usize = 1;
const FLAGS_AT: usize = 2;
const TERM_AT: usize = 32;
const FLAG_REJECT: u16 = 1;

/// The replica at a place among `nodes` in a machine of this generation: an id belongs to one disk for ever.
#[must_use]
pub fn node_at(place: usize, nodes: usize, generation: u64) -> NodeId {
    NodeId(place as u64 + 1 + generation * nodes as u64)
}

/// Where among `nodes` a replica is, or was.
fn place_of(node: NodeId, nodes: usize) -> usize {
    (node.0.saturating_sub(1) % nodes as u64) as usize
}

/// Messages of the replica `from` among `nodes`, on their way.
pub fn carried(from: NodeId, nodes: usize, outbound: Vec<Outbound>) -> Vec<Carried> {
    let carried = outbound.into_iter().map(|Outbound { to, bytes, .. }| Carried {
        from: place_of(from, nodes),
        to: place_of(to, nodes),
        from_node: from,
        to_node: to,
        kind: bytes[KIND_AT],
        term: if bytes[KIND_AT] < kinds::OUTSIDE_RAFT { bytes.u64_at(TERM_AT) } else { 0 },
        reject: bytes.u16_at(FLAGS_AT) & FLAG_REJECT != 0,
        bytes: Rc::new(bytes),
    });
    carried.collect()
}

impl Carried {
    /// What travels.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives it to its receiver.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn deliver(&self, replica: &mut Replica<SimDisk>) -> Result<(), ReceiveFault> {
        replica.receive_from(self.from_node, &self.bytes)
    }
}

/// One direction between two replicas.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    cut: bool,
    clogged_until: MonoNanos,
    waiting: usize,
}

/// All ways.
pub struct Network {
    rng: Rng,
    trace: Trace,
    knobs: NetworkKnobs,
    nodes: usize,
    ways: Vec<Way>,
    queue: BTreeMap<(MonoNanos, u64), Carried>,
    sent: u64,
}

impl Network {
    pub(crate) fn new(rng: Rng, nodes: usize, knobs: NetworkKnobs, trace: Trace) -> Self {
        let ways = vec![Way::default(); nodes * nodes];
        Self { rng, trace, knobs, nodes, ways, queue: BTreeMap::new(), sent: 0 }
    }

    fn way(&mut self, from: usize, to: usize) -> &mut Way {
        &mut self.ways[from * self.nodes + to]
    }

    /// A replica sends.
    pub(crate) fn send(&mut self, now: MonoNanos, message: &Carried) {
        let Carried { from, to, kind, term, .. } = *message;
        if to >= self.nodes || from >= self.nodes || from == to {
            return;
        }
        self.trace.note("send", (from * self.nodes + to) as u64, (term << 8) | u64::from(kind));
        if self.way(from, to).cut || self.rng.chance_ppm(self.knobs.loss_ppm) {
            self.trace.sometimes("message lost");
            return;
        }
        let copies = if self.rng.chance_ppm(self.knobs.duplicate_ppm) {
            self.trace.sometimes("message doubled");
            2
        } else {
            1
        };
        for _ in 0..copies {
            let delay_ns = self.rng.exponential(self.knobs.delay_us) * 1_000 + 20_000;
            let way = self.way(from, to);
            if way.waiting >= WAITING_MAX {
                self.trace.sometimes("message lost on a full way");
                return;
            }
            way.waiting += 1;
            let due = now.plus(delay_ns).max(way.clogged_until);
            self.sent += 1;
            self.queue.insert((due, self.sent), message.clone());
        }
    }

    /// When the next message arrives anywhere.
    #[must_use]
    pub fn next_due(&self) -> Option<MonoNanos> {
        self.queue.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next message that has arrived. One that was on its way when the way was cut is lost.
    pub(crate) fn arrived(&mut self, now: MonoNanos) -> Option<Carried> {
        loop {
            let entry = self.queue.first_entry()?;
            if entry.key().0 > now {
                return None;
            }
            let message = entry.remove();
            let way = self.way(message.from, message.to);
            way.waiting -= 1;
            if !way.cut {
                return Some(message);
            }
            self.trace.sometimes("message lost");
        }
    }

    /// Cuts, or mends, the way between two replicas in one direction.
    pub(crate) fn cut(&mut self, from: usize, to: usize, cut: bool) {
        self.way(from, to).cut = cut;
    }

    /// Holds everything sent from now on until `until`.
    pub(crate) fn clog(&mut self, from: usize, to: usize, until: MonoNanos) {
        self.way(from, to).clogged_until = until;
    }

    /// A good network from now on.
    pub(crate) fn heal(&mut self) {
        self.knobs = NetworkKnobs { loss_ppm: 0, duplicate_ppm: 0, delay_us: 200, ..self.knobs };
        for way in &mut self.ways {
            (way.cut, way.clogged_until) = (false, MonoNanos(0));
        }
    }
}

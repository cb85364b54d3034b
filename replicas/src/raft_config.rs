//! How Raft is set up: ticks, elections without hidden randomness, limits.

use protocol::NodeId;
use protocol::limits::{FRAME_BYTES_MAX, IN_FLIGHT_ENTRIES_MAX};
use protocol::mutant::{Mutant, planted};

use crate::membership::MEMBERS_MAX;

/// Pace of ticks, heartbeats and elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two ticks.
    pub tick_ms: u64,
    /// Ticks between a leader's heartbeats.
    pub heartbeat_ticks: usize,
    /// Ticks without a leader before an election may start: nobody votes earlier.
    pub election_ticks: usize,
    /// Ticks behind those after which the first node stands for election: were there none, the others' lease might still
    /// run, and a round be wasted.
    pub grace_ticks: usize,
    /// Ticks between the election timeouts of two nodes: disjoint, so that votes do not split.
    pub stagger_ticks: usize,
    /// A leader whose disk does not answer a write for so long gives the lead away, while it can still send …
    pub stall_transfer_ms: u64,
    /// … and ends after so long: it could neither acknowledge nor notice.
    pub stall_abort_ms: u64,
}

impl Timing {
    /// Two milliseconds a tick, 150 ms lease, windows 60 ms apart (reliability: liveness figures, profile lan).
    pub const LAN: Self = Self {
        tick_ms: 2,
        heartbeat_ticks: 10,
        election_ticks: 75,
        grace_ticks: 10,
        stagger_ticks: 30,
        stall_transfer_ms: 100,
        stall_abort_ms: 1_000,
    };
    /// For nodes that share cores and a disk: 10 ms a tick, 500 ms lease, windows 240 ms apart. What stalls one node's disk is the
    /// others' work, and stalls theirs: a lead that moves for less than a lease brings nothing.
    pub const CI: Self = Self {
        tick_ms: 10,
        heartbeat_ticks: 5,
        election_ticks: 50,
        grace_ticks: 4,
        stagger_ticks: 24,
        stall_transfer_ms: 500,
        stall_abort_ms: 10_000,
    };
}

impl Timing {
    /// Ticks without a leader after which a member of this rank stands for election: members differ by rank, so that their
    /// elections do not collide.
    pub(crate) fn election_timeout_ticks(self, rank: u16) -> usize {
        let rank = usize::from(rank.min(LAST_RANK));
        self.election_ticks + self.grace_ticks + self.stagger_ticks * rank
    }
}

/// Members are at most so many that no rank is higher; who is none yet waits as long.
pub(crate) const LAST_RANK: u16 = 16;
const _: () = assert!(LAST_RANK as usize >= MEMBERS_MAX);

/// raft-rs draws its election timeout from the thread's generator, anew at every change of its role. It is overwritten with
/// that of the replica's rank before each tick, where alone it is looked at: a simulated run stays a function of its seed, and
/// ranks can come with members.
pub(crate) fn raft_config(node: NodeId, timing: Timing, applied: u64) -> raft::Config {
    raft::Config {
        id: node.0,
        applied,
        election_tick: timing.election_ticks,
        heartbeat_tick: timing.heartbeat_ticks,
        min_election_tick: timing.election_timeout_ticks(0),
        max_election_tick: timing.election_timeout_ticks(LAST_RANK) + 1,
        max_size_per_msg: 4 * FRAME_BYTES_MAX as u64,
        // As many as a leader has entries in flight. A follower with a slow disk holds no more than these in memory, of up to 1 MiB each.
        max_inflight_msgs: IN_FLIGHT_ENTRIES_MAX,
        max_uncommitted_size: 32 << 20,
        max_committed_size_per_ready: 4 << 20,
        // raft-rs 0.7 merges entries into an empty message that probes another index: the follower then acknowledges
        // entries that it does not have.
        batch_append: planted(Mutant::BatchAppend),
        check_quorum: true,
        // A process that was stopped, or whose clock was set, does not know that its lease is over.
        read_only_option: if planted(Mutant::LeaseRead) {
            raft::ReadOnlyOption::LeaseBased
        } else {
            raft::ReadOnlyOption::Safe
        },
        pre_vote: true,
        ..raft::Config::default()
    }
}

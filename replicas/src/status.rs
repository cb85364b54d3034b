//! What a replica tells of itself.

use protocol::hash::Hash;
use protocol::{ClusterId, Index, MonoNanos, NodeId, Seq, Term, UnixNanos};

use crate::{ClockStatus, Elections, Halt};

/// Role in the current term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows, or waits for an election.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads; whether it serves is [`Status::serving`].
    Leader,
}

/// A replica at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// The cluster.
    pub cluster: ClusterId,
    /// This replica.
    pub node: NodeId,
    /// Its role.
    pub role: Role,
    /// Elections since the start.
    pub elections: Elections,
    /// Whether gateways may submit.
    pub serving: bool,
    /// Current term.
    pub term: Term,
    /// Last entry in the log.
    pub index_last: Index,
    /// Last durable entry.
    pub index_durable: Index,
    /// Since when the disk has not answered a write.
    pub writing_since: Option<MonoNanos>,
    /// Last committed entry.
    pub index_committed: Index,
    /// Last applied entry.
    pub index_applied: Index,
    /// Last seq that is committed.
    pub seq_committed: Seq,
    /// Last seq whose effects are here.
    pub seq_applied: Seq,
    /// Time of that seq.
    pub time_applied: UnixNanos,
    /// Hash of all effects up to it.
    pub effect_hash: Hash,
    /// Last seq up to which a majority of the voters is known to have the same effects.
    pub seq_verified: Seq,
    /// Set when the engine stopped.
    pub halted: Option<Halt>,
    /// Records before the sequencer.
    pub queue_records: usize,
    /// The journal's counters.
    pub journal: journal::Stats,
    /// READ_ONLY, and why: the journal has no room for more, or outputs cannot be kept. Nothing is lost, and it is tried
    /// again every second.
    pub read_only: Option<journal::DiskFault>,
    /// Segments ready to be used.
    pub spares_ready: usize,
    /// Newest durable snapshot taken or loaded by this process.
    pub snapshot_index: Option<Index>,
    /// Why the last snapshot could not be written, or the newest one not be used at the start.
    pub snapshot_fault: Option<journal::snapshot_file::SnapshotFault>,
    /// Damage that the start found in outbox files: usually followed by `outputs_were_missing`.
    pub outbox_damage: Vec<journal::outbox::Damage>,
    /// The first output below the state that this replica began with which is to come from another one. Who asks for it is
    /// not answered.
    pub outputs_to_come: Option<protocol::event::OutputNumber>,
    /// Why outputs that are kept could not be read when somebody asked last: a start produces them again.
    pub outbox_fault: Option<crate::OutboxFault>,
    /// This process found outputs of a session gone from the outbox, from about this number on, and has replayed
    /// everything to have them again.
    pub outputs_were_missing: Option<protocol::event::OutputNumber>,
    /// The cluster's clock.
    pub clock: ClockStatus,
}

/// Samples of one turn or more, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct StageLatencies {
    /// From the gateway to the sequence number.
    pub gateway_to_sequenced_ns: Vec<u64>,
    /// From the sequence number to the disk.
    pub sequenced_to_durable_ns: Vec<u64>,
    /// From the disk to the effects.
    pub durable_to_applied_ns: Vec<u64>,
}

//! Consensus and apply: Raft over the journal, the engine fed in log order, outputs and hashes that follow.
//!
//! Rule: sans-I/O. A replica is stepped with the time as an argument, never awaited; it has no thread, no socket and
//! no clock, and all its bytes go through [`journal::Disk`], so that the simulator runs this very code.
//!
//! One turn is [`Replica::step`]; the order of what it does is the order in which to read it.
#![forbid(unsafe_code)]

mod apply;
mod checkpoint;
mod cluster_clock;
mod divergence;
mod elections;
mod fault;
mod handover;
mod history;
pub mod links;
mod log;
mod marzullo;
mod membership;
pub mod message;
mod paths;
mod peers;
mod raft_config;
mod raft_log;
mod reads;
mod repair;
mod replica;
mod serve;
mod skip;
mod snapshots;
mod start;
mod states;
mod status;
mod tap;
mod transfer;

pub use checkpoint::{SnapshotJob, SnapshotWritten};
pub use cluster_clock::{ClockAlarm, ClockStatus, TIME_AHEAD_NANOS_MAX};
pub use elections::Elections;
pub use fault::{Halt, HaltCause, OutboxFault, ReplicaFault, StartFault};
pub use handover::LeadEnd;
pub use membership::{ADDRESS_BYTES_MAX, MEMBERS_MAX, Membership, is_address};
pub use paths::{Path, Paths};
pub use peers::{ClusterRefusal, Lane, Member, MemberChange, MemberRole, Outbound, ReceiveFault};
pub use raft_config::Timing;
pub use raft_log::RaftLine;
pub use reads::{ReadRefusal, ReadTicket};
pub use repair::{Repair, RepairRow, RepairStatus, RepairWait, SnapshotStatus};
pub use replica::{Now, Replica};
pub use skip::SkipNotProposed;
pub use snapshots::SnapshotPolicy;
pub use start::Options;
pub use status::{Role, StageLatencies, Status};
pub use tap::{CatchUp, CatchUpFault, Tapped, View, Wants};

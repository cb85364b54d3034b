//! What stops a replica, or its engine alone.

use journal::{JournalFault, ReadFault};
use protocol::frame::FrameFault;
use protocol::hash::Hash;
use protocol::record::RecordFault;
use protocol::{Index, Seq};

/// The process cannot go on; a retry would prove nothing. Say it in one line and abort.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaFault {
    /// What the disk holds is unknown.
    #[error("journal: {0}")]
    Journal(JournalFault),
    /// An entry that the log holds cannot be read.
    #[error("log: {0}")]
    Read(#[from] ReadFault),
    /// Raft refuses its own state.
    #[error("raft: {0}")]
    Raft(#[from] raft::Error),
    /// A committed entry is not a frame.
    #[error("entry {index} is not a frame: {fault:?}")]
    Frame {
        /// Of the entry.
        index: Index,
        /// Why.
        fault: FrameFault,
    },
    /// Our effects differ from those that the proposer recorded: this replica has diverged, or the journal was edited.
    #[error("effects diverge at seq {seq}: recorded {recorded}, computed {computed}")]
    Diverged {
        /// Where they were compared.
        seq: Seq,
        /// In the frame.
        recorded: Hash,
        /// Here.
        computed: Hash,
    },
}

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// Recovery refused the journal.
    #[error("{0}")]
    Refused(#[source] journal::Refusal),
    /// Raft refuses its configuration or state.
    #[error("raft: {0}")]
    Raft(#[from] raft::Error),
}

/// The engine stopped in front of a record; Raft runs on. Every replica stops at the same seq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The record.
    pub seq: Seq,
    /// Why.
    pub cause: HaltCause,
}

/// Why the engine stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HaltCause {
    /// The record trips an invariant.
    Invariant(engine::InvariantBroken),
    /// The bytes are not a record.
    Record(RecordFault),
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cause {
            HaltCause::Invariant(broken) => write!(f, "engine halted at seq {}: {broken:?}", self.seq),
            HaltCause::Record(fault) => {
                write!(f, "engine halted at seq {}: not a record: {fault:?}", self.seq)
            }
        }
    }
}

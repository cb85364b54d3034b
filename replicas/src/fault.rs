//! What stops a replica, or its engine alone.

use engine::CannotTake;
use journal::divergence::Quarantine;
use journal::{DiskFault, JournalFault, ReadFault};
use protocol::frame::{FrameFault, FrameKind};
use protocol::hash::Hash;
use protocol::{Index, NodeId, Seq};

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
    /// A majority has other effects than this replica: it takes part in nothing any more, in no later life either.
    #[error(
        "node {node} is quarantined: at seq {} its effects are {}, those of a majority {}; {}{}",
        quarantine.seq, quarantine.ours, quarantine.theirs, part_of(quarantine), unwritten_of(unwritten)
    )]
    Quarantined {
        /// This replica.
        node: NodeId,
        /// Where, and what differs.
        quarantine: Box<Quarantine>,
        /// Why it could not be made durable: then the next life may come to it again.
        unwritten: Option<DiskFault>,
    },
    /// The disk of a leader has not answered a write for so long that others have to lead.
    #[error("the disk has not answered a write for {} ms, and others can lead", nanos / protocol::time::NANOS_PER_MILLI)]
    DiskStalled {
        /// How long.
        nanos: u64,
    },
    /// This engine alone halted: another replica has taken the record. Keep the folder, and report it.
    #[error(
        "the engine halted at seq {seq}, and another replica has executed that record: this one has gone wrong"
    )]
    HaltedAlone {
        /// The record.
        seq: Seq,
    },
    /// The engine cannot begin again behind a record that operators passed over.
    #[error("to begin again behind what was passed over: {0}")]
    Again(Box<StartFault>),
    /// A damaged log that was being repaired cannot be opened again.
    #[error("to look at the damaged log again: {0}")]
    Repair(Box<StartFault>),
    /// The proposer recorded effects at a seq that no frame ends with, or that is not applied: the journal was edited.
    #[error("effects recorded at seq {seq}, where no frame ends; applied up to {applied}")]
    NoSuchEffects {
        /// In the frame.
        seq: Seq,
        /// Here.
        applied: Seq,
    },
}

fn part_of(quarantine: &Quarantine) -> String {
    if quarantine.part.is_empty() {
        "no part of its state is known to differ from a run over its journal".to_owned()
    } else {
        format!("the first part of its state that differs from a run over its journal: {}", quarantine.part)
    }
}

fn unwritten_of(unwritten: &Option<DiskFault>) -> String {
    unwritten.as_ref().map_or(String::new(), |fault| format!("; NOT WRITTEN to its folder: {fault}"))
}

/// An output that is kept cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboxFault {
    /// The disk.
    #[error("outbox: {0}")]
    Disk(#[from] DiskFault),
    /// What was read is not an event.
    #[error("outbox: an output is damaged: {0:?}")]
    Damaged(protocol::event::EventFault),
    /// Outputs from this number on are not there, and a session may ask for them.
    #[error("outbox: output {0:?} is gone")]
    Gone(protocol::event::OutputNumber),
}

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// Recovery refused the journal.
    #[error("{0}")]
    Refused(#[from] journal::Refusal),
    /// The disk.
    #[error("{0}")]
    Disk(#[from] DiskFault),
    /// An entry that a snapshot ends with cannot be read.
    #[error("log: {0}")]
    Read(#[from] ReadFault),
    /// The journal does not reach back to its beginning and no whole snapshot stands in for it.
    #[error("the journal begins at entry {first_index} and no snapshot before it is whole: {damaged:?}")]
    NoSnapshot {
        /// First entry of the journal.
        first_index: Index,
        /// Snapshots that are there, and what is wrong with them.
        damaged: Vec<(journal::FileRef, journal::snapshot_file::SnapshotFault)>,
    },
    /// A majority had other effects than this replica, in an earlier life. An operator replaces it.
    #[error(
        "this node is quarantined: at seq {} its effects were {}, those of a majority {}; {}",
        .0.seq, .0.ours, .0.theirs, part_of(.0)
    )]
    Quarantined(Box<Quarantine>),
    /// The file that may say so is damaged.
    #[error("the file `divergence` is damaged: it may say that this node is quarantined")]
    DivergenceUnreadable,
    /// Raft refuses its configuration or state.
    #[error("raft: {0}")]
    Raft(#[from] raft::Error),
}

impl StartFault {
    /// Whether entries are missing or in doubt, or a state, that others may have: [`crate::Repair`] brings them back.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_damage(),
            Self::NoSnapshot { .. } => true,
            Self::Disk(_)
            | Self::Read(_)
            | Self::Quarantined(_)
            | Self::DivergenceUnreadable
            | Self::Raft(_) => false,
        }
    }
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
    /// What stands there is no record that an engine can take. Operators may pass over it.
    Record {
        /// BLAKE3 of what stands there.
        record_hash: Hash,
        /// Why not.
        fault: CannotTake,
    },
    /// Others have other effects, and no majority is known to have the same. It goes on by itself when one is.
    Differs {
        /// By the proposer; zero if another replica told.
        recorded: Hash,
        /// Here.
        computed: Hash,
    },
    /// Others have another state behind a checkpoint, and no majority is known to have the same. It goes on by itself when one is.
    StateDiffers {
        /// Here.
        computed: Hash,
    },
    /// The entry is of a kind, or under a version of the rules, that this version of the program does not know.
    Rules {
        /// Its kind.
        kind: FrameKind,
        /// Its version of the rules.
        engine_version: u32,
    },
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cause {
            HaltCause::Record { record_hash, fault } => {
                write!(f, "engine halted at seq {}, record {record_hash}: ", self.seq)?;
                match fault {
                    CannotTake::Invariant(broken) => write!(f, "{:?}", broken.what),
                    CannotTake::NotARecord(fault) => write!(f, "not a record: {fault:?}"),
                }
            }
            HaltCause::Differs { recorded, computed } => write!(
                f,
                "effects at seq {} are {computed} here and others elsewhere (recorded {recorded}), and no majority is \
                 known to agree",
                self.seq
            ),
            HaltCause::StateDiffers { computed } => write!(
                f,
                "the state behind the checkpoint at seq {} is {computed} here and another one elsewhere, and no majority is \
                 known to agree",
                self.seq
            ),
            HaltCause::Rules { kind, engine_version } => write!(
                f,
                "engine halted at seq {}: this program does not know {kind:?} entries of version {engine_version}",
                self.seq
            ),
        }
    }
}

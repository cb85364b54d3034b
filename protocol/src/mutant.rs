//! Faults that are planted on purpose, so that the simulator has to prove that it finds them. Each stands where a careless
//! hand would have made it. One is chosen at run time, in a build with the feature `mutants`, which no shipped binary has:
//! without it [`planted`] is `false` for the compiler, and nothing of this is left.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// A Ready counts as persisted before its block is durable.
    PersistedBeforeDurable = 1,
    /// Votes and acknowledgements leave before what they depend on is durable.
    AnswersBeforeDurable,
    /// A start counts what it read and has not synced.
    StartWithoutSync,
    /// A repair goes on behind what was read and has not been synced.
    RepairWithoutSync,
    /// Term and vote are not stored.
    VoteNotStored,
    /// `meta` is written and not synced.
    MetaNotSynced,
    /// A failed write is taken for a good one.
    FailedWriteIgnored,
    /// Damaged blocks that were durable are cut off.
    RepairTruncates,
    /// A tail that cannot be judged alone is cut off.
    SuspectTruncates,
    /// The place of a torn write is not filled with the pattern again.
    TornTailLeft,
    /// A start ignores that a part of the log was voided.
    TruncationIgnored,
    /// Blocks do not say what was durable when they were begun.
    WatermarkNeverRaised,
    /// A block on its way says what was committed later.
    CommitInEarlierBlock,
    /// Raft merges entries into an empty message of another index.
    BatchAppend,
    /// The log behind a fetched snapshot forgets where its seqs go on.
    SeqOfBaseForgotten,
    /// A fetched snapshot gets its name, and the folder is not synced.
    InstallNotSynced,
    /// A snapshot gets its name before it and the folder are synced.
    SnapshotNotSynced,
    /// A read is answered before the engine has come as far as the quorum confirmed.
    ReadBeforeApplied,
    /// An output that cannot be read is answered by a gap fill.
    GapOverUnreadable,
    /// Requests that were answered are not in a snapshot.
    RequestsNotInSnapshot,
    /// A repeated request is executed again.
    RequestExecutedAgain,
    /// A record is stamped with the wall clock, whatever was stamped before.
    ClockGoesBack,
    /// What was submitted in an earlier term is proposed in the next.
    TermNotEnded,
    /// Outputs of another term's entries leave the process.
    FollowerSpeaks,
    /// Outputs that a session may ask for are taken for forgotten.
    FloorRaisedEarly,
    /// A leader answers reads without asking anybody whether it still leads.
    LeaseRead,
    /// Who joins behind a snapshot counts before it has the outputs of before.
    JoinsWithoutOutputs,
    /// A leader goes by its own wall clock, whatever a majority says.
    ClockUnclamped,
    /// A leader whose disk does not answer keeps the lead.
    StalledDiskKept,
    /// What is in doubt is given up when a single other replica lacks it.
    NackOfOneBelieved,
    /// Transfers that were executed are not in a snapshot.
    TransferIdsNotInSnapshot,
    /// A snapshot does not say when what is pending expires.
    DeadlinesNotInSnapshot,
    /// A transfer that was executed is executed again.
    TransferExecutedAgain,
    /// What a linked chain did before a row of it failed is left.
    FailedChainLeft,
    /// Nobody pulses when a timer is due.
    PulseForgotten,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 35] = [
        Self::PersistedBeforeDurable,
        Self::AnswersBeforeDurable,
        Self::StartWithoutSync,
        Self::RepairWithoutSync,
        Self::VoteNotStored,
        Self::MetaNotSynced,
        Self::FailedWriteIgnored,
        Self::RepairTruncates,
        Self::SuspectTruncates,
        Self::TornTailLeft,
        Self::TruncationIgnored,
        Self::WatermarkNeverRaised,
        Self::CommitInEarlierBlock,
        Self::BatchAppend,
        Self::SeqOfBaseForgotten,
        Self::InstallNotSynced,
        Self::SnapshotNotSynced,
        Self::ReadBeforeApplied,
        Self::GapOverUnreadable,
        Self::RequestsNotInSnapshot,
        Self::RequestExecutedAgain,
        Self::ClockGoesBack,
        Self::TermNotEnded,
        Self::FollowerSpeaks,
        Self::FloorRaisedEarly,
        Self::LeaseRead,
        Self::JoinsWithoutOutputs,
        Self::ClockUnclamped,
        Self::StalledDiskKept,
        Self::NackOfOneBelieved,
        Self::TransferIdsNotInSnapshot,
        Self::DeadlinesNotInSnapshot,
        Self::TransferExecutedAgain,
        Self::FailedChainLeft,
        Self::PulseForgotten,
    ];
}

#[cfg(feature = "mutants")]
mod chosen {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Mutant;

    static CHOSEN: AtomicU8 = AtomicU8::new(0);

    /// Plants `mutant` for the rest of the process.
    pub fn plant(mutant: Mutant) {
        CHOSEN.store(mutant as u8, Ordering::Relaxed);
    }

    /// Whether `mutant` is the one that was planted.
    #[must_use]
    pub fn planted(mutant: Mutant) -> bool {
        CHOSEN.load(Ordering::Relaxed) == mutant as u8
    }
}

#[cfg(feature = "mutants")]
pub use chosen::{plant, planted};

/// Whether `mutant` is planted: never, in this build.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub const fn planted(_mutant: Mutant) -> bool {
    false
}

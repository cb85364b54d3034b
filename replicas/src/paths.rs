//! Which ways through the Raft loop were taken. A simulator whose worlds leave one of them out proves nothing about it; nothing
//! else reads this.

use raft::Ready;

/// A way through the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Path {
    /// A Ready brings entries.
    Entries,
    /// They take the place of others.
    TailReplaced,
    /// A Ready brings term or vote, and no entries.
    HardStateAlone,
    /// A Ready brings messages that leave while the local write runs.
    MessagesAtOnce,
    /// A Ready brings messages that wait until it is durable.
    MessagesThatWait,
    /// A Ready brings nothing for the disk.
    NothingToStore,
    /// A second Ready is handled while the first is on its way to the disk.
    ReadiesInFlight,
    /// A Ready brings committed entries.
    Committed,
    /// Among them is a change of the membership.
    MembersChanged,
    /// A Ready brings a snapshot.
    Installed,
    /// A quorum has confirmed a read.
    ReadConfirmed,
    /// The engine takes entries from the journal that Raft has handed out before.
    EngineCatchesUp,
    /// Proposals wait while the lead moves, or until it is clear who is right.
    ProposalsHeld,
    /// Proposals wait for the write before them.
    ProposalsGathered,
    /// A timer is due, and nothing else comes.
    Pulsed,
    /// A term of ours has begun.
    TermBegun,
    /// A term of ours has ended, and the process goes on.
    TermEnded,
    /// After a pause several ticks are made up for, and some left out.
    TicksLeftOut,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Entries,
        Self::TailReplaced,
        Self::HardStateAlone,
        Self::MessagesAtOnce,
        Self::MessagesThatWait,
        Self::NothingToStore,
        Self::ReadiesInFlight,
        Self::Committed,
        Self::MembersChanged,
        Self::Installed,
        Self::ReadConfirmed,
        Self::EngineCatchesUp,
        Self::ProposalsHeld,
        Self::ProposalsGathered,
        Self::Pulsed,
        Self::TermBegun,
        Self::TermEnded,
        Self::TicksLeftOut,
    ];

    /// Its name, for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entries => "loop: entries",
            Self::TailReplaced => "loop: a tail replaced",
            Self::HardStateAlone => "loop: term or vote alone",
            Self::MessagesAtOnce => "loop: messages that leave at once",
            Self::MessagesThatWait => "loop: messages that wait for the disk",
            Self::NothingToStore => "loop: nothing for the disk",
            Self::ReadiesInFlight => "loop: several readies in flight",
            Self::Committed => "loop: committed entries",
            Self::MembersChanged => "loop: members changed",
            Self::Installed => "loop: a snapshot installed",
            Self::ReadConfirmed => "loop: a read confirmed",
            Self::EngineCatchesUp => "loop: the engine catches up from the journal",
            Self::ProposalsHeld => "loop: proposals held",
            Self::ProposalsGathered => "loop: proposals gathered",
            Self::Pulsed => "loop: a pulse",
            Self::TermBegun => "loop: a term begun",
            Self::TermEnded => "loop: a term ended",
            Self::TicksLeftOut => "loop: ticks left out",
        }
    }
}

/// A set of ways.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paths(u32);

impl Paths {
    /// Takes note of `path`.
    pub(crate) const fn take(&mut self, path: Path) {
        self.0 |= 1 << path as u32;
    }

    /// Takes note of what `ready` brings, while `in_flight` others are on their way to the disk.
    pub(crate) fn take_ready(&mut self, ready: &Ready, last_index: u64, in_flight: usize) {
        let first = ready.entries().first().map(|entry| entry.index);
        let mut take = |path, taken| {
            if taken {
                self.take(path);
            }
        };
        take(Path::Entries, first.is_some());
        take(Path::TailReplaced, first.is_some_and(|first| first <= last_index));
        take(Path::HardStateAlone, first.is_none() && ready.hs().is_some());
        take(Path::NothingToStore, first.is_none() && ready.hs().is_none());
        take(Path::MessagesAtOnce, !ready.messages().is_empty());
        take(Path::MessagesThatWait, !ready.persisted_messages().is_empty());
        take(Path::ReadiesInFlight, in_flight > 0);
        take(Path::Committed, !ready.committed_entries().is_empty());
        take(Path::Installed, ready.snapshot().get_metadata().index > 0);
        take(Path::ReadConfirmed, !ready.read_states().is_empty());
    }

    /// Those that were taken.
    pub fn iter(self) -> impl Iterator<Item = Path> {
        Path::ALL.into_iter().filter(move |path| self.0 & (1 << *path as u32) != 0)
    }
}

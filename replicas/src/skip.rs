//! The way out of a halt: operators sign a decision to pass over one record, which travels the log as a SKIP entry. When it is
//! committed, the engine begins again at a snapshot and runs up to and over the record, while Raft goes on. The rule is a function
//! of the log: whoever comes to the record with the decision known, live, at a restart or as an auditor, passes over it.

use engine::SkipRefusal;
use journal::Disk;
use protocol::event::Event;
use protocol::frame::{Frame, FrameKind};
use protocol::hash::Hash;
use protocol::skip::Skip;
use protocol::{Index, Seq, Term};
use raft::StateRole;
use raft::prelude::Entry;

use crate::fault::HaltCause;
use crate::log::frame_without_records;
use crate::paths::Path;
use crate::replica::{Now, Replica, frame_of};
use crate::snapshots::Base;
use crate::{Halt, ReplicaFault};

/// Bytes of entries that the engine catches up in one turn.
const CATCH_UP_BYTES: u64 = 1 << 20;

/// Why a decision to pass over a record is not proposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkipNotProposed {
    /// The engine runs.
    #[error("the engine has not halted: there is nothing to pass over")]
    NotHalted,
    /// The engine halted somewhere else, or in front of other bytes.
    #[error("the engine halted at seq {seq}, record {record_hash}: the decision is about another record")]
    OtherRecord {
        /// Where it halted.
        seq: Seq,
        /// In front of what.
        record_hash: Hash,
    },
    /// The engine lacks rules that a newer version of the program has: a record is not to blame.
    #[error(
        "the engine halted in front of an entry that a newer version of the program knows: start that version"
    )]
    OldProgram,
    /// Others have taken the record.
    #[error("another replica has executed the record: this one has gone wrong, and must not lead")]
    Executed,
    /// Those who signed may not decide so.
    #[error("{0}")]
    Refused(#[from] SkipRefusal),
    /// Another replica leads.
    #[error("this replica does not lead: ask the leader")]
    NotLeader,
    /// Entries are on their way to the journal, or it has no room.
    #[error("the log does not take it now: try again")]
    Busy,
}

impl<D: Disk> Replica<D> {
    /// Proposes to pass over the record at which the engine halted.
    ///
    /// # Errors
    /// [`SkipNotProposed`], in the order of its variants.
    pub fn propose_skip(&mut self, skip: &Skip) -> Result<(), SkipNotProposed> {
        self.passes_over_the_halt(skip)?;
        if self.raft.raft.state != StateRole::Leader {
            return Err(SkipNotProposed::NotLeader);
        }
        let last_index = Index(self.raft.raft.raft_log.last_index());
        if !self.has_room() || self.raft.store().journal().last_index() != last_index {
            return Err(SkipNotProposed::Busy);
        }
        let next_seq = self.raft.store().next_seq().map_err(|_| SkipNotProposed::Busy)?;
        let (index, term) = (last_index.next(), Term(self.raft.raft.term));
        let frame =
            frame_without_records(FrameKind::Skip, index, term, next_seq, |buffer| skip.write(buffer));
        self.raft.propose(Vec::new(), frame).map_err(|_| SkipNotProposed::Busy)
    }

    fn passes_over_the_halt(&self, skip: &Skip) -> Result<(), SkipNotProposed> {
        let Some(&Halt { seq, ref cause }) = self.apply.halted() else {
            return Err(SkipNotProposed::NotHalted);
        };
        let HaltCause::Record { record_hash, .. } = *cause else {
            return Err(SkipNotProposed::OldProgram);
        };
        if (skip.seq, skip.record_hash) != (seq, record_hash) {
            return Err(SkipNotProposed::OtherRecord { seq, record_hash });
        }
        if seq <= self.recorded_to {
            return Err(SkipNotProposed::Executed);
        }
        Ok(self.apply.engine().may_skip(skip)?)
    }

    /// What a committed frame says about records that are passed over, wherever the engine is.
    ///
    /// A decision about a record that somebody had taken when he proposed an entry in front of it is void, for every
    /// replica and every auditor: what was executed and acknowledged is never undone. So a replica that halted alone
    /// cannot talk the others out of it; it learns from their frames that it is alone, and ends.
    pub(crate) fn consider_skip(&mut self, frame: &Frame<'_>) -> Result<(), ReplicaFault> {
        if frame.header.kind == FrameKind::Entry {
            self.recorded_to = self.recorded_to.max(frame.header.applied_seq);
            return match self.apply.halted() {
                Some(halt) if halt.seq <= self.recorded_to => {
                    Err(ReplicaFault::HaltedAlone { seq: halt.seq })
                }
                _ => Ok(()),
            };
        }
        if frame.header.kind != FrameKind::Skip {
            return Ok(());
        }
        let Ok(skip) = Skip::read(frame.payload) else { return Ok(()) };
        let seq = skip.seq;
        if seq >= frame.header.first_seq || seq <= self.recorded_to || !self.apply.decide(skip) {
            return Ok(());
        }
        // Those who signed are asked about when the engine comes to the record.
        let mut journal = self.raft.store().journal();
        let base = Base::load_before(self.outbox.disk_mut(), &mut journal, seq)
            .map_err(|fault| ReplicaFault::Again(Box::new(fault)))?;
        drop(journal);
        self.apply.run_again(seq, base.engine, base.index, base.effect_hash);
        // What followed from the record before does not count any more.
        (self.snapshots.due, self.snapshots.failed) = (None, None);
        Ok(())
    }

    /// Whether the engine has applied everything that Raft has handed out.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.apply.index() == self.handed_out
    }

    /// Applies entries that were handed out before the engine began again: a bounded part a turn.
    pub(crate) fn catch_up(&mut self, now: Now, events: &mut Vec<Event>) -> Result<bool, ReplicaFault> {
        let stands = self.apply.halted().is_some() || self.apply.doubt().is_some();
        if self.is_caught_up() || stands || !self.outbox_takes() {
            return Ok(false);
        }
        self.paths.take(Path::EngineCatchesUp);
        let from = self.apply.index().next();
        let entries: Vec<Entry> = self.raft.store().entries_from(from, self.handed_out, CATCH_UP_BYTES)?;
        for entry in &entries {
            let frame = frame_of(entry)?;
            self.apply_entry(now, entry, frame.as_ref(), events)?;
        }
        self.tell_applied();
        Ok(true)
    }
}

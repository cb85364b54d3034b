//! A leader that cannot do its work gives the lead away: its disk does not answer, there is no room, or its clock is wrong. Whoever
//! is offered the lead and does not take it, for the same reasons perhaps, is followed by the next.

use journal::{Disk, Space};
use protocol::time::NANOS_PER_MILLI;
use protocol::{MonoNanos, NodeId, Term};
use raft::StateRole;

use crate::fault::ReplicaFault;
use crate::replica::Replica;

/// A leader whose disk does not answer for so long gives the lead away, while it can still send …
const STALL_TRANSFER_NANOS: u64 = 100 * NANOS_PER_MILLI;
/// … and ends after so long: it could neither acknowledge nor notice.
const STALL_ABORT_NANOS: u64 = 1_000 * NANOS_PER_MILLI;
/// For so long there has to be no room.
const FULL_NANOS: u64 = 200 * NANOS_PER_MILLI;
/// Between two offers for want of room.
const OFFER_NANOS: u64 = 1_000 * NANOS_PER_MILLI;
/// What one turn counts for the disk at most: while the process stood still, the disk did not.
const TURN_NANOS_MAX: u64 = 20 * NANOS_PER_MILLI;

/// What a leader knows of what hinders it.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    last_turn: MonoNanos,
    /// Time in which the loop turned and the disk did not answer the write that it was given last.
    disk_silent_nanos: u64,
    full_since: Option<MonoNanos>,
    next_offer: MonoNanos,
    /// Who was offered the lead in this term.
    offered: (Term, Vec<NodeId>),
}

impl Handover {
    /// A turn begins.
    pub(crate) fn turn(&mut self, now: MonoNanos, is_writing: bool) {
        let turned = now.since(self.last_turn).min(TURN_NANOS_MAX);
        self.last_turn = now;
        self.disk_silent_nanos = if is_writing { self.disk_silent_nanos + turned } else { 0 };
    }

    /// The disk is given a write.
    pub(crate) const fn submitted(&mut self) {
        self.disk_silent_nanos = 0;
    }
}

impl<D: Disk> Replica<D> {
    /// Looks whether this leader is hindered.
    ///
    /// # Errors
    /// [`ReplicaFault::DiskStalled`]: nobody has taken the lead for a second.
    pub(crate) fn watch_lead(&mut self, now: MonoNanos) -> Result<(), ReplicaFault> {
        let others = self.raft.store().conf_state().voters.len() > 1;
        if !others || self.raft.raft.state != StateRole::Leader {
            self.handover.full_since = None;
            return Ok(());
        }
        self.watch_room(now);
        self.watch_disk()
    }

    /// A leader cannot apply past its own disk, and goes on with its heartbeats while the disk hangs: nobody would take
    /// over. So it gives the lead away, which takes no disk, or ends.
    fn watch_disk(&mut self) -> Result<(), ReplicaFault> {
        let nanos = self.handover.disk_silent_nanos;
        if nanos >= STALL_ABORT_NANOS {
            return Err(ReplicaFault::DiskStalled { nanos });
        }
        if nanos >= STALL_TRANSFER_NANOS {
            self.give_lead_away();
        }
        Ok(())
    }

    /// Without room a leader takes no commands, where another may have all that it needs.
    fn watch_room(&mut self, now: MonoNanos) {
        if !self.is_full() {
            self.handover.full_since = None;
            return;
        }
        let since = *self.handover.full_since.get_or_insert(now);
        if now.since(since) >= FULL_NANOS && now >= self.handover.next_offer {
            self.handover.next_offer = now.plus(OFFER_NANOS);
            self.give_lead_away();
        }
    }

    /// Whether the disk has no room for further commands.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.raft.store().journal().space(), Space::ReadOnly(_)) || self.outbox.fault().is_some()
    }

    /// Offers the lead to the best of those who were not offered it in this term; when all were, it begins again.
    pub(crate) fn give_lead_away(&mut self) {
        if self.raft.raft.lead_transferee.is_some() {
            return;
        }
        let term = Term(self.raft.raft.term);
        if self.handover.offered.0 != term {
            self.handover.offered = (term, Vec::new());
        }
        let Some(best) = self.best_successor() else {
            self.handover.offered.1.clear();
            return;
        };
        self.handover.offered.1.push(best);
        self.raft.transfer_leader(best.0);
        self.elections.give_away();
    }

    /// The other voter that was heard of lately and holds most of the log, and whose clock is not known to be wrong.
    fn best_successor(&self) -> Option<NodeId> {
        let was_offered = |id: &u64| self.handover.offered.1.contains(&NodeId(*id));
        let voters = self.raft.store().conf_state().voters.iter();
        let others = voters.filter(|id| {
            **id != self.raft.raft.id && !was_offered(id) && !self.has_wrong_clock(NodeId(**id))
        });
        let reachable = others.map(|id| (self.progress(*id), NodeId(*id))).filter(|((_, active), _)| *active);
        reachable
            .max_by_key(|((matched, _), node)| (*matched, std::cmp::Reverse(*node)))
            .map(|(_, node)| node)
    }
}

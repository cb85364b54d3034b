//! A leader that cannot do its work gives the lead away: its disk does not answer, there is no room, or its clock is wrong. Whoever
//! is offered the lead and does not take it, for the same reasons perhaps, is followed by the next. And why a lead has ended, for
//! operators.

use std::fmt;

use journal::{Disk, Space};
use protocol::mutant::{Mutant, planted};
use protocol::time::NANOS_PER_MILLI;
use protocol::{MonoNanos, NodeId, Term};
use raft::StateRole;

use crate::fault::ReplicaFault;
use crate::replica::Replica;

/// For so long there has to be no room.
const FULL_NANOS: u64 = 200 * NANOS_PER_MILLI;
/// Between two offers for want of room, or of an outbox.
const OFFER_NANOS: u64 = 1_000 * NANOS_PER_MILLI;
/// Between two rounds of offers of a leader that can do all but read its outbox: while one is under way it takes nothing.
const OFFER_AGAIN_NANOS: u64 = 60_000 * NANOS_PER_MILLI;
/// What one turn counts for the disk at most: while the process stood still, the disk did not.
const TURN_NANOS_MAX: u64 = 20 * NANOS_PER_MILLI;

/// Why a leader gives the lead away, or leads no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadEnd {
    /// An operator's order.
    Ordered,
    /// The disk did not answer a write in time.
    DiskSilent,
    /// No room for further commands.
    NoRoom,
    /// Outputs that are kept cannot be read.
    OutboxUnreadable,
    /// The own clock is far from what a majority agrees on.
    ClockOutside,
    /// No majority of the voters' clocks agrees.
    ClocksDisagree,
    /// It is no member any more.
    NotAMember,
    /// Too few voters were heard for an election timeout.
    QuorumSilent,
    /// Another node has stood for election, and begun a higher term.
    HigherTerm,
}

impl LeadEnd {
    /// All of them, each at its place in [`Elections::ends`](crate::Elections::ends).
    pub const ALL: [Self; 9] = [
        Self::Ordered,
        Self::DiskSilent,
        Self::NoRoom,
        Self::OutboxUnreadable,
        Self::ClockOutside,
        Self::ClocksDisagree,
        Self::NotAMember,
        Self::QuorumSilent,
        Self::HigherTerm,
    ];

    /// One word, for metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::DiskSilent => "disk_silent",
            Self::NoRoom => "no_room",
            Self::OutboxUnreadable => "outbox_unreadable",
            Self::ClockOutside => "clock_outside",
            Self::ClocksDisagree => "clocks_disagree",
            Self::NotAMember => "not_a_member",
            Self::QuorumSilent => "quorum_silent",
            Self::HigherTerm => "higher_term",
        }
    }
}

impl fmt::Display for LeadEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordered => "an operator ordered it",
            Self::DiskSilent => "its disk did not answer a write in time",
            Self::NoRoom => "its disk has no room for further commands",
            Self::OutboxUnreadable => "what clients were sent cannot be read from its outbox",
            Self::ClockOutside => "its clock is far from what a majority agrees on",
            Self::ClocksDisagree => "no majority of the voters' clocks agrees",
            Self::NotAMember => "it was removed from the cluster",
            Self::QuorumSilent => "it has not heard from a majority for an election timeout",
            Self::HigherTerm => "another node has stood for election, and begun a higher term",
        })
    }
}

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
    /// Why the lead is being given away.
    why: Option<LeadEnd>,
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

    /// The lead is being given away.
    pub(crate) const fn begin(&mut self, why: LeadEnd) {
        self.why = Some(why);
    }
}

impl<D: Disk> Replica<D> {
    /// Looks whether this leader is hindered.
    ///
    /// # Errors
    /// [`ReplicaFault::DiskStalled`]: nobody has taken the lead for a second.
    pub(crate) fn watch_lead(&mut self, now: MonoNanos) -> Result<(), ReplicaFault> {
        let others = self.raft.store().conf_state().voters.len() > 1;
        if !others || self.raft.raft.state != StateRole::Leader || planted(Mutant::StalledDiskKept) {
            self.handover.full_since = None;
            return Ok(());
        }
        self.watch_room(now);
        self.watch_outbox(now);
        self.watch_disk()
    }

    /// A leader cannot apply past its own disk, and goes on with its heartbeats while the disk hangs: nobody would take
    /// over. So it gives the lead away, which takes no disk, or ends.
    fn watch_disk(&mut self) -> Result<(), ReplicaFault> {
        let nanos = self.handover.disk_silent_nanos;
        if nanos >= self.timing.stall_abort_ms * NANOS_PER_MILLI {
            return Err(ReplicaFault::DiskStalled { nanos });
        }
        if nanos >= self.timing.stall_transfer_ms * NANOS_PER_MILLI {
            self.give_lead_away(LeadEnd::DiskSilent);
        }
        Ok(())
    }

    /// Without room a leader takes no commands, where another may have all that it needs. For a segment that is being made it
    /// waits as long as for a write that does not end: a disk that hangs in it gives no other sign, as nothing is written.
    fn watch_room(&mut self, now: MonoNanos) {
        if self.has_room() {
            self.handover.full_since = None;
            return;
        }
        let since = *self.handover.full_since.get_or_insert(now);
        let patience_nanos =
            if self.is_full() { FULL_NANOS } else { self.timing.stall_abort_ms * NANOS_PER_MILLI };
        if now.since(since) >= patience_nanos && now >= self.handover.next_offer {
            self.handover.next_offer = now.plus(OFFER_NANOS);
            self.give_lead_away(LeadEnd::NoRoom);
        }
    }

    /// A client whose outputs cannot be read is served by no life of this process, where another replica may have them whole.
    fn watch_outbox(&mut self, now: MonoNanos) {
        if self.outbox_fault.is_none() || now < self.handover.next_offer {
            return;
        }
        self.give_lead_away(LeadEnd::OutboxUnreadable);
        let is_left = self.best_successor().is_some();
        self.handover.next_offer = now.plus(if is_left { OFFER_NANOS } else { OFFER_AGAIN_NANOS });
    }

    /// Whether the disk has no room for further commands.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.raft.store().journal().space(), Space::ReadOnly(_)) || self.outbox.fault().is_some()
    }

    /// Offers the lead to the best of those who were not offered it in this term; when all were, it begins again.
    pub(crate) fn give_lead_away(&mut self, why: LeadEnd) {
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
        self.handover.begin(why);
        self.elections.give_away();
        self.raft_log.warn(format!("the lead of term {term} is offered to node {best}: {why}"));
    }

    /// Looks whether this replica's lead has ended, and why.
    pub(crate) fn watch_elections(&mut self) {
        let raft = &self.raft.raft;
        let (role, term, leader) = (raft.state, Term(raft.term), self.leader());
        if role == StateRole::Leader && raft.lead_transferee.is_none() {
            // Nobody has taken it.
            self.handover.why = None;
        }
        let Some(ended) = self.elections.observe(role, term, leader) else { return };
        let given = self.handover.why.take();
        let is_member = self.membership().rank(self.node()).is_some();
        let why = match given {
            Some(why) if why == LeadEnd::ClocksDisagree || term > ended => why,
            _ if !is_member => LeadEnd::NotAMember,
            _ if term > ended => LeadEnd::HigherTerm,
            _ => LeadEnd::QuorumSilent,
        };
        self.elections.end(ended, why);
        self.raft_log.warn(format!("this node leads no more in term {ended}: {why}"));
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

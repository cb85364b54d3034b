//! How often the lead was sought, and moved, as one replica has seen it since its start.

use protocol::{NodeId, Term};
use raft::StateRole;

use crate::handover::LeadEnd;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elections {
    /// Times that this replica stood for election.
    pub stood: u64,
    /// Times that it became the leader.
    pub won: u64,
    /// Times that a leader became known who was not the one before; the first is none.
    pub leader_changes: u64,
    /// Terms that have begun.
    pub terms: u64,
    /// Times that it offered the lead to another, or laid it down, for a reason of its own.
    pub given_away: u64,
    /// Times that its lead ended, by why; each at its place in [`LeadEnd::ALL`].
    pub ends: [u64; LeadEnd::ALL.len()],
    /// Its last lead that has ended, and why.
    pub last_end: Option<(Term, LeadEnd)>,
}

/// What was seen last.
#[derive(Debug)]
pub(crate) struct ElectionWatch {
    counts: Elections,
    role: StateRole,
    term: Term,
    leader: Option<NodeId>,
}

impl ElectionWatch {
    /// From a replica that starts in `term`.
    pub(crate) fn new(term: Term) -> Self {
        Self { counts: Elections::default(), role: StateRole::Follower, term, leader: None }
    }

    /// The lead is offered to another, or laid down.
    pub(crate) fn give_away(&mut self) {
        self.counts.given_away += 1;
    }

    /// The lead of `term` has ended.
    pub(crate) fn end(&mut self, term: Term, why: LeadEnd) {
        let ends = LeadEnd::ALL.iter().zip(&mut self.counts.ends);
        ends.filter(|(end, _)| **end == why).for_each(|(_, count)| *count += 1);
        self.counts.last_end = Some((term, why));
    }

    pub(crate) fn counts(&self) -> Elections {
        self.counts
    }

    /// Looks at Raft; often enough that a role is not missed. Returns the term that this replica has led until now.
    pub(crate) fn observe(&mut self, role: StateRole, term: Term, leader: Option<NodeId>) -> Option<Term> {
        let ended =
            (self.role == StateRole::Leader && (role, term) != (self.role, self.term)).then_some(self.term);
        let counts = &mut self.counts;
        counts.stood += u64::from(self.role == StateRole::Follower && role != StateRole::Follower);
        counts.won += u64::from(self.role != StateRole::Leader && role == StateRole::Leader);
        counts.terms += term.0.saturating_sub(self.term.0);
        counts.leader_changes +=
            u64::from(leader.is_some() && self.leader.is_some() && leader != self.leader);
        (self.role, self.term, self.leader) = (role, term, leader.or(self.leader));
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_is_counted_once_and_the_same_leader_again_is_no_change() {
        let mut watch = ElectionWatch::new(Term(4));
        let (one, two) = (Some(NodeId(1)), Some(NodeId(2)));
        for (role, term, leader) in [
            (StateRole::Follower, 4, None),
            (StateRole::Follower, 4, two),
            (StateRole::PreCandidate, 4, None),
            (StateRole::Follower, 4, two),
            (StateRole::PreCandidate, 4, None),
            (StateRole::Candidate, 5, None),
            (StateRole::Leader, 5, one),
            (StateRole::Leader, 5, one),
            (StateRole::Follower, 7, None),
            (StateRole::Follower, 7, two),
        ] {
            let ended = watch.observe(role, Term(term), leader);
            assert_eq!(ended, (term == 7 && leader.is_none()).then_some(Term(5)));
        }
        let counted = Elections { stood: 2, won: 1, leader_changes: 2, terms: 3, ..Elections::default() };
        assert_eq!(watch.counts(), counted);
    }
}

//! What Raft promises, seen from outside: one leader a term, one vote a term across restarts, nothing that goes back, and
//! the same effects behind the same seq on every replica. That committed entries never change is the
//! [`crate::witness::Witness`]'s to say.

use std::collections::BTreeMap;

use protocol::hash::Hash;
use protocol::{Index, NodeId, Seq, Term};
use replicas::Role;

use super::{Checker, Turned, Violation, ensure};
use crate::network::{Carried, kinds};

const NAME: &str = "consensus";

#[derive(Default)]
pub(super) struct Consensus {
    leaders: BTreeMap<Term, usize>,
    /// By voter and term.
    votes: BTreeMap<(NodeId, u64), NodeId>,
    /// The newest term in which each has said anything that binds it.
    bound: BTreeMap<NodeId, u64>,
    /// Term, committed, applied behind the last turn of each life.
    reached: BTreeMap<usize, (Term, Index, Index)>,
    effects: BTreeMap<Seq, Hash>,
}

impl Checker for Consensus {
    fn started(&mut self, place: usize) {
        self.reached.remove(&place);
    }

    fn carried(&mut self, message: &Carried) -> Result<(), Violation> {
        let Carried { from_node: from, to_node: to, kind, term, reject, .. } = *message;
        if matches!(kind, kinds::REQUEST_PRE_VOTE | kinds::REQUEST_PRE_VOTE_RESPONSE) {
            return Ok(());
        }
        let bound = self.bound.entry(from).or_default();
        *bound = term.max(*bound);
        let vote = match kind {
            kinds::REQUEST_VOTE => Some(from),
            kinds::REQUEST_VOTE_RESPONSE if !reject => Some(to),
            _ => None,
        };
        let Some(candidate) = vote else { return Ok(()) };
        let before = *self.votes.entry((from, term)).or_insert(candidate);
        ensure(before == candidate, NAME, || {
            format!("replica {from} votes for {candidate} in term {term}, and has voted for {before}")
        })
    }

    fn turned(&mut self, turned: &Turned<'_>) -> Result<(), Violation> {
        let Turned { place, status, .. } = *turned;
        let now = (status.term, status.index_committed, status.index_applied);
        if status.role == Role::Leader {
            let leader = *self.leaders.entry(status.term).or_insert(place);
            ensure(leader == place, NAME, || {
                format!("term {} is led by replica {leader} and by replica {place}", status.term)
            })?;
        }
        let before = self.reached.insert(place, now);
        if before == Some(now) {
            return Ok(());
        }
        if let Some(before) = before {
            let rises = before.0 <= now.0 && before.1 <= now.1 && before.2 <= now.2;
            ensure(rises, NAME, || format!("replica {place} went back from {before:?} to {now:?}"))?;
        } else {
            let bound = self.bound.get(&status.node).copied().unwrap_or(0);
            ensure(status.term.0 >= bound, NAME, || {
                format!("replica {place} is in term {} and has spoken in term {bound}", status.term)
            })?;
        }
        ensure(status.index_applied <= status.index_committed, NAME, || format!("{now:?}"))?;
        if turned.is_corrupt {
            return Ok(());
        }
        let effects = *self.effects.entry(status.seq_applied).or_insert(status.effect_hash);
        ensure(effects == status.effect_hash, NAME, || {
            format!(
                "effects up to seq {} are {} at replica {place}, and {effects} elsewhere",
                status.seq_applied, status.effect_hash
            )
        })
    }
}

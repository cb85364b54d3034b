//! A machine is lost together with its disk, and an operator replaces it: a blank one in its place gets an id of its own, joins as a
//! learner, and takes over the seat.

use protocol::{MonoNanos, NodeId};
use replicas::{MemberChange, MemberRole, Replica};

use crate::disk::SimDisk;
use crate::rng::Rng;
use crate::trace::Trace;

/// Between two looks of the operator, at most.
const LOOK_MS_MAX: u64 = 60;
const MILLI_NS: u64 = 1_000_000;

/// A replacement under way.
pub(crate) struct Replacing {
    rng: Rng,
    trace: Trace,
    lost: NodeId,
    new: NodeId,
    /// One seat is given to the other in one step, or is given and taken away in two.
    at_once: bool,
    next_at: MonoNanos,
}

impl Replacing {
    pub(crate) fn begin(mut rng: Rng, trace: Trace, now: MonoNanos, lost: NodeId, new: NodeId) -> Self {
        let at_once = rng.coin();
        trace.sometimes("machine lost with its disk");
        Self { rng, trace, lost, new, at_once, next_at: now }
    }

    pub(crate) fn next_at(&self) -> MonoNanos {
        self.next_at
    }

    /// Whether a replica knows that the new machine has the seat, and the lost one none, and will not forget it.
    pub(crate) fn is_known_to(&self, replica: &Replica<SimDisk>) -> bool {
        let members = replica.members();
        let is_member = |node| members.iter().any(|member| member.node == node);
        is_member(self.new) && !is_member(self.lost) && replica.status().writing_since.is_none()
    }

    /// What the operator asks of who leads. Returns whether the new machine has the seat, and the lost one none.
    pub(crate) fn act(&mut self, now: MonoNanos, leader: &mut Replica<SimDisk>) -> bool {
        self.next_at = now.plus(self.rng.within(1..=LOOK_MS_MAX) * MILLI_NS);
        let (lost, new) = (self.lost, self.new);
        let members = leader.members();
        let role = |node| members.iter().find(|member| member.node == node).map(|member| member.role);
        let change = match (role(lost), role(new)) {
            (None, Some(MemberRole::Voter)) => {
                self.trace.sometimes("machine replaced");
                return true;
            }
            (_, None) => MemberChange::AddLearner { node: new, address: None },
            (Some(MemberRole::Voter), Some(MemberRole::Learner)) if self.at_once => {
                MemberChange::Replace { old: lost, new }
            }
            (_, Some(MemberRole::Learner)) => MemberChange::Promote(new),
            (Some(_), Some(_)) => MemberChange::Remove(lost),
            // It has left before it was known that it ever would.
            (None, Some(MemberRole::Leaving)) => return false,
        };
        let asked = leader.change_members(&change);
        self.trace.note("membership", new.0, u64::from(asked.is_ok()));
        self.trace.sometimes(if asked.is_ok() {
            "membership changed"
        } else {
            "change of the membership refused"
        });
        false
    }
}

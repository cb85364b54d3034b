//! A replica among others: what it sends and takes, who they are and how far, and the leader's step aside.

use journal::Disk;
use protocol::{Index, NodeId, Term};
use raft::StateRole;
use raft::prelude::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Message, MessageType};

use crate::handover::LeadEnd;
use crate::membership::{ADDRESS_BYTES_MAX, MEMBERS_MAX, Membership, is_address, write_address};
use crate::message::{self, Envelope, MessageFault};
use crate::raft_config::LAST_RANK;
use crate::replica::Replica;

/// Which of the two ways to a peer a message takes: what is bulky must not stand before heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Votes, heartbeats, answers, and the live end of the log.
    Control,
    /// What a peer has missed.
    Bulk,
}

impl Lane {
    /// Both, each at the place of its code.
    pub const ALL: [Self; 2] = [Self::Control, Self::Bulk];

    /// Its code, where two nodes speak of it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Bulk => 1,
        }
    }

    /// Its place in [`Lane::ALL`], and in arrays with an element for each.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.code())
    }
}

/// A message for another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The receiver.
    pub to: NodeId,
    /// The way.
    pub lane: Lane,
    /// As [`message::encode`] writes it.
    pub bytes: Vec<u8>,
}

/// Why a message is not taken. Only [`ReceiveFault::Regressed`] is about ourselves.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveFault {
    /// It is no message for us.
    #[error(transparent)]
    Message(#[from] MessageFault),
    /// Its sender is no member any more: it neither votes nor disturbs.
    #[error("node {0} was removed from the cluster")]
    Removed(NodeId),
    /// Its sender is no member that we know of, and a leader is heard: nobody is waited for who could be one.
    #[error("node {0} is no member, and there is a leader")]
    Stranger(NodeId),
    /// Raft refuses it; nothing has changed.
    #[error("raft: {0}")]
    Raft(#[from] raft::Error),
    /// The leader counts on entries that our log has lost: the process must end, and the journal be repaired from peers.
    #[error(
        "the leader knows that we held entries up to {counted}, and our log ends at {last}: it has lost some"
    )]
    Regressed {
        /// By the leader.
        counted: Index,
        /// In our log.
        last: Index,
    },
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRole {
    /// Counts towards the quorum.
    Voter,
    /// Follows, and does not count.
    Learner,
    /// Counts for as long as it takes to replace it.
    Leaving,
}

/// A member of the cluster, as this replica knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub node: NodeId,
    /// What.
    pub role: MemberRole,
    /// Known to the leader alone: the last entry that it holds on its disk, 0 before it has said so to this leader, and whether it
    /// was heard of lately.
    pub progress: Option<(Index, bool)>,
    /// Known to the leader alone: whether a learner could be promoted now; a voter was.
    pub has_caught_up: Option<bool>,
}

/// A change of the membership; one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A new node follows without a vote.
    AddLearner {
        /// Who, under an id above all that were ever used.
        node: NodeId,
        /// Where every other node reaches it, unless that one's own configuration says so.
        address: Option<String>,
    },
    /// A learner that has caught up counts.
    Promote(NodeId),
    /// It is a member no more, and never again under its id.
    Remove(NodeId),
    /// A learner that has caught up counts in place of a voter: both in one step.
    Replace {
        /// The voter, which is no member afterwards.
        old: NodeId,
        /// The learner.
        new: NodeId,
    },
}

/// Why an order to the cluster is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterRefusal {
    /// Another replica leads, or none.
    #[error("this replica does not lead; the leader is {}", leader_name(.0))]
    NotLeader(Option<NodeId>),
    /// No such member.
    #[error("node {0} is not a member")]
    NotAMember(NodeId),
    /// It is one already.
    #[error("node {0} is a member already")]
    MemberAlready(NodeId),
    /// A learner or the leader itself was named where a voter, or another, is needed.
    #[error("node {0} is not a voter beside the leader")]
    NotAnotherVoter(NodeId),
    /// The leader is to go: its last entries would be left to chance.
    #[error("node {0} leads: transfer the lead first")]
    Leads(NodeId),
    /// It would give the lead back.
    #[error("the clock of node {0} is far from what a majority agrees on")]
    WrongClock(NodeId),
    /// It lags: hold on.
    #[error("node {node} holds entries up to {matched} of {last}: wait until it has caught up")]
    Lags {
        /// Who.
        node: NodeId,
        /// As far as it is known to have come.
        matched: Index,
        /// The leader's last entry.
        last: Index,
    },
    /// Too few would be left that were heard of lately.
    #[error("only {reachable} of the {voters} voters that would be left were heard of lately")]
    TooFewReachable {
        /// Heard of.
        reachable: usize,
        /// All that would be left.
        voters: usize,
    },
    /// A change is not applied yet, or leadership is moving.
    #[error("another change is under way")]
    Busy,
    /// An id belongs to one disk for ever.
    #[error("node {node} was a member once, or may have been: a new node gets an id above {used_to}")]
    IdUsed {
        /// Asked for.
        node: NodeId,
        /// The highest id of all members there ever were.
        used_to: NodeId,
    },
    /// Ids are never used again, and this one would leave few.
    #[error("a new node gets an id above {used_to} and at most {}, not {node}", used_to.0.saturating_add(ID_GAP_MAX))]
    IdTooHigh {
        /// Asked for.
        node: NodeId,
        /// The highest id of all members there ever were.
        used_to: NodeId,
    },
    /// Not `host:port`.
    #[error("the address is not host:port, or longer than {ADDRESS_BYTES_MAX} bytes")]
    Address,
    /// There are [`MEMBERS_MAX`] already.
    #[error("a cluster has at most {MEMBERS_MAX} members")]
    TooMany,
}

fn leader_name(leader: &Option<NodeId>) -> String {
    leader.map_or("not known".to_owned(), |leader| format!("node {leader}"))
}

/// How far the id of a new node may lie above all that were ever used: a slip of the keyboard burns no more of them.
const ID_GAP_MAX: u64 = 1_000;
/// Entries behind the end of the log that are the live tail.
const LIVE_TAIL_ENTRIES: u64 = 256;

impl<D: Disk> Replica<D> {
    /// Messages for other replicas, encoded.
    pub fn take_outbound(&mut self) -> Vec<Outbound> {
        let epoch = self.raft.store().journal().identity().epoch;
        let last = self.raft.raft.raft_log.last_index();
        let messages = std::mem::take(&mut self.messages);
        let mut transfers = std::mem::take(&mut self.transfers.outbound);
        let outbound = messages.into_iter().flat_map(message::split).map(|message| Outbound {
            to: NodeId(message.to),
            lane: lane_of(&message, last),
            bytes: message::encode(epoch, &message),
        });
        let mut outbound: Vec<_> = outbound.collect();
        outbound.append(&mut transfers);
        outbound.append(&mut self.divergence.outbound);
        outbound.append(&mut self.clock.outbound);
        outbound
    }

    /// Takes a message that came on a connection which is authenticated as `from`'s.
    ///
    /// # Errors
    /// [`ReceiveFault`]; after [`ReceiveFault::Regressed`] the process must end.
    pub fn receive_from(&mut self, from: NodeId, bytes: &[u8]) -> Result<(), ReceiveFault> {
        if self.membership().is_removed(from) {
            return Err(ReceiveFault::Removed(from));
        }
        if message::states::is_states(bytes) {
            return Ok(self.take_states(from, bytes)?);
        }
        if message::effects::is_effects(bytes) {
            return Ok(self.take_effects(from, bytes)?);
        }
        if message::clock::is_about_clock(bytes) {
            return Ok(self.take_about_clock(from, bytes)?);
        }
        if message::repair::is_about_repair(bytes) {
            return Ok(self.take_about_repair(from, bytes)?);
        }
        if message::transfer::is_transfer(bytes) {
            return Ok(self.take_transfer(from, bytes)?);
        }
        if !self.hears_out(from) {
            return Err(ReceiveFault::Stranger(from));
        }
        let message = message::decode(self.envelope_from(from), bytes)?;
        let last = self.raft.raft.raft_log.last_index();
        // Raft itself would end the process here without a word on what to do.
        let is_heartbeat = message.get_msg_type() == MessageType::MsgHeartbeat;
        if is_heartbeat && message.term >= self.raft.raft.term && message.commit > last {
            // Only a voter can lead; of others it is no word on our log.
            let is_voter = self.raft.store().conf_state().voters.contains(&from.0);
            let regressed = ReceiveFault::Regressed { counted: Index(message.commit), last: Index(last) };
            return if is_voter { Err(regressed) } else { Ok(()) };
        }
        Ok(self.receive(message)?)
    }

    /// Whether `from` may speak as a part of Raft now. A message with a higher term, from whomever, ends the leader's; so who
    /// is no member is not listened to while a leader is heard. Without one, it may be a member that our log has yet to tell us
    /// of: to be voted for, or leading already. One that follows a leader whom it does not know as a member hears that one.
    fn hears_out(&self, from: NodeId) -> bool {
        let raft = &self.raft.raft;
        let leads = raft.state == StateRole::Leader;
        let is_led = leads || (raft.leader_id != 0 && raft.election_elapsed < raft.election_timeout());
        !is_led || raft.leader_id == from.0 || self.membership().rank(from).is_some()
    }

    /// The way to a peer is down: the leader stops streaming to it and probes.
    pub fn report_unreachable(&mut self, node: NodeId) {
        self.raft.report_unreachable(node.0);
    }

    /// The term that this replica leads and has begun; what it serves is [`Replica::serving`].
    #[must_use]
    pub const fn leading_term(&self) -> Option<Term> {
        self.term_started
    }

    /// Whether this replica has joined: another leads, the cluster has begun, and everything that is known to be
    /// committed is applied.
    #[must_use]
    pub fn follows(&self) -> bool {
        let raft = &self.raft.raft;
        let has_leader = self.leader().is_some_and(|leader| leader.0 != raft.id);
        let begun = self.apply.engine().genesis().is_some();
        has_leader
            && begun
            && self.apply.halted().is_none()
            && self.apply.index().0 == raft.raft_log.committed
    }

    /// This replica's id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        NodeId(self.raft.raft.id)
    }

    /// Who leads, as far as this replica knows.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        Some(NodeId(self.raft.raft.leader_id)).filter(|leader| leader.0 != 0)
    }

    /// Who belongs to the cluster, and where each is reached.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.raft.store().membership()
    }

    /// As often as [`Self::membership`] has changed since the start.
    #[must_use]
    pub fn membership_changes(&self) -> u64 {
        self.raft.store().membership_changes()
    }

    /// By the replica's rank, which comes and goes with its membership.
    pub(crate) fn election_timeout_ticks(&self) -> usize {
        let rank = self.membership().rank(self.node());
        self.timing.election_timeout_ticks(rank.unwrap_or(LAST_RANK))
    }

    /// Of what we say to another.
    pub(crate) fn envelope_to(&self, to: NodeId) -> Envelope {
        let epoch = self.raft.store().journal().identity().epoch;
        Envelope { epoch, from: self.node(), to }
    }

    /// Of what comes on a connection of `from`.
    pub(crate) fn envelope_from(&self, from: NodeId) -> Envelope {
        Envelope { from, to: self.node(), ..self.envelope_to(from) }
    }

    /// All members, by id.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let leads = self.raft.raft.state == StateRole::Leader;
        let conf = self.raft.store().conf_state();
        let member = |id: u64, role| Member {
            node: NodeId(id),
            role,
            progress: leads.then(|| self.progress(id)),
            has_caught_up: leads
                .then(|| role != MemberRole::Learner || self.learner_or_refuse(NodeId(id)).is_ok()),
        };
        let of_role = |ids: &[u64], role| ids.iter().map(|id| member(*id, role)).collect::<Vec<_>>();
        let mut members = of_role(&conf.voters, MemberRole::Voter);
        members.extend(of_role(&conf.learners, MemberRole::Learner));
        let leaving = conf.voters_outgoing.iter().copied().filter(|id| !conf.voters.contains(id));
        members.extend(of_role(&leaving.collect::<Vec<_>>(), MemberRole::Leaving));
        members.sort_unstable_by_key(|member| member.node);
        members
    }

    pub(crate) fn progress(&self, id: u64) -> (Index, bool) {
        let raft = &self.raft.raft;
        if id == raft.id {
            return (self.raft.store().journal().durable_index(), true);
        }
        raft.prs()
            .get(id)
            .map_or((Index(0), false), |progress| (Index(progress.matched), progress.recent_active))
    }

    /// Gives the lead to another voter that holds the whole log, give or take what is in flight. It takes two rounds and a
    /// write; if it has not succeeded after an election timeout, this replica leads on.
    ///
    /// # Errors
    /// [`ClusterRefusal`].
    pub fn transfer_leader(&mut self, to: NodeId) -> Result<(), ClusterRefusal> {
        self.lead_or_refuse()?;
        let conf = self.raft.store().conf_state();
        if !conf.voters.contains(&to.0) && !conf.learners.contains(&to.0) {
            return Err(ClusterRefusal::NotAMember(to));
        }
        if !conf.voters.contains(&to.0) || to.0 == self.raft.raft.id {
            return Err(ClusterRefusal::NotAnotherVoter(to));
        }
        if self.has_wrong_clock(to) {
            return Err(ClusterRefusal::WrongClock(to));
        }
        self.caught_up_or_refuse(to)?;
        self.raft.transfer_leader(to.0);
        self.handover.begin(LeadEnd::Ordered);
        Ok(())
    }

    /// Proposes a change of the membership. It is in force when this replica has applied it.
    ///
    /// # Errors
    /// [`ClusterRefusal`].
    pub fn change_members(&mut self, change: &MemberChange) -> Result<(), ClusterRefusal> {
        self.lead_or_refuse()?;
        let mut proposed = ConfChangeV2::default();
        let mut step = |kind, node: NodeId| {
            let mut step = ConfChangeSingle::default();
            step.set_change_type(kind);
            step.node_id = node.0;
            proposed.changes.push(step);
        };
        match change {
            MemberChange::AddLearner { node, address } => {
                self.new_or_refuse(*node, address.as_deref())?;
                step(ConfChangeType::AddLearnerNode, *node);
                if let Some(address) = address {
                    proposed.context = write_address(*node, address).into();
                }
            }
            MemberChange::Promote(node) => {
                self.learner_or_refuse(*node)?;
                step(ConfChangeType::AddNode, *node);
            }
            MemberChange::Remove(node) => {
                self.dispensable_or_refuse(*node)?;
                let left = self.voters_without(*node);
                self.enough_left_or_refuse(&left)?;
                step(ConfChangeType::RemoveNode, *node);
            }
            MemberChange::Replace { old, new } => {
                if !self.raft.store().conf_state().voters.contains(&old.0) {
                    return Err(ClusterRefusal::NotAnotherVoter(*old));
                }
                self.dispensable_or_refuse(*old)?;
                self.learner_or_refuse(*new)?;
                let mut left = self.voters_without(*old);
                left.push(new.0);
                self.enough_left_or_refuse(&left)?;
                step(ConfChangeType::AddNode, *new);
                step(ConfChangeType::RemoveNode, *old);
            }
        }
        if self.raft.raft.has_pending_conf() || self.membership().is_joint() {
            return Err(ClusterRefusal::Busy);
        }
        self.raft.propose_conf_change(Vec::new(), proposed).map_err(|_| ClusterRefusal::Busy)
    }

    fn new_or_refuse(&self, node: NodeId, address: Option<&str>) -> Result<(), ClusterRefusal> {
        let membership = self.membership();
        let used_to = membership.ids_used_to();
        if membership.members().any(|(member, _)| member == node) {
            return Err(ClusterRefusal::MemberAlready(node));
        }
        if node <= used_to {
            return Err(ClusterRefusal::IdUsed { node, used_to });
        }
        if node.0 - used_to.0 > ID_GAP_MAX {
            return Err(ClusterRefusal::IdTooHigh { node, used_to });
        }
        if membership.members().count() >= MEMBERS_MAX {
            return Err(ClusterRefusal::TooMany);
        }
        if address.is_some_and(|address| !is_address(address)) {
            return Err(ClusterRefusal::Address);
        }
        Ok(())
    }

    fn learner_or_refuse(&self, node: NodeId) -> Result<(), ClusterRefusal> {
        let conf = self.raft.store().conf_state();
        if conf.voters.contains(&node.0) {
            return Err(ClusterRefusal::MemberAlready(node));
        }
        if !conf.learners.contains(&node.0) {
            return Err(ClusterRefusal::NotAMember(node));
        }
        // A young log is short, and who has nothing of it is near its end as well. It would count, and could neither vote nor acknowledge:
        // it has to know that it is a member, and to need no snapshot, which might be handed on at its own word alone.
        let raft = &self.raft.raft;
        let (matched, _) = self.progress(node.0);
        let knows = matched.0 >= raft.pending_conf_index;
        if !knows || matched.next() < self.raft.store().journal().first_index() {
            let last = Index(raft.raft_log.last_index());
            return Err(ClusterRefusal::Lags { node, matched, last });
        }
        self.caught_up_or_refuse(node)
    }

    /// Refuses the leader itself: it would leave its last entries to chance, and steps aside first.
    fn dispensable_or_refuse(&self, node: NodeId) -> Result<(), ClusterRefusal> {
        if node == self.node() {
            return Err(ClusterRefusal::Leads(node));
        }
        if self.membership().rank(node).is_none() {
            return Err(ClusterRefusal::NotAMember(node));
        }
        Ok(())
    }

    fn voters_without(&self, node: NodeId) -> Vec<u64> {
        let conf = self.raft.store().conf_state();
        conf.voters.iter().copied().filter(|id| *id != node.0).collect()
    }

    fn lead_or_refuse(&self) -> Result<(), ClusterRefusal> {
        if self.raft.raft.state != StateRole::Leader {
            return Err(ClusterRefusal::NotLeader(self.leader()));
        }
        if self.raft.raft.lead_transferee.is_some() || !self.raft.raft.apply_to_current_term() {
            return Err(ClusterRefusal::Busy);
        }
        Ok(())
    }

    /// Refuses a node that lags by more than what may be in flight.
    fn caught_up_or_refuse(&self, node: NodeId) -> Result<(), ClusterRefusal> {
        let last = Index(self.raft.raft.raft_log.last_index());
        let (matched, is_active) = self.progress(node.0);
        if is_active && matched.0 + LIVE_TAIL_ENTRIES >= last.0 {
            return Ok(());
        }
        Err(ClusterRefusal::Lags { node, matched, last })
    }

    /// Refuses to leave fewer voters within reach than a quorum.
    fn enough_left_or_refuse(&self, left: &[u64]) -> Result<(), ClusterRefusal> {
        let reachable = left.iter().filter(|id| self.progress(**id).1).count();
        if reachable > left.len() / 2 {
            Ok(())
        } else {
            Err(ClusterRefusal::TooFewReachable { reachable, voters: left.len() })
        }
    }
}

fn lane_of(message: &Message, last_index: u64) -> Lane {
    let is_append = message.get_msg_type() == MessageType::MsgAppend;
    let is_behind = message.entries.last().is_some_and(|entry| entry.index + LIVE_TAIL_ENTRIES < last_index);
    let is_snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
    if is_snapshot || (is_append && is_behind) { Lane::Bulk } else { Lane::Control }
}

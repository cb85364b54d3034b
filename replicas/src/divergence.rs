//! Replicas hold their effects against each other's. Every frame records what its proposer had computed, and every replica
//! tells the others now and then what it has. Where two differ, whoever notices stands still (nothing is applied, proposed or
//! acknowledged, no snapshot taken, no read answered) and asks all of them about that seq.
//!
//! Who has what a majority of the voters has goes on; what the proposer recorded there is outvoted, for ever. Who has something else while
//! a majority agrees is wrong: it takes part in nothing any more, in no later life either, and ends. Without a
//! majority everybody stands still. That is safe because the log itself is not in doubt, only what followed from it.

use std::collections::{BTreeMap, BTreeSet};

use journal::Disk;
use journal::divergence::{Divergence as Kept, Outvoted, Quarantine};
use journal::snapshot_file::SnapshotFault;
use protocol::frame::Frame;
use protocol::hash::Hash;
use protocol::{Index, NodeId, Seq};

use crate::apply::{Apply, Doubt, Remembered, Subject};
use crate::message::MessageFault;
use crate::message::effects::{self, Effects};
use crate::peers::{Lane, Outbound};
use crate::replica::Replica;
use crate::snapshots::Base;
use crate::{Halt, HaltCause, ReplicaFault, StartFault};

/// Heartbeat intervals between two claims.
const BEATS_PER_CLAIM: u64 = 5;
/// Heartbeat intervals after which a question is said again.
const BEATS_PER_REPEAT: u64 = 2;
/// Bytes of entries that are run again at once.
const AGAIN_BYTES: u64 = 1 << 20;
/// Nothing was recorded: a doubt that came from a claim.
pub(crate) const NOT_RECORDED: Hash = Hash::ZERO;

/// What this replica knows of the effects of others.
pub(crate) struct Divergence {
    kept: Kept,
    /// What each has claimed last, until our engine is as far.
    claims: BTreeMap<NodeId, (Seq, Hash)>,
    /// Up to where each has had what we have.
    agreed: BTreeMap<NodeId, Seq>,
    /// Those that a majority has outvoted: they end.
    convicted: BTreeSet<NodeId>,
    /// What is said about the seq in doubt.
    answers: BTreeMap<NodeId, Hash>,
    /// Since when there is a doubt, and when it was told last.
    since_tick: Option<u64>,
    said_tick: u64,
    claimed_tick: u64,
    claimed_seq: Seq,
    pub(crate) outbound: Vec<Outbound>,
}

impl Divergence {
    pub(crate) fn new(kept: Kept) -> Self {
        Self {
            kept,
            claims: BTreeMap::new(),
            agreed: BTreeMap::new(),
            convicted: BTreeSet::new(),
            answers: BTreeMap::new(),
            since_tick: None,
            said_tick: 0,
            claimed_tick: 0,
            claimed_seq: Seq::ZERO,
            outbound: Vec::new(),
        }
    }

    /// Whether a majority has outvoted `node`.
    pub(crate) fn is_convicted(&self, node: NodeId) -> bool {
        self.convicted.contains(&node)
    }
}

/// What an earlier life has left behind; a replica that was found to be wrong does not start.
pub(crate) fn load<D: Disk>(disk: &mut D) -> Result<Kept, StartFault> {
    let kept = Kept::load(disk)?.ok_or(StartFault::DivergenceUnreadable)?;
    match kept.quarantine {
        Some(quarantine) => Err(StartFault::Quarantined(Box::new(quarantine))),
        None => Ok(kept),
    }
}

impl<D: Disk> Replica<D> {
    /// Takes what another replica says about effects.
    pub(crate) fn take_effects(&mut self, from: NodeId, bytes: &[u8]) -> Result<(), MessageFault> {
        let message = effects::decode(self.envelope_from(from), bytes)?;
        if !self.members_but_us().contains(&from) {
            return Ok(());
        }
        match message {
            Effects::Claim { seq, hash } => {
                if self.apply.doubt().is_some_and(|doubt| doubt.seq == seq) {
                    self.divergence.answers.insert(from, hash);
                }
                self.divergence.claims.insert(from, (seq, hash));
            }
            Effects::Ask { seq, .. } => {
                let answer = match self.apply.remembered(seq) {
                    Remembered::Known(hash) => Some(hash),
                    Remembered::Forgotten => self.forgotten(seq),
                    Remembered::NotYet => None,
                };
                if let Some(hash) = answer {
                    self.tell(from, Effects::Claim { seq, hash });
                }
            }
        }
        Ok(())
    }

    /// What we had at a seq that is too long ago, if it is kept because a majority outvoted the frame. Otherwise nothing: it may
    /// lie below the snapshot that this process began with, and was never compared here.
    fn forgotten(&self, seq: Seq) -> Option<Hash> {
        let kept = self.divergence.kept.outvoted.iter().find(|outvoted| outvoted.seq == seq);
        kept.map(|outvoted| outvoted.computed)
    }

    /// Tells and compares; stands still, asks and decides where there is a doubt.
    pub(crate) fn step_divergence(&mut self) -> Result<(), ReplicaFault> {
        self.claim_now_and_then();
        self.compare_claims();
        self.compare_states();
        let Some(doubt) = self.apply.doubt() else {
            self.divergence.since_tick = None;
            self.divergence.answers.clear();
            return Ok(());
        };
        if self.raft.store().conf_state().voters == [self.raft.raft.id] {
            let Doubt { seq, mut recorded, computed, .. } = doubt;
            if let Some(SnapshotFault::Effects { again, .. }) = self.snapshots.fault {
                recorded = again;
            }
            return Err(ReplicaFault::Diverged { seq, recorded, computed });
        }
        self.ask_about(doubt);
        self.decide(doubt)
    }

    fn claim_now_and_then(&mut self) {
        let tick = self.transfers.ticks;
        let interval = BEATS_PER_CLAIM * self.timing.heartbeat_ticks as u64;
        let (seq, hash) = self.apply.newest_effects();
        if tick - self.divergence.claimed_tick < interval {
            return;
        }
        self.divergence.claimed_tick = tick;
        self.ask_about_states();
        if std::mem::replace(&mut self.divergence.claimed_seq, seq) != seq {
            self.tell_all(Effects::Claim { seq, hash });
        }
        // Whoever claims nothing new has to be asked.
        if self.seq_verified() < seq {
            self.tell_all(Effects::Ask { seq, recorded: hash });
        }
    }

    fn compare_claims(&mut self) {
        let claims = std::mem::take(&mut self.divergence.claims);
        for (node, (seq, hash)) in claims {
            match self.apply.remembered(seq) {
                Remembered::Known(ours) if ours == hash => {
                    let agreed = self.divergence.agreed.entry(node).or_default();
                    *agreed = seq.max(*agreed);
                }
                Remembered::Known(computed) => {
                    if !self.divergence.convicted.contains(&node) {
                        let subject = Subject::Effects;
                        self.apply.doubt_it(Doubt { subject, seq, recorded: NOT_RECORDED, computed });
                    }
                }
                Remembered::NotYet => {
                    self.divergence.claims.insert(node, (seq, hash));
                }
                Remembered::Forgotten => {}
            }
        }
    }

    fn ask_about(&mut self, doubt: Doubt) {
        let tick = self.transfers.ticks;
        let repeat_ticks = BEATS_PER_REPEAT * self.timing.heartbeat_ticks as u64;
        let is_new = self.divergence.since_tick.is_none();
        if !is_new && tick - self.divergence.said_tick < repeat_ticks {
            return;
        }
        self.divergence.since_tick.get_or_insert(tick);
        self.divergence.said_tick = tick;
        let Doubt { subject, seq, recorded, computed } = doubt;
        if subject == Subject::State {
            return self.ask_about_state(seq);
        }
        // The others have to know what we have: it may be they who are wrong.
        self.tell_all(Effects::Claim { seq, hash: computed });
        self.tell_all(Effects::Ask { seq, recorded });
    }

    fn decide(&mut self, doubt: Doubt) -> Result<(), ReplicaFault> {
        let voters = &self.raft.store().conf_state().voters;
        let quorum = voters.len() / 2 + 1;
        let answers: Vec<Hash> =
            voters.iter().filter_map(|voter| self.answer_of(NodeId(*voter), doubt)).collect();
        let has_quorum = |hash: Hash| answers.iter().filter(|answer| **answer == hash).count() >= quorum;
        if has_quorum(doubt.computed) {
            let members = self.members_but_us().into_iter();
            let wrong: Vec<NodeId> = members
                .filter(|node| self.answer_of(*node, doubt).is_some_and(|hash| hash != doubt.computed))
                .collect();
            self.divergence.convicted.extend(wrong);
            self.settle(doubt);
            return Ok(());
        }
        match answers.iter().copied().find(|hash| has_quorum(*hash)) {
            Some(theirs) => Err(self.quarantine(doubt, theirs)),
            None => Ok(()),
        }
    }

    /// What a member has said, or we have computed.
    fn answer_of(&self, node: NodeId, doubt: Doubt) -> Option<Hash> {
        match doubt.subject {
            _ if node.0 == self.raft.raft.id => Some(doubt.computed),
            Subject::Effects => self.divergence.answers.get(&node).copied(),
            Subject::State => self.states.of(node, doubt.seq),
        }
    }

    /// A majority has what we have: the engine goes on.
    fn settle(&mut self, doubt: Doubt) {
        let Doubt { seq, recorded, computed, .. } = doubt;
        let divergence = &mut self.divergence;
        if recorded != NOT_RECORDED && recorded != computed {
            divergence.kept.outvoted.push(Outvoted { seq, recorded, computed });
            // If it cannot be written the next life asks again.
            divergence.kept.store(self.outbox.disk_mut()).ok();
        }
        // What was answered about this doubt says nothing about the next.
        divergence.answers.clear();
        divergence.since_tick = None;
        self.apply.settle();
    }

    /// We are wrong. That is durable before anything else, and nothing more is sent.
    fn quarantine(&mut self, doubt: Doubt, theirs: Hash) -> ReplicaFault {
        let Doubt { seq, computed: ours, .. } = doubt;
        let mut quarantine = Quarantine { seq, ours, theirs, part: String::new() };
        self.divergence.kept.quarantine = Some(quarantine.clone());
        let stored = self.divergence.kept.store(self.outbox.disk_mut());
        let part = match doubt.subject {
            Subject::Effects => self.first_differing_part(seq),
            Subject::State => self.part_of_state(seq, theirs),
        };
        quarantine.part = part.unwrap_or_default().to_owned();
        self.divergence.kept.quarantine = Some(quarantine.clone());
        let stored = stored.and_then(|()| self.divergence.kept.store(self.outbox.disk_mut()));
        let node = NodeId(self.raft.raft.id);
        ReplicaFault::Quarantined { node, quarantine: Box::new(quarantine), unwritten: stored.err() }
    }

    /// Which part of the state is another than a run over our own journal gives: from the newest snapshot before `seq` on,
    /// and if that one is to blame from the beginning, if the journal has it.
    fn first_differing_part(&mut self, seq: Seq) -> Option<&'static str> {
        let mut journal = self.raft.store().journal();
        let base = Base::load_before(self.outbox.disk_mut(), &mut journal, seq).ok()?;
        let has_all = journal.first_index() == Index(1);
        drop(journal);
        let is_snapshot = base.index > Index(0);
        let differs = self.part_that_differs(base);
        if differs.is_none() && is_snapshot && has_all {
            return self.part_that_differs(Base::beginning());
        }
        differs
    }

    fn part_that_differs(&self, base: Base) -> Option<&'static str> {
        let to = self.apply.index();
        let mut again = Apply::again(base, self.apply.skips());
        while again.index() < to {
            let entries = self.raft.store().entries_from(again.index().next(), to, AGAIN_BYTES).ok()?;
            for entry in &entries {
                let frame = if entry.data.is_empty() { None } else { Frame::read(&entry.data).ok() };
                again.run_alone(Index(entry.index), frame.as_ref(), &mut |_| {});
            }
        }
        let (ours, again) = (self.apply.engine().part_hashes(), again.engine().part_hashes());
        ours.iter().zip(&again).find(|(ours, again)| ours != again).map(|((name, _), _)| *name)
    }

    /// Whether answers about a doubt may still come: a leader keeps its term so long.
    pub(crate) fn doubt_is_fresh(&self) -> bool {
        let age = self.divergence.since_tick.map_or(0, |since| self.transfers.ticks - since);
        self.apply.doubt().is_some() && age < self.timing.election_ticks as u64
    }

    /// Why the engine stands still, if it does.
    pub(crate) fn halt(&self) -> Option<Halt> {
        let doubt = self.apply.doubt().filter(|_| !self.doubt_is_fresh());
        let in_doubt = doubt.map(|Doubt { subject, seq, recorded, computed }| {
            let cause = match subject {
                Subject::Effects => HaltCause::Differs { recorded, computed },
                Subject::State => HaltCause::StateDiffers { computed },
            };
            Halt { seq, cause }
        });
        self.apply.halted().cloned().or(in_doubt)
    }

    /// Up to where a majority of the voters is known to have the same effects.
    pub(crate) fn seq_verified(&self) -> Seq {
        let us = NodeId(self.raft.raft.id);
        let voters = &self.raft.store().conf_state().voters;
        let agreed = |voter: &u64| match NodeId(*voter) {
            node if node == us => self.apply.newest_effects().0,
            node => self.divergence.agreed.get(&node).copied().unwrap_or_default(),
        };
        let mut agreed: Vec<Seq> = voters.iter().map(agreed).collect();
        agreed.sort_unstable_by(|a, b| b.cmp(a));
        agreed.get(voters.len() / 2).copied().unwrap_or_default()
    }

    pub(crate) fn members_but_us(&self) -> Vec<NodeId> {
        let conf = self.raft.store().conf_state();
        let members = conf.voters.iter().chain(&conf.learners).filter(|id| **id != self.raft.raft.id);
        members.map(|id| NodeId(*id)).collect()
    }

    fn tell(&mut self, to: NodeId, message: Effects) {
        let bytes = effects::encode(self.envelope_to(to), message);
        self.divergence.outbound.push(Outbound { to, lane: Lane::Control, bytes });
    }

    fn tell_all(&mut self, message: Effects) {
        for node in self.members_but_us() {
            self.tell(node, message);
        }
    }
}

//! Replicas hold the states that they have made behind checkpoints against each other's, each by a second run over its own journal:
//! a program, a disk or a snapshot that goes wrong without an effect so far is found here, and a snapshot is handed on only once a
//! majority has made the same. What has gone wrong in the running engine alone is found by its first effect. A state that
//! differs is a doubt as effects that differ are ([`crate::divergence`]), and is decided in the same way.

use std::collections::{BTreeMap, VecDeque};

use journal::Disk;
use journal::snapshot_file::{self, SNAPSHOTS_KEPT, SnapshotFault, SnapshotHeader};
use protocol::hash::Hash;
use protocol::{NodeId, Seq};

use crate::StartFault;
use crate::apply::{Doubt, Subject};
use crate::checkpoint::last_seq;
use crate::divergence::NOT_RECORDED;
use crate::message::MessageFault;
use crate::message::states::{self, AboutState, StateAt};
use crate::peers::{Lane, Outbound};
use crate::replica::Replica;

/// What is known of states behind checkpoints.
#[derive(Default)]
pub(crate) struct States {
    /// Ours, oldest first.
    ours: VecDeque<StateAt>,
    /// What each other member has said last.
    theirs: BTreeMap<NodeId, StateAt>,
}

impl States {
    fn ours(&self, seq: Seq) -> Option<&StateAt> {
        self.ours.iter().find(|state| state.seq == seq)
    }

    /// The hash of the state of `node` at `seq`, if it has said that.
    pub(crate) fn of(&self, node: NodeId, seq: Seq) -> Option<Hash> {
        self.theirs.get(&node).filter(|state| state.seq == seq).map(|state| state.hash)
    }

    /// The place of the first part of our state at `seq` that is another than in the state with the hash `theirs`.
    fn first_differing_part(&self, seq: Seq, theirs: Hash) -> Option<usize> {
        let ours = self.ours(seq)?;
        let theirs = self.theirs.values().find(|state| (state.seq, state.hash) == (seq, theirs))?;
        ours.parts.iter().zip(&theirs.parts).position(|(ours, theirs)| ours != theirs)
    }
}

impl<D: Disk> Replica<D> {
    /// Earlier lives have taken snapshots, some without hearing that a majority has the same. `parts`: of the state that this life
    /// begins with.
    pub(crate) fn find_states(&mut self, parts: &[Hash]) -> Result<(), StartFault> {
        let mut journal = self.raft.store().journal();
        let (owner, marked) = (journal.identity(), journal.marked());
        let mut headers = Vec::new();
        for kept in snapshot_file::kept(journal.disk_mut(), &owner)?.iter().rev() {
            match snapshot_file::peek(journal.disk_mut(), &kept.file) {
                Ok((header, _)) if journal.term(header.index) == Some(header.term) => headers.push(header),
                Err(SnapshotFault::Disk(fault)) => return Err(fault.into()),
                // It is handed to nobody, and the start has told of it.
                Ok(_) | Err(_) => {}
            }
        }
        drop(journal);
        let began_with = self.apply.seq();
        let state = |header: &SnapshotHeader| {
            let parts = if last_seq(header) == began_with { parts.to_vec() } else { Vec::new() };
            StateAt::of(header, parts)
        };
        self.states.ours = headers.iter().map(state).collect();
        headers.retain(|header| header.index > marked);
        headers.iter().for_each(|header| self.raft.mut_store().snapshot_taken(header.index));
        self.snapshots.unverified = headers.into();
        Ok(())
    }

    /// Takes what another replica says about its states.
    pub(crate) fn take_states(&mut self, from: NodeId, bytes: &[u8]) -> Result<(), MessageFault> {
        let message = states::decode(self.envelope_from(from), bytes)?;
        if !self.members_but_us().contains(&from) {
            return Ok(());
        }
        match message {
            AboutState::Is(state) => {
                self.states.theirs.insert(from, state);
            }
            AboutState::Ask(seq) => {
                if let Some(state) = self.states.ours(seq).cloned() {
                    self.tell_state(from, &AboutState::Is(state));
                }
            }
        }
        Ok(())
    }

    /// A state of ours behind a checkpoint, for the others.
    pub(crate) fn have_state(&mut self, state: StateAt) {
        self.tell_state_to_all(&AboutState::Is(state.clone()));
        self.states.ours.push_back(state);
        if self.states.ours.len() > SNAPSHOTS_KEPT {
            self.states.ours.pop_front();
        }
    }

    /// Where a state of ours is not yet known to be that of a majority, it is said again, and the others are asked.
    pub(crate) fn ask_about_states(&mut self) {
        let Some(header) = self.snapshots.unverified.back() else { return };
        self.ask_about_state(last_seq(header));
    }

    pub(crate) fn ask_about_state(&mut self, seq: Seq) {
        if let Some(state) = self.states.ours(seq).cloned() {
            self.tell_state_to_all(&AboutState::Is(state));
        }
        self.tell_state_to_all(&AboutState::Ask(seq));
    }

    pub(crate) fn compare_states(&mut self) {
        let members = self.members_but_us();
        let mut said = self.states.theirs.iter().filter(|(node, _)| members.contains(node));
        let differing = said.find_map(|(node, theirs)| {
            let ours = self.states.ours(theirs.seq)?;
            let differs = ours.hash != theirs.hash && !self.divergence.is_convicted(*node);
            differs.then_some((theirs.seq, ours.hash))
        });
        if let Some((seq, computed)) = differing {
            let subject = Subject::State;
            self.apply.doubt_it(Doubt { subject, seq, recorded: NOT_RECORDED, computed });
        }
    }

    /// Snapshots of which a majority has the same may be handed on. What is older than such a one need not be any more.
    pub(crate) fn mark_verified(&mut self) {
        let Some(at) = self.snapshots.unverified.iter().rposition(|header| {
            let (seq, ours) = (last_seq(header), header.hash());
            let voters = &self.raft.store().conf_state().voters;
            let has_it = |voter: &&u64| match NodeId(**voter) {
                node if node.0 == self.raft.raft.id => true,
                node => self.states.of(node, seq) == Some(ours),
            };
            voters.iter().filter(has_it).count() > voters.len() / 2
        }) else {
            return;
        };
        for header in self.snapshots.unverified.drain(..=at).skip(at) {
            self.raft.mut_store().snapshot_verified(&header);
        }
    }

    /// The part in which our state at `seq` differs from one with the hash `theirs`.
    pub(crate) fn part_of_state(&self, seq: Seq, theirs: Hash) -> Option<&'static str> {
        let place = self.states.first_differing_part(seq, theirs)?;
        self.apply.engine().part_names().nth(place)
    }

    fn tell_state(&mut self, to: NodeId, message: &AboutState) {
        let bytes = states::encode(self.envelope_to(to), message);
        self.divergence.outbound.push(Outbound { to, lane: Lane::Control, bytes });
    }

    fn tell_state_to_all(&mut self, message: &AboutState) {
        for node in self.members_but_us() {
            self.tell_state(node, message);
        }
    }
}

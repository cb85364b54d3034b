//! The side of a snapshot's way that lags: it fetches the leader's snapshot in pieces, verifies it, fetches the outputs
//! below it that sessions may still ask for ([`outputs`]), and only then lets Raft know of the snapshot: who counts in a
//! quorum has the outputs too.
//!
//! ```text
//! MsgSnapshot ─> held back; pieces ─> verified ─> outputs, synced ─> Raft ─> its Ready: the log begins anew
//! ```
//! Up to the last step nothing has changed but a file under an unfinished name, which a start removes, and outputs in the
//! outbox, which a start takes for ones that it will replay. The last step is [`journal::Journal::begin_anew`], which says what a crash
//! in it leaves. All messages of the transfer may be lost, doubled or late: what is missing is asked for again.

mod download;
mod outputs;

use std::collections::{BTreeMap, VecDeque};

use journal::Disk;
use journal::outbox;
use journal::snapshot_file::{self, SnapshotFault, SnapshotHeader};
use protocol::event::Event;
use protocol::mutant::{Mutant, planted};
use protocol::{Index, NodeId, Term};
use raft::StateRole;
use raft::prelude::Message;

use crate::ReplicaFault;
use crate::membership::Membership;
use crate::message::transfer::Transfer;
use crate::peers::Outbound;
use crate::replica::{Now, Replica};
use crate::snapshots::Base;

pub(crate) use download::{Download, MANIFEST_BYTES, Manifest};
pub(crate) use outputs::{OutputsFetch, SessionOutputs, answer_outputs};

/// What is on its way, in both directions.
#[derive(Default)]
pub(crate) struct Transfers {
    /// Since the start of this process: what a time out is counted in.
    pub(crate) ticks: u64,
    pub(crate) questions: VecDeque<(NodeId, Transfer)>,
    pub(crate) outbound: Vec<Outbound>,
    /// When each peer that waits for a snapshot asked last; only on a leader.
    pub(crate) heard: BTreeMap<u64, u64>,
    pub(crate) fetch: Option<Box<Fetch>>,
    /// Outputs that other replicas have.
    pub(crate) outputs: OutputsFetch,
}

/// A snapshot on its way to us.
pub(crate) struct Fetch {
    /// Held back from Raft.
    message: Message,
    source: NodeId,
    download: Download,
    /// Tick at which an answer came last.
    pub(super) heard: u64,
    /// What they make up, once it is verified.
    whole: Option<Box<(Base, SnapshotHeader)>>,
}

impl<D: Disk> Replica<D> {
    /// Takes the leader's offer of a snapshot: it is fetched first.
    pub(crate) fn take_offer(&mut self, from: NodeId, message: Message) -> Result<(), raft::Error> {
        let metadata = message.get_snapshot().get_metadata();
        let (index, term) = (Index(metadata.index), Term(metadata.term));
        let raft = &self.raft.raft;
        let members = metadata.get_conf_state();
        let names_us = members.voters.contains(&raft.id) || members.learners.contains(&raft.id);
        let is_needed = message.term >= raft.term
            && index.0 > raft.raft_log.committed
            && !raft.raft_log.match_term(index.0, term.0)
            && names_us;
        if !is_needed {
            // Raft says why by its answer, and installs nothing.
            return self.raft.step(message);
        }
        let Some(manifest) = Manifest::read(&message.get_snapshot().data) else { return Ok(()) };
        let now = self.transfers.ticks;
        if let Some(fetch) = &mut self.transfers.fetch {
            if (fetch.download.index, fetch.download.manifest) == (index, manifest) {
                (fetch.message, fetch.source) = (message, from);
                return Ok(());
            }
            // Snapshots come faster than some peers can fetch them: what is on its way is brought to its end.
            let heard = fetch.heard;
            if now - heard <= self.silent_ticks() {
                return Ok(());
            }
        }
        self.give_up_fetch();
        let epoch = self.raft.store().journal().identity().epoch;
        let download = Download::new(epoch, (index, term), manifest);
        let fetch = Fetch { message, source: from, download, heard: now, whole: None };
        self.transfers.fetch = Some(Box::new(fetch));
        Ok(())
    }

    /// Forgets what was fetched. Files that cannot be removed now are at the next start.
    fn give_up_fetch(&mut self) {
        if let Some(fetch) = self.transfers.fetch.take() {
            fetch.download.give_up(self.outbox.disk_mut());
        }
    }

    /// Takes an answer. What does not fit is as if it had been lost.
    pub(crate) fn take_answer(&mut self, from: NodeId, answer: Transfer) {
        let now = self.transfers.ticks;
        if let Transfer::Outputs { asked, range, bytes } = answer {
            return self.take_outputs(from, asked, range, &bytes);
        }
        let Some(fetch) = &mut self.transfers.fetch else { return };
        let (wanted, source) = (fetch.download.index, fetch.source);
        let is_of = |index| index == wanted && from == source;
        let taken = match answer {
            Transfer::Piece { index, offset, bytes } if is_of(index) => {
                fetch.download.take_piece(self.outbox.disk_mut(), offset, &bytes)
            }
            Transfer::Gone { index } if is_of(index) => {
                self.give_up_fetch();
                return;
            }
            Transfer::AskPiece { .. }
            | Transfer::AskOutputs(_)
            | Transfer::Piece { .. }
            | Transfer::Outputs { .. }
            | Transfer::Unfit { .. }
            | Transfer::Gone { .. } => Ok(false),
        };
        match taken {
            Ok(true) => fetch.heard = now,
            Ok(false) => {}
            // No room, for instance: the leader offers it again.
            Err(_) => self.give_up_fetch(),
        }
    }

    /// Brings a fetch forward; when it is complete and Raft can take it, the log begins anew.
    pub(crate) fn step_fetch(&mut self, now: Now, events: &mut Vec<Event>) -> Result<(), ReplicaFault> {
        let Some(fetch) = &self.transfers.fetch else { return Ok(()) };
        let log = &self.raft.raft.raft_log;
        if log.committed >= fetch.download.index.0 {
            self.give_up_fetch();
            return Ok(());
        }
        let ticks = self.transfers.ticks;
        let patience = self.timing.election_ticks as u64;
        let Some(fetch) = &mut self.transfers.fetch else { return Ok(()) };
        let (source, index) = (fetch.source, fetch.download.index);
        if !fetch.download.is_complete() {
            for offset in fetch.download.due(ticks, patience) {
                self.send_transfer(source, &Transfer::AskPiece { index, offset });
            }
            return Ok(());
        }
        if fetch.whole.is_none() {
            self.verify_fetched();
        }
        self.try_install(now, events)
    }

    /// All pieces are there: what they make up is held against everything that is known of it.
    fn verify_fetched(&mut self) {
        let owner = self.raft.store().journal().identity();
        let Some(fetch) = &mut self.transfers.fetch else { return };
        let disk = self.outbox.disk_mut();
        let offered = fetch.message.get_snapshot().get_metadata().get_conf_state();
        let verified = fetch.download.verify(disk, owner).and_then(|(base, header)| {
            let conf_state = base.membership.as_ref().map(Membership::conf_state);
            if conf_state == Some(offered) { Ok((base, header)) } else { Err(SnapshotFault::Hash) }
        });
        match verified {
            Ok(whole) => {
                fetch.whole = Some(Box::new(whole));
                self.transfers.outputs = OutputsFetch::default();
            }
            Err(fault) => {
                let (source, index) = (fetch.source, fetch.download.index);
                // Where our own disk fails, the next attempt may not.
                let is_unfit = !matches!(fault, SnapshotFault::Disk(_));
                self.snapshots.fault = Some(fault);
                self.give_up_fetch();
                if is_unfit {
                    self.send_transfer(source, &Transfer::Unfit { index });
                }
            }
        }
    }

    /// Whether the outputs below the snapshot are here, and on the disk. What was applied meanwhile may have taken the place
    /// of some.
    fn has_outputs(&mut self) -> bool {
        let us = NodeId(self.raft.raft.id);
        let Some((base, _)) = self.transfers.fetch.as_ref().and_then(|fetch| fetch.whole.as_deref()) else {
            return false;
        };
        if self.transfers.outputs.next().is_none() {
            self.transfers.outputs.look_again(base, &mut self.outbox, us);
        }
        if planted(Mutant::JoinsWithoutOutputs) {
            self.transfers.outputs = OutputsFetch::default();
            return true;
        }
        if self.transfers.outputs.next().is_some() {
            return false;
        }
        self.outbox.flush();
        self.outbox.fault().is_none() && outbox::sync_all(self.outbox.disk_mut()).is_ok()
    }

    /// Hands the snapshot to Raft when everything is there, nothing is on its way to the disk, and somebody leads: the
    /// message says what that leader would say, because a snapshot holds committed entries, whoever offered it.
    fn try_install(&mut self, now: Now, events: &mut Vec<Event>) -> Result<(), ReplicaFault> {
        let raft = &self.raft.raft;
        let (term, leader, us) = (raft.term, raft.leader_id, raft.id);
        let can_take = raft.state == StateRole::Follower && leader != 0 && leader != us;
        let is_idle = self.persisting.is_empty() && self.raft.store().journal().can_begin_anew();
        if !can_take || !is_idle || self.raft.has_ready() || self.outbox.fault().is_some() {
            return Ok(());
        }
        if !self.has_outputs() {
            return Ok(());
        }
        let Some(fetch) = &self.transfers.fetch else { return Ok(()) };
        let mut message = fetch.message.clone();
        (message.term, message.from, message.to) = (term, leader, us);
        self.raft.step(message)?;
        self.handle_ready(now, events)
    }

    /// Raft's Ready carries the snapshot: from here on it is what this replica starts from.
    pub(crate) fn install(&mut self) -> Result<Index, ReplicaFault> {
        let Some(fetch) = self.transfers.fetch.take() else {
            unreachable!("Raft is given no snapshot but one that was fetched")
        };
        let Some(whole) = fetch.whole else { unreachable!("and verified") };
        let (base, header) = *whole;
        let membership = base.membership.clone().unwrap_or_default();
        self.raft
            .mut_store()
            .begin_anew(self.outbox.disk_mut(), &header, membership)
            .map_err(ReplicaFault::Journal)?;
        // It costs nothing but room where it fails: the next snapshot or start removes what is left.
        snapshot_file::remove_older(self.outbox.disk_mut(), header.index).ok();
        self.sequencer.end_term();
        self.term_started = None;
        self.in_flight.clear();
        self.apply.begin_at(base.engine, base.index, base.effect_hash);
        self.handed_out = base.index;
        let written_bytes = self.raft.store().journal().stats().block_bytes;
        self.snapshots.installed(base.index, written_bytes);
        Ok(base.index)
    }
}

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

mod outputs;

use std::collections::{BTreeMap, VecDeque};

use journal::outbox;
use journal::segment::unfinished;
use journal::snapshot_file::{self, Fingerprint, SnapshotFault, SnapshotHeader};
use journal::{Disk, DiskFault, FileRef};
use protocol::event::Event;
use protocol::hash::Hash;
use protocol::mutant::{Mutant, planted};
use protocol::{Field, Index, NodeId, Term};
use raft::StateRole;
use raft::prelude::Message;

use crate::ReplicaFault;
use crate::membership::Membership;
use crate::message::transfer::{PIECE_BYTES, Transfer};
use crate::peers::Outbound;
use crate::replica::{Now, Replica};
use crate::snapshots::Base;

pub(crate) use outputs::{OutputsFetch, outputs_of};

/// Pieces asked for and not there yet.
const WINDOW_PIECES: usize = 8;
/// Longest snapshot that is fetched.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 30;
const MANIFEST_BYTES: usize = 72;

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

/// What a leader says of its snapshot in Raft's message: by it what is fetched is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) file: Fingerprint,
    pub(crate) state_hash: Hash,
}

impl Manifest {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = self.file.len.to_le_bytes().to_vec();
        out.extend_from_slice(&self.file.hash.0);
        out.extend_from_slice(&self.state_hash.0);
        out
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != MANIFEST_BYTES {
            return None;
        }
        let file = Fingerprint { len: bytes.u64_at(0), hash: Hash(bytes.array(8)) };
        let fits = (1..=SNAPSHOT_BYTES_MAX).contains(&file.len);
        fits.then_some(Self { file, state_hash: Hash(bytes.array(40)) })
    }
}

/// A snapshot on its way to us.
pub(crate) struct Fetch {
    /// Held back from Raft.
    message: Message,
    source: NodeId,
    manifest: Manifest,
    index: Index,
    /// Under its unfinished name.
    file: FileRef,
    /// Tick at which an answer came last.
    pub(super) heard: u64,
    pieces: Pieces,
    /// What they make up, once it is verified.
    whole: Option<Box<(Base, SnapshotHeader)>>,
}

struct Pieces {
    done: Vec<bool>,
    missing: usize,
    /// Asked for, and when.
    asked: BTreeMap<usize, u64>,
}

impl Pieces {
    fn new(len: u64) -> Self {
        let count = usize::try_from(len.div_ceil(PIECE_BYTES as u64)).unwrap_or(usize::MAX);
        Self { done: vec![false; count], missing: count, asked: BTreeMap::new() }
    }

    /// The next pieces to ask for: those whose answer is overdue, and further ones up to the window.
    fn due(&mut self, now: u64, patience: u64) -> Vec<u64> {
        self.asked.retain(|_, at| now - *at <= patience);
        let free = WINDOW_PIECES.saturating_sub(self.asked.len());
        let asked = &self.asked;
        let open = |at: &usize| !self.done[*at] && !asked.contains_key(at);
        let due: Vec<usize> = (0..self.done.len()).filter(open).take(free).collect();
        self.asked.extend(due.iter().map(|at| (*at, now)));
        due.into_iter().map(|at| (at * PIECE_BYTES) as u64).collect()
    }
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
            if (fetch.index, fetch.manifest) == (index, manifest) {
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
        let file = unfinished(&snapshot_file::file(epoch, index));
        let pieces = Pieces::new(manifest.file.len);
        let fetch = Fetch { message, source: from, manifest, index, file, heard: now, pieces, whole: None };
        self.transfers.fetch = Some(Box::new(fetch));
        Ok(())
    }

    /// Forgets what was fetched. Files that cannot be removed now are at the next start.
    fn give_up_fetch(&mut self) {
        if let Some(fetch) = self.transfers.fetch.take() {
            self.outbox.disk_mut().remove(&fetch.file).ok();
        }
    }

    /// Takes an answer. What does not fit is as if it had been lost.
    pub(crate) fn take_answer(&mut self, from: NodeId, answer: Transfer) {
        let now = self.transfers.ticks;
        if let Transfer::Outputs { range, bytes } = answer {
            return self.take_outputs(from, range, &bytes);
        }
        let Some(fetch) = &mut self.transfers.fetch else { return };
        let is_of = |index| index == fetch.index && from == fetch.source;
        let taken = match answer {
            Transfer::Piece { index, offset, bytes } if is_of(index) => {
                fetch.take_piece(self.outbox.disk_mut(), offset, &bytes)
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
        if log.committed >= fetch.index.0 {
            self.give_up_fetch();
            return Ok(());
        }
        let ticks = self.transfers.ticks;
        let patience = self.timing.election_ticks as u64;
        let Some(fetch) = &mut self.transfers.fetch else { return Ok(()) };
        let (source, index) = (fetch.source, fetch.index);
        if fetch.pieces.missing > 0 {
            for offset in fetch.pieces.due(ticks, patience) {
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
        match fetch.verify(disk, owner) {
            Ok(whole) => {
                fetch.whole = Some(Box::new(whole));
                self.transfers.outputs = OutputsFetch::default();
            }
            Err(fault) => {
                let (source, index) = (fetch.source, fetch.index);
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
        snapshot_file::remove_older(self.outbox.disk_mut()).ok();
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

impl Fetch {
    /// Writes a piece to its place; returns whether it was one that is wanted.
    fn take_piece<D: Disk>(&mut self, disk: &mut D, offset: u64, bytes: &[u8]) -> Result<bool, DiskFault> {
        let pieces = &mut self.pieces;
        let at = usize::try_from(offset / PIECE_BYTES as u64).unwrap_or(usize::MAX);
        let expected = self.manifest.file.len.saturating_sub(offset).min(PIECE_BYTES as u64);
        if pieces.done.get(at) != Some(&false) || bytes.len() as u64 != expected {
            return Ok(false);
        }
        disk.write_at(&self.file, offset, bytes)?;
        pieces.done[at] = true;
        pieces.missing -= 1;
        pieces.asked.remove(&at);
        Ok(true)
    }

    /// Reads the whole file back from the device, as a start would.
    fn verify<D: Disk>(
        &self,
        disk: &mut D,
        owner: journal::Identity,
    ) -> Result<(Base, SnapshotHeader), SnapshotFault> {
        disk.sync(&self.file)?;
        disk.sync_dir(self.file.dir)?;
        let (header, file) = snapshot_file::peek(disk, &self.file)?;
        if (header.cluster, header.epoch) != (owner.cluster, owner.epoch) {
            return Err(SnapshotFault::Foreign);
        }
        let metadata = self.message.get_snapshot().get_metadata();
        let is_as_offered = file == self.manifest.file
            && header.state_hash == self.manifest.state_hash
            && (header.index.0, header.term.0) == (metadata.index, metadata.term)
            && Membership::read(&header.conf_state)
                .is_some_and(|membership| membership.conf_state() == metadata.get_conf_state());
        if !is_as_offered {
            return Err(SnapshotFault::Hash);
        }
        let base = Base::read(disk, &self.file)?;
        Ok((base, header))
    }
}

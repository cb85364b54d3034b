//! The Raft log is the journal: raft-rs reads entries and terms from it, and what it hands out to be stored goes there.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;

use bytes::Bytes;
use journal::snapshot_file::{self, SnapshotHeader};
use journal::{Disk, Journal, JournalFault, Mark, Progress, ReadFault};
use protocol::frame::{self, FrameHeader, FrameKind};
use protocol::hash::Hash;
use protocol::mutant::{Mutant, planted};
use protocol::{Field, Index, NodeId, Seq, Term, UnixNanos};
use raft::prelude::{ConfChangeV2, ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::ReplicaFault;
use crate::membership::Membership;
use crate::transfer::Manifest;

/// `raft::Storage` over a journal.
///
/// raft-rs reads through a shared reference while the journal's disk needs an exclusive one: hence the cell, which is
/// never borrowed across a call into Raft.
pub(crate) struct Log<D: Disk> {
    journal: RefCell<Journal<D>>,
    membership: Membership,
    /// Counts its changes.
    membership_changes: u64,
    /// Entries that were appended and are not applied yet, so that applying them costs no read; raft's own type,
    /// because the bytes are shared.
    unapplied: RefCell<VecDeque<Entry>>,
    /// Committed, because a snapshot holds it; block headers may know less.
    base: Index,
    /// Seq of the next record behind it.
    base_next_seq: Seq,
    /// A peer needs a snapshot, and none that is here serves.
    snapshot_wanted: Cell<bool>,
    /// A peer has found a snapshot unfit: those up to this entry are offered to nobody.
    unfit: Option<Index>,
    /// Why Raft could not be given entries.
    fault: Cell<Option<ReadFault>>,
}

impl<D: Disk> Log<D> {
    /// Over `journal`, for a state that ends with entry `base` and expects the record `base_next_seq`.
    pub(crate) fn new(journal: Journal<D>, membership: Membership, base: Index, base_next_seq: Seq) -> Self {
        Self {
            journal: RefCell::new(journal),
            membership,
            membership_changes: 0,
            unapplied: RefCell::new(VecDeque::new()),
            base,
            base_next_seq,
            snapshot_wanted: Cell::new(false),
            unfit: None,
            fault: Cell::new(None),
        }
    }

    /// Stores an entry behind the last one; one that is in the log already is in conflict and voids what follows.
    pub(crate) fn append(&mut self, entry: Entry) -> Result<(), ReplicaFault> {
        let journal = self.journal.get_mut();
        let index = Index(entry.index);
        if index <= journal.last_index() {
            journal.truncate_from(index)?;
            self.unapplied.get_mut().retain(|e| e.index < entry.index);
        }
        let next_seq = next_seq(journal, self.base_next_seq)?;
        match entry_frame(&entry, next_seq) {
            Some(frame) => journal.append(&frame),
            None => journal.append(&entry.data),
        };
        self.unapplied.get_mut().push_back(entry);
        Ok(())
    }

    pub(crate) fn set_hard_state(&mut self, state: &HardState) {
        let journal = self.journal.get_mut();
        journal.set_commit(Index(state.commit));
        let state = journal::HardState { term: Term(state.term), vote: NodeId(state.vote) };
        if state != journal.last_hard_state() && !planted(Mutant::VoteNotStored) {
            journal.hard_state(state);
        }
    }

    /// Raft has come to `conf_state` by `change`, which is committed. That is not forgotten by a restart: who still counted a member
    /// that has left could miss the majority that the others are.
    pub(crate) fn change_membership(&mut self, conf_state: ConfState, change: &ConfChangeV2) {
        self.journal.get_mut().write_commit();
        self.membership.apply(conf_state, change);
        self.membership_changes += 1;
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// As often as the membership has changed.
    pub(crate) fn membership_changes(&self) -> u64 {
        self.membership_changes
    }

    pub(crate) fn conf_state(&self) -> &ConfState {
        self.membership.conf_state()
    }

    /// The log begins anew behind a snapshot that was fetched through `beside`.
    pub(crate) fn begin_anew(
        &mut self,
        beside: &mut D,
        header: &SnapshotHeader,
        membership: Membership,
    ) -> Result<(), JournalFault> {
        self.journal.get_mut().begin_anew(beside, header)?;
        self.unapplied.get_mut().clear();
        (self.base, self.base_next_seq, self.membership) = (header.index, header.next_seq, membership);
        self.membership_changes += 1;
        Ok(())
    }

    /// Whether a peer waits for a snapshot that has to be taken first.
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.snapshot_wanted.get()
    }

    pub(crate) fn snapshot_begun(&mut self) {
        self.snapshot_wanted.set(false);
    }

    /// Snapshots up to that of entry `index` are offered to nobody before another was taken.
    pub(crate) fn offer_no_more(&mut self, index: Index) {
        self.unfit = self.unfit.max(Some(index));
    }

    fn is_unfit(&self, index: Index) -> bool {
        self.unfit >= Some(index)
    }

    /// A snapshot was taken.
    pub(crate) fn snapshot_taken(&mut self, index: Index) {
        self.unfit = self.unfit.filter(|unfit| *unfit > index);
    }

    /// A majority has the same as the snapshot of `header`: from here on it may be handed on, by later lives too.
    pub(crate) fn snapshot_verified(&mut self, header: &SnapshotHeader) {
        self.journal.get_mut().snap_mark(header.index, header.term, header.state_hash);
    }

    /// The newest snapshot that `to` can start from: it knows `to` as a member, a majority has the same, and the
    /// log goes on from it. The bytes travel on their own; what Raft carries is by what they are recognised.
    fn offer(&self, from: Index, to: NodeId) -> Option<Snapshot> {
        let mut journal = self.journal.borrow_mut();
        let owner = journal.identity();
        let kept = snapshot_file::kept(journal.disk_mut(), &owner).ok()?;
        let marked = journal.marked();
        kept.iter().filter(|kept| kept.index <= marked).find_map(|kept| {
            let (header, file) = snapshot_file::peek(journal.disk_mut(), &kept.file).ok()?;
            let membership = Membership::read(&header.conf_state)?;
            let conf_state = membership.conf_state();
            let serves = header.index == kept.index
                && !self.is_unfit(kept.index)
                && header.index >= from
                && journal.term(header.index) == Some(header.term)
                && (conf_state.voters.contains(&to.0) || conf_state.learners.contains(&to.0));
            serves.then(|| {
                let data = Manifest { file, state_hash: header.state_hash }.to_bytes();
                let mut snapshot = Snapshot { data: data.into(), ..Snapshot::default() };
                let metadata = snapshot.mut_metadata();
                (metadata.index, metadata.term) = (header.index.0, header.term.0);
                metadata.set_conf_state(conf_state.clone());
                snapshot
            })
        })
    }

    /// Entries up to `index` are applied and need not be kept in memory.
    pub(crate) fn applied(&mut self, index: Index) {
        let unapplied = self.unapplied.get_mut();
        while unapplied.pop_front_if(|entry| entry.index <= index.0).is_some() {}
    }

    /// Takes what the disk has finished, gives it what has gathered.
    pub(crate) fn step_journal(&self) -> Result<Progress, ReplicaFault> {
        let mut journal = self.journal.borrow_mut();
        let node = journal.identity().node;
        // Where there are others, they are to hear from us while the disk writes, and take over when it hangs.
        journal.await_lone_records(self.membership.is_only(node));
        journal.step().map_err(ReplicaFault::Journal)
    }

    /// Point up to which things were handed to the journal.
    pub(crate) fn appended(&self) -> Mark {
        self.journal.borrow().appended()
    }

    /// Whether a write is under way, or waits for one.
    pub(crate) fn is_writing(&self) -> bool {
        let journal = self.journal.borrow();
        journal.in_flight() || journal.gathered()
    }

    pub(crate) fn journal(&self) -> RefMut<'_, Journal<D>> {
        self.journal.borrow_mut()
    }

    /// Seq of the last record up to entry `index`, if that entry is not applied yet.
    pub(crate) fn last_seq_at(&self, index: Index) -> Option<Seq> {
        let unapplied = self.unapplied.borrow();
        let entry = unapplied.iter().rev().find(|e| e.index <= index.0 && !e.data.is_empty())?;
        let header = frame::Frame::read(&entry.data).ok()?.header;
        Some(Seq(header.first_seq.0 + u64::from(header.count) - 1))
    }

    pub(crate) fn into_disk(self) -> D {
        self.journal.into_inner().into_disk()
    }

    /// Seq of the next record behind what was appended.
    pub(crate) fn next_seq(&self) -> Result<Seq, ReadFault> {
        next_seq(&mut self.journal.borrow_mut(), self.base_next_seq)
    }

    /// Entries from `from` to `to`, at least one, as many as fit `bytes_max`.
    pub(crate) fn entries_from(
        &self,
        from: Index,
        to: Index,
        bytes_max: u64,
    ) -> Result<Vec<Entry>, ReadFault> {
        self.read(from.0, to.next().0, bytes_max)
    }

    fn read(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadFault> {
        let unapplied = self.unapplied.borrow();
        if let Some(first) = unapplied.front().map(|e| e.index).filter(|first| *first <= low) {
            let mut bytes = 0;
            let wanted = unapplied.range(usize::try_from(low - first).unwrap_or(usize::MAX)..);
            let fits = |entry: &&Entry| {
                bytes += entry.data.len() as u64;
                entry.index < high && (entry.index == low || bytes <= max_bytes)
            };
            return Ok(wanted.take_while(fits).cloned().collect());
        }
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let frames = self.journal.borrow_mut().entries(Index(low), Index(high), max_bytes)?;
        let entry = |(index, bytes): (u64, _)| {
            let entry = frame_entry(Bytes::from_owner(bytes)).filter(|entry| entry.index == index);
            entry.ok_or(ReadFault::DamagedInMemory(Index(index)))
        };
        (low..).zip(frames).map(entry).collect()
    }

    /// Why Raft could not be given entries since the last call: the process must end.
    pub(crate) fn take_fault(&self) -> Result<(), ReadFault> {
        self.fault.take().map_or(Ok(()), Err)
    }
}

/// Seq of the next record of the log: known, unless the last thing that happened was a truncation, or a start. A log
/// without an entry goes on behind its base.
fn next_seq<D: Disk>(journal: &mut Journal<D>, base_next_seq: Seq) -> Result<Seq, ReadFault> {
    if let Some(next_seq) = journal.log_end().next_seq {
        return Ok(next_seq);
    }
    let last = journal.last_index();
    if last < journal.first_index() {
        return Ok(if planted(Mutant::SeqOfBaseForgotten) { Seq(1) } else { base_next_seq });
    }
    let bytes = journal.entry(last)?;
    let frame = frame::Frame::read(&bytes).map_err(|_| ReadFault::DamagedInMemory(last))?;
    Ok(Seq(frame.header.first_seq.0 + u64::from(frame.header.count)))
}

/// The frame of an entry that Raft made itself; `None` if the entry's data is a frame already.
fn entry_frame(entry: &Entry, next_seq: Seq) -> Option<Vec<u8>> {
    let (kind, payload) = match entry.get_entry_type() {
        EntryType::EntryNormal if entry.data.is_empty() => (FrameKind::Noop, &[][..]),
        EntryType::EntryNormal => return None,
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => (FrameKind::Conf, &entry.data[..]),
    };
    let write_payload = |buffer: &mut Vec<u8>| {
        if kind == FrameKind::Conf {
            buffer.extend_from_slice(&(payload.len() as u64).to_le_bytes());
            buffer.extend_from_slice(payload);
        }
    };
    Some(frame_without_records(kind, Index(entry.index), Term(entry.term), next_seq, write_payload))
}

/// A frame that is no batch: the seqs go on behind it, and what only a batch has is zero.
pub(crate) fn frame_without_records(
    kind: FrameKind,
    index: Index,
    term: Term,
    next_seq: Seq,
    write_payload: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut buffer = Vec::new();
    frame::begin(&mut buffer);
    write_payload(&mut buffer);
    let header = FrameHeader {
        kind,
        index,
        term,
        time: UnixNanos(0),
        first_seq: next_seq,
        count: 0,
        engine_version: 0,
        applied_seq: Seq::ZERO,
        effect_hash: Hash::ZERO,
    };
    frame::finish(&mut buffer, &header);
    buffer
}

/// The entry of a frame. `None`: it is none; the journal has verified it, but that was before it lay in memory.
pub(crate) fn frame_entry(bytes: Bytes) -> Option<Entry> {
    let mut entry = Entry::default();
    let read = frame::Frame::read(&bytes).ok()?;
    entry.index = read.header.index.0;
    entry.term = read.header.term.0;
    match read.header.kind {
        FrameKind::Entry | FrameKind::Skip => entry.data = bytes,
        FrameKind::Conf => {
            entry.set_entry_type(EntryType::EntryConfChangeV2);
            let len = usize::try_from(read.payload.u64_at(0)).unwrap_or(0);
            entry.data = Bytes::copy_from_slice(read.payload.get(8..8 + len).unwrap_or_default());
        }
        FrameKind::Noop
        | FrameKind::HardState
        | FrameKind::Truncate
        | FrameKind::SnapMark
        | FrameKind::Seal => {}
    }
    Some(entry)
}

impl<D: Disk> Storage for Log<D> {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let journal = self.journal.borrow();
        let journal::HardState { term, vote } = journal.last_hard_state();
        let state = HardState {
            term: term.0,
            vote: vote.0,
            commit: journal.commit().max(self.base).0,
            ..HardState::default()
        };
        Ok(RaftState::new(state, self.conf_state().clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        // On a storage error raft-rs panics, which tells an operator little. So it goes on as if there were nothing to read now, and
        // the turn ends with the fault.
        self.read(low, high, max_size.into().unwrap_or(u64::MAX)).or_else(|fault| {
            self.fault.set(Some(fault));
            let later = StorageError::LogTemporarilyUnavailable;
            if context.can_async() { Err(raft::Error::Store(later)) } else { Ok(Vec::new()) }
        })
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let journal = self.journal.borrow();
        match journal.term(Index(index)) {
            Some(term) => Ok(term.0),
            None if Index(index) < journal.first_index() => Err(raft::Error::Store(StorageError::Compacted)),
            None => Err(raft::Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.journal.borrow().first_index().0)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.journal.borrow().last_index().0)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let offer = self.offer(Index(request_index), NodeId(to));
        self.snapshot_wanted.set(self.snapshot_wanted.get() || offer.is_none());
        offer.ok_or(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}

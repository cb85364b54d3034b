//! The log: appended to in memory, made durable one block at a time, read back by index. Stepped: no thread, no clock.
//!
//! ```text
//! append ─> Building (open block) ─┐            Disk::submit              Disk::poll
//! append ─> Building (next block)  ├─ step() ──> one in flight ──────────> step(): durable mark and index rise
//! hard_state, truncate_from ──────>┘   │
//!                                      └─ no room: SEAL block, header of the next segment, then on
//! ```

mod adjudicate;
mod anew;
mod open;
mod repair;
mod reread;
mod roll;
mod tail;

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::frame::{self, Frame};
use protocol::hash::Hash;
use protocol::limits::{BLOCK_ALIGN, BLOCK_BYTES_LARGE, BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES};
use protocol::mutant::{Mutant, planted};
use protocol::{ClusterEpoch, ClusterId, Index, NodeId, Term, UnixNanos};

use crate::block::{self, BlockHeader};
use crate::disk::{BlockWrite, Disk, DiskFault, FileRef};
use crate::marks::{HardState, LocalMark};
use crate::meta::{self, Meta};
use crate::segment::{self, SegmentHeader};
use crate::survey::{LogEnd, Place};
use crate::{AlignedBuf, Founders};

pub use adjudicate::Adjudication;
pub(crate) use anew::ASIDE_SUFFIX;
pub use open::{OpenReport, Opened, Refusal};
pub use repair::{Damaged, NotTaken};
pub use reread::{EntryAt, RereadFault, reread};
pub use tail::EntryBytes;

use roll::Spares;
use tail::Tail;

/// Whose journal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its epoch.
    pub epoch: ClusterEpoch,
    /// The replica.
    pub node: NodeId,
    /// With whom the cluster began.
    pub founders: Founders,
}

/// Sizes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of a segment to be made; a multiple of 4 KiB, at least [`segment::SEGMENT_BYTES_MIN`].
    pub segment_bytes: u64,
    /// Bytes of a block, except one that holds a single longer frame.
    pub block_bytes_max: usize,
    /// Bytes of newest blocks that are served from memory.
    pub tail_bytes: usize,
    /// Segments to have ready.
    pub spares: usize,
    /// Drawn at random by the caller at each start: segments are filled with words derived from it.
    pub nonce_seed: u64,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub const fn new(nonce_seed: u64) -> Self {
        Self {
            segment_bytes: 64 << 20,
            block_bytes_max: BLOCK_BYTES_MAX,
            tail_bytes: 8 << 20,
            spares: 2,
            nonce_seed,
        }
    }
}

/// The journal cannot go on: what the disk holds is unknown. The caller reports it and aborts the process. It is
/// deliberately not an `Error`, so that no `?` makes an ordinary failure of it.
#[derive(Debug)]
#[must_use]
pub enum JournalFault {
    /// A block, a seal or a segment's header was not made durable. The kernel may have dropped the dirty pages, so that
    /// a retry which succeeds proves nothing.
    Write(DiskFault),
    /// `meta` was not made durable.
    Meta(DiskFault),
}

impl std::fmt::Display for JournalFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Write(fault) | Self::Meta(fault)) = self;
        write!(f, "what the disk holds is unknown: {fault}")
    }
}

/// An entry cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadFault {
    /// It is not in the log: below its first or above its last.
    #[error("entry {0} is not in the journal")]
    Missing(Index),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskFault),
    /// What was read is not what was written.
    #[error("entry {index} at {place} is damaged")]
    Damaged {
        /// The entry.
        index: Index,
        /// Where it lies.
        place: Place,
    },
    /// It was whole when it was written or read, and what is kept of it in memory is not any more.
    #[error(
        "entry {0} is damaged in this process's memory: the disk may have it whole, and the machine's memory is to be tested"
    )]
    DamagedInMemory(Index),
}

/// A point in what was appended. Everything appended before it is durable once [`Journal::durable`] has reached it:
/// entries, hard states and truncations alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everything appended up to here is durable.
    pub durable: Mark,
    /// The last durable entry.
    pub durable_index: Index,
    /// A write has ended in this step: latency is the caller's to measure.
    pub completed: bool,
    /// A write was started in this step.
    pub submitted: bool,
}

/// Whether there is room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Space {
    /// There is.
    Open,
    /// Half of the last segment is used and another cannot be made. Nothing is lost; [`Journal::retry_spares`].
    ReadOnly(DiskFault),
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks made durable.
    pub blocks: u64,
    /// Their bytes, padding included.
    pub block_bytes: u64,
    /// Bytes of frames in them.
    pub frame_bytes: u64,
    /// Entries appended.
    pub entries: u64,
    /// Segments begun.
    pub segments: u64,
    /// Entries that were read from the disk and not from memory.
    pub entries_read_from_disk: u64,
}

/// The log of one replica.
pub struct Journal<D> {
    disk: D,
    options: Options,
    meta: Meta,
    /// End of what was appended.
    log: LogEnd,
    /// End of what was handed to the disk.
    written: LogEnd,
    tail: Tail,
    building: VecDeque<Building>,
    in_flight: Option<InFlight>,
    active: ActiveSegment,
    spares: Spares,
    last_block: u64,
    last_block_crc: u32,
    durable_block: u64,
    hint_due: bool,
    commit: Index,
    /// What the last block that was handed to the disk says is committed.
    written_commit: Index,
    newest_time: UnixNanos,
    hard_state: HardState,
    /// Entries before the snapshot before this one are forgotten when the next one is noted.
    newest_snapshot: Index,
    /// The last entry of the newest snapshot that was noted.
    marked: Index,
    appended: Mark,
    durable: Mark,
    durable_index: Index,
    awaits_lone_records: bool,
    scratch: Vec<u8>,
    stats: Stats,
}

/// The segment that blocks go to.
#[derive(Clone, Debug)]
struct ActiveSegment {
    header: SegmentHeader,
    file: FileRef,
    next_offset: u64,
    sealed: bool,
}

/// A block that gathers frames.
struct Building {
    block: AlignedBuf,
    ordinal: u64,
    entries: u32,
    records: u32,
    first_index: Index,
    before: (Index, Term),
    contents: Contents,
}

/// What becomes true when a block is durable.
#[derive(Clone, Copy, Debug)]
struct Contents {
    end: LogEnd,
    /// End of the log, or what a later truncation has left of it.
    durable_to: Index,
    mark: Mark,
    hard_state: Option<HardState>,
    /// The newest entry known to be committed when the last frame was put into the block, or until the next was begun.
    commit: Index,
}

struct InFlight {
    token: u64,
    what: Write,
    bytes: u64,
}

enum Write {
    Block(Contents),
    Seal,
    Header(SegmentHeader),
}

impl<D: Disk> Journal<D> {
    /// Appends a closed Raft entry ([`frame::finish`]), sets its chain, and returns it. The frame is copied once, into
    /// the block that is being gathered.
    ///
    /// # Panics
    /// If it is not a whole frame of a Raft entry, or not the next index or seq: recovery would refuse the journal, so
    /// that it is better not written.
    pub fn append(&mut self, entry: &[u8]) -> Hash {
        let frame = match Frame::read(entry) {
            Ok(frame) => frame,
            Err(fault) => panic!("an entry that its builder closed: {fault:?}"),
        };
        assert!(frame.header.kind.is_entry() && frame.bytes.len() == entry.len(), "one Raft entry");
        let chain = match self.log.follow(&frame) {
            Ok(chain) => chain,
            Err(fault) => panic!("an entry that follows the log: {fault:?}"),
        };
        self.newest_time = self.newest_time.max(frame.header.time);
        self.stats.entries += 1;
        let (ordinal, offset) = self.push(entry, None);
        if let Some(building) = self.building.back_mut() {
            frame::set_chain(&mut building.block, chain);
            building.entries += 1;
            building.records += frame.header.count;
            if building.first_index.0 == 0 {
                building.first_index = frame.header.index;
            }
        }
        self.tail.push(frame.header.term, ordinal, offset, entry.len());
        chain
    }

    /// Remembers term and vote: durable with the block that is being gathered, and in `meta`.
    pub fn hard_state(&mut self, state: HardState) {
        self.hard_state = state;
        self.push_mark(&LocalMark::HardState(state), Some(state));
    }

    /// Makes the log void from `from` on: a newer leader's is another.
    ///
    /// # Errors
    /// [`ReadFault`] if the entry before cannot be read, whose chain the log goes on from.
    ///
    /// # Panics
    /// If `from` is committed or not in the log.
    pub fn truncate_from(&mut self, from: Index) -> Result<(), ReadFault> {
        assert!(from > self.commit && from > self.log.base_index, "entry {from} is committed");
        let before = Index(from.0 - 1);
        let prev_chain = self.chain(before)?;
        let prev_term = self.term(before).ok_or(ReadFault::Missing(before))?;
        self.record_truncation(from, prev_term, prev_chain);
        Ok(())
    }

    fn record_truncation(&mut self, from: Index, prev_term: Term, prev_chain: Hash) {
        let last = Index(from.0 - 1);
        self.tail.truncate(last);
        (self.log.last_index, self.log.last_term, self.log.chain) = (last, prev_term, prev_chain);
        self.log.next_seq = None;
        self.durable_index = self.durable_index.min(last);
        let in_flight = self.in_flight.iter_mut().filter_map(|write| match &mut write.what {
            Write::Block(contents) => Some(contents),
            Write::Seal | Write::Header(_) => None,
        });
        for contents in in_flight.chain(self.building.iter_mut().map(|building| &mut building.contents)) {
            contents.durable_to = contents.durable_to.min(last);
        }
        self.push_mark(&LocalMark::Truncate { from, prev_term, prev_chain }, None);
    }

    /// Notes that a snapshot at `index` is durable, and that a majority has the same. Entries before the snapshot before it can no longer be read: with
    /// two snapshots nobody starts from further back, and what is remembered of the log stays bounded by them.
    pub fn snap_mark(&mut self, index: Index, term: Term, state_hash: Hash) {
        self.push_mark(&LocalMark::Snapshot { index, term, state_hash }, None);
        self.marked = self.marked.max(index);
        if index > self.newest_snapshot {
            let older = std::mem::replace(&mut self.newest_snapshot, index);
            self.forget_before(older);
        }
    }

    /// The last entry of the newest snapshot that was noted, in this life or an earlier one, or that the log begins behind.
    #[must_use]
    pub fn marked(&self) -> Index {
        self.marked
    }

    /// Forgets where entries before `index` lie; their files stay. The entry at `index` is still read: seq and chain of
    /// the next one follow from it.
    fn forget_before(&mut self, index: Index) {
        let base = Index(index.0.saturating_sub(1));
        if base <= self.log.base_index || index > self.log.last_index {
            return;
        }
        // Where it cannot be read, more is remembered than has to be, and the next snapshot tries again.
        let (Some(term), Ok(chain)) = (self.term(base), self.chain(base)) else { return };
        (self.log.base_index, self.log.base_term, self.log.base_chain) = (base, term, chain);
        self.tail.forget_before(index);
    }

    /// The newest committed entry; goes along in the next block's header.
    pub fn set_commit(&mut self, commit: Index) {
        self.commit = self.commit.max(commit);
        // Not in an earlier block: alone on disk it would vouch for entries that a later one voids.
        if let Some(building) = self.building.back_mut() {
            building.contents.commit = self.commit;
        }
        if planted(Mutant::CommitInEarlierBlock) {
            self.building.iter_mut().for_each(|building| building.contents.commit = self.commit);
        }
    }

    /// Writes what is committed, though nothing else may come for long: for what must not be forgotten by a restart.
    pub fn write_commit(&mut self) {
        self.push_mark(&LocalMark::HardState(self.hard_state), None);
    }

    /// Whether a block of one page with one record is written before [`Self::step`] returns, because whoever calls it has nobody to answer
    /// meanwhile. That spares waking a thread for the write and being woken by it, which together take as long as half the write. Where
    /// more records have gathered there is load, and the next block had better gather while this one is written.
    pub fn await_lone_records(&mut self, awaits_lone_records: bool) {
        self.awaits_lone_records = awaits_lone_records;
    }

    /// Takes what the disk has finished and gives it what has gathered. Never blocks, except for a block that is
    /// [awaited](Self::await_lone_records), and for a new term or vote, whose two syncs of `meta` are rare.
    ///
    /// # Errors
    /// [`JournalFault`]: abort.
    pub fn step(&mut self) -> Result<Progress, JournalFault> {
        let completion = self.disk.poll();
        let completed = completion.is_some();
        if let Some(completion) = completion {
            self.complete(completion.token, completion.result)?;
        }
        self.step_spares();
        let submitted = self.submit_next();
        // In the turn in which the block is found durable, so before anybody else hears of it: the simulator finds a cluster that
        // loses what it has acknowledged where the hint comes later. While the next write is under way it costs nobody any time.
        if self.hint_due && (self.in_flight.is_some() || !completed) {
            self.hint_due = false;
            let epoch = self.meta.identity.epoch;
            meta::store_hint(&mut self.disk, self.durable_block, epoch).map_err(JournalFault::Meta)?;
        }
        Ok(Progress { durable: self.durable, durable_index: self.durable_index, completed, submitted })
    }

    /// Syncs the hint in `meta` how far the journal is durable, which a crash of the process keeps anyway and a loss of
    /// power does not: with it even a device that lied about a write is found out, up to the last call. Blocks for one
    /// sync; the caller has the clock, and a tenth of a second is often enough.
    ///
    /// # Errors
    /// [`JournalFault`]: abort.
    pub fn sync_hint(&mut self) -> Result<(), JournalFault> {
        self.hint_due = false;
        let stored = meta::store_hint(&mut self.disk, self.durable_block, self.meta.identity.epoch);
        stored.and_then(|()| self.disk.sync(&meta::file())).map_err(JournalFault::Meta)
    }

    /// Drops segments whose entries are all at or below `index`: after the second snapshot above it. Returns how many.
    /// Those that the opening passed over are not known here.
    ///
    /// # Errors
    /// [`ReadFault`]: what is left is still a log; files that could not be removed are when the journal is opened again.
    pub fn drop_before(&mut self, index: Index) -> Result<usize, ReadFault> {
        let dropped = self.tail.segments_below(index, self.active.header.name());
        let Some((_, next)) = dropped.last() else { return Ok(0) };
        let base = Index(next.first_index.0.saturating_sub(1)).max(self.log.base_index);
        // Not those in the segment's header: a truncation may have replaced that entry since.
        let base_chain = self.chain(base)?;
        let base_term = self.term(base).ok_or(ReadFault::Missing(base))?;
        (self.log.base_index, self.log.base_term, self.log.base_chain) = (base, base_term, base_chain);
        self.tail.drop_to(next.name());
        // Also those in between that were given up.
        let first = dropped.first().map_or(next.name(), |(name, _)| *name);
        let all = open::segment_names(&mut self.disk)?;
        for name in all.iter().filter(|name| (first..next.name()).contains(name)) {
            self.disk.remove(&name.file())?;
        }
        self.disk.sync_dir(crate::Dir::Journal)?;
        Ok(dropped.len())
    }

    /// Something waits to be written.
    #[must_use]
    pub fn gathered(&self) -> bool {
        !self.building.is_empty()
    }

    /// A write is under way.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// The point up to which things were appended.
    #[must_use]
    pub fn appended(&self) -> Mark {
        self.appended
    }

    /// The point up to which they are durable.
    #[must_use]
    pub fn durable(&self) -> Mark {
        self.durable
    }

    /// The first entry that can be read, also by Raft: a follower that needs an earlier one gets a snapshot. Files may
    /// go further back.
    #[must_use]
    pub fn first_index(&self) -> Index {
        self.log.base_index.next()
    }

    /// The last entry, durable or not.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.log.last_index
    }

    /// The last durable entry.
    #[must_use]
    pub fn durable_index(&self) -> Index {
        self.durable_index
    }

    /// The newest entry known to be committed.
    #[must_use]
    pub fn commit(&self) -> Index {
        self.commit
    }

    /// The last entry's chain.
    #[must_use]
    pub fn last_chain(&self) -> Hash {
        self.log.chain
    }

    /// End of the log.
    #[must_use]
    pub fn log_end(&self) -> &LogEnd {
        &self.log
    }

    /// Term and vote as set last, durable or not.
    #[must_use]
    pub fn last_hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Whose journal it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.meta.identity
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// The disk, for snapshots and for waiting.
    pub fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// Bytes of blocks from the one with entry `index` on, about: what has to be read to come from there to the end.
    #[must_use]
    pub fn block_bytes_from(&self, index: Index) -> u64 {
        self.tail.block_bytes_from(index)
    }

    /// Ends it, and gives the disk back. What is not durable yet may or may not become so.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// Term of an entry; also of the one before the first.
    #[must_use]
    pub fn term(&self, index: Index) -> Option<Term> {
        if index == self.log.base_index { Some(self.log.base_term) } else { self.tail.term(index) }
    }

    /// Chain of an entry; also of the one before the first.
    ///
    /// # Errors
    /// [`ReadFault`].
    pub fn chain(&mut self, index: Index) -> Result<Hash, ReadFault> {
        if index == self.log.last_index {
            return Ok(self.log.chain);
        }
        if index == self.log.base_index {
            return Ok(self.log.base_chain);
        }
        let entry = self.entry(index)?;
        let tail = entry.last_chunk::<32>().ok_or(ReadFault::Missing(index))?;
        Ok(Hash(*tail))
    }

    /// The bytes of entry `index`, chain included: without a copy if it was appended lately.
    ///
    /// # Errors
    /// [`ReadFault`].
    pub fn entry(&mut self, index: Index) -> Result<EntryBytes, ReadFault> {
        let at = self.tail.place(index).ok_or(ReadFault::Missing(index))?;
        if let Some(building) = self.building.iter().find(|building| building.ordinal == at.block) {
            let bytes = building.block.get(at.range()).unwrap_or_default();
            return Ok(EntryBytes::copy_of(bytes));
        }
        if let Some(entry) = self.tail.cached(&at) {
            return Ok(entry);
        }
        self.stats.entries_read_from_disk += 1;
        self.tail.read(&mut self.disk, index, &at, self.active.header.name())
    }

    /// Entries `low..high` in order, at least the first, further ones while they fit `max_bytes`.
    ///
    /// # Errors
    /// [`ReadFault`].
    pub fn entries(
        &mut self,
        low: Index,
        high: Index,
        max_bytes: usize,
    ) -> Result<Vec<EntryBytes>, ReadFault> {
        let mut entries = Vec::new();
        let mut bytes = 0_usize;
        for index in (low.0..high.0).map(Index) {
            let len = self.tail.place(index).ok_or(ReadFault::Missing(index))?.range().len();
            bytes = bytes.saturating_add(len);
            if !entries.is_empty() && bytes > max_bytes {
                break;
            }
            entries.push(self.entry(index)?);
        }
        Ok(entries)
    }

    fn push_mark(&mut self, mark: &LocalMark, hard_state: Option<HardState>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        mark.write(&mut scratch);
        self.push(&scratch, hard_state);
        self.scratch = scratch;
    }

    /// Copies a frame into the block that is being gathered; returns that block's ordinal and the offset in it.
    fn push(&mut self, frame: &[u8], hard_state: Option<HardState>) -> (u64, usize) {
        let fits = |building: &Building| building.block.len() + frame.len() <= self.options.block_bytes_max;
        if !self.building.back().is_some_and(fits) {
            let building = self.begin_block(frame.len());
            self.building.push_back(building);
        }
        self.appended = Mark(self.appended.0 + 1);
        let Some(building) = self.building.back_mut() else { unreachable!("pushed above") };
        let offset = building.block.len();
        assert!(building.block.extend(frame), "a block begun for {} bytes", frame.len());
        building.contents.end = self.log;
        building.contents.durable_to = self.log.last_index;
        building.contents.mark = self.appended;
        building.contents.commit = self.commit;
        building.contents.hard_state = hard_state.or(building.contents.hard_state);
        (building.ordinal, offset)
    }

    fn begin_block(&mut self, frame_bytes: usize) -> Building {
        let bytes = BLOCK_HEADER_BYTES + frame_bytes;
        // One that was made with other options may be too small: it is passed over.
        let room = self.options.segment_bytes - segment::BLOCKS_AT;
        assert!(
            bytes <= BLOCK_BYTES_LARGE && (bytes + 2 * BLOCK_ALIGN) as u64 <= room,
            "a frame of {frame_bytes} bytes in segments of {}",
            self.options.segment_bytes
        );
        let mut block = self.tail.take_buffer(bytes.max(self.options.block_bytes_max));
        block::begin(&mut block);
        let end = self.building.back().map_or(self.written, |building| building.contents.end);
        let contents = Contents {
            end,
            durable_to: end.last_index,
            mark: self.appended,
            hard_state: None,
            commit: self.commit,
        };
        Building {
            block,
            ordinal: self.tail.begin_block(),
            entries: 0,
            records: 0,
            first_index: Index(0),
            before: (end.last_index, end.last_term),
            contents,
        }
    }

    fn complete(&mut self, token: u64, result: Result<(), DiskFault>) -> Result<(), JournalFault> {
        if !planted(Mutant::FailedWriteIgnored) {
            result.map_err(JournalFault::Write)?;
        }
        let done = self.in_flight.take();
        let Some(done) = done.filter(|write| write.token == token) else {
            panic!("the disk completed write {token}, which is not in flight");
        };
        match done.what {
            Write::Block(contents) => {
                self.block_durable(done.bytes);
                self.durable = contents.mark;
                self.durable_index = contents.durable_to;
                if let Some(hard_state) = contents.hard_state {
                    self.meta = Meta { sequence: self.meta.sequence + 1, hard_state, ..self.meta };
                    self.meta.store(&mut self.disk).map_err(JournalFault::Meta)?;
                }
            }
            Write::Seal => {
                self.block_durable(done.bytes);
                self.active.sealed = true;
            }
            Write::Header(header) => self.enter_segment(header),
        }
        Ok(())
    }

    fn block_durable(&mut self, bytes: u64) {
        self.durable_block = self.last_block;
        self.hint_due = true;
        self.stats.blocks += 1;
        self.stats.block_bytes += bytes;
    }

    /// Gives the disk the next write, if it has none; returns whether it did.
    fn submit_next(&mut self) -> bool {
        if self.in_flight.is_some() {
            return false;
        }
        let Some(next) = self.building.front() else { return false };
        let extent = next.block.len().next_multiple_of(BLOCK_ALIGN) as u64;
        if self.active.sealed {
            return self.submit_header();
        }
        // The last page is the seal's.
        if self.active.next_offset + extent + BLOCK_ALIGN as u64 > self.active.header.segment_bytes {
            self.submit_seal();
        } else if let Some(building) = self.building.pop_front() {
            self.submit_block(building);
        }
        true
    }

    fn submit_block(&mut self, building: Building) {
        let Building { mut block, entries, records, first_index, before, contents, .. } = building;
        self.stats.frame_bytes += (block.len() - BLOCK_HEADER_BYTES) as u64;
        let place = Place { segment: self.active.header.name(), offset: self.active.next_offset };
        self.written_commit = contents.commit;
        self.close_block(&mut block, entries, first_index, before, &contents.end);
        self.written = contents.end;
        let block = Arc::new(block);
        self.tail.written(place, &block, self.options.tail_bytes);
        let is_awaited = self.awaits_lone_records && records <= 1 && block.len() <= BLOCK_ALIGN;
        self.submit(self.active.file.clone(), place.offset, block, Write::Block(contents), is_awaited);
    }

    /// Fills a block's header and counts it as the last one.
    fn close_block(
        &mut self,
        block: &mut AlignedBuf,
        entries: u32,
        first_index: Index,
        before: (Index, Term),
        end: &LogEnd,
    ) {
        let mut header = BlockHeader {
            entries,
            segno: self.active.header.segno,
            file_off: self.active.next_offset,
            epoch: self.active.header.epoch,
            block_seq: self.last_block + 1,
            durable_block: if planted(Mutant::WatermarkNeverRaised) { 0 } else { self.durable_block },
            first_index,
            last_index: end.last_index,
            last_term: end.last_term,
            prev_last_index: before.0,
            prev_last_term: before.1,
            commit_index: self.written_commit,
            prev_block_crc: self.last_block_crc,
            ..BlockHeader::default()
        };
        block::close(block, &mut header);
        self.last_block = header.block_seq;
        self.last_block_crc = header.crc;
        self.active.next_offset += header.extent() as u64;
    }

    fn submit(&mut self, file: FileRef, offset: u64, bytes: Arc<AlignedBuf>, what: Write, is_awaited: bool) {
        let token = self.last_block;
        self.in_flight = Some(InFlight { token, what, bytes: bytes.len() as u64 });
        self.disk.submit(BlockWrite { token, file, offset, bytes, is_awaited });
    }
}

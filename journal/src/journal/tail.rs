//! Where each entry lies, and the newest blocks in memory, so that Raft and the followers are served without a read.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use protocol::frame::Frame;
use protocol::limits::BLOCK_ALIGN;
use protocol::{Index, Term};

use super::ReadFault;
use crate::AlignedBuf;
use crate::disk::{Disk, ReadFrom};
use crate::segment::{SegmentHeader, SegmentName};
use crate::survey::Place;

/// The bytes of an entry: a part of a block in memory, shared, or a copy.
#[derive(Clone, Debug)]
pub struct EntryBytes {
    block: Arc<AlignedBuf>,
    range: Range<usize>,
}

impl EntryBytes {
    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        Self { block: Arc::new(AlignedBuf::from(bytes)), range: 0..bytes.len() }
    }
}

impl std::ops::Deref for EntryBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.block.get(self.range.clone()).unwrap_or_default()
    }
}

impl AsRef<[u8]> for EntryBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Where an entry lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryPlace {
    pub(super) term: Term,
    /// Counts blocks since the start of this process: unlike `block_seq` it is known before the block is closed.
    pub(super) block: u64,
    offset: u32,
    len: u32,
}

impl EntryPlace {
    pub(super) fn range(&self) -> Range<usize> {
        self.offset as usize..self.offset as usize + self.len as usize
    }
}

/// Places of the log's entries from `first` on.
#[derive(Debug)]
pub(super) struct Tail {
    first: Index,
    entries: VecDeque<EntryPlace>,
    /// Ordinal of `blocks[0]`.
    first_block: u64,
    next_block: u64,
    blocks: VecDeque<Place>,
    segments: VecDeque<SegmentHeader>,
    /// The newest blocks, the last of `blocks`.
    cached: VecDeque<Arc<AlignedBuf>>,
    cached_bytes: usize,
    /// Buffers to be used again.
    free: VecDeque<AlignedBuf>,
}

/// Buffers kept for the next blocks: one gathers while another is written.
const FREE_BUFFERS_MAX: usize = 4;

impl Tail {
    /// No entries; the first to come is `first`.
    pub(super) fn new(first: Index) -> Self {
        Self {
            first,
            entries: VecDeque::new(),
            first_block: 0,
            next_block: 0,
            blocks: VecDeque::new(),
            segments: VecDeque::new(),
            cached: VecDeque::new(),
            cached_bytes: 0,
            free: VecDeque::new(),
        }
    }

    pub(super) fn enter_segment(&mut self, header: SegmentHeader) {
        self.segments.push_back(header);
    }

    /// The ordinal of a block that is begun.
    pub(super) fn begin_block(&mut self) -> u64 {
        self.next_block += 1;
        self.next_block - 1
    }

    /// A block that was found on disk.
    pub(super) fn found_block(&mut self, place: Place) {
        self.next_block += 1;
        self.blocks.push_back(place);
    }

    /// An entry in the block found last.
    pub(super) fn found_entry(&mut self, frame: &Frame<'_>, place: Place) {
        let at = self.blocks.back().map_or(0, |block| place.offset.saturating_sub(block.offset));
        self.push(frame.header.term, self.next_block.saturating_sub(1), at as usize, frame.bytes.len());
    }

    pub(super) fn push(&mut self, term: Term, block: u64, offset: usize, len: usize) {
        // A block is at most 1 MiB.
        self.entries.push_back(EntryPlace { term, block, offset: offset as u32, len: len as u32 });
    }

    /// The next block, in order, goes to `place`.
    pub(super) fn written(&mut self, place: Place, block: &Arc<AlignedBuf>, bytes_max: usize) {
        self.blocks.push_back(place);
        self.cached_bytes += block.capacity();
        self.cached.push_back(Arc::clone(block));
        while self.cached_bytes > bytes_max && self.cached.len() > 1 {
            let Some(oldest) = self.cached.pop_front() else { break };
            self.cached_bytes -= oldest.capacity();
            // One that a reader still holds is left to it.
            if let Ok(oldest) = Arc::try_unwrap(oldest) {
                self.keep_buffer(oldest);
            }
        }
    }

    fn keep_buffer(&mut self, buffer: AlignedBuf) {
        if self.free.len() == FREE_BUFFERS_MAX {
            self.free.pop_front();
        }
        self.free.push_back(buffer);
    }

    /// A buffer for so many bytes: a small block does not take the room of a large one.
    pub(super) fn take_buffer(&mut self, bytes: usize) -> AlignedBuf {
        let fits = self.free.iter().position(|free| (bytes..=2 * bytes).contains(&free.capacity()));
        let kept = fits.and_then(|at| self.free.remove(at));
        kept.unwrap_or_else(|| AlignedBuf::with_capacity(bytes))
    }

    /// Bytes of the blocks from the one of entry `index` on; a segment's last one counts as the smallest.
    pub(super) fn block_bytes_from(&self, index: Index) -> u64 {
        let Some(at) = self.place(index) else { return 0 };
        let slot = at.block.saturating_sub(self.first_block) as usize;
        let from = self.blocks.range(slot.min(self.blocks.len())..);
        let lengths = from.clone().zip(from.skip(1)).map(|(block, next)| {
            let is_last = next.segment != block.segment;
            if is_last { BLOCK_ALIGN as u64 } else { next.offset.saturating_sub(block.offset) }
        });
        lengths.sum::<u64>() + BLOCK_ALIGN as u64
    }

    /// Forgets entries above `last`.
    pub(super) fn truncate(&mut self, last: Index) {
        if last.next() < self.first {
            // The log now begins earlier than what was kept of it.
            self.first = last.next();
            self.entries.clear();
        }
        self.entries.truncate((last.next().0 - self.first.0) as usize);
    }

    pub(super) fn place(&self, index: Index) -> Option<EntryPlace> {
        let at = index.0.checked_sub(self.first.0)?;
        self.entries.get(at as usize).copied()
    }

    pub(super) fn term(&self, index: Index) -> Option<Term> {
        self.place(index).map(|place| place.term)
    }

    /// The entry at `at`, if its block is in memory.
    pub(super) fn cached(&self, at: &EntryPlace) -> Option<EntryBytes> {
        let from_end = (self.first_block + self.blocks.len() as u64).checked_sub(at.block)? as usize;
        let block = self.cached.len().checked_sub(from_end).and_then(|slot| self.cached.get(slot))?;
        Some(EntryBytes { block: Arc::clone(block), range: at.range() })
    }

    /// Reads the entry at `at` from the disk.
    pub(super) fn read<D: Disk>(
        &self,
        disk: &mut D,
        index: Index,
        at: &EntryPlace,
        active: SegmentName,
    ) -> Result<EntryBytes, ReadFault> {
        let slot = at.block.checked_sub(self.first_block).ok_or(ReadFault::Missing(index))?;
        let block = *self.blocks.get(slot as usize).ok_or(ReadFault::Missing(index))?;
        let place = Place { offset: block.offset + at.range().start as u64, ..block };
        let source = if block.segment == active { ReadFrom::Cache } else { ReadFrom::Sealed };
        let mut bytes = AlignedBuf::zeroed(at.range().len());
        let read = disk.read(&place.segment.file(), place.offset, &mut bytes, source)?;
        let whole = bytes.get(..read).and_then(|bytes| Frame::read(bytes).ok());
        if whole.is_none_or(|frame| frame.header.index != index || frame.header.term != at.term) {
            return Err(ReadFault::Damaged { index, place });
        }
        let len = bytes.len();
        Ok(EntryBytes { block: Arc::new(bytes), range: 0..len })
    }

    /// Segments before `active` that hold nothing above `index`, each with the header of the one behind it.
    pub(super) fn segments_below(
        &self,
        index: Index,
        active: SegmentName,
    ) -> Vec<(SegmentName, SegmentHeader)> {
        let followers = self.segments.iter().skip(1);
        self.segments
            .iter()
            .zip(followers)
            .take_while(|(segment, next)| segment.name() != active && next.first_index <= index.next())
            .map(|(segment, next)| (segment.name(), *next))
            .collect()
    }

    /// Forgets where entries before `first` lie.
    pub(super) fn forget_before(&mut self, first: Index) {
        let gone = first.0.saturating_sub(self.first.0) as usize;
        self.entries.drain(..gone.min(self.entries.len()));
        self.first = self.first.max(first);
        let behind = self.first_block + self.blocks.len() as u64;
        let oldest = self.entries.front().map_or(behind, |entry| entry.block);
        while self.first_block < oldest && self.blocks.pop_front().is_some() {
            self.first_block += 1;
        }
        // A start that walked the whole journal must not hold its memory for ever.
        if self.entries.capacity() / 4 > self.entries.len() {
            self.entries.shrink_to(2 * self.entries.len());
            self.blocks.shrink_to(2 * self.blocks.len());
        }
    }

    /// Forgets what lies before `segment`.
    pub(super) fn drop_to(&mut self, segment: SegmentName) {
        while self.segments.front().is_some_and(|header| header.name() != segment) {
            self.segments.pop_front();
        }
        let Some(header) = self.segments.front() else { return };
        self.forget_before(header.first_index);
    }
}

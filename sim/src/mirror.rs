//! The log of one replica as its disk has said that it is durable, read from the writes themselves: what a replica may
//! not be without after any crash.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use journal::AlignedBuf;
use journal::block::BlockHeader;
use journal::marks::LocalMark;
use journal::segment::{SegmentHeader, SegmentName};
use journal::snapshot_file;
use journal::survey::{Findings, Survey, Visit};
use journal::{BlockWrite, Dir, FileRef, meta};
use protocol::frame::Frame;
use protocol::hash::Hash;
use protocol::limits::BLOCK_HEADER_BYTES;
use protocol::{Index, Term};

use crate::checkers::{Violation, ensure};
use crate::disk::SimDisk;
use crate::disk::truth::Durable;

const NAME: &str = "log";

/// An entry of the log, in the block that it was written with.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its term.
    pub term: Term,
    /// Its place in the hash chain.
    pub chain: Hash,
    /// The number of its block.
    pub block_seq: u64,
    block: Arc<AlignedBuf>,
    range: Range<usize>,
}

impl Entry {
    /// Its frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.block.get(self.range.clone()).unwrap_or_default()
    }
}

/// Where a log begins: behind this entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Its place.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// Its place in the hash chain.
    pub chain: Hash,
    /// The segment that goes on behind it; what stands in earlier ones is no part of the log.
    segno: u64,
}

/// The log of one replica.
#[derive(Debug, Default)]
pub struct Mirror {
    /// The last block behind each write that was taken.
    blocks: Vec<u64>,
    beginning: Beginning,
    entries: BTreeMap<Index, Entry>,
    /// The newest segment that goes on behind damage.
    repaired_by: u64,
    /// Truncations that were taken.
    truncations: u64,
}

impl Mirror {
    /// Takes what has become durable since the last call.
    ///
    /// # Errors
    /// [`Violation`] if it is not a block or voids an entry up to `committed`.
    pub fn take(&mut self, disk: &SimDisk, committed: Index) -> Result<(), Violation> {
        self.take_before(disk, u64::MAX, committed)
    }

    /// [`Self::take`], up to the first write to segment `segno` or a later one.
    fn take_before(&mut self, disk: &SimDisk, segno: u64, committed: Index) -> Result<(), Violation> {
        let is_before = |durable: &Durable| {
            SegmentName::parse(&durable.write.file.name).is_none_or(|name| name.segno < segno)
        };
        let writes = disk.durable_writes(self.blocks.len());
        for Durable { write, begun_behind, .. } in writes.into_iter().take_while(is_before) {
            let mut block = self.blocks.last().copied().unwrap_or(0);
            // At the front of a segment stands its header.
            if write.offset > 0 {
                let before = begun_behind.checked_sub(1).and_then(|at| self.blocks.get(at)).copied();
                block = self.take_block(&write, before.unwrap_or(0), committed)?;
            }
            self.blocks.push(block);
        }
        Ok(())
    }

    /// Looks whether the log on `disk` begins anew behind a snapshot, and forgets what was before; returns whether it does so
    /// since the last call.
    pub fn begin_anew(&mut self, disk: &SimDisk) -> bool {
        let Some(beginning) = newest_beginning(disk).filter(|found| *found != self.beginning) else {
            return false;
        };
        self.beginning = beginning;
        self.entries.clear();
        true
    }

    /// Looks whether the log on `disk` goes on behind damage, takes what became durable in front of that, and forgets what is given up there.
    /// To be looked at before the blocks of a repair are taken. Returns whether it does so since the last call.
    ///
    /// A header counts once it is durable. One whose sync failed is in the page cache alone: the next process does not find it on the
    /// device, and may begin the repair in the same segment behind an earlier entry, if more was lost meanwhile.
    ///
    /// # Errors
    /// [`Violation`] as of [`Self::take`].
    pub fn go_on_behind_damage(&mut self, disk: &SimDisk) -> Result<bool, Violation> {
        let before = self.repaired_by;
        // One that is to begin the log anew counts no earlier than its snapshot.
        let counts = |header: &SegmentHeader| !header.begins_anew || goes_on_from_snapshot(disk, header);
        let is_newer = |header: &SegmentHeader| header.segno > before && header.repairs.is_some();
        let repairs = headers(disk, SimDisk::peek_durable).filter(is_newer).filter(counts);
        for SegmentHeader { segno, first_index, repairs, .. } in repairs.collect::<Vec<_>>() {
            self.take_before(disk, segno, Index(0))?;
            self.repaired_by = segno;
            self.entries.split_off(&first_index);
            // Numbers go on above every one that anything tells of, as if those had been durable.
            self.blocks.fill(repairs.map_or(0, |repairs| repairs.given_up_to));
        }
        Ok(self.repaired_by != before)
    }

    /// Takes a block that was begun when the block `durable` was the newest durable one.
    fn take_block(&mut self, write: &BlockWrite, durable: u64, committed: Index) -> Result<u64, Violation> {
        let fault = |what: String| Violation { invariant: NAME, what };
        let header = BlockHeader::read(&write.bytes).map_err(|found| fault(format!("{found:?}")))?;
        ensure(header.durable_block == durable, NAME, || {
            format!(
                "block {} says that {} was durable when it was begun, and {durable} was",
                header.block_seq, header.durable_block
            )
        })?;
        let mut at = BLOCK_HEADER_BYTES;
        while at < header.len as usize {
            let rest = write.bytes.get(at..header.len as usize).unwrap_or_default();
            let frame = Frame::read(rest).map_err(|found| fault(format!("{found:?}")))?;
            let range = at..at + frame.bytes.len();
            at = range.end;
            if header.segno < self.beginning.segno {
                continue;
            }
            let index = frame.header.index;
            if let Some(LocalMark::Truncate { from, .. }) = LocalMark::read(&frame) {
                ensure(from > committed, NAME, || format!("{from} truncated, {committed} is committed"))?;
                self.truncations += 1;
                self.entries.split_off(&from);
            } else if frame.header.kind.is_entry() {
                let next = self.last_index().next();
                ensure(index == next, NAME, || format!("entry {index} written where {next} comes next"))?;
                let block = write.bytes.clone();
                let (term, block_seq) = (frame.header.term, header.block_seq);
                let entry = Entry { term, chain: frame.chain, block_seq, block, range };
                self.entries.insert(index, entry);
            }
        }
        Ok(header.block_seq)
    }

    /// Whether nothing was ever durable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Its last entry.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.entries.last_key_value().map_or(self.beginning.index, |(index, _)| *index)
    }

    /// Where it begins.
    #[must_use]
    pub fn beginning(&self) -> Beginning {
        self.beginning
    }

    /// Term and chain of every entry.
    #[must_use]
    pub fn chains(&self) -> BTreeMap<Index, (Term, Hash)> {
        self.entries.iter().map(|(index, entry)| (*index, (entry.term, entry.chain))).collect()
    }

    /// One entry.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.entries.get(&index)
    }

    /// Truncations so far.
    #[must_use]
    pub fn truncations(&self) -> u64 {
        self.truncations
    }

    /// Reads the disk as a stranger would, and holds it against the writes.
    ///
    /// # Errors
    /// [`Violation`] if the files hold another log.
    pub fn agrees_with(&self, disk: &SimDisk) -> Result<Findings, Violation> {
        let mut chains = BTreeMap::new();
        let findings = survey(disk, &mut |frame| {
            if let Some(LocalMark::Truncate { from, .. }) = LocalMark::read(frame) {
                chains.split_off(&from);
            } else if frame.header.kind.is_entry() {
                chains.insert(frame.header.index, frame.chain);
            }
        });
        let differs = self.entries.iter().find(|(index, entry)| chains.get(*index) != Some(&entry.chain));
        ensure(differs.is_none() && chains.len() == self.entries.len(), NAME, || {
            format!(
                "files hold {} entries, {} were made durable; the first that differs: {:?}",
                chains.len(),
                self.entries.len(),
                differs.map(|(index, _)| index)
            )
        })?;
        Ok(findings)
    }
}

/// Walks what is on `disk`, shows each linked frame to `visit`, and judges it.
fn survey(disk: &SimDisk, visit: &mut dyn FnMut(&Frame<'_>)) -> Findings {
    let mut survey = Survey::new();
    for name in segments(disk) {
        let bytes = disk.peek(&name.file()).unwrap_or_default();
        survey.segment(name, &bytes, &mut |found| {
            if let Visit::Frame { frame, unlinked: false, .. } = found {
                visit(&frame);
            }
        });
    }
    let hint = disk.peek(&meta::file()).map_or(0, |bytes| meta::MetaView::read(&bytes).durable_hint);
    survey.finish(hint)
}

/// The newest snapshot that the journal on `disk` says a majority has agreed with.
pub fn newest_mark(disk: &SimDisk) -> Index {
    survey(disk, &mut |_| {}).marked
}

/// Behind which entry the newest segment that begins anew does so, if the snapshot that it goes on from has its name.
fn newest_beginning(disk: &SimDisk) -> Option<Beginning> {
    let header = headers(disk, SimDisk::peek_durable).rev().find(|header| header.begins_anew)?;
    let SegmentHeader { segno, first_index, prev_term: term, prev_chain: chain, .. } = header;
    let index = Index(first_index.0 - 1);
    goes_on_from_snapshot(disk, &header).then_some(Beginning { index, term, chain, segno })
}

/// Whether the snapshot in front of a segment that begins anew has its name.
fn goes_on_from_snapshot(disk: &SimDisk, header: &SegmentHeader) -> bool {
    let snapshot = snapshot_file::file(header.epoch, Index(header.first_index.0 - 1));
    disk.peek_names(Dir::Snapshots).iter().any(|name| **name == *snapshot.name)
}

/// Segments in which the log was to begin anew, behind snapshots that have no name.
pub fn undone_beginnings(disk: &SimDisk) -> Vec<SegmentName> {
    let is_undone = |header: &SegmentHeader| header.begins_anew && !goes_on_from_snapshot(disk, header);
    headers(disk, SimDisk::peek).filter(is_undone).map(|header| header.name()).collect()
}

/// Whole headers of segments on `disk`, in order, in the bytes that `peek` shows.
fn headers(
    disk: &SimDisk,
    peek: fn(&SimDisk, &FileRef) -> Option<Vec<u8>>,
) -> impl DoubleEndedIterator<Item = SegmentHeader> {
    segments(disk).into_iter().filter_map(move |name| {
        let bytes = peek(disk, &name.file()).unwrap_or_default();
        SegmentHeader::read_either(name, &bytes)
    })
}

/// Segments on `disk`, in order.
#[must_use]
pub fn segments(disk: &SimDisk) -> Vec<SegmentName> {
    let mut names: Vec<_> =
        disk.peek_names(Dir::Journal).iter().filter_map(|name| SegmentName::parse(name)).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    use journal::disk::DiskOperation;
    use journal::segment::{BLOCKS_AT, Repairs};
    use journal::{Disk, block};
    use protocol::frame::{self, FrameHeader, FrameKind};
    use protocol::limits::BLOCK_ALIGN;
    use protocol::{ClusterEpoch, ClusterId, MonoNanos, NodeId, Seq, UnixNanos};

    use crate::disk::{Crash, EIO, Failure, Latency};
    use crate::rng::Rng;
    use crate::trace::Trace;

    const EPOCH: ClusterEpoch = ClusterEpoch(1);

    fn file(segno: u64) -> FileRef {
        SegmentName { epoch: EPOCH, segno }.file()
    }

    /// A disk with two empty segments.
    fn disk(seed: u64) -> SimDisk {
        let latency = Latency { min_us: 1, max_us: 1, stall_ppm: 0, stall_us: 0 };
        let mut disk = SimDisk::new(Rng::new(seed), latency, 1 << 20, Trace::default());
        for segno in [1, 2] {
            disk.write_at(&file(segno), 0, &[0xa5; BLOCKS_AT as usize + 8 * BLOCK_ALIGN]).unwrap();
            disk.sync(&file(segno)).unwrap();
        }
        disk.sync_dir(Dir::Journal).unwrap();
        disk
    }

    /// Makes block `block_seq` with entry `index` alone durable, begun when `durable_block` was.
    fn write_entry(
        disk: &mut SimDisk,
        (segno, at): (u64, u64),
        index: u64,
        block_seq: u64,
        durable_block: u64,
    ) {
        let mut entry = Vec::new();
        frame::begin(&mut entry);
        let header = FrameHeader {
            kind: FrameKind::Noop,
            index: Index(index),
            term: Term(1),
            time: UnixNanos(0),
            first_seq: Seq(1),
            count: 0,
            engine_version: 0,
            applied_seq: Seq(0),
            effect_hash: Hash::ZERO,
        };
        frame::finish(&mut entry, &header);
        let mut bytes = AlignedBuf::with_capacity(BLOCK_ALIGN);
        block::begin(&mut bytes);
        assert!(bytes.extend(&entry));
        let offset = BLOCKS_AT + at * BLOCK_ALIGN as u64;
        let mut header = BlockHeader {
            segno,
            file_off: offset,
            epoch: EPOCH,
            block_seq,
            durable_block,
            ..BlockHeader::default()
        };
        block::close(&mut bytes, &mut header);
        let bytes = Arc::new(bytes);
        disk.submit(BlockWrite { token: block_seq, file: file(segno), offset, bytes, is_awaited: false });
        disk.set_now(disk.next_due().unwrap_or(MonoNanos(0)));
        assert!(disk.poll().is_some_and(|done| done.result.is_ok()));
    }

    /// Begins a repair in the second segment, behind the entry before `first`; says whether the header was synced.
    fn begin_repair(disk: &mut SimDisk, first: u64) -> bool {
        let header = SegmentHeader {
            cluster: ClusterId(1),
            epoch: EPOCH,
            node: NodeId(1),
            segno: 2,
            first_index: Index(first),
            prev_term: Term(1),
            prev_chain: Hash::ZERO,
            nonce: 1,
            segment_bytes: 1,
            created: UnixNanos(0),
            prev_block: first - 1,
            prev_block_crc: 0,
            begins_anew: false,
            repairs: Some(Repairs {
                behind_segno: 1,
                given_up_to: 3,
                reach_index: Index(3),
                reach_term: Term(1),
            }),
        };
        disk.write_at(&file(2), 0, &header.pages()).unwrap();
        disk.sync(&file(2)).is_ok()
    }

    /// A log of three entries, and a repair of the third whose header could not be synced. `None` if it became durable all the same.
    fn with_failed_repair(seed: u64) -> Option<(SimDisk, Mirror)> {
        let (mut disk, mut mirror) = (disk(seed), Mirror::default());
        for entry in 1..=3 {
            write_entry(&mut disk, (1, entry), entry, entry, entry - 1);
        }
        mirror.take(&disk, Index(0)).unwrap();
        let (dir, operation) = (Dir::Journal, DiskOperation::Sync);
        disk.fail_next(Some(Failure { dir, operation, cause: EIO, behind: 0 }));
        assert!(!begin_repair(&mut disk, 3));
        disk.crash(Crash::Process);
        let is_cached = headers(&disk, SimDisk::peek).any(|header| header.segno == 2);
        assert!(is_cached, "seed {seed}: the page cache shows what the device lacks");
        let counts = mirror.go_on_behind_damage(&disk).unwrap();
        assert_eq!(mirror.last_index(), Index(if counts { 2 } else { 3 }));
        if !counts {
            return Some((disk, mirror));
        }
        disk.crash(Crash::Power);
        assert!(headers(&disk, SimDisk::peek).any(|header| header.segno == 2), "seed {seed}");
        None
    }

    const SEEDS: u64 = 40;

    #[test]
    fn a_repair_whose_header_was_lost_is_begun_again_in_the_same_segment() {
        let mut begun_again = 0;
        for (mut disk, mut mirror) in (0..SEEDS).filter_map(with_failed_repair) {
            // Meanwhile entry 2 was damaged too.
            assert!(begin_repair(&mut disk, 2));
            assert!(mirror.go_on_behind_damage(&disk).unwrap());
            write_entry(&mut disk, (2, 0), 2, 4, 3);
            write_entry(&mut disk, (2, 1), 3, 5, 4);
            mirror.take(&disk, Index(0)).unwrap();
            assert_eq!(mirror.last_index(), Index(3));
            begun_again += 1;
        }
        assert!(begun_again > 0);
    }

    #[test]
    fn entries_written_again_behind_a_header_that_is_not_durable_are_found() {
        let mut found = 0;
        for (mut disk, mut mirror) in (0..SEEDS).filter_map(with_failed_repair) {
            write_entry(&mut disk, (2, 0), 3, 4, 3);
            let violation = mirror.take(&disk, Index(0)).unwrap_err();
            assert_eq!(violation.what, "entry 3 written where 4 comes next");
            // With power lost, those blocks would have nothing in front of them.
            disk.crash(Crash::Power);
            assert!(headers(&disk, SimDisk::peek).all(|header| header.segno != 2));
            found += 1;
        }
        assert!(found > 0);
    }
}

//! The log begins anew behind a snapshot that came from a peer, because the entries in between are not to be had.
//!
//! The steps, and what a start makes of a crash behind each:
//!
//! 1. The snapshot is whole under an unfinished name, synced. *Removed; the log is as it was.*
//! 2. The next segment's header is written and synced, marked as one that begins anew behind the snapshot. *No snapshot
//!    is there that it goes on from, and it holds no block: it is a spare again; the log is as it was.*
//! 3. The snapshot gets its name, the folder is synced: from here on the snapshot counts, and nothing was sent yet that
//!    relies on it. *After a loss of power in between the name is there or it is not: as behind this step or the one before.*
//! 4. The segments before are set aside, oldest first, the folder is synced. *The header goes on from a snapshot that is
//!    there: those that are left are set aside too.*
//! 5. Blocks follow.
//!
//! A damaged log begins anew by the same steps, once what it lacks is in a snapshot alone ([`super::Damaged::begin_anew`]). The header then
//! says as well how far the log has to come before it is whole.
//!
//! A segment that begins anew is therefore the first one as soon as it holds a block. What was set aside is never read
//! again by a node, nor removed; auditors read it ([`crate::reader::Reader::set_aside`]).

use protocol::{Index, Seq};

use super::adjudicate::unused;
use super::open::refill;
use super::tail::Tail;
use super::{ActiveSegment, Journal, JournalFault};
use crate::AlignedBuf;
use crate::disk::{Dir, Disk, DiskFault, FileRef, ReadFrom};
use crate::meta::Meta;
use crate::segment::{self, BLOCKS_AT, SegmentHeader, SegmentName, is_prefill};
use crate::snapshot_file::{self, SnapshotFault, SnapshotHeader};
use crate::survey::LogEnd;

/// How names of segments end that were set aside.
pub(crate) const ASIDE_SUFFIX: &str = ".aside";

impl<D: Disk> Journal<D> {
    /// Whether the log can begin anew: nothing is being written, and a segment is ready.
    #[must_use]
    pub fn can_begin_anew(&self) -> bool {
        self.in_flight.is_none() && self.building.is_empty() && !self.spares.ready.is_empty()
    }

    /// Gives the snapshot with this header its name, and begins the log anew behind it. `beside` is the handle through which
    /// the snapshot was written under its unfinished name, and synced. Blocks for some syncs.
    ///
    /// # Errors
    /// [`JournalFault`]: abort; the next start ends in the one state or the other.
    ///
    /// # Panics
    /// If not [`Self::can_begin_anew`], or the log has entries up to there that are committed.
    pub fn begin_anew(&mut self, beside: &mut D, behind: &SnapshotHeader) -> Result<(), JournalFault> {
        assert!(
            self.can_begin_anew() && behind.index > self.commit,
            "an idle journal that lacks entry {}",
            behind.index
        );
        let Some(spare) = self.spares.ready.pop_front() else { unreachable!("asked above") };
        let header = SegmentHeader {
            cluster: self.meta.identity.cluster,
            epoch: spare.name.epoch,
            node: self.meta.identity.node,
            segno: spare.name.segno,
            first_index: behind.index.next(),
            prev_term: behind.term,
            prev_chain: behind.chain,
            nonce: spare.nonce,
            segment_bytes: spare.bytes,
            created: behind.last_time,
            prev_block: self.last_block,
            prev_block_crc: self.last_block_crc,
            begins_anew: true,
            repairs: None,
        };
        let stored = write_header(&mut self.disk, &header)
            .and_then(|()| snapshot_file::give_name(beside, behind))
            .and_then(|()| set_all_aside_before(&mut self.disk, header.name()));
        stored.map_err(JournalFault::Write)?;
        self.go_on_anew(header, behind);
        Ok(())
    }

    /// The log is nothing but what follows the snapshot.
    pub(super) fn go_on_anew(&mut self, header: SegmentHeader, behind: &SnapshotHeader) {
        self.forget_all_before(header, behind.next_seq);
        (self.newest_snapshot, self.marked) = (behind.index, behind.index);
        self.newest_time = self.newest_time.max(behind.last_time);
    }

    fn forget_all_before(&mut self, header: SegmentHeader, next_seq: Seq) {
        let base = Index(header.first_index.0 - 1);
        let log = LogEnd {
            base_index: base,
            base_term: header.prev_term,
            base_chain: header.prev_chain,
            last_index: base,
            last_term: header.prev_term,
            chain: header.prev_chain,
            next_seq: Some(next_seq),
        };
        (self.log, self.written) = (log, log);
        self.tail = Tail::new(header.first_index);
        self.tail.enter_segment(header);
        self.active =
            ActiveSegment { file: header.name().file(), header, next_offset: BLOCKS_AT, sealed: false };
        self.stats.segments += 1;
        (self.commit, self.written_commit, self.durable_index) = (base, base, base);
    }
}

/// Makes the header of a segment durable, in both copies.
pub(super) fn write_header<D: Disk>(disk: &mut D, header: &SegmentHeader) -> Result<(), DiskFault> {
    let segment = header.name().file();
    disk.write_at(&segment, 0, &header.pages())?;
    disk.sync(&segment)
}

/// Renames all segments before `first`.
pub(super) fn set_all_aside_before<D: Disk>(disk: &mut D, first: SegmentName) -> Result<(), DiskFault> {
    let names = super::open::segment_names(disk)?;
    set_aside_before(disk, &names, first)
}

/// Renames those of `names` before `first`.
fn set_aside_before<D: Disk>(
    disk: &mut D,
    names: &[SegmentName],
    first: SegmentName,
) -> Result<(), DiskFault> {
    for name in names.iter().filter(|name| **name < first) {
        let aside = unused(disk, Dir::Journal, &name.to_string(), ASIDE_SUFFIX)?;
        disk.rename(&name.file(), &aside)?;
    }
    disk.sync_dir(Dir::Journal)
}

/// Ends what a crash has left of [`Journal::begin_anew`]; returns the segments that make up the log. Entries from `from` on
/// are wanted: a snapshot holds those before.
pub(super) fn settle_beginning<D: Disk>(
    disk: &mut D,
    meta: &Meta,
    mut names: Vec<SegmentName>,
    from: Index,
) -> Result<Vec<SegmentName>, DiskFault> {
    let Some((at, begun)) = newest_beginning(disk, &names, from)? else { return Ok(names) };
    if at == 0 {
        return Ok(names);
    }
    let before = Index(begun.first_index.0.saturating_sub(1));
    let snapshot = snapshot_file::kept(disk, &meta.identity)?.into_iter().find(|kept| kept.index == before);
    if let Some(snapshot) = snapshot {
        let is_its_own = match snapshot_file::peek(disk, &snapshot.file) {
            Ok((header, _)) => (header.term, header.chain) == (begun.prev_term, begun.prev_chain),
            Err(SnapshotFault::Disk(fault)) => return Err(fault),
            // Damaged: who chooses among the snapshots reports it.
            Err(_) => false,
        };
        // Otherwise it counted once: nothing is undone, and the walk names what does not fit.
        if is_its_own {
            // A process that was killed between the name and its sync has left it in the cache alone: without this, power lost
            // behind what follows would take the snapshot, and nothing would be left of the log.
            disk.sync_dir(Dir::Snapshots)?;
            set_aside_before(disk, &names, begun.name())?;
            names.drain(..at);
        }
    } else if is_empty(disk, &begun)? {
        refill(disk, begun.name(), 0, begun.nonce)?;
    }
    // With a block and without its snapshot it is damage, which the walk meets and names.
    Ok(names)
}

/// The newest segment that begins anew, by its place. Spares and damaged headers are passed over. The first from
/// the end that holds entry `from` ends the search: what begins anew begins behind the newest snapshot.
fn newest_beginning<D: Disk>(
    disk: &mut D,
    names: &[SegmentName],
    from: Index,
) -> Result<Option<(usize, SegmentHeader)>, DiskFault> {
    let mut pages = AlignedBuf::zeroed(BLOCKS_AT as usize);
    for (at, name) in names.iter().enumerate().rev() {
        let read = disk.read(&name.file(), 0, &mut pages, ReadFrom::Device)?;
        let Some(header) = SegmentHeader::read_either(*name, pages.get(..read).unwrap_or_default()) else {
            continue;
        };
        if header.begins_anew {
            return Ok(Some((at, header)));
        }
        if header.first_index <= from {
            break;
        }
    }
    Ok(None)
}

fn is_empty<D: Disk>(disk: &mut D, header: &SegmentHeader) -> Result<bool, DiskFault> {
    let file: FileRef = header.name().file();
    let mut step = AlignedBuf::zeroed(segment::PREFILL_STEP_BYTES);
    let mut at = BLOCKS_AT;
    loop {
        let read = disk.read(&file, at, &mut step, ReadFrom::Device)?;
        if !is_prefill(step.get(..read).unwrap_or_default(), header.nonce) {
            return Ok(false);
        }
        if read < step.len() {
            return Ok(true);
        }
        at += read as u64;
    }
}

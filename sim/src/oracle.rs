//! What may become of a start, given what really happened to the disk: serve everything that was acknowledged, or refuse
//! and say why. Never a log that is shorter than what was acknowledged, with one declared exception: a device that lied
//! about its newest writes, lost them with the power, and left nothing that tells of them.
//!
//! The oracle shares no judgement with the journal: it knows which writes were durable because it saw them end, and what
//! could have told of them because it looks for block headers itself.

use journal::block::BlockHeader;
use journal::segment::{BLOCKS_AT, SegmentHeader};
use journal::{BlockWrite, Dir, FileRef, Refusal, meta};
use protocol::Index;
use protocol::limits::BLOCK_ALIGN;
use replicas::StartFault;

use crate::checkers::{Violation, ensure};
use crate::disk::SimDisk;
use crate::mirror::{Mirror, segments, undone_beginnings};

const NAME: &str = "serve_or_refuse";

/// The disk in front of a start.
#[derive(Debug)]
pub struct Before {
    /// Numbers of durable blocks that are not there any more.
    damaged: Vec<u64>,
    /// The newest block that something on the disk says was durable.
    evidence: u64,
    lied: bool,
    /// What a refusal may not change, where one is to be expected.
    files: Vec<(FileRef, Vec<u8>)>,
    /// Decayed files that may keep it from starting.
    rotten: bool,
    /// Decayed snapshots, without which a log that begins behind one cannot be used.
    rotten_snapshots: bool,
}

/// What a start that succeeded means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Everything is there.
    Whole,
    /// A lying device has lost its newest writes, and nothing tells of them.
    LostByLie,
}

impl Before {
    /// Looks at the disk.
    #[must_use]
    pub fn look(disk: &SimDisk) -> Self {
        let mut damaged: Vec<u64> = disk.damaged_writes().iter().map(block_of).collect();
        damaged.sort_unstable();
        let rotten = disk.has_rotten(Dir::Journal) || disk.has_rotten(Dir::Root);
        let expects_refusal = !damaged.is_empty() || rotten;
        Self {
            damaged,
            evidence: if expects_refusal { evidence(disk) } else { 0 },
            lied: disk.has_lied(),
            files: if expects_refusal { files(disk) } else { Vec::new() },
            rotten,
            rotten_snapshots: disk.has_rotten(Dir::Snapshots),
        }
    }

    /// The process is up with a log that ends at `last`; what was durable is in `mirror`. Damage to blocks that a start
    /// does not read, because a snapshot stands in for them, does not matter to it.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn opened(&self, last: Index, mirror: &Mirror) -> Result<Opened, Violation> {
        let durable = mirror.last_index();
        let last_block = mirror.entry(last).map_or(0, |entry| entry.block_seq);
        let lost = self.damaged.iter().copied().find(|block| *block > last_block);
        let untold = lost.is_some_and(|lost| self.evidence < lost);
        if last == durable {
            // Marks of the replica's own may have been in it, and no entry.
            return Ok(if self.lied && untold { Opened::LostByLie } else { Opened::Whole });
        }
        ensure(self.lied && untold && last < durable, NAME, || {
            format!(
                "the log ends at {last}, durable was {durable}; the first lost block is {lost:?}, and block {} is known to have been durable",
                self.evidence
            )
        })?;
        Ok(Opened::LostByLie)
    }

    /// The process did not start, and said why. Returns whether bringing decayed bytes back must help.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn refused(&self, disk: &SimDisk, fault: &StartFault) -> Result<bool, Violation> {
        let lacks_snapshot = self.rotten_snapshots && matches!(fault, StartFault::NoSnapshot { .. });
        let has_cause = !self.damaged.is_empty() || self.rotten || lacks_snapshot || self.lied;
        ensure(has_cause, NAME, || format!("the process does not start: {fault}"))?;
        if matches!(fault, StartFault::Refused(Refusal::Repair(_) | Refusal::Suspect(_))) {
            for (file, bytes) in &self.files {
                let same = disk.peek(file).is_some_and(|now| now == *bytes);
                ensure(same, NAME, || format!("{file} was changed by a start that was refused: {fault}"))?;
            }
        }
        Ok(self.rotten || lacks_snapshot || !self.lied)
    }
}

/// Segments, but one in which the log was to begin anew behind a snapshot that has no name: that one is made a spare again.
fn files(disk: &SimDisk) -> Vec<(FileRef, Vec<u8>)> {
    let undone: Vec<_> = undone_beginnings(disk);
    let files = segments(disk).into_iter().filter(|name| !undone.contains(name)).map(|name| name.file());
    files.filter_map(|file| disk.peek(&file).map(|bytes| (file, bytes))).collect()
}

/// The block of a write; of a segment's header the one that it names, which is why the next one is in question.
fn block_of(write: &BlockWrite) -> u64 {
    if write.offset == 0 {
        return SegmentHeader::read(&write.bytes).map_or(0, |header| header.prev_block + 1);
    }
    BlockHeader::read(&write.bytes).map_or(0, |header| header.block_seq)
}

/// The newest block that was durable by what lies on the disk: whole block headers anywhere, headers of segments, `meta`.
fn evidence(disk: &SimDisk) -> u64 {
    let hint = disk.peek(&meta::file()).map_or(0, |bytes| meta::MetaView::read(&bytes).durable_hint);
    let mut newest = hint;
    for name in segments(disk) {
        let bytes = disk.peek(&name.file()).unwrap_or_default();
        let (head, blocks) = bytes.split_at_checked(BLOCKS_AT as usize).unwrap_or((&bytes, &[]));
        for page in head.chunks(BLOCK_ALIGN) {
            newest = newest.max(SegmentHeader::read(page).map_or(0, |header| header.prev_block));
        }
        for page in blocks.chunks(BLOCK_ALIGN) {
            newest = newest.max(BlockHeader::read(page).map_or(0, |header| header.durable_block));
        }
    }
    newest
}

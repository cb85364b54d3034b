//! From one segment to the next: the seal, the header, and spares made in the background.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::hash::Hash;
use protocol::limits::BLOCK_ALIGN;

use super::{ActiveSegment, Journal, Space, Write};
use crate::AlignedBuf;
use crate::block;
use crate::disk::{Disk, DiskFault, Spare};
use crate::marks::LocalMark;
use crate::segment::{self, BLOCKS_AT, SegmentHeader, SegmentName};

/// Segments that wait to be used.
#[derive(Debug, Default)]
pub(super) struct Spares {
    pub(super) ready: VecDeque<ReadySpare>,
    /// Number of the newest segment there is: in use, about to be (its header is under way), or ready.
    newest_segno: u64,
    making: Option<SegmentName>,
    /// Why the last one could not be made, until one is.
    failed: Option<DiskFault>,
    retries: bool,
}

impl Spares {
    /// Those that were found and follow `active` without a gap; others are made again.
    pub(super) fn found(spares: impl IntoIterator<Item = ReadySpare>, active: u64) -> Self {
        let ready =
            spares.into_iter().zip(active + 1..).take_while(|(spare, segno)| spare.name.segno == *segno);
        let ready: VecDeque<_> = ready.map(|(spare, _)| spare).collect();
        let newest_segno = ready.back().map_or(active, |spare| spare.name.segno);
        Self { ready, newest_segno, ..Self::default() }
    }
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadySpare {
    pub(super) name: SegmentName,
    pub(super) bytes: u64,
    pub(super) nonce: u64,
}

impl<D: Disk> Journal<D> {
    /// Whether more may be proposed: `false` once half of the last segment is used, because refusals and votes have to
    /// be journaled too.
    #[must_use]
    pub fn accepts(&self) -> bool {
        let waiting: usize = self.building.iter().map(|building| building.block.len()).sum();
        let used = self.active.next_offset + waiting as u64;
        !self.spares.ready.is_empty() || (!self.active.sealed && used <= self.active.header.segment_bytes / 2)
    }

    /// Whether there is room, for status and metrics.
    #[must_use]
    pub fn space(&self) -> Space {
        match &self.spares.failed {
            Some(fault) if !self.accepts() => Space::ReadOnly(fault.clone()),
            Some(_) | None => Space::Open,
        }
    }

    /// Why the last spare segment could not be made.
    #[must_use]
    pub fn spare_fault(&self) -> Option<&DiskFault> {
        self.spares.failed.as_ref()
    }

    /// A spare segment is being made.
    pub(super) fn makes_spare(&self) -> bool {
        self.spares.making.is_some()
    }

    /// Segments that are ready to be used.
    #[must_use]
    pub fn spares_ready(&self) -> usize {
        self.spares.ready.len()
    }

    /// Tries again to make spares after a failure. The caller has the clock: about once a second.
    pub fn retry_spares(&mut self) {
        self.spares.retries = true;
    }

    pub(super) fn step_spares(&mut self) {
        if let Some(done) = self.disk.poll_spare() {
            let made = self.spares.making.take();
            assert!(made.is_some_and(|name| name.file() == done.spare.file), "the spare that was asked for");
            match (done.result, made) {
                (Ok(()), Some(name)) => {
                    self.spares.failed = None;
                    let Spare { bytes, nonce, .. } = done.spare;
                    self.spares.newest_segno = name.segno;
                    self.spares.ready.push_back(ReadySpare { name, bytes, nonce });
                }
                (Err(fault), _) => self.spares.failed = Some(fault),
                (Ok(()), None) => {}
            }
        }
        let wanted = self.spares.ready.len() < self.options.spares;
        let may_ask = self.spares.failed.is_none() || std::mem::take(&mut self.spares.retries);
        if wanted && self.spares.making.is_none() && may_ask {
            // Not behind the active one: the one whose header is being written is neither active nor ready.
            let name = SegmentName { epoch: self.meta.identity.epoch, segno: self.spares.newest_segno + 1 };
            let nonce = segment::nonce(self.options.nonce_seed, name.segno);
            self.spares.making = Some(name);
            self.disk.request_spare(Spare { file: name.file(), bytes: self.options.segment_bytes, nonce });
        }
    }

    pub(super) fn submit_seal(&mut self) {
        let end = self.written;
        let seal = LocalMark::Seal {
            last_index: end.last_index,
            last_term: end.last_term,
            chain: end.chain,
            merkle_root: Hash::ZERO,
        };
        let mut frame = std::mem::take(&mut self.scratch);
        seal.write(&mut frame);
        let mut block = AlignedBuf::with_capacity(BLOCK_ALIGN);
        block::begin(&mut block);
        assert!(block.extend(&frame), "a seal fits a page");
        self.scratch = frame;
        let offset = self.active.next_offset;
        self.close_block(&mut block, 0, protocol::Index(0), (end.last_index, end.last_term), &end);
        self.submit(self.active.file.clone(), offset, Arc::new(block), Write::Seal, false);
    }

    /// Writes the next segment's header, if there is a spare.
    pub(super) fn submit_header(&mut self) -> bool {
        let Some(spare) = self.spares.ready.pop_front() else { return false };
        let header = SegmentHeader {
            cluster: self.meta.identity.cluster,
            epoch: spare.name.epoch,
            node: self.meta.identity.node,
            segno: spare.name.segno,
            first_index: self.written.last_index.next(),
            prev_term: self.written.last_term,
            prev_chain: self.written.chain,
            nonce: spare.nonce,
            segment_bytes: spare.bytes,
            created: self.newest_time,
            prev_block: self.last_block,
            prev_block_crc: self.last_block_crc,
            begins_anew: false,
            repairs: None,
        };
        self.submit(spare.name.file(), 0, Arc::new(header.pages()), Write::Header(header), false);
        true
    }

    pub(super) fn enter_segment(&mut self, header: SegmentHeader) {
        self.active =
            ActiveSegment { file: header.name().file(), header, next_offset: BLOCKS_AT, sealed: false };
        self.tail.enter_segment(header);
        self.stats.segments += 1;
    }
}

//! The second walk: the entries that are left of the log, in order. What the first walk verified is not verified again, but
//! everything is still read with its length checked: a running node may change the files in between.

use std::ops::ControlFlow;

use journal::block::BlockHeader;
use journal::survey::Place;
use protocol::frame::Frame;
use protocol::limits::BLOCK_HEADER_BYTES;
use protocol::{Index, Seq};

use crate::args::ReplayFault;
use crate::log::{Log, SegmentExtent};

/// A Raft entry that no truncation has made void.
pub(crate) struct Entry<'a> {
    pub(crate) place: Place,
    pub(crate) frame: Frame<'a>,
    /// Whether a block's header says so; others may be.
    pub(crate) committed: bool,
}

impl Entry<'_> {
    /// The last seq up to and in this entry.
    pub(crate) fn last_seq(&self) -> Seq {
        let header = &self.frame.header;
        Seq(header.first_seq.0.saturating_add(u64::from(header.count)).saturating_sub(1))
    }
}

impl Log {
    /// Visits the entries behind `after`, in order, until `visit` breaks.
    pub(crate) fn entries(
        &self,
        after: Index,
        visit: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReplayFault> {
        let mut bytes = Vec::new();
        for (place, segment) in self.segments.iter().enumerate() {
            // Where the next segment begins at or below what is wanted, this one holds only entries before, or void ones.
            let next = self.segments.get(place + 1);
            if next.is_some_and(|next| next.first_index <= after.next()) {
                continue;
            }
            self.folder.read_segment(segment.name, segment.end, &mut bytes)?;
            if self.segment_entries(segment, &bytes, after, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn segment_entries(
        &self,
        segment: &SegmentExtent,
        bytes: &[u8],
        after: Index,
        visit: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReplayFault> {
        let mut offset = journal::segment::BLOCKS_AT;
        let mut number = segment.frames_before;
        while offset < segment.end {
            let place = Place { segment: segment.name, offset };
            let changed = || ReplayFault::Unanswered(format!("{place}: the file changed while it was read"));
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let header = BlockHeader::read(rest).map_err(|_| changed())?;
            let mut body = rest.get(BLOCK_HEADER_BYTES..header.len as usize).ok_or_else(changed)?;
            while !body.is_empty() {
                let frame = Frame::read(body).map_err(|_| changed())?;
                let at = offset + u64::from(header.len) - body.len() as u64;
                body = body.get(frame.bytes.len()..).unwrap_or_default();
                number += 1;
                let index = frame.header.index;
                if !frame.header.kind.is_entry() || index <= after || self.is_void(index, number) {
                    continue;
                }
                let committed = index <= self.survey.commit;
                let entry = Entry { place: Place { offset: at, ..place }, frame, committed };
                if visit(&entry).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            offset += header.extent() as u64;
        }
        Ok(ControlFlow::Continue(()))
    }
}

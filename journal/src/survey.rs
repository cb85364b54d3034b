//! Walks segments in order, verifies everything in them, and gathers what [`crate::classify`] needs. Pure: bytes in,
//! verdict out; recovery and the auditor's reader share it.

use protocol::frame::{Frame, FrameFault};
use protocol::hash::Hash;
use protocol::limits::{BLOCK_ALIGN, BLOCK_HEADER_BYTES};
use protocol::mutant::{Mutant, planted};
use protocol::{ClusterId, Index, NodeId, Seq, Term};

use crate::block::{BlockFault, BlockHeader};
use crate::classify::{Action, Facts, HeaderState, Row, Verdict, row_of};
use crate::marks::{HardState, LocalMark};
use crate::segment::{
    BLOCKS_AT, HEADER_PAGE_BYTES, Repairs, SECTOR_BYTES, SegmentFault, SegmentHeader, SegmentName, is_prefill,
};

/// End of the log, and where it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// The entry before the first one that is here.
    pub base_index: Index,
    /// Its term.
    pub base_term: Term,
    /// Its chain.
    pub base_chain: Hash,
    /// The last entry.
    pub last_index: Index,
    /// Its term.
    pub last_term: Term,
    /// Its chain.
    pub chain: Hash,
    /// Seq of the next record, where it is known.
    pub next_seq: Option<Seq>,
}

/// A place in a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub segment: SegmentName,
    /// Bytes from its start.
    pub offset: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// What is wrong at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// One of the two header pages of a segment; the other one serves.
    HeaderCopy(SegmentFault),
    /// Both header pages.
    SegmentHeader(SegmentFault),
    /// A segment's header is that of another cluster, replica or segment, or does not continue the one before.
    SegmentLink,
    /// A segment between two others is missing.
    SegmentMissing {
        /// Number of the segment that should be next.
        expected: u64,
        /// Number of the one that is.
        found: u64,
    },
    /// The file is shorter than its header says.
    FileShort {
        /// Bytes by the header.
        expected: u64,
        /// Bytes.
        found: u64,
    },
    /// Checksum, magic or length of a block.
    Block(BlockFault),
    /// The block was written for another place.
    BlockAstray {
        /// Segment in its header.
        segno: u64,
        /// Offset in its header.
        file_off: u64,
    },
    /// Not the next block.
    BlockNumber {
        /// Next number.
        expected: u64,
        /// Its number.
        found: u64,
    },
    /// It does not continue the block before.
    BlockLink {
        /// Checksum of the block before.
        expected: u32,
        /// What it says.
        found: u32,
    },
    /// Its header says other entries than its frames.
    BlockSummary,
    /// A frame.
    Frame(FrameFault),
    /// The payload of a local frame is shorter than its kind's.
    LocalFrame,
    /// Entries do not count up.
    Index {
        /// Next index.
        expected: Index,
        /// Its index.
        found: Index,
    },
    /// The hash chain breaks: bytes were changed, left out or put in.
    Chain {
        /// As computed.
        expected: Hash,
        /// As stored.
        found: Hash,
    },
    /// Seqs have a gap, or come twice.
    Seq {
        /// Next seq.
        expected: Seq,
        /// Its first seq.
        found: Seq,
    },
}

/// Damage, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub place: Place,
    /// What.
    pub kind: DamageKind,
    /// Number of the block in which, or instead of which, it is.
    pub block: u64,
    /// The next index that was expected there.
    pub index: Index,
    /// The next seq that was expected there, where it is known.
    pub seq: Option<Seq>,
}

/// What the walk meets, in order.
#[derive(Debug)]
pub enum Visit<'a> {
    /// A segment begins. One with [`SegmentHeader::repairs`] takes the place of everything that was visited as damaged or
    /// unlinked.
    Segment(SegmentName, &'a SegmentHeader),
    /// A whole block.
    Block {
        /// Where it begins.
        place: Place,
        /// Its header.
        header: &'a BlockHeader,
        /// Set behind damage: it is whole, but nothing links it to what was read before.
        unlinked: bool,
    },
    /// A frame of the block visited last.
    Frame {
        /// Where it begins.
        place: Place,
        /// The frame.
        frame: Frame<'a>,
        /// As that of its block.
        unlinked: bool,
    },
    /// Damage. Whole blocks behind it are still visited.
    Damage(Damage),
}

/// Where whole, linked blocks end.
#[derive(Clone, Copy, Debug)]
struct Stop {
    place: Place,
    header: HeaderState,
    rest_untouched: bool,
    unwritten_sector: bool,
    named: Option<(Index, Term)>,
    damage: Option<Damage>,
}

/// The walk's state.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    log: LogEnd,
    owner: Option<(ClusterId, NodeId)>,
    segment: Option<SegmentHeader>,
    last_block: u64,
    last_block_crc: u32,
    commit: Index,
    marked: Index,
    watermark: u64,
    astray: u64,
    hard_state: HardState,
    blocks: u64,
    sealed: bool,
    next_offset: u64,
    stop: Option<Stop>,
    /// Headers of blocks at and behind the stop, wherever they lie.
    left: Vec<LeftBlock>,
    /// The newest block at or behind the stop that was written to its end, as far as its header can be read, and whether one
    /// without a header follows.
    newest_left: Option<(u64, bool)>,
    /// The newest repair of which a header behind the stop tells.
    left_repair: Option<Repairs>,
    /// A repair that has not reached its end.
    unrepaired: Option<Repairs>,
    /// Where the log went on behind damage.
    repaired: Vec<Repairs>,
}

/// What the header of a block that is not linked says of the log.
#[derive(Clone, Copy, Debug)]
struct LeftBlock {
    block_seq: u64,
    before: (Index, Term),
    behind: (Index, Term),
}

/// What is known of a log that cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostEnd {
    /// Its last entry, with its term, where something names it.
    pub end: Option<(Index, Term)>,
    /// What is missing was durable: it may never be given up because nobody has it. Otherwise it is in doubt.
    pub was_durable: bool,
    /// The newest block that anything tells of.
    pub newest_block: u64,
}

/// The result of a walk.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What the segments are worth.
    pub verdict: Verdict,
    /// The row of the table that says so.
    pub row: &'static Row,
    /// End of the log.
    pub log: LogEnd,
    /// The last whole, linked block; 0 if there is none.
    pub last_block: u64,
    /// Its header's checksum.
    pub last_block_crc: u32,
    /// Whole, linked blocks.
    pub blocks: u64,
    /// The newest block that something says was durable.
    pub watermark: u64,
    /// The newest entry known to be committed: what a block's header says; more may be.
    pub commit: Index,
    /// The last entry of the newest snapshot that a SNAP_MARK frame names, or that the log begins anew behind; 0 without one.
    pub marked: Index,
    /// Term and vote by the newest HARDSTATE frame.
    pub hard_state: HardState,
    /// Header of the newest segment in use; `None` without one.
    pub segment: Option<SegmentHeader>,
    /// Set if that segment ends with its SEAL.
    pub sealed: bool,
    /// Where the next block goes, or the doubtful one lies.
    pub end: Place,
    /// What is wrong there.
    pub damage: Option<Damage>,
    /// What is missing, unless the log is whole.
    pub lost: Option<LostEnd>,
    /// Repairs of earlier damage, in order.
    pub repaired: Vec<Repairs>,
}

type Visitor<'v> = dyn FnMut(Visit<'_>) + 'v;

impl Survey {
    /// Nothing walked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Walks the next segment; names ascend.
    pub fn segment(&mut self, name: SegmentName, bytes: &[u8], visit: &mut Visitor<'_>) {
        let header = self.header_of(name, bytes, visit);
        if header.is_some() {
            // A block that went astray may lie on one of the two copies.
            let pages = bytes.get(..BLOCKS_AT as usize).unwrap_or_default();
            self.gather_evidence(name, pages, 0, visit);
        }
        if let Some(header) = header.filter(|header| self.is_repaired_by(header)) {
            self.go_on(header, visit);
            self.walk_blocks(name, &header, bytes, visit);
            return;
        }
        if self.stop.is_some() {
            self.pass(header);
            self.gather_evidence(name, bytes, 0, visit);
            return;
        }
        let gap = self.segment.map(|before| before.segno + 1).filter(|expected| *expected != name.segno);
        if let Some(expected) = gap {
            let kind = DamageKind::SegmentMissing { expected, found: name.segno };
            self.stop_at(Stop::bad(Place { segment: name, offset: 0 }), kind, visit);
            self.pass(header);
            self.gather_evidence(name, bytes, 0, visit);
            return;
        }
        let Some(header) = header else {
            self.headerless(name, bytes, visit);
            return;
        };
        if !self.begins(&header) {
            self.pass(Some(header));
            self.stop_at(Stop::bad(Place { segment: name, offset: 0 }), DamageKind::SegmentLink, visit);
            self.gather_evidence(name, bytes, 0, visit);
            return;
        }
        self.enter(header);
        visit(Visit::Segment(name, &header));
        self.walk_blocks(name, &header, bytes, visit);
    }

    /// A segment behind the stop, with this header.
    fn pass(&mut self, header: Option<SegmentHeader>) {
        let Some(header) = header else { return };
        self.watermark = self.watermark.max(header.prev_block);
        self.left_repair = header.repairs.or(self.left_repair);
    }

    /// What it all comes to. `durable_hint` is that of `meta`; 0 without one.
    #[must_use]
    pub fn finish(&self, durable_hint: u64) -> Findings {
        let watermark = self.watermark.max(durable_hint);
        let end =
            Place { segment: self.segment.map(|s| s.name()).unwrap_or_default(), offset: self.next_offset };
        let stop = self.stop.unwrap_or(Stop {
            // The last segment ends with its SEAL and no next one was begun.
            place: end,
            header: HeaderState::Absent,
            rest_untouched: true,
            unwritten_sector: true,
            named: None,
            damage: None,
        });
        let row = row_of(&Facts {
            durable_above: watermark > self.last_block,
            astray: self.astray > self.last_block,
            rest_untouched: stop.rest_untouched,
            header: stop.header,
            unwritten_sector: stop.unwritten_sector,
        });
        let verdict = match (row.action, self.unrepaired) {
            (Action::Clean | Action::Torn, Some(repairs)) => {
                Verdict::Unrepaired { reach: repairs.reach_index, term: repairs.reach_term }
            }
            (Action::Clean, None) => Verdict::Clean,
            (Action::Torn, None) => Verdict::Torn,
            (Action::Repair, _) => Verdict::Repair(self.last_block + 1..=watermark),
            (Action::Suspect, _) => Verdict::Suspect { from_block: self.last_block + 1, named: stop.named },
        };
        Findings {
            verdict,
            row,
            log: self.log,
            last_block: self.last_block,
            last_block_crc: self.last_block_crc,
            blocks: self.blocks,
            watermark,
            commit: self.commit.min(self.log.last_index),
            marked: self.marked,
            hard_state: self.hard_state,
            segment: self.segment,
            sealed: self.sealed,
            end: stop.place,
            damage: stop.damage,
            lost: self.lost_end(row.action, watermark),
            repaired: self.repaired.clone(),
        }
    }

    /// What is known of the end of the log, if it is not here.
    fn lost_end(&self, action: Action, watermark: u64) -> Option<LostEnd> {
        let is_whole = matches!(action, Action::Clean | Action::Torn);
        if is_whole && self.unrepaired.is_none() {
            return None;
        }
        // The log as it was behind the newest block that was durable, is whole, or is in doubt: that block's own header says
        // it, or the next one's.
        let (newest, has_nameless) = self.newest_left.unwrap_or((0, false));
        let newest = newest + u64::from(has_nameless);
        let needed = watermark.max(newest).max(self.last_block + 1);
        let said = |block_seq: u64, end: fn(&LeftBlock) -> (Index, Term)| {
            self.left.iter().find(|left| left.block_seq == block_seq).map(end)
        };
        let named = said(needed, |left| left.behind).or_else(|| said(needed + 1, |left| left.before));
        // Behind a repair that has not come to its end only entries up to that end were written; but where a block is damaged, it
        // may be the one that the repair ended with, and what is told of newer ones counts. The log had to reach that end, and
        // what its first block says of the log before it is without what was given up.
        let repair = self.left_repair.or(self.unrepaired);
        let end = match repair.map(|repairs| (repairs.reach_index, repairs.reach_term)) {
            Some(reach) if is_whole => Some(reach),
            Some(reach) => named.map(|named| later(named, reach)),
            None => named,
        };
        let newest_left = self.left.iter().map(|left| left.block_seq).max().unwrap_or(0);
        let newest_block = newest_left.max(needed).max(self.astray).max(self.last_block);
        let was_durable = action == Action::Repair || self.unrepaired.is_some();
        Some(LostEnd { end, was_durable, newest_block })
    }

    /// Whether the log goes on in a segment with this header from where whole blocks end now, whatever lies in between.
    fn is_repaired_by(&self, header: &SegmentHeader) -> bool {
        let goes_on = |repairs: Repairs| {
            self.segment.is_some_and(|ended| ended.segno == repairs.behind_segno)
                && header.prev_block == self.last_block
                && self.continues(header)
        };
        header.repairs.is_some_and(goes_on)
    }

    fn go_on(&mut self, header: SegmentHeader, visit: &mut Visitor<'_>) {
        self.stop = None;
        self.left.clear();
        (self.newest_left, self.left_repair) = (None, None);
        self.enter(header);
        visit(Visit::Segment(header.name(), &header));
    }

    /// The repair is done as soon as the log ends with the entry that it was to reach.
    fn note_reached(&mut self) {
        let end = (self.log.last_index, self.log.last_term);
        self.unrepaired.take_if(|repairs| (repairs.reach_index, repairs.reach_term) == end);
    }

    fn header_of(&self, name: SegmentName, bytes: &[u8], visit: &mut Visitor<'_>) -> Option<SegmentHeader> {
        let page = |copy: usize| bytes.get(copy * HEADER_PAGE_BYTES..).unwrap_or_default();
        let copies = [SegmentHeader::read(page(0)), SegmentHeader::read(page(1))];
        let header = copies.iter().find_map(|copy| copy.ok())?;
        for (copy, read) in (0..).zip(copies) {
            if let Err(fault) = read {
                let place = Place { segment: name, offset: copy * HEADER_PAGE_BYTES as u64 };
                visit(Visit::Damage(self.damage_at(place, DamageKind::HeaderCopy(fault))));
            }
        }
        (header.name() == name).then_some(header)
    }

    /// Whether a segment with this header continues what was walked.
    fn begins(&self, header: &SegmentHeader) -> bool {
        // What was walked may have been given up since.
        self.owner.is_none()
            || (header.repairs.is_none() && header.prev_block == self.last_block && self.continues(header))
    }

    /// Whether its log goes on from the one that was walked.
    fn continues(&self, header: &SegmentHeader) -> bool {
        self.owner == Some((header.cluster, header.node))
            && header.prev_block_crc == self.last_block_crc
            && header.first_index == self.log.last_index.next()
            && header.prev_term == self.log.last_term
            && header.prev_chain == self.log.chain
    }

    fn enter(&mut self, header: SegmentHeader) {
        if self.owner.is_none() {
            let base = Index(header.first_index.0.saturating_sub(1));
            self.owner = Some((header.cluster, header.node));
            self.log = LogEnd {
                base_index: base,
                base_term: header.prev_term,
                base_chain: header.prev_chain,
                last_index: base,
                last_term: header.prev_term,
                chain: header.prev_chain,
                next_seq: None,
            };
            self.last_block = header.prev_block;
            self.last_block_crc = header.prev_block_crc;
            if header.begins_anew {
                self.marked = base;
            }
        }
        self.segment = Some(header);
        self.sealed = false;
        self.next_offset = BLOCKS_AT;
        if let Some(repairs) = header.repairs {
            self.last_block = self.last_block.max(repairs.given_up_to);
            self.unrepaired = Some(repairs);
            self.repaired.push(repairs);
            self.note_reached();
        }
        // The header was written after the block it names was durable.
        self.watermark = self.watermark.max(header.prev_block);
    }

    /// A segment that has no header: a spare, or the write of its header did not finish, or it is damaged.
    fn headerless(&mut self, name: SegmentName, bytes: &[u8], visit: &mut Visitor<'_>) {
        let place = Place { segment: name, offset: 0 };
        let nonce = bytes.last_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let blocks = bytes.get(BLOCKS_AT as usize..).unwrap_or_default();
        let whole = nonce != 0 && bytes.len().is_multiple_of(BLOCK_ALIGN) && !blocks.is_empty();
        if whole && is_prefill(blocks, nonce) {
            let rest_untouched = is_prefill(bytes, nonce);
            let stop = Stop {
                header: HeaderState::Absent,
                rest_untouched,
                unwritten_sector: true,
                ..Stop::bad(place)
            };
            self.stop = Some(stop);
        } else {
            let fault = SegmentHeader::read(bytes).err().unwrap_or(SegmentFault::Magic);
            self.stop_at(Stop::bad(place), DamageKind::SegmentHeader(fault), visit);
        }
        self.gather_evidence(name, bytes, 0, visit);
    }

    fn walk_blocks(
        &mut self,
        name: SegmentName,
        header: &SegmentHeader,
        bytes: &[u8],
        visit: &mut Visitor<'_>,
    ) {
        let size = header.segment_bytes;
        let bytes = bytes.get(..size as usize).unwrap_or(bytes);
        let mut frames = Vec::new();
        loop {
            let offset = self.next_offset;
            let place = Place { segment: name, offset };
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            if rest.len() < BLOCK_ALIGN {
                let kind = DamageKind::FileShort { expected: size, found: bytes.len() as u64 };
                self.stop_at(Stop::bad(place), kind, visit);
                return;
            }
            frames.clear();
            match self.next_block(place, rest, &mut frames) {
                Ok((block, log)) => {
                    self.accept(place, &block, log, &frames, visit);
                    if self.sealed {
                        self.look_behind_seal(name, header, bytes, visit);
                        return;
                    }
                }
                Err(kind) => {
                    self.end_of_blocks(place, header, bytes, kind, visit);
                    return;
                }
            }
        }
    }

    /// The block at `place`, verified in itself and against everything before it.
    fn next_block<'a>(
        &self,
        place: Place,
        rest: &'a [u8],
        frames: &mut Vec<(u64, Frame<'a>)>,
    ) -> Result<(BlockHeader, LogEnd), DamageKind> {
        let header = BlockHeader::read(rest).map_err(DamageKind::Block)?;
        if !lies_at(&header, place) {
            return Err(DamageKind::BlockAstray { segno: header.segno, file_off: header.file_off });
        }
        let body = header.frames(rest).map_err(DamageKind::Block)?;
        let expected = self.last_block + 1;
        if header.block_seq != expected {
            return Err(DamageKind::BlockNumber { expected, found: header.block_seq });
        }
        if header.prev_block_crc != self.last_block_crc {
            let (expected, found) = (self.last_block_crc, header.prev_block_crc);
            return Err(DamageKind::BlockLink { expected, found });
        }
        let mut log = self.log;
        read_frames(place, &header, body, frames)?;
        for (_, frame) in frames.iter() {
            log.take(frame)?;
        }
        let entries = frames.iter().filter(|(_, frame)| frame.header.kind.is_entry());
        let first = entries.clone().next().map_or(Index(0), |(_, frame)| frame.header.index);
        let agrees = header.entries as usize == entries.count()
            && header.first_index == first
            && (header.last_index, header.last_term) == (log.last_index, log.last_term)
            && (header.prev_last_index, header.prev_last_term) == (self.log.last_index, self.log.last_term);
        if agrees { Ok((header, log)) } else { Err(DamageKind::BlockSummary) }
    }

    fn accept(
        &mut self,
        place: Place,
        block: &BlockHeader,
        log: LogEnd,
        frames: &[(u64, Frame<'_>)],
        visit: &mut Visitor<'_>,
    ) {
        self.log = log;
        self.last_block = block.block_seq;
        self.last_block_crc = block.crc;
        self.commit = self.commit.max(block.commit_index);
        self.blocks += 1;
        self.note_reached();
        self.next_offset = place.offset + block.extent() as u64;
        visit(Visit::Block { place, header: block, unlinked: false });
        for (offset, frame) in frames {
            match LocalMark::read(frame) {
                Some(LocalMark::HardState(state)) => self.hard_state = state,
                Some(LocalMark::Seal { .. }) => self.sealed = true,
                Some(LocalMark::Snapshot { index, .. }) => self.marked = self.marked.max(index),
                Some(LocalMark::Truncate { .. }) | None => {}
            }
            let place = Place { offset: *offset, ..place };
            visit(Visit::Frame { place, frame: *frame, unlinked: false });
        }
    }

    fn look_behind_seal(
        &mut self,
        name: SegmentName,
        header: &SegmentHeader,
        bytes: &[u8],
        visit: &mut Visitor<'_>,
    ) {
        let rest = bytes.get(self.next_offset as usize..).unwrap_or_default();
        if !is_prefill(rest, header.nonce) {
            self.gather_evidence(name, bytes, self.next_offset as usize, visit);
        }
    }

    fn end_of_blocks(
        &mut self,
        place: Place,
        segment: &SegmentHeader,
        bytes: &[u8],
        kind: DamageKind,
        visit: &mut Visitor<'_>,
    ) {
        let rest = bytes.get(place.offset as usize..).unwrap_or_default();
        let rest_untouched = is_prefill(rest, segment.nonce);
        if (bytes.len() as u64) < segment.segment_bytes {
            // What is missing may have held blocks.
            let kind = DamageKind::FileShort { expected: segment.segment_bytes, found: bytes.len() as u64 };
            self.stop_at(Stop::bad(place), kind, visit);
        } else if rest_untouched {
            let stop = Stop {
                header: HeaderState::Absent,
                rest_untouched,
                unwritten_sector: true,
                ..Stop::bad(place)
            };
            self.stop = Some(stop);
            return;
        } else {
            self.stop_at(shape_of(place, rest, segment.nonce), kind, visit);
        }
        self.gather_evidence(segment.name(), bytes, place.offset as usize, visit);
    }

    fn stop_at(&mut self, stop: Stop, kind: DamageKind, visit: &mut Visitor<'_>) {
        let damage = self.damage_at(stop.place, kind);
        self.stop = Some(Stop { damage: Some(damage), ..stop });
        visit(Visit::Damage(damage));
    }

    fn damage_at(&self, place: Place, kind: DamageKind) -> Damage {
        let index = self.log.last_index.next();
        Damage { place, kind, block: self.last_block + 1, index, seq: self.log.next_seq }
    }

    /// Looks at every page from `from` on for the header of a block: what it says was durable, and whether it lies where
    /// it belongs; of a file that was cut short, in the last piece of a page too. Whole ones are visited, so that an auditor
    /// sees what is left.
    fn gather_evidence(&mut self, name: SegmentName, bytes: &[u8], from: usize, visit: &mut Visitor<'_>) {
        let nonce = nonce_of(name, bytes);
        let mut at = from;
        let mut newest = None;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= BLOCK_HEADER_BYTES) {
            at += BLOCK_ALIGN;
            let Ok(header) = BlockHeader::read(rest) else { continue };
            let place = Place { segment: name, offset: (at - BLOCK_ALIGN) as u64 };
            self.watermark = self.watermark.max(header.durable_block);
            if self.stop.is_some() && header.block_seq > self.last_block {
                self.left.push(LeftBlock {
                    block_seq: header.block_seq,
                    before: (header.prev_last_index, header.prev_last_term),
                    behind: (header.last_index, header.last_term),
                });
            }
            if !lies_at(&header, place) {
                self.astray = self.astray.max(header.block_seq);
                continue;
            }
            let end = at - BLOCK_ALIGN + header.extent();
            let Ok(body) = header.frames(rest) else {
                if !shape_of(place, rest, nonce).unwritten_sector {
                    newest = newest.max(Some((header.block_seq, end)));
                }
                continue;
            };
            at = end;
            newest = newest.max(Some((header.block_seq, at)));
            let mut frames = Vec::new();
            if self.stop.is_some() && read_frames(place, &header, body, &mut frames).is_ok() {
                visit(Visit::Block { place, header: &header, unlinked: true });
                for (offset, frame) in frames {
                    visit(Visit::Frame { place: Place { offset, ..place }, frame, unlinked: true });
                }
            }
        }
        // A segment without a whole block has a header that names the one before.
        let header = || SegmentHeader::read_either(name, bytes);
        let newest = newest.or_else(|| header().map(|header| (header.prev_block, BLOCKS_AT as usize)));
        if let Some((block_seq, end)) =
            newest.filter(|(seq, _)| self.stop.is_some() && *seq > self.last_block)
        {
            let rest = bytes.get(end..).unwrap_or_default();
            let behind = shape_of(Place { segment: name, offset: end as u64 }, rest, nonce);
            let has_nameless = !rest.is_empty() && !behind.unwritten_sector;
            self.newest_left = self.newest_left.max(Some((block_seq, has_nameless)));
        }
    }
}

/// The end of the longer log of two.
fn later(one: (Index, Term), other: (Index, Term)) -> (Index, Term) {
    if (one.1, one.0) >= (other.1, other.0) { one } else { other }
}

/// The pattern of a segment: its header says it, or its last word.
fn nonce_of(name: SegmentName, bytes: &[u8]) -> u64 {
    let last_word = bytes.last_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    SegmentHeader::read_either(name, bytes).map_or(last_word, |header| header.nonce)
}

impl Stop {
    /// Not a block, not the pattern.
    fn bad(place: Place) -> Self {
        Self {
            place,
            header: HeaderState::Bad,
            rest_untouched: false,
            unwritten_sector: false,
            named: None,
            damage: None,
        }
    }
}

impl LogEnd {
    /// Goes on behind `frame`.
    pub(crate) fn take(&mut self, frame: &Frame<'_>) -> Result<(), DamageKind> {
        let header = &frame.header;
        if !header.kind.is_entry() {
            let mark = LocalMark::read(frame).ok_or(DamageKind::LocalFrame)?;
            if let LocalMark::Truncate { from, prev_term, prev_chain } = mark
                && !planted(Mutant::TruncationIgnored)
            {
                self.truncate(from, prev_term, prev_chain)?;
            }
            return Ok(());
        }
        let expected = self.follow(frame)?;
        if frame.chain == expected { Ok(()) } else { Err(DamageKind::Chain { expected, found: frame.chain }) }
    }

    /// Goes on behind the Raft entry `frame`, whose chain is not set yet; returns what it must be.
    pub(crate) fn follow(&mut self, frame: &Frame<'_>) -> Result<Hash, DamageKind> {
        let header = &frame.header;
        let expected = self.last_index.next();
        if header.index != expected {
            return Err(DamageKind::Index { expected, found: header.index });
        }
        if let Some(expected) = self.next_seq.filter(|expected| *expected != header.first_seq) {
            return Err(DamageKind::Seq { expected, found: header.first_seq });
        }
        self.last_index = header.index;
        self.last_term = header.term;
        self.chain = frame.chain_after(self.chain);
        self.next_seq = Some(Seq(header.first_seq.0.saturating_add(u64::from(header.count))));
        Ok(self.chain)
    }

    fn truncate(&mut self, from: Index, prev_term: Term, prev_chain: Hash) -> Result<(), DamageKind> {
        let last = Index(from.0.saturating_sub(1));
        if from.0 == 0 || last > self.last_index {
            return Err(DamageKind::Index { expected: self.last_index.next(), found: from });
        }
        (self.last_index, self.last_term, self.chain) = (last, prev_term, prev_chain);
        self.next_seq = None;
        if last < self.base_index {
            // The entries before were in a segment that has been dropped since.
            (self.base_index, self.base_term, self.base_chain) = (last, prev_term, prev_chain);
        }
        Ok(())
    }
}

/// Walks `segments` (names ascending) and judges them; `durable_hint` is that of `meta`.
pub fn classify<'a>(
    segments: impl IntoIterator<Item = (SegmentName, &'a [u8])>,
    durable_hint: u64,
) -> Findings {
    let mut survey = Survey::new();
    for (name, bytes) in segments {
        survey.segment(name, bytes, &mut |_| ());
    }
    survey.finish(durable_hint)
}

/// Whether a walk that is to meet all entries from `from` on may begin with segment `name`, whose header pages are
/// `pages`. Of several such segments the newest will do: where it begins the log ends before `from`, so that whatever
/// stands there now was written later, also where entries were replaced.
#[must_use]
pub fn may_begin_with(name: SegmentName, pages: &[u8], from: Index) -> bool {
    SegmentHeader::read_either(name, pages).is_some_and(|header| header.first_index <= from)
}

/// Whether a block with this header belongs at `place`.
fn lies_at(header: &BlockHeader, place: Place) -> bool {
    header.segno == place.segment.segno
        && header.epoch == place.segment.epoch
        && header.file_off == place.offset
}

fn read_frames<'a>(
    place: Place,
    header: &BlockHeader,
    mut body: &'a [u8],
    frames: &mut Vec<(u64, Frame<'a>)>,
) -> Result<(), DamageKind> {
    let end = place.offset + u64::from(header.len);
    while !body.is_empty() {
        let offset = end - body.len() as u64;
        let frame = Frame::read(body).map_err(DamageKind::Frame)?;
        body = body.get(frame.bytes.len()..).unwrap_or_default();
        frames.push((offset, frame));
    }
    Ok(())
}

/// What lies at `place`, where no whole, linked block does.
fn shape_of(place: Place, rest: &[u8], nonce: u64) -> Stop {
    let sector = rest.get(..SECTOR_BYTES).unwrap_or_default();
    if is_prefill(sector, nonce) {
        return Stop { header: HeaderState::Absent, unwritten_sector: true, ..Stop::bad(place) };
    }
    let header = BlockHeader::read(rest).ok().filter(|header| lies_at(header, place));
    let extent = header.map_or(BLOCK_ALIGN, |header| header.extent());
    let block = rest.get(..extent).unwrap_or(rest);
    Stop {
        header: if header.is_some() { HeaderState::Valid } else { HeaderState::Bad },
        unwritten_sector: block.chunks(SECTOR_BYTES).any(|sector| is_prefill(sector, nonce)),
        named: header.map(|header| (header.last_index, header.last_term)),
        ..Stop::bad(place)
    }
}

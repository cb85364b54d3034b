//! From files to a log: create, or recover. Nothing is served before everything that was read is durable.

use protocol::frame::{Frame, FrameKind};
use protocol::hash::Hash;
use protocol::limits::BLOCK_ALIGN;
use protocol::mutant::{Mutant, planted};
use protocol::{Index, Term, UnixNanos};

use super::anew::settle_beginning;
use super::roll::{ReadySpare, Spares};
use super::tail::Tail;
use super::{ActiveSegment, Identity, Journal, Mark, Options, Stats};
use crate::AlignedBuf;
use crate::classify::Verdict;
use crate::disk::{Dir, Disk, DiskFault, FileRef, ReadFrom};
use crate::marks::{HardState, LocalMark};
use crate::meta::{self, Meta, MetaView};
use crate::segment::{
    self, BLOCKS_AT, PREFILL_STEP_BYTES, SECTOR_BYTES, SegmentHeader, SegmentName, UNFINISHED_SUFFIX,
    is_prefill,
};
use crate::snapshot_file;
use crate::survey::{Findings, Place, Survey, Visit, may_begin_with};

/// A journal that is open, and how it was found.
pub struct Opened<D> {
    /// The log.
    pub journal: Journal<D>,
    /// How it was found.
    pub report: OpenReport,
}

/// How a journal was found.
#[derive(Clone, Debug)]
pub struct OpenReport {
    /// What the segments said.
    pub findings: Findings,
    /// What `meta` said.
    pub meta: MetaView,
    /// Segments with blocks that were read.
    pub segments: usize,
    /// Older ones that were passed over.
    pub segments_passed: usize,
    /// Bytes of an unfinished write that were filled with the pattern again.
    pub torn_bytes: u64,
}

/// Why a journal is not opened.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskFault),
    /// There is no journal here: create one.
    #[error("there is no journal here")]
    Empty,
    /// There is one already.
    #[error("there is a journal here already")]
    Exists,
    /// `meta` is gone or damaged in all copies: this replica no longer knows whom it voted for, and has to come back
    /// under a new node id.
    #[error("meta is lost: rejoin under a new node id")]
    MetaLost,
    /// The segments are another cluster's, epoch's or replica's than `meta`.
    #[error("segments and meta belong to different replicas: {segments:?}, {meta:?}")]
    Foreign {
        /// By the segments.
        segments: Box<Identity>,
        /// By `meta`.
        meta: Box<Identity>,
    },
    /// No segment is left.
    #[error("meta is here, but no segment")]
    NoSegment,
    /// Durable blocks are damaged or gone. Bring them back from a peer or a copy; nothing is cut.
    #[error("durable blocks are damaged or gone: {}", describe(.0))]
    Repair(Box<Findings>),
    /// It cannot be told alone whether the tail was durable.
    #[error("the tail cannot be judged alone: {}", describe(.0))]
    Suspect(Box<Findings>),
    /// A repair of earlier damage has not come to its end: entries are missing.
    #[error("a repair from peers is not done: {}", describe(.0))]
    Unrepaired(Box<Findings>),
    /// A snapshot holds entries that the log lacks: they were committed. Bring them back from a peer or a copy.
    #[error("a snapshot proves that entries up to {snapshot} were committed, and the log ends before: {}", describe(.findings))]
    BehindSnapshot {
        /// The snapshot's last entry.
        snapshot: Index,
        /// What the segments said.
        findings: Box<Findings>,
    },
    /// Nothing is in doubt: there is nothing to adjudicate.
    #[error(
        "nothing is in doubt that could be adjudicated; `sicil recover` without --adjudicate says what a start finds"
    )]
    NothingInDoubt,
    /// The tail is still in doubt after it was set aside.
    #[error("still in doubt after the tail was set aside: {}", describe(.0))]
    StillInDoubt(Box<Findings>),
}

fn describe(findings: &Findings) -> String {
    let mut text = format!(
        "{:?} ({}) behind entry {}, block {}, at {}; the newest durable block was at least {}, the newest committed entry at least {}",
        findings.verdict,
        findings.row.name,
        findings.log.last_index,
        findings.last_block,
        findings.end,
        findings.watermark,
        findings.commit
    );
    if let Some(damage) = &findings.damage {
        text.push_str(&format!("; there: {:?}", damage.kind));
    }
    text
}

impl<D: Disk> Journal<D> {
    /// Whether there is nothing here, or what making a journal has left that was interrupted: segments without a block,
    /// a `meta` without a whole copy. [`Self::create`] takes such a folder. With a block, a snapshot, outputs or a hint
    /// that a block was durable, `meta` is lost instead.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn is_unmade(disk: &mut D) -> Result<bool, DiskFault> {
        let view = MetaView::load(disk)?;
        let was_used = |view: MetaView| view.meta.is_some() || view.durable_hint > 0;
        let has_derived = !snapshot_file::files(disk)?.is_empty() || !disk.list(Dir::Outbox)?.is_empty();
        if has_derived || view.is_some_and(was_used) {
            return Ok(false);
        }
        let segments = segment_names(disk)?;
        let mut buffer = AlignedBuf::with_capacity(0);
        let Findings { blocks, verdict, .. } = walk(disk, &segments, Index(0), 0, &mut buffer)?.findings;
        Ok(blocks == 0 && matches!(verdict, Verdict::Clean | Verdict::Torn))
    }

    /// Makes a new journal. A folder in which making one was interrupted is used again.
    ///
    /// # Errors
    /// [`Refusal::Exists`], [`Refusal::MetaLost`], [`Refusal::Disk`].
    pub fn create(mut disk: D, identity: Identity, options: Options) -> Result<Self, Refusal> {
        check(&options);
        if MetaView::load(&mut disk)?.is_some_and(|view| view.meta.is_some()) {
            return Err(Refusal::Exists);
        }
        if !Self::is_unmade(&mut disk)? {
            return Err(Refusal::MetaLost);
        }
        remove_unfinished(&mut disk)?;
        for name in segment_names(&mut disk)? {
            disk.remove(&name.file())?;
        }
        let name = SegmentName { epoch: identity.epoch, segno: 1 };
        let header = SegmentHeader {
            cluster: identity.cluster,
            epoch: identity.epoch,
            node: identity.node,
            segno: name.segno,
            first_index: Index(1),
            prev_term: Term(0),
            prev_chain: Hash::ZERO,
            nonce: segment::nonce(options.nonce_seed, name.segno),
            segment_bytes: options.segment_bytes,
            created: UnixNanos(0),
            prev_block: 0,
            prev_block_crc: 0,
            begins_anew: false,
            repairs: None,
        };
        segment::prefill(&mut disk, &name.file(), header.segment_bytes, header.nonce)?;
        disk.write_at(&name.file(), 0, &header.pages())?;
        disk.sync(&name.file())?;
        let meta = Meta { sequence: 1, identity, hard_state: HardState::default() };
        // Of full length at once: a hint must never need room on a disk that has none left.
        disk.write_at(&meta::file(), 0, &AlignedBuf::zeroed(meta::META_BYTES))?;
        meta.store(&mut disk)?;
        disk.sync_dir(Dir::Root)?;
        Ok(Self::open(disk, options)?.journal)
    }

    /// Opens the journal of `disk`: verifies all of it, cuts off an unfinished write, and makes durable what was read.
    ///
    /// # Errors
    /// [`Refusal`]. Nothing is changed on disk then, except that unfinished files are removed, and that a segment in which the log was
    /// to begin anew, and never did, is a spare again.
    pub fn open(disk: D, options: Options) -> Result<Opened<D>, Refusal> {
        Self::open_from(disk, options, Index(0))
    }

    /// From which entry on a start needs the journal of `disk`, if its snapshots serve: for [`Self::open_from`], by
    /// whoever judges what a start judges.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn needed_from(disk: &mut D) -> Result<Index, DiskFault> {
        let Some(meta) = MetaView::load(disk)?.and_then(|view| view.meta) else { return Ok(Index(0)) };
        Ok(snapshot_file::needed_from(&snapshot_file::kept(disk, &meta.identity)?))
    }

    /// Opens the journal of `disk` for entries from `from` on, for a caller that has a snapshot of what is before: reads
    /// no segment that holds only earlier ones. What is read is judged as by [`Self::open`]; every block that says what
    /// was durable last lies there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_from(mut disk: D, options: Options, from: Index) -> Result<Opened<D>, Refusal> {
        let judged = judge(&mut disk, &options, from)?;
        Self::open_judged(disk, options, judged)
    }

    /// As [`Self::open_from`], for whoever has to bring peers up to date: where nothing says that a snapshot from `from` on may be handed
    /// on ([`Self::snap_mark`]), a peer that lacks what is before can be sent nothing but entries, and the log is read from its
    /// beginning. If it is not whole there, the part from `from` on has to do.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for_peers(mut disk: D, options: Options, from: Index) -> Result<Opened<D>, Refusal> {
        let mut judged = judge(&mut disk, &options, from)?;
        let findings = &judged.walked.findings;
        if findings.lost.is_none() && findings.marked < from {
            let all = judge(&mut disk, &options, Index(0))?;
            if all.walked.findings.lost.is_none() {
                judged = all;
            }
        }
        Self::open_judged(disk, options, judged)
    }

    fn open_judged(mut disk: D, options: Options, judged: Judged) -> Result<Opened<D>, Refusal> {
        let Judged { view, meta, segments, segments_passed, walked } = judged;
        let findings = &walked.findings;
        let is_cut = match findings.verdict {
            Verdict::Repair(_) => planted(Mutant::RepairTruncates),
            Verdict::Suspect { .. } => planted(Mutant::SuspectTruncates),
            Verdict::Clean | Verdict::Torn | Verdict::Unrepaired { .. } => false,
        };
        if let Some(refusal) = Refusal::of(findings).filter(|_| !is_cut) {
            return Err(refusal);
        }
        let active = findings.segment.ok_or(Refusal::NoSegment)?;
        check_owner(&active, &meta)?;
        let newest_snapshot = check_snapshots(&mut disk, &meta, findings)?;
        let is_torn = findings.verdict == Verdict::Torn && !planted(Mutant::TornTailLeft);
        let torn_bytes = if is_torn || is_cut {
            let nonce = if findings.end.segment == active.name() { active.nonce } else { walked.last_nonce };
            refill(&mut disk, findings.end.segment, findings.end.offset, nonce)?
        } else {
            0
        };
        for name in segments.iter().filter(|_| !planted(Mutant::StartWithoutSync)) {
            // What a killed process had written and not synced is read here; Raft counts it as durable from now on.
            // Earlier segments were durable when the header of the next was written.
            disk.sync(&name.file())?;
        }
        disk.sync_dir(Dir::Journal)?;
        // Making the journal may have been interrupted before the name of `meta` was durable.
        disk.sync_dir(Dir::Root)?;
        let meta = settle_meta(&mut disk, &view, meta, findings.hard_state)?;
        let report = OpenReport {
            findings: walked.findings.clone(),
            meta: view,
            segments: walked.segments,
            segments_passed,
            torn_bytes,
        };
        let journal = Self::assemble(disk, options, meta, active, walked);
        Ok(Opened { journal: Self { newest_snapshot, ..journal }, report })
    }

    pub(super) fn assemble(
        disk: D,
        options: Options,
        meta: Meta,
        active: SegmentHeader,
        walked: Walked,
    ) -> Self {
        let Findings { mut log, last_block, last_block_crc, commit, marked, sealed, end, .. } =
            walked.findings;
        let next_offset = if end.segment == active.name() { end.offset } else { active.segment_bytes };
        let mut tail = walked.tail;
        if let Some(before) =
            walked.before.filter(|before| log.base_index < before.0 && before.0 < log.last_index)
        {
            (log.base_index, log.base_term, log.base_chain) = before;
            tail.forget_before(log.base_index.next());
        }
        Self {
            disk,
            options,
            meta,
            log,
            written: log,
            tail,
            building: std::collections::VecDeque::new(),
            in_flight: None,
            active: ActiveSegment { file: active.name().file(), header: active, next_offset, sealed },
            spares: Spares::found(walked.spares, active.segno),
            last_block,
            last_block_crc,
            durable_block: last_block,
            hint_due: true,
            commit,
            written_commit: commit,
            newest_time: walked.newest_time,
            hard_state: meta.hard_state,
            newest_snapshot: Index(0),
            marked,
            appended: Mark(0),
            durable: Mark(0),
            durable_index: log.last_index,
            awaits_lone_records: false,
            scratch: Vec::new(),
            stats: Stats::default(),
        }
    }
}

impl Refusal {
    /// Whether entries are missing or in doubt, and the rest is fit to be gone on from: [`super::Damaged`] opens it.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Repair(_) | Self::Suspect(_) | Self::Unrepaired(_))
    }

    /// Why a log with these findings is not gone on with; `None` if it is.
    fn of(findings: &Findings) -> Option<Self> {
        match findings.verdict {
            Verdict::Clean | Verdict::Torn => None,
            Verdict::Repair(_) => Some(Self::Repair(Box::new(findings.clone()))),
            Verdict::Suspect { .. } => Some(Self::Suspect(Box::new(findings.clone()))),
            Verdict::Unrepaired { .. } => Some(Self::Unrepaired(Box::new(findings.clone()))),
        }
    }
}

/// A folder whose segments were walked.
pub(super) struct Judged {
    pub(super) view: MetaView,
    pub(super) meta: Meta,
    /// Those that were walked.
    pub(super) segments: Vec<SegmentName>,
    segments_passed: usize,
    pub(super) walked: Walked,
}

/// Reads what a start needs whose entries from `from` on are wanted, and judges it.
pub(super) fn judge<D: Disk>(disk: &mut D, options: &Options, from: Index) -> Result<Judged, Refusal> {
    check(options);
    remove_unfinished(disk)?;
    let (view, all) = (MetaView::load(disk)?, segment_names(disk)?);
    let Some(view) = view else {
        return Err(if all.is_empty() { Refusal::Empty } else { Refusal::MetaLost });
    };
    let meta = view.meta.ok_or(Refusal::MetaLost)?;
    let mut segments = settle_beginning(disk, &meta, all, from)?;
    let segments_passed = first_needed(disk, &segments, from)?;
    segments.drain(..segments_passed);
    let mut buffer = AlignedBuf::with_capacity(0);
    let walked = walk(disk, &segments, from, view.durable_hint, &mut buffer)?;
    Ok(Judged { view, meta, segments, segments_passed, walked })
}

/// What a walk over segments has found.
pub(super) struct Walked {
    pub(super) findings: Findings,
    /// Whole entries behind the place where linked blocks end, in the order in which they were written.
    pub(super) unlinked: Vec<Unlinked>,
    tail: Tail,
    /// The entry before the first that is wanted: index, term and chain.
    before: Option<(Index, Term, Hash)>,
    pub(super) spares: Vec<ReadySpare>,
    newest_time: UnixNanos,
    segments: usize,
    /// The last word of the segment in which blocks end.
    last_nonce: u64,
}

/// A whole entry that nothing links to the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unlinked {
    pub(super) index: Index,
    pub(super) term: Term,
    pub(super) chain: Hash,
    pub(super) place: Place,
    pub(super) len: usize,
}

impl Unlinked {
    fn of(frame: &Frame<'_>, place: Place) -> Self {
        let (index, term) = (frame.header.index, frame.header.term);
        Self { index, term, chain: frame.chain, place, len: frame.bytes.len() }
    }
}

/// The place in `names` of the segment from which on all entries from `from` on lie: reads headers only, the newest
/// first. Those of spares and damaged ones are passed; the walk meets them.
pub(super) fn first_needed<D: Disk>(
    disk: &mut D,
    names: &[SegmentName],
    from: Index,
) -> Result<usize, DiskFault> {
    if from.0 == 0 {
        return Ok(0);
    }
    let mut pages = AlignedBuf::zeroed(BLOCKS_AT as usize);
    let mut at = names.len();
    while let Some(name) = at.checked_sub(1).and_then(|before| names.get(before)) {
        at -= 1;
        let read = disk.read(&name.file(), 0, &mut pages, ReadFrom::Device)?;
        let pages = pages.get(..read).unwrap_or_default();
        if may_begin_with(*name, pages, from) {
            return Ok(at);
        }
        if let Some(repairs) = SegmentHeader::read_either(*name, pages).and_then(|header| header.repairs) {
            // What lies in between is given up: its entries may be others.
            at = at.min(names.partition_point(|name| name.segno <= repairs.behind_segno));
        }
    }
    Ok(0)
}

/// Reads segments from the device, one at a time, and judges them. Entries from `from` on are wanted.
pub(super) fn walk<D: Disk>(
    disk: &mut D,
    names: &[SegmentName],
    from: Index,
    durable_hint: u64,
    buffer: &mut AlignedBuf,
) -> Result<Walked, DiskFault> {
    walk_as(disk, names, from, durable_hint, buffer, &mut |_, _| ())
}

/// [`walk`], with the bytes of each segment as `change` leaves them.
pub(super) fn walk_as<D: Disk>(
    disk: &mut D,
    names: &[SegmentName],
    from: Index,
    durable_hint: u64,
    buffer: &mut AlignedBuf,
    change: &mut dyn FnMut(SegmentName, &mut AlignedBuf),
) -> Result<Walked, DiskFault> {
    let mut survey = Survey::new();
    let mut tail: Option<Tail> = None;
    let mut before = None;
    let mut newest_time = UnixNanos(0);
    let mut segments = 0;
    let (mut headerless, mut unlinked) = (Vec::new(), Vec::new());
    for name in names {
        read_segment(disk, *name, buffer, usize::MAX)?;
        change(*name, buffer);
        let mut entered = false;
        survey.segment(*name, buffer, &mut |visit| match visit {
            Visit::Segment(_, header) => {
                entered = true;
                newest_time = newest_time.max(header.created);
                tail.get_or_insert_with(|| Tail::new(header.first_index)).enter_segment(*header);
            }
            Visit::Block { place, unlinked: false, .. } => {
                if let Some(tail) = &mut tail {
                    tail.found_block(place);
                }
            }
            Visit::Frame { place, frame, unlinked: false } => {
                if let Some(tail) = &mut tail {
                    if frame.header.kind.is_entry() {
                        tail.found_entry(&frame, place);
                        newest_time = newest_time.max(frame.header.time);
                        if frame.header.index.next() == from {
                            before = Some((frame.header.index, frame.header.term, frame.chain));
                        }
                    } else if frame.header.kind == FrameKind::Truncate
                        && let Some(LocalMark::Truncate { from, .. }) = LocalMark::read(&frame)
                    {
                        tail.truncate(Index(from.0.saturating_sub(1)));
                    }
                }
            }
            Visit::Frame { place, frame, unlinked: true } if frame.header.kind.is_entry() => {
                unlinked.push(Unlinked::of(&frame, place));
            }
            Visit::Block { .. } | Visit::Frame { .. } | Visit::Damage(_) => {}
        });
        if entered {
            segments += 1;
        } else {
            headerless.extend(as_spare(*name, buffer));
        }
    }
    let findings = survey.finish(durable_hint);
    let last_nonce =
        headerless.iter().find(|spare| spare.name == findings.end.segment).map_or(0, |spare| spare.nonce);
    Ok(Walked {
        findings,
        unlinked,
        tail: tail.unwrap_or_else(|| Tail::new(Index(1))),
        before,
        spares: headerless,
        newest_time,
        segments,
        last_nonce,
    })
}

/// A segment without a header, if blocks can go behind its header pages.
fn as_spare(name: SegmentName, bytes: &[u8]) -> Option<ReadySpare> {
    let nonce = bytes.last_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    let len = bytes.len() as u64;
    let blocks = bytes.get(BLOCKS_AT as usize..)?;
    let usable = nonce != 0 && len >= segment::SEGMENT_BYTES_MIN && len.is_multiple_of(BLOCK_ALIGN as u64);
    // One that was begun and holds nothing yet is none: its header tells of blocks that were durable.
    let is_begun = SegmentHeader::read_either(name, bytes).is_some();
    (usable && !is_begun && is_prefill(blocks, nonce)).then_some(ReadySpare { name, bytes: len, nonce })
}

/// Reads a whole segment, `step_bytes` at a time.
pub(super) fn read_segment<D: Disk>(
    disk: &mut D,
    name: SegmentName,
    buffer: &mut AlignedBuf,
    step_bytes: usize,
) -> Result<(), DiskFault> {
    let len = disk.len(&name.file())?.unwrap_or(0) as usize;
    let aligned = len.next_multiple_of(BLOCK_ALIGN);
    if buffer.capacity() < aligned {
        *buffer = AlignedBuf::with_capacity(aligned);
    }
    buffer.resize(aligned);
    let mut read = 0;
    while read < len {
        let step = buffer.get_mut(read..aligned.min(read.saturating_add(step_bytes))).unwrap_or_default();
        let step_bytes = step.len();
        let done = disk.read(&name.file(), read as u64, step, ReadFrom::Device)?;
        read += done;
        if done < step_bytes {
            break;
        }
    }
    buffer.resize(read.min(len));
    Ok(())
}

/// Fills `name` with its pattern again from `offset` on (a segment's header pages only, where they are what is torn), so
/// that what is written there next is judged against it. Returns the bytes that were not the pattern.
pub(super) fn refill<D: Disk>(
    disk: &mut D,
    name: SegmentName,
    offset: u64,
    nonce: u64,
) -> Result<u64, DiskFault> {
    let file = name.file();
    let end = disk.len(&file)?.unwrap_or(0);
    let end = if offset < BLOCKS_AT { BLOCKS_AT.min(end) } else { end };
    let mut step = AlignedBuf::zeroed(PREFILL_STEP_BYTES);
    let mut pattern = AlignedBuf::zeroed(SECTOR_BYTES);
    segment::fill(&mut pattern, nonce);
    let (mut at, mut changed) = (offset, 0);
    while at < end {
        step.resize(PREFILL_STEP_BYTES.min((end - at) as usize));
        let read = disk.read(&file, at, &mut step, ReadFrom::Device)?;
        let read = step.get(..read).unwrap_or_default();
        for (sector, place) in read.chunks(SECTOR_BYTES).zip((at..).step_by(SECTOR_BYTES)) {
            if !is_prefill(sector, nonce) {
                disk.write_at(&file, place, &pattern[..sector.len()])?;
                changed += sector.len() as u64;
            }
        }
        at += step.len() as u64;
    }
    disk.sync(&file)?;
    Ok(changed)
}

/// The newer of what `meta` and the journal say: the frame is durable before meta is, and after a crash in between it is
/// ahead, by a term or by a first vote.
pub(super) fn newer(meta: HardState, journal: HardState) -> HardState {
    let votes_first = journal.term == meta.term && meta.vote.0 == 0 && journal.vote.0 != 0;
    if journal.term > meta.term || votes_first { journal } else { meta }
}

/// [`newer`]; and four whole copies of it.
fn settle_meta<D: Disk>(
    disk: &mut D,
    view: &MetaView,
    meta: Meta,
    journal: HardState,
) -> Result<Meta, DiskFault> {
    let hard_state = newer(meta.hard_state, journal);
    let ahead = hard_state != meta.hard_state;
    if !ahead && view.copies == 4 {
        disk.sync(&meta::file())?;
        return Ok(meta);
    }
    let settled = Meta { sequence: meta.sequence + 1, hard_state, ..meta };
    settled.store(disk)?;
    Ok(settled)
}

pub(super) fn check_owner(active: &SegmentHeader, meta: &Meta) -> Result<(), Refusal> {
    let meta = meta.identity;
    let segments = Identity { cluster: active.cluster, epoch: active.epoch, node: active.node, ..meta };
    if segments == meta {
        return Ok(());
    }
    Err(Refusal::Foreign { segments: Box::new(segments), meta: Box::new(meta) })
}

/// The newest snapshot's last entry, which the log must reach: it was committed. 0 without one.
pub(super) fn check_snapshots<D: Disk>(
    disk: &mut D,
    meta: &Meta,
    findings: &Findings,
) -> Result<Index, Refusal> {
    let kept = snapshot_file::kept(disk, &meta.identity)?;
    let snapshot = kept.first().map_or(Index(0), |newest| newest.index);
    if snapshot > findings.log.last_index {
        return Err(Refusal::BehindSnapshot { snapshot, findings: Box::new(findings.clone()) });
    }
    Ok(snapshot)
}

pub(super) fn segment_names<D: Disk>(disk: &mut D) -> Result<Vec<SegmentName>, DiskFault> {
    let mut names: Vec<_> =
        disk.list(Dir::Journal)?.iter().filter_map(|name| SegmentName::parse(name)).collect();
    names.sort_unstable();
    Ok(names)
}

pub(super) fn remove_unfinished<D: Disk>(disk: &mut D) -> Result<(), DiskFault> {
    for name in disk.list(Dir::Journal)? {
        if name.ends_with(UNFINISHED_SUFFIX) {
            disk.remove(&FileRef::new(Dir::Journal, name))?;
        }
    }
    Ok(())
}

fn check(options: &Options) {
    let Options { segment_bytes, block_bytes_max, .. } = *options;
    assert!(
        segment_bytes >= segment::SEGMENT_BYTES_MIN && segment_bytes.is_multiple_of(BLOCK_ALIGN as u64),
        "segments of {segment_bytes} bytes"
    );
    assert!(
        block_bytes_max.is_multiple_of(BLOCK_ALIGN) && (BLOCK_ALIGN..=64 << 10).contains(&block_bytes_max),
        "blocks of {block_bytes_max} bytes"
    );
}

//! The first walk over a folder: everything that can be said without running the engine.
//!
//! `journal::survey` verifies checksums, chain, numbers and links; what it visits is counted here, and kept where the second
//! walk or the report needs it: how far each segment goes, what was truncated, the chain where a snapshot was taken, the
//! head, and how far it is committed.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;

use engine::Skips;
use journal::block::BlockHeader;
use journal::classify::Verdict;
use journal::marks::LocalMark;
use journal::segment::{BLOCKS_AT, Repairs, SegmentHeader, SegmentName};
use journal::survey::{DamageKind, Findings, LogEnd, Place, Visit};
use protocol::frame::{Frame, FrameKind};
use protocol::hash::Hash;
use protocol::skip::Skip;
use protocol::{Index, Seq, Term};

use crate::args::Head;
use crate::finding::{Finding, Grade, expected_seq};
use crate::folder::Folder;
pub(crate) use crate::folder::OpenFault;

/// A segment in use, as far as it is whole and linked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentExtent {
    pub(crate) name: SegmentName,
    pub(crate) first_index: Index,
    /// Where its last block ends.
    pub(crate) end: u64,
    /// Frames in all segments before it.
    pub(crate) frames_before: u64,
    /// It goes on behind damage.
    pub(crate) repairs: Option<Repairs>,
}

/// What is remembered of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryEnd {
    pub(crate) index: Index,
    pub(crate) term: Term,
    pub(crate) chain: Hash,
    pub(crate) first_seq: Seq,
    pub(crate) count: u32,
    /// The last seq that a proposer of an entry before it had applied.
    recorded_before: Seq,
}

impl EntryEnd {
    /// The last seq up to and in this entry.
    pub(crate) fn last_seq(&self) -> Seq {
        Seq(self.first_seq.0.saturating_add(u64::from(self.count)).saturating_sub(1))
    }

    /// Whether it holds the record `seq`.
    fn holds(&self, seq: Seq) -> bool {
        seq.0.checked_sub(self.first_seq.0).is_some_and(|place| place < u64::from(self.count))
    }
}

/// A SNAP_MARK frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnapMark {
    pub(crate) index: Index,
    pub(crate) state_hash: Hash,
    pub(crate) place: Place,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Bytes of whole, linked blocks, padding included.
    pub(crate) block_bytes: u64,
    /// Raft entries, void ones included.
    pub(crate) entries: u64,
    /// Entries that a TRUNCATE frame made void.
    pub(crate) void_entries: u64,
    /// Frames that are local to the replica.
    pub(crate) local_frames: u64,
    /// Bytes of all frames.
    pub(crate) frame_bytes: u64,
    /// Whole blocks behind damage, which nothing links to what was read before.
    pub(crate) unlinked_blocks: u64,
    /// Entries in them.
    pub(crate) unlinked_entries: u64,
    /// The first and the last index in them.
    pub(crate) unlinked_indices: Option<(Index, Index)>,
}

/// A journal after the first walk.
pub(crate) struct Log {
    pub(crate) folder: Folder,
    pub(crate) survey: Findings,
    pub(crate) segments: Vec<SegmentExtent>,
    pub(crate) counts: Counts,
    pub(crate) marks: Vec<SnapMark>,
    /// The first seq that is here.
    pub(crate) first_seq: Option<Seq>,
    /// The last entry with a record.
    pub(crate) head: Option<EntryEnd>,
    /// The last one that is known to be committed.
    pub(crate) committed_head: Option<EntryEnd>,
    pub(crate) findings: Vec<Finding>,
    /// What operators passed over, in the order of their decisions.
    pub(crate) skips: Skips,
    truncations: Truncations,
    /// Of every entry behind which a snapshot was taken.
    snapshot_entries: BTreeMap<Index, EntryEnd>,
}

impl Log {
    /// Opens and walks the log of `dir`, or the `aside`th of those that were set aside in it. `head` is looked for on the way.
    pub(crate) fn open(
        dir: &Path,
        aside: Option<NonZeroUsize>,
        head: Option<Head>,
    ) -> Result<Self, OpenFault> {
        let folder = Folder::open(dir, aside)?;
        let mut walk = Walk { asked: head, ..Walk::default() };
        for snapshot in &folder.snapshots {
            walk.snapshot_entries.insert(snapshot.header.index, None);
        }
        let survey = folder.reader.scan(|visit| {
            walk.visit(&visit);
            ControlFlow::Continue(())
        })?;
        let Some(survey) = survey else { unreachable!("the visitor never breaks") };
        walk.take_commit();
        let head_findings = walk.judge_head(&survey);
        let mut log = Self {
            first_seq: walk.first_entry.map(|entry| entry.first_seq),
            head: walk.head(),
            committed_head: walk.committed_head,
            snapshot_entries: walk.entries_at_snapshots(&survey.log),
            segments: walk.segments,
            counts: walk.counts,
            marks: walk.marks,
            skips: skips_by_seq(walk.skips),
            truncations: Truncations::new(walk.truncations),
            findings: walk.forbidden,
            folder,
            survey,
        };
        log.findings.extend(head_findings);
        if aside.is_some() {
            // Those of later times are none of its.
            let snapshots = std::mem::take(&mut log.folder.snapshots);
            log.folder.snapshots =
                snapshots.into_iter().filter(|snapshot| log.agrees_on(&snapshot.header)).collect();
        }
        log.judge_segments(&walk.headers, &walk.header_copies)?;
        log.judge_tail();
        log.judge_repairs();
        log.judge_owner(&walk.headers);
        log.judge_snapshots();
        log.findings.append(&mut log.folder.findings);
        Ok(log)
    }

    /// Whether the entry at `index`, the `number`th frame of the journal, was truncated later.
    pub(crate) fn is_void(&self, index: Index, number: u64) -> bool {
        self.truncations.make_void(index, number)
    }

    /// The entry at the end of a snapshot, if the journal and the snapshot agree on it.
    pub(crate) fn agrees_on(&self, header: &journal::snapshot_file::SnapshotHeader) -> bool {
        self.snapshot_entries.get(&header.index).is_some_and(|entry| {
            entry.chain == header.chain
                && entry.term == header.term
                && entry.last_seq().next() == header.next_seq
        })
    }

    /// The last seq.
    pub(crate) fn last_seq(&self) -> Option<Seq> {
        self.head.map(|head| head.last_seq())
    }

    fn judge_segments(
        &mut self,
        headers: &[SegmentHeader],
        header_copies: &[Finding],
    ) -> Result<(), OpenFault> {
        for header in headers {
            let found = self.folder.segment_len(header.name())?;
            if found > header.segment_bytes {
                let what = "a segment is longer than its header says";
                let finding = Finding::damage(what).at(header.name());
                self.findings.push(finding.differs(header.segment_bytes, found));
            }
        }
        // Damage to what a repair has given up is part of the evidence.
        let in_use = |finding: &&Finding| {
            let place = finding.place.as_deref().unwrap_or_default();
            self.segments.iter().any(|segment| place.starts_with(&segment.name.to_string()))
        };
        for finding in header_copies.iter().filter(in_use) {
            let mut finding = finding.clone();
            let newest = self.survey.segment.map(|segment| segment.name().to_string());
            let is_begun = self.survey.end.offset > BLOCKS_AT;
            let of_newest = newest
                .is_some_and(|name| finding.place.as_ref().is_some_and(|place| place.starts_with(&name)));
            if of_newest && !is_begun {
                // The power may have gone between the two pages; no block was written yet.
                finding.grade = Grade::Notice;
            }
            self.findings.push(finding);
        }
        Ok(())
    }

    fn judge_tail(&mut self) {
        let survey = &self.survey;
        let at_end = |grade: Grade, what: String| match &survey.damage {
            Some(damage) => {
                let mut finding = Finding::of_damage(grade, damage);
                finding.what = format!("{what}: {}", finding.what);
                finding
            }
            None => {
                let mut finding =
                    Finding::new(grade, what).at(survey.end).index(survey.log.last_index.next());
                finding.block = Some(survey.last_block + 1);
                finding.seq = expected_seq(survey.log.next_seq, survey.log.last_index.next());
                finding
            }
        };
        let finding = match &survey.verdict {
            Verdict::Clean => return,
            Verdict::Torn => {
                let what = format!(
                    "a write that never finished, and so was never acknowledged ({})",
                    survey.row.name
                );
                at_end(Grade::Notice, what)
            }
            Verdict::Repair(blocks) => {
                let (first, last) = (blocks.start(), blocks.end());
                at_end(
                    Grade::Damage,
                    format!("blocks {first} to {last} were durable and are damaged or gone"),
                )
            }
            Verdict::Unrepaired { reach, term } => at_end(
                Grade::Damage,
                format!("a repair from peers is not done: entries up to {reach} of term {term} are missing"),
            ),
            Verdict::Suspect { from_block, named } => {
                let mut what = format!(
                    "the tail from block {from_block} on cannot be judged ({}): it may have been acknowledged",
                    survey.row.name
                );
                if let Some((index, term)) = named {
                    what.push_str(&format!("; its header names entry {index} of term {term}"));
                }
                at_end(Grade::Doubt, what)
            }
        };
        self.findings.push(finding);
        if let Some((first, last)) = self.counts.unlinked_indices {
            let what = format!(
                "behind it lie {} whole blocks with {} entries, {first} to {last}, that nothing links to what is before: \
                 not counted, not re-run",
                self.counts.unlinked_blocks, self.counts.unlinked_entries
            );
            self.findings.push(Finding::new(Grade::Notice, what));
        }
    }

    /// What was damaged once and brought back from peers is never silent.
    fn judge_repairs(&mut self) {
        for repairs in &self.survey.repaired {
            let by = |header: &SegmentExtent| header.repairs == Some(*repairs);
            let at = self.segments.iter().position(by);
            let how =
                if at == Some(0) { "begins anew here, with a peer's snapshot," } else { "goes on here" };
            let what = format!(
                "the log {how} behind damage in segment {}: blocks up to {} are given up, and entries up to {} of term {} were brought back from peers",
                repairs.behind_segno, repairs.given_up_to, repairs.reach_index, repairs.reach_term
            );
            let place = at.and_then(|at| self.segments.get(at)).map(|segment| segment.name);
            self.findings.push(Finding::new(Grade::Notice, what).at(place.unwrap_or_default()));
        }
    }

    /// `meta` and the segments must be the same replica's.
    fn judge_owner(&mut self, headers: &[SegmentHeader]) {
        let Some(meta) = self.folder.reader.meta().and_then(|meta| meta.meta) else { return };
        let Some(header) = headers.first() else { return };
        if (meta.identity.cluster, meta.identity.node) != (header.cluster, header.node) {
            let of = |cluster: protocol::ClusterId, node: protocol::NodeId| {
                format!("cluster {:032x}, node {node}", cluster.0)
            };
            let finding = Finding::damage("meta is another replica's").at("meta");
            self.findings.push(
                finding
                    .differs(of(header.cluster, header.node), of(meta.identity.cluster, meta.identity.node)),
            );
        }
    }

    /// Snapshots against the chain; their states are compared when the engine has come there.
    fn judge_snapshots(&mut self) {
        let (base, last) = (self.survey.log.base_index, self.survey.log.last_index);
        let mut findings = Vec::new();
        for snapshot in &self.folder.snapshots {
            let header = &snapshot.header;
            let place = format!("snap/{}", snapshot.name);
            if header.index < base {
                let what = "a snapshot of entries that are no longer here: not compared with the journal";
                findings.push(Finding::new(Grade::Notice, what).at(place).index(header.index));
            } else if header.index > last {
                let finding = Finding::damage("the journal ends before a snapshot that was taken of it");
                let (expected, found) = (format!("entry {}", header.index), format!("entry {last}"));
                findings.push(finding.at(place).index(last.next()).differs(expected, found));
            } else if !self.agrees_on(header) {
                let found = self.snapshot_entries.get(&header.index);
                let found = found.map_or("no such entry".to_owned(), |entry| {
                    format!(
                        "chain {}, term {}, next seq {}",
                        entry.chain,
                        entry.term,
                        entry.last_seq().next()
                    )
                });
                let expected =
                    format!("chain {}, term {}, next seq {}", header.chain, header.term, header.next_seq);
                let finding = Finding::damage("a snapshot and the journal tell different histories");
                findings.push(finding.at(place).index(header.index).differs(expected, found));
            }
        }
        self.findings.append(&mut findings);
    }
}

/// What the visitor gathers.
#[derive(Default)]
struct Walk {
    asked: Option<Head>,
    /// Chain of the entry that holds the seq asked for.
    asked_found: Option<EntryEnd>,
    first_entry: Option<EntryEnd>,
    headers: Vec<SegmentHeader>,
    header_copies: Vec<Finding>,
    forbidden: Vec<Finding>,
    segments: Vec<SegmentExtent>,
    counts: Counts,
    frames: u64,
    truncations: Vec<(u64, Index)>,
    marks: Vec<SnapMark>,
    skips: Vec<(Index, Skip)>,
    snapshot_entries: BTreeMap<Index, Option<EntryEnd>>,
    commit: Index,
    commit_in_block: Index,
    /// Entries not known to be committed: bounded by what a replica may have in flight.
    uncommitted: VecDeque<EntryEnd>,
    /// The last seq that a proposer had applied: decisions to pass over what was taken already are void.
    recorded_to: Seq,
    committed_head: Option<EntryEnd>,
}

impl Walk {
    fn visit(&mut self, visit: &Visit<'_>) {
        match visit {
            Visit::Segment(name, header) => {
                self.headers.push(**header);
                self.segments.push(SegmentExtent {
                    name: *name,
                    first_index: header.first_index,
                    end: BLOCKS_AT,
                    frames_before: self.frames,
                    repairs: header.repairs,
                });
                if header.repairs.is_some() {
                    let counts = &mut self.counts;
                    (counts.unlinked_blocks, counts.unlinked_entries, counts.unlinked_indices) = (0, 0, None);
                }
            }
            Visit::Block { header, unlinked: true, .. } => self.unlinked(header),
            Visit::Block { place, header, unlinked: false } => self.block(*place, header),
            Visit::Frame { place, frame, unlinked: false } => self.frame(*place, frame),
            Visit::Frame { unlinked: true, .. } => {}
            Visit::Damage(damage) => {
                // What ends the walk is judged with the tail: it may be a torn write and no damage at all.
                if let DamageKind::HeaderCopy(_) = damage.kind {
                    self.header_copies.push(Finding::of_damage(Grade::Damage, damage));
                }
            }
        }
    }

    fn unlinked(&mut self, header: &BlockHeader) {
        let counts = &mut self.counts;
        counts.unlinked_blocks += 1;
        counts.unlinked_entries += u64::from(header.entries);
        if header.entries > 0 {
            let (first, last) = counts.unlinked_indices.unwrap_or((header.first_index, header.last_index));
            counts.unlinked_indices = Some((first.min(header.first_index), last.max(header.last_index)));
        }
    }

    fn block(&mut self, place: Place, header: &BlockHeader) {
        self.counts.block_bytes += header.extent() as u64;
        if let Some(segment) = self.segments.last_mut() {
            segment.end = place.offset + header.extent() as u64;
        }
        self.take_commit();
        self.commit_in_block = header.commit_index;
    }

    /// What the last block said is committed, which may be what stands in it: behind its frames.
    fn take_commit(&mut self) {
        self.commit = self.commit.max(self.commit_in_block);
        while let Some(entry) = self.uncommitted.pop_front_if(|entry| entry.index <= self.commit) {
            if entry.count > 0 {
                self.committed_head = Some(entry);
            }
        }
    }

    fn frame(&mut self, place: Place, frame: &Frame<'_>) {
        self.frames += 1;
        self.counts.frame_bytes += frame.bytes.len() as u64;
        let header = &frame.header;
        if header.kind.is_entry() {
            self.entry(frame);
            return;
        }
        self.counts.local_frames += 1;
        match LocalMark::read(frame) {
            Some(LocalMark::Truncate { from, .. }) => {
                if from <= self.commit {
                    let finding = Finding::damage("a truncation reaches below what was committed");
                    let finding = finding.at(place).index(from);
                    self.forbidden.push(finding.differs(format!("above {}", self.commit), from));
                }
                self.truncate(from);
            }
            Some(LocalMark::Snapshot { index, state_hash, .. }) => {
                self.marks.push(SnapMark { index, state_hash, place });
            }
            Some(LocalMark::HardState(_) | LocalMark::Seal { .. }) | None => {}
        }
    }

    fn entry(&mut self, frame: &Frame<'_>) {
        self.counts.entries += 1;
        let header = &frame.header;
        if header.kind == FrameKind::Skip
            && let Ok(skip) = Skip::read(frame.payload)
            && skip.seq < header.first_seq
            && skip.seq > self.recorded_to
        {
            self.skips.push((header.index, skip));
        }
        let entry = EntryEnd {
            index: header.index,
            term: header.term,
            chain: frame.chain,
            first_seq: header.first_seq,
            count: if header.kind == FrameKind::Entry { header.count } else { 0 },
            recorded_before: self.recorded_to,
        };
        if header.kind == FrameKind::Entry {
            self.recorded_to = self.recorded_to.max(header.applied_seq);
        }
        self.first_entry.get_or_insert(entry);
        if self.asked.is_some_and(|asked| entry.holds(asked.seq)) {
            self.asked_found = Some(entry);
        }
        if let Some(wanted) = self.snapshot_entries.get_mut(&entry.index) {
            *wanted = Some(entry);
        }
        if entry.index <= self.commit {
            // A replica that catches up is told the commit index before the entries.
            if entry.count > 0 {
                self.committed_head = Some(entry);
            }
        } else {
            self.uncommitted.push_back(entry);
        }
    }

    fn truncate(&mut self, from: Index) {
        self.truncations.push((self.frames, from));
        self.skips.retain(|(index, _)| *index < from);
        while let Some(void) = self.uncommitted.pop_back_if(|entry| entry.index >= from) {
            self.counts.void_entries += 1;
            self.recorded_to = void.recorded_before;
        }
        for (_, entry) in self.snapshot_entries.range_mut(from..) {
            *entry = None;
        }
        if self.asked_found.is_some_and(|entry| entry.index >= from) {
            self.asked_found = None;
        }
    }

    fn head(&self) -> Option<EntryEnd> {
        let newest = self.uncommitted.iter().rev().find(|entry| entry.count > 0);
        newest.copied().or(self.committed_head)
    }

    fn entries_at_snapshots(&self, log: &LogEnd) -> BTreeMap<Index, EntryEnd> {
        let mut entries: BTreeMap<Index, EntryEnd> =
            self.snapshot_entries.iter().filter_map(|(index, entry)| Some((*index, (*entry)?))).collect();
        if self.snapshot_entries.contains_key(&log.base_index) {
            // The entry itself is in a segment that was dropped; the next segment's header says its chain.
            let first = self.segments.first().map(|segment| segment.first_index);
            if first == Some(log.base_index.next()) {
                let next_seq = self.first_entry.map_or(Seq(1), |entry| entry.first_seq);
                let base = EntryEnd {
                    index: log.base_index,
                    term: log.base_term,
                    chain: log.base_chain,
                    first_seq: next_seq,
                    count: 0,
                    recorded_before: Seq::ZERO,
                };
                entries.insert(log.base_index, base);
            }
        }
        entries
    }

    /// Whether the entry that was noted as head is here, and the same.
    fn judge_head(&self, survey: &Findings) -> Option<Finding> {
        let asked = self.asked?;
        let place = format!("--head {}:{}", asked.seq, asked.chain);
        let Some(entry) = self.asked_found else {
            let last = self.head().map_or(Seq::ZERO, |head| head.last_seq());
            let is_dropped = survey.log.base_index > Index(0) && asked.seq <= last;
            let finding = if is_dropped {
                Finding::new(Grade::Doubt, "the head that was noted lies before what is here")
            } else {
                Finding::damage("the head that was noted is not in this history: it ends before")
            };
            return Some(finding.at(place).seq(last.next()).differs(asked.chain, "no such seq"));
        };
        if entry.chain == asked.chain {
            return None;
        }
        let what = "the head that was noted is another: this history was rewritten at or before this seq";
        Some(
            Finding::damage(what)
                .at(place)
                .seq(asked.seq)
                .index(entry.index)
                .differs(asked.chain, entry.chain),
        )
    }
}

fn skips_by_seq(decisions: Vec<(Index, Skip)>) -> Skips {
    let mut skips = Skips::new();
    for (_, skip) in decisions {
        skips.entry(skip.seq).or_default().push(skip);
    }
    skips
}

/// TRUNCATE frames: the number of each among all frames, and the lowest index that it or a later one makes void.
struct Truncations(Vec<(u64, Index)>);

impl Truncations {
    /// Of frames in order, each with its own first void index.
    fn new(mut truncations: Vec<(u64, Index)>) -> Self {
        let mut lowest = Index(u64::MAX);
        for (_, from) in truncations.iter_mut().rev() {
            lowest = lowest.min(*from);
            *from = lowest;
        }
        Self(truncations)
    }

    fn make_void(&self, index: Index, number: u64) -> bool {
        let later = self.0.partition_point(|(truncation, _)| *truncation <= number);
        self.0.get(later).is_some_and(|(_, lowest)| *lowest <= index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every history of six frames, each an entry or a truncation to any index, beside a list that is cut.
    #[test]
    fn void_is_what_a_list_that_is_cut_no_longer_holds() {
        for code in 0..7_u64.pow(6) {
            let frames: Vec<u64> = (0..6).map(|place| code / 7_u64.pow(place) % 7).collect();
            let (mut list, mut entries, mut truncations) = (Vec::new(), Vec::new(), Vec::new());
            for (number, frame) in (1..).zip(frames) {
                let next = list.len() as u64 + 1;
                if frame == 0 {
                    list.push(number);
                    entries.push((Index(next), number));
                } else if frame < next {
                    list.truncate(frame as usize - 1);
                    truncations.push((number, Index(frame)));
                }
            }
            let truncations = Truncations::new(truncations);
            for (index, number) in entries {
                assert_eq!(truncations.make_void(index, number), !list.contains(&number), "history {code}");
            }
        }
    }
}

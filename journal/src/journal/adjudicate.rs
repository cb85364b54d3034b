//! An operator decides about a tail that the machine cannot judge: it is set aside, never destroyed, and the reason is
//! on record.

use protocol::limits::BLOCK_ALIGN;

use super::anew::settle_beginning;
use super::open::{
    Opened, Refusal, check_owner, check_snapshots, first_needed, refill, remove_unfinished, segment_names,
    walk, walk_as,
};
use super::{Journal, Options};
use crate::AlignedBuf;
use crate::classify::Verdict;
use crate::disk::{Dir, Disk, DiskFault, FileRef, ReadFrom};
use crate::meta::MetaView;
use crate::segment::{self, BLOCKS_AT, SegmentHeader, SegmentName, is_prefill};
use crate::survey::Findings;

/// What was decided, and where the evidence lies.
#[derive(Clone, Debug)]
pub struct Adjudication {
    /// The state that was judged.
    pub findings: Findings,
    /// Report and reason.
    pub record: FileRef,
    /// Copies of what was cut off, and segments that were set aside.
    pub evidence: Vec<FileRef>,
}

impl<D: Disk> Journal<D> {
    /// Ends the log at the last entry that is whole, because the operator says for `reason` that nothing behind it was
    /// acknowledged. Only for a tail in doubt: blocks that were durable and entries that a snapshot holds are never given
    /// up. Judges what a start judges, the journal from the older snapshot on. The decision is a TRUNCATE frame in the
    /// journal too.
    ///
    /// # Errors
    /// [`Refusal`]. Nothing is changed on disk then, except that unfinished files are removed; but after
    /// [`Refusal::Disk`] a part may be done: start the node, or decide again if it still refuses.
    pub fn adjudicate(
        mut disk: D,
        options: Options,
        reason: &str,
    ) -> Result<(Opened<D>, Adjudication), Refusal> {
        remove_unfinished(&mut disk)?;
        let view = MetaView::load(&mut disk)?.ok_or(Refusal::Empty)?;
        let meta = view.meta.ok_or(Refusal::MetaLost)?;
        let from = Self::needed_from(&mut disk)?;
        let all = segment_names(&mut disk)?;
        let all = settle_beginning(&mut disk, &meta, all, from)?;
        let names = all.get(first_needed(&mut disk, &all, from)?..).unwrap_or_default();
        let mut buffer = AlignedBuf::with_capacity(0);
        let findings = walk(&mut disk, names, from, view.durable_hint, &mut buffer)?.findings;
        match findings.verdict {
            Verdict::Suspect { .. } => {}
            Verdict::Repair(_) => return Err(Refusal::Repair(Box::new(findings))),
            Verdict::Unrepaired { .. } => return Err(Refusal::Unrepaired(Box::new(findings))),
            Verdict::Clean | Verdict::Torn => return Err(Refusal::NothingInDoubt),
        }
        let active = findings.segment.ok_or(Refusal::NoSegment)?;
        check_owner(&active, &meta)?;
        check_snapshots(&mut disk, &meta, &findings)?;
        let kept = names.partition_point(|name| *name <= active.name());
        let (kept, given_up) = names.split_at(kept);
        let mut cut = |name: SegmentName, bytes: &mut AlignedBuf| {
            if name == active.name() {
                cut_off(&active, &findings, bytes);
            }
        };
        let after = walk_as(&mut disk, kept, from, view.durable_hint, &mut buffer, &mut cut)?.findings;
        if after.verdict != Verdict::Clean {
            return Err(Refusal::StillInDoubt(Box::new(after)));
        }
        let record = write_record(&mut disk, &findings, reason)?;
        let evidence = set_aside(&mut disk, &active, &findings, given_up)?;
        let mut opened = Self::open_from(disk, options, from)?;
        let log = *opened.journal.log_end();
        opened.journal.record_truncation(log.last_index.next(), log.last_term, log.chain);
        Ok((opened, Adjudication { findings, record, evidence }))
    }
}

/// What the last segment's bytes are once its tail is set aside.
fn cut_off(active: &SegmentHeader, findings: &Findings, bytes: &mut AlignedBuf) {
    if findings.end.segment != active.name() {
        return;
    }
    let mut whole = AlignedBuf::zeroed(active.segment_bytes as usize);
    segment::fill(&mut whole, active.nonce);
    let kept = (findings.end.offset as usize).min(bytes.len());
    whole[..kept].copy_from_slice(&bytes[..kept]);
    whole[..BLOCKS_AT as usize].copy_from_slice(&active.pages());
    *bytes = whole;
}

/// A name in `dir` that no earlier decision has used.
pub(super) fn unused<D: Disk>(
    disk: &mut D,
    dir: Dir,
    stem: &str,
    suffix: &str,
) -> Result<FileRef, DiskFault> {
    let mut file = FileRef::new(dir, format!("{stem}{suffix}"));
    for number in 2_u32.. {
        if disk.len(&file)?.is_none() {
            break;
        }
        file = FileRef::new(dir, format!("{stem}-{number}{suffix}"));
    }
    Ok(file)
}

fn write_record<D: Disk>(disk: &mut D, findings: &Findings, reason: &str) -> Result<FileRef, DiskFault> {
    let stem = format!("adjudication-{:010}", findings.last_block + 1);
    let record = unused(disk, Dir::Root, &stem, ".txt")?;
    let text = format!(
        "The log was ended behind entry {} (block {}, chain {}) by an operator's decision.\nReason: {reason}\nFindings: {findings:#?}\n",
        findings.log.last_index, findings.last_block, findings.log.chain
    );
    disk.write_at(&record, 0, text.as_bytes())?;
    disk.sync(&record)?;
    disk.sync_dir(Dir::Root)?;
    Ok(record)
}

/// Copies or moves away everything behind the last whole block, then fills its place with the pattern. What needs room
/// comes first: on a full disk nothing is moved.
fn set_aside<D: Disk>(
    disk: &mut D,
    active: &SegmentHeader,
    findings: &Findings,
    given_up: &[SegmentName],
) -> Result<Vec<FileRef>, DiskFault> {
    let (name, end) = (active.name(), findings.end.offset);
    let is_cut = findings.end.segment == name;
    let mut evidence = Vec::new();
    if is_cut {
        let aside = unused(disk, Dir::Journal, &format!("{name}-{end}"), ".suspect")?;
        copy_tail(disk, name, end, active.nonce, &aside)?;
        evidence.push(aside);
        let len = disk.len(&name.file())?.unwrap_or(0);
        if len < active.segment_bytes {
            extend(disk, name, len, active.segment_bytes, active.nonce)?;
        }
    }
    for later in given_up {
        // Spares among them are made again.
        let aside = unused(disk, Dir::Journal, &later.to_string(), ".suspect")?;
        disk.rename(&later.file(), &aside)?;
        evidence.push(aside);
    }
    disk.sync_dir(Dir::Journal)?;
    if is_cut {
        refill(disk, name, end, active.nonce)?;
        disk.write_at(&name.file(), 0, &active.pages())?;
        disk.sync(&name.file())?;
    }
    Ok(evidence)
}

/// Copies what lies at and behind `offset` up to the last page that is not the pattern.
fn copy_tail<D: Disk>(
    disk: &mut D,
    name: SegmentName,
    offset: u64,
    nonce: u64,
    aside: &FileRef,
) -> Result<(), DiskFault> {
    let len = disk.len(&name.file())?.unwrap_or(0).saturating_sub(offset) as usize;
    let mut tail = AlignedBuf::zeroed(len);
    let read = disk.read(&name.file(), offset, &mut tail, ReadFrom::Device)?;
    let tail = tail.get(..read).unwrap_or_default();
    let pages =
        tail.chunks(BLOCK_ALIGN).rposition(|page| !is_prefill(page, nonce)).map_or(0, |last| last + 1);
    disk.write_at(aside, 0, tail.get(..pages * BLOCK_ALIGN).unwrap_or(tail))?;
    disk.sync(aside)?;
    disk.sync_dir(Dir::Journal)
}

fn extend<D: Disk>(disk: &mut D, name: SegmentName, from: u64, to: u64, nonce: u64) -> Result<(), DiskFault> {
    let aligned = from - from % 8;
    let mut pattern = AlignedBuf::zeroed((to - aligned) as usize);
    segment::fill(&mut pattern, nonce);
    disk.write_at(&name.file(), from, pattern.get((from - aligned) as usize..).unwrap_or_default())
}

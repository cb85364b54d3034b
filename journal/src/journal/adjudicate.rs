//! An operator decides about a tail that the machine cannot judge: it is set aside, never destroyed, and the reason is
//! on record.

use protocol::limits::BLOCK_ALIGN;

use super::open::{Opened, Refusal, refill, remove_unfinished, segment_names, walk};
use super::{Journal, Options};
use crate::AlignedBuf;
use crate::classify::Verdict;
use crate::disk::{Dir, Disk, DiskFault, FileRef, ReadFrom};
use crate::meta::MetaView;
use crate::segment::{self, SegmentName, is_prefill};
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
    /// acknowledged. Only for a tail in doubt: blocks that were durable are never given up. The decision is a TRUNCATE
    /// frame in the journal too.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn adjudicate(
        mut disk: D,
        options: Options,
        reason: &str,
    ) -> Result<(Opened<D>, Adjudication), Refusal> {
        remove_unfinished(&mut disk)?;
        let view = MetaView::load(&mut disk)?.ok_or(Refusal::Empty)?;
        let names = segment_names(&mut disk)?;
        let mut buffer = AlignedBuf::with_capacity(0);
        let findings = walk(&mut disk, &names, view.durable_hint, &mut buffer)?.findings;
        match findings.verdict {
            Verdict::Suspect { .. } => {}
            Verdict::Repair(_) => return Err(Refusal::Repair(Box::new(findings))),
            Verdict::Clean | Verdict::Torn => return Err(Refusal::NothingInDoubt),
        }
        let record = write_record(&mut disk, &findings, reason)?;
        let evidence = set_aside(&mut disk, &findings, &names)?;
        let names = segment_names(&mut disk)?;
        let after = walk(&mut disk, &names, view.durable_hint, &mut buffer)?.findings;
        if !matches!(after.verdict, Verdict::Clean | Verdict::Torn) {
            return Err(Refusal::StillInDoubt(Box::new(after)));
        }
        let mut opened = Self::open(disk, options)?;
        let log = *opened.journal.log_end();
        opened.journal.record_truncation(log.last_index.next(), log.last_term, log.chain);
        Ok((opened, Adjudication { findings, record, evidence }))
    }
}

fn write_record<D: Disk>(disk: &mut D, findings: &Findings, reason: &str) -> Result<FileRef, DiskFault> {
    let record = FileRef::new(Dir::Root, format!("adjudication-{:010}.txt", findings.last_block + 1));
    let text = format!(
        "The log was ended behind entry {} (block {}, chain {}) by an operator's decision.\nReason: {reason}\nFindings: {findings:#?}\n",
        findings.log.last_index, findings.last_block, findings.log.chain
    );
    disk.remove(&record)?;
    disk.write_at(&record, 0, text.as_bytes())?;
    disk.sync(&record)?;
    disk.sync_dir(Dir::Root)?;
    Ok(record)
}

/// Moves or copies away everything behind the last whole block, then fills its place with the pattern.
fn set_aside<D: Disk>(
    disk: &mut D,
    findings: &Findings,
    names: &[SegmentName],
) -> Result<Vec<FileRef>, DiskFault> {
    let mut evidence = Vec::new();
    let active = findings.segment.map(|header| header.name()).unwrap_or_default();
    for name in names.iter().filter(|name| **name > active) {
        // Spares among them are made again.
        let aside = FileRef::new(Dir::Journal, format!("{name}.suspect"));
        disk.rename(&name.file(), &aside)?;
        evidence.push(aside);
    }
    disk.sync_dir(Dir::Journal)?;
    let Some(header) = findings.segment.filter(|_| findings.end.segment == active) else {
        return Ok(evidence);
    };
    let aside = FileRef::new(Dir::Journal, format!("{active}-{}.suspect", findings.end.offset));
    copy_tail(disk, active, findings.end.offset, header.nonce, &aside)?;
    evidence.push(aside);
    let len = disk.len(&active.file())?.unwrap_or(0);
    if len < header.segment_bytes {
        extend(disk, active, len, header.segment_bytes, header.nonce)?;
    }
    refill(disk, active, findings.end.offset, header.nonce)?;
    disk.write_at(&active.file(), 0, &header.pages())?;
    disk.sync(&active.file())?;
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
    disk.remove(aside)?;
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

//! A damaged log gets back what it has lost, from entries that others have: it is read as far as it is whole, goes on behind
//! the damage, and is opened as usual when everything is there again.
//!
//! Nothing that lies on the disk is changed, cut or moved. The log goes on in a new segment whose header says so
//! ([`Repairs`]): behind which whole block, which blocks are given up, and which entry the log has to reach. A walk that meets
//! damage looks for such a header and goes on there; what lies between stays in the files for whoever wants to see it. That one
//! header is all that changes the verdict, so that a crash has three places:
//!
//! 1. Before the header is whole: the folder is as it was, damaged. A torn header is no header.
//! 2. Behind it, and before the log has ended with the entry named: the log is linked, but [`Verdict::Unrepaired`]; it
//!    is opened by [`Damaged`] alone, and remembers what it has to reach. The next attempt begins another segment.
//! 3. Behind that: an ordinary log.
//!
//! In none of them is the log shorter than it was and looks clean. A log whose doubtful tail is given up reaches its end with the
//! header itself. Numbers of blocks go on above every number that anything on the disk tells of, so that hints and stale
//! headers of what was given up never pass for newer. Term and vote are those of `meta` and of whole blocks: a HARDSTATE frame that is
//! lost was followed by `meta`, or by nothing.
//!
//! Where what is lost is in no log any more, because all logs begin behind a snapshot, the log begins anew behind that one
//! ([`Damaged::begin_anew`]): the same header then also says that nothing comes before it. Up to the moment at which the snapshot has its
//! name the damaged log is as it was; `anew.rs` has the steps. What was damaged is set aside with all the rest.
//!
//! Which entries are right is not decided here but that they link: each is verified against the chain of the one before it.

use std::collections::BTreeMap;

use protocol::frame::{Frame, FrameFault};
use protocol::mutant::{Mutant, planted};
use protocol::{Index, Term};

use super::anew::{set_all_aside_before, write_header};
use super::open::{Judged, Refusal, Unlinked, check_owner, judge, newer, segment_names};
use super::roll::{ReadySpare, Spares};
use super::{Identity, Journal, JournalFault, Options, Progress, ReadFault};
use crate::disk::{Dir, Disk, DiskFault, ReadFrom};
use crate::marks::HardState;
use crate::segment::{self, Repairs, SegmentHeader, SegmentName};
use crate::snapshot_file::{self, SnapshotHeader};
use crate::survey::{DamageKind, Findings, LogEnd, LostEnd};

/// A log that is damaged, and is being repaired.
pub struct Damaged<D> {
    journal: Journal<D>,
    findings: Findings,
    lost: LostEnd,
    /// Whole entries behind the damage: they are taken where they link.
    own: BTreeMap<Index, Vec<Unlinked>>,
    segments: Vec<SegmentName>,
    spares: Vec<ReadySpare>,
    /// What the log has to reach, once that was written.
    reach: Option<(Index, Term)>,
}

/// Why an entry is not taken; the log is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is no whole entry.
    #[error("not an entry: {0:?}")]
    Frame(FrameFault),
    /// It is not the next one, or does not go on in seq or chain.
    #[error("it does not continue the log: {0:?}")]
    Link(DamageKind),
    /// Its term is above the one of the entry that the log has to reach, or below the one before it.
    #[error("an entry of term {0} does not belong here")]
    Term(Term),
    /// Our own entry at that place is whole, and another.
    #[error("it is not the entry that was here")]
    Another,
    /// The log has reached its end.
    #[error("the log is complete")]
    Beyond,
}

impl<D: Disk> Damaged<D> {
    /// Opens a log that [`Journal::open_from`] refuses because it is damaged, in doubt or not repaired to its end.
    ///
    /// # Errors
    /// [`Refusal`]: [`Refusal::NothingInDoubt`] if it would be opened; else what cannot be repaired from entries of others. Nothing
    /// is changed on disk, except that unfinished files are removed.
    pub fn open(disk: D, options: Options, from: Index) -> Result<Self, Refusal> {
        let found = Self::open_as_found(disk, options, from)?;
        if found.is_whole() { Err(Refusal::NothingInDoubt) } else { Ok(found) }
    }

    /// [`Self::open`], and a log that is whole too: its state may be what is missing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_as_found(mut disk: D, options: Options, from: Index) -> Result<Self, Refusal> {
        let Judged { meta, segments, walked, .. } = judge(&mut disk, &options, from)?;
        let findings = walked.findings.clone();
        let lost = findings.lost.unwrap_or(LostEnd {
            end: Some((findings.log.last_index, findings.log.last_term)),
            was_durable: true,
            newest_block: findings.last_block,
        });
        let active = findings.segment.ok_or(Refusal::NoSegment)?;
        check_owner(&active, &meta)?;
        let mut own: BTreeMap<Index, Vec<Unlinked>> = BTreeMap::new();
        for entry in &walked.unlinked {
            own.entry(entry.index).or_default().push(*entry);
        }
        let spares = walked.spares.clone();
        let mut journal = Journal::assemble(disk, options, meta, active, walked);
        journal.hard_state = newer(meta.hard_state, findings.hard_state);
        // No block goes where it ends now.
        journal.active.sealed = true;
        Ok(Self { journal, findings, lost, own, segments, spares, reach: None })
    }

    /// How it was found.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.findings.lost.is_none()
    }

    /// What is missing; of a whole log its end.
    #[must_use]
    pub fn lost(&self) -> &LostEnd {
        &self.lost
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.journal.identity()
    }

    /// The newest term and vote that are known.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        self.journal.hard_state
    }

    /// End of what is whole and linked, with what was taken since.
    #[must_use]
    pub fn log_end(&self) -> &LogEnd {
        self.journal.log_end()
    }

    /// The newest entry known to be committed.
    #[must_use]
    pub fn commit(&self) -> Index {
        self.journal.commit()
    }

    /// The first entry that can be read.
    #[must_use]
    pub fn first_index(&self) -> Index {
        self.journal.first_index()
    }

    /// Term of an entry; also of the one before the first.
    #[must_use]
    pub fn term(&self, index: Index) -> Option<Term> {
        self.journal.term(index)
    }

    /// Chain of an entry; also of the one before the first.
    ///
    /// # Errors
    /// [`ReadFault`].
    pub fn chain(&mut self, index: Index) -> Result<protocol::hash::Hash, ReadFault> {
        self.journal.chain(index)
    }

    /// What is whole and linked, to be read: others may repair their logs from it.
    pub fn readable(&mut self) -> &mut Journal<D> {
        &mut self.journal
    }

    /// The entry that the log has to reach, once [`Self::begin`] has said so.
    #[must_use]
    pub fn reach(&self) -> Option<(Index, Term)> {
        self.reach
    }

    /// Begins the repair: the log behind `base` is void, and is whole again when it ends with the entry `reach`. With both at
    /// the log's end, what is in doubt behind it is given up. Blocks for some syncs.
    ///
    /// # Errors
    /// [`DiskFault`]: no room, perhaps. Nothing has changed, or the repair has begun: open it again.
    ///
    /// # Panics
    /// If it has begun already, or entry `base` is not in the log or lies below what is known to be committed.
    pub fn begin(&mut self, base: Index, reach: (Index, Term)) -> Result<(), ReadFault> {
        let log = self.journal.log;
        assert!(
            self.reach.is_none() && base <= log.last_index && base >= self.commit().min(log.last_index),
            "a repair behind entry {base} of {}",
            log.last_index
        );
        // What a killed process had written and not synced was read: the header vouches for it.
        for name in self.segments.iter().filter(|_| !planted(Mutant::RepairWithoutSync)) {
            self.journal.disk.sync(&name.file())?;
        }
        let header = self.next_segment(reach)?;
        write_header(&mut self.journal.disk, &header)?;
        self.count_on_above(&header);
        self.journal.enter_segment(header);
        self.reach = Some(reach);
        self.go_back(base)
    }

    /// Begins the log anew behind a snapshot, which is whole under its unfinished name, and synced: nothing before it is needed any
    /// more. The log is whole when it ends with the entry `reach`; at once, if that is the snapshot's own. Blocks for some syncs.
    ///
    /// # Errors
    /// [`DiskFault`]. Nothing has changed, or the log has begun anew: open it again.
    ///
    /// # Panics
    /// If the repair has begun already, or the snapshot holds less than what is known to be committed, or more than `reach`.
    pub fn begin_anew(&mut self, behind: &SnapshotHeader, reach: (Index, Term)) -> Result<(), DiskFault> {
        let is_new = behind.index > self.commit() && behind.index <= reach.0;
        assert!(self.reach.is_none() && is_new, "a log anew behind entry {} up to {}", behind.index, reach.0);
        let header = SegmentHeader {
            first_index: behind.index.next(),
            prev_term: behind.term,
            prev_chain: behind.chain,
            created: behind.last_time,
            begins_anew: true,
            ..self.next_segment(reach)?
        };
        write_header(&mut self.journal.disk, &header)?;
        snapshot_file::give_name(&mut self.journal.disk, behind)?;
        set_all_aside_before(&mut self.journal.disk, header.name())?;
        self.count_on_above(&header);
        self.journal.go_on_anew(header, behind);
        // They lie in what was set aside.
        self.own.clear();
        self.reach = Some(reach);
        Ok(())
    }

    /// The header of the segment in which the log goes on behind its whole end.
    fn next_segment(&mut self, reach: (Index, Term)) -> Result<SegmentHeader, DiskFault> {
        let spare = self.take_spare()?;
        let log = self.journal.log;
        Ok(SegmentHeader {
            cluster: self.journal.meta.identity.cluster,
            epoch: spare.name.epoch,
            node: self.journal.meta.identity.node,
            segno: spare.name.segno,
            first_index: log.last_index.next(),
            prev_term: log.last_term,
            prev_chain: log.chain,
            nonce: spare.nonce,
            segment_bytes: spare.bytes,
            created: self.journal.newest_time,
            prev_block: self.journal.last_block,
            prev_block_crc: self.journal.last_block_crc,
            begins_anew: false,
            repairs: Some(Repairs {
                behind_segno: self.journal.active.header.segno,
                given_up_to: self.lost.newest_block.max(self.journal.last_block),
                reach_index: reach.0,
                reach_term: reach.1,
            }),
        })
    }

    /// Numbers of blocks go on above all that were given up.
    fn count_on_above(&mut self, header: &SegmentHeader) {
        let given_up_to = header.repairs.map_or(self.journal.last_block, |repairs| repairs.given_up_to);
        (self.journal.last_block, self.journal.durable_block) = (given_up_to, given_up_to);
    }

    /// Makes the log void behind `base` once more, because what was taken since links and is not what has to be there: a tail,
    /// for instance, that was replaced by what was lost.
    ///
    /// # Errors
    /// [`ReadFault`].
    ///
    /// # Panics
    /// If the repair has not begun, or entry `base` is not in the log or lies below what is known to be committed.
    pub fn go_back(&mut self, base: Index) -> Result<(), ReadFault> {
        let log = self.journal.log;
        assert!(
            self.reach.is_some() && base <= log.last_index && base >= self.commit().min(log.last_index),
            "back to entry {base} of {}",
            log.last_index
        );
        if base == log.last_index {
            return Ok(());
        }
        let wrong = self.journal.chain(base.next())?;
        if let Some(own) = self.own.get_mut(&base.next()) {
            own.retain(|own| own.chain != wrong);
        }
        let (term, chain) = (self.journal.term(base), self.journal.chain(base)?);
        let term = term.ok_or(ReadFault::Missing(base))?;
        self.journal.record_truncation(base.next(), term, chain);
        Ok(())
    }

    /// The segment behind all that were ever used. Spares at the end are taken; without one it is made.
    fn take_spare(&mut self) -> Result<ReadySpare, DiskFault> {
        let all = segment_names(&mut self.journal.disk)?;
        let is_spare = |name: &SegmentName| self.spares.iter().any(|spare| spare.name == *name);
        let used = all.iter().rposition(|name| !is_spare(name)).map_or(0, |at| at + 1);
        let waiting = all.get(used..).unwrap_or_default();
        let after = all.get(..used).and_then(<[_]>::last).map_or(0, |name| name.segno);
        let mut spares: Vec<_> =
            self.spares.iter().filter(|spare| waiting.contains(&spare.name)).copied().collect();
        spares.sort_unstable_by_key(|spare| spare.name);
        let first = if spares.is_empty() {
            let options = &self.journal.options;
            let name = SegmentName { epoch: self.journal.meta.identity.epoch, segno: after + 1 };
            let (bytes, nonce) = (options.segment_bytes, segment::nonce(options.nonce_seed, name.segno));
            segment::prefill(&mut self.journal.disk, &name.file(), bytes, nonce)?;
            ReadySpare { name, bytes, nonce }
        } else {
            spares.remove(0)
        };
        // The names that are synced here may be those of a process that was killed.
        self.journal.disk.sync_dir(Dir::Journal)?;
        self.journal.spares = Spares::found(spares, first.name.segno);
        Ok(first)
    }

    /// Whether one of our own entries behind the damage links to the log as it ends now.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn own_links(&mut self) -> Result<bool, DiskFault> {
        Ok(self.next_own()?.is_some())
    }

    /// Takes our own entries from behind the damage as far as they link, at most `count_max`. Returns how many.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn take_own(&mut self, count_max: usize) -> Result<usize, DiskFault> {
        let mut count = 0;
        while count < count_max {
            let Some(bytes) = self.next_own()? else { break };
            if self.take(&bytes).is_err() {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    fn next_own(&mut self) -> Result<Option<Vec<u8>>, DiskFault> {
        let log = *self.journal.log_end();
        let Some(candidates) = self.own.get(&log.last_index.next()) else { return Ok(None) };
        // The one written last is the likeliest.
        for candidate in candidates.iter().rev().filter(|candidate| candidate.term >= log.last_term) {
            let mut bytes = vec![0; candidate.len];
            let place = candidate.place;
            let read =
                self.journal.disk.read(&place.segment.file(), place.offset, &mut bytes, ReadFrom::Device)?;
            let frame = bytes.get(..read).and_then(|bytes| Frame::read(bytes).ok());
            if frame.is_some_and(|frame| {
                frame.chain == candidate.chain && frame.chain_after(log.chain) == frame.chain
            }) {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Takes the next entry, which is a frame with its chain, once the repair has begun.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn take(&mut self, entry: &[u8]) -> Result<(), NotTaken> {
        let frame = Frame::read(entry).map_err(NotTaken::Frame)?;
        let mut log = *self.journal.log_end();
        let Some((last, term)) = self.reach.filter(|(last, _)| log.last_index < *last) else {
            return Err(NotTaken::Beyond);
        };
        let header = &frame.header;
        let is_last = header.index == last;
        let fits = (log.last_term..=term).contains(&header.term) && (!is_last || header.term == term);
        if !header.kind.is_entry() || frame.bytes.len() != entry.len() || !fits {
            return Err(NotTaken::Term(header.term));
        }
        log.take(&frame).map_err(NotTaken::Link)?;
        // Our own entry of that place, where it is whole, says what the last one must be.
        let ours = self.own.get(&last).and_then(|own| own.iter().rfind(|own| own.term == term));
        if is_last && ours.is_some_and(|own| own.chain != frame.chain) {
            return Err(NotTaken::Another);
        }
        self.journal.append(entry);
        Ok(())
    }

    /// Takes what the disk has finished, gives it what has gathered. Before the repair has begun nothing is written: no hint
    /// that says less than the one that is there, and no spare in place of a segment that is.
    ///
    /// # Errors
    /// [`JournalFault`]: abort.
    pub fn step(&mut self) -> Result<Progress, JournalFault> {
        if self.reach.is_some() {
            return self.journal.step();
        }
        let (durable, durable_index) = (self.journal.durable(), self.journal.durable_index());
        Ok(Progress { durable, durable_index, completed: false, submitted: false })
    }

    /// Whether entries wait for the disk, or it writes.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.journal.gathered() || self.journal.in_flight()
    }

    /// Why entries that were taken wait for another segment, if the last attempt to make one failed.
    #[must_use]
    pub fn lacks_room(&self) -> Option<&DiskFault> {
        let waits = self.journal.gathered() && !self.journal.in_flight();
        self.journal.spare_fault().filter(|_| waits)
    }

    /// Tries again to make segments after a failure. The caller has the clock: about once a second.
    pub fn retry_spares(&mut self) {
        self.journal.retry_spares();
    }

    /// Whether the disk does nothing for it: then it can be given to somebody else.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.is_writing() && !self.journal.makes_spare()
    }

    /// Whether everything is there and durable: the log can be opened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let log = self.journal.log_end();
        self.reach == Some((log.last_index, log.last_term)) && self.is_idle()
    }

    /// Ends it, and gives the disk back.
    pub fn into_disk(self) -> D {
        self.journal.into_disk()
    }

    /// The disk.
    pub fn disk_mut(&mut self) -> &mut D {
        self.journal.disk_mut()
    }
}

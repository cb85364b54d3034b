//! A damaged log is repaired from entries that somebody else has: a crash at any operation of the disk leaves it damaged or
//! repaired, never shorter and clean.

use std::cell::Cell;
use std::rc::Rc;

use journal::block::BlockHeader;
use journal::classify::Verdict;
use journal::disk::DiskOperation;
use journal::segment::{self, SECTOR_BYTES, SegmentHeader, SegmentName};
use journal::snapshot_file::{self, SnapshotHeader};
use journal::{
    BlockWrite, Completion, Damaged, Dir, Disk, DiskCause, DiskFault, FileRef, Journal, Options, ReadFrom,
    Refusal, Spare, SpareDone,
};
use protocol::hash::Hash;
use protocol::limits::{BLOCK_ALIGN, BLOCK_HEADER_BYTES};
use protocol::{Index, Seq, Term, UnixNanos};

use crate::log::{IDENTITY, entry, settle};
use crate::mem_disk::{Files, MemDisk, store};

/// A disk whose process dies at a certain operation that changes something.
#[derive(Clone)]
struct Dying(MemDisk, Rc<Cell<u64>>);

impl Dying {
    fn count(&self, operation: DiskOperation, file: &FileRef) -> Result<(), DiskFault> {
        let left = self.1.get();
        if left == 0 {
            return Err(DiskFault { operation, file: file.clone(), cause: DiskCause::Os(5) });
        }
        self.1.set(left - 1);
        Ok(())
    }
}

impl Disk for Dying {
    fn list(&mut self, dir: Dir) -> Result<Vec<String>, DiskFault> {
        self.0.list(dir)
    }
    fn len(&mut self, file: &FileRef) -> Result<Option<u64>, DiskFault> {
        self.0.len(file)
    }
    fn read(&mut self, file: &FileRef, at: u64, buf: &mut [u8], from: ReadFrom) -> Result<usize, DiskFault> {
        self.0.read(file, at, buf, from)
    }
    fn write_at(&mut self, file: &FileRef, offset: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        if let Err(fault) = self.count(DiskOperation::Write, file) {
            // A part of it may have come as far as the page cache.
            self.0.write_at(file, offset, &bytes[..bytes.len() / 2])?;
            return Err(fault);
        }
        self.0.write_at(file, offset, bytes)
    }
    fn sync(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        self.count(DiskOperation::Sync, file)?;
        self.0.sync(file)
    }
    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskFault> {
        self.count(DiskOperation::Sync, &FileRef::new(dir, ""))?;
        self.0.sync_dir(dir)
    }
    fn rename(&mut self, from: &FileRef, to: &FileRef) -> Result<(), DiskFault> {
        self.count(DiskOperation::Rename, from)?;
        self.0.rename(from, to)
    }
    fn remove(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        self.count(DiskOperation::Remove, file)?;
        self.0.remove(file)
    }
    fn submit(&mut self, write: BlockWrite) {
        // A write that is never answered: what it has left is one of the images.
        if self.count(DiskOperation::Write, &write.file).is_ok() {
            self.0.submit(write);
        } else {
            self.0.write_at(&write.file, write.offset, &write.bytes).unwrap();
            self.0.break_with(DiskCause::Os(5));
            self.0.submit(write);
        }
    }
    fn poll(&mut self) -> Option<Completion> {
        self.0.poll()
    }
    fn request_spare(&mut self, spare: Spare) {
        self.0.request_spare(spare);
    }
    fn poll_spare(&mut self) -> Option<SpareDone> {
        self.0.poll_spare()
    }
}

fn small() -> Options {
    Options { segment_bytes: 128 << 10, ..Options::new(7) }
}

/// A log of several segments, in which a tail was replaced once, and what its entries are at the end.
struct Whole {
    files: Files,
    writes: Vec<BlockWrite>,
    /// From index 1 on, with chains.
    entries: Vec<Vec<u8>>,
    newest_block: u64,
}

impl Whole {
    fn new() -> Self {
        let disk = MemDisk::default();
        let mut journal = Journal::create(disk.clone(), IDENTITY, small()).unwrap();
        settle(&mut journal);
        for index in 1..=45 {
            journal.append(&entry(index, 1, if index % 5 == 0 { 9_000 } else { 2_000 }, index as u8));
            settle(&mut journal);
        }
        journal.set_commit(Index(30));
        // The block that voids holds two entries of the new log.
        journal.truncate_from(Index(40)).unwrap();
        for index in 40..=41 {
            journal.append(&entry(index, 2, 700, index as u8));
        }
        settle(&mut journal);
        for index in 42..=60 {
            journal.append(&entry(index, 2, 2_500, index as u8));
            settle(&mut journal);
        }
        for _ in 0..4 {
            journal.step().unwrap_or_else(|fault| panic!("{fault}"));
        }
        let entries = (1..=60).map(|index| journal.entry(Index(index)).unwrap().to_vec()).collect();
        let writes = disk.writes();
        let newest = writes.iter().rev().find_map(|write| BlockHeader::read(&write.bytes).ok());
        Self { files: disk.after_power_loss(), writes, entries, newest_block: newest.unwrap().block_seq }
    }

    fn end(&self) -> (Index, Term) {
        (Index(60), Term(2))
    }

    fn chain(&self, index: Index) -> Hash {
        if index.0 == 0 {
            return Hash::ZERO;
        }
        Hash(*self.entries[index.0 as usize - 1].last_chunk().unwrap())
    }

    /// The place of the block that ends the log so, and its bytes.
    fn block(&self, last: (u64, u64)) -> &BlockWrite {
        let named = |write: &&BlockWrite| {
            BlockHeader::read(&write.bytes)
                .is_ok_and(|header| (header.last_index.0, header.last_term.0) == last && header.entries > 0)
        };
        self.writes.iter().find(named).unwrap()
    }

    /// The folder with damage, and with a hint that names the newest block or lies before all.
    fn with(&self, hint: bool, damage: impl FnOnce(&Self, &mut Files)) -> Files {
        let mut files = self.files.clone();
        damage(self, &mut files);
        let meta = files.get_mut(&journal::meta::file()).unwrap();
        meta.truncate(4 * BLOCK_ALIGN);
        let durable = if hint { self.newest_block } else { 0 };
        meta.extend_from_slice(&journal::meta::hint_sector(durable, IDENTITY.epoch));
        files
    }

    /// Repairs the log of `disk` by what is known of the true one; `end` is what peers say where it is not known. Takes what it
    /// can of our own entries. An error is a disk that failed.
    fn repair<D: Disk>(&self, disk: D, end: (Index, Term)) -> Result<usize, ()> {
        let mut damaged = match Damaged::open(disk, small(), Index(0)) {
            Ok(damaged) => damaged,
            Err(Refusal::Disk(_)) => return Err(()),
            Err(refusal) => panic!("{refusal}"),
        };
        let end = damaged.lost().end.unwrap_or(end);
        let mut base = damaged.log_end().last_index;
        while damaged.chain(base).unwrap() != self.chain(base) {
            base = Index(base.0 - 1);
        }
        if damaged.own_links().map_err(drop)? {
            base = damaged.log_end().last_index;
        }
        damaged.begin(base, end).map_err(drop)?;
        let mut fetched = 0;
        while !damaged.is_done() {
            damaged.step().map_err(drop)?;
            if damaged.take_own(3).map_err(drop)? == 0
                && damaged.log_end().last_index < end.0
                && !damaged.own_links().map_err(drop)?
            {
                let mut base = damaged.log_end().last_index;
                while damaged.chain(base).unwrap() != self.chain(base) {
                    base = Index(base.0 - 1);
                }
                damaged.go_back(base).unwrap();
                damaged.take(&self.entries[base.0 as usize]).unwrap();
                fetched += 1;
            }
        }
        Ok(fetched)
    }

    /// The log of `disk` opens, is the true one up to `last`, and goes on.
    fn check<D: Disk>(&self, disk: D, last: Index) {
        let mut opened = Journal::open(disk, small()).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!((opened.journal.last_index(), opened.journal.last_chain()), (last, self.chain(last)));
        for index in 1..=last.0 {
            assert_eq!(*opened.journal.entry(Index(index)).unwrap(), *self.entries[index as usize - 1]);
        }
        let term = opened.journal.log_end().last_term.0;
        opened.journal.append(&entry(last.0 + 1, term, 40_000, 1));
        settle(&mut opened.journal);
        opened.journal.append(&entry(last.0 + 2, term, 40_000, 1));
        settle(&mut opened.journal);
        let disk = opened.journal.into_disk();
        let again = Journal::open(disk, small()).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!(
            (again.journal.last_index().0, again.report.findings.verdict),
            (last.0 + 2, Verdict::Clean)
        );
        assert_eq!(again.report.findings.repaired.len(), opened.report.findings.repaired.len());
    }
}

fn flip(files: &mut Files, write: &BlockWrite, at: usize) {
    files.get_mut(&write.file).unwrap()[write.offset as usize + at] ^= 1;
}

/// Damage, whether it is known that it was durable, the end of the log if it is known, and how far it is repaired to.
type Case = (&'static str, Files, bool, Option<(Index, Term)>, Index);

fn cases(whole: &Whole) -> Vec<Case> {
    let (end, last) = (Some(whole.end()), whole.end().0);
    let body = BLOCK_HEADER_BYTES + 50;
    let middle = |whole: &Whole, files: &mut Files| flip(files, whole.block((20, 1)), body);
    let newest = |whole: &Whole, files: &mut Files| flip(files, whole.block((60, 2)), body);
    let newest_header = |whole: &Whole, files: &mut Files| flip(files, whole.block((60, 2)), 30);
    let newest_two = |whole: &Whole, files: &mut Files| {
        [(59, 2), (60, 2)].iter().for_each(|last| flip(files, whole.block(*last), body));
    };
    let newest_two_nameless = |whole: &Whole, files: &mut Files| {
        flip(files, whole.block((59, 2)), body);
        flip(files, whole.block((60, 2)), 30);
    };
    let replaced = |whole: &Whole, files: &mut Files| flip(files, whole.block((41, 2)), body);
    let replaced_headers = |whole: &Whole, files: &mut Files| {
        flip(files, whole.block((41, 2)), 30);
        flip(files, whole.block((60, 2)), 30);
    };
    let several = |whole: &Whole, files: &mut Files| {
        [(7, 1), (8, 1), (41, 2), (55, 2)].iter().for_each(|last| flip(files, whole.block(*last), body));
    };
    let segment = |_: &Whole, files: &mut Files| {
        let second = files.keys().find(|file| file.name.ends_with("-0000000002.seg")).unwrap().clone();
        files.remove(&second);
    };
    let header = |_: &Whole, files: &mut Files| {
        let second = files.iter_mut().find(|(file, _)| file.name.ends_with("-0000000002.seg")).unwrap();
        second.1[..2 * BLOCK_ALIGN].fill(0xee);
    };
    vec![
        ("a block in the middle", whole.with(false, middle), true, end, last),
        ("the newest block, known to be durable", whole.with(true, newest), true, end, last),
        ("the newest block's header, known to be durable", whole.with(true, newest_header), true, None, last),
        ("the newest block, in doubt", whole.with(false, newest), false, end, last),
        ("the newest block's header, in doubt", whole.with(false, newest_header), false, None, last),
        ("the newest two", whole.with(false, newest_two), true, end, last),
        (
            "the newest two, the last one's header, in doubt",
            whole.with(false, newest_two_nameless),
            false,
            None,
            last,
        ),
        ("given up", whole.with(false, newest_header), false, None, Index(59)),
        ("the block that replaced a tail", whole.with(true, replaced), true, end, last),
        ("that, and the newest", whole.with(true, replaced_headers), true, None, last),
        ("several blocks", whole.with(false, several), true, end, last),
        ("a segment", whole.with(true, segment), true, end, last),
        ("a segment's header", whole.with(true, header), true, end, last),
    ]
}

/// What a crash may leave: what a killed process had written, what was synced, and mixtures of both by sector.
fn images(disk: &MemDisk) -> Vec<Files> {
    let (live, durable) = (disk.after_kill(), disk.after_power_loss());
    let mut images = vec![live.clone(), durable.clone()];
    for seed in 0..3_u64 {
        let mut mixed = durable.clone();
        for (file, bytes) in &live {
            let Some(old) = durable.get(file) else { continue };
            for at in (0..bytes.len()).step_by(SECTOR_BYTES) {
                let end = bytes.len().min(at + SECTOR_BYTES);
                let is_new = segment::nonce(seed, at as u64) & 1 == 1;
                if is_new && old.get(at..end) != Some(&bytes[at..end]) {
                    store(mixed.get_mut(file).unwrap(), at as u64, &bytes[at..end]);
                }
            }
        }
        images.push(mixed);
    }
    images
}

#[test]
fn what_is_lost_is_named_and_comes_back() {
    let whole = Whole::new();
    for (name, files, was_durable, end, last) in cases(&whole) {
        let disk = MemDisk::of(files.clone());
        assert!(
            matches!(
                Journal::open(disk.clone(), small()).map(|_| ()),
                Err(Refusal::Repair(_) | Refusal::Suspect(_))
            ),
            "{name}"
        );
        let mut damaged =
            Damaged::open(disk.clone(), small(), Index(0)).unwrap_or_else(|r| panic!("{name}: {r}"));
        for _ in 0..10 {
            damaged.step().unwrap_or_else(|fault| panic!("{fault}"));
        }
        assert_eq!(disk.after_kill(), files, "{name}: one that waits changes nothing");
        assert_eq!((damaged.lost().end, damaged.lost().was_durable), (end, was_durable), "{name}");
        drop(damaged);
        let goal = if last == Index(59) { (last, Term(2)) } else { whole.end() };
        let fetched = whole.repair(disk.clone(), goal).unwrap();
        // No more than was lost, unless the files do not say what came behind it.
        assert!(
            fetched <= if name.contains("segment") || name.contains("replaced") { 25 } else { 5 },
            "{name}: {fetched}"
        );
        for (file, before) in files.iter().filter(|(file, _)| file.dir == Dir::Journal) {
            let now = &disk.after_power_loss()[file];
            let is_spare = before[..8] == before[4096..4104] && before[..8] == before[before.len() - 8..];
            assert!(is_spare || now == before, "{name}: {file} was changed");
        }
        whole.check(MemDisk::of(disk.after_power_loss()), last);
    }
}

#[test]
fn a_crash_at_any_operation_leaves_it_damaged_or_repaired() {
    let whole = Whole::new();
    let mut unrepaired = 0;
    for (name, files, was_durable, end, last) in cases(&whole) {
        let goal = if last == Index(59) { (last, Term(2)) } else { whole.end() };
        for operations in 0.. {
            let disk = MemDisk::of(files.clone());
            let done = whole.repair(Dying(disk.clone(), Rc::new(Cell::new(operations))), goal);
            for (image, files) in images(&disk).into_iter().enumerate() {
                let disk = MemDisk::of(files);
                let judged = Damaged::open(disk.clone(), small(), Index(0)).map(|damaged| {
                    let known = damaged.lost().end;
                    let began = matches!(damaged.findings().verdict, Verdict::Unrepaired { .. });
                    unrepaired += u32::from(began);
                    // In front of the header it is as it was; behind it, it is known what has to be reached.
                    assert!(
                        (began && known == Some(goal))
                            || (known, damaged.lost().was_durable) == (end, was_durable),
                        "{name}, {operations}, {image}: {:?}",
                        damaged.findings()
                    );
                });
                match judged {
                    Ok(()) => {
                        whole.repair(disk.clone(), goal).unwrap();
                    }
                    Err(Refusal::NothingInDoubt) => {}
                    Err(refusal) => panic!("{name}, {operations}, {image}: {refusal}"),
                }
                whole.check(disk, last);
            }
            if done.is_ok() {
                break;
            }
        }
    }
    assert!(unrepaired > 100, "{unrepaired}");
}

/// A snapshot of somebody else behind entry 50, whole under its unfinished name.
fn with_snapshot(whole: &Whole, files: &Files) -> (Files, SnapshotHeader) {
    let header = SnapshotHeader {
        cluster: IDENTITY.cluster,
        epoch: IDENTITY.epoch,
        index: Index(50),
        term: Term(2),
        engine_version: 1,
        next_seq: Seq(51),
        last_time: UnixNanos(7),
        chain: whole.chain(Index(50)),
        effect_hash: Hash::ZERO,
        state_hash: Hash::ZERO,
        conf_state: Vec::new(),
    };
    let mut files = files.clone();
    let bytes = snapshot_file::encode(&header, b"a state").unwrap();
    files.insert(segment::unfinished(&header.file()), bytes);
    (files, header)
}

/// The log begins anew behind that snapshot, and gets the entries behind it. An error is a disk that failed.
fn begin_anew<D: Disk>(whole: &Whole, disk: D, header: &SnapshotHeader, to: Index) -> Result<(), ()> {
    let mut damaged = match Damaged::open_as_found(disk, small(), Index(0)) {
        Ok(damaged) => damaged,
        Err(Refusal::Disk(_)) => return Err(()),
        Err(refusal) => panic!("{refusal}"),
    };
    damaged.begin_anew(header, (to, Term(2))).map_err(drop)?;
    while !damaged.is_done() {
        damaged.step().map_err(drop)?;
        let next = damaged.log_end().last_index.next();
        if next <= to {
            damaged.take(&whole.entries[next.0 as usize - 1]).unwrap();
        }
    }
    Ok(())
}

/// What images of a crash have come to.
#[derive(Default)]
struct Seen {
    as_it_was: u32,
    unrepaired: u32,
    done: u32,
}

impl Seen {
    /// In front of the snapshot's name the log is as it was; behind it, it has to come up to the end that was lost.
    fn check(&mut self, whole: &Whole, case: &Case, header: &SnapshotHeader, to: Index, mut files: Files) {
        let (name, damage, was_durable, end, _) = case;
        let is_named = files.contains_key(&header.file());
        let disk = MemDisk::of(files.clone());
        match Damaged::open(disk.clone(), small(), Index(0)) {
            Ok(damaged) if !is_named => {
                self.as_it_was += 1;
                assert_eq!((damaged.lost().end, damaged.lost().was_durable), (*end, *was_durable), "{name}");
                assert_eq!(damaged.log_end().base_index, Index(0), "{name}");
            }
            Ok(damaged) => {
                self.unrepaired += 1;
                assert!(matches!(damaged.findings().verdict, Verdict::Unrepaired { .. }), "{name}");
                assert_eq!(damaged.lost().end, Some((to, Term(2))), "{name}");
                assert_eq!(damaged.log_end().base_index, Index(50), "{name}");
            }
            Err(Refusal::NothingInDoubt) => {
                self.done += 1;
                assert!(is_named, "{name}");
                let log = *Journal::open(disk.clone(), small()).unwrap().journal.log_end();
                assert_eq!((log.base_index, log.last_index), (Index(50), to), "{name}");
                assert_eq!(log.chain, whole.chain(to), "{name}");
            }
            Err(refusal) => panic!("{name}: {refusal}"),
        }
        // What was damaged lies somewhere still, to be looked at.
        for (file, before) in damage.iter().filter(|(file, _)| file.dir == Dir::Journal) {
            let aside = FileRef::new(file.dir, format!("{}.aside", file.name));
            let is_spare = before[..8] == before[4096..4104] && before[..8] == before[before.len() - 8..];
            let now = files.remove(file).or_else(|| files.remove(&aside));
            assert!(is_spare || now.as_ref() == Some(before), "{name}: {file}");
        }
    }
}

#[test]
fn a_crash_while_a_damaged_log_begins_anew_leaves_it_as_it_was_or_begun() {
    let whole = Whole::new();
    let mut seen = Seen::default();
    for case in cases(&whole).into_iter().step_by(3) {
        let (files, header) = with_snapshot(&whole, &case.1);
        // Up to the snapshot itself, and to an entry behind it.
        for to in [Index(50), Index(60)] {
            for operations in 0.. {
                let disk = MemDisk::of(files.clone());
                let dying = Dying(disk.clone(), Rc::new(Cell::new(operations)));
                let done = begin_anew(&whole, dying, &header, to);
                images(&disk).into_iter().for_each(|image| seen.check(&whole, &case, &header, to, image));
                if done.is_ok() {
                    break;
                }
            }
        }
    }
    let Seen { as_it_was, unrepaired, done } = seen;
    assert!(as_it_was > 20 && unrepaired > 20 && done > 20, "{as_it_was} {unrepaired} {done}");
}

#[test]
fn a_repaired_log_that_is_damaged_again_is_repaired_again() {
    let whole = Whole::new();
    let files = whole.with(true, |whole, files| flip(files, whole.block((20, 1)), 200));
    let disk = MemDisk::of(files);
    whole.repair(disk.clone(), whole.end()).unwrap();
    let repaired = disk.after_power_loss();
    for write in disk.writes() {
        let mut files = repaired.clone();
        flip(&mut files, &write, 300);
        let disk = MemDisk::of(files);
        match Journal::open(disk.clone(), small()).map(|opened| opened.journal.last_index()) {
            // One copy of a header is enough.
            Ok(last) => assert_eq!((last, write.offset), (Index(60), 0)),
            Err(Refusal::Repair(_) | Refusal::Suspect(_) | Refusal::Unrepaired(_)) => {
                whole.repair(disk.clone(), whole.end()).unwrap();
            }
            Err(refusal) => panic!("{refusal}"),
        }
        whole.check(disk, Index(60));
    }
    // A start from the middle passes over what was given up.
    for from in 1..=60 {
        let opened = Journal::open_from(MemDisk::of(repaired.clone()), small(), Index(from)).unwrap();
        assert_eq!(opened.journal.last_chain(), whole.chain(Index(60)));
        assert!(opened.journal.first_index() <= Index(from));
    }
}

/// A torn block behind the header of a repair names the log's end without what the repair was to bring back.
#[test]
fn a_repair_that_was_begun_is_not_forgotten_with_new_damage_in_front_of_it() {
    let whole = Whole::new();
    let files = whole.with(true, |whole, files| flip(files, whole.block((60, 2)), 200));
    let disk = MemDisk::of(files);
    let mut damaged = Damaged::open(disk.clone(), small(), Index(0)).unwrap();
    damaged.begin(Index(59), whole.end()).unwrap();
    damaged.take(&whole.entries[59]).unwrap();
    while damaged.is_writing() {
        damaged.step().unwrap_or_else(|fault| panic!("{fault}"));
    }
    let mut files = disk.after_kill();
    for (file, bytes) in &mut files {
        let header = SegmentName::parse(&file.name).and_then(|name| SegmentHeader::read_either(name, bytes));
        if let Some(header) = header.filter(|header| header.repairs.is_some()) {
            assert!(BlockHeader::read(&bytes[2 * BLOCK_ALIGN..]).is_ok());
            segment::fill(&mut bytes[2 * BLOCK_ALIGN + SECTOR_BYTES..3 * BLOCK_ALIGN], header.nonce);
        }
    }
    flip(&mut files, whole.block((60, 2)), 30);
    flip(&mut files, whole.block((20, 1)), 200);
    let damaged = Damaged::open(MemDisk::of(files), small(), Index(0)).unwrap();
    assert_eq!((damaged.lost().end, damaged.lost().was_durable), (Some(whole.end()), true));
}

/// Its header may be all that tells of the blocks before it.
#[test]
fn a_segment_that_was_begun_and_holds_nothing_yet_is_no_spare() {
    let whole = Whole::new();
    let files = whole.with(false, |whole, files| flip(files, whole.block((60, 2)), 30));
    let disk = MemDisk::of(files);
    let given_up = (Index(59), Term(2));
    whole.repair(disk.clone(), given_up).unwrap();
    let mut files = disk.after_power_loss();
    let before = files.clone();
    flip(&mut files, whole.block((20, 1)), 200);
    let disk = MemDisk::of(files);
    whole.repair(disk.clone(), given_up).unwrap();
    whole.check(disk.clone(), Index(59));
    let is_begun = |file: &FileRef, bytes: &[u8]| {
        SegmentName::parse(&file.name).is_some_and(|name| SegmentHeader::read_either(name, bytes).is_some())
    };
    let begun = before.iter().filter(|(file, bytes)| is_begun(file, bytes));
    for (file, bytes) in begun {
        assert_eq!(disk.after_power_loss()[file][..2 * BLOCK_ALIGN], bytes[..2 * BLOCK_ALIGN], "{file}");
    }
}

/// What proves that a repair was done is damaged: what came behind it counts all the same.
#[test]
fn what_was_appended_behind_a_repair_is_not_forgotten_with_the_block_that_ended_it() {
    let whole = Whole::new();
    let files = whole.with(true, |whole, files| flip(files, whole.block((20, 1)), 200));
    let disk = MemDisk::of(files);
    whole.repair(disk.clone(), whole.end()).unwrap();
    let mut journal =
        Journal::open(disk.clone(), small()).unwrap_or_else(|refusal| panic!("{refusal}")).journal;
    for index in 61..=70 {
        journal.append(&entry(index, 2, 2_500, 1));
        settle(&mut journal);
    }
    let ends_with = |write: &BlockWrite, last: u64| {
        BlockHeader::read(&write.bytes).is_ok_and(|header| header.last_index.0 == last && header.entries > 0)
    };
    let reached = disk.writes().into_iter().rev().find(|write| ends_with(write, 60)).unwrap();
    let mut files = disk.after_power_loss();
    flip(&mut files, &reached, 200);
    let damaged = Damaged::open(MemDisk::of(files), small(), Index(0)).unwrap();
    assert!(damaged.log_end().last_index < Index(60));
    assert_eq!(damaged.lost().end, Some((Index(70), Term(2))));
}

#[test]
fn entries_that_do_not_continue_the_log_are_not_taken() {
    let whole = Whole::new();
    let files = whole.with(true, |whole, files| flip(files, whole.block((60, 2)), 200));
    let mut damaged = Damaged::open(MemDisk::of(files), small(), Index(0)).unwrap();
    assert!(damaged.take(&whole.entries[59]).is_err(), "not before it has begun");
    damaged.begin(Index(59), whole.end()).unwrap();
    let right = &whole.entries[59];
    let wrong = [
        whole.entries[58].clone(),
        entry(60, 2, 2_500, 60),
        entry(60, 3, 2_500, 60),
        right[..right.len() - 8].to_vec(),
        [&right[..], &[0; 8]].concat(),
    ];
    for bytes in wrong {
        assert!(damaged.take(&bytes).is_err());
    }
    damaged.take(right).unwrap();
    assert!(damaged.take(right).is_err());
    assert!(!damaged.is_done(), "not before it is durable");
}

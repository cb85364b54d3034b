//! The log: what was acknowledged is there after a crash, and only what was appended is.

use journal::marks::HardState;
use journal::{
    Dir, Disk, DiskCause, FileRef, Founders, Identity, Journal, JournalFault, Opened, Options, Refusal, Space,
};
use protocol::frame::{self, FrameHeader, FrameKind};
use protocol::hash::Hash;
use protocol::limits::RECORD_BYTES_LARGE;
use protocol::{ClusterEpoch, ClusterId, Index, NodeId, Seq, Term, UnixNanos};

use crate::mem_disk::MemDisk;

pub(crate) const IDENTITY: Identity = Identity {
    cluster: ClusterId(0xc1),
    epoch: ClusterEpoch(1),
    node: NodeId(1),
    founders: Founders::alone(NodeId(1)),
};

pub(crate) fn options() -> Options {
    Options { segment_bytes: 256 << 10, ..Options::new(7) }
}

/// An entry with `bytes` of payload, all `fill`.
pub(crate) fn entry(index: u64, term: u64, bytes: usize, fill: u8) -> Vec<u8> {
    let mut entry = Vec::new();
    frame::begin(&mut entry);
    entry.resize(entry.len() + bytes, fill);
    let header = FrameHeader {
        kind: FrameKind::Entry,
        index: Index(index),
        term: Term(term),
        time: UnixNanos(index * 1_000),
        first_seq: Seq(index),
        count: 1,
        engine_version: 1,
        applied_seq: Seq(0),
        effect_hash: Hash::ZERO,
    };
    frame::finish(&mut entry, &header);
    entry
}

/// Steps until everything appended is durable.
pub(crate) fn settle<D: Disk>(journal: &mut Journal<D>) {
    for _ in 0..10_000 {
        journal.step().unwrap_or_else(|fault| panic!("{fault}"));
        if journal.durable() == journal.appended() && !journal.in_flight() {
            return;
        }
    }
    panic!("not durable after 10,000 steps");
}

pub(crate) fn create(disk: &MemDisk) -> Journal<MemDisk> {
    Journal::create(disk.clone(), IDENTITY, options()).unwrap_or_else(|refusal| panic!("{refusal}"))
}

pub(crate) fn open(disk: MemDisk) -> Opened<MemDisk> {
    Journal::open(disk, options()).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// What the entries must be, kept the simplest way.
fn check_log<D: Disk>(journal: &mut Journal<D>, expected: &[Vec<u8>]) {
    assert_eq!(journal.last_index(), Index(expected.len() as u64));
    for (index, wanted) in (1..).zip(expected) {
        let found = journal.entry(Index(index)).unwrap();
        assert_eq!(found[..found.len() - 32], wanted[..wanted.len() - 32], "entry {index}");
    }
    let all = journal.entries(journal.first_index(), journal.last_index().next(), usize::MAX).unwrap();
    assert_eq!(all.len(), expected.len());
}

#[test]
fn what_was_durable_is_there_after_a_power_loss_across_many_segments() {
    let disk = MemDisk::default();
    let mut journal = create(&disk);
    let mut expected = Vec::new();
    for index in 1..=200 {
        let bytes = entry(index, 1, (index as usize * 37) % 9_000, index as u8);
        journal.append(&bytes);
        expected.push(bytes);
        if index % 3 == 0 {
            settle(&mut journal);
        }
    }
    journal.set_commit(Index(150));
    settle(&mut journal);
    assert!(journal.stats().segments > 2);
    check_log(&mut journal, &expected);
    let chain = journal.last_chain();

    let mut opened = open(MemDisk::of(disk.after_power_loss()));
    assert_eq!(opened.report.findings.row.name, "nothing behind the last block");
    assert_eq!(opened.journal.last_chain(), chain);
    check_log(&mut opened.journal, &expected);
    assert_eq!(opened.journal.stats().entries_read_from_disk, 400, "nothing is in memory after a start");

    let next = entry(201, 1, 10, 1);
    opened.journal.append(&next);
    expected.push(next);
    settle(&mut opened.journal);
    check_log(&mut opened.journal, &expected);
}

/// Bytes of an entry's payload that fills a large block.
const LARGE: usize = RECORD_BYTES_LARGE;

#[test]
fn large_entries_go_through_memory_disk_and_many_segments_like_others() {
    let disk = MemDisk::default();
    let options = Options { segment_bytes: 4 << 20, ..options() };
    let mut journal = Journal::create(disk.clone(), IDENTITY, options).unwrap();
    let mut expected = Vec::new();
    for index in 1..=40 {
        let bytes = match index % 4 {
            0 => 100,
            1 => LARGE,
            2 => 70_000 + index as usize * 1_000,
            _ => 60_000,
        };
        let entry = entry(index, 1, bytes, index as u8);
        journal.append(&entry);
        // Before it is written, while it is, and behind that.
        assert_eq!(journal.entry(Index(index)).unwrap().len(), entry.len());
        expected.push(entry);
        if index % 7 == 0 {
            settle(&mut journal);
        }
    }
    settle(&mut journal);
    assert!(journal.stats().segments > 2);
    check_log(&mut journal, &expected);
    let mut opened = Journal::open(MemDisk::of(disk.after_power_loss()), options).unwrap();
    check_log(&mut opened.journal, &expected);
    assert_eq!(opened.journal.entries(Index(1), Index(41), 2 << 20).unwrap().len(), 4);
    assert_eq!(opened.journal.entries(Index(1), Index(41), 1).unwrap().len(), 1, "at least one");
}

#[test]
fn a_large_entry_goes_past_segments_that_were_made_too_small_for_it() {
    let disk = MemDisk::default();
    let mut journal = create(&disk);
    journal.append(&entry(1, 1, 100, 1));
    settle(&mut journal);
    let options = Options { segment_bytes: 4 << 20, ..options() };
    let mut opened = Journal::open(MemDisk::of(disk.after_power_loss()), options).unwrap();
    for index in 2..=5 {
        opened.journal.append(&entry(index, 1, LARGE, index as u8));
        settle(&mut opened.journal);
    }
    let files = opened.journal.into_disk().after_power_loss();
    let again = Journal::open(MemDisk::of(files), options).unwrap().journal;
    assert_eq!(again.last_index(), Index(5));
}

/// Found by the auditor's tests: while the header of the last spare was being written, the next spare was asked for under
/// the same number, and its rename replaced the segment that was about to be used, with every block in it.
#[test]
fn one_spare_is_enough() {
    let disk = MemDisk::default();
    let options = Options { spares: 1, ..options() };
    let mut journal =
        Journal::create(disk.clone(), IDENTITY, options).unwrap_or_else(|refusal| panic!("{refusal}"));
    disk.set_manual(true);
    let mut expected = Vec::new();
    for index in 1..=200 {
        let bytes = entry(index, 1, 8_000, index as u8);
        journal.append(&bytes);
        expected.push(bytes);
        while journal.durable() != journal.appended() || journal.in_flight() {
            // Several turns for each write: a spare is made while one is under way.
            for _ in 0..3 {
                journal.step().unwrap_or_else(|fault| panic!("{fault}"));
            }
            disk.finish_write();
        }
    }
    drop(journal);
    disk.set_manual(false);
    let mut opened = open(disk);
    assert!(opened.report.segments > 4, "{}", opened.report.segments);
    check_log(&mut opened.journal, &expected);
}

#[test]
fn a_replaced_tail_is_the_log_and_its_evidence_stays() {
    let disk = MemDisk::default();
    let mut journal = create(&disk);
    let mut expected: Vec<_> = (1..=20).map(|index| entry(index, 1, 5_000, 1)).collect();
    for entry in &expected {
        journal.append(entry);
        settle(&mut journal);
    }
    for index in 21..=22 {
        journal.append(&entry(index, 1, 100, 1));
    }
    journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    journal.truncate_from(Index(9)).unwrap();
    assert_eq!((journal.last_index(), journal.durable_index()), (Index(8), Index(8)));
    expected.truncate(8);
    for index in 9..=12 {
        let new = entry(index, 2, 300, 2);
        journal.append(&new);
        expected.push(new);
    }
    settle(&mut journal);
    check_log(&mut journal, &expected);
    assert_eq!(journal.durable_index(), Index(12));
    let chain = journal.last_chain();
    let mut opened = open(MemDisk::of(disk.after_power_loss()));
    check_log(&mut opened.journal, &expected);
    assert_eq!((opened.journal.last_chain(), opened.journal.term(Index(9))), (chain, Some(Term(2))));
}

#[test]
fn term_and_vote_survive_and_are_acknowledged_only_with_meta() {
    let disk = MemDisk::default();
    let mut journal = create(&disk);
    let state = HardState { term: Term(4), vote: NodeId(2) };
    journal.hard_state(state);
    disk.set_manual(true);
    journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    assert_ne!(journal.durable(), journal.appended());
    disk.finish_write();
    journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(journal.durable(), journal.appended());
    assert_eq!(open(MemDisk::of(disk.after_power_loss())).journal.last_hard_state(), state);
}

#[test]
fn a_failed_write_is_a_fault_and_nothing_is_acknowledged_after_it() {
    let disk = MemDisk::default();
    let mut journal = create(&disk);
    journal.append(&entry(1, 1, 10, 1));
    settle(&mut journal);
    journal.append(&entry(2, 1, 10, 1));
    journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    disk.break_with(DiskCause::Os(5));
    assert!(matches!(journal.step(), Err(JournalFault::Write(_))));
    assert_eq!(journal.durable_index(), Index(1));
}

#[test]
fn without_space_half_of_the_last_segment_is_kept_and_service_resumes_by_itself() {
    let disk = MemDisk::default();
    let mut journal = create(&disk);
    settle(&mut journal);
    disk.set_no_space(true);
    let mut index = 0;
    while journal.accepts() {
        index += 1;
        journal.append(&entry(index, 1, 7_000, 3));
        settle(&mut journal);
        assert!(index < 1_000);
    }
    assert!(matches!(journal.space(), Space::ReadOnly(_)));
    // What is under way still fits; then it waits, and is not lost.
    for _ in 0..60 {
        index += 1;
        journal.append(&entry(index, 1, 7_000, 3));
        for _ in 0..5 {
            journal.step().unwrap_or_else(|fault| panic!("{fault}"));
        }
    }
    assert!(journal.gathered() && !journal.in_flight());
    let durable = journal.durable_index();
    assert_eq!(open(MemDisk::of(disk.after_power_loss())).journal.last_index(), durable);
    journal.retry_spares();
    journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    assert!(matches!(journal.space(), Space::ReadOnly(_)), "still no space");
    disk.set_no_space(false);
    journal.retry_spares();
    settle(&mut journal);
    assert!(journal.accepts() && journal.space() == Space::Open);
    assert_eq!(journal.durable_index(), Index(index));
    assert_eq!(open(MemDisk::of(disk.after_power_loss())).journal.last_index(), Index(index));
}

#[test]
fn segments_below_a_snapshot_are_dropped_and_the_log_opens_behind_them() {
    let disk = MemDisk::default();
    let mut journal = create(&disk);
    for index in 1..=100 {
        journal.append(&entry(index, 1, 7_000, 3));
        settle(&mut journal);
    }
    let before = journal.chain(Index(49)).unwrap();
    let dropped = journal.drop_before(Index(50)).unwrap();
    assert!(dropped >= 1, "dropped {dropped}");
    let first = journal.first_index();
    assert!(first > Index(1) && first <= Index(51));
    assert!(journal.entry(Index(first.0 - 1)).is_err());
    assert_eq!(journal.term(Index(first.0 - 1)), Some(Term(1)));
    let mut opened = open(MemDisk::of(disk.after_kill()));
    assert_eq!(opened.journal.first_index(), first);
    assert_eq!(opened.journal.last_index(), Index(100));
    assert_eq!(opened.journal.chain(Index(first.0 - 1)).unwrap(), journal.chain(Index(first.0 - 1)).unwrap());
    if first <= Index(49) {
        assert_eq!(opened.journal.chain(Index(49)).unwrap(), before);
    }
}

#[test]
fn a_synced_hint_finds_out_a_device_that_lost_the_newest_write() {
    let disk = MemDisk::default();
    let mut journal = create(&disk);
    for index in 1..=2 {
        journal.append(&entry(index, 1, 10, 1));
        settle(&mut journal);
    }
    let lost = disk.writes().pop().unwrap();
    let lose = |mut files: crate::mem_disk::Files| {
        let bytes = files.get_mut(&lost.file).unwrap();
        journal::segment::fill(
            &mut bytes[lost.offset as usize..][..lost.bytes.len()],
            journal::segment::nonce(7, 1),
        );
        Journal::open(MemDisk::of(files), options()).map(|opened| opened.journal.last_index())
    };
    assert!(matches!(lose(disk.after_power_loss()), Ok(Index(1))), "nobody can know");
    journal.sync_hint().unwrap_or_else(|fault| panic!("{fault}"));
    assert!(matches!(lose(disk.after_power_loss()), Err(Refusal::Repair(_))));
}

#[test]
fn a_folder_is_created_once_and_never_without_its_meta() {
    let disk = MemDisk::default();
    assert!(matches!(Journal::open(disk.clone(), options()), Err(Refusal::Empty)));
    let mut journal = create(&disk);
    journal.append(&entry(1, 1, 10, 1));
    settle(&mut journal);
    assert!(matches!(Journal::create(disk.clone(), IDENTITY, options()), Err(Refusal::Exists)));
    let mut files = disk.after_power_loss();
    files.remove(&journal::meta::file());
    assert!(matches!(Journal::open(MemDisk::of(files.clone()), options()), Err(Refusal::MetaLost)));
    assert!(matches!(Journal::create(MemDisk::of(files), IDENTITY, options()), Err(Refusal::MetaLost)));
}

#[test]
fn making_a_journal_that_was_interrupted_is_done_again_unless_anything_tells_of_a_life() {
    let disk = MemDisk::default();
    assert_eq!(Journal::is_unmade(&mut disk.clone()), Ok(true));
    drop(create(&disk));
    let whole = disk.after_power_loss();
    assert_eq!(Journal::is_unmade(&mut MemDisk::of(whole.clone())), Ok(false));
    let mut torn = whole.clone();
    torn.get_mut(&journal::meta::file()).unwrap().iter_mut().step_by(4_000).for_each(|byte| *byte ^= 1);
    for name in
        [None, Some((Dir::Snapshots, "00000001-00000000000000000010.snap")), Some((Dir::Outbox, "1.out"))]
    {
        let mut files = torn.clone();
        if let Some((dir, name)) = name {
            files.insert(FileRef::new(dir, name), vec![0]);
        }
        assert_eq!(Journal::is_unmade(&mut MemDisk::of(files.clone())), Ok(name.is_none()), "{name:?}");
        let made = Journal::create(MemDisk::of(files), IDENTITY, options()).map(|_| ());
        assert_eq!(made.is_ok(), name.is_none(), "{made:?}");
    }
    let mut hinted = torn;
    let hint = journal::meta::hint_sector(1, IDENTITY.epoch);
    hinted.get_mut(&journal::meta::file()).unwrap()[4 << 12..][..hint.len()].copy_from_slice(&hint);
    assert_eq!(Journal::is_unmade(&mut MemDisk::of(hinted)), Ok(false));
}

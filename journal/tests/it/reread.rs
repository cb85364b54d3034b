//! Committed entries read back from the files beside a journal that goes on: the same that the journal itself has.

use journal::{EntryAt, Journal, Options, RereadFault, reread};
use protocol::Index;
use protocol::hash::Hash;

use crate::log::{IDENTITY, entry, options, settle};
use crate::mem_disk::MemDisk;

fn small() -> Options {
    Options { segment_bytes: 128 << 10, ..options() }
}

fn indices_and_bytes(
    disk: &mut MemDisk,
    from: EntryAt,
    to: EntryAt,
) -> Result<Vec<(Index, Vec<u8>)>, RereadFault> {
    let mut found = Vec::new();
    reread(disk, from, to, &mut |frame| found.push((frame.header.index, frame.bytes.to_vec())))
        .map(|()| found)
}

/// A journal whose uncommitted tail is replaced again and again; `below(n)` draws a number less than n.
fn written(disk: &MemDisk, below: &mut impl FnMut(u64) -> u64) -> Journal<MemDisk> {
    let mut journal = Journal::create(disk.clone(), IDENTITY, small()).unwrap();
    let (mut term, mut commit) = (1, 0);
    for _ in 0..150 {
        if below(6) == 0 && journal.last_index().0 > commit {
            term += 1;
            let from = commit + 1 + below(journal.last_index().0 - commit);
            journal.truncate_from(Index(from)).unwrap();
        }
        for _ in 0..=below(3) {
            let index = journal.last_index().0 + 1;
            journal.append(&entry(index, term, 300 + below(5_000) as usize, below(256) as u8));
        }
        if below(3) == 0 {
            commit += below(journal.last_index().0 - commit + 1);
            journal.set_commit(Index(commit));
        }
        if below(3) != 0 {
            settle(&mut journal);
        }
    }
    settle(&mut journal);
    journal
}

#[test]
fn what_lies_between_two_committed_entries_is_what_the_journal_has_there() {
    for seed in 1..=20_u64 {
        let mut state = seed;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let mut disk = MemDisk::default();
        let mut journal = written(&disk, &mut below);
        let commit = journal.commit().0;
        assert!(commit > 50, "seed {seed}: {commit}");
        let at = |journal: &mut Journal<MemDisk>, index: u64| EntryAt {
            index: Index(index),
            chain: journal.chain(Index(index)).unwrap(),
        };
        for _ in 0..40 {
            let from = below(commit);
            let to = from + 1 + below(commit - from);
            let expected: Vec<_> =
                (from + 1..=to).map(|i| (Index(i), journal.entry(Index(i)).unwrap().to_vec())).collect();
            let (from, to) = (at(&mut journal, from), at(&mut journal, to));
            assert_eq!(indices_and_bytes(&mut disk, from, to), Ok(expected), "seed {seed}: {from:?} {to:?}");
            let other = EntryAt { chain: Hash([9; 32]), ..from };
            let unlinked = indices_and_bytes(&mut disk, other, to);
            assert_eq!(unlinked, Err(RereadFault::Unlinked(from.index)), "seed {seed}");
            let other = EntryAt { chain: Hash([9; 32]), ..to };
            let missing = indices_and_bytes(&mut disk, from, other);
            assert!(matches!(missing, Err(RereadFault::Missing { .. })), "seed {seed}: {missing:?}");
        }
    }
}

#[test]
fn damage_on_the_way_is_a_fault_and_damage_elsewhere_is_none() {
    let mut disk = MemDisk::default();
    let mut journal = Journal::create(disk.clone(), IDENTITY, small()).unwrap();
    for index in 1..=100 {
        journal.append(&entry(index, 1, 7_000, index as u8));
        journal.set_commit(Index(index));
        settle(&mut journal);
    }
    let mut at = |index: u64| EntryAt { index: Index(index), chain: journal.chain(Index(index)).unwrap() };
    let (forty, sixty, eighty) = (at(40), at(60), at(80));
    let mut files = disk.after_kill();
    let place =
        disk.writes().iter().rev().find(|write| write.bytes.windows(64).any(|w| w == [50; 64])).cloned();
    let place = place.unwrap();
    files.get_mut(&place.file).unwrap()[place.offset as usize + 2_000] ^= 1;
    disk = MemDisk::of(files);
    let damaged = indices_and_bytes(&mut disk, forty, eighty);
    let Err(RereadFault::Missing { to, damage: Some(damage) }) = damaged else { panic!("{damaged:?}") };
    assert_eq!((to, damage.index), (Index(80), Index(50)));
    assert_eq!(indices_and_bytes(&mut disk, sixty, eighty).unwrap().len(), 20);
}

#[test]
fn a_segment_is_read_in_steps_that_a_write_can_wait_for() {
    const STEP_BYTES: usize = 256 << 10;
    let disk = MemDisk::default();
    let options = Options { segment_bytes: 5 * (STEP_BYTES as u64) / 2, ..options() };
    let mut journal = Journal::create(disk.clone(), IDENTITY, options).unwrap();
    for index in 1..=200 {
        journal.append(&entry(index, 1, 7_000, index as u8));
        journal.set_commit(Index(index));
        settle(&mut journal);
    }
    let mut at = |index: u64| EntryAt { index: Index(index), chain: journal.chain(Index(index)).unwrap() };
    let (first, last) = (at(1), at(200));
    let mut beside = MemDisk::of(disk.after_kill());
    assert_eq!(indices_and_bytes(&mut beside, first, last).unwrap().len(), 199);
    assert_eq!(beside.longest_read(), STEP_BYTES);
}

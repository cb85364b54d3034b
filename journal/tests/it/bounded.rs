//! A start that reads the journal from the older snapshot on: the same log, the same judgement of its end, and no more
//! remembered of it than two snapshots ask for.

use journal::block::BlockHeader;
use journal::classify::Verdict;
use journal::segment::{self, SECTOR_BYTES, SegmentHeader, SegmentName};
use journal::{Dir, FileRef, Journal, Opened, Options, ReadFault, Refusal, snapshot_file};
use protocol::hash::Hash;
use protocol::limits::BLOCK_ALIGN;
use protocol::{Index, Term};

use crate::files::header;
use crate::log::{IDENTITY, entry, options, settle};
use crate::mem_disk::{Files, MemDisk};

fn small() -> Options {
    Options { segment_bytes: 128 << 10, tail_bytes: 0, ..options() }
}

fn open_from(files: &Files, from: u64) -> Result<Opened<MemDisk>, Refusal> {
    Journal::open_from(MemDisk::of(files.clone()), small(), Index(from))
}

/// 200 entries of 7,000 bytes in small segments, and snapshots at 100 and 150.
fn files() -> Files {
    files_with_marks(&[100, 150])
}

/// The same, where a majority is known to have the snapshots `marked`.
fn files_with_marks(marked: &[u64]) -> Files {
    let mut disk = MemDisk::default();
    let mut journal = Journal::create(disk.clone(), IDENTITY, small()).unwrap();
    for index in 1..=200 {
        journal.append(&entry(index, 1, 7_000, index as u8));
        journal.set_commit(Index(index - 1));
        settle(&mut journal);
        if index == 100 || index == 150 {
            snapshot_file::store(&mut disk, &header(index), b"state", Index(index)).unwrap();
        }
        if marked.contains(&index) {
            journal.snap_mark(Index(index), Term(1), Hash::ZERO);
            settle(&mut journal);
        }
    }
    for _ in 0..8 {
        journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    }
    disk.after_power_loss()
}

/// Segments with blocks: file and header, oldest first.
fn segments(files: &Files) -> Vec<(FileRef, SegmentHeader)> {
    let read = |(file, bytes): (&FileRef, &Vec<u8>)| {
        let name = SegmentName::parse(&file.name)?;
        Some((file.clone(), SegmentHeader::read_either(name, bytes)?))
    };
    files.iter().filter_map(read).collect()
}

/// Where the segment begins that has entry `index`.
fn segment_of(files: &Files, index: u64) -> usize {
    segments(files).iter().rposition(|(_, header)| header.first_index.0 <= index).unwrap()
}

#[test]
fn only_segments_from_the_older_snapshot_on_are_read_and_the_log_is_the_same() {
    let files = files();
    let all = segments(&files);
    let first = segment_of(&files, 100);
    assert!(first > 3 && all.len() > first + 3, "{first} of {}", all.len());
    let disk = MemDisk::of(files.clone());
    let mut bounded = Journal::open_from(disk.clone(), small(), Index(100)).unwrap();
    let reads = disk.take_reads();
    for (at, (file, header)) in all.iter().enumerate() {
        let read = reads.get(file).copied().unwrap_or(0);
        assert_eq!(read >= header.segment_bytes as usize, at >= first, "segment {at}: {read} bytes");
        assert!(at >= first || read == 0, "segment {at}: {read} bytes");
    }
    assert_eq!((bounded.report.segments_passed, bounded.report.segments), (first, all.len() - first));

    let mut whole = open_from(&files, 0).unwrap();
    let (bounded, whole) = (&mut bounded.journal, &mut whole.journal);
    assert_eq!((bounded.first_index(), whole.first_index()), (Index(100), Index(1)));
    assert_eq!(bounded.last_chain(), whole.last_chain());
    assert_eq!(bounded.last_hard_state(), whole.last_hard_state());
    assert_eq!(bounded.log_end().next_seq, whole.log_end().next_seq);
    assert_eq!(bounded.commit(), whole.commit());
    for index in (99..=200).map(Index) {
        assert_eq!(bounded.term(index), whole.term(index), "{index}");
        assert_eq!(bounded.chain(index), whole.chain(index), "{index}");
        let (one, two) = (bounded.entry(index), whole.entry(index));
        assert_eq!(one.as_deref().ok(), two.as_deref().ok().filter(|_| index > Index(99)), "{index}");
    }
    // And both go on alike.
    for journal in [bounded, whole] {
        for index in 201..=260 {
            journal.append(&entry(index, 2, 7_000, 1));
            settle(journal);
        }
    }
    let chain = whole_chain(&files, 60);
    assert_eq!(open_from(&disk.after_power_loss(), 0).unwrap().journal.last_chain(), chain);
}

/// A peer that lacks what is before both snapshots can be sent one, or entries.
#[test]
fn the_whole_log_is_there_for_peers_where_no_snapshot_may_be_handed_on() {
    let first = |files: &Files| {
        let opened = Journal::open_for_peers(MemDisk::of(files.clone()), small(), Index(100));
        opened.map(|opened| opened.journal.first_index())
    };
    for (marked, expected) in [(&[][..], 1), (&[100], 100), (&[150], 100), (&[100, 150], 100)] {
        assert_eq!(first(&files_with_marks(marked)).unwrap(), Index(expected), "{marked:?}");
    }
    // Where what is before is damaged, the rest serves; damage behind it is judged as by every start.
    let files = files_with_marks(&[]);
    let all = segments(&files);
    for (file, is_needed) in [(&all[1].0, false), (&all[segment_of(&files, 120)].0, true)] {
        let mut damaged = files.clone();
        damaged.get_mut(file).unwrap()[(7 << 12)..(7 << 12) + 9].fill(0xee);
        match first(&damaged) {
            Ok(first) => assert!(!is_needed && first == Index(100), "{first}"),
            Err(refusal) => assert!(is_needed && refusal.is_damage(), "{refusal}"),
        }
    }
}

/// The chain behind `more` entries of term 2.
fn whole_chain(files: &Files, more: u64) -> Hash {
    let mut journal = open_from(files, 0).unwrap().journal;
    (201..=200 + more).map(|index| journal.append(&entry(index, 2, 7_000, 1))).last().unwrap()
}

#[test]
fn damage_in_an_older_segment_does_not_stop_the_start_and_damage_above_is_judged_as_before() {
    let files = files();
    let all = segments(&files);
    let first = segment_of(&files, 100);
    for (at, (file, _)) in all.iter().enumerate() {
        // The third block, and both header pages.
        for damage in [(7 << 12)..(7 << 12) + 9, 0..(2 << 12)] {
            let mut damaged = files.clone();
            damaged.get_mut(file).unwrap()[damage.clone()].fill(0xee);
            assert!(open_from(&damaged, 0).is_err(), "segment {at}");
            let bounded = open_from(&damaged, 100);
            if at < first {
                assert_eq!(bounded.unwrap().journal.last_index(), Index(200), "segment {at}");
            } else {
                assert!(matches!(bounded, Err(Refusal::Repair(_))), "segment {at}, {damage:?}");
            }
        }
        // A segment that is missing.
        let mut damaged = files.clone();
        damaged.remove(file);
        let bounded = open_from(&damaged, 100);
        assert_eq!(bounded.is_ok(), at < first, "without segment {at}");
    }
}

#[test]
fn a_torn_tail_just_behind_a_roll_is_cut_off_whatever_the_older_snapshot_is() {
    let files = files();
    let all = segments(&files);
    let (newest, newest_header) = all.last().unwrap();
    let last = newest_header.first_index.0 - 1;
    // One sector arrived of the newest segment's header, or of the first block behind it.
    for written in [SECTOR_BYTES, 2 * BLOCK_ALIGN + SECTOR_BYTES] {
        let mut torn = files.clone();
        segment::fill(&mut torn.get_mut(newest).unwrap()[written..], newest_header.nonce);
        // The hint is stale: nothing else knows of the newest blocks.
        torn.get_mut(&journal::meta::file()).unwrap().truncate(4 * BLOCK_ALIGN);
        for from in [0, 100, last] {
            let disk = MemDisk::of(torn.clone());
            let opened = Journal::open_from(disk.clone(), small(), Index(from));
            let mut opened = opened.unwrap_or_else(|refusal| panic!("from {from}: {refusal}"));
            assert_eq!(opened.report.findings.verdict, Verdict::Torn);
            assert_eq!(opened.journal.last_index(), Index(last), "from {from}");
            for index in last + 1..last + 30 {
                opened.journal.append(&entry(index, 3, 7_000, 9));
                settle(&mut opened.journal);
            }
            let again = open_from(&disk.after_power_loss(), from).unwrap();
            assert_eq!(again.journal.last_index(), Index(last + 29));
            assert_eq!(again.journal.last_chain(), opened.journal.last_chain());
        }
    }
}

/// The device lost the header of the newest segment and all of its blocks but a sector of the last, and the length of the file with them.
#[test]
fn a_header_in_the_last_piece_of_a_file_proves_a_loss() {
    let files = files();
    let (newest, header) = segments(&files).pop().unwrap();
    let mut cut = files.clone();
    let bytes = cut.get_mut(&newest).unwrap();
    let (mut last, mut at) = (0, 2 * BLOCK_ALIGN);
    while let Ok(block) = BlockHeader::read(&bytes[at..]) {
        (last, at) = (at, at + block.extent());
    }
    assert!(last > 2 * BLOCK_ALIGN, "more than one block");
    segment::fill(&mut bytes[..last], header.nonce);
    bytes.truncate(last + SECTOR_BYTES);
    cut.get_mut(&journal::meta::file()).unwrap().truncate(4 * BLOCK_ALIGN);
    for from in [0, 100] {
        let opened = open_from(&cut, from).map(|opened| opened.journal.last_index());
        assert!(matches!(opened, Err(Refusal::Repair(_))), "from {from}: {opened:?}");
    }
}

#[test]
fn a_snapshot_behind_the_end_of_the_log_proves_a_loss() {
    let mut files = files();
    // The device lost everything behind entry 140, and the hint too.
    let (file, header_of) = segments(&files)[segment_of(&files, 140)].clone();
    let later: Vec<FileRef> =
        files.keys().filter(|other| other.dir == Dir::Journal && **other > file).cloned().collect();
    later.iter().for_each(|file| drop(files.remove(file)));
    let bytes = files.get_mut(&file).unwrap();
    let mut at = 2 * BLOCK_ALIGN;
    while let Ok(block) = BlockHeader::read(&bytes[at..]) {
        if block.last_index.0 > 140 {
            segment::fill(&mut bytes[at..], header_of.nonce);
            break;
        }
        at += block.extent();
    }
    files.get_mut(&journal::meta::file()).unwrap().truncate(4 * BLOCK_ALIGN);
    for from in [0, 100] {
        let disk = MemDisk::of(files.clone());
        let refused = Journal::open_from(disk.clone(), small(), Index(from)).map(|_| ());
        let Err(Refusal::BehindSnapshot { snapshot: Index(150), findings }) = refused else {
            panic!("{refused:?}");
        };
        assert!(findings.log.last_index <= Index(140));
        assert_eq!(disk.after_kill(), files, "nothing is changed");
    }
    files.retain(|file, _| !file.name.contains("150.snap"));
    assert!(open_from(&files, 100).is_ok());
}

#[test]
fn what_is_remembered_of_the_log_is_bounded_by_two_snapshots() {
    let mut disk = MemDisk::default();
    let mut journal = Journal::create(disk.clone(), IDENTITY, small()).unwrap();
    let kept = |journal: &Journal<MemDisk>| journal.last_index().0 + 1 - journal.first_index().0;
    for index in 1..=1_000 {
        journal.append(&entry(index, 1, 500, index as u8));
        settle(&mut journal);
        if index % 100 == 0 {
            snapshot_file::store(&mut disk, &header(index), b"state", Index(index)).unwrap();
            journal.snap_mark(Index(index), Term(1), Hash::ZERO);
        }
        assert!(kept(&journal) <= 201, "{} at {index}", kept(&journal));
    }
    settle(&mut journal);
    assert_eq!((journal.first_index(), kept(&journal)), (Index(900), 101));
    assert!(matches!(journal.entry(Index(899)), Err(ReadFault::Missing(_))));
    assert_eq!(journal.term(Index(899)), Some(Term(1)), "Raft asks for the one before the first");
    let chain = journal.chain(Index(899)).unwrap();

    // A start that had to read everything forgets with the next snapshot; one from the older of them at once.
    let files = disk.after_power_loss();
    let mut whole = open_from(&files, 0).unwrap().journal;
    let bounded = &mut open_from(&files, 900).unwrap().journal;
    assert_eq!((whole.first_index(), bounded.first_index()), (Index(1), Index(900)));
    assert_eq!((whole.chain(Index(899)).unwrap(), bounded.chain(Index(899)).unwrap()), (chain, chain));
    for journal in [&mut whole, bounded] {
        journal.append(&entry(1_001, 1, 500, 1));
        journal.snap_mark(Index(1_001), Term(1), Hash::ZERO);
        settle(journal);
        assert_eq!(journal.first_index(), Index(1_000));
        assert_eq!(journal.entries(Index(1_000), Index(1_002), usize::MAX).unwrap().len(), 2);
    }
}

/// Whatever was appended, replaced, marked and forgotten: a bounded start finds the log that a whole one finds.
#[test]
fn bounded_starts_agree_with_whole_ones_over_random_histories() {
    for seed in 0..60_u64 {
        let mut drawn = 0;
        let mut below = |n: u64| {
            drawn += 1;
            segment::nonce(seed.wrapping_mul(0x1234_5677) ^ 0xb0, drawn) % n
        };
        let disk = MemDisk::default();
        let mut journal = Journal::create(disk.clone(), IDENTITY, small()).unwrap();
        let (mut term, mut committed) = (1, 0);
        for _ in 0..120 {
            let last = journal.last_index().0;
            match below(10) {
                0 if last > committed => {
                    let from = committed + 1 + below(last - committed);
                    term += 1;
                    journal.truncate_from(Index(from)).unwrap();
                }
                1 => {
                    committed += below(last - committed + 1);
                    journal.set_commit(Index(committed));
                }
                _ => {
                    for index in last + 1..=last + 1 + below(4) {
                        let bytes = below(9_000) as usize;
                        journal.append(&entry(index, term, bytes, index as u8));
                    }
                }
            }
            if below(3) > 0 {
                settle(&mut journal);
            }
        }
        journal.set_commit(Index(committed));
        settle(&mut journal);
        let files = disk.after_power_loss();
        let mut whole = open_from(&files, 0).unwrap().journal;
        for _ in 0..4 {
            let from = below(committed + 1);
            let bounded = open_from(&files, from).unwrap_or_else(|refusal| panic!("seed {seed}: {refusal}"));
            let mut bounded = bounded.journal;
            let case = format!("seed {seed}, from {from} of {committed}");
            assert_eq!(bounded.first_index(), Index(from.max(1)), "{case}");
            assert_eq!(bounded.last_index(), whole.last_index(), "{case}");
            for index in (from.max(1) - 1..=whole.last_index().0).map(Index) {
                assert_eq!(bounded.term(index), whole.term(index), "{case}: {index}");
                assert_eq!(bounded.chain(index), whole.chain(index), "{case}: {index}");
            }
            let entries = |journal: &mut Journal<MemDisk>| {
                let (low, high) = (Index(from.max(1)), journal.last_index().next());
                let entries = journal.entries(low, high, usize::MAX).unwrap();
                entries.iter().map(|entry| entry.to_vec()).collect::<Vec<_>>()
            };
            assert_eq!(entries(&mut bounded), entries(&mut whole), "{case}");
        }
    }
}

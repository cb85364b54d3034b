//! What a crash or a bad disk leaves behind is never taken for less than was acknowledged, and never for something else.
//!
//! Every image here comes from the real journal's writes, replayed with a fault. `classify` is judged by what was
//! acknowledged: it may cut only what was not, and has to refuse what it cannot know.

use std::collections::BTreeMap;

use journal::block::{self, BlockHeader};
use journal::classify::Verdict;
use journal::segment::{self, SECTOR_BYTES, SegmentName};
use journal::survey::{Findings, classify, may_begin_with};
use journal::{
    AlignedBuf, BlockWrite, Dir, Disk, DiskCause, FileRef, Journal, Options, Refusal, snapshot_file,
};
use protocol::Index;
use protocol::hash::Hash;
use protocol::limits::{BLOCK_ALIGN, BLOCK_BYTES_LARGE, BLOCK_HEADER_BYTES, RECORD_BYTES_LARGE};

use crate::files::header;
use crate::log::{IDENTITY, entry, open, options, settle};
use crate::mem_disk::{Files, MemDisk, store};

/// A history: the files before the first write, every write, and what each made true.
struct History {
    start: Files,
    writes: Vec<BlockWrite>,
    /// Behind each write: the newest block, the last entry.
    durable: Vec<(u64, Index)>,
    /// Chain of each entry, from index 0 on.
    chains: Vec<Hash>,
    nonces: BTreeMap<FileRef, u64>,
}

impl History {
    /// Appends an entry of each of `payloads`, one block each.
    fn of(payloads: &[usize], segment_bytes: u64) -> Self {
        let disk = MemDisk::default();
        let options = Options { segment_bytes, ..options() };
        let mut journal = Journal::create(disk.clone(), IDENTITY, options).unwrap();
        settle(&mut journal);
        for _ in 0..8 {
            journal.step().unwrap_or_else(|fault| panic!("{fault}"));
        }
        let mut chains = vec![Hash::ZERO];
        for (index, payload) in (1..).zip(payloads) {
            chains.push(journal.append(&entry(index, 1, *payload, index as u8)));
            settle(&mut journal);
            journal.step().unwrap_or_else(|fault| panic!("{fault}"));
        }
        let (mut start, writes) = (disk.after_power_loss(), disk.writes());
        start.retain(|file, _| file.dir == Dir::Journal);
        let mut nonces = BTreeMap::new();
        for (file, bytes) in &mut start {
            let nonce = segment::nonce(7, SegmentName::parse(&file.name).unwrap().segno);
            nonces.insert(file.clone(), nonce);
            let header = bytes[..2 * BLOCK_ALIGN].to_vec();
            segment::fill(bytes, nonce);
            // The first segment's header is not written by `submit`.
            if file.name.ends_with("-0000000001.seg") {
                bytes[..header.len()].copy_from_slice(&header);
            }
        }
        let mut durable = Vec::new();
        let mut newest = (0, Index(0));
        for write in &writes {
            if let Ok(header) = BlockHeader::read(&write.bytes) {
                newest = (header.block_seq, header.last_index);
            }
            durable.push(newest);
        }
        Self { start, writes, durable, chains, nonces }
    }

    /// The files after the first `writes` writes.
    fn files(&self, writes: usize) -> Files {
        let mut files = self.start.clone();
        for write in &self.writes[..writes] {
            store(files.get_mut(&write.file).unwrap(), write.offset, &write.bytes);
        }
        files
    }

    fn judge(&self, files: &Files, hint: u64) -> Findings {
        let segments = files
            .iter()
            .filter_map(|(file, bytes)| Some((SegmentName::parse(&file.name)?, bytes.as_slice())));
        classify(segments, hint)
    }

    /// As [`Self::judge`], by a start that needs entries from `from` on; also the first segment that it reads.
    fn judge_from(&self, files: &Files, hint: u64, from: Index) -> (Findings, SegmentName) {
        let segments: Vec<_> = files
            .iter()
            .filter_map(|(file, bytes)| Some((SegmentName::parse(&file.name)?, bytes.as_slice())))
            .collect();
        let first = segments.iter().rposition(|(name, bytes)| may_begin_with(*name, bytes, from));
        let needed = &segments[first.unwrap_or(0)..];
        (classify(needed.iter().copied(), hint), needed[0].0)
    }

    /// `Some(last entry)` if the journal would start, which must then be a true log.
    fn outcome(&self, findings: &Findings, case: &dyn std::fmt::Debug) -> Option<Index> {
        match findings.verdict {
            Verdict::Clean | Verdict::Torn => {
                let last = findings.log.last_index;
                assert_eq!(findings.log.chain, self.chains[last.0 as usize], "silently wrong: {case:?}");
                Some(last)
            }
            Verdict::Repair(_) | Verdict::Suspect { .. } | Verdict::Unrepaired { .. } => None,
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        segment::nonce(0x5eed, self.0) % n
    }
    fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }
}

#[test]
fn a_block_torn_at_any_byte_is_cut_or_kept_and_never_what_came_before_it() {
    for payload in [10, 3_000, 5_000, 9_000] {
        let history = History::of(&[100, 4_000, 700, payload], 128 << 10);
        let last = history.writes.len() - 1;
        let write = &history.writes[last];
        let mut files = history.files(last);
        let (mut refused, mut kept) = (0, 0);
        for cut in 0..=write.bytes.len() {
            let end = write.offset as usize + cut;
            if cut > 0 {
                files.get_mut(&write.file).unwrap()[end - 1] = write.bytes[cut - 1];
            }
            let findings = history.judge(&files, history.durable[last - 1].0);
            match history.outcome(&findings, &cut) {
                Some(Index(4)) => kept += 1,
                other => {
                    assert!(other.is_none_or(|last| last == Index(3)), "cut at {cut}: {other:?}");
                    refused += u32::from(other.is_none());
                    assert!(cut < write.bytes.len());
                }
            }
        }
        // Cut inside the last sector, behind which nothing shows that something is missing; the padding may be whole.
        assert!(refused < SECTOR_BYTES as u32, "{refused} refused");
        assert!(kept >= 1);
    }
}

/// Where large blocks come from: 1 MiB, the last bytes of the frame in its last sector.
const LARGE: usize = RECORD_BYTES_LARGE;

#[test]
fn a_large_block_torn_at_any_sector_is_cut_or_kept_and_never_what_came_before_it() {
    let history = History::of(&[100, LARGE, 700, LARGE], 4 << 20);
    let last = history.writes.len() - 1;
    let write = &history.writes[last];
    assert_eq!(write.bytes.len(), BLOCK_BYTES_LARGE);
    let durable = history.durable[last - 1].0;
    let sectors = write.bytes.len() / SECTOR_BYTES;
    let sector = |number: usize| &write.bytes[number * SECTOR_BYTES..][..SECTOR_BYTES];
    let at = |number: usize| write.offset + (number * SECTOR_BYTES) as u64;
    let mut files = history.files(last);
    for written in 0..sectors {
        let findings = history.judge(&files, durable);
        assert_eq!(history.outcome(&findings, &written), Some(Index(3)), "{written} sectors");
        store(files.get_mut(&write.file).unwrap(), at(written), sector(written));
    }
    assert_eq!(history.outcome(&history.judge(&files, durable), &"whole"), Some(Index(4)));
    // Any other order of its sectors: one of them has not arrived, then many.
    let untouched = history.files(last);
    let before = &untouched[&write.file];
    let mut random = Random(4);
    for _ in 0..300 {
        let missing = random.index(sectors);
        let mut torn = files.clone();
        let file = torn.get_mut(&write.file).unwrap();
        store(file, at(missing), &before[at(missing) as usize..][..SECTOR_BYTES]);
        for number in (0..sectors).filter(|_| random.below(3) == 0) {
            store(file, at(number), &before[at(number) as usize..][..SECTOR_BYTES]);
        }
        let findings = history.judge(&torn, durable);
        assert_eq!(history.outcome(&findings, &missing), Some(Index(3)), "{:?}", findings.row);
    }
}

#[test]
fn a_flipped_bit_in_any_sector_of_a_durable_large_block_is_found() {
    let history = History::of(&[100, LARGE, 700], 4 << 20);
    let large = history.writes.iter().find(|write| write.bytes.len() == BLOCK_BYTES_LARGE).unwrap();
    let mut files = history.files(history.writes.len());
    let durable = history.durable.last().unwrap().0;
    let mut random = Random(5);
    for sector in 0..BLOCK_BYTES_LARGE / SECTOR_BYTES {
        let at = large.offset as usize + sector * SECTOR_BYTES + random.index(SECTOR_BYTES);
        let bit = 1 << random.below(8);
        files.get_mut(&large.file).unwrap()[at] ^= bit;
        let findings = history.judge(&files, durable);
        assert!(matches!(findings.verdict, Verdict::Repair(_)), "byte {at}: {:?}", findings.verdict);
        assert_eq!(findings.log.last_index, Index(1));
        files.get_mut(&large.file).unwrap()[at] ^= bit;
    }
}

/// `second` as it would be if it had been begun before `first` was durable.
fn begun_together(second: &BlockWrite, first: &BlockWrite) -> BlockWrite {
    let mut header = BlockHeader::read(&second.bytes).unwrap();
    header.durable_block = BlockHeader::read(&first.bytes).unwrap().durable_block;
    let mut bytes = AlignedBuf::with_capacity(second.bytes.len());
    block::begin(&mut bytes);
    assert!(bytes.extend(&second.bytes[BLOCK_HEADER_BYTES..header.len as usize]));
    block::close(&mut bytes, &mut header);
    BlockWrite { bytes: bytes.into(), ..second.clone() }
}

fn check_sectors(payloads: [usize; 2], subsets: impl Iterator<Item = u64>) {
    let history = History::of(&[500, 20, payloads[0], payloads[1]], 128 << 10);
    let before = history.writes.len() - 2;
    let first = history.writes[before].clone();
    let second = begun_together(&history.writes[before + 1], &first);
    let base = history.files(before);
    let sectors: Vec<(u64, &[u8])> = [&first, &second]
        .into_iter()
        .flat_map(|write| (write.offset..).step_by(SECTOR_BYTES).zip(write.bytes.chunks(SECTOR_BYTES)))
        .collect();
    let all = (1_u64 << sectors.len()) - 1;
    let all_first = (1_u64 << (first.bytes.len() / SECTOR_BYTES)) - 1;
    let mut files = base.clone();
    for subset in subsets.map(|subset| subset & all) {
        let file = files.get_mut(&first.file).unwrap();
        for (number, (offset, sector)) in sectors.iter().enumerate() {
            let old = &base[&first.file][*offset as usize..][..SECTOR_BYTES];
            store(file, *offset, if subset & (1 << number) != 0 { sector } else { old });
        }
        let findings = history.judge(&files, history.durable[before - 1].0);
        let found = history.outcome(&findings, &subset);
        let expected = match (subset & all_first == all_first, subset == all) {
            (_, true) => Index(4),
            (true, false) => Index(3),
            (false, false) => Index(2),
        };
        assert_eq!(found, Some(expected), "subset {subset:b}: {:?}", findings.row);
    }
}

#[test]
fn every_sector_subset_of_two_blocks_in_flight_is_judged_right() {
    check_sectors([100, 100], 0..1 << 16);
}

#[test]
fn sector_subsets_of_longer_blocks_in_flight_are_judged_right() {
    let mut random = Random(1);
    check_sectors([5_000, 6_000], (0..10_000).map(|_| random.below(1 << 32)));
    let mut random = Random(2);
    check_sectors([9_000, 100], (0..10_000).map(|_| random.below(1 << 32) | random.below(1 << 32)));
}

#[test]
fn every_sector_subset_of_a_segments_header_leaves_the_log_as_it_was() {
    let history = History::of(&[7_000; 16], 128 << 10);
    let roll = history.writes.iter().position(|write| write.offset == 0).unwrap();
    let write = &history.writes[roll];
    let base = history.files(roll);
    let mut random = Random(3);
    for turn in 0..5_000 {
        let subset = if turn < 17 { (1 << turn) - 1 } else { random.below(1 << 16) };
        let mut files = base.clone();
        for (number, sector) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
            if subset & (1 << number) != 0 {
                store(files.get_mut(&write.file).unwrap(), (number * SECTOR_BYTES) as u64, sector);
            }
        }
        let (newest, last) = history.durable[roll];
        let findings = history.judge(&files, newest);
        assert_eq!(history.outcome(&findings, &subset), Some(last), "subset {subset:b}: {:?}", findings.row);
        for from in [Index(1), Index(last.0 / 2), last] {
            let (findings, _) = history.judge_from(&files, newest, from);
            let found = history.outcome(&findings, &subset);
            assert_eq!(found, Some(last), "subset {subset:b} from {from}: {:?}", findings.row);
        }
        if turn % 100 == 0 {
            // And the log goes on in that segment.
            let mut disk = files;
            let meta = journal::meta::Meta {
                sequence: 1,
                identity: IDENTITY,
                hard_state: journal::HardState::default(),
            };
            disk.insert(journal::meta::file(), [&meta.page()[..]; 4].concat());
            let disk = MemDisk::of(disk);
            let mut opened = open(disk.clone());
            for index in last.0 + 1..last.0 + 4 {
                opened.journal.append(&entry(index, 1, 6_000, 1));
                settle(&mut opened.journal);
            }
            let again = open(MemDisk::of(disk.after_power_loss()));
            assert_eq!(again.journal.last_index(), Index(last.0 + 3));
        }
    }
}

#[test]
fn the_header_of_a_segment_vouches_for_the_end_of_the_one_before() {
    let history = History::of(&[7_000; 16], 128 << 10);
    let roll = history.writes.iter().position(|write| write.offset == 0).unwrap();
    let seal = &history.writes[roll - 1];
    for header_written in [false, true] {
        let mut files = history.files(roll + usize::from(header_written));
        files.get_mut(&seal.file).unwrap()[seal.offset as usize..][..BLOCK_ALIGN].fill(0xee);
        let verdict = history.judge(&files, 0).verdict;
        assert_eq!(matches!(verdict, Verdict::Repair(_)), header_written, "{verdict:?}");
        assert_eq!(matches!(verdict, Verdict::Suspect { .. }), !header_written, "{verdict:?}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    BitFlip,
    ZeroedSector,
    Garbage,
    StaleSector,
    Misdirected,
    LostWrite,
    LostSector,
}

const FAULTS: [Fault; 7] = [
    Fault::BitFlip,
    Fault::ZeroedSector,
    Fault::Garbage,
    Fault::StaleSector,
    Fault::Misdirected,
    Fault::LostWrite,
    Fault::LostSector,
];

/// Damages `files`; returns the write that is lost where it belongs, where the fault is one of those.
fn damage(history: &History, fault: Fault, files: &mut Files, random: &mut Random) -> Option<usize> {
    // The newest writes more often than the others.
    let count = history.writes.len();
    let victim = if random.below(2) == 0 { count - 1 - random.index(4) } else { random.index(count) };
    let write = &history.writes[victim];
    let sector = random.index(write.bytes.len() / SECTOR_BYTES) * SECTOR_BYTES;
    let at = write.offset as usize + sector;
    let all: Vec<FileRef> = files.keys().cloned().collect();
    let nonce = history.nonces[&write.file];
    let file = files.get_mut(&write.file).unwrap();
    match fault {
        Fault::BitFlip => {
            let target = files.get_mut(&all[random.index(all.len())]).unwrap();
            let at = if random.below(2) == 0 {
                random.index(target.len())
            } else {
                at + random.index(SECTOR_BYTES)
            };
            target[at] ^= 1 << random.below(8);
        }
        Fault::ZeroedSector => file[at..at + SECTOR_BYTES].fill(0),
        Fault::Garbage => {
            let sectors = 1 + random.index(8);
            let end = (at + sectors * SECTOR_BYTES).min(file.len());
            file[at..end].fill_with(|| random.below(256) as u8);
        }
        Fault::StaleSector => {
            let other = &history.writes[random.index(victim.max(1))];
            let from = sector % other.bytes.len();
            file[at..at + SECTOR_BYTES].copy_from_slice(&other.bytes[from..from + SECTOR_BYTES]);
        }
        Fault::LostSector => {
            segment::fill(&mut file[at..at + SECTOR_BYTES], nonce);
            return Some(victim);
        }
        Fault::LostWrite => {
            segment::fill(&mut file[write.offset as usize..][..write.bytes.len()], nonce);
            return Some(victim);
        }
        Fault::Misdirected => {
            misdirect(history, victim, files, random);
            return Some(victim);
        }
    }
    None
}

/// Everything again in order, but `victim` goes elsewhere.
fn misdirect(history: &History, victim: usize, files: &mut Files, random: &mut Random) {
    *files = history.start.clone();
    let all: Vec<FileRef> = files.keys().cloned().collect();
    for (number, write) in history.writes.iter().enumerate() {
        let (mut file, mut offset) = (write.file.clone(), write.offset);
        while number == victim && (&file, offset) == (&write.file, write.offset) {
            file =
                if random.below(2) == 0 { write.file.clone() } else { all[random.index(all.len())].clone() };
            let pages = (files[&file].len() - write.bytes.len()) / BLOCK_ALIGN;
            offset = (random.index(pages + 1) * BLOCK_ALIGN) as u64;
        }
        store(files.get_mut(&file).unwrap(), offset, &write.bytes);
    }
}

#[test]
fn forty_thousand_corruptions_never_shorten_or_change_what_was_acknowledged() {
    let mut random = Random(4);
    let payloads: Vec<usize> =
        (0..40).map(|n| if n % 6 == 0 { 5_000 + random.index(5_000) } else { random.index(3_000) }).collect();
    let history = History::of(&payloads, 128 << 10);
    assert!(history.writes.iter().any(|write| write.offset == 0), "it rolls");
    let (newest, acknowledged) = *history.durable.last().unwrap();
    let whole = history.files(history.writes.len());
    let mut outcomes: BTreeMap<(Fault, &str), u32> = BTreeMap::new();
    for case in 0..40_000_u64 {
        let mut random = Random(case << 20);
        let fault = FAULTS[random.index(FAULTS.len())];
        let stale_by = random.below(2) * random.below(4);
        let hint = newest.saturating_sub(stale_by);
        let mut files = whole.clone();
        let lost = damage(&history, fault, &mut files, &mut random);
        let findings = history.judge(&files, hint);
        *outcomes.entry((fault, findings.row.name)).or_default() += 1;
        if case % 4 == 0 {
            check_bounded(&history, &files, hint, lost, &findings, &(case, fault));
        }
        let Some(last) = history.outcome(&findings, &(case, fault)) else { continue };
        if last < acknowledged {
            // The device reported a write as durable that it lost, and nothing durable names it: the newest block, or
            // one of whose successors there is none. No one can tell this from a write that was never made.
            let newest_lost = lost
                .is_some_and(|write| history.durable[write].0 == newest && history.writes[write].offset != 0);
            let lied = matches!(fault, Fault::LostWrite | Fault::LostSector) && newest_lost && hint < newest;
            assert!(
                lied,
                "case {case}: {fault:?} hint {hint} of {newest}: {last} of {acknowledged}, {findings:?}"
            );
        }
    }
    // Every fault and every way out was met.
    for fault in FAULTS {
        assert!(outcomes.keys().any(|(met, _)| *met == fault), "{fault:?}: {outcomes:?}");
    }
    for row in [0, 1, 2, 6, 7] {
        let name = journal::classify::TABLE[row].name;
        assert!(outcomes.keys().any(|(_, met)| *met == name), "{name}: {outcomes:#?}");
    }
}

/// A start from the middle is fooled only where a whole one is too, or by a newest block that went astray to where it does
/// not look. What it passes over may be damaged.
fn check_bounded(
    history: &History,
    files: &Files,
    hint: u64,
    lost: Option<usize>,
    whole: &Findings,
    case: &(u64, Fault),
) {
    let (newest, acknowledged) = *history.durable.last().unwrap();
    let (findings, first) = history.judge_from(files, hint, Index(acknowledged.0 / 2));
    let found = history.outcome(&findings, case);
    match (history.outcome(whole, case), found) {
        (whole @ Some(_), bounded) => assert_eq!(whole, bounded, "{case:?}"),
        (None, None) => {}
        (None, Some(last)) => {
            assert!(first.segno > 1, "{case:?}: it read what the whole start read");
            let lied = case.1 == Fault::Misdirected && hint < newest;
            let newest_lost = lied && lost.is_some_and(|write| history.durable[write].0 == newest);
            assert!(last == acknowledged || newest_lost, "{case:?}: {last} of {acknowledged}, {findings:?}");
        }
    }
}

/// A folder whose newest block is `damaged`, with a hint that does not cover it.
fn folder_with(damage_last: impl Fn(&mut [u8]), hint_behind: u64) -> (Files, Index) {
    let disk = MemDisk::default();
    let mut journal = Journal::create(disk.clone(), IDENTITY, options()).unwrap();
    settle(&mut journal);
    for index in 1..=5 {
        journal.append(&entry(index, 1, 5_000, index as u8));
        settle(&mut journal);
    }
    let mut files = disk.after_power_loss();
    let write = disk.writes().pop().unwrap();
    damage_last(&mut files.get_mut(&write.file).unwrap()[write.offset as usize..][..write.bytes.len()]);
    let newest = BlockHeader::read(&write.bytes).unwrap().block_seq;
    let hint = journal::meta::hint_sector(newest - hint_behind, IDENTITY.epoch);
    let meta = files.get_mut(&journal::meta::file()).unwrap();
    meta.truncate(4 * BLOCK_ALIGN);
    meta.extend_from_slice(&hint);
    (files, Index(4))
}

#[test]
fn durable_blocks_are_never_cut_also_not_by_an_operator() {
    let (files, _) = folder_with(|block| block[200] ^= 1, 0);
    let Err(Refusal::Repair(findings)) = Journal::open(MemDisk::of(files.clone()), options()) else {
        panic!("opened");
    };
    assert_eq!((findings.log.last_index, findings.watermark), (Index(4), findings.last_block + 1));
    let disk = MemDisk::of(files.clone());
    assert!(matches!(Journal::adjudicate(disk.clone(), options(), "why"), Err(Refusal::Repair(_))));
    assert_eq!(disk.after_kill(), files, "nothing is changed");
}

#[test]
fn an_operator_decides_about_a_tail_in_doubt_and_the_evidence_stays() {
    let (files, whole) = folder_with(|block| block[200] ^= 1, 1);
    let Err(Refusal::Suspect(findings)) = Journal::open(MemDisk::of(files.clone()), options()) else {
        panic!("opened");
    };
    assert!(matches!(findings.verdict, Verdict::Suspect { named: Some((Index(5), _)), .. }));
    let disk = MemDisk::of(files.clone());
    let (mut opened, adjudication) =
        Journal::adjudicate(disk.clone(), options(), "the exchange of 3 May was never answered").unwrap();
    assert_eq!(opened.journal.last_index(), whole);
    opened.journal.append(&entry(5, 1, 100, 9));
    settle(&mut opened.journal);
    let after = disk.after_power_loss();
    let record = String::from_utf8(after[&adjudication.record].clone()).unwrap();
    assert!(record.contains("never answered") && record.contains("behind entry 4"), "{record}");
    let evidence = &after[&adjudication.evidence[0]];
    let damaged: Vec<_> =
        files.values().filter(|bytes| bytes.windows(64).any(|w| w == &evidence[200..264])).collect();
    assert_eq!(damaged.len(), 1, "the cut block is there in full");
    let again = open(MemDisk::of(after));
    assert_eq!((again.journal.last_index(), again.report.findings.verdict), (Index(5), Verdict::Clean));
    assert!(matches!(
        Journal::adjudicate(MemDisk::of(disk.after_power_loss()), options(), "again"),
        Err(Refusal::NothingInDoubt)
    ));
}

#[test]
fn a_second_decision_leaves_the_evidence_of_the_first() {
    let (files, whole) = folder_with(|block| block[200] ^= 1, 1);
    let disk = MemDisk::of(files);
    let (opened, first) = Journal::adjudicate(disk.clone(), options(), "the first").unwrap();
    drop(opened);
    let before = disk.after_power_loss();
    // The very same place is damaged again, before anything else was written.
    let end = first.findings.end;
    let mut damaged = before.clone();
    damaged.get_mut(&end.segment.file()).unwrap()[end.offset as usize..][..2 * BLOCK_ALIGN].fill(0xdd);
    let disk = MemDisk::of(damaged);
    let (opened, second) = Journal::adjudicate(disk.clone(), options(), "the second").unwrap();
    assert_eq!(opened.journal.last_index(), whole);
    let after = disk.after_power_loss();
    for file in first.evidence.iter().chain([&first.record]) {
        assert_eq!(after.get(file), before.get(file), "{file}");
    }
    let files: Vec<_> = first.evidence.iter().chain(&second.evidence).collect();
    assert!(files.iter().all(|file| files.iter().filter(|other| *other == file).count() == 1), "{files:?}");
    assert!(String::from_utf8_lossy(&after[&second.record]).contains("the second"));
    assert_eq!(&*second.record.name, "adjudication-0000000005-2.txt");
}

#[test]
fn a_decision_that_cannot_succeed_changes_nothing() {
    // A newer block lies astray in the first segment's header: with the tail set aside it is still there.
    let history = History::of(&[7_000; 24], 128 << 10);
    let mut files = history.files(history.writes.len());
    let meta = folder_with(|_| (), 1).0.remove(&journal::meta::file()).unwrap();
    files.insert(journal::meta::file(), meta[..4 * BLOCK_ALIGN].to_vec());
    let newest = history.writes.last().unwrap();
    let first = files.keys().find(|file| file.name.ends_with("-0000000001.seg")).unwrap().clone();
    assert_ne!(newest.file, first);
    let (page, bytes) = (&newest.bytes[..BLOCK_ALIGN], newest.offset as usize);
    files.get_mut(&newest.file).unwrap()[bytes..bytes + newest.bytes.len()].fill(0xee);
    let doubtful = files.clone();
    files.get_mut(&first).unwrap()[BLOCK_ALIGN..2 * BLOCK_ALIGN].copy_from_slice(page);
    let disk = MemDisk::of(files.clone());
    let refused = Journal::adjudicate(disk.clone(), options(), "why").map(|_| ()).unwrap_err();
    assert!(matches!(refused, Refusal::StillInDoubt(_)), "{refused}");
    assert_eq!(disk.after_kill(), files, "nothing is changed");

    // Without it the same tail can be given up; on a disk that fails or is full nothing is moved.
    let disk = MemDisk::of(doubtful.clone());
    disk.break_with(DiskCause::NoSpace);
    assert!(matches!(Journal::adjudicate(disk.clone(), options(), "why"), Err(Refusal::Disk(_))));
    assert_eq!(disk.after_kill(), doubtful, "nothing is changed");
    assert!(Journal::adjudicate(MemDisk::of(doubtful), options(), "why").is_ok());
}

#[test]
fn what_a_snapshot_holds_is_never_given_up() {
    let (files, whole) = folder_with(|block| block[200] ^= 1, 1);
    for (snapshot, is_given_up) in [(whole.0, true), (whole.0 + 1, false)] {
        let mut disk = MemDisk::of(files.clone());
        snapshot_file::store(&mut disk, &header(snapshot), b"state", Index(snapshot)).unwrap();
        let before = disk.after_kill();
        let decided = Journal::adjudicate(disk.clone(), options(), "why").map(|_| ());
        if is_given_up {
            decided.unwrap();
            continue;
        }
        assert!(
            matches!(&decided, Err(Refusal::BehindSnapshot { snapshot: Index(5), .. })),
            "{:?}",
            decided.err()
        );
        assert_eq!(disk.after_kill(), before, "nothing is changed");
    }
}

/// A start judges from the older snapshot on, and so does who decides about its tail.
#[test]
fn damage_before_the_older_snapshot_keeps_nobody_from_deciding() {
    let disk = MemDisk::default();
    let small = Options { segment_bytes: 128 << 10, ..options() };
    let mut journal = Journal::create(disk.clone(), IDENTITY, small).unwrap();
    for index in 1..=100 {
        journal.append(&entry(index, 1, 7_000, 1));
        settle(&mut journal);
    }
    for index in [60, 80] {
        snapshot_file::store(&mut disk.clone(), &header(index), b"state", Index(index)).unwrap();
    }
    let mut files = disk.after_power_loss();
    files.get_mut(&journal::meta::file()).unwrap().truncate(4 * BLOCK_ALIGN);
    let writes = disk.writes();
    let newest = writes.iter().rfind(|write| BlockHeader::read(&write.bytes).is_ok()).unwrap();
    for (write, at) in [(&writes[2], 300), (newest, 300)] {
        files.get_mut(&write.file).unwrap()[write.offset as usize + at] ^= 1;
    }
    let disk = MemDisk::of(files);
    assert!(matches!(
        Journal::open_from(disk.clone(), small, Index(60)).map(|_| ()),
        Err(Refusal::Suspect(_))
    ));
    assert_eq!(Journal::needed_from(&mut disk.clone()), Ok(Index(60)));
    let (opened, _) = Journal::adjudicate(disk, small, "why").unwrap();
    assert_eq!((opened.journal.first_index(), opened.journal.last_index()), (Index(60), Index(99)));
}

#[test]
fn a_torn_tail_is_filled_again_so_that_the_next_crash_is_judged_right() {
    let (files, whole) = folder_with(|block| segment::fill(&mut block[2_048..], segment::nonce(7, 1)), 1);
    let disk = MemDisk::of(files);
    let mut opened = open(disk.clone());
    assert_eq!((opened.journal.last_index(), opened.report.torn_bytes), (whole, 2_048));
    let disk_again = MemDisk::of(disk.after_power_loss());
    assert_eq!(open(disk_again).report.findings.verdict, Verdict::Clean);
    opened.journal.append(&entry(5, 1, 100, 9));
    settle(&mut opened.journal);
    assert_eq!(open(MemDisk::of(disk.after_power_loss())).journal.last_index(), Index(5));
}

#[test]
fn what_a_killed_process_had_not_synced_is_durable_once_it_was_read() {
    let disk = MemDisk::default();
    let mut journal = Journal::create(disk.clone(), IDENTITY, options()).unwrap();
    settle(&mut journal);
    journal.append(&entry(1, 1, 100, 1));
    disk.set_manual(true);
    journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    let write = disk.in_flight().unwrap();
    // The page cache has it, the platter has not.
    let mut killed = disk.clone();
    killed.write_at(&write.file, write.offset, &write.bytes).unwrap();
    let fresh = MemDisk::split(disk.after_kill(), disk.after_power_loss());
    assert_eq!(open(fresh.clone()).journal.durable_index(), Index(1));
    assert_eq!(open(MemDisk::of(fresh.after_power_loss())).journal.last_index(), Index(1));
}

//! Copied files, as an auditor has them: whole ones are read whole, damaged ones are said to be damaged, and nothing
//! crashes or writes.

use std::ops::ControlFlow;
use std::path::Path;

use journal::block::{self, BlockHeader};
use journal::classify::Verdict;
use journal::reader::{Reader, ReaderFault};
use journal::survey::{Damage, DamageKind, Findings, Visit};
use journal::{AlignedBuf, FileDisk, FileRef, Journal, Options, WriterKind};
use protocol::Index;
use protocol::frame::{self, Frame};
use protocol::limits::BLOCK_HEADER_BYTES;

use crate::log::{IDENTITY, entry, options, settle};
use crate::mem_disk::{Files, MemDisk};
use crate::real_disk::Folder;

/// A journal of 12 entries in two segments, every block durable, the last entry known to be committed being the 11th.
fn journal_files() -> Files {
    let disk = MemDisk::default();
    let options = Options { segment_bytes: 128 << 10, ..options() };
    let mut journal = Journal::create(disk.clone(), IDENTITY, options).unwrap();
    for index in 1..=12 {
        journal.set_commit(Index(index - 1));
        journal.append(&entry(index, 1, 12_000, index as u8));
        settle(&mut journal);
    }
    for _ in 0..8 {
        journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    }
    disk.after_kill()
}

fn copy_to(folder: &Path, files: &Files) {
    for (file, bytes) in files {
        let path = folder.join(file.dir.path());
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(&*file.name), bytes).unwrap();
    }
}

struct Read {
    entries: Vec<u64>,
    behind_damage: Vec<u64>,
    damages: Vec<Damage>,
    findings: Findings,
}

fn read(folder: &Path) -> Read {
    let (mut entries, mut behind_damage, mut damages) = (vec![], vec![], vec![]);
    let reader = Reader::open(folder).unwrap();
    let findings = reader.scan(|visit| {
        match visit {
            Visit::Frame { frame, unlinked, .. } if frame.header.kind.is_entry() => {
                let seen = if unlinked { &mut behind_damage } else { &mut entries };
                seen.push(frame.header.index.0);
            }
            Visit::Damage(damage) => damages.push(damage),
            Visit::Frame { .. } | Visit::Block { .. } | Visit::Segment(..) => {}
        }
        ControlFlow::Continue(())
    });
    Read { entries, behind_damage, damages, findings: findings.unwrap().unwrap() }
}

#[test]
fn whole_copies_are_read_whole_with_and_without_meta() {
    let folder = Folder::new("auditor-whole");
    let mut files = journal_files();
    copy_to(&folder.0, &files);
    let found = read(&folder.0);
    assert_eq!(found.entries, (1..=12).collect::<Vec<_>>());
    assert_eq!((found.findings.verdict, found.findings.commit), (Verdict::Clean, Index(11)));
    assert!(found.damages.is_empty());
    // Segments alone, in a folder of their own.
    files.remove(&journal::meta::file());
    let alone = Folder::new("auditor-alone");
    std::fs::create_dir_all(&alone.0).unwrap();
    for (file, bytes) in &files {
        std::fs::write(alone.0.join(&*file.name), bytes).unwrap();
    }
    assert_eq!(read(&alone.0).findings.log.chain, found.findings.log.chain);
    assert!(matches!(Reader::open(&folder.0.join("snap")), Err(ReaderFault::Io { .. })));
    std::fs::create_dir_all(folder.0.join("empty")).unwrap();
    assert!(matches!(Reader::open(&folder.0.join("empty")), Err(ReaderFault::NoSegments { .. })));
}

#[test]
fn damage_is_named_and_what_is_whole_behind_it_is_shown() {
    let folder = Folder::new("auditor-damage");
    let mut files = journal_files();
    let first: FileRef = files.keys().find(|file| file.name.ends_with("-0000000001.seg")).unwrap().clone();
    // The body of the fourth block.
    let block = 12_240_usize.next_multiple_of(4_096);
    files.get_mut(&first).unwrap()[8_192 + 3 * block + 5_000] ^= 4;
    copy_to(&folder.0, &files);
    let found = read(&folder.0);
    assert_eq!((found.entries, found.behind_damage), (vec![1, 2, 3], (5..=12).collect::<Vec<_>>()));
    let damage = found.damages[0];
    assert!(matches!(damage.kind, DamageKind::Block(_)), "{damage:?}");
    assert_eq!((damage.index, damage.place.offset), (Index(4), 8_192 + 3 * block as u64));
    assert!(matches!(found.findings.verdict, Verdict::Repair(_)));
}

/// Verdict and entries of an image, through the same code as above, without files.
fn judge(files: &Files) -> (bool, Index) {
    let segments = files
        .iter()
        .filter_map(|(file, bytes)| Some((journal::segment::SegmentName::parse(&file.name)?, &bytes[..])));
    let found = journal::survey::classify(segments, 0);
    (matches!(found.verdict, Verdict::Clean | Verdict::Torn), found.log.last_index)
}

#[test]
fn a_copy_cut_anywhere_is_never_taken_for_whole() {
    let files = journal_files();
    let names: Vec<FileRef> = files.keys().filter(|file| file.name.ends_with(".seg")).cloned().collect();
    let in_use = &names[..2];
    for name in in_use {
        for cut in (0..files[name].len()).step_by(509) {
            let mut cut_short = files.clone();
            cut_short.get_mut(name).unwrap().truncate(cut);
            let (starts, last) = judge(&cut_short);
            assert!(!starts || last == Index(12), "{name} cut at {cut}");
        }
        let mut missing = files.clone();
        missing.remove(name);
        let (starts, last) = judge(&missing);
        // The newest segment alone may be missing without a trace: nothing durable names it but the hint of `meta`.
        assert!(!starts || name == &in_use[1] || last == Index(12), "{name} missing");
    }
}

#[test]
fn every_flipped_byte_of_a_used_block_is_found() {
    let folder = Folder::new("auditor-flip");
    let disk = FileDisk::open(&folder.0, WriterKind::Plain).unwrap();
    let options = Options { segment_bytes: 128 << 10, ..options() };
    let mut journal = Journal::create(disk, IDENTITY, options).unwrap();
    for index in 1..=3 {
        journal.append(&entry(index, 1, 700, index as u8));
        crate::real_disk::settle(&mut journal);
    }
    drop(journal);
    let path = folder.0.join("j/00000001-0000000001.seg");
    let whole = std::fs::read(&path).unwrap();
    let hint = Reader::open(&folder.0).unwrap().meta().unwrap().durable_hint;
    assert!(hint >= 2, "the hint follows: {hint}");
    for at in (0..8_192 + 3 * 4_096).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        let name = journal::segment::SegmentName::parse("00000001-0000000001.seg").unwrap();
        let mut damages = 0;
        let mut survey = journal::survey::Survey::new();
        survey.segment(name, &damaged, &mut |visit| damages += u32::from(matches!(visit, Visit::Damage(_))));
        assert!(damages > 0, "byte {at}");
    }
}

#[test]
fn an_edited_time_with_fresh_checksums_breaks_the_chain() {
    let files = journal_files();
    let (file, bytes) = files.iter().find(|(file, _)| file.name.ends_with("-0000000001.seg")).unwrap();
    let at = 8_192;
    let mut header = BlockHeader::read(&bytes[at..]).unwrap();
    let mut block = AlignedBuf::with_capacity(header.extent());
    block::begin(&mut block);
    assert!(block.extend(&bytes[at + BLOCK_HEADER_BYTES..at + header.len as usize]));
    let frame_bytes = &mut block[BLOCK_HEADER_BYTES..];
    let mut edited = Frame::read(frame_bytes).unwrap().header;
    edited.time = edited.time.plus(1);
    frame::set_header(frame_bytes, &edited);
    block::close(&mut block, &mut header);
    let mut forged = bytes.clone();
    forged[at..at + block.len()].copy_from_slice(&block);
    let mut damages = Vec::new();
    let mut survey = journal::survey::Survey::new();
    survey.segment(journal::segment::SegmentName::parse(&file.name).unwrap(), &forged, &mut |visit| {
        if let Visit::Damage(damage) = visit {
            damages.push(damage);
        }
    });
    assert!(matches!(damages[0].kind, DamageKind::Chain { .. }), "{damages:?}");
    assert_eq!(damages[0].index, Index(1));
}

//! A journal that was repaired from a peer's is clean, and says what happened to it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use journal::block::BlockHeader;
use journal::segment::BLOCKS_AT;
use journal::{Damaged, FileDisk, Journal, Options, WriterKind};
use protocol::Index;

use crate::program::{Folder, verify};
use crate::world::{Plan, build};

#[test]
fn a_repaired_journal_is_clean_and_says_so() {
    let (whole, folder) = (Folder::new("repaired-peer"), Folder::new("repaired"));
    let plan = Plan { entries: 60, snapshots: vec![20], ..Plan::default() };
    let mut peer = build(&whole.0, &plan).journal;
    drop(build(&folder.0, &plan));
    let (_, before) = verify(&folder.0);

    // A bit in the body of the fifth block.
    let path = folder.0.join("j").join("00000001-0000000001.seg");
    let bytes = std::fs::read(&path).unwrap();
    let mut at = BLOCKS_AT as usize;
    for _ in 0..4 {
        at += BlockHeader::read(&bytes[at..]).unwrap().extent();
    }
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[bytes[at + 150] ^ 1], at as u64 + 150).unwrap();
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (1, &"damaged".into()));

    let options = Options { segment_bytes: 128 << 10, ..Options::new(3) };
    let disk = FileDisk::open(&folder.0, WriterKind::Plain).unwrap();
    let mut damaged = Damaged::open(disk, options, Index(0)).unwrap();
    let end = damaged.lost().end.unwrap();
    assert_eq!((end.0, Some(end.1)), (peer.last_index(), peer.term(peer.last_index())));
    damaged.begin(damaged.log_end().last_index, end).unwrap();
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "it has begun and is not done");
    while !damaged.is_done() {
        damaged.step().unwrap_or_else(|fault| panic!("{fault}"));
        if damaged.take_own(8).unwrap() == 0 && damaged.log_end().last_index < end.0 {
            damaged.take(&peer.entry(damaged.log_end().last_index.next()).unwrap()).unwrap();
        }
    }
    drop(Journal::open(damaged.into_disk(), options).unwrap_or_else(|refusal| panic!("{refusal}")));

    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (0, &"clean".into()), "{report:#}");
    for same in ["head", "end_chain", "first_seq", "last_seq"] {
        assert_eq!(report[same], before[same], "{same}");
    }
    assert_eq!(report["state"]["state_hash"], before["state"]["state_hash"]);
    let said =
        report["findings"].as_array().unwrap().iter().any(|finding| {
            finding["what"].as_str().is_some_and(|what| what.contains("brought back from peers"))
        });
    assert!(said, "{report:#}");
}

//! A journal that was repaired from a peer's is clean, and says what happened to it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use journal::block::BlockHeader;
use journal::segment::{self, BLOCKS_AT};
use journal::{Damaged, Disk, FileDisk, Journal, Options, WriterKind, snapshot_file};
use protocol::Index;

use crate::program::{Folder, path, run, verify};
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

/// The log begins anew behind a peer's snapshot, and goes on from there with the peer's entries.
fn begin_anew(ours: &mut Journal<FileDisk>, peer: &mut Journal<FileDisk>, snapshot: &Path) {
    let bytes = std::fs::read(snapshot).unwrap();
    let (header, _) = snapshot_file::decode(&bytes).unwrap();
    let mut beside = ours.disk_mut().beside();
    beside.write_at(&segment::unfinished(&header.file()), 0, &bytes).unwrap();
    while !ours.can_begin_anew() {
        ours.step().unwrap_or_else(|fault| panic!("{fault}"));
    }
    ours.begin_anew(&mut beside, &header).unwrap_or_else(|fault| panic!("{fault}"));
    // As if it fell behind again before it had them all.
    let last = Index((header.index.0 + 15).min(peer.last_index().0));
    for index in header.index.0 + 1..=last.0 {
        ours.append(&peer.entry(Index(index)).unwrap());
    }
    while ours.durable_index() < last {
        ours.step().unwrap_or_else(|fault| panic!("{fault}"));
    }
}

#[test]
fn a_log_that_was_set_aside_is_read_as_one_of_its_own() {
    let (peers, folder) = (Folder::new("aside-peer"), Folder::new("aside"));
    let mut peer = build(&peers.0, &Plan { entries: 60, snapshots: vec![40], ..Plan::default() }).journal;
    let mut ours = build(&folder.0, &Plan { entries: 20, ..Plan::default() }).journal;
    let (code, before) = verify(&folder.0);
    assert_eq!(code, 0, "{before:#}");
    let mut snapshots = std::fs::read_dir(peers.0.join("snap")).unwrap();
    begin_anew(&mut ours, &mut peer, &snapshots.next().unwrap().unwrap().path());
    drop(ours);

    let (code, today) = verify(&folder.0);
    assert_eq!(
        (code, &today["verdict"]),
        (1, &"in doubt".into()),
        "the beginning is not in the log: {today:#}"
    );
    let said = today["findings"].as_array().unwrap().iter().any(|finding| {
        finding["what"]
            .as_str()
            .is_some_and(|what| what.contains("was set aside") && what.contains("--aside 1"))
    });
    assert!(said, "{today:#}");
    let shown = run(&["show", path(&folder.0)]);
    assert!(shown.err.contains("the 1 logs that were set aside here"), "{}", shown.err);

    let aside = run(&["verify", path(&folder.0), "--aside", "1", "--json"]);
    let report = aside.json();
    assert_eq!((aside.code, &report["verdict"]), (0, &"clean".into()), "{report:#}");
    for same in ["head", "end_chain", "first_seq", "last_seq", "entries", "commands"] {
        assert_eq!(report[same], before[same], "{same}");
    }
    assert_eq!(report["state"]["state_hash"], before["state"]["state_hash"]);
    let all = run(&["show", path(&folder.0), "--aside", "1", "--json"]);
    assert_eq!((all.code, all.lines().len() as u64), (0, before["commands"].as_u64().unwrap()));
    // What it ended with is found in a log that has the whole.
    let (code, _) = verify(&peers.0);
    assert_eq!(code, 0);
    let head = before["head"].as_str().unwrap();
    assert_eq!(run(&["verify", path(&peers.0), "--head", head]).code, 0);

    // A bit in it is found.
    let file = folder.0.join("j").join("00000001-0000000001.seg.aside");
    let byte = std::fs::read(&file).unwrap()[BLOCKS_AT as usize + 150] ^ 1;
    OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&[byte], BLOCKS_AT + 150).unwrap();
    assert_eq!(run(&["verify", path(&folder.0), "--aside", "1"]).code, 1);
    // And there is no second one.
    let none = run(&["verify", path(&folder.0), "--aside", "2"]);
    assert!(none.code == 2 && none.err.contains("none is number 2"), "{}: {}", none.code, none.err);
}

/// Whoever falls behind again and again leaves one log behind each time.
#[test]
fn logs_that_were_set_aside_at_different_times_are_kept_apart() {
    let (peers, folder) = (Folder::new("asides-peer"), Folder::new("asides"));
    let plan = Plan { entries: 90, snapshots: vec![30, 60], ..Plan::default() };
    let mut peer = build(&peers.0, &plan).journal;
    let mut ours = build(&folder.0, &Plan { entries: 10, ..Plan::default() }).journal;
    let mut snapshots: Vec<_> =
        std::fs::read_dir(peers.0.join("snap")).unwrap().map(|file| file.unwrap().path()).collect();
    snapshots.sort();
    for snapshot in &snapshots {
        begin_anew(&mut ours, &mut peer, snapshot);
    }
    drop(ours);
    let first = run(&["verify", path(&folder.0), "--aside", "1", "--json"]);
    assert_eq!((first.code, first.json()["first_seq"].as_u64()), (0, Some(1)));
    let second = run(&["verify", path(&folder.0), "--aside", "2", "--json"]).json();
    let from = second["first_seq"].as_u64().unwrap().to_string();
    let second = run(&["verify", path(&folder.0), "--aside", "2", "--from", &from, "--json"]);
    assert_eq!(second.code, 0, "its beginning is in a snapshot that is there: {}", second.out);
}

//! Bytes on disk are for ever: journals with these bytes exist. A difference is a mistake, or a new format beside the old
//! one with golden files of its own; nothing writes these files.

use journal::block::BlockHeader;
use journal::marks::HardState;
use journal::meta::Meta;
use journal::outbox::Outbox;
use journal::segment::{SegmentHeader, SegmentName};
use journal::snapshot_file::{self, SnapshotHeader};
use journal::survey::classify;
use journal::{FileRef, Founders, Identity, Journal, Options};
use protocol::hash::Hash;
use protocol::{ClusterEpoch, ClusterId, Index, NodeId, Seq, Term, UnixNanos};

use crate::files::output;
use crate::log::{IDENTITY, entry, options, settle};
use crate::mem_disk::MemDisk;

/// As `hexdump -v` without the text, with runs of equal lines drawn together.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut before: Option<&[u8]> = None;
    let mut starred = false;
    for (at, line) in (0..).step_by(16).zip(bytes.chunks(16)) {
        if before == Some(line) {
            if !starred {
                text.push_str("*\n");
            }
            starred = true;
            continue;
        }
        (before, starred) = (Some(line), false);
        let digits: String = line.iter().map(|byte| format!(" {byte:02x}")).collect();
        text.push_str(&format!("{at:08x} {digits}\n"));
    }
    text.push_str(&format!("{:08x}\n", bytes.len()));
    text
}

fn check(name: &str, bytes: &[u8]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let found = dump(bytes);
    assert!(golden == found, "{name} differs; found:\n{found}");
}

#[test]
fn a_segments_header() {
    let header = SegmentHeader {
        cluster: ClusterId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        epoch: ClusterEpoch(0x11),
        node: NodeId(0x12),
        segno: 0x13,
        first_index: Index(0x14),
        prev_term: Term(0x15),
        prev_chain: Hash([0x16; 32]),
        nonce: 0x1718_191a_1b1c_1d1e,
        segment_bytes: 64 << 20,
        created: UnixNanos(0x1f20),
        prev_block: 0x21,
        prev_block_crc: 0x22,
        begins_anew: false,
        repairs: None,
    };
    check("segment_header.hex", &header.pages());
}

#[test]
fn a_copy_of_meta_and_a_hint() {
    let meta = Meta {
        sequence: 1,
        identity: Identity {
            cluster: ClusterId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
            epoch: ClusterEpoch(2),
            node: NodeId(3),
            founders: Founders::new(&[5, 3, 0x0607].map(NodeId)).unwrap(),
        },
        hard_state: HardState { term: Term(4), vote: NodeId(5) },
    };
    check("meta_page.hex", &meta.page());
    check("meta_hint.hex", &journal::meta::hint_sector(0x0102_0304, ClusterEpoch(2)));
}

#[test]
fn a_snapshot() {
    let header = SnapshotHeader {
        cluster: ClusterId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        epoch: ClusterEpoch(1),
        index: Index(2),
        term: Term(3),
        engine_version: 4,
        next_seq: Seq(5),
        last_time: UnixNanos(6),
        chain: Hash([7; 32]),
        effect_hash: Hash([8; 32]),
        state_hash: Hash([9; 32]),
        conf_state: b"conf".to_vec(),
    };
    let bytes = snapshot_file::encode(&header, b"the state of the engine").unwrap();
    check("snapshot.hex", &bytes);
    assert_eq!(&*header.file().name, "00000001-00000000000000000002.snap");
}

#[test]
fn an_outbox_file() {
    let disk = MemDisk::default();
    let mut outbox = Outbox::open(disk.clone(), Seq(0)).unwrap();
    outbox.append(&output(20, 1, 7));
    outbox.flush();
    check("outbox.hex", &disk.after_kill()[&FileRef::new(journal::Dir::Outbox, "0000000001.out")]);
}

/// Two segments with every kind of frame: entries, a hard state, a truncation, a snapshot's mark, a seal.
#[test]
fn whole_segments() {
    let disk = MemDisk::default();
    let options = Options { segment_bytes: 128 << 10, ..options() };
    let mut journal = Journal::create(disk.clone(), IDENTITY, options).unwrap();
    journal.hard_state(HardState { term: Term(1), vote: NodeId(1) });
    journal.append(&entry(1, 1, 20, 0xa1));
    journal.append(&entry(2, 1, 5_000, 0xa2));
    settle(&mut journal);
    journal.set_commit(Index(1));
    journal.truncate_from(Index(2)).unwrap();
    journal.append(&entry(2, 2, 40, 0xb2));
    settle(&mut journal);
    journal.snap_mark(Index(1), Term(1), Hash([0x5a; 32]));
    for index in 3..=4 {
        journal.append(&entry(index, 2, 60_000, 0xcc));
        settle(&mut journal);
    }
    let files = disk.after_power_loss();
    let name = |segno| SegmentName { epoch: ClusterEpoch(1), segno };
    let [first, second] = [1, 2].map(|segno| files[&name(segno).file()].clone());
    check("segment_1.hex", &first);
    check("segment_2.hex", &second);
    let findings = classify([(name(1), &first[..]), (name(2), &second[..])], 0);
    assert_eq!((findings.log.last_index, findings.log.chain), (Index(4), journal.last_chain()));
    assert_eq!(BlockHeader::read(&first[8_192..]).unwrap().block_seq, 1);
}

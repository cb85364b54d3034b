//! A forger with all the tools: what checksums, chain and effect hashes each find, and what only a noted head finds.

use std::fs;
use std::path::Path;

use journal::AlignedBuf;
use journal::block::{self, BlockHeader};
use journal::marks::LocalMark;
use journal::segment::{BLOCKS_AT, SegmentHeader};
use protocol::frame::{self, Frame, FrameHeader, FrameKind};
use protocol::hash::Hash;
use protocol::limits::{BLOCK_HEADER_BYTES, FRAME_HEADER_BYTES};
use protocol::rows::{ROWS_END_BYTES, TRANSFER_ROW_BYTES};
use protocol::{Field, Index, Seq, Term, UnixNanos};

use crate::program::{Folder, path, run, verify};
use crate::world::{Plan, build};

/// How far the forger goes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Forgery {
    /// Checksums of frames and blocks, and the links between blocks.
    Checksums,
    /// The hash chain, too.
    Chain,
}

/// Edits frames in all segments below `dir`, and puts right what `forgery` says.
pub(crate) fn rewrite(dir: &Path, forgery: Forgery, edit: &mut dyn FnMut(&mut [u8])) {
    let mut files: Vec<_> = fs::read_dir(dir.join("j")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut chain, mut last_block_crc) = (Hash::ZERO, 0);
    for file in files {
        let mut bytes = fs::read(&file).unwrap();
        let Ok(mut header) = SegmentHeader::read(&bytes) else { continue };
        header.prev_block_crc = last_block_crc;
        if forgery == Forgery::Chain {
            header.prev_chain = chain;
        }
        bytes[..BLOCKS_AT as usize].copy_from_slice(&header.pages());
        let mut at = BLOCKS_AT as usize;
        while let Ok(mut header) = BlockHeader::read(&bytes[at..]) {
            let mut forged = AlignedBuf::zeroed(header.extent());
            block::begin(&mut forged);
            let mut body = bytes[at + BLOCK_HEADER_BYTES..at + header.len as usize].to_vec();
            let mut rest = &mut body[..];
            while !rest.is_empty() {
                let len = Frame::read(rest).unwrap().bytes.len();
                let (one, behind) = rest.split_at_mut(len);
                forge(one, forgery, &mut chain, edit);
                rest = behind;
            }
            assert!(forged.extend(&body));
            header.prev_block_crc = last_block_crc;
            block::close(&mut forged, &mut header);
            last_block_crc = header.crc;
            bytes[at..at + forged.len()].copy_from_slice(&forged);
            at += forged.len();
        }
        fs::write(&file, &bytes).unwrap();
    }
}

fn forge(bytes: &mut [u8], forgery: Forgery, chain: &mut Hash, edit: &mut dyn FnMut(&mut [u8])) {
    let header = Frame::read(bytes).unwrap().header;
    if header.kind == FrameKind::Entry {
        edit(bytes);
        // The checksums anew, of the header as it is now.
        let header = FrameHeader {
            index: Index(bytes.u64_at(8)),
            term: Term(bytes.u64_at(16)),
            time: UnixNanos(bytes.u64_at(24)),
            first_seq: Seq(bytes.u64_at(32)),
            count: bytes.u32_at(40),
            engine_version: bytes.u32_at(44),
            applied_seq: Seq(bytes.u64_at(48)),
            effect_hash: Hash(bytes.array(56)),
            ..header
        };
        frame::set_header(bytes, &header);
    } else if let Some(LocalMark::Seal { last_index, last_term, merkle_root, .. }) =
        LocalMark::read(&Frame::read(bytes).unwrap())
        && forgery == Forgery::Chain
    {
        let mut seal = Vec::new();
        LocalMark::Seal { last_index, last_term, chain: *chain, merkle_root }.write(&mut seal);
        bytes.copy_from_slice(&seal);
    }
    if header.kind.is_entry() && forgery == Forgery::Chain {
        *chain = Frame::read(bytes).unwrap().chain_after(*chain);
        frame::set_chain(bytes, *chain);
    }
}

/// Raises the amount of the first transfer: bytes 48 to 64 of the first row, which is behind everything but the end of the rows.
fn raise_a_deposit(done: &mut bool, bytes: &mut [u8]) {
    let frame = Frame::read(bytes).unwrap();
    let mut end = FRAME_HEADER_BYTES;
    let deposit = frame.records().find_map(|(_, _, record)| {
        let record = record.unwrap();
        end += record.bytes.len();
        (record.kind == protocol::commands::CreateTransfers::KIND).then_some(end)
    });
    if let Some(end) = deposit.filter(|_| !*done) {
        *done = true;
        bytes[end - ROWS_END_BYTES - TRANSFER_ROW_BYTES + 48] ^= 1;
    }
}

#[test]
fn an_edited_record_under_fresh_checksums_breaks_the_chain() {
    let folder = Folder::new("edited");
    drop(build(&folder.0, &Plan::default()));
    rewrite(&folder.0, Forgery::Chain, &mut |_| ());
    assert_eq!(verify(&folder.0).0, 0, "rewriting the same is no forgery");
    let mut done = false;
    rewrite(&folder.0, Forgery::Checksums, &mut |bytes| raise_a_deposit(&mut done, bytes));
    assert!(done);
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report:#}");
    let finding = report["findings"].as_array().unwrap().iter().find(|f| f["grade"] == "damage").unwrap();
    assert!(finding["what"].as_str().unwrap().contains("chain breaks"), "{report:#}");
    assert_eq!(finding["seq"], report["last_seq"].as_u64().unwrap() + 1, "the first bad seq");
    assert!(finding["expected"].is_string() && finding["found"].is_string());
}

#[test]
fn an_edited_record_under_a_fresh_chain_has_other_effects_than_were_recorded() {
    let folder = Folder::new("rechained");
    drop(build(&folder.0, &Plan::default()));
    let mut done = false;
    rewrite(&folder.0, Forgery::Chain, &mut |bytes| raise_a_deposit(&mut done, bytes));
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report:#}");
    let finding = &report["findings"][0];
    assert!(finding["what"].as_str().unwrap().contains("effects"), "{report:#}");
}

#[test]
fn a_history_rewritten_whole_is_found_only_by_a_noted_head() {
    let (honest, forged) = (Folder::new("honest"), Folder::new("forged"));
    let noted = build(&honest.0, &Plan::default()).head();
    // Every record, effect, chain and checksum made anew: this is simply another history.
    let other = build(&forged.0, &Plan { deposit: 1_000_000_001, ..Plan::default() });
    assert_eq!(verify(&forged.0).0, 0);
    assert_ne!(other.head(), noted);
    let said = run(&["verify", path(&forged.0), "--head", &noted, "--json"]);
    assert_eq!((said.code, &said.json()["verdict"]), (1, &"damaged".into()));
    assert!(said.json()["findings"][0]["what"].as_str().unwrap().contains("rewritten"));
    assert_eq!(run(&["verify", path(&honest.0), "--head", &noted]).code, 0);
}

#[test]
fn whatever_a_forger_writes_under_good_checksums_nothing_panics() {
    let original = Folder::new("nonsense-original");
    drop(build(&original.0, &Plan { entries: 12, snapshots: vec![5], ..Plan::default() }));
    let mut seed = 3_u64;
    let mut draw = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let mut reported = 0;
    for round in 0..150 {
        let folder = Folder::copy_of("nonsense", &original.0);
        let chosen = draw(20);
        let mut number = 0;
        rewrite(&folder.0, Forgery::Chain, &mut |bytes| {
            number += 1;
            if number - 1 != chosen {
                return;
            }
            // Anything but the length and the kind, which the forger's own tools need.
            let payload_end = bytes.len() as u64 - 32;
            let at = if draw(2) == 0 { 8 + draw(80) } else { 96 + draw((payload_end - 96).max(1)) } as usize;
            let width = [1, 4, 8][draw(3) as usize].min(bytes.len() - 32 - at);
            let value = [0, u64::MAX, 1 << 63, draw(1 << 31)][draw(4) as usize];
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        });
        let dir = path(&folder.0);
        let said = run(&["verify", dir, "--json"]);
        assert!(said.code <= 1, "round {round}");
        reported += said.code;
        run(&["show", dir, "--json"]).lines();
        run(&["state", dir, "--json"]);
    }
    assert!(reported > 75, "most nonsense is found: {reported}");
}

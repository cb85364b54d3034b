//! Damaged and invented bytes: refused with a fault or read as what they say, never a panic.

use protocol::Command;
use protocol::commands::CreateTransfers;
use protocol::event::Event;
use protocol::frame::{self, Frame, FrameFault, FrameHeader};
use protocol::hash::Hash;
use protocol::limits::{FRAME_BYTES_LARGE, RECORD_BYTES_LARGE};
use protocol::record::{EncodedCommand, Record, RecordHeader, records};
use protocol::wire::{decode, decode_event};

use crate::golden;
use crate::random::{Random, for_seeds};

/// A decoded command says the same when it is written and read again, and holds no more memory than its bytes say.
fn accept(command: &Command, body: &[u8]) {
    let mut again = Vec::new();
    command.encode(&mut again);
    assert_eq!(decode(command.kind(), command.version(), &again).as_ref(), Ok(command));
    // The list of a session's clients is the only memory that a decoded command holds outside itself.
    if let Command::DefineSession(session) = command {
        assert!(
            session.clients.capacity() * 8 <= body.len(),
            "{} of {}",
            session.clients.capacity(),
            body.len()
        );
    }
}

fn decode_command(kind: u16, version: u16, body: &[u8]) {
    if let Ok(command) = decode(kind, version, body) {
        accept(&command, body);
    }
}

fn decode_as_event(kind: u16, version: u16, body: &[u8]) {
    if let Ok(event) = decode_event(kind, version, body) {
        let mut again = Vec::new();
        event.encode(&mut again);
        assert_eq!(decode_event(event.kind(), event.version(), &again), Ok(event));
    }
}

fn through_every_reader(bytes: &[u8], random: &mut Random) {
    if let Ok(record) = Record::read(bytes) {
        assert_eq!(record.bytes, &bytes[..record.bytes.len()]);
        if let Ok(command) = record.command() {
            accept(&command, record.body);
            let mut again = Vec::new();
            record.header.write(&command, &mut again).unwrap();
            assert_eq!(Record::read(&again).unwrap().header, record.header);
        }
    }
    let count = u32::try_from(random.below(2_000)).unwrap();
    for count in [count, u32::MAX] {
        let read: usize =
            records(bytes, count).map(|record| record.map_or(0, |record| record.bytes.len())).sum();
        assert!(read <= bytes.len());
    }
    if let Ok(frame) = Frame::read(bytes) {
        frame.records().for_each(|(_, _, record)| {
            if let Ok(Ok(command)) = record.map(|record| record.command()) {
                accept(&command, frame.bytes);
            }
        });
    }
    if let Ok((event, len)) = Event::read(bytes) {
        assert!(len <= bytes.len());
        let mut again = Vec::new();
        event.write(&mut again);
        assert_eq!(Event::read(&again), Ok((event, again.len())));
    }
}

#[test]
fn random_bytes_are_refused_or_mean_something() {
    let commands = golden::known_kinds(golden::Family::Command);
    let events = golden::known_kinds(golden::Family::Event);
    for_seeds(30_000, |random| {
        let len = random.below(700);
        let mut bytes = random.bytes(len);
        through_every_reader(&bytes, random);
        let (kind, version) = commands[random.below(commands.len())];
        decode_command(kind, version, &bytes);
        let (kind, version) = events[random.below(events.len())];
        decode_as_event(kind, version, &bytes);
        // Small numbers reach further than random ones: lengths and offsets that almost fit.
        bytes.iter_mut().for_each(|byte| *byte %= 3);
        decode_command(kind, version, &bytes);
        decode_as_event(kind, version, &bytes);
    });
}

#[test]
fn damaged_bytes_are_refused_or_mean_something() {
    let golden = golden::all();
    let commands = golden::known_kinds(golden::Family::Command);
    let events = golden::known_kinds(golden::Family::Event);
    for_seeds(100_000, |random| {
        let mut bytes = golden[random.below(golden.len())].1.clone();
        random.damage(&mut bytes);
        through_every_reader(&bytes, random);
        let (kind, version) = commands[random.below(commands.len())];
        decode_command(kind, version, &bytes);
        let (kind, version) = events[random.below(events.len())];
        decode_as_event(kind, version, &bytes);
    });
}

#[test]
fn damage_under_a_good_checksum_is_refused_or_means_something() {
    let golden = golden::bytes_of("frame-Entry-v1");
    let header = Frame::read(&golden).unwrap().header;
    let mut decoded = 0;
    let all = for_seeds(30_000, |random| {
        let mut payload = Frame::read(&golden).unwrap().payload.to_vec();
        random.damage(&mut payload);
        let mut bytes = Vec::new();
        frame::begin(&mut bytes);
        bytes.extend_from_slice(&payload);
        let count = u32::try_from(random.below(4)).unwrap();
        frame::finish(&mut bytes, &FrameHeader { count, ..header });
        let frame = Frame::read(&bytes).unwrap();
        for (_, _, record) in frame.records() {
            if let Ok(Ok(command)) = record.map(|record| record.command()) {
                decoded += 1;
                accept(&command, frame.bytes);
            }
        }
    });
    assert!(!all || decoded > 1_000, "{decoded}: too little survived the damage to test anything");
}

/// A frame of the largest size around one record, a batch.
fn large_frame() -> Vec<u8> {
    let rows: Vec<u8> = (0..RECORD_BYTES_LARGE - 40).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let batch = EncodedCommand { kind: CreateTransfers::KIND, version: 1, body: &[&rows, &[9; 8]] };
    let mut frame = Vec::new();
    frame::begin(&mut frame);
    RecordHeader::default().write_encoded(&batch, &mut frame).unwrap();
    let golden = golden::bytes_of("frame-Entry-v1");
    let header = FrameHeader { count: 1, ..Frame::read(&golden).unwrap().header };
    frame::finish(&mut frame, &header);
    assert_eq!(frame.len(), FRAME_BYTES_LARGE);
    frame
}

#[test]
fn a_flipped_bit_in_any_sector_of_a_large_frame_is_found() {
    let mut frame = large_frame();
    let read = Frame::read(&frame).unwrap();
    let chain = read.chain_after(Hash::ZERO);
    let records: Vec<_> = read.records().map(|(_, _, record)| record.unwrap().bytes.len()).collect();
    assert_eq!(records, [RECORD_BYTES_LARGE]);
    for sector in 0..FRAME_BYTES_LARGE.div_ceil(512) {
        let at = (sector * 512 + sector * 7 % 512).min(FRAME_BYTES_LARGE - 33);
        let bit = 1 << (sector % 8);
        frame[at] ^= bit;
        assert!(Frame::read(&frame).is_err(), "byte {at}");
        frame[at] ^= bit;
        let short = Frame::read(&frame[..at]).unwrap_err();
        assert!(matches!(short, FrameFault::Short { .. }), "cut at {at}: {short:?}");
    }
    assert_eq!(Frame::read(&frame).unwrap().chain_after(Hash::ZERO), chain);
}

#[test]
fn a_single_flipped_bit_is_found() {
    for (name, bytes) in golden::all() {
        let numbered = name == "event-numbered-v1" || name == "event-unnumbered-v1";
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            if numbered {
                assert!(Event::read(&damaged).is_err(), "{name} bit {at}");
            } else if name.starts_with("frame-") {
                // The chain stands outside both checksums: it is the next frame's input, and is compared itself.
                let first = Hash::ZERO;
                let broken_link = |frame: &Frame<'_>| match frame.header.kind.is_entry() {
                    true => frame.chain != frame.chain_after(first),
                    false => frame.chain != first,
                };
                assert!(Frame::read(&damaged).as_ref().map_or(true, broken_link), "{name} bit {at}");
            }
        }
    }
}

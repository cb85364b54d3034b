//! Each fault of the fixed headers, one by one, under checksums that are good.

use protocol::commands::{DefineSession, Pulse};
use protocol::event::{EffectHash, Event, EventFault};
use protocol::frame::{Frame, FrameFault};
use protocol::hash::{Hash, blake3, crc32c};
use protocol::limits::{BLOCK_BYTES_LARGE, RECORD_BYTES_MAX};
use protocol::record::{Record, RecordFault, RecordHeader, records, set_gateway_delay_us};
use protocol::wire::WireFault;
use protocol::*;

use crate::golden::bytes_of;

fn with(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    put(&mut changed, at, new);
    changed
}

#[test]
fn a_record_is_refused_by_its_first_fault() {
    let plain = bytes_of("record-plain-v1");
    let fault = |bytes: &[u8]| Record::read(bytes).unwrap_err();
    assert_eq!(fault(&plain[..31]), RecordFault::Short { needed: 32, found: 31 });
    assert_eq!(fault(&with(&plain, 0, &[31, 0, 0, 0])), RecordFault::Length(31));
    assert_eq!(fault(&with(&plain, 0, &4097_u32.to_le_bytes())), RecordFault::Length(4097));
    assert_eq!(
        fault(&with(&plain, 0, &4096_u32.to_le_bytes())),
        RecordFault::Short { needed: 4096, found: 32 }
    );
    assert_eq!(fault(&with(&plain, 28, &[16, 0, 0, 0])), RecordFault::Flags(16));
    assert_eq!(fault(&with(&plain, 28, &[1, 0, 0, 0])), RecordFault::Short { needed: 16, found: 0 });
    let unknown = with(&plain, 6, &[2, 0]);
    let body_fault = Record::read(&unknown).unwrap().command().unwrap_err();
    assert_eq!(body_fault, RecordFault::Body(WireFault::Unknown { kind: 3, version: 2 }));
}

#[test]
fn a_record_that_is_too_long_leaves_nothing_behind() {
    let is_session = |command: &Command| matches!(command, Command::DefineSession(_));
    let Some(Command::DefineSession(session)) = crate::examples::commands().into_iter().find(is_session)
    else {
        panic!("no example is a session");
    };
    let header = RecordHeader::default();
    let mut out = vec![7; 3];
    let many = DefineSession { clients: vec![ClientId(1); RECORD_BYTES_MAX / 8], ..session.clone() };
    assert!(matches!(header.write(&many.into(), &mut out), Err(RecordFault::Length(4097..))));
    assert_eq!(out, [7; 3]);
    let most = DefineSession { clients: vec![ClientId(1); limits::SESSION_CLIENTS_MAX], ..session };
    assert_eq!(
        header.write(&most.into(), &mut out),
        Ok(()),
        "as many clients as a session may have fit a record"
    );
}

#[test]
fn records_end_after_their_count_and_at_the_first_fault() {
    let header = RecordHeader { request: RequestNumber(9), ..RecordHeader::default() };
    let mut payload = Vec::new();
    for _ in 0..3 {
        header.write(&Pulse {}.into(), &mut payload).unwrap();
    }
    assert_eq!(records(&payload, 2).filter_map(Result::ok).count(), 2);
    let read: Vec<bool> = records(&payload, 9).map(|record| record.is_ok()).collect();
    assert_eq!(read, [true, true, true, false]);
    set_gateway_delay_us(&mut payload, 5);
    assert_eq!(Record::read(&payload).unwrap().header, RecordHeader { gateway_delay_us: 5, ..header });
}

#[test]
fn a_frame_is_refused_by_its_first_fault() {
    let frame = bytes_of("frame-Noop-v1");
    let fault = |bytes: &[u8]| Frame::read(bytes).unwrap_err();
    let checked = |at: usize, new: &[u8]| {
        let changed = with(&frame, at, new);
        with(&changed, 92, &crc32c(&changed[..92]).to_le_bytes())
    };
    assert_eq!(fault(&frame[..127]), FrameFault::Short { needed: 128, found: 127 });
    for length in [0, 120, 129, u32::try_from(BLOCK_BYTES_LARGE).unwrap() + 8, u32::MAX] {
        assert_eq!(fault(&checked(0, &length.to_le_bytes())), FrameFault::Length(length));
    }
    assert_eq!(fault(&checked(0, &[136, 0, 0, 0])), FrameFault::Short { needed: 136, found: 128 });
    assert!(matches!(fault(&with(&frame, 8, &[0])), FrameFault::HeaderCrc { .. }));
    assert_eq!(fault(&checked(4, &[5])), FrameFault::Kind(5));
    assert_eq!(fault(&checked(5, &[1])), FrameFault::Reserved);
    assert_eq!(fault(&checked(7, &[1])), FrameFault::Reserved);
    assert!(matches!(fault(&checked(88, &[1])), FrameFault::PayloadCrc { .. }));
}

#[test]
fn an_event_is_refused_by_its_first_fault() {
    let event = bytes_of("event-unnumbered-v1");
    let fault = |bytes: &[u8]| Event::read(bytes).unwrap_err();
    let checked = |at: usize, new: &[u8]| {
        let changed = with(&event, at, new);
        let crc = crc32c(&[&changed[..40], &changed[44..]].concat());
        with(&changed, 40, &crc.to_le_bytes())
    };
    assert_eq!(fault(&event[..47]), EventFault::Short);
    assert_eq!(fault(&checked(0, &[47, 0, 0, 0])), EventFault::Short);
    assert_eq!(fault(&with(&event, 40, &[event[40] ^ 1])), EventFault::Crc);
    assert_eq!(fault(&checked(44, &[1])), EventFault::Reserved);
    assert_eq!(fault(&checked(8, &[1])), EventFault::Reserved, "a session without a number");
    assert_eq!(fault(&checked(12, &[1])), EventFault::Reserved, "an epoch without a number");
    assert_eq!(fault(&checked(6, &[2])), EventFault::Body(WireFault::Unknown { kind: 6, version: 2 }));
}

#[test]
fn effects_are_folded_as_the_document_says() {
    let mut hash = EffectHash::default();
    hash.fold(b"");
    assert_eq!(hash, EffectHash::default(), "a frame without events leaves it");
    hash.fold(b"one");
    hash.fold(b"two");
    let first = blake3(&[&Hash::ZERO.0, b"one"]);
    assert_eq!(hash.0, blake3(&[&first.0, b"two"]));
}

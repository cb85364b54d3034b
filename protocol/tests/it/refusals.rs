//! Each fault of the fixed headers, one by one, under checksums that are good.

use protocol::commands::{CreateAccounts, CreateTransfers, DefineSession, NewOrder, Pulse};
use protocol::event::{EffectHash, Event, EventFault};
use protocol::frame::{Frame, FrameFault};
use protocol::hash::{Hash, blake3, crc32c};
use protocol::limits::{FRAME_BYTES_LARGE, RECORD_BYTES_LARGE, RECORD_BYTES_MAX};
use protocol::record::{
    EncodedCommand, GatewayNumber, Record, RecordFault, RecordHeader, bytes_max, records,
    set_gateway_delay_us,
};
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

/// What a peer can make a gateway send, at its longest, behind the longest header that a client's command has.
#[test]
fn the_longest_commands_of_orders_fit_a_record() {
    let gateway = Some(GatewayNumber { gateway: GatewayId(3), number: 4 });
    let header = RecordHeader { gateway, ..RecordHeader::default() };
    let id = "x".repeat(limits::CL_ORD_ID_BYTES_MAX);
    let mut seen = 0;
    for mut command in crate::examples::commands() {
        if let Command::MassQuote(quotes) = &mut command {
            quotes.quote_id = Text::new(&id).unwrap();
            quotes.entries = vec![quotes.entries[0]; limits::MASS_QUOTE_ENTRIES_MAX];
        } else if let Command::NewOrderList(list) = &mut command {
            list.cl_list_id = Text::new(&id).unwrap();
            let order = NewOrder { cl_ord_id: Text::new(&id).unwrap(), ..list.orders[0].clone() };
            list.orders = vec![order; 3];
        } else {
            continue;
        }
        seen += 1;
        assert_eq!(header.write(&command, &mut Vec::new()), Ok(()), "{}", command.kind());
    }
    assert_eq!(seen, 2);
}

/// Kinds of batches.
const BATCHES: [u16; 2] = [CreateAccounts::KIND, CreateTransfers::KIND];

#[test]
fn only_a_clients_batch_may_be_long() {
    let plain = bytes_of("record-plain-v1");
    for kind in 0..=u16::MAX {
        let longest = if BATCHES.contains(&kind) { RECORD_BYTES_LARGE } else { RECORD_BYTES_MAX };
        assert_eq!(bytes_max(kind), longest);
        let length = |length: usize| {
            let of_kind = with(&plain, 4, &kind.to_le_bytes());
            Record::read(&with(&of_kind, 0, &u32::try_from(length).unwrap().to_le_bytes())).unwrap_err()
        };
        assert_eq!(length(longest), RecordFault::Short { needed: longest, found: 32 }, "kind {kind}");
        assert!(matches!(length(longest + 1), RecordFault::Length(_)), "kind {kind}");
    }
}

#[test]
fn the_longest_batch_is_written_from_its_parts_and_one_byte_more_leaves_nothing() {
    let gateway = GatewayNumber { gateway: GatewayId(3), number: 4 };
    let bare = RecordHeader { session: SessionId(17), request: RequestNumber(9), ..RecordHeader::default() };
    let full = RecordHeader {
        correlation: Some(1),
        causation: Some(Seq(2)),
        signature: Some([5; 64]),
        gateway: Some(gateway),
        ..bare
    };
    for (header, extensions) in
        [(bare, 0), (RecordHeader { gateway: Some(gateway), ..bare }, 12), (full, 100)]
    {
        let rows = vec![0x5a; RECORD_BYTES_LARGE - 32 - extensions - 8];
        let parts: [&[u8]; 2] = [&rows, &[7; 8]];
        let batch = EncodedCommand { kind: CreateTransfers::KIND, version: 1, body: &parts };
        assert_eq!(header.encoded_bytes(&batch), RECORD_BYTES_LARGE);
        let mut out = vec![1; 3];
        header.write_encoded(&batch, &mut out).unwrap();
        assert_eq!(out.len(), 3 + RECORD_BYTES_LARGE);
        let read = Record::read(&out[3..]).unwrap();
        assert_eq!((read.header, read.kind, read.version), (header, CreateTransfers::KIND, 1));
        assert_eq!(read.body, parts.concat());
        let longer = EncodedCommand { body: &[&rows, &[7; 9]], ..batch };
        assert!(matches!(header.write_encoded(&longer, &mut out), Err(RecordFault::Length(_))));
        let other_kind = EncodedCommand { kind: Pulse::KIND, ..batch };
        assert!(matches!(header.write_encoded(&other_kind, &mut out), Err(RecordFault::Length(_))));
        assert_eq!(out.len(), 3 + RECORD_BYTES_LARGE, "a refusal leaves nothing");
    }
}

#[test]
fn a_command_is_the_same_record_typed_and_as_bytes() {
    let header = RecordHeader { causation: Some(Seq(8)), ..RecordHeader::default() };
    for command in crate::examples::commands() {
        let (mut typed, mut body, mut encoded) = (Vec::new(), Vec::new(), Vec::new());
        header.write(&command, &mut typed).unwrap();
        command.encode(&mut body);
        let (kind, version) = (command.kind(), command.version());
        let parts = body.split_at(body.len() / 2);
        let bytes = EncodedCommand { kind, version, body: &[parts.0, parts.1] };
        header.write_encoded(&bytes, &mut encoded).unwrap();
        assert_eq!(encoded, typed);
        assert_eq!(header.encoded_bytes(&bytes), typed.len());
    }
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
    for length in [0, 120, 129, u32::try_from(FRAME_BYTES_LARGE).unwrap() + 8, u32::MAX] {
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

//! What the code writes is what docs/FORMAT.md says, read and written by hand.

use protocol::frame::Frame;
use protocol::record::Record;
use protocol::{Amount, Command, EventBody, Field as _, commands, limits, rows};

use crate::golden::{self, known_kinds};
use crate::random::for_seeds;
use crate::schema::{self, Layout, Type};
use crate::values::{read, render, some, without_wrappers, write};
use crate::{examples, golden::bytes_of};

fn encoded(command: &Command) -> Vec<u8> {
    let mut body = Vec::new();
    command.encode(&mut body);
    body
}

fn encoded_event(event: &EventBody) -> Vec<u8> {
    let mut body = Vec::new();
    event.encode(&mut body);
    body
}

fn as_nested(layout: &Layout) -> Type {
    Type::Nested(layout.name, layout.fields.clone())
}

#[test]
fn the_tables_know_every_message() {
    let tabled = |layouts: Vec<Layout>| layouts.iter().map(|layout| (layout.kind, 1)).collect::<Vec<_>>();
    assert_eq!(tabled(schema::commands()), known_kinds(golden::Family::Command));
    assert_eq!(tabled(schema::events()), known_kinds(golden::Family::Event));
}

#[test]
fn a_stranger_reads_every_example() {
    for command in examples::commands() {
        let value = read(&schema::find(&schema::commands(), command.name()), &encoded(&command)).unwrap();
        assert_eq!(render(&value), without_wrappers(&format!("{command:?}")));
    }
    for event in examples::events() {
        let value = read(&schema::find(&schema::events(), event.name()), &encoded_event(&event)).unwrap();
        assert_eq!(render(&value), without_wrappers(&format!("{event:?}")));
    }
}

#[test]
fn a_stranger_writes_what_we_write() {
    for_seeds(400, |random| {
        for layout in schema::commands() {
            let value = some(&as_nested(&layout), random);
            let body = write(&value);
            let command = Command::decode(layout.kind, 1, &body).unwrap();
            assert_eq!(encoded(&command), body, "{command:?}");
            assert_eq!(render(&value), without_wrappers(&format!("{command:?}")));
        }
        for layout in schema::events() {
            let value = some(&as_nested(&layout), random);
            let body = write(&value);
            let event = EventBody::decode(layout.kind, 1, &body).unwrap();
            assert_eq!(encoded_event(&event), body, "{event:?}");
            assert_eq!(render(&value), without_wrappers(&format!("{event:?}")));
        }
    });
}

#[test]
fn a_stranger_refuses_what_we_refuse() {
    let debug_command =
        |kind: u16, body: &[u8]| Command::decode(kind, 1, body).map(|read| format!("{read:?}"));
    let debug_event =
        |kind: u16, body: &[u8]| EventBody::decode(kind, 1, body).map(|read| format!("{read:?}"));
    let commands = examples::commands();
    let commands = commands.iter().map(|c| (schema::find(&schema::commands(), c.name()), encoded(c)));
    let events = examples::events();
    let events = events.iter().map(|e| (schema::find(&schema::events(), e.name()), encoded_event(e)));
    agree_on_damaged(commands.collect(), debug_command);
    agree_on_damaged(events.collect(), debug_event);
}

fn agree_on_damaged(
    examples: Vec<(Layout, Vec<u8>)>,
    ours: impl Fn(u16, &[u8]) -> Result<String, protocol::wire::WireFault>,
) {
    let (mut accepted, mut refused) = (0, 0);
    let all = for_seeds(40_000, |random| {
        let (layout, body) = &examples[random.below(examples.len())];
        let mut body = body.clone();
        random.damage(&mut body);
        match (read(layout, &body), ours(layout.kind, &body)) {
            (Ok(theirs), Ok(ours)) => {
                accepted += 1;
                assert_eq!(render(&theirs), without_wrappers(&ours));
            }
            (Err(_), Err(_)) => refused += 1,
            (theirs, ours) => panic!("{}: {theirs:?} against {ours:?} for {body:02x?}", layout.name),
        }
    });
    assert!(
        !all || accepted > 1_000 && refused > 1_000,
        "{accepted} accepted, {refused} refused: one-sided damage"
    );
}

/// The number that the table of `header` puts at the place of `field`.
fn header_number(bytes: &[u8], header: &str, field: &str) -> u64 {
    let layout = schema::find(&schema::headers(), header);
    let (at, field) = layout.offsets().find(|(_, known)| known.name == field).unwrap();
    let number = bytes[at..at + field.kind.size()].iter().rev();
    number.fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[test]
fn the_headers_stand_as_tabled() {
    let record = bytes_of("record-all-extensions-v1");
    let read = Record::read(&record).unwrap();
    let header = read.header;
    for (field, value) in [
        ("length", u64::try_from(record.len()).unwrap()),
        ("kind", u64::from(read.kind)),
        ("version", u64::from(read.version)),
        ("session", u64::from(header.session.0)),
        ("generation", u64::from(header.generation.0)),
        ("request", header.request.0),
        ("gateway_delay_us", u64::from(header.gateway_delay_us)),
        ("flags", 7),
    ] {
        assert_eq!(header_number(&record, "record", field), value, "{field}");
    }
    assert_eq!(record[32..48], header.correlation.unwrap().to_le_bytes());
    assert_eq!(record[48..56], header.causation.unwrap().0.to_le_bytes());
    assert_eq!(record[56..120], header.signature.unwrap());
    assert_eq!(&record[120..], read.body);

    let record = bytes_of("record-gateway-v1");
    let from = Record::read(&record).unwrap().header.gateway.unwrap();
    assert_eq!(header_number(&record, "record", "flags"), 8);
    assert_eq!(record[32..36], from.gateway.0.to_le_bytes());
    assert_eq!(record[36..44], from.number.to_le_bytes());

    let event = bytes_of("event-numbered-v1");
    let (read, len) = protocol::event::Event::read(&event).unwrap();
    let number = read.output.unwrap();
    for (field, value) in [
        ("length", u64::try_from(len).unwrap()),
        ("kind", u64::from(read.body.kind())),
        ("version", u64::from(read.body.version())),
        ("session", u64::from(number.session.0)),
        ("epoch", u64::from(number.epoch.0)),
        ("out_seq", number.out_seq.0),
        ("seq", read.seq.0),
        ("time_ns", read.time.0),
        ("reserved", 0),
    ] {
        assert_eq!(header_number(&event, "event", field), value, "{field}");
    }
    let covered = [&event[..40], &event[44..]].concat();
    assert_eq!(header_number(&event, "event", "crc32c"), u64::from(crc_by_hand(&covered)));
}

#[test]
fn the_frame_header_stands_as_tabled() {
    let frame = bytes_of("frame-Entry-v1");
    let read = Frame::read(&frame).unwrap();
    let header = read.header;
    for (field, value) in [
        ("length", u64::try_from(frame.len()).unwrap()),
        ("kind", u64::from(header.kind.code())),
        ("flags", 0),
        ("reserved", 0),
        ("index", header.index.0),
        ("term", header.term.0),
        ("time_ns", header.time.0),
        ("first_seq", header.first_seq.0),
        ("count", u64::from(header.count)),
        ("engine_version", u64::from(header.engine_version)),
        ("applied_seq", header.applied_seq.0),
        ("payload_crc32c", u64::from(crc_by_hand(&frame[96..frame.len() - 32]))),
        ("header_crc32c", u64::from(crc_by_hand(&frame[..92]))),
    ] {
        assert_eq!(header_number(&frame, "frame", field), value, "{field}");
    }
    assert_eq!(frame.as_slice().array::<32>(56), header.effect_hash.0);
    assert_eq!(
        frame[frame.len() - 32..],
        read.chain_after(protocol::hash::Hash::ZERO).0,
        "first of its chain"
    );
    let places = read.records().map(|(seq, time, record)| {
        (seq.0 - header.first_seq.0, time.since(header.time), record.unwrap().kind)
    });
    assert_eq!(places.collect::<Vec<_>>(), [(0, 0, 96), (1, 1, 3)], "record i is i later");
    let first = frame.as_slice().u32_at(96);
    let second = 96 + usize::try_from(first).unwrap();
    let lengths = u64::from(first) + u64::from(frame.as_slice().u32_at(second));
    assert_eq!(lengths.next_multiple_of(8), u64::try_from(read.payload.len()).unwrap());
}

/// CRC-32C bit by bit, as docs/FORMAT.md defines it.
fn crc_by_hand(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
        }
    }
    !crc
}

#[test]
fn the_checksum_is_crc_32c() {
    assert_eq!(crc_by_hand(b"123456789"), 0xE306_9283);
    assert_eq!(protocol::hash::crc32c(b"123456789"), 0xE306_9283);
}

/// Rows as they came from a socket make the body that the command's own encoding makes; they are read in place.
#[test]
fn rows_as_they_came_are_the_body_of_their_batch() {
    for count in [0, 1, 2, 300, limits::LEDGER_ROWS_MAX] {
        let row = |n: usize| rows::TransferRow {
            amount: Amount(n.try_into().unwrap()),
            ..examples::transfer_row()
        };
        let transfers: Vec<_> = (0..count).map(row).collect();
        let whole = encoded(&commands::CreateTransfers { transfers: transfers.clone() }.into());
        let (sent, _) = whole.split_at(whole.len() - rows::ROWS_END_BYTES);
        let mut body = sent.to_vec();
        rows::end_rows(count.try_into().unwrap(), 128, &mut body);
        assert_eq!(body, whole);
        let read: Vec<_> =
            rows::transfers(&body).unwrap().iter().map(rows::ArchivedTransferRow::read).collect();
        assert_eq!(read, transfers);
    }
    let many = vec![examples::transfer_row(); limits::LEDGER_ROWS_MAX + 1];
    assert!(rows::transfers(&encoded(&commands::CreateTransfers { transfers: many }.into())).is_err());
}

//! Golden bytes: journals with these bytes exist, so the files are never rewritten. A new message, or a new version of one, gets
//! a new file: the failing test prints the bytes, a person reads them beside docs/FORMAT.md and copies them.

use std::path::PathBuf;

use protocol::event::{Event, OutputNumber};
use protocol::frame::{self, Frame, FrameHeader, FrameKind};
use protocol::hash::{Hash, blake3};
use protocol::record::{GatewayNumber, Record, RecordHeader};
use protocol::sign::Signature;
use protocol::skip::{Signed, Skip};
use protocol::wire::WireFault;
use protocol::*;

use crate::examples;

/// Commands or events: each numbers its kinds by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    Command,
    Event,
}

/// Every (kind, version) that the code decodes.
pub(crate) fn known_kinds(family: Family) -> Vec<(u16, u16)> {
    let unknown = |kind, version| match family {
        Family::Command => matches!(Command::decode(kind, version, &[]), Err(WireFault::Unknown { .. })),
        Family::Event => matches!(EventBody::decode(kind, version, &[]), Err(WireFault::Unknown { .. })),
    };
    let all = (0..=u16::MAX).flat_map(|kind| (0..=16).map(move |version| (kind, version)));
    all.filter(|&(kind, version)| !unknown(kind, version)).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn parse_hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn print_hex(bytes: &[u8]) -> String {
    let line =
        |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ") + "\n";
    bytes.chunks(16).map(line).collect()
}

/// The bytes of a golden file.
pub(crate) fn bytes_of(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    parse_hex(&std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display())))
}

/// All golden files: name and bytes.
pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), bytes_of(&name))).collect()
}

/// Compares with the golden files; panics with the hex of everything that differs or is missing.
pub(crate) fn compare(current: Vec<(String, Vec<u8>)>) {
    let mut faults = String::new();
    for (name, bytes) in current {
        let path = folder().join(format!("{name}.hex"));
        let said = match std::fs::read_to_string(&path) {
            Ok(text) if parse_hex(&text) == bytes => continue,
            Ok(_) => "differs: the format has changed, which needs a new version",
            Err(_) => "is missing",
        };
        faults +=
            &format!("protocol/tests/golden/{name}.hex {said}; this code writes\n{}\n", print_hex(&bytes));
    }
    assert!(faults.is_empty(), "{faults}");
}

fn command_body(command: &Command) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    command.encode(&mut body);
    (format!("command-{}-v{}", command.name(), command.version()), body)
}

fn event_body(event: &EventBody) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    event.encode(&mut body);
    (format!("event-{}-v{}", event.name(), event.version()), body)
}

#[test]
fn every_command_encodes_to_its_golden_bytes() {
    compare(examples::commands().iter().map(command_body).collect());
}

#[test]
fn every_event_encodes_to_its_golden_bytes() {
    compare(examples::events().iter().map(event_body).collect());
}

#[test]
fn every_message_and_version_has_an_example_or_an_old_golden_file() {
    for (family, prefix) in [(Family::Command, "command"), (Family::Event, "event")] {
        let mut found: Vec<(u16, u16)> = Vec::new();
        for (name, bytes) in all() {
            let Some(message) = name.strip_prefix(&format!("{prefix}-")) else { continue };
            let (message, version) = message.rsplit_once("-v").unwrap();
            let version = version.parse().unwrap();
            let (kind, again) = match family {
                Family::Command => {
                    let Some(kind) = Command::kind_of_name(message) else { continue };
                    let read = Command::decode(kind, version, &bytes).unwrap();
                    (kind, (read.version() == version).then(|| command_body(&read)))
                }
                Family::Event => {
                    let Some(kind) = EventBody::kind_of_name(message) else { continue };
                    let read = EventBody::decode(kind, version, &bytes).unwrap();
                    (kind, (read.version() == version).then(|| event_body(&read)))
                }
            };
            if let Some(again) = again {
                assert_eq!(again, (name, bytes), "decoded and encoded again");
            }
            found.push((kind, version));
        }
        found.sort_unstable();
        assert_eq!(found, known_kinds(family), "golden files against what the code decodes");
    }
}

fn new_order() -> Command {
    let orders = examples::commands();
    orders.into_iter().find(|command| command.name() == "NewOrder").unwrap()
}

fn records() -> [(String, Vec<u8>); 3] {
    let plain = RecordHeader {
        session: SessionId(0x0403_0201),
        generation: Generation(0x1413_1211),
        request: RequestNumber(0x2827_2625_2423_2221),
        gateway_delay_us: 0x3433_3231,
        ..RecordHeader::default()
    };
    let gateway = GatewayNumber { gateway: GatewayId(0x7372_7170), number: 0x8786_8584_8382_8180 };
    let through_gateway = RecordHeader { gateway: Some(gateway), ..plain };
    let extended = RecordHeader {
        correlation: Some(0x5F5E_5D5C_5B5A_5958_5756_5554_5352_5150),
        causation: Some(Seq(0x6766_6564_6362_6160)),
        signature: Some(core::array::from_fn(|i| u8::try_from(128 + i).unwrap())),
        ..plain
    };
    [
        ("record-plain-v1", plain, Command::from(commands::Pulse {})),
        ("record-all-extensions-v1", extended, new_order()),
        ("record-gateway-v1", through_gateway, Command::from(commands::Pulse {})),
    ]
    .map(|(name, header, command)| {
        let mut bytes = Vec::new();
        header.write(&command, &mut bytes).unwrap();
        (name.to_owned(), bytes)
    })
}

fn frame(kind: FrameKind, count: u32, payload: &[&[u8]]) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    frame::begin(&mut bytes);
    payload.iter().for_each(|part| bytes.extend_from_slice(part));
    let header = FrameHeader {
        kind,
        index: Index(0x0807_0605_0403_0201),
        term: Term(0x1817_1615_1413_1211),
        time: UnixNanos(0x2827_2625_2423_2221),
        first_seq: Seq(0x3837_3635_3433_3231),
        count,
        engine_version: 0x4443_4241,
        applied_seq: Seq(0x5857_5655_5453_5251),
        effect_hash: blake3(&[b"effects"]),
    };
    frame::finish(&mut bytes, &header);
    if kind.is_entry() {
        let chain = Frame::read(&bytes).unwrap().chain_after(Hash::ZERO);
        frame::set_chain(&mut bytes, chain);
    }
    (format!("frame-{}-v1", kind.name()), bytes)
}

/// Two signatures of invented bytes: whether they verify is not the layout's concern.
fn skip_payload() -> Vec<u8> {
    let signed = |actor, from: u8| Signed {
        actor: ActorId(actor),
        signature: Signature(core::array::from_fn(|i| from + u8::try_from(i).unwrap())),
    };
    let reason = Text::new("poison: see case 17").unwrap();
    let skip = Skip::new(Seq(0x3837_3635_3433_3231), blake3(&[b"record"]), reason);
    let skip = Skip { signatures: vec![signed(0x0403_0201, 0x40), signed(0x1413_1211, 0x80)], ..skip };
    let mut payload = Vec::new();
    skip.write(&mut payload);
    assert_eq!(Skip::read(&payload), Ok(skip));
    payload
}

fn frames() -> Vec<(String, Vec<u8>)> {
    let [(_, plain), (_, extended), _] = records();
    let hash = blake3(&[b"state"]).0;
    let root = blake3(&[b"records"]).0;
    let frame_of = |kind: &FrameKind| match kind {
        FrameKind::Entry => frame(*kind, 2, &[&extended, &plain]),
        FrameKind::Conf => frame(*kind, 0, &[b"membership"]),
        FrameKind::Noop => frame(*kind, 0, &[]),
        FrameKind::Skip => frame(*kind, 0, &[&skip_payload()]),
        FrameKind::HardState => frame(*kind, 0, &[&7_u64.to_le_bytes(), &2_u64.to_le_bytes()]),
        FrameKind::Truncate => frame(*kind, 0, &[&7_u64.to_le_bytes(), &hash]),
        FrameKind::SnapMark => frame(*kind, 0, &[&hash]),
        FrameKind::Seal => frame(*kind, 0, &[&hash, &root]),
    };
    FrameKind::ALL.iter().map(frame_of).collect()
}

#[test]
fn records_encode_to_their_golden_bytes_and_back() {
    compare(records().to_vec());
    for (name, bytes) in records() {
        let read = Record::read(&bytes).unwrap();
        let mut again = Vec::new();
        read.header.write(&read.command().unwrap(), &mut again).unwrap();
        assert_eq!(again, bytes, "{name}");
    }
}

#[test]
fn frames_encode_to_their_golden_bytes_and_back() {
    compare(frames());
    for (name, bytes) in frames() {
        let read = Frame::read(&bytes).unwrap();
        let mut again = Vec::new();
        frame::begin(&mut again);
        again.extend_from_slice(read.payload);
        frame::finish(&mut again, &read.header);
        frame::set_chain(&mut again, read.chain);
        assert_eq!(again, bytes, "{name}");
    }
}

#[test]
fn events_encode_to_their_golden_bytes_and_back() {
    let event = Event {
        output: None,
        seq: Seq(0x3837_3635_3433_3231),
        time: UnixNanos(0x4847_4645_4443_4241),
        body: events::HoldChanged { order: OrderId(1), account: AccountId(2), held: Amount(3) }.into(),
    };
    let output = OutputNumber {
        session: SessionId(0x0403_0201),
        epoch: SessionEpoch(0x1413_1211),
        out_seq: OutSeq(0x2827_2625_2423_2221),
    };
    let numbered = Event { output: Some(output), ..event.clone() };
    let written = [("event-numbered-v1", numbered), ("event-unnumbered-v1", event)].map(|(name, event)| {
        let mut bytes = Vec::new();
        event.write(&mut bytes);
        assert_eq!(Event::read(&bytes), Ok((event, bytes.len())), "{name}");
        (name.to_owned(), bytes)
    });
    compare(written.to_vec());
}

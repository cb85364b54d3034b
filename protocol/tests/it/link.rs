//! Messages between a gateway process and a node: each is read as it was written, and nothing else is read at all.

use protocol::commands::Pulse;
use protocol::event::Event;
use protocol::limits::LINK_MESSAGE_BYTES_MAX;
use protocol::link::{Cursor, FromCluster, FromGateway, LinkFault, events};
use protocol::record::{GatewayNumber, Record, RecordFault, RecordHeader};
use protocol::{
    EventBody, GatewayId, Generation, NodeId, OutSeq, RequestNumber, Seq, SessionEpoch, SessionId, Term,
    UnixNanos,
};

use crate::examples;
use crate::random::for_seeds;

const CURSOR: Cursor = Cursor { through: Seq(0x0807_0605_0403_0201), plus: 0x1413_1211 };

fn record(header: RecordHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.write(&Pulse {}.into(), &mut bytes).unwrap();
    bytes
}

fn bare() -> RecordHeader {
    RecordHeader {
        session: SessionId(16),
        generation: Generation(3),
        request: RequestNumber(4),
        ..RecordHeader::default()
    }
}

/// One of each, as bytes.
fn from_gateway() -> Vec<Vec<u8>> {
    let record = record(bare());
    let messages = [
        FromGateway::Hello { instance: 7, resume: None },
        FromGateway::Watch,
        FromGateway::Hello { instance: 7, resume: Some(CURSOR) },
        FromGateway::Command { number: 9, record: Record::read(&record).unwrap() },
        FromGateway::Read {
            read: 1,
            session: SessionId(16),
            epoch: SessionEpoch(2),
            from: OutSeq(3),
            to: OutSeq(4),
        },
        FromGateway::Alive,
    ];
    let written = messages.iter().map(|message| {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        bytes
    });
    written.collect()
}

fn some_events() -> (Vec<Event>, Vec<u8>) {
    let of = |body: EventBody| Event { output: None, seq: Seq(5), time: UnixNanos(6), body };
    let events: Vec<Event> = examples::events().into_iter().map(of).collect();
    let mut bytes = Vec::new();
    events.iter().for_each(|event| event.write(&mut bytes));
    (events, bytes)
}

fn from_cluster(events: &[u8]) -> Vec<FromCluster<'_>> {
    vec![
        FromCluster::Leads { term: Term(0x0807_0605_0403_0201) },
        FromCluster::Elsewhere { leader: None },
        FromCluster::Elsewhere { leader: Some(NodeId(3)) },
        FromCluster::Welcome { executed: 5, cursor: CURSOR },
        FromCluster::Superseded,
        FromCluster::TooFarBehind,
        FromCluster::Definitions { events },
        FromCluster::Events { cursor: CURSOR, executed: 6, events },
        FromCluster::Outputs { read: 8, events },
        FromCluster::Unreadable { read: 8 },
    ]
}

fn written(message: &FromCluster<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    bytes
}

#[test]
fn every_message_is_read_as_it_was_written() {
    for bytes in from_gateway() {
        let mut again = Vec::new();
        FromGateway::read(&bytes).unwrap().write(&mut again);
        assert_eq!(again, bytes);
        assert!(matches!(FromCluster::read(&bytes), Err(LinkFault::Kind(_))), "the other end's words");
    }
    let (all, bytes) = some_events();
    assert_eq!(events(&bytes), Ok(all));
    for message in from_cluster(&bytes) {
        let bytes = written(&message);
        assert_eq!(FromCluster::read(&bytes), Ok(message));
        assert!(matches!(FromGateway::read(&bytes), Err(LinkFault::Kind(_))));
    }
}

#[test]
fn shorter_longer_and_strange_messages_are_refused() {
    for bytes in from_gateway() {
        for length in 0..bytes.len() {
            assert!(FromGateway::read(&bytes[..length]).is_err(), "{length} of {bytes:?}");
        }
        assert!(FromGateway::read(&[&bytes[..], &[0]].concat()).is_err());
    }
    let (_, some) = some_events();
    for message in from_cluster(&some) {
        let bytes = written(&message);
        // Events are open at the end; what is no whole event is found when they are read.
        let fixed = bytes.len() - if bytes.len() > some.len() { some.len() } else { 0 };
        for length in 0..fixed {
            assert!(FromCluster::read(&bytes[..length]).is_err(), "{length} of {message:?}");
        }
        if fixed == bytes.len() {
            assert!(FromCluster::read(&[&bytes[..], &[0]].concat()).is_err());
        }
    }
    assert!(events(&some[..some.len() - 1]).is_err());
    let long = vec![69; LINK_MESSAGE_BYTES_MAX + 1];
    assert_eq!(FromCluster::read(&long), Err(LinkFault::Length(long.len())));

    let fault = |bytes: &[u8]| FromGateway::read(bytes).unwrap_err();
    let hello = &from_gateway()[0];
    let with = |at: usize, new: u8| {
        let mut bytes = hello.clone();
        bytes[at] = new;
        bytes
    };
    assert_eq!(fault(&with(1, 2)), LinkFault::Version(2));
    assert_eq!(fault(&[5, 2, 0]), LinkFault::Version(2));
    assert_eq!(fault(&[5, 2, 0, 0]), LinkFault::Version(2), "of which nothing is known");
    assert_eq!(fault(&with(11, 2)), LinkFault::Field("resume"));
    assert_eq!(fault(&with(12, 1)), LinkFault::Field("resume"), "a place, and nothing to resume");
    let command = |header: RecordHeader| [&[2; 9][..], &record(header)].concat();
    assert!(FromGateway::read(&command(bare())).is_ok());
    let gateway = Some(GatewayNumber { gateway: GatewayId(2), number: 1 });
    for header in [
        RecordHeader { gateway, ..bare() },
        RecordHeader { correlation: Some(1), ..bare() },
        RecordHeader { causation: Some(Seq(1)), ..bare() },
        RecordHeader { signature: Some([0; 64]), ..bare() },
    ] {
        assert_eq!(fault(&command(header)), LinkFault::Field("record"));
    }
    let short = command(bare());
    assert!(matches!(fault(&short[..30]), LinkFault::Record(RecordFault::Short { .. })));
}

#[test]
fn damaged_and_random_bytes_never_panic() {
    let (_, some) = some_events();
    let mut all = from_gateway();
    all.extend(from_cluster(&some).iter().map(written));
    let read = |bytes: &[u8]| {
        if let Ok(message) = FromGateway::read(bytes) {
            let mut again = Vec::new();
            message.write(&mut again);
            assert_eq!(again, bytes, "only what is written is read");
        }
        if let Ok(message) = FromCluster::read(bytes) {
            assert_eq!(written(&message), bytes, "only what is written is read");
            if let FromCluster::Events { events: list, .. } | FromCluster::Definitions { events: list } =
                message
            {
                events(list).ok();
            }
        }
    };
    for_seeds(2_000, |random| {
        let mut bytes = all[random.below(all.len())].clone();
        random.damage(&mut bytes);
        read(&bytes);
    });
}

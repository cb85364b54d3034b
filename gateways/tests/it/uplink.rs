//! A gateway process's end of its link: what is kept, what goes again, and what no node may say.

use gateways::fix::{ConnectionId, OutboxRead};
use gateways::uplink::{Heard, Uplink};
use protocol::commands::{CancelAll, SessionHeartbeat};
use protocol::limits::LINK_RECORDS_MAX;
use protocol::link::{Cursor, FromCluster, FromGateway, LinkFault};
use protocol::record::RecordHeader;
use protocol::rows::TransferRow;
use protocol::submit::{Full, Submit};
use protocol::{
    Command, MonoNanos, NodeId, OutSeq, RequestNumber, Seq, SessionEpoch, SessionId, Term, commands,
};

const ONE: NodeId = NodeId(1);
const HERE: Cursor = Cursor { through: Seq(9), plus: 1 };

fn say(uplink: &mut Uplink, message: &FromCluster<'_>) -> Result<Heard, LinkFault> {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    uplink.receive(ONE, &bytes)
}

/// Connects, and hears that the node leads.
fn lead(uplink: &mut Uplink, node: NodeId, term: u64) -> Result<Heard, LinkFault> {
    uplink.connected(node);
    let watch = uplink.next_message(node).unwrap();
    assert!(matches!(FromGateway::read(&watch), Ok(FromGateway::Watch)), "{watch:?}");
    assert_eq!(uplink.next_message(node), None, "nothing before it leads");
    let mut bytes = Vec::new();
    FromCluster::Leads { term: Term(term) }.write(&mut bytes);
    uplink.receive(node, &bytes)
}

/// Connects, says hello and hears welcome; where the gateway said that it had come to.
fn greet(uplink: &mut Uplink, executed: u64, cursor: Cursor) -> Option<Cursor> {
    assert_eq!(lead(uplink, ONE, 5), Ok(Heard::Leads(None)));
    let hello = uplink.next_message(ONE).unwrap();
    let Ok(FromGateway::Hello { resume, .. }) = FromGateway::read(&hello) else { panic!("{hello:?}") };
    assert_eq!(uplink.next_message(ONE), None, "nothing before the welcome");
    assert_eq!(say(uplink, &FromCluster::Welcome { executed, cursor }), Ok(Heard::Welcome));
    resume
}

fn submit(uplink: &mut Uplink, request: u64, command: impl Into<Command>) -> Result<(), Full> {
    let request = RequestNumber(request);
    let header = RecordHeader { session: SessionId(16), request, ..RecordHeader::default() };
    uplink.submit(&header, MonoNanos(0), &command.into())
}

/// Numbers and requests of all commands that go out now.
fn sent(uplink: &mut Uplink) -> Vec<(u64, u64)> {
    let mut sent = Vec::new();
    while let Some(message) = uplink.next_message(ONE) {
        match FromGateway::read(&message).unwrap() {
            FromGateway::Command { number, record } => sent.push((number, record.header.request.0)),
            FromGateway::Read { .. } | FromGateway::Alive => {}
            FromGateway::Hello { .. } | FromGateway::Watch => panic!("a second hello"),
        }
    }
    sent
}

#[test]
fn what_was_not_executed_goes_again_in_order_and_nothing_else_does() {
    let commands = 9;
    for heard in 0..=commands {
        for executed in heard..=commands {
            let mut uplink = Uplink::new(7);
            assert_eq!(greet(&mut uplink, 0, Cursor::default()), None);
            for request in 1..=commands {
                submit(&mut uplink, 100 + request, SessionHeartbeat {}).unwrap();
            }
            let all: Vec<(u64, u64)> = (1..=commands).map(|number| (number, 100 + number)).collect();
            assert_eq!(sent(&mut uplink), all);
            let events = FromCluster::Events { cursor: HERE, executed: heard, events: &[] };
            assert_eq!(say(&mut uplink, &events), Ok(Heard::Events(Vec::new())));
            uplink.disconnected(ONE);
            assert_eq!(uplink.next_message(ONE), None);
            // Submitted while nobody leads.
            submit(&mut uplink, 200, SessionHeartbeat {}).unwrap();
            assert_eq!(greet(&mut uplink, executed, HERE), Some(HERE));
            let mut expected = all[usize::try_from(executed).unwrap()..].to_vec();
            expected.push((commands + 1, 200));
            assert_eq!(sent(&mut uplink), expected);
        }
    }
}

#[test]
fn who_has_not_heard_all_definitions_begins_with_them_at_the_next_leader() {
    let mut uplink = Uplink::new(7);
    assert_eq!(greet(&mut uplink, 0, Cursor::default()), None);
    assert_eq!(say(&mut uplink, &FromCluster::Definitions { events: &[] }), Ok(Heard::Definitions(vec![])));
    uplink.disconnected(ONE);
    assert_eq!(greet(&mut uplink, 0, HERE), None);
    say(&mut uplink, &FromCluster::Events { cursor: HERE, executed: 0, events: &[] }).unwrap();
    assert_eq!(greet(&mut uplink, 0, HERE), Some(HERE));
}

#[test]
fn a_full_link_refuses_and_takes_again_when_commands_were_executed() {
    let mut uplink = Uplink::new(7);
    greet(&mut uplink, 0, HERE);
    let transfer = || commands::CreateTransfers { transfers: vec![TransferRow::default()] };
    let mut taken = 0;
    while submit(&mut uplink, 1, transfer()).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, LINK_RECORDS_MAX / 8 * 7, "the last eighth is for what takes risk off the book");
    let cancel = || CancelAll { session: None, client: None, market: None, side: None, firm: None };
    while submit(&mut uplink, 1, cancel()).is_ok() {
        taken += 1;
    }
    assert_eq!((taken, uplink.waiting()), (LINK_RECORDS_MAX, LINK_RECORDS_MAX));
    let half = LINK_RECORDS_MAX as u64 / 2;
    say(&mut uplink, &FromCluster::Events { cursor: HERE, executed: half, events: &[] }).unwrap();
    assert_eq!(submit(&mut uplink, 1, transfer()), Ok(()));
}

#[test]
fn reads_that_nobody_answered_are_asked_again() {
    let mut uplink = Uplink::new(7);
    greet(&mut uplink, 0, HERE);
    let read = |from| OutboxRead {
        connection: ConnectionId(3),
        session: SessionId(16),
        epoch: SessionEpoch(1),
        from: OutSeq(from),
        to: OutSeq(9),
    };
    uplink.read(read(1));
    uplink.read(read(5));
    let asked = |uplink: &mut Uplink| {
        let mut asked = Vec::new();
        while let Some(message) = uplink.next_message(ONE) {
            if let Ok(FromGateway::Read { read, from, .. }) = FromGateway::read(&message) {
                asked.push((read, from.0));
            }
        }
        asked
    };
    let first = asked(&mut uplink);
    assert_eq!(first.iter().map(|(_, from)| *from).collect::<Vec<_>>(), [1, 5]);
    let answer = FromCluster::Outputs { read: first[0].0, events: &[] };
    assert_eq!(say(&mut uplink, &answer), Ok(Heard::Outputs(read(1), Vec::new())));
    assert_eq!(say(&mut uplink, &answer), Err(LinkFault::Field("read")), "answered once");
    uplink.disconnected(ONE);
    greet(&mut uplink, 0, HERE);
    assert_eq!(asked(&mut uplink), first[1..]);
    // The next connection may be there before the end of this one is noticed.
    greet(&mut uplink, 0, HERE);
    assert_eq!(asked(&mut uplink), first[1..]);
    let answer = FromCluster::Unreadable { read: first[1].0 };
    assert_eq!(say(&mut uplink, &answer), Ok(Heard::Unreadable(read(5))));
}

#[test]
fn the_node_that_leads_in_the_highest_term_is_turned_to_and_no_older_one() {
    let (two, three) = (NodeId(2), NodeId(3));
    let mut uplink = Uplink::new(7);
    greet(&mut uplink, 0, HERE);
    let events = FromCluster::Events { cursor: HERE, executed: 0, events: &[] };
    say(&mut uplink, &events).unwrap();
    submit(&mut uplink, 1, SessionHeartbeat {}).unwrap();
    assert_eq!(sent(&mut uplink), [(1, 1)]);
    assert_eq!(lead(&mut uplink, two, 4), Ok(Heard::OutOfDate), "it has lost the lead, and does not know");
    assert_eq!(uplink.leader(), Some(ONE));
    // The leader has said nothing of its end.
    assert_eq!(lead(&mut uplink, three, 6), Ok(Heard::Leads(Some(ONE))));
    assert!(!uplink.is_open());
    let hello = uplink.next_message(three).unwrap();
    let Ok(FromGateway::Hello { resume, .. }) = FromGateway::read(&hello) else { panic!("{hello:?}") };
    assert_eq!((resume, uplink.next_message(ONE)), (Some(HERE), None));
    let events = FromCluster::Events { cursor: HERE, executed: 1, events: &[] };
    assert!(matches!(say(&mut uplink, &events), Err(LinkFault::Kind(_))), "nobody else is listened to");
    uplink.disconnected(three);
    assert_eq!(lead(&mut uplink, ONE, 5), Ok(Heard::OutOfDate), "also while the leader is away");
    assert_eq!(lead(&mut uplink, three, 6), Ok(Heard::Leads(None)), "it is back, in its term");
    let mut bytes = Vec::new();
    FromCluster::Leads { term: Term(8) }.write(&mut bytes);
    assert_eq!(uplink.receive(three, &bytes), Ok(Heard::Leads(None)), "and again before it was greeted");
    assert_eq!((lead(&mut uplink, two, 7), uplink.term()), (Ok(Heard::OutOfDate), Term(8)));
}

#[test]
fn what_no_node_may_say_ends_the_connection() {
    let mut uplink = Uplink::new(7);
    submit(&mut uplink, 1, SessionHeartbeat {}).unwrap();
    let leader = Some(NodeId(2));
    assert!(matches!(say(&mut uplink, &FromCluster::Elsewhere { leader }), Err(LinkFault::Kind(_))));
    lead(&mut uplink, ONE, 5).unwrap();
    uplink.next_message(ONE).unwrap();
    let events = |executed| FromCluster::Events { cursor: HERE, executed, events: &[] };
    assert!(matches!(say(&mut uplink, &events(0)), Err(LinkFault::Kind(_))), "before its welcome");
    let welcome = |executed, cursor| FromCluster::Welcome { executed, cursor };
    assert_eq!(say(&mut uplink, &welcome(2, HERE)), Err(LinkFault::Field("executed")), "one was submitted");
    assert_eq!(say(&mut uplink, &welcome(1, HERE)), Ok(Heard::Welcome));
    assert_eq!(say(&mut uplink, &events(0)), Err(LinkFault::Field("executed")), "it was executed before");
    say(&mut uplink, &events(1)).unwrap();
    uplink.disconnected(ONE);
    lead(&mut uplink, ONE, 5).unwrap();
    uplink.next_message(ONE).unwrap();
    let elsewhere = Cursor { through: Seq(8), plus: 0 };
    assert_eq!(say(&mut uplink, &welcome(1, elsewhere)), Err(LinkFault::Field("cursor")));
    assert_eq!(say(&mut uplink, &FromCluster::TooFarBehind), Ok(Heard::TooFarBehind));
}

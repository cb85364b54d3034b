//! What the caller owes the engine, and what the engine does with records that it cannot read or may not take.

use engine::{Broken, Engine};
use protocol::commands::{Pulse, SessionDown, TermStart};
use protocol::limits::TIMERS_PER_RECORD_MAX;
use protocol::record::{Record, RecordHeader};
use protocol::{
    CancelOnDisconnect, EventBody, Generation, NodeId, RejectReason, RequestNumber, Seq, SessionEnd,
    SessionId, SessionProtocol, Side, Term, UnixNanos,
};

use crate::definitions;
use crate::world::World;

fn record(header: RecordHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.write(&Pulse {}.into(), &mut bytes).unwrap();
    bytes
}

#[test]
fn a_seq_or_time_that_does_not_follow_changes_nothing() {
    let mut world = World::with_genesis();
    let before = world.engine.state_hash();
    let (seq, time) = (world.engine.seq_applied(), world.engine.time());
    let bytes = record(RecordHeader::default());
    let pulse = Record::read(&bytes).unwrap();
    let mut attempt = |seq: u64, time: u64| {
        let mut events = Vec::new();
        let broken = world.engine.apply(Seq(seq), UnixNanos(time), &pulse, &mut events).unwrap_err();
        assert!(events.is_empty());
        broken.what
    };
    let expected = seq.next();
    for found in [seq.0, seq.0 + 2, 0, u64::MAX] {
        assert_eq!(attempt(found, time.0 + 1), Broken::SeqGap { expected, found: Seq(found) });
    }
    for found in [time.0, time.0 - 1, 0] {
        assert_eq!(attempt(seq.0 + 1, found), Broken::TimeNotAfter { last: time, found: UnixNanos(found) });
    }
    assert_eq!(world.engine.state_hash(), before);
    world.system(Pulse {});
    assert_ne!(world.engine.state_hash(), before, "seq and time are state");
}

/// A record of a kind that no engine knows yet.
fn unknown_kind(header: RecordHeader) -> Vec<u8> {
    let mut bytes = record(header);
    bytes[4..6].copy_from_slice(&9_999_u16.to_le_bytes());
    bytes
}

#[test]
fn a_body_of_a_later_version_is_answered_and_uses_its_number() {
    let mut world = World::with_genesis();
    world.set_up(definitions::session(16, SessionProtocol::Fix, 100));
    let fix = SessionId(16);
    world.submit(fix, 0, 0, definitions::logon(1));
    let header = RecordHeader {
        session: fix,
        generation: Generation(1),
        request: RequestNumber(2),
        ..RecordHeader::default()
    };
    let events = world.submit_bytes(&unknown_kind(header));
    assert!(
        matches!(&events[..], [event] if matches!(&event.body, EventBody::BusinessRejected(r) if r.ref_seq_num == 2))
    );
    assert_eq!(world.next_number(fix), (1, 3));

    let header =
        RecordHeader { session: SessionId::OPERATOR, request: RequestNumber(9), ..RecordHeader::default() };
    for _ in 0..2 {
        let events = world.submit_bytes(&unknown_kind(header));
        let [event] = &events[..] else { panic!("one event and not {events:?}") };
        let EventBody::Replied(reply) = &event.body else { panic!("no reply but {event:?}") };
        assert_eq!(reply.refusal, Some(RejectReason::Malformed));
        assert_eq!(reply.effective_seq.0, world.engine.seq_applied().0.min(5), "the first reply again");
    }
    let unknown = RecordHeader { session: SessionId(99), ..RecordHeader::default() };
    let events = world.submit_bytes(&record(unknown));
    assert!(
        matches!(&events[..], [event] if matches!(&event.body, EventBody::Dropped(d) if d.reason == RejectReason::UnknownSession))
    );
}

#[test]
fn timers_fire_in_order_and_a_bounded_number_before_one_record() {
    let mut world = World::with_genesis();
    let sessions = u32::try_from(TIMERS_PER_RECORD_MAX).unwrap() + 6;
    world.checks = false;
    for asset in [1, 2] {
        world.set_up(definitions::asset(asset, &format!("A{asset}"), 0));
        world.set_up(definitions::account(
            u128::from(asset) * 10,
            0,
            asset,
            protocol::AccountClass::External,
        ));
        world.set_up(definitions::account(
            100 + u128::from(asset),
            100,
            asset,
            protocol::AccountClass::Client,
        ));
    }
    world.set_up(definitions::account(2, 0, 2, protocol::AccountClass::Fee));
    world.set_up(definitions::market(1));
    world.set_up(definitions::deposit(1, 20, 102, 2, 1_000_000));
    for number in 0..sessions {
        let mut session = definitions::session(16 + number, SessionProtocol::Fix, 100);
        session.cancel_on_disconnect = CancelOnDisconnect::OnLoss;
        session.cancel_window_ms = 1_000;
        world.set_up(session);
        let session = SessionId(16 + number);
        world.submit(session, 0, 0, definitions::logon(1));
        world.next(session, definitions::limit("a", Side::Buy, 1, 1));
    }
    // The last first; the others together, with the term.
    let last = SessionId(15 + sessions);
    world.submit(last, 1, 0, SessionDown { end: SessionEnd::Lost });
    world.system(TermStart { term: Term(2), node: NodeId(1) });
    let due = world.engine.next_timer().unwrap();
    world.time = due.0 + 1_000_000_000;
    let fired = |world: &mut World| -> Vec<u32> {
        let events = world.system(Pulse {});
        events.iter().filter_map(|event| event.output.map(|number| number.session.0)).collect()
    };
    let first = fired(&mut world);
    let expected: Vec<u32> = std::iter::once(last.0).chain(16..last.0).collect();
    assert_eq!(first, expected[..TIMERS_PER_RECORD_MAX]);
    assert!(world.engine.next_timer().is_some_and(|next| next < world.engine.time()), "more is due");
    assert_eq!(fired(&mut world), expected[TIMERS_PER_RECORD_MAX..]);
    assert_eq!(world.engine.next_timer(), None);
    assert_eq!(world.engine.orders().count(), 0);
    world.engine.check_invariants().unwrap();
}

#[test]
fn an_engine_is_the_same_however_it_was_made() {
    assert_eq!(Engine::new().state_hash(), Engine::default().state_hash());
    assert_eq!(Engine::new().next_timer(), None);
    assert_eq!(Engine::new().seq_applied(), Seq::ZERO);
}

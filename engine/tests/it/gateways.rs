//! Gateway processes: what they send twice counts once, and their connections outlive a term but not their lease.

use protocol::commands::{
    GatewayDown, GatewayStart, Pulse, SessionDown, SessionGap, SessionHeartbeat, SessionLogout,
    SessionResendRequest, SessionTestRequest, SessionTick, SessionTooLow, TermStart,
};
use protocol::event::Event;
use protocol::record::GatewayNumber;
use protocol::{
    AccountClass, CancelOnDisconnect, Command, EventBody, GatewayId, NodeId, RejectReason, SessionAction,
    SessionEnd, SessionId, SessionProtocol, Side, Term, Text, UnixNanos,
};

use crate::definitions;
use crate::world::World;

const FIRST: GatewayId = GatewayId(1);
const SECOND: GatewayId = GatewayId(2);
const ALICE: SessionId = SessionId(16);
const BOB: SessionId = SessionId(17);

fn numbered(gateway: GatewayId, number: u64) -> GatewayNumber {
    GatewayNumber { gateway, number }
}

/// Two FIX sessions whose live orders are cancelled when their connection is lost, with money and a market.
fn world() -> World {
    let mut world = World::with_genesis();
    for (asset, code) in [(1, "BTC"), (2, "TRY")] {
        world.set_up(definitions::asset(asset, code, 2));
        world.set_up(definitions::account(u128::from(asset) * 10, 0, asset, AccountClass::External));
        world.set_up(definitions::account(100 + u128::from(asset), 100, asset, AccountClass::Client));
        let (outside, account) = (u128::from(asset) * 10, 100 + u128::from(asset));
        world.set_up(definitions::deposit(asset.into(), outside, account, asset, 1_000_000));
    }
    world.set_up(definitions::account(2, 0, 2, AccountClass::Fee));
    world.set_up(definitions::market(1));
    for session in [ALICE, BOB] {
        let mut session = definitions::session(session.0, SessionProtocol::Fix, 100);
        session.cancel_on_disconnect = CancelOnDisconnect::OnLoss;
        session.reset_on_logon = true;
        world.set_up(session);
    }
    world.system(GatewayStart { gateway: FIRST, instance: 7 });
    world
}

/// Everything that a gateway submits, as (session, generation, request) and command.
fn script() -> Vec<((SessionId, u32, u64), Command)> {
    let text = |text: &str| Text::new(text).unwrap();
    let reset = protocol::commands::SessionLogon { reset: true, ..definitions::logon(1) };
    vec![
        ((ALICE, 0, 0), definitions::logon(1).into()),
        ((BOB, 0, 0), definitions::logon(5).into()),
        ((ALICE, 1, 2), definitions::limit("a1", Side::Buy, 3, 100).into()),
        ((ALICE, 1, 3), definitions::limit("a2", Side::Sell, 1, 100).into()),
        ((ALICE, 1, 0), SessionTick { action: SessionAction::Heartbeat }.into()),
        ((ALICE, 1, 0), SessionTick { action: SessionAction::TestRequest }.into()),
        ((ALICE, 1, 4), SessionHeartbeat {}.into()),
        ((ALICE, 1, 5), SessionTestRequest { test_req_id: text("T") }.into()),
        ((ALICE, 1, 0), SessionGap { received: 9 }.into()),
        ((ALICE, 1, 0), SessionResendRequest { begin: 1, end: 0 }.into()),
        ((ALICE, 1, 6), definitions::replace("a3", "a1", Side::Buy, 2, 99).into()),
        ((ALICE, 1, 0), reset.into()),
        ((ALICE, 2, 2), SessionLogout {}.into()),
        ((ALICE, 0, 0), definitions::logon(3).into()),
        ((ALICE, 3, 0), SessionDown { end: SessionEnd::Lost }.into()),
        ((ALICE, 0, 0), definitions::logon(1).into()),
        ((BOB, 1, 0), SessionTooLow { received: 1 }.into()),
        ((ALICE, 0, 0), definitions::logon(4).into()),
        ((ALICE, 4, 0), SessionTick { action: SessionAction::Stop }.into()),
    ]
}

/// Submits the script's command of this number, counted from 1.
fn submit(world: &mut World, number: usize) -> Vec<Event> {
    let (from, command) = script().swap_remove(number - 1);
    world.through(numbered(FIRST, u64::try_from(number).unwrap()), from, command)
}

fn reasons(events: &[Event]) -> Vec<RejectReason> {
    let dropped = events.iter().filter_map(|event| {
        let EventBody::Dropped(dropped) = &event.body else { return None };
        Some(dropped.reason)
    });
    dropped.collect()
}

#[test]
fn whatever_comes_again_or_out_of_turn_changes_nothing() {
    let commands = script().len();
    // After each command everything from each earlier one on comes again, with one lost on the way, as a new leader sees it.
    for done in 0..=commands {
        for again_from in 1..=done + 1 {
            let (mut world, mut reference) = (world(), world());
            for number in 1..=done {
                let events = submit(&mut world, number);
                assert_eq!(events, submit(&mut reference, number));
                assert_eq!(reasons(&events), [], "command {number} of the script counts");
            }
            if done + 2 <= commands {
                assert_eq!(reasons(&submit(&mut world, done + 2)), [RejectReason::SequenceGap]);
                reference.system(Pulse {});
            }
            for number in again_from..=done {
                let events = submit(&mut world, number);
                assert_eq!(reasons(&events), [RejectReason::AlreadyExecuted]);
                assert_eq!(events.len(), 1, "nothing else follows: {events:?}");
                reference.system(Pulse {});
            }
            for number in done + 1..=commands {
                assert_eq!(submit(&mut world, number), submit(&mut reference, number), "{done} {again_from}");
            }
            assert_eq!(world.engine.state_hash(), reference.engine.state_hash(), "{done} {again_from}");
            let executed = world.engine.gateway(FIRST).unwrap().executed;
            assert_eq!(executed, u64::try_from(commands).unwrap());
        }
    }
}

fn connected(world: &World, session: SessionId) -> bool {
    world.engine.sessions().any(|view| view.session == session && view.connected)
}

/// When the live orders of a session are cancelled.
fn window(world: &World, session: SessionId) -> Option<UnixNanos> {
    world.engine.sessions().find(|view| view.session == session).unwrap().cancel_at
}

#[test]
fn a_term_ends_the_connections_of_nodes_and_not_those_of_processes() {
    let mut world = world();
    submit(&mut world, 1);
    world.through(numbered(FIRST, 2), (ALICE, 1, 2), definitions::limit("a1", Side::Buy, 1, 1));
    world.submit(BOB, 0, 0, definitions::logon(1));
    world.system(TermStart { term: Term(2), node: NodeId(1) });
    assert!(connected(&world, ALICE) && !connected(&world, BOB));
    assert_eq!(window(&world, ALICE), None, "no window has begun for the live order");

    let down = GatewayDown { gateway: FIRST, instance: 7 };
    assert_eq!(reasons(&world.system(GatewayDown { instance: 8, ..down })), [RejectReason::StaleGeneration]);
    assert_eq!(
        reasons(&world.system(GatewayDown { gateway: SECOND, ..down })),
        [RejectReason::StaleGeneration]
    );
    assert!(connected(&world, ALICE));
    let events = world.system(down);
    assert!(
        matches!(&events[..], [event] if matches!(&event.body, EventBody::SessionClosed(closed) if closed.end == SessionEnd::Lost))
    );
    assert!(window(&world, ALICE).is_some(), "the window begins with the lease's end");
    // It may come back: its numbers go on, and so does the session with the next Logon.
    let stale = world.through(numbered(FIRST, 3), (ALICE, 1, 3), definitions::limit("a9", Side::Buy, 1, 1));
    assert_eq!(reasons(&stale), [RejectReason::StaleGeneration]);
    world.through(numbered(FIRST, 4), (ALICE, 0, 0), definitions::logon(3));
    assert!(connected(&world, ALICE));
    assert_eq!(window(&world, ALICE), None);
}

#[test]
fn another_process_of_the_same_id_begins_at_1_and_takes_its_sessions_down() {
    let mut world = world();
    submit(&mut world, 1);
    let again = world.system(GatewayStart { gateway: FIRST, instance: 7 });
    assert_eq!(reasons(&again), [RejectReason::Exists], "the same process: nothing changes");
    assert!(connected(&world, ALICE));
    world.system(GatewayStart { gateway: FIRST, instance: 8 });
    assert!(!connected(&world, ALICE));
    assert_eq!(world.engine.gateway(FIRST).map(|view| (view.instance, view.executed)), Some((8, 0)));
    world.through(numbered(FIRST, 1), (ALICE, 0, 0), definitions::logon(2));
    assert!(connected(&world, ALICE));
    for gateway in [GatewayId::IN_NODE, GatewayId(257)] {
        let events = world.system(GatewayStart { gateway, instance: 1 });
        assert_eq!(reasons(&events), [RejectReason::FieldOutOfRange]);
    }
}

#[test]
fn a_gateway_speaks_for_its_own_sessions_only() {
    let mut world = world();
    world.system(GatewayStart { gateway: SECOND, instance: 9 });
    submit(&mut world, 1);
    let order = || definitions::limit("x1", Side::Buy, 1, 1);
    let events = world.through(numbered(SECOND, 1), (ALICE, 1, 2), order());
    assert_eq!(reasons(&events), [RejectReason::StaleGeneration], "another gateway's session");
    let events = world.submit(ALICE, 1, 2, order());
    assert_eq!(reasons(&events), [RejectReason::StaleGeneration], "nor does a node");
    let events = world.through(numbered(SECOND, 2), (SessionId::SYSTEM, 0, 0), Pulse {});
    assert_eq!(reasons(&events), [RejectReason::UnknownSession]);
    let events =
        world.through(numbered(SECOND, 3), (SessionId::OPERATOR, 0, 99), definitions::asset(9, "X", 0));
    assert_eq!(reasons(&events), [RejectReason::WrongSessionKind]);
    let events = world.through(numbered(GatewayId(3), 1), (ALICE, 1, 2), order());
    assert_eq!(reasons(&events), [RejectReason::StaleGeneration], "a process that never began");
    assert_eq!(world.engine.gateway(SECOND).unwrap().executed, 3, "what is refused has used its number");
    assert!(world.next_number(ALICE) == (1, 2));
}

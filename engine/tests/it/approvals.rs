//! Maker and checker: what is sensitive is executed once two actors agree, and on what they were shown.

use protocol::commands::{
    Approve, DefineActor, DefineSession, Propose, Reject, SetActorKey, SetApprovals, SetLedgerLimits,
    SetMarketSchedule, roles,
};
use protocol::events::MarketScheduleSet;
use protocol::limits::TIMERS_PER_RECORD_MAX;
use protocol::rows::ScheduledPhase;
use protocol::sign::{PrivateKey, PublicKey};
use protocol::{
    AccountClass, ActorId, Command, EventBody, MarketId, MarketPhase, ProposalEnd, ProposalId,
    ProposedCommand, RejectReason, SessionId, SessionProtocol, Text,
};

use crate::definitions;
use crate::world::World;

/// Actors 1 (the operator), 4 and 5 may configure, 6 may not; each has a session of its number.
const CHECKER: SessionId = SessionId(20);
const OTHER: SessionId = SessionId(21);
const TRADER: SessionId = SessionId(22);

fn world() -> World {
    let mut world = World::with_genesis();
    let operator = definitions::OPERATOR_ACTOR;
    world.set_up(SetActorKey { actor: operator, key: key(operator.0) });
    for (actor, session, roles) in
        [(4, CHECKER, roles::ADMIN), (5, OTHER, roles::ADMIN), (6, TRADER, roles::TRADER)]
    {
        world.set_up(DefineActor { actor: ActorId(actor), roles });
        world.set_up(SetActorKey { actor: ActorId(actor), key: key(actor) });
        let session = definitions::session(session.0, SessionProtocol::Request, 0);
        world.set_up(DefineSession { actor: ActorId(actor), clients: Vec::new(), ..session });
    }
    world.set_up(SetApprovals { kinds: vec![DefineActor::KIND, SetLedgerLimits::KIND] });
    world
}

/// The key of an actor.
fn key(actor: u32) -> Option<PublicKey> {
    Some(PrivateKey::from_seed(&[u8::try_from(actor).unwrap(); 32]).public())
}

fn limits(transfer_ids_max: u32) -> Command {
    SetLedgerLimits {
        id_window_ms: 60_000,
        id_ahead_ms: 0,
        transfer_ids_max,
        pending_transfers_max: 10,
        correction_window_ms: 60_000,
        corrected_transfers_max: 10,
    }
    .into()
}

/// What a session is told of a command; what else followed.
fn say(
    world: &mut World,
    session: SessionId,
    command: impl Into<Command>,
) -> (Option<RejectReason>, Vec<EventBody>) {
    let mut events: Vec<_> = world.next(session, command).into_iter().map(|event| event.body).collect();
    let Some(EventBody::Replied(reply)) = events.pop() else { panic!("no reply among {events:?}") };
    (reply.refusal, events)
}

fn propose(world: &mut World, session: SessionId, command: &Command) -> ProposalId {
    let propose =
        Propose { command: ProposedCommand::new(command), expires_in_s: 60, note: Text::truncated("why") };
    let (refusal, events) = say(world, session, propose);
    assert_eq!(refusal, None);
    let Some(EventBody::Proposed(proposed)) = events.first() else { panic!("{events:?}") };
    proposed.proposal
}

fn ends(events: &[EventBody]) -> Vec<(ProposalEnd, ActorId)> {
    let ended = events.iter().filter_map(|event| {
        if let EventBody::ProposalEnded(ended) = event { Some((ended.end, ended.actor)) } else { None }
    });
    ended.collect()
}

#[test]
fn what_is_sensitive_takes_another_actor() {
    let mut world = world();
    let wanted = limits(10_000);
    assert_eq!(say(&mut world, CHECKER, wanted.clone()).0, Some(RejectReason::ApprovalNeeded));
    let proposal = propose(&mut world, CHECKER, &wanted);
    for (session, reason) in [(CHECKER, RejectReason::OwnProposal), (TRADER, RejectReason::NotEntitled)] {
        assert_eq!(say(&mut world, session, Approve { proposal }).0, Some(reason));
    }
    assert_ne!(Command::from(world.engine.ledger_limits().clone()), wanted);
    let (refusal, events) = say(&mut world, OTHER, Approve { proposal });
    assert_eq!((refusal, ends(&events)), (None, vec![(ProposalEnd::Approved, ActorId(5))]));
    assert!(matches!(events.first(), Some(EventBody::LedgerLimitsSet(_))));
    assert_eq!(Command::from(world.engine.ledger_limits().clone()), wanted);
    assert_eq!(say(&mut world, OTHER, Approve { proposal }).0, Some(RejectReason::UnknownProposal));
}

#[test]
fn a_proposal_shows_what_it_changes_and_is_stale_when_that_has_changed() {
    let mut world = world();
    let [first, second] = [limits(10_000), limits(20_000)];
    let before = world.engine.ledger_limits().clone();
    let wanted = Propose { command: ProposedCommand::new(&first), expires_in_s: 60, note: Text::EMPTY };
    let (_, events) = say(&mut world, CHECKER, wanted);
    let Some(EventBody::Proposed(proposed)) = events.first() else { panic!("{events:?}") };
    assert_eq!(proposed.before.as_ref().unwrap().command().unwrap(), before.into());
    let overtaken = propose(&mut world, CHECKER, &second);
    assert_eq!(say(&mut world, OTHER, Approve { proposal: proposed.proposal }).0, None);
    assert_eq!(say(&mut world, OTHER, Approve { proposal: overtaken }).0, Some(RejectReason::ProposalStale));
    assert_eq!(Command::from(world.engine.ledger_limits().clone()), first);
}

#[test]
fn the_longest_schedule_of_a_market_can_be_approved() {
    let mut world = world();
    for asset in 1..=2 {
        world.set_up(definitions::asset(asset, &format!("A{asset}"), 0));
    }
    world.set_up(definitions::account(2, 0, 2, AccountClass::Fee));
    world.set_up(definitions::market(1));
    let kinds = vec![DefineActor::KIND, SetMarketSchedule::KIND];
    let proposal = propose(&mut world, CHECKER, &SetApprovals { kinds }.into());
    assert_eq!(say(&mut world, OTHER, Approve { proposal }).0, None);
    let entry = |minute: u32| ScheduledPhase { days: 0xFF, at_ms: minute, phase: MarketPhase::Closed };
    let longest = SetMarketSchedule {
        entries: (1..33).map(entry).collect(),
        holidays: (20_000..20_256).collect(),
        short_days: (30_000..30_256).collect(),
        ..SetMarketSchedule::none(MarketId(1))
    };
    let wanted = Command::from(longest.clone());
    assert_eq!(say(&mut world, CHECKER, wanted.clone()).0, Some(RejectReason::ApprovalNeeded));
    assert_eq!(say(&mut world, TRADER, wanted.clone()).0, Some(RejectReason::NotEntitled));
    let propose_it = Propose { command: ProposedCommand::new(&wanted), expires_in_s: 60, note: Text::EMPTY };
    let (_, events) = say(&mut world, CHECKER, propose_it);
    let Some(EventBody::Proposed(proposed)) = events.first() else { panic!("{events:?}") };
    let before = Command::from(SetMarketSchedule::none(MarketId(1)));
    assert_eq!(proposed.before.as_ref().unwrap().command().unwrap(), before);
    let (refusal, events) = say(&mut world, OTHER, Approve { proposal: proposed.proposal });
    assert_eq!((refusal, events.first()), (None, Some(&MarketScheduleSet { schedule: longest }.into())));
    assert!(world.engine.definitions().contains(events.first().unwrap()));
}

#[test]
fn a_proposal_ends_by_its_maker_by_others_or_by_its_time() {
    let mut world = world();
    let note = Text::truncated("no");
    let [mine, theirs, late] = [10_000, 20_000, 30_000].map(|max| propose(&mut world, CHECKER, &limits(max)));
    let reject = |world: &mut World, session, proposal| {
        let (refusal, events) = say(world, session, Reject { proposal, note });
        (refusal, ends(&events))
    };
    assert_eq!(reject(&mut world, TRADER, theirs), (Some(RejectReason::NotEntitled), vec![]));
    assert_eq!(reject(&mut world, CHECKER, mine), (None, vec![(ProposalEnd::Withdrawn, ActorId(4))]));
    assert_eq!(reject(&mut world, OTHER, theirs), (None, vec![(ProposalEnd::Rejected, ActorId(5))]));
    assert!(world.engine.next_timer().is_some());
    world.wait_ns(60_000_000_000);
    let (refusal, events) = say(&mut world, OTHER, Approve { proposal: late });
    assert_eq!(refusal, Some(RejectReason::UnknownProposal));
    assert_eq!(ends(&events), [(ProposalEnd::Expired, ActorId(4))]);
    assert!(world.engine.next_timer().is_none());
}

#[test]
fn what_was_refused_at_its_approval_stays_open_and_so_does_what_its_maker_may_not_any_more() {
    let mut world = world();
    let too_many = SetLedgerLimits {
        id_window_ms: 0,
        id_ahead_ms: 0,
        transfer_ids_max: 10_000,
        pending_transfers_max: 10,
        correction_window_ms: 60_000,
        corrected_transfers_max: 10,
    };
    let proposal = propose(&mut world, CHECKER, &too_many.into());
    assert_eq!(say(&mut world, OTHER, Approve { proposal }).0, Some(RejectReason::FieldOutOfRange));
    let fewer = DefineActor { actor: ActorId(4), roles: roles::TRADER };
    let demotion = propose(&mut world, OTHER, &fewer.into());
    let wanted = propose(&mut world, CHECKER, &limits(10_000));
    assert_eq!(say(&mut world, SessionId::OPERATOR, Approve { proposal: demotion }).0, None);
    assert_eq!(say(&mut world, OTHER, Approve { proposal: wanted }).0, Some(RejectReason::NotEntitled));
    assert_eq!(say(&mut world, OTHER, Reject { proposal, note: Text::EMPTY }).0, None);
}

#[test]
fn there_are_always_two_who_can_agree() {
    let mut world = World::with_genesis();
    let set = SetApprovals { kinds: vec![DefineActor::KIND] };
    let alone = say(&mut world, SessionId::OPERATOR, set.clone());
    assert_eq!(alone.0, Some(RejectReason::TooFewApprovers));
    let mut world = self::world();
    for (actor, refusal) in [(4, None), (5, Some(RejectReason::TooFewApprovers))] {
        let fewer = DefineActor { actor: ActorId(actor), roles: roles::TRADER };
        let proposal = propose(&mut world, SessionId::OPERATOR, &fewer.into());
        assert_eq!(say(&mut world, OTHER, Approve { proposal }).0, refusal);
    }
    // What needs approval can be changed only so.
    assert_eq!(say(&mut world, OTHER, set.clone()).0, Some(RejectReason::ApprovalNeeded));
    let proposal = propose(&mut world, OTHER, &set.into());
    assert_eq!(say(&mut world, SessionId::OPERATOR, Approve { proposal }).0, None);
    assert_eq!(say(&mut world, OTHER, limits(10_000)).0, None);
}

#[test]
fn only_what_takes_a_role_can_be_proposed() {
    let mut world = world();
    let approve: Command = Approve { proposal: ProposalId(1) }.into();
    let pulse: Command = protocol::commands::Pulse {}.into();
    for command in [approve, pulse] {
        let wanted = Propose { command: ProposedCommand::new(&command), expires_in_s: 60, note: Text::EMPTY };
        assert_eq!(say(&mut world, OTHER, wanted).0, Some(RejectReason::NotProposable));
    }
    let unreadable = ProposedCommand { kind: DefineActor::KIND, version: 9, body: Vec::new() };
    let wanted = Propose { command: unreadable, expires_in_s: 60, note: Text::EMPTY };
    assert_eq!(say(&mut world, OTHER, wanted).0, Some(RejectReason::Malformed));
    for expires_in_s in [0, u32::MAX] {
        let command = ProposedCommand::new(&limits(10_000));
        let wanted = Propose { command, expires_in_s, note: Text::EMPTY };
        assert_eq!(say(&mut world, OTHER, wanted).0, Some(RejectReason::FieldOutOfRange));
    }
    let kinds = vec![protocol::commands::NewOrder::KIND];
    let proposal = propose(&mut world, OTHER, &SetApprovals { kinds }.into());
    assert_eq!(say(&mut world, CHECKER, Approve { proposal }).0, Some(RejectReason::FieldOutOfRange));
}

/// More than one record expires: nobody ends those whose turn comes later, and each says that it has expired.
#[test]
fn a_proposal_whose_turn_to_expire_has_not_come_is_open_no_more() {
    let mut world = world();
    let proposals: Vec<_> =
        (0..130).map(|more| propose(&mut world, CHECKER, &limits(10_000 + more))).collect();
    world.wait_ns(60_000_000_000);
    let mut expired = 0;
    let last = proposals[129];
    let reject = Reject { proposal: last, note: Text::EMPTY };
    for command in [Approve { proposal: last }.into(), Command::from(reject)] {
        let (refusal, events) = say(&mut world, OTHER, command);
        assert_eq!(refusal, Some(RejectReason::UnknownProposal));
        assert_eq!(ends(&events), vec![(ProposalEnd::Expired, ActorId(4)); TIMERS_PER_RECORD_MAX]);
        expired += events.len();
    }
    assert!(world.engine.next_timer().is_some(), "the last ones wait");
    expired += say(&mut world, OTHER, Approve { proposal: last }).1.len();
    assert_eq!(expired, 130);
    assert!(world.engine.next_timer().is_none());
}

#[test]
fn nobody_makes_the_actor_who_agrees_with_him() {
    let mut world = World::with_genesis();
    let session = |number: SessionId, actor| {
        let definition = definitions::session(number.0, SessionProtocol::Request, 0);
        DefineSession { actor: ActorId(actor), clients: Vec::new(), ..definition }
    };
    for (actor, number) in [(4, CHECKER), (5, OTHER)] {
        world.set_up(DefineActor { actor: ActorId(actor), roles: roles::ADMIN });
        world.set_up(SetActorKey { actor: ActorId(actor), key: key(actor) });
        world.set_up(session(number, actor));
    }
    // One kind alone, and none of these.
    world.set_up(SetApprovals { kinds: vec![SetLedgerLimits::KIND] });
    let alone: [Command; 5] = [
        DefineActor { actor: ActorId(7), roles: roles::ADMIN }.into(),
        DefineActor { actor: ActorId(5), roles: 0 }.into(),
        SetActorKey { actor: ActorId(5), key: key(7) }.into(),
        session(SessionId(23), 5).into(),
        SetApprovals { kinds: vec![] }.into(),
    ];
    for command in alone {
        assert_eq!(say(&mut world, CHECKER, command.clone()).0, Some(RejectReason::ApprovalNeeded));
        propose(&mut world, CHECKER, &command);
    }
    assert_eq!(say(&mut world, CHECKER, definitions::asset(1, "TRY", 2)).0, None);
    let asked = propose(&mut world, CHECKER, &DefineActor { actor: ActorId(7), roles: 0 }.into());
    assert_eq!(say(&mut world, OTHER, Approve { proposal: asked }).0, None);
}

/// Whoever has no key cannot speak, and so cannot agree.
#[test]
fn only_actors_with_a_key_count_as_those_who_can_agree() {
    let mut world = World::with_genesis();
    let set = SetApprovals { kinds: vec![SetLedgerLimits::KIND] };
    let operator = definitions::OPERATOR_ACTOR;
    world.set_up(DefineActor { actor: ActorId(4), roles: roles::ADMIN });
    world.set_up(DefineActor { actor: ActorId(5), roles: roles::CASHIER });
    let session = definitions::session(CHECKER.0, SessionProtocol::Request, 0);
    world.set_up(DefineSession { actor: ActorId(4), clients: Vec::new(), ..session });
    for (actor, refusal) in [
        (operator, Some(RejectReason::TooFewApprovers)),
        (ActorId(5), Some(RejectReason::TooFewApprovers)),
        (ActorId(4), None),
    ] {
        world.set_up(SetActorKey { actor, key: key(actor.0) });
        assert_eq!(say(&mut world, SessionId::OPERATOR, set.clone()).0, refusal);
    }
    for (actor, key, refusal) in [
        (ActorId(5), None, None),
        (ActorId(4), None, Some(RejectReason::TooFewApprovers)),
        (operator, None, Some(RejectReason::TooFewApprovers)),
        (ActorId(4), key(9), None),
    ] {
        let proposal = propose(&mut world, SessionId::OPERATOR, &SetActorKey { actor, key }.into());
        assert_eq!(say(&mut world, CHECKER, Approve { proposal }).0, refusal);
    }
}

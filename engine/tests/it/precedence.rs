//! A command that is wrong in two ways is refused for the reason that is declared first.

use protocol::RejectReason;
use protocol::commands::*;
use protocol::hash::Hash;
use protocol::rows::FeeTier;
use protocol::sign::PrivateKey;
use protocol::skip::Skip;
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, ClientId, Command, EventBody, FeeGroupId, MarketId,
    MarketPhase, OrderType, PriceTicks, QtyLots, Seq, SessionId, SessionProtocol, Side, Text,
};

use engine::SkipRefusal;

use crate::definitions;
use crate::world::World;

const TRADER: SessionId = SessionId(16);
const NO_ROLE: SessionId = SessionId(17);
const HALTED: MarketId = MarketId(2);
const FULL_FOR_CLIENT: MarketId = MarketId(3);

/// Client 100 trades through session 16, which may also trade for 300, who has no accounts; 200 is somebody else.
fn world() -> World {
    let mut world = World::with_genesis();
    world.set_up(DefineActor { actor: ActorId(2), roles: 0 });
    for asset in [1, 2, 3] {
        world.set_up(definitions::asset(asset, &format!("A{asset}"), 0));
        world.set_up(definitions::account(u128::from(asset) * 10, 0, asset, AccountClass::External));
        for client in [100, 200] {
            world.set_up(definitions::account(
                u128::from(client + asset),
                u64::from(client),
                asset,
                AccountClass::Client,
            ));
        }
    }
    world.set_up(definitions::account(2, 0, 2, AccountClass::Fee));
    world.set_up(definitions::account(1, 0, 1, AccountClass::Fee));
    world.set_up(DefineMarket {
        qty_lots_min: QtyLots(5),
        notional_min: Amount(100),
        ..definitions::market(1)
    });
    world.set_up(definitions::market(2));
    world.set_up(DefineMarket { client_orders_max: 1, ..definitions::market(3) });
    world.set_up(definitions::deposit(1, 20, 102, 2, 100_000));
    for (session, actor) in [(TRADER, 1), (NO_ROLE, 2)] {
        world.set_up(DefineSession {
            actor: ActorId(actor),
            clients: vec![ClientId(100), ClientId(300)],
            ..definitions::session(session.0, SessionProtocol::Request, 100)
        });
        world.next(session, definitions::limit("used", Side::Buy, 10, 10));
    }
    world.next(TRADER, NewOrder { market: FULL_FOR_CLIENT, ..definitions::limit("full", Side::Buy, 10, 10) });
    world.next(TRADER, definitions::limit("gone", Side::Buy, 10, 10));
    world.next(TRADER, cancel("gone-2", "gone"));
    world.set_up(SetMarketPhase { market: HALTED, phase: MarketPhase::Halt });
    world
}

fn cancel(cl_ord_id: &str, orig: &str) -> CancelOrder {
    CancelOrder {
        cl_ord_id: Text::new(cl_ord_id).unwrap(),
        orig_cl_ord_id: Text::new(orig).unwrap(),
        order: None,
        market: MarketId(1),
        side: Side::Buy,
        poss_resend: false,
    }
}

/// A session and a command that is accepted; each fault makes it refusable for one reason.
type Attempt<C> = (SessionId, C);
type Fault<C> = (RejectReason, fn(&mut Attempt<C>));

fn refusal_of<C: Into<Command>>(world: &World, (session, command): Attempt<C>) -> Option<RejectReason> {
    let mut world = World { engine: world.engine.clone(), time: world.time, checks: true };
    let events = world.next(session, command);
    match events.last().map(|event| &event.body) {
        Some(EventBody::Replied(reply)) => reply.refusal,
        other => panic!("no reply but {other:?}"),
    }
}

/// Every fault alone, and every two of them; `faults` in the order of the reasons.
fn check<C: Into<Command> + Clone + std::fmt::Debug>(good: &Attempt<C>, faults: &[Fault<C>]) {
    let world = world();
    assert_eq!(refusal_of(&world, good.clone()), None, "{good:?}");
    for (at, (reason, first)) in faults.iter().enumerate() {
        let mut attempt = good.clone();
        first(&mut attempt);
        assert_eq!(refusal_of(&world, attempt.clone()), Some(*reason), "{attempt:?}");
        for (later, second) in &faults[at..] {
            let mut attempt = good.clone();
            second(&mut attempt);
            // The first last: where both set the same field, the command is only wrong in this way.
            first(&mut attempt);
            assert_eq!(refusal_of(&world, attempt.clone()), Some(*reason), "with {later:?}: {attempt:?}");
        }
    }
}

#[test]
fn new_orders() {
    use RejectReason::*;
    let faults: &[Fault<NewOrder>] = &[
        (NotEntitled, |(session, _)| *session = NO_ROLE),
        (FieldOutOfRange, |(_, order)| order.cl_ord_id = Text::EMPTY),
        (UnknownMarket, |(_, order)| order.market = MarketId(9)),
        (NoSettlementAccount, |(_, order)| order.client = Some(ClientId(300))),
        (ClientNotEntitled, |(_, order)| order.client = Some(ClientId(200))),
        (DuplicateClOrdId, |(_, order)| order.cl_ord_id = Text::new("used").unwrap()),
        (MarketClosed, |(_, order)| order.market = HALTED),
        (PriceOutOfRange, |(_, order)| order.price_ticks = PriceTicks(0)),
        (QtyOutOfRange, |(_, order)| order.qty_lots = QtyLots(0)),
        (NotionalOutOfRange, |(_, order)| (order.qty_lots, order.price_ticks) = (QtyLots(9), PriceTicks(1))),
        (UnsupportedOrder, |(_, order)| order.budget = Amount(7)),
        (TooManyOrders, |(_, order)| order.market = FULL_FOR_CLIENT),
        (InsufficientFunds, |(_, order)| {
            (order.qty_lots, order.price_ticks) = (QtyLots(1_000), PriceTicks(1_000))
        }),
    ];
    // Nothing can be below its bound and beyond its means at once, nor both by budget and by quantity.
    let (pairs, singles) = faults.split_at(8);
    check(&(TRADER, definitions::limit("new", Side::Buy, 10, 10)), pairs);
    for fault in singles {
        let mut with_each = pairs.to_vec();
        with_each.push(*fault);
        check(&(TRADER, definitions::limit("new", Side::Buy, 10, 10)), &with_each);
    }
    let last = [singles[3], singles[4]];
    check(&(TRADER, definitions::limit("new", Side::Buy, 10, 10)), &last);
}

#[test]
fn orders_at_the_market() {
    use RejectReason::*;
    let good = NewOrder {
        order_type: OrderType::Market,
        price_ticks: PriceTicks(0),
        ..definitions::limit("new", Side::Buy, 10, 10)
    };
    let faults: &[Fault<NewOrder>] = &[
        (MarketClosed, |(_, order)| order.market = HALTED),
        (PriceOutOfRange, |(_, order)| order.price_ticks = PriceTicks(1_000_001)),
        (QtyOutOfRange, |(_, order)| order.qty_lots = QtyLots(1)),
        (InsufficientFunds, |(_, order)| order.side = Side::Sell),
    ];
    check(&(TRADER, good.clone()), faults);
    let by_budget = NewOrder { qty_lots: QtyLots(0), budget: Amount(100), ..good };
    let faults: &[Fault<NewOrder>] = &[(NotionalOutOfRange, |(_, order)| order.budget = Amount(u128::MAX))];
    check(&(TRADER, by_budget.clone()), faults);
    let faults: &[Fault<NewOrder>] = &[
        (UnsupportedOrder, |(_, order)| order.side = Side::Sell),
        (UnsupportedOrder, |(_, order)| order.qty_lots = QtyLots(10)),
        (InsufficientFunds, |(_, order)| order.budget = Amount(100_001)),
    ];
    check(&(TRADER, by_budget), faults);
}

#[test]
fn cancels() {
    use RejectReason::*;
    let faults: &[Fault<CancelOrder>] = &[
        (FieldOutOfRange, |(_, cancel)| cancel.cl_ord_id = Text::EMPTY),
        (DuplicateClOrdId, |(_, cancel)| cancel.cl_ord_id = Text::new("used").unwrap()),
        (UnknownOrder, |(_, cancel)| cancel.orig_cl_ord_id = Text::new("never").unwrap()),
        (TooLate, |(_, cancel)| cancel.orig_cl_ord_id = Text::new("gone").unwrap()),
        (OrderMismatch, |(_, cancel)| cancel.side = Side::Sell),
    ];
    check(&(TRADER, cancel("new", "used")), faults);
}

#[test]
fn replaces() {
    use RejectReason::*;
    let faults: &[Fault<ReplaceOrder>] = &[
        (NotEntitled, |(session, _)| *session = NO_ROLE),
        (FieldOutOfRange, |(_, replace)| replace.cl_ord_id = Text::EMPTY),
        (UnknownMarket, |(_, replace)| replace.market = MarketId(9)),
        (DuplicateClOrdId, |(_, replace)| replace.cl_ord_id = Text::new("full").unwrap()),
        (MarketClosed, |(_, replace)| replace.market = HALTED),
        (PriceOutOfRange, |(_, replace)| replace.price_ticks = PriceTicks(0)),
        (QtyOutOfRange, |(_, replace)| replace.qty_lots = QtyLots(0)),
        (UnknownOrder, |(_, replace)| replace.orig_cl_ord_id = Text::new("never").unwrap()),
        (TooLate, |(_, replace)| replace.orig_cl_ord_id = Text::new("gone").unwrap()),
        (OrderMismatch, |(_, replace)| replace.side = Side::Sell),
    ];
    let good = (TRADER, definitions::replace("new", "used", Side::Buy, 10, 12));
    check(&good, faults);
    // What an order needs is known only when the order is: its funds are looked at last.
    let faults: &[Fault<ReplaceOrder>] = &[
        (DuplicateClOrdId, |(_, replace)| replace.cl_ord_id = Text::new("full").unwrap()),
        (MarketClosed, |(_, replace)| replace.market = HALTED),
        (OrderMismatch, |(_, replace)| replace.side = Side::Sell),
        (InsufficientFunds, |(_, replace)| replace.qty_lots = QtyLots(100_000)),
    ];
    check(&good, faults);
}

#[test]
fn markets() {
    use RejectReason::*;
    let mut good = definitions::market(4);
    good.symbol = Text::new("NEW").unwrap();
    let faults: &[Fault<DefineMarket>] = &[
        (NotEntitled, |(session, _)| *session = NO_ROLE),
        (ExistsWithDifferent, |(_, market)| market.market = MarketId(1)),
        (FieldOutOfRange, |(_, market)| market.quote = market.base),
        (FieldOutOfRange, |(_, market)| market.symbol = Text::new("M2").unwrap()),
        (FieldOutOfRange, |(_, market)| market.tick_quote_minor = Amount(u128::MAX >> 40)),
        (FieldOutOfRange, |(_, market)| market.taker_fee_ppm = 1_000_001),
        (UnknownAsset, |(_, market)| market.base = AssetId(9)),
        (UnknownAccount, |(_, market)| market.fee_account = AccountId(999)),
        (UnknownAccount, |(_, market)| market.tax_account = AccountId(998)),
        (WrongAccountClass, |(_, market)| market.fee_account = AccountId(102)),
        (WrongAccountClass, |(_, market)| market.tax_account = AccountId(2)),
        (AssetMismatch, |(_, market)| market.fee_account = AccountId(1)),
    ];
    check(&(SessionId::OPERATOR, good), faults);
}

#[test]
fn each_bound_of_a_market_is_refused_by_its_name() {
    let mut world = world();
    type Fault = fn(&mut DefineMarket);
    let faults: &[(&str, Fault)] = &[
        ("lot_base_minor", |market| market.lot_base_minor = Amount(0)),
        ("tick_quote_minor", |market| market.tick_quote_minor = Amount(0)),
        ("price_ticks_min", |market| market.price_ticks_min = PriceTicks(0)),
        ("price_ticks_max", |market| market.price_ticks_min = PriceTicks(market.price_ticks_max.0 + 1)),
        ("qty_lots_min", |market| market.qty_lots_min = QtyLots(0)),
        ("qty_lots_max", |market| market.qty_lots_min = QtyLots(market.qty_lots_max.0 + 1)),
        ("market_qty_lots_max", |market| {
            market.market_qty_lots_max = QtyLots(4);
            market.qty_lots_min = QtyLots(5);
        }),
        ("notional_max", |market| market.notional_min = Amount(market.notional_max.0 + 1)),
        ("client_orders_max", |market| market.client_orders_max = 0),
        ("maker_fee_ppm", |market| market.maker_fee_ppm = 1_000_001),
        ("taker_fee_ppm", |market| market.taker_fee_ppm = 1_000_001),
    ];
    for (field, fault) in faults {
        let mut market = definitions::market(7);
        fault(&mut market);
        let events = world.operator(market);
        let EventBody::Replied(reply) = &events[0].body else { panic!("{field}: {events:?}") };
        assert_eq!(
            (reply.refusal, reply.field.to_string().as_str()),
            (Some(RejectReason::FieldOutOfRange), *field)
        );
    }
    let mut smallest = definitions::market(7);
    (smallest.price_ticks_max, smallest.qty_lots_max) = (smallest.price_ticks_min, smallest.qty_lots_min);
    (smallest.market_qty_lots_max, smallest.notional_max) = (smallest.qty_lots_min, smallest.notional_min);
    (smallest.client_orders_max, smallest.maker_fee_ppm, smallest.taker_fee_ppm) = (1, 1_000_000, 1_000_000);
    world.set_up(smallest);
}

#[test]
fn definitions_that_exist() {
    let mut world = world();
    world.set_up(definitions::account(903, 0, 2, AccountClass::Suspense));
    let mut refusal = |command: Command| {
        let events = world.operator(command);
        let EventBody::Replied(reply) = &events.last().unwrap().body else {
            panic!("no reply among {events:?}")
        };
        assert!(reply.refusal.is_none() || events.len() == 1, "a refusal has no other event");
        reply.refusal.map(|reason| (reason, reply.field.to_string()))
    };
    let exists = Some((RejectReason::Exists, String::new()));
    let differs = |field: &str| Some((RejectReason::ExistsWithDifferent, field.to_owned()));
    assert_eq!(refusal(definitions::asset(1, "A1", 0).into()), exists);
    assert_eq!(refusal(definitions::asset(1, "A1", 2).into()), differs("scale"));
    assert_eq!(refusal(definitions::market(2).into()), exists);
    assert_eq!(refusal(DefineMarket { base: AssetId(3), ..definitions::market(2) }.into()), differs("base"));
    assert_eq!(refusal(DefineMarket { maker_fee_ppm: 5, ..definitions::market(2) }.into()), None);
    let out_of_range = |field: &str| Some((RejectReason::FieldOutOfRange, field.to_owned()));
    let taxed = DefineMarket { tax_account: AccountId(903), ..definitions::market(2) };
    assert_eq!(refusal(taxed.clone().into()), None);
    assert_eq!(refusal(definitions::market(2).into()), out_of_range("tax_account"));
    let tier = FeeTier { volume_min: Amount(0), maker_ppm: 1_500, maker_is_paid: true, taker_ppm: 1_500 };
    let (market, fee_group, effective_seq) = (MarketId(2), FeeGroupId(0), Seq(0));
    let rebate = SetFeeSchedule { market, fee_group, effective_seq, tiers: vec![tier], tax_ppm: 0 };
    assert_eq!(refusal(rebate.into()), None);
    assert_eq!(
        refusal(DefineMarket { taker_fee_ppm: 1_499, ..taxed.clone() }.into()),
        out_of_range("taker_fee_ppm")
    );
    assert_eq!(refusal(DefineMarket { taker_fee_ppm: 1_500, ..taxed }.into()), None);
    assert_eq!(refusal(DefineActor { actor: ActorId(2), roles: 0 }.into()), exists);
    assert_eq!(refusal(DefineActor { actor: ActorId(2), roles: roles::CASHIER }.into()), None);
    let key = Some(PrivateKey::from_seed(&[1; 32]).public());
    let unknown = Some((RejectReason::UnknownActor, String::new()));
    assert_eq!(refusal(SetActorKey { actor: ActorId(99), key }.into()), unknown);
    assert_eq!(refusal(SetActorKey { actor: ActorId(2), key }.into()), None);
    assert_eq!(refusal(SetActorKey { actor: ActorId(2), key }.into()), exists);
    assert_eq!(refusal(SetActorKey { actor: ActorId(2), key: None }.into()), None);
    let session = definitions::session(20, SessionProtocol::Fix, 100);
    assert_eq!(refusal(session.clone().into()), None);
    assert_eq!(refusal(session.clone().into()), exists);
    let other = DefineSession { our_comp_id: Text::new("OTHER").unwrap(), ..session.clone() };
    assert_eq!(refusal(other.into()), differs("our_comp_id"));
    assert_eq!(refusal(DefineSession { reset_on_logon: false, ..session }.into()), None);
    let lockout = DefineActor { actor: definitions::OPERATOR_ACTOR, roles: 0 };
    assert_eq!(refusal(lockout.into()), Some((RejectReason::FieldOutOfRange, "roles".to_owned())));
}

#[test]
fn genesis_comes_once_and_nothing_before_it() {
    let mut world = World::new();
    let reason = |events: Vec<protocol::event::Event>| {
        let [only] = &events[..] else { panic!("one event and not {events:?}") };
        if let EventBody::Dropped(dropped) = &only.body { Some(dropped.reason) } else { None }
    };
    let early = world.submit(SessionId::OPERATOR, 0, 1, definitions::asset(1, "A1", 0));
    assert_eq!(reason(early), Some(RejectReason::UnknownSession));
    assert_eq!(reason(world.system(definitions::genesis())), None);
    assert_eq!(reason(world.system(definitions::genesis())), Some(RejectReason::Exists));
    let mut other = definitions::genesis();
    other.demo = true;
    assert_eq!(reason(world.system(other)), Some(RejectReason::ExistsWithDifferent));
    assert_eq!(reason(world.system(definitions::asset(1, "A1", 0))), Some(RejectReason::WrongSessionKind));
}

#[test]
fn a_decision_to_pass_over_a_record_counts_if_every_signature_does() {
    let (one, two) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
    let mut world = World::new();
    let decided = |signers: &[(u32, &PrivateKey)]| {
        let mut skip = Skip::new(Seq(9), Hash([3; 32]), Text::new("case 17").unwrap());
        for &(actor, key) in signers {
            skip.sign(definitions::genesis().cluster, ActorId(actor), key);
        }
        skip
    };
    let operator = definitions::OPERATOR_ACTOR;
    let by_operator = decided(&[(operator.0, &one)]);
    assert_eq!(world.engine.may_skip(&by_operator), Err(SkipRefusal::NoCluster));
    world.system(definitions::genesis());
    assert_eq!(world.engine.may_skip(&by_operator), Err(SkipRefusal::NoKey(operator)));
    world.set_up(SetActorKey { actor: operator, key: Some(one.public()) });
    assert_eq!(world.engine.may_skip(&by_operator), Ok(()));
    let both = decided(&[(operator.0, &one), (2, &two)]);
    world.set_up(DefineActor { actor: ActorId(2), roles: roles::CASHIER });
    world.set_up(SetActorKey { actor: ActorId(2), key: Some(two.public()) });
    assert_eq!(world.engine.may_skip(&both), Err(SkipRefusal::NotEntitled(ActorId(2))));
    world.set_up(DefineActor { actor: ActorId(2), roles: roles::ADMIN });
    assert_eq!(world.engine.may_skip(&both), Ok(()));
    let twice = decided(&[(2, &two), (2, &two)]);
    assert_eq!(world.engine.may_skip(&twice), Err(SkipRefusal::SignedTwice(ActorId(2))));
    let swapped = decided(&[(operator.0, &two)]);
    assert_eq!(world.engine.may_skip(&swapped), Err(SkipRefusal::NotSigned(operator)));
    world.set_up(SetActorKey { actor: operator, key: None });
    assert_eq!(world.engine.may_skip(&by_operator), Err(SkipRefusal::NoKey(operator)), "a key taken back");
}

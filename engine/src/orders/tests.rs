//! What stands between markets, orders, lists, fees and trades is broken on purpose in every way that their checks speak of, and they find it.

use protocol::commands::{
    BustTrade, ClOrdId, NewOrderList, ReplaceOrder, SetFeeGroup, SetFeeSchedule, SetMarketMakerProtection,
    SetMarketSchedule, SetTradeGroup,
};
use protocol::event::Event;
use protocol::events::Settled;
use protocol::limits::{
    BUSTED_TRADES_MAX, FEE_GROUP_CLIENTS_MAX, MARKETS_MAX, ORDER_LISTS_MAX, TRADE_GROUP_CLIENTS_MAX,
};
use protocol::record::{Record, RecordHeader};
use protocol::rows::{FeeTier, ScheduledPhase};
use protocol::terms::{OrderTerms, Peg, Trail, Trigger};
use protocol::{
    AccountId, Amount, Command, Contingency, EventBody, FeeGroupId, ListRelease, MarketId, MarketPhase,
    OrderListId, PegTo, PhaseCause, PostOnly, RequestNumber, SelfTradePrevention, Seq, SessionId, Text,
    TradeGroupId, TradeId, TrailBy, TriggerDirection, TriggerPriceType, UnixNanos,
};

use super::*;
use crate::matching::triggers::{Armed, TRAILING_PER_MARKET_MAX};
use crate::matching::{Book, BookLimits, Slot};
use crate::rows::NO_ROW;

/// A small exchange with two markets, in which client 200 may trade by this session.
const SNAPSHOT: &str = include_str!("../../tests/golden/snapshot_v1.hex");
const BOB: SessionId = SessionId(17);
const MARKET: MarketId = MarketId(1);
const LISTS: Broken = Broken::Index { what: "lists of orders" };
const FEES: Broken = Broken::Index { what: "fees" };

fn played(engine: &mut Engine, session: SessionId, command: impl Into<Command>) -> Vec<Event> {
    let request = engine.next_request(session).unwrap();
    let header = RecordHeader { session, request: RequestNumber(request), ..RecordHeader::default() };
    let mut bytes = Vec::new();
    header.write(&command.into(), &mut bytes).unwrap();
    let (seq, time) = (engine.seq_applied().next(), engine.time.plus(1_000));
    let mut events = Vec::new();
    engine.apply(seq, time, &Record::read(&bytes).unwrap(), &mut events).unwrap();
    events
}

fn submit(engine: &mut Engine, session: SessionId, command: impl Into<Command>) -> Option<RejectReason> {
    let events = played(engine, session, command);
    let refused = |event: &Event| {
        let EventBody::Replied(reply) = &event.body else { return None };
        Some(reply.refusal)
    };
    events.iter().find_map(refused).unwrap()
}

fn order(cl_ord_id: &str, side: Side, price: u64) -> NewOrder {
    NewOrder::limit(Text::new(cl_ord_id).unwrap(), MARKET, side, PriceTicks(price), QtyLots(2))
}

fn list(name: &str, contingency: Contingency, orders: Vec<NewOrder>) -> NewOrderList {
    let cl_list_id = Text::new(name).unwrap();
    NewOrderList { cl_list_id, contingency, release: ListRelease::Filled, orders }
}

fn fee_group(client: u64, group: u16) -> SetFeeGroup {
    SetFeeGroup { client: ClientId(client), fee_group: FeeGroupId(group) }
}

/// With a list of two that cancel each other, one of which a second waits for, and a schedule of fees.
fn engine() -> Engine {
    let digits: Vec<u8> = SNAPSHOT.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |digits: &[u8]| u8::from_str_radix(core::str::from_utf8(digits).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    let mut engine = Engine::restore(&bytes).unwrap();
    let stop = Trigger {
        price_ticks: PriceTicks(80),
        price_type: TriggerPriceType::Last,
        direction: TriggerDirection::Down,
    };
    let stop = OrderTerms { trigger: Some(stop), ..OrderTerms::default() };
    let one = order("o1", Side::Sell, 130);
    let other = NewOrder { terms: stop.into(), ..order("o2", Side::Sell, 79) };
    let (first, second) = (order("t1", Side::Buy, 70), order("t2", Side::Sell, 140));
    for (name, contingency, orders) in [
        ("cancels", Contingency::OneCancelsOther, vec![one, other]),
        ("triggers", Contingency::OneTriggersOther, vec![first, second]),
    ] {
        assert_eq!(submit(&mut engine, BOB, list(name, contingency, orders)), None);
    }
    let fees = schedule(1, &[(0, 100, false, 300)], 0);
    assert_eq!(submit(&mut engine, SessionId::OPERATOR, fees), None);
    assert_eq!(submit(&mut engine, SessionId::OPERATOR, fee_group(200, 1)), None);
    assert_eq!((engine.lists.by_id.len(), engine.fee_schedules()), (2, 1));
    assert_eq!(engine.check_invariants(), Ok(()));
    engine
}

impl Engine {
    fn fee_schedules(&self) -> usize {
        self.markets.rows.iter().map(|market| market.schedules.len()).sum()
    }
}

/// Tiers: from how much, the resting side's rate and whether it is paid, the incoming side's.
fn schedule(group: u16, tiers: &[(u128, u32, bool, u32)], tax_ppm: u32) -> SetFeeSchedule {
    let tiers = tiers.iter().map(|&(volume_min, maker_ppm, maker_is_paid, taker_ppm)| FeeTier {
        volume_min: Amount(volume_min),
        maker_ppm,
        maker_is_paid,
        taker_ppm,
    });
    SetFeeSchedule {
        market: MARKET,
        fee_group: FeeGroupId(group),
        effective_seq: Seq::ZERO,
        tiers: tiers.collect(),
        tax_ppm,
    }
}

/// What the checks say of a state that was broken so.
fn found(break_it: impl FnOnce(&mut Engine)) -> Result<(), Broken> {
    let mut engine = engine();
    break_it(&mut engine);
    engine.check_invariants().map_err(|broken| broken.what)
}

/// The list of a contingency: its id, and the place of its last leg.
fn last_leg(engine: &Engine, contingency: Contingency) -> (OrderListId, Place) {
    let (id, list) = engine.lists.by_id.iter().find(|(_, list)| list.contingency == contingency).unwrap();
    (*id, engine.markets.place(list.market, list.legs.last().unwrap().order).unwrap())
}

/// What the checks of lists say where the last leg of a list was changed so.
fn found_of_leg(
    contingency: Contingency,
    break_it: impl FnOnce(&mut lists::OrderList, &mut Order),
) -> Result<(), Broken> {
    let mut engine = engine();
    let (id, place) = last_leg(&engine, contingency);
    let order = engine.markets.rows.at_mut(place.market).entry_mut(place).as_mut().unwrap();
    break_it(engine.lists.by_id.get_mut(&id).unwrap(), order);
    engine.check_lists()
}

#[test]
fn lists_and_orders_that_do_not_agree_are_found() {
    let (pair, waiting) = (Contingency::OneCancelsOther, Contingency::OneTriggersOther);
    let of_another = found_of_leg(pair, |_, order| {
        order.terms.as_mut().unwrap().list = Some(OrderListId(1));
    });
    assert_eq!(of_another, Err(LISTS));
    let renamed = found_of_leg(pair, |list, _| list.cl_list_id = Text::new("another").unwrap());
    assert_eq!(renamed, Err(LISTS), "nobody finds it by this name");
    let of_none = found_of_leg(pair, |_, order| order.terms.as_mut().unwrap().list = None);
    assert_eq!(of_none, Err(LISTS));
    assert_eq!(found_of_leg(pair, |_, order| order.held += 3), Err(LISTS), "more than it may need");
    assert_eq!(found_of_leg(pair, |list, order| list.legs.last_mut().unwrap().reserve = order.held), Ok(()));
    let holds = found_of_leg(waiting, |list, order| {
        (order.held, list.legs.last_mut().unwrap().reserve) = (1, 1);
    });
    assert_eq!(holds, Err(LISTS), "what waits holds nothing");
    assert_eq!(found_of_leg(waiting, |list, _| list.is_released = true), Ok(()), "it enters next");
    let has_traded = found_of_leg(waiting, |list, order| (list.is_released, order.cum) = (true, 1));
    assert_eq!(has_traded, Err(LISTS));
    let ended = found_of_leg(waiting, |list, _| {
        let ended = lists::Ended { status: OrderStatus::Filled, qty: 1, cum: 1, cum_ticks_lots: 1 };
        list.legs.last_mut().unwrap().ended = Some(ended);
    });
    assert_eq!(ended, Err(LISTS), "an order lives that its list knows as ended");
    assert_eq!(found(|engine| engine.lists.due.push_back(OrderListId(engine.seq.0))), Ok(()));
    assert_eq!(found(|engine| engine.lists.due.push_back(OrderListId(engine.seq.0 + 1))), Err(LISTS));
    let unknown = found(|engine| {
        let later = OrderListId(engine.seq.0 + 1);
        engine.lists.releasing.entry(MARKET).or_default().push_back(later);
    });
    assert_eq!(unknown, Err(LISTS));
    assert_eq!(found(|engine| engine.lists.by_id.clear()), Err(LISTS));
}

#[test]
fn quotes_that_are_not_such_as_can_be_quoted_are_found() {
    let spoiled = |spoil: fn(&mut Order)| {
        found(|engine| {
            let (&(_, desk, ..), &order) = engine.markets.quotes.first_key_value().unwrap();
            let market = engine.markets.desks.at(desk).market;
            let place = engine.markets.place(market, order).unwrap();
            spoil(engine.markets.rows.at_mut(market).entry_mut(place).as_mut().unwrap());
        })
    };
    assert_eq!(spoiled(|_| {}), Ok(()));
    let spoils: [fn(&mut Order); 6] = [
        |order| order.time_in_force = TimeInForce::Day,
        |order| order.terms.as_mut().unwrap().list = Some(OrderListId(1)),
        |order| order.terms.as_mut().unwrap().waits = true,
        |order| order.terms.as_mut().unwrap().cap = Some(PriceTicks(order.price)),
        |order| order.terms.as_mut().unwrap().said.display_lots = QtyLots(1),
        |order| order.terms.as_mut().unwrap().quote = Some(99),
    ];
    for (at, spoil) in spoils.into_iter().enumerate() {
        assert!(matches!(spoiled(spoil), Err(Broken::OrderMismatch { .. })), "{at}");
    }
}

#[test]
fn fees_that_pay_more_than_they_take_and_volumes_out_of_order_are_found() {
    let restored = |schedule: SetFeeSchedule| {
        found(|engine| {
            let row = engine.markets.row(MARKET).unwrap();
            engine.markets.rows.at_mut(row).schedules.restore(schedule);
        })
    };
    assert_eq!(restored(schedule(2, &[(0, 300, true, 300)], 0)), Ok(()));
    assert_eq!(restored(schedule(2, &[(0, 301, true, 400)], 0)), Err(FEES), "above what another group pays");
    assert_eq!(restored(schedule(2, &[(1, 0, false, 400)], 0)), Err(FEES), "not from 0");
    assert_eq!(restored(schedule(2, &[(0, 0, false, 400)], 50_000)), Err(FEES), "no account for a tax");
    let volumes = |days: &[u32]| {
        found(|engine| {
            let desk = engine.markets.desks.numbers().next().unwrap();
            let today = engine.markets.desks.at(desk).day;
            for day in days {
                engine.markets.past.at_mut(desk).close(today - day, 1, today);
            }
        })
    };
    assert_eq!(volumes(&[2, 1]), Ok(()));
    assert_eq!(volumes(&[1, 2]), Err(FEES));
    assert_eq!(volumes(&[1, 1]), Err(FEES), "twice the same day");
    assert_eq!(volumes(&[0]), Err(FEES), "a day that is not over");
    assert_eq!(found(|engine| _ = engine.markets.past.push(Default::default())), Err(FEES));
    let grouped = |client, group| {
        found(|engine| _ = engine.markets.fees.groups.insert(ClientId(client), FeeGroupId(group)))
    };
    assert_eq!(grouped(7, 9), Ok(()));
    assert_eq!(grouped(0, 9), Err(FEES));
    assert_eq!(grouped(7, 0), Err(FEES));
}

#[test]
fn orders_that_end_with_an_auction_or_the_day_are_noted_and_no_others() {
    let phases = Broken::Index { what: "phases" };
    let noted = |time_in_force, order_type, is_armed| {
        found(|engine| {
            let (_, place) = last_leg(engine, Contingency::OneCancelsOther);
            let order = engine.markets.order(place).unwrap().clone();
            let order = Order { time_in_force, order_type, ..order };
            engine.markets.rows.at_mut(place.market).phases.note(&order, is_armed);
        })
    };
    assert_eq!(noted(TimeInForce::Day, OrderType::Limit, true), Err(phases));
    assert_eq!(noted(TimeInForce::AtTheOpening, OrderType::Limit, false), Err(phases));
    assert_eq!(noted(TimeInForce::GoodTillCancel, OrderType::Market, false), Err(phases));
    // These are none of either.
    assert_eq!(noted(TimeInForce::GoodTillCancel, OrderType::Market, true), Ok(()));
    assert_eq!(noted(TimeInForce::GoodTillDate, OrderType::Limit, false), Ok(()));
}

/// With a bid, and an order that follows it two ticks behind: its market's row, and its id.
fn followed_bid(engine: &mut Engine) -> (u32, OrderId) {
    assert_eq!(submit(engine, BOB, order("bid", Side::Buy, 65)), None);
    let peg = Some(Peg { to: PegTo::Primary, offset_ticks: 2 });
    let terms = OrderTerms { peg, ..OrderTerms::default() };
    assert_eq!(submit(engine, BOB, NewOrder { terms: terms.into(), ..order("peg", Side::Buy, 80) }), None);
    assert_eq!(engine.check_invariants(), Ok(()));
    (engine.markets.row(MARKET).unwrap(), OrderId(engine.seq.0))
}

/// What the checks say where a pegged order, and what its market knows of it, was changed so.
fn found_of_peg(break_it: impl FnOnce(&mut Engine, u32, Order)) -> Result<(), Broken> {
    found(|engine| {
        let (row, order) = followed_bid(engine);
        let order = engine.markets.order(engine.markets.place(row, order).unwrap()).unwrap().clone();
        break_it(engine, row, order);
    })
}

/// Lets an order stand one tick lower.
fn lower(engine: &mut Engine, row: u32, order: &Order) {
    let place = engine.markets.place(row, order.id).unwrap();
    let Market { book, pegs, orders, .. } = engine.markets.rows.at_mut(row);
    let price = order.price.saturating_sub(1);
    book.relocate(Slot(place.slot), PriceTicks(price), QtyLots(order.leaves())).unwrap();
    let order = orders.at_mut(place.slot).as_mut().unwrap();
    order.price = price;
    pegs.note(order);
}

#[test]
fn pegged_orders_that_stand_elsewhere_or_are_not_noted_are_found() {
    let pegged = Err(Broken::Index { what: "pegged orders" });
    let lowered = found_of_peg(|engine, row, order| lower(engine, row, &order));
    assert_eq!(lowered, pegged, "it has to follow");
    let lowered_in_a_halt = found_of_peg(|engine, row, order| {
        lower(engine, row, &order);
        engine.markets.rows.at_mut(row).phase = MarketPhase::Halt;
    });
    assert_eq!(lowered_in_a_halt, Ok(()), "nobody moves it now");
    let lowered_in_a_round = found_of_peg(|engine, row, order| {
        lower(engine, row, &order);
        let round = pegs::Round { from: 0, again: false };
        engine.markets.rows.at_mut(row).pegs.round = Some(round);
        engine.markets.pegging.insert(MARKET);
    });
    assert_eq!(lowered_in_a_round, Ok(()), "it moves next");
    let forgotten = found_of_peg(|engine, row, order| engine.markets.rows.at_mut(row).pegs.forget(&order));
    assert_eq!(forgotten, pegged);
    let of_nobody = found_of_peg(|engine, row, order| {
        let nobodys = Order { id: OrderId::nth(Seq(1), 0), ..order };
        engine.markets.rows.at_mut(row).pegs.note(&nobodys);
    });
    assert_eq!(of_nobody, pegged);
    let unseen = found_of_peg(|engine, row, _| {
        let Market { pegs, .. } = engine.markets.rows.at_mut(row);
        pegs.begin(&Book::new(BookLimits::default()), None);
    });
    assert_eq!(unseen, pegged, "these are not the prices of its book");
}

#[test]
fn a_market_looks_at_its_pegged_orders_when_it_trades_again() {
    let mut engine = engine();
    let (row, _) = followed_bid(&mut engine);
    for (phase, looks) in [(MarketPhase::Halt, false), (MarketPhase::Trading, true)] {
        let (seq, time, mut events) = (engine.seq, engine.time, Vec::new());
        let mut effects = Effects::new(seq, time, &mut events);
        engine.go_to(row, phase, PhaseCause::Command, &mut effects).unwrap();
        assert_eq!(engine.markets.pegging.contains(&MARKET), looks, "{phase:?}");
    }
}

#[test]
fn busts_of_trades_that_nobody_made_are_found() {
    let busted = Broken::Index { what: "busted trades" };
    assert_eq!(found(|engine| _ = engine.busted.insert(TradeId(engine.trades))), Ok(()));
    assert_eq!(found(|engine| _ = engine.busted.insert(TradeId(engine.trades + 1))), Err(busted));
    assert_eq!(found(|engine| _ = engine.busted.insert(TradeId(0))), Err(busted));
}

#[test]
fn full_tables_refuse_what_is_new() {
    let full = Some(RejectReason::TableFull);
    let clients = |count: usize| (1_000..).take(count).map(ClientId);
    let mut engine = engine();
    engine
        .markets
        .fees
        .groups
        .extend(clients(FEE_GROUP_CLIENTS_MAX - 2).map(|client| (client, FeeGroupId(2))));
    let group =
        |engine: &mut Engine, client, group| submit(engine, SessionId::OPERATOR, fee_group(client, group));
    assert_eq!(group(&mut engine, 7, 1), None);
    assert_eq!(group(&mut engine, 8, 1), full);
    assert_eq!(group(&mut engine, 7, 2), None, "it has a place");
    assert_eq!(group(&mut engine, 8, 0), Some(RejectReason::Exists));
    assert_eq!(group(&mut engine, 7, 0), None);
    assert_eq!(group(&mut engine, 8, 1), None);
    engine.markets.fees.groups.clear();

    engine
        .markets
        .trade_groups
        .extend(clients(TRADE_GROUP_CLIENTS_MAX - 1).map(|client| (client, TradeGroupId(2))));
    let group = |engine: &mut Engine, client, group| {
        let command = SetTradeGroup { client: ClientId(client), trade_group: TradeGroupId(group) };
        submit(engine, SessionId::OPERATOR, command)
    };
    assert_eq!(group(&mut engine, 0, 1), Some(RejectReason::FieldOutOfRange));
    assert_eq!(group(&mut engine, 7, 1), None);
    assert_eq!(group(&mut engine, 8, 1), full);
    assert_eq!(group(&mut engine, 7, 2), None, "it has a place");
    engine.markets.trade_groups.clear();

    let definition = engine.markets.rows.at(0).definition.clone();
    let market = |id: u32| DefineMarket {
        market: MarketId(id),
        symbol: Text::new(format!("S{id}")).unwrap(),
        ..definition.clone()
    };
    let fee_account = engine.markets.rows.at(0).fee_account;
    while engine.markets.rows.len() < MARKETS_MAX - 1 {
        let id = u32::try_from(engine.markets.rows.len()).unwrap() + 100;
        engine.markets.add(market(id), MarketPhase::Trading, fee_account, NO_ROW);
    }
    assert_eq!(submit(&mut engine, SessionId::OPERATOR, market(9_000)), None);
    assert_eq!(submit(&mut engine, SessionId::OPERATOR, market(9_001)), full);
    let again = DefineMarket { client_orders_max: 5, ..market(9_000) };
    assert_eq!(submit(&mut engine, SessionId::OPERATOR, again), None, "it has a place");
}

#[test]
fn no_more_trades_are_changed_and_no_more_lists_live_than_there_may_be() {
    let mut engine = engine();
    let last = engine.trades;
    let bust = |engine: &mut Engine| {
        // What is asked next is whether its market is known.
        let settled = Settled { trade: TradeId(last), market: MarketId(77), ..no_trade() };
        let none = AccountId(0);
        let command = BustTrade { settled, base_receivable: none, quote_receivable: none, reason: 1 };
        let (seq, time, mut events) = (engine.seq, engine.time, Vec::new());
        match engine.bust_trade(&command, &mut Effects::new(seq, time, &mut events)) {
            Err(Stop::Refused(refusal)) => refusal.reason,
            outcome => panic!("{outcome:?}"),
        }
    };
    engine.busted.extend((last + 1..).take(BUSTED_TRADES_MAX - 1).map(TradeId));
    assert_eq!(bust(&mut engine), RejectReason::UnknownMarket);
    engine.busted.insert(TradeId(0));
    assert_eq!(bust(&mut engine), RejectReason::TableFull);
    engine.busted.clear();

    let unsupported = |engine: &mut Engine, name: &str| {
        let elsewhere = NewOrder { market: MarketId(2), ..order("b", Side::Buy, 60) };
        let orders = vec![order("a", Side::Buy, 60), elsewhere];
        submit(engine, BOB, list(name, Contingency::OneTriggersOther, orders))
    };
    let (_, one) = engine.lists.by_id.first_key_value().unwrap();
    let one = lists::OrderList { legs: Vec::new(), ..one.clone() };
    let known = engine.lists.by_id.len();
    engine
        .lists
        .by_id
        .extend((1 << 40..).take(ORDER_LISTS_MAX - 1 - known).map(|id| (OrderListId(id), one.clone())));
    assert_eq!(unsupported(&mut engine, "fits"), Some(RejectReason::UnsupportedOrder));
    engine.lists.by_id.insert(OrderListId(1), one);
    assert_eq!(unsupported(&mut engine, "full"), Some(RejectReason::TableFull));
}

#[test]
fn a_book_and_its_trailing_orders_are_bounded() {
    let mut engine = engine();
    let row = engine.markets.row(MARKET).unwrap();
    let trailing = |name: &str| {
        let trigger = Trigger {
            price_ticks: PriceTicks(0),
            price_type: TriggerPriceType::Last,
            direction: TriggerDirection::Down,
        };
        let trail = Trail { by: TrailBy::Ticks, offset: 5 };
        let terms = OrderTerms { trigger: Some(trigger), trail: Some(trail), ..OrderTerms::default() };
        NewOrder { terms: terms.into(), ..order(name, Side::Sell, 60) }
    };
    for count in 1..TRAILING_PER_MARKET_MAX {
        let said = trailing("").terms.get().copied().unwrap();
        let order = OrderId(1 << 50 | u64::try_from(count).unwrap());
        let (trigger, trail) = (said.trigger.unwrap(), said.trail);
        let armed = Armed { order, side: Side::Sell, trigger, trail, extreme: None };
        engine.markets.rows.at_mut(row).armed.triggers.arm(armed).unwrap();
    }
    assert_eq!(submit(&mut engine, BOB, trailing("last")), None);
    assert_eq!(submit(&mut engine, BOB, trailing("more")), Some(RejectReason::TooManyStops));
    let fixed = OrderTerms { trail: None, ..trailing("").terms.get().copied().unwrap() };
    let trigger = Trigger { price_ticks: PriceTicks(61), ..fixed.trigger.unwrap() };
    let fixed = OrderTerms { trigger: Some(trigger), ..fixed };
    let fixed = NewOrder { terms: fixed.into(), ..order("fixed", Side::Sell, 60) };
    assert_eq!(submit(&mut engine, BOB, fixed), None, "it trails nothing");

    let book = &mut engine.markets.rows.at_mut(row).book;
    for id in (1 << 51..).take(BOOK_ORDERS_MAX - 1 - book.len()) {
        book.insert(OrderId(id), Side::Sell, PriceTicks(500), QtyLots(1)).unwrap();
    }
    assert_eq!(submit(&mut engine, BOB, order("fits", Side::Sell, 501)), None);
    assert_eq!(submit(&mut engine, BOB, order("full", Side::Sell, 501)), Some(RejectReason::BookFull));
}

fn no_trade() -> Settled {
    Settled {
        trade: TradeId(0),
        market: MARKET,
        price_ticks: PriceTicks(1),
        qty_lots: QtyLots(1),
        notional: Amount(1),
        maker_order: OrderId(0),
        taker_order: OrderId(0),
        taker_side: Side::Buy,
        buyer: ClientId(200),
        seller: ClientId(200),
        buyer_fee: Amount::ZERO,
        seller_fee: Amount::ZERO,
        buyer_tax: Amount::ZERO,
        seller_tax: Amount::ZERO,
        maker_is_paid: false,
    }
}

#[test]
fn a_session_that_has_used_all_its_ids_is_still_told_of_those_that_it_used() {
    let mut engine = engine();
    let (row, seed) = (engine.sessions.row(BOB).unwrap(), engine.sessions.hash_seed);
    let ids = &mut engine.sessions.rows.at_mut(row).ids;
    for number in 0_u32.. {
        let id = Text::new(format!("n{number:07}")).unwrap();
        ids.remember(ids.look(&id, seed), &id, OrderId(1), MARKET);
        if ids.is_full() {
            break;
        }
    }
    let refused = |engine: &mut Engine, name| submit(engine, BOB, order(name, Side::Buy, 60));
    assert_eq!(refused(&mut engine, "new"), Some(RejectReason::TableFull));
    assert_eq!(refused(&mut engine, "n0000001"), Some(RejectReason::DuplicateClOrdId));
}

#[test]
fn reports_say_nothing_of_what_prevents_self_trades() {
    let mut engine = engine();
    let said = |engine: &mut Engine, name, price| {
        let prevention = Some(SelfTradePrevention::ExpireTaker);
        let terms = OrderTerms {
            self_trade_prevention: prevention,
            post_only: Some(PostOnly::Reject),
            ..OrderTerms::default()
        };
        let command = NewOrder { terms: terms.into(), ..order(name, Side::Buy, price) };
        let report = |event: Event| {
            let EventBody::ExecutionReport(report) = event.body else { return None };
            Some((report.exec_type, report.details.get().copied()?.terms))
        };
        played(engine, BOB, command).into_iter().find_map(report).unwrap()
    };
    let terms = OrderTerms { post_only: Some(PostOnly::Reject), ..OrderTerms::default() };
    assert_eq!(said(&mut engine, "taken", 60), (ExecType::New, terms));
    assert_eq!(said(&mut engine, "refused", 0), (ExecType::Rejected, terms));
}

#[test]
fn an_order_is_taken_until_its_time_and_dated_after_it() {
    let at = |time, terms: OrderTerms| {
        let is_dated = terms.expires_at_ns > 0;
        let time_in_force = if is_dated { TimeInForce::GoodTillDate } else { TimeInForce::GoodTillCancel };
        let order = NewOrder { terms: terms.into(), time_in_force, ..order("a", Side::Buy, 60) };
        terms::check(&order, UnixNanos(time)).is_ok()
    };
    let valid = OrderTerms { valid_until_ns: 100, ..OrderTerms::default() };
    assert_eq!([99, 100, 101].map(|time| at(time, valid)), [true, true, false]);
    let dated = OrderTerms { expires_at_ns: 100, ..OrderTerms::default() };
    assert_eq!([98, 99, 100].map(|time| at(time, dated)), [true, true, false]);

    let engine = engine();
    let (_, place) = last_leg(&engine, Contingency::OneTriggersOther);
    let time_in_force = TimeInForce::GoodTillDate;
    let order = Order { time_in_force, ..engine.markets.order(place).unwrap().clone() };
    let replaced = |time, said: OrderTerms| terms::amended(&order, &said, UnixNanos(time)).is_ok();
    assert_eq!([99, 100, 101].map(|time| replaced(time, valid)), [true, true, false]);
    assert_eq!([98, 99, 100].map(|time| replaced(time, dated)), [true, true, false]);
}

#[test]
fn the_end_that_a_replacement_says_is_that_of_its_terms() {
    let ends = |time_in_force, expires_at_ns, expires_later_ns| {
        let mut engine = engine();
        let terms = OrderTerms { expires_at_ns, post_only: Some(PostOnly::Reject), ..OrderTerms::default() };
        let one = NewOrder { terms: terms.into(), time_in_force, ..order("one", Side::Buy, 60) };
        assert_eq!(submit(&mut engine, BOB, one), None);
        let (row, id) = (engine.markets.row(MARKET).unwrap(), OrderId(engine.seq.0));
        let replace = ReplaceOrder {
            cl_ord_id: Text::new("two").unwrap(),
            orig_cl_ord_id: Text::new("one").unwrap(),
            order: None,
            market: MARKET,
            side: Side::Buy,
            price_ticks: PriceTicks(61),
            qty_lots: QtyLots(2),
            poss_resend: false,
            terms: OrderTerms { expires_at_ns: expires_later_ns, ..terms }.into(),
        };
        assert_eq!(submit(&mut engine, BOB, replace), None);
        let order = engine.markets.order(engine.markets.place(row, id).unwrap()).unwrap();
        (order.terms.as_ref().unwrap().said.expires_at_ns, order.expires_at().is_some())
    };
    let (one, later) = (u64::MAX - 1, u64::MAX);
    assert_eq!(ends(TimeInForce::GoodTillDate, one, later), (later, true));
    assert_eq!(ends(TimeInForce::GoodTillDate, one, 0), (one, true), "as before");
    assert_eq!(ends(TimeInForce::Day, 0, 0), (0, true), "its end is no term of it");
}

#[test]
fn a_schedule_that_closes_no_more_ends_the_day_of_orders_that_there_are() {
    let changes = |has_order: bool| {
        let mut engine = engine();
        let closes = ScheduledPhase { days: 0x7F, at_ms: 1, phase: MarketPhase::Closed };
        let schedule = |entries| SetMarketSchedule { entries, ..SetMarketSchedule::none(MARKET) };
        assert_eq!(submit(&mut engine, SessionId::OPERATOR, schedule(vec![closes])), None);
        if has_order {
            let of_the_day = NewOrder { time_in_force: TimeInForce::Day, ..order("day", Side::Buy, 60) };
            assert_eq!(submit(&mut engine, BOB, of_the_day), None);
        }
        assert_eq!(submit(&mut engine, SessionId::OPERATOR, schedule(Vec::new())), None);
        engine.markets.changes.iter().filter(|&&(_, market)| market == MARKET).count()
    };
    assert_eq!((changes(true), changes(false)), (1, 0));
}

#[test]
fn an_auction_that_is_stopped_before_a_pair_has_traded_tells_nothing() {
    let stopped = |trades: u32| {
        let mut engine = engine();
        let row = engine.markets.row(MarketId(2)).unwrap();
        let uncrossing = phases::Uncrossing {
            to: MarketPhase::Trading,
            cause: PhaseCause::Command,
            price: Some(PriceTicks(100)),
            lots: trades.into(),
            trades,
            is_over: false,
        };
        engine.markets.rows.at_mut(row).phases.uncrossing = Some(uncrossing);
        let (seq, time, mut events) = (engine.seq, engine.time, Vec::new());
        let mut effects = Effects::new(seq, time, &mut events);
        engine.go_to(row, MarketPhase::Halt, PhaseCause::Command, &mut effects).unwrap();
        events.iter().filter(|event| matches!(event.body, EventBody::AuctionUncrossed(_))).count()
    };
    assert_eq!((stopped(0), stopped(1)), (0, 1));
}

#[test]
fn who_sets_a_protection_again_is_not_pulled_any_more() {
    let mut engine = engine();
    let row = engine.sessions.row(BOB).unwrap();
    let command = SetMarketMakerProtection {
        request_id: ClOrdId::EMPTY,
        session: None,
        market: MARKET,
        fills_max: 1,
        lots_max: QtyLots(0),
        window_ms: 1,
    };
    let other = (BOB, MarketId(2));
    engine.protections.due.extend([(BOB, MARKET), other]);
    let (seq, time, mut events) = (engine.seq, engine.time, Vec::new());
    let mut effects = Effects::new(seq, time, &mut events);
    engine.set_protection(row, &command, &mut effects).unwrap();
    assert_eq!(engine.protections.due, [other]);
}

#[test]
fn what_a_schedule_takes_the_place_of_is_told() {
    let engine = engine();
    let before = |group, seq| {
        let set = SetFeeSchedule { effective_seq: seq, ..schedule(group, &[], 0) };
        engine.markets.fee_schedule_before(&set, engine.seq).map(|schedule| schedule.tiers)
    };
    let tiers = schedule(1, &[(0, 100, false, 300)], 0).tiers;
    for seq in [Seq::ZERO, engine.seq, engine.seq.next()] {
        assert_eq!((before(1, seq), before(2, seq)), (Some(tiers.clone()), None));
    }
}

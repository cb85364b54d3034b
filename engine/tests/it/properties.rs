//! Random commands: beside the model, and across snapshots. A failing run names its seed; `SEED=n` plays that one alone.

use engine::Engine;
use protocol::commands::*;
use protocol::event::Event;
use protocol::events::MassQuoteAcknowledged;
use protocol::record::{Record, RecordHeader};
use protocol::rows::{FeeTier, QuoteEntry, ScheduledPhase};
use protocol::sign::PublicKey;
use protocol::terms::{OrderTerms, Peg, RareTerms, Trail, Trigger, Twap};
use protocol::{
    AccountClass, AccountId, ActorId, Amount, CancelReplaceMode, ClientId, Contingency, EventBody,
    FeeGroupId, Generation, ListRelease, MarketId, MarketPhase, OrderType, PegTo, PostOnly, PriceTicks,
    QtyLots, ReferencePrice, RejectReason, RequestNumber, SelfTradePrevention, Seq, SessionAction,
    SessionEnd, SessionId, SessionProtocol, Side, Text, TimeInForce, TradeGroupId, TradeId, TrailBy,
    TriggerDirection, TriggerPriceType, UnixNanos,
};

use crate::definitions;
use crate::followed::Followed;
use crate::model::quotes::Quoted;
use crate::model::{FEES, Model, ModelOrder, ModelTrade, TAXES};
use crate::numbers::Numbers;
use crate::reached::Reached;
use crate::world::World;

pub(crate) const CLIENTS: [u64; 3] = [100, 200, 300];
const ASSETS: u32 = 3;
const SEEDS: u64 = 400;
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => {
            let times = std::env::var("SEEDS_TIMES").map_or(1, |times| times.parse().unwrap());
            (0..count * times).collect()
        }
    }
}

fn market(numbers: &mut Numbers, id: u32) -> DefineMarket {
    DefineMarket {
        // Market 1: asset 1 in asset 3; market 2: asset 2 in asset 3.
        base: protocol::AssetId(id),
        quote: protocol::AssetId(ASSETS),
        lot_base_minor: Amount(u128::from(numbers.between(1, 3))),
        tick_quote_minor: Amount(u128::from(numbers.between(1, 5))),
        price_ticks_min: PriceTicks(2),
        price_ticks_max: PriceTicks(30),
        qty_lots_min: QtyLots(2),
        qty_lots_max: QtyLots(60),
        market_qty_lots_max: QtyLots(90),
        notional_min: Amount(20),
        notional_max: Amount(5_000),
        client_orders_max: 12,
        maker_fee_ppm: u32::try_from(numbers.below(30_000)).unwrap(),
        taker_fee_ppm: u32::try_from(numbers.below(30_000)).unwrap(),
        fee_account: AccountId(u128::from(ASSETS) * 10 + 2),
        tax_account: AccountId(if numbers.chance(70) { u128::from(ASSETS) * 10 + 3 } else { 0 }),
        ..definitions::market(id)
    }
}

/// Lines of the account that takes the fees: small, and one of them for minutes, so that rebates meet their ends.
fn overdraft_of_fees(numbers: &mut Numbers, now: u64) -> SetOverdraft {
    let temporary = u128::from(numbers.below(20));
    SetOverdraft {
        account: AccountId(u128::from(ASSETS) * 10 + 2),
        agreed: Amount(u128::from(numbers.between(1, 20))),
        temporary: Amount(temporary),
        temporary_until_ns: if temporary > 0 { now + numbers.between(1, 600) * 1_000_000_000 } else { 0 },
        interest_code: 0,
    }
}

pub(crate) fn session_of(client: u64) -> SessionId {
    SessionId(15 + u32::try_from(client / 100).unwrap())
}

/// Assets, accounts, markets and funded clients with one session each.
pub(crate) fn funded(numbers: &mut Numbers, protocol: SessionProtocol, model: &mut Model) -> World {
    let mut world = World::with_genesis();
    for asset in 1..=ASSETS {
        world.set_up(definitions::asset(asset, &format!("A{asset}"), 0));
        world.set_up(definitions::account(u128::from(asset) * 10 + 1, 0, asset, AccountClass::External));
        world.set_up(definitions::account(u128::from(asset) * 10 + 2, 0, asset, AccountClass::Fee));
        world.set_up(definitions::account(u128::from(asset) * 10 + 3, 0, asset, AccountClass::Suspense));
        model.balances.insert((FEES, asset), 0);
        model.balances.insert((TAXES, asset), 0);
        for client in CLIENTS {
            let account = u128::from(client) + u128::from(asset);
            world.set_up(definitions::account(account, client, asset, AccountClass::Client));
            let amount = u128::from(numbers.between(100, 20_000));
            let outside = u128::from(asset) * 10 + 1;
            world.set_up(definitions::deposit(client + u64::from(asset), outside, account, asset, amount));
            model.balances.insert((client, asset), amount);
        }
    }
    if numbers.chance(50) {
        let lines = overdraft_of_fees(numbers, world.time);
        let (agreed, temporary) = (lines.agreed.0, lines.temporary.0);
        model.fee_lines = Some((ASSETS, agreed, temporary, lines.temporary_until_ns));
        world.set_up(lines);
    }
    for id in 1..=2 {
        let market = market(numbers, id);
        model.markets.insert(id, (market.clone(), MarketPhase::Trading));
        world.set_up(market);
    }
    for client in CLIENTS {
        let session = session_of(client);
        let mut definition = definitions::session(session.0, protocol, client);
        definition.cancel_on_disconnect = *numbers.pick(protocol::CancelOnDisconnect::ALL);
        definition.cancel_window_ms = 2_000;
        world.set_up(definition);
    }
    world
}

fn cl_ord_id(numbers: &mut Numbers, count: u64) -> ClOrdId {
    // Mostly fresh, sometimes one from before.
    let number = if numbers.chance(8) { numbers.below(count + 1) } else { count };
    Text::new(format!("id-{number}")).unwrap()
}

pub(crate) fn random_order(numbers: &mut Numbers, count: u64, now: u64) -> NewOrder {
    let is_limit = numbers.chance(75);
    let price = numbers.between(1, 31);
    let by_budget = numbers.chance(if is_limit { 1 } else { 30 });
    let time_in_force =
        if numbers.chance(60) { TimeInForce::GoodTillCancel } else { *numbers.pick(TimeInForce::ALL) };
    let terms = random_terms(numbers, time_in_force, now);
    NewOrder {
        cl_ord_id: cl_ord_id(numbers, count),
        market: MarketId(if numbers.chance(1) { 9 } else { u32::try_from(numbers.between(1, 2)).unwrap() }),
        side: *numbers.pick(Side::ALL),
        order_type: if is_limit { OrderType::Limit } else { OrderType::Market },
        time_in_force,
        price_ticks: PriceTicks(if is_limit || numbers.chance(30) { price } else { 0 }),
        qty_lots: QtyLots(if by_budget { numbers.below(20) / 19 } else { numbers.between(1, 62) }),
        budget: Amount(if by_budget { u128::from(numbers.below(3_000)) } else { 0 }),
        terms,
        ..definitions::limit("", Side::Buy, 0, 0)
    }
}

/// Mostly none, mostly what goes together; times around now.
fn random_terms(numbers: &mut Numbers, time_in_force: TimeInForce, now: u64) -> RareTerms {
    let soon = |numbers: &mut Numbers| (now + numbers.below(20_000_000_000)).saturating_sub(1_000_000_000);
    let is_dated = (time_in_force == TimeInForce::GoodTillDate) != numbers.chance(3);
    let lasts = is_dated && numbers.chance(40);
    let terms = OrderTerms {
        expires_at_ns: if is_dated && !(lasts && numbers.chance(95)) { soon(numbers) } else { 0 },
        expires_in_s: if lasts { u32::try_from(numbers.between(1, 20)).unwrap() } else { 0 },
        post_only: numbers.chance(12).then(|| *numbers.pick(PostOnly::ALL)),
        min_qty_lots: QtyLots(if numbers.chance(10) { numbers.between(1, 30) } else { 0 }),
        valid_until_ns: if numbers.chance(5) { soon(numbers) } else { 0 },
        display_lots: QtyLots(if numbers.chance(15) { numbers.between(1, 20) } else { 0 }),
        trigger: numbers.chance(15).then(|| random_trigger(numbers)),
        trail: numbers
            .chance(6)
            .then(|| Trail { by: *numbers.pick(TrailBy::ALL), offset: numbers.below(2_000) / 40 }),
        cancel_on_disconnect: numbers.chance(15).then(|| numbers.chance(50)),
        twap: numbers.chance(4).then(|| Twap {
            legs: u16::try_from(numbers.between(1, 8)).unwrap(),
            interval_ms: u32::try_from(numbers.between(900, 4_000)).unwrap(),
        }),
        self_trade_prevention: numbers.chance(25).then(|| *numbers.pick(SelfTradePrevention::ALL)),
        ..OrderTerms::default()
    };
    let (post_only, min_qty_lots, trigger, trail, twap) = (None, QtyLots(0), None, None, None);
    if terms.twap.is_some() && numbers.chance(70) {
        let self_trade_prevention = numbers.chance(70).then(|| *numbers.pick(SelfTradePrevention::ALL));
        let display_lots = QtyLots(0);
        let terms = OrderTerms { post_only, min_qty_lots, display_lots, trigger, trail, ..terms };
        return OrderTerms { self_trade_prevention, ..terms }.into();
    }
    if !numbers.chance(6) {
        return terms.into();
    }
    let offset_ticks = u32::try_from(numbers.below(7)).unwrap();
    let peg = Some(Peg { to: *numbers.pick(PegTo::ALL), offset_ticks });
    if numbers.chance(10) {
        return OrderTerms { peg, ..terms }.into();
    }
    OrderTerms { peg, post_only, min_qty_lots, trigger, trail, twap, ..terms }.into()
}

fn random_trigger(numbers: &mut Numbers) -> Trigger {
    Trigger {
        price_ticks: PriceTicks(numbers.between(0, 31)),
        price_type: if numbers.chance(70) {
            TriggerPriceType::Last
        } else {
            *numbers.pick(TriggerPriceType::ALL)
        },
        direction: *numbers.pick(TriggerDirection::ALL),
    }
}

/// An order to amend: mostly a live one as it is, sometimes wrongly named.
/// What a replacement says of the terms of an order: mostly nothing, else what it has, or not quite.
fn amended_terms(numbers: &mut Numbers, order: &ModelOrder, now: u64) -> RareTerms {
    if numbers.chance(60) {
        return RareTerms::NONE;
    }
    let mut said = order.said();
    if numbers.chance(50)
        && let Some(trigger) = &mut said.trigger
    {
        trigger.price_ticks = PriceTicks(numbers.below(31));
    }
    if numbers.chance(50) && said.expires_at_ns != 0 {
        said.expires_at_ns = now + numbers.below(3_000_000_000);
    }
    if numbers.chance(20) && said.expires_at_ns != 0 {
        said.expires_in_s = u32::try_from(numbers.between(1, 5)).unwrap();
        said.expires_at_ns *= u64::from(numbers.chance(10));
    }
    match numbers.below(20) {
        0 => said.expires_at_ns = now + 1_000_000_000,
        4 => said.expires_in_s = 3,
        1 => said.post_only = Some(*numbers.pick(PostOnly::ALL)),
        2 => said.display_lots = QtyLots(numbers.between(1, 4)),
        3 => said.self_trade_prevention = Some(*numbers.pick(SelfTradePrevention::ALL)),
        _ => {}
    }
    said.into()
}

/// Few of them: those of lists that live are used again, and lists that a client has are found.
fn list_id(number: u64) -> ClOrdId {
    Text::new(format!("list-{number}")).unwrap()
}

fn target(numbers: &mut Numbers, model: &Model, client: u64, count: u64) -> (ClOrdId, MarketId, Side) {
    let live: Vec<_> = model.live.iter().filter(|order| order.client == client).collect();
    if live.is_empty() || numbers.chance(15) {
        let named = Text::new(format!("id-{}", numbers.below(count + 1))).unwrap();
        return (named, MarketId(1), *numbers.pick(Side::ALL));
    }
    let order = numbers.pick(&live);
    let side = if numbers.chance(3) { order.side.opposite() } else { order.side };
    (Text::new(&order.cl_ord_id).unwrap(), MarketId(order.market), side)
}

#[test]
fn random_commands_agree_with_the_model() {
    let mut reached = Reached::default();
    let mut quoted = Quoted::default();
    for seed in seeds(SEEDS) {
        let mut numbers = Numbers(seed);
        let mut model = Model::new();
        let mut world = funded(&mut numbers, SessionProtocol::Request, &mut model);
        // Runs along from snapshots, and must say the same.
        let mut shadow = world.engine.clone();
        let mut followed = Followed::default();
        for count in 0..500 {
            let context = format!("SEED={seed}, command {count}");
            // Half a day, or as many as volumes count.
            let half_days = if numbers.chance(1) { 1 + numbers.below(2) * numbers.below(60) } else { 0 };
            world.wait_ns(half_days * 50_000_000_000_000 + numbers.below(1_000_000_000));
            model.go_on(world.time + 1_000);
            model.seq = world.engine.seq_applied().0 + 1;
            let (session, command, expected) = random_step(&mut numbers, &mut model, &world.engine, count);
            model.fire();
            let (_, request) = world.next_number(session);
            let trades_before = model_trades_before(&model, &world.engine);
            let events = world.submit(session, 0, request, command.clone());
            let shadow_events = apply(&mut shadow, &world, session, 0, request, &command);
            assert_eq!(events, shadow_events, "{context}: {command:?}");
            // What the command's trades fire comes behind its reply.
            let replied = events.iter().rfind(|event| matches!(event.body, EventBody::Replied(_)));
            let Some(EventBody::Replied(reply)) = replied.map(|event| &event.body) else {
                panic!("{context}: no reply among {events:?}")
            };
            assert_eq!(reply.refusal, expected, "{context}: {command:?}");
            reached.see(&events, expected);
            note_quotes(&mut quoted, (&command, &events), &model, &context);
            assert_eq!(trades_of(&events), model.trades[trades_before..], "{context}: {command:?}");
            compare(&model, &world.engine, &context);
            followed.take(&events, &context);
            followed.compare(&world.engine, &context);
            if numbers.chance(5) {
                shadow = restored(&world.engine, &context);
            }
        }
        reached.add(&model);
    }
    reached.check(seeds(SEEDS).len());
    if seeds(SEEDS).len() > 100 {
        assert_quoted(&quoted);
    }
}

/// A random command, already applied to the model, with the refusal that it expects.
fn random_step(
    numbers: &mut Numbers,
    model: &mut Model,
    engine: &Engine,
    count: u64,
) -> (SessionId, Command, Option<RejectReason>) {
    let id = engine.seq_applied().0 + 1;
    let client = *numbers.pick(&CLIENTS);
    let session = session_of(client);
    match numbers.below(100) {
        0..=6 => {
            let list = random_list(numbers, count, model.now);
            let expected = model.new_list(id, client, &list);
            (session, list.into(), expected)
        }
        60..=64 => {
            let quotes = random_quotes(numbers, count);
            let expected = model.mass_quote(id, client, &quotes);
            (session, quotes.into(), expected)
        }
        7..=59 => {
            let order = random_order(numbers, count, model.now);
            let expected = model.new_order(id, client, &order);
            (session, order.into(), expected)
        }
        68 if numbers.chance(40) => {
            let is_set = numbers.chance(70);
            let protect = SetMarketMakerProtection {
                request_id: ClOrdId::EMPTY,
                session: None,
                market: MarketId(u32::try_from(numbers.between(1, 2)).unwrap()),
                fills_max: u32::try_from(if is_set { numbers.between(1, 4) } else { 0 }).unwrap(),
                lots_max: QtyLots(if is_set && numbers.chance(30) { numbers.between(1, 60) } else { 0 }),
                window_ms: u32::try_from(if is_set { numbers.below(20_000) } else { 0 }).unwrap(),
            };
            let expected = model.protect(client, &protect);
            (session, protect.into(), expected)
        }
        68..=79 => {
            let (orig_cl_ord_id, market, side) = target(numbers, model, client, count);
            let cl_ord_id = cl_ord_id(numbers, count);
            let cancel =
                CancelOrder { cl_ord_id, orig_cl_ord_id, order: None, market, side, poss_resend: false };
            let expected = model.cancel(client, &cancel);
            (session, cancel.into(), expected)
        }
        80..=92 => {
            let (orig_cl_ord_id, market, side) = target(numbers, model, client, count);
            let live = model.live.iter().find(|order| orig_cl_ord_id.to_string() == order.cl_ord_id);
            let same_price = live.map_or(5, |order| order.limit());
            let price = if numbers.chance(40) { same_price } else { numbers.between(1, 31) };
            let terms = live.map_or(RareTerms::NONE, |order| amended_terms(numbers, order, model.now));
            let replace = ReplaceOrder {
                cl_ord_id: cl_ord_id(numbers, count),
                orig_cl_ord_id,
                order: None,
                market,
                side,
                price_ticks: PriceTicks(price),
                qty_lots: QtyLots(numbers.between(1, 62)),
                poss_resend: false,
                terms,
            };
            let expected = model.replace(client, &replace);
            (session, replace.into(), expected)
        }
        kind @ 65..=67 => random_exit(numbers, model, (id, client, count), kind),
        kind => operator_step(numbers, model, count, kind),
    }
}

/// Quotes around a price, mostly others for the same few entries; some of them as they were.
fn random_quotes(numbers: &mut Numbers, count: u64) -> MassQuote {
    let market = |numbers: &mut Numbers| {
        MarketId(if numbers.chance(1) { 9 } else { u32::try_from(numbers.between(1, 2)).unwrap() })
    };
    let withdraws_others = numbers.chance(25);
    let entries = (0..numbers.between(u64::from(!withdraws_others), 4)).map(|_| {
        let entry = numbers.between(1, 2);
        let is_usual = numbers.chance(60);
        let (middle, width) =
            if is_usual { (12 + 2 * entry, 2) } else { (numbers.between(12, 18), numbers.between(1, 3)) };
        let mut lots = || QtyLots(if numbers.chance(15) { 0 } else { 6 * numbers.between(1, 4) });
        let (bid_lots, offer_lots) = (lots(), lots());
        let spread = if numbers.chance(95) { 1 } else { 0 };
        QuoteEntry {
            entry: u32::try_from(entry).unwrap(),
            market: market(numbers),
            bid_price_ticks: PriceTicks(middle),
            bid_lots,
            offer_price_ticks: PriceTicks(middle + spread * width),
            offer_lots,
        }
    });
    let mut entries: Vec<QuoteEntry> = entries.collect();
    if numbers.chance(97) {
        let mut names = std::collections::BTreeSet::new();
        entries.retain(|entry| names.insert((entry.market, entry.entry)));
    }
    MassQuote {
        client: numbers.chance(10).then(|| ClientId(*numbers.pick(&CLIENTS))),
        post_only: numbers.chance(20).then(|| *numbers.pick(PostOnly::ALL)),
        self_trade_prevention: numbers.chance(15).then(|| *numbers.pick(SelfTradePrevention::ALL)),
        withdraws_others,
        withdraws_market: (withdraws_others && numbers.chance(50)).then(|| market(numbers)),
        entries,
        ..MassQuote::empty(Text::new(format!("quote-{count}")).unwrap())
    }
}

/// What the session is told of its mass quote.
fn acknowledged(events: &[Event]) -> Quoted {
    let mut told = events.iter().filter_map(|event| {
        let EventBody::MassQuoteAcknowledged(ack) = &event.body else { return None };
        let refused = ack.refused.iter().map(|refused| (refused.entry, refused.market.0, refused.reason));
        let &MassQuoteAcknowledged { entered, kept, withdrawn, .. } = ack;
        Some(Quoted { entered, kept, withdrawn, refused: refused.collect() })
    });
    let first = told.next().unwrap();
    assert_eq!(told.next(), None, "one acknowledgement a command");
    first
}

/// Holds what was told of a mass quote against the model, and sums it up.
fn note_quotes(quoted: &mut Quoted, (command, events): (&Command, &[Event]), model: &Model, context: &str) {
    let Command::MassQuote(_) = command else { return };
    let found = acknowledged(events);
    assert_eq!(found, model.quoted, "{context}: {command:?}");
    quoted.entered += found.entered;
    quoted.kept += found.kept;
    quoted.withdrawn += found.withdrawn;
    quoted.refused.extend(found.refused);
}

fn assert_quoted(quoted: &Quoted) {
    let Quoted { entered, kept, withdrawn, refused } = quoted;
    assert!(*entered > 5_000 && *kept > 300 && *withdrawn > 2_000, "{entered}, {kept}, {withdrawn}");
    for reason in [RejectReason::InvalidSpread, RejectReason::WouldTake, RejectReason::MarketClosed] {
        assert!(refused.iter().any(|refused| refused.2 == reason), "no quote refused: {reason:?}");
    }
}

/// Many cancels, or a cancel with another order.
fn random_exit(
    numbers: &mut Numbers,
    model: &mut Model,
    (id, client, count): (u64, u64, u64),
    kind: u64,
) -> (SessionId, Command, Option<RejectReason>) {
    let session = session_of(client);
    match kind {
        65 if numbers.chance(50) => {
            let named = model.list_of(client).filter(|_| numbers.chance(80));
            let cl_list_id = named.unwrap_or_else(|| list_id(numbers.below(40)));
            if numbers.chance(30) {
                let expected = model.list_status(client, &cl_list_id);
                return (session, RequestListStatus { cl_list_id }.into(), expected);
            }
            let expected = model.cancel_list(client, &cl_list_id);
            (session, CancelList { cl_list_id }.into(), expected)
        }
        65..=66 => {
            let cancel = MassCancel {
                cl_ord_id: cl_ord_id(numbers, count),
                market: numbers.chance(50).then(|| MarketId(u32::try_from(numbers.between(1, 2)).unwrap())),
                side: numbers.chance(70).then(|| *numbers.pick(Side::ALL)),
                client: numbers.chance(20).then(|| ClientId(*numbers.pick(&CLIENTS))),
            };
            let expected = model.mass_cancel(client, &cancel);
            (session, cancel.into(), expected)
        }
        _ => {
            let (orig_cl_ord_id, market, side) = target(numbers, model, client, count);
            let mut order = random_order(numbers, count, model.now);
            order.cl_ord_id =
                Text::new(format!("id-{count}{}", if numbers.chance(5) { "" } else { "n" })).unwrap();
            let cl_ord_id = Text::new(format!("id-{count}")).unwrap();
            let cancel =
                CancelOrder { cl_ord_id, orig_cl_ord_id, order: None, market, side, poss_resend: false };
            let mode = *numbers.pick(CancelReplaceMode::ALL);
            let replace = CancelReplaceOrder { cancel, order, mode };
            let expected = model.cancel_replace(id, client, &replace);
            (session, replace.into(), expected)
        }
    }
}

/// As [`random_step`], of the operator.
fn operator_step(
    numbers: &mut Numbers,
    model: &mut Model,
    count: u64,
    kind: u64,
) -> (SessionId, Command, Option<RejectReason>) {
    match kind {
        95 => {
            let client = *numbers.pick(&CLIENTS);
            let group = numbers.below(3);
            let before = model.groups.insert(client, group).unwrap_or(0);
            let expected = (before == group).then_some(RejectReason::Exists);
            let command = SetTradeGroup { client: ClientId(client), trade_group: TradeGroupId(group) };
            (SessionId::OPERATOR, command.into(), expected)
        }
        94 if numbers.chance(60) => random_schedule_of_phases(numbers, model),
        96 => random_rules(numbers, model),
        97..=98 => {
            let client = *numbers.pick(&CLIENTS);
            fee_step(numbers, model, client, count)
        }
        _ => {
            let id = u32::try_from(numbers.between(1, 2)).unwrap();
            let before = model.markets[&id].1;
            let ends = before != MarketPhase::Trading && numbers.chance(50);
            let phase = if ends { MarketPhase::Trading } else { *numbers.pick(MarketPhase::ALL) };
            let expected = (before == phase && !model.is_pausing(id)).then_some(RejectReason::Exists);
            if expected.is_none() {
                model.set_phase(id, phase);
            }
            (SessionId::OPERATOR, SetMarketPhase { market: MarketId(id), phase }.into(), expected)
        }
    }
}

/// A list of orders, mostly one that hangs together.
fn random_list(numbers: &mut Numbers, count: u64, now: u64) -> NewOrderList {
    let contingency = *numbers.pick(Contingency::ALL);
    let legs: &[&str] =
        if contingency == Contingency::OneTriggersOneCancelsOther { &["", "b", "c"] } else { &["", "b"] };
    let (market, side) = (MarketId(u32::try_from(numbers.between(1, 2)).unwrap()), *numbers.pick(Side::ALL));
    let pair_from = match contingency {
        Contingency::OneCancelsOther => 0,
        Contingency::OneTriggersOther => 9,
        Contingency::OneTriggersOneCancelsOther => 1,
    };
    let orders = legs.iter().enumerate().map(|(at, suffix)| {
        let mut order = random_order(numbers, count, now);
        let suffix = if numbers.chance(2) { "" } else { suffix };
        order.cl_ord_id = Text::new(format!("id-{count}{suffix}")).unwrap();
        if numbers.chance(3) {
            return order;
        }
        order.market = market;
        let mut terms = order.terms.get().copied().unwrap_or_default();
        if at >= pair_from {
            (order.side, order.order_type) = (side, OrderType::Limit);
            (order.time_in_force, order.budget) = (TimeInForce::GoodTillCancel, Amount(0));
            (terms.expires_at_ns, terms.trigger) = (0, None);
            if at > pair_from || numbers.chance(30) {
                terms = OrderTerms { trigger: Some(random_trigger(numbers)), ..OrderTerms::default() };
            }
        } else if pair_from == 1 {
            order.side = side.opposite();
        }
        if order.order_type == OrderType::Limit {
            (order.qty_lots, order.budget) = (QtyLots(numbers.between(2, 40)), Amount(0));
            order.price_ticks = PriceTicks(numbers.between(3, 28));
        }
        order.terms = terms.into();
        order
    });
    NewOrderList {
        cl_list_id: list_id(count % 40),
        contingency,
        orders: orders.collect(),
        release: *numbers.pick(ListRelease::ALL),
    }
}

/// When a market changes its phase: often none, mostly days of a few changes, some of them soon.
fn random_schedule_of_phases(
    numbers: &mut Numbers,
    model: &mut Model,
) -> (SessionId, Command, Option<RejectReason>) {
    let market = MarketId(u32::try_from(numbers.between(1, 2)).unwrap());
    let mut schedule = SetMarketSchedule::none(market);
    if numbers.chance(70) {
        schedule.utc_offset_s = u32::try_from(numbers.below(3) * 9_000).unwrap();
        schedule.behind_utc = schedule.utc_offset_s > 0 && numbers.chance(40);
        let offset = u64::from(schedule.utc_offset_s) * 1_000_000_000;
        let local = if schedule.behind_utc { model.now - offset } else { model.now + offset };
        let (today, now_ms) = (local / 86_400_000_000_000, local / 1_000_000 % 86_400_000);
        schedule.entries = (0..numbers.between(1, 3))
            .map(|_| {
                let soon = (now_ms + numbers.below(60_000)) % 86_400_000;
                let at_ms = if numbers.chance(50) { soon } else { numbers.below(86_400) * 1_000 };
                let is_bad = numbers.chance(2);
                let mut days = u8::try_from(numbers.between(1, 255)).unwrap();
                if numbers.chance(60) {
                    days |= 0x7F;
                }
                ScheduledPhase {
                    days: if is_bad { 0 } else { days },
                    at_ms: u32::try_from(at_ms).unwrap(),
                    phase: if numbers.chance(50) {
                        MarketPhase::Trading
                    } else {
                        *numbers.pick(MarketPhase::ALL)
                    },
                }
            })
            .collect();
        if !numbers.chance(3) {
            schedule.entries.sort_by_key(|entry| entry.at_ms);
        }
        let mut dates = |percent: u64| -> Vec<u32> {
            let mut dates = Vec::new();
            for day in today.saturating_sub(9)..today + 12 {
                if numbers.chance(percent) {
                    dates.push(u32::try_from(day).unwrap());
                }
            }
            dates
        };
        schedule.holidays = dates(8);
        schedule.short_days = dates(12);
        if !numbers.chance(3) {
            let holidays = schedule.holidays.clone();
            schedule.short_days.retain(|day| !holidays.contains(day));
        }
    }
    let expected = model.set_phases(&schedule);
    (SessionId::OPERATOR, schedule.into(), expected)
}

/// Trading rules, mostly few of them, or an index price.
fn random_rules(numbers: &mut Numbers, model: &mut Model) -> (SessionId, Command, Option<RejectReason>) {
    let market = MarketId(u32::try_from(numbers.between(1, 2)).unwrap());
    if numbers.chance(50) {
        let publish = PublishPrice {
            market,
            price_ticks: PriceTicks(numbers.between(8, 24)),
            observed_at_ns: model.now + numbers.below(1_100_000_000) - 100_000_000,
            valid_for_ms: u32::try_from(numbers.between(1, 60_000)).unwrap(),
        };
        let expected = model.publish(&publish);
        return (SessionId::OPERATOR, publish.into(), expected);
    }
    // Half the time none, so that what they forbid is not forbidden for ever.
    let likely = if numbers.chance(50) { 0 } else { 40 };
    let mut ppm = |most: u64| {
        let is_set = numbers.chance(likely);
        if is_set { u32::try_from(numbers.between(50_000, most)).unwrap() } else { 0 }
    };
    let bands = [ppm(1_500_000), ppm(900_000), ppm(1_500_000), ppm(900_000), ppm(250_000)];
    let [buy_above_ppm, buy_below_ppm, sell_above_ppm, sell_below_ppm, collar_ppm] = bands;
    let self_trade_prevention =
        if likely == 0 { SelfTradePrevention::None } else { *numbers.pick(SelfTradePrevention::ALL) };
    let mut few = |max: u64| if numbers.chance(likely) { numbers.between(1, max) } else { 0 };
    let rules = SetTradingRules {
        market,
        reference: if few(2) > 0 { ReferencePrice::Index } else { ReferencePrice::LastTrade },
        buy_above_ppm,
        buy_below_ppm,
        sell_above_ppm,
        sell_below_ppm,
        collar_ppm,
        self_trade_prevention,
        may_self_trade: self_trade_prevention == SelfTradePrevention::None || few(2) == 0,
        client_stops_max: u32::try_from(few(2)).unwrap(),
        client_icebergs_max: u32::try_from(few(2)).unwrap(),
        client_position_lots_max: QtyLots(few(4_000)),
        amendments_max: u32::try_from(few(3)).unwrap(),
        ..random_volatility(numbers, market)
    };
    let expected = model.set_rules(&rules);
    (SessionId::OPERATOR, rules.into(), expected)
}

/// How far prices may move, half the time; then mostly for some trades, and not for long.
fn random_volatility(numbers: &mut Numbers, market: MarketId) -> SetTradingRules {
    let plain = SetTradingRules::none(market);
    if numbers.chance(50) {
        return plain;
    }
    SetTradingRules {
        volatility_ppm: u32::try_from(numbers.between(100_000, 700_000)).unwrap(),
        volatility_window_ms: u32::try_from(numbers.between(1_000, 60_000)).unwrap(),
        volatility_phase: if numbers.chance(50) { MarketPhase::Halt } else { MarketPhase::Auction },
        volatility_pause_ms: u32::try_from(numbers.below(9_000).saturating_sub(1_000)).unwrap(),
        ..plain
    }
}

/// What is paid changes; live orders keep theirs.
fn fee_step(
    numbers: &mut Numbers,
    model: &mut Model,
    client: u64,
    count: u64,
) -> (SessionId, Command, Option<RejectReason>) {
    let (command, expected): (Command, _) = match numbers.below(6) {
        0 => {
            let id = u32::try_from(numbers.between(1, 2)).unwrap();
            let (definition, _) = model.markets.get_mut(&id).unwrap();
            let before = definition.clone();
            definition.maker_fee_ppm = u32::try_from(count * 50).unwrap();
            definition.taker_fee_ppm = u32::try_from(numbers.below(30_000)).unwrap();
            let command = definition.clone().into();
            let expected = (!model.pays_for_itself(id)).then_some(RejectReason::FieldOutOfRange);
            if expected.is_some() {
                model.markets.get_mut(&id).unwrap().0 = before;
            }
            (command, expected)
        }
        1 => {
            let fee_group = FeeGroupId(u16::try_from(numbers.below(3)).unwrap());
            let set = SetFeeGroup { client: ClientId(client), fee_group };
            let expected = model.set_group(&set);
            (set.into(), expected)
        }
        _ => {
            let set = random_schedule(numbers, model.seq);
            let expected = model.set_schedule(&set);
            (set.into(), expected)
        }
    };
    (SessionId::OPERATOR, command, expected)
}

fn random_schedule(numbers: &mut Numbers, now: u64) -> SetFeeSchedule {
    let mut volume = if numbers.chance(5) { 1 } else { 0 };
    // Of markets that pay rebates, most would be refused if their fees were drawn freely.
    let taker_min = numbers.below(3) * 4_000;
    let tiers = (0..numbers.below(4)).map(|_| {
        let maker_is_paid = numbers.chance(40);
        let maker_max = if maker_is_paid { taker_min.max(1) } else { 30_000 };
        let tier = FeeTier {
            volume_min: Amount(volume),
            maker_ppm: u32::try_from(numbers.below(maker_max + 1)).unwrap(),
            maker_is_paid,
            taker_ppm: u32::try_from(taker_min + numbers.below(20_000)).unwrap(),
        };
        volume += u128::from(numbers.below(2_000));
        tier
    });
    let tiers: Vec<FeeTier> = tiers.collect();
    let is_taxed = !tiers.is_empty() && numbers.chance(50);
    SetFeeSchedule {
        market: MarketId(if numbers.chance(2) { 9 } else { u32::try_from(numbers.between(1, 2)).unwrap() }),
        fee_group: FeeGroupId(u16::try_from(numbers.below(3)).unwrap()),
        effective_seq: Seq(if numbers.chance(50) { 0 } else { (now + numbers.below(60)).saturating_sub(3) }),
        tiers,
        tax_ppm: if is_taxed { u32::try_from(numbers.below(300_000)).unwrap() } else { 0 },
    }
}

fn model_trades_before(model: &Model, engine: &Engine) -> usize {
    let before = usize::try_from(engine.trades()).unwrap();
    assert!(before <= model.trades.len());
    before
}

pub(crate) fn trades_of(events: &[Event]) -> Vec<ModelTrade> {
    let settled = events.iter().filter_map(|event| {
        let EventBody::Settled(settled) = &event.body else { return None };
        if settled.trade == TradeId(0) {
            return None;
        }
        Some(ModelTrade {
            maker: settled.maker_order.0,
            taker: settled.taker_order.0,
            price: settled.price_ticks.0,
            qty: settled.qty_lots.0,
            buyer: settled.buyer.0,
            seller: settled.seller.0,
            buyer_fee: settled.buyer_fee.0,
            seller_fee: settled.seller_fee.0,
            buyer_tax: settled.buyer_tax.0,
            seller_tax: settled.seller_tax.0,
            maker_is_paid: settled.maker_is_paid,
        })
    });
    settled.collect()
}

fn compare(model: &Model, engine: &Engine, context: &str) {
    for account in engine.accounts().filter(|account| account.class != AccountClass::External) {
        let client = if account.class == AccountClass::Suspense { TAXES } else { account.client.0 };
        let asset = account.asset.0;
        let owed = if client == FEES { model.fees_owed.get(&asset).copied().unwrap_or(0) } else { 0 };
        let balance = account.credits.0.checked_add(owed).and_then(|sum| sum.checked_sub(account.debits.0));
        assert_eq!(balance, Some(model.balances[&(client, asset)]), "{context}: {account:?}");
        assert_eq!(account.held.0, model.held(client, asset), "{context}: {account:?}");
    }
    for market in engine.markets() {
        assert_eq!(market.phase, model.markets[&market.definition.market.0].1, "{context}");
    }
    let mut found: Vec<_> = engine
        .orders()
        .map(|order| (order.order.0, order.price_ticks.0, order.qty_lots.0, order.cum_lots.0))
        .collect();
    let mut expected: Vec<_> =
        model.live.iter().map(|order| (order.id, order.price, order.qty, order.cum)).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{context}");
}

pub(crate) fn restored(engine: &Engine, context: &str) -> Engine {
    let mut bytes = Vec::new();
    engine.snapshot(&mut bytes);
    let restored = Engine::restore(&bytes).unwrap_or_else(|fault| panic!("{context}: {fault}"));
    let mut again = Vec::new();
    restored.snapshot(&mut again);
    assert_eq!(again, bytes, "{context}: the restored state has other bytes");
    restored
}

/// Applies to `engine` what `world` has just applied.
pub(crate) fn apply(
    engine: &mut Engine,
    world: &World,
    session: SessionId,
    generation: u32,
    request: u64,
    command: &Command,
) -> Vec<Event> {
    let header = RecordHeader {
        session,
        generation: Generation(generation),
        request: RequestNumber(request),
        ..RecordHeader::default()
    };
    let mut bytes = Vec::new();
    header.write(command, &mut bytes).unwrap();
    let mut events = Vec::new();
    let seq = Seq(engine.seq_applied().0 + 1);
    engine.apply(seq, UnixNanos(world.time), &Record::read(&bytes).unwrap(), &mut events).unwrap();
    events
}

#[test]
fn random_sessions_go_on_from_any_snapshot() {
    for seed in seeds(SEEDS) {
        let mut numbers = Numbers(seed ^ 0xF1F1);
        let mut model = Model::new();
        let mut world = funded(&mut numbers, SessionProtocol::Fix, &mut model);
        let mut shadow = world.engine.clone();
        let mut followed = Followed::default();
        let mut sent: std::collections::BTreeMap<SessionId, (u32, u64)> = std::collections::BTreeMap::new();
        for count in 0..500 {
            let context = format!("SEED={seed}, command {count}");
            world.wait_ns(if numbers.chance(1) { 30_000_000_000_000 } else { numbers.below(3_000_000_000) });
            let (session, command) = random_message(&mut numbers, &world, count);
            let (mut generation, mut number) = (0, 0);
            if session != SessionId::SYSTEM {
                (generation, number) = world.next_number(session);
                if numbers.chance(4) {
                    generation = generation.wrapping_sub(1);
                }
                if numbers.chance(10) {
                    number = (number + numbers.below(5)).saturating_sub(2);
                }
            }
            let events = world.submit(session, generation, number, command.clone());
            let shadow_events = apply(&mut shadow, &world, session, generation, number, &command);
            assert_eq!(events, shadow_events, "{context}: {command:?}");
            outputs_have_no_gaps(&events, &mut sent, &context);
            followed.take(&events, &context);
            followed.compare(&world.engine, &context);
            assert_eq!(shadow.next_timer(), world.engine.next_timer(), "{context}");
            if numbers.chance(10) {
                shadow = restored(&world.engine, &context);
            }
        }
        assert_eq!(shadow.state_hash(), world.engine.state_hash(), "SEED={seed}");
    }
}

/// Each session's outputs count from 1 in each epoch.
fn outputs_have_no_gaps(
    events: &[Event],
    sent: &mut std::collections::BTreeMap<SessionId, (u32, u64)>,
    context: &str,
) {
    for number in events.iter().filter_map(|event| event.output) {
        let last = sent.entry(number.session).or_insert((1, 0));
        let expected = if number.epoch.0 == last.0 { (last.0, last.1 + 1) } else { (number.epoch.0, 1) };
        assert!(number.epoch.0 >= last.0, "{context}: epoch went back");
        assert_eq!((number.epoch.0, number.out_seq.0), expected, "{context}");
        *last = expected;
    }
}

/// Roles and keys of an actor that nobody acts as.
fn actor_command(numbers: &mut Numbers, count: u64) -> Command {
    let actor = ActorId(7);
    if numbers.chance(50) {
        return DefineActor { actor, roles: u32::try_from(count % 9).unwrap() }.into();
    }
    let key = numbers.chance(70).then_some(PublicKey([u8::try_from(count % 3).unwrap(); 32]));
    SetActorKey { actor, key }.into()
}

fn cancel_all_of(client: u64) -> CancelAll {
    CancelAll { session: None, client: Some(ClientId(client)), market: None, side: None, firm: None }
}

fn random_message(numbers: &mut Numbers, world: &World, count: u64) -> (SessionId, Command) {
    let client = *numbers.pick(&CLIENTS);
    let session = session_of(client);
    let view = world.engine.sessions().find(|view| view.session == session).unwrap();
    let next_in = view.next_in;
    if !view.connected && numbers.chance(80) {
        let seq = if numbers.chance(80) { next_in } else { numbers.below(next_in + 5) };
        let reset = numbers.chance(10);
        let next_expected = if numbers.chance(30) { numbers.below(view.next_out.0 + 2) } else { 0 };
        let logon = SessionLogon { reset, next_expected, ..definitions::logon(if reset { 1 } else { seq }) };
        return (session, logon.into());
    }
    let near = (next_in + numbers.below(6)).saturating_sub(2);
    let command: Command = match numbers.below(40) {
        0 => SessionDown { end: SessionEnd::Lost }.into(),
        1 => SessionLogout {}.into(),
        2 => SessionHeartbeat {}.into(),
        3 => SessionTestRequest { test_req_id: Text::new("t").unwrap() }.into(),
        4 => SessionResendRequest { begin: numbers.below(9), end: numbers.below(9) }.into(),
        5 => SessionGap { received: near }.into(),
        6 => SessionSequenceReset { new_seq_no: near, gap_fill: true, msg_seq_num: next_in }.into(),
        7 => SessionSequenceReset { new_seq_no: near, gap_fill: false, msg_seq_num: near }.into(),
        8 => SessionTick { action: *numbers.pick(SessionAction::ALL) }.into(),
        9 => SessionTooLow { received: 1 }.into(),
        10 => return (SessionId::SYSTEM, Pulse {}.into()),
        11 if numbers.chance(20) => {
            return (
                SessionId::SYSTEM,
                TermStart { term: protocol::Term(count), node: protocol::NodeId(1) }.into(),
            );
        }
        12 => return (SessionId::OPERATOR, cancel_all_of(client).into()),
        13 if numbers.chance(20) => return (SessionId::OPERATOR, ResetSession { session }.into()),
        14 => return (SessionId::OPERATOR, actor_command(numbers, count)),
        15..=18 => {
            let orders: Vec<_> = world.engine.orders().filter(|order| order.session == session).collect();
            let Some(order) = orders.first() else { return (session, SessionHeartbeat {}.into()) };
            let cl_ord_id = cl_ord_id(numbers, count);
            let by_id = numbers.chance(30);
            CancelOrder {
                cl_ord_id,
                orig_cl_ord_id: if by_id { Text::EMPTY } else { order.cl_ord_id },
                order: by_id.then_some(order.order),
                market: order.market,
                side: order.side,
                poss_resend: numbers.chance(20),
            }
            .into()
        }
        21..=22 => random_quotes(numbers, count).into(),
        20 => {
            let timeout_ms = u32::try_from(numbers.below(9_000)).unwrap();
            SetCancelAllAfter { request_id: ClOrdId::EMPTY, timeout_ms }.into()
        }
        19 => {
            let cl_ord_id = cl_ord_id(numbers, count / 2);
            RequestOrderStatus { cl_ord_id, order: None, market: MarketId(1), side: Side::Buy }.into()
        }
        _ => NewOrder { poss_resend: numbers.chance(10), ..random_order(numbers, count, world.time) }.into(),
    };
    (session, command)
}

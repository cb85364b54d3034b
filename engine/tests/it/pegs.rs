//! As many pegged orders as a market may have, and more moves than one record may bring about.

use std::collections::BTreeMap;

use engine::Engine;
use protocol::commands::{CancelOrder, NewOrder, Pulse};
use protocol::event::Event;
use protocol::limits::{PEGGED_ORDERS_MAX, PEGS_MOVED_PER_RECORD_MAX};
use protocol::terms::{OrderTerms, Peg};
use protocol::{EventBody, ExecType, MarketId, PegTo, RejectReason, SessionId, Side, Text};

use crate::definitions;
use crate::followed::Followed;
use crate::properties::{apply, restored};
use crate::world::{BUYER, SELLER, refusal, two_traders};

fn pegged(number: usize, side: Side, to: PegTo, offset_ticks: u32, limit: u64) -> NewOrder {
    let terms = OrderTerms { peg: Some(Peg { to, offset_ticks }), ..OrderTerms::default() };
    NewOrder { terms: terms.into(), ..definitions::limit(&format!("p{number}"), side, 1, limit) }
}

fn cancel(id: &str, side: Side) -> CancelOrder {
    CancelOrder {
        cl_ord_id: Text::new(format!("c-{id}")).unwrap(),
        orig_cl_ord_id: Text::new(id).unwrap(),
        order: None,
        market: MarketId(1),
        side,
        poss_resend: false,
    }
}

/// The orders that were moved, in this order.
fn moved(events: &[Event]) -> Vec<u64> {
    let reports = events.iter().filter_map(|event| {
        let EventBody::ExecutionReport(report) = &event.body else { return None };
        let is_move = report.exec_type == ExecType::Restated && report.reason == Some(RejectReason::Repriced);
        is_move.then_some(report.order.0)
    });
    reports.collect()
}

/// How many orders of the buyer rest at each price.
fn prices(engine: &Engine) -> BTreeMap<u64, usize> {
    let mut prices = BTreeMap::new();
    for order in engine.orders().filter(|order| order.session == BUYER) {
        *prices.entry(order.price_ticks.0).or_default() += 1;
    }
    prices
}

#[test]
fn what_one_record_may_not_move_is_moved_before_the_next_ones_from_any_snapshot() {
    let mut world = two_traders();
    let mut followed = Followed::default();
    for number in 0..PEGGED_ORDERS_MAX {
        let order = pegged(number, Side::Buy, PegTo::Primary, 1, 500);
        followed.take(&world.next(BUYER, order), "parked");
    }
    let full = world.next(BUYER, pegged(9_999, Side::Buy, PegTo::Primary, 1, 500));
    assert_eq!(refusal(&full), Some(RejectReason::TooManyPegged));
    assert_eq!(prices(&world.engine), BTreeMap::from([(0, PEGGED_ORDERS_MAX)]));

    // Parked, and then at the wrong price.
    for (bid, from) in [(100, 0), (102, 99)] {
        let order = definitions::limit(&format!("bid-{bid}"), Side::Buy, 1, bid);
        let mut events = world.next(SELLER, order);
        let mut all = Vec::new();
        let mut left = PEGGED_ORDERS_MAX;
        loop {
            followed.take(&events, "moving");
            followed.compare(&world.engine, "moving");
            world.engine.check_invariants().unwrap();
            let some = moved(&events);
            assert!(some.len() <= 2 * PEGS_MOVED_PER_RECORD_MAX, "before the record and behind it");
            left -= some.len();
            all.extend(some);
            if world.engine.next_timer().is_none() {
                break;
            }
            assert_eq!(prices(&world.engine)[&from], left);
            assert_eq!(world.engine.next_timer(), Some(world.engine.time()), "the leader pulses at once");
            let mut shadow = restored(&world.engine, "moving");
            events = world.system(Pulse {});
            assert_eq!(events, apply(&mut shadow, &world, SessionId::SYSTEM, 0, 0, &Pulse {}.into()));
        }
        assert_eq!(all.len(), PEGGED_ORDERS_MAX, "each once");
        assert!(all.is_sorted(), "the oldest first");
        assert_eq!(prices(&world.engine), BTreeMap::from([(bid - 1, PEGGED_ORDERS_MAX)]));
    }
}

/// The prices change again while orders are still being moved: all are looked at once more.
#[test]
fn a_change_while_orders_are_being_moved_begins_another_round() {
    let mut world = two_traders();
    world.next(SELLER, definitions::limit("bid-1", Side::Buy, 1, 100));
    for number in 0..PEGGED_ORDERS_MAX {
        world.next(BUYER, pegged(number, Side::Buy, PegTo::Primary, 1, 500));
    }
    world.next(SELLER, definitions::limit("bid-2", Side::Buy, 1, 102));
    assert_eq!(prices(&world.engine)[&101], PEGS_MOVED_PER_RECORD_MAX);
    let mut shadow = restored(&world.engine, "in the first round");
    let command = cancel("bid-2", Side::Buy);
    let (_, request) = world.next_number(SELLER);
    let events = world.submit(SELLER, 0, request, command.clone());
    assert_eq!(events, apply(&mut shadow, &world, SELLER, 0, request, &command.into()));
    while world.engine.next_timer().is_some() {
        world.engine.check_invariants().unwrap();
        shadow = restored(&world.engine, "in the second round");
        let events = world.system(Pulse {});
        assert_eq!(events, apply(&mut shadow, &world, SessionId::SYSTEM, 0, 0, &Pulse {}.into()));
    }
    world.engine.check_invariants().unwrap();
    assert_eq!(prices(&world.engine), BTreeMap::from([(99, PEGGED_ORDERS_MAX)]));
}

/// Those that follow the other side and stand in each other's way: a step of theirs costs at most two moves of each order.
#[test]
fn orders_that_stand_in_each_others_way_are_moved_twice_at_most() {
    let mut world = two_traders();
    world.next(SELLER, definitions::limit("bid", Side::Buy, 1, 100));
    world.next(SELLER, definitions::limit("ask", Side::Sell, 1, 300));
    for number in 0..40 {
        let offset = 1 + u32::try_from(number % 7).unwrap();
        let (side, limit) = if number % 3 == 0 { (Side::Sell, 50) } else { (Side::Buy, 500) };
        world.next(BUYER, pegged(number, side, PegTo::Market, offset, limit));
    }
    for (id, side, price) in [
        ("up", Side::Buy, 150),
        ("down", Side::Sell, 200),
        ("more", Side::Buy, 160),
        ("less", Side::Sell, 190),
    ] {
        let moves = moved(&world.next(SELLER, definitions::limit(id, side, 1, price)));
        let mut count = BTreeMap::new();
        moves.iter().for_each(|order| *count.entry(order).or_insert(0) += 1);
        assert!(count.values().all(|&times| times <= 2), "{count:?}");
        world.engine.check_invariants().unwrap();
    }
    for (id, side) in [("less", Side::Sell), ("more", Side::Buy), ("down", Side::Sell), ("up", Side::Buy)] {
        let moves = moved(&world.next(SELLER, cancel(id, side)));
        let mut count = BTreeMap::new();
        moves.iter().for_each(|order| *count.entry(order).or_insert(0) += 1);
        assert!(count.values().all(|&times| times <= 2), "{count:?}");
        world.engine.check_invariants().unwrap();
    }
}

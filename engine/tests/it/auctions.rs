//! An auction that takes more trades than one record may bring about.

use engine::Engine;
use protocol::commands::{CancelOrder, MassCancel, NewOrder, Pulse, SetMarketPhase, SetMarketSchedule};
use protocol::event::Event;
use protocol::limits::{AUCTION_STEPS_PER_RECORD_MAX, TRIGGERED_PER_RECORD_MAX};
use protocol::rows::{ScheduledPhase, schedule_days};
use protocol::terms::{OrderTerms, Trigger};
use protocol::{
    AccountClass, EventBody, MarketId, MarketPhase, PhaseCause, PriceTicks, RejectReason, SessionId, Side,
    Text, TimeInForce, TriggerDirection, TriggerPriceType, UnixNanos,
};

use crate::definitions;
use crate::followed::Followed;
use crate::properties::{apply, restored, trades_of};
use crate::world::{BUYER, SELLER, START, World, refusal, two_traders};

const PAIRS: u64 = 2_500;

/// A market in an auction, with a buyer and a seller.
fn setting() -> (World, Followed) {
    let mut world = two_traders();
    set_phase(&mut world, MarketPhase::Auction);
    (world, Followed::default())
}

/// A market that has collected so many pairs, each of one lot.
fn collected() -> (World, Followed) {
    let (mut world, mut followed) = setting();
    for number in 0..PAIRS {
        for (session, side, price) in [(BUYER, Side::Buy, 101), (SELLER, Side::Sell, 99)] {
            let order = definitions::limit(&format!("id-{number}"), side, 1, price);
            followed.take(&world.next(session, order), "collecting");
        }
    }
    (world, followed)
}

fn set_phase(world: &mut World, phase: MarketPhase) -> Vec<Event> {
    world.operator(SetMarketPhase { market: MarketId(1), phase })
}

fn phase(engine: &Engine) -> MarketPhase {
    engine.markets().next().unwrap().phase
}

#[test]
fn a_large_auction_goes_on_before_the_next_records_from_any_snapshot() {
    let (mut world, mut followed) = collected();
    let mut trades = trades_of(&set_phase_followed(&mut world, &mut followed, MarketPhase::Trading)).len();
    // One step has found the price.
    assert_eq!(trades, AUCTION_STEPS_PER_RECORD_MAX - 1);
    let mut shadow = restored(&world.engine, "the first record");
    while phase(&world.engine) == MarketPhase::Auction {
        assert_eq!(world.engine.next_timer(), Some(world.engine.time()), "the leader pulses at once");
        world.engine.check_invariants().unwrap();
        let events = world.system(Pulse {});
        assert_eq!(events, apply(&mut shadow, &world, SessionId::SYSTEM, 0, 0, &Pulse {}.into()));
        followed.take(&events, "going on");
        followed.compare(&world.engine, "going on");
        // Before the record, and behind it.
        assert!(trades_of(&events).len() <= 2 * AUCTION_STEPS_PER_RECORD_MAX);
        trades += trades_of(&events).len();
        shadow = restored(&world.engine, "going on");
    }
    assert_eq!(trades, usize::try_from(PAIRS).unwrap());
    assert_eq!(phase(&world.engine), MarketPhase::Trading);
    assert_eq!(world.engine.orders().count(), 0);
    assert_eq!(world.engine.next_timer(), None);
    world.engine.check_invariants().unwrap();
}

#[test]
fn orders_that_are_due_in_a_market_that_has_stopped_can_be_cancelled() {
    let (mut world, _) = setting();
    world.checks = true;
    set_phase(&mut world, MarketPhase::Trading);
    let trigger = Trigger {
        price_ticks: PriceTicks(50),
        price_type: TriggerPriceType::Last,
        direction: TriggerDirection::Up,
    };
    let armed = 3 * TRIGGERED_PER_RECORD_MAX;
    for number in 0..armed {
        let order = definitions::limit(&format!("stop-{number}"), Side::Buy, 1, 1);
        let terms = OrderTerms { trigger: Some(trigger), ..OrderTerms::default() };
        world.next(BUYER, NewOrder { terms: terms.into(), ..order });
    }
    world.next(SELLER, definitions::limit("offer", Side::Sell, 1, 100));
    world.next(BUYER, definitions::limit("bid", Side::Buy, 1, 100));
    // As many have fired behind the trade, as many before the market stops; the others are due.
    set_phase(&mut world, MarketPhase::Halt);
    assert_eq!(world.engine.orders().count(), armed);
    world.next(
        BUYER,
        MassCancel { cl_ord_id: Text::truncated("all"), market: None, side: None, client: None },
    );
    assert_eq!(world.engine.orders().count(), 0);
    world.engine.check_invariants().unwrap();
    set_phase(&mut world, MarketPhase::Trading);
    assert_eq!(world.engine.next_timer(), None, "nothing is due any more");
}

#[test]
fn a_schedule_waits_until_an_auction_has_been_carried_out() {
    let (mut world, _) = collected();
    let now_ms = u32::try_from(world.time / 1_000_000 % 86_400_000).unwrap();
    let phases = [MarketPhase::Trading, MarketPhase::Halt, MarketPhase::Closed];
    let entries = (1..).zip(phases).map(|(minute, phase)| ScheduledPhase {
        days: schedule_days::WEEK,
        at_ms: now_ms + minute * 60_000,
        phase,
    });
    let entries = entries.collect();
    world.set_up(SetMarketSchedule { entries, ..SetMarketSchedule::none(MarketId(1)) });
    world.wait_ns(600_000_000_000);
    let (mut trades, mut changes) = (0, Vec::new());
    while world.engine.orders().count() > 0 || changes.len() < 3 {
        assert!(world.engine.next_timer().unwrap().0 <= world.time, "the leader pulses at once");
        let events = world.system(Pulse {});
        trades += trades_of(&events).len();
        for event in &events {
            if let EventBody::MarketPhaseChanged(changed) = &event.body {
                assert_eq!((changed.cause, trades), (PhaseCause::Schedule, usize::try_from(PAIRS).unwrap()));
                changes.push(changed.phase);
            }
        }
        world.engine.check_invariants().unwrap();
        world.engine = restored(&world.engine, "going on");
    }
    assert_eq!(changes, phases);
}

#[test]
fn at_most_so_many_scheduled_changes_come_before_one_record() {
    let mut world = World::with_genesis();
    for asset in 1..=2 {
        world.set_up(definitions::asset(asset, &format!("A{asset}"), 0));
    }
    world.set_up(definitions::account(2, 0, 2, AccountClass::Fee));
    world.set_up(definitions::market(1));
    let entry = |minute: u32| ScheduledPhase {
        days: schedule_days::WEEK,
        at_ms: minute * 60_000,
        phase: if minute.is_multiple_of(2) { MarketPhase::Halt } else { MarketPhase::Trading },
    };
    let entries = (0..32).map(entry).collect();
    let schedule = SetMarketSchedule { entries, ..SetMarketSchedule::none(MarketId(1)) };
    world.set_up(schedule);
    // It is nine o'clock on the first day.
    let day_ns = 86_400_000_000_000;
    assert_eq!(world.engine.next_timer(), Some(UnixNanos(START / day_ns * day_ns + day_ns)));
    world.wait_ns(5 * day_ns);
    for expected in [64, 64, 32, 0] {
        let events = world.system(Pulse {});
        let is_change = |event: &&Event| matches!(event.body, EventBody::MarketPhaseChanged(_));
        assert_eq!(events.iter().filter(is_change).count(), expected);
        let is_behind = world.engine.next_timer().unwrap().0 <= world.time;
        assert_eq!(is_behind, expected == 64);
    }
}

fn set_phase_followed(world: &mut World, followed: &mut Followed, phase: MarketPhase) -> Vec<Event> {
    let events = set_phase(world, phase);
    followed.take(&events, "the phase changes");
    events
}

#[test]
fn while_an_auction_goes_on_cancels_are_taken_and_nothing_else() {
    let (mut world, _) = collected();
    set_phase(&mut world, MarketPhase::Trading);
    let order = definitions::limit("late", Side::Buy, 1, 120);
    assert_eq!(refusal(&world.next(BUYER, order)), Some(RejectReason::MarketClosed));
    let last = format!("id-{}", PAIRS - 1);
    let replace = definitions::replace("r", &last, Side::Sell, 2, 90);
    assert_eq!(refusal(&world.next(SELLER, replace)), Some(RejectReason::MarketClosed));
    let cancel = CancelOrder {
        cl_ord_id: Text::new("c").unwrap(),
        orig_cl_ord_id: Text::new(&last).unwrap(),
        order: None,
        market: MarketId(1),
        side: Side::Sell,
        poss_resend: false,
    };
    assert_eq!(refusal(&world.next(SELLER, cancel)), None);
    assert_eq!(refusal(&set_phase(&mut world, MarketPhase::Trading)), Some(RejectReason::Exists));
    while phase(&world.engine) == MarketPhase::Auction {
        world.system(Pulse {});
    }
    // Whose partner has left rests.
    assert_eq!(world.engine.orders().count(), 1);
    world.engine.check_invariants().unwrap();
}

#[test]
fn a_halt_stops_an_auction_and_tells_what_has_traded() {
    let (mut world, _) = collected();
    let first = trades_of(&set_phase(&mut world, MarketPhase::Trading)).len();
    let events = set_phase(&mut world, MarketPhase::Halt);
    // What goes on before the record is the same auction's.
    let traded = u128::try_from(first + trades_of(&events).len()).unwrap();
    let stopped = events.iter().find_map(|event| {
        let EventBody::AuctionUncrossed(auction) = &event.body else { return None };
        Some(auction.lots)
    });
    assert_eq!(stopped, Some(traded));
    assert_eq!(phase(&world.engine), MarketPhase::Halt);
    assert_eq!(world.engine.next_timer(), None);
    world.engine.check_invariants().unwrap();
    set_phase(&mut world, MarketPhase::PostOnly);
    while phase(&world.engine) == MarketPhase::Halt {
        world.system(Pulse {});
    }
    assert_eq!(world.engine.orders().count(), 0);
}

#[test]
fn what_cancels_leave_crossed_trades_at_a_price_of_its_own() {
    let (mut world, _) = setting();
    let at_the_opening = |name: &str, qty| NewOrder {
        time_in_force: TimeInForce::AtTheOpening,
        ..definitions::limit(name, Side::Buy, qty, 100)
    };
    world.next(SELLER, at_the_opening("x", 50));
    // At 110 most lots trade: 620, and at 100 no more than are offered there.
    for (session, side, price, count) in
        [(BUYER, Side::Buy, 110, 620), (SELLER, Side::Sell, 90, 600), (SELLER, Side::Sell, 110, 40)]
    {
        for number in 0..count {
            world.next(session, definitions::limit(&format!("{price}-{number}"), side, 1, price));
        }
    }
    let mut events = set_phase(&mut world, MarketPhase::Trading);
    let cancel = MassCancel {
        cl_ord_id: Text::new("all").unwrap(),
        market: None,
        side: Some(Side::Buy),
        client: None,
    };
    events.extend(world.next(BUYER, cancel));
    while phase(&world.engine) == MarketPhase::Auction {
        events.extend(world.system(Pulse {}));
    }
    let told = events.iter().filter_map(|event| {
        let EventBody::AuctionUncrossed(auction) = &event.body else { return None };
        Some((auction.price_ticks.0, auction.lots, auction.trades))
    });
    // What bids at the opening is still good for the second price.
    let before = 2 * AUCTION_STEPS_PER_RECORD_MAX - 1;
    let first = (110, u128::try_from(before).unwrap(), u32::try_from(before).unwrap());
    assert_eq!(told.collect::<Vec<_>>(), [first, (90, 50, 50)]);
    world.engine.check_invariants().unwrap();
}

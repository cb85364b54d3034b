//! What an order says beside its price and quantity: whether it means something, and what follows from it on entry.

use protocol::commands::NewOrder;
use protocol::terms::{OrderTerms, Trigger};
use protocol::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
use protocol::{
    MarketPhase, OrderListId, OrderType, PostOnly, PriceTicks, QtyLots, RejectReason, SelfTradePrevention,
    TimeInForce, UnixNanos,
};

use super::twap::Legs;
use super::{armed, pegs, rules, schedule, twap};
use crate::broken::{Stop, ensure};
use crate::markets::{Market, Order};
use crate::matching::ICEBERG_SLICES_MAX;

/// What a live order keeps of its terms; most orders have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) said: OrderTerms,
    /// When it ends by itself; `None` = never.
    pub(crate) expires_at: Option<UnixNanos>,
    /// Of one that trades leg by leg.
    pub(crate) legs: Option<Legs>,
    /// The list that it is of.
    pub(crate) list: Option<OrderListId>,
    /// Whether it waits for another order of its list.
    pub(crate) waits: bool,
    /// The limit of one that is pegged: its price is where it stands.
    pub(crate) cap: Option<PriceTicks>,
    /// The entry of the quote that it is a side of.
    pub(crate) quote: Option<u32>,
}

impl Terms {
    /// The terms of an order that a market accepts at `time`; `None` for a plain one.
    pub(super) fn of(command: &NewOrder, time: UnixNanos, market: &Market) -> Option<Box<Self>> {
        let mut said = command.terms.get().copied().unwrap_or_default();
        let prevention = || rules::prevention_by_default(market);
        said.self_trade_prevention = said.self_trade_prevention.or_else(prevention);
        if let Some(UnixNanos(end)) = end_said(&said, time) {
            (said.expires_at_ns, said.expires_in_s) = (end, 0);
        }
        let expires_at = match command.time_in_force {
            TimeInForce::GoodTillDate => Some(UnixNanos(said.expires_at_ns)),
            TimeInForce::Day => (!schedule::closes(market)).then(|| end_of_day(time)),
            TimeInForce::GoodTillCancel
            | TimeInForce::ImmediateOrCancel
            | TimeInForce::FillOrKill
            | TimeInForce::AtTheOpening
            | TimeInForce::AtTheClose => None,
        };
        let legs = Legs::of(&said, time);
        let cap = said.peg.map(|_| command.price_ticks);
        let terms = Self { said, expires_at, legs, list: None, waits: false, cap, quote: None };
        (terms != Self::default()).then(|| Box::new(terms))
    }
}

/// When an order ends that says so at `time`.
fn end_said(said: &OrderTerms, time: UnixNanos) -> Option<UnixNanos> {
    if said.expires_in_s > 0 {
        return Some(time.plus(u64::from(said.expires_in_s).saturating_mul(NANOS_PER_SECOND)));
    }
    (said.expires_at_ns > 0).then_some(UnixNanos(said.expires_at_ns))
}

/// The next midnight, UTC.
pub(super) fn end_of_day(time: UnixNanos) -> UnixNanos {
    let day = time.0.checked_div(NANOS_PER_DAY).unwrap_or(0);
    UnixNanos(day.saturating_add(1).saturating_mul(NANOS_PER_DAY))
}

/// Whether what is not filled at once would rest.
pub(super) fn may_rest(command: &NewOrder) -> bool {
    command.order_type == OrderType::Limit && rests(command.time_in_force)
}

/// Whether it takes part in an auction, and in nothing else.
pub(super) const fn is_of_an_auction(command: &NewOrder) -> bool {
    matches!(command.time_in_force, TimeInForce::AtTheOpening | TimeInForce::AtTheClose)
}

/// Whether it may be live behind its own record: in the book, or armed.
pub(super) fn may_wait(command: &NewOrder) -> bool {
    may_rest(command)
        || is_of_an_auction(command)
        || command.terms.get().is_some_and(|terms| terms.trigger.is_some())
}

/// Whether a limit order of this kind waits in the book.
pub(super) const fn rests(time_in_force: TimeInForce) -> bool {
    match time_in_force {
        TimeInForce::GoodTillCancel
        | TimeInForce::GoodTillDate
        | TimeInForce::Day
        | TimeInForce::AtTheOpening
        | TimeInForce::AtTheClose => true,
        TimeInForce::ImmediateOrCancel | TimeInForce::FillOrKill => false,
    }
}

/// Whether the order's instructions go together, and have not come too late.
pub(super) fn check(command: &NewOrder, time: UnixNanos) -> Result<(), Stop> {
    let plain = OrderTerms::default();
    let said = command.terms.get().unwrap_or(&plain);
    ensure(goes_together(command, said), RejectReason::UnsupportedOrder)?;
    let has_ended = end_said(said, time).is_some_and(|end| end <= time);
    let is_late = said.valid_until_ns != 0 && said.valid_until_ns < time.0;
    ensure(!has_ended && !is_late, RejectReason::TooLateToEnter)
}

fn goes_together(command: &NewOrder, said: &OrderTerms) -> bool {
    let is_dated = command.time_in_force == TimeInForce::GoodTillDate;
    let (may_rest, may_wait) = (may_rest(command), may_wait(command));
    let has_minimum = said.min_qty_lots > QtyLots(0);
    let minimum_means_something = said.min_qty_lots <= command.qty_lots
        && command.time_in_force != TimeInForce::FillOrKill
        && said.post_only.is_none();
    (!is_of_an_auction(command) || said.trigger.is_none())
        && (said.expires_at_ns == 0 || said.expires_in_s == 0)
        && is_dated == (said.expires_at_ns > 0 || said.expires_in_s > 0)
        && (may_wait || command.time_in_force != TimeInForce::Day && !is_dated)
        && (may_rest || said.post_only.is_none())
        && (!has_minimum || minimum_means_something)
        && (may_wait || said.cancel_on_disconnect.is_none())
        && (said.display_lots == QtyLots(0) || may_rest && shows_enough(said.display_lots, command.qty_lots))
        && armed::is_known(command)
        && (said.twap.is_none() || may_rest)
        && twap::is_sound(said, command.qty_lots)
        && pegs::is_sound(command, said)
}

/// Whether an order may be shown so many lots at a time.
fn shows_enough(display: QtyLots, qty: QtyLots) -> bool {
    display <= qty && qty.0.div_ceil(display.0) <= ICEBERG_SLICES_MAX
}

/// As for a new order, for one of which a replacement leaves so much: it may have grown.
pub(super) fn check_display(order: &Order, leaves: QtyLots) -> Result<(), Stop> {
    let display = order.terms.as_ref().map_or(QtyLots(0), |terms| terms.said.display_lots);
    let shows_all = display == QtyLots(0) || display >= leaves;
    ensure(shows_all || shows_enough(display, leaves), RejectReason::UnsupportedOrder)
}

/// What a replacement changes of an order's terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amended {
    /// What it waits for from then on.
    pub(crate) trigger: Option<Trigger>,
    /// When it ends from then on, of one that is good till a date; else as it was.
    pub(crate) expires_at: Option<UnixNanos>,
}

impl Amended {
    pub(super) fn apply(&self, order: &mut Order) {
        let Some(terms) = &mut order.terms else { return };
        terms.said.trigger = self.trigger;
        terms.expires_at = self.expires_at;
        if order.time_in_force == TimeInForce::GoodTillDate {
            terms.said.expires_at_ns = self.expires_at.map_or(0, |at| at.0);
        }
    }
}

/// What a replacement says of an order's terms. Its end and the price that it waits for may change; all else that is said has to be as it is.
pub(super) fn amended(order: &Order, said: &OrderTerms, time: UnixNanos) -> Result<Amended, Stop> {
    let plain = OrderTerms::default();
    let has = order.terms.as_ref().map_or(&plain, |terms| &terms.said);
    let prevention = has.self_trade_prevention.unwrap_or(SelfTradePrevention::None);
    // What can be replaced has met its minimum, and does not trade leg by leg.
    let is_same = said.post_only.is_none_or(|post_only| has.post_only == Some(post_only))
        && said.min_qty_lots == QtyLots(0)
        && said.twap.is_none()
        && (said.display_lots == QtyLots(0) || said.display_lots == has.display_lots)
        && said.self_trade_prevention.is_none_or(|mode| mode == prevention)
        && said.trail.is_none_or(|trail| has.trail == Some(trail))
        && said.peg.is_none_or(|peg| has.peg == Some(peg))
        && said.cancel_on_disconnect.is_none_or(|cancels| has.cancel_on_disconnect == Some(cancels));
    let may_wait_so = said.trigger.is_none_or(|trigger| {
        has.trigger.is_some_and(|before| {
            let is_moved = trigger.price_ticks != before.price_ticks;
            Trigger { price_ticks: before.price_ticks, ..trigger } == before
                && (!is_moved || has.trail.is_none() && trigger.price_ticks > PriceTicks(0))
        })
    });
    let ends_at = end_said(said, time);
    let may_end = match order.time_in_force {
        TimeInForce::GoodTillDate => said.expires_at_ns == 0 || said.expires_in_s == 0,
        TimeInForce::GoodTillCancel
        | TimeInForce::Day
        | TimeInForce::ImmediateOrCancel
        | TimeInForce::FillOrKill
        | TimeInForce::AtTheOpening
        | TimeInForce::AtTheClose => ends_at.is_none(),
    };
    ensure(is_same && may_wait_so && may_end, RejectReason::UnsupportedOrder)?;
    let has_ended = ends_at.is_some_and(|end| end <= time);
    let is_late = said.valid_until_ns != 0 && said.valid_until_ns < time.0;
    ensure(!has_ended && !is_late, RejectReason::TooLateToEnter)?;
    Ok(Amended { trigger: said.trigger.or(has.trigger), expires_at: ends_at.or(order.expires_at()) })
}

/// Keeps an order that must not take liquidity from doing so at a price: it is refused, or its price gives way. Returns the price.
#[inline]
pub(super) fn keep_from_taking(order: &Order, price: u64, market: &Market) -> Result<u64, Stop> {
    if order.terms.is_none() && market.phase == MarketPhase::Trading {
        return Ok(price);
    }
    give_way(order, price, market)
}

fn give_way(order: &Order, price: u64, market: &Market) -> Result<u64, Stop> {
    let said = order.terms.as_ref().and_then(|terms| terms.said.post_only);
    let must_not = match market.phase {
        MarketPhase::PreOpen | MarketPhase::Auction => None,
        MarketPhase::PostOnly if !order.is_armed() => said.or(Some(PostOnly::Reject)),
        MarketPhase::PostOnly
        | MarketPhase::Trading
        | MarketPhase::CancelOnly
        | MarketPhase::Halt
        | MarketPhase::Closed => said,
    };
    let Some(post_only) = must_not else { return Ok(price) };
    let Some(best) = market.book.best(order.side.opposite()) else { return Ok(price) };
    if !order.side.reaches(PriceTicks(price), best) {
        return Ok(price);
    }
    match post_only {
        PostOnly::Reject => Err(RejectReason::WouldTake.into()),
        PostOnly::Slide => {
            let behind = order.side.behind(best);
            let is_in_range = |price: &PriceTicks| super::price_in_range(&market.definition, *price);
            let PriceTicks(price) = behind.filter(is_in_range).ok_or(RejectReason::WouldTake)?;
            Ok(price)
        }
    }
}

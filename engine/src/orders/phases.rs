//! Phases of a market: what each takes, the auction in which one ends, and the orders that end with it or with the day.
//!
//! While [`MarketPhase::PreOpen`] and [`MarketPhase::Auction`] collect orders the book may be crossed. It is uncrossed on
//! the way to a phase in which it must not be: the market stays in the old phase and takes no orders until every pair has
//! traded at the auction's price, a bounded number of steps behind each record and before the next ones.

use std::collections::BTreeSet;

use protocol::commands::{DefineMarket, NewOrder, RequestMarketStatus, SetMarketPhase};
use protocol::events::{
    AuctionIndicated, AuctionUncrossed, BookChanged, HoldChanged, MarketPhaseChanged, MarketStatusReported,
};
use protocol::limits::{AUCTION_STEPS_PER_RECORD_MAX, INDICATION_INTERVAL_MS};
use protocol::time::NANOS_PER_MILLI;
use protocol::{
    Amount, BookAction, Liquidity, MarketId, MarketPhase, OrderId, OrderStatus, OrderType, PhaseCause,
    PriceTicks, RejectReason, Seq, Side, TimeInForce, UnixNanos,
};

use super::pegs::Round;
use super::terms;
use crate::broken::{Broken, Stop, ensure};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Market, Order, Place};
use crate::matching::{Cross, Fill, MarketLots, Uncross};

/// An auction that is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uncrossing {
    /// The phase that follows.
    pub(crate) to: MarketPhase,
    pub(crate) cause: PhaseCause,
    /// At which pairs trade; `None` where it has to be found.
    pub(crate) price: Option<PriceTicks>,
    /// What has traded at that price.
    pub(crate) lots: u128,
    pub(crate) trades: u32,
    /// Whether there is no price any more: what is good for the auction alone ends.
    pub(crate) is_over: bool,
}

/// What a market's phase knows beside its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases {
    pub(crate) uncrossing: Option<Uncrossing>,
    /// Ages of resting orders that end with the auction.
    of_the_auction: BTreeSet<u64>,
    /// Ages of live orders that end with the day.
    of_the_day: BTreeSet<u64>,
    /// The market has closed: orders of the day up to this record end. 0 = none.
    pub(crate) closes: Seq,
    /// What was published last in this auction.
    pub(crate) indicated: Option<AuctionIndicated>,
    /// From when on it is published again.
    pub(crate) indicates_at: UnixNanos,
    /// Whether the book has changed since.
    pub(crate) is_indication_due: bool,
    /// When its schedule has something to do, unless something else goes on.
    pub(crate) changes_at: Option<UnixNanos>,
    /// When a pause ends by itself.
    pub(crate) resumes_at: Option<UnixNanos>,
}

impl Phases {
    /// Whether something goes on by itself.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.uncrossing.is_some() || self.closes > Seq::ZERO
    }

    /// The set in which an order stands that ends with its auction or its day.
    fn ending(&mut self, order: &Order, is_armed: bool) -> Option<&mut BTreeSet<u64>> {
        match order.time_in_force {
            TimeInForce::Day => Some(&mut self.of_the_day),
            TimeInForce::AtTheOpening | TimeInForce::AtTheClose => Some(&mut self.of_the_auction),
            TimeInForce::GoodTillCancel
            | TimeInForce::GoodTillDate
            | TimeInForce::ImmediateOrCancel
            | TimeInForce::FillOrKill => {
                (order.order_type == OrderType::Market && !is_armed).then_some(&mut self.of_the_auction)
            }
        }
    }

    pub(crate) fn note(&mut self, order: &Order, is_armed: bool) {
        if let Some(ending) = self.ending(order, is_armed) {
            ending.insert(order.id.age());
        }
    }

    pub(crate) fn forget(&mut self, order: &Order, is_armed: bool) {
        if let Some(ending) = self.ending(order, is_armed) {
            ending.remove(&order.id.age());
        }
    }

    pub(super) fn has_orders_of_the_day(&self) -> bool {
        !self.of_the_day.is_empty()
    }

    /// Whether the orders that end with the auction or the day are noted, and nothing else.
    pub(crate) fn notes<'o>(&self, live: impl Iterator<Item = (&'o Order, bool)>) -> bool {
        let mut expected = Self::default();
        live.for_each(|(order, is_armed)| expected.note(order, is_armed));
        (&expected.of_the_auction, &expected.of_the_day) == (&self.of_the_auction, &self.of_the_day)
    }
}

/// Whether orders are collected for an auction.
const fn collects(phase: MarketPhase) -> bool {
    match phase {
        MarketPhase::PreOpen | MarketPhase::Auction => true,
        MarketPhase::Trading
        | MarketPhase::CancelOnly
        | MarketPhase::Halt
        | MarketPhase::PostOnly
        | MarketPhase::Closed => false,
    }
}

impl Market {
    /// Whether what comes rests at once, and the book may be crossed by it.
    pub(crate) const fn is_collecting(&self) -> bool {
        collects(self.phase)
    }

    /// What its orders would trade in an auction. Who bids at the market's highest price, or offers at its lowest, does so at any.
    fn auction(&self) -> Option<Uncross> {
        let DefineMarket { price_ticks_min, price_ticks_max, .. } = self.definition;
        self.book.uncross_beyond((price_ticks_min, price_ticks_max), self.last_traded())
    }

    /// The price of the last trade.
    fn last_traded(&self) -> Option<PriceTicks> {
        (self.last_price > 0).then_some(PriceTicks(self.last_price))
    }
}

/// Whether the market's phase takes such an order. One that `waits` for another one of its list enters only while the market trades.
#[inline]
pub(super) fn takes(market: &Market, command: &NewOrder, waits: bool) -> bool {
    let is_of_an_auction = terms::is_of_an_auction(command);
    if market.phase == MarketPhase::Trading {
        !is_of_an_auction
    } else {
        takes_otherwise(market, command, waits)
    }
}

#[cold]
fn takes_otherwise(market: &Market, command: &NewOrder, waits: bool) -> bool {
    let said = command.terms.get().copied().unwrap_or_default();
    let is_apart = said.trigger.is_some() || waits;
    if waits && terms::is_of_an_auction(command) || said.peg.is_some() {
        return false;
    }
    let may_take_part = said.min_qty_lots.0 == 0 && command.budget.0 == 0 && said.twap.is_none();
    match market.phase {
        MarketPhase::PreOpen | MarketPhase::Auction => {
            let rests = match command.time_in_force {
                TimeInForce::GoodTillCancel
                | TimeInForce::GoodTillDate
                | TimeInForce::Day
                | TimeInForce::AtTheOpening => said.post_only.is_none(),
                TimeInForce::AtTheClose => market.phase == MarketPhase::Auction && said.post_only.is_none(),
                TimeInForce::ImmediateOrCancel | TimeInForce::FillOrKill => false,
            };
            market.phases.uncrossing.is_none() && (is_apart || rests && may_take_part)
        }
        MarketPhase::PostOnly => {
            let may_rest = terms::may_rest(command) && !terms::is_of_an_auction(command);
            is_apart || may_rest && may_take_part
        }
        MarketPhase::Trading | MarketPhase::CancelOnly | MarketPhase::Halt | MarketPhase::Closed => false,
    }
}

/// Whether the market's phase takes changes of its orders.
pub(super) fn takes_replacements(market: &Market) -> bool {
    match market.phase {
        MarketPhase::Trading | MarketPhase::PostOnly => true,
        MarketPhase::PreOpen | MarketPhase::Auction => market.phases.uncrossing.is_none(),
        MarketPhase::CancelOnly | MarketPhase::Halt | MarketPhase::Closed => false,
    }
}

/// A market order that waits for an auction holds for the worst price that the market allows, if it says none.
pub(super) fn bound_price(order: &mut Order, market: &DefineMarket) {
    if order.price == 0 {
        let PriceTicks(bound) = match order.side {
            Side::Buy => market.price_ticks_max,
            Side::Sell => market.price_ticks_min,
        };
        order.price = bound;
    }
}

impl Engine {
    /// Answers which phase a market is in.
    pub(crate) fn market_status(
        &mut self,
        row: u32,
        command: &RequestMarketStatus,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &RequestMarketStatus { request_id, market } = command;
        let market_row = self.markets.row(market).ok_or(RejectReason::UnknownMarket)?;
        let phase = self.markets.rows.at(market_row).phase;
        let reported = MarketStatusReported { request_id, market, phase };
        self.sessions.rows.at_mut(row).send(effects, reported);
        Ok(())
    }

    /// Puts a market into a phase.
    pub(crate) fn set_phase(
        &mut self,
        command: &SetMarketPhase,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let row = self.markets.row(command.market).ok_or(RejectReason::UnknownMarket)?;
        let market = self.markets.rows.at(row);
        let heads_for = market.phases.uncrossing.map_or(market.phase, |uncrossing| uncrossing.to);
        // What pauses for a while can be told to stay so.
        ensure(heads_for != command.phase || market.phases.resumes_at.is_some(), RejectReason::Exists)?;
        Ok(self.go_to(row, command.phase, PhaseCause::Command, effects)?)
    }

    /// Lets a market go into another phase, through its auction where there is one to be carried out. An auction that is under
    /// way goes no further.
    pub(crate) fn go_to(
        &mut self,
        row: u32,
        to: MarketPhase,
        cause: PhaseCause,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        self.markets.end_pause(row);
        let market = self.markets.rows.at_mut(row);
        let id = market.definition.market;
        if let Some(stopped) = market.phases.uncrossing.take() {
            announce(id, &stopped, effects);
        }
        let must_not_cross = matches!(to, MarketPhase::Trading | MarketPhase::PostOnly)
            || market.phase == MarketPhase::Auction && to == MarketPhase::Closed;
        if market.book.may_cross() && must_not_cross {
            let uncrossing = Uncrossing { to, cause, price: None, lots: 0, trades: 0, is_over: false };
            market.phases.uncrossing = Some(uncrossing);
            self.markets.plan(row);
            return Ok(());
        }
        self.enter_phase(row, to, cause, effects)
    }

    fn enter_phase(
        &mut self,
        row: u32,
        phase: MarketPhase,
        cause: PhaseCause,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let Market { definition, phase: now, book, phases, armed, traded, pegs, window, .. } =
            self.markets.rows.at_mut(row);
        if phase == MarketPhase::Trading && armed.triggers.is_empty() {
            // Nobody waits who would have seen it.
            traded.clear();
        }
        let market = definition.market;
        let before = core::mem::replace(now, phase);
        if let Some(window) = window.as_mut().filter(|_| before == MarketPhase::Trading) {
            window.restart();
        }
        if collects(phase) {
            book.set_may_cross(true).map_err(|refusal| Broken::BookRefused { market, refusal })?;
        }
        if phase == MarketPhase::Trading && !pegs.is_empty() {
            pegs.begin(book, Some(Round { from: 0, again: false }));
            self.markets.pegging.insert(market);
        }
        if phase == MarketPhase::Closed {
            phases.closes = effects.seq;
        }
        phases.indicated = None;
        self.markets.plan(row);
        self.markets.indicated(row, effects.time);
        effects.push(MarketPhaseChanged { market, before, phase, cause });
        // What was seen while it did not trade may be what armed orders wait for.
        self.markets.touch(row);
        if phase == MarketPhase::Auction {
            self.indicate(row, effects);
        }
        Ok(())
    }

    /// Publishes what the auction would trade now, if that is something else than before.
    pub(crate) fn indicate(&mut self, row: u32, effects: &mut Effects<'_>) {
        let market = self.markets.rows.at_mut(row);
        let outcome = market.auction();
        let indicated = AuctionIndicated {
            market: market.definition.market,
            price_ticks: outcome.map_or(PriceTicks(0), |outcome| outcome.price),
            lots: outcome.map_or(0, |outcome| outcome.lots),
            surplus_lots: outcome.map_or(0, |outcome| outcome.surplus),
            surplus_side: outcome.and_then(|outcome| outcome.surplus_side),
        };
        if market.phases.indicated.as_ref() != Some(&indicated) {
            market.phases.indicated = Some(indicated.clone());
            effects.push(indicated);
        }
        let interval = INDICATION_INTERVAL_MS.saturating_mul(NANOS_PER_MILLI);
        self.markets.indicated(row, UnixNanos(effects.time.0.saturating_add(interval)));
    }

    /// Carries on with what goes on by itself in markets, as far as one record may.
    pub(crate) fn carry_on(&mut self, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let mut left = AUCTION_STEPS_PER_RECORD_MAX;
        while let Some(&market) = self.markets.unsettled.first() {
            let Some(next) = left.checked_sub(1) else { break };
            left = next;
            self.carry_on_in(market, effects)?;
        }
        Ok(())
    }

    /// The next step of an auction, or the next order that ends with the day.
    pub(crate) fn carry_on_in(&mut self, market: MarketId, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let row = self.market_row(market)?;
        let Market { phases, .. } = self.markets.rows.at_mut(row);
        if phases.uncrossing.is_some() {
            return self.uncross_next(row, effects);
        }
        let last = OrderId::nth(phases.closes, u8::MAX).age();
        match phases.of_the_day.first().filter(|&&age| age <= last) {
            Some(&age) => self.expire_order(row, OrderId::of_age(age), effects),
            None => {
                phases.closes = Seq::ZERO;
                self.markets.plan(row);
                Ok(())
            }
        }
    }

    /// Finds the price, lets a pair trade at it, or ends an order that is good for the auction alone; then the phase changes.
    fn uncross_next(&mut self, row: u32, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let market = self.markets.rows.at_mut(row);
        let id = market.definition.market;
        let Some(mut uncrossing) = market.phases.uncrossing else { return Ok(()) };
        if let Some(price) = uncrossing.price {
            self.roll_days(row, price, effects);
            let market = self.markets.rows.at_mut(row);
            let Some(cross) = market.book.cross_at(price) else {
                announce(id, &uncrossing, effects);
                let is_over = uncrossing.is_over || uncrossing.trades == 0;
                let next = Uncrossing { price: None, lots: 0, trades: 0, is_over, ..uncrossing };
                market.phases.uncrossing = Some(next);
                return Ok(());
            };
            uncrossing.lots = uncrossing.lots.saturating_add(cross.bid.qty.0.into());
            uncrossing.trades = uncrossing.trades.saturating_add(1);
            market.phases.uncrossing = Some(uncrossing);
            return self.settle_cross(row, price, cross, effects);
        }
        let found = if !uncrossing.is_over {
            market.auction()
        } else if let Some(&age) = market.phases.of_the_auction.first() {
            return self.end_order(row, OrderId::of_age(age), RejectReason::AuctionOver, effects);
        } else {
            // Limits alone may still cross, at the market's bounds.
            market.book.uncross(MarketLots::default(), market.last_traded())
        };
        if uncrossing.is_over && found.is_none() {
            market.phases.uncrossing = None;
            market
                .book
                .set_may_cross(false)
                .map_err(|refusal| Broken::BookRefused { market: id, refusal })?;
            return self.enter_phase(row, uncrossing.to, uncrossing.cause, effects);
        }
        uncrossing.price = found.map(|outcome| outcome.price);
        uncrossing.is_over |= found.is_none();
        market.phases.uncrossing = Some(uncrossing);
        Ok(())
    }

    /// Begins the day of the sessions whose orders trade next: an order that has left the book could lose its ClOrdID when the other
    /// one ends.
    fn roll_days(&mut self, market: u32, price: PriceTicks, effects: &Effects<'_>) {
        for side in [Side::Buy, Side::Sell] {
            let front = self.markets.rows.at(market).book.front(side, Some(price));
            let order = front.and_then(|front| self.markets.order(Place { market, slot: front.slot.0 }));
            if let Some(session) = order.map(|order| order.session) {
                self.roll_day(session, None, effects.time);
            }
        }
    }

    /// Settles a pair of an auction: both rested, so both pay what an incoming order pays, and nobody is paid.
    fn settle_cross(
        &mut self,
        market: u32,
        price: PriceTicks,
        cross: Cross,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let [older, younger] = if cross.bid.maker_id.age() < cross.ask.maker_id.age() {
            [cross.bid, cross.ask]
        } else {
            [cross.ask, cross.bid]
        };
        let id = self.markets.rows.at(market).definition.market;
        let mismatch = Broken::OrderMismatch { market: id, order: younger.maker_id };
        let place = Place { market, slot: younger.maker.0 };
        let mut order = self.markets.order(place).cloned().ok_or(mismatch)?;
        let at_price = Fill { price, ..older };
        self.settle(market, &mut order, at_price, [Liquidity::Auction; 2], effects)?;
        // The list of its session may have changed beneath it.
        let entry = self.markets.rows.at_mut(market).entry_mut(place).as_mut().ok_or(mismatch)?;
        let bought = entry.buy_lots();
        *entry = Order { newer: entry.newer, older: entry.older, ..order };
        let order = entry.clone();
        let desk = self.markets.desks.at_mut(order.desk);
        desk.buy_lots = desk.buy_lots.saturating_sub(bought).saturating_add(order.buy_lots());
        if order.leaves() != younger.maker_left.0 {
            return Err(mismatch);
        }
        if let Some(qty_lots) = younger.refilled {
            effects.push(BookChanged {
                market: id,
                order: order.id,
                side: order.side,
                action: BookAction::Refilled,
                price_ticks: younger.price,
                qty_lots,
            });
        }
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        let held = Amount(order.held);
        effects.push(HoldChanged { order: order.id, account: self.ledger.id(account), held });
        if order.leaves() > 0 {
            return Ok(());
        }
        if order.held != 0 {
            return Err(Broken::HoldExceeded { order: order.id });
        }
        self.unlink(place, &order)?;
        self.keep_finished(market, &order, OrderStatus::Filled, None, effects);
        Ok(())
    }
}

/// Tells what has traded at the auction's price, if anything has.
fn announce(market: MarketId, uncrossing: &Uncrossing, effects: &mut Effects<'_>) {
    let Uncrossing { price, lots, trades, .. } = *uncrossing;
    if let Some(price_ticks) = price.filter(|_| trades > 0) {
        effects.push(AuctionUncrossed { market, price_ticks, lots, trades });
    }
}

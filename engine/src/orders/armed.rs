//! Orders that wait for a price: armed on entry, executed when they fire, each completely before the next.
//!
//! What an armed order needs is held from the beginning. Behind each command the prices that were seen in a market are shown to
//! its armed orders ([`Triggers`]); those that fire are executed at once, in their order, at most
//! [`TRIGGERED_PER_RECORD_MAX`] in all; the others before the next records.

use std::collections::BTreeMap;

use protocol::commands::NewOrder;
use protocol::events::{HoldChanged, OrderTriggered};
use protocol::limits::{ARMED_ORDERS_MAX, PEGS_MOVED_PER_RECORD_MAX, TRIGGERED_PER_RECORD_MAX};
use protocol::{
    Amount, ExecType, MarketPhase, OrderId, OrderStatus, OrderType, PriceTicks, RejectReason, Side, UnixNanos,
};

use super::{fees, rules};
use crate::broken::{Broken, Stop, ensure};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Market, Order, Place};
use crate::matching::triggers::{Armed, Prices, TRAILING_PER_MARKET_MAX, Triggers};
use crate::rows::Rows;

/// The armed orders of one market.
#[derive(Clone, Debug, Default)]
pub(crate) struct ArmedOrders {
    pub(crate) triggers: Triggers,
    /// What stands in a free row means nothing.
    pub(crate) rows: Rows<Option<Order>>,
    free: Vec<u32>,
    by_id: BTreeMap<OrderId, u32>,
}

impl ArmedOrders {
    pub(crate) fn row_of(&self, order: OrderId) -> Option<u32> {
        self.by_id.get(&order).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The ids and rows, in the order of ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (OrderId, u32)> {
        self.by_id.iter().map(|(&id, &row)| (id, row))
    }

    /// A row for an order.
    pub(crate) fn open(&mut self, order: OrderId) -> u32 {
        let row = self.free.pop().unwrap_or_else(|| self.rows.push(None));
        self.by_id.insert(order, row);
        row
    }

    /// The order of this row has left.
    pub(crate) fn close(&mut self, order: OrderId) {
        self.free.extend(self.by_id.remove(&order));
    }
}

/// What follows behind a command, in this order.
#[derive(Clone, Copy, Debug)]
enum Behind {
    /// A session's orders are pulled.
    Pull,
    /// A list goes on.
    List,
    /// A pegged order of this market's row is moved.
    Peg(u32),
    /// An order of this market's row fires.
    Fire(u32),
}

/// Whether one more order may be armed in a market.
pub(super) fn ensure_room(command: &NewOrder, market: &Market) -> Result<(), Stop> {
    let Some(terms) = command.terms.get() else { return Ok(()) };
    let triggers = &market.armed.triggers;
    let is_full = terms.trigger.is_some() && market.armed.len() >= ARMED_ORDERS_MAX;
    let is_trailing_full = terms.trail.is_some() && triggers.trailing() >= TRAILING_PER_MARKET_MAX;
    ensure(!is_full && !is_trailing_full, RejectReason::TooManyStops)
}

impl Engine {
    /// Arms an accepted order, whose hold is in place.
    pub(super) fn arm(&mut self, market: u32, order: Order, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let row = self.markets.rows.at_mut(market);
        let mismatch = Broken::OrderMismatch { market: row.definition.market, order: order.id };
        let said = order.terms.as_ref().ok_or(mismatch)?.said;
        let (trigger, trail) = (said.trigger.ok_or(mismatch)?, said.trail);
        let armed = Armed { order: order.id, side: order.side, trigger, trail, extreme: None };
        row.armed.triggers.arm(armed).map_err(|_| mismatch)?;
        let place = Place::armed(market, row.armed.open(order.id));
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        let hold =
            HoldChanged { order: order.id, account: self.ledger.id(account), held: Amount(order.held) };
        self.list(place, order);
        effects.push(hold);
        self.markets.touched.push(market);
        Ok(())
    }

    /// What follows next from what has happened.
    fn next_behind(&self) -> Option<Behind> {
        if !self.protections.due.is_empty() {
            Some(Behind::Pull)
        } else if self.has_due_list() {
            Some(Behind::List)
        } else if let Some((_, market)) = self.markets.next_pegging() {
            Some(Behind::Peg(market))
        } else {
            self.markets.next_firing().map(|(_, market)| Behind::Fire(market))
        }
    }

    /// Pulls orders that are protected, carries lists on of which the command moved an order, moves pegged orders to the prices that it
    /// brought about, and shows these to the armed orders; those that fire are executed. They come in this order.
    pub(crate) fn fire_armed(&mut self, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let (mut steps, mut pegs) = (TRIGGERED_PER_RECORD_MAX, PEGS_MOVED_PER_RECORD_MAX);
        self.see_prices(effects)?;
        while let Some(next) = self.next_behind() {
            let bound = if matches!(next, Behind::Peg(_)) { &mut pegs } else { &mut steps };
            let Some(left) = bound.checked_sub(1) else { break };
            *bound = left;
            match next {
                Behind::Pull => self.pull_quotes(effects)?,
                Behind::List => self.advance_list(effects)?,
                Behind::Peg(market) => self.move_next_peg(market, effects)?,
                Behind::Fire(market) => self.fire_next(market, effects)?,
            }
            self.see_prices(effects)?;
        }
        Ok(())
    }

    /// Asks the pegged and the armed orders of the markets in which something has happened, and pauses those whose price has moved too
    /// far: behind that, so that who is armed in a pause has not seen what led to it.
    #[inline]
    pub(crate) fn see_prices(&mut self, effects: &mut Effects<'_>) -> Result<(), Broken> {
        if !self.markets.touched.is_empty() {
            self.show_prices();
        }
        if !self.markets.exceeded.is_empty() {
            self.pause_volatile(effects)?;
        }
        Ok(())
    }

    fn show_prices(&mut self) {
        for market in core::mem::take(&mut self.markets.touched) {
            let row = self.markets.rows.at_mut(market);
            if row.phase != MarketPhase::Trading {
                continue;
            }
            if !row.pegs.is_empty() && row.pegs.see(&row.book) {
                self.markets.pegging.insert(row.definition.market);
            }
            let index = row.index_at(self.time);
            let seen = |last| Prices {
                last: Some(last),
                best_bid: row.book.best(Side::Buy),
                best_ask: row.book.best(Side::Sell),
                index,
            };
            let last = PriceTicks(row.last_price);
            let traded = if row.traded.turns().is_empty() { &[last] } else { row.traded.turns() };
            row.armed.triggers.due(traded.iter().map(|last| seen(*last)));
            row.traded.clear();
            if row.armed.triggers.queue().next().is_some() {
                let id = row.definition.market;
                self.markets.firing.insert(id);
            }
        }
    }

    /// Executes the order of a market that fires next.
    pub(crate) fn fire_next(&mut self, market: u32, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let row = self.markets.rows.at_mut(market);
        let id = row.definition.market;
        let due = row.armed.triggers.next_due();
        if row.armed.triggers.queue().next().is_none() {
            self.markets.firing.remove(&id);
        }
        let Some(order) = due else { return Ok(()) };
        let mismatch = Broken::OrderMismatch { market: id, order };
        let place = self.markets.place(market, order).ok_or(mismatch)?;
        let mut order = self.markets.order(place).cloned().ok_or(mismatch)?;
        // While it is in neither place it does not count as live: what it fills must not be the first to see that the day has changed.
        self.roll_day(order.session, None, effects.time);
        self.unlink(place, &order)?;
        self.markets.rows.at_mut(market).armed.close(order.id);
        if let Some(terms) = &mut order.terms {
            terms.said.trigger = None;
        }
        effects.push(OrderTriggered { market: id, order: order.id });
        match self.decide_pair(market, &mut order, effects) {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => return self.expire(market, order, refusal.reason, effects),
            Err(Stop::Broken(what)) => return Err(what),
        }
        self.size_by_budget(market, &mut order)?;
        self.report(market, &order, ExecType::Restated, OrderStatus::New, None, effects);
        if let Err(reason) = self.may_enter(market, &order, effects.time) {
            return self.expire(market, order, reason, effects);
        }
        self.execute_order(market, order, effects)
    }

    /// What its market demands of an order that enters later than it was accepted.
    pub(super) fn may_enter(&self, market: u32, order: &Order, time: UnixNanos) -> Result<(), RejectReason> {
        let row = self.markets.rows.at(market);
        rules::ensure_in_band(row, (order.side, order.order_type, PriceTicks(order.price)), time)?;
        let desk = self.markets.desks.at(order.desk);
        rules::ensure_position(row, (desk, order.side), order.leaves(), &self.ledger)
    }

    /// The quantity of an order by budget follows from the book that it enters.
    fn size_by_budget(&self, market: u32, order: &mut Order) -> Result<(), Broken> {
        if !order.is_market_buy() {
            return Ok(());
        }
        let tick = self.markets.rows.at(market).definition.tick_quote_minor.0;
        let notional = fees::affordable(order.held, order.rates.taker_ppb)
            .ok_or(Broken::Overflow { what: "budget of an order" })?;
        order.qty = self.lots_for(market, order, notional.checked_div(tick).unwrap_or(0))?.0;
        Ok(())
    }
}

/// Whether an order's trigger is one that the engine knows how to watch.
pub(super) fn is_known(command: &NewOrder) -> bool {
    let Some(terms) = command.terms.get() else { return true };
    let Some(trigger) = terms.trigger else { return terms.trail.is_none() };
    let may_cost =
        command.order_type == OrderType::Limit || command.side == Side::Sell || command.budget.0 > 0;
    let trail_is_sound = terms.trail.is_none_or(|trail| trail.is_sound());
    (trigger.price_ticks.0 > 0 || terms.trail.is_some())
        && trail_is_sound
        && may_cost
        && terms.post_only.is_none()
        && terms.min_qty_lots.0 == 0
}

//! The life of an order: admitted or refused here, traded in [`execution`], changed or cancelled in [`amend`].
//!
//! Checks run in the order in which [`protocol::RejectReason`] declares their reasons, and all of them before anything is
//! changed. What is held for an order covers its worst case, fee included ([`fees`]); each fill releases its part.

mod amend;
pub(crate) mod armed;
mod execution;
pub(crate) mod fees;
pub(crate) mod lists;
pub(crate) mod pegs;
pub(crate) mod phases;
pub(crate) mod protection;
pub(crate) mod quotes;
mod reports;
pub(crate) mod rules;
pub(crate) mod schedule;
mod self_trade;
pub(crate) mod terms;
#[cfg(test)]
mod tests;
pub(crate) mod twap;
pub(crate) mod volatility;

use protocol::commands::{ClOrdId, DefineMarket, NewOrder, roles};
use protocol::limits::BOOK_ORDERS_MAX;
use protocol::terms::{OrderDetails, OrderTerms};
use protocol::{
    ClientId, ExecType, OrderId, OrderStatus, OrderType, PriceTicks, QtyLots, RejectReason, Side, Text,
    TimeInForce,
};

use crate::broken::{Broken, Refusal, Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::fees::Rates;
use crate::markets::{Market, Order, Place};
use crate::sessions::cl_ord_ids::{Finished, Look};
use terms::Terms;

/// An order that passed every check but the last, whether its worst case is covered.
struct Admitted {
    market: u32,
    order: Order,
    /// What to hold for it.
    worst_case: u128,
}

impl Engine {
    pub(crate) fn new_order(
        &mut self,
        row: u32,
        command: &NewOrder,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let look = self.look(row, &command.cl_ord_id);
        if command.poss_resend && self.answer_repetition(row, look, command.cl_ord_id, effects) {
            return Err(RejectReason::Exists.into());
        }
        let admitted = self.admit_order(row, command, Some(look), false, effects).and_then(|admitted| {
            let desk = self.markets.desks.at(admitted.order.desk);
            self.ledger.ensure_open(desk.paying_account(command.side.opposite()))?;
            self.ledger.hold(desk.paying_account(command.side), admitted.worst_case)?;
            Ok(admitted)
        });
        let Admitted { market, mut order, worst_case } = match admitted {
            Ok(admitted) => admitted,
            Err(Stop::Refused(refusal)) => {
                self.refuse_order(row, (OrderId(effects.seq.0), command), look, refusal, effects);
                return Err(Stop::Refused(refusal));
            }
            Err(Stop::Broken(what)) => return Err(what.into()),
        };
        order.held = worst_case;
        self.remember_id(row, look, &command.cl_ord_id, order.id, command.market);
        self.report(market, &order, ExecType::New, OrderStatus::New, None, effects);
        self.enter(market, order, effects)?;
        Ok(())
    }

    /// Puts an accepted order, whose hold is in place, on its way.
    fn enter(&mut self, market: u32, order: Order, effects: &mut Effects<'_>) -> Result<(), Broken> {
        if order.is_armed() {
            self.arm(market, order, effects)
        } else if order.next_leg_at().is_some() {
            self.execute_leg(market, order, effects)
        } else if order.limit_of_peg().is_some() {
            self.place_pegged(market, order, effects)
        } else {
            self.execute_order(market, order, effects)
        }
    }

    /// The checks, in the order of the reasons. `look`: at its ClOrdID, if it uses one. Of an order that `waits` for another one of its list,
    /// those that are of a moment are made when it enters.
    fn admit_order(
        &mut self,
        row: u32,
        command: &NewOrder,
        look: Option<Look>,
        waits: bool,
        effects: &Effects<'_>,
    ) -> Result<Admitted, Stop> {
        let session = self.sessions.rows.at(row);
        self.registry.entitle(session.definition.actor, roles::TRADER)?;
        ensure_field(!command.cl_ord_id.is_empty(), "cl_ord_id")?;
        let is_used = look.is_some_and(|look| look.used.is_some());
        ensure(is_used || look.is_none() || !session.ids.is_full(), RejectReason::TableFull)?;
        let market_row = self.markets.row(command.market).ok_or(RejectReason::UnknownMarket)?;
        let client = self.sessions.client(row, command.client).ok_or(RejectReason::ClientNotEntitled)?;
        let desk_row =
            self.markets.desk(client, market_row, &self.ledger).ok_or(RejectReason::NoSettlementAccount)?;
        ensure(session.is_for(client), RejectReason::ClientNotEntitled)?;
        ensure(!is_used, RejectReason::DuplicateClOrdId)?;
        let market = self.markets.rows.at(market_row);
        ensure(phases::takes(market, command, waits), RejectReason::MarketClosed)?;
        if session.is_protected {
            self.protections.ensure_ready((session.definition.session, command.market))?;
        }
        check_terms(&market.definition, command)?;
        rules::ensure_may_self_trade(command, market)?;
        terms::check(command, effects.time)?;
        let rates = self.markets.rates(desk_row, effects);
        let market = self.markets.rows.at(market_row);
        let mut order = new_order(command, (market, rates), effects, row, desk_row);
        let priced = (order.side, order.order_type, command.price_ticks);
        if !order.is_armed() && !waits {
            rules::ensure_in_band(market, priced, effects.time)?;
        }
        let desk = self.markets.desks.at(desk_row);
        if waits || terms::may_wait(command) || market.is_collecting() {
            ensure(desk.live < market.definition.client_orders_max, RejectReason::TooManyOrders)?;
            armed::ensure_room(command, market)?;
            rules::ensure_room(&order, desk, market)?;
            pegs::ensure_room(&order, market)?;
            ensure(market.book.len() < BOOK_ORDERS_MAX, RejectReason::BookFull)?;
        }
        if waits {
            return Ok(Admitted { market: market_row, order, worst_case: 0 });
        }
        order.price = terms::keep_from_taking(&order, order.price, market)?;
        order.price = pegs::follow(&order, (order.price, command.price_ticks), market);
        if market.is_collecting() && !order.is_armed() {
            phases::bound_price(&mut order, &market.definition);
        }
        let worst_case = self.worst_case(market_row, &mut order, command.budget.0)?;
        let desk = self.markets.desks.at(desk_row);
        let market = self.markets.rows.at(market_row);
        rules::ensure_position(market, (desk, order.side), order.leaves(), &self.ledger)?;
        Ok(Admitted { market: market_row, order, worst_case })
    }

    /// What an order may cost at most. Sets the quantity of an order by budget (0 = by quantity): what the budget buys now.
    fn worst_case(&self, row: u32, order: &mut Order, budget: u128) -> Result<u128, Stop> {
        let market = self.markets.rows.at(row);
        if !order.is_market_buy() || market.is_collecting() && !order.is_armed() {
            return Ok(fees::worst_case(order, &market.definition)?);
        }
        let tick = market.definition.tick_quote_minor.0;
        let limit = (order.price > 0).then_some(PriceTicks(order.price));
        if budget > 0 {
            let notional_max =
                fees::affordable(budget, order.rates.taker_ppb).ok_or(RejectReason::NotionalOutOfRange)?;
            let ticks_lots = notional_max.checked_div(tick).unwrap_or(0);
            if !order.is_armed() {
                order.qty = self.lots_for(row, order, ticks_lots)?.0;
            }
            return Ok(budget);
        }
        let ticks_lots = if order.prevents().is_some() {
            self.reach(row, order, limit, (QtyLots(order.qty), u128::MAX))?.ticks_lots
        } else {
            market.book.fillable(Side::Buy, limit, QtyLots(order.qty)).notional
        };
        let cost = ticks_lots.checked_mul(tick).and_then(|notional| {
            let (charged, _) = fees::charge(0, notional, order.rates.taker_ppb).ok()?;
            notional.checked_add(charged)
        });
        Ok(cost.ok_or(RejectReason::NotionalOutOfRange)?)
    }

    /// How many lots a market order to buy gets for so much now.
    fn lots_for(&self, row: u32, order: &Order, ticks_lots: u128) -> Result<QtyLots, Broken> {
        let market = self.markets.rows.at(row);
        let limit = (order.price > 0).then_some(PriceTicks(order.price));
        let lots_max = market.definition.market_qty_lots_max;
        if order.prevents().is_some() {
            return Ok(self.reach(row, order, limit, (lots_max, ticks_lots))?.lots);
        }
        Ok(market.book.affordable(Side::Buy, limit, ticks_lots).lots.min(lots_max))
    }

    /// Reports a refusal. Its ClOrdID counts as used, so that a repetition of the message is refused again.
    fn refuse_order(
        &mut self,
        row: u32,
        (order, command): (OrderId, &NewOrder),
        look: Look,
        refusal: Refusal,
        effects: &mut Effects<'_>,
    ) {
        let client = self.sessions.client(row, command.client).unwrap_or(ClientId(0));
        let refused = Finished {
            order,
            cl_ord_id: command.cl_ord_id,
            client,
            market: command.market,
            side: command.side,
            order_type: command.order_type,
            time_in_force: command.time_in_force,
            status: OrderStatus::Rejected,
            reason: Some(refusal.reason),
            price: command.price_ticks.0,
            qty: command.qty_lots.0,
            cum: 0,
            cum_ticks_lots: 0,
        };
        let mut report = reports::of_finished(&refused, ExecType::Rejected);
        if let Some(&said) = command.terms.get() {
            let terms = OrderTerms { self_trade_prevention: None, ..said };
            report.details = OrderDetails { terms, cl_list_id: Text::EMPTY }.into();
        }
        self.sessions.rows.at_mut(row).send(effects, report);
        if self.remember_id(row, look, &command.cl_ord_id, order, command.market) {
            self.sessions.rows.at_mut(row).ids.finish(&refused);
        }
    }

    fn look(&self, row: u32, id: &ClOrdId) -> Look {
        self.sessions.rows.at(row).ids.look(id, self.sessions.hash_seed)
    }

    /// Marks a ClOrdID as used, and what for. Returns whether it is new and there was room for it.
    fn remember_id(
        &mut self,
        row: u32,
        look: Look,
        id: &ClOrdId,
        order: OrderId,
        market: protocol::MarketId,
    ) -> bool {
        let ids = &mut self.sessions.rows.at_mut(row).ids;
        let is_new = look.used.is_none() && !id.is_empty() && !ids.is_full();
        if is_new {
            ids.remember(look, id, order, market);
        }
        is_new
    }

    /// Where the UTC day has changed for a session, forgets its ids that are not those of live orders.
    #[inline]
    pub(crate) fn roll_day(&mut self, row: u32, ending: Option<OrderId>, time: protocol::UnixNanos) {
        if self.sessions.rows.at(row).ids.is_of_another_day(time) {
            self.forget_ids(row, ending, time);
        }
    }

    #[cold]
    fn forget_ids(&mut self, row: u32, ending: Option<OrderId>, time: protocol::UnixNanos) {
        let seed = self.sessions.hash_seed;
        let ids = &mut self.sessions.rows.at_mut(row).ids;
        let markets = &self.markets;
        ids.new_day(time, seed, |used| {
            // An order that is ending just now has left the book already.
            ending == Some(used.order)
                || markets.row(used.market).is_some_and(|market| markets.place(market, used.order).is_some())
        });
    }

    /// Puts an order to its place, in front of its session's others.
    pub(crate) fn list(&mut self, place: Place, order: Order) {
        let row = order.session;
        let is_volatile = order.says_on_disconnect() == Some(true);
        let head = self.markets.link(place, order, self.sessions.rows.at(row).orders);
        let session = self.sessions.rows.at_mut(row);
        session.orders = head;
        session.volatile_orders = session.volatile_orders.saturating_add(u32::from(is_volatile));
    }

    /// Takes the order at a place, which has left the book, from beside its slot.
    fn unlink(&mut self, place: Place, order: &Order) -> Result<(), Broken> {
        let market = self.markets.rows.at(place.market).definition.market;
        let session = self.sessions.rows.at_mut(order.session);
        let head = self.markets.unlink(place, session.orders);
        session.orders = head.ok_or(Broken::OrderMismatch { market, order: order.id })?;
        let is_volatile = order.says_on_disconnect() == Some(true);
        session.volatile_orders = session.volatile_orders.saturating_sub(u32::from(is_volatile));
        Ok(())
    }

    fn keep_finished(
        &mut self,
        market: u32,
        order: &Order,
        status: OrderStatus,
        reason: Option<RejectReason>,
        effects: &Effects<'_>,
    ) {
        self.roll_day(order.session, Some(order.id), effects.time);
        // Quotes come and go more often than what is remembered of a session may grow; those that have traded may be busted.
        let ids = &self.sessions.rows.at(order.session).ids;
        if order.quote().is_some() && (order.cum == 0 || !ids.has_room_for_ended()) {
            return;
        }
        let finished = Finished {
            order: order.id,
            cl_ord_id: order.cl_ord_id,
            client: self.markets.desks.at(order.desk).client,
            market: self.markets.rows.at(market).definition.market,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            status,
            reason,
            price: order.price,
            qty: order.qty,
            cum: order.cum,
            cum_ticks_lots: order.cum_ticks_lots,
        };
        self.sessions.rows.at_mut(order.session).ids.finish(&finished);
        self.lists.note_ended(order, status);
    }
}

/// Price, quantity, notional, and whether their combination means something.
fn check_terms(definition: &DefineMarket, command: &NewOrder) -> Result<(), Stop> {
    let is_limit = command.order_type == OrderType::Limit;
    let by_budget = command.budget.0 > 0;
    let no_price = !is_limit && command.price_ticks.0 == 0;
    ensure(no_price || price_in_range(definition, command.price_ticks), RejectReason::PriceOutOfRange)?;
    let qty_max = if is_limit { definition.qty_lots_max } else { definition.market_qty_lots_max };
    let qty_in_range = definition.qty_lots_min <= command.qty_lots && command.qty_lots <= qty_max;
    ensure(by_budget || qty_in_range, RejectReason::QtyOutOfRange)?;
    ensure(
        !is_limit || by_budget || notional_in_range(definition, command.price_ticks, command.qty_lots),
        RejectReason::NotionalOutOfRange,
    )?;
    let budget_means_something = !is_limit
        && command.side == Side::Buy
        && command.qty_lots.0 == 0
        && command.time_in_force != TimeInForce::FillOrKill;
    ensure(!by_budget || budget_means_something, RejectReason::UnsupportedOrder)
}

fn price_in_range(definition: &DefineMarket, price: PriceTicks) -> bool {
    definition.price_ticks_min <= price && price <= definition.price_ticks_max
}

fn notional_in_range(definition: &DefineMarket, price: PriceTicks, qty: QtyLots) -> bool {
    let notional = price.times(qty).checked_mul(definition.tick_quote_minor.0);
    notional.is_some_and(|n| definition.notional_min.0 <= n && n <= definition.notional_max.0)
}

fn new_order(
    command: &NewOrder,
    (market, rates): (&Market, Rates),
    effects: &Effects<'_>,
    session: u32,
    desk: u32,
) -> Order {
    Order {
        id: OrderId(effects.seq.0),
        cl_ord_id: command.cl_ord_id,
        session,
        desk,
        side: command.side,
        order_type: command.order_type,
        time_in_force: command.time_in_force,
        price: command.price_ticks.0,
        qty: command.qty_lots.0,
        cum: 0,
        cum_ticks_lots: 0,
        held: 0,
        fee_residue_ppb: 0,
        tax_residue: 0,
        rates,
        amendments: 0,
        terms: Terms::of(command, effects.time, market),
        newer: Place::NONE,
        older: Place::NONE,
    }
}

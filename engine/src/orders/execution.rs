//! Matching and settlement of an admitted order: fill by fill, each settled before the next.

use protocol::events::{BookChanged, ExecutionReport, HoldChanged, Settled};
use protocol::{
    Amount, BookAction, ExecType, Liquidity, OrderStatus, OrderType, PriceTicks, QtyLots, RejectReason, Side,
    TimeInForce, TradeId, UnixNanos,
};

use super::fees::{self, Charge, charge_fill};
use super::reports::live_status;
use super::rules;
use super::self_trade::Meeting;
use super::terms::rests;
use crate::broken::{Broken, sum};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::fees::day_of;
use crate::ledger::Ledger;
use crate::markets::{Desk, Market, Order, Place};
use crate::matching::{BookRefusal, Fill};

/// What one fill moves.
pub(super) struct Settlement {
    pub(super) base: u128,
    pub(super) notional: u128,
    pub(super) taker_side: Side,
    pub(super) maker: Charge,
    pub(super) taker: Charge,
}

/// Of what belongs to maker and taker, the buyer's and the seller's.
fn by_side<T>(taker_side: Side, maker: T, taker: T) -> (T, T) {
    match taker_side {
        Side::Buy => (taker, maker),
        Side::Sell => (maker, taker),
    }
}

impl Engine {
    /// Trades an accepted order, then rests what is left or lets it expire.
    pub(super) fn execute_order(
        &mut self,
        market: u32,
        mut order: Order,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        if self.markets.rows.at(market).is_collecting() {
            return self.rest(market, order, effects);
        }
        let limit = match rules::collared(self.markets.rows.at(market), &order, effects.time) {
            Ok(limit) => limit,
            Err(reason) => return self.expire(market, order, reason, effects),
        };
        if let Some((least, reason)) = least_at_once(&mut order)
            && self.fillable(market, &order, limit, least)? != least
        {
            return self.expire(market, order, reason, effects);
        }
        if !self.sweep(market, &mut order, limit, QtyLots(0), effects)? {
            return self.end_in_match(market, order, effects);
        }
        let by_budget_without_lots = order.qty == 0;
        if order.leaves() == 0 && !by_budget_without_lots {
            self.release_hold(&mut order)?;
            self.keep_finished(market, &order, OrderStatus::Filled, None, effects);
            return Ok(());
        }
        if self.is_stopped_by_collar(market, &order, limit) {
            return self.expire(market, order, RejectReason::PriceCollar, effects);
        }
        match (order.order_type, order.time_in_force) {
            (OrderType::Market, _) => {
                self.expire(market, order, RejectReason::InsufficientLiquidity, effects)
            }
            (OrderType::Limit, time_in_force) if rests(time_in_force) => self.rest(market, order, effects),
            (OrderType::Limit, _) => self.expire(market, order, RejectReason::ImmediateOrCancel, effects),
        }
    }

    /// Trades an order with what it meets, until it has only `keeps` left. False where it met its own group, and ends.
    pub(super) fn sweep(
        &mut self,
        market: u32,
        order: &mut Order,
        limit: Option<PriceTicks>,
        QtyLots(keeps): QtyLots,
        effects: &mut Effects<'_>,
    ) -> Result<bool, Broken> {
        while order.leaves() > keeps {
            let wanted = QtyLots(order.leaves().saturating_sub(keeps));
            match self.meet(market, order, limit, wanted, effects)? {
                Meeting::Stranger => {}
                Meeting::Own => continue,
                Meeting::Ends => return Ok(false),
            }
            let book = &mut self.markets.rows.at_mut(market).book;
            let Some(fill) = book.fill_front(order.side, limit, wanted) else { break };
            self.settle(market, order, fill, [Liquidity::Maker, Liquidity::Taker], effects)?;
        }
        Ok(true)
    }

    /// Whether an order that has traded all that it could would go on, but for its market's collar.
    fn is_stopped_by_collar(&self, market: u32, order: &Order, collared: Option<PriceTicks>) -> bool {
        let limit = (order.price > 0).then_some(PriceTicks(order.price));
        collared != limit && order.leaves() > 0 && {
            let best = self.markets.rows.at(market).book.best(order.side.opposite());
            best.is_some_and(|best| limit.is_none_or(|limit| order.side.reaches(limit, best)))
        }
    }

    /// How much of `qty` would be filled at once.
    fn fillable(
        &self,
        market: u32,
        order: &Order,
        limit: Option<PriceTicks>,
        qty: QtyLots,
    ) -> Result<QtyLots, Broken> {
        if order.prevents().is_some() {
            return Ok(self.reach(market, order, limit, (qty, u128::MAX))?.filled);
        }
        Ok(self.markets.rows.at(market).book.fillable(order.side, limit, qty).lots)
    }

    pub(super) fn rest(
        &mut self,
        market: u32,
        mut order: Order,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let row = self.markets.rows.at_mut(market);
        let (price, leaves) = (PriceTicks(order.price), QtyLots(order.leaves()));
        let rested = match order.display() {
            Some(display) => row.book.insert_iceberg(order.id, order.side, price, leaves, display),
            None => row.book.insert(order.id, order.side, price, leaves),
        };
        match rested {
            Ok(slot) => {
                let added = BookChanged {
                    market: row.definition.market,
                    order: order.id,
                    side: order.side,
                    action: BookAction::Added,
                    price_ticks: price,
                    qty_lots: order.display().unwrap_or(leaves),
                };
                let account = self.markets.desks.at(order.desk).paying_account(order.side);
                let (id, held) = (order.id, Amount(order.held));
                self.list(Place { market, slot: slot.0 }, order);
                self.markets.touch(market);
                effects.push(HoldChanged { order: id, account: self.ledger.id(account), held });
                effects.push(added);
                Ok(())
            }
            // Only the bound on levels cannot be told before the order has traded.
            Err(BookRefusal::BookFull | BookRefusal::LevelsFull) => {
                order.newer = Place::NONE;
                self.expire(market, order, RejectReason::BookFull, effects)
            }
            Err(refusal) => Err(Broken::BookRefused { market: row.definition.market, refusal }),
        }
    }

    /// What is left of an order that does not rest.
    pub(super) fn expire(
        &mut self,
        market: u32,
        order: Order,
        reason: RejectReason,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        self.end_incoming(market, order, (OrderStatus::Expired, reason), effects)
    }

    /// What is left of an order that met its own group.
    pub(super) fn end_in_match(
        &mut self,
        market: u32,
        order: Order,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        self.end_incoming(market, order, (OrderStatus::ExpiredInMatch, RejectReason::SelfTrade), effects)
    }

    fn end_incoming(
        &mut self,
        market: u32,
        mut order: Order,
        (status, reason): (OrderStatus, RejectReason),
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        self.release_hold(&mut order)?;
        self.report(market, &order, ExecType::Expired, status, Some(reason), effects);
        self.keep_finished(market, &order, status, Some(reason), effects);
        Ok(())
    }

    pub(super) fn release_hold(&mut self, order: &mut Order) -> Result<(), Broken> {
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        self.ledger.release_hold(account, core::mem::take(&mut order.held))
    }

    /// Settles one fill: both orders advance, their holds shrink, money and fees move, both sides hear of it. `liquidity`: the
    /// maker's and the taker's.
    pub(super) fn settle(
        &mut self,
        market: u32,
        taker: &mut Order,
        fill: Fill,
        liquidity: [Liquidity; 2],
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let Market { definition, orders, fee_account, tax_account, .. } = self.markets.rows.at_mut(market);
        let (fee_account, tax_account) = (*fee_account, *tax_account);
        let mismatch = Broken::OrderMismatch { market: definition.market, order: fill.maker_id };
        let maker =
            orders.at_mut(fill.maker.0).as_mut().filter(|maker| maker.id == fill.maker_id).ok_or(mismatch)?;
        let notional = fill
            .price
            .times(fill.qty)
            .checked_mul(definition.tick_quote_minor.0)
            .ok_or(Broken::Overflow { what: "notional of a fill" })?;
        let maker_charge = advance(maker, &fill, notional, liquidity[0])?;
        let taker_charge = advance(taker, &fill, notional, liquidity[1])?;
        if maker.leaves() != fill.maker_left.0 {
            return Err(mismatch);
        }
        let taker_held = if taker.is_market_buy() && liquidity[1] == Liquidity::Taker {
            let paid = notional.saturating_add(taker_charge.fee).saturating_add(taker_charge.tax);
            taker.held.checked_sub(paid).ok_or(Broken::HoldExceeded { order: taker.id })?
        } else {
            fees::worst_case(taker, definition)?
        };
        let maker_held = fees::worst_case(maker, definition)?;
        let bought = if maker.side == Side::Buy { u128::from(fill.qty.0) } else { 0 };
        let desk = self.markets.desks.at_mut(maker.desk);
        desk.buy_lots = desk.buy_lots.saturating_sub(bought);
        let desks = &self.markets.desks;
        let (maker_desk, taker_desk) = (desks.at(maker.desk), desks.at(taker.desk));
        lower_hold(&mut self.ledger, maker, maker_desk, maker_held)?;
        lower_hold(&mut self.ledger, taker, taker_desk, taker_held)?;
        let base = u128::from(fill.qty.0)
            .checked_mul(definition.lot_base_minor.0)
            .ok_or(Broken::Overflow { what: "base of a fill" })?;
        let (taker_side, traders) = (taker.side, [maker.desk, taker.desk]);
        let settlement = Settlement { base, notional, taker_side, maker: maker_charge, taker: taker_charge };
        let accounts = [fee_account, tax_account];
        let paid = post(&mut self.ledger, [maker_desk, taker_desk], accounts, &settlement, effects.time)?;
        let (buyer, seller) = by_side(taker_side, maker_desk.client, taker_desk.client);
        let (buyer_charge, seller_charge) = by_side(taker_side, paid, taker_charge);
        self.trades = self.trades.saturating_add(1);
        let settled = Settled {
            trade: TradeId(self.trades),
            market: definition.market,
            price_ticks: fill.price,
            qty_lots: fill.qty,
            notional: Amount(notional),
            maker_order: fill.maker_id,
            taker_order: taker.id,
            taker_side,
            buyer,
            seller,
            buyer_fee: Amount(buyer_charge.fee),
            seller_fee: Amount(seller_charge.fee),
            buyer_tax: Amount(buyer_charge.tax),
            seller_tax: Amount(seller_charge.tax),
            maker_is_paid: paid.is_rebate,
        };
        self.count_volume(traders, notional, effects);
        self.report_fill(market, taker, &fill, (liquidity, [paid, taker_charge]), settled, effects)
    }

    /// Counts a fill for the tiers of both sides; what is traded within a trade group reaches no tier.
    fn count_volume(&mut self, [maker, taker]: [u32; 2], notional: u128, effects: &Effects<'_>) {
        let desks = &self.markets.desks;
        if !desks.at(maker).is_of_group(desks.at(taker)) {
            let today = day_of(effects.time);
            self.markets.add_volume(maker, today, notional);
            self.markets.add_volume(taker, today, notional);
        }
    }

    /// Reports a settled fill to both sides, and ends the maker where it is filled.
    fn report_fill(
        &mut self,
        market: u32,
        taker: &Order,
        fill: &Fill,
        ([maker_liquidity, taker_liquidity], [maker_charge, taker_charge]): ([Liquidity; 2], [Charge; 2]),
        settled: Settled,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        self.markets.saw_trade(market, fill.price, effects.time);
        let place = Place { market, slot: fill.maker.0 };
        let missing = Broken::OrderMismatch { market: settled.market, order: fill.maker_id };
        let maker = self.markets.order(place).ok_or(missing)?;
        let trade = settled.trade;
        let taker_report = self.fill_report(market, taker, fill, trade, taker_liquidity, taker_charge);
        let maker_report = self.fill_report(market, maker, fill, trade, maker_liquidity, maker_charge);
        let account = self.markets.desks.at(maker.desk).paying_account(maker.side);
        let hold =
            HoldChanged { order: maker.id, account: self.ledger.id(account), held: Amount(maker.held) };
        let (maker_session, maker_side, maker_price) = (maker.session, maker.side, PriceTicks(maker.price));
        let protected = &self.sessions.rows.at(maker_session);
        if protected.is_protected && maker_liquidity == Liquidity::Maker {
            let key = (protected.definition.session, settled.market);
            self.protections.note_fill(key, effects.time, fill.qty);
        }
        self.lists.note_acted(maker);
        self.lists.note_acted(taker);
        self.sessions.rows.at_mut(taker.session).send(effects, taker_report);
        self.sessions.rows.at_mut(maker_session).send(effects, maker_report);
        let market_id = settled.market;
        effects.push(settled);
        if let Some(qty_lots) = fill.refilled {
            effects.push(BookChanged {
                market: market_id,
                order: fill.maker_id,
                side: maker_side,
                action: BookAction::Refilled,
                price_ticks: maker_price,
                qty_lots,
            });
        }
        effects.push(hold);
        if fill.maker_left.0 == 0 {
            let ended = self.markets.order(place).ok_or(missing)?.clone();
            if ended.held != 0 {
                return Err(Broken::HoldExceeded { order: ended.id });
            }
            self.unlink(place, &ended)?;
            self.keep_finished(market, &ended, OrderStatus::Filled, None, effects);
        }
        Ok(())
    }

    #[inline(always)]
    fn fill_report(
        &self,
        market: u32,
        order: &Order,
        fill: &Fill,
        trade: TradeId,
        liquidity: Liquidity,
        charge: Charge,
    ) -> ExecutionReport {
        let status = if order.leaves() == 0 { OrderStatus::Filled } else { live_status(order) };
        ExecutionReport {
            last_price_ticks: fill.price,
            last_qty_lots: fill.qty,
            trade,
            liquidity: Some(liquidity),
            fee: Amount(charge.fee),
            fee_is_paid: charge.is_rebate,
            tax: Amount(charge.tax),
            ..self.report_of(market, order, ExecType::Trade, status)
        }
    }
}

/// What has to be filled on entry, or nothing is, and why then it expires. A minimum counts once: what rests has met it.
fn least_at_once(order: &mut Order) -> Option<(QtyLots, RejectReason)> {
    if order.time_in_force == TimeInForce::FillOrKill {
        return Some((QtyLots(order.leaves()), RejectReason::FillOrKill));
    }
    let minimum = core::mem::take(&mut order.terms.as_mut()?.said.min_qty_lots);
    (minimum > QtyLots(0)).then_some((minimum, RejectReason::MinQtyNotMet))
}

/// Counts a fill in an order. Returns what it is charged for it.
fn advance(order: &mut Order, fill: &Fill, notional: u128, liquidity: Liquidity) -> Result<Charge, Broken> {
    let charge = charge_fill(order, notional, liquidity)?;
    order.cum = order.cum.checked_add(fill.qty.0).ok_or(Broken::Overflow { what: "filled quantity" })?;
    order.cum_ticks_lots = sum(order.cum_ticks_lots, fill.price.times(fill.qty), "value of fills")?;
    Ok(charge)
}

/// Releases what an order no longer needs held.
pub(super) fn lower_hold(
    ledger: &mut Ledger,
    order: &mut Order,
    desk: &Desk,
    held: u128,
) -> Result<(), Broken> {
    let freed = order.held.checked_sub(held).ok_or(Broken::HoldExceeded { order: order.id })?;
    order.held = held;
    ledger.release_hold(desk.paying_account(order.side), freed)
}

/// Base from seller to buyer, quote from buyer to seller, then the taker's fee and the maker's, each with its tax. A rebate comes out of the
/// account that the taker's fee has just gone into: what is beyond its money and its lines is not
/// paid. Returns what the maker was charged or paid.
pub(super) fn post(
    ledger: &mut Ledger,
    [maker, taker]: [&Desk; 2],
    [fee_account, tax_account]: [u32; 2],
    settlement: &Settlement,
    time: UnixNanos,
) -> Result<Charge, Broken> {
    let &Settlement { base, notional, taker_side, maker: mut charge, taker: taker_charge } = settlement;
    let (buyer, seller) = by_side(taker_side, maker, taker);
    ledger.post(seller.base_account, buyer.base_account, base)?;
    ledger.post(buyer.quote_account, seller.quote_account, notional)?;
    ledger.post(taker.quote_account, fee_account, taker_charge.fee)?;
    ledger.post(taker.quote_account, tax_account, taker_charge.tax)?;
    if charge.is_rebate {
        charge.fee = ledger.payable(fee_account, charge.fee, time);
        ledger.post(fee_account, maker.quote_account, charge.fee)?;
    } else {
        ledger.post(maker.quote_account, fee_account, charge.fee)?;
        ledger.post(maker.quote_account, tax_account, charge.tax)?;
    }
    Ok(charge)
}

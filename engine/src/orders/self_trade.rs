//! Orders of one trade group that meet, and what is done where they would trade.
//!
//! A client's orders are of one group; clients whom an operator has put into a trade group are of one, too. The incoming
//! order says what is done ([`SelfTradePrevention`]); what its own resting orders say counts for a transfer alone.

use protocol::events::{ExecutionReport, HoldChanged, Settled, TradePrevented};
use protocol::{
    Amount, ExecType, OrderStatus, PriceTicks, QtyLots, RejectReason, SelfTradePrevention, Side, TradeId,
};

use super::execution::{Settlement, lower_hold, post};
use super::fees::{self, Charge};
use super::reports::live_status;
use crate::broken::Broken;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Market, Order, Place};
use crate::matching::Resting;

/// Whom an incoming order meets first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// An order that it may trade with, or nobody.
    Stranger,
    /// One of its group, and that is dealt with.
    Own,
    /// One of its group, and nothing is left of the incoming order.
    Ends,
}

impl Order {
    /// What is done where it would trade with its own group; `None` = they trade.
    pub(super) fn prevents(&self) -> Option<SelfTradePrevention> {
        let said = self.terms.as_ref()?.said.self_trade_prevention?;
        (said != SelfTradePrevention::None).then_some(said)
    }
}

impl Engine {
    /// Deals with the order that a taker would trade `wanted` with next, if it is of the same group.
    pub(super) fn meet(
        &mut self,
        market: u32,
        taker: &mut Order,
        limit: Option<PriceTicks>,
        wanted: QtyLots,
        effects: &mut Effects<'_>,
    ) -> Result<Meeting, Broken> {
        let Some(mode) = taker.prevents() else { return Ok(Meeting::Stranger) };
        let Some(front) = self.markets.rows.at(market).book.front(taker.side, limit) else {
            return Ok(Meeting::Stranger);
        };
        if !self.is_own(market, taker, &front)? {
            return Ok(Meeting::Stranger);
        }
        let place = Place { market, slot: front.slot.0 };
        let prevented = wanted.0.min(front.qty.0);
        effects.push(TradePrevented {
            market: self.markets.rows.at(market).definition.market,
            mode,
            maker_order: front.id,
            taker_order: taker.id,
            price_ticks: front.price,
            maker_qty_lots: front.qty,
            taker_qty_lots: QtyLots(taker.leaves()),
            prevented_lots: QtyLots(prevented),
        });
        match mode {
            SelfTradePrevention::None => Ok(Meeting::Stranger),
            SelfTradePrevention::ExpireTaker => Ok(Meeting::Ends),
            SelfTradePrevention::ExpireMaker => {
                self.expire_maker(place, effects)?;
                Ok(Meeting::Own)
            }
            SelfTradePrevention::ExpireBoth => {
                self.expire_maker(place, effects)?;
                Ok(Meeting::Ends)
            }
            SelfTradePrevention::Decrement => {
                self.decrement_maker(place, prevented, None, effects)?;
                self.decrement_taker(market, taker, prevented, None, effects)
            }
            SelfTradePrevention::Transfer => self.transfer(place, taker, &front, prevented, effects),
        }
    }

    /// Moves so much between the accounts of two orders that both say so, at the resting one's price and without fees: it is
    /// no trade. Between orders of one account there is nothing to move. Both are told of what was moved, and at which price.
    fn transfer(
        &mut self,
        place: Place,
        taker: &mut Order,
        front: &Resting,
        lots: u64,
        effects: &mut Effects<'_>,
    ) -> Result<Meeting, Broken> {
        let Market { definition, fee_account, tax_account, .. } = self.markets.rows.at(place.market);
        let mismatch = Broken::OrderMismatch { market: definition.market, order: front.id };
        let maker = self.markets.order(place).ok_or(mismatch)?;
        let (maker_desk, taker_desk) = (maker.desk, taker.desk);
        let moves = maker.prevents() == Some(SelfTradePrevention::Transfer) && maker_desk != taker_desk;
        let (id, accounts) = (definition.market, [*fee_account, *tax_account]);
        let overflow = Broken::Overflow { what: "transfer between accounts" };
        let notional =
            front.price.times(QtyLots(lots)).checked_mul(definition.tick_quote_minor.0).ok_or(overflow)?;
        let base = u128::from(lots).checked_mul(definition.lot_base_minor.0).ok_or(overflow)?;
        let moved = moves.then_some((front.price, QtyLots(lots)));
        self.decrement_maker(place, lots, moved, effects)?;
        let meeting = self.decrement_taker(place.market, taker, lots, moved, effects)?;
        if !moves {
            return Ok(meeting);
        }
        if meeting == Meeting::Ends {
            self.release_hold(taker)?;
        } else if taker.is_market_buy() {
            let held = taker.held.checked_sub(notional).ok_or(Broken::HoldExceeded { order: taker.id })?;
            lower_hold(&mut self.ledger, taker, self.markets.desks.at(taker_desk), held)?;
        }
        let (maker_desk, taker_desk) = (self.markets.desks.at(maker_desk), self.markets.desks.at(taker_desk));
        let (buyer, seller) = match taker.side {
            Side::Buy => (taker_desk, maker_desk),
            Side::Sell => (maker_desk, taker_desk),
        };
        let (taker_side, free) = (taker.side, Charge::default());
        let settlement = Settlement { base, notional, taker_side, maker: free, taker: free };
        post(&mut self.ledger, [maker_desk, taker_desk], accounts, &settlement, effects.time)?;
        effects.push(Settled {
            trade: TradeId(0),
            market: id,
            price_ticks: front.price,
            qty_lots: QtyLots(lots),
            notional: Amount(notional),
            maker_order: front.id,
            taker_order: taker.id,
            taker_side: taker.side,
            buyer: buyer.client,
            seller: seller.client,
            buyer_fee: Amount::ZERO,
            seller_fee: Amount::ZERO,
            buyer_tax: Amount::ZERO,
            seller_tax: Amount::ZERO,
            maker_is_paid: false,
        });
        Ok(meeting)
    }

    fn is_own(&self, market: u32, taker: &Order, resting: &Resting) -> Result<bool, Broken> {
        let place = Place { market, slot: resting.slot.0 };
        let missing = Broken::OrderMismatch {
            market: self.markets.rows.at(market).definition.market,
            order: resting.id,
        };
        let maker = self.markets.order(place).ok_or(missing)?;
        let desks = &self.markets.desks;
        Ok(desks.at(maker.desk).is_of_group(desks.at(taker.desk)))
    }

    fn expire_maker(&mut self, place: Place, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let state = (ExecType::Expired, OrderStatus::ExpiredInMatch);
        self.end_at(place, state, RejectReason::SelfTrade, None, effects)
    }

    /// Takes so much off a resting order; it keeps its place.
    fn decrement_maker(
        &mut self,
        place: Place,
        lots: u64,
        moved: Option<(PriceTicks, QtyLots)>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let maker = self.lower_qty(place, lots)?.clone();
        if maker.leaves() == 0 {
            if moved.is_some() {
                self.report_restated(place.market, &maker, moved, effects);
            }
            return self.expire_maker(place, effects);
        }
        self.lists.note_reduced(&maker);
        let maker = self.reduce_in_place(place, lots, effects)?;
        self.report_restated(place.market, &maker, moved, effects);
        let account = self.markets.desks.at(maker.desk).paying_account(maker.side);
        let held = Amount(maker.held);
        effects.push(HoldChanged { order: maker.id, account: self.ledger.id(account), held });
        Ok(())
    }

    /// Takes so much off an incoming order.
    fn decrement_taker(
        &mut self,
        market: u32,
        taker: &mut Order,
        lots: u64,
        moved: Option<(PriceTicks, QtyLots)>,
        effects: &mut Effects<'_>,
    ) -> Result<Meeting, Broken> {
        taker.qty = taker.qty.saturating_sub(lots);
        self.lists.note_reduced(taker);
        if taker.leaves() == 0 {
            if moved.is_some() {
                self.report_restated(market, taker, moved, effects);
            }
            return Ok(Meeting::Ends);
        }
        if !taker.is_market_buy() {
            let held = fees::worst_case(taker, &self.markets.rows.at(market).definition)?;
            lower_hold(&mut self.ledger, taker, self.markets.desks.at(taker.desk), held)?;
        }
        self.report_restated(market, taker, moved, effects);
        Ok(Meeting::Own)
    }

    /// An order has become smaller; what was `moved` of it changed its account, at this price.
    fn report_restated(
        &mut self,
        market: u32,
        order: &Order,
        moved: Option<(PriceTicks, QtyLots)>,
        effects: &mut Effects<'_>,
    ) {
        let report = self.report_of(market, order, ExecType::Restated, live_status(order));
        let (last_price_ticks, last_qty_lots) = moved.unwrap_or((PriceTicks(0), QtyLots(0)));
        let reason = Some(RejectReason::SelfTrade);
        let report = ExecutionReport { last_price_ticks, last_qty_lots, reason, ..report };
        self.sessions.rows.at_mut(order.session).send(effects, report);
    }

    /// What an order of `lots_max` and `ticks_lots_max` would meet within `limit`: slice by slice, because those of its group count
    /// otherwise. They are left out where they would expire, end the walk where they would end the order, and else use it up
    /// without being fills; what a transfer of them costs is counted.
    pub(super) fn reach(
        &self,
        market: u32,
        order: &Order,
        limit: Option<PriceTicks>,
        (lots_max, ticks_lots_max): (QtyLots, u128),
    ) -> Result<Reach, Broken> {
        let mut reach = Reach::default();
        let mut own_met = Vec::new();
        for (resting, slice) in self.markets.rows.at(market).book.slices(order.side.opposite()) {
            if limit.is_some_and(|limit| !order.side.reaches(limit, resting.price)) {
                break;
            }
            let is_own = self.is_own(market, order, &resting)?;
            match order.prevents().filter(|_| is_own) {
                Some(SelfTradePrevention::ExpireMaker) => continue,
                Some(SelfTradePrevention::ExpireTaker | SelfTradePrevention::ExpireBoth) => break,
                Some(
                    SelfTradePrevention::Decrement
                    | SelfTradePrevention::Transfer
                    | SelfTradePrevention::None,
                )
                | None => {}
            }
            // All of an own iceberg is used up where its first slice is met.
            if is_own && own_met.contains(&resting.id) {
                continue;
            }
            let available = if is_own { resting.qty } else { slice };
            own_met.extend(is_own.then_some(resting.id));
            let affordable =
                ticks_lots_max.saturating_sub(reach.ticks_lots).checked_div(resting.price.0.into());
            let affordable = u64::try_from(affordable.unwrap_or(0)).unwrap_or(u64::MAX);
            let bound = lots_max.0.saturating_sub(reach.lots.0).min(affordable);
            let taken = QtyLots(available.0.min(bound));
            reach.lots = QtyLots(reach.lots.0.saturating_add(taken.0));
            reach.ticks_lots = reach.ticks_lots.saturating_add(resting.price.times(taken));
            if !is_own {
                reach.filled = QtyLots(reach.filled.0.saturating_add(taken.0));
            }
            if taken < available {
                break;
            }
        }
        Ok(reach)
    }
}

/// What an order would meet in the book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Lots of it that are used up.
    pub(super) lots: QtyLots,
    /// Of these, lots that trade.
    pub(super) filled: QtyLots,
    /// Σ price × lots.
    pub(super) ticks_lots: u128,
}

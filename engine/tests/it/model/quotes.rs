//! Mass quotes: every side of every quote is looked for among all live orders.

use protocol::commands::{MassQuote, NewOrder};
use protocol::rows::QuoteEntry;
use protocol::terms::OrderTerms;
use protocol::{
    Amount, ClientId, MarketPhase, OrderType, PriceTicks, QtyLots, RejectReason, RejectReason::*, Side,
    TimeInForce,
};

use super::lists::leg_id;
use super::{Model, ModelOrder};

/// What came of a mass quote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quoted {
    pub(crate) entered: u32,
    pub(crate) kept: u32,
    pub(crate) withdrawn: u32,
    /// (entry, market, why)
    pub(crate) refused: Vec<(u32, u32, RejectReason)>,
}

fn is_side(order: &ModelOrder, client: u64, entry: &QuoteEntry, side: Side) -> bool {
    order.client == client
        && order.market == entry.market.0
        && order.quote == Some(entry.entry)
        && order.side == side
}

impl Model {
    pub(crate) fn mass_quote(&mut self, id: u64, client: u64, command: &MassQuote) -> Option<RejectReason> {
        self.roll(client, None);
        self.quoted = Quoted::default();
        if command.withdraws_market.is_some_and(|market| !self.markets.contains_key(&market.0)) {
            return Some(UnknownMarket);
        }
        if command.client.is_some_and(|other| other != ClientId(client)) {
            return Some(ClientNotEntitled);
        }
        if command.withdraws_others {
            let is_named = |order: &ModelOrder| {
                let sides = [Side::Buy, Side::Sell];
                command
                    .entries
                    .iter()
                    .any(|entry| sides.iter().any(|&side| is_side(order, client, entry, side)))
            };
            let is_meant = |order: &&ModelOrder| {
                order.client == client
                    && order.quote.is_some()
                    && command.withdraws_market.is_none_or(|market| market.0 == order.market)
                    && !is_named(order)
            };
            let mut meant: Vec<u64> = self.live.iter().filter(is_meant).map(|order| order.id).collect();
            meant.sort_by_key(|id| id.rotate_left(8));
            meant.into_iter().for_each(|id| self.withdraw(id));
        }
        for (at, entry) in command.entries.iter().enumerate() {
            if let Err(refusal) = self.quote(id, client, command, (at, entry)) {
                self.quoted.refused.push((entry.entry, entry.market.0, refusal));
            }
        }
        None
    }

    fn withdraw(&mut self, id: u64) {
        let at = self.live.iter().position(|order| order.id == id).unwrap();
        let order = self.live.remove(at);
        self.quoted.withdrawn += 1;
        self.end(order.client, id);
    }

    fn quote(
        &mut self,
        id: u64,
        client: u64,
        command: &MassQuote,
        (at, entry): (usize, &QuoteEntry),
    ) -> Result<(), RejectReason> {
        if !self.markets.contains_key(&entry.market.0) {
            return Err(UnknownMarket);
        }
        let sides = [
            (Side::Buy, entry.bid_price_ticks, entry.bid_lots),
            (Side::Sell, entry.offer_price_ticks, entry.offer_lots),
        ];
        let (mut kept, mut new) = (Vec::new(), Vec::new());
        for (number, (side, price, lots)) in sides.into_iter().enumerate() {
            let former = self.live.iter().find(|order| is_side(order, client, entry, side)).cloned();
            let stays =
                |order: &ModelOrder| order.price == price.0 && 0 < lots.0 && lots.0 <= order.qty - order.cum;
            match former {
                Some(order) if stays(&order) => kept.push((order.id, lots.0, as_order(command, entry, side))),
                former => {
                    if let Some(order) = former {
                        self.withdraw(order.id);
                    }
                    if lots.0 > 0 {
                        new.push((leg_id(id, 2 * at + number), as_order(command, entry, side)));
                    }
                }
            }
        }
        let judged = self.judge_quote(client, entry, &kept, &new);
        self.legs.clear();
        let orders = match judged {
            Ok(orders) => orders,
            Err(refusal) => {
                kept.iter().for_each(|kept| self.withdraw(kept.0));
                return Err(refusal);
            }
        };
        for (id, lots, _) in kept {
            let order = self.live.iter_mut().find(|order| order.id == id).unwrap();
            order.qty = order.cum + lots;
            order.shrink();
            self.quoted.kept += 1;
        }
        for order in orders {
            self.quoted.entered += 1;
            self.enter(order, 0);
        }
        Ok(())
    }

    fn judge_quote(
        &mut self,
        client: u64,
        entry: &QuoteEntry,
        kept: &[(u64, u64, NewOrder)],
        new: &[(u64, NewOrder)],
    ) -> Result<Vec<ModelOrder>, RejectReason> {
        if entry.bid_lots.0 > 0 && entry.offer_lots.0 > 0 && entry.bid_price_ticks >= entry.offer_price_ticks
        {
            return Err(InvalidSpread);
        }
        let (market, phase) = self.markets[&entry.market.0].clone();
        for (id, lots, order) in kept {
            if matches!(phase, MarketPhase::CancelOnly | MarketPhase::Halt | MarketPhase::Closed) {
                return Err(MarketClosed);
            }
            if self.has_tripped(client, entry.market.0) {
                return Err(MarketMakerProtection);
            }
            let before = self.live.iter().find(|live| live.id == *id).unwrap();
            if *lots < before.qty - before.cum {
                if order.price_ticks < market.price_ticks_min || order.price_ticks > market.price_ticks_max {
                    return Err(PriceOutOfRange);
                }
                if *lots < market.qty_lots_min.0 || *lots > market.qty_lots_max.0 {
                    return Err(QtyOutOfRange);
                }
                let notional =
                    u128::from(*lots) * u128::from(order.price_ticks.0) * market.tick_quote_minor.0;
                if notional < market.notional_min.0 || notional > market.notional_max.0 {
                    return Err(NotionalOutOfRange);
                }
            }
        }
        for (id, said) in new {
            // No id that anybody uses.
            if let Some(refusal) = self.check_admission(client, "", said, false) {
                return Err(refusal);
            }
            let mut order = self.model_order(*id, client, said, "");
            order.quote = Some(entry.entry);
            order.price = self.kept_from_taking(&order).unwrap();
            self.legs.push(order);
        }
        for order in &self.legs {
            if self.is_closed(client, &market) {
                return Err(AccountClosed);
            }
            if self.needed(order) > self.available(client, self.paying_asset(order)) {
                return Err(InsufficientFunds);
            }
        }
        Ok(self.legs.clone())
    }
}

fn as_order(command: &MassQuote, entry: &QuoteEntry, side: Side) -> NewOrder {
    let (price_ticks, qty_lots): (PriceTicks, QtyLots) = match side {
        Side::Buy => (entry.bid_price_ticks, entry.bid_lots),
        Side::Sell => (entry.offer_price_ticks, entry.offer_lots),
    };
    let terms = OrderTerms {
        post_only: command.post_only,
        self_trade_prevention: command.self_trade_prevention,
        ..OrderTerms::default()
    };
    NewOrder {
        market: entry.market,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::GoodTillCancel,
        price_ticks,
        qty_lots,
        budget: Amount(0),
        terms: terms.into(),
        ..crate::definitions::limit("q", side, 0, 0)
    }
}

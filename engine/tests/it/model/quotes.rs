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
        let names: std::collections::BTreeSet<_> =
            command.entries.iter().map(|entry| (entry.market, entry.entry)).collect();
        let is_meant = command.withdraws_others || command.withdraws_market.is_none();
        if names.len() < command.entries.len() || !is_meant {
            return Some(FieldOutOfRange);
        }
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
        command.entries.iter().for_each(|entry| self.withdraw_changed(client, command, entry));
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

    /// What of a quote is as it is said, and no less than that, stays.
    fn withdraw_changed(&mut self, client: u64, command: &MassQuote, entry: &QuoteEntry) {
        for (side, lots) in sides(entry) {
            let former = self.live.iter().find(|order| is_side(order, client, entry, side));
            let Some(former) = former.cloned() else { continue };
            let mut said = self.model_order(former.id, client, &as_order(command, entry, side), "");
            let is_same_kind = (said.post_only, said.prevention) == (former.post_only, former.prevention);
            said.price = self.kept_from_taking(&said).unwrap_or(0);
            let stays = said.price == former.price && 0 < lots && lots <= former.qty - former.cum;
            if !stays || !is_same_kind {
                self.withdraw(former.id);
            }
        }
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
        self.withdraw_changed(client, command, entry);
        let (mut kept, mut new) = (Vec::new(), Vec::new());
        for (number, (side, lots)) in sides(entry).into_iter().enumerate() {
            let said = as_order(command, entry, side);
            match self.live.iter().find(|order| is_side(order, client, entry, side)) {
                Some(order) => kept.push((order.id, lots, said)),
                None if lots > 0 => new.push((leg_id(id, 2 * at + number), said)),
                None => {}
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
        for (_, _, order) in kept {
            if matches!(phase, MarketPhase::CancelOnly | MarketPhase::Halt | MarketPhase::Closed) {
                return Err(MarketClosed);
            }
            if self.has_tripped(client, entry.market.0) {
                return Err(MarketMakerProtection);
            }
            self.check_change(&market, (order.price_ticks, order.qty_lots))?;
            let refused =
                self.band_refusal(market.market.0, order.side, OrderType::Limit, order.price_ticks.0);
            refused.map_or(Ok(()), Err)?;
            if self.is_closed(client, &market) {
                return Err(AccountClosed);
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

fn sides(entry: &QuoteEntry) -> [(Side, u64); 2] {
    [(Side::Buy, entry.bid_lots.0), (Side::Sell, entry.offer_lots.0)]
}

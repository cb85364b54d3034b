//! Orders of one trade group that meet.

use protocol::{SelfTradePrevention, Side};

use super::{Model, ModelOrder};

impl Model {
    /// Whether two orders are of one trade group, and the incoming one does not want them to trade.
    pub(super) fn prevented(&self, taker: &ModelOrder, maker: &ModelOrder) -> bool {
        taker.prevention != SelfTradePrevention::None && self.of_one_group(taker, maker)
    }

    pub(super) fn of_one_group(&self, taker: &ModelOrder, maker: &ModelOrder) -> bool {
        let group = |order: &ModelOrder| self.groups.get(&order.client).filter(|&&group| group != 0);
        taker.client == maker.client || (group(taker).is_some() && group(taker) == group(maker))
    }

    /// Deals with a resting order that must not be traded with. Returns whether the taker goes on.
    pub(super) fn prevent(&mut self, taker: &mut ModelOrder, at: usize) -> bool {
        use SelfTradePrevention::*;
        let maker = self.live[at].clone();
        *self.prevented.entry((taker.prevention.code(), taker.legs.is_some())).or_default() += 1;
        // Of an order that trades leg by leg, the leg.
        let lots = (taker.qty - taker.cum - taker.keeps).min(maker.qty - maker.cum);
        if [ExpireMaker, ExpireBoth].contains(&taker.prevention) {
            self.live.remove(at);
            self.end(maker.client, maker.id);
        }
        if [Decrement, Transfer].contains(&taker.prevention) {
            taker.qty -= lots;
            self.live[at].qty -= lots;
            self.live[at].shrink();
            self.note_reduced(maker.id);
            self.note_reduced(taker.id);
            if self.live[at].qty == self.live[at].cum {
                self.live.remove(at);
                self.end(maker.client, maker.id);
            }
            if taker.prevention == Transfer && maker.prevention == Transfer && taker.client != maker.client {
                self.move_amounts(taker, &maker, lots);
            }
        }
        ![ExpireTaker, ExpireBoth].contains(&taker.prevention)
    }

    /// Base and quote of so many lots at the maker's price. Returns the quote.
    pub(super) fn move_amounts(&mut self, taker: &ModelOrder, maker: &ModelOrder, lots: u64) -> u128 {
        let market = self.markets[&taker.market].0.clone();
        let notional = u128::from(lots) * u128::from(maker.price) * market.tick_quote_minor.0;
        let base = u128::from(lots) * market.lot_base_minor.0;
        let (buyer, seller) =
            if taker.side == Side::Buy { (taker.client, maker.client) } else { (maker.client, taker.client) };
        *self.balances.get_mut(&(seller, market.quote.0)).unwrap() += notional;
        *self.balances.get_mut(&(buyer, market.quote.0)).unwrap() -= notional;
        *self.balances.get_mut(&(buyer, market.base.0)).unwrap() += base;
        *self.balances.get_mut(&(seller, market.base.0)).unwrap() -= base;
        notional
    }
}

//! Pegged orders: where each has to stand is reckoned from all orders each time, and who stands elsewhere is moved.

use protocol::commands::NewOrder;
use protocol::terms::OrderTerms;
use protocol::{MarketPhase, OrderId, OrderType, PegTo, Side};

use super::{Model, ModelOrder, RESTING};

impl ModelOrder {
    pub(super) fn is_in_book(&self) -> bool {
        let is_parked = self.peg.is_some() && self.price == 0;
        self.trigger.is_none() && !self.waits && self.legs.is_none() && !is_parked
    }

    pub(crate) fn limit(&self) -> u64 {
        if self.peg.is_some() { self.cap } else { self.price }
    }

    pub(super) fn set_limit(&mut self, limit: u64) {
        self.cap = limit;
        if self.peg.is_none() {
            self.price = limit;
        } else if self.price > 0 {
            // It stands where it stood, but no further than it may.
            self.price = if self.side == Side::Buy { self.price.min(limit) } else { self.price.max(limit) };
        }
    }

    /// Whether a replacement leaves it where the one before stood, in its place.
    pub(super) fn keeps_place(&self, before: &Self) -> bool {
        let is_parked = before.peg.is_some() && before.price == 0;
        before.trigger.is_some() || is_parked || self.limit() == before.limit() && self.qty < before.qty
    }
}

pub(super) fn goes_with(command: &NewOrder, terms: &OrderTerms) -> bool {
    command.order_type == OrderType::Limit
        && RESTING.contains(&command.time_in_force)
        && terms.trigger.is_none()
        && terms.twap.is_none()
        && terms.post_only.is_none()
        && terms.min_qty_lots.0 == 0
}

impl Model {
    /// The best price of a side among the orders that are meant.
    fn best_of(&self, market: u32, side: Side, is_meant: impl Fn(&ModelOrder) -> bool) -> Option<u64> {
        let rest = self.live.iter().filter(|order| {
            order.market == market && order.side == side && order.is_in_book() && is_meant(order)
        });
        let prices = rest.map(|order| order.price);
        if side == Side::Buy { prices.max() } else { prices.min() }
    }

    /// Where a pegged order has to stand; 0 = nowhere.
    fn pegged_price(&self, order: &ModelOrder) -> u64 {
        let (peg, side) = (order.peg.unwrap(), order.side);
        let follows = if peg.to == PegTo::Primary { side } else { side.opposite() };
        let Some(reference) = self.best_of(order.market, follows, |other| other.peg.is_none()) else {
            return 0;
        };
        let offset = u64::from(peg.offset_ticks);
        let other = self.best_of(order.market, side.opposite(), |_| true);
        let price = if side == Side::Buy {
            let wanted = reference.saturating_sub(offset).min(order.cap);
            other.map_or(wanted, |ask| wanted.min(ask - 1))
        } else {
            let wanted = (reference + offset).max(order.cap);
            other.map_or(wanted, |bid| wanted.max(bid + 1))
        };
        let (market, _) = &self.markets[&order.market];
        let is_in_range = market.price_ticks_min.0 <= price && price <= market.price_ticks_max.0;
        if is_in_range { price } else { 0 }
    }

    /// Gives an order that enters anew its price, if it is pegged and its market trades.
    pub(super) fn follow(&self, order: &mut ModelOrder) {
        if order.peg.is_some() && self.markets[&order.market].1 == MarketPhase::Trading {
            order.price = self.pegged_price(order);
        }
    }

    fn is_misplaced(&self, order: &ModelOrder) -> bool {
        order.peg.is_some() && order.price != self.pegged_price(order)
    }

    pub(super) fn look_at_pegs(&mut self, market: u32) {
        if self.live.iter().any(|order| order.market == market && self.is_misplaced(order)) {
            self.pegging.insert(market);
        }
    }

    /// Moves the pegged orders of a market that stand elsewhere than they have to, round by round; false where there is none.
    pub(super) fn move_pegs(&mut self) -> bool {
        let open = self.pegging.iter().copied().find(|market| self.markets[market].1 == MarketPhase::Trading);
        let Some(market) = open else { return false };
        self.pegging.remove(&market);
        let mut has_moved = true;
        while has_moved {
            has_moved = false;
            let own = self.live.iter().filter(|order| order.market == market && order.peg.is_some());
            let mut ids: Vec<u64> = own.map(|order| order.id).collect();
            ids.sort_by_key(|&id| OrderId(id).age());
            for id in ids {
                let at = self.live.iter().position(|order| order.id == id).unwrap();
                if self.is_misplaced(&self.live[at]) {
                    has_moved = true;
                    self.repriced += 1;
                    if self.live[at].price == 0 {
                        self.roll(self.live[at].client, None);
                    }
                    let mut order = self.live.remove(at);
                    order.price = self.pegged_price(&order);
                    self.rest(order);
                    self.see(market);
                }
            }
        }
        self.pegging.remove(&market);
        true
    }
}

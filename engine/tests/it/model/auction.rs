//! Phases and auctions, naively: the price is looked for at every tick, and an auction is carried out at once.

use protocol::commands::NewOrder;
use protocol::{MarketPhase, OrderId, OrderType, Side, TimeInForce};

use super::fees::{charge, signed, unsigned};
use super::{DAY, FEES, Model, ModelOrder, ModelTrade, RESTING, TAXES};

impl ModelOrder {
    pub(super) fn is_of_the_day(&self, market: u32) -> bool {
        self.market == market && self.time_in_force == TimeInForce::Day
    }
}

/// Orders that end with an auction.
fn is_of_the_auction(order: &ModelOrder) -> bool {
    let named = [TimeInForce::AtTheOpening, TimeInForce::AtTheClose].contains(&order.time_in_force);
    order.is_in_book() && (named || !order.is_limit)
}

impl Model {
    pub(crate) fn collects(&self, market: u32) -> bool {
        [MarketPhase::PreOpen, MarketPhase::Auction].contains(&self.markets[&market].1)
    }

    /// Whether the phase takes a new order.
    pub(super) fn takes(&self, command: &NewOrder, waits: bool) -> bool {
        use TimeInForce::*;
        let terms = command.terms.get().copied().unwrap_or_default();
        let phase = self.markets[&command.market.0].1;
        let of_auction = [AtTheOpening, AtTheClose].contains(&command.time_in_force);
        if waits && of_auction || terms.peg.is_some() && phase != MarketPhase::Trading {
            return false;
        }
        let is_armed = terms.trigger.is_some() || waits;
        let is_plain = terms.min_qty_lots.0 == 0 && command.budget.0 == 0 && terms.twap.is_none();
        let is_limit = command.order_type == OrderType::Limit;
        let waits = [GoodTillCancel, GoodTillDate, Day, AtTheOpening].contains(&command.time_in_force)
            || phase == MarketPhase::Auction && command.time_in_force == AtTheClose;
        match phase {
            MarketPhase::Trading => !of_auction,
            MarketPhase::PreOpen | MarketPhase::Auction => {
                is_armed || waits && is_plain && terms.post_only.is_none()
            }
            MarketPhase::PostOnly => {
                is_armed || is_limit && RESTING.contains(&command.time_in_force) && is_plain
            }
            MarketPhase::CancelOnly | MarketPhase::Halt | MarketPhase::Closed => false,
        }
    }

    /// Puts a market into another phase, with all that this brings about.
    pub(crate) fn set_phase(&mut self, market: u32, phase: MarketPhase) {
        let before = self.markets[&market].1;
        self.resumes.remove(&market);
        if before == MarketPhase::Trading {
            self.prices.remove(&market);
        }
        let uncrosses = matches!(phase, MarketPhase::Trading | MarketPhase::PostOnly)
            || before == MarketPhase::Auction && phase == MarketPhase::Closed;
        if uncrosses && self.crossing.remove(&market) {
            self.uncross(market);
        }
        self.markets.get_mut(&market).unwrap().1 = phase;
        if self.collects(market) {
            self.crossing.insert(market);
        }
        if phase == MarketPhase::Closed {
            self.end_the_day(market);
        }
        let watches = |order: &ModelOrder| order.market == market && order.trigger.is_some() && !order.waits;
        if phase == MarketPhase::Trading && !self.live.iter().any(watches) {
            // Who is armed later has not seen what traded meanwhile.
            self.traded.remove(&market);
        }
        let is_pegged = |order: &ModelOrder| order.market == market && order.peg.is_some();
        if phase == MarketPhase::Trading && self.live.iter().any(is_pegged) {
            self.pegging.insert(market);
        }
    }

    /// Ends the orders of the day.
    pub(super) fn end_the_day(&mut self, market: u32) {
        self.end_all(market, |order| order.is_of_the_day(market));
    }

    fn end_all(&mut self, market: u32, is: impl Fn(&ModelOrder) -> bool) {
        let ends = |order: &&ModelOrder| order.market == market && is(order);
        let mut over: Vec<_> = self.live.iter().filter(ends).map(|order| (order.id, order.client)).collect();
        over.sort_by_key(|&(id, _)| OrderId(id).age());
        for (id, client) in over {
            self.live.retain(|order| order.id != id);
            self.end(client, id);
        }
    }

    fn uncross(&mut self, market: u32) {
        let mut is_over = false;
        loop {
            if is_over {
                self.end_all(market, is_of_the_auction);
            }
            let Some(price) = self.auction_price(market, !is_over) else {
                if is_over {
                    return;
                }
                is_over = true;
                continue;
            };
            let before = self.trades.len();
            while let (Some(bid), Some(ask)) =
                (self.best(market, Side::Sell, price), self.best(market, Side::Buy, price))
            {
                self.pair(bid, ask, price);
            }
            is_over |= self.trades.len() == before;
        }
    }

    /// The price, by trying each. `with_bounds`: who says the market's worst price trades at any.
    fn auction_price(&self, market: u32, with_bounds: bool) -> Option<u64> {
        let definition = &self.markets[&market].0;
        let (lowest, highest) = (definition.price_ticks_min.0, definition.price_ticks_max.0);
        let is_bounded = |order: &ModelOrder| {
            let at = order.price;
            !with_bounds || if order.side == Side::Buy { at < highest } else { at > lowest }
        };
        let orders: Vec<_> =
            self.live.iter().filter(|order| order.market == market && order.is_in_book()).collect();
        let reference = self.last.get(&market).copied();
        let limits = orders.iter().filter(|order| is_bounded(order)).map(|order| order.price);
        let limits: Vec<u64> = limits.chain(reference).collect();
        let tried = *limits.iter().min()?..=*limits.iter().max()?;
        let outcomes = tried.map(|price| {
            let lots = |side: Side| -> u64 {
                let may = |order: &&&ModelOrder| {
                    let reaches = if side == Side::Buy { order.price >= price } else { order.price <= price };
                    order.side == side && (reaches || !is_bounded(order))
                };
                orders.iter().filter(may).map(|order| order.qty - order.cum).sum()
            };
            (price, lots(Side::Buy), lots(Side::Sell))
        });
        let mut best: Vec<_> = outcomes.filter(|&(_, bid, ask)| bid.min(ask) > 0).collect();
        let most = best.iter().map(|&(_, bid, ask)| bid.min(ask)).max()?;
        best.retain(|&(_, bid, ask)| bid.min(ask) == most);
        let least = best.iter().map(|&(_, bid, ask)| bid.abs_diff(ask)).min()?;
        best.retain(|&(_, bid, ask)| bid.abs_diff(ask) == least);
        if best.iter().all(|&(_, bid, ask)| bid > ask) {
            return best.last().map(|best| best.0);
        }
        if best.iter().all(|&(_, bid, ask)| bid < ask) {
            return best.first().map(|best| best.0);
        }
        best.iter().map(|best| best.0).min_by_key(|price| reference.map_or(0, |last| price.abs_diff(last)))
    }

    fn pair(&mut self, bid: usize, ask: usize, price: u64) {
        [bid, ask].into_iter().for_each(|at| self.roll(self.live[at].client, None));
        let qty = self.live[bid].shown.min(self.live[ask].shown);
        let market = self.markets[&self.live[bid].market].0.clone();
        let at_price = ModelOrder { price, ..self.live[ask].clone() };
        let buyer = self.live[bid].clone();
        let notional = self.move_amounts(&buyer, &at_price, qty);
        let mut charges = [(0, 0); 2];
        for (at, charged) in [bid, ask].into_iter().zip(&mut charges) {
            let order = &mut self.live[at];
            let rate = order.rates.taker;
            *charged = charge(order, signed(notional) * rate);
            order.cum += qty;
            order.shown -= qty;
            let client = order.client;
            self.pay(client, FEES, market.quote.0, charged.0);
            self.pay(client, TAXES, market.quote.0, charged.1);
        }
        if !self.of_one_group(&buyer, &at_price) {
            let today = self.now / DAY;
            let sides = [buyer.client, at_price.client];
            self.volumes.extend(sides.map(|client| (today, market.market.0, client, notional)));
        }
        let (bid_id, ask_id) = (self.live[bid].id, self.live[ask].id);
        let mut ids = [bid_id, ask_id];
        ids.sort_by_key(|&id| OrderId(id).age());
        let [older, younger] = ids;
        self.note_acted(older);
        self.note_acted(younger);
        self.last.insert(market.market.0, price);
        self.note_auction_price(market.market.0, price);
        // Who is armed later has not seen it.
        if self
            .live
            .iter()
            .any(|order| order.market == market.market.0 && order.trigger.is_some() && !order.waits)
        {
            self.traded.entry(market.market.0).or_default().push(price);
        }
        self.trades.push(ModelTrade {
            maker: older,
            taker: younger,
            price,
            qty,
            buyer: buyer.client,
            seller: at_price.client,
            buyer_fee: unsigned(charges[0].0),
            seller_fee: unsigned(charges[1].0),
            buyer_tax: unsigned(charges[0].1),
            seller_tax: unsigned(charges[1].1),
            maker_is_paid: false,
        });
        // The older one comes to the back of its price first.
        for id in [older, younger] {
            let at = self.live.iter().position(|order| order.id == id).unwrap();
            self.refill(at);
            if self.live[at].cum == self.live[at].qty {
                let order = self.live.remove(at);
                self.end_as(order.client, order.id, true);
            }
        }
    }
}

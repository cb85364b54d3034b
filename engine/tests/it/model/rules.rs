//! Trading rules and index prices, as they are written in docs/MATCHING.md.

use protocol::RejectReason::{self, *};
use protocol::commands::{PublishPrice, SetTradingRules};
use protocol::{OrderType, ReferencePrice, SelfTradePrevention, Side};

use super::{Model, ModelOrder};

impl Model {
    pub(crate) fn set_rules(&mut self, rules: &SetTradingRules) -> Option<RejectReason> {
        let market = rules.market.0;
        let present = self.rules.get(&market);
        let is_plain = *rules == plain(rules);
        if present == Some(rules) || present.is_none() && is_plain {
            return Some(Exists);
        }
        let watched = |rules: &SetTradingRules| (rules.volatility_ppm, rules.volatility_window_ms);
        if present.map_or((0, 0), watched) != watched(rules) {
            self.prices.remove(&market);
        }
        self.rules.remove(&market);
        if !is_plain {
            self.rules.insert(market, rules.clone());
        }
        None
    }

    pub(crate) fn publish(&mut self, publish: &PublishPrice) -> Option<RejectReason> {
        let until = publish.observed_at_ns + u64::from(publish.valid_for_ms) * 1_000_000;
        let is_old = self.index.get(&publish.market.0).is_some_and(|last| publish.observed_at_ns <= last.1);
        if publish.observed_at_ns > self.now + 1_000_000_000 {
            return Some(FieldOutOfRange);
        }
        if is_old || until < self.now {
            return Some(TooLateToEnter);
        }
        let price = (publish.price_ticks.0, publish.observed_at_ns, until);
        self.index.insert(publish.market.0, price);
        None
    }

    pub(super) fn index_now(&self, market: u32) -> Option<u64> {
        self.index.get(&market).filter(|index| self.now <= index.2).map(|index| index.0)
    }

    fn reference(&self, rules: &SetTradingRules) -> Result<Option<u64>, RejectReason> {
        match rules.reference {
            ReferencePrice::LastTrade => Ok(self.last.get(&rules.market.0).copied()),
            ReferencePrice::Index => self.index_now(rules.market.0).map(Some).ok_or(NoReferencePrice),
        }
    }

    pub(super) fn band_refusal(
        &self,
        market: u32,
        side: Side,
        kind: OrderType,
        price: u64,
    ) -> Option<RejectReason> {
        let rules = self.rules.get(&market)?;
        let (above, below) = match side {
            Side::Buy => (rules.buy_above_ppm, rules.buy_below_ppm),
            Side::Sell => (rules.sell_above_ppm, rules.sell_below_ppm),
        };
        if [above, below, rules.collar_ppm] == [0, 0, 0] {
            return None;
        }
        match self.reference(rules) {
            Err(refusal) => Some(refusal),
            Ok(Some(at)) if kind == OrderType::Limit && is_outside(price, at, below, above) => {
                Some(PriceOutsideBand)
            }
            Ok(_) => None,
        }
    }

    /// The price around which the collar of an order that enters now lies.
    pub(super) fn collar_of(&self, market: u32) -> Option<u64> {
        self.collar_now(market).unwrap()
    }

    /// As [`Self::collar_of`], where there may be no reference price.
    pub(super) fn collar_now(&self, market: u32) -> Result<Option<u64>, RejectReason> {
        let rules = self.rules.get(&market).filter(|rules| rules.collar_ppm > 0);
        rules.map_or(Ok(None), |rules| self.reference(rules))
    }

    pub(super) fn is_beyond_collar(&self, order: &ModelOrder, price: u64) -> bool {
        let Some(at) = order.collar else { return false };
        let ppm = self.rules[&order.market].collar_ppm;
        match order.side {
            Side::Buy => is_outside(price, at, 0, ppm),
            Side::Sell => is_outside(price, at, ppm, 0),
        }
    }

    pub(super) fn prevention_by_default(&self, market: u32) -> SelfTradePrevention {
        self.rules.get(&market).map_or(SelfTradePrevention::None, |rules| rules.self_trade_prevention)
    }

    pub(super) fn forbids(&self, market: u32, said: Option<SelfTradePrevention>) -> bool {
        said == Some(SelfTradePrevention::None)
            && self.rules.get(&market).is_some_and(|rules| !rules.may_self_trade)
    }

    /// Whether the client has as many stops or icebergs as it may, if the order is one.
    pub(super) fn count_refusal(&self, order: &ModelOrder) -> Option<RejectReason> {
        let rules = self.rules.get(&order.market)?;
        let own = || self.own(order.client, order.market);
        let stops = own().filter(|o| o.trigger.is_some()).count();
        let icebergs = own().filter(|o| o.display > 0).count();
        let is_full = |max: u32, count: usize| max > 0 && count >= usize::try_from(max).unwrap();
        if order.trigger.is_some() && is_full(rules.client_stops_max, stops) {
            return Some(TooManyStops);
        }
        (order.display > 0 && is_full(rules.client_icebergs_max, icebergs)).then_some(TooManyIcebergs)
    }

    /// Whether the client would have too much, if `more` is bought beside what its live orders buy.
    pub(super) fn position_refusal(&self, order: &ModelOrder, more: u64) -> Option<RejectReason> {
        let rules = self.rules.get(&order.market)?;
        let max = u128::from(rules.client_position_lots_max.0);
        if max == 0 || order.side == Side::Sell || more == 0 {
            return None;
        }
        let market = &self.markets[&order.market].0;
        let owned = self.balances[&(order.client, market.base.0)] / market.lot_base_minor.0;
        let buys = self.own(order.client, order.market).filter(|o| o.side == Side::Buy);
        let bought: u128 = buys.map(|o| u128::from(o.qty - o.cum)).sum();
        (owned + bought + u128::from(more) > max).then_some(PositionLimit)
    }

    pub(super) fn may_amend(&self, order: &ModelOrder) -> bool {
        let max = self.rules.get(&order.market).map_or(0, |rules| rules.amendments_max);
        max == 0 || order.amendments < max
    }
}

/// Whether a price is further from another than millionths of that say; 0 = it may be anywhere on that side.
fn is_outside(price: u64, from: u64, below: u32, above: u32) -> bool {
    let (price, from) = (i128::from(price) * 1_000_000, i128::from(from));
    above > 0 && price > from * (1_000_000 + i128::from(above))
        || below > 0 && price < from * (1_000_000 - i128::from(below))
}

fn plain(rules: &SetTradingRules) -> SetTradingRules {
    SetTradingRules {
        market: rules.market,
        reference: ReferencePrice::LastTrade,
        buy_above_ppm: 0,
        buy_below_ppm: 0,
        sell_above_ppm: 0,
        sell_below_ppm: 0,
        collar_ppm: 0,
        self_trade_prevention: SelfTradePrevention::None,
        may_self_trade: true,
        client_stops_max: 0,
        client_icebergs_max: 0,
        client_position_lots_max: protocol::QtyLots(0),
        amendments_max: 0,
        volatility_ppm: 0,
        volatility_window_ms: 0,
        volatility_phase: protocol::MarketPhase::Halt,
        volatility_pause_ms: 0,
    }
}

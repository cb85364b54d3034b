//! What a market demands beside its definition: bands and a collar around a reference price, and how much one client may have.
//!
//! A market without rules pays one comparison for them.

use protocol::commands::{NewOrder, PublishPrice, SetTradingRules};
use protocol::limits::{PRICE_AHEAD_MAX_MS, PRICE_VALID_MAX_MS};
use protocol::time::NANOS_PER_MILLI;
use protocol::{
    OrderType, PriceTicks, ReferencePrice, RejectReason, SelfTradePrevention, Side, UnixNanos, events,
};

use super::volatility;
use crate::broken::{Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::ledger::Ledger;
use crate::markets::{Desk, IndexPrice, Market, Markets, Order};

pub(super) const MILLION: u128 = 1_000_000;

/// What a market demands now, as the command that would set it.
pub(crate) fn in_force(market: &Market) -> SetTradingRules {
    market.rules.as_deref().cloned().unwrap_or(SetTradingRules::none(market.definition.market))
}

impl Market {
    /// The index price while it is valid.
    pub(crate) fn index_at(&self, time: UnixNanos) -> Option<PriceTicks> {
        self.index.filter(|index| time <= index.valid_until).map(|index| index.price)
    }

    /// The reference price of its rules; `None` where nothing has traded yet.
    fn reference(&self, rules: &SetTradingRules, time: UnixNanos) -> Result<Option<u64>, RejectReason> {
        match rules.reference {
            ReferencePrice::LastTrade => Ok((self.last_price > 0).then_some(self.last_price)),
            ReferencePrice::Index => {
                let index = self.index_at(time).ok_or(RejectReason::NoReferencePrice)?;
                Ok(Some(index.0))
            }
        }
    }
}

/// Whether a market takes an order that says this of trades with its own group.
pub(super) fn ensure_may_self_trade(command: &NewOrder, market: &Market) -> Result<(), Stop> {
    let Some(rules) = &market.rules else { return Ok(()) };
    let said = command.terms.get().and_then(|terms| terms.self_trade_prevention);
    ensure(rules.may_self_trade || said != Some(SelfTradePrevention::None), RejectReason::UnsupportedOrder)
}

/// What is done where an order that says nothing of it would trade with its own group; `None` = they trade.
pub(super) fn prevention_by_default(market: &Market) -> Option<SelfTradePrevention> {
    let rules = market.rules.as_ref()?;
    Some(rules.self_trade_prevention).filter(|&mode| mode != SelfTradePrevention::None)
}

/// Whether an order is priced within its market's band. Of an armed one that is asked when it fires.
#[inline]
pub(super) fn ensure_in_band(
    market: &Market,
    priced: (Side, OrderType, PriceTicks),
    time: UnixNanos,
) -> Result<(), RejectReason> {
    market.rules.as_ref().map_or(Ok(()), |rules| ensure_in_band_of(rules, market, priced, time))
}

fn ensure_in_band_of(
    rules: &SetTradingRules,
    market: &Market,
    (side, order_type, price): (Side, OrderType, PriceTicks),
    time: UnixNanos,
) -> Result<(), RejectReason> {
    let (above_ppm, below_ppm) = match side {
        Side::Buy => (rules.buy_above_ppm, rules.buy_below_ppm),
        Side::Sell => (rules.sell_above_ppm, rules.sell_below_ppm),
    };
    if above_ppm == 0 && below_ppm == 0 && rules.collar_ppm == 0 {
        return Ok(());
    }
    let Some(reference) = market.reference(rules, time)? else { return Ok(()) };
    let (lowest, highest) = around(reference, below_ppm, above_ppm);
    let is_inside = order_type == OrderType::Market || lowest <= price.0 && price.0 <= highest;
    if is_inside { Ok(()) } else { Err(RejectReason::PriceOutsideBand) }
}

/// The worst price at which an order trades: its own limit, or where its market's collar stands before that.
pub(super) fn collared(
    market: &Market,
    order: &Order,
    time: UnixNanos,
) -> Result<Option<PriceTicks>, RejectReason> {
    let limit = (order.price > 0).then_some(PriceTicks(order.price));
    let Some(rules) = market.rules.as_ref().filter(|rules| rules.collar_ppm > 0) else { return Ok(limit) };
    let Some(reference) = market.reference(rules, time)? else { return Ok(limit) };
    let (lowest, highest) = around(reference, rules.collar_ppm, rules.collar_ppm);
    let collar = match order.side {
        Side::Buy => PriceTicks(highest),
        Side::Sell => PriceTicks(lowest),
    };
    Ok(Some(limit.filter(|limit| order.side.reaches(collar, *limit)).unwrap_or(collar)))
}

/// The lowest and the highest price so far from a reference price, in millionths of it; 0 = any.
fn around(reference: u64, below_ppm: u32, above_ppm: u32) -> (u64, u64) {
    let share = |ppm: u128| u128::from(reference).saturating_mul(ppm);
    let lowest = share(MILLION.saturating_sub(below_ppm.into())).div_ceil(MILLION);
    let highest = share(MILLION.saturating_add(above_ppm.into())).checked_div(MILLION).unwrap_or(0);
    let lowest = if below_ppm == 0 { 0 } else { u64::try_from(lowest).unwrap_or(u64::MAX) };
    let highest = if above_ppm == 0 { u64::MAX } else { u64::try_from(highest).unwrap_or(u64::MAX) };
    (lowest, highest)
}

/// Whether a client may have one more order of this kind in a market.
pub(super) fn ensure_room(order: &Order, desk: &Desk, market: &Market) -> Result<(), Stop> {
    let Some(rules) = &market.rules else { return Ok(()) };
    let has_room = |max: u32, present: u32| max == 0 || present < max;
    let may_arm = !order.is_armed() || has_room(rules.client_stops_max, desk.stops);
    ensure(may_arm, RejectReason::TooManyStops)?;
    let may_hide = !order.is_iceberg() || has_room(rules.client_icebergs_max, desk.icebergs);
    ensure(may_hide, RejectReason::TooManyIcebergs)
}

/// Whether a client may have so many lots more of the base asset, if it buys them.
#[inline]
pub(super) fn ensure_position(
    market: &Market,
    (desk, side): (&Desk, Side),
    more_lots: u64,
    ledger: &Ledger,
) -> Result<(), RejectReason> {
    match &market.rules {
        Some(rules) if side == Side::Buy && more_lots > 0 => {
            ensure_position_of(rules, market, desk, more_lots, ledger)
        }
        _ => Ok(()),
    }
}

fn ensure_position_of(
    rules: &SetTradingRules,
    market: &Market,
    desk: &Desk,
    more_lots: u64,
    ledger: &Ledger,
) -> Result<(), RejectReason> {
    if rules.client_position_lots_max.0 == 0 {
        return Ok(());
    }
    let account = ledger.accounts.at(desk.base_account);
    let owned = account.credits_posted.saturating_sub(account.debits_posted);
    let owned_lots = owned.checked_div(market.definition.lot_base_minor.0).unwrap_or(0);
    let position = owned_lots.saturating_add(desk.buy_lots).saturating_add(more_lots.into());
    let is_allowed = position <= rules.client_position_lots_max.0.into();
    if is_allowed { Ok(()) } else { Err(RejectReason::PositionLimit) }
}

/// Whether an order may be replaced once more.
pub(super) fn ensure_amendable(order: &Order, market: &Market) -> Result<(), Stop> {
    let max = market.rules.as_ref().map_or(0, |rules| rules.amendments_max);
    ensure(max == 0 || order.amendments < max, RejectReason::TooManyAmendments)
}

impl Markets {
    pub(crate) fn set_trading_rules(
        &mut self,
        command: &SetTradingRules,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let below = |ppm: u32, name| ensure_field(u128::from(ppm) <= MILLION, name);
        below(command.buy_below_ppm, "buy_below_ppm")?;
        below(command.sell_below_ppm, "sell_below_ppm")?;
        below(command.collar_ppm, "collar_ppm")?;
        let prevents = command.self_trade_prevention != SelfTradePrevention::None;
        ensure_field(command.may_self_trade || prevents, "self_trade_prevention")?;
        volatility::check(command)?;
        let row = self.row(command.market).ok_or(RejectReason::UnknownMarket)?;
        let market = self.rows.at_mut(row);
        let before = in_force(market);
        ensure(before != *command, RejectReason::Exists)?;
        market.watch_prices(&before, command);
        let says_something = *command != SetTradingRules::none(command.market);
        market.rules = says_something.then(|| Box::new(command.clone()));
        effects.push(events::TradingRulesSet { rules: command.clone() });
        Ok(())
    }

    pub(crate) fn publish_price(
        &mut self,
        command: &PublishPrice,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &PublishPrice { market, price_ticks, observed_at_ns, valid_for_ms } = command;
        ensure_field(price_ticks.0 > 0, "price_ticks")?;
        ensure_field((1..=PRICE_VALID_MAX_MS).contains(&valid_for_ms), "valid_for_ms")?;
        let after = |from: u64, milliseconds: u32| {
            from.saturating_add(u64::from(milliseconds).saturating_mul(NANOS_PER_MILLI))
        };
        ensure_field(observed_at_ns <= after(effects.time.0, PRICE_AHEAD_MAX_MS), "observed_at_ns")?;
        let row = self.row(market).ok_or(RejectReason::UnknownMarket)?;
        let valid_until = UnixNanos(after(observed_at_ns, valid_for_ms));
        let before = self.rows.at(row).index;
        let is_news = before.is_none_or(|before| before.observed_at.0 < observed_at_ns);
        ensure(is_news && effects.time <= valid_until, RejectReason::TooLateToEnter)?;
        let observed_at = UnixNanos(observed_at_ns);
        self.rows.at_mut(row).index = Some(IndexPrice { price: price_ticks, observed_at, valid_until });
        self.touch(row);
        let valid_until_ns = valid_until.0;
        effects.push(events::PricePublished { market, price_ticks, observed_at_ns, valid_until_ns });
        Ok(())
    }
}

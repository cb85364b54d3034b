//! What a replacement says of an order's terms: it changes when the order ends and the price that it waits for, and nothing else.

use protocol::RejectReason::{self, *};
use protocol::commands::DefineMarket;
use protocol::terms::OrderTerms;
use protocol::{PriceTicks, QtyLots, TimeInForce};

use super::{Model, ModelOrder};

impl ModelOrder {
    /// Its terms as a client would repeat them.
    pub(crate) fn said(&self) -> OrderTerms {
        let is_dated = self.time_in_force == TimeInForce::GoodTillDate;
        OrderTerms {
            expires_at_ns: if is_dated { self.expires_at } else { 0 },
            post_only: self.post_only,
            display_lots: QtyLots(self.display),
            trigger: self.trigger,
            trail: self.trail,
            ..OrderTerms::default()
        }
    }
}

impl Model {
    /// What a market asks of an order that changes its price or quantity.
    pub(super) fn check_change(
        &self,
        market: &DefineMarket,
        (price, qty): (PriceTicks, QtyLots),
    ) -> Result<(), RejectReason> {
        if price < market.price_ticks_min || price > market.price_ticks_max {
            return Err(PriceOutOfRange);
        }
        if qty < market.qty_lots_min || qty > market.qty_lots_max {
            return Err(QtyOutOfRange);
        }
        let notional = u128::from(price.0) * u128::from(qty.0) * market.tick_quote_minor.0;
        if notional < market.notional_min.0 || notional > market.notional_max.0 {
            return Err(NotionalOutOfRange);
        }
        Ok(())
    }
}

/// The order as it is said to be from now on.
pub(super) fn said_again(
    order: &mut ModelOrder,
    said: Option<&OrderTerms>,
    now: u64,
) -> Result<(), RejectReason> {
    let Some(said) = said else { return Ok(()) };
    let is_dated = order.time_in_force == TimeInForce::GoodTillDate;
    let differs = [
        said.expires_at_ns != 0 && !is_dated,
        said.expires_in_s != 0 && !is_dated,
        said.expires_at_ns != 0 && said.expires_in_s != 0,
        said.post_only.is_some() && said.post_only != order.post_only,
        said.display_lots != QtyLots(0) && said.display_lots.0 != order.display,
        said.self_trade_prevention.is_some_and(|mode| mode != order.prevention),
        said.trail.is_some() && said.trail != order.trail,
    ];
    if differs.contains(&true) {
        return Err(UnsupportedOrder);
    }
    if let Some(trigger) = said.trigger {
        let Some(before) = order.trigger else { return Err(UnsupportedOrder) };
        let is_other = (trigger.price_type, trigger.direction) != (before.price_type, before.direction);
        let may_move = order.trail.is_none() && trigger.price_ticks.0 > 0;
        if is_other || trigger.price_ticks != before.price_ticks && !may_move {
            return Err(UnsupportedOrder);
        }
        order.trigger = Some(trigger);
    }
    if said.expires_at_ns != 0 {
        if said.expires_at_ns <= now {
            return Err(TooLateToEnter);
        }
        order.expires_at = said.expires_at_ns;
    }
    if said.expires_in_s != 0 {
        order.expires_at = now + u64::from(said.expires_in_s) * 1_000_000_000;
    }
    Ok(())
}

//! Orders that trade a part of themselves at a time (TWAP): legs at an interval, each at the order's price or better.
//!
//! Between its legs such an order stands among the armed ones without a trigger, with its whole hold. A leg takes what it can of its
//! share of what is left; what it cannot get is the next legs' to get, and expires behind the last. While its market does not trade, or has no
//! reference price for its collar, a leg passes.

use protocol::events::HoldChanged;
use protocol::limits::{TWAP_INTERVAL_MS, TWAP_LEGS};
use protocol::terms::OrderTerms;
use protocol::time::NANOS_PER_MILLI;
use protocol::{Amount, MarketPhase, OrderId, OrderStatus, QtyLots, RejectReason, UnixNanos};

use super::rules;
use crate::broken::Broken;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Order, Place};

/// What is left of an order's legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Legs {
    /// Not 0.
    pub(crate) left: u16,
    /// When the next one trades.
    pub(crate) next_at: UnixNanos,
}

impl Legs {
    /// Of an order that is accepted at `time`: the first one trades at once.
    pub(super) fn of(said: &OrderTerms, time: UnixNanos) -> Option<Self> {
        said.twap.map(|twap| Self { left: twap.legs, next_at: time })
    }
}

/// Whether an order of so many lots may be cut as it says, and says nothing that does not go with it.
pub(super) fn is_sound(said: &OrderTerms, qty: QtyLots) -> bool {
    let Some(twap) = said.twap else { return true };
    TWAP_LEGS.contains(&twap.legs)
        && TWAP_INTERVAL_MS.contains(&twap.interval_ms)
        && qty.0 >= u64::from(twap.legs)
        && said.trigger.is_none()
        && said.post_only.is_none()
        && said.min_qty_lots == QtyLots(0)
        && said.display_lots == QtyLots(0)
}

impl Engine {
    /// Trades the next leg of an order whose time has come.
    pub(crate) fn execute_next_leg(
        &mut self,
        market: u32,
        order: OrderId,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let taken = self.take_apart(market, order, effects)?;
        self.execute_leg(market, taken, effects)
    }

    /// Trades a leg of an order that stands nowhere, and puts back what goes on.
    pub(super) fn execute_leg(
        &mut self,
        market: u32,
        mut order: Order,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let row = self.markets.rows.at(market);
        let mismatch = Broken::OrderMismatch { market: row.definition.market, order: order.id };
        let terms = order.terms.as_mut().ok_or(mismatch)?;
        let (legs, twap) = (terms.legs.as_mut().ok_or(mismatch)?, terms.said.twap.ok_or(mismatch)?);
        let share_of = u64::from(legs.left);
        legs.left = legs.left.saturating_sub(1);
        let interval = u64::from(twap.interval_ms).saturating_mul(NANOS_PER_MILLI);
        legs.next_at = effects.time.plus(interval);
        let is_last = legs.left == 0;
        let limit = rules::collared(row, &order, effects.time);
        if let (MarketPhase::Trading, Ok(limit)) = (row.phase, limit) {
            let share = order.leaves().checked_div(share_of).unwrap_or(0);
            let is_uneven = order.leaves().checked_rem(share_of).is_some_and(|rest| rest > 0);
            let lots = share.saturating_add(u64::from(is_uneven));
            let keeps = QtyLots(order.leaves().saturating_sub(lots));
            if !self.sweep(market, &mut order, limit, keeps, effects)? {
                return self.end_in_match(market, order, effects);
            }
        }
        if order.leaves() == 0 {
            self.release_hold(&mut order)?;
            self.keep_finished(market, &order, OrderStatus::Filled, None, effects);
            return Ok(());
        }
        if is_last {
            return self.expire(market, order, RejectReason::InsufficientLiquidity, effects);
        }
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        let hold =
            HoldChanged { order: order.id, account: self.ledger.id(account), held: Amount(order.held) };
        let place = Place::armed(market, self.markets.rows.at_mut(market).armed.open(order.id));
        self.list(place, order);
        effects.push(hold);
        Ok(())
    }
}

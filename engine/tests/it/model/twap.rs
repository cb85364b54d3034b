//! Orders that trade leg by leg.

use protocol::commands::NewOrder;
use protocol::terms::OrderTerms;
use protocol::{MarketPhase, OrderType};

use super::{Model, ModelOrder, RESTING};

impl Model {
    /// Trades the next leg of an order, if its market trades; it goes on if there is another one.
    pub(super) fn take_leg(&mut self, mut order: ModelOrder) {
        let (left, _, interval) = order.legs.unwrap();
        let lots = (order.qty - order.cum).div_ceil(left);
        order.keeps = order.qty - order.cum - lots;
        order.legs = Some((left - 1, self.now + interval, interval));
        match self.collar_now(order.market) {
            Ok(collar) if self.markets[&order.market].1 == MarketPhase::Trading => {
                self.trade(ModelOrder { collar, ..order }, false);
            }
            _ => self.after_leg(order),
        }
    }

    pub(super) fn after_leg(&mut self, order: ModelOrder) {
        if order.cum < order.qty && order.legs.unwrap().0 > 0 {
            self.live.push(order);
        } else {
            self.end_as(order.client, order.id, order.cum > 0 && order.cum == order.qty);
        }
    }
}

/// When something happens to an order by itself: (when, 0 = it ends or 3 = a leg, its id).
pub(super) fn timers(order: &ModelOrder) -> Vec<(u64, u8, u64)> {
    let mut timers = vec![(order.expires_at, 0, order.id)];
    timers.extend(order.legs.filter(|_| !order.waits).map(|(_, at, _)| (at, 3, order.id)));
    timers
}

pub(super) fn is_sound(command: &NewOrder, terms: &OrderTerms) -> bool {
    let Some(twap) = terms.twap else { return true };
    command.order_type == OrderType::Limit
        && RESTING.contains(&command.time_in_force)
        && (2..=1_000).contains(&twap.legs)
        && (1_000..=86_400_000).contains(&twap.interval_ms)
        && command.qty_lots.0 >= u64::from(twap.legs)
        && terms.trigger.is_none()
        && terms.post_only.is_none()
        && (terms.min_qty_lots.0, terms.display_lots.0) == (0, 0)
}

//! What a taker could trade, without trading: the same walk as [`Book::match_against`], over levels.

use std::collections::VecDeque;

use protocol::{PriceTicks, QtyLots, Side};

use super::iceberg::Reserve;
use super::{Book, Resting, rank};

/// What a taker would get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Lots that would trade.
    pub lots: QtyLots,
    /// Sum of price × lots, in ticks × lots. At most (2^64 - 1)^2, so it fits.
    pub notional: u128,
    /// The last price that would trade.
    pub worst_price: Option<PriceTicks>,
}

impl Book {
    /// What a taker of `qty` would trade within `limit`: all of it for a fill-or-kill, and what a market order costs.
    #[must_use]
    pub fn fillable(&self, taker: Side, limit: Option<PriceTicks>, qty: QtyLots) -> Sweep {
        self.sweep(taker, limit, qty, |_| u64::MAX)
    }

    /// What a taker would trade within `limit` for at most `budget` ticks × lots, and at most u64 lots. The walk ends at
    /// the first order that the budget does not reach for whole: a worse price is never taken before a better one.
    #[must_use]
    pub fn affordable(&self, taker: Side, limit: Option<PriceTicks>, budget: u128) -> Sweep {
        self.sweep(taker, limit, QtyLots(u64::MAX), |(price, spent)| {
            let lots = budget.saturating_sub(spent).checked_div(u128::from(price)).unwrap_or(0);
            u64::try_from(lots).unwrap_or(u64::MAX)
        })
    }

    /// What a taker of everything would trade with, one after the other: each order of a side with what it shows, and the
    /// icebergs of a level again, slice by slice, before the next level.
    pub fn slices(&self, side: Side) -> impl Iterator<Item = (Resting, QtyLots)> {
        let mut queue = self.queue(side).peekable();
        let mut refills: VecDeque<(Resting, Reserve)> = VecDeque::new();
        core::iter::from_fn(move || {
            let level = refills.front().map(|(order, _)| order.price);
            let shown = queue.next_if(|order| level.is_none_or(|price| order.price == price));
            let (order, slice, reserve) = match shown {
                Some(order) => (order, order.visible(), order.reserve),
                None => {
                    let (order, Reserve { display, hidden }) = refills.pop_front()?;
                    let slice = display.min(hidden);
                    let hidden = QtyLots(hidden.0.saturating_sub(slice.0));
                    (order, slice, Some(Reserve { display, hidden }))
                }
            };
            refills.extend(reserve.filter(|reserve| reserve.hidden.0 > 0).map(|reserve| (order, reserve)));
            Some((order, slice))
        })
    }

    /// `lots_max`: how many lots may be taken at a price after what was spent before.
    fn sweep(
        &self,
        taker: Side,
        limit: Option<PriceTicks>,
        qty: QtyLots,
        lots_max: impl Fn((u64, u128)) -> u64,
    ) -> Sweep {
        let maker = taker.opposite();
        let worst = limit.map_or(u64::MAX, |price| rank(maker, price.0));
        let mut sweep = Sweep::default();
        for level in self.levels(maker).take_while(|level| level.rank <= worst) {
            let price = rank(maker, level.rank);
            let bound = lots_max((price, sweep.notional)).min(qty.0.saturating_sub(sweep.lots.0));
            // Slices come round until the level is used up, so what is hidden counts like what is shown. Past u64 lots
            // the level is more than the bound anyhow.
            let lots = level.lots.saturating_add(level.hidden);
            let taken = u64::try_from(lots).unwrap_or(u64::MAX).min(bound);
            if taken > 0 {
                let cost = PriceTicks(price).times(QtyLots(taken));
                sweep.lots = QtyLots(sweep.lots.0.saturating_add(taken));
                sweep.notional = sweep.notional.saturating_add(cost);
                sweep.worst_price = Some(PriceTicks(price));
            }
            if u128::from(taken) < lots {
                break;
            }
        }
        sweep
    }
}

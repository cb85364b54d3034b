//! The auction: one price at which a crossed book trades, and the trades, maker by maker.
//!
//! The price is any tick from the lowest to the highest of the orders' limits and the reference price. Of these it is one
//!
//! 1. at which most lots trade; of several
//! 2. one that leaves the smallest surplus (what could still trade on one side, had the other more); of several
//! 3. the highest, if each leaves a surplus of buyers, or the lowest, if each leaves one of sellers; otherwise
//! 4. the one nearest to the reference price, the lower of two as near; without a reference price the lowest.
//!
//! Prices that are as good in 1 and 2 lie side by side, because demand never rises with the price and supply never falls.
//! So the search is one walk over the limits, each segment between two of them at once.
//!
//! Who trades an auction's orders that have no limit, and rest in no book, does so before the pairs: those of one side
//! with those of the other, then what is left of them with [`Book::fill_front`] within the auction's price. What remains
//! trades as [`Book::cross_at`] pairs it. Both come out at the lots that were foretold.

use protocol::{PriceTicks, Side};

use super::{Book, Fill, rank};

/// What can trade at one price of a side, hidden lots included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuctionLevel {
    /// The limit.
    pub price: PriceTicks,
    /// Sum of the quantities.
    pub lots: u128,
}

/// Orders of an auction that trade at any price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarketLots {
    /// Bought.
    pub buy: u128,
    /// Sold.
    pub sell: u128,
}

/// The outcome of an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncross {
    /// The one price of all its trades.
    pub price: PriceTicks,
    /// What trades; never zero.
    pub lots: u128,
    /// What could trade at this price, and finds nobody.
    pub surplus: u128,
    /// Whose the surplus is; `None` where there is none.
    pub surplus_side: Option<Side>,
}

/// Neighbouring prices with the same demand and supply.
#[derive(Clone, Copy)]
struct Segment {
    lowest: u64,
    highest: u64,
    demand: u128,
    supply: u128,
}

impl Segment {
    /// One price alone.
    fn at(bids: &[AuctionLevel], asks: &[AuctionLevel], market: MarketLots, price: u64) -> Self {
        let bought = bids.iter().take_while(|level| level.price.0 >= price);
        let sold = asks.iter().take_while(|level| level.price.0 <= price);
        Self {
            lowest: price,
            highest: price,
            demand: bought.fold(market.buy, |sum, level| sum.saturating_add(level.lots)),
            supply: sold.fold(market.sell, |sum, level| sum.saturating_add(level.lots)),
        }
    }

    fn lots(self) -> u128 {
        self.demand.min(self.supply)
    }

    fn surplus(self) -> u128 {
        self.demand.abs_diff(self.supply)
    }

    /// Whose the surplus is.
    fn heavier(self) -> Option<Side> {
        match self.demand.cmp(&self.supply) {
            core::cmp::Ordering::Greater => Some(Side::Buy),
            core::cmp::Ordering::Less => Some(Side::Sell),
            core::cmp::Ordering::Equal => None,
        }
    }

    fn is_better_than(self, other: Self) -> bool {
        (self.lots(), other.surplus()) > (other.lots(), self.surplus())
    }

    fn is_as_good_as(self, other: Self) -> bool {
        (self.lots(), self.surplus()) == (other.lots(), other.surplus())
    }
}

/// The price at which an auction trades, if anything can. Levels come best first, each price once. O(levels).
///
/// A reference price of zero is none.
#[must_use]
pub fn uncross(
    bids: &[AuctionLevel],
    asks: &[AuctionLevel],
    market: MarketLots,
    reference: Option<PriceTicks>,
) -> Option<Uncross> {
    let reference = reference.map(|price| price.0).filter(|&price| price > 0);
    // From the lowest to the highest of the best ones, side by side.
    let (mut first, mut last): (Option<Segment>, Option<Segment>) = (None, None);
    for segment in segments(bids, asks, market, reference) {
        match first {
            Some(best) if best.is_as_good_as(segment) => last = Some(segment),
            Some(best) if !segment.is_better_than(best) => {}
            Some(_) | None => (first, last) = (Some(segment), Some(segment)),
        }
    }
    let (first, last) = (first?, last?);
    let price = match (first.heavier(), last.heavier()) {
        (Some(Side::Buy), Some(Side::Buy)) => last.highest,
        (Some(Side::Sell), Some(Side::Sell)) => first.lowest,
        (Some(_) | None, Some(_) | None) => {
            reference.map_or(first.lowest, |price| price.clamp(first.lowest, last.highest))
        }
    };
    let at = Segment::at(bids, asks, market, price);
    (at.lots() > 0).then(|| Uncross {
        price: PriceTicks(price),
        lots: at.lots(),
        surplus: at.surplus(),
        surplus_side: at.heavier(),
    })
}

/// The prices that may be chosen, from the lowest on, in segments.
fn segments<'a>(
    bids: &'a [AuctionLevel],
    asks: &'a [AuctionLevel],
    market: MarketLots,
    reference: Option<u64>,
) -> impl Iterator<Item = Segment> + use<'a> {
    let mut bids = bids.iter().rev().peekable();
    let mut asks = asks.iter().peekable();
    let limits = bids.clone().chain(asks.clone()).map(|level| level.price.0).chain(reference);
    let highest = limits.clone().max();
    let mut lowest = limits.min();
    let mut demand = bids.clone().fold(market.buy, |sum, level| sum.saturating_add(level.lots));
    let mut supply = market.sell;
    core::iter::from_fn(move || {
        let (start, end) = (lowest?, highest?);
        while let Some(bid) = bids.next_if(|bid| bid.price.0 < start) {
            demand = demand.saturating_sub(bid.lots);
        }
        while let Some(ask) = asks.next_if(|ask| ask.price.0 <= start) {
            supply = supply.saturating_add(ask.lots);
        }
        // Demand falls behind a bid's price, supply rises at an ask's.
        let last_bid = bids.peek().map_or(end, |bid| bid.price.0);
        let before_ask = asks.peek().map_or(end, |ask| ask.price.0.saturating_sub(1));
        let stop = end.min(last_bid).min(before_ask);
        lowest = (stop < end).then(|| stop.saturating_add(1));
        Some(Segment { lowest: start, highest: stop, demand, supply })
    })
}

/// Two resting orders that have traded with each other in an auction, at its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cross {
    /// The buyer's part; its price is the order's limit.
    pub bid: Fill,
    /// The seller's part.
    pub ask: Fill,
}

impl Book {
    /// The price at which the orders resting here would trade with each other and with `market`. O(levels).
    #[must_use]
    pub fn uncross(&self, market: MarketLots, reference: Option<PriceTicks>) -> Option<Uncross> {
        uncross(&self.auction_levels(Side::Buy), &self.auction_levels(Side::Sell), market, reference)
    }

    /// As [`Book::uncross`], where who bids at the highest of two prices or above, or offers at the lowest or below, does so at any
    /// price. O(levels).
    #[must_use]
    pub fn uncross_beyond(
        &self,
        (lowest, highest): (PriceTicks, PriceTicks),
        reference: Option<PriceTicks>,
    ) -> Option<Uncross> {
        let split = |side, bound| {
            let mut levels = self.auction_levels(side);
            let unlimited = levels.iter().take_while(|level| side.reaches(level.price, bound)).count();
            let lots = levels.drain(..unlimited).fold(0_u128, |sum, level| sum.saturating_add(level.lots));
            (levels, lots)
        };
        let ((bids, buy), (asks, sell)) = (split(Side::Buy, highest), split(Side::Sell, lowest));
        uncross(&bids, &asks, MarketLots { buy, sell }, reference)
    }

    /// The levels of a side, best first, with what icebergs hide.
    fn auction_levels(&self, side: Side) -> Vec<AuctionLevel> {
        let levels = self.levels(side).map(|level| AuctionLevel {
            price: PriceTicks(rank(side, level.rank)),
            lots: level.lots.saturating_add(level.hidden),
        });
        levels.collect()
    }

    /// Lets the first bid and the first ask trade as much as both show, where both may at `price`; `None` when no pair is
    /// left. [`Book::front`] on both sides names them before.
    pub fn cross_at(&mut self, price: PriceTicks) -> Option<Cross> {
        let bid = self.front(Side::Sell, Some(price))?.visible();
        let ask = self.front(Side::Buy, Some(price))?.visible();
        let lots = bid.min(ask);
        let bid = self.fill_front(Side::Sell, Some(price), lots)?;
        let ask = self.fill_front(Side::Buy, Some(price), lots)?;
        Some(Cross { bid, ask })
    }
}

//! The auction's price beside a search over every price there is.

use engine::matching::{AuctionLevel, MarketLots, Uncross, uncross};
use protocol::{PriceTicks, Side};

use crate::draw::{Draw, OPERATIONS_A_SEED, seeds};
use crate::naive::NaiveOrder;

/// What trades and what remains at a price: lots, and the surplus of buyers less that of sellers.
fn outcome(
    bids: &[AuctionLevel],
    asks: &[AuctionLevel],
    market: MarketLots,
    price: u64,
) -> (u128, u128, Option<Side>) {
    let bought = bids.iter().filter(|level| level.price.0 >= price).map(|level| level.lots).sum::<u128>();
    let sold = asks.iter().filter(|level| level.price.0 <= price).map(|level| level.lots).sum::<u128>();
    let (demand, supply) = (bought + market.buy, sold + market.sell);
    let side = match demand.cmp(&supply) {
        std::cmp::Ordering::Greater => Some(Side::Buy),
        std::cmp::Ordering::Less => Some(Side::Sell),
        std::cmp::Ordering::Equal => None,
    };
    (demand.min(supply), demand.abs_diff(supply), side)
}

/// The rule as it is written, step by step, over candidates: every price of a short range, otherwise the limits, their
/// neighbours and the reference price, which are the ends of each range of equal prices.
pub(crate) fn best_price(
    bids: &[AuctionLevel],
    asks: &[AuctionLevel],
    market: MarketLots,
    reference: Option<u64>,
) -> Option<Uncross> {
    let reference = reference.filter(|&price| price > 0);
    let limits: Vec<u64> = bids.iter().chain(asks).map(|level| level.price.0).chain(reference).collect();
    let (lowest, highest) = (*limits.iter().min()?, *limits.iter().max()?);
    let mut candidates: Vec<u64> = if highest - lowest < 100 {
        (lowest..=highest).collect()
    } else {
        limits.iter().flat_map(|&price| [price, price.saturating_sub(1), price.saturating_add(1)]).collect()
    };
    candidates.retain(|&price| lowest <= price && price <= highest);
    candidates.sort_unstable();
    let mut outcomes: Vec<_> =
        candidates.iter().map(|&price| (price, outcome(bids, asks, market, price))).collect();
    let most = outcomes.iter().map(|(_, outcome)| outcome.0).max()?;
    outcomes.retain(|(_, outcome)| outcome.0 == most);
    let smallest = outcomes.iter().map(|(_, outcome)| outcome.1).min()?;
    outcomes.retain(|(_, outcome)| outcome.1 == smallest);
    let all_of = |side| outcomes.iter().all(|(_, outcome)| outcome.2 == Some(side));
    let (price, (lots, surplus, surplus_side)) = if all_of(Side::Buy) {
        *outcomes.last()?
    } else if all_of(Side::Sell) {
        *outcomes.first()?
    } else {
        // The first of several minima is the lowest of them.
        let distance = |price: u64| reference.map_or(0, |reference| price.abs_diff(reference));
        *outcomes.iter().min_by_key(|(price, _)| distance(*price))?
    };
    (lots > 0).then_some(Uncross { price: PriceTicks(price), lots, surplus, surplus_side })
}

/// The levels of orders that come best first.
pub(crate) fn levels_of(orders: &[NaiveOrder]) -> Vec<AuctionLevel> {
    let mut levels: Vec<AuctionLevel> = Vec::new();
    for order in orders {
        let lots = u128::from(order.visible) + u128::from(order.hidden);
        match levels.last_mut().filter(|level| level.price.0 == order.price) {
            Some(level) => level.lots += lots,
            None => levels.push(AuctionLevel { price: PriceTicks(order.price), lots }),
        }
    }
    levels
}

/// Up to `most` levels of a few lots at ascending prices.
fn draw_levels(draw: &mut Draw, most: u64) -> Vec<AuctionLevel> {
    let (base, spread) = (1 + draw.below(20), 1 + draw.below(4));
    let mut price = base;
    let mut levels = Vec::new();
    for _ in 0..draw.below(most + 1) {
        levels.push(AuctionLevel { price: PriceTicks(price), lots: u128::from(1 + draw.below(6)) });
        price += 1 + draw.below(spread);
    }
    levels
}

#[test]
fn the_price_is_the_one_that_a_search_over_all_prices_finds() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in seeds() {
        let mut draw = Draw(seed);
        for auction in 0..OPERATIONS_A_SEED {
            let (mut bids, asks) = (draw_levels(&mut draw, 6), draw_levels(&mut draw, 6));
            bids.reverse();
            let mut lots = || if draw.below(3) == 0 { u128::from(draw.below(20)) } else { 0 };
            let market = MarketLots { buy: lots(), sell: lots() };
            let reference = (draw.below(3) > 0).then(|| draw.below(45));
            let got = uncross(&bids, &asks, market, reference.map(PriceTicks));
            let expected = best_price(&bids, &asks, market, reference);
            assert_eq!(
                got, expected,
                "SEED={seed}, auction {auction}: {bids:?} {asks:?} {market:?} reference {reference:?}",
            );
            *seen.entry(got.map(|uncross| uncross.surplus_side)).or_insert(0_u64) += 1;
        }
    }
    assert_eq!(seen.len(), 4, "nothing, and surpluses of either side and of none: {seen:?}");
}

fn levels<const N: usize>(levels: [(u64, u128); N]) -> [AuctionLevel; N] {
    levels.map(|(price, lots)| AuctionLevel { price: PriceTicks(price), lots })
}

/// The examples of docs/MATCHING.md.
#[test]
fn each_rule_decides_where_those_before_it_do_not() {
    let none = MarketLots::default();
    let price = |bids: &[AuctionLevel], asks: &[AuctionLevel], market, reference: Option<u64>| {
        uncross(bids, asks, market, reference.map(PriceTicks)).map(|uncross| uncross.price.0)
    };
    let volume = (levels([(103, 5), (101, 10)]), levels([(100, 8), (102, 5)]));
    assert_eq!(price(&volume.0, &volume.1, none, Some(103)), Some(101), "8 lots, where 102 and 103 trade 5");
    let surplus = (levels([(102, 10), (100, 5)]), levels([(100, 10), (102, 5)]));
    assert_eq!(price(&surplus.0, &surplus.1, none, None), Some(101), "nothing remains between the limits");
    let buyers = (levels([(105, 10)]), levels([(100, 4)]));
    assert_eq!(price(&buyers.0, &buyers.1, none, Some(101)), Some(105), "6 lots are bid for everywhere");
    let sellers = (levels([(105, 4)]), levels([(100, 10)]));
    assert_eq!(price(&sellers.0, &sellers.1, none, Some(104)), Some(100));
    let even = (levels([(105, 4)]), levels([(100, 4)]));
    for (reference, expected) in [(Some(99), 100), (Some(103), 103), (Some(110), 105), (None, 100)] {
        assert_eq!(price(&even.0, &even.1, none, reference), Some(expected));
    }
    let market = MarketLots { buy: 7, sell: 7 };
    assert_eq!(
        price(&[], &[], market, Some(100)),
        Some(100),
        "without limits the reference price is all there is"
    );
    assert_eq!(price(&[], &[], market, None), None);
    assert_eq!(price(&[], &[], market, Some(0)), None);
    assert_eq!(price(&buyers.1, &buyers.0, none, Some(101)), None, "not crossed");
}

//! A visible book, order by order.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use protocol::book::{BookLevel, book_checksum};
use protocol::{OrderId, PriceTicks, QtyLots, Side};

/// What is visible of a resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestingOrder {
    /// The order.
    pub order: OrderId,
    /// Its side.
    pub side: Side,
    /// Its price.
    pub price_ticks: PriceTicks,
    /// What is visible of it; never zero.
    pub qty_lots: QtyLots,
}

/// Where an order rests.
#[derive(Clone, Copy, Debug)]
struct Place {
    side: Side,
    rank: u64,
    turn: u64,
}

#[derive(Clone, Debug, Default)]
struct Level {
    lots: u128,
    /// By turn: the oldest in its place is first.
    queue: BTreeMap<u64, (OrderId, QtyLots)>,
}

/// The visible orders of one market, in price-time order.
#[derive(Clone, Debug, Default)]
pub struct Book {
    places: BTreeMap<OrderId, Place>,
    /// By rank: the best price is first.
    bids: BTreeMap<u64, Level>,
    asks: BTreeMap<u64, Level>,
    /// Counts the orders that came to rest: who has a lower turn comes first at its price.
    turns: u64,
}

/// What does not fit the book that it is said of.
pub(crate) type Misfit = &'static str;

/// A price as its place on its side, and back.
const fn rank(side: Side, price: u64) -> u64 {
    match side {
        Side::Buy => !price,
        Side::Sell => price,
    }
}

impl Book {
    /// Rests an order behind the others at its price.
    pub(crate) fn add(&mut self, resting: RestingOrder) -> Result<(), Misfit> {
        let RestingOrder { order, side, price_ticks, qty_lots } = resting;
        if qty_lots.0 == 0 {
            return Err("an order of which nothing is visible rests");
        }
        let place = Place { side, rank: rank(side, price_ticks.0), turn: self.turns };
        match self.places.entry(order) {
            Entry::Occupied(_) => return Err("an order that rests comes to rest"),
            Entry::Vacant(vacant) => vacant.insert(place),
        };
        self.turns += 1;
        let level = self.side_mut(side).entry(place.rank).or_default();
        level.lots += u128::from(qty_lots.0);
        level.queue.insert(place.turn, (order, qty_lots));
        Ok(())
    }

    /// Lowers what is visible of an order to `left`, in its place; at 0 it leaves. Returns it as it was.
    pub(crate) fn lower(&mut self, order: OrderId, left: QtyLots) -> Result<RestingOrder, Misfit> {
        const UNKNOWN: Misfit = "an order that does not rest changes";
        let place = *self.places.get(&order).ok_or(UNKNOWN)?;
        let Entry::Occupied(mut level) = self.side_mut(place.side).entry(place.rank) else {
            return Err(UNKNOWN);
        };
        let Entry::Occupied(mut entry) = level.get_mut().queue.entry(place.turn) else { return Err(UNKNOWN) };
        let (_, before) = *entry.get();
        let taken =
            before.0.checked_sub(left.0).ok_or("less is left of an order than before, and it is more")?;
        if left.0 == 0 {
            entry.remove();
        } else {
            entry.get_mut().1 = left;
        }
        level.get_mut().lots -= u128::from(taken);
        if level.get().queue.is_empty() {
            level.remove();
        }
        if left.0 == 0 {
            self.places.remove(&order);
        }
        let price_ticks = PriceTicks(rank(place.side, place.rank));
        Ok(RestingOrder { order, side: place.side, price_ticks, qty_lots: before })
    }

    /// The order, if it rests here.
    #[must_use]
    pub fn order(&self, order: OrderId) -> Option<RestingOrder> {
        let place = self.places.get(&order)?;
        let (_, qty_lots) = *self.side(place.side).get(&place.rank)?.queue.get(&place.turn)?;
        Some(RestingOrder {
            order,
            side: place.side,
            price_ticks: PriceTicks(rank(place.side, place.rank)),
            qty_lots,
        })
    }

    /// How many orders rest.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing rests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A price of a side; without lots where nothing rests.
    #[must_use]
    pub fn level(&self, side: Side, price_ticks: PriceTicks) -> BookLevel {
        let level = self.side(side).get(&rank(side, price_ticks.0));
        level.map_or(BookLevel { price_ticks, lots: 0, orders: 0 }, |level| shown(price_ticks, level))
    }

    /// The levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = BookLevel> {
        self.side(side).iter().map(move |(&at, level)| shown(PriceTicks(rank(side, at)), level))
    }

    /// Every order: bids then asks, best price first, then the oldest in its place.
    pub fn orders(&self) -> impl Iterator<Item = RestingOrder> {
        [Side::Buy, Side::Sell].into_iter().flat_map(move |side| {
            self.side(side).iter().flat_map(move |(&at, level)| {
                let price_ticks = PriceTicks(rank(side, at));
                level.queue.values().map(move |&(order, qty_lots)| RestingOrder {
                    order,
                    side,
                    price_ticks,
                    qty_lots,
                })
            })
        })
    }

    /// The checksum over all levels.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        book_checksum(self.levels(Side::Buy).chain(self.levels(Side::Sell)))
    }

    const fn side(&self, side: Side) -> &BTreeMap<u64, Level> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    const fn side_mut(&mut self, side: Side) -> &mut BTreeMap<u64, Level> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

fn shown(price_ticks: PriceTicks, level: &Level) -> BookLevel {
    let orders = u32::try_from(level.queue.len()).unwrap_or(u32::MAX);
    BookLevel { price_ticks, lots: level.lots, orders }
}

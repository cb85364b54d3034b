//! The matching core: one [`Book`] per market, price-time priority, and nothing else.
//!
//! A book knows orders by id, side, price and quantity. It knows no accounts, fees, sessions or times in force: the
//! engine asks what a taker could get ([`Book::fillable`], [`Book::affordable`]), trades it ([`Book::match_against`], or
//! maker by maker with [`Book::front`] and [`Book::fill_front`] where a rule has to look at the maker first), settles each
//! [`Fill`], and rests what is left ([`Book::insert`], [`Book::insert_iceberg`]).
//!
//! **Icebergs.** An iceberg stands in its level with the slice that it shows. When that is traded, the next one follows
//! from its reserve at the back of the level ([`Fill::refilled`]): what is hidden has no priority, but it counts wherever
//! it is asked what could trade. Its slot stays its own.
//!
//! **Auctions.** While an auction collects, the book may cross ([`Book::set_may_cross`]). [`Book::uncross`] says at which
//! price most would trade, [`Book::cross_at`] trades there, pair by pair.
//!
//! Beside the book, [`triggers`] holds the orders that are not in it yet.
//!
//! **Slots.** A resting order has a [`Slot`], the index for whatever the engine keeps beside it. It is the order's from
//! `insert` until it leaves: by a fill with `maker_left` zero or by [`Book::cancel`]. Only then may a later `insert`
//! return it again. [`Book::relocate`] keeps it.
//!
//! **What is state and what is not.** The outcome of every operation (fills, refusals, quantities, iteration) is a
//! function of the resting orders and their priority, and of whether the book may cross: [`Book::orders`] yields exactly
//! that, bids then asks, best price first, oldest first, and [`Book::restore`] of each, in this order, into an empty book
//! gives one that behaves the same for ever. Slot *numbers* are not restored: they depend on which were freed before. So
//! they belong into no hash, event or snapshot.
//!
//! **Costs**, whatever the prices are. A price is found in a small table around the mid or in a tree of blocks of 64
//! ticks (`ladder`), the next price by a bit scan, an order by its slot or through an index as large as what lives
//! (`id_index`). So insert, cancel, reduce, relocate and each fill are O(log levels) and mostly O(1), with no window of
//! prices to move when the market jumps. The index follows what lives a few orders at a time; the slabs double when they
//! are full, which the inserts before have paid for. An order costs 32 bytes and 8 to 26 in the index, an iceberg some 40
//! more in a tree; a level costs 64, and 272 more with a new block: an adversary who rests single orders far apart pays
//! with a hold for each 400 bytes and meets [`BookRefusal::LevelsFull`] in the end. `perf far` measures it, and
//! `perf matching --resting 1000000` a book that no cache holds.

mod ahead;
mod check;
mod iceberg;
mod ladder;
mod price_path;
mod sweep;
pub mod triggers;
mod uncross;

use core::iter::successors;
use std::collections::BTreeMap;

use protocol::limits::BOOK_ORDERS_MAX;
use protocol::{OrderId, PriceTicks, QtyLots, Side};

pub use ahead::{AHEAD_MAX, fetch_ahead};
pub use check::Violation;
pub use iceberg::{ICEBERG_SLICES_MAX, Reserve};
pub use ladder::LadderFault;
pub use price_path::{PricePath, TURNS_MAX};
pub use sweep::Sweep;
pub use uncross::{AuctionLevel, Cross, MarketLots, Uncross, uncross};

use crate::id_index::IdIndex;
use crate::slab::{self, NONE, Slab};
use ladder::{Ladder, Level};

/// Prices of one market at which orders rest, both sides together: a bound on memory, at 340 bytes each.
pub const BOOK_LEVELS_MAX: u32 = 1 << 18;

/// Where an order rests: stable while it does, used again afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(
    /// Below the largest number of orders that ever rested at once.
    pub u32,
);

impl Slot {
    /// As an index of a parallel vector.
    #[must_use]
    pub fn index(self) -> usize {
        slab::index(self.0)
    }
}

/// How large a book may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookLimits {
    /// Resting orders.
    pub orders_max: u32,
    /// Prices with resting orders, both sides together.
    pub levels_max: u32,
}

impl Default for BookLimits {
    fn default() -> Self {
        Self { orders_max: u32::try_from(BOOK_ORDERS_MAX).unwrap_or(NONE), levels_max: BOOK_LEVELS_MAX }
    }
}

/// A resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// Where it rests.
    pub slot: Slot,
    /// Its id.
    pub id: OrderId,
    /// Its side.
    pub side: Side,
    /// Its price.
    pub price: PriceTicks,
    /// What is left of it, the hidden part too; never zero.
    pub qty: QtyLots,
    /// Of an iceberg: what of `qty` is not shown.
    pub reserve: Option<Reserve>,
}

impl Resting {
    /// What is shown of it, and trades before it goes to the back of its level; never zero.
    #[must_use]
    pub fn visible(&self) -> QtyLots {
        QtyLots(self.qty.0.saturating_sub(self.reserve.map_or(0, |reserve| reserve.hidden.0)))
    }
}

/// A trade of the taker with one resting order, at the resting order's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Where the maker rests; free from now on where `maker_left` is zero.
    pub maker: Slot,
    /// The maker's id.
    pub maker_id: OrderId,
    /// The maker's price.
    pub price: PriceTicks,
    /// What was traded; never zero.
    pub qty: QtyLots,
    /// What is left of the maker, the hidden part too.
    pub maker_left: QtyLots,
    /// The next slice of an iceberg whose last one this was: it stands at the back of its level now.
    pub refilled: Option<QtyLots>,
}

/// One price of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthLevel {
    /// The price.
    pub price: PriceTicks,
    /// Sum of the quantities shown there: up to 2^32 orders of up to 2^64 lots.
    pub lots: u128,
    /// How many orders rest there; never zero.
    pub orders: u32,
}

/// Why a book left everything as it was, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookRefusal {
    /// No order rests in that slot.
    NoSuchOrder,
    /// A quantity of zero.
    ZeroQty,
    /// A price of zero.
    ZeroPrice,
    /// An iceberg that shows nothing, more than is left of it, or so little that it would take more than
    /// [`ICEBERG_SLICES_MAX`] slices.
    DisplayOutOfRange,
    /// A reduction by all that is left or more: that is a cancel.
    NothingLeft,
    /// `orders_max` orders rest here.
    BookFull,
    /// The price would cross the other side, which has to be traded first.
    WouldCross,
    /// It needs a new level, and there are `levels_max`.
    LevelsFull,
    /// An order with this id rests here.
    DuplicateId,
}

/// A resting order in the slab; `qty` 0 = this entry is free.
#[derive(Clone, Debug)]
#[repr(align(32))]
struct Entry {
    id: u64,
    /// What is shown of it.
    qty: u64,
    /// Younger neighbour in the level's queue.
    next: u32,
    /// Older neighbour.
    prev: u32,
    level: u32,
    side: Side,
    /// Whether [`Book::reserves`] says more.
    is_iceberg: bool,
}

const _: () = assert!(size_of::<Entry>() == 32, "two orders share a cache line, and none lies across two");

/// The resting orders of one market.
#[derive(Clone, Debug)]
pub struct Book {
    limits: BookLimits,
    orders: Slab<Entry>,
    index: IdIndex,
    bids: Ladder,
    asks: Ladder,
    /// What icebergs do not show, by slot: beside the entries, so that plain orders pay one bit for it.
    reserves: BTreeMap<u32, Reserve>,
    may_cross: bool,
}

/// A price as a rank of its side's ladder, and back: lower is better, on both sides.
fn rank(side: Side, price: u64) -> u64 {
    match side {
        Side::Buy => !price,
        Side::Sell => price,
    }
}

fn some(slot: u32) -> Option<u32> {
    (slot != NONE).then_some(slot)
}

impl Book {
    /// An empty book.
    #[must_use]
    pub fn new(limits: BookLimits) -> Self {
        Self {
            limits,
            orders: Slab::new(),
            index: IdIndex::new(),
            bids: Ladder::new(),
            asks: Ladder::new(),
            reserves: BTreeMap::new(),
            may_cross: false,
        }
    }

    /// Resting orders.
    #[must_use]
    pub fn len(&self) -> usize {
        self.orders.live()
    }

    /// Whether nothing rests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the tables have allocated; trees count by their entries alone.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let sides = self.bids.bytes().saturating_add(self.asks.bytes());
        let reserves = self.reserves.len().saturating_mul(size_of::<(u32, Reserve)>());
        self.orders.bytes().saturating_add(self.index.bytes()).saturating_add(sides).saturating_add(reserves)
    }

    /// Rests an order behind the others at its price. Unless the book may cross, it must not: match it first.
    ///
    /// # Errors
    /// [`BookRefusal`], and nothing has changed.
    pub fn insert(
        &mut self,
        id: OrderId,
        side: Side,
        price: PriceTicks,
        qty: QtyLots,
    ) -> Result<Slot, BookRefusal> {
        if qty.0 == 0 {
            return Err(BookRefusal::ZeroQty);
        }
        if price.0 == 0 {
            return Err(BookRefusal::ZeroPrice);
        }
        if self.len() >= slab::index(self.limits.orders_max) {
            return Err(BookRefusal::BookFull);
        }
        let rank = self.admit(side, price, 0)?;
        let slot = self.orders.next_slot();
        let orders = &self.orders;
        if !self.index.insert(id.0, slot, |other| orders.at(other).id == id.0) {
            return Err(BookRefusal::DuplicateId);
        }
        let entry =
            Entry { id: id.0, qty: qty.0, next: NONE, prev: NONE, level: NONE, side, is_iceberg: false };
        self.orders.insert(entry);
        self.enqueue(slot, rank);
        Ok(Slot(slot))
    }

    /// Whether orders may rest at prices that cross the other side: they do while an auction collects them.
    ///
    /// # Errors
    /// [`BookRefusal::WouldCross`] where they still do when they no longer may: uncross the book first.
    pub fn set_may_cross(&mut self, may_cross: bool) -> Result<(), BookRefusal> {
        if !may_cross && self.crossed().is_some() {
            return Err(BookRefusal::WouldCross);
        }
        self.may_cross = may_cross;
        Ok(())
    }

    /// Whether orders may rest at prices that cross the other side.
    #[must_use]
    pub const fn may_cross(&self) -> bool {
        self.may_cross
    }

    /// The best bid and the best ask where they could trade.
    #[must_use]
    pub fn crossed(&self) -> Option<(PriceTicks, PriceTicks)> {
        let (bid, ask) = (self.best(Side::Buy)?, self.best(Side::Sell)?);
        (bid >= ask).then_some((bid, ask))
    }

    /// Trades a taker against the other side: best price first, oldest first, at the makers' prices, down to `limit`.
    /// Returns what is left of `qty`.
    pub fn match_against(
        &mut self,
        taker: Side,
        limit: Option<PriceTicks>,
        qty: QtyLots,
        mut on_fill: impl FnMut(Fill),
    ) -> QtyLots {
        let mut left = qty;
        while left.0 > 0 {
            let Some(fill) = self.fill_front(taker, limit, left) else { break };
            left = QtyLots(left.0.saturating_sub(fill.qty.0));
            on_fill(fill);
        }
        left
    }

    /// The order that a taker would trade with first, within `limit`.
    #[must_use]
    pub fn front(&self, taker: Side, limit: Option<PriceTicks>) -> Option<Resting> {
        let maker = taker.opposite();
        let ladder = self.ladder(maker);
        let level = some(ladder.best()).map(|best| ladder.at(best))?;
        let within = limit.is_none_or(|price| level.rank <= rank(maker, price.0));
        within.then(|| self.resting(level.head, level))
    }

    /// One trade of at most `qty` with the order that [`Book::front`] names, and with no more of it than it shows.
    #[inline]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "traded <= the order's quantity <= its level's sum; orders >= 1"
    )]
    pub fn fill_front(&mut self, taker: Side, limit: Option<PriceTicks>, qty: QtyLots) -> Option<Fill> {
        let maker = taker.opposite();
        let ladder = match maker {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        let best = some(ladder.best())?;
        let level = ladder.at_mut(best);
        if qty.0 == 0 || limit.is_some_and(|price| level.rank > rank(maker, price.0)) {
            return None;
        }
        let slot = level.head;
        let order = self.orders.at_mut(slot);
        let traded = qty.0.min(order.qty);
        order.qty -= traded;
        level.lots -= u128::from(traded);
        let fill = Fill {
            maker: Slot(slot),
            maker_id: OrderId(order.id),
            price: PriceTicks(rank(maker, level.rank)),
            qty: QtyLots(traded),
            maker_left: QtyLots(order.qty),
            refilled: None,
        };
        if order.is_iceberg {
            return Some(self.fill_iceberg(fill));
        }
        if order.qty == 0 {
            level.head = order.next;
            level.orders -= 1;
            match some(level.head) {
                Some(next) => self.orders.at_mut(next).prev = NONE,
                None => ladder.close(best),
            }
            // Its id still stands in the slab, so the index can recognise it.
            self.forget(slot, fill.maker_id.0);
        }
        Some(fill)
    }

    /// Takes an order out; `None` where the slot is free.
    pub fn cancel(&mut self, slot: Slot) -> Option<Resting> {
        let resting = self.order(slot)?;
        if resting.reserve.is_some() {
            self.drop_reserve(slot.0);
        }
        self.dequeue(slot.0);
        self.forget(slot.0, resting.id.0);
        Some(resting)
    }

    /// As [`Book::cancel`] by id, with one look into the index less.
    pub fn cancel_id(&mut self, id: OrderId) -> Option<Resting> {
        let orders = &self.orders;
        let slot = self.index.remove(id.0, |other| orders.at(other).id == id.0)?;
        let resting = self.order(Slot(slot))?;
        if resting.reserve.is_some() {
            self.drop_reserve(slot);
        }
        self.dequeue(slot);
        self.free(slot);
        Some(resting)
    }

    /// Lowers an order's quantity, the hidden part of it first; it keeps its place. Returns what is left.
    ///
    /// # Errors
    /// [`BookRefusal`], and nothing has changed.
    pub fn reduce(&mut self, slot: Slot, by: QtyLots) -> Result<QtyLots, BookRefusal> {
        let Resting { side, qty, reserve, .. } = self.order(slot).ok_or(BookRefusal::NoSuchOrder)?;
        if by.0 == 0 {
            return Err(BookRefusal::ZeroQty);
        }
        let left = qty.0.checked_sub(by.0).filter(|&left| left > 0).ok_or(BookRefusal::NothingLeft)?;
        let mut shown = by.0;
        if let Some(Reserve { display, hidden }) = reserve {
            let taken = hidden.min(by);
            shown = shown.saturating_sub(taken.0);
            self.set_reserve(slot.0, Reserve { display, hidden: QtyLots(hidden.0.saturating_sub(taken.0)) });
        }
        let order = self.orders.at_mut(slot.0);
        order.qty = order.qty.saturating_sub(shown);
        let level = order.level;
        let level = self.ladder_mut(side).at_mut(level);
        level.lots = level.lots.saturating_sub(u128::from(shown));
        Ok(QtyLots(left))
    }

    /// Moves an order behind the others at `price` (its own price too) with a new quantity; it keeps id and slot, and
    /// an iceberg the size of its slices.
    ///
    /// # Errors
    /// [`BookRefusal`], and nothing has changed.
    pub fn relocate(&mut self, slot: Slot, price: PriceTicks, qty: QtyLots) -> Result<(), BookRefusal> {
        let order = self.order(slot).ok_or(BookRefusal::NoSuchOrder)?;
        if qty.0 == 0 {
            return Err(BookRefusal::ZeroQty);
        }
        if price.0 == 0 {
            return Err(BookRefusal::ZeroPrice);
        }
        let reserve = order.reserve.map(|reserve| Reserve::of(qty, reserve.display));
        if reserve.is_some_and(|reserve| reserve.is_too_long(qty)) {
            return Err(BookRefusal::DisplayOutOfRange);
        }
        let level = self.orders.at(slot.0).level;
        let closes = u32::from(self.ladder(order.side).at(level).orders == 1);
        let rank = self.admit(order.side, price, closes)?;
        if let Some(reserve) = reserve {
            self.requeue_iceberg(slot.0, rank, qty, reserve.display);
        } else {
            self.dequeue(slot.0);
            self.orders.at_mut(slot.0).qty = qty.0;
            self.enqueue(slot.0, rank);
        }
        Ok(())
    }

    /// The order in a slot.
    #[must_use]
    pub fn order(&self, slot: Slot) -> Option<Resting> {
        let order = self.orders.get(slot.0).filter(|order| order.qty > 0)?;
        Some(self.resting(slot.0, self.ladder(order.side).at(order.level)))
    }

    /// The slot of an id.
    #[must_use]
    pub fn slot_of(&self, id: OrderId) -> Option<Slot> {
        self.index.get(id.0, |slot| self.orders.at(slot).id == id.0).map(Slot)
    }

    /// The best price of a side.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<PriceTicks> {
        let ladder = self.ladder(side);
        some(ladder.best()).map(|best| PriceTicks(rank(side, ladder.at(best).rank)))
    }

    /// The levels of a side, best first; `take(n)` for the first n.
    pub fn depth(&self, side: Side) -> impl Iterator<Item = DepthLevel> {
        self.levels(side).map(move |level| DepthLevel {
            price: PriceTicks(rank(side, level.rank)),
            lots: level.lots,
            orders: level.orders,
        })
    }

    /// The resting orders of a side in price-time order: as a taker would meet them.
    pub fn queue(&self, side: Side) -> impl Iterator<Item = Resting> {
        self.levels(side).flat_map(move |level| {
            successors(some(level.head), |&slot| some(self.orders.at(slot).next))
                .map(move |slot| self.resting(slot, level))
        })
    }

    /// Every resting order in the canonical order: bids, then asks, each in price-time order.
    pub fn orders(&self) -> impl Iterator<Item = Resting> {
        self.queue(Side::Buy).chain(self.queue(Side::Sell))
    }

    fn ladder(&self, side: Side) -> &Ladder {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn ladder_mut(&mut self, side: Side) -> &mut Ladder {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn levels(&self, side: Side) -> impl Iterator<Item = &Level> {
        let ladder = self.ladder(side);
        successors(some(ladder.best()), |&level| some(ladder.after(level))).map(|level| ladder.at(level))
    }

    fn resting(&self, slot: u32, level: &Level) -> Resting {
        let order = self.orders.at(slot);
        let reserve = if order.is_iceberg { self.reserve_of(slot) } else { None };
        let hidden = reserve.map_or(0, |reserve| reserve.hidden.0);
        Resting {
            slot: Slot(slot),
            id: OrderId(order.id),
            side: order.side,
            price: PriceTicks(rank(order.side, level.rank)),
            qty: QtyLots(order.qty.saturating_add(hidden)),
            reserve,
        }
    }

    /// Whether an order may rest at a price, given that it frees `closes` levels first. Returns the rank.
    fn admit(&mut self, side: Side, price: PriceTicks, closes: u32) -> Result<u64, BookRefusal> {
        let crosses = match side {
            Side::Buy => self.best(Side::Sell).is_some_and(|ask| price >= ask),
            Side::Sell => self.best(Side::Buy).is_some_and(|bid| price <= bid),
        };
        if crosses && !self.may_cross {
            return Err(BookRefusal::WouldCross);
        }
        let rank = rank(side, price.0);
        let levels = self.bids.live().saturating_add(self.asks.live()).saturating_sub(slab::index(closes));
        if levels >= slab::index(self.limits.levels_max) && self.ladder_mut(side).find(rank) == NONE {
            return Err(BookRefusal::LevelsFull);
        }
        Ok(rank)
    }

    /// Puts an order that is in no queue at the end of its rank's.
    #[expect(clippy::arithmetic_side_effects, reason = "fewer than 2^32 orders, and their sum fits u128")]
    fn enqueue(&mut self, slot: u32, rank: u64) {
        let order = self.orders.at_mut(slot);
        let ladder = match order.side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        let found = ladder.find(rank);
        let found = if found == NONE { ladder.open(rank) } else { found };
        let level = ladder.at_mut(found);
        let tail = level.tail;
        level.lots += u128::from(order.qty);
        level.orders += 1;
        level.tail = slot;
        order.level = found;
        order.next = NONE;
        order.prev = tail;
        match some(tail) {
            Some(tail) => self.orders.at_mut(tail).next = slot,
            None => level.head = slot,
        }
    }

    /// Takes an order out of its queue, and closes the level after the last one. An iceberg hides nothing any more.
    #[expect(clippy::arithmetic_side_effects, reason = "the level counts this order and its quantity")]
    fn dequeue(&mut self, slot: u32) {
        let Entry { qty, next, prev, level: at, side, .. } = *self.orders.at(slot);
        let ladder = self.ladder_mut(side);
        let level = ladder.at_mut(at);
        level.lots -= u128::from(qty);
        level.orders -= 1;
        if prev == NONE {
            level.head = next;
        }
        if next == NONE {
            level.tail = prev;
        }
        if level.orders == 0 {
            ladder.close(at);
        }
        if let Some(prev) = some(prev) {
            self.orders.at_mut(prev).next = next;
        }
        if let Some(next) = some(next) {
            self.orders.at_mut(next).prev = prev;
        }
    }

    /// Drops an order that is in no queue any more.
    fn forget(&mut self, slot: u32, id: u64) {
        let orders = &self.orders;
        let removed = self.index.remove(id, |other| orders.at(other).id == id);
        assert!(removed == Some(slot), "every resting order is in the index");
        self.free(slot);
    }

    fn free(&mut self, slot: u32) {
        self.orders.at_mut(slot).qty = 0;
        self.orders.release(slot);
    }
}

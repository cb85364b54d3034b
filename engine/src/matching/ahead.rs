//! Memory is fetched ahead: what the next operations will look up is asked for at once, and waited for once.
//!
//! Where many orders rest, an operation on one of them waits for memory three times, one wait behind the other: for the index, for the
//! order, for its neighbours in the queue. For several operations these waits run side by side. Nothing is changed here, and nothing
//! is decided.

use core::hint::black_box;

use protocol::OrderId;

use super::{Book, Slot};

/// Operations that are looked at together.
pub const AHEAD_MAX: usize = 16;
/// Resting orders from which on a book is more than a cache holds, index and all: 8 MiB. In a smaller one it would cost more than it saves.
const ORDERS_MIN: usize = 131_072;

impl Book {
    /// Whether to fetch ahead pays.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.len() >= ORDERS_MIN
    }

    fn fetch_neighbours(&self, slot: Slot) {
        let Some(order) = self.orders.get(slot.0) else { return };
        for neighbour in [order.next, order.prev] {
            black_box(self.orders.get(neighbour).map(|order| order.id));
        }
    }

    /// The slot that the order's will be, or another one's, or none: nobody asks whose it is.
    fn fetch_order(&self, id: OrderId) -> Option<Slot> {
        let slot = self.index.guess(id.0)?;
        black_box(self.orders.get(slot)?.id);
        Some(Slot(slot))
    }
}

/// Has fetched what operations on these orders, the first [`AHEAD_MAX`] of them, will look up.
pub fn fetch_ahead<'b>(orders: impl Iterator<Item = (&'b Book, OrderId)>) {
    let mut named: [Option<(&Book, OrderId)>; AHEAD_MAX] = [None; AHEAD_MAX];
    for (place, order) in named.iter_mut().zip(orders) {
        *place = Some(order);
    }
    let all = named.iter().flatten();
    for (book, id) in all.clone() {
        black_box(book.index.first_cell(id.0));
    }
    let mut slots = [None; AHEAD_MAX];
    for (slot, (book, id)) in slots.iter_mut().zip(all.clone()) {
        *slot = book.fetch_order(*id);
    }
    for (slot, (book, _)) in slots.into_iter().zip(all) {
        if let Some(slot) = slot {
            book.fetch_neighbours(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{PriceTicks, QtyLots, Side};

    use super::*;
    use crate::matching::BookLimits;

    #[test]
    fn a_large_book_finds_the_memory_of_every_order_and_of_none_that_is_not_there() {
        let mut book = Book::new(BookLimits::default());
        let orders = u64::try_from(ORDERS_MIN).unwrap();
        for id in 1..=orders {
            assert!(!book.is_large(), "{id}");
            book.insert(OrderId(id), Side::Buy, PriceTicks(1 + id % 100), QtyLots(1)).unwrap();
        }
        assert!(book.is_large());
        // Another order's cell may be met first; nearly always it is the own.
        let own =
            (1..=orders).filter(|&id| book.fetch_order(OrderId(id)) == book.slot_of(OrderId(id))).count();
        assert!(own * 100 > ORDERS_MIN * 99, "{own}");
        fetch_ahead([0, 1, orders, orders + 1, u64::MAX].map(|id| (&book, OrderId(id))).into_iter());
        fetch_ahead((1..100).map(|id| (&book, OrderId(id))));
        fetch_ahead(core::iter::empty());
    }
}

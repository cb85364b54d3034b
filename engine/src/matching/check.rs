//! What must hold in a book after every operation, checked by walking all of it.

use protocol::{PriceTicks, Side};

use super::ladder::LadderFault;
use super::{Book, Slot, rank};
use crate::slab::{NONE, index};

/// A book that cannot be: our bug, or memory that was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A bid at or above an ask, while no auction lets them.
    Crossed {
        /// The best bid.
        bid: PriceTicks,
        /// The best ask.
        ask: PriceTicks,
    },
    /// Levels, bitmaps and directory of a side do not agree.
    Ladder {
        /// The side.
        side: Side,
        /// What does not agree.
        fault: LadderFault,
    },
    /// A level's sums, count or end are not those of its orders, or orders rest at price zero.
    Level {
        /// The side.
        side: Side,
        /// The level.
        price: PriceTicks,
    },
    /// An order's links, level or side are not those of the queue it stands in.
    Links {
        /// The order.
        slot: Slot,
    },
    /// An order is an iceberg without a reserve, or one whose slice and reserve cannot be.
    Reserve {
        /// The order.
        slot: Slot,
    },
    /// The index does not lead from an order's id to its slot.
    NotIndexed {
        /// The order.
        slot: Slot,
    },
    /// The queues, the slab and the index do not hold the same number of orders.
    Count {
        /// Orders in queues.
        queued: usize,
        /// Orders in the slab with a quantity.
        resting: usize,
        /// Ids in the index.
        indexed: usize,
    },
    /// There are reserves of orders that are no icebergs.
    Reserves {
        /// Reserves in the table.
        kept: usize,
        /// Icebergs in queues.
        icebergs: usize,
    },
}

impl Book {
    /// Checks everything that this module promises itself; O(orders).
    ///
    /// # Errors
    /// The first [`Violation`] found.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        if let Some((bid, ask)) = self.crossed().filter(|_| !self.may_cross) {
            return Err(Violation::Crossed { bid, ask });
        }
        let mut queued = 0_usize;
        for side in [Side::Buy, Side::Sell] {
            self.ladder(side).check().map_err(|fault| Violation::Ladder { side, fault })?;
            queued = queued.saturating_add(self.check_side(side)?);
        }
        let slots = 0..u32::try_from(self.orders.slots()).unwrap_or(NONE);
        let resting = slots.filter(|&slot| self.order(Slot(slot)).is_some()).count();
        let indexed = self.index.live();
        if queued != self.len() || resting != queued || indexed != queued {
            return Err(Violation::Count { queued, resting, indexed });
        }
        let icebergs = self.orders().filter(|order| order.reserve.is_some()).count();
        if icebergs != self.reserves.len() {
            return Err(Violation::Reserves { kept: self.reserves.len(), icebergs });
        }
        Ok(())
    }

    /// Walks the queues of a side; returns how many orders stand in them.
    fn check_side(&self, side: Side) -> Result<usize, Violation> {
        let mut queued = 0_usize;
        for level in self.levels(side) {
            let price = PriceTicks(rank(side, level.rank));
            let (mut lots, mut hidden, mut orders, mut prev) = (0_u128, 0_u128, 0_u32, NONE);
            let mut slot = level.head;
            while slot != NONE {
                let at = Slot(slot);
                let order = self.orders.get(slot).ok_or(Violation::Links { slot: at })?;
                let here = self.order(at).ok_or(Violation::Links { slot: at })?;
                // The count also ends a walk around a cycle.
                if order.prev != prev || here.side != side || here.price != price || orders >= level.orders {
                    return Err(Violation::Links { slot: at });
                }
                if self.slot_of(here.id) != Some(at) {
                    return Err(Violation::NotIndexed { slot: at });
                }
                let may_be = here.reserve.is_none_or(|reserve| reserve.may_belong_to(&here));
                if order.is_iceberg != here.reserve.is_some() || !may_be {
                    return Err(Violation::Reserve { slot: at });
                }
                lots = lots.saturating_add(u128::from(order.qty));
                hidden = hidden.saturating_add(u128::from(here.qty.0.saturating_sub(order.qty)));
                orders = orders.saturating_add(1);
                prev = slot;
                slot = order.next;
            }
            let agrees =
                (lots, hidden) == (level.lots, level.hidden) && (orders, prev) == (level.orders, level.tail);
            if !agrees || price.0 == 0 {
                return Err(Violation::Level { side, price });
            }
            queued = queued.saturating_add(index(orders));
        }
        Ok(queued)
    }
}

#[cfg(test)]
mod tests {
    use protocol::{OrderId, QtyLots};

    use super::super::{BookLimits, BookRefusal, Entry, Reserve, Resting};
    use super::*;

    /// Bids 1 and 2 at 100, 3 at 20; ask 4 at 101. Slots are 0 to 3.
    fn book() -> Book {
        let mut book = Book::new(BookLimits::default());
        for (id, side, price) in
            [(1, Side::Buy, 100), (2, Side::Buy, 100), (3, Side::Buy, 20), (4, Side::Sell, 101)]
        {
            book.insert(OrderId(id), side, PriceTicks(price), QtyLots(5)).unwrap();
        }
        assert_eq!(book.check_invariants(), Ok(()));
        book
    }

    fn violation(damage: impl FnOnce(&mut Book)) -> Violation {
        let mut book = book();
        damage(&mut book);
        book.check_invariants().unwrap_err()
    }

    #[test]
    fn each_kind_of_damage_is_named() {
        let level = Violation::Level { side: Side::Buy, price: PriceTicks(100) };
        let best_bid = |book: &mut Book| book.bids.best();
        assert_eq!(
            violation(|book| {
                let best = best_bid(book);
                book.bids.at_mut(best).lots = 11
            }),
            level
        );
        assert_eq!(
            violation(|book| {
                let best = best_bid(book);
                book.bids.at_mut(best).orders = 3
            }),
            level
        );
        assert_eq!(
            violation(|book| {
                let best = best_bid(book);
                book.bids.at_mut(best).tail = 0
            }),
            level
        );
        assert_eq!(violation(|book| book.orders.at_mut(0).qty = 6), level);
        let links = |slot| Violation::Links { slot: Slot(slot) };
        assert_eq!(violation(|book| book.orders.at_mut(1).prev = NONE), links(1));
        assert_eq!(violation(|book| book.orders.at_mut(1).next = 0), links(0), "a cycle ends the walk");
        assert_eq!(violation(|book| book.orders.at_mut(1).next = 9), links(9));
        assert_eq!(violation(|book| book.orders.at_mut(1).side = Side::Sell), links(1));
        assert_eq!(violation(|book| book.orders.at_mut(2).qty = 0), links(2));
        let at_another_price = |book: &mut Book| book.orders.at_mut(1).level = book.orders.at(2).level;
        assert_eq!(violation(at_another_price), links(1));
        let not_indexed = Violation::NotIndexed { slot: Slot(2) };
        assert_eq!(violation(|book| book.orders.at_mut(2).id = 33), not_indexed);
        assert_eq!(
            violation(|book| {
                book.index.insert(77, 0, |_| false);
            }),
            Violation::Count { queued: 4, resting: 4, indexed: 5 },
        );
        assert_eq!(
            violation(|book| {
                let nothing = Entry { qty: 0, ..book.orders.at(0).clone() };
                book.orders.insert(nothing);
            }),
            Violation::Count { queued: 4, resting: 4, indexed: 4 },
            "an entry of the slab that nothing rests in",
        );
        assert_eq!(
            violation(|book| {
                let best = book.asks.best();
                book.asks.at_mut(best).rank = 100
            }),
            Violation::Crossed { bid: PriceTicks(100), ask: PriceTicks(100) },
        );
        assert_eq!(
            violation(|book| {
                let best = book.asks.best();
                book.asks.at_mut(best).rank = 102
            }),
            Violation::Ladder { side: Side::Sell, fault: LadderFault::Bitmap { key: 1 } },
        );
    }

    #[test]
    fn each_kind_of_damage_of_an_iceberg_is_named() {
        let violation = |damage: fn(&mut Book)| {
            violation(|book| {
                book.insert_iceberg(OrderId(5), Side::Sell, PriceTicks(101), QtyLots(9), QtyLots(4)).unwrap();
                assert_eq!(book.check_invariants(), Ok(()));
                damage(book);
            })
        };
        let reserve = Violation::Reserve { slot: Slot(4) };
        // What it hid is missing from the sum before its reserve is found to be nobody's.
        let level = Violation::Level { side: Side::Sell, price: PriceTicks(101) };
        assert_eq!(violation(|book| book.orders.at_mut(4).is_iceberg = false), level);
        assert_eq!(violation(|book| assert!(book.reserves.remove(&4).is_some())), reserve);
        assert_eq!(violation(|book| book.reserves.get_mut(&4).unwrap().display = QtyLots(3)), reserve);
        let left_over = violation(|book| {
            book.reserves.insert(0, Reserve::of(QtyLots(5), QtyLots(4)));
        });
        assert_eq!(left_over, Violation::Reserves { kept: 2, icebergs: 1 });
        let hidden = violation(|book| book.reserves.get_mut(&4).unwrap().hidden = QtyLots(6));
        assert_eq!(hidden, level);
    }

    #[test]
    fn an_iceberg_that_shows_nothing_or_more_than_a_slice_is_not_restored() {
        let restored = |qty, display, hidden| {
            let reserve = Some(Reserve { display: QtyLots(display), hidden: QtyLots(hidden) });
            let (slot, side, price) = (Slot(0), Side::Buy, PriceTicks(100));
            book().restore(&Resting { slot, id: OrderId(9), side, price, qty: QtyLots(qty), reserve })
        };
        assert_eq!(restored(5, 2, 3), Ok(Slot(4)));
        assert_eq!(restored(5, 2, 4), Ok(Slot(4)), "a part of its slice has traded");
        for (qty, display, hidden) in [(5, 2, 5), (5, 2, 2), (5, 0, 5), (5, 0, 4)] {
            let refused = restored(qty, display, hidden);
            assert_eq!(refused, Err(BookRefusal::DisplayOutOfRange), "{qty} {display} {hidden}");
        }
    }

    #[test]
    fn a_crossed_book_is_one_while_it_may_be() {
        let mut book = book();
        book.set_may_cross(true).unwrap();
        book.insert(OrderId(5), Side::Buy, PriceTicks(103), QtyLots(1)).unwrap();
        assert_eq!(book.check_invariants(), Ok(()));
        // Both sides have a level at 100 in the same slot.
        let mut of_other_side = Book::new(BookLimits::default());
        of_other_side.set_may_cross(true).unwrap();
        for (id, side) in [(1, Side::Buy), (2, Side::Sell)] {
            of_other_side.insert(OrderId(id), side, PriceTicks(100), QtyLots(5)).unwrap();
        }
        of_other_side.orders.at_mut(0).side = Side::Sell;
        assert_eq!(of_other_side.check_invariants(), Err(Violation::Links { slot: Slot(0) }));
        book.may_cross = false;
        let crossed = Violation::Crossed { bid: PriceTicks(103), ask: PriceTicks(101) };
        assert_eq!(book.check_invariants(), Err(crossed));
    }
}

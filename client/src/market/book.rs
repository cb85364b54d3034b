//! A book that is kept by a reader, and held against the checksum of every packet.

use std::collections::BTreeMap;

use protocol::binary::OrderChangeKind;
use protocol::binary::market::{Level, MarketMessage, Order, OrderChange};
use protocol::book::{BookLevel, book_checksum};
use protocol::{OrderId, PriceTicks, Seq, Side};

/// What was read does not fit: the book has to be subscribed to anew, without a seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookFault {
    /// Something between was lost.
    #[error("the packet goes on from seq {first}, and the book is that of seq {have}")]
    Gap {
        /// The first record of the packet.
        first: Seq,
        /// What is here.
        have: Seq,
    },
    /// The book is not the node's.
    #[error("at seq {seq} the book has checksum {ours:08x}, and the node's {theirs:08x}")]
    Checksum {
        /// Where.
        seq: Seq,
        /// Of the book here.
        ours: u32,
        /// Of the packet.
        theirs: u32,
    },
    /// A change of what is not here, or of an order that is otherwise.
    #[error("a change of order {order} does not fit the book")]
    Change {
        /// The order.
        order: OrderId,
    },
}

/// One market's visible book, out of the packets of the channel *levels* or of the channel *orders*.
#[derive(Clone, Debug, Default)]
pub struct MarketBook {
    /// By side and price.
    levels: BTreeMap<(Side, PriceTicks), (u128, u32)>,
    /// With its place in time; of *orders* alone.
    orders: BTreeMap<OrderId, (Order, u64)>,
    /// Orders that came to rest.
    turns: u64,
    /// The book is that of this record.
    seq: Option<Seq>,
    /// Parts of a packet came, and more of it is to come.
    is_amid: bool,
}

impl MarketBook {
    /// Takes a packet, or a part of one; other messages change nothing. Returns whether the book is another now, whole and proven.
    ///
    /// # Errors
    /// [`BookFault`].
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no book's")]
    pub fn take(&mut self, message: &MarketMessage<'_>) -> Result<bool, BookFault> {
        let (seq, checksum, more) = match message {
            MarketMessage::LevelsPacket(packet) => {
                self.begin();
                packet.levels.iter().for_each(|level| self.set(level));
                (packet.seq, packet.book_checksum, packet.more)
            }
            MarketMessage::LevelsChangedPacket(packet) => {
                self.go_on(packet.first)?;
                packet.levels.iter().for_each(|level| self.set(level));
                (packet.seq, packet.book_checksum, packet.more)
            }
            MarketMessage::OrdersPacket(packet) => {
                self.begin();
                packet.orders.iter().try_for_each(|order| self.rest(order))?;
                (packet.seq, packet.book_checksum, packet.more)
            }
            MarketMessage::OrdersChangedPacket(packet) => {
                self.go_on(packet.first)?;
                packet.changes.iter().try_for_each(|change| self.change(&change))?;
                (packet.seq, packet.book_checksum, packet.more)
            }
            _ => return Ok(false),
        };
        self.is_amid = more;
        if more {
            return Ok(false);
        }
        self.seq = Some(seq);
        let ours = self.checksum();
        if ours == checksum { Ok(true) } else { Err(BookFault::Checksum { seq, ours, theirs: checksum }) }
    }

    fn begin(&mut self) {
        if !self.is_amid {
            *self = Self::default();
        }
    }

    fn go_on(&self, first: Seq) -> Result<(), BookFault> {
        let have = self.seq.unwrap_or(Seq::ZERO);
        if self.is_amid || first == have.next() { Ok(()) } else { Err(BookFault::Gap { first, have }) }
    }

    fn set(&mut self, level: Level) {
        let key = (level.side, level.price_ticks);
        if level.orders == 0 {
            self.levels.remove(&key);
        } else {
            self.levels.insert(key, (level.lots, level.orders));
        }
    }

    fn rest(&mut self, order: Order) -> Result<(), BookFault> {
        self.turns += 1;
        if self.orders.insert(order.order, (order, self.turns)).is_some() {
            return Err(BookFault::Change { order: order.order });
        }
        let level = self.levels.entry((order.side, order.price_ticks)).or_default();
        level.0 += u128::from(order.qty_lots.0);
        level.1 += 1;
        Ok(())
    }

    fn change(&mut self, change: &OrderChange) -> Result<(), BookFault> {
        let &OrderChange { order, side, price_ticks, left_lots, .. } = change;
        let unfit = BookFault::Change { order };
        if let OrderChangeKind::Added | OrderChangeKind::Refilled = change.kind {
            return self.rest(Order { order, side, price_ticks, qty_lots: left_lots });
        }
        let (resting, _) = self.orders.get_mut(&order).ok_or(unfit)?;
        let taken = resting.qty_lots.0.checked_sub(left_lots.0).ok_or(unfit)?;
        resting.qty_lots = left_lots;
        let key = (resting.side, resting.price_ticks);
        if key != (side, price_ticks) {
            return Err(unfit);
        }
        let level = self.levels.get_mut(&key).ok_or(unfit)?;
        level.0 -= u128::from(taken);
        if left_lots.0 == 0 {
            self.orders.remove(&order);
            level.1 -= 1;
            if level.1 == 0 {
                self.levels.remove(&key);
            }
        }
        Ok(())
    }

    /// The record whose book this is; `None` before the first packet.
    #[must_use]
    pub const fn seq(&self) -> Option<Seq> {
        self.seq
    }

    /// The levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl DoubleEndedIterator<Item = BookLevel> {
        let mut levels: Vec<BookLevel> = self
            .levels
            .range((side, PriceTicks(0))..=(side, PriceTicks(u64::MAX)))
            .map(|(&(_, price_ticks), &(lots, orders))| BookLevel { price_ticks, lots, orders })
            .collect();
        if side == Side::Buy {
            levels.reverse();
        }
        levels.into_iter()
    }

    /// The orders of a side in price-time order; none where levels are kept alone.
    #[must_use]
    pub fn orders(&self, side: Side) -> Vec<Order> {
        let mut orders: Vec<(Order, u64)> =
            self.orders.values().filter(|(order, _)| order.side == side).copied().collect();
        orders.sort_by_key(|(order, turn)| {
            let price = order.price_ticks.0;
            (if side == Side::Buy { u64::MAX - price } else { price }, *turn)
        });
        orders.into_iter().map(|(order, _)| order).collect()
    }

    /// The checksum over all levels.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        book_checksum(self.levels(Side::Buy).chain(self.levels(Side::Sell)))
    }
}

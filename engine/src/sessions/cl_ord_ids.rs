//! The ClOrdIDs of one session: unique in a UTC day and among live orders, so that a repetition is recognised.
//!
//! Each id leads to the order it concerned. Of an order that has ended, its last state is kept until the day changes, so
//! that "too late" and a status request can be told from "never heard of it". The day changes for a session when one
//! of its ids is next used, or one of its orders next ends; ids of orders that live then are kept.
//!
//! A session uses a million ids a day, and where a new one would stand in the index no cache remembers. So it is seldom
//! asked: clients count, and an id above all others is new. And ids enter the index a few at a time, so that the memory
//! of all of them is waited for at once.

use protocol::commands::ClOrdId;
use protocol::limits::SESSION_CL_ORD_IDS_MAX;
use protocol::time::NANOS_PER_DAY;
use protocol::{
    ClientId, MarketId, OrderId, OrderStatus, OrderType, RejectReason, Side, TimeInForce, UnixNanos,
};

use crate::index::{Index, hash_bytes, hash_u64};
use crate::rows::{Rows, widen};

/// What a ClOrdID was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    /// The order that it named or concerned; 0 = none is known.
    pub(crate) order: OrderId,
    /// The order's market.
    pub(crate) market: MarketId,
    /// Where the id ends among the texts; it begins where that of the row before ends.
    end: u32,
}

/// What is known of a ClOrdID, and its hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) row: Option<u32>,
    hash: u32,
    /// Whether it is above all others.
    is_greatest: bool,
}

/// The last state of an order that is no longer live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) order: OrderId,
    pub(crate) cl_ord_id: ClOrdId,
    pub(crate) client: ClientId,
    pub(crate) market: MarketId,
    pub(crate) side: Side,
    pub(crate) order_type: OrderType,
    pub(crate) time_in_force: TimeInForce,
    pub(crate) status: OrderStatus,
    pub(crate) reason: Option<RejectReason>,
    pub(crate) price: u64,
    pub(crate) qty: u64,
    pub(crate) cum: u64,
    pub(crate) cum_ticks_lots: u128,
}

/// Ids that are not yet in the index, at most.
const UNINDEXED_MAX: usize = 32;

/// The ids of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClOrdIds {
    /// Days since 1970 when it was last cleaned.
    pub(crate) day: u64,
    used: Rows<Used>,
    /// The ids one behind the other, in the order of the rows.
    texts: Vec<u8>,
    /// Of the first rows of `used`.
    by_id: Index,
    /// Hashes of the ids of the others.
    unindexed: Vec<u32>,
    /// The row of the greatest id.
    greatest: Option<u32>,
    finished: Rows<Finished>,
    /// Of the first rows of `finished` only, and of all as soon as one is asked for, which is seldom.
    by_order: Index,
}

impl ClOrdIds {
    pub(crate) fn is_full(&self) -> bool {
        self.used.len() >= SESSION_CL_ORD_IDS_MAX
    }

    /// Looks an id up.
    pub(crate) fn look(&self, id: &ClOrdId, seed: u64) -> Look {
        let id = id.as_bytes();
        let hash = hash_bytes(id, seed);
        if self.greatest.is_none_or(|greatest| self.text(greatest) < id) {
            return Look { row: None, hash, is_greatest: true };
        }
        let is_id = |row| self.text(row) == id;
        let indexed = u32::try_from(self.by_id.live()).unwrap_or(u32::MAX);
        let mut others = (indexed..).zip(&self.unindexed);
        let other = others.find(|&(row, other)| *other == hash && is_id(row));
        let row = other.map(|(row, _)| row).or_else(|| self.by_id.find(hash, is_id));
        Look { row, hash, is_greatest: false }
    }

    /// What an id was used for.
    pub(crate) fn used(&self, row: u32) -> Used {
        *self.used.at(row)
    }

    fn text(&self, row: u32) -> &[u8] {
        let begin = row.checked_sub(1).map_or(0, |before| self.used.at(before).end);
        self.texts.get(widen(begin)..widen(self.used.at(row).end)).unwrap_or_default()
    }

    fn id(&self, row: u32) -> ClOrdId {
        ClOrdId::new(self.text(row)).unwrap_or_default()
    }

    /// The last state of an order that has ended.
    pub(crate) fn ended(&self, row: u32) -> &Finished {
        self.finished.at(row)
    }

    /// The row of an order that ended today.
    pub(crate) fn find_ended(&mut self, order: OrderId) -> Option<u32> {
        let indexed = u32::try_from(self.by_order.live()).unwrap_or(u32::MAX);
        for row in indexed..self.finished.next_row() {
            self.by_order.insert(hash_u64(self.finished.at(row).order.0), row);
        }
        self.by_order.find(hash_u64(order.0), |row| self.finished.at(row).order == order)
    }

    /// Remembers an id that was not found, and what for.
    pub(crate) fn remember(&mut self, look: Look, id: &ClOrdId, order: OrderId, market: MarketId) {
        self.texts.extend_from_slice(id.as_bytes());
        // At most SESSION_CL_ORD_IDS_MAX ids of 64 bytes: 128 MiB.
        let end = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let row = self.used.push(Used { order, market, end });
        if look.is_greatest {
            self.greatest = Some(row);
        }
        self.unindexed.push(look.hash);
        if self.unindexed.len() >= UNINDEXED_MAX {
            self.index();
        }
    }

    fn index(&mut self) {
        self.by_id.fetch(&self.unindexed);
        let indexed = u32::try_from(self.by_id.live()).unwrap_or(u32::MAX);
        for (row, hash) in (indexed..).zip(self.unindexed.drain(..)) {
            self.by_id.insert(hash, row);
        }
    }

    /// Remembers how an order ended.
    pub(crate) fn finish(&mut self, finished: Finished) {
        self.finished.push(finished);
    }

    /// Whether the day has changed since the ids were last cleaned.
    pub(crate) const fn is_of_another_day(&self, time: UnixNanos) -> bool {
        self.day != day(time)
    }

    /// Forgets the ids of orders that are not live, and how orders ended.
    pub(crate) fn new_day(&mut self, time: UnixNanos, seed: u64, is_live: impl Fn(&Used) -> bool) {
        let before = core::mem::replace(self, Self { day: day(time), ..Self::default() });
        for (row, used) in before.used.numbers().zip(before.used.iter()) {
            if is_live(used) {
                let id = before.id(row);
                self.remember(self.look(&id, seed), &id, used.order, used.market);
            }
        }
    }

    /// The ids in order, with what they were used for.
    pub(crate) fn sorted_used(&self) -> impl ExactSizeIterator<Item = (ClOrdId, Used)> {
        let mut rows: Vec<u32> = self.used.numbers().collect();
        rows.sort_unstable_by_key(|&row| self.text(row));
        rows.into_iter().map(|row| (self.id(row), self.used(row)))
    }

    /// The orders that ended today, in order.
    pub(crate) fn sorted_finished(&self) -> Vec<&Finished> {
        self.finished.sorted_by_key(|finished| finished.order)
    }

    /// Whether the indexes lead to every row.
    pub(crate) fn is_indexed(&self, seed: u64) -> bool {
        let leads_to = |row| self.look(&self.id(row), seed).row == Some(row);
        let mut finished = self.finished.numbers().zip(self.finished.iter()).take(self.by_order.live());
        self.by_id.live().saturating_add(self.unindexed.len()) == self.used.len()
            && self.by_order.live() <= self.finished.len()
            && self.used.numbers().all(leads_to)
            && finished.all(|(row, ended)| {
                let found = self
                    .by_order
                    .find(hash_u64(ended.order.0), |row| self.finished.at(row).order == ended.order);
                found == Some(row)
            })
    }
}

const fn day(time: UnixNanos) -> u64 {
    time.0 / NANOS_PER_DAY
}

//! The ClOrdIDs of one session: unique in a UTC day and among live orders, so that a repetition is recognised.
//!
//! Each id leads to the order it concerned. Of an order that has ended, its last state is kept until the day changes, so
//! that "too late" and a status request can be told from "never heard of it". The day changes for a session when one
//! of its ids is next used, or one of its orders next ends; ids of orders that live then are kept.

use protocol::commands::ClOrdId;
use protocol::limits::SESSION_CL_ORD_IDS_MAX;
use protocol::time::NANOS_PER_DAY;
use protocol::{
    ClientId, MarketId, OrderId, OrderStatus, OrderType, RejectReason, Side, TimeInForce, UnixNanos,
};

use crate::index::{Index, hash_bytes, hash_u64};
use crate::rows::Rows;

/// A ClOrdID that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) id: ClOrdId,
    /// The order that it named or concerned; 0 = none is known.
    pub(crate) order: OrderId,
    /// The order's market.
    pub(crate) market: MarketId,
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

/// The ids of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClOrdIds {
    /// Days since 1970 when it was last cleaned.
    pub(crate) day: u64,
    used: Rows<Used>,
    by_id: Index,
    finished: Rows<Finished>,
    by_order: Index,
}

impl ClOrdIds {
    pub(crate) fn is_full(&self) -> bool {
        self.used.len() >= SESSION_CL_ORD_IDS_MAX
    }

    /// What an id was used for.
    pub(crate) fn used(&self, id: &ClOrdId, seed: u64) -> Option<&Used> {
        let row = self.by_id.find(hash_bytes(id.as_bytes(), seed), |row| self.used.at(row).id == *id)?;
        Some(self.used.at(row))
    }

    /// The last state of an order that ended today.
    pub(crate) fn finished(&self, order: OrderId) -> Option<&Finished> {
        let row = self.by_order.find(hash_u64(order.0), |row| self.finished.at(row).order == order)?;
        Some(self.finished.at(row))
    }

    /// Remembers an id that is not used.
    pub(crate) fn remember(&mut self, used: Used, seed: u64) {
        let hash = hash_bytes(used.id.as_bytes(), seed);
        let row = self.used.push(used);
        self.by_id.insert(hash, row);
    }

    /// Remembers how an order ended.
    pub(crate) fn finish(&mut self, finished: Finished) {
        let hash = hash_u64(finished.order.0);
        let row = self.finished.push(finished);
        self.by_order.insert(hash, row);
    }

    /// Whether the day has changed since the ids were last cleaned.
    pub(crate) const fn is_of_another_day(&self, time: UnixNanos) -> bool {
        self.day != day(time)
    }

    /// Forgets the ids of orders that are not live, and how orders ended.
    pub(crate) fn new_day(&mut self, time: UnixNanos, seed: u64, is_live: impl Fn(&Used) -> bool) {
        self.day = day(time);
        self.finished.clear();
        self.by_order.clear();
        self.used.retain(is_live);
        self.by_id.clear();
        for (row, used) in self.used.numbers().zip(self.used.iter()) {
            self.by_id.insert(hash_bytes(used.id.as_bytes(), seed), row);
        }
    }

    /// The ids in order.
    pub(crate) fn sorted_used(&self) -> Vec<&Used> {
        self.used.sorted_by_key(|used| used.id)
    }

    /// The orders that ended today, in order.
    pub(crate) fn sorted_finished(&self) -> Vec<&Finished> {
        self.finished.sorted_by_key(|finished| finished.order)
    }

    /// Whether the indexes lead to every row.
    pub(crate) fn is_indexed(&self, seed: u64) -> bool {
        self.used.iter().all(|used| self.used(&used.id, seed).is_some_and(|found| core::ptr::eq(found, used)))
            && self
                .finished
                .iter()
                .all(|ended| self.finished(ended.order).is_some_and(|found| core::ptr::eq(found, ended)))
            && self.by_id.live() == self.used.len()
            && self.by_order.live() == self.finished.len()
    }
}

const fn day(time: UnixNanos) -> u64 {
    time.0 / NANOS_PER_DAY
}

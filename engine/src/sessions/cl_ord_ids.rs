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
use crate::markets::Place;
use crate::rows::Rows;

/// A ClOrdID that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) id: ClOrdId,
    /// The order that it named or concerned; 0 = none is known.
    pub(crate) order: OrderId,
    /// The order's market.
    pub(crate) market: MarketId,
    /// Where the order rests, if it still does: a short cut, and not state.
    pub(crate) place: Place,
}

/// What is known of a ClOrdID, and its hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) row: Option<u32>,
    hash: u32,
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
    /// Of the first rows of `finished` only, and of all as soon as one is asked for, which is seldom.
    by_order: Index,
}

impl ClOrdIds {
    pub(crate) fn is_full(&self) -> bool {
        self.used.len() >= SESSION_CL_ORD_IDS_MAX
    }

    /// Looks an id up.
    pub(crate) fn look(&self, id: &ClOrdId, seed: u64) -> Look {
        let hash = hash_bytes(id.as_bytes(), seed);
        Look { row: self.by_id.find(hash, |row| self.used.at(row).id == *id), hash }
    }

    /// What an id was used for.
    pub(crate) fn used(&self, row: u32) -> &Used {
        self.used.at(row)
    }

    /// The order of an id rests here now.
    pub(crate) fn set_place(&mut self, row: u32, place: Place) {
        self.used.at_mut(row).place = place;
    }

    /// The last state of an order that ended today.
    pub(crate) fn finished(&mut self, order: OrderId) -> Option<&Finished> {
        let indexed = u32::try_from(self.by_order.live()).unwrap_or(u32::MAX);
        for row in indexed..self.finished.next_row() {
            self.by_order.insert(hash_u64(self.finished.at(row).order.0), row);
        }
        let row = self.by_order.find(hash_u64(order.0), |row| self.finished.at(row).order == order)?;
        Some(self.finished.at(row))
    }

    /// Remembers an id that was not found. Returns its row.
    pub(crate) fn remember(&mut self, look: Look, used: Used) -> u32 {
        let row = self.used.push(used);
        self.by_id.insert(look.hash, row);
        row
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
        let mut used = self.used.numbers().zip(self.used.iter());
        let mut finished = self.finished.numbers().zip(self.finished.iter()).take(self.by_order.live());
        self.by_id.live() == self.used.len()
            && self.by_order.live() <= self.finished.len()
            && used.all(|(row, used)| self.look(&used.id, seed).row == Some(row))
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

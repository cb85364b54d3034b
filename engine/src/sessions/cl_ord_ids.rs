//! The ClOrdIDs of one session: unique in a UTC day and among live orders, so that a repetition is recognised.
//!
//! Each id leads to the order it concerned. Of an order that has ended, its last state is kept until the day changes, so
//! that "too late" and a status request can be told from "never heard of it". The day changes for a session when one
//! of its ids is next used, or one of its orders next ends; ids of orders that live then are kept.
//!
//! Where a new id would stand in an index of a million, no cache remembers. But clients count: an id above all others is
//! new, and ids that came so are in order already. Only what comes out of order is indexed.

use core::cmp::Ordering;

use protocol::commands::ClOrdId;
use protocol::limits::SESSION_CL_ORD_IDS_MAX;
use protocol::time::NANOS_PER_DAY;
use protocol::{
    ClientId, MarketId, OrderId, OrderStatus, OrderType, RejectReason, Side, TimeInForce, UnixNanos,
};

use crate::index::{Index, hash_bytes, hash_u64};
use crate::pages::Pages;
use crate::rows::widen;

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

/// What is known of a ClOrdID.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) used: Option<Used>,
    /// Its hash; `None` where it is above all others.
    hash: Option<u32>,
}

/// The last state of an order that is no longer live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished<I = ClOrdId> {
    pub(crate) order: OrderId,
    /// Where it is kept, where that ends among the texts: they are many, mostly never asked for, and so take half the memory.
    pub(crate) cl_ord_id: I,
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

impl<I> Finished<I> {
    fn with_id<J>(&self, cl_ord_id: J) -> Finished<J> {
        Finished {
            order: self.order,
            cl_ord_id,
            client: self.client,
            market: self.market,
            side: self.side,
            order_type: self.order_type,
            time_in_force: self.time_in_force,
            status: self.status,
            reason: self.reason,
            price: self.price,
            qty: self.qty,
            cum: self.cum,
            cum_ticks_lots: self.cum_ticks_lots,
        }
    }
}

/// Ids one behind the other, and what they were used for.
#[derive(Clone, Debug, Default)]
struct Ids {
    used: Pages<Used, 14>,
    texts: Vec<u8>,
}

impl Ids {
    fn push(&mut self, id: &[u8], order: OrderId, market: MarketId) -> u32 {
        self.texts.extend_from_slice(id);
        // At most SESSION_CL_ORD_IDS_MAX ids of 64 bytes: 128 MiB.
        let end = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.used.push(Used { order, market, end })
    }

    fn id(&self, row: u32) -> &[u8] {
        let begin = row.checked_sub(1).map_or(0, |before| self.used.at(before).end);
        self.texts.get(widen(begin)..widen(self.used.at(row).end)).unwrap_or_default()
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], Used)> {
        self.used.numbers().map(|row| (self.id(row), *self.used.at(row)))
    }

    /// What an id was used for, where all are in order. Who asks mostly means a young one: the steps begin at the end and grow.
    fn search(&self, id: &[u8]) -> Option<Used> {
        let (mut begin, mut end, mut step) = (0, self.used.next_row(), 1_u32);
        while begin < end {
            let at = end.saturating_sub(step).max(u32::midpoint(begin, end));
            match ascent(self.id(at), id) {
                Ordering::Less => begin = at.saturating_add(1),
                Ordering::Equal => return Some(*self.used.at(at)),
                Ordering::Greater => end = at,
            }
            step = step.saturating_mul(2);
        }
        None
    }
}

/// As clients count: a longer id comes behind a shorter one, so that 10 comes behind 9.
fn ascent(one: &[u8], two: &[u8]) -> Ordering {
    one.len().cmp(&two.len()).then_with(|| one.cmp(two))
}

/// The ids of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClOrdIds {
    /// Days since 1970 when it was last cleaned.
    pub(crate) day: u64,
    /// Those that were above all others when they came.
    ascending: Ids,
    /// The last of these; empty before the first.
    last: ClOrdId,
    others: Ids,
    /// Of `others`.
    by_id: Index,
    finished: Pages<Finished<u32>, 12>,
    /// Their ClOrdIDs, one behind the other.
    finished_texts: Vec<u8>,
    /// Of the first rows of `finished` only, and of all as soon as one is asked for, which is seldom.
    by_order: Index,
}

impl ClOrdIds {
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= SESSION_CL_ORD_IDS_MAX
    }

    /// Whether the end of an order without an id of its own may be remembered.
    pub(crate) fn has_room_for_ended(&self) -> bool {
        self.finished.len() < SESSION_CL_ORD_IDS_MAX
    }

    fn len(&self) -> usize {
        self.ascending.used.len().saturating_add(self.others.used.len())
    }

    /// Looks an id up.
    #[inline]
    pub(crate) fn look(&self, id: &ClOrdId, seed: u64) -> Look {
        if self.last.len().cmp(&id.len()).then_with(|| self.last.cmp(id)).is_lt() {
            return Look { used: None, hash: None };
        }
        self.look_among(id.as_bytes(), seed)
    }

    fn look_among(&self, id: &[u8], seed: u64) -> Look {
        let hash = hash_bytes(id, seed);
        let row = self.by_id.find(hash, |row| self.others.id(row) == id);
        let used = row.map(|row| *self.others.used.at(row));
        Look { used: used.or_else(|| self.ascending.search(id)), hash: Some(hash) }
    }

    /// Remembers an id that was not found, and what for.
    pub(crate) fn remember(&mut self, look: Look, id: &ClOrdId, order: OrderId, market: MarketId) {
        match look.hash {
            None => {
                self.ascending.push(id.as_bytes(), order, market);
                self.last = *id;
            }
            Some(hash) => {
                let row = self.others.push(id.as_bytes(), order, market);
                self.by_id.insert(hash, row);
            }
        }
    }

    /// The last state of an order that has ended.
    pub(crate) fn ended(&self, row: u32) -> Finished {
        let finished = self.finished.at(row);
        let begin = row.checked_sub(1).map_or(0, |before| self.finished.at(before).cl_ord_id);
        let id = self.finished_texts.get(widen(begin)..widen(finished.cl_ord_id)).unwrap_or_default();
        finished.with_id(ClOrdId::new(id).unwrap_or_default())
    }

    /// The row of an order that ended today.
    pub(crate) fn find_ended(&mut self, order: OrderId) -> Option<u32> {
        let indexed = u32::try_from(self.by_order.live()).unwrap_or(u32::MAX);
        for row in indexed..self.finished.next_row() {
            self.by_order.insert(hash_u64(self.finished.at(row).order.0), row);
        }
        self.by_order.find(hash_u64(order.0), |row| self.finished.at(row).order == order)
    }

    /// Remembers how an order ended.
    #[inline]
    pub(crate) fn finish(&mut self, finished: &Finished) {
        self.finished_texts.extend_from_slice(finished.cl_ord_id.as_bytes());
        // Ids of 64 bytes, and fewer than 2^22 of them.
        let end = u32::try_from(self.finished_texts.len()).unwrap_or(u32::MAX);
        self.finished.push(finished.with_id(end));
    }

    /// Whether the day has changed since the ids were last cleaned.
    pub(crate) const fn is_of_another_day(&self, time: UnixNanos) -> bool {
        self.day != day(time)
    }

    /// Forgets the ids of orders that are not live, and how orders ended.
    pub(crate) fn new_day(&mut self, time: UnixNanos, seed: u64, is_live: impl Fn(&Used) -> bool) {
        let before = core::mem::replace(self, Self { day: day(time), ..Self::default() });
        for (id, used) in before.ascending.iter().chain(before.others.iter()) {
            let Ok(id) = ClOrdId::new(id) else { continue };
            if is_live(&used) {
                self.remember(self.look(&id, seed), &id, used.order, used.market);
            }
        }
    }

    /// The ids in order, with what they were used for.
    pub(crate) fn sorted_used(&self) -> impl ExactSizeIterator<Item = (ClOrdId, Used)> {
        let mut used: Vec<_> = self.ascending.iter().chain(self.others.iter()).collect();
        used.sort_unstable_by_key(|&(id, _)| id);
        used.into_iter().map(|(id, used)| (ClOrdId::new(id).unwrap_or_default(), used))
    }

    /// The orders that ended today, in order.
    pub(crate) fn sorted_finished(&self) -> impl ExactSizeIterator<Item = Finished> {
        let mut rows: Vec<u32> = self.finished.numbers().collect();
        rows.sort_unstable_by_key(|&row| self.finished.at(row).order);
        rows.into_iter().map(|row| self.ended(row))
    }

    /// Whether the indexes lead to every row.
    pub(crate) fn is_indexed(&self, seed: u64) -> bool {
        let is_found = |(id, used): (&[u8], Used)| {
            ClOrdId::new(id).is_ok_and(|id| self.look(&id, seed).used == Some(used))
        };
        let mut finished = self.finished.numbers().zip(self.finished.iter()).take(self.by_order.live());
        self.by_id.live() == self.others.used.len()
            && self.by_order.live() <= self.finished.len()
            && self.ascending.iter().chain(self.others.iter()).all(is_found)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SEED: u64 = 7;

    fn text(text: &str) -> ClOrdId {
        ClOrdId::new(text).unwrap()
    }

    /// The `n`-th id of a client of some kind.
    fn id_of(kind: usize, n: u64) -> ClOrdId {
        let scattered = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 10_007;
        text(&match kind {
            0 => format!("c{n:09}"),
            1 => n.to_string(),
            2 => scattered.to_string(),
            3 if n.is_multiple_of(2) => format!("b-{n}"),
            3 => format!("a-{n}"),
            _ => format!("{:05}", 99_999_u64.saturating_sub(n)),
        })
    }

    fn assert_same(ids: &ClOrdIds, model: &BTreeMap<ClOrdId, OrderId>) {
        let found: Vec<_> = ids.sorted_used().map(|(id, used)| (id, used.order)).collect();
        assert!(found.iter().copied().eq(model.iter().map(|(id, order)| (*id, *order))));
        assert!(ids.is_indexed(SEED));
        assert_eq!(ids.len(), model.len());
    }

    #[test]
    fn whatever_clients_call_their_orders_each_id_leads_to_what_it_was_used_for() {
        for kind in 0..5 {
            let (mut ids, mut model) = (ClOrdIds::default(), BTreeMap::new());
            for n in 0..3_000 {
                let (id, order) = (id_of(kind, n), OrderId(n));
                let look = ids.look(&id, SEED);
                assert_eq!(look.used.map(|used| used.order), model.get(&id).copied(), "{id}");
                if look.used.is_none() {
                    ids.remember(look, &id, order, MarketId(1));
                    model.insert(id, order);
                }
                for asked in [n / 2, n.saturating_sub(3), n + 1] {
                    let asked = id_of(kind, asked);
                    let found = ids.look(&asked, SEED).used.map(|used| used.order);
                    assert_eq!(found, model.get(&asked).copied(), "{asked}");
                }
            }
            assert_same(&ids, &model);
            let is_kept = |order: OrderId| order.0.is_multiple_of(7);
            ids.new_day(UnixNanos(NANOS_PER_DAY), SEED, |used| is_kept(used.order));
            model.retain(|_, order| is_kept(*order));
            assert_same(&ids, &model);
        }
    }

    #[test]
    fn orders_that_ended_are_found_with_their_ids() {
        let mut ids = ClOrdIds::default();
        let finished = |n: u64, id: &str| Finished {
            order: OrderId(n),
            cl_ord_id: text(id),
            client: ClientId(n),
            market: MarketId(1),
            side: Side::Sell,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Day,
            status: OrderStatus::Filled,
            reason: None,
            price: n,
            qty: n,
            cum: n,
            cum_ticks_lots: n.into(),
        };
        let ended = [finished(9, "nine"), finished(4, ""), finished(7, &"7".repeat(64)), finished(1, "one")];
        ended.iter().for_each(|finished| ids.finish(finished));
        for finished in &ended {
            let row = ids.find_ended(finished.order).unwrap();
            assert_eq!(ids.ended(row), *finished);
        }
        assert_eq!(ids.find_ended(OrderId(2)), None);
        let sorted: Vec<_> = ids.sorted_finished().map(|finished| finished.order.0).collect();
        assert_eq!(sorted, [1, 4, 7, 9]);
        assert!(ids.is_indexed(SEED));
    }

    #[test]
    fn ids_of_clients_that_count_are_not_indexed() {
        for kind in [0, 1] {
            let mut ids = ClOrdIds::default();
            for n in 0..1_000 {
                let id = id_of(kind, n);
                ids.remember(ids.look(&id, SEED), &id, OrderId(n), MarketId(1));
            }
            assert_eq!((ids.ascending.used.len(), ids.by_id.live()), (1_000, 0));
        }
    }
}

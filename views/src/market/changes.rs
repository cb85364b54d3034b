//! What changed in a book, as far back as it is kept.

use std::collections::{BTreeSet, VecDeque};

use protocol::book::BookLevel;
use protocol::{OrderId, PriceTicks, QtyLots, Seq, Side, TradeId, UnixNanos};

use super::book::Book;

/// What became of a resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderAction {
    /// It rests, behind the others at its price.
    Added,
    /// Less of it is visible; it keeps its place.
    Reduced,
    /// It left without a trade.
    Removed,
    /// The next slice of its reserve rests, behind the others at its price.
    Refilled,
    /// It traded, and keeps its place; it left if nothing is left.
    Executed {
        /// The trade.
        trade: TradeId,
        /// How much.
        qty_lots: QtyLots,
    },
}

/// One change of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderChange {
    /// The record that caused it.
    pub seq: Seq,
    /// Time of that record.
    pub time: UnixNanos,
    /// The resting order.
    pub order: OrderId,
    /// Its side.
    pub side: Side,
    /// Its price.
    pub price_ticks: PriceTicks,
    /// What is visible of it from now on; 0 = it left.
    pub left_lots: QtyLots,
    /// What became of it.
    pub action: OrderAction,
}

/// What changed behind a seq is not kept any more: the book has to be taken anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("changes are kept from behind seq {floor} on")]
pub struct TooOld {
    /// The lowest seq since which everything is kept.
    pub floor: Seq,
}

/// The last changes of one book.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    kept: VecDeque<OrderChange>,
    kept_max: usize,
    floor: Seq,
}

impl Changes {
    /// Of a book as it is behind `floor`.
    pub(crate) const fn new(kept_max: usize, floor: Seq) -> Self {
        Self { kept: VecDeque::new(), kept_max, floor }
    }

    pub(crate) fn push(&mut self, change: OrderChange) {
        self.kept.push_back(change);
        while self.kept.len() > self.kept_max {
            // Who has the book of this seq's middle has none: the whole record counts as lost.
            if let Some(lost) = self.kept.pop_front() {
                self.floor = lost.seq;
            }
        }
    }

    /// What changed behind a seq, in order.
    pub(crate) fn since(&self, seq: Seq) -> Result<impl Iterator<Item = &OrderChange>, TooOld> {
        if seq < self.floor {
            return Err(TooOld { floor: self.floor });
        }
        let first = self.kept.partition_point(|change| change.seq <= seq);
        Ok(self.kept.range(first..))
    }

    /// As [`Self::since`], but what the prices that were touched have come to, bids then asks, best first.
    pub(crate) fn levels_since(&self, seq: Seq, book: &Book) -> Result<Vec<(Side, BookLevel)>, TooOld> {
        let touched: BTreeSet<(Side, PriceTicks)> =
            self.since(seq)?.map(|change| (change.side, change.price_ticks)).collect();
        let bids = touched.range(..(Side::Sell, PriceTicks(0))).rev();
        let asks = touched.range((Side::Sell, PriceTicks(0))..);
        Ok(bids.chain(asks).map(|&(side, price)| (side, book.level(side, price))).collect())
    }
}

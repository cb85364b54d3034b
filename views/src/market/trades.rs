//! The last trades of one market.

use std::collections::VecDeque;

use protocol::{Amount, PriceTicks, QtyLots, Seq, Side, TradeId, UnixNanos};

/// A trade, without those who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The trade.
    pub trade: TradeId,
    /// At the resting order's price.
    pub price_ticks: PriceTicks,
    /// How much.
    pub qty_lots: QtyLots,
    /// Price × quantity, in quote.
    pub notional: Amount,
    /// Side of the incoming order.
    pub taker_side: Side,
    /// The record that caused it.
    pub seq: Seq,
    /// Time of that record.
    pub time: UnixNanos,
}

/// The newest trades of a market, oldest first.
#[derive(Clone, Debug)]
pub struct Trades {
    kept: VecDeque<Trade>,
    kept_max: usize,
    /// Trades that are not kept any more.
    dropped: u64,
}

impl Trades {
    pub(crate) const fn new(kept_max: usize) -> Self {
        Self { kept: VecDeque::new(), kept_max, dropped: 0 }
    }

    pub(crate) fn push(&mut self, trade: Trade) {
        self.kept.push_back(trade);
        while self.kept.len() > self.kept_max {
            self.kept.pop_front();
            self.dropped += 1;
        }
    }

    /// How many there were since market data began.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.dropped + self.kept.len() as u64
    }

    /// How many of them are not kept any more.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The newest one.
    #[must_use]
    pub fn last(&self) -> Option<&Trade> {
        self.kept.back()
    }

    /// All that are kept, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Trade> + ExactSizeIterator {
        self.kept.iter()
    }

    /// From an id on, as far as they are kept.
    pub fn from_id(&self, first: TradeId) -> impl Iterator<Item = &Trade> {
        self.kept.range(self.kept.partition_point(|trade| trade.trade < first)..)
    }

    /// From an instant on, as far as they are kept.
    pub fn from_time(&self, first: UnixNanos) -> impl Iterator<Item = &Trade> {
        self.kept.range(self.kept.partition_point(|trade| trade.time < first)..)
    }

    /// Behind the first `count` since market data began, as far as they are kept.
    pub(crate) fn behind(&self, count: u64) -> impl Iterator<Item = &Trade> {
        let skip = usize::try_from(count.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        self.kept.range(skip.min(self.kept.len())..)
    }
}

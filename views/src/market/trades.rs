//! The last trades of one market, and what became of them.

use protocol::binary::TradeStatus;
use protocol::binary::market as wire;
use protocol::events::TradeBusted;
use protocol::{Amount, PriceTicks, QtyLots, Seq, Side, TradeId, UnixNanos};

use super::latest::Latest;

/// A trade, without those who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The trade.
    pub trade: TradeId,
    /// At the resting order's price, or an auction's; of one that was corrected, from then on.
    pub price_ticks: PriceTicks,
    /// How much; of one that was corrected, from then on.
    pub qty_lots: QtyLots,
    /// Price × quantity, in quote.
    pub notional: Amount,
    /// Side of the incoming order.
    pub taker_side: Side,
    /// The record that caused it.
    pub seq: Seq,
    /// Time of that record.
    pub time: UnixNanos,
    /// What became of it since.
    pub status: TradeStatus,
}

impl Trade {
    pub(crate) const fn of_row(row: &wire::Trade) -> Self {
        let &wire::Trade { trade, price_ticks, qty_lots, notional, taker_side, seq, time, status } = row;
        Self { trade, price_ticks, qty_lots, notional, taker_side, seq, time, status }
    }
}

/// Trades of one record, one behind the other, at one price and with one side of the incoming order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateTrade {
    /// The first of them.
    pub first: TradeId,
    /// The last of them.
    pub last: TradeId,
    /// How many.
    pub trades: u32,
    /// Their price.
    pub price_ticks: PriceTicks,
    /// How much, summed.
    pub qty_lots: u128,
    /// Price × quantity, in quote, summed.
    pub notional: Amount,
    /// Side of the incoming order.
    pub taker_side: Side,
    /// The record that caused them.
    pub seq: Seq,
    /// Time of that record.
    pub time: UnixNanos,
}

impl AggregateTrade {
    fn of(trade: &Trade) -> Self {
        let &Trade { trade, price_ticks, qty_lots, notional, taker_side, seq, time, status: _ } = trade;
        let qty_lots = qty_lots.0.into();
        Self { first: trade, last: trade, trades: 1, price_ticks, qty_lots, notional, taker_side, seq, time }
    }

    fn takes(&self, trade: &Trade) -> bool {
        (self.seq, self.price_ticks, self.taker_side) == (trade.seq, trade.price_ticks, trade.taker_side)
    }

    fn add(&mut self, trade: &Trade) {
        self.last = trade.trade;
        self.trades = self.trades.saturating_add(1);
        self.qty_lots = self.qty_lots.saturating_add(trade.qty_lots.0.into());
        self.notional = Amount(self.notional.0.saturating_add(trade.notional.0));
    }
}

/// Aggregates trades in order, those that were busted left out, into at most `rows_max` rows. Returns them, and of how many trades they are all
/// that there is to say.
pub(crate) fn aggregate<'a>(
    trades: impl Iterator<Item = &'a Trade>,
    rows_max: usize,
) -> (Vec<AggregateTrade>, usize) {
    let (mut rows, mut told) = (Vec::<AggregateTrade>::new(), 0);
    for trade in trades {
        let is_full = rows.len() == rows_max;
        match rows.last_mut() {
            _ if trade.status == TradeStatus::Busted => {}
            Some(row) if row.takes(trade) => row.add(trade),
            _ if is_full => break,
            _ => rows.push(AggregateTrade::of(trade)),
        }
        told += 1;
    }
    (rows, told)
}

/// A trade was taken back or corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeChange {
    /// The record that did it.
    pub seq: Seq,
    /// Time of that record.
    pub time: UnixNanos,
    /// The trade.
    pub trade: TradeId,
    /// When it was made; `None` = it was not kept any more.
    pub made_at: Option<UnixNanos>,
    /// What became of it.
    pub status: TradeStatus,
    /// As it was: price, quantity, and the product in quote.
    pub before: (PriceTicks, QtyLots, Amount),
    /// From now on; zeros = taken back.
    pub now: (PriceTicks, QtyLots, Amount),
    /// Why: a number of the operator's.
    pub reason: u16,
}

impl TradeChange {
    pub(crate) const fn of_row(row: &wire::TradeChange, made_at: Option<UnixNanos>) -> Self {
        let &wire::TradeChange { seq, time, trade, status, reason, .. } = row;
        let before = (row.price_ticks_before, row.qty_lots_before, row.notional_before);
        let now = (row.price_ticks, row.qty_lots, row.notional);
        Self { seq, time, trade, made_at, status, before, now, reason }
    }

    pub(crate) fn of(busted: &TradeBusted, seq: Seq, time: UnixNanos) -> Self {
        let &TradeBusted { ref settled, price_ticks, qty_lots, notional, reason, .. } = busted;
        let is_busted = qty_lots == QtyLots(0);
        Self {
            seq,
            time,
            trade: settled.trade,
            made_at: None,
            status: if is_busted { TradeStatus::Busted } else { TradeStatus::Corrected },
            before: (settled.price_ticks, settled.qty_lots, settled.notional),
            now: (price_ticks, qty_lots, notional),
            reason,
        }
    }
}

/// The newest trades of a market, oldest first.
#[derive(Clone, Debug)]
pub struct Trades(pub(crate) Latest<Trade>);

impl Trades {
    pub(crate) const fn new(kept_max: usize) -> Self {
        Self(Latest::new(kept_max))
    }

    pub(crate) fn push(&mut self, trade: Trade) {
        self.0.push(trade);
    }

    /// Notes what became of a trade. Returns it as it was and as it is; `None` = it is not kept any more.
    pub(crate) fn change(&mut self, change: &TradeChange) -> Option<(Trade, Trade)> {
        let at = self.0.kept().binary_search_by_key(&change.trade, |trade| trade.trade).ok()?;
        let trade = self.0.kept_mut().get_mut(at)?;
        let before = *trade;
        trade.status = change.status;
        if change.status == TradeStatus::Corrected {
            (trade.price_ticks, trade.qty_lots, trade.notional) = change.now;
        }
        Some((before, *trade))
    }

    /// How many there were since market data began.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// How many of them are not kept any more.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// The oldest that is kept; 0 = there was none yet.
    pub(crate) fn oldest(&self) -> TradeId {
        self.0.kept().front().map_or(TradeId(0), |first| first.trade)
    }

    /// The newest one.
    #[must_use]
    pub fn last(&self) -> Option<&Trade> {
        self.0.kept().back()
    }

    /// All that are kept, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Trade> + ExactSizeIterator {
        self.0.kept().iter()
    }

    /// From an id on, as far as they are kept.
    pub fn from_id(&self, first: TradeId) -> impl Iterator<Item = &Trade> {
        let kept = self.0.kept();
        kept.range(kept.partition_point(|trade| trade.trade < first)..)
    }

    /// From an instant on, as far as they are kept.
    pub fn from_time(&self, first: UnixNanos) -> impl Iterator<Item = &Trade> {
        let kept = self.0.kept();
        kept.range(kept.partition_point(|trade| trade.time < first)..)
    }

    /// Trades of before this instant may be lacking, if they count from `began`.
    pub(crate) fn complete_from(&self, began: UnixNanos) -> UnixNanos {
        self.0.kept().front().filter(|_| self.0.dropped() > 0).map_or(began, |first| first.time.plus(1))
    }

    /// Behind the first `count` since market data began, as far as they are kept.
    pub(crate) fn behind(&self, count: u64) -> impl Iterator<Item = &Trade> {
        self.0.behind(count)
    }
}

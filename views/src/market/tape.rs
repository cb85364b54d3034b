//! What happened in one market: its trades and what became of them, candles, the phase and the auction that it was in last.

use protocol::binary::market as wire;
use protocol::binary::{Fixed, TradeStatus};
use protocol::events::{AuctionUncrossed, MarketPhaseChanged, Settled, TradeBusted};
use protocol::{PhaseCause, PriceTicks, Seq, UnixNanos};

use super::candles::Candles;
use super::data::MarketLimits;
use super::encode;
use super::latest::Latest;
use super::past::u64_of;
use super::trades::{Trade, TradeChange, Trades};

/// A market went into the phase that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseBegun {
    /// Why.
    pub cause: PhaseCause,
    /// The record with which it did.
    pub seq: Seq,
    /// Time of that record.
    pub time: UnixNanos,
}

/// An auction in which something was traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuctionOver {
    /// The one price of its trades.
    pub price_ticks: PriceTicks,
    /// What has traded.
    pub lots: u128,
    /// In how many trades.
    pub trades: u32,
    /// The record with which it was over.
    pub seq: Seq,
    /// Time of that record.
    pub time: UnixNanos,
}

/// The past of one market, as far as it is kept.
#[derive(Clone, Debug)]
pub struct Tape {
    trades: Trades,
    changes: Latest<TradeChange>,
    candles: Candles,
    phase: Option<PhaseBegun>,
    auction: Option<AuctionOver>,
}

impl Tape {
    pub(crate) fn new(limits: &MarketLimits, since: UnixNanos) -> Self {
        Self {
            trades: Trades::new(limits.trades_kept),
            changes: Latest::new(limits.trade_changes_kept),
            candles: Candles::new(limits, since),
            phase: None,
            auction: None,
        }
    }

    /// Takes a trade.
    pub(crate) fn settle(&mut self, settled: &Settled, seq: Seq, time: UnixNanos) {
        let trade = Trade {
            trade: settled.trade,
            price_ticks: settled.price_ticks,
            qty_lots: settled.qty_lots,
            notional: settled.notional,
            taker_side: settled.taker_side,
            seq,
            time,
            status: TradeStatus::Made,
        };
        self.trades.push(trade);
        self.candles.take(&trade);
    }

    /// A trade is taken back or corrected: candles are as if it had been made as it is now.
    pub(crate) fn bust(&mut self, busted: &TradeBusted, seq: Seq, time: UnixNanos) {
        let mut change = TradeChange::of(busted, seq, time);
        if let Some((before, now)) = self.trades.change(&change) {
            change.made_at = Some(now.time);
            self.candles.change(&before, &now, &self.trades);
        }
        self.changes.push(change);
    }

    /// The last record with a trade, or with which a trade was taken back or corrected; 0 = there was none.
    pub(crate) fn traded(&self) -> Seq {
        let changed = self.changes.kept().back().map_or(Seq::ZERO, |change| change.seq);
        self.trades.last().map_or(changed, |trade| trade.seq.max(changed))
    }

    pub(crate) const fn begin_phase(&mut self, changed: &MarketPhaseChanged, seq: Seq, time: UnixNanos) {
        self.phase = Some(PhaseBegun { cause: changed.cause, seq, time });
    }

    pub(crate) const fn uncross(&mut self, uncrossed: &AuctionUncrossed, seq: Seq, time: UnixNanos) {
        let &AuctionUncrossed { price_ticks, lots, trades, .. } = uncrossed;
        self.auction = Some(AuctionOver { price_ticks, lots, trades, seq, time });
    }

    /// Puts what came before in front, and does to it what was done since.
    pub(crate) fn prepend(&mut self, mut past: Self) {
        for change in self.changes.kept_mut().iter_mut().filter(|change| change.made_at.is_none()) {
            if let Some((before, now)) = past.trades.change(change) {
                change.made_at = Some(now.time);
                past.candles.change(&before, &now, &past.trades);
            }
        }
        self.trades.0.prepend(past.trades.0);
        self.changes.prepend(past.changes);
        self.candles.prepend(past.candles);
        self.phase = self.phase.or(past.phase);
        self.auction = self.auction.or(past.auction);
    }

    /// Appends it as bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let phase = self.phase.map_or([0; 3], |phase| [phase.cause.code().into(), phase.seq.0, phase.time.0]);
        phase.iter().for_each(|number| number.put(out));
        let auction = self.auction;
        auction.map_or(0, |auction| auction.lots).put(out);
        let numbers = auction.map_or([0; 4], |auction| {
            [auction.price_ticks.0, auction.trades.into(), auction.seq.0, auction.time.0]
        });
        numbers.iter().for_each(|number| number.put(out));
        let trades = &self.trades.0;
        [trades.dropped(), trades.kept().len() as u64].iter().for_each(|number| number.put(out));
        trades.kept().iter().for_each(|trade| encode::trade(trade).put(out));
        [self.changes.dropped(), self.changes.kept().len() as u64].iter().for_each(|number| number.put(out));
        for change in self.changes.kept() {
            encode::trade_change(change).put(out);
            // No trade is made in 1970.
            change.made_at.unwrap_or(UnixNanos(0)).put(out);
        }
        self.candles.write(out);
    }

    /// Takes it from the front of `bytes`; `None` if it is not there.
    pub(crate) fn read(bytes: &mut &[u8], limits: &MarketLimits) -> Option<Self> {
        let phase = [u64_of(bytes)?, u64_of(bytes)?, u64_of(bytes)?];
        let lots = u128::take(bytes).ok()?;
        let [price, count, seq, time] = [u64_of(bytes)?, u64_of(bytes)?, u64_of(bytes)?, u64_of(bytes)?];
        let trades = u32::try_from(count).ok()?;
        let auction = AuctionOver {
            price_ticks: PriceTicks(price),
            lots,
            trades,
            seq: Seq(seq),
            time: UnixNanos(time),
        };
        let (dropped, mut kept) = (u64_of(bytes)?, Vec::new());
        for _ in 0..u64_of(bytes)? {
            kept.push(Trade::of_row(&wire::Trade::take(bytes).ok()?));
        }
        let made = Trades(Latest::resume(limits.trades_kept, dropped, kept));
        let (dropped, mut kept) = (u64_of(bytes)?, Vec::new());
        for _ in 0..u64_of(bytes)? {
            let row = wire::TradeChange::take(bytes).ok()?;
            let made_at = Some(UnixNanos(u64_of(bytes)?)).filter(|made_at| made_at.0 > 0);
            kept.push(TradeChange::of_row(&row, made_at));
        }
        Some(Self {
            trades: made,
            changes: Latest::resume(limits.trade_changes_kept, dropped, kept),
            candles: Candles::read(bytes, limits)?,
            phase: match phase {
                [0, ..] => None,
                [cause, seq, time] => Some(PhaseBegun {
                    cause: PhaseCause::from_code(u8::try_from(cause).ok()?)?,
                    seq: Seq(seq),
                    time: UnixNanos(time),
                }),
            },
            auction: (trades > 0).then_some(auction),
        })
    }

    /// The trades.
    #[must_use]
    pub const fn trades(&self) -> &Trades {
        &self.trades
    }

    /// What became of trades, in the order in which it did.
    pub(crate) const fn changes(&self) -> &Latest<TradeChange> {
        &self.changes
    }

    /// The candles.
    #[must_use]
    pub const fn candles(&self) -> &Candles {
        &self.candles
    }

    /// How many trades there were, and changes of them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.trades.count(), self.changes.count())
    }

    /// How often something of the trades has changed: what was computed from them is as new as this is the same.
    pub(crate) fn version(&self) -> u64 {
        self.trades.count() + self.changes.count()
    }

    /// How the market came into its phase; `None` = that was before the tape began.
    #[must_use]
    pub const fn phase(&self) -> Option<PhaseBegun> {
        self.phase
    }

    /// The last auction in which something was traded.
    #[must_use]
    pub const fn auction(&self) -> Option<AuctionOver> {
        self.auction
    }
}

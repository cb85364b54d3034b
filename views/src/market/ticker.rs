//! Rolling windows: what was traded lately.

use protocol::time::NANOS_PER_SECOND;
use protocol::{Amount, PriceTicks, UnixNanos};

use super::candles::{Candle, Candles, Interval, UtcOffset};

const MINUTE: u64 = 60 * NANOS_PER_SECOND;

/// How far a ticker looks back. It begins with a whole minute: it is longer than its name by less than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// Five minutes: of the average price.
    FiveMinutes,
    /// 1h.
    Hour,
    /// 4h.
    FourHours,
    /// 1d, which is 24 h.
    Day,
}

impl Window {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FiveMinutes, Self::Hour, Self::FourHours, Self::Day];
    /// Minutes of the longest one, and the one that has begun.
    pub(crate) const MINUTES_MAX: usize = 24 * 60 + 1;

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::FourHours => "4h",
            Self::Day => "1d",
        }
    }

    /// Whole minutes.
    #[must_use]
    pub const fn minutes(self) -> u64 {
        match self {
            Self::FiveMinutes => 5,
            Self::Hour => 60,
            Self::FourHours => 240,
            Self::Day => 1_440,
        }
    }

    /// Where it begins, if it ends now.
    #[must_use]
    pub fn open_time(self, now: UnixNanos) -> UnixNanos {
        let begun = Interval::Minute.open_time(now, UtcOffset::UTC);
        UnixNanos(begun.0.saturating_sub(self.minutes() * MINUTE))
    }
}

/// An average price weighted by quantity: `ticks_lots` over `lots`, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Average {
    /// Price × quantity, summed.
    pub ticks_lots: u128,
    /// Quantity, summed; never zero.
    pub lots: u128,
}

/// What was traded in a window that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticker {
    /// The window.
    pub window: Window,
    /// Where it begins.
    pub open_time: UnixNanos,
    /// Price of its first trade; without one the last price before it, as the other three.
    pub open: PriceTicks,
    /// The highest price.
    pub high: PriceTicks,
    /// The lowest price.
    pub low: PriceTicks,
    /// The last price.
    pub last: PriceTicks,
    /// Quantity traded.
    pub volume_lots: u128,
    /// Price × quantity, in ticks × lots.
    pub ticks_lots: u128,
    /// The same in quote.
    pub notional: Amount,
    /// How many trades.
    pub trades: u64,
}

impl Ticker {
    /// `None` as long as nothing was traded since market data began.
    pub(crate) fn of(candles: &Candles, window: Window, now: UnixNanos) -> Option<Self> {
        let open_time = window.open_time(now);
        let mut sum: Option<Candle> = None;
        for candle in candles.traded(Interval::Minute, open_time) {
            match &mut sum {
                Some(sum) => sum.append(candle),
                None => sum = Some(*candle),
            }
        }
        let sum = match sum {
            Some(sum) => sum,
            None => Candle::flat(open_time, candles.last(Interval::Minute)?.close),
        };
        Some(Self {
            window,
            open_time,
            open: sum.open,
            high: sum.high,
            low: sum.low,
            last: sum.close,
            volume_lots: sum.volume_lots,
            ticks_lots: sum.ticks_lots,
            notional: sum.notional,
            trades: sum.trades,
        })
    }

    /// By how much the price rose from `open` to `last`, in ticks.
    #[must_use]
    pub fn change_ticks(&self) -> i128 {
        i128::from(self.last.0) - i128::from(self.open.0)
    }

    /// The same in millionths of `open`, rounded towards zero.
    #[must_use]
    pub fn change_ppm(&self) -> i128 {
        self.change_ticks() * 1_000_000 / i128::from(self.open.0.max(1))
    }

    /// The average price of the window; the last price where nothing was traded in it.
    #[must_use]
    pub fn average(&self) -> Average {
        if self.volume_lots == 0 {
            return Average { ticks_lots: self.last.0.into(), lots: 1 };
        }
        Average { ticks_lots: self.ticks_lots, lots: self.volume_lots }
    }
}

//! Candles: what was traded in each interval of time, for sixteen lengths of it.

use std::collections::VecDeque;

use protocol::binary::market as wire;
use protocol::binary::{Fixed, TradeStatus};
use protocol::calendar::{date_of, days_since_1970};
use protocol::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
use protocol::{Amount, PriceTicks, UnixNanos};

use super::data::MarketLimits;
use super::encode;
use super::past::u64_of;
use super::trades::{Trade, Trades};

const MINUTE: u64 = 60 * NANOS_PER_SECOND;
const HOUR: u64 = 60 * MINUTE;
/// 1970-01-05, the first Monday.
const FIRST_MONDAY: u64 = 4 * NANOS_PER_DAY;
/// At most so many candles are in one answer.
pub const CANDLES_PER_ANSWER_MAX: usize = 1_500;

/// How long a candle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interval {
    /// 1s.
    Second,
    /// 1m.
    Minute,
    /// 3m.
    ThreeMinutes,
    /// 5m.
    FiveMinutes,
    /// 15m.
    QuarterHour,
    /// 30m.
    HalfHour,
    /// 1h.
    Hour,
    /// 2h.
    TwoHours,
    /// 4h.
    FourHours,
    /// 6h.
    SixHours,
    /// 8h.
    EightHours,
    /// 12h.
    TwelveHours,
    /// 1d.
    Day,
    /// 3d, counted from 1970-01-01.
    ThreeDays,
    /// 1w, from Monday.
    Week,
    /// 1M, of the calendar.
    Month,
}

impl Interval {
    /// All of them, the shortest first.
    pub const ALL: [Self; 16] = [
        Self::Second,
        Self::Minute,
        Self::ThreeMinutes,
        Self::FiveMinutes,
        Self::QuarterHour,
        Self::HalfHour,
        Self::Hour,
        Self::TwoHours,
        Self::FourHours,
        Self::SixHours,
        Self::EightHours,
        Self::TwelveHours,
        Self::Day,
        Self::ThreeDays,
        Self::Week,
        Self::Month,
    ];

    /// As it is written: a number and one of s, m, h, d, w, M.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "1s",
            Self::Minute => "1m",
            Self::ThreeMinutes => "3m",
            Self::FiveMinutes => "5m",
            Self::QuarterHour => "15m",
            Self::HalfHour => "30m",
            Self::Hour => "1h",
            Self::TwoHours => "2h",
            Self::FourHours => "4h",
            Self::SixHours => "6h",
            Self::EightHours => "8h",
            Self::TwelveHours => "12h",
            Self::Day => "1d",
            Self::ThreeDays => "3d",
            Self::Week => "1w",
            Self::Month => "1M",
        }
    }

    /// The interval of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.name() == name)
    }

    /// Nanoseconds of all but the month, which has no length of its own.
    const fn length(self) -> Option<u64> {
        Some(match self {
            Self::Second => NANOS_PER_SECOND,
            Self::Minute => MINUTE,
            Self::ThreeMinutes => 3 * MINUTE,
            Self::FiveMinutes => 5 * MINUTE,
            Self::QuarterHour => 15 * MINUTE,
            Self::HalfHour => 30 * MINUTE,
            Self::Hour => HOUR,
            Self::TwoHours => 2 * HOUR,
            Self::FourHours => 4 * HOUR,
            Self::SixHours => 6 * HOUR,
            Self::EightHours => 8 * HOUR,
            Self::TwelveHours => 12 * HOUR,
            Self::Day => NANOS_PER_DAY,
            Self::ThreeDays => 3 * NANOS_PER_DAY,
            Self::Week => 7 * NANOS_PER_DAY,
            Self::Month => return None,
        })
    }

    /// Start of the interval in which an instant lies, in the local time of `offset`. Before 1970-01-05 it is 0.
    #[must_use]
    pub fn open_time(self, time: UnixNanos, offset: UtcOffset) -> UnixNanos {
        let Some(local) = offset.local(time) else { return UnixNanos(0) };
        let open = match self.length() {
            None => {
                let (year, month, _) = date_of(UnixNanos(local));
                days_since_1970(year, month, 1).unwrap_or(0) * NANOS_PER_DAY
            }
            Some(length) if self == Self::Week => match local.checked_sub(FIRST_MONDAY) {
                None => return UnixNanos(0),
                Some(behind) => local - behind % length,
            },
            Some(length) => local - local % length,
        };
        offset.utc(open)
    }

    /// Start of the interval behind the one that starts at `open`.
    #[must_use]
    pub fn next_open_time(self, open: UnixNanos, offset: UtcOffset) -> UnixNanos {
        match self.length() {
            Some(length) => open.plus(length),
            // No month is longer than 31 days, and none is shorter than 28.
            None => self.open_time(open.plus(31 * NANOS_PER_DAY), offset),
        }
    }

    /// Whether intervals of it are whole ones of the other length, one behind the other, by UTC.
    fn consists_of(self, part: Self) -> bool {
        let Some(of_part) = part.length() else { return false };
        // Months and weeks begin with a day.
        let whole = match self.length() {
            Some(length) if self != Self::Week => length,
            Some(_) | None => NANOS_PER_DAY,
        };
        whole.is_multiple_of(of_part)
    }

    /// Whether its intervals start at the same instants with an offset as without.
    const fn is_the_same_at(self, offset: UtcOffset) -> bool {
        match self.length() {
            Some(length) if length < NANOS_PER_DAY => offset.nanos().is_multiple_of(length),
            Some(_) | None => offset.minutes == 0,
        }
    }
}

/// How far local time is ahead of UTC: −12:00 to +14:00 in quarters of an hour, as the world's are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcOffset {
    minutes: i16,
}

impl UtcOffset {
    /// None.
    pub const UTC: Self = Self { minutes: 0 };

    /// So many minutes ahead of UTC; `None` if no clock goes so.
    #[must_use]
    pub const fn of_minutes(minutes: i16) -> Option<Self> {
        if minutes < -12 * 60 || minutes > 14 * 60 || minutes % 15 != 0 {
            None
        } else {
            Some(Self { minutes })
        }
    }

    const fn nanos(self) -> u64 {
        self.minutes.unsigned_abs() as u64 * MINUTE
    }

    /// `None` before 1970 in local time.
    const fn local(self, time: UnixNanos) -> Option<u64> {
        if self.minutes < 0 {
            time.0.checked_sub(self.nanos())
        } else {
            Some(time.0.saturating_add(self.nanos()))
        }
    }

    const fn utc(self, local: u64) -> UnixNanos {
        UnixNanos(if self.minutes < 0 {
            local.saturating_add(self.nanos())
        } else {
            local.saturating_sub(self.nanos())
        })
    }
}

/// What was traded in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candle {
    /// Its start.
    pub open_time: UnixNanos,
    /// Price of its first trade; without one the last price before it, as the other three.
    pub open: PriceTicks,
    /// The highest price.
    pub high: PriceTicks,
    /// The lowest price.
    pub low: PriceTicks,
    /// Price of its last trade.
    pub close: PriceTicks,
    /// Quantity traded.
    pub volume_lots: u128,
    /// Price × quantity, in ticks × lots; over the volume it is the average price.
    pub ticks_lots: u128,
    /// The same in quote.
    pub notional: Amount,
    /// How many trades.
    pub trades: u64,
}

impl Candle {
    /// Nothing is traded, and the price stays.
    pub(crate) const fn flat(open_time: UnixNanos, price: PriceTicks) -> Self {
        Self {
            open_time,
            open: price,
            high: price,
            low: price,
            close: price,
            volume_lots: 0,
            ticks_lots: 0,
            notional: Amount::ZERO,
            trades: 0,
        }
    }

    /// The sum of candles one behind the other, if there is one.
    fn summed<'c>(open_time: UnixNanos, mut parts: impl Iterator<Item = &'c Self>) -> Option<Self> {
        let mut sum = Self { open_time, ..*parts.next()? };
        parts.for_each(|part| sum.append(part));
        Some(sum)
    }

    /// Without a trade, or with what became of it; prices stay. `None` = nothing is left.
    fn amended(mut self, before: &Trade, now: &Trade) -> Option<Self> {
        let is_gone = now.status == TradeStatus::Busted;
        let [volume, ticks_lots, notional] = if is_gone { [0; 3] } else { sizes(now) };
        let [less_volume, less_ticks_lots, less_notional] = sizes(before);
        self.volume_lots = self.volume_lots.saturating_sub(less_volume).saturating_add(volume);
        self.ticks_lots = self.ticks_lots.saturating_sub(less_ticks_lots).saturating_add(ticks_lots);
        self.notional = Amount(self.notional.0.saturating_sub(less_notional).saturating_add(notional));
        self.trades = self.trades.saturating_sub(u64::from(is_gone));
        (self.trades > 0).then_some(self)
    }

    fn of_row(row: &wire::Candle) -> Self {
        let &wire::Candle { open_time, open_ticks, high_ticks, low_ticks, close_ticks, .. } = row;
        let &wire::Candle { volume_lots, volume_ticks_lots, notional, trades, .. } = row;
        Self {
            open_time,
            open: open_ticks,
            high: high_ticks,
            low: low_ticks,
            close: close_ticks,
            volume_lots,
            ticks_lots: volume_ticks_lots,
            notional,
            trades,
        }
    }

    fn of_trade(open_time: UnixNanos, trade: &Trade) -> Self {
        let [volume_lots, ticks_lots, notional] = sizes(trade);
        let notional = Amount(notional);
        Self { volume_lots, ticks_lots, notional, trades: 1, ..Self::flat(open_time, trade.price_ticks) }
    }

    /// Takes in one with trades that comes later.
    pub(crate) fn append(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume_lots = self.volume_lots.saturating_add(later.volume_lots);
        self.ticks_lots = self.ticks_lots.saturating_add(later.ticks_lots);
        self.notional = Amount(self.notional.0.saturating_add(later.notional.0));
        self.trades += later.trades;
    }
}

/// Quantity, price × quantity, and the same in quote.
fn sizes(trade: &Trade) -> [u128; 3] {
    [trade.qty_lots.0.into(), trade.price_ticks.times(trade.qty_lots), trade.notional.0]
}

/// Candles of one interval, one behind the other: where nothing was traded they are flat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandlePage {
    /// The candles, oldest first.
    pub candles: Vec<Candle>,
    /// Those that open before this lack trades, or are lacking: they are from before market data began, or not kept any more.
    pub complete_from: UnixNanos,
}

/// Candles of one length, only those with trades.
#[derive(Clone, Debug)]
struct Series {
    kept: VecDeque<Candle>,
    kept_max: usize,
    complete_from: UnixNanos,
    /// None that opens before is kept any more.
    lost_before: UnixNanos,
}

impl Series {
    fn take(&mut self, open_time: UnixNanos, trade: &Trade) {
        self.push(Candle::of_trade(open_time, trade));
    }

    fn push(&mut self, candle: Candle) {
        match self.kept.back_mut().filter(|last| last.open_time == candle.open_time) {
            Some(last) => last.append(&candle),
            None => self.kept.push_back(candle),
        }
        while self.kept.len() > self.kept_max {
            self.kept.pop_front();
            if let Some(first) = self.kept.front() {
                (self.complete_from, self.lost_before) = (first.open_time, first.open_time);
            }
        }
    }

    /// Puts those in front that open before, and the first part of one that was open.
    fn prepend(&mut self, mut past: Self) {
        if self.lost_before > UnixNanos(0) {
            // Between the two something is lost.
            return;
        }
        std::mem::take(&mut self.kept).into_iter().for_each(|candle| past.push(candle));
        *self = past;
    }

    fn write(&self, out: &mut Vec<u8>) {
        for number in [self.complete_from.0, self.lost_before.0, self.kept.len() as u64] {
            number.put(out);
        }
        self.kept.iter().for_each(|kept| encode::candle(kept).put(out));
    }

    fn read(bytes: &mut &[u8], kept_max: usize) -> Option<Self> {
        let (complete_from, lost_before) = (UnixNanos(u64_of(bytes)?), UnixNanos(u64_of(bytes)?));
        let mut series = Self { kept: VecDeque::new(), kept_max, complete_from, lost_before };
        for _ in 0..u64_of(bytes)? {
            series.push(Candle::of_row(&wire::Candle::take(bytes).ok()?));
        }
        Some(series)
    }

    /// Those that open from `from` until before `to`.
    fn range(&self, from: UnixNanos, to: UnixNanos) -> impl Iterator<Item = &Candle> {
        let place = |time| self.kept.partition_point(|candle| candle.open_time < time);
        self.kept.range(place(from)..place(to))
    }
}

/// The candles of one market.
#[derive(Clone, Debug)]
pub struct Candles {
    /// In the order of [`Interval::ALL`].
    series: [Series; 16],
}

impl Candles {
    pub(crate) fn new(limits: &MarketLimits, since: UnixNanos) -> Self {
        let series = Interval::ALL.map(|interval| {
            let kept_max = if interval == Interval::QuarterHour {
                limits.quarter_hours_kept
            } else {
                limits.candles_kept
            };
            Series { kept: VecDeque::new(), kept_max, complete_from: since, lost_before: UnixNanos(0) }
        });
        Self { series }
    }

    /// Puts what came before in front.
    pub(crate) fn prepend(&mut self, past: Self) {
        self.series.iter_mut().zip(past.series).for_each(|(series, past)| series.prepend(past));
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.series.iter().for_each(|series| series.write(out));
    }

    pub(crate) fn read(bytes: &mut &[u8], limits: &MarketLimits) -> Option<Self> {
        let mut candles = Self::new(limits, UnixNanos(0));
        for series in &mut candles.series {
            *series = Series::read(bytes, series.kept_max)?;
        }
        Some(candles)
    }

    pub(crate) fn take(&mut self, trade: &Trade) {
        for (interval, series) in Interval::ALL.into_iter().zip(&mut self.series) {
            series.take(interval.open_time(trade.time, UtcOffset::UTC), trade);
        }
    }

    /// A trade has become another, or was taken back: its candles are as if it had been made so. Where neither its neighbours nor shorter
    /// candles are kept from which an interval could be summed up again, its prices stay.
    pub(crate) fn change(&mut self, before: &Trade, now: &Trade, trades: &Trades) {
        for interval in Interval::ALL {
            let open_time = interval.open_time(before.time, UtcOffset::UTC);
            let kept = &self.series(interval).kept;
            let Ok(at) = kept.binary_search_by_key(&open_time, |candle| candle.open_time) else { continue };
            let Some(amended) = kept.get(at).map(|candle| candle.amended(before, now)) else { continue };
            let left = amended.map_or(0, |amended| amended.trades);
            let next = self.summed_again(interval, open_time, left, trades).unwrap_or(amended);
            let kept = &mut self.series[interval as usize].kept;
            match (next, kept.get_mut(at)) {
                (Some(next), Some(candle)) => *candle = next,
                (None, _) => drop(kept.remove(at)),
                (Some(_), None) => {}
            }
        }
    }

    /// A candle out of its trades, so many of which stand, or of shorter candles, which have to be right already; `None` if not all of either
    /// are kept. Inside: `None` if nothing is left of it.
    fn summed_again(
        &self,
        interval: Interval,
        open: UnixNanos,
        left: u64,
        trades: &Trades,
    ) -> Option<Option<Candle>> {
        let end = interval.next_open_time(open, UtcOffset::UTC);
        let within = trades.from_time(open).take_while(|trade| trade.time < end);
        let stand = within.filter(|trade| trade.status != TradeStatus::Busted);
        let each: Vec<Candle> = stand.map(|trade| Candle::of_trade(open, trade)).collect();
        if each.len() as u64 == left {
            return Some(Candle::summed(open, each.iter()));
        }
        let shorter = Interval::ALL.into_iter().take_while(|part| *part != interval).collect::<Vec<_>>();
        let part = shorter
            .into_iter()
            .rev()
            .find(|part| interval.consists_of(*part) && self.series(*part).lost_before <= open)?;
        Some(Candle::summed(open, self.series(part).range(open, end)))
    }

    const fn series(&self, interval: Interval) -> &Series {
        &self.series[interval as usize]
    }

    /// Those with trades that open at `from` or later, oldest first, as kept.
    pub(crate) fn traded(&self, interval: Interval, from: UnixNanos) -> impl Iterator<Item = &Candle> {
        let kept = &self.series(interval).kept;
        kept.range(kept.partition_point(|candle| candle.open_time < from)..)
    }

    /// The newest one with trades.
    #[must_use]
    pub fn last(&self, interval: Interval) -> Option<&Candle> {
        self.series(interval).kept.back()
    }

    /// The candles of an interval that open from `from` to `to`, which is not later than now; at most
    /// [`CANDLES_PER_ANSWER_MAX`], the first ones. None before the first trade that is kept.
    ///
    /// With an offset intervals start by that local time. Where they then start at other instants they are summed up from
    /// quarters of an hour, and go back as far as these.
    #[must_use]
    pub fn page(&self, interval: Interval, offset: UtcOffset, from: UnixNanos, to: UnixNanos) -> CandlePage {
        let is_stored = interval.is_the_same_at(offset);
        let series = self.series(if is_stored { interval } else { Interval::QuarterHour });
        let from = interval.open_time(from, offset);
        // The one before, for its closing price.
        let first = series.kept.partition_point(|candle| candle.open_time < from).saturating_sub(1);
        let mut candles: Vec<Candle> = Vec::new();
        let mut last: Option<Candle> = None;
        for candle in series.kept.range(first..) {
            let open_time = interval.open_time(candle.open_time, offset);
            match &mut last {
                Some(last) if last.open_time == open_time => last.append(candle),
                _ => {
                    let next = Candle { open_time, ..*candle };
                    let before = last.replace(next);
                    if !extend(&mut candles, before, (interval, offset), from, to.min(before_of(open_time))) {
                        last = None;
                        break;
                    }
                }
            }
        }
        extend(&mut candles, last, (interval, offset), from, to);
        CandlePage { candles, complete_from: series.complete_from }
    }

    /// The candles by UTC that open from `from` to `to`, at most [`CANDLES_PER_ANSWER_MAX`], the last ones.
    pub(crate) fn newest(&self, interval: Interval, from: UnixNanos, to: UnixNanos) -> Vec<Candle> {
        let reach = interval
            .length()
            .map_or(0, |length| to.0.saturating_sub(length * (CANDLES_PER_ANSWER_MAX as u64 - 1)));
        self.page(interval, UtcOffset::UTC, from.max(UnixNanos(reach)), to).candles
    }
}

const fn before_of(time: UnixNanos) -> UnixNanos {
    UnixNanos(time.0.saturating_sub(1))
}

/// Appends a candle, and flat ones behind it as far as they open until `to`. Returns whether there is room for more.
fn extend(
    candles: &mut Vec<Candle>,
    candle: Option<Candle>,
    (interval, offset): (Interval, UtcOffset),
    from: UnixNanos,
    to: UnixNanos,
) -> bool {
    let Some(candle) = candle else { return true };
    let mut next = candle;
    if next.open_time < from {
        next = Candle::flat(from, candle.close);
    }
    while next.open_time <= to && candles.len() < CANDLES_PER_ANSWER_MAX {
        candles.push(next);
        next = Candle::flat(interval.next_open_time(next.open_time, offset), candle.close);
    }
    candles.len() < CANDLES_PER_ANSWER_MAX
}

//! A market pauses when its price has moved too far in too short a time.
//!
//! The prices traded at are kept by buckets of time, a bucket's lowest and highest alone, and of those only what can still be the
//! lowest or the highest of the window: at most [`VOLATILITY_BUCKETS`] + 1 of each, however much trades.

use std::collections::VecDeque;

use protocol::commands::SetTradingRules;
use protocol::limits::{VOLATILITY_BUCKETS, VOLATILITY_PAUSE_MAX_MS, VOLATILITY_WINDOW_MS};
use protocol::time::NANOS_PER_MILLI;
use protocol::{MarketId, MarketPhase, PhaseCause, PriceTicks, UnixNanos};

use super::rules::MILLION;
use crate::broken::{Broken, Stop, ensure_field};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Market, Markets};

/// A bucket of time, counted from 1970-01-01, and a price.
type Extreme = (u64, u64);

/// What a market that watches its prices knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PriceWindow {
    /// Prices below all later ones, the lowest first, at most one of a bucket.
    pub(crate) lows: VecDeque<Extreme>,
    /// Prices above all later ones, the highest first, likewise.
    pub(crate) highs: VecDeque<Extreme>,
}

impl PriceWindow {
    /// Adds a price. Returns whether it is further than that from the lowest or the highest before.
    fn add(&mut self, price: u64, bucket: u64, ppm: u32) -> bool {
        let first = bucket.saturating_sub(VOLATILITY_BUCKETS);
        for extremes in [&mut self.lows, &mut self.highs] {
            while extremes.front().is_some_and(|&(at, _)| at < first) {
                extremes.pop_front();
            }
        }
        let scaled = |price: u64, ppm: u128| u128::from(price).saturating_mul(ppm);
        let ppm = u128::from(ppm);
        let is_high = |&(_, low): &Extreme| scaled(price, MILLION) > scaled(low, MILLION.saturating_add(ppm));
        let is_low =
            |&(_, high): &Extreme| scaled(price, MILLION) < scaled(high, MILLION.saturating_sub(ppm));
        let is_far = self.lows.front().is_some_and(is_high) || self.highs.front().is_some_and(is_low);
        note(&mut self.lows, (bucket, price), |other| other < price);
        note(&mut self.highs, (bucket, price), |other| other > price);
        is_far
    }

    /// Nothing that was traded at counts any more.
    pub(super) fn restart(&mut self) {
        self.lows.clear();
        self.highs.clear();
    }

    /// Whether it can be the window of such a market at that time.
    pub(crate) fn is_sound(&self, rules: &SetTradingRules, time: UnixNanos) -> bool {
        let most = VOLATILITY_BUCKETS.saturating_add(1);
        let is_bounded = |extremes: &VecDeque<Extreme>| {
            let first = extremes.front().map_or(0, |front| front.0);
            let last = extremes.back().map_or(0, |back| back.0);
            last.saturating_sub(first) < most && last <= bucket_of(rules, time)
        };
        let follow = |extremes: &VecDeque<Extreme>, is: fn(u64, u64) -> bool| {
            let pairs = extremes.iter().zip(extremes.iter().skip(1));
            let mut pairs = pairs.map(|(one, next)| one.0 < next.0 && is(one.1, next.1));
            pairs.all(|is| is) && extremes.iter().all(|extreme| extreme.1 > 0)
        };
        let spans = match (self.lows.front(), self.highs.front()) {
            (Some(low), Some(high)) => low.1 <= high.1,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let is_both = is_bounded(&self.lows) && is_bounded(&self.highs);
        is_both && follow(&self.lows, |a, b| a < b) && follow(&self.highs, |a, b| a > b) && spans
    }
}

/// Puts a price behind those that stay more extreme, unless one of its own bucket is.
fn note(extremes: &mut VecDeque<Extreme>, (bucket, price): Extreme, is_beyond: impl Fn(u64) -> bool) {
    while extremes.back().is_some_and(|&(_, other)| !is_beyond(other)) {
        extremes.pop_back();
    }
    if extremes.back().is_none_or(|&(at, _)| at != bucket) {
        extremes.push_back((bucket, price));
    }
}

/// A window has [`VOLATILITY_BUCKETS`]: a whole number of nanoseconds each.
fn bucket_of(rules: &SetTradingRules, time: UnixNanos) -> u64 {
    let window = u64::from(rules.volatility_window_ms).saturating_mul(NANOS_PER_MILLI);
    let bucket = window.checked_div(VOLATILITY_BUCKETS).unwrap_or(0);
    time.0.checked_div(bucket).unwrap_or(0)
}

/// Whether a market with these rules watches its prices.
pub(crate) const fn is_watched(rules: &SetTradingRules) -> bool {
    rules.volatility_ppm > 0
}

/// What of trading rules is said of this: nothing, or what can be.
pub(super) fn check(rules: &SetTradingRules) -> Result<(), Stop> {
    let is_watched = is_watched(rules);
    ensure_field(u128::from(rules.volatility_ppm) <= MILLION, "volatility_ppm")?;
    let window = rules.volatility_window_ms;
    let is_window = if is_watched { VOLATILITY_WINDOW_MS.contains(&window) } else { window == 0 };
    ensure_field(is_window, "volatility_window_ms")?;
    let is_phase = match rules.volatility_phase {
        MarketPhase::Halt => true,
        MarketPhase::Auction => is_watched,
        MarketPhase::Trading
        | MarketPhase::CancelOnly
        | MarketPhase::PreOpen
        | MarketPhase::PostOnly
        | MarketPhase::Closed => false,
    };
    ensure_field(is_phase, "volatility_phase")?;
    let pause = rules.volatility_pause_ms;
    ensure_field(pause <= VOLATILITY_PAUSE_MAX_MS && (is_watched || pause == 0), "volatility_pause_ms")
}

impl Market {
    /// Begins to watch prices, or watches them no more, where that is another thing than `before`.
    pub(super) fn watch_prices(&mut self, before: &SetTradingRules, now: &SetTradingRules) {
        let said = |rules: &SetTradingRules| (rules.volatility_ppm, rules.volatility_window_ms);
        if said(before) != said(now) {
            self.window = is_watched(now).then(Box::default);
        }
    }
}

impl Markets {
    /// A trade of a market that watches its prices. What an auction trades at is where the window begins anew.
    pub(crate) fn watch_price(&mut self, market: u32, price: PriceTicks, time: UnixNanos) {
        let Market { phase, rules, window, .. } = self.rows.at_mut(market);
        let (Some(rules), Some(window)) = (rules, window) else { return };
        let is_trading = *phase == MarketPhase::Trading;
        if !is_trading {
            window.restart();
        }
        let is_far = window.add(price.0, bucket_of(rules, time), rules.volatility_ppm);
        if is_far && is_trading && !self.exceeded.contains(&market) {
            self.exceeded.push(market);
        }
    }

    /// A market that is paused goes on by itself no more.
    pub(super) fn end_pause(&mut self, row: u32) {
        let Market { definition, phases, .. } = self.rows.at_mut(row);
        if let Some(at) = phases.resumes_at.take() {
            self.resumptions.remove(&(at, definition.market));
        }
    }
}

impl Engine {
    /// Pauses the markets whose price has moved too far, behind what moved it.
    pub(crate) fn pause_volatile(&mut self, effects: &mut Effects<'_>) -> Result<(), Broken> {
        for row in core::mem::take(&mut self.markets.exceeded) {
            let Some(rules) = &self.markets.rows.at(row).rules else { continue };
            let (phase, pause_ms) = (rules.volatility_phase, u64::from(rules.volatility_pause_ms));
            self.go_to(row, phase, PhaseCause::Volatility, effects)?;
            if pause_ms > 0 {
                let at = effects.time.plus(pause_ms.saturating_mul(NANOS_PER_MILLI));
                let Market { definition, phases, .. } = self.markets.rows.at_mut(row);
                phases.resumes_at = Some(at);
                self.markets.resumptions.insert((at, definition.market));
            }
        }
        Ok(())
    }

    /// Lets a market trade again whose pause is over.
    pub(crate) fn resume(&mut self, market: MarketId, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let row = self.markets.row(market).ok_or(Broken::Index { what: "pauses" })?;
        self.go_to(row, MarketPhase::Trading, PhaseCause::Volatility, effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PPM: u32 = 100_000;

    #[test]
    fn a_price_is_far_if_it_is_more_than_that_from_the_lowest_or_the_highest() {
        let with = |prices: &[u64]| {
            let mut window = PriceWindow::default();
            let far: Vec<bool> = prices.iter().map(|&price| window.add(price, 1_000, PPM)).collect();
            far
        };
        assert_eq!(with(&[1_000, 1_100, 1_101]), [false, false, true]);
        assert_eq!(with(&[1_000, 900, 899]), [false, false, true]);
        assert_eq!(with(&[1_000, 950, 1_050]), [false, false, true]);
        assert_eq!(with(&[1_000, 1_050, 945, 944]), [false, false, false, true]);
    }

    #[test]
    fn a_price_counts_for_the_window_and_a_bucket_more_at_most() {
        for (bucket, is_far) in [(1_063, true), (1_064, true), (1_065, false)] {
            let mut window = PriceWindow::default();
            assert!(!window.add(100, 1_000, PPM));
            assert_eq!(window.add(111, bucket, PPM), is_far, "{bucket}");
        }
    }

    #[test]
    fn a_window_has_prices_of_its_time_each_more_extreme_than_the_later_ones() {
        let rules = SetTradingRules { volatility_window_ms: 64, ..SetTradingRules::none(MarketId(1)) };
        let sound = |lows: &[Extreme], highs: &[Extreme]| {
            let (lows, highs) = (lows.iter().copied().collect(), highs.iter().copied().collect());
            // A bucket is a millisecond: this is the 100th.
            PriceWindow { lows, highs }.is_sound(&rules, UnixNanos(100_999_999))
        };
        assert!(sound(&[], &[]) && sound(&[(100, 5)], &[(100, 5)]));
        assert!(sound(&[(36, 5), (99, 6), (100, 7)], &[(36, 9), (99, 8), (100, 7)]));
        for wrong in [&[(101, 5)][..], &[(35, 5), (100, 6)], &[(100, 5), (100, 6)], &[(99, 5), (98, 6)]] {
            assert!(!sound(wrong, &[(100, 9)]) && !sound(&[(100, 4)], wrong), "another time: {wrong:?}");
        }
        let high = &[(99, 9), (100, 8)];
        assert!(sound(&[(99, 8)], high) && sound(&[(99, 9)], high) && !sound(&[(99, 10)], high));
        for wrong in [[(99, 5), (100, 5)], [(99, 6), (100, 5)], [(99, 0), (100, 5)]] {
            assert!(!sound(&wrong, &[(100, 9)]), "no lows: {wrong:?}");
        }
        for wrong in [[(99, 5), (100, 5)], [(99, 5), (100, 6)], [(99, 5), (100, 0)]] {
            assert!(!sound(&[(100, 4)], &wrong), "no highs: {wrong:?}");
        }
        assert!(!sound(&[(100, 5)], &[]) && !sound(&[], &[(100, 5)]));
    }

    #[test]
    fn however_much_trades_few_prices_are_kept() {
        let rules = SetTradingRules { volatility_window_ms: 64, ..SetTradingRules::none(MarketId(1)) };
        let mut window = PriceWindow::default();
        for trade in 0..100_000_u64 {
            // Ever lower waves: many are the highest of what comes behind them.
            let price = 10_000_000 - trade * 50 + trade * 7_919 % 97;
            let time = UnixNanos(trade * 100_000);
            window.add(price, bucket_of(&rules, time), PPM);
            assert!(window.lows.len() <= 65 && window.highs.len() <= 65, "{window:?}");
            assert!(window.is_sound(&rules, time), "{window:?}");
        }
        assert_eq!(window.highs.len(), 65);
        window.restart();
        assert_eq!(window, PriceWindow::default());
    }
}

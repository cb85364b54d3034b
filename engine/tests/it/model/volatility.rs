//! The volatility halt: each price is compared with each one traded at before, as long as that counts.

use protocol::MarketPhase;

use super::Model;

impl Model {
    /// A price traded at while orders match.
    pub(super) fn note_price(&mut self, market: u32, price: u64) {
        let Some(rules) = self.rules.get(&market).filter(|rules| rules.volatility_ppm > 0) else { return };
        let bucket = u64::from(rules.volatility_window_ms) * 1_000_000 / 64;
        let ppm = u128::from(rules.volatility_ppm);
        let is_far = |&(at, other): &(u64, u64)| {
            let (new, old) = (u128::from(price) * 1_000_000, u128::from(other));
            at / bucket + 64 >= self.now / bucket
                && (new > old * (1_000_000 + ppm) || new < old * (1_000_000 - ppm))
        };
        let prices = self.prices.entry(market).or_default();
        if prices.iter().any(is_far) {
            self.exceeded.insert(market);
        }
        prices.push((self.now, price));
    }

    /// What an auction traded at is all that counts behind it.
    pub(super) fn note_auction_price(&mut self, market: u32, price: u64) {
        self.prices.insert(market, vec![(self.now, price)]);
    }

    /// Shows what was traded at to the armed orders, and pauses the markets in which that was too far.
    pub(super) fn see_all(&mut self) {
        let markets: Vec<u32> = self.markets.keys().copied().collect();
        markets.iter().for_each(|&market| self.see(market));
        for market in std::mem::take(&mut self.exceeded) {
            let (phase, pause) = {
                let rules = &self.rules[&market];
                (rules.volatility_phase, u64::from(rules.volatility_pause_ms))
            };
            self.set_phase(market, phase);
            if pause > 0 {
                self.resumes.insert(market, self.now + pause * 1_000_000);
            }
            self.paused += 1;
        }
    }

    /// Whether a market pauses that will go on by itself.
    pub(crate) fn is_pausing(&self, market: u32) -> bool {
        self.resumes.contains_key(&market)
    }

    pub(super) fn next_resumption(&self) -> Option<(u64, u32)> {
        self.resumes.iter().map(|(&market, &at)| (at, market)).min()
    }

    pub(super) fn resume(&mut self, market: u32) {
        self.resumed += 1;
        self.begin(market, MarketPhase::Trading);
    }
}

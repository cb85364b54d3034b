//! Seeded numbers, and which seeds a run takes.

use protocol::Side;

/// xorshift64*, as the workload's, so that a flow is a function of its seed.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(2_685_821_657_736_338_717)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }

    pub(crate) fn side(&mut self) -> Side {
        if self.below(2) == 0 { Side::Buy } else { Side::Sell }
    }
}

/// Operations of all flows with one seed.
pub(crate) const OPERATIONS_A_SEED: u64 = 100_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}

/// The seed of `SEED`, or as many as come to `MATCHING_COMMANDS` operations.
pub(crate) fn seeds() -> Vec<u64> {
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("MATCHING_COMMANDS").unwrap_or(1).div_ceil(OPERATIONS_A_SEED).max(1)).collect(),
    }
}

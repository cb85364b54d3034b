//! Numbers that look random and are the same for the same seed: xorshift64*.

/// One stream of numbers.
pub(crate) struct Draw(u64);

impl Draw {
    /// A seed of 0 would only ever draw zeros; it counts as 1.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(2_685_821_657_736_338_717)
    }

    /// Uniform in 0..n.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(n);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// Uniform index into something of `len` items; 0 where there are none.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap_or(u64::MAX))).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Draw;

    #[test]
    fn draws_stay_below_and_repeat() {
        let drawn: Vec<u64> = {
            let mut draw = Draw::new(7);
            (0..1_000).map(|_| draw.below(10)).collect()
        };
        let mut again = Draw::new(7);
        assert!(drawn.iter().all(|n| *n < 10 && *n == again.below(10)));
        assert!((0..10).all(|n| drawn.contains(&n)));
        assert_eq!(Draw::new(0).index(0), 0);
    }
}

//! The only source of chance: a small generator, seeded once. One stream for each part of the world, so that a new
//! draw in one part does not move the others.

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, full period, good enough to choose faults by.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An independent stream for the part called `name`, the same whatever was drawn from this one before.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        let mut stream = Self(self.0 ^ 0x6a09_e667_f3bc_c909);
        for byte in name.bytes() {
            stream.0 ^= u64::from(byte);
            stream.0 = stream.draw();
        }
        stream
    }

    /// 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The product's upper half: its bias, end / 2^64, is of no interest here.
        ((u128::from(self.draw()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `range`, its end included.
    pub fn within(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// A number from an exponential distribution with this mean, nearly: in whole numbers, so that no two machines differ.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        let word = self.draw() | 1;
        let zeros = word.leading_zeros();
        // -log2 of a number below 1 with 16 binary places: whole part by the zeros, the rest linear.
        let fraction = ((word << zeros) >> 47) & 0xffff;
        let log2 = (u64::from(zeros + 1) << 16) - fraction;
        // ln 2 = 45,426 / 65,536
        ((u128::from(mean) * u128::from(log2) * 45_426) >> 32) as u64
    }

    /// True in `ppm` of a million draws.
    pub fn chance_ppm(&mut self, ppm: u64) -> bool {
        self.below(1_000_000) < ppm
    }

    /// True every other time.
    pub fn coin(&mut self) -> bool {
        self.draw() >> 63 == 1
    }

    /// One of `choices`, which is not empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_the_same_for_the_same_seed_and_differ_by_name() {
        let draws = |mut rng: Rng| [rng.draw(), rng.draw()];
        assert_eq!(draws(Rng::new(7)), draws(Rng::new(7)));
        assert_eq!(draws(Rng::new(7).fork("disk")), draws(Rng::new(7).fork("disk")));
        assert_ne!(draws(Rng::new(7).fork("disk")), draws(Rng::new(7).fork("clock")));
        assert_ne!(draws(Rng::new(7)), draws(Rng::new(8)));
    }

    #[test]
    fn draws_stay_within_their_range_and_reach_its_ends() {
        let mut rng = Rng::new(1);
        let drawn: std::collections::BTreeSet<u64> = (0..1_000).map(|_| rng.within(3..=6)).collect();
        assert_eq!(drawn, (3..=6).collect());
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn an_exponential_has_its_mean_and_a_tail() {
        let mut rng = Rng::new(2);
        let draws: Vec<u64> = (0..100_000).map(|_| rng.exponential(1_000)).collect();
        let mean = draws.iter().sum::<u64>() / draws.len() as u64;
        assert!((950..1_100).contains(&mean), "{mean}");
        let long = draws.iter().filter(|draw| **draw > 3_000).count();
        assert!((4_000..6_500).contains(&long), "{long}");
    }
}

//! Seeded randomness: a failing case prints the seed that brings it back.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// Damages `bytes` in one to four places: what disks, bugs and strangers do.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len().max(1));
            let len = self.below(9).min(bytes.len().saturating_sub(at));
            match self.below(7) {
                0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (self.next() % 8)),
                1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.byte()),
                2 => bytes.iter_mut().skip(at).take(len).for_each(|byte| *byte = 0),
                3 => bytes.iter_mut().skip(at).take(len).for_each(|byte| *byte = 0xFF),
                4 => bytes.truncate(at),
                5 => bytes.extend(self.bytes(len)),
                _ => {
                    let part = bytes[at..at + len].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, part);
                }
            }
        }
    }
}

/// Runs `case` with `count` seeds, SEEDS_TIMES as many if that variable is set, or with the one in the variable SEED. The seed of a case that panics is printed.
/// Returns whether all seeds were run, so that what is asserted of all of them is not asserted of one.
pub(crate) fn for_seeds(count: u64, mut case: impl FnMut(&mut Random)) -> bool {
    struct SeedOnPanic(u64);
    impl Drop for SeedOnPanic {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with seed {}; SEED={} repeats it", self.0, self.0);
            }
        }
    }
    let one = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let count = count * std::env::var("SEEDS_TIMES").map_or(1, |times| times.parse::<u64>().unwrap());
    for seed in one.map_or(0..count, |seed| seed..seed + 1) {
        let _print = SeedOnPanic(seed);
        case(&mut Random(seed));
    }
    one.is_none()
}

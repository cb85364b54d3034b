//! Ids of transfers: their time in the upper 48 bits, so that the ledger need not remember them for ever.

use protocol::time::NANOS_PER_MILLI;
use protocol::{TransferId, UnixNanos};

/// Bits of the number that tells one generator from another.
const ORIGIN_BITS: u32 = 48;

/// Makes ids that no other generator makes, as far as their origins are drawn at random.
///
/// milliseconds since 1970 (48 bits) | count (32 bits) | origin (48 bits): they ascend, which is what the ledger finds fastest.
#[derive(Clone, Debug)]
pub struct TransferIds {
    origin: u64,
    last_ms: u64,
    count: u32,
}

impl TransferIds {
    /// `origin`: drawn at random for each generator.
    #[must_use]
    pub const fn new(origin: u64) -> Self {
        Self { origin: origin & ((1 << ORIGIN_BITS) - 1), last_ms: 0, count: 0 }
    }

    /// The next id. A clock that steps back does not make the ids descend.
    pub fn next(&mut self, now: UnixNanos) -> TransferId {
        let now_ms = now.0 / NANOS_PER_MILLI;
        if now_ms > self.last_ms {
            self.last_ms = now_ms;
        }
        let ms = self.last_ms;
        let count = self.count;
        self.count = count.wrapping_add(1);
        if self.count == 0 {
            // They would begin anew within one millisecond.
            self.last_ms += 1;
        }
        TransferId::at_ms(ms, u128::from(count) << ORIGIN_BITS | u128::from(self.origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_time_and_never_come_twice() {
        let (mut one, mut two) = (TransferIds::new(1), TransferIds::new(u64::MAX));
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..10_000_u64 {
            // The clock stands still, goes on, and steps back.
            let now =
                UnixNanos((1_000 + [0, 0, 5, 3][usize::try_from(n % 4).unwrap()] + n / 4) * NANOS_PER_MILLI);
            for ids in [&mut one, &mut two] {
                let id = ids.next(now);
                assert!(seen.insert(id));
                assert!(id.ms() >= now.0 / NANOS_PER_MILLI);
            }
        }
        let id = TransferIds::new(7).next(UnixNanos(0x1234 * NANOS_PER_MILLI + 999));
        assert_eq!(id.0, 0x1234 << 80 | 7);
    }

    #[test]
    fn ids_ascend_even_where_the_count_begins_anew() {
        let mut ids = TransferIds { origin: 3, last_ms: 0, count: u32::MAX - 1 };
        let made: Vec<TransferId> = (0..4).map(|_| ids.next(UnixNanos(5 * NANOS_PER_MILLI))).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]), "{made:?}");
    }
}

//! Seq and time: strictly increasing, also when the wall clock steps back or another leader had a faster one.

use protocol::mutant::{Mutant, planted};
use protocol::{Seq, UnixNanos};

/// What the next record gets. Taken from applied state at the start of a term, never from memory of a former one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamper {
    next_seq: Seq,
    last_time: UnixNanos,
}

impl Stamper {
    /// Behind the record with seq `last_seq` and time `last_time`.
    #[must_use]
    pub fn after(last_seq: Seq, last_time: UnixNanos) -> Self {
        Self { next_seq: last_seq.next(), last_time }
    }

    /// Seq and time of the first of `count` records; record i has the i-th seq and nanosecond after them.
    pub fn stamp(&mut self, wall: UnixNanos, count: u32) -> (Seq, UnixNanos) {
        let first = self.next_seq;
        let time = if planted(Mutant::ClockGoesBack) { wall } else { wall.max(self.last_time.plus(1)) };
        self.next_seq = Seq(first.0 + u64::from(count));
        self.last_time = time.plus(u64::from(count.saturating_sub(1)));
        (first, time)
    }

    /// Seq of the next record.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_stands_or_goes_back() {
        let mut stamper = Stamper::after(Seq(10), UnixNanos(1_000));
        assert_eq!(stamper.stamp(UnixNanos(5_000), 3), (Seq(11), UnixNanos(5_000)));
        assert_eq!(
            stamper.stamp(UnixNanos(5_001), 1),
            (Seq(14), UnixNanos(5_003)),
            "behind the third record"
        );
        assert_eq!(
            stamper.stamp(UnixNanos(0), 2),
            (Seq(15), UnixNanos(5_004)),
            "the wall clock stepped back"
        );
        assert_eq!(stamper.next_seq(), Seq(17));
    }
}

//! The clock of the measurements: the only place in this crate that reads one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time that measurements start from.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[inline]
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock; nothing measured does")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::start().0.duration_since(self.0)
    }

    /// Nanoseconds since the start or the last lap, up to four seconds; starts the next lap with the same reading, so
    /// that a lap holds the cost of one reading and not of two.
    #[inline]
    pub(crate) fn lap_ns(&mut self) -> u32 {
        let now = Self::start();
        let lap = now.0.duration_since(self.0);
        *self = now;
        u32::try_from(lap.as_nanos()).unwrap_or(u32::MAX)
    }
}

/// Nanoseconds since 1970-01-01 UTC, for SendingTime(52).
#[expect(clippy::disallowed_methods, reason = "a client says when it sent something; no figure rests on it")]
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

//! The only place of the library that reads a clock.

use std::time::{Instant, SystemTime};

use protocol::{MonoNanos, UnixNanos};

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "timeouts of a socket of our own, and times in ids")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Since the start.
    pub(crate) fn mono(self) -> MonoNanos {
        MonoNanos(u64::try_from(Instant::now().duration_since(self.start).as_nanos()).unwrap_or(u64::MAX))
    }

    /// By the machine.
    pub(crate) fn wall(self) -> UnixNanos {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixNanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

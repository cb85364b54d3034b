//! The only place of the node that reads clocks. Everything else is given a [`Now`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use protocol::{MonoNanos, UnixNanos};
use replicas::Now;

/// The clocks of this process. The monotone one counts from the process's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts counting.
    #[expect(clippy::disallowed_methods, reason = "the process reads its clocks here and nowhere else")]
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Both clocks.
    #[expect(clippy::disallowed_methods, reason = "the process reads its clocks here and nowhere else")]
    pub(crate) fn now(&self) -> Now {
        // A clock set before 1970 counts as 1970: the sequencer never goes back behind the last record anyway.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.mono(), wall: UnixNanos(nanos(wall.as_nanos())) }
    }

    /// The monotone clock alone.
    pub(crate) fn mono(&self) -> MonoNanos {
        MonoNanos(nanos(self.started.elapsed().as_nanos()))
    }
}

fn nanos(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// An operator's program waits for the node to get somewhere. Nothing inside a node ever does.
#[expect(clippy::disallowed_methods, reason = "a command line has nobody else to serve meanwhile")]
pub(crate) fn pause(duration: std::time::Duration) {
    std::thread::sleep(duration);
}

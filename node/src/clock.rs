//! The only place of the node that reads clocks. Everything else is given a [`Now`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use protocol::time::NANOS_PER_MILLI;
use protocol::{MonoNanos, UnixNanos};
use replicas::Now;

/// Two readings with less between them count as one moment.
const ONE_MOMENT_NANOS: u64 = NANOS_PER_MILLI;
/// On a machine that never lets the process run for two readings in a row, the last ones count.
const READ_AGAIN_MAX: usize = 4;

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

    /// Both clocks, at one moment: were the process to lose its core between them, its wall clock would look wrong to itself.
    pub(crate) fn now(&self) -> Now {
        let mut mono = self.mono();
        let mut wall = wall();
        for _ in 0..READ_AGAIN_MAX {
            let after = self.mono();
            if after.since(mono) < ONE_MOMENT_NANOS {
                break;
            }
            (mono, wall) = (after, self::wall());
        }
        Now { mono, wall }
    }

    /// The monotone clock alone.
    pub(crate) fn mono(&self) -> MonoNanos {
        MonoNanos(nanos(self.started.elapsed().as_nanos()))
    }
}

#[expect(clippy::disallowed_methods, reason = "the process reads its clocks here and nowhere else")]
fn wall() -> UnixNanos {
    // A clock set before 1970 counts as 1970: the sequencer never goes back behind the last record anyway.
    UnixNanos(nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()))
}

fn nanos(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// An operator's program waits for the node to get somewhere. Nothing inside a node ever does.
#[expect(clippy::disallowed_methods, reason = "a command line has nobody else to serve meanwhile")]
pub(crate) fn pause(duration: std::time::Duration) {
    std::thread::sleep(duration);
}

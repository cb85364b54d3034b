//! Virtual time: a monotone clock that only the scheduler moves, and a wall clock that may step.

use protocol::{MonoNanos, UnixNanos};

/// The wall's reading when the world begins: noon of 2026-01-01 UTC, so that no step of it changes the day, with which
/// ClOrdIDs may be used again.
const WALL_START_NS: u64 = 1_767_268_800_000_000_000;

/// Both clocks of one machine.
#[derive(Clone, Debug)]
pub struct Clock {
    mono: MonoNanos,
    wall_offset_ns: i64,
}

/// Furthest from the truth that the wall clock is set: what a FIX acceptor tolerates between SendingTime(52) and its own
/// clock is twice that.
pub const WALL_OFFSET_NS_MAX: u64 = 60_000_000_000;

impl Default for Clock {
    fn default() -> Self {
        Self { mono: MonoNanos(1), wall_offset_ns: 0 }
    }
}

impl Clock {
    /// For timeouts.
    #[must_use]
    pub fn mono(&self) -> MonoNanos {
        self.mono
    }

    /// For the record.
    #[must_use]
    pub fn wall(&self) -> UnixNanos {
        UnixNanos((WALL_START_NS + self.mono.0).saturating_add_signed(self.wall_offset_ns))
    }

    /// Both, as a stage takes them.
    #[must_use]
    pub fn now(&self) -> replicas::Now {
        replicas::Now { mono: self.mono, wall: self.wall() }
    }

    /// Time passes until `mono`; never back.
    pub fn advance_to(&mut self, mono: MonoNanos) {
        self.mono = self.mono.max(mono);
    }

    /// Both, as clients have them: nobody sets theirs.
    #[must_use]
    pub fn clients_now(&self) -> replicas::Now {
        replicas::Now { mono: self.mono, wall: UnixNanos(WALL_START_NS + self.mono.0) }
    }

    /// Somebody sets the wall clock, to so far from the truth. Returns whether that was back.
    pub fn set_wall_offset(&mut self, offset_ns: i64) -> bool {
        let back = offset_ns < self.wall_offset_ns;
        self.wall_offset_ns = offset_ns;
        back
    }
}

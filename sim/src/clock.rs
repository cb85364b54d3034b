//! Virtual time: a monotone clock that only the scheduler moves, and a wall clock that may step.

use protocol::{MonoNanos, UnixNanos};

/// The wall's reading when the world begins: 2026-01-01 UTC.
const WALL_START_NS: u64 = 1_767_225_600_000_000_000;

/// Both clocks of one machine.
#[derive(Clone, Debug)]
pub struct Clock {
    mono: MonoNanos,
    wall_offset_ns: i64,
}

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

    /// Somebody sets the wall clock.
    pub fn step_wall(&mut self, by_ns: i64) {
        self.wall_offset_ns = self.wall_offset_ns.saturating_add(by_ns);
    }
}

//! Virtual time: one monotone clock that only the scheduler moves, and each machine's wall clock, which runs at its own
//! rate and may be set.

use protocol::{MonoNanos, UnixNanos};
use replicas::Now;

/// The wall's reading when the world begins: noon of 2026-01-01 UTC, so that no step of it changes the day, with which
/// ClOrdIDs may be used again.
const WALL_START_NS: u64 = 1_767_268_800_000_000_000;

/// Furthest from the truth that the wall clock of a machine alone is set: what a FIX acceptor tolerates between SendingTime(52)
/// and its own clock is twice that.
const LONE_OFFSET_NS_MAX: u64 = 60_000_000_000;
/// In a cluster acceptors go by a majority of the clocks, and the others may show anything: a little off, or hours.
const OFFSETS_NS_MAX: [u64; 3] = [400_000_000, LONE_OFFSET_NS_MAX, 7_200_000_000_000];

/// How far from the truth a wall clock may be set in a world of so many replicas.
#[must_use]
pub fn wall_offsets_ns_max(nodes: usize) -> &'static [u64] {
    if nodes == 1 { &[LONE_OFFSET_NS_MAX] } else { &OFFSETS_NS_MAX }
}

/// What the clock itself shows when the machines' clocks are right.
#[must_use]
pub fn truth(mono: MonoNanos) -> UnixNanos {
    Clock::default().at(mono).wall
}

/// The wall clock of one machine.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    wall_offset_ns: i64,
    skew_ppm: i64,
}

impl Clock {
    /// A clock whose rate is off by so much.
    #[must_use]
    pub fn with_skew_ppm(skew_ppm: i64) -> Self {
        Self { wall_offset_ns: 0, skew_ppm }
    }

    /// Both clocks, as a stage takes them.
    #[must_use]
    pub fn at(&self, mono: MonoNanos) -> Now {
        let drift_ns = i64::try_from(mono.0 / 1_000_000).unwrap_or(i64::MAX).saturating_mul(self.skew_ppm);
        let offset_ns = self.wall_offset_ns.saturating_add(drift_ns);
        Now { mono, wall: UnixNanos((WALL_START_NS + mono.0).saturating_add_signed(offset_ns)) }
    }

    /// Somebody sets the wall clock, to so far from the truth. Returns whether that was back.
    pub fn set_wall_offset(&mut self, offset_ns: i64) -> bool {
        let back = offset_ns < self.wall_offset_ns;
        self.wall_offset_ns = offset_ns;
        back
    }
}

/// Both clocks, as clients have them: nobody sets theirs.
#[must_use]
pub fn clients_now(mono: MonoNanos) -> Now {
    Clock::default().at(mono)
}

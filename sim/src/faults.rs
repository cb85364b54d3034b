//! When things go wrong: lives that end, disks that fill up or fail, clocks that are set. Drawn from the seed as time
//! passes, until the world is healed.

use journal::Dir;
use journal::disk::DiskOperation;
use protocol::MonoNanos;

use crate::clock::{Clock, WALL_OFFSET_NS_MAX};
use crate::disk::{Crash, EIO, Failure, SimDisk};
use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::trace::Trace;

const MILLI_NS: u64 = 1_000_000;
/// Room on a disk that is not full.
pub(crate) const FREE_BYTES: u64 = 1 << 30;

/// What a failing disk fails at.
const FAILURES: [(Dir, DiskOperation); 9] = [
    (Dir::Journal, DiskOperation::Write),
    (Dir::Journal, DiskOperation::Write),
    (Dir::Journal, DiskOperation::Sync),
    (Dir::Root, DiskOperation::Write),
    (Dir::Root, DiskOperation::Sync),
    (Dir::Outbox, DiskOperation::Write),
    (Dir::Snapshots, DiskOperation::Write),
    (Dir::Snapshots, DiskOperation::Sync),
    (Dir::Snapshots, DiskOperation::Rename),
];

/// The faults of one machine.
pub(crate) struct Faults {
    rng: Rng,
    knobs: Knobs,
    trace: Trace,
    full_until: Option<MonoNanos>,
    next_full: MonoNanos,
    next_failure: MonoNanos,
    next_wall_step: MonoNanos,
    healed: bool,
}

impl Faults {
    pub(crate) fn new(rng: Rng, knobs: Knobs, trace: Trace) -> Self {
        let mut faults = Self {
            rng,
            knobs,
            trace,
            full_until: None,
            next_full: MonoNanos(0),
            next_failure: MonoNanos(0),
            next_wall_step: MonoNanos(0),
            healed: false,
        };
        faults.next_full = faults.later(MonoNanos(0), 400);
        faults.next_failure = faults.later(MonoNanos(0), 300);
        faults.next_wall_step = faults.later(MonoNanos(0), 300);
        faults
    }

    fn later(&mut self, now: MonoNanos, millis_max: u64) -> MonoNanos {
        now.plus(self.rng.within(1..=millis_max) * MILLI_NS)
    }

    /// Whether the disk has no room now.
    pub(crate) fn is_full(&self) -> bool {
        self.full_until.is_some()
    }

    /// A life begins: where it ends.
    pub(crate) fn life_begins(&mut self, disk: &SimDisk) {
        if self.healed || self.knobs.crash_operations_max == 0 {
            return;
        }
        // Some lives are longer, or a world of short ones would never get anywhere.
        let longest = if self.rng.below(4) == 0 { 5_000 } else { self.knobs.crash_operations_max };
        disk.die_at(Some(disk.operations() + self.rng.within(1..=longest)));
    }

    /// How the life that just ended did.
    pub(crate) fn crash(&mut self) -> Crash {
        if self.rng.below(100) < self.knobs.power_percent { Crash::Power } else { Crash::Process }
    }

    /// How long nobody restarts the process.
    pub(crate) fn down_ns(&mut self) -> u64 {
        self.rng.within(10..=20_000) * 1_000
    }

    /// What goes wrong, or right again, by `now`.
    pub(crate) fn act(&mut self, now: MonoNanos, disk: &SimDisk, clock: &mut Clock) {
        if self.healed {
            return;
        }
        if self.full_until.is_some_and(|until| until <= now) {
            self.full_until = None;
            disk.set_free(FREE_BYTES);
            self.trace.note("room again", 0, 0);
        }
        if self.knobs.fills_up && self.full_until.is_none() && now >= self.next_full {
            let free = self.rng.pick(&[0, 5_000, 100_000, 200_000]);
            disk.set_free(free);
            self.full_until = Some(self.later(now, 800));
            self.next_full = self.later(now, 1_500);
            self.trace.sometimes("disk filled up");
            self.trace.note("disk full", free, 0);
        }
        if self.knobs.fails && now >= self.next_failure {
            let (dir, operation) = self.rng.pick(&FAILURES);
            disk.fail_next(Some(Failure { dir, operation, cause: EIO }));
            self.next_failure = self.later(now, 300);
        }
        if self.knobs.wall_steps && now >= self.next_wall_step {
            let offset_ns = self.rng.within(0..=2 * WALL_OFFSET_NS_MAX) as i64 - WALL_OFFSET_NS_MAX as i64;
            let back = clock.set_wall_offset(offset_ns);
            self.next_wall_step = self.later(now, 300);
            self.trace.sometimes(if back { "wall clock set back" } else { "wall clock set forward" });
            self.trace.note("wall clock", offset_ns.unsigned_abs(), u64::from(offset_ns < 0));
        }
    }

    /// No more faults; a scripted death that has not come yet still comes.
    pub(crate) fn heal_unless(&mut self, scripted: bool, disk: &SimDisk) {
        self.healed = true;
        if !scripted {
            disk.die_at(None);
        }
        disk.fail_next(None);
        disk.set_free(FREE_BYTES);
    }
}

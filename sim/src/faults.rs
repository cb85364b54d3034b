//! When things go wrong on one machine: lives that end, disks that fill up, fail, decay or lie, clocks that are set.
//! Drawn from the seed as time passes, until the world is healed.

use journal::Dir;
use journal::disk::DiskOperation;
use protocol::MonoNanos;

use crate::clock::{Clock, wall_offsets_ns_max};
use crate::disk::{Aim, Crash, EIO, Failure, Place, SimDisk};
use crate::knobs::Knobs;
use crate::repairing::Atlas;
use crate::rng::Rng;
use crate::trace::Trace;

const MILLI_NS: u64 = 1_000_000;
/// Room on a disk that is not full.
pub(crate) const FREE_BYTES: u64 = 1 << 30;

/// What a failing disk fails at.
const FAILURES: [(Dir, DiskOperation); 14] = [
    (Dir::Journal, DiskOperation::Write),
    (Dir::Journal, DiskOperation::Write),
    (Dir::Journal, DiskOperation::Sync),
    (Dir::Root, DiskOperation::Write),
    (Dir::Root, DiskOperation::Sync),
    (Dir::Outbox, DiskOperation::Write),
    (Dir::Snapshots, DiskOperation::Write),
    (Dir::Snapshots, DiskOperation::Sync),
    (Dir::Snapshots, DiskOperation::Rename),
    (Dir::Root, DiskOperation::Read),
    (Dir::Journal, DiskOperation::Read),
    (Dir::Journal, DiskOperation::Read),
    (Dir::Outbox, DiskOperation::Read),
    (Dir::Snapshots, DiskOperation::Read),
];

/// Places at which many things are half done, and which lives come to often.
const PLACES: [Place; 7] = [
    Place::Write,
    Place::LongWrite,
    Place::SegmentHeader,
    Place::SegmentHeader,
    Place::Folder(Dir::Snapshots),
    Place::Folder(Dir::Snapshots),
    Place::Folder(Dir::Root),
];
/// Those that few lives come to: of who does, many die there, or soon behind.
const RARE_PLACES: [Place; 3] = [Place::Truncation, Place::SnapshotNamed, Place::SegmentAside];
/// Operations behind a rare place in which what was begun there is brought to its end.
const BEHIND_MAX: u64 = 12;
/// Of several calls in a row that may fail, the last that does.
const FAILURES_BEHIND_MAX: u64 = 3;

/// The faults of one machine.
pub(crate) struct Faults {
    rng: Rng,
    knobs: Knobs,
    /// Where, and which machines may have damaged journals.
    atlas: (usize, Atlas),
    trace: Trace,
    full_until: Option<MonoNanos>,
    next_full: MonoNanos,
    next_failure: MonoNanos,
    next_wall_step: MonoNanos,
    next_rot: MonoNanos,
    next_lie: MonoNanos,
    lies: bool,
    healed: bool,
}

impl Faults {
    pub(crate) fn new(rng: Rng, knobs: Knobs, atlas: (usize, Atlas), trace: Trace) -> Self {
        let mut faults = Self {
            rng,
            knobs,
            atlas,
            trace,
            full_until: None,
            next_full: MonoNanos(0),
            next_failure: MonoNanos(0),
            next_wall_step: MonoNanos(0),
            next_rot: MonoNanos(0),
            next_lie: MonoNanos(0),
            lies: false,
            healed: false,
        };
        faults.next_full = faults.later(MonoNanos(0), 400);
        faults.next_failure = faults.later(MonoNanos(0), 300);
        faults.next_wall_step = faults.later(MonoNanos(0), 300);
        faults.next_rot = faults.later(MonoNanos(0), 400);
        faults.next_lie = faults.later(MonoNanos(0), 300);
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
        if let Some((held, all)) = disk.unsure_sectors()
            && (1..all).contains(&held)
            && self.rng.coin()
        {
            // A second crash where a write was torn: in the middle of recovery, or behind the first new writes.
            self.trace.sometimes("crash asked for at a torn tail");
            if self.rng.coin() {
                disk.die_at(Some(disk.operations() + self.rng.within(1..=30)));
            } else {
                disk.aim(Aim { place: Place::Write, nth: self.rng.within(1..=4), behind: 0 });
            }
            return;
        }
        if self.rng.below(6) == 0 {
            let (place, nth) = (self.rng.pick(&PLACES), self.rng.within(1..=8));
            disk.aim(Aim { place, nth, behind: 0 });
        }
        for place in RARE_PLACES {
            if self.rng.below(3) == 0 {
                let (nth, behind) = (self.rng.within(1..=2), self.rng.within(0..=BEHIND_MAX));
                disk.aim(Aim { place, nth, behind });
            }
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
        self.rng.within(10..=self.knobs.down_us_max) * 1_000
    }

    /// Whether its memory has gone wrong in the life that just ended.
    pub(crate) fn corrupts(&mut self) -> bool {
        self.knobs.corrupts && !self.healed && self.rng.coin()
    }

    /// The process is gone: now nobody holds what the medium loses.
    pub(crate) fn decay_while_down(&mut self, disk: &SimDisk) {
        if self.healed {
            return;
        }
        let is_alone = self.knobs.nodes == 1;
        let (place, atlas) = &self.atlas;
        if !is_alone && self.knobs.rots_journal && self.rng.coin() && atlas.may_damage(*place) {
            disk.rot_journal();
        }
        if !self.knobs.rots || self.rng.below(8) > 0 {
            return;
        }
        // Who has lost `meta` comes back under another name, if at all.
        let dirs: &[Dir] = if self.knobs.rots_journal && is_alone {
            &[Dir::Journal, Dir::Journal, Dir::Root, Dir::Snapshots, Dir::Outbox]
        } else {
            &[Dir::Snapshots, Dir::Outbox]
        };
        match self.rng.pick(dirs) {
            Dir::Journal => disk.rot_journal(),
            Dir::Outbox => disk.rot_outbox(),
            dir @ (Dir::Root | Dir::Snapshots) => disk.rot(dir),
        };
    }

    /// What goes wrong, or right again, by `now`.
    pub(crate) fn act(&mut self, now: MonoNanos, disk: &SimDisk, clock: &mut Clock, serving: bool) {
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
            // Raft, which reads the log behind recovery, ends the process where it cannot: of a start the first read fails.
            let is_first = (dir, operation) == (Dir::Journal, DiskOperation::Read) || self.rng.coin();
            let behind = if is_first { 0 } else { self.rng.within(1..=FAILURES_BEHIND_MAX) };
            disk.fail_next(Some(Failure { dir, operation, cause: EIO, behind }));
            self.next_failure = self.later(now, 300);
        }
        if self.knobs.rots && now >= self.next_rot {
            // What a serving process reads of its journal it has in memory: the decay is met by the next start.
            let journal =
                self.knobs.rots_journal && self.knobs.nodes == 1 && serving && self.rng.below(3) == 0;
            if journal {
                disk.rot(Dir::Journal);
            } else if self.rng.below(3) == 0 {
                disk.rot(Dir::Snapshots);
            } else {
                disk.rot_outbox();
            }
            self.next_rot = self.later(now, 800);
        }
        if self.knobs.lies && now >= self.next_lie {
            self.lies = !self.lies;
            disk.set_lying(self.lies);
            self.next_lie = self.later(now, 200);
        }
        if self.knobs.wall_steps && now >= self.next_wall_step {
            let max_ns = self.rng.pick(wall_offsets_ns_max(self.knobs.nodes));
            let offset_ns = self.rng.within(0..=2 * max_ns) as i64 - max_ns as i64;
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
        disk.set_lying(false);
        disk.set_free(FREE_BYTES);
    }
}

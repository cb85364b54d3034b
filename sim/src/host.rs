//! One machine with everything that belongs to it alone: its clock, its faults, and what its disk has promised.

use std::collections::BTreeMap;

use protocol::hash::Hash;
use protocol::{Index, MonoNanos, Term};

use replicas::Role;

use crate::checkers::Violation;
use crate::checkers::snapshots_survive::Snapshots;
use crate::clock::Clock;
use crate::corruption;
use crate::disk::{Crash, SimDisk};
use crate::faults::{FREE_BYTES, Faults};
use crate::knobs::Knobs;
use crate::link::Link;
use crate::machine::{Left, Links, Machine};
use crate::mirror::Mirror;
use crate::repairing::Atlas;
use crate::rng::Rng;
use crate::trace::Trace;
use crate::witness::Witness;

/// One machine.
pub(crate) struct Host {
    pub(crate) place: usize,
    pub(crate) machine: Machine,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) mirror: Mirror,
    pub(crate) snapshots: Snapshots,
    /// When the next process starts, if none runs.
    pub(crate) restart_at: MonoNanos,
    /// The process stands still until then.
    pub(crate) paused_until: Option<MonoNanos>,
    /// The last turn did something, or something has come since.
    pub(crate) busy: bool,
    /// Nobody starts it again.
    pub(crate) gone: bool,
    /// It lives, and its disk answers nothing any more.
    pub(crate) is_hung: bool,
    /// Its effects' hash is wrong.
    pub(crate) is_corrupt: bool,
    pub(crate) was_serving: bool,
    /// The life and the term in which it has served last, and the number of that reign among all.
    pub(crate) reign: Option<(u64, Term, u64)>,
    /// Entries up to here are known to the witness as this replica committed them.
    pub(crate) committed: Index,
    /// What was durable when the log was found to be damaged, until it is repaired.
    damaged: Option<BTreeMap<Index, (Term, Hash)>>,
    /// As of the last look at where the log begins.
    renames: u64,
}

impl Host {
    pub(crate) fn new(place: usize, rng: &Rng, knobs: Knobs, atlas: &Atlas, trace: &Trace) -> Self {
        let part = |name: &str| rng.fork(&format!("{name} {place}"));
        // What decays on more than a minority may be decayed everywhere, and is not to be had again.
        let rots = knobs.rots && (knobs.nodes == 1 || place < (knobs.nodes - 1) / 2);
        // No majority of clocks that may be set could be believed.
        let wall_steps = knobs.wall_steps && (knobs.nodes == 1 || place < (knobs.nodes - 1) / 2);
        let corrupts = knobs.corrupts && place + 1 == knobs.nodes;
        let knobs = Knobs { rots, wall_steps, corrupts, ..knobs };
        let disk = SimDisk::new(part("disk"), knobs.latency, FREE_BYTES, trace.clone());
        let skew_ppm = part("skew").within(0..=2 * knobs.skew_ppm_max) as i64 - knobs.skew_ppm_max as i64;
        Self {
            place,
            machine: Machine::new(place, disk, knobs),
            clock: Clock::with_skew_ppm(skew_ppm),
            faults: Faults::new(part("faults"), knobs, (place, atlas.clone()), trace.clone()),
            mirror: Mirror::default(),
            snapshots: Snapshots::default(),
            restart_at: MonoNanos(0),
            paused_until: None,
            busy: false,
            gone: false,
            is_hung: false,
            is_corrupt: false,
            was_serving: false,
            reign: None,
            committed: Index(0),
            damaged: None,
            renames: 0,
        }
    }

    pub(crate) fn disk(&self) -> SimDisk {
        self.machine.disk().clone()
    }

    pub(crate) fn serves(&self) -> bool {
        self.machine.running().is_some_and(|process| process.status().serving)
    }

    pub(crate) fn leads(&self) -> bool {
        self.machine.running().is_some_and(|process| process.status().role == Role::Leader)
    }

    pub(crate) fn is_turning(&self) -> bool {
        self.next_deadline().is_some() && self.paused_until.is_none()
    }

    /// The machine is lost, with its disk: a blank one takes its place.
    pub(crate) fn lose(&mut self, disk: SimDisk, generation: u64, now: MonoNanos, links: &mut Links) {
        self.crash(Crash::Power, now, links);
        disk.set_now(now);
        self.machine.replace(disk, generation);
        (self.mirror, self.snapshots) = (Mirror::default(), Snapshots::default());
        (self.committed, self.damaged, self.renames) = (Index(0), None, 0);
        (self.was_serving, self.reign) = (false, None);
    }

    /// Its disk answers nothing any more, and nothing else goes wrong with it.
    pub(crate) fn hang(&mut self) {
        let disk = self.disk();
        self.faults.heal_unless(false, &disk);
        disk.set_latency(Knobs::no_answer());
        self.is_hung = true;
    }

    /// Whether it has to have everything in the end. Of one that is wrong others may not know what they had there any more: it stands
    /// still then, and says so.
    pub(crate) fn is_well(&self) -> bool {
        let stands = || self.machine.running().is_some_and(|process| process.status().halted.is_some());
        !(self.gone || self.is_hung || (self.is_corrupt && stands()))
    }

    /// Whether a process runs, of whatever kind.
    pub(crate) fn is_up(&self) -> bool {
        self.next_deadline().is_some()
    }

    /// Of its process, if one runs.
    fn next_deadline(&self) -> Option<MonoNanos> {
        let repairing = self.machine.is_repairing().map(|repairing| repairing.next_deadline());
        self.machine.running().map(|process| process.next_deadline()).or(repairing)
    }

    /// When it has something to do next, as far as that lies behind `now`.
    pub(crate) fn next_due(&self, now: MonoNanos, turn_ns: u64) -> Option<MonoNanos> {
        let Some(deadline) = self.next_deadline() else {
            return (!self.gone).then_some(self.restart_at);
        };
        if self.paused_until.is_some() {
            return self.paused_until;
        }
        let busy = self.busy.then(|| now.plus(turn_ns));
        let disk = self.machine.disk().next_due().filter(|due| *due > now);
        busy.into_iter().chain(disk).chain([deadline]).filter(|due| *due > now).min()
    }

    /// Whether its process has a reason to turn.
    pub(crate) fn is_woken(&self, now: MonoNanos, links: &Links) -> bool {
        self.is_turning()
            && (self.busy
                || self.next_deadline().is_some_and(|deadline| deadline <= now)
                || self.machine.disk().next_due().is_some_and(|due| due <= now)
                || links.values().any(|link| link.machine() == self.place && link.wakes_machine(now)))
    }

    /// The process is gone, and perhaps the power.
    pub(crate) fn crash(&mut self, crash: Crash, now: MonoNanos, links: &mut Links) {
        self.machine.end();
        self.machine.disk().crash(crash);
        self.faults.decay_while_down(self.machine.disk());
        if !self.is_corrupt && self.faults.corrupts() {
            self.corrupt();
        }
        let mine = |link: &&mut Link| link.is_open() && link.machine() == self.place;
        for link in links.values_mut().filter(mine) {
            link.machine_dies(now);
        }
        self.restart_at = now.plus(self.faults.down_ns());
        self.paused_until = None;
        self.busy = false;
    }

    fn corrupt(&mut self) {
        let disk = self.disk();
        let Some(file) = corruption::corrupt(&disk) else { return };
        disk.trace().sometimes("memory of a replica gone wrong");
        self.snapshots.durable(&[file], &disk);
        self.is_corrupt = true;
    }

    /// The log was found to be damaged. Nothing was synced for that: what is whole of the write that was under way may yet be lost.
    pub(crate) fn is_damaged(&mut self, witness: &Witness) -> Result<(), Violation> {
        self.witness_repair(witness)?;
        if self.damaged.is_none() {
            self.damaged = Some(self.mirror.chains());
        }
        Ok(())
    }

    /// Takes note of what a turn of a repair made durable: committed entries are written again.
    pub(crate) fn witness_repair(&mut self, witness: &Witness) -> Result<(), Violation> {
        let disk = self.disk();
        self.witness_beginning(witness)?;
        if self.mirror.go_on_behind_damage(&disk)? {
            disk.repaired();
        }
        self.mirror.take(&disk, Index(0))
    }

    /// A process is up on a whole log.
    pub(crate) fn witness_start(&mut self, witness: &Witness) -> Result<(), Violation> {
        let disk = self.disk();
        self.witness_beginning(witness)?;
        let damaged = self.damaged.take();
        if damaged.is_some() {
            self.witness_repair(witness)?;
        }
        disk.settle();
        self.mirror.take(&disk, if damaged.is_some() { Index(0) } else { self.committed })?;
        damaged.map_or(Ok(()), |durable| witness.has_back(&durable, &self.mirror))
    }

    /// Where the log on the disk begins anew behind a snapshot, everything before it was committed.
    pub(crate) fn witness_beginning(&mut self, witness: &Witness) -> Result<(), Violation> {
        if self.mirror.begin_anew(self.machine.disk()) {
            self.machine.disk().trace().sometimes("log begun anew behind a snapshot");
            let beginning = self.mirror.beginning();
            witness.has_committed(&beginning)?;
            self.committed = self.committed.max(beginning.index);
        }
        Ok(())
    }

    /// Takes note of what the turn made durable, and tells the witness what this replica has committed.
    pub(crate) fn witness_turn(&mut self, left: &Left, witness: &mut Witness) -> Result<(), Violation> {
        let renames = self.machine.disk().renames();
        if std::mem::replace(&mut self.renames, renames) != renames {
            self.witness_beginning(witness)?;
        }
        let before = self.mirror.truncations();
        self.mirror.take(self.machine.disk(), self.committed)?;
        if self.mirror.truncations() > before {
            self.machine.disk().trace().sometimes("log truncated on conflict");
        }
        self.snapshots.durable(&left.snapshots, self.machine.disk());
        for file in &left.snapshots {
            let disk = self.machine.disk();
            if let Some(bytes) = disk.peek(file).filter(|_| !disk.was_rotten(file) && !self.is_corrupt) {
                witness.snapshot(file, &bytes)?;
            }
        }
        // A follower knows of a commit before the entries are on its disk, where others may stand in their place.
        let committed = self
            .machine
            .running()
            .map_or(Index(0), |process| process.status().index_committed.min(process.status().index_durable));
        while self.committed < committed
            && let Some(entry) = self.mirror.entry(self.committed.next())
        {
            self.committed = self.committed.next();
            witness.commit(self.committed, entry)?;
        }
        Ok(())
    }
}

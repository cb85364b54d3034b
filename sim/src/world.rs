//! The scheduler: one seed, one machine, its disk and clock, and everybody outside. Time jumps from one due thing to the
//! next; whatever happens is decided by the seed, so that a run is repeated by its number alone.
//!
//! A run has two phases. First faults: [`World::step_one`] until their time is over, every invariant checked as it goes.
//! Then the world is healed and must become quiet: everything is answered, and a stop in good order leaves a clean journal.

use protocol::event::Event;
use protocol::hash::Hash;
use protocol::{EventBody, Index, MonoNanos, NodeId, SessionId};
use replicas::{ReplicaFault, StartFault};

use crate::checkers::{self, Checker, Served, Violation, ensure, journal_clean, liveness};
use crate::clock::Clock;
use crate::disk::{Crash, SimDisk};
use crate::faults::{FREE_BYTES, Faults};
use crate::knobs::Knobs;
use crate::machine::{Links, Machine, Turn, opened_epoch};
use crate::rng::Rng;
use crate::trace::{Happening, Trace};
use crate::witness::Witness;
use crate::workload::Workload;

/// A busy process turns again after this.
const TURN_NS: u64 = 2_000;

/// One world.
pub struct World {
    rng: Rng,
    knobs: Knobs,
    clock: Clock,
    trace: Trace,
    faults: Faults,
    machine: Machine,
    links: Links,
    connections_made: u64,
    workload: Workload,
    checkers: Vec<Box<dyn Checker>>,
    witness: Witness,
    /// When the next process starts, if none runs.
    restart_at: MonoNanos,
    busy: bool,
    served_in_life: bool,
    ever_served: bool,
    was_serving: bool,
    /// The crash that a script asked for.
    scripted_crash: Option<Crash>,
    /// Somebody wants to see what happened up to here.
    stops_at: Option<MonoNanos>,
}

/// What a run has come to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Hash of everything that happened.
    pub trace: Hash,
    /// Things that happened.
    pub happenings: u64,
    /// Virtual time.
    pub virtual_ns: u64,
    /// Operations of the disk, each a place at which a crash may stand.
    pub operations: u64,
    /// What was seen how often.
    pub counts: std::collections::BTreeMap<&'static str, u64>,
}

/// An invariant broke.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub violation: Violation,
    /// Hash of everything up to it.
    pub trace: Hash,
    /// What happened last.
    pub recent: Vec<Happening>,
}

impl World {
    /// The world of `seed`.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let rng = Rng::new(seed);
        Self::new(&rng, Knobs::draw(&mut rng.fork("knobs")))
    }

    /// A world of a script: the same for everybody up to the operation `dies_at`, where its only crash stands.
    #[must_use]
    pub fn scripted(knobs: Knobs, dies_at: Option<(u64, Crash)>) -> Self {
        let mut world = Self::new(&Rng::new(1), knobs);
        if let Some((operation, crash)) = dies_at {
            world.machine.disk().die_at(Some(operation));
            world.scripted_crash = Some(crash);
        }
        world
    }

    /// The run ends as a failure at this virtual time, so that what happened before it is shown.
    pub fn stop_at_ms(&mut self, virtual_ms: u64) {
        self.stops_at = Some(MonoNanos(virtual_ms * 1_000_000));
    }

    /// The report of a failure shows everything from the beginning.
    pub fn keep_all(&mut self) {
        self.trace.keep_all();
    }

    fn new(rng: &Rng, knobs: Knobs) -> Self {
        let trace = Trace::default();
        let disk = SimDisk::new(rng.fork("disk"), knobs.latency, FREE_BYTES, trace.clone());
        Self {
            rng: rng.fork("world"),
            knobs,
            clock: Clock::default(),
            faults: Faults::new(rng.fork("faults"), knobs, trace.clone()),
            machine: Machine::new(NodeId(1), disk, knobs),
            links: Links::new(),
            connections_made: 0,
            workload: Workload::new(&rng.fork("workload"), knobs, &trace),
            checkers: checkers::all(),
            witness: Witness::default(),
            restart_at: MonoNanos(0),
            busy: false,
            served_in_life: false,
            ever_served: false,
            was_serving: false,
            scripted_crash: None,
            stops_at: None,
            trace,
        }
    }

    /// Both phases, to the end.
    ///
    /// # Errors
    /// [`Failure`] at the first invariant that does not hold.
    pub fn run(mut self) -> Result<Report, Box<Failure>> {
        let run = self.run_phases();
        let (trace, happenings) = (self.trace.hash(), self.trace.len());
        match run {
            Ok(()) => Ok(Report {
                trace,
                happenings,
                virtual_ns: self.clock.mono().0,
                operations: self.machine.disk().operations(),
                counts: self.trace.counts(),
            }),
            Err(violation) => Err(Box::new(Failure { violation, trace, recent: self.trace.recent() })),
        }
    }

    fn run_phases(&mut self) -> Result<(), Violation> {
        while self.clock.mono().0 < self.knobs.faults_ns {
            self.step_one()?;
        }
        // A script goes on until its crash has come.
        self.faults.heal_unless(self.scripted_crash.is_some(), self.machine.disk());
        self.workload.stop();
        let deadline = self.clock.mono().plus(liveness::QUIET_WITHIN_NS);
        while !(self.serves() && self.workload.open().is_empty()) {
            self.step_one()?;
            if self.clock.mono() >= deadline {
                return liveness::check(self.serves(), &self.workload.open());
            }
        }
        self.check_served()?;
        self.stop_in_good_order()?;
        self.witness.run_again()
    }

    /// Time passes to the next thing that is due, and it is done.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn step_one(&mut self) -> Result<(), Violation> {
        self.pass_time();
        let now = self.clock.now();
        ensure(self.stops_at.is_none_or(|at| now.mono < at), "none", || "stopped as asked for".to_owned())?;
        let disk = self.machine.disk().clone();
        self.faults.act(now.mono, &disk, &mut self.clock);
        if self.machine.process().is_none() && now.mono >= self.restart_at {
            self.start()?;
        }
        self.clients_act()?;
        let mut events = Vec::new();
        let turn = self.machine.turn(now, &mut self.links, &mut events);
        self.busy = false;
        match turn {
            Turn::Killed => {
                self.crash();
                return Ok(());
            }
            Turn::Aborted(fault) => return self.aborted(&fault),
            Turn::Worked => self.busy = true,
            Turn::Idle => {}
        }
        self.events_left(&events)?;
        let World { machine, checkers, .. } = self;
        if let Some(process) = machine.process() {
            for checker in checkers.iter_mut() {
                checker.turned(process.replica(), &disk)?;
            }
        }
        self.watch_serving()
    }

    fn pass_time(&mut self) {
        let now = self.clock.mono();
        let mut next = if self.busy { now.plus(TURN_NS) } else { MonoNanos(u64::MAX) };
        let mut due = |at: MonoNanos| {
            if at > now {
                next = next.min(at);
            }
        };
        match self.machine.process() {
            Some(process) => due(process.next_deadline()),
            None => due(self.restart_at),
        }
        self.machine.disk().next_due().into_iter().for_each(&mut due);
        self.links.values().filter_map(crate::link::Link::next_due).for_each(&mut due);
        self.workload.traders.iter().for_each(|trader| due(trader.next_at()));
        due(self.workload.operator.next_at());
        if next.0 == u64::MAX {
            next = now.plus(TURN_NS);
        }
        self.clock.advance_to(next);
        self.trace.set_now(next);
        self.machine.disk().set_now(next);
    }

    fn start(&mut self) -> Result<(), Violation> {
        let disk = self.machine.disk().clone();
        let findings = self.witness.read(&disk, Index(0))?;
        journal_clean::before_start(&findings)?;
        self.trace.sometimes(if findings.damage.is_some() {
            "started on a torn tail"
        } else {
            "started on a clean tail"
        });
        self.faults.life_begins(&disk);
        self.trace.note("start", self.machine.lives(), findings.log.last_index.0);
        self.served_in_life = false;
        self.was_serving = false;
        let seed = self.rng.draw();
        match self.machine.start(seed) {
            Ok(()) => {
                self.busy = true;
                Ok(())
            }
            Err(_) if disk.is_dead() => {
                self.trace.sometimes("died while starting");
                self.crash();
                Ok(())
            }
            Err(fault) => self.refused(&fault),
        }
    }

    /// A process that does not start although nobody killed it: only a failing disk may do that, or one that has no room
    /// for a new cluster.
    fn refused(&mut self, fault: &StartFault) -> Result<(), Violation> {
        let new_and_full = self.faults.is_full() && !self.ever_served;
        let failed = self.machine.disk().failures() > 0;
        ensure(failed || new_and_full, "journal_clean", || format!("the process does not start: {fault}"))?;
        self.trace.sometimes("start ended by a failing disk");
        self.crash();
        Ok(())
    }

    fn aborted(&mut self, fault: &ReplicaFault) -> Result<(), Violation> {
        let failed = self.machine.disk().failures() > 0 && !matches!(fault, ReplicaFault::Diverged { .. });
        ensure(failed, "same_hash", || format!("the process aborted without a cause: {fault}"))?;
        self.trace.sometimes("aborted on a failed write");
        self.crash();
        Ok(())
    }

    /// The process is gone, and perhaps the power.
    fn crash(&mut self) {
        let crash = self.scripted_crash.take().unwrap_or_else(|| self.faults.crash());
        self.trace.sometimes(match crash {
            Crash::Process => "process killed",
            Crash::Power => "power lost",
        });
        self.machine.end();
        self.machine.disk().crash(crash);
        let now = self.clock.mono();
        for link in self.links.values_mut().filter(|link| link.is_open()) {
            link.machine_dies(now);
        }
        self.restart_at = now.plus(self.faults.down_ns());
        self.busy = false;
    }

    fn clients_act(&mut self) -> Result<(), Violation> {
        let now = self.clock.clients_now();
        let accepts = self.serves();
        for trader in &mut self.workload.traders {
            trader.receive(now, &mut self.links)?;
            trader.act(now, accepts, &mut self.connections_made, &mut self.links);
        }
        self.links.retain(|_, link| !link.is_over());
        let lives = self.machine.lives();
        if accepts && let Some(process) = self.machine.process() {
            self.workload.operator.act(now.mono, lives, process.replica().sequencer());
        }
        Ok(())
    }

    /// Events that left the process in a turn that it survived.
    fn events_left(&mut self, events: &[Event]) -> Result<(), Violation> {
        for event in events {
            self.trace.note("event", event.seq.0, u64::from(event.body.kind()));
            for checker in &mut self.checkers {
                checker.sent(event)?;
            }
            if let EventBody::Replied(reply) = &event.body
                && reply.session == SessionId::OPERATOR
            {
                self.workload.operator.replied(reply)?;
            }
            if let Some((connection, epoch)) = opened_epoch(event) {
                self.workload.traders.iter_mut().for_each(|trader| trader.opened(connection, epoch));
            }
        }
        Ok(())
    }

    fn serves(&mut self) -> bool {
        self.machine.process().is_some_and(|process| process.replica().serving())
    }

    fn watch_serving(&mut self) -> Result<(), Violation> {
        let serves = self.serves();
        if serves && !self.served_in_life {
            self.served_in_life = true;
            self.ever_served = true;
            self.check_served()?;
        }
        if serves != self.was_serving && self.served_in_life {
            self.trace.note("serving", u64::from(serves), 0);
            self.trace.sometimes(if serves { "began to serve" } else { "stopped serving for lack of room" });
        }
        self.was_serving = serves;
        Ok(())
    }

    /// Holds the process against its own journal, and against what everybody was told.
    fn check_served(&mut self) -> Result<(), Violation> {
        let disk = self.machine.disk().clone();
        let Some(process) = self.machine.process() else { return Ok(()) };
        let applied = process.replica().status().index_applied;
        let findings = self.witness.read(&disk, applied)?;
        if findings.segment.is_some_and(|segment| segment.segno > 1) {
            self.trace.sometimes("segment rolled");
        }
        if disk.peek_names(journal::Dir::Snapshots).len() > 1 {
            self.trace.sometimes("two snapshots there");
        }
        let World { machine, workload, witness, checkers, .. } = self;
        let Some(process) = machine.process() else { return Ok(()) };
        // What a checker reads must not move the place of the next crash.
        let pause = disk.pause();
        let mut served = Served { replica: process.replica(), witness, workload };
        let checked = checkers.iter_mut().try_for_each(|checker| checker.served(&mut served));
        disk.resume(pause);
        checked
    }

    /// The process ends with nothing under way; the next one finds the same.
    fn stop_in_good_order(&mut self) -> Result<(), Violation> {
        let deadline = self.clock.mono().plus(liveness::QUIET_WITHIN_NS);
        while self.busy || self.machine.disk().next_due().is_some() {
            self.step_one()?;
            if self.clock.mono() >= deadline {
                return liveness::check(self.serves(), &["something is being written for ever".to_owned()]);
            }
        }
        self.check_served()?;
        self.machine.end();
        self.machine.disk().crash(Crash::Process);
        let findings = self.witness.read(&self.machine.disk().clone(), Index(0))?;
        journal_clean::after_stop(&findings)?;
        self.restart_at = self.clock.mono();
        while !self.serves() {
            self.step_one()?;
            if self.clock.mono() >= deadline {
                return liveness::check(false, &[]);
            }
        }
        Ok(())
    }
}

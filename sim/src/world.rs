//! The scheduler: one seed, its machines with their disks and clocks, the network between them, and everybody outside.
//! Time jumps from one due thing to the next; whatever happens is decided by the seed, so that a run is repeated by its
//! number alone.
//!
//! A run has two phases. First faults: [`World::step_one`] until their time is over, every invariant checked as it goes.
//! Then a majority of the machines is healed and the world must become quiet: somebody leads, everything is answered, the
//! replicas agree, and a stop in good order leaves clean journals.

use protocol::event::Event;
use protocol::hash::Hash;
use protocol::{Index, MonoNanos, Term};
use replicas::{ReplicaFault, Role, StartFault};

use crate::checkers::{self, Checker, Served, Turned, Violation, ensure, journal_clean, liveness};
use crate::clock::clients_now;
use crate::disk::{Crash, SimDisk};
use crate::faults::FREE_BYTES;
use crate::host::Host;
use crate::knobs::Knobs;
use crate::machine::{Left, Links, Started, Turn, opened_epoch};
use crate::nemesis::{Act, Nemesis};
use crate::network::Network;
use crate::oracle::{Before, Opened};
use crate::repairing::{Atlas, Repairing};
use crate::replacing::Replacing;
use crate::rng::Rng;
use crate::trace::{Happening, Trace};
use crate::witness::Witness;
use crate::workload::Workload;

/// A busy process turns again after this.
const TURN_NS: u64 = 2_000;

/// So often bytes are brought back: after the first time nothing rots any more.
const BROUGHT_BACK_MAX: u64 = 3;

/// One world.
pub struct World {
    rng: Rng,
    knobs: Knobs,
    now: MonoNanos,
    trace: Trace,
    hosts: Vec<Host>,
    atlas: Atlas,
    network: Network,
    nemesis: Nemesis,
    links: Links,
    connections_made: u64,
    workload: Workload,
    checkers: Vec<Box<dyn Checker>>,
    witness: Witness,
    /// Reigns so far: lives and terms in which somebody served.
    reigns: u64,
    /// The newest term in which somebody has served.
    reign_term: Term,
    /// Whom the operator talks to.
    operator_at: usize,
    /// A machine that is being replaced.
    replacing: Option<Replacing>,
    machines_lost: u64,
    /// As often as bytes were brought back that a cluster stood still without.
    brought_back: u64,
    turns: u64,
    /// Since when whoever serves has something to do by itself, and nothing else has.
    timer_due_since: MonoNanos,
    /// The crash that a script asked for.
    scripted_crash: Option<Crash>,
    /// Somebody wants to see what happened up to here.
    stops_at: Option<MonoNanos>,
    /// The run has come to an end that nobody can go on from, and that is allowed.
    over: bool,
}

/// What a run has come to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Hash of everything that happened.
    pub trace: Hash,
    /// Things that happened.
    pub happenings: u64,
    /// Turns of processes.
    pub turns: u64,
    /// Virtual time.
    pub virtual_ns: u64,
    /// Operations of the first machine's disk, each a place at which a crash may stand.
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
    /// The world of `seed`, with so many replicas.
    #[must_use]
    pub fn from_seed(seed: u64, nodes: usize) -> Self {
        let rng = Rng::new(seed);
        Self::new(&rng, Knobs::draw(&mut rng.fork("knobs"), nodes))
    }

    /// The world of `seed` with faults for so many virtual seconds.
    #[must_use]
    pub fn lasting(seed: u64, nodes: usize, faults_s: u64) -> Self {
        let rng = Rng::new(seed);
        Self::new(&rng, Knobs::draw(&mut rng.fork("knobs"), nodes).lasting(faults_s))
    }

    /// The world of `seed` with other knobs.
    #[must_use]
    pub fn with_knobs(seed: u64, knobs: Knobs) -> Self {
        Self::new(&Rng::new(seed), knobs)
    }

    /// A world of a script: the same for everybody up to the operation `dies_at`, where its only crash stands.
    #[must_use]
    pub fn scripted(knobs: Knobs, dies_at: Option<(u64, Crash)>) -> Self {
        let mut world = Self::new(&Rng::new(1), knobs);
        if let Some((operation, crash)) = dies_at {
            world.hosts[0].disk().die_at(Some(operation));
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
        let Knobs { nodes, network, .. } = knobs;
        let atlas = Atlas::new(&knobs);
        Self {
            rng: rng.fork("world"),
            knobs,
            now: MonoNanos(1),
            hosts: (0..nodes).map(|place| Host::new(place, rng, knobs, &atlas, &trace)).collect(),
            atlas,
            network: Network::new(rng.fork("network"), nodes, network, trace.clone()),
            nemesis: Nemesis::new(rng.fork("nemesis"), nodes, network, trace.clone()),
            links: Links::new(),
            connections_made: 0,
            workload: Workload::new(&rng.fork("workload"), knobs, &trace),
            checkers: checkers::all(nodes),
            witness: Witness::default(),
            reigns: 0,
            reign_term: Term(0),
            operator_at: 0,
            replacing: None,
            machines_lost: 0,
            brought_back: 0,
            turns: 0,
            timer_due_since: MonoNanos(0),
            scripted_crash: None,
            stops_at: None,
            over: false,
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
                turns: self.turns,
                virtual_ns: self.now.0,
                operations: self.hosts[0].disk().operations(),
                counts: self.trace.counts(),
            }),
            Err(violation) => Err(Box::new(Failure { violation, trace, recent: self.trace.recent() })),
        }
    }

    fn run_phases(&mut self) -> Result<(), Violation> {
        while self.now.0 < self.knobs.faults_ns && !self.over {
            self.step_one()?;
        }
        if self.over {
            return Ok(());
        }
        self.heal();
        self.workload.stop(self.now);
        self.wait_for_leader()?;
        self.timer_due_since = self.now;
        let mut deadline = self.now.plus(liveness::QUIET_WITHIN_NS);
        while !(self.over || self.all_agree() && self.workload.open().is_empty() && self.replacing.is_none())
        {
            self.step_one()?;
            self.check_timers()?;
            if self.now >= deadline {
                if !self.bring_back() {
                    return liveness::check(&self.standing(), &self.workload.open());
                }
                deadline = self.now.plus(liveness::QUIET_WITHIN_NS);
            }
        }
        if self.over {
            return Ok(());
        }
        for place in self.running_well() {
            self.check_served(place)?;
        }
        self.stop_in_good_order()?;
        self.witness.run_again()
    }

    /// The faults are over. In a cluster a majority that chance chooses is healed; what is wrong with the others stays so,
    /// in every other run.
    fn heal(&mut self) {
        // A script goes on until its crash has come.
        let scripted = self.scripted_crash.is_some();
        self.nemesis.heal();
        self.network.heal();
        let mut places: Vec<usize> = (0..self.knobs.nodes).collect();
        self.rng.shuffle(&mut places);
        // Where bits rot, what one has lost another may have to give back.
        let Knobs { rots, rots_journal, corrupts, .. } = self.knobs;
        let is_whole = !(rots || rots_journal || corrupts) && self.replacing.is_none();
        let loses_minority = self.rng.coin() && is_whole;
        let core = if loses_minority { self.knobs.nodes / 2 + 1 } else { self.knobs.nodes };
        for place in places.split_off(core) {
            self.trace.note("gone for good", place as u64, 0);
            self.trace.sometimes("minority gone for good");
            let host = &mut self.hosts[place];
            self.workload.reader.process_ended(place);
            if host.machine.running().is_some() && self.rng.coin() {
                self.trace.sometimes("disk of a minority hangs for good");
                host.hang();
                continue;
            }
            host.crash(Crash::Process, self.now, &mut self.links);
            host.gone = true;
        }
        for place in places {
            let host = &mut self.hosts[place];
            let disk = host.disk();
            host.faults.heal_unless(scripted, &disk);
            if self.knobs.nodes > 1 {
                disk.set_latency(Knobs::good_latency());
                host.clock.set_wall_offset(0);
            }
            if host.paused_until.take().is_some() {
                host.busy = true;
            }
            host.restart_at = host.restart_at.min(self.now.plus(TURN_NS));
        }
    }

    fn wait_for_leader(&mut self) -> Result<(), Violation> {
        let within_ns = liveness::leader_within_ns(self.knobs.nodes);
        let mut deadline = self.now.plus(within_ns);
        while self.knobs.nodes > 1 && self.leader().is_none() && !self.over {
            self.step_one()?;
            if self.now >= deadline {
                if !self.bring_back() {
                    return liveness::no_leader(&self.standing());
                }
                deadline = self.now.plus(within_ns);
            }
        }
        Ok(())
    }

    /// Where more logs were damaged than a cluster survives it has to stand still, until somebody brings back the bytes of those that
    /// wait. Returns whether there were any.
    fn bring_back(&mut self) -> bool {
        if self.stands_in_doubt() {
            self.trace.sometimes("stood still over effects that no majority is known to have");
            self.over = true;
            return true;
        }
        let waits = |host: &Host| host.machine.is_repairing().is_some();
        let waiting: Vec<usize> =
            self.hosts.iter().filter(|host| waits(host)).map(|host| host.place).collect();
        if !self.atlas.is_beyond() || waiting.is_empty() {
            return false;
        }
        if self.brought_back == BROUGHT_BACK_MAX {
            self.over = self.is_lost_everywhere(&waiting);
            return self.over;
        }
        self.brought_back += 1;
        self.trace.sometimes("stood still until bytes were brought back");
        for place in waiting {
            self.crash(place);
            self.hosts[place].disk().restore();
        }
        true
    }

    /// Whether those that wait have begun to repair what decayed everywhere else meanwhile. What stands in front of a repair is not brought
    /// back here: nobody can go on.
    fn is_lost_everywhere(&self, waiting: &[usize]) -> bool {
        let has = |host: &Host, entry: Index| host.mirror.last_index() >= entry;
        let is_lost = |place: &usize| {
            let reach = self.hosts[*place].machine.is_repairing().and_then(Repairing::reach);
            reach.is_some_and(|reach| !self.hosts.iter().any(|host| has(host, reach)))
        };
        let is_over = waiting.iter().all(is_lost);
        if is_over {
            self.trace.sometimes("lost on more replicas than a cluster survives");
        }
        is_over
    }

    /// A replica's memory has gone wrong, and another one was never there, or does not know any more what it had: so that nobody may decide
    /// who is right, also where the wrong one is gone and what it recorded as a leader is replayed. An operator has to.
    fn stands_in_doubt(&self) -> bool {
        let halted = |host: &Host| host.machine.running().is_some_and(|p| p.status().halted.is_some());
        self.hosts.iter().any(|host| host.is_corrupt) && self.hosts.iter().any(halted)
    }

    /// Time passes to the next thing that is due, and it is done.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn step_one(&mut self) -> Result<(), Violation> {
        self.pass_time();
        let now = self.now;
        ensure(self.stops_at.is_none_or(|at| now < at), "none", || "stopped as asked for".to_owned())?;
        let leader = self.leader();
        if let Some(act) = self.nemesis.act(now, leader, &mut self.network) {
            self.done_to_process(act);
        }
        for place in 0..self.hosts.len() {
            let host = &mut self.hosts[place];
            let serving = host.serves();
            host.faults.act(now, host.machine.disk(), &mut host.clock, serving);
            if host.paused_until.take_if(|until| *until <= now).is_some() {
                host.busy = true;
            }
            if !host.is_up() && !host.gone && now >= host.restart_at {
                self.start(place)?;
            }
        }
        self.deliver()?;
        self.clients_act()?;
        self.replace();
        for place in 0..self.hosts.len() {
            if self.hosts[place].is_woken(now, &self.links) {
                if self.hosts[place].machine.is_repairing().is_some() {
                    self.repair(place)?;
                } else {
                    self.turn(place)?;
                }
            }
        }
        Ok(())
    }

    fn done_to_process(&mut self, act: Act) {
        match act {
            Act::Lose(place) => self.lose(place),
            Act::Pause(place, _) | Act::Transfer(place, _) if !self.hosts[place].is_turning() => {}
            Act::Pause(place, until) => self.hosts[place].paused_until = Some(until),
            Act::Transfer(place, to) => {
                let to = self.hosts[to].machine.node();
                let host = &mut self.hosts[place];
                let asked = host.machine.process().map(|process| process.replica().transfer_leader(to));
                self.trace.note("transfer", place as u64, to.0);
                self.trace.sometimes(if matches!(asked, Some(Ok(()))) {
                    "lead given away"
                } else {
                    "transfer of the lead refused"
                });
                host.busy = true;
            }
        }
    }

    /// A machine is lost with its disk. One at a time, and only where a cluster has begun.
    fn lose(&mut self, place: usize) {
        if self.replacing.is_some() || self.reigns == 0 {
            return;
        }
        let lost = self.hosts[place].machine.node();
        self.trace.note("machine lost", place as u64, lost.0);
        self.machines_lost += 1;
        let disk =
            SimDisk::new(Rng::new(self.rng.draw()), self.knobs.latency, FREE_BYTES, self.trace.clone());
        self.hosts[place].lose(disk, self.machines_lost, self.now, &mut self.links);
        self.workload.reader.process_ended(place);
        let (rng, new) = (self.rng.fork("replacing"), self.hosts[place].machine.node());
        self.rng.draw();
        self.replacing = Some(Replacing::begin(rng, self.trace.clone(), self.now, lost, new));
    }

    /// An operator asks who leads to go on with the replacement of a machine.
    fn replace(&mut self) {
        let Some(leader) = self.leader().filter(|leader| self.hosts[*leader].is_turning()) else { return };
        let Some(replacing) = self.replacing.as_mut().filter(|replacing| replacing.next_at() <= self.now)
        else {
            return;
        };
        let host = &mut self.hosts[leader];
        host.busy = true;
        let is_done =
            host.machine.process().is_some_and(|process| replacing.act(self.now, process.replica()));
        if is_done {
            // Were it known to the leader alone, and that one lost next, the others would go on to count the lost one as a voter.
            let knows = |host: &mut Host| {
                host.machine.process().is_some_and(|process| replacing.is_known_to(process.replica()))
            };
            let knowing = self.hosts.iter_mut().map(knows).filter(|knows| *knows).count();
            if knowing > self.knobs.nodes / 2 {
                self.replacing = None;
            }
        }
    }

    fn pass_time(&mut self) {
        let now = self.now;
        let mut next = MonoNanos(u64::MAX);
        let mut due = |at: MonoNanos| {
            if at > now {
                next = next.min(at);
            }
        };
        self.hosts.iter().filter_map(|host| host.next_due(now, TURN_NS)).for_each(&mut due);
        self.network.next_due().into_iter().chain(self.nemesis.next_due()).for_each(&mut due);
        self.links.values().filter_map(crate::link::Link::next_due).for_each(&mut due);
        self.workload.traders.iter().for_each(|trader| due(trader.next_at()));
        due(self.workload.operator.next_at());
        self.workload.reader.next_at().into_iter().for_each(&mut due);
        self.workload.batches.next_at().into_iter().for_each(&mut due);
        self.workload.payments.next_at().into_iter().for_each(&mut due);
        self.workload.standing_orders.next_at().into_iter().for_each(&mut due);
        self.workload.days.next_at().into_iter().for_each(&mut due);
        self.replacing.iter().for_each(|replacing| due(replacing.next_at()));
        if next.0 == u64::MAX {
            next = now.plus(TURN_NS);
        }
        self.now = next;
        self.trace.set_now(next);
        self.hosts.iter().for_each(|host| host.machine.disk().set_now(next));
    }

    fn start(&mut self, place: usize) -> Result<(), Violation> {
        let host = &mut self.hosts[place];
        let disk = host.disk();
        host.snapshots.check(&disk)?;
        let before = Before::look(&disk);
        self.trace.sometimes(match disk.unsure_sectors() {
            Some((held, all)) if held > 0 && held < all => "started on a torn tail",
            _ => "started on a clean tail",
        });
        host.faults.life_begins(&disk);
        self.trace.note("start", place as u64, host.machine.lives());
        host.was_serving = false;
        let seed = self.rng.draw();
        disk.set_starting(true);
        let started = host.machine.start(seed);
        disk.set_starting(false);
        match started {
            Err(StartFault::Quarantined(_)) if host.is_corrupt => {
                self.quarantined(place);
                Ok(())
            }
            Ok(Started::Damaged(fault)) => self.damaged(place, &before, &fault),
            Ok(Started::Whole) => {
                host.witness_start(&self.witness)?;
                self.atlas.is_whole(place);
                host.busy = true;
                let last = host.machine.running().map_or(Index(0), |p| p.status().index_last);
                if before.opened(last, &host.mirror)? == Opened::LostByLie {
                    self.trace.sometimes("newest writes lost by a lying device, and nothing tells");
                    self.over = true;
                }
                self.checkers.iter_mut().for_each(|checker| checker.started(place));
                Ok(())
            }
            Err(_) if disk.is_dead() => {
                self.trace.sometimes("died while starting");
                self.crash(place);
                Ok(())
            }
            Err(fault) => self.refused(place, &before, &fault),
        }
    }

    /// A process with a damaged log takes no part until it is repaired.
    fn damaged(&mut self, place: usize, before: &Before, fault: &StartFault) -> Result<(), Violation> {
        let host = &mut self.hosts[place];
        before.refused(&host.disk(), fault)?;
        host.is_damaged(&self.witness)?;
        host.busy = true;
        self.trace.sometimes("log damaged among others");
        self.checkers.iter_mut().for_each(|checker| checker.started(place));
        Ok(())
    }

    /// A turn of a process that repairs its log; one that is done is followed by a replica.
    fn repair(&mut self, place: usize) -> Result<(), Violation> {
        let host = &mut self.hosts[place];
        let (now, disk) = (host.clock.at(self.now), host.disk());
        let Some(repairing) = host.machine.repairing() else { return Ok(()) };
        let mut messages = Vec::new();
        let turn = repairing.turn(now.mono, &disk, &self.trace, &mut messages);
        let is_done = repairing.is_done();
        if !self.goes_on(place, &turn)? {
            return Ok(());
        }
        self.hosts[place].witness_repair(&self.witness)?;
        for message in &messages {
            self.network.send(self.now, message);
        }
        if is_done {
            self.trace.sometimes("log repaired");
            self.hosts[place].machine.end();
            self.start(place)?;
        }
        Ok(())
    }

    /// A process that does not start although nobody killed it: because its disk fails or has no room for a new cluster, or
    /// because of what really happened to its files.
    fn refused(&mut self, place: usize, before: &Before, fault: &StartFault) -> Result<(), Violation> {
        let host = &self.hosts[place];
        let disk = host.disk();
        if disk.failures() > 0 || (host.faults.is_full() && host.mirror.is_empty()) {
            self.trace.sometimes("start ended by a failing disk");
        } else if before.refused(&disk, fault)? {
            self.trace.sometimes("start refused over decayed bytes");
            self.crash(place);
            self.hosts[place].disk().restore();
            return Ok(());
        } else {
            self.trace.sometimes("start refused over what a lying device lost");
            self.over = true;
        }
        self.crash(place);
        Ok(())
    }

    /// It was found out, and nobody starts it again: an operator would replace it.
    fn quarantined(&mut self, place: usize) {
        self.trace.sometimes("quarantined by a majority");
        self.crash(place);
        self.hosts[place].gone = true;
    }

    fn aborted(&mut self, place: usize, fault: &ReplicaFault) -> Result<(), Violation> {
        if matches!(fault, ReplicaFault::Quarantined { .. }) && self.hosts[place].is_corrupt {
            self.quarantined(place);
            return Ok(());
        }
        let is_hung = self.hosts[place].is_hung;
        if matches!(fault, ReplicaFault::DiskStalled { .. })
            && (is_hung || self.knobs.latency.stall_us > 1_000_000)
        {
            self.trace.sometimes("leader ended over its own disk");
            self.crash(place);
            self.hosts[place].gone |= is_hung;
            return Ok(());
        }
        let host = &self.hosts[place];
        // Without room for a segment a repair cannot begin; its turn tells of that later, when there may be some again.
        let has_no_room = host.machine.is_repairing().is_some() && host.disk().lacked_room();
        let failed =
            (host.disk().failures() > 0 || has_no_room) && !matches!(fault, ReplicaFault::Diverged { .. });
        ensure(failed, "same_hash", || format!("replica {place} aborted without a cause: {fault}"))?;
        self.trace.sometimes("aborted on a failed write");
        self.crash(place);
        Ok(())
    }

    fn crash(&mut self, place: usize) {
        let host = &mut self.hosts[place];
        let crash = self.scripted_crash.take().unwrap_or_else(|| host.faults.crash());
        self.trace.note("process ends", place as u64, u64::from(crash == Crash::Power));
        self.trace.sometimes(match crash {
            Crash::Process => "process killed",
            Crash::Power => "power lost",
        });
        host.crash(crash, self.now, &mut self.links);
        self.workload.reader.process_ended(place);
    }

    /// Messages that have arrived go to whoever is there; a process that stands still finds them when it goes on.
    fn deliver(&mut self) -> Result<(), Violation> {
        while let Some(message) = self.network.arrived(self.now) {
            let host = &mut self.hosts[message.to];
            if message.to_node != host.machine.node() {
                self.trace.sometimes("message for a machine that was lost");
                continue;
            }
            if let Some(repairing) = host.machine.repairing() {
                host.busy = true;
                if let Err(fault) = repairing.take(&message) {
                    let what = format!("a damaged replica {} refuses a message: {fault}", message.to);
                    return Err(Violation { invariant: "consensus", what });
                }
                continue;
            }
            let Some(process) = host.machine.process() else { continue };
            let way = message.from * self.knobs.nodes + message.to;
            self.trace.note("receive", way as u64, message.term);
            // Nothing spoils messages here, and no log is ever shorter than the oracle knows.
            if let Err(fault) = message.deliver(process.replica()) {
                let members = process.replica().members();
                if members.iter().any(|member| member.node == message.from_node) {
                    let what =
                        format!("replica {} refuses a message of {}: {fault}", message.to, message.from);
                    return Err(Violation { invariant: "consensus", what });
                }
                self.trace.sometimes("message of no member refused");
            }
            host.busy = true;
        }
        Ok(())
    }

    fn clients_act(&mut self) -> Result<(), Violation> {
        let now = clients_now(self.now);
        let serving: Vec<usize> = self.running().into_iter().filter(|p| self.hosts[*p].serves()).collect();
        for trader in &mut self.workload.traders {
            let accepts = match serving[..] {
                [] => None,
                [one] => Some(one),
                _ => Some(self.rng.pick(&serving)),
            };
            trader.receive(now, &mut self.links)?;
            trader.act(now, accepts, &mut self.connections_made, &mut self.links);
        }
        self.links.retain(|_, link| !link.is_over());
        self.workload.reader.act(self.now, &mut self.hosts);
        let Workload { operator, batches, payments, standing_orders, days, .. } = &mut self.workload;
        let impatient = operator.is_impatient(self.now)
            || payments.is_impatient(self.now)
            || standing_orders.is_impatient(self.now)
            || days.is_impatient(self.now);
        if !serving.contains(&self.operator_at) || (impatient && serving.len() > 1) {
            let Some(place) = (!serving.is_empty()).then(|| self.rng.pick(&serving)) else { return Ok(()) };
            self.operator_at = place;
        }
        let host = &mut self.hosts[self.operator_at];
        let reign = host.reign.map_or(0, |(_, _, number)| number);
        // A process that stands still takes nothing.
        if host.is_turning()
            && let Some(process) = host.machine.process()
        {
            let sequencer = process.replica().sequencer();
            host.busy |= operator.act(self.now, reign, sequencer);
            batches.act(self.now, sequencer);
            host.busy |= operator.set_up() && payments.act(self.now, reign, sequencer);
            host.busy |= operator.set_up() && standing_orders.act(self.now, reign, sequencer);
            host.busy |= operator.set_up() && days.act(self.now, reign, sequencer);
        }
        Ok(())
    }

    /// What a turn has come to for the process; returns whether it still runs.
    fn goes_on(&mut self, place: usize, turn: &Turn) -> Result<bool, Violation> {
        self.hosts[place].busy = matches!(turn, Turn::Worked);
        match turn {
            Turn::Killed => self.crash(place),
            Turn::Aborted(fault) => self.aborted(place, fault)?,
            Turn::Worked | Turn::Idle => return Ok(true),
        }
        Ok(false)
    }

    fn turn(&mut self, place: usize) -> Result<(), Violation> {
        self.turns += 1;
        let host = &mut self.hosts[place];
        let (now, disk) = (host.clock.at(self.now), host.disk());
        let mut left = Left::default();
        let leads = host.leads();
        let turn = host.machine.turn(now, &mut self.links, &mut left);
        if !self.goes_on(place, &turn)? {
            return Ok(());
        }
        let host = &mut self.hosts[place];
        host.witness_turn(&left, &mut self.witness)?;
        let still_leads = host.leads();
        ensure(left.events.is_empty() || leads || still_leads, "consensus", || {
            format!("{} events leave replica {place}, which does not lead", left.events.len())
        })?;
        for message in &left.messages {
            self.checkers.iter_mut().try_for_each(|checker| checker.carried(message))?;
            self.network.send(self.now, message);
        }
        self.events_left(&left.events)?;
        if let Some(process) = self.hosts[place].machine.running() {
            let is_corrupt = self.hosts[place].is_corrupt;
            if is_corrupt && process.status().role == Role::Leader {
                self.witness.distrust(process.status().term);
            }
            let turned = Turned { now: self.now, place, is_corrupt, status: process.status(), disk: &disk };
            self.checkers.iter_mut().try_for_each(|checker| checker.turned(&turned))?;
        }
        let reads = self.workload.reader.look(&mut self.hosts[place]);
        for read in reads.into_iter().filter(|_| !self.hosts[place].is_corrupt) {
            self.checkers.iter_mut().try_for_each(|checker| checker.read(&read))?;
        }
        self.watch_outbox(place)?;
        self.watch_serving(place)
    }

    /// Events that left a process in a turn that it survived.
    fn events_left(&mut self, events: &[Event]) -> Result<(), Violation> {
        for event in events {
            self.trace.note("event", event.seq.0, u64::from(event.body.kind()));
            for checker in &mut self.checkers {
                checker.sent(event)?;
            }
            self.workload.operator.take(event)?;
            self.workload.payments.take(event, self.reigns)?;
            self.workload.standing_orders.take(event, self.reigns)?;
            self.workload.days.take(event, self.reigns)?;
            if let Some((connection, epoch)) = opened_epoch(event) {
                self.workload.traders.iter_mut().for_each(|trader| trader.opened(connection, epoch));
            }
        }
        Ok(())
    }

    /// Outputs that are kept and cannot be read have a cause, and where it stays an operator starts the process again.
    fn watch_outbox(&mut self, place: usize) -> Result<(), Violation> {
        let host = &self.hosts[place];
        if host.machine.running().is_none_or(|process| process.status().outbox_fault.is_none()) {
            return Ok(());
        }
        if host.disk().has_rotten(journal::Dir::Outbox) {
            self.trace.sometimes("started again over a decayed outbox");
            self.crash(place);
            return Ok(());
        }
        ensure(host.disk().failures() > 0, "acked_survives", || {
            format!("replica {place} cannot read its outbox, and nothing is wrong with it")
        })
    }

    fn watch_serving(&mut self, place: usize) -> Result<(), Violation> {
        let host = &mut self.hosts[place];
        let Some(process) = host.machine.running() else { return Ok(()) };
        let (serves, term, lives) = (process.status().serving, process.status().term, host.machine.lives());
        let before = std::mem::replace(&mut host.was_serving, serves);
        if serves && host.reign.is_none_or(|(life, since, _)| (life, since) != (lives, term)) {
            self.reigns += 1;
            host.reign = Some((lives, term, self.reigns));
            self.trace.sometimes("began to reign");
            if process.status().outputs_to_come.is_some() {
                self.trace.sometimes("reigns while outputs are to come from others");
            }
            // Nobody who serves in a newer term may know less than those before.
            let newest = term > self.reign_term || self.knobs.nodes == 1;
            self.reign_term = self.reign_term.max(term);
            let applied = process.status().index_applied;
            ensure(!newest || applied >= self.witness.applied(), "acked_survives", || {
                format!("replica {place} serves at {applied}, {} was applied", self.witness.applied())
            })?;
            if applied >= self.witness.applied() {
                self.check_served(place)?;
            }
        }
        if serves != before {
            self.trace.note("serving", place as u64, u64::from(serves));
            self.trace.sometimes(if serves { "began to serve" } else { "stopped serving" });
        }
        Ok(())
    }

    /// Holds a process against the committed log, and against what everybody was told.
    fn check_served(&mut self, place: usize) -> Result<(), Violation> {
        let World { hosts, workload, witness, checkers, trace, .. } = self;
        let host = &mut hosts[place];
        let disk = host.disk();
        let Some(process) = host.machine.process() else { return Ok(()) };
        witness.run_to(process.status().index_applied)?;
        if crate::mirror::segments(&disk).len() > 3 {
            trace.sometimes("segment rolled");
        }
        if disk.peek_names(journal::Dir::Snapshots).len() > 1 {
            trace.sometimes("two snapshots there");
        }
        // What a checker reads must not move the place of the next crash.
        let pause = disk.pause();
        let is_corrupt = host.is_corrupt;
        let mut served = Served { replica: process.replica(), disk: &disk, is_corrupt, witness, workload };
        let checked = checkers.iter_mut().try_for_each(|checker| checker.served(&mut served));
        disk.resume(pause);
        checked
    }

    /// Those that run and have everything, or will have.
    fn running_well(&self) -> Vec<usize> {
        self.running().into_iter().filter(|place| self.hosts[*place].is_well()).collect()
    }

    fn running(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|place| self.hosts[*place].machine.running().is_some()).collect()
    }

    /// Who leads in the newest term, as far as anybody says so.
    fn leader(&self) -> Option<usize> {
        let leads = |host: &Host| {
            let status = host.machine.running()?.status();
            (status.role == Role::Leader).then_some((status.term, host.place))
        };
        self.hosts.iter().filter_map(leads).max().map(|(_, place)| place)
    }

    /// Whether somebody serves, and every process that is not gone has applied the same log to its end.
    fn all_agree(&self) -> bool {
        let ends = |host: &Host| {
            let status = host.machine.running()?.status();
            (status.index_applied == status.index_last).then_some((status.index_last, status.effect_hash))
        };
        let all: Vec<_> = self.hosts.iter().filter(|host| host.is_well()).map(ends).collect();
        let agree = all.iter().all(|end| end.is_some() && *end == all[0]);
        agree && self.hosts.iter().any(Host::serves)
    }

    /// What is to happen by itself does, although nobody sends anything.
    fn check_timers(&mut self) -> Result<(), Violation> {
        // A leader whose disk hangs gives the lead away first.
        let waits = |host: &Host| {
            let is_due = || host.machine.running().is_some_and(crate::machine::Process::has_timer_due);
            host.is_well() && host.serves() && is_due()
        };
        if !self.all_agree() || !self.hosts.iter().any(waits) {
            self.timer_due_since = self.now;
        }
        liveness::check_timer(self.now.since(self.timer_due_since), || self.standing())
    }

    /// Where everybody stands, for a report.
    fn standing(&self) -> Vec<String> {
        let stands = |host: &Host| match host.machine.running().map(|process| process.status()) {
            Some(s) => format!(
                "replica {}: {:?} term {} serving {} last {} durable {} committed {} applied {} read_only {:?} clock {:?}",
                host.place,
                s.role,
                s.term,
                s.serving,
                s.index_last,
                s.index_durable,
                s.index_committed,
                s.index_applied,
                s.read_only,
                s.clock.alarm
            ),
            None => match host.machine.is_repairing() {
                Some(repairing) => format!("replica {}: {}", host.place, repairing.standing()),
                None => format!("replica {}: {}", host.place, if host.gone { "gone" } else { "down" }),
            },
        };
        self.hosts.iter().map(stands).collect()
    }

    /// The processes end with nothing under way, and leave clean journals; alone, the next one finds the same.
    fn stop_in_good_order(&mut self) -> Result<(), Violation> {
        let deadline = self.now.plus(liveness::QUIET_WITHIN_NS);
        let is_busy = |host: &Host| {
            host.is_well() && host.is_turning() && (host.busy || host.machine.disk().next_due().is_some())
        };
        while self.hosts.iter().any(is_busy) || !self.all_agree() {
            if self.over {
                return Ok(());
            }
            self.step_one()?;
            if self.now >= deadline {
                return liveness::check(&self.standing(), &["something is under way for ever".to_owned()]);
            }
        }
        for place in self.running_well() {
            self.check_served(place)?;
        }
        for place in self.running_well() {
            let host = &mut self.hosts[place];
            host.crash(Crash::Process, self.now, &mut self.links);
            host.restart_at = self.now;
            // Blocks that a snapshot stands in for may be gone, where bits rot or the device lies, and no start reads them.
            let disk = host.disk();
            if !disk.has_rotten(journal::Dir::Journal) && disk.damaged_writes().is_empty() {
                journal_clean::after_stop(&host.mirror, host.machine.disk())?;
            }
        }
        if self.hosts.len() > 1 {
            return Ok(());
        }
        while !self.hosts[0].serves() && !self.over {
            self.step_one()?;
            if self.now >= deadline {
                return liveness::check(&self.standing(), &[]);
            }
        }
        Ok(())
    }
}

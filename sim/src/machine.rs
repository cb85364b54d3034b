//! One machine: its disk, and the process on it. The process is the shipped replica with the shipped acceptor in front,
//! turned as a node turns them; it ends in the middle of whatever it does, and the next one starts on what is left.

use std::collections::BTreeMap;

use gateways::fix::{Acceptor, ConnectionId};
use journal::{Dir, FileRef, Founders, Identity, Refusal};
use protocol::event::Event;
use protocol::{ClusterEpoch, EventBody, MonoNanos, NodeId};
use replicas::{Now, Replica, ReplicaFault, Role, SnapshotJob, StartFault, Status, Timing};

use crate::disk::SimDisk;
use crate::knobs::Knobs;
use crate::link::Link;
use crate::network::{self, Carried};
use crate::repairing::Repairing;
use crate::workload::setup;

/// Bytes that one read of the outbox may return.
const OUTBOX_READ_BYTES: usize = 16 << 10;

/// All connections, by number.
pub type Links = BTreeMap<ConnectionId, Link>;

/// One machine.
pub struct Machine {
    place: usize,
    disk: SimDisk,
    knobs: Knobs,
    process: Option<Process>,
    /// Instead of a process that serves.
    repairing: Option<Repairing>,
    /// Lives that were begun.
    lives: u64,
    /// Machines of the whole cluster that were lost when this one was put in its place: no id is below one that was given before.
    generation: u64,
}

/// A running process.
pub struct Process {
    replica: Replica<SimDisk>,
    acceptor: Acceptor,
    /// Definitions from before this life were given to the acceptor.
    informed: bool,
    /// A snapshot that another thread of a node would be writing: written when its time has come.
    snapshot: Option<(MonoNanos, SnapshotJob)>,
    disk: SimDisk,
    place: usize,
    /// As the last turn left it.
    status: Status,
    /// Whether a timer of the engine was due then.
    timer_due: bool,
    /// Which reign of which life this is, if it leads.
    led: bool,
    /// Snapshots that were reported to be durable: file and bytes.
    snapshots: Vec<FileRef>,
}

/// What left a process in a turn that it survived.
#[derive(Default)]
pub struct Left {
    /// Events, for gateways and clients.
    pub events: Vec<Event>,
    /// Messages, for other replicas.
    pub messages: Vec<Carried>,
    /// Snapshots that are durable from now on.
    pub snapshots: Vec<FileRef>,
}

/// How long a snapshot waits for its thread.
const SNAPSHOT_DELAY_NS: u64 = 700_000;

/// How a life began.
pub enum Started {
    /// With a replica.
    Whole,
    /// With a damaged log that is to be repaired, and why.
    Damaged(StartFault),
}

/// What a turn came to.
pub enum Turn {
    /// Something was done: there may be more to do at once.
    Worked,
    /// Nothing was to be done.
    Idle,
    /// The disk says that the process is dead.
    Killed,
    /// The process aborted itself.
    Aborted(ReplicaFault),
}

impl Machine {
    /// A machine with an empty disk.
    #[must_use]
    pub fn new(place: usize, disk: SimDisk, knobs: Knobs) -> Self {
        Self { place, disk, knobs, process: None, repairing: None, lives: 0, generation: 0 }
    }

    /// Another one takes its place, with an empty disk.
    pub fn replace(&mut self, disk: SimDisk, generation: u64) {
        self.end();
        self.disk = disk;
        self.generation = generation;
    }

    /// Its replica.
    #[must_use]
    pub fn node(&self) -> NodeId {
        network::node_at(self.place, self.knobs.nodes, self.generation)
    }

    /// Its disk.
    #[must_use]
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// The process, if one runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// The same, to look at.
    #[must_use]
    pub fn running(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// The process that repairs its log, if one runs.
    pub fn repairing(&mut self) -> Option<&mut Repairing> {
        self.repairing.as_mut()
    }

    /// The same, to look at.
    #[must_use]
    pub fn is_repairing(&self) -> Option<&Repairing> {
        self.repairing.as_ref()
    }

    /// Lives that were begun.
    #[must_use]
    pub fn lives(&self) -> u64 {
        self.lives
    }

    /// Begins a life, on whatever is on the disk. `seed` is what a process draws from its operating system.
    ///
    /// # Errors
    /// [`StartFault`], also if the process was killed on the way.
    pub fn start(&mut self, seed: u64) -> Result<Started, StartFault> {
        self.lives += 1;
        let mut journal_options = journal::Options::new(seed);
        journal_options.segment_bytes = self.knobs.segment_bytes;
        journal_options.block_bytes_max = self.knobs.block_bytes_max;
        let genesis = setup::genesis();
        let options = replicas::Options {
            timing: Timing::LAN,
            snapshots: replicas::SnapshotPolicy { journal_bytes: self.knobs.snapshot_bytes, interval_ms: 1 },
            genesis: genesis.clone(),
        };
        let nodes: Vec<NodeId> = (1..=self.knobs.nodes as u64).map(NodeId).collect();
        let founders = Founders::new(&nodes).unwrap_or(Founders::alone(self.node()));
        let identity =
            Identity { cluster: genesis.cluster, epoch: ClusterEpoch(1), node: self.node(), founders };
        let opened = Replica::open(self.disk.clone(), self.disk.clone(), journal_options, &options);
        let replica = match opened {
            // Where the making of a cluster was interrupted it is made again; `create` refuses where blocks are lost.
            Err(StartFault::Refused(Refusal::Empty | Refusal::MetaLost)) => {
                Replica::create(self.disk.clone(), self.disk.clone(), identity, journal_options, &options)?
            }
            Err(fault) if self.knobs.nodes > 1 && fault.is_damage() => {
                let (place, nodes) = (self.place, self.knobs.nodes);
                self.repairing = Some(Repairing::open(place, nodes, self.disk.clone(), journal_options)?);
                return Ok(Started::Damaged(fault));
            }
            opened => opened?,
        };
        let acceptor = Acceptor::new(gateways::fix::Options::default());
        let status = replica.status();
        self.process = Some(Process {
            replica,
            acceptor,
            informed: false,
            snapshot: None,
            disk: self.disk.clone(),
            place: self.place,
            status,
            timer_due: false,
            led: false,
            snapshots: Vec::new(),
        });
        Ok(Started::Whole)
    }

    /// The process is gone.
    pub fn end(&mut self) {
        (self.process, self.repairing) = (None, None);
    }

    /// One turn of the process.
    pub fn turn(&mut self, now: Now, links: &mut Links, left: &mut Left) -> Turn {
        let (node, nodes) = (self.node(), self.knobs.nodes);
        let Some(process) = &mut self.process else { return Turn::Idle };
        let worked = process.turn(now, links, &mut left.events);
        // Between effects and their way out is a place to die as well.
        self.disk.boundary();
        match worked {
            Err(fault) if !self.disk.is_dead() => Turn::Aborted(fault),
            Err(_) => Turn::Killed,
            Ok(_) if self.disk.is_dead() => Turn::Killed,
            Ok(worked) => {
                let outbound = process.replica.take_outbound();
                left.messages = network::carried(node, nodes, outbound);
                left.snapshots = std::mem::take(&mut process.snapshots);
                let sent = process.flush(now, links);
                process.look_at_status();
                if worked || sent || !left.messages.is_empty() { Turn::Worked } else { Turn::Idle }
            }
        }
    }
}

impl Process {
    /// The replica.
    pub fn replica(&mut self) -> &mut Replica<SimDisk> {
        &mut self.replica
    }

    /// What the replica tells of itself, as the last turn left it.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Whether something is to happen by itself, and has not.
    #[must_use]
    pub fn has_timer_due(&self) -> bool {
        self.timer_due
    }

    /// When there is something to do although nothing comes.
    #[must_use]
    pub fn next_deadline(&self) -> MonoNanos {
        let others =
            self.acceptor.next_deadline().into_iter().chain(self.snapshot.as_ref().map(|(due, _)| *due));
        others.fold(self.replica.next_deadline(), MonoNanos::min)
    }

    fn turn(&mut self, now: Now, links: &mut Links, events: &mut Vec<Event>) -> Result<bool, ReplicaFault> {
        let mut worked = false;
        // Clients are served by the cluster's time, which is not this machine's.
        let own = now;
        let now = self.replica.cluster_time(own);
        if self.replica.serving() {
            worked |= self.read(now, links);
            self.acceptor.tick(now.mono, now.wall, self.replica.sequencer());
        }
        worked |= self.replica.step(own, events)?;
        self.follow_leadership(now, links);
        if !self.informed && self.replica.serving() {
            self.informed = true;
            for body in self.replica.engine().definitions() {
                self.acceptor.define(&body);
            }
        }
        for event in events.iter() {
            self.acceptor.deliver(event, now.mono, now.wall);
        }
        self.acceptor.resume(now.mono, now.wall, self.replica.sequencer());
        self.read_outbox(now, links);
        self.take_snapshot(now);
        self.timer_due = self.replica.engine().next_timer().is_some_and(|at| at <= now.wall);
        Ok(worked)
    }

    /// Takes note of what the turn has made of the replica.
    fn look_at_status(&mut self) {
        for path in self.replica.take_paths().iter() {
            self.disk.trace().sometimes(path.name());
        }
        let before = std::mem::replace(&mut self.status, self.replica.status());
        let (before, now) = (&before, &self.status);
        let trace = self.disk.trace();
        if before.clock.alarm.is_none() && now.clock.alarm.is_some() {
            trace.sometimes("clock found to be wrong");
        }
        if before.clock.alarm.is_some() && now.clock.alarm.is_none() {
            trace.sometimes("clock found to be right again");
        }
        if now.clock.alarm.is_some() && now.elections.given_away > before.elections.given_away {
            trace.sometimes("lead given away over a wrong clock");
        }
    }

    /// A gateway beside a leader that leads no more lets its clients go: they find the next one. What it knew of sessions
    /// is of an old term.
    fn follow_leadership(&mut self, now: Now, links: &mut Links) {
        let leads = self.replica.status().role == Role::Leader;
        if self.led && !leads {
            self.disk.trace().sometimes("leadership lost by a living process");
            self.acceptor = Acceptor::new(gateways::fix::Options::default());
            self.informed = false;
            for link in links.values_mut().filter(|link| link.is_open() && link.machine() == self.place) {
                link.machine_dies(now.mono);
            }
        }
        self.led = leads;
    }

    /// Answers the gateway's wishes for outputs that are no longer at hand. Where they cannot be read the connection is
    /// closed, as a node does: never a gap fill over what was said.
    fn read_outbox(&mut self, now: Now, links: &mut Links) {
        while let Some(read) = self.acceptor.outbox_read() {
            let found =
                self.replica.read_outbox(read.session, read.epoch, read.from, read.to, OUTBOX_READ_BYTES);
            match found {
                Ok(events) => self.acceptor.outbox_done(&read, &events, now.mono, now.wall),
                Err(_) => {
                    self.disk.trace().sometimes("outputs could not be read");
                    self.acceptor.closed(read.connection, now.mono, self.replica.sequencer());
                    if let Some(link) = links.get_mut(&read.connection) {
                        link.machine_closes(now.mono);
                    }
                }
            }
        }
    }

    fn take_snapshot(&mut self, now: Now) {
        match self.snapshot.take() {
            Some((due, job)) if due <= now.mono => {
                let before = self.disk.peek_names(Dir::Snapshots);
                let written = job.write(&mut self.disk);
                if written.is_ok() {
                    let names = self.disk.peek_names(Dir::Snapshots).into_iter();
                    let new = names.filter(|name| !before.contains(name));
                    self.snapshots.extend(new.map(|name| FileRef::new(Dir::Snapshots, name)));
                }
                self.disk.trace().sometimes(if written.is_ok() {
                    "snapshot taken"
                } else {
                    "snapshot failed"
                });
                self.replica.end_snapshot(written);
            }
            Some(later) => self.snapshot = Some(later),
            None => {
                let due = now.mono.plus(SNAPSHOT_DELAY_NS);
                self.snapshot = self.replica.begin_snapshot().map(|job| (due, job));
            }
        }
    }

    /// Takes connections, their bytes and their ends.
    fn read(&mut self, now: Now, links: &mut Links) -> bool {
        let mut worked = false;
        for (&id, link) in links.iter_mut().filter(|(_, link)| link.is_open() && link.machine() == self.place)
        {
            if link.accept() {
                self.acceptor.connect(id, now.mono);
            }
            while self.acceptor.wants_read(id)
                && let Some(bytes) = link.machine_receives(now.mono)
            {
                worked = true;
                self.acceptor.receive(id, &bytes, now.mono, now.wall, self.replica.sequencer());
            }
            if link.client_is_gone(now.mono) || (link.is_abandoned(now.mono) && !self.acceptor.wants_read(id))
            {
                worked = true;
                self.acceptor.closed(id, now.mono, self.replica.sequencer());
                link.machine_closes(now.mono);
            }
        }
        worked
    }

    /// Hands output to the connections and closes those that are over.
    fn flush(&mut self, now: Now, links: &mut Links) -> bool {
        let mut sent = false;
        for (&id, link) in links.iter_mut().filter(|(_, link)| link.is_open() && link.machine() == self.place)
        {
            let output = self.acceptor.output(id);
            if !output.is_empty() {
                sent = true;
                let len = output.len();
                link.machine_sends(output, now.mono);
                self.acceptor.sent(id, len);
            }
            if self.acceptor.should_close(id) {
                self.acceptor.closed(id, now.mono, self.replica.sequencer());
                link.machine_closes(now.mono);
            }
        }
        sent
    }
}

/// What an event says about a connection that a client may learn from elsewhere: which epoch its session is in.
#[must_use]
pub fn opened_epoch(event: &Event) -> Option<(ConnectionId, protocol::SessionEpoch)> {
    if let EventBody::SessionOpened(opened) = &event.body {
        Some((ConnectionId(opened.connection), opened.epoch))
    } else {
        None
    }
}

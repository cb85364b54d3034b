//! An acceptor, the naive engine, a queue that can be full, a clock that is set, and peers that can stop reading.

use std::collections::{BTreeMap, BTreeSet};

use gateways::fix::{Acceptor, ConnectionId, Options};
use protocol::record::{EncodedCommand, RecordHeader};
use protocol::submit::{Full, Submit};
use protocol::{Command, MonoNanos, UnixNanos};

use crate::engine::{Engine, definitions, sessions};
use crate::shipped::Shipped;

pub(crate) const SECOND: u64 = 1_000_000_000;
/// 2026-01-05 12:00:00 UTC.
pub(crate) const T0: UnixNanos = UnixNanos(1_767_614_400 * SECOND);

/// Takes commands until its room is used up.
pub(crate) struct Queue {
    pub(crate) records: Vec<(RecordHeader, Command)>,
    pub(crate) room: usize,
    /// Only what may use the reserved part is taken.
    pub(crate) reserved_only: bool,
}

impl Submit for Queue {
    fn submit(&mut self, header: &RecordHeader, _: MonoNanos, command: &Command) -> Result<(), Full> {
        if self.reserved_only && !command.has_reserved_room() {
            return Err(Full);
        }
        self.room = self.room.checked_sub(1).ok_or(Full)?;
        self.records.push((*header, command.clone()));
        Ok(())
    }

    fn submit_encoded(
        &mut self,
        header: &RecordHeader,
        received: MonoNanos,
        command: &EncodedCommand<'_>,
    ) -> Result<(), Full> {
        let command = protocol::wire::decode(command.kind, command.version, &command.body.concat());
        self.submit(header, received, &command.unwrap())
    }
}

pub(crate) struct World {
    pub(crate) acceptor: Acceptor,
    pub(crate) engine: Engine,
    /// Executes instead of it, if there is one.
    shipped: Option<Shipped>,
    pub(crate) queue: Queue,
    pub(crate) elapsed: u64,
    pub(crate) open: BTreeSet<u64>,
    /// Peers that do not read.
    pub(crate) slow: BTreeSet<u64>,
    pub(crate) received: BTreeMap<u64, Vec<u8>>,
    /// Events are committed, or wait for a quorum.
    pub(crate) quorum: bool,
    /// Submissions since they were last looked at.
    pub(crate) log: Vec<(RecordHeader, Command)>,
    pub(crate) closed: Vec<u64>,
    /// Outputs that one read of the outbox returns at most.
    pub(crate) outbox_batch: usize,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let mut engine = Engine::default();
        let mut acceptor = Acceptor::new(options);
        for definition in definitions() {
            acceptor.define(&definition);
        }
        for session in sessions() {
            acceptor.define(&engine.define(session));
        }
        Self {
            acceptor,
            engine,
            shipped: None,
            queue: Queue { records: Vec::new(), room: usize::MAX, reserved_only: false },
            elapsed: 0,
            open: BTreeSet::new(),
            slow: BTreeSet::new(),
            received: BTreeMap::new(),
            quorum: true,
            log: Vec::new(),
            closed: Vec::new(),
            outbox_batch: 3,
        }
    }

    /// The same around the shipped engine.
    pub(crate) fn shipped(options: Options) -> Self {
        let shipped = Some(Shipped::new(&definitions(), &sessions()));
        Self { shipped, ..Self::new(options) }
    }

    pub(crate) fn now(&self) -> MonoNanos {
        MonoNanos(1_000 * SECOND + self.elapsed)
    }

    pub(crate) fn wall(&self) -> UnixNanos {
        T0.plus(self.elapsed)
    }

    pub(crate) fn connect(&mut self, connection: u64) {
        self.acceptor.connect(ConnectionId(connection), self.now());
        self.open.insert(connection);
    }

    /// Passes bytes in, as far as the acceptor reads; the rest is returned.
    pub(crate) fn receive<'a>(&mut self, connection: u64, bytes: &'a [u8]) -> &'a [u8] {
        if !self.open.contains(&connection) || !self.acceptor.wants_read(ConnectionId(connection)) {
            return bytes;
        }
        let (now, wall) = (self.now(), self.wall());
        self.acceptor.receive(ConnectionId(connection), bytes, now, wall, &mut self.queue);
        self.settle();
        &[]
    }

    pub(crate) fn drop_connection(&mut self, connection: u64) {
        self.open.remove(&connection);
        let now = self.now();
        self.acceptor.closed(ConnectionId(connection), now, &mut self.queue);
        self.settle();
    }

    /// Lets everything that can happen happen, at this instant.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut moved = self.execute();
            let (now, wall) = (self.now(), self.wall());
            let before = self.queue.records.len();
            self.acceptor.resume(now, wall, &mut self.queue);
            moved |= self.queue.records.len() > before;
            moved |= self.serve_outbox();
            moved |= self.carry_bytes();
            if !moved {
                return;
            }
        }
    }

    fn execute(&mut self) -> bool {
        if !self.quorum {
            return false;
        }
        let records = std::mem::take(&mut self.queue.records);
        let (now, wall) = (self.now(), self.wall());
        for (header, command) in &records {
            let events = match &mut self.shipped {
                None => self.engine.execute(header, command, wall),
                Some(shipped) => {
                    let events = shipped.execute(header, command, wall);
                    self.engine.outputs.extend(events.iter().filter(|event| event.output.is_some()).cloned());
                    events
                }
            };
            for event in events {
                self.acceptor.deliver(&event, now, wall);
            }
        }
        let moved = !records.is_empty();
        self.log.extend(records);
        moved
    }

    fn serve_outbox(&mut self) -> bool {
        let mut moved = false;
        while let Some(read) = self.acceptor.outbox_read() {
            let wanted = |event: &&protocol::event::Event| {
                event.output.is_some_and(|number| {
                    number.session == read.session
                        && number.epoch == read.epoch
                        && (read.from..=read.to).contains(&number.out_seq)
                        && number.out_seq.0 >= self.engine.floor
                })
            };
            let events: Vec<_> =
                self.engine.outputs.iter().filter(wanted).take(self.outbox_batch).cloned().collect();
            self.acceptor.outbox_done(&read, &events, self.now(), self.wall());
            moved = true;
        }
        moved
    }

    fn carry_bytes(&mut self) -> bool {
        let mut moved = false;
        for connection in self.open.clone() {
            let id = ConnectionId(connection);
            if !self.slow.contains(&connection) {
                let bytes = self.acceptor.output(id).to_vec();
                moved |= !bytes.is_empty();
                self.received.entry(connection).or_default().extend_from_slice(&bytes);
                self.acceptor.sent(id, bytes.len());
            }
            if self.acceptor.should_close(id) {
                self.open.remove(&connection);
                self.closed.push(connection);
                let now = self.now();
                self.acceptor.closed(id, now, &mut self.queue);
                moved = true;
            }
        }
        moved
    }

    /// Lets time pass, stopping at every deadline.
    pub(crate) fn wait(&mut self, nanos: u64) {
        let until = self.elapsed + nanos;
        loop {
            let next = self.acceptor.next_deadline().map_or(u64::MAX, |at| at.0 - 1_000 * SECOND);
            self.elapsed = next.clamp(self.elapsed, until);
            let (now, wall) = (self.now(), self.wall());
            self.acceptor.tick(now, wall, &mut self.queue);
            self.settle();
            let again = self.acceptor.next_deadline().is_some_and(|at| at <= now);
            assert!(!again, "a deadline that has passed stays: {now:?}");
            if self.elapsed == until {
                return;
            }
        }
    }

    /// What a peer has received since it last looked.
    pub(crate) fn take_received(&mut self, connection: u64) -> Vec<u8> {
        self.received.remove(&connection).unwrap_or_default()
    }
}

//! A gateway process's end of its connections to the cluster: what it has submitted and not heard of is kept, and goes to
//! whoever leads next.
//!
//! It is connected to every node, because a leader that has died says nothing, and the next one does: as soon as a node says that
//! it leads in a higher term, the gateway turns to it.
//!
//! Sans-I/O: the caller connects, and carries whole messages. The clients of the gateway notice nothing of a change
//! of leader but a delay: commands wait here, each is executed once because it has a number, and events go on behind the last
//! one that was heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::event::Event;
use protocol::limits::{LINK_BYTES_MAX, LINK_RECORDS_MAX};
use protocol::link::{self, Cursor, FromCluster, FromGateway, LinkFault};
use protocol::record::{self, EncodedCommand, Record, RecordFault, RecordHeader};
use protocol::submit::{Full, Submit};
use protocol::time::NANOS_PER_SECOND;
use protocol::{Command, MonoNanos, NodeId, Term};

use crate::fix::OutboxRead;

/// Between two signs of life while there is nothing else to say.
const ALIVE_NANOS: u64 = NANOS_PER_SECOND;

/// What a message of the cluster says to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The node leads, and is turned to: the connection to the one before, if there is one, is to be closed.
    Leads(Option<NodeId>),
    /// It says that it leads, and another one does by now.
    OutOfDate,
    /// Another node leads; this one closes the connection.
    Elsewhere(Option<NodeId>),
    /// The link is open.
    Welcome,
    /// Another process runs under this gateway's id: this one has to end.
    Superseded,
    /// What followed meanwhile is not known any more: clients have to connect again, and the gateway to begin anew.
    TooFarBehind,
    /// What is defined.
    Definitions(Vec<Event>),
    /// What followed, in order.
    Events(Vec<Event>),
    /// What a read found.
    Outputs(OutboxRead, Vec<Event>),
    /// Outputs that are kept and cannot be read: the connection that needs them has to end.
    Unreadable(OutboxRead),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No leader is known, or the connection to it is no more.
    Down,
    /// Hello is to be said.
    Connected,
    Greeted,
    Open,
}

/// A command that has not been executed, as far as is known.
struct Pending {
    number: u64,
    record: Vec<u8>,
}

/// The gateway's end.
pub struct Uplink {
    instance: u64,
    /// Connected nodes to which nothing has been said.
    silent: BTreeSet<NodeId>,
    /// Who leads, if it is connected.
    leader: Option<NodeId>,
    /// The highest in which a node has said that it leads.
    term: Term,
    /// Of the connection to the leader.
    state: State,
    /// The place that was come to; `None` before the first events, which come behind all definitions: until then a next
    /// leader has to begin with these.
    cursor: Option<Cursor>,
    /// Oldest first, without gaps.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    /// The number of the next command.
    next: u64,
    /// The last number that was sent through this connection.
    sent: u64,
    reads: BTreeMap<u64, OutboxRead>,
    unsent_reads: VecDeque<u64>,
    next_read: u64,
    next_alive: MonoNanos,
    alive_due: bool,
}

impl Uplink {
    /// Of a process that drew `instance`.
    #[must_use]
    pub fn new(instance: u64) -> Self {
        Self {
            instance,
            silent: BTreeSet::new(),
            leader: None,
            term: Term(0),
            state: State::Down,
            cursor: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            next: 1,
            sent: 0,
            reads: BTreeMap::new(),
            unsent_reads: VecDeque::new(),
            next_read: 1,
            next_alive: MonoNanos(0),
            alive_due: false,
        }
    }

    /// Connected to a node, whether or not it was noticed that the connection before is no more.
    pub fn connected(&mut self, node: NodeId) {
        self.disconnected(node);
        self.silent.insert(node);
    }

    /// The connection is no more. What the leader was not heard of goes through the next one.
    pub fn disconnected(&mut self, node: NodeId) {
        self.silent.remove(&node);
        if self.leader == Some(node) {
            self.turn_to(None);
        }
    }

    fn turn_to(&mut self, leader: Option<NodeId>) {
        self.leader = leader;
        self.state = if leader.is_some() { State::Connected } else { State::Down };
        self.unsent_reads = self.reads.keys().copied().collect();
    }

    /// Who leads, if it is connected.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// The highest term in which a node has said that it leads.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// Whether a leader has said welcome.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Commands that have not been executed, as far as is known.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Asks for outputs; the answer comes as [`Heard::Outputs`].
    pub fn read(&mut self, read: OutboxRead) {
        self.reads.insert(self.next_read, read);
        self.unsent_reads.push_back(self.next_read);
        self.next_read += 1;
    }

    /// Does what is due by the clock.
    pub fn tick(&mut self, now: MonoNanos) {
        if now >= self.next_alive {
            self.next_alive = now.plus(ALIVE_NANOS);
            self.alive_due = true;
        }
    }

    /// When to call [`Self::tick`] next.
    #[must_use]
    pub fn next_deadline(&self) -> MonoNanos {
        self.next_alive
    }

    /// The next message for a node, if there is one.
    pub fn next_message(&mut self, node: NodeId) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        if self.silent.remove(&node) {
            FromGateway::Watch.write(&mut message);
            return Some(message);
        }
        if self.leader != Some(node) {
            return None;
        }
        match self.state {
            State::Down | State::Greeted => return None,
            State::Connected => {
                self.state = State::Greeted;
                FromGateway::Hello { instance: self.instance, resume: self.cursor }.write(&mut message);
            }
            State::Open => {
                if core::mem::take(&mut self.alive_due) {
                    FromGateway::Alive.write(&mut message);
                } else if let Some(id) = self.unsent_reads.pop_front() {
                    let OutboxRead { session, epoch, from, to, .. } = *self.reads.get(&id)?;
                    FromGateway::Read { read: id, session, epoch, from, to }.write(&mut message);
                } else {
                    let oldest = self.pending.front()?.number;
                    let at = usize::try_from((self.sent + 1).saturating_sub(oldest)).ok()?;
                    let Pending { number, record } = self.pending.get(at)?;
                    let record = Record::read(record).ok()?;
                    self.sent = *number;
                    FromGateway::Command { number: *number, record }.write(&mut message);
                }
            }
        }
        Some(message)
    }

    /// Takes a message of a node.
    ///
    /// # Errors
    /// [`LinkFault`]: the connection is to be closed.
    pub fn receive(&mut self, node: NodeId, bytes: &[u8]) -> Result<Heard, LinkFault> {
        let state = if self.leader == Some(node) { self.state } else { State::Down };
        match (FromCluster::read(bytes)?, state) {
            (FromCluster::Leads { term }, State::Down | State::Connected | State::Greeted) => {
                Ok(self.hear_of(node, term))
            }
            (FromCluster::Elsewhere { leader }, State::Greeted | State::Open) => Ok(Heard::Elsewhere(leader)),
            (FromCluster::Superseded, State::Greeted | State::Open) => Ok(Heard::Superseded),
            (FromCluster::TooFarBehind, State::Greeted | State::Open) => Ok(Heard::TooFarBehind),
            (FromCluster::Welcome { executed, cursor }, State::Greeted) => {
                if self.cursor.is_some_and(|ours| ours != cursor) {
                    return Err(LinkFault::Field("cursor"));
                }
                self.executed(executed)?;
                self.sent = executed;
                self.state = State::Open;
                Ok(Heard::Welcome)
            }
            (FromCluster::Definitions { events }, State::Open) => {
                link::events(events).map(Heard::Definitions)
            }
            (FromCluster::Events { cursor, executed, events }, State::Open) => {
                let events = link::events(events)?;
                self.executed(executed)?;
                self.cursor = Some(cursor);
                Ok(Heard::Events(events))
            }
            (FromCluster::Outputs { read, events }, State::Open) => {
                let events = link::events(events)?;
                Ok(Heard::Outputs(self.answered(read)?, events))
            }
            (FromCluster::Unreadable { read }, State::Open) => Ok(Heard::Unreadable(self.answered(read)?)),
            (_, State::Down | State::Connected | State::Greeted | State::Open) => {
                Err(LinkFault::Kind(bytes.first().copied().unwrap_or_default()))
            }
        }
    }

    fn hear_of(&mut self, node: NodeId, term: Term) -> Heard {
        if self.leader == Some(node) {
            // It has lost the lead and got it back before our hello was there.
            self.term = self.term.max(term);
            return Heard::Leads(None);
        }
        let is_newer = term > self.term || (term == self.term && self.leader.is_none());
        if !is_newer {
            return Heard::OutOfDate;
        }
        self.term = term;
        let before = self.leader;
        self.turn_to(Some(node));
        Heard::Leads(before)
    }

    /// Forgets what has been executed.
    fn executed(&mut self, number: u64) -> Result<(), LinkFault> {
        let known = self.next - 1 - self.pending.len() as u64;
        if number < known || number >= self.next {
            return Err(LinkFault::Field("executed"));
        }
        while let Some(done) = self.pending.pop_front_if(|pending| pending.number <= number) {
            self.pending_bytes -= done.record.len();
        }
        Ok(())
    }

    fn answered(&mut self, read: u64) -> Result<OutboxRead, LinkFault> {
        self.reads.remove(&read).ok_or(LinkFault::Field("read"))
    }
}

impl Uplink {
    /// Keeps a record of at most `record_bytes` behind those that wait, if there is room.
    fn take(
        &mut self,
        record_bytes: usize,
        is_reserved: bool,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), RecordFault>,
    ) -> Result<(), Full> {
        // As at the sequencer, the last eighth is for what takes risk off the book or administers.
        let (records_max, bytes_max) = if is_reserved {
            (LINK_RECORDS_MAX, LINK_BYTES_MAX)
        } else {
            (LINK_RECORDS_MAX / 8 * 7, LINK_BYTES_MAX / 8 * 7)
        };
        if self.pending.len() >= records_max || self.pending_bytes + record_bytes > bytes_max {
            return Err(Full);
        }
        let mut record = Vec::new();
        write(&mut record).map_err(|_| Full)?;
        self.pending_bytes += record.len();
        self.pending.push_back(Pending { number: self.next, record });
        self.next += 1;
        Ok(())
    }
}

impl Submit for Uplink {
    fn submit(&mut self, header: &RecordHeader, _: MonoNanos, command: &Command) -> Result<(), Full> {
        let record_bytes = record::bytes_max(command.kind());
        self.take(record_bytes, command.has_reserved_room(), |out| header.write(command, out))
    }

    fn submit_encoded(
        &mut self,
        header: &RecordHeader,
        _: MonoNanos,
        command: &EncodedCommand<'_>,
    ) -> Result<(), Full> {
        self.take(header.encoded_bytes(command), false, |out| header.write_encoded(command, out))
    }
}

//! The cluster's end of the connections of gateway processes: who is let in, what they submit, and what they are told.
//!
//! Only the leader serves, in its term, and tells those who watch that it leads. Commands go to the sequencer in the order of their
//! numbers, and what it has no room for holds back all of its gateway's. What the engine has executed, [`Engine::gateway`] says,
//! so that nothing here has to survive.
//!
//! [`Engine::gateway`]: engine::Engine::gateway

use std::collections::{BTreeMap, VecDeque};

use journal::Disk;
use protocol::commands::{GatewayDown, GatewayStart};
use protocol::event::Event;
use protocol::link::{Cursor, FromCluster, FromGateway, LinkFault};
use protocol::record::{GatewayNumber, Record, RecordHeader};
use protocol::submit::Submit;
use protocol::time::NANOS_PER_SECOND;
use protocol::{
    Command, EventBody, GatewayId, MonoNanos, OutSeq, Seq, SessionEpoch, SessionId, Term, UnixNanos,
};

use crate::Replica;

/// Silence after which a gateway's sessions are taken down.
pub const LEASE_NANOS: u64 = 10 * NANOS_PER_SECOND;
/// Between two looks at leases.
const LEASE_CHECK_NANOS: u64 = NANOS_PER_SECOND / 4;
/// Bytes of events in one message, about.
const EVENTS_BYTES_MAX: usize = 64 << 10;
/// Reads of outputs that wait for their turn.
const READS_MAX: usize = 64;

/// What is done in one turn for all gateways together. What is left waits for the next turn, and with it, in the end, the gateways.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// Bytes of messages.
    bytes: usize,
    /// Reads of outputs, which may be on the disk.
    reads: usize,
    /// Events of the past that are looked at, most of them another gateway's.
    looks: usize,
    /// Processes that begin: each is told all definitions, which are copied for it.
    beginnings: usize,
}

impl Budget {
    const TURN: Self = Self { bytes: 512 << 10, reads: 4, looks: 64 << 10, beginnings: 1 };
}

/// A connection of a gateway process, by the number that the node gave it. Numbers are not used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(
    /// The bare number.
    pub u64,
);

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come.
    Silent,
    /// It waits for this node to lead, and knows by now of this term.
    Watching { told: Option<Term> },
    /// It has said hello, and is answered as soon as somebody leads.
    Greeted { instance: u64, resume: Option<Cursor> },
    /// Its process is new: the record that says so is on its way.
    Starting { instance: u64 },
    /// It submits and is told.
    Open { instance: u64, cursor: Cursor },
    /// Nothing is taken any more; it is closed when what waits for it has gone.
    Ended,
}

/// The turn has no more room for what there is.
struct HeldBack;

/// Outputs that a gateway asked for.
struct Wanted {
    read: u64,
    session: SessionId,
    epoch: SessionEpoch,
    from: OutSeq,
    to: OutSeq,
}

/// A command that waits for room, and since when it is here.
struct Waiting {
    header: RecordHeader,
    received: MonoNanos,
    command: Command,
}

/// One connection.
struct Link {
    gateway: GatewayId,
    state: State,
    heard: MonoNanos,
    /// A command that the sequencer had no room for.
    waiting: Option<Waiting>,
    reads: VecDeque<Wanted>,
    /// Definitions that have not been sent.
    definitions: VecDeque<EventBody>,
    /// Whole messages, before all else.
    answers: VecDeque<Vec<u8>>,
    /// As told last.
    executed: u64,
    /// It asked for a sign of life.
    asked: bool,
}

/// All connections of gateway processes to this node.
pub struct Links {
    links: BTreeMap<LinkId, Link>,
    /// The term that is served.
    term: Option<Term>,
    /// Since when each lease runs, of gateways that are not connected; at the beginning of a term all do.
    silent_since: BTreeMap<GatewayId, MonoNanos>,
    began: MonoNanos,
    next_lease_check: MonoNanos,
    /// By gateway: the process whose start is on its way and not applied. Until it is, nobody else is let in under that
    /// id: what they submitted would come behind the start, and be counted as the new process's.
    starting: BTreeMap<GatewayId, u64>,
    /// What is left of the turn.
    budget: Budget,
    /// Somebody waits for the next turn.
    is_held_back: bool,
    /// Leases that ended here.
    pub leases_ended: u64,
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

impl Links {
    /// No connections.
    #[must_use]
    pub fn new() -> Self {
        Self {
            links: BTreeMap::new(),
            term: None,
            silent_since: BTreeMap::new(),
            began: MonoNanos(0),
            next_lease_check: MonoNanos(0),
            starting: BTreeMap::new(),
            budget: Budget::TURN,
            is_held_back: false,
            leases_ended: 0,
        }
    }

    /// A gateway, whose name has been proved, has connected. A connection of it before this one is ended: its
    /// commands could come between those of the new one.
    pub fn connect(&mut self, link: LinkId, gateway: GatewayId, now: MonoNanos) {
        for before in self.links.values_mut().filter(|before| before.gateway == gateway) {
            before.end(None);
        }
        self.links.insert(
            link,
            Link {
                gateway,
                state: State::Silent,
                heard: now,
                waiting: None,
                reads: VecDeque::new(),
                definitions: VecDeque::new(),
                answers: VecDeque::new(),
                executed: 0,
                asked: false,
            },
        );
    }

    /// The connection is no more. What was submitted through it stands.
    pub fn disconnect(&mut self, link: LinkId) {
        if let Some(link) = self.links.remove(&link) {
            let since = self.silent_since.entry(link.gateway).or_default();
            *since = (*since).max(link.heard);
        }
    }

    /// Whether the next message of a connection can be taken now.
    #[must_use]
    pub fn wants(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| link.waiting.is_none() && link.reads.len() < READS_MAX)
    }

    /// Takes a message.
    ///
    /// # Errors
    /// [`LinkFault`]: the connection is to be closed.
    pub fn receive<D: Disk>(
        &mut self,
        link: LinkId,
        bytes: &[u8],
        now: MonoNanos,
        replica: &mut Replica<D>,
    ) -> Result<(), LinkFault> {
        let Some(link) = self.links.get_mut(&link) else { return Ok(()) };
        link.heard = now;
        match (FromGateway::read(bytes)?, link.state) {
            (_, State::Ended) => {}
            (FromGateway::Watch, State::Silent) => link.state = State::Watching { told: None },
            (FromGateway::Hello { instance, resume }, State::Silent | State::Watching { .. }) => {
                link.state = State::Greeted { instance, resume };
            }
            (FromGateway::Alive, State::Open { .. }) => link.asked = true,
            (FromGateway::Command { number, record }, State::Open { .. }) => {
                link.take(number, &record, now)?;
                link.submit(replica);
            }
            (FromGateway::Read { read, session, epoch, from, to }, State::Open { .. }) => {
                if from > to || from.0 == 0 {
                    return Err(LinkFault::Field("from"));
                }
                link.reads.push_back(Wanted { read, session, epoch, from, to });
            }
            (
                _,
                State::Silent
                | State::Watching { .. }
                | State::Greeted { .. }
                | State::Starting { .. }
                | State::Open { .. },
            ) => {
                return Err(LinkFault::Kind(bytes.first().copied().unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// Does what is due: to be called once a turn, behind the replica's step. Returns whether something was.
    pub fn step<D: Disk>(&mut self, now: MonoNanos, replica: &mut Replica<D>) -> bool {
        self.mind_the_lead(now, replica);
        let leader = replica.leader();
        let mut worked = false;
        (self.budget, self.is_held_back) = (Budget::TURN, false);
        self.starting.retain(|gateway, instance| runs(replica, *gateway) != Some(*instance));
        for link in self.links.values_mut() {
            worked |= if let Some(term) = self.term {
                link.serve(now, term, &mut self.starting, &mut self.budget, replica)
            } else if matches!(link.state, State::Greeted { .. })
                && replica.leading_term().is_none()
                && leader.is_some()
            {
                link.end(Some(FromCluster::Elsewhere { leader }));
                true
            } else {
                false
            };
        }
        if self.term.is_some() && now >= self.next_lease_check {
            self.next_lease_check = now.plus(LEASE_CHECK_NANOS);
            self.end_leases(now, replica);
        }
        worked
    }

    /// The next message for a connection, to be asked for when there is room for it. `None`: nothing, or nothing more in this
    /// turn ([`Self::is_held_back`]).
    pub fn next_message<D: Disk>(&mut self, link: LinkId, replica: &mut Replica<D>) -> Option<Vec<u8>> {
        let message = self.links.get_mut(&link)?.next_message(&mut self.budget, replica);
        match &message {
            Ok(Some(bytes)) => self.budget.bytes = self.budget.bytes.saturating_sub(bytes.len()),
            Ok(None) => {}
            Err(HeldBack) => self.is_held_back = true,
        }
        message.unwrap_or_default()
    }

    /// Whether the turn had not enough room for all that there is to be told: there has to be another one, although nothing
    /// comes.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        self.is_held_back
    }

    /// Whether a connection is to be closed: it has been told everything that it will be told.
    #[must_use]
    pub fn should_close(&self, link: LinkId) -> bool {
        self.links.get(&link).is_none_or(|link| link.state == State::Ended && link.answers.is_empty())
    }

    /// Gateways that are connected and served.
    pub fn open(&self) -> impl Iterator<Item = GatewayId> {
        let open = self.links.values().filter(|link| matches!(link.state, State::Open { .. }));
        open.map(|link| link.gateway)
    }

    fn mind_the_lead<D: Disk>(&mut self, now: MonoNanos, replica: &Replica<D>) {
        let leads = replica.leading_term();
        if self.term.is_some() && self.term != leads {
            self.term = None;
            self.starting.clear();
            let leader = replica.leader();
            // Who only watches is told when this node leads again.
            let watches = |state| matches!(state, State::Silent | State::Watching { .. });
            for link in self.links.values_mut().filter(|link| !watches(link.state)) {
                link.end(Some(FromCluster::Elsewhere { leader }));
            }
        }
        if self.term.is_none() && leads.is_some() && replica.serving() {
            self.term = leads;
            self.began = now;
            self.silent_since.clear();
        }
    }

    /// Takes down the sessions of gateways that have not been heard for too long.
    fn end_leases<D: Disk>(&mut self, now: MonoNanos, replica: &mut Replica<D>) {
        if replica.engine().gateways().next().is_none() {
            return;
        }
        let held: BTreeMap<GatewayId, ()> =
            replica.engine().held_by_gateways().map(|(_, gateway)| (gateway, ())).collect();
        for gateway in held.into_keys() {
            let links = self.links.values_mut().filter(|link| link.gateway == gateway);
            let mut heard = self.silent_since.get(&gateway).copied().unwrap_or_default().max(self.began);
            for link in links {
                if link.waiting.is_some() {
                    // Nobody reads from it: its silence says nothing.
                    link.heard = now;
                }
                heard = heard.max(link.heard);
            }
            let Some(view) = replica.engine().gateway(gateway) else { continue };
            if now.since(heard) < LEASE_NANOS {
                continue;
            }
            let down = GatewayDown { gateway, instance: view.instance };
            if replica.sequencer().submit(&system_header(), now, &down.into()).is_ok() {
                // Again after another lease, should it still hold sessions then.
                self.silent_since.insert(gateway, now);
                self.leases_ended += 1;
            }
        }
    }
}

fn system_header() -> RecordHeader {
    RecordHeader { session: SessionId::SYSTEM, ..RecordHeader::default() }
}

/// The process that runs under an id, by what is applied.
fn runs<D: Disk>(replica: &Replica<D>, gateway: GatewayId) -> Option<u64> {
    replica.engine().gateway(gateway).map(|view| view.instance)
}

impl Link {
    fn end(&mut self, last: Option<FromCluster<'_>>) {
        if self.state == State::Ended {
            return;
        }
        self.state = State::Ended;
        (self.waiting, self.reads, self.definitions) = (None, VecDeque::new(), VecDeque::new());
        self.answers.clear();
        if let Some(last) = last {
            self.answer(&last);
        }
    }

    fn answer(&mut self, message: &FromCluster<'_>) {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        self.answers.push_back(bytes);
    }

    /// Checks a command: of a client's session, and a Logon on a connection of this gateway.
    fn take(&mut self, number: u64, record: &Record<'_>, now: MonoNanos) -> Result<(), LinkFault> {
        let command = record.command().map_err(LinkFault::Record)?;
        if record.header.session < SessionId::CLIENTS_FROM {
            return Err(LinkFault::Field("session"));
        }
        if let Command::SessionLogon(logon) = &command
            && GatewayId::of_connection(logon.connection) != self.gateway
        {
            return Err(LinkFault::Field("connection"));
        }
        // Sessions behind gateways speak FIX. What came of a batch nobody would be told.
        if let Command::CreateAccounts(_) | Command::CreateTransfers(_) = &command {
            return Err(LinkFault::Field("kind"));
        }
        let from = GatewayNumber { gateway: self.gateway, number };
        let header = RecordHeader { gateway: Some(from), ..record.header };
        self.waiting = Some(Waiting { header, received: now, command });
        Ok(())
    }

    /// Hands the command over that waits, if there is room. Returns whether it did.
    fn submit<D: Disk>(&mut self, replica: &mut Replica<D>) -> bool {
        let Some(Waiting { header, received, command }) = &self.waiting else { return false };
        let taken = replica.serving() && replica.sequencer().submit(header, *received, command).is_ok();
        if taken {
            self.waiting = None;
        }
        taken
    }

    /// In the leader's term.
    fn serve<D: Disk>(
        &mut self,
        now: MonoNanos,
        term: Term,
        starting: &mut BTreeMap<GatewayId, u64>,
        budget: &mut Budget,
        replica: &mut Replica<D>,
    ) -> bool {
        let runs = runs(replica, self.gateway);
        match self.state {
            State::Watching { told } if told != Some(term) => {
                self.state = State::Watching { told: Some(term) };
                self.answer(&FromCluster::Leads { term });
                true
            }
            State::Greeted { instance, resume } => {
                self.greet(instance, resume, now, starting, budget, replica)
            }
            State::Starting { instance } if runs == Some(instance) => {
                self.begin(instance, budget, replica);
                true
            }
            State::Open { instance, .. } if runs != Some(instance) => {
                self.end(Some(FromCluster::Superseded));
                true
            }
            State::Open { .. } => self.submit(replica),
            State::Silent | State::Watching { .. } | State::Starting { .. } | State::Ended => false,
        }
    }

    fn greet<D: Disk>(
        &mut self,
        instance: u64,
        resume: Option<Cursor>,
        now: MonoNanos,
        starting: &mut BTreeMap<GatewayId, u64>,
        budget: &mut Budget,
        replica: &mut Replica<D>,
    ) -> bool {
        if starting.get(&self.gateway).is_some_and(|starts| *starts != instance) {
            return false;
        }
        let runs = runs(replica, self.gateway);
        match resume {
            Some(_) if runs != Some(instance) => self.end(Some(FromCluster::Superseded)),
            Some(cursor) if !replica.knows_since(cursor) => self.end(Some(FromCluster::TooFarBehind)),
            Some(cursor) => self.open(instance, cursor, replica),
            // It was welcomed, and did not hear it: nothing has been submitted.
            None if runs == Some(instance) => self.begin(instance, budget, replica),
            None => {
                let start = GatewayStart { gateway: self.gateway, instance };
                if replica.sequencer().submit(&system_header(), now, &start.into()).is_err() {
                    return false;
                }
                starting.insert(self.gateway, instance);
                self.state = State::Starting { instance };
            }
        }
        true
    }

    /// Opens it for a process that knows nothing yet. What was defined, one that resumes has heard.
    fn begin<D: Disk>(&mut self, instance: u64, budget: &mut Budget, replica: &Replica<D>) {
        let Some(left) = budget.beginnings.checked_sub(1) else { return };
        budget.beginnings = left;
        self.open(instance, replica.here(), replica);
        self.definitions = replica.engine().definitions().into();
    }

    fn open<D: Disk>(&mut self, instance: u64, cursor: Cursor, replica: &Replica<D>) {
        self.executed = replica.engine().gateway(self.gateway).map_or(0, |view| view.executed);
        self.answer(&FromCluster::Welcome { executed: self.executed, cursor });
        self.state = State::Open { instance, cursor };
    }

    fn next_message<D: Disk>(
        &mut self,
        budget: &mut Budget,
        replica: &mut Replica<D>,
    ) -> Result<Option<Vec<u8>>, HeldBack> {
        // Of these there are few, and they are short.
        if let Some(answer) = self.answers.pop_front() {
            return Ok(Some(answer));
        }
        let State::Open { instance, cursor } = self.state else { return Ok(None) };
        if budget.bytes == 0 || budget.looks == 0 {
            return Err(HeldBack);
        }
        let mut message = Vec::new();
        if !self.definitions.is_empty() {
            let events = self.take_definitions();
            FromCluster::Definitions { events: &events }.write(&mut message);
            return Ok(Some(message));
        }
        if !replica.knows_since(cursor) {
            // It has taken nothing for so long that the next events are not kept any more.
            self.end(Some(FromCluster::TooFarBehind));
            return Ok(self.answers.pop_front());
        }
        let mut events = Vec::new();
        let behind = replica.events_since(self.gateway, cursor, &mut budget.looks, &mut events);
        let executed = replica.engine().gateway(self.gateway).map_or(0, |view| view.executed);
        let is_at_end = behind == replica.here();
        self.state = State::Open { instance, cursor: behind };
        if !events.is_empty() || executed != self.executed || self.asked {
            self.executed = executed;
            self.asked = false;
            FromCluster::Events { cursor: behind, executed, events: &events }.write(&mut message);
            return Ok(Some(message));
        }
        if !is_at_end {
            return Err(HeldBack);
        }
        if self.reads.is_empty() {
            return Ok(None);
        }
        budget.reads = budget.reads.checked_sub(1).ok_or(HeldBack)?;
        Ok(self.answer_read(replica))
    }

    fn answer_read<D: Disk>(&mut self, replica: &mut Replica<D>) -> Option<Vec<u8>> {
        let Wanted { read, session, epoch, from, to } = self.reads.pop_front()?;
        let (mut events, mut message) = (Vec::new(), Vec::new());
        match replica.read_outbox(session, epoch, from, to, EVENTS_BYTES_MAX) {
            Ok(found) => {
                found.iter().for_each(|event| event.write(&mut events));
                FromCluster::Outputs { read, events: &events }.write(&mut message);
            }
            Err(_) => FromCluster::Unreadable { read }.write(&mut message),
        }
        Some(message)
    }

    fn take_definitions(&mut self) -> Vec<u8> {
        let mut events = Vec::new();
        while events.len() < EVENTS_BYTES_MAX
            && let Some(body) = self.definitions.pop_front()
        {
            Event { output: None, seq: Seq::ZERO, time: UnixNanos(0), body }.write(&mut events);
        }
        events
    }
}

impl<D: Disk> Replica<D> {
    /// The place in the events that this replica has come to.
    fn here(&self) -> Cursor {
        Cursor { through: self.apply.seq(), plus: 0 }
    }

    /// Whether everything that followed behind a place is still known.
    fn knows_since(&self, cursor: Cursor) -> bool {
        self.apply.history().reaches(cursor)
    }

    /// Appends what followed for a gateway behind `cursor`; the place behind that.
    fn events_since(
        &self,
        gateway: GatewayId,
        cursor: Cursor,
        looks: &mut usize,
        out: &mut Vec<u8>,
    ) -> Cursor {
        self.apply.history().read(gateway, cursor, self.apply.seq(), EVENTS_BYTES_MAX, looks, out)
    }
}

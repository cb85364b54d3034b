//! The acceptor: all connections, and which session each is bound to. Everything goes in and comes out through here.

use std::collections::{BTreeMap, BTreeSet};

use protocol::event::Event;
use protocol::events::{ResendDue, SessionClosed, SessionOpened, SessionRefused};
use protocol::limits::FIX_MESSAGE_BYTES_MAX;
use protocol::submit::Submit;
use protocol::time::NANOS_PER_SECOND;
use protocol::{EventBody, MonoNanos, SessionAction, SessionEnd, SessionId, UnixNanos};

use super::ConnectionId;
use super::connection::{Connection, State};
use super::directory::Directory;
use super::encode::Encoder;
use super::message::Field;
use super::output::{OutboxRead, Pen};
use super::render::{Route, Sending};
use super::session::Inbound;

/// What may be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of output waiting for one peer. Above it nothing is read from that peer and live outputs are skipped; they
    /// are read back from the outbox once there is room. One read of the outbox may exceed it.
    pub output_bytes_max: usize,
    /// How long a connection may stay without a Logon.
    pub logon_nanos_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { output_bytes_max: 256 << 10, logon_nanos_max: 10 * NANOS_PER_SECOND }
    }
}

/// FIX 4.4 acceptor for any number of connections. The caller owns sockets and clocks: it passes bytes and times in and
/// takes bytes out. After [`Self::deliver`] call [`Self::resume`]: a session that was opened has input waiting.
pub struct Acceptor {
    options: Options,
    directory: Directory,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The connection of each session that has one.
    bound: BTreeMap<SessionId, ConnectionId>,
    /// A Logout of a session that no connection is bound to: it belongs to the Logon that is refused right after it.
    unclaimed: BTreeMap<SessionId, Event>,
    /// Connections for which [`Self::resume`] may have something to do.
    waiting: BTreeSet<ConnectionId>,
    /// Connections that need something from the outbox.
    behind: BTreeSet<ConnectionId>,
    last_read: ConnectionId,
    /// Nothing is due by the clock before this; it may be too early, never too late.
    deadline: Option<MonoNanos>,
    stopping: bool,
    encoder: Encoder,
    fields: Vec<Field>,
}

impl Acceptor {
    /// An acceptor without connections that knows no session yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            directory: Directory::default(),
            connections: BTreeMap::new(),
            bound: BTreeMap::new(),
            unclaimed: BTreeMap::new(),
            waiting: BTreeSet::new(),
            behind: BTreeSet::new(),
            last_read: ConnectionId(0),
            deadline: None,
            stopping: false,
            encoder: Encoder::default(),
            fields: Vec::new(),
        }
    }

    /// Takes a definition of an asset, a market or a session; for what was defined before this acceptor was made.
    pub fn define(&mut self, event: &EventBody) {
        self.directory.define(event);
    }

    /// A connection was accepted.
    pub fn connect(&mut self, connection: ConnectionId, now: MonoNanos) {
        let until = now.plus(self.options.logon_nanos_max);
        let mut fresh = Connection::new(connection, until);
        if self.stopping {
            fresh.state = State::Done;
        }
        self.connections.insert(connection, fresh);
        self.due_at_most(Some(until));
    }

    /// Bytes arrived. Call it only while [`Self::wants_read`]: what comes otherwise is kept, and memory with it.
    pub fn receive(
        &mut self,
        connection: ConnectionId,
        bytes: &[u8],
        now: MonoNanos,
        wall: UnixNanos,
        submit: &mut impl Submit,
    ) {
        let Some(found) = self.connections.get_mut(&connection) else { return };
        if matches!(found.state, State::Ending | State::Done | State::Closing { lingers: false, .. }) {
            return;
        }
        found.input.extend_from_slice(bytes);
        self.work(connection, now, wall, submit);
    }

    /// Goes on with connections that wait for room in the queue, or whose session was opened.
    pub fn resume(&mut self, now: MonoNanos, wall: UnixNanos, submit: &mut impl Submit) {
        // All of them, even when one still finds no room: the queue may have some for cancels and administration only.
        for connection in core::mem::take(&mut self.waiting) {
            self.work(connection, now, wall, submit);
        }
    }

    /// Whether more input of this connection can be taken now.
    #[must_use]
    pub fn wants_read(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|connection| {
            let reads = match connection.state {
                State::Fresh { .. } | State::Open => connection.input.len() <= FIX_MESSAGE_BYTES_MAX,
                State::Closing { lingers, .. } => lingers,
                State::Awaiting { .. } | State::Ending | State::Done => false,
            };
            reads && !connection.gone && !connection.owes() && self.has_room(connection)
        })
    }

    /// The socket has ended. What its session is owed by it is submitted, now or when there is room.
    pub fn closed(&mut self, connection: ConnectionId, now: MonoNanos, submit: &mut impl Submit) {
        let Some(found) = self.connections.get_mut(&connection) else { return };
        found.gone = true;
        found.input = Vec::new();
        if found.state == State::Open {
            found.down(SessionEnd::Lost, now, submit);
        }
        if !matches!(found.state, State::Awaiting { .. }) {
            self.unbind(connection);
        }
        self.settle(connection);
    }

    /// Takes a committed event. All events may be offered, in their order; those that concern nobody here are ignored.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only what gateways are told matters beside outputs")]
    pub fn deliver(&mut self, event: &Event, now: MonoNanos, wall: UnixNanos) {
        match &event.body {
            EventBody::SessionOpened(opened) => self.opened(opened, now),
            EventBody::SessionRefused(refused) => self.refused(event, refused, now, wall),
            EventBody::SessionClosed(closed) => self.session_closed(closed, now),
            EventBody::ResendDue(due) => self.resend_due(due, now, wall),
            body => self.directory.define(body),
        }
        let Some(number) = event.output else { return };
        match self.bound.get(&number.session) {
            Some(&connection) => self.offer(connection, event, now, wall),
            None => {
                if let EventBody::LogoutSent(_) = event.body {
                    self.unclaimed.insert(number.session, event.clone());
                }
            }
        }
    }

    /// The next read of the outbox that is due, if any. Answer each with [`Self::outbox_done`], in any order.
    pub fn outbox_read(&mut self) -> Option<OutboxRead> {
        let after =
            self.behind.range((core::ops::Bound::Excluded(self.last_read), core::ops::Bound::Unbounded));
        let turn: Vec<ConnectionId> = after.chain(self.behind.range(..=self.last_read)).copied().collect();
        turn.into_iter().find_map(|id| {
            let connection = self.connections.get_mut(&id)?;
            if connection.pending().len() >= self.options.output_bytes_max {
                return None;
            }
            let read = connection.bound.as_mut()?.outgoing.next_read(id)?;
            self.last_read = id;
            Some(read)
        })
    }

    /// The outputs that a read found, in the order of their numbers: all of them, or as many of the first as was
    /// convenient. None at all says that nothing is kept of the whole range: do not answer before the outbox holds
    /// everything that has been delivered.
    pub fn outbox_done(&mut self, read: &OutboxRead, events: &[Event], now: MonoNanos, wall: UnixNanos) {
        let Self { connections, directory, encoder, .. } = self;
        let Some(connection) = connections.get_mut(&read.connection) else { return };
        connection.write(directory, encoder, wall, |outgoing, pen| outgoing.read(read, events, pen));
        connection.spoke(now);
        if !connection.is_behind() {
            self.behind.remove(&read.connection);
        }
    }

    /// What waits to be written to this connection.
    #[must_use]
    pub fn output(&self, connection: ConnectionId) -> &[u8] {
        self.connections.get(&connection).map(Connection::pending).unwrap_or_default()
    }

    /// So many bytes of [`Self::output`] were written.
    pub fn sent(&mut self, connection: ConnectionId, bytes: usize) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.sent(bytes);
        }
    }

    /// Whether to close the connection now; then call [`Self::closed`].
    #[must_use]
    pub fn should_close(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_none_or(Connection::should_close)
    }

    /// Does what is due by the clock: heartbeats, test requests, timeouts; and retries what waits for room.
    pub fn tick(&mut self, now: MonoNanos, wall: UnixNanos, submit: &mut impl Submit) {
        self.resume(now, wall, submit);
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        for (id, connection) in &mut self.connections {
            connection.tick(now, submit);
            if connection.owes() {
                self.waiting.insert(*id);
            }
        }
        self.deadline = self.connections.values().filter_map(Connection::deadline).min();
    }

    /// When to call [`Self::tick`] at the latest; `None` = nothing is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoNanos> {
        self.deadline
    }

    /// The node is stopping: every session is ended with a Logout, and no new one begins.
    pub fn stop(&mut self, now: MonoNanos, submit: &mut impl Submit) {
        self.stopping = true;
        let Self { connections, directory, fields, waiting, .. } = self;
        for (id, connection) in connections {
            match connection.state {
                State::Fresh { .. } => connection.state = State::Done,
                State::Open => {
                    let mut cx = Inbound { directory, fields, now, wall: UnixNanos(0), submit };
                    connection.end(SessionAction::Stop, &mut cx);
                }
                State::Awaiting { .. } | State::Ending | State::Closing { .. } | State::Done => {}
            }
            if connection.owes() {
                waiting.insert(*id);
            }
        }
    }

    /// Whether no connection is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn work(&mut self, connection: ConnectionId, now: MonoNanos, wall: UnixNanos, submit: &mut impl Submit) {
        let Some(found) = self.connections.get_mut(&connection) else { return };
        if self.stopping && found.state == State::Open {
            let Self { directory, fields, .. } = self;
            found.end(SessionAction::Stop, &mut Inbound { directory, fields, now, wall, submit });
        }
        let mut cx = Inbound { directory: &self.directory, fields: &mut self.fields, now, wall, submit };
        found.work(&mut cx);
        let deadline = found.deadline();
        self.settle(connection);
        self.due_at_most(deadline);
    }

    /// Remembers a connection that owes, forgets one that is gone and owes nothing.
    fn settle(&mut self, connection: ConnectionId) {
        let Some(found) = self.connections.get(&connection) else { return };
        if found.owes() {
            self.waiting.insert(connection);
        } else if found.gone && !matches!(found.state, State::Awaiting { .. }) {
            self.unbind(connection);
            self.connections.remove(&connection);
            self.waiting.remove(&connection);
            self.behind.remove(&connection);
        }
    }

    fn unbind(&mut self, connection: ConnectionId) {
        let session =
            self.connections.get(&connection).and_then(|found| found.bound.as_ref()).map(|b| b.session);
        if let Some(session) = session.filter(|session| self.bound.get(session) == Some(&connection)) {
            self.bound.remove(&session);
        }
    }

    fn has_room(&self, connection: &Connection) -> bool {
        connection.pending().len() < self.options.output_bytes_max
    }

    fn due_at_most(&mut self, deadline: Option<MonoNanos>) {
        self.deadline = self.deadline.into_iter().chain(deadline).min();
    }

    fn opened(&mut self, opened: &SessionOpened, now: MonoNanos) {
        let id = ConnectionId(opened.connection);
        let awaits = |connection: &Connection| matches!(connection.state, State::Awaiting { session, .. } if session == opened.session);
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| awaits(connection)) else {
            return;
        };
        let Some(session) = self.directory.session(opened.session) else { return };
        connection.open(opened, (session.client_comp_id, session.our_comp_id), now);
        self.unclaimed.remove(&opened.session);
        let deadline = connection.deadline();
        if let Some(before) = self.bound.insert(opened.session, id).filter(|before| *before != id) {
            self.fence(before, now);
        }
        // Its input goes on, or its end is submitted, in `resume`.
        self.waiting.insert(id);
        self.due_at_most(deadline);
    }

    /// A connection that lost its session to a newer one.
    fn fence(&mut self, connection: ConnectionId, now: MonoNanos) {
        if let Some(found) = self.connections.get_mut(&connection) {
            found.close(SessionEnd::TakenOver, now);
        }
    }

    fn refused(&mut self, event: &Event, refused: &SessionRefused, now: MonoNanos, wall: UnixNanos) {
        let logout = self.unclaimed.remove(&refused.session).filter(|logout| logout.seq == event.seq);
        let id = ConnectionId(refused.connection);
        let Self { connections, directory, encoder, .. } = self;
        let Some(connection) = connections.get_mut(&id) else { return };
        if !matches!(connection.state, State::Awaiting { session, .. } if session == refused.session) {
            return;
        }
        if connection.bound.is_some() {
            // The session is still ours, but its peer believes in a reset that did not happen.
            connection.state = State::Open;
            connection.doomed = Some(if connection.gone { SessionEnd::Lost } else { SessionEnd::Protocol });
            self.waiting.insert(id);
            return;
        }
        connection.close(refused.end, now);
        match (logout, directory.session(refused.session)) {
            (Some(logout), Some(session)) => {
                let (ours, client) = (session.our_comp_id, session.client_comp_id);
                let route = Route { sender: ours.as_bytes(), target: client.as_bytes() };
                let out = connection.output();
                Pen { directory, encoder, wall, route, out }.output(&logout, Sending::First);
            }
            _ => connection.state = State::Done,
        }
        let deadline = connection.deadline();
        self.settle(id);
        self.due_at_most(deadline);
    }

    fn session_closed(&mut self, closed: &SessionClosed, now: MonoNanos) {
        let Some(&id) = self.bound.get(&closed.session) else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.bound.as_ref().is_none_or(|bound| bound.generation != closed.generation) {
            return;
        }
        connection.close(closed.end, now);
        let deadline = connection.deadline();
        self.bound.remove(&closed.session);
        self.settle(id);
        self.due_at_most(deadline);
    }

    fn resend_due(&mut self, due: &ResendDue, now: MonoNanos, wall: UnixNanos) {
        let Some(&id) = self.bound.get(&due.session) else { return };
        let Self { connections, directory, encoder, .. } = self;
        let Some(connection) = connections.get_mut(&id) else { return };
        connection.write(directory, encoder, wall, |outgoing, pen| {
            outgoing.resend(due.begin, due.end, due.floor, pen);
        });
        connection.spoke(now);
        if connection.is_behind() {
            self.behind.insert(id);
        }
    }

    fn offer(&mut self, id: ConnectionId, event: &Event, now: MonoNanos, wall: UnixNanos) {
        let has_room = self.connections.get(&id).is_some_and(|connection| self.has_room(connection));
        let Self { connections, directory, encoder, .. } = self;
        let Some(connection) = connections.get_mut(&id) else { return };
        let rendered = connection
            .write(directory, encoder, wall, |outgoing, pen| outgoing.offer(event, has_room, pen))
            .unwrap_or(false);
        if rendered {
            connection.spoke(now);
        }
        if connection.is_behind() {
            self.behind.insert(id);
        }
        let deadline = connection.deadline();
        self.due_at_most(deadline);
    }
}

//! The clients of this process: their sockets, and the acceptors between these and whoever takes commands. FIX is the same for
//! a node and for a gateway process of its own; the ledger's clients (`ledger_clients`) come to nodes alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use gateways::binary::Leadership;
use gateways::fix::{Acceptor, ConnectionId, Options, OutboxRead};
use journal::FileDisk;
use protocol::event::Event;
use protocol::submit::Submit;
use protocol::time::NANOS_PER_MILLI;
use protocol::{EventBody, MonoNanos, RequestNumber, SessionId};
use replicas::{Now, Replica};

use crate::introduction::Introductions;
use crate::ledger_clients::LedgerClients;
use crate::relay::{Relay, Target};
use crate::sockets::{Door, READ_BYTES, ReadResult, Sockets};

/// Between two looks at all connections; in between only those are looked at where something has happened.
const SWEEP_NANOS: u64 = 10 * NANOS_PER_MILLI;

/// Sockets and acceptors.
pub(crate) struct Clients {
    acceptor: Acceptor,
    /// Of a node.
    ledger: Option<LedgerClients>,
    sockets: Sockets,
    attention: Attention,
    /// Whose connections those are that were passed on.
    introductions: Introductions,
    /// While another node leads.
    relay: Relay,
    /// Kept for its capacity.
    read_buffer: Vec<u8>,
    /// Bytes read.
    pub(crate) bytes_received: u64,
    /// Bytes written.
    pub(crate) bytes_sent: u64,
}

/// Connections where something may have to be written or closed. With a thousand sessions, most of them silent, looking
/// at each in every turn would cost more than an order; a sweep now and then finds what the clock has brought about.
#[derive(Default)]
struct Attention {
    connections: BTreeSet<ConnectionId>,
    /// By the sessions' openings.
    of_sessions: BTreeMap<SessionId, ConnectionId>,
    next_sweep: MonoNanos,
}

impl Attention {
    fn to(&mut self, connection: ConnectionId) {
        self.connections.insert(connection);
    }

    /// Where an event may have brought about output or an end.
    fn follow(&mut self, event: &Event) {
        let session = if let EventBody::SessionOpened(opened) = &event.body {
            // A connection that is taken over from is closed.
            let connection = ConnectionId(opened.connection);
            let before = self.of_sessions.insert(opened.session, connection);
            self.connections.extend(before.into_iter().chain([connection]));
            return;
        } else if let EventBody::SessionRefused(refused) = &event.body {
            self.to(ConnectionId(refused.connection));
            return;
        } else if let EventBody::SessionClosed(closed) = &event.body {
            Some(closed.session)
        } else if let EventBody::ResendDue(due) = &event.body {
            Some(due.session)
        } else {
            event.output.map(|number| number.session)
        };
        self.connections.extend(session.and_then(|session| self.of_sessions.get(&session)));
    }
}

impl Clients {
    /// Who connects to `sockets`.
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self {
            acceptor: Acceptor::new(Options::default()),
            ledger: None,
            sockets,
            attention: Attention::default(),
            introductions: Introductions::default(),
            relay: Relay::default(),
            read_buffer: vec![0; READ_BYTES],
            bytes_received: 0,
            bytes_sent: 0,
        }
    }

    /// Those of the ledger come here, too.
    pub(crate) fn serve_ledger(&mut self, ledger: LedgerClients) {
        self.ledger = Some(ledger);
    }

    /// Waits for a socket or the bell, no longer than `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.sockets.wait(timeout)
    }

    /// Open connections.
    pub(crate) fn open(&self) -> usize {
        self.sockets.open()
    }

    /// Connections taken, and closed at once because there were too many.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.sockets.accepted, self.sockets.refused)
    }

    /// When something is due to a client.
    pub(crate) fn next_deadline(&self) -> Option<MonoNanos> {
        let ledger = self.ledger.as_ref().and_then(LedgerClients::next_deadline);
        self.acceptor.next_deadline().into_iter().chain(ledger).min()
    }

    /// Takes a definition.
    pub(crate) fn define(&mut self, definition: &EventBody, now: MonoNanos) {
        self.acceptor.define(definition);
        if let Some(ledger) = &mut self.ledger {
            ledger.define(definition, now);
        }
    }

    /// The number of a session's next command, for the ledger's clients.
    pub(crate) fn set_next_command_no(&mut self, session: SessionId, next: RequestNumber) {
        if let Some(ledger) = &mut self.ledger {
            ledger.set_next_command_no(session, next);
        }
    }

    /// Who leads from now on, for the ledger's clients.
    pub(crate) fn set_leadership(&mut self, leadership: Leadership, now: MonoNanos) {
        if let Some(ledger) = &mut self.ledger {
            ledger.set_leadership(leadership, now);
        }
    }

    /// Accepts the ledger's clients and reads one bite from each; here or elsewhere, they are told who leads.
    pub(crate) fn read_ledger(&mut self, now: MonoNanos, submit: &mut impl Submit) -> bool {
        let Some(ledger) = &mut self.ledger else { return false };
        let read = ledger.read(&mut self.sockets, now, submit);
        self.bytes_received += read.unwrap_or(0);
        ledger.tick(now, submit);
        read.is_some()
    }

    /// Answers the questions of the ledger's clients.
    pub(crate) fn answer(&mut self, replica: &mut Replica<FileDisk>, now: Now) -> bool {
        self.ledger.as_mut().is_some_and(|ledger| ledger.answer(replica, now))
    }

    /// Writes what waits for the ledger's clients, and closes what has ended. Returns whether anything was written.
    pub(crate) fn write_ledger(&mut self, now: MonoNanos) -> bool {
        let Some(ledger) = &mut self.ledger else { return false };
        let sent = ledger.write(&mut self.sockets, now);
        self.bytes_sent += sent;
        sent > 0
    }

    /// Does what is due by the clock.
    pub(crate) fn tick(&mut self, now: Now, submit: &mut impl Submit) {
        self.acceptor.tick(now.mono, now.wall, submit);
    }

    /// Accepts connections and reads one bite from each that the gateway wants to read from.
    pub(crate) fn read(&mut self, now: Now, submit: &mut impl Submit) -> bool {
        let Self { sockets, acceptor, read_buffer, attention, introductions, bytes_received, .. } = self;
        let mut worked = false;
        sockets.accept(Door::Fix, now.mono, |connection| {
            acceptor.connect(connection, now.mono);
            introductions.expect(connection);
            worked = true;
        });
        let mut last = None;
        let mut ended = Vec::new();
        while let Some(connection) = sockets.next_readable(Door::Fix, last) {
            last = Some(connection);
            if !acceptor.wants_read(connection) {
                continue;
            }
            attention.to(connection);
            match sockets.read(connection, read_buffer) {
                ReadResult::Bytes(count) => {
                    let bytes = read_buffer.get(..count).unwrap_or_default();
                    *bytes_received += u64::try_from(count).unwrap_or(u64::MAX);
                    match introductions.strip(connection, bytes) {
                        Some(said) => acceptor.receive(connection, &said, now.mono, now.wall, submit),
                        None => ended.push(connection),
                    }
                    worked = true;
                }
                ReadResult::WouldBlock => {}
                ReadResult::Closed => ended.push(connection),
            }
        }
        for connection in ended {
            self.close(connection, now.mono, submit);
            worked = true;
        }
        worked
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, connection: ConnectionId, now: MonoNanos, submit: &mut impl Submit) {
        self.sockets.close(connection);
        self.introductions.forget(connection);
        self.acceptor.closed(connection, now, submit);
    }

    /// Hands out what followed from committed commands.
    pub(crate) fn deliver(&mut self, events: &[Event], now: Now, submit: &mut impl Submit) {
        for event in events {
            self.attention.follow(event);
            self.acceptor.deliver(event, now.mono, now.wall);
        }
        self.acceptor.resume(now.mono, now.wall, submit);
        if let Some(ledger) = &mut self.ledger {
            ledger.deliver(events, now.mono, submit);
        }
    }

    /// The next wish for outputs that are no longer at hand.
    pub(crate) fn outbox_read(&mut self) -> Option<OutboxRead> {
        self.acceptor.outbox_read()
    }

    /// What such a read found.
    pub(crate) fn outbox_done(&mut self, read: &OutboxRead, events: &[Event], now: Now) {
        self.acceptor.outbox_done(read, events, now.mono, now.wall);
        self.attention.to(read.connection);
    }

    /// Such outputs cannot be read. Never a gap fill over what was said: the client finds the line down, and asks again.
    pub(crate) fn outbox_failed(&mut self, read: &OutboxRead, now: MonoNanos, submit: &mut impl Submit) {
        tracing::error!(session = read.session.0, from = read.from.0, "outputs cannot be read again");
        self.close(read.connection, now, submit);
    }

    /// Writes what waits and closes what has ended. Returns whether anything was written.
    pub(crate) fn write(&mut self, now: MonoNanos, submit: &mut impl Submit) -> bool {
        let mut sent = 0;
        if now >= self.attention.next_sweep {
            self.attention.next_sweep = now.plus(SWEEP_NANOS);
            self.attention.connections.extend(self.sockets.of(Door::Fix));
        }
        self.attention.connections.extend(self.sockets.take_writable_again(Door::Fix));
        while let Some(connection) = self.attention.connections.pop_first() {
            let output = self.acceptor.output(connection);
            let mut lost = false;
            if !output.is_empty() && self.sockets.is_writable(connection) {
                let written = self.sockets.write(connection, output);
                self.acceptor.sent(connection, written.unwrap_or(0));
                sent += written.unwrap_or(0);
                lost = written.is_none();
            }
            if lost || self.acceptor.should_close(connection) {
                self.close(connection, now, submit);
            }
        }
        self.bytes_sent += u64::try_from(sent).unwrap_or(u64::MAX);
        sent > 0
    }

    /// Passes bytes on between clients and the leader, which takes them at `target`.
    pub(crate) fn relay(&mut self, target: Option<Target>, now: MonoNanos) -> bool {
        self.relay.turn(&mut self.sockets, target, now, &mut self.read_buffer)
    }

    /// Lines that lead to the leader.
    pub(crate) fn relayed(&self) -> usize {
        self.relay.len()
    }

    /// This node leads: those who waited for a leader find it here at their next attempt.
    pub(crate) fn end_relay(&mut self) {
        self.relay.close(&mut self.sockets);
        self.introductions = Introductions::default();
    }

    /// A client that connects here finds the line closed at once, and tries elsewhere.
    pub(crate) fn turn_away(&mut self, now: MonoNanos) -> bool {
        self.relay.close(&mut self.sockets);
        let mut strangers = Vec::new();
        self.sockets.accept(Door::Fix, now, |connection| strangers.push(connection));
        strangers.iter().for_each(|connection| self.sockets.close(*connection));
        !strangers.is_empty()
    }

    /// Closes every FIX connection, and begins anew as if none had been. Returns how many there were.
    pub(crate) fn drop_all(&mut self) -> usize {
        let open: Vec<_> = self.sockets.of(Door::Fix).collect();
        open.iter().for_each(|connection| self.sockets.close(*connection));
        self.acceptor = Acceptor::new(Options::default());
        self.attention = Attention::default();
        self.introductions = Introductions::default();
        open.len()
    }

    /// Every session is ended, with a Logout in FIX, and no new connection is taken.
    pub(crate) fn stop(&mut self, now: MonoNanos, submit: &mut impl Submit) {
        self.sockets.stop_accepting();
        self.relay.close(&mut self.sockets);
        self.acceptor.stop(now, submit);
        if let Some(ledger) = &mut self.ledger {
            ledger.stop(now);
        }
    }
}

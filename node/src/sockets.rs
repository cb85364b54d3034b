//! Clients' sockets, FIX and binary, and those of a relay to the leader: up to a limit, read and written without ever blocking, in bounded bites.
//!
//! Readiness is edge-triggered: a socket stays readable or writable here until a call says that it would block. So a
//! connection that the gateway does not want to read from now costs nothing, and is found again when it does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use gateways::ConnectionId;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use protocol::MonoNanos;
use protocol::time::NANOS_PER_MILLI;

use crate::bell::Bell;

const BELL: Token = Token(0);
/// Tokens of connections are their numbers, which start here, behind those of the doors.
const CONNECTIONS_FROM: u64 = 3;
const EVENTS_MAX: usize = 256;
/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 16;
/// How long after an error.
const ACCEPT_PAUSE_NANOS: u64 = 100 * NANOS_PER_MILLI;
/// Bytes read from one connection in one turn, so that one that floods does not starve the others.
pub(crate) const READ_BYTES: usize = 32 << 10;

/// What became of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadResult {
    /// That many bytes.
    Bytes(usize),
    /// None now.
    WouldBlock,
    /// The peer has closed, or the connection is lost.
    Closed,
}

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// FIX, here or by way of the leader.
    Fix,
    /// The binary protocol.
    Binary,
}

impl Door {
    const ALL: [Self; 2] = [Self::Fix, Self::Binary];

    const fn token(self) -> Token {
        match self {
            Self::Fix => Token(1),
            Self::Binary => Token(2),
        }
    }
}

/// What comes through a door.
#[derive(Default)]
struct Traffic {
    /// None: the door is shut.
    listener: Option<TcpListener>,
    /// Whether connections may wait at the listener.
    acceptable: bool,
    connections_max: usize,
    open: usize,
    readable: BTreeSet<ConnectionId>,
    /// Since the caller took them last.
    writable_again: Vec<ConnectionId>,
}

struct Connection {
    door: Door,
    stream: TcpStream,
    /// The peer's end was announced together with its last bytes: no other edge will tell of it.
    ending: bool,
}

/// No accepting for a while after an error, which may well last: out of descriptors, out of memory.
#[derive(Default)]
struct Pause {
    until: MonoNanos,
    /// The last one, unless a connection was taken since.
    fault: Option<ErrorKind>,
}

impl Pause {
    /// Logs an error that is not the same as the one before.
    fn after(&mut self, error: &io::Error, now: MonoNanos) {
        self.until = now.plus(ACCEPT_PAUSE_NANOS);
        if self.fault.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!(%error, "no connections are taken");
        }
    }
}

/// The listener and its connections.
pub(crate) struct Sockets {
    poll: Poll,
    events: Events,
    fix: Traffic,
    binary: Traffic,
    connections: BTreeMap<ConnectionId, Connection>,
    writable: BTreeSet<ConnectionId>,
    next: u64,
    pause: Pause,
    /// Connections closed at once because there were too many.
    pub(crate) refused: u64,
    /// Connections taken.
    pub(crate) accepted: u64,
}

impl Sockets {
    /// Without a door.
    pub(crate) fn new() -> io::Result<(Self, Bell)> {
        let poll = Poll::new()?;
        let bell = Bell::new(&poll, BELL)?;
        let sockets = Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            fix: Traffic::default(),
            binary: Traffic::default(),
            connections: BTreeMap::new(),
            writable: BTreeSet::new(),
            next: CONNECTIONS_FROM,
            pause: Pause::default(),
            refused: 0,
            accepted: 0,
        };
        Ok((sockets, bell))
    }

    /// Takes over a bound listener.
    pub(crate) fn open_door(
        &mut self,
        door: Door,
        listener: std::net::TcpListener,
        connections_max: u64,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        self.poll.registry().register(&mut listener, door.token(), Interest::READABLE)?;
        let traffic = self.traffic(door);
        traffic.listener = Some(listener);
        traffic.acceptable = true;
        traffic.connections_max = usize::try_from(connections_max).unwrap_or(usize::MAX);
        Ok(())
    }

    const fn traffic(&mut self, door: Door) -> &mut Traffic {
        traffic_of(door, &mut self.fix, &mut self.binary)
    }

    /// Connections are numbered from `base` on; before the first.
    pub(crate) fn number_from(&mut self, base: u64) {
        self.next = base + CONNECTIONS_FROM;
    }

    /// Waits for a socket or the bell, no longer than `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            done => done?,
        }
        let Self { events, connections, writable, fix, binary, .. } = self;
        for event in &*events {
            let id = connection_of(event.token());
            let opening = Door::ALL.into_iter().find(|door| door.token() == event.token());
            if let Some(door) = opening {
                traffic_of(door, fix, binary).acceptable = true;
            } else if let Some(connection) = connections.get_mut(&id) {
                let traffic = traffic_of(connection.door, fix, binary);
                connection.ending |= event.is_read_closed();
                // An error is found by the read or write that meets it.
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    traffic.readable.insert(id);
                }
                if event.is_writable() {
                    writable.insert(id);
                    traffic.writable_again.push(id);
                }
            }
        }
        Ok(())
    }

    /// Takes connections that wait at a door, a few at a time.
    pub(crate) fn accept(&mut self, door: Door, now: MonoNanos, mut opened: impl FnMut(ConnectionId)) {
        if now < self.pause.until {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let traffic = self.traffic(door);
            let is_full = traffic.open >= traffic.connections_max;
            let Some(listener) = traffic.listener.as_ref().filter(|_| traffic.acceptable) else { return };
            match listener.accept() {
                Ok((stream, _)) if is_full => {
                    self.refused += 1;
                    drop(stream);
                }
                Ok((stream, _)) => match self.take(door, stream) {
                    Ok(id) => {
                        self.pause.fault = None;
                        opened(id);
                    }
                    Err(error) => return self.pause.after(&error, now),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => traffic.acceptable = false,
                Err(error) => return self.pause.after(&error, now),
            }
        }
    }

    fn take(&mut self, door: Door, stream: TcpStream) -> io::Result<ConnectionId> {
        let id = self.register(door, stream)?;
        self.accepted += 1;
        Ok(id)
    }

    /// Begins a connection to another node's FIX listener, which becomes writable when it is there. It counts towards the limit.
    pub(crate) fn dial(&mut self, address: SocketAddr) -> io::Result<ConnectionId> {
        if self.fix.open >= self.fix.connections_max {
            return Err(io::Error::other("as many connections as are allowed"));
        }
        self.register(Door::Fix, TcpStream::connect(address)?)
    }

    fn register(&mut self, door: Door, mut stream: TcpStream) -> io::Result<ConnectionId> {
        stream.set_nodelay(true)?;
        let id = ConnectionId(self.next);
        self.poll.registry().register(&mut stream, token_of(id), Interest::READABLE | Interest::WRITABLE)?;
        self.next += 1;
        self.traffic(door).open += 1;
        self.connections.insert(id, Connection { door, stream, ending: false });
        Ok(id)
    }

    /// Addresses of a connection: the other end's, and ours.
    pub(crate) fn ends(&self, id: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
        let stream = &self.connections.get(&id)?.stream;
        Some((stream.peer_addr().ok()?, stream.local_addr().ok()?))
    }

    /// Takes no more connections.
    pub(crate) fn stop_accepting(&mut self) {
        self.fix.listener = None;
        self.binary.listener = None;
    }

    /// How many connections are open.
    pub(crate) const fn open(&self) -> usize {
        self.fix.open + self.binary.open
    }

    /// Open connections that came through a door.
    pub(crate) fn of(&self, door: Door) -> impl Iterator<Item = ConnectionId> {
        self.connections.iter().filter(move |(_, connection)| connection.door == door).map(|(id, _)| *id)
    }

    /// Connections of a door with something to read, after `id`, in turn.
    pub(crate) fn next_readable(&mut self, door: Door, after: Option<ConnectionId>) -> Option<ConnectionId> {
        let from = after.map_or(ConnectionId(0), |id| ConnectionId(id.0 + 1));
        self.traffic(door).readable.range(from..).next().copied()
    }

    /// Connections of a door whose sockets take bytes again, since this was asked last.
    pub(crate) fn take_writable_again(&mut self, door: Door) -> Vec<ConnectionId> {
        std::mem::take(&mut self.traffic(door).writable_again)
    }

    /// Whether the socket of `id` would take bytes.
    pub(crate) fn is_writable(&self, id: ConnectionId) -> bool {
        self.writable.contains(&id)
    }

    /// Reads once.
    pub(crate) fn read(&mut self, id: ConnectionId, buffer: &mut [u8]) -> ReadResult {
        let Self { connections, fix, binary, .. } = self;
        let Some(connection) = connections.get_mut(&id) else { return ReadResult::Closed };
        let readable = &mut traffic_of(connection.door, fix, binary).readable;
        match connection.stream.read(buffer) {
            Ok(0) => ReadResult::Closed,
            Ok(bytes) => {
                // A short read has emptied the socket: the next byte brings a new edge.
                if bytes < buffer.len() && !connection.ending {
                    readable.remove(&id);
                }
                ReadResult::Bytes(bytes)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => ReadResult::Bytes(0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                readable.remove(&id);
                ReadResult::WouldBlock
            }
            Err(_) => ReadResult::Closed,
        }
    }

    /// Writes what the socket takes; returns how many bytes, or `None` if the connection is lost.
    pub(crate) fn write(&mut self, id: ConnectionId, mut bytes: &[u8]) -> Option<usize> {
        let stream = &mut self.connections.get_mut(&id)?.stream;
        let mut written = 0;
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(0) => return None,
                Ok(count) => {
                    written += count;
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable.remove(&id);
                    break;
                }
                Err(_) => return None,
            }
        }
        Some(written)
    }

    /// Closes a connection, after what was written to it.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        self.writable.remove(&id);
        if let Some(mut connection) = self.connections.remove(&id) {
            let traffic = self.traffic(connection.door);
            traffic.readable.remove(&id);
            traffic.open -= 1;
            deregister(self.poll.registry(), &mut connection.stream);
        }
    }
}

const fn traffic_of<'a>(door: Door, fix: &'a mut Traffic, binary: &'a mut Traffic) -> &'a mut Traffic {
    match door {
        Door::Fix => fix,
        Door::Binary => binary,
    }
}

fn deregister(registry: &Registry, stream: &mut TcpStream) {
    if let Err(error) = registry.deregister(stream) {
        // Closing the descriptor, which follows, takes it out of the poller as well.
        tracing::debug!(%error, "deregister");
    }
}

fn token_of(id: ConnectionId) -> Token {
    Token(usize::try_from(id.0).unwrap_or(usize::MAX))
}

fn connection_of(token: Token) -> ConnectionId {
    ConnectionId(u64::try_from(token.0).unwrap_or(u64::MAX))
}

//! Clients of a follower: their bytes go to the leader's FIX listener and back, unread but for the first ones.
//!
//! The leader is told whose connection it is by a header in front (`introduction`), and a connection that has come through
//! one node is not passed on by another: two nodes that take each other for the leader would pass it on for ever. The line
//! to the leader is made when the client has said something, and both end together.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use gateways::fix::ConnectionId;
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{MonoNanos, NodeId};

use crate::introduction;
use crate::sockets::{Door, ReadResult, Sockets};

/// For the first word of a client, for a leader to be found, and for the line to it; and for the last bytes at the end.
const PATIENCE_NANOS: u64 = 10 * NANOS_PER_SECOND;
/// Between two looks at all lines.
const SWEEP_NANOS: u64 = 10 * NANOS_PER_MILLI;

/// The leader, and where it takes FIX clients.
pub(crate) type Target = (NodeId, SocketAddr);

/// The lines through this node.
#[derive(Default)]
pub(crate) struct Relay {
    /// By the client's connection.
    lines: BTreeMap<ConnectionId, Line>,
    /// The client's connection, by the leader's.
    clients: BTreeMap<ConnectionId, ConnectionId>,
    /// To whom lines lead.
    leader: Option<NodeId>,
    /// By the client's connection: where something may have to be written or ended.
    touched: BTreeSet<ConnectionId>,
    next_sweep: MonoNanos,
}

struct Line {
    /// Once the client has said something and there is a leader.
    leader: Option<ConnectionId>,
    /// The line to the leader has taken bytes.
    is_up: bool,
    /// One end has closed: what is on its way to the other one is delivered.
    ends: bool,
    /// By when the line has to be up, or to have ended.
    until: MonoNanos,
    to_leader: Vec<u8>,
    to_client: Vec<u8>,
}

impl Relay {
    /// Lines that lead to the leader.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Ends all lines.
    pub(crate) fn close(&mut self, sockets: &mut Sockets) {
        let Self { lines, clients, .. } = std::mem::take(self);
        lines.into_keys().chain(clients.into_keys()).for_each(|connection| sockets.close(connection));
    }

    /// One bounded bite of everything. Returns whether there was anything to do.
    pub(crate) fn turn(
        &mut self,
        sockets: &mut Sockets,
        target: Option<Target>,
        now: MonoNanos,
        buffer: &mut [u8],
    ) -> bool {
        let mut worked = self.follow(sockets, target);
        sockets.accept(Door::Fix, now, |client| {
            self.lines.insert(client, Line::new(now));
            worked = true;
        });
        worked |= self.read(sockets, now, buffer);
        let written_again = sockets.take_writable_again(Door::Fix);
        let clients = written_again.into_iter().map(|end| self.clients.get(&end).copied().unwrap_or(end));
        self.touched.extend(clients);
        if now >= self.next_sweep {
            self.next_sweep = now.plus(SWEEP_NANOS);
            self.touched.extend(self.lines.keys());
        }
        while let Some(client) = self.touched.pop_first() {
            self.go_on(sockets, client, target, now);
        }
        worked
    }

    /// When another node leads, the lines to the one before lead nowhere.
    fn follow(&mut self, sockets: &mut Sockets, target: Option<Target>) -> bool {
        let Some((leader, _)) = target.filter(|(leader, _)| self.leader != Some(*leader)) else {
            return false;
        };
        self.leader = Some(leader);
        let made: Vec<_> = self.clients.values().copied().collect();
        made.iter().for_each(|client| self.end(sockets, *client));
        !made.is_empty()
    }

    /// Reads one bite of each connection whose other end has taken the bite before.
    fn read(&mut self, sockets: &mut Sockets, now: MonoNanos, buffer: &mut [u8]) -> bool {
        let (mut last, mut worked) = (None, false);
        while let Some(end) = sockets.next_readable(Door::Fix, last) {
            last = Some(end);
            let client = self.clients.get(&end).copied().unwrap_or(end);
            let Some(line) = self.lines.get_mut(&client) else { continue };
            let onward = if end == client { &mut line.to_leader } else { &mut line.to_client };
            if line.ends || !onward.is_empty() {
                continue;
            }
            match sockets.read(end, buffer) {
                ReadResult::Bytes(count) => onward.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                ReadResult::WouldBlock => continue,
                ReadResult::Closed => {
                    (line.ends, line.until) = (true, now.plus(PATIENCE_NANOS));
                    // What was for the end that has closed is of no use.
                    let back = if end == client { &mut line.to_client } else { &mut line.to_leader };
                    back.clear();
                }
            }
            self.touched.insert(client);
            worked = true;
        }
        worked
    }

    /// Writes what waits, and makes or ends the line when it is time.
    fn go_on(&mut self, sockets: &mut Sockets, client: ConnectionId, target: Option<Target>, now: MonoNanos) {
        let Some(line) = self.lines.get_mut(&client) else { return };
        let late = now >= line.until && (line.ends || !line.is_up);
        let mut lost = late || (line.ends && line.leader.is_none());
        if line.leader.is_none() && !line.to_leader.is_empty() && !lost {
            lost = introduction::is_one(&line.to_leader);
            if let Some((node, address)) = target.filter(|_| !lost) {
                match dial(sockets, client, address, &mut line.to_leader) {
                    Ok(leader) => {
                        line.leader = Some(leader);
                        self.clients.insert(leader, client);
                    }
                    Err(error) => {
                        tracing::debug!(%error, leader = node.0, "no line to the leader for a client");
                        lost = true;
                    }
                }
            }
        }
        let to_client = write(sockets, client, &mut line.to_client);
        let to_leader = line.leader.map_or(Some(false), |leader| write(sockets, leader, &mut line.to_leader));
        line.is_up |= to_leader == Some(true);
        lost |= to_client.is_none() || to_leader.is_none();
        lost |= line.ends && line.to_client.is_empty() && line.to_leader.is_empty();
        if lost {
            self.end(sockets, client);
        }
    }

    fn end(&mut self, sockets: &mut Sockets, client: ConnectionId) {
        sockets.close(client);
        if let Some(leader) = self.lines.remove(&client).and_then(|line| line.leader) {
            self.clients.remove(&leader);
            sockets.close(leader);
        }
    }
}

impl Line {
    fn new(now: MonoNanos) -> Self {
        Self {
            leader: None,
            is_up: false,
            ends: false,
            until: now.plus(PATIENCE_NANOS),
            to_leader: Vec::new(),
            to_client: Vec::new(),
        }
    }
}

/// Calls the leader, and puts the client's introduction in front of what it has said.
fn dial(
    sockets: &mut Sockets,
    client: ConnectionId,
    leader: SocketAddr,
    said: &mut Vec<u8>,
) -> io::Result<ConnectionId> {
    let (from, to) = sockets.ends(client).ok_or(io::ErrorKind::NotConnected)?;
    let leader = sockets.dial(leader)?;
    said.splice(..0, introduction::write(from, to));
    Ok(leader)
}

/// Writes what the socket takes; whether it took anything, or `None` if the connection is lost.
fn write(sockets: &mut Sockets, to: ConnectionId, bytes: &mut Vec<u8>) -> Option<bool> {
    if bytes.is_empty() || !sockets.is_writable(to) {
        return Some(false);
    }
    let written = sockets.write(to, bytes)?;
    bytes.drain(..written);
    if bytes.is_empty() {
        // A line that is silent holds no memory.
        *bytes = Vec::new();
    }
    Some(written > 0)
}

//! A connection: bytes in order, in pieces of any size, after a while; and its end, which may swallow the last of them.

use std::collections::VecDeque;

use protocol::MonoNanos;

use crate::rng::Rng;

/// Longest way of a piece.
const DELAY_US_MAX: u64 = 120;
/// Longest piece; the usual one is whole.
const PIECE_BYTES_MAX: u64 = 300;

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    pieces: VecDeque<(MonoNanos, Vec<u8>)>,
    last_due: MonoNanos,
}

impl Pipe {
    fn push(&mut self, mut bytes: &[u8], now: MonoNanos, rng: &mut Rng) {
        while !bytes.is_empty() {
            let len = if rng.coin() { bytes.len() } else { rng.within(1..=PIECE_BYTES_MAX) as usize };
            let (piece, rest) = bytes.split_at(len.min(bytes.len()));
            let due = now.plus(rng.within(5..=DELAY_US_MAX) * 1_000).max(self.last_due);
            self.last_due = due;
            self.pieces.push_back((due, piece.to_vec()));
            bytes = rest;
        }
    }

    fn pop(&mut self, now: MonoNanos) -> Option<Vec<u8>> {
        self.pieces.pop_front_if(|(due, _)| *due <= now).map(|(_, piece)| piece)
    }

    fn due(&self) -> Option<MonoNanos> {
        self.pieces.front().map(|(due, _)| *due)
    }
}

/// A connection between a client and a machine.
#[derive(Debug)]
pub struct Link {
    machine: usize,
    to_machine: Pipe,
    to_client: Pipe,
    /// When the client learns that the machine's end is closed, once everything before that has come.
    client_hears_end: Option<MonoNanos>,
    /// When the machine learns that the client's end is closed, once everything before that has come.
    machine_hears_end: Option<MonoNanos>,
    accepted: bool,
    rng: Rng,
}

impl Link {
    /// An open connection to a machine.
    #[must_use]
    pub fn new(machine: usize, rng: Rng) -> Self {
        Self {
            machine,
            to_machine: Pipe::default(),
            to_client: Pipe::default(),
            client_hears_end: None,
            machine_hears_end: None,
            accepted: false,
            rng,
        }
    }

    /// The machine at the other end.
    #[must_use]
    pub fn machine(&self) -> usize {
        self.machine
    }

    /// The client sends.
    pub fn client_sends(&mut self, bytes: &[u8], now: MonoNanos) {
        self.to_machine.push(bytes, now, &mut self.rng);
    }

    /// The machine sends.
    pub fn machine_sends(&mut self, bytes: &[u8], now: MonoNanos) {
        self.to_client.push(bytes, now, &mut self.rng);
    }

    /// A piece has come to the machine.
    pub fn machine_receives(&mut self, now: MonoNanos) -> Option<Vec<u8>> {
        self.to_machine.pop(now)
    }

    /// A piece has come to the client.
    pub fn client_receives(&mut self, now: MonoNanos) -> Option<Vec<u8>> {
        self.to_client.pop(now)
    }

    /// The machine closes its end in good order: what it sent arrives.
    pub fn machine_closes(&mut self, now: MonoNanos) {
        let due = now.max(self.to_client.last_due).plus(1_000);
        self.client_hears_end.get_or_insert(due);
    }

    /// The machine's end is gone: of what is under way, the client gets the first part or nothing.
    pub fn machine_dies(&mut self, now: MonoNanos) {
        let kept = self.rng.below(self.to_client.pieces.len() as u64 + 1) as usize;
        self.to_client.pieces.truncate(kept);
        let due = now.max(self.to_client.pieces.back().map_or(now, |(due, _)| *due));
        self.client_hears_end = Some(due.plus(self.rng.below(2_000_000)));
    }

    /// The client closes its end; what is under way to it is not read by anybody.
    pub fn client_closes(&mut self, now: MonoNanos) {
        self.to_client = Pipe::default();
        if self.rng.coin() {
            // A reset overtakes what was sent.
            self.to_machine = Pipe::default();
        }
        let due = now.max(self.to_machine.last_due).plus(1_000);
        self.machine_hears_end.get_or_insert(due);
    }

    /// True once: the machine has a connection that it does not know.
    pub fn accept(&mut self) -> bool {
        !std::mem::replace(&mut self.accepted, true)
    }

    /// Whether the machine knows by now that the client's end is closed.
    #[must_use]
    pub fn client_is_gone(&self, now: MonoNanos) -> bool {
        self.machine_hears_end.is_some_and(|due| due <= now) && self.to_machine.pieces.is_empty()
    }

    /// Whether the client's end is closed, although bytes of it may be unread.
    #[must_use]
    pub fn is_abandoned(&self, now: MonoNanos) -> bool {
        self.machine_hears_end.is_some_and(|due| due <= now)
    }

    /// Whether neither end is open.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.machine_hears_end.is_some() && self.client_hears_end.is_some()
    }

    /// Whether the client knows by now that the connection has ended.
    #[must_use]
    pub fn has_ended(&self, now: MonoNanos) -> bool {
        self.client_hears_end.is_some_and(|due| due <= now) && self.to_client.pieces.is_empty()
    }

    /// Whether the machine's end is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.client_hears_end.is_none()
    }

    /// Whether something waits for the machine to read it by `now`.
    #[must_use]
    pub fn wakes_machine(&self, now: MonoNanos) -> bool {
        let due = |at: Option<MonoNanos>| at.is_some_and(|at| at <= now);
        self.is_open() && (!self.accepted || due(self.to_machine.due()) || due(self.machine_hears_end))
    }

    /// When something arrives at the client, or at the machine if it reads.
    #[must_use]
    pub fn next_due(&self) -> Option<MonoNanos> {
        let to_machine = if self.is_open() { self.to_machine.due() } else { None };
        [to_machine, self.to_client.due(), self.client_hears_end, self.machine_hears_end]
            .into_iter()
            .flatten()
            .min()
    }
}

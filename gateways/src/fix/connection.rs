//! One connection: its buffers, where it stands in its life, and the commands that it owes to a queue that was full.

use std::collections::{BTreeMap, VecDeque};

use protocol::commands::{SessionDown, SessionTick};
use protocol::events::SessionOpened;
use protocol::limits::COMP_ID_BYTES_MAX;
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::time::NANOS_PER_SECOND;
use protocol::{
    Command, Generation, MonoNanos, RequestNumber, SessionAction, SessionEnd, SessionId, Text, UnixNanos,
};

use super::ConnectionId;
use super::directory::Directory;
use super::encode::Encoder;
use super::frame::Long;
use super::output::{Outgoing, Pen};
use super::render::Route;

/// How long a connection whose Logout was ours waits for the peer's, and how long it tries to send what is left.
const LINGER_NANOS: u64 = 2 * NANOS_PER_SECOND;
const DRAIN_NANOS: u64 = 10 * NANOS_PER_SECOND;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing but a Logon is expected, and that in time.
    Fresh { until: MonoNanos },
    /// A Logon was submitted; nothing is parsed before its outcome is known. With NextExpectedMsgSeqNum(789) the peer fills
    /// a gap before it without being asked.
    Awaiting { session: SessionId, msg_seq_num: u64, fills_gaps: bool },
    /// Bound to its session.
    Open,
    /// A command was submitted that ends the session's connection; input is dropped, outputs still go out.
    Ending,
    /// The session has ended: what is left is sent, then the connection is closed.
    Closing { until: MonoNanos, lingers: bool },
    /// It may be closed, whatever is left.
    Done,
}

/// A command that the queue had no room for.
#[derive(Debug)]
struct Due {
    header: RecordHeader,
    received: MonoNanos,
    command: Command,
}

/// A message above a gap.
#[derive(Debug)]
pub(crate) enum Held {
    /// Kept until its turn.
    Message { bytes: Box<[u8]>, arrived: UnixNanos },
    /// Answered already, or without effect: only its number counts.
    Counted,
}

/// What the gateway remembers of the session that the connection is bound to.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) session: SessionId,
    pub(crate) generation: Generation,
    pub(crate) client_comp_id: Text<COMP_ID_BYTES_MAX>,
    pub(crate) our_comp_id: Text<COMP_ID_BYTES_MAX>,
    /// The number expected next, counting what was submitted: the queue is in order.
    pub(crate) next_in: u64,
    /// A ResendRequest was submitted because this number came.
    pub(crate) gap: Option<u64>,
    pub(crate) held: BTreeMap<u64, Held>,
    pub(crate) held_bytes: usize,
    pub(crate) heartbeat_nanos: u64,
    pub(crate) last_received: MonoNanos,
    pub(crate) last_sent: MonoNanos,
    /// A Heartbeat, or TestRequest, was asked for and has not gone out, or not been answered.
    pub(crate) heartbeat_asked: bool,
    pub(crate) test_asked: bool,
    pub(crate) outgoing: Outgoing,
}

impl Bound {
    /// Silence after which the peer is asked whether it lives: a heartbeat interval and a fifth.
    fn test_nanos(&self) -> u64 {
        self.heartbeat_nanos / 5 * 6
    }

    /// Silence after which the peer is taken for dead: twice that.
    fn silent_nanos(&self) -> u64 {
        self.test_nanos() * 2
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) state: State,
    pub(crate) input: Vec<u8>,
    /// Bytes of a garbled message that are still to come.
    pub(crate) skip: usize,
    /// A message longer than what is taken, while it passes by.
    pub(crate) long: Option<Long>,
    output: Vec<u8>,
    output_at: usize,
    due: VecDeque<Due>,
    pub(crate) bound: Option<Bound>,
    /// The socket has ended; the connection stays until nothing is owed.
    pub(crate) gone: bool,
    /// The session has to be told that the connection is no more, as soon as it is open.
    pub(crate) doomed: Option<SessionEnd>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, until: MonoNanos) -> Self {
        Self {
            id,
            state: State::Fresh { until },
            input: Vec::new(),
            skip: 0,
            long: None,
            output: Vec::new(),
            output_at: 0,
            due: VecDeque::new(),
            bound: None,
            gone: false,
            doomed: None,
        }
    }

    /// Hands a command over, or keeps it until there is room.
    pub(crate) fn submit(
        &mut self,
        request: u64,
        command: impl Into<Command>,
        now: MonoNanos,
        submit: &mut impl Submit,
    ) {
        let (session, generation) = match (&self.bound, self.state) {
            (Some(bound), _) => (bound.session, bound.generation),
            (None, State::Awaiting { session, .. }) => (session, Generation(0)),
            (None, _) => return,
        };
        let request = RequestNumber(request);
        let header = RecordHeader { session, generation, request, ..RecordHeader::default() };
        let command = command.into();
        if !self.due.is_empty() || submit.submit(&header, now, &command).is_err() {
            self.due.push_back(Due { header, received: now, command });
        }
    }

    /// Hands over what the queue had no room for. Returns whether nothing is left.
    pub(crate) fn flush(&mut self, submit: &mut impl Submit) -> bool {
        while let Some(due) = self.due.front() {
            if submit.submit(&due.header, due.received, &due.command).is_err() {
                return false;
            }
            self.due.pop_front();
        }
        true
    }

    pub(crate) fn owes(&self) -> bool {
        !self.due.is_empty()
    }

    pub(crate) fn pending(&self) -> &[u8] {
        self.output.get(self.output_at..).unwrap_or_default()
    }

    /// The buffer that outputs are appended to.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        if self.output_at == self.output.len() {
            self.output.clear();
            self.output_at = 0;
        } else if self.output_at > self.output.len() / 2 {
            self.output.drain(..self.output_at);
            self.output_at = 0;
        }
        &mut self.output
    }

    /// Lets `act` append to the output as the session that the connection is bound to.
    pub(crate) fn write<R>(
        &mut self,
        directory: &Directory,
        encoder: &mut Encoder,
        wall: UnixNanos,
        act: impl FnOnce(&mut Outgoing, &mut Pen<'_>) -> R,
    ) -> Option<R> {
        self.output();
        let bound = self.bound.as_mut()?;
        let route = Route { sender: bound.our_comp_id.as_bytes(), target: bound.client_comp_id.as_bytes() };
        Some(act(&mut bound.outgoing, &mut Pen { directory, encoder, wall, route, out: &mut self.output }))
    }

    /// Something was sent.
    pub(crate) fn spoke(&mut self, now: MonoNanos) {
        if let Some(bound) = &mut self.bound {
            bound.last_sent = now;
            bound.heartbeat_asked = false;
        }
    }

    /// Whether something has to come from the outbox.
    pub(crate) fn is_behind(&self) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.outgoing.is_behind())
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.output_at = self.output.len().min(self.output_at.saturating_add(bytes));
    }

    /// Binds the connection: its Logon was accepted.
    pub(crate) fn open(
        &mut self,
        opened: &SessionOpened,
        comp_ids: (Text<COMP_ID_BYTES_MAX>, Text<COMP_ID_BYTES_MAX>),
        now: MonoNanos,
    ) {
        let (received, fills_gaps) = match self.state {
            State::Awaiting { msg_seq_num, fills_gaps, .. } => (msg_seq_num, fills_gaps),
            State::Fresh { .. } | State::Open | State::Ending | State::Closing { .. } | State::Done => {
                (0, false)
            }
        };
        let mut held = BTreeMap::new();
        let is_gap = received > opened.next_in;
        if is_gap {
            held.insert(received, Held::Counted);
        }
        self.bound = Some(Bound {
            session: opened.session,
            generation: opened.generation,
            client_comp_id: comp_ids.0,
            our_comp_id: comp_ids.1,
            next_in: opened.next_in,
            gap: (is_gap && !fills_gaps).then_some(received),
            held,
            held_bytes: 0,
            heartbeat_nanos: u64::from(opened.heartbeat_s) * NANOS_PER_SECOND,
            last_received: now,
            last_sent: now,
            heartbeat_asked: false,
            test_asked: false,
            outgoing: Outgoing::new(opened.session, opened.epoch, opened.next_out, opened.resend_from),
        });
        self.doomed = self.gone.then_some(SessionEnd::Lost);
        self.state = State::Open;
    }

    /// The session's connection ended for this reason. After a Logout of ours the peer may still answer it.
    pub(crate) fn close(&mut self, end: SessionEnd, now: MonoNanos) {
        let lingers = matches!(
            end,
            SessionEnd::Protocol
                | SessionEnd::BeginString
                | SessionEnd::SequenceTooLow
                | SessionEnd::NodeStopped
        );
        let until = now.plus(if lingers { LINGER_NANOS } else { DRAIN_NANOS });
        self.state = State::Closing { until, lingers };
        self.input.clear();
    }

    /// Whether everything that the peer is owed has been written.
    pub(crate) fn is_drained(&self) -> bool {
        self.pending().is_empty() && !self.is_behind()
    }

    pub(crate) fn should_close(&self) -> bool {
        match self.state {
            State::Done => true,
            State::Closing { lingers, .. } => !lingers && self.is_drained(),
            State::Fresh { .. } | State::Awaiting { .. } | State::Open | State::Ending => false,
        }
    }

    /// Does what is due by the clock.
    pub(crate) fn tick(&mut self, now: MonoNanos, submit: &mut impl Submit) {
        match self.state {
            State::Fresh { until } if now >= until => self.state = State::Done,
            State::Closing { until, lingers } if now >= until => {
                let until = now.plus(DRAIN_NANOS);
                self.state = if lingers { State::Closing { until, lingers: false } } else { State::Done };
            }
            State::Open if !self.gone => self.tick_open(now, submit),
            State::Fresh { .. } | State::Closing { .. } | State::Open => {}
            State::Awaiting { .. } | State::Ending | State::Done => {}
        }
    }

    fn tick_open(&mut self, now: MonoNanos, submit: &mut impl Submit) {
        let owes = self.owes();
        let Some(bound) = self.bound.as_mut().filter(|bound| bound.heartbeat_nanos > 0) else { return };
        if owes {
            // The peer is not being read from, so its silence says nothing.
            bound.last_received = now;
            return;
        }
        let silent = now.since(bound.last_received);
        let test = !bound.test_asked && silent >= bound.test_nanos();
        // While a TestRequest is open the next thing that happens is an answer or the end.
        let idle = now.since(bound.last_sent) >= bound.heartbeat_nanos;
        let heartbeat = idle && !bound.heartbeat_asked && !bound.test_asked;
        if silent >= bound.silent_nanos() && bound.test_asked {
            self.submit(0, SessionDown { end: SessionEnd::Silent }, now, submit);
            self.state = State::Ending;
            return;
        }
        bound.test_asked |= test;
        bound.heartbeat_asked |= heartbeat;
        if heartbeat {
            self.submit(0, SessionTick { action: SessionAction::Heartbeat }, now, submit);
        }
        if test {
            self.submit(0, SessionTick { action: SessionAction::TestRequest }, now, submit);
        }
    }

    /// When [`Self::tick`] has something to do if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<MonoNanos> {
        match (self.state, &self.bound) {
            (State::Fresh { until } | State::Closing { until, .. }, _) => Some(until),
            (State::Open, Some(bound)) if bound.heartbeat_nanos > 0 && !self.gone => {
                if self.owes() {
                    return Some(bound.last_received.plus(bound.heartbeat_nanos));
                }
                let silence = if bound.test_asked { bound.silent_nanos() } else { bound.test_nanos() };
                let heard = bound.last_received.plus(silence);
                let sent = bound.last_sent.plus(bound.heartbeat_nanos);
                Some(if bound.heartbeat_asked || bound.test_asked { heard } else { heard.min(sent) })
            }
            (State::Awaiting { .. } | State::Open | State::Ending | State::Done, _) => None,
        }
    }
}

//! One connection: from its Negotiate through its requests to its Terminate.

use std::collections::{BTreeMap, VecDeque};

use protocol::binary::{
    BinaryFault, BusinessReject, Establish, EstablishAck, EstablishReject, EstablishRejectCode, FlowType,
    HEADERS_BYTES, Message, Negotiate, NegotiateReject, NegotiateRejectCode, NegotiateResponse, NotApplied,
    Sequence, Terminate, TerminationCode, Words, establish_to_sign,
};
use protocol::hash::Hash;
use protocol::limits::BINARY_MESSAGE_BYTES_MAX;
use protocol::time::NANOS_PER_MILLI;
use protocol::{ActorId, MonoNanos, RequestNumber, Seq, SessionId, Term};

use super::commands::Commands;
use super::directory::Directory;
use super::input::Input;
use super::read::Read;
use super::{KEEP_ALIVE_MS, Options};

/// Longest message of a peer that has not proved who it is.
const STRANGER_BYTES_MAX: usize = 1 << 10;
/// How far a client's numbers may jump. Requests that are unanswered differ in the lower half of their numbers.
const GAP_MAX: u64 = 1 << 31;

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This node, in this term; applied is this seq and all before it.
    Here(Term, Seq),
    /// Another node, reached at this address; empty = it is not known where.
    Elsewhere(String),
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A Negotiate is expected, and soon.
    Fresh {
        /// How soon an Establish has to have come.
        until: MonoNanos,
    },
    /// An Establish is expected.
    Negotiated {
        /// How soon.
        until: MonoNanos,
        /// What it has to sign.
        challenge: Hash,
    },
    /// Requests are taken.
    Established,
    /// No more requests are taken; once all are answered, the connection ends.
    Draining(TerminationCode),
    /// What is left is sent, then the connection is closed.
    Closing {
        /// At the latest.
        until: MonoNanos,
    },
}

/// A request without an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unanswered {
    pub(crate) seq_no: RequestNumber,
    pub(crate) template: u16,
    bytes: usize,
}

/// What the state machine needs to know of the world.
pub(crate) struct Surroundings<'a> {
    pub(crate) options: &'a Options,
    pub(crate) directory: &'a Directory,
    pub(crate) commands: &'a Commands,
    pub(crate) leadership: &'a Leadership,
    /// The challenge of this connection.
    pub(crate) challenge: Hash,
    pub(crate) now: MonoNanos,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    pub(crate) session: SessionId,
    session_ver_id: u64,
    pub(crate) actor: Option<ActorId>,
    /// Stands in the upper half of the numbers of its requests in the journal.
    pub(crate) serial: u32,
    pub(crate) input: Input,
    output: Vec<u8>,
    /// Bytes at the front of the output that were written.
    written: usize,
    /// The number of the next request.
    next: RequestNumber,
    /// By the lower half of their numbers.
    unanswered: BTreeMap<u32, Unanswered>,
    unanswered_bytes: usize,
    /// Questions that were not taken yet.
    pub(crate) reads: VecDeque<Read>,
    /// Questions that were taken and are not answered.
    reads_taken: usize,
    /// Their longest answers together.
    answer_bytes: usize,
    /// It waits for its turn to have a question taken.
    pub(crate) is_asking: bool,
    keep_alive_nanos: u64,
    heard: MonoNanos,
    spoke: MonoNanos,
    /// The queue had no room for its first message.
    pub(crate) is_full: bool,
}

/// The lower half of a number.
pub(crate) fn lower_half(number: RequestNumber) -> u32 {
    u32::try_from(number.0 & u64::from(u32::MAX)).unwrap_or_default()
}

impl Connection {
    pub(crate) fn new(until: MonoNanos, now: MonoNanos) -> Self {
        Self {
            state: State::Fresh { until },
            session: SessionId(0),
            session_ver_id: 0,
            actor: None,
            serial: 0,
            input: Input::default(),
            output: Vec::new(),
            written: 0,
            next: RequestNumber(0),
            unanswered: BTreeMap::new(),
            unanswered_bytes: 0,
            reads: VecDeque::new(),
            reads_taken: 0,
            answer_bytes: 0,
            is_asking: false,
            keep_alive_nanos: 0,
            heard: now,
            spoke: now,
            is_full: false,
        }
    }

    /// Longest message that is taken now.
    pub(crate) const fn message_bytes_max(&self) -> usize {
        match self.state {
            State::Established => BINARY_MESSAGE_BYTES_MAX,
            State::Fresh { .. } | State::Negotiated { .. } | State::Draining(_) | State::Closing { .. } => {
                STRANGER_BYTES_MAX
            }
        }
    }

    /// Whether more of its messages can be taken now.
    pub(crate) fn takes_messages(&self, options: &Options) -> bool {
        let reads = match self.state {
            State::Fresh { .. } | State::Negotiated { .. } | State::Established => true,
            State::Draining(_) | State::Closing { .. } => false,
        };
        reads
            && self.unanswered.len() < options.unanswered_max
            && self.unanswered_bytes < options.unanswered_bytes_max
            && self.pending().len() < options.output_bytes_max
    }

    /// Whether its next question may be taken: there is room for its longest answer behind what waits already, or nothing does.
    pub(crate) fn may_ask(&self, options: &Options) -> bool {
        let is_heard = matches!(self.state, State::Established | State::Draining(_));
        let waiting = self.pending().len().saturating_add(self.answer_bytes);
        let has_room = |read: &Read| {
            waiting == 0 || waiting.saturating_add(read.answer_bytes_max()) <= options.output_bytes_max
        };
        is_heard && self.reads_taken < options.reads_taken_max && self.reads.front().is_some_and(has_room)
    }

    /// Its next question, if it may be taken.
    pub(crate) fn take_read(&mut self, options: &Options) -> Option<Read> {
        if !self.may_ask(options) {
            return None;
        }
        let read = self.reads.pop_front()?;
        self.reads_taken += 1;
        self.answer_bytes += read.answer_bytes_max();
        Some(read)
    }

    /// A question that was taken is answered.
    pub(crate) fn read_answered(&mut self, read: &Read) {
        self.reads_taken -= 1;
        self.answer_bytes -= read.answer_bytes_max();
    }

    /// The peer gave a sign of life.
    pub(crate) fn heard(&mut self, now: MonoNanos) {
        self.heard = now;
    }

    /// What waits to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        self.output.get(self.written..).unwrap_or_default()
    }

    /// So many bytes were written.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= self.output.len() {
            self.written = 0;
            self.output.clear();
            if self.output.capacity() > BINARY_MESSAGE_BYTES_MAX {
                self.output = Vec::new();
            }
        }
    }

    /// Writes a message.
    pub(crate) fn say<'a>(&mut self, message: impl Into<Message<'a>>, now: MonoNanos) {
        if self.written > BINARY_MESSAGE_BYTES_MAX {
            self.output.drain(..self.written);
            self.written = 0;
        }
        message.into().write(&mut self.output);
        self.spoke = now;
    }

    /// Says goodbye; what is unanswered stays so.
    pub(crate) fn terminate(&mut self, code: TerminationCode, text: &str, options: &Options, now: MonoNanos) {
        let (session, session_ver_id) = (self.session, self.session_ver_id);
        self.say(Terminate { session, session_ver_id, code, text: Words::new(text) }, now);
        self.close(options, now);
    }

    pub(crate) fn violation(&mut self, text: &str, options: &Options, now: MonoNanos) {
        self.terminate(TerminationCode::ProtocolViolation, text, options, now);
    }

    pub(crate) fn undecodable(&mut self, fault: BinaryFault, options: &Options, now: MonoNanos) {
        self.terminate(TerminationCode::DecodingError, &fault.to_string(), options, now);
    }

    fn close(&mut self, options: &Options, now: MonoNanos) {
        self.state = State::Closing { until: now.plus(options.linger_nanos) };
        self.unanswered.clear();
        self.unanswered_bytes = 0;
        self.input.clear();
        self.is_full = false;
    }

    /// Ends once everything is answered.
    pub(crate) fn drain(&mut self, code: TerminationCode, options: &Options, now: MonoNanos) {
        self.state = State::Draining(code);
        self.input.clear();
        self.is_full = false;
        self.end_if_drained(options, now);
    }

    fn end_if_drained(&mut self, options: &Options, now: MonoNanos) {
        if let State::Draining(code) = self.state
            && self.unanswered.is_empty()
        {
            self.terminate(code, "", options, now);
        }
    }

    /// Whether nothing is left to do but to close the socket.
    pub(crate) fn should_close(&self, now: MonoNanos) -> bool {
        match self.state {
            State::Closing { until } => self.pending().is_empty() || now >= until,
            State::Fresh { .. } | State::Negotiated { .. } | State::Established | State::Draining(_) => false,
        }
    }

    /// When the clock brings something about.
    pub(crate) fn deadline(&self) -> MonoNanos {
        match self.state {
            State::Fresh { until } | State::Negotiated { until, .. } | State::Closing { until } => until,
            State::Established | State::Draining(_) => {
                let silent = self.spoke.plus(self.keep_alive_nanos);
                silent.min(self.heard.plus(self.keep_alive_nanos.saturating_mul(2)))
            }
        }
    }

    /// Does what is due by the clock.
    pub(crate) fn tick(&mut self, options: &Options, now: MonoNanos) {
        match self.state {
            State::Fresh { until } | State::Negotiated { until, .. } if now >= until => {
                self.violation("no session was established in time", options, now);
            }
            State::Established | State::Draining(_) => {
                // Who waits for us is not silent: nothing is read from it.
                let waits_for_us = self.is_full || !self.unanswered.is_empty();
                let takes_answers = self.pending().len() < options.output_bytes_max;
                let silent_nanos = now.since(self.heard);
                if waits_for_us && takes_answers {
                    self.heard = self.heard.max(MonoNanos(now.0.saturating_sub(self.keep_alive_nanos)));
                } else if silent_nanos >= self.keep_alive_nanos.saturating_mul(2) {
                    return self.terminate(TerminationCode::KeepAliveExpired, "", options, now);
                }
                if now.since(self.spoke) >= self.keep_alive_nanos {
                    self.say(Sequence { next_seq_no: self.next }, now);
                    self.input.give_back_if_idle();
                }
            }
            State::Fresh { .. } | State::Negotiated { .. } | State::Closing { .. } => {}
        }
    }

    /// The first message: which session.
    pub(crate) fn negotiate(&mut self, negotiate: Negotiate, until: MonoNanos, cx: &Surroundings<'_>) {
        let Negotiate { session, session_ver_id, timestamp: request_timestamp, client_flow } = negotiate;
        let leads = matches!(cx.leadership, Leadership::Here(..));
        let reject_code = if session_ver_id == 0 {
            Some(NegotiateRejectCode::InvalidSessionVersion)
        } else if client_flow != FlowType::Idempotent {
            Some(NegotiateRejectCode::FlowTypeNotSupported)
        } else if leads && cx.directory.who(session).is_none() {
            Some(NegotiateRejectCode::Credentials)
        } else {
            None
        };
        if let Some(reject_code) = reject_code {
            let text = Words::new(reject_code.name());
            self.say(
                NegotiateReject { session, session_ver_id, request_timestamp, reject_code, text },
                cx.now,
            );
            return self.close(cx.options, cx.now);
        }
        (self.session, self.session_ver_id) = (session, session_ver_id);
        let (server_flow, challenge) = (FlowType::Unsequenced, cx.challenge);
        self.state = State::Negotiated { until, challenge };
        self.say(
            NegotiateResponse { session, session_ver_id, request_timestamp, server_flow, challenge },
            cx.now,
        );
    }

    /// The second message: the client's proof. Returns whether the session is established.
    pub(crate) fn establish(
        &mut self,
        establish: &Establish,
        challenge: Hash,
        serial: Option<u32>,
        cx: &Surroundings<'_>,
    ) -> bool {
        match self.check_establish(establish, challenge, serial, cx) {
            Ok((actor, serial, term, journal_seq)) => {
                let &Establish { session, session_ver_id, timestamp, keep_alive_ms, next_seq_no, .. } =
                    establish;
                (self.actor, self.serial, self.next) = (Some(actor), serial, next_seq_no);
                self.keep_alive_nanos = u64::from(keep_alive_ms) * NANOS_PER_MILLI;
                self.state = State::Established;
                let ack = EstablishAck {
                    session,
                    session_ver_id,
                    request_timestamp: timestamp,
                    keep_alive_ms,
                    next_seq_no,
                    term,
                    journal_seq,
                    next_command_no: cx.commands.next(session),
                };
                self.say(ack, cx.now);
                true
            }
            Err((reject_code, text)) => {
                let &Establish { session, session_ver_id, timestamp: request_timestamp, .. } = establish;
                let text = Words::new(&text);
                self.say(
                    EstablishReject { session, session_ver_id, request_timestamp, reject_code, text },
                    cx.now,
                );
                self.close(cx.options, cx.now);
                false
            }
        }
    }

    fn check_establish(
        &self,
        establish: &Establish,
        challenge: Hash,
        serial: Option<u32>,
        cx: &Surroundings<'_>,
    ) -> Result<(ActorId, u32, Term, Seq), (EstablishRejectCode, String)> {
        let refuse = |code: EstablishRejectCode| (code, code.name().to_owned());
        let &Establish { session, session_ver_id, timestamp, keep_alive_ms, next_seq_no, signature } =
            establish;
        if (session, session_ver_id) != (self.session, self.session_ver_id) {
            return Err(refuse(EstablishRejectCode::Unnegotiated));
        }
        let (term, seq) = match cx.leadership {
            Leadership::Here(term, seq) => (*term, *seq),
            Leadership::Elsewhere(address) => {
                return Err((EstablishRejectCode::NotLeader, address.clone()));
            }
        };
        let (actor, key) = cx.directory.who(session).ok_or(refuse(EstablishRejectCode::Credentials))?;
        let to_sign = establish_to_sign(session, session_ver_id, timestamp, challenge);
        if !key.verifies(&to_sign, &signature) {
            return Err(refuse(EstablishRejectCode::Credentials));
        }
        if !KEEP_ALIVE_MS.contains(&keep_alive_ms) {
            let (least, most) = (KEEP_ALIVE_MS.start(), KEEP_ALIVE_MS.end());
            let text = format!("{keep_alive_ms} ms; {least} to {most} are allowed");
            return Err((EstablishRejectCode::KeepAliveInterval, text));
        }
        if next_seq_no == RequestNumber(0) {
            return Err(refuse(EstablishRejectCode::InvalidNextSeqNo));
        }
        let serial = serial.ok_or(refuse(EstablishRejectCode::TooManyConnections))?;
        Ok((actor, serial, term, seq))
    }

    /// The client's next number is this; what it skips is never applied. Returns whether the connection goes on.
    pub(crate) fn count_on(&mut self, number: RequestNumber, options: &Options, now: MonoNanos) -> bool {
        let Some(count) = number.0.checked_sub(self.next.0) else {
            let text = format!("number {number}, at least {} is expected", self.next);
            self.violation(&text, options, now);
            return false;
        };
        // The number behind it has to be one, too.
        let is_taken = self.unanswered.contains_key(&lower_half(number));
        if count > GAP_MAX || number.0 == u64::MAX || is_taken {
            self.violation(&format!("number {number} is too far ahead"), options, now);
            return false;
        }
        if count > 0 {
            self.say(NotApplied { from_seq_no: self.next, count }, now);
            self.next = number;
        }
        true
    }

    /// A request was taken: it has an answer to come.
    pub(crate) fn expect_answer(&mut self, number: RequestNumber, template: u16, bytes: usize) {
        self.next = RequestNumber(number.0.saturating_add(1));
        self.unanswered.insert(lower_half(number), Unanswered { seq_no: number, template, bytes });
        self.unanswered_bytes += bytes;
    }

    /// The request that is answered now; `None`: it is not known here.
    pub(crate) fn answered(&mut self, lower_half: u32) -> Option<Unanswered> {
        let answered = self.unanswered.remove(&lower_half)?;
        self.unanswered_bytes -= answered.bytes;
        Some(answered)
    }

    /// Says something that answers a request, the last one perhaps.
    pub(crate) fn reply<'a>(&mut self, message: impl Into<Message<'a>>, options: &Options, now: MonoNanos) {
        self.say(message, now);
        self.end_if_drained(options, now);
    }

    /// Refuses a request before it went anywhere; its number is used.
    pub(crate) fn reject(&mut self, reject: BusinessReject<'_>, now: MonoNanos) {
        self.next = RequestNumber(reject.ref_seq_no.0.saturating_add(1));
        self.say(reject, now);
    }
}

/// No message is shorter.
const _: () = assert!(STRANGER_BYTES_MAX > HEADERS_BYTES);

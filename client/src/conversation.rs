//! The protocol from the client's side, without a socket or a clock: bytes and times in, bytes and answers out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::binary::{
    BinaryFault, BusinessRejectReason, Establish, EstablishRejectCode, FlowType, Message, Negotiate,
    NegotiateRejectCode, NegotiateResponse, Sequence, Terminate, TerminationCode, Words, establish_to_sign,
    message_bytes,
};
use protocol::limits::BINARY_MESSAGE_BYTES_MAX;
use protocol::sign::PrivateKey;
use protocol::time::NANOS_PER_MILLI;
use protocol::{MonoNanos, RejectReason, RequestNumber, SessionId, UnixNanos};

use crate::request::{Reply, Request};

/// Longest pause before a request is sent again that a node had no answer for.
const PAUSE_NANOS_MAX: u64 = 1_000 * NANOS_PER_MILLI;

/// Who speaks.
pub struct Credentials {
    /// The session.
    pub session: SessionId,
    /// The private key of its actor.
    pub key: PrivateKey,
}

impl Credentials {
    /// Those of a demo's cashier, which everybody knows: they open nothing but demos.
    #[must_use]
    pub fn demo() -> Self {
        let key = PrivateKey::from_seed(b"sicil demo: known to everybody. ");
        Self { session: SessionId(120), key }
    }
}

/// A request that was handed in, in the order in which that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Why a connection is of no more use. What is unanswered is sent again on the next one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Another node leads.
    #[error("another node leads{}", if .0.is_empty() { String::new() } else { format!(": {}", .0) })]
    NotLeader(
        /// Its address, if it is known.
        String,
    ),
    /// The node ended it.
    #[error("the node ended the session: {} {text}", .code.name())]
    Terminated {
        /// Why.
        code: TerminationCode,
        /// What else it said.
        text: String,
    },
    /// The session is not let in, here or anywhere.
    #[error("the session is refused: {0}")]
    Refused(
        /// What the node said.
        String,
    ),
    /// The node has no room for the session now.
    #[error("the node has no room for the session now: {0}")]
    NoRoom(
        /// What the node said.
        String,
    ),
    /// Others of this session have executed so many commands that the next number is not known here any more.
    #[error("the number of the session's next command is not known any more")]
    Outnumbered,
    /// Nothing was heard for too long.
    #[error("the node is silent")]
    Silent,
    /// What came is no message of this protocol.
    #[error("the node does not speak this protocol: {0}")]
    Malformed(
        /// Why.
        BinaryFault,
    ),
    /// A message that may not come now.
    #[error("the node said something that may not come now: template {0}")]
    OutOfTurn(
        /// Its template.
        u16,
    ),
}

impl Ended {
    /// Whether other nodes would say the same.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Terminated { code, .. } => matches!(code, TerminationCode::Blocked),
            Self::NotLeader(_)
            | Self::NoRoom(_)
            | Self::Outnumbered
            | Self::Silent
            | Self::Malformed(_)
            | Self::OutOfTurn(_) => false,
        }
    }
}

/// A request without an answer.
struct Open {
    request: Request,
    attempts: u32,
    /// Of a command that was sent: its number in the session, and how often it was sent under this one.
    command: Option<(RequestNumber, u32)>,
    /// Until when it is sent again by itself.
    until: MonoNanos,
    /// How long the last pause was, and the answer that said when to ask again.
    paused: Option<(u64, Reply)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Apart,
    Negotiating,
    Establishing,
    Established,
}

/// One session over any number of connections, one at a time.
pub struct Conversation {
    credentials: Credentials,
    session_ver_id: u64,
    keep_alive_ms: u32,
    stage: Stage,
    /// What came and is no whole message yet.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes at the front of the output that were written.
    written: usize,
    open: BTreeMap<Ticket, Open>,
    /// Numbers on this connection.
    tickets: BTreeMap<RequestNumber, Ticket>,
    next_ticket: u64,
    next_number: RequestNumber,
    /// Of the session's next command.
    next_command: RequestNumber,
    commands_under_way: usize,
    /// How long a request is sent again that a node had no answer for.
    retry_nanos: u64,
    /// When those are due. Some may be answered or withdrawn meanwhile.
    again: BTreeSet<(MonoNanos, Ticket)>,
    replies: VecDeque<(Ticket, Reply)>,
    heard: MonoNanos,
    spoke: MonoNanos,
}

impl Conversation {
    /// Without a connection. `session_ver_id`: any number above 0 that is told apart from another life of this session.
    #[must_use]
    pub fn new(credentials: Credentials, session_ver_id: u64, keep_alive_ms: u32) -> Self {
        Self {
            credentials,
            session_ver_id: session_ver_id.max(1),
            keep_alive_ms,
            stage: Stage::Apart,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            open: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 1,
            next_number: RequestNumber(1),
            next_command: RequestNumber(1),
            commands_under_way: 0,
            retry_nanos: 0,
            again: BTreeSet::new(),
            replies: VecDeque::new(),
            heard: MonoNanos(0),
            spoke: MonoNanos(0),
        }
    }

    /// A request for which a node had no answer now ([`BusinessRejectReason::Busy`], [`BusinessRejectReason::NoQuorum`],
    /// [`BusinessRejectReason::SeqNotReached`]) is sent again, after pauses that grow, so long from its submission on. Without this the
    /// refusal is the answer.
    pub fn retry_for(&mut self, nanos: u64) {
        self.retry_nanos = nanos;
    }

    /// A connection was made: the session is established on it, and what is unanswered goes out again.
    pub fn connected(&mut self, now: MonoNanos, wall: UnixNanos) {
        self.disconnected();
        (self.heard, self.spoke) = (now, now);
        self.stage = Stage::Negotiating;
        let negotiate = Negotiate {
            session: self.credentials.session,
            session_ver_id: self.session_ver_id,
            timestamp: wall,
            client_flow: FlowType::Idempotent,
        };
        negotiate.write(&mut self.output);
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.stage = Stage::Apart;
        self.input.clear();
        self.output.clear();
        self.written = 0;
        self.tickets.clear();
        self.next_number = RequestNumber(1);
    }

    /// Whether requests go out at once.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.stage == Stage::Established
    }

    /// Requests that are not answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.open.len()
    }

    /// Commands among them.
    #[must_use]
    pub fn commands_under_way(&self) -> usize {
        self.commands_under_way
    }

    /// Whether a request is unanswered.
    #[must_use]
    pub fn is_under_way(&self, ticket: Ticket) -> bool {
        self.open.contains_key(&ticket)
    }

    /// Hands a request in.
    pub fn submit(&mut self, request: Request, now: MonoNanos) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.commands_under_way += usize::from(request.is_command());
        self.open.insert(
            ticket,
            Open { request, attempts: 0, command: None, until: now.plus(self.retry_nanos), paused: None },
        );
        if self.is_established() {
            self.send(ticket, now);
        }
        ticket
    }

    /// Withdraws a request that is not answered: if it went out, it may be executed all the same.
    pub fn forget(&mut self, ticket: Ticket) {
        self.close(ticket);
        self.replies.retain(|(answered, _)| *answered != ticket);
    }

    /// Whether a node had no answer for a request, and it is to be sent again.
    #[must_use]
    pub fn is_paused(&self, ticket: Ticket) -> bool {
        self.open.get(&ticket).is_some_and(|open| open.paused.is_some())
    }

    /// Gives a request up. The answer is the last refusal, if a node had none for it.
    pub fn give_up(&mut self, ticket: Ticket) -> Option<Reply> {
        let open = self.close(ticket)?;
        open.paused.map(|(_, refusal)| refusal)
    }

    fn close(&mut self, ticket: Ticket) -> Option<Open> {
        let open = self.open.remove(&ticket)?;
        self.commands_under_way -= usize::from(open.request.is_command());
        Some(open)
    }

    fn send(&mut self, ticket: Ticket, now: MonoNanos) {
        let Some(open) = self.open.get_mut(&ticket) else { return };
        open.attempts += 1;
        if open.request.is_command() {
            let (number, sent) = open.command.unwrap_or((self.next_command, 0));
            if sent == 0 {
                self.next_command = RequestNumber(number.0 + 1);
            }
            open.command = Some((number, sent + 1));
            open.request.write_command(self.next_number, number, &mut self.output);
        } else {
            open.request.write(self.next_number, &mut self.output);
        }
        self.tickets.insert(self.next_number, ticket);
        self.next_number = RequestNumber(self.next_number.0 + 1);
        self.spoke = now;
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.get(self.written..).unwrap_or_default()
    }

    /// So many of them were written.
    pub fn sent(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= self.output.len() {
            self.output.clear();
            self.written = 0;
        } else if self.written > BINARY_MESSAGE_BYTES_MAX {
            self.output.drain(..self.written);
            self.written = 0;
        }
    }

    /// The next answer.
    pub fn take_reply(&mut self) -> Option<(Ticket, Reply)> {
        self.replies.pop_front()
    }

    /// The answer to one request.
    pub fn take_reply_to(&mut self, ticket: Ticket) -> Option<Reply> {
        let at = self.replies.iter().position(|(answered, _)| *answered == ticket)?;
        self.replies.remove(at).map(|(_, reply)| reply)
    }

    /// Bytes arrived.
    ///
    /// # Errors
    /// [`Ended`]: the connection is of no more use.
    pub fn receive(&mut self, bytes: &[u8], now: MonoNanos, wall: UnixNanos) -> Result<(), Ended> {
        self.heard = now;
        self.input.extend_from_slice(bytes);
        let input = core::mem::take(&mut self.input);
        let mut rest = &input[..];
        while let Some(length) = message_bytes(rest, BINARY_MESSAGE_BYTES_MAX).map_err(Ended::Malformed)? {
            let Some((message, behind)) = rest.split_at_checked(length) else { break };
            self.hear(&Message::read(message).map_err(Ended::Malformed)?, now, wall)?;
            rest = behind;
        }
        let taken = input.len() - rest.len();
        self.input = input;
        self.input.drain(..taken);
        Ok(())
    }

    fn hear(&mut self, message: &Message<'_>, now: MonoNanos, wall: UnixNanos) -> Result<(), Ended> {
        let out_of_turn = Err(Ended::OutOfTurn(message.template()));
        if let Message::Terminate(end) = message {
            let (code, text) = (end.code, end.text.as_str().to_owned());
            return Err(if code == TerminationCode::LeaderChange {
                Ended::NotLeader(text)
            } else {
                Ended::Terminated { code, text }
            });
        }
        if let Message::NegotiateReject(reject) = message {
            let why = NegotiateRejectCode::name(reject.reject_code);
            return Err(Ended::Refused(why.to_owned()));
        }
        if let Message::EstablishReject(reject) = message {
            return Err(refused(reject.reject_code, reject.text.as_str()));
        }
        match (self.stage, message) {
            (Stage::Negotiating, Message::NegotiateResponse(response)) => {
                self.establish(response, wall);
            }
            (Stage::Establishing, Message::EstablishAck(ack)) => {
                self.stage = Stage::Established;
                self.again.clear();
                let numbers = self.open.values().filter_map(|open| open.command);
                let next = numbers.map(|(number, _)| RequestNumber(number.0 + 1)).max();
                self.next_command = ack.next_command_no.max(next.unwrap_or_default());
                let tickets: Vec<Ticket> = self.open.keys().copied().collect();
                tickets.into_iter().for_each(|ticket| self.send(ticket, now));
            }
            (Stage::Established, Message::Sequence(_)) => {}
            (Stage::Established, message) => {
                let attempts = |number: RequestNumber| {
                    let ticket = self.tickets.get(&number);
                    ticket.and_then(|ticket| self.open.get(ticket)).map_or(0, |open| open.attempts)
                };
                let Some((number, reply)) = Reply::of(message, attempts) else { return out_of_turn };
                // A request that was withdrawn has no place any more.
                let Some(ticket) = self.tickets.remove(&number) else { return out_of_turn };
                if self.numbers_anew(ticket, &reply)? {
                    self.send(ticket, now);
                } else if !self.asks_again(ticket, &reply, now) && self.close(ticket).is_some() {
                    self.replies.push_back((ticket, reply));
                }
            }
            (Stage::Apart | Stage::Negotiating | Stage::Establishing, _) => return out_of_turn,
        }
        Ok(())
    }

    /// Whether a command has to be sent under another number: the engine knows that under its own it was not executed.
    fn numbers_anew(&mut self, ticket: Ticket, reply: &Reply) -> Result<bool, Ended> {
        let Reply::Rejected { refusal: Some(refusal), .. } = reply else { return Ok(false) };
        let Some(Open { command, .. }) = self.open.get_mut(&ticket) else { return Ok(false) };
        match (refusal, *command) {
            // Another command of the session had it before.
            (RejectReason::KeyReused, Some(_)) => {
                *command = None;
                Ok(true)
            }
            // Sent once, so never executed; sent again, nobody can say.
            (RejectReason::BelowRequestWindow, Some((_, 1))) => {
                *command = None;
                Err(Ended::Outnumbered)
            }
            _ => Ok(false),
        }
    }

    /// Whether a request is sent again later, because the node has no answer now.
    fn asks_again(&mut self, ticket: Ticket, reply: &Reply, now: MonoNanos) -> bool {
        let &Reply::Rejected {
            reason:
                BusinessRejectReason::Busy | BusinessRejectReason::NoQuorum | BusinessRejectReason::SeqNotReached,
            retry_after_ns,
            ..
        } = reply
        else {
            return false;
        };
        let Some(open) = self.open.get_mut(&ticket) else { return false };
        let before = open.paused.as_ref().map_or(0, |(pause, _)| *pause);
        let pause = retry_after_ns.max(before.saturating_mul(2)).clamp(1, PAUSE_NANOS_MAX);
        let at = now.plus(pause);
        if at >= open.until {
            return false;
        }
        open.paused = Some((pause, reply.clone()));
        self.again.insert((at, ticket));
        true
    }

    fn establish(&mut self, response: &NegotiateResponse, wall: UnixNanos) {
        let Credentials { session, key } = &self.credentials;
        let (session, session_ver_id) = (*session, self.session_ver_id);
        let to_sign = establish_to_sign(session, session_ver_id, wall, response.challenge);
        let establish = Establish {
            session,
            session_ver_id,
            timestamp: wall,
            keep_alive_ms: self.keep_alive_ms,
            next_seq_no: RequestNumber(1),
            signature: key.sign(&to_sign),
        };
        establish.write(&mut self.output);
        self.stage = Stage::Establishing;
    }

    /// Does what is due by the clock.
    ///
    /// # Errors
    /// [`Ended::Silent`].
    pub fn tick(&mut self, now: MonoNanos) -> Result<(), Ended> {
        if self.stage == Stage::Apart {
            return Ok(());
        }
        let keep_alive_nanos = u64::from(self.keep_alive_ms) * NANOS_PER_MILLI;
        if now.since(self.heard) >= keep_alive_nanos * 2 {
            return Err(Ended::Silent);
        }
        while self.is_established()
            && let Some(&(at, ticket)) = self.again.first()
            && at <= now
        {
            self.again.pop_first();
            self.send(ticket, now);
        }
        // Behind what was not taken yet nothing would be heard any sooner.
        if self.is_established() && self.output().is_empty() && now.since(self.spoke) >= keep_alive_nanos {
            Sequence { next_seq_no: self.next_number }.write(&mut self.output);
            self.spoke = now;
        }
        Ok(())
    }

    /// When to call [`Self::tick`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> MonoNanos {
        let keep_alive_nanos = u64::from(self.keep_alive_ms) * NANOS_PER_MILLI;
        let speaks = self.spoke.plus(keep_alive_nanos);
        let silent = self.heard.plus(keep_alive_nanos * 2);
        let due = if self.is_established() && self.output().is_empty() { speaks.min(silent) } else { silent };
        self.again.first().map_or(due, |(at, _)| due.min(*at))
    }

    /// Says goodbye; answers to what was sent still come, and then the end.
    pub fn finish(&mut self) {
        if self.is_established() {
            let (session, session_ver_id) = (self.credentials.session, self.session_ver_id);
            let code = TerminationCode::Finished;
            Terminate { session, session_ver_id, code, text: Words::new("") }.write(&mut self.output);
        }
    }
}

fn refused(code: EstablishRejectCode, text: &str) -> Ended {
    if code == EstablishRejectCode::NotLeader {
        Ended::NotLeader(text.to_owned())
    } else if code == EstablishRejectCode::TooManyConnections {
        // Those of an earlier life, perhaps, which the node has not missed yet.
        Ended::NoRoom(text.to_owned())
    } else {
        Ended::Refused(format!("{} {text}", code.name()))
    }
}

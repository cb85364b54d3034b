//! The other side of the line: a small FIX 4.4 initiator for the demo, for measurements and for tests of the acceptor.
//!
//! Bytes in, bytes out, both clocks as an argument. Its parser, its rendering and its session rules are its own on
//! purpose: where the acceptor misreads the standard, the two must not agree by sharing code. So it is naive where it
//! can be, and it ends the connection with a [`Fault`] wherever the acceptor does something that it may not.
//!
//! The numbers survive a connection: [`Initiator::connect`] logs on with those of the one before, and what either side
//! missed is sent again. What an application sends while there is no connection gets its number at once and reaches the
//! acceptor by the resend that it then asks for.

use std::collections::VecDeque;

use protocol::limits::FIX_MESSAGE_BYTES_MAX;
use protocol::time::{NANOS_PER_DAY, NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{MonoNanos, OrderType, Side, TimeInForce, UnixNanos};

/// Application messages kept for resends unless [`Settings`] says otherwise.
const SENT_MAX_DEFAULT: usize = 1 << 16;
/// Received messages that may wait for [`Initiator::take_received`].
const RECEIVED_MAX: usize = 1 << 20;
/// How long a Logon may stay unanswered: as long as a node takes to recover a large journal.
const LOGON_WAIT_NS: u64 = 30 * NANOS_PER_SECOND;
/// Above this no session gets, one message a nanosecond for thirty years.
const NUMBER_MAX: u64 = 1_000_000_000_000_000_000;
const SOH: u8 = 1;
/// `10=123` and its end.
const TRAILER_BYTES: usize = 7;

/// Both clocks, read together by the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clocks {
    /// For silence and heartbeats.
    pub mono: MonoNanos,
    /// For SendingTime(52) and TransactTime(60).
    pub wall: UnixNanos,
}

/// Who speaks to whom, and how often when there is nothing to say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SenderCompID(49) of what it sends.
    pub comp_id: String,
    /// TargetCompID(56) of what it sends.
    pub target_comp_id: String,
    /// HeartBtInt(108), seconds.
    pub heartbeat_s: u32,
    /// Application messages kept for resends; older ones are filled.
    pub sent_max: usize,
}

impl Settings {
    /// With a heartbeat of 30 s.
    pub fn new(comp_id: impl Into<String>, target_comp_id: impl Into<String>) -> Self {
        let (comp_id, target_comp_id) = (comp_id.into(), target_comp_id.into());
        Self { comp_id, target_comp_id, heartbeat_s: 30, sent_max: SENT_MAX_DEFAULT }
    }
}

/// The numbers of a session: all that has to survive the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// MsgSeqNum(34) of the next message received.
    pub next_in: u64,
    /// MsgSeqNum(34) of the next message sent.
    pub next_out: u64,
}

/// How to log on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogonStyle {
    /// With the numbers as they are; a gap is found when a message comes and is asked for.
    Continue,
    /// With the numbers as they are, and NextExpectedMsgSeqNum(789): the acceptor fills the gap unasked.
    ContinueNextExpected,
    /// ResetSeqNumFlag(141)=Y: both sides start again at 1 and forget what was sent.
    Reset,
}

/// What the acceptor may not do. The connection is of no use afterwards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a FIX message: wrong first fields, length, or checksum.
    #[error("garbled: {0}")]
    Garbled(&'static str),
    /// CompIDs of another session.
    #[error("a message of {sender} to {target}")]
    Identity {
        /// SenderCompID(49).
        sender: String,
        /// TargetCompID(56).
        target: String,
    },
    /// A number below the next one without PossDupFlag(43).
    #[error("MsgSeqNum {received} came, {expected} was expected")]
    TooLow {
        /// Expected next.
        expected: u64,
        /// Found.
        received: u64,
    },
    /// Something other than a Logon or a Logout answered the Logon.
    #[error("a message of type {0} came before the Logon was answered")]
    BeforeLogon(String),
    /// A SequenceReset(4) to a number that is not ahead.
    #[error("a sequence reset from {at} to {to}")]
    ResetBack {
        /// Its own number.
        at: u64,
        /// NewSeqNo(36).
        to: u64,
    },
    /// Neither an answer to the Logon nor one to a TestRequest came.
    #[error("silence")]
    Silent,
    /// The caller has not taken what was received.
    #[error("{RECEIVED_MAX} messages wait to be taken")]
    NotTaken,
}

/// One message as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
    msg_seq_num: u64,
}

/// Where the session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Without a connection.
    Down,
    /// The Logon has not been answered.
    LogonSent,
    /// Logged on.
    Active,
    /// Our Logout has not been answered.
    LogoutSent,
    /// The Logouts are exchanged, or the Logon was refused by one: the caller closes the socket.
    Ended,
}

/// A NewOrderSingle(D).
#[derive(Clone, Copy, Debug)]
pub struct NewOrder<'a> {
    /// ClOrdID(11).
    pub cl_ord_id: &'a str,
    /// Symbol(55).
    pub symbol: &'a str,
    /// Side(54).
    pub side: Side,
    /// OrdType(40).
    pub order_type: OrderType,
    /// TimeInForce(59).
    pub time_in_force: TimeInForce,
    /// Price(44), a decimal; empty = none.
    pub price: &'a str,
    /// OrderQty(38), a decimal.
    pub qty: &'a str,
}

/// An OrderCancelRequest(F), or the part of an OrderCancelReplaceRequest(G) that names the order.
#[derive(Clone, Copy, Debug)]
pub struct OrderRef<'a> {
    /// ClOrdID(11) of the request.
    pub cl_ord_id: &'a str,
    /// OrigClOrdID(41): the order's.
    pub orig_cl_ord_id: &'a str,
    /// Symbol(55).
    pub symbol: &'a str,
    /// Side(54).
    pub side: Side,
    /// OrderQty(38): in F as ordered, in G the new one.
    pub qty: &'a str,
}

/// An application message, as it can be sent again.
#[derive(Debug)]
struct Sent {
    msg_seq_num: u64,
    kind: &'static str,
    sent_at: UnixNanos,
    body: Vec<u8>,
}

/// One session, seen from the client.
#[derive(Debug)]
pub struct Initiator {
    settings: Settings,
    phase: Phase,
    next_in: u64,
    next_out: u64,
    sent: VecDeque<Sent>,
    received: Vec<Message>,
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    /// Numbered while the Logon waits for its answer.
    held: Vec<u8>,
    /// A resend has been asked for and covers everything up to this number: no second one for the same gap.
    gap_to: Option<u64>,
    /// Number of the last Logon.
    logon_sent: u64,
    /// A Logon that came ahead of what the acceptor sends again unasked: it counts when its turn comes.
    ahead: Option<Message>,
    heard: MonoNanos,
    spoke: MonoNanos,
    test_pending: bool,
    duplicates: u64,
}

impl Initiator {
    /// With numbers that start at 1.
    pub fn new(settings: Settings) -> Self {
        Self::with_state(settings, State { next_in: 1, next_out: 1 })
    }

    /// With the numbers of an earlier life. Its messages are not known any more: a resend of them is filled.
    pub fn with_state(settings: Settings, state: State) -> Self {
        Self {
            settings,
            phase: Phase::Down,
            next_in: state.next_in,
            next_out: state.next_out,
            sent: VecDeque::new(),
            received: Vec::new(),
            inbound: Vec::new(),
            outbound: Vec::new(),
            held: Vec::new(),
            gap_to: None,
            logon_sent: 0,
            ahead: None,
            heard: MonoNanos::default(),
            spoke: MonoNanos::default(),
            test_pending: false,
            duplicates: 0,
        }
    }

    /// Begins a new connection with a Logon.
    pub fn connect(&mut self, style: LogonStyle, now: Clocks) {
        self.disconnected();
        if style == LogonStyle::Reset {
            (self.next_in, self.next_out) = (1, 1);
            self.sent.clear();
        }
        self.phase = Phase::LogonSent;
        self.heard = now.mono;
        let mut body = Vec::new();
        field(&mut body, 98, "0");
        field(&mut body, 108, self.settings.heartbeat_s.to_string());
        match style {
            LogonStyle::Continue => {}
            LogonStyle::ContinueNextExpected => {
                field(&mut body, 789, self.next_in.to_string());
                // What the acceptor sends again unasked covers everything before its Logon.
                self.gap_to = Some(u64::MAX);
            }
            LogonStyle::Reset => field(&mut body, 141, "Y"),
        }
        self.logon_sent = self.send("A", &body, now);
    }

    /// The connection is gone: half a message and what was not transmitted are forgotten, the numbers stay.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Down;
        self.inbound.clear();
        self.outbound.clear();
        self.held.clear();
        self.gap_to = None;
        self.ahead = None;
        self.test_pending = false;
    }

    /// Says good-bye.
    pub fn logout(&mut self, now: Clocks) {
        if self.phase == Phase::Active {
            self.send("5", &[], now);
            self.phase = Phase::LogoutSent;
        }
    }

    /// Sends an order; returns its MsgSeqNum.
    pub fn new_order(&mut self, order: &NewOrder<'_>, now: Clocks) -> u64 {
        self.new_order_with(order, &[], now)
    }

    /// As [`Self::new_order`], with more fields of a D: tags and values.
    pub fn new_order_with(&mut self, order: &NewOrder<'_>, more: &[(u32, &str)], now: Clocks) -> u64 {
        let mut body = Vec::with_capacity(128);
        field(&mut body, 11, order.cl_ord_id);
        field(&mut body, 55, order.symbol);
        field(&mut body, 54, side_code(order.side));
        field(&mut body, 60, timestamp(now.wall));
        field(&mut body, 38, order.qty);
        field(&mut body, 40, order_type_code(order.order_type));
        if !order.price.is_empty() {
            field(&mut body, 44, order.price);
        }
        field(&mut body, 59, time_in_force_code(order.time_in_force));
        more.iter().for_each(|(tag, value)| field(&mut body, *tag, value));
        self.application("D", body, now)
    }

    /// Asks for an order's cancellation; returns the request's MsgSeqNum.
    pub fn cancel(&mut self, order: &OrderRef<'_>, now: Clocks) -> u64 {
        let body = order_ref(order, now);
        self.application("F", body, now)
    }

    /// Asks for another price or quantity of a limit order; returns the request's MsgSeqNum.
    pub fn replace(&mut self, order: &OrderRef<'_>, price: &str, now: Clocks) -> u64 {
        let mut body = order_ref(order, now);
        field(&mut body, 40, order_type_code(OrderType::Limit));
        field(&mut body, 44, price);
        self.application("G", body, now)
    }

    /// Asks how an order stands; returns the request's MsgSeqNum.
    pub fn status(&mut self, cl_ord_id: &str, symbol: &str, side: Side, now: Clocks) -> u64 {
        let mut body = Vec::with_capacity(64);
        field(&mut body, 11, cl_ord_id);
        field(&mut body, 55, symbol);
        field(&mut body, 54, side_code(side));
        self.application("H", body, now)
    }

    /// Sends a TestRequest(1).
    pub fn test_request(&mut self, id: &str, now: Clocks) {
        let mut body = Vec::new();
        field(&mut body, 112, id);
        self.send("1", &body, now);
    }

    /// Sends any application message, its body rendered by the caller; it is kept for resends.
    pub fn application(&mut self, kind: &'static str, body: Vec<u8>, now: Clocks) -> u64 {
        let msg_seq_num = self.send(kind, &body, now);
        if self.sent.len() >= self.settings.sent_max {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { msg_seq_num, kind, sent_at: now.wall, body });
        msg_seq_num
    }

    /// Takes bytes from the connection.
    ///
    /// # Errors
    /// [`Fault`] if the acceptor does what it may not.
    pub fn receive(&mut self, bytes: &[u8], now: Clocks) -> Result<(), Fault> {
        self.inbound.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = self.inbound.get(at..).unwrap_or_default();
            let Some(len) = message_bytes(rest)? else { break };
            let message = Message::parse(rest.get(..len).unwrap_or_default())?;
            at += len;
            self.take(message, now)?;
        }
        self.inbound.drain(..at);
        Ok(())
    }

    /// Lets time pass: heartbeats, test requests.
    ///
    /// # Errors
    /// [`Fault::Silent`] if the acceptor has not been heard for too long.
    pub fn tick(&mut self, now: Clocks) -> Result<(), Fault> {
        let heartbeat_ns = u64::from(self.settings.heartbeat_s) * NANOS_PER_SECOND;
        let silent_ns = now.mono.since(self.heard);
        match self.phase {
            Phase::Down | Phase::Ended => return Ok(()),
            Phase::LogonSent | Phase::LogoutSent => {
                return if silent_ns > LOGON_WAIT_NS { Err(Fault::Silent) } else { Ok(()) };
            }
            Phase::Active => {}
        }
        if heartbeat_ns == 0 {
            return Ok(());
        }
        if silent_ns > heartbeat_ns.saturating_mul(3) {
            return Err(Fault::Silent);
        }
        if silent_ns > heartbeat_ns.saturating_add(heartbeat_ns / 5) && !self.test_pending {
            self.test_request(&self.next_out.to_string(), now);
            self.test_pending = true;
        } else if now.mono.since(self.spoke) >= heartbeat_ns {
            self.send("0", &[], now);
        }
        Ok(())
    }

    /// Moves what is to be transmitted to the end of `out`.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.outbound);
    }

    /// Everything received and not yet taken, in the order of the numbers, each number once; a run that the acceptor
    /// filled stands as its SequenceReset(4).
    pub fn take_received(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.received)
    }

    /// The numbers as they stand.
    pub fn state(&self) -> State {
        State { next_in: self.next_in, next_out: self.next_out }
    }

    /// Where the session stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether everything that is known to have been sent has come: no resend is under way.
    pub fn caught_up(&self) -> bool {
        self.phase == Phase::Active && self.gap_to.is_none()
    }

    /// Messages that came again after they had been taken.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    fn take(&mut self, message: Message, now: Clocks) -> Result<(), Fault> {
        let (sender, target) = (message.text(49), message.text(56));
        if sender != self.settings.target_comp_id || target != self.settings.comp_id {
            return Err(Fault::Identity { sender, target });
        }
        if self.received.len() >= RECEIVED_MAX {
            return Err(Fault::NotTaken);
        }
        self.heard = now.mono;
        self.test_pending = false;
        match (self.phase, message.kind()) {
            (Phase::Down | Phase::Ended, _) => return Ok(()),
            (Phase::LogonSent, b"A") => return self.take_logon(message, now),
            (Phase::LogonSent, b"5") => {
                // Refused. Its number counts if it is the next one; if not, the next Logon sees to the gap.
                self.phase = Phase::Ended;
                if message.msg_seq_num == self.next_in {
                    self.next_in += 1;
                }
                self.received.push(message);
                return Ok(());
            }
            (Phase::LogonSent, kind) => {
                return Err(Fault::BeforeLogon(String::from_utf8_lossy(kind).into_owned()));
            }
            (Phase::Active | Phase::LogoutSent, _) => {}
        }
        if message.kind() == b"4" && !message.is_set(123) {
            self.next_in = message.number(36).unwrap_or(self.next_in);
            self.received.push(message);
            return Ok(());
        }
        let (expected, received) = (self.next_in, message.msg_seq_num);
        if received < expected {
            if !message.is_set(43) {
                return Err(Fault::TooLow { expected, received });
            }
            self.duplicates += 1;
            return Ok(());
        }
        if received > expected {
            self.take_early(&message, now);
            return Ok(());
        }
        self.next_in += 1;
        self.act(&message, now)?;
        self.received.push(message);
        self.close_gap();
        Ok(())
    }

    fn take_logon(&mut self, message: Message, now: Clocks) -> Result<(), Fault> {
        let (expected, received) = (self.next_in, message.msg_seq_num);
        if received < expected {
            return Err(Fault::TooLow { expected, received });
        }
        self.phase = Phase::Active;
        // Before everything that was given a number since the Logon: the acceptor does not ask for it.
        if let Some(missed) = message.number(789).filter(|missed| *missed <= self.logon_sent) {
            self.resend(missed, self.logon_sent, now);
        }
        self.outbound.append(&mut self.held);
        let unasked = self.gap_to.take().is_some();
        if received == expected {
            self.next_in += 1;
            self.received.push(message);
        } else if unasked {
            self.gap_to = Some(received);
            self.ahead = Some(message);
        } else {
            self.ask_resend(received, now);
        }
        Ok(())
    }

    /// A message ahead of the next one is dropped, for it comes again with those before it.
    fn take_early(&mut self, message: &Message, now: Clocks) {
        match message.kind() {
            // Answered at once, or two sides that both miss something would wait for each other.
            b"2" => self.answer_resend(message, now),
            b"5" => self.take_logout(now),
            _ => {}
        }
        if self.phase == Phase::Active && self.gap_to.is_none() {
            self.ask_resend(message.msg_seq_num, now);
        }
    }

    fn ask_resend(&mut self, received: u64, now: Clocks) {
        self.gap_to = Some(received);
        let mut body = Vec::new();
        field(&mut body, 7, self.next_in.to_string());
        field(&mut body, 16, "0");
        self.send("2", &body, now);
    }

    fn close_gap(&mut self) {
        if let Some(logon) = self.ahead.take_if(|logon| logon.msg_seq_num <= self.next_in)
            && logon.msg_seq_num == self.next_in
        {
            self.next_in += 1;
            self.received.push(logon);
        }
        self.gap_to = self.gap_to.filter(|to| *to >= self.next_in);
    }

    fn act(&mut self, message: &Message, now: Clocks) -> Result<(), Fault> {
        match message.kind() {
            b"1" => {
                let mut body = Vec::new();
                field(&mut body, 112, message.get(112).unwrap_or_default());
                self.send("0", &body, now);
            }
            b"2" => self.answer_resend(message, now),
            b"4" => {
                let (at, to) = (message.msg_seq_num, message.number(36).unwrap_or(0));
                if to <= at {
                    return Err(Fault::ResetBack { at, to });
                }
                self.next_in = to;
            }
            b"5" => self.take_logout(now),
            _ => {}
        }
        Ok(())
    }

    fn take_logout(&mut self, now: Clocks) {
        if self.phase == Phase::Active {
            self.send("5", &[], now);
        }
        self.phase = Phase::Ended;
    }

    fn answer_resend(&mut self, request: &Message, now: Clocks) {
        let end = request.number(16).filter(|end| *end != 0).unwrap_or(u64::MAX);
        self.resend(request.number(7).unwrap_or(1), end, now);
    }

    /// Sends application messages again and fills everything else.
    fn resend(&mut self, begin: u64, end: u64, now: Clocks) {
        let end = end.min(self.next_out - 1);
        let mut next = begin.max(1);
        let first = self.sent.partition_point(|sent| sent.msg_seq_num < next);
        let mut out = std::mem::take(&mut self.outbound);
        for sent in self.sent.iter().skip(first).take_while(|sent| sent.msg_seq_num <= end) {
            if sent.msg_seq_num > next {
                self.fill(&mut out, next, sent.msg_seq_num, now);
            }
            let mut body = Vec::with_capacity(sent.body.len() + 32);
            field(&mut body, 43, "Y");
            field(&mut body, 122, timestamp(sent.sent_at));
            body.extend_from_slice(&sent.body);
            self.render(&mut out, sent.kind, sent.msg_seq_num, &body, now);
            next = sent.msg_seq_num + 1;
        }
        if next <= end {
            self.fill(&mut out, next, end + 1, now);
        }
        self.outbound = out;
        self.spoke = now.mono;
    }

    fn fill(&self, out: &mut Vec<u8>, from: u64, to: u64, now: Clocks) {
        let mut body = Vec::new();
        field(&mut body, 43, "Y");
        field(&mut body, 122, timestamp(now.wall));
        field(&mut body, 123, "Y");
        field(&mut body, 36, to.to_string());
        self.render(out, "4", from, &body, now);
    }

    /// Gives the message the next number; transmits it if there is a connection that may carry it now.
    fn send(&mut self, kind: &str, body: &[u8], now: Clocks) -> u64 {
        let msg_seq_num = self.next_out;
        self.next_out += 1;
        match self.phase {
            Phase::Down | Phase::Ended => {}
            Phase::LogonSent if kind != "A" => {
                let mut held = std::mem::take(&mut self.held);
                self.render(&mut held, kind, msg_seq_num, body, now);
                self.held = held;
            }
            Phase::LogonSent | Phase::Active | Phase::LogoutSent => {
                let mut out = std::mem::take(&mut self.outbound);
                self.render(&mut out, kind, msg_seq_num, body, now);
                self.outbound = out;
                self.spoke = now.mono;
            }
        }
        msg_seq_num
    }

    fn render(&self, out: &mut Vec<u8>, kind: &str, msg_seq_num: u64, body: &[u8], now: Clocks) {
        let mut inner = Vec::with_capacity(body.len() + 96);
        field(&mut inner, 35, kind);
        field(&mut inner, 49, &self.settings.comp_id);
        field(&mut inner, 56, &self.settings.target_comp_id);
        field(&mut inner, 34, msg_seq_num.to_string());
        field(&mut inner, 52, timestamp(now.wall));
        inner.extend_from_slice(body);
        seal(out, &inner);
    }
}

impl Message {
    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut message = Self { bytes: bytes.to_vec(), msg_seq_num: 0 };
        if message.fields().nth(2).is_none_or(|(tag, value)| tag != 35 || value.is_empty()) {
            return Err(Fault::Garbled("the third field is not MsgType(35)"));
        }
        message.msg_seq_num = message.number(34).ok_or(Fault::Garbled("no MsgSeqNum(34)"))?;
        Ok(message)
    }

    /// MsgSeqNum(34).
    pub fn msg_seq_num(&self) -> u64 {
        self.msg_seq_num
    }

    /// The number after the last one that it stands for: of a gap fill NewSeqNo(36).
    pub fn next_seq_num(&self) -> u64 {
        match self.kind() {
            b"4" => self.number(36).unwrap_or(self.msg_seq_num + 1),
            _ => self.msg_seq_num + 1,
        }
    }

    /// MsgType(35).
    pub fn kind(&self) -> &[u8] {
        self.get(35).unwrap_or_default()
    }

    /// The first field with this tag.
    pub fn get(&self, tag: u32) -> Option<&[u8]> {
        self.fields().find(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    /// The first field with this tag as text; empty where there is none.
    pub fn text(&self, tag: u32) -> String {
        String::from_utf8_lossy(self.get(tag).unwrap_or_default()).into_owned()
    }

    /// The first field with this tag, if it is a number that can still be counted on from.
    pub fn number(&self, tag: u32) -> Option<u64> {
        std::str::from_utf8(self.get(tag)?).ok()?.parse().ok().filter(|number| *number < NUMBER_MAX)
    }

    /// Whether the first field with this tag is `Y`.
    pub fn is_set(&self, tag: u32) -> bool {
        self.get(tag) == Some(b"Y")
    }

    /// All fields in order, framing included.
    pub fn fields(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.bytes.split(|byte| *byte == SOH).filter_map(|text| {
            let equals = text.iter().position(|byte| *byte == b'=')?;
            let tag = std::str::from_utf8(text.get(..equals)?).ok()?.parse().ok()?;
            Some((tag, text.get(equals + 1..)?))
        })
    }
}

/// With `|` between the fields, as FIX is written on paper.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes).replace('\u{1}', "|"))
    }
}

/// Length of the first message of `bytes`, checked up to its checksum; `None` while it is not all there.
fn message_bytes(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    const BEGIN: &[u8] = b"8=FIX.4.4\x019=";
    let there = bytes.len().min(BEGIN.len());
    if bytes.get(..there) != BEGIN.get(..there) {
        return Err(Fault::Garbled("does not begin with 8=FIX.4.4 and 9="));
    }
    let rest = bytes.get(BEGIN.len()..).unwrap_or_default();
    let Some(digits) = rest.iter().position(|byte| *byte == SOH) else {
        return if rest.len() > 6 { Err(Fault::Garbled("BodyLength(9) without an end")) } else { Ok(None) };
    };
    let text = rest.get(..digits).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    let body: usize = text.parse().map_err(|_| Fault::Garbled("BodyLength(9) is no number"))?;
    if body > FIX_MESSAGE_BYTES_MAX {
        return Err(Fault::Garbled("BodyLength(9) above the limit"));
    }
    let trailer = BEGIN.len() + digits + 1 + body;
    let Some(found) = bytes.get(trailer..trailer + TRAILER_BYTES) else { return Ok(None) };
    if found != trailer_of(bytes.get(..trailer).unwrap_or_default()) {
        return Err(Fault::Garbled("CheckSum(10) differs"));
    }
    Ok(Some(trailer + TRAILER_BYTES))
}

fn trailer_of(bytes: &[u8]) -> [u8; TRAILER_BYTES] {
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    [b'1', b'0', b'=', b'0' + sum / 100, b'0' + sum / 10 % 10, b'0' + sum % 10, SOH]
}

/// Appends the message around `inner`, which begins with MsgType(35).
fn seal(out: &mut Vec<u8>, inner: &[u8]) {
    let start = out.len();
    field(out, 8, "FIX.4.4");
    field(out, 9, inner.len().to_string());
    out.extend_from_slice(inner);
    let trailer = trailer_of(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&trailer);
}

/// Appends `tag=value` and its end.
pub fn field(out: &mut Vec<u8>, tag: u32, value: impl AsRef<[u8]>) {
    out.extend_from_slice(tag.to_string().as_bytes());
    out.push(b'=');
    out.extend_from_slice(value.as_ref());
    out.push(SOH);
}

fn order_ref(order: &OrderRef<'_>, now: Clocks) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
    field(&mut body, 41, order.orig_cl_ord_id);
    field(&mut body, 11, order.cl_ord_id);
    field(&mut body, 55, order.symbol);
    field(&mut body, 54, side_code(order.side));
    field(&mut body, 60, timestamp(now.wall));
    field(&mut body, 38, order.qty);
    body
}

const fn side_code(side: Side) -> &'static str {
    match side {
        Side::Buy => "1",
        Side::Sell => "2",
    }
}

const fn order_type_code(order_type: OrderType) -> &'static str {
    match order_type {
        OrderType::Market => "1",
        OrderType::Limit => "2",
    }
}

const fn time_in_force_code(time_in_force: TimeInForce) -> &'static str {
    match time_in_force {
        TimeInForce::Day => "0",
        TimeInForce::GoodTillCancel => "1",
        TimeInForce::AtTheOpening => "2",
        TimeInForce::ImmediateOrCancel => "3",
        TimeInForce::FillOrKill => "4",
        TimeInForce::GoodTillDate => "6",
        TimeInForce::AtTheClose => "7",
    }
}

/// UTCTimestamp with milliseconds, such as `20261120-09:30:00.000`.
#[must_use]
pub fn timestamp(at: UnixNanos) -> String {
    let (days, in_day) = (at.0 / NANOS_PER_DAY, at.0 % NANOS_PER_DAY);
    let (year, month, day) = date_of(days);
    let seconds = in_day / NANOS_PER_SECOND;
    let millis = in_day % NANOS_PER_SECOND / NANOS_PER_MILLI;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}:{minute:02}:{second:02}.{millis:03}")
}

/// The date that is `days` after 1970-01-01. Counted in 400-year cycles from 1600-03-01, so that a leap day is the last of
/// its year.
fn date_of(days: u64) -> (u64, u64, u64) {
    const CYCLE_DAYS: u64 = 146_097;
    const FROM_1600_MARCH: u64 = 135_080;
    let days = days + FROM_1600_MARCH;
    let (cycle, in_cycle) = (days / CYCLE_DAYS, days % CYCLE_DAYS);
    let year = (in_cycle - in_cycle / 1_460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (1600 + 400 * cycle + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Clocks = Clocks { mono: MonoNanos(5), wall: UnixNanos(1_795_167_000_123_456_789) };

    fn after_s(seconds: u64) -> Clocks {
        let nanos = seconds * NANOS_PER_SECOND;
        Clocks { mono: NOW.mono.plus(nanos), wall: NOW.wall.plus(nanos) }
    }

    fn client() -> Initiator {
        Initiator::new(Settings::new("C", "S"))
    }

    /// A message of the acceptor.
    fn says(kind: &str, msg_seq_num: u64, body: &[(u32, &str)]) -> Vec<u8> {
        let mut inner = Vec::new();
        field(&mut inner, 35, kind);
        for (tag, value) in [(49, "S"), (56, "C"), (34, &msg_seq_num.to_string()), (52, "x")] {
            field(&mut inner, tag, value);
        }
        for (tag, value) in body {
            field(&mut inner, *tag, value);
        }
        let mut out = Vec::new();
        seal(&mut out, &inner);
        out
    }

    /// What was sent since the last call, one line a message, without framing, CompIDs and times.
    fn sent(client: &mut Initiator) -> Vec<String> {
        let (mut bytes, mut lines) = (Vec::new(), Vec::new());
        client.take_output(&mut bytes);
        let mut rest = bytes.as_slice();
        while let Some(len) = message_bytes(rest).unwrap() {
            let message = Message::parse(&rest[..len]).unwrap();
            let shown = message.fields().filter(|(tag, _)| ![8, 9, 10, 49, 52, 56, 60, 122].contains(tag));
            let shown = shown.map(|(tag, value)| format!("{tag}={}", String::from_utf8_lossy(value)));
            lines.push(shown.collect::<Vec<_>>().join(" "));
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
        lines
    }

    fn logged_on() -> Initiator {
        let mut client = client();
        client.connect(LogonStyle::Continue, NOW);
        client.receive(&says("A", 1, &[(98, "0"), (108, "30")]), NOW).unwrap();
        assert_eq!((client.phase(), sent(&mut client).len()), (Phase::Active, 1));
        client
    }

    fn order(client: &mut Initiator, cl_ord_id: &str) -> u64 {
        let order = NewOrder {
            cl_ord_id,
            symbol: "BTC-TRY",
            side: Side::Buy,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::GoodTillCancel,
            price: "1.5",
            qty: "2",
        };
        client.new_order(&order, NOW)
    }

    fn numbers(messages: &[Message]) -> Vec<u64> {
        messages.iter().map(Message::msg_seq_num).collect()
    }

    #[test]
    fn a_logon_has_these_bytes() {
        let mut client = client();
        client.connect(LogonStyle::Reset, NOW);
        let mut out = Vec::new();
        client.take_output(&mut out);
        let shown = String::from_utf8(out).unwrap().replace('\u{1}', "|");
        let body = "35=A|49=C|56=S|34=1|52=20261120-09:30:00.123|98=0|108=30|141=Y|";
        let sum = format!("8=FIX.4.4|9={}|{body}", body.len()).replace('|', "\u{1}");
        let sum: u32 = sum.bytes().map(u32::from).sum();
        assert_eq!(shown, format!("8=FIX.4.4|9=63|{body}10={:03}|", sum % 256));
    }

    #[test]
    fn dates_are_right_at_their_edges() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (11_322, (2000, 12, 31)),
            (19_782, (2024, 2, 29)),
            (20_777, (2026, 11, 20)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date_of(days), date, "{days}");
        }
    }

    #[test]
    fn requests_say_what_they_are() {
        let mut client = logged_on();
        assert_eq!(order(&mut client, "a"), 2);
        let named =
            OrderRef { cl_ord_id: "b", orig_cl_ord_id: "a", symbol: "BTC-TRY", side: Side::Sell, qty: "1" };
        client.replace(&named, "1.25", NOW);
        client.cancel(&named, NOW);
        client.status("a", "BTC-TRY", Side::Buy, NOW);
        let expected = [
            "35=D 34=2 11=a 55=BTC-TRY 54=1 38=2 40=2 44=1.5 59=1",
            "35=G 34=3 41=a 11=b 55=BTC-TRY 54=2 38=1 40=2 44=1.25",
            "35=F 34=4 41=a 11=b 55=BTC-TRY 54=2 38=1",
            "35=H 34=5 11=a 55=BTC-TRY 54=1",
        ];
        assert_eq!(sent(&mut client), expected);
    }

    #[test]
    fn a_resend_repeats_orders_and_fills_the_rest() {
        let mut client = logged_on();
        order(&mut client, "a");
        client.receive(&says("1", 2, &[(112, "ping")]), NOW).unwrap();
        order(&mut client, "b");
        assert_eq!(sent(&mut client)[1], "35=0 34=3 112=ping");
        client.receive(&says("2", 3, &[(7, "1"), (16, "0")]), NOW).unwrap();
        let again =
            |seq: u64, id: &str| format!("35=D 34={seq} 43=Y 11={id} 55=BTC-TRY 54=1 38=2 40=2 44=1.5 59=1");
        let filled = |from: u64, to: u64| format!("35=4 34={from} 43=Y 123=Y 36={to}");
        assert_eq!(sent(&mut client), [filled(1, 2), again(2, "a"), filled(3, 4), again(4, "b")]);
        client.receive(&says("2", 4, &[(7, "2"), (16, "3")]), NOW).unwrap();
        assert_eq!(sent(&mut client), [again(2, "a"), filled(3, 4)]);
        client.receive(&says("2", 5, &[(7, "9"), (16, "0")]), NOW).unwrap();
        assert_eq!(sent(&mut client), [""; 0]);
    }

    #[test]
    fn what_is_no_longer_kept_is_filled() {
        let mut client = Initiator::new(Settings { sent_max: 1, ..Settings::new("C", "S") });
        client.connect(LogonStyle::Continue, NOW);
        client.receive(&says("A", 1, &[]), NOW).unwrap();
        order(&mut client, "a");
        order(&mut client, "b");
        sent(&mut client);
        client.receive(&says("2", 2, &[(7, "2"), (16, "0")]), NOW).unwrap();
        let lines = sent(&mut client);
        assert_eq!(lines[0], "35=4 34=2 43=Y 123=Y 36=3");
        assert!(lines[1].starts_with("35=D 34=3 43=Y 11=b"), "{lines:?}");
    }

    #[test]
    fn a_gap_is_asked_for_once_and_taken_in_order() {
        let mut client = logged_on();
        for early in [4, 5] {
            client.receive(&says("8", early, &[]), NOW).unwrap();
        }
        assert_eq!(sent(&mut client), ["35=2 34=2 7=2 16=0"]);
        assert!(!client.caught_up());
        client.receive(&says("4", 2, &[(43, "Y"), (123, "Y"), (36, "4")]), NOW).unwrap();
        for again in [4, 5] {
            client.receive(&says("8", again, &[(43, "Y")]), NOW).unwrap();
        }
        client.receive(&says("8", 6, &[]), NOW).unwrap();
        client.receive(&says("8", 3, &[(43, "Y")]), NOW).unwrap();
        assert!(client.caught_up());
        assert_eq!((sent(&mut client).len(), client.duplicates()), (0, 1));
        let received = client.take_received();
        assert_eq!(numbers(&received), [1, 2, 4, 5, 6]);
        assert!(received.windows(2).all(|pair| pair[0].next_seq_num() == pair[1].msg_seq_num()));
        client.receive(&says("8", 8, &[]), NOW).unwrap();
        assert_eq!(sent(&mut client), ["35=2 34=3 7=7 16=0"], "a new gap is asked for again");
    }

    #[test]
    fn a_resend_request_ahead_of_its_turn_is_answered_all_the_same() {
        let mut client = logged_on();
        order(&mut client, "a");
        sent(&mut client);
        client.receive(&says("2", 3, &[(7, "2"), (16, "0")]), NOW).unwrap();
        let lines = sent(&mut client);
        assert!(lines[0].starts_with("35=D 34=2 43=Y"), "{lines:?}");
        assert_eq!(lines[1..], ["35=2 34=3 7=2 16=0"]);
    }

    #[test]
    fn numbers_go_on_over_a_lost_connection() {
        let mut client = logged_on();
        client.disconnected();
        assert_eq!(order(&mut client, "a"), 2);
        client.connect(LogonStyle::Continue, NOW);
        assert_eq!(order(&mut client, "b"), 4);
        assert_eq!(sent(&mut client), ["35=A 34=3 98=0 108=30"]);
        client.receive(&says("A", 4, &[]), NOW).unwrap();
        let lines = sent(&mut client);
        assert!(lines[0].starts_with("35=D 34=4 11=b"), "{lines:?}");
        assert_eq!(lines[1..], ["35=2 34=5 7=2 16=0"]);
        client.receive(&says("4", 2, &[(43, "Y"), (123, "Y"), (36, "5")]), NOW).unwrap();
        client.receive(&says("2", 5, &[(7, "2"), (16, "0")]), NOW).unwrap();
        let resent: Vec<_> = sent(&mut client).iter().map(|line| line[..9].to_owned()).collect();
        assert_eq!(resent, ["35=D 34=2", "35=4 34=3", "35=D 34=4", "35=4 34=5"]);
        assert_eq!(client.state(), State { next_in: 6, next_out: 6 });
    }

    #[test]
    fn a_later_life_has_the_numbers_and_nothing_to_repeat() {
        let mut client = Initiator::with_state(Settings::new("C", "S"), State { next_in: 7, next_out: 4 });
        client.connect(LogonStyle::Continue, NOW);
        client.receive(&says("A", 7, &[]), NOW).unwrap();
        client.receive(&says("2", 8, &[(7, "2"), (16, "0")]), NOW).unwrap();
        assert_eq!(sent(&mut client), ["35=A 34=4 98=0 108=30", "35=4 34=2 43=Y 123=Y 36=5"]);
    }

    #[test]
    fn next_expected_fills_the_gap_unasked() {
        let mut client = logged_on();
        client.connect(LogonStyle::ContinueNextExpected, NOW);
        client.receive(&says("A", 4, &[]), NOW).unwrap();
        assert_eq!(sent(&mut client), ["35=A 34=2 98=0 108=30 789=2"]);
        client.receive(&says("8", 2, &[(43, "Y")]), NOW).unwrap();
        assert!(!client.caught_up());
        client.receive(&says("8", 3, &[(43, "Y")]), NOW).unwrap();
        assert!(client.caught_up());
        client.receive(&says("8", 5, &[]), NOW).unwrap();
        assert_eq!(numbers(&client.take_received()), [1, 2, 3, 4, 5]);
        assert_eq!(sent(&mut client), [""; 0]);
    }

    #[test]
    fn what_the_acceptor_says_that_it_expects_is_sent_unasked_and_before_what_is_new() {
        let mut client = logged_on();
        order(&mut client, "a");
        order(&mut client, "b");
        sent(&mut client);
        client.connect(LogonStyle::ContinueNextExpected, NOW);
        order(&mut client, "c");
        client.receive(&says("A", 2, &[(789, "3")]), NOW).unwrap();
        let lines = sent(&mut client);
        let starts: Vec<&str> = lines.iter().map(|line| &line[..9]).collect();
        assert_eq!(starts, ["35=A 34=4", "35=D 34=3", "35=4 34=4", "35=D 34=5"], "{lines:?}");
        assert!(lines[1].contains("43=Y") && lines[2].contains("36=5"), "{lines:?}");
        // In step: nothing to send.
        client.connect(LogonStyle::ContinueNextExpected, NOW);
        client.receive(&says("A", 3, &[(789, "7")]), NOW).unwrap();
        assert_eq!(sent(&mut client).len(), 1);
    }

    #[test]
    fn a_reset_forgets() {
        let mut client = logged_on();
        order(&mut client, "a");
        client.connect(LogonStyle::Reset, NOW);
        client.receive(&says("A", 1, &[(141, "Y")]), NOW).unwrap();
        client.receive(&says("2", 2, &[(7, "1"), (16, "0")]), NOW).unwrap();
        let lines = sent(&mut client);
        assert_eq!(lines, ["35=A 34=1 98=0 108=30 141=Y", "35=4 34=1 43=Y 123=Y 36=2"]);
    }

    #[test]
    fn silence_is_broken_questioned_and_ended() {
        let mut client = logged_on();
        client.tick(after_s(29)).unwrap();
        assert_eq!(sent(&mut client), [""; 0]);
        client.tick(after_s(30)).unwrap();
        assert_eq!(sent(&mut client), ["35=0 34=2"]);
        client.tick(after_s(37)).unwrap();
        assert_eq!(sent(&mut client), ["35=1 34=3 112=3"]);
        client.receive(&says("0", 2, &[(112, "3")]), after_s(38)).unwrap();
        client.tick(after_s(60)).unwrap();
        assert_eq!(client.tick(after_s(129)), Err(Fault::Silent));
        client.connect(LogonStyle::Continue, NOW);
        assert_eq!(client.tick(after_s(31)), Err(Fault::Silent));
    }

    #[test]
    fn good_byes_are_answered_once() {
        let mut client = logged_on();
        client.receive(&says("5", 2, &[]), NOW).unwrap();
        assert_eq!((client.phase(), sent(&mut client)), (Phase::Ended, vec!["35=5 34=2".to_owned()]));
        let mut client = logged_on();
        client.logout(NOW);
        client.receive(&says("8", 2, &[]), NOW).unwrap();
        client.receive(&says("5", 3, &[]), NOW).unwrap();
        assert_eq!((client.phase(), sent(&mut client)), (Phase::Ended, vec!["35=5 34=2".to_owned()]));
        assert_eq!(numbers(&client.take_received()), [1, 2, 3]);
    }

    #[test]
    fn a_refused_logon_says_why() {
        let mut client = logged_on();
        client.connect(LogonStyle::Continue, NOW);
        client.receive(&says("5", 2, &[(58, "too low")]), NOW).unwrap();
        assert_eq!(client.phase(), Phase::Ended);
        assert_eq!(client.take_received()[1].text(58), "too low");
    }

    #[test]
    fn bytes_may_come_one_by_one() {
        let mut client = logged_on();
        let stream = [says("8", 2, &[(11, "a")]), says("8", 3, &[(11, "b=c")])].concat();
        for byte in stream {
            client.receive(&[byte], NOW).unwrap();
        }
        let received = client.take_received();
        assert_eq!(numbers(&received), [1, 2, 3]);
        assert_eq!(received[2].get(11), Some(&b"b=c"[..]));
        assert_eq!(received[2].get(99), None);
    }

    #[test]
    fn an_acceptor_that_errs_is_found_out() {
        let fault = |bytes: &[u8]| logged_on().receive(bytes, NOW).unwrap_err();
        let good = says("8", 2, &[(11, "a")]);
        let text = |from: &str, to: &str| {
            let text = String::from_utf8(good.clone()).unwrap();
            assert!(text.contains(from));
            text.replacen(from, to, 1).into_bytes()
        };
        assert!(matches!(fault(&text("FIX.4.4", "FIX.4.2")), Fault::Garbled(_)));
        assert!(matches!(fault(&text("9=", "9=x")), Fault::Garbled(_)));
        assert!(matches!(fault(&text("9=", "9=9999999")), Fault::Garbled(_)));
        assert!(matches!(fault(&text("11=a", "11=b")), Fault::Garbled(_)));
        assert!(matches!(fault(b"hello"), Fault::Garbled(_)));
        assert_eq!(fault(&says("8", 1, &[])), Fault::TooLow { expected: 2, received: 1 });
        assert_eq!(
            fault(&says("4", 2, &[(123, "Y"), (36, "2")])),
            Fault::ResetBack { at: 2, to: 2 },
            "a gap fill that fills nothing"
        );
        let mut stranger = Initiator::new(Settings::new("D", "S"));
        stranger.connect(LogonStyle::Continue, NOW);
        assert!(matches!(stranger.receive(&says("A", 1, &[]), NOW), Err(Fault::Identity { .. })));
        let mut early = client();
        early.connect(LogonStyle::Continue, NOW);
        assert_eq!(early.receive(&says("8", 1, &[]), NOW), Err(Fault::BeforeLogon("8".to_owned())));
    }
}

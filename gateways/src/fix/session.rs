//! What a message means for its session: the published session-layer cases, in the order in which they are judged.
//!
//! A message is garbled, or of another version, or numbered too high, too low or right; only a right one is executed. What
//! is refused is refused by a command, because the refusal has a number and numbers are the engine's.

use protocol::commands::{
    SessionDown, SessionGap, SessionHeartbeat, SessionLogon, SessionLogout, SessionRefuse,
    SessionRejectReceived, SessionResendRequest, SessionSequenceReset, SessionTestRequest, SessionTick,
    SessionTooLow,
};
use protocol::limits::{FIX_MESSAGE_BYTES_MAX, NOTE_BYTES_MAX, ROUTING_BYTES_MAX};
use protocol::submit::Submit;
use protocol::time::NANOS_PER_SECOND;
use protocol::{Command, MonoNanos, SessionAction, SessionEnd, SessionId, Strictness, Text, UnixNanos};

use super::SOH;
use super::connection::{Bound, Connection, Held, State};
use super::dictionary::{self, Direction, MessageDef};
use super::directory::Directory;
use super::encode::BEGIN_STRING;
use super::frame::{self, Frame, Long, Passed};
use super::message::{Field, Message};
use super::orders;
use super::reasons::business;
use super::timestamp;
use super::validate::{self, Fault, SEQ_NUM_MAX, reason};

/// SendingTime(52) may be this far from our clock.
const SENDING_TIME_NANOS_MAX: u64 = 120 * NANOS_PER_SECOND;
/// Bytes of messages above a gap that are kept; what does not fit comes again on request.
const HELD_BYTES_MAX: usize = 8 * FIX_MESSAGE_BYTES_MAX;

/// What judging a connection's input needs from outside.
pub(crate) struct Inbound<'a, S> {
    pub(crate) directory: &'a Directory,
    pub(crate) fields: &'a mut Vec<Field>,
    pub(crate) now: MonoNanos,
    pub(crate) wall: UnixNanos,
    pub(crate) submit: &'a mut S,
}

/// A fault, and whether the session ends with it.
struct Grave {
    fault: Fault,
    ends: bool,
}

impl Connection {
    /// Works off what has been received, as far as state and queue allow.
    pub(crate) fn work<S: Submit>(&mut self, cx: &mut Inbound<'_, S>) {
        if let Some(end) = self.doomed.take_if(|_| self.state == State::Open) {
            self.down(end, cx.now, cx.submit);
        }
        let input = core::mem::take(&mut self.input);
        let mut at = self.skip.min(input.len());
        self.skip -= at;
        while self.flush(cx.submit) && self.parses() {
            if self.release_held(cx) {
                continue;
            }
            if let Some(mut long) = self.long.take() {
                let (bytes, passed) = long.pass(&input[at..]);
                at += bytes;
                match passed {
                    Passed::Incomplete => {
                        self.long = Some(long);
                        break;
                    }
                    Passed::Whole => {
                        self.heard(cx.now);
                        self.long_message(long.fields(), cx);
                    }
                    Passed::Garbled => self.garbled(),
                }
                continue;
            }
            match frame::next(&input[at..]) {
                Frame::Incomplete => break,
                Frame::Long(bytes) => self.long = Some(Long::new(&input[at..], bytes)),
                Frame::Noise(bytes) | Frame::Garbled(bytes) => {
                    let here = bytes.min(input.len() - at);
                    self.skip = bytes - here;
                    at += here;
                    self.garbled();
                }
                Frame::Whole(bytes) => {
                    let message = &input[at..at + bytes];
                    at += bytes;
                    self.heard(cx.now);
                    self.message(message, cx.wall, cx);
                }
            }
        }
        self.input = input;
        if matches!(self.state, State::Ending | State::Done | State::Closing { lingers: false, .. }) {
            self.input.clear();
        } else {
            self.input.drain(..at);
        }
    }

    fn parses(&self) -> bool {
        !self.gone
            && matches!(self.state, State::Fresh { .. } | State::Open | State::Closing { lingers: true, .. })
    }

    fn heard(&mut self, now: MonoNanos) {
        if let Some(bound) = &mut self.bound {
            bound.last_received = now;
            bound.test_asked = false;
        }
    }

    /// A garbled message is ignored, except as the first one.
    fn garbled(&mut self) {
        if let State::Fresh { .. } = self.state {
            self.state = State::Done;
        }
    }

    /// Executes the message whose turn has come now that a gap is closed. Returns whether there was one.
    fn release_held<S: Submit>(&mut self, cx: &mut Inbound<'_, S>) -> bool {
        let Some(bound) = self.bound.as_mut().filter(|_| self.state == State::Open) else { return false };
        let number = bound.next_in;
        let Some(held) = bound.held.remove(&number) else { return false };
        match held {
            Held::Message { bytes, arrived } => {
                bound.held_bytes -= bytes.len();
                self.message(&bytes, arrived, cx);
            }
            Held::Counted => {
                let fill =
                    SessionSequenceReset { new_seq_no: number + 1, gap_fill: true, msg_seq_num: number };
                self.submit(number, fill, cx.now, cx.submit);
            }
        }
        // Whatever became of it, its number has been dealt with; a message kept twice would come back for ever.
        self.advance(number + 1);
        true
    }

    fn message<S: Submit>(&mut self, bytes: &[u8], arrived: UnixNanos, cx: &mut Inbound<'_, S>) {
        let mut fields = core::mem::take(cx.fields);
        match Message::split(bytes, &mut fields) {
            Err(_) => self.garbled(),
            Ok(message) => match self.state {
                State::Fresh { .. } => self.first(&message, cx),
                State::Open => self.bound_message(&message, bytes, arrived, cx),
                State::Closing { until, .. } if message.msg_type() == b"5" => {
                    self.state = State::Closing { until, lingers: false };
                }
                State::Awaiting { .. } | State::Ending | State::Closing { .. } | State::Done => {}
            },
        }
        *cx.fields = fields;
    }

    /// The first message has to be a good Logon of a known session; otherwise the connection is closed without a word,
    /// because a word would need a number.
    fn first<S: Submit>(&mut self, message: &Message<'_>, cx: &mut Inbound<'_, S>) {
        let comp_id = |tag| message.get(tag).unwrap_or_default();
        let session = cx.directory.session_of(comp_id(49), comp_id(56));
        let logon = session.and_then(|session| {
            let good = message.begin_string() == BEGIN_STRING
                && message.msg_type() == b"A"
                && check_known(message, session.strictness).is_ok()
                && sending_time(message, cx.wall).is_none();
            let logon = self.logon(message)?;
            good.then_some((session.session, logon))
        });
        match logon {
            None => self.state = State::Done,
            Some((session, logon)) => {
                self.await_outcome(session, &logon);
                self.submit(0, logon, cx.now, cx.submit);
            }
        }
    }

    fn await_outcome(&mut self, session: SessionId, logon: &SessionLogon) {
        let (msg_seq_num, fills_gaps) = (logon.msg_seq_num, logon.next_expected != 0);
        self.state = State::Awaiting { session, msg_seq_num, fills_gaps };
    }

    fn logon(&self, message: &Message<'_>) -> Option<SessionLogon> {
        Some(SessionLogon {
            connection: self.id.0,
            msg_seq_num: message.number(34).filter(|number| *number > 0)?,
            heartbeat_s: u32::try_from(message.number(108)?).ok()?,
            reset: message.is_yes(141),
            next_expected: message.number(789).unwrap_or(0),
        })
    }

    fn bound_message<S: Submit>(
        &mut self,
        message: &Message<'_>,
        bytes: &[u8],
        arrived: UnixNanos,
        cx: &mut Inbound<'_, S>,
    ) {
        let (Some(number), Some(bound)) = (self.number(message, cx), &self.bound) else { return };
        let next_in = bound.next_in;
        let kind = message.msg_type();
        if kind == b"4" && !message.is_yes(123) {
            self.sequence_reset(message, number, arrived, cx);
        } else if kind == b"A" && message.is_yes(141) {
            self.logon_again(message, arrived, cx);
        } else if number < next_in {
            self.too_low(message, number, arrived, cx);
        } else if number > next_in {
            self.too_high(message, bytes, number, arrived, cx);
        } else {
            self.in_sequence(message, number, arrived, cx);
        }
    }

    /// MsgSeqNum(34). A message of another version, or without a number, cannot be placed, and ends the session.
    fn number<S: Submit>(&mut self, message: &Message<'_>, cx: &mut Inbound<'_, S>) -> Option<u64> {
        if message.begin_string() != BEGIN_STRING {
            self.end(SessionAction::BeginString, cx);
            return None;
        }
        let number = message.number(34).filter(|number| *number <= SEQ_NUM_MAX);
        if number.is_none() {
            let reason = match message.get(34) {
                None => reason::REQUIRED_TAG_MISSING,
                Some(b"") => reason::NO_VALUE,
                Some(_) => reason::INCORRECT_FORMAT,
            };
            self.reject(0, message, Fault { tag: 34, reason }, "", cx);
            self.end(SessionAction::Protocol, cx);
        }
        number
    }

    /// A message of which only the first fields are known, because it is longer than what is taken. It is not garbled:
    /// its peer would send it again for ever if it were ignored. So it is refused, and its number counts.
    fn long_message<S: Submit>(&mut self, bytes: &[u8], cx: &mut Inbound<'_, S>) {
        let mut fields = core::mem::take(cx.fields);
        match (Message::split(bytes, &mut fields), self.state) {
            (Ok(message), State::Open) => self.refuse_long(&message, cx),
            _ => self.garbled(),
        }
        *cx.fields = fields;
    }

    fn refuse_long<S: Submit>(&mut self, message: &Message<'_>, cx: &mut Inbound<'_, S>) {
        let (Some(number), Some(bound)) = (self.number(message, cx), &self.bound) else { return };
        let (next_in, arrived) = (bound.next_in, cx.wall);
        if number < next_in {
            return self.too_low(message, number, arrived, cx);
        }
        // Above a gap its number does not count yet, and there is nothing of it to keep: it comes again.
        let request = if number == next_in { number } else { 0 };
        if let Some(grave) = self.grave(message, arrived) {
            self.refuse_gravely(request, message, &grave, cx);
        } else if number > next_in {
            return self.ask_for_gap(number, cx);
        } else {
            let note = format!("longer than {FIX_MESSAGE_BYTES_MAX} bytes");
            self.reject(number, message, Fault { tag: 0, reason: reason::OTHER }, &note, cx);
        }
        if number == next_in {
            self.advance(number + 1);
        }
    }

    /// SequenceReset-Reset: its own number does not matter.
    fn sequence_reset<S: Submit>(
        &mut self,
        message: &Message<'_>,
        number: u64,
        arrived: UnixNanos,
        cx: &mut Inbound<'_, S>,
    ) {
        if self.refused(0, message, arrived, cx) {
            return;
        }
        let new_seq_no = message.number(36).unwrap_or(0);
        let reset = SessionSequenceReset { new_seq_no, gap_fill: false, msg_seq_num: number };
        self.submit(0, reset, cx.now, cx.submit);
        self.advance(new_seq_no);
    }

    /// A Logon with ResetSeqNumFlag on a connection that is logged on: all numbers start again at 1.
    fn logon_again<S: Submit>(&mut self, message: &Message<'_>, arrived: UnixNanos, cx: &mut Inbound<'_, S>) {
        let Some(session) = self.bound.as_ref().map(|bound| bound.session) else { return };
        if self.refused(0, message, arrived, cx) {
            return;
        }
        let allowed = cx.directory.session(session).is_some_and(|session| session.reset_on_logon);
        match self.logon(message).filter(|_| allowed) {
            Some(logon) => {
                self.submit(0, logon.clone(), cx.now, cx.submit);
                self.await_outcome(session, &logon);
            }
            None => {
                let fault = Fault { tag: 141, reason: reason::VALUE_INCORRECT };
                self.reject(0, message, fault, "ResetSeqNumFlag is not allowed for this session", cx);
            }
        }
    }

    /// A repetition, if it says so; otherwise the peer has lost count, and the session ends. A Logout or ResendRequest is
    /// answered whatever its number: a peer that has lost count needs just these.
    fn too_low<S: Submit>(
        &mut self,
        message: &Message<'_>,
        number: u64,
        arrived: UnixNanos,
        cx: &mut Inbound<'_, S>,
    ) {
        if let Some(grave) = self.grave(message, arrived) {
            return self.refuse_gravely(0, message, &grave, cx);
        }
        if message.is_yes(43) {
            return;
        }
        match message.msg_type() {
            b"5" => self.logout(0, cx),
            b"2" => self.resend_request(0, message, arrived, cx),
            _ => {
                self.submit(0, SessionTooLow { received: number }, cx.now, cx.submit);
                self.state = State::Ending;
            }
        }
    }

    /// Something is missing before this one: it is asked for once, and this one waits. A Logout is answered at once, a
    /// ResendRequest too, before the request for what we miss, or two peers with gaps would wait for each other.
    fn too_high<S: Submit>(
        &mut self,
        message: &Message<'_>,
        bytes: &[u8],
        number: u64,
        arrived: UnixNanos,
        cx: &mut Inbound<'_, S>,
    ) {
        if let Some(grave) = self.grave(message, arrived) {
            return self.refuse_gravely(0, message, &grave, cx);
        }
        match message.msg_type() {
            b"5" => return self.logout(0, cx),
            b"2" => {
                self.resend_request(0, message, arrived, cx);
                self.hold(number, Held::Counted);
            }
            _ => self.hold(number, Held::Message { bytes: bytes.into(), arrived }),
        }
        self.ask_for_gap(number, cx);
    }

    fn ask_for_gap<S: Submit>(&mut self, number: u64, cx: &mut Inbound<'_, S>) {
        if let Some(bound) = self.bound.as_mut().filter(|bound| bound.gap.is_none()) {
            bound.gap = Some(number);
            self.submit(0, SessionGap { received: number }, cx.now, cx.submit);
        }
    }

    fn in_sequence<S: Submit>(
        &mut self,
        message: &Message<'_>,
        number: u64,
        arrived: UnixNanos,
        cx: &mut Inbound<'_, S>,
    ) {
        if self.refused(number, message, arrived, cx) {
            return self.advance(number + 1);
        }
        let mut next = number + 1;
        let command: Command = match message.msg_type() {
            b"0" => SessionHeartbeat {}.into(),
            b"1" => {
                let test_req_id = message.get(112).and_then(|id| Text::new(id).ok()).unwrap_or_default();
                SessionTestRequest { test_req_id }.into()
            }
            b"2" => resend_request(message).into(),
            b"3" | b"j" => SessionRejectReceived { ref_seq_num: message.number(45).unwrap_or(0) }.into(),
            b"4" => {
                let new_seq_no = message.number(36).unwrap_or(0);
                next = next.max(new_seq_no);
                SessionSequenceReset { new_seq_no, gap_fill: true, msg_seq_num: number }.into()
            }
            b"5" => return self.logout(number, cx),
            b"A" => {
                let fault = Fault { tag: 0, reason: reason::OTHER };
                self.reject(number, message, fault, "Already logged on", cx);
                return self.advance(next);
            }
            _ => match orders::command(message, cx.directory) {
                Ok(command) => command,
                Err(refusal) => {
                    self.refuse_business(number, message, &refusal, cx);
                    return self.advance(next);
                }
            },
        };
        self.submit(number, command, cx.now, cx.submit);
        self.advance(next);
    }

    /// Refuses a message that is not what it should be, under `request` (0 = it does not count). Returns whether it did.
    fn refused<S: Submit>(
        &mut self,
        request: u64,
        message: &Message<'_>,
        arrived: UnixNanos,
        cx: &mut Inbound<'_, S>,
    ) -> bool {
        let strictness = self.strictness(cx.directory);
        let known = accepted(message.msg_type());
        let invalid = known.and_then(|def| validate::check(message, def, strictness).err());
        if let Some(fault) = invalid {
            self.reject(request, message, fault, "", cx);
            return true;
        }
        if let Some(grave) = self.grave(message, arrived) {
            self.refuse_gravely(request, message, &grave, cx);
            return true;
        }
        if let Some(def) = known {
            return self.refused_routing(request, message, def, cx);
        }
        if dictionary::is_msg_type(message.msg_type()) {
            let refusal = orders::Refusal { reason: business::UNSUPPORTED_MSG_TYPE, note: Text::EMPTY };
            self.refuse_business(request, message, &refusal, cx);
        } else {
            self.reject(request, message, Fault { tag: 0, reason: reason::INVALID_MSG_TYPE }, "", cx);
        }
        true
    }

    /// Refuses an order for or from a third party. Every report of an order would have to carry the way back for as long as
    /// the order lives; without it, an order that a hub passed on would be answered to nobody. Returns whether it was one.
    fn refused_routing<S: Submit>(
        &mut self,
        request: u64,
        message: &Message<'_>,
        def: &MessageDef,
        cx: &mut Inbound<'_, S>,
    ) -> bool {
        let routed = |field: &&Field| ROUTING.iter().any(|(_, tag)| *tag == field.tag);
        let found = message.fields.iter().find(routed).filter(|_| def.direction == Direction::In);
        let Some(field) = found else { return false };
        let fault = Fault { tag: field.tag, reason: reason::COMP_ID };
        self.reject(request, message, fault, "third-party routing is not supported for orders", cx);
        true
    }

    /// Faults that are told apart from the dictionary's: whose message it is, and when it was sent.
    fn grave(&self, message: &Message<'_>, arrived: UnixNanos) -> Option<Grave> {
        let bound = self.bound.as_ref()?;
        let differs =
            |tag, comp_id: &[u8]| message.get(tag).is_some_and(|found| !found.is_empty() && found != comp_id);
        if differs(49, bound.client_comp_id.as_bytes()) || differs(56, bound.our_comp_id.as_bytes()) {
            return Some(Grave { fault: Fault { tag: 0, reason: reason::COMP_ID }, ends: true });
        }
        if let Some(fault) = sending_time(message, arrived) {
            return Some(Grave { fault, ends: true });
        }
        if !message.is_yes(43) {
            return None;
        }
        let orig = message.get(122);
        if orig.is_none() && message.msg_type() != b"4" {
            let fault = Fault { tag: 122, reason: reason::REQUIRED_TAG_MISSING };
            return Some(Grave { fault, ends: false });
        }
        let (orig, sent) = (orig.and_then(timestamp::parse), message.get(52).and_then(timestamp::parse));
        let later = orig.zip(sent).is_some_and(|(orig, sent)| orig > sent);
        later.then_some(Grave { fault: Fault { tag: 0, reason: reason::SENDING_TIME }, ends: true })
    }

    fn refuse_gravely<S: Submit>(
        &mut self,
        request: u64,
        message: &Message<'_>,
        grave: &Grave,
        cx: &mut Inbound<'_, S>,
    ) {
        self.reject(request, message, grave.fault, "", cx);
        if grave.ends {
            self.end(SessionAction::Protocol, cx);
        }
    }

    fn reject<S: Submit>(
        &mut self,
        request: u64,
        message: &Message<'_>,
        fault: Fault,
        note: &str,
        cx: &mut Inbound<'_, S>,
    ) {
        let refuse = SessionRefuse {
            ref_seq_num: message.number(34).unwrap_or(0),
            ref_msg_type: ref_msg_type(message),
            ref_tag: fault.tag.cast_unsigned(),
            reason: fault.reason,
            business: false,
            ref_id: Text::EMPTY,
            note: Text::truncated(note),
            routing: turned_round(message).into(),
        };
        self.submit(request, refuse, cx.now, cx.submit);
    }

    fn refuse_business<S: Submit>(
        &mut self,
        request: u64,
        message: &Message<'_>,
        refusal: &orders::Refusal,
        cx: &mut Inbound<'_, S>,
    ) {
        let note: Text<NOTE_BYTES_MAX> = refusal.note;
        let refuse = SessionRefuse {
            ref_seq_num: message.number(34).unwrap_or(0),
            ref_msg_type: ref_msg_type(message),
            ref_tag: 0,
            reason: refusal.reason,
            business: true,
            ref_id: orders::ref_id(message),
            note,
            routing: turned_round(message).into(),
        };
        self.submit(request, refuse, cx.now, cx.submit);
    }

    fn logout<S: Submit>(&mut self, request: u64, cx: &mut Inbound<'_, S>) {
        self.submit(request, SessionLogout {}, cx.now, cx.submit);
        self.state = State::Ending;
    }

    fn resend_request<S: Submit>(
        &mut self,
        request: u64,
        message: &Message<'_>,
        arrived: UnixNanos,
        cx: &mut Inbound<'_, S>,
    ) {
        if !self.refused(request, message, arrived, cx) {
            self.submit(request, resend_request(message), cx.now, cx.submit);
        }
    }

    /// Ends the session from our side.
    pub(crate) fn end<S: Submit>(&mut self, action: SessionAction, cx: &mut Inbound<'_, S>) {
        self.submit(0, SessionTick { action }, cx.now, cx.submit);
        self.state = State::Ending;
    }

    /// Says that the connection is no more.
    pub(crate) fn down(&mut self, end: SessionEnd, now: MonoNanos, submit: &mut impl Submit) {
        self.submit(0, SessionDown { end }, now, submit);
        self.state = State::Ending;
    }

    fn hold(&mut self, number: u64, held: Held) {
        let Some(bound) = &mut self.bound else { return };
        let bytes = match &held {
            Held::Message { bytes, .. } => bytes.len(),
            Held::Counted => 0,
        };
        let entries_max = HELD_BYTES_MAX / 64;
        if bound.held_bytes + bytes <= HELD_BYTES_MAX
            && bound.held.len() < entries_max
            && !bound.held.contains_key(&number)
        {
            bound.held_bytes += bytes;
            bound.held.insert(number, held);
        }
    }

    /// The next number expected is now `next`, unless it is already past that.
    fn advance(&mut self, next: u64) {
        let Some(bound) = &mut self.bound else { return };
        bound.next_in = bound.next_in.max(next);
        bound.forget_below();
    }

    fn strictness(&self, directory: &Directory) -> Strictness {
        let session = self.bound.as_ref().and_then(|bound| directory.session(bound.session));
        session.map_or(Strictness::Strict, |session| session.strictness)
    }
}

impl Bound {
    fn forget_below(&mut self) {
        let next_in = self.next_in;
        self.gap = self.gap.filter(|gap| *gap >= next_in);
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() < next_in) {
            if let Held::Message { bytes, .. } = entry.remove() {
                self.held_bytes -= bytes.len();
            }
        }
    }
}

fn accepted(msg_type: &[u8]) -> Option<&'static MessageDef> {
    dictionary::find(msg_type).filter(|def| def.direction != Direction::Out)
}

fn check_known(message: &Message<'_>, strictness: Strictness) -> Result<(), Fault> {
    let unknown = Fault { tag: 0, reason: reason::INVALID_MSG_TYPE };
    validate::check(message, accepted(message.msg_type()).ok_or(unknown)?, strictness)
}

fn sending_time(message: &Message<'_>, arrived: UnixNanos) -> Option<Fault> {
    let sent = timestamp::parse(message.get(52)?)?;
    let apart = sent.since(arrived).max(arrived.since(sent));
    (apart > SENDING_TIME_NANOS_MAX).then_some(Fault { tag: 0, reason: reason::SENDING_TIME })
}

fn resend_request(message: &Message<'_>) -> SessionResendRequest {
    SessionResendRequest { begin: message.number(7).unwrap_or(0), end: message.number(16).unwrap_or(0) }
}

/// Third-party routing: a header field of the answer, and that of the message whose value it has. By the first.
const ROUTING: [(u16, i32); 6] = [(115, 128), (116, 129), (128, 115), (129, 116), (144, 145), (145, 144)];

/// The way back to whom a message came from through a third party; fields as long as there is room for.
fn turned_round(message: &Message<'_>) -> Text<ROUTING_BYTES_MAX> {
    let mut routing = Vec::new();
    for (tag, from) in ROUTING {
        let Some(value) = message.get(from).filter(|value| !value.is_empty()) else { continue };
        let field = [tag.to_string().as_bytes(), b"=", value, &[SOH]].concat();
        if routing.len() + field.len() <= ROUTING_BYTES_MAX {
            routing.extend_from_slice(&field);
        }
    }
    Text::new(routing).unwrap_or_default()
}

fn ref_msg_type(message: &Message<'_>) -> Text<8> {
    let msg_type = message.msg_type();
    Text::new(&msg_type[..msg_type.len().min(8)]).unwrap_or_default()
}

//! The FIX session layer: numbers in, numbers out, logon, gaps, resends, logout.
//!
//! A gateway parses and renders; everything that decides is here, so that it survives gateway and leader. A record counts
//! if its connection is the session's current one and its number is the next.

use protocol::commands::{
    CancelList, CancelOrder, MassCancel, MassQuote, NewOrder, NewOrderList, ReplaceOrder, RequestListStatus,
    RequestMarketStatus, RequestOrderStatus, SessionGap, SessionLogon, SessionRefuse, SessionResendRequest,
    SessionSequenceReset, SessionTick, SetCancelAllAfter, SetMarketMakerProtection,
};
use protocol::record::{Record, RecordFault, RecordHeader};
use protocol::time::NANOS_PER_MILLI;
use protocol::wire::Unreadable;
use protocol::{
    Command, GatewayId, Generation, OutSeq, RareText, RejectReason, SessionAction, SessionEnd, Text,
    UnixNanos, events,
};

use super::{Session, Sessions};
use crate::broken::{Broken, Stop};
use crate::effects::Effects;
use crate::engine::Engine;

/// SessionRejectReason(373) 5: value is incorrect for this tag.
const VALUE_INCORRECT: u16 = 5;
/// BusinessRejectReason(380) 0 and 3: other; unsupported message type.
const BUSINESS_OTHER: u16 = 0;
const BUSINESS_UNSUPPORTED: u16 = 3;
/// A connection is alive if it was heard within this many tenths of a heartbeat interval.
const ALIVE_HEARTBEAT_TENTHS: u64 = 15;

impl Engine {
    /// Takes a record of a FIX session. Order commands, which nearly all are, are decoded as what they are, and not moved.
    pub(crate) fn apply_fix(
        &mut self,
        row: u32,
        record: &Record<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        match record.kind {
            NewOrder::KIND => self.take_order(row, record, NewOrder::read, Self::new_order, effects),
            CancelOrder::KIND => self.take_order(row, record, CancelOrder::read, Self::cancel_order, effects),
            ReplaceOrder::KIND => {
                self.take_order(row, record, ReplaceOrder::read, Self::replace_order, effects)
            }
            NewOrderList::KIND => {
                self.take_order(row, record, NewOrderList::read, Self::new_order_list, effects)
            }
            CancelList::KIND => self.take_order(row, record, CancelList::read, Self::cancel_list, effects),
            RequestListStatus::KIND => {
                self.take_order(row, record, RequestListStatus::read, Self::list_status, effects)
            }
            RequestMarketStatus::KIND => {
                self.take_order(row, record, RequestMarketStatus::read, Self::market_status, effects)
            }
            MassCancel::KIND => self.take_order(row, record, MassCancel::read, Self::mass_cancel, effects),
            MassQuote::KIND => self.take_order(row, record, MassQuote::read, Self::mass_quote, effects),
            SetCancelAllAfter::KIND => {
                self.take_order(row, record, SetCancelAllAfter::read, Self::set_cancel_all_after, effects)
            }
            SetMarketMakerProtection::KIND => {
                self.take_order(row, record, SetMarketMakerProtection::read, Self::set_protection, effects)
            }
            RequestOrderStatus::KIND => {
                self.take_order(row, record, RequestOrderStatus::read, Self::order_status, effects)
            }
            _ => {
                self.sessions.take(row, record, &record.command(), effects);
                Ok(())
            }
        }
    }

    /// Executes an order command if its number is the next.
    #[inline(always)]
    fn take_order<C>(
        &mut self,
        row: u32,
        record: &Record<'_>,
        read: impl Fn(u16, &[u8]) -> Result<C, Unreadable>,
        execute: impl Fn(&mut Self, u32, &C, &mut Effects<'_>) -> Result<(), Stop>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let session = self.sessions.rows.at_mut(row);
        if !session.admit(&record.header, effects) || !session.count(&record.header, effects) {
            return Ok(());
        }
        // Looked at where it was read: moving it would cost as much as reading it.
        let command = read(record.version, record.body);
        let Ok(command) = &command else {
            session.send(effects, not_understood(record.header.request.0));
            return Ok(());
        };
        self.roll_day(row, None, effects.time);
        match execute(self, row, command, effects) {
            // A refusal's report is among the events.
            Ok(()) | Err(Stop::Refused(_)) => Ok(()),
            Err(Stop::Broken(what)) => Err(what),
        }
    }
}

impl Sessions {
    /// Takes a message of the session layer.
    fn take(
        &mut self,
        row: u32,
        record: &Record<'_>,
        command: &Result<Command, RecordFault>,
        effects: &mut Effects<'_>,
    ) {
        let header = &record.header;
        if let Ok(Command::SessionLogon(logon)) = command {
            self.logon(row, header, logon, effects);
            return;
        }
        if !self.rows.at_mut(row).admit(header, effects) {
            return;
        }
        if let Ok(command) = command
            && self.unnumbered(row, command, effects)
        {
            return;
        }
        let session = self.rows.at_mut(row);
        let number = header.request.0;
        if number == 0 && may_come_unnumbered(command) {
            session.last_heard = effects.time;
        } else if !session.count(header, effects) {
            return;
        }
        self.numbered(row, number, command, effects);
    }

    /// A message whose number was the next.
    fn numbered(
        &mut self,
        row: u32,
        number: u64,
        command: &Result<Command, RecordFault>,
        effects: &mut Effects<'_>,
    ) {
        let session = self.rows.at_mut(row);
        let Ok(command) = command else {
            session.send(effects, not_understood(number));
            return;
        };
        if let Command::SessionTestRequest(request) = command {
            session.send(effects, events::HeartbeatSent { test_req_id: request.test_req_id });
        } else if let Command::SessionResendRequest(request) = command {
            session.resend(request, effects);
        } else if let Command::SessionSequenceReset(reset) = command {
            if reset.new_seq_no > number {
                session.expect(reset.new_seq_no);
            } else {
                session.send(effects, sequence_reset_reject(number));
            }
        } else if let Command::SessionLogout(_) = command {
            session.send(effects, logout(SessionEnd::Logout, 0, 0));
            self.close(row, SessionEnd::Logout, effects);
        } else if let Command::SessionRefuse(refuse) = command {
            session.refuse(refuse, effects);
        } else if !matches!(command, Command::SessionHeartbeat(_) | Command::SessionRejectReceived(_)) {
            session.send(effects, business_reject(number, BUSINESS_UNSUPPORTED, command.name()));
        }
    }

    /// What gateways see and what does not use a number. Returns whether the command was one of these.
    fn unnumbered(&mut self, row: u32, command: &Command, effects: &mut Effects<'_>) -> bool {
        let session = self.rows.at_mut(row);
        if let Command::SessionSequenceReset(reset) = command
            && !reset.gap_fill
        {
            session.last_heard = effects.time;
            session.sequence_reset(reset, effects);
        } else if let Command::SessionGap(gap) = command {
            session.last_heard = effects.time;
            session.gap(gap, effects);
        } else if let Command::SessionTooLow(low) = command {
            session.send(effects, logout(SessionEnd::SequenceTooLow, session.next_in, low.received));
            self.close(row, SessionEnd::SequenceTooLow, effects);
        } else if let Command::SessionDown(down) = command {
            self.close(row, down.end, effects);
        } else if let Command::SessionTick(tick) = command {
            self.tick(row, tick, effects);
        } else {
            return false;
        }
        true
    }

    fn tick(&mut self, row: u32, tick: &SessionTick, effects: &mut Effects<'_>) {
        let session = self.rows.at_mut(row);
        let end = match tick.action {
            SessionAction::Heartbeat => {
                session.send(effects, events::HeartbeatSent { test_req_id: Text::EMPTY });
                return;
            }
            SessionAction::TestRequest => {
                session.send(effects, events::TestRequestSent {});
                return;
            }
            SessionAction::TimeOut => SessionEnd::Silent,
            SessionAction::Stop => SessionEnd::NodeStopped,
            SessionAction::Protocol => SessionEnd::Protocol,
            SessionAction::BeginString => SessionEnd::BeginString,
        };
        session.send(effects, logout(end, 0, 0));
        self.close(row, end, effects);
    }

    fn logon(&mut self, row: u32, header: &RecordHeader, logon: &SessionLogon, effects: &mut Effects<'_>) {
        // A reset on the connection that the session is bound to says so by its generation.
        let bound = logon.reset && self.rows.at(row).is_bound_by(header);
        if let Err(end) = self.check_logon(row, logon, bound, effects) {
            let session = self.rows.at(row).definition.session;
            effects.push(events::SessionRefused { session, connection: logon.connection, end });
            return;
        }
        self.disarm(row);
        let session = self.rows.at_mut(row);
        if logon.reset {
            session.restart_numbers();
        }
        session.generation = Generation(session.generation.0.saturating_add(1));
        session.gateway = gateway_of(header);
        session.connected = true;
        session.heartbeat_s = logon.heartbeat_s;
        session.last_heard = effects.time;
        session.pending_gap = 0;
        if logon.msg_seq_num == session.next_in {
            session.expect(logon.msg_seq_num.saturating_add(1));
        }
        let asks_again = 0 < logon.next_expected && logon.next_expected < session.next_out;
        effects.push(events::SessionOpened {
            session: session.definition.session,
            connection: logon.connection,
            generation: session.generation,
            epoch: session.epoch,
            next_in: session.next_in,
            next_out: OutSeq(session.next_out),
            heartbeat_s: logon.heartbeat_s,
            resend_from: if asks_again { logon.next_expected } else { 0 },
        });
        let next_expected = if logon.next_expected == 0 { 0 } else { session.next_in };
        session.send(
            effects,
            events::LogonSent { heartbeat_s: logon.heartbeat_s, reset: logon.reset, next_expected },
        );
        if logon.msg_seq_num >= session.next_in && logon.next_expected == 0 {
            // Too high, and so not counted: it comes again, or is gap-filled, with what is asked for now. A client that
            // sends NextExpectedMsgSeqNum(789) fills the gap because ours is in the answer.
            session.gap(&SessionGap { received: logon.msg_seq_num }, effects);
        }
    }

    /// Why a Logon is refused. A connection that has been silent for too long is closed for it.
    fn check_logon(
        &mut self,
        row: u32,
        logon: &SessionLogon,
        bound: bool,
        effects: &mut Effects<'_>,
    ) -> Result<(), SessionEnd> {
        let session = self.rows.at(row);
        let definition = &session.definition;
        let heartbeats = u32::from(definition.heartbeat_s_min)..=u32::from(definition.heartbeat_s_max);
        if !heartbeats.contains(&logon.heartbeat_s) {
            return Err(SessionEnd::HeartbeatRange);
        }
        if session.connected && !bound {
            if session.is_alive(effects.time) {
                return Err(SessionEnd::AlreadyConnected);
            }
            self.close(row, SessionEnd::TakenOver, effects);
        }
        let session = self.rows.at_mut(row);
        if logon.reset && !session.definition.reset_on_logon {
            return Err(SessionEnd::ResetNotAllowed);
        }
        let (next_in, next_out) = if logon.reset { (1, 1) } else { (session.next_in, session.next_out) };
        // Either side may have lost count: the client's number below ours, or what it expects of us above.
        let (expected, received) = if logon.msg_seq_num < next_in {
            (next_in, logon.msg_seq_num)
        } else if logon.next_expected > next_out {
            (next_out, logon.next_expected)
        } else {
            return Ok(());
        };
        session.send(effects, logout(SessionEnd::SequenceTooLow, expected, received));
        Err(SessionEnd::SequenceTooLow)
    }
}

impl Session {
    /// Whether a record comes from the connection that the session has now.
    pub(crate) fn is_bound_by(&self, header: &RecordHeader) -> bool {
        self.connected && header.generation == self.generation && gateway_of(header) == self.gateway
    }

    /// Whether a record comes from that connection; one that does not is dropped.
    fn admit(&self, header: &RecordHeader, effects: &mut Effects<'_>) -> bool {
        let is_bound = self.is_bound_by(header);
        if !is_bound {
            self.drop_record(header.request, RejectReason::StaleGeneration, effects);
        }
        is_bound
    }

    /// Whether a record has the next number, which is used then; one that does not is dropped.
    fn count(&mut self, header: &RecordHeader, effects: &mut Effects<'_>) -> bool {
        let number = header.request.0;
        if number != self.next_in {
            let executed = number < self.next_in;
            let reason = if executed { RejectReason::AlreadyExecuted } else { RejectReason::SequenceGap };
            self.drop_record(header.request, reason, effects);
            return false;
        }
        self.expect(number.saturating_add(1));
        self.last_heard = effects.time;
        true
    }

    /// The next number expected; a gap that lies below it is closed.
    pub(crate) fn expect(&mut self, next_in: u64) {
        self.next_in = next_in;
        if next_in > self.pending_gap {
            self.pending_gap = 0;
        }
    }

    /// Whether the connection was heard of within one and a half heartbeat intervals.
    fn is_alive(&self, now: UnixNanos) -> bool {
        let tenth_ns = NANOS_PER_MILLI.saturating_mul(100);
        let interval_ns =
            u64::from(self.heartbeat_s).saturating_mul(ALIVE_HEARTBEAT_TENTHS).saturating_mul(tenth_ns);
        now.since(self.last_heard) <= interval_ns
    }

    fn gap(&mut self, gap: &SessionGap, effects: &mut Effects<'_>) {
        if gap.received < self.next_in || gap.received <= self.pending_gap {
            return;
        }
        self.pending_gap = gap.received;
        let begin = self.next_in;
        self.send(effects, events::ResendRequestSent { begin, end: 0 });
    }

    fn resend(&self, request: &SessionResendRequest, effects: &mut Effects<'_>) {
        let last = self.next_out.saturating_sub(1);
        let begin = request.begin.max(1);
        let end = if request.end == 0 { last } else { request.end.min(last) };
        if begin <= end {
            let session = self.definition.session;
            effects.push(events::ResendDue { session, begin, end, floor: self.floor() });
        }
    }

    fn sequence_reset(&mut self, reset: &SessionSequenceReset, effects: &mut Effects<'_>) {
        if reset.new_seq_no >= self.next_in {
            self.expect(reset.new_seq_no);
        } else {
            self.send(effects, sequence_reset_reject(reset.msg_seq_num));
        }
    }

    fn refuse(&mut self, refuse: &SessionRefuse, effects: &mut Effects<'_>) {
        let SessionRefuse { ref_seq_num, ref_msg_type, ref_tag, reason, business, ref_id, note, .. } =
            *refuse;
        let routing = refuse.routing.clone();
        if business {
            let rejected =
                events::BusinessRejected { ref_seq_num, ref_msg_type, reason, ref_id, note, routing };
            self.send(effects, rejected);
        } else {
            let rejected = events::RejectSent { ref_seq_num, ref_msg_type, ref_tag, reason, note, routing };
            self.send(effects, rejected);
        }
    }
}

fn gateway_of(header: &RecordHeader) -> GatewayId {
    header.gateway.map_or(GatewayId::IN_NODE, |from| from.gateway)
}

fn logout(end: SessionEnd, expected: u64, received: u64) -> events::LogoutSent {
    events::LogoutSent { end, expected, received }
}

/// Answered whatever its number: a peer with a gap of its own must not have to wait until ours is closed.
fn may_come_unnumbered(command: &Result<Command, RecordFault>) -> bool {
    matches!(
        command,
        Ok(Command::SessionLogout(_) | Command::SessionResendRequest(_) | Command::SessionRefuse(_))
    )
}

/// Without a note: the published cases compare the text that goes with the reason.
fn sequence_reset_reject(ref_seq_num: u64) -> events::RejectSent {
    events::RejectSent {
        ref_seq_num,
        ref_msg_type: Text::truncated("4"),
        ref_tag: 0,
        reason: VALUE_INCORRECT,
        note: Text::EMPTY,
        routing: RareText::EMPTY,
    }
}

/// Its number is used, so the peer gets an answer.
fn not_understood(ref_seq_num: u64) -> events::BusinessRejected {
    business_reject(ref_seq_num, BUSINESS_OTHER, "not understood by this version of the engine")
}

fn business_reject(ref_seq_num: u64, reason: u16, note: &str) -> events::BusinessRejected {
    let note = Text::truncated(note);
    events::BusinessRejected {
        ref_seq_num,
        ref_msg_type: Text::EMPTY,
        reason,
        ref_id: Text::EMPTY,
        note,
        routing: RareText::EMPTY,
    }
}

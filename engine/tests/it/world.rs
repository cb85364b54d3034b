//! An engine with a caller: writes records as gateways do, gives them seq and time, and checks the state after each.

use engine::Engine;
use protocol::event::Event;
use protocol::record::{GatewayNumber, Record, RecordHeader};
use protocol::{Command, EventBody, ExecType, Generation, RequestNumber, Seq, SessionId, TradeId, UnixNanos};

/// Midnight of 2026-01-01 UTC, and nine hours.
pub(crate) const START: u64 = 1_767_225_600_000_000_000 + 9 * 3_600_000_000_000;

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) time: u64,
    /// Whether invariants are checked after each command: O(state).
    pub(crate) checks: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { engine: Engine::new(), time: START, checks: true }
    }

    /// A world after its genesis; the operator's actor is 1.
    pub(crate) fn with_genesis() -> Self {
        let mut world = Self::new();
        world.system(crate::definitions::genesis());
        world
    }

    pub(crate) fn wait_ns(&mut self, ns: u64) {
        self.time += ns;
    }

    pub(crate) fn submit(
        &mut self,
        session: SessionId,
        generation: u32,
        request: u64,
        command: impl Into<Command>,
    ) -> Vec<Event> {
        let header = RecordHeader {
            session,
            generation: Generation(generation),
            request: RequestNumber(request),
            ..RecordHeader::default()
        };
        let mut bytes = Vec::new();
        header.write(&command.into(), &mut bytes).unwrap();
        self.submit_bytes(&bytes)
    }

    /// Through a gateway process, as its command of this number.
    pub(crate) fn through(
        &mut self,
        from: GatewayNumber,
        (session, generation, request): (SessionId, u32, u64),
        command: impl Into<Command>,
    ) -> Vec<Event> {
        let header = RecordHeader {
            session,
            generation: Generation(generation),
            request: RequestNumber(request),
            gateway: Some(from),
            ..RecordHeader::default()
        };
        let mut bytes = Vec::new();
        header.write(&command.into(), &mut bytes).unwrap();
        self.submit_bytes(&bytes)
    }

    pub(crate) fn submit_bytes(&mut self, bytes: &[u8]) -> Vec<Event> {
        let record = Record::read(bytes).unwrap();
        self.time += 1_000;
        let seq = Seq(self.engine.seq_applied().0 + 1);
        let mut events = Vec::new();
        self.engine.apply(seq, UnixNanos(self.time), &record, &mut events).unwrap();
        reports_name_their_trades(&events);
        if self.checks {
            self.engine.check_invariants().unwrap();
        }
        events
    }

    pub(crate) fn system(&mut self, command: impl Into<Command>) -> Vec<Event> {
        self.submit(SessionId::SYSTEM, 0, 0, command)
    }

    /// As the operator, under the next request number.
    pub(crate) fn operator(&mut self, command: impl Into<Command>) -> Vec<Event> {
        let request = self.engine.next_request(SessionId::OPERATOR).unwrap();
        self.submit(SessionId::OPERATOR, 0, request, command)
    }

    /// As the operator; it must be done.
    pub(crate) fn set_up(&mut self, command: impl Into<Command>) {
        let events = self.operator(command);
        let answer = events.last().map(|event| &event.body);
        let is_done = if let Some(EventBody::AccountsCreated(made)) = answer {
            made.exceptions.is_empty()
        } else if let Some(EventBody::TransfersCreated(made)) = answer {
            made.exceptions.is_empty()
        } else if let Some(EventBody::Replied(reply)) = answer {
            reply.refusal.is_none()
        } else {
            false
        };
        assert!(is_done, "{events:?}");
    }

    /// In the current generation of a FIX session with its next number, or with the next number of a request session.
    pub(crate) fn next(&mut self, session: SessionId, command: impl Into<Command>) -> Vec<Event> {
        let (generation, number) = self.next_number(session);
        self.submit(session, generation, number, command)
    }

    pub(crate) fn next_number(&self, session: SessionId) -> (u32, u64) {
        let view = self.engine.sessions().find(|view| view.session == session).unwrap();
        match self.engine.next_request(session) {
            Some(request) => (0, request),
            None => (view.generation.0, view.next_in),
        }
    }
}

/// The reports of a fill come before its settlement, those of a change behind it; they name its trade, and no other report names one.
fn reports_name_their_trades(events: &[Event]) {
    let mut changed = None;
    for (at, event) in events.iter().enumerate() {
        if let EventBody::TradeBusted(busted) = &event.body {
            changed = Some(busted.settled.trade);
        }
        let EventBody::ExecutionReport(report) = &event.body else { continue };
        let settled = || {
            events[at..].iter().find_map(|event| {
                let EventBody::Settled(settled) = &event.body else { return None };
                Some(settled.trade)
            })
        };
        let trade = if report.exec_type == ExecType::Trade {
            settled()
        } else if [ExecType::TradeCancel, ExecType::TradeCorrect].contains(&report.exec_type) {
            changed
        } else {
            None
        };
        let named = (report.trade != TradeId(0)).then_some(report.trade);
        assert_eq!(named, trade, "{report:?}");
    }
}

//! An engine with a caller: writes records as gateways do, gives them seq and time, and checks the state after each.

use engine::Engine;
use protocol::commands::DefineMarket;
use protocol::event::Event;
use protocol::record::{GatewayNumber, Record, RecordHeader};
use protocol::{
    AccountClass, Command, EventBody, ExecType, Generation, RejectReason, RequestNumber, Seq, SessionId,
    SessionProtocol, TradeId, UnixNanos,
};

use crate::definitions;

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
        world.system(definitions::genesis());
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

/// Sessions of [`two_traders`].
pub(crate) const BUYER: SessionId = SessionId(16);
pub(crate) const SELLER: SessionId = SessionId(17);

/// A market with a buyer and a seller who have money and the other asset. Checks are off: they would look at thousands of orders.
pub(crate) fn two_traders() -> World {
    let mut world = World::with_genesis();
    world.checks = false;
    for asset in 1..=2 {
        world.set_up(definitions::asset(asset, &format!("A{asset}"), 0));
        world.set_up(definitions::account(u128::from(asset) + 10, 0, asset, AccountClass::External));
    }
    world.set_up(definitions::account(2, 0, 2, AccountClass::Fee));
    world.set_up(DefineMarket { client_orders_max: 10_000, ..definitions::market(1) });
    for (number, (session, client)) in [(BUYER, 100), (SELLER, 200)].into_iter().enumerate() {
        for asset in 1..=2 {
            let account = u128::from(client) + u128::from(asset);
            world.set_up(definitions::account(account, client, asset, AccountClass::Client));
            let id = u64::try_from(number).unwrap() * 10 + u64::from(asset);
            world.set_up(definitions::deposit(id, u128::from(asset) + 10, account, asset, 10_000_000));
        }
        world.set_up(definitions::session(session.0, SessionProtocol::Request, client));
    }
    world
}

/// What the reply among these events says.
pub(crate) fn refusal(events: &[Event]) -> Option<RejectReason> {
    let mut replies = events.iter().rev().filter_map(|event| {
        let EventBody::Replied(reply) = &event.body else { return None };
        Some(reply.refusal)
    });
    replies.next().unwrap()
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

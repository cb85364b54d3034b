//! A naive engine: numbers and outputs of sessions as the contract between gateway and engine has them, and orders that
//! fill at once where they are immediate and rest otherwise. No money, no book.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::{ClOrdId, DefineAsset, DefineMarket, DefineSession, NewOrder, SessionLogon};
use protocol::event::{Event, OutputNumber};
use protocol::events::*;
use protocol::record::RecordHeader;
use protocol::terms::Rare;
use protocol::*;

#[derive(Default)]
struct Session {
    definition: Option<DefineSession>,
    epoch: u32,
    generation: u32,
    next_in: u64,
    next_out: u64,
    connected: bool,
    heartbeat_s: u32,
    last_heard: UnixNanos,
    pending_gap: u64,
    ids: BTreeSet<Vec<u8>>,
}

#[derive(Clone)]
struct Order {
    order: NewOrder,
    id: u64,
    original: ClOrdId,
}

#[derive(Default)]
pub(crate) struct Engine {
    sessions: BTreeMap<u32, Session>,
    orders: BTreeMap<(u32, Vec<u8>), Order>,
    /// Everything that was ever sent: the outbox.
    pub(crate) outputs: Vec<Event>,
    pub(crate) floor: u64,
    seq: u64,
    trades: u64,
    now: UnixNanos,
    events: Vec<Event>,
}

impl Engine {
    pub(crate) fn define(&mut self, definition: DefineSession) -> EventBody {
        let session = self.sessions.entry(definition.session.0).or_default();
        (session.epoch, session.next_in, session.next_out) = (1, 1, 1);
        session.definition = Some(definition.clone());
        SessionDefined { definition }.into()
    }

    pub(crate) fn execute(&mut self, header: &RecordHeader, command: &Command, now: UnixNanos) -> Vec<Event> {
        self.seq += 1;
        self.now = now;
        let id = header.session.0;
        match command {
            Command::SessionLogon(logon) => self.logon(id, header.generation, logon),
            _ if !self.is_current(id, header) => self.dropped(header, RejectReason::StaleGeneration),
            _ => {
                let session = self.sessions.get_mut(&id).unwrap();
                let number = header.request.0;
                if number != 0 && number < session.next_in {
                    self.dropped(header, RejectReason::AlreadyExecuted);
                } else if number > session.next_in {
                    self.dropped(header, RejectReason::SequenceGap);
                } else {
                    if !matches!(command, Command::SessionTick(_)) {
                        session.last_heard = now;
                    }
                    session.next_in += u64::from(number != 0);
                    self.session_command(id, command);
                }
            }
        }
        std::mem::take(&mut self.events)
    }

    fn is_current(&self, id: u32, header: &RecordHeader) -> bool {
        let session = &self.sessions[&id];
        session.connected && session.generation == header.generation.0
    }

    fn dropped(&mut self, header: &RecordHeader, reason: RejectReason) {
        self.emit(Dropped { session: header.session, request: header.request, reason });
    }

    fn emit(&mut self, body: impl Into<EventBody>) {
        self.events.push(Event { output: None, seq: Seq(self.seq), time: self.now, body: body.into() });
    }

    fn send(&mut self, id: u32, body: impl Into<EventBody>) {
        let session = self.sessions.get_mut(&id).unwrap();
        let output = OutputNumber {
            session: SessionId(id),
            epoch: SessionEpoch(session.epoch),
            out_seq: OutSeq(session.next_out),
        };
        session.next_out += 1;
        let event = Event { output: Some(output), seq: Seq(self.seq), time: self.now, body: body.into() };
        self.outputs.push(event.clone());
        self.events.push(event);
    }

    fn closed(&mut self, id: u32, end: SessionEnd) {
        let session = self.sessions.get_mut(&id).unwrap();
        session.connected = false;
        let generation = Generation(session.generation);
        self.emit(SessionClosed { session: SessionId(id), generation, end });
    }

    fn logon(&mut self, id: u32, generation: Generation, logon: &SessionLogon) {
        let session = self.sessions.get_mut(&id).unwrap();
        let definition = session.definition.clone().unwrap();
        let again = generation.0 != 0;
        let alive = self.now.since(session.last_heard) <= u64::from(session.heartbeat_s) * 1_500_000_000;
        let range = u32::from(definition.heartbeat_s_min)..=u32::from(definition.heartbeat_s_max);
        let refused = |end| SessionRefused { session: SessionId(id), connection: logon.connection, end };
        if !range.contains(&logon.heartbeat_s) {
            return self.emit(refused(SessionEnd::HeartbeatRange));
        }
        if session.connected && !again {
            if alive {
                return self.emit(refused(SessionEnd::AlreadyConnected));
            }
            self.closed(id, SessionEnd::TakenOver);
        }
        let session = self.sessions.get_mut(&id).unwrap();
        if logon.reset && !definition.reset_on_logon {
            return self.emit(refused(SessionEnd::ResetNotAllowed));
        }
        let (mut low, mut expected, mut received) =
            (!logon.reset && logon.msg_seq_num < session.next_in, session.next_in, logon.msg_seq_num);
        let next_out = if logon.reset { 1 } else { session.next_out };
        if !low && logon.next_expected > next_out {
            (low, expected, received) = (true, next_out, logon.next_expected);
        }
        if low {
            self.send(id, LogoutSent { end: SessionEnd::SequenceTooLow, expected, received });
            return self.emit(refused(SessionEnd::SequenceTooLow));
        }
        if logon.reset {
            session.epoch += 1;
            (session.next_in, session.next_out) = (1, 1);
        }
        session.generation += 1;
        (session.connected, session.heartbeat_s) = (true, logon.heartbeat_s);
        (session.last_heard, session.pending_gap) = (self.now, 0);
        session.next_in += u64::from(logon.msg_seq_num == session.next_in);
        let next_in = session.next_in;
        let behind = (1..session.next_out).contains(&logon.next_expected);
        let opened = SessionOpened {
            session: SessionId(id),
            connection: logon.connection,
            generation: Generation(session.generation),
            epoch: SessionEpoch(session.epoch),
            next_in,
            next_out: OutSeq(session.next_out),
            heartbeat_s: logon.heartbeat_s,
            resend_from: if behind { logon.next_expected } else { 0 },
        };
        self.emit(opened);
        let next_expected = if logon.next_expected == 0 { 0 } else { next_in };
        self.send(id, LogonSent { heartbeat_s: logon.heartbeat_s, reset: logon.reset, next_expected });
        if logon.msg_seq_num > next_in && logon.next_expected == 0 {
            self.sessions.get_mut(&id).unwrap().pending_gap = logon.msg_seq_num;
            self.send(id, ResendRequestSent { begin: next_in, end: 0 });
        }
    }

    fn session_command(&mut self, id: u32, command: &Command) {
        match command {
            Command::SessionHeartbeat(_) | Command::SessionRejectReceived(_) => {}
            Command::SessionTestRequest(test) => {
                self.send(id, HeartbeatSent { test_req_id: test.test_req_id })
            }
            Command::SessionResendRequest(request) => {
                let last = self.sessions[&id].next_out - 1;
                let end = if request.end == 0 { last } else { request.end.min(last) };
                if request.begin <= end {
                    let floor = OutSeq(self.floor);
                    self.emit(ResendDue { session: SessionId(id), begin: request.begin, end, floor });
                }
            }
            Command::SessionSequenceReset(reset) => {
                let session = self.sessions.get_mut(&id).unwrap();
                let lowest = if reset.gap_fill { session.next_in } else { session.next_in.max(1) };
                if reset.new_seq_no >= lowest && (!reset.gap_fill || reset.new_seq_no > reset.msg_seq_num) {
                    session.next_in = reset.new_seq_no;
                } else {
                    self.reject(id, reset.msg_seq_num, "4", 0, 5);
                }
            }
            Command::SessionLogout(_) => {
                self.send(id, LogoutSent { end: SessionEnd::Logout, expected: 0, received: 0 });
                self.closed(id, SessionEnd::Logout);
            }
            Command::SessionRefuse(refuse) if refuse.business => self.send(
                id,
                BusinessRejected {
                    ref_seq_num: refuse.ref_seq_num,
                    ref_msg_type: refuse.ref_msg_type,
                    reason: refuse.reason,
                    ref_id: refuse.ref_id,
                    note: refuse.note,
                    routing: refuse.routing.clone(),
                },
            ),
            Command::SessionRefuse(refuse) => self.send(
                id,
                RejectSent {
                    ref_seq_num: refuse.ref_seq_num,
                    ref_msg_type: refuse.ref_msg_type,
                    ref_tag: refuse.ref_tag,
                    reason: refuse.reason,
                    note: refuse.note,
                    routing: refuse.routing.clone(),
                },
            ),
            Command::SessionGap(gap) => {
                let session = self.sessions.get_mut(&id).unwrap();
                let begin = session.next_in;
                if gap.received > session.pending_gap || session.pending_gap < begin {
                    session.pending_gap = gap.received;
                    self.send(id, ResendRequestSent { begin, end: 0 });
                }
            }
            Command::SessionTooLow(low) => {
                let expected = self.sessions[&id].next_in;
                let end = SessionEnd::SequenceTooLow;
                self.send(id, LogoutSent { end, expected, received: low.received });
                self.closed(id, end);
            }
            Command::SessionDown(down) => self.closed(id, down.end),
            Command::SessionTick(tick) => self.tick(id, tick.action),
            order => self.order(id, order),
        }
    }

    fn tick(&mut self, id: u32, action: SessionAction) {
        let end = match action {
            SessionAction::Heartbeat => return self.send(id, HeartbeatSent { test_req_id: Text::EMPTY }),
            SessionAction::TestRequest => return self.send(id, TestRequestSent {}),
            SessionAction::TimeOut => SessionEnd::Silent,
            SessionAction::Stop => SessionEnd::NodeStopped,
            SessionAction::Protocol => SessionEnd::Protocol,
            SessionAction::BeginString => SessionEnd::BeginString,
        };
        self.send(id, LogoutSent { end, expected: 0, received: 0 });
        self.closed(id, end);
    }

    fn reject(&mut self, id: u32, ref_seq_num: u64, ref_msg_type: &str, ref_tag: u32, reason: u16) {
        let ref_msg_type = Text::new(ref_msg_type).unwrap();
        let (note, routing) = (Text::EMPTY, Text::EMPTY);
        self.send(
            id,
            RejectSent { ref_seq_num, ref_msg_type, ref_tag, reason, note, routing: routing.into() },
        );
    }

    fn order(&mut self, id: u32, command: &Command) {
        match command {
            Command::NewOrder(new) => self.new_order(id, new),
            Command::CancelOrder(cancel) => {
                let Some(live) = self.orders.remove(&(id, cancel.orig_cl_ord_id.as_bytes().to_vec())) else {
                    let to = CancelRejectTo::Cancel;
                    return self.unknown(id, cancel.cl_ord_id, cancel.orig_cl_ord_id, to);
                };
                let gone = Order { original: cancel.orig_cl_ord_id, ..live };
                let mut report = report(&gone, ExecType::Canceled, OrderStatus::Canceled);
                (report.cl_ord_id, report.reason) = (cancel.cl_ord_id, Some(RejectReason::ByClient));
                report.leaves_lots = QtyLots(0);
                self.send(id, report);
            }
            Command::ReplaceOrder(replace) => {
                let Some(live) = self.orders.remove(&(id, replace.orig_cl_ord_id.as_bytes().to_vec())) else {
                    let to = CancelRejectTo::Replace;
                    return self.unknown(id, replace.cl_ord_id, replace.orig_cl_ord_id, to);
                };
                let mut changed = Order { original: replace.orig_cl_ord_id, ..live };
                changed.order.cl_ord_id = replace.cl_ord_id;
                (changed.order.price_ticks, changed.order.qty_lots) = (replace.price_ticks, replace.qty_lots);
                self.send(id, report(&changed, ExecType::Replaced, OrderStatus::New));
                self.orders.insert((id, replace.cl_ord_id.as_bytes().to_vec()), changed);
            }
            Command::RequestOrderStatus(status) => {
                let live = self.orders.get(&(id, status.cl_ord_id.as_bytes().to_vec())).cloned();
                match live {
                    Some(order) => self.send(id, report(&order, ExecType::OrderStatus, OrderStatus::New)),
                    None => {
                        let mut order = empty(status.cl_ord_id, status.market, status.side);
                        order.id = 0;
                        let mut report = report(&order, ExecType::OrderStatus, OrderStatus::Rejected);
                        report.reason = Some(RejectReason::UnknownOrder);
                        self.send(id, report);
                    }
                }
            }
            other => panic!("not for a session: {other:?}"),
        }
    }

    fn unknown(&mut self, id: u32, cl_ord_id: ClOrdId, orig_cl_ord_id: ClOrdId, response_to: CancelRejectTo) {
        let (order, status, reason) = (OrderId(0), OrderStatus::Rejected, RejectReason::UnknownOrder);
        self.send(id, CancelRejected { order, cl_ord_id, orig_cl_ord_id, status, response_to, reason });
    }

    fn new_order(&mut self, id: u32, new: &NewOrder) {
        let order = Order { order: new.clone(), id: self.seq, original: ClOrdId::EMPTY };
        if !self.sessions.get_mut(&id).unwrap().ids.insert(new.cl_ord_id.as_bytes().to_vec()) {
            if !new.poss_resend {
                let refused = Order { id: 0, ..order };
                let mut report = report(&refused, ExecType::Rejected, OrderStatus::Rejected);
                (report.reason, report.leaves_lots) = (Some(RejectReason::DuplicateClOrdId), QtyLots(0));
                self.send(id, report);
            }
            return;
        }
        self.send(id, report(&order, ExecType::New, OrderStatus::New));
        if new.time_in_force == TimeInForce::GoodTillCancel {
            self.orders.insert((id, new.cl_ord_id.as_bytes().to_vec()), order);
            return;
        }
        self.trades += 1;
        let mut trade = report(&order, ExecType::Trade, OrderStatus::Filled);
        let price = PriceTicks(new.price_ticks.0.max(3));
        trade.last_price_ticks = price;
        (trade.last_qty_lots, trade.cum_lots, trade.leaves_lots) = (new.qty_lots, new.qty_lots, QtyLots(0));
        trade.cum_ticks_lots = price.times(new.qty_lots);
        (trade.trade, trade.liquidity) = (TradeId(self.trades), Some(Liquidity::Taker));
        trade.fee = Amount(125);
        // One is taxed, the next one a rebate.
        trade.fee_is_paid = self.trades.is_multiple_of(2);
        trade.tax = Amount(if trade.fee_is_paid { 0 } else { 5 });
        self.send(id, trade.clone());
        if new.time_in_force == TimeInForce::FillOrKill {
            // Taken back at once, or corrected.
            trade.exec_type = match new.side {
                Side::Buy => ExecType::TradeCancel,
                Side::Sell => ExecType::TradeCorrect,
            };
            self.send(id, trade);
        }
    }
}

fn empty(cl_ord_id: ClOrdId, market: MarketId, side: Side) -> Order {
    let order = NewOrder::limit(cl_ord_id, market, side, PriceTicks(0), QtyLots(0));
    Order { order, id: 0, original: ClOrdId::EMPTY }
}

fn report(order: &Order, exec_type: ExecType, status: OrderStatus) -> ExecutionReport {
    let new = &order.order;
    ExecutionReport {
        order: OrderId(order.id),
        cl_ord_id: new.cl_ord_id,
        orig_cl_ord_id: order.original,
        client: new.client.unwrap_or(ClientId(7)),
        market: new.market,
        side: new.side,
        order_type: new.order_type,
        time_in_force: new.time_in_force,
        exec_type,
        status,
        price_ticks: new.price_ticks,
        qty_lots: new.qty_lots,
        leaves_lots: new.qty_lots,
        cum_lots: QtyLots(0),
        cum_ticks_lots: 0,
        last_price_ticks: PriceTicks(0),
        last_qty_lots: QtyLots(0),
        trade: TradeId(0),
        liquidity: None,
        fee: Amount(0),
        fee_is_paid: false,
        tax: Amount(0),
        reason: None,
        details: Rare::NONE,
    }
}

/// BTC with 8 decimals, TRY with 8, lots of 0.0001 BTC, ticks of 0.5 TRY; and a market whose tick is a third.
pub(crate) fn definitions() -> Vec<EventBody> {
    let asset = |id, code, scale| {
        let definition = DefineAsset { asset: AssetId(id), code: Text::new(code).unwrap(), scale };
        AssetDefined { definition }.into()
    };
    let market = |id, symbol, lot, tick| {
        let definition = DefineMarket {
            market: MarketId(id),
            symbol: Text::new(symbol).unwrap(),
            base: AssetId(1),
            quote: AssetId(2),
            lot_base_minor: Amount(lot),
            tick_quote_minor: Amount(tick),
            price_ticks_min: PriceTicks(1),
            price_ticks_max: PriceTicks(1 << 40),
            qty_lots_min: QtyLots(1),
            qty_lots_max: QtyLots(1 << 40),
            market_qty_lots_max: QtyLots(1 << 40),
            notional_min: Amount(1),
            notional_max: Amount(1 << 100),
            client_orders_max: 10_000,
            maker_fee_ppm: 0,
            taker_fee_ppm: 0,
            fee_account: AccountId(1),
            tax_account: AccountId(0),
        };
        MarketDefined { definition, phase: MarketPhase::Trading }.into()
    };
    vec![
        asset(1, "BTC", 8),
        asset(2, "TRY", 8),
        market(1, "BTC-TRY", 10_000, 5_000),
        market(2, "ODD", 30_000, 1),
    ]
}

/// `CLIENT1` (Strict, may reset), `CLIENT2` (Lenient), `CLIENT3` (Strict, may not reset).
pub(crate) fn sessions() -> Vec<DefineSession> {
    let session = |number: u32, strictness, reset_on_logon| DefineSession {
        session: SessionId(SessionId::CLIENTS_FROM.0 + number),
        actor: ActorId(1),
        firm: FirmId(1),
        protocol: SessionProtocol::Fix,
        client_comp_id: Text::new(format!("CLIENT{number}")).unwrap(),
        our_comp_id: Text::new("SICIL").unwrap(),
        clients: vec![ClientId(7)],
        reset_on_logon,
        heartbeat_s_min: 1,
        heartbeat_s_max: 60,
        strictness,
        cancel_on_disconnect: CancelOnDisconnect::Never,
        cancel_window_ms: 0,
    };
    vec![
        session(1, Strictness::Strict, true),
        session(2, Strictness::Lenient, true),
        session(3, Strictness::Strict, false),
    ]
}

//! exchange-core's mix of commands, as records for the whole engine: accounts, holds, settlement and fees included.
//!
//! Recipe: one market, 1,000 clients in eight sessions, about 1,000 resting orders. 70.9 % of the commands move an order by 1 %
//! of its distance towards the last price, 7.3 % cancel, 7.3 % reduce, 12.8 % rest, 1.75 % are IOC orders at the extreme
//! price, 0.06 % fill-or-kill; targets are uniform among the oldest 512 live orders, sizes 1 + a·b·c with each drawn
//! from 0..5. What the next command is depends on what the book did with those before, so the flow is made by running it
//! once; then its records are replayed from memory.
//!
//! The recipe's clients name orders by numbers of their own. So do these: the sessions speak FIX, a ClOrdID is a number
//! that is counted, and a cancel or replace names the order by the latest of its ClOrdIDs and by OrderID(37), or by the
//! ClOrdID alone.

use engine::Engine;
use protocol::commands::{
    CancelOrder, ClOrdId, CreateAccounts, CreateTransfers, DefineActor, DefineAsset, DefineMarket,
    DefineSession, Genesis, NewOrder, ReplaceOrder, SessionLogon, roles,
};
use protocol::event::Event;
use protocol::record::{Record, RecordHeader};
use protocol::rows::account_flags::{DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::rows::{AccountRow, RowResult, TransferRow};
use protocol::terms::RareTerms;
use protocol::time::NANOS_PER_MILLI;
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, CancelOnDisconnect, ClientId, ClusterId, Command,
    EventBody, ExecType, FirmId, Generation, MarketId, OrderId, PriceTicks, QtyLots, RequestNumber, Seq,
    SessionId, SessionProtocol, Side, Strictness, Text, TimeInForce, TransferId, UnixNanos,
};

use crate::draw::Draw;
use crate::fault::Fault;

const CLIENTS: u64 = 1_000;
const SESSIONS: u64 = 8;
const CLIENTS_A_SESSION: u64 = CLIENTS / SESSIONS;
const RESTING: usize = 1_000;
/// Beyond this share of [`RESTING`] a cancel becomes an order, or an order a cancel.
const RESTING_SLACK: usize = RESTING / 20;
const TARGETS: usize = 512;
const PRICE_START: u64 = 10_000;
const PRICE_MIN: u64 = 1;
const PRICE_MAX: u64 = 20_000;
/// New orders rest within this many ticks of the last price.
const DEVIATION: u64 = PRICE_START / 20;
const TIME_START: u64 = 1_000_000_000;

const BASE: AssetId = AssetId(1);
const QUOTE: AssetId = AssetId(2);
const MARKET: MarketId = MarketId(1);
const FEES: AccountId = AccountId(3);

/// An engine that is ready to trade, and the records to replay on it.
pub(crate) struct Mix {
    /// Provisioned, logged on and filled with resting orders.
    pub(crate) ready: Engine,
    /// The state at the end, as the flow found it.
    pub(crate) done: Engine,
    /// One behind the other.
    pub(crate) records: Vec<u8>,
    pub(crate) count: u64,
    pub(crate) tally: Tally,
}

/// What the flow is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) moves: u64,
    pub(crate) cancels: u64,
    pub(crate) reduces: u64,
    pub(crate) rests: u64,
    pub(crate) takes: u64,
    pub(crate) fill_or_kills: u64,
    /// Commands that traded.
    pub(crate) trading: u64,
    pub(crate) resting: [usize; 2],
    pub(crate) levels: [usize; 2],
}

/// When the command at `seq` happens.
pub(crate) fn time_of(seq: Seq) -> UnixNanos {
    UnixNanos(TIME_START + seq.0)
}

/// Makes a flow of `ops` commands; whether those that concern an order say its OrderID.
pub(crate) fn make(ops: u64, seed: u64, with_order_ids: bool) -> Result<Mix, Fault> {
    let mut flow = Flow::new(seed, with_order_ids);
    flow.provision()?;
    while flow.live.len() < RESTING {
        let rest = flow.rest();
        flow.trade(rest)?;
    }
    let ready = flow.engine.clone();
    flow.records.clear();
    flow.tally = Tally::default();
    for _ in 0..ops {
        let command = flow.choose();
        flow.trade(command)?;
    }
    for (side, place) in [(Side::Buy, 0), (Side::Sell, 1)] {
        let mut prices: Vec<u64> =
            flow.live.iter().filter(|known| known.side == side).map(|known| known.price).collect();
        flow.tally.resting[place] = prices.len();
        prices.sort_unstable();
        prices.dedup();
        flow.tally.levels[place] = prices.len();
    }
    Ok(Mix { ready, done: flow.engine, records: flow.records, count: ops, tally: flow.tally })
}

/// A live order, as its reports told it.
#[derive(Clone, Debug)]
struct Known {
    id: OrderId,
    client: u64,
    side: Side,
    cl_ord_id: ClOrdId,
    price: u64,
    qty: u64,
    cum: u64,
}

struct Flow {
    engine: Engine,
    with_order_ids: bool,
    draw: Draw,
    /// In the order of their ids: the oldest first.
    live: Vec<Known>,
    last_price: u64,
    requests: u64,
    /// Number of the next message of each session.
    next_in: [u64; 8],
    ids: u64,
    records: Vec<u8>,
    events: Vec<Event>,
    tally: Tally,
}

fn session_of(client: u64) -> usize {
    usize::try_from(client / CLIENTS_A_SESSION).unwrap_or(0)
}

fn session_id(place: usize) -> SessionId {
    SessionId(SessionId::CLIENTS_FROM.0 + u32::try_from(place).unwrap_or(0))
}

fn text<const N: usize>(text: &str) -> Text<N> {
    Text::truncated(text)
}

fn refusal_of(body: &EventBody) -> Option<&'static str> {
    let first = |exceptions: &[RowResult]| exceptions.first().map(|row| row.refusal.name());
    if let EventBody::Replied(replied) = body {
        replied.refusal.map(protocol::RejectReason::name)
    } else if let EventBody::AccountsCreated(made) = body {
        first(&made.exceptions)
    } else if let EventBody::TransfersCreated(made) = body {
        first(&made.exceptions)
    } else {
        None
    }
}

impl Flow {
    fn new(seed: u64, with_order_ids: bool) -> Self {
        Self {
            engine: Engine::new(),
            with_order_ids,
            draw: Draw::new(seed),
            live: Vec::new(),
            last_price: PRICE_START,
            requests: 1,
            next_in: [2; 8],
            ids: 0,
            records: Vec::new(),
            events: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn provision(&mut self) -> Result<(), Fault> {
        let genesis = Genesis { cluster: ClusterId(1), operator: ActorId(1), operator_uid: 0, demo: true };
        self.apply(RecordHeader { session: SessionId::SYSTEM, ..RecordHeader::default() }, genesis.into())?;
        self.operate(DefineActor { actor: ActorId(2), roles: roles::TRADER })?;
        for (asset, code) in [(BASE, "BASE"), (QUOTE, "QUOTE")] {
            self.operate(DefineAsset { asset, code: text(code), scale: 0 })?;
            let account = AccountId(u128::from(asset.0));
            self.open(account, 0, asset, AccountClass::External)?;
        }
        self.open(FEES, 0, QUOTE, AccountClass::Fee)?;
        self.operate(market())?;
        for client in 0..CLIENTS {
            for asset in [BASE, QUOTE] {
                let account = AccountId(u128::from(1_000 + client * 10 + u64::from(asset.0)));
                self.open(account, client + 1, asset, AccountClass::Client)?;
                self.fund(account, asset)?;
            }
        }
        for place in 0..self.next_in.len() {
            let first = u64::try_from(place).unwrap_or(0) * CLIENTS_A_SESSION + 1;
            self.operate(DefineSession {
                session: session_id(place),
                actor: ActorId(2),
                firm: FirmId(1),
                protocol: SessionProtocol::Fix,
                client_comp_id: text(&format!("CLIENT{place}")),
                our_comp_id: text("SICIL"),
                clients: (first..first + CLIENTS_A_SESSION).map(ClientId).collect(),
                reset_on_logon: false,
                heartbeat_s_min: 1,
                heartbeat_s_max: 3_600,
                strictness: Strictness::Strict,
                cancel_on_disconnect: CancelOnDisconnect::Never,
                cancel_window_ms: 0,
            })?;
            let header = RecordHeader { session: session_id(place), ..RecordHeader::default() };
            let logon = SessionLogon {
                connection: 1,
                msg_seq_num: 1,
                heartbeat_s: 30,
                reset: false,
                next_expected: 0,
            };
            self.apply(header, logon.into())?;
        }
        Ok(())
    }

    fn open(
        &mut self,
        account: AccountId,
        client: u64,
        asset: AssetId,
        class: AccountClass,
    ) -> Result<(), Fault> {
        let limited = if class == AccountClass::External { 0 } else { DEBITS_MUST_NOT_EXCEED_CREDITS };
        let settles = if class == AccountClass::Client { SETTLEMENT } else { 0 };
        let row = AccountRow {
            id: account,
            owner: ClientId(client),
            ledger: asset,
            code: 1,
            flags: limited | settles,
            class: class.code().into(),
            ..AccountRow::default()
        };
        self.operate(CreateAccounts { accounts: vec![row] })
    }

    fn fund(&mut self, account: AccountId, asset: AssetId) -> Result<(), Fault> {
        let row = TransferRow {
            id: TransferId::at_ms(TIME_START / NANOS_PER_MILLI, account.0),
            debit_account: AccountId(u128::from(asset.0)),
            credit_account: account,
            amount: Amount(1 << 60),
            ledger: asset,
            code: 1,
            ..TransferRow::default()
        };
        self.operate(CreateTransfers { transfers: vec![row] })
    }

    fn operate(&mut self, command: impl Into<Command>) -> Result<(), Fault> {
        let request = RequestNumber(self.requests);
        self.requests += 1;
        let header = RecordHeader { session: SessionId::OPERATOR, request, ..RecordHeader::default() };
        self.apply(header, command.into())?;
        match self.events.iter().find_map(|event| refusal_of(&event.body)) {
            Some(refusal) => Err(Fault::Fix(format!("the engine refused a definition: {refusal}"))),
            None => Ok(()),
        }
    }

    /// One command of a client, and what it did to the orders that are known.
    fn trade(&mut self, (client, command): (u64, Command)) -> Result<(), Fault> {
        let place = session_of(client);
        let request = RequestNumber(self.next_in[place]);
        self.next_in[place] += 1;
        let header = RecordHeader {
            session: session_id(place),
            generation: Generation(1),
            request,
            ..RecordHeader::default()
        };
        self.apply(header, command)?;
        let events = std::mem::take(&mut self.events);
        let mut traded = false;
        for event in &events {
            if let EventBody::ExecutionReport(report) = &event.body {
                traded |= report.exec_type == ExecType::Trade;
                self.learn(report);
            }
        }
        self.tally.trading += u64::from(traded);
        self.events = events;
        Ok(())
    }

    fn learn(&mut self, report: &protocol::events::ExecutionReport) {
        let place = self.live.binary_search_by_key(&report.order, |known| known.id);
        if report.exec_type == ExecType::Trade {
            self.last_price = report.last_price_ticks.0;
        }
        match (report.leaves_lots, place) {
            (QtyLots(0), Ok(place)) => {
                self.live.remove(place);
            }
            (QtyLots(0), Err(_)) => {}
            (_, Ok(place)) => {
                let known = &mut self.live[place];
                known.cl_ord_id = report.cl_ord_id;
                known.price = report.price_ticks.0;
                known.qty = report.qty_lots.0;
                known.cum = report.cum_lots.0;
            }
            (_, Err(place)) => {
                let known = Known {
                    id: report.order,
                    client: report.client.0 - 1,
                    side: report.side,
                    cl_ord_id: report.cl_ord_id,
                    price: report.price_ticks.0,
                    qty: report.qty_lots.0,
                    cum: report.cum_lots.0,
                };
                self.live.insert(place, known);
            }
        }
    }

    fn choose(&mut self) -> (u64, Command) {
        let (few, many) =
            (self.live.len() < RESTING - RESTING_SLACK, self.live.len() > RESTING + RESTING_SLACK);
        match self.draw.below(10_011) {
            0..7_090 => self.shift(),
            7_090..8_550 if few => self.rest(),
            7_090..7_820 => self.cancel(),
            7_820..8_550 => self.reduce(),
            8_550..9_830 if many => self.cancel(),
            8_550..9_830 => self.rest(),
            9_830..10_005 => self.take(TimeInForce::ImmediateOrCancel),
            _ => self.take(TimeInForce::FillOrKill),
        }
    }

    fn target(&mut self) -> Known {
        let among = self.live.len().min(TARGETS);
        self.live[self.draw.index(among)].clone()
    }

    fn shift(&mut self) -> (u64, Command) {
        self.tally.moves += 1;
        let known = self.target();
        let (price, last) = (known.price, self.last_price);
        let one_percent = (price.abs_diff(last)).div_ceil(100);
        let to = match price.cmp(&last) {
            std::cmp::Ordering::Less => price + one_percent,
            std::cmp::Ordering::Greater => price - one_percent,
            std::cmp::Ordering::Equal => price - 1 + 2 * self.draw.below(2),
        };
        self.replace(&known, to.clamp(PRICE_MIN, PRICE_MAX), known.qty)
    }

    fn reduce(&mut self) -> (u64, Command) {
        let known = self.target();
        let leaves = known.qty - known.cum;
        if leaves < 2 {
            return self.cancel();
        }
        self.tally.reduces += 1;
        let by = 1 + self.draw.below(leaves - 1);
        self.replace(&known, known.price, known.qty - by)
    }

    fn replace(&mut self, known: &Known, price: u64, qty: u64) -> (u64, Command) {
        let replace = ReplaceOrder {
            cl_ord_id: self.fresh_id(),
            orig_cl_ord_id: known.cl_ord_id,
            order: self.with_order_ids.then_some(known.id),
            market: MARKET,
            side: known.side,
            price_ticks: PriceTicks(price),
            qty_lots: QtyLots(qty),
            poss_resend: false,
            terms: RareTerms::NONE,
        };
        (known.client, replace.into())
    }

    fn cancel(&mut self) -> (u64, Command) {
        self.tally.cancels += 1;
        let known = self.target();
        let cancel = CancelOrder {
            cl_ord_id: self.fresh_id(),
            orig_cl_ord_id: known.cl_ord_id,
            order: self.with_order_ids.then_some(known.id),
            market: MARKET,
            side: known.side,
            poss_resend: false,
        };
        (known.client, cancel.into())
    }

    fn rest(&mut self) -> (u64, Command) {
        self.tally.rests += 1;
        let side = self.side();
        // The mean of four draws: most orders rest near the last price, few far away.
        let away = (0..4).map(|_| self.draw.below(DEVIATION)).sum::<u64>() / 4;
        let away = away.abs_diff(DEVIATION / 2) * 2 + 1;
        let price = match side {
            Side::Buy => self.last_price.saturating_sub(away),
            Side::Sell => self.last_price + away,
        };
        self.order(side, price, TimeInForce::GoodTillCancel)
    }

    fn take(&mut self, time_in_force: TimeInForce) -> (u64, Command) {
        if time_in_force == TimeInForce::FillOrKill {
            self.tally.fill_or_kills += 1;
        } else {
            self.tally.takes += 1;
        }
        let side = self.side();
        let price = match side {
            Side::Buy => PRICE_MAX,
            Side::Sell => PRICE_MIN,
        };
        self.order(side, price, time_in_force)
    }

    fn order(&mut self, side: Side, price: u64, time_in_force: TimeInForce) -> (u64, Command) {
        let client = self.draw.below(CLIENTS);
        let mut part = || self.draw.below(6);
        let qty = 1 + part() * part() * part();
        let price = price.clamp(PRICE_MIN, PRICE_MAX);
        let order = NewOrder {
            client: Some(ClientId(client + 1)),
            time_in_force,
            ..NewOrder::limit(self.fresh_id(), MARKET, side, PriceTicks(price), QtyLots(qty))
        };
        (client, order.into())
    }

    fn side(&mut self) -> Side {
        if self.draw.below(2) == 0 { Side::Buy } else { Side::Sell }
    }

    fn fresh_id(&mut self) -> ClOrdId {
        self.ids += 1;
        text(&self.ids.to_string())
    }

    fn apply(&mut self, header: RecordHeader, command: Command) -> Result<(), Fault> {
        let start = self.records.len();
        let written = header.write(&command, &mut self.records);
        written.map_err(|_| Fault::Arguments("a command that no record holds"))?;
        let record = Record::read(self.records.get(start..).unwrap_or_default());
        let record = record.map_err(|_| Fault::Arguments("a record that does not read back"))?;
        let seq = self.engine.seq_applied().next();
        self.events.clear();
        self.engine
            .apply(seq, time_of(seq), &record, &mut self.events)
            .map_err(|broken| Fault::Fix(format!("the engine stopped: {broken:?}")))
    }
}

fn market() -> DefineMarket {
    DefineMarket {
        market: MARKET,
        symbol: text("BASE-QUOTE"),
        base: BASE,
        quote: QUOTE,
        lot_base_minor: Amount(1),
        tick_quote_minor: Amount(1),
        price_ticks_min: PriceTicks(PRICE_MIN),
        price_ticks_max: PriceTicks(PRICE_MAX),
        qty_lots_min: QtyLots(1),
        qty_lots_max: QtyLots(1_000),
        market_qty_lots_max: QtyLots(1_000),
        notional_min: Amount(1),
        notional_max: Amount(1 << 40),
        client_orders_max: 100_000,
        maker_fee_ppm: 1_000,
        taker_fee_ppm: 1_500,
        fee_account: FEES,
        tax_account: AccountId(0),
    }
}

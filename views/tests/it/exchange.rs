//! The engine under random commands: batches with every flag, orders that trade.

use engine::Engine;
use protocol::commands::{
    CancelOrder, ClOrdId, CreateAccounts, CreateTransfers, DefineActor, DefineAsset, DefineMarket,
    DefineSession, Genesis, NewOrder, PublishPrice, Pulse, ReplaceOrder, SessionLogon, SetMarketPhase,
    SetTradeGroup, roles,
};
use protocol::event::Event;
use protocol::record::{Record, RecordHeader};
use protocol::rows::account_flags::{DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::rows::{AccountRow, TransferRow, transfer_flags as flag};
use protocol::terms::{OrderTerms, RareTerms};
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, CancelOnDisconnect, ClientId, ClusterId, Command,
    EventBody, FirmId, Generation, MarketId, MarketPhase, PriceTicks, QtyLots, RequestNumber,
    SelfTradePrevention, Seq, SessionId, SessionProtocol, Side, Strictness, Text, TimeInForce, TradeGroupId,
    TransferId, UnixNanos,
};

const BASE: AssetId = AssetId(1);
const QUOTE: AssetId = AssetId(2);
const FEES: AccountId = AccountId(3);
const CLIENTS: u64 = 5;
const TRADERS: SessionId = SessionId::CLIENTS_FROM;

pub(crate) struct Exchange {
    pub(crate) engine: Engine,
    pub(crate) log: Vec<(Seq, UnixNanos, Vec<u8>, Vec<Event>)>,
    pub(crate) expired: usize,
    state: u64,
    time: u64,
    requests: u64,
    next_in: u64,
    accounts: Vec<AccountId>,
    pending: Vec<TransferId>,
}

impl Exchange {
    pub(crate) fn new(seed: u64) -> Self {
        let mut exchange = Self {
            engine: Engine::new(),
            log: Vec::new(),
            expired: 0,
            state: seed,
            time: 1_700_000_000_000_000_000,
            requests: 0,
            next_in: 1,
            accounts: Vec::new(),
            pending: Vec::new(),
        };
        exchange.provision();
        exchange
    }

    /// The seq before the log's first record.
    pub(crate) fn first_seq(&self) -> u64 {
        self.log[0].0.0 - 1
    }

    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    fn provision(&mut self) {
        let genesis = Genesis { cluster: ClusterId(1), operator: ActorId(1), operator_uid: 0, demo: true };
        self.apply(RecordHeader { session: SessionId::SYSTEM, ..RecordHeader::default() }, genesis);
        self.operate(DefineActor { actor: ActorId(2), roles: roles::TRADER });
        for (asset, code) in [(BASE, "BASE"), (QUOTE, "QUOTE")] {
            self.operate(DefineAsset { asset, code: Text::truncated(code), scale: 0 });
            self.open(AccountId(asset.0.into()), 0, asset, AccountClass::External);
        }
        self.open(FEES, 0, QUOTE, AccountClass::Fee);
        self.operate(market(1));
        self.operate(market(2));
        for client in 1..=CLIENTS {
            for asset in [BASE, QUOTE] {
                let account = AccountId(u128::from(client * 10 + u64::from(asset.0)));
                self.open(account, client, asset, AccountClass::Client);
                self.book(AccountId(asset.0.into()), account, asset, 1 << 40);
            }
        }
        self.operate(DefineSession {
            session: TRADERS,
            actor: ActorId(2),
            firm: FirmId(1),
            protocol: SessionProtocol::Fix,
            client_comp_id: Text::truncated("CLIENT"),
            our_comp_id: Text::truncated("SICIL"),
            clients: (1..=CLIENTS).map(ClientId).collect(),
            reset_on_logon: false,
            heartbeat_s_min: 1,
            heartbeat_s_max: 3_600,
            strictness: Strictness::Strict,
            cancel_on_disconnect: CancelOnDisconnect::Never,
            cancel_window_ms: 0,
        });
        for client in [ClientId(1), ClientId(2)] {
            self.operate(SetTradeGroup { client, trade_group: TradeGroupId(1) });
        }
        let roles = roles::ADMIN | roles::CASHIER | roles::PRICE_SOURCE;
        self.operate(DefineActor { actor: ActorId(1), roles });
        let logon =
            SessionLogon { connection: 1, msg_seq_num: 1, heartbeat_s: 30, reset: false, next_expected: 0 };
        self.apply(RecordHeader { session: TRADERS, ..RecordHeader::default() }, logon);
        self.next_in = 2;
    }

    fn open(&mut self, account: AccountId, client: u64, asset: AssetId, class: AccountClass) {
        let limited = if class == AccountClass::External { 0 } else { DEBITS_MUST_NOT_EXCEED_CREDITS };
        let settles = if class == AccountClass::Client { SETTLEMENT } else { 0 };
        self.accounts.push(account);
        let row = AccountRow {
            id: account,
            owner: ClientId(client),
            ledger: asset,
            code: 7,
            flags: limited | settles,
            class: class.code().into(),
            ..AccountRow::default()
        };
        self.operate(CreateAccounts { accounts: vec![row] });
    }

    /// One plain transfer.
    fn book(&mut self, debit_account: AccountId, credit_account: AccountId, ledger: AssetId, amount: u128) {
        let (id, amount) = (self.id(), Amount(amount));
        let row = TransferRow {
            id,
            debit_account,
            credit_account,
            amount,
            ledger,
            code: 7,
            ..TransferRow::default()
        };
        self.operate(CreateTransfers { transfers: vec![row] });
    }

    fn operate(&mut self, command: impl Into<Command>) {
        self.requests += 1;
        let request = RequestNumber(self.requests);
        self.apply(
            RecordHeader { session: SessionId::OPERATOR, request, ..RecordHeader::default() },
            command,
        );
    }

    fn apply(&mut self, header: RecordHeader, command: impl Into<Command>) {
        let mut bytes = Vec::new();
        header.write(&command.into(), &mut bytes).unwrap();
        let (seq, time) = (self.engine.seq_applied().next(), UnixNanos(self.time));
        let mut events = Vec::new();
        self.engine.apply(seq, time, &Record::read(&bytes).unwrap(), &mut events).unwrap();
        self.time += 1;
        let expired = events.iter().filter(|event| matches!(event.body, EventBody::TransferExpired(_)));
        self.expired += expired.count();
        self.log.push((seq, time, bytes, events));
    }

    /// One random command.
    pub(crate) fn step(&mut self) {
        self.time += self.below(200_000_000);
        match self.below(10) {
            0 => self.create_accounts(),
            1 => {
                let account = self.account();
                let ledger = if self.below(2) == 0 { BASE } else { QUOTE };
                let (external, amount) = (AccountId(ledger.0.into()), self.below(1_000).into());
                let (debit, credit) =
                    if self.below(2) == 0 { (external, account) } else { (account, external) };
                self.book(debit, credit, ledger, amount);
            }
            2 => self.apply(RecordHeader { session: SessionId::SYSTEM, ..RecordHeader::default() }, Pulse {}),
            3..6 => self.order(),
            _ => self.create_transfers(),
        }
    }

    fn account(&mut self) -> AccountId {
        let at = self.below(self.accounts.len().try_into().unwrap());
        self.accounts[usize::try_from(at).unwrap()]
    }

    fn id(&mut self) -> TransferId {
        TransferId::at_ms(self.time / 1_000_000, self.below(1 << 30).into())
    }

    fn create_accounts(&mut self) {
        let mut accounts = Vec::new();
        for _ in 0..1 + self.below(3) {
            // Sometimes one that exists.
            let id = if self.below(4) == 0 {
                self.account()
            } else {
                AccountId(100 + u128::from(self.below(1 << 20)))
            };
            let owner = ClientId(1 + self.below(CLIENTS));
            let row = AccountRow {
                id,
                owner,
                ledger: QUOTE,
                code: 4,
                flags: if self.below(3) == 0 { flag::LINKED } else { 0 }
                    | u16::try_from(2 * self.below(2)).unwrap(),
                class: 1,
                ..AccountRow::default()
            };
            self.accounts.push(id);
            accounts.push(row);
        }
        self.operate(CreateAccounts { accounts });
    }

    fn create_transfers(&mut self) {
        let mut transfers = Vec::new();
        for _ in 0..1 + self.below(12) {
            let mut row = TransferRow {
                id: self.id(),
                debit_account: self.account(),
                credit_account: self.account(),
                amount: Amount(self.below(5_000).into()),
                ledger: QUOTE,
                code: 1,
                flags: if self.below(3) == 0 { flag::LINKED } else { 0 },
                ..TransferRow::default()
            };
            match self.below(6) {
                0 | 1 => self.settle(&mut row),
                2 | 3 => self.reserve(&mut row),
                4 => {
                    row.flags |=
                        if self.below(2) == 0 { flag::BALANCING_DEBIT } else { flag::BALANCING_CREDIT }
                }
                _ => {}
            }
            transfers.push(row);
        }
        if self.below(8) == 0 {
            // The same rows again, in the same record: they exist.
            let again: Vec<TransferRow> = transfers.clone();
            transfers.extend(again);
        }
        self.operate(CreateTransfers { transfers });
    }

    fn reserve(&mut self, row: &mut TransferRow) {
        row.flags |= flag::PENDING;
        row.timeout_s = u32::try_from(self.below(4)).unwrap();
        row.flags |= if self.below(8) == 0 { flag::CLOSING_DEBIT } else { 0 };
        row.flags |= if self.below(8) == 0 { flag::CLOSING_CREDIT } else { 0 };
        self.pending.push(row.id);
    }

    fn settle(&mut self, row: &mut TransferRow) {
        // One of the last: most of the others have ended.
        let recent = self.pending.len().min(12);
        let Some(back) = u64::try_from(recent).ok().filter(|recent| *recent > 0) else { return };
        let back = usize::try_from(self.below(back)).unwrap();
        row.pending_id = self.pending[self.pending.len() - 1 - back];
        (row.debit_account, row.credit_account) = (AccountId(0), AccountId(0));
        (row.ledger, row.code) = (AssetId(0), 0);
        if self.below(2) == 0 {
            row.flags |= flag::VOID_PENDING_TRANSFER;
            row.amount = Amount(0);
        } else {
            row.flags |= flag::POST_PENDING_TRANSFER;
            row.amount =
                if self.below(2) == 0 { Amount(u128::MAX) } else { Amount(self.below(3_000).into()) };
        }
        if self.below(3) == 0 {
            row.flags |= flag::WHOLE_CHAIN;
            row.amount = Amount(if row.flags & flag::VOID_PENDING_TRANSFER == 0 { u128::MAX } else { 0 });
        }
    }

    /// One random order, cancel or replace, in either market; now and then a market goes into another phase, or is told an index price.
    pub(crate) fn trade(&mut self) {
        self.time += self.below(200_000_000);
        let market = MarketId(1 + u32::try_from(self.below(2)).unwrap());
        match self.below(60) {
            0 => {
                use MarketPhase::{Auction, CancelOnly, PreOpen, Trading};
                let is_trading =
                    self.engine.markets().any(|one| one.definition.market == market && one.phase == Trading);
                let others = [PreOpen, Auction, Auction, CancelOnly];
                let at = usize::try_from(self.below(4)).unwrap();
                let phase = if is_trading { others[at] } else { Trading };
                return self.operate(SetMarketPhase { market, phase });
            }
            1 => {
                let (price_ticks, observed_at_ns) = (PriceTicks(90 + self.below(20)), self.time);
                let valid_for_ms = 1_000;
                return self.operate(PublishPrice { market, price_ticks, observed_at_ns, valid_for_ms });
            }
            _ => {}
        }
        let live = self.engine.orders().count() as u64;
        let order = self.below(live.max(1));
        let order = self.engine.orders().nth(usize::try_from(order).unwrap());
        let (kind, cl_ord_id) = (self.below(100), self.cl_ord_id());
        match order.filter(|_| kind < 40 || live > 60) {
            Some(order) if kind.is_multiple_of(2) => self.send(CancelOrder {
                cl_ord_id,
                orig_cl_ord_id: order.cl_ord_id,
                order: None,
                market: order.market,
                side: order.side,
                poss_resend: false,
            }),
            Some(order) => {
                let price = if kind.is_multiple_of(3) { order.price_ticks.0 } else { 90 + self.below(20) };
                let replace = ReplaceOrder {
                    cl_ord_id,
                    orig_cl_ord_id: order.cl_ord_id,
                    order: None,
                    market: order.market,
                    side: order.side,
                    price_ticks: PriceTicks(price),
                    qty_lots: QtyLots(order.cum_lots.0 + 1 + self.below(20)),
                    poss_resend: false,
                    terms: RareTerms::NONE,
                };
                self.send(replace);
            }
            None => {
                let side = if self.below(2) == 0 { Side::Buy } else { Side::Sell };
                let behind = self.below(12);
                let price = if side == Side::Buy { 102 - behind } else { 98 + behind };
                let order = NewOrder {
                    market: MarketId(1 + u32::try_from(self.below(2)).unwrap()),
                    side,
                    time_in_force: if kind.is_multiple_of(8) {
                        TimeInForce::ImmediateOrCancel
                    } else {
                        TimeInForce::GoodTillCancel
                    },
                    ..self.limit_order(cl_ord_id, price)
                };
                let terms = self.terms(&order);
                self.send(NewOrder { terms, ..order });
            }
        }
    }

    /// Some of the orders that rest show a part of themselves; some do not trade with their group.
    fn terms(&mut self, order: &NewOrder) -> RareTerms {
        if self.below(3) == 0 {
            let self_trade_prevention = Some(SelfTradePrevention::Transfer);
            return OrderTerms { self_trade_prevention, ..OrderTerms::default() }.into();
        }
        if order.time_in_force != TimeInForce::GoodTillCancel || self.below(3) != 0 {
            return RareTerms::NONE;
        }
        OrderTerms { display_lots: QtyLots(1 + self.below(order.qty_lots.0)), ..OrderTerms::default() }.into()
    }

    fn order(&mut self) {
        let (cl_ord_id, price) = (self.cl_ord_id(), 100 + self.below(4));
        let order = self.limit_order(cl_ord_id, price);
        self.send(order);
    }

    fn cl_ord_id(&mut self) -> ClOrdId {
        self.next_in += 1;
        Text::truncated(&format!("c{}", self.next_in))
    }

    /// As the traders' session, under the number that its ClOrdID was made for.
    fn send(&mut self, command: impl Into<Command>) {
        let request = RequestNumber(self.next_in - 1);
        let header =
            RecordHeader { session: TRADERS, generation: Generation(1), request, ..RecordHeader::default() };
        self.apply(header, command);
    }

    fn limit_order(&mut self, cl_ord_id: ClOrdId, price: u64) -> NewOrder {
        let client = Some(ClientId(1 + self.below(CLIENTS)));
        let side = if self.below(2) == 0 { Side::Buy } else { Side::Sell };
        let qty = QtyLots(1 + self.below(20));
        NewOrder { client, ..NewOrder::limit(cl_ord_id, MarketId(1), side, PriceTicks(price), qty) }
    }
}

fn market(id: u32) -> DefineMarket {
    DefineMarket {
        market: MarketId(id),
        symbol: Text::truncated(&format!("BASE-QUOTE.{id}")),
        base: BASE,
        quote: QUOTE,
        lot_base_minor: Amount(3),
        tick_quote_minor: Amount(5),
        price_ticks_min: PriceTicks(1),
        price_ticks_max: PriceTicks(1_000),
        qty_lots_min: QtyLots(1),
        qty_lots_max: QtyLots(1_000),
        market_qty_lots_max: QtyLots(1_000),
        notional_min: Amount(0),
        notional_max: Amount(1 << 40),
        client_orders_max: 1_000,
        maker_fee_ppm: 1_000,
        taker_fee_ppm: 2_000,
        fee_account: FEES,
        tax_account: AccountId(0),
    }
}

//! A small bank and exchange: executes random commands by simple rules, and writes down everything that moved.

use std::collections::BTreeMap;

use protocol::commands::{CreateAccounts, CreateTransfers, DefineMarket, SetCalendar};
use protocol::event::Event;
use protocol::events::{
    AccountUpdated, AccountsCreated, CalendarSet, CurrencyExchanged, DayClosed, HoldChanged, MarketDefined,
    MonitorTriggered, Settled, StandingOrderAttempted, TradeBusted, TransferExpired, TransfersCreated,
    TransfersEntered,
};
use protocol::record::{Record, RecordHeader};
use protocol::rows::{
    AccountRow, RowAmount, RowResult, TradePosting, TransferRow, account_flags, transfer_flags as flag,
};
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, Command, EventBody, LedgerRefusal, MarketId,
    MarketPhase, MonitorId, OrderId, PriceTicks, QtyLots, QuoteId, RequestNumber, Seq, SessionId,
    Side as OrderSide, StandingOrderId, Text, TradeId, TradePart, TransferId, UnixNanos, commands,
};

use crate::ledger::{Attempt, Cause, Change, Exchange, Place, Trigger};

/// A record with its events.
pub(in crate::ledger) struct Fed {
    pub(in crate::ledger) seq: Seq,
    pub(in crate::ledger) time: UnixNanos,
    bytes: Vec<u8>,
    pub(in crate::ledger) events: Vec<Event>,
}

impl Fed {
    pub(in crate::ledger) fn record(&self) -> Record<'_> {
        Record::read(&self.bytes).unwrap()
    }
}

/// Something that moved, as the naive model remembers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) place: Place,
    pub(super) time: UnixNanos,
    pub(super) cause: Cause,
    pub(super) id: TransferId,
    pub(super) debit: AccountId,
    pub(super) credit: AccountId,
    pub(super) change: Change,
    pub(super) code: u16,
    /// What a row said.
    pub(super) row: Option<TransferRow>,
    /// From which day on it counts; 0 = from the beginning.
    pub(super) value_date: u32,
    /// The transfer that was settled or expired here.
    pub(super) settles: Option<TransferId>,
    /// Added to the closings of debit and credit account.
    pub(super) closings: (i32, i32),
}

#[derive(Clone, Copy)]
struct Open {
    debit: AccountId,
    credit: AccountId,
    amount: u128,
    code: u16,
    flags: u16,
    value_date: u32,
    chain: (Seq, u32),
    index: u32,
}

pub(super) struct Known {
    pub(super) row: AccountRow,
    pub(super) seq: Seq,
    pub(super) time: UnixNanos,
    /// What it was from which seq on.
    pub(super) updates: Vec<(Seq, AccountRow)>,
}

pub(in crate::ledger) struct Bank {
    state: u64,
    pub(in crate::ledger) seq: Seq,
    time: UnixNanos,
    pub(in crate::ledger) log: Vec<Fed>,
    pub(super) accounts: Vec<Known>,
    pub(super) moved: Vec<Moved>,
    pub(super) ids: Vec<TransferId>,
    /// Business dates, and with which seq each began.
    pub(super) days: Vec<(u32, Seq)>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) exchanges: Vec<Exchange>,
    open: BTreeMap<TransferId, Open>,
    market: Option<(AccountId, AccountId, u128)>,
    trades: u64,
    step: u32,
    events: Vec<EventBody>,
}

/// The first business date.
pub(super) const FIRST_DAY: u32 = 19_675;

const BASE: AssetId = AssetId(1);
const QUOTE: AssetId = AssetId(2);
const MARKET: MarketId = MarketId(7);

impl Bank {
    pub(in crate::ledger) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            seq: Seq::ZERO,
            time: UnixNanos(1_700_000_000_000_000_000),
            log: Vec::new(),
            accounts: Vec::new(),
            moved: Vec::new(),
            ids: Vec::new(),
            days: Vec::new(),
            triggers: Vec::new(),
            attempts: Vec::new(),
            exchanges: Vec::new(),
            open: BTreeMap::new(),
            market: None,
            trades: 0,
            step: 0,
            events: Vec::new(),
        }
    }

    pub(in crate::ledger) fn below(&mut self, below: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn one_of<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        let at = self.below(list.len().max(1).try_into().unwrap());
        list.get(usize::try_from(at).unwrap()).copied()
    }

    /// One record.
    pub(in crate::ledger) fn step(&mut self) {
        self.seq = self.seq.next();
        self.time = self.time.plus(1 + self.below(1_000_000));
        self.step = 0;
        while self.one_in(4) && self.expire() {}
        while self.accounts.len() >= 6 && self.one_in(6) {
            self.enter();
        }
        let command = match self.below(18) {
            _ if self.accounts.len() < 6 => self.create_accounts(),
            0 => self.create_accounts(),
            1 => self.open_account(),
            2 => self.define_market(),
            3..6 => self.trade(),
            6 => commands::Pulse {}.into(),
            7 => self.update_account(),
            8 => self.next_day(),
            _ => self.create_transfers(),
        };
        if self.one_in(5) {
            self.trigger();
        }
        if self.one_in(5) {
            self.attempt();
        }
        let mut bytes = Vec::new();
        RecordHeader::default().write(&command, &mut bytes).unwrap();
        let (seq, time) = (self.seq, self.time);
        let bodies = std::mem::take(&mut self.events);
        let events = bodies.into_iter().map(|body| Event { output: None, seq, time, body }).collect();
        self.log.push(Fed { seq, time, bytes, events });
    }

    fn account(&mut self) -> AccountId {
        let ids: Vec<AccountId> = self.accounts.iter().map(|known| known.row.id).collect();
        self.one_of(&ids).unwrap()
    }

    fn two_accounts(&mut self) -> (AccountId, AccountId) {
        // Some accounts have long histories, most have short ones.
        let first = if self.one_in(3) { self.accounts[0].row.id } else { self.account() };
        loop {
            let second = self.account();
            if second != first {
                return if self.one_in(2) { (first, second) } else { (second, first) };
            }
        }
    }

    fn new_id(&mut self) -> TransferId {
        let millis = self.time.0 / 1_000_000 - self.below(600_000);
        let rest = (u128::from(self.below(1 << 30)) << 40) | u128::from(self.below(1 << 30));
        let id = TransferId::at_ms(millis, rest);
        self.ids.push(id);
        id
    }

    fn amount(&mut self) -> u128 {
        match self.below(8) {
            0 => u128::from(self.below(1 << 30)) << 70,
            1 => 0,
            _ => u128::from(self.below(100_000)),
        }
    }

    fn learn(&mut self, row: AccountRow) {
        self.accounts.push(Known { row, seq: self.seq, time: self.time, updates: vec![(self.seq, row)] });
    }

    fn create_accounts(&mut self) -> Command {
        let (mut rows, mut exceptions, mut created) = (Vec::new(), Vec::new(), 0);
        for index in 0..1 + u32::try_from(self.below(5)).unwrap() {
            let number = u128::try_from(self.accounts.len()).unwrap();
            let refused = self.one_in(6);
            let id = if self.one_in(2) {
                number + 1
            } else {
                ((number + 1) << 80) | u128::from(self.below(1 << 20))
            };
            let flags = if self.one_in(20) {
                account_flags::CLOSED
            } else {
                account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS
            };
            let row = AccountRow {
                id: if refused { AccountId(0) } else { AccountId(id) },
                user_data_128: u128::from(self.below(3)),
                owner: ClientId(self.below(5)),
                user_data_64: self.below(3),
                user_data_32: 9,
                ledger: AssetId(1 + u32::try_from(self.below(2)).unwrap()),
                code: 1 + u16::try_from(self.below(4)).unwrap(),
                flags: flags | if self.one_in(2) { account_flags::LINKED } else { 0 },
                class: 1,
                ..AccountRow::default()
            };
            rows.push(row);
            if refused {
                exceptions.push(RowResult { index, refusal: LedgerRefusal::IdMustNotBeZero, seq: self.seq });
            } else {
                created += 1;
                self.learn(AccountRow { flags: row.flags & !account_flags::LINKED, ..row });
            }
        }
        let count = u32::try_from(rows.len()).unwrap();
        let (session, request) = (SessionId(20), RequestNumber(1));
        self.events.push(AccountsCreated { session, request, count, created, exceptions }.into());
        CreateAccounts { accounts: rows }.into()
    }

    /// An account through which a client's orders settle, or one more.
    fn open_account(&mut self) -> Command {
        let owner = ClientId(1 + self.below(4));
        let ledger = if self.one_in(2) { BASE } else { QUOTE };
        let settles = self.settles(owner, ledger).is_some();
        let settlement = if settles { 0 } else { account_flags::SETTLEMENT };
        let row = AccountRow {
            id: AccountId(u128::MAX - u128::try_from(self.accounts.len()).unwrap()),
            owner,
            ledger,
            code: 77,
            flags: account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS | settlement,
            class: AccountClass::Client.code().into(),
            ..AccountRow::default()
        };
        self.learn(row);
        let (session, request, exceptions) = (SessionId(20), RequestNumber(1), Vec::new());
        self.events.push(AccountsCreated { session, request, count: 1, created: 1, exceptions }.into());
        CreateAccounts { accounts: vec![row] }.into()
    }

    fn define_market(&mut self) -> Command {
        let (fee_account, tax_account) = (self.account(), self.account());
        let lot = 1 + u128::from(self.below(50));
        self.market = Some((fee_account, tax_account, lot));
        let definition = DefineMarket {
            market: MARKET,
            symbol: Text::new("A-B").unwrap(),
            base: BASE,
            quote: QUOTE,
            lot_base_minor: Amount(lot),
            tick_quote_minor: Amount(1),
            price_ticks_min: PriceTicks(1),
            price_ticks_max: PriceTicks(2),
            qty_lots_min: QtyLots(1),
            qty_lots_max: QtyLots(2),
            market_qty_lots_max: QtyLots(2),
            notional_min: Amount(1),
            notional_max: Amount(2),
            client_orders_max: 3,
            maker_fee_ppm: 4,
            taker_fee_ppm: 5,
            fee_account,
            tax_account,
        };
        self.events
            .push(MarketDefined { definition: definition.clone(), phase: MarketPhase::Trading }.into());
        definition.into()
    }

    fn moves(&mut self, cause: Cause, id: TransferId, (debit, credit): (AccountId, AccountId), amount: u128) {
        self.push(Moved {
            place: Place::default(),
            time: self.time,
            cause,
            id,
            debit,
            credit,
            change: Change::Posted(Amount(amount)),
            code: 0,
            row: None,
            value_date: self.business_date(),
            settles: None,
            closings: (0, 0),
        });
    }

    fn push(&mut self, moved: Moved) {
        self.moved.push(Moved { place: Place { seq: self.seq, step: self.step }, ..moved });
        self.step += 1;
    }

    fn settles(&self, client: ClientId, asset: AssetId) -> Option<AccountId> {
        let settles = |known: &&Known| {
            known.row.flags & account_flags::SETTLEMENT != 0
                && (known.row.owner, known.row.ledger) == (client, asset)
        };
        self.accounts.iter().find(settles).map(|known| known.row.id)
    }

    /// Some fills of one order: also of clients who trade with themselves.
    fn trade(&mut self) -> Command {
        for _ in 0..self.below(4) {
            self.fill();
        }
        commands::Pulse {}.into()
    }

    fn fill(&mut self) {
        let (buyer, seller) = (ClientId(1 + self.below(4)), ClientId(1 + self.below(4)));
        let accounts = [(buyer, BASE), (buyer, QUOTE), (seller, BASE), (seller, QUOTE)];
        let accounts = accounts.map(|(client, asset)| self.settles(client, asset));
        let (
            [Some(buyer_base), Some(buyer_quote), Some(seller_base), Some(seller_quote)],
            Some((fees, taxes, lot)),
        ) = (accounts, self.market)
        else {
            return;
        };
        self.trades += 1;
        let trade = TradeId(self.trades);
        let (qty, notional) = (1 + self.below(1_000), 1 + self.amount());
        let (buyer_fee, seller_fee) = (u128::from(self.below(3)), u128::from(self.below(3)));
        let (buyer_tax, seller_tax) = (u128::from(self.below(2)), u128::from(self.below(2)));
        let taker_side = self.one_of(OrderSide::ALL).unwrap();
        let maker_is_paid = self.below(3) == 0;
        let fee_of = |side, account| {
            if maker_is_paid && side != taker_side { (fees, account) } else { (account, fees) }
        };
        let (buyer_legs, seller_legs) =
            (fee_of(OrderSide::Buy, buyer_quote), fee_of(OrderSide::Sell, seller_quote));
        let of_buyer = [
            (TradePart::BuyerFee, buyer_legs.0, buyer_legs.1, buyer_fee),
            (TradePart::BuyerTax, buyer_quote, taxes, buyer_tax),
        ];
        let of_seller = [
            (TradePart::SellerFee, seller_legs.0, seller_legs.1, seller_fee),
            (TradePart::SellerTax, seller_quote, taxes, seller_tax),
        ];
        let mut movements = vec![
            (TradePart::Base, seller_base, buyer_base, u128::from(qty) * lot),
            (TradePart::Quote, buyer_quote, seller_quote, notional),
        ];
        let is_bought = taker_side == OrderSide::Buy;
        movements.extend(if is_bought { of_buyer } else { of_seller });
        movements.extend(if is_bought { of_seller } else { of_buyer });
        movements.retain(|&(_, _, _, amount)| amount > 0);
        for &(part, debit, credit, amount) in &movements {
            self.moves(Cause::Trade { trade, market: MARKET, part }, TransferId(0), (debit, credit), amount);
        }
        let settled = Settled {
            trade,
            market: MARKET,
            price_ticks: PriceTicks(3),
            qty_lots: QtyLots(qty),
            notional: Amount(notional),
            maker_order: OrderId(1),
            taker_order: OrderId(2),
            taker_side,
            buyer,
            seller,
            buyer_fee: Amount(buyer_fee),
            seller_fee: Amount(seller_fee),
            buyer_tax: Amount(buyer_tax),
            seller_tax: Amount(seller_tax),
            maker_is_paid,
        };
        self.events.push(settled.clone().into());
        self.events.push(HoldChanged { order: OrderId(1), account: buyer_quote, held: Amount(12) }.into());
        if self.below(4) == 0 {
            self.take_back(settled, &movements, fees);
        }
    }

    /// Everything the other way, and something that is advanced before.
    fn take_back(
        &mut self,
        settled: Settled,
        movements: &[(TradePart, AccountId, AccountId, u128)],
        fees: AccountId,
    ) {
        let back = movements.iter().rev().map(|&(part, debit, credit, amount)| TradePosting {
            part,
            debit_account: credit,
            credit_account: debit,
            amount: Amount(amount),
        });
        let mut postings: Vec<TradePosting> = back.collect();
        let payer = postings.first().unwrap().debit_account;
        postings.insert(
            0,
            TradePosting {
                part: TradePart::Receivable,
                debit_account: fees,
                credit_account: payer,
                amount: Amount(1 + self.amount()),
            },
        );
        for posting in &postings {
            let cause = Cause::Trade { trade: settled.trade, market: MARKET, part: posting.part };
            let accounts = (posting.debit_account, posting.credit_account);
            self.moves(cause, TransferId(0), accounts, posting.amount.0);
        }
        let nothing = Amount::ZERO;
        self.events.push(
            TradeBusted {
                settled,
                price_ticks: PriceTicks(0),
                qty_lots: QtyLots(0),
                notional: nothing,
                buyer_fee: nothing,
                seller_fee: nothing,
                buyer_tax: nothing,
                seller_tax: nothing,
                reason: 7,
                postings,
            }
            .into(),
        );
    }

    fn expire(&mut self) -> bool {
        let pending: Vec<TransferId> = self.open.keys().copied().collect();
        let Some(id) = self.one_of(&pending) else { return false };
        let ended = self.open.remove(&id).unwrap();
        let change = Change::Settled { reserved: Amount(ended.amount), posted: Amount(0) };
        self.push(Moved {
            place: Place::default(),
            time: self.time,
            cause: Cause::Expiry,
            id,
            debit: ended.debit,
            credit: ended.credit,
            change,
            code: ended.code,
            row: None,
            value_date: self.business_date(),
            settles: Some(id),
            closings: closings(ended.flags, -1),
        });
        let (debit_account, credit_account, amount) = (ended.debit, ended.credit, Amount(ended.amount));
        self.events.push(TransferExpired { transfer: id, debit_account, credit_account, amount }.into());
        true
    }

    fn create_transfers(&mut self) -> Command {
        let count = 1 + u32::try_from(self.below(24)).unwrap();
        let (mut rows, mut exceptions, mut amounts) = (Vec::new(), Vec::new(), Vec::new());
        let mut created = 0;
        while u32::try_from(rows.len()).unwrap() < count {
            let first = u32::try_from(rows.len()).unwrap();
            let legs = if self.one_in(3) { 2 + u32::try_from(self.below(3)).unwrap() } else { 1 };
            let refused = self.one_in(7);
            for index in first..first + legs {
                let linked = if index + 1 < first + legs { flag::LINKED } else { 0 };
                let seq = self.seq;
                if refused {
                    let row = self.plain_row(linked);
                    self.ids.pop();
                    rows.push(row);
                    exceptions.push(RowResult { index, refusal: LedgerRefusal::ExceedsCredits, seq });
                    continue;
                }
                created += 1;
                let row = self.execute((seq, first), index, linked, &mut amounts);
                rows.push(row);
            }
        }
        let count = u32::try_from(rows.len()).unwrap();
        let (session, request) = (SessionId(20), RequestNumber(0));
        self.events.push(
            TransfersCreated { session, request, count, created, exceptions, amounts, balances: 1 }.into(),
        );
        CreateTransfers { transfers: rows }.into()
    }

    /// Transfers that come to be without a batch.
    fn enter(&mut self) {
        let (mut transfers, mut amounts) = (Vec::new(), Vec::new());
        let chain = (self.seq, 1 << 31 | self.step);
        let count = 1 + u32::try_from(self.below(3)).unwrap();
        for index in 0..count {
            let linked = if index + 1 < count { flag::LINKED } else { 0 };
            if self.one_in(2) {
                let mut row = self.execute(chain, index, linked, &mut amounts);
                let moved = amounts.iter().find(|amount| amount.index == index);
                row.amount = moved.map_or(row.amount, |moved| moved.amount);
                transfers.push(row);
                continue;
            }
            let ids = self.ids.clone();
            let corrected = self.one_of(&ids).filter(|_| !self.one_in(9)).unwrap_or(TransferId(99));
            let row = TransferRow { reason: 3, pending_id: corrected, ..self.plain_row(linked | 1 << 8) };
            let (accounts, change) = ((row.debit_account, row.credit_account), Change::Posted(row.amount));
            self.push_row(&row, accounts, change, row.code, index, None, (0, 0));
            transfers.push(row);
        }
        let legs: Vec<TransferId> = transfers.iter().map(|row| row.id).collect();
        self.events.push(TransfersEntered { transfers }.into());
        if self.one_in(2) {
            self.exchange(&legs);
        }
    }

    /// Some of what came to be without a batch was an exchange: once in a record at most.
    fn exchange(&mut self, legs: &[TransferId]) {
        let (&[sell_transfer, buy_transfer], rest) = legs.split_at(2.min(legs.len())) else { return };
        if self.exchanges.last().is_some_and(|last| last.seq == self.seq) {
            return;
        }
        let event = CurrencyExchanged {
            quote: QuoteId(self.amount()),
            client: ClientId(self.below(9)),
            sell_account: AccountId(self.amount()),
            buy_account: AccountId(u128::from(self.below(9)) << 100),
            rounding_account: AccountId(self.amount()),
            sell_amount: Amount(self.amount()),
            buy_amount: Amount(self.amount()),
            rounding_amount: Amount(u128::from(self.below(2))),
            rate_mantissa: self.below(1 << 31) << 30,
            rate_scale: u8::try_from(self.below(19)).unwrap(),
            source: Text::truncated(if self.one_in(2) { "fixing" } else { "another source" }),
            sell_transfer,
            buy_transfer,
            rounding_transfer: rest.first().copied().unwrap_or(TransferId(0)),
        };
        self.events.push(event.clone().into());
        self.exchanges.push(Exchange { seq: self.seq, time: self.time, event });
    }

    fn update_account(&mut self) -> Command {
        let at = usize::try_from(self.below(self.accounts.len().try_into().unwrap())).unwrap();
        let (code, user_data_64) = (1 + u16::try_from(self.below(9)).unwrap(), self.below(99));
        let row =
            AccountRow { code, user_data_128: 5, user_data_64, user_data_32: 6, ..self.accounts[at].row };
        let AccountRow { id: account, user_data_128, user_data_32, .. } = row;
        self.accounts[at].updates.push((self.seq, row));
        self.events.push(AccountUpdated { account, code, user_data_128, user_data_64, user_data_32 }.into());
        commands::Pulse {}.into()
    }

    /// 0 = there is none.
    fn business_date(&self) -> u32 {
        self.days.last().map_or(0, |(day, _)| *day)
    }

    /// The calendar is set, or a day is closed.
    fn next_day(&mut self) -> Command {
        let business_date = self.business_date();
        let next = if business_date == 0 {
            FIRST_DAY
        } else {
            business_date + 1 + u32::try_from(self.below(3)).unwrap()
        };
        if business_date == 0 || self.one_in(4) {
            let calendar = SetCalendar {
                business_date: business_date.max(FIRST_DAY),
                weekend_days: 0,
                holidays: Vec::new(),
                value_back_days_max: 3,
                value_ahead_days_max: 3,
                utc_offset_s: 0,
                behind_utc: false,
            };
            self.events.push(CalendarSet { calendar }.into());
        } else {
            self.events.push(DayClosed { business_date, next, totals: Vec::new() }.into());
        }
        if business_date == 0 || self.events.iter().any(|event| matches!(event, EventBody::DayClosed(_))) {
            self.days.push((next, self.seq));
        }
        commands::Pulse {}.into()
    }

    /// As often as not none of its own.
    fn value_date(&mut self) -> u32 {
        let business_date = self.business_date();
        if business_date == 0 || self.one_in(2) {
            return 0;
        }
        business_date - 3 + u32::try_from(self.below(7)).unwrap()
    }

    /// Conditions of monitors become true: as many as that may be behind one record.
    fn trigger(&mut self) {
        for index in 0..self.below(3) {
            let event = MonitorTriggered {
                monitor: MonitorId(1 + self.below(5)),
                account: AccountId(u128::from(self.below(2)) << 100),
                ledger: AssetId(1),
                code: 2,
                class: AccountClass::Fee,
                value: Amount(self.amount()),
                negative: self.one_in(2),
            };
            let index = u32::try_from(index).unwrap();
            self.events.push(event.clone().into());
            self.triggers.push(Trigger { seq: self.seq, index, time: self.time, event });
        }
    }

    /// Standing orders are attempted: as many as that may be behind one record.
    fn attempt(&mut self) {
        for index in 0..self.below(4) {
            let refused = self.one_in(2);
            let event = StandingOrderAttempted {
                order: StandingOrderId(1 + self.below(3)),
                debit_account: AccountId(u128::from(self.below(9)) << 100),
                credit_account: AccountId(self.amount()),
                occurrence: FIRST_DAY + u32::try_from(self.below(9)).unwrap(),
                attempt: 1 + u8::try_from(self.below(200)).unwrap(),
                transfer: if refused { TransferId(0) } else { TransferId(self.amount()) },
                refusal: refused.then_some(LedgerRefusal::ExceedsCredits),
                retried: self.one_in(2),
                next_due_ns: self.below(2) << 60,
            };
            let index = u32::try_from(index).unwrap();
            self.events.push(event.clone().into());
            self.attempts.push(Attempt { seq: self.seq, index, time: self.time, event });
        }
    }

    fn plain_row(&mut self, linked: u16) -> TransferRow {
        let (debit_account, credit_account) = self.two_accounts();
        let user_data = self.one_in(4);
        TransferRow {
            id: self.new_id(),
            debit_account,
            credit_account,
            amount: Amount(self.amount()),
            user_data_128: if user_data { u128::from(self.below(9)) << 90 } else { 0 },
            user_data_64: if user_data { self.below(9) } else { 0 },
            user_data_32: if user_data { 4 } else { 0 },
            ledger: AssetId(1),
            code: 1 + u16::try_from(self.below(3)).unwrap(),
            flags: linked,
            value_date: self.value_date(),
            ..TransferRow::default()
        }
    }

    fn execute(
        &mut self,
        chain: (Seq, u32),
        index: u32,
        linked: u16,
        amounts: &mut Vec<RowAmount>,
    ) -> TransferRow {
        let mut row = self.plain_row(linked);
        let pending: Vec<TransferId> = self.open.keys().copied().collect();
        let pending = if self.one_in(3) { self.one_of(&pending) } else { None };
        if let Some(pending) = pending {
            self.settle(&mut row, pending, index, amounts);
            return row;
        }
        let mut amount = row.amount.0;
        let (mut change, mut closes) = (Change::Posted(row.amount), (0, 0));
        if self.one_in(3) {
            row.flags |= flag::PENDING;
            row.timeout_s = u32::try_from(self.below(3)).unwrap();
            row.flags |= if self.one_in(6) { flag::CLOSING_DEBIT } else { 0 };
            row.flags |= if self.one_in(6) { flag::CLOSING_CREDIT } else { 0 };
            closes = closings(row.flags, 1);
        } else if self.one_in(20) {
            row.reason = 3;
        }
        if self.one_in(5) {
            row.flags |= flag::BALANCING_DEBIT;
            amount /= 2;
            amounts.push(RowAmount { index, amount: Amount(amount) });
            change = Change::Posted(Amount(amount));
        }
        if row.flags & flag::PENDING != 0 {
            change = Change::Reserved(Amount(amount));
            let (debit, credit) = (row.debit_account, row.credit_account);
            let TransferRow { code, flags, value_date, .. } = row;
            let open = Open { debit, credit, amount, code, flags, value_date, chain, index };
            self.open.insert(row.id, open);
        }
        self.push_row(&row, (row.debit_account, row.credit_account), change, row.code, index, None, closes);
        row
    }

    fn settle(&mut self, row: &mut TransferRow, id: TransferId, index: u32, amounts: &mut Vec<RowAmount>) {
        let posts = self.one_in(2);
        row.flags |= if posts { flag::POST_PENDING_TRANSFER } else { flag::VOID_PENDING_TRANSFER };
        let named = self.one_in(2);
        let first = self.open[&id];
        (row.pending_id, row.code, row.ledger) = (id, if named { first.code } else { 0 }, AssetId(0));
        row.debit_account = if named { first.debit } else { AccountId(0) };
        row.credit_account = if named { first.credit } else { AccountId(0) };
        let chain = self.open.iter().filter(|(_, open)| open.chain == first.chain);
        let mut settled: Vec<(u32, TransferId)> = chain.map(|(id, open)| (open.index, *id)).collect();
        settled.sort_unstable();
        let whole = self.one_in(3);
        if whole {
            row.flags |= flag::WHOLE_CHAIN;
        } else {
            settled = vec![(0, id)];
        }
        let divisor = if self.one_in(4) { u128::MAX } else { 3 };
        let part = if posts && !whole && self.one_in(2) { first.amount / divisor } else { first.amount };
        row.amount = Amount(if posts && part == first.amount {
            u128::MAX
        } else if posts {
            part
        } else {
            0
        });
        if row.amount.0 != part {
            amounts.push(RowAmount { index, amount: Amount(part) });
        }
        for (_, id) in settled {
            let ended = self.open.remove(&id).unwrap();
            let posted = if !posts {
                0
            } else if whole {
                ended.amount
            } else {
                part
            };
            let change = Change::Settled { reserved: Amount(ended.amount), posted: Amount(posted) };
            let closes = if posts { (0, 0) } else { closings(ended.flags, -1) };
            let mut of_it = *row;
            of_it.pending_id = id;
            let accounts = (ended.debit, ended.credit);
            self.push_row(&of_it, accounts, change, ended.code, index, Some(id), closes);
            if let Some(moved) =
                self.moved.last_mut().filter(|_| row.value_date == 0 && ended.value_date != 0)
            {
                moved.value_date = ended.value_date;
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a test's own list of what a movement is")]
    fn push_row(
        &mut self,
        row: &TransferRow,
        (debit, credit): (AccountId, AccountId),
        change: Change,
        code: u16,
        index: u32,
        settles: Option<TransferId>,
        closings: (i32, i32),
    ) {
        let (place, time, cause, id) = (Place::default(), self.time, Cause::Row { index }, row.id);
        let value_date = if row.value_date == 0 { self.business_date() } else { row.value_date };
        let row = Some(*row);
        self.push(Moved {
            place,
            time,
            cause,
            id,
            debit,
            credit,
            change,
            code,
            row,
            value_date,
            settles,
            closings,
        });
    }
}

fn closings(flags: u16, by: i32) -> (i32, i32) {
    let of = |which| if flags & which == 0 { 0 } else { by };
    (of(flag::CLOSING_DEBIT), of(flag::CLOSING_CREDIT))
}

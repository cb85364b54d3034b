//! Random commands for the ledger: mostly rows that could be right, and one fault in many of them.
//!
//! Accounts, owners and ids are few, so that they meet again. What is chosen looks at the model: which transfers are
//! pending, what an account may still pay, where the floor lies.

use protocol::commands::{ExchangeCurrency, SetLedgerLimits};
use protocol::limits::{
    CORRECTED_TRANSFERS_MAX, CORRECTION_WINDOW_MAX_MS, ID_AHEAD_MAX_MS, ID_WINDOW_MAX_MS, LEDGER_TABLE_MAX,
};
use protocol::rows::{AccountRow, TransferRow, account_flags, transfer_flags};
use protocol::{AccountId, Amount, AssetId, ClientId, Command, TransferId};

use transfer_flags::{
    BALANCING_CREDIT, BALANCING_DEBIT, CLOSING_CREDIT, CLOSING_DEBIT, LINKED, PENDING, POST_PENDING_TRANSFER,
    VOID_PENDING_TRANSFER, WHOLE_CHAIN,
};

use super::model::{Model, Status};
use crate::numbers::Numbers;

/// Ledgers that exist; amounts in the second come near the largest number.
pub(crate) const LEDGERS: [u32; 2] = [1, 2];
const HUGE: u32 = 2;
/// A ledger that does not exist.
pub(super) const NO_LEDGER: u32 = 3;
/// Owners of accounts; the third is in nobody's entitlements.
pub(crate) const OWNERS: [u64; 3] = [100, 200, 300];
const ACCOUNTS: u64 = 48;
const RECENT: usize = 60;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Cashier,
    /// For the first owner.
    Payer,
    /// For the first two; it trades for the second.
    PayerForTwo,
    /// Trades for the first.
    Trader,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Accounts(Sender, Vec<AccountRow>),
    Transfers(Sender, Vec<TransferRow>),
    /// A command of the bank, by somebody or by the operator.
    Bank(Option<Sender>, Command),
    /// A command about an order of this client.
    Order(Sender, u64, Command),
    Pulse,
}

pub(crate) struct Flow {
    pub(crate) numbers: Numbers,
    pub(super) recent: Vec<TransferRow>,
    batches: Vec<(Sender, Vec<TransferRow>)>,
    accounts: Vec<AccountRow>,
    pub(super) last_bank: Option<Command>,
    pub(super) last_service: Option<Command>,
    pub(super) exchanges: Vec<ExchangeCurrency>,
    /// Requests about orders so far: each has an id of its own.
    pub(super) cl_ord_ids: u64,
    /// Whether this bank has a chart of accounts sooner or later.
    pub(super) has_chart: bool,
    /// Rows of one batch at most.
    rows_max: u64,
}

fn milliseconds(id: u128) -> u128 {
    id >> 80
}

impl Flow {
    pub(crate) fn new(seed: u64, rows_max: u64) -> Self {
        Self {
            numbers: Numbers(seed),
            recent: Vec::new(),
            batches: Vec::new(),
            accounts: Vec::new(),
            last_bank: None,
            last_service: None,
            exchanges: Vec::new(),
            cl_ord_ids: 0,
            has_chart: seed % 3 == 2,
            rows_max,
        }
    }

    /// How long nothing happens before the next step.
    pub(crate) fn pause_ns(&mut self) -> u64 {
        let ms = match self.numbers.below(1_000) {
            0..=1 => self.numbers.below(2_000_000),
            2..=9 => self.numbers.below(200_000_000),
            10..=15 => self.numbers.below(20_000),
            16..=80 => self.numbers.below(3_000),
            81..=400 => self.numbers.below(50),
            _ => 0,
        };
        ms * 1_000_000
    }

    pub(crate) fn step(&mut self, model: &Model) -> Step {
        match self.numbers.below(1_000) {
            0..=14 => Step::Bank(None, self.limits(model).into()),
            15..=40 => Step::Pulse,
            201..=380 => self.bank(model),
            381..=500 => self.service(model),
            501..=550 => self.correction(model),
            551..=600 => self.order(model),
            41..=120 => Step::Accounts(self.sender(90), self.account_rows()),
            121..=200 if !self.batches.is_empty() => {
                let (sender, rows) = self.numbers.pick(&self.batches).clone();
                Step::Transfers(sender, self.again(rows))
            }
            _ => {
                let sender = self.sender(60);
                let rows = self.transfer_rows(model);
                self.batches.push((sender, rows.clone()));
                self.recent.extend(&rows);
                self.recent.drain(..self.recent.len().saturating_sub(RECENT));
                self.batches.drain(..self.batches.len().saturating_sub(RECENT));
                Step::Transfers(sender, rows)
            }
        }
    }

    pub(super) fn sender(&mut self, cashier_percent: u64) -> Sender {
        match self.numbers.below(100) {
            at if at < cashier_percent => Sender::Cashier,
            98.. => Sender::Trader,
            at if at % 4 == 0 => Sender::PayerForTwo,
            _ => Sender::Payer,
        }
    }

    fn limits(&mut self, model: &Model) -> SetLedgerLimits {
        let numbers = &mut self.numbers;
        let mut set = SetLedgerLimits {
            id_window_ms: numbers.between(1_000, 40_000),
            id_ahead_ms: numbers.between(0, 5_000),
            transfer_ids_max: u32::try_from(numbers.between(8_189, 20_000)).unwrap(),
            pending_transfers_max: u32::try_from(numbers.between(3, 80)).unwrap(),
            correction_window_ms: *numbers.pick(&[10_000, 60_000, CORRECTION_WINDOW_MAX_MS]),
            corrected_transfers_max: *numbers.pick(&[1, 2, 3, 5, 8, 13, 21]),
        };
        match numbers.below(20) {
            0 => set = model.limits.clone(),
            1 => set.id_window_ms = *numbers.pick(&[0, ID_WINDOW_MAX_MS + 1]),
            2 => set.id_ahead_ms = ID_AHEAD_MAX_MS + 1,
            3 => set.transfer_ids_max = *numbers.pick(&[8_188, LEDGER_TABLE_MAX + 1]),
            4 => set.pending_transfers_max = LEDGER_TABLE_MAX + 1,
            5 => set.correction_window_ms = *numbers.pick(&[0, CORRECTION_WINDOW_MAX_MS + 1]),
            6 => set.corrected_transfers_max = CORRECTED_TRANSFERS_MAX + 1,
            _ => {}
        }
        set
    }

    /// A batch once more, mostly as it was.
    fn again(&mut self, mut rows: Vec<TransferRow>) -> Vec<TransferRow> {
        if self.numbers.chance(30) && !rows.is_empty() {
            let at = usize::try_from(self.numbers.below(u64::try_from(rows.len()).unwrap())).unwrap();
            self.differ(&mut rows[at]);
        }
        rows
    }

    fn count(&mut self) -> u64 {
        match self.numbers.below(100) {
            0 => 0,
            1..=30 => 1,
            31..=97 => self.numbers.between(1, self.rows_max.min(12)),
            _ => self.numbers.between(1, self.rows_max),
        }
    }

    pub(crate) fn account_rows(&mut self) -> Vec<AccountRow> {
        let count = self.count();
        let mut rows: Vec<AccountRow> = (0..count).map(|_| self.account_row()).collect();
        for row in rows.iter_mut().rev().skip(1) {
            if self.numbers.chance(35) {
                row.flags |= account_flags::LINKED;
            }
        }
        rows
    }

    pub(crate) fn account_row(&mut self) -> AccountRow {
        if !self.accounts.is_empty() && self.numbers.chance(40) {
            let mut row = *self.numbers.pick(&self.accounts);
            if self.numbers.chance(70) {
                self.differ_account(&mut row);
            }
            return row;
        }
        let numbers = &mut self.numbers;
        let class = u16::try_from(numbers.between(1, 6)).unwrap();
        let owner = if class == 1 { *numbers.pick(&OWNERS) } else { 0 };
        let limit = match numbers.below(10) {
            0..=2 => account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS,
            3..=5 => account_flags::CREDITS_MUST_NOT_EXCEED_DEBITS,
            _ => 0,
        };
        let settles = numbers.chance(if class <= 2 { 25 } else { 1 });
        let settlement = if settles { account_flags::SETTLEMENT } else { 0 };
        let limit = if settles { account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS } else { limit };
        let closed = if numbers.chance(if settles { 30 } else { 8 }) { account_flags::CLOSED } else { 0 };
        let mut row = AccountRow {
            id: AccountId(u128::from(numbers.between(1, ACCOUNTS))),
            user_data_128: numbers.below(2).into(),
            owner: ClientId(owner),
            user_data_64: numbers.below(2),
            user_data_32: u32::try_from(numbers.below(2)).unwrap(),
            ledger: AssetId(*numbers.pick(&LEDGERS)),
            code: u16::try_from(numbers.between(1, 3)).unwrap(),
            flags: limit | closed | settlement,
            class,
            reserved: 0,
        };
        if numbers.chance(15) {
            self.spoil_account(&mut row);
        } else {
            self.accounts.push(row);
        }
        row
    }

    fn spoil_account(&mut self, row: &mut AccountRow) {
        let both =
            account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS | account_flags::CREDITS_MUST_NOT_EXCEED_DEBITS;
        match self.numbers.below(10) {
            0 => row.reserved = 1,
            1 => row.flags |= 8 << self.numbers.below(2),
            2 => row.id = AccountId(0),
            3 => row.id = AccountId(u128::MAX),
            4 => row.flags |= both,
            5 => row.class = *self.numbers.pick(&[0, 7, 257]),
            6 => row.owner = ClientId(if row.owner.0 == 0 { OWNERS[0] } else { 0 }),
            7 => row.ledger = AssetId(if self.numbers.chance(50) { 0 } else { NO_LEDGER }),
            8 => row.code = 0,
            _ => row.flags |= account_flags::SETTLEMENT,
        }
    }

    fn differ_account(&mut self, row: &mut AccountRow) {
        match self.numbers.below(8) {
            0 => row.flags ^= account_flags::CLOSED,
            1 => row.owner.0 += 1,
            2 => row.class += 1,
            3 => row.user_data_128 ^= 1 << 127,
            4 => row.user_data_64 ^= 1 << 63,
            5 => row.user_data_32 ^= 1 << 31,
            6 => row.ledger.0 ^= 1,
            _ => row.code += 1,
        }
    }

    fn transfer_rows(&mut self, model: &Model) -> Vec<TransferRow> {
        let count = usize::try_from(self.count()).unwrap();
        let mut rows: Vec<TransferRow> = Vec::with_capacity(count);
        let mut chain_left = 0_u64;
        while rows.len() < count {
            let mut row = self.transfer_row(model, &rows);
            if chain_left == 0 && self.numbers.chance(20) {
                chain_left = self.numbers.between(2, 6);
                if self.numbers.chance(5) {
                    chain_left = self.rows_max + 1;
                }
            }
            let is_last = rows.len() + 1 == count;
            let stays_open = is_last && self.numbers.chance(15);
            if (chain_left > 1 && !is_last) || stays_open {
                row.flags |= LINKED;
            }
            chain_left = chain_left.saturating_sub(1);
            rows.push(row);
        }
        rows
    }

    fn transfer_row(&mut self, model: &Model, batch: &[TransferRow]) -> TransferRow {
        if !self.recent.is_empty() && self.numbers.chance(6) {
            let mut row = *self.numbers.pick(&self.recent);
            if self.numbers.chance(75) {
                self.differ(&mut row);
            }
            return row;
        }
        let mut row = if self.numbers.chance(28) { self.settling(model, batch) } else { self.moving(model) };
        if self.numbers.chance(10) {
            row.value_date = self.day_around(model);
        }
        if self.numbers.chance(9) {
            self.spoil(&mut row, model);
        }
        row
    }

    /// An id of around now; sometimes at the very ends of what is taken.
    pub(super) fn id(&mut self, model: &Model) -> TransferId {
        let now = model.time / 1_000_000;
        let ahead = model.limits.id_ahead_ms;
        let numbers = &mut self.numbers;
        let ms = match numbers.below(100) {
            0..=59 => now,
            60..=79 => numbers.between(model.floor_ms.min(now), now),
            80..=93 => now + numbers.below(ahead + 1),
            94 => model.floor_ms,
            95 => model.floor_ms.saturating_sub(1),
            96 => now + ahead,
            97 => now + ahead + 1,
            98 => now.saturating_sub(model.limits.id_window_ms),
            _ => numbers.below(now * 2),
        };
        let low = if numbers.chance(10) { numbers.below(3) } else { numbers.next() };
        TransferId((u128::from(ms) << 80) | u128::from(low))
    }

    pub(super) fn moving(&mut self, model: &Model) -> TransferRow {
        let ledger = if self.numbers.chance(75) { LEDGERS[0] } else { HUGE };
        let there: Vec<u128> = model
            .accounts
            .values()
            .filter(|account| account.row.ledger.0 == ledger)
            .map(|a| a.row.id.0)
            .collect();
        let any = |numbers: &mut Numbers| {
            if there.is_empty() { u128::from(numbers.between(1, ACCOUNTS)) } else { *numbers.pick(&there) }
        };
        let debit = any(&mut self.numbers);
        let credit = (0..5).map(|_| any(&mut self.numbers)).find(|credit| *credit != debit).unwrap_or(debit);
        let flags = self.moving_flags();
        let is_pending = flags & PENDING != 0;
        let balances = flags & (BALANCING_DEBIT | BALANCING_CREDIT) != 0;
        let numbers = &mut self.numbers;
        let timeout_s = match numbers.below(10) {
            _ if !is_pending => 0,
            0..=3 => 0,
            9 if numbers.chance(20) => u32::MAX,
            _ => u32::try_from(numbers.between(1, 6)).unwrap(),
        };
        let (user_data_64, user_data_32) = (numbers.below(3), u32::try_from(numbers.below(3)).unwrap());
        TransferRow {
            id: self.id(model),
            debit_account: AccountId(debit),
            credit_account: AccountId(credit),
            amount: Amount(if balances && self.numbers.chance(50) {
                u128::MAX
            } else {
                self.amount(model, ledger, debit, credit)
            }),
            pending_id: TransferId(0),
            user_data_128: self.numbers.below(3).into(),
            user_data_64,
            user_data_32,
            timeout_s,
            ledger: AssetId(ledger),
            code: u16::try_from(self.numbers.between(1, 3)).unwrap(),
            flags,
            value_date: 0,
            reason: 0,
            reserved: 0,
        }
    }

    fn moving_flags(&mut self) -> u16 {
        let numbers = &mut self.numbers;
        let closing = [0, CLOSING_DEBIT, CLOSING_CREDIT, CLOSING_DEBIT | CLOSING_CREDIT];
        let balancing = [0, BALANCING_DEBIT, BALANCING_CREDIT, BALANCING_DEBIT | BALANCING_CREDIT];
        match numbers.below(100) {
            0..=44 => 0,
            45..=69 => PENDING,
            70..=84 => numbers.pick(&balancing) | if numbers.chance(30) { PENDING } else { 0 },
            _ => PENDING | numbers.pick(&closing) | numbers.pick(&balancing),
        }
    }

    fn amount(&mut self, model: &Model, ledger: u32, debit: u128, credit: u128) -> u128 {
        let numbers = &mut self.numbers;
        let balances =
            |id: u128| model.accounts.get(&id).map(|account| account.balances.clone()).unwrap_or_default();
        let spent = model.accounts.get(&debit).map_or(0, super::model::Account::spent);
        match numbers.below(100) {
            0..=4 => 0,
            5..=14 => {
                // What the debit account may still pay, or the credit account take, and one more.
                let (payer, payee) = (balances(debit), balances(credit));
                let may_owe = payer.credits_posted.saturating_add(model.bank.line(debit, model.time));
                let pays = may_owe.saturating_sub(spent);
                let takes = payee.debits_posted.saturating_sub(payee.credits_posted + payee.credits_pending);
                let edge = if numbers.chance(60) { pays } else { takes };
                edge.saturating_add(numbers.below(2).into())
            }
            15..=44 if ledger == HUGE => {
                let part = u128::MAX / u128::from(*numbers.pick(&[1_u64, 1, 2, 2, 3, 4, 8, 1 << 40]));
                part.saturating_add(numbers.below(2).into())
            }
            15..=16 if ledger != HUGE => u128::MAX >> numbers.below(128),
            _ if numbers.chance(30) => numbers.below(1_000_000).into(),
            _ => numbers.between(1, 40).into(),
        }
    }

    /// Posts or voids something, perhaps of the same batch.
    fn settling(&mut self, model: &Model, batch: &[TransferRow]) -> TransferRow {
        let numbers = &mut self.numbers;
        let mut targets: Vec<(TransferRow, u128)> =
            batch.iter().filter(|row| row.flags & PENDING != 0).map(|row| (*row, row.amount.0)).collect();
        let open = targets.is_empty() || numbers.chance(80);
        if open {
            targets = model.pending().map(|(_, transfer)| (transfer.row, transfer.amount)).collect();
        }
        if targets.is_empty() || numbers.chance(8) {
            targets = model.transfers.values().map(|t| (t.row, t.amount)).collect();
            let settled = |t: &&super::model::Transfer| !matches!(t.status, Status::Final | Status::Pending);
            if numbers.chance(70) && model.transfers.values().any(|t| settled(&t)) {
                targets = model.transfers.values().filter(settled).map(|t| (t.row, t.amount)).collect();
            }
        }
        let nothing = TransferRow { pending_id: TransferId(0), ..self.moving(model) };
        let numbers = &mut self.numbers;
        let (target, pending) = if targets.is_empty() { (nothing, 5) } else { *numbers.pick(&targets) };
        let posts = numbers.chance(60);
        let whole = numbers.chance(15);
        let amount = match (posts, numbers.below(10)) {
            (true, _) if whole => u128::MAX,
            (false, _) if whole => 0,
            (true, 0..=4) => u128::MAX,
            (true, 5..=7) => pending.saturating_sub(numbers.below(20).into()),
            (false, 0..=5) => 0,
            (false, 6) => pending.saturating_sub(1),
            (false, 7) => pending.saturating_add(1),
            (true, 8) => pending.saturating_add(1),
            (true | false, _) => pending,
        };
        let named = numbers.chance(40);
        TransferRow {
            id: self.id(model),
            debit_account: if named { target.debit_account } else { AccountId(0) },
            credit_account: if named { target.credit_account } else { AccountId(0) },
            amount: Amount(amount),
            pending_id: target.id,
            timeout_s: 0,
            ledger: if named { target.ledger } else { AssetId(0) },
            code: if named { target.code } else { 0 },
            flags: if posts { POST_PENDING_TRANSFER } else { VOID_PENDING_TRANSFER }
                | if whole { WHOLE_CHAIN } else { 0 },
            ..nothing
        }
    }

    /// One fault.
    pub(super) fn spoil(&mut self, row: &mut TransferRow, model: &Model) {
        let unknown = AccountId(u128::from(ACCOUNTS) + 7);
        let any = AccountId(u128::from(self.numbers.between(1, ACCOUNTS)));
        let numbers = &mut self.numbers;
        match numbers.below(30) {
            0 => row.reserved = 1,
            1 => row.flags |= *numbers.pick(&[256, 1_024, 1 << 15]),
            2 => row.id = TransferId(0),
            3 => row.id = TransferId(u128::MAX),
            4 => row.flags |= u16::try_from(numbers.next() & 0x2FE).unwrap(),
            5 => row.value_date = u32::try_from(numbers.between(19_995, 20_005)).unwrap(),
            6 => row.reason = 9,
            7 => row.debit_account = AccountId(0),
            8 => row.debit_account = AccountId(u128::MAX),
            9 => row.credit_account = AccountId(0),
            10 => row.credit_account = AccountId(u128::MAX),
            11 => row.credit_account = row.debit_account,
            12 => row.pending_id = TransferId(5),
            13 => row.pending_id = TransferId(0),
            14 => row.pending_id = TransferId(u128::MAX),
            15 => row.pending_id = row.id,
            16 => row.timeout_s = 3,
            17 => row.flags |= *numbers.pick(&[CLOSING_DEBIT, CLOSING_CREDIT]),
            18 => row.ledger = AssetId(0),
            19 => row.code = 0,
            20 => row.debit_account = unknown,
            21 => row.credit_account = unknown,
            22 => row.credit_account = any,
            23 => row.debit_account = any,
            24 => row.ledger = AssetId(row.ledger.0 ^ 3),
            25 => row.code += 1,
            26 => row.flags |= WHOLE_CHAIN,
            27 => row.amount = Amount(numbers.below(50).into()),
            28 => row.id = TransferId(u128::from(milliseconds_before(model)) << 80),
            _ => row.timeout_s = u32::MAX,
        }
    }

    /// One field differs.
    fn differ(&mut self, row: &mut TransferRow) {
        match self.numbers.below(12) {
            0 => row.flags ^= *self.numbers.pick(&[PENDING, BALANCING_DEBIT, LINKED]),
            1 => row.pending_id.0 ^= 1,
            2 => row.timeout_s ^= 1,
            3 => row.debit_account.0 ^= 1,
            4 => row.credit_account.0 ^= 1,
            5 => row.amount.0 ^= 1,
            6 => row.user_data_128 ^= 1 << 127,
            7 => row.user_data_64 ^= 1 << 63,
            8 => row.user_data_32 ^= 1 << 31,
            9 => row.ledger.0 ^= 1,
            10 if row.amount.0.is_multiple_of(3) => row.value_date ^= 1,
            10 if row.amount.0.is_multiple_of(2) => row.reason ^= 1,
            10 => row.code ^= 8,
            _ => row.id.0 = (milliseconds(row.id.0) << 80) | 1,
        }
    }
}

fn milliseconds_before(model: &Model) -> u64 {
    (model.time / 1_000_000).saturating_sub(2 * model.limits.id_window_ms + 1)
}

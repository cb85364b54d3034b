//! The ledger as its rules say it, too simple to be wrong: maps, loops, and a copy of everything before each linked chain.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::SetLedgerLimits;
use protocol::limits::{
    CHAIN_PARTS_PER_RECORD_MAX, CORRECTED_TRANSFERS_DEFAULT, CORRECTION_WINDOW_DEFAULT_MS,
    EXPIRIES_PER_RECORD_MAX, ID_AHEAD_DEFAULT_MS, ID_WINDOW_DEFAULT_MS, PENDING_TRANSFERS_DEFAULT,
    STANDING_ORDERS_PER_RECORD_MAX, TIMERS_PER_RECORD_MAX, TRANSFER_IDS_DEFAULT,
};
use protocol::rows::{AccountRow, TransferRow, account_flags, transfer_flags};
use protocol::{AccountClass, Amount, EventBody, LedgerRefusal, events};

use super::bank::Bank;
use LedgerRefusal as R;
use transfer_flags::{
    BALANCING_CREDIT, BALANCING_DEBIT, CLOSING_CREDIT, CLOSING_DEBIT, CORRECTION, PENDING,
    POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER, WHOLE_CHAIN,
};

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;
/// The last time at which anything may expire.
pub(crate) const TIME_MAX: u64 = u64::MAX / 2;
/// Ids are forgotten by whole slices of so many milliseconds.
const SLICE_MS: u64 = 16;
/// Ids ahead of the present may be one in so many of those that are remembered.
const AHEAD_PART: u32 = 4;
/// Payers leave others one in so many of what is shared.
const LEFT_BY_PAYERS: u32 = 8;
/// The most that an account through which orders settle, or that takes their fees, may have of debits or of credits.
const TRADING_TURNOVER_MAX: u128 = 1 << 112;

/// Unix milliseconds in an id.
pub(super) fn milliseconds(id: u128) -> u64 {
    u64::try_from(id >> 80).unwrap()
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balances {
    pub(crate) debits_pending: u128,
    pub(crate) debits_posted: u128,
    pub(crate) credits_pending: u128,
    pub(crate) credits_posted: u128,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// As it was sent.
    sent: AccountRow,
    /// As it would have to be sent now.
    pub(crate) row: AccountRow,
    pub(crate) created: u64,
    pub(crate) closed: bool,
    pub(crate) balances: Balances,
    /// Promised to live orders.
    pub(crate) held: u128,
}

impl Balances {
    /// In the order of their declaration.
    pub(crate) fn columns(&self) -> [u128; 4] {
        [self.debits_pending, self.debits_posted, self.credits_pending, self.credits_posted]
    }
}

impl Account {
    pub(super) fn has(&self, flag: u16) -> bool {
        self.row.flags & flag != 0
    }

    /// Whether a row is this account's: as it was sent, or as it is.
    fn is(&self, row: &AccountRow) -> bool {
        self.sent == *row || self.row == *row
    }

    /// Debits posted, pending and held for.
    pub(crate) fn spent(&self) -> u128 {
        self.balances.debits_posted + self.balances.debits_pending + self.held
    }

    pub(crate) fn available(&self) -> u128 {
        self.balances.credits_posted.saturating_sub(self.spent())
    }

    pub(super) fn is_below_zero(&self) -> bool {
        self.spent() > self.balances.credits_posted
    }

    fn turnover_max(&self) -> u128 {
        let trades = self.has(account_flags::SETTLEMENT)
            || [AccountClass::Fee, AccountClass::Suspense]
                .iter()
                .any(|class| self.row.class == u16::from(class.code()));
        if trades { TRADING_TURNOVER_MAX } else { u128::MAX }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It moved money at once, or settled another one.
    Final,
    Pending,
    Posted,
    /// By a post that named another part of its chain.
    PostedWithChain,
    Voided,
    Expired,
}

/// What happens by itself; at the same time in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Proposal,
    /// A temporary line ends.
    Line,
    Quote,
    Expiry,
    StandingOrder,
}

/// A transfer id that will not be executed again.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// As it was sent.
    pub(crate) row: TransferRow,
    /// Where it was created, or refused.
    pub(crate) seq: u64,
    pub(crate) refusal: Option<LedgerRefusal>,
    /// What it moved or reserved.
    pub(crate) amount: u128,
}

/// A transfer that was created, as far as it may be named by later ones.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) row: TransferRow,
    pub(crate) amount: u128,
    pub(crate) status: Status,
    by_payer: bool,
    /// When it expires, in ns.
    pub(crate) deadline: Option<u64>,
    /// Seq of its record and index of its chain's first row.
    pub(crate) chain: (u64, usize),
    pub(crate) index: usize,
}

/// By (ledger, code, class): how many accounts, and their four balances summed, `None` past the largest number.
pub(crate) type Totals = BTreeMap<(u32, u16, u16), (u64, [Option<u128>; 4])>;

/// Who sends.
#[derive(Clone, Debug)]
pub(crate) enum Payer {
    /// May debit every account.
    Anyone,
    /// May debit the accounts of these clients.
    Of(BTreeSet<u64>),
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created {
        amount: u128,
    },
    /// With what was moved, if it was executed before.
    Refused {
        refusal: LedgerRefusal,
        seq: u64,
        moved: Option<u128>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) assets: BTreeSet<u32>,
    pub(crate) limits: SetLedgerLimits,
    pub(crate) accounts: BTreeMap<u128, Account>,
    pub(crate) known: BTreeMap<u128, Known>,
    /// Pending ones, and those whose id is known.
    pub(crate) transfers: BTreeMap<u128, Transfer>,
    /// How the first part of a chain ended: the whole cannot be settled any more.
    chain_ends: BTreeMap<(u64, usize), Status>,
    /// Parts of chains that the present batch has named.
    parts_seen: usize,
    /// Ids whose time is below this are refused.
    pub(crate) floor_ms: u64,
    /// Overdrafts, days, monitors.
    pub(crate) bank: Bank,
    /// What trades, by its own rules.
    pub(crate) orders: crate::model::Model,
    pub(crate) seq: u64,
    pub(crate) time: u64,
}

impl Model {
    pub(crate) fn new(assets: impl IntoIterator<Item = u32>) -> Self {
        let limits = SetLedgerLimits {
            id_window_ms: ID_WINDOW_DEFAULT_MS,
            id_ahead_ms: ID_AHEAD_DEFAULT_MS,
            transfer_ids_max: TRANSFER_IDS_DEFAULT,
            pending_transfers_max: PENDING_TRANSFERS_DEFAULT,
            correction_window_ms: CORRECTION_WINDOW_DEFAULT_MS,
            corrected_transfers_max: CORRECTED_TRANSFERS_DEFAULT,
        };
        Self {
            assets: assets.into_iter().collect(),
            limits,
            accounts: BTreeMap::new(),
            known: BTreeMap::new(),
            transfers: BTreeMap::new(),
            chain_ends: BTreeMap::new(),
            parts_seen: 0,
            floor_ms: 0,
            bank: Bank::default(),
            orders: crate::model::Model::new(),
            seq: 0,
            time: 0,
        }
    }

    /// A record begins: what happens before it by itself, in order.
    pub(crate) fn begin(&mut self, seq: u64, time: u64) -> Vec<EventBody> {
        (self.seq, self.time) = (seq, time);
        let mut happened = Vec::new();
        let mut left = [TIMERS_PER_RECORD_MAX, EXPIRIES_PER_RECORD_MAX, STANDING_ORDERS_PER_RECORD_MAX];
        while let Some((_, due, id)) = self.next_due().filter(|(deadline, ..)| *deadline <= time) {
            let bound = match due {
                Due::Proposal | Due::Line => 0,
                Due::Quote | Due::Expiry => 1,
                Due::StandingOrder => 2,
            };
            if left[bound] == 0 {
                break;
            }
            left[bound] -= 1;
            let before = self.accounts.clone();
            match due {
                Due::Proposal => happened.push(self.expire_proposal(u64::try_from(id).unwrap())),
                Due::Line => happened.push(self.end_line(id)),
                Due::Quote => happened.extend(self.end_quote(id)),
                Due::Expiry => happened.push(expired_event(&self.expire(id))),
                Due::StandingOrder => {
                    happened.extend(self.execute_standing_order(u64::try_from(id).unwrap()));
                }
            }
            happened.extend(self.judge_monitors(&before));
        }
        happened
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = (u128, &Transfer)> {
        self.transfers.iter().filter(|(_, t)| t.status == Status::Pending).map(|(id, t)| (*id, t))
    }

    fn next_expiry(&self) -> Option<(u64, u128)> {
        self.pending().filter_map(|(id, t)| Some((t.deadline?, id))).min()
    }

    /// The next thing that happens by itself.
    pub(crate) fn next_due(&self) -> Option<(u64, Due, u128)> {
        let dues = [
            (Due::Proposal, self.next_proposal_end()),
            (Due::Line, self.next_line_end()),
            (Due::Quote, self.next_quote_end()),
            (Due::Expiry, self.next_expiry()),
            (Due::StandingOrder, self.next_standing_order()),
        ];
        dues.into_iter().filter_map(|(due, next)| next.map(|(deadline, id)| (deadline, due, id))).min()
    }

    fn expire(&mut self, id: u128) -> Transfer {
        self.release(id, Status::Expired);
        let transfer = self.transfers[&id].clone();
        self.forget_ended();
        transfer
    }

    /// What is pending is free again, and accounts that it closed are open.
    fn release(&mut self, id: u128, status: Status) {
        let transfer = self.transfers.get_mut(&id).unwrap();
        transfer.status = status;
        let Transfer { row, amount, chain, .. } = transfer.clone();
        self.chain_ends.entry(chain).or_insert(status);
        let debit = self.accounts.get_mut(&row.debit_account.0).unwrap();
        debit.balances.debits_pending -= amount;
        debit.closed &= row.flags & CLOSING_DEBIT == 0;
        let credit = self.accounts.get_mut(&row.credit_account.0).unwrap();
        credit.balances.credits_pending -= amount;
        credit.closed &= row.flags & CLOSING_CREDIT == 0;
    }

    pub(crate) fn create_accounts(&mut self, rows: &[AccountRow]) -> Vec<Outcome> {
        let linked: Vec<bool> = rows.iter().map(|row| row.flags & account_flags::LINKED != 0).collect();
        self.in_chains(
            &linked,
            |model, index| {
                let account = model.accounts.get(&rows[index].id.0)?;
                account.is(&rows[index]).then_some((account.created, 0))
            },
            |model, index, _| model.create_account(&rows[index]),
        )
    }

    pub(crate) fn create_transfers(&mut self, rows: &[TransferRow], payer: &Payer) -> Vec<Outcome> {
        self.raise_floor();
        self.parts_seen = 0;
        let linked: Vec<bool> = rows.iter().map(|row| row.flags & transfer_flags::LINKED != 0).collect();
        self.in_chains(
            &linked,
            |model, index| {
                let known = model.known.get(&rows[index].id.0)?;
                let is_retry = known.row == rows[index] && known.refusal.is_none();
                (is_retry && known.row.flags & CORRECTION == 0).then_some((known.seq, known.amount))
            },
            |model, index, first| model.create_transfer(&rows[index], payer, (model.seq, first), index),
        )
    }

    /// Executes rows one by one; what a chain did is undone as a whole where a row of it fails. `executed` says where a row was executed
    /// before, and what it moved: a chain that was executed as a whole has not failed when it comes again.
    fn in_chains(
        &mut self,
        linked: &[bool],
        executed: impl Fn(&Self, usize) -> Option<(u64, u128)>,
        mut execute: impl FnMut(&mut Self, usize, usize) -> Result<u128, (LedgerRefusal, u64)>,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut first = 0;
        while first < linked.len() {
            let length = linked[first..].iter().take_while(|linked| **linked).count() + 1;
            let end = (first + length).min(linked.len());
            let seqs: BTreeSet<_> =
                (first..end).map(|index| executed(self, index).map(|(seq, _)| seq)).collect();
            let again = first + length <= linked.len() && seqs.len() == 1 && !seqs.contains(&None);
            let before = (length > 1 && !again).then(|| self.clone());
            let mut failed = None;
            for index in first..end {
                let is_open = index + 1 == linked.len() && linked[index];
                let result = if is_open {
                    Err((R::LinkedEventChainOpen, self.seq))
                } else if failed.is_some() && !again {
                    Err((R::LinkedEventFailed, self.seq))
                } else {
                    execute(self, index, first)
                };
                match result {
                    Ok(amount) => outcomes.push(Outcome::Created { amount }),
                    Err((refusal, seq)) => {
                        if failed.is_none() {
                            let refusal = R::LinkedEventFailed;
                            outcomes[first..].fill(Outcome::Refused { refusal, seq: self.seq, moved: None });
                            failed = Some(index);
                        }
                        let moved = executed(self, index).filter(|_| refusal == R::Exists);
                        let moved = moved.map(|(_, amount)| amount);
                        outcomes.push(Outcome::Refused { refusal, seq, moved });
                    }
                }
            }
            if let (Some(before), Some(_)) = (before, failed) {
                // Ids that were refused for what may change are remembered also from chains.
                let refused = std::mem::take(&mut self.known);
                // Nor is it forgotten how much was looked at.
                *self = Self { parts_seen: self.parts_seen, ..before };
                let refused = refused.into_iter().filter(|(_, known)| known.refusal.is_some());
                self.known.extend(refused);
            }
            self.forget_ended();
            first = end;
        }
        outcomes
    }

    fn create_account(&mut self, row: &AccountRow) -> Result<u128, (LedgerRefusal, u64)> {
        let known = self.accounts.get(&row.id.0);
        let refusal = refuse_account_itself(row)
            .or_else(|| known.filter(|account| account.is(row)).map(|_| R::Exists))
            .or_else(|| known.map(|account| compare_accounts(row, &account.row)))
            .or_else(|| self.refuse_account(row));
        match (refusal, known) {
            (None, _) => {
                let closed = row.flags & account_flags::CLOSED != 0;
                let (sent, row, balances) = (*row, *row, Balances::default());
                let account = Account { sent, row, created: self.seq, closed, balances, held: 0 };
                self.accounts.insert(row.id.0, account);
                Ok(0)
            }
            (Some(R::Exists), Some(account)) => Err((R::Exists, account.created)),
            (Some(refusal), _) => Err((refusal, self.seq)),
        }
    }

    fn refuse_account(&self, row: &AccountRow) -> Option<LedgerRefusal> {
        use account_flags::{
            CREDITS_MUST_NOT_EXCEED_DEBITS as CREDITS, DEBITS_MUST_NOT_EXCEED_CREDITS as DEBITS, SETTLEMENT,
        };
        let class = u8::try_from(row.class).ok().and_then(AccountClass::from_code);
        let of_client = class == Some(AccountClass::Client);
        let settles = row.flags & SETTLEMENT != 0;
        let may_settle = of_client || class == Some(AccountClass::House);
        let taken = self
            .accounts
            .values()
            .any(|a| a.has(SETTLEMENT) && a.row.owner == row.owner && a.row.ledger == row.ledger);
        first_of(&[
            (row.flags & DEBITS != 0 && row.flags & CREDITS != 0, R::FlagsAreMutuallyExclusive),
            (settles && row.flags & DEBITS == 0, R::FlagsAreMutuallyExclusive),
            (class.is_none(), R::ClassNotFound),
            (of_client != (row.owner.0 != 0), R::OwnerMustMatchClass),
            (row.ledger.0 == 0, R::LedgerMustNotBeZero),
            (row.code == 0, R::CodeMustNotBeZero),
            (!self.assets.contains(&row.ledger.0), R::LedgerNotFound),
            (self.refuse_code(row) == Some(R::CodeNotFound), R::CodeNotFound),
            (self.refuse_code(row) == Some(R::CodeExcludesClass), R::CodeExcludesClass),
            (self.refuse_code(row) == Some(R::LimitAgainstNormalSide), R::LimitAgainstNormalSide),
            (settles && (!may_settle || taken), R::SettlementAccountExists),
        ])
    }

    /// A row of a batch, which is nobody's proposal.
    fn create_transfer(
        &mut self,
        row: &TransferRow,
        payer: &Payer,
        chain: (u64, usize),
        index: usize,
    ) -> Result<u128, (LedgerRefusal, u64)> {
        let corrects = row.flags & CORRECTION != 0;
        let refusal = self.refuse_transfer_itself(row, payer);
        if let Some(refusal) = refusal.or(corrects.then_some(R::CorrectionNeedsApproval)) {
            return Err((refusal, self.seq));
        }
        self.execute_transfer(row, payer, chain, index)
    }

    /// What is said of an id that is known.
    pub(super) fn refuse_known(&self, row: &TransferRow, payer: &Payer) -> Result<(), (LedgerRefusal, u64)> {
        let Some(known) = self.known.get(&row.id.0) else { return Ok(()) };
        let refusal = compare_transfers(row, &known.row);
        if refusal != R::Exists && !self.is_of(payer, &known.row) {
            return Err((R::IdNotEntitled, self.seq));
        }
        Err(match (refusal, known.refusal) {
            (R::Exists, Some(refused)) => (refused, known.seq),
            (R::Exists, None) => (R::Exists, known.seq),
            (different, _) => (different, self.seq),
        })
    }

    /// Whether what a row takes money from, or ends, is of the payer's clients. What is not remembered is nobody's.
    fn is_of(&self, payer: &Payer, row: &TransferRow) -> bool {
        let mut debit = row.debit_account.0;
        if debit == 0 {
            let executed = self.transfers.get(&row.pending_id.0).map(|transfer| transfer.row);
            let named = executed.or_else(|| self.known.get(&row.pending_id.0).map(|known| known.row));
            debit = named.map_or(0, |named| named.debit_account.0);
        }
        let account = self.accounts.get(&debit);
        matches!(payer, Payer::Anyone) || account.is_some_and(|account| may_debit(payer, account))
    }

    /// A row that may have its id, and correct something.
    pub(super) fn execute_transfer(
        &mut self,
        row: &TransferRow,
        payer: &Payer,
        chain: (u64, usize),
        index: usize,
    ) -> Result<u128, (LedgerRefusal, u64)> {
        self.refuse_known(row, payer)?;
        let settles = row.flags & (POST_PENDING_TRANSFER | VOID_PENDING_TRANSFER) != 0;
        let done = if settles { self.settle(row, payer) } else { self.transfer(row, payer) };
        let seq = self.seq;
        match done {
            Ok(amount) => {
                let pending = row.flags & PENDING != 0;
                let status = if pending { Status::Pending } else { Status::Final };
                let deadline = (row.timeout_s > 0).then(|| self.time + u64::from(row.timeout_s) * NS_PER_S);
                let by_payer = !matches!(payer, Payer::Anyone);
                let transfer = Transfer { row: *row, amount, status, by_payer, deadline, chain, index };
                self.transfers.insert(row.id.0, transfer);
                self.known.insert(row.id.0, Known { row: *row, seq, refusal: None, amount });
                Ok(amount)
            }
            Err(refusal) => {
                if refusal.is_transient() {
                    let refusal = Some(refusal);
                    self.known.insert(row.id.0, Known { row: *row, seq, refusal, amount: 0 });
                }
                Err((refusal, seq))
            }
        }
    }

    pub(super) fn refuse_transfer_itself(&self, row: &TransferRow, payer: &Payer) -> Option<LedgerRefusal> {
        let id_ms = milliseconds(row.id.0);
        let present = self.time / NS_PER_MS / SLICE_MS;
        let ahead_from = u128::from((present + 1) * SLICE_MS) << 80;
        let ahead_max = may_have(payer, self.limits.transfer_ids_max / AHEAD_PART);
        let no_room = row.id.0 >= ahead_from && self.known.range(ahead_from..).count() >= ahead_max;
        let far = id_ms > self.time / NS_PER_MS + self.limits.id_ahead_ms;
        let is_new = !self.known.contains_key(&row.id.0);
        first_of(&[
            (row.reserved != 0, R::ReservedField),
            (row.flags & !transfer_flags::ALL != 0, R::ReservedFlag),
            (row.id.0 == 0, R::IdMustNotBeZero),
            (row.id.0 == u128::MAX, R::IdMustNotBeIntMax),
            (id_ms < self.floor_ms, R::IdTooOld),
            ((far || no_room) && is_new, R::IdTooFarAhead),
        ])
    }

    /// What a row that moves or reserves must look like.
    pub(super) fn refuse_shape(&self, row: &TransferRow) -> Result<(), LedgerRefusal> {
        let is = |flag: u16| row.flags & flag != 0;
        let closes = is(CLOSING_DEBIT) || is(CLOSING_CREDIT);
        let corrects = is(CORRECTION);
        refuse(&[
            (is(WHOLE_CHAIN), R::FlagsAreMutuallyExclusive),
            (!self.bank.takes_value(row.value_date), R::ValueDateOutOfRange),
            (!corrects && row.reason != 0, R::ReasonReservedForCorrection),
            (row.debit_account.0 == 0, R::DebitAccountIdMustNotBeZero),
            (row.debit_account.0 == u128::MAX, R::DebitAccountIdMustNotBeIntMax),
            (row.credit_account.0 == 0, R::CreditAccountIdMustNotBeZero),
            (row.credit_account.0 == u128::MAX, R::CreditAccountIdMustNotBeIntMax),
            (row.debit_account == row.credit_account, R::AccountsMustBeDifferent),
            (!corrects && row.pending_id.0 != 0, R::PendingIdMustBeZero),
            (corrects && row.pending_id.0 == 0, R::PendingIdMustNotBeZero),
            (corrects && row.pending_id.0 == u128::MAX, R::PendingIdMustNotBeIntMax),
            (corrects && row.pending_id == row.id, R::PendingIdMustBeDifferent),
            (!is(PENDING) && row.timeout_s != 0, R::TimeoutReservedForPendingTransfer),
            (!is(PENDING) && closes, R::ClosingTransferMustBePending),
            (row.ledger.0 == 0, R::LedgerMustNotBeZero),
            (row.code == 0, R::CodeMustNotBeZero),
        ])
    }

    /// Moves or reserves; returns how much.
    fn transfer(&mut self, row: &TransferRow, payer: &Payer) -> Result<u128, LedgerRefusal> {
        self.refuse_shape(row)?;
        let is = |flag: u16| row.flags & flag != 0;
        let closes = is(CLOSING_DEBIT) || is(CLOSING_CREDIT);
        let anyone = matches!(payer, Payer::Anyone);
        let debit = self.accounts.get(&row.debit_account.0).ok_or(R::DebitAccountNotFound)?;
        let credit = self.accounts.get(&row.credit_account.0).ok_or(R::CreditAccountNotFound)?;
        let pending_max = self.limits.pending_transfers_max;
        let pending = self.pending().count();
        let by_payers = self.pending().filter(|(_, transfer)| transfer.by_payer).count();
        let too_many = pending >= usize::try_from(pending_max).unwrap()
            || (!anyone && by_payers >= may_have(payer, pending_max));
        refuse(&[
            (debit.row.ledger != credit.row.ledger, R::AccountsMustHaveTheSameLedger),
            (row.ledger != debit.row.ledger, R::TransferMustHaveTheSameLedgerAsAccounts),
            (!may_debit(payer, debit), R::DebitAccountNotEntitled),
            (!anyone && (closes || is(BALANCING_CREDIT)), R::FlagsNotEntitled),
            (debit.closed, R::DebitAccountAlreadyClosed),
            (credit.closed, R::CreditAccountAlreadyClosed),
            (is(PENDING) && too_many, R::TooManyPendingTransfers),
        ])?;
        let amount = amount_of(row, debit, &credit.balances);
        self.refuse_amount(row, debit, credit, amount)?;

        let debit = self.accounts.get_mut(&row.debit_account.0).unwrap();
        let debits =
            if is(PENDING) { &mut debit.balances.debits_pending } else { &mut debit.balances.debits_posted };
        *debits += amount;
        debit.closed |= is(CLOSING_DEBIT);
        let credit = self.accounts.get_mut(&row.credit_account.0).unwrap();
        let credits = if is(PENDING) {
            &mut credit.balances.credits_pending
        } else {
            &mut credit.balances.credits_posted
        };
        *credits += amount;
        credit.closed |= is(CLOSING_CREDIT);
        Ok(amount)
    }

    fn refuse_amount(
        &self,
        row: &TransferRow,
        debit: &Account,
        credit: &Account,
        amount: u128,
    ) -> Result<(), LedgerRefusal> {
        use account_flags::{
            CREDITS_MUST_NOT_EXCEED_DEBITS as CREDITS, DEBITS_MUST_NOT_EXCEED_CREDITS as DEBITS,
        };
        let pending = row.flags & PENDING != 0;
        let overflows = |balance: u128| balance.checked_add(amount).is_none();
        let (d, c) = (&debit.balances, &credit.balances);
        let debits = d.debits_pending + d.debits_posted;
        let credits = c.credits_pending + c.credits_posted;
        let timeout = u64::from(row.timeout_s) * NS_PER_S;
        let may_owe = d.credits_posted.saturating_add(self.bank.line(row.debit_account.0, self.time));
        refuse(&[
            (pending && overflows(d.debits_pending), R::OverflowsDebitsPending),
            (pending && overflows(c.credits_pending), R::OverflowsCreditsPending),
            (overflows(d.debits_posted), R::OverflowsDebitsPosted),
            (overflows(c.credits_posted), R::OverflowsCreditsPosted),
            (overflows(debits) || debits + amount > debit.turnover_max(), R::OverflowsDebits),
            (overflows(credits) || credits + amount > credit.turnover_max(), R::OverflowsCredits),
            (timeout > 0 && self.time + timeout > TIME_MAX, R::OverflowsTimeout),
        ])?;
        refuse(&[
            (debit.has(DEBITS) && debits + debit.held + amount > may_owe, R::ExceedsCredits),
            (credit.has(CREDITS) && credits + amount > c.debits_posted, R::ExceedsDebits),
        ])
    }

    /// Posts or voids; returns how much.
    fn settle(&mut self, row: &TransferRow, payer: &Payer) -> Result<u128, LedgerRefusal> {
        let is = |flag: u16| row.flags & flag != 0;
        let (posts, whole) = (is(POST_PENDING_TRANSFER), is(WHOLE_CHAIN));
        let others = PENDING | BALANCING_DEBIT | BALANCING_CREDIT | CLOSING_DEBIT | CLOSING_CREDIT;
        let all = if posts { u128::MAX } else { 0 };
        refuse(&[
            ((posts && is(VOID_PENDING_TRANSFER)) || is(others), R::FlagsAreMutuallyExclusive),
            (!self.bank.takes_value(row.value_date), R::ValueDateOutOfRange),
            (row.reason != 0, R::ReasonReservedForCorrection),
            (row.pending_id.0 == 0, R::PendingIdMustNotBeZero),
            (row.pending_id.0 == u128::MAX, R::PendingIdMustNotBeIntMax),
            (row.pending_id == row.id, R::PendingIdMustBeDifferent),
            (row.timeout_s != 0, R::TimeoutReservedForPendingTransfer),
            (whole && row.amount.0 != all, R::WholeChainMustBeInFull),
        ])?;
        let named = self.transfers.get(&row.pending_id.0).ok_or(R::PendingTransferNotFound)?;
        refuse(&[(!self.is_of(payer, &named.row), R::PendingTransferNotFound)])?;
        let p = &named.row;
        let other = |asked: u128, there: u128| asked != 0 && asked != there;
        let amount = if row.amount.0 == all { named.amount } else { row.amount.0 };
        refuse(&[
            (named.status == Status::Final, R::PendingTransferNotPending),
            (other(row.debit_account.0, p.debit_account.0), R::PendingTransferHasDifferentDebitAccountId),
            (other(row.credit_account.0, p.credit_account.0), R::PendingTransferHasDifferentCreditAccountId),
            (other(row.ledger.0.into(), p.ledger.0.into()), R::PendingTransferHasDifferentLedger),
            (other(row.code.into(), p.code.into()), R::PendingTransferHasDifferentCode),
            (amount > named.amount, R::ExceedsPendingTransferAmount),
            (!posts && amount < named.amount, R::PendingTransferHasDifferentAmount),
        ])?;
        let chain = named.chain;
        if let Some(end) = Some(named.status).filter(|status| *status != Status::Pending) {
            return Err(refusal_of(end));
        }
        if let Some(end) = self.chain_ends.get(&chain).filter(|_| whole) {
            return Err(refusal_of(*end));
        }
        let mut legs: Vec<(usize, u128)> =
            self.pending().filter(|(_, t)| t.chain == chain).map(|(id, t)| (t.index, id)).collect();
        legs.retain(|(_, id)| whole || *id == row.pending_id.0);
        legs.sort_unstable();
        if whole {
            let is_over = |deadline: u64| deadline <= self.time;
            let any_is_over = legs.iter().any(|(_, id)| self.transfers[id].deadline.is_some_and(is_over));
            refuse(&[
                (any_is_over, R::PendingTransferExpired),
                (self.parts_seen + legs.len() > CHAIN_PARTS_PER_RECORD_MAX, R::TooManyChainParts),
            ])?;
            self.parts_seen += legs.len();
        }
        for (_, id) in &legs {
            self.refuse_settling(&self.transfers[id], posts, payer)?;
        }
        for (_, id) in &legs {
            let moved = if whole { self.transfers[id].amount } else { amount };
            let status = match (posts, *id == row.pending_id.0) {
                (false, _) => Status::Voided,
                (true, true) => Status::Posted,
                (true, false) => Status::PostedWithChain,
            };
            self.settle_leg(*id, status, moved);
        }
        Ok(amount)
    }

    fn refuse_settling(&self, leg: &Transfer, posts: bool, payer: &Payer) -> Result<(), LedgerRefusal> {
        let debit = &self.accounts[&leg.row.debit_account.0];
        let credit = &self.accounts[&leg.row.credit_account.0];
        refuse(&[
            (leg.deadline.is_some_and(|deadline| deadline <= self.time), R::PendingTransferExpired),
            (!may_debit(payer, debit), R::DebitAccountNotEntitled),
            (!leg.by_payer && !matches!(payer, Payer::Anyone), R::PendingTransferNotEntitled),
            (posts && debit.closed, R::DebitAccountAlreadyClosed),
            (posts && credit.closed, R::CreditAccountAlreadyClosed),
        ])
    }

    fn settle_leg(&mut self, id: u128, status: Status, amount: u128) {
        self.release(id, status);
        if status != Status::Voided {
            let row = self.transfers[&id].row;
            self.accounts.get_mut(&row.debit_account.0).unwrap().balances.debits_posted += amount;
            self.accounts.get_mut(&row.credit_account.0).unwrap().balances.credits_posted += amount;
        }
    }

    /// Before a batch: ids older than the window are forgotten, and the oldest where they are too many, by whole slices of time
    /// before the present.
    pub(super) fn raise_floor(&mut self) {
        let window = (self.time / NS_PER_MS).saturating_sub(self.limits.id_window_ms);
        self.floor_ms = self.floor_ms.max(window / SLICE_MS * SLICE_MS);
        self.forget();
        while self.known.len() > usize::try_from(self.limits.transfer_ids_max).unwrap() {
            let (oldest, _) = self.known.first_key_value().unwrap();
            let slice = milliseconds(*oldest) / SLICE_MS;
            if slice >= self.time / NS_PER_MS / SLICE_MS {
                break;
            }
            self.floor_ms = (slice + 1) * SLICE_MS;
            self.forget();
        }
    }

    /// Ids below the floor.
    fn forget(&mut self) {
        let floor = u128::from(self.floor_ms) << 80;
        self.known.retain(|id, _| *id >= floor);
        self.forget_ended();
    }

    /// Transfers that have ended and whose ids are forgotten.
    pub(super) fn forget_ended(&mut self) {
        let floor = u128::from(self.floor_ms) << 80;
        let old: Vec<u128> = self
            .transfers
            .range(..floor)
            .filter(|(_, t)| t.status != Status::Pending)
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            self.transfers.remove(&id);
        }
        if self.chain_ends.is_empty() {
            return;
        }
        let pending: BTreeSet<_> = self.pending().map(|(_, transfer)| transfer.chain).collect();
        self.chain_ends.retain(|chain, _| pending.contains(chain));
    }

    /// Sums over the accounts.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = BTreeMap::new();
        for Account { row, balances, .. } in self.accounts.values() {
            let (accounts, sums) =
                totals.entry((row.ledger.0, row.code, row.class)).or_insert((0, [Some(0_u128); 4]));
            *accounts += 1;
            for (sum, balance) in sums.iter_mut().zip(balances.columns()) {
                *sum = sum.and_then(|sum| sum.checked_add(balance));
            }
        }
        totals
    }
}

/// The first that applies; they stand in the order of their declaration, which is the order of the checks.
fn first_of(checks: &[(bool, LedgerRefusal)]) -> Option<LedgerRefusal> {
    assert!(checks.is_sorted_by_key(|(_, refusal)| *refusal));
    checks.iter().find(|(applies, _)| *applies).map(|(_, refusal)| *refusal)
}

pub(super) fn refuse(checks: &[(bool, LedgerRefusal)]) -> Result<(), LedgerRefusal> {
    first_of(checks).map_or(Ok(()), Err)
}

fn refuse_account_itself(row: &AccountRow) -> Option<LedgerRefusal> {
    first_of(&[
        (row.reserved != 0, R::ReservedField),
        (row.flags & !account_flags::ALL != 0, R::ReservedFlag),
        (row.id.0 == 0, R::IdMustNotBeZero),
        (row.id.0 == u128::MAX, R::IdMustNotBeIntMax),
    ])
}

fn compare_accounts(row: &AccountRow, there: &AccountRow) -> LedgerRefusal {
    first_of(&[
        (row.flags != there.flags, R::ExistsWithDifferentFlags),
        (row.owner != there.owner, R::ExistsWithDifferentOwner),
        (row.class != there.class, R::ExistsWithDifferentClass),
        (row.user_data_128 != there.user_data_128, R::ExistsWithDifferentUserData128),
        (row.user_data_64 != there.user_data_64, R::ExistsWithDifferentUserData64),
        (row.user_data_32 != there.user_data_32, R::ExistsWithDifferentUserData32),
        (row.ledger != there.ledger, R::ExistsWithDifferentLedger),
        (row.code != there.code, R::ExistsWithDifferentCode),
    ])
    .unwrap_or(R::Exists)
}

fn compare_transfers(row: &TransferRow, there: &TransferRow) -> LedgerRefusal {
    first_of(&[
        (row.flags != there.flags, R::ExistsWithDifferentFlags),
        (row.pending_id != there.pending_id, R::ExistsWithDifferentPendingId),
        (row.timeout_s != there.timeout_s, R::ExistsWithDifferentTimeout),
        (row.debit_account != there.debit_account, R::ExistsWithDifferentDebitAccountId),
        (row.credit_account != there.credit_account, R::ExistsWithDifferentCreditAccountId),
        (row.amount != there.amount, R::ExistsWithDifferentAmount),
        (row.user_data_128 != there.user_data_128, R::ExistsWithDifferentUserData128),
        (row.user_data_64 != there.user_data_64, R::ExistsWithDifferentUserData64),
        (row.user_data_32 != there.user_data_32, R::ExistsWithDifferentUserData32),
        (row.ledger != there.ledger, R::ExistsWithDifferentLedger),
        (row.code != there.code, R::ExistsWithDifferentCode),
        // What is remembered of a batch has neither.
        (row.value_date != there.value_date, R::ExistsWithDifferentValueDate),
        (row.reason != there.reason, R::ExistsWithDifferentReason),
    ])
    .unwrap_or(R::Exists)
}

fn expired_event(transfer: &Transfer) -> EventBody {
    let TransferRow { id, debit_account, credit_account, .. } = transfer.row;
    let amount = Amount(transfer.amount);
    events::TransferExpired { transfer: id, debit_account, credit_account, amount }.into()
}

fn amount_of(row: &TransferRow, debit: &Account, credit: &Balances) -> u128 {
    let mut amount = row.amount.0;
    if row.flags & BALANCING_DEBIT != 0 {
        amount = amount.min(debit.available());
    }
    if row.flags & BALANCING_CREDIT != 0 {
        amount =
            amount.min(credit.debits_posted.saturating_sub(credit.credits_posted + credit.credits_pending));
    }
    amount
}

fn refusal_of(status: Status) -> LedgerRefusal {
    match status {
        Status::Final | Status::Pending => R::PendingTransferNotPending,
        Status::Posted | Status::PostedWithChain => R::PendingTransferAlreadyPosted,
        Status::Voided => R::PendingTransferAlreadyVoided,
        Status::Expired => R::PendingTransferExpired,
    }
}

/// How many of what is shared.
fn may_have(payer: &Payer, all: u32) -> usize {
    let left = if matches!(payer, Payer::Anyone) { 0 } else { all / LEFT_BY_PAYERS };
    usize::try_from(all - left).unwrap()
}

pub(super) fn may_debit(payer: &Payer, account: &Account) -> bool {
    match payer {
        Payer::Anyone => true,
        // What has no owner is of the house, or only the bank's.
        Payer::Of(clients) => {
            let class = u8::try_from(account.row.class).ok().and_then(AccountClass::from_code);
            let of_house = class == Some(AccountClass::House);
            (class == Some(AccountClass::Client) || of_house) && clients.contains(&account.row.owner.0)
        }
    }
}

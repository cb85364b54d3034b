//! Batches of transfers: one row after the other through its checks, in the order of [`LedgerRefusal`]; nothing is changed before
//! the last of them.

use protocol::mutant::{Mutant, planted};
use protocol::rows::transfer_flags::{
    ALL, BALANCING_CREDIT, BALANCING_DEBIT, CLOSING_CREDIT, CLOSING_DEBIT, CORRECTION, LINKED, PENDING,
    POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER, WHOLE_CHAIN,
};
use protocol::rows::{ArchivedTransferRow, RowAmount, TransferRow, account_flags};
use protocol::time::NANOS_PER_SECOND;
use protocol::{AccountId, Amount, LedgerRefusal, Seq, UnixNanos};

use super::Ledger;
use super::accounts::{Account, Column};
use super::batch::{Batch, Before, Payers, Results, RowStop, ensure, exists_at, of_payers};
use super::calendar::BankCalendar;
use super::chain::{Chain, Step, executed_as_one};
use super::pending::Pending;
use super::recent::{Outcome, Remembered};
use crate::broken::Broken;
use crate::index::mix_u128;
use crate::rows::{NO_ROW, widen};
use crate::slab::NONE;

/// The last time at which anything may expire.
const TIME_MAX: u64 = u64::MAX / 2;

/// What closes accounts, or tells how an account stands that is not debited.
const OF_CASHIERS: u16 = CLOSING_DEBIT | CLOSING_CREDIT | BALANCING_CREDIT;

/// Rows whose accounts are looked up together, so that the memory they lie in is fetched at the same time.
pub(super) const LOOK_AHEAD: usize = 32;

/// What a row moved or reserved, and between which accounts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) amount: u128,
    pub(super) debit: u32,
    pub(super) credit: u32,
}

impl Ledger {
    /// Creates what can be created of a batch.
    pub(crate) fn create_transfers(
        &mut self,
        rows: &[ArchivedTransferRow],
        batch: &Batch<'_>,
    ) -> Result<Results, Broken> {
        self.recent.advance(batch.time, self.limits.id_window_ms, self.limits.transfer_ids_max);
        let mut results = Results { seq: batch.seq, ..Results::default() };
        let mut chain = Chain::default();
        let (mut index, mut again) = (0_u32, 0_usize);
        let mut left = rows.len();
        for chunk in rows.chunks(LOOK_AHEAD) {
            let found = self.look_ahead(chunk);
            for (row, accounts) in chunk.iter().zip(found) {
                left = left.saturating_sub(1);
                let row = row.read();
                if row.flags & LINKED != 0 && again == 0 && !chain.is_open() {
                    again = self.executed_chain(rows.get(widen(index)..).unwrap_or_default(), batch);
                }
                // Of a chain that was executed before, each row is answered for itself.
                let is_linked = row.flags & LINKED != 0 && again == 0;
                again = again.saturating_sub(1);
                let may = chain.enter(is_linked, left == 0, index, &results).map_err(RowStop::from);
                match may.and_then(|()| self.create_transfer(&row, accounts, batch, &mut chain)) {
                    Ok(done) => self.note(&row, index, done, &mut results),
                    Err(RowStop::Refused(refusal, before)) => {
                        self.refuse_row(&mut chain, index, (refusal, before), &mut results)?;
                        if before.is_none() && refusal.is_transient() {
                            let outcome = Outcome::Refused(refusal);
                            self.recent.remember(Remembered { row, amount: 0, seq: batch.seq, outcome });
                        }
                    }
                    Err(RowStop::Broken(what)) => return Err(what),
                }
                if !is_linked {
                    self.end_chain(&mut chain);
                }
                index = index.saturating_add(1);
            }
        }
        Ok(results)
    }

    /// How many of these rows are a chain that was executed before.
    fn executed_chain(&self, rows: &[ArchivedTransferRow], batch: &Batch<'_>) -> usize {
        executed_as_one(rows.iter().map(|row| {
            let row = row.read();
            (row.flags & LINKED != 0, exists_at(&self.check_id(&row, batch)))
        }))
    }

    /// Finds the accounts of several rows, and has fetched where their ids may be remembered.
    #[inline]
    fn look_ahead(&self, rows: &[ArchivedTransferRow]) -> [[u32; 2]; LOOK_AHEAD] {
        self.recent.fetch(rows.iter().map(|row| row.read().id));
        let mut accounts = [[AccountId(0); 2]; LOOK_AHEAD];
        for (row, accounts) in rows.iter().zip(&mut accounts) {
            let TransferRow { debit_account, credit_account, .. } = row.read();
            *accounts = [debit_account, credit_account];
        }
        let mut found = [[NO_ROW; 2]; LOOK_AHEAD];
        let (accounts, _) = accounts.as_flattened().split_at(rows.len().saturating_mul(2));
        self.accounts.find_rows(accounts, found.as_flattened_mut());
        found
    }

    /// Writes down what a row did that its own bytes do not say.
    #[inline]
    fn note(&self, row: &TransferRow, index: u32, done: Done, results: &mut Results) {
        results.created = results.created.saturating_add(1);
        if done.amount != row.amount.0 {
            results.amounts.push(RowAmount { index, amount: Amount(done.amount) });
        }
        let (debit, credit) = (self.accounts.at(done.debit), self.accounts.at(done.credit));
        let debits = debit.debits_posted ^ debit.debits_pending.rotate_left(64);
        let credits = credit.credits_posted ^ credit.credits_pending.rotate_left(64);
        results.balances = mix_u128(credits, mix_u128(debits, results.balances));
    }

    #[inline]
    pub(super) fn create_transfer(
        &mut self,
        t: &TransferRow,
        accounts: [u32; 2],
        batch: &Batch<'_>,
        chain: &mut Chain,
    ) -> Result<Done, RowStop> {
        self.check_id(t, batch)?;
        if t.flags & (POST_PENDING_TRANSFER | VOID_PENDING_TRANSFER) != 0 {
            return self.end_pending(t, batch, chain);
        }
        check_shape(t, &self.calendar)?;
        let (debit, credit) = self.check_accounts(t, accounts)?;
        self.check_payer(debit, batch)?;
        let may_use_flags = t.flags & OF_CASHIERS == 0 || batch.payers.are_everybody();
        ensure(may_use_flags, LedgerRefusal::FlagsNotEntitled)?;
        self.check_open(debit, credit)?;
        let amount = balance(t, self.accounts.at(debit), self.accounts.at(credit));
        let has_room = t.flags & PENDING == 0 || self.has_room(batch, chain);
        ensure(has_room, LedgerRefusal::TooManyPendingTransfers)?;
        self.check_amount(t, amount, debit, credit, batch.time)?;
        let expires_at = expiry(t, batch.time)?;
        // Nothing is refused from here on.
        let is_pending = t.flags & PENDING != 0;
        let (debits, credits, outcome) = if is_pending {
            (Column::DebitsPending, Column::CreditsPending, Outcome::Pending)
        } else {
            (Column::DebitsPosted, Column::CreditsPosted, Outcome::Created)
        };
        self.add(debit, debits, amount, chain)?;
        self.add(credit, credits, amount, chain)?;
        self.accounts.balanced(debit)?;
        for (flag, account) in [(CLOSING_DEBIT, debit), (CLOSING_CREDIT, credit)] {
            if t.flags & flag != 0 {
                self.set_closed(account, true, chain);
            }
        }
        let recollection = self.recent.remember(Remembered { row: *t, amount, seq: batch.seq, outcome });
        chain.log(Step::Remembered(recollection));
        if is_pending {
            let pending = Pending {
                id: t.id,
                debit,
                credit,
                amount,
                expires_at,
                ledger: t.ledger,
                code: t.code,
                flags: t.flags,
                by_payer: !batch.payers.are_everybody(),
                chain: NONE,
                before: NONE,
                behind: NONE,
                recollection: Some(recollection),
                end: None,
            };
            let slot = self.pendings.add(pending);
            chain.log(Step::Reserved { slot });
            if let Some(before) = chain.reserve(slot) {
                self.pendings.tie(before, slot);
            }
        }
        Ok(Done { amount, debit, credit })
    }

    /// The row can be executed, as far as its flags and id say.
    #[inline]
    pub(super) fn check_id(&self, t: &TransferRow, batch: &Batch<'_>) -> Result<(), RowStop> {
        ensure(t.reserved == 0, LedgerRefusal::ReservedField)?;
        ensure(t.flags & !ALL == 0, LedgerRefusal::ReservedFlag)?;
        ensure(t.id.0 != 0, LedgerRefusal::IdMustNotBeZero)?;
        ensure(t.id.0 != u128::MAX, LedgerRefusal::IdMustNotBeIntMax)?;
        self.recent.judge(t.id, batch.time, batch.payers, &self.limits)?;
        let may = t.flags & CORRECTION == 0 || batch.may_correct;
        ensure(may, LedgerRefusal::CorrectionNeedsApproval)?;
        match self.recent.find(t.id).filter(|_| !planted(Mutant::TransferExecutedAgain)) {
            Some(before) => Err(self.judge_known(before, t, batch.payers)),
            None => Ok(()),
        }
    }

    /// What is said of an id that is taken. Who may not debit the account that it moved, or was to move, hears nothing of that transfer,
    /// unless it is the same to the last field.
    #[cold]
    fn judge_known(&self, before: &Remembered, t: &TransferRow, payers: Payers<'_>) -> RowStop {
        let may_know = before.row == *t || self.may_see(&before.row, payers);
        if may_know { executed_before(before, t) } else { LedgerRefusal::IdNotEntitled.into() }
    }

    /// Whether a session may debit the account of a row that is remembered; of one that posts or voids, that of the pending transfer.
    pub(super) fn may_see(&self, row: &TransferRow, payers: Payers<'_>) -> bool {
        payers.are_everybody()
            || self.debit_of(row).is_some_and(|debit| payers.may_debit(self.accounts.at(debit)))
    }

    fn debit_of(&self, row: &TransferRow) -> Option<u32> {
        if row.debit_account.0 != 0 {
            return self.accounts.row(row.debit_account);
        }
        let pending = self.pendings.slot(row.pending_id).and_then(|slot| self.pendings.at(slot));
        let remembered = || self.accounts.row(self.recent.find(row.pending_id)?.row.debit_account);
        pending.map(|pending| pending.debit).or_else(remembered)
    }

    #[inline]
    fn check_accounts(&self, t: &TransferRow, [debit, credit]: [u32; 2]) -> Result<(u32, u32), RowStop> {
        ensure(debit != NO_ROW, LedgerRefusal::DebitAccountNotFound)?;
        ensure(credit != NO_ROW, LedgerRefusal::CreditAccountNotFound)?;
        let ledger = self.accounts.at(debit).ledger;
        ensure(ledger == self.accounts.at(credit).ledger, LedgerRefusal::AccountsMustHaveTheSameLedger)?;
        ensure(t.ledger == ledger, LedgerRefusal::TransferMustHaveTheSameLedgerAsAccounts)?;
        Ok((debit, credit))
    }

    pub(super) fn check_payer(&self, debit: u32, batch: &Batch<'_>) -> Result<(), RowStop> {
        let may_debit = batch.debits_judged
            || batch.payers.are_everybody()
            || batch.payers.may_debit(self.accounts.at(debit));
        ensure(may_debit, LedgerRefusal::DebitAccountNotEntitled)
    }

    /// Whether another transfer may be pending.
    fn has_room(&self, batch: &Batch<'_>, chain: &Chain) -> bool {
        let max = self.limits.pending_transfers_max;
        // What this chain has ended is removed only with its last row.
        let pending = self.pendings.len().saturating_sub(chain.ended.len());
        let by_payers = self.pendings.by_payers();
        pending < widen(max) && (batch.payers.are_everybody() || by_payers < widen(of_payers(max)))
    }

    pub(super) fn check_open(&self, debit: u32, credit: u32) -> Result<(), RowStop> {
        let is_open = |row| !self.accounts.at(row).has(account_flags::CLOSED);
        ensure(is_open(debit), LedgerRefusal::DebitAccountAlreadyClosed)?;
        ensure(is_open(credit), LedgerRefusal::CreditAccountAlreadyClosed)
    }

    /// The amount fits the accounts, and can expire. When it does is not handed back: an answer of two words, stored apart and loaded as
    /// one, waits until all that was stored before has reached the cache, and with it what is remembered of the row before.
    #[inline]
    fn check_amount(
        &self,
        t: &TransferRow,
        amount: u128,
        debit: u32,
        credit: u32,
        time: UnixNanos,
    ) -> Result<(), RowStop> {
        let (debit, credit) = (self.accounts.at(debit), self.accounts.at(credit));
        let fits = |balance: u128| balance.checked_add(amount).is_some();
        if t.flags & PENDING != 0 {
            ensure(fits(debit.debits_pending), LedgerRefusal::OverflowsDebitsPending)?;
            ensure(fits(credit.credits_pending), LedgerRefusal::OverflowsCreditsPending)?;
        }
        ensure(fits(debit.debits_posted), LedgerRefusal::OverflowsDebitsPosted)?;
        ensure(fits(credit.credits_posted), LedgerRefusal::OverflowsCreditsPosted)?;
        let turnover = |posted: u128, pending: u128| posted.checked_add(pending)?.checked_add(amount);
        let debits = turnover(debit.debits_posted, debit.debits_pending);
        let within = |sum: Option<u128>, max: u128| sum.is_some_and(|sum| sum <= max);
        ensure(within(debits, debit.turnover_max()), LedgerRefusal::OverflowsDebits)?;
        let credits = turnover(credit.credits_posted, credit.credits_pending);
        ensure(within(credits, credit.turnover_max()), LedgerRefusal::OverflowsCredits)?;
        expiry(t, time)?;
        let spent = debits.and_then(|debits| debits.checked_add(debit.held));
        let covered = debit.may_stand_below_zero()
            || within(spent, debit.credits_posted)
            || (debit.has_overdraft && self.covered_by_lines(debit, spent, time));
        ensure(covered, LedgerRefusal::ExceedsCredits)?;
        let is_bound = credit.has(account_flags::CREDITS_MUST_NOT_EXCEED_DEBITS);
        ensure(!is_bound || within(credits, credit.debits_posted), LedgerRefusal::ExceedsDebits)
    }
}

impl<'a> Batch<'a> {
    /// Of a batch, which may do what its sender may.
    pub(crate) const fn new(seq: Seq, time: UnixNanos, payers: Payers<'a>) -> Self {
        Self { seq, time, payers, may_correct: false, debits_judged: false }
    }
}

/// The id is taken: by a retry, which gets the first answer, or by another transfer.
#[cold]
fn executed_before(before: &Remembered, t: &TransferRow) -> RowStop {
    let e = &before.row;
    let differs = [
        (t.flags != e.flags, LedgerRefusal::ExistsWithDifferentFlags),
        (t.pending_id != e.pending_id, LedgerRefusal::ExistsWithDifferentPendingId),
        (t.timeout_s != e.timeout_s, LedgerRefusal::ExistsWithDifferentTimeout),
        (t.debit_account != e.debit_account, LedgerRefusal::ExistsWithDifferentDebitAccountId),
        (t.credit_account != e.credit_account, LedgerRefusal::ExistsWithDifferentCreditAccountId),
        (t.amount != e.amount, LedgerRefusal::ExistsWithDifferentAmount),
        (t.user_data_128 != e.user_data_128, LedgerRefusal::ExistsWithDifferentUserData128),
        (t.user_data_64 != e.user_data_64, LedgerRefusal::ExistsWithDifferentUserData64),
        (t.user_data_32 != e.user_data_32, LedgerRefusal::ExistsWithDifferentUserData32),
        (t.ledger != e.ledger, LedgerRefusal::ExistsWithDifferentLedger),
        (t.code != e.code, LedgerRefusal::ExistsWithDifferentCode),
        (t.value_date != e.value_date, LedgerRefusal::ExistsWithDifferentValueDate),
        (t.reason != e.reason, LedgerRefusal::ExistsWithDifferentReason),
    ];
    if let Some((_, refusal)) = differs.into_iter().find(|(differs, _)| *differs) {
        return refusal.into();
    }
    let &Remembered { seq, amount, outcome, .. } = before;
    match outcome {
        Outcome::Refused(refusal) => RowStop::Refused(refusal, Some(Before { seq, amount: None })),
        Outcome::Created
        | Outcome::Pending
        | Outcome::Posted
        | Outcome::PostedWithChain
        | Outcome::Voided
        | Outcome::Expired => {
            let amount = (amount != t.amount.0).then_some(Amount(amount));
            RowStop::Refused(LedgerRefusal::Exists, Some(Before { seq, amount }))
        }
    }
}

/// What a row that moves or reserves money must look like.
#[inline]
pub(super) fn check_shape(t: &TransferRow, calendar: &BankCalendar) -> Result<(), RowStop> {
    ensure(t.flags & WHOLE_CHAIN == 0, LedgerRefusal::FlagsAreMutuallyExclusive)?;
    check_dates(t, calendar)?;
    ensure(t.debit_account.0 != 0, LedgerRefusal::DebitAccountIdMustNotBeZero)?;
    ensure(t.debit_account.0 != u128::MAX, LedgerRefusal::DebitAccountIdMustNotBeIntMax)?;
    ensure(t.credit_account.0 != 0, LedgerRefusal::CreditAccountIdMustNotBeZero)?;
    ensure(t.credit_account.0 != u128::MAX, LedgerRefusal::CreditAccountIdMustNotBeIntMax)?;
    ensure(t.debit_account != t.credit_account, LedgerRefusal::AccountsMustBeDifferent)?;
    if t.flags & CORRECTION == 0 {
        ensure(t.pending_id.0 == 0, LedgerRefusal::PendingIdMustBeZero)?;
    } else {
        check_pending_id(t)?;
    }
    if t.flags & PENDING == 0 {
        ensure(t.timeout_s == 0, LedgerRefusal::TimeoutReservedForPendingTransfer)?;
        let closes = t.flags & (CLOSING_DEBIT | CLOSING_CREDIT) != 0;
        ensure(!closes, LedgerRefusal::ClosingTransferMustBePending)?;
    }
    ensure(t.ledger.0 != 0, LedgerRefusal::LedgerMustNotBeZero)?;
    ensure(t.code != 0, LedgerRefusal::CodeMustNotBeZero)
}

/// It names another transfer.
pub(super) fn check_pending_id(t: &TransferRow) -> Result<(), RowStop> {
    ensure(t.pending_id.0 != 0, LedgerRefusal::PendingIdMustNotBeZero)?;
    ensure(t.pending_id.0 != u128::MAX, LedgerRefusal::PendingIdMustNotBeIntMax)?;
    ensure(t.pending_id != t.id, LedgerRefusal::PendingIdMustBeDifferent)
}

pub(super) fn check_dates(t: &TransferRow, calendar: &BankCalendar) -> Result<(), RowStop> {
    ensure(t.value_date == 0 || calendar.admits(t.value_date), LedgerRefusal::ValueDateOutOfRange)?;
    ensure(t.reason == 0 || t.flags & CORRECTION != 0, LedgerRefusal::ReasonReservedForCorrection)
}

/// What is moved: less than was said where it only balances an account.
#[inline]
fn balance(t: &TransferRow, debit: &Account, credit: &Account) -> u128 {
    let mut amount = t.amount.0;
    if t.flags & BALANCING_DEBIT != 0 {
        let spent = debit.debits_posted.saturating_add(debit.debits_pending).saturating_add(debit.held);
        amount = amount.min(debit.credits_posted.saturating_sub(spent));
    }
    if t.flags & BALANCING_CREDIT != 0 {
        let spent = credit.credits_posted.saturating_add(credit.credits_pending);
        amount = amount.min(credit.debits_posted.saturating_sub(spent));
    }
    amount
}

/// When a pending transfer expires.
#[inline]
fn expiry(t: &TransferRow, time: UnixNanos) -> Result<Option<UnixNanos>, RowStop> {
    if t.timeout_s == 0 {
        return Ok(None);
    }
    let deadline = u64::from(t.timeout_s).saturating_mul(NANOS_PER_SECOND).saturating_add(time.0);
    ensure(deadline <= TIME_MAX, LedgerRefusal::OverflowsTimeout)?;
    Ok(Some(UnixNanos(deadline)))
}

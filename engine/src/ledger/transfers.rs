//! Batches of transfers: one row after the other through its checks, in the order of [`LedgerRefusal`]; nothing is changed before
//! the last of them.

use protocol::commands::{DefineSession, roles};
use protocol::limits::CHAIN_PARTS_PER_RECORD_MAX;
use protocol::rows::transfer_flags::{
    ALL, BALANCING_CREDIT, BALANCING_DEBIT, CLOSING_CREDIT, CLOSING_DEBIT, CORRECTION, LINKED, PENDING,
    POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER, WHOLE_CHAIN,
};
use protocol::rows::{ArchivedTransferRow, RowAmount, RowResult, TransferRow, account_flags};
use protocol::time::NANOS_PER_SECOND;
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, LedgerRefusal, Seq, TransferId, UnixNanos,
};

use super::Ledger;
use super::accounts::{Account, Column};
use super::calendar::BankCalendar;
use super::chain::{Chain, Step, executed_as_one};
use super::pending::Pending;
use super::recent::{Outcome, Remembered};
use crate::broken::{Broken, Stop};
use crate::index::mix_u128;
use crate::registry::Registry;
use crate::rows::{NO_ROW, widen};
use crate::slab::NONE;

/// The last time at which anything may expire.
const TIME_MAX: u64 = u64::MAX / 2;
/// What closes accounts, or tells how an account stands that is not debited.
const OF_CASHIERS: u16 = CLOSING_DEBIT | CLOSING_CREDIT | BALANCING_CREDIT;
/// Rows whose accounts are looked up together, so that the memory they lie in is fetched at the same time.
pub(super) const LOOK_AHEAD: usize = 32;

/// Whose money a session may move.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payers<'a> {
    Everybody,
    Clients(&'a [ClientId]),
}

impl<'a> Payers<'a> {
    /// Whose money the actor of a session may move: that of everybody as a CASHIER, that of the session's clients as a PAYER.
    pub(crate) fn of(session: &'a DefineSession, registry: &Registry) -> Result<Self, Stop> {
        if registry.entitle(session.actor, roles::CASHIER).is_ok() {
            return Ok(Self::Everybody);
        }
        registry.entitle(session.actor, roles::PAYER)?;
        Ok(Self::Clients(&session.clients))
    }

    /// Whether it is a CASHIER who sends.
    pub(super) const fn are_everybody(self) -> bool {
        matches!(self, Self::Everybody)
    }

    /// Whether an account may be debited: by a PAYER one of its clients, and one of the house if the house is one of them. All others
    /// belong to no client, and are the bank's.
    pub(super) fn may_debit(self, account: &Account) -> bool {
        match self {
            Self::Everybody => true,
            Self::Clients(clients) => {
                let is_owned = matches!(account.class, AccountClass::Client | AccountClass::House);
                is_owned && clients.contains(&account.owner)
            }
        }
    }
}

/// Where a batch stands, and who sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) seq: Seq,
    pub(crate) time: UnixNanos,
    pub(crate) payers: Payers<'a>,
    /// Whether two actors have agreed that it corrects something.
    pub(crate) may_correct: bool,
    /// Whether it has been judged already that these accounts may be debited: the bank's own in an exchange.
    pub(crate) debits_judged: bool,
}

impl<'a> Batch<'a> {
    /// Of a batch, which may do what its sender may.
    pub(crate) const fn new(seq: Seq, time: UnixNanos, payers: Payers<'a>) -> Self {
        Self { seq, time, payers, may_correct: false, debits_judged: false }
    }
}

/// What became of the rows of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    pub(crate) seq: Seq,
    pub(crate) created: u32,
    pub(crate) exceptions: Vec<RowResult>,
    pub(crate) amounts: Vec<RowAmount>,
    /// A fold over balances.
    pub(crate) balances: u64,
}

/// What became of a row when it was sent before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) seq: Seq,
    /// What it moved or reserved, where it does not say so itself.
    pub(super) amount: Option<Amount>,
}

/// Why a row ended before its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowStop {
    /// With what is remembered of it, if it was judged before.
    Refused(LedgerRefusal, Option<Before>),
    Broken(Broken),
}

impl From<LedgerRefusal> for RowStop {
    fn from(refusal: LedgerRefusal) -> Self {
        Self::Refused(refusal, None)
    }
}

impl From<Broken> for RowStop {
    fn from(what: Broken) -> Self {
        Self::Broken(what)
    }
}

/// Where a row was executed before, if it was.
pub(super) const fn exists_at(judged: &Result<(), RowStop>) -> Option<Seq> {
    if let Err(RowStop::Refused(LedgerRefusal::Exists, Some(before))) = judged {
        Some(before.seq)
    } else {
        None
    }
}

pub(super) fn ensure(condition: bool, refusal: LedgerRefusal) -> Result<(), RowStop> {
    if condition { Ok(()) } else { Err(refusal.into()) }
}

/// What a row moved or reserved, and between which accounts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) amount: u128,
    debit: u32,
    credit: u32,
}

/// What is known of a transfer that was pending.
struct Known {
    /// While it is pending.
    slot: Option<u32>,
    debit_account: AccountId,
    credit_account: AccountId,
    ledger: AssetId,
    code: u16,
    amount: u128,
    outcome: Outcome,
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
                let refused = match may.and_then(|()| self.create_transfer(&row, accounts, batch, &mut chain))
                {
                    Ok(done) => {
                        self.note(&row, index, done, &mut results);
                        None
                    }
                    Err(RowStop::Refused(refusal, before)) => Some((refusal, before)),
                    Err(RowStop::Broken(what)) => return Err(what),
                };
                self.end_row(&mut chain, index, refused, is_linked, &mut results)?;
                if let Some((refusal, None)) = refused.filter(|(refusal, _)| refusal.is_transient()) {
                    let outcome = Outcome::Refused(refusal);
                    self.recent.remember(Remembered { row, amount: 0, seq: batch.seq, outcome });
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
        let expires_at = self.check_amount(t, amount, debit, credit, batch.time)?;
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
        match self.recent.find(t.id) {
            Some(before) => Err(executed_before(before, t)),
            None => Ok(()),
        }
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

    fn check_payer(&self, debit: u32, batch: &Batch<'_>) -> Result<(), RowStop> {
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

    fn check_open(&self, debit: u32, credit: u32) -> Result<(), RowStop> {
        let is_open = |row| !self.accounts.at(row).has(account_flags::CLOSED);
        ensure(is_open(debit), LedgerRefusal::DebitAccountAlreadyClosed)?;
        ensure(is_open(credit), LedgerRefusal::CreditAccountAlreadyClosed)
    }

    /// The amount fits the accounts; when it expires, if it does.
    #[inline]
    fn check_amount(
        &self,
        t: &TransferRow,
        amount: u128,
        debit: u32,
        credit: u32,
        time: UnixNanos,
    ) -> Result<Option<UnixNanos>, RowStop> {
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
        let expires_at = expiry(t, time)?;
        let spent = debits.and_then(|debits| debits.checked_add(debit.held));
        let covered = debit.may_stand_below_zero()
            || within(spent, debit.credits_posted)
            || (debit.has_overdraft && self.covered_by_lines(debit, spent, time));
        ensure(covered, LedgerRefusal::ExceedsCredits)?;
        let is_bound = credit.has(account_flags::CREDITS_MUST_NOT_EXCEED_DEBITS);
        ensure(!is_bound || within(credits, credit.debits_posted), LedgerRefusal::ExceedsDebits)?;
        Ok(expires_at)
    }

    /// Posts or voids what is pending.
    fn end_pending(
        &mut self,
        t: &TransferRow,
        batch: &Batch<'_>,
        chain: &mut Chain,
    ) -> Result<Done, RowStop> {
        check_end_shape(t, &self.calendar)?;
        let known = self.known(t.pending_id)?;
        let amount = check_against(t, &known)?;
        check_pending(known.outcome)?;
        let ended = known.slot.ok_or(Broken::Index { what: "pending transfers" })?;
        let whole_chain = t.flags & WHOLE_CHAIN != 0;
        let slots = if whole_chain { self.parts(ended, chain)? } else { vec![ended] };
        for &slot in &slots {
            self.check_end(t, slot, batch)?;
        }
        // Nothing is refused from here on.
        let posts = t.flags & POST_PENDING_TRANSFER != 0;
        let mut done = Done { amount, debit: NO_ROW, credit: NO_ROW };
        for slot in slots {
            let pending = self.pendings.at(slot).ok_or(Broken::Index { what: "pending transfers" })?;
            let moved = if whole_chain { pending.amount } else { amount };
            let (debit, credit) = (pending.debit, pending.credit);
            self.release(slot, posts.then_some(moved), chain)?;
            if slot == ended {
                (done.debit, done.credit) = (debit, credit);
            }
        }
        let outcome = Outcome::Created;
        let recollection = self.recent.remember(Remembered { row: *t, amount, seq: batch.seq, outcome });
        chain.log(Step::Remembered(recollection));
        Ok(done)
    }

    /// What is known of the transfer that is to be posted or voided.
    fn known(&self, id: TransferId) -> Result<Known, RowStop> {
        if let Some(slot) = self.pendings.slot(id)
            && let Some(pending) = self.pendings.at(slot)
        {
            return Ok(Known {
                slot: Some(slot),
                debit_account: self.accounts.at(pending.debit).id,
                credit_account: self.accounts.at(pending.credit).id,
                ledger: pending.ledger,
                code: pending.code,
                amount: pending.amount,
                outcome: pending.end.unwrap_or(Outcome::Pending),
            });
        }
        let Some(Remembered { row, amount, outcome, .. }) = self.recent.find(id) else {
            return Err(LedgerRefusal::PendingTransferNotFound.into());
        };
        ensure(!matches!(outcome, Outcome::Refused(_)), LedgerRefusal::PendingTransferNotFound)?;
        ensure(row.flags & PENDING != 0, LedgerRefusal::PendingTransferNotPending)?;
        let &TransferRow { debit_account, credit_account, ledger, code, .. } = row;
        Ok(Known {
            slot: None,
            debit_account,
            credit_account,
            ledger,
            code,
            amount: *amount,
            outcome: *outcome,
        })
    }

    /// Slots of what became pending together with this one, if all of it still is. A batch looks at so many, refused or not: otherwise one
    /// that names a long chain in each row would keep the ledger busy for longer than it took to send.
    fn parts(&self, slot: u32, chain: &mut Chain) -> Result<Vec<u32>, RowStop> {
        let reserved = self.pendings.at(slot).and_then(|pending| self.pendings.chain(pending));
        check_pending(reserved.and_then(|reserved| reserved.end).unwrap_or(Outcome::Pending))?;
        let parts = reserved.map_or(1, |reserved| widen(reserved.live)).saturating_add(chain.parts_seen);
        ensure(parts <= CHAIN_PARTS_PER_RECORD_MAX, LedgerRefusal::TooManyChainParts)?;
        chain.parts_seen = parts;
        Ok(self.pendings.chain_of(slot))
    }

    /// One pending transfer may be posted or voided now, alone or as a part of its chain.
    fn check_end(&self, t: &TransferRow, slot: u32, batch: &Batch<'_>) -> Result<(), RowStop> {
        let pending = self.pendings.at(slot).ok_or(Broken::Index { what: "pending transfers" })?;
        let is_over = pending.expires_at.is_some_and(|expires_at| expires_at <= batch.time);
        ensure(!is_over, LedgerRefusal::PendingTransferExpired)?;
        self.check_payer(pending.debit, batch)?;
        let may_end = pending.by_payer || batch.payers.are_everybody();
        ensure(may_end, LedgerRefusal::PendingTransferNotEntitled)?;
        // Nothing moves on a closed account but what is voided.
        if t.flags & VOID_PENDING_TRANSFER != 0 {
            Ok(())
        } else {
            self.check_open(pending.debit, pending.credit)
        }
    }

    /// Releases what a pending transfer reserved, and posts that much of it, if any.
    fn release(&mut self, slot: u32, posted: Option<u128>, chain: &mut Chain) -> Result<(), Broken> {
        let end = if posted.is_some() { Outcome::Posted } else { Outcome::Voided };
        let is_first = self.pendings.end(slot, end)?;
        chain.log(Step::Ended { slot, is_first });
        let pending = self.pendings.at(slot).ok_or(Broken::Index { what: "pending transfers" })?;
        let &Pending { debit, credit, amount, flags, .. } = pending;
        chain.ended.push(slot);
        self.take(debit, Column::DebitsPending, amount, chain)?;
        self.take(credit, Column::CreditsPending, amount, chain)?;
        if let Some(posted) = posted {
            self.add(debit, Column::DebitsPosted, posted, chain)?;
            self.add(credit, Column::CreditsPosted, posted, chain)?;
        } else {
            self.open_again(debit, credit, flags, chain);
        }
        self.accounts.balanced(debit)
    }

    /// What a pending transfer has closed is open again.
    fn open_again(&mut self, debit: u32, credit: u32, flags: u16, chain: &mut Chain) {
        for (flag, account) in [(CLOSING_DEBIT, debit), (CLOSING_CREDIT, credit)] {
            if flags & flag != 0 {
                self.set_closed(account, false, chain);
            }
        }
    }

    /// The next time at which a pending transfer expires.
    pub(crate) fn next_expiry(&self) -> Option<UnixNanos> {
        self.pendings.next_deadline().map(|(deadline, _)| deadline)
    }

    /// The pending transfer whose time is over first ends; what it was.
    pub(crate) fn expire_next(&mut self) -> Result<Option<protocol::events::TransferExpired>, Broken> {
        let Some((_, slot)) = self.pendings.next_deadline() else { return Ok(None) };
        self.pendings.end(slot, Outcome::Expired)?;
        let pending = self.pendings.at(slot).ok_or(Broken::Index { what: "pending transfers" })?;
        let &Pending { id, debit, credit, amount, flags, .. } = pending;
        let mut alone = Chain::default();
        self.take(debit, Column::DebitsPending, amount, &mut alone)?;
        self.take(credit, Column::CreditsPending, amount, &mut alone)?;
        self.open_again(debit, credit, flags, &mut alone);
        self.accounts.balanced(debit)?;
        self.remove_ended(slot);
        Ok(Some(protocol::events::TransferExpired {
            transfer: id,
            debit_account: self.accounts.at(debit).id,
            credit_account: self.accounts.at(credit).id,
            amount: Amount(amount),
        }))
    }

    /// Removes a pending transfer that has ended; its id is remembered with how.
    pub(super) fn remove_ended(&mut self, slot: u32) {
        if let Some(Pending { recollection: Some(recollection), end: Some(end), .. }) = self.pendings.at(slot)
        {
            self.recent.settle(*recollection, *end);
        }
        self.pendings.remove(slot);
    }

    #[inline]
    fn add(&mut self, account: u32, column: Column, amount: u128, chain: &mut Chain) -> Result<(), Broken> {
        chain.log(Step::Added { account, column, amount });
        self.accounts.add_to(account, column, amount)
    }

    #[inline]
    fn take(&mut self, account: u32, column: Column, amount: u128, chain: &mut Chain) -> Result<(), Broken> {
        chain.log(Step::Taken { account, column, amount });
        self.accounts.take_from(account, column, amount)
    }

    fn set_closed(&mut self, account: u32, closed: bool, chain: &mut Chain) {
        let before = self.accounts.at(account).has(account_flags::CLOSED);
        chain.log(Step::Closed { account, before });
        self.accounts.set_closed(account, closed);
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
        Outcome::Created | Outcome::Pending | Outcome::Posted | Outcome::Voided | Outcome::Expired => {
            let amount = (amount != t.amount.0).then_some(Amount(amount));
            RowStop::Refused(LedgerRefusal::Exists, Some(Before { seq, amount }))
        }
    }
}

/// What PAYERs may have of what is shared with CASHIERs: an eighth of it is always left to these.
pub(super) const fn of_payers(all: u32) -> u32 {
    all.saturating_sub(all / 8)
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

/// What a row that posts or voids must look like.
fn check_end_shape(t: &TransferRow, calendar: &BankCalendar) -> Result<(), RowStop> {
    const OTHERS: u16 =
        PENDING | BALANCING_DEBIT | BALANCING_CREDIT | CLOSING_DEBIT | CLOSING_CREDIT | CORRECTION;
    let both = POST_PENDING_TRANSFER | VOID_PENDING_TRANSFER;
    let excludes = t.flags & both == both || t.flags & OTHERS != 0;
    ensure(!excludes, LedgerRefusal::FlagsAreMutuallyExclusive)?;
    check_dates(t, calendar)?;
    check_pending_id(t)?;
    ensure(t.timeout_s == 0, LedgerRefusal::TimeoutReservedForPendingTransfer)?;
    let all = if t.flags & VOID_PENDING_TRANSFER != 0 { 0 } else { u128::MAX };
    let in_full = t.flags & WHOLE_CHAIN == 0 || t.amount.0 == all;
    ensure(in_full, LedgerRefusal::WholeChainMustBeInFull)
}

/// It names another transfer.
fn check_pending_id(t: &TransferRow) -> Result<(), RowStop> {
    ensure(t.pending_id.0 != 0, LedgerRefusal::PendingIdMustNotBeZero)?;
    ensure(t.pending_id.0 != u128::MAX, LedgerRefusal::PendingIdMustNotBeIntMax)?;
    ensure(t.pending_id != t.id, LedgerRefusal::PendingIdMustBeDifferent)
}

fn check_dates(t: &TransferRow, calendar: &BankCalendar) -> Result<(), RowStop> {
    ensure(t.value_date == 0 || calendar.admits(t.value_date), LedgerRefusal::ValueDateOutOfRange)?;
    ensure(t.reason == 0 || t.flags & CORRECTION != 0, LedgerRefusal::ReasonReservedForCorrection)
}

/// What was pending still is.
fn check_pending(outcome: Outcome) -> Result<(), RowStop> {
    match outcome {
        Outcome::Pending => Ok(()),
        Outcome::Posted => Err(LedgerRefusal::PendingTransferAlreadyPosted.into()),
        Outcome::Voided => Err(LedgerRefusal::PendingTransferAlreadyVoided.into()),
        Outcome::Expired => Err(LedgerRefusal::PendingTransferExpired.into()),
        Outcome::Created | Outcome::Refused(_) => Err(Broken::Index { what: "pending transfers" }.into()),
    }
}

/// What a post or a void says of the pending transfer is true; the amount that it ends.
fn check_against(t: &TransferRow, known: &Known) -> Result<u128, RowStop> {
    let agrees = |said: u128, is: u128| said == 0 || said == is;
    ensure(
        agrees(t.debit_account.0, known.debit_account.0),
        LedgerRefusal::PendingTransferHasDifferentDebitAccountId,
    )?;
    ensure(
        agrees(t.credit_account.0, known.credit_account.0),
        LedgerRefusal::PendingTransferHasDifferentCreditAccountId,
    )?;
    ensure(
        agrees(t.ledger.0.into(), known.ledger.0.into()),
        LedgerRefusal::PendingTransferHasDifferentLedger,
    )?;
    ensure(agrees(t.code.into(), known.code.into()), LedgerRefusal::PendingTransferHasDifferentCode)?;
    let voids = t.flags & VOID_PENDING_TRANSFER != 0;
    let all = if voids { 0 } else { u128::MAX };
    let amount = if t.amount.0 == all { known.amount } else { t.amount.0 };
    ensure(amount <= known.amount, LedgerRefusal::ExceedsPendingTransferAmount)?;
    ensure(!voids || amount == known.amount, LedgerRefusal::PendingTransferHasDifferentAmount)?;
    Ok(amount)
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
fn expiry(t: &TransferRow, time: UnixNanos) -> Result<Option<UnixNanos>, RowStop> {
    if t.timeout_s == 0 {
        return Ok(None);
    }
    let deadline = u64::from(t.timeout_s).saturating_mul(NANOS_PER_SECOND).saturating_add(time.0);
    ensure(deadline <= TIME_MAX, LedgerRefusal::OverflowsTimeout)?;
    Ok(Some(UnixNanos(deadline)))
}

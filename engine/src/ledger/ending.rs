//! The end of what is pending: it is posted, voided or expires, alone or with the chain in which it became pending.

use protocol::limits::CHAIN_PARTS_PER_RECORD_MAX;
use protocol::rows::TransferRow;
use protocol::rows::transfer_flags::{
    BALANCING_CREDIT, BALANCING_DEBIT, CLOSING_CREDIT, CLOSING_DEBIT, CORRECTION, PENDING,
    POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER, WHOLE_CHAIN,
};
use protocol::{AccountId, Amount, AssetId, LedgerRefusal, TransferId, UnixNanos};

use super::Ledger;
use super::accounts::Column;
use super::batch::{Batch, Payers, RowStop, ensure};
use super::calendar::BankCalendar;
use super::chain::{Chain, Step};
use super::pending::Pending;
use super::recent::{Outcome, Remembered};
use super::transfers::{Done, check_dates, check_pending_id};
use crate::broken::Broken;
use crate::rows::{NO_ROW, widen};

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
    /// Posts or voids what is pending.
    pub(super) fn end_pending(
        &mut self,
        t: &TransferRow,
        batch: &Batch<'_>,
        chain: &mut Chain,
    ) -> Result<Done, RowStop> {
        check_end_shape(t, &self.calendar)?;
        let known = self.known(t.pending_id, batch.payers)?;
        let amount = check_against(t, &known)?;
        check_pending(known.outcome)?;
        let ended = known.slot.ok_or(Broken::Index { what: "pending transfers" })?;
        let whole_chain = t.flags & WHOLE_CHAIN != 0;
        let slots = if whole_chain { self.parts(ended, batch.time, chain)? } else { vec![ended] };
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
            let end = match (posts, slot == ended) {
                (true, true) => Outcome::Posted,
                (true, false) => Outcome::PostedWithChain,
                (false, _) => Outcome::Voided,
            };
            self.release(slot, (end, posts.then_some(moved)), chain)?;
            if slot == ended {
                (done.debit, done.credit) = (debit, credit);
            }
        }
        let outcome = Outcome::Created;
        let recollection = self.recent.remember(Remembered { row: *t, amount, seq: batch.seq, outcome });
        chain.log(Step::Remembered(recollection));
        Ok(done)
    }

    /// What is known of the transfer that is to be posted or voided. One of an account that the session may not debit is as one that is not
    /// there.
    fn known(&self, id: TransferId, payers: Payers<'_>) -> Result<Known, RowStop> {
        if let Some(slot) = self.pendings.slot(id)
            && let Some(pending) = self.pendings.at(slot)
        {
            let may_see = payers.may_debit(self.accounts.at(pending.debit));
            ensure(may_see, LedgerRefusal::PendingTransferNotFound)?;
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
        let is_there = !matches!(outcome, Outcome::Refused(_)) && self.may_see(row, payers);
        ensure(is_there, LedgerRefusal::PendingTransferNotFound)?;
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
    fn parts(&self, slot: u32, time: UnixNanos, chain: &mut Chain) -> Result<Vec<u32>, RowStop> {
        let reserved = self.pendings.at(slot).and_then(|pending| self.pendings.chain(pending));
        check_pending(reserved.and_then(|reserved| reserved.end).unwrap_or(Outcome::Pending))?;
        let alone = self.pendings.at(slot).and_then(|pending| pending.expires_at);
        let first_over = reserved.map_or(alone, |reserved| reserved.expires_at);
        ensure(!is_over(first_over, time), LedgerRefusal::PendingTransferExpired)?;
        let parts = reserved.map_or(1, |reserved| widen(reserved.live)).saturating_add(chain.parts_seen);
        ensure(parts <= CHAIN_PARTS_PER_RECORD_MAX, LedgerRefusal::TooManyChainParts)?;
        chain.parts_seen = parts;
        Ok(self.pendings.chain_of(slot))
    }

    /// One pending transfer may be posted or voided now, alone or as a part of its chain.
    fn check_end(&self, t: &TransferRow, slot: u32, batch: &Batch<'_>) -> Result<(), RowStop> {
        let pending = self.pendings.at(slot).ok_or(Broken::Index { what: "pending transfers" })?;
        ensure(!is_over(pending.expires_at, batch.time), LedgerRefusal::PendingTransferExpired)?;
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

    /// Releases what a pending transfer reserved, which ends so, and posts that much of it, if any.
    fn release(
        &mut self,
        slot: u32,
        (end, posted): (Outcome, Option<u128>),
        chain: &mut Chain,
    ) -> Result<(), Broken> {
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
}

/// Whether it has expired by this time, though its turn may not have come.
fn is_over(expires_at: Option<UnixNanos>, time: UnixNanos) -> bool {
    expires_at.is_some_and(|expires_at| expires_at <= time)
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

/// What was pending still is.
fn check_pending(outcome: Outcome) -> Result<(), RowStop> {
    match outcome {
        Outcome::Pending => Ok(()),
        Outcome::Posted | Outcome::PostedWithChain => Err(LedgerRefusal::PendingTransferAlreadyPosted.into()),
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

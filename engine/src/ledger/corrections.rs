//! Corrections: transfers that say which one they correct and why, executed when a second actor has approved them.
//!
//! Nothing posted is ever changed. A *reversal* goes the other way between the same accounts; its sums are kept for every transfer that
//! was corrected, as long as it can be corrected again, so that no original is ever reversed beyond its amount. How long that is follows
//! from the time in its id alone: a window whose beginning only rises, and behind which an id is refused, so that its sum can be
//! forgotten. Everything else between accounts of its ledger is an *adjustment*. Of an original that was forgotten before it was
//! corrected first, nothing is known: what it was is the approver's word, and the sum of its corrections is what the next approver is
//! shown.

use std::collections::BTreeMap;

use protocol::commands::CorrectTransfers;
use protocol::limits::CORRECTED_TRANSFERS_FORGOTTEN_PER_RECORD_MAX;
use protocol::rows::TransferRow;
use protocol::rows::transfer_flags::{CORRECTION, POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER};
use protocol::time::NANOS_PER_MILLI;
use protocol::{AccountId, Amount, AssetId, LedgerRefusal, RejectReason, TransferId, UnixNanos};

use super::batch::{Batch, RowStop, ensure};
use super::recent::{Outcome, Remembered};
use super::transfers::check_shape;
use super::{EntryStop, Ledger};
use crate::broken::{Broken, Stop, ensure_field, refuse_transfer};
use crate::effects::Effects;
use crate::rows::widen;

/// What a transfer that was corrected had moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Original {
    pub(crate) debit: AccountId,
    pub(crate) credit: AccountId,
    pub(crate) ledger: AssetId,
    pub(crate) amount: u128,
}

/// A transfer that was corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrected {
    /// If it was still remembered when it was corrected first.
    pub(crate) original: Option<Original>,
    /// The sum of its reversals; of one that was not remembered, of all its corrections.
    pub(crate) reversed: u128,
}

/// What one command changes of them.
type Changed = BTreeMap<TransferId, Corrected>;

/// The transfers that were corrected and can be corrected again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Corrections {
    by_id: BTreeMap<TransferId, Corrected>,
    /// What has an earlier time in its id cannot be corrected any more. Never falls: what was forgotten stays out of reach.
    floor_ms: u64,
}

impl Corrections {
    /// What has been corrected of a transfer that still can be.
    pub(crate) fn get(&self, id: TransferId) -> Option<&Corrected> {
        self.by_id.get(&id).filter(|_| !self.is_too_old(id))
    }

    pub(crate) const fn floor_ms(&self) -> u64 {
        self.floor_ms
    }

    pub(crate) const fn restore_floor_ms(&mut self, floor_ms: u64) {
        self.floor_ms = floor_ms;
    }

    pub(crate) fn insert(&mut self, id: TransferId, corrected: Corrected) {
        self.by_id.insert(id, corrected);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All that have not been forgotten, by transfer.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TransferId, &Corrected)> {
        self.by_id.iter().map(|(id, corrected)| (*id, corrected))
    }

    fn is_too_old(&self, id: TransferId) -> bool {
        id.ms() < self.floor_ms
    }

    /// Raises the floor, and forgets what lies below it: of very much the oldest, and with the next correction further ones.
    fn advance(&mut self, time: UnixNanos, window_ms: u64) {
        let floor_ms = (time.0 / NANOS_PER_MILLI).saturating_sub(window_ms);
        self.floor_ms = self.floor_ms.max(floor_ms);
        for _ in 0..CORRECTED_TRANSFERS_FORGOTTEN_PER_RECORD_MAX {
            let Some(oldest) = self.by_id.first_entry().filter(|oldest| oldest.key().ms() < self.floor_ms)
            else {
                break;
            };
            oldest.remove();
        }
    }
}

impl Ledger {
    /// Executes what was approved: all of it, or nothing.
    pub(crate) fn correct_transfers(
        &mut self,
        command: &CorrectTransfers,
        batch: &Batch<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let CorrectTransfers { reason, transfers } = command;
        ensure_field(*reason != 0 && transfers.iter().all(|row| row.reason == *reason), "reason")?;
        ensure_field(!transfers.is_empty(), "transfers")?;
        // What is forgotten by now is so for originals, too.
        self.recent.advance(batch.time, self.limits.id_window_ms, self.limits.transfer_ids_max);
        self.corrections.advance(batch.time, self.limits.correction_window_ms);
        let entered = self.judge_corrections(transfers, batch).and_then(|corrected| {
            let entered = self.enter_transfers(transfers, batch)?;
            self.corrections.by_id.extend(corrected);
            Ok(entered)
        });
        effects.push(entered.map_err(|stop| refuse_transfer(RejectReason::CorrectionRefused, stop))?);
        Ok(())
    }

    /// What the corrected transfers will be once all rows are executed.
    fn judge_corrections(&self, rows: &[TransferRow], batch: &Batch<'_>) -> Result<Changed, EntryStop> {
        let mut changed = Changed::new();
        for (index, row) in (0_u32..).zip(rows) {
            match self.judge_correction(row, batch, &changed) {
                Ok(corrected) => changed.insert(row.pending_id, corrected),
                Err(RowStop::Refused(refusal, _)) => return Err(EntryStop::Refused { index, refusal }),
                Err(RowStop::Broken(what)) => return Err(what.into()),
            };
        }
        Ok(changed)
    }

    /// What the transfer that one row corrects will be behind it.
    fn judge_correction(
        &self,
        t: &TransferRow,
        batch: &Batch<'_>,
        changed: &Changed,
    ) -> Result<Corrected, RowStop> {
        self.check_id(t, batch)?;
        ensure(t.flags == CORRECTION, LedgerRefusal::FlagsAreMutuallyExclusive)?;
        check_shape(t, &self.calendar)?;
        ensure(!self.corrections.is_too_old(t.pending_id), LedgerRefusal::CorrectedTransferTooOld)?;
        let before = changed.get(&t.pending_id).or_else(|| self.corrections.get(t.pending_id)).copied();
        let mut corrected = match before {
            Some(before) => before,
            None => Corrected { original: self.original(t.pending_id)?, reversed: 0 },
        };
        let is_counted = corrected
            .original
            .is_none_or(|original| (t.debit_account, t.credit_account) == (original.credit, original.debit));
        let same_ledger = corrected.original.is_none_or(|original| t.ledger == original.ledger);
        ensure(same_ledger, LedgerRefusal::CorrectedTransferHasDifferentLedger)?;
        if is_counted {
            let most = corrected.original.map_or(u128::MAX, |original| original.amount);
            let reversed = corrected.reversed.checked_add(t.amount.0).filter(|sum| *sum <= most);
            corrected.reversed = reversed.ok_or(LedgerRefusal::ExceedsCorrectedTransfer)?;
        }
        let new = changed.keys().filter(|id| self.corrections.get(**id).is_none()).count();
        let has_room =
            self.corrections.len().saturating_add(new) < widen(self.limits.corrected_transfers_max);
        ensure(before.is_some() || has_room, LedgerRefusal::TooManyCorrections)?;
        Ok(corrected)
    }

    /// What a transfer moved; `None` if it was forgotten.
    fn original(&self, id: TransferId) -> Result<Option<Original>, RowStop> {
        ensure(self.pendings.slot(id).is_none(), LedgerRefusal::CorrectedTransferNotPosted)?;
        let Some(Remembered { row, amount, outcome, .. }) = self.recent.find(id) else {
            ensure(self.recent.is_forgotten(id), LedgerRefusal::CorrectedTransferNotFound)?;
            return Ok(None);
        };
        match outcome {
            // No transfer stands for a part that was posted with its chain: it stands for itself.
            Outcome::Created | Outcome::PostedWithChain => {}
            Outcome::Refused(_) => return Err(LedgerRefusal::CorrectedTransferNotFound.into()),
            // What moved the money is the transfer that posted it.
            Outcome::Pending | Outcome::Posted | Outcome::Voided | Outcome::Expired => {
                return Err(LedgerRefusal::CorrectedTransferNotPosted.into());
            }
        }
        ensure(row.flags & VOID_PENDING_TRANSFER == 0, LedgerRefusal::CorrectedTransferNotPosted)?;
        let posted = if row.flags & POST_PENDING_TRANSFER == 0 {
            row
        } else if let Some(pending) = self.recent.find(row.pending_id) {
            &pending.row
        } else {
            return Ok(None);
        };
        let &TransferRow { debit_account, credit_account, ledger, .. } = posted;
        Ok(Some(Original { debit: debit_account, credit: credit_account, ledger, amount: *amount }))
    }

    /// What has been reversed so far of the transfers that a command corrects, in its words; `None` if nothing was corrected.
    pub(crate) fn corrected_so_far(&self, command: &CorrectTransfers) -> Option<CorrectTransfers> {
        let ids: Vec<TransferId> = command.transfers.iter().map(|row| row.pending_id).collect();
        let so_far = |id: &TransferId| {
            let Corrected { reversed, .. } = self.corrections.get(*id)?;
            Some(TransferRow { pending_id: *id, amount: Amount(*reversed), ..TransferRow::default() })
        };
        let transfers: Vec<TransferRow> = ids.iter().filter_map(so_far).collect();
        (!transfers.is_empty()).then_some(CorrectTransfers { reason: 0, transfers })
    }

    /// Nothing is reversed beyond its amount.
    pub(super) fn check_corrections(&self) -> Result<(), Broken> {
        let is_sound = |corrected: &Corrected| {
            corrected.original.is_none_or(|original| corrected.reversed <= original.amount)
        };
        let is_sound = self.corrections.by_id.values().all(is_sound);
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "corrections" }) }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Seq;

    use super::*;
    use crate::ledger::Payers;

    const MS: u64 = 1 << 20;
    const MAX: u32 = 9;

    fn row(number: u128, of: TransferId) -> TransferRow {
        TransferRow {
            id: TransferId::at_ms(MS, number),
            debit_account: AccountId(1),
            credit_account: AccountId(2),
            amount: Amount(1),
            pending_id: of,
            ledger: AssetId(1),
            code: 1,
            flags: CORRECTION,
            reason: 7,
            ..TransferRow::default()
        }
    }

    fn ledger_with(corrected: impl Iterator<Item = TransferId>) -> Ledger {
        let mut ledger = Ledger::default();
        assert!(ledger.recent.restore_floor_ms(MS));
        ledger.limits.corrected_transfers_max = MAX;
        corrected.for_each(|id| ledger.corrections.insert(id, Corrected { original: None, reversed: 0 }));
        ledger
    }

    fn judge(ledger: &Ledger, rows: &[TransferRow]) -> Result<usize, EntryStop> {
        let batch = Batch::new(Seq(1), UnixNanos(MS * NANOS_PER_MILLI), Payers::Everybody);
        let batch = Batch { may_correct: true, ..batch };
        ledger.judge_corrections(rows, &batch).map(|changed| changed.len())
    }

    const fn refused(index: u32, refusal: LedgerRefusal) -> EntryStop {
        EntryStop::Refused { index, refusal }
    }

    #[test]
    fn as_many_transfers_have_been_corrected_as_may_be_until_the_oldest_cannot_be_any_more() {
        let at = |ms: u64| TransferId::at_ms(ms, 1);
        let mut ledger = ledger_with((1..u64::from(MAX)).map(at));
        let rows = |ids: [u64; 4]| (1..).zip(ids).map(|(n, ms)| row(n, at(ms))).collect::<Vec<_>>();
        assert_eq!(judge(&ledger, &rows([5, 6, 20, 20])), Ok(3));
        let full = Err(refused(2, LedgerRefusal::TooManyCorrections));
        assert_eq!(judge(&ledger, &rows([5, 20, 21, 6])), full);
        // The window begins at 3 ms: two are forgotten, and make room for as many.
        ledger.corrections.advance(UnixNanos(103 * NANOS_PER_MILLI), 100);
        assert_eq!((ledger.corrections.len(), ledger.corrections.floor_ms()), (6, 3));
        assert_eq!(judge(&ledger, &rows([20, 21, 22, 5])), Ok(4));
        assert_eq!(
            judge(&ledger, &rows([20, 21, 22, 23])),
            Err(refused(3, LedgerRefusal::TooManyCorrections))
        );
        let too_old = |index| Err(refused(index, LedgerRefusal::CorrectedTransferTooOld));
        assert_eq!(judge(&ledger, &rows([3, 2, 20, 20])), too_old(1));
        // A longer window does not give back what is forgotten.
        ledger.corrections.advance(UnixNanos(104 * NANOS_PER_MILLI), 104);
        assert_eq!(judge(&ledger, &rows([2, 3, 20, 20])), too_old(0));
    }

    #[test]
    fn of_very_many_that_are_too_old_so_many_are_forgotten_at_once_and_none_is_known() {
        let per_record = CORRECTED_TRANSFERS_FORGOTTEN_PER_RECORD_MAX;
        let at = |rest: usize| TransferId::at_ms(7, u128::try_from(rest).unwrap());
        let mut ledger = ledger_with((0..per_record + 5).map(at));
        ledger.corrections.advance(UnixNanos(8 * NANOS_PER_MILLI), 0);
        assert_eq!(ledger.corrections.len(), 5);
        assert_eq!(ledger.corrections.get(at(per_record + 4)), None);
        let command = CorrectTransfers { reason: 7, transfers: vec![row(1, at(per_record + 4))] };
        assert_eq!(ledger.corrected_so_far(&command), None);
        ledger.corrections.advance(UnixNanos(8 * NANOS_PER_MILLI), 0);
        assert_eq!(ledger.corrections.len(), 0);
    }
}

//! Corrections: transfers that say which one they correct and why, executed when a second actor has approved them.
//!
//! Nothing posted is ever changed. A *reversal* goes the other way between the same accounts; its sums are kept for every transfer that
//! was ever corrected, so that no original is reversed beyond its amount, however long ago it was forgotten. Everything else between
//! accounts of its ledger is an *adjustment*. Of an original that was forgotten before it was corrected first, nothing is known: what it
//! was is the approver's word, and the sum of its corrections is what the next approver is shown.

use std::collections::BTreeMap;

use protocol::commands::CorrectTransfers;
use protocol::limits::CORRECTED_TRANSFERS_MAX;
use protocol::rows::TransferRow;
use protocol::rows::transfer_flags::{CORRECTION, POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER};
use protocol::{AccountId, Amount, AssetId, LedgerRefusal, RejectReason, TransferId};

use super::batch::{Batch, RowStop, ensure};
use super::recent::{Outcome, Remembered};
use super::transfers::check_shape;
use super::{EntryStop, Ledger};
use crate::broken::{Broken, Stop, ensure_field, refuse_transfer};
use crate::effects::Effects;

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

/// Every transfer that was ever corrected.
pub(crate) type Corrections = BTreeMap<TransferId, Corrected>;

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
        let entered = self.judge_corrections(transfers, batch).and_then(|corrected| {
            let entered = self.enter_transfers(transfers, batch)?;
            self.corrections.extend(corrected);
            Ok(entered)
        });
        effects.push(entered.map_err(|stop| refuse_transfer(RejectReason::CorrectionRefused, stop))?);
        Ok(())
    }

    /// What the corrected transfers will be once all rows are executed.
    fn judge_corrections(&self, rows: &[TransferRow], batch: &Batch<'_>) -> Result<Corrections, EntryStop> {
        let mut changed = Corrections::new();
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
        changed: &Corrections,
    ) -> Result<Corrected, RowStop> {
        self.check_id(t, batch)?;
        ensure(t.flags == CORRECTION, LedgerRefusal::FlagsAreMutuallyExclusive)?;
        check_shape(t, &self.calendar)?;
        let before = changed.get(&t.pending_id).or_else(|| self.corrections.get(&t.pending_id)).copied();
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
        let new = changed.keys().filter(|id| !self.corrections.contains_key(id)).count();
        let has_room = self.corrections.len().saturating_add(new) < CORRECTED_TRANSFERS_MAX;
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

    /// What has been reversed so far of the transfers that a command corrects, in its words; `None` if nothing ever was corrected.
    pub(crate) fn corrected_so_far(&self, command: &CorrectTransfers) -> Option<CorrectTransfers> {
        let ids: Vec<TransferId> = command.transfers.iter().map(|row| row.pending_id).collect();
        let so_far = |id: &TransferId| {
            let Corrected { reversed, .. } = self.corrections.get(id)?;
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
        let is_sound = self.corrections.values().all(is_sound);
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "corrections" }) }
    }
}

#[cfg(test)]
mod tests {
    use protocol::time::NANOS_PER_MILLI;
    use protocol::{Seq, UnixNanos};

    use super::*;
    use crate::ledger::Payers;

    const MS: u64 = 1 << 20;

    fn row(number: u128, of: u128) -> TransferRow {
        TransferRow {
            id: TransferId::at_ms(MS, number),
            debit_account: AccountId(1),
            credit_account: AccountId(2),
            amount: Amount(1),
            pending_id: TransferId(of),
            ledger: AssetId(1),
            code: 1,
            flags: CORRECTION,
            reason: 7,
            ..TransferRow::default()
        }
    }

    #[test]
    fn as_many_transfers_have_been_corrected_as_may_be() {
        let mut ledger = Ledger::default();
        assert!(ledger.recent.restore_floor_ms(MS));
        let last = u128::try_from(CORRECTED_TRANSFERS_MAX).unwrap();
        let forgotten = Corrected { original: None, reversed: 0 };
        ledger.corrections = (1..last).map(|id| (TransferId(id), forgotten)).collect();
        let (seq, time) = (Seq(1), UnixNanos(MS * NANOS_PER_MILLI));
        let batch = Batch { may_correct: true, ..Batch::new(seq, time, Payers::Everybody) };
        let judge =
            |rows: &[TransferRow]| ledger.judge_corrections(rows, &batch).map(|changed| changed.len());
        assert_eq!(judge(&[row(1, 5), row(2, 6), row(3, last), row(4, last)]), Ok(3));
        let refusal = LedgerRefusal::TooManyCorrections;
        let one_more = [row(1, last), row(2, last + 1)];
        assert_eq!(judge(&one_more), Err(EntryStop::Refused { index: 1, refusal }));
    }
}

//! Transfers of a command that is no batch of them, or of a timer: all of them, as one linked chain, or nothing.

use protocol::rows::TransferRow;
use protocol::{Amount, LedgerRefusal, events};

use super::Ledger;
use super::batch::{Batch, Results, RowStop};
use super::chain::Chain;
use crate::broken::Broken;
use crate::rows::NO_ROW;

/// Why nothing was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryStop {
    /// The row of this place, from 0, was refused: nothing has changed, and nothing is remembered of any row.
    Refused {
        index: u32,
        refusal: LedgerRefusal,
    },
    Broken(Broken),
}

impl From<Broken> for EntryStop {
    fn from(what: Broken) -> Self {
        Self::Broken(what)
    }
}

impl Ledger {
    /// Executes rows in their order through the checks of a batch, whether they say that they are linked or not.
    pub(crate) fn enter_transfers(
        &mut self,
        rows: &[TransferRow],
        batch: &Batch<'_>,
    ) -> Result<events::TransfersEntered, EntryStop> {
        self.recent.advance(batch.time, self.limits.id_window_ms, self.limits.transfer_ids_max);
        let mut results = Results { seq: batch.seq, ..Results::default() };
        let mut chain = Chain::default();
        let mut transfers = Vec::with_capacity(rows.len());
        for (index, row) in (0_u32..).zip(rows) {
            let account = |account| self.accounts.row(account).unwrap_or(NO_ROW);
            let accounts = [account(row.debit_account), account(row.credit_account)];
            let entered = chain.enter(true, false, index, &results).map_err(RowStop::from);
            match entered.and_then(|()| self.create_transfer(row, accounts, batch, &mut chain)) {
                Ok(done) => transfers.push(TransferRow { amount: Amount(done.amount), ..*row }),
                Err(RowStop::Refused(refusal, before)) => {
                    self.refuse_row(&mut chain, index, (refusal, before), &mut results)?;
                    return Err(EntryStop::Refused { index, refusal });
                }
                Err(RowStop::Broken(what)) => return Err(what.into()),
            }
        }
        self.end_chain(&mut chain);
        Ok(events::TransfersEntered { transfers })
    }
}

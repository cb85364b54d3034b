//! Corrections in the model: what two cashiers agree on. Everything that ever corrected is kept, and added up anew for each row; what was
//! corrected and is too old to be corrected again no longer counts against how many there may be.

use std::collections::BTreeMap;

use protocol::commands::{Approve, CorrectTransfers, Propose, Reject};
use protocol::rows::TransferRow;
use protocol::rows::transfer_flags::{CORRECTION, POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER};
use protocol::{
    ActorId, Amount, Command, EventBody, LedgerRefusal, ProposalEnd, ProposalId, ProposedCommand,
    RejectReason, Text, TransferId, events,
};

use super::bank::{Answer, Refusal, out_of_range, refused};
use super::model::{Model, Payer, Status, milliseconds, refuse};
use LedgerRefusal as R;

type Note = Text<{ protocol::limits::NOTE_BYTES_MAX }>;

/// 31 days.
const EXPIRES_IN_MAX_S: u32 = 31 * 86_400;

/// A correction that waits for another cashier.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub(crate) actor: ActorId,
    pub(crate) correction: CorrectTransfers,
    /// What had been reversed when it was made.
    shown: Option<ProposedCommand>,
    expires_at: u64,
}

/// What each corrected transfer was, if that was known when it was corrected first.
pub(crate) type Originals = BTreeMap<u128, Option<TransferRow>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Corrections {
    pub(crate) open: BTreeMap<u64, Proposal>,
    pub(crate) originals: Originals,
    /// All that were executed.
    rows: Vec<TransferRow>,
    /// The latest time before which nothing could be corrected any more.
    floor_ms: u64,
}

fn reverses(row: &TransferRow, original: &TransferRow) -> bool {
    (row.debit_account, row.credit_account) == (original.credit_account, original.debit_account)
}

/// What rows reverse of a transfer; of one that is not known, all that correct it. `None` beyond the largest number.
fn reversed<'a>(
    id: TransferId,
    original: Option<&TransferRow>,
    rows: impl Iterator<Item = &'a TransferRow>,
) -> Option<u128> {
    rows.filter(|row| row.pending_id == id && original.is_none_or(|original| reverses(row, original)))
        .try_fold(0_u128, |sum, row| sum.checked_add(row.amount.0))
}

impl Model {
    pub(crate) fn propose(&mut self, actor: ActorId, is_cashier: bool, command: &Propose) -> Answer {
        let Propose { command, expires_in_s, note } = command;
        let Ok(Command::CorrectTransfers(correction)) = command.command() else { panic!("{command:?}") };
        if !is_cashier {
            return refused(RejectReason::NotEntitled);
        }
        if *expires_in_s == 0 || *expires_in_s > EXPIRES_IN_MAX_S {
            return out_of_range("expires_in_s");
        }
        let shown = self.reversed_so_far(&correction);
        let expires_at = self.time + u64::from(*expires_in_s) * 1_000_000_000;
        let proposed = events::Proposed {
            proposal: ProposalId(self.seq),
            actor,
            command: command.clone(),
            before: shown.clone(),
            expires_at_ns: expires_at,
            note: *note,
        };
        let proposal = Proposal { actor, correction, shown, expires_at };
        self.bank.corrections.open.insert(self.seq, proposal);
        Ok(vec![proposed.into()])
    }

    pub(crate) fn approve(&mut self, actor: ActorId, is_cashier: bool, command: &Approve) -> Answer {
        let id = command.proposal.0;
        let open = self.bank.corrections.open.get(&id);
        let Some(proposal) = open.filter(|open| self.time < open.expires_at).cloned() else {
            return refused(RejectReason::UnknownProposal);
        };
        if !is_cashier {
            return refused(RejectReason::NotEntitled);
        }
        if proposal.actor == actor {
            return refused(RejectReason::OwnProposal);
        }
        if self.reversed_so_far(&proposal.correction) != proposal.shown {
            return refused(RejectReason::ProposalStale);
        }
        let entered = self.correct(&proposal.correction)?;
        self.bank.corrections.open.remove(&id);
        Ok(vec![entered, ended(id, ProposalEnd::Approved, actor, Text::EMPTY)])
    }

    pub(crate) fn reject(&mut self, actor: ActorId, is_cashier: bool, command: &Reject) -> Answer {
        let id = command.proposal.0;
        let open = self.bank.corrections.open.get(&id);
        let Some(proposal) = open.filter(|open| self.time < open.expires_at) else {
            return refused(RejectReason::UnknownProposal);
        };
        let is_own = proposal.actor == actor;
        if !is_own && !is_cashier {
            return refused(RejectReason::NotEntitled);
        }
        self.bank.corrections.open.remove(&id);
        let end = if is_own { ProposalEnd::Withdrawn } else { ProposalEnd::Rejected };
        Ok(vec![ended(id, end, actor, command.note)])
    }

    /// The next proposal to expire: when, and which.
    pub(crate) fn next_proposal_end(&self) -> Option<(u64, u128)> {
        self.bank.corrections.open.iter().map(|(id, open)| (open.expires_at, u128::from(*id))).min()
    }

    pub(crate) fn expire_proposal(&mut self, id: u64) -> EventBody {
        let proposal = self.bank.corrections.open.remove(&id).unwrap();
        ended(id, ProposalEnd::Expired, proposal.actor, Text::EMPTY)
    }

    /// All of it, or which row is refused first.
    fn correct(&mut self, correction: &CorrectTransfers) -> Result<EventBody, Refusal> {
        let CorrectTransfers { reason, transfers } = correction;
        if *reason == 0 || transfers.iter().any(|row| row.reason != *reason) {
            return Err((RejectReason::FieldOutOfRange, "reason".to_owned()));
        }
        if transfers.is_empty() {
            return Err((RejectReason::FieldOutOfRange, "transfers".to_owned()));
        }
        self.raise_floor();
        let window_ms = self.limits.correction_window_ms;
        let corrections = &mut self.bank.corrections;
        corrections.floor_ms = corrections.floor_ms.max((self.time / 1_000_000).saturating_sub(window_ms));
        let floor_ms = corrections.floor_ms;
        corrections.originals.retain(|id, _| milliseconds(*id) >= floor_ms);
        let mut originals = corrections.originals.clone();
        let judged = (0..transfers.len()).try_for_each(|at| {
            self.judge(&transfers[..=at], &mut originals).map_err(|refusal| (at, refusal))
        });
        let entered = judged.and_then(|()| self.enter(transfers, &Payer::Anyone));
        let transfers = entered
            .map_err(|(at, refusal)| (RejectReason::CorrectionRefused, format!("{at} {}", refusal.name())))?;
        self.bank.corrections.originals = originals;
        self.bank.corrections.rows.extend(&transfers);
        Ok(events::TransfersEntered { transfers }.into())
    }

    /// The last of these rows, behind the others.
    fn judge(&self, rows: &[TransferRow], originals: &mut Originals) -> Result<(), LedgerRefusal> {
        let row = rows.last().unwrap();
        self.refuse_transfer_itself(row, &Payer::Anyone).map_or(Ok(()), Err)?;
        self.refuse_known(row, &Payer::Anyone).map_err(|(refusal, _)| refusal)?;
        refuse(&[(row.flags != CORRECTION, R::FlagsAreMutuallyExclusive)])?;
        self.refuse_shape(row)?;
        let is_old = milliseconds(row.pending_id.0) < self.bank.corrections.floor_ms;
        refuse(&[(is_old, R::CorrectedTransferTooOld)])?;
        let is_new = !originals.contains_key(&row.pending_id.0);
        let is_full = originals.len() >= usize::try_from(self.limits.corrected_transfers_max).unwrap();
        let original = match originals.get(&row.pending_id.0) {
            Some(original) => *original,
            None => self.original(row.pending_id)?,
        };
        originals.insert(row.pending_id.0, original);
        let counts = original.is_none_or(|original| reverses(row, &original));
        let most = original.map_or(u128::MAX, |original| original.amount.0);
        let so_far = self.bank.corrections.rows.iter().chain(rows);
        let is_within = reversed(row.pending_id, original.as_ref(), so_far).is_some_and(|sum| sum <= most);
        refuse(&[
            (
                original.is_some_and(|original| original.ledger != row.ledger),
                R::CorrectedTransferHasDifferentLedger,
            ),
            (counts && !is_within, R::ExceedsCorrectedTransfer),
            (is_new && is_full, R::TooManyCorrections),
        ])
    }

    /// What a transfer moved; `None` = it is forgotten.
    pub(crate) fn original(&self, id: TransferId) -> Result<Option<TransferRow>, LedgerRefusal> {
        let transfer = self.transfers.get(&id.0);
        refuse(&[(
            transfer.is_some_and(|transfer| transfer.status == Status::Pending),
            R::CorrectedTransferNotPosted,
        )])?;
        let Some(known) = self.known.get(&id.0) else {
            let is_forgotten = milliseconds(id.0) < self.floor_ms;
            return if is_forgotten { Ok(None) } else { Err(R::CorrectedTransferNotFound) };
        };
        let transfer = transfer.filter(|_| known.refusal.is_none()).ok_or(R::CorrectedTransferNotFound)?;
        let voids = transfer.row.flags & VOID_PENDING_TRANSFER != 0;
        let moved = matches!(transfer.status, Status::Final | Status::PostedWithChain);
        refuse(&[(voids || !moved, R::CorrectedTransferNotPosted)])?;
        let posts = transfer.row.flags & POST_PENDING_TRANSFER != 0;
        let of = if posts { transfer.row.pending_id } else { id };
        let moved = self.known.get(&of.0).map(|known| known.row);
        Ok(moved.map(|row| TransferRow { amount: Amount(transfer.amount), ..row }))
    }

    /// What has been reversed so far of what a correction corrects, as its approver is shown it.
    fn reversed_so_far(&self, correction: &CorrectTransfers) -> Option<ProposedCommand> {
        let Corrections { originals, rows, .. } = &self.bank.corrections;
        let so_far = |row: &TransferRow| {
            let original = originals.get(&row.pending_id.0)?;
            let amount = Amount(reversed(row.pending_id, original.as_ref(), rows.iter()).unwrap());
            Some(TransferRow { pending_id: row.pending_id, amount, ..TransferRow::default() })
        };
        let transfers: Vec<_> = correction.transfers.iter().filter_map(so_far).collect();
        let shown = CorrectTransfers { reason: 0, transfers };
        (!shown.transfers.is_empty()).then(|| ProposedCommand::new(&shown.into()))
    }
}

fn ended(proposal: u64, end: ProposalEnd, actor: ActorId, note: Note) -> EventBody {
    events::ProposalEnded { proposal: ProposalId(proposal), end, actor, note }.into()
}

//! Random corrections: proposed, approved by another cashier or not, of what is known, forgotten, or was never there.

use protocol::commands::{Approve, CorrectTransfers, Propose, Reject};
use protocol::rows::TransferRow;
use protocol::rows::transfer_flags::CORRECTION;
use protocol::{Amount, Command, ProposalId, ProposedCommand, Text, TransferId};

use super::flow::{Flow, Sender, Step};
use super::model::{Model, Status};
use crate::definitions;

const REASON: u16 = 7;

impl Flow {
    pub(super) fn correction(&mut self, model: &Model) -> Step {
        let open: Vec<_> = model.bank.corrections.open.iter().map(|(id, open)| (*id, open.actor)).collect();
        let (id, by) =
            if open.is_empty() { (1, definitions::OPERATOR_ACTOR) } else { *self.numbers.pick(&open) };
        let proposal = ProposalId(if self.numbers.chance(3) { 1 } else { id });
        let note = Text::new(if self.numbers.chance(50) { "seen" } else { "" }).unwrap();
        let is_other = self.numbers.chance(90);
        let command: Command = match self.numbers.below(20) {
            0 => CorrectTransfers { reason: REASON, transfers: Vec::new() }.into(),
            1 => Reject { proposal, note }.into(),
            2..=10 if !open.is_empty() => Approve { proposal }.into(),
            _ => {
                let command = ProposedCommand::new(&self.corrected(model).into());
                let expires_in_s = match self.numbers.below(40) {
                    0 => 0,
                    1 => 31 * 86_400 + u32::try_from(self.numbers.below(2)).unwrap(),
                    _ => u32::try_from(self.numbers.between(1, 30)).unwrap(),
                };
                Propose { command, expires_in_s, note }.into()
            }
        };
        let is_by_operator = by == definitions::OPERATOR_ACTOR;
        let sender = match self.numbers.below(20) {
            0 => Some(self.sender(0)),
            _ if is_by_operator == is_other => Some(Sender::Cashier),
            _ => None,
        };
        Step::Bank(sender, command)
    }

    fn corrected(&mut self, model: &Model) -> CorrectTransfers {
        let mut transfers: Vec<TransferRow> = Vec::new();
        for _ in 0..self.numbers.between(1, 3) {
            let of = self.original_id(model, &transfers);
            let known = model.bank.corrections.originals.get(&of.0).copied();
            let known = known.or_else(|| model.original(of).ok()).flatten();
            let mut row = TransferRow { timeout_s: 0, value_date: 0, ..self.moving(model) };
            if let Some(original) = known {
                row.ledger = original.ledger;
                if self.numbers.chance(85) {
                    row.debit_account = original.credit_account;
                    row.credit_account = original.debit_account;
                    let most = original.amount.0;
                    row.amount = Amount(match self.numbers.below(10) {
                        0 => most.saturating_add(1),
                        1..=3 => most,
                        _ => most.min(self.numbers.below(30).into()),
                    });
                } else if self.numbers.chance(30) {
                    // An adjustment that hardly anybody can pay.
                    row.amount = Amount(1 << 40);
                }
            }
            (row.pending_id, row.flags, row.reason) = (of, CORRECTION, REASON);
            if self.numbers.chance(12) {
                self.spoil(&mut row, model);
            }
            transfers.push(row);
        }
        self.recent.extend(&transfers);
        let reason = if self.numbers.chance(3) { 0 } else { REASON };
        if self.numbers.chance(2) {
            transfers.clear();
        }
        CorrectTransfers { reason, transfers }
    }

    /// Mostly of something that moved money; often of what was corrected before, perhaps by the same command.
    fn original_id(&mut self, model: &Model, so_far: &[TransferRow]) -> TransferId {
        let corrected: Vec<u128> = model.bank.corrections.originals.keys().copied().collect();
        let known: Vec<u128> = model.known.keys().copied().collect();
        let moved: Vec<u128> = model
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.status == Status::Final)
            .map(|(id, _)| *id)
            .collect();
        let among = match self.numbers.below(20) {
            0 => return TransferId(5),
            // Of a time before anything happened, but not so long ago that nobody could correct it.
            1 => {
                let ms = model.time / 1_000_000 - self.numbers.between(30_000, 3_600_000);
                return TransferId::at_ms(ms, self.numbers.below(3).into());
            }
            2 => return self.id(model),
            3..=4 if !so_far.is_empty() => return so_far[0].pending_id,
            3..=6 => corrected,
            7..=8 => known,
            _ => moved,
        };
        if among.is_empty() { TransferId(5) } else { TransferId(*self.numbers.pick(&among)) }
    }
}

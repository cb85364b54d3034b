//! What a run has to have seen before it counts as a test of everything.

use std::collections::BTreeSet;

use protocol::LedgerRefusal;
use protocol::rows::{AccountRow, TransferRow, account_flags, transfer_flags};

use super::model::Outcome;

/// Refusals, and the flags of what was created.
#[derive(Default)]
pub(crate) struct Coverage {
    refusals: BTreeSet<u8>,
    /// Refused before, and refused the same now, with the seq of the first time.
    repeated: BTreeSet<u8>,
    transfers: BTreeSet<u16>,
    accounts: BTreeSet<u16>,
}

/// Refusals that no run of these tests sees, and why.
const UNSEEN: &[LedgerRefusal] = &[
    // 16,777,216 accounts are needed.
    LedgerRefusal::TooManyAccounts,
    // As many rows are needed as a test of its own has.
    LedgerRefusal::TooManyChainParts,
    // No row of a batch corrects anything: scenarios/ledger/corrections.scn.
    LedgerRefusal::CorrectedTransferNotFound,
    LedgerRefusal::CorrectedTransferNotPosted,
    LedgerRefusal::CorrectedTransferHasDifferentLedger,
    LedgerRefusal::ExceedsCorrectedTransfer,
    // Likewise: engine/src/ledger/corrections.rs.
    LedgerRefusal::TooManyCorrections,
];

impl Coverage {
    pub(crate) fn transfers(&mut self, rows: &[TransferRow], outcomes: &[Outcome], seq: u64) {
        let flags: Vec<u16> = rows.iter().map(|row| row.flags).collect();
        self.outcomes(outcomes, seq);
        self.transfers.extend(created(&flags, outcomes));
    }

    pub(crate) fn accounts(&mut self, rows: &[AccountRow], outcomes: &[Outcome], seq: u64) {
        let flags: Vec<u16> = rows.iter().map(|row| row.flags).collect();
        self.outcomes(outcomes, seq);
        self.accounts.extend(created(&flags, outcomes));
    }

    pub(crate) fn has_seen(&self, refusal: LedgerRefusal) -> bool {
        self.refusals.contains(&refusal.code())
    }

    fn outcomes(&mut self, outcomes: &[Outcome], now: u64) {
        for outcome in outcomes {
            if let Outcome::Refused { refusal, seq, .. } = outcome {
                self.refusals.insert(refusal.code());
                if *seq < now {
                    self.repeated.insert(refusal.code());
                }
            }
        }
    }

    /// What is missing, in words; empty if nothing is.
    pub(crate) fn missing(&self) -> String {
        let mut missing = String::new();
        for refusal in LedgerRefusal::ALL.iter().filter(|refusal| !UNSEEN.contains(refusal)) {
            if !self.refusals.contains(&refusal.code()) {
                missing += &format!("no row was refused with {}\n", refusal.name());
            }
            // What a new ledger would make good is not remembered of accounts.
            let of_accounts = *refusal == LedgerRefusal::LedgerNotFound;
            if refusal.is_transient() && !of_accounts && !self.repeated.contains(&refusal.code()) {
                missing += &format!("no row was refused again with {}\n", refusal.name());
            }
        }
        for flags in transfer_combinations().into_iter().filter(|flags| !self.transfers.contains(flags)) {
            missing += &format!("no transfer with the flags {flags} was created\n");
        }
        for flags in account_combinations().into_iter().filter(|flags| !self.accounts.contains(flags)) {
            missing += &format!("no account with the flags {flags} was created\n");
        }
        missing
    }
}

fn created<'a>(flags: &'a [u16], outcomes: &'a [Outcome]) -> impl Iterator<Item = u16> + 'a {
    let pairs = flags.iter().zip(outcomes);
    pairs.filter(|(_, outcome)| matches!(outcome, Outcome::Created { .. })).map(|(flags, _)| *flags)
}

/// Every combination of flags with which a transfer can be created.
fn transfer_combinations() -> Vec<u16> {
    use transfer_flags::{
        ALL, BALANCING_CREDIT, BALANCING_DEBIT, CLOSING_CREDIT, CLOSING_DEBIT, PENDING,
        POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER, WHOLE_CHAIN,
    };
    let closing = CLOSING_DEBIT | CLOSING_CREDIT;
    let is_legal = |flags: &u16| {
        let has = |flag: u16| flags & flag != 0;
        if has(POST_PENDING_TRANSFER) || has(VOID_PENDING_TRANSFER) {
            let one = has(POST_PENDING_TRANSFER) != has(VOID_PENDING_TRANSFER);
            return one && !has(PENDING | BALANCING_DEBIT | BALANCING_CREDIT | closing);
        }
        !has(WHOLE_CHAIN) && (has(PENDING) || !has(closing))
    };
    let batches = ALL & !transfer_flags::CORRECTION;
    (0..=batches).filter(|flags| flags & !batches == 0).filter(is_legal).collect()
}

/// Likewise of an account.
fn account_combinations() -> Vec<u16> {
    use account_flags::{ALL, CREDITS_MUST_NOT_EXCEED_DEBITS, DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
    let both = CREDITS_MUST_NOT_EXCEED_DEBITS | DEBITS_MUST_NOT_EXCEED_CREDITS;
    let is_legal = |flags: &u16| {
        let settles = flags & SETTLEMENT != 0;
        flags & both != both && (!settles || flags & both == DEBITS_MUST_NOT_EXCEED_CREDITS)
    };
    (0..=ALL).filter(|flags| flags & !ALL == 0).filter(is_legal).collect()
}

//! What a run has to have seen before it counts as a test of everything.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use protocol::commands::{
    Approve, CancelOrder, CancelStandingOrder, CloseDay, CorrectTransfers, CreateAccounts, CreateTransfers,
    DefineMonitor, DefineStandingOrder, ExchangeCurrency, NewOrder, Propose, QuoteExchange, Reject,
    RemoveMonitor, ReplaceOrder, SetAccountCode, SetCalendar, SetLedgerLimits, SetOverdraft, UpdateAccount,
};
use protocol::event::Event;
use protocol::rows::{AccountRow, TransferRow, account_flags, transfer_flags};
use protocol::wire::WireFault;
use protocol::{Command, EventBody, LedgerRefusal, ProposalEnd, RejectReason, events};

use RejectReason as R;

use super::model::Outcome;

/// Refusals, and the flags of what was created.
#[derive(Default)]
pub(crate) struct Coverage {
    refusals: BTreeSet<u8>,
    /// Refused before, and refused the same now, with the seq of the first time.
    repeated: BTreeSet<u8>,
    transfers: BTreeSet<u16>,
    accounts: BTreeSet<u16>,
    /// By kind.
    events: BTreeSet<u16>,
    /// How they ended.
    proposals: BTreeSet<u8>,
    /// Commands: kind, why it was refused as a whole, if it was, and the field that is meant.
    commands: BTreeSet<(u16, Option<RejectReason>, String)>,
}

/// Refusals that no run of these tests sees, and why.
const UNSEEN: &[LedgerRefusal] = &[
    // 16,777,216 accounts are needed.
    LedgerRefusal::TooManyAccounts,
    // As many rows are needed as a test of its own has.
    LedgerRefusal::TooManyChainParts,
];

/// Kinds of the ledger's commands, and of its events.
const COMMAND_KINDS: RangeInclusive<u16> = 68..=95;
const EVENT_KINDS: RangeInclusive<u16> = 7..=31;

/// What nobody executes alone.
const NEVER_DONE: &[u16] = &[CorrectTransfers::KIND];

type Refusals = &'static [(R, &'static str)];

/// Refusals of whole commands that have to be seen.
const REFUSALS: &[(u16, Refusals)] = &[
    (CreateAccounts::KIND, &[(R::NotEntitled, "")]),
    (CreateTransfers::KIND, &[(R::NotEntitled, "")]),
    (
        SetLedgerLimits::KIND,
        &[
            (R::Exists, ""),
            (R::FieldOutOfRange, "id_window_ms"),
            (R::FieldOutOfRange, "id_ahead_ms"),
            (R::FieldOutOfRange, "transfer_ids_max"),
            (R::FieldOutOfRange, "pending_transfers_max"),
            (R::FieldOutOfRange, "correction_window_ms"),
            (R::FieldOutOfRange, "corrected_transfers_max"),
        ],
    ),
    (
        SetOverdraft::KIND,
        &[
            (R::NotEntitled, ""),
            (R::Exists, ""),
            (R::UnknownAccount, ""),
            (R::FieldOutOfRange, "account"),
            (R::FieldOutOfRange, "temporary"),
            (R::FieldOutOfRange, "temporary_until_ns"),
            (R::FieldOutOfRange, "interest_code"),
        ],
    ),
    (
        UpdateAccount::KIND,
        &[
            (R::NotEntitled, ""),
            (R::Exists, ""),
            (R::UnknownAccount, ""),
            (R::FieldOutOfRange, "code"),
            (R::AccountCodeRefused, "CodeNotFound"),
            (R::AccountCodeRefused, "CodeExcludesClass"),
            (R::AccountCodeRefused, "LimitAgainstNormalSide"),
        ],
    ),
    (
        SetAccountCode::KIND,
        &[
            (R::NotEntitled, ""),
            (R::Exists, ""),
            (R::ExistsWithDifferent, "ledger"),
            (R::FieldOutOfRange, "code"),
            (R::FieldOutOfRange, "normal_side"),
            (R::FieldOutOfRange, "classes"),
            (R::FieldOutOfRange, "name"),
            (R::UnknownAsset, ""),
            (R::AccountCodeInUse, "kind"),
            (R::AccountCodeInUse, "normal_side"),
            (R::AccountCodeInUse, "classes"),
        ],
    ),
    (
        SetCalendar::KIND,
        &[
            (R::NotEntitled, ""),
            (R::Exists, ""),
            (R::FieldOutOfRange, "business_date"),
            (R::FieldOutOfRange, "weekend_days"),
            (R::FieldOutOfRange, "holidays"),
            (R::FieldOutOfRange, "utc_offset_s"),
            (R::FieldOutOfRange, "behind_utc"),
        ],
    ),
    (
        CloseDay::KIND,
        &[
            (R::NotEntitled, ""),
            (R::Exists, ""),
            (R::FieldOutOfRange, "business_date"),
            (R::FieldOutOfRange, "next"),
        ],
    ),
    (
        DefineMonitor::KIND,
        &[
            (R::NotEntitled, ""),
            (R::Exists, ""),
            (R::ExistsWithDifferent, "account"),
            (R::ExistsWithDifferent, "value"),
            (R::FieldOutOfRange, "monitor"),
            (R::FieldOutOfRange, "ledger"),
            (R::FieldOutOfRange, "code"),
            (R::FieldOutOfRange, "class"),
            (R::FieldOutOfRange, "field"),
            (R::FieldOutOfRange, "negative"),
            (R::UnknownAsset, ""),
            (R::UnknownAccount, ""),
            (R::TableFull, ""),
        ],
    ),
    (
        QuoteExchange::KIND,
        &[
            (R::NotEntitled, ""),
            (R::Exists, ""),
            (R::ExistsWithDifferent, "client"),
            (R::FieldOutOfRange, "quote"),
            (R::FieldOutOfRange, "buy_ledger"),
            (R::FieldOutOfRange, "rate_mantissa"),
            (R::FieldOutOfRange, "rate_scale"),
            (R::FieldOutOfRange, "sell_amount_max"),
            (R::FieldOutOfRange, "source"),
            (R::UnknownAccount, "sell_liquidity"),
            (R::UnknownAccount, "buy_liquidity"),
            (R::UnknownAccount, "rounding"),
            (R::AssetMismatch, "sell_liquidity"),
            (R::AssetMismatch, "buy_liquidity"),
            (R::AssetMismatch, "rounding"),
            (R::WrongAccountClass, "sell_liquidity"),
            (R::WrongAccountClass, "buy_liquidity"),
            (R::WrongAccountClass, "rounding"),
            (R::FieldOutOfRange, "rounding"),
            (R::FieldOutOfRange, "valid_until_ns"),
        ],
    ),
    (
        ExchangeCurrency::KIND,
        &[
            (R::NotEntitled, ""),
            (R::UnknownQuote, ""),
            (R::UnknownAccount, "sell_account"),
            (R::AssetMismatch, "sell_account"),
            (R::ClientNotEntitled, ""),
            (R::UnknownAccount, "buy_account"),
            (R::AssetMismatch, "buy_account"),
            (R::DifferentOwners, ""),
            (R::QuoteOfAnotherClient, ""),
            (R::AmountOutOfRange, "sell_amount"),
            (R::QuoteExceeded, ""),
            (R::BuyAmountBelowMinimum, ""),
            (R::TransferRefused, "0 Exists"),
            (R::TransferRefused, "0 ExceedsCredits"),
            (R::TransferRefused, "1 ExceedsCredits"),
            (R::TransferRefused, "0 IdTooOld"),
            (R::TransferRefused, "0 CodeMustNotBeZero"),
            (R::TransferRefused, "2 ExistsWithDifferentFlags"),
        ],
    ),
    (
        DefineStandingOrder::KIND,
        &[
            (R::NotEntitled, ""),
            (R::ClientNotEntitled, ""),
            (R::Exists, ""),
            (R::ExistsWithDifferent, "amount"),
            (R::FieldOutOfRange, "order"),
            (R::FieldOutOfRange, "amount"),
            (R::FieldOutOfRange, "code"),
            (R::FieldOutOfRange, "first_date"),
            (R::FieldOutOfRange, "last_date"),
            (R::FieldOutOfRange, "time_of_day_s"),
            (R::FieldOutOfRange, "retry_days"),
            (R::UnknownAccount, "debit_account"),
            (R::UnknownAccount, "credit_account"),
            (R::AssetMismatch, "debit_account"),
            (R::FieldOutOfRange, "credit_account"),
        ],
    ),
    (
        CancelStandingOrder::KIND,
        &[(R::NotEntitled, ""), (R::ClientNotEntitled, ""), (R::UnknownStandingOrder, "")],
    ),
    (RemoveMonitor::KIND, &[(R::NotEntitled, ""), (R::UnknownMonitor, "")]),
    (CorrectTransfers::KIND, &[(R::NotEntitled, ""), (R::ApprovalNeeded, "")]),
    (Propose::KIND, &[(R::NotEntitled, ""), (R::FieldOutOfRange, "expires_in_s")]),
    (
        Approve::KIND,
        &[
            (R::UnknownProposal, ""),
            (R::NotEntitled, ""),
            (R::OwnProposal, ""),
            (R::ProposalStale, ""),
            (R::FieldOutOfRange, "reason"),
            (R::FieldOutOfRange, "transfers"),
            (R::CorrectionRefused, "0 CorrectedTransferTooOld"),
            (R::CorrectionRefused, "0 CorrectedTransferNotFound"),
            (R::CorrectionRefused, "0 CorrectedTransferNotPosted"),
            (R::CorrectionRefused, "0 CorrectedTransferHasDifferentLedger"),
            (R::CorrectionRefused, "0 ExceedsCorrectedTransfer"),
            (R::CorrectionRefused, "1 ExceedsCorrectedTransfer"),
            (R::CorrectionRefused, "0 TooManyCorrections"),
            (R::CorrectionRefused, "1 TooManyCorrections"),
            (R::CorrectionRefused, "0 FlagsAreMutuallyExclusive"),
            (R::CorrectionRefused, "0 IdTooOld"),
            (R::CorrectionRefused, "0 PendingIdMustNotBeZero"),
            (R::CorrectionRefused, "0 ExceedsCredits"),
            (R::CorrectionRefused, "1 ExceedsCredits"),
        ],
    ),
    (Reject::KIND, &[(R::UnknownProposal, ""), (R::NotEntitled, "")]),
    (
        NewOrder::KIND,
        &[
            (R::NotEntitled, ""),
            (R::NoSettlementAccount, ""),
            (R::AccountClosed, ""),
            (R::InsufficientFunds, ""),
            (R::TooManyOrders, ""),
        ],
    ),
    (CancelOrder::KIND, &[(R::UnknownOrder, "")]),
    (ReplaceOrder::KIND, &[(R::AccountClosed, ""), (R::InsufficientFunds, "")]),
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

    pub(crate) fn applied(&mut self, command: &Command, events: &[Event]) {
        for event in events {
            self.events.insert(event.body.kind());
            if let EventBody::ProposalEnded(ended) = &event.body {
                self.proposals.insert(ended.end.code());
            }
            if let EventBody::TransfersEntered(entered) = &event.body {
                self.transfers.extend(entered.transfers.iter().map(|row| row.flags));
            }
        }
        let reply = events.iter().find_map(|event| {
            let EventBody::Replied(reply) = &event.body else { return None };
            Some((reply.refusal, reply.field.to_string()))
        });
        let (refusal, field) = reply.unwrap_or_default();
        let of_row = field.split_once(' ').map(|(_, name)| name);
        let of_row = LedgerRefusal::ALL.iter().find(|refusal| Some(refusal.name()) == of_row);
        self.refusals.extend(of_row.map(|refusal| refusal.code()));
        self.commands.insert((command.kind(), refusal, field));
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
        let seen = |kind: u16, refusal: Option<R>, field: &str| {
            self.commands.contains(&(kind, refusal, field.to_owned()))
        };
        let of_ledger = COMMAND_KINDS.filter(|kind| is_known(&Command::decode(*kind, 1, &[])));
        let commands: BTreeSet<u16> = of_ledger.chain(REFUSALS.iter().map(|(kind, _)| *kind)).collect();
        for kind in commands.into_iter().filter(|kind| !NEVER_DONE.contains(kind) && !seen(*kind, None, "")) {
            missing += &format!("no command {kind} was done\n");
        }
        for end in ProposalEnd::ALL.iter().filter(|end| !self.proposals.contains(&end.code())) {
            missing += &format!("no proposal ended as {}\n", end.name());
        }
        let events = EVENT_KINDS.filter(|kind| is_known(&EventBody::decode(*kind, 1, &[])));
        for kind in events.chain([events::Settled::KIND]).filter(|kind| !self.events.contains(kind)) {
            missing += &format!("no event {kind}\n");
        }
        for (kind, refusals) in REFUSALS {
            for (reason, field) in
                refusals.iter().filter(|(reason, field)| !seen(*kind, Some(*reason), field))
            {
                missing += &format!("no command {kind} was refused with {reason:?} {field}\n");
            }
        }
        missing
    }
}

/// Whether there is such a message: nothing else is wrong with its kind and version.
fn is_known<T>(decoded: &Result<T, WireFault>) -> bool {
    !matches!(decoded, Err(WireFault::Unknown { .. }))
}

fn created<'a>(flags: &'a [u16], outcomes: &'a [Outcome]) -> impl Iterator<Item = u16> + 'a {
    let pairs = flags.iter().zip(outcomes);
    pairs.filter(|(_, outcome)| matches!(outcome, Outcome::Created { .. })).map(|(flags, _)| *flags)
}

/// Every combination of flags with which a transfer can be created.
fn transfer_combinations() -> Vec<u16> {
    use transfer_flags::{
        ALL, BALANCING_CREDIT, BALANCING_DEBIT, CLOSING_CREDIT, CLOSING_DEBIT, CORRECTION, PENDING,
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
    let batches = ALL & !CORRECTION;
    let of_batches = (0..=batches).filter(|flags| flags & !batches == 0).filter(is_legal);
    of_batches.chain([CORRECTION]).collect()
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

//! A row that is wrong in two ways is refused for the reason that is declared first: every fault alone, and every two of them.

use protocol::commands::{CreateAccounts, CreateTransfers};
use protocol::rows::{AccountRow, TransferRow, account_flags, transfer_flags};
use protocol::{AccountClass, AccountId, Amount, AssetId, ClientId, EventBody, LedgerRefusal, TransferId};

use LedgerRefusal::*;
use transfer_flags::{
    BALANCING_CREDIT, CLOSING_CREDIT, CLOSING_DEBIT, CORRECTION, LINKED, PENDING, POST_PENDING_TRANSFER,
    VOID_PENDING_TRANSFER, WHOLE_CHAIN,
};

use super::differential::{prepared, session_of};
use super::flow::{LEDGERS, OWNERS, Sender};
use crate::world::{START, World};

/// Accounts of the first ledger, by what each is for; those of clients are free of limits.
const EXTERNAL: u128 = 1;
const PAYER: u128 = 2;
const PAYEE: u128 = 3;
const OF_ANOTHER: u128 = 4;
const CLOSED: u128 = 5;
const WITHOUT_MONEY: u128 = 6;
const OF_DEBITS: u128 = 7;
/// Of the second ledger.
const ABROAD: u128 = 8;
const OF_ANOTHER_CLOSED: u128 = 9;
const MISSING: u128 = 999;

/// Transfers that are there, by the number in their ids.
const PENDING_NOW: u128 = 1;
const POSTED: u128 = 2;
const VOIDED: u128 = 3;
const PLAIN: u128 = 4;
const OF_OTHERS: u128 = 5;
const OF_CASHIER: u128 = 6;
const NEW: u128 = 100;

fn id(number: u128) -> TransferId {
    TransferId::at_ms(START / 1_000_000, number)
}

fn account(id: u128, class: AccountClass, owner: u64, flags: u16) -> AccountRow {
    AccountRow {
        id: AccountId(id),
        owner: ClientId(owner),
        ledger: AssetId(LEDGERS[0]),
        code: 1,
        class: class.code().into(),
        flags,
        ..AccountRow::default()
    }
}

fn transfer(number: u128, debit: u128, credit: u128, amount: u128) -> TransferRow {
    TransferRow {
        id: id(number),
        debit_account: AccountId(debit),
        credit_account: AccountId(credit),
        amount: Amount(amount),
        ledger: AssetId(LEDGERS[0]),
        code: 1,
        ..TransferRow::default()
    }
}

fn settle(number: u128, pending: u128, flag: u16) -> TransferRow {
    let amount = Amount(if flag == POST_PENDING_TRANSFER { u128::MAX } else { 0 });
    TransferRow { id: id(number), pending_id: id(pending), amount, flags: flag, ..TransferRow::default() }
}

fn world() -> World {
    let mut world = prepared(START);
    let client = AccountClass::Client;
    let accounts = vec![
        account(EXTERNAL, AccountClass::External, 0, 0),
        account(PAYER, client, OWNERS[0], 0),
        account(PAYEE, client, OWNERS[1], 0),
        account(OF_ANOTHER, client, OWNERS[2], 0),
        account(CLOSED, client, OWNERS[0], account_flags::CLOSED),
        account(WITHOUT_MONEY, client, OWNERS[0], account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS),
        account(OF_DEBITS, client, OWNERS[0], account_flags::CREDITS_MUST_NOT_EXCEED_DEBITS),
        AccountRow { ledger: AssetId(LEDGERS[1]), ..account(ABROAD, client, OWNERS[0], 0) },
        account(OF_ANOTHER_CLOSED, client, OWNERS[2], account_flags::CLOSED),
    ];
    world.next(session_of(Sender::Cashier), CreateAccounts { accounts });
    let pending = |number| TransferRow { flags: PENDING, ..transfer(number, PAYER, PAYEE, 5) };
    let transfers = [
        pending(PENDING_NOW),
        pending(POSTED),
        settle(POSTED + 10, POSTED, POST_PENDING_TRANSFER),
        pending(VOIDED),
        settle(VOIDED + 10, VOIDED, VOID_PENDING_TRANSFER),
        transfer(PLAIN, PAYER, PAYEE, 5),
        TransferRow { flags: PENDING, ..transfer(OF_OTHERS, OF_ANOTHER, PAYEE, 5) },
        pending(OF_CASHIER),
    ];
    let events =
        world.next(session_of(Sender::Payer), CreateTransfers { transfers: transfers[..6].to_vec() });
    assert_eq!(first_refusal(&events, 0), None);
    let events =
        world.next(session_of(Sender::Cashier), CreateTransfers { transfers: transfers[6..].to_vec() });
    assert_eq!(first_refusal(&events, 0), None);
    world
}

fn first_refusal(events: &[protocol::event::Event], from: u32) -> Option<LedgerRefusal> {
    let [event] = events else { panic!("{events:?}") };
    let exceptions = if let EventBody::TransfersCreated(made) = &event.body {
        &made.exceptions
    } else if let EventBody::AccountsCreated(made) = &event.body {
        &made.exceptions
    } else {
        panic!("{event:?}")
    };
    exceptions.iter().find(|row| row.index >= from).map(|row| row.refusal)
}

/// Who sends a row, and whether it stands in a chain whose first row has failed.
#[derive(Clone, Debug)]
struct Attempt {
    sender: Sender,
    chain_failed: bool,
    row: TransferRow,
}

type Fault<A> = (LedgerRefusal, fn(&mut A));

fn refusal_of(world: &World, attempt: &Attempt) -> Option<LedgerRefusal> {
    let mut world = World { engine: world.engine.clone(), time: world.time, checks: true };
    let bad = TransferRow { flags: LINKED, ..transfer(NEW + 50, PAYER, PAYER, 1) };
    let mut transfers = vec![attempt.row];
    let from = u32::from(attempt.chain_failed);
    if attempt.chain_failed {
        transfers.insert(0, bad);
    }
    let events = world.next(session_of(attempt.sender), CreateTransfers { transfers });
    first_refusal(&events, from)
}

/// `faults` stand in the order of the checks, which is that of their declaration.
fn check<A: Clone + std::fmt::Debug>(
    good: &A,
    faults: &[Fault<A>],
    refusal_of: impl Fn(&A) -> Option<LedgerRefusal>,
) {
    assert!(faults.is_sorted_by_key(|(refusal, _)| *refusal), "not in the order of declaration");
    assert_eq!(refusal_of(good), None, "{good:?}");
    for (at, (refusal, first)) in faults.iter().enumerate() {
        for (later, second) in &faults[at..] {
            let mut attempt = good.clone();
            second(&mut attempt);
            // The first last: where both set the same field, the row is only wrong in this way.
            first(&mut attempt);
            assert_eq!(refusal_of(&attempt), Some(*refusal), "with {later:?}: {attempt:?}");
        }
    }
}

const OF_EVERY_ROW: &[Fault<Attempt>] = &[
    (LinkedEventChainOpen, |attempt| attempt.row.flags |= LINKED),
    (LinkedEventFailed, |attempt| attempt.chain_failed = true),
    (ReservedField, |attempt| attempt.row.reserved = 1),
    (ReservedFlag, |attempt| attempt.row.flags |= 1 << 15),
    (IdMustNotBeZero, |attempt| attempt.row.id.0 = 0),
    (IdMustNotBeIntMax, |attempt| attempt.row.id.0 = u128::MAX),
    (IdTooOld, |attempt| attempt.row.id = TransferId::at_ms(1, 1)),
    (IdTooFarAhead, |attempt| attempt.row.id = TransferId::at_ms(START / 1_000_000 + 10_000_000, 1)),
    (CorrectionNeedsApproval, |attempt| attempt.row.flags |= CORRECTION),
    (IdNotEntitled, |attempt| attempt.row.id = id(OF_OTHERS)),
];

const OF_A_MOVE: &[Fault<Attempt>] = &[
    (FlagsAreMutuallyExclusive, |attempt| attempt.row.flags |= WHOLE_CHAIN),
    (ValueDateOutOfRange, |attempt| attempt.row.value_date = 9),
    (ReasonReservedForCorrection, |attempt| attempt.row.reason = 9),
    (DebitAccountIdMustNotBeZero, |attempt| attempt.row.debit_account.0 = 0),
    (DebitAccountIdMustNotBeIntMax, |attempt| attempt.row.debit_account.0 = u128::MAX),
    (CreditAccountIdMustNotBeZero, |attempt| attempt.row.credit_account.0 = 0),
    (CreditAccountIdMustNotBeIntMax, |attempt| attempt.row.credit_account.0 = u128::MAX),
    (AccountsMustBeDifferent, |attempt| attempt.row.credit_account = attempt.row.debit_account),
    (PendingIdMustBeZero, |attempt| attempt.row.pending_id.0 = 9),
    (TimeoutReservedForPendingTransfer, |attempt| attempt.row.timeout_s = 9),
    (ClosingTransferMustBePending, |attempt| attempt.row.flags |= CLOSING_DEBIT | CLOSING_CREDIT),
    (LedgerMustNotBeZero, |attempt| attempt.row.ledger.0 = 0),
    (CodeMustNotBeZero, |attempt| attempt.row.code = 0),
    (DebitAccountNotFound, |attempt| attempt.row.debit_account.0 = MISSING),
    (CreditAccountNotFound, |attempt| attempt.row.credit_account.0 = MISSING + 1),
    (AccountsMustHaveTheSameLedger, |attempt| attempt.row.credit_account.0 = ABROAD),
    (TransferMustHaveTheSameLedgerAsAccounts, |attempt| attempt.row.ledger.0 = LEDGERS[1]),
    (DebitAccountNotEntitled, |attempt| attempt.row.debit_account.0 = OF_ANOTHER),
    (FlagsNotEntitled, |attempt| attempt.row.flags |= BALANCING_CREDIT),
    (DebitAccountAlreadyClosed, |attempt| attempt.row.debit_account.0 = CLOSED),
    (CreditAccountAlreadyClosed, |attempt| attempt.row.credit_account.0 = OF_ANOTHER_CLOSED),
    (ExceedsCredits, |attempt| attempt.row.debit_account.0 = WITHOUT_MONEY),
    (ExceedsDebits, |attempt| attempt.row.credit_account.0 = OF_DEBITS),
];

const OF_A_POST: &[Fault<Attempt>] = &[
    (FlagsAreMutuallyExclusive, |attempt| attempt.row.flags |= PENDING),
    (ValueDateOutOfRange, |attempt| attempt.row.value_date = 9),
    (ReasonReservedForCorrection, |attempt| attempt.row.reason = 9),
    (PendingIdMustNotBeZero, |attempt| attempt.row.pending_id.0 = 0),
    (PendingIdMustNotBeIntMax, |attempt| attempt.row.pending_id.0 = u128::MAX),
    (PendingIdMustBeDifferent, |attempt| attempt.row.pending_id = attempt.row.id),
    (TimeoutReservedForPendingTransfer, |attempt| attempt.row.timeout_s = 9),
    (WholeChainMustBeInFull, |attempt| {
        (attempt.row.amount.0, attempt.row.flags) = (9, attempt.row.flags | WHOLE_CHAIN);
    }),
    (PendingTransferNotFound, |attempt| attempt.row.pending_id = id(MISSING)),
    // What is not the session's is as what is not there.
    (PendingTransferNotFound, |attempt| attempt.row.pending_id = id(OF_OTHERS)),
    (PendingTransferNotPending, |attempt| attempt.row.pending_id = id(PLAIN)),
    (PendingTransferHasDifferentDebitAccountId, |attempt| attempt.row.debit_account.0 = EXTERNAL),
    (PendingTransferHasDifferentCreditAccountId, |attempt| attempt.row.credit_account.0 = EXTERNAL),
    (PendingTransferHasDifferentLedger, |attempt| attempt.row.ledger.0 = LEDGERS[1]),
    (PendingTransferHasDifferentCode, |attempt| attempt.row.code = 9),
    (ExceedsPendingTransferAmount, |attempt| attempt.row.amount.0 = 6),
    (PendingTransferAlreadyPosted, |attempt| attempt.row.pending_id = id(POSTED)),
    (PendingTransferAlreadyVoided, |attempt| attempt.row.pending_id = id(VOIDED)),
    (PendingTransferNotEntitled, |attempt| attempt.row.pending_id = id(OF_CASHIER)),
];

#[test]
fn transfers_that_move() {
    let world = world();
    let row = transfer(NEW, PAYER, PAYEE, 5);
    let good = Attempt { sender: Sender::Payer, chain_failed: false, row };
    check(&good, &[OF_EVERY_ROW, OF_A_MOVE].concat(), |attempt| refusal_of(&world, attempt));
}

#[test]
fn transfers_that_settle() {
    let world = world();
    let row = settle(NEW, PENDING_NOW, POST_PENDING_TRANSFER);
    let good = Attempt { sender: Sender::Payer, chain_failed: false, row };
    check(&good, &[OF_EVERY_ROW, OF_A_POST].concat(), |attempt| refusal_of(&world, attempt));
}

#[test]
fn transfers_that_exist() {
    let world = world();
    let faults: &[Fault<Attempt>] = &[
        (ExistsWithDifferentFlags, |attempt| attempt.row.flags |= PENDING),
        (ExistsWithDifferentPendingId, |attempt| attempt.row.pending_id.0 = 9),
        (ExistsWithDifferentTimeout, |attempt| attempt.row.timeout_s = 9),
        (ExistsWithDifferentDebitAccountId, |attempt| attempt.row.debit_account.0 = 0),
        (ExistsWithDifferentCreditAccountId, |attempt| attempt.row.credit_account.0 = 0),
        (ExistsWithDifferentAmount, |attempt| attempt.row.amount.0 = 9),
        (ExistsWithDifferentUserData128, |attempt| attempt.row.user_data_128 = 9),
        (ExistsWithDifferentUserData64, |attempt| attempt.row.user_data_64 = 9),
        (ExistsWithDifferentUserData32, |attempt| attempt.row.user_data_32 = 9),
        (ExistsWithDifferentLedger, |attempt| attempt.row.ledger.0 = 0),
        (ExistsWithDifferentCode, |attempt| attempt.row.code = 0),
        (ExistsWithDifferentValueDate, |attempt| attempt.row.value_date = 9),
        // Only of the same row.
        (Exists, |attempt| attempt.row.id = id(PLAIN)),
    ];
    let exists = |attempt: &Attempt| {
        let is_same = attempt.row == transfer(NEW, PAYER, PAYEE, 5);
        let row = if is_same { attempt.row } else { TransferRow { id: id(PLAIN), ..attempt.row } };
        refusal_of(&world, &Attempt { row, ..attempt.clone() })
    };
    let row = transfer(NEW, PAYER, PAYEE, 5);
    check(&Attempt { sender: Sender::Payer, chain_failed: false, row }, faults, exists);
}

#[test]
fn accounts() {
    use account_flags::{CREDITS_MUST_NOT_EXCEED_DEBITS, DEBITS_MUST_NOT_EXCEED_CREDITS};
    const BOTH: u16 = CREDITS_MUST_NOT_EXCEED_DEBITS | DEBITS_MUST_NOT_EXCEED_CREDITS;
    let faults: &[Fault<AccountRow>] = &[
        (LinkedEventChainOpen, |row| row.flags |= account_flags::LINKED),
        (ReservedField, |row| row.reserved = 1),
        (ReservedFlag, |row| row.flags |= 1 << 15),
        (IdMustNotBeZero, |row| row.id.0 = 0),
        (IdMustNotBeIntMax, |row| row.id.0 = u128::MAX),
        (ExistsWithDifferentCode, |row| {
            *row = AccountRow { code: 9, ..account(EXTERNAL, AccountClass::External, 0, 0) };
        }),
        (FlagsAreMutuallyExclusive, |row| row.flags |= BOTH),
        (ClassNotFound, |row| row.class = 99),
        (OwnerMustMatchClass, |row| row.owner.0 = 0),
        (LedgerMustNotBeZero, |row| row.ledger.0 = 0),
        (CodeMustNotBeZero, |row| row.code = 0),
        (LedgerNotFound, |row| row.ledger.0 = 99),
    ];
    let world = world();
    let refusal_of = |row: &AccountRow| {
        let mut world = World { engine: world.engine.clone(), time: world.time, checks: true };
        let events = world.next(session_of(Sender::Cashier), CreateAccounts { accounts: vec![*row] });
        first_refusal(&events, 0)
    };
    check(&account(50, AccountClass::Client, OWNERS[0], 0), faults, refusal_of);
}

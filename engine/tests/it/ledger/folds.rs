//! The fold in an answer tells apart whatever balances two machines might have computed.

use std::collections::BTreeSet;

use protocol::commands::{CreateAccounts, CreateTransfers};
use protocol::rows::{TransferRow, transfer_flags::PENDING};
use protocol::{AccountId, Amount, EventBody};

use super::differential::{plain, prepared, two_accounts};
use crate::world::{START, World};

/// The fold behind a payment of 1 from the first account to the second, behind these payments: from, to, amount and flags.
fn fold(before: &[(u128, u128, u128, u16)]) -> u64 {
    let mut world = prepared(START);
    let mut accounts = two_accounts();
    accounts.push(protocol::rows::AccountRow { id: AccountId(3), ..accounts[0] });
    world.set_up(CreateAccounts { accounts });
    let ms = u128::from(START / 1_000_000) << 80;
    for (&(debit, credit, amount, flags), low) in before.iter().zip(2..) {
        let (debit_account, credit_account) = (AccountId(debit), AccountId(credit));
        let amount = Amount(amount);
        answer(&mut world, TransferRow { debit_account, credit_account, amount, flags, ..plain(ms | low) });
    }
    answer(&mut world, plain(ms | 1))
}

fn answer(world: &mut World, row: TransferRow) -> u64 {
    let events = world.operator(CreateTransfers { transfers: vec![row] });
    let EventBody::TransfersCreated(made) = &events[0].body else { panic!("{events:?}") };
    assert_eq!(made.created, 1);
    made.balances
}

#[test]
fn another_balance_makes_another_fold() {
    let mut folds = BTreeSet::from([fold(&[])]);
    for (debit, credit) in [(1, 3), (3, 2)] {
        folds.insert(fold(&[(debit, credit, 1, 0)]));
        folds.insert(fold(&[(debit, credit, 1, PENDING)]));
    }
    assert_eq!(folds.len(), 5);
    assert_eq!(fold(&[(1, 3, 1, 0)]), fold(&[(1, 3, 1, 0)]));
}

/// Pending balances are folded turned by 64 bits, over those that are posted.
#[test]
fn large_balances_do_not_hide_small_pending_ones() {
    const LARGE: u128 = 1 << 64;
    for (debit, credit) in [(1, 3), (3, 2)] {
        let large = (debit, credit, LARGE, 0);
        assert_ne!(fold(&[large]), fold(&[large, (debit, credit, 1, PENDING)]));
    }
}

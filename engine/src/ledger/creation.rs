//! Batches of accounts: linked chains, and one row after the other through its checks.

use protocol::limits::ACCOUNTS_MAX;
use protocol::rows::AccountRow;
use protocol::rows::account_flags::{
    ALL, CREDITS_MUST_NOT_EXCEED_DEBITS, DEBITS_MUST_NOT_EXCEED_CREDITS, LINKED, SETTLEMENT,
};
use protocol::{AccountClass, LedgerRefusal, Seq};

use super::accounts::{Account, Particulars};
use super::batch::{Before, Results, RowStop, ensure, exists_at};
use super::chain::{Chain, Step, executed_as_one};
use super::{Broken, Ledger, Registry};
use crate::rows::widen;

impl Ledger {
    /// Creates what can be created of a batch.
    pub(crate) fn create_accounts(
        &mut self,
        rows: &[AccountRow],
        seq: Seq,
        registry: &Registry,
    ) -> Result<Results, Broken> {
        let mut results = Results { seq, ..Results::default() };
        let mut chain = Chain::default();
        let (mut left, mut again) = (rows.len(), 0_usize);
        for (index, row) in (0_u32..).zip(rows) {
            left = left.saturating_sub(1);
            if row.flags & LINKED != 0 && again == 0 && !chain.is_open() {
                again = self.created_chain(rows.get(widen(index)..).unwrap_or_default());
            }
            // Of a chain that was created before, each row is answered for itself.
            let is_linked = row.flags & LINKED != 0 && again == 0;
            again = again.saturating_sub(1);
            let may = chain.enter(is_linked, left == 0, index, &results).map_err(RowStop::from);
            match may.and_then(|()| self.check_account(row, registry)) {
                Ok(class) => {
                    self.add_account(row, class, seq);
                    chain.log(Step::Created);
                    results.created = results.created.saturating_add(1);
                }
                Err(RowStop::Refused(refusal, before)) => {
                    self.refuse_row(&mut chain, index, (refusal, before), &mut results)?;
                }
                Err(RowStop::Broken(what)) => return Err(what),
            }
            if !is_linked {
                self.end_chain(&mut chain);
            }
        }
        Ok(results)
    }

    /// How many of these rows are a chain that was created before.
    fn created_chain(&self, rows: &[AccountRow]) -> usize {
        let exists = |row: &AccountRow| (row.flags & LINKED != 0, exists_at(&self.check_account_id(row)));
        executed_as_one(rows.iter().map(exists))
    }

    /// The row can be created, as far as its flags and id say.
    fn check_account_id(&self, a: &AccountRow) -> Result<(), RowStop> {
        ensure(a.reserved == 0, LedgerRefusal::ReservedField)?;
        ensure(a.flags & !ALL == 0, LedgerRefusal::ReservedFlag)?;
        ensure(a.id.0 != 0, LedgerRefusal::IdMustNotBeZero)?;
        ensure(a.id.0 != u128::MAX, LedgerRefusal::IdMustNotBeIntMax)?;
        let Some(row) = self.row(a.id) else { return Ok(()) };
        let particulars = self.accounts.particulars(row);
        if particulars.sent == self.accounts.sent(a) {
            return Err(exists(particulars));
        }
        Err(created_before(self.accounts.at(row), particulars, a))
    }

    fn check_account(&self, a: &AccountRow, registry: &Registry) -> Result<AccountClass, RowStop> {
        self.check_account_id(a)?;
        let class = u8::try_from(a.class).ok().and_then(AccountClass::from_code);
        let settles = a.flags & SETTLEMENT != 0;
        let bounds = DEBITS_MUST_NOT_EXCEED_CREDITS | CREDITS_MUST_NOT_EXCEED_DEBITS;
        // What is held for orders has to be there.
        let excludes =
            a.flags & bounds == bounds || (settles && a.flags & bounds != DEBITS_MUST_NOT_EXCEED_CREDITS);
        ensure(!excludes, LedgerRefusal::FlagsAreMutuallyExclusive)?;
        let class = class.ok_or(LedgerRefusal::ClassNotFound)?;
        let of_client = matches!(class, AccountClass::Client);
        ensure(of_client == (a.owner.0 != 0), LedgerRefusal::OwnerMustMatchClass)?;
        ensure(a.ledger.0 != 0, LedgerRefusal::LedgerMustNotBeZero)?;
        ensure(a.code != 0, LedgerRefusal::CodeMustNotBeZero)?;
        ensure(registry.asset(a.ledger).is_some(), LedgerRefusal::LedgerNotFound)?;
        self.chart.judge(a.ledger, a.code, class, a.flags)?;
        let may_settle = of_client || matches!(class, AccountClass::House);
        let is_free = may_settle && self.settlement(a.owner, a.ledger).is_none();
        ensure(!settles || is_free, LedgerRefusal::SettlementAccountExists)?;
        ensure(self.accounts.len() < ACCOUNTS_MAX, LedgerRefusal::TooManyAccounts)?;
        Ok(class)
    }

    fn add_account(&mut self, a: &AccountRow, class: AccountClass, seq: Seq) {
        let account = Account {
            code: a.code,
            flags: a.flags & !LINKED,
            class,
            ..Account::new(a.id, a.owner, a.ledger)
        };
        let particulars = Particulars {
            user_data_128: a.user_data_128,
            user_data_64: a.user_data_64,
            created: seq,
            sent: self.accounts.sent(a),
            user_data_32: a.user_data_32,
            sent_flags: a.flags,
        };
        self.accounts.add(account, particulars);
    }
}

/// The row was created before.
const fn exists(e: &Particulars) -> RowStop {
    RowStop::Refused(LedgerRefusal::Exists, Some(Before { seq: e.created, amount: None }))
}

/// The id is taken: by an account that is now as the row says, or by another one.
fn created_before(e: &Account, of: &Particulars, a: &AccountRow) -> RowStop {
    let differs = [
        (a.flags != of.sent_flags, LedgerRefusal::ExistsWithDifferentFlags),
        (a.owner != e.owner, LedgerRefusal::ExistsWithDifferentOwner),
        (a.class != u16::from(e.class.code()), LedgerRefusal::ExistsWithDifferentClass),
        (a.user_data_128 != of.user_data_128, LedgerRefusal::ExistsWithDifferentUserData128),
        (a.user_data_64 != of.user_data_64, LedgerRefusal::ExistsWithDifferentUserData64),
        (a.user_data_32 != of.user_data_32, LedgerRefusal::ExistsWithDifferentUserData32),
        (a.ledger != e.ledger, LedgerRefusal::ExistsWithDifferentLedger),
        (a.code != e.code, LedgerRefusal::ExistsWithDifferentCode),
    ];
    match differs.into_iter().find(|(differs, _)| *differs) {
        Some((_, refusal)) => refusal.into(),
        None => exists(of),
    }
}

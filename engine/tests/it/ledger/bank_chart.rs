//! The chart of accounts in the model: a list of what was said, looked through anew for each account.

use std::collections::BTreeMap;

use protocol::commands::SetAccountCode;
use protocol::rows::{AccountRow, account_flags};
use protocol::{AccountKind, LedgerRefusal, NormalSide, RejectReason, events};

use super::bank::{Answer, out_of_range, refused, refused_of};
use super::model::{Account, Model};
use LedgerRefusal as R;

/// By code and ledger.
pub(crate) type Chart = BTreeMap<(u16, u32), SetAccountCode>;

fn has(entry: &SetAccountCode, class: u16) -> bool {
    (1..=6).contains(&class) && entry.classes >> (class - 1) & 1 == 1
}

/// With it the account never stands on the normal side.
fn is_limited_against(entry: &SetAccountCode, row: &AccountRow) -> bool {
    let flag = match entry.normal_side {
        Some(NormalSide::Debit) => account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS,
        Some(NormalSide::Credit) => account_flags::CREDITS_MUST_NOT_EXCEED_DEBITS,
        None => 0,
    };
    row.flags & flag != 0
}

/// Classes and side that a kind leaves open: of the kinds that the flow draws.
fn kind_allows(kind: AccountKind) -> (&'static [u16], Option<NormalSide>) {
    match kind {
        AccountKind::Checking => (&[1, 2], Some(NormalSide::Credit)),
        AccountKind::Loan => (&[1], Some(NormalSide::Debit)),
        AccountKind::Crypto => (&[1, 2], None),
        AccountKind::Nostro => (&[2, 4, 5], Some(NormalSide::Debit)),
        AccountKind::TaxIncome => (&[3, 6], Some(NormalSide::Credit)),
        AccountKind::Liquidity => (&[2, 5], None),
        AccountKind::Savings
        | AccountKind::TermDeposit
        | AccountKind::Merchant
        | AccountKind::Card
        | AccountKind::Omnibus
        | AccountKind::Suspense
        | AccountKind::FeeIncome
        | AccountKind::Clearing
        | AccountKind::OwnFunds
        | AccountKind::InterestIncome
        | AccountKind::InterestExpense => panic!("{kind:?} is not drawn"),
    }
}

fn wrong_field(set: &SetAccountCode) -> Option<&'static str> {
    if set.code == 0 {
        return Some("code");
    }
    let Some(kind) = set.kind else {
        let fields = [
            (set.normal_side.is_some(), "normal_side"),
            (set.classes != 0, "classes"),
            (!set.name.is_empty(), "name"),
        ];
        return fields.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, field)| field);
    };
    let (classes, side) = kind_allows(kind);
    if set.normal_side.is_none() || (side.is_some() && side != set.normal_side) {
        return Some("normal_side");
    }
    let allowed: u8 = classes.iter().map(|class| 1_u8 << (class - 1)).sum();
    (set.classes == 0 || set.classes & !allowed != 0).then_some("classes")
}

impl Model {
    /// Why no account may have this code.
    pub(super) fn refuse_code(&self, row: &AccountRow) -> Option<LedgerRefusal> {
        let chart = &self.bank.chart;
        if chart.is_empty() {
            return None;
        }
        let Some(entry) = [0, row.ledger.0].iter().find_map(|ledger| chart.get(&(row.code, *ledger))) else {
            return Some(R::CodeNotFound);
        };
        if !has(entry, row.class) {
            return Some(R::CodeExcludesClass);
        }
        is_limited_against(entry, row).then_some(R::LimitAgainstNormalSide)
    }

    pub(crate) fn set_account_code(&mut self, set: &SetAccountCode) -> Answer {
        if let Some(field) = wrong_field(set) {
            return out_of_range(field);
        }
        if set.ledger.0 != 0 && !self.assets.contains(&set.ledger.0) {
            return refused(RejectReason::UnknownAsset);
        }
        let key = (set.code, set.ledger.0);
        let before = self.bank.chart.get(&key).cloned();
        if before.as_ref() == Some(set) || (before.is_none() && set.kind.is_none()) {
            return refused(RejectReason::Exists);
        }
        let mut of_code = self.bank.chart.keys().filter(|(code, _)| *code == set.code);
        if of_code.any(|(_, ledger)| (*ledger == 0) != (set.ledger.0 == 0)) {
            return refused_of(RejectReason::ExistsWithDifferent, "ledger");
        }
        if let Some(field) = self.contradicted(set, before.as_ref()) {
            return refused_of(RejectReason::AccountCodeInUse, field);
        }
        if set.kind.is_some() {
            self.bank.chart.insert(key, set.clone());
        } else {
            self.bank.chart.remove(&key);
        }
        Ok(vec![events::AccountCodeSet { entry: set.clone() }.into()])
    }

    /// Slice by slice, as accounts are summed: the first field that does not fit one of them.
    fn contradicted(&self, set: &SetAccountCode, before: Option<&SetAccountCode>) -> Option<&'static str> {
        let mut slices: BTreeMap<(u32, u16), Vec<&Account>> = BTreeMap::new();
        for account in self.accounts.values() {
            let row = &account.row;
            if row.code == set.code && (set.ledger.0 == 0 || row.ledger == set.ledger) {
                slices.entry((row.ledger.0, row.class)).or_default().push(account);
            }
        }
        slices.iter().find_map(|((_, class), accounts)| {
            let against = accounts.iter().any(|account| is_limited_against(set, &account.row));
            if before.is_some_and(|before| before.kind != set.kind) {
                Some("kind")
            } else if against || before.is_some_and(|before| before.normal_side != set.normal_side) {
                Some("normal_side")
            } else {
                (!has(set, *class)).then_some("classes")
            }
        })
    }
}

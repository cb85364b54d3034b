//! Overdrafts: how far the debits of an account may exceed its credits, for ever and for a time.
//!
//! Kept beside the accounts, which only know whether they are here: a transfer asks when it is not covered otherwise. Orders hold
//! what an account has, never what it may owe. Nothing is ever reversed because a line was lowered or has ended.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::SetOverdraft;
use protocol::limits::OVERDRAFTS_MAX;
use protocol::{AccountId, Amount, RejectReason, UnixNanos, events};

use super::Ledger;
use super::accounts::Account;
use crate::broken::{Broken, Stop, ensure, ensure_field, refuse_field};
use crate::effects::Effects;

/// The lines of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overdraft {
    /// As the command that sets them says it now.
    pub(crate) lines: SetOverdraft,
    /// The most that they ever came to: nobody stands further below zero.
    pub(crate) most: u128,
}

/// Accounts that have lines, and those that stood below zero when theirs ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overdrafts {
    by_account: BTreeMap<AccountId, Overdraft>,
    /// Temporary lines end in this order.
    deadlines: BTreeSet<(UnixNanos, AccountId)>,
}

/// No lines at all.
pub(crate) const fn none(account: AccountId) -> SetOverdraft {
    SetOverdraft {
        account,
        agreed: Amount::ZERO,
        temporary: Amount::ZERO,
        temporary_until_ns: 0,
        interest_code: 0,
    }
}

impl Overdrafts {
    /// What is set of an account's lines.
    pub(crate) fn get(&self, account: AccountId) -> SetOverdraft {
        self.by_account.get(&account).map_or(none(account), |overdraft| overdraft.lines.clone())
    }

    /// How far an account may stand below zero at this time.
    pub(crate) fn line(&self, account: AccountId, time: UnixNanos) -> u128 {
        let Some(Overdraft { lines, .. }) = self.by_account.get(&account) else { return 0 };
        // Its timer may still wait for its turn.
        let temporary = if time.0 < lines.temporary_until_ns { lines.temporary.0 } else { 0 };
        lines.agreed.0.saturating_add(temporary)
    }

    /// Sets an account's lines.
    pub(crate) fn insert(&mut self, overdraft: Overdraft) {
        let account = overdraft.lines.account;
        self.remove(account);
        if overdraft.lines.temporary_until_ns > 0 {
            self.deadlines.insert((UnixNanos(overdraft.lines.temporary_until_ns), account));
        }
        self.by_account.insert(account, overdraft);
    }

    fn remove(&mut self, account: AccountId) {
        if let Some(before) = self.by_account.remove(&account) {
            self.deadlines.remove(&(UnixNanos(before.lines.temporary_until_ns), account));
        }
    }

    /// The next temporary line to end.
    pub(crate) fn next_deadline(&self) -> Option<(UnixNanos, AccountId)> {
        self.deadlines.first().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_account.len()
    }

    /// All of them, by account.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Overdraft> {
        self.by_account.values()
    }
}

impl Ledger {
    /// Sets an account's lines. What exceeds lower ones stays, and no new debit is covered until credits have come.
    pub(crate) fn set_overdraft(
        &mut self,
        command: &SetOverdraft,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &SetOverdraft { account, agreed, temporary, temporary_until_ns, interest_code } = command;
        let row = self.row(account).ok_or(RejectReason::UnknownAccount)?;
        let found = self.accounts.at(row);
        // Lines that ended while they were used are kept until they are covered again, and somebody says that there are none.
        let is_forgotten = found.has_overdraft && *command == none(account) && found.available().is_some();
        let is_same = self.overdrafts.get(account) == *command;
        ensure(!is_same || is_forgotten, RejectReason::Exists)?;
        ensure_field(!found.may_stand_below_zero(), "account")?;
        let most = agreed.0.checked_add(temporary.0);
        let most = most.ok_or(refuse_field(RejectReason::FieldOutOfRange, "temporary"))?;
        let ends =
            if temporary.0 > 0 { temporary_until_ns > effects.time.0 } else { temporary_until_ns == 0 };
        ensure_field(ends, "temporary_until_ns")?;
        ensure_field(most > 0 || interest_code == 0, "interest_code")?;
        ensure(found.has_overdraft || self.overdrafts.len() < OVERDRAFTS_MAX, RejectReason::TableFull)?;
        let before = self.overdrafts.by_account.get(&account).map_or(0, |before| before.most);
        self.keep_lines(row, Overdraft { lines: command.clone(), most: most.max(before) });
        effects.push(events::OverdraftSet { overdraft: command.clone() });
        Ok(())
    }

    /// Keeps an account's lines as long as it has any, or stands below zero by those that it had.
    fn keep_lines(&mut self, row: u32, overdraft: Overdraft) {
        let SetOverdraft { account, agreed, temporary, .. } = overdraft.lines;
        let has_lines = agreed.0 > 0 || temporary.0 > 0;
        let is_kept = has_lines || self.accounts.at(row).available().is_none();
        if is_kept {
            self.overdrafts.insert(overdraft);
        } else {
            self.overdrafts.remove(account);
        }
        self.accounts.set_overdraft(row, is_kept);
    }

    /// A temporary line's time is over.
    pub(crate) fn end_line(&mut self, account: AccountId, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let missing = Broken::Index { what: "overdrafts" };
        let row = self.row(account).ok_or(missing)?;
        let Overdraft { mut lines, most } =
            self.overdrafts.by_account.get(&account).cloned().ok_or(missing)?;
        let (temporary, agreed) = (lines.temporary, lines.agreed);
        if agreed == Amount::ZERO {
            // Its interest code ends with the last line.
            lines = none(account);
        } else {
            (lines.temporary, lines.temporary_until_ns) = (Amount::ZERO, 0);
        }
        self.keep_lines(row, Overdraft { lines, most });
        effects.push(events::OverdraftLineEnded { account, temporary, agreed });
        Ok(())
    }

    /// Debits of so much are covered by the account's credits and lines.
    #[cold]
    pub(super) fn covered_by_lines(&self, account: &Account, debits: Option<u128>, time: UnixNanos) -> bool {
        let line = self.overdrafts.line(account.id, time);
        debits.is_some_and(|debits| debits <= account.credits_posted.saturating_add(line))
    }

    /// Whether an account stands no further below zero than its lines ever came to.
    #[cold]
    pub(super) fn is_within_lines(&self, account: &Account) -> bool {
        let most = self.overdrafts.by_account.get(&account.id).map_or(0, |overdraft| overdraft.most);
        account.spent().is_some_and(|spent| spent <= account.credits_posted.saturating_add(most))
    }

    /// Accounts know whether they are here, those who are may be, no one stands below what was ever allowed, and each temporary line
    /// ends.
    pub(super) fn check_overdrafts(&self) -> Result<(), Broken> {
        let broken = Broken::Index { what: "overdrafts" };
        let mut ending = 0_usize;
        for Overdraft { lines, most } in self.overdrafts.iter() {
            let row = self.row(lines.account).ok_or(broken)?;
            let account = self.accounts.at(row);
            let of_lines = lines.agreed.0.checked_add(lines.temporary.0).ok_or(broken)?;
            let deadline = (UnixNanos(lines.temporary_until_ns), lines.account);
            let ends = self.overdrafts.deadlines.contains(&deadline);
            ending = ending.saturating_add(usize::from(ends));
            let is_sound = account.has_overdraft
                && !account.may_stand_below_zero()
                && of_lines <= *most
                && ends == (lines.temporary.0 > 0);
            if !is_sound {
                return Err(broken);
            }
            if !self.is_within_lines(account) {
                return Err(Broken::BelowZero { account: account.id });
            }
        }
        let marked = self.accounts.numbered().filter(|(_, account)| account.has_overdraft).count();
        if marked == self.overdrafts.len() && ending == self.overdrafts.deadlines.len() {
            Ok(())
        } else {
            Err(broken)
        }
    }
}

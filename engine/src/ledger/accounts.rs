//! Accounts: what each is, what went in and out of it, and where it is found.

use core::hint::black_box;

use protocol::commands::UpdateAccount;
use protocol::rows::{AccountRow, account_flags};
use protocol::{AccountClass, AccountId, AssetId, ClientId, Seq};

use super::monitors::{Standing, Watched};
use super::totals::Totals;
use super::transfers::LOOK_AHEAD;
use crate::broken::{Broken, difference, sum};
use crate::id_index::IdIndex;
use crate::index::mix_u128;
use crate::pages::Pages;
use crate::rows::NO_ROW;

/// One of an account's four balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    DebitsPending,
    DebitsPosted,
    CreditsPending,
    CreditsPosted,
}

/// The most that an account through which orders settle, or that takes their fees and taxes, may have of debits or credits. What is above, up
/// to u128, is left to trading: 65,536 times the turnover, so that no posting of a fill can overflow.
pub(crate) const TRADING_TURNOVER_MAX: u128 = 1 << 112;

/// What transfers read and write of one account: two cache lines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) debits_posted: u128,
    pub(crate) credits_posted: u128,
    /// Promised to live orders.
    pub(crate) held: u128,
    pub(crate) debits_pending: u128,
    pub(crate) credits_pending: u128,
    pub(crate) owner: ClientId,
    pub(crate) ledger: AssetId,
    /// Of [`Totals`].
    pub(crate) slice: u32,
    pub(crate) code: u16,
    /// Bits of [`account_flags`], as they are now.
    pub(crate) flags: u16,
    pub(crate) class: AccountClass,
    /// Whether [`super::overdraft`] knows it.
    pub(crate) has_overdraft: bool,
    /// Whether a monitor watches it.
    pub(crate) is_watched: bool,
}

/// What no transfer asks of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Particulars {
    pub(crate) user_data_128: u128,
    pub(crate) user_data_64: u64,
    /// The command that created it.
    pub(crate) created: Seq,
    /// Hash of the row that created it: a retry is told by it, whatever has been changed since.
    pub(crate) sent: u64,
    pub(crate) user_data_32: u32,
    /// Flags as they were sent: a row that is no retry is compared with them.
    pub(crate) sent_flags: u16,
}

// 256 bytes an account are promised: both rows, 13 to 26 of the index, and what a last page leaves empty.
const _: () = assert!(size_of::<Account>() == 128 && size_of::<Particulars>() <= 48);

impl Account {
    /// Without balances and flags.
    pub(crate) const fn new(id: AccountId, owner: ClientId, ledger: AssetId) -> Self {
        Self {
            id,
            debits_posted: 0,
            credits_posted: 0,
            held: 0,
            debits_pending: 0,
            credits_pending: 0,
            owner,
            ledger,
            slice: 0,
            code: 0,
            flags: 0,
            class: AccountClass::House,
            has_overdraft: false,
            is_watched: false,
        }
    }

    pub(crate) const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub(crate) const fn may_stand_below_zero(&self) -> bool {
        !self.has(account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS)
    }

    /// Whether its debits may exceed its credits now, by its flags or by what an overdraft allows or allowed.
    pub(crate) const fn may_be_below_zero(&self) -> bool {
        self.may_stand_below_zero() || self.has_overdraft
    }

    /// Debits posted, pending and held for.
    pub(crate) fn spent(&self) -> Option<u128> {
        self.debits_posted.checked_add(self.debits_pending)?.checked_add(self.held)
    }

    /// What may be spent or held; `None` below zero.
    pub(crate) fn available(&self) -> Option<u128> {
        self.credits_posted.checked_sub(self.spent()?)
    }

    /// The most that its debits, or its credits, may come to.
    pub(crate) const fn turnover_max(&self) -> u128 {
        let takes_fees = matches!(self.class, AccountClass::Fee | AccountClass::Suspense);
        let trades = self.has(account_flags::SETTLEMENT) || takes_fees;
        if trades { TRADING_TURNOVER_MAX } else { u128::MAX }
    }

    pub(crate) const fn balances(&self) -> [(Column, u128); 4] {
        [
            (Column::DebitsPending, self.debits_pending),
            (Column::DebitsPosted, self.debits_posted),
            (Column::CreditsPending, self.credits_pending),
            (Column::CreditsPosted, self.credits_posted),
        ]
    }

    fn column(&mut self, column: Column) -> &mut u128 {
        match column {
            Column::DebitsPending => &mut self.debits_pending,
            Column::DebitsPosted => &mut self.debits_posted,
            Column::CreditsPending => &mut self.credits_pending,
            Column::CreditsPosted => &mut self.credits_posted,
        }
    }
}

/// The most accounts that are looked up at once: both of each row that is looked at ahead.
const LOOKED_UP_MAX: usize = 2 * LOOK_AHEAD;

/// All accounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    rows: Pages<Account, 14>,
    /// By the same numbers.
    particulars: Pages<Particulars, 14>,
    by_id: IdIndex,
    /// By (owner, ledger), the accounts through which orders settle.
    by_owner: IdIndex,
    pub(crate) totals: Totals,
    /// Accounts that are watched and have moved.
    noted: Watched,
    /// Clients choose ids, and do not know this.
    seed: u64,
}

impl Accounts {
    /// Before the first account: how ids are mixed.
    pub(crate) const fn seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    #[inline]
    pub(crate) fn row(&self, id: AccountId) -> Option<u32> {
        self.by_id.get(mix_u128(id.0, self.seed), |row| self.rows.at(row).id == id)
    }

    /// Hash of a row as it was sent.
    pub(crate) fn sent(&self, row: &AccountRow) -> u64 {
        let &AccountRow {
            id,
            user_data_128,
            owner,
            user_data_64,
            user_data_32,
            ledger,
            code,
            flags,
            class,
            ..
        } = row;
        let pair = |one: u64, two: u64| u128::from(one) << 64 | u128::from(two);
        let small = u64::from(code) << 32 | u64::from(flags) << 16 | u64::from(class);
        let fields = [
            user_data_128,
            pair(owner.0, user_data_64),
            pair(u64::from(user_data_32) << 32 | u64::from(ledger.0), small),
        ];
        fields.into_iter().fold(mix_u128(id.0, self.seed), |hash, field| mix_u128(field, hash))
    }

    /// The rows of several accounts at once, [`NO_ROW`] for one that is not there. Memory is waited for twice for all of them, and not
    /// three times for each: it goes over them again and again, and asks in one short loop for everything that the next one reads.
    #[inline]
    pub(crate) fn find_rows(&self, ids: &[AccountId], rows: &mut [u32]) {
        let mut keys = [0_u64; LOOKED_UP_MAX];
        for (id, key) in ids.iter().zip(&mut keys) {
            *key = mix_u128(id.0, self.seed);
        }
        let keys = keys.get(..ids.len()).unwrap_or_default();
        self.by_id.fetch(keys);
        for (key, row) in keys.iter().zip(&mut *rows) {
            *row = self.by_id.guess(*key).unwrap_or(NO_ROW);
        }
        // One field of each of the two cache lines of a row.
        let fetched = rows.iter().take(ids.len()).filter_map(|row| self.rows.get(*row));
        black_box(fetched.fold((0, 0), |(one, two), row| (one ^ row.id.0, two ^ row.owner.0)));
        for (id, row) in ids.iter().zip(rows) {
            if self.rows.get(*row).is_none_or(|account| account.id != *id) {
                *row = self.row(*id).unwrap_or(NO_ROW);
            }
        }
    }

    /// The row that is asked about first where an id is looked for: ids for which it is the same share a search.
    #[cfg(test)]
    pub(super) fn first(&self, id: AccountId) -> u32 {
        self.by_id.first(mix_u128(id.0, self.seed))
    }

    #[inline(always)]
    pub(crate) fn at(&self, row: u32) -> &Account {
        self.rows.at(row)
    }

    #[inline]
    pub(crate) fn particulars(&self, row: u32) -> &Particulars {
        self.particulars.at(row)
    }

    /// As the command that changes an account would say what it is.
    pub(crate) fn as_updated(&self, row: u32) -> UpdateAccount {
        let &Account { id, code, .. } = self.at(row);
        let &Particulars { user_data_128, user_data_64, user_data_32, .. } = self.particulars(row);
        UpdateAccount { account: id, code, user_data_128, user_data_64, user_data_32 }
    }

    /// The account through which an owner's orders settle.
    pub(crate) fn settlement(&self, owner: ClientId, ledger: AssetId) -> Option<u32> {
        self.by_owner.get(self.owner_key(owner, ledger), |row| {
            let account = self.rows.at(row);
            account.owner == owner && account.ledger == ledger && account.has(account_flags::SETTLEMENT)
        })
    }

    /// Adds an account whose id, and owner and ledger if it settles, are not taken. Its balances count in the totals.
    pub(crate) fn add(&mut self, mut account: Account, particulars: Particulars) {
        account.slice = self.totals.join(&account);
        let (id, owner, ledger) = (account.id, account.owner, account.ledger);
        let settles = account.has(account_flags::SETTLEMENT);
        let row = self.rows.push(account);
        self.particulars.push(particulars);
        self.by_id.insert(mix_u128(id.0, self.seed), row, |_| false);
        if settles {
            self.by_owner.insert(self.owner_key(owner, ledger), row, |_| false);
        }
    }

    fn owner_key(&self, owner: ClientId, ledger: AssetId) -> u64 {
        mix_u128(u128::from(owner.0) << 32 | u128::from(ledger.0), self.seed)
    }

    /// Takes the account away that was added last and has not moved anything.
    pub(crate) fn remove_last(&mut self) {
        let Some(row) = self.rows.next_row().checked_sub(1) else { return };
        let account = self.rows.at(row);
        let (id_key, owner_key) =
            (mix_u128(account.id.0, self.seed), self.owner_key(account.owner, account.ledger));
        if account.has(account_flags::SETTLEMENT) {
            self.by_owner.remove(owner_key, |other| other == row);
        }
        self.by_id.remove(id_key, |other| other == row);
        self.totals.leave(account);
        self.rows.pop();
        self.particulars.pop();
    }

    #[inline]
    pub(crate) fn add_to(&mut self, row: u32, column: Column, amount: u128) -> Result<(), Broken> {
        let account = self.rows.at_mut(row);
        if account.is_watched {
            self.noted.note(row, || Standing::of_account(account));
        }
        let balance = account.column(column);
        *balance = sum(*balance, amount, "a balance of an account")?;
        self.totals.add(account.slice, column, amount);
        Ok(())
    }

    #[inline]
    pub(crate) fn take_from(&mut self, row: u32, column: Column, amount: u128) -> Result<(), Broken> {
        let account = self.rows.at_mut(row);
        if account.is_watched {
            self.noted.note(row, || Standing::of_account(account));
        }
        let balance = account.column(column);
        *balance = difference(*balance, amount, "a balance of an account")?;
        self.totals.take(account.slice, column, amount);
        Ok(())
    }

    /// Debits equal credits in the ledger of an account.
    #[inline]
    pub(crate) fn balanced(&self, row: u32) -> Result<(), Broken> {
        self.totals.balanced(self.rows.at(row).slice)
    }

    #[inline]
    pub(crate) fn set_held(&mut self, row: u32, held: u128) {
        let account = self.rows.at_mut(row);
        if account.is_watched {
            self.noted.note(row, || Standing::of_account(account));
        }
        account.held = held;
    }

    pub(super) fn set_watched(&mut self, row: u32, is_watched: bool) {
        self.rows.at_mut(row).is_watched = is_watched;
    }

    /// Whether anything that is watched has moved since it was asked last.
    #[inline]
    pub(super) fn has_noted(&self) -> bool {
        !self.noted.is_empty() || !self.totals.noted.is_empty()
    }

    /// What has: accounts, and slices of the totals.
    pub(super) fn take_noted(&mut self) -> (Watched, Watched) {
        (core::mem::take(&mut self.noted), core::mem::take(&mut self.totals.noted))
    }

    pub(crate) fn set_overdraft(&mut self, row: u32, has_overdraft: bool) {
        self.rows.at_mut(row).has_overdraft = has_overdraft;
    }

    /// Sets what may change of an account. With another code its balances count in another slice of the totals.
    pub(crate) fn update(&mut self, row: u32, update: &UpdateAccount) {
        let particulars = self.particulars.at_mut(row);
        particulars.user_data_128 = update.user_data_128;
        particulars.user_data_64 = update.user_data_64;
        particulars.user_data_32 = update.user_data_32;
        let account = self.rows.at_mut(row);
        if account.code != update.code {
            self.totals.leave(account);
            account.code = update.code;
            account.slice = self.totals.join(account);
        }
    }

    pub(crate) fn set_closed(&mut self, row: u32, closed: bool) {
        let flags = &mut self.rows.at_mut(row).flags;
        *flags = if closed { *flags | account_flags::CLOSED } else { *flags & !account_flags::CLOSED };
    }

    /// All accounts, by id.
    pub(crate) fn sorted(&self) -> Vec<(&Account, &Particulars)> {
        let mut accounts: Vec<_> = self.rows.iter().zip(self.particulars.iter()).collect();
        accounts.sort_unstable_by_key(|(account, _)| account.id);
        accounts
    }

    /// The rows with their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u32, &Account)> {
        (0..self.rows.next_row()).zip(self.rows.iter())
    }

    /// The indexes lead to every row, nobody stands below zero who may not, and the totals are the accounts' sums.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        let mut again = Totals::default();
        for (row, account) in self.numbered() {
            let below_zero = !account.may_be_below_zero() && account.available().is_none();
            if below_zero || (account.may_stand_below_zero() && account.held != 0) {
                return Err(Broken::BelowZero { account: account.id });
            }
            let settles = self.settlement(account.owner, account.ledger) == Some(row);
            if self.row(account.id) != Some(row) || settles != account.has(account_flags::SETTLEMENT) {
                return Err(Broken::Index { what: "accounts" });
            }
            again.join(account);
        }
        self.totals.check(&again)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn accounts_that_are_looked_up_together_are_those_that_are_looked_up_alone() {
        let mut accounts = Accounts::default();
        accounts.seed(7);
        for number in 0..5_000_u32 {
            let id = AccountId(u128::from(number) * 3);
            accounts.add(Account::new(id, ClientId(0), AssetId(1)), Particulars::default());
            if number % 61 != 0 {
                continue;
            }
            // One of three is there, among them the last one, and one twice; as many as there may be, and fewer.
            let last = u128::from(number) * 3;
            let ids: Vec<_> = (0..62).chain([5, 0]).map(|back| AccountId(last.wrapping_sub(back))).collect();
            for ids in [&ids[..], &ids[..7], &[]] {
                let mut rows = [NO_ROW; LOOKED_UP_MAX];
                accounts.find_rows(ids, &mut rows);
                let alone: Vec<_> = ids.iter().map(|id| accounts.row(*id).unwrap_or(NO_ROW)).collect();
                assert_eq!(rows[..ids.len()], alone);
                assert!(rows[ids.len()..].iter().all(|row| *row == NO_ROW));
            }
        }
    }
}

//! Sums over accounts, kept as each balance changes: by ledger, code and class, and by ledger, whose debits equal its credits.

use std::collections::BTreeMap;

use protocol::rows::LedgerTotals;
use protocol::rows::account_flags::{CREDITS_MUST_NOT_EXCEED_DEBITS, DEBITS_MUST_NOT_EXCEED_CREDITS};
use protocol::{AccountClass, Amount, AssetId};

use super::accounts::{Account, Column};
use super::monitors::{Standing, Watched};
use crate::broken::Broken;
use crate::rows::Rows;
use crate::slab::{NONE, Slab};

/// A sum of amounts that has room for every account there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WideSum {
    high: u32,
    low: u128,
}

impl WideSum {
    pub(super) const ZERO: Self = Self { low: 0, high: 0 };

    pub(super) const fn of(amount: u128) -> Self {
        Self { low: amount, high: 0 }
    }

    pub(super) fn plus(mut self, other: Self) -> Self {
        self.add(other.low);
        self.high = self.high.wrapping_add(other.high);
        self
    }

    /// Whether it lies below the other one, and by how much they differ.
    pub(super) fn minus(self, other: Self) -> (bool, Self) {
        let is_below = self < other;
        let (mut more, less) = if is_below { (other, self) } else { (self, other) };
        more.take(less.low);
        more.high = more.high.wrapping_sub(less.high);
        (is_below, more)
    }

    pub(super) fn add(&mut self, amount: u128) {
        let (low, carries) = self.low.overflowing_add(amount);
        self.low = low;
        self.high = self.high.wrapping_add(u32::from(carries));
    }

    pub(super) fn take(&mut self, amount: u128) {
        let (low, borrows) = self.low.overflowing_sub(amount);
        self.low = low;
        self.high = self.high.wrapping_sub(u32::from(borrows));
    }

    /// The sum, unless it exceeds the largest number.
    pub(crate) const fn get(self) -> Option<u128> {
        if self.high == 0 { Some(self.low) } else { None }
    }

    /// The sum, or the largest number if it exceeds that.
    pub(super) fn or_the_largest(self) -> Amount {
        Amount(self.get().unwrap_or(u128::MAX))
    }
}

/// The four balances, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) debits_pending: WideSum,
    pub(crate) debits_posted: WideSum,
    pub(crate) credits_pending: WideSum,
    pub(crate) credits_posted: WideSum,
}

impl Sums {
    pub(super) const fn of(account: &Account) -> Self {
        Self {
            debits_pending: WideSum::of(account.debits_pending),
            debits_posted: WideSum::of(account.debits_posted),
            credits_pending: WideSum::of(account.credits_pending),
            credits_posted: WideSum::of(account.credits_posted),
        }
    }

    fn column(&mut self, column: Column) -> &mut WideSum {
        match column {
            Column::DebitsPending => &mut self.debits_pending,
            Column::DebitsPosted => &mut self.debits_posted,
            Column::CreditsPending => &mut self.credits_pending,
            Column::CreditsPosted => &mut self.credits_posted,
        }
    }
}

/// The accounts of one ledger, code and class: as long as there are any, or a monitor watches what they will come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) ledger: AssetId,
    pub(crate) code: u16,
    pub(crate) class: AccountClass,
    pub(crate) accounts: u64,
    /// How many of them have a limit on their debits.
    pub(super) debits_limited: u32,
    /// How many of them have one on their credits.
    pub(super) credits_limited: u32,
    pub(crate) sums: Sums,
    /// Of the ledger's own sums.
    ledger_row: u32,
    /// Whether a monitor watches it.
    pub(crate) is_watched: bool,
}

/// Whether an account has a limit on its debits, and on its credits, as numbers.
fn limits_of(account: &Account) -> [u32; 2] {
    [DEBITS_MUST_NOT_EXCEED_CREDITS, CREDITS_MUST_NOT_EXCEED_DEBITS].map(|limit| account.has(limit).into())
}

/// All sums.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    slices: Slab<Slice>,
    by_key: BTreeMap<(AssetId, u16, AccountClass), u32>,
    ledgers: Rows<Sums>,
    by_ledger: BTreeMap<AssetId, u32>,
    /// Slices that are watched and have moved.
    pub(super) noted: Watched,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            slices: Slab::new(),
            by_key: BTreeMap::new(),
            ledgers: Rows::default(),
            by_ledger: BTreeMap::new(),
            noted: Watched::default(),
        }
    }
}

impl Totals {
    pub(super) fn at(&self, row: u32) -> &Slice {
        self.slices.at(row)
    }

    /// The rows of slices that a monitor watches.
    pub(super) fn watched(&self) -> impl Iterator<Item = u32> {
        let rows = 0..u32::try_from(self.slices.slots()).unwrap_or(NONE);
        rows.filter(|&row| self.slices.at(row).is_watched)
    }

    /// A monitor watches a slice, or none does any more.
    pub(super) fn set_watched(&mut self, row: u32, is_watched: bool) {
        self.slices.at_mut(row).is_watched = is_watched;
        self.free_unused(row);
    }

    /// A slice that has no accounts and that nobody watches is none.
    fn free_unused(&mut self, row: u32) {
        let slice = self.slices.at(row);
        if slice.accounts == 0 && !slice.is_watched {
            self.by_key.remove(&(slice.ledger, slice.code, slice.class));
            self.slices.release(row);
        }
    }

    /// Counts an account and its balances in; the slice that it belongs to.
    pub(crate) fn join(&mut self, account: &Account) -> u32 {
        let row = self.slice(account.ledger, account.code, account.class);
        let slice = self.slices.at_mut(row);
        slice.accounts = slice.accounts.saturating_add(1);
        let [debits, credits] = limits_of(account);
        slice.debits_limited = slice.debits_limited.saturating_add(debits);
        slice.credits_limited = slice.credits_limited.saturating_add(credits);
        account.balances().into_iter().for_each(|(column, amount)| self.add(row, column, amount));
        self.noted.joined(row, account);
        row
    }

    /// The row of a slice; where there was none, it has no accounts, and it is there for whoever joins or watches it at once.
    pub(super) fn slice(&mut self, ledger: AssetId, code: u16, class: AccountClass) -> u32 {
        let (slices, ledgers) = (&mut self.slices, &mut self.ledgers);
        *self.by_key.entry((ledger, code, class)).or_insert_with(|| {
            let ledger_row = *self.by_ledger.entry(ledger).or_insert_with(|| ledgers.push(Sums::default()));
            let sums = Sums::default();
            slices.insert(Slice {
                ledger,
                code,
                class,
                accounts: 0,
                debits_limited: 0,
                credits_limited: 0,
                sums,
                ledger_row,
                is_watched: false,
            })
        })
    }

    /// Counts an account and its balances out: it has another code, or the chain that created it failed.
    pub(crate) fn leave(&mut self, account: &Account) {
        account.balances().into_iter().for_each(|(column, amount)| self.take(account.slice, column, amount));
        self.noted.left(account.slice, account);
        let slice = self.slices.at_mut(account.slice);
        slice.accounts = slice.accounts.saturating_sub(1);
        let [debits, credits] = limits_of(account);
        slice.debits_limited = slice.debits_limited.saturating_sub(debits);
        slice.credits_limited = slice.credits_limited.saturating_sub(credits);
        self.free_unused(account.slice);
    }

    #[inline]
    pub(crate) fn add(&mut self, row: u32, column: Column, amount: u128) {
        let slice = self.slices.at_mut(row);
        if slice.is_watched {
            self.noted.note(row, || Standing::of_slice(slice));
        }
        slice.sums.column(column).add(amount);
        self.ledgers.at_mut(slice.ledger_row).column(column).add(amount);
    }

    #[inline]
    pub(crate) fn take(&mut self, row: u32, column: Column, amount: u128) {
        let slice = self.slices.at_mut(row);
        if slice.is_watched {
            self.noted.note(row, || Standing::of_slice(slice));
        }
        slice.sums.column(column).take(amount);
        self.ledgers.at_mut(slice.ledger_row).column(column).take(amount);
    }

    /// Debits equal credits, pending and posted, in the ledger of a slice.
    #[inline]
    pub(crate) fn balanced(&self, slice: u32) -> Result<(), Broken> {
        let slice = self.slices.at(slice);
        let sums = self.ledgers.at(slice.ledger_row);
        if sums.debits_posted == sums.credits_posted && sums.debits_pending == sums.credits_pending {
            return Ok(());
        }
        let (debits, credits) = (sums.debits_posted.low, sums.credits_posted.low);
        Err(Broken::Unbalanced { asset: slice.ledger, debits, credits })
    }

    /// All slices that have an account, by ledger, code and class.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slice> {
        self.by_key.values().map(|&row| self.slices.at(row)).filter(|slice| slice.accounts > 0)
    }

    /// The slices of a code that have an account, in one ledger or in all.
    pub(super) fn of_code(&self, ledger: Option<AssetId>, code: u16) -> impl Iterator<Item = &Slice> {
        let is_meant = move |of: &AssetId| ledger.is_none_or(|ledger| *of == ledger);
        let ledgers = self.by_ledger.keys().copied().filter(is_meant);
        let keys =
            ledgers.flat_map(move |ledger| AccountClass::ALL.iter().map(move |of| (ledger, code, *of)));
        let slices = keys.filter_map(|key| self.by_key.get(&key)).map(|&row| self.slices.at(row));
        slices.filter(|slice| slice.accounts > 0)
    }

    /// All slices from a key on, in order; those that have no account are only watched.
    pub(crate) fn from(&self, key: (AssetId, u16, AccountClass)) -> impl Iterator<Item = &Slice> {
        self.by_key.range(key..).map(|(_, &row)| self.slices.at(row))
    }

    /// The sums of every ledger that has an account, by ledger.
    pub(crate) fn of_ledgers(&self) -> Vec<LedgerTotals> {
        let mut accounts: BTreeMap<AssetId, u64> = BTreeMap::new();
        for slice in self.iter() {
            let of_ledger = accounts.entry(slice.ledger).or_default();
            *of_ledger = of_ledger.saturating_add(slice.accounts);
        }
        let sums = |ledger| self.by_ledger.get(&ledger).map(|&row| self.ledgers.at(row));
        let totals = accounts.into_iter().filter_map(|(ledger, accounts)| {
            let sums = sums(ledger)?;
            Some(LedgerTotals {
                ledger,
                debits_pending: sums.debits_pending.or_the_largest(),
                debits_posted: sums.debits_posted.or_the_largest(),
                credits_pending: sums.credits_pending.or_the_largest(),
                credits_posted: sums.credits_posted.or_the_largest(),
                accounts,
            })
        });
        totals.collect()
    }

    /// The sums are those of `again`, which were made from the accounts.
    pub(crate) fn check(&self, again: &Self) -> Result<(), Broken> {
        let same = |(one, two): (&Slice, &Slice)| {
            (one.ledger, one.code, one.class) == (two.ledger, two.code, two.class)
                && (one.accounts, one.sums) == (two.accounts, two.sums)
                && (one.debits_limited, one.credits_limited) == (two.debits_limited, two.credits_limited)
        };
        if !self.iter().zip(again.iter()).all(same) || self.iter().count() != again.iter().count() {
            return Err(Broken::Index { what: "totals" });
        }
        let is_used = |row: &u32| self.slices.at(*row).accounts > 0 || self.slices.at(*row).is_watched;
        if self.by_key.len() != self.slices.live() || !self.by_key.values().all(is_used) {
            return Err(Broken::Index { what: "slices of the totals" });
        }
        self.by_key.values().try_for_each(|&row| self.balanced(row))
    }
}

//! What was posted with another value date than its business date: it is taken out of the one day and put into the other.
//!
//! An account's balance by value date is its balance when that business date ended, and all shifts up to that day. So nothing is
//! kept of the many postings that have no value date of their own, and a question costs one block of each run.
//!
//! As of an earlier seq, runs of which that seq is behind the end count as a whole, and later ones not at all. In the one run that it cuts,
//! the shifts of a day lie in the order of places: of each day, those until then are the first ones. Only days count so one by one that
//! are near the business date of then; how near, the [`Reach`] of all shifts says.

use protocol::{Amount, Seq};

use super::movement::{Place, Side};
use super::run::Entry;
use crate::pack::{Damaged, Unpack, fold_u64, fold_u128, put_u64, put_u128, unfold_u64, unfold_u128};

/// One half of it, on one side of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) account: u32,
    /// Days since 1970-01-01.
    pub(crate) day: u32,
    pub(crate) place: Place,
    pub(crate) side: Side,
    pub(crate) amount: Amount,
    /// Whether it is put into the day, or taken out of it.
    pub(crate) comes: bool,
}

/// What shifts add up to. More may have been taken out than was put in: everything is modulo 2^128, and right again where it is added to
/// the balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shifted {
    pub(crate) debits: u128,
    pub(crate) credits: u128,
}

/// How many days before and behind its business date anything ever took value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) back_days: u32,
    pub(crate) ahead_days: u32,
}

/// Where it stands: account, day, place, side.
type Key = (u32, u32, Place, Side);

const CREDIT: u8 = 1;
const COMES: u8 = 2;
const SAME_ACCOUNT: u8 = 4;

impl Shifted {
    pub(crate) const fn plus(self, more: Self) -> Self {
        Self {
            debits: self.debits.wrapping_add(more.debits),
            credits: self.credits.wrapping_add(more.credits),
        }
    }

    pub(crate) const fn minus(self, less: Self) -> Self {
        Self {
            debits: self.debits.wrapping_sub(less.debits),
            credits: self.credits.wrapping_sub(less.credits),
        }
    }
}

impl Reach {
    pub(crate) const fn of(business_date: u32, value_date: u32) -> Self {
        let back_days = business_date.saturating_sub(value_date);
        Self { back_days, ahead_days: value_date.saturating_sub(business_date) }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        let back_days = self.back_days.max(other.back_days);
        Self { back_days, ahead_days: self.ahead_days.max(other.ahead_days) }
    }
}

impl Shift {
    /// The last place of an account's day.
    pub(crate) const fn end_of_day(account: u32, day: u32) -> Key {
        Self::key_at(account, day, Seq(u64::MAX))
    }

    /// The last place of an account's day through a seq.
    pub(crate) const fn key_at(account: u32, day: u32, through: Seq) -> Key {
        (account, day, Place { seq: through, step: u32::MAX }, Side::Credit)
    }
}

impl Entry for Shift {
    const RUNS: &'static str = "shifts";
    type Key = Key;
    type Carry = Shifted;

    fn key(&self) -> Key {
        (self.account, self.day, self.place, self.side)
    }

    fn key_bytes((account, day, place, side): Key) -> impl AsRef<[u8]> {
        let mut bytes = Vec::with_capacity(21);
        bytes.extend_from_slice(&account.to_be_bytes());
        bytes.extend_from_slice(&day.to_be_bytes());
        bytes.extend_from_slice(&place.seq.0.to_be_bytes());
        bytes.extend_from_slice(&place.step.to_be_bytes());
        bytes.push(u8::from(side == Side::Credit));
        bytes
    }

    fn scale(&self) -> u128 {
        u128::from(self.account)
    }

    fn goes_on(&self, before: &Self) -> bool {
        self.account == before.account
    }

    fn add_to(&self, carry: &mut Shifted) {
        let sum = match self.side {
            Side::Debit => &mut carry.debits,
            Side::Credit => &mut carry.credits,
        };
        let amount = self.amount.0;
        *sum = if self.comes { sum.wrapping_add(amount) } else { sum.wrapping_sub(amount) };
    }

    fn pack(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        let same_account = before.is_some_and(|before| before.account == self.account);
        let mut bits = if self.side == Side::Credit { CREDIT } else { 0 };
        bits |= if self.comes { COMES } else { 0 };
        bits |= if same_account { SAME_ACCOUNT } else { 0 };
        out.push(bits);
        let (account, day, seq) =
            before.map_or((0, 0, 0), |before| (before.account, before.day, before.place.seq.0));
        if !same_account {
            put_u64(out, u64::from(self.account.wrapping_sub(account)));
        }
        put_u64(out, fold_u64(u64::from(self.day).wrapping_sub(u64::from(day))));
        put_u64(out, fold_u64(self.place.seq.0.wrapping_sub(seq)));
        put_u64(out, u64::from(self.place.step));
        put_u128(out, self.amount.0);
    }

    fn unpack(before: Option<&Self>, from: &mut Unpack<'_>) -> Result<Self, Damaged> {
        let bits = from.u8()?;
        if bits >= 2 * SAME_ACCOUNT {
            return Err(Damaged);
        }
        let (account, day, seq) =
            before.map_or((0, 0, 0), |before| (before.account, before.day, before.place.seq.0));
        let account = if bits & SAME_ACCOUNT == 0 { account.wrapping_add(from.u32()?) } else { account };
        let day = u64::from(day).wrapping_add(unfold_u64(from.u64()?));
        let day = u32::try_from(day).map_err(|_| Damaged)?;
        let seq = Seq(seq.wrapping_add(unfold_u64(from.u64()?)));
        let place = Place { seq, step: from.u32()? };
        let side = if bits & CREDIT == 0 { Side::Debit } else { Side::Credit };
        let (amount, comes) = (Amount(from.u128()?), bits & COMES != 0);
        Ok(Self { account, day, place, side, amount, comes })
    }

    fn pack_carry(carry: &Shifted, out: &mut Vec<u8>) {
        put_u128(out, fold_u128(carry.debits));
        put_u128(out, fold_u128(carry.credits));
    }

    fn unpack_carry(from: &mut Unpack<'_>) -> Result<Shifted, Damaged> {
        let mut sum = || from.u128().map(unfold_u128);
        Ok(Shifted { debits: sum()?, credits: sum()? })
    }
}

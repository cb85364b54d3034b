//! One side of a movement, as it stands in its account's history.

use protocol::{Amount, Seq};

use super::movement::{Change, Closing, Place, Side, Sums};
use super::run::Entry;
use crate::pack::{Damaged, Unpack, fold_u64, fold_u128, put_u64, put_u128, unfold_u64, unfold_u128};

/// A debit or a credit of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) account: u32,
    pub(crate) counterparty: u32,
    pub(crate) place: Place,
    pub(crate) change: Change,
    pub(crate) code: u16,
    pub(crate) side: Side,
    pub(crate) closing: Closing,
    /// The end of a pending transfer by itself: in the history, and in no list of transfers.
    pub(crate) expiry: bool,
}

const RESERVED: u8 = 1;
const SETTLED: u8 = 2;
const CHANGE: u8 = 3;
const CREDIT: u8 = 4;
const CLOSES: u8 = 8;
const REOPENS: u8 = 16;
const EXPIRY: u8 = 32;
const SAME_ACCOUNT: u8 = 64;
const SAME_CODE: u8 = 128;

impl Leg {
    /// No seq comes to more.
    pub(crate) const SEQ_MAX: u64 = (1 << 63) - 2;

    /// The place in a history: account, seq, step, side, the first in the highest bits.
    pub(crate) fn key_at(account: u32, place: Place, side: Side) -> u128 {
        let place = (u128::from(place.seq.0) << 33) | (u128::from(place.step) << 1);
        (u128::from(account) << 96) | place | u128::from(side == Side::Credit)
    }

    fn bits(&self, before: Option<&Self>) -> u8 {
        let mut bits = match self.change {
            Change::Posted(_) => 0,
            Change::Reserved(_) => RESERVED,
            Change::Settled { .. } => SETTLED,
        };
        bits |= if self.side == Side::Credit { CREDIT } else { 0 };
        bits |= match self.closing {
            Closing::No => 0,
            Closing::Closes => CLOSES,
            Closing::Reopens => REOPENS,
        };
        bits |= if self.expiry { EXPIRY } else { 0 };
        bits |= if before.is_some_and(|before| before.account == self.account) { SAME_ACCOUNT } else { 0 };
        bits | if before.is_some_and(|before| before.code == self.code) { SAME_CODE } else { 0 }
    }
}

impl Entry for Leg {
    const RUNS: &'static str = "legs";
    type Key = u128;
    type Carry = Sums;

    fn key(&self) -> u128 {
        Self::key_at(self.account, self.place, self.side)
    }

    fn key_bytes(key: u128) -> impl AsRef<[u8]> {
        key.to_be_bytes()
    }

    fn scale(&self) -> u128 {
        u128::from(self.account)
    }

    fn goes_on(&self, before: &Self) -> bool {
        self.account == before.account
    }

    fn add_to(&self, carry: &mut Sums) {
        carry.add(self.side, self.change, self.closing);
    }

    fn pack(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        let bits = self.bits(before);
        out.push(bits);
        let (account, seq) = before.map_or((0, 0), |before| (before.account, before.place.seq.0));
        if bits & SAME_ACCOUNT == 0 {
            put_u64(out, u64::from(self.account.wrapping_sub(account)));
        }
        put_u64(out, fold_u64(self.place.seq.0.wrapping_sub(seq)));
        put_u64(out, u64::from(self.place.step));
        if bits & SAME_CODE == 0 {
            put_u64(out, u64::from(self.code));
        }
        put_u64(out, u64::from(self.counterparty));
        match self.change {
            Change::Posted(amount) | Change::Reserved(amount) => put_u128(out, amount.0),
            Change::Settled { reserved, posted } => {
                put_u128(out, reserved.0);
                // Most often all of it or nothing.
                put_u128(out, fold_u128(reserved.0.wrapping_sub(posted.0)));
            }
        }
    }

    fn unpack(before: Option<&Self>, from: &mut Unpack<'_>) -> Result<Self, Damaged> {
        let bits = from.u8()?;
        let (account, seq, code) =
            before.map_or((0, 0, 0), |before| (before.account, before.place.seq.0, before.code));
        let account = if bits & SAME_ACCOUNT == 0 { account.wrapping_add(from.u32()?) } else { account };
        let seq = Seq(seq.wrapping_add(unfold_u64(from.u64()?)));
        let step = from.u32()?;
        let code = if bits & SAME_CODE == 0 { from.u16()? } else { code };
        let counterparty = from.u32()?;
        let amount = Amount(from.u128()?);
        let change = match bits & CHANGE {
            0 => Change::Posted(amount),
            RESERVED => Change::Reserved(amount),
            SETTLED => {
                let posted = Amount(amount.0.wrapping_sub(unfold_u128(from.u128()?)));
                Change::Settled { reserved: amount, posted }
            }
            _ => return Err(Damaged),
        };
        let closing = match bits & (CLOSES | REOPENS) {
            0 => Closing::No,
            CLOSES => Closing::Closes,
            REOPENS => Closing::Reopens,
            _ => return Err(Damaged),
        };
        let side = if bits & CREDIT == 0 { Side::Debit } else { Side::Credit };
        let (place, expiry) = (Place { seq, step }, bits & EXPIRY != 0);
        Ok(Self { account, counterparty, place, change, code, side, closing, expiry })
    }

    fn pack_carry(carry: &Sums, out: &mut Vec<u8>) {
        // Where a stretch releases more than it reserved, a sum stands just below 2^128.
        for sum in [carry.debits_pending, carry.debits_posted, carry.credits_pending, carry.credits_posted] {
            put_u128(out, fold_u128(sum));
        }
        out.extend_from_slice(&carry.closings.to_le_bytes());
    }

    fn unpack_carry(from: &mut Unpack<'_>) -> Result<Sums, Damaged> {
        let mut sum = || from.u128().map(unfold_u128);
        let (debits_pending, debits_posted) = (sum()?, sum()?);
        let (credits_pending, credits_posted) = (sum()?, sum()?);
        let closings = u32::from_le_bytes(from.array()?);
        Ok(Sums { debits_pending, debits_posted, credits_pending, credits_posted, closings })
    }
}

//! What moves: one debit and one credit of the same amount, pending or posted.

use protocol::{Amount, MarketId, Seq, TradeId, TradePart, TransferId, UnixNanos};

/// Where something moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Seq of the record.
    pub seq: Seq,
    /// Its number among all that moved with that record, from 0: first what expired, then the record's own.
    pub step: u32,
}

/// What made money move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A row of [`protocol::commands::CreateTransfers`].
    Row {
        /// Its place in the batch, from 0.
        index: u32,
    },
    /// A trade settled, or was taken back or corrected.
    Trade {
        /// The trade.
        trade: TradeId,
        /// Its market.
        market: MarketId,
        /// Which of its postings.
        part: TradePart,
    },
    /// A pending transfer's time was over. No transfer of its own.
    Expiry,
}

/// What a movement does to an account on one of its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Posted.
    Posted(Amount),
    /// Pending from now on.
    Reserved(Amount),
    /// Pending no more: some of it, all or nothing was posted.
    Settled {
        /// What was pending.
        reserved: Amount,
        /// What of it was posted.
        posted: Amount,
    },
}

/// A movement between two accounts, which are numbered in the order in which they were created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Movement {
    pub(crate) place: Place,
    pub(crate) time: UnixNanos,
    pub(crate) cause: Cause,
    /// 0 for what a trade posts; of an expiry, that of the pending transfer.
    pub(crate) id: TransferId,
    pub(crate) debit: u32,
    pub(crate) credit: u32,
    /// What was moved, reserved or, by a void or an expiry, released.
    pub(crate) amount: u128,
    /// As sent, save the code, which is that of the pending transfer where none was sent.
    pub(crate) fields: Fields,
}

/// What a row says beyond accounts and amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) code: u16,
    pub(crate) flags: u16,
    pub(crate) pending_id: TransferId,
    pub(crate) user_data_128: u128,
    pub(crate) user_data_64: u64,
    pub(crate) user_data_32: u32,
    pub(crate) timeout_s: u32,
    pub(crate) value_date: u32,
    pub(crate) reason: u16,
}

/// An account's debits and credits. Each only grows, but for what is pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// Debits of pending transfers.
    pub debits_pending: Amount,
    /// Debits that are final.
    pub debits_posted: Amount,
    /// Credits of pending transfers.
    pub credits_pending: Amount,
    /// Credits that are final.
    pub credits_posted: Amount,
}

/// What a stretch of an account's history adds up to. A stretch may release what an earlier one reserved: everything is
/// modulo 2^128, and right again where it is counted from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) debits_pending: u128,
    pub(crate) debits_posted: u128,
    pub(crate) credits_pending: u128,
    pub(crate) credits_posted: u128,
    /// Transfers that close it, less those of them that were released: modulo 2^32.
    pub(crate) closings: u32,
}

impl Sums {
    #[inline]
    pub(crate) fn add(&mut self, side: Side, change: Change, closing: Closing) {
        let (pending, posted) = match side {
            Side::Debit => (&mut self.debits_pending, &mut self.debits_posted),
            Side::Credit => (&mut self.credits_pending, &mut self.credits_posted),
        };
        match change {
            Change::Posted(amount) => *posted = posted.wrapping_add(amount.0),
            Change::Reserved(amount) => *pending = pending.wrapping_add(amount.0),
            Change::Settled { reserved, posted: now } => {
                *pending = pending.wrapping_sub(reserved.0);
                *posted = posted.wrapping_add(now.0);
            }
        }
        self.closings = match closing {
            Closing::No => self.closings,
            Closing::Closes => self.closings.wrapping_add(1),
            Closing::Reopens => self.closings.wrapping_sub(1),
        };
    }

    pub(crate) const fn plus(self, later: Self) -> Self {
        Self {
            debits_pending: self.debits_pending.wrapping_add(later.debits_pending),
            debits_posted: self.debits_posted.wrapping_add(later.debits_posted),
            credits_pending: self.credits_pending.wrapping_add(later.credits_pending),
            credits_posted: self.credits_posted.wrapping_add(later.credits_posted),
            closings: self.closings.wrapping_add(later.closings),
        }
    }

    pub(crate) const fn balances(&self) -> Balances {
        Balances {
            debits_pending: Amount(self.debits_pending),
            debits_posted: Amount(self.debits_posted),
            credits_pending: Amount(self.credits_pending),
            credits_posted: Amount(self.credits_posted),
        }
    }
}

/// The side of an account on which something moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It was debited.
    Debit,
    /// It was credited.
    Credit,
}

/// Whether a movement closes or reopens the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    No,
    Closes,
    Reopens,
}

//! What must never happen, and how a command ends early: refused, which is an outcome, or broken, which is a halt.

use protocol::{
    AccountId, AssetId, LedgerRefusal, MarketId, OrderId, RejectReason, Seq, SessionId, Text, UnixNanos,
};

use crate::ledger::EntryStop;
use crate::matching::{BookRefusal, Violation};

/// The engine found itself in a state that its rules exclude. It stays as it is until the caller halts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvariantBroken {
    /// The command during which it was found.
    pub seq: Seq,
    /// What was found.
    pub what: Broken,
}

impl core::fmt::Display for InvariantBroken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "invariant broken at seq {}: {:?}", self.seq, self.what)
    }
}

impl core::error::Error for InvariantBroken {}

/// Which invariant, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The caller skipped or repeated a command.
    SeqGap {
        /// The only seq that can follow.
        expected: Seq,
        /// The one that came.
        found: Seq,
    },
    /// The caller's time stood still or went back.
    TimeNotAfter {
        /// Time of the last command.
        last: UnixNanos,
        /// The one that came.
        found: UnixNanos,
    },
    /// A sum or product past its type; every bound that excludes it was checked at admission.
    Overflow {
        /// What was computed.
        what: &'static str,
    },
    /// A posting between two assets.
    PostingAcrossAssets {
        /// Debited.
        debit: AccountId,
        /// Credited.
        credit: AccountId,
    },
    /// credits − debits − held below zero where that is forbidden.
    BelowZero {
        /// The account.
        account: AccountId,
    },
    /// An account's hold is not the sum of its orders' holds.
    HoldMismatch {
        /// The account.
        account: AccountId,
        /// As the account says.
        held: u128,
        /// As the orders say.
        orders: u128,
    },
    /// What an account has pending is not the sum of its pending transfers.
    PendingMismatch {
        /// The account.
        account: AccountId,
    },
    /// A fill needed more than was held for it.
    HoldExceeded {
        /// The order.
        order: OrderId,
    },
    /// Σ debits and Σ credits of an asset differ.
    Unbalanced {
        /// The asset.
        asset: AssetId,
        /// Σ debits.
        debits: u128,
        /// Σ credits.
        credits: u128,
    },
    /// The book refused what the rules had made sure of.
    BookRefused {
        /// The market.
        market: MarketId,
        /// Why.
        refusal: BookRefusal,
    },
    /// A book contradicts itself.
    Book {
        /// The market.
        market: MarketId,
        /// How.
        violation: Violation,
    },
    /// What stands beside an order is not what rests in the book.
    OrderMismatch {
        /// The market.
        market: MarketId,
        /// The order.
        order: OrderId,
    },
    /// A session's list of live orders, timer or ids do not agree with the rest.
    SessionMismatch {
        /// The session.
        session: SessionId,
        /// What differs.
        what: &'static str,
    },
    /// An index does not lead to its row.
    Index {
        /// Which.
        what: &'static str,
    },
}

/// A refusal: the reason, and what is meant where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: RejectReason,
    pub(crate) about: About,
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Nothing,
    Field(&'static str),
    /// An account that would be what the ledger refuses.
    Account(LedgerRefusal),
    /// One of the transfers that the command consists of, by its place from 0.
    Transfer(u32, LedgerRefusal),
}

impl About {
    /// As it is answered: a field's name, why an account is refused, or a transfer's place and why that is.
    pub(crate) fn text(self) -> Text<48> {
        match self {
            Self::Nothing => Text::EMPTY,
            Self::Field(name) => Text::truncated(name),
            Self::Account(refusal) => Text::truncated(refusal.name()),
            Self::Transfer(index, refusal) => Text::truncated(&format!("{index} {}", refusal.name())),
        }
    }
}

/// How a command ends before its end. Whoever refuses has changed nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Refused(Refusal),
    Broken(Broken),
}

impl From<Broken> for Stop {
    fn from(what: Broken) -> Self {
        Self::Broken(what)
    }
}

impl From<RejectReason> for Stop {
    fn from(reason: RejectReason) -> Self {
        Self::Refused(Refusal { reason, about: About::Nothing })
    }
}

/// A refusal that names a field.
pub(crate) const fn refuse_field(reason: RejectReason, field: &'static str) -> Stop {
    Stop::Refused(Refusal { reason, about: About::Field(field) })
}

/// A refusal with `reason` because of what an account would be.
pub(crate) const fn refuse_account(reason: RejectReason, refusal: LedgerRefusal) -> Stop {
    Stop::Refused(Refusal { reason, about: About::Account(refusal) })
}

/// A refusal with `reason` because of one of the transfers that a command consists of.
pub(crate) const fn refuse_transfer(reason: RejectReason, stop: EntryStop) -> Stop {
    match stop {
        EntryStop::Refused { index, refusal } => {
            Stop::Refused(Refusal { reason, about: About::Transfer(index, refusal) })
        }
        EntryStop::Broken(what) => Stop::Broken(what),
    }
}

/// Why a command was refused, if that is how it ended.
pub(crate) const fn refusal_of(outcome: &Result<(), Stop>) -> Option<RejectReason> {
    match outcome {
        Err(Stop::Refused(refusal)) => Some(refusal.reason),
        Ok(()) | Err(Stop::Broken(_)) => None,
    }
}

/// Refuses with `reason` unless `condition` holds.
pub(crate) fn ensure(condition: bool, reason: RejectReason) -> Result<(), Stop> {
    if condition { Ok(()) } else { Err(reason.into()) }
}

/// Refuses with `FieldOutOfRange` unless `condition` holds.
pub(crate) fn ensure_field(condition: bool, field: &'static str) -> Result<(), Stop> {
    if condition { Ok(()) } else { Err(refuse_field(RejectReason::FieldOutOfRange, field)) }
}

/// `one + two`, or the halt that names the sum.
pub(crate) fn sum(one: u128, two: u128, what: &'static str) -> Result<u128, Broken> {
    one.checked_add(two).ok_or(Broken::Overflow { what })
}

/// `one − two`, or the halt that names the difference.
pub(crate) fn difference(one: u128, two: u128, what: &'static str) -> Result<u128, Broken> {
    one.checked_sub(two).ok_or(Broken::Overflow { what })
}

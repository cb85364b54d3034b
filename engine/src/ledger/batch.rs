//! What all rows of a batch have in common: who sends them, and how each ends.

use protocol::commands::{DefineSession, roles};
use protocol::rows::{RowAmount, RowResult};
use protocol::{AccountClass, Amount, ClientId, LedgerRefusal, Seq, UnixNanos};

use super::accounts::Account;
use crate::broken::{Broken, Stop};
use crate::registry::Registry;

/// Whose money a session may move.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payers<'a> {
    Everybody,
    Clients(&'a [ClientId]),
}

impl<'a> Payers<'a> {
    /// Whose money the actor of a session may move: that of everybody as a CASHIER, that of the session's clients as a PAYER.
    pub(crate) fn of(session: &'a DefineSession, registry: &Registry) -> Result<Self, Stop> {
        if registry.entitle(session.actor, roles::CASHIER).is_ok() {
            return Ok(Self::Everybody);
        }
        registry.entitle(session.actor, roles::PAYER)?;
        Ok(Self::Clients(&session.clients))
    }

    /// Whether it is a CASHIER who sends.
    pub(super) const fn are_everybody(self) -> bool {
        matches!(self, Self::Everybody)
    }

    /// Whether an account may be debited: by a PAYER one of its clients, and one of the house if the house is one of them. All others
    /// belong to no client, and are the bank's.
    pub(super) fn may_debit(self, account: &Account) -> bool {
        match self {
            Self::Everybody => true,
            Self::Clients(clients) => {
                let is_owned = matches!(account.class, AccountClass::Client | AccountClass::House);
                is_owned && clients.contains(&account.owner)
            }
        }
    }
}

/// Where a batch stands, and who sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) seq: Seq,
    pub(crate) time: UnixNanos,
    pub(crate) payers: Payers<'a>,
    /// Whether two actors have agreed that it corrects something.
    pub(crate) may_correct: bool,
    /// Whether it has been judged already that these accounts may be debited: the bank's own in an exchange.
    pub(crate) debits_judged: bool,
}

/// What became of the rows of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    pub(crate) seq: Seq,
    pub(crate) created: u32,
    pub(crate) exceptions: Vec<RowResult>,
    pub(crate) amounts: Vec<RowAmount>,
    /// A fold over balances.
    pub(crate) balances: u64,
}

/// What became of a row when it was sent before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) seq: Seq,
    /// What it moved or reserved, where it does not say so itself.
    pub(super) amount: Option<Amount>,
}

/// Why a row ended before its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowStop {
    /// With what is remembered of it, if it was judged before.
    Refused(LedgerRefusal, Option<Before>),
    Broken(Broken),
}

impl From<LedgerRefusal> for RowStop {
    fn from(refusal: LedgerRefusal) -> Self {
        Self::Refused(refusal, None)
    }
}

impl From<Broken> for RowStop {
    fn from(what: Broken) -> Self {
        Self::Broken(what)
    }
}

/// Where a row was executed before, if it was.
pub(super) const fn exists_at(judged: &Result<(), RowStop>) -> Option<Seq> {
    if let Err(RowStop::Refused(LedgerRefusal::Exists, Some(before))) = judged {
        Some(before.seq)
    } else {
        None
    }
}

pub(super) fn ensure(condition: bool, refusal: LedgerRefusal) -> Result<(), RowStop> {
    if condition { Ok(()) } else { Err(refusal.into()) }
}

/// What PAYERs may have of what is shared with CASHIERs: an eighth of it is always left to these.
pub(super) const fn of_payers(all: u32) -> u32 {
    all.saturating_sub(all / 8)
}

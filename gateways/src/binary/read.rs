//! Questions: what a client wants to know, for whoever holds the state; and what is answered.

use std::sync::Arc;

use protocol::binary::{
    AccountState, Balance, BusinessRejectReason, Fixed, GetAccountTransfers, Message, TransferState,
};
use protocol::{AccountId, Amount, ClientId, RequestNumber, Seq, SessionId, TransferId, UnixNanos};

use crate::ConnectionId;

/// What an answer has beside its rows, and the longest refusal, are not longer than this.
const ANSWER_FIXED_BYTES_MAX: usize = 512;

/// A question that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whose.
    pub connection: ConnectionId,
    /// Of this session.
    pub session: SessionId,
    /// What it may read: the rest is not there for it.
    pub scope: Scope,
    /// Its number.
    pub seq_no: RequestNumber,
    /// Template of the request.
    pub template: u16,
    /// The answer is not given before this seq is applied.
    pub min_seq: Seq,
    /// It misses nothing that was acknowledged anywhere before the question.
    pub linearizable: bool,
    /// What is asked.
    pub query: Query,
}

/// What a session may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The bank's own: every account.
    Everything,
    /// Accounts that these own, and transfers from or to them; in order.
    Clients(Arc<[ClientId]>),
}

impl Scope {
    /// Whether it has the accounts of `owner`.
    #[must_use]
    pub fn has(&self, owner: ClientId) -> bool {
        match self {
            Self::Everything => true,
            Self::Clients(clients) => clients.binary_search(&owner).is_ok(),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Accounts by id.
    Accounts(Vec<AccountId>),
    /// Transfers by id.
    Transfers(Vec<TransferId>),
    /// A page of an account's transfers.
    AccountTransfers(GetAccountTransfers),
    /// An account's sums behind a seq, at an instant, or now.
    BalanceAt {
        /// Whose.
        account: AccountId,
        /// Behind this seq; 0 = see the next.
        at_seq: Seq,
        /// At this instant; both 0 = now.
        at_time: UnixNanos,
    },
}

/// What is answered, as it is behind a seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// To [`Query::Accounts`]: those that exist.
    Accounts(&'a [AccountState]),
    /// To [`Query::Transfers`] and [`Query::AccountTransfers`].
    Transfers {
        /// Those that exist.
        transfers: &'a [TransferState],
        /// Where the next page goes on: seq and place in the batch.
        next: Option<(Seq, u32)>,
    },
    /// To [`Query::BalanceAt`].
    Balance {
        /// When the seq was.
        time: UnixNanos,
        /// Debits pending and posted, credits pending and posted.
        sums: [Amount; 4],
    },
    /// It cannot be answered.
    Rejected {
        /// Why.
        reason: BusinessRejectReason,
        /// When to ask again; 0 = the same is refused again.
        retry_after_ns: u64,
        /// The field that is meant, or what else people want to know.
        text: &'a str,
    },
}

impl Read {
    /// The question in a message, if it is one. `Err`: its number, and the field that has no meaning.
    pub(crate) fn of(
        (connection, session): (ConnectionId, SessionId),
        scope: Scope,
        message: &Message<'_>,
    ) -> Option<Result<Self, (RequestNumber, &'static str)>> {
        let (seq_no, min_seq, linearizable, query) = if let Message::LookupAccounts(read) = message {
            let ids = read.ids.iter().map(|key| key.id).collect();
            (read.seq_no, read.min_seq, read.linearizable, Ok(Query::Accounts(ids)))
        } else if let Message::LookupTransfers(read) = message {
            let ids = read.ids.iter().map(|key| key.id).collect();
            (read.seq_no, read.min_seq, read.linearizable, Ok(Query::Transfers(ids)))
        } else if let Message::GetAccountTransfers(read) = message {
            let query = check_page(read).map(|()| Query::AccountTransfers(*read));
            (read.seq_no, read.min_seq, read.linearizable, query)
        } else if let Message::BalanceAt(read) = message {
            let &protocol::binary::BalanceAt { account, at_seq, at_time, .. } = read;
            let query = Query::BalanceAt { account, at_seq, at_time };
            (read.seq_no, read.min_seq, read.linearizable, Ok(query))
        } else {
            return None;
        };
        let template = message.template();
        let read =
            |query| Self { connection, session, scope, seq_no, template, min_seq, linearizable, query };
        Some(query.map(read).map_err(|field| (seq_no, field)))
    }

    /// Longest answer to it, in bytes.
    pub(crate) fn answer_bytes_max(&self) -> usize {
        let rows = match &self.query {
            Query::Accounts(ids) => ids.len().saturating_mul(AccountState::BYTES),
            Query::Transfers(ids) => ids.len().saturating_mul(TransferState::BYTES),
            Query::AccountTransfers(page) => {
                usize::try_from(page.limit).unwrap_or(usize::MAX).saturating_mul(TransferState::BYTES)
            }
            Query::BalanceAt { .. } => 0,
        };
        rows.saturating_add(ANSWER_FIXED_BYTES_MAX)
    }

    /// Which account, of a question about one.
    pub(crate) fn account(&self) -> AccountId {
        match &self.query {
            Query::BalanceAt { account, .. } => *account,
            Query::AccountTransfers(read) => read.account,
            Query::Accounts(_) | Query::Transfers(_) => AccountId(0),
        }
    }

    /// The message of a balance.
    pub(crate) fn balance(&self, journal_seq: Seq, transact_time: UnixNanos, sums: [Amount; 4]) -> Balance {
        let [debits_pending, debits_posted, credits_pending, credits_posted] = sums;
        Balance {
            client_seq_no: self.seq_no,
            account: self.account(),
            journal_seq,
            transact_time,
            debits_pending,
            debits_posted,
            credits_pending,
            credits_posted,
        }
    }
}

fn check_page(read: &GetAccountTransfers) -> Result<(), &'static str> {
    let limit = usize::try_from(read.limit).unwrap_or(usize::MAX);
    if !(1..=protocol::limits::READ_ROWS_MAX).contains(&limit) {
        return Err("limit");
    }
    if !read.debits && !read.credits {
        return Err("debits");
    }
    if read.from_seq == Seq(0) && read.from_index != 0 {
        return Err("from_index");
    }
    if read.time_to != UnixNanos(0) && read.time_to < read.time_from {
        return Err("time_to");
    }
    Ok(())
}

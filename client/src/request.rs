//! What is asked and what is answered.

use protocol::binary::{
    AccountKey, AccountState, Balance, BalanceAt, BusinessRejectReason, CreateAccounts, CreateTransfers,
    Fixed, GetAccountTransfers, HEADERS_BYTES, LookupAccounts, LookupTransfers, Message, Rows, TransferKey,
    TransferState,
};
use protocol::limits::{LEDGER_ROWS_MAX, READ_ROWS_MAX};
use protocol::rows::{AccountRow, RowAmount, RowResult, TransferRow};
use protocol::{AccountId, LedgerRefusal, RejectReason, RequestNumber, Seq, TransferId, UnixNanos};

/// A request as it goes out, but for its number.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
}

/// How new the state has to be from which a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// It holds the effects of this seq; 0 = of what the leader has applied when it takes the question. Where the past is asked for, 1 =
    /// whatever the history has come to.
    pub min_seq: Seq,
    /// It misses nothing that was acknowledged anywhere before the question.
    pub linearizable: bool,
}

impl Freshness {
    /// Whatever the leader has applied when it takes the question.
    pub const ANY: Self = Self { min_seq: Seq(0), linearizable: false };
    /// It misses nothing that was acknowledged anywhere before the question.
    pub const LINEARIZABLE: Self = Self { min_seq: Seq(0), linearizable: true };
}

/// Behind which command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The last one.
    Now,
    /// This one.
    Seq(Seq),
    /// The last one of this time or before.
    Time(UnixNanos),
}

/// Which of an account's transfers, and where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whose.
    pub account: AccountId,
    /// With this account alone.
    pub counterparty: Option<AccountId>,
    /// From this instant on; 0 = from the first.
    pub time_from: UnixNanos,
    /// Up to this instant; 0 = up to the last.
    pub time_to: UnixNanos,
    /// Behind this place, as the answer before said; `None` = the first page.
    pub from: Option<(Seq, u32)>,
    /// Rows at most, up to [`READ_ROWS_MAX`].
    pub limit: u32,
    /// Of this code alone.
    pub code: Option<u16>,
    /// Those that debit the account.
    pub debits: bool,
    /// Those that credit the account.
    pub credits: bool,
    /// The newest first.
    pub backwards: bool,
}

impl Page {
    /// All transfers of an account, oldest first.
    #[must_use]
    pub const fn of(account: AccountId) -> Self {
        Self {
            account,
            counterparty: None,
            time_from: UnixNanos(0),
            time_to: UnixNanos(0),
            from: None,
            limit: 100,
            code: None,
            debits: true,
            credits: true,
            backwards: false,
        }
    }
}

const NUMBER: RequestNumber = RequestNumber(0);

fn bytes_of<R: Fixed>(rows: &[R]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * R::BYTES);
    rows.iter().for_each(|row| row.put(&mut bytes));
    bytes
}

impl Request {
    fn of<'a>(message: impl Into<Message<'a>>) -> Self {
        let mut bytes = Vec::new();
        message.into().write(&mut bytes);
        Self { bytes }
    }

    /// Creates accounts. `None`: there are none, or more than [`LEDGER_ROWS_MAX`].
    #[must_use]
    pub fn create_accounts(accounts: &[AccountRow]) -> Option<Self> {
        let rows = bytes_of(accounts);
        let accounts = Rows::<_, LEDGER_ROWS_MAX>::new(&rows).filter(|rows| !rows.is_empty())?;
        Some(Self::of(CreateAccounts { seq_no: NUMBER, accounts }))
    }

    /// Creates transfers. `None`: there are none, or more than [`LEDGER_ROWS_MAX`].
    #[must_use]
    pub fn create_transfers(transfers: &[TransferRow]) -> Option<Self> {
        let rows = bytes_of(transfers);
        let transfers = Rows::<_, LEDGER_ROWS_MAX>::new(&rows).filter(|rows| !rows.is_empty())?;
        Some(Self::of(CreateTransfers { seq_no: NUMBER, transfers }))
    }

    /// Asks for accounts. `None`: more than [`READ_ROWS_MAX`].
    #[must_use]
    pub fn lookup_accounts(ids: &[AccountId], freshness: Freshness) -> Option<Self> {
        let ids: Vec<AccountKey> = ids.iter().map(|id| AccountKey { id: *id }).collect();
        let rows = bytes_of(&ids);
        let Freshness { min_seq, linearizable } = freshness;
        let ids = Rows::<_, READ_ROWS_MAX>::new(&rows)?;
        Some(Self::of(LookupAccounts { seq_no: NUMBER, min_seq, linearizable, ids }))
    }

    /// Asks for transfers. `None`: more than [`READ_ROWS_MAX`].
    #[must_use]
    pub fn lookup_transfers(ids: &[TransferId], freshness: Freshness) -> Option<Self> {
        let ids: Vec<TransferKey> = ids.iter().map(|id| TransferKey { id: *id }).collect();
        let rows = bytes_of(&ids);
        let Freshness { min_seq, linearizable } = freshness;
        let ids = Rows::<_, READ_ROWS_MAX>::new(&rows)?;
        Some(Self::of(LookupTransfers { seq_no: NUMBER, min_seq, linearizable, ids }))
    }

    /// Asks for a page of an account's transfers.
    #[must_use]
    pub fn account_transfers(page: &Page, freshness: Freshness) -> Self {
        let (from_seq, from_index) = page.from.unwrap_or((Seq(0), 0));
        Self::of(GetAccountTransfers {
            seq_no: NUMBER,
            min_seq: freshness.min_seq,
            linearizable: freshness.linearizable,
            account: page.account,
            counterparty: page.counterparty.unwrap_or(AccountId(0)),
            time_from: page.time_from,
            time_to: page.time_to,
            from_seq,
            from_index,
            limit: page.limit,
            code: page.code.unwrap_or(0),
            debits: page.debits,
            credits: page.credits,
            backwards: page.backwards,
        })
    }

    /// Asks for an account's sums.
    #[must_use]
    pub fn balance_at(account: AccountId, at: At, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        let (at_seq, at_time) = match at {
            At::Now => (Seq(0), UnixNanos(0)),
            At::Seq(seq) => (seq, UnixNanos(0)),
            At::Time(time) => (Seq(0), time),
        };
        Self::of(BalanceAt { seq_no: NUMBER, min_seq, linearizable, account, at_seq, at_time })
    }

    /// Appends it under a number, which stands first in the block of every request.
    pub(crate) fn write(&self, number: RequestNumber, out: &mut Vec<u8>) {
        let at = out.len() + HEADERS_BYTES;
        out.extend_from_slice(&self.bytes);
        if let Some(place) = out.get_mut(at..at + RequestNumber::BYTES) {
            place.copy_from_slice(&number.0.to_le_bytes());
        }
    }

    /// Its length.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: every request has a number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchResult {
    /// Where it stands in the journal.
    pub seq: Seq,
    /// When that was.
    pub time: UnixNanos,
    /// Rows of it.
    pub count: u32,
    /// Rows that were created there.
    pub created: u32,
    /// The others, in order.
    pub exceptions: Vec<RowResult>,
    /// Rows that moved another amount than was sent, there or, if they exist, before.
    pub amounts: Vec<RowAmount>,
    /// How often it was sent. More than once: a connection was lost before the answer, and a row that *exists* may have been created by
    /// this very request, at the seq that is named.
    pub attempts: u32,
}

impl BatchResult {
    /// Rows that stand in the ledger as they were sent, whenever they were created.
    #[must_use]
    pub fn standing(&self) -> u32 {
        let exist = self.exceptions.iter().filter(|row| row.refusal == LedgerRefusal::Exists).count();
        self.created + u32::try_from(exist).unwrap_or(u32::MAX)
    }

    /// Of `transfers`, which this is the result of: those that an earlier attempt may have created. Their ids were forgotten before
    /// the last attempt came, so that its answer does not tell.
    pub(crate) fn forgotten(&self, transfers: &[TransferRow]) -> Vec<TransferId> {
        let is_unsure = |row: &&RowResult| self.attempts > 1 && row.refusal == LedgerRefusal::IdTooOld;
        let rows = self.exceptions.iter().filter(is_unsure);
        rows.filter_map(|row| transfers.get(usize::try_from(row.index).ok()?)).map(|row| row.id).collect()
    }

    /// Those of them that were found had been created by an earlier attempt: an id is its client's own.
    pub(crate) fn recall(&mut self, transfers: &[TransferRow], found: &[TransferState]) {
        for row in self.exceptions.iter_mut().filter(|row| row.refusal == LedgerRefusal::IdTooOld) {
            let id = usize::try_from(row.index).ok().and_then(|index| transfers.get(index)).map(|row| row.id);
            if let Some(state) = found.iter().find(|state| Some(state.transfer.id) == id) {
                (row.refusal, row.seq) = (LedgerRefusal::Exists, state.seq);
            }
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a batch.
    Created(BatchResult),
    /// To a lookup of accounts: those that exist.
    Accounts {
        /// As they are behind this seq.
        seq: Seq,
        /// In the order of the question.
        accounts: Vec<AccountState>,
    },
    /// To a lookup of transfers, or a page of an account's.
    Transfers {
        /// As they are behind this seq.
        seq: Seq,
        /// In order.
        transfers: Vec<TransferState>,
        /// Where the next page goes on.
        next: Option<(Seq, u32)>,
    },
    /// An account's sums.
    Balance(Balance),
    /// It was refused whole.
    Rejected {
        /// Why.
        reason: BusinessRejectReason,
        /// The engine's reason, where it is its refusal.
        refusal: Option<RejectReason>,
        /// When to ask again, in nanoseconds; 0 = the same is refused again.
        retry_after_ns: u64,
        /// The field that is meant, or what else people want to know.
        text: String,
    },
}

impl Reply {
    /// The answer in a message, with the number of its request; `None` if it is none.
    pub(crate) fn of(
        message: &Message<'_>,
        attempts: impl Fn(RequestNumber) -> u32,
    ) -> Option<(RequestNumber, Self)> {
        Some(if let Message::TransfersCreated(made) = message {
            let result = BatchResult {
                seq: made.journal_seq,
                time: made.transact_time,
                count: made.count,
                created: made.created,
                exceptions: made.exceptions.iter().collect(),
                amounts: made.amounts.iter().collect(),
                attempts: attempts(made.client_seq_no),
            };
            (made.client_seq_no, Self::Created(result))
        } else if let Message::AccountsCreated(made) = message {
            let result = BatchResult {
                seq: made.journal_seq,
                time: made.transact_time,
                count: made.count,
                created: made.created,
                exceptions: made.exceptions.iter().collect(),
                amounts: Vec::new(),
                attempts: attempts(made.client_seq_no),
            };
            (made.client_seq_no, Self::Created(result))
        } else if let Message::Accounts(found) = message {
            let accounts = found.accounts.iter().collect();
            (found.client_seq_no, Self::Accounts { seq: found.journal_seq, accounts })
        } else if let Message::Transfers(found) = message {
            let next = (found.next_seq != Seq(0)).then_some((found.next_seq, found.next_index));
            let transfers = found.transfers.iter().collect();
            (found.client_seq_no, Self::Transfers { seq: found.journal_seq, transfers, next })
        } else if let Message::Balance(balance) = message {
            (balance.client_seq_no, Self::Balance(*balance))
        } else if let Message::BusinessReject(reject) = message {
            let rejected = Self::Rejected {
                reason: reject.reason,
                refusal: reject.refusal,
                retry_after_ns: reject.retry_after_ns,
                text: reject.text.as_str().to_owned(),
            };
            (reject.ref_seq_no, rejected)
        } else {
            return None;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_attempt_created_exists_also_if_its_id_was_forgotten_meanwhile() {
        let rows = [1, 2, 3].map(|id| TransferRow { id: TransferId(id), ..TransferRow::default() });
        let refused = |index, refusal| RowResult { index, refusal, seq: Seq(90) };
        let mut result = BatchResult {
            seq: Seq(90),
            time: UnixNanos(5),
            count: 3,
            created: 0,
            exceptions: vec![
                refused(0, LedgerRefusal::IdTooOld),
                refused(1, LedgerRefusal::ExceedsCredits),
                refused(2, LedgerRefusal::IdTooOld),
            ],
            amounts: Vec::new(),
            attempts: 1,
        };
        assert_eq!(result.forgotten(&rows), [], "sent once, it was too old");
        result.attempts = 2;
        assert_eq!(result.forgotten(&rows), [TransferId(1), TransferId(3)]);
        let found = TransferState {
            transfer: rows[2],
            seq: Seq(44),
            index: 2,
            time: UnixNanos(4),
            status: protocol::binary::TransferStatus::Final,
            settled_seq: Seq(0),
        };
        result.recall(&rows, &[found]);
        let seen: Vec<_> = result.exceptions.iter().map(|row| (row.refusal, row.seq)).collect();
        assert_eq!(
            seen,
            [
                (LedgerRefusal::IdTooOld, Seq(90)),
                (LedgerRefusal::ExceedsCredits, Seq(90)),
                (LedgerRefusal::Exists, Seq(44)),
            ]
        );
        assert_eq!(result.standing(), 1);
    }
}

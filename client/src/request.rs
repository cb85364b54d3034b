//! What is asked and what is answered.

use protocol::binary::{
    AccountCodeState, AccountKey, AccountState, AttemptState, Balance, BalanceAt, BusinessRejectReason,
    Calendar, CarriedCommand, CreateAccounts, CreateTransfers, ExchangeState, Fixed, GetAccountCodes,
    GetAccountTransfers, GetCalendar, GetCorrections, GetMonitorTriggers, GetMonitors, GetProposal,
    GetProposals, GetQuotes, GetStandingOrderAttempts, GetStandingOrders, GetTotals, HEADERS_BYTES,
    LookupAccounts, LookupExchanges, LookupOverdrafts, LookupTransfers, Message, MonitorState,
    OverdraftState, Proposal, ProposalState, QuoteState, Rows, StandingOrderState, TotalState, TransferKey,
    TransferState, TriggerState, ValueBalance, ValueBalanceAt, meaning,
};
use protocol::commands::SetCalendar;
use protocol::limits::{LEDGER_ROWS_MAX, READ_ROWS_MAX};
use protocol::rows::{AccountRow, RowAmount, RowResult, TransferRow};
use protocol::{
    AccountClass, AccountId, ActorId, AssetId, Command, LedgerRefusal, MonitorId, ProposalId, QuoteId,
    RejectReason, RequestNumber, Seq, StandingOrderId, TransferId, UnixNanos,
};

/// Which accounts are summed together; the default stands in front of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TotalKey {
    /// Their asset.
    pub ledger: AssetId,
    /// Their code.
    pub code: u16,
    /// Their class; `None` = whichever comes first.
    pub class: Option<AccountClass>,
}

/// A request as it goes out, but for its numbers.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    is_command: bool,
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

impl At {
    /// As questions say it: seq and instant, both 0 = now.
    const fn fields(self) -> (Seq, UnixNanos) {
        match self {
            Self::Now => (Seq(0), UnixNanos(0)),
            Self::Seq(seq) => (seq, UnixNanos(0)),
            Self::Time(time) => (Seq(0), time),
        }
    }
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

fn keys_of(ids: &[AccountId]) -> Vec<u8> {
    let keys: Vec<AccountKey> = ids.iter().map(|id| AccountKey { id: *id }).collect();
    bytes_of(&keys)
}

impl Request {
    fn of<'a>(message: impl Into<Message<'a>>) -> Self {
        let mut bytes = Vec::new();
        message.into().write(&mut bytes);
        Self { bytes, is_command: false }
    }

    /// Executes a command once, however often it is sent. `None`: clients have no message for it, or it is longer than one may be.
    #[must_use]
    pub fn command(command: impl Into<Command>) -> Option<Self> {
        let mut bytes = Vec::new();
        let carried = CarriedCommand { seq_no: NUMBER, command_no: NUMBER, command: command.into() };
        carried.write(&mut bytes).then_some(Self { bytes, is_command: true })
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
        let rows = keys_of(ids);
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

    /// Asks which exchanges transfers belong to. `None`: more than [`READ_ROWS_MAX`].
    #[must_use]
    pub fn lookup_exchanges(ids: &[TransferId], freshness: Freshness) -> Option<Self> {
        let ids: Vec<TransferKey> = ids.iter().map(|id| TransferKey { id: *id }).collect();
        let rows = bytes_of(&ids);
        let Freshness { min_seq, linearizable } = freshness;
        let ids = Rows::<_, READ_ROWS_MAX>::new(&rows)?;
        Some(Self::of(LookupExchanges { seq_no: NUMBER, min_seq, linearizable, ids }))
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

    /// Asks what corrected a transfer: a page of up to `limit`, behind a place or the first.
    #[must_use]
    pub fn corrections(
        transfer: TransferId,
        from: Option<(Seq, u32)>,
        limit: u32,
        freshness: Freshness,
    ) -> Self {
        let (from_seq, from_index) = from.unwrap_or((Seq(0), 0));
        let Freshness { min_seq, linearizable } = freshness;
        let seq_no = NUMBER;
        Self::of(GetCorrections { seq_no, min_seq, linearizable, transfer, from_seq, from_index, limit })
    }

    /// Asks what of an account's posted sums counts on a day, since 1970-01-01, as it was known at a time.
    #[must_use]
    pub fn value_balance(account: AccountId, value_date: u32, at: At, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        let (at_seq, at_time) = at.fields();
        let seq_no = NUMBER;
        Self::of(ValueBalanceAt { seq_no, min_seq, linearizable, account, value_date, at_seq, at_time })
    }

    /// Asks for an account's sums.
    #[must_use]
    pub fn balance_at(account: AccountId, at: At, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        let (at_seq, at_time) = at.fields();
        Self::of(BalanceAt { seq_no: NUMBER, min_seq, linearizable, account, at_seq, at_time })
    }

    /// Asks for the overdraft lines of accounts. `None`: more than [`READ_ROWS_MAX`].
    #[must_use]
    pub fn lookup_overdrafts(ids: &[AccountId], freshness: Freshness) -> Option<Self> {
        let rows = keys_of(ids);
        let Freshness { min_seq, linearizable } = freshness;
        let ids = Rows::<_, READ_ROWS_MAX>::new(&rows)?;
        Some(Self::of(LookupOverdrafts { seq_no: NUMBER, min_seq, linearizable, ids }))
    }

    /// Asks for the bank's calendar.
    #[must_use]
    pub fn calendar(freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        Self::of(GetCalendar { seq_no: NUMBER, min_seq, linearizable })
    }

    /// Asks for a page of the chart of accounts, up to `limit` codes from a code and a ledger on.
    #[must_use]
    pub fn account_codes(from: (u16, AssetId), limit: u32, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        let (from_code, from_ledger) = from;
        Self::of(GetAccountCodes { seq_no: NUMBER, min_seq, linearizable, from_code, from_ledger, limit })
    }

    /// Asks for a page of monitors, up to `limit` of them from an id on.
    #[must_use]
    pub fn monitors(from_monitor: MonitorId, limit: u32, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        Self::of(GetMonitors { seq_no: NUMBER, min_seq, linearizable, from_monitor, limit })
    }

    /// Asks for a page of open proposals, up to `limit` of them from an id on.
    #[must_use]
    pub fn proposals(from_proposal: ProposalId, limit: u32, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        Self::of(GetProposals { seq_no: NUMBER, min_seq, linearizable, from_proposal, limit })
    }

    /// Asks for a page of exchange quotes, up to `limit` of them from an id on.
    #[must_use]
    pub fn quotes(from_quote: QuoteId, limit: u32, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        Self::of(GetQuotes { seq_no: NUMBER, min_seq, linearizable, from_quote, limit })
    }

    /// Asks for a page of standing orders, up to `limit` of them from an id on.
    #[must_use]
    pub fn standing_orders(from_order: StandingOrderId, limit: u32, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        Self::of(GetStandingOrders { seq_no: NUMBER, min_seq, linearizable, from_order, limit })
    }

    /// Asks what came of a standing order, up to `limit` attempts from a seq and a place in it on.
    #[must_use]
    pub fn standing_order_attempts(
        order: StandingOrderId,
        (from_seq, from_index): (Seq, u32),
        limit: u32,
        freshness: Freshness,
    ) -> Self {
        let (Freshness { min_seq, linearizable }, seq_no) = (freshness, NUMBER);
        Self::of(GetStandingOrderAttempts {
            seq_no,
            min_seq,
            linearizable,
            order,
            from_seq,
            from_index,
            limit,
        })
    }

    /// Asks for a page of totals, up to `limit` of them, of one ledger or of all.
    #[must_use]
    pub fn totals(ledger: Option<AssetId>, from: TotalKey, limit: u32, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        let (ledger, seq_no) = (ledger.unwrap_or(AssetId(0)), NUMBER);
        let TotalKey { ledger: from_ledger, code: from_code, class: from_class } = from;
        Self::of(GetTotals {
            seq_no,
            min_seq,
            linearizable,
            ledger,
            from_ledger,
            from_code,
            from_class,
            limit,
        })
    }

    /// Asks what a proposal would change.
    #[must_use]
    pub fn proposal(proposal: ProposalId, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        Self::of(GetProposal { seq_no: NUMBER, min_seq, linearizable, proposal })
    }

    /// Asks which conditions of monitors became true, up to `limit` of them from a seq and a place in it on.
    #[must_use]
    pub fn triggers((from_seq, from_index): (Seq, u32), limit: u32, freshness: Freshness) -> Self {
        let Freshness { min_seq, linearizable } = freshness;
        Self::of(GetMonitorTriggers { seq_no: NUMBER, min_seq, linearizable, from_seq, from_index, limit })
    }

    /// Whether it is a command, which has a number in its session.
    pub(crate) const fn is_command(&self) -> bool {
        self.is_command
    }

    /// Appends it under the number that stands behind the first in the block of every command.
    pub(crate) fn write_command(&self, number: RequestNumber, command: RequestNumber, out: &mut Vec<u8>) {
        let at = out.len() + HEADERS_BYTES + RequestNumber::BYTES;
        self.write(number, out);
        if let Some(place) = out.get_mut(at..at + RequestNumber::BYTES) {
            place.copy_from_slice(&command.0.to_le_bytes());
        }
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

/// A command that was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Where it took effect in the journal.
    pub seq: Seq,
    /// How often it was sent.
    pub attempts: u32,
}

/// A proposal, and what it would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenProposal {
    /// As it is behind this seq.
    pub seq: Seq,
    /// Which.
    pub proposal: ProposalId,
    /// Who made it.
    pub actor: ActorId,
    /// The kind of its command.
    pub kind: u16,
    /// Until when it may be approved.
    pub expires_at: UnixNanos,
    /// Why it was made.
    pub note: String,
    /// What would be executed; `None` where no message carries a command of this kind.
    pub command: Option<Command>,
    /// The command that would set what was in force when it was made; `None` where that is new, or nothing is set.
    pub before: Option<Command>,
}

impl OpenProposal {
    fn of(found: &Proposal<'_>) -> Self {
        Self {
            seq: found.journal_seq,
            proposal: found.proposal,
            actor: found.actor,
            kind: found.kind,
            expires_at: found.expires_at,
            note: found.note.to_string(),
            command: found.command.command(),
            before: found.before.command(),
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
    /// An account's sums by value date.
    ValueBalance(ValueBalance),
    /// To a command.
    Executed(Executed),
    /// Overdraft lines of the accounts that exist.
    Overdrafts {
        /// As they are behind this seq.
        seq: Seq,
        /// In the order of the question.
        overdrafts: Vec<OverdraftState>,
    },
    /// The bank's calendar.
    Calendar {
        /// As it is behind this seq.
        seq: Seq,
        /// `None` = none is set.
        calendar: Option<SetCalendar>,
    },
    /// A page of the chart of accounts.
    AccountCodes {
        /// As it is behind this seq.
        seq: Seq,
        /// By code, then by ledger.
        codes: Vec<AccountCodeState>,
        /// Where the next page begins.
        next: Option<(u16, AssetId)>,
    },
    /// A page of monitors.
    Monitors {
        /// As they are behind this seq.
        seq: Seq,
        /// By id.
        monitors: Vec<MonitorState>,
        /// Where the next page begins.
        next: Option<MonitorId>,
    },
    /// A page of open proposals.
    Proposals {
        /// As they are behind this seq.
        seq: Seq,
        /// By id.
        proposals: Vec<ProposalState>,
        /// Where the next page begins.
        next: Option<ProposalId>,
    },
    /// A page of exchange quotes.
    Quotes {
        /// As they are behind this seq.
        seq: Seq,
        /// By id.
        quotes: Vec<QuoteState>,
        /// Where the next page begins.
        next: Option<QuoteId>,
    },
    /// A page of standing orders.
    StandingOrders {
        /// As they are behind this seq.
        seq: Seq,
        /// By id.
        orders: Vec<StandingOrderState>,
        /// Where the next page begins.
        next: Option<StandingOrderId>,
    },
    /// Exchanges that transfers belong to.
    Exchanges {
        /// As they are behind this seq.
        seq: Seq,
        /// In the order in which the transfers were asked for.
        exchanges: Vec<ExchangeState>,
    },
    /// What came of a standing order.
    Attempts {
        /// Everything up to this seq is known.
        seq: Seq,
        /// In order.
        attempts: Vec<AttemptState>,
        /// Where the next page begins.
        next: Option<(Seq, u32)>,
    },
    /// A page of totals.
    Totals {
        /// As they are behind this seq.
        seq: Seq,
        /// By ledger, code and class.
        totals: Vec<TotalState>,
        /// Where the next page begins.
        next: Option<TotalKey>,
    },
    /// What a proposal would change.
    Proposal(Box<OpenProposal>),
    /// What became true of monitors' conditions.
    Triggers {
        /// Everything up to this seq is known.
        seq: Seq,
        /// In order.
        triggers: Vec<TriggerState>,
        /// Where the next page begins.
        next: Option<(Seq, u32)>,
    },
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
        /// What is expected of that field; empty where none is meant.
        expected: &'static str,
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
        } else if let Message::ValueBalance(balance) = message {
            (balance.client_seq_no, Self::ValueBalance(*balance))
        } else if let Message::Executed(executed) = message {
            let number = executed.client_seq_no;
            (number, Self::Executed(Executed { seq: executed.journal_seq, attempts: attempts(number) }))
        } else if let Message::BusinessReject(reject) = message {
            let rejected = Self::Rejected {
                reason: reject.reason,
                refusal: reject.refusal,
                retry_after_ns: reject.retry_after_ns,
                text: reject.text.as_str().to_owned(),
                expected: meaning(reject.ref_template_id, reject.text.as_str()).unwrap_or_default(),
            };
            (reject.ref_seq_no, rejected)
        } else {
            return Self::of_setting(message);
        })
    }

    /// What is set, in a message; `None` if it is none.
    fn of_setting(message: &Message<'_>) -> Option<(RequestNumber, Self)> {
        Some(if let Message::Overdrafts(found) = message {
            let overdrafts = found.overdrafts.iter().collect();
            (found.client_seq_no, Self::Overdrafts { seq: found.journal_seq, overdrafts })
        } else if let Message::Calendar(found) = message {
            (found.client_seq_no, Self::Calendar { seq: found.journal_seq, calendar: calendar_of(found) })
        } else if let Message::AccountCodes(found) = message {
            let next = (found.next_code != 0).then_some((found.next_code, found.next_ledger));
            let codes = found.codes.iter().collect();
            (found.client_seq_no, Self::AccountCodes { seq: found.journal_seq, codes, next })
        } else if let Message::Monitors(found) = message {
            let next = (found.next_monitor != MonitorId(0)).then_some(found.next_monitor);
            let monitors = found.monitors.iter().collect();
            (found.client_seq_no, Self::Monitors { seq: found.journal_seq, monitors, next })
        } else if let Message::Proposals(found) = message {
            let next = (found.next_proposal != ProposalId(0)).then_some(found.next_proposal);
            let proposals = found.proposals.iter().collect();
            (found.client_seq_no, Self::Proposals { seq: found.journal_seq, proposals, next })
        } else if let Message::Quotes(found) = message {
            let next = (found.next_quote != QuoteId(0)).then_some(found.next_quote);
            let quotes = found.quotes.iter().collect();
            (found.client_seq_no, Self::Quotes { seq: found.journal_seq, quotes, next })
        } else if let Message::StandingOrders(found) = message {
            let next = (found.next_order != StandingOrderId(0)).then_some(found.next_order);
            let orders = found.orders.iter().collect();
            (found.client_seq_no, Self::StandingOrders { seq: found.journal_seq, orders, next })
        } else if let Message::Exchanges(found) = message {
            let exchanges = found.exchanges.iter().collect();
            (found.client_seq_no, Self::Exchanges { seq: found.journal_seq, exchanges })
        } else if let Message::StandingOrderAttempts(found) = message {
            let next = (found.next_seq != Seq(0)).then_some((found.next_seq, found.next_index));
            let attempts = found.attempts.iter().collect();
            (found.client_seq_no, Self::Attempts { seq: found.journal_seq, attempts, next })
        } else if let Message::Totals(found) = message {
            let next = TotalKey { ledger: found.next_ledger, code: found.next_code, class: found.next_class };
            let next = (next != TotalKey::default()).then_some(next);
            let totals = found.totals.iter().collect();
            (found.client_seq_no, Self::Totals { seq: found.journal_seq, totals, next })
        } else if let Message::Proposal(found) = message {
            (found.client_seq_no, Self::Proposal(Box::new(OpenProposal::of(found))))
        } else if let Message::MonitorTriggers(found) = message {
            let next = (found.next_seq != Seq(0)).then_some((found.next_seq, found.next_index));
            let triggers = found.triggers.iter().collect();
            (found.client_seq_no, Self::Triggers { seq: found.journal_seq, triggers, next })
        } else {
            return None;
        })
    }
}

fn calendar_of(found: &Calendar<'_>) -> Option<SetCalendar> {
    let calendar = SetCalendar {
        business_date: found.business_date,
        weekend_days: found.weekend_days,
        holidays: found.holidays.iter().map(|holiday| holiday.day).collect(),
        value_back_days_max: found.value_back_days_max,
        value_ahead_days_max: found.value_ahead_days_max,
        utc_offset_s: found.utc_offset_s,
        behind_utc: found.behind_utc,
    };
    (calendar.business_date != 0).then_some(calendar)
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

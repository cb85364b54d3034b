//! Questions: what a client wants to know, for whoever holds the state; and what is answered.

use std::sync::Arc;

use protocol::binary::{
    AccountCodeState, AccountState, AttemptState, Balance, BusinessRejectReason, Calendar, Day,
    ExchangeState, Fixed, GetAccountTransfers, GetMonitorTriggers, GetStandingOrderAttempts, GetTotals,
    Message, MonitorState, OverdraftState, Proposal, ProposalState, QuoteState, Rows, StandingOrderState,
    TotalState, TransferState, TriggerState, ValueBalance,
};
use protocol::commands::SetCalendar;
use protocol::limits::{BINARY_ENCLOSED_BYTES_MAX, HOLIDAYS_MAX, READ_ROWS_MAX};
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, MonitorId, ProposalId, QuoteId, RequestNumber, Seq,
    SessionId, StandingOrderId, TransferId, UnixNanos,
};

use crate::ConnectionId;

/// What an answer has beside its rows, and the longest refusal, are not longer than this.
const ANSWER_FIXED_BYTES_MAX: usize = 512;

/// Which accounts are summed together: their ledger, code and class.
pub type TotalKey = (AssetId, u16, AccountClass);

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
    /// What corrected a transfer.
    Corrections {
        /// That was corrected.
        transfer: TransferId,
        /// Behind this place.
        from: Option<(Seq, u32)>,
        /// So many at most.
        limit: usize,
    },
    /// What of an account's posted sums counts on a day, as it was known behind a seq, at an instant, or is now.
    ValueBalanceAt {
        /// Whose.
        account: AccountId,
        /// Days since 1970-01-01.
        value_date: u32,
        /// Behind this seq; 0 = see the next.
        at_seq: Seq,
        /// At this instant; both 0 = now.
        at_time: UnixNanos,
    },
    /// Overdraft lines of accounts, by id.
    Overdrafts(Vec<AccountId>),
    /// The bank's calendar.
    Calendar,
    /// A page of the chart of accounts.
    AccountCodes {
        /// From this code and ledger on.
        from: (u16, AssetId),
        /// So many at most.
        limit: usize,
    },
    /// A page of monitors.
    Monitors {
        /// From this id on.
        from: MonitorId,
        /// So many at most.
        limit: usize,
    },
    /// A page of open proposals.
    Proposals {
        /// From this id on.
        from: ProposalId,
        /// So many at most.
        limit: usize,
    },
    /// What a proposal would change.
    Proposal(ProposalId),
    /// A page of exchange quotes.
    Quotes {
        /// From this id on.
        from: QuoteId,
        /// So many at most.
        limit: usize,
    },
    /// A page of standing orders.
    StandingOrders {
        /// From this id on.
        from: StandingOrderId,
        /// So many at most.
        limit: usize,
    },
    /// A page of the sums over all accounts of each ledger, code and class.
    Totals {
        /// Of this asset alone; `None` = of all.
        ledger: Option<AssetId>,
        /// From these on.
        from: TotalKey,
        /// So many at most.
        limit: usize,
    },
    /// Which exchanges transfers belong to.
    Exchanges(Vec<TransferId>),
    /// What came of a standing order.
    Attempts {
        /// Which.
        order: StandingOrderId,
        /// From this seq on, and this place in it.
        from: (Seq, u32),
        /// So many at most.
        limit: usize,
    },
    /// Conditions of monitors that became true.
    Triggers {
        /// From this seq on, and this place in it.
        from: (Seq, u32),
        /// So many at most.
        limit: usize,
    },
}

/// What is answered, as it is behind a seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// To [`Query::Accounts`]: those that exist.
    Accounts(&'a [AccountState]),
    /// To [`Query::Transfers`], [`Query::AccountTransfers`] and [`Query::Corrections`].
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
    /// To [`Query::ValueBalanceAt`].
    ValueBalance {
        /// The present business date; 0 = there is none.
        business_date: u32,
        /// Debits and credits posted.
        sums: [Amount; 2],
    },
    /// To [`Query::Overdrafts`]: those of accounts that exist.
    Overdrafts(&'a [OverdraftState]),
    /// To [`Query::Calendar`]; `None` = none is set.
    Calendar(Option<&'a SetCalendar>),
    /// To [`Query::AccountCodes`].
    AccountCodes {
        /// By code, then by ledger.
        codes: &'a [AccountCodeState],
        /// Where the next page begins.
        next: Option<(u16, AssetId)>,
    },
    /// To [`Query::Monitors`].
    Monitors {
        /// By id.
        monitors: &'a [MonitorState],
        /// Where the next page begins.
        next: Option<MonitorId>,
    },
    /// To [`Query::Proposals`].
    Proposals {
        /// By id.
        proposals: &'a [ProposalState],
        /// Where the next page begins.
        next: Option<ProposalId>,
    },
    /// To [`Query::Proposal`]; the acceptor sets its numbers.
    Proposal(Proposal<'a>),
    /// To [`Query::Quotes`].
    Quotes {
        /// By id.
        quotes: &'a [QuoteState],
        /// Where the next page begins.
        next: Option<QuoteId>,
    },
    /// To [`Query::StandingOrders`].
    StandingOrders {
        /// By id.
        orders: &'a [StandingOrderState],
        /// Where the next page begins.
        next: Option<StandingOrderId>,
    },
    /// To [`Query::Totals`].
    Totals {
        /// By ledger, code and class.
        totals: &'a [TotalState],
        /// Where the next page begins.
        next: Option<TotalKey>,
    },
    /// To [`Query::Exchanges`]: those that exist.
    Exchanges(&'a [ExchangeState]),
    /// To [`Query::Attempts`].
    Attempts {
        /// In order.
        attempts: &'a [AttemptState],
        /// Where the next page begins.
        next: Option<(Seq, u32)>,
    },
    /// To [`Query::Triggers`].
    Triggers {
        /// In order.
        triggers: &'a [TriggerState],
        /// Where the next page begins.
        next: Option<(Seq, u32)>,
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
        } else if let Message::LookupOverdrafts(read) = message {
            let ids = read.ids.iter().map(|key| key.id).collect();
            (read.seq_no, read.min_seq, read.linearizable, Ok(Query::Overdrafts(ids)))
        } else if let Message::GetCalendar(read) = message {
            (read.seq_no, read.min_seq, read.linearizable, Ok(Query::Calendar))
        } else if let Message::GetCorrections(read) = message {
            let from = (read.from_seq != Seq(0)).then_some((read.from_seq, read.from_index));
            let transfer = read.transfer;
            let query = check_limit(read.limit).map(|limit| Query::Corrections { transfer, from, limit });
            (read.seq_no, read.min_seq, read.linearizable, query)
        } else if let Message::ValueBalanceAt(read) = message {
            let &protocol::binary::ValueBalanceAt { account, value_date, at_seq, at_time, .. } = read;
            let query = Query::ValueBalanceAt { account, value_date, at_seq, at_time };
            (read.seq_no, read.min_seq, read.linearizable, Ok(query))
        } else if let Message::LookupExchanges(read) = message {
            let ids = read.ids.iter().map(|key| key.id).collect();
            (read.seq_no, read.min_seq, read.linearizable, Ok(Query::Exchanges(ids)))
        } else if let Message::GetProposal(read) = message {
            (read.seq_no, read.min_seq, read.linearizable, Ok(Query::Proposal(read.proposal)))
        } else {
            page_of(message)?
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
            Query::Overdrafts(ids) => ids.len().saturating_mul(OverdraftState::BYTES),
            Query::Calendar => HOLIDAYS_MAX.saturating_mul(Day::BYTES),
            Query::AccountCodes { limit, .. } => limit.saturating_mul(AccountCodeState::BYTES),
            Query::Monitors { limit, .. } => limit.saturating_mul(MonitorState::BYTES),
            Query::Triggers { limit, .. } => limit.saturating_mul(TriggerState::BYTES),
            Query::Proposals { limit, .. } => limit.saturating_mul(ProposalState::BYTES),
            Query::Quotes { limit, .. } => limit.saturating_mul(QuoteState::BYTES),
            Query::StandingOrders { limit, .. } => limit.saturating_mul(StandingOrderState::BYTES),
            Query::Exchanges(ids) => ids.len().saturating_mul(ExchangeState::BYTES),
            Query::Attempts { limit, .. } => limit.saturating_mul(AttemptState::BYTES),
            Query::Totals { limit, .. } => limit.saturating_mul(TotalState::BYTES),
            Query::Proposal(_) => BINARY_ENCLOSED_BYTES_MAX.saturating_mul(2),
            Query::Corrections { limit, .. } => limit.saturating_mul(TransferState::BYTES),
            Query::BalanceAt { .. } | Query::ValueBalanceAt { .. } => 0,
        };
        rows.saturating_add(ANSWER_FIXED_BYTES_MAX)
    }

    /// Which account, of a question about one.
    pub(crate) fn account(&self) -> AccountId {
        match &self.query {
            Query::BalanceAt { account, .. } | Query::ValueBalanceAt { account, .. } => *account,
            Query::AccountTransfers(read) => read.account,
            Query::Accounts(_)
            | Query::Transfers(_)
            | Query::Overdrafts(_)
            | Query::Calendar
            | Query::Corrections { .. }
            | Query::AccountCodes { .. }
            | Query::Monitors { .. }
            | Query::Triggers { .. }
            | Query::Proposals { .. }
            | Query::Proposal(_)
            | Query::Quotes { .. }
            | Query::StandingOrders { .. }
            | Query::Exchanges(_)
            | Query::Attempts { .. }
            | Query::Totals { .. } => AccountId(0),
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

    /// The message of a balance by value date.
    pub(crate) fn value_balance(
        &self,
        journal_seq: Seq,
        business_date: u32,
        sums: [Amount; 2],
    ) -> ValueBalance {
        let [debits_posted, credits_posted] = sums;
        let (client_seq_no, account) = (self.seq_no, self.account());
        let value_date =
            if let Query::ValueBalanceAt { value_date, .. } = self.query { value_date } else { 0 };
        ValueBalance {
            client_seq_no,
            account,
            journal_seq,
            value_date,
            business_date,
            debits_posted,
            credits_posted,
        }
    }

    /// The message of a calendar; its holidays are written into `rows`.
    pub(crate) fn calendar<'a>(
        &self,
        journal_seq: Seq,
        calendar: Option<&SetCalendar>,
        rows: &'a mut Vec<u8>,
    ) -> Calendar<'a> {
        rows.clear();
        calendar.iter().flat_map(|set| &set.holidays).for_each(|&day| Day { day }.put(rows));
        Calendar {
            client_seq_no: self.seq_no,
            journal_seq,
            business_date: calendar.map_or(0, |set| set.business_date),
            weekend_days: calendar.map_or(0, |set| set.weekend_days),
            value_back_days_max: calendar.map_or(0, |set| set.value_back_days_max),
            value_ahead_days_max: calendar.map_or(0, |set| set.value_ahead_days_max),
            utc_offset_s: calendar.map_or(0, |set| set.utc_offset_s),
            behind_utc: calendar.is_some_and(|set| set.behind_utc),
            holidays: Rows::new(rows).unwrap_or_default(),
        }
    }
}

/// A question in a message: number, seq that it waits for, whether it is linearizable, and what is asked, or the field that has no meaning.
type Asked = (RequestNumber, Seq, bool, Result<Query, &'static str>);

/// The question for a page of a list in a message, if it is one.
fn page_of(message: &Message<'_>) -> Option<Asked> {
    Some(if let Message::GetMonitors(read) = message {
        let from = read.from_monitor;
        let query = check_limit(read.limit).map(|limit| Query::Monitors { from, limit });
        (read.seq_no, read.min_seq, read.linearizable, query)
    } else if let Message::GetAccountCodes(read) = message {
        let from = (read.from_code, read.from_ledger);
        let query = check_limit(read.limit).map(|limit| Query::AccountCodes { from, limit });
        (read.seq_no, read.min_seq, read.linearizable, query)
    } else if let Message::GetProposals(read) = message {
        let from = read.from_proposal;
        let query = check_limit(read.limit).map(|limit| Query::Proposals { from, limit });
        (read.seq_no, read.min_seq, read.linearizable, query)
    } else if let Message::GetQuotes(read) = message {
        let from = read.from_quote;
        let query = check_limit(read.limit).map(|limit| Query::Quotes { from, limit });
        (read.seq_no, read.min_seq, read.linearizable, query)
    } else if let Message::GetStandingOrders(read) = message {
        let from = read.from_order;
        let query = check_limit(read.limit).map(|limit| Query::StandingOrders { from, limit });
        (read.seq_no, read.min_seq, read.linearizable, query)
    } else if let Message::GetStandingOrderAttempts(read) = message {
        let &GetStandingOrderAttempts { order, from_seq, from_index, limit, .. } = read;
        let from = (from_seq, from_index);
        let query = check_limit(limit).map(|limit| Query::Attempts { order, from, limit });
        (read.seq_no, read.min_seq, read.linearizable, query)
    } else if let Message::GetTotals(read) = message {
        (read.seq_no, read.min_seq, read.linearizable, totals(read))
    } else if let Message::GetMonitorTriggers(read) = message {
        let &GetMonitorTriggers { from_seq, from_index, limit, .. } = read;
        let query = check_limit(limit).map(|limit| Query::Triggers { from: (from_seq, from_index), limit });
        (read.seq_no, read.min_seq, read.linearizable, query)
    } else {
        return None;
    })
}

fn check_limit(limit: u32) -> Result<usize, &'static str> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if (1..=READ_ROWS_MAX).contains(&limit) { Ok(limit) } else { Err("limit") }
}

fn totals(read: &GetTotals) -> Result<Query, &'static str> {
    let &GetTotals { ledger, from_ledger, from_code, from_class, limit, .. } = read;
    let limit = check_limit(limit)?;
    let ledger = (ledger != AssetId(0)).then_some(ledger);
    if ledger.is_some_and(|ledger| from_ledger != AssetId(0) && from_ledger != ledger) {
        return Err("from_ledger");
    }
    // Of all classes the client's comes first.
    let from = (ledger.unwrap_or(from_ledger), from_code, from_class.unwrap_or(AccountClass::Client));
    Ok(Query::Totals { ledger, from, limit })
}

fn check_page(read: &GetAccountTransfers) -> Result<(), &'static str> {
    check_limit(read.limit)?;
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

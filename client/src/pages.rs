//! Answers as what they are, and an account's transfers page by page.

use protocol::binary::{
    AccountCodeState, AccountState, AttemptState, Balance, ExchangeState, MonitorState, OverdraftState,
    ProposalState, QuoteState, StandingOrderState, TotalState, TransferState, TriggerState, ValueBalance,
};
use protocol::commands::SetCalendar;
use protocol::{AssetId, MonitorId, ProposalId, QuoteId, Seq, StandingOrderId};

use crate::asynchronous::AsyncClient;
use crate::blocking::{Client, ClientFault};
use crate::request::{BatchResult, Executed, Freshness, OpenProposal, Page, Reply, Request, TotalKey};

/// Some transfers of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferPage {
    /// As they are behind this seq.
    pub seq: Seq,
    /// In order. There may be fewer than asked for, or none, and yet a next page: few of many have been wanted.
    pub transfers: Vec<TransferState>,
    /// Where the next page goes on: [`Page::from`]; `None` = there is no more.
    pub next: Option<(Seq, u32)>,
}

/// Some codes of the chart of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCodePage {
    /// As they are behind this seq.
    pub seq: Seq,
    /// By code, then by ledger.
    pub codes: Vec<AccountCodeState>,
    /// Where the next page begins; `None` = there is no more.
    pub next: Option<(u16, AssetId)>,
}

/// Some monitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorPage {
    /// As they are behind this seq.
    pub seq: Seq,
    /// By id.
    pub monitors: Vec<MonitorState>,
    /// Where the next page begins; `None` = there is no more.
    pub next: Option<MonitorId>,
}

/// Some open proposals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalPage {
    /// As they are behind this seq.
    pub seq: Seq,
    /// By id.
    pub proposals: Vec<ProposalState>,
    /// Where the next page begins; `None` = there is no more.
    pub next: Option<ProposalId>,
}

/// Some exchange quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotePage {
    /// As they are behind this seq.
    pub seq: Seq,
    /// By id.
    pub quotes: Vec<QuoteState>,
    /// Where the next page begins; `None` = there is no more.
    pub next: Option<QuoteId>,
}

/// Some standing orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingOrderPage {
    /// As they are behind this seq.
    pub seq: Seq,
    /// By id.
    pub orders: Vec<StandingOrderState>,
    /// Where the next page begins; `None` = there is no more.
    pub next: Option<StandingOrderId>,
}

/// Some of what came of a standing order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPage {
    /// Everything up to this seq is known: what is not listed, here or on the next pages, comes behind it.
    pub seq: Seq,
    /// In order.
    pub attempts: Vec<AttemptState>,
    /// Where the next page begins; `None` = there is no more up to `seq`.
    pub next: Option<(Seq, u32)>,
}

impl AttemptPage {
    /// Where what comes next begins, whether that is there already or not.
    #[must_use]
    pub fn goes_on(&self) -> (Seq, u32) {
        self.next.unwrap_or((self.seq.next(), 0))
    }
}

/// Some totals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotalPage {
    /// As they are behind this seq.
    pub seq: Seq,
    /// By ledger, code and class.
    pub totals: Vec<TotalState>,
    /// Where the next page begins; `None` = there is no more.
    pub next: Option<TotalKey>,
}

/// Some of what became true of monitors' conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerPage {
    /// Everything up to this seq is known: what is not listed, here or on the next pages, comes behind it.
    pub seq: Seq,
    /// In order.
    pub triggers: Vec<TriggerState>,
    /// Where the next page begins; `None` = there is no more up to `seq`.
    pub next: Option<(Seq, u32)>,
}

impl TriggerPage {
    /// Where what comes next begins, whether that is there already or not.
    #[must_use]
    pub fn goes_on(&self) -> (Seq, u32) {
        self.next.unwrap_or((self.seq.next(), 0))
    }
}

impl Reply {
    pub(crate) fn created(self) -> Result<BatchResult, ClientFault> {
        if let Self::Created(result) = self { Ok(result) } else { Err(self.fault()) }
    }

    pub(crate) fn accounts(self) -> Result<(Seq, Vec<AccountState>), ClientFault> {
        if let Self::Accounts { seq, accounts } = self { Ok((seq, accounts)) } else { Err(self.fault()) }
    }

    pub(crate) fn transfers(self) -> Result<TransferPage, ClientFault> {
        if let Self::Transfers { seq, transfers, next } = self {
            Ok(TransferPage { seq, transfers, next })
        } else {
            Err(self.fault())
        }
    }

    pub(crate) fn balance(self) -> Result<Balance, ClientFault> {
        if let Self::Balance(balance) = self { Ok(balance) } else { Err(self.fault()) }
    }

    pub(crate) fn value_balance(self) -> Result<ValueBalance, ClientFault> {
        if let Self::ValueBalance(balance) = self { Ok(balance) } else { Err(self.fault()) }
    }

    pub(crate) fn executed(self) -> Result<Executed, ClientFault> {
        if let Self::Executed(executed) = self { Ok(executed) } else { Err(self.fault()) }
    }

    pub(crate) fn overdrafts(self) -> Result<(Seq, Vec<OverdraftState>), ClientFault> {
        if let Self::Overdrafts { seq, overdrafts } = self {
            Ok((seq, overdrafts))
        } else {
            Err(self.fault())
        }
    }

    pub(crate) fn calendar(self) -> Result<(Seq, Option<SetCalendar>), ClientFault> {
        if let Self::Calendar { seq, calendar } = self { Ok((seq, calendar)) } else { Err(self.fault()) }
    }

    pub(crate) fn account_codes(self) -> Result<AccountCodePage, ClientFault> {
        if let Self::AccountCodes { seq, codes, next } = self {
            Ok(AccountCodePage { seq, codes, next })
        } else {
            Err(self.fault())
        }
    }

    pub(crate) fn monitors(self) -> Result<MonitorPage, ClientFault> {
        if let Self::Monitors { seq, monitors, next } = self {
            Ok(MonitorPage { seq, monitors, next })
        } else {
            Err(self.fault())
        }
    }

    pub(crate) fn proposals(self) -> Result<ProposalPage, ClientFault> {
        if let Self::Proposals { seq, proposals, next } = self {
            Ok(ProposalPage { seq, proposals, next })
        } else {
            Err(self.fault())
        }
    }

    pub(crate) fn quotes(self) -> Result<QuotePage, ClientFault> {
        if let Self::Quotes { seq, quotes, next } = self {
            Ok(QuotePage { seq, quotes, next })
        } else {
            Err(self.fault())
        }
    }

    pub(crate) fn standing_orders(self) -> Result<StandingOrderPage, ClientFault> {
        if let Self::StandingOrders { seq, orders, next } = self {
            Ok(StandingOrderPage { seq, orders, next })
        } else {
            Err(self.fault())
        }
    }

    pub(crate) fn exchanges(self) -> Result<(Seq, Vec<ExchangeState>), ClientFault> {
        if let Self::Exchanges { seq, exchanges } = self { Ok((seq, exchanges)) } else { Err(self.fault()) }
    }

    pub(crate) fn attempts(self) -> Result<AttemptPage, ClientFault> {
        if let Self::Attempts { seq, attempts, next } = self {
            Ok(AttemptPage { seq, attempts, next })
        } else {
            Err(self.fault())
        }
    }

    pub(crate) fn totals(self) -> Result<TotalPage, ClientFault> {
        if let Self::Totals { seq, totals, next } = self {
            Ok(TotalPage { seq, totals, next })
        } else {
            Err(self.fault())
        }
    }

    pub(crate) fn proposal(self) -> Result<OpenProposal, ClientFault> {
        if let Self::Proposal(proposal) = self { Ok(*proposal) } else { Err(self.fault()) }
    }

    pub(crate) fn triggers(self) -> Result<TriggerPage, ClientFault> {
        if let Self::Triggers { seq, triggers, next } = self {
            Ok(TriggerPage { seq, triggers, next })
        } else {
            Err(self.fault())
        }
    }

    /// Why it is not the answer that was expected.
    fn fault(self) -> ClientFault {
        match self {
            Self::Rejected { reason, refusal, retry_after_ns, text, expected } => {
                ClientFault::Rejected { reason, refusal, retry_after_ns, text, expected }
            }
            Self::Created(_)
            | Self::Accounts { .. }
            | Self::Transfers { .. }
            | Self::Balance(_)
            | Self::ValueBalance(_)
            | Self::Executed(_)
            | Self::Overdrafts { .. }
            | Self::Calendar { .. }
            | Self::AccountCodes { .. }
            | Self::Monitors { .. }
            | Self::Triggers { .. }
            | Self::Proposals { .. }
            | Self::Quotes { .. }
            | Self::StandingOrders { .. }
            | Self::Totals { .. }
            | Self::Attempts { .. }
            | Self::Exchanges { .. }
            | Self::Proposal(_) => ClientFault::Crossed,
        }
    }
}

/// How far an account's transfers have been read.
pub(crate) struct Pages {
    /// `None` = to the end.
    next: Option<Page>,
    freshness: Freshness,
}

impl Pages {
    pub(crate) const fn new(page: Page, freshness: Freshness) -> Self {
        Self { next: Some(page), freshness }
    }

    fn request(&self) -> Option<Request> {
        self.next.as_ref().map(|page| Request::account_transfers(page, self.freshness))
    }

    /// What came of that request. Behind a fault the same page may be asked for again.
    fn take(&mut self, reply: Result<Reply, ClientFault>) -> Result<TransferPage, ClientFault> {
        let found = reply?.transfers()?;
        self.next = self.next.filter(|_| found.next.is_some()).map(|page| Page { from: found.next, ..page });
        Ok(found)
    }
}

/// Goes through an account's transfers, and asks for the next page where one is read. Behind a fault the same is asked again.
pub struct AccountTransfers<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) pages: Pages,
    pub(crate) transfers: std::vec::IntoIter<TransferState>,
}

impl Iterator for AccountTransfers<'_> {
    type Item = Result<TransferState, ClientFault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(transfer) = self.transfers.next() {
                return Some(Ok(transfer));
            }
            let reply = self.client.call(self.pages.request()?);
            match self.pages.take(reply) {
                Ok(page) => self.transfers = page.transfers.into_iter(),
                Err(fault) => return Some(Err(fault)),
            }
        }
    }
}

/// Goes through an account's transfers, page by page.
pub struct AccountPages<'a> {
    pub(crate) client: &'a AsyncClient,
    pub(crate) pages: Pages,
}

impl AccountPages<'_> {
    /// The next page; `None` = there is no more.
    ///
    /// # Errors
    /// [`ClientFault`]; the same may be asked again.
    pub async fn next(&mut self) -> Option<Result<TransferPage, ClientFault>> {
        let reply = self.client.call(self.pages.request()?).await;
        Some(self.pages.take(reply))
    }
}

//! Answers as what they are, and an account's transfers page by page.

use protocol::Seq;
use protocol::binary::{AccountState, Balance, TransferState};

use crate::asynchronous::AsyncClient;
use crate::blocking::{Client, ClientFault};
use crate::request::{BatchResult, Freshness, Page, Reply, Request};

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

    /// Why it is not the answer that was expected.
    fn fault(self) -> ClientFault {
        match self {
            Self::Rejected { reason, refusal, retry_after_ns, text } => {
                ClientFault::Rejected { reason, refusal, retry_after_ns, text }
            }
            Self::Created(_) | Self::Accounts { .. } | Self::Transfers { .. } | Self::Balance(_) => {
                ClientFault::Crossed
            }
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

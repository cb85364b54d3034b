//! The asynchronous face: a [`Client`] on a thread of its own, and futures that any executor may wait for.

use std::collections::BTreeMap;
use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{Builder, JoinHandle};

use protocol::binary::{AccountState, Balance, ExchangeState, OverdraftState, TransferState, ValueBalance};
use protocol::commands::SetCalendar;
use protocol::limits::READ_ROWS_MAX;
use protocol::rows::{AccountRow, TransferRow};
use protocol::{
    AccountId, AssetId, Command, MonitorId, MonoNanos, ProposalId, QuoteId, Seq, StandingOrderId, TransferId,
};
use rustix::event::{EventfdFlags, eventfd};

use crate::blocking::{Client, ClientFault, Options};
use crate::conversation::Ticket;
use crate::pages::{
    AccountCodePage, AccountPages, AttemptPage, MonitorPage, Pages, ProposalPage, QuotePage,
    StandingOrderPage, TotalPage, TransferPage, TriggerPage,
};
use crate::request::{At, BatchResult, Executed, Freshness, OpenProposal, Page, Reply, Request, TotalKey};

/// Several requests under way, from any number of tasks and threads. When it is dropped, those that are unanswered are given up.
pub struct AsyncClient {
    requests: Option<Sender<(Request, Answer)>>,
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// An answer to come. Dropping it withdraws nothing: the request is executed all the same.
#[must_use = "a request is under way, and its answer is wanted"]
pub struct Pending(Answer);

/// Where an answer is put.
#[derive(Clone, Default)]
struct Answer(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    reply: Option<Result<Reply, ClientFault>>,
    waker: Option<Waker>,
}

impl Answer {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, reply: Result<Reply, ClientFault>) {
        let mut slot = self.slot();
        slot.reply = Some(reply);
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Pending {
    type Output = Result<Reply, ClientFault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.0.slot();
        if let Some(reply) = slot.reply.take() {
            return Poll::Ready(reply);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncClient {
    /// Starts the thread, which connects as soon as there is a request. A request that finds no leader in time is answered
    /// [`ClientFault::Patience`], and given up.
    ///
    /// # Errors
    /// [`ClientFault::System`].
    pub fn start(options: Options) -> Result<Self, ClientFault> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = Arc::new(eventfd(0, flags).map_err(|errno| ClientFault::System(errno.into()))?);
        let (requests, taken) = channel();
        let mut driver = Driver {
            client: Client::unconnected(options),
            requests: taken,
            bell: Arc::clone(&bell),
            answers: BTreeMap::new(),
            until: MonoNanos(0),
        };
        let thread = Builder::new().name("ledger client".to_owned());
        let thread = thread.spawn(move || driver.run()).map_err(ClientFault::System)?;
        Ok(Self { requests: Some(requests), bell, thread: Some(thread) })
    }

    /// Sends a request. The future is its answer.
    pub fn call(&self, request: Request) -> Pending {
        let answer = Answer::default();
        let sent = self.requests.as_ref().map(|requests| requests.send((request, answer.clone())));
        if matches!(sent, Some(Ok(()))) {
            self.ring();
        } else {
            answer.put(Err(ClientFault::Unknown));
        }
        Pending(answer)
    }

    /// Creates accounts.
    ///
    /// # Errors
    /// [`ClientFault`]. Rows that were not created are no error: [`BatchResult::exceptions`].
    pub async fn create_accounts(&self, accounts: &[AccountRow]) -> Result<BatchResult, ClientFault> {
        self.call(Request::create_accounts(accounts).ok_or(ClientFault::Rows)?).await?.created()
    }

    /// Creates transfers.
    ///
    /// # Errors
    /// [`ClientFault`]. Rows that were not created are no error: [`BatchResult::exceptions`].
    pub async fn create_transfers(&self, transfers: &[TransferRow]) -> Result<BatchResult, ClientFault> {
        let request = Request::create_transfers(transfers).ok_or(ClientFault::Rows)?;
        let mut result = self.call(request).await?.created()?;
        for ids in result.forgotten(transfers).chunks(READ_ROWS_MAX) {
            let (_, found) = self.lookup_transfers(ids, Freshness::LINEARIZABLE).await?;
            result.recall(transfers, &found);
        }
        Ok(result)
    }

    /// Accounts that exist of those asked for, in that order, and behind which seq they are so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn lookup_accounts(
        &self,
        ids: &[AccountId],
        freshness: Freshness,
    ) -> Result<(Seq, Vec<AccountState>), ClientFault> {
        self.call(Request::lookup_accounts(ids, freshness).ok_or(ClientFault::Rows)?).await?.accounts()
    }

    /// Transfers that exist of those asked for, in that order, and behind which seq they are so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn lookup_transfers(
        &self,
        ids: &[TransferId],
        freshness: Freshness,
    ) -> Result<(Seq, Vec<TransferState>), ClientFault> {
        let request = Request::lookup_transfers(ids, freshness).ok_or(ClientFault::Rows)?;
        self.call(request).await?.transfers().map(|page| (page.seq, page.transfers))
    }

    /// An account's transfers from `page` on, page by page.
    pub const fn account_transfers(&self, page: Page, freshness: Freshness) -> AccountPages<'_> {
        AccountPages { client: self, pages: Pages::new(page, freshness) }
    }

    /// An account's sums.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn balance_at(
        &self,
        account: AccountId,
        at: At,
        freshness: Freshness,
    ) -> Result<Balance, ClientFault> {
        self.call(Request::balance_at(account, at, freshness)).await?.balance()
    }

    /// What corrected a transfer: a page of up to `limit`, behind a place or the first.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn corrections(
        &self,
        transfer: TransferId,
        from: Option<(Seq, u32)>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<TransferPage, ClientFault> {
        self.call(Request::corrections(transfer, from, limit, freshness)).await?.transfers()
    }

    /// What of an account's posted sums counts on a day, since 1970-01-01, as it was known at a time.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn value_balance(
        &self,
        account: AccountId,
        value_date: u32,
        at: At,
        freshness: Freshness,
    ) -> Result<ValueBalance, ClientFault> {
        self.call(Request::value_balance(account, value_date, at, freshness)).await?.value_balance()
    }

    /// A page of exchange quotes, up to `limit` of them from an id on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn quotes(
        &self,
        from: QuoteId,
        limit: u32,
        freshness: Freshness,
    ) -> Result<QuotePage, ClientFault> {
        self.call(Request::quotes(from, limit, freshness)).await?.quotes()
    }

    /// A page of standing orders, up to `limit` of them from an id on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn standing_orders(
        &self,
        from: StandingOrderId,
        limit: u32,
        freshness: Freshness,
    ) -> Result<StandingOrderPage, ClientFault> {
        self.call(Request::standing_orders(from, limit, freshness)).await?.standing_orders()
    }

    /// The exchanges that these transfers belong to, as far as they do, in that order, and behind which seq they are so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn lookup_exchanges(
        &self,
        ids: &[TransferId],
        freshness: Freshness,
    ) -> Result<(Seq, Vec<ExchangeState>), ClientFault> {
        let request = Request::lookup_exchanges(ids, freshness).ok_or(ClientFault::Rows)?;
        self.call(request).await?.exchanges()
    }

    /// What came of a standing order, up to `limit` attempts from a seq and a place in it on. Nothing is missed by who asks on from
    /// [`AttemptPage::goes_on`].
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn standing_order_attempts(
        &self,
        order: StandingOrderId,
        from: (Seq, u32),
        limit: u32,
        freshness: Freshness,
    ) -> Result<AttemptPage, ClientFault> {
        self.call(Request::standing_order_attempts(order, from, limit, freshness)).await?.attempts()
    }

    /// A page of the totals, up to `limit` of them from a key on, of one ledger or of all: the bank's sessions (admin, cashier) see them,
    /// and to all others there are none.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn totals(
        &self,
        ledger: Option<AssetId>,
        from: TotalKey,
        limit: u32,
        freshness: Freshness,
    ) -> Result<TotalPage, ClientFault> {
        self.call(Request::totals(ledger, from, limit, freshness)).await?.totals()
    }

    /// Executes a command, once however often it has to be sent.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn execute(&self, command: impl Into<Command>) -> Result<Executed, ClientFault> {
        self.call(Request::command(command).ok_or(ClientFault::Command)?).await?.executed()
    }

    /// Overdraft lines of the accounts that exist of those asked for, in that order, and behind which seq they are so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn lookup_overdrafts(
        &self,
        ids: &[AccountId],
        freshness: Freshness,
    ) -> Result<(Seq, Vec<OverdraftState>), ClientFault> {
        self.call(Request::lookup_overdrafts(ids, freshness).ok_or(ClientFault::Rows)?).await?.overdrafts()
    }

    /// The bank's calendar, if it is set, and behind which seq it is so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn calendar(&self, freshness: Freshness) -> Result<(Seq, Option<SetCalendar>), ClientFault> {
        self.call(Request::calendar(freshness)).await?.calendar()
    }

    /// A page of the chart of accounts, up to `limit` codes from a code and a ledger on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn account_codes(
        &self,
        from: (u16, AssetId),
        limit: u32,
        freshness: Freshness,
    ) -> Result<AccountCodePage, ClientFault> {
        self.call(Request::account_codes(from, limit, freshness)).await?.account_codes()
    }

    /// A page of monitors, up to `limit` of them from an id on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn monitors(
        &self,
        from: MonitorId,
        limit: u32,
        freshness: Freshness,
    ) -> Result<MonitorPage, ClientFault> {
        self.call(Request::monitors(from, limit, freshness)).await?.monitors()
    }

    /// A page of open proposals, up to `limit` of them from an id on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn proposals(
        &self,
        from: ProposalId,
        limit: u32,
        freshness: Freshness,
    ) -> Result<ProposalPage, ClientFault> {
        self.call(Request::proposals(from, limit, freshness)).await?.proposals()
    }

    /// An open proposal, and what it would change.
    ///
    /// # Errors
    /// As [`Client::proposal`].
    pub async fn proposal(&self, id: ProposalId, freshness: Freshness) -> Result<OpenProposal, ClientFault> {
        self.call(Request::proposal(id, freshness)).await?.proposal()
    }

    /// Which conditions of monitors became true, up to `limit` of them from a seq and a place in it on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn triggers(
        &self,
        from: (Seq, u32),
        limit: u32,
        freshness: Freshness,
    ) -> Result<TriggerPage, ClientFault> {
        self.call(Request::triggers(from, limit, freshness)).await?.triggers()
    }

    fn ring(&self) {
        // Full = it has been rung more often than anybody counts.
        rustix::io::write(&self.bell, &1_u64.to_ne_bytes()).ok();
    }
}

impl Drop for AsyncClient {
    fn drop(&mut self) {
        self.requests = None;
        self.ring();
        if let Some(thread) = self.thread.take() {
            // Whoever waits for answers hears of a thread that panicked by their faults.
            drop(thread.join());
        }
    }
}

/// The thread's side.
struct Driver {
    client: Client,
    requests: Receiver<(Request, Answer)>,
    bell: Arc<OwnedFd>,
    answers: BTreeMap<Ticket, Answer>,
    /// When patience is over.
    until: MonoNanos,
}

impl Driver {
    fn run(&mut self) {
        while self.take_requests() {
            self.turn();
        }
        self.give_up(&ClientFault::Unknown);
    }

    /// Takes what is asked, waiting for it if there is nothing else to do. Returns false once nobody can ask any more.
    fn take_requests(&mut self) -> bool {
        if self.answers.is_empty() && !self.client.is_connected() {
            let Ok(first) = self.requests.recv() else { return false };
            self.submit(first);
        }
        loop {
            match self.requests.try_recv() {
                Ok(next) => self.submit(next),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn submit(&mut self, (request, answer): (Request, Answer)) {
        if self.answers.is_empty() {
            self.until = self.client.until();
        }
        match self.client.enqueue(request) {
            Ok(ticket) => {
                self.answers.insert(ticket, answer);
            }
            Err(fault) => answer.put(Err(fault)),
        }
    }

    fn turn(&mut self) {
        // Who waits for nothing has patience.
        let until = if self.answers.is_empty() { self.client.until() } else { self.until };
        let turned = self.client.turn(until, Some(self.bell.as_fd()));
        let mut rung = [0; 8];
        // Nothing to read = it was not rung.
        rustix::io::read(&self.bell, &mut rung).ok();
        while let Some((ticket, reply)) = self.client.take_reply() {
            self.until = self.client.until();
            if let Some(answer) = self.answers.remove(&ticket) {
                answer.put(Ok(reply));
            }
        }
        if let Err(fault) = turned {
            self.give_up(&fault);
        }
    }

    fn give_up(&mut self, fault: &ClientFault) {
        for (ticket, answer) in std::mem::take(&mut self.answers) {
            let refusal = self.client.give_up(ticket);
            answer.put(refusal.ok_or_else(|| fault.again()));
        }
    }
}

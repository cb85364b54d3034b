//! The blocking face: sockets and clocks around a [`Conversation`], on the caller's thread.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use protocol::binary::{
    AccountState, Balance, BusinessRejectReason, ExchangeState, OverdraftState, TransferState, ValueBalance,
};
use protocol::commands::SetCalendar;
use protocol::limits::READ_ROWS_MAX;
use protocol::rows::{AccountRow, TransferRow};
use protocol::time::NANOS_PER_MILLI;
use protocol::{
    AccountId, AssetId, Command, MonitorId, MonoNanos, ProposalId, QuoteId, RejectReason, Seq,
    StandingOrderId, TransferId,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::Clock;
use crate::conversation::{Conversation, Credentials, Ended, Ticket};
use crate::pages::{
    AccountCodePage, AccountTransfers, AttemptPage, MonitorPage, Pages, ProposalPage, QuotePage,
    StandingOrderPage, TotalPage, TransferPage, TriggerPage,
};
use crate::request::{At, BatchResult, Executed, Freshness, OpenProposal, Page, Reply, Request, TotalKey};

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;
/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(1);
/// Between two attempts, from the first to the later ones.
const PAUSE_MS: [u64; 5] = [0, 10, 20, 50, 100];
/// What was gathered is written once it is so much.
const GATHERED_BYTES_MAX: usize = 32 << 10;
/// Commands under way: well inside the window of numbers in which the engine knows a repetition, so that others of the session have
/// room in it, too.
const COMMANDS_MAX: usize = 128;
/// Requests wait before more than this waits to be written.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Where and as whom.
pub struct Options {
    /// Nodes of the cluster, `HOST:PORT`; whoever leads is found among them.
    pub nodes: Vec<String>,
    /// The session and its key.
    pub credentials: Credentials,
    /// How long either side is silent at most.
    pub keep_alive_ms: u32,
    /// How long an answer is waited for, with all attempts, before that is given up. As long a request is sent again that a node had no
    /// answer for: it was busy, had no quorum, or had not come to the seq that was asked for.
    pub patience_ms: u64,
}

impl Options {
    /// The usual ones: 5 s of silence, 30 s of patience.
    #[must_use]
    pub const fn new(nodes: Vec<String>, credentials: Credentials) -> Self {
        Self { nodes, credentials, keep_alive_ms: 5_000, patience_ms: 30_000 }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// No node took the session in time. What was sent may have been executed; whoever sends the same ids again learns it.
    #[error("{} The last attempt: {last}", waits(*.waiting))]
    Patience {
        /// How many.
        waiting: usize,
        /// What the last attempt met.
        last: String,
    },
    /// No node will ever take it.
    #[error(transparent)]
    Refused(#[from] Ended),
    /// The request was refused whole, and had no effect.
    #[error("{}{}{}{text}{expected}", .reason.name(), .refusal.map_or("", |_| ": "), .refusal.map_or("", RejectReason::name), text = if .text.is_empty() { String::new() } else { format!(" ({})", .text) }, expected = if .expected.is_empty() { String::new() } else { format!(". Expected: {}", .expected) })]
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
    /// No request has no rows, or more than it may have.
    #[error("a request of no rows, or of too many")]
    Rows,
    /// Clients have no message for this command, or it is longer than one may be.
    #[error("no message carries this command")]
    Command,
    /// The node answered something else than was asked.
    #[error("the node answered something else than was asked")]
    Crossed,
    /// The request is not known here: it was answered before, or forgotten.
    #[error("that request is not under way")]
    Unknown,
    /// The operating system has no thread or no descriptor to give.
    #[error("{0}")]
    System(std::io::Error),
}

impl ClientFault {
    /// The same, for another request that it concerns.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Refused(ended) => Self::Refused(ended.clone()),
            Self::Unknown => Self::Unknown,
            Self::Patience { waiting, last } => Self::Patience { waiting: *waiting, last: last.clone() },
            Self::Rejected { .. } | Self::Rows | Self::Command | Self::Crossed | Self::System(_) => {
                Self::Patience { waiting: 1, last: self.to_string() }
            }
        }
    }
}

/// A connection to whoever leads, made anew where it is lost.
pub struct Client {
    conversation: Conversation,
    nodes: Vec<String>,
    /// The node that is tried next: a place in the list.
    next_node: usize,
    /// What the last node said of the leader.
    hint: Option<String>,
    stream: Option<TcpStream>,
    clock: Clock,
    patience_nanos: u64,
    /// Attempts since a session was established.
    attempts: usize,
    last: String,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to whoever leads.
    ///
    /// # Errors
    /// [`ClientFault::Refused`], or [`ClientFault::Patience`] if nobody leads.
    pub fn connect(options: Options) -> Result<Self, ClientFault> {
        let mut client = Self::unconnected(options);
        let until = client.until();
        while !client.conversation.is_established() {
            client.turn(until, None)?;
        }
        Ok(client)
    }

    pub(crate) fn unconnected(options: Options) -> Self {
        let Options { nodes, credentials, keep_alive_ms, patience_ms } = options;
        let clock = Clock::start();
        let session_ver_id = clock.wall().0;
        let patience_nanos = patience_ms.saturating_mul(NANOS_PER_MILLI);
        let mut conversation = Conversation::new(credentials, session_ver_id, keep_alive_ms);
        conversation.retry_for(patience_nanos);
        Self {
            conversation,
            nodes,
            next_node: 0,
            hint: None,
            stream: None,
            clock,
            patience_nanos,
            attempts: 0,
            last: "none".to_owned(),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// Creates accounts.
    ///
    /// # Errors
    /// [`ClientFault`]. Rows that were not created are no error: [`BatchResult::exceptions`].
    pub fn create_accounts(&mut self, accounts: &[AccountRow]) -> Result<BatchResult, ClientFault> {
        self.batch(Request::create_accounts(accounts))
    }

    /// Creates transfers. Where a connection was lost and the ids have been forgotten by the time the batch came again, they are
    /// looked up: what the first attempt created *exists*.
    ///
    /// # Errors
    /// [`ClientFault`]. Rows that were not created are no error: [`BatchResult::exceptions`].
    pub fn create_transfers(&mut self, transfers: &[TransferRow]) -> Result<BatchResult, ClientFault> {
        let mut result = self.batch(Request::create_transfers(transfers))?;
        for ids in result.forgotten(transfers).chunks(READ_ROWS_MAX) {
            let (_, found) = self.lookup_transfers(ids, Freshness::LINEARIZABLE)?;
            result.recall(transfers, &found);
        }
        Ok(result)
    }

    fn batch(&mut self, request: Option<Request>) -> Result<BatchResult, ClientFault> {
        self.call(request.ok_or(ClientFault::Rows)?)?.created()
    }

    /// Accounts that exist of those asked for, in that order, and behind which seq they are so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn lookup_accounts(
        &mut self,
        ids: &[AccountId],
        freshness: Freshness,
    ) -> Result<(Seq, Vec<AccountState>), ClientFault> {
        self.call(Request::lookup_accounts(ids, freshness).ok_or(ClientFault::Rows)?)?.accounts()
    }

    /// Transfers that exist of those asked for, in that order, and behind which seq they are so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn lookup_transfers(
        &mut self,
        ids: &[TransferId],
        freshness: Freshness,
    ) -> Result<(Seq, Vec<TransferState>), ClientFault> {
        let reply = self.call(Request::lookup_transfers(ids, freshness).ok_or(ClientFault::Rows)?)?;
        reply.transfers().map(|page| (page.seq, page.transfers))
    }

    /// A page of an account's transfers, and where the next one goes on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn account_transfers(
        &mut self,
        page: &Page,
        freshness: Freshness,
    ) -> Result<TransferPage, ClientFault> {
        self.call(Request::account_transfers(page, freshness))?.transfers()
    }

    /// An account's transfers from `page` on, however many pages that are. Each page is as new as `freshness` asks for; what comes while
    /// they are read is listed, too, in its place.
    pub fn all_account_transfers(&mut self, page: Page, freshness: Freshness) -> AccountTransfers<'_> {
        AccountTransfers {
            client: self,
            pages: Pages::new(page, freshness),
            transfers: Vec::new().into_iter(),
        }
    }

    /// An account's sums.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn balance_at(
        &mut self,
        account: AccountId,
        at: At,
        freshness: Freshness,
    ) -> Result<Balance, ClientFault> {
        self.call(Request::balance_at(account, at, freshness))?.balance()
    }

    /// What corrected a transfer: a page of up to `limit`, behind a place or the first.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn corrections(
        &mut self,
        transfer: TransferId,
        from: Option<(Seq, u32)>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<TransferPage, ClientFault> {
        self.call(Request::corrections(transfer, from, limit, freshness))?.transfers()
    }

    /// What of an account's posted sums counts on a day, since 1970-01-01, as it was known at a time.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn value_balance(
        &mut self,
        account: AccountId,
        value_date: u32,
        at: At,
        freshness: Freshness,
    ) -> Result<ValueBalance, ClientFault> {
        self.call(Request::value_balance(account, value_date, at, freshness))?.value_balance()
    }

    /// A page of exchange quotes, up to `limit` of them from an id on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn quotes(
        &mut self,
        from: QuoteId,
        limit: u32,
        freshness: Freshness,
    ) -> Result<QuotePage, ClientFault> {
        self.call(Request::quotes(from, limit, freshness))?.quotes()
    }

    /// A page of standing orders, up to `limit` of them from an id on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn standing_orders(
        &mut self,
        from: StandingOrderId,
        limit: u32,
        freshness: Freshness,
    ) -> Result<StandingOrderPage, ClientFault> {
        self.call(Request::standing_orders(from, limit, freshness))?.standing_orders()
    }

    /// The exchanges that these transfers belong to, as far as they do, in that order, and behind which seq they are so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn lookup_exchanges(
        &mut self,
        ids: &[TransferId],
        freshness: Freshness,
    ) -> Result<(Seq, Vec<ExchangeState>), ClientFault> {
        let request = Request::lookup_exchanges(ids, freshness).ok_or(ClientFault::Rows)?;
        self.call(request)?.exchanges()
    }

    /// What came of a standing order, up to `limit` attempts from a seq and a place in it on. Nothing is missed by who asks on from
    /// [`AttemptPage::goes_on`].
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn standing_order_attempts(
        &mut self,
        order: StandingOrderId,
        from: (Seq, u32),
        limit: u32,
        freshness: Freshness,
    ) -> Result<AttemptPage, ClientFault> {
        self.call(Request::standing_order_attempts(order, from, limit, freshness))?.attempts()
    }

    /// A page of the totals, up to `limit` of them from a key on, of one ledger or of all: the bank's sessions (admin, cashier) see them,
    /// and to all others there are none.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn totals(
        &mut self,
        ledger: Option<AssetId>,
        from: TotalKey,
        limit: u32,
        freshness: Freshness,
    ) -> Result<TotalPage, ClientFault> {
        self.call(Request::totals(ledger, from, limit, freshness))?.totals()
    }

    /// Executes a command, once however often it has to be sent.
    ///
    /// # Errors
    /// [`ClientFault::Rejected`] with the engine's refusal, which names the field that is meant; of a command that is the case already
    /// [`RejectReason::Exists`].
    pub fn execute(&mut self, command: impl Into<Command>) -> Result<Executed, ClientFault> {
        self.call(Request::command(command).ok_or(ClientFault::Command)?)?.executed()
    }

    /// Overdraft lines of the accounts that exist of those asked for, in that order, and behind which seq they are so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn lookup_overdrafts(
        &mut self,
        ids: &[AccountId],
        freshness: Freshness,
    ) -> Result<(Seq, Vec<OverdraftState>), ClientFault> {
        self.call(Request::lookup_overdrafts(ids, freshness).ok_or(ClientFault::Rows)?)?.overdrafts()
    }

    /// The bank's calendar, if it is set, and behind which seq it is so.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn calendar(&mut self, freshness: Freshness) -> Result<(Seq, Option<SetCalendar>), ClientFault> {
        self.call(Request::calendar(freshness))?.calendar()
    }

    /// A page of the chart of accounts, up to `limit` codes from a code and a ledger on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn account_codes(
        &mut self,
        from: (u16, AssetId),
        limit: u32,
        freshness: Freshness,
    ) -> Result<AccountCodePage, ClientFault> {
        self.call(Request::account_codes(from, limit, freshness))?.account_codes()
    }

    /// A page of monitors, up to `limit` of them from an id on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn monitors(
        &mut self,
        from: MonitorId,
        limit: u32,
        freshness: Freshness,
    ) -> Result<MonitorPage, ClientFault> {
        self.call(Request::monitors(from, limit, freshness))?.monitors()
    }

    /// A page of open proposals, up to `limit` of them from an id on.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn proposals(
        &mut self,
        from: ProposalId,
        limit: u32,
        freshness: Freshness,
    ) -> Result<ProposalPage, ClientFault> {
        self.call(Request::proposals(from, limit, freshness))?.proposals()
    }

    /// An open proposal, and what it would change.
    ///
    /// # Errors
    /// [`ClientFault::Rejected`] with [`BusinessRejectReason::UnknownProposal`], if it is not open.
    pub fn proposal(&mut self, id: ProposalId, freshness: Freshness) -> Result<OpenProposal, ClientFault> {
        self.call(Request::proposal(id, freshness))?.proposal()
    }

    /// Which conditions of monitors became true, up to `limit` of them from a seq and a place in it on. Nothing is missed by who asks on
    /// from [`TriggerPage::goes_on`].
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn triggers(
        &mut self,
        from: (Seq, u32),
        limit: u32,
        freshness: Freshness,
    ) -> Result<TriggerPage, ClientFault> {
        self.call(Request::triggers(from, limit, freshness))?.triggers()
    }

    /// Sends a request and waits for its answer. On a fault it is forgotten: what was not sent yet never will be.
    ///
    /// # Errors
    /// As [`Self::submit`] and [`Self::wait_for`].
    pub fn call(&mut self, request: Request) -> Result<Reply, ClientFault> {
        let ticket = self.submit(request)?;
        let answer = self.wait_for(ticket);
        if answer.is_err() {
            self.forget(ticket);
            // Its bytes wait among others, perhaps: those go out on the next connection, without it.
            if !self.conversation.output().is_empty() {
                self.lose("a request was given up")?;
            }
        }
        answer
    }

    /// Sends a request and does not wait for its answer, but for room if very much waits to be written.
    ///
    /// # Errors
    /// [`ClientFault::Refused`] or [`ClientFault::Patience`].
    pub fn submit(&mut self, request: Request) -> Result<Ticket, ClientFault> {
        let ticket = self.enqueue(request)?;
        self.write();
        Ok(ticket)
    }

    /// As [`Self::submit`], but the request may stay here until another one is sent or an answer is waited for, so that many small
    /// ones leave in one call of the operating system.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn enqueue(&mut self, request: Request) -> Result<Ticket, ClientFault> {
        let until = self.until();
        while self.conversation.output().len() >= OUTPUT_BYTES_MAX
            || request.is_command() && self.conversation.commands_under_way() >= COMMANDS_MAX
        {
            self.turn(until, None)?;
        }
        let ticket = self.conversation.submit(request, self.clock.mono());
        if self.conversation.output().len() >= GATHERED_BYTES_MAX {
            self.write();
        }
        Ok(ticket)
    }

    /// Waits for the answer to a request. On a fault the request stays under way, and may be waited for again.
    ///
    /// # Errors
    /// [`ClientFault::Refused`] or [`ClientFault::Patience`].
    pub fn wait_for(&mut self, ticket: Ticket) -> Result<Reply, ClientFault> {
        let until = self.until();
        loop {
            if let Some(reply) = self.conversation.take_reply_to(ticket) {
                return Ok(reply);
            }
            if !self.conversation.is_under_way(ticket) {
                return Err(ClientFault::Unknown);
            }
            match self.turn(until, None) {
                // Nodes did answer, that they cannot.
                Err(fault @ ClientFault::Patience { .. }) if self.conversation.is_paused(ticket) => {
                    return self.give_up(ticket).ok_or(fault);
                }
                turned => turned?,
            }
        }
    }

    /// Gives a request up; the answer is the last refusal, if a node had none for it.
    pub(crate) fn give_up(&mut self, ticket: Ticket) -> Option<Reply> {
        self.conversation.give_up(ticket)
    }

    /// Waits for the next answer, whichever it is.
    ///
    /// # Errors
    /// As [`Self::wait_for`]; [`ClientFault::Unknown`] if nothing is under way.
    pub fn wait_for_any(&mut self) -> Result<(Ticket, Reply), ClientFault> {
        let until = self.until();
        loop {
            if let Some(answered) = self.conversation.take_reply() {
                return Ok(answered);
            }
            if self.conversation.unanswered() == 0 {
                return Err(ClientFault::Unknown);
            }
            self.turn(until, None)?;
        }
    }

    /// Withdraws a request: if it went out, it may be executed all the same.
    pub fn forget(&mut self, ticket: Ticket) {
        self.conversation.forget(ticket);
    }

    /// Requests that are not answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.conversation.unanswered()
    }

    /// The machine's time, for ids.
    #[must_use]
    pub fn now(&self) -> protocol::UnixNanos {
        self.clock.wall()
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    pub(crate) fn until(&self) -> MonoNanos {
        self.clock.mono().plus(self.patience_nanos)
    }

    pub(crate) fn take_reply(&mut self) -> Option<(Ticket, Reply)> {
        self.conversation.take_reply()
    }

    /// Makes a connection if there is none, writes what waits, and waits for bytes or `bell`: once.
    pub(crate) fn turn(&mut self, until: MonoNanos, bell: Option<BorrowedFd<'_>>) -> Result<(), ClientFault> {
        let now = self.clock.mono();
        if now >= until {
            let (waiting, last) = (self.conversation.unanswered(), self.last.clone());
            return Err(ClientFault::Patience { waiting, last });
        }
        if self.stream.is_none() {
            self.dial(until);
        }
        if let Err(ended) = self.conversation.tick(self.clock.mono()) {
            return self.end(ended);
        }
        self.write();
        let Some(stream) = &self.stream else { return Ok(()) };
        let mut wants = PollFlags::IN;
        if !self.conversation.output().is_empty() {
            wants |= PollFlags::OUT;
        }
        let nanos = self.conversation.deadline().min(until).since(self.clock.mono());
        let mut ends = vec![PollFd::new(stream, wants)];
        ends.extend(bell.map(|bell| PollFd::from_borrowed_fd(bell, PollFlags::IN)));
        wait(&mut ends, nanos);
        let is_ready = ends.first().is_some_and(|end| !end.revents().is_empty());
        if is_ready { self.read() } else { Ok(()) }
    }

    fn write(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        while !self.conversation.output().is_empty() {
            match stream.write(self.conversation.output()) {
                Ok(count) if count > 0 => self.conversation.sent(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It takes no more now; or it ended, and whatever was said before that is still to be read: that tells why.
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn read(&mut self) -> Result<(), ClientFault> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let heard = match stream.read(&mut self.buffer) {
            Ok(0) => return self.lose("the node closed the connection"),
            Ok(count) => self.buffer.get(..count).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return self.lose(&error.to_string()),
        };
        let (now, wall) = (self.clock.mono(), self.clock.wall());
        match self.conversation.receive(heard, now, wall) {
            Ok(()) => {
                if self.conversation.is_established() {
                    self.attempts = 0;
                }
                self.write();
                Ok(())
            }
            Err(ended) => self.end(ended),
        }
    }

    fn end(&mut self, ended: Ended) -> Result<(), ClientFault> {
        if ended.is_final() {
            self.lose(&ended.to_string())?;
            return Err(ended.into());
        }
        if let Ended::NotLeader(address) = &ended {
            self.hint = Some(address.clone()).filter(|address| !address.is_empty());
        }
        self.lose(&ended.to_string())
    }

    #[expect(clippy::unnecessary_wraps, reason = "said where others return a fault")]
    fn lose(&mut self, why: &str) -> Result<(), ClientFault> {
        self.stream = None;
        self.conversation.disconnected();
        why.clone_into(&mut self.last);
        Ok(())
    }

    /// One attempt at one node, after a pause that grows.
    fn dial(&mut self, until: MonoNanos) {
        let pause_ms = PAUSE_MS.get(self.attempts).or(PAUSE_MS.last()).copied().unwrap_or(0);
        // A leader that was named is asked at once, if it is not the same names over and over.
        let hint = self.hint.take();
        if hint.is_none() || self.attempts > self.nodes.len() {
            let left = until.since(self.clock.mono());
            wait(&mut [], (pause_ms * NANOS_PER_MILLI).min(left));
        }
        self.attempts += 1;
        let node = hint.or_else(|| self.nodes.get(self.next_node).cloned());
        if let Some(nodes) = self.next_node.checked_add(1) {
            self.next_node = nodes.checked_rem(self.nodes.len()).unwrap_or(0);
        }
        let Some(node) = node else {
            "no node is known".clone_into(&mut self.last);
            return;
        };
        match connect(&node) {
            Ok(stream) => {
                self.stream = Some(stream);
                self.conversation.connected(self.clock.mono(), self.clock.wall());
            }
            Err(error) => self.last = format!("{node}: {error}"),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // In peace, so that the node does not count this as a loss; nobody waits for its answer.
        self.conversation.finish();
        self.write();
    }
}

fn waits(waiting: usize) -> String {
    match waiting {
        0 => "no node took the session in time.".to_owned(),
        1 => "no answer in time: the request may have been executed.".to_owned(),
        more => format!("no answer in time: {more} requests may have been executed."),
    }
}

fn connect(node: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(ErrorKind::NotFound);
    let addresses: Vec<SocketAddr> = node.to_socket_addrs()?.collect();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Waits for one of the ends, `nanos` at most. A signal ends it, too.
fn wait(ends: &mut [PollFd<'_>], nanos: u64) {
    let timeout = Timespec::try_from(Duration::from_nanos(nanos)).ok();
    // Whatever it says, the ends are looked at next.
    poll(ends, timeout.as_ref()).ok();
}

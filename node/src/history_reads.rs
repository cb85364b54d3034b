//! Questions to the ledger's history, on a thread of their own: the hot thread never waits for a disk.
//!
//! What the hot thread knows it says with the question: how far the history has to have come. The history follows at its own pace, so
//! that a question may have to wait for it; meanwhile others are answered. A reader of the history is held for one look only: while it
//! is, nothing of the file can be used again.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gateways::binary::{Answer, Query, Read, Scope};
use protocol::binary::{
    AttemptState, BusinessRejectReason, ExchangeState, GetAccountTransfers, TransferState, TransferStatus,
    TriggerState,
};
use protocol::events::{MonitorTriggered, StandingOrderAttempted};
use protocol::time::NANOS_PER_MILLI;
use protocol::{AccountId, Amount, MonoNanos, Seq, StandingOrderId, TransferId, UnixNanos};
use views::ledger::{
    At, Attempt, Cursor, Exchange, Filter, Order, Page, ReadFault, Side, Snapshot, Status, Transfer, Trigger,
};

use crate::clock::Clock;
use crate::fault::NodeFault;
use crate::history::{Absence, History};
use crate::reads::SEQ_NANOS;
use crate::threads;

/// Between two looks at a history that has to come further.
const LOOK_NANOS: u64 = NANOS_PER_MILLI;
/// After how long a question may be asked again that the state here was not ready for.
pub(crate) const RETRY_NANOS: u64 = 100 * NANOS_PER_MILLI;
/// Answers that wait for the hot thread; each is a message at most.
const ANSWERS_MAX: usize = 16;

/// The hot thread's end.
pub(crate) struct HistoryReads {
    questions: Option<Sender<Question>>,
    answers: Option<Receiver<Answered>>,
    /// Questions that are not answered.
    open: usize,
    thread: Option<JoinHandle<()>>,
}

/// A question, and how far the history has to have come.
struct Question {
    read: Read,
    needs: Seq,
    until: MonoNanos,
}

/// What came of a question.
pub(crate) struct Answered {
    pub(crate) read: Read,
    /// As it is behind this seq.
    pub(crate) seq: Seq,
    found: Found,
}

enum Found {
    Transfers { transfers: Vec<TransferState>, next: Option<Cursor> },
    Balance { time: UnixNanos, sums: [Amount; 4] },
    ValueBalance { business_date: u32, sums: [Amount; 2] },
    Triggers { triggers: Vec<TriggerState>, next: Option<Cursor> },
    Attempts { attempts: Vec<AttemptState>, next: Option<Cursor> },
    Exchanges(Vec<ExchangeState>),
    Rejected { reason: BusinessRejectReason, retry_after_ns: u64, text: String },
}

impl Answered {
    /// As the acceptor says it.
    pub(crate) fn answer(&self) -> Answer<'_> {
        match &self.found {
            Found::Transfers { transfers, next } => {
                Answer::Transfers { transfers, next: next.map(|next| (next.seq, next.entry)) }
            }
            &Found::Balance { time, sums } => Answer::Balance { time, sums },
            &Found::ValueBalance { business_date, sums } => Answer::ValueBalance { business_date, sums },
            Found::Triggers { triggers, next } => {
                Answer::Triggers { triggers, next: next.map(|next| (next.seq, next.entry)) }
            }
            Found::Exchanges(exchanges) => Answer::Exchanges(exchanges),
            Found::Attempts { attempts, next } => {
                Answer::Attempts { attempts, next: next.map(|next| (next.seq, next.entry)) }
            }
            Found::Rejected { reason, retry_after_ns, text } => {
                Answer::Rejected { reason: *reason, retry_after_ns: *retry_after_ns, text }
            }
        }
    }
}

impl HistoryReads {
    /// Starts the thread. `ring`: wakes the hot thread.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(crate) fn start(
        history: History,
        clock: Clock,
        ring: impl Fn() + Send + 'static,
    ) -> Result<Self, NodeFault> {
        let (questions, asked) = channel();
        let (answers, answered) = sync_channel(ANSWERS_MAX);
        let mut reader = HistoryReader { history, clock, asked, answers, behind: Vec::new(), ring };
        let thread =
            threads::start("history reads", move || reader.run()).map_err(NodeFault::io("a thread"))?;
        Ok(Self { questions: Some(questions), answers: Some(answered), open: 0, thread: Some(thread) })
    }

    /// Asks. The answer is as of `needs` or later, and comes in time.
    pub(crate) fn ask(&mut self, read: Read, needs: Seq, now: MonoNanos) {
        let question = Question { read, needs, until: now.plus(SEQ_NANOS) };
        // In the release build a panic of the thread has ended the process.
        let is_sent = self.questions.as_ref().is_some_and(|questions| questions.send(question).is_ok());
        self.open += usize::from(is_sent);
    }

    /// Questions that are not answered.
    pub(crate) const fn open(&self) -> usize {
        self.open
    }

    /// The next answer.
    pub(crate) fn take(&mut self) -> Option<Answered> {
        if self.open == 0 {
            return None;
        }
        let answered = self.answers.as_ref()?.try_recv().ok()?;
        self.open -= 1;
        Some(answered)
    }
}

impl Drop for HistoryReads {
    fn drop(&mut self) {
        // Nobody asks any more, and nobody listens: the thread ends behind what it is at.
        (self.questions, self.answers) = (None, None);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The thread's end.
struct HistoryReader<R> {
    history: History,
    clock: Clock,
    asked: Receiver<Question>,
    answers: SyncSender<Answered>,
    /// What the history has not come to yet.
    behind: Vec<Question>,
    ring: R,
}

/// Nobody asks or listens any more.
struct Left;

impl<R: Fn()> HistoryReader<R> {
    fn run(&mut self) {
        while let Ok(()) = self.turn() {}
    }

    /// Answers what is asked, and, each time it has waited a little, what the history has come to meanwhile.
    fn turn(&mut self) -> Result<(), Left> {
        if self.behind.is_empty() {
            let question = self.asked.recv().map_err(|_| Left)?;
            return self.settle(question);
        }
        let look = self.clock.mono().plus(LOOK_NANOS);
        loop {
            let nanos = look.since(self.clock.mono());
            if nanos == 0 {
                break;
            }
            match self.asked.recv_timeout(Duration::from_nanos(nanos)) {
                Ok(question) => self.settle(question)?,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Err(Left),
            }
        }
        self.look()
    }

    /// Answers what the history has come to, and what has waited too long.
    fn look(&mut self) -> Result<(), Left> {
        let (now, seq) = (self.clock.mono(), self.history.seq());
        for question in std::mem::take(&mut self.behind) {
            if now < question.until && seq.is_none_or(|seq| seq < question.needs) {
                self.behind.push(question);
            } else {
                self.settle(question)?;
            }
        }
        Ok(())
    }

    /// Answers a question, or keeps it for later.
    fn settle(&mut self, question: Question) -> Result<(), Left> {
        let is_late = self.clock.mono() >= question.until;
        let refused = |reason, retry_after_ns, text| Found::Rejected { reason, retry_after_ns, text };
        let (seq, found) = match self.find(&question) {
            Ok(answer) => answer,
            Err(Stops::Behind(_) | Stops::Absent(Absence::Opening)) if !is_late => {
                self.behind.push(question);
                return Ok(());
            }
            Err(Stops::Behind(seq)) => {
                let text = format!("the history has come to {seq}");
                (Seq(0), refused(BusinessRejectReason::SeqNotReached, RETRY_NANOS, text))
            }
            Err(Stops::Absent(absence)) => {
                (Seq(0), refused(BusinessRejectReason::NotKept, RETRY_NANOS, absence.to_string()))
            }
        };
        let Question { read, .. } = question;
        self.answers.send(Answered { read, seq, found }).map_err(|_| Left)?;
        (self.ring)();
        Ok(())
    }

    fn find(&self, question: &Question) -> Result<(Seq, Found), Stops> {
        let reader = self.history.reader().map_err(Stops::Absent)?;
        let found = reader.snapshot(question.needs).and_then(|snapshot| find(&snapshot, &question.read));
        found.map_err(|fault| match fault {
            ReadFault::Behind { seq } => Stops::Behind(seq),
            ReadFault::View(fault) => {
                tracing::error!(%fault, "the ledger's history cannot be read");
                let why = fault.to_string();
                self.history.report(fault);
                Stops::Absent(Absence::Broken(why))
            }
        })
    }
}

/// Why there is no answer yet.
enum Stops {
    /// The history has come to this seq only.
    Behind(Seq),
    Absent(Absence),
}

/// As of when a question is.
const fn at_of(seq: Seq, time: UnixNanos) -> At {
    match (seq, time) {
        (Seq(0), UnixNanos(0)) => At::Now,
        (Seq(0), time) => At::Instant(time),
        (seq, _) => At::Seq(seq),
    }
}

/// Looks the answer up, and as of which seq it is.
fn find(snapshot: &Snapshot, read: &Read) -> Result<(Seq, Found), ReadFault> {
    let unknown = || Found::Rejected {
        reason: BusinessRejectReason::UnknownAccount,
        retry_after_ns: 0,
        text: "account".to_owned(),
    };
    let scope = &read.scope;
    match &read.query {
        Query::Transfers(ids) => Ok((snapshot.seq(), transfers(snapshot, scope, ids)?)),
        Query::AccountTransfers(page) => {
            let is_seen = sees(snapshot, scope, page.account)?;
            let found = if is_seen { account_transfers(snapshot, page)? } else { None };
            Ok((snapshot.seq(), found.unwrap_or_else(unknown)))
        }
        &Query::BalanceAt { account, at_seq, at_time } => {
            let at = at_of(at_seq, at_time);
            let (seq, time) = snapshot.moment(at)?;
            let found = balance(snapshot, scope, account, at)?;
            Ok((seq, found.map_or_else(unknown, |sums| Found::Balance { time, sums })))
        }
        &Query::Corrections { transfer, from, limit } => {
            let cursor = from.map(|(seq, entry)| Cursor { seq, entry });
            corrections(snapshot, scope, transfer, cursor, limit)
        }
        &Query::ValueBalanceAt { account, value_date, at_seq, at_time } => {
            let at = at_of(at_seq, at_time);
            let is_seen = sees(snapshot, scope, account)?;
            let found = if is_seen { snapshot.value_balance(account, value_date, at)? } else { None };
            let found = found.map_or_else(unknown, |found| Found::ValueBalance {
                business_date: found.business_date,
                sums: [found.debits_posted, found.credits_posted],
            });
            Ok((snapshot.seq_at(at)?, found))
        }
        &Query::Triggers { from: (seq, entry), limit } => {
            let page = snapshot.triggers(Cursor { seq, entry }, limit)?;
            let mut triggers = Vec::new();
            for trigger in &page.entries {
                if sees(snapshot, scope, trigger.event.account)? {
                    triggers.push(trigger_of(trigger));
                }
            }
            Ok((page.seq, Found::Triggers { triggers, next: page.next }))
        }
        Query::Exchanges(ids) => Ok((snapshot.seq(), exchanges(snapshot, scope, ids)?)),
        &Query::Attempts { order, from: (seq, entry), limit } => {
            attempts(snapshot, scope, order, Cursor { seq, entry }, limit)
        }
        // The engine knows them as they are now.
        Query::Accounts(_)
        | Query::Overdrafts(_)
        | Query::Calendar
        | Query::AccountCodes { .. }
        | Query::Monitors { .. }
        | Query::Proposals { .. }
        | Query::Proposal(_)
        | Query::Quotes { .. }
        | Query::StandingOrders { .. }
        | Query::Totals { .. } => Ok((
            snapshot.seq(),
            Found::Rejected {
                reason: BusinessRejectReason::NotKept,
                retry_after_ns: 0,
                text: "only as it is now".to_owned(),
            },
        )),
    }
}

/// What corrected a transfer, as far as this reader sees it.
fn corrections(
    snapshot: &Snapshot,
    scope: &Scope,
    transfer: TransferId,
    from: Option<Cursor>,
    limit: usize,
) -> Result<(Seq, Found), ReadFault> {
    let page = snapshot.corrections(transfer, from, limit)?;
    let mut transfers = Vec::new();
    for found in &page.entries {
        if sees(snapshot, scope, found.debit_account)? || sees(snapshot, scope, found.credit_account)? {
            transfers.push(state_of(found));
        }
    }
    Ok((page.seq, Found::Transfers { transfers, next: page.next }))
}

/// The exchanges that transfers belong to, as far as this reader sees an account of the client's.
fn exchanges(snapshot: &Snapshot, scope: &Scope, ids: &[TransferId]) -> Result<Found, ReadFault> {
    let mut exchanges = Vec::new();
    for id in ids {
        let Some(Exchange { seq, time, event }) = snapshot.exchange(*id)? else { continue };
        if sees(snapshot, scope, event.sell_account)? || sees(snapshot, scope, event.buy_account)? {
            exchanges.push(ExchangeState::new(seq, time, &event));
        }
    }
    Ok(Found::Exchanges(exchanges))
}

/// What came of a standing order, as far as this reader sees it.
fn attempts(
    snapshot: &Snapshot,
    scope: &Scope,
    order: StandingOrderId,
    from: Cursor,
    limit: usize,
) -> Result<(Seq, Found), ReadFault> {
    let page = snapshot.attempts(order, from, limit)?;
    let mut attempts = Vec::new();
    for attempt in &page.entries {
        let StandingOrderAttempted { debit_account, credit_account, .. } = attempt.event;
        if sees(snapshot, scope, debit_account)? || sees(snapshot, scope, credit_account)? {
            attempts.push(attempt_of(attempt));
        }
    }
    Ok((page.seq, Found::Attempts { attempts, next: page.next }))
}

/// Whether an account is there for this reader.
fn sees(snapshot: &Snapshot, scope: &Scope, account: AccountId) -> Result<bool, ReadFault> {
    Ok(match scope {
        Scope::Everything => true,
        Scope::Clients(_) => snapshot.owner(account)?.is_some_and(|owner| scope.has(owner)),
    })
}

fn transfers(snapshot: &Snapshot, scope: &Scope, ids: &[TransferId]) -> Result<Found, ReadFault> {
    let mut transfers = Vec::new();
    for id in ids {
        let Some(transfer) = snapshot.transfer(*id)? else { continue };
        if sees(snapshot, scope, transfer.debit_account)? || sees(snapshot, scope, transfer.credit_account)? {
            transfers.push(state_of(&transfer));
        }
    }
    Ok(Found::Transfers { transfers, next: None })
}

fn account_transfers(snapshot: &Snapshot, page: &GetAccountTransfers) -> Result<Option<Found>, ReadFault> {
    let side = match (page.debits, page.credits) {
        (true, false) => Some(Side::Debit),
        (false, true) => Some(Side::Credit),
        (true, true) | (false, false) => None,
    };
    let filter = Filter {
        from: page.time_from,
        to: (page.time_to != UnixNanos(0)).then_some(page.time_to),
        code: (page.code != 0).then_some(page.code),
        counterparty: (page.counterparty != AccountId(0)).then_some(page.counterparty),
        side,
    };
    let order = if page.backwards { Order::Backwards } else { Order::Forwards };
    let cursor = (page.from_seq != Seq(0)).then_some(Cursor { seq: page.from_seq, entry: page.from_index });
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let found = snapshot.transfers(page.account, &filter, order, cursor, limit)?;
    Ok(found.map(|Page { entries, next, .. }| Found::Transfers {
        transfers: entries.iter().map(state_of).collect(),
        next,
    }))
}

fn balance(
    snapshot: &Snapshot,
    scope: &Scope,
    account: AccountId,
    at: At,
) -> Result<Option<[Amount; 4]>, ReadFault> {
    let found = snapshot.account(account, at)?.filter(|account| scope.has(account.owner));
    Ok(found.map(|account| {
        let sums = account.balances;
        [sums.debits_pending, sums.debits_posted, sums.credits_pending, sums.credits_posted]
    }))
}

fn trigger_of(trigger: &Trigger) -> TriggerState {
    let &Trigger { seq, index, time, ref event } = trigger;
    let &MonitorTriggered { monitor, account, ledger, code, class, value, negative } = event;
    let class = Some(class);
    TriggerState { seq, index, time, monitor, account, ledger, code, class, value, negative }
}

fn attempt_of(attempt: &Attempt) -> AttemptState {
    let &Attempt { seq, index, time, ref event } = attempt;
    let &StandingOrderAttempted {
        order,
        debit_account,
        credit_account,
        occurrence,
        attempt,
        transfer,
        refusal,
        retried,
        next_due_ns,
    } = event;
    AttemptState {
        seq,
        index,
        time,
        order,
        debit_account,
        credit_account,
        occurrence,
        attempt,
        transfer,
        refusal,
        retried,
        next_due: UnixNanos(next_due_ns),
    }
}

fn state_of(transfer: &Transfer) -> TransferState {
    let (status, settled_seq) = match transfer.status {
        Status::Final => (TransferStatus::Final, Seq(0)),
        Status::Pending => (TransferStatus::Pending, Seq(0)),
        Status::Posted { at, .. } => (TransferStatus::Posted, at.seq),
        Status::Voided { at } => (TransferStatus::Voided, at.seq),
        Status::Expired { at } => (TransferStatus::Expired, at.seq),
    };
    TransferState {
        transfer: transfer.row(),
        seq: transfer.place.seq,
        index: transfer.index(),
        time: transfer.time,
        status,
        settled_seq,
    }
}

//! Clients of the ledger: the binary protocol's acceptor behind its door, and their questions, which wait until the state here is as new as
//! they ask for.

use std::collections::{BTreeMap, VecDeque};

use engine::views::AccountView;
use gateways::ConnectionId;
use gateways::binary::{Acceptor, Answer, Leadership, Options, Query, Read};
use journal::FileDisk;
use protocol::binary::{AccountState, BusinessRejectReason};
use protocol::event::Event;
use protocol::rows::AccountRow;
use protocol::submit::Submit;
use protocol::{EventBody, MonoNanos, RequestNumber, Seq, SessionId, UnixNanos};
use replicas::{Now, ReadRefusal, ReadTicket, Replica};

use crate::history_reads::{HistoryReads, RETRY_NANOS};
use crate::ledger_lists;
use crate::reads::SEQ_NANOS;
use crate::sockets::{Door, ReadResult, Sockets};

/// Questions that were taken and are not answered; further ones wait in the acceptor, and are refused there in the end.
const OPEN_MAX: usize = 8_192;
/// Of one turn: questions that are taken …
const TAKEN_PER_TURN: usize = 256;
/// … and rows that are looked up, and those that are handed on: the question that reaches this is the last one.
const ROWS_PER_TURN: usize = 4_096;

/// The ledger's clients and their questions.
pub(crate) struct LedgerClients {
    acceptor: Acceptor,
    questions: Questions,
}

/// Questions that were taken and are not answered, by what they wait for.
struct Questions {
    /// A quorum has to confirm that nothing newer was acknowledged elsewhere: those of one round share a ticket.
    rounds: VecDeque<(ReadTicket, Vec<Read>)>,
    /// The engine has to come to a seq; in order of that seq.
    ahead: BTreeMap<(Seq, u64), Read>,
    /// When they are given up, in the order in which they came.
    late: VecDeque<(MonoNanos, (Seq, u64))>,
    /// Told apart by numbers.
    next: u64,
    /// Answered from the state as it is.
    ready: VecDeque<Read>,
    /// Answered from the past.
    history: HistoryReads,
}

impl Questions {
    fn open(&self) -> usize {
        let in_rounds: usize = self.rounds.iter().map(|(_, reads)| reads.len()).sum();
        in_rounds + self.ahead.len() + self.ready.len() + self.history.open()
    }

    /// Nobody waits for answers any more. What the history was asked it still answers.
    fn take_all(&mut self) -> impl Iterator<Item = Read> + use<> {
        self.late.clear();
        let in_rounds = std::mem::take(&mut self.rounds).into_iter().flat_map(|(_, reads)| reads);
        let ahead = std::mem::take(&mut self.ahead).into_values();
        in_rounds.chain(ahead).chain(std::mem::take(&mut self.ready))
    }

    /// A question that is answered as soon as the engine is there.
    fn wait(&mut self, read: Read, applied: Seq, now: MonoNanos) {
        if read.min_seq <= applied {
            self.ready.push_back(read);
            return;
        }
        let place = (read.min_seq, self.next);
        self.next += 1;
        self.late.push_back((now.plus(SEQ_NANOS), place));
        self.ahead.insert(place, read);
    }

    /// A round that begins from now on: what joins it is answered as soon as a quorum has confirmed the lead.
    fn open_round(&mut self, replica: &mut Replica<FileDisk>) -> Result<(), ReadRefusal> {
        let is_open = self.rounds.back().is_some_and(|(ticket, _)| replica.may_share(*ticket));
        if !is_open {
            self.rounds.push_back((replica.ask_read()?, Vec::new()));
        }
        Ok(())
    }

    fn join_round(&mut self, read: Read) {
        if let Some((_, reads)) = self.rounds.back_mut() {
            reads.push(read);
        }
    }

    /// What the engine has come to goes on.
    fn catch_up(&mut self, applied: Seq) {
        while let Some(first) = self.ahead.first_entry().filter(|first| first.key().0 <= applied) {
            self.ready.push_back(first.remove());
        }
    }

    /// A question that has waited too long for a seq.
    fn take_late(&mut self, now: MonoNanos) -> Option<Read> {
        while let Some((_, place)) = self.late.pop_front_if(|(until, _)| *until <= now) {
            // Most have been answered meanwhile.
            if let Some(read) = self.ahead.remove(&place) {
                return Some(read);
            }
        }
        None
    }
}

impl LedgerClients {
    /// `secret`: drawn at random; challenges follow from it. Questions about the past are asked of `history`.
    pub(crate) fn new(secret: [u8; 32], history: HistoryReads) -> Self {
        let questions = Questions {
            rounds: VecDeque::new(),
            ahead: BTreeMap::new(),
            late: VecDeque::new(),
            next: 0,
            ready: VecDeque::new(),
            history,
        };
        Self { acceptor: Acceptor::new(Options::default(), secret), questions }
    }

    /// Who leads from now on.
    pub(crate) fn set_leadership(&mut self, leadership: Leadership, now: MonoNanos) {
        if let Leadership::Elsewhere(_) = leadership {
            self.questions.take_all().for_each(|read| self.acceptor.give_up(&read));
        }
        self.acceptor.set_leadership(leadership, now);
    }

    /// The number of a session's next command.
    pub(crate) fn set_next_command_no(&mut self, session: SessionId, next: RequestNumber) {
        self.acceptor.set_next_command_no(session, next);
    }

    /// Takes a definition.
    pub(crate) fn define(&mut self, definition: &EventBody, now: MonoNanos) {
        self.acceptor.define(definition, now);
    }

    /// When something is due to a client.
    pub(crate) const fn next_deadline(&self) -> Option<MonoNanos> {
        self.acceptor.next_deadline()
    }

    /// Does what is due by the clock.
    pub(crate) fn tick(&mut self, now: MonoNanos, submit: &mut impl Submit) {
        self.acceptor.tick(now, submit);
    }

    /// Accepts connections and reads one bite from each that may say more. Returns how many bytes, if there was anything to do.
    pub(crate) fn read(
        &mut self,
        sockets: &mut Sockets,
        now: MonoNanos,
        submit: &mut impl Submit,
    ) -> Option<u64> {
        let (mut worked, mut bytes) = (false, 0);
        sockets.accept(Door::Binary, now, |connection| {
            self.acceptor.connect(connection, now);
            worked = true;
        });
        let mut last = None;
        while let Some(connection) = sockets.next_readable(Door::Binary, last) {
            last = Some(connection);
            if !self.acceptor.wants_read(connection) {
                continue;
            }
            match sockets.read(connection, self.acceptor.room(connection)) {
                ReadResult::Bytes(count) => {
                    bytes += u64::try_from(count).unwrap_or(u64::MAX);
                    self.acceptor.received(connection, count, now, submit);
                    worked = true;
                }
                ReadResult::WouldBlock => {}
                ReadResult::Closed => {
                    self.close(sockets, connection);
                    worked = true;
                }
            }
        }
        worked.then_some(bytes)
    }

    fn close(&mut self, sockets: &mut Sockets, connection: ConnectionId) {
        sockets.close(connection);
        // What it had asked is answered to nobody.
        self.acceptor.closed(connection);
    }

    /// Hands out what followed from committed commands.
    pub(crate) fn deliver(&mut self, events: &[Event], now: MonoNanos, submit: &mut impl Submit) {
        events.iter().for_each(|event| self.acceptor.deliver(event, now));
        self.acceptor.resume(now, submit);
    }

    /// Takes questions, and answers those that have waited long enough: a bounded bite. Returns whether there was anything to do.
    pub(crate) fn answer(&mut self, replica: &mut Replica<FileDisk>, now: Now) -> bool {
        let mut worked = self.take_questions(replica, now.mono);
        worked |= self.take_confirmations(replica, now.mono);
        self.questions.catch_up(replica.engine().seq_applied());
        let mut rows = 0;
        while rows < ROWS_PER_TURN
            && let Some(read) = self.questions.ready.pop_front()
        {
            rows += self.answer_ready(read, replica, now);
        }
        worked |= rows > 0;
        rows = 0;
        while rows < ROWS_PER_TURN
            && let Some(answered) = self.questions.history.take()
        {
            let answer = answered.answer();
            rows += rows_of(&answer);
            self.acceptor.answer(&answered.read, answered.seq, &answer, now.mono);
            worked = true;
        }
        while let Some(read) = self.questions.take_late(now.mono) {
            let text = format!("{} is applied here", replica.engine().seq_applied());
            let reason = BusinessRejectReason::SeqNotReached;
            reject(&mut self.acceptor, &read, reason, RETRY_NANOS, &text, now.mono);
            worked = true;
        }
        if worked {
            self.acceptor.resume(now.mono, replica.sequencer());
        }
        worked
    }

    fn take_questions(&mut self, replica: &mut Replica<FileDisk>, now: MonoNanos) -> bool {
        let mut left = OPEN_MAX.saturating_sub(self.questions.open()).min(TAKEN_PER_TURN);
        let before = left;
        while left > 0
            && let Some(read) = self.acceptor.take_read()
        {
            left -= 1;
            if !read.linearizable {
                self.questions.wait(read, replica.engine().seq_applied(), now);
                continue;
            }
            match self.questions.open_round(replica) {
                Ok(()) => self.questions.join_round(read),
                Err(refusal) => reject_unconfirmed(&mut self.acceptor, &read, refusal, now),
            }
        }
        left < before
    }

    /// The state here is that of confirmed questions, from this turn on.
    fn take_confirmations(&mut self, replica: &mut Replica<FileDisk>, now: MonoNanos) -> bool {
        let mut worked = false;
        while let Some((ticket, _)) = self.questions.rounds.front()
            && let Some(confirmed) = replica.take_read(*ticket)
            && let Some((_, reads)) = self.questions.rounds.pop_front()
        {
            worked = true;
            let applied = replica.engine().seq_applied();
            for read in reads {
                match confirmed {
                    Ok(_) => self.questions.wait(read, applied, now),
                    Err(refusal) => reject_unconfirmed(&mut self.acceptor, &read, refusal, now),
                }
            }
        }
        worked
    }

    /// Answers from the state behind the last command that was applied, or asks the history. Returns how many rows that was.
    fn answer_ready(&mut self, read: Read, replica: &mut Replica<FileDisk>, now: Now) -> usize {
        // Everything that has its time already, applied or not.
        let stamped = replica.sequencer().next_seq().map_or(Seq(0), |next| Seq(next.0.saturating_sub(1)));
        let engine = replica.engine();
        let (seq, time) = (engine.seq_applied(), engine.time());
        // Without a word about it, an answer is as new as the state here.
        let needs = if read.linearizable || read.min_seq == Seq(0) { seq } else { read.min_seq };
        let answer = match &read.query {
            Query::Accounts(ids) => {
                let found: Vec<AccountState> = ids
                    .iter()
                    .filter_map(|id| engine.account(*id))
                    .filter(|account| read.scope.has(account.client))
                    .map(|account| state_of(&account))
                    .collect();
                self.acceptor.answer(&read, seq, &Answer::Accounts(&found), now.mono);
                return 1 + ids.len();
            }
            &Query::BalanceAt { account, at_seq: Seq(0), at_time: UnixNanos(0) } => engine
                .account(account)
                .filter(|found| read.scope.has(found.client))
                .map_or(refused(BusinessRejectReason::UnknownAccount, "account"), |found| {
                    let sums = [found.debits_pending, found.debits, found.credits_pending, found.credits];
                    Answer::Balance { time, sums }
                }),
            &Query::BalanceAt { at_seq, .. } | &Query::ValueBalanceAt { at_seq, .. } if at_seq > seq => {
                refused(BusinessRejectReason::InTheFuture, "at_seq")
            }
            &Query::BalanceAt { at_seq: Seq(0), at_time, .. }
            | &Query::ValueBalanceAt { at_seq: Seq(0), at_time, .. }
                if at_time > time.max(now.wall) =>
            {
                refused(BusinessRejectReason::InTheFuture, "at_time")
            }
            Query::Transfers(_)
            | Query::AccountTransfers(_)
            | Query::Corrections { .. }
            | Query::ValueBalanceAt { at_seq: Seq(0), at_time: UnixNanos(0), .. }
            | Query::Exchanges(_)
            | Query::Attempts { .. }
            | Query::Triggers { .. } => {
                self.questions.history.ask(read, needs, now.mono);
                return 1;
            }
            &Query::BalanceAt { at_seq, .. } | &Query::ValueBalanceAt { at_seq, .. } => {
                let needs = needs.max(if at_seq == Seq(0) { seq.max(stamped) } else { at_seq });
                self.questions.history.ask(read, needs, now.mono);
                return 1;
            }
            Query::Overdrafts(_)
            | Query::AccountCodes { .. }
            | Query::Monitors { .. }
            | Query::Proposals { .. }
            | Query::Quotes { .. }
            | Query::StandingOrders { .. }
            | Query::Totals { .. } => {
                return ledger_lists::answer_list(&mut self.acceptor, &read, engine, now.mono);
            }
            &Query::Proposal(proposal) => {
                return ledger_lists::answer_proposal(&mut self.acceptor, &read, engine, proposal, now.mono);
            }
            Query::Calendar => Answer::Calendar(engine.calendar()),
        };
        self.acceptor.answer(&read, seq, &answer, now.mono);
        1
    }

    /// Writes what waits and closes what has ended. Returns how many bytes were written.
    pub(crate) fn write(&mut self, sockets: &mut Sockets, now: MonoNanos) -> u64 {
        let mut sent = 0;
        let again = sockets.take_writable_again(Door::Binary);
        let mut again = again.into_iter();
        while let Some(connection) = self.acceptor.take_touched().or_else(|| again.next()) {
            let output = self.acceptor.output(connection);
            let mut lost = false;
            if !output.is_empty() && sockets.is_writable(connection) {
                let written = sockets.write(connection, output);
                self.acceptor.sent(connection, written.unwrap_or(0), now);
                sent += u64::try_from(written.unwrap_or(0)).unwrap_or(u64::MAX);
                lost = written.is_none();
            }
            if lost || self.acceptor.should_close(connection, now) {
                self.close(sockets, connection);
            }
        }
        sent
    }

    /// Every session ends once its requests are answered.
    pub(crate) fn stop(&mut self, now: MonoNanos) {
        self.acceptor.stop(now);
    }
}

fn reject(
    acceptor: &mut Acceptor,
    read: &Read,
    reason: BusinessRejectReason,
    retry_after_ns: u64,
    text: &str,
    now: MonoNanos,
) {
    acceptor.answer(read, Seq(0), &Answer::Rejected { reason, retry_after_ns, text }, now);
}

fn reject_unconfirmed(acceptor: &mut Acceptor, read: &Read, refusal: ReadRefusal, now: MonoNanos) {
    let text = refusal.to_string();
    reject(acceptor, read, BusinessRejectReason::NoQuorum, RETRY_NANOS, &text, now);
}

pub(crate) const fn refused(reason: BusinessRejectReason, text: &str) -> Answer<'_> {
    Answer::Rejected { reason, retry_after_ns: 0, text }
}

fn rows_of(answer: &Answer<'_>) -> usize {
    let rows = match answer {
        Answer::Accounts(accounts) => accounts.len(),
        Answer::Transfers { transfers, .. } => transfers.len(),
        Answer::Overdrafts(overdrafts) => overdrafts.len(),
        Answer::AccountCodes { codes, .. } => codes.len(),
        Answer::Monitors { monitors, .. } => monitors.len(),
        Answer::Triggers { triggers, .. } => triggers.len(),
        Answer::Attempts { attempts, .. } => attempts.len(),
        Answer::Exchanges(exchanges) => exchanges.len(),
        Answer::Proposals { proposals, .. } => proposals.len(),
        Answer::Quotes { quotes, .. } => quotes.len(),
        Answer::StandingOrders { orders, .. } => orders.len(),
        Answer::Totals { totals, .. } => totals.len(),
        Answer::Balance { .. }
        | Answer::ValueBalance { .. }
        | Answer::Calendar(_)
        | Answer::Proposal(_)
        | Answer::Rejected { .. } => 0,
    };
    1 + rows
}

fn state_of(view: &AccountView) -> AccountState {
    AccountState {
        account: AccountRow {
            id: view.account,
            user_data_128: view.user_data_128,
            owner: view.client,
            user_data_64: view.user_data_64,
            user_data_32: view.user_data_32,
            ledger: view.asset,
            code: view.code,
            flags: view.flags,
            class: u16::from(view.class.code()),
            reserved: 0,
        },
        debits_pending: view.debits_pending,
        debits_posted: view.debits,
        credits_pending: view.credits_pending,
        credits_posted: view.credits,
    }
}

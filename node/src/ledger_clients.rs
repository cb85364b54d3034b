//! Clients of the ledger: the binary protocol's acceptor behind its door, and their questions, which wait until the state here is as new as
//! they ask for.

use engine::Engine;
use engine::views::AccountView;
use gateways::ConnectionId;
use gateways::binary::{Acceptor, Answer, Leadership, Options, Query, Read};
use journal::FileDisk;
use protocol::binary::{AccountState, BusinessRejectReason};
use protocol::event::Event;
use protocol::rows::AccountRow;
use protocol::submit::Submit;
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{AccountId, EventBody, MonoNanos, Seq, UnixNanos};
use replicas::{ReadRefusal, ReadTicket, Replica};

use crate::sockets::{Door, ReadResult, Sockets};

/// A seq that has not come in this time is not waited for any more.
const SEQ_NANOS: u64 = 5 * NANOS_PER_SECOND;
/// Questions that are taken in one turn.
const READS_PER_TURN: usize = 64;
/// After how long a question may be asked again for which the state here was not new enough.
const RETRY_NANOS: u64 = 100 * NANOS_PER_MILLI;

/// What a question waits for.
#[derive(Clone, Copy)]
enum Waits {
    /// The engine has come to the seq that it asks for, by this time.
    ForSeq(MonoNanos),
    /// A quorum has confirmed that nothing newer was acknowledged elsewhere. Questions of one turn share a ticket.
    ForQuorum(ReadTicket),
}

/// Acceptor and questions.
pub(crate) struct LedgerClients {
    acceptor: Acceptor,
    waiting: Vec<(Waits, Read)>,
    /// Tickets that were answered in this turn.
    confirmed: Vec<(ReadTicket, Result<(), ReadRefusal>)>,
}

impl LedgerClients {
    /// `secret`: drawn at random; challenges follow from it.
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        let acceptor = Acceptor::new(Options::default(), secret);
        Self { acceptor, waiting: Vec::new(), confirmed: Vec::new() }
    }

    /// Who leads from now on.
    pub(crate) fn set_leadership(&mut self, leadership: Leadership, now: MonoNanos) {
        if let Leadership::Elsewhere(_) = leadership {
            self.waiting.clear();
        }
        self.acceptor.set_leadership(leadership, now);
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
        self.acceptor.closed(connection);
        self.waiting.retain(|(_, read)| read.connection != connection);
    }

    /// Hands out what followed from committed commands.
    pub(crate) fn deliver(&mut self, events: &[Event], now: MonoNanos, submit: &mut impl Submit) {
        events.iter().for_each(|event| self.acceptor.deliver(event, now));
        self.acceptor.resume(now, submit);
    }

    /// Takes questions, and answers those that have waited long enough. Returns whether there was anything to do.
    pub(crate) fn answer(&mut self, replica: &mut Replica<FileDisk>, now: MonoNanos) -> bool {
        let mut taken = 0;
        let mut ticket = None;
        while taken < READS_PER_TURN
            && let Some(read) = self.acceptor.take_read()
        {
            taken += 1;
            if !read.linearizable {
                self.waiting.push((Waits::ForSeq(now.plus(SEQ_NANOS)), read));
                continue;
            }
            match *ticket.get_or_insert_with(|| replica.ask_read()) {
                Ok(ticket) => self.waiting.push((Waits::ForQuorum(ticket), read)),
                Err(refusal) => reject_unconfirmed(&mut self.acceptor, &read, refusal, now),
            }
        }
        if self.waiting.is_empty() {
            return taken > 0;
        }
        let before = self.waiting.len();
        self.confirmed.clear();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain_mut(|(waits, read)| !self.settle(waits, read, replica, now));
        self.waiting = waiting;
        if self.waiting.len() < before {
            self.acceptor.resume(now, replica.sequencer());
        }
        taken > 0 || self.waiting.len() < before
    }

    /// Whether a question was answered, or will not be.
    fn settle(
        &mut self,
        waits: &mut Waits,
        read: &Read,
        replica: &mut Replica<FileDisk>,
        now: MonoNanos,
    ) -> bool {
        let until = match *waits {
            Waits::ForSeq(until) => until,
            Waits::ForQuorum(ticket) => match self.confirmation(ticket, replica) {
                None => return false,
                Some(Ok(())) => now.plus(SEQ_NANOS),
                Some(Err(refusal)) => {
                    reject_unconfirmed(&mut self.acceptor, read, refusal, now);
                    return true;
                }
            },
        };
        *waits = Waits::ForSeq(until);
        let applied = replica.engine().seq_applied();
        if applied >= read.min_seq {
            answer_from(&mut self.acceptor, replica.engine(), read, now);
            return true;
        }
        if now < until {
            return false;
        }
        let (reason, text) = (BusinessRejectReason::SeqNotReached, format!("{applied} is applied here"));
        reject(&mut self.acceptor, read, reason, RETRY_NANOS, &text, now);
        true
    }

    fn confirmation(
        &mut self,
        ticket: ReadTicket,
        replica: &mut Replica<FileDisk>,
    ) -> Option<Result<(), ReadRefusal>> {
        let known = self.confirmed.iter().find(|(confirmed, _)| *confirmed == ticket);
        if let Some((_, answer)) = known {
            return Some(*answer);
        }
        // A ticket is answered once; the questions that share it follow in this turn.
        let answer = replica.take_read(ticket)?.map(|_| ());
        self.confirmed.push((ticket, answer));
        Some(answer)
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

/// Answers from the state behind the last command that was applied.
fn answer_from(acceptor: &mut Acceptor, engine: &Engine, read: &Read, now: MonoNanos) {
    let seq = engine.seq_applied();
    let refused = |reason, text| Answer::Rejected { reason, retry_after_ns: 0, text };
    match &read.query {
        Query::Accounts(ids) => {
            let found: Vec<AccountState> =
                ids.iter().filter_map(|id| engine.account(*id)).map(|account| state_of(&account)).collect();
            acceptor.answer(read, seq, &Answer::Accounts(&found), now);
        }
        Query::BalanceAt { account, at_seq: Seq(0), at_time: UnixNanos(0) } => {
            let answer =
                balance(engine, *account).unwrap_or(refused(BusinessRejectReason::UnknownAccount, "account"));
            acceptor.answer(read, seq, &answer, now);
        }
        Query::BalanceAt { .. } | Query::Transfers(_) | Query::AccountTransfers(_) => {
            acceptor.answer(read, seq, &refused(BusinessRejectReason::NotKept, ""), now);
        }
    }
}

fn balance(engine: &Engine, account: AccountId) -> Option<Answer<'static>> {
    let account = engine.account(account)?;
    let sums = [account.debits_pending, account.debits, account.credits_pending, account.credits];
    Some(Answer::Balance { time: engine.time(), sums })
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

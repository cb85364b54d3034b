//! A client that pays in batches: what it reserves expires soon, what it links fails now and then, and what was not answered it
//! sends again, under the same number or another, to whoever leads. It remembers what it was told of each transfer: that
//! stays so, whoever dies, and at the end it asks for everything once more.

use std::collections::BTreeMap;

use protocol::commands::{CreateAccounts, CreateTransfers, DefineActor, DefineSession, roles};
use protocol::event::Event;
use protocol::events::{TransferExpired, TransfersCreated};
use protocol::record::RecordHeader;
use protocol::rows::transfer_flags::{
    LINKED, PENDING, POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER, WHOLE_CHAIN,
};
use protocol::rows::{AccountRow, TransferRow, account_flags};
use protocol::submit::Submit;
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, CancelOnDisconnect, Command, EventBody, FirmId,
    LedgerRefusal, MonoNanos, RequestNumber, Seq, SessionId, SessionProtocol, Strictness, Text, TransferId,
};

use super::setup;
use crate::calendar::Calendar;
use crate::checkers::{Violation, ensure};
use crate::clock::truth;
use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::trace::Trace;

const NAME: &str = "transfers_once";

/// Batches of a world, at most.
const BATCHES_MAX: u64 = 80;
/// Every other batch follows the one before so soon: what that has reserved is still pending.
const SOON_US_MAX: u64 = 20_000;
/// Batches without an answer, at most.
const OPEN_MAX: usize = 4;
/// Its accounts have ids from here on; the first is the world outside.
const ACCOUNTS_FROM: u128 = 700;
const ACCOUNTS: u64 = 6;
pub(super) const ASSET: AssetId = AssetId(1);
/// What each has at first; soon some have less than they are to pay.
const FIRST_AMOUNT: u64 = 500;
/// More than anybody has.
pub(super) const TOO_MUCH: u64 = 1_000_000_000;
/// Its session, below those of traders.
const SESSION: SessionId = SessionId(100);
/// That of whoever defines standing orders on the same accounts.
pub(super) const STANDING_ORDERS_SESSION: SessionId = SessionId(99);
const ACTOR: ActorId = ActorId(100);
/// An answer that does not come for so long is not waited for any more.
const ANSWER_NS: u64 = 400_000_000;
/// What is reserved expires behind so many seconds at most.
const TIMEOUT_S_MAX: u64 = 2;
/// A transfer is to take value so many days from the one that is booked on, at most.
const VALUE_DAYS_MAX: u32 = 3;

/// What the client knows of a transfer, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It was executed at this seq.
    Executed(Seq),
    /// It was refused there, for a reason that may be gone by now, and will not be executed.
    Refused(LedgerRefusal, Seq),
}

/// What ended what was pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    By(TransferId),
    Expired,
}

/// A transfer that reserves, and those that it is linked with.
struct Reserved {
    chain: Vec<TransferId>,
    /// Under whose reign it was answered first, and which day was booked on then.
    answered: Option<(u64, u32)>,
}

/// A batch without an answer.
struct Open {
    batch: usize,
    /// Under whose reign it was sent last; 0 = it found no room.
    reign: u64,
    sent_at: MonoNanos,
}

/// How far the client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Paying,
    /// Nothing new; what is reserved may still expire.
    Waiting(MonoNanos),
    /// So many batches are to be asked for once more.
    Asking(usize),
}

/// The client.
pub struct Payments {
    rng: Rng,
    trace: Trace,
    /// Batches that are still to be made.
    left: u64,
    pause_us_max: u64,
    repeats: bool,
    phase: Phase,
    next_at: MonoNanos,
    next_transfer: u64,
    next_request: u64,
    /// Everything that was ever sent, and whether it was answered.
    batches: Vec<(Vec<TransferRow>, bool)>,
    /// Which batch a number was used for.
    requests: BTreeMap<u64, usize>,
    open: BTreeMap<u64, Open>,
    known: BTreeMap<TransferId, Known>,
    reserved: BTreeMap<TransferId, Reserved>,
    ends: BTreeMap<TransferId, End>,
    calendar: Calendar,
}

impl Payments {
    pub(crate) fn new(mut rng: Rng, knobs: Knobs, trace: Trace) -> Self {
        let left = if knobs.payments { rng.within(8..=BATCHES_MAX) } else { 0 };
        let pause_us_max = (4 * knobs.faults_ns / 1_000 / left.max(1)).max(20);
        Self {
            rng,
            trace,
            left,
            pause_us_max,
            repeats: knobs.rough_clients,
            phase: if left > 0 { Phase::Paying } else { Phase::Asking(0) },
            next_at: MonoNanos(0),
            next_transfer: 0,
            next_request: 0,
            batches: Vec::new(),
            requests: BTreeMap::new(),
            open: BTreeMap::new(),
            known: BTreeMap::new(),
            reserved: BTreeMap::new(),
            ends: BTreeMap::new(),
            calendar: Calendar::default(),
        }
    }

    /// What it was told of its transfers.
    pub(crate) fn known(&self) -> &BTreeMap<TransferId, Known> {
        &self.known
    }

    /// No new batches: what was reserved last is over soon, and then everything is asked for once more.
    pub(crate) fn stop(&mut self, now: MonoNanos) {
        self.left = 0;
        if self.phase == Phase::Paying {
            self.phase = Phase::Waiting(now.plus((TIMEOUT_S_MAX + 1) * 1_000_000_000));
        }
    }

    /// Batches that wait for an answer, and those that are still to be asked for.
    pub(crate) fn open(&self) -> usize {
        let to_come = match self.phase {
            Phase::Paying | Phase::Waiting(_) => 1,
            Phase::Asking(left) => left,
        };
        to_come + self.open.len()
    }

    pub(crate) fn next_at(&self) -> Option<MonoNanos> {
        (self.open() > 0).then_some(self.next_at)
    }

    /// Whether somebody has not answered for so long that another should be asked.
    pub(crate) fn is_impatient(&self, now: MonoNanos) -> bool {
        self.open.values().any(|open| open.reign > 0 && now.since(open.sent_at) > ANSWER_NS)
    }

    /// Sends what is due, under this `reign`. Returns whether it sent anything.
    pub(crate) fn act(&mut self, now: MonoNanos, reign: u64, submit: &mut impl Submit) -> bool {
        if self.open() == 0 || now < self.next_at {
            return false;
        }
        let pause_us_max = match self.left {
            0 => 2_000,
            _ if self.rng.coin() => self.pause_us_max.min(SOON_US_MAX),
            _ => self.pause_us_max,
        };
        self.next_at = now.plus(self.rng.within(20..=pause_us_max) * 1_000);
        let is_unknown = |open: &Open| open.reign != reign || now.since(open.sent_at) > ANSWER_NS;
        let unknown: Vec<u64> =
            self.open.iter().filter(|(_, open)| is_unknown(open)).map(|(request, _)| *request).collect();
        for request in unknown {
            self.send_again(now, reign, request, submit);
        }
        if self.open.len() < OPEN_MAX
            && let Some(batch) = self.next_batch(now)
        {
            self.begin(now, reign, batch, submit);
        }
        true
    }

    /// The next batch that is to be sent, made now or before.
    fn next_batch(&mut self, now: MonoNanos) -> Option<usize> {
        match self.phase {
            Phase::Paying if self.repeats && self.rng.below(8) == 0 && !self.batches.is_empty() => {
                self.trace.sometimes("batch sent twice");
                Some(self.rng.below(self.batches.len() as u64) as usize)
            }
            Phase::Paying => {
                self.left = self.left.checked_sub(1)?;
                let rows = self.rows(now);
                self.batches.push((rows, false));
                Some(self.batches.len() - 1)
            }
            Phase::Waiting(until) => {
                if now >= until && self.open.is_empty() {
                    self.phase = Phase::Asking(self.batches.len());
                }
                None
            }
            Phase::Asking(left) => {
                let batch = left.checked_sub(1)?;
                self.phase = Phase::Asking(batch);
                Some(batch)
            }
        }
    }

    fn begin(&mut self, now: MonoNanos, reign: u64, batch: usize, submit: &mut impl Submit) {
        self.next_request += 1;
        self.requests.insert(self.next_request, batch);
        self.open.insert(self.next_request, Open { batch, reign: 0, sent_at: now });
        self.send(now, reign, self.next_request, submit);
    }

    /// Whether it was executed is not known. Its ids make it safe to send it under another number.
    fn send_again(&mut self, now: MonoNanos, reign: u64, request: u64, submit: &mut impl Submit) {
        let Some(open) = self.open.get(&request) else { return };
        let batch = open.batch;
        if open.reign > 0 {
            self.trace.sometimes("batch sent again after an unknown outcome");
        }
        if self.rng.coin() {
            self.open.remove(&request);
            self.begin(now, reign, batch, submit);
        } else {
            self.send(now, reign, request, submit);
        }
    }

    fn send(&mut self, now: MonoNanos, reign: u64, request: u64, submit: &mut impl Submit) {
        let Some(open) = self.open.get_mut(&request) else { return };
        let command = CreateTransfers { transfers: self.batches[open.batch].0.clone() }.into();
        if submit.submit(&header(request), now, &command).is_ok() {
            (open.reign, open.sent_at) = (reign, now);
            self.trace.note("payments", request, reign);
        }
    }

    /// Something left a process, when there had been so many reigns: perhaps an answer.
    ///
    /// # Errors
    /// [`Violation`] if that contradicts what was said before.
    pub(crate) fn take(&mut self, event: &Event, reigns: u64) -> Result<(), Violation> {
        self.calendar.take(event);
        if let EventBody::TransfersCreated(made) = &event.body {
            if made.session == SESSION { self.answered(event.seq, made, reigns) } else { Ok(()) }
        } else if let EventBody::TransferExpired(expired) = &event.body {
            self.expired(expired, reigns)
        } else if let EventBody::Replied(reply) = &event.body {
            ensure(reply.session != SESSION, NAME, || format!("a batch is refused: {reply:?}"))
        } else {
            Ok(())
        }
    }

    fn answered(&mut self, seq: Seq, made: &TransfersCreated, reigns: u64) -> Result<(), Violation> {
        let batch = self.requests.get(&made.request.0).copied();
        let batch =
            batch.ok_or_else(|| Violation { invariant: NAME, what: format!("never sent: {made:?}") })?;
        self.open.remove(&made.request.0);
        let (rows, was_answered) = self.batches[batch].clone();
        self.batches[batch].1 = true;
        let mut results = vec![None; rows.len()];
        for exception in &made.exceptions {
            results[exception.index as usize] = Some((exception.refusal, exception.seq));
        }
        let mut first = 0;
        while first < rows.len() {
            let linked = rows[first..].iter().take_while(|row| row.flags & LINKED != 0).count();
            let end = first + linked + 1;
            let (chain, results) = (&rows[first..end], &results[first..end]);
            match results[0] {
                None => {
                    let all = results.iter().all(Option::is_none);
                    ensure(all, NAME, || format!("a part of {chain:?} was created: {results:?}"))?;
                    self.executed(chain, seq, reigns)?;
                }
                Some(before @ (LedgerRefusal::Exists, at)) => {
                    let all = results.iter().all(|result| *result == Some(before));
                    ensure(all, NAME, || format!("a part of {chain:?} exists: {results:?}"))?;
                    if !was_answered {
                        self.trace.sometimes("batch found executed after its answer was lost");
                    }
                    self.executed(chain, at, reigns)?;
                }
                Some(_) => {
                    let none = results.iter().all(Option::is_some);
                    ensure(none, NAME, || format!("a part of {chain:?} was created: {results:?}"))?;
                    self.chain_refused(results);
                    for (row, result) in chain.iter().zip(results) {
                        let Some((refusal, at)) = *result else { continue };
                        self.refused(row, refusal, at)?;
                    }
                }
            }
            first = end;
        }
        Ok(())
    }

    fn executed(&mut self, chain: &[TransferRow], seq: Seq, reigns: u64) -> Result<(), Violation> {
        for row in chain {
            let known = *self.known.entry(row.id).or_insert(Known::Executed(seq));
            ensure(known == Known::Executed(seq), NAME, || {
                format!("{row:?} was executed at {seq}, and {known:?} before")
            })?;
            if let Some(reserved) = self.reserved.get_mut(&row.id) {
                reserved.answered.get_or_insert((reigns, self.calendar.business_date()));
            }
            if row.value_date != 0 {
                self.trace.sometimes("transfer taken with a value date");
            }
            if row.flags & (POST_PENDING_TRANSFER | VOID_PENDING_TRANSFER) != 0 {
                self.ended(row, reigns)?;
            }
        }
        Ok(())
    }

    /// A row that posted or voided was executed.
    fn ended(&mut self, row: &TransferRow, reigns: u64) -> Result<(), Violation> {
        let whole = row.flags & WHOLE_CHAIN != 0;
        let posts = row.flags & POST_PENDING_TRANSFER != 0;
        let (legs, answered) = match self.reserved.get(&row.pending_id) {
            Some(reserved) if whole => (reserved.chain.clone(), reserved.answered),
            Some(reserved) => (vec![row.pending_id], reserved.answered),
            None => (vec![row.pending_id], None),
        };
        let is_first = !self.ends.contains_key(&row.pending_id);
        if is_first {
            self.trace.sometimes(match (whole && legs.len() > 1, posts) {
                (true, true) => "whole chain posted",
                (true, false) => "whole chain voided",
                (false, true) => "transfer posted",
                (false, false) => "transfer voided",
            });
        }
        if is_first
            && legs.len() > 1
            && let Some((reign, day)) = answered
        {
            if reign < reigns {
                self.trace.sometimes("whole chain settled under another reign than it was reserved");
            }
            if day < self.calendar.business_date() {
                self.trace.sometimes("whole chain settled on a later day than it was reserved");
            }
        }
        for leg in legs {
            let end = *self.ends.entry(leg).or_insert(End::By(row.id));
            ensure(end == End::By(row.id), NAME, || {
                format!("{row:?} has ended {leg:?}, and {end:?} before")
            })?;
        }
        Ok(())
    }

    /// Which row of a chain has failed: what those before it did had to be taken back.
    fn chain_refused(&self, results: &[Option<(LedgerRefusal, Seq)>]) {
        let failed = |result: &Option<(LedgerRefusal, Seq)>| {
            result.is_some_and(|(refusal, _)| refusal != LedgerRefusal::LinkedEventFailed)
        };
        match results.iter().position(failed) {
            Some(at) if at > 0 && at + 1 < results.len() => {
                self.trace.sometimes("chain refused in the middle")
            }
            Some(at) if at > 0 => self.trace.sometimes("chain refused at its end"),
            Some(_) | None => {}
        }
    }

    fn refused(&mut self, row: &TransferRow, refusal: LedgerRefusal, seq: Seq) -> Result<(), Violation> {
        let says_nothing =
            [LedgerRefusal::LinkedEventFailed, LedgerRefusal::IdTooOld, LedgerRefusal::IdTooFarAhead];
        if says_nothing.contains(&refusal) {
            return Ok(());
        }
        if refusal == LedgerRefusal::PendingTransferExpired {
            self.trace.sometimes("too late for what had expired");
        }
        if refusal == LedgerRefusal::ValueDateOutOfRange {
            self.trace.sometimes("value date refused");
        }
        let told = Known::Refused(refusal, seq);
        let known = self.known.get(&row.id).copied();
        if refusal.is_transient() {
            self.known.insert(row.id, told);
        }
        let same = known.is_none_or(|known| known == told);
        ensure(same, NAME, || format!("{row:?} is {told:?}, and was {known:?} before"))
    }

    /// What was pending is over.
    fn expired(&mut self, expired: &TransferExpired, reigns: u64) -> Result<(), Violation> {
        let Some(reserved) = self.reserved.get(&expired.transfer) else { return Ok(()) };
        self.trace.sometimes("transfer expired");
        if let Some((reign, day)) = reserved.answered {
            if reign < reigns {
                self.trace.sometimes("transfer expired under another reign than it was reserved");
            }
            if day < self.calendar.business_date() {
                self.trace.sometimes("transfer expired on a later day than it was reserved");
            }
        }
        let end = self.ends.insert(expired.transfer, End::Expired);
        ensure(end.is_none(), NAME, || format!("{expired:?}, and before {end:?}"))
    }

    /// Rows of a new batch: chains and rows alone.
    fn rows(&mut self, now: MonoNanos) -> Vec<TransferRow> {
        if self.batches.is_empty() {
            return (1..=ACCOUNTS).map(|to| self.comes_in(now, to, FIRST_AMOUNT)).collect();
        }
        let mut rows = Vec::new();
        for _ in 0..self.rng.within(1..=6) {
            match self.rng.below(8) {
                0 => {
                    let (to, amount) = (self.rng.within(1..=ACCOUNTS), self.rng.within(1..=500));
                    rows.push(self.comes_in(now, to, amount));
                }
                1 => rows.push(self.row(now)),
                2 => self.chain(now, 0, &mut rows),
                3 | 4 => self.chain(now, PENDING, &mut rows),
                5 => rows.push(self.reserving(now)),
                _ => {
                    let row = self.settling(now);
                    rows.extend(row);
                }
            }
        }
        rows
    }

    fn chain(&mut self, now: MonoNanos, flags: u16, rows: &mut Vec<TransferRow>) {
        let first = rows.len();
        for _ in 0..self.rng.within(2..=4) {
            let row = if flags == PENDING { self.reserving(now) } else { self.row(now) };
            rows.push(TransferRow { flags: row.flags | LINKED, ..row });
        }
        let chain = &mut rows[first..];
        chain[chain.len() - 1].flags &= !LINKED;
        let fails = self.rng.below(chain.len() as u64) as usize;
        match self.rng.below(6) {
            0 => chain[fails].amount = Amount(TOO_MUCH.into()),
            1 => chain[fails].credit_account = chain[fails].debit_account,
            2 => chain[fails].credit_account = AccountId(ACCOUNTS_FROM + 99),
            _ => {}
        }
        let ids: Vec<TransferId> = chain.iter().map(|row| row.id).collect();
        for id in &ids {
            self.reserved.entry(*id).and_modify(|reserved| reserved.chain.clone_from(&ids));
        }
    }

    /// Money comes in for the account at `place`.
    fn comes_in(&mut self, now: MonoNanos, place: u64, amount: u64) -> TransferRow {
        TransferRow {
            debit_account: AccountId(ACCOUNTS_FROM),
            credit_account: AccountId(ACCOUNTS_FROM + u128::from(place)),
            amount: Amount(amount.into()),
            value_date: 0,
            ..self.row(now)
        }
    }

    /// One account pays another.
    fn row(&mut self, now: MonoNanos) -> TransferRow {
        self.next_transfer += 1;
        let (debit_account, credit_account) = two_accounts(&mut self.rng);
        TransferRow {
            id: setup::transfer_id(truth(now), self.next_transfer),
            debit_account,
            credit_account,
            amount: Amount(self.rng.within(1..=200).into()),
            ledger: ASSET,
            code: 1,
            value_date: self.value_date(),
            ..TransferRow::default()
        }
    }

    /// Now and then a day around the one that is booked on; 0 = that one, whichever it is by then.
    fn value_date(&mut self) -> u32 {
        match self.calendar.business_date() {
            0 => 0,
            day if self.rng.below(6) == 0 => {
                day - VALUE_DAYS_MAX + self.rng.within(0..=2 * VALUE_DAYS_MAX as u64) as u32
            }
            _ => 0,
        }
    }

    fn reserving(&mut self, now: MonoNanos) -> TransferRow {
        let row = self.row(now);
        self.reserved.insert(row.id, Reserved { chain: vec![row.id], answered: None });
        let timeout_s = if self.rng.below(4) == 0 { 0 } else { self.rng.within(1..=TIMEOUT_S_MAX) };
        TransferRow { flags: PENDING, timeout_s: timeout_s as u32, ..row }
    }

    /// Posts or voids something that was reserved not long ago, whatever has become of it.
    fn settling(&mut self, now: MonoNanos) -> Option<TransferRow> {
        let (posts, whole) = (self.rng.coin(), self.rng.coin());
        let newest = self.reserved.iter().rev().take(12);
        let chained = newest.filter(|(_, reserved)| !whole || reserved.chain.len() > 1);
        let targets: Vec<TransferId> = chained.map(|(id, _)| *id).collect();
        let pending_id = *targets.get(self.rng.below(targets.len() as u64) as usize)?;
        let part = posts && !whole && self.rng.coin();
        let amount = match (posts, part) {
            (true, true) => self.rng.within(1..=100).into(),
            (true, false) => u128::MAX,
            (false, _) => 0,
        };
        let end = if posts { POST_PENDING_TRANSFER } else { VOID_PENDING_TRANSFER };
        Some(TransferRow {
            pending_id,
            debit_account: AccountId(0),
            credit_account: AccountId(0),
            amount: Amount(amount),
            flags: if whole { end | WHOLE_CHAIN } else { end },
            ..self.row(now)
        })
    }
}

/// One that pays, and another.
pub(super) fn two_accounts(rng: &mut Rng) -> (AccountId, AccountId) {
    let debit = rng.within(1..=ACCOUNTS);
    let credit = 1 + (debit - 1 + rng.within(1..=ACCOUNTS - 1)) % ACCOUNTS;
    let account = |place: u64| AccountId(ACCOUNTS_FROM + u128::from(place));
    (account(debit), account(credit))
}

fn header(request: u64) -> RecordHeader {
    RecordHeader { session: SESSION, request: RequestNumber(request), ..RecordHeader::default() }
}

/// What has to be defined for it: its sessions, and its accounts.
pub(super) fn setup() -> [Command; 4] {
    [
        DefineActor { actor: ACTOR, roles: roles::CASHIER }.into(),
        session(SESSION, ACTOR, "PAYMENTS").into(),
        session(STANDING_ORDERS_SESSION, ACTOR, "STANDING").into(),
        accounts(),
    ]
}

/// A session of requests, as an actor.
pub(super) fn session(session: SessionId, actor: ActorId, client_comp_id: &str) -> DefineSession {
    DefineSession {
        session,
        actor,
        firm: FirmId(7),
        protocol: SessionProtocol::Request,
        client_comp_id: Text::truncated(client_comp_id),
        our_comp_id: Text::truncated(setup::OUR_COMP_ID),
        clients: Vec::new(),
        reset_on_logon: true,
        heartbeat_s_min: 1,
        heartbeat_s_max: 60,
        strictness: Strictness::Strict,
        cancel_on_disconnect: CancelOnDisconnect::Never,
        cancel_window_ms: 0,
    }
}

fn accounts() -> Command {
    let row = |place: u64| {
        let is_outside = place == 0;
        let class = if is_outside { AccountClass::External } else { AccountClass::House };
        AccountRow {
            id: AccountId(ACCOUNTS_FROM + u128::from(place)),
            ledger: ASSET,
            code: 7,
            flags: if is_outside { 0 } else { account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS },
            class: class.code().into(),
            ..AccountRow::default()
        }
    };
    CreateAccounts { accounts: (0..=ACCOUNTS).map(row).collect() }.into()
}

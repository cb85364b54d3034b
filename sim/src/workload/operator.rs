//! The operator: requests with unknown outcomes, definitions that their numbers tell and batches that the ids of their rows
//! tell. What was not answered is sent again, now and then what was answered too, and now and then something else under a
//! number or ids that are taken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::commands::{
    CreateTransfers, DefineActor, SetMarketPhase, SetTradeGroup, SetTradingRules, roles,
};
use protocol::event::Event;
use protocol::events::{MarketPhaseChanged, Replied};
use protocol::limits::REQUEST_WINDOW;
use protocol::record::RecordHeader;
use protocol::rows::{RowResult, TransferRow};
use protocol::submit::Submit;
use protocol::{
    ActorId, Amount, AssetId, ClientId, Command, EventBody, LedgerRefusal, MarketId, MarketPhase, MonoNanos,
    PhaseCause, RejectReason, RequestNumber, Seq, SessionId, TradeGroupId,
};

use super::{days, payments, setup};
use crate::checkers::{Violation, ensure};
use crate::clock::clients_now;
use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::trace::Trace;

/// Requests under way at once.
const WINDOW: usize = 8;
/// Rows of a batch, at most.
const ROWS_MAX: u64 = 3;
/// Numbers in the ids of the workload's transfers begin here.
const TRANSFERS_FROM: u64 = 1_000;
/// Actors that are defined again and again; nobody acts as one.
const ACTORS_FROM: u32 = 500;
const ACTORS: u64 = 4;
const NAME: &str = "at_most_once";

/// An answer that does not come for so long is not waited for any more: the request is sent again.
const TIMEOUT_NS: u64 = 400_000_000;

/// A request without an answer.
struct Pending {
    command: Command,
    /// Under whose reign it was sent last: one life of one process as leader. 0: under nobody's yet.
    reign: u64,
    sent_at: MonoNanos,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Replied(Replied),
    Rows(Vec<Fate>),
}

/// What became of a row, however often it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Created(Seq),
    /// A refusal that its id is remembered with.
    Refused(LedgerRefusal, Seq),
    /// One that is found anew each time.
    Wrong(LedgerRefusal),
}

impl Fate {
    /// What another row under the same id is told.
    fn of_another(self) -> Self {
        match self {
            Self::Created(_) | Self::Refused(..) => Self::Wrong(LedgerRefusal::ExistsWithDifferentAmount),
            Self::Wrong(_) => self,
        }
    }
}

/// The operator's side of its session.
pub struct Operator {
    rng: Rng,
    trace: Trace,
    knobs: Knobs,
    script: VecDeque<Command>,
    next_request: u64,
    next_transfer: u64,
    /// Requests that define what clients need: the first ones.
    setup: u64,
    /// Sent, without an answer yet.
    pending: BTreeMap<u64, Pending>,
    answered: BTreeMap<u64, (Command, Outcome)>,
    /// Numbers under which, or under whose ids, something else was tried.
    altered: BTreeSet<u64>,
    next_at: MonoNanos,
    wants_more: bool,
}

impl Operator {
    pub(crate) fn new(rng: Rng, knobs: Knobs, trace: Trace) -> Self {
        let mut script: VecDeque<Command> =
            setup::commands(knobs.traders, clients_now(MonoNanos(0)).wall).into();
        if knobs.order_terms {
            // Half of the clients are of one trade group.
            let grouped = (1..=knobs.traders as u64).filter(|client| client % 2 == 0).map(ClientId);
            let trade_group = TradeGroupId(1);
            script.extend(grouped.map(|client| SetTradeGroup { client, trade_group }.into()));
        }
        if knobs.payments {
            script.extend(payments::setup());
            script.extend(days::setup());
        }
        Self {
            rng,
            trace,
            setup: script.len() as u64,
            script,
            knobs,
            next_request: 1,
            next_transfer: TRANSFERS_FROM,
            pending: BTreeMap::new(),
            answered: BTreeMap::new(),
            altered: BTreeSet::new(),
            next_at: MonoNanos(0),
            wants_more: true,
        }
    }

    /// Whether everything that clients need is defined.
    #[must_use]
    pub fn set_up(&self) -> bool {
        self.script.is_empty() && self.pending.is_empty() || self.answered.len() as u64 >= self.setup
    }

    /// No new requests; what is open still gets its answer.
    pub(crate) fn stop(&mut self) {
        self.wants_more = false;
    }

    pub(crate) fn open(&self) -> usize {
        self.pending.len() + self.script.len()
    }

    pub(crate) fn next_at(&self) -> MonoNanos {
        self.next_at
    }

    /// Whether somebody has not answered for so long that another should be asked.
    #[must_use]
    pub(crate) fn is_impatient(&self, now: MonoNanos) -> bool {
        self.pending.values().any(|p| p.reign > 0 && now.since(p.sent_at) > TIMEOUT_NS)
    }

    /// What the operator does now, under this `reign`. Returns whether it sent anything.
    pub(crate) fn act(&mut self, now: MonoNanos, reign: u64, submit: &mut impl Submit) -> bool {
        if now < self.next_at {
            return false;
        }
        self.next_at = now.plus(self.rng.within(20..=self.knobs.pause_us_max) * 1_000);
        let is_unknown = |p: &Pending| p.reign != reign || now.since(p.sent_at) > TIMEOUT_NS;
        let unknown: Vec<u64> = self.pending.iter().filter(|(_, p)| is_unknown(p)).map(|(n, _)| *n).collect();
        for request in unknown {
            self.trace.sometimes("request sent again after an unknown outcome");
            self.send(now, reign, request, submit);
        }
        for _ in 0..self.rng.within(1..=self.knobs.burst_max) {
            if self.pending.len() >= WINDOW {
                break;
            }
            let Some(command) = self.next_command(now) else { break };
            self.pending.insert(self.next_request, Pending { command, reign: 0, sent_at: now });
            self.send(now, reign, self.next_request, submit);
            self.next_request += 1;
        }
        if self.knobs.rough_clients && self.wants_more {
            self.repeat(now, reign, submit);
        }
        true
    }

    fn send(&mut self, now: MonoNanos, reign: u64, request: u64, submit: &mut impl Submit) {
        let Some(pending) = self.pending.get_mut(&request) else { return };
        // A full queue is met again by the next reign or the next repetition: nothing is lost by it.
        if submit.submit(&header(request), now, &pending.command).is_ok() {
            (pending.reign, pending.sent_at) = (reign, now);
            self.trace.note("request", request, reign);
        }
    }

    /// Sends something that is under way or answered once more, or something else under its number or ids.
    fn repeat(&mut self, now: MonoNanos, reign: u64, submit: &mut impl Submit) {
        if self.rng.below(8) == 0
            && let Some((&request, pending)) = self.pending.first_key_value()
            && submit.submit(&header(request), now, &pending.command).is_ok()
        {
            self.trace.sometimes("request sent twice");
        }
        if self.rng.below(8) != 0 || self.answered.is_empty() {
            return;
        }
        let newest = self.next_request;
        let request = newest.saturating_sub(self.rng.within(1..=20)).max(1);
        let Some((command, _)) = self.answered.get(&request) else { return };
        let other = if self.rng.coin() { None } else { another(command) };
        if other.is_some() {
            self.altered.insert(request);
            self.trace.sometimes("number or ids used for something else");
        }
        if submit.submit(&header(request), now, other.as_ref().unwrap_or(command)).is_ok() {
            self.trace.sometimes("answered request sent again");
            self.trace.note("again", request, reign);
        }
    }

    fn next_command(&mut self, now: MonoNanos) -> Option<Command> {
        if let Some(next) = self.script.pop_front() {
            return Some(next);
        }
        if !self.wants_more || self.next_request > self.knobs.actions_max {
            return None;
        }
        if self.rng.below(4) == 0 {
            let actor = ActorId(ACTORS_FROM + self.rng.below(ACTORS) as u32);
            let roles = self.rng.pick(&[0, roles::TRADER, roles::CASHIER]);
            return Some(DefineActor { actor, roles }.into());
        }
        if self.knobs.order_terms && self.rng.below(4) == 0 {
            return Some(self.next_of_market());
        }
        let transfers = (0..self.rng.within(1..=ROWS_MAX)).map(|_| self.next_row(now)).collect();
        Some(CreateTransfers { transfers }.into())
    }

    /// Another phase, into an auction and out of it as often as elsewhere, or another distance from which on the market pauses.
    fn next_of_market(&mut self) -> Command {
        let market = MarketId(1);
        if self.rng.below(4) == 0 {
            let phase = self.rng.pick(&[MarketPhase::Halt, MarketPhase::Auction]);
            return SetTradingRules {
                volatility_ppm: self.rng.within(10_000..=50_000) as u32,
                volatility_window_ms: 1_000,
                volatility_phase: phase,
                volatility_pause_ms: self.rng.within(1..=500) as u32,
                ..SetTradingRules::none(market)
            }
            .into();
        }
        let phase = self.rng.pick(&[
            MarketPhase::Trading,
            MarketPhase::Trading,
            MarketPhase::Trading,
            MarketPhase::Auction,
            MarketPhase::PreOpen,
            MarketPhase::PostOnly,
            MarketPhase::Halt,
        ]);
        SetMarketPhase { market, phase }.into()
    }

    /// Money goes out, from one client to another, or comes in.
    fn next_row(&mut self, now: MonoNanos) -> TransferRow {
        let trader = self.rng.below(self.knobs.traders as u64) as usize;
        let other = self.rng.below(self.knobs.traders as u64) as usize;
        let asset = AssetId(self.rng.within(1..=2) as u32);
        let id = setup::transfer_id(clients_now(now).wall, self.next_transfer);
        self.next_transfer += 1;
        let amount = Amount(u128::from(self.rng.within(1..=50_000)));
        let (account, external) = (setup::account(trader, asset), setup::external(asset));
        let accounts = match self.rng.below(4) {
            0 => (account, external),
            1 => (account, setup::account(other, asset)),
            _ => (external, account),
        };
        setup::transfer(id, accounts, amount, asset)
    }

    /// Something left a process: perhaps a result.
    ///
    /// # Errors
    /// [`Violation`] if it differs from the one before, or if something else under a used number or id did something.
    pub(crate) fn take(&mut self, event: &Event) -> Result<(), Violation> {
        if let EventBody::AuctionUncrossed(_) = &event.body {
            self.trace.sometimes("auction carried out");
        }
        if let EventBody::MarketPhaseChanged(MarketPhaseChanged { cause: PhaseCause::Volatility, .. }) =
            &event.body
        {
            self.trace.sometimes("market paused for its price");
        }
        if let EventBody::Replied(reply) = &event.body {
            self.answer(reply.session, reply.request, Outcome::Replied(reply.clone()))
        } else if let EventBody::AccountsCreated(made) = &event.body {
            let fates = fates(event.seq, made.count, &made.exceptions);
            self.answer(made.session, made.request, Outcome::Rows(fates))
        } else if let EventBody::TransfersCreated(made) = &event.body {
            let fates = fates(event.seq, made.count, &made.exceptions);
            self.answer(made.session, made.request, Outcome::Rows(fates))
        } else {
            Ok(())
        }
    }

    fn answer(
        &mut self,
        session: SessionId,
        RequestNumber(request): RequestNumber,
        outcome: Outcome,
    ) -> Result<(), Violation> {
        // 0 is a batch's that nobody waits for.
        if session != SessionId::OPERATOR || request == 0 {
            return Ok(());
        }
        let what = |text: &str| format!("request {request}: {text}: {outcome:?}");
        if let Some(Pending { command, .. }) = self.pending.remove(&request) {
            let is_expected = is_expected(&command, &outcome, request <= self.setup);
            ensure(is_expected, NAME, || what("unexpected"))?;
            self.answered.insert(request, (command, outcome));
            return Ok(());
        }
        let Some((_, first)) = self.answered.get(&request) else {
            return Err(Violation { invariant: NAME, what: what("never sent") });
        };
        if self.altered.contains(&request) && is_of_another(first, &outcome) {
            self.trace.sometimes("altered request refused");
            return Ok(());
        }
        if let Outcome::Replied(reply) = &outcome
            && reply.refusal == Some(RejectReason::BelowRequestWindow)
            && request + REQUEST_WINDOW <= self.next_request
        {
            return Ok(());
        }
        self.trace.sometimes("first result given again");
        ensure(*first == outcome, NAME, || what(&format!("answered before by {first:?}")))
    }
}

/// Something else under the same number, or the same ids.
fn another(command: &Command) -> Option<Command> {
    if let Command::DefineActor(define) = command {
        Some(DefineActor { roles: define.roles ^ roles::PAYER, ..define.clone() }.into())
    } else if let Command::CreateTransfers(batch) = command {
        let mut batch = batch.clone();
        batch.transfers.iter_mut().for_each(|row| row.amount.0 += 1);
        Some(batch.into())
    } else {
        None
    }
}

/// Definitions of the setup are done and its rows are created; later a transfer is refused when the money is not there, or when it
/// would come back to where it is from, and a definition when it is so already.
fn is_expected(command: &Command, outcome: &Outcome, is_setup: bool) -> bool {
    let is_batch = matches!(command, Command::CreateAccounts(_) | Command::CreateTransfers(_));
    match outcome {
        Outcome::Replied(reply) => {
            let is_known = reply.refusal == Some(RejectReason::Exists);
            !is_batch && (reply.refusal.is_none() || (is_known && !is_setup))
        }
        Outcome::Rows(fates) => {
            is_batch
                && fates.iter().all(|fate| match fate {
                    Fate::Created(_) => true,
                    Fate::Refused(refusal, _) => *refusal == LedgerRefusal::ExceedsCredits && !is_setup,
                    Fate::Wrong(refusal) => *refusal == LedgerRefusal::AccountsMustBeDifferent && !is_setup,
                })
        }
    }
}

/// Whether something else is told so, where the first was told `first`.
fn is_of_another(first: &Outcome, outcome: &Outcome) -> bool {
    match (first, outcome) {
        (Outcome::Replied(_), Outcome::Replied(reply)) => reply.refusal == Some(RejectReason::KeyReused),
        (Outcome::Rows(first), Outcome::Rows(fates)) => {
            first.iter().map(|fate| fate.of_another()).eq(fates.iter().copied())
        }
        (Outcome::Replied(_), Outcome::Rows(_)) | (Outcome::Rows(_), Outcome::Replied(_)) => false,
    }
}

/// What became of each row of a batch at `seq`.
fn fates(seq: Seq, count: u32, exceptions: &[RowResult]) -> Vec<Fate> {
    let mut exceptions = exceptions.iter().peekable();
    let fate = |index| match exceptions.next_if(|exception| exception.index == index) {
        None => Fate::Created(seq),
        Some(RowResult { refusal: LedgerRefusal::Exists, seq, .. }) => Fate::Created(*seq),
        Some(RowResult { refusal, seq, .. }) if refusal.is_transient() => Fate::Refused(*refusal, *seq),
        Some(RowResult { refusal, .. }) => Fate::Wrong(*refusal),
    };
    (0..count).map(fate).collect()
}

fn header(request: u64) -> RecordHeader {
    RecordHeader { session: SessionId::OPERATOR, request: RequestNumber(request), ..RecordHeader::default() }
}

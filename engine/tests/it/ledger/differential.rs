//! The engine and the model get the same commands and say the same.
//!
//! `LEDGER_TRANSFERS=10000000 cargo test --release -p engine ledger` plays so many transfers; `SEED=n` plays one seed alone.

use std::collections::BTreeMap;
use std::fmt;

use engine::Engine;
use protocol::commands::{CreateAccounts, CreateTransfers, DefineActor, Pulse, SetLedgerLimits, roles};
use protocol::event::Event;
use protocol::limits::{CHAIN_PARTS_PER_RECORD_MAX, EXPIRIES_PER_RECORD_MAX};
use protocol::rows::transfer_flags::{
    CLOSING_DEBIT, LINKED, PENDING, POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER, WHOLE_CHAIN,
};
use protocol::rows::{AccountRow, RowAmount, RowResult, TransferRow, account_flags};
use protocol::{
    AccountId, ActorId, Amount, AssetId, ClientId, Command, EventBody, LedgerRefusal, RejectReason,
    RequestNumber, Seq, SessionId, SessionProtocol, TransferId,
};

use super::bank::{Answer, refused};
use super::coverage::Coverage;
use super::flow::{Flow, LEDGERS, OWNERS, Sender, Step};
use super::market_flow::{fee_account, market};
use super::model::{Account, Model, Outcome, Payer};
use crate::definitions;
use crate::properties::trades_of;
use crate::world::{START, World};

/// Transfers of one seed.
const TRANSFERS_A_SEED: usize = 4_000;
/// Of the test command.
const TRANSFERS: usize = 100_000;
/// Batches of accounts before the first transfers.
const FIRST_ACCOUNTS: u64 = 4;
/// Of one random batch at most.
const ROWS_MAX: u64 = 200;
/// In the year 2135: the longest timeout ends beyond the last time there is.
const LATE_START: u64 = super::model::TIME_MAX - 4_000_000_000 * 1_000_000_000;
/// One seed in so many begins late.
const LATE_EVERY: u64 = 8;
/// Invariants are checked after so many commands.
const CHECK_EVERY: u64 = 50;

pub(crate) fn session_of(sender: Sender) -> SessionId {
    let number = match sender {
        Sender::Cashier => 0,
        Sender::Payer => 1,
        Sender::PayerForTwo => 2,
        Sender::Trader => 3,
    };
    SessionId(SessionId::CLIENTS_FROM.0 + number)
}

fn actor_of(sender: Sender) -> ActorId {
    ActorId(session_of(sender).0)
}

/// Whose money it may move; `None` = nobody's.
fn payer(sender: Sender) -> Option<Payer> {
    match sender {
        Sender::Cashier => Some(Payer::Anyone),
        Sender::Payer => Some(Payer::Of(OWNERS[..1].iter().copied().collect())),
        Sender::PayerForTwo => Some(Payer::Of(OWNERS[..2].iter().copied().collect())),
        Sender::Trader => None,
    }
}

/// A world with the senders' sessions and the two ledgers.
pub(crate) fn prepared(start: u64) -> World {
    let mut world = World::new();
    world.checks = false;
    world.time = start;
    world.system(definitions::genesis());
    for (id, code) in LEDGERS.iter().zip(["TRY", "USD"]) {
        world.set_up(definitions::asset(*id, code, 2));
    }
    let senders = [
        (Sender::Cashier, roles::CASHIER | roles::PAYER, &OWNERS[2..]),
        (Sender::Payer, roles::PAYER, &OWNERS[..1]),
        (Sender::PayerForTwo, roles::PAYER | roles::TRADER, &OWNERS[..2]),
        (Sender::Trader, roles::TRADER, &OWNERS[..2]),
    ];
    for (sender, roles, clients) in senders {
        let session = session_of(sender);
        let actor = actor_of(sender);
        world.set_up(DefineActor { actor, roles });
        let mut definition = definitions::session(session.0, SessionProtocol::Request, 0);
        definition.actor = actor;
        definition.clients = clients.iter().copied().map(ClientId).collect();
        world.set_up(definition);
    }
    world
}

/// One seed: the engine, the model, and what they are given.
struct Run {
    world: World,
    model: Model,
    flow: Flow,
    /// Its accounts before the last command.
    before: BTreeMap<u128, Account>,
    /// A second engine that goes on from snapshots of the first.
    shadow: Engine,
    requests: u64,
    seed: u64,
    /// The last one, and how many there were.
    step: Step,
    steps: u64,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SEED={}, step {}: {:?}", self.seed, self.steps, self.step)
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let start = if seed % LATE_EVERY == LATE_EVERY - 1 { LATE_START } else { START };
        let mut world = prepared(start);
        world.set_up(CreateAccounts { accounts: vec![fee_account()] });
        let mut model = Model::new(LEDGERS);
        model.begin(world.engine.seq_applied().0, world.time);
        model.create_accounts(&[fee_account()]);
        world.set_up(market());
        model.define_market(market());
        let shadow = world.engine.clone();
        let flow = Flow::new(seed, ROWS_MAX);
        let (before, step) = (BTreeMap::new(), Step::Pulse);
        Self { world, model, before, flow, shadow, requests: 0, seed, step, steps: 0 }
    }

    fn play(&mut self, coverage: &mut Coverage) -> usize {
        let mut transfers = 0;
        let traders = self.flow.traders();
        self.step(Step::Accounts(Sender::Cashier, traders), coverage);
        for _ in 0..FIRST_ACCOUNTS {
            let rows = self.flow.account_rows();
            self.step(Step::Accounts(Sender::Cashier, rows), coverage);
        }
        while transfers < TRANSFERS_A_SEED {
            let pause = self.flow.pause_ns();
            self.world.wait_ns(pause);
            let step = self.flow.step(&self.model);
            transfers += self.step(step, coverage);
            if self.steps.is_multiple_of(CHECK_EVERY) {
                self.world.engine.check_invariants().unwrap_or_else(|broken| panic!("{self}: {broken:?}"));
            }
            if self.flow.numbers.chance(1) {
                self.restart();
            }
        }
        assert_eq!(self.shadow.state_hash(), self.world.engine.state_hash(), "{self}");
        transfers
    }

    /// The shadow goes on from a snapshot.
    fn restart(&mut self) {
        let mut bytes = Vec::new();
        self.world.engine.snapshot(&mut bytes);
        self.shadow = Engine::restore(&bytes).unwrap_or_else(|fault| panic!("{self}: {fault}"));
        assert_eq!(self.shadow.state_hash(), self.world.engine.state_hash(), "{self}");
    }

    /// Applies a step to all, which must agree; returns how many transfers were asked for.
    fn step(&mut self, step: Step, coverage: &mut Coverage) -> usize {
        self.step = step.clone();
        self.steps += 1;
        let transfers = match step {
            Step::Accounts(sender, rows) => {
                let events =
                    self.submit(session_of(sender), CreateAccounts { accounts: rows.clone() }, coverage);
                let may = sender == Sender::Cashier;
                let outcomes = may.then(|| self.model.create_accounts(&rows));
                let events = self.before_monitors(events);
                self.agree(&events, sender, outcomes.as_deref());
                coverage.accounts(&rows, &outcomes.unwrap_or_default(), self.model.seq);
                0
            }
            Step::Transfers(sender, rows) => {
                let events =
                    self.submit(session_of(sender), CreateTransfers { transfers: rows.clone() }, coverage);
                let outcomes = payer(sender).map(|payer| self.model.create_transfers(&rows, &payer));
                let events = self.before_monitors(events);
                self.agree_on_transfers(&events, sender, &rows, outcomes.as_deref());
                coverage.transfers(&rows, &outcomes.unwrap_or_default(), self.model.seq);
                rows.len()
            }
            Step::Bank(sender, command) => {
                let (session, request) = self.next_request(sender);
                let events = self.submit_as(session, request, command.clone(), coverage);
                let answer = self.answer(sender, &command);
                let events = self.before_monitors(events);
                self.agree_on_answer(&events, (session, request), &answer);
                0
            }
            Step::Order(sender, client, command) => {
                let (session, request) = self.next_request(Some(sender));
                let events = self.submit_as(session, request, command.clone(), coverage);
                let (refusal, trades) = match sender {
                    Sender::Cashier | Sender::Payer => (Some(RejectReason::NotEntitled), Vec::new()),
                    Sender::PayerForTwo | Sender::Trader => self.model.trade(client, &command),
                };
                let events = self.before_monitors(events);
                assert_eq!(trades_of(&events), trades, "{self}");
                let Some(EventBody::Replied(reply)) = events.last().map(|event| &event.body) else {
                    panic!("{self}: {events:?}")
                };
                assert_eq!((reply.refusal, reply.request.0), (refusal, request), "{self}");
                0
            }
            Step::Pulse => {
                let events = self.submit_as(SessionId::SYSTEM, 0, Pulse {}.into(), coverage);
                assert_eq!(events, [], "{self}");
                0
            }
        };
        self.compare();
        transfers
    }

    /// A number that the session has not used.
    fn next_request(&mut self, sender: Option<Sender>) -> (SessionId, u64) {
        let Some(sender) = sender else {
            return (SessionId::OPERATOR, self.world.engine.next_request(SessionId::OPERATOR).unwrap());
        };
        self.requests += 1;
        (session_of(sender), self.requests)
    }

    /// What the model says of a command of the bank.
    fn answer(&mut self, sender: Option<Sender>, command: &Command) -> Answer {
        let is_cashier = matches!(sender, None | Some(Sender::Cashier));
        let not_entitled = refused(RejectReason::NotEntitled);
        let payer = sender.and_then(payer);
        let actor = sender.map_or(definitions::OPERATOR_ACTOR, actor_of);
        if let Command::CorrectTransfers(_) = command {
            if is_cashier { refused(RejectReason::ApprovalNeeded) } else { not_entitled }
        } else if let Command::Propose(propose) = command {
            self.model.propose(actor, is_cashier, propose)
        } else if let Command::Approve(approve) = command {
            self.model.approve(actor, is_cashier, approve)
        } else if let Command::Reject(reject) = command {
            self.model.reject(actor, is_cashier, reject)
        } else if let Command::UpdateAccount(update) = command {
            if is_cashier { self.model.update_account(update) } else { not_entitled }
        } else if let Command::DefineMonitor(definition) = command {
            if is_cashier { self.model.define_monitor(definition) } else { not_entitled }
        } else if let Command::RemoveMonitor(remove) = command {
            if is_cashier { self.model.remove_monitor(remove.monitor) } else { not_entitled }
        } else if let Command::QuoteExchange(quote) = command {
            if sender == Some(Sender::Cashier) { self.model.quote(quote) } else { not_entitled }
        } else if let Command::ExchangeCurrency(exchange) = command {
            payer.map_or(not_entitled, |payer| self.model.exchange(exchange, &payer))
        } else if let Command::DefineStandingOrder(define) = command {
            payer.map_or(not_entitled, |payer| self.model.define_standing_order(define, &payer))
        } else if let Command::CancelStandingOrder(cancel) = command {
            payer.map_or(not_entitled, |payer| self.model.cancel_standing_order(cancel, &payer))
        } else if sender.is_some() {
            not_entitled
        } else if let Command::SetLedgerLimits(set) = command {
            self.model.set_limits(set)
        } else if let Command::SetOverdraft(set) = command {
            self.model.set_overdraft(set)
        } else if let Command::SetAccountCode(set) = command {
            self.model.set_account_code(set)
        } else if let Command::SetCalendar(set) = command {
            self.model.set_calendar(set)
        } else if let Command::CloseDay(close) = command {
            self.model.close_day(close)
        } else {
            panic!("{self}: the model does not know it")
        }
    }

    /// What followed from a command before the monitors, which must be the model's.
    fn before_monitors(&mut self, mut events: Vec<Event>) -> Vec<Event> {
        let expected = self.model.judge_monitors(&self.before);
        let triggered = events.split_off(events.len().saturating_sub(expected.len()));
        let triggered: Vec<_> = triggered.into_iter().map(|event| event.body).collect();
        assert_eq!(triggered, expected, "{self}: behind {events:?}");
        events
    }

    fn submit(
        &mut self,
        session: SessionId,
        command: impl Into<Command>,
        coverage: &mut Coverage,
    ) -> Vec<Event> {
        // A batch may come again under its number: its ids make it idempotent.
        if !self.flow.numbers.chance(10) {
            self.requests += 1;
        }
        self.submit_as(session, self.requests, command.into(), coverage)
    }

    /// What follows from a command, without what happened before it by itself, which must be the model's.
    fn submit_as(
        &mut self,
        session: SessionId,
        request: u64,
        command: Command,
        coverage: &mut Coverage,
    ) -> Vec<Event> {
        let events = self.world.submit(session, 0, request, command.clone());
        coverage.applied(&command, &events);
        let shadow = crate::properties::apply(&mut self.shadow, &self.world, session, 0, request, &command);
        assert_eq!(events, shadow, "{self}: the restored engine says something else");
        let seq = self.world.engine.seq_applied().0;
        let expected = self.model.begin(seq, self.world.time);
        let (first, rest) = events.split_at(expected.len().min(events.len()));
        let found: Vec<_> = first.iter().map(|event| event.body.clone()).collect();
        assert_eq!(found, expected, "{self}");
        self.before = self.model.accounts.clone();
        rest.to_vec()
    }

    fn agree_on_answer(&self, events: &[Event], (session, request): (SessionId, u64), answer: &Answer) {
        let mut found: Vec<_> = events.iter().map(|event| event.body.clone()).collect();
        let Some(EventBody::Replied(reply)) = found.pop() else { panic!("{self}: {events:?}") };
        assert_eq!((reply.session, reply.request), (session, RequestNumber(request)), "{self}");
        let (reason, about) = answer.clone().err().unzip();
        assert_eq!(reply.refusal, reason, "{self}: {reply:?}");
        assert_eq!(reply.field.to_string(), about.unwrap_or_default(), "{self}");
        assert_eq!(found, answer.as_ref().map_or(&[][..], Vec::as_slice), "{self}");
    }

    /// The only event is the answer.
    fn agree(&self, events: &[Event], sender: Sender, outcomes: Option<&[Outcome]>) {
        let [event] = events else { panic!("{self}: {events:?}") };
        let Some(outcomes) = outcomes else { return self.agree_on_refusal(event) };
        let EventBody::AccountsCreated(made) = &event.body else { panic!("{self}: {event:?}") };
        assert_eq!(
            (made.session, made.request),
            (session_of(sender), RequestNumber(self.requests)),
            "{self}"
        );
        assert_eq!(made.exceptions, exceptions(outcomes), "{self}");
        assert_eq!((made.count, made.created), counts(outcomes), "{self}");
    }

    fn agree_on_transfers(
        &self,
        events: &[Event],
        sender: Sender,
        rows: &[TransferRow],
        outcomes: Option<&[Outcome]>,
    ) {
        let [event] = events else { panic!("{self}: {events:?}") };
        let Some(outcomes) = outcomes else { return self.agree_on_refusal(event) };
        let EventBody::TransfersCreated(made) = &event.body else { panic!("{self}: {event:?}") };
        assert_eq!(
            (made.session, made.request),
            (session_of(sender), RequestNumber(self.requests)),
            "{self}"
        );
        assert_eq!(made.exceptions, exceptions(outcomes), "{self}");
        assert_eq!((made.count, made.created), counts(outcomes), "{self}");
        assert_eq!(made.amounts, amounts(rows, outcomes), "{self}");
    }

    fn agree_on_refusal(&self, event: &Event) {
        let EventBody::Replied(reply) = &event.body else { panic!("{self}: {event:?}") };
        assert_eq!(reply.refusal, Some(RejectReason::NotEntitled), "{self}");
    }

    /// The state is the model's, and in each ledger debits equal credits.
    fn compare(&self) {
        let (engine, model) = (&self.world.engine, &self.model);
        let accounts: Vec<_> = engine.accounts().collect();
        let found: Vec<_> = accounts
            .iter()
            .map(|view| {
                let closed = view.flags & account_flags::CLOSED != 0;
                let balances = [view.debits_pending, view.debits, view.credits_pending, view.credits];
                let data = (view.code, view.user_data_128, view.user_data_64, view.user_data_32);
                (view.account.0, closed, data, balances.map(|amount| amount.0), view.held.0)
            })
            .collect();
        let expected: Vec<_> = model
            .accounts
            .iter()
            .map(|(id, Account { row, closed, balances, held, .. })| {
                let data = (row.code, row.user_data_128, row.user_data_64, row.user_data_32);
                (*id, *closed, data, balances.columns(), *held)
            })
            .collect();
        assert_eq!(found, expected, "{self}");
        for id in model.accounts.keys().copied().map(AccountId) {
            assert_eq!(engine.overdraft(id), model.overdraft(id), "{self}");
        }
        assert_eq!(engine.ledger_limits(), &model.limits, "{self}");
        assert_eq!(engine.calendar(), model.bank.calendar.as_ref(), "{self}");
        let chart: Vec<_> = engine.account_codes_from((0, AssetId(0))).collect();
        assert_eq!(chart, model.bank.chart.values().collect::<Vec<_>>(), "{self}");
        for ledger in LEDGERS {
            let of_ledger = accounts.iter().filter(|view| view.asset.0 == ledger);
            let (debits, credits) = of_ledger.fold(([0_u128; 2], [0_u128; 2]), |(debits, credits), view| {
                let add = |sums: [u128; 2], pending: Amount, posted: Amount| {
                    [sums[0].wrapping_add(pending.0), sums[1].wrapping_add(posted.0)]
                };
                (
                    add(debits, view.debits_pending, view.debits),
                    add(credits, view.credits_pending, view.credits),
                )
            });
            assert_eq!(debits, credits, "{self}: ledger {ledger}");
        }
        let totals: BTreeMap<_, _> = engine
            .totals()
            .map(|total| {
                let sums =
                    [total.debits_pending, total.debits_posted, total.credits_pending, total.credits_posted];
                let key = (total.ledger.0, total.code, u16::from(total.class.code()));
                (key, (total.accounts, sums.map(|sum| sum.map(|amount| amount.0))))
            })
            .collect();
        assert_eq!(totals, model.totals(), "{self}");
        assert_eq!(engine.pending_transfers(), model.pending().count(), "{self}");
        assert_eq!(engine.transfer_id_floor_ms(), model.floor_ms, "{self}");
        assert_eq!(
            engine.next_timer().map(|time| time.0),
            model.next_due().map(|(deadline, ..)| deadline),
            "{self}"
        );
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap()
}

fn exceptions(outcomes: &[Outcome]) -> Vec<RowResult> {
    let exception = |(index, outcome): (usize, &Outcome)| match *outcome {
        Outcome::Created { .. } => None,
        Outcome::Refused { refusal, seq, .. } => {
            Some(RowResult { index: number(index), refusal, seq: Seq(seq) })
        }
    };
    outcomes.iter().enumerate().filter_map(exception).collect()
}

/// Rows, and how many of them were created.
fn counts(outcomes: &[Outcome]) -> (u32, u32) {
    let created = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Created { .. })).count();
    (number(outcomes.len()), number(created))
}

/// What was moved or reserved, now or before, where the rows did not say it.
fn amounts(rows: &[TransferRow], outcomes: &[Outcome]) -> Vec<RowAmount> {
    let other = |(index, (row, outcome)): (usize, (&TransferRow, &Outcome))| match *outcome {
        Outcome::Created { amount } | Outcome::Refused { moved: Some(amount), .. }
            if amount != row.amount.0 =>
        {
            Some(RowAmount { index: number(index), amount: Amount(amount) })
        }
        Outcome::Created { .. } | Outcome::Refused { .. } => None,
    };
    rows.iter().zip(outcomes).enumerate().filter_map(other).collect()
}

/// A row of one account that pays another; both may be overdrawn.
pub(crate) fn plain(id: u128) -> TransferRow {
    TransferRow {
        id: TransferId(id),
        debit_account: AccountId(1),
        credit_account: AccountId(2),
        amount: Amount(1),
        pending_id: TransferId(0),
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: AssetId(LEDGERS[0]),
        code: 1,
        flags: 0,
        value_date: 0,
        reason: 0,
        reserved: 0,
    }
}

pub(crate) fn two_accounts() -> Vec<AccountRow> {
    let account = |id: u128| AccountRow {
        id: AccountId(id),
        user_data_128: 0,
        owner: ClientId(0),
        user_data_64: 0,
        user_data_32: 0,
        ledger: AssetId(LEDGERS[0]),
        code: 1,
        flags: 0,
        class: 2,
        reserved: 0,
    };
    vec![account(1), account(2)]
}

/// What expires at once and is more than one record may expire waits, in order; nobody can settle it while it waits.
#[test]
fn more_expiries_than_a_record_takes_wait_for_the_next() {
    let (mut run, mut coverage) = (Run::new(0), Coverage::default());
    run.step(Step::Accounts(Sender::Cashier, two_accounts()), &mut coverage);
    let ms = u128::from(run.world.time / 1_000_000) << 80;
    let count = u128::try_from(2 * EXPIRIES_PER_RECORD_MAX + 50).unwrap();
    // The batch is not in the order of ids.
    let reserve =
        |at: u128| TransferRow { timeout_s: 1, flags: PENDING, ..plain(ms | ((at * 1_009) % count + 1)) };
    run.step(Step::Transfers(Sender::Cashier, (0..count).map(reserve).collect()), &mut coverage);
    run.world.wait_ns(1_000_000_000);
    run.step(Step::Pulse, &mut coverage);
    assert_eq!(run.model.pending().count(), EXPIRIES_PER_RECORD_MAX + 50);
    let late = |id: u128, flags: u16| TransferRow {
        amount: Amount(if flags == POST_PENDING_TRANSFER { u128::MAX } else { 0 }),
        pending_id: TransferId(ms | count),
        flags,
        ..plain(ms | (count + id))
    };
    let rows = vec![late(1, POST_PENDING_TRANSFER), late(2, VOID_PENDING_TRANSFER)];
    run.step(Step::Transfers(Sender::Cashier, rows.clone()), &mut coverage);
    assert_eq!(run.model.pending().count(), 50);
    run.restart();
    run.step(Step::Transfers(Sender::Cashier, rows), &mut coverage);
    assert_eq!(run.model.pending().count(), 0);
}

/// Each row names the same long chain and is refused: the batch looks at so many parts and no more, and a short chain still has room.
#[test]
fn a_batch_looks_at_so_many_parts_of_chains() {
    let (mut run, mut coverage) = (Run::new(2), Coverage::default());
    run.step(Step::Accounts(Sender::Cashier, two_accounts()), &mut coverage);
    let ms = u128::from(run.world.time / 1_000_000) << 80;
    let parts = 4_000_u128;
    let linked = |at: u128| if at + 1 < parts { PENDING | LINKED } else { PENDING | CLOSING_DEBIT };
    let mut rows: Vec<_> =
        (0..parts).map(|at| TransferRow { flags: linked(at), ..plain(ms | (at + 1)) }).collect();
    // Before the long one closes their account.
    rows.insert(0, TransferRow { flags: PENDING | LINKED, ..plain(ms | 9_001) });
    rows.insert(1, TransferRow { flags: PENDING, ..plain(ms | 9_002) });
    run.step(Step::Transfers(Sender::Cashier, rows), &mut coverage);
    let settle = |id: u128, of: u128, flag: u16| TransferRow {
        amount: Amount(if flag == POST_PENDING_TRANSFER { u128::MAX } else { 0 }),
        pending_id: TransferId(ms | of),
        flags: flag | WHOLE_CHAIN,
        ..plain(ms | id)
    };
    let whole = u128::try_from(CHAIN_PARTS_PER_RECORD_MAX).unwrap() / parts;
    let mut rows: Vec<_> = (0..=whole).map(|at| settle(10_000 + at, 1 + at, POST_PENDING_TRANSFER)).collect();
    rows.push(settle(20_000, 9_001, VOID_PENDING_TRANSFER));
    run.step(Step::Transfers(Sender::Cashier, rows), &mut coverage);
    for refusal in [LedgerRefusal::DebitAccountAlreadyClosed, LedgerRefusal::TooManyChainParts] {
        assert!(coverage.has_seen(refusal), "{refusal:?}");
    }
    assert_eq!(run.model.pending().count(), 4_000, "the short one was voided");
    run.step(Step::Transfers(Sender::Cashier, vec![settle(20_001, 1, VOID_PENDING_TRANSFER)]), &mut coverage);
    assert_eq!(run.model.pending().count(), 0, "a batch of its own has room");
}

/// A long chain whose time is over, and whose turn to expire has not come: that is said of it as often as it is named, before its parts are
/// counted.
#[test]
fn a_chain_whose_time_is_over_is_said_to_be_before_its_parts_are_counted() {
    let (mut run, mut coverage) = (Run::new(3), Coverage::default());
    run.step(Step::Accounts(Sender::Cashier, two_accounts()), &mut coverage);
    let ms = u128::from(run.world.time / 1_000_000) << 80;
    let (alone, parts) = (u128::try_from(EXPIRIES_PER_RECORD_MAX).unwrap() + 50, 4_000_u128);
    let reserve = |at: u128| {
        let linked = if at > alone && at < alone + parts { LINKED } else { 0 };
        // Only the last part of the chain expires.
        let timeout_s = u32::from(at <= alone || at == alone + parts);
        TransferRow { timeout_s, flags: PENDING | linked, ..plain(ms | at) }
    };
    run.step(Step::Transfers(Sender::Cashier, (1..=alone + parts).map(reserve).collect()), &mut coverage);
    run.restart();
    run.world.wait_ns(1_000_000_000);
    let settle = |id: u128, of: u128, flag: u16| TransferRow {
        amount: Amount(if flag == POST_PENDING_TRANSFER { u128::MAX } else { 0 }),
        pending_id: TransferId(ms | (alone + of)),
        flags: flag | WHOLE_CHAIN,
        ..plain(ms | id)
    };
    let often = u128::try_from(CHAIN_PARTS_PER_RECORD_MAX).unwrap() / parts + 1;
    let mut rows: Vec<_> = (1..=often).map(|at| settle(10_000 + at, at, POST_PENDING_TRANSFER)).collect();
    rows.push(settle(20_000, parts, VOID_PENDING_TRANSFER));
    run.step(Step::Transfers(Sender::Cashier, rows), &mut coverage);
    assert!(coverage.has_seen(LedgerRefusal::PendingTransferExpired));
    assert!(!coverage.has_seen(LedgerRefusal::TooManyChainParts));
    assert_eq!(run.model.pending().count(), 50 + 4_000, "nothing was settled");
}

/// Full batches whose ids lie anywhere in the window, and ahead, so that the oldest have to be forgotten; and every one once more.
#[test]
fn more_ids_than_may_be_remembered_are_forgotten_oldest_first() {
    let (mut run, mut coverage) = (Run::new(1), Coverage::default());
    run.step(Step::Accounts(Sender::Cashier, two_accounts()), &mut coverage);
    let limits = SetLedgerLimits {
        id_window_ms: 60_000,
        id_ahead_ms: 5_000,
        transfer_ids_max: 10_000,
        pending_transfers_max: 1,
        ..run.model.limits.clone()
    };
    run.step(Step::Bank(None, limits.into()), &mut coverage);
    let mut sent: Vec<Vec<TransferRow>> = Vec::new();
    for batch in 0..12_u128 {
        let now = run.world.time / 1_000_000;
        let rows = (0..4_000).map(|row| {
            let ms = now + run.flow.numbers.below(5_100) - run.flow.numbers.below(10_000);
            plain((u128::from(ms) << 80) | (batch << 32) | row)
        });
        sent.push(rows.collect());
        let before = sent[sent.len() / 2].clone();
        run.step(Step::Transfers(Sender::Cashier, sent[sent.len() - 1].clone()), &mut coverage);
        run.step(Step::Transfers(Sender::Cashier, before), &mut coverage);
        run.world.engine.check_invariants().unwrap();
        if batch % 5 == 4 {
            run.restart();
        }
        run.world.wait_ns(700_000_000);
    }
    assert_eq!(run.shadow.state_hash(), run.world.engine.state_hash());
    let window_only = run.world.time / 1_000_000 - 60_000;
    assert!(run.model.floor_ms > window_only, "the window alone has decided");
    for refusal in [LedgerRefusal::IdTooOld, LedgerRefusal::IdTooFarAhead, LedgerRefusal::Exists] {
        assert!(coverage.has_seen(refusal), "{refusal:?}");
    }
}

#[test]
fn batches_agree_with_the_model() {
    let transfers: usize = std::env::var("LEDGER_TRANSFERS").map_or(TRANSFERS, |text| text.parse().unwrap());
    let one: Option<u64> = std::env::var("SEED").ok().map(|text| text.parse().unwrap());
    let mut coverage = Coverage::default();
    let mut played = 0;
    for seed in one.unwrap_or(0).. {
        let mut run = Run::new(seed);
        played += run.play(&mut coverage);
        // What has luck against it is waited for, but not for ever.
        let is_seen = coverage.missing().is_empty() || played >= 4 * transfers;
        if one.is_some() || (played >= transfers && is_seen) {
            break;
        }
    }
    let missing = coverage.missing();
    assert!(one.is_some() || missing.is_empty(), "{missing}");
}

//! The entrance: one command in, its events out, and who may send what.

use protocol::commands::{
    BustTrade, CancelAll, CloseDay, CorrectTrade, CorrectTransfers, CreateAccounts, CreateTransfers,
    DefineActor, DefineAsset, DefineMarket, DefineMonitor, DefineSession, PublishPrice, QuoteExchange,
    RemoveMonitor, ResetSession, SetAccountCode, SetActorKey, SetApprovals, SetCalendar, SetFeeGroup,
    SetFeeSchedule, SetLedgerLimits, SetMarketPhase, SetMarketSchedule, SetOverdraft, SetTradeGroup,
    SetTradingRules, UpdateAccount, roles,
};
use protocol::event::Event;
use protocol::hash::{Hash, blake3};
use protocol::limits::{
    AUCTION_STEPS_PER_RECORD_MAX, EXPIRIES_PER_RECORD_MAX, LEDGER_ROWS_MAX, PEGS_MOVED_PER_RECORD_MAX,
    STANDING_ORDERS_PER_RECORD_MAX, TIMERS_PER_RECORD_MAX, TRIGGERED_PER_RECORD_MAX,
};
use protocol::record::{Record, RecordHeader};
use protocol::wire::ahead::order_named;
use protocol::{
    AccountId, ActorId, Command, EventBody, GatewayId, MarketId, OrderId, ProposalId, QuoteId, RejectReason,
    Seq, SessionEnd, SessionId, StandingOrderId, UnixNanos, events, rows,
};

use crate::approvals::Approvals;
use crate::broken::{Broken, InvariantBroken, Refusal, Stop, ensure};
use crate::busts::Busted;
use crate::effects::Effects;
use crate::gateways::Gateways;
use crate::ledger::{Batch, Ledger, Payers, Results};
use crate::markets::Markets;
use crate::matching::fetch_ahead;
use crate::orders::lists::OrderLists;
use crate::orders::protection::Protections;
use crate::orders::schedule;
use crate::registry::Registry;
use crate::sessions::Sessions;
use crate::sessions::requests::{Known, Reply};

/// Version of the rules. A frame names the one under which it was applied first.
pub const ENGINE_VERSION: u32 = 1;

/// What happens by itself when its time comes, in the order in which it does at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// Orders of a session whose connection was lost are cancelled.
    Cancel(SessionId),
    /// An auction of this market goes on, or the end of its day.
    Market(MarketId),
    /// Orders of a session are pulled, because of what was filled behind an earlier record.
    Pull,
    /// A list of orders of which a leg did something behind an earlier record.
    List,
    /// A pegged order of this market is moved, because of what happened behind an earlier record.
    Peg(MarketId),
    /// An order of this market that was due behind an earlier record.
    Armed(MarketId),
    /// Orders of a session that has not said in time that it is there are cancelled.
    CancelAll(SessionId),
    /// An order of this market's row ends.
    Order(OrderId, u32),
    /// This market's schedule changes its phase.
    Schedule(MarketId),
    /// This market has paused for long enough.
    Resume(MarketId),
    /// The next leg of an order of this market's row trades.
    Leg(OrderId, u32),
    /// It is published what this market's auction would trade.
    Indication(MarketId),
    /// A proposal expires.
    Proposal(ProposalId),
    /// An account's temporary line ends.
    Overdraft(AccountId),
    /// An exchange quote ends.
    Quote(QuoteId),
    /// A pending transfer expires.
    Transfer,
    /// A standing order is executed: what expired at the same time may be what it needs.
    StandingOrder(StandingOrderId),
}

/// The whole state of the exchange at a seq.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    pub(crate) seq: Seq,
    pub(crate) time: UnixNanos,
    pub(crate) trades: u64,
    pub(crate) busted: Busted,
    pub(crate) registry: Registry,
    pub(crate) approvals: Approvals,
    pub(crate) ledger: Ledger,
    pub(crate) markets: Markets,
    pub(crate) protections: Protections,
    /// Orders that hang together.
    pub(crate) lists: OrderLists,
    pub(crate) sessions: Sessions,
    pub(crate) gateways: Gateways,
    /// Set once an invariant broke; nothing is applied after.
    broken: Option<InvariantBroken>,
}

impl Engine {
    /// Before the first command.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the command of `record` and appends what follows from it to `events`.
    ///
    /// Business refusals are events. Timers whose deadline is at or before `time` fire first, under this seq.
    ///
    /// # Errors
    /// [`InvariantBroken`]. With [`Broken::SeqGap`] or [`Broken::TimeNotAfter`] the caller was wrong and nothing has
    /// changed. After any other the state is not to be trusted: every later call returns the same error.
    pub fn apply(
        &mut self,
        seq: Seq,
        time: UnixNanos,
        record: &Record<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), InvariantBroken> {
        self.check_place(seq)?;
        if time <= self.time {
            return Err(InvariantBroken { seq, what: Broken::TimeNotAfter { last: self.time, found: time } });
        }
        self.seq = seq;
        self.time = time;
        let before = events.len();
        let mut effects = Effects::new(seq, time, events);
        let outcome = self
            .fire_timers(&mut effects)
            .and_then(|()| self.dispatch(record, &mut effects))
            .and_then(|()| self.carry_on(&mut effects))
            .and_then(|()| self.fire_armed(&mut effects));
        self.ledger.trigger_monitors(&mut effects);
        outcome.map_err(|what| {
            events.truncate(before);
            let broken = InvariantBroken { seq, what };
            self.broken = Some(broken);
            broken
        })
    }

    /// Refuses anything but the next seq, and everything once an invariant broke.
    pub(crate) fn check_place(&self, seq: Seq) -> Result<(), InvariantBroken> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let expected = self.seq.next();
        if seq != expected {
            return Err(InvariantBroken { seq, what: Broken::SeqGap { expected, found: seq } });
        }
        Ok(())
    }

    /// Whether it pays to have the memory fetched that the next records will look up: in some market more rests than a cache holds.
    #[must_use]
    pub fn reads_ahead(&self) -> bool {
        self.markets.rows.iter().any(|market| market.book.is_large())
    }

    /// Has it fetched, for the first [`crate::matching::AHEAD_MAX`] of these records. Nothing is changed.
    pub fn read_ahead<'r>(&self, records: impl Iterator<Item = (Seq, Record<'r>)>) {
        let named = records.filter_map(|(seq, record)| {
            let (market, order) = order_named(seq, &record)?;
            let book = &self.markets.rows.at(self.markets.row(market)?).book;
            book.is_large().then_some((book, order))
        });
        fetch_ahead(named);
    }

    /// Seq of the last command applied; [`Seq::ZERO`] before the first.
    #[must_use]
    pub const fn seq_applied(&self) -> Seq {
        self.seq
    }

    /// Time of the last command applied.
    #[must_use]
    pub const fn time(&self) -> UnixNanos {
        self.time
    }

    /// When a timer fires next: a pulse is due then, if nothing else comes. While standing orders are planned anew, that is at once.
    #[must_use]
    pub fn next_timer(&self) -> Option<UnixNanos> {
        let planning = self.ledger.standing_orders.outdated_from.map(|_| self.time);
        let due = self.next_due().map(|(deadline, _)| deadline);
        [planning, due].into_iter().flatten().min()
    }

    /// BLAKE3 of the snapshot's bytes: equal states have equal hashes.
    #[must_use]
    pub fn state_hash(&self) -> Hash {
        let mut bytes = Vec::new();
        self.snapshot(&mut bytes);
        blake3(&[&bytes])
    }

    /// Everything that was defined, as the events that said so: assets, markets, their rules and schedules, sessions, actors, their keys, each in id order.
    #[must_use]
    pub fn definitions(&self) -> Vec<EventBody> {
        let assets = self
            .registry
            .assets
            .values()
            .map(|asset| events::AssetDefined { definition: asset.clone() }.into());
        let all_markets = self.markets.rows.sorted_by_key(|market| market.definition.market);
        let markets = all_markets.iter().map(|market| {
            events::MarketDefined { definition: market.definition.clone(), phase: market.phase }.into()
        });
        let rules = all_markets.iter().filter_map(|market| market.rules.as_deref());
        let rules = rules.map(|rules| events::TradingRulesSet { rules: rules.clone() }.into());
        let schedules = all_markets.iter().map(|market| schedule::in_force(market));
        let schedules = schedules.filter(|schedule| *schedule != SetMarketSchedule::none(schedule.market));
        let schedules = schedules.map(|schedule| events::MarketScheduleSet { schedule }.into());
        let sessions = self.sessions.rows.sorted_by_key(|session| session.definition.session);
        let sessions = sessions
            .into_iter()
            .filter(|session| session.definition.session >= SessionId::CLIENTS_FROM)
            .map(|session| events::SessionDefined { definition: session.definition.clone() }.into());
        let actors = self.registry.actors.iter();
        let roles = actors.clone().map(|(&id, actor)| events::ActorDefined { actor: id, roles: actor.roles });
        let keys = actors.filter(|(_, actor)| actor.key.is_some());
        let keys = keys.map(|(&id, actor)| events::ActorKeySet { actor: id, key: actor.key }.into());
        assets
            .chain(markets)
            .chain(rules)
            .chain(schedules)
            .chain(sessions)
            .chain(roles.map(EventBody::from))
            .chain(keys)
            .collect()
    }

    /// Fires what is due in the order of deadlines; at the same time as [`Due`] orders them, then in the order of ids. What exceeds the
    /// bounds waits for the next record. Before that, standing orders are planned by the calendar in force, so that those are executed that
    /// are due by it.
    fn fire_timers(&mut self, effects: &mut Effects<'_>) -> Result<(), Broken> {
        self.ledger.plan_standing_orders(effects);
        let (mut timers, mut expiries) = (TIMERS_PER_RECORD_MAX, EXPIRIES_PER_RECORD_MAX);
        let (mut standing_orders, mut armed) = (STANDING_ORDERS_PER_RECORD_MAX, TRIGGERED_PER_RECORD_MAX);
        let (mut auctions, mut pegs) = (AUCTION_STEPS_PER_RECORD_MAX, PEGS_MOVED_PER_RECORD_MAX);
        while let Some((_, due)) = self.next_due().filter(|(deadline, _)| *deadline <= effects.time) {
            let bound = match due {
                Due::Cancel(_)
                | Due::CancelAll(_)
                | Due::Proposal(_)
                | Due::Overdraft(_)
                | Due::Schedule(_)
                | Due::Resume(_)
                | Due::Indication(_) => &mut timers,
                Due::Order(..) | Due::Quote(_) | Due::Transfer => &mut expiries,
                Due::StandingOrder(_) => &mut standing_orders,
                Due::Pull | Due::List | Due::Armed(_) | Due::Leg(..) => &mut armed,
                Due::Market(_) => &mut auctions,
                Due::Peg(_) => &mut pegs,
            };
            let Some(left) = bound.checked_sub(1) else { break };
            *bound = left;
            match due {
                Due::Cancel(session) => {
                    let row = self.sessions.row(session).ok_or(Broken::Index { what: "sessions" })?;
                    self.cancel_on_disconnect(row, effects)?;
                }
                Due::Pull => {
                    self.pull_quotes(effects)?;
                    self.see_prices(effects)?;
                }
                Due::List => {
                    self.advance_list(effects)?;
                    self.see_prices(effects)?;
                }
                Due::Peg(market) => {
                    self.move_next_peg(self.market_row(market)?, effects)?;
                    self.see_prices(effects)?;
                }
                Due::Armed(market) => {
                    self.fire_next(self.market_row(market)?, effects)?;
                    self.see_prices(effects)?;
                }
                Due::Market(market) => self.carry_on_in(market, effects)?,
                Due::Indication(market) => self.indicate(self.market_row(market)?, effects),
                Due::CancelAll(session) => {
                    let row = self.sessions.row(session).ok_or(Broken::Index { what: "sessions" })?;
                    self.cancel_for_silence(row, effects)?;
                }
                Due::Order(order, market) => self.expire_order(market, order, effects)?,
                Due::Schedule(market) => self.follow_schedule(market, effects)?,
                Due::Resume(market) => self.resume(market, effects)?,
                Due::Leg(order, market) => {
                    self.execute_next_leg(market, order, effects)?;
                    self.see_prices(effects)?;
                }
                Due::Proposal(proposal) => self.approvals.expire(proposal, effects),
                Due::Overdraft(account) => self.ledger.end_line(account, effects)?,
                Due::Quote(quote) => self.ledger.end_quote(quote, effects),
                Due::Transfer => {
                    let expired = self.ledger.expire_next()?;
                    expired.into_iter().for_each(|expired| effects.push(expired));
                }
                Due::StandingOrder(order) => self.ledger.execute_standing_order(order, effects)?,
            }
            self.ledger.trigger_monitors(effects);
        }
        Ok(())
    }

    pub(crate) fn market_row(&self, market: MarketId) -> Result<u32, Broken> {
        self.markets.row(market).ok_or(Broken::Index { what: "markets" })
    }

    /// The next thing that happens by itself.
    #[inline]
    fn next_due(&self) -> Option<(UnixNanos, Due)> {
        let mut next: Option<(UnixNanos, Due)> = None;
        // One by one: each record asks, and mostly there is none of them.
        let mut consider = |other: Option<(UnixNanos, Due)>| {
            if let Some(other) = other {
                keep_earlier(&mut next, other);
            }
        };
        consider(self.sessions.next_timer().map(|(deadline, session)| (deadline, Due::Cancel(session))));
        consider(self.markets.unsettled.first().map(|&market| (self.time, Due::Market(market))));
        let indication = self.markets.indications.first();
        consider(indication.map(|&(at, market)| (at, Due::Indication(market))));
        consider((!self.protections.due.is_empty()).then_some((self.time, Due::Pull)));
        consider(self.has_due_list().then_some((self.time, Due::List)));
        consider(self.markets.next_pegging().map(|(market, _)| (self.time, Due::Peg(market))));
        consider(self.markets.next_firing().map(|(market, _)| (self.time, Due::Armed(market))));
        consider(
            self.sessions.next_dead_man().map(|(deadline, session)| (deadline, Due::CancelAll(session))),
        );
        consider(self.markets.expiries.first().map(|&(deadline, id, row)| (deadline, Due::Order(id, row))));
        let change = self.markets.changes.first();
        consider(change.map(|&(at, market)| (at, Due::Schedule(market))));
        let resumption = self.markets.resumptions.first();
        consider(resumption.map(|&(at, market)| (at, Due::Resume(market))));
        consider(self.markets.legs.first().map(|&(deadline, id, row)| (deadline, Due::Leg(id, row))));
        consider(self.approvals.next_deadline().map(|(deadline, id)| (deadline, Due::Proposal(id))));
        let line = self.ledger.overdrafts.next_deadline();
        consider(line.map(|(deadline, account)| (deadline, Due::Overdraft(account))));
        consider(self.ledger.quotes.next_deadline().map(|(deadline, id)| (deadline, Due::Quote(id))));
        consider(self.ledger.next_expiry().map(|deadline| (deadline, Due::Transfer)));
        let standing_order = self.ledger.standing_orders.next_due();
        consider(standing_order.map(|(due, order)| (due, Due::StandingOrder(order))));
        next
    }

    fn dispatch(&mut self, record: &Record<'_>, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let RecordHeader { session, request, gateway, .. } = record.header;
        if let Some(Err(reason)) = gateway.map(|from| self.admit(from)) {
            effects.push(events::Dropped { session, request, reason });
            return Ok(());
        }
        if session == SessionId::SYSTEM && gateway.is_none() {
            return self.apply_system(record, effects);
        }
        let Some(row) = self.sessions.row(session) else {
            effects.push(events::Dropped { session, request, reason: RejectReason::UnknownSession });
            return Ok(());
        };
        if gateway.is_some() && !self.sessions.rows.at(row).is_fix() {
            effects.push(events::Dropped { session, request, reason: RejectReason::WrongSessionKind });
            return Ok(());
        }
        if self.sessions.rows.at(row).is_fix() {
            self.apply_fix(row, record, effects)
        } else {
            self.apply_request(row, record, effects)
        }
    }

    /// What the node itself says.
    fn apply_system(&mut self, record: &Record<'_>, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let command = record.command();
        let outcome = if let Ok(Command::Genesis(genesis)) = &command {
            self.registry.begin(genesis, effects).map(|()| {
                self.sessions.begin(genesis);
                self.ledger.seed(self.sessions.hash_seed);
            })
        } else if let Ok(Command::TermStart(start)) = &command {
            self.registry.term = start.term;
            effects.push(events::TermStarted { term: start.term });
            self.sessions.close_all_of(GatewayId::IN_NODE, SessionEnd::NodeStopped, effects);
            Ok(())
        } else if let Ok(Command::Pulse(_)) = &command {
            Ok(())
        } else if let Ok(Command::Checkpoint(_)) = &command {
            effects.push(events::CheckpointMarked {});
            Ok(())
        } else if let Ok(Command::GatewayStart(start)) = &command {
            self.start_gateway(start, effects)
        } else if let Ok(Command::GatewayDown(down)) = &command {
            self.gateway_down(down.gateway, down.instance, effects)
        } else if command.is_ok() {
            Err(RejectReason::WrongSessionKind.into())
        } else {
            Err(RejectReason::Malformed.into())
        };
        match outcome {
            Ok(()) => {}
            Err(Stop::Refused(Refusal { reason, .. })) => {
                let RecordHeader { session, request, .. } = record.header;
                effects.push(events::Dropped { session, request, reason });
            }
            Err(Stop::Broken(what)) => return Err(what),
        }
        Ok(())
    }

    /// A record of a request session: executed at most once, and answered by exactly one `Replied`.
    fn apply_request(
        &mut self,
        row: u32,
        record: &Record<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let RecordHeader { session, request, .. } = record.header;
        if record.kind == CreateTransfers::KIND || record.kind == CreateAccounts::KIND {
            return self.apply_batch(row, record, effects);
        }
        let reply = match self.sessions.rows.at(row).requests.look(record) {
            Known::Again(reply) => reply,
            Known::Refused(refusal) => Reply::new(effects.seq, Some(refusal)),
            Known::New => {
                let refusal = match self.execute(row, record, effects) {
                    Ok(()) => None,
                    Err(Stop::Refused(refusal)) => Some(refusal),
                    Err(Stop::Broken(what)) => return Err(what),
                };
                let reply = Reply::new(effects.seq, refusal);
                self.sessions.rows.at_mut(row).requests.remember(record, reply.clone());
                reply
            }
        };
        effects.push(reply.event(session, request));
        Ok(())
    }

    /// A batch of accounts or transfers: its rows' ids tell a repetition, and each row its own result.
    fn apply_batch(
        &mut self,
        row: u32,
        record: &Record<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let RecordHeader { session, request, .. } = record.header;
        let outcome = if record.kind == CreateTransfers::KIND {
            self.create_transfers(row, record, effects)
        } else {
            self.create_accounts(row, record, effects)
        };
        match outcome {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => {
                effects.push(Reply::new(effects.seq, Some(refusal)).event(session, request));
            }
            Err(Stop::Broken(what)) => return Err(what),
        }
        Ok(())
    }

    fn create_transfers(
        &mut self,
        row: u32,
        record: &Record<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let payers = Payers::of(&self.sessions.rows.at(row).definition, &self.registry)?;
        ensure(record.version == CreateTransfers::VERSION, RejectReason::Malformed)?;
        let rows = rows::transfers(record.body).map_err(|_| RejectReason::Malformed)?;
        let batch = Batch::new(effects.seq, effects.time, payers);
        let Results { created, exceptions, amounts, balances, .. } =
            self.ledger.create_transfers(rows, &batch)?;
        let RecordHeader { session, request, .. } = record.header;
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        effects.push(events::TransfersCreated {
            session,
            request,
            count,
            created,
            exceptions,
            amounts,
            balances,
        });
        Ok(())
    }

    fn create_accounts(
        &mut self,
        row: u32,
        record: &Record<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let actor = self.sessions.rows.at(row).definition.actor;
        self.registry.entitle(actor, roles::CASHIER | roles::ADMIN)?;
        let Ok(Command::CreateAccounts(CreateAccounts { accounts })) = record.command() else {
            return Err(RejectReason::Malformed.into());
        };
        ensure(accounts.len() <= LEDGER_ROWS_MAX, RejectReason::Malformed)?;
        let Results { created, exceptions, .. } =
            self.ledger.create_accounts(&accounts, effects.seq, &self.registry)?;
        let RecordHeader { session, request, .. } = record.header;
        let count = u32::try_from(accounts.len()).unwrap_or(u32::MAX);
        effects.push(events::AccountsCreated { session, request, count, created, exceptions });
        Ok(())
    }

    fn execute(&mut self, row: u32, record: &Record<'_>, effects: &mut Effects<'_>) -> Result<(), Stop> {
        let command = record.command().map_err(|_| RejectReason::Malformed)?;
        let actor = self.sessions.rows.at(row).definition.actor;
        if let Some(role) = role_needed(command.kind()) {
            self.registry.entitle(actor, role)?;
            self.approvals.may_execute(command.kind())?;
        }
        self.execute_command(row, actor, &command, effects)
    }

    /// Executes what the actor is entitled to, or has been approved.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "`role_needed` names what may come here: the rest is of the node and of FIX sessions"
    )]
    pub(crate) fn execute_command(
        &mut self,
        row: u32,
        actor: ActorId,
        command: &Command,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        match command {
            Command::Propose(_) | Command::Approve(_) | Command::Reject(_) | Command::SetApprovals(_) => {
                self.execute_on_proposals(row, actor, command, effects)
            }
            Command::DefineActor(_) | Command::SetActorKey(_) | Command::DefineAsset(_) => {
                self.execute_on_registry(command, effects)
            }
            Command::DefineMarket(_)
            | Command::SetMarketPhase(_)
            | Command::SetTradingRules(_)
            | Command::SetMarketSchedule(_)
            | Command::PublishPrice(_)
            | Command::SetFeeSchedule(_)
            | Command::SetTradeGroup(_)
            | Command::SetFeeGroup(_)
            | Command::BustTrade(_)
            | Command::CorrectTrade(_) => self.execute_on_markets(command, effects),
            Command::DefineSession(_) | Command::ResetSession(_) => self.set_up_session(command, effects),
            Command::SetLedgerLimits(_)
            | Command::SetOverdraft(_)
            | Command::UpdateAccount(_)
            | Command::SetCalendar(_)
            | Command::SetAccountCode(_)
            | Command::CloseDay(_)
            | Command::CorrectTransfers(_)
            | Command::QuoteExchange(_)
            | Command::DefineMonitor(_)
            | Command::RemoveMonitor(_) => self.execute_on_ledger(command, effects),
            Command::ExchangeCurrency(_)
            | Command::DefineStandingOrder(_)
            | Command::CancelStandingOrder(_) => self.execute_for_payer(row, command, effects),
            Command::CancelAll(cancel) => self.cancel_all(cancel, effects),
            Command::SetMarketMakerProtection(set) => self.set_protection(row, set, effects),
            Command::SetCancelAllAfter(set) => self.set_cancel_all_after(row, set, effects),
            Command::NewOrder(_)
            | Command::NewOrderList(_)
            | Command::CancelOrder(_)
            | Command::ReplaceOrder(_)
            | Command::MassCancel(_)
            | Command::MassQuote(_)
            | Command::CancelReplaceOrder(_)
            | Command::CancelList(_)
            | Command::RequestListStatus(_)
            | Command::RequestMarketStatus(_)
            | Command::RequestOrderStatus(_) => self.apply_order(row, command, effects),
            _ => Err(RejectReason::WrongSessionKind.into()),
        }
    }

    /// What needs two actors, and what says so.
    fn execute_on_proposals(
        &mut self,
        row: u32,
        actor: ActorId,
        command: &Command,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        if let Command::Propose(propose) = command {
            self.propose(actor, propose, effects)
        } else if let Command::Approve(approve) = command {
            self.approve(row, actor, approve, effects)
        } else if let Command::Reject(reject) = command {
            self.reject(actor, reject, effects)
        } else if let Command::SetApprovals(set) = command {
            self.set_approvals(set, effects)
        } else {
            ensure(false, RejectReason::WrongSessionKind)
        }
    }

    fn set_up_session(&mut self, command: &Command, effects: &mut Effects<'_>) -> Result<(), Stop> {
        if let Command::DefineSession(define) = command {
            self.sessions.define(define, &self.registry, effects)
        } else if let Command::ResetSession(reset) = command {
            self.sessions.reset(reset.session, effects)
        } else {
            ensure(false, RejectReason::WrongSessionKind)
        }
    }

    /// What is set of actors and assets.
    fn execute_on_registry(&mut self, command: &Command, effects: &mut Effects<'_>) -> Result<(), Stop> {
        let administrators_min = self.approvals.administrators_min();
        if let Command::DefineActor(define) = command {
            self.registry.define_actor(define, administrators_min, effects)
        } else if let Command::SetActorKey(set) = command {
            self.registry.set_key(set, administrators_min, effects)
        } else if let Command::DefineAsset(define) = command {
            self.registry.define_asset(define, effects)
        } else {
            ensure(false, RejectReason::WrongSessionKind)
        }
    }

    /// What is set in markets, and what changes their trades.
    fn execute_on_markets(&mut self, command: &Command, effects: &mut Effects<'_>) -> Result<(), Stop> {
        if let Command::DefineMarket(define) = command {
            self.markets.define(define, &self.registry, &self.ledger, effects)
        } else if let Command::SetMarketPhase(set) = command {
            self.set_phase(set, effects)
        } else if let Command::SetTradingRules(set) = command {
            self.markets.set_trading_rules(set, effects)
        } else if let Command::SetMarketSchedule(set) = command {
            self.markets.set_schedule(set, effects)
        } else if let Command::PublishPrice(publish) = command {
            self.markets.publish_price(publish, effects)
        } else if let Command::SetFeeSchedule(set) = command {
            self.markets.set_fee_schedule(set, effects)
        } else if let Command::SetTradeGroup(set) = command {
            self.markets.set_trade_group(set, effects)
        } else if let Command::SetFeeGroup(set) = command {
            self.markets.set_fee_group(set, effects)
        } else if let Command::BustTrade(bust) = command {
            self.bust_trade(bust, effects)
        } else if let Command::CorrectTrade(correct) = command {
            self.correct_trade(correct, effects)
        } else {
            ensure(false, RejectReason::WrongSessionKind)
        }
    }

    /// What is set in the ledger, beside batches.
    fn execute_on_ledger(&mut self, command: &Command, effects: &mut Effects<'_>) -> Result<(), Stop> {
        if let Command::SetLedgerLimits(set) = command {
            self.ledger.set_limits(set, effects)
        } else if let Command::SetOverdraft(set) = command {
            self.ledger.set_overdraft(set, effects)
        } else if let Command::UpdateAccount(update) = command {
            self.ledger.update_account(update, effects)
        } else if let Command::SetCalendar(set) = command {
            self.ledger.set_calendar(set, effects)
        } else if let Command::SetAccountCode(set) = command {
            self.ledger.set_account_code(set, &self.registry, effects)
        } else if let Command::CloseDay(close) = command {
            self.ledger.close_day(close, effects)
        } else if let Command::CorrectTransfers(correct) = command {
            let batch = Batch::new(effects.seq, effects.time, Payers::Everybody);
            let batch = Batch { may_correct: true, ..batch };
            self.ledger.correct_transfers(correct, &batch, effects)
        } else if let Command::QuoteExchange(quote) = command {
            self.ledger.quote_exchange(quote, effects)
        } else if let Command::DefineMonitor(define) = command {
            self.ledger.define_monitor(define, &self.registry, effects)
        } else if let Command::RemoveMonitor(remove) = command {
            self.ledger.remove_monitor(remove, effects)
        } else {
            ensure(false, RejectReason::WrongSessionKind)
        }
    }

    /// What a PAYER may command for its clients' accounts, and a CASHIER for all.
    fn execute_for_payer(
        &mut self,
        row: u32,
        command: &Command,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let payers = Payers::of(&self.sessions.rows.at(row).definition, &self.registry)?;
        if let Command::ExchangeCurrency(exchange) = command {
            let batch = Batch::new(effects.seq, effects.time, payers);
            self.ledger.exchange(exchange, &batch, effects)
        } else if let Command::DefineStandingOrder(define) = command {
            self.ledger.define_standing_order(define, payers, effects)
        } else if let Command::CancelStandingOrder(cancel) = command {
            self.ledger.cancel_standing_order(cancel, payers, effects)
        } else {
            ensure(false, RejectReason::WrongSessionKind)
        }
    }

    /// An order command of either kind of session; its report is an output of the session.
    pub(crate) fn apply_order(
        &mut self,
        row: u32,
        command: &Command,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        self.roll_day(row, None, effects.time);
        if let Command::NewOrder(order) = command {
            self.new_order(row, order, effects)
        } else if let Command::NewOrderList(list) = command {
            self.new_order_list(row, list, effects)
        } else if let Command::CancelReplaceOrder(replace) = command {
            self.cancel_replace(row, replace, effects)
        } else if let Command::MassQuote(quotes) = command {
            self.mass_quote(row, quotes, effects)
        } else if let Command::MassCancel(cancel) = command {
            self.mass_cancel(row, cancel, effects)
        } else if let Command::CancelOrder(cancel) = command {
            self.cancel_order(row, cancel, effects)
        } else if let Command::ReplaceOrder(replace) = command {
            self.replace_order(row, replace, effects)
        } else if let Command::RequestOrderStatus(request) = command {
            self.order_status(row, request, effects)
        } else if let Command::CancelList(cancel) = command {
            self.cancel_list(row, cancel, effects)
        } else if let Command::RequestListStatus(request) = command {
            self.list_status(row, request, effects)
        } else if let Command::RequestMarketStatus(request) = command {
            self.market_status(row, request, effects)
        } else {
            ensure(false, RejectReason::WrongSessionKind)
        }
    }
}

/// What happens earlier of two things. Not inlined: who asks what is due looks at many places where mostly nothing is.
#[inline(never)]
fn keep_earlier(next: &mut Option<(UnixNanos, Due)>, other: (UnixNanos, Due)) {
    if next.is_none_or(|next| other < next) {
        *next = Some(other);
    }
}

/// The roles of which a command of this kind takes one in a request session, where it takes any. Orders are checked where their reports are
/// written, batches where they are executed.
pub(crate) const fn role_needed(kind: u16) -> Option<u32> {
    match kind {
        CorrectTransfers::KIND | QuoteExchange::KIND => Some(roles::CASHIER),
        UpdateAccount::KIND | DefineMonitor::KIND | RemoveMonitor::KIND => {
            Some(roles::CASHIER | roles::ADMIN)
        }
        DefineActor::KIND
        | SetActorKey::KIND
        | DefineAsset::KIND
        | DefineMarket::KIND
        | SetMarketPhase::KIND
        | SetFeeSchedule::KIND
        | BustTrade::KIND
        | CorrectTrade::KIND
        | SetFeeGroup::KIND
        | DefineSession::KIND
        | SetTradingRules::KIND
        | SetMarketSchedule::KIND
        | SetTradeGroup::KIND
        | SetApprovals::KIND
        | SetLedgerLimits::KIND
        | SetOverdraft::KIND
        | SetCalendar::KIND
        | SetAccountCode::KIND
        | CloseDay::KIND
        | CancelAll::KIND
        | ResetSession::KIND => Some(roles::ADMIN),
        PublishPrice::KIND => Some(roles::PRICE_SOURCE),
        _ => None,
    }
}

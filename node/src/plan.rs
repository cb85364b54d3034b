//! What a definition would change: compared with what is in force, without a trace in the journal.

use engine::Engine;
use protocol::commands::{
    DefineMarket, DefineSession, SetAccountCode, SetFeeSchedule, SetMarketSchedule, SetTradingRules,
};
use protocol::event::Event;
use protocol::rows::{AccountRow, RowResult};
use protocol::sign::PublicKey;
use protocol::{
    ActorId, Command, EventBody, FeeGroupId, LedgerRefusal, MarketId, MarketPhase, RequestNumber, Seq,
    SessionId, Text, TradeGroupId,
};
use serde::{Deserialize, Serialize};

use crate::definitions::{Field, chart, fees, has_money, rules, schedule};

/// What a command would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub(crate) enum Effect {
    /// There is none with this id yet.
    Create,
    /// These fields would be others.
    Change {
        /// In the order of the definition.
        changes: Vec<Change>,
    },
    /// It is so already.
    Unchanged,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Its name.
    pub(crate) field: String,
    /// In force.
    pub(crate) from: String,
    /// Commanded.
    pub(crate) to: String,
}

/// What the engine answered to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// `None` = done.
    pub(crate) refusal: Option<String>,
    /// The field that is meant, where one is.
    pub(crate) field: String,
    /// Where it took effect.
    pub(crate) seq: u64,
}

impl Outcome {
    /// If the event answers a request: whose, and how.
    pub(crate) fn of(event: &Event) -> Option<(SessionId, RequestNumber, Self)> {
        if let EventBody::Replied(reply) = &event.body {
            let refusal = reply.refusal.map(|reason| reason.name().to_owned());
            let outcome = Self { refusal, field: reply.field.to_string(), seq: reply.effective_seq.0 };
            Some((reply.session, reply.request, outcome))
        } else if let EventBody::AccountsCreated(made) = &event.body {
            Some((made.session, made.request, Self::of_rows(event, &made.exceptions)))
        } else if let EventBody::TransfersCreated(made) = &event.body {
            Some((made.session, made.request, Self::of_rows(event, &made.exceptions)))
        } else {
            None
        }
    }

    /// Of a batch, whose first row that is refused counts; one that exists is refused least.
    fn of_rows(event: &Event, exceptions: &[RowResult]) -> Self {
        let worst = exceptions.iter().find(|row| row.refusal != LedgerRefusal::Exists).or(exceptions.first());
        Self {
            refusal: worst.map(|row| row.refusal.name().to_owned()),
            field: String::new(),
            seq: worst.map_or(event.seq, |row| row.seq).0,
        }
    }
}

/// What is in force at one moment.
pub(crate) struct Standing<'a> {
    definitions: Vec<EventBody>,
    engine: &'a Engine,
}

impl<'a> Standing<'a> {
    /// Of the engine now.
    pub(crate) fn of(engine: &'a Engine) -> Self {
        Self { definitions: engine.definitions(), engine }
    }

    /// What `command` would do.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what defines nothing is always new")]
    pub(crate) fn effect(&self, command: &Command) -> Effect {
        match command {
            Command::DefineActor(new) => {
                compare(self.actor(new.actor).map(roles_field), roles_field(new.roles))
            }
            Command::SetActorKey(new) => {
                let standing = self.definitions.iter().find_map(|event| match event {
                    EventBody::ActorKeySet(set) if set.actor == new.actor => set.key,
                    _ => None,
                });
                compare(Some(key_field(standing)), key_field(new.key))
            }
            Command::DefineAsset(new) => {
                let standing = self.definitions.iter().find_map(|event| match event {
                    EventBody::AssetDefined(asset) if asset.definition.asset == new.asset => {
                        Some(&asset.definition)
                    }
                    _ => None,
                });
                let fields = |code: String, scale: u8| vec![("code", code), ("scale", scale.to_string())];
                let standing = standing.map(|old| fields(old.code.to_string(), old.scale));
                compare(standing, fields(new.code.to_string(), new.scale))
            }
            Command::DefineMarket(new) => {
                compare(self.market(new.market).map(|(old, _)| market_fields(old)), market_fields(new))
            }
            Command::SetMarketPhase(new) => {
                // A new market trades.
                let standing = self.market(new.market).map_or(MarketPhase::Trading, |(_, phase)| phase);
                compare(Some(phase_field(standing)), phase_field(new.phase))
            }
            Command::SetTradingRules(new) => {
                let standing = self.rules(new.market).unwrap_or(SetTradingRules::none(new.market));
                compare(Some(rules::fields(&standing)), rules::fields(new))
            }
            Command::SetMarketSchedule(new) => {
                let standing = self.schedule(new.market).unwrap_or(SetMarketSchedule::none(new.market));
                compare(Some(schedule::fields(&standing)), schedule::fields(new))
            }
            Command::SetAccountCode(new) => {
                // A code that the chart does not have stands for nothing.
                let none =
                    SetAccountCode { kind: None, normal_side: None, classes: 0, name: Text::EMPTY, ..*new };
                let standing =
                    self.engine.account_code(new.ledger, new.code).or(new.kind.is_none().then_some(&none));
                compare(standing.map(chart::fields), chart::fields(new))
            }
            Command::SetFeeSchedule(new) => self.fees(new),
            Command::SetFeeGroup(new) => {
                let field = |group: FeeGroupId| vec![("fee_group", group.to_string())];
                compare(Some(field(self.engine.fee_group(new.client))), field(new.fee_group))
            }
            Command::SetTradeGroup(new) => {
                let field = |group: TradeGroupId| vec![("trade_group", group.to_string())];
                compare(Some(field(self.engine.trade_group(new.client))), field(new.trade_group))
            }
            Command::DefineSession(new) => {
                compare(self.session(new.session).map(session_fields), session_fields(new))
            }
            Command::CreateAccounts(batch) => all_unchanged(&batch.accounts, |row| self.has_account(row)),
            Command::CreateTransfers(batch) => {
                all_unchanged(&batch.transfers, |row| has_money(self.engine, row.credit_account))
            }
            _ => Effect::Create,
        }
    }

    /// By what is in force where it would come into force: with the next record, or at its seq. What the engine would call the same is.
    fn fees(&self, new: &SetFeeSchedule) -> Effect {
        let next = self.engine.seq_applied().next();
        let at = if new.effective_seq == Seq::ZERO { next } else { new.effective_seq };
        let standing = self.engine.fee_schedule(new.market, new.fee_group, at).map(fees::fields);
        // To have no schedule is to have one without tiers.
        let none = || fees::fields(&SetFeeSchedule { tiers: Vec::new(), tax_ppm: 0, ..new.clone() });
        compare(standing.or_else(|| new.tiers.is_empty().then(none)), fees::fields(new))
    }

    /// One that differs is refused when it is executed, and the refusal names what differs.
    fn has_account(&self, row: &AccountRow) -> bool {
        self.engine.account(row.id).is_some_and(|view| {
            (view.client, view.asset, view.class.code().into(), view.code)
                == (row.owner, row.ledger, row.class, row.code)
                && view.flags == row.flags
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a search for one kind")]
    fn actor(&self, actor: ActorId) -> Option<u32> {
        self.definitions.iter().find_map(|event| match event {
            EventBody::ActorDefined(defined) if defined.actor == actor => Some(defined.roles),
            _ => None,
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a search for one kind")]
    fn market(&self, market: MarketId) -> Option<(&DefineMarket, MarketPhase)> {
        self.definitions.iter().find_map(|event| match event {
            EventBody::MarketDefined(m) if m.definition.market == market => Some((&m.definition, m.phase)),
            _ => None,
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a search for one kind")]
    fn rules(&self, market: MarketId) -> Option<SetTradingRules> {
        self.definitions.iter().find_map(|event| match event {
            EventBody::TradingRulesSet(set) if set.rules.market == market => Some(set.rules.clone()),
            _ => None,
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a search for one kind")]
    fn schedule(&self, market: MarketId) -> Option<SetMarketSchedule> {
        self.definitions.iter().find_map(|event| match event {
            EventBody::MarketScheduleSet(set) if set.schedule.market == market => Some(set.schedule.clone()),
            _ => None,
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a search for one kind")]
    fn session(&self, session: SessionId) -> Option<&DefineSession> {
        self.definitions.iter().find_map(|event| match event {
            EventBody::SessionDefined(s) if s.definition.session == session => Some(&s.definition),
            _ => None,
        })
    }
}

fn all_unchanged<R>(rows: &[R], is_so: impl Fn(&R) -> bool) -> Effect {
    if rows.iter().all(is_so) { Effect::Unchanged } else { Effect::Create }
}

fn compare(standing: Option<Vec<Field>>, new: Vec<Field>) -> Effect {
    standing.map_or(Effect::Create, |standing| changes(standing, new))
}

fn roles_field(roles: u32) -> Vec<Field> {
    vec![("roles", roles.to_string())]
}

fn key_field(key: Option<PublicKey>) -> Vec<Field> {
    vec![("key", key.map_or("none".to_owned(), |key| key.to_string()))]
}

fn phase_field(phase: MarketPhase) -> Vec<Field> {
    vec![("phase", phase.name().to_owned())]
}

fn changes(from: Vec<Field>, to: Vec<Field>) -> Effect {
    let changes: Vec<Change> = from
        .into_iter()
        .zip(to)
        .filter(|((_, from), (_, to))| from != to)
        .map(|((field, from), (_, to))| Change { field: field.to_owned(), from, to })
        .collect();
    if changes.is_empty() { Effect::Unchanged } else { Effect::Change { changes } }
}

fn market_fields(market: &DefineMarket) -> Vec<Field> {
    vec![
        ("symbol", market.symbol.to_string()),
        ("base", market.base.to_string()),
        ("quote", market.quote.to_string()),
        ("lot_base_minor", market.lot_base_minor.0.to_string()),
        ("tick_quote_minor", market.tick_quote_minor.0.to_string()),
        ("price_ticks_min", market.price_ticks_min.0.to_string()),
        ("price_ticks_max", market.price_ticks_max.0.to_string()),
        ("qty_lots_min", market.qty_lots_min.0.to_string()),
        ("qty_lots_max", market.qty_lots_max.0.to_string()),
        ("market_qty_lots_max", market.market_qty_lots_max.0.to_string()),
        ("notional_min", market.notional_min.0.to_string()),
        ("notional_max", market.notional_max.0.to_string()),
        ("client_orders_max", market.client_orders_max.to_string()),
        ("maker_fee_ppm", market.maker_fee_ppm.to_string()),
        ("taker_fee_ppm", market.taker_fee_ppm.to_string()),
        ("fee_account", market.fee_account.to_string()),
        ("tax_account", market.tax_account.to_string()),
    ]
}

fn session_fields(session: &DefineSession) -> Vec<Field> {
    let clients: Vec<String> = session.clients.iter().map(ToString::to_string).collect();
    vec![
        ("actor", session.actor.to_string()),
        ("firm", session.firm.to_string()),
        ("protocol", session.protocol.name().to_owned()),
        ("client_comp_id", session.client_comp_id.to_string()),
        ("our_comp_id", session.our_comp_id.to_string()),
        ("clients", clients.join(" ")),
        ("reset_on_logon", session.reset_on_logon.to_string()),
        ("heartbeat_s_min", session.heartbeat_s_min.to_string()),
        ("heartbeat_s_max", session.heartbeat_s_max.to_string()),
        ("strictness", session.strictness.name().to_owned()),
        ("cancel_on_disconnect", session.cancel_on_disconnect.name().to_owned()),
        ("cancel_window_ms", session.cancel_window_ms.to_string()),
    ]
}

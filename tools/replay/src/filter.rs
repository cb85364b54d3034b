//! Which commands `show` prints: a filter holds for a command if the command itself or anything that followed from it is meant.

use std::collections::BTreeMap;

use engine::Engine;
use protocol::commands::DefineMarket;
use protocol::event::Event;
use protocol::events::Settled;
use protocol::wire::fields::FieldValue;
use protocol::{AccountId, AssetId, ClientId, Command, EventBody, MarketId};

use crate::args::ShowArgs;
use crate::outcome::Outcome;
use crate::rerun::Applied;

type Fields<'a> = [(&'static str, FieldValue<'a>)];

/// What was asked for, and what must be known to tell.
pub(crate) struct Filter<'a> {
    args: &'a ShowArgs,
    account: Option<AccountScope>,
}

/// A settlement names clients, not accounts: whose account it is has to be followed.
struct AccountScope {
    account: AccountId,
    /// Owner and asset, of an account through which orders settle.
    settles: Option<(ClientId, AssetId)>,
    markets: BTreeMap<MarketId, (AssetId, AssetId, AccountId)>,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(args: &'a ShowArgs, engine: Option<&Engine>) -> Self {
        let account = args.account.map(|account| AccountScope::new(AccountId(account), engine));
        Self { args, account }
    }

    /// Learns from what happened; every command, printed or not. `engine` is behind it.
    pub(crate) fn learn(&mut self, events: &[Event], engine: &Engine) {
        if let Some(scope) = &mut self.account {
            events.iter().for_each(|event| scope.learn(&event.body, engine));
        }
    }

    /// Whether the command is meant. Without an engine nothing is known to have followed.
    pub(crate) fn takes(
        &self,
        applied: &Applied<'_>,
        command: Option<&Command>,
        outcome: Option<Outcome>,
    ) -> bool {
        let args = self.args;
        let record = &applied.record.header;
        if args.correlation.is_some() && record.correlation != args.correlation {
            return false;
        }
        if let Some(wanted) = &args.outcome
            && outcome.map(Outcome::name) != Some(wanted)
        {
            return false;
        }
        let by_name = args.kind.is_some() || args.order.is_some() || args.session.is_some();
        if !by_name && args.client.is_none() && self.account.is_none() {
            return true;
        }
        let bodies: Vec<_> = applied.events.iter().map(|event| event.body.fields()).collect();
        let own = command.map(Command::fields).unwrap_or_default();
        let mentions = |id: &'static str, wanted: u128| {
            names(&own, id, wanted) || bodies.iter().any(|fields| names(fields, id, wanted))
        };
        let kind = args.kind.as_deref().is_none_or(|name| {
            command.is_some_and(|command| command.name() == name)
                || applied.events.iter().any(|event| event.body.name() == name)
        });
        let order = args.order.is_none_or(|order| {
            // A new order's id is the seq of its command, also where it was refused.
            mentions("OrderId", order.into())
                || (applied.seq.0 == order && matches!(command, Some(Command::NewOrder(_))))
        });
        let session = args.session.is_none_or(|session| {
            let sent = |event: &Event| event.output.is_some_and(|output| output.session.0 == session);
            record.session.0 == session
                || applied.events.iter().any(sent)
                || mentions("SessionId", session.into())
        });
        let client = args.client.is_none_or(|client| mentions("ClientId", client.into()));
        let account = self.account.as_ref().is_none_or(|scope| {
            mentions("AccountId", scope.account.0)
                || applied.events.iter().any(|event| scope.is_moved_by(&event.body))
        });
        kind && order && session && client && account
    }
}

/// Whether any field is this id.
fn names(fields: &Fields<'_>, id: &str, wanted: u128) -> bool {
    fields.iter().any(|(_, value)| is_or_holds(value, id, wanted))
}

fn is_or_holds(value: &FieldValue<'_>, id: &str, wanted: u128) -> bool {
    match value {
        FieldValue::Id(name, number) => *name == id && *number == wanted,
        FieldValue::List(values) => values.iter().any(|value| is_or_holds(value, id, wanted)),
        FieldValue::Fields(fields) => names(fields, id, wanted),
        FieldValue::Number(_)
        | FieldValue::Flag(_)
        | FieldValue::Code(_)
        | FieldValue::Text(_)
        | FieldValue::Bytes(_)
        | FieldValue::Absent => false,
    }
}

impl AccountScope {
    fn new(account: AccountId, engine: Option<&Engine>) -> Self {
        let mut scope = Self { account, settles: None, markets: BTreeMap::new() };
        let Some(engine) = engine else { return scope };
        scope.learn_account(engine);
        engine.markets().for_each(|market| scope.learn_market(&market.definition));
        scope
    }

    fn learn(&mut self, body: &EventBody, engine: &Engine) {
        if let EventBody::AccountsCreated(_) = body {
            self.learn_account(engine);
        } else if let EventBody::MarketDefined(defined) = body {
            self.learn_market(&defined.definition);
        }
    }

    fn learn_account(&mut self, engine: &Engine) {
        let view = engine.account(self.account).filter(|view| view.settlement);
        self.settles = view.map(|view| (view.client, view.asset));
    }

    fn learn_market(&mut self, market: &DefineMarket) {
        self.markets.insert(market.market, (market.base, market.quote, market.fee_account));
    }

    fn is_moved_by(&self, body: &EventBody) -> bool {
        let EventBody::Settled(Settled { market, buyer, seller, .. }) = body else { return false };
        let Some((base, quote, fees)) = self.markets.get(market) else { return false };
        *fees == self.account
            || self.settles.is_some_and(|(client, asset)| {
                (client == *buyer || client == *seller) && (asset == *base || asset == *quote)
            })
    }
}

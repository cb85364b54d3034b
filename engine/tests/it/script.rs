//! The scenarios' language: one command a line.
//!
//! ```text
//! asset BTC scale 8
//! market BTC-TRY tick 0.01 lot 0.0001 maker 0.1% taker 0.2% [qty 0.001..5] [price 1..100] [notional 1..9] [orders 3]
//! client alice [fix | request] [window 5s] [loss | always] [noreset]   accounts in every asset, and a session
//! deposit t1 alice 10000 TRY        withdraw t2 alice 10 TRY        transfer t3 alice bob 10 TRY
//! alice logon [seq 3] [reset] [expects 4] [heartbeat 30]            and every other message of a session
//! alice buy a1 1.5 @ 100 [ioc | fok] [again] [on ETH-TRY] [for bob]  market: `buy a1 1.5 market`, `buy a1 budget 100`
//! alice cancel a2 of a1 sell        alice replace a2 of o5 buy 2 @ 99        alice status a1/o5
//! balances alice     book BTC-TRY   session alice                   shown, not commanded
//! wait 5s     pulse     term 2      halt BTC-TRY     cancelall [session alice] [client bob] [market BTC-TRY]
//! ```
//! `alice#7 …` names the message or request number, `alice/2 …` the generation; without them the next and the current.
//! `again` is PossResend(97)=Y. Fees are set in [`fees`], trades taken back in [`busts`]. Batches of the ledger have a part of their own: [`ledger`];
//! what it does beside them, too: [`services`].

mod busts;
mod fees;
mod ledger;
mod orders;
mod schedule;
mod services;

use engine::Engine;
use protocol::commands::*;
use protocol::events::Settled;
use protocol::money::parse_decimal;
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, CancelOnDisconnect, ClientId, Command, EventBody,
    FirmId, MarketId, MarketPhase, NodeId, OrderId, OrderType, PriceTicks, ProposalId, QtyLots,
    SessionAction, SessionEnd, SessionId, SessionProtocol, Side, Term, Text,
};

use crate::definitions;
use crate::render::{AssetName, MarketName, Names, PRICE_SCALE, order_name};
use crate::world::World;

pub(crate) struct Script {
    world: World,
    names: Names,
    /// All that were made.
    proposals: Vec<ProposalId>,
    /// As they were settled.
    trades: Vec<Settled>,
}

/// The words of a line, taken from the front; options by name from anywhere.
struct Words<'l> {
    words: Vec<&'l str>,
    place: String,
}

impl<'l> Words<'l> {
    fn next(&mut self) -> &'l str {
        assert!(!self.words.is_empty(), "{}: a word is missing", self.place);
        self.words.remove(0)
    }

    fn flag(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|word| *word == name);
        at.map(|at| self.words.remove(at)).is_some()
    }

    fn option(&mut self, name: &str) -> Option<&'l str> {
        let at = self.words.iter().position(|word| *word == name)?;
        self.words.remove(at);
        Some(self.words.remove(at))
    }

    fn number(&mut self, name: &str, default: u64) -> u64 {
        self.option(name).map_or(default, |text| text.parse().unwrap())
    }

    fn id<const N: usize>(&mut self) -> Text<N> {
        Text::new(self.next()).unwrap()
    }
}

fn by_name<K: Copy, V>(map: &std::collections::BTreeMap<K, V>, is: impl Fn(&V) -> bool) -> Option<K> {
    map.iter().find(|(_, value)| is(value)).map(|(key, _)| *key)
}

fn decimal(text: &str, scale: u8) -> u128 {
    parse_decimal(text.as_bytes(), scale).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

fn ppm(text: Option<&str>) -> u32 {
    // A percent is 10^4 millionths.
    text.map_or(0, |text| u32::try_from(decimal(text.trim_end_matches('%'), 4)).unwrap())
}

impl Script {
    pub(crate) fn new() -> Self {
        let mut names = Names::default();
        names.sessions.insert(1, "operator".to_owned());
        names.sessions.insert(0, "system".to_owned());
        Self { world: World::with_genesis(), names, proposals: Vec::new(), trades: Vec::new() }
    }

    /// Plays one line; returns what followed. The engine goes on as restored from its own snapshot.
    pub(crate) fn play(&mut self, line: &str, place: &str) -> Vec<String> {
        let mut words = Words { words: line.split_whitespace().collect(), place: place.to_owned() };
        let effects = self.line(&mut words);
        assert!(words.words.is_empty(), "{place}: not understood: {:?}", words.words);
        let mut bytes = Vec::new();
        self.world.engine.snapshot(&mut bytes);
        let restored = Engine::restore(&bytes).unwrap_or_else(|fault| panic!("{place}: {fault}"));
        assert_eq!(restored.state_hash(), self.world.engine.state_hash(), "{place}: restored state differs");
        assert_eq!(restored.next_timer(), self.world.engine.next_timer(), "{place}");
        self.world.engine = restored;
        effects
    }

    fn line(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let first = words.next();
        let (name, number) = match first.split_once('#') {
            Some((name, number)) => (name, Some(number.parse().unwrap())),
            None => (first, None),
        };
        let (name, generation) = match name.split_once('/') {
            Some((name, generation)) => (name, Some(generation.parse().unwrap())),
            None => (name, None),
        };
        match name {
            "asset" => self.asset(words),
            "market" => self.market(words),
            "client" => self.client(words),
            "taxes" => self.taxes(words),
            "wait" => self.wait(words),
            "until" => self.until(words),
            "balances" => self.balances(words),
            "book" => self.book(words),
            "session" => self.session(words),
            "cashier" | "payer" | "admin" => self.teller(name, words),
            "account" => self.account(words),
            "totals" => self.totals(),
            "floor" => self.floor(),
            "pulse" => self.system(Pulse {}),
            "term" => self.system(TermStart { term: Term(words.next().parse().unwrap()), node: NodeId(1) }),
            "deposit" | "withdraw" | "transfer" => self.booking(name, words),
            "operator" => {
                let name = words.next();
                let command = self.operator_command(name, words);
                let request = number.unwrap_or_else(|| self.world.next_number(SessionId::OPERATOR).1);
                self.submit(SessionId::OPERATOR, 0, request, command)
            }
            name => match by_name(&self.names.sessions, |session| session == name) {
                Some(session) => self.message(SessionId(session), generation, number, words),
                None => {
                    let command = self.operator_command(name, words);
                    let request = self.world.next_number(SessionId::OPERATOR).1;
                    self.submit(SessionId::OPERATOR, 0, request, command)
                }
            },
        }
    }

    fn submit(&mut self, session: SessionId, generation: u32, number: u64, command: Command) -> Vec<String> {
        let events = self.world.submit(session, generation, number, command);
        let settled = events.iter().filter_map(|event| {
            let EventBody::Settled(settled) = &event.body else { return None };
            Some(settled.clone())
        });
        self.trades.extend(settled);
        // Of the operator's own requests, "done" is no news.
        let is_news = |text: &String| !(text.starts_with("reply to operator/") && text.ends_with(": done"));
        events.iter().map(|event| self.names.event(event)).filter(is_news).collect()
    }

    fn system(&mut self, command: impl Into<Command>) -> Vec<String> {
        self.submit(SessionId::SYSTEM, 0, 0, command.into())
    }

    fn asset(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let id = u32::try_from(self.names.assets.len()).unwrap() + 1;
        let code = words.next();
        let scale = u8::try_from(words.number("scale", 8)).unwrap();
        self.world.set_up(definitions::asset(id, code, scale));
        self.names.assets.insert(id, AssetName { code: code.to_owned(), scale });
        for (offset, class, name) in [(1, AccountClass::External, "outside"), (2, AccountClass::Fee, "fees")]
        {
            let account = u128::from(id) * 10 + offset;
            self.world.set_up(definitions::account(account, 0, id, class));
            self.names.accounts.insert(account, (name.to_owned(), id));
        }
        Vec::new()
    }

    /// An account for the taxes in an asset.
    fn taxes(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let asset = self.asset_id(words.next());
        let account = u128::from(asset) * 10 + 3;
        self.world.set_up(definitions::account(account, 0, asset, AccountClass::Suspense));
        self.names.accounts.insert(account, ("taxes".to_owned(), asset));
        Vec::new()
    }

    fn asset_id(&self, code: &str) -> u32 {
        by_name(&self.names.assets, |asset| asset.code == code).unwrap_or_else(|| panic!("no asset {code}"))
    }

    fn market(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let symbol = words.next();
        let known = by_name(&self.names.markets, |market| market.symbol == symbol);
        let id = known.unwrap_or_else(|| u32::try_from(self.names.markets.len()).unwrap() + 1);
        let (base, quote) = symbol.split_once('-').unwrap();
        let (base, quote) = (self.asset_id(base), self.asset_id(quote));
        let (base_scale, quote_scale) = (self.names.assets[&base].scale, self.names.assets[&quote].scale);
        let tick = decimal(words.option("tick").unwrap(), PRICE_SCALE);
        let lot = decimal(words.option("lot").unwrap(), base_scale);
        let unit = 10_u128.pow(u32::from(PRICE_SCALE) + u32::from(base_scale) - u32::from(quote_scale));
        assert_eq!(tick * lot % unit, 0, "{}: a lot at one tick costs no whole minor unit", words.place);
        let name = MarketName { symbol: symbol.to_owned(), tick, lot, base_scale, quote };
        let range = |text: Option<&str>, scale: u8, unit: u128| {
            let (low, high) = text?.split_once("..")?;
            Some((decimal(low, scale) / unit, decimal(high, scale) / unit))
        };
        let price = range(words.option("price"), PRICE_SCALE, tick).unwrap_or((1, 1_000_000_000));
        let qty = range(words.option("qty"), base_scale, lot).unwrap_or((1, 1_000_000_000));
        let notional = range(words.option("notional"), quote_scale, 1).unwrap_or((0, u128::MAX));
        let narrow = |value: u128| u64::try_from(value).unwrap();
        let definition = DefineMarket {
            symbol: Text::new(symbol).unwrap(),
            base: AssetId(base),
            quote: AssetId(quote),
            lot_base_minor: Amount(lot),
            tick_quote_minor: Amount(tick * lot / unit),
            price_ticks_min: PriceTicks(narrow(price.0)),
            price_ticks_max: PriceTicks(narrow(price.1)),
            qty_lots_min: QtyLots(narrow(qty.0)),
            qty_lots_max: QtyLots(narrow(qty.1)),
            market_qty_lots_max: QtyLots(narrow(qty.1)),
            notional_min: Amount(notional.0),
            notional_max: Amount(notional.1),
            client_orders_max: u32::try_from(words.number("orders", 100)).unwrap(),
            maker_fee_ppm: ppm(words.option("maker")),
            taker_fee_ppm: ppm(words.option("taker")),
            fee_account: AccountId(u128::from(quote) * 10 + 2),
            tax_account: AccountId(if words.flag("taxed") { u128::from(quote) * 10 + 3 } else { 0 }),
            ..definitions::market(id)
        };
        self.world.set_up(definition);
        self.names.markets.insert(id, name);
        Vec::new()
    }

    fn client(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let name = words.next();
        let id = u32::try_from(self.names.clients.len()).unwrap() + 1;
        let client = u64::from(id) * 100;
        for asset in self.names.assets.keys().copied().collect::<Vec<_>>() {
            let account = u128::from(client) + u128::from(asset);
            self.world.set_up(definitions::account(account, client, asset, AccountClass::Client));
            self.names.accounts.insert(account, (name.to_owned(), asset));
        }
        let is_fix = words.flag("fix");
        let _requests = words.flag("request");
        let protocol = if is_fix { SessionProtocol::Fix } else { SessionProtocol::Request };
        let mut definition = definitions::session(15 + id, protocol, client);
        definition.reset_on_logon = !words.flag("noreset");
        if words.flag("loss") {
            definition.cancel_on_disconnect = CancelOnDisconnect::OnLoss;
        } else if words.flag("always") {
            definition.cancel_on_disconnect = CancelOnDisconnect::OnLossOrLogout;
        }
        if let Some(window) = words.option("window") {
            definition.cancel_window_ms = u32::try_from(milliseconds(window)).unwrap();
        }
        if let Some(also) = words.option("trades-for") {
            definition.clients.push(ClientId(by_name(&self.names.clients, |name| name == also).unwrap()));
        }
        self.world.set_up(definition);
        self.names.sessions.insert(15 + id, name.to_owned());
        self.names.clients.insert(client, name.to_owned());
        Vec::new()
    }

    fn wait(&mut self, words: &mut Words<'_>) -> Vec<String> {
        self.world.wait_ns(nanoseconds(words.next()));
        Vec::new()
    }

    fn balances(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let name = words.next();
        let mut lines = Vec::new();
        for view in self.world.engine.accounts() {
            let (owner, asset) = &self.names.accounts[&view.account.0];
            if owner == name {
                let (sign, balance) = match view.balance() {
                    Some(balance) => ("", balance),
                    None => ("-", Amount(view.debits.0 - view.credits.0)),
                };
                let held = protocol::money::format_decimal(view.held.0, self.names.assets[asset].scale);
                lines.push(format!("{sign}{} held {held}", self.names.amount(balance, *asset)));
            }
        }
        lines
    }

    fn book(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let market = MarketId(self.market_id(words.next()));
        let mut lines = Vec::new();
        for order in self.world.engine.orders().filter(|order| order.market == market) {
            let left = QtyLots(order.qty_lots.0 - order.cum_lots.0);
            lines.push(format!(
                "{} {} @ {} {} {} of {}",
                order.side.name(),
                self.names.qty(market, left),
                self.names.price(market, order.price_ticks),
                order.cl_ord_id,
                order_name(order.order),
                self.names.client(order.client),
            ));
        }
        lines
    }

    fn session(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let name = words.next();
        let view =
            self.world.engine.sessions().find(|view| self.names.session(view.session) == name).unwrap();
        vec![format!(
            "epoch {} generation {} next in {} next out {} connected {} cancels {}",
            view.epoch,
            view.generation,
            view.next_in,
            view.next_out,
            view.connected,
            if view.cancel_at.is_some() { "pending" } else { "none" },
        )]
    }

    fn market_id(&self, symbol: &str) -> u32 {
        by_name(&self.names.markets, |market| market.symbol == symbol).unwrap_or(99)
    }

    fn account_of(&self, name: &str, asset: u32) -> AccountId {
        let is = |account: &(String, u32)| account.0 == name && account.1 == asset;
        AccountId(by_name(&self.names.accounts, is).unwrap_or(999))
    }

    fn operator_command(&mut self, name: &str, words: &mut Words<'_>) -> Command {
        match name {
            "phase" => {
                let market = MarketId(self.market_id(words.next()));
                SetMarketPhase { market, phase: phase(words.next()) }.into()
            }
            "group" => self.trade_group(words).into(),
            "protect" => self.protection(words).into(),
            "rules" => self.trading_rules(words).into(),
            "schedule" => self.schedule(words).into(),
            "index" => self.index_price(words).into(),
            "cancelall" => {
                let session = words
                    .option("session")
                    .and_then(|name| by_name(&self.names.sessions, |session| session == name));
                let client = words
                    .option("client")
                    .and_then(|name| by_name(&self.names.clients, |client| client == name));
                let market = words.option("market").map(|symbol| MarketId(self.market_id(symbol)));
                CancelAll {
                    session: session.map(SessionId),
                    client: client.map(ClientId),
                    market,
                    side: words.option("side").map(side),
                    firm: words.option("firm").map(|firm| FirmId(firm.parse().unwrap())),
                }
                .into()
            }
            "reset" => {
                let name = words.next();
                ResetSession {
                    session: SessionId(by_name(&self.names.sessions, |session| session == name).unwrap()),
                }
                .into()
            }
            "limits" => Self::limits(words).into(),
            "fees" => self.fee_schedule(words).into(),
            "feegroup" => self.fee_group(words).into(),
            "overdraft" | "update" | "calendar" | "close" | "code" => self.ledger_command(name, words),
            "roles" => {
                let (actor, roles) = (words.next().parse().unwrap(), words.next().parse().unwrap());
                DefineActor { actor: ActorId(actor), roles }.into()
            }
            name => panic!("{}: no command {name}", words.place),
        }
    }

    fn message(
        &mut self,
        session: SessionId,
        generation: Option<u32>,
        number: Option<u64>,
        words: &mut Words<'_>,
    ) -> Vec<String> {
        let (current, next) = self.world.next_number(session);
        let name = words.next();
        if name == "accounts" {
            return self.accounts(session, words);
        }
        if name == "transfers" {
            return self.transfers(session, words);
        }
        if ["bust", "bust-alone", "correct-trade", "correct-trade-alone"].contains(&name) {
            return self.bust(name, session, words);
        }
        if name == "correct" {
            return self.correct(session, words);
        }
        if ["overdraft", "update", "calendar", "close", "code", "correct-alone", "approve"].contains(&name) {
            let command = self.ledger_command(name, words);
            return self.submit(session, 0, number.unwrap_or(next), command);
        }
        // A Logon comes from a connection that is not bound yet.
        let current = if name == "logon" { 0 } else { current };
        let (generation, number) = (generation.unwrap_or(current), number.unwrap_or(next));
        if let Some(command) = self.service(name, words) {
            return self.submit(session, generation, number, command);
        }
        let (command, is_numbered) = self.message_command(name, number, words);
        self.submit(session, generation, if is_numbered { number } else { 0 }, command)
    }

    /// The command, and whether its number stands in the record's header.
    fn message_command(&self, name: &str, number: u64, words: &mut Words<'_>) -> (Command, bool) {
        let command: Command = match name {
            "buy" | "sell" => self.order(side(name), words).into(),
            "cancelreplace" => self.cancel_replace(words).into(),
            "protect" => self.protection(words).into(),
            "masscancel" => self.mass_cancel(words).into(),
            "massquote" => self.mass_quote(words).into(),
            "oco" | "oto" | "otoco" => self.order_list(name, words).into(),
            "cancel" => self.cancel(words).into(),
            "cancellist" => CancelList { cl_list_id: words.id() }.into(),
            "marketstatus" => {
                let market = self.on(words);
                RequestMarketStatus { request_id: words.id(), market }.into()
            }
            "liststatus" => RequestListStatus { cl_list_id: words.id() }.into(),
            "replace" => {
                let (cl_ord_id, orig_cl_ord_id, order) = self.named_order(words);
                let (poss_resend, market) = (words.flag("again"), self.on(words));
                let (_, ends) = self.time_in_force(words);
                let terms = self.terms(market, ends, words);
                let (side, qty, _at, price) = (side(words.next()), words.next(), words.next(), words.next());
                let (qty_lots, price_ticks) = (self.lots(market, qty), self.ticks(market, price));
                ReplaceOrder {
                    cl_ord_id,
                    orig_cl_ord_id,
                    order,
                    market,
                    side,
                    price_ticks,
                    qty_lots,
                    poss_resend,
                    terms,
                }
                .into()
            }
            "status" => {
                let market = self.on(words);
                let (cl_ord_id, order) = order_named(words.next());
                RequestOrderStatus { cl_ord_id, order, market, side: Side::Buy }.into()
            }
            "heartbeat" => SessionHeartbeat {}.into(),
            "test" => SessionTestRequest { test_req_id: words.id() }.into(),
            "resend" => {
                let (begin, end) = (words.next().parse().unwrap(), words.next().parse().unwrap());
                SessionResendRequest { begin, end }.into()
            }
            "gapfill" => {
                let new_seq_no = words.next().parse().unwrap();
                SessionSequenceReset { new_seq_no, gap_fill: true, msg_seq_num: number }.into()
            }
            "logout" => SessionLogout {}.into(),
            "refuse" => SessionRefuse {
                ref_seq_num: number,
                ref_msg_type: Text::new("D").unwrap(),
                ref_tag: 38,
                reason: 6,
                business: words.flag("business"),
                ref_id: Text::EMPTY,
                note: Text::new("incorrect format").unwrap(),
                routing: protocol::RareText::EMPTY,
            }
            .into(),
            "pulse" => Pulse {}.into(),
            "cancelallafter" => orders::cancel_all_after(words).into(),
            name => return (self.unnumbered(name, number, words), false),
        };
        (command, true)
    }

    fn unnumbered(&self, name: &str, number: u64, words: &mut Words<'_>) -> Command {
        match name {
            "logon" => SessionLogon {
                connection: words.number("connection", 1),
                msg_seq_num: words.number("seq", number),
                heartbeat_s: u32::try_from(words.number("heartbeat", 30)).unwrap(),
                next_expected: words.number("expects", 0),
                reset: words.flag("reset"),
            }
            .into(),
            "setseq" => {
                let new_seq_no = words.next().parse().unwrap();
                SessionSequenceReset { new_seq_no, gap_fill: false, msg_seq_num: number }.into()
            }
            "gap" => SessionGap { received: words.next().parse().unwrap() }.into(),
            "toolow" => SessionTooLow { received: words.next().parse().unwrap() }.into(),
            "down" => SessionDown { end: SessionEnd::Lost }.into(),
            "tick" => {
                let action = words.next();
                let is = |known: &&SessionAction| known.name().eq_ignore_ascii_case(action);
                SessionTick { action: *SessionAction::ALL.iter().find(is).unwrap() }.into()
            }
            name => panic!("{}: no message {name}", words.place),
        }
    }

    fn order(&self, side: Side, words: &mut Words<'_>) -> NewOrder {
        let market = self.on(words);
        let client = words
            .option("for")
            .map(|name| ClientId(by_name(&self.names.clients, |client| client == name).unwrap_or(77)));
        let poss_resend = words.flag("again");
        let budget = words.option("budget").map(|text| {
            let quote = self.names.markets[&market.0].quote;
            Amount(decimal(text, self.names.assets[&quote].scale))
        });
        let (time_in_force, ends) = self.time_in_force(words);
        let terms = self.terms(market, ends, words);
        let is_market = words.flag("market") || budget.is_some();
        let price = words.option("@").map_or(PriceTicks(0), |text| self.ticks(market, text));
        let cl_ord_id = words.id();
        let qty_lots = if words.words.is_empty() { QtyLots(0) } else { self.lots(market, words.next()) };
        NewOrder {
            cl_ord_id,
            client,
            market,
            side,
            order_type: if is_market { OrderType::Market } else { OrderType::Limit },
            time_in_force,
            price_ticks: price,
            qty_lots,
            budget: budget.unwrap_or(Amount::ZERO),
            poss_resend,
            terms,
            ..definitions::limit("", side, 0, 0)
        }
    }

    /// `a2 of a1`, or `a2 of o17` by OrderID.
    fn named_order(&self, words: &mut Words<'_>) -> (ClOrdId, ClOrdId, Option<OrderId>) {
        let (cl_ord_id, of) = (words.id(), words.next());
        assert_eq!(of, "of", "{}", words.place);
        let (orig_cl_ord_id, order) = order_named(words.next());
        (cl_ord_id, orig_cl_ord_id, order)
    }

    fn on(&self, words: &mut Words<'_>) -> MarketId {
        MarketId(words.option("on").map_or(1, |symbol| self.market_id(symbol)))
    }

    fn ticks(&self, market: MarketId, text: &str) -> PriceTicks {
        let tick = self.names.markets.get(&market.0).map_or(1, |market| market.tick);
        PriceTicks(u64::try_from(decimal(text, PRICE_SCALE) / tick).unwrap())
    }

    fn lots(&self, market: MarketId, text: &str) -> QtyLots {
        let (scale, lot) = self.names.markets.get(&market.0).map_or((0, 1), |m| (m.base_scale, m.lot));
        QtyLots(u64::try_from(decimal(text, scale) / lot).unwrap())
    }
}

/// `a1`, `o26`, or both: `a1/o26`, `q1/o26.3`.
fn order_named(named: &str) -> (ClOrdId, Option<OrderId>) {
    let order = |named: &str| {
        let (seq, nth) = named.strip_prefix('o')?.split_once('.').unwrap_or((&named[1..], "0"));
        Some(OrderId::nth(protocol::Seq(seq.parse().ok()?), nth.parse().ok()?))
    };
    match (named.split_once('/'), order(named)) {
        (Some((named, number)), _) => (Text::new(named).unwrap(), order(number)),
        (None, Some(order)) => (Text::EMPTY, Some(order)),
        (None, None) => (Text::new(named).unwrap(), None),
    }
}

fn phase(name: &str) -> MarketPhase {
    let named = MarketPhase::ALL.iter().find(|phase| phase.name() == name);
    *named.unwrap_or_else(|| panic!("no phase {name}"))
}

fn side(name: &str) -> Side {
    match name {
        "buy" => Side::Buy,
        "sell" => Side::Sell,
        name => panic!("no side {name}"),
    }
}

fn nanoseconds(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap());
    let unit = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "h" => 3_600_000_000_000,
        unit => panic!("no unit {unit}"),
    };
    number.parse::<u64>().unwrap() * unit
}

fn milliseconds(text: &str) -> u64 {
    nanoseconds(text) / 1_000_000
}

//! `state`: balances, holds, books and hashes as they were behind one command.

use std::ops::ControlFlow;

use engine::Engine;
use engine::views::{AccountView, MarketView, SessionView};
use protocol::{Command, EventBody, Seq, Side};
use serde_json::Value;

use crate::args::{ReplayFault, StateArgs};
use crate::finding::Grade;
use crate::log::Log;
use crate::out::{Out, OutFault, complain};
use crate::render::{number, object, utc};
use crate::rerun::Rerun;
use crate::{EXIT_CLEAN, EXIT_DAMAGED};

/// The engine behind the command that was asked for.
pub(crate) struct Reached {
    log: Log,
    pub(crate) rerun: Rerun,
    at: Seq,
}

impl Reached {
    /// Whether anything is wrong with the files, which was said.
    pub(crate) fn is_damaged(&self) -> bool {
        self.log.findings.iter().any(|finding| finding.grade > Grade::Notice)
    }
}

/// Re-runs the log up to the seq that was asked for.
pub(crate) fn reach(args: &StateArgs) -> Result<Reached, ReplayFault> {
    let log = Log::open(&args.dir, args.aside, None)?;
    let last = log.last_seq().unwrap_or(Seq::ZERO);
    let at = args.at.map_or(last, Seq);
    let unanswered = |why: String| ReplayFault::Unanswered(format!("{}: {why}", args.dir.display()));
    for finding in log.findings.iter().filter(|finding| finding.grade > Grade::Notice) {
        complain(&finding.to_string());
    }
    let start = Rerun::start(&log, at, args.from_genesis);
    let mut rerun = start.map_err(|finding| unanswered(finding.to_string()))?;
    if rerun.engine.seq_applied() > at {
        let first = rerun.engine.seq_applied();
        return Err(unanswered(format!(
            "seq {at} lies before what is here; the oldest state is that after seq {first}"
        )));
    }
    let mut stopped = None;
    log.entries(rerun.index, &mut |entry| {
        if entry.frame.header.first_seq > at {
            return ControlFlow::Break(());
        }
        match rerun.apply(entry, at, &mut |_, _| ()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(finding) => {
                stopped = Some(finding);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(finding) = stopped {
        return Err(unanswered(finding.to_string()));
    }
    if rerun.engine.seq_applied() != at {
        return Err(unanswered(format!("seq {at} is not here: the last one is {last}")));
    }
    Ok(Reached { log, rerun, at })
}

pub(crate) fn run(args: &StateArgs, out: &mut Out) -> Result<u8, ReplayFault> {
    let reached = reach(args)?;
    let committed = reached.log.committed_head.is_some_and(|head| reached.at <= head.last_seq());
    let view = State { rerun: &reached.rerun, committed };
    if args.json {
        out.json(&view.json())?
    } else {
        view.print(out)?
    }
    Ok(if reached.is_damaged() { EXIT_DAMAGED } else { EXIT_CLEAN })
}

struct State<'a> {
    rerun: &'a Rerun,
    committed: bool,
}

impl State<'_> {
    fn engine(&self) -> &Engine {
        &self.rerun.engine
    }

    fn print(&self, out: &mut Out) -> Result<(), OutFault> {
        let engine = self.engine();
        let committed = if self.committed { "committed" } else { "durable, commit not recorded" };
        out.line(format_args!("seq        {} at {}, {committed}", engine.seq_applied(), utc(engine.time())))?;
        out.line(format_args!("state hash {}", engine.state_hash()))?;
        let (seq, effects) = &self.rerun.effects;
        out.line(format_args!("effects    {} after seq {seq}", effects.0))?;
        let (orders, trades) = (engine.orders().count(), engine.trades());
        out.line(format_args!("term       {}, {orders} live orders, {trades} trades so far", engine.term()))?;
        let assets = assets(engine);
        for account in engine.accounts() {
            let (_, code, scale) = assets.iter().find(|(id, ..)| *id == account.asset).cloned().unwrap_or((
                account.asset,
                String::new(),
                0,
            ));
            let (negative, balance) = balance(&account);
            out.line(format_args!(
                "account    {} {} client {} balance {}{} {code}, held {}",
                account.account,
                account.class.name(),
                account.client,
                if negative { "-" } else { "" },
                decimal(balance, scale),
                decimal(account.held.0, scale),
            ))?;
        }
        for market in engine.markets() {
            print_market(engine, &market, out)?;
        }
        for session in engine.sessions() {
            out.line(format_args!(
                "session    {} {} epoch {} generation {} next in {} next out {}, {}",
                session.session,
                session.definition.client_comp_id.as_bytes().escape_ascii(),
                session.epoch,
                session.generation,
                session.next_in,
                session.next_out,
                if session.connected { "connected" } else { "not connected" }
            ))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let engine = self.engine();
        let (effect_seq, effects) = &self.rerun.effects;
        let count = |count: u64| number(u128::from(count));
        object([
            ("seq", count(engine.seq_applied().0)),
            ("time", Value::from(utc(engine.time()))),
            ("time_ns", count(engine.time().0)),
            ("committed", Value::from(self.committed)),
            ("state_hash", Value::from(engine.state_hash().to_string())),
            ("effect_seq", count(effect_seq.0)),
            ("effect_hash", Value::from(effects.0.to_string())),
            ("term", count(engine.term().0)),
            ("demo", engine.genesis().map_or(Value::Null, |genesis| Value::from(genesis.demo))),
            ("trades", count(engine.trades())),
            ("live_orders", count(engine.orders().count() as u64)),
            (
                "assets",
                assets(engine)
                    .into_iter()
                    .map(|(asset, code, scale)| {
                        object([
                            ("asset", count(asset.0.into())),
                            ("code", Value::from(code)),
                            ("scale", Value::from(scale)),
                        ])
                    })
                    .collect(),
            ),
            ("accounts", engine.accounts().map(|account| account_json(&account)).collect()),
            ("markets", engine.markets().map(|market| market_json(engine, &market)).collect()),
            ("sessions", engine.sessions().map(|session| session_json(&session)).collect()),
        ])
    }
}

/// Id, code and scale of every asset.
fn assets(engine: &Engine) -> Vec<(protocol::AssetId, String, u8)> {
    let definitions = engine.definitions().into_iter().filter_map(|event| {
        if let EventBody::AssetDefined(defined) = event { Some(defined.definition) } else { None }
    });
    definitions.map(|asset| (asset.asset, asset.code.to_string(), asset.scale)).collect()
}

/// Whether it stands below zero, and by how much from it.
fn balance(account: &AccountView) -> (bool, u128) {
    (account.credits < account.debits, account.credits.0.abs_diff(account.debits.0))
}

fn account_json(account: &AccountView) -> Value {
    let (negative, balance) = balance(account);
    let signed = if negative && balance > 0 { Value::from(format!("-{balance}")) } else { number(balance) };
    object([
        ("account", number(account.account.0)),
        ("client", number(account.client.0.into())),
        ("asset", number(account.asset.0.into())),
        ("class", Value::from(account.class.name())),
        ("code", number(account.code.into())),
        ("settlement", Value::from(account.settlement)),
        ("balance", signed),
        ("held", number(account.held.0)),
        ("debits", number(account.debits.0)),
        ("credits", number(account.credits.0)),
    ])
}

fn market_json(engine: &Engine, market: &MarketView) -> Value {
    let id = market.definition.market;
    let side = |side: Side| {
        engine
            .depth(id, side)
            .map(|level| {
                object([
                    ("price_ticks", number(level.price.0.into())),
                    ("lots", number(level.lots)),
                    ("orders", number(level.orders.into())),
                ])
            })
            .collect::<Value>()
    };
    object([
        ("market", number(id.0.into())),
        ("symbol", Value::from(market.definition.symbol.to_string())),
        ("phase", Value::from(market.phase.name())),
        ("orders", number(market.orders as u128)),
        ("definition", crate::render::fields_json(&Command::from(market.definition.clone()).fields())),
        ("book_checksum", number(engine.book_checksum(id).into())),
        ("bids", side(Side::Buy)),
        ("asks", side(Side::Sell)),
    ])
}

fn session_json(session: &SessionView) -> Value {
    object([
        ("session", number(session.session.0.into())),
        ("epoch", number(session.epoch.0.into())),
        ("generation", number(session.generation.0.into())),
        ("next_in", number(session.next_in.into())),
        ("next_out", number(session.next_out.0.into())),
        ("floor", number(session.floor.0.into())),
        ("connected", Value::from(session.connected)),
        ("gateway", Value::from(session.gateway.0)),
        ("heartbeat_s", number(session.heartbeat_s.into())),
        ("last_heard_ns", number(session.last_heard.0.into())),
        ("cancel_at_ns", session.cancel_at.map_or(Value::Null, |at| number(at.0.into()))),
        ("highest_request", number(session.highest_request.into())),
        ("definition", crate::render::fields_json(&Command::from(session.definition.clone()).fields())),
    ])
}

fn print_market(engine: &Engine, market: &MarketView, out: &mut Out) -> Result<(), OutFault> {
    let id = market.definition.market;
    let symbol = market.definition.symbol.as_bytes().escape_ascii();
    let (phase, checksum) = (market.phase.name(), engine.book_checksum(id));
    out.line(format_args!(
        "market     {id} {symbol} {phase}, {} orders, book checksum {checksum:08x}",
        market.orders
    ))?;
    for (side, name) in [(Side::Sell, "ask"), (Side::Buy, "bid")] {
        let mut levels: Vec<_> = engine.depth(id, side).collect();
        if side == Side::Sell {
            // As books are drawn: the best prices meet in the middle.
            levels.reverse();
        }
        for level in levels {
            out.line(format_args!(
                "  {name}      {:>14} ticks {:>14} lots in {} orders",
                level.price, level.lots, level.orders
            ))?;
        }
    }
    Ok(())
}

/// `minor` units with `scale` decimals.
fn decimal(minor: u128, scale: u8) -> String {
    let digits = format!("{minor:0>width$}", width = usize::from(scale) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(scale));
    if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_get_their_point() {
        assert_eq!(decimal(0, 0), "0");
        assert_eq!(decimal(5, 2), "0.05");
        assert_eq!(decimal(123_456, 2), "1234.56");
        assert_eq!(decimal(u128::MAX, 18), "340282366920938463463.374607431768211455");
    }
}

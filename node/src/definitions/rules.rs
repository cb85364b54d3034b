//! `[market.rules]`: what a market demands beside its definition. The same words are options of `sicil exchange set-rules`.

use clap::Args;
use protocol::commands::SetTradingRules;
use protocol::{MarketId, MarketPhase, QtyLots, ReferencePrice, SelfTradePrevention};
use serde::Deserialize;

use super::{EntryFault, Field, phase_named};

/// What a market demands beside: 0 and what is not said demand nothing.
#[derive(Args, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RulesEntry {
    /// Around which price bands and the collar lie: `last_trade` or index; without it `last_trade`.
    #[arg(long, value_name = "PRICE")]
    reference: Option<String>,
    /// How far above the reference price a purchase may be priced, in millionths of it; 0 = anything.
    #[arg(long, value_name = "PPM", default_value_t = 0)]
    buy_above_ppm: u32,
    /// How far below it.
    #[arg(long, value_name = "PPM", default_value_t = 0)]
    buy_below_ppm: u32,
    /// How far above the reference price a sale may be priced.
    #[arg(long, value_name = "PPM", default_value_t = 0)]
    sell_above_ppm: u32,
    /// How far below it.
    #[arg(long, value_name = "PPM", default_value_t = 0)]
    sell_below_ppm: u32,
    /// How far from the reference price a trade may be.
    #[arg(long, value_name = "PPM", default_value_t = 0)]
    collar_ppm: u32,
    /// Of orders that say nothing of it: `none`, `expire_taker`, `expire_maker`, `expire_both`, `decrement` or `transfer`; without it `none`.
    #[arg(long, value_name = "MODE")]
    self_trade_prevention: Option<String>,
    /// No order may say that it trades with its own group.
    #[arg(long)]
    self_trades_forbidden: bool,
    /// Orders of one client that wait for a price; 0 = as many as orders.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    client_stops_max: u32,
    /// Orders of one client that show a part of themselves; 0 = as many as orders.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    client_icebergs_max: u32,
    /// A quantity, of which a command line knows no lot.
    #[arg(skip)]
    pub(super) client_position_max: Option<String>,
    /// How often one order may be replaced; 0 = any number of times.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    amendments_max: u32,
    /// How far prices may move within the window before the market pauses; 0 = anything.
    #[arg(long, value_name = "PPM", default_value_t = 0)]
    volatility_ppm: u32,
    /// How long that window is.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    volatility_window_ms: u32,
    /// The phase in which it pauses: halt or auction; without it halt.
    #[arg(long, value_name = "PHASE")]
    volatility_phase: Option<String>,
    /// How long it pauses; 0 = until a command or its schedule ends that.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    volatility_pause_ms: u32,
}

/// The command that sets all of them.
pub(crate) fn trading_rules(
    market: MarketId,
    entry: &RulesEntry,
    client_position_lots_max: QtyLots,
) -> Result<SetTradingRules, EntryFault> {
    let reference = match entry.reference.as_deref() {
        None | Some("last_trade") => ReferencePrice::LastTrade,
        Some("index") => ReferencePrice::Index,
        Some(other) => return Err(format!("rules.reference: {other:?} is not one of last_trade, index")),
    };
    let self_trade_prevention = match entry.self_trade_prevention.as_deref() {
        None | Some("none") => SelfTradePrevention::None,
        Some("expire_taker") => SelfTradePrevention::ExpireTaker,
        Some("expire_maker") => SelfTradePrevention::ExpireMaker,
        Some("expire_both") => SelfTradePrevention::ExpireBoth,
        Some("decrement") => SelfTradePrevention::Decrement,
        Some("transfer") => SelfTradePrevention::Transfer,
        Some(other) => {
            return Err(format!(
                "rules.self_trade_prevention: {other:?} is not one of none, expire_taker, expire_maker, expire_both, decrement, \
                 transfer"
            ));
        }
    };
    let volatility_phase = entry.volatility_phase.as_deref();
    let volatility_phase = volatility_phase.map(|name| phase_named("rules.volatility_phase", name));
    let volatility_phase = volatility_phase.transpose()?.unwrap_or(MarketPhase::Halt);
    Ok(SetTradingRules {
        market,
        reference,
        buy_above_ppm: entry.buy_above_ppm,
        buy_below_ppm: entry.buy_below_ppm,
        sell_above_ppm: entry.sell_above_ppm,
        sell_below_ppm: entry.sell_below_ppm,
        collar_ppm: entry.collar_ppm,
        self_trade_prevention,
        may_self_trade: !entry.self_trades_forbidden,
        client_stops_max: entry.client_stops_max,
        client_icebergs_max: entry.client_icebergs_max,
        client_position_lots_max,
        amendments_max: entry.amendments_max,
        volatility_ppm: entry.volatility_ppm,
        volatility_window_ms: entry.volatility_window_ms,
        volatility_phase,
        volatility_pause_ms: entry.volatility_pause_ms,
    })
}

/// Their fields, as text.
pub(crate) fn fields(rules: &SetTradingRules) -> Vec<Field> {
    vec![
        ("reference", rules.reference.name().to_owned()),
        ("buy_above_ppm", rules.buy_above_ppm.to_string()),
        ("buy_below_ppm", rules.buy_below_ppm.to_string()),
        ("sell_above_ppm", rules.sell_above_ppm.to_string()),
        ("sell_below_ppm", rules.sell_below_ppm.to_string()),
        ("collar_ppm", rules.collar_ppm.to_string()),
        ("self_trade_prevention", rules.self_trade_prevention.name().to_owned()),
        ("may_self_trade", rules.may_self_trade.to_string()),
        ("client_stops_max", rules.client_stops_max.to_string()),
        ("client_icebergs_max", rules.client_icebergs_max.to_string()),
        ("client_position_lots_max", rules.client_position_lots_max.to_string()),
        ("amendments_max", rules.amendments_max.to_string()),
        ("volatility_ppm", rules.volatility_ppm.to_string()),
        ("volatility_window_ms", rules.volatility_window_ms.to_string()),
        ("volatility_phase", rules.volatility_phase.name().to_owned()),
        ("volatility_pause_ms", rules.volatility_pause_ms.to_string()),
    ]
}

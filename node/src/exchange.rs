//! `sicil exchange`: what operators and price sources tell the exchange beside a definitions file, through the client library as any client.

use std::io::Read as _;

use clap::{Args, Subcommand};
use protocol::commands::{
    BustTrade, CancelAll, ClOrdId, CorrectTrade, PublishPrice, SetFeeGroup, SetFeeSchedule,
    SetMarketMakerProtection, SetMarketPhase, SetMarketSchedule, SetTradeGroup, SetTradingRules,
};
use protocol::events::Settled;
use protocol::rows::FeeTier;
use protocol::{
    AccountId, Amount, ClientId, Command, FeeGroupId, FirmId, MarketId, OrderId, PriceTicks, QtyLots, Seq,
    SessionId, Side, TradeGroupId, TradeId,
};
use serde_json::Value;

use crate::clock::Clock;
use crate::definitions::fees::read_tier;
use crate::definitions::phase_named;
use crate::definitions::rules::{RulesEntry, trading_rules};
use crate::definitions::schedule::{PhaseEntry, ScheduleEntry, market_schedule};
use crate::fault::NodeFault;
use crate::instant;
use crate::ledger::access::Access;
use crate::ledger::proposals::{Order, Wish};

/// What the exchange is told.
#[derive(Subcommand)]
pub(crate) enum ExchangeCommand {
    /// Publish an index price, as an actor with the role price_source.
    PublishPrice(PriceArgs),
    /// Put a market into a phase.
    SetPhase {
        #[command(flatten)]
        order: Order,
        /// The market.
        #[arg(long, value_name = "ID")]
        market: u32,
        /// trading, post_only, pre_open, auction, cancel_only, halt or closed.
        #[arg(long)]
        phase: String,
    },
    /// Set what a market demands beside its definition, all of it: what is not said demands nothing.
    SetRules(RulesArgs),
    /// Set when a market goes into which phase by itself, all of it; without an entry it has no schedule any more.
    SetSchedule(ScheduleArgs),
    /// Set what a group of clients pays in a market; without a tier the group has no schedule any more.
    SetFees(FeesArgs),
    /// Put a client into a fee group.
    SetFeeGroup {
        #[command(flatten)]
        order: Order,
        /// The client.
        #[arg(long, value_name = "ID")]
        client: u64,
        /// The group; 0 = none.
        #[arg(long, value_name = "ID")]
        group: u16,
    },
    /// Put a client into a trade group, whose orders do not trade with each other where they, or the market, say so.
    SetTradeGroup {
        #[command(flatten)]
        order: Order,
        /// The client.
        #[arg(long, value_name = "ID")]
        client: u64,
        /// The group; 0 = none.
        #[arg(long, value_name = "ID")]
        group: u64,
    },
    /// Set when a market maker's orders are pulled, or that it is ready again.
    SetProtection(ProtectionArgs),
    /// Cancel the live orders that are of everything that is named.
    CancelAll(CancelArgs),
    /// Propose to take a trade back, which another actor approves.
    BustTrade(BustArgs),
    /// Propose another price, or a smaller quantity, for a trade.
    CorrectTrade(CorrectArgs),
}

#[derive(Args)]
pub(crate) struct PriceArgs {
    #[command(flatten)]
    order: Order,
    /// The market.
    #[arg(long, value_name = "ID")]
    market: u32,
    /// The price, in ticks.
    #[arg(long, value_name = "TICKS")]
    price: u64,
    /// When it was observed, such as 2026-03-01T12:00:00Z; without it now.
    #[arg(long, value_name = "TIME")]
    observed_at: Option<String>,
    /// How old it may become.
    #[arg(long, value_name = "MILLISECONDS")]
    valid_for_ms: u32,
}

#[derive(Args)]
pub(crate) struct RulesArgs {
    #[command(flatten)]
    order: Order,
    /// The market.
    #[arg(long, value_name = "ID")]
    market: u32,
    #[command(flatten)]
    rules: RulesEntry,
    /// What a client may hold of the base asset, with what its live purchases would add; 0 = anything.
    #[arg(long, value_name = "LOTS", default_value_t = 0)]
    client_position_lots_max: u64,
}

#[derive(Args)]
pub(crate) struct ScheduleArgs {
    #[command(flatten)]
    order: Order,
    /// The market.
    #[arg(long, value_name = "ID")]
    market: u32,
    /// How far its local time is from UTC.
    #[arg(long, value_name = "OFFSET", default_value = "+00:00", allow_hyphen_values = true)]
    utc_offset: String,
    /// DAYS@TIME=PHASE, such as weekdays,short@09:40=pre_open; days are mon to sun, weekdays, daily, short. May be given for each change.
    #[arg(long = "entry", value_name = "ENTRY")]
    entries: Vec<String>,
    /// A day on which the market is closed, such as 2026-10-29. May be given for each.
    #[arg(long = "holiday", value_name = "DATE")]
    holidays: Vec<String>,
    /// A day on which those entries alone count that name short. May be given for each.
    #[arg(long = "short-day", value_name = "DATE")]
    short_days: Vec<String>,
}

#[derive(Args)]
pub(crate) struct FeesArgs {
    #[command(flatten)]
    order: Order,
    /// The market.
    #[arg(long, value_name = "ID")]
    market: u32,
    /// The group; 0 = everybody without one of his own here.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    group: u16,
    /// The first seq for whose orders it counts; 0 = at once.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from_seq: u64,
    /// VOLUME:MAKER:TAKER, from which volume of 30 days on, in minor units of quote, and the fees in millionths of the notional; a maker
    /// who is paid has one below zero. May be given for each tier, the first from 0.
    #[arg(long = "tier", value_name = "TIER", allow_hyphen_values = true)]
    tiers: Vec<String>,
    /// Tax beside the fee, in millionths of it.
    #[arg(long, value_name = "PPM", default_value_t = 0)]
    tax: u32,
}

#[derive(Args)]
pub(crate) struct ProtectionArgs {
    #[command(flatten)]
    order: Order,
    /// Whose; without it the own session's.
    #[arg(long, value_name = "SESSION")]
    of: Option<u32>,
    /// The market.
    #[arg(long, value_name = "ID")]
    market: u32,
    /// Fills of its resting orders in the window; 0 = no protection.
    #[arg(long, value_name = "NUMBER")]
    fills: u32,
    /// Lots of them; 0 = any number.
    #[arg(long, value_name = "LOTS", default_value_t = 0)]
    lots: u64,
    /// How long the window is.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    window_ms: u32,
}

#[derive(Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    order: Order,
    /// Those that this session entered.
    #[arg(long, value_name = "SESSION")]
    of: Option<u32>,
    /// Those of this client.
    #[arg(long, value_name = "ID")]
    client: Option<u64>,
    /// Those in this market.
    #[arg(long, value_name = "ID")]
    market: Option<u32>,
    /// buy or sell.
    #[arg(long)]
    side: Option<String>,
    /// Those that sessions of this member firm entered.
    #[arg(long, value_name = "ID")]
    firm: Option<u32>,
    /// All there are.
    #[arg(long, conflicts_with_all = ["of", "client", "market", "side", "firm"])]
    everything: bool,
}

/// A trade, and who advances what somebody has to give back.
#[derive(Args)]
pub(crate) struct TradeArgs {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    wish: Wish,
    /// The trade.
    #[arg(long, value_name = "ID")]
    trade: u64,
    /// Lines of `sicil replay show DIR --kind Settled --json` with the trade among them; - = standard input.
    #[arg(long, value_name = "FILE")]
    journal: String,
    /// Why: free for the exchange; not 0.
    #[arg(long, value_name = "CODE")]
    reason: u16,
    /// Of class house or suspense, in base: advances what the buyer has no more.
    #[arg(long, value_name = "ACCOUNT", default_value_t = 0)]
    base_receivable: u128,
    /// Likewise in quote, for either.
    #[arg(long, value_name = "ACCOUNT", default_value_t = 0)]
    quote_receivable: u128,
}

#[derive(Args)]
pub(crate) struct BustArgs {
    #[command(flatten)]
    trade: TradeArgs,
}

#[derive(Args)]
pub(crate) struct CorrectArgs {
    #[command(flatten)]
    trade: TradeArgs,
    /// The price from now on, in ticks; without it as it was.
    #[arg(long, value_name = "TICKS")]
    price: Option<u64>,
    /// The quantity from now on, in lots; without it as it was.
    #[arg(long, value_name = "LOTS")]
    qty: Option<u64>,
    /// Price × quantity in quote, in minor units.
    #[arg(long, value_name = "UNITS")]
    notional: u128,
    /// The buyer's fee from now on; without it as it was.
    #[arg(long, value_name = "UNITS")]
    buyer_fee: Option<u128>,
    /// The seller's fee from now on; without it as it was.
    #[arg(long, value_name = "UNITS")]
    seller_fee: Option<u128>,
    /// The tax on the buyer's fee; without it as it was.
    #[arg(long, value_name = "UNITS")]
    buyer_tax: Option<u128>,
    /// The tax on the seller's fee; without it as it was.
    #[arg(long, value_name = "UNITS")]
    seller_tax: Option<u128>,
}

/// Runs the command.
///
/// # Errors
/// [`NodeFault::Refused`] if the engine refused it, [`NodeFault::Usage`] for words that mean nothing.
pub(crate) fn run(command: ExchangeCommand) -> Result<(), NodeFault> {
    match command {
        ExchangeCommand::PublishPrice(args) => give(&args.order, price(&args)?),
        ExchangeCommand::SetPhase { order, market, phase } => {
            let phase = phase_named("phase", &phase).map_err(NodeFault::Usage)?;
            give(&order, SetMarketPhase { market: MarketId(market), phase })
        }
        ExchangeCommand::SetRules(args) => give(&args.order, rules(&args)?),
        ExchangeCommand::SetSchedule(args) => give(&args.order, schedule(&args)?),
        ExchangeCommand::SetFees(args) => give(&args.order, fees(&args)?),
        ExchangeCommand::SetFeeGroup { order, client, group } => {
            give(&order, SetFeeGroup { client: ClientId(client), fee_group: FeeGroupId(group) })
        }
        ExchangeCommand::SetTradeGroup { order, client, group } => {
            give(&order, SetTradeGroup { client: ClientId(client), trade_group: TradeGroupId(group) })
        }
        ExchangeCommand::SetProtection(args) => give(&args.order, protection(&args)),
        ExchangeCommand::CancelAll(args) => give(&args.order, cancel_all(&args)?),
        ExchangeCommand::BustTrade(BustArgs { trade }) => {
            let command = bust(&trade, settled(&trade)?);
            propose(&trade, command)
        }
        ExchangeCommand::CorrectTrade(args) => {
            let command = correct(&args, settled(&args.trade)?);
            propose(&args.trade, command)
        }
    }
}

fn give(order: &Order, command: impl Into<Command>) -> Result<(), NodeFault> {
    order.give(&mut order.access.client()?, command)
}

fn propose(trade: &TradeArgs, command: impl Into<Command>) -> Result<(), NodeFault> {
    trade.wish.make(&trade.access, &mut trade.access.client()?, command)
}

fn price(args: &PriceArgs) -> Result<PublishPrice, NodeFault> {
    let observed_at = match &args.observed_at {
        None => Clock::start().now().wall,
        Some(text) => instant::of_option("--observed-at", text)?,
    };
    Ok(PublishPrice {
        market: MarketId(args.market),
        price_ticks: PriceTicks(args.price),
        observed_at_ns: observed_at.0,
        valid_for_ms: args.valid_for_ms,
    })
}

fn rules(args: &RulesArgs) -> Result<SetTradingRules, NodeFault> {
    let position = QtyLots(args.client_position_lots_max);
    trading_rules(MarketId(args.market), &args.rules, position).map_err(NodeFault::Usage)
}

fn schedule(args: &ScheduleArgs) -> Result<SetMarketSchedule, NodeFault> {
    let phase = |words: &String| {
        let wrong = || NodeFault::Usage(format!("--entry {words:?} is not DAYS@TIME=PHASE"));
        PhaseEntry::of_words(words).ok_or_else(wrong)
    };
    let entry = ScheduleEntry {
        utc_offset: args.utc_offset.clone(),
        holidays: args.holidays.clone(),
        short_days: args.short_days.clone(),
        phases: args.entries.iter().map(phase).collect::<Result<_, _>>()?,
    };
    market_schedule(MarketId(args.market), &entry).map_err(NodeFault::Usage)
}

fn fees(args: &FeesArgs) -> Result<SetFeeSchedule, NodeFault> {
    Ok(SetFeeSchedule {
        market: MarketId(args.market),
        fee_group: FeeGroupId(args.group),
        effective_seq: Seq(args.from_seq),
        tiers: args.tiers.iter().map(|text| tier(text)).collect::<Result<_, _>>()?,
        tax_ppm: args.tax,
    })
}

fn tier(text: &str) -> Result<FeeTier, NodeFault> {
    read_tier(text).ok_or_else(|| NodeFault::Usage(format!("--tier {text:?} is not VOLUME:MAKER:TAKER")))
}

fn protection(args: &ProtectionArgs) -> SetMarketMakerProtection {
    SetMarketMakerProtection {
        request_id: ClOrdId::EMPTY,
        session: args.of.map(SessionId),
        market: MarketId(args.market),
        fills_max: args.fills,
        lots_max: QtyLots(args.lots),
        window_ms: args.window_ms,
    }
}

fn cancel_all(args: &CancelArgs) -> Result<CancelAll, NodeFault> {
    let side = args.side.as_deref().map(|side| match side {
        "buy" => Ok(Side::Buy),
        "sell" => Ok(Side::Sell),
        other => Err(NodeFault::Usage(format!("--side {other:?} is not one of buy, sell"))),
    });
    let command = CancelAll {
        session: args.of.map(SessionId),
        client: args.client.map(ClientId),
        market: args.market.map(MarketId),
        side: side.transpose()?,
        firm: args.firm.map(FirmId),
    };
    let nobody = CancelAll { session: None, client: None, market: None, side: None, firm: None };
    if command == nobody && !args.everything {
        let which = "--of, --client, --market, --side, --firm, or --everything";
        return Err(NodeFault::Usage(format!("which orders? {which}")));
    }
    Ok(command)
}

fn bust(args: &TradeArgs, settled: Settled) -> BustTrade {
    BustTrade {
        settled,
        base_receivable: AccountId(args.base_receivable),
        quote_receivable: AccountId(args.quote_receivable),
        reason: args.reason,
    }
}

fn correct(args: &CorrectArgs, settled: Settled) -> CorrectTrade {
    let amount = |new: Option<u128>, before: Amount| new.map_or(before, Amount);
    CorrectTrade {
        price_ticks: args.price.map_or(settled.price_ticks, PriceTicks),
        qty_lots: args.qty.map_or(settled.qty_lots, QtyLots),
        notional: Amount(args.notional),
        buyer_fee: amount(args.buyer_fee, settled.buyer_fee),
        seller_fee: amount(args.seller_fee, settled.seller_fee),
        buyer_tax: amount(args.buyer_tax, settled.buyer_tax),
        seller_tax: amount(args.seller_tax, settled.seller_tax),
        base_receivable: AccountId(args.trade.base_receivable),
        quote_receivable: AccountId(args.trade.quote_receivable),
        reason: args.trade.reason,
        settled,
    }
}

/// The trade as the journal has it.
fn settled(args: &TradeArgs) -> Result<Settled, NodeFault> {
    let mut text = String::new();
    let read = if args.journal == "-" {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(&args.journal).map(|read| text = read)
    };
    read.map_err(|error| NodeFault::Usage(format!("--journal {}: {error}", args.journal)))?;
    let found = text.lines().find_map(|line| settled_in(line, args.trade));
    found.ok_or_else(|| NodeFault::Usage(format!("--journal {}: no trade {}", args.journal, args.trade)))
}

/// The trade's `Settled` in a line of `sicil replay show --json`.
fn settled_in(line: &str, trade: u64) -> Option<Settled> {
    let record: Value = serde_json::from_str(line).ok()?;
    let events = record.get("events")?.as_array()?.iter();
    let mut settled = events.filter(|event| event.get("kind").is_some_and(|kind| kind == "Settled"));
    settled.find_map(|event| {
        let fields = event.get("fields")?;
        // Numbers that a double cannot hold are written as texts.
        let number = |name: &str| {
            let value = fields.get(name)?;
            value.as_u64().map(u128::from).or_else(|| value.as_str()?.parse().ok())
        };
        let short = |name: &str| u64::try_from(number(name)?).ok();
        let side = fields.get("taker_side")?.as_str()?;
        let read = Settled {
            trade: TradeId(short("trade")?),
            market: MarketId(u32::try_from(number("market")?).ok()?),
            price_ticks: PriceTicks(short("price_ticks")?),
            qty_lots: QtyLots(short("qty_lots")?),
            notional: Amount(number("notional")?),
            maker_order: OrderId(short("maker_order")?),
            taker_order: OrderId(short("taker_order")?),
            taker_side: Side::ALL.iter().copied().find(|known| known.name() == side)?,
            buyer: ClientId(short("buyer")?),
            seller: ClientId(short("seller")?),
            buyer_fee: Amount(number("buyer_fee")?),
            seller_fee: Amount(number("seller_fee")?),
            buyer_tax: Amount(number("buyer_tax")?),
            seller_tax: Amount(number("seller_tax")?),
            maker_is_paid: fields.get("maker_is_paid")?.as_bool()?,
        };
        (read.trade == TradeId(trade)).then_some(read)
    })
}

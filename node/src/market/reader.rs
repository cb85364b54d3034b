//! `sicil market`: market data on the command line, through the client library as any reader.

use std::fmt::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use client::{MarketBook, MarketFault, MarketReader, Subscription};
use protocol::binary::market::{
    AggregateTrade, Candle, Listing, MarketMessage, Order, Status, Ticker, Trade, TradeChange,
};
use protocol::binary::{Fixed, MarketChannel, TradeStatus};
use protocol::book::BookLevel;
use protocol::{MarketId, PhaseCause, PriceTicks, ReferencePrice, Side, TradeId, UnixNanos};

use super::json;
use crate::fault::NodeFault;
use crate::{instant, print};

/// Where a node of this host takes readers of market data, unless it is said otherwise.
const NODE_DEFAULT: &str = "127.0.0.1:9883";
/// Nothing new may come for ever.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);
/// Digits behind the point of what does not come out even.
const DECIMALS_MAX: u32 = 18;

/// What is asked of market data.
#[derive(Subcommand)]
pub(crate) enum MarketCommand {
    /// List the markets.
    List(Access),
    /// Show a market's book, which is held against the node's checksum.
    Book {
        #[command(flatten)]
        access: Access,
        /// Symbol or id.
        market: String,
        /// Levels of each side, of people's view.
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        levels: usize,
        /// Order by order.
        #[arg(long)]
        orders: bool,
        /// Go on with whatever changes, until Ctrl-C.
        #[arg(long)]
        follow: bool,
    },
    /// Show trades, the newest ones unless it is said otherwise.
    Trades {
        #[command(flatten)]
        access: Access,
        /// Symbol or id.
        market: String,
        /// From this trade on.
        #[arg(long, value_name = "ID")]
        from_trade: Option<u64>,
        /// From this instant on, such as 2026-03-01T12:00:00Z.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// At most so many; 1 to 4096.
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        limit: u32,
        /// Those of one price and one record in one row.
        #[arg(long)]
        aggregate: bool,
        /// Go on with those to come, until Ctrl-C.
        #[arg(long)]
        follow: bool,
    },
    /// Show candles: 1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M.
    Candles {
        #[command(flatten)]
        access: Access,
        /// Symbol or id.
        market: String,
        /// How long they are.
        #[arg(long, value_name = "LENGTH", default_value = "1m")]
        interval: String,
        /// Those that open from this instant on.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Those that open until this instant.
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// By which local time intervals begin, such as +03:00.
        #[arg(long, value_name = "OFFSET", default_value = "+00:00", allow_hyphen_values = true)]
        utc_offset: String,
        /// Go on with those that change, by UTC, until Ctrl-C.
        #[arg(long)]
        follow: bool,
    },
    /// Show what was traded lately, in a market or in all of them.
    Ticker {
        #[command(flatten)]
        access: Access,
        /// Symbol or id.
        market: Option<String>,
        /// How far it looks back: 5m, 1h, 4h or 1d.
        #[arg(long, value_name = "LENGTH", default_value = "1d")]
        window: String,
        /// Go on whenever it changes, until Ctrl-C.
        #[arg(long)]
        follow: bool,
    },
    /// Show a market's phase, its auction, its index price and its bounds, or those of all markets.
    Status {
        #[command(flatten)]
        access: Access,
        /// Symbol or id.
        market: Option<String>,
        /// Go on whenever it changes, until Ctrl-C.
        #[arg(long)]
        follow: bool,
    },
}

/// Where, and how the answer is shown.
#[derive(Args)]
pub(crate) struct Access {
    /// A node of the cluster, where it takes readers of market data; may be given for each of them.
    #[arg(long = "addr", value_name = "HOST:PORT", default_value = NODE_DEFAULT)]
    nodes: Vec<String>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// [`NodeFault`].
pub(crate) fn run(command: MarketCommand) -> Result<(), NodeFault> {
    match command {
        MarketCommand::List(access) => access.list(),
        MarketCommand::Book { access, market, levels, orders, follow } => {
            access.book(&market, levels, orders, follow)
        }
        MarketCommand::Trades { access, market, from_trade, from, limit, aggregate, follow } => {
            let from = from.as_deref().map(instant_of).transpose()?;
            if follow {
                return access.follow_trades(&market, aggregate);
            }
            access.trades(&market, (from_trade.map(TradeId), from), limit, aggregate)
        }
        MarketCommand::Candles { access, market, interval, from, to, utc_offset, follow } => {
            let from = from.as_deref().map_or(Ok(UnixNanos(0)), instant_of)?;
            let to = to.as_deref().map_or(Ok(UnixNanos(u64::MAX)), instant_of)?;
            access.candles(&market, &interval, offset_of(&utc_offset)?, (from, to), follow)
        }
        MarketCommand::Ticker { access, market, window, follow } => {
            access.ticker(market.as_deref(), &window, follow)
        }
        MarketCommand::Status { access, market, follow } => access.status(market.as_deref(), follow),
    }
}

impl Access {
    /// A reader, and the market that is meant.
    fn at(&self, market: &str) -> Result<(MarketReader, Units), NodeFault> {
        let mut reader = MarketReader::connect(&self.nodes)?;
        let id = market.parse().ok().map(MarketId);
        let markets = reader.markets()?;
        let found = markets
            .into_iter()
            .find(|listing| listing.symbol.as_bytes() == market.as_bytes() || Some(listing.market) == id);
        let found = found.ok_or_else(|| NodeFault::Usage(format!("there is no market {market:?}")))?;
        Ok((reader, Units(found)))
    }

    /// Prints rows, for people as `line` says.
    fn rows<R: Fixed>(&self, rows: &[R], line: impl Fn(&R) -> String) -> Result<(), NodeFault> {
        let shown = rows.iter().map(|row| if self.json { json::row(row) } else { line(row) } + "\n");
        print(&shown.collect::<String>())
    }

    fn list(&self) -> Result<(), NodeFault> {
        let markets = MarketReader::connect(&self.nodes)?.markets()?;
        self.rows(&markets, |market| {
            let Listing { market: id, symbol, base_code, quote_code, .. } = market;
            let units = Units(*market);
            let (tick, lot) = (units.price(PriceTicks(1)), units.quantity(1));
            format!("{:>4}  {symbol:<16} {base_code} for {quote_code}, tick {tick}, lot {lot}", id.0)
        })
    }

    fn book(&self, market: &str, levels: usize, orders: bool, follow: bool) -> Result<(), NodeFault> {
        let (mut reader, units) = self.at(market)?;
        let channel = if orders { MarketChannel::Orders } else { MarketChannel::Levels };
        reader.subscribe(Subscription::new(units.0.market, channel), None)?;
        let mut book = MarketBook::default();
        self.live(&mut reader, follow, |message| {
            let is_whole = book.take(message).map_err(MarketFault::from)?;
            if self.json {
                return Ok((Some(json::message(message)), is_whole));
            }
            Ok((is_whole.then(|| units.book(&book, levels)), is_whole))
        })
    }

    fn trades(
        &self,
        market: &str,
        (from_trade, from): (Option<TradeId>, Option<UnixNanos>),
        limit: u32,
        aggregate: bool,
    ) -> Result<(), NodeFault> {
        let (mut reader, units) = self.at(market)?;
        if aggregate {
            let trades = reader.aggregate_trades(units.0.market, from_trade, from, limit)?;
            return self.rows(&trades, |trade| units.aggregate_trade(trade));
        }
        let trades = reader.trades(units.0.market, from_trade, from, limit)?;
        self.rows(&trades, |trade| units.trade(trade))
    }

    fn follow_trades(&self, market: &str, aggregate: bool) -> Result<(), NodeFault> {
        let (mut reader, units) = self.at(market)?;
        let channel = if aggregate { MarketChannel::AggregateTrades } else { MarketChannel::Trades };
        reader.subscribe(Subscription::new(units.0.market, channel), None)?;
        self.live(&mut reader, true, |message| {
            if self.json {
                return Ok((Some(json::message(message)), true));
            }
            let lines: Vec<String> = if let MarketMessage::TradesPacket(packet) = message {
                packet.trades.iter().map(|trade| units.trade(&trade)).collect()
            } else if let MarketMessage::AggregateTradesPacket(packet) = message {
                packet.trades.iter().map(|trade| units.aggregate_trade(&trade)).collect()
            } else if let MarketMessage::TradesChangedPacket(packet) = message {
                packet.changes.iter().map(|change| units.trade_change(&change)).collect()
            } else {
                return Ok((None, false));
            };
            Ok((Some(lines.join("\n")), true))
        })
    }

    fn candles(
        &self,
        market: &str,
        interval: &str,
        utc_offset_s: i32,
        span: (UnixNanos, UnixNanos),
        follow: bool,
    ) -> Result<(), NodeFault> {
        let interval = json::interval_of(interval).map_err(NodeFault::Usage)?;
        let (mut reader, units) = self.at(market)?;
        if follow {
            let to = Subscription::new(units.0.market, MarketChannel::Candles);
            reader.subscribe(Subscription { interval: Some(interval), ..to }, None)?;
            return self.live(&mut reader, true, |message| {
                let MarketMessage::CandlesPacket(packet) = message else { return Ok((None, false)) };
                if self.json {
                    return Ok((Some(json::message(message)), true));
                }
                let lines: Vec<String> = packet.candles.iter().map(|candle| units.candle(&candle)).collect();
                Ok((Some(lines.join("\n")), true))
            });
        }
        let found = reader.candles(units.0.market, interval, utc_offset_s, span)?;
        if !self.json && found.candles.first().is_some_and(|first| first.open_time < found.complete_from) {
            print(&format!("complete from {} on\n", instant::write(found.complete_from)))?;
        }
        self.rows(&found.candles, |candle| units.candle(candle))
    }

    /// A reader, the market that is meant or all of them, and what is known of these.
    fn at_any(&self, market: Option<&str>) -> Result<(MarketReader, Option<MarketId>, Listings), NodeFault> {
        if let Some(market) = market {
            let (reader, units) = self.at(market)?;
            return Ok((reader, Some(units.0.market), Listings(vec![units.0])));
        }
        let mut reader = MarketReader::connect(&self.nodes)?;
        let markets = reader.markets()?;
        Ok((reader, None, Listings(markets)))
    }

    fn ticker(&self, market: Option<&str>, window: &str, follow: bool) -> Result<(), NodeFault> {
        let window = json::window_of(window).map_err(NodeFault::Usage)?;
        let (mut reader, market, markets) = self.at_any(market)?;
        if !follow {
            let tickers = reader.tickers(window, market)?;
            return self.rows(&tickers, |ticker| markets.ticker(ticker));
        }
        let to = Subscription::new(market.unwrap_or(MarketId(0)), MarketChannel::Ticker);
        reader.subscribe(Subscription { window: Some(window), ..to }, None)?;
        self.live(&mut reader, true, |message| {
            let lines: Vec<String> = if let MarketMessage::TickerPacket(packet) = message {
                packet.tickers.iter().map(|ticker| markets.ticker(&ticker)).collect()
            } else if let MarketMessage::TickersPacket(packet) = message {
                packet.tickers.iter().map(|ticker| markets.ticker(&ticker)).collect()
            } else {
                return Ok((None, false));
            };
            Ok((Some(if self.json { json::message(message) } else { lines.join("\n") }), true))
        })
    }

    fn status(&self, market: Option<&str>, follow: bool) -> Result<(), NodeFault> {
        let (mut reader, market, markets) = self.at_any(market)?;
        if !follow {
            let statuses = reader.status(market)?;
            return self.rows(&statuses, |status| markets.status(status));
        }
        reader.subscribe(Subscription::new(market.unwrap_or(MarketId(0)), MarketChannel::Status), None)?;
        self.live(&mut reader, true, |message| {
            let lines: Vec<String> = if let MarketMessage::StatusPacket(packet) = message {
                packet.statuses.iter().map(|status| markets.status(&status)).collect()
            } else if let MarketMessage::StatusesPacket(packet) = message {
                packet.statuses.iter().map(|status| markets.status(&status)).collect()
            } else {
                return Ok((None, false));
            };
            Ok((Some(if self.json { json::message(message) } else { lines.join("\n") }), true))
        })
    }

    /// Prints what `show` makes of each message, until it says that this is all; for ever, if the reader follows.
    fn live(
        &self,
        reader: &mut MarketReader,
        follow: bool,
        mut show: impl FnMut(&MarketMessage<'_>) -> Result<(Option<String>, bool), MarketFault>,
    ) -> Result<(), NodeFault> {
        loop {
            let Some(message) = reader.next(FOR_EVER)? else { continue };
            if let MarketMessage::MarketReject(reject) = message {
                let (reason, text) = (reject.reason, reject.text.as_str().to_owned());
                return Err(MarketFault::Rejected { reason, text }.into());
            }
            if let MarketMessage::SubscriptionEnded(ended) = message {
                return Err(NodeFault::Admin(format!("the subscription ended: {}", ended.code.name())));
            }
            if matches!(message, MarketMessage::Subscribed(_) | MarketMessage::MarketHeartbeat(_)) {
                continue;
            }
            let (line, is_all) = show(&message)?;
            if let Some(line) = line {
                print(&(line + "\n"))?;
            }
            if is_all && !follow {
                return Ok(());
            }
        }
    }
}

/// What is known of markets: one that was defined later has no line.
struct Listings(Vec<Listing>);

impl Listings {
    fn units(&self, market: MarketId) -> Option<Units> {
        self.0.iter().find(|listing| listing.market == market).map(|listing| Units(*listing))
    }

    fn ticker(&self, ticker: &Ticker) -> String {
        self.units(ticker.market).map_or_else(String::new, |units| units.ticker(ticker))
    }

    fn status(&self, status: &Status) -> String {
        self.units(status.market).map_or_else(String::new, |units| units.status(status))
    }
}

/// A market's numbers as people write them.
pub(crate) struct Units(pub(crate) Listing);

impl Units {
    /// A book as books are drawn: the best prices meet in the middle.
    pub(crate) fn book(&self, book: &MarketBook, levels: usize) -> String {
        let seq = book.seq().unwrap_or_default();
        let mut lines = format!("{} behind seq {seq}, checksum {:08x}", self.0.symbol, book.checksum());
        let mut line = |name: &str, level: &BookLevel| {
            let (price, quantity) = (self.price(level.price_ticks), self.quantity(level.lots));
            // Writing into a string does not fail.
            write!(lines, "\n  {name} {price:>20} {quantity:>20}  {:>6}", level.orders).unwrap_or_default();
            for order in book.orders(if name == "ask" { Side::Sell } else { Side::Buy }) {
                let Order { order, price_ticks, qty_lots, .. } = order;
                if price_ticks == level.price_ticks {
                    let quantity = self.quantity(qty_lots.0.into());
                    write!(lines, "\n  {:>24} {quantity:>20}  order {order}", "").unwrap_or_default();
                }
            }
        };
        let asks: Vec<BookLevel> = book.levels(Side::Sell).take(levels).collect();
        asks.iter().rev().for_each(|level| line("ask", level));
        book.levels(Side::Buy).take(levels).for_each(|level| line("bid", &level));
        lines
    }

    /// Of one unit of base, in units of quote.
    fn price(&self, ticks: PriceTicks) -> String {
        let Listing { base_scale, quote_scale, lot_base_minor, tick_quote_minor, .. } = self.0;
        let above = u128::from(ticks.0)
            .checked_mul(tick_quote_minor.0)
            .and_then(|above| above.checked_mul(10_u128.checked_pow(base_scale.into())?));
        let below =
            10_u128.checked_pow(quote_scale.into()).and_then(|below| below.checked_mul(lot_base_minor.0));
        above.zip(below).and_then(|(above, below)| quotient(above, below)).unwrap_or(format!("{ticks} ticks"))
    }

    /// In units of base.
    fn quantity(&self, lots: u128) -> String {
        let above = lots.checked_mul(self.0.lot_base_minor.0);
        let below = 10_u128.checked_pow(self.0.base_scale.into());
        above.zip(below).and_then(|(above, below)| quotient(above, below)).unwrap_or(format!("{lots} lots"))
    }

    fn trade(&self, trade: &Trade) -> String {
        let (time, id) = (instant::write(trade.time), trade.trade);
        let (price, quantity) = (self.price(trade.price_ticks), self.quantity(trade.qty_lots.0.into()));
        let status = said_of(trade.status);
        format!("{time:<30} {id:>10} {:<4} {price:>20} {quantity:>20}{status}", trade.taker_side.name())
    }

    fn aggregate_trade(&self, trade: &AggregateTrade) -> String {
        let (time, first, last) = (instant::write(trade.time), trade.first_trade, trade.last_trade);
        let (price, quantity) = (self.price(trade.price_ticks), self.quantity(trade.qty_lots));
        let ids = if first == last { first.to_string() } else { format!("{first}-{last}") };
        format!("{time:<30} {ids:>20} {:<4} {price:>20} {quantity:>20}", trade.taker_side.name())
    }

    fn trade_change(&self, change: &TradeChange) -> String {
        let (time, id, status) = (instant::write(change.time), change.trade, said_of(change.status));
        let price = self.price(change.price_ticks_before);
        let quantity = self.quantity(change.qty_lots_before.0.into());
        let now = match change.status {
            TradeStatus::Corrected => {
                let (price, quantity) =
                    (self.price(change.price_ticks), self.quantity(change.qty_lots.0.into()));
                format!(": {price} {quantity}")
            }
            TradeStatus::Made | TradeStatus::Busted => String::new(),
        };
        format!("{time:<30} {id:>10}      {price:>20} {quantity:>20}{status}{now}")
    }

    /// What is there of it, a line each.
    fn status(&self, status: &Status) -> String {
        let mut lines = format!("{:<16} {}", self.0.symbol, status.phase.name());
        if let Some(cause) = status.phase_cause {
            let (since, cause) = (instant::write(status.phase_time), cause_of(cause));
            lines += &format!(" since {since}, by {cause} (seq {})", status.phase_seq);
        }
        if status.indicative_price_ticks > PriceTicks(0) {
            let (price, lots) = (self.price(status.indicative_price_ticks), status.indicative_lots);
            lines += &format!("\n  would trade {} at {price}", self.quantity(lots));
        }
        for (what, lots) in [("bid for", status.surplus_buy_lots), ("offered", status.surplus_sell_lots)] {
            if lots > 0 {
                lines += &format!(", {} more is {what}", self.quantity(lots));
            }
        }
        if status.auction_trades > 0 {
            let (price, lots) = (self.price(status.auction_price_ticks), self.quantity(status.auction_lots));
            let time = instant::write(status.auction_time);
            lines +=
                &format!("\n  last auction: {lots} at {price} in {} trades, {time}", status.auction_trades);
        }
        if status.index_price_ticks > PriceTicks(0) {
            let (price, until) =
                (self.price(status.index_price_ticks), instant::write(status.index_valid_until));
            lines += &format!("\n  index {price}, until {until}");
        }
        let bounds = [
            ("purchases above", status.buy_above_ppm),
            ("purchases below", status.buy_below_ppm),
            ("sales above", status.sell_above_ppm),
            ("sales below", status.sell_below_ppm),
            ("trades beyond", status.collar_ppm),
        ];
        let around = match status.reference {
            ReferencePrice::LastTrade => "the last trade",
            ReferencePrice::Index => "the index",
        };
        for (what, ppm) in bounds.into_iter().filter(|(_, ppm)| *ppm > 0) {
            lines += &format!("\n  no {what} {ppm} ppm of {around}");
        }
        lines
    }

    /// One line.
    pub(crate) fn candle(&self, candle: &Candle) -> String {
        let prices = [candle.open_ticks, candle.high_ticks, candle.low_ticks, candle.close_ticks];
        let [open, high, low, close] = prices.map(|ticks| self.price(ticks));
        let (time, volume) = (instant::write(candle.open_time), self.quantity(candle.volume_lots));
        format!("{time:<20} {open:>14} {high:>14} {low:>14} {close:>14} {volume:>16} {:>8}", candle.trades)
    }

    /// One line.
    pub(crate) fn ticker(&self, ticker: &Ticker) -> String {
        let (symbol, volume) = (self.0.symbol, self.quantity(ticker.volume_lots));
        let prices = [ticker.open_ticks, ticker.high_ticks, ticker.low_ticks, ticker.last_ticks];
        let [open, high, low, last] = prices.map(|ticks| self.price(ticks));
        format!(
            "{symbol:<16} last {last} (open {open}, high {high}, low {low}), volume {volume} in {} trades",
            ticker.trades
        )
    }
}

/// Behind a trade of which something became.
const fn said_of(status: TradeStatus) -> &'static str {
    match status {
        TradeStatus::Made => "",
        TradeStatus::Corrected => "  corrected",
        TradeStatus::Busted => "  busted",
    }
}

const fn cause_of(cause: PhaseCause) -> &'static str {
    match cause {
        PhaseCause::Command => "command",
        PhaseCause::Schedule => "schedule",
        PhaseCause::Volatility => "volatility",
    }
}

/// A quotient in decimals, as far as they go.
fn quotient(above: u128, below: u128) -> Option<String> {
    let (whole, mut rest) = (above.checked_div(below)?, above.checked_rem(below)?);
    let mut digits = String::new();
    for _ in 0..DECIMALS_MAX {
        if rest == 0 {
            break;
        }
        rest = rest.checked_mul(10)?;
        write!(digits, "{}", rest / below).ok()?;
        rest %= below;
    }
    Some(if digits.is_empty() { whole.to_string() } else { format!("{whole}.{digits}") })
}

fn instant_of(text: &str) -> Result<UnixNanos, NodeFault> {
    instant::read(text)
        .ok_or_else(|| NodeFault::Usage(format!("{text:?} is no instant, such as 2026-03-01T12:00:00Z")))
}

/// Seconds ahead of UTC of `+03:00` or `-09:30`.
fn offset_of(text: &str) -> Result<i32, NodeFault> {
    let read = || {
        let (sign, rest) = text.split_at_checked(1)?;
        let sign = match sign {
            "+" => 1,
            "-" => -1,
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let is_number = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(hours) || !is_number(minutes) {
            return None;
        }
        let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
        (minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
    };
    read().ok_or_else(|| NodeFault::Usage(format!("{text:?} is no offset from UTC, such as +03:00")))
}

#[cfg(test)]
mod tests {
    use protocol::{Amount, AssetId, Text};

    use super::*;

    #[test]
    fn ticks_and_lots_are_what_people_write() {
        let units = |lot: u128, tick: u128| {
            Units(Listing {
                market: MarketId(1),
                symbol: Text::truncated("BTC-TRY"),
                base_asset: AssetId(1),
                base_code: Text::truncated("BTC"),
                base_scale: 8,
                quote_asset: AssetId(2),
                quote_code: Text::truncated("TRY"),
                quote_scale: 2,
                lot_base_minor: Amount(lot),
                tick_quote_minor: Amount(tick),
            })
        };
        // A lot is 0.0001 BTC; at a price of one tick it costs a kuruş: 100 lira for one BTC.
        assert_eq!(units(10_000, 1).price(PriceTicks(42_000)), "4200000");
        assert_eq!(units(10_000, 1).quantity(1), "0.0001");
        assert_eq!(units(10_000_000, 1).price(PriceTicks(3)), "0.3");
        assert_eq!(units(3, 1).price(PriceTicks(1)), "333333.333333333333333333");
        assert_eq!(units(u128::MAX, 1).price(PriceTicks(1)), "1 ticks");
        assert_eq!(units(u128::MAX, 1).quantity(2), "2 lots");
    }

    #[test]
    fn an_offset_is_hours_and_minutes() {
        for (text, seconds) in [("+00:00", 0), ("+03:00", 10_800), ("-09:30", -34_200), ("+14:00", 50_400)] {
            assert_eq!(offset_of(text).unwrap(), seconds);
        }
        for text in ["", "3", "03:00", "+3:00", "+03:60", "+03", "é03:00", "+0a:00"] {
            assert!(offset_of(text).is_err(), "{text}");
        }
    }
}

//! Market data as messages of the binary protocol.

use protocol::binary::market::{
    self as wire, AggregateTradesPacket, CandlesPacket, DEPTH_ROWS_MAX, DepthPacket, LevelsChangedPacket,
    LevelsPacket, OrdersChangedPacket, OrdersPacket, StatusPacket, StatusesPacket, TickerPacket,
    TickersPacket, TradesChangedPacket, TradesPacket,
};
use protocol::binary::{CandleInterval, Fixed, MarketChannel, OrderChangeKind, Rows, TickerWindow};
use protocol::book::BookLevel;
use protocol::limits::MARKET_DATA_ROWS_MAX;
use protocol::{MarketId, PriceTicks, QtyLots, Seq, Side, TradeId, UnixNanos};

use super::book::RestingOrder;
use super::candles::{Candle, Interval};
use super::changes::{OrderAction, OrderChange};
use super::packet::{Body, Packet, Stamp};
use super::status::Status;
use super::subscription::{Channel, Depth};
use super::ticker::{Ticker, Window};
use super::trades::{AggregateTrade, Trade, TradeChange};

/// Both lists name the same lengths and windows, in the same order.
const _: () = assert!(CandleInterval::ALL.len() == Interval::ALL.len());
const _: () = assert!(TickerWindow::ALL.len() == Window::ALL.len());

/// What stands at the same place in another list.
fn counterpart<A: PartialEq, B: Copy>(of: &A, all: &[A], others: &[B], first: B) -> B {
    let place = all.iter().position(|one| one == of);
    place.and_then(|place| others.get(place)).copied().unwrap_or(first)
}

impl Interval {
    /// As messages write it.
    #[must_use]
    pub fn on_the_wire(self) -> CandleInterval {
        counterpart(&self, &Self::ALL, CandleInterval::ALL, CandleInterval::Second)
    }

    /// Of a message.
    #[must_use]
    pub fn from_wire(interval: CandleInterval) -> Self {
        counterpart(&interval, CandleInterval::ALL, &Self::ALL, Self::Second)
    }
}

impl Window {
    /// As messages write it.
    #[must_use]
    pub fn on_the_wire(self) -> TickerWindow {
        counterpart(&self, &Self::ALL, TickerWindow::ALL, TickerWindow::FiveMinutes)
    }

    /// Of a message.
    #[must_use]
    pub fn from_wire(window: TickerWindow) -> Self {
        counterpart(&window, TickerWindow::ALL, &Self::ALL, Self::FiveMinutes)
    }
}

impl Channel {
    /// Of a message.
    ///
    /// # Errors
    /// The name of the field that is lacking, or has no meaning there.
    pub fn from_wire(
        channel: MarketChannel,
        window: Option<TickerWindow>,
        interval: Option<CandleInterval>,
    ) -> Result<Self, &'static str> {
        let found = match channel {
            MarketChannel::Top => Self::Depth(Depth::Top),
            MarketChannel::Depth5 => Self::Depth(Depth::Five),
            MarketChannel::Depth10 => Self::Depth(Depth::Ten),
            MarketChannel::Depth20 => Self::Depth(Depth::Twenty),
            MarketChannel::Levels => Self::Levels,
            MarketChannel::Orders => Self::Orders,
            MarketChannel::Trades => Self::Trades,
            MarketChannel::AggregateTrades => Self::AggregateTrades,
            MarketChannel::Ticker => Self::Ticker(Window::from_wire(window.ok_or("window")?)),
            MarketChannel::Candles => Self::Candles(Interval::from_wire(interval.ok_or("interval")?)),
            MarketChannel::Status => Self::Status,
        };
        if window.is_some() && channel != MarketChannel::Ticker {
            return Err("window");
        }
        if interval.is_some() && channel != MarketChannel::Candles {
            return Err("interval");
        }
        Ok(found)
    }
}

fn level(side: Side, level: &BookLevel) -> wire::Level {
    let &BookLevel { price_ticks, lots, orders } = level;
    wire::Level { side, price_ticks, lots, orders }
}

fn order(resting: &RestingOrder) -> wire::Order {
    let &RestingOrder { order, side, price_ticks, qty_lots } = resting;
    wire::Order { order, side, price_ticks, qty_lots }
}

fn change(change: &OrderChange) -> wire::OrderChange {
    let &OrderChange { seq, time, order, side, price_ticks, left_lots, action } = change;
    let (kind, trade, traded_lots) = match action {
        OrderAction::Added => (OrderChangeKind::Added, TradeId(0), QtyLots(0)),
        OrderAction::Reduced => (OrderChangeKind::Reduced, TradeId(0), QtyLots(0)),
        OrderAction::Removed => (OrderChangeKind::Removed, TradeId(0), QtyLots(0)),
        OrderAction::Refilled => (OrderChangeKind::Refilled, TradeId(0), QtyLots(0)),
        OrderAction::Executed { trade, qty_lots } => (OrderChangeKind::Executed, trade, qty_lots),
    };
    wire::OrderChange { seq, time, order, side, kind, price_ticks, left_lots, trade, traded_lots }
}

pub(super) fn trade(trade: &Trade) -> wire::Trade {
    let &Trade { trade, price_ticks, qty_lots, notional, taker_side, seq, time, status } = trade;
    wire::Trade { trade, price_ticks, qty_lots, notional, taker_side, seq, time, status }
}

pub(super) fn aggregate_trade(trade: &AggregateTrade) -> wire::AggregateTrade {
    let &AggregateTrade { first, last, trades, price_ticks, qty_lots, notional, taker_side, seq, time } =
        trade;
    let (first_trade, last_trade) = (first, last);
    wire::AggregateTrade {
        first_trade,
        last_trade,
        trades,
        price_ticks,
        qty_lots,
        notional,
        taker_side,
        seq,
        time,
    }
}

pub(super) fn trade_change(change: &TradeChange) -> wire::TradeChange {
    let &TradeChange { seq, time, trade, made_at: _, status, before, now, reason } = change;
    let (price_ticks_before, qty_lots_before, notional_before) = before;
    let (price_ticks, qty_lots, notional) = now;
    wire::TradeChange {
        seq,
        time,
        trade,
        status,
        price_ticks_before,
        qty_lots_before,
        notional_before,
        price_ticks,
        qty_lots,
        notional,
        reason,
    }
}

pub(super) fn status(market: MarketId, status: &Status) -> wire::Status {
    let Status { phase, begun, indicated, auction, index, rules } = status;
    wire::Status {
        market,
        phase: *phase,
        phase_cause: begun.map(|begun| begun.cause),
        phase_seq: begun.map_or(Seq::ZERO, |begun| begun.seq),
        phase_time: begun.map_or(UnixNanos(0), |begun| begun.time),
        indicative_price_ticks: indicated.as_ref().map_or(PriceTicks(0), |indicated| indicated.price_ticks),
        indicative_lots: indicated.as_ref().map_or(0, |indicated| indicated.lots),
        surplus_buy_lots: status.surplus_lots(Side::Buy),
        surplus_sell_lots: status.surplus_lots(Side::Sell),
        auction_price_ticks: auction.map_or(PriceTicks(0), |auction| auction.price_ticks),
        auction_lots: auction.map_or(0, |auction| auction.lots),
        auction_trades: auction.map_or(0, |auction| auction.trades),
        auction_seq: auction.map_or(Seq::ZERO, |auction| auction.seq),
        auction_time: auction.map_or(UnixNanos(0), |auction| auction.time),
        index_price_ticks: index.as_ref().map_or(PriceTicks(0), |index| index.price_ticks),
        index_observed_at: UnixNanos(index.as_ref().map_or(0, |index| index.observed_at_ns)),
        index_valid_until: UnixNanos(index.as_ref().map_or(0, |index| index.valid_until_ns)),
        reference: rules.reference,
        buy_above_ppm: rules.buy_above_ppm,
        buy_below_ppm: rules.buy_below_ppm,
        sell_above_ppm: rules.sell_above_ppm,
        sell_below_ppm: rules.sell_below_ppm,
        collar_ppm: rules.collar_ppm,
    }
}

pub(super) fn candle(candle: &Candle) -> wire::Candle {
    wire::Candle {
        open_time: candle.open_time,
        open_ticks: candle.open,
        high_ticks: candle.high,
        low_ticks: candle.low,
        close_ticks: candle.close,
        volume_lots: candle.volume_lots,
        volume_ticks_lots: candle.ticks_lots,
        notional: candle.notional,
        trades: candle.trades,
    }
}

pub(super) fn ticker(market: MarketId, ticker: &Ticker) -> wire::Ticker {
    wire::Ticker {
        market,
        open_time: ticker.open_time,
        open_ticks: ticker.open,
        high_ticks: ticker.high,
        low_ticks: ticker.low,
        last_ticks: ticker.last,
        volume_lots: ticker.volume_lots,
        volume_ticks_lots: ticker.ticks_lots,
        notional: ticker.notional,
        trades: ticker.trades,
    }
}

/// Rows, one behind the other.
pub(super) fn rows<R: Fixed>(rows: impl Iterator<Item = R>) -> Vec<u8> {
    let mut bytes = Vec::new();
    rows.for_each(|row| row.put(&mut bytes));
    bytes
}

/// A group of what [`rows`] wrote, which is not more than fits.
pub(super) fn group<R: Fixed, const MAX: usize>(bytes: &[u8]) -> Rows<'_, R, MAX> {
    Rows::new(bytes).unwrap_or_default()
}

/// Hands `message` the rows in parts that fit a message each, and whether there are more; at least one.
fn in_parts<R: Fixed>(bytes: &[u8], mut message: impl FnMut(Rows<'_, R, MARKET_DATA_ROWS_MAX>, bool)) {
    let (mut rest, most) = (bytes, R::BYTES * MARKET_DATA_ROWS_MAX);
    loop {
        let (part, behind) = rest.split_at(rest.len().min(most));
        message(group(part), !behind.is_empty());
        if behind.is_empty() {
            return;
        }
        rest = behind;
    }
}

/// Both sides, as they stand in a message.
fn sides(bids: &[BookLevel], asks: &[BookLevel]) -> Vec<u8> {
    rows(bids.iter().map(|bid| level(Side::Buy, bid)).chain(asks.iter().map(|ask| level(Side::Sell, ask))))
}

/// Appends a packet of subscription `number`.
pub(super) fn packet(number: u32, packet: &Packet, out: &mut Vec<u8>) {
    let Stamp { market, seq, time, changed, book_checksum } = packet.stamp;
    match &packet.body {
        Body::Depth { bids, asks } => {
            let levels = sides(bids, asks);
            let levels = group::<_, DEPTH_ROWS_MAX>(&levels);
            DepthPacket { number, market, seq, time, changed, book_checksum, levels }.write(out);
        }
        Body::Levels { bids, asks } => in_parts(&sides(bids, asks), |levels, more| {
            LevelsPacket { number, market, seq, time, changed, book_checksum, more, levels }.write(out);
        }),
        &Body::LevelsChanged { first, ref levels } => {
            let levels = rows(levels.iter().map(|(side, at)| level(*side, at)));
            in_parts(&levels, |levels, more| {
                LevelsChangedPacket {
                    number,
                    market,
                    seq,
                    time,
                    changed,
                    book_checksum,
                    first,
                    more,
                    levels,
                }
                .write(out);
            });
        }
        Body::Orders { orders } => in_parts(&rows(orders.iter().map(order)), |orders, more| {
            OrdersPacket { number, market, seq, time, changed, book_checksum, more, orders }.write(out);
        }),
        &Body::OrdersChanged { first, ref changes } => {
            in_parts(&rows(changes.iter().map(change)), |changes, more| {
                OrdersChangedPacket {
                    number,
                    market,
                    seq,
                    time,
                    changed,
                    book_checksum,
                    first,
                    more,
                    changes,
                }
                .write(out);
            });
        }
        body @ (Body::Trades { .. }
        | Body::AggregateTrades { .. }
        | Body::TradesChanged { .. }
        | Body::Status(_)
        | Body::Ticker(_)
        | Body::Candles { .. }) => trading(number, &packet.stamp, body, out),
        Body::Tickers { window, tickers } => {
            let (window, found) =
                (window.on_the_wire(), tickers.iter().map(|(id, found)| ticker(*id, found)));
            let tickers = rows(found);
            TickersPacket { number, seq, time, window, tickers: group(&tickers) }.write(out);
        }
        Body::Statuses(statuses) => {
            let statuses = rows(statuses.iter().map(|(id, found)| status(*id, found)));
            StatusesPacket { number, seq, time, statuses: group(&statuses) }.write(out);
        }
    }
}

/// As [`packet`], of what is no book.
fn trading(number: u32, stamp: &Stamp, body: &Body, out: &mut Vec<u8>) {
    let &Stamp { market, seq, time, changed, book_checksum } = stamp;
    match body {
        Body::Depth { .. }
        | Body::Levels { .. }
        | Body::LevelsChanged { .. }
        | Body::Orders { .. }
        | Body::OrdersChanged { .. }
        | Body::Tickers { .. }
        | Body::Statuses(_) => {}
        &Body::Trades { missed, ref trades } => {
            let trades = rows(trades.iter().map(trade));
            let trades = group(&trades);
            TradesPacket { number, market, seq, time, changed, book_checksum, missed, trades }.write(out);
        }
        &Body::AggregateTrades { missed, ref trades } => {
            let trades = rows(trades.iter().map(aggregate_trade));
            let trades = group(&trades);
            AggregateTradesPacket { number, market, seq, time, changed, book_checksum, missed, trades }
                .write(out);
        }
        &Body::TradesChanged { missed, ref changes } => {
            let changes = rows(changes.iter().map(trade_change));
            let changes = group(&changes);
            TradesChangedPacket { number, market, seq, time, changed, book_checksum, missed, changes }
                .write(out);
        }
        Body::Status(found) => {
            let found = rows([status(market, found)].into_iter());
            let statuses = group(&found);
            StatusPacket { number, market, seq, time, changed, book_checksum, statuses }.write(out);
        }
        Body::Ticker(found) => {
            let (window, found) = (found.window.on_the_wire(), rows([ticker(market, found)].into_iter()));
            let tickers = group(&found);
            TickerPacket { number, market, seq, time, changed, book_checksum, window, tickers }.write(out);
        }
        Body::Candles { interval, candles } => {
            let (interval, candles) = (interval.on_the_wire(), rows(candles.iter().map(candle)));
            let candles = group(&candles);
            CandlesPacket { number, market, seq, time, changed, book_checksum, interval, candles }.write(out);
        }
    }
}

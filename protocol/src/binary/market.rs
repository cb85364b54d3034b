//! Market data: what a reader asks for, and what it gets. Nobody logs on, and nobody is named.
//!
//! Their messages have the headers and the schema of the others, and a port of their own, where none but these are taken. What they
//! mean is said in docs/MATCHING.md, "Market data".

use super::codes::{
    CandleInterval, MarketChannel, MarketRejectReason, OrderChangeKind, SubscriptionEnd, TerminationCode,
    TickerWindow,
};
use super::fields::{Rows, Words};
use super::macros::{messages, rows};
use super::{BinaryFault, headers};
use crate::limits::{
    ASSET_CODE_BYTES_MAX, CANDLE_ROWS_MAX, MARKET_DATA_ROWS_MAX, MARKETS_MAX, SYMBOL_BYTES_MAX,
};
use crate::{Amount, AssetId, MarketId, OrderId, PriceTicks, QtyLots, Seq, Side, Text, TradeId, UnixNanos};

/// Levels of both sides in the deepest packet of best levels.
pub const DEPTH_ROWS_MAX: usize = 40;
/// Bytes of the longest message that a reader sends, headers included.
pub const READER_MESSAGE_BYTES_MAX: usize = 64;

rows! {
    /// What rests at one price.
    pub struct Level {
        /// Its side.
        pub side: Side,
        /// The price.
        pub price_ticks: PriceTicks,
        /// Visible lots, summed; 0 = nothing rests there any more.
        pub lots: u128,
        /// How many orders.
        pub orders: u32,
    }

    /// What is visible of a resting order.
    pub struct Order {
        /// The order.
        pub order: OrderId,
        /// Its side.
        pub side: Side,
        /// Its price.
        pub price_ticks: PriceTicks,
        /// What is visible of it; not 0.
        pub qty_lots: QtyLots,
    }

    /// What became of a resting order.
    pub struct OrderChange {
        /// The record that caused it: that of the execution reports.
        pub seq: Seq,
        /// Time of that record.
        pub time: UnixNanos,
        /// The order.
        pub order: OrderId,
        /// Its side.
        pub side: Side,
        /// What became of it.
        pub kind: OrderChangeKind,
        /// Its price.
        pub price_ticks: PriceTicks,
        /// What is visible of it from now on; 0 = it left.
        pub left_lots: QtyLots,
        /// The trade, if it was executed; else 0.
        pub trade: TradeId,
        /// How much was traded.
        pub traded_lots: QtyLots,
    }

    /// A trade, without those who made it.
    pub struct Trade {
        /// The trade.
        pub trade: TradeId,
        /// At the resting order's price.
        pub price_ticks: PriceTicks,
        /// How much.
        pub qty_lots: QtyLots,
        /// Price × quantity, in minor units of quote.
        pub notional: Amount,
        /// Side of the incoming order.
        pub taker_side: Side,
        /// The record that caused it: that of the execution reports.
        pub seq: Seq,
        /// Time of that record.
        pub time: UnixNanos,
    }

    /// What was traded in one interval.
    pub struct Candle {
        /// Its start.
        pub open_time: UnixNanos,
        /// Price of its first trade; without one the last price before it, as the other three.
        pub open_ticks: PriceTicks,
        /// The highest price.
        pub high_ticks: PriceTicks,
        /// The lowest price.
        pub low_ticks: PriceTicks,
        /// Price of its last trade.
        pub close_ticks: PriceTicks,
        /// Quantity traded.
        pub volume_lots: u128,
        /// Price × quantity; over the volume it is the average price in ticks.
        pub volume_ticks_lots: u128,
        /// The same in minor units of quote.
        pub notional: Amount,
        /// How many trades.
        pub trades: u64,
    }

    /// What was traded in a window that ends now.
    pub struct Ticker {
        /// The market.
        pub market: MarketId,
        /// Where the window begins.
        pub open_time: UnixNanos,
        /// Price of its first trade; without one the last price before it, as the other three.
        pub open_ticks: PriceTicks,
        /// The highest price.
        pub high_ticks: PriceTicks,
        /// The lowest price.
        pub low_ticks: PriceTicks,
        /// The last price.
        pub last_ticks: PriceTicks,
        /// Quantity traded.
        pub volume_lots: u128,
        /// Price × quantity; over the volume it is the average price in ticks.
        pub volume_ticks_lots: u128,
        /// The same in minor units of quote.
        pub notional: Amount,
        /// How many trades.
        pub trades: u64,
    }

    /// A market, and what its ticks and lots are.
    pub struct Listing {
        /// The market.
        pub market: MarketId,
        /// Its name.
        pub symbol: Text<SYMBOL_BYTES_MAX>,
        /// What is bought and sold.
        pub base_asset: AssetId,
        /// Its name.
        pub base_code: Text<ASSET_CODE_BYTES_MAX>,
        /// Decimals of its minor unit.
        pub base_scale: u8,
        /// What is paid with.
        pub quote_asset: AssetId,
        /// Its name.
        pub quote_code: Text<ASSET_CODE_BYTES_MAX>,
        /// Decimals of its minor unit.
        pub quote_scale: u8,
        /// A lot, in minor units of base.
        pub lot_base_minor: Amount,
        /// A lot at a price of one tick, in minor units of quote.
        pub tick_quote_minor: Amount,
    }
}

messages! {
    /// Every message of market data.
    pub enum MarketMessage<'a> {
        /// Reader: packets of a channel from now on. The answer is Subscribed, or MarketReject.
        Subscribe = 700 {
            /// The reader's name for it: of no other subscription of the connection.
            number: u32,
            /// The market.
            market: MarketId,
            /// What of it.
            channel: MarketChannel,
            /// Of Ticker; else 0.
            window: Option<TickerWindow>,
            /// Of Candles; else 0.
            interval: Option<CandleInterval>,
            /// The reader has the levels or orders of this seq, and goes on from there; 0 = it has nothing.
            since: Seq,
        }
        /// Reader: ends a subscription. The answer is SubscriptionEnded, or MarketReject.
        Unsubscribe = 701 {
            /// The subscription.
            number: u32,
        }
        /// Reader: candles. The answer is CandlesPage, or MarketReject.
        GetCandles = 702 {
            /// The reader's number for the question; given back.
            number: u32,
            /// The market.
            market: MarketId,
            /// Their length.
            interval: CandleInterval,
            /// How far the local time by which intervals begin is from UTC: quarters of an hour, at most 50,400 ahead or 43,200 behind.
            utc_offset_s: u32,
            /// Whether it is behind UTC, as in America, and not ahead of it.
            behind_utc: bool,
            /// Those that open from here on …
            from: UnixNanos,
            /// … to here.
            to: UnixNanos,
        }
        /// Reader: trades, oldest first. The answer is TradesPage, or MarketReject.
        GetTrades = 703 {
            /// The reader's number for the question; given back.
            number: u32,
            /// The market.
            market: MarketId,
            /// From this trade on; 0 = any.
            from_trade: TradeId,
            /// From this instant on; 0 = any. With neither it is the newest ones.
            from_time: UnixNanos,
            /// Rows at most; 1 to 4,096.
            limit: u32,
        }
        /// Reader: tickers. The answer is TickersPage, or MarketReject.
        GetTickers = 704 {
            /// The reader's number for the question; given back.
            number: u32,
            /// How far they look back.
            window: TickerWindow,
            /// The market; 0 = all of them.
            market: MarketId,
        }
        /// Reader: all markets. The answer is MarketsPage, or MarketReject.
        GetMarkets = 705 {
            /// The reader's number for the question; given back.
            number: u32,
        }
        /// Server: nothing else was to be said for a while. Who has read up to here has everything.
        MarketHeartbeat = 710 {
            /// Up to this record.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
        }
        /// Server: a subscription was taken. Its first packet is behind it.
        Subscribed = 711 {
            /// The subscription.
            number: u32,
            /// The market.
            market: MarketId,
            /// What is in market data already.
            seq: Seq,
        }
        /// Server: a subscription ended. Nothing comes of it behind this.
        SubscriptionEnded = 712 {
            /// The subscription.
            number: u32,
            /// Why.
            code: SubscriptionEnd,
        }
        /// Server: no.
        MarketReject<'a> = 713 {
            /// The number in what is refused.
            number: u32,
            /// Its template.
            ref_template_id: u16,
            /// Why.
            reason: MarketRejectReason,
            ..
            /// The field that is meant, or what else people want to know.
            text: Words<'a>,
        }
        /// Server: nothing comes behind it.
        MarketTerminate<'a> = 714 {
            /// Why.
            code: TerminationCode,
            ..
            /// For people.
            text: Words<'a>,
        }
        /// Server: the best levels. The packet before is replaced.
        DepthPacket<'a> = 720 {
            /// The subscription.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            /// The last record that changed the market's book.
            changed: Seq,
            /// CRC-32C of the whole visible book there.
            book_checksum: u32,
            ..
            /// Bids, then asks, best first.
            levels: Rows<'a, Level, DEPTH_ROWS_MAX>,
        }
        /// Server: all levels. What was known before is forgotten.
        LevelsPacket<'a> = 721 {
            /// The subscription.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            /// The last record that changed the market's book.
            changed: Seq,
            /// CRC-32C of the whole visible book there.
            book_checksum: u32,
            /// Whether more of the same packet is in the message behind: the book is whole behind the last one.
            more: bool,
            ..
            /// Bids, then asks, best first.
            levels: Rows<'a, Level, MARKET_DATA_ROWS_MAX>,
        }
        /// Server: what levels have come to. It follows the packet whose seq was `first` − 1.
        LevelsChangedPacket<'a> = 722 {
            /// The subscription.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            /// The last record that changed the market's book.
            changed: Seq,
            /// CRC-32C of the whole visible book there.
            book_checksum: u32,
            /// Every change from this record on is in it.
            first: Seq,
            /// Whether more of the same packet is in the message behind: the book is whole behind the last one.
            more: bool,
            ..
            /// As they are now; those without lots are gone.
            levels: Rows<'a, Level, MARKET_DATA_ROWS_MAX>,
        }
        /// Server: all orders. What was known before is forgotten.
        OrdersPacket<'a> = 723 {
            /// The subscription.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            /// The last record that changed the market's book.
            changed: Seq,
            /// CRC-32C of the whole visible book there.
            book_checksum: u32,
            /// Whether more of the same packet is in the message behind: the book is whole behind the last one.
            more: bool,
            ..
            /// Bids, then asks, in price-time order.
            orders: Rows<'a, Order, MARKET_DATA_ROWS_MAX>,
        }
        /// Server: what became of orders. It follows the packet whose seq was `first` − 1.
        OrdersChangedPacket<'a> = 724 {
            /// The subscription.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            /// The last record that changed the market's book.
            changed: Seq,
            /// CRC-32C of the whole visible book there.
            book_checksum: u32,
            /// Every change from this record on is in it.
            first: Seq,
            /// Whether more of the same packet is in the message behind: the book is whole behind the last one.
            more: bool,
            ..
            /// In order.
            changes: Rows<'a, OrderChange, MARKET_DATA_ROWS_MAX>,
        }
        /// Server: trades.
        TradesPacket<'a> = 725 {
            /// The subscription.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            /// The last record that changed the market's book.
            changed: Seq,
            /// CRC-32C of the whole visible book there.
            book_checksum: u32,
            /// So many before the first of these went by unread.
            missed: u64,
            ..
            /// In order, behind those of the packet before.
            trades: Rows<'a, Trade, MARKET_DATA_ROWS_MAX>,
        }
        /// Server: a ticker. The one before is replaced.
        TickerPacket<'a> = 726 {
            /// The subscription.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            /// The last record that changed the market's book.
            changed: Seq,
            /// CRC-32C of the whole visible book there.
            book_checksum: u32,
            /// How far it looks back.
            window: TickerWindow,
            ..
            /// One.
            tickers: Rows<'a, Ticker, 1>,
        }
        /// Server: candles by UTC. Those that were sent before are replaced by what has the same start.
        CandlesPacket<'a> = 727 {
            /// The subscription.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            /// The last record that changed the market's book.
            changed: Seq,
            /// CRC-32C of the whole visible book there.
            book_checksum: u32,
            /// Their length.
            interval: CandleInterval,
            ..
            /// The newest ones, oldest first, without a gap; the last of them may still be open.
            candles: Rows<'a, Candle, CANDLE_ROWS_MAX>,
        }
        /// Server: candles that were asked for.
        CandlesPage<'a> = 730 {
            /// The number of the question.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Their length.
            interval: CandleInterval,
            /// Those that open before this lack trades, or are lacking: market data began later, or it is not kept any more.
            complete_from: UnixNanos,
            ..
            /// The first ones of those that were asked for, oldest first, without a gap.
            candles: Rows<'a, Candle, CANDLE_ROWS_MAX>,
        }
        /// Server: trades that were asked for.
        TradesPage<'a> = 731 {
            /// The number of the question.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Those before this one are not kept any more, or were before market data began; 0 = there were none yet.
            oldest_trade: TradeId,
            ..
            /// Oldest first.
            trades: Rows<'a, Trade, MARKET_DATA_ROWS_MAX>,
        }
        /// Server: tickers that were asked for.
        TickersPage<'a> = 732 {
            /// The number of the question.
            number: u32,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record: where the windows end.
            time: UnixNanos,
            /// How far they look back.
            window: TickerWindow,
            ..
            /// By market; of those in which something was traded since market data began.
            tickers: Rows<'a, Ticker, MARKETS_MAX>,
        }
        /// Server: all markets.
        MarketsPage<'a> = 733 {
            /// The number of the question.
            number: u32,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Trades, tickers and candles count from behind this record.
            began: Seq,
            /// Time of that record.
            began_time: UnixNanos,
            ..
            /// By id.
            markets: Rows<'a, Listing, MARKETS_MAX>,
        }
    }
}

impl<'a> MarketMessage<'a> {
    /// Reads one whole message, whose length [`super::message_bytes`] has told.
    ///
    /// # Errors
    /// [`BinaryFault`] for what [`Self::write`] does not write.
    pub fn read(bytes: &'a [u8]) -> Result<Self, BinaryFault> {
        headers::read_whole(bytes, Self::read_body)
    }
}

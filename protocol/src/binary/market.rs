//! Market data: what a reader asks for, and what it gets. Nobody logs on, and nobody is named.
//!
//! Their messages have the headers and the schema of the others, and a port of their own, where none but these are taken. What they
//! mean is said in docs/MATCHING.md, "Market data".

use super::codes::{
    CandleInterval, MarketChannel, MarketRejectReason, OrderChangeKind, SubscriptionEnd, TerminationCode,
    TickerWindow, TradeStatus,
};
use super::fields::{Rows, Words};
use super::macros::{messages, rows};
use super::{BinaryFault, headers};
use crate::limits::{
    ASSET_CODE_BYTES_MAX, CANDLE_ROWS_MAX, MARKET_DATA_ROWS_MAX, MARKETS_MAX, SYMBOL_BYTES_MAX,
};
use crate::{
    Amount, AssetId, MarketId, MarketPhase, OrderId, PhaseCause, PriceTicks, QtyLots, ReferencePrice, Seq,
    Side, Text, TradeId, UnixNanos,
};

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
        /// At the resting order's price, or an auction's; of one that was corrected, from then on.
        pub price_ticks: PriceTicks,
        /// How much; of one that was corrected, from then on.
        pub qty_lots: QtyLots,
        /// Price × quantity, in minor units of quote.
        pub notional: Amount,
        /// Side of the incoming order; in an auction of the younger one.
        pub taker_side: Side,
        /// The record that caused it: that of the execution reports.
        pub seq: Seq,
        /// Time of that record.
        pub time: UnixNanos,
        /// What became of it since.
        pub status: TradeStatus,
    }

    /// Trades of one record, one behind the other, at one price and with one side of the incoming order. Those that were busted are not in it.
    pub struct AggregateTrade {
        /// The first of them.
        pub first_trade: TradeId,
        /// The last of them.
        pub last_trade: TradeId,
        /// How many.
        pub trades: u32,
        /// Their price.
        pub price_ticks: PriceTicks,
        /// How much, summed.
        pub qty_lots: u128,
        /// Price × quantity, in minor units of quote, summed.
        pub notional: Amount,
        /// Side of the incoming order; in an auction of the younger one.
        pub taker_side: Side,
        /// The record that caused them: that of the execution reports.
        pub seq: Seq,
        /// Time of that record.
        pub time: UnixNanos,
    }

    /// A trade was taken back or corrected.
    pub struct TradeChange {
        /// The record that did it.
        pub seq: Seq,
        /// Time of that record.
        pub time: UnixNanos,
        /// The trade.
        pub trade: TradeId,
        /// What became of it.
        pub status: TradeStatus,
        /// As it was.
        pub price_ticks_before: PriceTicks,
        /// As it was.
        pub qty_lots_before: QtyLots,
        /// As it was, in minor units of quote.
        pub notional_before: Amount,
        /// From now on; 0 = taken back.
        pub price_ticks: PriceTicks,
        /// From now on; 0 = taken back.
        pub qty_lots: QtyLots,
        /// From now on, in minor units of quote.
        pub notional: Amount,
        /// Why: a number of the operator's.
        pub reason: u16,
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

    /// In which state a market is, and what was published of it.
    pub struct Status {
        /// The market.
        pub market: MarketId,
        /// The phase that it is in.
        pub phase: MarketPhase,
        /// Why it went into it; 0 = it began in it, or went into it before market data began.
        pub phase_cause: Option<PhaseCause>,
        /// The record with which it went into it; 0 as the cause.
        pub phase_seq: Seq,
        /// Time of that record.
        pub phase_time: UnixNanos,
        /// In an auction: the price at which most would trade if it ended now; 0 = nothing would. Otherwise 0.
        pub indicative_price_ticks: PriceTicks,
        /// How much would trade.
        pub indicative_lots: u128,
        /// What is bid for at this price, and finds nobody.
        pub surplus_buy_lots: u128,
        /// What is offered at this price, and finds nobody.
        pub surplus_sell_lots: u128,
        /// The price of the last auction that traded; 0 = there was none since market data began.
        pub auction_price_ticks: PriceTicks,
        /// What has traded in it.
        pub auction_lots: u128,
        /// In how many trades.
        pub auction_trades: u32,
        /// The record with which it was over.
        pub auction_seq: Seq,
        /// Time of that record.
        pub auction_time: UnixNanos,
        /// The index price that was published last; 0 = none was.
        pub index_price_ticks: PriceTicks,
        /// When it was observed.
        pub index_observed_at: UnixNanos,
        /// Until when it counts.
        pub index_valid_until: UnixNanos,
        /// Around which price orders are taken.
        pub reference: ReferencePrice,
        /// How far above it a purchase may be priced, in millionths of it; 0 = anything.
        pub buy_above_ppm: u32,
        /// How far below it; 0 = anything.
        pub buy_below_ppm: u32,
        /// How far above it a sale may be priced; 0 = anything.
        pub sell_above_ppm: u32,
        /// How far below it; 0 = anything.
        pub sell_below_ppm: u32,
        /// How far from it a trade may be; 0 = anything.
        pub collar_ppm: u32,
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
            /// The market; 0 = all of them, of Ticker and Status.
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
        /// Reader: in which state markets are. The answer is StatusPage, or MarketReject.
        GetStatus = 706 {
            /// The reader's number for the question; given back.
            number: u32,
            /// The market; 0 = all of them.
            market: MarketId,
        }
        /// Reader: trades, those of one price and one record in one row, oldest first. The answer is AggregateTradesPage, or MarketReject.
        GetAggregateTrades = 707 {
            /// The reader's number for the question; given back.
            number: u32,
            /// The market.
            market: MarketId,
            /// From the row with this trade on; 0 = any.
            from_trade: TradeId,
            /// From this instant on; 0 = any. With neither it is the newest ones.
            from_time: UnixNanos,
            /// Rows at most; 1 to 4,096.
            limit: u32,
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
        /// Server: trades were taken back or corrected. It comes of the channels of trades, behind the trades.
        TradesChangedPacket<'a> = 728 {
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
            changes: Rows<'a, TradeChange, MARKET_DATA_ROWS_MAX>,
        }
        /// Server: in which state the market is. The packet before is replaced.
        StatusPacket<'a> = 729 {
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
            /// One.
            statuses: Rows<'a, Status, 1>,
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
            /// Those of before this instant may be lacking: market data began later, or they are not kept any more.
            complete_from: UnixNanos,
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
            /// Where the windows end: at the time of that record, or later, if nothing was executed since.
            time: UnixNanos,
            /// How far they look back.
            window: TickerWindow,
            /// Windows that begin before may lack trades: market data began later.
            complete_from: UnixNanos,
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
        /// Server: the states that were asked for.
        StatusPage<'a> = 734 {
            /// The number of the question.
            number: u32,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            ..
            /// By market.
            statuses: Rows<'a, Status, MARKETS_MAX>,
        }
        /// Server: aggregate trades that were asked for.
        AggregateTradesPage<'a> = 735 {
            /// The number of the question.
            number: u32,
            /// The market.
            market: MarketId,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Trades before this one are not kept any more, or were before market data began; 0 = there were none yet.
            oldest_trade: TradeId,
            /// Those of before this instant may be lacking: market data began later, or they are not kept any more.
            complete_from: UnixNanos,
            ..
            /// Oldest first.
            trades: Rows<'a, AggregateTrade, MARKET_DATA_ROWS_MAX>,
        }
        /// Server: trades, those of one price and one record in one row.
        AggregateTradesPacket<'a> = 740 {
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
            /// So many trades before the first of these went by unread.
            missed: u64,
            ..
            /// In order, behind those of the packet before.
            trades: Rows<'a, AggregateTrade, MARKET_DATA_ROWS_MAX>,
        }
        /// Server: tickers of all markets: those that are others. What was sent of the others stands.
        TickersPacket<'a> = 741 {
            /// The subscription.
            number: u32,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            /// How far they look back.
            window: TickerWindow,
            ..
            /// By market.
            tickers: Rows<'a, Ticker, MARKETS_MAX>,
        }
        /// Server: the states of all markets: those that are others. What was sent of the others stands.
        StatusesPacket<'a> = 742 {
            /// The subscription.
            number: u32,
            /// Everything up to this record is in it.
            seq: Seq,
            /// Time of that record.
            time: UnixNanos,
            ..
            /// By market.
            statuses: Rows<'a, Status, MARKETS_MAX>,
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

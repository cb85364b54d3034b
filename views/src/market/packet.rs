//! What is sent to subscribers: each of these is one message, whatever its encoding.

use protocol::book::BookLevel;
use protocol::{MarketId, Seq, Side, UnixNanos};

use super::book::RestingOrder;
use super::candles::{Candle, Interval};
use super::changes::OrderChange;
use super::status::Status;
use super::ticker::{Ticker, Window};
use super::trades::{AggregateTrade, Trade, TradeChange};

/// The state that a packet is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The market; 0 = all of them.
    pub market: MarketId,
    /// Everything up to this record is in it.
    pub seq: Seq,
    /// Time of that record.
    pub time: UnixNanos,
    /// The last record that changed the market's book; of all markets 0.
    pub changed: Seq,
    /// [`protocol::book::book_checksum`] of the whole visible book there; of all markets 0.
    pub book_checksum: u32,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The state that it is from.
    pub stamp: Stamp,
    /// What it says.
    pub body: Body,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The best levels, as many as were subscribed to: the last such packet is replaced.
    Depth {
        /// Best first.
        bids: Vec<BookLevel>,
        /// Best first.
        asks: Vec<BookLevel>,
    },
    /// All levels: what was known before is forgotten.
    Levels {
        /// Best first.
        bids: Vec<BookLevel>,
        /// Best first.
        asks: Vec<BookLevel>,
    },
    /// What levels have come to. It follows the packet whose seq is `first` − 1.
    LevelsChanged {
        /// Every change of a record from this one to the stamp's is in it.
        first: Seq,
        /// As they are now; those without lots are gone.
        levels: Vec<(Side, BookLevel)>,
    },
    /// All orders: what was known before is forgotten.
    Orders {
        /// Bids then asks, in price-time order.
        orders: Vec<RestingOrder>,
    },
    /// What became of orders. It follows the packet whose seq is `first` − 1.
    OrdersChanged {
        /// Every change of a record from this one to the stamp's is in it.
        first: Seq,
        /// In order.
        changes: Vec<OrderChange>,
    },
    /// Trades behind those of the last such packet.
    Trades {
        /// So many before the first of these went by unread.
        missed: u64,
        /// In order.
        trades: Vec<Trade>,
    },
    /// Trades behind those of the last such packet, those of one price and one record in one row.
    AggregateTrades {
        /// So many trades before the first of these went by unread.
        missed: u64,
        /// In order.
        trades: Vec<AggregateTrade>,
    },
    /// What became of trades, behind the changes of the last such packet.
    TradesChanged {
        /// So many before the first of these went by unread.
        missed: u64,
        /// In order.
        changes: Vec<TradeChange>,
    },
    /// The last ticker is replaced.
    Ticker(Ticker),
    /// Candles by UTC: those that were sent before are replaced by what has the same start.
    Candles {
        /// Their length.
        interval: Interval,
        /// The newest ones, oldest first, without a gap; the last of them may still be open.
        candles: Vec<Candle>,
    },
    /// The last state is replaced.
    Status(Box<Status>),
    /// The last tickers of these markets are replaced.
    Tickers {
        /// How far they look back.
        window: Window,
        /// By market.
        tickers: Vec<(MarketId, Ticker)>,
    },
    /// The last states of these markets are replaced.
    Statuses(Vec<(MarketId, Status)>),
}

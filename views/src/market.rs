//! Market data: what everybody may see of every market. Books order by order, trades, candles, tickers, in which state it is; and how they
//! are sent.
//!
//! [`MarketData`] follows the events of each record, in memory. It begins with the visible orders of an engine at some seq, which the
//! node hands over ([`MarketData::begin`]), and goes on from the record behind it; trades, tickers and candles count from there, until what
//! happened before is put in front: a [`Past`], which a run over the journal has fed, and a file keeps.
//! [`Publisher`] gives each subscriber what it has not had yet, and [`Session`] is one reader's connection: requests in, messages out,
//! as the binary protocol writes them ([`protocol::binary::market`]).
//!
//! **Update ids are seqs.** A book is that of a seq, on every node and after every start the same. What changed since a seq is known
//! as long as it is kept; who is further behind takes the book anew. Every [`Packet`] carries the seq up to which everything is in it and the
//! checksum of the book there, which is the engine's.
//!
//! Nobody is named: no client, no session, no account.

mod all_markets;
mod book;
mod candles;
mod changes;
mod data;
mod encode;
mod fault;
mod latest;
mod packet;
mod past;
mod publisher;
mod session;
mod status;
mod subscription;
mod tape;
#[cfg(test)]
mod tests;
mod ticker;
mod trades;

pub use all_markets::ALL_MARKETS;
pub use book::{Book, RestingOrder};
pub use candles::{CANDLES_PER_ANSWER_MAX, Candle, CandlePage, Candles, Interval, UtcOffset};
pub use changes::{OrderAction, OrderChange, TooOld};
pub use data::{Market, MarketData, MarketLimits};
pub use fault::MarketFault;
pub use packet::{Body, Packet, Stamp};
pub use past::{Past, PastWriter, TapeEnd};
pub use publisher::{Next, Publisher, PublisherLimits, SubscribeRefusal, SubscriptionId};
pub use session::{OutOfTurn, Session, SessionLimits, Stalled};
pub use status::Status;
pub use subscription::{Channel, Cut, Depth};
pub use tape::{AuctionOver, PhaseBegun, Tape};
pub use ticker::{Average, Ticker, Window};
pub use trades::{AggregateTrade, Trade, TradeChange, Trades};

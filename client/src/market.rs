//! A reader of market data: subscriptions and questions over a connection of its own, to any node. Nobody logs on.

mod book;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use protocol::binary::market::{
    AggregateTrade, Candle, GetAggregateTrades, GetCandles, GetMarkets, GetStatus, GetTickers, GetTrades,
    Listing, MarketMessage, Status, Subscribe, Ticker, Trade, Unsubscribe,
};
use protocol::binary::{
    BinaryFault, CandleInterval, MarketChannel, MarketRejectReason, TerminationCode, TickerWindow,
    message_bytes,
};
use protocol::limits::BINARY_MESSAGE_BYTES_MAX;
use protocol::{MarketId, MonoNanos, Seq, TradeId, UnixNanos};

pub use self::book::{BookFault, MarketBook};
use crate::clock::Clock;

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(1);
/// A node says something every 5 seconds, if only that it lives.
const SILENCE: Duration = Duration::from_secs(15);
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Why there are no market data.
#[derive(Debug, thiserror::Error)]
pub enum MarketFault {
    /// The connection.
    #[error("{0}")]
    Connection(#[from] std::io::Error),
    /// No node of the list takes connections.
    #[error("no node takes readers of market data: {0}")]
    NoNode(
        /// What the last attempt met.
        String,
    ),
    /// The node ended the connection.
    #[error("the node ended it: {} {text}", .code.name())]
    Ended {
        /// Why.
        code: TerminationCode,
        /// What else it said.
        text: String,
    },
    /// What came is no message of market data.
    #[error("the node does not speak this protocol: {0}")]
    Malformed(#[from] BinaryFault),
    /// The node has been silent for too long.
    #[error("the node is silent")]
    Silent,
    /// A subscription or a question is refused.
    #[error("{}{}{text}", .reason.name(), if .text.is_empty() { "" } else { ": " })]
    Rejected {
        /// Why.
        reason: MarketRejectReason,
        /// The field that is meant, or what else people want to know.
        text: String,
    },
    /// What was read does not fit the book that was kept.
    #[error(transparent)]
    Book(#[from] BookFault),
}

/// What of a market is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The market; 0 = all of them, of [`MarketChannel::Ticker`] and [`MarketChannel::Status`].
    pub market: MarketId,
    /// What of it.
    pub channel: MarketChannel,
    /// Of [`MarketChannel::Ticker`] alone.
    pub window: Option<TickerWindow>,
    /// Of [`MarketChannel::Candles`] alone.
    pub interval: Option<CandleInterval>,
}

impl Subscription {
    /// To a channel that is neither tickers nor candles.
    #[must_use]
    pub const fn new(market: MarketId, channel: MarketChannel) -> Self {
        Self { market, channel, window: None, interval: None }
    }
}

/// Some candles, and since when nothing is lacking of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candles {
    /// Those that open before lack trades, or are lacking.
    pub complete_from: UnixNanos,
    /// Oldest first, without a gap.
    pub candles: Vec<Candle>,
}

/// A connection to one node, which blocks its caller.
pub struct MarketReader {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes at its front that were handed out.
    taken: usize,
    clock: Clock,
    heard: MonoNanos,
    next_number: u32,
}

impl MarketReader {
    /// Connects to the first node of the list (`HOST:PORT`, where it takes readers of market data) that is there.
    ///
    /// # Errors
    /// [`MarketFault::NoNode`].
    pub fn connect(nodes: &[String]) -> Result<Self, MarketFault> {
        let mut last = "the list is empty".to_owned();
        for node in nodes {
            match connect(node) {
                Ok(stream) => {
                    let clock = Clock::start();
                    let (input, taken, heard) = (Vec::new(), 0, clock.mono());
                    return Ok(Self { stream, input, taken, clock, heard, next_number: 1 });
                }
                Err(error) => last = format!("{node}: {error}"),
            }
        }
        Err(MarketFault::NoNode(last))
    }

    fn say(&mut self, message: impl Into<MarketMessage<'static>>) -> Result<(), MarketFault> {
        let mut bytes = Vec::new();
        message.into().write(&mut bytes);
        Ok(self.stream.write_all(&bytes)?)
    }

    fn number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        number
    }

    /// Subscribes; packets name the number that is returned. `since`: the levels or orders of this seq are here already.
    ///
    /// # Errors
    /// If the connection is gone. Whether it was taken is said by [`Self::next`].
    pub fn subscribe(&mut self, to: Subscription, since: Option<Seq>) -> Result<u32, MarketFault> {
        let number = self.number();
        let Subscription { market, channel, window, interval } = to;
        let since = since.unwrap_or(Seq::ZERO);
        self.say(Subscribe { number, market, channel, window, interval, since })?;
        Ok(number)
    }

    /// Ends a subscription; what is on its way still comes, and then `SubscriptionEnded`.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn unsubscribe(&mut self, number: u32) -> Result<(), MarketFault> {
        self.say(Unsubscribe { number })
    }

    /// The next message, waited for at most so long. A refusal is a message, too.
    ///
    /// # Errors
    /// [`MarketFault`]: the connection is of no more use.
    pub fn next(&mut self, at_most: Duration) -> Result<Option<MarketMessage<'_>>, MarketFault> {
        let until = self.clock.mono().plus(u64::try_from(at_most.as_nanos()).unwrap_or(u64::MAX));
        let length = loop {
            if let Some(length) = self.whole()? {
                break length;
            }
            let left = Duration::from_nanos(until.since(self.clock.mono()));
            if !self.read(left.min(SILENCE))? && self.clock.mono() >= until {
                return Ok(None);
            }
        };
        let from = self.taken;
        self.taken += length;
        let message = MarketMessage::read(self.input.get(from..self.taken).unwrap_or_default())?;
        if let MarketMessage::MarketTerminate(end) = message {
            return Err(MarketFault::Ended { code: end.code, text: end.text.as_str().to_owned() });
        }
        Ok(Some(message))
    }

    /// Length of the first message that is here.
    fn whole(&self) -> Result<Option<usize>, MarketFault> {
        let rest = self.input.get(self.taken..).unwrap_or_default();
        Ok(message_bytes(rest, BINARY_MESSAGE_BYTES_MAX)?.filter(|length| *length <= rest.len()))
    }

    /// Reads what there is, for at most so long. Returns whether anything came.
    fn read(&mut self, at_most: Duration) -> Result<bool, MarketFault> {
        self.input.drain(..self.taken);
        self.taken = 0;
        self.stream.set_read_timeout(Some(at_most.max(Duration::from_millis(1))))?;
        let before = self.input.len();
        self.input.resize(before + READ_BYTES, 0);
        let read = self.stream.read(self.input.get_mut(before..).unwrap_or_default());
        self.input.truncate(before + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) => Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(_) => {
                self.heard = self.clock.mono();
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let silent = Duration::from_nanos(self.clock.mono().since(self.heard));
                if silent >= SILENCE { Err(MarketFault::Silent) } else { Ok(false) }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks, and waits for what `pick` takes for the answer.
    fn ask<T>(
        &mut self,
        number: u32,
        question: impl Into<MarketMessage<'static>>,
        pick: impl Fn(&MarketMessage<'_>) -> Option<T>,
    ) -> Result<T, MarketFault> {
        self.say(question)?;
        loop {
            let Some(message) = self.next(SILENCE)? else { return Err(MarketFault::Silent) };
            if let MarketMessage::MarketReject(reject) = message
                && reject.number == number
            {
                let (reason, text) = (reject.reason, reject.text.as_str().to_owned());
                return Err(MarketFault::Rejected { reason, text });
            }
            if let Some(answer) = pick(&message) {
                return Ok(answer);
            }
        }
    }

    /// All markets, by id. What comes of subscriptions meanwhile is lost, as with the other questions: they want a connection without.
    ///
    /// # Errors
    /// [`MarketFault`].
    pub fn markets(&mut self) -> Result<Vec<Listing>, MarketFault> {
        let number = self.number();
        self.ask(number, GetMarkets { number }, |message| {
            let MarketMessage::MarketsPage(page) = message else { return None };
            (page.number == number).then(|| page.markets.iter().collect())
        })
    }

    /// Candles that open from `from` to `to`, the first 1,500. `utc_offset_s`: by which local time intervals begin, negative behind UTC.
    ///
    /// # Errors
    /// [`MarketFault`].
    pub fn candles(
        &mut self,
        market: MarketId,
        interval: CandleInterval,
        utc_offset_s: i32,
        (from, to): (UnixNanos, UnixNanos),
    ) -> Result<Candles, MarketFault> {
        let number = self.number();
        let (behind_utc, utc_offset_s) = (utc_offset_s < 0, utc_offset_s.unsigned_abs());
        let question = GetCandles { number, market, interval, utc_offset_s, behind_utc, from, to };
        self.ask(number, question, |message| {
            let MarketMessage::CandlesPage(page) = message else { return None };
            (page.number == number).then(|| Candles {
                complete_from: page.complete_from,
                candles: page.candles.iter().collect(),
            })
        })
    }

    /// At most `limit` trades, oldest first: from an id on, from an instant on, or the newest.
    ///
    /// # Errors
    /// [`MarketFault`].
    pub fn trades(
        &mut self,
        market: MarketId,
        from_trade: Option<TradeId>,
        from_time: Option<UnixNanos>,
        limit: u32,
    ) -> Result<Vec<Trade>, MarketFault> {
        let number = self.number();
        let (from_trade, from_time) = (from_trade.unwrap_or(TradeId(0)), from_time.unwrap_or(UnixNanos(0)));
        let question = GetTrades { number, market, from_trade, from_time, limit };
        self.ask(number, question, |message| {
            let MarketMessage::TradesPage(page) = message else { return None };
            (page.number == number).then(|| page.trades.iter().collect())
        })
    }

    /// As [`Self::trades`], those of one price and one record in one row; from an id on: from the row that it is in.
    ///
    /// # Errors
    /// [`MarketFault`].
    pub fn aggregate_trades(
        &mut self,
        market: MarketId,
        from_trade: Option<TradeId>,
        from_time: Option<UnixNanos>,
        limit: u32,
    ) -> Result<Vec<AggregateTrade>, MarketFault> {
        let number = self.number();
        let (from_trade, from_time) = (from_trade.unwrap_or(TradeId(0)), from_time.unwrap_or(UnixNanos(0)));
        let question = GetAggregateTrades { number, market, from_trade, from_time, limit };
        self.ask(number, question, |message| {
            let MarketMessage::AggregateTradesPage(page) = message else { return None };
            (page.number == number).then(|| page.trades.iter().collect())
        })
    }

    /// In which state a market is, or all of them.
    ///
    /// # Errors
    /// [`MarketFault`].
    pub fn status(&mut self, market: Option<MarketId>) -> Result<Vec<Status>, MarketFault> {
        let number = self.number();
        self.ask(number, GetStatus { number, market: market.unwrap_or(MarketId(0)) }, |message| {
            let MarketMessage::StatusPage(page) = message else { return None };
            (page.number == number).then(|| page.statuses.iter().collect())
        })
    }

    /// What was traded lately in a market, or in all of them.
    ///
    /// # Errors
    /// [`MarketFault`].
    pub fn tickers(
        &mut self,
        window: TickerWindow,
        market: Option<MarketId>,
    ) -> Result<Vec<Ticker>, MarketFault> {
        let number = self.number();
        let question = GetTickers { number, window, market: market.unwrap_or(MarketId(0)) };
        self.ask(number, question, |message| {
            let MarketMessage::TickersPage(page) = message else { return None };
            (page.number == number).then(|| page.tickers.iter().collect())
        })
    }
}

fn connect(node: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(ErrorKind::AddrNotAvailable);
    for address in node.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

//! One reader's connection, without what carries it: requests in, messages out.

use std::collections::BTreeMap;

use protocol::binary::market::{
    AggregateTradesPage, CandlesPage, GetAggregateTrades, GetCandles, GetMarkets, GetStatus, GetTickers,
    GetTrades, MarketHeartbeat, MarketMessage, MarketReject, MarketsPage, StatusPage, Subscribe, Subscribed,
    SubscriptionEnded, TickersPage, TradesPage, Unsubscribe,
};
use protocol::binary::{MarketRejectReason, SubscriptionEnd, Words};
use protocol::limits::MARKET_DATA_ROWS_MAX;
use protocol::{MarketId, Seq, TradeId, UnixNanos};

use super::candles::{Interval, UtcOffset};
use super::data::MarketData;
use super::encode;
use super::publisher::{Next, Publisher, SubscribeRefusal, SubscriptionId};
use super::subscription::{Channel, Cut};
use super::ticker::Window;
use super::trades::{Trade, aggregate};

/// Bounds of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Its subscriptions.
    pub subscriptions_max: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { subscriptions_max: 256 }
    }
}

/// A message that no reader may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template {0} is no reader's to send")]
pub struct OutOfTurn(
    /// Its template.
    pub u16,
);

/// The reader has left something unread for too long: it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was read for too long")]
pub struct Stalled;

/// Why a request is refused: the reason, and the field or what else people want to know.
type Refusal = (MarketRejectReason, &'static str);

/// A reader, and what it is subscribed to.
#[derive(Debug)]
pub struct Session {
    limits: SessionLimits,
    subscriptions: BTreeMap<u32, SubscriptionId>,
    /// Who comes first the next time: from this number on.
    turn: u32,
}

impl Session {
    /// Of a reader that has asked for nothing yet.
    #[must_use]
    pub const fn new(limits: SessionLimits) -> Self {
        Self { limits, subscriptions: BTreeMap::new(), turn: 0 }
    }

    /// Takes a request, and appends the answer; without a publisher the answer is *NotReady*.
    ///
    /// # Errors
    /// [`OutOfTurn`]: the connection has to end.
    pub fn hear(
        &mut self,
        publisher: Option<&mut Publisher>,
        message: &MarketMessage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OutOfTurn> {
        let (number, ref_template_id) = (number_of(message)?, message.template());
        let answered = match publisher {
            Some(publisher) => self.answer(publisher, message, out),
            None => Err((MarketRejectReason::NotReady, "")),
        };
        if let Err((reason, text)) = answered {
            let text = Words::new(text);
            MarketReject { number, ref_template_id, reason, text }.write(out);
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the server's own messages were refused before")]
    fn answer(
        &mut self,
        publisher: &mut Publisher,
        message: &MarketMessage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match message {
            MarketMessage::Subscribe(subscribe) => self.subscribe(publisher, subscribe, out),
            MarketMessage::Unsubscribe(unsubscribe) => self.unsubscribe(publisher, *unsubscribe, out),
            MarketMessage::GetCandles(question) => candles(publisher.data(), question, out),
            MarketMessage::GetTrades(question) => trades(publisher.data(), question, out),
            MarketMessage::GetAggregateTrades(question) => aggregate_trades(publisher.data(), *question, out),
            MarketMessage::GetTickers(question) => tickers(publisher.data(), question, out),
            MarketMessage::GetStatus(question) => statuses(publisher.data(), *question, out),
            &MarketMessage::GetMarkets(GetMarkets { number }) => {
                markets(publisher.data(), number, out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn subscribe(
        &mut self,
        publisher: &mut Publisher,
        subscribe: &Subscribe,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let &Subscribe { number, market, channel, window, interval, since } = subscribe;
        let field = |field| (MarketRejectReason::FieldOutOfRange, field);
        let channel = Channel::from_wire(channel, window, interval).map_err(field)?;
        let goes_on = matches!(channel, Channel::Levels | Channel::Orders);
        if since != Seq::ZERO && !goes_on {
            return Err(field("since"));
        }
        if self.subscriptions.contains_key(&number) {
            return Err((MarketRejectReason::NumberInUse, "number"));
        }
        if self.subscriptions.len() >= self.limits.subscriptions_max {
            return Err((MarketRejectReason::TooManySubscriptions, "of this connection"));
        }
        let since = Some(since).filter(|since| *since != Seq::ZERO);
        let id = publisher.subscribe(market, channel, since).map_err(|refusal| match refusal {
            SubscribeRefusal::UnknownMarket => (MarketRejectReason::UnknownMarket, "market"),
            SubscribeRefusal::TooManySubscriptions => {
                (MarketRejectReason::TooManySubscriptions, "of all connections")
            }
        })?;
        self.subscriptions.insert(number, id);
        Subscribed { number, market, seq: publisher.data().seq() }.write(out);
        Ok(())
    }

    fn unsubscribe(
        &mut self,
        publisher: &mut Publisher,
        Unsubscribe { number }: Unsubscribe,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let unknown = (MarketRejectReason::UnknownSubscription, "number");
        let id = self.subscriptions.remove(&number).ok_or(unknown)?;
        publisher.unsubscribe(id);
        SubscriptionEnded { number, code: SubscriptionEnd::Unsubscribed }.write(out);
        Ok(())
    }

    /// Appends what the reader has not had yet, a packet of each subscription in turn, until there are `bytes_max` or more.
    ///
    /// # Errors
    /// [`Stalled`]: the connection has to end.
    pub fn tell(
        &mut self,
        publisher: &mut Publisher,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Stalled> {
        let later = self.subscriptions.range(self.turn..);
        let mut due: Vec<(u32, SubscriptionId)> =
            later.chain(self.subscriptions.range(..self.turn)).map(|(&number, &id)| (number, id)).collect();
        while !due.is_empty() {
            let mut again = Vec::new();
            for (number, id) in due {
                if out.len() >= bytes_max {
                    self.turn = number;
                    return Ok(());
                }
                match publisher.next(id) {
                    Next::Packet(packet) => {
                        encode::packet(number, &packet, out);
                        again.push((number, id));
                    }
                    Next::Nothing => {}
                    Next::Cut(Cut::Stalled) => return Err(Stalled),
                    Next::Cut(Cut::FellBehind) => self.end(number, SubscriptionEnd::FellBehind, out),
                    Next::Unknown => self.end(number, SubscriptionEnd::Gone, out),
                }
            }
            due = again;
        }
        Ok(())
    }

    fn end(&mut self, number: u32, code: SubscriptionEnd, out: &mut Vec<u8>) {
        self.subscriptions.remove(&number);
        SubscriptionEnded { number, code }.write(out);
    }

    /// Appends a sign of life, for a reader that has heard nothing for a while.
    pub fn heartbeat(publisher: &Publisher, out: &mut Vec<u8>) {
        let data = publisher.data();
        MarketHeartbeat { seq: data.seq(), time: data.time() }.write(out);
    }

    /// Whether the reader was cut; for one that is being written to.
    #[must_use]
    pub fn is_stalled(&self, publisher: &Publisher) -> bool {
        self.subscriptions.values().any(|&id| publisher.is_stalled(id))
    }

    /// How many subscriptions it has.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// Ends them all.
    pub fn finish(&mut self, publisher: &mut Publisher) {
        for id in std::mem::take(&mut self.subscriptions).into_values() {
            publisher.unsubscribe(id);
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are the server's")]
fn number_of(message: &MarketMessage<'_>) -> Result<u32, OutOfTurn> {
    Ok(match message {
        MarketMessage::Subscribe(Subscribe { number, .. })
        | MarketMessage::Unsubscribe(Unsubscribe { number })
        | MarketMessage::GetCandles(GetCandles { number, .. })
        | MarketMessage::GetTrades(GetTrades { number, .. })
        | MarketMessage::GetAggregateTrades(GetAggregateTrades { number, .. })
        | MarketMessage::GetTickers(GetTickers { number, .. })
        | MarketMessage::GetStatus(GetStatus { number, .. })
        | MarketMessage::GetMarkets(GetMarkets { number }) => *number,
        other => return Err(OutOfTurn(other.template())),
    })
}

fn candles(data: &MarketData, question: &GetCandles, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let &GetCandles { number, market, interval, utc_offset_s, behind_utc, from, to } = question;
    let found = data.market(market).ok_or((MarketRejectReason::UnknownMarket, "market"))?;
    let out_of_range = |field| (MarketRejectReason::FieldOutOfRange, field);
    let offset = utc_offset(utc_offset_s, behind_utc).ok_or(out_of_range("utc_offset_s"))?;
    if from > to {
        return Err(out_of_range("to"));
    }
    let page = found.candles().page(Interval::from_wire(interval), offset, from, to.min(data.now()));
    let candles = encode::rows(page.candles.iter().map(encode::candle));
    let (complete_from, candles) = (page.complete_from, encode::group(&candles));
    CandlesPage { number, market, seq: data.seq(), interval, complete_from, candles }.write(out);
    Ok(())
}

fn utc_offset(seconds: u32, is_behind: bool) -> Option<UtcOffset> {
    let minutes = i16::try_from(seconds / 60).ok().filter(|_| seconds.is_multiple_of(60))?;
    UtcOffset::of_minutes(if is_behind { -minutes } else { minutes })
}

fn trades(data: &MarketData, question: &GetTrades, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let &GetTrades { number, market, from_trade, from_time, limit } = question;
    let trades = data.market(market).ok_or((MarketRejectReason::UnknownMarket, "market"))?.trades();
    let limit = rows_of(limit)?;
    let found: Vec<&Trade> = if (from_trade, from_time) == (TradeId(0), UnixNanos(0)) {
        trades.iter().skip(trades.iter().len().saturating_sub(limit)).collect()
    } else {
        // Ids and times rise together.
        trades.from_id(from_trade).skip_while(|trade| trade.time < from_time).take(limit).collect()
    };
    let found = encode::rows(found.into_iter().map(encode::trade));
    let (oldest_trade, complete_from) = (trades.oldest(), trades.complete_from(data.began().1));
    let trades = encode::group(&found);
    TradesPage { number, market, seq: data.seq(), oldest_trade, complete_from, trades }.write(out);
    Ok(())
}

fn aggregate_trades(
    data: &MarketData,
    question: GetAggregateTrades,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let GetAggregateTrades { number, market, from_trade, from_time, limit } = question;
    let trades = data.market(market).ok_or((MarketRejectReason::UnknownMarket, "market"))?.trades();
    let limit = rows_of(limit)?;
    let found = if (from_trade, from_time) == (TradeId(0), UnixNanos(0)) {
        let (mut all, _) = aggregate(trades.iter(), usize::MAX);
        all.split_off(all.len().saturating_sub(limit))
    } else {
        let (mut rows, _) = aggregate(trades.iter().skip_while(|trade| trade.time < from_time), usize::MAX);
        rows.retain(|row| row.last >= from_trade);
        rows.truncate(limit);
        rows
    };
    let found = encode::rows(found.iter().map(encode::aggregate_trade));
    let (oldest_trade, complete_from) = (trades.oldest(), trades.complete_from(data.began().1));
    let trades = encode::group(&found);
    AggregateTradesPage { number, market, seq: data.seq(), oldest_trade, complete_from, trades }.write(out);
    Ok(())
}

/// How many rows a question wants.
fn rows_of(limit: u32) -> Result<usize, Refusal> {
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=MARKET_DATA_ROWS_MAX).contains(limit));
    limit.ok_or((MarketRejectReason::FieldOutOfRange, "limit"))
}

fn tickers(data: &MarketData, question: &GetTickers, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let &GetTickers { number, window, market } = question;
    let (wanted, time) = (Window::from_wire(window), data.now());
    let tickers = if market == MarketId(0) {
        encode::rows(data.tickers(wanted, time).map(|(id, ticker)| encode::ticker(id, &ticker)))
    } else {
        let found = data.market(market).ok_or((MarketRejectReason::UnknownMarket, "market"))?;
        encode::rows(found.ticker(wanted, time).iter().map(|ticker| encode::ticker(market, ticker)))
    };
    let (complete_from, tickers) = (data.began().1, encode::group(&tickers));
    TickersPage { number, seq: data.seq(), time, window, complete_from, tickers }.write(out);
    Ok(())
}

fn statuses(data: &MarketData, question: GetStatus, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let GetStatus { number, market } = question;
    let found = if market == MarketId(0) {
        encode::rows(data.markets().map(|(id, market)| encode::status(id, &market.status())))
    } else {
        let found = data.market(market).ok_or((MarketRejectReason::UnknownMarket, "market"))?;
        encode::rows([encode::status(market, &found.status())].into_iter())
    };
    let statuses = encode::group(&found);
    StatusPage { number, seq: data.seq(), time: data.time(), statuses }.write(out);
    Ok(())
}

fn markets(data: &MarketData, number: u32, out: &mut Vec<u8>) {
    let markets = encode::rows(data.markets().map(|(_, market)| *market.listing()));
    let ((began, began_time), markets) = (data.began(), encode::group(&markets));
    MarketsPage { number, seq: data.seq(), began, began_time, markets }.write(out);
}

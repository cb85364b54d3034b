//! What one reader has been sent of one channel: a place, and no packets. So a reader costs the same however slow it is.

use std::collections::BTreeMap;

use protocol::book::BookLevel;
use protocol::{MarketId, MonoNanos, Seq, Side, UnixNanos};

use super::all_markets::{ALL_MARKETS, AllMarkets};
use super::candles::{Interval, UtcOffset};
use super::data::{Market, MarketData};
use super::packet::Body;
use super::ticker::{Ticker, Window};
use super::trades::{Trade, TradeChange, aggregate};

/// At most so many trades are in one packet.
const TRADES_PER_PACKET_MAX: usize = 1_000;

/// How many levels of each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The best price.
    Top,
    /// 5.
    Five,
    /// 10.
    Ten,
    /// 20.
    Twenty,
}

impl Depth {
    /// How many.
    #[must_use]
    pub const fn levels(self) -> usize {
        match self {
            Self::Top => 1,
            Self::Five => 5,
            Self::Ten => 10,
            Self::Twenty => 20,
        }
    }
}

/// What is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// The best levels, whenever they are others: the latest state wins.
    Depth(Depth),
    /// All levels, then what they come to: what was not read is merged, the latest state wins.
    Levels,
    /// All orders, then what becomes of them: what was not read comes in order, and if it is too much, all orders again.
    Orders,
    /// Trades from now on, and what becomes of those before: what was not read comes in order, and if it is too much, with the number of those
    /// that were missed.
    Trades,
    /// The same, those of one price and one record in one row.
    AggregateTrades,
    /// A rolling window: the latest state wins.
    Ticker(Window),
    /// Candles from the one that is open: those that changed, the latest state wins.
    Candles(Interval),
    /// In which state the market is: the latest one wins.
    Status,
}

/// Why a subscription was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Something was there to be read, and nothing was read for too long.
    Stalled,
    /// What had not been read was not kept any more, too often one time behind the other.
    FellBehind,
}

/// What a reader has.
#[derive(Clone, Debug)]
enum Place {
    /// Of one market.
    One(OneMarket),
    /// Of all of them.
    All(AllMarkets),
}

/// What a reader of one market has.
#[derive(Clone, Debug)]
enum OneMarket {
    /// The levels of this state of the book; `None` = nothing was sent.
    Depth { depth: Depth, seen: Option<Seq>, sent: Option<[Vec<BookLevel>; 2]> },
    /// The book of this seq.
    Levels(Option<Seq>),
    /// The book of this seq.
    Orders(Option<Seq>),
    /// So many of the trades since market data began, and of what became of trades.
    Trades { count: u64, changes: u64, are_aggregate: bool },
    /// The window as it was.
    Ticker { window: Window, seen: Option<(u64, UnixNanos)>, sent: Option<Ticker> },
    /// The candles of a version of the tape with so many changes, the newest of which opens then.
    Candles { interval: Interval, seen: Option<u64>, changes: u64, open_time: UnixNanos },
    /// The state behind this record.
    Status(Option<Seq>),
}

/// One reader of one channel.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) market: MarketId,
    channel: Channel,
    place: Place,
    /// How often one behind the other its place was not kept any more.
    losses: u32,
    /// When it was first seen to leave something unread, since it has last read.
    pub(crate) behind_since: Option<MonoNanos>,
}

/// What a channel has for a reader.
pub(crate) struct Taken {
    pub(crate) body: Option<Body>,
    /// What the reader had was too old to go on from.
    pub(crate) is_lost: bool,
}

impl Taken {
    pub(super) const NOTHING: Self = Self { body: None, is_lost: false };

    pub(super) const fn new(body: Body) -> Self {
        Self { body: Some(body), is_lost: false }
    }
}

impl Subscription {
    /// Begins with the state as it is; a reader that has the book of `since` goes on from there, where that is kept. `None`: there is no such
    /// market.
    pub(crate) fn new(id: MarketId, channel: Channel, data: &MarketData, since: Option<Seq>) -> Option<Self> {
        let place = Self::first_place(id, channel, data, since)?;
        Some(Self { market: id, channel, place, losses: 0, behind_since: None })
    }

    fn first_place(id: MarketId, channel: Channel, data: &MarketData, since: Option<Seq>) -> Option<Place> {
        if id == ALL_MARKETS {
            return AllMarkets::new(channel).map(Place::All);
        }
        Some(Place::One(OneMarket::new(channel, data.market(id)?, since)))
    }

    /// Market data were begun anew: nothing of what was sent goes on. Returns whether its market is still there.
    pub(crate) fn begin_again(&mut self, data: &MarketData) -> bool {
        let Some(place) = Self::first_place(self.market, self.channel, data, None) else { return false };
        (self.place, self.losses) = (place, 0);
        true
    }

    /// What happened before market data began was put in front, of each market so many trades and changes.
    pub(crate) fn prepend(
        &mut self,
        data: &MarketData,
        past: &BTreeMap<MarketId, (u64, u64)>,
        began: UnixNanos,
    ) {
        match &mut self.place {
            Place::One(place) => {
                let Some(market) = data.market(self.market) else { return };
                place.prepend(market, past.get(&self.market).copied().unwrap_or_default(), began);
            }
            Place::All(place) => place.prepend(),
        }
    }

    /// Counts a loss, or that there was none. Returns how many came one behind the other.
    pub(crate) const fn count_loss(&mut self, is_lost: bool) -> u32 {
        self.losses = if is_lost { self.losses.saturating_add(1) } else { 0 };
        self.losses
    }

    /// Whether there may be something to take. Cheap: it may turn out to be nothing.
    pub(crate) fn may_have_more(&self, data: &MarketData) -> bool {
        match &self.place {
            Place::One(place) => {
                data.market(self.market).is_some_and(|market| place.may_have_more(market, data.now()))
            }
            Place::All(place) => place.may_have_more(data),
        }
    }

    /// What is new to the reader, who has it from then on.
    pub(crate) fn take(&mut self, data: &MarketData) -> Taken {
        if !self.may_have_more(data) {
            return Taken::NOTHING;
        }
        match &mut self.place {
            Place::One(place) => {
                data.market(self.market).map_or(Taken::NOTHING, |market| place.take(market, data))
            }
            Place::All(place) => place.take(data),
        }
    }
}

impl OneMarket {
    fn new(channel: Channel, market: &Market, since: Option<Seq>) -> Self {
        match channel {
            Channel::Depth(depth) => Self::Depth { depth, seen: None, sent: None },
            Channel::Levels => Self::Levels(since),
            Channel::Orders => Self::Orders(since),
            Channel::Trades | Channel::AggregateTrades => {
                let (count, changes) = (market.trades().count(), market.tape().changes().count());
                Self::Trades { count, changes, are_aggregate: channel == Channel::AggregateTrades }
            }
            Channel::Ticker(window) => Self::Ticker { window, seen: None, sent: None },
            Channel::Candles(interval) => {
                let open_time = market.candles().last(interval).map_or(UnixNanos(0), |last| last.open_time);
                Self::Candles { interval, seen: None, changes: market.tape().changes().count(), open_time }
            }
            Channel::Status => Self::Status(None),
        }
    }

    /// So many trades and changes of before the market began were put in front: what it was sent since stays as it is, but for candles that
    /// were open then.
    fn prepend(&mut self, market: &Market, (trades, changed): (u64, u64), began: UnixNanos) {
        match self {
            Self::Trades { count, changes, .. } => {
                *count += trades;
                *changes += changed;
            }
            Self::Candles { interval, seen, changes, open_time } => {
                *seen = None;
                *changes += changed;
                let was_open = interval.open_time(began, UtcOffset::UTC);
                *open_time = if *open_time > UnixNanos(0) {
                    was_open.min(*open_time)
                } else {
                    market.candles().last(*interval).map_or(UnixNanos(0), |last| last.open_time)
                };
            }
            Self::Ticker { seen, .. } => *seen = None,
            Self::Depth { .. } | Self::Levels(_) | Self::Orders(_) | Self::Status(_) => {}
        }
    }

    fn may_have_more(&self, market: &Market, now: UnixNanos) -> bool {
        match self {
            Self::Depth { seen, .. } => *seen != Some(market.changed()),
            Self::Levels(have) | Self::Orders(have) => have.is_none_or(|have| have < market.changed()),
            Self::Trades { count, changes, .. } => {
                (*count, *changes) != (market.trades().count(), market.tape().changes().count())
            }
            Self::Ticker { window, seen, .. } => {
                *seen != Some((market.tape().version(), window.open_time(now)))
            }
            Self::Candles { seen, .. } => *seen != Some(market.tape().version()),
            Self::Status(have) => *have != Some(market.status_changed()),
        }
    }

    fn take(&mut self, market: &Market, data: &MarketData) -> Taken {
        let now = data.now();
        match self {
            Self::Depth { depth, seen, sent } => {
                *seen = Some(market.changed());
                let levels = [Side::Buy, Side::Sell]
                    .map(|side| market.book().levels(side).take(depth.levels()).collect::<Vec<_>>());
                if sent.as_ref() == Some(&levels) {
                    return Taken::NOTHING;
                }
                let [bids, asks] = sent.insert(levels).clone();
                Taken::new(Body::Depth { bids, asks })
            }
            Self::Levels(have) => {
                let body = have.replace(data.seq()).map(|since| {
                    let levels = market.levels_since(since).ok()?;
                    Some(Body::LevelsChanged { first: since.next(), levels })
                });
                let [bids, asks] = [Side::Buy, Side::Sell];
                or_anew(body, || Body::Levels {
                    bids: market.book().levels(bids).collect(),
                    asks: market.book().levels(asks).collect(),
                })
            }
            Self::Orders(have) => {
                let body = have.replace(data.seq()).map(|since| {
                    let changes = market.changes_since(since).ok()?;
                    Some(Body::OrdersChanged { first: since.next(), changes: changes.copied().collect() })
                });
                or_anew(body, || Body::Orders { orders: market.book().orders().collect() })
            }
            Self::Trades { count, changes, are_aggregate } => {
                take_trades(market, count, changes, *are_aggregate)
            }
            Self::Ticker { window, seen, sent } => {
                *seen = Some((market.tape().version(), window.open_time(now)));
                let ticker = market.ticker(*window, now);
                let is_new = ticker != *sent;
                *sent = ticker;
                Taken { body: ticker.filter(|_| is_new).map(Body::Ticker), is_lost: false }
            }
            Self::Candles { interval, seen, changes, open_time } => {
                *seen = Some(market.tape().version());
                let from =
                    first_changed(market, *interval, changes).map_or(*open_time, |at| at.min(*open_time));
                let Some(last) = market.candles().last(*interval) else { return Taken::NOTHING };
                let candles = market.candles().newest(*interval, from, last.open_time.max(*open_time));
                *open_time = last.open_time;
                Taken::new(Body::Candles { interval: *interval, candles })
            }
            Self::Status(have) => {
                *have = Some(market.status_changed());
                Taken::new(Body::Status(Box::new(market.status())))
            }
        }
    }
}

/// The next trades; behind them what became of trades.
fn take_trades(market: &Market, count: &mut u64, seen: &mut u64, are_aggregate: bool) -> Taken {
    if *count < market.trades().count() {
        let missed = market.trades().dropped().saturating_sub(*count);
        let behind = market.trades().behind(*count);
        let (body, told) = if are_aggregate {
            let (trades, told) = aggregate(behind, TRADES_PER_PACKET_MAX);
            (Body::AggregateTrades { missed, trades }, told)
        } else {
            let trades: Vec<Trade> = behind.take(TRADES_PER_PACKET_MAX).copied().collect();
            let told = trades.len();
            (Body::Trades { missed, trades }, told)
        };
        *count += missed + u64::try_from(told).unwrap_or(0);
        return Taken { body: Some(body), is_lost: missed > 0 };
    }
    let all = market.tape().changes();
    let missed = all.dropped().saturating_sub(*seen);
    let changes: Vec<TradeChange> = all.behind(*seen).take(TRADES_PER_PACKET_MAX).copied().collect();
    *seen += missed + u64::try_from(changes.len()).unwrap_or(0);
    Taken { body: Some(Body::TradesChanged { missed, changes }), is_lost: missed > 0 }
}

/// Start of the earliest candle that another trade has become of since so many changes; 0 where not all of them are known any more.
fn first_changed(market: &Market, interval: Interval, seen: &mut u64) -> Option<UnixNanos> {
    let all = market.tape().changes();
    let before = core::mem::replace(seen, all.count());
    if all.dropped() > before {
        return Some(UnixNanos(0));
    }
    let made_at = all.behind(before).filter_map(|change| change.made_at).min();
    made_at.map(|made_at| interval.open_time(made_at, UtcOffset::UTC))
}

/// What changed, if it is known; else everything, which is a loss for a reader who had something.
fn or_anew(changed: Option<Option<Body>>, anew: impl FnOnce() -> Body) -> Taken {
    match changed {
        Some(Some(body)) => Taken::new(body),
        Some(None) => Taken { body: Some(anew()), is_lost: true },
        None => Taken::new(anew()),
    }
}

//! Readers of market data beside the engine itself: whoever follows the packets has the engine's book at their seq, however it reads.

use std::collections::BTreeMap;

use protocol::book::{BookLevel, book_checksum};
use protocol::events::Settled;
use protocol::{EventBody, MarketId, MarketPhase, MonoNanos, Seq, Side, TradeId};
use views::market::{
    ALL_MARKETS, AggregateTrade, Body, CANDLES_PER_ANSWER_MAX, Candle, Channel, Cut, Depth, Interval,
    MarketData, MarketLimits, Next, OrderAction, OrderChange, Packet, Publisher, PublisherLimits,
    RestingOrder, Status, SubscribeRefusal, SubscriptionId, Ticker, Window,
};

use crate::exchange::Exchange;

const MARKETS: [MarketId; 2] = [MarketId(1), MarketId(2)];
/// So few that readers lose their place.
const LIMITS: MarketLimits = MarketLimits {
    changes_kept: 30,
    trades_kept: 12,
    trade_changes_kept: 4,
    candles_kept: 0,
    quarter_hours_kept: 100,
};
const PUBLISHER: PublisherLimits = PublisherLimits { subscriptions_max: 40, stall_ns: 200, losses_max: 1 };

/// What the engine's book was behind a record.
struct Then {
    orders: Vec<RestingOrder>,
    checksum: u32,
    phase: MarketPhase,
    /// What was published of the market and stands.
    published: Vec<EventBody>,
}

fn visible(exchange: &Exchange, market: MarketId) -> Vec<RestingOrder> {
    let sides = [Side::Buy, Side::Sell].into_iter();
    let orders = sides.flat_map(|side| exchange.engine.queue(market, side)).map(|resting| RestingOrder {
        order: resting.id,
        side: resting.side,
        price_ticks: resting.price,
        qty_lots: resting.visible(),
    });
    orders.collect()
}

fn begun(exchange: &Exchange) -> MarketData {
    let at = (exchange.engine.seq_applied(), exchange.engine.time());
    let orders = MARKETS.map(|market| (market, visible(exchange, market)));
    let definitions = exchange.engine.definitions().into_iter().chain(exchange.engine.published());
    MarketData::begin(LIMITS, at, definitions, orders).unwrap()
}

/// Its phase, and what was published of it.
fn told(exchange: &Exchange, market: MarketId) -> (MarketPhase, Vec<EventBody>) {
    let phase = exchange.engine.markets().find(|one| one.definition.market == market).unwrap().phase;
    let published = exchange.engine.published().filter(|body| {
        if let EventBody::AuctionIndicated(indicated) = body {
            return indicated.market == market;
        }
        let EventBody::PricePublished(index) = body else { panic!("{body:?}") };
        index.market == market
    });
    (phase, published.collect())
}

fn said(status: &Status) -> (MarketPhase, Vec<EventBody>) {
    let indicated = status.indicated.clone().map(EventBody::from);
    let index = status.index.clone().map(EventBody::from);
    (status.phase, indicated.into_iter().chain(index).collect())
}

/// A side's levels, summed up from its orders.
fn levels(orders: &[RestingOrder], side: Side) -> Vec<BookLevel> {
    let mut levels: Vec<BookLevel> = Vec::new();
    for order in orders.iter().filter(|order| order.side == side) {
        let lots = u128::from(order.qty_lots.0);
        match levels.last_mut().filter(|level| level.price_ticks == order.price_ticks) {
            Some(level) => {
                level.lots += lots;
                level.orders += 1;
            }
            None => levels.push(BookLevel { price_ticks: order.price_ticks, lots, orders: 1 }),
        }
    }
    levels
}

/// A client that checks what it is sent.
struct Reader {
    market: MarketId,
    channel: Channel,
    id: SubscriptionId,
    /// Reads one time in so many.
    pace: u64,
    /// When it has last done so.
    read: MonoNanos,
    have: Option<Seq>,
    levels: BTreeMap<(Side, u64), BookLevel>,
    orders: Vec<RestingOrder>,
    /// Trades that were there before it joined, and what it has learnt of.
    trades: (usize, usize),
    candle: Option<Candle>,
    /// Of all markets.
    tickers: BTreeMap<MarketId, Ticker>,
    statuses: BTreeMap<MarketId, Status>,
}

/// A trade as the engine told it, and the record.
type Told = (Seq, Settled);

/// Asserts that a row is the longest run of trades of its record at its price. Returns how many these are.
fn is_aggregate(row: &AggregateTrade, from: usize, all: &[Told]) -> usize {
    let of = |(seq, settled): &Told| (*seq, settled.price_ticks, settled.taker_side);
    let run: Vec<&Told> = all[from..].iter().take_while(|told| of(told) == of(&all[from])).collect();
    let last = run.last().unwrap();
    assert_eq!((row.seq, row.price_ticks, row.taker_side), of(last));
    assert_eq!((row.first, row.last), (run[0].1.trade, last.1.trade));
    assert_eq!(row.qty_lots, run.iter().map(|told| u128::from(told.1.qty_lots.0)).sum::<u128>());
    assert_eq!(row.notional.0, run.iter().map(|told| told.1.notional.0).sum::<u128>());
    assert_eq!(usize::try_from(row.trades).unwrap(), run.len());
    run.len()
}

/// What has happened to readers.
#[derive(Debug, Default)]
struct Seen {
    packets: usize,
    anew: usize,
    resumed: usize,
    missed: u64,
    fell_behind: usize,
    stalled: usize,
    restarts: usize,
    /// Quantities that a group moved instead of trading with itself.
    moved: usize,
    indicated: usize,
    uncrossed: usize,
    /// Trades that came in rows of more than one.
    aggregated: usize,
    /// Tickers and states that came of all markets together.
    of_all: usize,
}

struct Test {
    exchange: Exchange,
    publisher: Publisher,
    past: BTreeMap<(MarketId, Seq), Then>,
    trades: BTreeMap<MarketId, Vec<Told>>,
    readers: Vec<Reader>,
    seen: Seen,
    now: MonoNanos,
}

impl Test {
    fn new(seed: u64) -> Self {
        let exchange = Exchange::new(seed);
        let publisher = Publisher::new(begun(&exchange), PUBLISHER);
        let mut test = Self {
            exchange,
            publisher,
            past: BTreeMap::new(),
            trades: BTreeMap::new(),
            readers: Vec::new(),
            seen: Seen::default(),
            now: MonoNanos(0),
        };
        test.remember();
        test
    }

    fn remember(&mut self) {
        let seq = self.exchange.engine.seq_applied();
        for market in MARKETS {
            let orders = visible(&self.exchange, market);
            let checksum = self.exchange.engine.book_checksum(market);
            let sides = [Side::Buy, Side::Sell].map(|side| levels(&orders, side)).concat();
            assert_eq!(book_checksum(sides), checksum);
            let (phase, published) = told(&self.exchange, market);
            self.past.insert((market, seq), Then { orders, checksum, phase, published });
        }
    }

    fn trade(&mut self) {
        self.exchange.trade();
        let (seq, time, _, events) = self.exchange.log.last().unwrap();
        self.publisher.data_mut().take(*seq, *time, events).unwrap();
        for event in events {
            if let EventBody::Settled(settled) = &event.body {
                if settled.trade == TradeId(0) {
                    self.seen.moved += 1;
                    continue;
                }
                self.trades.entry(settled.market).or_default().push((*seq, settled.clone()));
            }
        }
        self.remember();
    }

    fn join(&mut self) {
        let mut market = MARKETS[usize::try_from(self.exchange.below(2)).unwrap()];
        let channel = match self.exchange.below(10) {
            0 => Channel::Depth([Depth::Top, Depth::Five][usize::try_from(self.exchange.below(2)).unwrap()]),
            1 | 2 => Channel::Levels,
            3 | 4 => Channel::Orders,
            5 => Channel::Trades,
            6 => Channel::Ticker(Window::Hour),
            7 => Channel::Status,
            8 => Channel::AggregateTrades,
            _ => Channel::Candles(Interval::Second),
        };
        let is_of_all = matches!(channel, Channel::Ticker(_) | Channel::Status);
        if is_of_all && self.exchange.below(2) == 0 {
            market = ALL_MARKETS;
        } else if !is_of_all {
            let refused = self.publisher.subscribe(ALL_MARKETS, channel, None);
            assert_eq!(refused, Err(SubscribeRefusal::UnknownMarket));
        }
        if self.readers.len() >= PUBLISHER.subscriptions_max {
            let refused = self.publisher.subscribe(market, channel, None);
            assert_eq!(refused, Err(SubscribeRefusal::TooManySubscriptions));
            return;
        }
        let id = self.publisher.subscribe(market, channel, None).unwrap();
        let count = self.trades.get(&market).map_or(0, Vec::len);
        self.readers.push(Reader {
            market,
            channel,
            id,
            pace: [1, 3, 60, 80][usize::try_from(self.exchange.below(4)).unwrap()],
            read: self.now,
            have: None,
            levels: BTreeMap::new(),
            orders: Vec::new(),
            trades: (count, count),
            candle: None,
            tickers: BTreeMap::new(),
            statuses: BTreeMap::new(),
        });
    }

    /// A connection is lost; the client comes back and says what it has.
    fn drop_and_resume(&mut self, at: usize) {
        let now = self.now;
        let reader = &mut self.readers[at];
        reader.read = now;
        assert!(self.publisher.unsubscribe(reader.id));
        assert_eq!(self.publisher.next(reader.id), Next::Unknown);
        reader.id = self.publisher.subscribe(reader.market, reader.channel, reader.have).unwrap();
        reader.trades.0 = self.trades.get(&reader.market).map_or(0, Vec::len);
        reader.trades.1 = reader.trades.0;
        reader.candle = None;
        reader.tickers.clear();
        reader.statuses.clear();
        self.seen.resumed += usize::from(reader.have.is_some());
    }

    /// Market data end, and begin with the engine's book as it is: candles count from here.
    fn restart(&mut self) {
        self.publisher.begin_again(begun(&self.exchange));
        self.seen.restarts += 1;
        for reader in &mut self.readers {
            let count = self.trades.get(&reader.market).map_or(0, Vec::len);
            reader.trades = (count, count);
            reader.candle = None;
            reader.tickers.clear();
            reader.statuses.clear();
        }
    }

    fn read(&mut self, at: usize) {
        self.readers[at].read = self.now;
        loop {
            let reader = &mut self.readers[at];
            match self.publisher.next(reader.id) {
                Next::Nothing => {
                    let seq = self.publisher.data().seq();
                    if let Channel::Candles(interval) = reader.channel
                        && reader.candle.is_some()
                    {
                        let market = self.publisher.data().market(reader.market).unwrap();
                        assert_eq!(reader.candle.as_ref(), market.candles().last(interval));
                    }
                    if reader.market == ALL_MARKETS {
                        reader.has_all(self.publisher.data());
                        return;
                    }
                    if reader.channel == Channel::Status {
                        let then = &self.past[&(reader.market, reader.have.unwrap())];
                        let now = &self.past[&(reader.market, seq)];
                        assert_eq!((then.phase, &then.published), (now.phase, &now.published));
                    }
                    if matches!(reader.channel, Channel::Levels | Channel::Orders) {
                        // Nothing has changed since.
                        let (then, now) = (reader.have.unwrap(), seq);
                        assert_eq!(
                            self.past[&(reader.market, then)].orders,
                            self.past[&(reader.market, now)].orders
                        );
                    }
                    return;
                }
                Next::Packet(packet) if reader.market == ALL_MARKETS => {
                    reader.take_all(&packet, &mut self.seen);
                }
                Next::Packet(packet) => {
                    self.seen.packets += 1;
                    let then = &self.past[&(reader.market, packet.stamp.seq)];
                    assert_eq!(packet.stamp.market, reader.market);
                    assert_eq!(packet.stamp.book_checksum, then.checksum, "{packet:?}");
                    let trades = self.trades.get(&reader.market).map_or(&[][..], |trades| trades);
                    let before = reader.have.is_some();
                    reader.take(&packet, then, trades, &mut self.seen);
                    self.seen.anew += usize::from(
                        before && matches!(packet.body, Body::Levels { .. } | Body::Orders { .. }),
                    );
                }
                Next::Cut(cut) => {
                    assert_eq!(cut, Cut::FellBehind);
                    assert_eq!(self.publisher.next(reader.id), Next::Unknown);
                    self.seen.fell_behind += 1;
                    self.readers.swap_remove(at);
                    return;
                }
                Next::Unknown => panic!("a subscription ended without a word"),
            }
        }
    }

    fn cut_stalled(&mut self) {
        let cut = self.publisher.cut_stalled(self.now);
        let before = self.readers.len();
        for at in (0..before).rev() {
            let Reader { id, read, .. } = self.readers[at];
            if self.publisher.is_stalled(id) {
                assert_eq!(self.publisher.next(id), Next::Cut(Cut::Stalled));
                assert_eq!(self.publisher.next(id), Next::Unknown);
                assert!(self.now.since(read) >= PUBLISHER.stall_ns, "it has read in time");
                self.readers.swap_remove(at);
                self.seen.stalled += 1;
            }
        }
        assert_eq!(before - self.readers.len(), cut);
    }
}

impl Reader {
    /// Of all markets: what came replaces what was there.
    fn take_all(&mut self, packet: &Packet, seen: &mut Seen) {
        assert_eq!((packet.stamp.market, packet.stamp.book_checksum), (ALL_MARKETS, 0));
        if let Body::Tickers { window, tickers } = &packet.body {
            assert_eq!(self.channel, Channel::Ticker(*window));
            assert!(!tickers.is_empty());
            self.tickers.extend(tickers.iter().copied());
            seen.of_all += tickers.len();
        } else if let Body::Statuses(statuses) = &packet.body {
            assert_eq!(self.channel, Channel::Status);
            assert!(!statuses.is_empty());
            self.statuses.extend(statuses.iter().cloned());
            seen.of_all += statuses.len();
        } else {
            panic!("{packet:?}");
        }
    }

    /// Of all markets: nothing is lacking.
    fn has_all(&self, data: &MarketData) {
        if let Channel::Ticker(window) = self.channel {
            assert_eq!(self.tickers, data.tickers(window, data.now()).collect());
        } else {
            let all: BTreeMap<MarketId, Status> = data.markets().map(|(id, at)| (id, at.status())).collect();
            assert_eq!(self.statuses, all);
        }
    }

    fn take(&mut self, packet: &Packet, then: &Then, all: &[Told], seen: &mut Seen) {
        let follows = |first: Seq| assert_eq!(self.have.map(Seq::next), Some(first), "{packet:?}");
        match &packet.body {
            Body::Depth { bids, asks } => {
                let Channel::Depth(depth) = self.channel else { panic!("{packet:?}") };
                for (side, found) in [(Side::Buy, bids), (Side::Sell, asks)] {
                    let mut best = levels(&then.orders, side);
                    best.truncate(depth.levels());
                    assert_eq!(*found, best);
                }
            }
            Body::Levels { bids, asks } => {
                let bids = bids.iter().map(|level| ((Side::Buy, level.price_ticks.0), *level));
                let asks = asks.iter().map(|level| ((Side::Sell, level.price_ticks.0), *level));
                self.levels = bids.chain(asks).collect();
            }
            Body::LevelsChanged { first, levels } => {
                follows(*first);
                assert!(!levels.is_empty());
                for (side, level) in levels {
                    let key = (*side, level.price_ticks.0);
                    if level.lots == 0 {
                        self.levels.remove(&key)
                    } else {
                        self.levels.insert(key, *level)
                    };
                }
            }
            Body::Orders { orders } => self.orders.clone_from(orders),
            Body::OrdersChanged { first, changes } => {
                follows(*first);
                assert!(!changes.is_empty());
                for change in changes {
                    assert!(*first <= change.seq && change.seq <= packet.stamp.changed);
                    change_orders(&mut self.orders, change);
                }
            }
            Body::Trades { missed, trades } => {
                seen.missed += missed;
                let from = self.trades.1 + usize::try_from(*missed).unwrap();
                self.trades.1 = from + trades.len();
                let ids: Vec<TradeId> = trades.iter().map(|trade| trade.trade).collect();
                let told = all[from..self.trades.1].iter().map(|told| told.1.trade);
                assert_eq!(ids, told.collect::<Vec<TradeId>>());
            }
            Body::AggregateTrades { missed, trades } => {
                seen.missed += missed;
                self.trades.1 += usize::try_from(*missed).unwrap();
                seen.aggregated += self.take_rows(trades, all);
            }
            Body::Ticker(ticker) => assert!(ticker.low <= ticker.last && ticker.last <= ticker.high),
            Body::Candles { candles, interval } => {
                assert!(candles.is_sorted_by_key(|candle| candle.open_time) && !candles.is_empty());
                let joins = self.candle.is_none_or(|last| last.open_time == candles[0].open_time);
                assert!(joins || candles.len() == CANDLES_PER_ANSWER_MAX, "{interval:?}");
                self.candle = candles.last().copied();
            }
            Body::TradesChanged { .. } | Body::Tickers { .. } | Body::Statuses(_) => {
                panic!("nothing is busted here: {packet:?}")
            }
            Body::Status(status) => take_status(status, packet.stamp.seq, then, seen),
        }
        self.have = Some(packet.stamp.seq);
        self.compare(then);
    }

    /// Rows of all trades that it has not had. Returns how many of these came in rows of more than one.
    fn take_rows(&mut self, rows: &[AggregateTrade], all: &[Told]) -> usize {
        let mut aggregated = 0;
        for row in rows {
            let run = is_aggregate(row, self.trades.1, all);
            self.trades.1 += run;
            aggregated += if run > 1 { run } else { 0 };
        }
        aggregated
    }

    /// What it has is the engine's.
    fn compare(&self, then: &Then) {
        match self.channel {
            Channel::Levels => {
                let (bids, asks): (Vec<BookLevel>, Vec<BookLevel>) = (
                    self.levels
                        .iter()
                        .rev()
                        .filter(|(key, _)| key.0 == Side::Buy)
                        .map(|(_, level)| *level)
                        .collect(),
                    self.levels
                        .iter()
                        .filter(|(key, _)| key.0 == Side::Sell)
                        .map(|(_, level)| *level)
                        .collect(),
                );
                assert_eq!(bids, levels(&then.orders, Side::Buy));
                assert_eq!(asks, levels(&then.orders, Side::Sell));
                assert_eq!(book_checksum([bids, asks].concat()), then.checksum);
            }
            Channel::Orders => {
                let mut sorted = self.orders.clone();
                sorted.sort_by_key(|order| {
                    let price = order.price_ticks.0;
                    (order.side, if order.side == Side::Buy { u64::MAX - price } else { price })
                });
                assert_eq!(sorted, then.orders);
            }
            Channel::Depth(_)
            | Channel::Trades
            | Channel::AggregateTrades
            | Channel::Ticker(_)
            | Channel::Candles(_)
            | Channel::Status => {}
        }
    }
}

fn take_status(status: &Status, seq: Seq, then: &Then, seen: &mut Seen) {
    assert_eq!(said(status), (then.phase, then.published.clone()));
    seen.indicated += usize::from(status.indicated.is_some());
    if let Some(auction) = status.auction {
        assert!(auction.seq <= seq && auction.trades > 0);
        seen.uncrossed += 1;
    }
}

/// A client's own list: the oldest in its place first.
fn change_orders(orders: &mut Vec<RestingOrder>, change: &OrderChange) {
    let at = orders.iter().position(|order| order.order == change.order);
    match change.action {
        OrderAction::Added | OrderAction::Refilled => {
            assert_eq!(at, None);
            orders.push(RestingOrder {
                order: change.order,
                side: change.side,
                price_ticks: change.price_ticks,
                qty_lots: change.left_lots,
            });
        }
        OrderAction::Reduced => orders[at.unwrap()].qty_lots = change.left_lots,
        OrderAction::Removed => {
            assert_eq!(change.left_lots.0, 0);
            orders.remove(at.unwrap());
        }
        OrderAction::Executed { qty_lots, .. } => {
            let order = &mut orders[at.unwrap()];
            assert_eq!(order.qty_lots.0 - qty_lots.0, change.left_lots.0);
            order.qty_lots = change.left_lots;
            if change.left_lots.0 == 0 {
                orders.remove(at.unwrap());
            }
        }
    }
}

#[test]
fn readers_have_the_engines_book_however_they_read() {
    let mut seen = Seen::default();
    for seed in 1..=12 {
        let mut test = Test::new(seed);
        test.seen = seen;
        for round in 0..1_500 {
            test.trade();
            if test.exchange.below(20) == 0 {
                test.join();
            }
            if !test.readers.is_empty() && test.exchange.below(40) == 0 {
                let at = test.exchange.below(test.readers.len().try_into().unwrap());
                test.drop_and_resume(usize::try_from(at).unwrap());
            }
            for at in (0..test.readers.len()).rev() {
                if test.exchange.below(test.readers[at].pace) == 0 {
                    test.read(at);
                }
            }
            test.now = test.now.plus(1);
            if round % 7 == 0 {
                test.cut_stalled();
            }
            if round % 400 == 399 {
                test.restart();
            }
        }
        assert!(test.exchange.engine.trades() > 150, "{} trades", test.exchange.engine.trades());
        seen = test.seen;
    }
    let Seen { packets, anew, resumed, missed, fell_behind, stalled, restarts, .. } = seen;
    assert!(packets > 10_000 && anew > 100 && resumed > 100, "{seen:?}");
    let Seen { moved, indicated, uncrossed, aggregated, of_all, .. } = seen;
    assert!(aggregated > 10 && of_all > 1_000, "{seen:?}");
    assert!(moved > 5 && indicated > 100 && uncrossed > 20, "{seen:?}");
    assert!(missed > 100 && fell_behind > 10 && stalled > 10 && restarts > 10, "{seen:?}");
}

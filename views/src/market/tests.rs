//! Trades, candles and tickers beside a naive model that computes each answer from the list of all trades.

mod past;

use std::collections::BTreeMap;

use protocol::binary::TradeStatus;
use protocol::commands::DefineMarket;
use protocol::event::Event;
use protocol::events::{
    AuctionUncrossed, BookChanged, MarketDefined, MarketPhaseChanged, Settled, TradeBusted,
};
use protocol::{
    AccountId, Amount, AssetId, BookAction, ClientId, EventBody, MarketId, MarketPhase, OrderId, PriceTicks,
    QtyLots, Seq, Side, Text, TradeId, UnixNanos,
};

use super::*;

const MARKET: MarketId = MarketId(1);
const MINUTE: u64 = 60_000_000_000;
const DAY: u64 = 1_440 * MINUTE;
/// 2023-12-30 in the afternoon: two years end soon, and a February has 29 days.
const START: u64 = 1_703_948_000_123_456_789;
const MONTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Feeds trades, and keeps them all.
struct Tape {
    data: MarketData,
    limits: MarketLimits,
    log: Vec<(Seq, UnixNanos, Vec<Event>)>,
    all: Vec<Trade>,
    time: u64,
    state: u64,
}

impl Tape {
    fn new(seed: u64, limits: MarketLimits) -> Self {
        let none: [(MarketId, Vec<RestingOrder>); 0] = [];
        let data = MarketData::begin(limits, (Seq(0), UnixNanos(START)), [], none).unwrap();
        let mut tape = Self { data, limits, log: Vec::new(), all: Vec::new(), time: START, state: seed };
        tape.feed(vec![MarketDefined { definition: definition(), phase: MarketPhase::Trading }.into()]);
        tape
    }

    fn below(&mut self, below: u64) -> u64 {
        // SplitMix64: gaps between trades take more than 32 bits.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    fn feed(&mut self, bodies: Vec<EventBody>) {
        let (seq, time) = (self.data.seq().next(), UnixNanos(self.time));
        let events: Vec<Event> =
            bodies.into_iter().map(|body| Event { output: None, seq, time, body }).collect();
        self.data.take(seq, time, &events).unwrap();
        self.log.push((seq, time, events));
    }

    /// An order rests and is traded in the same record.
    fn trade(&mut self, gap_ns: u64) {
        self.time += 1 + self.below(gap_ns);
        let (seq, time) = (self.data.seq().next(), UnixNanos(self.time));
        let taker_side = if self.below(2) == 0 { Side::Buy } else { Side::Sell };
        let (price_ticks, qty_lots) = (PriceTicks(100 + self.below(50)), QtyLots(1 + self.below(20)));
        let trade = TradeId(3 * seq.0);
        let notional = Amount(price_ticks.times(qty_lots) * 5);
        let added = BookChanged {
            market: MARKET,
            order: OrderId(seq.0),
            side: taker_side.opposite(),
            action: BookAction::Added,
            price_ticks,
            qty_lots,
        };
        let settled = Settled { trade, price_ticks, qty_lots, notional, taker_side, ..settled(seq) };
        self.feed(vec![added.into(), settled.into()]);
        self.all.push(Trade {
            trade,
            price_ticks,
            qty_lots,
            notional,
            taker_side,
            seq,
            time,
            status: TradeStatus::Made,
        });
    }

    /// Takes a trade back, or gives it another price and a smaller quantity. Returns whether it was kept.
    fn bust(&mut self, at: usize, is_corrected: bool) -> bool {
        self.time += 1;
        let before = self.all[at];
        let qty_lots = QtyLots(if is_corrected { 1 + self.below(before.qty_lots.0) } else { 0 });
        let price_ticks = PriceTicks(if is_corrected { 100 + self.below(50) } else { 0 });
        let notional = Amount(price_ticks.times(qty_lots) * 5);
        let settled = Settled {
            trade: before.trade,
            price_ticks: before.price_ticks,
            qty_lots: before.qty_lots,
            notional: before.notional,
            taker_side: before.taker_side,
            ..settled(before.seq)
        };
        let busted = TradeBusted {
            settled,
            price_ticks,
            qty_lots,
            notional,
            buyer_fee: Amount::ZERO,
            seller_fee: Amount::ZERO,
            buyer_tax: Amount::ZERO,
            seller_tax: Amount::ZERO,
            reason: 7,
            postings: Vec::new(),
        };
        self.feed(vec![busted.into()]);
        if self.market().trades().from_id(before.trade).next().is_none_or(|kept| kept.trade != before.trade) {
            return false;
        }
        let trade = &mut self.all[at];
        trade.status = if is_corrected { TradeStatus::Corrected } else { TradeStatus::Busted };
        if is_corrected {
            (trade.price_ticks, trade.qty_lots, trade.notional) = (price_ticks, qty_lots, notional);
        }
        true
    }

    /// Those that were not taken back.
    fn standing(&self) -> Vec<Trade> {
        self.all.iter().copied().filter(|trade| trade.status != TradeStatus::Busted).collect()
    }

    fn market(&self) -> &Market {
        self.data.market(MARKET).unwrap()
    }
}

/// One of an order that is called as the record.
fn settled(seq: Seq) -> Settled {
    Settled {
        trade: TradeId(0),
        market: MARKET,
        price_ticks: PriceTicks(100),
        qty_lots: QtyLots(0),
        notional: Amount::ZERO,
        maker_order: OrderId(seq.0),
        taker_order: OrderId(0),
        taker_side: Side::Buy,
        buyer: ClientId(1),
        seller: ClientId(2),
        buyer_fee: Amount::ZERO,
        seller_fee: Amount::ZERO,
        buyer_tax: Amount::ZERO,
        seller_tax: Amount::ZERO,
        maker_is_paid: false,
    }
}

fn definition() -> DefineMarket {
    DefineMarket {
        market: MARKET,
        symbol: Text::truncated("BASE-QUOTE"),
        base: AssetId(1),
        quote: AssetId(2),
        lot_base_minor: Amount(1),
        tick_quote_minor: Amount(5),
        price_ticks_min: PriceTicks(1),
        price_ticks_max: PriceTicks(1_000),
        qty_lots_min: QtyLots(1),
        qty_lots_max: QtyLots(1_000),
        market_qty_lots_max: QtyLots(1_000),
        notional_min: Amount(0),
        notional_max: Amount(1 << 40),
        client_orders_max: 1,
        maker_fee_ppm: 0,
        taker_fee_ppm: 0,
        fee_account: AccountId(1),
        tax_account: AccountId(0),
    }
}

const UNLIMITED: MarketLimits = MarketLimits {
    changes_kept: 1 << 20,
    trades_kept: 1 << 20,
    trade_changes_kept: 1 << 20,
    candles_kept: 1 << 20,
    quarter_hours_kept: 1 << 20,
};

/// Starts of all months, from 1970 on, by counting days.
fn month_starts() -> Vec<u64> {
    let mut starts = Vec::new();
    let mut day = 0;
    for year in 1970_u64..2040 {
        for (month, days) in MONTHS.into_iter().enumerate() {
            starts.push(day * DAY);
            let is_leap = year.is_multiple_of(4);
            day += days + u64::from(month == 1 && is_leap);
        }
    }
    starts
}

fn naive_length(interval: Interval) -> u64 {
    let name = interval.name();
    let (count, unit) = name.split_at(name.len() - 1);
    let unit = match unit {
        "s" => MINUTE / 60,
        "m" => MINUTE,
        "h" => 60 * MINUTE,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => panic!("{name} has no length"),
    };
    count.parse::<u64>().unwrap() * unit
}

/// Starts of the intervals from the one of `first` to the one of `last`, in UTC.
fn naive_opens(interval: Interval, minutes: i16, first: u64, last: u64) -> Vec<u64> {
    let ahead = i128::from(minutes) * i128::from(MINUTE);
    let (first, last) = (i128::from(first) + ahead, i128::from(last) + ahead);
    let locals: Vec<i128> = if interval == Interval::Month {
        let starts: Vec<i128> = month_starts().into_iter().map(i128::from).collect();
        let from = starts.iter().rposition(|start| *start <= first).unwrap();
        starts[from..].iter().copied().take_while(|start| *start <= last).collect()
    } else {
        let length = i128::from(naive_length(interval));
        // A Monday for weeks, and the first day of 1970 for all else.
        let origin = if interval == Interval::Week { i128::from(4 * DAY) } else { 0 };
        let steps = (first - origin) / length;
        (steps..).map(|step| origin + step * length).take_while(|open| *open <= last).collect()
    };
    locals.into_iter().map(|open| u64::try_from(open - ahead).unwrap()).collect()
}

/// The candles that open from the start of `from`'s to `to`.
fn naive_page(all: &[Trade], interval: Interval, minutes: i16, from: u64, to: u64) -> Vec<Candle> {
    let Some(first) = all.first() else { return Vec::new() };
    let last = all.last().unwrap().time.0.max(to);
    let opens = naive_opens(interval, minutes, first.time.0, last);
    let mut by_open: BTreeMap<u64, Vec<&Trade>> = opens.iter().map(|open| (*open, Vec::new())).collect();
    for trade in all {
        by_open.range_mut(..=trade.time.0).next_back().unwrap().1.push(trade);
    }
    let mut price = first.price_ticks;
    let mut candles = Vec::new();
    for (open_time, trades) in by_open {
        let prices: Vec<PriceTicks> = trades.iter().map(|trade| trade.price_ticks).collect();
        let open = prices.first().copied().unwrap_or(price);
        price = prices.last().copied().unwrap_or(price);
        candles.push(Candle {
            open_time: UnixNanos(open_time),
            open,
            high: prices.iter().copied().max().unwrap_or(price),
            low: prices.iter().copied().min().unwrap_or(price),
            close: price,
            volume_lots: trades.iter().map(|trade| u128::from(trade.qty_lots.0)).sum(),
            ticks_lots: trades.iter().map(|trade| trade.price_ticks.times(trade.qty_lots)).sum(),
            notional: Amount(trades.iter().map(|trade| trade.notional.0).sum()),
            trades: trades.len() as u64,
        });
    }
    let from = naive_opens(interval, minutes, from, from)[0];
    candles.retain(|candle| (from..=to).contains(&candle.open_time.0));
    candles.truncate(CANDLES_PER_ANSWER_MAX);
    candles
}

#[test]
fn intervals_are_sixteen_with_their_names() {
    for interval in Interval::ALL {
        assert_eq!(Interval::from_name(interval.name()), Some(interval));
    }
    assert_eq!(Interval::from_name("1"), None);
    let ok = (-2_000_i16..2_000).filter(|minutes| UtcOffset::of_minutes(*minutes).is_some());
    assert_eq!(ok.collect::<Vec<_>>(), (-48..=56).map(|quarter| quarter * 15).collect::<Vec<_>>());
}

#[test]
fn candles_are_what_a_list_of_all_trades_says() {
    let mut flat = 0;
    let mut full = 0;
    for seed in 0..40 {
        let mut tape = Tape::new(seed, UNLIMITED);
        // From trades within seconds to some within months.
        let gap_ns = [100_000_000, 10 * MINUTE, DAY, 20 * DAY][usize::try_from(seed % 4).unwrap()];
        for _ in 0..150 {
            tape.trade(gap_ns);
            let span = tape.time - START + 2 * gap_ns;
            let interval = Interval::ALL[usize::try_from(tape.below(16)).unwrap()];
            let minutes = i16::try_from(tape.below(105)).unwrap() * 15 - 720;
            let minutes = if tape.below(3) == 0 { 0 } else { minutes };
            let from = START - gap_ns.min(DAY) + tape.below(span);
            let to = from + tape.below(span);
            let offset = UtcOffset::of_minutes(minutes).unwrap();
            let page = tape.market().candles().page(interval, offset, UnixNanos(from), UnixNanos(to));
            let context = format!("seed {seed}: {} at {minutes}, {from} to {to}", interval.name());
            if (to - START.min(from)) / naive_length_or_month(interval) > 20_000 {
                // The naive one would list too many.
                continue;
            }
            assert_eq!(page.candles, naive_page(&tape.all, interval, minutes, from, to), "{context}");
            assert_eq!(page.complete_from, UnixNanos(START), "{context}");
            flat += page.candles.iter().filter(|candle| candle.trades == 0).count();
            full += usize::from(page.candles.len() == CANDLES_PER_ANSWER_MAX);
        }
    }
    assert!(flat > 1_000 && full > 10, "{flat} flat, {full} full pages");
}

fn naive_length_or_month(interval: Interval) -> u64 {
    if interval == Interval::Month { 30 * DAY } else { naive_length(interval) }
}

#[test]
fn what_is_not_kept_any_more_is_said() {
    let limits = MarketLimits {
        changes_kept: 8,
        trades_kept: 20,
        trade_changes_kept: 2,
        candles_kept: 0,
        quarter_hours_kept: 30,
    };
    let mut tape = Tape::new(7, limits);
    let mut reached = 0;
    for _ in 0..2_500 {
        tape.trade(20 * MINUTE);
    }
    for interval in Interval::ALL {
        for minutes in [0, 45, -600] {
            let offset = UtcOffset::of_minutes(minutes).unwrap();
            let from =
                tape.time - (CANDLES_PER_ANSWER_MAX as u64 - 1) * naive_length_or_month(interval).min(DAY);
            let page = tape.market().candles().page(interval, offset, UnixNanos(from), UnixNanos(tape.time));
            let mut naive = naive_page(&tape.all, interval, minutes, from, tape.time);
            let mut found = page.candles;
            let is_known = |candle: &Candle| candle.open_time >= page.complete_from;
            found.retain(is_known);
            naive.retain(is_known);
            assert_eq!(found, naive, "{} at {minutes}", interval.name());
            assert!(page.complete_from >= UnixNanos(START));
            reached += usize::from(page.complete_from > UnixNanos(START));
        }
    }
    assert!(reached > 10, "{reached} series lost something");
    let trades = tape.market().trades();
    assert_eq!((trades.count(), trades.dropped()), (2_500, 2_480));
    assert_eq!(trades.iter().copied().collect::<Vec<_>>(), tape.all[2_480..]);
}

#[test]
fn trades_are_found_by_id_and_by_time() {
    let mut tape = Tape::new(3, UNLIMITED);
    for _ in 0..300 {
        tape.trade(MINUTE);
    }
    for _ in 0..300 {
        let at = usize::try_from(tape.below(300)).unwrap();
        let trade = tape.all[at];
        let trades = tape.market().trades();
        assert_eq!(trades.from_id(trade.trade).next(), Some(&trade));
        assert_eq!(trades.from_id(TradeId(trade.trade.0 + 1)).count(), 299 - at);
        assert_eq!(trades.from_time(trade.time).count(), 300 - at);
        assert_eq!(trades.from_time(trade.time.plus(1)).count(), 299 - at);
    }
}

#[test]
fn tickers_are_what_a_list_of_all_trades_says() {
    let mut quiet = 0;
    for seed in 0..12 {
        let mut tape = Tape::new(seed, MarketLimits { candles_kept: 0, ..UNLIMITED });
        assert_eq!(tape.market().ticker(Window::Day, UnixNanos(tape.time)), None);
        let gap_ns = [MINUTE / 10, 30 * MINUTE, 2 * DAY][usize::try_from(seed % 3).unwrap()];
        for _ in 0..300 {
            tape.trade(gap_ns);
            let now = tape.time + tape.below(2 * gap_ns);
            let window = Window::ALL[usize::try_from(tape.below(4)).unwrap()];
            let begin = now / MINUTE * MINUTE - window.minutes() * MINUTE;
            let within: Vec<&Trade> = tape.all.iter().filter(|trade| trade.time.0 >= begin).collect();
            let last = tape.all.last().unwrap().price_ticks;
            let prices: Vec<PriceTicks> = within.iter().map(|trade| trade.price_ticks).collect();
            let lots: u128 = within.iter().map(|trade| u128::from(trade.qty_lots.0)).sum();
            let ticks_lots: u128 = within.iter().map(|trade| trade.price_ticks.times(trade.qty_lots)).sum();
            let expected = Ticker {
                window,
                open_time: UnixNanos(begin),
                open: prices.first().copied().unwrap_or(last),
                high: prices.iter().copied().max().unwrap_or(last),
                low: prices.iter().copied().min().unwrap_or(last),
                last,
                volume_lots: lots,
                ticks_lots,
                notional: Amount(within.iter().map(|trade| trade.notional.0).sum()),
                trades: within.len() as u64,
            };
            let found = tape.market().ticker(window, UnixNanos(now)).unwrap();
            assert_eq!(found, expected, "seed {seed}, {window:?} at {now}");
            assert_eq!(tape.data.tickers(window, UnixNanos(now)).collect::<Vec<_>>(), [(MARKET, expected)]);
            let average = found.average();
            if lots == 0 {
                quiet += 1;
                assert_eq!((average.ticks_lots, average.lots), (last.0.into(), 1));
                assert_eq!(found.change_ppm(), 0);
            } else {
                assert_eq!((average.ticks_lots, average.lots), (ticks_lots, lots));
                let change = i128::from(last.0) - i128::from(prices[0].0);
                assert_eq!(found.change_ppm(), change * 1_000_000 / i128::from(prices[0].0));
            }
        }
    }
    assert!(quiet > 20, "{quiet} windows without a trade");
}

/// Trades two seconds apart: what is kept of seconds is then what is kept of trades.
#[test]
fn candles_and_tickers_are_as_if_what_was_busted_had_not_been_made() {
    let (mut changed, mut older) = (0, 0);
    for seed in 0..40 {
        let trades_kept = [1 << 20, 10, 2][usize::try_from(seed % 3).unwrap()];
        let mut tape = Tape::new(seed, MarketLimits { trades_kept, ..UNLIMITED });
        let gap_ns = [1, 2 * MINUTE, DAY / 2][usize::try_from(seed / 3 % 3).unwrap()];
        for round in 0..120 {
            tape.time += 2 * MINUTE / 60;
            tape.trade(gap_ns);
            if tape.below(3) == 0 {
                let newest = tape.below(15.min(round + 1));
                let at = usize::try_from(round - newest).unwrap();
                if tape.all[at].status != TradeStatus::Made {
                    continue;
                }
                let is_corrected = tape.below(2) == 0;
                let is_kept = tape.bust(at, is_corrected);
                let change = tape.market().tape().changes().kept().back().unwrap();
                assert_eq!(change.made_at, is_kept.then_some(tape.all[at].time));
                changed += usize::from(is_kept);
                older += usize::from(!is_kept);
            }
            let standing = tape.standing();
            if standing.is_empty() {
                continue;
            }
            let interval = Interval::ALL[usize::try_from(tape.below(16)).unwrap()];
            let page =
                tape.market().candles().page(interval, UtcOffset::UTC, UnixNanos(0), UnixNanos(tape.time));
            assert_eq!(
                page.candles,
                naive_page(&standing, interval, 0, START, tape.time),
                "seed {seed}, {}, round {round}",
                interval.name()
            );
            let ticker = tape.market().ticker(Window::Day, UnixNanos(tape.time)).unwrap();
            let begin = ticker.open_time;
            let within: Vec<&Trade> = standing.iter().filter(|trade| trade.time >= begin).collect();
            let lots: u128 = within.iter().map(|trade| u128::from(trade.qty_lots.0)).sum();
            assert_eq!((ticker.trades, ticker.volume_lots), (within.len() as u64, lots));
            assert_eq!(ticker.last, standing.last().unwrap().price_ticks);
        }
        let kept = tape.market().trades();
        assert!(kept.iter().eq(tape.all.iter().skip(usize::try_from(kept.dropped()).unwrap())));
    }
    assert!(changed > 300 && older > 100, "{changed} changed, {older} were not kept any more");
}

/// Neither the trades nor anything shorter is left: what was traded is right, and the prices stay.
#[test]
fn prices_of_what_nobody_can_sum_up_again_stay() {
    let limits = MarketLimits { trades_kept: 2, candles_kept: 0, ..UNLIMITED };
    let mut tape = Tape::new(5, limits);
    let second = MINUTE / 60;
    tape.time = START / second * second + second;
    for _ in 0..4 {
        tape.time += 1_000;
        tape.trade(1);
    }
    let before = *tape.market().candles().last(Interval::Second).unwrap();
    assert_eq!(before.trades, 4);
    assert!(tape.bust(3, false));
    let after = *tape.market().candles().last(Interval::Second).unwrap();
    let gone = tape.all[3];
    let volume_lots = before.volume_lots - u128::from(gone.qty_lots.0);
    let ticks_lots = before.ticks_lots - gone.price_ticks.times(gone.qty_lots);
    let notional = Amount(before.notional.0 - gone.notional.0);
    assert_eq!(after, Candle { volume_lots, ticks_lots, notional, trades: 3, ..before });
}

#[test]
fn readers_of_trades_and_candles_are_told_of_busts() {
    let mut tape = Tape::new(3, UNLIMITED);
    for _ in 0..50 {
        tape.trade(MINUTE);
    }
    let mut publisher = Publisher::new(tape.data.clone(), PublisherLimits::default());
    let trades = publisher.subscribe(MARKET, Channel::Trades, None).unwrap();
    let candles = publisher.subscribe(MARKET, Channel::Candles(Interval::Minute), None).unwrap();
    let next = |publisher: &mut Publisher, id| match publisher.next(id) {
        Next::Packet(packet) => Some(packet.body),
        Next::Nothing => None,
        other @ (Next::Cut(_) | Next::Unknown) => panic!("{other:?}"),
    };
    assert_eq!(next(&mut publisher, trades), None);
    assert!(next(&mut publisher, candles).is_some());
    let first = tape.all[10];
    assert!(tape.bust(10, false) && tape.bust(20, true));
    *publisher.data_mut() = tape.data.clone();
    let Some(Body::TradesChanged { missed: 0, changes }) = next(&mut publisher, trades) else { panic!() };
    let told: Vec<_> = changes.iter().map(|change| (change.trade, change.status, change.reason)).collect();
    let (busted, corrected) = (tape.all[10].trade, tape.all[20].trade);
    assert_eq!(told, [(busted, TradeStatus::Busted, 7), (corrected, TradeStatus::Corrected, 7)]);
    assert_eq!(changes[0].before, (first.price_ticks, first.qty_lots, first.notional));
    assert_eq!(next(&mut publisher, trades), None);
    let Some(Body::Candles { candles: sent, .. }) = next(&mut publisher, candles) else { panic!() };
    let from = Interval::Minute.open_time(first.time, UtcOffset::UTC);
    let all = tape.market().candles().newest(Interval::Minute, from, UnixNanos(tape.time));
    assert_eq!(sent, all);
    assert_eq!(next(&mut publisher, candles), None);
}

#[test]
fn windows_move_on_while_nothing_is_executed() {
    let mut tape = Tape::new(4, UNLIMITED);
    tape.trade(MINUTE);
    let last = tape.all[0];
    let mut publisher = Publisher::new(tape.data.clone(), PublisherLimits::default());
    let id = publisher.subscribe(MARKET, Channel::Ticker(Window::Hour), None).unwrap();
    let next = |publisher: &mut Publisher| match publisher.next(id) {
        Next::Packet(Packet { body: Body::Ticker(ticker), stamp }) => Some((ticker, stamp.time)),
        Next::Nothing => None,
        other @ (Next::Packet(_) | Next::Cut(_) | Next::Unknown) => panic!("{other:?}"),
    };
    let (first, _) = next(&mut publisher).unwrap();
    assert_eq!((first.trades, first.last), (1, last.price_ticks));
    // A second later it may be another minute, and an hour later nothing was traded any more.
    let second = last.time.plus(MINUTE / 60);
    let ends = second.0 / MINUTE > last.time.0 / MINUTE;
    assert_eq!(publisher.data_mut().pass_time(second), ends);
    assert_eq!(next(&mut publisher).is_some(), ends);
    let later = UnixNanos(last.time.0 + 62 * MINUTE);
    assert!(publisher.data_mut().pass_time(later));
    let (ticker, time) = next(&mut publisher).unwrap();
    assert_eq!((ticker.trades, ticker.last), (0, last.price_ticks));
    assert_eq!(ticker.open_time, Window::Hour.open_time(later));
    assert_eq!(time, last.time, "a packet says of which record it is");
    let minutes = publisher.data().market(MARKET).unwrap().candles();
    assert_eq!(
        minutes.page(Interval::Minute, UtcOffset::UTC, last.time, publisher.data().now()).candles.len(),
        63
    );
    // A clock that was wrong counts no more when it is told right; and no clock goes before the last record.
    assert!(!publisher.data_mut().pass_time(UnixNanos(5)));
    assert_eq!(publisher.data().now(), last.time);
    let (ticker, _) = next(&mut publisher).unwrap();
    assert_eq!((ticker.trades, ticker.open_time), (1, first.open_time));
}

#[test]
fn what_a_group_moves_instead_of_trading_is_no_trade() {
    let mut tape = Tape::new(1, UNLIMITED);
    let resting = |action, qty_lots| BookChanged {
        market: MARKET,
        order: OrderId(7),
        side: Side::Sell,
        action,
        price_ticks: PriceTicks(100),
        qty_lots: QtyLots(qty_lots),
    };
    let moved = |qty_lots| Settled {
        qty_lots: QtyLots(qty_lots),
        notional: Amount(500 * u128::from(qty_lots)),
        taker_order: OrderId(8),
        ..settled(Seq(7))
    };
    tape.feed(vec![resting(BookAction::Added, 5).into()]);
    tape.feed(vec![resting(BookAction::Reduced, 3).into(), moved(2).into()]);
    assert_eq!(tape.market().book().order(OrderId(7)).unwrap().qty_lots, QtyLots(3));
    // What is left of it is decremented, and it expires before the quantity moves.
    tape.feed(vec![resting(BookAction::Removed, 3).into(), moved(3).into()]);
    assert!(tape.market().book().is_empty());
    assert_eq!(tape.market().trades().count(), 0);
    assert_eq!(tape.market().ticker(Window::Day, UnixNanos(tape.time)), None);
}

#[test]
fn what_does_not_follow_is_a_fault() {
    let order = |order, side, price| RestingOrder {
        order: OrderId(order),
        side,
        price_ticks: PriceTicks(price),
        qty_lots: QtyLots(5),
    };
    let begin = |orders: Vec<RestingOrder>| {
        let defined = MarketDefined { definition: definition(), phase: MarketPhase::Trading };
        let at = (Seq(9), UnixNanos(START));
        MarketData::begin(MarketLimits::default(), at, [defined.into()], [(MARKET, orders)])
    };
    let twice = vec![order(1, Side::Buy, 10), order(1, Side::Sell, 12)];
    assert!(matches!(begin(twice), Err(MarketFault::Unexplained { seq: Seq(9), .. })));
    let data = begin(vec![order(1, Side::Buy, 10), order(2, Side::Sell, 12)]).unwrap();
    let change = |order, side, action, price, qty| BookChanged {
        market: MARKET,
        order: OrderId(order),
        side,
        action,
        price_ticks: PriceTicks(price),
        qty_lots: QtyLots(qty),
    };
    use BookAction::{Added, Reduced, Refilled, Removed};
    let (buy, sell) = (Side::Buy, Side::Sell);
    let fine = [
        change(3, buy, Added, 9, 1),
        change(3, buy, Refilled, 9, 1),
        change(1, buy, Reduced, 10, 4),
        change(1, buy, Removed, 10, 5),
    ];
    let wrong = [
        change(1, buy, Added, 10, 5),
        change(2, sell, Refilled, 12, 5),
        change(3, buy, Added, 9, 0),
        change(3, buy, Removed, 9, 5),
        change(1, buy, Removed, 10, 4),
        change(1, sell, Removed, 10, 5),
        change(1, buy, Removed, 11, 5),
        change(1, buy, Reduced, 10, 6),
        change(1, buy, Reduced, 10, 0),
        change(1, buy, Reduced, 11, 4),
        change(2, buy, Reduced, 12, 4),
        BookChanged { market: MarketId(2), ..change(3, buy, Added, 9, 1) },
    ];
    let take = |seq: u64, body: EventBody| {
        let (seq, time) = (Seq(seq), UnixNanos(START + 1));
        data.clone().take(seq, time, &[Event { output: None, seq, time, body }])
    };
    for change in fine {
        assert_eq!(take(10, change.clone().into()), Ok(()), "{change:?}");
    }
    for change in wrong {
        let refused = take(10, change.clone().into());
        assert!(matches!(refused, Err(MarketFault::Unexplained { seq: Seq(10), .. })), "{change:?}");
    }
    for seq in [9, 11] {
        let fault = MarketFault::OutOfOrder { last: Seq(9), found: Seq(seq) };
        assert_eq!(take(seq, change(3, buy, Added, 9, 1).into()), Err(fault));
    }
}

#[test]
fn what_was_busted_is_in_no_aggregate_and_what_was_corrected_in_one_of_its_own() {
    let mut tape = Tape::new(9, UNLIMITED);
    let seq = tape.data.seq().next();
    let added = BookChanged {
        market: MARKET,
        order: OrderId(seq.0),
        side: Side::Sell,
        action: BookAction::Added,
        price_ticks: PriceTicks(100),
        qty_lots: QtyLots(60),
    };
    let trades = (1..=6).map(|trade| Settled {
        trade: TradeId(trade),
        qty_lots: QtyLots(10),
        notional: Amount(5_000),
        ..settled(seq)
    });
    let bodies = [added.into()].into_iter().chain(trades.clone().map(EventBody::from)).collect();
    tape.feed(bodies);
    tape.all = tape.market().trades().iter().copied().collect();
    let rows = |tape: &Tape| -> Vec<(u64, u64, u32, u128, u128)> {
        let (rows, told) = trades::aggregate(tape.market().trades().iter(), 10);
        assert_eq!(told, 6);
        let of = |row: AggregateTrade| (row.first.0, row.last.0, row.trades, row.qty_lots, row.notional.0);
        rows.into_iter().map(of).collect()
    };
    assert_eq!(rows(&tape), [(1, 6, 6, 60, 30_000)]);
    assert!(tape.bust(1, false) && tape.bust(5, false));
    assert_eq!(rows(&tape), [(1, 5, 4, 40, 20_000)]);
    assert!(tape.bust(3, true));
    let corrected = tape.all[3];
    assert_ne!(corrected.price_ticks, PriceTicks(100));
    let one = (4, 4, 1, corrected.qty_lots.0.into(), corrected.notional.0);
    assert_eq!(rows(&tape), [(1, 3, 2, 20, 10_000), one, (5, 5, 1, 10, 5_000)]);
    // As many rows as there may be, and of how many trades they are all: the third was busted last.
    let (two, told) = trades::aggregate(tape.market().trades().iter(), 2);
    assert_eq!((two.len(), told), (2, 4));
}

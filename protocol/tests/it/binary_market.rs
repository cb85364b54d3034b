//! Messages of market data: golden bytes, and what hostile or broken peers send.

use protocol::binary::market::*;
use protocol::binary::{
    BinaryFault, CandleInterval, Fixed, HEADERS_BYTES, MarketChannel, MarketRejectReason, Message,
    MessageLayout, OrderChangeKind, Rows, SCHEMA_VERSION, SubscriptionEnd, TailLayout, TerminationCode,
    TickerWindow, TradeStatus, Words,
};
use protocol::limits::{BINARY_MESSAGE_BYTES_MAX, BINARY_TEXT_BYTES_MAX};
use protocol::{
    Amount, AssetId, MarketId, MarketPhase, OrderId, PhaseCause, PriceTicks, QtyLots, ReferencePrice, Seq,
    Side, Text, TradeId, UnixNanos,
};

use crate::golden;
use crate::random::for_seeds;

const NUMBER: u32 = 0x0403_0201;
const MARKET: MarketId = MarketId(0x1413_1211);
const SEQ: Seq = Seq(0x2827_2625_2423_2221);
const TIME: UnixNanos = UnixNanos(0x3837_3635_3433_3231);
const CHANGED: Seq = Seq(0x4847_4645_4443_4241);
const FIRST: Seq = Seq(0x5857_5655_5453_5251);
const CHECKSUM: u32 = 0x6463_6261;
const WIDE: u128 = 0x7F7E_7D7C_7B7A_7978_7776_7574_7372_7170;

fn price(n: u64) -> PriceTicks {
    PriceTicks(0x8786_8584_8382_8100 + n)
}

fn bytes<R: Fixed>(row: R) -> &'static [u8] {
    let mut bytes = Vec::new();
    row.put(&mut bytes);
    assert_eq!(bytes.len(), R::BYTES);
    bytes.leak()
}

fn group<R: Fixed, const MAX: usize>(row: R) -> Rows<'static, R, MAX> {
    Rows::new(bytes(row)).unwrap()
}

fn requests(each: &mut dyn FnMut(MarketMessage<'_>)) {
    let (number, market) = (NUMBER, MARKET);
    let (window, interval) = (Some(TickerWindow::FourHours), Some(CandleInterval::Month));
    each(Subscribe { number, market, channel: MarketChannel::Orders, window, interval, since: SEQ }.into());
    each(Unsubscribe { number }.into());
    each(
        GetCandles {
            number,
            market,
            interval: CandleInterval::Day,
            utc_offset_s: 0x5453_5251,
            behind_utc: true,
            from: TIME,
            to: UnixNanos(0x6867_6665_6463_6261),
        }
        .into(),
    );
    let (from_trade, limit) = (TradeId(0x6867_6665_6463_6261), 0x7473_7271);
    each(GetTrades { number, market, from_trade, from_time: TIME, limit }.into());
    each(GetTickers { number, window: TickerWindow::Day, market }.into());
    each(GetMarkets { number }.into());
    each(GetStatus { number, market }.into());
    each(GetAggregateTrades { number, market, from_trade, from_time: TIME, limit }.into());
}

fn words(each: &mut dyn FnMut(MarketMessage<'_>)) {
    let number = NUMBER;
    each(MarketHeartbeat { seq: SEQ, time: TIME }.into());
    each(Subscribed { number, market: MARKET, seq: SEQ }.into());
    each(SubscriptionEnded { number, code: SubscriptionEnd::FellBehind }.into());
    let (reason, text) = (MarketRejectReason::FieldOutOfRange, Words::new("né"));
    each(MarketReject { number, ref_template_id: 0x1211, reason, text }.into());
    each(MarketTerminate { code: TerminationCode::SlowReader, text }.into());
}

fn level() -> Level {
    Level { side: Side::Sell, price_ticks: price(0), lots: WIDE, orders: 0x9493_9291 }
}

fn trade() -> Trade {
    Trade {
        trade: TradeId(0x9897_9695_9493_9291),
        price_ticks: price(0),
        qty_lots: QtyLots(0xA8A7_A6A5_A4A3_A2A1),
        notional: Amount(WIDE),
        taker_side: Side::Sell,
        seq: SEQ,
        time: TIME,
        status: TradeStatus::Corrected,
    }
}

fn aggregate_trade() -> AggregateTrade {
    AggregateTrade {
        first_trade: TradeId(0x9897_9695_9493_9291),
        last_trade: TradeId(0xA8A7_A6A5_A4A3_A2A1),
        trades: 0xB4B3_B2B1,
        price_ticks: price(0),
        qty_lots: WIDE + 1,
        notional: Amount(WIDE),
        taker_side: Side::Buy,
        seq: SEQ,
        time: TIME,
    }
}

fn trade_change() -> TradeChange {
    TradeChange {
        seq: SEQ,
        time: TIME,
        trade: TradeId(0x9897_9695_9493_9291),
        status: TradeStatus::Busted,
        price_ticks_before: price(0),
        qty_lots_before: QtyLots(0xA8A7_A6A5_A4A3_A2A1),
        notional_before: Amount(WIDE),
        price_ticks: price(1),
        qty_lots: QtyLots(0xB8B7_B6B5_B4B3_B2B1),
        notional: Amount(WIDE + 1),
        reason: 0xC2C1,
    }
}

fn status() -> Status {
    Status {
        market: MARKET,
        phase: MarketPhase::Auction,
        phase_cause: Some(PhaseCause::Volatility),
        phase_seq: SEQ,
        phase_time: TIME,
        indicative_price_ticks: price(1),
        indicative_lots: WIDE,
        surplus_buy_lots: WIDE + 1,
        surplus_sell_lots: WIDE + 2,
        auction_price_ticks: price(2),
        auction_lots: WIDE + 3,
        auction_trades: 0x9493_9291,
        auction_seq: CHANGED,
        auction_time: UnixNanos(TIME.0 + 1),
        index_price_ticks: price(3),
        index_observed_at: UnixNanos(TIME.0 + 2),
        index_valid_until: UnixNanos(TIME.0 + 3),
        reference: ReferencePrice::Index,
        buy_above_ppm: 0xA4A3_A2A1,
        buy_below_ppm: 0xB4B3_B2B1,
        sell_above_ppm: 0xC4C3_C2C1,
        sell_below_ppm: 0xD4D3_D2D1,
        collar_ppm: 0xE4E3_E2E1,
    }
}

fn candle() -> Candle {
    Candle {
        open_time: TIME,
        open_ticks: price(1),
        high_ticks: price(2),
        low_ticks: price(3),
        close_ticks: price(4),
        volume_lots: WIDE,
        volume_ticks_lots: WIDE + 1,
        notional: Amount(WIDE + 2),
        trades: 0x9897_9695_9493_9291,
    }
}

fn ticker() -> Ticker {
    Ticker {
        market: MARKET,
        open_time: TIME,
        open_ticks: price(1),
        high_ticks: price(2),
        low_ticks: price(3),
        last_ticks: price(4),
        volume_lots: WIDE,
        volume_ticks_lots: WIDE + 1,
        notional: Amount(WIDE + 2),
        trades: 0x9897_9695_9493_9291,
    }
}

fn books(each: &mut dyn FnMut(MarketMessage<'_>)) {
    let (number, market, seq, time, changed, book_checksum) = (NUMBER, MARKET, SEQ, TIME, CHANGED, CHECKSUM);
    let (first, more) = (FIRST, true);
    let levels = group(level());
    each(DepthPacket { number, market, seq, time, changed, book_checksum, levels }.into());
    let levels = group(level());
    each(LevelsPacket { number, market, seq, time, changed, book_checksum, more, levels }.into());
    each(
        LevelsChangedPacket { number, market, seq, time, changed, book_checksum, first, more, levels }.into(),
    );
    let (order, side, price_ticks) = (OrderId(0x9897_9695_9493_9291), Side::Buy, price(0));
    let orders = group(Order { order, side, price_ticks, qty_lots: QtyLots(0xA8A7_A6A5_A4A3_A2A1) });
    each(OrdersPacket { number, market, seq, time, changed, book_checksum, more, orders }.into());
    let changes = group(OrderChange {
        seq: Seq(0xB8B7_B6B5_B4B3_B2B1),
        time: UnixNanos(0xC8C7_C6C5_C4C3_C2C1),
        order,
        side,
        kind: OrderChangeKind::Executed,
        price_ticks,
        left_lots: QtyLots(0xA8A7_A6A5_A4A3_A2A1),
        trade: TradeId(0xD8D7_D6D5_D4D3_D2D1),
        traded_lots: QtyLots(0xE8E7_E6E5_E4E3_E2E1),
    });
    each(
        OrdersChangedPacket { number, market, seq, time, changed, book_checksum, first, more, changes }
            .into(),
    );
}

fn trading(each: &mut dyn FnMut(MarketMessage<'_>)) {
    let (number, market, seq, time, changed, book_checksum) = (NUMBER, MARKET, SEQ, TIME, CHANGED, CHECKSUM);
    let (missed, trades) = (0x5857_5655_5453_5251, group(trade()));
    each(TradesPacket { number, market, seq, time, changed, book_checksum, missed, trades }.into());
    let (window, tickers) = (TickerWindow::Hour, group(ticker()));
    each(TickerPacket { number, market, seq, time, changed, book_checksum, window, tickers }.into());
    let (interval, candles) = (CandleInterval::QuarterHour, group(candle()));
    each(CandlesPacket { number, market, seq, time, changed, book_checksum, interval, candles }.into());
    let changes = group(trade_change());
    each(TradesChangedPacket { number, market, seq, time, changed, book_checksum, missed, changes }.into());
    let statuses = group(status());
    each(StatusPacket { number, market, seq, time, changed, book_checksum, statuses }.into());
}

/// Of many trades in one row, or of all markets.
fn packets_of_many(each: &mut dyn FnMut(MarketMessage<'_>)) {
    let (number, market, seq, time, changed, book_checksum) = (NUMBER, MARKET, SEQ, TIME, CHANGED, CHECKSUM);
    let missed = 0x5857_5655_5453_5251;
    let trades = group(aggregate_trade());
    each(AggregateTradesPacket { number, market, seq, time, changed, book_checksum, missed, trades }.into());
    each(TickersPacket { number, seq, time, window: TickerWindow::Day, tickers: group(ticker()) }.into());
    each(StatusesPacket { number, seq, time, statuses: group(status()) }.into());
}

fn pages(each: &mut dyn FnMut(MarketMessage<'_>)) {
    let (number, market, seq, time) = (NUMBER, MARKET, SEQ, TIME);
    let (interval, candles) = (CandleInterval::Week, group(candle()));
    each(CandlesPage { number, market, seq, interval, complete_from: TIME, candles }.into());
    let (oldest_trade, trades) = (TradeId(0x5857_5655_5453_5251), group(trade()));
    each(TradesPage { number, market, seq, oldest_trade, complete_from: TIME, trades }.into());
    each(
        TickersPage {
            number,
            seq,
            time,
            window: TickerWindow::FiveMinutes,
            complete_from: UnixNanos(TIME.0 + 1),
            tickers: group(ticker()),
        }
        .into(),
    );
    let markets = group(Listing {
        market,
        symbol: Text::truncated("BTC-TRY"),
        base_asset: AssetId(0x5453_5251),
        base_code: Text::truncated("BTC"),
        base_scale: 8,
        quote_asset: AssetId(0x6463_6261),
        quote_code: Text::truncated("TRY"),
        quote_scale: 2,
        lot_base_minor: Amount(WIDE),
        tick_quote_minor: Amount(WIDE + 1),
    });
    each(MarketsPage { number, seq, began: CHANGED, began_time: TIME, markets }.into());
    each(StatusPage { number, seq, time, statuses: group(status()) }.into());
    let trades = group(aggregate_trade());
    each(AggregateTradesPage { number, market, seq, oldest_trade, complete_from: TIME, trades }.into());
    packets_of_many(each);
}

/// One of every message, in the order of their template ids.
fn for_each_example(mut each: impl FnMut(MarketMessage<'_>)) {
    requests(&mut each);
    words(&mut each);
    books(&mut each);
    trading(&mut each);
    pages(&mut each);
}

fn written(message: &MarketMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    bytes
}

#[test]
fn every_message_is_written_as_its_golden_bytes_and_read_back() {
    let (mut current, mut templates) = (Vec::new(), Vec::new());
    for_each_example(|message| {
        let bytes = written(&message);
        assert_eq!(MarketMessage::read(&bytes), Ok(message));
        let template = message.template();
        // None is taken for a message of the other port's.
        assert_eq!(Message::read(&bytes), Err(BinaryFault::Template(template)));
        let layout = MarketMessage::LAYOUTS.iter().find(|layout| layout.template == template).unwrap();
        templates.push(template);
        current.push((format!("binary-{}-v{SCHEMA_VERSION}", layout.name), bytes));
    });
    let known: Vec<u16> = MarketMessage::LAYOUTS.iter().map(|layout| layout.template).collect();
    assert_eq!(templates, known, "an example of every message");
    golden::compare(current);
}

#[test]
fn what_readers_send_is_short_and_every_message_fits() {
    requests(&mut |message| assert!(written(&message).len() <= READER_MESSAGE_BYTES_MAX, "{message:?}"));
    let largest = |layout: &MessageLayout| {
        let tails = layout.tails.iter().map(|(_, tail)| match *tail {
            TailLayout::Group { row_bytes, rows_max, .. } => 4 + row_bytes * rows_max,
            TailLayout::Text => 2 + BINARY_TEXT_BYTES_MAX,
            TailLayout::Enclosed => panic!("none encloses another"),
        });
        let fields: usize = layout.fields.iter().map(|(_, _, bytes)| bytes).sum();
        HEADERS_BYTES + fields + tails.sum::<usize>()
    };
    for layout in MarketMessage::LAYOUTS {
        assert!(largest(layout) <= BINARY_MESSAGE_BYTES_MAX, "{layout:?}");
    }
}

#[test]
fn a_message_cut_anywhere_is_no_message() {
    for_each_example(|message| {
        let whole = written(&message);
        for len in 0..whole.len() {
            let mut short = whole[..len].to_vec();
            assert!(MarketMessage::read(&short).is_err(), "{len} bytes of {message:?}");
            let Some(length) = short.get_mut(..4) else { continue };
            length.copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
            assert!(
                MarketMessage::read(&short).is_err(),
                "{len} bytes of {message:?} that call themselves whole"
            );
        }
    });
}

#[test]
fn damaged_messages_are_refused_or_say_what_they_are_read_as() {
    let mut examples = Vec::new();
    for_each_example(|message| examples.push(written(&message)));
    let (mut accepted, mut refused) = (0, 0);
    let all = for_seeds(30_000, |random| {
        let mut bytes = examples[random.below(examples.len())].clone();
        random.damage(&mut bytes);
        if random.next() % 2 == 0
            && let Ok(length) = u32::try_from(bytes.len())
            && let Some(place) = bytes.get_mut(..4)
        {
            place.copy_from_slice(&length.to_le_bytes());
        }
        match MarketMessage::read(&bytes) {
            Ok(message) => {
                accepted += 1;
                assert_eq!(written(&message), bytes);
            }
            Err(fault) => {
                refused += 1;
                assert!(!fault.to_string().is_empty());
            }
        }
    });
    assert!(!all || accepted > 500 && refused > 500, "{accepted} accepted, {refused} refused");
}

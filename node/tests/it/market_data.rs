//! Market data of a running node: readers that keep a book have the engine's, whatever others do.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::Duration;

use client::{MarketBook, MarketFault, MarketReader, Subscription};
use gateways::fix::initiator::{LogonStyle, NewOrder, OrderRef};
use protocol::binary::market::{
    GetAggregateTrades, GetMarkets, GetTickers, GetTrades, MarketHeartbeat, MarketMessage, Status, Subscribe,
    Unsubscribe,
};
use protocol::binary::{
    MarketChannel, MarketRejectReason, Sequence, SubscriptionEnd, TerminationCode, TickerWindow,
    message_bytes,
};
use protocol::{
    MarketId, MarketPhase, OrderType, PhaseCause, RequestNumber, Seq, Side, TimeInForce, TradeId, UnixNanos,
};
use serde_json::Value;

use crate::folder::Folder;
use crate::process::{Node, run, sicil, status};
use crate::trading::Client;

/// A test that waits longer than this for a byte has failed.
pub(crate) const HANGS: Duration = Duration::from_secs(60);
pub(crate) const BTC_TRY: MarketId = MarketId(1);

/// A demo with all doors for readers.
pub(crate) fn start(folder: &Folder) -> Node {
    let config = folder.write(
        "node.toml",
        "demo = true\n[listen]\nfix = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nmarket = \"127.0.0.1:0\"\n\
         websocket = \"127.0.0.1:0\"\n[journal]\nsegment_bytes = 4194304\n",
    );
    Node::start(&folder.data(), &config)
}

pub(crate) fn door(node: &Node, name: &str) -> String {
    node.ready[name].as_str().unwrap().to_owned()
}

pub(crate) fn subscription(channel: MarketChannel) -> Subscription {
    Subscription::new(BTC_TRY, channel)
}

/// Two traders whose orders meet now and then.
pub(crate) struct Flow {
    pub(crate) traders: [Client; 2],
    /// Orders that may still rest: whose they are, name, side and price.
    resting: Vec<(usize, String, Side, u64)>,
    pub(crate) sent: u64,
    state: u64,
}

impl Flow {
    pub(crate) fn log_on(node: &Node) -> Self {
        let mut traders = [Client::new("CLIENT1"), Client::new("CLIENT2")];
        traders.iter_mut().for_each(|trader| trader.log_on(node, LogonStyle::Reset));
        Self { traders, resting: Vec::new(), sent: 0, state: 1 }
    }

    fn below(&mut self, below: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    /// Sends an order, a cancel or a replace, and waits for the last answer now and then, so that neither side's buffers fill up.
    pub(crate) fn step(&mut self) {
        self.sent += 1;
        let name = format!("n{}", self.sent);
        let whose = usize::try_from(self.below(2)).unwrap();
        let at = usize::try_from(self.below(self.resting.len().max(1) as u64)).unwrap();
        if self.below(3) == 0 && !self.resting.is_empty() {
            let (whose, orig, side, price) = self.resting.swap_remove(at);
            let order =
                OrderRef { cl_ord_id: &name, orig_cl_ord_id: &orig, symbol: "BTC-TRY", side, qty: "0.002" };
            let (trader, replaces) = (&mut self.traders[whose], self.sent.is_multiple_of(3));
            if replaces {
                trader.session.replace(&order, &(price + 1).to_string(), trader.now());
                self.resting.push((whose, name, side, price + 1));
            } else {
                trader.session.cancel(&order, trader.now());
            }
        } else {
            let side = if self.below(2) == 0 { Side::Buy } else { Side::Sell };
            let behind = self.below(20);
            let price = if side == Side::Buy { 4_200_004 - behind } else { 4_199_996 + behind };
            let order = NewOrder {
                cl_ord_id: &name,
                symbol: "BTC-TRY",
                side,
                order_type: OrderType::Limit,
                time_in_force: TimeInForce::GoodTillCancel,
                price: &price.to_string(),
                qty: "0.003",
            };
            // Some show a part of themselves.
            let more: &[(u32, &str)] = if self.below(4) == 0 { &[(1138, "0.001")] } else { &[] };
            let trader = &mut self.traders[whose];
            trader.session.new_order_with(&order, more, trader.now());
            self.resting.push((whose, name, side, price));
        }
        if self.sent.is_multiple_of(20) {
            self.settle();
        } else {
            self.traders.iter_mut().for_each(Client::flush);
        }
    }

    /// Until all that was sent is answered.
    pub(crate) fn settle(&mut self) {
        for trader in &mut self.traders {
            let id = format!("t{}", self.sent);
            trader.session.test_request(&id, trader.now());
            trader.until(|trader| trader.received().iter().any(|m| m.kind() == b"0" && m.text(112) == id));
        }
    }
}

/// A price that the flow never names: what rests there is the last change of the book.
pub(crate) const LAST: u64 = 4_199_000;

/// Rests the last order.
pub(crate) fn rest_last(flow: &mut Flow) {
    let last = NewOrder {
        cl_ord_id: "last",
        symbol: "BTC-TRY",
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::GoodTillCancel,
        price: &LAST.to_string(),
        qty: "0.001",
    };
    let trader = &mut flow.traders[0];
    trader.session.new_order(&last, trader.now());
    trader.report("last", "0");
}

/// A reader on a thread of its own, which keeps a book until the last change is in it.
#[expect(clippy::disallowed_methods, reason = "readers read while the test trades")]
fn keep(address: String, channel: MarketChannel) -> JoinHandle<Kept> {
    std::thread::spawn(move || {
        let mut reader = MarketReader::connect(&[address]).unwrap();
        reader.subscribe(subscription(channel), None).unwrap();
        let mut kept = Kept { book: MarketBook::default(), checksums: BTreeMap::new() };
        let lowest = |book: &MarketBook| book.levels(Side::Buy).next_back().map(|level| level.price_ticks.0);
        loop {
            let message = reader.next(HANGS).unwrap().expect("a packet");
            // Amid a packet there is no book to look at.
            if !kept.book.take(&message).unwrap() {
                continue;
            }
            kept.checksums.insert(kept.book.seq().unwrap(), kept.book.checksum());
            if lowest(&kept.book) == Some(LAST) {
                return kept;
            }
        }
    })
}

struct Kept {
    book: MarketBook,
    /// At the seq of every packet.
    checksums: BTreeMap<Seq, u32>,
}

/// Subscribes to everything that there is, and reads none of it.
fn subscribe_and_sleep(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut bytes = Vec::new();
    for number in 0..256 {
        let channel = [MarketChannel::Orders, MarketChannel::Levels][usize::from(number % 4 == 0)];
        Subscribe { number, market: BTC_TRY, channel, window: None, interval: None, since: Seq(0) }
            .write(&mut bytes);
    }
    stream.write_all(&bytes).unwrap();
    stream
}

/// The checksum of the engine's book behind a seq, as an auditor finds it who runs the journal again.
pub(crate) fn audited(data: &std::path::Path, seq: Seq) -> u32 {
    let arguments = ["replay", "state", "--json", "--at", &seq.0.to_string()];
    let (code, out, err) = run(sicil(arguments).arg(data));
    assert_eq!(code, 0, "{err}");
    let state: Value = serde_json::from_str(&out).unwrap();
    let market = state["markets"].as_array().unwrap().iter().find(|market| market["market"] == 1).unwrap();
    u32::try_from(market["book_checksum"].as_u64().unwrap()).unwrap()
}

pub(crate) fn metric(node: &Node, name: &str) -> u64 {
    let (_, page) = node.get("/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn readers_have_the_engines_book_while_others_stall() {
    let folder = Folder::new("market-data");
    let node = start(&folder);
    let address = door(&node, "market");
    let mut flow = Flow::log_on(&node);
    (0..200).for_each(|_| flow.step());
    let channels = [MarketChannel::Levels, MarketChannel::Orders];
    let readers: Vec<_> = channels.iter().map(|channel| keep(address.clone(), *channel)).collect();
    let sleepers: Vec<TcpStream> = (0..3).map(|_| subscribe_and_sleep(&address)).collect();
    // Until one of those that sleep was cut: trading and the other readers go on meanwhile.
    while flow.sent < 2_000 || metric(&node, "sicil_market_data_stalled_total") == 0 {
        (0..100).for_each(|_| flow.step());
    }
    let late = keep(address, MarketChannel::Orders);
    rest_last(&mut flow);
    let kept: Vec<Kept> = readers.into_iter().chain([late]).map(|reader| reader.join().unwrap()).collect();
    drop(sleepers);
    let [levels, orders, late] = &kept[..] else { panic!("three readers") };
    assert!(orders.checksums.len() > 100, "{} packets", orders.checksums.len());
    for side in [Side::Buy, Side::Sell] {
        assert_eq!(orders.book.orders(side), late.book.orders(side), "who came late has the same orders");
        assert!(levels.book.levels(side).eq(orders.book.levels(side)), "levels are what the orders come to");
    }
    for (seq, checksum) in &levels.checksums {
        let theirs = orders.checksums.get(seq);
        assert!(theirs.is_none_or(|theirs| theirs == checksum), "two books at seq {seq}");
    }
    assert_eq!(node.stop().code(), Some(0));
    let all: Vec<(Seq, u32)> = orders.checksums.iter().map(|(seq, checksum)| (*seq, *checksum)).collect();
    let some = all.iter().step_by(all.len() / 8).chain(all.last());
    for &(seq, checksum) in some {
        assert_eq!(checksum, audited(&folder.data(), seq), "at seq {seq}");
    }
}

/// Sends bytes, and reads messages until `enough` of them came, or the node ends it.
fn answers(stream: &mut TcpStream, bytes: &[u8], enough: usize) -> Vec<Vec<u8>> {
    stream.set_read_timeout(Some(HANGS)).unwrap();
    stream.write_all(bytes).unwrap();
    let (mut input, mut messages) = (Vec::new(), Vec::new());
    let mut buffer = [0; 65_536];
    loop {
        while let Some(length) = message_bytes(&input, usize::MAX).unwrap()
            && input.len() >= length
        {
            messages.push(input.drain(..length).collect::<Vec<u8>>());
        }
        if messages.len() >= enough {
            return messages;
        }
        match stream.read(&mut buffer).unwrap() {
            0 => return messages,
            read => input.extend_from_slice(&buffer[..read]),
        }
    }
}

fn rejected(message: &[u8]) -> (u32, MarketRejectReason, String) {
    let MarketMessage::MarketReject(reject) = MarketMessage::read(message).unwrap() else {
        panic!("{message:?}");
    };
    (reject.number, reject.reason, reject.text.as_str().to_owned())
}

const TOP: Subscribe = Subscribe {
    number: 1,
    market: BTC_TRY,
    channel: MarketChannel::Top,
    window: None,
    interval: None,
    since: Seq(0),
};

fn written<'a>(message: impl Into<MarketMessage<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.into().write(&mut bytes);
    bytes
}

/// A connection with a subscription of number 1, once market data have begun.
fn subscribed(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    loop {
        let told = answers(&mut stream, &written(TOP), 1);
        if let MarketMessage::Subscribed(subscribed) = MarketMessage::read(&told[0]).unwrap() {
            assert_eq!(subscribed.number, 1);
            break;
        }
        assert_eq!(rejected(&told[0]).1, MarketRejectReason::NotReady);
    }
    // Its first packet.
    answers(&mut stream, &[], 1);
    stream
}

#[test]
fn what_readers_may_not_ask_is_refused_by_name() {
    use MarketRejectReason::{FieldOutOfRange, NumberInUse, UnknownMarket, UnknownSubscription};
    let folder = Folder::new("market-refusals");
    let node = start(&folder);
    let address = door(&node, "market");
    let mut stream = subscribed(&address);
    let trades =
        GetTrades { number: 9, market: BTC_TRY, from_trade: TradeId(0), from_time: UnixNanos(0), limit: 0 };
    let (from_trade, from_time) = (TradeId(0), UnixNanos(0));
    let aggregate = GetAggregateTrades { number: 11, market: BTC_TRY, from_trade, from_time, limit: 1 };
    let tickers = GetTickers { number: 10, window: TickerWindow::Day, market: MarketId(77) };
    let day = Some(TickerWindow::Day);
    for (request, number, reason, text) in [
        (written(TOP), 1, NumberInUse, "number"),
        (written(Subscribe { number: 2, market: MarketId(77), ..TOP }), 2, UnknownMarket, "market"),
        (written(Subscribe { number: 3, window: day, ..TOP }), 3, FieldOutOfRange, "window"),
        (
            written(Subscribe { number: 4, channel: MarketChannel::Ticker, ..TOP }),
            4,
            FieldOutOfRange,
            "window",
        ),
        (
            written(Subscribe { number: 5, channel: MarketChannel::Candles, ..TOP }),
            5,
            FieldOutOfRange,
            "interval",
        ),
        (written(Subscribe { number: 6, since: Seq(1), ..TOP }), 6, FieldOutOfRange, "since"),
        (written(Unsubscribe { number: 7 }), 7, UnknownSubscription, "number"),
        (written(trades), 9, FieldOutOfRange, "limit"),
        (written(GetTrades { limit: 4_097, ..trades }), 9, FieldOutOfRange, "limit"),
        (written(tickers), 10, UnknownMarket, "market"),
        (written(GetAggregateTrades { limit: 0, ..aggregate }), 11, FieldOutOfRange, "limit"),
        (written(GetAggregateTrades { market: MarketId(77), ..aggregate }), 11, UnknownMarket, "market"),
        // Of all markets at once there are tickers and states alone.
        (written(Subscribe { number: 12, market: MarketId(0), ..TOP }), 12, UnknownMarket, "market"),
    ] {
        let told = answers(&mut stream, &request, 1);
        assert_eq!(rejected(&told[0]), (number, reason, text.to_owned()));
    }
    let told = answers(&mut stream, &written(Unsubscribe { number: 1 }), 1);
    let MarketMessage::SubscriptionEnded(ended) = MarketMessage::read(&told[0]).unwrap() else {
        panic!("{told:?}");
    };
    assert_eq!((ended.number, ended.code), (1, SubscriptionEnd::Unsubscribed));
    let trades = |number| written(Subscribe { number, channel: MarketChannel::Trades, ..TOP });
    let told = answers(&mut stream, &(0..257).flat_map(trades).collect::<Vec<u8>>(), 257);
    let too_many = (256, MarketRejectReason::TooManySubscriptions, "of this connection".to_owned());
    assert_eq!(rejected(&told[256]), too_many);
    // Many questions at once are all answered, in order, however long the answers are.
    let questions: Vec<u8> = (0..2_000).flat_map(|number| written(GetMarkets { number })).collect();
    let told = answers(&mut subscribed(&address), &questions, 2_000);
    for (number, message) in (0..).zip(&told) {
        let MarketMessage::MarketsPage(page) = MarketMessage::read(message).unwrap() else { panic!() };
        assert_eq!(page.number, number);
    }
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn who_does_not_speak_the_protocol_is_told_and_left() {
    let folder = Folder::new("market-strangers");
    let node = start(&folder);
    let address = door(&node, "market");
    let mut cut_short = written(GetMarkets { number: 1 });
    cut_short[6] = 3;
    let mut of_the_ledgers_port = Vec::new();
    Sequence { next_seq_no: RequestNumber(1) }.write(&mut of_the_ledgers_port);
    for (bytes, code) in [
        (written(MarketHeartbeat { seq: Seq(1), time: UnixNanos(1) }), TerminationCode::ProtocolViolation),
        (cut_short, TerminationCode::DecodingError),
        (of_the_ledgers_port, TerminationCode::DecodingError),
        (b"GET /market HTTP/1.1\r\n".to_vec(), TerminationCode::DecodingError),
        (vec![0xFF, 0xFF, 0xFF, 0xFF, 0x50, 0xEB], TerminationCode::DecodingError),
    ] {
        let told = answers(&mut TcpStream::connect(&address).unwrap(), &bytes, usize::MAX);
        let last = MarketMessage::read(told.last().unwrap()).unwrap();
        let MarketMessage::MarketTerminate(end) = last else { panic!("{last:?}") };
        assert_eq!(end.code, code, "{}", end.text.as_str());
    }
    let mut reader = MarketReader::connect(std::slice::from_ref(&address)).unwrap();
    // It is in before the node ends.
    reader.markets().unwrap_or_default();
    assert_eq!(node.stop().code(), Some(0));
    match reader.next(HANGS) {
        Err(MarketFault::Ended { code, .. }) => assert_eq!(code, TerminationCode::Maintenance),
        other => panic!("{other:?}"),
    }
}

/// A WebSocket, as a browser would have it.
struct WebSocket {
    stream: TcpStream,
    input: Vec<u8>,
}

impl WebSocket {
    fn connect(node: &Node) -> Self {
        let address = door(node, "websocket");
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        write!(
            stream,
            "GET /market HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        .unwrap();
        let mut socket = Self { stream, input: Vec::new() };
        let head = loop {
            if let Some(end) = socket.input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break String::from_utf8(socket.input.drain(..end + 4).collect()).unwrap();
            }
            assert!(socket.read());
        };
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // By RFC 6455, section 1.3.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        socket
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        let read = self.stream.read(&mut buffer).unwrap();
        self.input.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// Sends one frame, masked with zeros.
    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match u16::try_from(payload.len()).unwrap() {
            length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).unwrap();
    }

    /// The next frame: its opcode and what is in it.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some((head, length)) = self.whole() {
                let opcode = self.input[0] & 0x0F;
                let payload = self.input[head..head + length].to_vec();
                self.input.drain(..head + length);
                return (opcode, payload);
            }
            assert!(self.read(), "the connection ended without a close frame");
        }
    }

    fn whole(&self) -> Option<(usize, usize)> {
        let input = &self.input;
        let (head, length) = match input.get(1)? {
            126 => (4, usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?]))),
            127 => (10, usize::try_from(u64::from_be_bytes(input.get(2..10)?.try_into().unwrap())).unwrap()),
            short => (2, usize::from(*short)),
        };
        (input.len() >= head + length).then_some((head, length))
    }

    fn say(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    fn hear(&mut self) -> Value {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 1, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    /// The next message of a kind.
    fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let message = self.hear();
            if message["type"] == kind {
                return message;
            }
        }
    }

    fn close_code(&mut self) -> u16 {
        loop {
            if let (8, payload) = self.frame() {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}

#[test]
fn a_websocket_says_the_same_as_json() {
    let folder = Folder::new("market-websocket");
    let node = start(&folder);
    let mut flow = Flow::log_on(&node);
    (0..60).for_each(|_| flow.step());
    flow.settle();
    let mut socket = WebSocket::connect(&node);
    socket.say(r#"{"op":"get_markets","number":1}"#);
    let markets = socket.wait_for("MarketsPage");
    assert_eq!((&markets["number"], &markets["markets"][0]["symbol"]), (&1.into(), &"BTC-TRY".into()));
    socket.say(r#"{"op":"subscribe","number":2,"market":1,"channel":"levels"}"#);
    assert_eq!(socket.wait_for("Subscribed")["number"], 2);
    let levels = socket.wait_for("LevelsPacket");
    assert_eq!((&levels["market"], &levels["more"]), (&1.into(), &false.into()));
    assert!(levels["levels"].as_array().unwrap().iter().any(|level| level["side"] == "Buy"), "{levels}");
    socket.say(r#"{"op":"subscribe","number":3,"market":1,"channel":"trades"}"#);
    socket.wait_for("Subscribed");
    (0..100).for_each(|_| flow.step());
    let trades = socket.wait_for("TradesPacket");
    assert_eq!(trades["missed"], "0");
    socket.say(r#"{"op":"subscribe","number":4,"channel":"ticker","window":"1h"}"#);
    let tickers = socket.wait_for("TickersPacket");
    assert_eq!((&tickers["number"], &tickers["window"]), (&4.into(), &"1h".into()));
    assert_eq!(tickers["tickers"][0]["market"], 1);
    socket.say(r#"{"op":"subscribe","number":5,"channel":"status"}"#);
    assert_eq!(socket.wait_for("StatusesPacket")["statuses"].as_array().unwrap().len(), 3, "each market");
    socket.say(r#"{"op":"subscribe","number":6,"market":1,"channel":"aggregate_trades"}"#);
    socket.wait_for("Subscribed");
    (0..100).for_each(|_| flow.step());
    let rows = socket.wait_for("AggregateTradesPacket");
    assert!(rows["trades"][0]["trades"].as_u64().unwrap() > 0, "{rows}");
    let seq: u64 = trades["trades"][0]["seq"].as_str().unwrap().parse().unwrap();
    assert!(seq > levels["seq"].as_str().unwrap().parse().unwrap(), "{trades}");
    for (text, reason) in [
        ("{", "Malformed"),
        (r#"{"op":"subscribe","number":2,"market":1,"channel":"top"}"#, "NumberInUse"),
        (
            r#"{"op":"get_candles","number":5,"market":1,"interval":"1m","utc_offset_s":61}"#,
            "FieldOutOfRange",
        ),
    ] {
        socket.say(text);
        assert_eq!(socket.wait_for("MarketReject")["reason"], reason);
    }
    socket.say(r#"{"op":"get_candles","number":6,"market":1,"interval":"1M","utc_offset_s":10800}"#);
    let candles = socket.wait_for("CandlesPage");
    assert!(candles["candles"][0]["trades"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{candles}");
    socket.say(&format!("{:4100}", 1));
    assert_eq!(socket.close_code(), 1_009);
    let mut socket = WebSocket::connect(&node);
    socket.send(2, b"bytes");
    assert_eq!(socket.close_code(), 1_003);
    let mut socket = WebSocket::connect(&node);
    assert_eq!(node.stop().code(), Some(0));
    assert_eq!(socket.close_code(), 1_001);
}

#[test]
fn the_command_line_reads_market_data() {
    let folder = Folder::new("market-cli");
    let node = start(&folder);
    let mut flow = Flow::log_on(&node);
    (0..200).for_each(|_| flow.step());
    flow.settle();
    let applied = status(&folder.data(), &[])["seq_applied"].as_u64().unwrap();
    while metric(&node, "sicil_market_data_seq") < applied {}
    let address = door(&node, "market");
    let ask = |arguments: &[&str]| {
        let (code, out, err) = run(sicil(["market"]).args(arguments).args(["--addr", &address]));
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    };
    assert!(ask(&["list"]).contains("BTC-TRY"));
    let json = |arguments: &[&str]| -> Vec<Value> {
        let out = ask(&[arguments, &["--json"]].concat());
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let trades = json(&["trades", "BTC-TRY", "--limit", "4000"]);
    let first = trades[0]["trade"].as_str().unwrap().to_owned();
    assert_eq!(json(&["trades", "1", "--from-trade", &first, "--limit", "1"]), trades[..1]);
    let rows = json(&["trades", "BTC-TRY", "--limit", "4000", "--aggregate"]);
    let sum: u64 = rows.iter().map(|row| row["trades"].as_u64().unwrap()).sum();
    assert_eq!((sum, &rows[0]["first_trade"]), (trades.len().try_into().unwrap(), &first.into()));
    assert!(ask(&["trades", "BTC-TRY", "--limit", "4000", "--aggregate"]).contains("Buy"));
    let ticker = json(&["ticker", "--window", "1d"]);
    assert_eq!(ticker[0]["trades"].as_str().unwrap(), trades.len().to_string());
    assert_eq!(ticker[0]["last_ticks"], trades.last().unwrap()["price_ticks"]);
    let candles = json(&["candles", "BTC-TRY", "--interval", "1d", "--utc-offset", "-09:30"]);
    let count = |candle: &Value| candle["trades"].as_str().unwrap().parse::<usize>().unwrap();
    assert_eq!(candles.iter().map(count).sum::<usize>(), trades.len());
    let book = json(&["book", "BTC-TRY", "--orders"]);
    assert_eq!((book.len(), &book[0]["type"]), (1, &"OrdersPacket".into()));
    let drawn = ask(&["book", "BTC-TRY", "--levels", "3"]);
    assert!(drawn.contains("  bid ") && drawn.contains("  ask ") && drawn.lines().count() <= 7, "{drawn}");
    let (code, _, err) = run(&mut sicil(["market", "book", "XYZ", "--addr", &address]));
    assert_eq!((code, err.as_str()), (2, "sicil: there is no market \"XYZ\"\n"));
    assert_eq!(node.stop().code(), Some(0));
}

/// Brings a market of the demo into a phase.
fn go_to(folder: &Folder, phase: &str) {
    let demo = include_str!("../../src/demo_definitions.toml");
    let from = demo.find("[[market]]\nid = 1\n").unwrap();
    let until = from + demo[from + 1..].find("[[market]]").unwrap() + 1;
    let assets = demo.find("[[asset]]").unwrap();
    let assets = &demo[assets..demo.find("[[market]]").unwrap()];
    let text = format!("{assets}{}\nphase = \"{phase}\"\n", demo[from..until].trim_end());
    let file = folder.write("phase.toml", &text);
    let (code, _, err) = run(sicil(["apply", "--data"]).arg(folder.data()).arg(file));
    assert_eq!(code, 0, "{err}");
}

/// The next state that is sent.
fn next_status(reader: &mut MarketReader) -> Status {
    loop {
        if let Some(MarketMessage::StatusPacket(packet)) = reader.next(HANGS).unwrap() {
            return packet.statuses.iter().next().unwrap();
        }
    }
}

#[test]
fn everybody_is_told_what_an_auction_would_trade_and_what_it_traded() {
    let folder = Folder::new("market-status");
    let node = start(&folder);
    let address = door(&node, "market");
    drop(subscribed(&address));
    let mut reader = MarketReader::connect(std::slice::from_ref(&address)).unwrap();
    reader.subscribe(subscription(MarketChannel::Status), None).unwrap();
    let status = next_status(&mut reader);
    assert_eq!((status.phase, status.phase_cause, status.auction_trades), (MarketPhase::Trading, None, 0));
    go_to(&folder, "auction");
    let status = next_status(&mut reader);
    assert_eq!((status.phase, status.phase_cause), (MarketPhase::Auction, Some(PhaseCause::Command)));
    assert!(status.phase_seq > Seq(0) && status.phase_time > UnixNanos(0));
    assert_eq!((status.indicative_price_ticks.0, status.indicative_lots), (0, 0));
    let mut traders = [Client::new("CLIENT1"), Client::new("CLIENT2")];
    for (trader, side, price, qty) in
        [(0, Side::Sell, "4200000", "0.002"), (1, Side::Buy, "4200100", "0.00300")]
    {
        let trader = &mut traders[trader];
        trader.log_on(&node, LogonStyle::Reset);
        let (order_type, time_in_force) = (OrderType::Limit, TimeInForce::GoodTillCancel);
        let cl_ord_id = "one";
        let order = NewOrder { cl_ord_id, symbol: "BTC-TRY", side, order_type, time_in_force, price, qty };
        trader.session.new_order(&order, trader.now());
        trader.report("one", "0");
    }
    // Nobody sends anything more: the node sees to it that what has changed is told.
    let status = next_status(&mut reader);
    assert_eq!((status.indicative_price_ticks.0, status.indicative_lots), (4_200_100, 200));
    assert_eq!((status.surplus_buy_lots, status.surplus_sell_lots), (100, 0));
    let ask = |arguments: &[&str]| {
        let (code, out, err) = run(sicil(["market", "status"]).args(arguments).args(["--addr", &address]));
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    };
    let shown = ask(&["BTC-TRY"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        lines[0].starts_with("BTC-TRY          Auction since ") && lines[0].contains("by command"),
        "{shown}"
    );
    assert_eq!(lines[1..], ["  would trade 0.002 at 4200100, 0.001 more is bid for"]);
    assert_eq!(ask(&[]).lines().filter(|line| line.contains("-TRY ")).count(), 3, "each market");
    let mut socket = WebSocket::connect(&node);
    socket.say(r#"{"op":"get_status","number":5,"market":1}"#);
    let page = socket.wait_for("StatusPage");
    let row = &page["statuses"][0];
    assert_eq!((&page["number"], &row["phase"]), (&5.into(), &"Auction".into()));
    assert_eq!((&row["phase_cause"], &row["indicative_lots"]), (&"Command".into(), &"200".into()));
    socket.say(r#"{"op":"get_status","number":6,"market":77}"#);
    assert_eq!(socket.wait_for("MarketReject")["reason"], "UnknownMarket");
    go_to(&folder, "trading");
    let mut status = next_status(&mut reader);
    while status.phase != MarketPhase::Trading {
        status = next_status(&mut reader);
    }
    assert_eq!(
        (status.auction_price_ticks.0, status.auction_lots, status.auction_trades),
        (4_200_100, 200, 1)
    );
    assert_eq!((status.indicative_price_ticks.0, status.indicative_lots), (0, 0));
    assert!(status.auction_seq > Seq(0) && status.auction_seq <= status.phase_seq);
    assert!(ask(&["BTC-TRY", "--json"]).contains(r#""auction_lots":"200""#));
    assert_eq!(node.stop().code(), Some(0));
}

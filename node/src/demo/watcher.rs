//! A reader of market data: it keeps the book of a market out of the changes that it is sent, across the kill, and proves it by the checksum of
//! every packet.

use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::Duration;

use client::{MarketBook, MarketFault, MarketReader, Subscription};
use protocol::binary::market::MarketMessage;
use protocol::binary::{CandleInterval, MarketChannel, TickerWindow};
use protocol::{MarketId, Seq, Side, UnixNanos};

use serde_json::Value;

use super::{DemoFault, agreed};
use crate::clock::pause;
use crate::fault::NodeFault;
use crate::market::Units;
use crate::threads;

/// The first market of the built-in demo definitions.
const MARKET: MarketId = MarketId(1);
/// How long it waits for a packet before it hears what it is asked.
const LOOK: Duration = Duration::from_millis(50);
/// Nothing came for so long: it has everything.
const QUIET: Duration = Duration::from_millis(500);
/// Before it asks again where market data are not ready.
const AGAIN: Duration = Duration::from_millis(20);

/// What it is told.
enum Word {
    /// A node serves market data there.
    Node(String),
    /// Nobody trades any more: show what is there.
    Show,
}

/// What it has come to.
pub(super) struct Watched {
    /// The book is that of this record.
    pub(super) seq: Seq,
    /// Of that book.
    pub(super) checksum: u32,
    packets: u64,
    /// Nodes that they came from.
    nodes: u64,
    lines: Vec<String>,
}

/// The reader's thread, from outside.
pub(super) struct Watcher {
    words: Sender<Word>,
    ends: Receiver<Result<Watched, MarketFault>>,
}

impl Watcher {
    /// Starts reading at a node.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn start(node: &str) -> Result<Self, DemoFault> {
        let (words, heard) = mpsc::channel();
        let (end, ends) = mpsc::channel();
        let watcher = Self { words, ends };
        watcher.turn_to(node)?;
        threads::start("watcher", move || end.send(watch(&heard)).unwrap_or_default())
            .map_err(DemoFault::io("a thread"))?;
        Ok(watcher)
    }

    fn say(&self, word: Word) -> Result<(), DemoFault> {
        self.words.send(word).map_err(|_| self.fault())
    }

    fn fault(&self) -> DemoFault {
        match self.ends.recv() {
            Ok(Err(fault)) => DemoFault::Operator(NodeFault::Market(fault)),
            Ok(Ok(_)) | Err(_) => DemoFault::Node("the reader of market data has ended".to_owned()),
        }
    }

    /// Reads on at another node.
    ///
    /// # Errors
    /// Why it has ended.
    pub(super) fn turn_to(&self, node: &str) -> Result<(), DemoFault> {
        self.say(Word::Node(node.to_owned()))
    }

    /// What it has, when nobody trades any more.
    ///
    /// # Errors
    /// Why it has ended.
    pub(super) fn finish(self) -> Result<Watched, DemoFault> {
        self.say(Word::Show)?;
        match self.ends.recv() {
            Ok(Ok(watched)) => Ok(watched),
            Ok(Err(fault)) => Err(DemoFault::Operator(NodeFault::Market(fault))),
            Err(_) => Err(DemoFault::Node("the reader of market data has ended".to_owned())),
        }
    }
}

impl Watched {
    /// Shows it.
    pub(super) fn show(&self) {
        for line in &self.lines {
            println!("{line}");
        }
    }

    /// Holds the book against what an auditor finds, who has run the journal again up to its seq.
    ///
    /// # Errors
    /// [`DemoFault::Check`] if they differ.
    pub(super) fn compare(&self, replayed: &Value) -> Result<(), DemoFault> {
        let markets = replayed.get("markets").and_then(Value::as_array);
        let of = |market: &&Value| market.get("market").and_then(Value::as_u64) == Some(MARKET.0.into());
        let market = markets.and_then(|markets| markets.iter().find(of));
        let theirs = market.and_then(|market| market.get("book_checksum")).and_then(Value::as_u64);
        let Self { seq, checksum, packets, nodes, .. } = self;
        if theirs != Some(u64::from(*checksum)) {
            let text = format!(
                "a reader's book at seq {seq} has the checksum {checksum:08x}, the engine's {theirs:x?}"
            );
            return Err(DemoFault::Check(text));
        }
        agreed(format!(
            "the book that a reader kept out of {packets} packets of {nodes} processes, each with a checksum that was right, is the engine's \
             at seq {seq}: {checksum:08x}"
        ));
        Ok(())
    }
}

fn watch(words: &Receiver<Word>) -> Result<Watched, MarketFault> {
    let mut book = MarketBook::default();
    let (mut packets, mut nodes) = (0, 0);
    let mut next = words.recv().ok();
    while let Some(Word::Node(node)) = next {
        let mut reader = MarketReader::connect(std::slice::from_ref(&node))?;
        // What has changed since is enough, where it is kept.
        reader.subscribe(Subscription::new(MARKET, MarketChannel::Orders), book.seq())?;
        nodes += 1;
        let mut is_ending = false;
        next = loop {
            match reader.next(if is_ending { QUIET } else { LOOK }) {
                Ok(Some(MarketMessage::MarketReject(_))) => {
                    pause(AGAIN);
                    reader.subscribe(Subscription::new(MARKET, MarketChannel::Orders), book.seq())?;
                }
                Ok(Some(message)) => packets += u64::from(book.take(&message)?),
                Ok(None) if is_ending && book.seq().is_some() => {
                    return shown(&node, &book, packets, nodes);
                }
                Ok(None) => {}
                // The node is dead: the next one will be told of.
                Err(MarketFault::Connection(_) | MarketFault::Ended { .. }) => break words.recv().ok(),
                Err(fault) => return Err(fault),
            }
            match words.try_recv() {
                Ok(Word::Show) => is_ending = true,
                Ok(Word::Node(node)) => break Some(Word::Node(node)),
                Err(TryRecvError::Empty) => {}
                // Nobody is there any more who would be shown anything.
                Err(TryRecvError::Disconnected) => break None,
            }
        };
    }
    Err(MarketFault::Silent)
}

/// The book, and what was traded, before the kill and behind it.
fn shown(node: &str, book: &MarketBook, packets: u64, nodes: u64) -> Result<Watched, MarketFault> {
    let mut reader = MarketReader::connect(&[node.to_owned()])?;
    let listing = reader.markets()?.into_iter().find(|listing| listing.market == MARKET);
    let units = listing.map(Units).ok_or(MarketFault::Silent)?;
    let (seq, checksum) = (book.seq().unwrap_or_default(), book.checksum());
    let mut lines = vec![units.book(book, 3)];
    let minutes = reader.candles(MARKET, CandleInterval::Minute, 0, (UnixNanos(0), UnixNanos(u64::MAX)))?;
    lines.push("last minutes: open, high, low, close, volume, trades".to_owned());
    let behind = minutes.candles.len().saturating_sub(2);
    lines.extend(minutes.candles.iter().skip(behind).map(|candle| units.candle(candle)));
    lines.extend(reader.tickers(TickerWindow::Day, Some(MARKET))?.iter().map(|ticker| units.ticker(ticker)));
    let levels = [Side::Buy, Side::Sell].map(|side| book.levels(side).count());
    lines.push(format!("{} bids and {} asks in all, each order kept by the reader", levels[0], levels[1]));
    Ok(Watched { seq, checksum, packets, nodes, lines })
}

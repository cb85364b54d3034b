//! FIX clients that trade on through the loss of a leader, and know of each order what was said of it.
//!
//! The load is an open loop: an order leaves when it is due, whoever leads and however many are unanswered. A session
//! outlives its connections: what was due while nobody led has its number already, and is sent by the resend after
//! the next Logon. Half of the sessions sell what the other half buys at one price, so that the book stays short.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use gateways::fix::initiator::{Clocks, Initiator, LogonStyle, Message, NewOrder, Phase, Settings};
use protocol::{MonoNanos, OrderType, Side, TimeInForce, UnixNanos};

use crate::clock::{Stopwatch, unix_ns};
use crate::cluster::NODES;
use crate::fault::Fault;

const SESSIONS: usize = 4;
const SYMBOL: &str = "BTC-TRY";
const PRICE: &str = "4200000";
const QTY: &str = "0.001";
/// A client that has just lost its connection tries the next node so often: the lead may have been given away.
const RETRY_SOON_NS: u64 = 1_000_000;
const SOON_NS: u64 = 50_000_000;
/// And then so often: it may have to wait for an election, and its attempts cost the nodes time.
const RETRY_NS: u64 = 3_000_000;
/// A Logon that is not answered for so long is tried elsewhere.
const LOGON_NS: u64 = 1_000_000_000;
/// Nothing to read and nothing due: the cores belong to the nodes.
const IDLE: Duration = Duration::from_micros(200);
/// Questions after orders in flight, of each session.
const ASKED_MAX: usize = 256;
/// How long the last answers may take.
const DRAIN_NS: u64 = 60_000_000_000;

/// What the traders and whoever kills the nodes know together.
#[derive(Default)]
pub(crate) struct Shared {
    /// Where each node takes FIX clients, while it runs.
    pub(crate) addresses: Mutex<[Option<SocketAddr>; NODES]>,
    /// Behind a gateway process nobody sees who acknowledges: then this counts the leaders, from 1 on.
    pub(crate) leaders: AtomicUsize,
    /// No further orders.
    pub(crate) stop: AtomicBool,
}

impl Shared {
    pub(crate) fn set(&self, place: usize, address: Option<SocketAddr>) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = addresses.get_mut(place) {
            *known = address;
        }
    }

    /// Who acknowledges a trader that has logged on at `place`.
    fn acknowledger(&self, place: usize) -> usize {
        match self.leaders.load(Ordering::Acquire) {
            0 => place,
            leaders => leaders,
        }
    }

    fn get(&self, place: usize) -> Option<SocketAddr> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(place).copied().flatten()
    }
}

/// The first acknowledgement of a node that did not give the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) to: usize,
    /// The last one of the node before; the beginning, if there was none.
    pub(crate) last_ns: u64,
    pub(crate) first_ns: u64,
}

/// What came of all orders.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) orders: u64,
    pub(crate) fills: u64,
    /// Never answered, though the session went on.
    pub(crate) unanswered: u64,
    pub(crate) refused: u64,
    /// Acknowledged or filled, and at the end not known, or known otherwise.
    pub(crate) lost: u64,
    /// Acknowledged or filled more than once.
    pub(crate) twice: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Order {
    acknowledged: u8,
    fills: u8,
    refused: bool,
    /// What the last question was answered with agrees with what is known from reports.
    confirmed: bool,
}

struct Trader {
    session: Initiator,
    side: Side,
    stream: Option<TcpStream>,
    place: usize,
    tried_ns: u64,
    /// When it was logged on for the last time.
    left_ns: u64,
    out: Vec<u8>,
    orders: Vec<Order>,
    answered: usize,
    asked: usize,
    told: usize,
}

/// All sessions, and the time that they have in common.
pub(crate) struct Traders<'a> {
    shared: &'a Shared,
    changes: Sender<Change>,
    watch: Stopwatch,
    started_unix_ns: u64,
    traders: Vec<Trader>,
    inbound: Vec<u8>,
    /// Who acknowledged last, and when.
    last: Option<(usize, u64)>,
}

impl<'a> Traders<'a> {
    pub(crate) fn new(shared: &'a Shared, changes: Sender<Change>, watch: Stopwatch) -> Self {
        let started_unix_ns = unix_ns() - elapsed_ns(watch);
        let traders = (1..=SESSIONS).map(Trader::new).collect();
        Self { shared, changes, watch, started_unix_ns, traders, inbound: vec![0; 1 << 16], last: None }
    }

    /// Sends `rate` orders a second until it is told to stop; then waits for the last answers and asks after each order.
    pub(crate) fn trade(mut self, rate: u64) -> Result<Outcome, Fault> {
        let started_ns = elapsed_ns(self.watch);
        let mut sent: u64 = 0;
        // The last round is a whole one: a sale for each purchase.
        while !self.shared.stop.load(Ordering::Acquire) || !sent.is_multiple_of(SESSIONS as u64) {
            while started_ns + sent * 1_000_000_000 / rate <= elapsed_ns(self.watch) {
                let now = self.now();
                let place = usize::try_from(sent % SESSIONS as u64).unwrap_or(0);
                if let Some(trader) = self.traders.get_mut(place) {
                    trader.order(now);
                }
                sent += 1;
                if sent.is_multiple_of(SESSIONS as u64) {
                    break;
                }
            }
            self.turn()?;
        }
        self.until(|trader| trader.answered == trader.orders.len())?;
        self.until(|trader| trader.asked == trader.orders.len() && trader.told == trader.asked)?;
        Ok(self.traders.iter().flat_map(|trader| &trader.orders).fold(Outcome::default(), Outcome::with))
    }

    /// Turns until every session is `done`, or has been silent for too long: the counts tell.
    fn until(&mut self, done: impl Fn(&Trader) -> bool) -> Result<(), Fault> {
        let answered = |traders: &[Trader]| traders.iter().map(|t| t.answered + t.told).sum::<usize>();
        let (mut before, mut heard_ns) = (answered(&self.traders), elapsed_ns(self.watch));
        while !self.traders.iter().all(&done) {
            let now = self.now();
            // Orders are asked after when all of them are answered.
            for trader in self.traders.iter_mut().filter(|trader| trader.answered == trader.orders.len()) {
                trader.ask(now);
            }
            self.turn()?;
            let after = answered(&self.traders);
            if after != before {
                (before, heard_ns) = (after, elapsed_ns(self.watch));
            } else if elapsed_ns(self.watch) > heard_ns + DRAIN_NS {
                return Ok(());
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Fault> {
        let mut idle = true;
        for index in 0..self.traders.len() {
            let now = self.now();
            let Some(trader) = self.traders.get_mut(index) else { continue };
            if trader.stream.is_none() && !trader.connect(self.shared, now) {
                continue;
            }
            idle &= !trader.exchange(&mut self.inbound, now)?;
            for message in trader.session.take_received() {
                if trader.take(&message) {
                    let (place, ns) = (self.shared.acknowledger(trader.place), now.mono.0);
                    let last = self.last.replace((place, ns));
                    if last.is_none_or(|(before, _)| before != place) {
                        let last_ns = last.map_or(0, |(_, last_ns)| last_ns);
                        let told = self.changes.send(Change { to: place, last_ns, first_ns: ns });
                        told.map_err(|_| Fault::Cluster("nobody listens any more".to_owned()))?;
                    }
                }
            }
        }
        if idle {
            thread::park_timeout(IDLE);
        }
        Ok(())
    }

    fn now(&self) -> Clocks {
        let mono_ns = elapsed_ns(self.watch);
        Clocks { mono: MonoNanos(mono_ns), wall: UnixNanos(self.started_unix_ns + mono_ns) }
    }
}

impl Trader {
    fn new(number: usize) -> Self {
        Self {
            session: Initiator::new(Settings::new(format!("CLIENT{number}"), "SICIL")),
            side: if number.is_multiple_of(2) { Side::Buy } else { Side::Sell },
            stream: None,
            place: number % NODES,
            tried_ns: 0,
            left_ns: 0,
            out: Vec::new(),
            orders: Vec::new(),
            answered: 0,
            asked: 0,
            told: 0,
        }
    }

    fn order(&mut self, now: Clocks) {
        let order = NewOrder {
            cl_ord_id: &self.orders.len().to_string(),
            symbol: SYMBOL,
            side: self.side,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::GoodTillCancel,
            price: PRICE,
            qty: QTY,
        };
        self.session.new_order(&order, now);
        self.orders.push(Order::default());
    }

    fn ask(&mut self, now: Clocks) {
        while self.asked < self.orders.len() && self.asked - self.told < ASKED_MAX {
            self.session.status(&self.asked.to_string(), SYMBOL, self.side, now);
            self.asked += 1;
        }
    }

    /// Tries the next node, if it is time; whether there is a connection.
    fn connect(&mut self, shared: &Shared, now: Clocks) -> bool {
        let pause_ns = if now.mono.0 < self.left_ns + SOON_NS { RETRY_SOON_NS } else { RETRY_NS };
        if now.mono.0 < self.tried_ns + pause_ns {
            return false;
        }
        let next = (1..=NODES).map(|step| (self.place + step) % NODES);
        let Some((place, address)) =
            next.into_iter().find_map(|place| shared.get(place).map(|address| (place, address)))
        else {
            return false;
        };
        (self.place, self.tried_ns) = (place, now.mono.0);
        let connected = TcpStream::connect(address)
            .and_then(|stream| stream.set_nodelay(true).and(stream.set_nonblocking(true)).map(|()| stream));
        // A node that was killed just now refuses; another one is next.
        let Ok(stream) = connected else { return false };
        self.stream = Some(stream);
        self.out.clear();
        self.session.connect(LogonStyle::ContinueNextExpected, now);
        true
    }

    /// Sends and receives what there is; whether anything came or went.
    fn exchange(&mut self, inbound: &mut [u8], now: Clocks) -> Result<bool, Fault> {
        self.session.take_output(&mut self.out);
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let mut is_open = true;
        let mut moved = false;
        while !self.out.is_empty() {
            match stream.write(&self.out) {
                Ok(len) => {
                    self.out.drain(..len);
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // What it said before it went away is still to be read.
                Err(_) => {
                    self.out.clear();
                    break;
                }
            }
        }
        match stream.read(inbound) {
            Ok(0) => is_open = false,
            Ok(len) => {
                let fault = |fault| Fault::Fix(format!("node {}: {fault}", self.place + 1));
                self.session.receive(inbound.get(..len).unwrap_or_default(), now).map_err(fault)?;
                moved = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => is_open = false,
        }
        self.session.tick(now).map_err(|fault| Fault::Fix(fault.to_string()))?;
        let phase = self.session.phase();
        if phase == Phase::Active {
            self.left_ns = now.mono.0;
        }
        let unanswered = phase == Phase::LogonSent && now.mono.0 > self.tried_ns + LOGON_NS;
        if !is_open || phase == Phase::Ended || unanswered {
            self.stream = None;
            self.session.disconnected();
        }
        Ok(moved)
    }

    /// Notes what is said of an order; whether it acknowledges one now and not again.
    fn take(&mut self, message: &Message) -> bool {
        if message.kind() == b"5" {
            eprintln!("node {} logged out: {}", self.place + 1, message.text(58));
        }
        let index = message.number(11).and_then(|id| usize::try_from(id).ok());
        let Some(order) = index.and_then(|index| self.orders.get_mut(index)) else { return false };
        if message.kind() != b"8" {
            return false;
        }
        let first = order.acknowledged == 0 && !order.refused;
        match message.get(150) {
            Some(b"0") => order.acknowledged = order.acknowledged.saturating_add(1),
            Some(b"F") => order.fills = order.fills.saturating_add(1),
            Some(b"8") => order.refused = true,
            Some(b"I") => {
                self.told += 1;
                order.confirmed = match message.get(39) {
                    Some(b"0") => order.fills == 0,
                    Some(b"2") => order.fills > 0,
                    _ => false,
                };
            }
            _ => {}
        }
        let answers = first && (order.acknowledged == 1 || order.refused);
        self.answered += usize::from(answers);
        answers && order.acknowledged == 1 && !message.is_set(43)
    }
}

impl Outcome {
    fn with(self, order: &Order) -> Self {
        let is_taken = order.acknowledged > 0 || order.fills > 0;
        Self {
            orders: self.orders + 1,
            fills: self.fills + u64::from(order.fills),
            unanswered: self.unanswered + u64::from(!is_taken && !order.refused),
            refused: self.refused + u64::from(order.refused),
            lost: self.lost + u64::from(is_taken && !order.confirmed),
            twice: self.twice + u64::from(order.acknowledged > 1 || order.fills > 1),
        }
    }
}

/// Nanoseconds on the common clock.
pub(crate) fn elapsed_ns(watch: Stopwatch) -> u64 {
    u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

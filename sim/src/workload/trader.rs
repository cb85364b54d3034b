//! A FIX client: orders, cancels, replaces and status requests over connections that come and go. It keeps what it
//! assembled from them, number by number, for the checkers.

use std::collections::BTreeMap;

use gateways::fix::ConnectionId;
use gateways::fix::initiator::{
    Clocks, Fault, Initiator, LogonStyle, Message, NewOrder, OrderRef, Phase, Settings, field, timestamp,
};
use protocol::{MonoNanos, OrderType, SessionEpoch, SessionId, Side, TimeInForce};
use replicas::Now;

use super::{setup, terms};
use crate::checkers::Violation;
use crate::knobs::Knobs;
use crate::link::Link;
use crate::machine::Links;
use crate::rng::Rng;
use crate::trace::Trace;

/// Orders remembered as live.
const LIVE_MAX: usize = 60;

/// A message as the client took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// MsgType(35).
    pub kind: String,
    /// The number that follows: behind a gap fill more than one higher.
    pub next: u64,
    /// ClOrdID(11).
    pub cl_ord_id: String,
    /// OrderID(37).
    pub order: String,
    /// CumQty(14).
    pub cum: String,
}

/// Messages by number, for each epoch and each time that the client began at 1.
pub type Streams = BTreeMap<(SessionEpoch, u64), BTreeMap<u64, Received>>;

/// An order that the client believes to be live.
#[derive(Clone, Debug)]
struct Live {
    cl_ord_id: String,
    side: Side,
}

/// One client.
pub struct Trader {
    place: usize,
    rng: Rng,
    trace: Trace,
    knobs: Knobs,
    initiator: Initiator,
    connection: Option<ConnectionId>,
    /// Which epoch its numbers are of; unknown after a reset until the Logon is answered.
    epoch: Option<SessionEpoch>,
    /// How often it has begun again at 1. The session may not have heard of it, and then one epoch is received twice.
    resets: u64,
    streams: Streams,
    live: Vec<Live>,
    /// ClOrdIDs without an answer, with the number of their message.
    unanswered: BTreeMap<String, u64>,
    next_order: u64,
    next_at: MonoNanos,
    style: LogonStyle,
    wants_more: bool,
}

impl Trader {
    pub(crate) fn new(place: usize, rng: Rng, knobs: Knobs, trace: Trace) -> Self {
        let mut settings = Settings::new(setup::comp_id(place), setup::OUR_COMP_ID);
        settings.heartbeat_s = 1;
        Self {
            place,
            rng,
            trace,
            knobs,
            initiator: Initiator::new(settings),
            connection: None,
            epoch: Some(SessionEpoch(1)),
            resets: 0,
            streams: BTreeMap::new(),
            live: Vec::new(),
            unanswered: BTreeMap::new(),
            next_order: 1,
            next_at: MonoNanos(0),
            style: LogonStyle::Continue,
            wants_more: true,
        }
    }

    /// Its session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        setup::session(self.place)
    }

    /// What it assembled.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    pub(crate) fn next_at(&self) -> MonoNanos {
        self.next_at
    }

    /// No new orders; what is open still gets its answer.
    pub(crate) fn stop(&mut self) {
        self.wants_more = false;
    }

    /// Whether it is logged on, has everything, and waits for nothing.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.initiator.caught_up() && self.unanswered.is_empty()
    }

    /// What is still open, for a report.
    #[must_use]
    pub fn open(&self) -> String {
        format!(
            "{} {:?} {:?} unanswered {:?}",
            setup::comp_id(self.place),
            self.initiator.phase(),
            self.initiator.state(),
            self.unanswered
        )
    }

    /// The Logon on `connection` was accepted, and the session's numbers are of this epoch.
    pub(crate) fn opened(&mut self, connection: ConnectionId, epoch: SessionEpoch) {
        if self.connection == Some(connection) {
            self.epoch = Some(epoch);
        }
    }

    /// Takes what has come over the connection, and its end.
    ///
    /// # Errors
    /// [`Violation`] if the acceptor does what it may not.
    pub(crate) fn receive(&mut self, now: Now, links: &mut Links) -> Result<(), Violation> {
        let Some(connection) = self.connection else { return Ok(()) };
        let clocks = clocks(now);
        let Some(link) = links.get_mut(&connection) else { return Ok(()) };
        while let Some(bytes) = link.client_receives(now.mono) {
            self.trace.bytes(&bytes);
            self.trace.note("client receives", connection.0, bytes.len() as u64);
            if let Err(fault) = self.initiator.receive(&bytes, clocks) {
                let what = format!("{}: {fault}: {}", setup::comp_id(self.place), printable(&bytes));
                return Err(Violation { invariant: "outputs_gapless", what });
            }
        }
        let ended = link.has_ended(now.mono) || self.initiator.phase() == Phase::Ended;
        self.take_received();
        if ended {
            self.disconnect(now, links);
        }
        Ok(())
    }

    fn take_received(&mut self) {
        for message in self.initiator.take_received() {
            self.answered(&message);
            let Some(epoch) = self.epoch else { continue };
            let received = Received {
                kind: String::from_utf8_lossy(message.kind()).into_owned(),
                next: message.next_seq_num(),
                cl_ord_id: message.text(11),
                order: message.text(37),
                cum: message.text(14),
            };
            self.streams.entry((epoch, self.resets)).or_default().insert(message.msg_seq_num(), received);
        }
    }

    /// Notes what a message says about orders and requests.
    fn answered(&mut self, message: &Message) {
        self.trace.note("client takes", self.place as u64, message.msg_seq_num());
        let cl_ord_id = message.text(11);
        match message.kind() {
            b"8" => {
                self.unanswered.remove(&cl_ord_id);
                let orig = message.text(41);
                self.live.retain(|live| live.cl_ord_id != cl_ord_id && live.cl_ord_id != orig);
                let is_live = matches!(message.text(39).as_str(), "0" | "1") && self.live.len() < LIVE_MAX;
                if is_live {
                    let side = if message.text(54) == "1" { Side::Buy } else { Side::Sell };
                    self.live.push(Live { cl_ord_id, side });
                }
                match message.text(150).as_str() {
                    "F" => self.trace.sometimes("trade"),
                    "8" => self.trace.sometimes("order refused"),
                    "C" => self.trace.sometimes("order expired"),
                    "D" if message.text(378) == "8" => self.trace.sometimes("order fired"),
                    _ => {}
                }
            }
            b"9" => {
                self.unanswered.remove(&cl_ord_id);
                self.trace.sometimes("cancel refused");
            }
            b"3" | b"j" => {
                let refused = message.number(45);
                self.unanswered.retain(|_, number| Some(*number) != refused);
                self.trace.sometimes("message refused");
            }
            b"r" => {
                self.unanswered.remove(&cl_ord_id);
                self.trace.sometimes("orders cancelled at once");
            }
            b"b" => {
                self.unanswered.remove(&message.text(117));
                self.trace.sometimes("quotes acknowledged");
            }
            b"4" => self.trace.sometimes("gap filled"),
            b"5" => {
                self.trace.sometimes("logout received");
                if self.initiator.phase() == Phase::Ended && message.text(58).contains("too low") {
                    // Its reset was never heard of, or answered to a connection that was gone.
                    self.trace.sometimes("logon refused, numbers too low");
                    self.style = LogonStyle::Reset;
                }
            }
            _ => {}
        }
        if message.is_set(43) {
            self.trace.sometimes("message resent to a client");
        }
    }

    fn disconnect(&mut self, now: Now, links: &mut Links) {
        if let Some(link) = self.connection.take().and_then(|connection| links.get_mut(&connection)) {
            link.client_closes(now.mono);
        }
        self.initiator.disconnected();
        self.next_at = now.mono.plus(self.rng.within(50..=20_000) * 1_000);
    }

    /// What the client does now. `accepts`: the machine that takes connections; the next one gets the number `fresh`.
    pub(crate) fn act(&mut self, now: Now, accepts: Option<usize>, fresh: &mut u64, links: &mut Links) {
        if let Err(Fault::Silent) = self.initiator.tick(clocks(now)) {
            self.trace.sometimes("client gave up a silent connection");
            self.disconnect(now, links);
        }
        if now.mono >= self.next_at {
            self.next_at = now.mono.plus(self.rng.within(20..=self.knobs.pause_us_max) * 1_000);
            if self.connection.is_none() {
                if let Some(machine) = accepts {
                    self.connect(now, machine, fresh, links);
                }
            } else if self.initiator.phase() == Phase::Active && self.wants_more {
                self.speak(now, links);
            }
        }
        let mut output = Vec::new();
        self.initiator.take_output(&mut output);
        if let Some(link) = self.connection.and_then(|connection| links.get_mut(&connection))
            && !output.is_empty()
        {
            self.trace.bytes(&output);
            link.client_sends(&output, now.mono);
        }
    }

    fn connect(&mut self, now: Now, machine: usize, fresh: &mut u64, links: &mut Links) {
        *fresh += 1;
        let connection = ConnectionId(*fresh);
        links.insert(connection, Link::new(machine, self.rng.fork("link")));
        // Each connection has a stream of chance of its own.
        self.rng.draw();
        self.connection = Some(connection);
        let mut style = std::mem::replace(&mut self.style, LogonStyle::Continue);
        if self.knobs.rough_clients && self.wants_more && style == LogonStyle::Continue {
            style = match self.rng.below(12) {
                0 => LogonStyle::Reset,
                1..=3 => LogonStyle::ContinueNextExpected,
                _ => style,
            };
        }
        if style == LogonStyle::Reset {
            self.trace.sometimes("session reset by its client");
            self.epoch = None;
            self.resets += 1;
            self.unanswered.clear();
        }
        self.trace.note("connect", connection.0, self.place as u64);
        self.initiator.connect(style, clocks(now));
    }

    /// Orders and requests of one moment; now and then an end of the connection.
    fn speak(&mut self, now: Now, links: &mut Links) {
        if self.knobs.rough_clients {
            match self.rng.below(150) {
                0 => {
                    self.trace.sometimes("connection dropped by its client");
                    self.disconnect(now, links);
                    return;
                }
                1 => return self.initiator.logout(clocks(now)),
                2 => self.initiator.test_request("PING", clocks(now)),
                _ => {}
            }
        }
        if self.next_order > self.knobs.actions_max {
            return;
        }
        for _ in 0..self.rng.within(1..=self.knobs.burst_max) {
            if self.knobs.order_terms && self.rng.below(20) == 0 {
                self.rare(now);
                continue;
            }
            match self.rng.below(10) {
                0..=5 => self.order(now),
                6 | 7 => self.cancel(now),
                8 => self.replace(now),
                _ => self.ask(now),
            }
        }
    }

    fn fresh_id(&mut self) -> String {
        self.next_order += 1;
        format!("T{}-{}", self.place, self.next_order)
    }

    /// Now and then everything is cancelled at once, two orders are entered that cancel each other, or quotes.
    fn rare(&mut self, now: Now) {
        let time = timestamp(now.wall);
        let (kind, ids, body) = match self.rng.below(5) {
            0 => {
                let id = self.fresh_id();
                let mut body = Vec::new();
                for (tag, value) in [(11, id.as_str()), (530, "7"), (60, &time)] {
                    field(&mut body, tag, value);
                }
                ("q", vec![id], body)
            }
            1 | 2 => {
                let ids = [self.fresh_id(), self.fresh_id(), self.fresh_id()];
                let body = terms::list(&mut self.rng, &ids, &time);
                ("E", ids[1..].to_vec(), body)
            }
            _ => {
                let id = self.fresh_id();
                let body = terms::quotes(&mut self.rng, &id);
                ("i", vec![id], body)
            }
        };
        let number = self.initiator.application(kind, body, clocks(now));
        self.trace.note(kind, self.place as u64, number);
        self.unanswered.extend(ids.into_iter().map(|id| (id, number)));
    }

    fn order(&mut self, now: Now) {
        let repeats = self.knobs.rough_clients && self.next_order > 2 && self.rng.below(30) == 0;
        let cl_ord_id = if repeats {
            self.trace.sometimes("ClOrdID used again");
            format!("T{}-{}", self.place, self.rng.within(2..=self.next_order))
        } else {
            self.fresh_id()
        };
        let side = self.rng.pick(&[Side::Buy, Side::Sell]);
        let (order_type, time_in_force) = match self.rng.below(20) {
            0..=13 => (OrderType::Limit, TimeInForce::GoodTillCancel),
            14 | 15 => (OrderType::Limit, TimeInForce::ImmediateOrCancel),
            16 | 17 => (OrderType::Limit, TimeInForce::FillOrKill),
            _ => (OrderType::Market, TimeInForce::ImmediateOrCancel),
        };
        let price = match order_type {
            OrderType::Limit => self.rng.within(95..=105).to_string(),
            OrderType::Market => String::new(),
        };
        let qty = self.rng.within(1..=40).to_string();
        let has_terms = self.knobs.order_terms && time_in_force == TimeInForce::GoodTillCancel;
        let terms = if has_terms && self.rng.coin() {
            terms::draw(&mut self.rng, side, now.wall)
        } else {
            Vec::new()
        };
        let is_dated = terms.iter().any(|(tag, _)| *tag == 126);
        let time_in_force = if is_dated { TimeInForce::GoodTillDate } else { time_in_force };
        let order = NewOrder {
            cl_ord_id: &cl_ord_id,
            symbol: setup::SYMBOL,
            side,
            order_type,
            time_in_force,
            price: &price,
            qty: &qty,
        };
        let terms: Vec<_> = terms.iter().map(|(tag, value)| (*tag, value.as_str())).collect();
        let number = self.initiator.new_order_with(&order, &terms, clocks(now));
        self.trace.note("order", self.place as u64, number);
        self.unanswered.insert(cl_ord_id, number);
    }

    fn some_live(&mut self) -> Option<Live> {
        if self.live.is_empty() {
            return None;
        }
        let place = self.rng.below(self.live.len() as u64) as usize;
        self.live.get(place).cloned()
    }

    fn cancel(&mut self, now: Now) {
        let Some(live) = self.some_live() else { return };
        let cl_ord_id = self.fresh_id();
        let order = order_ref(&cl_ord_id, &live, "1");
        let number = self.initiator.cancel(&order, clocks(now));
        self.trace.note("cancel", self.place as u64, number);
        self.unanswered.insert(cl_ord_id, number);
    }

    fn replace(&mut self, now: Now) {
        let Some(live) = self.some_live() else { return };
        let cl_ord_id = self.fresh_id();
        let qty = self.rng.within(1..=60).to_string();
        let price = self.rng.within(95..=105).to_string();
        let order = order_ref(&cl_ord_id, &live, &qty);
        let number = self.initiator.replace(&order, &price, clocks(now));
        self.trace.note("replace", self.place as u64, number);
        self.unanswered.insert(cl_ord_id, number);
    }

    fn ask(&mut self, now: Now) {
        let Some(live) = self.some_live() else { return };
        self.initiator.status(&live.cl_ord_id, setup::SYMBOL, live.side, clocks(now));
    }
}

fn order_ref<'a>(cl_ord_id: &'a str, live: &'a Live, qty: &'a str) -> OrderRef<'a> {
    OrderRef { cl_ord_id, orig_cl_ord_id: &live.cl_ord_id, symbol: setup::SYMBOL, side: live.side, qty }
}

fn clocks(now: Now) -> Clocks {
    Clocks { mono: now.mono, wall: now.wall }
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\u{1}', "|")
}

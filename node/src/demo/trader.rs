//! One client of the demo in a thread of its own: a FIX session over TCP that plays its flow, loses its connection when
//! its node is killed, logs on again without a reset, there or at another one, and in the end asks for everything once more.
//! Where the connection ends unasked, because the lead moves on a busy machine, it comes back in the same way by itself.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use gateways::fix::initiator::{Clocks, Initiator, LogonStyle, Message, Phase, Settings, State};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::DemoFault;
use super::blotter::{Blotter, Standing};
use super::flow::{Flow, Wish};
use crate::clock::{Clock, pause};

/// Longest wait for the socket: orders of the demo's main thread are looked for in between.
const LOOK_NANOS: u64 = 2_000_000;
/// Status requests in flight while the memories are compared.
const STATUS_WINDOW: usize = 64;
/// A node that leaves a client waiting for longer has failed the demo.
const PATIENCE_NANOS: u64 = 60_000_000_000;

/// What the main thread asks of a client.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// Log on at the first of these nodes that takes it, however often one has to ask.
    Connect(Vec<SocketAddr>),
    /// Play in this way from now on; latencies go to the histogram of this number.
    Play(Pace, usize),
    /// The node is about to be killed: who loses the connection waits to be told where to go.
    ExpectLoss,
    /// Log out, log on as somebody who remembers nothing, and compare.
    Compare,
}

/// How much to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nothing: what is in flight comes in.
    Hold,
    /// Requests a second, each at its time.
    Rate(u64),
    /// As fast as so many in flight allow.
    Window(usize),
}

/// What a client tells the main thread.
#[derive(Debug)]
pub(super) enum Note {
    /// Logged on, and everything missed has come.
    LoggedOn,
    /// Expects the loss of the connection.
    Braced,
    /// The connection is gone, as expected: with so many requests unanswered.
    Lost { in_flight: usize },
    /// The connection had ended unasked, for this reason; logged on again, and everything missed has come.
    CameBack { why: String, after_ms: u64 },
    /// Holding, and nothing is in flight.
    Idle(Numbers),
    /// Compared.
    Done(Box<Record>),
    /// The demo has failed.
    Failed(String),
}

/// Who, and the session's numbers on the client's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) comp_id: String,
    pub(super) state: State,
}

/// What a client has to tell in the end.
#[derive(Debug)]
pub(super) struct Record {
    /// By kind of play.
    pub(super) latencies: Vec<Histogram<u64>>,
    pub(super) orders: usize,
    pub(super) reports: usize,
    pub(super) fills: u64,
    pub(super) refused: u64,
    /// Orders whose standing the node confirmed.
    pub(super) confirmed: usize,
    /// Numbers at the loss of the connection.
    pub(super) at_loss: State,
    pub(super) at_end: State,
    /// When the first answer after that loss came, by the demo's clock; 0 = none did.
    pub(super) answered_ns: u64,
}

/// Counts over all clients, for progress.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) answered: AtomicU64,
    pub(super) fills: AtomicU64,
    /// When the first answer after the last logon came, by the demo's clock; 0 = not yet.
    pub(super) first_answer_ns: AtomicU64,
}

/// Longest latency that is told from longer ones: as long as a client waits at all.
const LATENCY_US_MAX: u64 = PATIENCE_NANOS / 1_000;
/// Kinds of play whose latencies are kept apart.
pub(super) const PLAYS: usize = 3;

struct Pending {
    number: u64,
    intended_ns: u64,
    wish: Wish,
    /// Sent before the connection was lost: its latency says when the node came back, not how fast it is.
    crossed_loss: bool,
}

/// A connection that ended unasked.
struct Away {
    since_ns: u64,
    why: String,
}

/// One client.
pub(super) struct Trader {
    comp_id: String,
    clock: Clock,
    orders: Receiver<Order>,
    notes: Sender<Note>,
    gauges: Arc<Gauges>,
    initiator: Initiator,
    /// Where it was last told to go, the one that is tried next in front.
    nodes: VecDeque<SocketAddr>,
    socket: Option<TcpStream>,
    away: Option<Away>,
    out: Vec<u8>,
    /// How it logs on: half of the clients ask for what they missed, the others say in the Logon what they expect.
    style: LogonStyle,
    flow: Flow,
    blotter: Blotter,
    /// Answers to status requests that nobody has looked at.
    answers: VecDeque<Message>,
    /// Orders that rest and that nothing is under way for.
    free: Vec<u64>,
    pending: VecDeque<Pending>,
    pace: Pace,
    play: usize,
    /// When the pace began, and requests sent since.
    paced_from_ns: u64,
    paced: u64,
    announced: bool,
    expects_loss: bool,
    /// Looks for a node that takes it: a line that is closed is an answer.
    seeks: bool,
    at_loss: State,
    answered_ns: u64,
    heard_ns: u64,
    latencies: Vec<Histogram<u64>>,
}

impl Trader {
    pub(super) fn new(
        client: usize,
        seed: u64,
        clock: Clock,
        orders: Receiver<Order>,
        notes: Sender<Note>,
        gauges: Arc<Gauges>,
    ) -> Result<Self, DemoFault> {
        let comp_id = format!("CLIENT{client}");
        let histogram = || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        let latencies = (0..PLAYS).map(|_| histogram()).collect::<Result<_, _>>();
        let latencies = latencies.map_err(|error| DemoFault::Node(error.to_string()))?;
        let start = State { next_in: 1, next_out: 1 };
        Ok(Self {
            initiator: Initiator::new(settings(&comp_id)),
            comp_id,
            clock,
            orders,
            notes,
            gauges,
            nodes: VecDeque::new(),
            socket: None,
            away: None,
            out: Vec::new(),
            style: if client.is_multiple_of(2) {
                LogonStyle::ContinueNextExpected
            } else {
                LogonStyle::Continue
            },
            flow: Flow::new(client, seed),
            blotter: Blotter::default(),
            answers: VecDeque::new(),
            free: Vec::new(),
            pending: VecDeque::new(),
            pace: Pace::Hold,
            play: 0,
            paced_from_ns: 0,
            paced: 0,
            announced: true,
            expects_loss: false,
            seeks: false,
            at_loss: start,
            answered_ns: 0,
            heard_ns: 0,
            latencies,
        })
    }

    /// Lives until the main thread is gone or has its record.
    pub(super) fn run(mut self) {
        if let Err(fault) = self.live() {
            let text = format!("{}: {fault}", self.comp_id);
            // Without a main thread there is nobody to tell.
            if self.notes.send(Note::Failed(text)).is_err() {
                eprintln!("sicil: {}: {fault}", self.comp_id);
            }
        }
    }

    fn live(&mut self) -> Result<(), DemoFault> {
        loop {
            let order = if self.socket.is_some() || self.away.is_some() {
                match self.orders.try_recv() {
                    Ok(order) => Some(order),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            } else {
                let Ok(order) = self.orders.recv() else { return Ok(()) };
                Some(order)
            };
            match order {
                None if self.away.is_some() => self.try_to_come_back()?,
                None => self.turn()?,
                Some(Order::Connect(nodes)) => self.connect(nodes)?,
                Some(Order::Play(pace, play)) => self.begin(pace, play),
                Some(Order::ExpectLoss) => self.brace()?,
                Some(Order::Compare) => return self.compare(),
            }
        }
    }

    fn connect(&mut self, nodes: Vec<SocketAddr>) -> Result<(), DemoFault> {
        self.nodes = nodes.into();
        let since_ns = self.clock.mono().0;
        while !self.seek(since_ns)? {}
        self.expects_loss = false;
        self.announced = true;
        self.note(Note::LoggedOn)
    }

    /// Asks the next node. False if it does not take the logon; an error if none has for too long.
    fn seek(&mut self, since_ns: u64) -> Result<bool, DemoFault> {
        let Some(node) = self.nodes.front().copied() else {
            return Err(DemoFault::Fix("there is no node to log on at".to_owned()));
        };
        self.seeks = true;
        let logged_on = self.log_on(node)?;
        self.seeks = false;
        if logged_on {
            return Ok(true);
        }
        if self.clock.mono().0.saturating_sub(since_ns) > PATIENCE_NANOS {
            return Err(DemoFault::Fix("no node takes the logon".to_owned()));
        }
        self.nodes.rotate_left(1);
        pause(Duration::from_nanos(LOOK_NANOS));
        Ok(false)
    }

    /// One attempt to be served again after the connection ended unasked. What was open then is learnt by resends, as after a kill.
    fn try_to_come_back(&mut self) -> Result<(), DemoFault> {
        let Some(away) = self.away.take() else { return Ok(()) };
        if !self.seek(away.since_ns)? {
            self.away = Some(away);
            return Ok(());
        }
        // What could not be asked meanwhile is not made up for.
        (self.paced_from_ns, self.paced) = (self.clock.mono().0, 0);
        let after_ms = self.clock.mono().0.saturating_sub(away.since_ns) / 1_000_000;
        self.note(Note::CameBack { why: away.why, after_ms })
    }

    fn come_back(&mut self) -> Result<(), DemoFault> {
        while self.away.is_some() {
            self.try_to_come_back()?;
        }
        Ok(())
    }

    /// From here on the loss of the connection is expected; it may have come already.
    fn brace(&mut self) -> Result<(), DemoFault> {
        self.expects_loss = true;
        self.note(Note::Braced)?;
        if self.away.take().is_some() { self.note_loss() } else { Ok(()) }
    }

    fn note_loss(&mut self) -> Result<(), DemoFault> {
        self.at_loss = self.initiator.state();
        self.answered_ns = 0;
        self.note(Note::Lost { in_flight: self.pending.len() })
    }

    /// False if the node is not there, or closes the line.
    fn log_on(&mut self, node: SocketAddr) -> Result<bool, DemoFault> {
        let Ok(socket) = TcpStream::connect(node) else { return Ok(false) };
        self.begin_session(socket, self.style)?;
        while !self.initiator.caught_up() {
            self.exchange(LOOK_NANOS)?;
            self.take_reports()?;
            if self.socket.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn begin_session(&mut self, socket: TcpStream, style: LogonStyle) -> Result<(), DemoFault> {
        let prepared = socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true));
        prepared.map_err(DemoFault::io("preparing a socket"))?;
        self.socket = Some(socket);
        self.out.clear();
        self.heard_ns = self.clock.mono().0;
        self.initiator.connect(style, self.now());
        Ok(())
    }

    fn begin(&mut self, pace: Pace, play: usize) {
        (self.pace, self.play) = (pace, play);
        (self.paced_from_ns, self.paced) = (self.clock.mono().0, 0);
        self.announced = pace != Pace::Hold;
    }

    /// Sends what is due, takes what has come.
    fn turn(&mut self) -> Result<(), DemoFault> {
        let wait_ns = self.send_due();
        self.exchange(wait_ns)?;
        self.take_reports()?;
        self.logged_on_or_fail()?;
        if !self.announced && self.pending.is_empty() && self.initiator.caught_up() {
            self.announced = true;
            let state = self.initiator.state();
            self.note(Note::Idle(Numbers { comp_id: self.comp_id.clone(), state }))?;
        }
        Ok(())
    }

    /// Returns how long nothing is due.
    fn send_due(&mut self) -> u64 {
        if self.socket.is_none() || self.initiator.phase() != Phase::Active {
            return LOOK_NANOS;
        }
        loop {
            let now_ns = self.clock.mono().0;
            let intended_ns = match self.pace {
                Pace::Hold => return LOOK_NANOS,
                Pace::Window(window) if self.pending.len() >= window => return LOOK_NANOS,
                Pace::Window(_) => now_ns,
                Pace::Rate(rate) => self.paced_from_ns + self.paced * 1_000_000_000 / rate.max(1),
            };
            if intended_ns > now_ns {
                return (intended_ns - now_ns).min(LOOK_NANOS);
            }
            self.paced += 1;
            let (now, orders) = (self.now(), &self.blotter.orders);
            let standing = |order: u64| orders.get(&order).cloned();
            let (number, wish) = self.flow.send(&mut self.initiator, &self.free, standing, now);
            if let Wish::Amend(order) = wish {
                self.free.retain(|free| *free != order);
            }
            self.pending.push_back(Pending { number, intended_ns, wish, crossed_loss: false });
        }
    }

    /// Writes and reads what can be, waiting up to `wait_ns` for something to read.
    fn exchange(&mut self, wait_ns: u64) -> Result<(), DemoFault> {
        self.initiator.take_output(&mut self.out);
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let mut wrote = Ok(());
        while !self.out.is_empty() && wrote.is_ok() {
            wrote = socket.write(&self.out).map(|written| drop(self.out.drain(..written)));
        }
        if let Err(error) = wrote
            && error.kind() != ErrorKind::WouldBlock
        {
            return self.lose(&error.to_string());
        }
        let nanos = i64::try_from(wait_ns).unwrap_or(i64::MAX);
        let timeout = Timespec { tv_sec: 0, tv_nsec: nanos.min(999_999_999) };
        let mut fds = [PollFd::new(&*socket, PollFlags::IN)];
        poll(&mut fds, Some(&timeout))
            .map_err(|errno| DemoFault::io("waiting for the node")(errno.into()))?;
        let mut bytes = [0; 32 << 10];
        let read = socket.read(&mut bytes);
        let now = self.now();
        match read {
            Ok(0) => return self.lose("the node closed the connection"),
            Ok(len) => {
                self.heard_ns = now.mono.0;
                let bytes = bytes.get(..len).unwrap_or_default();
                self.initiator.receive(bytes, now).map_err(|fault| DemoFault::Fix(fault.to_string()))?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return self.lose(&error.to_string()),
        }
        let waits = !self.pending.is_empty() || self.initiator.phase() != Phase::Active;
        if waits && now.mono.0.saturating_sub(self.heard_ns) > PATIENCE_NANOS {
            return Err(DemoFault::Fix("the node does not answer".to_owned()));
        }
        self.initiator.tick(now).map_err(|fault| DemoFault::Fix(fault.to_string()))
    }

    fn lose(&mut self, what: &str) -> Result<(), DemoFault> {
        if self.initiator.phase() == Phase::Ended {
            self.socket = None;
            return Ok(());
        }
        // What was received and not yet taken is taken first: it counts as acknowledged.
        self.take_reports()?;
        self.socket = None;
        self.initiator.disconnected();
        if self.seeks {
            return Ok(());
        }
        for pending in &mut self.pending {
            pending.crossed_loss = true;
        }
        if self.expects_loss {
            return self.note_loss();
        }
        self.away = Some(Away { since_ns: self.clock.mono().0, why: what.to_owned() });
        Ok(())
    }

    fn take_reports(&mut self) -> Result<(), DemoFault> {
        for message in self.initiator.take_received() {
            let fills = self.blotter.fills;
            self.blotter.take(&message).map_err(DemoFault::Fix)?;
            self.gauges.fills.fetch_add(self.blotter.fills - fills, Ordering::Relaxed);
            if [&b"8"[..], b"9"].contains(&message.kind()) {
                self.settle(&message);
            }
            if message.get(150) == Some(b"I") {
                self.answers.push_back(message);
            }
        }
        Ok(())
    }

    /// What is sent and comes while the memories are compared; afterwards the client is logged on.
    fn converse(&mut self) -> Result<(), DemoFault> {
        self.exchange(LOOK_NANOS)?;
        self.take_reports()?;
        self.logged_on_or_fail()?;
        self.come_back()
    }

    /// A connection that ended is one thing; a node that has said good-bye would not take the client again.
    fn logged_on_or_fail(&self) -> Result<(), DemoFault> {
        if self.socket.is_some() || self.away.is_some() || self.expects_loss {
            return Ok(());
        }
        Err(DemoFault::Fix("the node has logged the client out".to_owned()))
    }

    /// Matches a report with the request that it answers, and keeps the list of orders that can be amended.
    fn settle(&mut self, report: &Message) {
        let number = Flow::number_of(&report.text(11));
        let order = report.number(37);
        if let Some(pending) = self.pending.pop_front_if(|pending| Some(pending.number) == number) {
            let now_ns = self.clock.mono().0;
            self.gauges.answered.fetch_add(1, Ordering::Relaxed);
            if self.gauges.first_answer_ns.load(Ordering::Relaxed) == 0 {
                self.gauges.first_answer_ns.store(now_ns, Ordering::Relaxed);
            }
            if self.answered_ns == 0 {
                self.answered_ns = now_ns;
            }
            if !pending.crossed_loss
                && let Some(latencies) = self.latencies.get_mut(self.play)
            {
                latencies.saturating_record(now_ns.saturating_sub(pending.intended_ns) / 1_000);
            }
            if let Wish::Amend(order) = pending.wish
                && self.rests(order)
            {
                self.free.push(order);
                return;
            }
            if let Some(order) = order.filter(|order| pending.wish == Wish::Order && self.rests(*order)) {
                self.free.push(order);
                return;
            }
        }
        if let Some(order) = order.filter(|order| !self.rests(*order)) {
            self.free.retain(|free| *free != order);
        }
    }

    fn rests(&self, order: u64) -> bool {
        self.blotter.orders.get(&order).is_some_and(Standing::is_live)
    }

    /// Logs on as somebody who has lost everything but his own number, is told everything again, and asks for each order.
    fn compare(&mut self) -> Result<(), DemoFault> {
        self.come_back()?;
        self.log_out()?;
        let at_end = self.initiator.state();
        let known = std::mem::take(&mut self.blotter);
        let start = State { next_in: 1, next_out: at_end.next_out };
        self.initiator = Initiator::with_state(settings(&self.comp_id), start);
        self.style = LogonStyle::Continue;
        let since_ns = self.clock.mono().0;
        while !self.seek(since_ns)? {}
        if let Some(difference) = known.difference(&self.blotter) {
            return Err(DemoFault::Fix(format!(
                "what was told before is not what is told now: {difference}"
            )));
        }
        let confirmed = self.confirm(&known)?;
        self.log_out()?;
        let record = Record {
            latencies: std::mem::take(&mut self.latencies),
            orders: known.orders.len(),
            reports: known.len(),
            fills: known.fills,
            refused: known.refused,
            confirmed,
            at_loss: self.at_loss,
            at_end,
            answered_ns: self.answered_ns,
        };
        self.note(Note::Done(Box::new(record)))
    }

    /// Asks how each order stands.
    fn confirm(&mut self, known: &Blotter) -> Result<usize, DemoFault> {
        let mut asked: VecDeque<&Standing> = VecDeque::new();
        let mut to_ask = known.orders.values();
        let mut confirmed = 0;
        loop {
            while asked.len() < STATUS_WINDOW
                && let Some(standing) = to_ask.next()
            {
                let now = self.now();
                self.initiator.status(&standing.cl_ord_id, &standing.symbol, standing.side, now);
                asked.push_back(standing);
            }
            if asked.is_empty() {
                return Ok(confirmed);
            }
            self.converse()?;
            while let Some(message) = self.answers.pop_front() {
                let Some(standing) = asked.pop_front() else { continue };
                if !standing.agrees(&message) {
                    let text = format!("{standing:?} was acknowledged, and the node says {message:?}");
                    return Err(DemoFault::Fix(text));
                }
                confirmed += 1;
            }
        }
    }

    fn log_out(&mut self) -> Result<(), DemoFault> {
        loop {
            self.initiator.logout(self.now());
            // The acceptor closes; until it has, a Logon would meet the old connection.
            while self.socket.is_some() {
                self.exchange(LOOK_NANOS)?;
                self.take_reports()?;
            }
            if self.away.is_none() {
                return Ok(());
            }
            self.come_back()?;
        }
    }

    fn now(&self) -> Clocks {
        let now = self.clock.now();
        Clocks { mono: now.mono, wall: now.wall }
    }

    fn note(&self, note: Note) -> Result<(), DemoFault> {
        self.notes.send(note).map_err(|_| DemoFault::Node("the demo has ended".to_owned()))
    }
}

fn settings(comp_id: &str) -> Settings {
    Settings::new(comp_id, "SICIL")
}

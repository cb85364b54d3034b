//! `sicil demo`: about a minute that shows what the whole thing is for.
//!
//! A node is started on a fresh folder, eight FIX clients trade on three markets, the node is killed with SIGKILL in
//! mid-flow and started again, the clients log on without a reset and go on. Then it is compared, not claimed: what the
//! clients were told with what the node tells them again, each order with its status, a reader's book with the engine's, the state's hash
//! before the kill with the one that the journal's files give, and the files with themselves. The folder stays.
//!
//! With `--nodes 3` it is a cluster whose leader is killed (`failover`).

mod blotter;
mod child;
mod cluster;
mod failover;
mod flow;
mod show;
mod trader;
mod watcher;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Display;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use serde_json::Value;

use crate::admin::client::Client;
use crate::admin::{Answer, Request};
use crate::clock::{Clock, pause};
use crate::fault::NodeFault;
use crate::threads;

use child::{Node, replay};
use trader::{Gauges, Note, Numbers, Order, PLAYS, Pace, Record, Trader};
use watcher::Watcher;

/// Clients of the built-in demo definitions.
const CLIENTS: usize = 8;
const SECONDS_DEFAULT: u64 = 45;
/// A fifth of it runs at full speed, and the node keeps a million outputs of a session to tell again.
const SECONDS_MAX: u64 = 120;
/// Requests a second of each client while it plays calmly.
const CALM_RATE: u64 = 250;
/// Requests in flight of each client while it plays as fast as it can.
const FULL_WINDOW: usize = 32;
const SEED: u64 = 20_261_120;
/// Without a word from any client for this long the demo has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// Looks at numbers that differ and stand still before they have failed the demo: a leader that is none any more may not know it yet.
const NUMBERS_LOOKS: u32 = 50;
/// Between two of them.
const NUMBERS_PAUSE: Duration = Duration::from_millis(100);
/// Names tried for a fresh folder.
const FOLDERS_MAX: u32 = 10_000;

/// How the demo is played.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Data folder: absent or empty. Without it, a fresh sicil-demo-N in the current folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Seconds of trading; starting, comparing and verifying come on top.
    #[arg(long, value_name = "N", default_value_t = SECONDS_DEFAULT, value_parser = clap::value_parser!(u64).range(6..=SECONDS_MAX))]
    seconds: u64,
    /// Nodes, each a process: 1, 3 or 5. Of several the leader is killed, and another one takes over.
    #[arg(long, value_name = "N", default_value = "1", value_parser = node_count)]
    nodes: usize,
}

/// One alone, or as many as have a majority that survives a kill.
fn node_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ (1 | 3 | 5)) => Ok(count),
        _ => Err("1, 3 or 5".to_owned()),
    }
}

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
enum DemoFault {
    /// A socket, a file or a process failed.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// Of the operating system.
        source: io::Error,
    },
    /// The node did not do what it must.
    #[error("the node: {0}")]
    Node(String),
    /// A session did not go as it must.
    #[error("{0}")]
    Fix(String),
    /// Two things that must agree do not.
    #[error("does not agree: {0}")]
    Check(String),
    /// The node's operator socket.
    #[error("{0}")]
    Operator(#[from] NodeFault),
}

impl DemoFault {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.to_owned(), source }
    }
}

/// Plays the demo.
///
/// # Errors
/// [`NodeFault`] if any comparison fails, or the demo does not get that far.
pub(crate) fn run(args: &Args) -> Result<(), NodeFault> {
    let data = match &args.data {
        Some(data) => fresh(data.clone())?,
        None => fresh_name()?,
    };
    let played = match args.nodes {
        1 => play(&data, args.seconds),
        nodes => failover::play(&data, nodes, args.seconds),
    };
    played.map_err(|fault| {
        NodeFault::Internal(format!("the demo failed: {fault} (what there is of it: {})", data.display()))
    })
}

fn fresh(data: PathBuf) -> Result<PathBuf, NodeFault> {
    match fs::read_dir(&data).map(|mut entries| entries.next().is_none()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(data),
        Err(error) => Err(NodeFault::io(data.display().to_string())(error)),
        Ok(true) => Ok(data),
        Ok(false) => Err(NodeFault::Usage(format!("{} is not empty: a demo starts afresh", data.display()))),
    }
}

fn fresh_name() -> Result<PathBuf, NodeFault> {
    let names = (1..=FOLDERS_MAX).map(|number| PathBuf::from(format!("sicil-demo-{number}")));
    let free = names.into_iter().find(|name| !name.exists());
    free.ok_or_else(|| NodeFault::Usage(format!("{FOLDERS_MAX} demo folders are here already: remove some")))
}

/// The story, in order.
fn play(data: &Path, seconds: u64) -> Result<(), DemoFault> {
    let clock = Clock::start();
    title(format!("Starting a node on {}", data.display()));
    let mut node = Node::start(data)?;
    println!("serves FIX on {}, metrics on http://{}/metrics", node.fix, node.http);

    title(format!("{CLIENTS} clients log on over FIX 4.4 and trade BTC-TRY, ETH-TRY and USDT-TRY"));
    let mut floor = Floor::open(clock)?;
    floor.connect(vec![node.fix])?;
    let watcher = Watcher::start(&node.market)?;
    println!("a reader of market data keeps the book of BTC-TRY, order by order, at {}", node.market);
    floor.play(Pace::Rate(CALM_RATE), 0, seconds * 35 / 100, "calmly")?;
    let full = floor.play(Pace::Window(FULL_WINDOW), 1, (seconds * 20 / 100).max(2), "at full speed")?;
    let before = state_hash(data)?;
    println!("the state at seq {} has the hash {}", before.seq, before.hash);

    title("SIGKILL, in mid-flow");
    let (killed_ns, in_flight) = floor.lose(|| node.kill())?;
    drop(node);
    let count = in_flight.iter().filter(|count| **count > 0).count();
    println!(
        "the node is dead; {} requests of {count} clients have no answer yet",
        in_flight.iter().sum::<usize>()
    );
    let node = Node::start(data)?;
    watcher.turn_to(&node.market)?;
    println!("a new process serves after {} ms", (clock.mono().0 - killed_ns) / 1_000_000);
    floor.gauges.first_answer_ns.store(0, Ordering::Relaxed);
    floor.connect(vec![node.fix])?;
    println!("all clients are logged on again, without a reset, and have been sent what they missed");

    title("Trading goes on");
    floor.play(Pace::Rate(CALM_RATE), 2, seconds * 35 / 100, "calmly")?;
    let answered_ns = floor.gauges.first_answer_ns.load(Ordering::Relaxed);
    println!(
        "the first request left open by the kill was answered {} ms after it",
        answered_ns.saturating_sub(killed_ns) / 1_000_000
    );
    floor.hold()?;
    let after = state_hash(data)?;
    compare_numbers(&floor, || Ok(data.to_owned()))?;
    let status = status(data)?;

    title("What market data say, of before the kill and behind it");
    let watched = watcher.finish()?;
    watched.show();

    title("Comparing");
    let records = floor.compare()?;
    node.stop()?;
    tell_records(&records);
    watched.compare(&show::replayed_state(&data.to_string_lossy(), watched.seq.0)?)?;
    let state = verify(data, &before, &after)?;

    show::latencies(&records, full);
    show::stages(&status);
    show::state(&state);
    closing(data, before.seq);
    Ok(())
}

fn title(text: impl Display) {
    println!("\n== {text}");
}

fn agreed(text: impl Display) {
    println!("ok  {text}");
}

/// What came from the clients in time.
enum Heard {
    Note(Note),
    /// One of them came back, whose connection had ended unasked.
    CameBack,
    Nothing,
}

/// The clients and the way to talk to them.
struct Floor {
    clock: Clock,
    orders: Vec<Sender<Order>>,
    notes: Receiver<Note>,
    gauges: Arc<Gauges>,
    /// Connections that ended unasked since the reader was told last: why, and when their clients were back.
    returns: RefCell<Vec<(String, u64)>>,
}

impl Floor {
    fn open(clock: Clock) -> Result<Self, DemoFault> {
        let gauges = Arc::new(Gauges::default());
        let (noting, notes) = mpsc::channel();
        let mut orders = Vec::with_capacity(CLIENTS);
        for client in 1..=CLIENTS {
            let (ordering, ordered) = mpsc::channel();
            let trader = Trader::new(client, SEED, clock, ordered, noting.clone(), Arc::clone(&gauges))?;
            let name = format!("client{client}");
            threads::start(&name, move || trader.run()).map(drop).map_err(DemoFault::io("a thread"))?;
            orders.push(ordering);
        }
        Ok(Self { clock, orders, notes, gauges, returns: RefCell::default() })
    }

    fn tell(&self, order: &Order) -> Result<(), DemoFault> {
        let gone = |_| DemoFault::Node("a client's thread has ended".to_owned());
        self.orders.iter().try_for_each(|to| to.send(order.clone()).map_err(gone))
    }

    /// The next note of a client, if one comes in time. One that failed has failed the demo.
    fn hear(&self, timeout: Duration) -> Result<Heard, DemoFault> {
        match self.notes.recv_timeout(timeout) {
            Ok(Note::Failed(what)) => Err(DemoFault::Fix(what)),
            Ok(Note::CameBack { why, after_ms }) => {
                self.returns.borrow_mut().push((why, after_ms));
                Ok(Heard::CameBack)
            }
            Ok(note) => Ok(Heard::Note(note)),
            Err(RecvTimeoutError::Timeout) => Ok(Heard::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(DemoFault::Fix("the clients are gone".to_owned())),
        }
    }

    /// Says what nobody had asked for. It fails nothing: what is compared is compared all the same.
    fn tell_returns(&self) {
        let returns = self.returns.take();
        let Some(longest_ms) = returns.iter().map(|(_, after_ms)| *after_ms).max() else { return };
        let whys: BTreeSet<&str> = returns.iter().map(|(why, _)| why.as_str()).collect();
        let whys: Vec<&str> = whys.into_iter().collect();
        println!(
            "{} times a client lost its connection, which nobody had asked for ({}); each was logged on again, without a reset, after {longest_ms} ms at most",
            returns.len(),
            whys.join("; ")
        );
    }

    /// One note of each client that `pick` is after.
    fn gather<T>(&self, pick: impl FnMut(Note) -> Option<T>) -> Result<Vec<T>, DemoFault> {
        self.gather_some(CLIENTS, pick)
    }

    /// So many notes that `pick` is after.
    fn gather_some<T>(
        &self,
        count: usize,
        mut pick: impl FnMut(Note) -> Option<T>,
    ) -> Result<Vec<T>, DemoFault> {
        let mut gathered = Vec::with_capacity(count);
        while gathered.len() < count {
            match self.hear(PATIENCE)? {
                Heard::Note(note) => gathered.extend(pick(note)),
                Heard::CameBack => {}
                Heard::Nothing => return Err(DemoFault::Fix("the clients are silent".to_owned())),
            }
        }
        self.tell_returns();
        Ok(gathered)
    }

    fn connect(&self, nodes: Vec<SocketAddr>) -> Result<(), DemoFault> {
        self.tell(&Order::Connect(nodes))?;
        self.gather(|note| matches!(note, Note::LoggedOn).then_some(())).map(drop)
    }

    /// Returns the requests answered a second.
    fn play(&mut self, pace: Pace, kind: usize, seconds: u64, how: &str) -> Result<u64, DemoFault> {
        self.tell(&Order::Play(pace, kind))?;
        let answered = || self.gauges.answered.load(Ordering::Relaxed);
        let from = (answered(), self.clock.mono().0);
        let mut last = from;
        for second in 1..=seconds {
            self.pause_until(from.1 + second * 1_000_000_000)?;
            if second % 3 == 0 || second == seconds {
                let now = (answered(), self.clock.mono().0);
                self.tell_returns();
                println!(
                    "{how}: {second:>2} of {seconds} s, {:>6} requests/s, {} answered, {} fills reported",
                    per_second(last, now),
                    now.0,
                    self.gauges.fills.load(Ordering::Relaxed)
                );
                last = now;
            }
        }
        Ok(per_second(from, (answered(), self.clock.mono().0)))
    }

    /// Lets the clients play; ends early if one of them fails.
    fn pause_until(&self, until_ns: u64) -> Result<(), DemoFault> {
        loop {
            let left_ns = until_ns.saturating_sub(self.clock.mono().0);
            if left_ns == 0 {
                return Ok(());
            }
            self.hear(Duration::from_nanos(left_ns))?;
        }
    }

    /// Lets `kill` end the node that serves the clients; returns when, and how many requests of each client were not answered.
    fn lose(&self, kill: impl FnOnce() -> Result<(), DemoFault>) -> Result<(u64, Vec<usize>), DemoFault> {
        self.tell(&Order::ExpectLoss)?;
        // Who has lost the connection already, because the lead moves, says so beside.
        let mut lost = Vec::with_capacity(CLIENTS);
        self.gather(|note| {
            lost.extend(in_flight_of(&note));
            matches!(note, Note::Braced).then_some(())
        })?;
        kill()?;
        let killed_ns = self.clock.mono().0;
        lost.extend(self.gather_some(CLIENTS - lost.len(), |note| in_flight_of(&note))?);
        Ok((killed_ns, lost))
    }

    /// Lets everything in flight come in; the clients' numbers then.
    fn hold(&self) -> Result<BTreeMap<String, Numbers>, DemoFault> {
        self.tell(&Order::Play(Pace::Hold, PLAYS))?;
        let idle = self.gather(|note| if let Note::Idle(numbers) = note { Some(numbers) } else { None })?;
        Ok(idle.into_iter().map(|numbers| (numbers.comp_id.clone(), numbers)).collect())
    }

    fn compare(&self) -> Result<Vec<Record>, DemoFault> {
        self.tell(&Order::Compare)?;
        self.gather(|note| if let Note::Done(record) = note { Some(*record) } else { None })
    }
}

fn in_flight_of(note: &Note) -> Option<usize> {
    if let Note::Lost { in_flight } = note { Some(*in_flight) } else { None }
}

fn per_second(from: (u64, u64), to: (u64, u64)) -> u64 {
    let micros = to.1.saturating_sub(from.1) / 1_000;
    to.0.saturating_sub(from.0).saturating_mul(1_000_000) / micros.max(1)
}

/// The state at a seq.
struct StateAt {
    seq: u64,
    hash: String,
}

fn state_hash(data: &Path) -> Result<StateAt, DemoFault> {
    let Answer::StateHash { seq, hash } = Client::connect(data)?.ask(&Request::StateHash)? else {
        return Err(DemoFault::Node("an answer to something else".to_owned()));
    };
    Ok(StateAt { seq, hash })
}

/// The node's status as JSON.
fn status(data: &Path) -> Result<Value, DemoFault> {
    let answer = Client::connect(data)?.ask(&Request::Status)?;
    serde_json::to_value(&answer).map_err(|error| DemoFault::Node(error.to_string()))
}

/// The node's numbers are the clients', and no session began again at 1. Numbers move on while somebody comes back, or says that he
/// is still there: a difference counts once they stand still.
fn compare_numbers(floor: &Floor, leaders: impl Fn() -> Result<PathBuf, DemoFault>) -> Result<(), DemoFault> {
    let mut before = (BTreeMap::new(), PathBuf::new());
    let mut looks = 0;
    loop {
        let now = (floor.hold()?, leaders()?);
        let Err(difference) = numbers_agree(&now.1, &now.0) else { return Ok(()) };
        looks = if now == before { looks + 1 } else { 1 };
        if looks == NUMBERS_LOOKS {
            return Err(difference);
        }
        before = now;
        pause(NUMBERS_PAUSE);
    }
}

fn numbers_agree(data: &Path, clients: &BTreeMap<String, Numbers>) -> Result<(), DemoFault> {
    let Answer::Status { sessions, .. } = Client::connect(data)?.ask(&Request::Status)? else {
        return Err(DemoFault::Node("an answer to something else".to_owned()));
    };
    for session in &sessions {
        let Some(numbers) = clients.get(&session.client_comp_id) else { continue };
        let state = numbers.state;
        if (session.next_in, session.next_out, session.epoch) != (state.next_out, state.next_in, 1) {
            return Err(DemoFault::Check(format!(
                "{} has sent {} and received {}, and the node says {session:?}",
                numbers.comp_id,
                state.next_out - 1,
                state.next_in - 1
            )));
        }
    }
    let found = sessions.iter().filter(|session| clients.contains_key(&session.client_comp_id)).count();
    if found != clients.len() {
        return Err(DemoFault::Check(format!("the node knows {found} of {} sessions", clients.len())));
    }
    Ok(())
}

fn tell_records(records: &[Record]) {
    let sum = |of: fn(&Record) -> usize| records.iter().map(of).sum::<usize>();
    let numbers = |of: fn(&Record) -> u64| {
        let all = records.iter().map(of);
        (all.clone().min().unwrap_or(0), all.max().unwrap_or(0))
    };
    let (at_loss, at_end) = (numbers(|r| r.at_loss.next_in), numbers(|r| r.at_end.next_in));
    agreed(format!(
        "sessions went on without reset: the next number was {}..{} at the kill, {}..{} at the end, without a gap",
        at_loss.0, at_loss.1, at_end.0, at_end.1
    ));
    agreed(format!(
        "{} reports that clients got before and after the kill are the same when the node is asked for all of them again",
        sum(|r| r.reports)
    ));
    agreed(format!(
        "{} of {} acknowledged orders stand as their clients were told",
        sum(|r| r.confirmed),
        sum(|r| r.orders)
    ));
}

/// What an auditor sees in the files, against what the two processes said while they ran.
/// Returns the state after the kill.
fn verify(data: &Path, before: &StateAt, after: &StateAt) -> Result<Value, DemoFault> {
    let folder = data.to_string_lossy();
    let mut last = Value::Null;
    for (state, when) in [(before, "before the kill"), (after, "after it")] {
        let replayed = show::replayed_state(&folder, state.seq)?;
        let hash = replayed.get("state_hash").and_then(Value::as_str).unwrap_or_default();
        if hash != state.hash {
            return Err(DemoFault::Check(format!(
                "at seq {} the node {when} said {}, the journal's files say {hash}",
                state.seq, state.hash
            )));
        }
        if let Some(asset) = show::unbalanced(&replayed) {
            return Err(DemoFault::Check(format!("debits and credits in {asset} at seq {}", state.seq)));
        }
        last = replayed;
        agreed(format!("the state's hash at seq {}, {when}, is what the journal's files give", state.seq));
    }
    agreed("debits equal credits in every asset, both times");
    let audited = replay(&["verify", &folder])?;
    if !audited.status.success() {
        let text = format!("sicil replay verify: {}\n{}{}", audited.status, audited.out, audited.err);
        return Err(DemoFault::Check(text));
    }
    agreed(
        "sicil replay verify: structure, checksums, chain, and every recorded hash by re-running the engine",
    );
    for line in audited.out.lines() {
        println!("    {line}");
    }
    Ok(last)
}

/// As it was called, so that printed commands can be used as they are.
fn program_name() -> PathBuf {
    env::args_os().next().map_or_else(|| "sicil".into(), PathBuf::from)
}

fn closing(data: &Path, seq: u64) {
    let data = data.display();
    let program = program_name();
    let program = program.display();
    title("Everything agrees. The folder stays; look around");
    println!("{program} replay verify {data}");
    println!("{program} replay show {data} --from {seq} --to {}", seq + 5);
    println!("{program} replay state {data} --at {seq}");
    println!("{program} start --data {data}     # FIX for CLIENT1 to CLIENT8, TargetCompID SICIL");
    println!("{program} status --data {data}    # while it runs");
    println!("rm -r {data}");
}

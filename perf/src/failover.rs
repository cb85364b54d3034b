//! `perf failover`: three processes under a steady load, and their leader is killed, or gives the lead away, again and again.
//!
//! A failover lasts from the last acknowledgement of the old leader to the first new one of the next, as clients see
//! it that look for the leader themselves. Reports that are sent again do not count as new. The next kill comes when the
//! node of the last one follows again. With `--gateway` clients are connected to a gateway process in front of the cluster, and stay so. At the end each order is asked after, and all nodes must have the same state.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::cluster::{Cluster, NODES, Profile};
use crate::fault::{Fault, agree};
use crate::quantile::quantile;
use crate::traders::{Change, Outcome, Shared, Traders, elapsed_ns};

/// Load between two failovers, so that each meets a cluster at work.
const SETTLE: Duration = Duration::from_millis(500);
/// Nobody who leads for so long: there is no figure.
const SERVICE_WAIT: Duration = Duration::from_secs(60);
/// What a leader acknowledged before it was killed has come through a gateway by then, and no other one leads yet.
const IN_FLIGHT: Duration = Duration::from_millis(20);
/// Kills between two lines that say how far it is.
const KILLS_PER_LINE: u32 = 100;

/// What to do to the leader, and how often.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kills of the leader with SIGKILL.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Planned transfers of the lead, after the kills.
    #[arg(long, default_value_t = 0)]
    transfers: u32,
    /// Clients trade through a gateway process.
    #[arg(long, conflicts_with = "transfers")]
    gateway: bool,
    /// Timing of the nodes.
    #[arg(long, value_enum, default_value_t = Profile::Lan)]
    profile: Profile,
    /// Orders a second, of all sessions together.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// An empty folder for the cluster, which stays; without it a temporary one that goes when all is well.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs the cluster, its traders and its end.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    let temporary = std::env::temp_dir().join(format!("sicil-failover-{}", std::process::id()));
    let dir = args.dir.as_deref().unwrap_or(&temporary);
    let done = measure(args, dir);
    match (&done, &args.dir) {
        (Ok(()), None) => std::fs::remove_dir_all(dir).map_err(Fault::io("removing the cluster"))?,
        (Ok(()), Some(_)) => {}
        (Err(_), _) => eprintln!("the cluster's folder: {}", dir.display()),
    }
    done
}

fn measure(args: &Args, dir: &Path) -> Result<(), Fault> {
    let (mut cluster, addresses) = Cluster::start(dir, args.profile)?;
    let shared = Shared::default();
    for (place, address) in addresses.into_iter().enumerate() {
        shared.set(place, (!args.gateway).then_some(address));
    }
    if args.gateway {
        shared.set(0, Some(cluster.start_gateway()?));
        shared.leaders.store(1, Ordering::Release);
    }
    let watch = Stopwatch::start();
    let (told, changes) = channel();
    let (conducted, traded) = thread::scope(|scope| {
        let traders = Traders::new(&shared, told, watch);
        let traders = scope.spawn(|| traders.trade(args.rate));
        let mut conductor = Conductor::new(&mut cluster, &shared, changes, watch, args.gateway);
        let conducted = conductor.conduct(args).map(|()| conductor.times);
        shared.stop.store(true, Ordering::Release);
        let traded =
            traders.join().unwrap_or_else(|_| Err(Fault::Cluster("the traders' thread failed".to_owned())));
        (conducted, traded)
    });
    // Where the traders failed, the conductor has only waited in vain for them.
    let outcome = traded?;
    let times = conducted?;
    let hashes_equal = cluster.hashes_equal()?;
    print(args, times, outcome, hashes_equal);
    agree("hashes equal", 1, u64::from(hashes_equal))?;
    agree("orders lost", 0, outcome.lost)?;
    agree("orders done twice", 0, outcome.twice)?;
    agree("orders without an answer", 0, outcome.unanswered)?;
    agree("orders refused", 0, outcome.refused)
}

fn print(args: &Args, mut times: Times, outcome: Outcome, hashes_equal: bool) {
    let ms = |us: u32| f64::from(us) / 1_000.0;
    let figures = |us: &mut Vec<u32>, prefix: &str| {
        us.sort_unstable();
        let [p50, p99, max] = [500, 990, 1_000].map(|per_mille| ms(quantile(us, per_mille)));
        format!("{prefix}p50_ms={p50:.1} {prefix}p99_ms={p99:.1} {prefix}max_ms={max:.1}")
    };
    println!(
        "{} orders at {} a second, {} fills, {} without an answer, {} refused; the lead moved {} times unasked",
        outcome.orders, args.rate, outcome.fills, outcome.unanswered, outcome.refused, times.unasked
    );
    println!("from the kill: {}", figures(&mut times.from_kill_us, ""));
    if args.transfers > 0 {
        println!("transfers={} {}", args.transfers, figures(&mut times.transfers_us, "transfer_"));
    }
    println!(
        "kills={} {} lost={} twice={} orders={} hashes_equal={}",
        args.kills,
        figures(&mut times.kills_us, ""),
        outcome.lost,
        outcome.twice,
        outcome.orders,
        u8::from(hashes_equal)
    );
}

/// Microseconds of each failover.
#[derive(Default)]
struct Times {
    kills_us: Vec<u32>,
    from_kill_us: Vec<u32>,
    transfers_us: Vec<u32>,
    /// Changes of the leader that nobody caused.
    unasked: u32,
}

struct Conductor<'a> {
    cluster: &'a mut Cluster,
    shared: &'a Shared,
    changes: Receiver<Change>,
    watch: Stopwatch,
    leader: usize,
    gateway: bool,
    times: Times,
}

impl<'a> Conductor<'a> {
    fn new(
        cluster: &'a mut Cluster,
        shared: &'a Shared,
        changes: Receiver<Change>,
        watch: Stopwatch,
        gateway: bool,
    ) -> Self {
        Self { cluster, shared, changes, watch, leader: 0, gateway, times: Times::default() }
    }

    fn conduct(&mut self, args: &Args) -> Result<(), Fault> {
        self.leader = self.next()?.to;
        if self.gateway {
            self.leader = self.cluster.leader()?;
        }
        for kill in 1..=args.kills {
            self.settle()?;
            self.kill()?;
            if kill.is_multiple_of(KILLS_PER_LINE) {
                eprintln!("{kill} of {} kills", args.kills);
            }
        }
        for _ in 0..args.transfers {
            self.settle()?;
            self.transfer()?;
        }
        self.settle()
    }

    fn kill(&mut self) -> Result<(), Fault> {
        let killed = self.leader;
        if !self.gateway {
            self.shared.set(killed, None);
        }
        let kill_ns = elapsed_ns(self.watch);
        self.cluster.kill(killed)?;
        let change = if self.gateway { self.next_behind_gateway()? } else { self.next_after(killed)? };
        self.times.kills_us.push(us(change.first_ns - change.last_ns));
        self.times.from_kill_us.push(us(change.first_ns.saturating_sub(kill_ns)));
        self.cluster.launch(killed)?;
        let address = self.cluster.ready(killed)?;
        if !self.gateway {
            self.shared.set(killed, Some(address));
        }
        self.cluster.caught_up(killed, self.leader)
    }

    fn transfer(&mut self) -> Result<(), Fault> {
        let from = self.leader;
        self.cluster.transfer(from, (from + 1) % NODES)?;
        let change = self.next_after(from)?;
        self.times.transfers_us.push(us(change.first_ns - change.last_ns));
        Ok(())
    }

    /// Lets the load run for a while.
    fn settle(&mut self) -> Result<(), Fault> {
        loop {
            match self.changes.recv_timeout(SETTLE) {
                Ok(change) => {
                    self.leader = change.to;
                    self.times.unasked += 1;
                }
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(no_service()),
            }
        }
    }

    /// The first change to another node than this one.
    fn next_after(&mut self, old: usize) -> Result<Change, Fault> {
        loop {
            let change = self.next()?;
            self.leader = change.to;
            if change.to != old {
                return Ok(change);
            }
            self.times.unasked += 1;
        }
    }

    /// The first acknowledgement of whoever leads after one that was killed.
    fn next_behind_gateway(&mut self) -> Result<Change, Fault> {
        thread::park_timeout(IN_FLIGHT);
        self.shared.leaders.fetch_add(1, Ordering::AcqRel);
        let change = self.next()?;
        self.leader = self.cluster.leader()?;
        Ok(change)
    }

    fn next(&self) -> Result<Change, Fault> {
        self.changes.recv_timeout(SERVICE_WAIT).map_err(|_| no_service())
    }
}

fn no_service() -> Fault {
    Fault::Cluster("no order was acknowledged for a minute".to_owned())
}

fn us(ns: u64) -> u32 {
    u32::try_from(ns / 1_000).unwrap_or(u32::MAX)
}

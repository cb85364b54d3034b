//! `sim`: one seed, many seeds, or one script crashed everywhere. A failure ends with the line that repeats it.
#![forbid(unsafe_code)]

#[cfg(feature = "mutants")]
mod mutants;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use sim::{Failure, Report, World, coverage, exhaustive};

/// Runs the shipped libraries in a simulated world; what fails is repeated by its seed.
#[derive(Parser)]
#[command(name = "sim")]
struct Arguments {
    /// Run this seed and print its trace.
    #[arg(long, conflicts_with_all = ["seeds", "exhaustive"])]
    seed: Option<u64>,
    /// End it at this virtual millisecond and show what happened last.
    #[arg(long, requires = "seed")]
    until: Option<u64>,
    /// Show everything that happened before a failure.
    #[arg(long, requires = "seed")]
    all: bool,
    /// Take faults away as long as it fails, and show what is left.
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// Run so many seeds.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Replicas: 1, 3 or 5.
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Faults happen for so many virtual seconds; otherwise the seed says how long.
    #[arg(long)]
    virtual_s: Option<u64>,
    /// Crash the script at every operation of the disk.
    #[arg(long)]
    exhaustive: bool,
    /// Plant each mutant in turn, and say which the seeds find.
    #[cfg(feature = "mutants")]
    #[arg(long)]
    mutants: bool,
    /// Plant this one.
    #[cfg(feature = "mutants")]
    #[arg(long, value_parser = mutants::named)]
    mutant: Option<protocol::mutant::Mutant>,
}

/// Happenings shown behind a failure.
const SHOWN: usize = 40;

/// The seed that runs, for whoever reads of a panic.
static RUNNING: AtomicU64 = AtomicU64::new(0);
/// Its replicas.
static NODES: AtomicU64 = AtomicU64::new(1);

/// What kind of worlds.
#[derive(Clone, Copy)]
struct Shape {
    nodes: usize,
    virtual_s: Option<u64>,
}

impl Shape {
    fn world(self, seed: u64) -> World {
        RUNNING.store(seed, Ordering::Relaxed);
        NODES.store(self.nodes as u64, Ordering::Relaxed);
        match self.virtual_s {
            Some(virtual_s) => World::lasting(seed, self.nodes, virtual_s),
            None => World::from_seed(seed, self.nodes),
        }
    }

    /// What repeats the world of `seed`.
    fn arguments(self, seed: u64) -> String {
        let lasting = self.virtual_s.map_or(String::new(), |virtual_s| format!(" --virtual-s {virtual_s}"));
        format!("--seed {seed} --nodes {}{lasting}", self.nodes)
    }
}

fn main() -> ExitCode {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        let (seed, nodes) = (RUNNING.load(Ordering::Relaxed), NODES.load(Ordering::Relaxed));
        println!("repeat: cargo run --release -p sim -- --seed {seed} --nodes {nodes}");
    }));
    let arguments = Arguments::parse();
    #[cfg(feature = "mutants")]
    {
        if arguments.mutants {
            return if mutants::run_all() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        arguments.mutant.into_iter().for_each(protocol::mutant::plant);
    }
    let shape = Shape { nodes: arguments.nodes, virtual_s: arguments.virtual_s };
    let done = if let Some(seed) = arguments.seed.filter(|_| arguments.shrink) {
        small(seed, shape)
    } else if let Some(seed) = arguments.seed {
        one(seed, shape, arguments.until, arguments.all)
    } else if arguments.exhaustive {
        everywhere()
    } else {
        many(arguments.from, arguments.seeds.unwrap_or(100), shape)
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, shape: Shape, until_ms: Option<u64>, all: bool) -> bool {
    let mut world = shape.world(seed);
    if all {
        world.keep_all();
    }
    until_ms.into_iter().for_each(|at| world.stop_at_ms(at));
    match world.run() {
        Ok(report) => {
            show_counts(&report.counts);
            println!("happenings={} virtual_ms={}", report.happenings, report.virtual_ns / 1_000_000);
            println!("trace={}", report.trace);
            true
        }
        Err(failure) => {
            show_failure(&failure, &shape.arguments(seed), if all { usize::MAX } else { SHOWN });
            println!("trace={}", failure.trace);
            false
        }
    }
}

fn small(seed: u64, shape: Shape) -> bool {
    let Some(shrunk) = sim::shrink::shrink(seed, shape.nodes, shape.virtual_s) else {
        println!("seed {seed} holds every invariant");
        return true;
    };
    show_failure(&shrunk.failure, &shape.arguments(seed), SHOWN);
    println!("{:?}", shrunk.knobs);
    println!("needed: {}", shrunk.needed.join(", "));
    false
}

fn many(from: u64, seeds: u64, shape: Shape) -> bool {
    let mut counts = BTreeMap::new();
    let (mut happenings, mut turns, mut virtual_ms) = (0, 0, 0);
    for (done, seed) in (1..=seeds).zip(from..) {
        match shape.world(seed).run() {
            Ok(Report { happenings: more, turns: more_turns, virtual_ns, counts: seen, .. }) => {
                happenings += more;
                turns += more_turns;
                virtual_ms += virtual_ns / 1_000_000;
                for (what, count) in seen {
                    *counts.entry(what).or_insert(0) += count;
                }
            }
            Err(failure) => {
                show_failure(&failure, &shape.arguments(seed), SHOWN);
                return false;
            }
        }
        if done.is_multiple_of(100) {
            println!("{done} of {seeds} seeds");
        }
    }
    show_counts(&counts);
    let never = coverage::never_seen(&counts, shape.nodes);
    if !never.is_empty() {
        println!("never seen: {}", never.join(", "));
    }
    if seeds >= coverage::SEEDS_MIN && !never.is_empty() {
        println!("so many worlds have to see all of it");
        return false;
    }
    println!("seeds={seeds} happenings={happenings} turns={turns} virtual_ms={virtual_ms} failures=0");
    true
}

fn everywhere() -> bool {
    match exhaustive::run(1, 1) {
        Ok(summary) => {
            println!("operations={} places={} failures=0", summary.operations, summary.places);
            true
        }
        Err(found) => {
            println!("crash {:?} in operation {}", found.crash, found.operation);
            show_failure(&found.failure, "--exhaustive", SHOWN);
            false
        }
    }
}

fn show_counts(counts: &BTreeMap<&'static str, u64>) {
    for (what, count) in counts {
        println!("{count:>10}  {what}");
    }
}

fn show_failure(failure: &Failure, arguments: &str, shown: usize) {
    for happening in &failure.recent[failure.recent.len().saturating_sub(shown)..] {
        println!("{happening}");
    }
    println!("{}", failure.violation);
    println!("repeat: cargo run --release -p sim -- {arguments}");
}

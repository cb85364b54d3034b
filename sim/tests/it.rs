//! The simulator as a test: a hundred worlds of one replica, clusters of three and five, one world twice, and a script
//! crashed at every operation. Each failure prints the line that repeats it.

use sim::coverage::{self, Counts};
use sim::{Failure, World, exhaustive};

/// Worlds of one replica in the test command.
const SEEDS: u64 = 100;
/// Worlds of three replicas, and of five.
const CLUSTERS: [(usize, u64); 2] = [(3, 60), (5, 20)];

/// Worlds of three replicas, one in five of them of five, in which faults go on for [`LONG_S`] virtual seconds.
const LONG_SEEDS: u64 = 200;
const LONG_S: u64 = 60;

fn run(seed: u64, nodes: usize) -> sim::Report {
    // Shown if the libraries panic.
    eprintln!("seed {seed} of {nodes}");
    match World::from_seed(seed, nodes).run() {
        Ok(report) => report,
        Err(failure) => fail(&failure, &format!("--seed {seed} --nodes {nodes}")),
    }
}

fn count(counts: &mut Counts, report: sim::Report) {
    for (what, count) in report.counts {
        *counts.entry(what).or_insert(0) += count;
    }
}

/// A run that leaves something out proves nothing about it.
fn must_have_seen_all(counts: &Counts, nodes: usize) {
    let mut never = coverage::never_seen(counts, nodes);
    never.retain(|what| coverage::RARE.iter().all(|rare| rare.name() != *what));
    never.retain(|what| nodes > 1 || !coverage::RARE_ALONE.contains(what));
    assert!(never.is_empty(), "never seen: {never:?}; seen: {counts:?}");
}

fn fail(failure: &Failure, arguments: &str) -> ! {
    for happening in &failure.recent {
        eprintln!("{happening}");
    }
    panic!("{}\nrepeat: cargo run --release -p sim -- {arguments}", failure.violation);
}

/// Two tests share the seeds, so that they use two cores.
fn seeds(first: u64) {
    let mut counts = Counts::new();
    for seed in (first..SEEDS).step_by(2) {
        count(&mut counts, run(seed, 1));
    }
    must_have_seen_all(&counts, 1);
}

#[test]
fn clusters_hold_every_invariant() {
    let mut counts = Counts::new();
    for line in include_str!("../clusters.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
        let (Some(nodes), Some(seed)) = (numbers.next(), numbers.next()) else {
            panic!("replicas, a seed and what it found: {line}");
        };
        count(&mut counts, run(seed, nodes as usize));
    }
    for (nodes, seeds) in CLUSTERS {
        for seed in 0..seeds {
            count(&mut counts, run(seed, nodes));
        }
    }
}

/// Two tests share the seeds, so that they use two cores.
fn long_clusters(first: u64) {
    let mut counts = Counts::new();
    for seed in (first..LONG_SEEDS).step_by(2) {
        let nodes = if seed % 5 == 0 { 5 } else { 3 };
        eprintln!("seed {seed} of {nodes}, {LONG_S} s");
        match World::lasting(seed, nodes, LONG_S).run() {
            Ok(report) => count(&mut counts, report),
            Err(failure) => fail(&failure, &format!("--seed {seed} --nodes {nodes} --virtual-s {LONG_S}")),
        }
    }
    must_have_seen_all(&counts, 3);
}

#[test]
fn even_clusters_hold_every_invariant_for_a_minute() {
    long_clusters(0);
}

#[test]
fn odd_clusters_hold_every_invariant_for_a_minute() {
    long_clusters(1);
}

#[test]
fn even_seeds_hold_every_invariant() {
    seeds(0);
}

#[test]
fn odd_seeds_hold_every_invariant() {
    seeds(1);
}

/// Seeds that once failed, with a word on what they found.
#[test]
fn seeds_that_once_failed_hold() {
    for line in include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(seed) = line.split_whitespace().next() {
            run(seed.parse().unwrap_or_else(|_| panic!("a seed and what it found: {line}")), 1);
        }
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in [3, 8, 21] {
        let (one, two) = (run(seed, 1), run(seed, 1));
        assert_eq!((one.trace, one.happenings), (two.trace, two.happenings), "seed {seed}");
    }
    assert_ne!(run(3, 1).trace, run(8, 1).trace);
}

/// Every second operation from the `first`: two tests share them.
fn script_survives(first: u64) {
    match exhaustive::run(first, 2) {
        Ok(summary) => assert!(summary.places > 500, "{summary:?}"),
        Err(found) => {
            eprintln!("crash {:?} in operation {}", found.crash, found.operation);
            fail(&found.failure, "--exhaustive")
        }
    }
}

#[test]
fn a_script_survives_a_crash_at_every_odd_operation() {
    script_survives(1);
}

#[test]
fn a_script_survives_a_crash_at_every_even_operation() {
    script_survives(2);
}

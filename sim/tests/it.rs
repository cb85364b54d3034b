//! The simulator as a test: a hundred worlds, one world twice, and a script crashed at every operation. Each failure
//! prints the line that repeats it.

use sim::{Failure, World, exhaustive};

/// Worlds in the test command.
const SEEDS: u64 = 100;

fn run(seed: u64) -> sim::Report {
    // Shown if the libraries panic.
    eprintln!("seed {seed}");
    match World::from_seed(seed, 1).run() {
        Ok(report) => report,
        Err(failure) => fail(&failure, &format!("--seed {seed}")),
    }
}

fn fail(failure: &Failure, arguments: &str) -> ! {
    for happening in &failure.recent {
        eprintln!("{happening}");
    }
    panic!("{}\nrepeat: cargo run --release -p sim -- {arguments}", failure.violation);
}

/// Two tests share the seeds, so that they use two cores.
fn seeds(first: u64) {
    let mut counts = std::collections::BTreeMap::new();
    for seed in (first..SEEDS).step_by(2) {
        for (what, count) in run(seed).counts {
            *counts.entry(what).or_insert(0) += count;
        }
    }
    // A run that sees none of these proves nothing.
    for what in ["process killed", "power lost", "started on a torn tail", "segment rolled", "trade"] {
        assert!(counts.contains_key(what), "{what} never happened: {counts:?}");
    }
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
            run(seed.parse().unwrap_or_else(|_| panic!("a seed and what it found: {line}")));
        }
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in [3, 8, 21] {
        let (one, two) = (run(seed), run(seed));
        assert_eq!((one.trace, one.happenings), (two.trace, two.happenings), "seed {seed}");
    }
    assert_ne!(run(3).trace, run(8).trace);
}

#[test]
fn a_script_survives_a_crash_at_every_operation() {
    match exhaustive::run(1, 1) {
        Ok(summary) => assert!(summary.places > 1_000, "{summary:?}"),
        Err(found) => {
            eprintln!("crash {:?} in operation {}", found.crash, found.operation);
            fail(&found.failure, "--exhaustive")
        }
    }
}

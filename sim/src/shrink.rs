//! A failing seed made small: kinds of faults are taken away one by one, then the time of faults is cut, as long as the
//! same invariant breaks.

use crate::checkers::Violation;
use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::world::{Failure, World};

/// What can be taken away, and how.
type Kind = (&'static str, fn(&mut Knobs));

const KINDS: [Kind; 22] = [
    ("crashes", |k| k.crash_operations_max = 0),
    ("loss of power", |k| k.power_percent = 0),
    ("full disks", |k| k.fills_up = false),
    ("failing disks", |k| k.fails = false),
    ("bit rot", |k| (k.rots, k.rots_journal) = (false, false)),
    ("memory gone wrong", |k| k.corrupts = false),
    ("lies about flushes", |k| k.lies = false),
    ("steps of the wall clock", |k| k.wall_steps = false),
    ("skew", |k| k.skew_ppm_max = 0),
    ("rough clients", |k| k.rough_clients = false),
    ("lost messages", |k| k.network.loss_ppm = 0),
    ("doubled messages", |k| k.network.duplicate_ppm = 0),
    ("slow messages", |k| k.network.delay_us = 100),
    ("partitions", |k| k.network.partitions = false),
    ("one-way cuts", |k| k.network.one_way = false),
    ("clogs", |k| k.network.clogs = false),
    ("pauses", |k| k.network.pauses = false),
    ("transfers of the lead", |k| k.network.transfers = false),
    ("lost machines", |k| k.network.replaces = false),
    ("disk stalls", |k| k.latency.stall_ppm = 0),
    ("large batches", |k| k.large_batches = false),
    ("payments", |k| k.payments = false),
];

/// What is left.
#[derive(Debug)]
pub struct Shrunk {
    /// The smallest world that still fails.
    pub knobs: Knobs,
    /// Kinds of faults without which it does not fail, or not in this way.
    pub needed: Vec<&'static str>,
    /// Its failure.
    pub failure: Box<Failure>,
}

/// Makes the failure of `seed` small; `None` if it does not fail. A seed that ends in a panic of a library cannot be made
/// small, because a release build aborts there.
#[must_use]
pub fn shrink(seed: u64, nodes: usize, virtual_s: Option<u64>) -> Option<Shrunk> {
    let fails = |knobs: Knobs| World::with_knobs(seed, knobs).run().err();
    let drawn = Knobs::draw(&mut Rng::new(seed).fork("knobs"), nodes);
    let mut knobs = virtual_s.map_or(drawn, |virtual_s| drawn.lasting(virtual_s));
    let mut failure = fails(knobs)?;
    let same = |one: &Violation, other: &Violation| one.invariant == other.invariant;
    let mut needed = Vec::new();
    for (kind, take_away) in KINDS {
        let mut less = knobs;
        take_away(&mut less);
        match fails(less) {
            Some(found) if same(&found.violation, &failure.violation) => (knobs, failure) = (less, found),
            Some(_) | None => needed.push(kind),
        }
    }
    for _ in 0..8 {
        let less = Knobs { faults_ns: knobs.faults_ns / 4 * 3, ..knobs };
        match fails(less) {
            Some(found) if same(&found.violation, &failure.violation) => (knobs, failure) = (less, found),
            Some(_) | None => break,
        }
    }
    Some(Shrunk { knobs, needed, failure })
}

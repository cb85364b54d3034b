//! `perf engine`: exchange-core's mix on the whole engine alone, one thread, replayed from memory.
//!
//! Each command goes from its record's bytes to its events: decoding, session and number, entitlement, hold, match,
//! settlement, fees, reports. `mops` is that, `mops_hashed` the same with every event encoded and folded into the effect hash,
//! which a node does off the path of an answer. Both are medians of three runs without a clock inside; percentiles come from a
//! run of their own that reads the clock once a command. Every run must arrive at the state of the one that made the flow.

use engine::Engine;
use protocol::event::{EffectHash, Event};
use protocol::hash::Hash;
use protocol::record::Record;

use crate::clock::Stopwatch;
use crate::fault::Fault;
use crate::mix::{self, Mix, Tally, time_of};
use crate::quantile::quantile;

const RUNS: usize = 3;
/// Commands of one frame: so often the effect hash is folded.
const FRAME_RECORDS: usize = 256;

/// How much to replay.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Commands that are timed.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=8_000_000))]
    ops: u32,
    /// Seed of the flow.
    #[arg(long, default_value_t = 20_261_120)]
    seed: u64,
    /// Cancels and replaces name orders by ClOrdID alone, and not by OrderID too.
    #[arg(long)]
    without_order_ids: bool,
}

/// Runs the measurement and prints its figures.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    let mix = mix::make(u64::from(args.ops), args.seed, !args.without_order_ids)?;
    describe(&mix);
    let expected = mix.done.state_hash();
    let mut plain = Vec::with_capacity(RUNS);
    let mut hashed = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        plain.push(timed(args, &mix, expected, Effects::Dropped)?);
        hashed.push(timed(args, &mix, expected, Effects::Hashed)?);
        println!("run: {:.2} Mops/s, with the effect hash {:.2}", last(&plain), last(&hashed));
    }
    let mut laps = latencies(&mix, expected)?;
    laps.sort_unstable();
    println!(
        "mops={:.3} mops_hashed={:.3} p50_ns={} p99_ns={} p999_ns={}",
        median(plain),
        median(hashed),
        quantile(&laps, 500),
        quantile(&laps, 990),
        quantile(&laps, 999)
    );
    Ok(())
}

fn describe(mix: &Mix) {
    let Tally { moves, cancels, reduces, rests, takes, fill_or_kills, trading, resting, levels } = mix.tally;
    println!(
        "{} commands, {} bytes: {moves} moves, {cancels} cancels, {reduces} reduces, {rests} resting, {takes} IOC, \
         {fill_or_kills} FOK; {trading} of them trade",
        mix.count,
        mix.records.len()
    );
    println!(
        "at the end {} bids on {} levels, {} asks on {} levels",
        resting[0], levels[0], resting[1], levels[1]
    );
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effects {
    Dropped,
    Hashed,
}

/// Million commands a second.
fn timed(args: &Args, mix: &Mix, expected: Hash, effects: Effects) -> Result<f64, Fault> {
    let mut engine = mix.ready.clone();
    let mut events: Vec<Event> = Vec::with_capacity(FRAME_RECORDS * 8);
    let mut bytes = Vec::with_capacity(1 << 20);
    let mut hash = EffectHash::default();
    let mut rest = mix.records.as_slice();
    let watch = Stopwatch::start();
    while !rest.is_empty() {
        for _ in 0..FRAME_RECORDS {
            if rest.is_empty() {
                break;
            }
            rest = apply(&mut engine, rest, &mut events)?;
        }
        if effects == Effects::Hashed {
            for event in &events {
                event.write(&mut bytes);
            }
            hash.fold(&bytes);
            bytes.clear();
        }
        events.clear();
    }
    let seconds = watch.elapsed().as_secs_f64();
    std::hint::black_box(hash);
    check(&engine, expected)?;
    Ok(f64::from(args.ops) / seconds / 1e6)
}

fn latencies(mix: &Mix, expected: Hash) -> Result<Vec<u32>, Fault> {
    let mut engine = mix.ready.clone();
    let mut events = Vec::with_capacity(1_024);
    let mut laps = Vec::with_capacity(usize::try_from(mix.count).unwrap_or(0));
    let mut rest = mix.records.as_slice();
    let mut watch = Stopwatch::start();
    while !rest.is_empty() {
        rest = apply(&mut engine, rest, &mut events)?;
        events.clear();
        laps.push(watch.lap_ns());
    }
    check(&engine, expected)?;
    Ok(laps)
}

/// Applies the first record; returns what follows it.
#[inline]
fn apply<'r>(engine: &mut Engine, records: &'r [u8], events: &mut Vec<Event>) -> Result<&'r [u8], Fault> {
    // Looked at where it was read: moving it would cost as much as reading it.
    let record = Record::read(records);
    let Ok(record) = &record else { return Err(Fault::Arguments("a record that does not read back")) };
    let seq = engine.seq_applied().next();
    engine
        .apply(seq, time_of(seq), record, events)
        .map_err(|broken| Fault::Fix(format!("the engine stopped: {broken:?}")))?;
    Ok(records.get(record.bytes.len()..).unwrap_or_default())
}

fn check(engine: &Engine, expected: Hash) -> Result<(), Fault> {
    if engine.state_hash() == expected {
        Ok(())
    } else {
        Err(Fault::Fix("a replay arrived at another state than the run that made the flow".to_owned()))
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

fn last(figures: &[f64]) -> f64 {
    figures.last().copied().unwrap_or(0.0)
}

//! `perf matching`: the common workload on the matching core alone, one thread, replayed from memory.
//!
//! Throughput is the median of three runs without a clock inside. Percentiles come from a fourth that reads the clock
//! once per operation; the reading is part of each figure, and `clock_ns` says how much of it. Every run must arrive at
//! the trades, volume and checksum that the workload names. `bytes_per_order` is what the books have allocated for one
//! resting order after the prefill, levels and index included.

use std::path::PathBuf;

use engine::matching::{AHEAD_MAX, Book, BookLimits, fetch_ahead};
use protocol::{OrderId, PriceTicks, QtyLots};

use crate::clock::Stopwatch;
use crate::fault::{Fault, agree};
use crate::quantile::quantile;
use crate::workload::{Kind, Op, RESTING, Tally, Workload, generate};
use crate::workload_file;

const RUNS: usize = 3;

/// What to replay: a file, or a flow generated here.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A workload file; otherwise one is generated.
    #[arg(long, conflicts_with_all = ["symbols", "resting", "ops", "seed"])]
    file: Option<PathBuf>,
    /// Markets, each a book of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    symbols: u16,
    /// Resting orders of each book.
    #[arg(long, default_value_t = RESTING as u32, value_parser = clap::value_parser!(u32).range(200..=4_000_000))]
    resting: u32,
    /// Operations that are timed.
    #[arg(long, default_value_t = 5_000_000)]
    ops: usize,
    /// Seed of the generated flow.
    #[arg(long, default_value_t = 20_261_120)]
    seed: u64,
}

/// Runs the measurement and prints its figures.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    let workload = match &args.file {
        Some(path) => workload_file::read(path)?,
        None if args.seed == 0 => return Err(Fault::Arguments("a seed of 0 draws nothing but zeros")),
        None => generate(args.symbols, args.resting as usize, args.ops, args.seed),
    };
    if workload.ops.is_empty() {
        return Err(Fault::Arguments("a workload without operations has no figures"));
    }
    println!("{} symbols, {} operations", workload.symbols, workload.ops.len());
    let bytes_per_order = Replay::prefilled(&workload)?.bytes_per_order();
    let mut mops = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let mut replay = Replay::prefilled(&workload)?;
        let watch = Stopwatch::start();
        let reads_ahead = replay.books.iter().any(Book::is_large);
        for ops in workload.ops.chunks(AHEAD_MAX) {
            if reads_ahead {
                replay.read_ahead(ops);
            }
            ops.iter().for_each(|op| replay.apply(op));
        }
        let elapsed = watch.elapsed();
        replay.check(&workload)?;
        mops.push(workload.ops.len() as f64 / elapsed.as_secs_f64() / 1e6);
        println!("run: {:.2} Mops/s", mops[mops.len() - 1]);
    }
    mops.sort_by(f64::total_cmp);
    let mut laps = timed_laps(&workload)?;
    laps.sort_unstable();
    let Tally { trades, volume, checksum } = workload.expected;
    println!(
        "clock_ns={} mops={:.2} trades={trades} volume={volume} checksum={checksum} p50_ns={} p99_ns={} p999_ns={} \
         bytes_per_order={bytes_per_order:.1}",
        clock_ns(),
        mops[RUNS / 2],
        quantile(&laps, 500),
        quantile(&laps, 990),
        quantile(&laps, 999),
    );
    Ok(())
}

/// The time of each operation in nanoseconds.
fn timed_laps(workload: &Workload) -> Result<Vec<u32>, Fault> {
    let mut replay = Replay::prefilled(workload)?;
    // Written once before, so that no page is faulted in while the clock runs.
    let mut laps = vec![u32::MAX; workload.ops.len()];
    let mut watch = Stopwatch::start();
    for (op, lap) in workload.ops.iter().zip(&mut laps) {
        replay.apply(op);
        *lap = watch.lap_ns();
    }
    replay.check(workload)?;
    Ok(laps)
}

/// What one reading of the clock takes: the median of laps around nothing.
fn clock_ns() -> u32 {
    let mut watch = Stopwatch::start();
    let mut laps: Vec<u32> = (0..10_000).map(|_| watch.lap_ns()).collect();
    laps.sort_unstable();
    quantile(&laps, 500)
}

/// The books of a run and what their trades add up to.
struct Replay {
    books: Vec<Book>,
    tally: Tally,
    /// Operations that a book refused: none should be.
    refused: u64,
}

impl Replay {
    fn prefilled(workload: &Workload) -> Result<Self, Fault> {
        let books = vec![Book::new(BookLimits::default()); workload.symbols];
        let mut replay = Self { books, tally: Tally::default(), refused: 0 };
        for op in &workload.prefill {
            replay.apply(op);
        }
        agree("trades of the prefill", 0, replay.tally.trades)?;
        Ok(replay)
    }

    fn bytes_per_order(&self) -> f64 {
        let orders: usize = self.books.iter().map(Book::len).sum();
        let bytes: usize = self.books.iter().map(Book::memory_bytes).sum();
        bytes as f64 / orders as f64
    }

    fn check(&self, workload: &Workload) -> Result<(), Fault> {
        agree("refused operations", 0, self.refused)?;
        agree("trades", workload.expected.trades, self.tally.trades)?;
        agree("volume", workload.expected.volume, self.tally.volume)?;
        agree("checksum", workload.expected.checksum, self.tally.checksum)?;
        agree("live orders", workload.live, self.books.iter().map(|book| book.len() as u64).sum())
    }

    /// As a replica does before it applies the records of a frame.
    fn read_ahead(&self, ops: &[Op]) {
        let named = ops.iter().filter(|op| op.kind != Kind::Ioc);
        let named = named.map(|op| (&self.books[usize::from(op.symbol)], OrderId(op.id)));
        fetch_ahead(named.filter(|(book, _)| book.is_large()));
    }

    #[inline]
    fn apply(&mut self, op: &Op) {
        let book = &mut self.books[usize::from(op.symbol)];
        let (id, price, qty) = (OrderId(op.id), PriceTicks(op.price), QtyLots(u64::from(op.qty)));
        let tally = &mut self.tally;
        let done = match op.kind {
            Kind::Add => {
                // As an engine would: a new order first takes what it crosses.
                let left = book.match_against(op.side, Some(price), qty, |fill| {
                    tally.trade(fill.maker_id.0, fill.price.0, fill.qty.0);
                });
                left.0 == 0 || book.insert(id, op.side, price, left).is_ok()
            }
            Kind::Ioc => {
                book.match_against(op.side, Some(price), qty, |fill| {
                    tally.trade(fill.maker_id.0, fill.price.0, fill.qty.0);
                });
                true
            }
            Kind::Cancel => book.cancel_id(id).is_some(),
            Kind::Reduce => book.slot_of(id).is_some_and(|slot| book.reduce(slot, qty).is_ok()),
            Kind::Move => book.slot_of(id).is_some_and(|slot| book.relocate(slot, price, qty).is_ok()),
        };
        self.refused += u64::from(!done);
    }
}

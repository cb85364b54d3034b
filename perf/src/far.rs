//! `perf far`: what an adversary's prices cost the matching core. Every order rests alone on a level of its own, anywhere
//! in u64: no two share a block, nothing is near a mid, and the best price jumps with every operation.
//!
//! The figures are of single operations, clock included: the book is filled, then orders are cancelled and rested
//! elsewhere, then both sides are traded away. `worst_us` is the slowest operation of all, which is one that doubles a
//! table, or one that the machine interrupted.

use engine::matching::{Book, BookLimits};
use protocol::{OrderId, PriceTicks, QtyLots, Side};

use crate::clock::Stopwatch;
use crate::fault::{Fault, agree};
use crate::quantile::quantile;

/// How large the book gets.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Orders, each on a level of its own.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(2..=4_000_000))]
    orders: u32,
    /// Seed of the prices.
    #[arg(long, default_value_t = 20_261_120, value_parser = clap::value_parser!(u64).range(1..))]
    seed: u64,
}

/// A price anywhere in the side's half of u64.
fn price(side: Side, drawn: u64) -> PriceTicks {
    let half = 1 << 63;
    PriceTicks(match side {
        Side::Buy => (drawn & (half - 1)).max(1),
        Side::Sell => drawn | half,
    })
}

fn side(id: u64) -> Side {
    if id.is_multiple_of(2) { Side::Buy } else { Side::Sell }
}

/// Runs the measurement and prints its figures.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    let orders = u64::from(args.orders);
    let mut draw = args.seed;
    let mut drawn = || {
        draw ^= draw >> 12;
        draw ^= draw << 25;
        draw ^= draw >> 27;
        draw.wrapping_mul(2_685_821_657_736_338_717)
    };
    let mut book = Book::new(BookLimits { orders_max: args.orders, levels_max: args.orders });
    let mut laps = Vec::with_capacity(usize::try_from(orders).unwrap_or(0) * 4);
    let mut refused = 0_u64;
    let mut watch = Stopwatch::start();
    for id in 1..=orders {
        refused +=
            u64::from(book.insert(OrderId(id), side(id), price(side(id), drawn()), QtyLots(1)).is_err());
        laps.push(watch.lap_ns());
    }
    for id in orders + 1..=2 * orders {
        refused += u64::from(book.cancel_id(OrderId(id - orders)).is_none());
        laps.push(watch.lap_ns());
        refused +=
            u64::from(book.insert(OrderId(id), side(id), price(side(id), drawn()), QtyLots(1)).is_err());
        laps.push(watch.lap_ns());
    }
    for taker in [Side::Buy, Side::Sell] {
        while book.fill_front(taker, None, QtyLots(1)).is_some() {
            laps.push(watch.lap_ns());
        }
    }
    agree("refused operations", 0, refused)?;
    agree("resting orders", 0, book.len() as u64)?;
    laps.sort_unstable();
    println!("{} operations on up to {orders} levels", laps.len());
    println!(
        "levels={orders} p50_ns={} p99_ns={} p999_ns={} worst_us={}",
        quantile(&laps, 500),
        quantile(&laps, 990),
        quantile(&laps, 999),
        laps.last().copied().unwrap_or(0) / 1_000,
    );
    Ok(())
}

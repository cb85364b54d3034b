//! Measures Sicil: `cargo run --release -p perf -- WHAT`.
//!
//! Rule: may name any crate of the house, and no crate names it. Each subcommand is a file of its own and prints, as its
//! last line, `key=value` figures that scripts read. It ends with a code other than zero where the work measured did
//! not come out right: a fast wrong answer has no figure.
#![forbid(unsafe_code)]

mod bank;
mod berka;
mod clock;
mod cluster;
mod draw;
mod engine;
mod failover;
mod far;
mod fault;
mod fix;
mod floor;
mod journal;
mod ledger;
mod line;
mod lobster;
mod matching;
mod mix;
mod quantile;
mod traders;
mod views;
mod workload;
mod workload_file;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "perf", about = "Measures Sicil; the last line holds key=value figures")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The common workload on the matching core alone: adds, IOCs, cancels, reduces, moves.
    Matching(matching::Args),
    /// The matching core under an adversary's prices: every order alone on a level, anywhere in u64.
    Far(far::Args),
    /// exchange-core's mix on the whole engine: accounts, holds, settlement, fees, events.
    Engine(engine::Args),
    /// Durable writes through the journal and bare ones of the same size, in turn.
    Journal(journal::Args),
    /// One FIX session against a node: latency, rate, and both beside the bare machine.
    Fix(fix::Args),
    /// Three node processes whose leader is killed under load: how long clients wait, and what became of each order.
    Failover(failover::Args),
    /// The ledger's history: fed, and asked.
    Views(views::Args),
    /// One hour of real order flow (LOBSTER format) through the matching core.
    Lobster(lobster::Args),
    /// Transfers in batches through the ledger: rate, and time of a batch.
    Ledger(ledger::Args),
    /// Six years of a real bank through the ledger, compared with its balances day by day.
    Berka(berka::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().what {
        What::Matching(args) => matching::run(&args),
        What::Far(args) => far::run(&args),
        What::Engine(args) => engine::run(&args),
        What::Journal(args) => journal::run(&args),
        What::Fix(args) => fix::run(&args),
        What::Failover(args) => failover::run(&args),
        What::Views(args) => views::run(&args),
        What::Lobster(args) => lobster::run(&args),
        What::Ledger(args) => ledger::run(&args),
        What::Berka(args) => berka::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("perf: {fault}");
            ExitCode::FAILURE
        }
    }
}

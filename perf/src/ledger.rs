//! `perf ledger`: transfers in batches between random accounts.
//!
//! In process, the engine runs alone on one thread: timed is each batch from its record's bytes to its events; the batch is made and
//! encoded before. Every transfer must be created and the books must add up at the end. With `--addr` they go through TCP and a node:
//! [`remote`].

mod remote;

use std::time::Duration;

use protocol::commands::SetLedgerLimits;
use protocol::limits::{
    CORRECTED_TRANSFERS_DEFAULT, CORRECTION_WINDOW_DEFAULT_MS, ID_AHEAD_DEFAULT_MS, ID_WINDOW_DEFAULT_MS,
    LEDGER_ROWS_MAX, TRANSFER_IDS_DEFAULT,
};
use protocol::rows::{TransferRow, transfer_flags};
use protocol::time::NANOS_PER_MILLI;
use protocol::{AccountClass, AccountId, Amount, ClientId, TransferId, UnixNanos};

use crate::bank::{Bank, account, transfer};
use crate::draw::Draw;
use crate::fault::{Fault, agree};
use crate::quantile::quantile;

/// 2026-01-01.
const TIME_START: UnixNanos = UnixNanos(1_767_225_600_000_000_000);
/// Transfers that pass in a second of the records' clock, whatever the engine could do: as many as the node is to do.
const TRANSFERS_A_SECOND: u64 = 2_000_000;
/// Random ids are drawn from so long before their batch.
const RANDOM_IDS_MS: u64 = 1_000;
const ACCOUNTS_FROM: u64 = 1_000;
const AMOUNT_MAX: u64 = 1_000;

/// How the lower bits of ids, and the milliseconds in them, follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Ids {
    /// Each above the one before.
    Ordered,
    /// Drawn, with times anywhere in the last second.
    Random,
}

/// How much of what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The engine alone, without a node.
    #[arg(long, required_unless_present = "addr", conflicts_with = "addr")]
    in_process: bool,
    /// Where the node listens for the binary protocol.
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<String>,
    /// Batches in flight, of all connections together.
    #[arg(long, requires = "addr", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    inflight: u32,
    /// Connections among which they are dealt.
    #[arg(long, requires = "addr", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Asset of the accounts. The default fits the built-in demo.
    #[arg(long, requires = "addr", default_value_t = 4)]
    ledger: u32,
    /// Where the bare disk is measured, for single transfers one by one: a folder on the node's disk.
    #[arg(long, requires = "addr", default_value = ".")]
    disk: std::path::PathBuf,
    /// Accounts.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=16_000_000))]
    accounts: u32,
    /// Transfers that are timed, up to a batch more.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    transfers: u64,
    /// Transfers in one command.
    #[arg(long, default_value_t = 8_189, value_parser = clap::value_parser!(u32).range(1..=8_189))]
    batch: u32,
    /// Each batch reserves what the next one posts.
    #[arg(long)]
    two_phase: bool,
    /// How ids follow each other.
    #[arg(long, value_enum, default_value_t = Ids::Ordered)]
    ids: Ids,
    /// Seed of accounts, amounts and ids.
    #[arg(long, default_value_t = 20_261_120)]
    seed: u64,
}

/// Runs the measurement and prints its figures.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    match &args.addr {
        Some(addr) => remote::run(args, addr),
        None => run_in_process(args),
    }
}

fn run_in_process(args: &Args) -> Result<(), Fault> {
    let mut bank = Bank::new(TIME_START, "TRY", 2)?;
    let accounts: Vec<_> = (0..u64::from(args.accounts))
        .map(|at| account(account_id(at), AccountClass::House, ClientId(0)))
        .collect();
    bank.create_accounts(&accounts)?;
    drop(accounts);
    if args.two_phase {
        bank.set_limits(SetLedgerLimits {
            id_window_ms: ID_WINDOW_DEFAULT_MS,
            id_ahead_ms: ID_AHEAD_DEFAULT_MS,
            transfer_ids_max: TRANSFER_IDS_DEFAULT,
            pending_transfers_max: u32::try_from(LEDGER_ROWS_MAX).unwrap_or(u32::MAX),
            correction_window_ms: CORRECTION_WINDOW_DEFAULT_MS,
            corrected_transfers_max: CORRECTED_TRANSFERS_DEFAULT,
        })?;
    }
    let mut load = Load::new(args);
    let mut laps = Vec::new();
    let (mut transfers, mut timed) = (0, Duration::ZERO);
    let mut reserved: Option<Vec<TransferRow>> = None;
    while transfers < args.transfers || reserved.is_some() {
        let rows = match reserved.take() {
            Some(pending) => load.posts(&pending, bank.time),
            None => load.batch(args.batch, bank.time, args.two_phase),
        };
        if args.two_phase && rows.first().is_some_and(|row| row.flags & transfer_flags::PENDING != 0) {
            reserved = Some(rows.clone());
        }
        transfers += u64::from(args.batch);
        let took = bank.create_transfers(rows)?;
        timed += took;
        laps.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
        bank.time = bank.time.plus(u64::from(args.batch) * 1_000_000_000 / TRANSFERS_A_SECOND);
    }
    check(&bank, &load)?;
    print_figures(args, transfers, timed, &mut laps);
    Ok(())
}

/// Rate, and how long batches took; `laps_ns` is sorted afterwards.
fn print_figures(args: &Args, transfers: u64, timed: Duration, laps_ns: &mut [u32]) {
    laps_ns.sort_unstable();
    let ms = |per_mille: usize| f64::from(quantile(laps_ns, per_mille)) / 1e6;
    println!("{} batches of {}, {} accounts", laps_ns.len(), args.batch, args.accounts);
    println!(
        "tps={:.0} p50_ms={:.3} p99_ms={:.3} p100_ms={:.3}",
        transfers as f64 / timed.as_secs_f64(),
        ms(500),
        ms(990),
        ms(1_000)
    );
}

/// The account of this number.
fn account_id(at: u64) -> AccountId {
    AccountId((ACCOUNTS_FROM + at).into())
}

/// What was moved arrived.
fn check(bank: &Bank, load: &Load) -> Result<(), Fault> {
    bank.check()?;
    let posted: u128 = bank.engine.accounts().map(|account| account.debits.0).sum();
    agree("money moved", load.sum, u64::try_from(posted).unwrap_or(u64::MAX))
}

/// Makes batches.
struct Load {
    draw: Draw,
    ids: Ids,
    accounts: u32,
    next_id: u64,
    /// Of all amounts that move in the end.
    sum: u64,
}

impl Load {
    fn new(args: &Args) -> Self {
        Self { draw: Draw::new(args.seed), ids: args.ids, accounts: args.accounts, next_id: 0, sum: 0 }
    }

    fn id(&mut self, time: UnixNanos) -> TransferId {
        let ms = time.0 / NANOS_PER_MILLI;
        self.next_id += 1;
        let (ms, low) = match self.ids {
            Ids::Ordered => (ms, u128::from(self.next_id)),
            // The counter keeps drawn ids from being the same one twice.
            Ids::Random => {
                let drawn = u128::from(self.draw.below(1 << 40));
                (ms - self.draw.below(RANDOM_IDS_MS), (drawn << 40) | u128::from(self.next_id))
            }
        };
        TransferId::at_ms(ms, low)
    }

    fn account(&mut self) -> u64 {
        self.draw.below(u64::from(self.accounts))
    }

    fn batch(&mut self, rows: u32, time: UnixNanos, pending: bool) -> Vec<TransferRow> {
        let row = |_| {
            let debit = self.account();
            // Any but the first: counted on from it, around.
            let further = 1 + self.draw.below(u64::from(self.accounts) - 1);
            let credit = (debit + further) % u64::from(self.accounts);
            let amount = 1 + self.draw.below(AMOUNT_MAX);
            self.sum += amount;
            let id = self.id(time);
            let flags = if pending { transfer_flags::PENDING } else { 0 };
            TransferRow { flags, ..transfer(id, account_id(debit), account_id(credit), amount.into()) }
        };
        (0..rows).map(row).collect()
    }

    /// Posts in full what was reserved.
    fn posts(&mut self, pending: &[TransferRow], time: UnixNanos) -> Vec<TransferRow> {
        let post = |row: &TransferRow| TransferRow {
            id: self.id(time),
            amount: Amount(u128::MAX),
            pending_id: row.id,
            flags: transfer_flags::POST_PENDING_TRANSFER,
            ..*row
        };
        pending.iter().map(post).collect()
    }
}

//! `perf views`: the ledger's history, fed from memory and asked.
//!
//! Only taking and writing is timed; batches are made between. Answers are checked against sums kept here.

use std::path::PathBuf;
use std::time::Duration;

use protocol::commands::{CreateAccounts, CreateTransfers};
use protocol::event::Event;
use protocol::events::{AccountsCreated, TransfersCreated};
use protocol::record::{Record, RecordHeader};
use protocol::rows::{AccountRow, TransferRow, transfer_flags};
use protocol::{
    AccountClass, AccountId, Amount, ClientId, Command, EventBody, RequestNumber, Seq, SessionId, TransferId,
    UnixNanos,
};
use views::ledger::{At, Feed, Filter, Opened, Order, Persist, Reader, Snapshot};

use crate::bank;
use crate::clock::Stopwatch;
use crate::draw::Draw;
use crate::fault::{Fault, agree};
use crate::quantile::quantile;

const TIME_START: u64 = 1_700_000_000_000_000_000;
const QUESTIONS: usize = 2_000;
const PAGE: usize = 100;

/// What to feed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Accounts, chosen uniformly.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    accounts: u32,
    /// Transfers.
    #[arg(long, default_value_t = 5_000_000)]
    transfers: u64,
    /// Transfers of a record.
    #[arg(long, default_value_t = 8_189, value_parser = clap::value_parser!(u32).range(2..=8_189))]
    batch: u32,
    /// Every second transfer posts the one before, which is pending.
    #[arg(long)]
    two_phase: bool,
    /// Ids are random below their time, and do not count upwards.
    #[arg(long)]
    random_ids: bool,
    /// Transfers of one write to the file.
    #[arg(long, default_value_t = 1 << 18)]
    write: usize,
    /// Every so many writes the file is made durable.
    #[arg(long, default_value_t = 16)]
    durable_every: u64,
    /// Bytes of the file's cache.
    #[arg(long, default_value_t = 64 << 20)]
    cache: usize,
    /// Where the file is written, and removed again.
    #[arg(long)]
    dir: PathBuf,
}

/// The feed under load.
struct Load<'a> {
    args: &'a Args,
    feed: Feed,
    draw: Draw,
    record: Vec<u8>,
    time: UnixNanos,
    ids: Vec<TransferId>,
    /// Credits less debits of account 1 that are posted, behind each record.
    first: Vec<(Seq, u128, u128)>,
    taking: Duration,
    writes_ms: Vec<u32>,
    busy: Duration,
}

/// Runs the measurement and prints its figures.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    let path = args.dir.join("sicil-perf-views.redb");
    if path.exists() {
        std::fs::remove_file(&path).map_err(Fault::io("cannot remove the file of another run"))?;
    }
    let Opened { feed, reader, .. } = Feed::open(&path, args.cache).map_err(fault)?;
    let mut load = Load {
        args,
        feed,
        draw: Draw::new(20_261_130),
        record: Vec::new(),
        time: UnixNanos(TIME_START),
        ids: Vec::new(),
        first: Vec::new(),
        taking: Duration::ZERO,
        writes_ms: Vec::new(),
        busy: Duration::ZERO,
    };
    load.create_accounts()?;
    load.feed.write(Persist::Now).map_err(fault)?;
    let empty = std::fs::metadata(&path).map_err(Fault::io("the file"))?.len();
    let before = stored(&reader)?;
    (load.busy, load.taking) = (Duration::ZERO, Duration::ZERO);
    load.run()?;
    let file = std::fs::metadata(&path).map_err(Fault::io("the file"))?.len();
    let snapshot =
        reader.snapshot(load.feed.seq()).map_err(|_| Fault::Arguments("the view is behind itself"))?;
    let after = stored(&reader)?;
    load.writes_ms.sort_unstable();
    println!("file_bytes={file} before_transfers={empty} runs={:?}", snapshot.runs());
    let questions = ask(&mut load, &reader)?;
    drop((snapshot, reader));
    let memory = load.feed.memory_bytes() / usize::try_from(args.accounts).unwrap_or(1);
    let transfers = load.args.transfers;
    drop(load.feed);
    let watch = Stopwatch::start();
    drop(Feed::open(&path, args.cache).map_err(fault)?);
    let open_ms = watch.elapsed().as_millis();
    std::fs::remove_file(&path).map_err(Fault::io("cannot remove the file"))?;
    println!(
        "tps={:.0} take_ns={} write_p50_ms={} write_p100_ms={} bytes_per_account={} bytes_per_transfer={} file_bytes_per_transfer={} memory_bytes_per_account={memory} open_ms={open_ms} {questions}",
        transfers as f64 / load.busy.as_secs_f64(),
        load.taking.as_nanos() / u128::from(transfers.max(1)),
        quantile(&load.writes_ms, 500),
        quantile(&load.writes_ms, 1_000),
        before / u64::from(args.accounts),
        after.saturating_sub(before) / transfers.max(1),
        file.saturating_sub(empty) / transfers.max(1),
    );
    Ok(())
}

fn stored(reader: &Reader) -> Result<u64, Fault> {
    reader.snapshot(Seq::ZERO).map_err(fault)?.stored_bytes().map_err(fault)
}

fn fault(fault: impl std::fmt::Display) -> Fault {
    Fault::Cluster(fault.to_string())
}

impl Load<'_> {
    fn create_accounts(&mut self) -> Result<(), Fault> {
        let mut left = 1..=u64::from(self.args.accounts);
        loop {
            let accounts: Vec<AccountRow> = left.by_ref().take(8_000).map(account).collect();
            let count = u32::try_from(accounts.len()).unwrap_or(0);
            if count == 0 {
                return Ok(());
            }
            let (session, request) = (SessionId(20), RequestNumber(0));
            let created = AccountsCreated { session, request, count, created: count, exceptions: Vec::new() };
            self.take(&CreateAccounts { accounts }.into(), created.into())?;
            if self.feed.accounts_waiting() > 100_000 {
                self.feed.write(Persist::Later).map_err(fault)?;
            }
        }
    }

    fn run(&mut self) -> Result<(), Fault> {
        let (mut left, mut writes) = (self.args.transfers, 0);
        let (mut debits, mut credits) = (0_u128, 0_u128);
        while left > 0 {
            let count = u64::from(self.args.batch).min(left);
            left -= count;
            let mut rows: Vec<TransferRow> = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
            for index in 0..count {
                let before = rows.last().filter(|_| self.args.two_phase && index % 2 == 1).copied();
                let row = self.row(before);
                let (from, to) = before.map_or((row.debit_account, row.credit_account), |before| {
                    (before.debit_account, before.credit_account)
                });
                if row.flags & transfer_flags::PENDING == 0 {
                    debits += if from.0 == 1 { row.amount.0 } else { 0 };
                    credits += if to.0 == 1 { row.amount.0 } else { 0 };
                }
                rows.push(row);
            }
            let (session, request) = (SessionId(20), RequestNumber(0));
            let count = u32::try_from(count).unwrap_or(0);
            let (exceptions, amounts) = (Vec::new(), Vec::new());
            let created = TransfersCreated {
                session,
                request,
                count,
                created: count,
                exceptions,
                amounts,
                balances: 0,
            };
            self.take(&CreateTransfers { transfers: rows }.into(), created.into())?;
            self.first.push((self.feed.seq(), debits, credits));
            if self.feed.waiting() >= self.args.write || left == 0 {
                writes += 1;
                let now = left == 0 || writes % self.args.durable_every == 0;
                let watch = Stopwatch::start();
                self.feed.write(if now { Persist::Now } else { Persist::Later }).map_err(fault)?;
                let elapsed = watch.elapsed();
                self.busy += elapsed;
                self.writes_ms.push(u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX));
            }
        }
        Ok(())
    }

    fn row(&mut self, posts: Option<TransferRow>) -> TransferRow {
        let low = if self.args.random_ids {
            u128::from(self.draw.below(u64::MAX)) << 10
        } else {
            u128::try_from(self.ids.len()).unwrap_or(0)
        };
        let id = TransferId::at_ms(self.time.0 / 1_000_000, low);
        self.ids.push(id);
        let accounts = u64::from(self.args.accounts);
        let from = 1 + self.draw.below(accounts);
        let to = 1 + (from + self.draw.below(accounts - 1)) % accounts;
        let (flags, pending_id) = match posts {
            Some(pending) => (transfer_flags::POST_PENDING_TRANSFER, pending.id),
            None if self.args.two_phase => (transfer_flags::PENDING, TransferId(0)),
            None => (0, TransferId(0)),
        };
        let [debit, credit] =
            [from, to].map(|account| AccountId(if posts.is_some() { 0 } else { account.into() }));
        let amount =
            posts.map_or_else(|| 1 + u128::from(self.draw.below(10_000)), |pending| pending.amount.0);
        TransferRow { pending_id, flags, ..bank::transfer(id, debit, credit, amount) }
    }

    fn take(&mut self, command: &Command, body: EventBody) -> Result<(), Fault> {
        self.record.clear();
        RecordHeader::default()
            .write(command, &mut self.record)
            .map_err(|fault| Fault::Fix(format!("{fault:?}")))?;
        let record = Record::read(&self.record).map_err(|fault| Fault::Fix(format!("{fault:?}")))?;
        self.time = self.time.plus(1_000_000);
        let (seq, time) = (self.feed.seq().next(), self.time);
        let events = [Event { output: None, seq, time, body }];
        let watch = Stopwatch::start();
        self.feed.take(seq, time, &record, &events).map_err(fault)?;
        let elapsed = watch.elapsed();
        self.taking += elapsed;
        self.busy += elapsed;
        Ok(())
    }
}

fn account(number: u64) -> AccountRow {
    bank::account(AccountId(number.into()), AccountClass::Client, ClientId(number))
}

/// Asks, and checks what can be checked.
fn ask(load: &mut Load<'_>, reader: &Reader) -> Result<String, Fault> {
    let seq = load.feed.seq();
    let accounts = u64::from(load.args.accounts);
    let mut now = Vec::new();
    let mut past = Vec::new();
    let mut by_id = Vec::new();
    let mut pages = Vec::new();
    for question in 0..QUESTIONS {
        let account = AccountId(1 + u128::from(load.draw.below(accounts)));
        let mut watch = Stopwatch::start();
        let snapshot = reader.snapshot(seq).map_err(fault)?;
        snapshot.account(account, At::Now).map_err(fault)?;
        now.push(watch.lap_ns());
        let (at, debits, credits) = load.first[load.draw.index(load.first.len())];
        watch.lap_ns();
        let found = snapshot.account(AccountId(1), At::Seq(at)).map_err(fault)?;
        past.push(watch.lap_ns());
        let balances = found.ok_or(Fault::Arguments("account 1 is not there"))?.balances;
        let posted = |amount: Amount| u64::try_from(amount.0).unwrap_or(u64::MAX);
        agree("debits of account 1", u64::try_from(debits).unwrap_or(0), posted(balances.debits_posted))?;
        agree("credits of account 1", u64::try_from(credits).unwrap_or(0), posted(balances.credits_posted))?;
        let at = load.draw.index(load.ids.len());
        watch.lap_ns();
        let transfer = snapshot.transfer(load.ids[at]).map_err(fault)?;
        by_id.push(watch.lap_ns());
        if transfer.is_none_or(|transfer| transfer.id != load.ids[at]) {
            return Err(Fault::Arguments("a transfer is not there"));
        }
        if question % 10 == 0 {
            page(&snapshot, account, &mut pages)?;
        }
    }
    for laps in [&mut now, &mut past, &mut by_id, &mut pages] {
        laps.sort_unstable();
    }
    let us = |laps: &[u32], per_mille| quantile(laps, per_mille) / 1_000;
    Ok(format!(
        "balance_p50_us={} balance_p99_us={} balance_at_p50_us={} balance_at_p99_us={} transfer_p50_us={} transfer_p99_us={} page_p50_us={} page_p99_us={}",
        us(&now, 500),
        us(&now, 990),
        us(&past, 500),
        us(&past, 990),
        us(&by_id, 500),
        us(&by_id, 990),
        us(&pages, 500),
        us(&pages, 990),
    ))
}

fn page(snapshot: &Snapshot, account: AccountId, laps: &mut Vec<u32>) -> Result<(), Fault> {
    let mut watch = Stopwatch::start();
    snapshot.transfers(account, &Filter::default(), Order::Backwards, None, PAGE).map_err(fault)?;
    laps.push(watch.lap_ns());
    Ok(())
}

//! The same batches through the client library, TCP and a node. Timed is each batch from its sending to its answer, which says that it
//! is durable and applied. Each is made right before, because its ids bear the time; what all have moved is asked for at the end.

use std::collections::BTreeMap;

use client::{BatchResult, Client, Credentials, Freshness, Options, Reply, Request, Ticket};
use protocol::limits::{LEDGER_ROWS_MAX, READ_ROWS_MAX};
use protocol::rows::{AccountRow, TransferRow, transfer_flags};
use protocol::{AccountId, AssetId};

use super::{Args, Load, account_id, print_figures};
use crate::bank::account;
use crate::clock::Stopwatch;
use crate::fault::{Fault, agree};
use crate::floor;
use crate::quantile::quantile;

/// Connections count the ids of their transfers apart from each other, in so many bits.
const CONNECTION_ID_BITS: u32 = 32;
/// Accounts of one question.
const ACCOUNTS_A_QUESTION: usize = READ_ROWS_MAX;

/// A client and what it has to send.
struct Connection<'a> {
    client: Client,
    args: &'a Args,
    load: Load,
    batches_left: u64,
    /// Of two phases, what is to be posted next.
    reserved: Option<Vec<TransferRow>>,
    laps_ns: Vec<u32>,
}

/// Loads the node and prints the figures.
pub(super) fn run(args: &Args, addr: &str) -> Result<(), Fault> {
    let ledger = AssetId(args.ledger);
    let mut client = connect(addr)?;
    let rows: Vec<AccountRow> = (0..u64::from(args.accounts))
        .map(|at| AccountRow {
            ledger,
            ..account(account_id(at), protocol::AccountClass::House, protocol::ClientId(0))
        })
        .collect();
    for rows in rows.chunks(LEDGER_ROWS_MAX) {
        let made = client.create_accounts(rows)?;
        agree("accounts", made.count.into(), made.standing().into())?;
    }
    let before = debits_posted(&mut client, args)?;
    let batches = args.transfers.div_ceil(args.batch.into());
    let mut connections = Vec::new();
    for at in 0..u64::from(args.connections) {
        let batches_left = (batches + at) / u64::from(args.connections);
        let load = Load { next_id: at << CONNECTION_ID_BITS, ..Load::new(args) };
        let client = connect(addr)?;
        connections.push(Connection {
            client,
            args,
            load,
            batches_left,
            reserved: None,
            laps_ns: Vec::new(),
        });
    }
    let watch = Stopwatch::start();
    let connections = drive(connections, args.inflight)?;
    let timed = watch.elapsed();
    let sum = connections.iter().map(|connection| connection.load.sum).sum();
    agree("money moved", sum, debits_posted(&mut client, args)?.wrapping_sub(before))?;
    let mut laps: Vec<u32> = connections.into_iter().flat_map(|connection| connection.laps_ns).collect();
    let transfers = laps.len() as u64 * u64::from(args.batch);
    print_figures(args, transfers, timed, &mut laps);
    if args.batch == 1 && args.inflight == 1 {
        print_floor(args, &laps)?;
    }
    Ok(())
}

fn connect(addr: &str) -> Result<Client, Fault> {
    Ok(Client::connect(Options::new(vec![addr.to_owned()], Credentials::demo()))?)
}

/// Each connection on a thread of its own, with so many batches in flight together.
fn drive(connections: Vec<Connection<'_>>, inflight: u32) -> Result<Vec<Connection<'_>>, Fault> {
    let each = inflight.div_ceil(u32::try_from(connections.len()).unwrap_or(1)).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            connections.into_iter().map(|connection| scope.spawn(move || connection.run(each))).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| Err(Fault::Engine("a client panicked".to_owned())))
            })
            .collect()
    })
}

impl Connection<'_> {
    fn run(mut self, inflight: u32) -> Result<Self, Fault> {
        let mut sent: BTreeMap<Ticket, Stopwatch> = BTreeMap::new();
        loop {
            while sent.len() < inflight as usize
                && let Some(batch) = self.next_batch()?
            {
                let watch = Stopwatch::start();
                sent.insert(self.client.enqueue(batch)?, watch);
            }
            if sent.is_empty() {
                return Ok(self);
            }
            let (ticket, reply) = self.client.wait_for_any()?;
            if let Some(mut watch) = sent.remove(&ticket) {
                self.laps_ns.push(watch.lap_ns());
            }
            check(&reply)?;
        }
    }

    /// The next batch. What a batch reserves, the next one posts, so that the number of them may come out odd by one.
    fn next_batch(&mut self) -> Result<Option<Request>, Fault> {
        let now = self.client.now();
        let rows = if let Some(reserved) = self.reserved.take() {
            self.load.posts(&reserved, now)
        } else if self.batches_left > 0 {
            self.load.batch(self.args.batch, now, self.args.two_phase)
        } else {
            return Ok(None);
        };
        self.batches_left = self.batches_left.saturating_sub(1);
        let ledger = AssetId(self.args.ledger);
        let rows: Vec<TransferRow> = rows.iter().map(|row| TransferRow { ledger, ..*row }).collect();
        let is_pending = |row: &TransferRow| row.flags & transfer_flags::PENDING != 0;
        let request = Request::create_transfers(&rows);
        self.reserved = rows.first().is_some_and(is_pending).then_some(rows);
        request.map(Some).ok_or_else(|| Fault::Engine("a batch of too many rows".to_owned()))
    }
}

/// All rows of the batch were created.
fn check(reply: &Reply) -> Result<(), Fault> {
    let Reply::Created(made) = reply else {
        return Err(Fault::Engine(format!("a batch was answered {reply:?}")));
    };
    let BatchResult { count, exceptions, .. } = made;
    match exceptions.first() {
        Some(exception) if made.standing() != *count => {
            Err(Fault::Engine(format!("a transfer was not created: {exception:?}")))
        }
        _ => Ok(()),
    }
}

/// Everything that went out of the accounts, as a linearizable read has it.
fn debits_posted(client: &mut Client, args: &Args) -> Result<u64, Fault> {
    let ids: Vec<AccountId> = (0..u64::from(args.accounts)).map(account_id).collect();
    let mut sum = 0_u128;
    for ids in ids.chunks(ACCOUNTS_A_QUESTION) {
        let (_, accounts) = client.lookup_accounts(ids, Freshness::LINEARIZABLE)?;
        sum += accounts.iter().map(|account| account.debits_posted.0).sum::<u128>();
    }
    Ok(u64::try_from(sum).unwrap_or(u64::MAX))
}

/// What a single durable answer takes at the least on this machine, in this run.
fn print_floor(args: &Args, laps_ns: &[u32]) -> Result<(), Fault> {
    let median = |mut laps: Vec<u32>| {
        laps.sort_unstable();
        quantile(&laps, 500)
    };
    let tcp = median(floor::tcp_round_trips_ns(protocol::rows::TRANSFER_ROW_BYTES)?);
    let disk = median(floor::disk_writes_ns(&args.disk)?);
    let ratio = f64::from(quantile(laps_ns, 500)) / f64::from(tcp + disk);
    println!("floor: tcp_p50_us={} disk_p50_us={} ratio={ratio:.2}", tcp / 1_000, disk / 1_000);
    Ok(())
}

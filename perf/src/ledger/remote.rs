//! The same batches through the client library, TCP and a node. Timed is each batch from its sending to its answer, which says that it
//! is durable and applied; batches are made before, and what they moved is asked for at the end.

use std::collections::BTreeMap;

use client::{BatchResult, Client, Credentials, Freshness, Options, Reply, Request, Ticket};
use protocol::limits::{LEDGER_ROWS_MAX, READ_ROWS_MAX};
use protocol::rows::{AccountRow, TransferRow};
use protocol::{AccountId, AssetId, UnixNanos};

use super::{Args, Load, account_id, print_figures};
use crate::bank::account;
use crate::clock::Stopwatch;
use crate::fault::{Fault, agree};
use crate::floor;
use crate::quantile::quantile;

/// Accounts of one question.
const ACCOUNTS_A_QUESTION: usize = READ_ROWS_MAX;

/// A client with its batches.
struct Connection {
    client: Client,
    batches: Vec<Request>,
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
    let mut load = Load::new(args);
    let (connections, transfers) = make(args, addr, &mut load, client.now(), ledger)?;
    let watch = Stopwatch::start();
    let connections = drive(connections, args.inflight)?;
    let timed = watch.elapsed();
    agree("money moved", load.sum, debits_posted(&mut client, args)?.wrapping_sub(before))?;
    let mut laps: Vec<u32> = connections.into_iter().flat_map(|connection| connection.laps_ns).collect();
    print_figures(args, transfers, timed, &mut laps);
    if args.batch == 1 && args.inflight == 1 {
        print_floor(args, &laps)?;
    }
    Ok(())
}

fn connect(addr: &str) -> Result<Client, Fault> {
    Ok(Client::connect(Options::new(vec![addr.to_owned()], Credentials::demo()))?)
}

/// All batches, dealt to the connections in turn. Of two phases, a connection posts what it has reserved itself.
fn make(
    args: &Args,
    addr: &str,
    load: &mut Load,
    now: UnixNanos,
    ledger: AssetId,
) -> Result<(Vec<Connection>, u64), Fault> {
    let mut connections = Vec::new();
    for _ in 0..args.connections {
        connections.push(Connection { client: connect(addr)?, batches: Vec::new(), laps_ns: Vec::new() });
    }
    let mut transfers = 0;
    let request = |rows: &[TransferRow]| {
        let rows: Vec<TransferRow> = rows.iter().map(|row| TransferRow { ledger, ..*row }).collect();
        Request::create_transfers(&rows).ok_or_else(|| Fault::Engine("a batch of too many rows".to_owned()))
    };
    for connection in (0..connections.len()).cycle() {
        if transfers >= args.transfers {
            break;
        }
        let rows = load.batch(args.batch, now, args.two_phase);
        let batches = &mut connections[connection].batches;
        batches.push(request(&rows)?);
        transfers += u64::from(args.batch);
        if args.two_phase {
            batches.push(request(&load.posts(&rows, now))?);
            transfers += u64::from(args.batch);
        }
    }
    Ok((connections, transfers))
}

/// Each connection on a thread of its own, with so many batches in flight together.
fn drive(connections: Vec<Connection>, inflight: u32) -> Result<Vec<Connection>, Fault> {
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

impl Connection {
    fn run(mut self, inflight: u32) -> Result<Self, Fault> {
        let mut sent: BTreeMap<Ticket, Stopwatch> = BTreeMap::new();
        let mut batches = core::mem::take(&mut self.batches).into_iter();
        loop {
            while sent.len() < inflight as usize
                && let Some(batch) = batches.next()
            {
                let watch = Stopwatch::start();
                sent.insert(self.client.submit(batch)?, watch);
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

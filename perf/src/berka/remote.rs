//! The same rows through the client library, TCP and a node: a batch for each day; then the node is asked, of each account, how it stood
//! behind the batch of each day on which it moved.

use std::collections::{BTreeMap, BTreeSet};

use client::{
    At, BatchResult, Client, Credentials, Freshness, Options, Page, Reply, Request, Ticket, TransferIds,
};
use protocol::limits::LEDGER_ROWS_MAX;
use protocol::rows::TransferRow;
use protocol::time::NANOS_PER_MILLI;
use protocol::{AccountId, AssetId, Seq};

use super::{Args, Chart, Row, Tally, signed};
use crate::fault::{Fault, agree};

/// Questions under way.
const ASKED_MAX: usize = 1_000;
/// Transfers of a page.
const PAGE_ROWS: u32 = 100;

/// A node, and the accounts of this run: further runs have others.
struct Remote {
    client: Client,
    chart: Chart,
}

/// Sends everything, and asks for what became of it.
pub(super) fn run(args: &Args, addr: &str, rows: &[Row], owners: &BTreeSet<u64>) -> Result<Tally, Fault> {
    let client = Client::connect(Options::new(vec![addr.to_owned()], Credentials::demo()))?;
    let outside = u128::from(client.now().0 / NANOS_PER_MILLI) << 64;
    let chart =
        Chart { ledger: AssetId(args.ledger), outside: AccountId(outside), accounts_from: outside + 1 };
    let mut remote = Remote { client, chart };
    remote.create_accounts(owners)?;
    let days: Vec<&[Row]> = rows.chunk_by(|one, next| one.day == next.day).collect();
    let mut ids = TransferIds::new(outside.try_into().unwrap_or(u64::MAX));
    let mut ends = Vec::new();
    for of_day in &days {
        let mut end = Seq(0);
        for rows in of_day.chunks(LEDGER_ROWS_MAX) {
            let rows: Vec<TransferRow> = rows.iter().map(|row| remote.movement(row, &mut ids)).collect();
            let made = remote.client.create_transfers(&rows)?;
            all_stand(&made)?;
            end = made.seq;
        }
        ends.push(end);
    }
    let last = ends.last().copied().unwrap_or_default();
    let balances = remote.balances(&days, &ends, last)?;
    let mut tally = Tally::default();
    for (of_day, end) in days.iter().zip(&ends) {
        let of_end = balances.range((*end, 0)..=(*end, u64::MAX));
        tally.compare(of_day, &of_end.map(|((_, owner), balance)| (*owner, *balance)).collect());
    }
    remote.compare_pages(rows, owners, last)?;
    Ok(tally)
}

/// All rows of the batch stand in the ledger.
fn all_stand(made: &BatchResult) -> Result<(), Fault> {
    agree("rows that stand", made.count.into(), made.standing().into())
}

impl Remote {
    fn create_accounts(&mut self, owners: &BTreeSet<u64>) -> Result<(), Fault> {
        for rows in self.chart.accounts(owners).chunks(LEDGER_ROWS_MAX) {
            all_stand(&self.client.create_accounts(rows)?)?;
        }
        Ok(())
    }

    fn movement(&self, row: &Row, ids: &mut TransferIds) -> TransferRow {
        self.chart.movement(row, ids.next(self.client.now()))
    }

    /// Of each account that moved on a day, by the seq of that day's end.
    fn balances(
        &mut self,
        days: &[&[Row]],
        ends: &[Seq],
        last: Seq,
    ) -> Result<BTreeMap<(Seq, u64), i128>, Fault> {
        let of_days = days.iter().zip(ends);
        let wanted: BTreeSet<(Seq, u64)> =
            of_days.flat_map(|(of_day, end)| of_day.iter().map(|row| (*end, row.account))).collect();
        let freshness = Freshness { min_seq: last, linearizable: false };
        let (mut asked, mut found) = (BTreeMap::<Ticket, (Seq, u64)>::new(), BTreeMap::new());
        let mut wanted = wanted.into_iter();
        loop {
            while asked.len() < ASKED_MAX
                && let Some((end, owner)) = wanted.next()
            {
                let question = Request::balance_at(self.chart.id_of(owner), At::Seq(end), freshness);
                asked.insert(self.client.submit(question)?, (end, owner));
            }
            if asked.is_empty() {
                return Ok(found);
            }
            let (ticket, reply) = self.client.wait_for_any()?;
            let Reply::Balance(balance) = reply else {
                return Err(Fault::Engine(format!("a balance was answered {reply:?}")));
            };
            if let Some(of) = asked.remove(&ticket) {
                found.insert(of, signed(balance.credits_posted.0) - signed(balance.debits_posted.0));
            }
        }
    }

    /// Each account's pages list its transactions, and no other.
    fn compare_pages(&mut self, rows: &[Row], owners: &BTreeSet<u64>, last: Seq) -> Result<(), Fault> {
        let freshness = Freshness { min_seq: last, linearizable: false };
        let mut listed = 0;
        for owner in owners {
            let page = Page { limit: PAGE_ROWS, ..Page::of(self.chart.id_of(*owner)) };
            let sent = rows.iter().filter(|row| row.account == *owner);
            let mut found = self.client.all_account_transfers(page, freshness);
            for row in sent {
                let transfer = found.next().transpose()?.map(|state| state.transfer);
                let is_it = transfer
                    .is_some_and(|found| (found.user_data_64, found.amount.0) == (row.trans, row.amount));
                if !is_it {
                    let what =
                        format!("transaction {} of account {owner} is not where it was sent", row.trans);
                    return Err(Fault::Engine(what));
                }
                listed += 1;
            }
            listed += found.count() as u64;
        }
        agree("transactions on pages", rows.len() as u64, listed)
    }
}

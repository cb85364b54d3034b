//! An account's history, and a transfer's corrections, a page at a time.

use protocol::{AccountId, Seq, TransferId, UnixNanos};

use super::fault::ViewFault;
use super::leg::Leg;
use super::movement::{Balances, Cause, Change, Place, Side, Sums};
use super::read::{ReadFault, Snapshot, Transfer};
use super::run::{Blocks, Entry, Run, read_block, table_name};
use super::transfer_id::Stage;

/// Entries of a page at most.
pub const PAGE_ENTRIES_MAX: usize = 8_189;
/// Entries of a history that are looked at for one page: where fewer are wanted than there are, a page may be short, or empty,
/// and yet not the last.
const SCANNED_MAX: usize = 1 << 16;

/// Which of an account's transfers are wanted: all that are named have to apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From this time on; 0 = from the beginning.
    pub from: UnixNanos,
    /// Up to this time; `None` = up to now.
    pub to: Option<UnixNanos>,
    /// With this code.
    pub code: Option<u16>,
    /// From or to this account.
    pub counterparty: Option<AccountId>,
    /// Debits or credits alone.
    pub side: Option<Side>,
}

/// Which come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The oldest.
    Forwards,
    /// The newest.
    Backwards,
}

/// How far a list has been read: it stays right while new entries come. Two numbers for whoever carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Seq of the entry that was read last; never 0.
    pub seq: Seq,
    /// Its number among the entries of that seq.
    pub entry: u32,
}

/// Some entries of a list, and where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// As of which seq.
    pub seq: Seq,
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page begins; `None` = nothing is left as of that seq.
    pub next: Option<Cursor>,
}

/// A change of an account's balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceChange {
    /// Where.
    pub place: Place,
    /// The time of that record.
    pub time: UnixNanos,
    /// What made it.
    pub cause: Cause,
    /// The transfer; of an expiry, the one that was pending; 0 for what a trade posted.
    pub transfer: TransferId,
    /// On which side.
    pub side: Side,
    /// The other account.
    pub counterparty: AccountId,
    /// By how much.
    pub change: Change,
    /// Why.
    pub code: u16,
    /// Behind it.
    pub balances: Balances,
}

impl Cursor {
    const fn of(leg: &Leg) -> Self {
        let side = match leg.side {
            Side::Debit => 0,
            Side::Credit => 1,
        };
        Self { seq: leg.place.seq, entry: leg.place.step * 2 + side }
    }

    /// The key of that entry in the history of an account. Whatever a client sends is a place in that history.
    fn key(self, account: u32) -> u128 {
        let place = Place { seq: Seq(self.seq.0.min(Leg::SEQ_MAX)), step: self.entry / 2 };
        Leg::key_at(account, place, if self.entry.is_multiple_of(2) { Side::Debit } else { Side::Credit })
    }
}

/// What is looked for, in numbers.
struct Search {
    account: u32,
    /// Keys in the history of the account.
    low: u128,
    high: u128,
    order: Order,
    code: Option<u16>,
    counterparty: Option<u32>,
    side: Option<Side>,
    balances: bool,
}

impl Search {
    fn wants(&self, leg: &Leg) -> bool {
        (self.balances || !leg.expiry)
            && self.code.is_none_or(|code| code == leg.code)
            && self.counterparty.is_none_or(|account| account == leg.counterparty)
            && self.side.is_none_or(|side| side == leg.side)
    }
}

/// What was found, and where it goes on.
struct Found {
    legs: Vec<(Leg, Sums)>,
    next: Option<Cursor>,
}

impl Snapshot {
    /// An account's transfers. `None` = there is no such account.
    ///
    /// A row that settled a whole chain is listed once for each transfer of the chain that it settled on this account.
    ///
    /// # Errors
    /// [`ReadFault::View`].
    pub fn transfers(
        &self,
        account: AccountId,
        filter: &Filter,
        order: Order,
        cursor: Option<Cursor>,
        entries: usize,
    ) -> Result<Option<Page<Transfer>>, ReadFault> {
        let Some(mut search) = self.search(account, filter, order, cursor)? else { return Ok(None) };
        search.balances = false;
        let found = self.find(&search, entries)?;
        let transfers = found.legs.iter().map(|(leg, _)| self.transfer_of(&self.movement(leg.place)?));
        let entries = transfers.collect::<Result<_, ViewFault>>()?;
        Ok(Some(Page { seq: self.seq(), entries, next: found.next }))
    }

    /// Every change of an account's balances, with the balances behind it. `None` = there is no such account.
    ///
    /// # Errors
    /// [`ReadFault::View`].
    pub fn history(
        &self,
        account: AccountId,
        filter: &Filter,
        order: Order,
        cursor: Option<Cursor>,
        entries: usize,
    ) -> Result<Option<Page<BalanceChange>>, ReadFault> {
        let Some(search) = self.search(account, filter, order, cursor)? else { return Ok(None) };
        let found = self.find(&search, entries)?;
        let changes = found.legs.iter().map(|(leg, sums)| self.change_of(leg, sums));
        let entries = changes.collect::<Result<_, ViewFault>>()?;
        Ok(Some(Page { seq: self.seq(), entries, next: found.next }))
    }

    /// What corrected a transfer, in order. A transfer that the view has never seen may have been corrected, too.
    ///
    /// # Errors
    /// [`ReadFault::View`].
    pub fn corrections(
        &self,
        id: TransferId,
        cursor: Option<Cursor>,
        entries: usize,
    ) -> Result<Page<Transfer>, ReadFault> {
        let behind = cursor.map(|cursor| Place { seq: cursor.seq, step: cursor.entry });
        let fates = self.fates(id)?;
        let mut left = fates
            .iter()
            .filter(|fate| fate.stage == Stage::Corrected && behind.is_none_or(|place| fate.place > place));
        let mut corrections = Vec::new();
        for fate in left.by_ref().take(entries.clamp(1, PAGE_ENTRIES_MAX)) {
            corrections.push(self.transfer_of(&self.movement(fate.place)?)?);
        }
        let last = left.next().and(corrections.last()).map(|last| last.place);
        let next = last.map(|Place { seq, step }| Cursor { seq, entry: step });
        Ok(Page { seq: self.seq(), entries: corrections, next })
    }

    fn change_of(&self, leg: &Leg, sums: &Sums) -> Result<BalanceChange, ViewFault> {
        let movement = self.movement(leg.place)?;
        Ok(BalanceChange {
            place: leg.place,
            time: movement.time,
            cause: movement.cause,
            transfer: movement.id,
            side: leg.side,
            counterparty: self.id(leg.counterparty)?,
            change: leg.change,
            code: leg.code,
            balances: sums.balances(),
        })
    }

    fn search(
        &self,
        account: AccountId,
        filter: &Filter,
        order: Order,
        cursor: Option<Cursor>,
    ) -> Result<Option<Search>, ViewFault> {
        let Some(account) = self.number(account) else { return Ok(None) };
        let begin = Leg::key_at(account, Place::default(), Side::Debit);
        let behind = |seq: Seq| Leg::key_at(account, Place { seq: seq.next(), step: 0 }, Side::Debit);
        let mut low = match filter.from.0.checked_sub(1) {
            None => begin,
            Some(before) => behind(self.last_moved(UnixNanos(before))?),
        };
        let mut high = match filter.to {
            None => behind(self.seq()),
            Some(to) => behind(self.last_moved(to)?),
        };
        match (cursor.map(|cursor| cursor.key(account)), order) {
            (None, _) => {}
            (Some(at), Order::Forwards) => low = low.max(at + 1),
            (Some(at), Order::Backwards) => high = high.min(at),
        }
        // Nobody trades with an account that is not there.
        let counterparty = filter.counterparty.map(|account| self.number(account).unwrap_or(u32::MAX));
        let (code, side) = (filter.code, filter.side);
        Ok(Some(Search { account, low, high, order, code, counterparty, side, balances: true }))
    }

    fn find(&self, search: &Search, entries: usize) -> Result<Found, ViewFault> {
        let entries = entries.clamp(1, PAGE_ENTRIES_MAX);
        let mut found = Found { legs: Vec::new(), next: None };
        if search.low >= search.high {
            return Ok(found);
        }
        let mut before = Sums::default();
        let mut runs: Vec<(&Run, Sums)> = Vec::new();
        for run in &self.catalogue.legs {
            runs.push((run, before));
            if search.balances {
                before = before.plus(self.sums_of_run(run, search.account, self.seq())?);
            }
        }
        if search.order == Order::Backwards {
            runs.reverse();
        }
        let mut scanned = 0;
        for (run, before) in runs {
            if self.find_in_run(search, (run, before), entries, &mut scanned, &mut found)? {
                return Ok(found);
            }
        }
        found.next = None;
        Ok(found)
    }

    /// Returns whether the page is full.
    fn find_in_run(
        &self,
        search: &Search,
        (run, before): (&Run, Sums),
        entries: usize,
        scanned: &mut usize,
        found: &mut Found,
    ) -> Result<bool, ViewFault> {
        if !(run.low..=run.high).contains(&u128::from(search.account)) {
            return Ok(false);
        }
        let table = self.transaction.open_table(Blocks::new(&table_name::<Leg>(run.number)))?;
        let (low, high) = (search.low.to_be_bytes(), search.high.to_be_bytes());
        // The block before may hold the first of them.
        let begin = table.range::<&[u8]>(..=low.as_slice())?.next_back().transpose()?;
        let begin = begin.map_or_else(|| low.to_vec(), |(key, _)| key.value().to_vec());
        let mut blocks = table.range::<&[u8]>(begin.as_slice()..high.as_slice())?;
        loop {
            let block = match search.order {
                Order::Forwards => blocks.next(),
                Order::Backwards => blocks.next_back(),
            };
            let Some(block) = block else { return Ok(false) };
            let mut legs = read_block::<Leg>(block?.1.value())?;
            if search.order == Order::Backwards {
                legs.reverse();
            }
            for (leg, sums) in legs {
                if !(search.low..search.high).contains(&leg.key()) {
                    continue;
                }
                if found.legs.len() == entries || *scanned == SCANNED_MAX {
                    return Ok(true);
                }
                *scanned += 1;
                found.next = Some(Cursor::of(&leg));
                if search.wants(&leg) {
                    found.legs.push((leg, before.plus(sums)));
                }
            }
        }
    }
}

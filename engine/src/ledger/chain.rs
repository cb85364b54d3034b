//! What the rows of a linked chain did, so that all of it can be taken back: whatever a row changes goes through here.

use protocol::mutant::{Mutant, planted};
use protocol::rows::{RowAmount, RowResult, account_flags};
use protocol::{LedgerRefusal, Seq};

use super::Ledger;
use super::accounts::Column;
use super::batch::{Before, Results};
use super::recent::Recollection;
use crate::broken::Broken;

/// One change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A balance rose.
    Added { account: u32, column: Column, amount: u128 },
    /// A balance fell.
    Taken { account: u32, column: Column, amount: u128 },
    /// An account was closed, or opened again.
    Closed { account: u32, before: bool },
    /// An account was created.
    Created,
    /// A transfer became pending.
    Reserved { slot: u32 },
    /// A pending transfer ended, perhaps as the first of its chain.
    Ended { slot: u32, is_first: bool },
    /// A transfer was remembered.
    Remembered(Recollection),
}

/// The chain that the rows of a batch are in, if they are in one.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Its first row, and what had become of the batch before.
    open: Option<(u32, Mark)>,
    /// A row has failed: what follows in the chain fails with it.
    broken: bool,
    steps: Vec<Step>,
    /// The pending transfer that it made last.
    last_reserved: Option<u32>,
    /// Pending transfers that it ended, in order.
    pub(super) ended: Vec<u32>,
    /// Parts of chains that the batch has looked at to settle them as a whole.
    pub(super) parts_seen: usize,
}

/// How far the results of a batch were.
#[derive(Clone, Copy, Debug)]
struct Mark {
    created: u32,
    amounts: usize,
    balances: u64,
}

/// How many rows the chain has that these begin with, if each was executed before and all of them at one seq; otherwise 0. Of each row:
/// whether it is linked, and where it was executed.
pub(super) fn executed_as_one(rows: impl Iterator<Item = (bool, Option<Seq>)>) -> usize {
    let mut seq = None;
    for (length, (is_linked, executed)) in (1_usize..).zip(rows) {
        if executed.is_none() || *seq.get_or_insert(executed) != executed {
            return 0;
        }
        if !is_linked {
            return length;
        }
    }
    // It goes on where the batch ends.
    0
}

impl Chain {
    /// Whether a row is expected that belongs to it.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Goes on to the row of `index`; refused if it cannot be executed.
    pub(super) fn enter(
        &mut self,
        is_linked: bool,
        is_last: bool,
        index: u32,
        results: &Results,
    ) -> Result<(), LedgerRefusal> {
        if is_linked && self.open.is_none() {
            let mark =
                Mark { created: results.created, amounts: results.amounts.len(), balances: results.balances };
            self.open = Some((index, mark));
        }
        if is_linked && is_last {
            return Err(LedgerRefusal::LinkedEventChainOpen);
        }
        if self.broken { Err(LedgerRefusal::LinkedEventFailed) } else { Ok(()) }
    }

    /// The pending transfer that was made before this one in the same chain.
    pub(super) const fn reserve(&mut self, slot: u32) -> Option<u32> {
        if self.open.is_some() { self.last_reserved.replace(slot) } else { None }
    }

    /// Writes a change down, where it may have to be taken back.
    #[inline]
    pub(super) fn log(&mut self, step: Step) {
        if self.open.is_some() {
            self.steps.push(step);
        }
    }
}

impl Ledger {
    /// A balance rises.
    #[inline]
    pub(super) fn add(
        &mut self,
        account: u32,
        column: Column,
        amount: u128,
        chain: &mut Chain,
    ) -> Result<(), Broken> {
        chain.log(Step::Added { account, column, amount });
        self.accounts.add_to(account, column, amount)
    }

    /// A balance falls.
    #[inline]
    pub(super) fn take(
        &mut self,
        account: u32,
        column: Column,
        amount: u128,
        chain: &mut Chain,
    ) -> Result<(), Broken> {
        chain.log(Step::Taken { account, column, amount });
        self.accounts.take_from(account, column, amount)
    }

    /// An account is closed, or opened again.
    pub(super) fn set_closed(&mut self, account: u32, closed: bool, chain: &mut Chain) {
        let before = self.accounts.at(account).has(account_flags::CLOSED);
        chain.log(Step::Closed { account, before });
        self.accounts.set_closed(account, closed);
    }

    /// A row is refused, with what is remembered of it if it was judged before: what its chain did is taken back.
    #[cold]
    pub(super) fn refuse_row(
        &mut self,
        chain: &mut Chain,
        index: u32,
        (refusal, before): (LedgerRefusal, Option<Before>),
        results: &mut Results,
    ) -> Result<(), Broken> {
        self.fail_row(chain, index, results)?;
        let seq = before.map_or(results.seq, |before| before.seq);
        results.exceptions.push(RowResult { index, refusal, seq });
        let amount = before.and_then(|before| before.amount);
        results.amounts.extend(amount.map(|amount| RowAmount { index, amount }));
        Ok(())
    }

    /// The row of `index` has failed: what its chain did is taken back, and its rows before fail with it.
    fn fail_row(&mut self, chain: &mut Chain, index: u32, results: &mut Results) -> Result<(), Broken> {
        let Some((first, mark)) = chain.open.filter(|_| !chain.broken) else { return Ok(()) };
        chain.broken = true;
        chain.last_reserved = None;
        chain.ended.clear();
        while let Some(step) = chain.steps.pop() {
            if !planted(Mutant::FailedChainLeft) {
                self.take_back(step)?;
            }
        }
        results.created = mark.created;
        results.amounts.truncate(mark.amounts);
        results.balances = mark.balances;
        let refusal = LedgerRefusal::LinkedEventFailed;
        let seq = results.seq;
        results.exceptions.extend((first..index).map(|index| RowResult { index, refusal, seq }));
        Ok(())
    }

    fn take_back(&mut self, step: Step) -> Result<(), Broken> {
        match step {
            Step::Added { account, column, amount } => self.accounts.take_from(account, column, amount),
            Step::Taken { account, column, amount } => self.accounts.add_to(account, column, amount),
            Step::Closed { account, before } => {
                self.accounts.set_closed(account, before);
                Ok(())
            }
            Step::Created => {
                self.accounts.remove_last();
                Ok(())
            }
            Step::Reserved { slot } => {
                self.pendings.remove(slot);
                Ok(())
            }
            Step::Ended { slot, is_first } => {
                self.pendings.go_on(slot, is_first);
                Ok(())
            }
            Step::Remembered(recollection) => {
                self.recent.forget(recollection);
                Ok(())
            }
        }
    }

    /// The last row of a chain is done, or one that is in none: what it ended is removed.
    pub(super) fn end_chain(&mut self, chain: &mut Chain) {
        chain.last_reserved = None;
        for slot in chain.ended.drain(..) {
            self.remove_ended(slot);
        }
        chain.steps.clear();
        chain.open = None;
        chain.broken = false;
    }
}

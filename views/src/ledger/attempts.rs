//! When standing orders were executed, and when that was refused and why.

use protocol::events::StandingOrderAttempted;
use protocol::{AccountId, LedgerRefusal, Seq, StandingOrderId, TransferId, UnixNanos};
use redb::TableDefinition;

use super::fault::ViewFault;
use super::page::{Cursor, Page};
use super::read::{ReadFault, Snapshot};
use super::run::{seal, unseal};
use crate::pack::{Damaged, Unpack, put_u64, put_u128};

/// By order, seq, and place among those of that seq.
pub(crate) const ATTEMPTS: TableDefinition<'static, (u64, u64, u32), &'static [u8]> =
    TableDefinition::new("attempts");

/// An attempt to execute a standing order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Behind the record of this seq.
    pub seq: Seq,
    /// Its place among those of that seq, of all orders, from 0.
    pub index: u32,
    /// The time of that record.
    pub time: UnixNanos,
    /// Of which order, and what came of it.
    pub event: StandingOrderAttempted,
}

impl Attempt {
    pub(crate) const fn key(&self) -> (u64, u64, u32) {
        (self.event.order.0, self.seq.0, self.index)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let StandingOrderAttempted {
            order: _,
            debit_account,
            credit_account,
            occurrence,
            attempt,
            transfer,
            refusal,
            retried,
            next_due_ns,
        } = self.event;
        let mut out = vec![0; 4];
        put_u64(&mut out, self.time.0);
        put_u128(&mut out, debit_account.0);
        put_u128(&mut out, credit_account.0);
        put_u64(&mut out, occurrence.into());
        put_u128(&mut out, transfer.0);
        out.extend([attempt, refusal.map_or(0, LedgerRefusal::code), retried.into()]);
        put_u64(&mut out, next_due_ns);
        seal(&mut out);
        out
    }

    pub(crate) fn read((order, seq, index): (u64, u64, u32), bytes: &[u8]) -> Result<Self, Damaged> {
        let mut from = Unpack::new(unseal(bytes)?);
        let time = UnixNanos(from.u64()?);
        let (debit_account, credit_account) = (AccountId(from.u128()?), AccountId(from.u128()?));
        let (occurrence, transfer) = (from.u32()?, TransferId(from.u128()?));
        let [attempt, refusal, retried] = from.array()?;
        let refusal = match refusal {
            0 => None,
            code => Some(LedgerRefusal::from_code(code).ok_or(Damaged)?),
        };
        let retried = match retried {
            0 => false,
            1 => true,
            _ => return Err(Damaged),
        };
        let event = StandingOrderAttempted {
            order: StandingOrderId(order),
            debit_account,
            credit_account,
            occurrence,
            attempt,
            transfer,
            refusal,
            retried,
            next_due_ns: from.u64()?,
        };
        if from.is_empty() { Ok(Self { seq: Seq(seq), index, time, event }) } else { Err(Damaged) }
    }
}

impl Snapshot {
    /// Attempts to execute a standing order, in order, from a place on; `limit` at most. The next page begins at [`Page::next`].
    ///
    /// # Errors
    /// [`ReadFault::View`].
    pub fn attempts(
        &self,
        order: StandingOrderId,
        from: Cursor,
        limit: usize,
    ) -> Result<Page<Attempt>, ReadFault> {
        self.find_attempts(order, from, limit).map_err(ReadFault::View)
    }

    fn find_attempts(
        &self,
        order: StandingOrderId,
        from: Cursor,
        limit: usize,
    ) -> Result<Page<Attempt>, ViewFault> {
        let table = self.transaction.open_table(ATTEMPTS)?;
        let (mut entries, mut next) = (Vec::new(), None);
        for row in table.range((order.0, from.seq.0, from.entry)..=(order.0, u64::MAX, u32::MAX))? {
            let (key, value) = row?;
            let (_, seq, entry) = key.value();
            if entries.len() == limit {
                next = Some(Cursor { seq: Seq(seq), entry });
                break;
            }
            entries.push(Attempt::read(key.value(), value.value())?);
        }
        Ok(Page { seq: self.seq(), entries, next })
    }
}

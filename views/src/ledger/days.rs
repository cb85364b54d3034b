//! Business dates: with which record each began. What moved before, and what moved with that record before it began, belongs to earlier ones.

use protocol::Seq;
use redb::{ReadableTable, TableDefinition};

use super::fault::ViewFault;

/// Business date, in days since 1970-01-01 → the seq with which it began.
pub(crate) const DAYS: TableDefinition<'static, u32, u64> = TableDefinition::new("days");

/// The present one.
#[derive(Default)]
pub(crate) struct Days {
    /// 0 = there is none.
    business_date: u32,
    /// Begun since the file was written last.
    begun: Vec<(u32, Seq)>,
}

impl Days {
    pub(crate) fn restore(table: &impl ReadableTable<u32, u64>) -> Result<Self, ViewFault> {
        Ok(Self { business_date: last(table)?, begun: Vec::new() })
    }

    /// 0 = there is none.
    pub(crate) const fn business_date(&self) -> u32 {
        self.business_date
    }

    /// It goes on with this record, if it does.
    pub(crate) fn begin(&mut self, business_date: u32, seq: Seq) {
        if business_date != self.business_date {
            self.business_date = business_date;
            self.begun.push((business_date, seq));
        }
    }

    /// Those that have begun since the last time.
    pub(crate) fn take_begun(&mut self) -> impl Iterator<Item = (u32, Seq)> + use<> {
        std::mem::take(&mut self.begun).into_iter()
    }
}

/// The present business date; 0 = there is none.
pub(crate) fn last(table: &impl ReadableTable<u32, u64>) -> Result<u32, ViewFault> {
    Ok(table.last()?.map_or(0, |(date, _)| date.value()))
}

/// The last seq of `date` and of those before it; `None` = it has not ended.
pub(crate) fn end(table: &impl ReadableTable<u32, u64>, date: u32) -> Result<Option<Seq>, ViewFault> {
    use std::ops::Bound::{Excluded, Unbounded};
    let next = table.range((Excluded(date), Unbounded))?.next().transpose()?;
    Ok(next.map(|(_, seq)| Seq(seq.value())))
}

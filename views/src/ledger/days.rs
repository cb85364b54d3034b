//! Business dates: with which record each began, and when. What moved before, and what moved with that record before it began, belongs to earlier ones.

use protocol::{Seq, UnixNanos};
use redb::{ReadableTable, TableDefinition};

use super::fault::ViewFault;
use super::read::At;

/// Business date, in days since 1970-01-01 → seq and time of the record with which it began.
pub(crate) const DAYS: TableDefinition<'static, u32, (u64, u64)> = TableDefinition::new("days");

/// The present one.
#[derive(Default)]
pub(crate) struct Days {
    /// 0 = there is none.
    business_date: u32,
    /// Begun since the file was written last.
    begun: Vec<(u32, (Seq, UnixNanos))>,
}

impl Days {
    pub(crate) fn restore(table: &impl ReadableTable<u32, (u64, u64)>) -> Result<Self, ViewFault> {
        Ok(Self { business_date: present(table, At::Now)?, begun: Vec::new() })
    }

    /// 0 = there is none.
    pub(crate) const fn business_date(&self) -> u32 {
        self.business_date
    }

    /// It goes on with this record, if it does.
    pub(crate) fn begin(&mut self, business_date: u32, seq: Seq, time: UnixNanos) {
        if business_date != self.business_date {
            self.business_date = business_date;
            self.begun.push((business_date, (seq, time)));
        }
    }

    /// Those that have begun since the last time.
    pub(crate) fn take_begun(&mut self) -> impl Iterator<Item = (u32, (Seq, UnixNanos))> + use<> {
        std::mem::take(&mut self.begun).into_iter()
    }
}

/// The business date that was the present one; 0 = there was none.
pub(crate) fn present(table: &impl ReadableTable<u32, (u64, u64)>, at: At) -> Result<u32, ViewFault> {
    for row in table.iter()?.rev() {
        let (date, begun) = row?;
        let (seq, time) = begun.value();
        let has_begun = match at {
            At::Now => true,
            At::Seq(at) => seq <= at.0,
            At::Instant(at) => time <= at.0,
        };
        if has_begun {
            return Ok(date.value());
        }
    }
    Ok(0)
}

/// The last seq of `date` and of those before it; `None` = it has not ended.
pub(crate) fn end(table: &impl ReadableTable<u32, (u64, u64)>, date: u32) -> Result<Option<Seq>, ViewFault> {
    use std::ops::Bound::{Excluded, Unbounded};
    let next = table.range((Excluded(date), Unbounded))?.next().transpose()?;
    Ok(next.map(|(_, begun)| Seq(begun.value().0)))
}

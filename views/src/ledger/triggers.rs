//! Which conditions of balance monitors became true, and when.

use protocol::events::MonitorTriggered;
use protocol::{AccountClass, AccountId, Amount, AssetId, MonitorId, Seq, UnixNanos};
use redb::TableDefinition;

use super::fault::ViewFault;
use super::page::{Cursor, Page};
use super::read::{ReadFault, Snapshot};
use super::run::{seal, unseal};
use crate::pack::{Damaged, Unpack, put_u64, put_u128};

/// By seq, and place among those of that seq.
pub(crate) const TRIGGERS: TableDefinition<'static, (u64, u32), &'static [u8]> =
    TableDefinition::new("triggers");

/// A condition that became true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Behind the record of this seq.
    pub seq: Seq,
    /// Its place among those of that seq, from 0.
    pub index: u32,
    /// The time of that record.
    pub time: UnixNanos,
    /// Of which monitor, and what was found.
    pub event: MonitorTriggered,
}

impl Trigger {
    pub(crate) fn write(&self) -> Vec<u8> {
        let MonitorTriggered { monitor, account, ledger, code, class, value, negative } = self.event;
        let mut out = vec![0; 4];
        put_u64(&mut out, self.time.0);
        put_u64(&mut out, monitor.0);
        put_u128(&mut out, account.0);
        put_u64(&mut out, ledger.0.into());
        put_u64(&mut out, code.into());
        out.extend([class.code(), negative.into()]);
        put_u128(&mut out, value.0);
        seal(&mut out);
        out
    }

    pub(crate) fn read((seq, index): (u64, u32), bytes: &[u8]) -> Result<Self, Damaged> {
        let mut from = Unpack::new(unseal(bytes)?);
        let time = UnixNanos(from.u64()?);
        let (monitor, account) = (MonitorId(from.u64()?), AccountId(from.u128()?));
        let ledger = AssetId(from.u32()?);
        let code = u16::try_from(from.u64()?).map_err(|_| Damaged)?;
        let class = AccountClass::from_code(from.u8()?).ok_or(Damaged)?;
        let negative = match from.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Damaged),
        };
        let value = Amount(from.u128()?);
        let event = MonitorTriggered { monitor, account, ledger, code, class, value, negative };
        if from.is_empty() { Ok(Self { seq: Seq(seq), index, time, event }) } else { Err(Damaged) }
    }
}

impl Snapshot {
    /// Conditions that became true, in order, from a place on; `limit` at most. The next page begins at [`Page::next`].
    ///
    /// # Errors
    /// [`ReadFault::View`].
    pub fn triggers(&self, from: Cursor, limit: usize) -> Result<Page<Trigger>, ReadFault> {
        self.find_triggers(from, limit).map_err(ReadFault::View)
    }

    fn find_triggers(&self, from: Cursor, limit: usize) -> Result<Page<Trigger>, ViewFault> {
        let table = self.transaction.open_table(TRIGGERS)?;
        let (mut entries, mut next) = (Vec::new(), None);
        for row in table.range((from.seq.0, from.entry)..)? {
            let (key, value) = row?;
            let (seq, entry) = key.value();
            if entries.len() == limit {
                next = Some(Cursor { seq: Seq(seq), entry });
                break;
            }
            entries.push(Trigger::read((seq, entry), value.value())?);
        }
        Ok(Page { seq: self.seq(), entries, next })
    }
}

//! What the file holds, as of which seq: one value, written by the same transaction as all that it speaks of.

use protocol::hash::Hash;
use protocol::{Seq, UnixNanos};
use redb::{ReadableTable, TableDefinition};

use super::fault::ViewFault;
use super::run::{Run, seal, unseal};
use super::shift::Reach;
use crate::pack::{Damaged, Unpack, put_u64, put_u128};

/// Version of all bytes in the file: another one is thrown away and built anew.
pub(crate) const FORMAT_VERSION: u32 = 6;

pub(crate) const CATALOGUE: TableDefinition<'static, (), &'static [u8]> = TableDefinition::new("catalogue");

/// The place of the feed, and its runs from the oldest to the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Catalogue {
    /// Everything up to here is in the file.
    pub(crate) seq: Seq,
    /// The time of that record.
    pub(crate) time: UnixNanos,
    /// The rolling hash over all effects up to there: whether a log goes on from here.
    pub(crate) effects: Hash,
    pub(crate) accounts: u32,
    /// Everything that ever moved.
    pub(crate) movements: u64,
    pub(crate) next_run: u32,
    /// Of all shifts.
    pub(crate) shifted: Reach,
    pub(crate) legs: Vec<Run>,
    pub(crate) ids: Vec<Run>,
    pub(crate) shifts: Vec<Run>,
}

impl Catalogue {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        put_u64(&mut out, self.seq.0);
        put_u64(&mut out, self.time.0);
        out.extend_from_slice(&self.effects.0);
        put_u64(&mut out, self.accounts.into());
        put_u64(&mut out, self.movements);
        put_u64(&mut out, self.next_run.into());
        put_u64(&mut out, self.shifted.back_days.into());
        put_u64(&mut out, self.shifted.ahead_days.into());
        for runs in [&self.legs, &self.ids, &self.shifts] {
            put_u64(&mut out, u64::try_from(runs.len()).unwrap_or(u64::MAX));
            for run in runs {
                put_u64(&mut out, run.number.into());
                put_u64(&mut out, run.entries);
                put_u128(&mut out, run.low);
                put_u128(&mut out, run.high);
                put_u64(&mut out, run.first_seq);
            }
        }
        seal(&mut out);
        out
    }

    /// `None` = of another version.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Damaged> {
        let mut from = Unpack::new(unseal(bytes)?);
        if u32::from_le_bytes(from.array()?) != FORMAT_VERSION {
            return Ok(None);
        }
        let mut catalogue = Self {
            seq: Seq(from.u64()?),
            time: UnixNanos(from.u64()?),
            effects: Hash(from.array()?),
            accounts: from.u32()?,
            movements: from.u64()?,
            next_run: from.u32()?,
            shifted: Reach { back_days: from.u32()?, ahead_days: from.u32()? },
            ..Self::default()
        };
        for runs in [&mut catalogue.legs, &mut catalogue.ids, &mut catalogue.shifts] {
            for _ in 0..from.u64()? {
                let (number, entries) = (from.u32()?, from.u64()?);
                let (low, high, first_seq) = (from.u128()?, from.u128()?, from.u64()?);
                runs.push(Run { number, entries, low, high, first_seq });
            }
        }
        if from.is_empty() { Ok(Some(catalogue)) } else { Err(Damaged) }
    }

    /// The one in the file.
    pub(crate) fn find(table: &impl ReadableTable<(), &'static [u8]>) -> Result<Option<Self>, ViewFault> {
        match table.get(())? {
            None => Ok(None),
            Some(bytes) => Ok(Self::read(bytes.value())?),
        }
    }
}

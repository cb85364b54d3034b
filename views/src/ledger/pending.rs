//! Transfers that are pending: what settling or expiring one moves is not in the row or event that does it.

use std::collections::BTreeMap;

use protocol::{Seq, TransferId};
use redb::TableDefinition;

use super::run::{seal, unseal};
use crate::pack::{Damaged, Unpack, put_u64, put_u128};

pub(crate) const PENDING: TableDefinition<'static, u128, &'static [u8]> = TableDefinition::new("pending");

/// A linked chain: the record, and the row with which it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Chain {
    pub(crate) seq: Seq,
    pub(crate) first: u32,
}

/// A transfer that is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) debit: u32,
    pub(crate) credit: u32,
    pub(crate) amount: u128,
    pub(crate) code: u16,
    pub(crate) flags: u16,
    /// That of what posts it, unless that has another; 0 = it has none.
    pub(crate) value_date: u32,
    /// Where it became pending; a row that is linked to no other is a chain of its own.
    pub(crate) chain: Chain,
    /// Its row.
    pub(crate) index: u32,
}

impl Reservation {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        put_u64(&mut out, self.debit.into());
        put_u64(&mut out, self.credit.into());
        put_u128(&mut out, self.amount);
        put_u64(&mut out, self.code.into());
        put_u64(&mut out, self.flags.into());
        put_u64(&mut out, self.value_date.into());
        put_u64(&mut out, self.chain.seq.0);
        put_u64(&mut out, self.chain.first.into());
        put_u64(&mut out, self.index.into());
        seal(&mut out);
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut from = Unpack::new(unseal(bytes)?);
        let (debit, credit, amount) = (from.u32()?, from.u32()?, from.u128()?);
        let (code, flags) = (from.u16()?, from.u16()?);
        let value_date = from.u32()?;
        let chain = Chain { seq: Seq(from.u64()?), first: from.u32()? };
        let index = from.u32()?;
        let reservation = Self { debit, credit, amount, code, flags, value_date, chain, index };
        if from.is_empty() { Ok(reservation) } else { Err(Damaged) }
    }
}

/// All of them: as many as the ledger's limit lets be pending at a time.
#[derive(Default)]
pub(crate) struct Pending {
    open: BTreeMap<TransferId, Reservation>,
    chains: BTreeMap<(Chain, u32), TransferId>,
    /// Begun or ended since the file was written last.
    changed: Vec<TransferId>,
}

impl Pending {
    pub(crate) fn restore(&mut self, id: TransferId, reservation: Reservation) {
        self.open.insert(id, reservation);
        self.chains.insert((reservation.chain, reservation.index), id);
    }

    pub(crate) fn begin(&mut self, id: TransferId, reservation: Reservation) {
        self.restore(id, reservation);
        self.changed.push(id);
    }

    pub(crate) fn end(&mut self, id: TransferId) -> Option<Reservation> {
        let ended = self.open.remove(&id)?;
        self.chains.remove(&(ended.chain, ended.index));
        self.changed.push(id);
        Some(ended)
    }

    /// All that are pending of the chain in which `id` became pending, in the order of the rows.
    pub(crate) fn chain_of(&self, id: TransferId) -> Vec<TransferId> {
        let Some(chain) = self.open.get(&id).map(|reservation| reservation.chain) else { return Vec::new() };
        self.chains.range((chain, 0)..=(chain, u32::MAX)).map(|(_, &id)| id).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// What changed since the last time, each with what it is now; `None` = pending no more.
    pub(crate) fn take_changed(&mut self) -> impl Iterator<Item = (TransferId, Option<&Reservation>)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().map(|id| (id, self.open.get(&id)))
    }
}

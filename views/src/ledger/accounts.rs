//! Accounts, numbered in the order in which they were created: the number of one stands for its id in everything that moves.

use std::collections::BTreeMap;

use protocol::{AccountId, AssetId, ClientId, Field, Seq, UnixNanos, put};
use redb::TableDefinition;

use super::run::{seal, unseal};
use crate::pack::Damaged;

pub(crate) const ACCOUNTS: TableDefinition<'static, u32, &'static [u8]> = TableDefinition::new("accounts");

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) id: AccountId,
    pub(crate) owner: ClientId,
    pub(crate) ledger: AssetId,
    pub(crate) code: u16,
    /// As created.
    pub(crate) flags: u16,
    pub(crate) class: u16,
    pub(crate) user_data_128: u128,
    pub(crate) user_data_64: u64,
    pub(crate) user_data_32: u32,
    pub(crate) seq: Seq,
    pub(crate) time: UnixNanos,
}

const BYTES: usize = 82;

impl Definition {
    /// Fields one behind the other, under a checksum.
    pub(crate) fn write(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        put(&mut bytes, 4, &self.id.0.to_le_bytes());
        put(&mut bytes, 20, &self.owner.0.to_le_bytes());
        put(&mut bytes, 28, &self.ledger.0.to_le_bytes());
        put(&mut bytes, 32, &self.code.to_le_bytes());
        put(&mut bytes, 34, &self.flags.to_le_bytes());
        put(&mut bytes, 36, &self.class.to_le_bytes());
        put(&mut bytes, 38, &self.user_data_128.to_le_bytes());
        put(&mut bytes, 54, &self.user_data_64.to_le_bytes());
        put(&mut bytes, 62, &self.user_data_32.to_le_bytes());
        put(&mut bytes, 66, &self.seq.0.to_le_bytes());
        put(&mut bytes, 74, &self.time.0.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        unseal(bytes)?;
        if bytes.len() != BYTES {
            return Err(Damaged);
        }
        Ok(Self {
            id: AccountId(bytes.u128_at(4)),
            owner: ClientId(bytes.u64_at(20)),
            ledger: AssetId(bytes.u32_at(28)),
            code: bytes.u16_at(32),
            flags: bytes.u16_at(34),
            class: bytes.u16_at(36),
            user_data_128: bytes.u128_at(38),
            user_data_64: bytes.u64_at(54),
            user_data_32: bytes.u32_at(62),
            seq: Seq(bytes.u64_at(66)),
            time: UnixNanos(bytes.u64_at(74)),
        })
    }
}

const PAGE: usize = 4_096;
const EMPTY: u32 = u32::MAX;

/// The only thing that is in memory for each account: its id by its number, and its number by its id.
#[derive(Default)]
pub(crate) struct Accounts {
    /// In pages, so that growing copies nothing and leaves little room unused.
    pages: Vec<Box<[AccountId; PAGE]>>,
    count: u32,
    /// Open addressing: numbers, at most seven of eight slots taken.
    slots: Vec<u32>,
    /// Through which orders settle.
    settlement: BTreeMap<(ClientId, AssetId), u32>,
}

impl Accounts {
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// The id of an account.
    pub(crate) fn id(&self, number: u32) -> Option<AccountId> {
        let at = usize::try_from(number).ok()?;
        self.pages.get(at / PAGE).filter(|_| number < self.count)?.get(at % PAGE).copied()
    }

    /// The number of an account.
    #[inline]
    pub(crate) fn number(&self, id: AccountId) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = spread(id) & mask;
        loop {
            let number = *self.slots.get(at)?;
            if number == EMPTY {
                return None;
            }
            if self.id(number) == Some(id) {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    /// The account through which orders of a client settle in an asset.
    pub(crate) fn settlement(&self, owner: ClientId, ledger: AssetId) -> Option<u32> {
        self.settlement.get(&(owner, ledger)).copied()
    }

    /// Adds an account whose id is not there yet. Returns its number.
    pub(crate) fn add(&mut self, definition: &Definition) -> u32 {
        let number = self.count;
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if at.is_multiple_of(PAGE) {
            self.pages.push(Box::new([AccountId(0); PAGE]));
        }
        if let Some(id) = self.pages.get_mut(at / PAGE).and_then(|page| page.get_mut(at % PAGE)) {
            *id = definition.id;
        }
        self.count += 1;
        if (at + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        } else {
            self.take_slot(definition.id, number);
        }
        if definition.flags & protocol::rows::account_flags::SETTLEMENT != 0 {
            self.settlement.insert((definition.owner, definition.ledger), number);
        }
        number
    }

    fn take_slot(&mut self, id: AccountId, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = spread(id) & mask;
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = number;
    }

    fn grow(&mut self) {
        self.slots = vec![EMPTY; (self.slots.len() * 2).max(16)];
        for number in 0..self.count {
            if let Some(id) = self.id(number) {
                self.take_slot(id, number);
            }
        }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        const SETTLEMENT_BYTES: usize = 40;
        self.pages.len() * PAGE * size_of::<AccountId>()
            + self.slots.capacity() * size_of::<u32>()
            + self.settlement.len() * SETTLEMENT_BYTES
    }
}

/// Spreads ids that count upwards, or differ in their high bits alone, over the slots.
fn spread(id: AccountId) -> usize {
    let bytes = id.0.to_le_bytes();
    let (low, high) = (bytes[..].u64_at(0), bytes[..].u64_at(8));
    let mixed = (low ^ high.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    usize::try_from(mixed ^ (mixed >> 32)).unwrap_or_default()
}

//! Sorted runs: what was fed in one go, sorted by key and packed into blocks, and later merged with its neighbours.
//!
//! A B-tree of single entries rewrites a page for nearly every entry once there are many accounts; a run is written from front to
//! back. A run is a table of its own: key of its first entry → block.
//!
//! ```text
//! crc32c u32 over the rest | entries u16 | what went before in the run, of the account that goes on | the entries
//! ```

use protocol::hash::crc32c;
use redb::{ReadableTable, TableDefinition};

use super::fault::ViewFault;
use crate::pack::{Damaged, Unpack};

/// Bytes of a block's entries, roughly: with its key it fills two pages of redb. Small in tests, which have few entries.
pub(crate) const BLOCK_BYTES: usize = if cfg!(test) { 150 } else { 7_900 };
const BLOCK_ENTRIES_MAX: u16 = 4_096;
const HEAD_BYTES: usize = 6;

/// Something of which there are runs.
pub(crate) trait Entry: Copy {
    /// Names its tables.
    const RUNS: &'static str;
    type Key: Ord + Copy;
    /// What entries that go on from each other add up to, from the beginning of the run.
    type Carry: Copy + Default;

    fn key(&self) -> Self::Key;
    /// In the order of keys.
    fn key_bytes(key: Self::Key) -> impl AsRef<[u8]>;
    /// Of the key, what says roughly where it lies.
    fn scale(&self) -> u128;
    /// Whether the sum goes on from the entry before, rather than beginning at nothing.
    fn goes_on(&self, before: &Self) -> bool;
    fn add_to(&self, carry: &mut Self::Carry);
    fn pack(&self, before: Option<&Self>, out: &mut Vec<u8>);
    fn unpack(before: Option<&Self>, from: &mut Unpack<'_>) -> Result<Self, Damaged>;
    fn pack_carry(carry: &Self::Carry, out: &mut Vec<u8>);
    fn unpack_carry(from: &mut Unpack<'_>) -> Result<Self::Carry, Damaged>;
}

/// A table of blocks.
pub(crate) type Blocks<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// The name of a run's table.
pub(crate) fn table_name<E: Entry>(run: u32) -> String {
    format!("{}-{run}", E::RUNS)
}

/// The run of which a table is, if it is one of these.
pub(crate) fn run_of<E: Entry>(table: &str) -> Option<u32> {
    table.strip_prefix(E::RUNS)?.strip_prefix('-')?.parse().ok()
}

/// A run, as the catalogue lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) number: u32,
    pub(crate) entries: u64,
    /// The lowest and the highest scale of its entries.
    pub(crate) low: u128,
    pub(crate) high: u128,
    /// The first seq whose movements are in it; in those before it there are only earlier ones.
    pub(crate) first_seq: u64,
}

/// Bytes under a checksum.
pub(crate) fn seal(block: &mut [u8]) {
    let (crc, rest) = block.split_at_mut(4);
    crc.copy_from_slice(&crc32c(rest).to_le_bytes());
}

/// The bytes under a checksum that is right.
pub(crate) fn unseal(block: &[u8]) -> Result<&[u8], Damaged> {
    let (crc, rest) = block.split_first_chunk::<4>().ok_or(Damaged)?;
    if crc32c(rest) == u32::from_le_bytes(*crc) { Ok(rest) } else { Err(Damaged) }
}

/// A block's entries, each with what is added up behind it.
pub(crate) fn read_block<E: Entry>(block: &[u8]) -> Result<Vec<(E, E::Carry)>, Damaged> {
    let mut reader = BlockReader::new(block)?;
    let mut entries = Vec::with_capacity(reader.left.into());
    while let Some(entry) = reader.next()? {
        entries.push(entry);
    }
    Ok(entries)
}

/// Reads a block's entries one by one.
pub(crate) struct BlockReader<'a, E: Entry> {
    from: Unpack<'a>,
    left: u16,
    before: Option<E>,
    carry: E::Carry,
}

impl<'a, E: Entry> BlockReader<'a, E> {
    pub(crate) fn new(block: &'a [u8]) -> Result<Self, Damaged> {
        let mut from = Unpack::new(unseal(block)?);
        let left = u16::from_le_bytes(from.array()?);
        let carry = E::unpack_carry(&mut from)?;
        Ok(Self { from, left, before: None, carry })
    }

    /// The next entry, and what is added up behind it.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(E, E::Carry)>, Damaged> {
        let Some(left) = self.left.checked_sub(1) else {
            return if self.from.is_empty() { Ok(None) } else { Err(Damaged) };
        };
        self.left = left;
        let entry = E::unpack(self.before.as_ref(), &mut self.from)?;
        if self.before.is_some_and(|before| !entry.goes_on(&before)) {
            self.carry = E::Carry::default();
        }
        entry.add_to(&mut self.carry);
        self.before = Some(entry);
        Ok(Some((entry, self.carry)))
    }
}

/// Packs entries that come in order into blocks, and says where each goes.
pub(crate) struct RunWriter<E: Entry> {
    block: Vec<u8>,
    first: Option<E::Key>,
    before: Option<E>,
    carry: E::Carry,
    count: u16,
    entries: u64,
    low: u128,
    high: u128,
}

impl<E: Entry> RunWriter<E> {
    pub(crate) fn new() -> Self {
        Self {
            block: Vec::with_capacity(BLOCK_BYTES + 256),
            first: None,
            before: None,
            carry: E::Carry::default(),
            count: 0,
            entries: 0,
            low: u128::MAX,
            high: 0,
        }
    }

    pub(crate) fn push(
        &mut self,
        entry: E,
        put: &mut impl FnMut(&[u8], &[u8]) -> Result<(), ViewFault>,
    ) -> Result<(), ViewFault> {
        if self.before.is_some_and(|before| !entry.goes_on(&before)) {
            self.carry = E::Carry::default();
        }
        let in_block = self.before.as_ref().filter(|_| self.first.is_some());
        if self.first.is_none() {
            self.block.clear();
            self.block.resize(HEAD_BYTES, 0);
            E::pack_carry(&self.carry, &mut self.block);
        }
        entry.pack(in_block, &mut self.block);
        self.first.get_or_insert(entry.key());
        entry.add_to(&mut self.carry);
        self.before = Some(entry);
        self.count += 1;
        self.entries += 1;
        self.low = self.low.min(entry.scale());
        self.high = self.high.max(entry.scale());
        if self.block.len() >= BLOCK_BYTES || self.count == BLOCK_ENTRIES_MAX {
            self.end_block(put)
        } else {
            Ok(())
        }
    }

    fn end_block(
        &mut self,
        put: &mut impl FnMut(&[u8], &[u8]) -> Result<(), ViewFault>,
    ) -> Result<(), ViewFault> {
        let Some(first) = self.first.take() else { return Ok(()) };
        protocol::put(&mut self.block, 4, &self.count.to_le_bytes());
        seal(&mut self.block);
        self.count = 0;
        put(E::key_bytes(first).as_ref(), &self.block)
    }

    /// Ends the last block.
    pub(crate) fn end(
        &mut self,
        number: u32,
        first_seq: u64,
        put: &mut impl FnMut(&[u8], &[u8]) -> Result<(), ViewFault>,
    ) -> Result<Run, ViewFault> {
        self.end_block(put)?;
        Ok(Run { number, entries: self.entries, low: self.low, high: self.high, first_seq })
    }
}

/// The entries of a run in order, a block at a time.
pub(crate) struct RunCursor<E: Entry> {
    pub(crate) run: u32,
    entries: std::vec::IntoIter<(E, E::Carry)>,
    head: Option<E>,
    /// Key of the block that was read last.
    last: Option<Vec<u8>>,
    ended: bool,
}

impl<E: Entry> RunCursor<E> {
    pub(crate) fn new(run: u32) -> Self {
        Self { run, entries: Vec::new().into_iter(), head: None, last: None, ended: false }
    }

    /// The next entry, which stays; reads on in its table where it must.
    pub(crate) fn peek(
        &mut self,
        table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    ) -> Result<Option<E>, ViewFault> {
        while self.head.is_none() && !self.ended {
            self.head = self.entries.next().map(|(entry, _)| entry);
            if self.head.is_none() {
                self.next_block(table)?;
            }
        }
        Ok(self.head)
    }

    pub(crate) fn advance(&mut self) {
        self.head = None;
    }

    fn next_block(
        &mut self,
        table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    ) -> Result<(), ViewFault> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = self.last.as_deref().map_or(Unbounded, Excluded);
        let Some(found) = table.range::<&[u8]>((from, Unbounded))?.next() else {
            self.ended = true;
            return Ok(());
        };
        let (key, block) = found?;
        self.last = Some(key.value().to_vec());
        self.entries = read_block::<E>(block.value())?.into_iter();
        Ok(())
    }
}

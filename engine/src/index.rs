//! From a key's hash to a row number: open addressing with linear probing, never iterated, never written.
//!
//! The index stores no keys; the caller compares the rows it is led to. Removal shifts the entries behind it back, so
//! that a probe never grows with history.

use crate::rows::widen;

#[derive(Clone, Copy, Debug)]
struct Cell {
    hash: u32,
    /// Row number plus one; 0 = empty.
    row_plus_one: u32,
}

const EMPTY: Cell = Cell { hash: 0, row_plus_one: 0 };
const CELLS_MIN: usize = 16;

/// An index over the rows of one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    cells: Vec<Cell>,
    live: usize,
}

impl Index {
    /// With room for so many rows before it grows.
    pub(crate) fn for_rows(rows: usize) -> Self {
        let cells = rows.saturating_mul(2).next_power_of_two();
        Self { cells: if rows == 0 { Vec::new() } else { vec![EMPTY; cells.max(CELLS_MIN)] }, live: 0 }
    }

    /// The row with this hash that `is` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.cells.len().checked_sub(1)?;
        let mut at = widen(hash) & mask;
        loop {
            let cell = self.cells.get(at)?;
            let row = cell.row_plus_one.checked_sub(1)?;
            if cell.hash == hash && is(row) {
                return Some(row);
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    /// What [`Index::find`] will read first, if there is anything: whoever asks wants it fetched.
    #[inline]
    pub(crate) fn home(&self, hash: u32) -> Option<u32> {
        let mask = self.cells.len().checked_sub(1)?;
        self.cells.get(widen(hash) & mask).map(|cell| cell.hash)
    }

    /// Adds a row that [`Index::find`] does not find.
    pub(crate) fn insert(&mut self, hash: u32, row: u32) {
        // At most half full: probes stay short.
        if self.live.saturating_mul(2) >= self.cells.len() {
            self.grow();
        }
        self.live = self.live.saturating_add(1);
        self.place(Cell { hash, row_plus_one: row.saturating_add(1) });
    }

    /// Takes an entry out that was inserted with this hash and row.
    pub(crate) fn remove(&mut self, hash: u32, row: u32) {
        let Some(mask) = self.cells.len().checked_sub(1) else { return };
        let gone = row.saturating_add(1);
        let mut at = widen(hash) & mask;
        loop {
            match self.cells.get(at) {
                Some(cell) if cell.row_plus_one == gone => break,
                Some(cell) if cell.row_plus_one != 0 => at = at.wrapping_add(1) & mask,
                _ => return,
            }
        }
        self.live = self.live.saturating_sub(1);
        let mut hole = at;
        loop {
            at = at.wrapping_add(1) & mask;
            let Some(cell) = self.cells.get(at).copied().filter(|cell| cell.row_plus_one != 0) else { break };
            // An entry may move back into the hole unless that lies before its first cell.
            let home = widen(cell.hash);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.set(hole, cell);
                hole = at;
            }
        }
        self.set(hole, EMPTY);
    }

    fn set(&mut self, at: usize, cell: Cell) {
        if let Some(place) = self.cells.get_mut(at) {
            *place = cell;
        }
    }

    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    fn grow(&mut self) {
        let cells = self.cells.len().saturating_mul(2).max(CELLS_MIN);
        let before = core::mem::replace(&mut self.cells, vec![EMPTY; cells]);
        for cell in before.into_iter().filter(|cell| cell.row_plus_one != 0) {
            self.place(cell);
        }
    }

    fn place(&mut self, cell: Cell) {
        let mask = self.cells.len().saturating_sub(1);
        let mut at = widen(cell.hash) & mask;
        while let Some(found) = self.cells.get_mut(at) {
            if found.row_plus_one == 0 {
                *found = cell;
                return;
            }
            at = at.wrapping_add(1) & mask;
        }
    }
}

/// Mixes 64 bits with a seed by one folded multiplication.
#[expect(clippy::as_conversions, reason = "takes the two halves of a product")]
const fn fold(word: u64, seed: u64) -> u64 {
    // 2^64 over the golden ratio, odd.
    let product = ((word ^ seed) as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (product as u64) ^ ((product >> 64) as u64)
}

#[expect(clippy::as_conversions, reason = "takes the upper half")]
const fn upper(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Hash of a number.
pub(crate) const fn hash_u64(key: u64) -> u32 {
    upper(fold(fold(key, 0x243F_6A88_85A3_08D3), key))
}

/// Hash of two numbers.
pub(crate) const fn hash_pair(one: u64, two: u64) -> u32 {
    upper(fold(two, fold(one, 0x1319_8A2E_0370_7344)))
}

/// Mixes a wide number that a client chose under a seed that it does not know.
#[expect(clippy::as_conversions, reason = "takes the two halves")]
#[inline]
pub(crate) const fn mix_u128(key: u128, seed: u64) -> u64 {
    fold(key as u64, fold((key >> 64) as u64, seed))
}

/// Hash of a wide number that a client chose, under a seed that it does not know.
#[inline]
pub(crate) const fn hash_seeded(key: u128, seed: u64) -> u32 {
    upper(mix_u128(key, seed))
}

/// Hash of text that a client chose, under a seed that it does not know: so it cannot choose texts that collide.
/// Texts that differ only in the last byte get hashes that differ as these bytes do, and neighbouring cells: clients
/// count, and so most of their ids are found in a cache line that the one before has brought.
pub(crate) fn hash_bytes(bytes: &[u8], seed: u64) -> u32 {
    let Some((&last, bytes)) = bytes.split_last() else { return 0 };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut tail = [0; 8];
    for (to, from) in tail.iter_mut().zip(rest) {
        *to = *from;
    }
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let hash = words.iter().fold(seed, |hash, word| fold(u64::from_le_bytes(*word), hash).wrapping_add(seed));
    upper(fold(u64::from_le_bytes(tail), fold(length, hash))).wrapping_add(u32::from(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted_and_nothing_else() {
        let mut index = Index::default();
        let keys: Vec<u64> = (0..5_000_u64).map(|n| n.wrapping_mul(n)).collect();
        let is = |key: u64| {
            let keys = &keys;
            move |row: u32| keys.get(widen(row)) == Some(&key)
        };
        for (row, &key) in (0_u32..).zip(&keys) {
            assert_eq!(index.find(hash_u64(key), is(key)), None);
            index.insert(hash_u64(key), row);
        }
        for (row, &key) in (0_u32..).zip(&keys) {
            assert_eq!(index.find(hash_u64(key), is(key)), Some(row));
        }
        assert_eq!(index.live(), 5_000);
    }

    #[test]
    fn what_is_removed_leaves_no_gap_for_the_others() {
        for stride in [1, 7, 11, 13] {
            let mut index = Index::default();
            // Hashes that share first cells, also around the end of the table.
            let hash = |row: u32| [0_u32, 1, 62, 63, u32::MAX].get(widen(row % 5)).copied().unwrap_or(0);
            (0..30).for_each(|row| index.insert(hash(row), row));
            let mut gone = std::collections::BTreeSet::new();
            for turn in 0..30_u32 {
                let row = turn * stride % 30;
                index.remove(hash(row), row);
                gone.insert(row);
                for row in 0..30 {
                    let found = index.find(hash(row), |found| found == row);
                    assert_eq!(found, (!gone.contains(&row)).then_some(row));
                }
            }
            assert!(index.live() == 0 && index.cells.iter().all(|cell| cell.row_plus_one == 0));
        }
    }

    #[test]
    fn all_keys_in_one_cell_are_still_told_apart() {
        let mut index = Index::default();
        for row in 0..100 {
            index.insert(7, row);
        }
        for row in 0..100 {
            assert_eq!(index.find(7, |found| found == row), Some(row));
        }
    }

    #[test]
    fn text_hashes_depend_on_every_byte_the_length_and_the_seed() {
        assert_ne!(hash_bytes(b"order-1", 1), hash_bytes(b"order-2", 1));
        assert_ne!(hash_bytes(b"order-1", 1), hash_bytes(b"order-1\0", 1));
        assert_ne!(hash_bytes(b"order-1", 1), hash_bytes(b"order-1", 2));
        assert_ne!(hash_bytes(b"123456789", 1), hash_bytes(b"123456799", 1));
        assert_eq!(hash_bytes(b"order-1", 1).wrapping_add(1), hash_bytes(b"order-2", 1));
    }
}

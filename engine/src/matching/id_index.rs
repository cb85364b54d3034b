//! From an order's id to its slot: open addressing with linear probing, sized to the orders that live.
//!
//! A cell is 8 bytes, 32 of the hash and 32 of the slot, so that 2,000 live orders take 32 KiB and stay in the cache; the
//! id itself is compared in the order's entry, which the caller is about to read anyhow. Removal shifts the cells
//! behind it back, so there are no tombstones and a probe never grows with history.
//!
//! The multiplicative hash spreads runs and strides of numbers evenly. It is no defence against ids chosen by an
//! adversary, and need not be: an order's id is the seq of its command. Nothing that leaves the book depends on the
//! order of the cells.

use super::slab::{NONE, index};

const EMPTY: u64 = u64::MAX;
/// 2^64 divided by the golden ratio: consecutive ids land far apart.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
const CELL_BITS_MIN: u32 = 6;

#[derive(Clone, Debug)]
pub(super) struct IdIndex {
    /// A power of two of cells, `hash32 << 32 | slot`, or [`EMPTY`] (no slot is [`NONE`], so no cell looks empty).
    cells: Vec<u64>,
    /// A hash's first cell is its upper `32 - shift` bits.
    shift: u32,
    live: usize,
}

impl IdIndex {
    pub(super) fn new() -> Self {
        Self::with_bits(CELL_BITS_MIN)
    }

    fn with_bits(bits: u32) -> Self {
        let cells = 1_usize.checked_shl(bits).unwrap_or(0);
        Self { cells: vec![EMPTY; cells], shift: 32_u32.saturating_sub(bits), live: 0 }
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// The slot of `id`, where `is_id` tells whether a slot's order has it.
    #[inline]
    pub(super) fn get(&self, id: u64, is_id: impl Fn(u32) -> bool) -> Option<u32> {
        self.find(hash(id), is_id).map(|place| slot_of(self.cell(place)))
    }

    /// Adds `id`, or returns false where it is there already.
    #[inline]
    pub(super) fn insert(&mut self, id: u64, slot: u32, is_id: impl Fn(u32) -> bool) -> bool {
        // At most 5 of 8 cells are used: probes stay within a cache line or two.
        if self.live.saturating_mul(8) >= self.cells.len().saturating_mul(5) {
            self.resize(self.shift.saturating_sub(1));
        }
        let hash = hash(id);
        let mut place = self.home(hash);
        loop {
            let cell = self.cell(place);
            if cell == EMPTY {
                break;
            }
            if hash_of(cell) == hash && is_id(slot_of(cell)) {
                return false;
            }
            place = self.after(place);
        }
        *self.cell_mut(place) = u64::from(hash) << 32 | u64::from(slot);
        self.live = self.live.saturating_add(1);
        true
    }

    /// Takes `id` out and returns its slot.
    #[inline]
    pub(super) fn remove(&mut self, id: u64, is_id: impl Fn(u32) -> bool) -> Option<u32> {
        let mut hole = self.find(hash(id), is_id)?;
        let slot = slot_of(self.cell(hole));
        let mut place = hole;
        loop {
            place = self.after(place);
            let cell = self.cell(place);
            if cell == EMPTY {
                break;
            }
            // A cell may move back into the hole unless that lies before its first cell.
            let home = self.home(hash_of(cell));
            if self.distance(home, place) >= self.distance(hole, place) {
                *self.cell_mut(hole) = cell;
                hole = place;
            }
        }
        *self.cell_mut(hole) = EMPTY;
        self.live = self.live.saturating_sub(1);
        // A burst's table must not slow the quiet hours: 1 of 16 used, half the cells go.
        if self.live.saturating_mul(16) < self.cells.len() && self.bits() > CELL_BITS_MIN {
            self.resize(self.shift.saturating_add(1));
        }
        Some(slot)
    }

    fn find(&self, hash: u32, is_id: impl Fn(u32) -> bool) -> Option<usize> {
        let mut place = self.home(hash);
        loop {
            let cell = self.cell(place);
            if cell == EMPTY {
                return None;
            }
            if hash_of(cell) == hash && is_id(slot_of(cell)) {
                return Some(place);
            }
            place = self.after(place);
        }
    }

    /// Moves every cell to a table of another size. A doubling is paid by the inserts that filled the old table.
    #[cold]
    fn resize(&mut self, shift: u32) {
        let old = core::mem::replace(self, Self::with_bits(32_u32.saturating_sub(shift)));
        self.live = old.live;
        for cell in old.cells {
            if cell != EMPTY {
                let mut place = self.home(hash_of(cell));
                while self.cell(place) != EMPTY {
                    place = self.after(place);
                }
                *self.cell_mut(place) = cell;
            }
        }
    }

    fn bits(&self) -> u32 {
        32_u32.saturating_sub(self.shift)
    }

    fn mask(&self) -> usize {
        self.cells.len().wrapping_sub(1)
    }

    fn home(&self, hash: u32) -> usize {
        index(hash.unbounded_shr(self.shift))
    }

    fn after(&self, place: usize) -> usize {
        place.wrapping_add(1) & self.mask()
    }

    /// Steps from one place to another, around the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "places are masked by the length, a power of two of at least 64"
    )]
    #[inline(always)]
    fn cell(&self, place: usize) -> u64 {
        self.cells[place]
    }

    #[expect(clippy::indexing_slicing, reason = "as in `cell`")]
    #[inline(always)]
    fn cell_mut(&mut self, place: usize) -> &mut u64 {
        &mut self.cells[place]
    }
}

/// The upper half of the product: the lower bits of a product depend on too few bits of the id.
fn hash(id: u64) -> u32 {
    upper(id.wrapping_mul(SPREAD))
}

fn hash_of(cell: u64) -> u32 {
    upper(cell)
}

fn upper(value: u64) -> u32 {
    // 32 bits are left, so the conversion cannot fail and compiles to the shift.
    u32::try_from(value >> 32).unwrap_or(NONE)
}

fn slot_of(cell: u64) -> u32 {
    u32::try_from(cell & 0xFFFF_FFFF).unwrap_or(NONE)
}

#[cfg(test)]
#[expect(clippy::as_conversions, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Ids whose hashes begin alike share a run of cells, also around the end of the table.
    #[test]
    fn colliding_ids_are_told_apart_in_every_order_of_removal() {
        let mut colliding: Vec<u64> = (1..2_000_000_u64).filter(|&id| hash(id) >> 22 >= 0x3FE).collect();
        colliding.truncate(30);
        for stride in [1, 7, 11, 13, 17, 19, 23, 29] {
            let mut index = IdIndex::new();
            let mut slots = BTreeMap::new();
            for (&id, slot) in colliding.iter().zip(0_u32..) {
                assert!(index.insert(id, slot, |other| colliding[other as usize] == id));
                slots.insert(id, slot);
            }
            assert!(!index.insert(colliding[3], 99, |other| colliding[other as usize] == colliding[3]));
            for i in 0..colliding.len() {
                let gone = colliding[i * stride % colliding.len()];
                let removed = index.remove(gone, |other| colliding[other as usize] == gone);
                assert_eq!(removed, slots.remove(&gone));
                for &id in &colliding {
                    assert_eq!(
                        index.get(id, |other| colliding[other as usize] == id),
                        slots.get(&id).copied()
                    );
                }
            }
            assert!(index.cells.iter().all(|&cell| cell == EMPTY));
        }
    }

    #[test]
    fn the_table_grows_and_shrinks_with_what_lives() {
        let mut index = IdIndex::new();
        for id in 0..100_000_u32 {
            assert!(index.insert(u64::from(id), id, |other| other == id));
        }
        assert_eq!((index.live(), index.cells.len()), (100_000, 1 << 18));
        for id in 0..100_000_u32 {
            assert_eq!(index.remove(u64::from(id), |other| other == id), Some(id));
        }
        assert_eq!((index.live(), index.cells.len()), (0, 1 << CELL_BITS_MIN));
    }
}

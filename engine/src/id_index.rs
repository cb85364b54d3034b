//! From an id to a slot: open addressing with linear probing, sized to what lives.
//!
//! A cell is 8 bytes, 32 of the hash and 32 of the slot, so that 2,000 live entries take 32 KiB and stay in the cache; the
//! id itself is compared in the slot's entry, which the caller is about to read anyhow. Removal shifts the cells
//! behind it back, so there are no tombstones and a probe never grows with history.
//!
//! A table that gets too full, or too empty for the cache, is followed by one of another size. Every insert and removal
//! then moves a few entries across, so that no single operation pays for all of them.
//!
//! The multiplicative hash spreads runs and strides of numbers evenly. It is no defence against ids chosen by an
//! adversary: an order's id is the seq of its command, and ids that clients choose are mixed with a seed first. Nothing
//! that leaves the engine depends on the order of the cells.

use crate::slab::{NONE, index};

/// No entry. Zero, so that a large new table is memory that nobody has touched yet.
const EMPTY: u64 = 0;
/// 2^64 divided by the golden ratio: consecutive ids land far apart.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
const CELL_BITS_MIN: u32 = 6;
/// Cells of the old table that one operation clears or skips. At most 13/8 of its cells have to be, within fewer
/// operations than fill the new one: it is twice as large and less than a third full, or half as large and an eighth.
const STEPS_AN_OPERATION: u32 = 8;

#[derive(Clone, Debug)]
pub(crate) struct IdIndex {
    table: Table,
    /// The table of the size before, while entries are still in it; otherwise without cells.
    old: Table,
    /// Cells of `old` below this are empty.
    cleared: usize,
}

/// A table of one size.
#[derive(Clone, Debug)]
struct Table {
    /// A power of two of cells, `hash32 << 32 | !slot`, or [`EMPTY`] (no slot is [`NONE`], so no cell looks empty).
    cells: Vec<u64>,
    /// A hash's first cell is its upper `32 - shift` bits.
    shift: u32,
    live: usize,
}

impl Default for IdIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl IdIndex {
    pub(crate) fn new() -> Self {
        let old = Table { cells: Vec::new(), shift: 0, live: 0 };
        Self { table: Table::with_bits(CELL_BITS_MIN), old, cleared: 0 }
    }

    pub(crate) fn live(&self) -> usize {
        self.table.live.saturating_add(self.old.live)
    }

    /// What it has allocated.
    pub(crate) fn bytes(&self) -> usize {
        let cells = self.table.cells.capacity().saturating_add(self.old.cells.capacity());
        cells.saturating_mul(size_of::<u64>())
    }

    /// The slot of `id`, where `is_id` tells whether a slot's entry has it.
    #[inline]
    pub(crate) fn get(&self, id: u64, is_id: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = hash(id);
        match self.table.find(hash, &is_id) {
            Some(place) => Some(slot_of(self.table.cell(place))),
            None if self.is_moving() => {
                self.old.find(hash, &is_id).map(|place| slot_of(self.old.cell(place)))
            }
            None => None,
        }
    }

    /// Has the memory fetched that [`IdIndex::get`] will read first, for all of these ids at once.
    #[inline]
    pub(crate) fn fetch(&self, ids: &[u64]) {
        let homes = ids.iter().map(|id| self.table.cell(self.table.home(hash(*id))));
        core::hint::black_box(homes.fold(0, |fetched, cell| fetched ^ cell));
    }

    /// The first cell that [`IdIndex::get`] reads: whoever asks wants it fetched.
    #[inline]
    pub(crate) fn first_cell(&self, id: u64) -> u64 {
        self.table.cell(self.table.home(hash(id)))
    }

    /// The slot in the first cell that [`IdIndex::get`] reads.
    #[cfg(test)]
    pub(crate) fn first(&self, id: u64) -> u32 {
        slot_of(self.table.cell(self.table.home(hash(id))))
    }

    /// The slot that [`IdIndex::get`] will ask about first: whose hash is that of `id`. Nobody's entry is read.
    #[inline]
    pub(crate) fn guess(&self, id: u64) -> Option<u32> {
        self.table.find(hash(id), |_| true).map(|place| slot_of(self.table.cell(place)))
    }

    /// Adds `id`, or returns false where it is there already.
    #[inline]
    pub(crate) fn insert(&mut self, id: u64, slot: u32, is_id: impl Fn(u32) -> bool) -> bool {
        // At most 5 of 8 cells are used: probes stay within a cache line or two.
        if self.is_moving() {
            self.advance();
        } else if self.table.live.saturating_mul(8) >= self.table.cells.len().saturating_mul(5) {
            self.follow_by(self.table.bits().saturating_add(1));
        }
        let hash = hash(id);
        if self.is_moving() && self.old.find(hash, &is_id).is_some() {
            return false;
        }
        self.table.insert(hash, slot, is_id)
    }

    /// Takes `id` out and returns its slot.
    #[inline]
    pub(crate) fn remove(&mut self, id: u64, is_id: impl Fn(u32) -> bool) -> Option<u32> {
        // A burst's table must not slow the quiet hours: with 1 of 16 used, half the cells go.
        if self.is_moving() {
            self.advance();
        } else if self.table.live.saturating_mul(16) < self.table.cells.len()
            && self.table.bits() > CELL_BITS_MIN
        {
            self.follow_by(self.table.bits().saturating_sub(1));
        }
        let hash = hash(id);
        match self.table.find(hash, &is_id) {
            Some(place) => Some(self.table.remove_at(place)),
            None if self.is_moving() => self.old.find(hash, &is_id).map(|place| self.old.remove_at(place)),
            None => None,
        }
    }

    fn is_moving(&self) -> bool {
        !self.old.cells.is_empty()
    }

    #[cold]
    fn follow_by(&mut self, bits: u32) {
        self.old = core::mem::replace(&mut self.table, Table::with_bits(bits));
        self.cleared = 0;
    }

    /// Moves what is in a few cells from the old table to the new one.
    #[cold]
    fn advance(&mut self) {
        for _ in 0..STEPS_AN_OPERATION {
            if self.old.live == 0 {
                self.old.cells = Vec::new();
                return;
            }
            let cell = self.old.cell(self.cleared);
            if cell == EMPTY {
                self.cleared = self.cleared.saturating_add(1);
            } else {
                // The old table stays whole: what probed past this cell shifts back, often into it.
                let slot = self.old.remove_at(self.cleared);
                self.table.insert(hash_of(cell), slot, |_| false);
            }
        }
    }
}

impl Table {
    fn with_bits(bits: u32) -> Self {
        let cells = 1_usize.checked_shl(bits).unwrap_or(0);
        Self { cells: vec![EMPTY; cells], shift: 32_u32.saturating_sub(bits), live: 0 }
    }

    #[inline]
    fn insert(&mut self, hash: u32, slot: u32, is_id: impl Fn(u32) -> bool) -> bool {
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
        *self.cell_mut(place) = u64::from(hash) << 32 | u64::from(!slot);
        self.live = self.live.saturating_add(1);
        true
    }

    #[inline]
    fn remove_at(&mut self, place: usize) -> u32 {
        let slot = slot_of(self.cell(place));
        let (mut hole, mut place) = (place, place);
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
        slot
    }

    #[inline]
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
    u32::try_from(!cell & 0xFFFF_FFFF).unwrap_or(NONE)
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
                    // Whose hash is the same is as good a guess.
                    let guessed = index.guess(id).map(|slot| hash(colliding[slot as usize]));
                    assert!(!slots.contains_key(&id) || guessed == Some(hash(id)));
                    assert_eq!(
                        index.get(id, |other| colliding[other as usize] == id),
                        slots.get(&id).copied()
                    );
                }
            }
            assert!(index.table.cells.iter().all(|&cell| cell == EMPTY));
        }
    }

    /// Beside an ordered map, with bursts that make the table grow and shrink while orders come and go.
    #[test]
    fn the_table_follows_what_lives_a_few_orders_at_a_time() {
        const BURST: u64 = 60_000;
        let mut index = IdIndex::new();
        let mut live = BTreeMap::new();
        let (mut sizes, mut moving) = (Vec::new(), 0_u64);
        for turn in 0..6 * BURST {
            // Ids come at a stride; slots are not used again here, so a slot tells its id.
            let id_of = |slot: u32| u64::from(slot).wrapping_mul(97).wrapping_add(5);
            let growing = turn % (2 * BURST) < BURST;
            if growing || turn % 7 == 0 {
                let slot = turn as u32;
                assert!(index.insert(id_of(slot), slot, |other| id_of(other) == id_of(slot)));
                assert!(!index.insert(id_of(slot), slot, |other| id_of(other) == id_of(slot)));
                live.insert(slot, ());
            }
            if !growing || turn % 5 == 0 {
                // Now the oldest, now the youngest.
                let gone = if turn % 2 == 0 { live.pop_first() } else { live.pop_last() };
                if let Some((slot, ())) = gone {
                    assert_eq!(index.remove(id_of(slot), |other| id_of(other) == id_of(slot)), Some(slot));
                    assert_eq!(index.remove(id_of(slot), |other| id_of(other) == id_of(slot)), None);
                }
            }
            assert_eq!(index.live(), live.len());
            moving += u64::from(index.is_moving());
            if sizes.last() != Some(&index.table.cells.len()) {
                sizes.push(index.table.cells.len());
            }
            if turn % 1_999 == 0 {
                for &slot in live.keys() {
                    assert_eq!(index.get(id_of(slot), |other| id_of(other) == id_of(slot)), Some(slot));
                }
            }
        }
        let (largest, last) = (sizes.iter().max(), sizes.last());
        assert!(
            largest >= Some(&(1 << 16)) && last <= Some(&(1 << 10)) && moving > BURST / 2,
            "{sizes:?} {moving}"
        );
    }
}

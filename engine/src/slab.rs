//! Entries that live behind 32-bit slots: half the size of pointers, stable while the entry lives, used again afterwards.
//!
//! A slab does not know which of its entries live; each kind of entry has a field that is zero exactly when it is free
//! (an order's quantity, a level's order count, a block's bitmap, an option), and whoever releases a slot has zeroed it.

/// No slot: the end of a chain of links, an empty cell.
pub(crate) const NONE: u32 = u32::MAX;

/// A vector with a list of free places, last freed first used.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<T>,
    free: Vec<u32>,
}

/// Widens a slot to an index.
pub(crate) fn index(slot: u32) -> usize {
    // Lossless on every target that can hold the slab; elsewhere the access behind it fails its bounds check.
    usize::try_from(slot).unwrap_or(usize::MAX)
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }

    /// The slot that the next [`Slab::insert`] will return.
    pub(crate) fn next_slot(&self) -> u32 {
        match self.free.last() {
            Some(&slot) => slot,
            None => u32::try_from(self.entries.len()).unwrap_or(NONE),
        }
    }

    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        let slot = self.next_slot();
        assert!(slot != NONE, "a slab's limit is a u32, so its last slot is never used");
        if self.free.pop().is_some() {
            *self.at_mut(slot) = entry;
        } else {
            self.entries.push(entry);
        }
        slot
    }

    pub(crate) fn release(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// Entries that live.
    pub(crate) fn live(&self) -> usize {
        self.entries.len().saturating_sub(self.free.len())
    }

    /// Slots ever used: every slot is below this.
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    /// What it has allocated.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.entries.capacity().saturating_mul(size_of::<T>());
        entries.saturating_add(self.free.capacity().saturating_mul(size_of::<u32>()))
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.entries.get(index(slot))
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.entries.get_mut(index(slot))
    }

    /// The entry at a slot that its owner stored itself: one out of range is our bug, and stops the engine.
    #[expect(clippy::indexing_slicing, reason = "links are only ever slots of this slab (check_invariants)")]
    #[inline(always)]
    pub(crate) fn at(&self, slot: u32) -> &T {
        &self.entries[index(slot)]
    }

    /// As [`Slab::at`].
    #[expect(clippy::indexing_slicing, reason = "links are only ever slots of this slab (check_invariants)")]
    #[inline(always)]
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut T {
        &mut self.entries[index(slot)]
    }
}

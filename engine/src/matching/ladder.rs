//! The price levels of one side, best first: blocks of 64 neighbouring ranks behind an ordered directory.
//!
//! A *rank* is a price turned so that lower is better on both sides (a bid's price is complemented), which leaves one
//! ladder without a branch on the side. A block holds a bitmap of its occupied ranks and the levels' slots; the directory
//! orders the blocks by `rank / 64`. Around the mid a block is found in a small direct-mapped table and the next level is
//! one bit scan; a side with more blocks gets a larger such table behind it. A far price costs a walk of the directory's
//! tree, O(log n), and no more: there is no window of ticks that has to be moved after the market, so there is nothing for
//! a jumping price to make slow. The larger table is the only memory that stays. An empty level and an empty
//! block are freed at once, so memory is bounded by levels that hold an order, whatever their prices.

use std::collections::BTreeMap;

use crate::slab::{NONE, Slab, index};

/// log2 of the ranks in a block: one bitmap word.
const BLOCK_RANK_BITS: u32 = 6;
const BLOCK_RANKS: usize = 1 << BLOCK_RANK_BITS;
const OFFSET_MASK: u64 = (1 << BLOCK_RANK_BITS) - 1;
/// Blocks remembered by the lowest bits of their key: 1,024 ticks around the mid without a look into the tree.
const RECENT_BLOCKS: usize = 16;
/// The same behind that table, for sides with more blocks: 262,144 ticks, in 64 KiB.
const KNOWN_BLOCKS_MAX: usize = 4_096;

/// The orders at one price: a queue in time order, linked through the orders' entries.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Level {
    /// Sum of what the orders show: at most 2^32 of 2^64 each.
    pub(super) lots: u128,
    /// Sum of what icebergs do not show, within the same bound.
    pub(super) hidden: u128,
    pub(super) rank: u64,
    /// First in time, and first to trade.
    pub(super) head: u32,
    pub(super) tail: u32,
    /// Orders in the queue; 0 = this entry is free.
    pub(super) orders: u32,
    block: u32,
}

const _: () = assert!(size_of::<Level>() == 64, "a level is one cache line");

#[derive(Clone, Debug)]
struct Block {
    key: u64,
    /// Bit i: rank `key * 64 + i` has a level; 0 = this entry is free.
    occupied: u64,
    levels: [u32; BLOCK_RANKS],
}

/// A block that was looked up: `block` is [`NONE`] or the live block of `key`.
#[derive(Clone, Copy, Debug)]
struct Recent {
    key: u64,
    block: u32,
}

impl Recent {
    const NOTHING: Self = Self { key: 0, block: NONE };

    #[inline(always)]
    fn of(self, key: u64) -> Option<u32> {
        (self.key == key && self.block != NONE).then_some(self.block)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Ladder {
    levels: Slab<Level>,
    blocks: Slab<Block>,
    directory: BTreeMap<u64, u32>,
    recent: [Recent; RECENT_BLOCKS],
    /// As `recent`, a power of two of them; none while the side has fewer blocks than that.
    known: Vec<Recent>,
    best: u32,
}

/// What is wrong with a ladder; told with the side by [`super::Violation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LadderFault {
    /// The best level remembered is not the one that the bitmaps say.
    Best,
    /// A bitmap and the levels behind it do not agree.
    Bitmap {
        /// The block, as rank / 64.
        key: u64,
    },
    /// The directory, the table of recent blocks and the blocks do not agree.
    Directory {
        /// The block, as rank / 64.
        key: u64,
    },
    /// More levels or blocks are in use than can be reached.
    Leak,
}

fn split(rank: u64) -> (u64, u64) {
    (rank >> BLOCK_RANK_BITS, rank & OFFSET_MASK)
}

fn bit(offset: u64) -> u64 {
    1_u64.wrapping_shl(narrow(offset))
}

fn narrow(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(0)
}

impl Block {
    #[expect(clippy::indexing_slicing, reason = "an offset is below 64")]
    fn level_mut(&mut self, offset: u64) -> &mut u32 {
        &mut self.levels[index(narrow(offset & OFFSET_MASK))]
    }

    #[expect(clippy::indexing_slicing, reason = "an offset is below 64")]
    #[inline(always)]
    fn level(&self, offset: u64) -> u32 {
        self.levels[index(narrow(offset & OFFSET_MASK))]
    }

    /// The lowest occupied rank's level among `candidates`, a part of the bitmap.
    fn first_of(&self, candidates: u64) -> Option<u32> {
        (candidates != 0).then(|| self.level(u64::from(candidates.trailing_zeros())))
    }
}

impl Ladder {
    pub(super) fn new() -> Self {
        Self {
            levels: Slab::new(),
            blocks: Slab::new(),
            directory: BTreeMap::new(),
            recent: [Recent::NOTHING; RECENT_BLOCKS],
            known: Vec::new(),
            best: NONE,
        }
    }

    /// Levels that hold an order.
    pub(super) fn live(&self) -> usize {
        self.levels.live()
    }

    #[inline(always)]
    pub(super) fn at(&self, level: u32) -> &Level {
        self.levels.at(level)
    }

    #[inline(always)]
    pub(super) fn at_mut(&mut self, level: u32) -> &mut Level {
        self.levels.at_mut(level)
    }

    /// The best level's slot, or [`NONE`].
    #[inline(always)]
    pub(super) fn best(&self) -> u32 {
        self.best
    }

    /// What it has allocated, the tree of the directory by its entries alone.
    pub(super) fn bytes(&self) -> usize {
        let directory = self.directory.len().saturating_mul(size_of::<(u64, u32)>());
        let known = self.known.capacity().saturating_mul(size_of::<Recent>());
        self.levels
            .bytes()
            .saturating_add(self.blocks.bytes())
            .saturating_add(directory)
            .saturating_add(known)
    }

    /// The level of a rank, or [`NONE`].
    #[inline]
    pub(super) fn find(&mut self, rank: u64) -> u32 {
        let (key, offset) = split(rank);
        let block = self.block_of(key);
        if block == NONE {
            return NONE;
        }
        let block = self.blocks.at(block);
        if block.occupied & bit(offset) == 0 { NONE } else { block.level(offset) }
    }

    /// Makes an empty level at a rank that has none; the caller puts an order there at once.
    pub(super) fn open(&mut self, rank: u64) -> u32 {
        let (key, offset) = split(rank);
        let mut block = self.block_of(key);
        if block == NONE {
            block = self.blocks.insert(Block { key, occupied: 0, levels: [NONE; BLOCK_RANKS] });
            self.directory.insert(key, block);
            self.widen();
            self.remember(key, block);
        }
        let level =
            self.levels.insert(Level { lots: 0, hidden: 0, rank, head: NONE, tail: NONE, orders: 0, block });
        let entry = self.blocks.at_mut(block);
        entry.occupied |= bit(offset);
        *entry.level_mut(offset) = level;
        if self.best == NONE || rank < self.at(self.best).rank {
            self.best = level;
        }
        level
    }

    /// Frees a level whose last order has left.
    pub(super) fn close(&mut self, level: u32) {
        let Level { rank, block, .. } = *self.at(level);
        let (key, offset) = split(rank);
        let entry = self.blocks.at_mut(block);
        entry.occupied &= !bit(offset);
        let occupied = entry.occupied;
        if self.best == level {
            // Nothing better exists, so the next one is in this block or at the start of the next.
            self.best = match entry.first_of(occupied) {
                Some(next) => next,
                None => self.first_after(key),
            };
        }
        if occupied == 0 {
            self.directory.remove(&key);
            self.remember(key, NONE);
            self.blocks.release(block);
        }
        self.levels.release(level);
    }

    /// The level that comes after `level` in price priority, or [`NONE`].
    pub(super) fn after(&self, level: u32) -> u32 {
        let Level { rank, block, .. } = *self.at(level);
        let (key, offset) = split(rank);
        let block = self.blocks.at(block);
        // Bits above the offset; in two steps, because a shift by 64 would not leave zero.
        let above = u64::MAX.wrapping_shl(narrow(offset)).wrapping_shl(1);
        match block.first_of(block.occupied & above) {
            Some(next) => next,
            None => self.first_after(key),
        }
    }

    fn first_after(&self, key: u64) -> u32 {
        // No key is u64::MAX, it is a rank shifted.
        match self.directory.range(key.saturating_add(1)..).next() {
            Some((_, &block)) => {
                let block = self.blocks.at(block);
                block.first_of(block.occupied).unwrap_or(NONE)
            }
            None => NONE,
        }
    }

    #[inline]
    fn block_of(&mut self, key: u64) -> u32 {
        match self.recent_mut(key).of(key) {
            Some(block) => block,
            None => self.look_up(key),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, key: u64) -> u32 {
        let known = self.known_mut(key).and_then(|known| known.of(key));
        let block = known.or_else(|| self.directory.get(&key).copied()).unwrap_or(NONE);
        if block != NONE {
            self.remember(key, block);
        }
        block
    }

    /// Remembers what the block of a key is: [`NONE`] where there is none any more.
    fn remember(&mut self, key: u64, block: u32) {
        *self.recent_mut(key) = Recent { key, block };
        if let Some(known) = self.known_mut(key) {
            *known = Recent { key, block };
        }
    }

    /// Makes room for as many known blocks as there are, by forgetting those that are known.
    fn widen(&mut self) {
        let room = self.known.len().max(RECENT_BLOCKS);
        if self.blocks.live() > room && room < KNOWN_BLOCKS_MAX {
            self.known = vec![Recent::NOTHING; room.saturating_mul(4).min(KNOWN_BLOCKS_MAX)];
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder by the table's length")]
    #[inline(always)]
    fn recent_mut(&mut self, key: u64) -> &mut Recent {
        let place = key & u64::try_from(RECENT_BLOCKS.wrapping_sub(1)).unwrap_or(0);
        &mut self.recent[index(narrow(place))]
    }

    #[inline(always)]
    fn known_mut(&mut self, key: u64) -> Option<&mut Recent> {
        // An empty table's mask is all ones, and leads nowhere.
        let place = key & u64::try_from(self.known.len().wrapping_sub(1)).unwrap_or(0);
        self.known.get_mut(usize::try_from(place).unwrap_or(usize::MAX))
    }

    /// Walks everything: for tests, the simulator and `verify`, never on the hot path.
    pub(super) fn check(&self) -> Result<(), LadderFault> {
        let mut levels = 0_usize;
        let mut best = NONE;
        for (&key, &slot) in &self.directory {
            let block = self.blocks.get(slot).ok_or(LadderFault::Directory { key })?;
            if block.key != key || block.occupied == 0 {
                return Err(LadderFault::Directory { key });
            }
            for offset in 0..=OFFSET_MASK {
                if block.occupied & bit(offset) == 0 {
                    continue;
                }
                let level = block.level(offset);
                let entry = self.levels.get(level).ok_or(LadderFault::Bitmap { key })?;
                if split(entry.rank) != (key, offset) || entry.block != slot || entry.orders == 0 {
                    return Err(LadderFault::Bitmap { key });
                }
                if best == NONE {
                    best = level;
                }
                levels = levels.saturating_add(1);
            }
        }
        for recent in self.recent.iter().chain(&self.known).filter(|recent| recent.block != NONE) {
            if self.directory.get(&recent.key) != Some(&recent.block) {
                return Err(LadderFault::Directory { key: recent.key });
            }
        }
        if best != self.best {
            return Err(LadderFault::Best);
        }
        if levels != self.levels.live() || self.directory.len() != self.blocks.live() {
            return Err(LadderFault::Leak);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(ladder: &mut Ladder, rank: u64) -> u32 {
        assert_eq!(ladder.find(rank), NONE);
        let level = ladder.open(rank);
        ladder.at_mut(level).orders = 1;
        level
    }

    fn close(ladder: &mut Ladder, level: u32) {
        ladder.at_mut(level).orders = 0;
        ladder.close(level);
    }

    #[test]
    fn levels_come_best_first_whatever_their_distance() {
        let ranks = [0, 1, 63, 64, 65, 1 << 20, (1 << 20) + 1_024, u64::MAX - 64, u64::MAX - 1, u64::MAX];
        let mut ladder = Ladder::new();
        for &rank in ranks.iter().rev() {
            open(&mut ladder, rank);
            assert_eq!(ladder.at(ladder.best()).rank, rank);
            assert_eq!(ladder.check(), Ok(()));
        }
        let mut level = ladder.best();
        for &rank in &ranks {
            assert_eq!(ladder.at(level).rank, rank);
            level = ladder.after(level);
        }
        assert_eq!(level, NONE);
        for &rank in &ranks {
            assert_eq!(ladder.at(ladder.best()).rank, rank);
            let best = ladder.best();
            close(&mut ladder, best);
            assert_eq!(ladder.check(), Ok(()));
        }
        assert_eq!((ladder.best(), ladder.live()), (NONE, 0));
    }

    /// The adversary's pattern: one order at a time, each in a block of its own.
    #[test]
    fn far_prices_leave_no_memory_behind() {
        let mut ladder = Ladder::new();
        open(&mut ladder, 1_000);
        for i in 0..10_000_u64 {
            let level = open(&mut ladder, i << 30 | 1);
            close(&mut ladder, level);
        }
        assert_eq!((ladder.levels.slots(), ladder.blocks.slots(), ladder.directory.len()), (2, 2, 1));
        assert_eq!(ladder.check(), Ok(()));
    }

    /// More blocks than any table holds, some of them in one place of it.
    #[test]
    fn sides_of_any_width_find_their_levels() {
        let mut ladder = Ladder::new();
        let ranks: Vec<u64> = (0..6_000).map(|i| i * 64 + i % 64).chain((1..200).map(|i| i << 40)).collect();
        for &rank in &ranks {
            open(&mut ladder, rank);
        }
        assert_eq!((ladder.known.len(), ladder.check()), (KNOWN_BLOCKS_MAX, Ok(())));
        for (count, &rank) in ranks.iter().enumerate() {
            let level = ladder.find(rank);
            assert_eq!(ladder.at(level).rank, rank);
            if count % 2 == 0 {
                close(&mut ladder, level);
                assert_eq!(ladder.find(rank), NONE);
            }
        }
        assert_eq!(ladder.check(), Ok(()));
        for &rank in ranks.iter().skip(1).step_by(2) {
            let level = ladder.find(rank);
            assert_eq!(ladder.at(level).rank, rank);
        }
        assert_eq!(ladder.check(), Ok(()));
    }

    /// A table that was made anew knows nothing, and so not that there is no block of the first prices.
    #[test]
    fn the_lowest_prices_are_found_after_the_table_has_grown() {
        let mut ladder = Ladder::new();
        for key in 0..=16 {
            open(&mut ladder, key << BLOCK_RANK_BITS);
        }
        assert_eq!(ladder.known.len(), 64);
        let level = ladder.find(0);
        assert_eq!((level, ladder.at(level).rank), (ladder.best(), 0));
    }

    #[test]
    fn damage_is_named() {
        let mut ladder = Ladder::new();
        let (near, far) = (open(&mut ladder, 5), open(&mut ladder, 1 << 40));
        let damaged = |damage: fn(&mut Ladder)| {
            let mut copy = ladder.clone();
            damage(&mut copy);
            copy.check().unwrap_err()
        };
        assert_eq!((near, far), (0, 1));
        assert_eq!(damaged(|ladder| ladder.best = 1), LadderFault::Best);
        assert_eq!(damaged(|ladder| ladder.blocks.at_mut(0).occupied |= 1), LadderFault::Bitmap { key: 0 });
        assert_eq!(damaged(|ladder| ladder.blocks.at_mut(0).key = 7), LadderFault::Directory { key: 0 });
        assert_eq!(damaged(|ladder| ladder.recent_mut(0).block = 0), LadderFault::Directory { key: 1 << 34 });
        let forgotten = damaged(|ladder| {
            ladder.directory.remove(&(1 << 34));
        });
        assert_eq!(forgotten, LadderFault::Directory { key: 1 << 34 });
        assert_eq!(damaged(|ladder| ladder.at_mut(0).block = 1), LadderFault::Bitmap { key: 0 });
        assert_eq!(damaged(|ladder| ladder.at_mut(0).orders = 0), LadderFault::Bitmap { key: 0 });
        assert_eq!(damaged(|ladder| ladder.at_mut(0).rank = 6), LadderFault::Bitmap { key: 0 });
        let unreachable_level = damaged(|ladder| {
            let level = ladder.at(0).clone();
            ladder.levels.insert(level);
        });
        assert_eq!(unreachable_level, LadderFault::Leak);
        let unreachable_block = damaged(|ladder| {
            let block = ladder.blocks.at(0).clone();
            ladder.blocks.insert(block);
        });
        assert_eq!(unreachable_block, LadderFault::Leak);
    }
}

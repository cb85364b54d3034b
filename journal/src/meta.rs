//! `meta`: who this replica is, its term and vote, and a hint how far its journal was durable.
//!
//! ```text
//! page 0–3, four copies: magic "SICLMETA" | format u16 | reserved 6 bytes | sequence u64 | cluster u128 | epoch u64
//!                        | node u64 | term u64 | vote u64 | founders 136 bytes | zeros to 4,092
//!                        | crc32c u32 of the 4,092 before (4,096 bytes)
//! page 4–5, in turn:     magic "SICLHINT" | durable_block u64 | epoch u64 | zeros to 508 | crc32c u32 of the 508 before
//!                        | zeros to 4,096
//! ```
//! A change raises `sequence` and is written to one pair of copies, synced, then to the other, synced; first to the pair
//! that is not the only one with a whole copy, so that at any moment a copy is whole. The highest valid sequence wins. The
//! hint is one sector, written after each durable block and not synced: exact after a crash of the process, behind by
//! what the kernel had not written yet after a loss of power. It only ever makes recovery more careful.

use protocol::hash::crc32c;
use protocol::limits::BLOCK_ALIGN;
use protocol::mutant::{Mutant, planted};
use protocol::{ClusterEpoch, ClusterId, Field, NodeId, Term, put};

use crate::disk::{Dir, Disk, DiskFault, FileRef, ReadFrom};
use crate::marks::HardState;
use crate::{AlignedBuf, Founders, Identity, segment};

const MAGIC: &[u8; 8] = b"SICLMETA";
const HINT_MAGIC: &[u8; 8] = b"SICLHINT";
const FORMAT: u16 = 1;
const COPIES: usize = 4;
const HINT_SLOTS: usize = 2;
const FOUNDERS_AT: usize = 72;
const CRC_AT: usize = BLOCK_ALIGN - 4;
const HINT_CRC_AT: usize = segment::SECTOR_BYTES - 4;
/// Size of the file.
pub const META_BYTES: usize = (COPIES + HINT_SLOTS) * BLOCK_ALIGN;

/// What `meta` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Raised with each change.
    pub sequence: u64,
    /// Whose it is, which never changes.
    pub identity: Identity,
    /// Term and vote.
    pub hard_state: HardState,
}

/// `meta` as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaView {
    /// The newest valid copy; `None` if all are bad: the replica no longer knows whom it voted for.
    pub meta: Option<Meta>,
    /// Valid copies of the four.
    pub copies: usize,
    /// The newest block known to have been durable; 0 without a valid hint.
    pub durable_hint: u64,
}

/// The file.
#[must_use]
pub fn file() -> FileRef {
    FileRef::new(Dir::Root, "meta")
}

impl Meta {
    /// One copy.
    #[must_use]
    pub fn page(&self) -> AlignedBuf {
        let mut page = AlignedBuf::zeroed(BLOCK_ALIGN);
        put(&mut page, 0, MAGIC);
        put(&mut page, 8, &FORMAT.to_le_bytes());
        put(&mut page, 16, &self.sequence.to_le_bytes());
        let Identity { cluster, epoch, node, founders } = &self.identity;
        put(&mut page, 24, &cluster.0.to_le_bytes());
        put(&mut page, 40, &epoch.0.to_le_bytes());
        put(&mut page, 48, &node.0.to_le_bytes());
        put(&mut page, 56, &self.hard_state.term.0.to_le_bytes());
        put(&mut page, 64, &self.hard_state.vote.0.to_le_bytes());
        put(&mut page, FOUNDERS_AT, &founders.to_bytes());
        let crc = crc32c(&page[..CRC_AT]);
        put(&mut page, CRC_AT, &crc.to_le_bytes());
        page
    }

    /// Reads one copy; `None` if it is not whole.
    #[must_use]
    pub fn read_page(page: &[u8]) -> Option<Self> {
        let page = page.get(..BLOCK_ALIGN)?;
        let known = page.array(0) == *MAGIC && page.u16_at(8) == FORMAT && page.array(10) == [0; 6];
        if !known || page.u32_at(CRC_AT) != crc32c(&page[..CRC_AT]) {
            return None;
        }
        Some(Self {
            sequence: page.u64_at(16),
            identity: Identity {
                cluster: ClusterId(page.u128_at(24)),
                epoch: ClusterEpoch(page.u64_at(40)),
                node: NodeId(page.u64_at(48)),
                founders: Founders::read(page.get(FOUNDERS_AT..)?.first_chunk()?)?,
            },
            hard_state: HardState { term: Term(page.u64_at(56)), vote: NodeId(page.u64_at(64)) },
        })
    }

    /// Makes this the durable content of `meta`.
    ///
    /// # Errors
    /// [`DiskFault`]: which copies are durable is then unknown, and the caller stops.
    pub fn store<D: Disk>(&self, disk: &mut D) -> Result<(), DiskFault> {
        let page = self.page();
        // A crash in here twice must not meet the only whole copies the second time: the other pair is written first.
        let pairs = if has_whole_copy(disk, 2..COPIES)? { [[0, 1], [2, 3]] } else { [[2, 3], [0, 1]] };
        for pair in pairs {
            for copy in pair {
                disk.write_at(&file(), copy * BLOCK_ALIGN as u64, &page)?;
            }
            if !planted(Mutant::MetaNotSynced) {
                disk.sync(&file())?;
            }
        }
        Ok(())
    }
}

impl MetaView {
    /// Reads `bytes` of the file.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let page = |at: usize| bytes.get(at * BLOCK_ALIGN..).unwrap_or_default();
        let copies: Vec<Meta> = (0..COPIES).filter_map(|copy| Meta::read_page(page(copy))).collect();
        let meta = copies.iter().copied().max_by_key(|meta| meta.sequence);
        let hints = (COPIES..COPIES + HINT_SLOTS).filter_map(|slot| read_hint(page(slot)));
        Self { meta, copies: copies.len(), durable_hint: hints.max().unwrap_or(0) }
    }

    /// Loads the file from the device; `None` if there is none.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn load<D: Disk>(disk: &mut D) -> Result<Option<Self>, DiskFault> {
        if disk.len(&file())?.is_none() {
            return Ok(None);
        }
        let mut bytes = AlignedBuf::zeroed(META_BYTES);
        let read = disk.read(&file(), 0, &mut bytes, ReadFrom::Device)?;
        Ok(Some(Self::read(bytes.get(..read).unwrap_or_default())))
    }
}

/// Writes the hint that `durable_block` is durable, without a sync.
///
/// # Errors
/// [`DiskFault`].
pub fn store_hint<D: Disk>(disk: &mut D, durable_block: u64, epoch: ClusterEpoch) -> Result<(), DiskFault> {
    // The two slots take turns, so that a torn write leaves the other.
    let slot = COPIES as u64 + durable_block % HINT_SLOTS as u64;
    disk.write_at(&file(), slot * BLOCK_ALIGN as u64, &hint_sector(durable_block, epoch))
}

/// The sector of a hint.
#[must_use]
pub fn hint_sector(durable_block: u64, epoch: ClusterEpoch) -> [u8; segment::SECTOR_BYTES] {
    let mut sector = [0; segment::SECTOR_BYTES];
    put(&mut sector, 0, HINT_MAGIC);
    put(&mut sector, 8, &durable_block.to_le_bytes());
    put(&mut sector, 16, &epoch.0.to_le_bytes());
    let crc = crc32c(&sector[..HINT_CRC_AT]);
    put(&mut sector, HINT_CRC_AT, &crc.to_le_bytes());
    sector
}

fn has_whole_copy<D: Disk>(disk: &mut D, copies: std::ops::Range<usize>) -> Result<bool, DiskFault> {
    if disk.len(&file())?.is_none() {
        return Ok(false);
    }
    let mut bytes = AlignedBuf::zeroed(META_BYTES);
    let read = disk.read(&file(), 0, &mut bytes, ReadFrom::Device)?;
    let page = |copy: usize| bytes.get(copy * BLOCK_ALIGN..read).unwrap_or_default();
    Ok(copies.into_iter().any(|copy| Meta::read_page(page(copy)).is_some()))
}

fn read_hint(page: &[u8]) -> Option<u64> {
    let sector = page.get(..segment::SECTOR_BYTES)?;
    let valid =
        sector.array(0) == *HINT_MAGIC && sector.u32_at(HINT_CRC_AT) == crc32c(&sector[..HINT_CRC_AT]);
    valid.then(|| sector.u64_at(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(sequence: u64) -> Meta {
        Meta {
            sequence,
            identity: Identity {
                cluster: ClusterId(1),
                epoch: ClusterEpoch(1),
                node: NodeId(1),
                founders: Founders::alone(NodeId(1)),
            },
            hard_state: HardState { term: Term(sequence), vote: NodeId(1) },
        }
    }

    #[test]
    fn the_newest_valid_copy_wins_and_damage_to_three_is_survived() {
        let mut bytes = vec![0; META_BYTES];
        for (copy, sequence) in [(0, 6), (1, 6), (2, 5), (3, 5)] {
            put(&mut bytes, copy * BLOCK_ALIGN, &sample(sequence).page());
        }
        put(&mut bytes, 4 * BLOCK_ALIGN, &hint_sector(8, ClusterEpoch(1)));
        put(&mut bytes, 5 * BLOCK_ALIGN, &hint_sector(9, ClusterEpoch(1)));
        assert_eq!(MetaView::read(&bytes), MetaView { meta: Some(sample(6)), copies: 4, durable_hint: 9 });
        bytes[100] ^= 1;
        bytes[BLOCK_ALIGN + 4000] ^= 1;
        bytes[5 * BLOCK_ALIGN + 9] ^= 1;
        assert_eq!(MetaView::read(&bytes), MetaView { meta: Some(sample(5)), copies: 2, durable_hint: 8 });
        assert_eq!(MetaView::read(&bytes[..60]), MetaView { meta: None, copies: 0, durable_hint: 0 });
    }
}

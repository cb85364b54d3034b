//! A commit block: the frames of one durable write. It starts on a multiple of 4 KiB, is padded with zeros to one, and is
//! never rewritten.
//!
//! ```text
//! magic "SBLK" | header_crc u32 | len u32 | entries u32 | segno u64 | file_off u64 | epoch u64 | block_seq u64
//! | durable_block u64 | first_index u64 | last_index u64 | last_term u64 | prev_last_index u64 | prev_last_term u64
//! | commit_index u64 | prev_block_crc u32 | body_crc u32                                                 (112 bytes)
//! | frames (protocol::frame), one behind the other | zeros to a multiple of 4,096
//! ```
//! `len` counts header and frames without the padding. `body_crc` covers everything behind the header, padding included:
//! a flipped bit there must not pass for a whole block. `header_crc` covers the header but itself, and is the block's
//! identity in `prev_block_crc` of the next.
//!
//! `block_seq` counts this replica's blocks from 1 without gaps. `durable_block` is the newest block that was durable
//! when this one was begun: what it names may have been acknowledged and is never truncated. It is not a Raft index,
//! because those go back on a conflict. `segno` and `file_off` betray a block that was written elsewhere.
//! `first_index` is the index of the first Raft entry in it, 0 without one; `last_index` and `last_term` are the log's end
//! behind this block, `prev_…` its end before: a block that cannot be read is still named by its neighbour.

use protocol::hash::{crc32c, crc32c_append};
use protocol::limits::{BLOCK_ALIGN, BLOCK_BYTES_LARGE, BLOCK_HEADER_BYTES};
use protocol::{ClusterEpoch, Field, Index, Term, put};

use crate::AlignedBuf;

const MAGIC: u32 = u32::from_le_bytes(*b"SBLK");
const HEADER_CRC_AT: usize = 4;
const BODY_CRC_AT: usize = 108;

/// The header of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockHeader {
    /// Header and frames, without the padding.
    pub len: u32,
    /// Raft entries in it.
    pub entries: u32,
    /// Number of the segment it was written for.
    pub segno: u64,
    /// Offset there.
    pub file_off: u64,
    /// Epoch of the cluster.
    pub epoch: ClusterEpoch,
    /// Its number.
    pub block_seq: u64,
    /// The newest durable block when this one was begun.
    pub durable_block: u64,
    /// Its first Raft entry; 0 without one.
    pub first_index: Index,
    /// End of the log behind it.
    pub last_index: Index,
    /// Term of that entry.
    pub last_term: Term,
    /// End of the log before it.
    pub prev_last_index: Index,
    /// Term of that entry.
    pub prev_last_term: Term,
    /// The newest entry known to be committed when its last frame was put into it: of the log behind this block.
    pub commit_index: Index,
    /// [`Self::crc`] of the block before.
    pub prev_block_crc: u32,
    /// Checksum of everything behind the header.
    pub body_crc: u32,
    /// Checksum of the header: the block's identity.
    pub crc: u32,
}

/// What is wrong with the bytes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockFault {
    /// Fewer bytes left than a block has.
    Short,
    /// Not a block's header.
    Magic,
    /// The header's checksum differs.
    HeaderCrc {
        /// As stored.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A length that no block has.
    Length(u32),
    /// The checksum of what is behind the header differs.
    BodyCrc {
        /// As stored.
        expected: u32,
        /// As computed.
        found: u32,
    },
}

impl BlockHeader {
    /// Bytes on disk.
    #[must_use]
    pub fn extent(&self) -> usize {
        (self.len as usize).next_multiple_of(BLOCK_ALIGN)
    }

    /// Reads the header of the block that starts `bytes`; its place is the caller's to check.
    ///
    /// # Errors
    /// [`BlockFault`], but never `BodyCrc`.
    pub fn read(bytes: &[u8]) -> Result<Self, BlockFault> {
        let header = bytes.get(..BLOCK_HEADER_BYTES).ok_or(BlockFault::Short)?;
        if header.u32_at(0) != MAGIC {
            return Err(BlockFault::Magic);
        }
        let (expected, found) = (header.u32_at(HEADER_CRC_AT), header_crc(header));
        if expected != found {
            return Err(BlockFault::HeaderCrc { expected, found });
        }
        let len = header.u32_at(8);
        if !(BLOCK_HEADER_BYTES..=BLOCK_BYTES_LARGE).contains(&(len as usize)) {
            return Err(BlockFault::Length(len));
        }
        Ok(Self {
            len,
            entries: header.u32_at(12),
            segno: header.u64_at(16),
            file_off: header.u64_at(24),
            epoch: ClusterEpoch(header.u64_at(32)),
            block_seq: header.u64_at(40),
            durable_block: header.u64_at(48),
            first_index: Index(header.u64_at(56)),
            last_index: Index(header.u64_at(64)),
            last_term: Term(header.u64_at(72)),
            prev_last_index: Index(header.u64_at(80)),
            prev_last_term: Term(header.u64_at(88)),
            commit_index: Index(header.u64_at(96)),
            prev_block_crc: header.u32_at(104),
            body_crc: header.u32_at(BODY_CRC_AT),
            crc: expected,
        })
    }

    /// The frames of the block that starts `bytes`, once the checksum over them and the padding is verified.
    ///
    /// # Errors
    /// [`BlockFault::Short`] and [`BlockFault::BodyCrc`].
    pub fn frames<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], BlockFault> {
        let body = bytes.get(BLOCK_HEADER_BYTES..self.extent()).ok_or(BlockFault::Short)?;
        let found = crc32c(body);
        if found != self.body_crc {
            return Err(BlockFault::BodyCrc { expected: self.body_crc, found });
        }
        Ok(body.get(..self.len as usize - BLOCK_HEADER_BYTES).unwrap_or_default())
    }
}

/// Room for a header at the front of an empty buffer; frames are appended behind it, then [`close`] makes the block.
pub fn begin(block: &mut AlignedBuf) {
    block.clear();
    block.resize(BLOCK_HEADER_BYTES);
}

/// Pads the block in `block` and fills its header; `header`'s length and checksums are set too.
///
/// # Panics
/// If the block is longer than [`BLOCK_BYTES_LARGE`] or shorter than a header: it was not [`begin`]-begun.
pub fn close(block: &mut AlignedBuf, header: &mut BlockHeader) {
    let len = block.len();
    assert!((BLOCK_HEADER_BYTES..=BLOCK_BYTES_LARGE).contains(&len), "a block of {len} bytes");
    header.len = len as u32;
    block.resize(header.extent());
    header.body_crc = crc32c(&block[BLOCK_HEADER_BYTES..]);
    put(block, 0, &MAGIC.to_le_bytes());
    put(block, 8, &header.len.to_le_bytes());
    put(block, 12, &header.entries.to_le_bytes());
    put(block, 16, &header.segno.to_le_bytes());
    put(block, 24, &header.file_off.to_le_bytes());
    put(block, 32, &header.epoch.0.to_le_bytes());
    put(block, 40, &header.block_seq.to_le_bytes());
    put(block, 48, &header.durable_block.to_le_bytes());
    put(block, 56, &header.first_index.0.to_le_bytes());
    put(block, 64, &header.last_index.0.to_le_bytes());
    put(block, 72, &header.last_term.0.to_le_bytes());
    put(block, 80, &header.prev_last_index.0.to_le_bytes());
    put(block, 88, &header.prev_last_term.0.to_le_bytes());
    put(block, 96, &header.commit_index.0.to_le_bytes());
    put(block, 104, &header.prev_block_crc.to_le_bytes());
    put(block, BODY_CRC_AT, &header.body_crc.to_le_bytes());
    header.crc = header_crc(block);
    put(block, HEADER_CRC_AT, &header.crc.to_le_bytes());
}

fn header_crc(header: &[u8]) -> u32 {
    crc32c_append(crc32c(&header[..HEADER_CRC_AT]), &header[8..BLOCK_HEADER_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_is_found_in_the_padding_too() {
        let mut block = AlignedBuf::with_capacity(2 * BLOCK_ALIGN);
        begin(&mut block);
        assert!(block.extend(&[7; BLOCK_ALIGN]));
        let mut header = BlockHeader { segno: 1, file_off: 8192, block_seq: 4, ..BlockHeader::default() };
        close(&mut block, &mut header);
        assert_eq!(block.len(), 2 * BLOCK_ALIGN);
        assert_eq!(BlockHeader::read(&block), Ok(header));
        assert_eq!(header.frames(&block).map(<[u8]>::len), Ok(BLOCK_ALIGN));
        for bit in 0..block.len() * 8 {
            let mut damaged = block.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read =
                BlockHeader::read(&damaged).and_then(|header| header.frames(&damaged).map(<[u8]>::len));
            assert!(read.is_err(), "bit {bit}");
        }
    }
}

//! A segment: a file of fixed size, filled with a pattern before it is used.
//!
//! Name: `j/{epoch:08x}-{segno:010}.seg`. Two equal header pages, then commit blocks ([`crate::block`]) up to a SEAL
//! frame, then what is left of the pattern. The pattern is one random, non-zero u64 repeated, the *nonce*: what was
//! never written can be told from what was damaged, and a write into it needs no journal commit of the file system.
//! A segment with the pattern in its header pages too is a spare.
//!
//! ```text
//! magic "LGRJRNL1" | format u16 | reserved 6 bytes | cluster u128 | epoch u64 | node u64 | segno u64        (56 bytes)
//! | first_index u64 | prev_term u64 | prev_chain 32 bytes | nonce u64 | segment_bytes u64 | created_ns u64 (128 bytes)
//! | prev_block u64 | prev_block_crc u32 | begins_anew u8 | zeros 3 bytes | repairs: behind_segno u64
//! | given_up_to u64 | reach_index u64 | reach_term u64                                                   (176 bytes)
//! | zeros to 4,092 | crc32c u32 of the bytes before                                                    (4,096 bytes)
//! ```
//! `first_index` is the next index to come when it was begun, `prev_term` and `prev_chain` are those of the entry before,
//! `prev_block` and `prev_block_crc` name the last block of the segment before. That block was durable when this header
//! was written. `created_ns` is the time of the newest record then. `begins_anew` is 1 where the log begins behind a
//! snapshot that came from a peer: no entry before it is here, and `prev_term` and `prev_chain` are the snapshot's.
//! `repairs` is zeros but in a segment that goes on behind damage ([`Repairs`]).

use protocol::hash::{Hash, crc32c};
use protocol::limits::BLOCK_ALIGN;
use protocol::{ClusterEpoch, ClusterId, Field, Index, NodeId, Term, UnixNanos, put};

use crate::AlignedBuf;
use crate::disk::{Dir, Disk, DiskFault, FileRef};

/// Bytes of one header page.
pub const HEADER_PAGE_BYTES: usize = BLOCK_ALIGN;
/// Where the first block stands: behind both header pages.
pub const BLOCKS_AT: u64 = 2 * HEADER_PAGE_BYTES as u64;
/// Smallest unit that a disk writes whole.
pub const SECTOR_BYTES: usize = 512;
/// Smallest segment: the headers, one block of a batch and the SEAL.
pub const SEGMENT_BYTES_MIN: u64 = 128 << 10;

const MAGIC: &[u8; 8] = b"LGRJRNL1";
const FORMAT: u16 = 1;
const CRC_AT: usize = HEADER_PAGE_BYTES - 4;

/// Which segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// Epoch of the cluster in which it was made.
    pub epoch: ClusterEpoch,
    /// Its number, from 1, without gaps.
    pub segno: u64,
}

impl SegmentName {
    /// Its file.
    #[must_use]
    pub fn file(self) -> FileRef {
        FileRef::new(Dir::Journal, self.to_string())
    }

    /// Reads the name of a file; `None` if it is not that of a segment.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (epoch, segno) = name.strip_suffix(".seg")?.split_once('-')?;
        let parsed =
            Self { epoch: ClusterEpoch(u64::from_str_radix(epoch, 16).ok()?), segno: segno.parse().ok()? };
        (parsed.to_string() == name).then_some(parsed)
    }

    /// The one after this in the same epoch.
    #[must_use]
    pub fn next(self) -> Self {
        Self { segno: self.segno + 1, ..self }
    }
}

impl std::fmt::Display for SegmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{:010}.seg", self.epoch.0, self.segno)
    }
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its epoch.
    pub epoch: ClusterEpoch,
    /// The replica.
    pub node: NodeId,
    /// Number of the segment.
    pub segno: u64,
    /// The next index to come when it was begun.
    pub first_index: Index,
    /// Term of the entry before.
    pub prev_term: Term,
    /// Chain of the entry before.
    pub prev_chain: Hash,
    /// The word it was filled with.
    pub nonce: u64,
    /// Size of the file.
    pub segment_bytes: u64,
    /// Time of the newest record when it was begun; 0 if there was none.
    pub created: UnixNanos,
    /// The last block of the segment before; 0 if there is none.
    pub prev_block: u64,
    /// That block's [`crate::block::BlockHeader::crc`].
    pub prev_block_crc: u32,
    /// The log begins here, behind a snapshot that came from a peer.
    pub begins_anew: bool,
    /// The log goes on here behind damage.
    pub repairs: Option<Repairs>,
}

/// A segment that goes on where whole blocks ended before: what lies between in the files is given up, and stays there
/// as it was found. `prev_block` and `prev_block_crc` name the last whole block, in segment `behind_segno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repairs {
    /// The segment in which whole blocks end. Those numbered between it and this one are passed over.
    pub behind_segno: u64,
    /// The newest block that is given up; the first one here counts on from it, so that nothing left of the old ones passes
    /// for newer.
    pub given_up_to: u64,
    /// The repair is done when the log has ended with this entry once; until then the journal is damaged.
    pub reach_index: Index,
    /// Its term.
    pub reach_term: Term,
}

/// What is wrong with a header page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentFault {
    /// Shorter than a page.
    Short,
    /// Not a segment.
    Magic,
    /// The checksum differs.
    Crc {
        /// As stored.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A later format, or reserved bytes that are not zero.
    Format(u16),
}

impl SegmentHeader {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> SegmentName {
        SegmentName { epoch: self.epoch, segno: self.segno }
    }

    /// The header of segment `name`, by whichever of its two pages is whole.
    #[must_use]
    pub fn read_either(name: SegmentName, pages: &[u8]) -> Option<Self> {
        let mut copies = pages.chunks(HEADER_PAGE_BYTES).take(2).filter_map(|page| Self::read(page).ok());
        copies.next().filter(|header| header.name() == name)
    }

    /// Both header pages.
    #[must_use]
    pub fn pages(&self) -> AlignedBuf {
        let mut pages = AlignedBuf::zeroed(2 * HEADER_PAGE_BYTES);
        put(&mut pages, 0, MAGIC);
        put(&mut pages, 8, &FORMAT.to_le_bytes());
        put(&mut pages, 16, &self.cluster.0.to_le_bytes());
        put(&mut pages, 32, &self.epoch.0.to_le_bytes());
        put(&mut pages, 40, &self.node.0.to_le_bytes());
        put(&mut pages, 48, &self.segno.to_le_bytes());
        put(&mut pages, 56, &self.first_index.0.to_le_bytes());
        put(&mut pages, 64, &self.prev_term.0.to_le_bytes());
        put(&mut pages, 72, &self.prev_chain.0);
        put(&mut pages, 104, &self.nonce.to_le_bytes());
        put(&mut pages, 112, &self.segment_bytes.to_le_bytes());
        put(&mut pages, 120, &self.created.0.to_le_bytes());
        put(&mut pages, 128, &self.prev_block.to_le_bytes());
        put(&mut pages, 136, &self.prev_block_crc.to_le_bytes());
        put(&mut pages, 140, &[u8::from(self.begins_anew)]);
        if let Some(repairs) = self.repairs {
            put(&mut pages, 144, &repairs.behind_segno.to_le_bytes());
            put(&mut pages, 152, &repairs.given_up_to.to_le_bytes());
            put(&mut pages, 160, &repairs.reach_index.0.to_le_bytes());
            put(&mut pages, 168, &repairs.reach_term.0.to_le_bytes());
        }
        let crc = crc32c(&pages[..CRC_AT]);
        put(&mut pages, CRC_AT, &crc.to_le_bytes());
        pages.copy_within(..HEADER_PAGE_BYTES, HEADER_PAGE_BYTES);
        pages
    }

    /// Reads one header page.
    ///
    /// # Errors
    /// [`SegmentFault`].
    pub fn read(page: &[u8]) -> Result<Self, SegmentFault> {
        let page = page.get(..HEADER_PAGE_BYTES).ok_or(SegmentFault::Short)?;
        if page.array(0) != *MAGIC {
            return Err(SegmentFault::Magic);
        }
        let (expected, found) = (page.u32_at(CRC_AT), crc32c(&page[..CRC_AT]));
        if expected != found {
            return Err(SegmentFault::Crc { expected, found });
        }
        let format = page.u16_at(8);
        if format != FORMAT || page.array(10) != [0; 6] {
            return Err(SegmentFault::Format(format));
        }
        Ok(Self {
            cluster: ClusterId(page.u128_at(16)),
            epoch: ClusterEpoch(page.u64_at(32)),
            node: NodeId(page.u64_at(40)),
            segno: page.u64_at(48),
            first_index: Index(page.u64_at(56)),
            prev_term: Term(page.u64_at(64)),
            prev_chain: Hash(page.array(72)),
            nonce: page.u64_at(104),
            segment_bytes: page.u64_at(112),
            created: UnixNanos(page.u64_at(120)),
            prev_block: page.u64_at(128),
            prev_block_crc: page.u32_at(136),
            begins_anew: page.array(140) == [1],
            repairs: (page.u64_at(144) > 0).then(|| Repairs {
                behind_segno: page.u64_at(144),
                given_up_to: page.u64_at(152),
                reach_index: Index(page.u64_at(160)),
                reach_term: Term(page.u64_at(168)),
            }),
        })
    }
}

/// The nonce of segment `segno`: a function of a seed that the caller drew at random when it opened the journal.
#[must_use]
pub fn nonce(seed: u64, segno: u64) -> u64 {
    // SplitMix64's finaliser (Steele, Lea, Flood 2014); a zero would make the pattern look like padding.
    let mut word = seed ^ segno.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^= word >> 31;
    if word == 0 { 0x5349_4349_4c00_0001 } else { word }
}

/// Whether `bytes` are nothing but the pattern of `nonce`. `bytes` start at a multiple of 8 in the file.
#[must_use]
pub fn is_prefill(bytes: &[u8], nonce: u64) -> bool {
    let pattern = nonce.to_le_bytes();
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| *word == pattern) && rest == &pattern[..rest.len()]
}

/// Fills `bytes` with the pattern of `nonce`.
pub fn fill(bytes: &mut [u8], nonce: u64) {
    let pattern = nonce.to_le_bytes();
    let (words, rest) = bytes.as_chunks_mut::<8>();
    words.fill(pattern);
    rest.copy_from_slice(&pattern[..rest.len()]);
}

/// Bytes that [`prefill`] writes at a time: a commit block that comes in between waits for one of these.
pub const PREFILL_STEP_BYTES: usize = 128 << 10;

/// Bytes of a spare that are written beside a running journal before they are synced: the sync of a commit block has to wait for
/// all that lies in a cache in front of it, the device's or the page cache.
pub const PREFILL_SYNC_BYTES: u64 = 4 << 20;

/// Makes a spare segment with plain calls: pattern, sync, name, sync of the folder. Under a name of its own until it is
/// whole, so that a segment in its place is always of full size.
///
/// # Errors
/// [`DiskFault`]; what was made so far is removed if that is possible.
pub fn prefill<D: Disk>(disk: &mut D, file: &FileRef, bytes: u64, nonce: u64) -> Result<(), DiskFault> {
    let unfinished = unfinished(file);
    let mut written = 0;
    let mut step = AlignedBuf::zeroed(PREFILL_STEP_BYTES);
    fill(&mut step, nonce);
    while written < bytes {
        let len = step.len().min((bytes - written) as usize);
        if let Err(fault) = disk.write_at(&unfinished, written, &step[..len]) {
            // The space is wanted back; a second failure changes nothing about the first.
            return disk.remove(&unfinished).and(Err(fault));
        }
        written += len as u64;
    }
    disk.sync(&unfinished)?;
    disk.sync_dir(file.dir)?;
    disk.rename(&unfinished, file)?;
    disk.sync_dir(file.dir)
}

/// The name of a file that is still being made; such files are removed at the start.
#[must_use]
pub fn unfinished(file: &FileRef) -> FileRef {
    FileRef::new(file.dir, format!("{}{UNFINISHED_SUFFIX}", file.name))
}

/// How names of unfinished files end.
pub const UNFINISHED_SUFFIX: &str = ".tmp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_only_as_they_are_written() {
        let name = SegmentName { epoch: ClusterEpoch(0x1f), segno: 12 };
        assert_eq!(name.to_string(), "0000001f-0000000012.seg");
        assert_eq!(SegmentName::parse("0000001f-0000000012.seg"), Some(name));
        for other in [
            "0000001F-0000000012.seg",
            "1f-12.seg",
            "0000001f-0000000012.seg.tmp",
            "meta",
            "+000001f-0000000012.seg",
        ] {
            assert_eq!(SegmentName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_found() {
        let header = SegmentHeader {
            cluster: ClusterId(7),
            epoch: ClusterEpoch(1),
            node: NodeId(1),
            segno: 3,
            first_index: Index(9),
            prev_term: Term(2),
            prev_chain: Hash([5; 32]),
            nonce: 0x1234,
            segment_bytes: 1 << 18,
            created: UnixNanos(99),
            prev_block: 4,
            prev_block_crc: 5,
            begins_anew: true,
            repairs: Some(Repairs {
                behind_segno: 2,
                given_up_to: 8,
                reach_index: Index(12),
                reach_term: Term(2),
            }),
        };
        let pages = header.pages();
        assert_eq!(SegmentHeader::read(&pages), Ok(header));
        assert_eq!(SegmentHeader::read(&pages[HEADER_PAGE_BYTES..]), Ok(header));
        for bit in 0..HEADER_PAGE_BYTES * 8 {
            let mut damaged = pages[..HEADER_PAGE_BYTES].to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::read(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_pattern_is_recognised_and_one_flipped_bit_in_it_too() {
        let mut bytes = vec![0; 4096];
        fill(&mut bytes, nonce(1, 1));
        assert!(is_prefill(&bytes, nonce(1, 1)));
        assert_ne!(nonce(1, 1), nonce(1, 2));
        bytes[4095] ^= 1;
        assert!(!is_prefill(&bytes, nonce(1, 1)));
    }
}

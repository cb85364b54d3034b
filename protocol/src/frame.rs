//! A frame: one Raft entry, or one local mark, as it stands in the journal and on the wire.
//!
//! ```text
//! len u32 | kind u8 | flags u8 | reserved u16 | index u64 | term u64 | time_ns u64 | first_seq u64 | count u32
//! | engine_version u32 | applied_seq u64 | effect_hash 32 bytes | payload_crc32c u32 | header_crc32c u32     (96 bytes)
//! | payload, zero-padded to a multiple of 8 | chain 32 bytes
//! ```
//! `len` counts all of it. Record i of the payload has seq `first_seq + i` and time `time_ns + i`.
//! `chain = BLAKE3(chain of the entry before ‖ header ‖ payload)` is computed by the journal, so that it is the same on
//! every replica; frames of local kinds are not chained and carry zeros there.

use crate::bytes::{Field, put};
use crate::hash::{self, Hash, crc32c};
use crate::limits::{FRAME_BYTES_LARGE, FRAME_CHAIN_BYTES, FRAME_HEADER_BYTES};
use crate::record::{self, Record, Unreadable};
use crate::wire::codes;
use crate::{Index, Seq, Term, UnixNanos};

codes! {
    /// What a frame is. `Entry` to `Skip` are Raft entries; the others are local to a replica and not chained.
    pub enum FrameKind {
        /// A batch of records.
        Entry = 1,
        /// A membership change (ConfChangeV2).
        Conf = 2,
        /// The empty entry with which a leader opens its term.
        Noop = 3,
        /// Passes over one record that no engine can take, by operators' decision ([`crate::skip`]).
        Skip = 4,
        /// Term and vote: payload term u64, vote u64.
        HardState = 16,
        /// The log from `index` on is void: a conflict with a newer leader's; payload term and chain of the entry before.
        Truncate = 17,
        /// A snapshot at `index` is durable; payload state hash.
        SnapMark = 18,
        /// Last frame of a segment: `index` is the last one; payload chain, Merkle root.
        Seal = 19,
    }
}

impl FrameKind {
    /// Whether frames of this kind are Raft entries, and chained.
    #[must_use]
    pub const fn is_entry(self) -> bool {
        matches!(self, Self::Entry | Self::Conf | Self::Noop | Self::Skip)
    }
}

/// The fixed header of a frame, without its lengths and checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub kind: FrameKind,
    /// Raft index; for local kinds what their documentation says.
    pub index: Index,
    /// Raft term.
    pub term: Term,
    /// Time of the first record.
    pub time: UnixNanos,
    /// Seq of the first record; where there is none, of the next one to come.
    pub first_seq: Seq,
    /// Records in the payload.
    pub count: u32,
    /// Version of the rules under which the proposer runs.
    pub engine_version: u32,
    /// The last seq whose effects the proposer had applied …
    pub applied_seq: Seq,
    /// … and the rolling hash of all effects up to it ([`crate::event::EffectHash`]).
    pub effect_hash: Hash,
}

/// A frame, read in place, checksums verified.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// Its payload, padding included.
    pub payload: &'a [u8],
    /// Its place in the hash chain; zero in local kinds, and in an entry that no journal has taken yet.
    pub chain: Hash,
    /// All its bytes.
    pub bytes: &'a [u8],
}

/// What is wrong with the bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// Fewer bytes than a header or its length says.
    Short {
        /// Bytes needed.
        needed: usize,
        /// Bytes found.
        found: usize,
    },
    /// A length that no frame has.
    Length(u32),
    /// The header's checksum differs.
    HeaderCrc {
        /// As stored.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A kind of a later format.
    Kind(u8),
    /// Flags or reserved bytes that are not zero.
    Reserved,
    /// The payload's checksum differs.
    PayloadCrc {
        /// As stored.
        expected: u32,
        /// As computed.
        found: u32,
    },
}

const HEADER_CRC_AT: usize = 92;
const PAYLOAD_CRC_AT: usize = 88;
const LEN_MIN: usize = FRAME_HEADER_BYTES + FRAME_CHAIN_BYTES;

/// Bytes of a frame around `payload_bytes` of records.
#[must_use]
pub const fn frame_bytes(payload_bytes: usize) -> usize {
    payload_bytes.next_multiple_of(8).saturating_add(LEN_MIN)
}

/// Room for a frame's header at the front of an empty buffer: records are appended behind it, then [`finish`] closes
/// the frame in place, without a copy.
pub fn begin(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(FRAME_HEADER_BYTES, 0);
}

/// Closes the frame that [`begin`] opened: pads, leaves room for the chain, fills the header.
pub fn finish(buffer: &mut Vec<u8>, header: &FrameHeader) {
    buffer.resize(frame_bytes(buffer.len().saturating_sub(FRAME_HEADER_BYTES)), 0);
    set_header(buffer, header);
}

/// Fills the header of a closed frame again: a proposal that was dropped gets another term, index or time.
pub fn set_header(frame: &mut [u8], header: &FrameHeader) {
    let payload_end = frame.len().saturating_sub(FRAME_CHAIN_BYTES);
    let payload_crc = crc32c(frame.get(FRAME_HEADER_BYTES..payload_end).unwrap_or_default());
    let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    put(frame, 0, &len.to_le_bytes());
    put(frame, 4, &[header.kind.code(), 0, 0, 0]);
    put(frame, 8, &header.index.0.to_le_bytes());
    put(frame, 16, &header.term.0.to_le_bytes());
    put(frame, 24, &header.time.0.to_le_bytes());
    put(frame, 32, &header.first_seq.0.to_le_bytes());
    put(frame, 40, &header.count.to_le_bytes());
    put(frame, 44, &header.engine_version.to_le_bytes());
    put(frame, 48, &header.applied_seq.0.to_le_bytes());
    put(frame, 56, &header.effect_hash.0);
    put(frame, PAYLOAD_CRC_AT, &payload_crc.to_le_bytes());
    let header_crc = crc32c(frame.get(..HEADER_CRC_AT).unwrap_or_default());
    put(frame, HEADER_CRC_AT, &header_crc.to_le_bytes());
}

/// Fills the chain of a closed frame.
pub fn set_chain(frame: &mut [u8], chain: Hash) {
    let at = frame.len().saturating_sub(FRAME_CHAIN_BYTES);
    put(frame, at, &chain.0);
}

impl<'a> Frame<'a> {
    /// Reads the first frame of `bytes` and verifies both checksums; `bytes` may go on behind it.
    /// The chain is the reader's to verify: [`Frame::chain_after`].
    ///
    /// # Errors
    /// [`FrameFault`], in the order of its variants.
    pub fn read(bytes: &'a [u8]) -> Result<Self, FrameFault> {
        let short = |needed: usize| FrameFault::Short { needed, found: bytes.len() };
        if bytes.len() < LEN_MIN {
            return Err(short(LEN_MIN));
        }
        let length = bytes.u32_at(0);
        let len = usize::try_from(length).map_err(|_| FrameFault::Length(length))?;
        if !(LEN_MIN..=FRAME_BYTES_LARGE).contains(&len) || !len.is_multiple_of(8) {
            return Err(FrameFault::Length(length));
        }
        let bytes = bytes.get(..len).ok_or_else(|| short(len))?;
        let expected = bytes.u32_at(HEADER_CRC_AT);
        let found = crc32c(bytes.get(..HEADER_CRC_AT).unwrap_or_default());
        if expected != found {
            return Err(FrameFault::HeaderCrc { expected, found });
        }
        let [code, flags, reserved @ ..]: [u8; 4] = bytes.array(4);
        let kind = FrameKind::from_code(code).ok_or(FrameFault::Kind(code))?;
        if flags != 0 || reserved != [0, 0] {
            return Err(FrameFault::Reserved);
        }
        let chain_at = len.saturating_sub(FRAME_CHAIN_BYTES);
        let payload = bytes.get(FRAME_HEADER_BYTES..chain_at).unwrap_or_default();
        let expected = bytes.u32_at(PAYLOAD_CRC_AT);
        let found = crc32c(payload);
        if expected != found {
            return Err(FrameFault::PayloadCrc { expected, found });
        }
        let header = FrameHeader {
            kind,
            index: Index(bytes.u64_at(8)),
            term: Term(bytes.u64_at(16)),
            time: UnixNanos(bytes.u64_at(24)),
            first_seq: Seq(bytes.u64_at(32)),
            count: bytes.u32_at(40),
            engine_version: bytes.u32_at(44),
            applied_seq: Seq(bytes.u64_at(48)),
            effect_hash: Hash(bytes.array(56)),
        };
        Ok(Self { header, payload, chain: Hash(bytes.array(chain_at)), bytes })
    }

    /// What this frame's chain must be behind `previous`.
    #[must_use]
    pub fn chain_after(&self, previous: Hash) -> Hash {
        let chained =
            self.bytes.get(..self.bytes.len().saturating_sub(FRAME_CHAIN_BYTES)).unwrap_or_default();
        hash::blake3(&[&previous.0, chained])
    }

    /// Its records with their seq and time.
    pub fn records(
        &self,
    ) -> impl Iterator<Item = (Seq, UnixNanos, Result<Record<'a>, Unreadable<'a>>)> + use<'a> {
        let (first_seq, time) = (self.header.first_seq.0, self.header.time);
        (0_u64..)
            .zip(record::records(self.payload, self.header.count))
            .map(move |(i, record)| (Seq(first_seq.saturating_add(i)), time.plus(i), record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut buffer = Vec::new();
        begin(&mut buffer);
        buffer.extend_from_slice(b"thirteen byte");
        let header = FrameHeader {
            kind: FrameKind::Entry,
            index: Index(7),
            term: Term(2),
            time: UnixNanos(1_700_000_000_000_000_000),
            first_seq: Seq(41),
            count: 0,
            engine_version: 1,
            applied_seq: Seq(40),
            effect_hash: hash::blake3(&[b"effects"]),
        };
        finish(&mut buffer, &header);
        buffer
    }

    #[test]
    fn every_flipped_bit_outside_the_chain_is_found() {
        let frame = sample();
        let read = Frame::read(&frame).unwrap();
        assert_eq!(read.header.first_seq, Seq(41));
        assert_eq!(read.payload.len(), 16);
        for at in 0..frame.len() - FRAME_CHAIN_BYTES {
            for bit in 0..8 {
                let mut damaged = frame.clone();
                damaged[at] ^= 1 << bit;
                assert!(Frame::read(&damaged).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn chain_covers_every_byte_before_it() {
        let frame = sample();
        let chain = Frame::read(&frame).unwrap().chain_after(Hash::ZERO);
        let mut edited = frame.clone();
        let mut header = Frame::read(&frame).unwrap().header;
        header.time = header.time.plus(1);
        set_header(&mut edited, &header);
        assert_ne!(
            Frame::read(&edited).unwrap().chain_after(Hash::ZERO),
            chain,
            "a new checksum does not hide it"
        );
    }
}

//! Frames that are local to a replica: what stands in their payload. They are not Raft entries and not chained.
//!
//! ```text
//! HARDSTATE   index 0, term the term                  | term u64 | vote u64 (0 = none)
//! TRUNCATE    index the first void one                | term u64 and chain 32 bytes of the entry before it
//! SNAP_MARK   index that of the snapshot, term its    | state hash 32 bytes
//! SEAL        index and term of the log's end         | chain 32 bytes | Merkle root 32 bytes (zero: not computed)
//! ```

use protocol::frame::{self, Frame, FrameHeader, FrameKind};
use protocol::hash::Hash;
use protocol::{Field, Index, NodeId, Seq, Term, UnixNanos};

/// Term and vote (Raft, §5.2): what a replica must remember before it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The newest term it has seen.
    pub term: Term,
    /// Whom it voted for in that term; node 0 is nobody.
    pub vote: NodeId,
}

/// A local frame, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalMark {
    /// Term and vote.
    HardState(HardState),
    /// The log from `from` on is void.
    Truncate {
        /// The first void entry.
        from: Index,
        /// Term of the entry before it.
        prev_term: Term,
        /// Chain of the entry before it.
        prev_chain: Hash,
    },
    /// A snapshot is durable.
    Snapshot {
        /// The last entry in it.
        index: Index,
        /// That entry's term.
        term: Term,
        /// Hash of the state.
        state_hash: Hash,
    },
    /// The segment ends here.
    Seal {
        /// End of the log.
        last_index: Index,
        /// That entry's term.
        last_term: Term,
        /// That entry's chain.
        chain: Hash,
        /// Root of the tree over all records; zero where it is not computed.
        merkle_root: Hash,
    },
}

impl LocalMark {
    /// Its frame, closed, in `buffer`.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        frame::begin(buffer);
        let (kind, index, term) = match self {
            Self::HardState(state) => {
                buffer.extend_from_slice(&state.term.0.to_le_bytes());
                buffer.extend_from_slice(&state.vote.0.to_le_bytes());
                (FrameKind::HardState, Index(0), state.term)
            }
            Self::Truncate { from, prev_term, prev_chain } => {
                buffer.extend_from_slice(&prev_term.0.to_le_bytes());
                buffer.extend_from_slice(&prev_chain.0);
                (FrameKind::Truncate, *from, Term(0))
            }
            Self::Snapshot { index, term, state_hash } => {
                buffer.extend_from_slice(&state_hash.0);
                (FrameKind::SnapMark, *index, *term)
            }
            Self::Seal { last_index, last_term, chain, merkle_root } => {
                buffer.extend_from_slice(&chain.0);
                buffer.extend_from_slice(&merkle_root.0);
                (FrameKind::Seal, *last_index, *last_term)
            }
        };
        let header = FrameHeader {
            kind,
            index,
            term,
            time: UnixNanos(0),
            first_seq: Seq(0),
            count: 0,
            engine_version: 0,
            applied_seq: Seq(0),
            effect_hash: Hash::ZERO,
        };
        frame::finish(buffer, &header);
    }

    /// Reads a local frame; `None` for a Raft entry and for a payload shorter than its kind's.
    #[must_use]
    pub fn read(frame: &Frame<'_>) -> Option<Self> {
        let payload = frame.payload;
        let (index, term) = (frame.header.index, frame.header.term);
        let has = |bytes: usize| (payload.len() >= bytes).then_some(());
        match frame.header.kind {
            FrameKind::HardState => {
                has(16)?;
                let state = HardState { term: Term(payload.u64_at(0)), vote: NodeId(payload.u64_at(8)) };
                Some(Self::HardState(state))
            }
            FrameKind::Truncate => {
                has(40)?;
                Some(Self::Truncate {
                    from: index,
                    prev_term: Term(payload.u64_at(0)),
                    prev_chain: Hash(payload.array(8)),
                })
            }
            FrameKind::SnapMark => {
                has(32)?;
                Some(Self::Snapshot { index, term, state_hash: Hash(payload.array(0)) })
            }
            FrameKind::Seal => {
                has(64)?;
                Some(Self::Seal {
                    last_index: index,
                    last_term: term,
                    chain: Hash(payload.array(0)),
                    merkle_root: Hash(payload.array(32)),
                })
            }
            FrameKind::Entry | FrameKind::Conf | FrameKind::Noop | FrameKind::Skip => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_reads_as_it_was_written() {
        let marks = [
            LocalMark::HardState(HardState { term: Term(3), vote: NodeId(2) }),
            LocalMark::Truncate { from: Index(8), prev_term: Term(2), prev_chain: Hash([1; 32]) },
            LocalMark::Snapshot { index: Index(7), term: Term(2), state_hash: Hash([2; 32]) },
            LocalMark::Seal {
                last_index: Index(9),
                last_term: Term(3),
                chain: Hash([3; 32]),
                merkle_root: Hash([4; 32]),
            },
        ];
        let mut buffer = Vec::new();
        for mark in marks {
            mark.write(&mut buffer);
            let frame = Frame::read(&buffer).unwrap();
            assert!(!frame.header.kind.is_entry());
            assert_eq!(LocalMark::read(&frame), Some(mark));
        }
    }
}

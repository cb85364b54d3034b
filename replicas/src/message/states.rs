//! What replicas say to each other about their states behind checkpoints, as bytes. No part of Raft: what is lost is asked for.
//!
//! ```text
//! header as in `message/transfer.rs`, with these kinds                                                  (32 bytes)
//! | 100 state: seq u64 | hash [32] | count times a part's hash [32], at most 32
//! | 101 ask:   seq u64                      what is yours?
//! ```

use journal::snapshot_file::SnapshotHeader;
use protocol::hash::Hash;
use protocol::{Field, Seq};

use super::transfer::{HEADER_BYTES, close, open};
use super::{Envelope, MessageFault};
use crate::checkpoint::last_seq;

const STATE: u8 = 100;
const ASK: u8 = 101;
const STATE_BYTES: usize = 40;
const ASK_BYTES: usize = 8;
const PART_BYTES: usize = 32;
const PARTS_MAX: usize = 32;

/// A state behind a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateAt {
    /// The last seq in it.
    pub(crate) seq: Seq,
    /// Of everything that its snapshot's header says, the hash of the state among it.
    pub(crate) hash: Hash,
    /// Of the state's parts, in their order; none where only the hash is known.
    pub(crate) parts: Vec<Hash>,
}

impl StateAt {
    /// Of the snapshot with this header.
    pub(crate) fn of(header: &SnapshotHeader, parts: Vec<Hash>) -> Self {
        Self { seq: last_seq(header), hash: header.hash(), parts }
    }
}

/// A message about states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AboutState {
    /// The sender's.
    Is(StateAt),
    /// What is yours behind the checkpoint with this seq?
    Ask(Seq),
}

/// Whether these bytes are a message about states.
pub(crate) fn is_states(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| [STATE, ASK].contains(kind))
}

pub(crate) fn encode(envelope: Envelope, message: &AboutState) -> Vec<u8> {
    match message {
        AboutState::Is(state) => {
            let mut body = Vec::with_capacity(STATE_BYTES + PART_BYTES * state.parts.len());
            body.extend_from_slice(&state.seq.0.to_le_bytes());
            body.extend_from_slice(&state.hash.0);
            state.parts.iter().take(PARTS_MAX).for_each(|part| body.extend_from_slice(&part.0));
            close(envelope, STATE, &body)
        }
        AboutState::Ask(seq) => close(envelope, ASK, &seq.0.to_le_bytes()),
    }
}

/// Reads a message that came from `envelope.from`.
pub(crate) fn decode(envelope: Envelope, bytes: &[u8]) -> Result<AboutState, MessageFault> {
    let found = bytes.len();
    let length = |expected: usize| MessageFault::Length { expected: HEADER_BYTES + expected, found };
    if found < HEADER_BYTES + ASK_BYTES {
        return Err(length(ASK_BYTES));
    }
    let (kind, body) = open(envelope, bytes)?;
    let seq = Seq(body.u64_at(0));
    match kind {
        STATE => {
            let (parts, rest) =
                body.get(STATE_BYTES..).ok_or_else(|| length(STATE_BYTES))?.as_chunks::<PART_BYTES>();
            if !rest.is_empty() {
                return Err(length(STATE_BYTES + PART_BYTES * parts.len()));
            }
            if parts.len() > PARTS_MAX {
                return Err(MessageFault::Range("parts of a state"));
            }
            let parts = parts.iter().map(|part| Hash(*part)).collect();
            Ok(AboutState::Is(StateAt { seq, hash: Hash(body.array(8)), parts }))
        }
        ASK if body.len() == ASK_BYTES => Ok(AboutState::Ask(seq)),
        ASK => Err(length(ASK_BYTES)),
        _ => Err(MessageFault::Kind(kind)),
    }
}

#[cfg(test)]
mod tests {
    use protocol::{ClusterEpoch, NodeId};

    use super::super::damaged::{mend_checksum, never_panics};
    use super::*;

    const ENVELOPE: Envelope = Envelope { epoch: ClusterEpoch(3), from: NodeId(1), to: NodeId(2) };

    fn examples() -> [AboutState; 3] {
        let (seq, hash) = (Seq(77), Hash([5; 32]));
        let parts = vec![Hash([6; 32]), Hash([7; 32])];
        [
            AboutState::Is(StateAt { seq, hash, parts }),
            AboutState::Is(StateAt { seq, hash, parts: Vec::new() }),
            AboutState::Ask(seq),
        ]
    }

    #[test]
    fn is_read_as_it_was_written_and_damage_is_refused() {
        for message in examples() {
            let bytes = encode(ENVELOPE, &message);
            assert!(is_states(&bytes));
            assert_eq!(decode(ENVELOPE, &bytes), Ok(message));
            for at in 0..bytes.len() {
                assert!(decode(ENVELOPE, &bytes[..at]).is_err(), "cut at {at}");
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x40;
                assert!(decode(ENVELOPE, &damaged).is_err(), "byte {at}");
            }
            assert!(decode(Envelope { from: NodeId(4), ..ENVELOPE }, &bytes).is_err());
        }
        let many = StateAt { seq: Seq(1), hash: Hash::ZERO, parts: vec![Hash::ZERO; PARTS_MAX] };
        let mut bytes = encode(ENVELOPE, &AboutState::Is(many));
        bytes.extend_from_slice(&[0; PART_BYTES]);
        mend_checksum(&mut bytes);
        assert_eq!(decode(ENVELOPE, &bytes), Err(MessageFault::Range("parts of a state")));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let originals: Vec<Vec<u8>> = examples().iter().map(|message| encode(ENVELOPE, message)).collect();
        let again = |bytes: &[u8]| decode(ENVELOPE, bytes).ok().map(|message| encode(ENVELOPE, &message));
        never_panics(20_261_129, &originals, mend_checksum, again);
    }
}

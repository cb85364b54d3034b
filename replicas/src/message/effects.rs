//! What replicas say to each other about their effects, as bytes. No part of Raft: what is lost is said again.
//!
//! ```text
//! header as in `message/transfer.rs`, with these kinds                                                  (32 bytes)
//! | 96 claim: seq u64 | hash [32]           up to this seq our effects have this hash
//! | 97 ask:   seq u64 | recorded [32]       what is yours? A proposer recorded this one
//! ```

use protocol::hash::Hash;
use protocol::{Field, Seq};

use super::transfer::{HEADER_BYTES, close, open};
use super::{Envelope, MessageFault};

const BODY_BYTES: usize = 40;
const CLAIM: u8 = 96;
const ASK: u8 = 97;

/// A message about effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effects {
    /// Up to `seq` the sender's effects have this hash.
    Claim { seq: Seq, hash: Hash },
    /// What is yours? `recorded` is what the frame says.
    Ask { seq: Seq, recorded: Hash },
}

/// Whether these bytes are a message about effects.
pub(crate) fn is_effects(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| [CLAIM, ASK].contains(kind))
}

pub(crate) fn encode(envelope: Envelope, message: Effects) -> Vec<u8> {
    let (kind, seq, hash) = match message {
        Effects::Claim { seq, hash } => (CLAIM, seq, hash),
        Effects::Ask { seq, recorded } => (ASK, seq, recorded),
    };
    let mut body = [0; BODY_BYTES];
    protocol::put(&mut body, 0, &seq.0.to_le_bytes());
    protocol::put(&mut body, 8, &hash.0);
    close(envelope, kind, &body)
}

/// Reads a message that came from `envelope.from`.
pub(crate) fn decode(envelope: Envelope, bytes: &[u8]) -> Result<Effects, MessageFault> {
    const EXPECTED: usize = HEADER_BYTES + BODY_BYTES;
    if bytes.len() != EXPECTED {
        return Err(MessageFault::Length { expected: EXPECTED, found: bytes.len() });
    }
    let (kind, body) = open(envelope, bytes)?;
    let (seq, hash) = (Seq(body.u64_at(0)), Hash(body.array(8)));
    match kind {
        CLAIM => Ok(Effects::Claim { seq, hash }),
        ASK => Ok(Effects::Ask { seq, recorded: hash }),
        _ => Err(MessageFault::Kind(kind)),
    }
}

#[cfg(test)]
mod tests {
    use protocol::{ClusterEpoch, NodeId};

    use super::*;

    #[test]
    fn is_read_as_it_was_written_and_damage_is_refused() {
        let envelope = Envelope { epoch: ClusterEpoch(3), from: NodeId(1), to: NodeId(2) };
        let (seq, hash) = (Seq(77), Hash([5; 32]));
        for message in [Effects::Claim { seq, hash }, Effects::Ask { seq, recorded: hash }] {
            let bytes = encode(envelope, message);
            assert!(is_effects(&bytes));
            assert_eq!(decode(envelope, &bytes), Ok(message));
            for at in 0..bytes.len() {
                assert!(decode(envelope, &bytes[..at]).is_err(), "cut at {at}");
                for bit in 0..8 {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= 1 << bit;
                    // The kind's last bit makes one of the other: the transport keeps bytes whole.
                    let read = decode(envelope, &damaged);
                    assert!(read.is_err() || (at, bit) == (1, 0), "bit {bit} of byte {at}: {read:?}");
                }
            }
            assert!(decode(Envelope { from: NodeId(4), ..envelope }, &bytes).is_err());
        }
    }
}

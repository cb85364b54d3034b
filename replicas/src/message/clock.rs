//! What replicas ask each other about their clocks, as bytes. No part of Raft: what is lost is asked again.
//!
//! ```text
//! header as in `message/transfer.rs`, with these kinds                                                  (32 bytes)
//! | 98 ask:    life u64 | sent u64               when, by the monotone clock of this life of the one who asks
//! | 99 answer: life u64 | sent u64 | wall u64    both as they were asked; the wall clock of the one who answers
//! ```
//! Times are nanoseconds below 2^63.

use protocol::{Field, MonoNanos, UnixNanos};

use super::transfer::{HEADER_BYTES, close, open};
use super::{Envelope, MessageFault};

const ASK: u8 = 98;
const ANSWER: u8 = 99;
const ASK_BYTES: usize = 16;
const ANSWER_BYTES: usize = 24;

/// A message about clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AboutClock {
    /// What does yours show?
    Ask { life: u64, sent: MonoNanos },
    /// It showed `wall`, some time after the question was sent.
    Answer { life: u64, sent: MonoNanos, wall: UnixNanos },
}

/// Whether these bytes are a message about clocks.
pub(crate) fn is_about_clock(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| [ASK, ANSWER].contains(kind))
}

pub(crate) fn encode(envelope: Envelope, message: AboutClock) -> Vec<u8> {
    let mut body = [0; ANSWER_BYTES];
    let (kind, len, life, sent) = match message {
        AboutClock::Ask { life, sent } => (ASK, ASK_BYTES, life, sent),
        AboutClock::Answer { life, sent, wall } => {
            protocol::put(&mut body, 16, &wall.0.to_le_bytes());
            (ANSWER, ANSWER_BYTES, life, sent)
        }
    };
    protocol::put(&mut body, 0, &life.to_le_bytes());
    protocol::put(&mut body, 8, &sent.0.to_le_bytes());
    close(envelope, kind, &body[..len])
}

/// Reads a message that came from `envelope.from`.
pub(crate) fn decode(envelope: Envelope, bytes: &[u8]) -> Result<AboutClock, MessageFault> {
    let (kind, body) = open(envelope, bytes)?;
    let expected = match kind {
        ASK => ASK_BYTES,
        ANSWER => ANSWER_BYTES,
        _ => return Err(MessageFault::Kind(kind)),
    };
    if body.len() != expected {
        return Err(MessageFault::Length { expected: HEADER_BYTES + expected, found: bytes.len() });
    }
    let (life, sent) = (body.u64_at(0), MonoNanos(nanos_at(body, 8)?));
    if kind == ASK {
        return Ok(AboutClock::Ask { life, sent });
    }
    Ok(AboutClock::Answer { life, sent, wall: UnixNanos(nanos_at(body, 16)?) })
}

/// Differences of such times are numbers with a sign.
fn nanos_at(body: &[u8], at: usize) -> Result<u64, MessageFault> {
    let nanos = body.u64_at(at);
    if i64::try_from(nanos).is_ok() { Ok(nanos) } else { Err(MessageFault::Range("clock")) }
}

#[cfg(test)]
mod tests {
    use protocol::{ClusterEpoch, NodeId};

    use super::*;

    const ENVELOPE: Envelope = Envelope { epoch: ClusterEpoch(3), from: NodeId(1), to: NodeId(2) };

    fn examples() -> [AboutClock; 2] {
        let (life, sent) = (u64::MAX, MonoNanos(77));
        [
            AboutClock::Ask { life, sent },
            AboutClock::Answer { life, sent, wall: UnixNanos(1_767_268_800_000_000_000) },
        ]
    }

    #[test]
    fn is_read_as_it_was_written_and_damage_is_refused() {
        for message in examples() {
            let bytes = encode(ENVELOPE, message);
            assert!(is_about_clock(&bytes));
            assert_eq!(decode(ENVELOPE, &bytes), Ok(message));
            for at in 0..bytes.len() {
                assert!(decode(ENVELOPE, &bytes[..at]).is_err(), "cut at {at}");
                for bit in 0..8 {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= 1 << bit;
                    assert!(decode(ENVELOPE, &damaged).is_err(), "bit {bit} of byte {at}");
                }
            }
            assert!(decode(ENVELOPE, &[&bytes[..], &[0]].concat()).is_err());
            assert!(decode(Envelope { from: NodeId(4), ..ENVELOPE }, &bytes).is_err());
        }
    }

    #[test]
    fn a_time_that_no_clock_shows_is_refused() {
        let (life, late) = (1, u64::MAX / 2 + 1);
        for message in [
            AboutClock::Ask { life, sent: MonoNanos(late) },
            AboutClock::Answer { life, sent: MonoNanos(late), wall: UnixNanos(1) },
            AboutClock::Answer { life, sent: MonoNanos(1), wall: UnixNanos(late) },
        ] {
            let read = decode(ENVELOPE, &encode(ENVELOPE, message));
            assert_eq!(read, Err(MessageFault::Range("clock")), "{message:?}");
        }
    }
}

//! What replicas say to each other while a snapshot travels, as bytes: questions of the one that lags, answers of the one
//! that has it. No part of Raft: a message that is lost is asked for again.
//!
//! ```text
//! version u8 = 1 | kind u8 | zeros u16 | body_crc u32 (crc32c) | epoch u64 | from u64 | to u64          (32 bytes)
//! | 64 ask for a piece: index u64 | offset u64
//! | 65 piece:           index u64 | offset u64 | bytes of the file
//! | 66 gone:            index u64
//! | 67 ask for outputs: session u32 | epoch u32 | from u64 | to u64
//! | 68 outputs:         session u32 | epoch u32 | from u64 | next u64 | asked u64 | events, one behind the other
//! | 69 unfit:           index u64
//! ```
//! Little endian. `index` names the snapshot by its last entry. Outputs are numbers `from` up to, but not with, `to` or
//! `next`; `asked` is the question's `from`, and what nobody needs any more of the numbers between is left out.

use protocol::hash::crc32c;
use protocol::{Field, Index, OutSeq, SessionEpoch, SessionId};

use super::{Envelope, MessageFault, VERSION, check_parties};

pub(super) const HEADER_BYTES: usize = 32;
/// The lowest of these kinds: those below are Raft's.
pub(crate) const KINDS_FROM: u8 = 64;
const ASK_PIECE: u8 = 64;
const PIECE: u8 = 65;
const GONE: u8 = 66;
const ASK_OUTPUTS: u8 = 67;
const OUTPUTS: u8 = 68;
const UNFIT: u8 = 69;
/// Bytes of a piece; the last one of a file is shorter.
pub(crate) const PIECE_BYTES: usize = 256 << 10;
/// Bytes of outputs in one answer; a single longer event goes alone.
pub(crate) const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// A part of the outputs of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputRange {
    pub(crate) session: SessionId,
    pub(crate) epoch: SessionEpoch,
    pub(crate) from: OutSeq,
    /// The number behind the last one.
    pub(crate) to: OutSeq,
}

/// A message of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    AskPiece {
        index: Index,
        offset: u64,
    },
    Piece {
        index: Index,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// The snapshot is no longer kept, or cannot be read.
    Gone {
        index: Index,
    },
    /// The snapshot is whole here and not what was offered, or no state: another has to be taken.
    Unfit {
        index: Index,
    },
    AskOutputs(OutputRange),
    Outputs {
        /// From which number on they were asked for.
        asked: OutSeq,
        range: OutputRange,
        bytes: Vec<u8>,
    },
}

/// Whether these bytes are a message of a transfer, and not Raft's.
pub(crate) fn is_transfer(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| *kind >= KINDS_FROM)
}

/// Whether these bytes are an answer to whoever fetches a snapshot, or a question for outputs: of this, a replica that repairs its
/// log takes part in.
pub(crate) fn is_for_repair(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| [PIECE, GONE, ASK_OUTPUTS].contains(kind))
}

pub(crate) fn encode(envelope: Envelope, message: &Transfer) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + 24);
    let kind = match message {
        Transfer::AskPiece { .. } => ASK_PIECE,
        Transfer::Piece { .. } => PIECE,
        Transfer::Gone { .. } => GONE,
        Transfer::Unfit { .. } => UNFIT,
        Transfer::AskOutputs(_) => ASK_OUTPUTS,
        Transfer::Outputs { .. } => OUTPUTS,
    };
    out.extend_from_slice(&[VERSION, kind, 0, 0, 0, 0, 0, 0]);
    for number in [envelope.epoch.0, envelope.from.0, envelope.to.0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    match message {
        Transfer::AskPiece { index, offset } => push_numbers(&mut out, &[index.0, *offset]),
        Transfer::Piece { index, offset, bytes } => {
            push_numbers(&mut out, &[index.0, *offset]);
            out.extend_from_slice(bytes);
        }
        Transfer::Gone { index } | Transfer::Unfit { index } => push_numbers(&mut out, &[index.0]),
        Transfer::AskOutputs(range) => push_range(&mut out, range),
        Transfer::Outputs { asked, range, bytes } => {
            push_range(&mut out, range);
            push_numbers(&mut out, &[asked.0]);
            out.extend_from_slice(bytes);
        }
    }
    let crc = crc32c(&out[HEADER_BYTES..]);
    protocol::put(&mut out, 4, &crc.to_le_bytes());
    out
}

fn push_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn push_range(out: &mut Vec<u8>, range: &OutputRange) {
    out.extend_from_slice(&range.session.0.to_le_bytes());
    out.extend_from_slice(&range.epoch.0.to_le_bytes());
    push_numbers(out, &[range.from.0, range.to.0]);
}

/// A message with this header and `body`.
pub(super) fn close(envelope: Envelope, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend_from_slice(&[VERSION, kind, 0, 0]);
    out.extend_from_slice(&crc32c(body).to_le_bytes());
    push_numbers(&mut out, &[envelope.epoch.0, envelope.from.0, envelope.to.0]);
    out.extend_from_slice(body);
    out
}

/// Kind and body of a message that came from `envelope.from`, once its header is verified.
pub(super) fn open(envelope: Envelope, bytes: &[u8]) -> Result<(u8, &[u8]), MessageFault> {
    let (header, body) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or(MessageFault::Length { expected: HEADER_BYTES, found: bytes.len() })?;
    let [version, kind]: [u8; 2] = header.array(0);
    if version != VERSION {
        return Err(MessageFault::Version(version));
    }
    check_parties(envelope, [header.u64_at(8), header.u64_at(16), header.u64_at(24)])?;
    if header.u16_at(2) != 0 {
        return Err(MessageFault::Range("flags"));
    }
    if header.u32_at(4) != crc32c(body) {
        return Err(MessageFault::Range("checksum"));
    }
    Ok((kind, body))
}

/// Reads a message that came from `envelope.from`.
pub(crate) fn decode(envelope: Envelope, bytes: &[u8]) -> Result<Transfer, MessageFault> {
    let (kind, body) = open(envelope, bytes)?;
    let (fixed, data_max) = match kind {
        ASK_PIECE => (16, 0),
        PIECE => (16, PIECE_BYTES),
        GONE | UNFIT => (8, 0),
        ASK_OUTPUTS => (24, 0),
        OUTPUTS => (32, OUTPUT_BYTES_MAX),
        _ => return Err(MessageFault::Kind(kind)),
    };
    let wrong = MessageFault::Length { expected: fixed, found: body.len() };
    let (fields, data) = body.split_at_checked(fixed).ok_or(wrong)?;
    if data.len() > data_max {
        return Err(wrong);
    }
    read_body(kind, fields, data)
}

fn read_body(kind: u8, fields: &[u8], data: &[u8]) -> Result<Transfer, MessageFault> {
    let bytes = data.to_vec();
    Ok(match kind {
        ASK_PIECE => Transfer::AskPiece { index: index_of(fields)?, offset: offset_of(fields)? },
        PIECE => Transfer::Piece { index: index_of(fields)?, offset: offset_of(fields)?, bytes },
        GONE => Transfer::Gone { index: index_of(fields)? },
        UNFIT => Transfer::Unfit { index: index_of(fields)? },
        ASK_OUTPUTS => Transfer::AskOutputs(range_of(fields)?),
        _ => Transfer::Outputs { asked: asked_of(fields)?, range: range_of(fields)?, bytes },
    })
}

fn index_of(fields: &[u8]) -> Result<Index, MessageFault> {
    let index = fields.u64_at(0);
    if index == 0 || index > u64::MAX / 2 { Err(MessageFault::Range("index")) } else { Ok(Index(index)) }
}

/// Pieces begin at multiples of their size.
fn offset_of(fields: &[u8]) -> Result<u64, MessageFault> {
    let offset = fields.u64_at(8);
    let fits = offset.is_multiple_of(PIECE_BYTES as u64) && offset <= u64::MAX / 2;
    if fits { Ok(offset) } else { Err(MessageFault::Range("offset")) }
}

fn range_of(fields: &[u8]) -> Result<OutputRange, MessageFault> {
    let range = OutputRange {
        session: SessionId(fields.u32_at(0)),
        epoch: SessionEpoch(fields.u32_at(4)),
        from: OutSeq(fields.u64_at(8)),
        to: OutSeq(fields.u64_at(16)),
    };
    let fits = range.from.0 > 0 && range.from <= range.to && range.to.0 <= u64::MAX / 2;
    if fits { Ok(range) } else { Err(MessageFault::Range("outputs")) }
}

fn asked_of(fields: &[u8]) -> Result<OutSeq, MessageFault> {
    let (from, asked) = (fields.u64_at(8), fields.u64_at(24));
    if (1..=from).contains(&asked) { Ok(OutSeq(asked)) } else { Err(MessageFault::Range("asked")) }
}

#[cfg(test)]
mod tests {
    use protocol::{ClusterEpoch, NodeId};

    use super::super::damaged;
    use super::*;

    const ENVELOPE: Envelope = Envelope { epoch: ClusterEpoch(3), from: NodeId(1), to: NodeId(2) };

    fn examples() -> Vec<Transfer> {
        let (index, offset) = (Index(77), 2 * PIECE_BYTES as u64);
        let range =
            OutputRange { session: SessionId(9), epoch: SessionEpoch(2), from: OutSeq(4), to: OutSeq(8) };
        vec![
            Transfer::AskPiece { index, offset },
            Transfer::Piece { index, offset, bytes: vec![7; 300] },
            Transfer::Gone { index },
            Transfer::Unfit { index },
            Transfer::AskOutputs(range),
            Transfer::Outputs { asked: OutSeq(3), range, bytes: vec![8; 90] },
        ]
    }

    #[test]
    fn is_read_as_it_was_written_and_any_flipped_bit_of_a_body_is_found() {
        for message in examples() {
            let bytes = encode(ENVELOPE, &message);
            assert!(is_transfer(&bytes));
            assert_eq!(decode(ENVELOPE, &bytes).as_ref(), Ok(&message));
            for len in 0..bytes.len() {
                assert!(decode(ENVELOPE, &bytes[..len]).is_err(), "{message:?} cut at {len}");
            }
            for bit in HEADER_BYTES * 8..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(ENVELOPE, &damaged), Err(MessageFault::Range("checksum")), "bit {bit}");
            }
        }
    }

    #[test]
    fn other_senders_receivers_and_epochs_and_what_is_too_long_are_refused() {
        let bytes = encode(ENVELOPE, &Transfer::Gone { index: Index(1) });
        let refused = |envelope| decode(envelope, &bytes).unwrap_err();
        assert!(matches!(refused(Envelope { from: NodeId(4), ..ENVELOPE }), MessageFault::From { .. }));
        assert_eq!(refused(Envelope { to: NodeId(4), ..ENVELOPE }), MessageFault::To(2));
        assert!(matches!(
            refused(Envelope { epoch: ClusterEpoch(4), ..ENVELOPE }),
            MessageFault::Epoch { .. }
        ));
        let long = Transfer::Piece { index: Index(1), offset: 0, bytes: vec![0; PIECE_BYTES + 1] };
        let said = decode(ENVELOPE, &encode(ENVELOPE, &long));
        assert!(matches!(said, Err(MessageFault::Length { .. })), "{said:?}");
        let askew = Transfer::AskPiece { index: Index(1), offset: 1 };
        assert_eq!(decode(ENVELOPE, &encode(ENVELOPE, &askew)), Err(MessageFault::Range("offset")));
    }

    /// Seeded damage, with the checksum made right again: a message or a refusal, and what is read is written the same.
    #[test]
    fn damaged_bytes_never_panic() {
        let originals: Vec<_> = examples().iter().map(|message| encode(ENVELOPE, message)).collect();
        let again = |bytes: &[u8]| Some(encode(ENVELOPE, &decode(ENVELOPE, bytes).ok()?));
        damaged::never_panics(20_261_121, &originals, damaged::mend_checksum, again);
    }
}

//! What is said about a damaged log, as bytes: questions of the replica that has it, answers of the others. No part of Raft,
//! whose messages such a replica neither takes nor sends. What is lost is asked for again.
//!
//! ```text
//! header as of a transfer (`message/transfer.rs`)                                                      (32 bytes)
//! | 80 ask where somebody stands: round u64 | ends times: index u64, term u64
//! | 81 standing: round u64 | flags u64 (1 intact, 2 leads, 4 membership is moving) | term u64 | first_index u64
//!                | last_index u64 | last_term u64 | lost_index u64 | lost_term u64 | held u64 | voters times: node u64
//! | 82 confirmed:   round u64 | term u64 | last_index u64 | last_term u64
//! | 83 ask for entries: from u64 | chain 32 bytes, of the entry before
//! | 84 entries:     from u64 | frames with their chains, one behind the other; none where the log ends before
//! | 85 no entries:  from u64 | why u64 (1 not held, 2 another history, 3 a snapshot holds it) | index u64
//! | 86 ask for a snapshot: from u64
//! | 87 snapshot:    index u64 | term u64, of its last entry | manifest 72 bytes: length u64, BLAKE3, hash of the state
//! ```
//! Little endian. `held` has a bit for each end that was asked for, lowest first. `lost_index` is 0 where the end of a damaged
//! log is not known. `index` in 85 is the last entry of the log, or where a snapshot holds what was asked for the entry in front of the
//! log's first. A snapshot that has no entry before `from` is offered by 87; its bytes come as those of any other (`message/transfer.rs`).

use protocol::hash::Hash;
use protocol::limits::BLOCK_BYTES_LARGE;
use protocol::{Field, Index, Term};

use super::transfer::{close, open};
use super::{Envelope, MessageFault};
use crate::transfer::{MANIFEST_BYTES, Manifest};

/// These kinds.
const KINDS: std::ops::Range<u8> = 80..96;
const ASK_STANDING: u8 = 80;
const STANDING: u8 = 81;
const CONFIRMED: u8 = 82;
const ASK_ENTRIES: u8 = 83;
const ENTRIES: u8 = 84;
const NO_ENTRIES: u8 = 85;
const ASK_SNAPSHOT: u8 = 86;
const SNAPSHOT: u8 = 87;
/// Ends that one question asks for.
pub(crate) const ENDS_MAX: usize = 16;
/// Voters that an answer names.
const VOTERS_MAX: usize = 64;
const INTACT: u64 = 1;
const LEADS: u64 = 2;
const MOVING: u64 = 4;

/// The last entry of a log.
pub(crate) type End = (Index, Term);

/// Where a replica stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its log is whole.
    pub(crate) is_intact: bool,
    pub(crate) leads: bool,
    /// Its membership is in between two.
    pub(crate) is_moving: bool,
    pub(crate) term: Term,
    /// The first entry that it can read; what is before is in its snapshot.
    pub(crate) first: Index,
    /// The last one; of a damaged log the last that is linked.
    pub(crate) last: End,
    /// What a damaged log has to reach, where that is known.
    pub(crate) lost: Option<End>,
    /// Of the ends asked for, those that are in its log.
    pub(crate) held: u64,
    /// Who votes, by its membership.
    pub(crate) voters: Vec<u64>,
}

/// Why there are no entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoEntries {
    /// The log ends before the entry in front of those asked for.
    NotHeld,
    /// The entry in front is another.
    Differs,
    /// The entry in front is in a snapshot: the log begins behind it.
    Behind,
}

/// A message about a damaged log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AboutRepair {
    AskStanding {
        round: u64,
        ends: Vec<End>,
    },
    Standing {
        round: u64,
        standing: Standing,
    },
    /// The sender leads in this term, as a quorum has confirmed after the question, and its log ends so.
    Confirmed {
        round: u64,
        term: Term,
        last: End,
    },
    AskEntries {
        from: Index,
        chain_before: Hash,
    },
    Entries {
        from: Index,
        frames: Vec<u8>,
    },
    NoEntries {
        from: Index,
        why: NoEntries,
        /// The last entry; where the log begins behind what was asked for, the one in front of its first.
        end: Index,
    },
    /// For a snapshot that ends with this entry, or a later one.
    AskSnapshot {
        from: Index,
    },
    /// It is here.
    Snapshot {
        last: End,
        manifest: Manifest,
    },
}

impl AboutRepair {
    /// Whether it wants an answer.
    pub(crate) fn is_question(&self) -> bool {
        matches!(self, Self::AskStanding { .. } | Self::AskEntries { .. } | Self::AskSnapshot { .. })
    }
}

/// Whether these bytes are about a damaged log.
pub(crate) fn is_about_repair(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| KINDS.contains(kind))
}

pub(crate) fn encode(envelope: Envelope, message: &AboutRepair) -> Vec<u8> {
    let mut body = Vec::new();
    let mut numbers = |numbers: &[u64]| {
        numbers.iter().for_each(|number| body.extend_from_slice(&number.to_le_bytes()));
    };
    let kind = match message {
        AboutRepair::AskStanding { round, ends } => {
            numbers(&[*round]);
            ends.iter().for_each(|(index, term)| numbers(&[index.0, term.0]));
            ASK_STANDING
        }
        AboutRepair::Standing { round, standing } => {
            let Standing { is_intact, leads, is_moving, term, first, last, lost, held, voters } = standing;
            let flag = |is: &bool, flag| if *is { flag } else { 0 };
            let flags = flag(is_intact, INTACT) | flag(leads, LEADS) | flag(is_moving, MOVING);
            let lost = lost.unwrap_or_default();
            numbers(&[*round, flags, term.0, first.0, last.0.0, last.1.0, lost.0.0, lost.1.0, *held]);
            numbers(voters);
            STANDING
        }
        AboutRepair::Confirmed { round, term, last } => {
            numbers(&[*round, term.0, last.0.0, last.1.0]);
            CONFIRMED
        }
        AboutRepair::AskEntries { from, chain_before } => {
            numbers(&[from.0]);
            body.extend_from_slice(&chain_before.0);
            ASK_ENTRIES
        }
        AboutRepair::Entries { from, frames } => {
            numbers(&[from.0]);
            body.extend_from_slice(frames);
            ENTRIES
        }
        AboutRepair::NoEntries { from, why, end } => {
            let why = match why {
                NoEntries::NotHeld => 1,
                NoEntries::Differs => 2,
                NoEntries::Behind => 3,
            };
            numbers(&[from.0, why, end.0]);
            NO_ENTRIES
        }
        AboutRepair::AskSnapshot { from } => {
            numbers(&[from.0]);
            ASK_SNAPSHOT
        }
        AboutRepair::Snapshot { last, manifest } => {
            numbers(&[last.0.0, last.1.0]);
            body.extend_from_slice(&manifest.to_bytes());
            SNAPSHOT
        }
    };
    close(envelope, kind, &body)
}

/// Reads a message that came from `envelope.from`.
pub(crate) fn decode(envelope: Envelope, bytes: &[u8]) -> Result<AboutRepair, MessageFault> {
    let (kind, body) = open(envelope, bytes)?;
    let (fixed, item, items_max) = match kind {
        ASK_STANDING => (8, 16, ENDS_MAX),
        STANDING => (72, 8, VOTERS_MAX),
        CONFIRMED => (32, 1, 0),
        ASK_ENTRIES => (40, 1, 0),
        ENTRIES => (8, 8, BLOCK_BYTES_LARGE / 8),
        NO_ENTRIES => (24, 1, 0),
        ASK_SNAPSHOT => (8, 1, 0),
        SNAPSHOT => (16 + MANIFEST_BYTES, 1, 0),
        _ => return Err(MessageFault::Kind(kind)),
    };
    let wrong = MessageFault::Length { expected: fixed, found: body.len() };
    let (fields, rest) = body.split_at_checked(fixed).ok_or(wrong)?;
    if rest.len() % item != 0 || rest.len() / item > items_max {
        return Err(wrong);
    }
    Ok(match kind {
        ASK_STANDING => {
            let (ends, _) = rest.as_chunks::<16>();
            let ends = ends.iter().map(|end| end_at(end, 0)).collect::<Result<_, _>>()?;
            AboutRepair::AskStanding { round: fields.u64_at(0), ends }
        }
        STANDING => AboutRepair::Standing { round: fields.u64_at(0), standing: standing_of(fields, rest)? },
        CONFIRMED => AboutRepair::Confirmed {
            round: fields.u64_at(0),
            term: term_at(fields, 8)?,
            last: end_at(fields, 16)?,
        },
        ASK_ENTRIES => {
            AboutRepair::AskEntries { from: from_of(fields)?, chain_before: Hash(fields.array(8)) }
        }
        ENTRIES => AboutRepair::Entries { from: from_of(fields)?, frames: rest.to_vec() },
        NO_ENTRIES => AboutRepair::NoEntries {
            from: from_of(fields)?,
            why: match fields.u64_at(8) {
                1 => NoEntries::NotHeld,
                2 => NoEntries::Differs,
                3 => NoEntries::Behind,
                _ => return Err(MessageFault::Range("reason")),
            },
            end: index_at(fields, 16)?,
        },
        ASK_SNAPSHOT => AboutRepair::AskSnapshot { from: index_at(fields, 0)? },
        _ => AboutRepair::Snapshot {
            last: end_at(fields, 0)?,
            manifest: fields
                .get(16..)
                .and_then(Manifest::read)
                .ok_or(MessageFault::Range("length of a snapshot"))?,
        },
    })
}

fn standing_of(fields: &[u8], voters: &[u8]) -> Result<Standing, MessageFault> {
    let flags = fields.u64_at(8);
    let lost = end_at(fields, 48)?;
    if flags & !(INTACT | LEADS | MOVING) != 0 || (lost.0.0 == 0 && lost.1.0 != 0) {
        return Err(MessageFault::Range("flags"));
    }
    let (voters, _) = voters.as_chunks::<8>();
    Ok(Standing {
        is_intact: flags & INTACT != 0,
        leads: flags & LEADS != 0,
        is_moving: flags & MOVING != 0,
        term: term_at(fields, 16)?,
        first: index_at(fields, 24)?,
        last: end_at(fields, 32)?,
        lost: (lost.0.0 > 0).then_some(lost),
        held: fields.u64_at(64),
        voters: voters.iter().map(|voter| u64::from_le_bytes(*voter)).collect(),
    })
}

fn from_of(fields: &[u8]) -> Result<Index, MessageFault> {
    let from = index_at(fields, 0)?;
    if from.0 == 0 { Err(MessageFault::Range("index")) } else { Ok(from) }
}

/// Indices and terms are counted upwards from.
fn index_at(fields: &[u8], at: usize) -> Result<Index, MessageFault> {
    let index = fields.u64_at(at);
    if index > u64::MAX / 2 { Err(MessageFault::Range("index")) } else { Ok(Index(index)) }
}

fn term_at(fields: &[u8], at: usize) -> Result<Term, MessageFault> {
    let term = fields.u64_at(at);
    if term > u64::MAX / 2 { Err(MessageFault::Range("term")) } else { Ok(Term(term)) }
}

fn end_at(fields: &[u8], at: usize) -> Result<End, MessageFault> {
    Ok((index_at(fields, at)?, term_at(fields, at + 8)?))
}

#[cfg(test)]
mod tests {
    use protocol::{ClusterEpoch, NodeId};

    use super::super::damaged;
    use super::super::transfer::HEADER_BYTES;
    use super::*;

    const ENVELOPE: Envelope = Envelope { epoch: ClusterEpoch(3), from: NodeId(1), to: NodeId(2) };

    fn examples() -> Vec<AboutRepair> {
        let standing = Standing {
            is_intact: true,
            leads: false,
            is_moving: true,
            term: Term(9),
            first: Index(4),
            last: (Index(90), Term(8)),
            lost: None,
            held: 5,
            voters: vec![1, 2, 3],
        };
        let damaged = Standing {
            is_intact: false,
            lost: Some((Index(99), Term(8))),
            voters: vec![],
            ..standing.clone()
        };
        let (round, from) = (u64::MAX, Index(7));
        let file = journal::snapshot_file::Fingerprint { len: 7_000, hash: Hash([4; 32]) };
        let manifest = Manifest { file, state_hash: Hash([5; 32]) };
        vec![
            AboutRepair::AskStanding { round, ends: vec![(Index(8), Term(2)), (Index(9), Term(3))] },
            AboutRepair::Standing { round, standing },
            AboutRepair::Standing { round: 1, standing: damaged },
            AboutRepair::Confirmed { round, term: Term(9), last: (Index(8), Term(2)) },
            AboutRepair::AskEntries { from, chain_before: Hash([6; 32]) },
            AboutRepair::Entries { from, frames: vec![7; 264] },
            AboutRepair::NoEntries { from, why: NoEntries::Differs, end: Index(5) },
            AboutRepair::AskSnapshot { from },
            AboutRepair::Snapshot { last: (Index(8), Term(2)), manifest },
        ]
    }

    #[test]
    fn is_read_as_it_was_written_and_any_flipped_bit_of_a_body_is_found() {
        for message in examples() {
            let bytes = encode(ENVELOPE, &message);
            assert!(is_about_repair(&bytes));
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
    fn what_is_too_long_or_out_of_range_is_refused() {
        let refused = |message: &AboutRepair| decode(ENVELOPE, &encode(ENVELOPE, message)).unwrap_err();
        let many = AboutRepair::AskStanding { round: 1, ends: vec![(Index(1), Term(1)); ENDS_MAX + 1] };
        assert!(matches!(refused(&many), MessageFault::Length { .. }));
        let long = AboutRepair::Entries { from: Index(1), frames: vec![0; BLOCK_BYTES_LARGE + 8] };
        assert!(matches!(refused(&long), MessageFault::Length { .. }));
        let zero = AboutRepair::AskEntries { from: Index(0), chain_before: Hash::ZERO };
        assert_eq!(refused(&zero), MessageFault::Range("index"));
        let huge = AboutRepair::Confirmed { round: 1, term: Term(u64::MAX), last: (Index(1), Term(1)) };
        assert_eq!(refused(&huge), MessageFault::Range("term"));
    }

    /// Seeded damage, with the checksum made right again: a message or a refusal, and what is read is written the same.
    #[test]
    fn damaged_bytes_never_panic() {
        let originals: Vec<_> = examples().iter().map(|message| encode(ENVELOPE, message)).collect();
        let again = |bytes: &[u8]| Some(encode(ENVELOPE, &decode(ENVELOPE, bytes).ok()?));
        damaged::never_panics(20_261_129, &originals, damaged::mend_checksum, again);
    }
}

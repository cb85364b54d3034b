//! What replicas say to each other, as bytes. raft-rs knows protobuf, whose parser is not for what comes from a network:
//! messages travel in a fixed layout of our own, and entries as the very frames that the journals hold.
//!
//! ```text
//! version u8 = 1 | kind u8 | flags u16 (1 reject, 2 snapshot) | entries u32 | epoch u64 | from u64 | to u64 | term u64
//! | log_term u64 | index u64 | commit u64 | commit_term u64 | request_snapshot u64 | reject_hint u64 | priority i64
//! | context_bytes u32 | zeros u32                                                                        (104 bytes)
//! | context
//! | entries times: bytes u32 | type u8 | zeros 3 bytes | index u64 | term u64 | data
//! | snapshot (flag 2): index u64 | term u64 | conf_bytes u32 | data_bytes u32 | membership | data
//! ```
//! Little endian. `kind` is Raft's number of the message. An entry's data is a frame (type 0), nothing (type 0, a term's
//! empty entry), or a membership change (type 2): transition u8, steps u8, for each step its kind u8 and node u64, then for each address
//! that comes with it node u64, bytes u8, address. A question of a read, and its answer, have what they are recognised by as context;
//! Raft has it in an entry, and none travels. The membership is the first part of that in a snapshot file (`membership.rs`).
//! Kinds from 64 on are those of a snapshot's way (`message/transfer.rs`), from 80 on those about damaged logs
//! (`message/repair.rs`), 96 and 97 are about effects (`message/effects.rs`), 98 and 99 about clocks (`message/clock.rs`), 100 and 101 about states (`message/states.rs`). Who sends is
//! authenticated by the transport, which also keeps the bytes whole.

pub(crate) mod clock;
#[cfg(test)]
mod damaged;
pub(crate) mod effects;
pub(crate) mod repair;
pub(crate) mod states;
pub(crate) mod transfer;

use bytes::Bytes;
use protobuf::Message as _;
use protocol::frame::{Frame, FrameKind};
use protocol::limits::{BLOCK_BYTES_LARGE, PEER_MESSAGE_BYTES_MAX};
use protocol::{ClusterEpoch, Field, NodeId, put};
use raft::prelude::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry, EntryType, Message,
    MessageType,
};

use crate::membership::{decode_conf_state, encode_conf_state, read_addresses};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 104;
const ENTRY_HEADER_BYTES: usize = 24;
const SNAPSHOT_HEADER_BYTES: usize = 24;
const REJECT: u16 = 1;
const SNAPSHOT: u16 = 2;
/// What a read request carries, at most.
const CONTEXT_BYTES_MAX: usize = 64;
const CONF_STEP_BYTES: usize = 9;
/// Members that one change names, at most.
const CONF_STEPS_MAX: usize = 16;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// Fewer or more bytes than its counts say.
    #[error("{found} bytes where {expected} are expected")]
    Length {
        /// By its counts.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Of a later version of the protocol.
    #[error("version {0}, this program speaks {VERSION}")]
    Version(u8),
    /// A kind that no replica sends to another.
    #[error("kind {0} is not for others")]
    Kind(u8),
    /// Of another incarnation of the cluster.
    #[error("epoch {found} where {expected} is in force")]
    Epoch {
        /// Ours.
        expected: ClusterEpoch,
        /// The message's.
        found: ClusterEpoch,
    },
    /// Not from the node that the connection belongs to.
    #[error("from node {found} on a connection of node {expected}")]
    From {
        /// The connection's.
        expected: NodeId,
        /// The message's.
        found: u64,
    },
    /// Not for us.
    #[error("for node {0}")]
    To(u64),
    /// A field has a value that it cannot have.
    #[error("{0} out of range")]
    Range(&'static str),
    /// An entry is not one, or not the one that its place says.
    #[error("entry {index} is not what its place says: {what}")]
    Entry {
        /// By its place.
        index: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// Between whom a message travels, and in which incarnation of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Of the cluster.
    pub epoch: ClusterEpoch,
    /// The sender, as the transport has authenticated it.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
}

/// Bytes of entries in one message, unless a single one is longer. Raft batches without a bound of its own.
const ENTRY_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(ENTRY_BYTES_MAX + BLOCK_BYTES_LARGE + HEADER_BYTES < PEER_MESSAGE_BYTES_MAX);

/// An append as several, each of bounded length: what one says of the entry before it, the one before it ends with.
pub(crate) fn split(mut message: Message) -> Vec<Message> {
    let mut parts = Vec::new();
    if message.get_msg_type() != MessageType::MsgAppend {
        return vec![message];
    }
    let mut entries = std::mem::take(&mut message.entries).into_iter().peekable();
    loop {
        let mut part = message.clone();
        let mut bytes = 0;
        while let Some(entry) = entries.next_if(|entry| {
            bytes += ENTRY_HEADER_BYTES + entry.data.len();
            bytes <= ENTRY_BYTES_MAX || part.entries.is_empty()
        }) {
            (message.index, message.log_term) = (entry.index, entry.term);
            part.entries.push(entry);
        }
        parts.push(part);
        if entries.peek().is_none() {
            return parts;
        }
    }
}

/// The bytes of `message`.
#[must_use]
pub fn encode(epoch: ClusterEpoch, message: &Message) -> Vec<u8> {
    let entry_bytes: usize = message.entries.iter().map(|e| ENTRY_HEADER_BYTES + e.data.len()).sum();
    let mut out = Vec::with_capacity(HEADER_BYTES + message.context.len() + entry_bytes);
    let (context, entries) = match message.entries.first() {
        Some(entry) if is_read(message.get_msg_type()) => (&entry.data, &[][..]),
        _ => (&message.context, message.entries.as_slice()),
    };
    out.resize(HEADER_BYTES, 0);
    let has_snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
    let flags = if message.reject { REJECT } else { 0 } | if has_snapshot { SNAPSHOT } else { 0 };
    put(&mut out, 0, &[VERSION, kind_code(message.get_msg_type())]);
    put(&mut out, 2, &flags.to_le_bytes());
    put(&mut out, 4, &length(entries.len()).to_le_bytes());
    let numbers = [
        epoch.0,
        message.from,
        message.to,
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.request_snapshot,
        message.reject_hint,
        message.priority.cast_unsigned(),
    ];
    for (number, at) in numbers.iter().zip((8..).step_by(8)) {
        put(&mut out, at, &number.to_le_bytes());
    }
    put(&mut out, 96, &length(context.len()).to_le_bytes());
    out.extend_from_slice(context);
    entries.iter().for_each(|entry| encode_entry(entry, &mut out));
    if has_snapshot {
        encode_snapshot(message, &mut out);
    }
    out
}

fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let is_normal = entry.get_entry_type() == EntryType::EntryNormal;
    let change = if is_normal { Vec::new() } else { conf_bytes(&entry.data) };
    let data = if is_normal { &entry.data[..] } else { &change };
    out.extend_from_slice(&length(data.len()).to_le_bytes());
    out.extend_from_slice(&[if is_normal { 0 } else { 2 }, 0, 0, 0]);
    out.extend_from_slice(&entry.index.to_le_bytes());
    out.extend_from_slice(&entry.term.to_le_bytes());
    out.extend_from_slice(data);
}

/// A membership change that this process or its journal holds, in our layout.
fn conf_bytes(data: &[u8]) -> Vec<u8> {
    let change = ConfChangeV2::parse_from_bytes(data).unwrap_or_default();
    // Raft is given no more steps than there can be members.
    let steps = u8::try_from(change.changes.len()).unwrap_or(u8::MAX);
    let mut out = vec![change.get_transition() as u8, steps];
    for step in &change.changes {
        out.push(step.get_change_type() as u8);
        out.extend_from_slice(&step.node_id.to_le_bytes());
    }
    out.extend_from_slice(&change.context);
    out
}

fn encode_snapshot(message: &Message, out: &mut Vec<u8>) {
    let snapshot = message.get_snapshot();
    let metadata = snapshot.get_metadata();
    let conf = encode_conf_state(metadata.get_conf_state());
    out.extend_from_slice(&metadata.index.to_le_bytes());
    out.extend_from_slice(&metadata.term.to_le_bytes());
    out.extend_from_slice(&length(conf.len()).to_le_bytes());
    out.extend_from_slice(&length(snapshot.data.len()).to_le_bytes());
    out.extend_from_slice(&conf);
    out.extend_from_slice(&snapshot.data);
}

/// Reads a message that came from `envelope.from`, and holds it against everything that Raft takes for granted.
///
/// # Errors
/// [`MessageFault`], in the order of its variants but for lengths, which are met on the way.
pub fn decode(envelope: Envelope, bytes: &[u8]) -> Result<Message, MessageFault> {
    let header = bytes
        .get(..HEADER_BYTES)
        .ok_or(MessageFault::Length { expected: HEADER_BYTES, found: bytes.len() })?;
    let [version, code]: [u8; 2] = header.array(0);
    if version != VERSION {
        return Err(MessageFault::Version(version));
    }
    let kind = kind_of(code).ok_or(MessageFault::Kind(code))?;
    check_parties(envelope, [header.u64_at(8), header.u64_at(16), header.u64_at(24)])?;
    let flags = header.u16_at(2);
    let expected_flags = if kind == MessageType::MsgSnapshot { SNAPSHOT } else { 0 };
    if flags & !REJECT != expected_flags || header.u32_at(100) != 0 {
        return Err(MessageFault::Range("flags"));
    }
    let mut message = Message::default();
    message.set_msg_type(kind);
    message.reject = flags & REJECT != 0;
    message.from = header.u64_at(16);
    message.to = header.u64_at(24);
    message.term = header.u64_at(32);
    message.log_term = header.u64_at(40);
    message.index = header.u64_at(48);
    message.commit = header.u64_at(56);
    message.commit_term = header.u64_at(64);
    message.request_snapshot = header.u64_at(72);
    message.reject_hint = header.u64_at(80);
    message.priority = header.u64_at(88).cast_signed();
    // Raft counts upwards from any of these, and takes a term of 0 for a message to itself. A question of a read has none,
    // nor has its refusal: neither binds who says it.
    let indices = [message.index, message.commit, message.reject_hint, message.term];
    let has_no_term =
        kind == MessageType::MsgReadIndex || (kind == MessageType::MsgReadIndexResp && message.reject);
    if (message.term == 0) != has_no_term || indices.iter().any(|number| *number > u64::MAX / 2) {
        return Err(MessageFault::Range("term or index"));
    }
    let mut rest = &bytes[HEADER_BYTES..];
    let context_bytes = usize_of(header.u32_at(96));
    if context_bytes > CONTEXT_BYTES_MAX || (is_read(kind) && context_bytes == 0) {
        return Err(MessageFault::Range("context"));
    }
    let context = Bytes::copy_from_slice(take(&mut rest, context_bytes)?);
    if is_read(kind) {
        message.entries.push(Entry { data: context, ..Entry::default() });
        return if header.u32_at(4) == 0 && rest.is_empty() {
            Ok(message)
        } else {
            Err(MessageFault::Length { expected: 0, found: rest.len() })
        };
    }
    message.context = context;
    let entries = usize_of(header.u32_at(4));
    if entries > rest.len() / ENTRY_HEADER_BYTES {
        return Err(MessageFault::Range("entries"));
    }
    for place in 0..entries {
        let entry = decode_entry(&mut rest)?;
        check_place(&message, place, &entry)?;
        message.entries.push(entry);
    }
    if kind == MessageType::MsgSnapshot {
        decode_snapshot(&mut message, &mut rest)?;
    }
    if rest.is_empty() { Ok(message) } else { Err(MessageFault::Length { expected: 0, found: rest.len() }) }
}

/// Holds epoch, sender and receiver by the message against those by the connection.
fn check_parties(envelope: Envelope, [epoch, from, to]: [u64; 3]) -> Result<(), MessageFault> {
    if epoch != envelope.epoch.0 {
        return Err(MessageFault::Epoch { expected: envelope.epoch, found: ClusterEpoch(epoch) });
    }
    if from != envelope.from.0 {
        return Err(MessageFault::From { expected: envelope.from, found: from });
    }
    if to != envelope.to.0 {
        return Err(MessageFault::To(to));
    }
    Ok(())
}

fn decode_entry(rest: &mut &[u8]) -> Result<Entry, MessageFault> {
    let header = take(rest, ENTRY_HEADER_BYTES)?;
    let mut entry = Entry { index: header.u64_at(8), term: header.u64_at(16), ..Entry::default() };
    let wrong = |what| MessageFault::Entry { index: entry.index, what };
    let data = take(rest, usize_of(header.u32_at(0)))?;
    match header.array(4) {
        [0, 0, 0, 0] if data.is_empty() => {}
        [0, 0, 0, 0] => {
            let frame = Frame::read(data).map_err(|_| wrong("not a frame"))?;
            if !matches!(frame.header.kind, FrameKind::Entry | FrameKind::Skip) {
                return Err(wrong("a frame of another kind"));
            }
            if frame.bytes.len() != data.len() || data.len() > BLOCK_BYTES_LARGE {
                return Err(wrong("more than a frame"));
            }
            if (frame.header.index.0, frame.header.term.0) != (entry.index, entry.term) {
                return Err(wrong("a frame of another place"));
            }
            entry.data = Bytes::copy_from_slice(data);
        }
        [2, 0, 0, 0] => {
            let change = decode_change(data).ok_or(wrong("not a membership change"))?;
            let data = change.write_to_bytes().map_err(|_| wrong("a membership change"))?;
            entry.set_entry_type(EntryType::EntryConfChangeV2);
            entry.data = Bytes::from(data);
        }
        _ => return Err(wrong("an unknown type")),
    }
    Ok(entry)
}

fn decode_change(data: &[u8]) -> Option<ConfChangeV2> {
    let ([transition, steps], rest) = data.split_first_chunk()?;
    let (steps, addresses) = rest.split_at_checked(usize::from(*steps) * CONF_STEP_BYTES)?;
    let (steps, _) = steps.as_chunks::<CONF_STEP_BYTES>();
    if steps.len() > CONF_STEPS_MAX || read_addresses(addresses).is_none() {
        return None;
    }
    let mut change = ConfChangeV2::default();
    change.set_transition(match transition {
        0 => ConfChangeTransition::Auto,
        1 => ConfChangeTransition::Implicit,
        2 => ConfChangeTransition::Explicit,
        _ => return None,
    });
    for step in steps {
        let mut single = ConfChangeSingle::default();
        single.set_change_type(match step[0] {
            0 => ConfChangeType::AddNode,
            1 => ConfChangeType::RemoveNode,
            2 => ConfChangeType::AddLearnerNode,
            _ => return None,
        });
        single.node_id = step.u64_at(1);
        change.changes.push(single);
    }
    change.context = Bytes::copy_from_slice(addresses);
    Some(change)
}

/// Entries of an append follow the message's index without a gap, in terms that do not fall.
fn check_place(message: &Message, place: usize, entry: &Entry) -> Result<(), MessageFault> {
    let wrong = |what| MessageFault::Entry { index: entry.index, what };
    let kind = message.get_msg_type();
    if kind != MessageType::MsgAppend {
        return Err(wrong("an entry where there is none"));
    }
    let before = message.entries.last().map_or(message.log_term, |entry| entry.term);
    if entry.index != message.index + place as u64 + 1 {
        return Err(wrong("a gap"));
    }
    if entry.term < before || entry.term > message.term {
        return Err(wrong("a term out of order"));
    }
    Ok(())
}

fn decode_snapshot(message: &mut Message, rest: &mut &[u8]) -> Result<(), MessageFault> {
    let header = take(rest, SNAPSHOT_HEADER_BYTES)?;
    let conf = take(rest, usize_of(header.u32_at(16)))?;
    let data = take(rest, usize_of(header.u32_at(20)))?;
    let conf_state = decode_conf_state(conf).ok_or(MessageFault::Range("membership"))?;
    let snapshot = message.mut_snapshot();
    snapshot.data = Bytes::copy_from_slice(data);
    let metadata = snapshot.mut_metadata();
    metadata.index = header.u64_at(0);
    metadata.term = header.u64_at(8);
    metadata.set_conf_state(conf_state);
    if metadata.index > u64::MAX / 2 || metadata.term > message.term {
        return Err(MessageFault::Range("snapshot"));
    }
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], MessageFault> {
    let (taken, left) =
        rest.split_at_checked(len).ok_or(MessageFault::Length { expected: len, found: rest.len() })?;
    *rest = left;
    Ok(taken)
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Every length is bounded far below.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Raft's numbers are all below 32.
fn kind_code(kind: MessageType) -> u8 {
    u8::try_from(kind as i32).unwrap_or(u8::MAX)
}

/// Kinds that travel. Proposals and wishes to transfer the lead do not: a client's command enters through the leader's sequencer, or not at all; nor do the
/// messages that a replica sends to itself.
fn kind_of(code: u8) -> Option<MessageType> {
    const TRAVELLING: [MessageType; 12] = [
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgSnapshot,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgTimeoutNow,
        MessageType::MsgReadIndex,
        MessageType::MsgReadIndexResp,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
    ];
    TRAVELLING.into_iter().find(|kind| kind_code(*kind) == code)
}

/// Whether it is a question of a read, or the answer.
pub(crate) fn is_read(kind: MessageType) -> bool {
    matches!(kind, MessageType::MsgReadIndex | MessageType::MsgReadIndexResp)
}

#[cfg(test)]
mod tests {
    use protocol::frame::{self, FrameHeader};
    use protocol::hash::Hash;
    use protocol::{Index, Seq, Term, UnixNanos};
    use raft::prelude::ConfState;

    use super::*;

    const ENVELOPE: Envelope = Envelope { epoch: ClusterEpoch(3), from: NodeId(1), to: NodeId(2) };

    fn frame(index: u64, term: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::begin(&mut bytes);
        bytes.extend_from_slice(payload);
        let header = FrameHeader {
            kind: FrameKind::Entry,
            index: Index(index),
            term: Term(term),
            time: UnixNanos(5),
            first_seq: Seq(9),
            count: 0,
            engine_version: 1,
            applied_seq: Seq(8),
            effect_hash: Hash([4; 32]),
        };
        frame::finish(&mut bytes, &header);
        bytes
    }

    fn message(kind: MessageType) -> Message {
        let mut message = Message::default();
        message.set_msg_type(kind);
        (message.from, message.to, message.term) = (1, 2, 7);
        (message.log_term, message.index, message.commit) = (5, 40, 39);
        message
    }

    fn append() -> Message {
        let mut append = message(MessageType::MsgAppend);
        let normal =
            |index, term, data: Vec<u8>| Entry { index, term, data: data.into(), ..Entry::default() };
        let mut conf = Entry { index: 43, term: 7, ..Entry::default() };
        conf.set_entry_type(EntryType::EntryConfChangeV2);
        let mut change = ConfChangeV2::default();
        let mut step = ConfChangeSingle::default();
        step.set_change_type(ConfChangeType::AddLearnerNode);
        step.node_id = 9;
        change.changes.push(step);
        change.context = crate::membership::write_address(NodeId(9), "10.0.0.9:9884").into();
        conf.data = change.write_to_bytes().unwrap().into();
        let entries = [
            normal(41, 6, frame(41, 6, b"orders")),
            normal(42, 7, Vec::new()),
            conf,
            normal(44, 7, frame(44, 7, b"")),
        ];
        append.set_entries(entries.to_vec().into());
        append
    }

    fn examples() -> Vec<Message> {
        let mut refusal = message(MessageType::MsgAppendResponse);
        (refusal.reject, refusal.reject_hint, refusal.request_snapshot) = (true, 17, 3);
        let mut vote = message(MessageType::MsgRequestPreVote);
        (vote.commit_term, vote.priority) = (6, -4);
        let mut beat = message(MessageType::MsgHeartbeat);
        beat.context = vec![1, 2, 3].into();
        let mut snapshot = message(MessageType::MsgSnapshot);
        snapshot.mut_snapshot().data = vec![8; 32].into();
        let metadata = snapshot.mut_snapshot().mut_metadata();
        (metadata.index, metadata.term) = (38, 5);
        let mut conf = ConfState::default();
        conf.set_voters(vec![1, 2, 3]);
        metadata.set_conf_state(conf);
        let read = |kind, term, reject| {
            let mut read = message(kind);
            (read.term, read.reject) = (term, reject);
            read.entries.push(Entry { data: vec![9; 24].into(), ..Entry::default() });
            read
        };
        let question = read(MessageType::MsgReadIndex, 0, false);
        let answers = [(7, false), (0, true)].map(|(term, no)| read(MessageType::MsgReadIndexResp, term, no));
        let timeout = message(MessageType::MsgTimeoutNow);
        [vec![append(), refusal, vote, beat, snapshot, timeout, question], answers.to_vec()].concat()
    }

    #[test]
    fn is_read_as_it_was_written_and_at_no_other_length() {
        for message in examples() {
            let bytes = encode(ENVELOPE.epoch, &message);
            assert_eq!(decode(ENVELOPE, &bytes).as_ref(), Ok(&message));
            for len in 0..bytes.len() {
                assert!(decode(ENVELOPE, &bytes[..len]).is_err(), "{message:?} cut at {len}");
            }
            assert!(decode(ENVELOPE, &[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn other_senders_receivers_epochs_and_kinds_are_refused() {
        let bytes = encode(ENVELOPE.epoch, &message(MessageType::MsgHeartbeat));
        let refused = |envelope| decode(envelope, &bytes).unwrap_err();
        assert!(matches!(refused(Envelope { from: NodeId(4), ..ENVELOPE }), MessageFault::From { .. }));
        assert_eq!(refused(Envelope { to: NodeId(4), ..ENVELOPE }), MessageFault::To(2));
        assert!(matches!(
            refused(Envelope { epoch: ClusterEpoch(4), ..ENVELOPE }),
            MessageFault::Epoch { .. }
        ));
        for kind in [MessageType::MsgPropose, MessageType::MsgHup, MessageType::MsgUnreachable] {
            let bytes = encode(ENVELOPE.epoch, &message(kind));
            assert_eq!(decode(ENVELOPE, &bytes), Err(MessageFault::Kind(kind_code(kind))));
        }
    }

    #[test]
    fn what_raft_takes_for_granted_is_checked() {
        let edit = |edit: &dyn Fn(&mut Message)| {
            let mut message = append();
            edit(&mut message);
            decode(ENVELOPE, &encode(ENVELOPE.epoch, &message)).unwrap_err()
        };
        let entry = |index, what| MessageFault::Entry { index, what };
        assert_eq!(edit(&|m| m.index = 39), entry(41, "a gap"));
        assert_eq!(edit(&|m| m.entries[1].index = 41), entry(41, "a gap"));
        assert_eq!(edit(&|m| m.entries[1].term = 5), entry(42, "a term out of order"));
        assert_eq!(edit(&|m| m.term = 6), entry(42, "a term out of order"));
        assert_eq!(
            edit(&|m| m.entries[0].data = frame(40, 6, b"x").into()),
            entry(41, "a frame of another place")
        );
        assert_eq!(edit(&|m| m.entries[0].data = vec![1; 200].into()), entry(41, "not a frame"));
        assert_eq!(edit(&|m| m.term = 0), MessageFault::Range("term or index"));
        assert_eq!(edit(&|m| m.commit = u64::MAX), MessageFault::Range("term or index"));
        assert_eq!(
            edit(&|m| m.set_msg_type(MessageType::MsgHeartbeat)),
            entry(41, "an entry where there is none")
        );
        let question = |term, context: usize| {
            let mut question = message(MessageType::MsgReadIndex);
            question.term = term;
            question.entries.push(Entry { data: vec![1; context].into(), ..Entry::default() });
            decode(ENVELOPE, &encode(ENVELOPE.epoch, &question)).map(|_| ())
        };
        assert_eq!(question(0, 1), Ok(()));
        assert_eq!(question(7, 1), Err(MessageFault::Range("term or index")), "it would move the term");
        assert_eq!(question(0, 0), Err(MessageFault::Range("context")));
        assert_eq!(question(0, CONTEXT_BYTES_MAX + 1), Err(MessageFault::Range("context")));
    }

    #[test]
    fn a_long_append_is_split_and_says_the_same() {
        let mut long = message(MessageType::MsgAppend);
        for index in 41..=3_000 {
            let data = frame(index, 6, &[7; 1_000]);
            long.entries.push(Entry { index, term: 6, data: data.into(), ..Entry::default() });
        }
        let parts = split(long.clone());
        assert!(parts.len() > 2, "{}", parts.len());
        let mut before = (40, 5);
        for part in &parts {
            assert_eq!((part.index, part.log_term), before);
            let bytes = encode(ENVELOPE.epoch, part);
            assert!(bytes.len() < PEER_MESSAGE_BYTES_MAX);
            assert_eq!(decode(ENVELOPE, &bytes).as_ref(), Ok(part));
            before = part.entries.last().map(|entry| (entry.index, entry.term)).unwrap();
        }
        let joined: Vec<_> = parts.into_iter().flat_map(|part| part.entries.into_vec()).collect();
        assert_eq!(joined, long.entries.into_vec());
        assert_eq!(split(message(MessageType::MsgAppend)).len(), 1, "an empty one stays");
    }

    /// Seeded damage: every outcome is a message or a refusal, never a panic, and what is read is written again the same.
    #[test]
    fn damaged_bytes_never_panic() {
        let originals: Vec<_> = examples().iter().map(|message| encode(ENVELOPE.epoch, message)).collect();
        let again = |bytes: &[u8]| Some(encode(ENVELOPE.epoch, &decode(ENVELOPE, bytes).ok()?));
        damaged::never_panics(20_261_120, &originals, |_| (), again);
    }
}

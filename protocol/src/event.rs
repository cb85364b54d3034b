//! An event: one effect of a command, as it is hashed, kept in the outbox and sent.
//!
//! ```text
//! length u32 | kind u16 | version u16 | session u32 | epoch u32 | out_seq u64 | seq u64 | time_ns u64 | crc32c u32
//! | reserved u32                                                                                         (48 bytes)
//! | body
//! ```
//! `session`, `epoch` and `out_seq` are 0 unless the event is a numbered output of a session. `length` counts all of
//! it; `crc32c` covers all of it but itself.

use crate::bytes::{Field, put};
use crate::hash::{Hash, Hasher, crc32c, crc32c_append};
use crate::limits::EVENT_HEADER_BYTES;
use crate::wire::WireFault;
use crate::{EventBody, OutSeq, Seq, SessionEpoch, SessionId, UnixNanos};

/// The number that a session's output carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutputNumber {
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: SessionEpoch,
    /// The number in that epoch, from 1.
    pub out_seq: OutSeq,
}

/// One effect. What is said of each lies in front of the body: most bodies are small, and so share cache lines with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Set if it is sent to a session.
    pub output: Option<OutputNumber>,
    /// Seq of the command that it follows from.
    pub seq: Seq,
    /// Time of that command.
    pub time: UnixNanos,
    /// What happened.
    pub body: EventBody,
}

/// What is wrong with the bytes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFault {
    /// Fewer bytes than a header or its length says, or a length below a header's.
    Short,
    /// The checksum differs.
    Crc,
    /// Reserved bytes that are not zero, or a session or epoch without a number.
    Reserved,
    /// The body is not what its kind and version say.
    Body(WireFault),
}

const CRC_AT: usize = 40;
const RESERVED_AT: usize = 44;

impl Event {
    /// Appends the event to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start.saturating_add(EVENT_HEADER_BYTES), 0);
        self.body.encode(out);
        let bytes = out.get_mut(start..).unwrap_or_default();
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let number = self.output.unwrap_or_default();
        put(bytes, 0, &len.to_le_bytes());
        put(bytes, 4, &self.body.kind().to_le_bytes());
        put(bytes, 6, &self.body.version().to_le_bytes());
        put(bytes, 8, &number.session.0.to_le_bytes());
        put(bytes, 12, &number.epoch.0.to_le_bytes());
        put(bytes, 16, &number.out_seq.0.to_le_bytes());
        put(bytes, 24, &self.seq.0.to_le_bytes());
        put(bytes, 32, &self.time.0.to_le_bytes());
        let crc = event_crc(bytes);
        put(bytes, CRC_AT, &crc.to_le_bytes());
    }

    /// Reads the first event of `bytes`; also returns its length.
    ///
    /// # Errors
    /// [`EventFault`] for anything that [`Event::write`] does not write.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), EventFault> {
        if bytes.len() < EVENT_HEADER_BYTES {
            return Err(EventFault::Short);
        }
        let len = usize::try_from(bytes.u32_at(0)).map_err(|_| EventFault::Short)?;
        let bytes = bytes.get(..len).filter(|b| b.len() >= EVENT_HEADER_BYTES).ok_or(EventFault::Short)?;
        if bytes.u32_at(CRC_AT) != event_crc(bytes) {
            return Err(EventFault::Crc);
        }
        if bytes.u32_at(RESERVED_AT) != 0 {
            return Err(EventFault::Reserved);
        }
        let body = bytes.get(EVENT_HEADER_BYTES..).unwrap_or_default();
        let body = EventBody::decode(bytes.u16_at(4), bytes.u16_at(6), body).map_err(EventFault::Body)?;
        let output = OutputNumber {
            session: SessionId(bytes.u32_at(8)),
            epoch: SessionEpoch(bytes.u32_at(12)),
            out_seq: OutSeq(bytes.u64_at(16)),
        };
        let output = match output {
            OutputNumber { out_seq: OutSeq(1..), .. } => Some(output),
            none if none == OutputNumber::default() => None,
            OutputNumber { .. } => return Err(EventFault::Reserved),
        };
        Ok((Self { output, seq: Seq(bytes.u64_at(24)), time: UnixNanos(bytes.u64_at(32)), body }, len))
    }
}

fn event_crc(bytes: &[u8]) -> u32 {
    let before = crc32c(bytes.get(..CRC_AT).unwrap_or_default());
    crc32c_append(before, bytes.get(CRC_AT.saturating_add(4)..).unwrap_or_default())
}

/// The rolling hash over effects: after each frame `hash = BLAKE3(hash before ‖ bytes of the frame's events)`.
/// A frame without events leaves it as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EffectHash(pub Hash);

impl EffectHash {
    /// Takes the events of one frame, as [`Event::write`] wrote them one behind the other.
    pub fn fold(&mut self, events: &[u8]) {
        if events.is_empty() {
            return;
        }
        let mut hasher = Hasher::new();
        hasher.update(&self.0.0);
        hasher.update(events);
        self.0 = hasher.finish();
    }
}

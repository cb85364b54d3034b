//! A record: one command as it stands in the ring, in the journal, on the wire and in the engine's hands.
//!
//! ```text
//! length u32 | kind u16 | version u16 | session u32 | generation u32 | request u64 | gateway_delay_us u32 | flags u32
//! | correlation u128 (flag 1) | causation u64 (flag 2) | signature 64 bytes (flag 4)
//! | gateway u32, its number u64 (flag 8) | body
//! ```
//! Little endian; `length` counts everything from its own first byte to the end of the body. Records stand one behind
//! the other without padding. The actor follows from the session; seq and time from the place in the frame.

use crate::bytes::{Field, put};
use crate::limits::{
    BATCH_RECORDS_MAX, LEDGER_ROWS_MAX, RECORD_BYTES_LARGE, RECORD_BYTES_MAX, RECORD_HEADER_BYTES,
};
use crate::wire::commands::{CreateAccounts, CreateTransfers};
use crate::wire::rows::{ROWS_END_BYTES, TRANSFER_ROW_BYTES};
use crate::wire::{self, WireFault};
use crate::{Command, GatewayId, Generation, RequestNumber, Seq, SessionId};

/// Who sent a command, as which of its requests, and because of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// The session that submitted it; the actor is the session's.
    pub session: SessionId,
    /// The session's connection generation when it was submitted.
    pub generation: Generation,
    /// The session's number for it; 0 = unnumbered.
    pub request: RequestNumber,
    /// Microseconds from its arrival at the gateway to its sequencing; saturates at 71 minutes.
    pub gateway_delay_us: u32,
    /// The workflow it belongs to.
    pub correlation: Option<u128>,
    /// The command that caused it.
    pub causation: Option<Seq>,
    /// The client's Ed25519 signature (RFC 8032) over kind, version and body.
    pub signature: Option<[u8; 64]>,
    /// The gateway process that it came through; `None` = the gateway inside the leader, or no gateway.
    pub gateway: Option<GatewayNumber>,
}

/// The place of a command among those of one gateway process. It may arrive more than once, by way of several leaders: the
/// number says whether it has been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayNumber {
    /// The gateway.
    pub gateway: GatewayId,
    /// Counted from 1 since its process began, without gaps.
    pub number: u64,
}

/// Bytes of a record of this kind, header and extensions included: [`RECORD_BYTES_LARGE`] if it is a client's batch,
/// otherwise [`RECORD_BYTES_MAX`].
#[must_use]
pub const fn bytes_max(kind: u16) -> usize {
    match kind {
        CreateAccounts::KIND | CreateTransfers::KIND => RECORD_BYTES_LARGE,
        _ => RECORD_BYTES_MAX,
    }
}

/// A command whose body is bytes already: a batch whose rows are copied as they came from a socket.
#[derive(Clone, Copy, Debug)]
pub struct EncodedCommand<'a> {
    /// Kind of the body ([`crate::wire::kinds`]).
    pub kind: u16,
    /// Version of the body's layout.
    pub version: u16,
    /// The body, in parts that are joined. They are what [`wire::encode`] would write, and nothing behind this verifies
    /// it before an engine does, which halts.
    pub body: &'a [&'a [u8]],
}

impl EncodedCommand<'_> {
    fn body_bytes(&self) -> usize {
        self.body.iter().fold(0, |bytes, part| bytes.saturating_add(part.len()))
    }
}

const HAS_CORRELATION: u32 = 1;
const HAS_CAUSATION: u32 = 2;
const HAS_SIGNATURE: u32 = 4;
const HAS_GATEWAY: u32 = 8;
const GATEWAY_DELAY_AT: usize = 24;

const CORRELATION_BYTES: usize = 16;
const CAUSATION_BYTES: usize = 8;
const SIGNATURE_BYTES: usize = 64;
const GATEWAY_BYTES: usize = 12;

// As many transfers as a batch may have fit a record with every extension.
const _: () = assert!(
    RECORD_HEADER_BYTES
        + CORRELATION_BYTES
        + CAUSATION_BYTES
        + SIGNATURE_BYTES
        + GATEWAY_BYTES
        + LEDGER_ROWS_MAX * TRANSFER_ROW_BYTES
        + ROWS_END_BYTES
        <= RECORD_BYTES_LARGE
);

/// One record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Who, which request, and why.
    pub header: RecordHeader,
    /// Kind of the body ([`crate::wire::kinds`]).
    pub kind: u16,
    /// Version of the body's layout.
    pub version: u16,
    /// The body's bytes.
    pub body: &'a [u8],
    /// All bytes of the record.
    pub bytes: &'a [u8],
}

/// What is wrong with the bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// Fewer bytes left than a header or its length says.
    Short {
        /// Bytes needed.
        needed: usize,
        /// Bytes found.
        found: usize,
    },
    /// Length below the header's or above that of its kind ([`bytes_max`]).
    Length(u32),
    /// Flags of a later format.
    Flags(u32),
    /// The body is not what its kind and version say.
    Body(WireFault),
}

impl RecordHeader {
    /// Appends the record of `command` to `out`.
    ///
    /// # Errors
    /// [`RecordFault::Length`] if the record would be longer than its kind may be; `out` is then as before.
    pub fn write(&self, command: &Command, out: &mut Vec<u8>) -> Result<(), RecordFault> {
        self.write_around(command.kind(), command.version(), out, |out| wire::encode(command, out))
    }

    /// Appends the record of a command that is bytes already to `out`.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_encoded(&self, command: &EncodedCommand<'_>, out: &mut Vec<u8>) -> Result<(), RecordFault> {
        self.write_around(command.kind, command.version, out, |out| {
            command.body.iter().for_each(|part| out.extend_from_slice(part));
        })
    }

    /// Bytes of the record that [`Self::write_encoded`] writes.
    #[must_use]
    pub fn encoded_bytes(&self, command: &EncodedCommand<'_>) -> usize {
        let extensions = [
            (self.correlation.is_some(), CORRELATION_BYTES),
            (self.causation.is_some(), CAUSATION_BYTES),
            (self.signature.is_some(), SIGNATURE_BYTES),
            (self.gateway.is_some(), GATEWAY_BYTES),
        ];
        let extensions = extensions.iter().filter(|(is_there, _)| *is_there).map(|(_, bytes)| *bytes);
        RECORD_HEADER_BYTES.saturating_add(extensions.sum()).saturating_add(command.body_bytes())
    }

    fn write_around(
        &self,
        kind: u16,
        version: u16,
        out: &mut Vec<u8>,
        write_body: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), RecordFault> {
        let start = out.len();
        out.resize(start.saturating_add(RECORD_HEADER_BYTES), 0);
        let flags = self.write_extensions(out);
        write_body(out);
        let bytes = out.len().saturating_sub(start);
        let length = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes > bytes_max(kind) {
            out.truncate(start);
            return Err(RecordFault::Length(length));
        }
        let header = out.get_mut(start..).unwrap_or_default();
        put(header, 0, &length.to_le_bytes());
        put(header, 4, &kind.to_le_bytes());
        put(header, 6, &version.to_le_bytes());
        put(header, 8, &self.session.0.to_le_bytes());
        put(header, 12, &self.generation.0.to_le_bytes());
        put(header, 16, &self.request.0.to_le_bytes());
        put(header, GATEWAY_DELAY_AT, &self.gateway_delay_us.to_le_bytes());
        put(header, 28, &flags.to_le_bytes());
        Ok(())
    }

    /// What a header without extensions says.
    #[inline]
    fn read_fixed(fixed: &[u8; RECORD_HEADER_BYTES]) -> Self {
        Self {
            session: SessionId(fixed.u32_at(8)),
            generation: Generation(fixed.u32_at(12)),
            request: RequestNumber(fixed.u64_at(16)),
            gateway_delay_us: fixed.u32_at(GATEWAY_DELAY_AT),
            correlation: None,
            causation: None,
            signature: None,
            gateway: None,
        }
    }

    /// Appends the extensions; which there are.
    fn write_extensions(&self, out: &mut Vec<u8>) -> u32 {
        let mut flags = 0;
        if let Some(correlation) = self.correlation {
            flags |= HAS_CORRELATION;
            out.extend_from_slice(&correlation.to_le_bytes());
        }
        if let Some(causation) = self.causation {
            flags |= HAS_CAUSATION;
            out.extend_from_slice(&causation.0.to_le_bytes());
        }
        if let Some(signature) = self.signature {
            flags |= HAS_SIGNATURE;
            out.extend_from_slice(&signature);
        }
        if let Some(GatewayNumber { gateway, number }) = self.gateway {
            flags |= HAS_GATEWAY;
            out.extend_from_slice(&gateway.0.to_le_bytes());
            out.extend_from_slice(&number.to_le_bytes());
        }
        flags
    }
}

/// Sets the gateway delay of a written record: it is known only when the record gets its time.
pub fn set_gateway_delay_us(record: &mut [u8], delay_us: u32) {
    put(record, GATEWAY_DELAY_AT, &delay_us.to_le_bytes());
}

impl<'a> Record<'a> {
    /// Reads the first record of `bytes`; `bytes` may go on behind it.
    ///
    /// # Errors
    /// [`RecordFault`] for anything that [`RecordHeader::write`] does not write.
    // Inlined: a record is used where it was read, and not moved there.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<Self, RecordFault> {
        let short = |needed: usize| RecordFault::Short { needed, found: bytes.len() };
        let fixed = bytes.first_chunk::<RECORD_HEADER_BYTES>().ok_or(short(RECORD_HEADER_BYTES))?;
        let length = fixed.u32_at(0);
        let len = usize::try_from(length).map_err(|_| RecordFault::Length(length))?;
        let kind = fixed.u16_at(4);
        if !(RECORD_HEADER_BYTES..=bytes_max(kind)).contains(&len) {
            return Err(RecordFault::Length(length));
        }
        let bytes = bytes.get(..len).ok_or_else(|| short(len))?;
        let body = bytes.get(RECORD_HEADER_BYTES..).unwrap_or_default();
        let record =
            || Self { header: RecordHeader::read_fixed(fixed), kind, version: fixed.u16_at(6), body, bytes };
        match fixed.u32_at(28) {
            0 => Ok(record()),
            flags => record().with_extensions(flags),
        }
    }

    /// Takes the extensions that there are off the front of the body. Apart, so that a record without any is nowhere moved.
    #[cold]
    fn with_extensions(mut self, flags: u32) -> Result<Self, RecordFault> {
        if flags & !(HAS_CORRELATION | HAS_CAUSATION | HAS_SIGNATURE | HAS_GATEWAY) != 0 {
            return Err(RecordFault::Flags(flags));
        }
        let (header, rest) = (&mut self.header, &mut self.body);
        if flags & HAS_CORRELATION != 0 {
            header.correlation = Some(u128::from_le_bytes(take(rest)?));
        }
        if flags & HAS_CAUSATION != 0 {
            header.causation = Some(Seq(u64::from_le_bytes(take(rest)?)));
        }
        if flags & HAS_SIGNATURE != 0 {
            header.signature = Some(take(rest)?);
        }
        if flags & HAS_GATEWAY != 0 {
            let gateway = GatewayId(u32::from_le_bytes(take(rest)?));
            let number = u64::from_le_bytes(take(rest)?);
            header.gateway = Some(GatewayNumber { gateway, number });
        }
        Ok(self)
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// [`RecordFault::Body`] if it is not what kind and version say.
    pub fn command(&self) -> Result<Command, RecordFault> {
        wire::decode(self.kind, self.version, self.body).map_err(RecordFault::Body)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RecordFault> {
    let (head, tail) =
        rest.split_first_chunk::<N>().ok_or(RecordFault::Short { needed: N, found: rest.len() })?;
    *rest = tail;
    Ok(*head)
}

/// A place in a payload where a record should stand, and what stands there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable<'a> {
    /// Why.
    pub fault: RecordFault,
    /// Everything from there to the end of the payload: nothing says where the next record would begin.
    pub bytes: &'a [u8],
    /// Records that were to come from there on, this one included.
    pub records: u32,
}

/// The records of a frame's payload, in order. Ends at the first fault or after `count`, of which no more are believed than a
/// batch holds.
pub fn records(payload: &[u8], count: u32) -> impl Iterator<Item = Result<Record<'_>, Unreadable<'_>>> {
    let mut rest = payload;
    let mut left = count.min(u32::try_from(BATCH_RECORDS_MAX).unwrap_or(u32::MAX));
    core::iter::from_fn(move || {
        let records = left;
        left = left.checked_sub(1)?;
        let record = Record::read(rest);
        match &record {
            Ok(read) => rest = rest.get(read.bytes.len()..).unwrap_or_default(),
            Err(_) => left = 0,
        }
        Some(record.map_err(|fault| Unreadable { fault, bytes: rest, records }))
    })
}

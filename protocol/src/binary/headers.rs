//! Headers of messages: what stands in front of a block, written and read.

use super::fields::{Fixed, Tail};
use super::messages::Message;
use super::{BinaryFault, ENCODING_TYPE, FRAMING_BYTES, HEADERS_BYTES, SCHEMA_ID, SCHEMA_VERSION};
use crate::bytes::{Field, put};
use crate::limits::BINARY_MESSAGE_BYTES_MAX;

/// What the SBE header says, once schema and version are known to be ours.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) template: u16,
    block_bytes: u16,
}

impl Header {
    /// Splits the block off the front of `rest`.
    pub(super) fn block<'a>(self, bytes: usize, rest: &mut &'a [u8]) -> Result<&'a [u8], BinaryFault> {
        let Self { template, block_bytes } = self;
        if usize::from(block_bytes) != bytes {
            return Err(BinaryFault::Block { template, found: block_bytes });
        }
        let (block, behind) = rest.split_at_checked(bytes).ok_or(BinaryFault::Cut(template))?;
        *rest = behind;
        Ok(block)
    }

    pub(super) fn fixed<F: Fixed>(self, block: &mut &[u8]) -> Result<F, BinaryFault> {
        F::take(block).map_err(|list| BinaryFault::Value { template: self.template, list })
    }

    pub(super) fn tail<'a, T: Tail<'a>>(self, rest: &mut &'a [u8]) -> Result<T, BinaryFault> {
        T::take(self.template, rest)
    }
}

/// The template that a message's header names, if it is long enough to have one.
pub(super) fn template_of(message: &[u8]) -> Option<u16> {
    (message.len() >= HEADERS_BYTES).then(|| message.u16_at(FRAMING_BYTES.saturating_add(2)))
}

impl<'a> Message<'a> {
    /// Reads one whole message, whose length [`super::message_bytes`] has told.
    ///
    /// # Errors
    /// [`BinaryFault`] for what [`Self::write`] does not write.
    pub fn read(bytes: &'a [u8]) -> Result<Self, BinaryFault> {
        read_whole(bytes, Self::read_body)
    }
}

/// Reads the headers of a message, and what `read_body` makes of the rest, all of it.
pub(super) fn read_whole<'a, M>(
    bytes: &'a [u8],
    read_body: impl FnOnce(Header, &mut &'a [u8]) -> Result<M, BinaryFault>,
) -> Result<M, BinaryFault> {
    let length = super::message_bytes(bytes, BINARY_MESSAGE_BYTES_MAX)?;
    let (headers, mut rest) = bytes
        .split_at_checked(HEADERS_BYTES)
        .filter(|_| length == Some(bytes.len()))
        .ok_or(BinaryFault::Length(u32::try_from(bytes.len()).unwrap_or(u32::MAX)))?;
    let field = |at: usize| headers.u16_at(FRAMING_BYTES.saturating_add(at));
    let header = Header { block_bytes: field(0), template: field(2) };
    if field(4) != SCHEMA_ID {
        return Err(BinaryFault::Schema(field(4)));
    }
    if field(6) != SCHEMA_VERSION {
        return Err(BinaryFault::Version(field(6)));
    }
    let message = read_body(header, &mut rest)?;
    if rest.is_empty() { Ok(message) } else { Err(BinaryFault::Behind(header.template)) }
}

/// Appends the headers of a message; where it begins.
pub(super) fn begin(template: u16, block_bytes: usize, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    0_u32.put(out);
    let block_bytes = u16::try_from(block_bytes).unwrap_or(u16::MAX);
    for field in [ENCODING_TYPE, block_bytes, template, SCHEMA_ID, SCHEMA_VERSION] {
        field.put(out);
    }
    start
}

/// Sets the length of the message that begins at `start`.
pub(super) fn finish(start: usize, out: &mut [u8]) {
    let message = out.get_mut(start..).unwrap_or_default();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    put(message, 0, &length.to_le_bytes());
}

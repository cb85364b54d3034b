//! The binary protocol: what clients and nodes say to each other over TCP, as bytes. The published schema is
//! docs/sicil-binary.xml (SBE 1.0); a test holds these messages against it field by field.
//!
//! ```text
//! messageLength u32 (all of it) | encodingType u16 0xEB50                                    (simple open framing header)
//! | blockLength u16 | templateId u16 | schemaId u16 | version u16 | block                    (SBE)
//! | each group: blockLength u16, numInGroup u16, its rows | each text: length u16, its bytes
//! ```
//! Little endian; u128 as two u64, low first. A message is one of [`SCHEMA_VERSION`] to the byte, or refused whole: a length that does
//! not fit is never taken for the beginning of something longer.

mod chart;
mod codes;
mod commands;
mod exchange;
mod fields;
mod headers;
mod macros;
pub mod market;
mod messages;
mod rows;

use crate::bytes::Field;
use crate::hash::Hash;
use crate::limits::BINARY_MESSAGE_BYTES_MAX;
use crate::{SessionId, UnixNanos};
pub use chart::*;
pub use codes::*;
pub use commands::{CarriedCommand, enclose};
pub use exchange::*;
pub use fields::{Enclosed, Fields, Fixed, Rows, Tail, TailLayout, Words};
pub use messages::*;
pub use rows::*;

/// Schema id of every message.
pub const SCHEMA_ID: u16 = 7001;
/// Version of the schema.
pub const SCHEMA_VERSION: u16 = 1;
/// Encoding type of the framing header: SBE 1.0, little endian.
pub const ENCODING_TYPE: u16 = 0xEB50;
/// Bytes of the framing header.
pub const FRAMING_BYTES: usize = 6;
/// Bytes of both headers.
pub const HEADERS_BYTES: usize = FRAMING_BYTES + 8;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryFault {
    /// The framing header's length is below that of the headers or above what is allowed there.
    Length(u32),
    /// The framing header names another encoding.
    Encoding(u16),
    /// A message of another schema.
    Schema(u16),
    /// A message of another version of the schema.
    Version(u16),
    /// No message has this template id.
    Template(u16),
    /// A block or a group's rows have another length than in this version.
    Block {
        /// Of which message.
        template: u16,
        /// The length found.
        found: u16,
    },
    /// The message ends before its fields do.
    Cut(u16),
    /// Bytes behind the last field of a message.
    Behind(u16),
    /// A group has more rows, or a text more bytes, than are allowed.
    Count {
        /// Of which message.
        template: u16,
        /// The count found.
        found: u16,
    },
    /// A field holds a value that it cannot have.
    Value {
        /// Of which message.
        template: u16,
        /// Name of its type.
        list: &'static str,
    },
}

impl core::fmt::Display for BinaryFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a message of {length} bytes is not allowed here"),
            Self::Encoding(found) => {
                write!(f, "encoding type {found:#06x}, {ENCODING_TYPE:#06x} is expected")
            }
            Self::Schema(found) => write!(f, "schema {found}, {SCHEMA_ID} is expected"),
            Self::Version(found) => write!(f, "schema version {found}, this program speaks {SCHEMA_VERSION}"),
            Self::Template(found) => write!(f, "template {found} is unknown"),
            Self::Block { template, found } => {
                write!(f, "template {template}: a block of {found} bytes is not of this version")
            }
            Self::Cut(template) => write!(f, "template {template}: cut short"),
            Self::Behind(template) => write!(f, "template {template}: bytes behind the last field"),
            Self::Count { template, found } => write!(f, "template {template}: {found} are too many"),
            Self::Value { template, list } => write!(f, "template {template}: no {list} has this value"),
        }
    }
}

impl core::error::Error for BinaryFault {}

/// How long the first message of `stream` is; `None`: not enough has come to say. `bytes_max`: longest that is allowed.
///
/// # Errors
/// [`BinaryFault::Length`] or [`BinaryFault::Encoding`]: nothing behind this can be found.
pub fn message_bytes(stream: &[u8], bytes_max: usize) -> Result<Option<usize>, BinaryFault> {
    if stream.len() < FRAMING_BYTES {
        return Ok(None);
    }
    let (length, encoding) = (stream.u32_at(0), stream.u16_at(4));
    if encoding != ENCODING_TYPE {
        return Err(BinaryFault::Encoding(encoding));
    }
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes < HEADERS_BYTES || bytes > bytes_max.min(BINARY_MESSAGE_BYTES_MAX) {
        return Err(BinaryFault::Length(length));
    }
    Ok(Some(bytes))
}

/// What an Establish signs: a tag that says what it is, session, version, timestamp and the challenge of the Negotiate before.
#[must_use]
pub fn establish_to_sign(
    session: SessionId,
    session_version: u64,
    timestamp: UnixNanos,
    challenge: Hash,
) -> Vec<u8> {
    let mut bytes = b"sicil binary establish 1\0".to_vec();
    session.put(&mut bytes);
    session_version.put(&mut bytes);
    timestamp.put(&mut bytes);
    challenge.put(&mut bytes);
    bytes
}

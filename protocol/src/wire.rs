//! Bodies of commands and events as bytes. The only place that names rkyv.
//!
//! A body is the rkyv archive of a *frozen* struct, selected by (kind, version) from the header around it: rkyv says
//! nothing about evolution and would read a newer body as an older struct without an error. So a published struct is
//! never edited; a change is a new struct under the next version, and [`decode`] lifts the old one to it. Little
//! endian, unaligned, 32-bit offsets: no padding, readable at any address. Access is always checked.
//! Layout by hand: docs/FORMAT.md; golden bytes of every version: `protocol/tests/golden/`.

pub mod ahead;
pub mod commands;

pub mod events;
pub mod fields;
pub mod kinds;
mod macros;
pub mod proposed;
pub mod rows;
pub mod terms;
mod text;

use core::mem::MaybeUninit;

use rkyv::api::low::LowSerializer;
use rkyv::rancor::Panic;
use rkyv::ser::allocator::SubAllocator;

use crate::{Command, EventBody};
pub(crate) use macros::{codes, messages};

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFault {
    /// No message has this kind and version.
    Unknown {
        /// The kind found.
        kind: u16,
        /// The version found.
        version: u16,
    },
    /// The bytes are not an archive of that message, or a field is past its limit or has an unknown code.
    Malformed {
        /// The message's kind.
        kind: u16,
    },
}

/// The bytes are not an archive of the message expected, in a version that is known. Says no more, so that reading is cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl core::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("not the message expected")
    }
}

impl core::error::Error for Unreadable {}

impl rkyv::rancor::Trace for Unreadable {
    fn trace<R: core::fmt::Debug + core::fmt::Display + Send + Sync + 'static>(self, _: R) -> Self {
        self
    }
}

impl rkyv::rancor::Source for Unreadable {
    fn new<T: core::error::Error + Send + Sync + 'static>(_: T) -> Self {
        Self
    }
}

/// A code that no variant has.
#[derive(Debug)]
pub(crate) struct UnknownCode {
    pub(crate) list: &'static str,
    pub(crate) code: u8,
}

impl core::fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} has no code {}", self.list, self.code)
    }
}

impl core::error::Error for UnknownCode {}

/// Appends the body of `command` to `out`.
pub fn encode(command: &Command, out: &mut Vec<u8>) {
    command.encode(out);
}

/// Decodes a command's body.
///
/// # Errors
/// [`WireFault`] for what [`encode`] of this or an earlier version does not write.
pub fn decode(kind: u16, version: u16, body: &[u8]) -> Result<Command, WireFault> {
    Command::decode(kind, version, body)
}

/// Decodes an event's body.
///
/// # Errors
/// [`WireFault`] for what [`EventBody::encode`] of this or an earlier version does not write.
pub fn decode_event(kind: u16, version: u16, body: &[u8]) -> Result<EventBody, WireFault> {
    EventBody::decode(kind, version, body)
}

/// Serialises one message behind what `out` holds; offsets inside an archive are relative, so it may stand anywhere.
fn archive<T>(message: &T, out: &mut Vec<u8>)
where
    T: for<'a, 'b> rkyv::Serialize<LowSerializer<&'a mut Vec<u8>, SubAllocator<'b>, Panic>>,
{
    // Only lists need scratch space, and those of ids none; what else a message may hold one day stays below this.
    let mut scratch = [MaybeUninit::uninit(); 256];
    let written =
        rkyv::api::low::to_bytes_in_with_alloc::<_, _, Panic>(message, out, SubAllocator::new(&mut scratch));
    match written {
        Ok(_) => {}
        Err(never) => match never {},
    }
}

//! Client protocols: bytes and times in, commands and bytes out.
//!
//! Rule: a gateway holds no truth and cannot see the engine. It parses, checks syntax and identity, submits commands and
//! renders committed events; it never invents a message, never numbers one, opens no socket and reads no clock. Whatever
//! it forgets can be learnt again from the journal, so it may die at any moment.
//!
//! [`fix`] is the FIX 4.4 acceptor; its rules of engagement are docs/FIX.md. [`binary`] is the ledger's; its rules are
//! docs/BINARY.md. [`uplink`] stands between it and the cluster where the
//! gateway is a process of its own.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod binary;
pub mod fix;
pub mod uplink;

/// A connection, by the number that the node gave it. Numbers are not used again while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(
    /// The bare number.
    pub u64,
);

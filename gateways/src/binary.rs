//! The binary protocol, server side: sessions that prove themselves by a signature, and requests of the ledger.
//!
//! In reading order: [`input`] finds messages in a stream of bytes, [`connection`] is one connection from its Negotiate to its
//! Terminate, [`directory`] knows sessions, keys and roles, [`commands`] the numbers under which a session's commands are executed once, [`read`]
//! is a question that the node answers from its state, [`answers`] are the
//! messages that say it. [`Acceptor`] is the whole. The messages themselves are `protocol::binary`.

mod acceptor;
mod answers;
mod commands;
mod connection;
mod directory;
mod input;
mod read;

use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};

pub use acceptor::Acceptor;
pub use connection::Leadership;
pub use read::{Answer, Query, Read, Scope, TotalKey};

/// Shortest and longest keep-alive interval that a client may ask for, in milliseconds.
pub const KEEP_ALIVE_MS: core::ops::RangeInclusive<u32> = 100..=60_000;

/// What may be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a connection may take to establish its session.
    pub establish_nanos_max: u64,
    /// Requests of one connection that are not answered yet; while there are as many, nothing is read from it.
    pub unanswered_max: usize,
    /// Bytes of them.
    pub unanswered_bytes_max: usize,
    /// Questions of all connections that were not taken yet; further ones are refused as busy.
    pub reads_max: usize,
    /// Questions of one connection that were taken and are not answered: so many answers may come at once.
    pub reads_taken_max: usize,
    /// Those of one session.
    pub reads_taken_per_session_max: usize,
    /// Bytes of answers that wait for one peer; above, nothing is read from it, and no question is taken whose answer could exceed it.
    pub output_bytes_max: usize,
    /// Connections of one session.
    pub connections_per_session_max: usize,
    /// How long a connection that has ended tries to send what is left.
    pub linger_nanos: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            establish_nanos_max: 10 * NANOS_PER_SECOND,
            unanswered_max: 4_096,
            unanswered_bytes_max: 4 << 20,
            reads_max: 8_192,
            reads_taken_max: 32,
            reads_taken_per_session_max: 2_048,
            output_bytes_max: 1 << 20,
            connections_per_session_max: 256,
            linger_nanos: 2_000 * NANOS_PER_MILLI,
        }
    }
}

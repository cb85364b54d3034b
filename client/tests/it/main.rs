//! The client against the shipped acceptor of the other side: one process, no socket, bytes in pieces.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conversation;

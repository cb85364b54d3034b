//! The journal as its users see it: on a disk that can lose power, and on the real one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auditor;
mod bounded;
mod files;
mod golden;
mod log;
mod mem_disk;
mod real_disk;
mod recovery;
mod repair;
mod reread;

//! The program on journals that the journal crate wrote, with an engine beside that computes what the program must find.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod outvoted;
mod program;
mod questions;
mod repaired;
mod rewritten;
mod skipped;
mod verify;
mod world;

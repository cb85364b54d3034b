//! The FIX acceptor against an engine that is too simple to be wrong: scripts of dialogues, and noise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod engine;
mod noise;
mod world;

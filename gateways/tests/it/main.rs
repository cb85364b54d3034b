//! The FIX acceptor against an engine that is too simple to be wrong, and against the shipped one: scripts of dialogues, noise,
//! storms; and the link of a gateway process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::wildcard_enum_match_arm, reason = "the naive engine knows only what a session may submit")]

mod binary;
mod cases;
mod engine;
mod hostile;
mod noise;
mod shipped;
mod stock;
mod storm;
mod uplink;
mod world;

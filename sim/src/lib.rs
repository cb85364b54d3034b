//! A simulated disk, clock and clients around the very libraries that ship.
//!
//! Rule: one seed is the whole world. Nothing here reads a clock, starts a thread, touches a file or draws from another
//! generator than [`rng`], so that a failure is repeated by its seed alone; and nothing that is tested is a copy.
#![forbid(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod rng;
pub mod trace;

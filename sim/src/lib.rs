//! A simulated disk, clock and clients around the very libraries that ship.
//!
//! Rule: one seed is the whole world. Nothing here reads a clock, starts a thread, touches a file or draws from another
//! generator than [`rng`], so that a failure is repeated by its seed alone; and nothing that is tested is a copy: the
//! replica, the acceptor and the journal are those of the node.
//!
//! In reading order: [`world`] is the scheduler and the two phases of a run, `host` a machine with its clock and faults,
//! [`machine`] the process on it, [`disk`] what crashes, decay and lies do to its bytes, [`network`] what happens between
//! replicas, `faults` and `nemesis` when things go wrong, `corruption` and `replacing` what becomes of a machine that is wrong, or lost,
//! [`workload`] who is outside, and `calendar` which day they have. Then what is true: [`mirror`] the log that a disk said is durable, [`witness`] the committed
//! log, re-run, [`oracle`] what a start may come to, `checkers` one invariant a file. [`exhaustive`] crashes one script at
//! every operation of the disk, [`shrink`] makes a failing seed small.
#![forbid(unsafe_code)]

mod calendar;
mod checkers;
pub mod clock;
mod corruption;
pub mod coverage;
pub mod disk;
pub mod exhaustive;
mod faults;
mod host;
pub mod knobs;
pub mod link;
pub mod machine;
pub mod mirror;
mod nemesis;
pub mod network;
pub mod oracle;
pub mod repairing;
mod replacing;
pub mod rng;
pub mod shrink;
pub mod trace;
pub mod witness;
pub mod workload;
pub mod world;

pub use checkers::Violation;
pub use world::{Failure, Report, World};

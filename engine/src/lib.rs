//! The engine: ledger, matching and sessions as one pure function, (state, command) -> (state, events).
//!
//! Rule: what follows from a command depends on the state and on the command's bytes, seq and time, and on nothing
//! else. No I/O, no clock, no float, no thread, no randomness, no order of hashing, no unsafe: so every replica, the
//! simulator and an auditor ten years from now compute the same events, the same state and the same hash.
//!
//! In reading order: [`engine`] is the entrance and the dispatch; [`registry`] knows what was configured, [`approvals`] what two have to agree on, [`ledger`]
//! where money is, [`sessions`] who speaks and which of it has been executed, [`markets`] the books and what stands
//! beside each resting order, [`orders`] the life of an order from admission to settlement. [`matching`] is the book
//! alone. [`gateways`] tells what a gateway
//! process sent twice. [`skip`] passes over what cannot be applied. [`snapshot`] writes the whole state canonically, [`views`] shows it to people, [`broken`] says what must never
//! happen. A refusal is an outcome ([`protocol::RejectReason`]); an `Err` of [`Engine::apply`] is a bug or damage.
#![forbid(unsafe_code)]
#![deny(
    missing_docs,
    clippy::float_arithmetic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

mod approvals;
pub mod broken;
mod busts;
mod effects;
pub mod engine;
mod fees;
mod gateways;
mod id_index;
mod index;
mod invariants;
mod ledger;
mod markets;
pub mod matching;
mod orders;
mod pages;
mod registry;
mod rows;
mod sessions;
pub mod skip;
mod slab;
pub mod snapshot;
pub mod views;

pub use broken::{Broken, InvariantBroken};
pub use engine::{ENGINE_VERSION, Engine};
pub use skip::{CannotTake, SkipRefusal, Skips};
pub use snapshot::SnapshotFault;

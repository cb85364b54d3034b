//! The words of Sicil: ids, money, time, commands, events, refusals, limits, and the bytes of each.
//! Rule: no I/O and no state. Every crate may name this one, it names no other; what is written here is a promise
//! to auditors who read journals years later, so a published layout is never edited, only followed by a version.
//!
//! In reading order: [`ids`], [`money`], [`time`], [`calendar`], [`text`], then the layers of the journal from the inside out:
//! [`wire`] (bodies of commands and events), [`record`] (one command), [`event`] (one effect), [`frame`] (one Raft
//! entry), [`skip`] (what operators pass over). [`reject`] lists every business refusal, [`ledger_refusal`] those of the rows of a batch, [`limits`] every maximum, [`submit`] is where gateways
//! hand over, and [`link`] how a gateway process does. [`book`] is the checksum by which everybody who keeps a book can compare it. [`binary`] is what clients of the ledger and nodes say to each other.
#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::float_arithmetic, clippy::as_conversions, clippy::arithmetic_side_effects)]

pub mod binary;
pub mod book;
pub mod calendar;
pub mod event;
pub mod frame;
pub mod hash;
pub mod ids;
pub mod ledger_refusal;
pub mod limits;
pub mod link;
pub mod money;
pub mod mutant;
pub mod record;
pub mod reject;
pub mod sign;
pub mod skip;
pub mod submit;
pub mod text;
pub mod time;
pub mod wire;

mod bytes;

pub use bytes::{Field, put};
pub use ids::*;
pub use ledger_refusal::LedgerRefusal;
pub use money::{Amount, PriceTicks, QtyLots};
pub use reject::RejectReason;
pub use text::{RareText, Text};
pub use time::{MonoNanos, UnixNanos};
pub use wire::commands::{self, Command};
pub use wire::events::{self, EventBody};
pub use wire::kinds::*;
pub use wire::proposed::ProposedCommand;
pub use wire::rows;
pub use wire::terms;

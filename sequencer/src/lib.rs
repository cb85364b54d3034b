//! Order and time: the one place where a command gets its seq and its nanosecond.
//!
//! Rule: cannot see the rules. It admits by room alone, orders by arrival alone, and never looks into a body.
//!
//! A record is encoded once, behind its predecessors, into the buffer that becomes the payload of a frame
//! ([`Sequencer::submit`]). Closing a batch ([`Sequencer::close_batch`]) stamps that buffer in place, and the same
//! bytes are the Raft entry, the journal's frame and what the engine reads.
#![forbid(unsafe_code)]

mod sequencer;
mod stamp;

pub use sequencer::{ClosedBatch, Place, Sequencer};
pub use stamp::Stamper;

//! FIX 4.4, order entry, acceptor side.
//!
//! In reading order: [`frame`] finds messages in a stream of bytes and drops what is garbled, [`message`] splits one into
//! fields, [`dictionary`] says what they may be and [`validate`] holds one against it, [`connection`] is one connection
//! with its output and what it still owes, [`session`] decides what a message means for its session, [`orders`] makes
//! commands of orders, [`render`] makes bytes of events. [`Acceptor`] is the whole.

mod acceptor;
mod connection;
mod dictionary;
mod directory;
mod encode;
mod frame;
pub mod initiator;
mod message;
mod order_record;
mod orders;
mod output;
mod quotes;
mod reasons;
mod render;
mod safeguards;
mod session;
mod terms;
mod timestamp;
mod triggers;
mod validate;

pub use acceptor::{Acceptor, Options};
pub use output::OutboxRead;

pub use crate::ConnectionId;

/// Between two fields (ASCII SOH).
const SOH: u8 = 1;

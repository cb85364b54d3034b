//! The ledger's history: accounts and transfers by id, an account's transfers and balances, at any seq or instant, or by value date;
//! which conditions of balance monitors became true, what came of standing orders, and at which rates currencies were exchanged.
//!
//! [`Feed`] follows the log and writes one file; a [`Reader`] answers from it, each [`Snapshot`] as of one seq. Balances are debits
//! and credits: what is held for orders is no movement, and stands in the engine alone.
//!
//! Nothing is looked up to write: a movement is one debit and one credit that are appended to the history of their accounts as
//! what they change, and balances are sums over that history, kept at every entry within its run. In memory stands the id of each
//! account, and what is pending.

mod accounts;
mod attempts;
mod bodies;
mod buffer;
mod catalogue;
mod days;
mod exchanges;
mod fault;
mod feed;
mod follow;
mod leg;
mod markets;
mod merge;
mod movement;
mod page;
mod pending;
mod read;
mod run;
mod shift;
#[cfg(test)]
mod tests;
mod transfer_id;
mod triggers;

pub use attempts::Attempt;
pub use exchanges::Exchange;
pub use fault::ViewFault;
pub use feed::{Feed, Opened, Persist};
pub use movement::{Balances, Cause, Change, Place, Side};
pub use page::{BalanceChange, Cursor, Filter, Order, PAGE_ENTRIES_MAX, Page};
pub use read::{Account, At, ReadFault, Reader, Snapshot, Status, Transfer, ValueBalance};
pub use triggers::Trigger;

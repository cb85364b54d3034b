//! Read models: what the log did, kept for questions that the engine does not answer.
//!
//! Rule: fed by records and their events in the order of seq, and by nothing else. A view cannot see the engine, decides nothing,
//! and is never believed against the journal: what is damaged or of another version is thrown away and built anew.
//!
//! [`ledger`]: accounts, transfers, and balances at any seq or instant.
//! [`market`]: books, trades, candles and tickers, in memory, and who is sent what of them.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod ledger;
pub mod market;

mod pack;

//! A client of the ledger: batches of accounts and transfers, lookups, histories and balances, over the binary protocol.
//!
//! Rule: names the words (`protocol`) alone, so that a program that speaks to nodes needs nothing of theirs.
//!
//! [`Conversation`] is all of the protocol without a socket or a clock. [`Client`] has both and blocks its caller, which is the
//! fastest way to one answer; [`AsyncClient`] keeps one on a thread of its own and answers futures of any executor. Several requests
//! may be under way in either. When a node goes or loses the lead, they turn to the next one of their list and send again what was
//! not answered: a batch is created once, because its ids say what it is; what came of it twice is told by [`BatchResult`]. A command is
//! executed once, because it keeps its number in the session.
//!
//! [`MarketReader`] reads market data, of any node; [`MarketBook`] keeps a book out of them and proves it.
//!
//! ```no_run
//! use client::{Client, Credentials, Options};
//! # fn main() -> Result<(), client::ClientFault> {
//! let mut client = Client::connect(Options::new(vec!["127.0.0.1:9881".to_owned()], Credentials::demo()))?;
//! let balance = client.balance_at(protocol::AccountId(301), client::At::Now, client::Freshness::ANY)?;
//! println!("{} is reserved", balance.debits_pending);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod asynchronous;
mod blocking;
mod clock;
mod conversation;
mod ids;
mod market;
mod pages;
mod request;

pub use asynchronous::{AsyncClient, Pending};
pub use blocking::{Client, ClientFault, Options};
pub use conversation::{Conversation, Credentials, Ended, Ticket};
pub use ids::TransferIds;
pub use market::{BookFault, Candles, MarketBook, MarketFault, MarketReader, Subscription};
pub use pages::{
    AccountCodePage, AccountPages, AccountTransfers, AttemptPage, MonitorPage, ProposalPage, QuotePage,
    StandingOrderPage, TotalPage, TransferPage, TriggerPage,
};
pub use request::{At, BatchResult, Executed, Freshness, OpenProposal, Page, Reply, Request, TotalKey};

//! The ledger beside a naive model: seeded batches of every kind, with every refusal and every combination of flags;
//! and damaged ones.

mod bank;
mod bank_flow;
mod corrections;
mod coverage;
mod damage;
mod differential;
mod exchange;
mod flow;
mod folds;
mod model;
mod monitors;
mod precedence;
mod refusals;
mod standing_orders;

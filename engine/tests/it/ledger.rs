//! The ledger beside a naive model: seeded batches of every kind, with every refusal and every combination of flags.

mod coverage;
mod differential;
mod flow;
mod model;
mod refusals;

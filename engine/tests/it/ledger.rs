//! The ledger beside a naive model: seeded batches of every kind, with every refusal and every combination of flags;
//! and damaged ones.

mod bank;
mod bank_chart;
mod bank_corrections;
mod bank_exchange;
mod bank_flow;
mod bank_market;
mod bank_orders;
mod corrections_flow;
mod coverage;
mod damage;
mod differential;
mod exchange;
mod flow;
mod folds;
mod market_flow;
mod model;
mod monitors;
mod precedence;
mod refusals;
mod services_flow;
mod standing_orders;

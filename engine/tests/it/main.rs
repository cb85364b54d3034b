//! Tests of the engine from outside: scenarios in the domain's language, random commands beside a naive model,
//! precedence of refusals, snapshots golden and damaged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod approvals;
mod auctions;
mod busts;
mod definitions;
mod entrance;
mod followed;
mod gateways;
mod ledger;
mod model;
mod numbers;
mod overdrafts;
mod pegs;
mod precedence;
mod properties;
mod reached;
mod render;
mod scenarios;
mod script;
mod snapshots;
mod world;

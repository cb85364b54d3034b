//! The matching core beside naive ones, on seeded flows of several shapes and on the common workload.
//!
//! A failure prints shape, seed and step; `SEED=<n>` runs every shape with that seed, `MATCHING_COMMANDS=<n>` as many
//! seeds as it takes to come to n operations.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auctions;
mod common_workload;
mod differential;
mod draw;
mod naive;
mod shape;
mod triggers;
#[path = "../../../perf/src/workload.rs"]
mod workload;

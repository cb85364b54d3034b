//! The bytes of the protocol: golden files, a second reader from docs/FORMAT.md alone, and damage.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;
mod binary_exchange;
mod binary_market;
mod binary_schema;
mod document;
mod examples;
mod golden;
mod layouts;
mod link;
mod random;
mod refusals;
mod robustness;
mod schema;
mod values;

//! The shipped binary as a process: real files, real sockets, a folder and free ports of its own for each test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod demo;
mod exchange;
mod faults;
mod folder;
mod founders;
mod gateway;
mod ledger;
mod ledger_chart;
mod ledger_cluster;
mod ledger_reads;
mod ledger_settings;
mod lifecycle;
mod market_data;
mod market_restart;
mod operator;
mod order_terms;
mod peers;
mod process;
mod relay;
mod repair;
mod replacement;
mod skip;
mod trading;

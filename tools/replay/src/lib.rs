//! The auditor's tool: verifies, shows and re-runs a journal from its files, or from copies of them.
//!
//! Rule: reads journals and never writes them. It needs no node, trusts nothing that it can compute again, and takes
//! damaged input for a finding, never for a reason to panic.
//!
//! In reading order: [`main_with_args`] is the command line (`args`); `log` opens a folder and walks all of it once
//! (structure, checksums, chain, what was truncated, what is committed); `entries` walks the entries that are left a second
//! time; `rerun` feeds them to the engine and compares every hash that was recorded. `verify`, `show`, `state` and `totals` are the
//! four questions; `finding` is what they have to complain about.
#![forbid(unsafe_code)]

mod args;
mod entries;
mod filter;
mod finding;
mod folder;
mod log;
mod out;
mod outcome;
mod outvoted;
mod render;
mod rerun;
mod show;
mod state;
mod stopwatch;
mod totals;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

/// Whole, or whole but for a write that never finished.
pub const EXIT_CLEAN: u8 = 0;
/// Damaged, in doubt, or not to be answered from these files.
pub const EXIT_DAMAGED: u8 = 1;
/// Wrong arguments, or no journal there.
pub const EXIT_USAGE: u8 = 2;

/// Runs the program with `args`, the program's name first, and writes to the standard streams.
pub fn main_with_args(args: impl Iterator<Item = OsString>) -> ExitCode {
    ExitCode::from(args::run(args))
}

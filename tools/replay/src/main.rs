//! `sicil-replay`: the auditor's tool as a program of its own. See the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    replay::main_with_args(std::env::args_os())
}

//! Rule: a rule of the house is a test with a message that says what to do; what no test checks is only a wish.
//!
//! Each rule is one file with one pure function, `findings(&Tree) -> Vec<Finding>`, and unit tests that plant a
//! violation and see it found. `tests/repository.rs` runs every rule on the repository itself: `cargo test -p tidy`.
//! The standard library is enough for all of it: manifests and sources are read by simple line and word rules.
#![forbid(unsafe_code)]

pub mod manifest;
pub mod mask;
pub mod tree;
pub mod words;

pub mod crate_rule;
pub mod dead_files;
pub mod determinism;
pub mod docs;
pub mod homes;
pub mod layers;
pub mod machine_paths;
pub mod manifests;
pub mod marks;
pub mod names;
pub mod sizes;
pub mod unsafe_folder;

pub use tree::{Finding, Tree};

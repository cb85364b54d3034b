//! The rules of the house on the repository itself: one test a rule, so that a failure names it.

use std::fmt::Write;
use std::path::Path;

use tidy::{Finding, Tree};

fn check(findings: fn(&Tree) -> Vec<Finding>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = match Tree::read(&root) {
        Ok(tree) => tree,
        Err(error) => panic!("the repository at {} cannot be read: {error}", root.display()),
    };
    assert!(tree.has_file("Cargo.toml") && tree.has_folder("engine/src"), "not the root: {}", root.display());
    let found = findings(&tree);
    let mut report = String::new();
    for finding in &found {
        write!(report, "\n  {finding}").expect("a string takes every text");
    }
    assert!(found.is_empty(), "{} to put right:{report}\n", found.len());
}

macro_rules! rules {
    ($($rule:ident)*) => {
        $(
            #[test]
            fn $rule() {
                check(tidy::$rule::findings);
            }
        )*
    };
}

rules! {
    crate_rule
    dead_files
    determinism
    docs
    homes
    layers
    machine_paths
    manifests
    marks
    names
    sizes
    unsafe_folder
}

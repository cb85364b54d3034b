//! A module is named after what it is about. A name that fits everything collects everything.

use crate::mask::mask;
use crate::tree::{Finding, Tree, line_of};
use crate::words::{identifier, offsets_of};

const FORBIDDEN: [&str; 7] = ["util", "utils", "common", "helpers", "helper", "misc", "manager"];

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.sources() {
        if path.ends_with("/mod.rs") {
            let message = "`mod.rs` says nothing in a list of open files: `foo.rs` beside the folder `foo/`";
            findings.push(Finding::new(path, 0, message));
        }
        for part in path.trim_end_matches(".rs").split('/') {
            if FORBIDDEN.contains(&part) {
                findings.push(Finding::new(path, 0, advice(part)));
            }
        }
        let masked = mask(text);
        for offset in offsets_of(&masked, "mod") {
            let rest = masked[offset + 3..].trim_start();
            let name = identifier(rest);
            // `mod name;` is found by the file's own path.
            if FORBIDDEN.contains(&name) && rest[name.len()..].trim_start().starts_with('{') {
                findings.push(Finding::new(path, line_of(text, offset), advice(name)));
            }
        }
    }
    findings
}

fn advice(name: &str) -> String {
    format!(
        "`{name}` is about nothing in particular: name it after what it holds, or move the code to its user"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_everything_are_found() {
        for path in ["a/src/util.rs", "a/src/helpers/x.rs", "common/src/lib.rs", "a/src/foo/mod.rs"] {
            assert_eq!(findings(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
        let found = findings(&Tree::of(&[("a/src/lib.rs", "\nmod misc { fn f() {} }")]));
        assert_eq!((found.len(), found[0].line), (1, 2));
    }

    #[test]
    fn words_that_contain_them_pass() {
        assert_eq!(findings(&Tree::of(&[("a/src/utilisation.rs", "mod common_fee {}")])), []);
    }
}

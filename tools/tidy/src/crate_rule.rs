//! Every crate says its rule at the top of its root, first or right below the title: a crate exists only because the
//! compiler then proves something, and a newcomer should read what.

use crate::manifest::crates;
use crate::tree::{Finding, Tree};
use crate::words::has_word;

/// The rule stands in one of the first two: a title may come before it.
const PARAGRAPHS: usize = 2;

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in crates(tree) {
        let roots = [manifest.at("src/lib.rs"), manifest.at("src/main.rs")];
        let Some(root) = roots.iter().find(|root| tree.has_file(root)) else {
            findings.push(Finding::new(manifest.path, 0, "the crate has neither src/lib.rs nor src/main.rs"));
            continue;
        };
        if !has_word(&opening(tree.text(root).unwrap_or_default()), "Rule") {
            let message = format!(
                "the comment of crate `{}` does not state its rule: write `//! Rule: …` first or right below the title, \
                 what the crate may not do and why that is a crate",
                manifest.name
            );
            findings.push(Finding::new(root, 1, message));
        }
    }
    findings
}

/// The first paragraphs of the `//!` comment at the top.
fn opening(source: &str) -> String {
    let comment: Vec<&str> =
        source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    comment
        .split(|line| line.is_empty())
        .take(PARAGRAPHS)
        .map(|lines| lines.join(" "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: (&str, &str) = ("a/Cargo.toml", "[package]\nname = \"a\"\n");

    fn check(root: &str) -> Vec<Finding> {
        findings(&Tree::of(&[MANIFEST, ("a/src/lib.rs", root)]))
    }

    #[test]
    fn a_crate_without_a_rule_is_found() {
        for root in
            ["", "//! The engine.\n", "//! A.\n//!\n//! B.\n//!\n//! Rule: too late.\n", "//! Rules\n"]
        {
            let found = check(root);
            assert!(found.len() == 1 && found[0].message.contains("does not state its rule"), "{root}");
        }
        assert_eq!(findings(&Tree::of(&[MANIFEST])).len(), 1);
    }

    #[test]
    fn a_rule_at_the_top_passes() {
        assert_eq!(check("//! Rule: no disk.\n"), []);
        assert_eq!(check("//! The engine.\n//!\n//! Rule: no disk.\n#![x]\n"), []);
        assert_eq!(findings(&Tree::of(&[MANIFEST, ("a/src/main.rs", "//! Rule: x\n")])), []);
    }
}

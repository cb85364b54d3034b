//! `unsafe` lives in one folder, behind an API that is safe. Every other crate forbids it in its root, so that no
//! attribute further down can let it in again.

use crate::manifest::crates;
use crate::mask::mask;
use crate::tree::{Finding, Tree, line_of};
use crate::words::{has_word, offsets_of};

/// The folder, and the file that opens it.
const UNSAFE_FOLDER: &str = "journal/src/sys/";
const UNSAFE_ROOT: &str = "journal/src/sys.rs";
const UNSAFE_CRATE: &str = "journal";

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.sources() {
        if path.starts_with(UNSAFE_FOLDER) || path == UNSAFE_ROOT {
            continue;
        }
        let masked = mask(text);
        for offset in offsets_of(&masked, "unsafe") {
            let message =
                format!("`unsafe` belongs into {UNSAFE_FOLDER}, behind a function that is safe to call");
            findings.push(Finding::new(path, line_of(text, offset), message));
        }
        for offset in offsets_of(&masked, "unsafe_code") {
            let attribute = masked[..offset].rsplit('[').next().unwrap_or_default();
            if has_word(attribute, "allow") || has_word(attribute, "expect") {
                let message =
                    format!("`unsafe_code` is let in below {UNSAFE_FOLDER} only, by an attribute there");
                findings.push(Finding::new(path, line_of(text, offset), message));
            }
        }
    }
    for manifest in crates(tree).iter().filter(|manifest| manifest.name != UNSAFE_CRATE) {
        for root in ["src/lib.rs", "src/main.rs"].map(|root| manifest.at(root)) {
            if let Some(text) = tree.text(&root)
                && !mask(text).contains("#![forbid(unsafe_code)]")
            {
                findings.push(Finding::new(
                    &root,
                    0,
                    "write `#![forbid(unsafe_code)]` below the crate's comment",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: (&str, &str) = ("engine/Cargo.toml", "[package]\nname = \"engine\"\n");
    const JOURNAL: (&str, &str) = ("journal/Cargo.toml", "[package]\nname = \"journal\"\n");

    #[test]
    fn unsafe_outside_the_folder_is_found() {
        let tree = Tree::of(&[
            ("journal/src/sys/direct.rs", "#![expect(unsafe_code, reason = \"\")]\nunsafe { f() }"),
            ("journal/src/writer.rs", "// unsafe\nlet unsafe_folder = \"unsafe\";\nunsafe { f() }"),
        ]);
        let found = findings(&tree);
        assert_eq!((found.len(), found[0].path.as_str(), found[0].line), (1, "journal/src/writer.rs", 3));
    }

    #[test]
    fn an_attribute_that_lets_it_in_is_found() {
        let found =
            findings(&Tree::of(&[("journal/src/lib.rs", "#[allow(dead_code, unsafe_code)]\nmod x;")]));
        assert!(found.len() == 1 && found[0].message.contains("let in"), "{found:?}");
    }

    #[test]
    fn every_root_but_the_journals_forbids_it() {
        let tree = Tree::of(&[
            ENGINE,
            JOURNAL,
            ("engine/src/lib.rs", "//! forbid(unsafe_code)"),
            ("engine/src/main.rs", "#![forbid(unsafe_code)]"),
            ("journal/src/lib.rs", ""),
        ]);
        let found = findings(&tree);
        assert_eq!((found.len(), found[0].path.as_str()), (1, "engine/src/lib.rs"));
    }
}

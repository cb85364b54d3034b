//! Every source file is compiled. One that no `mod` reaches is neither tested nor linted, and is read in vain.

use std::collections::BTreeSet;

use crate::manifest::{Manifest, crates};
use crate::mask::{closing_brace, mask};
use crate::tree::{Finding, Tree, folder_of, join, name_of};
use crate::words::{identifier, offsets_of};

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in crates(tree) {
        let mut reached = BTreeSet::new();
        let mut open = roots(tree, &manifest);
        let crate_roots: BTreeSet<String> = open.iter().cloned().collect();
        while let Some(path) = open.pop() {
            if let Some(text) = tree.text(&path)
                && reached.insert(path.clone())
            {
                open.extend(modules(text, &path, crate_roots.contains(&path)));
            }
        }
        for folder in ["src/", "tests/", "benches/", "examples/"] {
            let folder = format!("{}/", manifest.at(folder));
            for (path, _) in tree.sources().filter(|(path, _)| path.starts_with(&folder)) {
                if !reached.contains(path) {
                    let message = "no `mod` declaration reaches this file: declare it, or delete it";
                    findings.push(Finding::new(path, 0, message));
                }
            }
        }
    }
    findings
}

/// The files that cargo compiles by itself: by their place, or by `path = "…"` in the manifest.
fn roots(tree: &Tree, manifest: &Manifest<'_>) -> Vec<String> {
    let mut roots: Vec<String> =
        ["src/lib.rs", "src/main.rs", "build.rs"].map(|root| manifest.at(root)).to_vec();
    for folder in ["src/bin", "tests", "benches", "examples"].map(|folder| manifest.at(folder)) {
        for (path, _) in tree.sources() {
            let file_of_its_own = folder_of(path) == folder;
            let folder_of_its_own = name_of(path) == "main.rs" && folder_of(folder_of(path)) == folder;
            if file_of_its_own || folder_of_its_own {
                roots.push(path.to_owned());
            }
        }
    }
    for entry in &manifest.entries {
        if entry.key == "path" && ["bin", "lib", "test", "bench", "example"].contains(&entry.section) {
            roots.push(manifest.at(entry.value.trim_matches('"')));
        }
    }
    roots
}

/// Where the modules that a file declares may lie.
fn modules(text: &str, path: &str, is_root: bool) -> Vec<String> {
    let masked = mask(text);
    let folder = folder_of(path);
    let stem = name_of(path).trim_end_matches(".rs");
    let home = if is_root || stem == "mod" { folder.to_owned() } else { join(folder, stem) };
    let inline = inline_modules(&masked);
    let mut found = Vec::new();
    for offset in offsets_of(&masked, "mod") {
        let name = identifier(&masked[offset + 3..]);
        let end = masked[offset + 3..].trim_start().get(name.len()..).unwrap_or_default();
        if name.is_empty() || !end.trim_start().starts_with(';') {
            continue;
        }
        if let Some(named) = path_attribute(text, &masked, offset) {
            found.push(join(folder, named));
            continue;
        }
        let around = inline.iter().filter(|module| module.start < offset && offset < module.end);
        let place = around.fold(home.clone(), |place, module| join(&place, module.name));
        found.push(join(&place, &format!("{name}.rs")));
        found.push(join(&place, &format!("{name}/mod.rs")));
    }
    found
}

struct InlineModule<'a> {
    name: &'a str,
    start: usize,
    end: usize,
}

/// `mod name { … }`, from the outside in.
fn inline_modules(masked: &str) -> Vec<InlineModule<'_>> {
    let mut modules = Vec::new();
    for offset in offsets_of(masked, "mod") {
        let name = identifier(&masked[offset + 3..]);
        let Some(open) = masked[offset..].find(['{', ';']).map(|at| offset + at) else { continue };
        if !name.is_empty()
            && masked[open..].starts_with('{')
            && let Some(end) = closing_brace(masked, open)
        {
            modules.push(InlineModule { name, start: open, end });
        }
    }
    modules
}

/// The file of `#[path = "…"]` directly before a declaration. Offsets of the masked text hold in the source.
fn path_attribute<'a>(text: &'a str, masked: &str, declaration: usize) -> Option<&'a str> {
    let start = masked[..declaration].rfind([';', '}', '{']).map_or(0, |at| at + 1);
    let attribute = text[start..declaration].split_once("#[path")?.1;
    attribute.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![("a/Cargo.toml", "[package]\nname = \"a\"\n[[bin]]\npath = \"src/tool.rs\"\n")];
        all.extend_from_slice(files);
        findings(&Tree::of(&all)).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn a_file_that_nothing_declares_is_found() {
        let files = [
            ("a/src/lib.rs", "pub mod b; // mod dead;\nmod tests { mod deep; }"),
            ("a/src/b.rs", "#[cfg(x)]\npub(crate) mod c;"),
            ("a/src/b/c.rs", ""),
            ("a/src/tests/deep.rs", ""),
            ("a/src/dead.rs", "mod child;"),
            ("a/src/dead/child.rs", ""),
            ("a/src/c.rs", ""),
        ];
        assert_eq!(dead(&files), ["a/src/c.rs", "a/src/dead.rs", "a/src/dead/child.rs"]);
    }

    #[test]
    fn what_cargo_finds_by_itself_passes() {
        let files = [
            ("a/src/main.rs", "#[path = \"odd/place.rs\"]\nmod named;"),
            ("a/src/odd/place.rs", ""),
            ("a/src/tool.rs", "mod part;"),
            ("a/src/part.rs", ""),
            ("a/src/bin/other.rs", ""),
            ("a/tests/it/main.rs", "mod story;"),
            ("a/tests/it/story.rs", ""),
            ("a/tests/one.rs", ""),
            ("a/benches/speed.rs", ""),
        ];
        assert_eq!(dead(&files), [""; 0]);
        assert_eq!(dead(&[("a/tests/it/main.rs", ""), ("a/tests/it/story.rs", "")]), ["a/tests/it/story.rs"]);
    }
}

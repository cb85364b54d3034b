//! Documents that nobody checks drift. Every path, item and link in docs/ and in the README exists.
//!
//! What is read: back-ticked spans outside fenced blocks, and links. A span is taken for a path of the repository if it
//! has a `/` in it and ends in `/` or in a known extension; a folder of a user's data is written with a placeholder in
//! capitals (`DIR/outbox/`) and is left alone.

use crate::mask::{is_word_byte, mask};
use crate::tree::{Finding, Tree, folder_of, join, name_of};
use crate::words::{has_word, offsets_of};

const EXTENSIONS: [&str; 13] =
    [".rs", ".md", ".toml", ".scn", ".hex", ".txt", ".xml", ".cfg", ".json", ".sh", ".yml", ".lock", ".bin"];

/// Keywords that define what a document may point to.
const DEFINING: [&str; 10] =
    ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "union", "macro_rules!"];

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| is_document(path)) {
        let mut fenced = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                let messages = spans(tree, line).into_iter().chain(links(tree, path, line));
                findings.extend(messages.map(|message| Finding::new(path, index + 1, message)));
            }
        }
    }
    findings
}

fn is_document(path: &str) -> bool {
    path == "README.md" || (path.starts_with("docs/") && path.ends_with(".md"))
}

fn spans(tree: &Tree, line: &str) -> Vec<String> {
    let mut messages = Vec::new();
    // Odd pieces stand between back-ticks, even ones between the spans.
    let pieces: Vec<&str> = line.split('`').collect();
    for at in (1..pieces.len()).step_by(2) {
        let (path, item) = match pieces[at].split_once(".rs::") {
            Some((stem, item)) => (format!("{stem}.rs"), Some(item)),
            None => (pieces[at].to_owned(), item_after(&pieces, at)),
        };
        let files = files_meant(tree, &path);
        if looks_like_a_path(&path) && files.is_empty() && !tree.has_folder(&path) {
            messages.push(format!("`{path}` does not exist; correct the path, or say what takes its place"));
        }
        if let Some(item) = item.filter(|_| !files.is_empty())
            && !files.iter().any(|file| defines(tree.text(file).unwrap_or_default(), item))
        {
            messages
                .push(format!("`{path}` has no item `{item}`; correct the name, or point to where it went"));
        }
    }
    messages
}

/// The item of `` `file.rs` | `Item` ``, `` `file.rs` → `Item` `` and `` `file.rs` (`Item`) ``.
fn item_after<'a>(pieces: &[&'a str], at: usize) -> Option<&'a str> {
    let (between, next) = (pieces.get(at + 1)?.trim(), pieces.get(at + 2)?);
    let points = ["|", "→", "->", "(", "::"].contains(&between);
    let is_item = next.bytes().all(|byte| is_word_byte(byte) || b":()!".contains(&byte)) && !next.is_empty();
    (pieces[at].ends_with(".rs") && points && is_item).then_some(*next)
}

/// The file of that path; for a bare name (`recover.rs`) every file of that name.
fn files_meant<'a>(tree: &'a Tree, path: &str) -> Vec<&'a str> {
    let bare = !path.contains('/');
    tree.files()
        .map(|(file, _)| file)
        .filter(|file| *file == path || (bare && name_of(file) == path))
        .collect()
}

fn looks_like_a_path(span: &str) -> bool {
    let known_end = span.ends_with('/') || EXTENSIONS.iter().any(|extension| span.ends_with(extension));
    let plain = span.bytes().all(|byte| is_word_byte(byte) || b"/.-".contains(&byte));
    let first = span.split('/').next().unwrap_or_default();
    let placeholder = first.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    span.contains('/') && known_end && plain && !placeholder
}

/// True if the file defines the first name of `Type::method`, and the code has the others.
fn defines(source: &str, item: &str) -> bool {
    let masked = mask(source);
    let mut names = item.trim_end_matches("()").trim_end_matches('!').split("::");
    let first = names.next().unwrap_or_default();
    let defined = offsets_of(&masked, first).into_iter().any(|offset| {
        let before = masked[..offset].trim_end();
        DEFINING.iter().any(|keyword| {
            before
                .strip_suffix(keyword)
                .is_some_and(|rest| !rest.bytes().next_back().is_some_and(is_word_byte))
        })
    });
    defined && names.all(|name| has_word(&masked, name))
}

fn links(tree: &Tree, document: &str, line: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for after in line.split("](").skip(1) {
        let Some((target, _)) = after.split_once(')') else { continue };
        let path = target.split(['#', ' ']).next().unwrap_or_default();
        if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
            continue;
        }
        let place = join(folder_of(document), path);
        if !tree.has_file(&place) && !tree.has_folder(&place) {
            messages.push(format!("the link leads to {place}, which does not exist"));
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("docs/A.md", text),
            ("README.md", ""),
            (
                "journal/src/recover.rs",
                "pub const TAIL: u8 = 0; // fn gone\nimpl Reader { fn next() {} }\nstruct Reader;",
            ),
        ]);
        findings(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_path_that_does_not_exist_is_found() {
        assert_eq!(check("see\n`journal/src/gone.rs`").len(), 1);
        assert!(check("see\n`journal/src/gone.rs`")[0].starts_with("docs/A.md:2: `journal/src/gone.rs`"));
        assert_eq!(check("`journal/gone/`").len(), 1);
        assert_eq!(check("`journal/src/`, `journal/src/recover.rs`, `journal/`"), [""; 0]);
    }

    #[test]
    fn what_is_no_path_of_the_repository_passes() {
        assert_eq!(
            check("`DIR/outbox/`, `/ready`, `a/b`, `cargo run -- a/b.rs`, `D/F`, `and/or.` `<x>/y.rs`"),
            [""; 0]
        );
        assert_eq!(check("```text\n`gone/file.rs`\n```"), [""; 0]);
    }

    #[test]
    fn an_item_that_does_not_exist_is_found() {
        for reference in [
            "`journal/src/recover.rs::gone`",
            "| `journal/src/recover.rs` | `gone` |",
            "`recover.rs` → `Reader::gone`",
        ] {
            let found = check(reference);
            assert!(found.len() == 1 && found[0].contains("has no item"), "{reference}: {found:?}");
        }
        assert_eq!(
            check("`journal/src/recover.rs::TAIL`, | `recover.rs` | `Reader::next` |, `recover.rs`"),
            [""; 0]
        );
        assert_eq!(check("`journal/src/recover.rs` and `gone`"), [""; 0]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        assert_eq!(check("[x](GONE.md)").len(), 1);
        assert_eq!(check("[x](../README.md#top) [y](A.md) [z](https://example.com/) [w](#here)"), [""; 0]);
    }
}

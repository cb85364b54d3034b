//! Nothing unfinished lands: what is missing is an issue or a typed refusal, not a note in the source. And every
//! source file says at its top what it is for.

use crate::mask::mask;
use crate::tree::{Finding, Tree, line_of};
use crate::words::offsets_of;

/// Written in two parts, so that this file does not find itself.
const NOTES: [&str; 3] = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];
const STUBS: [&str; 2] = ["todo", "unimplemented"];

/// Texts that others wrote.
const FOREIGN: [&str; 2] = ["Cargo.lock", "LICENSE"];

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| !FOREIGN.contains(path)) {
        for note in NOTES {
            for offset in offsets_of(text, note) {
                let message =
                    format!("`{note}` does not land: do it, or make it an issue and say what holds today");
                findings.push(Finding::new(path, line_of(text, offset), message));
            }
        }
    }
    for (path, text) in tree.sources() {
        if !text.starts_with("//!") {
            let message = "open the file with `//!`: what it is for, in a sentence that the code cannot say";
            findings.push(Finding::new(path, 1, message));
        }
        let masked = mask(text);
        for stub in STUBS {
            for offset in offsets_of(&masked, stub) {
                if masked[offset + stub.len()..].starts_with('!') {
                    let message =
                        format!("`{stub}!` does not land: refuse with a typed error, or leave the way out");
                    findings.push(Finding::new(path, line_of(text, offset), message));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_and_stubs_are_found() {
        for note in NOTES {
            let text = format!("//! A file.\n// {note}: later\n");
            let found = findings(&Tree::of(&[("a/src/lib.rs", &text)]));
            assert_eq!((found.len(), found[0].line), (1, 2), "{note}");
            assert_eq!(findings(&Tree::of(&[("docs/A.md", &text)])).len(), 1, "{note}");
        }
        for stub in STUBS {
            let text = format!("//! A file.\nfn f() {{ {stub}!(\"later\") }}\n");
            assert_eq!(findings(&Tree::of(&[("a/src/lib.rs", &text)])).len(), 1, "{stub}");
        }
    }

    #[test]
    fn parts_of_words_pass() {
        let text = format!("//! A file.\n// mktemp {}{}\nlet todo = \"todo!\";", NOTES[2], NOTES[2]);
        assert_eq!(findings(&Tree::of(&[("a/src/lib.rs", &text)])), []);
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_found() {
        let found = findings(&Tree::of(&[("a/src/lib.rs", "use std::fs;\n")]));
        assert!(found.len() == 1 && found[0].message.contains("open the file"), "{found:?}");
    }
}

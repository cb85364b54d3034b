//! Words and paths in masked source: the little reading that the rules share.

use crate::mask::is_word_byte;

/// The offsets at which `word` stands as a whole word.
pub fn offsets_of(text: &str, word: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    text.match_indices(word)
        .map(|(offset, _)| offset)
        .filter(|offset| {
            let end = offset + word.len();
            let before = offset.checked_sub(1).map(|at| bytes[at]);
            let after = bytes.get(end).copied();
            !before.is_some_and(is_word_byte) && !after.is_some_and(is_word_byte)
        })
        .collect()
}

pub fn has_word(text: &str, word: &str) -> bool {
    !offsets_of(text, word).is_empty()
}

/// The identifier at the start of `text`, after blanks; empty if there is none.
pub fn identifier(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.bytes().position(|byte| !is_word_byte(byte)).unwrap_or(text.len());
    &text[..end]
}

/// What masked source names directly below `parent` (`std`), with the offset: `std::fs`, `std::{fs, time::Instant}`.
pub fn names_below<'a>(masked: &'a str, parent: &str) -> Vec<(usize, &'a str)> {
    let mut names = Vec::new();
    for offset in offsets_of(masked, parent) {
        let rest = masked[offset + parent.len()..].trim_start();
        let Some(rest) = rest.strip_prefix("::") else { continue };
        match rest.trim_start().strip_prefix('{') {
            Some(group) => names.extend(first_names(group).into_iter().map(|name| (offset, name))),
            None => names.push((offset, identifier(rest))),
        }
    }
    names
}

/// The first name of each member of a `use` group, whose `{` has been read.
fn first_names(group: &str) -> Vec<&str> {
    let mut names = vec![identifier(group)];
    let mut depth = 0_usize;
    for (offset, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            b',' if depth == 0 => names.push(identifier(&group[offset + 1..])),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        assert_eq!(offsets_of("fn fnord _fn fn", "fn"), [0, 13]);
        assert!(!has_word("randomised", "rand"));
    }

    #[test]
    fn groups_are_opened() {
        let names = |text| names_below(text, "std").into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names("use std::fs::File;"), ["fs"]);
        assert_eq!(names("use std::{fmt::{self, fs}, time::Instant};"), ["fmt", "time"]);
        assert_eq!(names("nostd::fs std.fs"), Vec::<&str>::new());
    }
}

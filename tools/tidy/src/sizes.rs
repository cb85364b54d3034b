//! A file is read in one sitting and a function on one screen, with no exceptions for old friends.

use crate::mask::{closing_brace, mask, shipped};
use crate::tree::{Finding, Tree, line_of};
use crate::words::{identifier, offsets_of};

/// Up to the test module at the end of the file.
const FILE_LINES_MAX: usize = 1_000;
/// From `fn` to the closing brace, without blank lines and without comments: explaining is never punished.
const FUNCTION_LINES_MAX: usize = 70;

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.sources() {
        let lines = shipped(text).lines().count();
        if lines > FILE_LINES_MAX {
            let message = format!(
                "{lines} lines before the tests, {FILE_LINES_MAX} allowed: move a concept of its own to a file of its own"
            );
            findings.push(Finding::new(path, 0, message));
        }
        let masked = mask(text);
        for function in functions(&masked) {
            if function.lines > FUNCTION_LINES_MAX {
                let message = format!(
                    "fn {} has {} lines, {FUNCTION_LINES_MAX} allowed: keep the decisions here and move the leaves out",
                    function.name, function.lines
                );
                findings.push(Finding::new(path, line_of(text, function.offset), message));
            }
        }
    }
    findings
}

struct Function<'a> {
    name: &'a str,
    offset: usize,
    lines: usize,
}

/// Every function with a body in masked source. `fn` before anything but a name is a type or a macro's pattern.
fn functions(masked: &str) -> Vec<Function<'_>> {
    let mut functions = Vec::new();
    for offset in offsets_of(masked, "fn") {
        let name = identifier(&masked[offset + 2..]);
        if name.is_empty() {
            continue;
        }
        if let Some(open) = body_start(masked, offset)
            && let Some(close) = closing_brace(masked, open)
        {
            let lines = masked[offset..=close].lines().filter(|line| !line.trim().is_empty()).count();
            functions.push(Function { name, offset, lines });
        }
    }
    functions
}

/// The `{` of the body; none for a declaration that ends in `;`. Braces inside parameters or an array's length do
/// not count.
fn body_start(masked: &str, start: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (offset, byte) in masked.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str) -> Vec<Finding> {
        findings(&Tree::of(&[("a/src/lib.rs", source)]))
    }

    fn function_of(body_lines: usize) -> String {
        format!("\nfn long(x: [u8; {{ 3 }}]) -> u8 {{\n{}}}\n", "    step();\n".repeat(body_lines))
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(check(&"\n".repeat(1_000)), []);
        let found = check(&"\n".repeat(1_001));
        assert!(found[0].message.contains("1001 lines"));
        assert_eq!(check(&format!("#[cfg(test)]\nmod tests {{}}\n{}", "\n".repeat(2_000))), []);
    }

    #[test]
    fn a_long_function_is_found() {
        assert_eq!(check(&function_of(68)), []);
        let found = check(&function_of(69));
        assert_eq!((found.len(), found[0].line), (1, 2));
        assert!(found[0].message.contains("fn long has 71 lines"));
    }

    #[test]
    fn comments_and_braces_in_strings_do_not_count() {
        let body = "    // why } {\n\n    print(\"}\");\n".repeat(68);
        assert_eq!(check(&format!("fn f() {{\n{body}}}\n")), []);
    }

    #[test]
    fn declarations_and_types_have_no_body() {
        let source = "trait T { fn f(&self) -> u8; }\ntype F = fn(u8) -> u8;\nfn g() {}\n";
        let names: Vec<_> =
            functions(source).iter().map(|function| (function.name, function.lines)).collect();
        assert_eq!(names, [("g", 1)]);
    }
}

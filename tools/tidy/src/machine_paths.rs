//! A clone works anywhere: nothing committed names a folder of the machine it was written on, or a package registry
//! other than the standard one.

use crate::mask::is_word_byte;
use crate::tree::{Finding, Tree, line_of};

/// Written in two parts, so that this file does not find itself. The last one is followed by a user's name.
const FOLDERS: [&str; 3] = [concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/ho", "me/")];

const REGISTRY: [&str; 6] = [
    concat!("registry", "+"),
    concat!("sparse", "+"),
    concat!("[source", "."),
    concat!("[registries", "."),
    concat!("replace", "-with"),
    concat!("index.crates", ".io"),
];

const STANDARD: &str = concat!("source = \"registry", "+https://github.com/rust-lang/crates.io-index\"");

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        for (index, line) in text.lines().enumerate() {
            if path == "Cargo.lock" && line == STANDARD {
                continue;
            }
            for folder in FOLDERS {
                if names_folder(line, folder) {
                    let message = format!(
                        "`{folder}` is a folder of somebody's machine: write DIR, or a relative path"
                    );
                    findings.push(Finding::new(path, index + 1, message));
                }
            }
            if let Some(needle) = REGISTRY.iter().find(|needle| line.contains(**needle)) {
                let message =
                    format!("`{needle}`: a clone takes its packages from the standard registry, by default");
                findings.push(Finding::new(path, index + 1, message));
            }
        }
        let foreign =
            |line: &&str| line.starts_with("source = ") && *line != STANDARD && path == "Cargo.lock";
        if let Some(line) = text.lines().find(foreign) {
            let line = line_of(text, text.find(line).unwrap_or(0));
            findings.push(Finding::new(
                path,
                line,
                "a package comes from elsewhere than the standard registry",
            ));
        }
    }
    findings
}

/// True where a path starts with `folder`: not in the middle of another path, not in a longer name.
fn names_folder(line: &str, folder: &str) -> bool {
    let bytes = line.as_bytes();
    line.match_indices(folder).any(|(offset, _)| {
        let before = |back: usize| offset.checked_sub(back).map(|at| bytes[at]);
        // `file:///folder` starts a path, `a/folder`, `./folder` and `host/folder` do not.
        let inside = match before(1) {
            Some(b'/') => before(2) != Some(b'/'),
            Some(byte) => is_word_byte(byte) || b".-~}>*)$".contains(&byte),
            None => false,
        };
        let after = bytes.get(offset + folder.len()).copied();
        let longer = after.is_some_and(|byte| is_word_byte(byte) || byte == b'-');
        !inside && longer == folder.ends_with('/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> usize {
        findings(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn machine_folders_are_found() {
        let [first, second, third] = FOLDERS;
        let user = format!("{third}ada");
        for text in
            [format!("cd {first}/main"), format!("\"{second}\""), format!("file://{user}/x"), user.clone()]
        {
            assert_eq!(check("docs/A.md", &text), 1, "{text}");
        }
        for text in
            [format!("a{first}"), format!("{first}load"), format!("https://h{first}/"), third.to_owned()]
        {
            assert_eq!(check("docs/A.md", &text), 0, "{text}");
        }
    }

    #[test]
    fn registries_are_found() {
        for needle in REGISTRY {
            assert_eq!(check(".cargo/config.toml", needle), 1, "{needle}");
        }
        assert_eq!(check("Cargo.lock", STANDARD), 0);
        assert_eq!(check("Cargo.lock", "source = \"git+https://example.com/x\""), 1);
        assert_eq!(check("README.md", STANDARD), 1);
    }
}

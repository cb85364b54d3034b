//! The repository as values: every file's path and text, so that a rule can be tested on a tree of three lines.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// Built files and the version control's own; nothing in them is committed.
const SKIPPED_FOLDERS: [&str; 2] = ["target", ".git"];

/// Beyond this a file is data: it exists, and its text is not read. Somebody's data folder must not stop the tests.
const TEXT_BYTES_MAX: u64 = 8 << 20;

/// Files by path, relative to the root and with `/` between the parts. The text of a file that is not UTF-8 (golden
/// bytes) is empty: it exists, and has no lines.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
}

/// One violation: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    /// Counted from 1; 0 speaks of the file as a whole.
    pub line: usize,
    pub message: String,
}

impl Finding {
    pub fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.message),
            line => write!(formatter, "{}:{line}: {}", self.path, self.message),
        }
    }
}

impl Tree {
    /// A tree for a test: pairs of path and text.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// The repository below `root`.
    pub fn read(root: &Path) -> io::Result<Self> {
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        // Plain paths only, `/name`: a pattern would need the version control's own rules.
        let ignored: Vec<&str> = ignored.lines().filter_map(|line| line.trim().strip_prefix('/')).collect();
        let mut tree = Self::default();
        tree.read_folder(root, "", &ignored)?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str, ignored: &[&str]) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            let skipped = SKIPPED_FOLDERS.contains(&name.as_str())
                || ignored.iter().any(|ignored| ignored.trim_end_matches('/') == path);
            if skipped {
                continue;
            }
            if kind.is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"), ignored)?;
            } else if kind.is_file() {
                let is_text = entry.metadata()?.len() <= TEXT_BYTES_MAX;
                let bytes = if is_text { fs::read(entry.path())? } else { Vec::new() };
                self.files.insert(path, String::from_utf8(bytes).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Every file in the order of the paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Every Rust source file.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub fn has_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// True for a folder with at least one file below it; a trailing `/` does not matter.
    pub fn has_folder(&self, path: &str) -> bool {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        self.files.range(prefix.clone()..).next().is_some_and(|(first, _)| first.starts_with(&prefix))
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// The line, counted from 1, that holds byte `offset` of `text`.
pub fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count()
}

/// The folder of a path, without the trailing `/`; empty for a file at the root.
pub fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part of a path.
pub fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// `folder/name`, also where the folder is the root; `.` and `..` are resolved, so that links can be followed.
pub fn join(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_exist_by_their_files() {
        let tree = Tree::of(&[("a/b/c.rs", ""), ("ab/d.rs", "")]);
        assert!(tree.has_folder("a") && tree.has_folder("a/b/") && tree.has_folder("ab"));
        assert!(!tree.has_folder("b") && !tree.has_folder("a/b/c.rs"));
    }

    #[test]
    fn paths_join_and_split() {
        assert_eq!(join("docs", "../engine/src"), "engine/src");
        assert_eq!(join("", "./README.md"), "README.md");
        assert_eq!((folder_of("a/b.rs"), name_of("a/b.rs")), ("a", "b.rs"));
        assert_eq!((folder_of("b.rs"), name_of("b.rs")), ("", "b.rs"));
        assert_eq!(line_of("a\nb\n", 2), 2);
    }
}

//! Text files that people write: read with a bound, and faulted with line and column.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is wrong with a file, with its place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileFault {
    /// The file cannot be read.
    #[error("{}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Of the operating system.
        reason: String,
    },
    /// A key or value is wrong.
    #[error("{}:{place}: {reason}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// In it.
        place: Place,
        /// Why, in one line.
        reason: String,
    },
}

/// Line and column of a file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// Of the byte at `offset` of `text`.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Reads a text file of bounded length.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, FileFault> {
    let unreadable = |reason: String| FileFault::Unreadable { path: path.to_owned(), reason };
    let bytes = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if bytes > bytes_max {
        return Err(unreadable(format!("{bytes} bytes, {bytes_max} allowed")));
    }
    fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}

/// As [`read_text`], of a file that nobody but its owner may read: a key that others can read is nobody's.
pub(crate) fn read_secret(path: &Path, bytes_max: u64) -> Result<String, FileFault> {
    let unreadable = |reason: String| FileFault::Unreadable { path: path.to_owned(), reason };
    let text = read_text(path, bytes_max)?;
    let metadata = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(unreadable(format!("mode {mode:o}, 600 or less is needed")));
    }
    Ok(text)
}

/// What the TOML reader says, as one line with its place.
pub(crate) fn wrong_toml(path: &Path, text: &str, error: &toml::de::Error) -> FileFault {
    let offset = error.span().map_or(0, |span| span.start);
    let reason = error.message().lines().collect::<Vec<_>>().join(" ");
    FileFault::Wrong { path: path.to_owned(), place: Place::of(text, offset), reason }
}

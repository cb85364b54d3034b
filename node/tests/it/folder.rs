//! A folder for one test, removed when the test has passed.

use std::fs;
use std::path::{Path, PathBuf};

/// A fresh folder below cargo's folder for tests' files.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("node-{name}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The data folder of the node under test.
    pub(crate) fn data(&self) -> PathBuf {
        self.join("data")
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A configuration with free ports and small segments, and `more` at its top.
    pub(crate) fn config(&self, more: &str) -> PathBuf {
        let text = format!(
            "{more}\n[listen]\nfix = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n[journal]\nsegment_bytes = 4194304\n"
        );
        self.write("node.toml", &text)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a failed test leaves is there to be looked at.
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

//! Runs the program, and folders to run it on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What the program said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sicil-replay"));
    program.stdin(Stdio::null());
    program
}

/// Runs it; whatever it reads, it never panics.
pub(crate) fn run(args: &[&str]) -> Said {
    let output = program().args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = Said {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    };
    assert!((0..=2).contains(&said.code), "{args:?}: {}\n{}{}", output.status, said.out, said.err);
    said
}

/// `verify --json` of a folder.
pub(crate) fn verify(dir: &Path) -> (i32, Value) {
    let said = run(&["verify", path(dir), "--json"]);
    (said.code, said.json())
}

pub(crate) fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

/// A folder of its own below the build's, removed when the test has passed.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("replay-{name}-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        Self(path)
    }

    /// A copy of `from`, as an auditor takes it.
    pub(crate) fn copy_of(name: &str, from: &Path) -> Self {
        let folder = Self::new(name);
        copy(from, &folder.0);
        folder
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

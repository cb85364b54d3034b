//! Runs `tests/scenarios/**/*.scn`: commands in the domain's language, and below each, indented, what followed.
//!
//! Every line is also followed by a snapshot and its restoration: the scenario goes on with the restored engine.
//! `UPDATE_GOLDEN=1 cargo test -p engine scenarios` rewrites what followed; read the difference before committing it.

use std::path::{Path, PathBuf};

use crate::script::Script;

fn scenario_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scenario_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "scn") {
            files.push(path);
        }
    }
}

#[test]
fn scenarios_play_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files = Vec::new();
    scenario_files(&folder, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no scenarios below {}", folder.display());
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differences = Vec::new();
    for file in files {
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        let written = std::fs::read_to_string(&file).unwrap();
        let played = play(&name, &written);
        if played == written {
            continue;
        }
        if update {
            std::fs::write(&file, &played).unwrap();
        } else {
            differences.push(difference(&name, &written, &played));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The scenario with what follows from its commands now.
fn play(name: &str, written: &str) -> String {
    let mut script = Script::new();
    let mut played = String::new();
    for (number, line) in (1..).zip(written.lines()) {
        if line.starts_with("  ") {
            continue;
        }
        played.push_str(line);
        played.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for effect in script.play(line, &format!("{name}:{number}")) {
            played.push_str("  ");
            played.push_str(&effect);
            played.push('\n');
        }
    }
    played
}

fn difference(name: &str, written: &str, played: &str) -> String {
    let lines = (1..).zip(written.lines().map(Some).chain(std::iter::repeat(None)));
    let played = played.lines().map(Some).chain(std::iter::repeat(None));
    let (number, expected, found) = lines
        .zip(played)
        .map(|((number, expected), found)| (number, expected, found))
        .find(|(_, expected, found)| expected != found)
        .unwrap();
    format!(
        "{name}:{number}\n  expected {}\n  found    {}",
        expected.unwrap_or("the end"),
        found.unwrap_or("the end")
    )
}

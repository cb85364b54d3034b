//! The words and the rules are a function of the journal alone: nothing in them can differ between two replicas, or
//! between the exchange today and its auditor in ten years. The stages around them are stepped with bytes and times as
//! values, so that the simulator runs the very code that ships.

use crate::mask::{mask, shipped};
use crate::tree::{Finding, Tree, line_of, name_of};
use crate::words::{names_below, offsets_of};

const PURE: [&str; 2] = ["engine/src/", "protocol/src/"];

/// Stages without a world of their own: they may speak of durations, and of nothing else below.
const STEPPED: [&str; 3] = ["sequencer/src/", "replicas/src/", "gateways/src/"];

const MODULES: [(&str, &str); 6] = [
    ("time", "take the record's time as an argument"),
    ("thread", "a stage is stepped by its caller"),
    ("fs", "files live in journal"),
    ("net", "sockets live in node"),
    ("env", "configuration is a command in the journal"),
    ("process", "return a typed error; the caller decides"),
];

const WORDS: [(&str, &str); 6] = [
    ("f32", "use integers: minor units, ticks and lots"),
    ("f64", "use integers: minor units, ticks and lots"),
    ("HashMap", "its order differs per process: use BTreeMap"),
    ("HashSet", "its order differs per process: use BTreeSet"),
    ("RandomState", "it differs per process"),
    ("rand", "what needs chance gets a seed from its caller"),
];

/// Tests may read a scenario from disk or compare with a model in floats; what ships may not.
pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.sources().filter(|(path, _)| name_of(path) != "tests.rs") {
        let below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
        let (pure, stepped) = (below(&PURE), below(&STEPPED));
        if !pure && !stepped {
            continue;
        }
        let what = if pure { "a pure function of the journal" } else { "a stage that the simulator steps" };
        let masked = mask(shipped(text));
        let mut found = |offset: usize, name: &str, instead: &str| {
            let message = format!("`{name}` has no place in {what}: {instead}");
            findings.push(Finding::new(path, line_of(text, offset), message));
        };
        for (offset, name) in names_below(&masked, "std") {
            let banned = MODULES.iter().find(|(module, _)| *module == name);
            if let Some((_, instead)) = banned.filter(|_| pure || name != "time") {
                found(offset, &format!("std::{name}"), instead);
            }
        }
        for (word, instead) in WORDS.iter().filter(|(word, _)| pure || *word == "rand") {
            for offset in offsets_of(&masked, word) {
                found(offset, word, instead);
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, source: &str) -> usize {
        findings(&Tree::of(&[(path, source)])).len()
    }

    #[test]
    fn every_word_is_found() {
        for (module, _) in MODULES {
            assert_eq!(check("engine/src/a.rs", &format!("use std::{module}::X;")), 1, "{module}");
            assert_eq!(check("protocol/src/a.rs", &format!("use std::{{fmt, {module}}};")), 1, "{module}");
        }
        for (word, _) in WORDS {
            assert_eq!(check("engine/src/a.rs", &format!("let x: {word} = y;")), 1, "{word}");
        }
    }

    #[test]
    fn a_stage_has_no_world_of_its_own() {
        for source in ["use std::thread;", "use std::net::TcpStream;", "std::fs::read(x)", "rand::random()"] {
            assert_eq!(check("gateways/src/a.rs", source), 1, "{source}");
        }
        assert_eq!(check("replicas/src/a.rs", "use std::time::Duration; let x: f64;"), 0);
    }

    #[test]
    fn comments_tests_and_other_crates_pass() {
        assert_eq!(check("engine/src/a.rs", "// never f64\n#[cfg(test)]\nmod tests { use std::fs; }"), 0);
        assert_eq!(check("engine/src/a/tests.rs", "use std::fs;"), 0);
        assert_eq!(check("engine/tests/scenarios.rs", "use std::fs;"), 0);
        assert_eq!(check("journal/src/a.rs", "use std::fs;"), 0);
        assert_eq!(check("engine/src/a.rs", "use core::time::Duration; use crate::time::UnixNanos;"), 0);
    }
}

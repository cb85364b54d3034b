//! Which crate may name which: the walls of the house. `gateways` cannot read a book, `engine` cannot see a disk, and
//! `sim` runs the shipped libraries without the real world.

use crate::manifest::{Kind, crates};
use crate::tree::{Finding, Tree};

/// Who may name whom, and the rule that this proves. Changing a line here is an architecture decision:
/// docs/ARCHITECTURE.md changes in the same commit.
const MAY_NAME: &[(&str, &[&str], &str)] = &[
    ("protocol", &[], "the words depend on nobody"),
    ("engine", &["protocol"], "the rules see neither disk nor network nor order of arrival"),
    ("sequencer", &["protocol"], "order and time are given without a look at the rules"),
    ("journal", &["protocol"], "bytes survive without knowing what they mean"),
    ("replicas", &["protocol", "engine", "journal", "sequencer"], "consensus and apply, without sockets"),
    ("gateways", &["protocol"], "no gateway can see the engine's state"),
    ("views", &["protocol"], "read models follow events: no rule of the engine is known twice"),
    ("client", &["protocol"], "who speaks to a node needs nothing of it"),
    (
        "node",
        &["protocol", "engine", "sequencer", "journal", "replicas", "gateways", "views", "client", "replay"],
        "the real world; `sicil replay` is the auditor's own code",
    ),
    (
        "sim",
        &["protocol", "engine", "sequencer", "journal", "replicas", "gateways"],
        "the simulated world around the same libraries, never the real one",
    ),
    ("replay", &["protocol", "engine", "journal"], "an auditor needs no node"),
    ("tidy", &[], "the rules of the house build before the house does"),
    (
        "perf",
        &[
            "protocol",
            "engine",
            "sequencer",
            "journal",
            "replicas",
            "gateways",
            "views",
            "client",
            "node",
            "sim",
            "replay",
        ],
        "whatever is measured",
    ),
];

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let manifests = crates(tree);
    for manifest in &manifests {
        let Some((_, allowed, why)) = MAY_NAME.iter().find(|(name, _, _)| *name == manifest.name) else {
            let message = format!(
                "crate `{}` has no line in MAY_NAME (tools/tidy/src/layers.rs). A crate exists only because the \
                 compiler then proves a rule: add the line with that rule, and the row in docs/ARCHITECTURE.md",
                manifest.name
            );
            findings.push(Finding::new(manifest.path, 0, message));
            continue;
        };
        for dependency in manifest.dependencies() {
            let internal = manifests.iter().any(|other| other.name == dependency.package);
            if internal && dependency.kind == Kind::Shipped && !allowed.contains(&dependency.package) {
                let message = format!(
                    "`{}` may not name `{}` ({why}). Pass a value through `protocol`, or move the code to a crate \
                     that may see both; the table is MAY_NAME in tools/tidy/src/layers.rs",
                    manifest.name, dependency.package
                );
                findings.push(Finding::new(manifest.path, dependency.line, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: (&str, &str) = ("engine/Cargo.toml", "[package]\nname = \"engine\"\n");
    const PROTOCOL: (&str, &str) = ("protocol/Cargo.toml", "[package]\nname = \"protocol\"\n");

    fn gateways(manifest: &str) -> Vec<Finding> {
        let manifest = format!("[package]\nname = \"gateways\"\n{manifest}");
        findings(&Tree::of(&[ENGINE, PROTOCOL, ("gateways/Cargo.toml", &manifest)]))
    }

    #[test]
    fn a_gateway_that_sees_the_engine_is_found() {
        let found = gateways("[dependencies]\nprotocol.workspace = true\nengine.workspace = true\n");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("gateways/Cargo.toml", 5));
        assert!(found[0].message.contains("may not name `engine`"));
    }

    #[test]
    fn tests_may_name_whom_they_like() {
        assert_eq!(gateways("[dev-dependencies]\nengine.workspace = true\n"), []);
    }

    #[test]
    fn a_crate_without_a_line_is_found() {
        let found = findings(&Tree::of(&[("common/Cargo.toml", "[package]\nname = \"common\"\n")]));
        assert!(found[0].message.contains("no line in MAY_NAME"));
    }
}

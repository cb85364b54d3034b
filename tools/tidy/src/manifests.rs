//! Every crate takes lints, versions and edition from the workspace, so that a crate cannot quietly opt out of a rule.

use crate::manifest::{Kind, crates};
use crate::tree::{Finding, Tree, line_of};

const SHARED_KEYS: [&str; 5] = ["version", "edition", "rust-version", "publish", "license"];

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let members = members(tree.text("Cargo.toml").unwrap_or_default());
    for manifest in crates(tree) {
        if !members.contains(&manifest.folder) {
            let message =
                "the crate is no member of the workspace: add its folder to `members` in Cargo.toml";
            findings.push(Finding::new(manifest.path, 0, message));
        }
        if manifest.value("lints", "workspace") != Some("true") {
            let message = "the crate has lints of its own: write [lints] and `workspace = true`, and #[expect] with a \
                           reason at the place that needs an exception";
            findings.push(Finding::new(manifest.path, 0, message));
        }
        for key in SHARED_KEYS {
            if manifest.value("package", &format!("{key}.workspace")) != Some("true") {
                findings.push(Finding::new(manifest.path, 0, format!("write `{key}.workspace = true`")));
            }
        }
        for entry in &manifest.entries {
            if let Some(dependency) = entry.dependency()
                && !entry.key.ends_with(".workspace")
                && !entry.value.contains("workspace = true")
            {
                let kind = if dependency.kind == Kind::Dev { "dev-dependency" } else { "dependency" };
                let message = format!(
                    "{kind} `{}`: its version belongs into [workspace.dependencies] of Cargo.toml, and here stands \
                     `{}.workspace = true`",
                    dependency.package, dependency.package
                );
                findings.push(Finding::new(manifest.path, entry.line, message));
            }
        }
    }
    findings.extend(members_without_a_crate(tree, &members));
    findings
}

/// The quoted folders of `members = [ … ]`.
fn members(workspace: &str) -> Vec<&str> {
    let list = workspace.split_once("\nmembers = [").and_then(|(_, rest)| rest.split_once(']'));
    list.map_or(Vec::new(), |(list, _)| list.split('"').skip(1).step_by(2).collect())
}

fn members_without_a_crate(tree: &Tree, members: &[&str]) -> Vec<Finding> {
    let workspace = tree.text("Cargo.toml").unwrap_or_default();
    let missing = members.iter().filter(|folder| !tree.has_file(&format!("{folder}/Cargo.toml")));
    missing
        .map(|folder| {
            let line = line_of(workspace, workspace.find(folder).unwrap_or(0));
            Finding::new("Cargo.toml", line, format!("member `{folder}` has no Cargo.toml"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = [\n    \"a\",\n]\n");
    const GOOD: &str = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\npublish.workspace = true\nlicense.workspace = true\n\
        [lints]\nworkspace = true\n[dependencies]\n";

    fn check(manifest: &str) -> Vec<String> {
        let tree = Tree::of(&[WORKSPACE, ("a/Cargo.toml", manifest)]);
        findings(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_good_manifest_passes() {
        assert_eq!(
            check(&format!("{GOOD}b.workspace = true\nc = {{ workspace = true, features = [] }}\n")),
            [""; 0]
        );
    }

    #[test]
    fn lints_of_its_own_are_found() {
        let found =
            check(&GOOD.replace("[lints]\nworkspace = true", "[lints.rust]\nunsafe_code = \"allow\""));
        assert!(found.len() == 1 && found[0].contains("lints of its own"), "{found:?}");
    }

    #[test]
    fn a_version_of_its_own_is_found() {
        let found = check(&format!("{GOOD}zstd = \"0.13\"\n"));
        assert!(found.len() == 1 && found[0].starts_with("a/Cargo.toml:11: dependency `zstd`"), "{found:?}");
        assert!(
            check(&GOOD.replace("edition.workspace = true", "edition = \"2021\""))[0].contains("edition")
        );
    }

    #[test]
    fn members_and_crates_agree() {
        let tree = Tree::of(&[WORKSPACE, ("b/Cargo.toml", &GOOD.replace("\"a\"", "\"b\""))]);
        let found = findings(&tree);
        assert_eq!(found.len(), 2);
        assert!(found[0].message.contains("no member") && found[1].message.contains("has no Cargo.toml"));
    }
}

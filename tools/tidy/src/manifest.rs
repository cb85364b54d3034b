//! The manifests, read by line rules: sections, keys, and which packages a crate names.
//!
//! The workspace writes `name.workspace = true`, one dependency a line (`manifests.rs` insists), so a TOML parser would
//! prove nothing more.

use crate::tree::{Tree, folder_of, name_of};

#[derive(Debug)]
pub struct Manifest<'a> {
    pub path: &'a str,
    /// The folder of the crate, without the trailing `/`.
    pub folder: &'a str,
    /// The package's name; empty for the virtual manifest of the workspace.
    pub name: &'a str,
    pub entries: Vec<Entry<'a>>,
}

/// One `key = value` with the section it stands in.
#[derive(Debug)]
pub struct Entry<'a> {
    pub line: usize,
    pub section: &'a str,
    pub key: &'a str,
    pub value: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Compiled into the crate or into its build script.
    Shipped,
    /// Only for tests, which may name what they like.
    Dev,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Dependency<'a> {
    pub line: usize,
    pub package: &'a str,
    pub kind: Kind,
}

/// The manifest of every crate, in the order of the paths; the workspace's own is left out.
pub fn crates(tree: &Tree) -> Vec<Manifest<'_>> {
    tree.files()
        .filter(|(path, _)| name_of(path) == "Cargo.toml")
        .map(|(path, text)| Manifest::parse(path, text))
        .filter(|manifest| !manifest.name.is_empty())
        .collect()
}

impl<'a> Manifest<'a> {
    pub fn parse(path: &'a str, text: &'a str) -> Self {
        let mut entries = Vec::new();
        let mut section = "";
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let line = line.trim();
            if line.starts_with('[') && line.ends_with(']') {
                section = line.trim_matches(['[', ']']).trim();
            } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
                entries.push(Entry { line: line_number, section, key: key.trim(), value: value.trim() });
            }
        }
        let mut manifest = Self { path, folder: folder_of(path), name: "", entries };
        manifest.name = manifest.value("package", "name").map_or("", |value| value.trim_matches('"'));
        manifest
    }

    pub fn value(&self, section: &str, key: &str) -> Option<&'a str> {
        self.entries
            .iter()
            .find(|entry| entry.section == section && entry.key == key)
            .map(|entry| entry.value)
    }

    /// Every package the crate names, dev-dependencies too.
    pub fn dependencies(&self) -> Vec<Dependency<'a>> {
        let mut found: Vec<Dependency<'a>> = Vec::new();
        for entry in &self.entries {
            if let Some(dependency) = entry.dependency()
                && !found
                    .iter()
                    .any(|known| known.package == dependency.package && known.kind == dependency.kind)
            {
                found.push(dependency);
            }
        }
        found
    }

    /// A path of this crate from the root of the repository.
    pub fn at(&self, path: &str) -> String {
        crate::tree::join(self.folder, path)
    }
}

impl<'a> Entry<'a> {
    /// `[dependencies]` with `name = …` or `name.workspace = true`, `[dependencies.name]`, and both below
    /// `[target.'…'.…]`.
    pub fn dependency(&self) -> Option<Dependency<'a>> {
        let start = self.section.find("dev-dependencies").or_else(|| {
            self.section.find("build-dependencies").or_else(|| self.section.find("dependencies"))
        })?;
        let section = &self.section[start..];
        let kind = if section.starts_with("dev-") { Kind::Dev } else { Kind::Shipped };
        let named_by_section = section.split_once('.').map(|(_, name)| name);
        let named_by_key = self.key.split('.').next().unwrap_or(self.key);
        let package = renamed(self).unwrap_or_else(|| named_by_section.unwrap_or(named_by_key));
        Some(Dependency { line: self.line, package: package.trim_matches('"'), kind })
    }
}

/// The real name behind `alias = { package = "name", … }`: a new name does not move a crate out of its home.
fn renamed<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    let (_, after) = entry.value.split_once("package")?;
    let after = after.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
    after.split_once('"').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[package]
name = "engine"
version.workspace = true

[dependencies]
protocol.workspace = true
zstd = { version = "1", features = ["a"] }
alias = { package = "rkyv", version = "1" }

[dependencies.blake3]
version = "1"
features = []

[target.'cfg(unix)'.dependencies]
rustix = "1"

[dev-dependencies]
proptest.workspace = true

[build-dependencies]
cc = "1"
"#;

    #[test]
    fn every_way_to_name_a_dependency_is_read() {
        let manifest = Manifest::parse("engine/Cargo.toml", TEXT);
        assert_eq!((manifest.name, manifest.folder), ("engine", "engine"));
        let named: Vec<_> = manifest.dependencies().iter().map(|d| (d.package, d.kind)).collect();
        assert_eq!(
            named,
            [
                ("protocol", Kind::Shipped),
                ("zstd", Kind::Shipped),
                ("rkyv", Kind::Shipped),
                ("blake3", Kind::Shipped),
                ("rustix", Kind::Shipped),
                ("proptest", Kind::Dev),
                ("cc", Kind::Shipped),
            ]
        );
        assert_eq!(manifest.dependencies()[0].line, 7);
    }

    #[test]
    fn the_workspace_is_no_crate() {
        let tree =
            Tree::of(&[("Cargo.toml", "[workspace]\n"), ("a/Cargo.toml", "[package]\nname = \"a\"\n")]);
        let names: Vec<_> = crates(&tree).iter().map(|manifest| manifest.name).collect();
        assert_eq!(names, ["a"]);
    }
}

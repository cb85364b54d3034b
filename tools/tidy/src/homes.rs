//! Where each external crate lives. A second user of one is a design question, not a line in a manifest.

use crate::manifest::{Kind, crates};
use crate::mask::mask;
use crate::tree::{Finding, Tree, line_of};
use crate::words::{names_below, offsets_of};

/// An external crate, the crates that may name it, and why there.
const HOMES: &[(&str, &[&str], &str)] = &[
    ("rkyv", &["protocol"], "bodies of commands and snapshots: their bytes are a promise of the words"),
    ("zerocopy", &["protocol"], "headers of fixed layout"),
    ("blake3", &["protocol"], "hashes, in one module"),
    ("crc32c", &["protocol"], "checksums, in one module"),
    ("sha2", &["protocol"], "the transparency log's leaves, in one module"),
    ("ed25519-dalek", &["protocol"], "signatures, in one module"),
    ("disruptor", &["sequencer"], "the ingress ring"),
    ("memmap2", &["journal"], "sealed segments are read through a map"),
    ("io-uring", &["journal"], "one of the ways to a durable write"),
    ("zstd", &["journal"], "archives and snapshot files"),
    ("redb", &["views"], "what outgrows memory and can be built anew: pages, transactions, checksums"),
    (
        "rustix",
        &["journal", "node", "client"],
        "direct writes; locks, signals and sockets of the process; a client waits for one socket",
    ),
    ("raft", &["replicas"], "consensus"),
    ("protobuf", &["replicas"], "the types of raft's messages; never parsed from the network"),
    ("bytes", &["replicas"], "the types of raft's entries"),
    ("slog", &["replicas"], "raft's logger"),
    ("mio", &["node"], "sockets that are stepped"),
    ("axum", &["node"], "HTTP"),
    ("tokio", &["node"], "carries HTTP and QUIC"),
    ("quinn", &["node"], "QUIC between nodes"),
    ("rustls", &["node"], "TLS"),
    ("rustls-webpki", &["node"], "certificates of peers: which authority signed, and which names they carry"),
    ("rcgen", &["node"], "`sicil pki`: writes certificates"),
    ("tracing", &["node"], "a library returns values, the node logs them"),
    ("tracing-subscriber", &["node"], "the log's format"),
    ("metrics", &["node"], "a library counts in its state, the node publishes"),
    ("metrics-exporter-prometheus", &["node"], "the metrics' format"),
    ("toml", &["node"], "configuration and `sicil apply`"),
    ("indicatif", &["node"], "progress of the demo"),
    ("comfy-table", &["node"], "tables of the demo and of `sicil status`"),
    ("clap", &["node", "replay", "sim", "perf"], "the programs' command lines"),
    ("hdrhistogram", &["node", "perf"], "latencies"),
    ("serde", &["node", "replay", "perf"], "JSON and TOML at the edge, never bytes in the journal"),
    ("serde_json", &["node", "replay", "perf"], "JSON for people and their tools"),
    (
        "thiserror",
        &["journal", "replicas", "gateways", "views", "client", "node", "replay", "perf"],
        "typed errors; the words and the rules have reject reasons instead",
    ),
    ("proptest", &[], "tests only, so in dev-dependencies of any crate"),
];

/// A crate that one module names for all, so that an advisory or a change of mind has one place; and the names that
/// other modules of its home may use.
struct Corner {
    package: &'static str,
    place: &'static str,
    elsewhere: &'static [&'static str],
    why: &'static str,
}

const CORNERS: &[Corner] = &[Corner {
    package: "rkyv",
    place: "protocol/src/wire",
    elsewhere: &["Archive", "Serialize", "Deserialize"],
    why: "bytes are accessed there, checked and after the checksum; a field's type only derives",
}];

pub fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let manifests = crates(tree);
    for manifest in &manifests {
        for dependency in manifest.dependencies() {
            let package = dependency.package;
            let internal = manifests.iter().any(|other| other.name == package);
            if internal || dependency.kind == Kind::Dev {
                continue;
            }
            let message = match HOMES.iter().find(|(name, _, _)| *name == package) {
                None => format!(
                    "`{package}` has no home. If the standard library or a crate of the table does not do: add a line \
                     with its home and the reason to HOMES in tools/tidy/src/homes.rs, and say in the commit what \
                     it costs"
                ),
                Some((_, homes, why)) if !homes.contains(&manifest.name) => format!(
                    "`{package}` lives in {} ({why}). Use it through that crate, or name it under \
                     [dev-dependencies] if only tests need it; the table is HOMES in tools/tidy/src/homes.rs",
                    if homes.is_empty() { "no crate".to_owned() } else { homes.join(", ") }
                ),
                Some(_) => continue,
            };
            findings.push(Finding::new(manifest.path, dependency.line, message));
        }
    }
    for (path, text) in tree.sources() {
        let masked = mask(text);
        for corner in CORNERS.iter().filter(|corner| !path.starts_with(corner.place)) {
            if let Some((offset, name)) = out_of_its_corner(&masked, corner) {
                let Corner { package, place, why, .. } = corner;
                let message = format!("`{package}{name}` is named below {place} only ({why})");
                findings.push(Finding::new(path, line_of(text, offset), message));
            }
        }
    }
    findings
}

/// The first `rkyv::name` that is not one for everybody, or `#[rkyv(…)]`, which changes a layout.
fn out_of_its_corner(masked: &str, corner: &Corner) -> Option<(usize, String)> {
    let attribute = offsets_of(masked, corner.package).into_iter().find(|at| masked[..*at].ends_with("#["));
    let name =
        names_below(masked, corner.package).into_iter().find(|(_, name)| !corner.elsewhere.contains(name));
    let name = name.map(|(offset, name)| (offset, format!("::{name}")));
    name.or_else(|| attribute.map(|offset| (offset, "(…)".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine_with(dependencies: &str) -> Vec<Finding> {
        let manifest = format!("[package]\nname = \"engine\"\n{dependencies}");
        findings(&Tree::of(&[("engine/Cargo.toml", &manifest)]))
    }

    #[test]
    fn a_crate_away_from_home_is_found() {
        let found = engine_with("[dependencies]\nzstd.workspace = true\n");
        assert_eq!((found.len(), found[0].line), (1, 4));
        assert!(found[0].message.contains("`zstd` lives in journal"));
    }

    #[test]
    fn a_crate_without_a_home_is_found() {
        let found = engine_with("[dependencies]\nanyhow = \"1\"\n");
        assert!(found[0].message.contains("`anyhow` has no home"));
    }

    #[test]
    fn tests_are_exempt() {
        assert_eq!(engine_with("[dev-dependencies]\nproptest.workspace = true\nanyhow = \"1\"\n"), []);
        assert_eq!(engine_with("[dependencies]\nproptest.workspace = true\n").len(), 1);
    }

    #[test]
    fn a_second_module_that_reads_rkyv_is_found() {
        let lines = |source| {
            let files = [("protocol/src/wire/v1.rs", source), ("protocol/src/frame.rs", source)];
            findings(&Tree::of(&files)).into_iter().map(|found| (found.path, found.line)).collect::<Vec<_>>()
        };
        let frame = |line| vec![("protocol/src/frame.rs".to_owned(), line)];
        assert_eq!(lines("// rkyv::access is elsewhere\nlet x = rkyv::access(y);"), frame(2));
        assert_eq!(lines("use rkyv::{Archive, access};"), frame(1));
        assert_eq!(lines("#[rkyv(attr(repr(C)))]\nstruct X;"), frame(1));
        assert_eq!(lines("#[derive(rkyv::Archive, rkyv::Serialize)]\nstruct X;"), []);
    }

    #[test]
    fn every_home_has_one_line() {
        for (index, (package, _, _)) in HOMES.iter().enumerate() {
            assert!(!HOMES[..index].iter().any(|(other, _, _)| other == package), "{package} stands twice");
        }
    }
}

//! Three node processes, of which some find their journals damaged.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use journal::block::BlockHeader;
use journal::segment::BLOCKS_AT;

use crate::cluster::Cluster;
use crate::process::{Node, run, sicil, status};

/// Blocks with entries of the newest segment that has any: file, offset, last entry.
fn blocks(data: &Path) -> Vec<(PathBuf, u64, u64)> {
    let mut files: Vec<_> = std::fs::read_dir(data.join("j")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let of = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        let (mut at, mut blocks) = (BLOCKS_AT as usize, Vec::new());
        while let Some(Ok(header)) = bytes.get(at..).map(BlockHeader::read) {
            if header.entries > 0 {
                blocks.push((path.clone(), at as u64, header.last_index.0));
            }
            at += header.extent();
        }
        blocks
    };
    files.iter().rev().map(of).find(|blocks| !blocks.is_empty()).unwrap()
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// Waits until all have the same hash at the same seq; returns it.
fn agree(cluster: &Cluster) -> (u64, String) {
    loop {
        let reports = [0, 1, 2].map(|place| status(&cluster.data(place), &[]));
        let of = |place: usize| {
            (reports[place]["seq_applied"].as_u64().unwrap(), reports[place]["effect_hash"].to_string())
        };
        if of(0) == of(1) && of(1) == of(2) {
            return of(0);
        }
    }
}

fn stop_all(cluster: &mut Cluster) {
    for node in &mut cluster.nodes {
        assert!(node.take().unwrap().stop().success());
    }
}

/// Starts a node, whose log is read.
fn launch(cluster: &Cluster, place: usize) -> Child {
    let mut command = sicil(["start", "--json"]);
    command.arg("--data").arg(cluster.data(place)).arg("--config").arg(cluster.config(place));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads the log until a line has `what` in it.
fn read_until(log: &mut impl BufRead, what: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "the log ends before {what:?}");
        if line.contains(what) {
            return line;
        }
    }
}

#[test]
fn a_node_with_a_damaged_journal_is_repaired_by_the_others() {
    let mut cluster = Cluster::new("repair", "");
    cluster.begin();
    let before = agree(&cluster);
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    // Once in the middle; then what was repaired is damaged at its end.
    for part in ["middle", "end"] {
        assert!(cluster.nodes[follower].take().unwrap().stop().success());
        let blocks = blocks(&cluster.data(follower));
        let (path, at, _) = if part == "end" { blocks.last().unwrap() } else { &blocks[blocks.len() / 2] };
        flip(path, at + 150);
        let (code, _, err) = run(sicil(["recover", "--data"]).arg(cluster.data(follower)));
        assert!(code == 6 && err.contains("damaged"), "{code}: {err}");
        let mut child = launch(&cluster, follower);
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let said = read_until(&mut log, "the journal is being repaired");
        assert!(said.contains("block") && said.contains("missing"), "{said}");
        read_until(&mut log, "the journal is repaired");
        cluster.nodes[follower] = Some(Node::when_ready(child));
        assert!(agree(&cluster).0 >= before.0);
    }
    stop_all(&mut cluster);
}

#[test]
fn the_same_damage_on_all_keeps_all_from_serving() {
    let mut cluster = Cluster::new("repair-all", "");
    cluster.begin();
    agree(&cluster);
    stop_all(&mut cluster);
    let blocks_of_first = blocks(&cluster.data(0));
    // The same entry, wherever each has it.
    let index = blocks_of_first[blocks_of_first.len() / 2].2;
    let mut children = Vec::new();
    for place in 0..3 {
        let blocks = blocks(&cluster.data(place));
        let (path, at, _) = blocks.iter().find(|(_, _, last)| *last >= index).unwrap();
        flip(path, at + 150);
        children.push(launch(&cluster, place));
    }
    // All of them, before the first is gone: then nobody would answer the others.
    for child in &mut children {
        let mut log = BufReader::new(child.stderr.take().unwrap());
        read_until(&mut log, "no node that answers has them");
    }
    for child in &mut children {
        // Nobody has a ready line.
        child.kill().unwrap();
        child.wait().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "");
    }
}

//! Three node processes, of which some find their journals damaged.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use journal::block::BlockHeader;
use journal::segment::BLOCKS_AT;
use protocol::Side;

use crate::cluster::Cluster;
use crate::process::{Node, run, sicil, status};
use crate::replacement::write_config;
use crate::trading::Client;

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
        let done = read_until(&mut log, "the journal is repaired");
        cluster.nodes[follower] = Some(Node::when_ready(child));
        let repairs = status(&cluster.data(follower), &[])["disk"]["repairs"].clone();
        let told = repairs[0].as_str().unwrap();
        assert!(told.contains("are damaged: ") || told.contains("is in doubt: "), "{told}");
        assert!(
            told.ends_with(" entries were fetched from other nodes") && !told.contains(": 0 entries"),
            "{told}"
        );
        assert!(done.contains(told) && repairs.as_array().unwrap().len() == 1, "{done}\n{repairs}");
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
    // Operators are told, too.
    let report = status(&cluster.data(1), &[]);
    assert_eq!((&report["role"], &report["node"]), (&"repair".into(), &2.into()), "{report:#}");
    assert!(report["missing"]["to"].as_u64() >= report["missing"]["from"].as_u64(), "{report:#}");
    assert!(report["waits_for"].as_str().unwrap().contains("no node that answers"), "{report:#}");
    let asked: Vec<_> =
        report["asks"].as_array().unwrap().iter().map(|asked| asked["node"].clone()).collect();
    assert_eq!(asked, [1, 3]);
    let (code, text, err) = run(sicil(["status", "--data"]).arg(cluster.data(1)));
    assert_eq!(code, 0, "{err}");
    assert!(text.contains("role      repair") && text.contains("asks      node 3 at 127.0.0.1:"), "{text}");
    let (code, _, err) = run(sicil(["members", "--data"]).arg(cluster.data(1)));
    assert!(code == 8 && err.contains("is being repaired"), "{code}: {err}");
    for child in &mut children {
        // Nobody has a ready line.
        child.kill().unwrap();
        child.wait().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "");
    }
}

/// Segments and snapshots that lie below `data`, by how their names end.
fn files(data: &Path, folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(data.join(folder)).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files
}

/// Trades until the nodes at these places have taken two snapshots more: then their logs begin behind the first of them.
fn pass_by(cluster: &Cluster, client: &mut Client, places: [usize; 2]) {
    let snapshots = || {
        places.map(|place| status(&cluster.data(place), &[])["disk"]["snapshot_index"].as_u64().unwrap_or(0))
    };
    for _ in 0..2 {
        let before = snapshots();
        while snapshots().iter().zip(before).any(|(now, before)| *now == before) {
            cluster.log_on(client);
            for _ in 0..64 {
                let id = format!("order-{}", client.heard.len());
                client.send(&id, Side::Sell, "0.001");
                client.report(&id, "0");
            }
            client.log_out();
        }
    }
}

#[test]
fn what_only_a_snapshot_has_comes_back_and_a_new_node_joins_from_one() {
    let mut cluster =
        Cluster::new("repair-snapshot", "[snapshots]\njournal_bytes = 1048576\ninterval_ms = 100\n");
    cluster.begin();
    let leader = cluster.leader();
    let (follower, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let mut client = Client::new("CLIENT1");
    agree(&cluster);
    let data = cluster.data(follower);
    // First an entry is lost that lies before all logs begin; then the snapshot that took its place.
    for (said, damaged) in [
        (": a snapshot behind entry ", "j"),
        ("the snapshot that the log begins with is damaged or gone: a snapshot behind entry ", "snap"),
    ] {
        assert!(cluster.nodes[follower].take().unwrap().stop().success());
        if damaged == "j" {
            pass_by(&cluster, &mut client, [leader, other]);
            let (path, at, _) = blocks(&data).pop().unwrap();
            flip(&path, at + 150);
        } else {
            files(&data, "snap", ".snap").iter().for_each(|path| flip(path, 300));
        }
        let mut child = launch(&cluster, follower);
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let done = read_until(&mut log, "the journal is repaired");
        assert!(done.contains(said) && done.contains(" was adopted from node "), "{done}");
        cluster.nodes[follower] = Some(Node::when_ready(child));
        agree(&cluster);
        assert!(!files(&data, "j", ".seg.aside").is_empty(), "the log has begun anew");
    }
    // A blank disk: the others have no log that begins with the first entry.
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let pki = cluster.pki();
    assert_eq!(run(sicil(["pki", "issue", "--node", "4", "--dir"]).arg(&pki)).0, 0);
    write_config(&cluster, &address);
    let (code, _, err) = cluster.init(3, &["--join"]);
    assert_eq!(code, 0, "{err}");
    let child = Node::launch(&cluster.data(3), &cluster.config(3));
    let mut add = sicil(["add-member", "--node", "4", "--address", &address, "--data"]);
    let (code, out, err) = run(add.arg(cluster.data(cluster.leader())));
    assert_eq!(code, 0, "{out}{err}");
    cluster.nodes.push(Some(Node::when_ready(child)));
    assert!(!files(&cluster.data(3), "j", ".seg.aside").is_empty(), "it has joined from a snapshot");
    let report = loop {
        let [new, led] = [3, leader].map(|place| status(&cluster.data(place), &["--hash"]));
        if new["state_seq"] == led["state_seq"] {
            assert_eq!(new["state_hash"], led["state_hash"]);
            break new;
        }
    };
    assert!(report["disk"]["snapshot_index"].as_u64().is_some(), "{report:#}");
    // It counts: of the four three are left.
    cluster.nodes[other].take().unwrap().kill();
    cluster.log_on(&mut client);
    client.send("last", Side::Sell, "0.001");
    client.report("last", "0");
}

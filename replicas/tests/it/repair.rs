//! A replica whose log is damaged takes no part until what it has lost is there again, by one row of the table or another; where
//! none applies it waits.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use journal::block::BlockHeader;
use journal::meta::MetaView;
use journal::segment::BLOCKS_AT;
use protocol::NodeId;
use protocol::limits::BLOCK_ALIGN;
use replicas::{Outbound, RepairRow, RepairWait, Role};

use super::cluster::{Cluster, cluster_folder};

/// Blocks of a log: file, offset, header, in order.
fn blocks(folder: &Path) -> Vec<(PathBuf, u64, BlockHeader)> {
    let mut files: Vec<_> = std::fs::read_dir(folder.join("j")).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    files.sort();
    let mut blocks = Vec::new();
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let mut at = BLOCKS_AT as usize;
        while let Ok(header) = BlockHeader::read(&bytes[at..]) {
            blocks.push((path.clone(), at as u64, header));
            at += header.extent();
        }
    }
    blocks
}

/// Blocks with entries.
pub(crate) fn with_entries(folder: &Path) -> Vec<(PathBuf, u64, BlockHeader)> {
    let mut blocks = blocks(folder);
    blocks.retain(|(_, _, header)| header.entries > 0);
    blocks
}

pub(crate) fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// By its kind.
fn is_about_repair(outbound: &Outbound) -> bool {
    (80..96).contains(&outbound.bytes[1])
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Header,
    Body,
}

/// Damages the block with entries that is `from_end` before the last.
pub(crate) fn damage(folder: &Path, from_end: usize, part: Part) {
    let blocks = with_entries(folder);
    let (path, at, _) = &blocks[blocks.len() - 1 - from_end];
    flip(path, at + if part == Part::Header { 50 } else { 150 });
}

/// Nothing on the disk says how far it was durable.
pub(crate) fn forget_hint(folder: &Path) {
    let meta = OpenOptions::new().write(true).open(folder.join("meta")).unwrap();
    meta.write_all_at(&vec![0; 2 * BLOCK_ALIGN], 4 * BLOCK_ALIGN as u64).unwrap();
    // Nor a block behind the last one with entries.
    let last = with_entries(folder).pop().unwrap();
    for (path, at, header) in blocks(folder).into_iter().filter(|(_, _, h)| h.block_seq > last.2.block_seq) {
        let bytes = std::fs::read(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&bytes[bytes.len() - header.extent()..], at).unwrap();
    }
}

/// Ends these, once the disk of each says that all of its log is durable: `meta` hears of it only after the write.
pub(crate) fn stop_at_rest(cluster: &mut Cluster, nodes: &[u64]) {
    cluster.until("all hints", |cluster| {
        nodes.iter().all(|node| {
            let folder = cluster.folder(*node);
            let meta = MetaView::read(&std::fs::read(folder.join("meta")).unwrap());
            with_entries(&folder).pop().is_some_and(|(.., last)| last.block_seq <= meta.durable_hint)
        })
    });
    nodes.iter().for_each(|node| cluster.stop(*node));
}

/// Three replicas with 300 definitions, one a turn or so; then these are stopped.
fn cluster(name: &'static str, stopped: &[u64]) -> Cluster {
    let mut cluster = Cluster::new(name, &[1, 2, 3]);
    for at in 0..30 {
        cluster.define(10 * at + 1, 10 * at + 10);
    }
    cluster.agree(300);
    stop_at_rest(&mut cluster, stopped);
    cluster
}

/// `node` is whole again by that row, and takes part.
pub(crate) fn comes_back(cluster: &mut Cluster, node: u64, row: RepairRow) {
    cluster.until("a repair", |cluster| cluster.running.contains_key(&node));
    assert_eq!(
        cluster.rows.iter().rev().find(|(of, _)| *of == node),
        Some(&(node, row)),
        "{:?}",
        cluster.rows
    );
    cluster.until("a leader", |cluster| cluster.serving().is_some());
}

#[test]
fn durable_entries_are_brought_back_from_the_middle_and_from_the_end() {
    for (name, from_end) in [("repair-middle", 15), ("repair-end", 0)] {
        let mut cluster = cluster(name, &[3]);
        cluster.define(301, 320);
        damage(&cluster.folder(3), from_end, Part::Body);
        cluster.open_or_repair(3).unwrap();
        assert!(cluster.repairing[&3].status().lost.end.is_some());
        comes_back(&mut cluster, 3, RepairRow::LostFetched);
        cluster.agree(320);
        // It counts: with it and without another one the cluster goes on.
        cluster.stop(1);
        cluster.define(321, 330);
        cluster.agree(330);
    }
}

#[test]
fn what_is_in_doubt_and_named_is_brought_back_what_is_not_named_comes_from_a_confirmed_leader() {
    for (name, part, was_durable, row) in [
        ("repair-doubt", Part::Body, false, RepairRow::DoubtFetched),
        ("repair-unnamed", Part::Header, false, RepairRow::LeaderAdopted),
        ("repair-lost-unnamed", Part::Header, true, RepairRow::LeaderAdopted),
    ] {
        let mut cluster = cluster(name, &[3]);
        if !was_durable {
            forget_hint(&cluster.folder(3));
        }
        damage(&cluster.folder(3), 0, part);
        cluster.define(301, 310);
        cluster.open_or_repair(3).unwrap();
        let lost = cluster.repairing[&3].status().lost;
        assert_eq!((lost.was_durable, lost.end.is_some()), (was_durable, part == Part::Body));
        comes_back(&mut cluster, 3, row);
        cluster.agree(310);
    }
}

#[test]
fn entries_that_others_have_replaced_are_given_up_once_a_newer_leader_is_confirmed() {
    let mut cluster = cluster("repair-replaced", &[]);
    assert_eq!(cluster.leader(), 1);
    // The leader writes what nobody else hears of.
    cluster.network = |_, from, outbound| (from != NodeId(1) && outbound.to != NodeId(1)).then_some(outbound);
    super::define_assets(cluster.running.get_mut(&1).unwrap(), 301, 302);
    for _ in 0..20 {
        cluster.tick();
    }
    cluster.stop(1);
    let (_, _, last) = with_entries(&cluster.folder(1)).pop().unwrap();
    damage(&cluster.folder(1), 0, Part::Body);
    cluster.network = |_, _, outbound| Some(outbound);
    cluster.open_or_repair(1).unwrap();
    assert_eq!(cluster.repairing[&1].status().lost.end, Some((last.last_index, last.last_term)));
    // The others have none of it.
    cluster.define(303, 303);
    comes_back(&mut cluster, 1, RepairRow::LeaderAdopted);
    cluster.agree(301);
    assert!(cluster.statuses().iter().all(|status| status.term > last.last_term));
}

#[test]
fn a_damaged_replica_says_nothing_that_raft_hears() {
    let mut cluster = cluster("repair-silent", &[1, 2, 3]);
    damage(&cluster.folder(3), 3, Part::Body);
    cluster.open_or_repair(3).unwrap();
    cluster.open(2);
    // Two of three, one of them damaged and cut off from what it needs: there is no quorum, and nobody leads.
    cluster.network = |_, from, outbound| {
        let is_about_repair = is_about_repair(&outbound);
        assert!(from != NodeId(3) || is_about_repair, "kind {}", outbound.bytes[1]);
        (!is_about_repair).then_some(outbound)
    };
    for _ in 0..3_000 {
        cluster.tick();
    }
    assert_ne!(cluster.running[&2].status().role, Role::Leader);
    assert_eq!(cluster.repairing[&3].status().wait, RepairWait::Peers);
    // With its answers the entries come, and it votes.
    cluster.network = |_, _, outbound| Some(outbound);
    comes_back(&mut cluster, 3, RepairRow::LostFetched);
    cluster.define(301, 302);
}

#[test]
fn the_same_damage_everywhere_keeps_everybody_from_serving() {
    let mut cluster = cluster("repair-everywhere", &[1, 2, 3]);
    for node in [1, 2, 3] {
        // The same entry, wherever each has it.
        let folder = cluster.folder(node);
        let (path, at, _) = with_entries(&folder).into_iter().find(|(_, _, h)| h.last_index.0 >= 20).unwrap();
        flip(&path, at + 150);
        cluster.open_or_repair(node).unwrap();
    }
    for _ in 0..5_000 {
        cluster.tick();
    }
    assert!(cluster.running.is_empty());
    for repair in cluster.repairing.values() {
        let status = repair.status();
        assert_eq!(
            (status.wait, status.heard.len(), status.log.last_index.0 < 25),
            (RepairWait::Holder, 2, true)
        );
    }
}

#[test]
fn damage_everywhere_but_never_to_the_same_entry_is_repaired_by_all_from_all() {
    let mut cluster = cluster("repair-parts", &[1, 2, 3]);
    for (node, indices) in [(1, [10, 20]), (2, [13, 23]), (3, [16, 26])] {
        let blocks = with_entries(&cluster.folder(node));
        for index in indices {
            let (path, at, _) = blocks.iter().find(|(_, _, header)| header.last_index.0 >= index).unwrap();
            flip(path, at + 150);
        }
        cluster.open_or_repair(node).unwrap();
    }
    cluster.until("three repairs", |cluster| cluster.running.len() == 3);
    cluster.agree(300);
    cluster.define(301, 310);
    cluster.agree(310);
}

#[test]
fn all_voters_together_decide_about_an_unnamed_tail_where_nobody_leads() {
    let mut cluster = cluster("repair-all", &[1, 2, 3]);
    forget_hint(&cluster.folder(1));
    damage(&cluster.folder(1), 0, Part::Header);
    // Nobody gets as far as a vote before it is decided.
    cluster.network = |_, _, outbound| is_about_repair(&outbound).then_some(outbound);
    cluster.open(2);
    cluster.open_or_repair(1).unwrap();
    for _ in 0..1_000 {
        cluster.tick();
    }
    assert_eq!(cluster.repairing[&1].status().wait, RepairWait::Decision, "one is silent");
    cluster.open(3);
    cluster.until("a repair", |cluster| cluster.running.contains_key(&1));
    cluster.network = |_, _, outbound| Some(outbound);
    comes_back(&mut cluster, 1, RepairRow::AllAnswered);
    cluster.agree(300);
}

#[test]
fn what_nobody_else_holds_and_was_perhaps_not_durable_is_given_up_by_nacks() {
    let mut cluster = cluster("repair-nacks", &[]);
    assert_eq!(cluster.leader(), 1);
    cluster.network = |_, from, outbound| (from != NodeId(1) && outbound.to != NodeId(1)).then_some(outbound);
    super::define_assets(cluster.running.get_mut(&1).unwrap(), 301, 302);
    for _ in 0..20 {
        cluster.tick();
    }
    [1, 2, 3].iter().for_each(|node| cluster.stop(*node));
    forget_hint(&cluster.folder(1));
    damage(&cluster.folder(1), 0, Part::Body);
    cluster.network = |_, _, outbound| is_about_repair(&outbound).then_some(outbound);
    [2, 3].iter().for_each(|node| cluster.open(*node));
    cluster.open_or_repair(1).unwrap();
    cluster.until("a repair", |cluster| cluster.running.contains_key(&1));
    cluster.network = |_, _, outbound| Some(outbound);
    comes_back(&mut cluster, 1, RepairRow::NackQuorum);
    cluster.agree(300);
}

/// A network that loses, delays and doubles, by the time and the receiver.
fn rough(millis: u64, from: NodeId, outbound: Outbound) -> Option<Outbound> {
    let drawn = journal::segment::nonce(millis, from.0 * 8 + outbound.to.0) % 4;
    (!is_about_repair(&outbound) || drawn > 0).then_some(outbound)
}

#[test]
fn lost_doubled_and_late_messages_and_another_leader_do_no_harm() {
    let mut cluster = cluster("repair-rough", &[3]);
    cluster.define(301, 320);
    [0, 4, 20].iter().for_each(|from_end| damage(&cluster.folder(3), *from_end, Part::Body));
    cluster.network = rough;
    cluster.doubles = true;
    cluster.open_or_repair(3).unwrap();
    let leader = cluster.leader();
    cluster.until("a first entry", |c| c.repairing.get(&3).is_none_or(|r| r.status().entries_fetched > 0));
    cluster.stop(leader);
    cluster.until("a repair", |cluster| cluster.running.contains_key(&3));
    cluster.open(leader);
    cluster.agree(320);
}

/// Copies the files of a node that is down.
pub(crate) fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    for dir in ["", "j", "snap", "outbox"] {
        std::fs::create_dir_all(to.join(dir)).unwrap();
        for file in std::fs::read_dir(from.join(dir)).unwrap().map(Result::unwrap) {
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), to.join(dir).join(file.file_name())).unwrap();
            }
        }
    }
}

#[test]
fn a_crash_at_any_operation_of_the_disk_is_followed_by_another_repair() {
    let mut cluster = cluster("repair-crash", &[1, 2, 3]);
    [0, 12].iter().for_each(|from_end| damage(&cluster.folder(3), *from_end, Part::Body));
    let before =
        |node: u64| (cluster_folder("repair-crash", node), cluster_folder("repair-crash-before", node));
    for (folder, before) in [1, 2, 3].map(before) {
        copy(&folder, &before);
    }
    let mut again = 0;
    for operations in 0.. {
        for (folder, before) in [1, 2, 3].map(before) {
            copy(&before, &folder);
        }
        [1, 2].iter().for_each(|node| cluster.open(*node));
        cluster.leader();
        let started = cluster.open_or_repair_for(3, operations).is_ok();
        while started && cluster.repairing.contains_key(&3) {
            cluster.tick();
        }
        let done = cluster.running.contains_key(&3) && !cluster.besides[&3].has_failed();
        cluster.stop(3);
        if done {
            break;
        }
        cluster.open_or_repair(3).unwrap();
        again += u32::from(cluster.repairing.contains_key(&3));
        cluster.until("a repair", |cluster| cluster.running.contains_key(&3));
        cluster.agree(300);
        [1, 2, 3].iter().for_each(|node| cluster.stop(*node));
    }
    assert!(again > 5, "{again}");
}

//! What a damaged log has lost is in no log of the others any more, or a whole log has lost its only snapshot: a snapshot of somebody
//! else serves, and nothing is forgotten that was acknowledged.

use std::path::PathBuf;

use journal::Founders;
use protocol::{Index, NodeId};
use replicas::{MemberChange, Options, RepairRow, RepairWait, SnapshotPolicy};

use super::cluster::{Cluster, cluster_folder, cluster_options, learner};
use super::repair::{Part, comes_back, copy, damage, flip, forget_hint, stop_at_rest, with_entries};

/// Snapshots are taken when a test says so.
fn cluster(name: &'static str) -> Cluster {
    let options =
        Options { snapshots: SnapshotPolicy { journal_bytes: 1, interval_ms: 1 }, ..cluster_options() };
    Cluster::with_options(name, &[1, 2, 3], options)
}

/// A definition a turn or so.
fn define_slowly(cluster: &mut Cluster, from: u32, to: u32) {
    (from..=to).step_by(10).for_each(|from| cluster.define_further(from, from + 9));
}

fn snapshot_all(cluster: &mut Cluster, nodes: &[u64]) -> Index {
    cluster.until("the same place", |cluster| {
        let statuses = cluster.statuses();
        statuses.iter().all(|status| status.index_applied == statuses[0].index_applied)
    });
    let index = cluster.snapshot_of(nodes);
    // Until a majority is known to have their effects: before that they are given to nobody.
    for _ in 0..300 {
        cluster.tick();
    }
    index
}

/// Three is down with entries of 1..=200; the logs of the others begin behind `snapshots` of their own, of which each goes on for 50
/// definitions.
fn behind(name: &'static str, snapshots: u32) -> (Cluster, Index) {
    let mut cluster = cluster(name);
    define_slowly(&mut cluster, 1, 200);
    cluster.agree(200);
    let end = cluster.running[&3].status().index_last;
    stop_at_rest(&mut cluster, &[3]);
    for at in 0..snapshots {
        define_slowly(&mut cluster, 201 + 50 * at, 250 + 50 * at);
        snapshot_all(&mut cluster, &[1, 2]);
    }
    (cluster, end)
}

/// It counts: with it and without another one the cluster goes on.
fn takes_part(cluster: &mut Cluster, definitions: u32) {
    cluster.agree(usize::try_from(definitions).unwrap());
    cluster.stop(1);
    cluster.define_further(definitions + 1, definitions + 10);
    cluster.stop(3);
    cluster.open(3);
    cluster.agree(usize::try_from(definitions).unwrap() + 10);
}

#[test]
fn a_snapshot_that_covers_the_named_end_takes_the_place_of_all_logs() {
    for (name, part, was_durable) in
        [("snapshot-covers", Part::Body, true), ("snapshot-covers-doubt", Part::Body, false)]
    {
        let (mut cluster, end) = behind(name, 3);
        if !was_durable {
            forget_hint(&cluster.folder(3));
        }
        damage(&cluster.folder(3), 0, part);
        cluster.open_or_repair(3).unwrap();
        assert_eq!(cluster.repairing[&3].status().lost.was_durable, was_durable);
        comes_back(&mut cluster, 3, RepairRow::SnapshotAdopted);
        assert!(cluster.repaired_to[&3] > end, "{:?}", cluster.repaired_to);
        assert_eq!(cluster.running[&3].status().snapshot_index, Some(cluster.repaired_to[&3]));
        takes_part(&mut cluster, 350);
    }
}

/// The others have the end of the log, and not what is damaged in front of it: their logs begin in between.
#[test]
fn a_snapshot_in_front_of_the_named_end_is_followed_by_the_entries_up_to_it() {
    let mut cluster = cluster("snapshot-before");
    define_slowly(&mut cluster, 1, 50);
    for from in [51, 101] {
        snapshot_all(&mut cluster, &[1, 2]);
        define_slowly(&mut cluster, from, from + 49);
    }
    snapshot_all(&mut cluster, &[1, 2]);
    define_slowly(&mut cluster, 151, 200);
    cluster.agree(200);
    let end = cluster.running[&3].status().index_last;
    stop_at_rest(&mut cluster, &[3]);
    cluster.define_further(201, 220);
    let blocks = with_entries(&cluster.folder(3));
    let (path, at, _) = blocks.iter().find(|(_, _, header)| header.last_index >= Index(10)).unwrap();
    flip(path, at + 150);
    cluster.open_or_repair(3).unwrap();
    assert_eq!(cluster.repairing[&3].status().lost.end.unwrap().0, end);
    // Who has a snapshot alone does not make it whole: what it has acknowledged is behind.
    cluster.network = |_, _, outbound| (outbound.bytes[1] != 84).then_some(outbound);
    cluster.until("a snapshot", |cluster| {
        let status = cluster.repairing[&3].status();
        status.log.base_index > Index(0)
    });
    for _ in 0..3_000 {
        cluster.tick();
    }
    assert!(cluster.repairing[&3].status().log.last_index < end);
    // Nor after a restart.
    cluster.stop(3);
    cluster.open_or_repair(3).unwrap();
    cluster.network = |_, _, outbound| Some(outbound);
    comes_back(&mut cluster, 3, RepairRow::LostFetched);
    assert_eq!(cluster.repaired_to[&3], end);
    takes_part(&mut cluster, 220);
}

#[test]
fn an_end_without_a_name_is_a_confirmed_leaders_and_its_snapshot_the_way_there() {
    for (name, was_durable) in [("snapshot-leader", true), ("snapshot-leader-doubt", false)] {
        let (mut cluster, end) = behind(name, 3);
        cluster.define_further(351, 360);
        if !was_durable {
            forget_hint(&cluster.folder(3));
        }
        damage(&cluster.folder(3), 0, Part::Header);
        // Nobody's word is enough but a leader's.
        cluster.network = |_, _, outbound| (outbound.bytes[1] != 82).then_some(outbound);
        cluster.open_or_repair(3).unwrap();
        for _ in 0..2_000 {
            cluster.tick();
        }
        let status = cluster.repairing[&3].status();
        assert_eq!((status.row, status.snapshot, status.log.base_index), (None, None, Index(0)));
        cluster.network = |_, _, outbound| Some(outbound);
        comes_back(&mut cluster, 3, RepairRow::LeaderAdopted);
        let status = cluster.running[&3].status();
        assert!(cluster.repaired_to[&3] > end && status.snapshot_index < Some(cluster.repaired_to[&3]));
        takes_part(&mut cluster, 360);
    }
}

/// The others keep one snapshot: it serves although their logs begin at 1.
#[test]
fn entries_are_fetched_where_anybody_has_them() {
    let (mut cluster, _) = behind("snapshot-needless", 1);
    damage(&cluster.folder(3), 5, Part::Body);
    cluster.open_or_repair(3).unwrap();
    comes_back(&mut cluster, 3, RepairRow::LostFetched);
    assert_eq!(cluster.running[&3].status().snapshot_index, None);
    takes_part(&mut cluster, 250);
}

/// No file names four; the log does.
#[test]
fn a_member_that_only_the_log_tells_of_is_asked_too() {
    let mut cluster = cluster("repair-members");
    define_slowly(&mut cluster, 1, 50);
    cluster.create(4);
    let leader = cluster.leader();
    cluster.running.get_mut(&leader).unwrap().change_members(&learner(4)).unwrap();
    define_slowly(&mut cluster, 51, 100);
    cluster.agree(100);
    cluster.stop(3);
    damage(&cluster.folder(3), 0, Part::Body);
    // Nobody else answers.
    cluster.founders = Founders::alone(NodeId(3));
    cluster.network = |_, from, outbound| {
        let is_about_repair = (80..96).contains(&outbound.bytes[1]);
        (!is_about_repair || [from.0, outbound.to.0].contains(&4)).then_some(outbound)
    };
    cluster.open_or_repair(3).unwrap();
    let others: Vec<_> = cluster.repairing[&3].others().collect();
    assert_eq!(others, [(NodeId(4), Some("node-4:9884"))]);
    cluster.until("a repair", |cluster| cluster.running.contains_key(&3));
    cluster.agree(100);
}

#[test]
fn who_was_removed_is_asked_no_more_and_a_snapshot_tells_of_members_too() {
    let mut cluster = cluster("repair-removed");
    define_slowly(&mut cluster, 1, 50);
    cluster.create(4);
    let leader = cluster.leader();
    cluster.running.get_mut(&leader).unwrap().change_members(&learner(4)).unwrap();
    define_slowly(&mut cluster, 51, 100);
    cluster.agree(100);
    let removed = if leader == 1 { 2 } else { 1 };
    cluster.running.get_mut(&leader).unwrap().change_members(&MemberChange::Promote(NodeId(4))).unwrap();
    cluster.define_further(101, 110);
    cluster.running.get_mut(&leader).unwrap().change_members(&MemberChange::Remove(NodeId(removed))).unwrap();
    cluster.define_further(111, 120);
    cluster.stop(removed);
    cluster.agree(120);
    for takes_snapshot in [false, true] {
        if takes_snapshot {
            cluster.snapshot_of(&[3]);
        }
        let from = if takes_snapshot { 161 } else { 121 };
        define_slowly(&mut cluster, from, from + 39);
        cluster.stop(3);
        damage(&cluster.folder(3), 0, Part::Body);
        cluster.open_or_repair(3).unwrap();
        let others: Vec<_> = cluster.repairing[&3].others().map(|(node, _)| node.0).collect();
        assert_eq!(others, [leader, 4]);
        cluster.until("a repair", |cluster| cluster.running.contains_key(&3));
        cluster.agree(if takes_snapshot { 200 } else { 160 });
    }
}

fn snapshots(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("snap")).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "snap"));
    files.sort();
    files
}

/// Three has begun anew behind a snapshot; then that one decays.
fn stateless(name: &'static str, further: bool) -> Cluster {
    let (mut cluster, _) = behind(name, 3);
    cluster.open(3);
    cluster.agree(350);
    cluster.define_further(351, 360);
    cluster.agree(360);
    stop_at_rest(&mut cluster, &[3]);
    for file in snapshots(&cluster.folder(3)) {
        flip(&file, 300);
    }
    if further {
        for from in [361, 371] {
            cluster.define_further(from, from + 9);
            snapshot_all(&mut cluster, &[1, 2]);
        }
    } else {
        cluster.define_further(361, 380);
    }
    cluster
}

#[test]
fn a_whole_log_that_has_lost_its_only_snapshot_gets_one() {
    for (name, further) in [("snapshot-state", false), ("snapshot-state-ahead", true)] {
        let mut cluster = stateless(name, further);
        let end = with_entries(&cluster.folder(3)).pop().unwrap().2.last_index;
        // Nobody has one to give: it waits, and says so.
        cluster.network = |_, _, outbound| (outbound.bytes[1] != 87).then_some(outbound);
        cluster.open_or_repair(3).unwrap();
        for _ in 0..2_000 {
            cluster.tick();
        }
        assert_eq!(cluster.repairing[&3].status().wait, RepairWait::State);
        cluster.network = |_, _, outbound| Some(outbound);
        comes_back(&mut cluster, 3, RepairRow::StateFetched);
        assert_eq!(cluster.repaired_to[&3] > end, further, "a log that goes on from it stays as it is");
        takes_part(&mut cluster, 380);
    }
}

#[test]
fn a_damaged_log_that_has_lost_its_only_snapshot_gets_both() {
    let mut cluster = stateless("snapshot-both", false);
    damage(&cluster.folder(3), 0, Part::Body);
    cluster.open_or_repair(3).unwrap();
    comes_back(&mut cluster, 3, RepairRow::StateFetched);
    assert_eq!(
        cluster.rows.iter().map(|(_, row)| *row).collect::<Vec<_>>(),
        [RepairRow::LostFetched, RepairRow::StateFetched]
    );
    takes_part(&mut cluster, 380);
}

/// What is lost, doubled or damaged on the way is asked for again.
#[test]
fn a_rough_network_and_another_leader_do_no_harm() {
    let (mut cluster, end) = behind("snapshot-rough", 3);
    damage(&cluster.folder(3), 0, Part::Body);
    cluster.network = |millis, from, mut outbound| {
        let is_piece = (64..96).contains(&outbound.bytes[1]);
        let fate = journal::segment::nonce(millis, from.0 * 8 + outbound.to.0) % 4;
        if is_piece && fate == 1 {
            *outbound.bytes.last_mut().unwrap() ^= 1;
        }
        (!is_piece || fate > 0).then_some(outbound)
    };
    cluster.doubles = true;
    cluster.open_or_repair(3).unwrap();
    let leader = cluster.leader();
    cluster.until("an offer", |c| c.repairing.get(&3).is_none_or(|r| r.status().snapshot.is_some()));
    cluster.stop(leader);
    cluster.until("a repair", |cluster| cluster.running.contains_key(&3));
    assert!(cluster.repaired_to[&3] > end);
    cluster.open(leader);
    cluster.agree(350);
}

#[test]
fn a_crash_at_any_operation_of_the_disk_leaves_it_damaged_or_repaired() {
    for (name, before_name, is_stateless) in [
        ("snapshot-crash", "snapshot-crash-before", false),
        ("snapshot-crash-state", "snapshot-crash-state-before", true),
    ] {
        let mut cluster = if is_stateless { stateless(name, true) } else { behind(name, 3).0 };
        let definitions = if is_stateless { 380 } else { 350 };
        if !is_stateless {
            damage(&cluster.folder(3), 0, Part::Body);
        }
        let end = with_entries(&cluster.folder(3)).pop().unwrap().2.last_index;
        [1, 2].iter().for_each(|node| cluster.stop(*node));
        let before = |node: u64| (cluster_folder(name, node), cluster_folder(before_name, node));
        for (folder, before) in [1, 2, 3].map(before) {
            copy(&folder, &before);
        }
        let (mut again, mut at_once) = (0, 0);
        for operations in 0.. {
            for (folder, before) in [1, 2, 3].map(before) {
                copy(&before, &folder);
            }
            [1, 2].iter().for_each(|node| cluster.open(*node));
            cluster.leader();
            let started = cluster.open_or_repair_for(3, operations).is_ok();
            if started {
                cluster.until("the end of it", |cluster| !cluster.repairing.contains_key(&3));
            }
            let done = cluster.running.contains_key(&3) && !cluster.besides[&3].has_failed();
            cluster.stop(3);
            if done {
                break;
            }
            cluster.repaired_to.clear();
            cluster.open_or_repair(3).unwrap();
            let is_again = cluster.repairing.contains_key(&3);
            again += u32::from(is_again);
            at_once += u32::from(!is_again);
            cluster.until("a repair", |cluster| cluster.running.contains_key(&3));
            assert!(cluster.running[&3].status().index_last >= end, "after {operations} operations");
            cluster.agree(definitions);
            [1, 2, 3].iter().for_each(|node| cluster.stop(*node));
        }
        assert!(again > 5 && at_once > 0, "{again} {at_once}");
    }
}

//! A replica that lags behind the leader's log gets the leader's snapshot, and the outputs that sessions may still ask for.

use std::path::Path;

use journal::snapshot_file;
use protocol::commands::SessionTestRequest;
use protocol::submit::Submit;
use protocol::{Index, MonoNanos, NodeId, OutSeq, SessionEpoch, Text};
use replicas::{ClusterRefusal, LeadEnd, MemberChange, Options, OutboxFault, SnapshotPolicy};

use super::cluster::{Cluster, cluster_folder, cluster_options, learner};
use super::repair::{Part, copy, damage, stop_at_rest};
use super::start::{CLIENT, client, open_session};

/// Snapshots are taken when a test says so.
fn options() -> Options {
    Options { snapshots: SnapshotPolicy { journal_bytes: 1, interval_ms: 1 }, ..cluster_options() }
}

/// Three replicas and a session that is logged on.
fn cluster(name: &'static str) -> Cluster {
    let mut cluster = Cluster::with_options(name, &[1, 2, 3], options());
    let leader = cluster.leader();
    open_session(cluster.running.get_mut(&leader).unwrap());
    cluster.until("a session", |cluster| next_out(cluster, leader) > 1);
    cluster
}

fn next_out(cluster: &Cluster, node: u64) -> u64 {
    let engine = cluster.running[&node].engine();
    engine.sessions().find(|s| s.session == CLIENT).map_or(0, |session| session.next_out.0)
}

/// The session asks `count` times, and is answered.
fn ask(cluster: &mut Cluster, count: u64) {
    let leader = cluster.leader();
    for _ in 0..count {
        let replica = cluster.running.get_mut(&leader).unwrap();
        let session = replica.engine().sessions().find(|s| s.session == CLIENT).unwrap();
        let (number, generation, next) = (session.next_in, session.generation.0, session.next_out.0);
        let test = SessionTestRequest { test_req_id: Text::new(format!("{number}")).unwrap() };
        replica.sequencer().submit(&client(number, generation), MonoNanos(0), &test.into()).unwrap();
        cluster.until("an answer", |cluster| next_out(cluster, leader) > next);
    }
}

/// Every replica answers a resend of everything as the others do.
fn same_outputs(cluster: &mut Cluster) {
    cluster.until("outputs from elsewhere", |cluster| {
        cluster.statuses().iter().all(|status| status.outputs_to_come.is_none())
    });
    let nodes: Vec<u64> = cluster.running.keys().copied().collect();
    let mut read = |node: &u64| {
        let replica = cluster.running.get_mut(node).unwrap();
        assert_eq!(replica.status().outputs_were_missing, None);
        let session = replica.engine().sessions().find(|s| s.session == CLIENT).unwrap();
        let (floor, next) = (session.floor, session.next_out);
        let to = OutSeq(next.0 - 1);
        let outputs = replica.read_outbox(CLIENT, SessionEpoch(1), floor, to, 1 << 24).unwrap();
        let numbers: Vec<_> = outputs.iter().map(|event| event.output.unwrap().out_seq.0).collect();
        assert_eq!(numbers, (floor.0..next.0).collect::<Vec<_>>(), "node {node}");
        outputs
    };
    let outputs: Vec<_> = nodes.iter().map(&mut read).collect();
    assert!(outputs.iter().all(|others| *others == outputs[0]));
}

/// Definitions 2..=301 and some outputs while `away` is down, in front of and behind two snapshots of both others.
fn pass_by(cluster: &mut Cluster, away: u64) {
    cluster.stop(away);
    for from in [2, 102, 202] {
        ask(cluster, 5);
        cluster.define(from, from + 99);
        ask(cluster, 5);
        cluster.agree(usize::try_from(from).unwrap() + 99);
        if from < 202 {
            cluster.snapshot();
            settle(cluster);
        }
    }
}

/// Long enough for a majority to be known to have the effects of a snapshot: before that it is given to nobody.
fn settle(cluster: &mut Cluster) {
    for _ in 0..300 {
        cluster.tick();
    }
}

fn aside(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder.join("j")).unwrap();
    files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".aside")).count()
}

#[test]
fn who_was_away_for_two_snapshots_gets_the_newest_and_can_lead() {
    let mut cluster = cluster("transfer-away");
    pass_by(&mut cluster, 3);
    cluster.open(3);
    assert!(cluster.running[&3].status().snapshot_index.is_none());
    cluster.agree(301);
    let status = cluster.running[&3].status();
    assert!(status.snapshot_index > Some(Index(10)), "{status:?}");
    assert_eq!(aside(&cluster.folder(3)), 1, "its old log");
    same_outputs(&mut cluster);

    // It goes on like any other, also through a restart.
    cluster.define(302, 310);
    cluster.stop(3);
    cluster.open(3);
    cluster.agree(310);
    same_outputs(&mut cluster);
    // Who does not know yet what time it is takes no lead.
    cluster.until("its clock agrees", |cluster| cluster.running[&3].status().clock.is_synchronized);
    let leader = cluster.leader();
    cluster.running.get_mut(&leader).unwrap().transfer_leader(NodeId(3)).unwrap();
    cluster.until("the third leads", |cluster| cluster.serving() == Some(3));
    cluster.define(311, 320);
    cluster.agree(320);
    same_outputs(&mut cluster);
}

#[test]
fn a_blank_learner_joins_behind_snapshots_and_becomes_a_voter() {
    let mut cluster = cluster("transfer-learner");
    pass_by(&mut cluster, 3);
    cluster.create(4);
    let leader = cluster.leader();
    let lead = cluster.running.get_mut(&leader).unwrap();
    lead.change_members(&learner(4)).unwrap();
    // None of the snapshots knows it: one is due for it.
    cluster.until("a snapshot is wanted", |c| c.running[&leader].members().len() == 4);
    for _ in 0..200 {
        cluster.tick();
    }
    let lead = cluster.running.get_mut(&leader).unwrap();
    let early = lead.change_members(&MemberChange::Promote(NodeId(4)));
    let lags =
        matches!(early, Err(ClusterRefusal::Lags { matched: Index(0), last, .. }) if last < Index(256));
    assert!(lags, "a log that is short, and begins behind what it has: {early:?}");
    cluster.snapshot_of(&[1, 2]);
    cluster.agree(301);
    same_outputs(&mut cluster);
    let promote = MemberChange::Promote(NodeId(4));
    while cluster.running.get_mut(&leader).unwrap().change_members(&promote).is_err() {
        cluster.tick();
    }
    cluster.define(302, 303);
    let lead = cluster.running.get_mut(&leader).unwrap();
    lead.change_members(&MemberChange::Remove(NodeId(3))).unwrap();
    cluster.define(304, 305);
    cluster.agree(305);
    let other = 3 - leader;
    cluster.stop(other);
    cluster.define(306, 310);
    cluster.agree(310);
}

#[test]
fn what_is_lost_or_damaged_on_the_way_is_asked_for_again() {
    let mut cluster = cluster("transfer-damaged");
    pass_by(&mut cluster, 3);
    cluster.network = |millis, _, mut outbound| {
        let is_transfer = outbound.bytes[1] >= 64;
        let fate = (millis.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) % 3;
        if is_transfer && fate == 0 {
            return None;
        }
        if is_transfer && fate == 1 {
            *outbound.bytes.last_mut().unwrap() ^= 1;
        }
        Some(outbound)
    };
    cluster.open(3);
    cluster.agree(301);
    same_outputs(&mut cluster);
}

#[test]
fn a_new_leader_in_the_middle_serves_too() {
    let mut cluster = cluster("transfer-leader");
    pass_by(&mut cluster, 3);
    // Nothing of the transfer arrives, until the lead has moved and the old leader takes no part.
    cluster.network = |_, _, outbound| (!(64..96).contains(&outbound.bytes[1])).then_some(outbound);
    cluster.open(3);
    let leader = cluster.leader();
    for _ in 0..100 {
        cluster.tick();
    }
    let other = 3 - leader;
    cluster.running.get_mut(&leader).unwrap().transfer_leader(NodeId(other)).unwrap();
    cluster.until("the other leads", |cluster| cluster.serving() == Some(other));
    cluster.stop(leader);
    cluster.network = |_, _, outbound| Some(outbound);
    cluster.agree(301);
    same_outputs(&mut cluster);
    cluster.define(302, 303);
    cluster.open(leader);
    cluster.agree(303);
}

#[test]
fn a_snapshot_that_goes_while_it_is_sent_makes_room_for_the_newest() {
    let mut cluster = cluster("transfer-gone");
    pass_by(&mut cluster, 3);
    cluster.network = |_, _, outbound| (!(64..96).contains(&outbound.bytes[1])).then_some(outbound);
    cluster.open(3);
    for _ in 0..100 {
        cluster.tick();
    }
    let leader = cluster.leader();
    let offered = snapshot_file::files(cluster.besides.get_mut(&leader).unwrap()).unwrap();
    for from in [302, 312] {
        cluster.define(from, from + 9);
        cluster.snapshot_of(&[1, 2]);
    }
    let kept = snapshot_file::files(cluster.besides.get_mut(&leader).unwrap()).unwrap();
    assert!(offered.iter().all(|file| !kept.contains(file)), "{offered:?} {kept:?}");
    cluster.network = |_, _, outbound| Some(outbound);
    cluster.agree(321);
    same_outputs(&mut cluster);
}

/// Nobody says what his state is any more: then no majority is known to have that of the newest snapshot, and it might be a wrong
/// one. The one before serves, also in a later life.
#[test]
fn a_snapshot_is_handed_on_once_a_majority_has_the_same() {
    for (name, is_later_life) in [("transfer-unverified", false), ("transfer-unverified-later", true)] {
        let mut cluster = cluster(name);
        pass_by(&mut cluster, 3);
        let verified = cluster.statuses().iter().map(|status| status.snapshot_index).max().unwrap();
        cluster.network = |_, _, outbound| (![100, 101].contains(&outbound.bytes[1])).then_some(outbound);
        cluster.define_further(302, 310);
        let nodes: Vec<u64> = cluster.running.keys().copied().collect();
        assert!(Some(cluster.snapshot()) > verified);
        if is_later_life {
            nodes.iter().for_each(|node| cluster.stop(*node));
            nodes.iter().for_each(|node| cluster.open(*node));
            cluster.leader();
        }
        settle(&mut cluster);
        cluster.open(3);
        cluster.agree(310);
        assert_eq!(cluster.running[&3].status().snapshot_index, verified);
        same_outputs(&mut cluster);
    }
}

#[test]
fn a_crash_at_any_operation_of_the_disk_ends_in_the_old_log_or_the_new() {
    let mut cluster = cluster("transfer-crash");
    pass_by(&mut cluster, 3);
    [1, 2].iter().for_each(|node| cluster.stop(*node));
    // All begin again each time: what a replica has acknowledged once it must not forget.
    let before =
        |node: u64| (cluster_folder("transfer-crash", node), cluster_folder("transfer-crash-before", node));
    for (folder, before) in [1, 2, 3].map(before) {
        copy(&folder, &before);
    }
    let folder = cluster.folder(3);
    let (mut old, mut new, mut begun_alone) = (0, 0, 0);
    for operations in 0.. {
        for (folder, before) in [1, 2, 3].map(before) {
            copy(&before, &folder);
        }
        [1, 2].iter().for_each(|node| cluster.open(*node));
        let leader = cluster.leader();
        cluster.agree(301);
        let at_most = cluster.millis + 20_000;
        if cluster.open_for(3, operations).is_ok() {
            while cluster.running.contains_key(&3)
                && !cluster.besides[&3].has_failed()
                && cluster.running[&3].status().seq_applied != cluster.running[&leader].status().seq_applied
            {
                assert!(cluster.millis < at_most, "{operations}: {:#?}", cluster.statuses());
                cluster.tick();
            }
            let done = cluster.besides.get(&3).is_some_and(|disk| !disk.has_failed());
            cluster.stop(3);
            if done {
                break;
            }
        }
        // What the crash has left is a log by itself, and goes on among the others.
        let begun = aside(&folder) == 0
            && std::fs::read_dir(folder.join("snap"))
                .unwrap()
                .any(|file| file.unwrap().path().extension().is_some_and(|extension| extension == "snap"));
        begun_alone += u32::from(begun);
        cluster.open(3);
        match cluster.running[&3].status().snapshot_index {
            None => old += 1,
            Some(_) => new += 1,
        }
        cluster.agree(301);
        same_outputs(&mut cluster);
        [1, 2, 3].iter().for_each(|node| cluster.stop(*node));
    }
    assert!(old > 10 && new > 3 && begun_alone > 0, "{old} {new} {begun_alone}");
}

/// The files that hold what was sent are spoiled in the middle, behind the back of the process.
fn spoil_outbox(cluster: &Cluster, node: u64) {
    for file in std::fs::read_dir(cluster.folder(node).join("outbox")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
        bytes[half..half + 600].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
    }
}

/// As a gateway reads them: on from what came, until all are there.
fn read_all(cluster: &mut Cluster, node: u64) -> Result<u64, OutboxFault> {
    let next_out = next_out(cluster, node);
    let replica = cluster.running.get_mut(&node).unwrap();
    let mut next = 1;
    while next < next_out {
        let read =
            replica.read_outbox(CLIENT, SessionEpoch(1), OutSeq(next), OutSeq(next_out - 1), 1 << 24)?;
        next = read.last().unwrap().output.unwrap().out_seq.0 + 1;
    }
    Ok(next)
}

#[test]
fn a_leader_that_cannot_read_its_outbox_gives_the_lead_to_one_that_can() {
    let mut cluster = cluster("transfer-unreadable");
    assert_eq!(cluster.leader(), 1);
    ask(&mut cluster, 40);
    settle(&mut cluster);
    let all = read_all(&mut cluster, 1).unwrap();
    // The next in the line cannot read its own either, and knows that already.
    for node in [1, 2] {
        spoil_outbox(&cluster, node);
        assert!(read_all(&mut cluster, node).is_err());
    }
    cluster.until("the third leads", |cluster| cluster.serving() == Some(3));
    let last_end = cluster.running[&1].status().elections.last_end;
    assert_eq!(last_end.map(|(_, why)| why), Some(LeadEnd::OutboxUnreadable));
    assert_eq!(read_all(&mut cluster, 3).unwrap(), all);

    // Where nobody can, the leader leads on: it takes orders, and is in nobody's way for more than a moment.
    spoil_outbox(&cluster, 3);
    assert!(read_all(&mut cluster, 3).is_err());
    (0..5_000).for_each(|_| cluster.tick());
    let given_away = cluster.running[&3].status().elections.given_away;
    assert_eq!((cluster.serving(), given_away), (Some(3), 2), "each of the others was asked once");
    (0..30_000).for_each(|_| cluster.tick());
    assert_eq!(cluster.running[&3].status().elections.given_away, given_away);
    cluster.define(2, 3);
}

/// One has lost what was sent in front of its log, another is away, and the log of the third is damaged: it gives outputs all the same.
#[test]
fn who_repairs_its_log_gives_the_outputs_that_only_it_has() {
    let mut cluster = cluster("transfer-repairing");
    pass_by(&mut cluster, 3);
    cluster.open(3);
    cluster.agree(301);
    cluster
        .until("a state with its outputs", |cluster| cluster.running[&3].status().outputs_to_come.is_none());
    stop_at_rest(&mut cluster, &[1, 2, 3]);
    let outbox = cluster.folder(3).join("outbox");
    std::fs::remove_dir_all(&outbox).unwrap();
    std::fs::create_dir(&outbox).unwrap();
    damage(&cluster.folder(1), 0, Part::Body);
    cluster.open(3);
    settle(&mut cluster);
    assert!(cluster.running[&3].status().outputs_to_come.is_some());
    // Nothing of the repair itself arrives.
    cluster.network = |_, _, outbound| (!(80..96).contains(&outbound.bytes[1])).then_some(outbound);
    cluster.open_or_repair(1).unwrap();
    same_outputs(&mut cluster);
    assert!(cluster.repairing.contains_key(&1) && cluster.running.len() == 1);
}

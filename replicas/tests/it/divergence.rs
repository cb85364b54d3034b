//! One engine, or two, that have gone wrong: a snapshot with another asset in it stands for a flipped bit in memory.

use journal::snapshot_file;
use protocol::commands::DefineAsset;
use protocol::hash::{Hash, blake3};
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::{AssetId, MonoNanos, NodeId, RequestNumber, Seq, SessionId, Text, wire};
use replicas::{HaltCause, Options, Outbound, ReplicaFault, SnapshotPolicy, StartFault};

use super::cluster::{Cluster, cluster_options, learner};
use super::{IDENTITY, define_assets, open_disk};

/// Numbers of claims in the codec: about effects, and about states.
const EFFECTS: [u8; 2] = [96, 97];
const STATES: [u8; 2] = [100, 101];
const KIND_AT: usize = 1;

/// Nobody hears of states: what is wrong has to show itself in effects.
fn without_states(_: u64, _: NodeId, outbound: Outbound) -> Option<Outbound> {
    (!STATES.contains(&outbound.bytes[KIND_AT])).then_some(outbound)
}

fn drawn(millis: u64, from: NodeId, outbound: &Outbound) -> u64 {
    (millis << 8 | from.0 << 4 | outbound.to.0).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}

/// The newest snapshot of `node`, which is down, says that asset `number` has another scale.
fn doctor(cluster: &Cluster, node: u64, number: u32) {
    let mut disk = open_disk(&cluster.folder(node));
    let file = snapshot_file::files(&mut disk).unwrap().remove(0);
    let (header, mut state) = snapshot_file::load(&mut disk, &file).unwrap();
    let encoded = |scale| {
        let code = Text::new(format!("A{number}")).unwrap();
        let mut bytes = Vec::new();
        wire::encode(&DefineAsset { asset: AssetId(number), code, scale }.into(), &mut bytes);
        bytes
    };
    let (right, wrong) = (encoded(2), encoded(3));
    let at = state.windows(right.len()).position(|bytes| bytes == right).unwrap();
    state[at..][..wrong.len()].copy_from_slice(&wrong);
    let header = snapshot_file::SnapshotHeader { state_hash: blake3(&[&state]), ..header };
    snapshot_file::store(&mut disk, &header, &state, header.index).unwrap();
}

/// A cluster that knows assets 1 to 20, and takes snapshots when a test says so.
fn with_assets(name: &'static str, nodes: &[u64]) -> Cluster {
    let snapshots = SnapshotPolicy { journal_bytes: 1, interval_ms: 0 };
    let mut cluster = Cluster::with_options(name, nodes, Options { snapshots, ..cluster_options() });
    cluster.define(1, 20);
    cluster
}

/// A cluster in which `wrong` start again from doctored snapshots, each with its asset.
fn with_wrong(name: &'static str, nodes: &[u64], wrong: &[(u64, u32)]) -> Cluster {
    let mut cluster = with_assets(name, nodes);
    cluster.agree(20);
    cluster.snapshot();
    wrong.iter().for_each(|(node, _)| cluster.stop(*node));
    for (node, asset) in wrong {
        doctor(&cluster, *node, *asset);
    }
    cluster.network = without_states;
    wrong.iter().for_each(|(node, _)| cluster.open(*node));
    cluster
}

/// Something whose effects show which assets are known.
fn touch(cluster: &mut Cluster, leader: u64, request: u32) {
    let sequencer = cluster.running.get_mut(&leader).unwrap().sequencer();
    for (asset, request) in [(5, request), (6, request + 1)] {
        let request = RequestNumber(u64::from(request));
        let header = RecordHeader { session: SessionId::OPERATOR, request, ..Default::default() };
        let define =
            DefineAsset { asset: AssetId(asset), code: Text::new(format!("A{asset}")).unwrap(), scale: 2 };
        sequencer.submit(&header, MonoNanos(0), &define.into()).unwrap();
    }
}

fn until_quarantined(cluster: &mut Cluster, nodes: &[u64]) {
    let mut request = 1_000;
    for _ in 0..2_000 {
        if nodes.iter().all(|node| cluster.ended.contains_key(node)) {
            break;
        }
        if let Some(leader) = cluster.serving() {
            touch(cluster, leader, request);
            request += 2;
        }
        (0..5).for_each(|_| cluster.tick());
    }
    for node in nodes {
        let Some(ReplicaFault::Quarantined { node: named, quarantine, unwritten: None }) =
            cluster.ended.get(node)
        else {
            panic!("node {node}: {:?} of {:#?}", cluster.ended, cluster.statuses());
        };
        assert_eq!((named.0, quarantine.part.as_str()), (*node, "registry"), "{quarantine:?}");
        assert_ne!(quarantine.ours, quarantine.theirs);
        let quarantine = quarantine.clone();
        // A restart does not bring it back.
        let again = cluster.open_for(*node, u64::MAX).unwrap_err();
        assert!(matches!(again, StartFault::Quarantined(kept) if kept == quarantine));
    }
    let more = request;
    cluster.define_further(more, more + 20);
    let statuses = cluster.statuses();
    assert!(statuses.iter().all(|status| status.halted.is_none()), "{statuses:#?}");
}

#[test]
fn a_follower_that_went_wrong_is_quarantined_and_the_others_go_on() {
    let mut cluster = with_wrong("wrong-follower", &[1, 2, 3], &[(3, 5)]);
    until_quarantined(&mut cluster, &[3]);
    assert_eq!(cluster.ended.len(), 1);
    assert_eq!(cluster.serving(), Some(1), "the lead did not move");
}

#[test]
fn a_leader_that_went_wrong_is_quarantined_and_what_it_recorded_is_outvoted_for_ever() {
    let mut cluster = with_wrong("wrong-leader", &[1, 2, 3], &[(1, 5)]);
    let leader = cluster.leader();
    if leader != 1 {
        cluster.until("it catches up", |c| c.statuses().iter().all(|s| s.index_applied == s.index_last));
        cluster.running.get_mut(&leader).unwrap().transfer_leader(NodeId(1)).unwrap();
        cluster.until("it leads", |c| c.serving() == Some(1));
    }
    until_quarantined(&mut cluster, &[1]);
    assert_eq!(cluster.ended.len(), 1);
    // What stands in the log was settled once, and whoever starts again is not in doubt over it: alone, it could ask nobody.
    for node in [2, 3] {
        cluster.stop(node);
    }
    let claims_nothing = |_: u64, _: NodeId, outbound: Outbound| {
        let is_about = [EFFECTS, STATES].concat().contains(&outbound.bytes[KIND_AT]);
        (!is_about).then_some(outbound)
    };
    cluster.network = claims_nothing;
    for node in [2, 3] {
        cluster.open(node);
    }
    cluster.until("both run over it", |c| c.statuses().iter().all(|s| s.index_applied == s.index_last));
    cluster.leader();
}

#[test]
fn without_a_majority_all_stand_still() {
    let mut cluster = with_wrong("no-majority", &[1, 2, 3], &[(2, 5), (3, 6)]);
    let leader = cluster.leader();
    touch(&mut cluster, leader, 1_000);
    touch(&mut cluster, leader, 1_002);
    cluster.until("all stand", |c| c.statuses().iter().all(|status| status.halted.is_some()));
    let applied: Vec<Seq> = cluster.statuses().iter().map(|status| status.seq_applied).collect();
    for _ in 0..3_000 {
        cluster.tick();
        assert_eq!(cluster.serving(), None);
    }
    let statuses = cluster.statuses();
    assert_eq!(applied, statuses.iter().map(|status| status.seq_applied).collect::<Vec<_>>());
    for status in &statuses {
        assert!(matches!(status.halted.as_ref().unwrap().cause, HaltCause::Differs { .. }), "{status:#?}");
    }
    assert!(cluster.ended.is_empty(), "nobody knows who is wrong");
}

#[test]
fn two_of_five_that_went_wrong_alike_are_quarantined() {
    let mut cluster = with_wrong("two-of-five", &[1, 2, 3, 4, 5], &[(4, 5), (5, 5)]);
    until_quarantined(&mut cluster, &[4, 5]);
    assert_eq!(cluster.ended.len(), 2);
}

#[test]
fn a_doubt_waits_for_who_is_away_and_for_messages_that_are_lost() {
    let mut cluster = with_wrong("away", &[1, 2, 3], &[(3, 5)]);
    cluster.until("everybody is there", |c| c.statuses().iter().all(|s| s.index_applied == s.index_last));
    cluster.stop(2);
    let leader = cluster.leader();
    // Other numbers than what follows: those of a repetition are answered and not executed.
    touch(&mut cluster, leader, 900);
    touch(&mut cluster, leader, 902);
    cluster.until("two stand", |c| c.statuses().iter().all(|status| status.halted.is_some()));
    assert!(cluster.ended.is_empty());
    // The third has not come to that seq yet when it is asked, and half of what is said is lost.
    cluster.network = |millis, from, outbound| {
        let chance = drawn(millis, from, &outbound);
        let is_lost = EFFECTS.contains(&outbound.bytes[KIND_AT]) && !chance.is_multiple_of(2);
        without_states(millis, from, outbound).filter(|_| !is_lost)
    };
    cluster.open(2);
    until_quarantined(&mut cluster, &[3]);
}

#[test]
fn what_a_majority_has_is_known_to_be_verified() {
    let mut cluster = Cluster::new("verified", &[1, 2, 3]);
    cluster.define(1, 50);
    cluster.agree(50);
    let applied = cluster.statuses()[0].seq_applied;
    cluster.until("verified", |c| c.statuses().iter().all(|status| status.seq_verified == applied));
    // Also by one that starts when nobody has anything new to say.
    cluster.stop(3);
    cluster.open(3);
    cluster.until("verified again", |c| c.running[&3].status().seq_verified == applied);
    cluster.stop(2);
    cluster.stop(3);
    define_assets(cluster.running.get_mut(&1).unwrap(), 51, 51);
    (0..400).for_each(|_| cluster.tick());
    assert_eq!(cluster.statuses()[0].seq_verified, applied, "one is no majority");
    assert_ne!(cluster.statuses()[0].effect_hash, Hash::ZERO);
}

#[test]
fn a_state_that_differs_is_found_although_it_has_had_no_effect() {
    let mut cluster = with_wrong("wrong-state", &[1, 2, 3], &[(3, 5)]);
    // Half of what is said about it is lost.
    cluster.network = |millis, from, outbound| {
        let is_lost =
            STATES.contains(&outbound.bytes[KIND_AT]) && drawn(millis, from, &outbound).is_multiple_of(2);
        (!is_lost).then_some(outbound)
    };
    cluster.define(21, 22);
    assert!(cluster.ended.is_empty(), "nothing has shown itself");
    cluster.snapshot();
    cluster.until("it ends", |cluster| cluster.ended.contains_key(&3));
    let Some(ReplicaFault::Quarantined { quarantine, unwritten: None, .. }) = cluster.ended.get(&3) else {
        panic!("{:?}", cluster.ended);
    };
    assert_eq!(quarantine.part, "registry", "{quarantine:?}");
    cluster.define(23, 30);
    let statuses = cluster.statuses();
    assert!(statuses.iter().all(|status| status.halted.is_none()), "{statuses:#?}");
}

#[test]
fn without_a_majority_for_a_state_all_stand_still() {
    let mut cluster = with_wrong("no-state", &[1, 2, 3], &[(2, 5), (3, 6)]);
    cluster.define(21, 22);
    cluster.snapshot();
    cluster.network = |_, _, outbound| Some(outbound);
    cluster.until("all stand", |c| c.statuses().iter().all(|status| status.halted.is_some()));
    for status in cluster.statuses() {
        let cause = status.halted.unwrap().cause;
        assert!(matches!(cause, HaltCause::StateDiffers { .. }), "{cause:?}");
    }
    for _ in 0..3_000 {
        cluster.tick();
        assert_eq!(cluster.serving(), None);
    }
    assert!(cluster.ended.is_empty(), "nobody knows who is wrong");
}

/// It has no vote: it is told of once, and nobody stands still or speaks because of it any more.
#[test]
fn a_learner_whose_state_differs_is_quarantined_and_keeps_nobody_busy() {
    let mut cluster = with_assets("wrong-learner", &[1, 2, 3]);
    cluster.create(4);
    let leader = cluster.leader();
    cluster.running.get_mut(&leader).unwrap().change_members(&learner(4)).unwrap();
    cluster.agree(20);
    cluster.snapshot();
    (0..300).for_each(|_| cluster.tick());
    cluster.stop(4);
    doctor(&cluster, 4, 5);
    cluster.open(4);
    cluster.define(21, 22);
    cluster.snapshot();
    cluster.until("it ends", |cluster| cluster.ended.contains_key(&4));
    cluster.define(23, 30);
    cluster.network = |_, _, outbound| {
        assert!(!STATES.contains(&outbound.bytes[KIND_AT]), "a state that is settled is spoken of");
        Some(outbound)
    };
    (0..300).for_each(|_| cluster.tick());
    assert_eq!(cluster.ended.len(), 1);
}

#[test]
fn snapshots_of_one_checkpoint_are_the_same_bytes_everywhere_and_are_handed_on_once_a_majority_has_them() {
    let mut cluster = with_assets("same-snapshots", &[1, 2, 3]);
    cluster.agree(20);
    for more in [40, 60, 80] {
        let index = cluster.snapshot();
        let bytes = |node| {
            let file = snapshot_file::file(IDENTITY.epoch, index);
            std::fs::read(cluster.folder(node).join("snap").join(&*file.name)).unwrap()
        };
        let [one, two, three] = [1, 2, 3].map(bytes);
        assert!(one == two && two == three, "of entry {index}");
        cluster.define(more - 19, more);
        cluster.agree(more as usize);
    }
}

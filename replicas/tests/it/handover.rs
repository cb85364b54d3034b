//! A leader that cannot do its work gives the lead to somebody who can.

use replicas::Role;

use crate::cluster::Cluster;
use crate::crashing::Mood;
use crate::define_assets;

/// The leader takes definitions, one batch after the other, until there is no room for more.
fn fill(cluster: &mut Cluster, leader: u64) {
    let (mut next, deadline) = (11, cluster.millis + 30_000);
    while cluster.running[&leader].status().read_only.is_none() {
        let status = cluster.running[&leader].status();
        if status.serving && status.index_applied == status.index_last {
            define_assets(cluster.running.get_mut(&leader).unwrap(), next, next + 9);
            next += 10;
        }
        assert!(cluster.millis < deadline, "{:#?}", cluster.statuses());
        cluster.tick();
    }
}

#[test]
fn a_leader_without_room_gives_the_lead_to_one_that_has_some() {
    let mut cluster = Cluster::new("no-room", &[1, 2, 3]);
    cluster.define(1, 10);
    assert_eq!(cluster.leader(), 1);
    // The second would be the next, and has no room either.
    for node in [1, 2] {
        cluster.besides[&node].set_mood(Mood::Full);
    }
    fill(&mut cluster, 1);
    cluster.until("another leads", |cluster| cluster.serving() == Some(3));
    cluster.define(50_001, 50_010);
}

#[test]
fn a_leader_whose_disk_hangs_gives_the_lead_away() {
    let mut cluster = Cluster::new("hangs", &[1, 2, 3]);
    cluster.define(1, 10);
    assert_eq!(cluster.leader(), 1);
    cluster.besides[&1].set_mood(Mood::Hangs);
    define_assets(cluster.running.get_mut(&1).unwrap(), 11, 20);
    cluster.until("another leads", |cluster| cluster.serving().is_some_and(|leader| leader != 1));
    cluster.besides[&1].set_mood(Mood::Well);
    cluster.define(21, 30);
}

/// The loop and the thread that writes stand still together: the disk is not to blame.
#[test]
fn a_process_that_stood_still_does_not_take_its_disk_for_one_that_hangs() {
    let mut cluster = Cluster::new("stood-still", &[1, 2, 3]);
    cluster.define(1, 10);
    let leader = cluster.leader();
    cluster.besides[&leader].set_mood(Mood::Hangs);
    define_assets(cluster.running.get_mut(&leader).unwrap(), 11, 20);
    cluster.tick();
    assert!(cluster.running[&leader].status().writing_since.is_some());
    cluster.millis += 5_000;
    (0..3).for_each(|_| cluster.tick());
    cluster.besides[&leader].set_mood(Mood::Well);
    cluster.until("it is answered", |cluster| cluster.running[&leader].status().writing_since.is_none());
    assert_eq!(cluster.running[&leader].status().role, Role::Leader);
    cluster.define(21, 30);
}

//! A leader that cannot do its work gives the lead to somebody who can.

use protocol::{NodeId, Term};
use replicas::{LeadEnd, MemberChange, Options, Role, Timing};

use crate::cluster::{Cluster, cluster_options, learner};
use crate::crashing::Mood;
use crate::define_assets;

/// The kinds of the messages that tell a follower to take the lead, and that a leader lives.
const TIMEOUT_NOW: u8 = 14;
const HEARTBEAT: u8 = 8;

/// Why the last lead of `node` has ended.
fn ended(cluster: &Cluster, node: u64) -> Option<LeadEnd> {
    Some(cluster.running[&node].status().elections.last_end?.1)
}

/// The leader takes definitions, one batch after the other, until it is full.
fn fill(cluster: &mut Cluster, leader: u64, is_full: impl Fn(&Cluster) -> bool) {
    let (mut next, deadline) = (11, cluster.millis + 30_000);
    while !is_full(cluster) {
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
    fill(&mut cluster, 1, |cluster| cluster.running[&1].status().read_only.is_some());
    cluster.until("another leads", |cluster| cluster.serving() == Some(3));
    assert_eq!(ended(&cluster, 1), Some(LeadEnd::NoRoom));
    cluster.define(50_001, 50_010);
}

/// Found by worlds with long segments: a leader waited for one for ever, on a disk that had hung while it was made. It wrote nothing,
/// so that no write was late, and its heartbeats went on.
#[test]
fn a_leader_that_waits_too_long_for_a_segment_gives_the_lead_away() {
    let mut cluster = Cluster::new("no-segment", &[1, 2, 3]);
    cluster.define(1, 10);
    assert_eq!(cluster.leader(), 1);
    cluster.besides[&1].set_mood(Mood::MakesNoSegment);
    fill(&mut cluster, 1, |cluster| {
        let status = cluster.running[&1].status();
        !status.serving && status.spares_ready == 0
    });
    assert!(cluster.running[&1].status().read_only.is_none(), "nothing has failed");
    let since = cluster.millis;
    cluster.until("another leads", |cluster| cluster.serving().is_some_and(|leader| leader != 1));
    assert!(cluster.millis - since >= Timing::LAN.stall_abort_ms, "a moment is no reason");
    assert_eq!(ended(&cluster, 1), Some(LeadEnd::NoRoom));
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
    let term = cluster.running[&1].status().term;
    cluster.besides[&1].set_mood(Mood::Well);
    cluster.define(21, 30);
    let elections = cluster.running[&1].status().elections;
    assert_eq!(elections.last_end, Some((Term(term.0 - 1), LeadEnd::DiskSilent)));
    assert_eq!((elections.given_away, elections.ends.iter().sum::<u64>()), (1, 1));
    let lines: Vec<String> =
        cluster.running.get_mut(&1).unwrap().take_raft_log().into_iter().map(|line| line.text).collect();
    for said in ["is offered to node 2: its disk did not", "leads no more in term"] {
        assert!(lines.iter().any(|line| line.contains(said)), "{lines:#?}");
    }
}

/// Whoever waited for a disk that hangs could not give the lead away.
#[test]
fn who_is_alone_waits_for_its_disk_and_who_has_others_does_not() {
    let mut cluster = Cluster::with_options("waits", &[1], cluster_options());
    let awaited = |cluster: &Cluster| cluster.besides[&1].last_was_awaited();
    cluster.define(1, 1);
    assert!(awaited(&cluster));
    cluster.define(2, 200);
    assert!(!awaited(&cluster), "a block of several pages takes long enough for a thread of its own");
    cluster.define(201, 201);
    assert!(awaited(&cluster));
    cluster.create(2);
    cluster.running.get_mut(&1).unwrap().change_members(&learner(2)).unwrap();
    cluster.until("it follows", |cluster| cluster.running[&2].engine().definitions().len() == 202);
    cluster.define(202, 202);
    assert!(!awaited(&cluster));
}

/// Where nodes share a disk, what stalls it for a moment is no reason to let the lead go.
#[test]
fn how_long_a_disk_may_hang_is_a_matter_of_the_profile() {
    let options = Options { timing: Timing::CI, ..cluster_options() };
    let mut cluster = Cluster::with_options("hangs-ci", &[1, 2, 3], options);
    cluster.define(1, 10);
    assert_eq!(cluster.leader(), 1);
    cluster.besides[&1].set_mood(Mood::Hangs);
    define_assets(cluster.running.get_mut(&1).unwrap(), 11, 20);
    (0..Timing::CI.stall_transfer_ms - 10).for_each(|_| cluster.tick());
    assert_eq!(cluster.running[&1].status().elections.given_away, 0);
    cluster.until("another leads", |cluster| cluster.serving().is_some_and(|leader| leader != 1));
    cluster.besides[&1].set_mood(Mood::Well);
    cluster.define(21, 30);
    assert_eq!(ended(&cluster, 1), Some(LeadEnd::DiskSilent));
}

#[test]
fn a_leader_says_why_it_leads_no_more() {
    let mut cluster = Cluster::new("why-no-more", &[1, 2, 3]);
    cluster.define(1, 10);
    assert_eq!((cluster.leader(), ended(&cluster, 1)), (1, None));
    cluster.running.get_mut(&1).unwrap().transfer_leader(NodeId(2)).unwrap();
    cluster.until("the order is carried out", |cluster| cluster.serving() == Some(2));
    assert_eq!(ended(&cluster, 1), Some(LeadEnd::Ordered));
    assert_eq!(cluster.running[&1].status().elections.given_away, 0, "that is for reasons of its own");

    // An order that does not come about is not to blame for what comes later.
    cluster.network = |_, _, outbound| (outbound.bytes[1] != TIMEOUT_NOW).then_some(outbound);
    cluster.running.get_mut(&2).unwrap().transfer_leader(NodeId(1)).unwrap();
    (0..500).for_each(|_| cluster.tick());
    assert_eq!(cluster.serving(), Some(2));
    for node in [1, 3] {
        cluster.stop(node);
    }
    cluster.until("it is alone", |cluster| cluster.serving().is_none());
    assert_eq!(ended(&cluster, 2), Some(LeadEnd::QuorumSilent));
}

#[test]
fn a_leader_that_nobody_hears_learns_of_the_next_by_its_term() {
    let mut cluster = Cluster::new("why-term", &[1, 2, 3]);
    cluster.define(1, 10);
    assert_eq!(cluster.leader(), 1);
    // It hears the others, who do not hear it; but for its votes.
    cluster.network =
        |_, from, outbound| (from != NodeId(1) || outbound.bytes[1] != HEARTBEAT).then_some(outbound);
    cluster.until("another leads", |cluster| cluster.serving().is_some_and(|leader| leader != 1));
    assert_eq!(ended(&cluster, 1), Some(LeadEnd::HigherTerm));
}

/// The leader that was ordered to remove another ends before it has done so; that other one leads next, and finds the order in its log.
#[test]
fn a_leader_that_removes_itself_says_so() {
    let mut cluster = Cluster::new("why-member", &[1, 2, 3]);
    cluster.define(1, 10);
    assert_eq!(cluster.leader(), 1);
    // Nobody answers, so that it stays an order.
    cluster.network = |_, _, outbound| (outbound.to != NodeId(1)).then_some(outbound);
    cluster.running.get_mut(&1).unwrap().change_members(&MemberChange::Remove(NodeId(2))).unwrap();
    let has_order = |cluster: &Cluster| {
        let last = |node: u64| cluster.running[&node].status().index_durable;
        last(1) == last(2) && last(2) == last(3) && last(2) > cluster.running[&2].status().index_committed
    };
    cluster.until("all have the order", has_order);
    cluster.stop(1);
    cluster.network = |_, _, outbound| Some(outbound);
    cluster.until("the other leads no more", |cluster| ended(cluster, 2).is_some());
    assert_eq!(ended(&cluster, 2), Some(LeadEnd::NotAMember));
    cluster.open(1);
    cluster.until("another leads", |cluster| cluster.serving().is_some_and(|leader| leader != 2));
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

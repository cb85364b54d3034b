//! Linearizable reads on the leader, on followers, and where nobody can confirm them.

use protocol::{Field, Index, NodeId};
use replicas::{Outbound, ReadRefusal, ReadTicket, Role};

use super::cluster::Cluster;

/// Raft's number of a question, and of its answer.
const QUESTION: u8 = 15;
const ANSWER: u8 = 16;
const KIND_AT: usize = 1;
const TO_AT: usize = 24;

fn ask(cluster: &mut Cluster, node: u64) -> Result<ReadTicket, ReadRefusal> {
    cluster.running.get_mut(&node).unwrap().ask_read()
}

fn answer(cluster: &mut Cluster, node: u64, ticket: ReadTicket) -> Result<Index, ReadRefusal> {
    loop {
        if let Some(answer) = cluster.running.get_mut(&node).unwrap().take_read(ticket) {
            return answer;
        }
        cluster.tick();
    }
}

fn read(cluster: &mut Cluster, node: u64) -> Result<Index, ReadRefusal> {
    let ticket = ask(cluster, node)?;
    answer(cluster, node, ticket)
}

fn cut_off_1(_: u64, from: NodeId, outbound: Outbound) -> Option<Outbound> {
    (from.0 != 1 && outbound.to.0 != 1).then_some(outbound)
}

#[test]
fn what_was_acknowledged_is_read_on_every_replica() {
    let mut cluster = Cluster::new("reads", &[1, 2, 3]);
    for n in 1..=20 {
        cluster.define(n, n);
        let committed = cluster.running[&1].status().index_applied;
        for node in [1, 2, 3] {
            let index = read(&mut cluster, node).unwrap();
            assert!(index >= committed, "node {node} answers at {index}, {committed} was acknowledged");
            let known = cluster.running[&node].engine().definitions().len();
            assert!(known > usize::try_from(n).unwrap(), "node {node} knows {known} definitions");
        }
    }
    // Many at once share rounds, and each is answered once.
    let tickets: Vec<_> = (0..100).map(|_| ask(&mut cluster, 2).unwrap()).collect();
    for ticket in tickets {
        answer(&mut cluster, 2, ticket).unwrap();
        let again = cluster.running.get_mut(&2).unwrap().take_read(ticket);
        assert_eq!(again, Some(Err(ReadRefusal::TooLate)), "it was answered");
    }
}

#[test]
fn a_ticket_is_shared_until_its_round_begins() {
    let mut cluster = Cluster::new("shared", &[1, 2, 3]);
    cluster.define(1, 1);
    for node in [1, 2] {
        let first = ask(&mut cluster, node).unwrap();
        assert!(cluster.running[&node].may_share(first));
        // Nobody hears of the round that begins now.
        cluster.network = |_, _, _| None;
        cluster.tick();
        assert!(!cluster.running[&node].may_share(first), "who asks now is not in that round");
        let second = ask(&mut cluster, node).unwrap();
        cluster.tick();
        assert!(cluster.running[&node].may_share(second), "a round is under way still");
        cluster.network = |_, _, outbound| Some(outbound);
        answer(&mut cluster, node, first).unwrap();
        answer(&mut cluster, node, second).unwrap();
        assert!(!cluster.running[&node].may_share(second), "it was answered");
    }
}

#[test]
fn a_leader_that_was_cut_off_answers_nothing_that_others_have_overtaken() {
    let mut cluster = Cluster::new("cut-off", &[1, 2, 3]);
    cluster.define(1, 10);
    cluster.agree(10);
    cluster.network = cut_off_1;
    // The old leader does not know yet, and leads on for a while.
    assert_eq!(cluster.running[&1].status().role, Role::Leader);
    let early = ask(&mut cluster, 1).unwrap();
    cluster.until("another serves", |c| [2, 3].iter().any(|node| c.running[node].serving()));
    let late = ask(&mut cluster, 1);
    let new = if cluster.running[&2].serving() { 2 } else { 3 };
    super::define_assets(cluster.running.get_mut(&new).unwrap(), 11, 11);
    cluster.until("it is acknowledged", |c| c.running[&new].engine().definitions().len() == 12);
    let refused = [ReadRefusal::LeadMoved, ReadRefusal::NoLeader, ReadRefusal::TooLate];
    let early = answer(&mut cluster, 1, early).unwrap_err();
    assert!(refused.contains(&early), "{early}");
    let late = late.and_then(|ticket| answer(&mut cluster, 1, ticket)).unwrap_err();
    assert!(refused.contains(&late), "{late}");
    cluster.network = |_, _, outbound| Some(outbound);
    cluster.agree(11);
    read(&mut cluster, 1).unwrap();
    assert_eq!(cluster.running[&1].engine().definitions().len(), 12);
}

#[test]
fn open_questions_are_bounded_and_none_stays_open() {
    let mut cluster = Cluster::new("bounded-reads", &[1, 2, 3]);
    cluster.define(1, 2);
    cluster.network = |_, _, outbound| (outbound.bytes[KIND_AT] != ANSWER).then_some(outbound);
    let tickets: Vec<_> = std::iter::from_fn(|| ask(&mut cluster, 3).ok()).take(10_000).collect();
    assert_eq!(tickets.len(), 256);
    assert_eq!(ask(&mut cluster, 3), Err(ReadRefusal::Busy));
    for ticket in &tickets[1..] {
        assert_eq!(answer(&mut cluster, 3, *ticket), Err(ReadRefusal::TooLate), "no answer arrives");
    }
    // Whoever does not fetch an answer keeps no place for ever.
    cluster.network = |_, _, outbound| Some(outbound);
    let deadline = cluster.millis + 10_000;
    while cluster.millis < deadline {
        cluster.tick();
    }
    let tickets: Vec<_> = std::iter::from_fn(|| ask(&mut cluster, 3).ok()).take(10_000).collect();
    assert_eq!(tickets.len(), 256, "all places are free");
    for ticket in tickets {
        answer(&mut cluster, 3, ticket).unwrap();
    }
}

#[test]
fn a_question_is_said_again_when_it_is_lost() {
    let mut cluster = Cluster::new("lost-reads", &[1, 2, 3]);
    cluster.define(1, 2);
    cluster.network = |millis, from, outbound| {
        let is_read = [QUESTION, ANSWER].contains(&outbound.bytes[KIND_AT]);
        let chance = (millis << 8 | from.0).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        (!is_read || chance.is_multiple_of(2)).then_some(outbound)
    };
    for _ in 0..20 {
        read(&mut cluster, 2).unwrap();
        (0..13).for_each(|_| cluster.tick());
    }
}

#[test]
fn who_does_not_lead_refuses_the_question_of_another() {
    let mut cluster = Cluster::new("misdirected", &[1, 2, 3]);
    cluster.define(1, 2);
    cluster.agree(2);
    let ticket = ask(&mut cluster, 3).unwrap();
    cluster.network = |_, _, mut outbound| {
        if outbound.bytes[KIND_AT] == QUESTION {
            outbound.to = NodeId(2);
            outbound.bytes[TO_AT..][..8].copy_from_slice(&2_u64.to_le_bytes());
            assert_eq!(outbound.bytes.u64_at(TO_AT), 2);
        }
        Some(outbound)
    };
    assert_eq!(answer(&mut cluster, 3, ticket), Err(ReadRefusal::LeadMoved));
}

#[test]
fn without_a_leader_a_question_is_refused_at_once() {
    let mut cluster = Cluster::new("leaderless-reads", &[1, 2, 3]);
    assert_eq!(ask(&mut cluster, 2), Err(ReadRefusal::NoLeader));
    cluster.define(1, 2);
    let ticket = ask(&mut cluster, 2).unwrap();
    cluster.stop(1);
    cluster.stop(3);
    let refused = answer(&mut cluster, 2, ticket).unwrap_err();
    assert!([ReadRefusal::LeadMoved, ReadRefusal::NoLeader].contains(&refused), "{refused}");
}

//! One clock is wrong, or nobody can say which: what stands in the log, and who leads.

use protocol::hash::crc32c;
use protocol::{Field, MonoNanos, NodeId, UnixNanos};
use replicas::{ClockAlarm, ClusterRefusal, LeadEnd, Now, Role};

use super::cluster::Cluster;

const HOUR_MS: i64 = 3_600_000;
/// What a record may be ahead of the truth: the error of a right clock, and the way of an answer.
const BOUND_MS: u64 = 150;
/// The kind of the message that tells a follower to take the lead, of a question about a clock, and of the answer.
const TIMEOUT_NOW: u8 = 14;
const ASK: u8 = 98;
const ANSWER: u8 = 99;

impl Cluster {
    /// The newest record that anybody has is not ahead of the truth.
    fn assert_log_is_not_ahead(&self) {
        for status in self.statuses() {
            let bound = UnixNanos((self.millis + BOUND_MS) * 1_000_000);
            assert!(status.time_applied <= bound, "{:?} at {} ms", status.time_applied, self.millis);
        }
    }

    fn alarm(&self, node: u64) -> Option<ClockAlarm> {
        self.running[&node].status().clock.alarm
    }

    fn pass_s(&mut self, seconds: u64) {
        (0..1_000 * seconds).for_each(|_| self.tick());
    }
}

#[test]
fn a_leader_whose_clock_jumps_ahead_poisons_nothing_and_gives_the_lead_away() {
    let mut cluster = Cluster::new("clock-ahead", &[1, 2, 3]);
    assert_eq!(cluster.leader(), 1);
    cluster.define(1, 8);
    // Not so far that somebody else had better lead.
    cluster.ahead_ms.insert(1, 300);
    cluster.define_further(9, 10);
    assert_eq!((cluster.serving(), cluster.alarm(1)), (Some(1), None));
    cluster.assert_log_is_not_ahead();
    cluster.ahead_ms.insert(1, HOUR_MS);
    // Nobody is told to take the lead, and it leads on between its attempts.
    cluster.network = |_, _, outbound| (outbound.bytes[1] != TIMEOUT_NOW).then_some(outbound);
    cluster.pass_s(1);
    cluster.define_further(11, 12);
    cluster.assert_log_is_not_ahead();
    assert_eq!(cluster.serving(), Some(1));
    assert!(cluster.running[&1].status().elections.given_away > 0);
    cluster.network = |_, _, outbound| Some(outbound);
    cluster.until("the lead moves", |c| c.serving().is_some_and(|leader| leader != 1));
    assert!(
        matches!(cluster.alarm(1), Some(ClockAlarm::Outside { ahead_ns }) if ahead_ns > 3_000_000_000_000)
    );
    let why = |cluster: &Cluster| cluster.running[&1].status().elections.last_end.map(|(_, why)| why);
    assert_eq!(why(&cluster), Some(LeadEnd::ClockOutside));
    cluster.define_further(13, 20);
    cluster.assert_log_is_not_ahead();

    // It takes no lead while its clock is wrong, neither when it is given to it nor when there is no leader.
    let leader = cluster.serving().unwrap();
    let given = cluster.running.get_mut(&leader).unwrap().transfer_leader(NodeId(1));
    assert_eq!(given, Err(ClusterRefusal::WrongClock(NodeId(1))));
    cluster.stop(leader);
    let next = cluster.leader();
    assert_ne!(next, 1, "the other one stands for election, and the first votes");
    cluster.define_further(21, 22);
    cluster.assert_log_is_not_ahead();

    cluster.ahead_ms.insert(1, 0);
    cluster.open(leader);
    cluster.until("the alarm ends", |c| c.alarm(1).is_none());
    // The others ask it once more.
    cluster.pass_s(1);
    cluster.running.get_mut(&next).unwrap().transfer_leader(NodeId(1)).unwrap();
    cluster.until("it leads again", |c| c.serving() == Some(1));
    cluster.agree(22);
}

#[test]
fn a_clock_behind_does_not_hold_the_time_up() {
    let mut cluster = Cluster::new("clock-behind", &[1, 2, 3]);
    cluster.pass_s(10);
    assert_eq!(cluster.leader(), 1);
    cluster.ahead_ms.insert(1, -300);
    cluster.define(1, 2);
    let newest = cluster.running[&1].status().time_applied;
    assert!(newest.plus((BOUND_MS + 50) * 1_000_000).0 >= cluster.millis * 1_000_000, "{newest}");
    cluster.ahead_ms.insert(1, -5_000);
    cluster.until("the lead moves", |c| c.serving().is_some_and(|leader| leader != 1));
    assert!(matches!(cluster.alarm(1), Some(ClockAlarm::Outside { ahead_ns }) if ahead_ns < 0));
}

#[test]
fn without_a_majority_of_clocks_a_leader_leads_for_a_minute_by_what_it_knew() {
    let mut cluster = Cluster::new("clock-no-quorum", &[1, 2, 3]);
    cluster.define(1, 10);
    cluster.stop(3);
    cluster.pass_s(12);
    assert_eq!((cluster.serving(), cluster.alarm(1)), (Some(1), None), "two clocks agree");
    // Nobody can tell which of the two is wrong, but the leader's has not jumped against its own monotone clock.
    cluster.ahead_ms.insert(2, HOUR_MS);
    cluster.pass_s(6);
    assert!(matches!(cluster.alarm(1), Some(ClockAlarm::NoQuorum { .. })), "{:?}", cluster.alarm(1));
    assert!(matches!(cluster.alarm(2), Some(ClockAlarm::Outside { .. })), "{:?}", cluster.alarm(2));
    cluster.pass_s(50);
    cluster.define(11, 12);
    cluster.assert_log_is_not_ahead();
    assert_eq!(cluster.serving(), Some(1));
    cluster.pass_s(6);
    let roles: Vec<_> = cluster.statuses().iter().map(|status| status.role).collect();
    assert_eq!(roles, [Role::Follower, Role::Follower], "a minute is over");
    let why = cluster.running[&1].status().elections.last_end.map(|(_, why)| why);
    assert_eq!(why, Some(LeadEnd::ClocksDisagree));
    let terms: Vec<_> = cluster.statuses().iter().map(|status| status.term).collect();
    cluster.pass_s(5);
    assert_eq!(cluster.serving(), None);
    assert_eq!(cluster.statuses().iter().map(|s| s.term).collect::<Vec<_>>(), terms, "nobody stands");

    // Either the third comes back, or somebody sets the clock right.
    cluster.open(3);
    let leader = cluster.leader();
    assert_ne!(leader, 2);
    cluster.define_further(13, 14);
    cluster.assert_log_is_not_ahead();
    cluster.ahead_ms.insert(2, 0);
    cluster.until("no alarm is left", |c| (1..=3).all(|node| c.alarm(node).is_none()));
    cluster.agree(14);
}

#[test]
fn a_cluster_that_starts_with_clocks_of_which_no_majority_agrees_has_no_leader() {
    let mut cluster = Cluster::new("clock-start", &[1, 2]);
    cluster.ahead_ms.insert(1, HOUR_MS);
    cluster.pass_s(10);
    assert_eq!(cluster.serving(), None);
    assert!(matches!(cluster.alarm(1), Some(ClockAlarm::NoQuorum { .. })));
    cluster.create(3);
    assert_eq!(cluster.leader(), 2, "two of three agree, and the first is not of them");
    cluster.define(1, 2);
    cluster.assert_log_is_not_ahead();
}

#[test]
fn a_node_alone_goes_by_its_own_clock() {
    let mut cluster = Cluster::with_options("clock-alone", &[1], super::cluster::cluster_options());
    cluster.define(1, 2);
    cluster.ahead_ms.insert(1, HOUR_MS);
    cluster.pass_s(1);
    cluster.define(3, 4);
    assert!(cluster.running[&1].status().time_applied.0 > HOUR_MS.unsigned_abs() * 1_000_000);
    assert_eq!((cluster.serving(), cluster.alarm(1)), (Some(1), None));
}

#[test]
fn a_follower_has_an_agreement_before_it_is_needed() {
    let mut cluster = Cluster::new("clock-failover", &[1, 2, 3]);
    cluster.define(1, 10);
    cluster.stop(1);
    let began = cluster.millis;
    assert_eq!(cluster.leader(), 2);
    let took_ms = cluster.millis - began;
    assert!(took_ms < 250, "the election timeout of the second and no more: {took_ms} ms");
}

/// A question of `from` to the first, as it travels.
fn question(from: u64) -> Vec<u8> {
    let body = [7_u64, 1_000_000].map(u64::to_le_bytes).concat();
    let numbers = [1, from, 1].map(u64::to_le_bytes).concat();
    [&[1, ASK, 0, 0], &crc32c(&body).to_le_bytes()[..], &numbers, &body].concat()
}

#[test]
fn a_question_is_answered_by_a_clock_that_was_read_after_it_came() {
    let mut cluster = Cluster::new("clock-questions", &[1]);
    let replica = cluster.running.get_mut(&1).unwrap();
    let mut answers = |from: u64, millis: u64| {
        replica.receive_from(NodeId(from), &question(from)).unwrap();
        let mut answers = Vec::new();
        for millis in millis..millis + 3 {
            let nanos = millis * 1_000_000;
            replica.step(Now { mono: MonoNanos(nanos), wall: UnixNanos(nanos) }, &mut Vec::new()).unwrap();
            let sent = replica.take_outbound().into_iter().filter(|outbound| outbound.bytes[1] == ANSWER);
            answers.extend(sent.map(|outbound| (millis, outbound.to, outbound.bytes.u64_at(48))));
        }
        answers
    };
    // The caller may have read the clock of the next turn before the question came.
    assert_eq!(answers(2, 1_000), [(1_001, NodeId(2), 1_001_000_000)]);
    assert_eq!(answers(9, 2_000), [], "a stranger");
}

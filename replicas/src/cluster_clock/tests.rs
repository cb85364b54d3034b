//! The clock alone, told directly what others have answered: a jump, a drift, a minute without a majority, a minority that lies.

use super::*;

const US: NodeId = NodeId(1);
const VOTERS: [u64; 3] = [1, 2, 3];
const HOUR_MS: i64 = 3_600_000;
/// The truth when the monotone clock shows nothing.
const TRUTH_MS: i64 = 1_767_268_800_000;

fn mono(millis: u64) -> MonoNanos {
    MonoNanos(millis * NANOS_PER_MILLI)
}

fn wall(millis: u64, ahead_ms: i64) -> UnixNanos {
    let millis = TRUTH_MS + i64::try_from(millis).unwrap() + ahead_ms;
    UnixNanos(u64::try_from(millis).unwrap() * NANOS_PER_MILLI)
}

/// One replica's clock among others', asked directly.
struct Clocks {
    clock: ClusterClock,
    millis: u64,
    /// Of each node.
    ahead_ms: BTreeMap<u64, i64>,
    /// Those that answer.
    answering: Vec<u64>,
}

impl Clocks {
    fn new(ahead_ms: [i64; 3]) -> Self {
        Self {
            clock: ClusterClock::new(US, 7),
            millis: 1_000,
            ahead_ms: VOTERS.into_iter().zip(ahead_ms).collect(),
            answering: vec![2, 3],
        }
    }

    fn now(&self) -> Now {
        Now { mono: mono(self.millis), wall: wall(self.millis, self.ahead_ms[&1]) }
    }

    /// A tenth of a second with answers that take 2 ms.
    fn pass(&mut self) {
        self.millis += 100;
        for node in self.answering.clone() {
            let shown = wall(self.millis - 1, self.ahead_ms[&node]);
            self.clock.learn(NodeId(node), mono(self.millis - 2), shown, mono(self.millis));
        }
        self.clock.agree(&VOTERS, self.now());
        self.clock.judge(self.now());
    }

    fn pass_s(&mut self, seconds: u64) {
        (0..10 * seconds).for_each(|_| self.pass());
    }

    /// How far the cluster's time is ahead of the truth, in milliseconds.
    fn ahead_ms(&self) -> i64 {
        let time = i64::try_from(self.clock.time(self.now()).0 / NANOS_PER_MILLI).unwrap();
        time - TRUTH_MS - i64::try_from(self.millis).unwrap()
    }

    fn alarm(&self) -> Option<ClockAlarm> {
        self.clock.status().alarm
    }
}

#[test]
fn clocks_that_agree_leave_the_own_one_alone() {
    let mut clocks = Clocks::new([40, 0, -30]);
    assert!(!clocks.clock.is_fit(), "nothing is known yet");
    clocks.pass();
    assert!(clocks.clock.is_fit() && clocks.clock.status().is_synchronized);
    assert_eq!((clocks.ahead_ms(), clocks.alarm()), (40, None));
    assert!((30..60).contains(&(clocks.clock.status().offset_ns.unwrap() / 1_000_000)));
}

#[test]
fn a_clock_that_is_set_does_not_move_the_time_and_is_believed_again_when_it_is_set_right() {
    for ahead_ms in [HOUR_MS, -HOUR_MS, 400, -400] {
        let mut clocks = Clocks::new([0, 0, 0]);
        clocks.pass();
        clocks.ahead_ms.insert(1, ahead_ms);
        assert!(clocks.ahead_ms().abs() <= 127, "before anybody is asked again: {}", clocks.ahead_ms());
        clocks.pass();
        assert!(clocks.ahead_ms().abs() <= 127, "{}", clocks.ahead_ms());
        let Some(ClockAlarm::Outside { ahead_ns }) = clocks.alarm() else {
            panic!("{:?}", clocks.alarm());
        };
        assert_eq!(ahead_ns.signum(), ahead_ms.signum());
        assert!(!clocks.clock.is_fit() && clocks.clock.status().is_synchronized);
        // A little outside is not enough to be believed again.
        clocks.ahead_ms.insert(1, 300);
        clocks.pass();
        assert!(!clocks.clock.is_fit());
        clocks.ahead_ms.insert(1, 100);
        clocks.pass();
        assert!(clocks.clock.is_fit());
        assert_eq!((clocks.ahead_ms(), clocks.alarm()), (100, None));
    }
}

#[test]
fn a_clock_that_is_set_right_is_believed_beside_one_that_is_a_little_wrong() {
    for ahead_ms in -260..260 {
        let mut clocks = Clocks::new([HOUR_MS, 0, 0]);
        clocks.pass();
        clocks.ahead_ms.extend([(1, 0), (3, ahead_ms)]);
        clocks.pass();
        assert!(clocks.clock.is_fit(), "{ahead_ms}: {:?}", clocks.clock.status());
    }
}

#[test]
fn another_clock_that_is_set_is_outvoted() {
    let mut clocks = Clocks::new([0, 0, 0]);
    clocks.pass();
    clocks.ahead_ms.insert(3, HOUR_MS);
    clocks.pass_s(1);
    assert_eq!((clocks.ahead_ms(), clocks.alarm()), (0, None));
    assert!(clocks.clock.is_off(NodeId(3)) && !clocks.clock.is_off(NodeId(2)));
    clocks.ahead_ms.insert(3, 0);
    clocks.pass();
    assert!(!clocks.clock.is_off(NodeId(3)), "what it showed before is no longer believed");
}

#[test]
fn without_a_majority_the_last_agreement_lasts_a_minute() {
    let mut clocks = Clocks::new([0, 0, 0]);
    clocks.pass();
    clocks.answering = vec![3];
    clocks.pass_s(20);
    assert!(clocks.clock.status().is_synchronized, "two of three");
    clocks.ahead_ms.insert(3, HOUR_MS);
    clocks.pass_s(4);
    assert!(!clocks.clock.status().is_synchronized && clocks.clock.is_fit());
    assert_eq!(clocks.alarm(), None);
    clocks.pass_s(2);
    assert!(matches!(clocks.alarm(), Some(ClockAlarm::NoQuorum { .. })));
    // Nor does the own clock count alone.
    clocks.ahead_ms.insert(1, 2 * HOUR_MS);
    clocks.pass_s(50);
    assert!(clocks.ahead_ms() <= 127 + 60, "{}", clocks.ahead_ms());
    assert!(matches!(clocks.alarm(), Some(ClockAlarm::Outside { .. })));
    assert!(clocks.clock.is_off(NodeId(3)));
    clocks.ahead_ms.insert(1, 0);
    clocks.pass();
    assert!(clocks.clock.is_fit());
    clocks.pass_s(5);
    assert!(!clocks.clock.is_fit(), "a minute is over");
    clocks.answering = vec![2];
    clocks.pass();
    assert!(clocks.clock.is_fit() && clocks.clock.status().is_synchronized);
    assert_eq!(clocks.alarm(), None);
}

#[test]
fn answers_that_took_long_or_come_from_the_future_say_nothing() {
    let mut clocks = Clocks::new([0, 0, 0]);
    clocks.answering = Vec::new();
    for sent in [clocks.millis - 251, clocks.millis + 1] {
        clocks.clock.learn(NodeId(2), mono(sent), wall(sent, 0), mono(clocks.millis));
    }
    clocks.pass();
    assert!(clocks.clock.readings.is_empty() && !clocks.clock.is_fit());
    assert_eq!(clocks.clock.time(clocks.now()), clocks.now().wall, "nothing better is known");
}

#[test]
fn a_voter_alone_believes_itself_and_a_learner_only_the_voters() {
    let mut alone = Clocks::new([HOUR_MS, 0, 0]);
    alone.clock.agree(&[1], alone.now());
    alone.clock.judge(alone.now());
    assert!(alone.clock.is_fit());
    assert_eq!((alone.ahead_ms(), alone.alarm()), (HOUR_MS, None));

    let mut learner = Clocks::new([HOUR_MS, 0, HOUR_MS]);
    learner.pass();
    assert!(learner.clock.is_fit(), "as a voter it agrees with the third");
    for _ in 0..2 {
        learner.clock.agree(&[2, 3], learner.now());
    }
    assert!(!learner.clock.is_synchronized, "as a learner it does not count");
}

#[test]
fn what_waits_is_bounded_and_of_this_life() {
    let mut clock = ClusterClock::new(US, 7);
    let answer = |life| AboutClock::Answer { life, sent: mono(1), wall: wall(1, 0) };
    clock.hear(NodeId(2), answer(6));
    assert!(clock.heard.is_empty(), "a question of an earlier life was answered late");
    clock.hear(NodeId(2), answer(7));
    assert_eq!(clock.heard, [(NodeId(2), answer(7))]);
    for _ in 0..10_000 {
        clock.hear(NodeId(2), AboutClock::Ask { life: 1, sent: mono(1) });
    }
    assert_eq!(clock.heard.len(), WAITING_MAX);
}

/// Several voters, a minority of whose clocks somebody sets to anything, over a network whose delays are not the same there and
/// back: whoever has an agreement has the truth in it, but for what clocks may be off.
#[test]
fn the_time_is_right_wherever_a_minority_of_clocks_is_wrong() {
    for seed in 0..300_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let nodes = [3, 5, 7][usize::try_from(below(3)).unwrap()];
        let voters: Vec<u64> = (1..=nodes).collect();
        // The own one among them, in some seeds.
        let wrong_from = if below(2) == 0 { 1 } else { 2 };
        let is_wrong = |node: u64| (wrong_from..wrong_from + nodes / 2).contains(&node);
        let mut clock = ClusterClock::new(US, 7);
        let mut offsets: Vec<i64> = (0..=nodes).map(|_| i64::try_from(below(80)).unwrap() - 40).collect();
        let rtt_ms_max = [1, 10, 100][usize::try_from(below(3)).unwrap()];
        let mut now_ms = 1_000;
        for round in 0..400 {
            now_ms += 100;
            if let Some(node) = Some(1 + below(nodes)).filter(|node| is_wrong(*node) && below(10) == 0) {
                offsets[usize::try_from(node).unwrap()] =
                    i64::try_from(below(2 * 7_200_000)).unwrap() - 7_200_000;
            }
            let offset = |node: u64| offsets[usize::try_from(node).unwrap()];
            for node in 2..=nodes {
                let (there, back) = (below(rtt_ms_max), below(rtt_ms_max));
                let (sent, read) = (now_ms - there - back, now_ms - back);
                if below(5) > 0 {
                    clock.learn(NodeId(node), mono(sent), wall(read, offset(node)), mono(now_ms));
                }
            }
            let now = Now { mono: mono(now_ms), wall: wall(now_ms, offset(1)) };
            clock.agree(&voters, now);
            clock.judge(now);
            if clock.held(now.mono).is_none() {
                assert!(round < 100, "seed {seed}: a majority of clocks is right");
                continue;
            }
            let off_ns = clock.time(now).0.abs_diff(wall(now_ms, 0).0);
            let bound_ns = ERROR_NANOS + (40 + 2 * rtt_ms_max + 10) * NANOS_PER_MILLI;
            assert!(off_ns <= bound_ns, "seed {seed}, round {round}: off by {} ms", off_ns / 1_000_000);
            assert!(is_wrong(1) || clock.is_fit(), "seed {seed}, round {round}: {:?}", clock.status());
        }
    }
}

//! The cluster's time: what a majority of the voters' clocks says, so that one clock that is wrong cannot put a time into the
//! log that all others then have to wait for.
//!
//! Every replica asks every other one all the time what its clock shows. An answer bounds it from both sides, because it was
//! read between the question and the answer. Against the own monotone clock, which nobody sets, such bounds stay true for a
//! while, but for drift. What most of the voters' clocks say (`marzullo.rs`) is the agreement, and the own wall clock counts as
//! far as it lies inside.
//!
//! Who is far outside does not stand for election, and gives the lead away. Where no majority agrees, the last agreement goes on by
//! the monotone clock for a minute; then nobody leads, because nobody knows what time it is. Before the first agreement of a life
//! it is the same. A voter alone believes itself.

use std::collections::BTreeMap;
use std::fmt;

use journal::Disk;
use protocol::mutant::{Mutant, planted};
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{MonoNanos, NodeId, UnixNanos};
use raft::StateRole;

use crate::handover::LeadEnd;
use crate::marzullo::{self, Interval};
use crate::membership::MEMBERS_MAX;
use crate::message::MessageFault;
use crate::message::clock::{self, AboutClock};
use crate::peers::{Lane, Outbound};
use crate::replica::{Now, Replica};

/// Between two questions to each of the others.
const ASK_NANOS: u64 = 100 * NANOS_PER_MILLI;
/// An answer that took longer says too little.
const ROUND_TRIP_NANOS_MAX: u64 = 250 * NANOS_PER_MILLI;
/// What was answered last counts for so long.
const READING_NANOS: u64 = 10 * NANOS_PER_SECOND;
/// A clock that is right is off by no more than this: two that differ by more than twice as much do not agree.
const ERROR_NANOS: u64 = 125 * NANOS_PER_MILLI;
/// How much two clocks drift apart, in millionths of the time that passes.
const DRIFT_PPM: u64 = 1_000;
/// For so long an agreement goes on without a majority.
const HELD_NANOS: u64 = 60 * NANOS_PER_SECOND;
/// What the time of a record is ahead of a right clock at most, whatever one machine's clock shows: the worst of all the above.
/// Answers that come quickly, as they do, leave little more than 125 ms.
pub const TIME_AHEAD_NANOS_MAX: u64 =
    ERROR_NANOS + ROUND_TRIP_NANOS_MAX + (READING_NANOS + HELD_NANOS) / 1_000_000 * DRIFT_PPM;
/// Further outside than this the own clock is wrong …
const OUTSIDE_NANOS: u64 = 250 * NANOS_PER_MILLI;
/// … until it is no further than this. One that is right may be outside by its error: a wrong one that still overlaps with all
/// the others pulls the agreement to its side.
const BACK_NANOS: u64 = 150 * NANOS_PER_MILLI;
const _: () = assert!(ERROR_NANOS < BACK_NANOS && BACK_NANOS < OUTSIDE_NANOS);
/// So much later than the last agreement, the lack of one is an alarm.
const ALARM_NANOS: u64 = 5 * NANOS_PER_SECOND;
/// Between two attempts to give the lead away: the cluster takes nothing while one is under way.
const GIVE_AWAY_NANOS: u64 = NANOS_PER_SECOND;
/// Messages of others that wait for the next turn; what finds no room is asked again.
const WAITING_MAX: usize = 4 * MEMBERS_MAX;

/// Why an operator has to look after a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockAlarm {
    /// This node's clock is far outside of what a majority of the voters' clocks says.
    Outside {
        /// How far: ahead, or below zero behind.
        ahead_ns: i64,
    },
    /// No majority of the voters' clocks agrees.
    NoQuorum {
        /// Since the last agreement.
        nanos: u64,
    },
}

impl ClockAlarm {
    /// Whether both are about the same thing, however far it has come.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for ClockAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Outside { ahead_ns } => {
                let side = if ahead_ns < 0 { "behind" } else { "ahead of" };
                let millis = ahead_ns.unsigned_abs() / NANOS_PER_MILLI;
                write!(
                    f,
                    "this node's clock is {millis} ms {side} what a majority agrees on: it does not lead"
                )
            }
            Self::NoQuorum { nanos } => {
                let since = nanos / NANOS_PER_SECOND;
                write!(f, "no majority of the voters' clocks has agreed for {since} s; ")?;
                let left = HELD_NANOS.saturating_sub(nanos) / NANOS_PER_SECOND;
                if left > 0 {
                    write!(f, "the last agreement counts for {left} s more")
                } else {
                    write!(f, "this node does not lead")
                }
            }
        }
    }
}

/// The cluster's clock, as one replica has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockStatus {
    /// Whether a majority of the voters' clocks agrees.
    pub is_synchronized: bool,
    /// How far the own clock is ahead of the middle of what they agree on, or below zero behind it. `None`: nothing is known.
    pub offset_ns: Option<i64>,
    /// What an operator has to look after.
    pub alarm: Option<ClockAlarm>,
}

/// What was known of something at a moment of the own monotone clock. Clocks are intervals of what they show less what that one
/// shows.
#[derive(Clone, Copy, Debug)]
struct Known {
    interval: Interval,
    at: MonoNanos,
}

impl Known {
    /// What is left of it, unless it is too old.
    fn aged(self, now: MonoNanos, nanos_max: u64) -> Option<Interval> {
        let age = now.since(self.at);
        (age < nanos_max).then(|| self.interval.widened(age / 1_000_000 * DRIFT_PPM))
    }
}

/// What this replica knows of the clocks of others.
pub(crate) struct ClusterClock {
    node: NodeId,
    life: u64,
    /// As others have answered.
    readings: BTreeMap<NodeId, Known>,
    agreement: Option<Known>,
    /// The last agreement, or the first turn.
    agreed_at: Option<MonoNanos>,
    is_synchronized: bool,
    /// The own clock was far outside, and has not come back since.
    is_outside: bool,
    /// Of the last turn.
    is_fit: bool,
    last_turn: MonoNanos,
    next_ask: MonoNanos,
    next_give_away: MonoNanos,
    /// Came since the last turn, whose clock may have been read before.
    heard: Vec<(NodeId, AboutClock)>,
    /// Came before the last turn.
    waiting: Vec<(NodeId, AboutClock)>,
    status: ClockStatus,
    pub(crate) outbound: Vec<Outbound>,
}

impl ClusterClock {
    /// `life`: no other life of this node has the same.
    pub(crate) fn new(node: NodeId, life: u64) -> Self {
        Self {
            node,
            life,
            readings: BTreeMap::new(),
            agreement: None,
            agreed_at: None,
            is_synchronized: false,
            is_outside: false,
            is_fit: false,
            last_turn: MonoNanos(0),
            next_ask: MonoNanos(0),
            next_give_away: MonoNanos(0),
            heard: Vec::new(),
            waiting: Vec::new(),
            status: ClockStatus::default(),
            outbound: Vec::new(),
        }
    }

    pub(crate) fn status(&self) -> ClockStatus {
        self.status
    }

    /// Whether this replica may lead by its clock.
    pub(crate) fn is_fit(&self) -> bool {
        self.is_fit
    }

    /// The cluster's time.
    fn time(&self, now: Now) -> UnixNanos {
        let Some(held) = self.held(now.mono) else { return now.wall };
        let offset_ns = offset_ns(now.wall, now.mono).clamp(held.lower_ns, held.upper_ns);
        UnixNanos(now.mono.0.saturating_add_signed(offset_ns))
    }

    fn held(&self, now: MonoNanos) -> Option<Interval> {
        self.agreement?.aged(now, HELD_NANOS)
    }

    fn reading(&self, node: NodeId, now: MonoNanos) -> Option<Interval> {
        self.readings.get(&node)?.aged(now, READING_NANOS)
    }

    /// Whether the clock of another is known to be as wrong as ours may not be.
    fn is_off(&self, node: NodeId) -> bool {
        let now = self.last_turn;
        let both = self.reading(node, now).zip(self.held(now));
        both.is_some_and(|(clock, held)| clock.widened(OUTSIDE_NANOS).overlap(held).is_none())
    }

    fn hear(&mut self, from: NodeId, message: AboutClock) {
        // What another life has asked says nothing: its monotone clock is not ours.
        let is_ours = match message {
            AboutClock::Ask { .. } => true,
            AboutClock::Answer { life, .. } => life == self.life,
        };
        if is_ours && self.heard.len() < WAITING_MAX {
            self.heard.push((from, message));
        }
    }

    /// The clock of `from` showed `wall` at some moment between `sent` and now.
    fn learn(&mut self, from: NodeId, sent: MonoNanos, wall: UnixNanos, now: MonoNanos) {
        if sent > now || now.since(sent) > ROUND_TRIP_NANOS_MAX {
            return;
        }
        let answer = Interval { lower_ns: offset_ns(wall, now), upper_ns: offset_ns(wall, sent) };
        // Both are true, and so is what they have in common; unless somebody has set that clock meanwhile.
        let before = self.reading(from, now).and_then(|before| before.overlap(answer));
        self.readings.insert(from, Known { interval: before.unwrap_or(answer), at: now });
    }

    /// Looks for what most voters' clocks say.
    fn agree(&mut self, voters: &[u64], now: Now) {
        let mut clocks = [Interval::default(); MEMBERS_MAX];
        let mut count = 0;
        for voter in voters.iter().take(MEMBERS_MAX).map(|voter| NodeId(*voter)) {
            let own = || Interval::at(offset_ns(now.wall, now.mono));
            let clock = if voter == self.node { Some(own()) } else { self.reading(voter, now.mono) };
            if let Some(clock) = clock {
                clocks[count] = clock.widened(ERROR_NANOS);
                count += 1;
            }
        }
        let agreed = marzullo::most_agreed(&clocks[..count]).filter(|(_, most)| *most > voters.len() / 2);
        self.is_synchronized = agreed.is_some();
        if let Some((interval, _)) = agreed {
            self.agreement = Some(Known { interval, at: now.mono });
        }
        // Who belongs to no cluster yet misses nothing.
        if agreed.is_some() || voters.is_empty() {
            self.agreed_at = Some(now.mono);
        }
    }

    /// Holds the own clock against the agreement.
    fn judge(&mut self, now: Now) {
        self.last_turn = now.mono;
        let own_ns = offset_ns(now.wall, now.mono);
        let held = self.held(now.mono);
        let ahead_ns = held.map_or(0, |held| held.distance_ns(own_ns));
        let bound_ns = if self.is_outside { BACK_NANOS } else { OUTSIDE_NANOS };
        self.is_outside = ahead_ns.unsigned_abs() > bound_ns;
        self.is_fit = held.is_some() && !self.is_outside;
        let nanos = now.mono.since(*self.agreed_at.get_or_insert(now.mono));
        let alarm = if self.is_outside {
            Some(ClockAlarm::Outside { ahead_ns })
        } else {
            (nanos >= ALARM_NANOS).then_some(ClockAlarm::NoQuorum { nanos })
        };
        let offset_ns = held.map(|held| own_ns.saturating_sub(held.middle_ns()));
        self.status = ClockStatus { is_synchronized: self.is_synchronized, offset_ns, alarm };
    }
}

/// What a clock shows less what the own monotone one shows.
fn offset_ns(wall: UnixNanos, mono: MonoNanos) -> i64 {
    let signed = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
    signed(wall.0) - signed(mono.0)
}

impl<D: Disk> Replica<D> {
    /// The same moment with the cluster's time in place of this node's wall clock: what gateways in front of this replica go by.
    #[must_use]
    pub fn cluster_time(&self, now: Now) -> Now {
        Now { wall: self.clock.time(now), ..now }
    }

    /// Takes what another replica says about clocks. It waits for the turn after the next, whose clock is read
    /// after it came.
    pub(crate) fn take_about_clock(&mut self, from: NodeId, bytes: &[u8]) -> Result<(), MessageFault> {
        let message = clock::decode(self.envelope_from(from), bytes)?;
        if self.membership().rank(from).is_some() {
            self.clock.hear(from, message);
        }
        Ok(())
    }

    /// Asks and answers, and looks what time it is. Returns the moment with the cluster's time.
    pub(crate) fn step_clock(&mut self, now: Now) -> Now {
        let mut waiting = std::mem::take(&mut self.clock.waiting);
        let has_heard = !waiting.is_empty();
        for (from, message) in waiting.drain(..) {
            match message {
                AboutClock::Ask { life, sent } => {
                    self.tell_clock(from, AboutClock::Answer { life, sent, wall: now.wall });
                }
                AboutClock::Answer { sent, wall, .. } => self.clock.learn(from, sent, wall, now.mono),
            }
        }
        self.clock.waiting = std::mem::replace(&mut self.clock.heard, waiting);
        let is_alone = self.raft.store().conf_state().voters == [self.raft.raft.id];
        let asks = now.mono >= self.clock.next_ask;
        if asks {
            self.clock.next_ask = now.mono.plus(ASK_NANOS);
            self.ask_clocks(now.mono);
        }
        if asks || has_heard || is_alone {
            self.clock.agree(&self.raft.store().conf_state().voters, now);
        }
        self.clock.judge(now);
        self.lead_by_clock(now.mono);
        if planted(Mutant::ClockUnclamped) { now } else { self.cluster_time(now) }
    }

    /// Learners are asked too: they may be voters soon.
    fn ask_clocks(&mut self, now: MonoNanos) {
        let membership = self.raft.store().membership();
        self.clock.readings.retain(|node, _| membership.rank(*node).is_some());
        let conf = self.raft.store().conf_state();
        let us = self.raft.raft.id;
        let others: Vec<u64> =
            conf.voters.iter().chain(&conf.learners).copied().filter(|id| *id != us).collect();
        for other in others {
            self.tell_clock(NodeId(other), AboutClock::Ask { life: self.clock.life, sent: now });
        }
    }

    fn tell_clock(&mut self, to: NodeId, message: AboutClock) {
        let bytes = clock::encode(self.envelope_to(to), message);
        self.clock.outbound.push(Outbound { to, lane: Lane::Control, bytes });
    }

    /// Whether what came has to wait for one more turn.
    pub(crate) fn has_clock_waiting(&self) -> bool {
        !self.clock.waiting.is_empty()
    }

    /// A leader whose clock is wrong gives the lead away, and leads on by the others' clocks until somebody takes it. Without any
    /// agreement it leads no more.
    fn lead_by_clock(&mut self, now: MonoNanos) {
        if self.raft.raft.state != StateRole::Leader || self.clock.is_fit {
            return;
        }
        if self.clock.held(now).is_none() {
            self.raft.raft.become_follower(self.raft.raft.term, raft::INVALID_ID);
            self.handover.begin(LeadEnd::ClocksDisagree);
            self.elections.give_away();
        } else if now >= self.clock.next_give_away {
            self.clock.next_give_away = now.plus(GIVE_AWAY_NANOS);
            self.give_lead_away(LeadEnd::ClockOutside);
        }
    }

    /// Whether the clock of another is known to be so wrong that it had better not lead.
    pub(crate) fn has_wrong_clock(&self, node: NodeId) -> bool {
        self.clock.is_off(node)
    }
}

#[cfg(test)]
mod tests;

//! What goes wrong between machines and to processes as a whole: partitions, one-way cuts, clogs, pauses. Drawn from the
//! seed as time passes, until the world is healed. Half of it is aimed at whoever leads.

use protocol::MonoNanos;

use crate::knobs::NetworkKnobs;
use crate::network::Network;
use crate::rng::Rng;
use crate::trace::Trace;

const MILLI_NS: u64 = 1_000_000;
/// Longest pause of a process: ten leases.
const PAUSE_MS_MAX: u64 = 1_500;
/// Longest partition.
const CUT_MS_MAX: u64 = 1_500;
/// Longest clog.
const CLOG_MS_MAX: u64 = 800;
/// Between two machines that are lost, at most.
const LOSS_MS_MAX: u64 = 3_000;

/// What happens to a process as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// It stands still until then.
    Pause(usize, MonoNanos),
    /// An operator asks it to give the lead to another.
    Transfer(usize, usize),
    /// It is lost with its disk, and a blank machine takes its place.
    Lose(usize),
}

/// The faults between machines.
pub(crate) struct Nemesis {
    rng: Rng,
    trace: Trace,
    knobs: NetworkKnobs,
    nodes: usize,
    cut_until: Option<MonoNanos>,
    next_cut: MonoNanos,
    next_clog: MonoNanos,
    next_pause: MonoNanos,
    next_transfer: MonoNanos,
    next_loss: MonoNanos,
    healed: bool,
}

impl Nemesis {
    pub(crate) fn new(rng: Rng, nodes: usize, knobs: NetworkKnobs, trace: Trace) -> Self {
        let mut nemesis = Self {
            rng,
            trace,
            knobs,
            nodes,
            cut_until: None,
            next_cut: MonoNanos(0),
            next_clog: MonoNanos(0),
            next_pause: MonoNanos(0),
            next_transfer: MonoNanos(0),
            next_loss: MonoNanos(0),
            healed: nodes == 1,
        };
        nemesis.next_cut = nemesis.later(MonoNanos(0), 1_500);
        nemesis.next_clog = nemesis.later(MonoNanos(0), 1_000);
        nemesis.next_pause = nemesis.later(MonoNanos(0), 1_500);
        nemesis.next_transfer = nemesis.later(MonoNanos(0), 1_500);
        nemesis.next_loss = nemesis.later(MonoNanos(0), LOSS_MS_MAX);
        nemesis
    }

    fn later(&mut self, now: MonoNanos, millis_max: u64) -> MonoNanos {
        now.plus(self.rng.within(1..=millis_max) * MILLI_NS)
    }

    /// Nothing more goes wrong.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
    }

    /// When it wants to act next.
    #[must_use]
    pub(crate) fn next_due(&self) -> Option<MonoNanos> {
        if self.healed {
            return None;
        }
        let cut =
            (self.knobs.partitions || self.knobs.one_way).then(|| self.cut_until.unwrap_or(self.next_cut));
        let clog = self.knobs.clogs.then_some(self.next_clog);
        let pause = self.knobs.pauses.then_some(self.next_pause);
        let transfer = self.knobs.transfers.then_some(self.next_transfer);
        let loss = self.knobs.replaces.then_some(self.next_loss);
        cut.into_iter().chain(clog).chain(pause).chain(transfer).chain(loss).min()
    }

    /// What goes wrong, or right again, by `now`. Returns what happens to a process.
    pub(crate) fn act(
        &mut self,
        now: MonoNanos,
        leader: Option<usize>,
        network: &mut Network,
    ) -> Option<Act> {
        if self.healed {
            return None;
        }
        self.cut_or_mend(now, leader, network);
        if self.knobs.clogs && now >= self.next_clog {
            let (from, to) = (self.someone(leader), self.rng.below(self.nodes as u64) as usize);
            let until = self.later(now, CLOG_MS_MAX);
            network.clog(from, to, until);
            self.next_clog = self.later(now, 1_000);
            self.trace.sometimes("way clogged");
            self.trace.note("clog", from as u64, to as u64);
        }
        if self.knobs.pauses && now >= self.next_pause {
            self.next_pause = self.later(now, 2_000);
            let place = self.someone(leader);
            let until = self.later(now, PAUSE_MS_MAX);
            self.trace.sometimes(if Some(place) == leader { "leader paused" } else { "follower paused" });
            self.trace.note("pause", place as u64, until.0);
            return Some(Act::Pause(place, until));
        }
        if self.knobs.transfers && now >= self.next_transfer {
            self.next_transfer = self.later(now, 700);
            let to = self.rng.below(self.nodes as u64) as usize;
            return leader.map(|leader| Act::Transfer(leader, to));
        }
        if self.knobs.replaces && now >= self.next_loss {
            self.next_loss = self.later(now, LOSS_MS_MAX);
            return Some(Act::Lose(self.someone(leader)));
        }
        None
    }

    fn cut_or_mend(&mut self, now: MonoNanos, leader: Option<usize>, network: &mut Network) {
        if self.cut_until.is_some_and(|until| until <= now) {
            self.cut_until = None;
            self.next_cut = self.later(now, 1_200);
            self.all_ways().into_iter().for_each(|(from, to)| network.cut(from, to, false));
            self.trace.note("ways mended", 0, 0);
        }
        let cuts = self.knobs.partitions || self.knobs.one_way;
        if cuts && self.cut_until.is_none() && now >= self.next_cut {
            self.cut(leader, network);
            self.cut_until = Some(self.later(now, CUT_MS_MAX));
        }
    }

    fn all_ways(&self) -> Vec<(usize, usize)> {
        (0..self.nodes).flat_map(|from| (0..self.nodes).map(move |to| (from, to))).collect()
    }

    fn someone(&mut self, leader: Option<usize>) -> usize {
        match leader {
            Some(leader) if self.rng.coin() => leader,
            _ => self.rng.below(self.nodes as u64) as usize,
        }
    }

    fn cut(&mut self, leader: Option<usize>, network: &mut Network) {
        // One against all others, or two groups.
        let lone = self.someone(leader);
        let groups: Vec<bool> = if self.rng.coin() {
            (0..self.nodes).map(|place| place == lone).collect()
        } else {
            (0..self.nodes).map(|_| self.rng.coin()).collect()
        };
        let both = self.knobs.partitions && (!self.knobs.one_way || self.rng.coin());
        let outward = self.rng.coin();
        for (from, to) in self.all_ways() {
            if groups[from] != groups[to] && (both || groups[from] == outward) {
                network.cut(from, to, true);
            }
        }
        let sides = groups.iter().fold(0, |sides, side| sides << 1 | u64::from(*side));
        self.trace.note("cut", sides, u64::from(both));
        self.trace.sometimes(if both { "partition" } else { "one-way cut" });
    }
}

//! Somebody who asks replicas for linearizable reads, leaders and others alike, and looks at the state as soon as it may.

use protocol::hash::Hash;
use protocol::{Index, MonoNanos, Seq};
use replicas::{ReadRefusal, ReadTicket};

use crate::host::Host;
use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::trace::Trace;

/// Questions that are open at once.
const OPEN_MAX: usize = 16;

/// A question without an answer.
struct Open {
    place: usize,
    ticket: ReadTicket,
    floor: Index,
}

/// What a reader has seen.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// The replica that was asked.
    pub place: usize,
    /// What anybody knew to be committed before the question.
    pub floor: Index,
    /// The answer.
    pub index: Index,
    /// What was applied when it came.
    pub applied: Index,
    /// The state that was seen: its last seq …
    pub seq: Seq,
    /// … and its rolling hash.
    pub effect_hash: Hash,
}

/// The reader.
pub struct Reader {
    rng: Rng,
    trace: Trace,
    pause_us_max: u64,
    open: Vec<Open>,
    next_at: MonoNanos,
    wants_more: bool,
}

impl Reader {
    pub(crate) fn new(mut rng: Rng, knobs: Knobs, trace: Trace) -> Self {
        let wants_more = rng.coin();
        let pause_us_max = 4 * knobs.pause_us_max;
        Self { rng, trace, pause_us_max, open: Vec::new(), next_at: MonoNanos(0), wants_more }
    }

    pub(crate) fn stop(&mut self) {
        self.wants_more = false;
    }

    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn next_at(&self) -> Option<MonoNanos> {
        self.wants_more.then_some(self.next_at)
    }

    /// Asks somebody, if it is time.
    pub(crate) fn act(&mut self, now: MonoNanos, hosts: &mut [Host]) {
        if !self.wants_more || now < self.next_at {
            return;
        }
        self.next_at = now.plus(self.rng.within(50..=self.pause_us_max) * 1_000);
        let known = hosts.iter().filter_map(|host| host.machine.running());
        let floor = known.map(|process| process.status().index_committed).max().unwrap_or(Index(0));
        let place = self.rng.below(hosts.len() as u64) as usize;
        let host = &mut hosts[place];
        let is_turning = host.is_turning();
        let Some(process) = host.machine.process().filter(|_| is_turning && self.open.len() < OPEN_MAX)
        else {
            return;
        };
        host.busy = true;
        match process.replica().ask_read() {
            Ok(ticket) => self.open.push(Open { place, ticket, floor }),
            Err(refusal) => self.refused(refusal),
        }
    }

    /// What a process has not answered when it ends is over.
    pub(crate) fn process_ended(&mut self, place: usize) {
        self.open.retain(|question| question.place != place);
    }

    /// Looks for answers behind a turn of the replica at `host`.
    pub(crate) fn look(&mut self, host: &mut Host) -> Vec<Read> {
        let place = host.place;
        let Some(process) = host.machine.process() else { return Vec::new() };
        let replica = process.replica();
        let mut seen = Vec::new();
        let mut open = std::mem::take(&mut self.open);
        open.retain(|question| {
            if question.place != place {
                return true;
            }
            match replica.take_read(question.ticket) {
                None => return true,
                Some(Err(refusal)) => self.refused(refusal),
                Some(Ok(index)) => {
                    let status = replica.status();
                    let leads = status.role == replicas::Role::Leader;
                    self.trace.sometimes(if leads {
                        "read answered by a leader"
                    } else {
                        "read answered by another"
                    });
                    self.trace.note("read", index.0, place as u64);
                    seen.push(Read {
                        place,
                        floor: question.floor,
                        index,
                        applied: status.index_applied,
                        seq: status.seq_applied,
                        effect_hash: status.effect_hash,
                    });
                }
            }
            false
        });
        self.open = open;
        seen
    }

    fn refused(&self, refusal: ReadRefusal) {
        self.trace.sometimes(match refusal {
            ReadRefusal::NoLeader => "read refused: no leader",
            ReadRefusal::LeaderNotReady => "read refused: the leader has only just begun",
            ReadRefusal::LeadMoved => "read refused: the lead moved",
            ReadRefusal::TooLate => "read refused: too late",
            ReadRefusal::Halted | ReadRefusal::Busy => "read refused otherwise",
        });
    }
}

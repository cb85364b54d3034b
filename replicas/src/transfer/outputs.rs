//! Outputs below a state that this replica begins with, where its journal does not reach back to the commands that they
//! follow from: other replicas have them, because all produce the same.
//!
//! Until one is here a read of it is a fault, and whoever asks is not told that there was none. It is given up, and
//! answered by a gap fill, only on the word of a member for whom the epoch is over, or the number below the session's floor: nobody
//! asks for it again. Who has lost outputs stays silent, and another is asked.

use std::collections::{BTreeMap, VecDeque};

use engine::Engine;
use engine::views::SessionView;
use journal::outbox::{Outbox, OutputsRead};
use journal::{Disk, DiskFault};
use protocol::event::{Event, EventFault, OutputNumber};
use protocol::{NodeId, OutSeq, SessionEpoch, SessionId};

use crate::OutboxFault;
use crate::membership::Membership;
use crate::message::transfer::{OUTPUT_BYTES_MAX, OutputRange, PIECE_BYTES, Transfer};
use crate::replica::Replica;
use crate::snapshots::Base;

/// Outputs that are to come from others.
#[derive(Default)]
pub(crate) struct OutputsFetch {
    wanted: VecDeque<OutputRange>,
    /// The other members, by id.
    members: Vec<NodeId>,
    /// Which of them is asked.
    turn: usize,
    /// When.
    asked: Option<u64>,
    /// By session and epoch: numbers below this are of no use any more.
    given_up: BTreeMap<(SessionId, SessionEpoch), OutSeq>,
}

impl OutputsFetch {
    /// Those below `base` that `outbox` lacks; `us` asks the other members. Nothing where there are none.
    pub(crate) fn begin<D: Disk>(base: &Base, outbox: &mut Outbox<D>, us: NodeId) -> Self {
        let mut fetch = Self::default();
        fetch.look_again(base, outbox, us);
        fetch
    }

    /// Once more, because what was applied meanwhile may have taken the place of some.
    pub(crate) fn look_again<D: Disk>(&mut self, base: &Base, outbox: &mut Outbox<D>, us: NodeId) {
        let members = base.membership.iter().flat_map(Membership::members).map(|(member, _)| member);
        self.members = members.filter(|member| *member != us).collect();
        self.wanted = if self.members.is_empty() { VecDeque::new() } else { wanted_outputs(base, outbox) };
        for range in &mut self.wanted {
            let from = self.given_up.get(&(range.session, range.epoch));
            range.from = from.copied().unwrap_or(range.from).max(range.from);
        }
        self.wanted.retain(|range| range.from < range.to);
        self.asked = None;
        for OutputRange { session, epoch, from, to } in &self.wanted {
            outbox.expect(*session, *epoch, *from, *to);
        }
    }

    /// The first output that is to come.
    pub(crate) fn next(&self) -> Option<OutputNumber> {
        let OutputRange { session, epoch, from: out_seq, .. } = *self.wanted.front()?;
        Some(OutputNumber { session, epoch, out_seq })
    }

    /// What to ask for now, and whom: after `patience` ticks without an answer, another.
    fn due(&mut self, now: u64, patience: u64) -> Option<(NodeId, OutputRange)> {
        let front = *self.wanted.front()?;
        if let Some(at) = self.asked {
            if now - at <= patience {
                return None;
            }
            self.turn += 1;
        }
        self.asked = Some(now);
        let source = self.members.get(self.turn % self.members.len().max(1))?;
        Some((*source, front))
    }

    /// Whether `range` answers what is asked now. An answer to another question, of an earlier life perhaps, says nothing of the numbers in front of
    /// it: what that life had of them may not have survived it.
    fn is_answer(&self, from: NodeId, asked: OutSeq, range: OutputRange) -> bool {
        self.wanted.front().is_some_and(|front| {
            (range.session, range.epoch, asked) == (front.session, front.epoch, front.from)
                && range.from >= front.from
                && range.to <= front.to
                && range.to > front.from
                && self.members.contains(&from)
        })
    }

    /// Takes outputs that continue what is there; returns whether they do.
    fn take<D: Disk>(
        &mut self,
        outbox: &mut Outbox<D>,
        from: NodeId,
        asked: OutSeq,
        range: OutputRange,
        bytes: &[u8],
    ) -> bool {
        if !self.is_answer(from, asked, range) || outputs_of(range, bytes).is_err() {
            return false;
        }
        let Some(front) = self.wanted.front_mut() else { return false };
        self.asked = None;
        if range.from > front.from {
            outbox.give_up(front.session, front.epoch, front.from, range.from);
            self.given_up.insert((front.session, front.epoch), range.from);
        }
        let mut rest = bytes;
        while let Ok((_, len)) = Event::read(rest) {
            outbox.fill(&rest[..len]);
            rest = &rest[len..];
        }
        front.from = range.to;
        if front.from == front.to {
            self.wanted.pop_front();
        }
        true
    }
}

impl<D: Disk> Replica<D> {
    /// Takes outputs that this replica lacks.
    pub(crate) fn take_outputs(&mut self, from: NodeId, asked: OutSeq, range: OutputRange, bytes: &[u8]) {
        let taken = self.transfers.outputs.take(&mut self.outbox, from, asked, range, bytes);
        if let Some(fetch) = self.transfers.fetch.as_mut().filter(|_| taken) {
            fetch.heard = self.transfers.ticks;
        }
    }

    /// Asks for outputs that this replica lacks.
    pub(crate) fn step_outputs(&mut self) {
        let (ticks, patience) = (self.transfers.ticks, self.timing.election_ticks as u64);
        if let Some((source, range)) = self.transfers.outputs.due(ticks, patience) {
            self.send_transfer(source, &Transfer::AskOutputs(range));
        }
    }
}

/// What a state says of a session's outputs.
pub(crate) struct SessionOutputs {
    pub(crate) session: SessionId,
    epoch: SessionEpoch,
    /// Nobody asks for numbers below it any more.
    floor: OutSeq,
    /// The number behind the last one.
    next_out: OutSeq,
}

impl From<SessionView> for SessionOutputs {
    fn from(SessionView { session, epoch, floor, next_out, .. }: SessionView) -> Self {
        Self { session, epoch, floor, next_out }
    }
}

impl SessionOutputs {
    pub(crate) fn of(engine: &Engine) -> Vec<Self> {
        engine.sessions().map(Self::from).collect()
    }
}

/// What is said to somebody who lacks the outputs `asked` of `session`, where `read` finds them by session and epoch, from and
/// to. Nothing where they are not produced here yet, or were given up here because they are of no use any more: others answer. What
/// nobody asks for is left out: an epoch that is over, and numbers below the session's floor.
///
/// # Errors
/// [`OutboxFault`]: they should be here, and cannot be read.
pub(crate) fn answer_outputs(
    session: &SessionOutputs,
    asked: OutputRange,
    read: impl FnOnce(
        (SessionId, SessionEpoch),
        OutSeq,
        OutSeq,
        usize,
        &mut Vec<u8>,
    ) -> Result<Option<OutputsRead>, DiskFault>,
) -> Result<Option<Transfer>, OutboxFault> {
    let answer = |range, bytes| Ok(Some(Transfer::Outputs { asked: asked.from, range, bytes }));
    if session.epoch > asked.epoch {
        return answer(OutputRange { from: asked.to, ..asked }, Vec::new());
    }
    let to = asked.to.min(session.next_out);
    if session.epoch < asked.epoch || to <= asked.from {
        return Ok(None);
    }
    let from = asked.from.max(session.floor).min(to);
    let mut bytes = Vec::new();
    let read = read((session.session, session.epoch), from, OutSeq(to.0 - 1), PIECE_BYTES, &mut bytes)?;
    let (first, next) = read.map_or((to, to), |read| (read.first, read.next));
    let range = OutputRange { from: first, to: next, ..asked };
    match outputs_of(range, &bytes) {
        Ok(()) if first == from && bytes.len() <= OUTPUT_BYTES_MAX => answer(range, bytes),
        Ok(()) | Err(OutboxFault::Gone(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Whether `bytes` are the outputs of `range`, one behind the other, each whole.
///
/// # Errors
/// The first that is not.
fn outputs_of(range: OutputRange, bytes: &[u8]) -> Result<(), OutboxFault> {
    let mut rest = bytes;
    for number in range.from.0..range.to.0 {
        let (event, len) = Event::read(rest).map_err(OutboxFault::Damaged)?;
        let expected = OutputNumber { session: range.session, epoch: range.epoch, out_seq: OutSeq(number) };
        if event.output != Some(expected) {
            return Err(OutboxFault::Gone(expected));
        }
        rest = &rest[len..];
    }
    if rest.is_empty() { Ok(()) } else { Err(OutboxFault::Damaged(EventFault::Short)) }
}

/// Outputs that are here were produced by the same commands, and stay.
fn wanted_outputs<D: Disk>(base: &Base, outbox: &Outbox<D>) -> VecDeque<OutputRange> {
    let missing = base.engine.sessions().filter_map(|s| {
        let (session, epoch, to) = (s.session, s.epoch, s.next_out);
        if outbox.covers(session, epoch, s.floor, to) {
            return None;
        }
        let here = outbox.next(session, epoch).filter(|next| *next > s.floor && *next < to);
        let from = here.filter(|next| outbox.covers(session, epoch, s.floor, *next)).unwrap_or(s.floor);
        Some(OutputRange { session, epoch, from, to })
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_an_earlier_question_gives_nothing_up() {
        let range = |from, to| OutputRange {
            session: SessionId(9),
            epoch: SessionEpoch(2),
            from: OutSeq(from),
            to: OutSeq(to),
        };
        let fetch = OutputsFetch {
            wanted: VecDeque::from([range(40, 90)]),
            members: vec![NodeId(1), NodeId(2)],
            ..OutputsFetch::default()
        };
        let is_answer = |from, asked, range| fetch.is_answer(NodeId(from), OutSeq(asked), range);
        assert!(is_answer(1, 40, range(40, 60)));
        // Those below a session's floor, and those of an epoch that is over.
        assert!(is_answer(2, 40, range(50, 90)) && is_answer(1, 40, range(90, 90)));
        // An earlier life of ours had those up to 70.
        assert!(!is_answer(1, 70, range(70, 90)) && !is_answer(1, 30, range(40, 60)));
        assert!(!is_answer(3, 40, range(40, 60)), "no member");
        assert!(!is_answer(1, 40, range(40, 91)) && !is_answer(1, 40, range(39, 60)));
        assert!(!is_answer(1, 40, OutputRange { epoch: SessionEpoch(1), ..range(40, 60) }));
    }
}

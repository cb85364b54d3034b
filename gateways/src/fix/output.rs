//! What a connection still has to be sent, and in which order: live outputs as they are committed, resends, and, where
//! the peer reads slower than the market moves, outputs that were skipped and are read back from the outbox.

use std::collections::VecDeque;

use protocol::event::Event;
use protocol::{OutSeq, SessionEpoch, SessionId, UnixNanos};

use super::ConnectionId;
use super::directory::Directory;
use super::encode::Encoder;
use super::render::{self, Route, Sending};

/// Outputs that one read of the outbox asks for.
const READ_OUTPUTS_MAX: u64 = 256;
/// Ranges that wait to be sent again; a further one is merged into the last, so that nothing that was asked for is lost.
const RESENDS_MAX: usize = 8;

/// A request to the outbox: the outputs of a session and epoch with these numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxRead {
    /// For whom; give it back with the events.
    pub connection: ConnectionId,
    /// Whose outputs.
    pub session: SessionId,
    /// Of which epoch.
    pub epoch: SessionEpoch,
    /// First number.
    pub from: OutSeq,
    /// Last number.
    pub to: OutSeq,
}

/// Everything that rendering needs beside the event.
pub(crate) struct Pen<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) encoder: &'a mut Encoder,
    pub(crate) wall: UnixNanos,
    pub(crate) route: Route<'a>,
    pub(crate) out: &'a mut Vec<u8>,
}

impl Pen<'_> {
    pub(crate) fn output(&mut self, event: &Event, sending: Sending) {
        render::output(event, sending, self.route, self.directory, self.wall, self.encoder, self.out);
    }

    fn gap_fill(&mut self, from: u64, next: u64, orig: Option<UnixNanos>) {
        render::gap_fill(OutSeq(from), OutSeq(next), self.route, orig, self.wall, self.encoder, self.out);
    }
}

/// A range that is being sent again.
#[derive(Clone, Copy, Debug)]
struct Resend {
    /// First number not answered yet: by a message or by a gap fill.
    answer_from: u64,
    /// First number not read yet; the ones between are administration that a gap fill will cover.
    read_from: u64,
    to: u64,
    /// When the first output of the gap was sent.
    orig: Option<UnixNanos>,
}

/// The outbound side of a session on its connection.
#[derive(Debug)]
pub(crate) struct Outgoing {
    session: SessionId,
    epoch: SessionEpoch,
    /// The next number to send for the first time.
    next_live: u64,
    /// The highest number that has been committed.
    seen: u64,
    resends: VecDeque<Resend>,
    /// What to send again as soon as the Logon has gone out.
    after_logon: Option<(u64, u64)>,
    reading: bool,
}

impl Outgoing {
    pub(crate) fn new(session: SessionId, epoch: SessionEpoch, next_out: OutSeq, resend_from: u64) -> Self {
        let behind = (resend_from > 0 && resend_from < next_out.0).then(|| (resend_from, next_out.0 - 1));
        Self {
            session,
            epoch,
            next_live: next_out.0.max(1),
            seen: next_out.0.saturating_sub(1),
            resends: VecDeque::new(),
            after_logon: behind,
            reading: false,
        }
    }

    /// Whether something has to come from the outbox.
    pub(crate) fn is_behind(&self) -> bool {
        !self.resends.is_empty() || self.next_live <= self.seen
    }

    /// A committed output: rendered if nothing stands before it and there is room, otherwise left to the outbox. Returns
    /// whether it was rendered.
    pub(crate) fn offer(&mut self, event: &Event, has_room: bool, pen: &mut Pen<'_>) -> bool {
        let Some(number) = event.output.filter(|number| number.epoch == self.epoch) else { return false };
        let up_to_date = !self.is_behind();
        self.seen = self.seen.max(number.out_seq.0);
        if !up_to_date || !has_room || number.out_seq.0 != self.next_live {
            return false;
        }
        pen.output(event, Sending::First);
        self.next_live += 1;
        if let Some((from, to)) = self.after_logon.take() {
            self.resend(from, to, OutSeq(0), pen);
        }
        true
    }

    /// The peer asked for `begin` to `end`; below `floor` nothing is kept. What it asks for and was not sent yet comes
    /// for the first time when its turn is.
    pub(crate) fn resend(&mut self, begin: u64, end: u64, floor: OutSeq, pen: &mut Pen<'_>) {
        let (begin, end) = (begin.max(1), end.min(self.next_live - 1));
        if begin > end {
            return;
        }
        // The gap below the floor waits for its turn like the rest: an earlier range may still be on its way.
        let read_from = begin.max(floor.0.min(end + 1));
        let resend = Resend { answer_from: begin, read_from, to: end, orig: None };
        let is_full = self.resends.len() >= RESENDS_MAX;
        match self.resends.back_mut() {
            Some(last) if is_full => {
                last.answer_from = last.answer_from.min(begin);
                last.read_from = last.read_from.min(read_from);
                last.to = last.to.max(end);
            }
            _ => self.resends.push_back(resend),
        }
        self.finish_ranges(pen);
    }

    /// The next read, if one is due and none is under way.
    pub(crate) fn next_read(&mut self, connection: ConnectionId) -> Option<OutboxRead> {
        if self.reading {
            return None;
        }
        let (from, to) = match self.resends.front() {
            Some(resend) => (resend.read_from, resend.to),
            None => (self.next_live, self.seen),
        };
        if from > to {
            return None;
        }
        self.reading = true;
        let to = to.min(from + (READ_OUTPUTS_MAX - 1));
        let read = OutboxRead {
            connection,
            session: self.session,
            epoch: self.epoch,
            from: OutSeq(from),
            to: OutSeq(to),
        };
        Some(read)
    }

    /// Takes what a read found, in the order of the numbers. What lies before an event and was not found is filled; what
    /// lies behind the last event is asked for again; if nothing was found, nothing is kept of the whole range.
    pub(crate) fn read(&mut self, read: &OutboxRead, events: &[Event], pen: &mut Pen<'_>) {
        if read.epoch != self.epoch || !self.reading {
            return;
        }
        self.reading = false;
        if self.resends.is_empty() {
            self.read_live(read, events, pen);
        } else {
            self.read_again(read, events, pen);
        }
    }

    fn read_live(&mut self, read: &OutboxRead, events: &[Event], pen: &mut Pen<'_>) {
        for event in events {
            let Some(number) = event.output.map(|number| number.out_seq.0) else { continue };
            if number < self.next_live || number > read.to.0 {
                continue;
            }
            if number > self.next_live {
                pen.gap_fill(self.next_live, number, Some(event.time));
            }
            pen.output(event, Sending::First);
            self.next_live = number + 1;
        }
        if events.is_empty() {
            pen.gap_fill(self.next_live, read.to.0 + 1, None);
            self.next_live = read.to.0 + 1;
        }
    }

    fn read_again(&mut self, read: &OutboxRead, events: &[Event], pen: &mut Pen<'_>) {
        let Some(resend) = self.resends.front_mut() else { return };
        for event in events {
            let Some(number) = event.output.map(|number| number.out_seq.0) else { continue };
            if number < resend.read_from || number > read.to.0 {
                continue;
            }
            if render::is_resent(&event.body) {
                if resend.answer_from < number {
                    pen.gap_fill(resend.answer_from, number, Some(resend.orig.unwrap_or(event.time)));
                }
                pen.output(event, Sending::Again);
                resend.answer_from = number + 1;
                resend.orig = None;
            } else if resend.orig.is_none() {
                resend.orig = Some(event.time);
            }
            resend.read_from = number + 1;
        }
        if events.is_empty() {
            resend.read_from = read.to.0 + 1;
        }
        self.finish_ranges(pen);
    }

    /// Ends ranges that have been read to their end, each with a gap fill for what is left of it.
    fn finish_ranges(&mut self, pen: &mut Pen<'_>) {
        while let Some(resend) = self.resends.front().copied().filter(|resend| resend.read_from > resend.to) {
            if resend.answer_from <= resend.to {
                pen.gap_fill(resend.answer_from, resend.to + 1, resend.orig);
            }
            self.resends.pop_front();
        }
    }
}

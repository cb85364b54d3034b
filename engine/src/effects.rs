//! Where the events of one command go, with its seq and time.

use protocol::event::{Event, OutputNumber};
use protocol::{EventBody, Seq, UnixNanos};

/// The command being applied, and what followed from it so far.
pub(crate) struct Effects<'e> {
    pub(crate) seq: Seq,
    pub(crate) time: UnixNanos,
    events: &'e mut Vec<Event>,
}

impl<'e> Effects<'e> {
    pub(crate) const fn new(seq: Seq, time: UnixNanos, events: &'e mut Vec<Event>) -> Self {
        Self { seq, time, events }
    }

    /// An event for everybody who listens.
    #[inline]
    pub(crate) fn push(&mut self, body: impl Into<EventBody>) {
        self.numbered(None, body);
    }

    /// An output of a session, under the number that the session gave it.
    #[inline]
    pub(crate) fn send(&mut self, number: OutputNumber, body: impl Into<EventBody>) {
        self.numbered(Some(number), body);
    }

    // Inlined, so that an event is built where it is kept and not moved there.
    #[inline(always)]
    fn numbered(&mut self, output: Option<OutputNumber>, body: impl Into<EventBody>) {
        self.events.push(Event { output, seq: self.seq, time: self.time, body: body.into() });
    }
}

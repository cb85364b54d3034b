//! Requests with a key: inside a window a repetition gets the first reply again, and is never executed twice.

use protocol::limits::REQUEST_WINDOW;
use protocol::mutant::{Mutant, planted};
use protocol::record::Record;
use protocol::{Command, RejectReason, RequestNumber, Seq, SessionId, Text, events};

use crate::broken::{About, Refusal};

/// What a request was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) effective_seq: Seq,
    pub(crate) refusal: Option<RejectReason>,
    pub(crate) field: Text<48>,
}

impl Reply {
    pub(crate) fn new(effective_seq: Seq, refusal: Option<Refusal>) -> Self {
        let (refusal, field) = match refusal {
            Some(Refusal { reason, about }) => (Some(reason), about.text()),
            None => (None, Text::EMPTY),
        };
        Self { effective_seq, refusal, field }
    }

    pub(crate) fn event(&self, session: SessionId, request: RequestNumber) -> events::Replied {
        let Self { effective_seq, refusal, field } = *self;
        events::Replied { session, request, effective_seq, refusal, field }
    }
}

/// A request that was answered, with the bytes by which another one under its number is told from a repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    /// 0 = none yet.
    pub(crate) request: u64,
    pub(crate) kind: u16,
    pub(crate) version: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) reply: Reply,
}

/// What the window knows of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Execute it.
    New,
    /// A repetition: the first reply again.
    Again(Reply),
    /// Refuse it.
    Refused(Refusal),
}

/// The last [`REQUEST_WINDOW`] request numbers of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestWindow {
    /// The highest request number so far.
    pub(crate) highest: u64,
    /// By request number modulo the window's length; buffers are used again.
    answered: Vec<Answered>,
}

impl RequestWindow {
    /// What is known of the request of a record.
    pub(crate) fn look(&self, record: &Record<'_>) -> Known {
        let request = record.header.request.0;
        if request == 0 || planted(Mutant::RequestExecutedAgain) {
            return Known::New;
        }
        if request.saturating_add(REQUEST_WINDOW) <= self.highest {
            return Known::Refused(Refusal {
                reason: RejectReason::BelowRequestWindow,
                about: About::Nothing,
            });
        }
        let Some(before) = self.answered.get(slot(request)).filter(|before| before.request == request) else {
            return Known::New;
        };
        if before.kind == record.kind && before.version == record.version && before.body == record.body {
            return Known::Again(before.reply.clone());
        }
        let decoded = |kind, version, body: &[u8]| Command::decode(kind, version, body);
        match (
            decoded(before.kind, before.version, &before.body),
            decoded(record.kind, record.version, record.body),
        ) {
            (Ok(one), Ok(two)) => match one.first_difference(&two) {
                Some(field) => {
                    Known::Refused(Refusal { reason: RejectReason::KeyReused, about: About::Field(field) })
                }
                None => Known::Again(before.reply.clone()),
            },
            _ => Known::Refused(Refusal { reason: RejectReason::KeyReused, about: About::Field("body") }),
        }
    }

    /// Remembers the reply to a request that was new.
    pub(crate) fn remember(&mut self, record: &Record<'_>, reply: Reply) {
        let request = record.header.request.0;
        if request == 0 {
            return;
        }
        self.highest = self.highest.max(request);
        let slot = slot(request);
        if self.answered.len() <= slot {
            self.answered.resize_with(slot.saturating_add(1), Answered::default);
        }
        if let Some(answered) = self.answered.get_mut(slot) {
            answered.request = request;
            answered.kind = record.kind;
            answered.version = record.version;
            answered.body.clear();
            answered.body.extend_from_slice(record.body);
            answered.reply = reply;
        }
    }

    /// Puts back what [`RequestWindow::in_window`] gave.
    pub(crate) fn restore(&mut self, answered: Answered) {
        let slot = slot(answered.request);
        if self.answered.len() <= slot {
            self.answered.resize_with(slot.saturating_add(1), Answered::default);
        }
        if let Some(place) = self.answered.get_mut(slot) {
            *place = answered;
        }
    }

    /// The requests in the window, in order. What stands below it has no effect any more and is not state.
    pub(crate) fn in_window(&self) -> Vec<&Answered> {
        let lives = |answered: &&Answered| {
            !planted(Mutant::RequestsNotInSnapshot)
                && answered.request != 0
                && answered.request.saturating_add(REQUEST_WINDOW) > self.highest
        };
        let mut answered: Vec<&Answered> = self.answered.iter().filter(lives).collect();
        answered.sort_unstable_by_key(|answered| answered.request);
        answered
    }
}

fn slot(request: u64) -> usize {
    let slot = request.checked_rem(REQUEST_WINDOW).unwrap_or(0);
    usize::try_from(slot).unwrap_or(0)
}

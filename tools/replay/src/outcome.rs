//! How a command ended, told from what followed it: nothing that was refused is invisible.

use protocol::event::Event;
use protocol::rows::RowResult;
use protocol::{EventBody, ExecType, LedgerRefusal, RejectReason, Seq};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It took effect, or had nothing to do.
    Done,
    /// The same request again: answered with the first result.
    Repeated,
    /// Refused with an answer to its sender.
    Refused(&'static str),
    /// Dropped without one: a straggler, or a number that has been executed.
    Dropped(&'static str),
    /// Passed over by operators.
    Skipped,
}

impl Outcome {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Repeated => "repeated",
            Self::Refused(_) => "refused",
            Self::Dropped(_) => "dropped",
            Self::Skipped => "skipped",
        }
    }

    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Done | Self::Repeated | Self::Skipped => None,
            Self::Refused(reason) | Self::Dropped(reason) => Some(reason),
        }
    }

    /// Of the command `seq`, which `events` followed.
    pub(crate) fn of(seq: Seq, events: &[Event]) -> Self {
        events.iter().find_map(|event| of_event(seq, &event.body)).unwrap_or(Self::Done)
    }
}

fn of_event(seq: Seq, body: &EventBody) -> Option<Outcome> {
    if let EventBody::RecordSkipped(_) = body {
        Some(Outcome::Skipped)
    } else if let EventBody::Dropped(dropped) = body {
        Some(Outcome::Dropped(dropped.reason.name()))
    } else if let EventBody::Replied(reply) = body {
        if reply.effective_seq == seq {
            reply.refusal.map(|reason| Outcome::Refused(reason.name()))
        } else {
            Some(Outcome::Repeated)
        }
    } else if let EventBody::AccountsCreated(made) = body {
        of_rows(made.created, &made.exceptions)
    } else if let EventBody::TransfersCreated(made) = body {
        of_rows(made.created, &made.exceptions)
    } else if let EventBody::ExecutionReport(report) = body {
        let reason = report.reason.map_or("Rejected", RejectReason::name);
        (report.exec_type == ExecType::Rejected).then_some(Outcome::Refused(reason))
    } else if let EventBody::CancelRejected(rejected) = body {
        Some(Outcome::Refused(rejected.reason.name()))
    } else if let EventBody::BusinessRejected(_) = body {
        Some(Outcome::Refused("BusinessMessageReject"))
    } else if let EventBody::RejectSent(_) = body {
        Some(Outcome::Refused("SessionReject"))
    } else if let EventBody::SessionRefused(refused) = body {
        Some(Outcome::Refused(refused.end.name()))
    } else {
        None
    }
}

/// Of a batch: the first row that was refused, even if others were not.
fn of_rows(created: u32, exceptions: &[RowResult]) -> Option<Outcome> {
    match exceptions.iter().find(|row| row.refusal != LedgerRefusal::Exists) {
        Some(row) => Some(Outcome::Refused(row.refusal.name())),
        None => (created == 0 && !exceptions.is_empty()).then_some(Outcome::Repeated),
    }
}

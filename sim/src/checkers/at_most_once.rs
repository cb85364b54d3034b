//! A command takes effect once, however often it was sent: a transfer's money moves once, a ClOrdID becomes one order, a
//! request has one result.

use std::collections::BTreeMap;

use protocol::commands::ClOrdId;
use protocol::event::Event;
use protocol::{Command, EventBody, ExecType, RequestNumber, Seq, SessionId, TransferId};

use super::{Checker, Served, Violation, created, ensure};

const NAME: &str = "at_most_once";

#[derive(Default)]
pub(super) struct AtMostOnce {
    checked: Seq,
    transfers: BTreeMap<TransferId, Seq>,
    orders: BTreeMap<(SessionId, ClOrdId), Seq>,
    results: BTreeMap<(SessionId, RequestNumber), Seq>,
}

impl Checker for AtMostOnce {
    fn served(&mut self, served: &mut Served<'_>) -> Result<(), Violation> {
        let from = self.checked.next();
        for event in served.witness.events_from(from) {
            self.take(event, served.witness.batch_at(event.seq))?;
        }
        self.checked = served.witness.engine().seq_applied();
        Ok(())
    }
}

impl AtMostOnce {
    fn take(&mut self, event: &Event, batch: Option<&Command>) -> Result<(), Violation> {
        if let (EventBody::TransfersCreated(made), Some(Command::CreateTransfers(batch))) =
            (&event.body, batch)
        {
            for row in created(&batch.transfers, &made.exceptions) {
                let before = self.transfers.insert(row.id, event.seq);
                ensure(before.is_none(), NAME, || {
                    format!("transfer {} moved money at {before:?} and again at {}", row.id, event.seq)
                })?;
            }
        }
        if let (EventBody::ExecutionReport(report), Some(number)) = (&event.body, event.output)
            && report.exec_type == ExecType::New
        {
            let before = self.orders.insert((number.session, report.cl_ord_id), event.seq);
            ensure(before.is_none(), NAME, || {
                format!("order {:?} accepted at {before:?} and again at {}", report.cl_ord_id, event.seq)
            })?;
        }
        if let EventBody::Replied(reply) = &event.body
            && reply.refusal.is_none()
        {
            let before = self.results.insert((reply.session, reply.request), reply.effective_seq);
            ensure(before.is_none_or(|before| before == reply.effective_seq), NAME, || {
                format!("request {} took effect at {before:?} and at {}", reply.request, reply.effective_seq)
            })?;
        }
        Ok(())
    }
}

//! A command takes effect once, however often it was sent: a deposit's or transfer's money moves once, a ClOrdID becomes
//! one order, a request has one result.

use std::collections::BTreeMap;

use protocol::commands::ClOrdId;
use protocol::event::Event;
use protocol::{EventBody, ExecType, RequestNumber, Seq, SessionId, TransferId};

use super::{Checker, Served, Violation, ensure};

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
            self.take(event)?;
        }
        self.checked = served.witness.engine().seq_applied();
        Ok(())
    }
}

impl AtMostOnce {
    fn take(&mut self, event: &Event) -> Result<(), Violation> {
        let transfer = if let EventBody::MoneyDeposited(money) = &event.body {
            Some(money.transfer)
        } else if let EventBody::MoneyWithdrawn(money) = &event.body {
            Some(money.transfer)
        } else if let EventBody::MoneyTransferred(money) = &event.body {
            Some(money.transfer)
        } else {
            None
        };
        if let Some(transfer) = transfer {
            let before = self.transfers.insert(transfer, event.seq);
            ensure(before.is_none(), NAME, || {
                format!("transfer {transfer} moved money at {before:?} and again at {}", event.seq)
            })?;
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

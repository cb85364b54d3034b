//! Each session is sent the numbers 1, 2, 3 … of its epoch, and what a client assembled from live messages, resends and
//! gap fills over all its connections is that very stream.

use std::collections::BTreeMap;

use protocol::event::Event;
use protocol::{EventBody, OutSeq, SessionEpoch};

use super::{Checker, Served, Violation, ensure};
use crate::workload::trader::{Received, Trader};

const NAME: &str = "outputs_gapless";

pub(super) struct OutputsGapless;

impl Checker for OutputsGapless {
    fn served(&mut self, served: &mut Served<'_>) -> Result<(), Violation> {
        for (&(session, epoch), outputs) in served.witness.outputs() {
            for (place, event) in (1..).zip(outputs) {
                let found = event.output.map(|number| number.out_seq);
                ensure(found == Some(OutSeq(place)), NAME, || {
                    format!("output {place} of session {session} epoch {epoch} has number {found:?}")
                })?;
            }
        }
        for trader in served.workload.traders() {
            for (&(epoch, _), stream) in trader.streams() {
                let outputs = served.witness.outputs().get(&(trader.session(), epoch));
                assembled(trader, epoch, stream, outputs.map_or(&[][..], Vec::as_slice))?;
            }
        }
        Ok(())
    }
}

fn assembled(
    trader: &Trader,
    epoch: SessionEpoch,
    stream: &BTreeMap<u64, Received>,
    outputs: &[Event],
) -> Result<(), Violation> {
    let session = trader.session();
    let mut next = 1;
    for (&number, received) in stream {
        ensure(number == next, NAME, || {
            format!("session {session} epoch {epoch}: {number} follows {} at the client", next - 1)
        })?;
        next = received.next;
        for filled in number..next {
            let event = outputs.get(filled as usize - 1);
            let same = event.is_some_and(|event| matches(received, event));
            ensure(same, NAME, || {
                format!(
                    "session {session} epoch {epoch} number {filled}: received {received:?}, journal {event:?}"
                )
            })?;
        }
    }
    Ok(())
}

/// Whether the client's message says what the event does. A gap fill may stand for session messages alone.
fn matches(received: &Received, event: &Event) -> bool {
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    if let EventBody::ExecutionReport(report) = &event.body {
        received.kind == "8"
            && received.cl_ord_id == text(report.cl_ord_id.as_bytes())
            && (report.order.0 == 0 || received.order == report.order.0.to_string())
            && received.cum == report.cum_lots.0.to_string()
    } else if let EventBody::CancelRejected(reject) = &event.body {
        received.kind == "9" && received.cl_ord_id == text(reject.cl_ord_id.as_bytes())
    } else if matches!(event.body, EventBody::BusinessRejected(_) | EventBody::RejectSent(_)) {
        ["j", "3", "4"].contains(&received.kind.as_str())
    } else {
        !["8", "9", "j"].contains(&received.kind.as_str())
    }
}

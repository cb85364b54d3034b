//! What a client was told is true for ever: every event that left a process is in the journal that the next one finds, at
//! the same seq and with the same bytes, and every numbered output of a session's epoch can be had again from the outbox.

use std::collections::BTreeMap;

use journal::Dir;
use protocol::event::{Event, OutputNumber};

use super::{Checker, Served, Violation, ensure};

const NAME: &str = "acked_survives";
/// Bytes asked of the outbox at a time.
const READ_BYTES: usize = 64 << 10;

#[derive(Default)]
pub(super) struct AckedSurvives {
    /// Not yet found in the journal.
    unconfirmed: Vec<Event>,
    outputs: BTreeMap<OutputNumber, Event>,
}

impl Checker for AckedSurvives {
    fn sent(&mut self, event: &Event) -> Result<(), Violation> {
        self.unconfirmed.push(event.clone());
        if let Some(number) = event.output {
            let before = self.outputs.insert(number, event.clone());
            ensure(before.as_ref().is_none_or(|before| before == event), NAME, || {
                format!("output {number:?} was sent twice and differs: {before:?}, then {event:?}")
            })?;
        }
        Ok(())
    }

    fn served(&mut self, served: &mut Served<'_>) -> Result<(), Violation> {
        for event in self.unconfirmed.drain(..) {
            let found = served.witness.events_at(event.seq);
            ensure(found.contains(&event), NAME, || {
                format!("{event:?} was sent; at seq {} the journal has {found:?}", event.seq)
            })?;
        }
        // What is to come from another replica is refused until then, and not answered by a gap fill.
        if served.replica.status().outputs_to_come.is_some() {
            return Ok(());
        }
        self.outputs_are_in_the_outbox(served)
    }
}

impl AckedSurvives {
    fn outputs_are_in_the_outbox(&self, served: &mut Served<'_>) -> Result<(), Violation> {
        // Outputs of epochs that are over cannot be asked for any more.
        let current: BTreeMap<_, _> =
            served.replica.engine().sessions().map(|view| (view.session, view.epoch)).collect();
        let mut last = BTreeMap::new();
        for number in self.outputs.keys().filter(|number| current.get(&number.session) == Some(&number.epoch))
        {
            last.insert((number.session, number.epoch), number.out_seq);
        }
        for ((session, epoch), to) in last {
            let mut from = protocol::OutSeq(1);
            while from <= to {
                let read = served.replica.read_outbox(session, epoch, from, to, READ_BYTES);
                let read = read.as_ref().map(Vec::as_slice);
                // What has decayed is refused. To be told that there was none would be a gap fill.
                if read.is_err() && served.disk.has_rotten(Dir::Outbox) {
                    break;
                }
                ensure(read.is_ok_and(|read| !read.is_empty()), NAME, || {
                    format!(
                        "output {from} of session {session} epoch {epoch} is not in the outbox: {read:?}; sent up to {to}"
                    )
                })?;
                for event in read.unwrap_or_default() {
                    let number = OutputNumber { session, epoch, out_seq: from };
                    let sent = self.outputs.get(&number);
                    let same = event.output == Some(number) && sent.is_none_or(|sent| sent == event);
                    ensure(same, NAME, || {
                        format!("outbox has {event:?} where {sent:?} was sent as {number:?}")
                    })?;
                    from = protocol::OutSeq(from.0 + 1);
                }
            }
        }
        Ok(())
    }
}

//! Outputs of sessions in memory, until the journal's outbox files are here.

use std::collections::BTreeMap;

use protocol::event::{Event, OutputNumber};
use protocol::{OutSeq, Seq, SessionEpoch, SessionId};

#[derive(Default)]
pub(crate) struct Outbox {
    outputs: BTreeMap<(SessionId, SessionEpoch, OutSeq), Vec<u8>>,
}

impl Outbox {
    pub(crate) fn append(&mut self, number: OutputNumber, _seq: Seq, bytes: &[u8]) {
        self.outputs.insert((number.session, number.epoch, number.out_seq), bytes.to_vec());
    }

    pub(crate) fn read(
        &self,
        session: SessionId,
        epoch: SessionEpoch,
        from: OutSeq,
        to: OutSeq,
        bytes_max: usize,
    ) -> Vec<Event> {
        let mut bytes = 0;
        let fits = |(_, output): &(_, &Vec<u8>)| {
            let before = bytes;
            bytes += output.len();
            before == 0 || bytes <= bytes_max
        };
        let range = (session, epoch, from)..=(session, epoch, to);
        self.outputs
            .range(range)
            .take_while(fits)
            .filter_map(|(_, o)| Event::read(o).ok())
            .map(|(e, _)| e)
            .collect()
    }
}

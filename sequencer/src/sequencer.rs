//! The bounded queue before the journal, and how a batch is closed.

use std::collections::VecDeque;

use protocol::frame::{self, FrameHeader, FrameKind};
use protocol::hash::Hash;
use protocol::limits::{
    BATCH_RECORDS_MAX, FRAME_BYTES_MAX, FRAME_CHAIN_BYTES, FRAME_HEADER_BYTES, INGRESS_BYTES_MAX,
    INGRESS_RECORDS_MAX, RECORD_BYTES_MAX,
};
use protocol::record::{RecordHeader, set_gateway_delay_us};
use protocol::submit::{Full, Submit};
use protocol::{Command, Field, Index, MonoNanos, Seq, Term, UnixNanos};

use crate::Stamper;

/// One FIFO of commands, held as the frames that they will become.
///
/// Full means push-back, never loss: [`Submit::submit`] refuses and leaves no trace. The last eighth is kept for what
/// takes risk off the book or administers ([`Command::has_reserved_room`]).
#[derive(Debug)]
pub struct Sequencer {
    /// Oldest first; only the last one still takes records. Each starts with room for a frame's header.
    batches: VecDeque<Batch>,
    records: usize,
    bytes: usize,
    stamper: Option<Stamper>,
}

/// A frame under construction.
#[derive(Debug, Default)]
struct Batch {
    buffer: Vec<u8>,
    /// Of each record, in order.
    received: Vec<MonoNanos>,
}

/// Where a batch goes in the log, and what its proposer has seen.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Index of the entry.
    pub index: Index,
    /// The leader's term.
    pub term: Term,
    /// Version of the rules.
    pub engine_version: u32,
    /// Last applied seq …
    pub applied_seq: Seq,
    /// … and the effects' hash there.
    pub effect_hash: Hash,
}

/// A batch that has its order and time.
#[derive(Debug)]
pub struct ClosedBatch {
    /// A closed frame of kind Entry.
    pub frame: Vec<u8>,
    /// Seq of its first record.
    pub first_seq: Seq,
    /// When each record arrived at its gateway.
    pub received: Vec<MonoNanos>,
}

const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - FRAME_HEADER_BYTES - FRAME_CHAIN_BYTES;

impl Default for Sequencer {
    fn default() -> Self {
        Self::new()
    }
}

impl Sequencer {
    /// Empty, and without a term: records wait.
    #[must_use]
    pub fn new() -> Self {
        Self { batches: VecDeque::new(), records: 0, bytes: 0, stamper: None }
    }

    /// A term of ours begins; everything up to the record with `last_seq` and `last_time` has been applied.
    pub fn begin_term(&mut self, last_seq: Seq, last_time: UnixNanos) {
        self.stamper = Some(Stamper::after(last_seq, last_time));
    }

    /// The term is over: what waits has no seq yet. Its submitters hear of it from the next leader or send it again.
    pub fn end_term(&mut self) {
        *self = Self::new();
    }

    /// Records that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.records
    }

    /// Whether a whole batch has gathered, so that it need not wait for the disk.
    #[must_use]
    pub fn has_full_batch(&self) -> bool {
        self.batches.len() > 1
    }

    /// Seq of the next record, in a term of ours.
    #[must_use]
    pub fn next_seq(&self) -> Option<Seq> {
        self.stamper.map(|s| s.next_seq())
    }

    /// Closes the oldest batch: its records get seq and time, in place. `None` if nothing waits or the term is not ours.
    pub fn close_batch(&mut self, now: MonoNanos, wall: UnixNanos, place: &Place) -> Option<ClosedBatch> {
        let stamper = self.stamper.as_mut()?;
        let Batch { mut buffer, received } = self.batches.pop_front()?;
        self.records -= received.len();
        self.bytes -= buffer.len() - FRAME_HEADER_BYTES;
        let count = u32::try_from(received.len()).unwrap_or(u32::MAX);
        let (first_seq, time) = stamper.stamp(wall, count);
        stamp_delays(&mut buffer[FRAME_HEADER_BYTES..], &received, now);
        let header = FrameHeader {
            kind: FrameKind::Entry,
            index: place.index,
            term: place.term,
            time,
            first_seq,
            count,
            engine_version: place.engine_version,
            applied_seq: place.applied_seq,
            effect_hash: place.effect_hash,
        };
        frame::finish(&mut buffer, &header);
        Some(ClosedBatch { frame: buffer, first_seq, received })
    }
}

impl Submit for Sequencer {
    fn submit(&mut self, header: &RecordHeader, received: MonoNanos, command: &Command) -> Result<(), Full> {
        let (records_max, bytes_max) = if command.has_reserved_room() {
            (INGRESS_RECORDS_MAX, INGRESS_BYTES_MAX)
        } else {
            (INGRESS_RECORDS_MAX / 8 * 7, INGRESS_BYTES_MAX / 8 * 7)
        };
        if self.records >= records_max || self.bytes + RECORD_BYTES_MAX > bytes_max {
            return Err(Full);
        }
        let has_room = self.batches.back().is_some_and(|batch| {
            batch.received.len() < BATCH_RECORDS_MAX
                && batch.buffer.len() - FRAME_HEADER_BYTES + RECORD_BYTES_MAX <= PAYLOAD_BYTES_MAX
        });
        if !has_room {
            let mut batch = Batch::default();
            frame::begin(&mut batch.buffer);
            self.batches.push_back(batch);
        }
        let Some(batch) = self.batches.back_mut() else { return Err(Full) };
        let before = batch.buffer.len();
        // Every command's fields are bounded, so that none exceeds a record (protocol's tests): refused as a last resort.
        header.write(command, &mut batch.buffer).map_err(|_| Full)?;
        batch.received.push(received);
        self.records += 1;
        self.bytes += batch.buffer.len() - before;
        Ok(())
    }
}

/// Time from arrival to sequencing, into each record's header.
fn stamp_delays(mut records: &mut [u8], received: &[MonoNanos], now: MonoNanos) {
    for &at in received {
        let delay_us = u32::try_from(now.since(at) / 1_000).unwrap_or(u32::MAX);
        set_gateway_delay_us(records, delay_us);
        let length = usize::try_from(records.u32_at(0)).unwrap_or(usize::MAX);
        records = &mut records[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::commands::{Pulse, Transfer};
    use protocol::frame::Frame;
    use protocol::{AccountId, Amount, RequestNumber, SessionId, TransferId};

    fn transfer(n: u64) -> Command {
        let transfer = TransferId(u128::from(n));
        Transfer { transfer, debit: AccountId(1), credit: AccountId(2), amount: Amount(5), code: 0 }.into()
    }

    fn header(n: u64) -> RecordHeader {
        RecordHeader { session: SessionId(7), request: RequestNumber(n), ..RecordHeader::default() }
    }

    const PLACE: Place = Place {
        index: Index(4),
        term: Term(2),
        engine_version: 1,
        applied_seq: Seq(9),
        effect_hash: Hash::ZERO,
    };

    #[test]
    fn records_leave_in_order_with_gapless_seq_and_their_delay() {
        let mut sequencer = Sequencer::new();
        for n in 1..=5_000 {
            sequencer.submit(&header(n), MonoNanos(n * 1_000), &transfer(n)).unwrap();
        }
        assert!(sequencer.has_full_batch());
        assert!(sequencer.close_batch(MonoNanos(0), UnixNanos(0), &PLACE).is_none(), "no term yet");
        sequencer.begin_term(Seq(9), UnixNanos(77));
        let (mut next, mut last_time) = (10, UnixNanos(77));
        while let Some(batch) = sequencer.close_batch(MonoNanos(6_000_000), UnixNanos(50), &PLACE) {
            assert!(batch.frame.len() <= FRAME_BYTES_MAX);
            for (seq, time, record) in Frame::read(&batch.frame).unwrap().records() {
                let record = record.unwrap();
                assert_eq!(seq, Seq(next));
                assert!(time > last_time);
                assert_eq!(record.header.request, RequestNumber(next - 9));
                assert_eq!(u64::from(record.header.gateway_delay_us), 6_000 - (next - 9));
                assert_eq!(record.command().unwrap(), transfer(next - 9));
                (next, last_time) = (next + 1, time);
            }
        }
        assert_eq!(next, 5_010);
        assert_eq!((sequencer.waiting(), sequencer.bytes), (0, 0));
    }

    #[test]
    fn the_last_eighth_takes_only_cancels_and_administration() {
        let mut sequencer = Sequencer::new();
        let mut taken = 0;
        while sequencer.submit(&header(taken), MonoNanos(0), &transfer(taken)).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 14_336, "seven eighths");
        while sequencer.submit(&header(0), MonoNanos(0), &Pulse {}.into()).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 16_384);
        assert_eq!(sequencer.waiting(), 16_384, "a refusal leaves no trace");
    }
}

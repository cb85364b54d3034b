//! The bounded queue before the journal, and how a batch is closed.

use std::collections::VecDeque;

use protocol::frame::{self, FrameHeader, FrameKind};
use protocol::hash::Hash;
use protocol::limits::{
    BATCH_RECORDS_MAX, FRAME_BYTES_MAX, FRAME_CHAIN_BYTES, FRAME_HEADER_BYTES, INGRESS_BYTES_MAX,
    INGRESS_RECORDS_MAX, RECORD_BYTES_MAX,
};
use protocol::record::{self, EncodedCommand, RecordHeader, set_gateway_delay_us};
use protocol::submit::{Full, Submit};
use protocol::{Command, Field, Index, MonoNanos, Seq, Term, UnixNanos};

use crate::Stamper;

/// One FIFO of commands, held as the frames that they will become.
///
/// Full means push-back, never loss: [`Submit::submit`] refuses and leaves no trace. The last eighth is kept for what
/// takes risk off the book or administers ([`Command::has_reserved_room`]).
///
/// A record that fits shares a frame of [`FRAME_BYTES_MAX`] with others; a larger one, a client's batch, is alone in a frame
/// of its size.
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

impl Batch {
    /// With room for a frame's header and so many bytes of records.
    fn begin(record_bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(frame::frame_bytes(record_bytes));
        frame::begin(&mut buffer);
        Self { buffer, received: Vec::new() }
    }

    fn payload_bytes(&self) -> usize {
        self.buffer.len() - FRAME_HEADER_BYTES
    }

    fn has_room(&self, record_bytes: usize) -> bool {
        self.received.len() < BATCH_RECORDS_MAX && self.payload_bytes() + record_bytes <= PAYLOAD_BYTES_MAX
    }
}

/// Bytes of records in a frame that several share.
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

    /// Whether a whole batch has gathered, so that it need not wait for the disk: nothing is added to the oldest any more.
    #[must_use]
    pub fn has_full_batch(&self) -> bool {
        self.batches.len() > 1 || self.next_frame_bytes().is_some_and(|bytes| bytes > FRAME_BYTES_MAX)
    }

    /// Bytes of the frame that [`Self::close_batch`] would give; `None` if nothing waits.
    #[must_use]
    pub fn next_frame_bytes(&self) -> Option<usize> {
        self.batches.front().map(|batch| frame::frame_bytes(batch.payload_bytes()))
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

impl Sequencer {
    /// Puts a record of at most `record_bytes` behind those that wait, if there is room: nothing is left of it otherwise.
    fn take(
        &mut self,
        record_bytes: usize,
        is_reserved: bool,
        received: MonoNanos,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), record::RecordFault>,
    ) -> Result<(), Full> {
        let (records_max, bytes_max) = if is_reserved {
            (INGRESS_RECORDS_MAX, INGRESS_BYTES_MAX)
        } else {
            (INGRESS_RECORDS_MAX / 8 * 7, INGRESS_BYTES_MAX / 8 * 7)
        };
        if self.records >= records_max || self.bytes + record_bytes > bytes_max {
            return Err(Full);
        }
        if !self.batches.back().is_some_and(|batch| batch.has_room(record_bytes)) {
            self.batches.push_back(Batch::begin(record_bytes));
        }
        let Some(batch) = self.batches.back_mut() else { return Err(Full) };
        let before = batch.buffer.len();
        // Every command's fields are bounded, so that none exceeds a record (protocol's tests): refused as a last resort.
        if write(&mut batch.buffer).is_err() {
            // A batch without a record would be an entry for nothing, each time that this is tried again.
            if batch.received.is_empty() {
                self.batches.pop_back();
            }
            return Err(Full);
        }
        batch.received.push(received);
        self.records += 1;
        self.bytes += batch.buffer.len() - before;
        Ok(())
    }
}

impl Submit for Sequencer {
    fn submit(&mut self, header: &RecordHeader, received: MonoNanos, command: &Command) -> Result<(), Full> {
        let (kind, version) = (command.kind(), command.version());
        if record::bytes_max(kind) > RECORD_BYTES_MAX {
            // How long it is its bytes alone say.
            let mut body = Vec::new();
            command.encode(&mut body);
            return self.submit_encoded(header, received, &EncodedCommand { kind, version, body: &[&body] });
        }
        self.take(RECORD_BYTES_MAX, command.has_reserved_room(), received, |out| header.write(command, out))
    }

    fn submit_encoded(
        &mut self,
        header: &RecordHeader,
        received: MonoNanos,
        command: &EncodedCommand<'_>,
    ) -> Result<(), Full> {
        let record_bytes = header.encoded_bytes(command);
        if record_bytes > record::bytes_max(command.kind) {
            return Err(Full);
        }
        self.take(record_bytes, false, received, |out| header.write_encoded(command, out))
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
    use protocol::commands::{CreateAccounts, CreateTransfers, Pulse, SetApprovals};
    use protocol::frame::Frame;
    use protocol::limits::{FRAME_BYTES_LARGE, RECORD_BYTES_LARGE, RECORD_HEADER_BYTES};
    use protocol::rows::TransferRow;
    use protocol::{RequestNumber, SessionId, TransferId};

    fn transfer(n: u64) -> Command {
        let row = TransferRow { id: TransferId(n.into()), ..TransferRow::default() };
        CreateTransfers { transfers: vec![row] }.into()
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

    /// What stands in the frames, record by record, and how long each frame is.
    fn close_all(sequencer: &mut Sequencer) -> Vec<(usize, Vec<Vec<u8>>)> {
        let mut frames = Vec::new();
        while let Some(bytes) = sequencer.next_frame_bytes() {
            let batch = sequencer.close_batch(MonoNanos(0), UnixNanos(0), &PLACE).unwrap();
            assert_eq!(batch.frame.len(), bytes);
            let read = Frame::read(&batch.frame).unwrap();
            let records = read.records().map(|(_, _, record)| record.unwrap().bytes.to_vec()).collect();
            frames.push((batch.frame.len(), records));
        }
        assert!(sequencer.close_batch(MonoNanos(0), UnixNanos(0), &PLACE).is_none());
        assert_eq!((sequencer.waiting(), sequencer.bytes), (0, 0));
        frames
    }

    #[test]
    fn a_large_record_is_alone_in_its_frame_and_order_is_kept() {
        // 0: a small command; else a batch with a body of so many bytes.
        let fits = PAYLOAD_BYTES_MAX - RECORD_HEADER_BYTES;
        let longest = RECORD_BYTES_LARGE - RECORD_HEADER_BYTES;
        let story =
            [0, 0, 200, 0, longest, 0, 30_000, 20_000, 30_000, fits, 0, fits + 1, fits + 1, longest, 0];
        let mut sequencer = Sequencer::new();
        sequencer.begin_term(Seq(9), UnixNanos(77));
        let mut expected = Vec::new();
        for bytes in story {
            if bytes == 0 {
                sequencer.submit(&header(1), MonoNanos(0), &transfer(1)).unwrap();
                let mut record = Vec::new();
                header(1).write(&transfer(1), &mut record).unwrap();
                expected.push(record);
            } else {
                let body = vec![0x3c; bytes];
                let (rows, end) = body.split_at(bytes - 8);
                let batch = EncodedCommand { kind: CreateTransfers::KIND, version: 1, body: &[rows, end] };
                sequencer.submit_encoded(&header(1), MonoNanos(0), &batch).unwrap();
                let mut record = Vec::new();
                header(1).write_encoded(&batch, &mut record).unwrap();
                expected.push(record);
            }
        }
        let frames = close_all(&mut sequencer);
        for (bytes, records) in &frames {
            let is_shared = records.len() > 1;
            assert!(*bytes <= if is_shared { FRAME_BYTES_MAX } else { FRAME_BYTES_LARGE });
        }
        let counts: Vec<usize> = frames.iter().map(|(_, records)| records.len()).collect();
        assert_eq!(counts, [4, 1, 3, 1, 1, 1, 1, 1, 1, 1]);
        let records: Vec<_> = frames.into_iter().flat_map(|(_, records)| records).collect();
        assert_eq!(records, expected);
    }

    /// Nobody sends one, and whoever did would try again for ever: without an entry each time.
    #[test]
    fn of_a_record_that_is_too_long_nothing_waits() {
        let mut sequencer = Sequencer::new();
        let approvals = |kinds| SetApprovals { kinds: vec![7; kinds] };
        let longest = (0..3_000)
            .rev()
            .find(|&kinds| header(1).write(&approvals(kinds).into(), &mut Vec::new()).is_ok());
        let too_long: Command = approvals(longest.unwrap() + 1).into();
        assert!(sequencer.submit(&header(1), MonoNanos(0), &too_long).is_err());
        assert_eq!((sequencer.waiting(), sequencer.bytes), (0, 0));
        sequencer.begin_term(Seq(9), UnixNanos(77));
        assert!(sequencer.close_batch(MonoNanos(0), UnixNanos(0), &PLACE).is_none());
        sequencer.submit(&header(1), MonoNanos(0), &transfer(1)).unwrap();
        assert!(sequencer.submit(&header(2), MonoNanos(0), &too_long).is_err());
        let batch = sequencer.close_batch(MonoNanos(0), UnixNanos(0), &PLACE).unwrap();
        assert_eq!(Frame::read(&batch.frame).unwrap().records().count(), 1);
    }

    #[test]
    fn a_large_record_need_not_wait_for_the_disk() {
        let mut sequencer = Sequencer::new();
        sequencer.begin_term(Seq(9), UnixNanos(77));
        sequencer.submit(&header(1), MonoNanos(0), &transfer(1)).unwrap();
        assert!(!sequencer.has_full_batch());
        let rows = vec![1; FRAME_BYTES_MAX];
        let batch = EncodedCommand { kind: CreateTransfers::KIND, version: 1, body: &[&rows] };
        sequencer.submit_encoded(&header(2), MonoNanos(0), &batch).unwrap();
        for _ in 0..2 {
            assert!(sequencer.has_full_batch());
            sequencer.close_batch(MonoNanos(0), UnixNanos(0), &PLACE).unwrap();
        }
        assert!(!sequencer.has_full_batch());
    }

    #[test]
    fn several_large_batches_wait_and_leave_room_for_cancels() {
        let mut sequencer = Sequencer::new();
        let body = vec![1; RECORD_BYTES_LARGE - RECORD_HEADER_BYTES];
        let batch = EncodedCommand { kind: CreateAccounts::KIND, version: 1, body: &[&body] };
        let mut taken = 0;
        while sequencer.submit_encoded(&header(taken), MonoNanos(0), &batch).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 7);
        let bytes = sequencer.bytes;
        assert!(bytes <= INGRESS_BYTES_MAX / 8 * 7);
        let cancels =
            (0..100).filter(|n| sequencer.submit(&header(*n), MonoNanos(0), &Pulse {}.into()).is_ok());
        assert_eq!(cancels.count(), 100);
        let longer = vec![1; RECORD_BYTES_LARGE];
        let longer = EncodedCommand { kind: CreateAccounts::KIND, version: 1, body: &[&longer] };
        let mut empty = Sequencer::new();
        assert_eq!(empty.submit_encoded(&header(1), MonoNanos(0), &longer), Err(Full));
        assert_eq!((empty.waiting(), empty.next_frame_bytes()), (0, None), "a refusal leaves no trace");
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

//! A client that sends batches of transfers, most of them too large to share a frame with anything, and waits for no answer: what
//! everybody else sends has to stay in order before and behind them. No row of it moves money, because each pays itself.

use protocol::commands::CreateTransfers;
use protocol::limits::LEDGER_ROWS_MAX;
use protocol::record::{EncodedCommand, RecordHeader};
use protocol::rows::{TRANSFER_ROW_BYTES, TransferRow};
use protocol::submit::Submit;
use protocol::{AccountId, Amount, AssetId, Command, MonoNanos, SessionId, UnixNanos};

use super::setup;
use crate::clock::clients_now;
use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::trace::Trace;

/// Batches of a world, at most.
const BATCHES_MAX: u64 = 24;
/// Numbers in its ids: nobody else counts so far.
const TRANSFERS_FROM: u64 = 1 << 63;
/// Batches sent at once, at most.
const BURST_MAX: u64 = 4;
/// Rows of a batch: within a usual record, within a usual frame, just above it, and as many as there may be.
const ROWS: [usize; 5] = [20, 300, 520, LEDGER_ROWS_MAX, LEDGER_ROWS_MAX];

/// The client.
pub struct Batches {
    rng: Rng,
    trace: Trace,
    pause_us_max: u64,
    left: u64,
    next_transfer: u64,
    next_at: MonoNanos,
}

impl Batches {
    pub(crate) fn new(mut rng: Rng, knobs: Knobs, trace: Trace) -> Self {
        let left = if knobs.large_batches { rng.within(1..=BATCHES_MAX) } else { 0 };
        let pause_us_max = 2 * knobs.faults_ns / 1_000 / left.max(1);
        Self { rng, trace, pause_us_max, left, next_transfer: TRANSFERS_FROM, next_at: MonoNanos(0) }
    }

    pub(crate) fn stop(&mut self) {
        self.left = 0;
    }

    pub(crate) fn next_at(&self) -> Option<MonoNanos> {
        (self.left > 0).then_some(self.next_at)
    }

    /// Sends what is due. What finds no room is not sent again.
    pub(crate) fn act(&mut self, now: MonoNanos, submit: &mut impl Submit) {
        if self.left == 0 || now < self.next_at {
            return;
        }
        self.next_at = now.plus(self.rng.within(20..=self.pause_us_max.max(20)) * 1_000);
        for _ in 0..self.rng.within(1..=BURST_MAX).min(self.left) {
            self.left -= 1;
            let rows = self.rng.pick(&ROWS);
            let command = self.batch(rows, clients_now(now).wall);
            let mut body = Vec::new();
            command.encode(&mut body);
            let (in_rows, end) = body.split_at(rows * TRANSFER_ROW_BYTES);
            let (kind, version) = (command.kind(), command.version());
            let encoded = EncodedCommand { kind, version, body: &[in_rows, end] };
            let header = RecordHeader { session: SessionId::OPERATOR, ..RecordHeader::default() };
            match submit.submit_encoded(&header, now, &encoded) {
                Ok(()) if rows == LEDGER_ROWS_MAX => self.trace.sometimes("full batch sent"),
                Ok(()) => {}
                Err(_) => self.trace.sometimes("batch found no room"),
            }
            self.trace.note("batch", rows as u64, self.left);
        }
    }

    fn batch(&mut self, rows: usize, at: UnixNanos) -> Command {
        let fill = self.rng.draw();
        let transfers = (0..rows).map(|_| {
            self.next_transfer += 1;
            let id = setup::transfer_id(at, self.next_transfer);
            let itself = (AccountId(1), AccountId(1));
            TransferRow { user_data_64: fill, ..setup::transfer(id, itself, Amount(1), AssetId(1)) }
        });
        CreateTransfers { transfers: transfers.collect() }.into()
    }
}

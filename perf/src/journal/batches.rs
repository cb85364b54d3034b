//! Full batches of transfers through the sequencer and the journal, by one thread, as a node alone carries them: from the bytes
//! of a socket to a durable block. What an engine makes of them, and how they come in, is not in these figures.

use protocol::commands::CreateTransfers;
use protocol::hash::Hash;
use protocol::limits::LEDGER_ROWS_MAX;
use protocol::record::{EncodedCommand, RecordHeader};
use protocol::rows::{TRANSFER_ROW_BYTES, end_rows};
use protocol::submit::Submit;
use protocol::{Index, MonoNanos, Seq, Term, UnixNanos};
use sequencer::{Place, Sequencer};

use super::Bench;
use crate::clock::Stopwatch;
use crate::fault::Fault;

/// Batches that wait for the disk while one is written.
const GATHERED_MAX: u64 = 2;

/// As many batches as `bytes_max` holds, as fast as they go.
pub(super) fn run(bench: &mut Bench, bytes_max: u64) -> Result<String, Fault> {
    let rows = vec![0x5c; LEDGER_ROWS_MAX * TRANSFER_ROW_BYTES];
    let mut end = Vec::new();
    end_rows(LEDGER_ROWS_MAX as u32, TRANSFER_ROW_BYTES as u32, &mut end);
    let (kind, version) = (CreateTransfers::KIND, CreateTransfers::VERSION);
    let batch = EncodedCommand { kind, version, body: &[&rows, &end] };
    let mut sequencer = Sequencer::new();
    sequencer.begin_term(Seq(bench.next_seq - 1), UnixNanos(bench.next_index));
    let batches = bytes_max / rows.len() as u64;
    let before = bench.journal.stats();
    let watch = Stopwatch::start();
    for _ in 0..batches {
        let submitted = sequencer.submit_encoded(&RecordHeader::default(), MonoNanos(0), &batch);
        submitted.map_err(|_| Fault::Arguments("a full batch finds room"))?;
        append(bench, &mut sequencer);
        while bench.journal.appended().0 - bench.journal.durable().0 > GATHERED_MAX
            || !bench.journal.accepts()
        {
            bench.step()?;
        }
        bench.step_once()?;
    }
    bench.settle()?;
    let seconds = watch.elapsed().as_secs_f64();
    bench.drop_old()?;
    let after = bench.journal.stats();
    let transfers = batches * LEDGER_ROWS_MAX as u64;
    let block_bytes = after.block_bytes - before.block_bytes;
    Ok(format!(
        "batches of {LEDGER_ROWS_MAX}: {:.0} transfers/s durable, {:.0} MB/s; {:.1} bytes of journal a transfer",
        transfers as f64 / seconds,
        block_bytes as f64 / seconds / 1e6,
        block_bytes as f64 / transfers as f64
    ))
}

fn append(bench: &mut Bench, sequencer: &mut Sequencer) {
    let place = Place {
        index: Index(bench.next_index),
        term: Term(1),
        engine_version: 1,
        applied_seq: Seq(0),
        effect_hash: Hash::ZERO,
    };
    if let Some(closed) = sequencer.close_batch(MonoNanos(0), UnixNanos(bench.next_index), &place) {
        bench.journal.append(&closed.frame);
        bench.next_index += 1;
        bench.next_seq += closed.received.len() as u64;
    }
}

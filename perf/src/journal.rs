//! `perf journal`: durable writes through the journal, and bare ones of the same size, in turn in one run.
//!
//! ```text
//! journal: this thread: append one frame that fills a block, step ──> writer's thread: durable write ──> step
//! bare:    this thread: O_DIRECT|O_DSYNC pwrite of as many bytes into a file that was written before
//! ```
//! Both keep one write in flight and go through their file from front to back. A slice of the one follows a slice of the
//! other, so that a noisy neighbour meets both. `ratio` is journal rate / bare rate of the default writer; checksums, the
//! hash chain, the hand-over between threads, rolling and the making of spare segments are in the journal's figure.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::journal::{AlignedBuf, FileDisk, Founders, Identity, Journal, Options, WriterKind};
use protocol::commands::CreateTransfers;
use protocol::frame::{self, FrameHeader, FrameKind};
use protocol::hash::Hash;
use protocol::limits::{
    BATCH_RECORDS_MAX, BLOCK_ALIGN, BLOCK_BYTES_LARGE, BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, FRAME_BYTES_MAX,
    FRAME_CHAIN_BYTES, FRAME_HEADER_BYTES, RECORD_HEADER_BYTES,
};
use protocol::record::RecordHeader;
use protocol::rows::TransferRow;
use protocol::{AccountId, Amount, ClusterEpoch, ClusterId, Index, NodeId, Seq, Term, TransferId, UnixNanos};

use crate::clock::Stopwatch;
use crate::fault::Fault;
use crate::floor;
use crate::quantile::quantile;

mod batches;

/// Writes of one slice, at most …
const SLICE_WRITES: usize = 200;
/// … and their bytes: half a segment.
const SLICE_BYTES: usize = 32 << 20;
/// Bytes of the bare writes' file: a segment's.
const BARE_BYTES: u64 = 64 << 20;
/// How long to sleep for a write at most before looking again.
const WAIT: Duration = Duration::from_millis(10);

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How blocks are made durable.
    #[arg(long, value_enum, default_value = "direct")]
    writer: Which,
    /// Seconds for each writer.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Bytes of a block, a multiple of 4,096 up to 1,048,576. Above 65,536 full batches of transfers are measured as well.
    #[arg(long, default_value_t = BLOCK_ALIGN)]
    size: usize,
    /// Stops before more than this is written by the journal and by bare writes together.
    #[arg(long, default_value_t = 2_000_000_000)]
    bytes_max: u64,
    /// A folder for the files, on the disk to be measured; they are removed at the end.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Direct,
    Mapped,
    Plain,
    All,
}

/// Runs the measurement and prints its figures.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    let sizes = BLOCK_ALIGN..=BLOCK_BYTES_LARGE;
    if !sizes.contains(&args.size) || !args.size.is_multiple_of(BLOCK_ALIGN) {
        return Err(Fault::Arguments("--size is a multiple of 4096 up to 1048576"));
    }
    let folder = Folder::new(&args.dir)?;
    // The default writer last: its figures are the last line.
    let kinds: &[WriterKind] = match args.writer {
        Which::Direct => &[WriterKind::Direct],
        Which::Mapped => &[WriterKind::Mapped],
        Which::Plain => &[WriterKind::Plain],
        Which::All => &[WriterKind::Plain, WriterKind::Mapped, WriterKind::Direct],
    };
    let bytes_max = args.bytes_max / kinds.len() as u64;
    let mut lines = Vec::new();
    for kind in kinds {
        let mut bench = Bench::open(&folder.0, *kind)?;
        let commits = if args.size > BLOCK_BYTES_MAX {
            batches::run(&mut bench, bytes_max / 4)?
        } else {
            group_commit(&mut bench, bytes_max / 4)?
        };
        let figures = in_turn(&mut bench, &folder.0, args, bytes_max - bytes_max / 4)?;
        println!("{kind}: {commits}");
        println!("{kind}: {}", figures.percentiles());
        lines.push(figures.line());
    }
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

/// Laps of both sides, in nanoseconds.
#[derive(Default)]
struct Figures {
    journal: Vec<u32>,
    bare: Vec<u32>,
}

impl Figures {
    fn sort(&mut self) {
        self.journal.sort_unstable();
        self.bare.sort_unstable();
    }

    fn percentiles(&self) -> String {
        let of = |laps: &[u32]| {
            let micros = |per_mille| f64::from(quantile(laps, per_mille)) / 1e3;
            format!(
                "p50 {:.1} p99 {:.1} p99.9 {:.1} µs, {:.0}/s",
                micros(500),
                micros(990),
                micros(999),
                rate(laps)
            )
        };
        format!("journal {}; bare {}", of(&self.journal), of(&self.bare))
    }

    fn line(&self) -> String {
        format!(
            "journal_p50_us={:.1} bare_p50_us={:.1} ratio={:.3}",
            f64::from(quantile(&self.journal, 500)) / 1e3,
            f64::from(quantile(&self.bare, 500)) / 1e3,
            rate(&self.journal) / rate(&self.bare)
        )
    }
}

/// Writes a second, while nothing else was done.
fn rate(laps: &[u32]) -> f64 {
    let total_ns: u64 = laps.iter().map(|lap| u64::from(*lap)).sum();
    laps.len() as f64 * 1e9 / total_ns.max(1) as f64
}

/// Slices of durable writes through the journal and bare ones in turn.
fn in_turn(bench: &mut Bench, folder: &Path, args: &Args, bytes_max: u64) -> Result<Figures, Fault> {
    let payload = args.size - BLOCK_HEADER_BYTES - FRAME_HEADER_BYTES - FRAME_CHAIN_BYTES;
    let mut bare = Bare::open(folder, args.size)?;
    let mut figures = Figures::default();
    let watch = Stopwatch::start();
    let limit = Duration::from_secs(u64::from(args.seconds));
    let mut left = bytes_max / (2 * args.size as u64);
    while watch.elapsed() < limit && left > 0 {
        let slice = SLICE_WRITES.min(SLICE_BYTES / args.size);
        let writes = slice.min(usize::try_from(left).unwrap_or(slice));
        left -= writes as u64;
        for _ in 0..writes {
            let frame = bench.frame(vec![0x5c; payload], 0);
            let mut lap = Stopwatch::start();
            bench.journal.append(&frame);
            bench.settle()?;
            figures.journal.push(lap.lap_ns());
        }
        bench.drop_old()?;
        for _ in 0..writes {
            let mut lap = Stopwatch::start();
            bare.write()?;
            figures.bare.push(lap.lap_ns());
        }
    }
    figures.sort();
    Ok(figures)
}

/// Full batches of transfers as fast as they go, the next gathering while one is written.
fn group_commit(bench: &mut Bench, bytes_max: u64) -> Result<String, Fault> {
    let mut record = Vec::new();
    let row = TransferRow {
        id: TransferId(7),
        debit_account: AccountId(1),
        credit_account: AccountId(2),
        amount: Amount(100),
        ..TransferRow::default()
    };
    let transfer = CreateTransfers { transfers: vec![row] };
    let written = RecordHeader::default().write(&transfer.into(), &mut record);
    written.map_err(|_| Fault::Arguments("a transfer is a record"))?;
    let room = FRAME_BYTES_MAX - FRAME_HEADER_BYTES - FRAME_CHAIN_BYTES;
    let count = (room / record.len()).min(BATCH_RECORDS_MAX);
    let batch = record.repeat(count);
    let batches = (bytes_max / BLOCK_BYTES_MAX as u64).min(4_000);
    let before = bench.journal.stats();
    let watch = Stopwatch::start();
    for _ in 0..batches {
        let frame = bench.frame(batch.clone(), u32::try_from(count).unwrap_or(u32::MAX));
        bench.journal.append(&frame);
        // One is written, one has gathered.
        while bench.journal.gathered() && bench.journal.in_flight() || !bench.journal.accepts() {
            bench.step()?;
        }
        bench.step_once()?;
    }
    bench.settle()?;
    let seconds = watch.elapsed().as_secs_f64();
    bench.drop_old()?;
    let after = bench.journal.stats();
    let records = batches * count as u64;
    let bodies = records * (record.len() - RECORD_HEADER_BYTES) as u64;
    let beside =
        (after.block_bytes - before.block_bytes).saturating_sub(bodies) as f64 / records.max(1) as f64;
    Ok(format!(
        "group commit {:.0} records/s durable in batches of {count}, {:.0} MB/s; {beside:.2} bytes of journal beside each body of {} bytes",
        records as f64 / seconds,
        (after.block_bytes - before.block_bytes) as f64 / seconds / 1e6,
        record.len() - RECORD_HEADER_BYTES
    ))
}

/// A journal in a folder of its own.
struct Bench {
    journal: Journal<FileDisk>,
    next_index: u64,
    next_seq: u64,
}

impl Bench {
    fn open(folder: &Path, kind: WriterKind) -> Result<Self, Fault> {
        let refused = |error: String| Fault::io("opening a journal")(std::io::Error::other(error));
        let disk =
            FileDisk::open(&folder.join(kind.to_string()), kind).map_err(|f| refused(f.to_string()))?;
        if let Some(fault) = disk.fell_back() {
            return Err(refused(format!("the {kind} writer does not work here: {fault}")));
        }
        let identity = Identity {
            cluster: ClusterId(1),
            epoch: ClusterEpoch(1),
            node: NodeId(1),
            founders: Founders::alone(NodeId(1)),
        };
        let journal =
            Journal::create(disk, identity, Options::new(0x00c0_ffee)).map_err(|f| refused(f.to_string()))?;
        let mut bench = Self { journal, next_index: 1, next_seq: 1 };
        while bench.journal.spares_ready() < 2 {
            bench.step_once()?;
            bench.journal.disk_mut().wait_spare(WAIT);
        }
        Ok(bench)
    }

    /// The next entry around `payload`.
    fn frame(&mut self, payload: Vec<u8>, count: u32) -> Vec<u8> {
        let mut frame = payload;
        frame.splice(..0, [0; FRAME_HEADER_BYTES]);
        let header = FrameHeader {
            kind: FrameKind::Entry,
            index: Index(self.next_index),
            term: Term(1),
            time: UnixNanos(self.next_index),
            first_seq: Seq(self.next_seq),
            count,
            engine_version: 1,
            applied_seq: Seq(0),
            effect_hash: Hash::ZERO,
        };
        frame::finish(&mut frame, &header);
        self.next_index += 1;
        self.next_seq += u64::from(count);
        frame
    }

    /// Until everything appended is durable.
    fn settle(&mut self) -> Result<(), Fault> {
        while self.journal.durable() != self.journal.appended() {
            self.step()?;
        }
        Ok(())
    }

    /// One step; sleeps for the disk if there was nothing to do.
    fn step(&mut self) -> Result<(), Fault> {
        if !self.step_once()? {
            if self.journal.in_flight() {
                self.journal.disk_mut().wait(WAIT);
            } else {
                self.journal.disk_mut().wait_spare(WAIT);
            }
        }
        Ok(())
    }

    fn step_once(&mut self) -> Result<bool, Fault> {
        let failed = |fault: ::journal::JournalFault| {
            Fault::io("a durable write")(std::io::Error::other(fault.to_string()))
        };
        let progress = self.journal.step().map_err(failed)?;
        Ok(progress.completed)
    }

    /// Segments that are written are given back to the disk.
    fn drop_old(&mut self) -> Result<(), Fault> {
        let durable = self.journal.durable_index();
        let dropped = self.journal.drop_before(durable);
        dropped.map(drop).map_err(|fault| Fault::io("dropping segments")(std::io::Error::other(fault)))
    }
}

/// Durable writes without the house.
struct Bare {
    file: File,
    block: AlignedBuf,
    offset: u64,
}

impl Bare {
    fn open(folder: &Path, size: usize) -> Result<Self, Fault> {
        let path = folder.join("bare");
        let bytes = usize::try_from(BARE_BYTES).unwrap_or(usize::MAX);
        std::fs::write(&path, vec![0x5c; bytes]).map_err(Fault::io("writing the bare file"))?;
        let file = floor::open_durable(&path).map_err(Fault::io("opening the bare file"))?;
        file.sync_all().map_err(Fault::io("syncing the bare file"))?;
        Ok(Self { file, block: AlignedBuf::zeroed(size), offset: 0 })
    }

    fn write(&mut self) -> Result<(), Fault> {
        if self.offset + self.block.len() as u64 > BARE_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(&self.block, self.offset).map_err(Fault::io("a bare write"))?;
        self.offset += self.block.len() as u64;
        Ok(())
    }
}

/// A folder that goes when the measurement ends, also by a fault.
struct Folder(PathBuf);

impl Folder {
    fn new(dir: &Path) -> Result<Self, Fault> {
        let path = dir.join(format!("perf-journal-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(Fault::io(format!("making {}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("perf: {} stays behind: {error}", self.0.display());
        }
    }
}

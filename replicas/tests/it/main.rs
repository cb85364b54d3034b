//! One replica on a real disk: what it acknowledged is there after a restart, with the same hash.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod clock;
mod cluster;
mod crashing;
mod divergence;
mod handover;
mod links;
mod reads;
mod repair;
mod repair_snapshot;
mod skip;
mod start;
mod strangers;
mod tap;
mod transfer;

use std::path::{Path, PathBuf};

use engine::Engine;
use journal::snapshot_file::SnapshotFault;
use journal::{Disk, FileDisk, Founders, Identity, Journal, WriterKind};
use protocol::commands::{DefineAsset, Genesis};
use protocol::event::Event;
use protocol::frame::{self, FrameHeader, FrameKind};
use protocol::hash::Hash;
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::{
    ActorId, AssetId, ClusterEpoch, ClusterId, EventBody, Index, MonoNanos, NodeId, RequestNumber, Seq,
    SessionId, Term, Text, UnixNanos,
};
use replicas::{Halt, HaltCause, Now, Options, Replica, SnapshotJob, SnapshotPolicy, Timing};

const IDENTITY: Identity = Identity {
    cluster: ClusterId(7),
    epoch: ClusterEpoch(1),
    node: NodeId(1),
    founders: Founders::alone(NodeId(1)),
};

fn genesis() -> Genesis {
    Genesis { cluster: ClusterId(7), operator: ActorId(1), operator_uid: 0, demo: false }
}

fn options() -> Options {
    Options { timing: Timing::LAN, snapshots: SnapshotPolicy::default(), genesis: genesis() }
}

fn journal_options() -> journal::Options {
    journal::Options { segment_bytes: 256 << 10, ..journal::Options::new(99) }
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    folder
}

fn open_disk(folder: &Path) -> FileDisk {
    FileDisk::open(folder, WriterKind::Plain).unwrap()
}

/// Steps on a clock that moves with the turns, until `done`.
fn run(
    replica: &mut Replica<FileDisk>,
    turn: &mut u64,
    events: &mut Vec<Event>,
    mut done: impl FnMut(&Replica<FileDisk>, &[Event]) -> bool,
) {
    while !done(replica, events) {
        *turn += 1;
        step(replica, *turn, events);
    }
}

fn step(replica: &mut Replica<FileDisk>, turn: u64, events: &mut Vec<Event>) {
    let now = Now { mono: MonoNanos(turn * 1_000), wall: UnixNanos(turn * 1_000) };
    if !replica.step(now, events).unwrap() {
        std::thread::yield_now();
    }
}

/// The snapshot of a checkpoint behind everything that is applied now.
fn checkpoint(replica: &mut Replica<FileDisk>, turn: &mut u64) -> SnapshotJob {
    // What is due already may lie further back.
    if replica.begin_snapshot().is_some() {
        replica.end_snapshot(Err(SnapshotFault::ReadBack));
    }
    *turn += 1_000;
    loop {
        *turn += 1;
        step(replica, *turn, &mut Vec::new());
        if let Some(job) = replica.begin_snapshot() {
            return job;
        }
    }
}

fn replies(events: &[Event]) -> usize {
    events.iter().filter(|e| matches!(e.body, EventBody::Replied(_))).count()
}

fn create(folder: &Path, options: &Options) -> Replica<FileDisk> {
    let disk = open_disk(folder);
    Replica::create(disk.beside(), disk, IDENTITY, journal_options(), options).unwrap()
}

fn open(folder: &Path, options: &Options) -> Replica<FileDisk> {
    let disk = open_disk(folder);
    Replica::open(disk.beside(), disk, journal_options(), options).unwrap()
}

/// Submits the definitions of assets `from..=to` as the operator's requests of these numbers.
fn define_assets<D: Disk>(replica: &mut Replica<D>, from: u32, to: u32) {
    for n in from..=to {
        let request = RequestNumber(u64::from(n));
        let header = RecordHeader { session: SessionId::OPERATOR, request, ..Default::default() };
        let define = DefineAsset { asset: AssetId(n), code: Text::new(format!("A{n}")).unwrap(), scale: 2 };
        replica.sequencer().submit(&header, MonoNanos(0), &define.into()).unwrap();
    }
}

/// Who stands for election looks through all that was not handed out: a second reading of the log, all of it in memory.
#[test]
fn a_start_reads_each_entry_once_before_it_leads() {
    let folder = folder("reads-once");
    let mut replica = create(&folder, &options());
    let (mut turn, mut events) = (0, Vec::new());
    run(&mut replica, &mut turn, &mut events, |replica, _| replica.serving());
    for n in 1..=100 {
        define_assets(&mut replica, n, n);
        let expected = usize::try_from(n).unwrap();
        run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == expected);
    }
    let last = replica.status().index_last;
    assert!(last > Index(100));
    drop(replica);
    let mut replica = open(&folder, &options());
    run(&mut replica, &mut turn, &mut events, |replica, _| replica.serving());
    let read = replica.status().journal.entries_read_from_disk;
    assert!((last.0 - 1..=last.0 + 2).contains(&read), "{read} of {last}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = folder("restart");
    let mut replica = create(&folder, &options());
    let (mut turn, mut events) = (0, Vec::new());
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    define_assets(&mut replica, 1, 3_000);
    run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == 3_000);
    let before = replica.status();
    drop(replica);

    let mut replica = open(&folder, &options());
    let mut events = Vec::new();
    assert_eq!(
        replica.engine().state_hash(),
        Engine::new().state_hash(),
        "nothing is applied before it is committed"
    );
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    let after = replica.status();
    assert_eq!(after.seq_applied.0, before.seq_applied.0 + 1, "the new term's first record");
    assert_eq!(replies(&events), 0, "nothing is said twice");
    assert_eq!(replica.engine().definitions().len(), 3_000 + 1);
}

#[test]
fn a_restart_from_a_snapshot_arrives_at_the_same_state_as_one_from_the_beginning() {
    let folder = folder("snapshot");
    let options = Options { snapshots: SnapshotPolicy { journal_bytes: 1, interval_ms: 0 }, ..options() };
    let mut replica = create(&folder, &options);
    let (mut turn, mut events) = (0, Vec::new());
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    define_assets(&mut replica, 1, 1_000);
    run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == 1_000);
    let job = checkpoint(&mut replica, &mut turn);
    assert!(replica.begin_snapshot().is_none(), "one at a time");
    define_assets(&mut replica, 1_001, 2_000);
    run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == 2_000);
    let mut beside = replica.into_disk();
    let written = job.write(&mut beside);
    assert!(written.is_ok(), "{written:?}");
    drop(beside);

    let mut from_snapshot = open(&folder, &options);
    let snapshot_index = from_snapshot.status().snapshot_index;
    assert!(snapshot_index.is_some_and(|index| index.0 > 2), "{snapshot_index:?}");
    assert_eq!(from_snapshot.engine().definitions().len(), 1_000 + 1);
    run(&mut from_snapshot, &mut turn, &mut Vec::new(), |r, _| r.serving());
    let (effects, state) = (from_snapshot.status().effect_hash, from_snapshot.engine().state_hash());
    let applied = from_snapshot.status().seq_applied;
    drop(from_snapshot);

    for snapshot in std::fs::read_dir(folder.join("snap")).unwrap() {
        std::fs::remove_file(snapshot.unwrap().path()).unwrap();
    }
    let mut from_genesis = open(&folder, &options);
    assert_eq!(from_genesis.status().snapshot_index, None);
    let mut seen = None;
    run(&mut from_genesis, &mut turn, &mut Vec::new(), |r, _| {
        if r.status().seq_applied == applied {
            seen = Some((r.status().effect_hash, r.engine().state_hash()));
        }
        r.serving()
    });
    assert_eq!(seen, Some((effects, state)));
}

#[test]
fn what_was_replayed_counts_towards_the_next_snapshot_and_a_failed_one_is_tried_again() {
    let folder = folder("replayed");
    let policy = SnapshotPolicy { journal_bytes: 280 << 10, interval_ms: 1_000 };
    let options = Options { snapshots: policy, ..options() };
    let mut turn = 0;
    for (start, from) in [1, 2_001, 4_001].into_iter().enumerate() {
        let mut replica = if start == 0 { create(&folder, &options) } else { open(&folder, &options) };
        let mut events = Vec::new();
        run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
        define_assets(&mut replica, from, from + 1_999);
        run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == 2_000);
        let mut becomes_due = |replica: &mut Replica<FileDisk>, millis: u64, turns: u64| {
            turn += millis * 1_000;
            (0..turns).any(|_| {
                turn += 1;
                step(replica, turn, &mut events);
                replica.begin_snapshot().is_some()
            })
        };
        if start < 2 {
            assert!(!becomes_due(&mut replica, 1_000, 5_000), "some 115 KiB in each life, start {start}");
            continue;
        }
        assert!(becomes_due(&mut replica, 0, u64::MAX));
        replica.end_snapshot(Err(SnapshotFault::ReadBack));
        assert!(!becomes_due(&mut replica, 0, 500), "not at once");
        assert!(becomes_due(&mut replica, 1_000, u64::MAX));
    }
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_told_of() {
    let folder = folder("damaged");
    let options = Options { snapshots: SnapshotPolicy { journal_bytes: 1, interval_ms: 0 }, ..options() };
    let mut replica = create(&folder, &options);
    let (mut turn, mut events) = (0, Vec::new());
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    let job = checkpoint(&mut replica, &mut turn);
    let mut beside = replica.into_disk();
    assert!(job.write(&mut beside).is_ok());
    drop(beside);
    let snapshot = std::fs::read_dir(folder.join("snap")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&snapshot).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();

    let mut replica = open(&folder, &options);
    run(&mut replica, &mut turn, &mut Vec::new(), |r, _| r.serving());
    let status = replica.status();
    assert_eq!(status.snapshot_index, None);
    assert!(status.snapshot_fault.is_some());
}

const FIRST: FrameHeader = FrameHeader {
    kind: FrameKind::Entry,
    index: Index(1),
    term: Term(1),
    time: UnixNanos(1),
    first_seq: Seq(1),
    count: 1,
    engine_version: engine::ENGINE_VERSION,
    applied_seq: Seq(0),
    effect_hash: Hash::ZERO,
};

/// Makes durable what was appended.
fn settle(journal: &mut Journal<FileDisk>) {
    while journal.gathered() || journal.in_flight() {
        journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    }
}

/// A journal whose entries have these headers and a genesis record each.
fn write_journal(folder: &Path, headers: &[FrameHeader]) {
    let mut journal = Journal::create(open_disk(folder), IDENTITY, journal_options()).unwrap();
    journal.hard_state(journal::HardState { term: Term(1), vote: NodeId(1) });
    for header in headers {
        let mut frame = Vec::new();
        frame::begin(&mut frame);
        RecordHeader::default().write(&genesis().into(), &mut frame).unwrap();
        frame::finish(&mut frame, header);
        journal.append(&frame);
    }
    settle(&mut journal);
}

#[test]
fn effects_that_the_proposer_did_not_have_end_the_process() {
    let second = FrameHeader { index: Index(2), first_seq: Seq(2), time: UnixNanos(2), ..FIRST };
    for (name, applied_seq, expected) in [
        ("other-hash", Seq(1), "effects diverge at seq 1: recorded 0000"),
        ("not-applied", Seq(2), "effects recorded at seq 2, where no frame ends; applied up to 1"),
    ] {
        let folder = folder(name);
        write_journal(&folder, &[FIRST, FrameHeader { applied_seq, ..second }]);
        let mut replica = open(&folder, &options());
        let fault = (1..100_000).find_map(|turn| {
            let now = Now { mono: MonoNanos(turn * 1_000), wall: UnixNanos(turn * 1_000) };
            std::thread::yield_now();
            replica.step(now, &mut Vec::new()).err()
        });
        let said = fault.map(|fault| fault.to_string()).unwrap_or_default();
        assert!(said.starts_with(expected), "{name}: {said}");
    }
}

#[test]
fn an_entry_under_rules_that_are_not_known_halts_the_engine() {
    let (kind, engine_version) = (FrameKind::Entry, engine::ENGINE_VERSION + 1);
    let folder = folder("rules");
    write_journal(&folder, &[FrameHeader { kind, engine_version, ..FIRST }]);
    let mut replica = open(&folder, &options());
    run(&mut replica, &mut 0, &mut Vec::new(), |r, _| r.status().halted.is_some());
    let Some(Halt { seq, cause }) = replica.status().halted else { panic!("{:?}", replica.status()) };
    assert_eq!((seq, cause), (Seq(1), HaltCause::Rules { kind, engine_version }));
    assert!(!replica.serving() && replica.engine().genesis().is_none());
}

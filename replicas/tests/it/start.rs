//! Where a start begins: at the newest snapshot that serves, with the journal read from the older one on.

use std::path::PathBuf;

use journal::segment::SegmentName;
use journal::snapshot_file::{self, SnapshotFault, SnapshotHeader};
use journal::{Dir, Disk, FileRef, ReadFault, Refusal};
use protocol::commands::{DefineSession, SessionLogon, SessionTestRequest};
use protocol::hash::Hash;
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::{
    CancelOnDisconnect, ClientId, ClusterId, EventBody, FirmId, Generation, Index, MonoNanos, OutSeq,
    RequestNumber, Seq, SessionEpoch, SessionId, SessionProtocol, Strictness, Text,
};
use replicas::{Options, Replica, ReplicaFault, SnapshotPolicy, StartFault};

use super::cluster::Cluster;
use super::crashing::Mood;
use super::{
    IDENTITY, checkpoint, define_assets, folder, genesis, journal_options, open, open_disk, options, replies,
    run,
};

fn policy() -> Options {
    Options { snapshots: SnapshotPolicy { journal_bytes: 1, interval_ms: 0 }, ..options() }
}

/// What a replica left that was stopped.
struct Stopped {
    folder: PathBuf,
    /// Last entries of its two snapshots, and of its log.
    snapshots: [Index; 2],
    last: Index,
    definitions: Vec<EventBody>,
    turn: u64,
}

/// 18,000 definitions in small segments; snapshots behind 6,000 and 12,000.
fn stopped(name: &str) -> Stopped {
    let folder = folder(name);
    let disk = open_disk(&folder);
    let mut beside = disk.beside();
    let opened = Replica::create(disk.beside(), disk, IDENTITY, journal_options(), &policy());
    let (mut replica, mut turn, mut events) = (opened.unwrap(), 0, Vec::new());
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    let mut taken = Vec::new();
    for from in (1..=18_000).step_by(1_000) {
        define_assets(&mut replica, from, from + 999);
        run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == from as usize + 999);
        if from == 5_001 || from == 11_001 {
            let job = checkpoint(&mut replica, &mut turn);
            replica.end_snapshot(job.write(&mut beside));
            taken.extend(replica.status().snapshot_index);
        }
    }
    run(&mut replica, &mut turn, &mut events, |r, _| r.status().index_durable == r.status().index_last);
    let definitions = replica.engine().definitions();
    let last = replica.status().index_last;
    Stopped { folder, snapshots: taken.try_into().unwrap(), last, definitions, turn }
}

impl Stopped {
    /// Starts, arrives at the same state, and says what it began with and what was wrong.
    fn start(&mut self) -> (Option<Index>, Option<SnapshotFault>) {
        let mut replica = open(&self.folder, &policy());
        let (index, fault) = (replica.status().snapshot_index, replica.status().snapshot_fault);
        assert_eq!(replica.status().index_last, self.last);
        run(&mut replica, &mut self.turn, &mut Vec::new(), |r, _| r.serving());
        assert_eq!(replica.engine().definitions(), self.definitions);
        run(&mut replica, &mut self.turn, &mut Vec::new(), |r, _| {
            r.status().index_durable == r.status().index_last
        });
        self.last = replica.status().index_last;
        (index, fault)
    }

    fn refused(&self) -> StartFault {
        let disk = open_disk(&self.folder);
        Replica::open(disk.beside(), disk, journal_options(), &policy()).map(|_| ()).unwrap_err()
    }

    fn path(&self, file: &FileRef) -> PathBuf {
        self.folder.join(file.dir.path()).join(&*file.name)
    }

    fn damage(&self, file: &FileRef, at: usize) {
        let mut bytes = std::fs::read(self.path(file)).unwrap();
        bytes[at] ^= 1;
        std::fs::write(self.path(file), bytes).unwrap();
    }

    /// Snapshot files, newest first.
    fn snapshot_files(&self) -> Vec<FileRef> {
        snapshot_file::files(&mut open_disk(&self.folder)).unwrap()
    }

    /// Replaces the newest snapshot by one with another header, whole in itself.
    fn forge(&self, change: impl Fn(&mut SnapshotHeader)) {
        let newest = self.snapshot_files().remove(0);
        let (mut header, state) = snapshot_file::load(&mut open_disk(&self.folder), &newest).unwrap();
        change(&mut header);
        std::fs::write(self.path(&newest), snapshot_file::encode(&header, &state).unwrap()).unwrap();
    }
}

#[test]
fn damage_before_the_older_snapshot_costs_a_start_nothing_and_a_start_from_the_beginning_everything() {
    let mut stopped = stopped("start-bounded");
    let first = FileRef::new(Dir::Journal, SegmentName { epoch: IDENTITY.epoch, segno: 1 }.to_string());
    stopped.damage(&first, 3 << 12);
    let newer = stopped.snapshots[1];
    assert_eq!(stopped.start(), (Some(newer), None));
    let newest = stopped.snapshot_files().remove(0);
    stopped.damage(&newest, 300);
    let (index, fault) = stopped.start();
    assert_eq!(index, Some(stopped.snapshots[0]));
    assert!(fault.is_some());

    for file in stopped.snapshot_files() {
        std::fs::remove_file(stopped.path(&file)).unwrap();
    }
    assert!(matches!(stopped.refused(), StartFault::Refused(Refusal::Repair(_))));
    stopped.damage(&first, 3 << 12);
    assert_eq!(stopped.start(), (None, None));
}

#[test]
fn a_snapshot_that_does_not_serve_is_passed_over_and_told_of() {
    let mut stopped = stopped("start-passed-over");
    let newest = stopped.snapshot_files().remove(0);
    let whole = std::fs::read(stopped.path(&newest)).unwrap();
    let older = stopped.snapshots[0];
    type Change = fn(&mut SnapshotHeader);
    let cases: [(Change, SnapshotFault); 6] = [
        (|header| header.cluster = ClusterId(8), SnapshotFault::Foreign),
        (|header| header.engine_version += 1, SnapshotFault::Rules(engine::ENGINE_VERSION + 1)),
        (|header| header.next_seq = Seq(header.next_seq.0 + 1), SnapshotFault::State),
        (|header| header.state_hash = Hash([1; 32]), SnapshotFault::State),
        (|header| header.conf_state.truncate(3), SnapshotFault::State),
        (|header| header.chain = Hash([1; 32]), SnapshotFault::History),
    ];
    for (change, expected) in cases {
        stopped.forge(change);
        // Without one that is this cluster's, the older is the only one.
        assert_eq!(stopped.start(), (Some(older), Some(expected)));
        std::fs::write(stopped.path(&newest), &whole).unwrap();
    }
    assert_eq!(stopped.start(), (Some(stopped.snapshots[1]), None));

    // With both of another history everything is replayed.
    stopped.forge(|header| header.chain = Hash([1; 32]));
    let (newest, older) = (newest, stopped.snapshot_files().remove(1));
    std::fs::rename(stopped.path(&newest), stopped.path(&newest).with_extension("aside")).unwrap();
    stopped.forge(|header| header.chain = Hash([2; 32]));
    std::fs::rename(stopped.path(&newest).with_extension("aside"), stopped.path(&newest)).unwrap();
    assert_eq!(stopped.start(), (None, Some(SnapshotFault::History)), "{older}");
}

#[test]
fn a_journal_that_ends_before_a_snapshot_is_refused() {
    let stopped = stopped("start-behind");
    // Everything behind the segment in which the older snapshot lies is gone, with what the hint knew of it.
    let mut disk = open_disk(&stopped.folder);
    let mut names: Vec<_> =
        disk.list(Dir::Journal).unwrap().iter().filter_map(|name| SegmentName::parse(name)).collect();
    names.sort_unstable();
    let header_of = |name: &SegmentName| {
        let bytes = std::fs::read(stopped.path(&name.file())).unwrap();
        journal::segment::SegmentHeader::read_either(*name, &bytes)
    };
    let (older, newer) = (stopped.snapshots[0], stopped.snapshots[1]);
    for name in names {
        if header_of(&name).is_none_or(|header| header.first_index > older) {
            disk.remove(&name.file()).unwrap();
        }
    }
    drop(disk);
    let meta = std::fs::read(stopped.folder.join("meta")).unwrap();
    std::fs::write(stopped.folder.join("meta"), &meta[..4 << 12]).unwrap();
    let refused = stopped.refused();
    assert!(
        matches!(&refused, StartFault::Refused(Refusal::BehindSnapshot { snapshot, .. }) if *snapshot == newer),
        "{refused}"
    );
}

pub(crate) const CLIENT: SessionId = SessionId(16);

pub(crate) fn client(request: u64, generation: u32) -> RecordHeader {
    let generation = Generation(generation);
    RecordHeader { session: CLIENT, generation, request: RequestNumber(request), ..RecordHeader::default() }
}

/// A FIX session for tests.
pub(crate) fn define_client() -> DefineSession {
    DefineSession {
        session: CLIENT,
        actor: genesis().operator,
        firm: FirmId(1),
        protocol: SessionProtocol::Fix,
        client_comp_id: Text::new("CLIENT").unwrap(),
        our_comp_id: Text::new("SICIL").unwrap(),
        clients: vec![ClientId(1)],
        reset_on_logon: false,
        heartbeat_s_min: 1,
        heartbeat_s_max: 60,
        strictness: Strictness::Strict,
        cancel_on_disconnect: CancelOnDisconnect::Never,
        cancel_window_ms: 0,
    }
}

/// Submits the definition of a FIX session, as the operator's first request, and its logon.
pub(crate) fn open_session<D: Disk>(replica: &mut Replica<D>) {
    let by_operator =
        RecordHeader { session: SessionId::OPERATOR, request: RequestNumber(1), ..RecordHeader::default() };
    replica.sequencer().submit(&by_operator, MonoNanos(0), &define_client().into()).unwrap();
    let logon =
        SessionLogon { connection: 1, msg_seq_num: 1, heartbeat_s: 30, reset: false, next_expected: 0 };
    let unnumbered = RecordHeader { session: CLIENT, request: RequestNumber(1), ..RecordHeader::default() };
    replica.sequencer().submit(&unnumbered, MonoNanos(0), &logon.into()).unwrap();
}

/// A FIX session that asks for signs of life; each answer is an output. Two snapshots, and the outbox's length at each.
fn with_outputs(name: &str) -> (PathBuf, [Index; 2], [u64; 2]) {
    let folder = folder(name);
    let disk = open_disk(&folder);
    let mut beside = disk.beside();
    let opened = Replica::create(disk.beside(), disk, IDENTITY, journal_options(), &policy());
    let (mut replica, mut turn, mut events) = (opened.unwrap(), 0, Vec::new());
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    open_session(&mut replica);
    let (mut taken, mut lengths, mut request) = (Vec::new(), Vec::new(), 2);
    for _ in 0..3 {
        for _ in 0..20 {
            let test = SessionTestRequest { test_req_id: Text::new(format!("{request}")).unwrap() };
            replica.sequencer().submit(&client(request, 1), MonoNanos(0), &test.into()).unwrap();
            request += 1;
        }
        run(&mut replica, &mut turn, &mut events, |r, _| {
            let session = r.engine().sessions().find(|session| session.session == CLIENT);
            session.is_some_and(|session| session.next_out.0 > request - 1)
        });
        if taken.len() < 2 {
            let job = checkpoint(&mut replica, &mut turn);
            replica.end_snapshot(job.write(&mut beside));
            taken.extend(replica.status().snapshot_index);
            lengths.push(std::fs::metadata(folder.join("outbox/0000000001.out")).unwrap().len());
        }
    }
    run(&mut replica, &mut turn, &mut events, |r, _| r.status().index_durable == r.status().index_last);
    (folder, taken.try_into().unwrap(), lengths.try_into().unwrap())
}

#[test]
fn a_snapshot_whose_outputs_are_gone_is_passed_over_for_the_older_one_and_then_for_the_beginning() {
    let (folder, [older, newer], [at_older, at_newer]) = with_outputs("start-outputs");
    assert!(16 < at_older && at_older < at_newer, "{at_older} {at_newer}");
    let outbox = folder.join("outbox/0000000001.out");
    let mut turn = 1_000_000;
    let mut start = |cut: u64| {
        std::fs::OpenOptions::new().write(true).open(&outbox).unwrap().set_len(cut).unwrap();
        let mut replica = open(&folder, &policy());
        let begun = (replica.status().snapshot_index, replica.status().outputs_were_missing.is_some());
        // What nobody waits for reaches the file in a turn without other work.
        let is_kept = || std::fs::metadata(&outbox).is_ok_and(|outbox| outbox.len() >= at_newer);
        run(&mut replica, &mut turn, &mut Vec::new(), |r, _| r.serving() && is_kept());
        let kept =
            replica.read_outbox(CLIENT, SessionEpoch(1), OutSeq(1), OutSeq(u64::MAX), 1 << 20).unwrap();
        assert!(kept.len() > 60, "all are there again: {}", kept.len());
        begun
    };
    assert_eq!(start(at_newer), (Some(newer), false));
    assert_eq!(start(at_newer - 1), (Some(older), true));
    assert_eq!(start(at_older), (Some(older), true));
    assert_eq!(start(at_older - 1), (None, true));
    assert_eq!(start(0), (None, true));
    assert_eq!(start(at_newer), (Some(newer), false));
}

/// raft-rs panics where its storage fails: what an operator reads has to say more.
#[test]
fn an_entry_that_cannot_be_read_ends_a_replica_with_the_reason() {
    let mut cluster = Cluster::new("start-garbled", &[1, 2, 3]);
    cluster.define(1, 10);
    cluster.stop(3);
    cluster.define(11, 20);
    // Nothing is in the memory of the next life.
    for node in [1, 2] {
        cluster.stop(node);
        cluster.open(node);
    }
    let leader = cluster.leader();
    cluster.agree(20);
    cluster.besides[&leader].set_mood(Mood::Garbles);
    // It asks for what it lacks.
    cluster.open(3);
    cluster.until("the leader has ended", |cluster| cluster.ended.contains_key(&leader));
    let fault = &cluster.ended[&leader];
    assert!(matches!(fault, ReplicaFault::Read(ReadFault::Damaged { .. })), "{fault}");

    // And one that has to apply what it cannot read.
    cluster.stop(3);
    cluster.open(3);
    cluster.besides[&3].set_mood(Mood::Garbles);
    cluster.until("the other has ended", |cluster| cluster.ended.contains_key(&3));
    let fault = &cluster.ended[&3];
    assert!(matches!(fault, ReplicaFault::Read(ReadFault::Damaged { .. })), "{fault}");
}
